"""Implied volatility of options and outcomes: the first of these that is known.

    1. its own mark volatility                                           LIVE, AGING or STALE by its chain feed's age
    2. the smile of its expiry, then neighbouring expiries               PROXY, off chains that are live
    3. an outcome of its coin with a small error bar, for the next days  OUTCOME
    4. the coin's volatility index; else beta times BTC at the money     PROXY, if live; blended with the realised volatility
    5. its own mark volatility of longer ago than the limit              STALE
    6. smiles of chains that are not live                                PROXY
    7. realised volatility times a premium                               PROXY
    8. the configuration                                                 CONFIGURED

After an outage an option keeps its last volatility at its strike (1, STALE): volatilities age far slower than prices. A row that a
whole chain leaves out has none any more. Only 1 is looked at when a chain speaks; the rest once a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from connectors.events import Volatilities, VolatilityIndices
from connectors.model import Instrument
from monitor.resolvers.activity import BENCHMARK, Activity
from monitor.resolvers.chains import Chain, Chains
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.forwards import YEAR_MS
from monitor.resolvers.outcomes import OutcomeVolatility
from monitor.resolvers.provenance import Provenance, Resolved, missing, oldest, worst
from monitor.resolvers.rules import Rules

MOST = 5.0
"""The highest volatility a year that is taken for one (venue notes 5.6)."""

_STEP = 5e-5
"""A substitute that moved by less than half the venues' own rounding has not moved."""

_DAYS_A_YEAR = 365.0


@dataclass(slots=True, eq=False)
class _Option:
    instrument: Instrument
    value: float = math.nan
    told: bool = False
    substitute: Resolved | None = None
    """None: its own volatility is in use."""
    provenance: Provenance = Provenance.MISSING


@dataclass(frozen=True, slots=True)
class _Index:
    volatility: float
    venue: str
    feed: str
    told_ns: int


