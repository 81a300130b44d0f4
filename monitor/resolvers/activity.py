"""How lively a coin and an instrument are: daily volatility and beta from closes and live prices, turnover of 24 hours in USD.

Daily variance is the exponentially weighted mean of squared daily log returns, weight 0.94 a day (RiskMetrics; notes on volatility,
5.7), carried on between closes by live prices: v = w * v + (1 - w) * r^2 / days with w = 0.94^days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from connectors.events import DailyCloses, Instruments, Volumes
from connectors.model import Instrument
from monitor.resolvers.feeds import Rate, seconds
from monitor.resolvers.provenance import Provenance, Resolved, missing, oldest, worst
from monitor.resolvers.references import quote_of
from monitor.resolvers.rules import Rules
from monitor.resolvers.stablecoins import Stablecoins

DAY_MS = 86_400_000
DAILY_WEIGHT = 0.94
SAMPLE_MS = 300_000
"""Live prices are sampled this far apart: closer ones would measure the noise of marks."""

BENCHMARK = "BTC"
LEAST_BETA, MOST_BETA = 0.5, 4.0
FEW_RETURNS, MANY_RETURNS = 5, 20
"""With fewer returns there is no daily volatility, with fewer than many it is a proxy."""

_FRESH_CLOSES_MS = 2 * DAY_MS
_VENUES = ("hyperliquid", "aster", "deribit")
_VOLUME_LIVE_S, _VOLUME_AGING_S = 600.0, 3600.0
_FX_STEP = 0.001


@dataclass(frozen=True, slots=True)
class Realised:
    """Daily variance of a coin as of `time_ms`, the price it goes on from, and how many daily returns it started with."""

    variance: float
    price: float
    time_ms: int
    returns: int
    instrument: str

    def carried(self, price: float, time_ms: int) -> Realised:
        """Carried on to a later price (notes on volatility, 5.7)."""
        days = (time_ms - self.time_ms) / DAY_MS
        weight, squared = DAILY_WEIGHT**days, math.log(price / self.price) ** 2 / days
        return replace(self, variance=weight * self.variance + (1.0 - weight) * squared, price=price, time_ms=time_ms)


def realised(closes: DailyCloses, multiplier: float = 1.0) -> Realised | None:
    """Daily variance of closes, per 1 coin; None with fewer than `FEW_RETURNS` returns. Closes may be days apart."""
    pairs = zip(closes.times_ms, closes.closes, strict=True)
    points = [(at, close / multiplier) for at, close in pairs if 0 < close < math.inf]
    squares = [((after - before) / DAY_MS, math.log(new / old) ** 2) for (before, old), (after, new) in pairwise(points) if after > before]
    if len(squares) < FEW_RETURNS:
        return None
    total = weights = 0.0
    for days, square in squares:
        fade = DAILY_WEIGHT**days
        total, weights = fade * total + (1.0 - fade) * square / days, fade * weights + (1.0 - fade)
    return Realised(total / weights, points[-1][1], points[-1][0], len(squares), closes.instrument)


class Activity:
    """Daily volatilities by coin and volumes by instrument, over the closes and volumes that any venue tells."""

    def __init__(self, rules: Rules, stablecoins: Stablecoins) -> None:
        self.rules, self._stablecoins = rules, stablecoins
        self._instruments: dict[str, dict[str, Instrument]] = {}
        self._closes: dict[str, dict[str, DailyCloses]] = {}
        self._realised: dict[str, Realised] = {}
        self._started: dict[str, DailyCloses] = {}
        self._volumes: dict[str, tuple[float, int, float]] = {}
        self._told: set[str] = set()
        self._now_ns, self._now_ms = 0, 0

    def load(self, event: Instruments) -> None:
        """Take a venue's listing; closes and volumes of what is listed only now count from now on."""
        self._instruments[event.venue] = {one.id: one for one in event.instruments}
        for closes in self._closes.get(event.venue, {}).values():
            self._start(closes)
        self._told.update(name for name in self._volumes if name in self._instruments[event.venue])

    def apply_closes(self, event: DailyCloses) -> None:
        """Take an instrument's closes: its coin's volatility starts anew from them."""
        self._closes.setdefault(event.venue, {})[event.instrument] = event
        self._start(event)

    def apply_volumes(self, event: Volumes) -> None:
        """Take turnovers; what is negative or no number tells nothing."""
        for name, volume in event.volumes.items():
            if 0 <= volume < math.inf:
                known = self._volumes.get(name)
                if known is None or known[0] != volume:
                    self._told.add(name)
                self._volumes[name] = (volume, event.received_ns, math.nan if known is None else known[2])

    def carry_on(self, prices: Mapping[str, float], now_ms: int) -> None:
        """Carry volatilities on with USD indices of now that are live, by coin."""
        for coin, price in prices.items():
            known = self._realised.get(coin)
            if known is not None and price > 0 and now_ms - known.time_ms >= SAMPLE_MS:
                self._realised[coin] = known.carried(price, now_ms)

    def volumes(self, rate: Rate) -> dict[str, float]:
        """USD volumes that changed since the last call: told anew, or their stablecoin moved by more than 0.1 %."""
        changed: dict[str, float] = {}
        for name in self._due(rate):
            volume, told_ns, _ = self._volumes[name]
            fx = self._fx(name, rate)
            self._volumes[name] = (volume, told_ns, fx)
            changed[name] = volume * fx
        self._told.clear()
        return changed

    def at(self, now_ns: int, now_ms: int) -> None:
        """What queries call now."""
        self._now_ns, self._now_ms = now_ns, now_ms

    def volume(self, instrument: str) -> Resolved:
        """Turnover of 24 hours in USD."""
        known, listed = self._volumes.get(instrument), self._instrument(instrument)
        if known is None or listed is None:
            return missing(f"no venue tells a volume of {instrument}")
        fx = self._stablecoins.resolve(quote_of(listed), self._now_ns)
        if fx.provenance is Provenance.MISSING:
            return fx
        age_s = seconds(known[1], self._now_ns)
        own = Provenance.LIVE if age_s <= _VOLUME_LIVE_S else Provenance.AGING if age_s <= _VOLUME_AGING_S else Provenance.STALE
        return Resolved(known[0] * known[2], worst((own, fx.provenance)), f"{listed.venue} 24 h", oldest((age_s, fx.age_s)))

    def daily_volatility(self, coin: str) -> Resolved:
        """Daily volatility of a coin: realised, else configured."""
        known = self._realised.get(coin)
        if known is None:
            if coin in self.rules.daily_volatility:
                return Resolved(self.rules.daily_volatility[coin], Provenance.CONFIGURED, f"[market.daily_volatility] {coin}")
            return missing(f"no venue tells daily closes of {coin} and [market] does not say")
        age_ms = self._now_ms - known.time_ms
        provenance = Provenance.LIVE if age_ms <= _FRESH_CLOSES_MS else Provenance.STALE
        if known.returns < MANY_RETURNS:
            provenance = Provenance.PROXY
        source = f"{known.returns} daily returns of {known.instrument}"
        return Resolved(math.sqrt(known.variance), provenance, source, max(0, age_ms) / 1000)

    def beta(self, coin: str) -> Resolved:
        """Ratio of daily volatilities to BTC's, within 0.5 to 4; else configured. BTC's is 1."""
        if coin == BENCHMARK:
            return Resolved(1.0, Provenance.LIVE, "by definition", 0.0)
        own, benchmark = self.daily_volatility(coin), self.daily_volatility(BENCHMARK)
        is_measured = coin in self._realised and BENCHMARK in self._realised and benchmark.value > 0
        if is_measured or (coin not in self.rules.beta and benchmark.value > 0 and own.value > 0):
            ratio = min(max(own.value / benchmark.value, LEAST_BETA), MOST_BETA)
            provenance = worst((own.provenance, benchmark.provenance))
            return Resolved(ratio, provenance, f"daily volatility over {BENCHMARK}'s", oldest((own.age_s, benchmark.age_s)))
        if coin in self.rules.beta:
            return Resolved(self.rules.beta[coin], Provenance.CONFIGURED, f"[market.beta] {coin}")
        return missing(f"no daily volatility of {coin if own.provenance is Provenance.MISSING else BENCHMARK}")

    def _due(self, rate: Rate) -> list[str]:
        return [name for name in self._volumes if name in self._told or self._is_repriced(name, rate)]

    def _is_repriced(self, name: str, rate: Rate) -> bool:
        used, fx = self._volumes[name][2], self._fx(name, rate)
        return math.isnan(used) != math.isnan(fx) or abs(fx / used - 1.0) > _FX_STEP

    def _fx(self, name: str, rate: Rate) -> float:
        listed = self._instrument(name)
        return math.nan if listed is None else rate(quote_of(listed))

    def _instrument(self, name: str) -> Instrument | None:
        return self._instruments.get(name.partition(":")[0], {}).get(name)

    def _start(self, closes: DailyCloses) -> None:
        listed = self._instrument(closes.instrument)
        if listed is None or self._started.get(closes.instrument) is closes:
            return  # a listing that comes again must not undo what live prices told since
        self._started[closes.instrument] = closes
        found = realised(closes, listed.multiplier)
        if found is None:
            return
        known = self._realised.get(listed.coin)
        if known is None or known.instrument == found.instrument or _better(found, known):
            self._realised[listed.coin] = found


def _better(one: Realised, other: Realised) -> bool:
    return (min(one.returns, MANY_RETURNS), -_rank(one)) > (min(other.returns, MANY_RETURNS), -_rank(other))


def _rank(one: Realised) -> int:
    venue = one.instrument.partition(":")[0]
    return _VENUES.index(venue) if venue in _VENUES else len(_VENUES)
