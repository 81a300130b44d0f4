"""Forwards of expiries: what the venue told last, moved by the coin's fastest mark since.

    told by the venue         last forward * (mark now / mark when it was told), so that the basis between the two is kept
    no forward of its own     followed index * exp(basis), the basis ln(F / index) linear in time between the coin's other expiries,
                              0 at once and at a constant rate beyond the last one
    an outcome                the perpetual's mark on its venue, which it settles to
    expired                   the index

A mark in another asset than the forward's moves it by what the asset did, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from connectors.events import Forwards
from connectors.model import Instrument, InstrumentKind
from monitor.resolvers.changes import ForwardKey
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.indices import converted
from monitor.resolvers.provenance import Provenance, Resolved, missing, worst
from monitor.resolvers.references import Reference, References, quote_of
from monitor.resolvers.stablecoins import USD, Stablecoins

YEAR_MS = 365 * 86_400_000
LEAST_REACH_MS = 7 * 86_400_000
"""The last expiry of a curve counts as at least so far off where its basis is carried on: next to expiry it is but noise over no time."""


@dataclass(slots=True, eq=False)
class Followed:
    """A price that a venue told, in `quote`, and the marks of then, in the same asset, that it is moved by since."""

    quote: str
    told: float = math.nan
    told_ns: int = 0
    venue: str = ""
    feed: str = ""
    then: tuple[tuple[Reference, float], ...] = ()

    def tell(self, price: float, told_ns: int, references: Iterable[Reference], rate: Callable[[str], float]) -> None:
        """Take a price of now; `references` have a mark of now."""
        self.told, self.told_ns = price, told_ns
        marks = ((one, _in_quote(one, self.quote, rate)) for one in references)
        self.then = tuple((one, mark) for one, mark in marks if mark > 0)

    def guide(self) -> tuple[Reference, float] | None:
        """The reference to follow and its mark of then: the first that is live; None where none was or is."""
        return next((pair for pair in self.then if pair[0].is_live), None)

    def now(self, rate: Callable[[str], float]) -> float:
        """The price now."""
        guide = self.guide()
        if guide is None:
            return self.told
        moved = _in_quote(guide[0], self.quote, rate) / guide[1]
        return self.told * moved if moved > 0 else self.told


@dataclass(slots=True, eq=False)
class _Tracked:
    key: ForwardKey
    quote: str
    is_outcome: bool
    own: Followed
    value: float = math.nan
    provenance: Provenance = Provenance.MISSING
    basis: float = math.nan
    """ln(forward / index) of an expiry without a forward of its own."""


@dataclass(slots=True, eq=False)
class _Coin:
    spot: Followed = field(default_factory=lambda: Followed(USD))
    tracked: list[_Tracked] = field(default_factory=list)
    curve: dict[ForwardKey, Followed] = field(default_factory=dict)
    """Every forward that was ever told of the coin."""


class ForwardCurves:
    """Forwards by venue, coin, settlement and expiry; one price serves all options of it."""

    def __init__(self, references: References, stablecoins: Stablecoins, feeds: FeedHealth, index: Callable[[str], Resolved]) -> None:
        self._references, self._stablecoins, self._feeds, self._index = references, stablecoins, feeds, index
        self._coins: dict[str, _Coin] = {}
        self._tracked: dict[ForwardKey, _Tracked] = {}
        self._now_ns, self._now_ms = 0, 0
        self.next_expiry_ms: int | None = None

    @property
    def values(self) -> Mapping[ForwardKey, float]:
        """The tracked forwards as of the last update."""
        return {key: one.value for key, one in self._tracked.items()}

    def track(self, options: Iterable[Instrument], coins: Iterable[str] = ()) -> None:
        """Follow the forwards of these options and outcomes; of `coins` beside theirs forwards can be estimated."""
        kept, self._tracked = self._tracked, {}
        for instrument in options:
            key = key_of(instrument)
            if key not in self._tracked:
                own = self._followed(key, quote_of(instrument))
                is_outcome = instrument.kind is InstrumentKind.OUTCOME
                self._tracked[key] = kept.get(key) or _Tracked(key, own.quote, is_outcome, own)
        for coin in (self._coin(name) for name in (*self._coins, *coins)):
            coin.tracked = []
        for one in self._tracked.values():
            self._coin(one.key[1]).tracked.append(one)

    def apply(self, event: Forwards) -> None:
        """Take forwards; what is not a positive number tells nothing."""
        columns = zip(event.coins, event.settles, event.expiries_ms, event.forwards, strict=True)
        for coin, settle, expiry_ms, forward in columns:
            if 0 < forward < math.inf:
                own = self._followed((event.venue, coin, settle, expiry_ms), USD if settle == coin else settle)
                own.tell(forward, event.received_ns, self._references.live(coin, event.received_ns), self._stablecoins.rate)
                own.venue, own.feed = event.venue, event.feed
                self._references.moved.add(coin)

    def anchor(self, coin: str, index: float, now_ns: int) -> None:
        """Take a coin's USD index as its price of now: expiries without a forward hang on it. Nothing for NaN."""
        known = self._coins.get(coin)
        if known is not None and index > 0:
            known.spot.tell(index, now_ns, self._references.live(coin, now_ns), self._stablecoins.rate)
            self._references.moved.add(coin)

    def update(self, coins: Iterable[str], now_ns: int, now_ms: int) -> dict[ForwardKey, float]:
        """Move the tracked forwards of these coins; those that changed, NaN missing."""
        self._now_ns, self._now_ms = now_ns, now_ms
        changed: dict[ForwardKey, float] = {}
        for name in coins:
            coin = self._coins.get(name)
            for one in coin.tracked if coin is not None else ():
                value = self._value(one, coin or _Coin())
                if value != one.value and not (math.isnan(value) and math.isnan(one.value)):
                    changed[one.key] = one.value = value
        return changed

    def refresh(self, now_ns: int, now_ms: int) -> bool:
        """Once a second: judge provenances, bases and expiries anew; whether a provenance changed. An update has to follow."""
        self._now_ns, self._now_ms = now_ns, now_ms
        changed = False
        self.next_expiry_ms = min((key[3] for key in self._tracked if key[3] > now_ms), default=None)
        for coin in self._coins.values():
            coin.curve = {key: own for key, own in coin.curve.items() if key[3] > now_ms or key in self._tracked}
        for key, one in self._tracked.items():
            if not one.is_outcome and not one.own.told > 0:
                one.basis = self._basis(key, self._coin(key[1]))
            provenance = self.resolve(key).provenance
            changed |= provenance is not one.provenance
            one.provenance = provenance
        return changed

    def estimate(self, key: ForwardKey) -> float:
        """The forward of any expiry now, tracked or not, NaN unknown: for places on a smile."""
        coin = self._coins.get(key[1])
        own = None if coin is None else coin.curve.get(key)
        if coin is None or (own is not None and own.told > 0):
            return math.nan if own is None else own.now(self._stablecoins.rate)
        quote = USD if key[2] == key[1] else key[2]
        return self._index_in(coin, quote) * math.exp(_or_0(self._basis(key, coin)))

    def resolve(self, key: ForwardKey) -> Resolved:
        """A forward with its provenance, as of the last update."""
        one = self._tracked.get(key)
        coin = self._coins.get(key[1])
        if one is None or coin is None:
            return missing(f"no option of {key[1]} with this expiry is tracked")
        value = self._value(one, coin)
        if one.is_outcome:
            return self._of_outcome(one, value)
        if key[3] <= self._now_ms or not one.own.told > 0:
            return self._from_index(one, value)
        provenance = self._feeds.provenance(one.own.venue, one.own.feed, one.own.told_ns, self._now_ns)
        # a mark only counts from its first change since, so it is younger than what it moves
        guide = one.own.guide()
        follows = "" if guide is None else f", moved by {guide[0].instrument.id}"
        age_s = seconds(one.own.told_ns, self._now_ns)
        return Resolved(value, provenance, f"{one.own.venue} {one.own.feed}{follows}", age_s)

    def settlement_mark(self, venue: str, coin: str) -> Resolved:
        """The mark of a coin's perpetual on a venue as of the last update: what outcomes there settle to."""
        reference = self._perpetual(venue, coin)
        if reference is None:
            return missing(f"{venue} tells no mark of {coin}")
        provenance = self._references.mark_provenance(reference, self._now_ns)
        age_s = seconds(reference.mark_ns, self._now_ns)
        return Resolved(reference.mark, provenance, f"mark of {reference.instrument.id}", age_s)

    def _from_index(self, one: _Tracked, value: float) -> Resolved:
        spot = converted(self._index(one.key[1]), self._stablecoins.resolve(one.quote, self._now_ns))
        if math.isnan(value):
            return missing(spot.source if spot.provenance is Provenance.MISSING else f"no index of {one.key[1]}")
        if one.key[3] <= self._now_ms:
            return Resolved(value, spot.provenance, f"expired: {spot.source}", spot.age_s)
        what = "index" if math.isnan(one.basis) else "index and the basis of other expiries"
        return Resolved(value, worst((spot.provenance, Provenance.PROXY)), what, spot.age_s)

    def _of_outcome(self, one: _Tracked, value: float) -> Resolved:
        mark = self.settlement_mark(one.key[0], one.key[1])
        if mark.provenance is not Provenance.MISSING:
            return mark
        return self._from_index(one, value)

    def _value(self, one: _Tracked, coin: _Coin) -> float:
        if one.is_outcome:
            reference = self._perpetual(one.key[0], one.key[1])
            # the threshold is compared with the mark as a number, whatever its asset is worth
            return self._index_in(coin, one.quote) if reference is None else reference.mark
        if one.key[3] <= self._now_ms:
            return coin.spot.told / self._stablecoins.rate(one.quote)
        if one.own.told > 0:
            return one.own.now(self._stablecoins.rate)
        return self._index_in(coin, one.quote) * math.exp(_or_0(one.basis))

    def _index_in(self, coin: _Coin, quote: str) -> float:
        return coin.spot.now(self._stablecoins.rate) / self._stablecoins.rate(quote)

    def _perpetual(self, venue: str, coin: str) -> Reference | None:
        return next((one for one in self._references.of(coin) if one.instrument.venue == venue and one.mark > 0), None)

    def _basis(self, key: ForwardKey, coin: _Coin) -> float:
        nodes = sorted(
            (other[3], math.log(own.now(self._stablecoins.rate) / index))
            for other, own in coin.curve.items()
            if own.told > 0 and other[3] > self._now_ms and (index := self._index_in(coin, own.quote)) > 0
        )
        return interpolated_basis([(at - self._now_ms, basis) for at, basis in nodes], key[3] - self._now_ms, LEAST_REACH_MS)

    def _followed(self, key: ForwardKey, quote: str) -> Followed:
        curve = self._coin(key[1]).curve
        if key not in curve:
            curve[key] = Followed(quote)
        return curve[key]

    def _coin(self, name: str) -> _Coin:
        if name not in self._coins:
            self._coins[name] = _Coin()
        return self._coins[name]


def key_of(instrument: Instrument) -> ForwardKey:
    """The forward that an option or outcome is priced on."""
    return instrument.venue, instrument.coin, instrument.settle, instrument.expiry_ms


def interpolated_basis(nodes: list[tuple[int, float]], at: int, reach: int = 0) -> float:
    """The basis at a time from now: linear between nodes (time from now, basis), 0 at 0, at a constant rate beyond the last.

    `nodes` ascend; several of one time count for one. NaN without nodes. For what is
    beyond it the last one counts as at least `reach` away.
    """
    if not nodes:
        return math.nan
    before, level = 0, 0.0
    for after, basis in nodes:
        if at <= after:
            return level if after == before else level + (basis - level) * (at - before) / (after - before)
        before, level = after, basis
    return level * max(at / max(before, reach), 1.0)


def _in_quote(reference: Reference, quote: str, rate: Callable[[str], float]) -> float:
    return reference.mark if reference.quote == quote else reference.mark * rate(reference.quote) / rate(quote)


def _or_0(value: float) -> float:
    return 0.0 if math.isnan(value) else value
