"""What the alarm looks at besides ratios: one door to the rules of this package.

    watch.note(event, now_ns)           every event, before the book takes it
    watch.after(now_ns)                 after the evaluation that followed
    watch.occurrences()                 what happened since they were last taken
    watch.conditions(results, ...)      all that is so, once a second
    watch.maintenance(now_ms)           venues in maintenance, with the reason

Rules keep what they must remember: where a figure went beyond a limit, samples of a minute, since when a feed is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from config.settings import Settings
from connectors.events import BorrowReserves, CashFlow, Event, Fill, Instruments, Liquidation, MarginCall, VenueStatus
from monitor.alerts.incident import Condition, Occurrence
from monitor.book import Book
from monitor.engine import Engine
from monitor.live.portfolios import LivePortfolios
from monitor.margin.result import PoolResult
from monitor.resolvers.provenance import Provenance
from monitor.watch.accounts import AdlMemory, ModeChanges, account_conditions
from monitor.watch.changes import ChangeWatch
from monitor.watch.feeds import FeedWatch
from monitor.watch.limits import WatchLimits
from monitor.watch.maintenance import MaintenanceWatch
from monitor.watch.market import ClockWatch, DepegWatch
from monitor.watch.pools import PoolWatch
from monitor.watch.portfolios import NetDeltaWatch
from monitor.watch.seen import SeenWatch
from monitor.watch.views import account_views

MOST_EARLY = 200
"""Executions kept until the first second."""


class Watch:
    """Every rule besides the levels, over one application's state. On the event loop only; computes nothing on a mark."""

    def __init__(self, settings: Settings, book: Book, engine: Engine, portfolios: LivePortfolios) -> None:
        self.limits = WatchLimits.from_settings(settings)
        self._book = book
        self._engine = engine
        self._venues = venues = _venues(settings)
        self._pools = PoolWatch(self.limits, book)
        self._modes = ModeChanges()
        self._depegs = DepegWatch(self.limits, portfolios)
        self._clocks = ClockWatch(self.limits)
        self._feeds = FeedWatch(self.limits, venues)
        self._maintained = MaintenanceWatch(self.limits.windows, book)
        self._queues = AdlMemory()
        self._deltas = NetDeltaWatch(self.limits, portfolios)
        self._seen = SeenWatch()
        self._changes = ChangeWatch(self.limits, book, engine, partial(_size_usd, portfolios))
        self.starting: frozenset[tuple[str, str]] = frozenset()
        """(venue, account) without a first complete state since the start, set by the caller: their silent feeds are no news."""
        self._occurrences: list[Occurrence] = []
        self._early: list[Fill] = []
        self._now_ns = 0
        self._notes: dict[type, Callable[[Any, int], None]] = {
            Liquidation: lambda event, now_ns: self._happened(self._seen.liquidation(event)),
            MarginCall: lambda event, now_ns: self._occurrences.append(self._seen.margin_call(event)),
            Fill: self._note_fill,
            CashFlow: lambda event, now_ns: self._changes.note_flow(event),
            Instruments: lambda event, now_ns: self._changes.note_instruments(event),
            BorrowReserves: lambda event, now_ns: self._changes.note_reserves(event),
            VenueStatus: self._clocks.note,
        }

    def configure(self, settings: Settings) -> None:
        """Compare with other limits from now on; what was seen so far stays."""
        self.limits = limits = WatchLimits.from_settings(settings)
        self._venues = self._feeds.venues = _venues(settings)
        self._maintained.windows = limits.windows
        for part in (self._pools, self._depegs, self._clocks, self._feeds, self._deltas, self._changes):
            part.limits = limits

    def renew(self, account: tuple[str, str], now_ms: int) -> None:
        """An account (venue, id) is watched from now on (Unix ms), or is another one, or is read over another connection."""
        self._forget_state(account)
        self._seen.renew(*account, now_ms)

    def forget(self, account: tuple[str, str]) -> None:
        """An account is watched no more."""
        self._forget_state(account)
        self._seen.forget(*account)

    def forget_venue(self, venue: str) -> None:
        """A venue is watched no more, or over another connection."""
        self._clocks.forget(venue)

    def _forget_state(self, account: tuple[str, str]) -> None:
        for part in (self._pools, self._modes, self._queues, self._changes):
            part.forget(account)

    @property
    def told_until_ms(self) -> dict[str, int]:
        """By account: what its venue did up to then (Unix ms) an earlier process has told. Set by the caller before the first second."""
        return self._seen.told_until_ms

    @told_until_ms.setter
    def told_until_ms(self, told: dict[str, int]) -> None:
        self._seen.told_until_ms = told

    def note(self, event: Event, now_ns: int) -> None:
        """Look at an event before the book takes it."""
        handler = self._notes.get(type(event))
        if handler is not None:
            handler(event, now_ns)

    def after(self, now_ns: int) -> None:
        """Finish what needed the margins of before and after the evaluation that just was."""
        self._occurrences += self._changes.finish()

    def occurrences(self) -> list[Occurrence]:
        """What happened since the last call, in order."""
        found, self._occurrences = self._occurrences, []
        return found

    def conditions(self, results: Sequence[PoolResult], now_ns: int, now_ms: int) -> list[Condition]:
        """Everything that is so now; `results` are all pools as just evaluated. To be called once a second."""
        self._now_ns, self._changes.now_ms = now_ns, now_ms
        if self._seen.started_ms is None:
            self._seen.started_ms = now_ms
            early, self._early = self._early, []
            for event in early:
                self._note_fill(event, now_ns)
        views = account_views(self._book, self._engine.arrays, results)
        self._occurrences += self._modes.occurrences(views)
        return [
            *self._pools.conditions(results, now_ns),
            *account_conditions(views, self._book, self.limits, now_ms, self._queues),
            *self._depegs.conditions(views, self._book),
            *self._clocks.conditions(self._venues, now_ns, now_ms),
            *self._feeds.conditions(self._book.freshness, now_ns, self.starting, self.maintenance(now_ms)),
            *self._deltas.conditions(),
        ]

    def maintenance(self, now_ms: int) -> dict[str, str]:
        """Venues in maintenance at `now_ms` (Unix), with the reason."""
        return self._maintained.venues(self._now_ns, now_ms)

    def clock_offsets(self, now_ns: int, now_ms: int) -> dict[str, float]:
        """By venue: its clock less ours, seconds, where it told it within ten minutes."""
        return self._clocks.offsets(now_ns, now_ms)

    def _note_fill(self, event: Fill, now_ns: int) -> None:
        if self._seen.started_ms is None and event.snapshot and SeenWatch.kind_of(event) is not None:
            # whether it is history shows once the start is known
            self._early = [*self._early[1 - MOST_EARLY :], event]
            return
        self._happened(self._seen.fill(event))

    def _happened(self, seen: Occurrence | None) -> None:
        if seen is not None:
            self._occurrences.append(seen)


def _venues(settings: Settings) -> tuple[str, ...]:
    return tuple(dict.fromkeys(account.venue for account in settings.accounts))


def _size_usd(portfolios: LivePortfolios, asset: str) -> float:
    price = portfolios.price(asset)
    # only to tell a large transfer from a small one: no venue may price the coin that the account is margined in
    return 1.0 if price.provenance is Provenance.MISSING and portfolios.is_stable(asset) else price.value
