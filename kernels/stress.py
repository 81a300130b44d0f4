"""Pricing of the stress engine: the scenario tables of an expiry, and the row of scenario values of an option or outcome."""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import jit
from kernels.black76 import (
    MAX_DEVIATION,
    MIN_DEVIATION,
    SCALE,
    digital_greeks_one,
    digital_one,
    greeks_one,
    implied_volatility_one,
    log_ratio,
    price_one,
    two_values,
    unshocked_greeks,
)
from kernels.layout import (
    FACTOR,
    GROWTH,
    INVERSE_FACTOR,
    LANES,
    LOG_GROWTH,
    MISSING_FORWARD,
    MISSING_IV,
    NOT_FINITE,
    OK,
    OUTCOME,
    Floats,
    Ints,
    Table,
)

DAY_S = 86400.0
YEAR_S = 365.0 * DAY_S

PRICING = np.dtype(
    [
        ("vol_up", "f8"),
        ("vol_down", "f8"),
        ("vol_exponent", "f8"),
        ("vol_floor", "f8"),
        ("vol_cap", "f8"),
        ("near_expiry", "f8"),
        ("base_is_mark", "?"),
    ],
    align=True,
)
"""How the options of a coin are priced. `vol_up` and `vol_down` the relative volatility shocks (both positive) of 30 days, scaled
by (30 / DTE) ^ `vol_exponent`; `vol_floor` and `vol_cap` bound a shocked volatility; `near_expiry` in seconds; `base_is_mark`:
the base is the told mark where there is one."""

# options priced together: their scratch stays in the first-level cache
_TOGETHER = 32
_FORWARD, _STRIKE, _SIGN, _YEARS, _SIGMA, _MARK, _FLOOR, _CAP, _RAISE, _LOWER, _GROWTH_LAST, _LOG_LAST = range(12)
_X, _SLOPE, _HALF, _PAYOFF, _LEVEL, _PRICE, _BASE, _LAST, _DELTA, _GAMMA, _VEGA, _CLIPPED, _ODD = range(12, 25)
_SCRATCH = 25

# nothing traded is outside; inside, no intermediate result leaves the range of a double
_LEAST, _MOST = 1e-70, 1e70


@jit
def set_clock(as_of_s: int, expiry: int, expiries: Table, nodes: Floats, pricing: Table, scenarios: Floats) -> None:
    """Write the time fields of row `expiry` of `expiries` as of `as_of_s` (whole seconds since 1970) and its `scenarios[expiry]`.

    `nodes` [coin, K]: relative price shocks, none below -0.999999. `pricing` [coin]: `PRICING`. `scenarios` [expiry, 4, W]: zeros
    before the first call; a logarithm is taken only where the growth is another than before. Model, section 2.
    """
    row = expiries[expiry]
    coin = row["coin"]
    terms = pricing[coin]
    seconds = 0.0 if row["perpetual"] else float(max(0, row["expiry_s"] - as_of_s))
    days = seconds / DAY_S
    near = terms["near_expiry"]
    decay = 1.0 if row["perpetual"] or near <= 0.0 else min(1.0, seconds / near)
    horizon = (30.0 / max(1.0, math.ceil(days))) ** terms["vol_exponent"]
    count = nodes.shape[1]
    row["columns"], row["unshocked"] = 3 * count, -1
    row["seconds"], row["years"], row["days"] = seconds, seconds / YEAR_S, days
    row["decay"], row["horizon"] = decay, horizon
    for node in range(3):
        factor = 1.0 if node == 1 else (1.0 + terms["vol_up"] * horizon if node == 0 else 1.0 - terms["vol_down"] * horizon)
        inverse = 1.0 / factor if factor > 0.0 else 0.0
        for k in range(count):
            j = node * count + k
            growth = 1.0 + nodes[coin, k] * decay
            if growth != scenarios[expiry, GROWTH, j]:
                scenarios[expiry, GROWTH, j] = growth
                scenarios[expiry, LOG_GROWTH, j] = math.log(growth)
            scenarios[expiry, FACTOR, j] = factor
            scenarios[expiry, INVERSE_FACTOR, j] = inverse
    for k in range(count):
        if nodes[coin, k] == 0.0:
            row["unshocked"] = count + k
    for j in range(3 * count, scenarios.shape[2]):
        scenarios[expiry, GROWTH, j] = 1.0
        scenarios[expiry, LOG_GROWTH, j] = 0.0
        scenarios[expiry, FACTOR, j] = 1.0
        scenarios[expiry, INVERSE_FACTOR, j] = 1.0


