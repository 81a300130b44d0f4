"""Option chains as venues tell them, and volatilities read off their smiles for options without one of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from connectors.events import Instruments, Volatilities
from connectors.model import Instrument, InstrumentKind
from monitor.resolvers.changes import ForwardKey
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.forwards import YEAR_MS
from monitor.resolvers.provenance import Provenance, Resolved
from monitor.resolvers.smile import Smile, between, smile_of

Series = tuple[str, str, str]
"""(venue, coin, settlement asset): options that one feed tells, with their expiries and forwards."""


@dataclass(slots=True, eq=False)
class Chain:
    """What one feed told: volatilities by instrument (absent or NaN: none), when it last spoke and how often."""

    venue: str
    feed: str
    told_ns: int
    revision: int = 0
    volatilities: dict[str, float] = field(default_factory=dict)

    def provenance(self, feeds: FeedHealth, now_ns: int) -> Provenance:
        """By the feed's age: a row that is not sent again has not changed."""
        return feeds.provenance(self.venue, self.feed, self.told_ns, now_ns)


class Chains:
    """All chains of all venues. `forward` estimates the forward of any expiry (NaN unknown)."""

    def __init__(self, feeds: FeedHealth, forward: Callable[[ForwardKey], float]) -> None:
        self._feeds, self._forward = feeds, forward
        self._chains: dict[tuple[str, str], Chain] = {}
        self._of: dict[str, Chain] = {}
        self._listed: dict[str, Instrument] = {}
        self._expiries: dict[Series, dict[int, list[Instrument]]] = {}
        self._of_series: dict[Series, Chain] = {}
        self._smiles: dict[tuple[Series, int], tuple[int, Smile | None]] = {}

    def load(self, event: Instruments) -> None:
        """Take a venue's listing."""
        gone = [name for name, one in self._listed.items() if one.venue == event.venue]
        for name in gone:
            del self._listed[name]
        self._listed |= {one.id: one for one in event.instruments if one.kind is InstrumentKind.OPTION}
        self._expiries = {}
        for one in sorted(self._listed.values(), key=lambda one: one.expiry_ms):
            self._expiries.setdefault(_series(one), {}).setdefault(one.expiry_ms, []).append(one)
        self._smiles.clear()
        self._of_series.clear()
        self._of = {name: chain for name, chain in self._of.items() if chain.venue != event.venue or name in self._listed}
        for name, chain in self._of.items():
            self._place(name, chain)

    def apply(self, event: Volatilities) -> Chain:
        """Take a chain or its changes; an empty change is a sign of life."""
        chain = self._chains.get((event.venue, event.feed))
        if chain is None:
            chain = self._chains[event.venue, event.feed] = Chain(event.venue, event.feed, event.received_ns)
        chain.told_ns = event.received_ns
        if event.full:
            chain.volatilities = {}
        chain.volatilities.update(zip(event.instruments, event.volatilities, strict=True))
        chain.revision += 1
        for name in event.instruments:
            if name not in self._of:
                self._of[name] = chain
                self._place(name, chain)
        return chain

    def of(self, instrument: str) -> Chain | None:
        """The chain that told of an option; None for none."""
        return self._of.get(instrument)

    def interpolated(self, option: Instrument, now_ns: int, now_ms: int, *, live: bool) -> Resolved | None:
        """A volatility for an option off the smiles of its coin: its own expiry before the neighbours, its own series before others.

        `live`: only chains that are LIVE or AGING count, else all. A PROXY, None where nothing is known.
        """
        if not option.strike > 0:
            return None
        for series in self._usable(option.coin, now_ns, (option.venue, option.settle), live=live):
            smile = self._smile(series, option.expiry_ms) if option.expiry_ms > now_ms else None
            if smile is not None:
                return self._read(series, math.sqrt(smile.square(math.log(option.strike))), "smile", now_ns)
            moneyness = math.log(option.strike / self._forward((*series, option.expiry_ms)))
            volatility = self._between(series, option.expiry_ms, moneyness, now_ms)
            if volatility > 0:
                return self._read(series, volatility, "neighbouring expiries", now_ns)
        return None

    def at_the_money(self, coin: str, expiry_ms: int, now_ns: int, now_ms: int) -> Resolved | None:
        """At-the-money volatility of a coin for any expiry, off live chains. A PROXY, None where none is live."""
        for series in self._usable(coin, now_ns, ("", coin), live=True):
            volatility = self._between(series, expiry_ms, 0.0, now_ms)
            if volatility > 0:
                return self._read(series, volatility, "at the money", now_ns)
        return None

    def _usable(self, coin: str, now_ns: int, preferred: tuple[str, str], *, live: bool) -> list[Series]:
        venue, settle = preferred
        found = [series for series in self._expiries if series[1] == coin and series in self._of_series]
        if live:
            found = [series for series in found if self._of_series[series].provenance(self._feeds, now_ns).is_live]
        return sorted(found, key=lambda series: (series[0] != venue, series[2] != settle, series))

    def _between(self, series: Series, expiry_ms: int, moneyness: float, now_ms: int) -> float:
        """At equal k = ln(K / F) between the expiries around; NaN for none."""
        if math.isnan(moneyness):
            return math.nan
        alive = [at for at in self._expiries[series] if at > now_ms]
        near = self._first(series, [at for at in reversed(alive) if at <= expiry_ms], moneyness, now_ms)
        far = self._first(series, [at for at in alive if at > expiry_ms], moneyness, now_ms)
        return between(near, far, max(expiry_ms - now_ms, 1) / YEAR_MS)

    def _first(self, series: Series, expiries: Iterable[int], moneyness: float, now_ms: int) -> tuple[float, float] | None:
        for expiry_ms in expiries:
            forward, smile = self._forward((*series, expiry_ms)), self._smile(series, expiry_ms)
            if smile is not None and forward > 0:
                return (expiry_ms - now_ms) / YEAR_MS, math.sqrt(smile.square(math.log(forward) + moneyness))
        return None

    def _smile(self, series: Series, expiry_ms: int) -> Smile | None:
        chain, listed = self._of_series[series], self._expiries[series].get(expiry_ms)
        if listed is None:
            return None
        cached = self._smiles.get((series, expiry_ms))
        if cached is None or cached[0] != chain.revision:
            told = chain.volatilities
            quotes = ((one.strike, one.option_type, told.get(one.id, math.nan)) for one in listed)
            cached = self._smiles[series, expiry_ms] = (chain.revision, smile_of(quotes, self._forward((*series, expiry_ms))))
        return cached[1]

    def _read(self, series: Series, volatility: float, what: str, now_ns: int) -> Resolved:
        source = f"{what} of {series[0]} {series[1]}/{series[2]}"
        return Resolved(volatility, Provenance.PROXY, source, seconds(self._of_series[series].told_ns, now_ns))

    def _place(self, name: str, chain: Chain) -> None:
        one = self._listed.get(name)
        if one is not None:
            self._of_series[_series(one)] = chain


def _series(one: Instrument) -> Series:
    return one.venue, one.coin, one.settle
