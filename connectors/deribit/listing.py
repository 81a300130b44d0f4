"""When the venue's listing is read: after connecting, at the daily roll, when something unknown shows up, else every hour. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connectors.deribit.feeds import MarketFeeds
from connectors.deribit.reference import KINDS, Part, PartKey, Reference, parse_listing
from connectors.deribit.rpc import NS, OnReply, Reply, Rpc
from connectors.deribit.settings import VENUE, DeribitConfig
from connectors.deribit.venue_time import VenueTime
from connectors.events import Event, ParseError
from connectors.fields import WrongShape

LISTING_FEED = "get_instruments"
FAILED_RETRY_S = 5.0
MOST_GAP_S = 900.0
LATE = 1.5
DAY_MS = 86_400_000
ROLL_MS = 8 * 3_600_000 + 30_000
"""Time of day (UTC) when the venue has listed its new expiries (venue notes 7, no. 16)."""

AFTER_EXPIRY_S = 30.0


class Listing:
    """Reads the listing of some currencies into `reference`, one kind of instrument a request. Times are monotonic nanoseconds.

    `changed(now_ns)` is called after a reading that brought something new, or the first. What fails is tried again; what was known stands.
    """

    def __init__(
        self,
        rpc: Rpc,
        reference: Reference,
        feeds: MarketFeeds,
        venue_time: VenueTime,
        config: DeribitConfig,
        changed: Callable[[int], list[Event]],
    ) -> None:
        self.reasons: dict[str, int] = {}
        """How often each reason asked for a reading."""
        self._rpc = rpc
        self._reference = reference
        self._feeds = feeds
        self._venue_time = venue_time
        self._config = config
        self._changed = changed
        self._currencies: tuple[str, ...] = ()
        self._due_ns: int | None = None
        self._began_ns: int | None = None
        self._gap_s = config.listing_gap_s
        self._grown: set[str] = set()
        self._roll_ms = 0
        self._missing: set[PartKey] = set()
        self._arrived: dict[PartKey, Part] = {}
        self._failed = ""
        self._retry_s = FAILED_RETRY_S

    def want(self, currencies: Iterable[str], now_ns: int) -> None:
        """The currencies to read from now on; new ones are read at once."""
        currencies = tuple(currencies)
        if currencies == self._currencies:
            return
        grown = set(currencies) - set(self._currencies)
        self._currencies = currencies
        self._reference.keep(self._parts())
        if grown:
            self._feeds.watch_polled(LISTING_FEED, LATE * self._config.listing_s, now_ns)
            if self._reference.loaded and not self._missing:
                # what is listed already need not be read again with it: the venue allows few of these requests
                self._grown |= grown
            else:
                self._missing.clear()
                self._due_ns = now_ns

    def refresh(self, why: str, now_ns: int, in_s: float = 0.0) -> None:
        """Read it as soon as the gap between two readings allows, but not before `in_s` seconds."""
        self.reasons[why] = self.reasons.get(why, 0) + 1
        earliest_ns = now_ns if self._began_ns is None else self._began_ns + round(self._gap_s * NS)
        due_ns = max(earliest_ns, now_ns + round(in_s * NS))
        if self._due_ns is None or due_ns < self._due_ns:
            self._due_ns = due_ns

    def opened(self, now_ns: int) -> None:
        """The connection is up: what was listed meanwhile is not known."""
        self._missing.clear()
        if self._reference.loaded:
            self._gap_s = self._config.listing_gap_s
            self.refresh("connected", now_ns)
        else:
            self._due_ns = now_ns

    def closed(self) -> None:
        """The connection ended: no answer will come."""
        self._missing.clear()

    def tick(self, now_ns: int) -> None:
        """Ask, if it is time."""
        now_ms = self._venue_time.now_ms(now_ns)
        if now_ms >= self._roll_ms:
            if self._roll_ms:
                self._gap_s = self._config.listing_gap_s
                self.refresh("daily roll", now_ns)
            self._roll_ms = (now_ms - ROLL_MS) // DAY_MS * DAY_MS + DAY_MS + ROLL_MS
        if not self._currencies or self._missing:
            return
        if self._due_ns is not None and now_ns >= self._due_ns:
            # Due again whatever becomes of this one.
            self._due_ns, self._began_ns = now_ns + round(self._config.listing_s * NS), now_ns
            self._ask(self._parts(), now_ns)
        elif self._grown:
            self._ask([part for part in self._parts() if part[0] in self._grown], now_ns)

    def _ask(self, parts: list[PartKey], now_ns: int) -> None:
        self._arrived, self._failed = {}, ""
        self._grown.clear()
        self._missing = set(parts)
        for currency, kind in parts:
            params = {"currency": currency, "kind": kind, "expired": False}
            self._rpc.call("public/get_instruments", params, self._reader((currency, kind)), now_ns)

    def _parts(self) -> list[PartKey]:
        return [(currency, kind) for currency in self._currencies for kind in KINDS]

    def _reader(self, part: PartKey) -> OnReply:
        return lambda reply, now_ns: self._answered(part, reply, now_ns)

    def _answered(self, part: PartKey, reply: Reply, now_ns: int) -> list[Event]:
        if part not in self._missing:
            return []
        self._missing.discard(part)
        events = self._read(part, reply, now_ns)
        return events if self._missing else [*events, *self._end(now_ns)]

    def _read(self, part: PartKey, reply: Reply, now_ns: int) -> list[Event]:
        if reply.time_ms:
            self._venue_time.heard(reply.time_ms, now_ns)
        if reply.error is not None:
            self._failed = str(reply.error)
            return []
        try:
            parsed = parse_listing(reply.result)
        except WrongShape as wrong:
            self._failed = str(wrong)
            return [ParseError(VENUE, LISTING_FEED, wrong.kind, now_ns, wrong.detail)]
        if parsed.instruments or not self._reference.lists(part):
            self._arrived[part] = parsed
        else:
            # What trades does not vanish all at once: what was known stands.
            self._failed = f"the venue's listing of {' '.join(part)} is empty or unreadable, though it was not before"
        return [ParseError(VENUE, LISTING_FEED, kind, now_ns, detail) for kind, detail in parsed.problems]

    def _end(self, now_ns: int) -> list[Event]:
        config = self._config
        is_news = bool(self._arrived) and self._reference.replace(self._arrived)
        if self._failed:
            self._feeds.failed(LISTING_FEED, self._failed)
            self._gap_s = min(MOST_GAP_S, 2.0 * self._gap_s)
            self._due_ns = now_ns + round(self._retry_in_s() * NS)
        else:
            self._feeds.heard(LISTING_FEED, now_ns)
            self._retry_s = FAILED_RETRY_S
            # What keeps contradicting an unchanged listing is the venue's to settle: ask ever more rarely.
            self._gap_s = config.listing_gap_s if is_news else min(MOST_GAP_S, 2.0 * self._gap_s)
        self._arrived = {}
        return self._changed(now_ns) if is_news else []

    def _retry_in_s(self) -> float:
        if not self._reference.loaded:
            return FAILED_RETRY_S
        if self._reference.has(self._parts()):
            return self._gap_s
        # Whatever is held of a part that never came has no figure.
        in_s, self._retry_s = self._retry_s, min(MOST_GAP_S, 2.0 * self._retry_s)
        return in_s
