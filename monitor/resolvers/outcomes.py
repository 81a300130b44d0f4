"""Volatility implied by outcomes (Hyperliquid HIP-4), digital options on a perpetual's mark (notes on volatility, 1.2).

With forward F, threshold K, q = volatility * sqrt(years) and k = ln(F / K) the probability of Yes is p = N(k / q - q / 2), so that with
z the quantile of p, q = -z +- sqrt(z^2 + 2 k): the smaller positive root. An outcome between two thresholds has the difference of two
such probabilities. Close to expiry, or at the money, p hardly depends on the volatility: hence the error bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from connectors.events import OutcomeMarkets, OutcomePrices
from connectors.model import OutcomeMarket
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.provenance import Provenance, Resolved, oldest, worst

YEAR_MS = 365 * 86_400_000
FORWARD_ERROR = 0.001
"""Relative error of the forward that the error bar stands for."""
_LEAST, _MOST = 0.01, 5.0
_LEAST_PRICE, _MOST_PRICE = 0.001, 0.999
_STEPS, _HALVINGS = 64, 60
_NORMAL = NormalDist()
_ROOT_2, _ROOT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class OutcomeVolatility:
    """What an open price outcome implies: its market, the probability of Yes, the volatility and its error bar.

    `error` is by how much (volatility a year, decimal) a forward that is wrong by 0.1 % would move it.
    """

    market: OutcomeMarket
    probability: float
    volatility: Resolved
    error: float


def probability_above(forward: float, strike: float, volatility: float, years: float) -> float:
    """P(S > strike) = N(d2); a step where nothing is left to happen. `strike` 0 is surely exceeded, infinity never."""
    deviation = volatility * math.sqrt(max(0.0, years))
    if strike <= 0 or strike == math.inf or not deviation > 0:
        return 1.0 if forward > strike else 0.0
    return 0.5 * math.erfc(-(math.log(forward / strike) / deviation - deviation / 2.0) / _ROOT_2)


def implied_above(probability: float, forward: float, strike: float, years: float) -> float | None:
    """The volatility at which P(S > strike) has this value; None if none has."""
    if not (0 < probability < 1 and forward > 0 and strike > 0 and years > 0):
        return None
    z, k = _NORMAL.inv_cdf(probability), math.log(forward / strike)
    discriminant = z * z + 2.0 * k
    if discriminant < 0:
        return None
    roots = (-z - math.sqrt(discriminant), -z + math.sqrt(discriminant))
    return next((root / math.sqrt(years) for root in roots if root > 0), None)


def implied_between(probability: float, forward: float, lower: float, upper: float, years: float) -> float | None:
    """The volatility at which P(lower < S <= upper) has this value; None if none has, or if more than one might."""
    if not (forward > 0 and 0 < lower < upper and years > 0):
        return None

    def inside(volatility: float) -> float:
        return probability_above(forward, lower, volatility, years) - probability_above(forward, upper, volatility, years)

    steps = [inside(_LEAST * (_MOST / _LEAST) ** (step / _STEPS)) for step in range(_STEPS + 1)]
    falls = all(after <= before for before, after in pairwise(steps))
    if not falls or not steps[-1] < probability < steps[0]:
        return None
    low, high = _LEAST, _MOST
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if inside(middle) > probability else (low, middle)
    return 0.5 * (low + high)


def error_bar(market: OutcomeMarket, forward: float, volatility: float, years: float) -> float:
    """By how much a forward that is wrong by 0.1 % moves the implied volatility: |dp/dF| * 0.001 F / |dp/dvolatility|."""
    deviation = volatility * math.sqrt(years)
    by_forward = by_volatility = 0.0
    for strike, sign in ((market.lower, 1.0), (market.upper, -1.0)):
        if strike is not None and strike > 0:
            k = math.log(forward / strike)
            density = math.exp(-0.5 * (k / deviation - deviation / 2.0) ** 2) / _ROOT_2_PI
            by_forward += sign * density / deviation
            by_volatility += sign * density * (-k / deviation**2 - 0.5) * math.sqrt(years)
    return math.inf if by_volatility == 0 else abs(by_forward * FORWARD_ERROR / by_volatility)


def implied(market: OutcomeMarket, probability: float, forward: float, years: float) -> float | None:
    """The volatility that an outcome's price implies; None for none."""
    if market.lower is not None and market.upper is not None:
        return implied_between(probability, forward, market.lower, market.upper, years)
    if market.lower is not None:
        return implied_above(probability, forward, market.lower, years)
    return None if market.upper is None else implied_above(1.0 - probability, forward, market.upper, years)


@dataclass(frozen=True, slots=True)
class _Mid:
    price: float
    feed: str
    told_ns: int


class Outcomes:
    """The open price outcomes of all venues with their mids. `mark` resolves the perpetual's mark (venue, coin) they settle to."""

    def __init__(self, feeds: FeedHealth, mark: Callable[[str, str], Resolved]) -> None:
        self._feeds, self._mark = feeds, mark
        self._markets: dict[str, tuple[OutcomeMarket, ...]] = {}
        self._mids: dict[str, dict[tuple[int, int], _Mid]] = {}

    def load(self, event: OutcomeMarkets) -> None:
        """Take the markets that are open; prices of others are forgotten."""
        self._markets[event.venue] = event.markets
        is_open = {market.outcome for market in event.markets}
        mids = self._mids.get(event.venue, {})
        self._mids[event.venue] = {key: mid for key, mid in mids.items() if key[0] in is_open}

    def apply(self, event: OutcomePrices) -> None:
        """Take mids by side."""
        mids = self._mids.setdefault(event.venue, {})
        mids.update({key: _Mid(price, event.feed, event.received_ns) for key, price in event.prices.items()})

    def volatilities(self, now_ns: int, now_ms: int) -> Iterator[OutcomeVolatility]:
        """What each outcome that is open, priced and has a forward implies; the soonest expiry first."""
        for venue, markets in self._markets.items():
            for market in sorted(markets, key=lambda market: (market.expiry_ms, market.outcome)):
                found = self._of(venue, market, now_ns, now_ms)
                if found is not None:
                    yield found

    def _of(self, venue: str, market: OutcomeMarket, now_ns: int, now_ms: int) -> OutcomeVolatility | None:
        sides = [(side, self._mids.get(venue, {}).get((market.outcome, side))) for side in (0, 1)]
        mids = [(side, mid) for side, mid in sides if mid is not None and _LEAST_PRICE < mid.price < _MOST_PRICE]
        forward = self._mark(venue, market.coin)
        years = (market.expiry_ms - now_ms) / YEAR_MS
        if not mids or years <= 0 or not forward.value > 0:
            return None
        probability = sum(1.0 - mid.price if side else mid.price for side, mid in mids) / len(mids)
        volatility = implied(market, probability, forward.value, years)
        if volatility is None or not _LEAST <= volatility <= _MOST:
            return None
        told = [self._feeds.provenance(venue, mid.feed, mid.told_ns, now_ns) for _, mid in mids]
        provenance = worst((forward.provenance, *told))
        age_s = oldest((forward.age_s, *(seconds(mid.told_ns, now_ns) for _, mid in mids)))
        # what is not live any more must not pass for a good outcome
        best = Provenance.OUTCOME if provenance.is_live else Provenance.PROXY
        resolved = Resolved(volatility, worst((provenance, best)), f"outcome {market.outcome}", age_s)
        return OutcomeVolatility(market, probability, resolved, error_bar(market, forward.value, volatility, years))