@jit
def _price_odd(
    number: int, sigma: float, mark: float, instruments: Table, expiries: Table, pricing: Table, scenarios: Floats, rows: Floats
) -> None:
    # scenario by scenario what the branch-free formula cannot do: a payout of 1; no time, no volatility or a vast one left; or no
    # value at all
    option = instruments[number]
    digital = option["kind"] == OUTCOME
    expiry = option["expiry"]
    terms, years = pricing[option["coin"]], expiries[expiry]["years"]
    forward, strike, call, row = option["forward"], option["strike"], option["call"], option["row"]
    status = OK
    if not forward > 0.0:
        status = MISSING_FORWARD
    elif years > 0.0 and not sigma > 0.0:
        status = MISSING_IV
    elif not (_LEAST < forward < _MOST and _LEAST < strike < _MOST and not math.isinf(sigma) and not math.isinf(mark)):
        status = NOT_FINITE
    option["status"] = status
    option["used_volatility"] = option["price"] = option["base"] = 0.0
    option["delta"] = option["gamma"] = option["vega"] = 0.0
    rows[row, :] = 0.0
    if status != OK:
        return
    sigma = sigma if sigma > 0.0 else 0.0
    price = digital_one(forward, strike, sigma, years, call) if digital else price_one(forward, strike, sigma, years, call)
    base = price if math.isnan(mark) else mark
    option["used_volatility"], option["price"], option["base"] = sigma, price, base
    if digital:
        option["delta"], option["gamma"], option["vega"] = digital_greeks_one(forward, strike, sigma, years, call)
    else:
        option["delta"], option["gamma"], option["vega"] = greeks_one(forward, strike, sigma, years, call)
    for j in range(rows.shape[1]):
        factor = scenarios[expiry, FACTOR, j]
        shocked = sigma if factor == 1.0 else min(max(sigma * factor, terms["vol_floor"]), terms["vol_cap"])
        moved = forward * scenarios[expiry, GROWTH, j]
        value = digital_one(moved, strike, shocked, years, call) if digital else price_one(moved, strike, shocked, years, call)
        rows[row, j] = value - base


@jit
def price_outcome(number: int, instruments: Table, expiries: Table, pricing: Table, scenarios: Floats, rows: Floats) -> None:
    """What `price_rows` does for options, for one outcome: N(d2) or N(-d2) of every scenario less the base.

    Its mark implies no volatility: two may fit, and an error of the forward moves the price more than one of the volatility does.
    """
    outcome = instruments[number]
    mark = outcome["mark"] if pricing[outcome["coin"]]["base_is_mark"] else math.nan
    _price_odd(number, outcome["volatility"], mark, instruments, expiries, pricing, scenarios, rows)


