"""Who the margin comes from: Euler contributions of legs, a leg's margin on its own, the portfolio's margin with less of it.

Formulas: margin model, section 9. These are off the way of a tick; all but the contributions work on a copy of the book, which they
change.
"""

from __future__ import annotations

import math

import numpy as np

from kernels import contingency
from kernels._jit import jit, jit_inlined
from kernels.layout import GROUPS, INVERSE, LINEAR, OPTION, SPOT_BASIS, Book, Floats
from kernels.portfolio import evaluate, queue_series
from kernels.series import order_loss
from kernels.unit import held_group, option_pnl, stressed_collateral, worst_volatility

SPOT, COLLATERAL = 0, 1
"""Rows of a unit besides its legs."""

CLOSE = 1e-12
"""Shares of a position that are as good as the same."""


@jit
def spread_slopes(weight: Floats, days: Floats, out: Floats) -> None:
    """`out`: derivative of `contingency.spread` by each weight; neighbours of equal `days` are netted, equal sides count as long."""
    long = short = long_days = short_days = 0.0
    row = 0
    while row < days.shape[0]:
        begin = row
        net = 0.0
        while row < days.shape[0] and days[row] == days[begin]:
            net += weight[row]
            row += 1
        if net > 0.0:
            long += net
            long_days += net * days[begin]
        else:
            short -= net
            short_days -= net * days[begin]
        out[begin:row] = net
    if long == 0.0 or short == 0.0:
        out[:] = 0.0
        return
    mean_long, mean_short, hedged = long_days / long, short_days / short, min(long, short)
    apart = mean_long - mean_short
    turn = np.sign(apart)
    for row in range(days.shape[0]):
        if out[row] > 0.0:
            out[row] = turn * (days[row] - mean_long) * (hedged / long) + (abs(apart) if long <= short else 0.0)
        elif out[row] < 0.0:
            out[row] = turn * (days[row] - mean_short) * (hedged / short) - (abs(apart) if long > short else 0.0)


@jit_inlined
def _net_on_day(series: int, unit: int, group: int, book: Book) -> tuple[float, float]:
    day = book.expiries[book.series[series]["expiry"]]["day"]
    calls = puts = 0.0
    other = book.units[unit]["first_series"]
    while other >= 0:
        if book.series[other]["has_options"] and book.expiries[book.series[other]["expiry"]]["day"] == day:
            source = held_group(other, group, book)
            calls += book.series[other]["calls"][source]
            puts += book.series[other]["puts"][source]
        other = book.series[other]["next"]
    return calls, puts


@jit_inlined
def _leg_share(
    leg: int,
    unit: int,
    group: int,
    volatility: int,
    nets: tuple[float, float],
    slopes: tuple[float, float],
    means: tuple[float, float],
    book: Book,
) -> float:
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    series = book.legs[leg]["series"]
    instrument = book.instruments[book.legs[leg]["instrument"]]
    quantity = book.legs[leg]["quantity"][group]
    fx = book.fx[instrument["fx"]]
    index = coin["index"]
    node = held["worst"][group]
    weight = 1.0 if node < book.rules[0]["ordinary"] else coin["extreme_weight"]
    shock = book.nodes[held["coin"], node] * book.expiries[book.series[series]["expiry"]]["decay"]
    share = 0.0
    if instrument["kind"] >= OPTION:
        delta, price = quantity * instrument["delta"], instrument["forward"] * fx
        coins = delta
        pnl = quantity * fx * book.rows[instrument["row"], volatility * book.rules[0]["nodes"] + node]
        if instrument["kind"] == OPTION:
            coins = quantity
            net = nets[0] if instrument["call"] else nets[1]
            if net < 0.0:
                share -= quantity * coin["f_a"] * index
        share += quantity * instrument["vega"] * slopes[0] * coin["f_b"]
    else:
        coins = quantity if instrument["kind"] == LINEAR else quantity / instrument["mark"]
        price = instrument["mark"] * fx if instrument["kind"] == LINEAR else instrument["mark"]
        delta, pnl = coins, coins * price * shock
        share += contingency.perpetual_future(abs(coins), coin["f_e"], index)
    if held["max_loss"][group] > 0.0:
        share -= weight * pnl
    share += delta * slopes[1] * coin["f_d"] * index
    if held["charge"][group, SPOT_BASIS] > 0.0:
        share += abs(held["hedge"][group]) * coin["basis_factor"] * abs(coins) * (price - means[0]) / means[1]
    if group > 0:
        share += order_loss(leg, group, book)
    return float(share)


