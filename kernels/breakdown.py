"""What a result shows beside what a tick needs: P&L over the price nodes, families of scenarios, greeks and notionals.

Read from an evaluated book, on request. Formulas: margin model, sections 3 and 7.
"""

from __future__ import annotations

import numpy as np

from kernels._jit import jit, jit_inlined
from kernels.layout import OPTION, Book, Floats
from kernels.portfolio import chosen_group, joint_loss, joint_pnl
from kernels.series import leg_notional
from kernels.unit import UNCHANGED, option_pnl, stressed_collateral, worst_volatility

LINEAR_ROW, OPTION_ROW, SPOT_ROW, COLLATERAL_ROW, ALL_ROW, ROWS = 0, 1, 4, 5, 6, 7
"""Rows of `unit_curves`; the option rows are three, one a volatility node."""


@jit
def unit_curves(unit: int, group: int, book: Book, out: Floats) -> int:
    """`out` [ROWS, K]: P&L in USD at each price node, extremes unweighted; returns the volatility node of the worst scenario."""
    held = book.units[unit]
    nodes = book.rules[0]["nodes"]
    options = np.zeros(book.rows.shape[1])
    option_pnl(unit, group, book, options)
    hedge = held["hedge"][group] * book.coins[held["coin"]]["index"]
    collateral = stressed_collateral(unit, group, book)
    for node in range(nodes):
        shock = book.nodes[held["coin"], node]
        out[LINEAR_ROW, node] = held["slope"][group] * shock
        for volatility in range(3):
            out[OPTION_ROW + volatility, node] = options[volatility * nodes + node]
        out[SPOT_ROW, node] = max(0.0, hedge * shock)
        out[COLLATERAL_ROW, node] = collateral * min(0.0, shock)
        least = options[worst_volatility(options, node, nodes) * nodes + node]
        out[ALL_ROW, node] = out[LINEAR_ROW, node] + least + out[SPOT_ROW, node] + out[COLLATERAL_ROW, node]
    return worst_volatility(options, held["worst"][group], nodes)


@jit_inlined
def _static_loss(unit: int, group: int, static: Floats, book: Book) -> float:
    # max_loss without volatility shocks
    held = book.units[unit]
    coin = book.coins[held["coin"]]
    hedge, collateral = held["hedge"][group] * coin["index"], stressed_collateral(unit, group, book)
    least = 0.0
    for node in range(coin["nodes"]):
        shock = book.nodes[held["coin"], node]
        total = held["slope"][group] * shock + collateral * min(0.0, shock) + static[node] + max(0.0, hedge * shock)
        least = min(least, total if node < book.rules[0]["ordinary"] else coin["extreme_weight"] * total)
    return -least


@jit
def joint_losses(portfolio: int, choice: int, book: Book) -> tuple[float, float]:
    """(L_joint, L_shift without volatility shocks) in USD under a choice of groups."""
    rules = book.rules[0]
    options = np.zeros(book.rows.shape[1])
    totals: Floats = np.zeros(rules["ordinary"])
    static_sum = loss_sum = 0.0
    unit = book.portfolios[portfolio]["first_unit"]
    while unit >= 0:
        group = chosen_group(unit, choice, book)
        option_pnl(unit, group, book, options)
        static = options[UNCHANGED * rules["nodes"] : (UNCHANGED + 1) * rules["nodes"]]
        loss = _static_loss(unit, group, static, book)
        static_sum += loss
        loss_sum += book.units[unit]["max_loss"][group]
        for node in range(rules["ordinary"]):
            totals[node] += joint_pnl(unit, group, node, static[node], loss, book)
        unit = book.units[unit]["next"]
    static_joint = min(static_sum, max(0.0, -totals.min()))
    shifted = static_joint + rules["correlation_shift"] * (static_sum - static_joint)
    return min(loss_sum, joint_loss(portfolio, choice, book)), shifted


@jit
def unit_greeks(unit: int, group: int, book: Book) -> tuple[float, float]:
    """(gamma in coin per USD, vega in USD per 1.00 of volatility) of a unit."""
    gamma = vega = 0.0
    series = book.units[unit]["first_series"]
    while series >= 0:
        leg = book.series[series]["first_leg"]
        while leg >= 0:
            instrument = book.instruments[book.legs[leg]["instrument"]]
            if instrument["kind"] >= OPTION:
                gamma += book.legs[leg]["quantity"][group] * instrument["gamma"]
                vega += book.legs[leg]["quantity"][group] * instrument["vega"] * book.fx[instrument["fx"]]
            leg = book.legs[leg]["next"]
        series = book.series[series]["next"]
    return gamma, vega


@jit
def leg_notionals(unit: int, book: Book, out: Floats) -> None:
    """`out[leg]` of every leg of a unit: USD notional of its position, signed by its coin delta."""
    series = book.units[unit]["first_series"]
    while series >= 0:
        leg = book.series[series]["first_leg"]
        while leg >= 0:
            out[leg] = leg_notional(leg, book)
            leg = book.legs[leg]["next"]
        series = book.series[series]["next"]


@jit
def unit_choice(unit: int, choice: int, book: Book) -> int:
    """The order group of a unit under one of the four choices."""
    return chosen_group(unit, choice, book)
