"""The position-by-position comparator on every tick: what `monitor/margin/cross.py` explains leg by leg, summed (model, section 9)."""

from __future__ import annotations

import numpy as np

from kernels._jit import jit, jit_on_tick
from kernels.layout import MISSING_INDEX, OK, OPTION, Book, Floats, Ints
from kernels.pool import Tiers
from kernels.series import leg_notional

UNKNOWN_TIER = 100
"""Status of a portfolio with a linear leg whose instrument has no margin table."""

OPTION_RATE, OPTION_FEE, OPTION_INITIAL, OPTION_LEAST = 0.03, 0.002, 0.15, 0.10
"""Rates of a short option: maintenance and fee on index and mark, initial margin, and the least it may be."""


@jit
def short_option(index: float, strike: float, call: bool, mark: float, entry: float) -> tuple[float, float]:
    """(maintenance, initial) margin in USD of one contract sold, before initial is raised to maintenance; prices in USD per coin."""
    outside = max(0.0, strike - index) if call else max(0.0, index - strike)
    maintenance = max(OPTION_RATE * index, OPTION_RATE * mark) + mark + OPTION_FEE * index
    return maintenance, max(OPTION_INITIAL * index - outside, OPTION_LEAST * index) + max(entry, mark)


@jit
def tier_margin(notional: float, table: int, max_leverage: float, tiers: Tiers) -> tuple[float, float]:
    """(maintenance, initial) margin in USD of an absolute notional by one tier table; `max_leverage` 0: not told."""
    first = tiers.start[table]
    row = first
    for candidate in range(first + 1, tiers.start[table + 1]):
        if tiers.bound[candidate] > notional:
            break
        row = candidate
    rate, least = tiers.rate[row], tiers.rate[first]
    maintenance = max(0.0, notional * rate - tiers.deduction[row])
    initial = rate / (least * max_leverage) if max_leverage > 0.0 and least > 0.0 else 2.0 * rate
    return maintenance, max(maintenance, notional * initial)


@jit_on_tick
def cross_margins(portfolio: int, book: Book, tables: Ints, leverages: Floats, tiers: Tiers, out: Floats) -> int:
    """Write `out` [2]: maintenance and initial margin in USD of a portfolio, leg by leg; returns OK or why there is none.

    `tables` [instrument] number of its tier table (-1: none told) and `leverages` [instrument] its maximum leverage (0: not told).
    Resting orders do not count, and what is paid in full (long options, outcomes) asks for nothing.
    """
    out[0] = out[1] = 0.0
    unit = book.portfolios[portfolio]["first_unit"]
    while unit >= 0:
        index = book.coins[book.units[unit]["coin"]]["index"]
        series = book.units[unit]["first_series"]
        while series >= 0:
            leg = book.series[series]["first_leg"]
            while leg >= 0:
                quantity = book.legs[leg]["quantity"][0]
                number = book.legs[leg]["instrument"]
                instrument = book.instruments[number]
                if quantity != 0.0 and instrument["kind"] < OPTION:
                    if instrument["status"] != OK:
                        return int(instrument["status"])
                    if tables[number] < 0:
                        return UNKNOWN_TIER
                    notional = abs(leg_notional(leg, book))
                    maintenance, initial = tier_margin(notional, tables[number], leverages[number], tiers)
                    out[0] += maintenance
                    out[1] += initial
                elif quantity < 0.0 and instrument["kind"] == OPTION:
                    if instrument["status"] != OK:
                        return int(instrument["status"])
                    if not index > 0.0:
                        return MISSING_INDEX
                    fx = book.fx[instrument["fx"]]
                    usd = instrument["forward"] if instrument["coin_settled"] else fx
                    entry = book.legs[leg]["entry"] * usd
                    mark = instrument["base"] * fx
                    maintenance, initial = short_option(index, instrument["strike"], instrument["call"], mark, entry)
                    out[0] -= quantity * maintenance
                    out[1] -= quantity * max(initial, maintenance)
                leg = book.legs[leg]["next"]
            series = book.series[series]["next"]
        unit = book.units[unit]["next"]
    if not np.isfinite(out[0] + out[1]):
        return UNKNOWN_TIER
    return OK
