"""Book summaries, once a minute: they check the chains, and tell turnovers and the forwards that no ticker serves. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from connectors.deribit.chains import Chain
from connectors.deribit.feeds import MarketFeeds
from connectors.deribit.messages import Summary, parse_summary
from connectors.deribit.reference import KINDS, ExpiryKey, PartKey, Reference, expiry_key, instrument_id
from connectors.deribit.rpc import NS, OnReply, Reply, Rpc
from connectors.deribit.settings import VENUE, DeribitConfig
from connectors.deribit.tickers import forwards_event
from connectors.deribit.venue_time import VenueTime
from connectors.events import Event, ParseError, Volumes
from connectors.fields import WrongShape

SUMMARY_FEED = "get_book_summary"
MISSED = 2.5


class Summaries:
    """Asks for the summaries of some currencies in turn; `told(summary, now_ns)` gives the events of each. Times are monotonic.

    `interests` is open interest by instrument name, as last told.
    """

    def __init__(
        self,
        rpc: Rpc,
        feeds: MarketFeeds,
        venue_time: VenueTime,
        config: DeribitConfig,
        told: Callable[[Summary, int], list[Event]],
    ) -> None:
        self.interests: dict[str, float] = {}
        self._rpc = rpc
        self._feeds = feeds
        self._venue_time = venue_time
        self._config = config
        self._told = told
        self._due_ns: int | None = None
        self._missing: set[PartKey] = set()
        self._failed = ""

    def restart(self, now_ns: int) -> None:
        """The connection is new, or the listing: ask at once."""
        self._due_ns = now_ns
        self._missing.clear()

    def keep(self, listed: Container[str]) -> None:
        """Forget the open interest of what is listed no longer."""
        self.interests = {name: interest for name, interest in self.interests.items() if name in listed}

    def tick(self, now_ns: int, currencies: Iterable[str]) -> None:
        """Ask, if it is time."""
        if self._due_ns is None or now_ns < self._due_ns:
            return
        self._due_ns, self._failed = now_ns + round(self._config.reconcile_s * NS), ""
        self._missing = {(currency, kind) for currency in currencies for kind in KINDS}
        if self._missing:
            self._feeds.watch_polled(SUMMARY_FEED, MISSED * self._config.reconcile_s, now_ns)
        for currency, kind in sorted(self._missing):
            params = {"currency": currency, "kind": kind}
            self._rpc.call("public/get_book_summary_by_currency", params, self._reader((currency, kind)), now_ns)

    def _reader(self, part: PartKey) -> OnReply:
        return lambda reply, now_ns: self._answered(part, reply, now_ns)

    def _answered(self, part: PartKey, reply: Reply, now_ns: int) -> list[Event]:
        if part not in self._missing:
            return []
        self._missing.discard(part)
        if reply.time_ms:
            self._venue_time.heard(reply.time_ms, now_ns)
        events = self._read(reply, now_ns)
        if not self._missing and not self._failed:
            self._feeds.heard(SUMMARY_FEED, now_ns)
        return events

    def _read(self, reply: Reply, now_ns: int) -> list[Event]:
        if reply.error is not None:
            self._fail(str(reply.error))
            return []
        try:
            summary = parse_summary(reply.result)
        except WrongShape as wrong:
            self._fail(str(wrong))
            return [ParseError(VENUE, SUMMARY_FEED, wrong.kind, now_ns, wrong.detail)]
        self.interests |= summary.interests
        problems = [ParseError(VENUE, SUMMARY_FEED, kind, now_ns, detail) for kind, detail in summary.problems]
        return [*self._told(summary, now_ns), *problems]

    def _fail(self, why: str) -> None:
        self._failed = why
        self._feeds.failed(SUMMARY_FEED, why)


def check_chains(chains: Iterable[Chain], summary: Summary, now_ns: int) -> tuple[list[Event], list[Chain]]:
    """What the chains learn from a summary, and which of them disagree with it."""
    events: list[Event] = []
    differing = []
    for chain in chains:
        event, disagrees = chain.reconcile(summary.volatilities, now_ns)
        if event is not None:
            events.append(event)
        if disagrees:
            differing.append(chain)
    return events, differing


def other_forwards(summary: Summary, reference: Reference, served: frozenset[ExpiryKey], now_ms: int, now_ns: int) -> list[Event]:
    """The forwards of a summary for the expiries that no ticker serves."""
    forwards: dict[ExpiryKey, float] = {}
    for name, forward in summary.forwards.items():
        instrument = reference.by_name.get(name)
        key = None if instrument is None else expiry_key(instrument)
        if key is not None and key not in served and key[2] > now_ms:
            forwards[key] = forward
    return [forwards_event(SUMMARY_FEED, forwards, now_ns)] if forwards else []


def turnovers(summary: Summary, names: Iterable[str], now_ns: int) -> list[Event]:
    """The 24 h turnover of the named instruments."""
    volumes = {instrument_id(name): summary.turnovers[name] for name in names if name in summary.turnovers}
    return [Volumes(VENUE, SUMMARY_FEED, now_ns, volumes)] if volumes else []
