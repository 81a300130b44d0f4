"""The simulated Deribit, read by the real connections and held by a real book, without sockets: every step ends with all told."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from connectors.clock import ManualClock
from connectors.deribit.private import PrivateProtocol
from connectors.deribit.protocol import MarketProtocol
from connectors.deribit.reference import Reference
from connectors.deribit.settings import DeribitAccountRef, DeribitConfig
from connectors.deribit.venue_time import VenueTime
from connectors.deribit.wishes import Wishes
from connectors.events import Event, ParseError, SummarySnapshot
from connectors.session_protocol import SessionProtocol
from connectors.simulator.deribit import DeribitClient, DeribitVenue
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.deribit import VENUE, DeribitAccount
from monitor.margin.result import PoolResult


class Line:
    """One connection of a protocol to the venue."""

    def __init__(self, venue: DeribitVenue, protocol: SessionProtocol) -> None:
        self.venue, self.protocol = venue, protocol
        self.client: DeribitClient | None = None

    def pump(self, now_ns: int) -> list[Event]:
        """Everything that is due, both ways, until nobody has anything to say."""
        events: list[Event] = []
        if self.client is not None and self.client.closed:
            self.client = None
            events += self.protocol.closed(now_ns, "the venue closed it")
        if self.client is None:
            self.client = self.venue.connect()
            self._send(self.protocol.opened(now_ns))
        tick = self.protocol.tick(now_ns)
        events += tick.events
        self._send(tick.frames)
        for _ in range(100):
            told = [event for text in self.client.drain() for event in self.protocol.receive(text.encode(), now_ns)]
            frames = self.protocol.outgoing()
            self._send(frames)
            events += told
            if not told and not frames:
                break
        if tick.reconnect is not None:
            self.client.close()
        return events

    def _send(self, frames: Iterable[bytes]) -> None:
        assert self.client is not None
        for frame in frames:
            self.client.receive(frame.decode())


class SimulatedDeribit:
    """A book and engine over a venue's accounts; `events` are all that were told."""

    def __init__(self, venue: DeribitVenue, config: DeribitConfig, *, coins: Iterable[str] = ("BTC", "ETH")) -> None:
        self.venue = venue
        self.clock = ManualClock()
        self.events: list[Event] = []
        reference, venue_time = Reference(), VenueTime(self.clock)
        plans = [account.plan for account in venue.accounts.values()]
        refs = [DeribitAccountRef(plan.alias, plan.client_id, plan.client_secret) for plan in plans]
        self.public = MarketProtocol(config, reference, venue_time, Random(1), self.now_ns)
        self.public.wish(Wishes(coins=frozenset(coins)), self.now_ns)
        self.private = {ref.alias: PrivateProtocol(ref, config, reference, venue_time, Random(2), self.now_ns) for ref in refs}
        self.lines = [Line(venue, self.public), *(Line(venue, protocol) for protocol in self.private.values())]
        self.book = Book(AccountEntry(VENUE, ref.alias, DeribitAccount(ref.alias), (0.85, 0.90, 1.0), 0.02) for ref in refs)
        self.engine = Engine(self.book)
        self.settle()

    @property
    def now_ns(self) -> int:
        """The receive clock."""
        return self.clock.monotonic_ns()

    def advance(self, seconds: float) -> None:
        """Let time pass, and everybody say what they have to say."""
        self.clock.shift(seconds)
        self.venue.advance(seconds)
        self.settle()

    def settle(self) -> None:
        """Deliver everything that is under way."""
        for _ in range(3):
            for line in self.lines:
                for event in line.pump(self.now_ns):
                    self.events.append(event)
                    self.book.apply(event)
            self.engine.evaluate()
            for _, alias, _ in self.book.take_refreshes():
                self.private[alias].refresh(self.now_ns)

    def result(self, alias: str, pool: str) -> PoolResult:
        """Our figures of a pool."""
        return self.engine.result(self.engine.arrays.row((VENUE, alias, pool)), self.now_ns, measure=True)

    def pools(self, alias: str) -> set[str]:
        """Names of an account's pools."""
        return {scope[2] for scope in self.engine.arrays.scopes_of(VENUE, alias)}

    def worst_gap(self, alias: str) -> float:
        """How far our ratio of any pool of an account is from the venue's own, in ratios."""
        told = self.venue.figures(alias)
        return max(abs((self.result(alias, pool).last_margin_ratio or 0.0) - figures.ratio) for pool, figures in told.items())

    def parse_errors(self) -> set[tuple[str, str]]:
        """(feed, kind) of what was not understood."""
        return {(event.feed, event.kind) for event in self.events if isinstance(event, ParseError)}

    def snapshots(self, alias: str) -> list[SummarySnapshot]:
        """What was told of an account, in order."""
        return [event for event in self.events if isinstance(event, SummarySnapshot) and event.account == alias]
