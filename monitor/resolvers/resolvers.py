"""Market figures with their provenance, over the events of all venues: the one door to this package.

    resolvers = Resolvers(Rules.from_settings(settings))
    resolvers.track(coins, assets, options)     what figures are wanted of
    resolvers.apply(event)                      every market event
    resolvers.update(now_ns, now_ms)            what changed since the last update
    resolvers.index("BTC"), ...                 one figure, as of the last update

Nothing here reads a clock: times come with events and updates. What a venue told is in the next update; what only time changes
(ages, substitutes, samples of the realised volatility) is looked at once a second, and at once when a feed's state changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connectors import events as told
from connectors.model import Instrument
from monitor.resolvers.activity import BENCHMARK, Activity
from monitor.resolvers.chains import Chains
from monitor.resolvers.changes import Changes
from monitor.resolvers.feeds import FeedHealth
from monitor.resolvers.forwards import ForwardCurves, key_of
from monitor.resolvers.indices import Indices
from monitor.resolvers.outcomes import Outcomes, OutcomeVolatility
from monitor.resolvers.provenance import Provenance, Resolved
from monitor.resolvers.references import References
from monitor.resolvers.rules import Rules
from monitor.resolvers.stablecoins import Stablecoins
from monitor.resolvers.volatilities import OptionVolatilities

REFRESH_NS = 1_000_000_000


class Resolvers:
    """Every market figure that is tracked. Events of any kind may be applied; those that say nothing here are ignored."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._feeds = FeedHealth()
        self._stablecoins = Stablecoins(self.rules.fx, self._feeds)
        self._references = References(self._feeds)
        self._indices = Indices(self._references, self._stablecoins, self._feeds)
        self._activity = Activity(self.rules, self._stablecoins)
        self._forwards = ForwardCurves(self._references, self._stablecoins, self._feeds, self.index)
        self._chains = Chains(self._feeds, self._forwards.estimate)
        self._outcomes = Outcomes(self._feeds, self._forwards.settlement_mark)
        self._volatilities = OptionVolatilities(self.rules, self._feeds, self._chains, self._activity, self.outcome_volatilities)
        self._figures = _Figures()
        self._assets: frozenset[str] = frozenset()
        self._coins: frozenset[str] = frozenset()
        self._anchored: dict[str, float] = {}
        self._all_coins: frozenset[str] = frozenset()
        self._implied: tuple[OutcomeVolatility, ...] = ()
        self._volumes_usd: dict[str, float] = {}
        self._now_ns, self._now_ms = 0, 0
        self._refreshed_ns: int | None = None
        self._feeds_seen = self._fx_seen = -1
        self._handlers: dict[type, Callable[[Any], None]] = {
            told.Instruments: self._load,
            told.MarkPrices: self._references.apply,
            told.IndexPrices: self._indices.apply,
            told.StablecoinPrices: self._stablecoins.apply,
            told.Forwards: self._forwards.apply,
            told.Volatilities: self._volatilities.apply,
            told.VolatilityIndices: self._volatilities.apply_indices,
            told.Volumes: self._activity.apply_volumes,
            told.DailyCloses: self._activity.apply_closes,
            told.OutcomeMarkets: self._outcomes.load,
            told.OutcomePrices: self._outcomes.apply,
            told.FeedState: self._feeds.apply_feed,
            told.FeedDropped: self._feeds.drop,
            told.VenueStatus: self._feeds.apply_venue,
        }

    @property
    def references(self) -> frozenset[str]:
        """Instruments whose marks and indices are used, held or not: connectors should be asked to tell them."""
        return self._references.ids

    def configure(self, rules: Rules) -> None:
        """Other rules from now on; what venues told stays. The next update tells what changes by it."""
        self.rules = self._activity.rules = self._volatilities.rules = rules
        self._stablecoins.configure(rules.fx)
        self._refreshed_ns = None

    def track(self, coins: Iterable[str], assets: Iterable[str], options: Mapping[str, Instrument]) -> None:
        """Say of what figures are wanted, replacing what was said before.

        `coins`: index and daily volatility; `assets`: stablecoins; `options`: instruments of kind option or outcome, by id, whose
        volatility and forward are wanted. The next update tells everything that is new.
        """
        self._coins, self._assets = frozenset(coins), frozenset(assets)
        self._all_coins = frozenset((*self._coins, BENCHMARK, *(one.coin for one in options.values())))
        self._references.track(self._all_coins)
        self._forwards.track(options.values(), (BENCHMARK,))
        self._anchored.clear()
        self._volatilities.track(options)
        self._figures.keep(self._coins, self._assets)
        self._refreshed_ns = None

    def apply(self, event: told.Event) -> None:
        """Take what a venue told."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def update(self, now_ns: int, now_ms: int) -> Changes:
        """Bring the figures up to now (monotonic ns, ms since 1970) and say which changed."""
        changes = Changes()
        is_due = self._is_due(now_ns, now_ms)
        self._now_ns, self._now_ms = now_ns, now_ms
        self._activity.at(now_ns, now_ms)
        if is_due:
            self._references.check(now_ns)
        if is_due or self._stablecoins.revision != self._fx_seen:
            self._update_fx(changes)
            self._update_indices(self._all_coins, changes)
        elif self._references.retold:
            self._update_indices(self._references.retold & self._all_coins, changes)
        if is_due:
            changes.provenance |= self._forwards.refresh(now_ns, now_ms)
            self._references.moved |= self._all_coins
        self._update_forwards(changes)
        changes.volatilities.update(self._volatilities.update(now_ns, now_ms))
        if is_due:
            self._refresh(changes)
        return changes

    def everything(self) -> Changes:
        """All tracked figures as of the last update."""
        return Changes(
            fx={asset: self.fx(asset).value for asset in self._assets},
            index={coin: self.index(coin).value for coin in self._coins},
            forwards=dict(self._forwards.values),
            volatilities=dict(self._volatilities.values),
            daily_volatility={coin: self.daily_volatility(coin).value for coin in self._coins},
            volumes_usd=dict(self._volumes_usd),
            provenance=True,
        )

    def known_of(self, instruments: Iterable[Instrument]) -> Changes:
        """Forward, volatility and volume of tracked instruments as of the last update, changed or not."""
        found, forwards, volatilities = Changes(), self._forwards.values, self._volatilities.values
        for one in instruments:
            key = key_of(one)
            if key in forwards:
                found.forwards[key] = forwards[key]
            if one.id in volatilities:
                found.volatilities[one.id] = volatilities[one.id]
            if one.id in self._volumes_usd:
                found.volumes_usd[one.id] = self._volumes_usd[one.id]
        return found

    def fx(self, asset: str) -> Resolved:
        """USD per unit of a stablecoin."""
        return self._stablecoins.resolve(asset, self._now_ns)

    def index(self, coin: str) -> Resolved:
        """USD per coin; coins that are not tracked may lack what perpetuals tell."""
        return self._indices.resolve(coin, self._now_ns)

    def value(self, asset: str, *, is_stable: bool) -> float:
        """USD per unit of a stablecoin or coin alone, NaN unknown: the value of `fx` or `index`, for less."""
        return self._stablecoins.rate(asset) if is_stable else self._indices.value(asset, self._now_ns)

    def forward(self, venue: str, coin: str, settle: str, expiry_ms: int) -> Resolved:
        """The forward that a venue's options of these terms are priced on, in their quote (USD if coin-settled, else `settle`)."""
        return self._forwards.resolve((venue, coin, settle, expiry_ms))

    def estimated_forward(self, option: Instrument) -> float:
        """The forward of an option's terms, held or not, in its quote; NaN unknown."""
        return self._forwards.estimate(key_of(option))

    def volatility(self, instrument: str) -> Resolved:
        """Implied volatility a year of a tracked option or outcome, as a decimal."""
        return self._volatilities.resolve(instrument)

    def smile(self, option: Instrument) -> Resolved | None:
        """Implied volatility a year that live chains give for an option or outcome of these terms, held or not; None where none does."""
        return self._volatilities.smile(option)

    def daily_volatility(self, coin: str) -> Resolved:
        """Volatility of a coin a day, as a decimal."""
        return self._activity.daily_volatility(coin)

    def beta(self, coin: str) -> Resolved:
        """Beta of a coin to BTC."""
        return self._activity.beta(coin)

    def volume(self, instrument: str) -> Resolved:
        """Turnover of an instrument in the last 24 hours, USD."""
        return self._activity.volume(instrument)

    def outcome_volatilities(self) -> tuple[OutcomeVolatility, ...]:
        """What each open price outcome of a tracked coin implies, as of the last second: an indicator for people."""
        return self._implied

    def _load(self, event: told.Instruments) -> None:
        self._references.load(event)
        self._chains.load(event)
        self._activity.load(event)
        self._refreshed_ns = None

    def _is_due(self, now_ns: int, now_ms: int) -> bool:
        if self._refreshed_ns is None or now_ns - self._refreshed_ns >= REFRESH_NS or self._feeds.revision != self._feeds_seen:
            return True
        return self._forwards.next_expiry_ms is not None and now_ms >= self._forwards.next_expiry_ms

    def _update_fx(self, changes: Changes) -> None:
        self._fx_seen = self._stablecoins.revision
        for asset in self._assets:
            self._figures.tell("fx", asset, self._stablecoins.rate(asset), changes.fx)

    def _update_indices(self, coins: Iterable[str], changes: Changes) -> None:
        for coin in coins:
            value = self._indices.value(coin, self._now_ns)
            is_new = coin in self._references.retold or value != self._anchored.get(coin)
            if is_new:
                self._anchored[coin] = value
                self._forwards.anchor(coin, value, self._now_ns)
            if coin in self._coins:
                self._figures.tell("index", coin, value, changes.index)
        self._references.retold.clear()

    def _update_forwards(self, changes: Changes) -> None:
        if self._references.moved:
            changes.forwards.update(self._forwards.update(self._references.moved, self._now_ns, self._now_ms))
            self._references.moved.clear()

    def _refresh(self, changes: Changes) -> None:
        self._refreshed_ns, self._feeds_seen = self._now_ns, self._feeds.revision
        indices = {coin: self.index(coin) for coin in self._all_coins}
        self._activity.carry_on({coin: index.value for coin, index in indices.items() if index.provenance.is_live}, self._now_ms)
        for coin in self._coins:
            daily = self.daily_volatility(coin)
            self._figures.tell("daily_volatility", coin, daily.value, changes.daily_volatility)
            changes.provenance |= self._figures.judge("daily_volatility", coin, daily.provenance)
            changes.provenance |= self._figures.judge("index", coin, indices[coin].provenance)
        for asset in self._assets:
            changes.provenance |= self._figures.judge("fx", asset, self.fx(asset).provenance)
        changes.volumes_usd.update(self._activity.volumes(self._stablecoins.rate))
        self._volumes_usd.update(changes.volumes_usd)
        found = self._outcomes.volatilities(self._now_ns, self._now_ms)
        self._implied = tuple(one for one in found if one.market.coin in self._all_coins)
        volatilities, changed = self._volatilities.refresh(self._now_ns, self._now_ms)
        changes.volatilities.update(volatilities)
        changes.provenance |= changed


class _Figures:
    """Values and provenances that were told last, by kind and name: only what differs is a change."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], float] = {}
        self._provenances: dict[tuple[str, str], Provenance] = {}

    def keep(self, coins: Iterable[str], assets: Iterable[str]) -> None:
        names = {*coins, *assets}
        self._values = {key: value for key, value in self._values.items() if key[1] in names}
        self._provenances = {key: provenance for key, provenance in self._provenances.items() if key[1] in names}

    def tell(self, kind: str, name: str, value: float, into: dict[str, float]) -> None:
        last = self._values.get((kind, name))
        if last is None or (value != last and not (math.isnan(value) and math.isnan(last))):
            self._values[kind, name] = into[name] = value

    def judge(self, kind: str, name: str, provenance: Provenance) -> bool:
        """Whether the provenance is another one than before."""
        last = self._provenances.get((kind, name), Provenance.MISSING)
        self._provenances[kind, name] = provenance
        return provenance is not last
