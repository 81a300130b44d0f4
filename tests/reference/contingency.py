"""Section 4: the six contingencies, the loss of order limits (section 5) and the hedge size (section 6), one function each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

SHORT_OPTION = "short_option"
VEGA_SPREAD = "vega_spread"
STABLECOIN_SPREAD = "stablecoin_spread"
DELTA_SPREAD = "delta_spread"
SPOT_BASIS = "spot_basis"
PERPETUAL_FUTURE = "perpetual_future"


def total(groups: Iterable[tuple[object, float]]) -> dict[object, float]:
    """The sum of each group's values, groups in the order they first appear."""
    collected: dict[object, list[float]] = {}
    for group, value in groups:
        collected.setdefault(group, []).append(value)
    return {group: math.fsum(values) for group, values in collected.items()}


def short_option(quantities: Sequence[tuple[str, bool, float]], factor: float, index: float) -> float:
    """A, from (expiry date, is a call, quantity) of each option: net short calls and net short puts of every date."""
    nets = total(((date, call), quantity) for date, call, quantity in quantities)
    return factor * index * math.fsum(max(0.0, -net) for net in nets.values())


def spread(by_expiry: Sequence[tuple[float, float]]) -> float:
    """Difference of the weighted days of longs and shorts times the smaller side, from (days, signed weight) of each expiry."""
    longs = math.fsum(max(0.0, weight) for _, weight in by_expiry)
    shorts = math.fsum(max(0.0, -weight) for _, weight in by_expiry)
    hedged = min(longs, shorts)
    if hedged == 0.0:
        return 0.0
    days_long = math.fsum(days * max(0.0, weight) for days, weight in by_expiry) / longs
    days_short = math.fsum(days * max(0.0, -weight) for days, weight in by_expiry) / shorts
    return abs(days_long - days_short) * hedged


def vega_spread(by_expiry: Sequence[tuple[float, float]], factor: float, index: float) -> float:
    """B, from (days, net vega / index) of each expiry."""
    return spread(by_expiry) * factor * index


def stablecoin_factor(deltas: Iterable[tuple[float, float]], gross: float, least: float) -> float:
    """The factor of C, from (net coin delta, fx) of each settlement group: no less than any gap of one that has a delta.

    `gross` is the coin quantity of all legs: a millionth of a millionth of it is a delta of rounding alone.
    """
    return max([least, *(abs(fx - 1.0) for delta, fx in deltas if abs(delta) > 1e-12 * gross)])


def stablecoin_spread(deltas: Sequence[float], factor: float, index: float) -> float:
    """C, from the net coin delta of each settlement group."""
    return (math.fsum(abs(delta) for delta in deltas) - abs(math.fsum(deltas))) / 2.0 * factor * index


def delta_spread(by_expiry: Sequence[tuple[float, float]], factor: float, index: float) -> float:
    """D1, from (days, net coin delta) of each expiry, perpetuals at 0 days."""
    return spread(by_expiry) * index * factor


def weighted_basis(legs: Sequence[tuple[float, float]]) -> float:
    """WB, from (coin quantity, basis) of each leg; 0 without legs."""
    weight = math.fsum(abs(quantity) for quantity, _ in legs)
    return math.fsum(abs(quantity) * basis for quantity, basis in legs) / weight if weight > 0.0 else 0.0


def basis_rate(basis: float, collateral_ratio: float, basis_factor: float, threshold: float) -> float:
    """The rate of D2 on hedged spot, before it is kept from falling below 0."""
    return basis_factor * basis + max(0.0, threshold - (1.0 - collateral_ratio))


def spot_basis(hedge: float, index: float, basis: float, collateral_ratio: float, basis_factor: float, threshold: float) -> float:
    """D2 on hedging spot of `hedge` coins."""
    return abs(hedge) * index * max(0.0, basis_rate(basis, collateral_ratio, basis_factor, threshold))


def perpetual_future(quantities: Sequence[float], factor: float, index: float) -> float:
    """E, from the coin quantity of each perpetual and future leg."""
    return math.fsum(abs(quantity) for quantity in quantities) * factor * index


def order_loss(losses: Iterable[float]) -> float:
    """Sum of what each order's limit loses against the mark; gains do not offset."""
    return math.fsum(max(0.0, loss) for loss in losses)


def hedge_size(spot: float, delta: float, cap: float | None) -> float:
    """h: as much of the spot as offsets the derivatives' delta, within the cap."""
    if spot * delta >= 0.0:
        return 0.0
    size = min(abs(spot), abs(delta), math.inf if cap is None else cap)
    return math.copysign(size, spot)
