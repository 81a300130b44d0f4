"""Figures, names and lines as alerts write them: rounded to the careful side, cleaned of what came from outside, fitted by rank."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_UP, Decimal
from typing import NamedTuple

from config.errors import masked

TITLE_LIMIT = 120
"""Characters of the first line."""

LARGEST_RATIO = 1000.0
"""Ratios and moves from which on a figure says no more than that it is large."""

_SUFFIXES = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


class Part(NamedTuple):
    """A part of a first line. What does not fit goes by rank, the highest first; `short` is tried in its place before.

    An aside stands in brackets behind the rest.
    """

    rank: int
    text: str
    short: str = ""
    is_aside: bool = False


def percent(ratio: float) -> str:
    """A ratio as per cent with at most one decimal, cut, never rounded up to a level it has not reached."""
    if math.isinf(ratio) and ratio > 0:
        return "infinite"
    if not ratio > -LARGEST_RATIO:
        return "unknown"
    if ratio >= LARGEST_RATIO:
        return f"over {LARGEST_RATIO * 100:.0f}%"
    return f"{_trimmed(_cut(ratio * 100, Decimal('0.1'), ROUND_DOWN))}%"


def move(share: float) -> str:
    """A relative price move as signed per cent with one decimal, cut to the nearer side: 0.0319 -> `+3.1%`."""
    return f"{_cut(share * 100, Decimal('0.1'), ROUND_DOWN):+f}%"


def amount(value: float, rounding: str = ROUND_FLOOR, *, trim: bool = False) -> str:
    """Money or a quantity with three digits and k, M, B or T: 164,705.9 -> `164k` (or `165k` with ROUND_CEILING)."""
    if not math.isfinite(value):
        return "unknown"
    # Rounding first: 999,999 upwards is 1.00M, not 1000k.
    rounded = _three_digits(_decimal(value), rounding)
    unit, suffix = next(((unit, suffix) for unit, suffix in _SUFFIXES if abs(rounded) >= unit), (Decimal(1), ""))
    shown = rounded / unit
    if shown == 0:
        return "0"
    digits = max(0, 2 - shown.adjusted())
    text = f"{shown:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if trim and "." in text else text) + suffix


def duration(seconds: float) -> str:
    """`0.4s`, `12s`, `15min`, `3h`, `2d`: cut to one unit."""
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 10:
        return f"{_cut(max(seconds, 0.0), Decimal('0.1'), ROUND_UP):f}s"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)}{name}"
    return f"{int(seconds)}s"


def symbol(instrument: str) -> str:
    """An instrument without its venue, a price index by its coin: `hyperliquid:BTC` -> `BTC`, `deribit:btc_usd` -> `BTC`."""
    name = instrument.split(":", 1)[-1]
    coin, separator, _ = name.partition("_")
    return coin.upper() if separator and name.islower() else name


def clean(text: str) -> str:
    """Names and sentences from outside as they may be shown: one line, nothing that moves a cursor, no address, no URL."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return masked(_URL.sub("(URL not shown)", line))


def fitted(head: str, parts: Iterable[Part]) -> str:
    """A first line, `head: part; part (aside)`, of at most TITLE_LIMIT characters. At least one part stays, cut where it must be."""
    kept = [part for part in parts if part.text]
    while True:
        title = _joined(head, kept)
        if len(title) <= TITLE_LIMIT:
            return title
        if len(kept) <= 1 and not (kept and kept[0].short):
            return title[: TITLE_LIMIT - 1] + "…"
        place = max(range(len(kept)), key=lambda index: kept[index].rank)
        # of parts of one rank the first goes first
        last = kept[place]
        kept[place : place + 1] = [last._replace(text=last.short, short="")] if last.short else []


def listed(lead: str, heads: Sequence[str]) -> str:
    """`lead head, head, +3`: as many of the heads (at least one) as fit into a first line, the last ones counted."""
    for count in range(len(heads), 0, -1):
        rest = f", +{len(heads) - count}" if count < len(heads) else ""
        title = f"{lead}{', '.join(heads[:count])}{rest}"
        if len(title) <= TITLE_LIMIT:
            return title
    return f"{lead}{heads[0]}"[: TITLE_LIMIT - 1] + "…"


def _joined(head: str, parts: Sequence[Part]) -> str:
    told = "; ".join(part.text for part in parts if not part.is_aside)
    return " ".join([f"{head}: {told}" if told else head, *(f"({part.text})" for part in parts if part.is_aside)])


def _decimal(value: float) -> Decimal:
    # Twelve digits: binary noise must not push a figure over the edge of its rounding.
    return Decimal(f"{value:.12g}")


def _cut(value: float, step: Decimal, rounding: str) -> Decimal:
    return _decimal(value).quantize(step, rounding=rounding)


def _three_digits(value: Decimal, rounding: str) -> Decimal:
    return value if value == 0 else value.quantize(Decimal(1).scaleb(value.adjusted() - 2), rounding=rounding)


def _trimmed(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