@jit_inlined
def _stablecoin_slopes(unit: int, group: int, book: Book) -> Floats:
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    slopes: Floats = np.zeros(book.settle.shape[2])
    series = held["first_series"]
    while series >= 0:
        slopes += book.settle[series, held_group(series, group, book)]
        series = book.series[series]["next"]
    if coin["spot_in_spread"]:
        slopes[0] += held["hedge"][group]
    scale = held["stablecoin_factor"][group] * coin["index"] / 2.0
    net = np.sign(slopes.sum())
    for currency in range(slopes.shape[0]):
        slopes[currency] = (np.sign(slopes[currency]) - net) * scale
    return slopes


@jit
def contributions(unit: int, group: int, book: Book, legs: Floats, others: Floats) -> None:
    """`legs[leg]` of every leg of the unit and `others` [2] (hedging spot, collateral), USD: they sum to its maintenance margin.

    Active branch of every min and max; the hedging spot bears contingency D2, the legs its change with the weighted basis.
    """
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    count = 0
    weight = marked = 0.0
    series = held["first_series"]
    while series >= 0:
        source = held_group(series, group, book)
        weight += book.series[series]["weight"][source]
        marked += book.series[series]["basis"][source]
        count += 1
        series = book.series[series]["next"]
    days, delta, vega = np.empty(count), np.empty(count), np.empty(count)
    by_delta, by_vega = np.empty(count), np.empty(count)
    row = 0
    series = held["first_series"]
    while series >= 0:
        source = held_group(series, group, book)
        days[row] = book.expiries[book.series[series]["expiry"]]["days"]
        delta[row], vega[row] = book.series[series]["delta"][source], book.series[series]["vega"][source]
        row += 1
        series = book.series[series]["next"]
    spread_slopes(delta, days, by_delta)
    spread_slopes(vega, days, by_vega)
    by_settlement = _stablecoin_slopes(unit, group, book)
    options = np.zeros(book.rows.shape[1])
    option_pnl(unit, group, book, options)
    volatility = worst_volatility(options, held["worst"][group], book.rules[0]["nodes"])
    means = (marked / weight if weight > 0.0 else 0.0, weight)
    row = 0
    series = held["first_series"]
    while series >= 0:
        nets = _net_on_day(series, unit, group, book)
        leg = book.series[series]["first_leg"]
        while leg >= 0:
            instrument = book.instruments[book.legs[leg]["instrument"]]
            quantity = book.legs[leg]["quantity"][group]
            legs[leg] = _leg_share(leg, unit, group, volatility, nets, (by_vega[row], by_delta[row]), means, book)
            if instrument["kind"] >= OPTION:
                quantity *= instrument["delta"]
            elif instrument["kind"] == INVERSE:
                quantity /= instrument["mark"]
            legs[leg] += quantity * by_settlement[instrument["settle"]]
            leg = book.legs[leg]["next"]
        row += 1
        series = book.series[series]["next"]
    hedge = held["hedge"][group]
    others[SPOT] = held["charge"][group, SPOT_BASIS] + (hedge * by_settlement[0] if coin["spot_in_spread"] else 0.0)
    others[COLLATERAL] = 0.0
    if held["max_loss"][group] > 0.0:
        node = held["worst"][group]
        shock = book.nodes[held["coin"], node]
        scale = 1.0 if node < book.rules[0]["ordinary"] else coin["extreme_weight"]
        others[SPOT] -= scale * max(0.0, hedge * coin["index"] * shock)
        others[COLLATERAL] = -scale * stressed_collateral(unit, group, book) * min(0.0, shock)


