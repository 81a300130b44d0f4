"""Figures in the rules' own sentences."""

from __future__ import annotations

import math


def percent(ratio: float) -> str:
    """A ratio as per cent with one decimal: "92.4%"."""
    return f"{ratio * 100:.1f}%" if math.isfinite(ratio) else "infinite"


def money(amount: float, asset: str) -> str:
    """An amount with its asset: "1,234,567 USDC", small ones with their digits."""
    return f"{amount:,.0f} {asset}" if abs(amount) >= 1000 else f"{amount:.6g} {asset}"


def some(parts: list[str], most: int = 3) -> str:
    """The first parts, and how many more there are: "a; b; c (+2 more)"."""
    more = f" (+{len(parts) - most} more)" if len(parts) > most else ""
    return "; ".join(parts[:most]) + more


def symbol(name: str) -> str:
    """A name for people: an instrument without its venue, a price index by its coin (`deribit:btc_usd` is `BTC`)."""
    shown = plain(name)
    coin, separator, _ = shown.partition("_")
    return coin.upper() if separator and shown.islower() else shown


def plain(instrument: str) -> str:
    """An instrument without its venue."""
    return instrument.partition(":")[2] or instrument
