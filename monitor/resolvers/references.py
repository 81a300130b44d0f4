"""Perpetuals and indices of the tracked coins: their marks move forwards between updates, their indices price coins."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connectors.events import Instruments, MarkPrices
from connectors.model import Instrument, InstrumentKind
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.provenance import Provenance, by_age
from monitor.resolvers.stablecoins import USD

_FASTEST = ("hyperliquid", "aster", "deribit")
_SETTLES = ("USDT", "USDC", "USD")
_KINDS = (InstrumentKind.PERPETUAL, InstrumentKind.INDEX)


@dataclass(slots=True, eq=False)
class Reference:
    """One perpetual or index: mark and index per 1 coin in `quote`, NaN until told, with the times they were told.

    `is_live`: the mark can be followed. `by_delta`: the feed told changes only when it told the mark, so that its silence confirms it.
    """

    instrument: Instrument
    quote: str
    mark: float = math.nan
    index: float = math.nan
    mark_ns: int = 0
    index_ns: int = 0
    mark_feed: str = ""
    index_feed: str = ""
    by_delta: bool = False
    interruptions: int = 0
    is_live: bool = False


def quote_of(instrument: Instrument) -> str:
    """The asset that an instrument's forward, mark or volume is counted in: USD for what settles in its coin."""
    return USD if instrument.inverse or instrument.settle == instrument.coin else instrument.settle


class References:
    """Reference instruments by id and by coin, the one with the fastest marks first."""

    def __init__(self, feeds: FeedHealth) -> None:
        self._feeds = feeds
        self._of: dict[str, Reference] = {}
        self._coins: set[str] = set()
        self._listed: dict[str, tuple[Instrument, ...]] = {}
        self._by_coin: dict[str, tuple[Reference, ...]] = {}
        self.moved: set[str] = set()
        """Coins of which a mark moved or another one is followed; whoever reads it clears it."""
        self.retold: set[str] = set()
        """Coins of which a venue told an index; whoever reads it clears it."""

    @property
    def ids(self) -> frozenset[str]:
        """The instruments whose marks and indices are used."""
        return frozenset(self._of)

    def load(self, event: Instruments) -> None:
        """Take a venue's reference data."""
        self._listed[event.venue] = tuple(one for one in event.instruments if one.kind in _KINDS)
        self._select()

    def track(self, coins: Iterable[str]) -> None:
        """Only these coins' instruments are followed."""
        self._coins = set(coins)
        self._select()

    def of(self, coin: str) -> tuple[Reference, ...]:
        """References of a coin, the one to follow first."""
        return self._by_coin.get(coin, ())

    def live(self, coin: str, now_ns: int) -> tuple[Reference, ...]:
        """Those of a coin whose mark holds now: a stale one would tell a move of long ago as one of now."""
        return tuple(one for one in self.of(coin) if self.mark_provenance(one, now_ns).is_live)

    def apply(self, event: MarkPrices) -> None:
        """Take marks and indices."""
        known = self._of
        for number, name in enumerate(event.instruments):
            reference = known.get(name)
            if reference is not None:
                self._tell(reference, event, event.marks[number], event.indices[number])

    def _tell(self, reference: Reference, event: MarkPrices, mark: float, index: float) -> None:
        instrument = reference.instrument
        if mark > 0:
            mark /= instrument.multiplier
            if mark != reference.mark or not reference.is_live:
                self.moved.add(instrument.coin)
            reference.mark, reference.mark_ns, reference.mark_feed = mark, event.received_ns, event.feed
            reference.by_delta = event.delta
            reference.interruptions = self._feeds.interruptions(event.venue, event.feed)
            reference.is_live = not self._feeds.is_bad(event.venue, event.feed)
        # a feed of changed marks repeats the index of the last whole frame
        if index > 0 and not event.delta:
            reference.index, reference.index_ns, reference.index_feed = index / instrument.multiplier, event.received_ns, event.feed
            self.retold.add(instrument.coin)

    def check(self, now_ns: int) -> None:
        """Judge anew which marks can be followed."""
        for reference in self._of.values():
            is_live = self.mark_provenance(reference, now_ns).is_live
            if is_live != reference.is_live:
                reference.is_live = is_live
                self.moved.add(reference.instrument.coin)

    def mark_provenance(self, reference: Reference, now_ns: int) -> Provenance:
        """Provenance of a reference's mark."""
        if not reference.mark > 0:
            return Provenance.MISSING
        venue, feed = reference.instrument.venue, reference.mark_feed
        if self._feeds.is_bad(venue, feed):
            return Provenance.STALE
        unbroken = reference.by_delta and reference.interruptions == self._feeds.interruptions(venue, feed)
        if unbroken and self._feeds.is_good(venue, feed):
            return Provenance.LIVE
        return by_age(seconds(reference.mark_ns, now_ns))

    def _select(self) -> None:
        kept, self._of = self._of, {}
        groups: dict[str, list[Reference]] = {coin: [] for coin in sorted(self._coins)}
        for instrument in self._wanted():
            reference = kept.get(instrument.id)
            if reference is None or reference.instrument != instrument:
                reference = Reference(instrument, quote_of(instrument))
            self._of[instrument.id] = reference
            groups[instrument.coin].append(reference)
        for name in kept.keys() - self._of.keys() | {name for name, one in self._of.items() if kept.get(name, one) is not one}:
            # what was recorded with it must not follow a mark that nobody tells any more
            kept[name].is_live = False
        self._by_coin = {coin: tuple(sorted(found, key=_preference)) for coin, found in groups.items()}
        self.moved |= self._coins
        self.retold |= self._coins

    def _wanted(self) -> Iterator[Instrument]:
        for listed in self._listed.values():
            yield from (one for one in listed if one.coin in self._coins and not one.delisted)


def _preference(reference: Reference) -> tuple[int, bool, bool, int, str]:
    # a perpetual before an index, a venue's main ledger before the others, its main stablecoin before the others
    one = reference.instrument
    venue = _FASTEST.index(one.venue) if one.venue in _FASTEST else len(_FASTEST)
    settle = _SETTLES.index(reference.quote) if reference.quote in _SETTLES else len(_SETTLES)
    secondary = one.venue == "hyperliquid" and one.section != ""
    return venue, one.kind is InstrumentKind.INDEX, secondary, settle, one.id
