"""Volatility smiles: total variance w = volatility^2 * years, linear in k = ln(K / F) between strikes (notes on volatility, 5.2).

Beyond the outermost strikes the volatility is flat. Between two expiries w is linear in time at equal k and never decreases.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from connectors.model import OptionType


@dataclass(frozen=True, slots=True)
class Smile:
    """Squared volatilities of one expiry at ascending log strikes; build it with `smile_of`. Never empty."""

    log_strikes: tuple[float, ...]
    squares: tuple[float, ...]

    def square(self, log_strike: float) -> float:
        """Squared volatility at ln K."""
        right = bisect_left(self.log_strikes, log_strike)
        if right == 0:
            return self.squares[0]
        if right == len(self.log_strikes):
            return self.squares[-1]
        low, high = self.log_strikes[right - 1], self.log_strikes[right]
        share = (log_strike - low) / (high - low)
        return self.squares[right - 1] * (1.0 - share) + self.squares[right] * share


def smile_of(quotes: Iterable[tuple[float, OptionType | None, float]], forward: float) -> Smile | None:
    """The smile through (strike, side, volatility), at each strike the side out of the money; None without a valid quote.

    Without a forward (NaN) a strike with two quotes takes their mean.
    """
    by_strike: dict[float, dict[OptionType | None, float]] = {}
    for strike, side, volatility in quotes:
        if strike > 0 and 0 < volatility < math.inf:
            by_strike.setdefault(strike, {})[side] = volatility
    if not by_strike:
        return None
    strikes = sorted(by_strike)
    chosen = (_out_of_the_money(by_strike[strike], strike, forward) for strike in strikes)
    return Smile(tuple(math.log(strike) for strike in strikes), tuple(volatility**2 for volatility in chosen))


def _out_of_the_money(sides: dict[OptionType | None, float], strike: float, forward: float) -> float:
    if math.isnan(forward):
        return sum(sides.values()) / len(sides)
    preferred = OptionType.CALL if strike >= forward else OptionType.PUT
    return sides.get(preferred, next(iter(sides.values())))


def between(near: tuple[float, float] | None, far: tuple[float, float] | None, years: float) -> float:
    """Volatility of `years` between two neighbours (years, volatility) at equal k; the neighbour's own where there is but one.

    NaN without neighbours. Total variance is linear in time and does not fall: an expiry that would need it to takes the nearer's.
    """
    if near is None or far is None:
        found = near or far
        return math.nan if found is None else found[1]
    w_near, w_far = near[1] ** 2 * near[0], far[1] ** 2 * far[0]
    share = (years - near[0]) / (far[0] - near[0])
    w = w_near + (max(w_far, w_near) - w_near) * share
    return math.sqrt(w / years)