@jit_inlined
def _margin_now(leg: int, book: Book) -> float:
    # of the leg's portfolio, after the leg was changed
    series = book.legs[leg]["series"]
    queue_series(series, book)
    evaluate(book)
    return float(book.portfolios[book.units[book.series[series]["unit"]]["portfolio"]]["maintenance"])


@jit
def margin_without(leg: int, book: Book) -> float:
    """Maintenance margin in USD of the leg's portfolio without it and its orders; `book` is a copy, restored but for its results."""
    held = book.legs[leg]
    kept = held["quantity"].copy()
    first_order = held["first_order"]
    held["quantity"][:] = 0.0
    held["first_order"] = -1
    margin = _margin_now(leg, book)
    for group in range(GROUPS):
        held["quantity"][group] = kept[group]
    held["first_order"] = first_order
    _margin_now(leg, book)
    return margin


@jit_inlined
def _margin_with(share: float, leg: int, kept: Floats, book: Book) -> float:
    # `kept` [3] are the quantities of the whole leg; the orders in the last two stay
    quantity = book.legs[leg]["quantity"]
    for group in range(GROUPS):
        quantity[group] = kept[group] - share * kept[0]
    return _margin_now(leg, book)


@jit
def margin_after(share: float, leg: int, book: Book) -> float:
    """Maintenance margin in USD of the leg's portfolio with a share (1: all) of its position traded away; its orders stay.

    The margin of sections 2 to 8 for that quantity; `book` is a copy, restored but for its results.
    """
    kept = book.legs[leg]["quantity"].copy()
    margin = _margin_with(share, leg, kept, book)
    _margin_with(0.0, leg, kept, book)
    return margin


@jit
def least_share(leg: int, allowed: float, steps: int, book: Book) -> float:
    """The share of the leg's position to trade away for a maintenance margin of its portfolio of at most `allowed` USD; NaN: none does.

    As in `margin_after`. The margin need not fall steadily: of the shares 1/steps, 2/steps, ... 1 the first that suffices is bisected
    towards the one before it, to 1e-12. `book` is a copy, restored but for its results.
    """
    kept = book.legs[leg]["quantity"].copy()
    found = math.nan
    for step in range(1, steps + 1):
        if _margin_with(step / steps, leg, kept, book) <= allowed:
            found = step / steps
            break
    near = found - 1.0 / steps
    while found - near > CLOSE:
        middle = 0.5 * (near + found)
        if _margin_with(middle, leg, kept, book) <= allowed:
            found = middle
        else:
            near = middle
    _margin_with(0.0, leg, kept, book)
    return found


@jit
def margin_alone(leg: int, series: int, unit: int, portfolio: int, book: Book) -> float:
    """Maintenance margin in USD of a leg and its orders alone.

    `series`, `unit`, `portfolio` are spare rows of `book`, a copy that is restored but for them.
    """
    held = book.legs[leg]
    source = book.series[held["series"]]
    follower, owner = held["next"], held["series"]
    held["next"] = -1
    held["series"] = series
    alone = book.series[series]
    alone["unit"], alone["next"], alone["expiry"], alone["first_leg"] = unit, -1, source["expiry"], leg
    alone["has_options"], alone["has_orders"] = source["has_options"], held["first_order"] >= 0
    book.units[unit]["portfolio"], book.units[unit]["next"], book.units[unit]["first_series"] = portfolio, -1, series
    book.units[unit]["coin"] = book.units[source["unit"]]["coin"]
    book.portfolios[portfolio]["first_unit"], book.portfolios[portfolio]["first_cash"] = unit, -1
    queue_series(series, book)
    evaluate(book)
    held["next"] = follower
    held["series"] = owner
    return float(book.portfolios[portfolio]["maintenance"])
