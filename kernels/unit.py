"""One coin of a portfolio: scenario P&L over the price nodes, the six charges, maintenance margin of each order group.

Formulas: margin model, sections 3 to 7. A unit reads its series only, so a change costs the number of expiries.
"""

from __future__ import annotations

import math

from kernels import contingency
from kernels._jit import jit_inlined
from kernels.contingency import CALLS, DAY, DAYS, DELTA, PUTS, SETTLE, TOTALS, VEGA
from kernels.layout import (
    CHARGES,
    DELTA_SPREAD,
    GROUPS,
    MISSING_INDEX,
    OK,
    PERPETUAL_FUTURE,
    SHORT_OPTION,
    SPOT_BASIS,
    STABLECOIN_SPREAD,
    VEGA_SPREAD,
    Book,
    Floats,
)

UP, UNCHANGED, DOWN = 0, 1, 2
"""Volatility nodes of a scenario."""

TOTAL_COLUMNS = 6
SLOPE, GROSS, WEIGHT, MARKED, ORDER_LOSS, DELTA_SUM = range(TOTAL_COLUMNS)
"""Columns of the totals of a unit's series."""


@jit_inlined
def held_group(series: int, group: int, book: Book) -> int:
    """The group whose sums stand for `group`: a series without orders is summed once, as positions."""
    return group if book.series[series]["has_orders"] else 0


@jit_inlined
def option_pnl(unit: int, group: int, book: Book, out: Floats) -> None:
    """`out` [at least W]: P&L in USD of all options of the unit in each scenario."""
    width = book.rows.shape[1]
    out[:width] = 0.0
    series = book.units[unit]["first_series"]
    while series >= 0:
        if book.series[series]["has_options"]:
            source = held_group(series, group, book)
            for scenario in range(width):
                out[scenario] += book.pnl[series, source, scenario]
        series = book.series[series]["next"]


@jit_inlined
def worst_volatility(options: Floats, node: int, nodes: int) -> int:
    """The volatility node with the least of `options` [3 K] at a price node; on a tie the unchanged one."""
    worst = UNCHANGED
    if options[UP * nodes + node] < options[worst * nodes + node]:
        worst = UP
    if options[DOWN * nodes + node] < options[worst * nodes + node]:
        worst = DOWN
    return worst


@jit_inlined
def stressed_collateral(unit: int, group: int, book: Book) -> float:
    """USD that the coin's balances that are no hedge lose per unit of a falling price (model, section 3)."""
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    free = max(0.0, held["collateral"] - max(0.0, held["hedge"][group]))
    return float(coin["collateral_stress"] * free * held["collateral_ratio"] * coin["index"])


@jit_inlined
def _take_curves(unit: int, group: int, options: Floats, book: Book) -> None:
    option_pnl(unit, group, book, options)
    nodes = book.rules[0]["nodes"]
    for node in range(nodes):
        book.curves[unit, group, node] = min(options[node], options[nodes + node], options[2 * nodes + node])


@jit_inlined
def _losses(unit: int, group: int, book: Book) -> None:
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    slope, hedge = held["slope"][group], held["hedge"][group] * coin["index"]
    collateral, extreme = stressed_collateral(unit, group, book), coin["extreme_weight"]
    nodes, ordinary, row = coin["nodes"], book.rules[0]["ordinary"], held["coin"]
    least = worst_shock = math.inf
    worst = 0
    for node in range(nodes):
        shock = book.nodes[row, node]
        total = slope * shock + collateral * min(0.0, shock) + book.curves[unit, group, node] + max(0.0, hedge * shock)
        if node >= ordinary:
            total *= extreme
        if total < least or (total == least and abs(shock) < worst_shock):
            least, worst, worst_shock = total, node, abs(shock)
    held["worst"][group] = worst
    held["max_loss"][group] = max(0.0, -least)


@jit_inlined
def _charges(unit: int, group: int, count: int, sums: Floats, book: Book) -> float:
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    index = coin["index"]
    charge = held["charge"][group]
    charge[SHORT_OPTION] = charge[VEGA_SPREAD] = charge[DELTA_SPREAD] = 0.0
    if held["has_options"]:
        charge[SHORT_OPTION] = contingency.short_option(sums, count, coin["f_a"], index)
        charge[VEGA_SPREAD] = contingency.vega_spread(sums, count, coin["f_b"])
    if count > 1:
        charge[DELTA_SPREAD] = contingency.delta_spread(sums, count, coin["f_d"], index)
    hedge = held["hedge"][group]
    charge[SPOT_BASIS] = contingency.spot_basis(
        hedge, sums[TOTALS, WEIGHT], sums[TOTALS, MARKED], held["spot_ratio"], coin["basis_factor"], coin["basis_threshold"], index
    )
    charge[PERPETUAL_FUTURE] = contingency.perpetual_future(sums[TOTALS, GROSS], coin["f_e"], index)
    if coin["spot_in_spread"]:
        sums[SETTLE, 0] += hedge
    groups = book.settle.shape[2]
    factor = contingency.stablecoin_factor(sums, groups, sums[TOTALS, WEIGHT], coin["f_c"], book.fx, book.settled_in)
    held["stablecoin_factor"][group] = factor
    charge[STABLECOIN_SPREAD] = contingency.stablecoin_spread(sums, groups, factor, index)
    total = 0.0
    for column in range(CHARGES):
        total += charge[column]
    return total


