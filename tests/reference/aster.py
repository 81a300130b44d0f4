"""Aster's margin rule in plain Python, written from the venue notes (section 5) alone: slow, no state, every number from scratch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Tiers = Sequence[tuple[float, float]]
"""(notional floor, maintenance ratio) of each tier, floors ascending from 0."""


@dataclass(frozen=True)
class Held:
    """A position row; `side` is BOTH, LONG or SHORT, `isolated_wallet` None where it is cross."""

    symbol: str
    side: str
    amount: float
    entry: float
    asset: str
    isolated_wallet: float | None = None


@dataclass(frozen=True)
class Account:
    """What the venue told: cross wallets by asset, positions, and the ratios and prices it values collateral at (multi-assets).

    `beyond`: what its total had beyond this rule when it was read (5.5: anchor on the exchange), USD.
    """

    multi_assets: bool
    wallets: Mapping[str, float]
    positions: Sequence[Held]
    ratios: Mapping[str, float] = field(default_factory=dict)
    indexes: Mapping[str, float] = field(default_factory=dict)
    ask_factor: float = 1.0
    beyond: float = 0.0


def maintenance(notional: float, tiers: Tiers) -> float:
    """Maintenance margin of a notional, each slice at its own ratio (5.3)."""
    edges = [floor for floor, _ in tiers] + [math.inf]
    return sum(max(0.0, min(notional, edges[k + 1]) - edges[k]) * ratio for k, (_, ratio) in enumerate(tiers))


def pool_of(account: Account, held: Held) -> str:
    """Name of the pool a position is liquidated with."""
    if held.isolated_wallet is not None:
        return f"iso:{held.symbol}" + ("" if held.side == "BOTH" else f":{held.side}")
    return "multi-assets" if account.multi_assets else held.asset


def wallet_of(account: Account, pool: str) -> float:
    """Money of a pool without unrealised PnL (5.4)."""
    if pool.startswith("iso:"):
        return sum(held.isolated_wallet or 0.0 for held in account.positions if pool_of(account, held) == pool)
    if pool != "multi-assets":
        return account.wallets.get(pool, 0.0)
    return account.beyond + sum(
        amount * account.indexes[asset] * (account.ratios[asset] if amount >= 0 else account.ask_factor)
        for asset, amount in account.wallets.items()
    )


def figures(account: Account, marks: Mapping[str, float], tiers: Mapping[str, Tiers], pool: str) -> tuple[float, float]:
    """(margin balance, maintenance margin) of a pool (5.4)."""
    rows = [held for held in account.positions if pool_of(account, held) == pool]
    balance = wallet_of(account, pool) + sum(held.amount * (marks[held.symbol] - held.entry) for held in rows)
    return balance, sum(maintenance(abs(held.amount) * marks[held.symbol], tiers[held.symbol]) for held in rows)


def ratio(balance: float, margin: float) -> float:
    """Margin ratio; nothing left under a margin is beyond 100 % (5.4)."""
    if margin == 0.0:
        return 0.0
    return margin / balance if balance > 0 else math.inf


def spare(account: Account, marks: Mapping[str, float], tiers: Mapping[str, Tiers], held: Held, mark: float) -> float:
    """What the position's pool has left above its maintenance margin at a mark of its symbol, all else frozen (5.6)."""
    balance, margin = figures(account, {**marks, held.symbol: mark}, tiers, pool_of(account, held))
    return balance - margin


def liquidation_prices(account: Account, marks: Mapping[str, float], tiers: Mapping[str, Tiers], held: Held) -> list[float]:
    """Every mark at which nothing is left: between two marks at which a leg changes its tier, `spare` is a straight line."""
    legs = [row for row in account.positions if row.symbol == held.symbol and pool_of(account, row) == pool_of(account, held)]
    edges = sorted({floor / abs(row.amount) for row in legs for floor, _ in tiers[held.symbol]})
    found = []
    for low, high in zip(edges, [*edges[1:], math.inf], strict=True):
        other = high if high < math.inf else 2.0 * low + marks[held.symbol]
        start, end = (spare(account, marks, tiers, held, mark) for mark in (low, other))
        if start != end:
            found.append(low + start * (other - low) / (start - end))
            if not (low <= found[-1] <= high and found[-1] > 0):
                found.pop()
    return found
