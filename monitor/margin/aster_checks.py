"""Every figure Aster prints that we compute too, side by side, and what the difference does to a pool.

A comparison is made at the marks of the venue's own read. Where the venue's figure is another one, the pool carries the difference
(`adjust_*`), so that its level is taken on the worse of the two, both moved by marks. The equity of an account in multi-assets mode
is the venue's own anyway (`aster_collateral`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from connectors.model import FuturesRead, Position
from kernels.pool import Tiers, joint_liquidation_price, liquidation_price
from monitor.margin.aster_collateral import Anchor
from monitor.margin.aster_rule import is_isolated, maintenance_of, name_of, paid, profit, settle_of, table_of
from monitor.margin.pools import PoolSpec
from monitor.market import Market
from monitor.reconcile import Comparison, compare


def check_single(spec: PoolSpec, asset: str, read: FuturesRead, market: Market) -> None:
    """The cross pool of one margin asset: equity, maintenance and initial margin, liquidation prices (notes 5.4, 5.6)."""
    told = next((row for row in read.reported if row.asset == asset), None)
    wallet = next((row.cross_wallet for row in read.assets if row.asset == asset), None)
    if told is None or wallet is None:
        return
    settled = [position for position in read.positions if settle_of(position, market) == asset]
    held = [position for position in settled if not is_isolated(position)]
    # the venue's figure of an asset contains its isolated positions
    alone = sum(position.reported_maintenance_margin or 0.0 for position in settled if is_isolated(position))
    comparisons = _margins(spec, held, told.maintenance_margin - alone, market)
    equity = compare("equity", wallet + profit(held), told.cross_equity)
    spec.adjust_equity = equity.shortfall
    spec.comparisons = (*comparisons, equity, *_liquidations(held, wallet + profit(held), market))


def check_isolated(spec: PoolSpec, position: Position, market: Market) -> None:
    """An isolated position, as the read has it: equity, margins, liquidation price. Only its own margin is at stake (notes 5.4)."""
    if position.isolated_cash is None:
        return
    comparisons = _margins(spec, [position], position.reported_maintenance_margin, market)
    if position.reported_unrealized_pnl is not None and position.entry is not None:
        wallet = position.isolated_cash + paid([position])
        equity = compare("equity", wallet + profit([position]), wallet + position.reported_unrealized_pnl)
        spec.adjust_equity = equity.shortfall
        comparisons.append(equity)
    equity_now = position.isolated_cash + position.quantity * position.mark
    spec.comparisons = (*comparisons, *_liquidations([position], equity_now, market))


def check_multi_assets(spec: PoolSpec, anchor: Anchor, read: FuturesRead, market: Market) -> None:
    """The pool of multi-assets mode: margins, liquidation prices, and our valuation of the collateral (notes 5.4, 5.5)."""
    held = [position for position in read.positions if not is_isolated(position)]
    comparisons = _margins(spec, held, read.total_maintenance_margin, market)
    if anchor.check is not None:
        comparisons.append(anchor.check)
        spec.model_error, spec.remedy = anchor.check.difference, anchor.remedy
    spec.comparisons = (*comparisons, *_liquidations(held, read.total_margin_balance, market))


def _margins(spec: PoolSpec, held: Sequence[Position], reported: float | None, market: Market) -> list[Comparison]:
    comparisons = []
    if reported is not None:
        computed = sum(maintenance_of(position, position.mark, market) for position in held)
        maintenance = compare("maintenance_margin", computed, reported)
        spec.adjust_maintenance = maintenance.shortfall if math.isfinite(computed) else 0.0
        comparisons.append(maintenance)
    told = [position for position in held if position.leverage > 0 and position.reported_margin_used is not None]
    if told:
        ours = sum(abs(position.quantity) * position.mark / position.leverage for position in told)
        comparisons.append(compare("initial_margin", ours, sum(position.reported_margin_used or 0.0 for position in told)))
    return comparisons


def _liquidations(held: Sequence[Position], equity: float, market: Market) -> Iterator[Comparison]:
    available = equity - sum(maintenance_of(position, position.mark, market) for position in held)
    rows = [
        PricedLeg(
            position.instrument,
            name_of(position, market),
            position.quantity,
            position.mark,
            table_of(position, market),
            position.reported_liquidation_price,
        )
        for position in held
    ]
    return compare_liquidations(rows, available, market.tiers.arrays)


class PricedLeg(NamedTuple):
    """A position of a pool at its mark, with the venue's liquidation price of it; `name` as `name_of` gives it."""

    instrument: str
    name: str
    quantity: float
    mark: float
    table: int
    told: float | None


def compare_liquidations(legs: Sequence[PricedLeg], available: float, tiers: Tiers) -> Iterator[Comparison]:
    """The liquidation prices of a pool's positions with `available` left above maintenance, beside the venue's (notes 5.6).

    The venue tells them in another answer, a moment after the marks: what the other positions moved meanwhile comes on top, so that
    the difference is measured against all that is held and not against the price of one small position.
    """
    if not available > 0:
        return
    gross = sum(abs(leg.quantity) * leg.mark for leg in legs)
    for instrument in dict.fromkeys(leg.instrument for leg in legs):
        own = [leg for leg in legs if leg.instrument == instrument]
        price = _liquidation(own, available, tiers)
        lost_per_unit = abs(available / (price - own[0].mark)) if math.isfinite(price) and price != own[0].mark else math.inf
        for leg in own:
            if leg.told is not None and leg.told > 0:
                yield Comparison(f"liquidation_price {leg.name}", price, leg.told, max(leg.told, gross / lost_per_unit))


def _liquidation(legs: Sequence[PricedLeg], available: float, tiers: Tiers) -> float:
    if len(legs) == 1:
        return liquidation_price(legs[0].quantity, legs[0].mark, available, legs[0].table, tiers)
    quantities, tables = np.array([leg.quantity for leg in legs]), np.array([leg.table for leg in legs], np.int32)
    return joint_liquidation_price(quantities, tables, legs[0].mark, available, tiers)