@jit_inlined
def _gather(unit: int, groups: int, work: Floats, book: Book) -> int:
    # what the series of each group sum to; returns how many series there are
    currencies = book.settle.shape[2]
    for group in range(groups):
        for row in (SETTLE, TOTALS):
            for column in range(max(currencies, TOTAL_COLUMNS)):
                work[group, row, column] = 0.0
    count = 0
    series = book.units[unit]["first_series"]
    while series >= 0:
        summed = book.series[series]
        expiry = book.expiries[summed["expiry"]]
        for group in range(groups):
            source = group if summed["has_orders"] else 0
            work[group, DAYS, count] = expiry["days"]
            work[group, DAY, count] = expiry["day"]
            work[group, DELTA, count] = summed["delta"][source]
            work[group, VEGA, count] = summed["vega"][source]
            work[group, CALLS, count] = summed["calls"][source]
            work[group, PUTS, count] = summed["puts"][source]
            work[group, TOTALS, SLOPE] += summed["slope"][source]
            work[group, TOTALS, GROSS] += summed["gross"][source]
            work[group, TOTALS, WEIGHT] += summed["weight"][source]
            work[group, TOTALS, MARKED] += summed["basis"][source]
            work[group, TOTALS, DELTA_SUM] += summed["delta"][source]
            if source > 0:
                work[group, TOTALS, ORDER_LOSS] += summed["order_loss"][source]
            for currency in range(currencies):
                work[group, SETTLE, currency] += book.settle[series, source, currency]
        count += 1
        series = summed["next"]
    return count


@jit_inlined
def _evaluate_group(unit: int, group: int, count: int, sums: Floats, book: Book) -> None:
    held = book.units[unit]
    held["delta"][group] = sums[TOTALS, DELTA_SUM]
    held["slope"][group] = sums[TOTALS, SLOPE]
    held["order_loss"][group] = sums[TOTALS, ORDER_LOSS]
    held["hedge"][group] = 0.0
    if book.coins[held["coin"]]["hedgeable"]:
        held["hedge"][group] = contingency.hedging_spot(held["spot"], sums[TOTALS, DELTA_SUM], held["hedge_cap"])
    _losses(unit, group, book)
    charges = _charges(unit, group, count, sums, book)
    held["maintenance"][group] = held["max_loss"][group] + sums[TOTALS, ORDER_LOSS] + charges


@jit_inlined
def _take_positions(unit: int, book: Book) -> None:
    # status, kinds of legs and what the positions are worth
    held = book.units[unit]
    index = book.coins[held["coin"]]["index"]
    status = OK if index > 0.0 else MISSING_INDEX
    value = liquidity = gross = net = 0.0
    flagged = 0
    has_orders = has_options = False
    series = held["first_series"]
    while series >= 0:
        summed = book.series[series]
        if summed["status"] != OK:
            status = summed["status"]
        has_orders = has_orders or summed["has_orders"]
        has_options = has_options or summed["has_options"]
        value += summed["value"] + summed["value_coin"] * index
        liquidity += summed["liquidity"]
        gross += summed["gross_notional"]
        net += summed["net_notional"]
        flagged += summed["flagged"]
        series = summed["next"]
    # the curves hold options that are gone, or not yet the groups of orders that came
    if has_options != held["has_options"] or has_orders != held["has_orders"]:
        held["options_moved"] = True
    held["status"], held["has_orders"], held["has_options"] = status, has_orders, has_options
    held["value"], held["liquidity"], held["flagged"] = value, liquidity, flagged
    held["gross_notional"], held["net_notional"] = gross, net


@jit_inlined
def evaluate_unit(unit: int, work: Floats, book: Book) -> None:
    """Margin of one unit under each order group, from its series. A series without a value gives the unit its status.

    `work` [3, 8, n]: n at least W, the number of expiries and the number of settlement groups.
    """
    _take_positions(unit, book)
    held = book.units[unit]
    if held["status"] != OK:
        return
    groups = GROUPS if held["has_orders"] else 1
    if held["options_moved"]:
        for group in range(groups):
            _take_curves(unit, group, work[group, 0], book)
        held["options_moved"] = False
    count = _gather(unit, groups, work, book)
    held["binding"] = 0
    for group in range(groups):
        _evaluate_group(unit, group, count, work[group], book)
        if held["maintenance"][group] > held["maintenance"][held["binding"]]:
            held["binding"] = group
