"""What a document says the venue reported of a pool, beside our figures, and what the difference does to the pool.

Live, the same comparison is made at the marks of the venue's own frame (`hyperliquid_checks`, `aster_checks`); a document holds
those marks, so that a saved pool carries the same difference and shows the same ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from connectors.model import PositionSide
from kernels.pool import cash_to_ratio, liquidation_price, maintenance_margin, require
from monitor.margin.aster_checks import PricedLeg, compare_liquidations
from monitor.margin.pools import Leg, PoolSpec
from monitor.margin.result import PoolKind
from monitor.market import Market
from monitor.reconcile import NOISE, Comparison, compare

_PRINTED = 1e-6
_FAR = 10.0


class _Figures(NamedTuple):
    equity: float
    maintenance: float
    collateral: float


def check_reported(
    spec: PoolSpec,
    venue: str,
    reported: Mapping[str, float | None],
    *,
    is_only: bool,
    market: Market,
    residual: float | None = None,
) -> None:
    """Compare a pool with the figures of `reported`, keyed by pool and figure ("main equity"), or by figure where the pool `is_only`.

    Compared: maintenance_margin, equity, available, collateral, portfolio_margin_ratio, and where the pool has margin of its own
    "liquidation_price SYMBOL". Writes `comparisons` and `adjust_*`. `residual` ties a pool of Aster's multi-assets mode to the
    venue's total: without it its equity is our valuation, which is what is compared there; None: not known.
    """
    told = {name: value for name in _FIGURES if (value := _told(spec.name, name, reported, is_only)) is not None}
    ours = _figures(spec, venue, market)
    if spec.failures or not math.isfinite(sum(ours)):
        return
    comparisons: list[Comparison] = []
    if "maintenance_margin" in told:
        comparisons.append(compare("maintenance_margin", ours.maintenance, told["maintenance_margin"]))
        spec.adjust_maintenance = comparisons[-1].shortfall
    if spec.kind is PoolKind.ASTER_MULTI_ASSETS:
        if "equity" in told and residual is not None:
            comparisons.append(compare("equity", ours.equity + ours.collateral - residual, told["equity"]))
            spec.model_error = comparisons[-1].difference
    elif "equity" in told and not spec.borrows:
        comparisons.append(compare("equity", ours.equity + ours.collateral, told["equity"]))
        spec.adjust_equity = comparisons[-1].shortfall
    if "available" in told:
        comparisons.append(_available(spec, ours, told["available"]))
    if "collateral" in told:
        scale = max(ours.equity, 0.0) + ours.collateral
        comparisons.append(compare("collateral", ours.collateral, told["collateral"], scale))
    if "portfolio_margin_ratio" in told and spec.borrows:
        comparisons.append(_ratio(spec, ours, told["portfolio_margin_ratio"], told.get("available")))
    prices = {leg: _told(spec.name, f"liquidation_price {_symbol(leg, market)}", reported, is_only) for leg in spec.legs}
    rule = _aster_liquidations if spec.kind in _ASTER else _liquidations
    spec.comparisons = (*comparisons, *rule(spec, ours, prices, market))


_ASTER = frozenset({PoolKind.ASTER_CROSS, PoolKind.ASTER_MULTI_ASSETS, PoolKind.ASTER_ISOLATED})
_FIGURES = ("maintenance_margin", "equity", "available", "collateral", "portfolio_margin_ratio")


def _told(pool: str, figure: str, reported: Mapping[str, float | None], is_only: bool) -> float | None:
    value = reported.get(f"{pool} {figure}")
    return reported.get(figure) if value is None and is_only else value


def _figures(spec: PoolSpec, venue: str, market: Market) -> _Figures:
    equity, maintenance = spec.cash, 0.0
    for leg in spec.legs:
        value, table = leg.quantity * market.mark(leg.instrument), market.tiers.number(leg.tiers)
        equity += value
        maintenance += maintenance_margin(abs(value), table, market.tiers.arrays) if table >= 0 else math.nan
    collateral = sum(leg.amount * leg.ratio * market.asset_price(venue, leg.asset) for leg in spec.collateral)
    return _Figures(equity, maintenance, collateral)


def _liquidations(spec: PoolSpec, ours: _Figures, told: Mapping[Leg, float | None], market: Market) -> Iterator[Comparison]:
    available = ours.equity - ours.maintenance
    if not (spec.mode == "standard" or spec.kind is PoolKind.HYPERLIQUID_ISOLATED) or available <= 0:
        return
    for leg, reported in told.items():
        known = market.instruments[leg.instrument]
        symbol = _symbol(leg, market)
        # a contract of many coins is told per contract, and a document is per coin
        if reported is not None and reported > 0 and symbol.rpartition(":")[2] == known.coin:
            table = market.tiers.number(leg.tiers)
            price = liquidation_price(leg.quantity, market.mark(leg.instrument), available, table, market.tiers.arrays)
            yield Comparison(f"liquidation_price {symbol}", price, reported, reported)


def _aster_liquidations(spec: PoolSpec, ours: _Figures, told: Mapping[Leg, float | None], market: Market) -> Iterator[Comparison]:
    rows = []
    for leg, reported in told.items():
        known = market.instruments[leg.instrument]
        mark, table = market.mark(leg.instrument), market.tiers.number(leg.tiers)
        # a contract of many coins (1000PEPE) is told per contract, and a document is per coin
        is_one = known.symbol.startswith(known.coin)
        rows.append(PricedLeg(leg.instrument, _symbol(leg, market), leg.quantity, mark, table, reported if is_one else None))
    return compare_liquidations(rows, ours.equity + ours.collateral - ours.maintenance, market.tiers.arrays)


def _symbol(leg: Leg, market: Market) -> str:
    symbol = market.instruments[leg.instrument].symbol
    return symbol if leg.side is PositionSide.BOTH else f"{symbol}:{leg.side.name}"


def _available(spec: PoolSpec, ours: _Figures, told: float) -> Comparison:
    available = ours.equity + ours.collateral - ours.maintenance
    gap = told - (available - spec.adjust_maintenance)
    spec.adjust_equity = gap if abs(gap) > NOISE * max(1.0, abs(ours.equity)) else 0.0
    return compare("available", available, told, ours.equity)


def _ratio(spec: PoolSpec, ours: _Figures, told: float, available: float | None) -> Comparison:
    if available is None:
        available = ours.equity + ours.collateral - ours.maintenance
    collateral = available + ours.maintenance - ours.equity
    requirement, capacity = require(ours.equity, ours.maintenance, collateral, True, spec.borrow_offset)
    computed = requirement / capacity if capacity > 0 else math.inf
    if told > computed * (1 + _PRINTED):
        low = ours.equity - _FAR * (capacity + requirement)
        needed = low + cash_to_ratio(told / spec.limit, low, ours.maintenance, collateral, spec.limit, True, spec.borrow_offset)
        spec.adjust_equity = min(spec.adjust_equity, needed - ours.equity)
    return Comparison("portfolio_margin_ratio", computed, told, max(told, 0.01))