@jit
def price_rows(wanted: Ints, instruments: Table, expiries: Table, pricing: Table, scenarios: Floats, rows: Floats) -> None:
    """Price the options `wanted` (row numbers of `instruments`, each with a row of `rows`) in every scenario of their expiry.

    Writes what pricing writes to `instruments` and `rows[row, j]` = Black-76 of scenario j - base, USD per coin. An option
    without a value gets the reason as status, zeros as its row, price, base, used volatility and greeks. Model, sections 2 and 3.
    """
    width = scenarios.shape[2] // LANES * LANES
    scratch = np.empty((_SCRATCH, _TOGETHER))
    coin, floor, cap, by_mark = -1, 0.0, 0.0, False
    for start in range(0, len(wanted), _TOGETHER):
        count = min(_TOGETHER, len(wanted) - start)
        columns = 0
        for i in range(count):
            option = instruments[wanted[start + i]]
            if option["coin"] != coin:
                coin = option["coin"]
                terms = pricing[coin]
                floor, cap, by_mark = terms["vol_floor"], terms["vol_cap"], terms["base_is_mark"]
            expiry = option["expiry"]
            time = expiries[expiry]
            years = time["years"]
            forward, strike, sigma = option["forward"], option["strike"], option["volatility"]
            mark = math.nan
            if by_mark or not sigma > 0.0:
                mark = option["mark"] * forward if option["coin_settled"] else option["mark"]
                if not sigma > 0.0:
                    sigma = implied_volatility_one(mark, forward, strike, years, option["call"])
                if not by_mark:
                    mark = math.nan
            columns = time["columns"]
            last = max(0, columns - 1)
            scratch[_FORWARD, i], scratch[_STRIKE, i] = forward, strike
            scratch[_SIGN, i] = 1.0 if option["call"] else -1.0
            scratch[_YEARS, i], scratch[_SIGMA, i], scratch[_MARK, i] = years, sigma, mark
            scratch[_FLOOR, i], scratch[_CAP, i] = floor, cap
            scratch[_RAISE, i], scratch[_LOWER, i] = scenarios[expiry, FACTOR, 0], scenarios[expiry, FACTOR, last]
            scratch[_GROWTH_LAST, i], scratch[_LOG_LAST, i] = scenarios[expiry, GROWTH, last], scenarios[expiry, LOG_GROWTH, last]
        for i in range(count):
            forward, strike, sigma, years, mark = (
                scratch[_FORWARD, i], scratch[_STRIKE, i], scratch[_SIGMA, i], scratch[_YEARS, i], scratch[_MARK, i],
            )  # fmt: skip
            least_allowed, most_allowed, up, down = scratch[_FLOOR, i], scratch[_CAP, i], scratch[_RAISE, i], scratch[_LOWER, i]
            raised, lowered = sigma * up, sigma * down
            raised_clipped = raised if up == 1.0 else min(max(raised, least_allowed), most_allowed)
            lowered_clipped = lowered if down == 1.0 else min(max(lowered, least_allowed), most_allowed)
            least, most = min(min(sigma, raised_clipped), lowered_clipped), max(max(sigma, raised_clipped), lowered_clipped)
            ordinary = (
                (forward > _LEAST) & (forward < _MOST) & (strike > _LEAST) & (strike < _MOST) & (least > 0.0)
                & (least * least * years > MIN_DEVIATION**2) & (most * most * years < MAX_DEVIATION**2) & (abs(mark) != math.inf)
            )  # fmt: skip
            # whatever else it is, it shall not disturb its neighbours
            forward, strike, sigma, years = (
                forward if ordinary else 1.0, strike if ordinary else 1.0, sigma if ordinary else 1.0, years if ordinary else 1.0
            )  # fmt: skip
            factor = (down if lowered == lowered_clipped else lowered_clipped / sigma) if ordinary else 1.0
            sign, root = scratch[_SIGN, i], math.sqrt(years)
            deviation = sigma * root
            x, slope, half = log_ratio(forward, strike), SCALE / deviation, 0.5 * SCALE * deviation
            payoff, level = sign * forward, sign * strike
            # adding -0.0 changes nothing, and the compiler knows
            price, last_price = two_values(
                1.0, -0.0, 1.0, 1.0, x, slope, half, forward, strike, payoff, level, 0.0,
                scratch[_GROWTH_LAST, i], scratch[_LOG_LAST, i], factor, 1.0 / factor, x, slope, half, forward, strike, payoff, level, 0.0,
            )  # fmt: skip
            delta, gamma, vega = unshocked_greeks(x, slope, half, forward, strike, 0.5 * sign + 0.5, root)
            base = price if mark != mark else mark
            scratch[_CLIPPED, i] = 1.0 if ordinary & ((raised != raised_clipped) | (lowered != lowered_clipped)) else 0.0
            scratch[_ODD, i] = 0.0 if ordinary else 1.0
            scratch[_FORWARD, i], scratch[_STRIKE, i] = forward, strike
            scratch[_X, i], scratch[_SLOPE, i], scratch[_HALF, i] = x, slope, half
            scratch[_PAYOFF, i], scratch[_LEVEL, i], scratch[_BASE, i] = payoff, level + base, base
            scratch[_PRICE, i], scratch[_LAST, i] = price, last_price - base
            scratch[_DELTA, i], scratch[_GAMMA, i], scratch[_VEGA, i] = delta, gamma, vega
        # where one column is left over beside whole vectors it was priced above, for all options together
        single = columns % LANES == 1 and columns < width
        vectors = (columns if single else width) // LANES * LANES
        for i in range(0, count, 2):
            k = min(i + 1, count - 1)
            first, second = instruments[wanted[start + i]], instruments[wanted[start + k]]
            row0, row1, expiry0, expiry1 = first["row"], second["row"], first["expiry"], second["expiry"]
            x0, slope0, half0, forward0, strike0, payoff0, level0, base0 = (
                scratch[_X, i], scratch[_SLOPE, i], scratch[_HALF, i], scratch[_FORWARD, i],
                scratch[_STRIKE, i], scratch[_PAYOFF, i], scratch[_LEVEL, i], scratch[_BASE, i],
            )  # fmt: skip
            x1, slope1, half1, forward1, strike1, payoff1, level1, base1 = (
                scratch[_X, k], scratch[_SLOPE, k], scratch[_HALF, k], scratch[_FORWARD, k],
                scratch[_STRIKE, k], scratch[_PAYOFF, k], scratch[_LEVEL, k], scratch[_BASE, k],
            )  # fmt: skip
            if scratch[_CLIPPED, i] + scratch[_CLIPPED, k] == 0.0:
                for j in range(vectors):
                    rows[row0, j], rows[row1, j] = two_values(
                        scenarios[expiry0, GROWTH, j], scenarios[expiry0, LOG_GROWTH, j],
                        scenarios[expiry0, FACTOR, j], scenarios[expiry0, INVERSE_FACTOR, j],
                        x0, slope0, half0, forward0, strike0, payoff0, level0, base0,
                        scenarios[expiry1, GROWTH, j], scenarios[expiry1, LOG_GROWTH, j],
                        scenarios[expiry1, FACTOR, j], scenarios[expiry1, INVERSE_FACTOR, j],
                        x1, slope1, half1, forward1, strike1, payoff1, level1, base1,
                    )  # fmt: skip
            else:
                low0, high0 = scratch[_FLOOR, i] / scratch[_SIGMA, i], scratch[_CAP, i] / scratch[_SIGMA, i]
                low1, high1 = scratch[_FLOOR, k] / scratch[_SIGMA, k], scratch[_CAP, k] / scratch[_SIGMA, k]
                for j in range(vectors):
                    factor0, factor1 = scenarios[expiry0, FACTOR, j], scenarios[expiry1, FACTOR, j]
                    factor0 = factor0 if factor0 == 1.0 else min(max(factor0, low0), high0)
                    factor1 = factor1 if factor1 == 1.0 else min(max(factor1, low1), high1)
                    rows[row0, j], rows[row1, j] = two_values(
                        scenarios[expiry0, GROWTH, j], scenarios[expiry0, LOG_GROWTH, j], factor0, 1.0 / factor0,
                        x0, slope0, half0, forward0, strike0, payoff0, level0, base0,
                        scenarios[expiry1, GROWTH, j], scenarios[expiry1, LOG_GROWTH, j], factor1, 1.0 / factor1,
                        x1, slope1, half1, forward1, strike1, payoff1, level1, base1,
                    )  # fmt: skip
        for i in range(count):
            number = wanted[start + i]
            if scratch[_ODD, i] != 0.0:
                _price_odd(number, scratch[_SIGMA, i], scratch[_MARK, i], instruments, expiries, pricing, scenarios, rows)
                continue
            option = instruments[number]
            option["status"], option["used_volatility"] = OK, scratch[_SIGMA, i]
            option["price"], option["base"] = scratch[_PRICE, i], scratch[_BASE, i]
            option["delta"], option["gamma"], option["vega"] = scratch[_DELTA, i], scratch[_GAMMA, i], scratch[_VEGA, i]
            row, unshocked = option["row"], expiries[option["expiry"]]["unshocked"]
            at_rest = scratch[_PRICE, i] - scratch[_BASE, i]
            if single:
                for j in range(LANES):
                    rows[row, vectors + j] = at_rest
                rows[row, vectors] = scratch[_LAST, i]
            # to the last digit what the price is: no profit from rounding where nothing moves
            if unshocked >= 0:
                rows[row, unshocked] = at_rest
