"""Compile or load every kernel before the first tick, with exactly the argument types the engine uses."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import attribution, breakdown, cross, distance, layout, pool, portfolio, portfolio_distance, stress
from kernels._jit import forbid_compilation


def warm_up(*, forbid: bool = True) -> None:
    """Run every kernel once on a book of one position.

    `forbid`: from then on a call with another argument type raises instead of compiling on the event loop.
    """
    positions = pool.Positions(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), np.zeros(1, np.bool_), np.full(1, 0.1), np.zeros(1, np.int32),
        np.full(1, -1, np.int32),
    )  # fmt: skip
    collateral = pool.Collateral(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), np.full(1, 0.5), np.full(1, -1, np.int32))
    tiers = pool.Tiers(np.array([0, 1], np.int32), np.zeros(1), np.full(1, 0.05), np.zeros(1))
    prices = pool.Prices(np.full(1, 100.0), np.ones(1, np.bool_), np.full(1, 10.0), np.ones(1, np.bool_))
    pools = pool.Pools(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.full(1, -90.0), np.zeros(1), np.zeros(1), np.ones(1), np.zeros(1, np.bool_),
        np.zeros(1), np.zeros(1), np.zeros(1), np.ones((1, 6)), np.ones(1, np.bool_),
    )  # fmt: skip
    out = pool.Margins(
        np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1),
        np.zeros(1, np.int32), np.full(1, -2, np.int32), np.zeros(1, np.bool_), np.zeros(1, np.int32),
    )  # fmt: skip
    pool.evaluate_pools(positions, collateral, tiers, prices, pools, out)
    pool.maintenance_margin(100.0, 0, tiers)
    pool.liquidation_price(1.0, 100.0, 5.0, 0, tiers)
    pool.position_value(-1.0, 100.0, True)
    pool.inverse_liquidation_price(100.0, 100.0, 0.5, 0, tiers)
    pool.joint_liquidation_price(np.array([2.0, -1.0]), np.zeros(2, np.int32), 100.0, 5.0, tiers)
    pool.liquidation_prices(positions, tiers, prices, pools, out, np.zeros(1))
    pool.cash_to_ratio(0.85, 10.0, 5.0, 1.0, 0.95, True, 20.0)
    pool.reduction_to_ratio(0.85, 0, positions, tiers, prices, pools, out)
    pool.require(10.0, 5.0, 1.0, True, 20.0)
    pool.pool_ratio(1.0, 2.0, 1.0)
    pool.worse_ratio(0, 10.0, 5.0, 1.0, pools)
    distance.distance_to_ratio(0, 1.0, distance.SCAN, np.ones(1), np.ones(1), positions, collateral, tiers, prices, pools)
    if forbid:
        forbid_compilation()


def warm_up_portfolio() -> None:
    """Run every kernel of the portfolio method once, on a book of one option."""
    one = {name: np.zeros(1, getattr(layout, name.upper())) for name in ("coin", "instrument", "expiry", "leg", "order", "series", "unit")}
    one |= {name: np.zeros(1, getattr(layout, name.upper())) for name in ("portfolio", "cash", "rules")}
    for name, fields in _NO_MORE.items():
        for field in fields:
            one[name][field] = -1
    one["rules"]["nodes"] = one["rules"]["ordinary"] = one["coin"]["nodes"] = 3
    one["coin"]["index"] = one["instrument"]["forward"] = one["instrument"]["strike"] = 100.0
    one["instrument"]["kind"], one["instrument"]["volatility"], one["leg"]["quantity"] = layout.OPTION, 0.5, -1.0
    one["series"]["has_options"] = True
    book = layout.Book(
        one["rules"], one["coin"], np.zeros(1, stress.PRICING), one["instrument"], one["expiry"], one["leg"], one["order"],
        one["series"], one["unit"], one["portfolio"], one["cash"], np.ones(1), np.zeros(1, np.int32), np.array([[-0.1, 0.0, 0.1]]),
        np.zeros((1, 4, 16)), np.zeros((1, 16)), np.zeros((1, 3, 16)), np.zeros((1, 3, 1)), np.zeros((1, 3, 3)),
        np.zeros((5, 4), np.int32), np.zeros(5, np.int32),
    )  # fmt: skip
    book.pricing["vol_cap"] = 5.0
    stress.set_clock(0, 0, book.expiries, book.nodes, book.pricing, book.scenarios)
    portfolio.move_forwards(np.zeros(1, np.int32), 100.0, book.instruments, book.queue, book.queued)
    portfolio.evaluate(book)
    breakdown.unit_curves(0, 0, book, np.zeros((breakdown.ROWS, 3)))
    breakdown.joint_losses(0, 0, book)
    breakdown.unit_greeks(0, 0, book)
    breakdown.leg_notionals(0, book, np.zeros(1))
    breakdown.unit_choice(0, 0, book)
    attribution.contributions(0, 0, book, np.zeros(1), np.zeros(2))
    attribution.margin_without(0, book)
    attribution.margin_after(1.0, 0, book)
    attribution.least_share(0, 1.0, 100, book)
    attribution.margin_alone(0, 0, 0, 0, book)
    tiers = pool.Tiers(np.array([0, 1], np.int32), np.zeros(1), np.full(1, 0.01), np.zeros(1))
    cross.cross_margins(0, book, np.zeros(1, np.int32), np.zeros(1), tiers, np.zeros(2))
    cross.short_option(1.0, 1.0, True, 0.1, 0.0)
    cross.tier_margin(1.0, 0, 0.0, tiers)
    copies: list[Any] = [array.copy() for array in book]
    trial = layout.Book(*copies)
    portfolio_distance.distances(0, np.ones(1), np.array([-0.1, 0.0, 0.1]), np.ones(1), book, trial, np.zeros((1, 2)))
    portfolio_distance.moved_figures(0, np.zeros(1), np.ones(1), book, trial, np.zeros((1, 3)))


_NO_MORE = {
    "coin": ("first_cash",),
    "instrument": (),
    "leg": ("next", "next_of_instrument", "first_order"),
    "series": ("next",),
    "unit": ("next", "next_of_coin"),
    "portfolio": ("first_cash",),
}
