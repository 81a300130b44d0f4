"""Undiscounted Black-76: price, greeks and implied volatility of options on a forward, price and greeks of digital options.

With F the forward, K the strike, s = volatility * sqrt(years), x = |ln(F / K)|, m = min(F, K), a = x/s - s/2 and b = x/s + s/2
the time value is m * (N(-a) - exp(x) * N(-b)) = m * phi(a) * (R(a) - R(b)), R(t) = N(-t) / phi(t) the Mills ratio: one exponential
an option, and no cancellation deep in or out of the money. A price is the intrinsic value plus that; F * phi(d1) = m * phi(a).

There are two sets of routines. The `_one` functions are accurate to the rounding of their input for every option. The
`jit_formula` functions are branch-free, for the loops over scenarios: accurate to a few 1e-16 of the larger of F and K.
Their coordinates a and b are scaled by 1 / sqrt(2 ln 2), which makes exp(-a^2 / 2) a power of two.
All coefficients are minimax fits of this project (Remez exchange in 50 digits).
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import jit, jit_formula
from kernels.layout import Flags, Floats

SCALE = 1.0 / math.sqrt(2.0 * math.log(2.0))
"""Factor from standard deviations to the coordinates of the branch-free formulas."""

MAX_DEVIATION = 5.0
"""Largest volatility * sqrt(years) of the branch-free formulas: beyond it the far tail loses digits."""

MIN_DEVIATION = 1e-12
"""Smallest one: a polynomial of the far tail stays finite."""

_ROOT_2_PI = math.sqrt(2.0 * math.pi)
_DENSITY_0 = 1.0 / _ROOT_2_PI
_LN_2 = math.log(2.0)

# phi(0) * R = P / Q in scaled coordinates; within 6e-17 of the larger of F and K for deviations up to 5
_P = (
    0.3388302701652387, 6.434928590195867, 57.538800981365114, 311.5195384184652,
    1101.3268556814674, 2556.3680379563275, 3658.9759225696093, 2613.6445442563922,
)  # fmt: skip
_Q = (
    18.99157543565444, 170.5377664198839, 933.0881489584672, 3371.933787391741,
    8187.183738037196, 12977.516410158376, 12228.662081427901, 5227.289088512785,
)  # fmt: skip

# 2^f = (even + odd) / (even - odd) for |f| <= 1/2, within 9e-19
_EVEN = (233.18421171229478, 4368.211668585997)
_ODD = (0.023093347707365569, 20.202065668703798, 1513.9068010847188)

# added to a double below 2^51 it leaves the rounded integer in the lowest bits
_ROUND = 1.5 * 2.0**52
_ROUND_BITS = 0x4338000000000000
_HALF_BITS = 1 << 51
# phi(30.6) is nothing beside any price, and the exponent of a double still holds it
_FAR = 26.0

# ln((1 + t) / (1 - t)) = 2 t + t^3 * poly(t^2) for |t| <= 0.2005, within 2e-17
_LOG = (
    0.15379284639331964, 0.15248760248907306, 0.18186427555758305, 0.22222136753618696,
    0.28571429416721966, 0.3999999999604205, 0.6666666666667294,
)  # fmt: skip


@jit_formula
def log_ratio(upper: float, lower: float) -> float:
    """ln(upper / lower) of two positive numbers, without loss where they are close. Branch-free."""
    # the bits of a double are a piecewise linear logarithm: good enough for the power of two between them
    exponent = (np.float64(upper).view(np.int64) - np.float64(lower).view(np.int64) + _HALF_BITS) >> 52
    whole = np.int64(exponent + _ROUND_BITS).view(np.float64) - _ROUND
    scaled = np.int64(np.float64(lower).view(np.int64) + (exponent << 52)).view(np.float64)
    t = (upper - scaled) / (upper + scaled)
    z = t * t
    series = ((_LOG[0] * z + _LOG[1]) * z + _LOG[2]) * z + _LOG[3]
    series = ((series * z + _LOG[4]) * z + _LOG[5]) * z + _LOG[6]
    return whole * _LN_2 + (2.0 * t + t * z * series)


@jit_formula
def _tails(t: float, w: float) -> tuple[float, float, float, float]:
    # numerator and denominator of phi(0) * R at two coordinates, side by side: four chains hide the latency of one
    p, r = t * _P[0] + _P[1], w * _P[0] + _P[1]
    q, s = t + _Q[0], w + _Q[0]
    q, s = q * t + _Q[1], s * w + _Q[1]
    p, r = p * t + _P[2], r * w + _P[2]
    q, s = q * t + _Q[2], s * w + _Q[2]
    p, r = p * t + _P[3], r * w + _P[3]
    q, s = q * t + _Q[3], s * w + _Q[3]
    p, r = p * t + _P[4], r * w + _P[4]
    q, s = q * t + _Q[4], s * w + _Q[4]
    p, r = p * t + _P[5], r * w + _P[5]
    q, s = q * t + _Q[5], s * w + _Q[5]
    p, r = p * t + _P[6], r * w + _P[6]
    q, s = q * t + _Q[6], s * w + _Q[6]
    p, r = p * t + _P[7], r * w + _P[7]
    q, s = q * t + _Q[7], s * w + _Q[7]
    return p, q, r, s


@jit_formula
def _scaled_power(factor: float, y: float) -> tuple[float, float]:
    # numerator and denominator of factor * 2^(-y^2)
    n = _ROUND - y * y
    f = (_ROUND - n) - y * y
    g = f * f
    odd = ((_ODD[0] * g + _ODD[1]) * g + _ODD[2]) * f
    even = (g + _EVEN[0]) * g + _EVEN[1]
    power = np.int64(np.float64(factor).view(np.int64) + (np.float64(n).view(np.int64) << 52)).view(np.float64)
    return power * (even + odd), even - odd


@jit_formula
def two_values(
    growth0: float, log0: float, factor0: float, inverse0: float, x0: float, slope0: float, half0: float,
    forward0: float, strike0: float, payoff0: float, level0: float, base0: float,
    growth1: float, log1: float, factor1: float, inverse1: float, x1: float, slope1: float, half1: float,
    forward1: float, strike1: float, payoff1: float, level1: float, base1: float,
) -> tuple[float, float]:  # fmt: skip
    """Black-76 less a base of two options in a scenario each, side by side: twice the work per instruction of latency.

    Scenario: the forward grows by `growth`, whose logarithm is `log`; the volatility by `factor`, 1 / `factor` is `inverse`.
    Option: `x` = ln(F / K); `slope` = SCALE / s and `half` = SCALE * s / 2 with s = volatility * sqrt(years); `payoff` = F and
    `level` = K + base, both negative for a put.
    """
    u0, u1 = abs(x0 + log0) * (slope0 * inverse0), abs(x1 + log1) * (slope1 * inverse1)
    h0, h1 = half0 * factor0, half1 * factor1
    a0, a1 = u0 - h0, u1 - h1
    y0, y1 = min(abs(a0), _FAR), min(abs(a1), _FAR)
    small0, small1 = min(forward0 * growth0, strike0), min(forward1 * growth1, strike1)
    p0, q0, p1, q1 = _tails(y0, y1)
    r0, s0, r1, s1 = _tails(u0 + h0, u1 + h1)
    e0, d0 = _scaled_power(small0, y0)
    e1, d1 = _scaled_power(small1, y1)
    top0, top1 = (math.copysign(p0, a0) * s0 - r0 * q0) * e0, (math.copysign(p1, a1) * s1 - r1 * q1) * e1
    value0 = top0 / (q0 * s0 * d0) + max(payoff0 * growth0 - level0, -base0)
    value1 = top1 / (q1 * s1 * d1) + max(payoff1 * growth1 - level1, -base1)
    return value0 + small0 if a0 < 0.0 else value0, value1 + small1 if a1 < 0.0 else value1


@jit_formula
def unshocked_greeks(
    x: float, slope: float, half: float, forward: float, strike: float, call: float, root: float
) -> tuple[float, float, float]:
    """Delta, gamma and vega, branch-free; the arguments are those of `two_values`, `call` 1.0 or 0.0, `root` = sqrt(years)."""
    u = abs(x) * slope
    a = u - half
    y = min(abs(a), _FAR)
    p, q, r, s = _tails(y, u + half)
    e, d = _scaled_power(min(forward, strike), y)
    inverse = 1.0 / forward
    below = x < 0.0
    # forward * exp(-d1^2 / 2), and the smaller of N(d1) and N(-d1)
    density = e / d
    tail = density * inverse * ((p if below else r) / (q if below else s))
    density *= _DENSITY_0
    delta = tail + call - 1.0 if below and a >= 0.0 else call - tail
    return delta, density * slope * (inverse * inverse) * (1.0 / SCALE), density * root


# R(t) = p / q and 1 - t * R(t) = c / q for 0 <= t <= 39, both within 3e-17 of themselves


@jit
def _mills(t: float) -> tuple[float, float]:
    # R(t) and 1 - t * R(t)
    p = 1.0000000000000349 * t + 29.660058677726341
    p = ((p * t + 435.87116490329722) * t + 4113.6152746266864) * t + 27370.030403425389
    p = ((p * t + 133495.01597843153) * t + 482411.4584608959) * t + 1276283.1375267169
    p = ((p * t + 2375044.7996047701) * t + 2831145.4169769356) * t + 1669856.691163315
    q = (t + 29.660058677735373) * t + 436.87116490222505
    q = ((q * t + 4143.2753333820582) * t + 27803.901564472901) * t + 137549.31127573816
    q = ((q * t + 508919.74265887807) * t + 1401847.6076540469) * t + 2806999.4473680516
    q = ((q * t + 3879400.4738873167) * t + 3321991.0042085661) * t + 1332352.8726325675
    c = (-3.4840356190713827e-14 * t + 9.0308563958988059e-12) * t + 0.99999999892783842
    c = ((c * t + 29.660058755371759) * t + 433.87116104751163) * t + 4054.2952973066206
    c = ((c * t + 26508.284197982269) * t + 125564.47012733007) * t + 431954.64776328154
    c = ((c * t + 1048255.0569103810) * t + 1652134.3130452511) * t + 1332352.8726325675
    return p / q, c / q


@jit
def _time_value(x: float, s: float) -> tuple[float, float, float]:
    # (time value) / m, its derivative phi(a) by s, and 1 - (time value) / m
    centre, half = x / s, 0.5 * s
    a = centre - half
    if a > 38.5:
        return 0.0, 0.0, 1.0
    density = math.exp(-0.5 * a * a) * _DENSITY_0
    if s <= 1.0:
        # Taylor series of R about the centre, odd derivatives: the difference of two tails would cancel
        even, odd = _mills(centre)
        total, weight, n = odd, 1.0, 1.0
        while n < 27.0:
            even = n * even - centre * odd
            odd = (n + 1.0) * odd - centre * even
            n += 2.0
            weight *= half * half / (n * (n - 1.0))
            total += weight * odd
            if abs(weight * odd) < 1e-17 * total:
                break
        value = density * s * total
        return value, density, 1.0 - value
    near, far = _mills(abs(a))[0], _mills(centre + half)[0]
    if a >= 0.0:
        value = density * (near - far)
        return value, density, 1.0 - value
    rest = density * (near + far)
    return 1.0 - rest, density, rest


@jit
def _moneyness(forward: float, strike: float) -> float:
    low, high = min(forward, strike), max(forward, strike)
    return math.log1p((high - low) / low) if high < 2.0 * low else math.log(high / low)


@jit
def price_one(forward: float, strike: float, volatility: float, years: float, call: bool) -> float:
    """Price of one option in the currency of `forward` and `strike` (positive). `volatility` or `years` 0: intrinsic."""
    intrinsic = max(0.0, forward - strike if call else strike - forward)
    deviation = volatility * math.sqrt(years)
    if not deviation > 0.0:
        return intrinsic
    return intrinsic + min(forward, strike) * _time_value(_moneyness(forward, strike), deviation)[0]


@jit
def greeks_one(forward: float, strike: float, volatility: float, years: float, call: bool) -> tuple[float, float, float]:
    """Delta, gamma (per unit of the forward) and vega (per 1.00 of volatility) of one option.

    `volatility` or `years` 0: delta a step (0 at the strike), gamma and vega 0.
    """
    root = math.sqrt(years)
    deviation = volatility * root
    if not deviation > 0.0:
        step = 0.0 if forward == strike else (1.0 if (forward > strike) == call else 0.0)
        return step if call else -step, 0.0, 0.0
    x = _moneyness(forward, strike)
    d1 = (x if forward > strike else -x) / deviation + 0.5 * deviation
    density = math.exp(-0.5 * d1 * d1) * _DENSITY_0
    tail = density * _mills(min(abs(d1), 39.0))[0]
    if (d1 > 0.0) == call:
        tail = 1.0 - tail
    return tail if call else -tail, density / (forward * deviation), forward * density * root


@jit
def _d2(forward: float, strike: float, deviation: float) -> float:
    x = _moneyness(forward, strike)
    return (x if forward > strike else -x) / deviation - 0.5 * deviation


@jit
def digital_one(forward: float, strike: float, volatility: float, years: float, call: bool) -> float:
    """Price of one option that pays 1 above the strike (call), or at and below it (put): N(d2) or N(-d2).

    `forward` and `strike` positive. `volatility` or `years` 0: what it pays.
    """
    deviation = volatility * math.sqrt(years)
    if not deviation > 0.0:
        return 1.0 if (forward > strike) == call else 0.0
    d2 = _d2(forward, strike, deviation)
    tail = math.exp(-0.5 * d2 * d2) * _DENSITY_0 * _mills(min(abs(d2), 39.0))[0]
    return tail if (d2 < 0.0) == call else 1.0 - tail


@jit
def digital_greeks_one(forward: float, strike: float, volatility: float, years: float, call: bool) -> tuple[float, float, float]:
    """Delta, gamma (both per unit of the forward) and vega (per 1.00 of volatility) of one option of `digital_one`.

    `volatility` or `years` 0: all 0, though the price is a step.
    """
    deviation = volatility * math.sqrt(years)
    if not deviation > 0.0:
        return 0.0, 0.0, 0.0
    d2 = _d2(forward, strike, deviation)
    density = math.exp(-0.5 * d2 * d2) * _DENSITY_0
    if not density > 0.0:
        return 0.0, 0.0, 0.0
    signed, d1, scale = density if call else -density, d2 + deviation, 1.0 / (forward * deviation)
    return signed * scale, -signed * d1 * scale * scale, -signed * d1 / volatility


@jit
def _first_deviation(x: float, value: float, knee: float) -> float:
    # where the time value is small: its leading behaviour, solved by two substitutions
    depth = -math.log(value)
    guess = x / math.sqrt(2.0 * depth + x)
    for _ in range(2):
        right = 2.0 * (depth + math.log(guess * guess * guess / (x * x)) - 0.9189385332046727) + x - 0.25 * guess * guess
        guess = x / math.sqrt(max(x * x / (knee * knee), right))
    return guess


@jit
def _deviation(x: float, value: float) -> float:
    # the s with time value / m = value: Halley steps on its logarithm, or on that of the rest, kept inside a bracket
    knee = math.sqrt(2.0 * x)
    low, high = value * _ROOT_2_PI, math.inf
    s = max(knee, low)
    if x > 0.0 and _time_value(x, s)[0] > value:
        high = s
        s = min(max(_first_deviation(x, value, knee), low), high)
    for _ in range(100):
        level, density, rest = _time_value(x, s)
        if level < value:
            low = s
        else:
            high = s
        trial = math.nan
        if level > 0.0 and density > 0.0:
            # relative curvature of the time value, and of its logarithm
            curvature = (x / s) * (x / s) / s - 0.25 * s
            if value < 0.5:
                error = math.log1p((level - value) / value) if abs(level - value) < 0.1 * value else math.log(level / value)
                newton = error * level / density
                curvature -= density / level
            else:
                other = 1.0 - value
                error = math.log1p((rest - other) / other) if abs(rest - other) < 0.1 * other else math.log(rest / other)
                newton = -error * rest / density
                curvature += density / rest
            trial = s - newton / max(0.5, min(2.0, 1.0 - 0.5 * newton * curvature))
        if low <= trial <= high:
            # the convergence is cubic: the step after this one is below rounding
            if abs(trial - s) <= 1e-6 * s:
                return trial
        else:
            trial = 0.5 * (low + high) if high < math.inf else 2.0 * s
            if abs(trial - s) <= 4e-16 * s:
                return trial
        s = trial
    return s


@jit
def implied_volatility_one(price: float, forward: float, strike: float, years: float, call: bool) -> float:
    """Volatility (1.00 = 100 %) at which one option is worth `price`.

    NaN where there is none: `price` outside the open interval from the intrinsic value to the forward (call) or strike (put), or
    any argument not finite or not positive.
    """
    if not (0.0 < forward < math.inf and 0.0 < strike < math.inf and 0.0 < years < math.inf):
        return math.nan
    intrinsic = max(0.0, forward - strike if call else strike - forward)
    value = (price - intrinsic) / min(forward, strike)
    # the second condition: the last one before the limit rounds to it
    if not (intrinsic < price < (forward if call else strike) and 0.0 < value < 1.0):
        return math.nan
    return _deviation(_moneyness(forward, strike), value) / math.sqrt(years)


@jit
def price(forward: Floats, strike: Floats, volatility: Floats, years: Floats, call: Flags, out: Floats) -> None:
    """Write the prices of options into `out`; all arrays [n], in the units of `price_one`."""
    for i in range(len(out)):
        out[i] = price_one(forward[i], strike[i], volatility[i], years[i], call[i])


@jit
def greeks(
    forward: Floats, strike: Floats, volatility: Floats, years: Floats, call: Flags, delta: Floats, gamma: Floats, vega: Floats
) -> None:
    """Write the greeks of options into `delta`, `gamma`, `vega`; all arrays [n], in the units of `greeks_one`."""
    for i in range(len(delta)):
        delta[i], gamma[i], vega[i] = greeks_one(forward[i], strike[i], volatility[i], years[i], call[i])


@jit
def implied_volatility(prices: Floats, forward: Floats, strike: Floats, years: Floats, call: Flags, out: Floats) -> None:
    """Write the implied volatilities of `prices` into `out`, NaN where there is none; all arrays [n]."""
    for i in range(len(out)):
        out[i] = implied_volatility_one(prices[i], forward[i], strike[i], years[i], call[i])
