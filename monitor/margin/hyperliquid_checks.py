"""Every figure Hyperliquid prints that we compute too, side by side, and what the difference does to a pool.

A comparison is made at the marks of the venue's own frame. Where the venue's figure is another one, the pool carries the
difference (`adjust_*`), so that its level is taken on the worse of the two, both moved by marks.
"""

from __future__ import annotations

import math

from kernels.pool import liquidation_price
from monitor.margin.hyperliquid_rule import exposed_then, maintenance_of, tiers_of
from monitor.margin.ledger import Ledger, LivePosition
from monitor.margin.pooled import Anchor
from monitor.margin.pools import PoolSpec, unknown
from monitor.market import Market
from monitor.reconcile import NOISE, Comparison, compare


def check_standard(spec: PoolSpec, ledger: Ledger, market: Market) -> None:
    """One dex on its own: maintenance margin, cross equity, liquidation prices (notes 4)."""
    comparisons = check_maintenance(spec, [ledger], market)
    spec.comparisons = tuple(comparisons)
    frame = ledger.frame
    if frame is None or not math.isfinite(sum(c.computed for c in comparisons)):
        return
    framed = Ledger.of(frame)
    seen = exposed_then([framed], market)
    equity = frame.cash + seen.positions
    if frame.reported_equity is not None:
        comparison = compare("equity", equity, frame.reported_equity)
        comparisons.append(comparison)
        spec.adjust_equity = comparison.shortfall
    for position in framed.positions.values():
        if not position.isolated:
            comparisons += _liquidation(position, equity - seen.maintenance, market)
    spec.comparisons = tuple(comparisons)


def check_maintenance(spec: PoolSpec, ledgers: list[Ledger], market: Market) -> list[Comparison]:
    """`crossMaintenanceMarginUsed`, and `marginUsed` of cross positions, of the ledgers together.

    The pool becomes a failure where a margin table is unknown.
    """
    unknown(spec, market)
    computed = reported = 0.0
    told = False
    for frame in (ledger.frame for ledger in ledgers):
        if frame is not None and frame.reported_maintenance_margin is not None:
            told = True
            computed += exposed_then([Ledger.of(frame)], market).maintenance
            reported += frame.reported_maintenance_margin
    if not told:
        return []
    comparison = compare("maintenance_margin", computed, reported)
    spec.adjust_maintenance = comparison.shortfall if math.isfinite(computed) else 0.0
    return [comparison, *_initial_margin(ledgers)]


def _initial_margin(ledgers: list[Ledger]) -> list[Comparison]:
    # `marginUsed` of a cross position is its notional over its leverage (notes 3.5); it is told in every mode
    told = [
        (abs(position.quantity) * position.mark / position.leverage, position.reported_margin_used)
        for ledger in ledgers
        if ledger.frame is not None
        for position in ledger.frame.positions
        if position.isolated_cash is None and position.leverage > 0 and position.reported_margin_used is not None
    ]
    return [compare("initial_margin", sum(ours for ours, _ in told), sum(reported for _, reported in told))] if told else []


def check_available(spec: PoolSpec, anchor: Anchor, *, scale: float) -> list[Comparison]:
    """`tokenToAvailableAfterMaintenance` of a pool without collateral: total - isolated - maintenance (notes 5.2)."""
    if anchor.available is None:
        return []
    ours = anchor.total - anchor.exposure.isolated - anchor.exposure.maintenance
    gap = anchor.available - (ours - spec.adjust_maintenance)
    spec.adjust_equity = gap if abs(gap) > NOISE * max(1.0, abs(anchor.total)) else 0.0
    return [compare("available", ours, anchor.available, scale)]


def check_portfolio(spec: PoolSpec, anchor: Anchor, rated: tuple[Anchor, float] | None) -> list[Comparison]:
    """Portfolio margin: collateral value (the venue's follows from availability) or availability, and its own ratio (notes 5.4).

    `rated` is the last ratio told and the anchor of the wallet that told it: frames do not repeat it, and until the next one
    what it said of ours holds.
    """
    if anchor.available is None:
        return []
    seen, net = anchor.exposure, anchor.total - anchor.exposure.isolated
    if seen.collateral > 0:
        told = seen.collateral * anchor.implied
        comparisons = [compare("collateral", seen.collateral, told, max(net, 0.0) + seen.collateral)]
    else:
        comparisons = check_available(spec, anchor, scale=net)
    if rated is not None and rated[0].available is not None:
        comparisons.append(_check_ratio(spec, rated[0], rated[0].available, rated[1]))
    return comparisons


def _check_ratio(spec: PoolSpec, anchor: Anchor, available: float, ratio: float) -> Comparison:
    seen, net = anchor.exposure, anchor.total - anchor.exposure.isolated
    shortfall = max(0.0, seen.maintenance - net)
    extra = spec.borrow_offset if shortfall > 0 else 0.0
    requirement = seen.maintenance + shortfall
    capacity = requirement + available
    computed = (requirement + extra) / capacity if capacity > 0 else math.inf
    if ratio > computed * (1 + _PRINTED):
        spec.adjust_equity = min(spec.adjust_equity, _equity_at_ratio(ratio, spec, net, seen.maintenance, capacity) - net)
    return Comparison("portfolio_margin_ratio", computed, ratio, max(ratio, 0.01))


_PRINTED = 1e-6
"""The venue prints its ratio to nine or ten decimals: a smaller difference is no different opinion."""


def _equity_at_ratio(ratio: float, spec: PoolSpec, net: float, maintenance: float, capacity: float) -> float:
    collateral = capacity - max(net, maintenance)
    plain = maintenance / ratio - collateral
    return plain if plain >= maintenance else 2 * maintenance + spec.borrow_offset - ratio * (maintenance + collateral)


def check_isolated(spec: PoolSpec, position: LivePosition, market: Market) -> None:
    """An isolated position: its equity (`marginUsed`) and liquidation price (notes 4.3, 4.5)."""
    unknown(spec, market)
    told = position.reported
    if told is None or told.isolated_cash is None or not tiers_of(position, market):
        return
    equity = told.isolated_cash + told.quantity * told.mark
    comparisons = []
    if told.reported_margin_used is not None:
        comparison = compare("equity", equity, told.reported_margin_used)
        comparisons.append(comparison)
        spec.adjust_equity = comparison.shortfall
    framed = LivePosition(told.instrument, told.quantity, told.margin_mode, told.leverage, told.max_leverage, told.isolated_cash, told)
    available = equity - maintenance_of(framed, told.mark, market)
    spec.comparisons = (*comparisons, *_liquidation(framed, available, market))


def _liquidation(position: LivePosition, available: float, market: Market) -> list[Comparison]:
    told = position.reported
    reported = None if told is None else told.reported_liquidation_price
    if told is None or reported is None or reported <= 0 or available <= 0:
        return []
    table = market.tiers.number(tiers_of(position, market))
    ours = liquidation_price(told.quantity, told.mark, available, table, market.tiers.arrays)
    return [Comparison(f"liquidation_price {position.instrument.partition(':')[2]}", ours, reported, reported)]