class OptionVolatilities:
    """Volatilities of the tracked options. `outcomes` lists what outcomes imply, as of the last refresh."""

    def __init__(
        self, rules: Rules, feeds: FeedHealth, chains: Chains, activity: Activity, outcomes: Callable[[], tuple[OutcomeVolatility, ...]]
    ) -> None:
        self.rules, self._feeds, self._chains, self._activity, self._outcomes = rules, feeds, chains, activity, outcomes
        self._options: dict[str, _Option] = {}
        self._indices: dict[str, _Index] = {}
        self._told: set[str] = set()
        self._now_ns, self._now_ms = 0, 0

    @property
    def values(self) -> Mapping[str, float]:
        """The tracked volatilities as of the last update."""
        return {name: option.value for name, option in self._options.items()}

    def track(self, options: Mapping[str, Instrument]) -> None:
        """Resolve these options and outcomes."""
        kept = self._options
        self._options = {}
        for name, instrument in options.items():
            known = kept.get(name)
            self._options[name] = _Option(instrument) if known is None or known.instrument != instrument else known
        self._told = set(self._options)

    def apply(self, event: Volatilities) -> None:
        """Take a chain or its changes."""
        chain = self._chains.apply(event)
        if event.full:
            self._told.update(name for name in self._options if self._chains.of(name) is chain)
        else:
            self._told.update(name for name in event.instruments if name in self._options)

    def apply_indices(self, event: VolatilityIndices) -> None:
        """Take volatility indices."""
        for coin, volatility in event.volatilities.items():
            if 0 < volatility < math.inf:
                self._indices[coin] = _Index(volatility, event.venue, event.feed, event.received_ns)

    def update(self, now_ns: int, now_ms: int) -> dict[str, float]:
        """Volatilities that venues told since the last update; those that changed."""
        self._now_ns, self._now_ms = now_ns, now_ms
        changed: dict[str, float] = {}
        for name in self._told:
            self._resolve(name, self._options[name], changed)
        self._told.clear()
        return changed

    def refresh(self, now_ns: int, now_ms: int) -> tuple[dict[str, float], bool]:
        """Once a second: resolve all that needs more than its own volatility; what changed, and whether a provenance did."""
        self._now_ns, self._now_ms = now_ns, now_ms
        changed: dict[str, float] = {}
        provenance_changed = False
        states = _States(self._feeds, now_ns, self.rules.stale_limit_s)
        for name, option in self._options.items():
            chain = self._chains.of(name)
            provenance, is_overdue = states.of(chain)
            if option.substitute is not None or is_overdue or chain is None:
                self._resolve(name, option, changed)
                provenance = self.resolve(name).provenance
            provenance_changed |= provenance is not option.provenance
            option.provenance = provenance
        return changed, provenance_changed

    def resolve(self, name: str) -> Resolved:
        """A volatility with its provenance, as of the last update."""
        option = self._options.get(name)
        if option is None:
            return missing(f"{name} is not tracked")
        return option.substitute or self._own(name, self._chains.of(name)) or missing(f"no volatility of {name}")

    def smile(self, one: Instrument) -> Resolved | None:
        """What the chains of its coin give for an option of these terms, held or not; None where they do not."""
        return self._chains.interpolated(one, self._now_ns, self._now_ms, live=True)

    def _resolve(self, name: str, option: _Option, changed: dict[str, float]) -> None:
        chain = self._chains.of(name)
        own = math.nan if chain is None else chain.volatilities.get(name, math.nan)
        if chain is not None and own > 0 and (option.instrument.expiry_ms <= self._now_ms or not self._is_overdue(chain)):
            option.substitute, value, step = None, own, 0.0
        else:
            option.substitute = self._substitute(option)
            value, step = option.substitute.value, _STEP
        is_same = abs(value - option.value) <= step or (math.isnan(value) and math.isnan(option.value))
        if not is_same:
            option.value = changed[name] = value

    def _is_overdue(self, chain: Chain) -> bool:
        return _overdue(chain, self._now_ns, self.rules.stale_limit_s)

    def _own(self, name: str, chain: Chain | None) -> Resolved | None:
        own = math.nan if chain is None else chain.volatilities.get(name, math.nan)
        if chain is None or not own > 0:
            return None
        provenance, age_s = chain.provenance(self._feeds, self._now_ns), seconds(chain.told_ns, self._now_ns)
        return Resolved(own, provenance, f"{chain.venue} {chain.feed}", age_s)

    def _substitute(self, option: _Option) -> Resolved:
        if option.instrument.expiry_ms <= self._now_ms and option.value > 0:
            # nothing depends on it any more; it must not become a missing figure
            return option.substitute or Resolved(option.value, Provenance.STALE, "before expiry")
        # what a proxy extrapolates beyond what any venue's volatility may be is no figure
        return next(found for found in self._candidates(option.instrument) if found is not None and not found.value > MOST)

    def _candidates(self, one: Instrument) -> Iterator[Resolved | None]:
        yield self._chains.interpolated(one, self._now_ns, self._now_ms, live=True)
        yield self._of_outcome(one)
        yield self._of_coin(one)
        yield self._own(one.id, self._chains.of(one.id))
        yield self._chains.interpolated(one, self._now_ns, self._now_ms, live=False)
        yield self._premium(one.coin)
        configured = self.rules.implied_volatility.get(one.coin)
        if configured is not None:
            yield Resolved(configured, Provenance.CONFIGURED, f"[market.implied_volatility] {one.coin}")
        yield missing(f"no option, outcome, index or history of {one.coin} and [market.implied_volatility] does not say")

    def _of_outcome(self, one: Instrument) -> Resolved | None:
        if one.expiry_ms - self._now_ms > self.rules.outcome_days * YEAR_MS / _DAYS_A_YEAR:
            return None
        usable = [
            found
            for found in self._outcomes()
            if found.market.coin == one.coin
            and found.error <= self.rules.outcome_error
            and found.volatility.provenance is Provenance.OUTCOME
        ]
        nearest = min(usable, key=lambda found: (abs(found.market.expiry_ms - one.expiry_ms), found.error), default=None)
        return None if nearest is None else nearest.volatility

    def _of_coin(self, one: Instrument) -> Resolved | None:
        own = self._index(one.coin)
        if own is not None or one.coin == BENCHMARK:
            return own
        level = self._chains.at_the_money(BENCHMARK, one.expiry_ms, self._now_ns, self._now_ms) or self._index(BENCHMARK)
        beta = self._activity.beta(one.coin)
        if level is None or beta.provenance is Provenance.MISSING:
            return None
        scaled, history = beta.value * level.value, self._premium(one.coin)
        weight = 1.0 if history is None else self.rules.volatility_weight
        value = weight * scaled + (0.0 if history is None else (1.0 - weight) * history.value)
        parts = [level, beta] if history is None else [level, beta, history]
        provenance = worst((Provenance.PROXY, *(part.provenance for part in parts)))
        source = f"beta {beta.value:.2f} times {BENCHMARK}" + ("" if history is None else f", {1.0 - weight:.0%} realised")
        return Resolved(value, provenance, source, oldest(part.age_s for part in parts))

    def _premium(self, coin: str) -> Resolved | None:
        daily = self._activity.daily_volatility(coin)
        if daily.provenance is Provenance.MISSING:
            return None
        value = daily.value * math.sqrt(_DAYS_A_YEAR) * self.rules.volatility_premium
        return Resolved(value, worst((Provenance.PROXY, daily.provenance)), f"realised volatility of {coin} with a premium", daily.age_s)

    def _index(self, coin: str) -> Resolved | None:
        known = self._indices.get(coin)
        if known is None or not self._feeds.provenance(known.venue, known.feed, known.told_ns, self._now_ns).is_live:
            return None
        return Resolved(known.volatility, Provenance.PROXY, f"{known.venue} {known.feed}", seconds(known.told_ns, self._now_ns))


class _States:
    """Provenance and overdueness of each chain, judged once for all of its options."""

    def __init__(self, feeds: FeedHealth, now_ns: int, limit_s: float) -> None:
        self._feeds, self._now_ns, self._limit_s = feeds, now_ns, limit_s
        self._known: dict[int, tuple[Provenance, bool]] = {}

    def of(self, chain: Chain | None) -> tuple[Provenance, bool]:
        if chain is None:
            return Provenance.MISSING, False
        known = self._known.get(id(chain))
        if known is None:
            overdue = _overdue(chain, self._now_ns, self._limit_s)
            known = self._known[id(chain)] = (chain.provenance(self._feeds, self._now_ns), overdue)
        return known


def _overdue(chain: Chain, now_ns: int, limit_s: float) -> bool:
    return seconds(chain.told_ns, now_ns) > limit_s
