"""Hyperliquid's rule on positions: which margin table applies, what a position needs, and what ledgers expose.

Source: Hyperliquid docs (margin tiers), as written down in the venue notes 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from connectors.model import MarginTier
from kernels.pool import maintenance_margin
from monitor.margin.ledger import Ledger, LivePosition
from monitor.margin.pooled import Exposure, MaintenanceOf, exposure
from monitor.margin.pools import Leg
from monitor.market import Market


def tiers_of(position: LivePosition, market: Market) -> tuple[MarginTier, ...]:
    """The position's maintenance table; empty while the instrument or its table is unknown."""
    instrument = market.instruments.get(position.instrument)
    if instrument is None or not instrument.tiers:
        return ()
    own = position.max_leverage
    if own <= 0 or any(abs(2 * own * tier.maintenance_rate - 1) < 1e-9 for tier in instrument.tiers):
        return instrument.tiers
    # Protocol vaults carry a leverage limit of their own, and their margin follows it (recorded: 50 everywhere, rate 1/100)
    return (MarginTier(0.0, 0.5 / own, 0.0),)


def leg_of(position: LivePosition, market: Market) -> Leg:
    """The position as a pool's leg."""
    return Leg(position.instrument, position.quantity, position.leverage, tiers_of(position, market))


def maintenance_of(position: LivePosition, mark: float, market: Market) -> float:
    """Maintenance margin at a mark; NaN while the table is unknown."""
    table = market.tiers.number(tiers_of(position, market))
    return maintenance_margin(abs(position.quantity * mark), table, market.tiers.arrays) if table >= 0 else math.nan


def exposed(ledgers: Iterable[Ledger], market: Market, later: float = 0.0) -> Exposure:
    """What the ledgers expose at the market's marks now."""
    return exposure(ledgers, lambda _, position: market.mark(position.instrument), _maintenance(market), later)


def exposed_then(ledgers: Iterable[Ledger], market: Market, later: float = 0.0) -> Exposure:
    """What the ledgers expose at the marks of their own frames."""

    def mark_of(_: Ledger, position: LivePosition) -> float:
        return market.mark(position.instrument) if position.reported is None else position.reported.mark

    return exposure(ledgers, mark_of, _maintenance(market), later)


def worth(ledger: Ledger, marks: Ledger, market: Market) -> float:
    """sum(quantity * mark) plus isolated cash of all positions, at the marks of another ledger's frame where it has them."""

    def mark_of(_: Ledger, position: LivePosition) -> float:
        told = marks.positions.get(position.instrument)
        return market.mark(position.instrument) if told is None or told.reported is None else told.reported.mark

    held = exposure([ledger], mark_of, lambda position, mark: 0.0)
    return held.positions + held.isolated


def same_positions(old: Ledger, new: Ledger) -> bool:
    """Whether two ledgers hold the same positions, and the same cash in the isolated ones."""
    if old.positions.keys() != new.positions.keys():
        return False
    for name, before in old.positions.items():
        after = new.positions[name]
        if before.isolated != after.isolated or not math.isclose(before.quantity, after.quantity, rel_tol=1e-9, abs_tol=1e-12):
            return False
        if after.isolated and not math.isclose(before.isolated_cash, after.isolated_cash, rel_tol=1e-9, abs_tol=1e-6):
            return False
    return True


def _maintenance(market: Market) -> MaintenanceOf:
    return lambda position, mark: maintenance_of(position, mark, market)
