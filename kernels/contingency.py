"""The six contingencies of a risk unit, each a charge >= 0 in USD (margin model, section 4).

`sums` [row, expiry] holds what a unit's expiries sum to, ascending, in its first `count` columns; neighbours of the same date, or
of the same time left, count as one. `index` is the coin's USD index. Every charge is homogeneous of degree 1 in its quantities.
"""

from __future__ import annotations

from kernels._jit import jit
from kernels.layout import Floats, Ints

DAYS, DAY, DELTA, VEGA, CALLS, PUTS, SETTLE, TOTALS = range(8)
"""Rows of `sums`: days left; UTC date as a number; coin delta; vega in USD per 1.00; net calls; net puts; and, by settlement group
instead of expiry, coin delta; then totals that are no charge's business."""


@jit
def short_option(sums: Floats, count: int, factor: float, index: float) -> float:
    """A: net short contracts of each expiry date, calls and puts apart, net across strikes; `factor` f_A."""
    total = 0.0
    column = 0
    while column < count:
        day = sums[DAY, column]
        net_calls = 0.0
        net_puts = 0.0
        while column < count and sums[DAY, column] == day:
            net_calls += sums[CALLS, column]
            net_puts += sums[PUTS, column]
            column += 1
        total += max(0.0, -net_calls) + max(0.0, -net_puts)
    return factor * index * total


@jit
def spread(sums: Floats, row: int, count: int) -> float:
    """|mean days of the positive weights `sums[row]` - mean days of the negative ones| * min of the two sums.

    Weights of equal days are netted first; 0 with one side only.
    """
    long = 0.0
    short = 0.0
    long_days = 0.0
    short_days = 0.0
    column = 0
    while column < count:
        days = sums[DAYS, column]
        net = 0.0
        while column < count and sums[DAYS, column] == days:
            net += sums[row, column]
            column += 1
        if net > 0.0:
            long += net
            long_days += net * days
        else:
            short -= net
            short_days -= net * days
    if long == 0.0 or short == 0.0:
        return 0.0
    return abs(long_days / long - short_days / short) * min(long, short)


@jit
def vega_spread(sums: Floats, count: int, factor: float) -> float:
    """B: `spread` of the net vega of each expiry times `factor` f_B per day.

    The model divides vega by the index and multiplies the charge by it: that cancels.
    """
    return factor * spread(sums, VEGA, count)


ROUNDING = 1e-12
"""A net coin delta of less than this share of the gross coin quantity is what rounding left of nothing."""


@jit
def stablecoin_factor(sums: Floats, groups: int, gross: float, least: float, fx: Floats, settled_in: Ints) -> float:
    """The factor of C: `least` f_C, or the widest |fx - 1| among the settlement groups that have a coin delta.

    `fx` [asset] USD per unit, `settled_in` [group] its asset; `gross` the coin quantity of all legs. f_C is the first tier of a
    published depeg charge: once the market shows a wider gap, the charge is no less (our reading, docs/decisions/0009-depeg.md).
    """
    factor = least
    for group in range(groups):
        if abs(sums[SETTLE, group]) > ROUNDING * gross:
            factor = max(factor, abs(fx[settled_in[group]] - 1.0))
    return factor


@jit
def stablecoin_spread(sums: Floats, groups: int, factor: float, index: float) -> float:
    """C: half of (sum |D_g| - |sum D_g|) over the coin deltas of the `groups` settlement groups; `factor` `stablecoin_factor`."""
    gross = 0.0
    net = 0.0
    for group in range(groups):
        gross += abs(sums[SETTLE, group])
        net += sums[SETTLE, group]
    return max(0.0, gross - abs(net)) / 2.0 * factor * index


@jit
def delta_spread(sums: Floats, count: int, factor: float, index: float) -> float:
    """D1: `spread` of the net coin delta of each expiry, perpetuals at 0 days; `factor` f_D per day."""
    return factor * index * spread(sums, DELTA, count)


@jit
def spot_basis(hedge: float, weight: float, marked: float, ratio: float, basis_factor: float, threshold: float, index: float) -> float:
    """D2: on the hedging spot `hedge` (coin); `marked` / `weight` is the legs' mean USD mark, `ratio` the spot's collateral ratio."""
    if hedge == 0.0 or weight == 0.0:
        return 0.0
    basis = marked / weight / index - 1.0
    return abs(hedge) * index * max(0.0, basis_factor * basis + max(0.0, threshold - (1.0 - ratio)))


@jit
def perpetual_future(quantity: float, factor: float, index: float) -> float:
    """E: on the gross coin quantity of perpetuals and futures; `factor` f_E."""
    return quantity * factor * index


@jit
def hedging_spot(spot: float, delta: float, cap: float) -> float:
    """h: the part of the spot balance (signed) that offsets the derivative delta, in coin; `cap` inf for none (section 6)."""
    if spot * delta >= 0.0:
        return 0.0
    size = min(abs(spot), abs(delta), cap)
    return size if spot > 0.0 else -size
