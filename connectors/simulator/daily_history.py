"""Daily bars of the simulated market: forty days that lead to the price a run starts at, then the days of the run itself.

They depend on the market's seed alone, so every venue on one market prints the same past, and no price of the run on them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from connectors.simulator.market import Market

DAY_MS = 86_400_000
DAYS = 40
DAILY_VOLATILITY = 0.025
"""Standard deviation of the daily log returns that all underlyings share, before their beta: about BTC's own."""

_OWN_VOLATILITY = 0.004
_RANGE = 0.006


@dataclass(frozen=True, slots=True)
class Bar:
    """A day from `open_ms` (00:00 UTC) on: prices in USD, not rounded; `activity` scales a day's usual volume, `trades` counts them."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    activity: float
    trades: int


@dataclass(frozen=True, slots=True)
class _Past:
    bars: tuple[Bar, ...]
    start: float


class DailyHistory:
    """Daily bars by underlying; `follow` has to see the market at least once a day."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._first_day = self._day = market.now_ms // DAY_MS
        self._shared = _standard_normals(random.Random(f"daily history {market.seed}"))
        self._past: dict[str, _Past] = {}
        self._closes: dict[int, dict[str, float]] = {}

    def follow(self) -> None:
        """Close the day where the market's clock passed midnight UTC."""
        today = self._market.now_ms // DAY_MS
        if today > self._day:
            closes = {asset.underlying: self._market.index(asset.underlying) for asset in self._market.listing.assets.values()}
            for day in range(self._day, today):
                self._closes[day] = closes
            self._day = today

    def bars(self, underlying: str, current: float) -> list[Bar]:
        """Bars of an underlying, oldest first; the last one is of today, unfinished, at the `current` price in USD.

        Raises KeyError for an underlying without a contract or pair.
        """
        if underlying not in self._past:
            self._past[underlying] = self._make(underlying)
        past = self._past[underlying]
        found, opened = list(past.bars), past.start
        for day in range(self._first_day, self._day + 1):
            close = current if day == self._day else self._closes[day].get(underlying, opened)
            found.append(Bar(day * DAY_MS, opened, max(opened, close), min(opened, close), close, 1.0, 100_000))
            opened = close
        return found

    def _make(self, underlying: str) -> _Past:
        start, beta = self._origin(underlying)
        rng = random.Random(f"daily history {self._market.seed} {underlying}")
        own = _standard_normals(rng)
        closes = [start]
        for shared, alone in zip(self._shared, own, strict=True):
            closes.append(closes[-1] * math.exp(-beta * DAILY_VOLATILITY * shared - _OWN_VOLATILITY * alone))
        closes.reverse()
        bars = []
        for number in range(DAYS):
            opened, close = closes[number], closes[number + 1]
            high, low = (math.exp(_RANGE * rng.random()) for _ in range(2))
            activity, trades = 0.6 + 0.8 * rng.random(), 100_000 + rng.randrange(100_000)
            open_ms = (self._first_day - DAYS + number) * DAY_MS
            bars.append(Bar(open_ms, opened, max(opened, close) * high, min(opened, close) / low, close, activity, trades))
        return _Past(tuple(bars), start)

    def _origin(self, underlying: str) -> tuple[float, float]:
        listing = self._market.listing
        for asset in listing.assets.values():
            if asset.underlying == underlying:
                return asset.price, asset.beta
        for pair in listing.pairs.values():
            if pair.underlying == underlying:
                return pair.price, 0.0
        raise KeyError(f"{underlying} has no price on the simulated market: ask for an underlying of its listing")


def _standard_normals(rng: random.Random) -> list[float]:
    """As many draws as days, shifted and scaled to mean 0 and deviation 1, so that a month of them has the volatility meant."""
    draws = [rng.gauss(0.0, 1.0) for _ in range(DAYS)]
    mean = sum(draws) / DAYS
    deviation = math.sqrt(sum((x - mean) ** 2 for x in draws) / DAYS)
    return [(x - mean) / deviation for x in draws]
