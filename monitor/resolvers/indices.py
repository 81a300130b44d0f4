"""USD index of a coin: Deribit's own, else Aster's, else Hyperliquid's oracle price, each times the price of its stablecoin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.events import IndexPrices
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.provenance import Provenance, Resolved, missing, oldest, worst
from monitor.resolvers.references import References
from monitor.resolvers.stablecoins import USD, Stablecoins

_BY_PERPETUAL = ("aster", "hyperliquid", "deribit")


@dataclass(frozen=True, slots=True)
class _Told:
    price: float
    quote: str
    venue: str
    feed: str
    told_ns: int


class Indices:
    """USD indices of coins."""

    def __init__(self, references: References, stablecoins: Stablecoins, feeds: FeedHealth) -> None:
        self._references, self._stablecoins, self._feeds = references, stablecoins, feeds
        self._told: dict[str, dict[tuple[str, str], _Told]] = {}

    def apply(self, event: IndexPrices) -> None:
        """Take indices that a venue publishes for themselves."""
        for coin, price in event.prices.items():
            if 0 < price < math.inf:
                told = _Told(price, event.quote, event.venue, event.feed, event.received_ns)
                published = self._told.setdefault(coin, {})
                is_first = (event.venue, event.quote) not in published
                published[event.venue, event.quote] = told
                if is_first:
                    order = sorted(published.items(), key=lambda item: (item[1].quote != USD, item[0]))
                    self._told[coin] = dict(order)
                self._references.retold.add(coin)

    def resolve(self, coin: str, now_ns: int) -> Resolved:
        """USD per coin: the first source that is alive and whose stablecoin has a price, else the youngest of the rest."""
        told = self._chosen(coin, now_ns)
        return missing(f"no venue tells an index of {coin} in a priced asset") if told is None else self._resolved(told, now_ns)

    def value(self, coin: str, now_ns: int) -> float:
        """USD per coin alone, NaN unknown: for every tick."""
        told = self._chosen(coin, now_ns)
        return math.nan if told is None else told.price * self._stablecoins.rate(told.quote)

    def _chosen(self, coin: str, now_ns: int) -> _Told | None:
        youngest: _Told | None = None
        for told in self._sources(coin):
            if math.isnan(self._stablecoins.rate(told.quote)):
                continue
            if self._feeds.provenance(told.venue, told.feed, told.told_ns, now_ns).is_live:
                return told
            if youngest is None or told.told_ns > youngest.told_ns:
                youngest = told
        return youngest

    def _resolved(self, told: _Told, now_ns: int) -> Resolved:
        rate = self._stablecoins.resolve(told.quote, now_ns)
        provenance = self._feeds.provenance(told.venue, told.feed, told.told_ns, now_ns)
        source = f"{told.venue} {told.feed}" + ("" if told.quote == USD else f" in {told.quote}")
        age_s = oldest((seconds(told.told_ns, now_ns), rate.age_s))
        return Resolved(told.price * rate.value, worst((provenance, rate.provenance)), source, age_s)

    def _sources(self, coin: str) -> Iterator[_Told]:
        yield from self._told.get(coin, {}).values()
        references = self._references.of(coin)
        for venue in _BY_PERPETUAL:
            for one in references:
                if one.instrument.venue == venue and one.index > 0:
                    yield _Told(one.index, one.quote, venue, one.index_feed, one.index_ns)


def converted(index: Resolved, rate: Resolved) -> Resolved:
    """A USD figure in another asset, `rate` USD per unit of it."""
    if index.provenance is Provenance.MISSING or rate.provenance is Provenance.MISSING:
        return missing(index.source if index.provenance is Provenance.MISSING else rate.source)
    provenance, age_s = worst((index.provenance, rate.provenance)), oldest((index.age_s, rate.age_s))
    return Resolved(index.value / rate.value, provenance, index.source, age_s)
