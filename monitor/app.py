"""The composition root and the life of the program: connectors in, book, engine, alarm out.

The way of a tick is `Application.receive`: events are applied as they come and one evaluation is scheduled for all that
arrive before it runs. Everything here runs on one event loop; only distances and metric rendering use a thread.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from config.portfolios import PortfolioSettings
from config.settings import Settings
from connectors.clock import Clock
from connectors.events import (
    Event,
    Forwards,
    FuturesSnapshot,
    IndexPrices,
    MarkPrices,
    SectionsSnapshot,
    SummarySnapshot,
    Volatilities,
)
from kernels._jit import CACHE_NOTE
from kernels.warmup import warm_up, warm_up_portfolio
from monitor.alarm import Alarm
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.outbox import Outbox
from monitor.engine import Engine
from monitor.intake import Intake
from monitor.live.export import snapshot_document
from monitor.live.history import RatioHistory, ratios_of
from monitor.live.inputs import portfolio_inputs
from monitor.live.portfolios import LivePortfolios
from monitor.live.view import PortfolioView, market_of, portfolio_view
from monitor.live.wishes import Wishes
from monitor.margin.configured import build_book
from monitor.margin.result import PoolResult
from monitor.recording.writer import WriterStatus
from monitor.tasks import Tasks
from monitor.workers import Threads, Workers

_log = logging.getLogger("marginwatch.app")

SECOND_NS = 1_000_000_000
LAST_PAGES_S = 3.0
"""How long a stop waits for receivers to take what is left."""


_TIMED = (MarkPrices, Volatilities, Forwards, IndexPrices, SectionsSnapshot, FuturesSnapshot, SummarySnapshot)
"""Events whose way to a decision is measured."""


class Connector(Protocol):
    """What the application needs of a venue's connector."""

    venue: str

    async def run(self) -> None:
        """Serve until stopped."""
        ...

    async def stop(self) -> None:
        """End cleanly."""
        ...

    def refresh(self, account: str) -> None:
        """Read the account again by REST, soon."""
        ...

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        """Margin ratios by account: push slots go to the nearest to their limit."""
        ...

    def set_accounts(self, accounts: Iterable[Any]) -> None:
        """Watch these accounts of the venue's own kind from now on, equal ones untouched. ValueError: nothing changed."""
        ...

    def set_wanted(self, instruments: Iterable[str]) -> None:
        """Instruments whose marks are wanted beside those that accounts hold."""
        ...

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose daily closes, outcomes or option chains are wanted, as far as the venue has them."""
        ...

    def describe(self) -> dict[str, Any]:
        """State and statistics for status and metrics; no addresses."""
        ...


@runtime_checkable
class OptionsConnector(Protocol):
    """What the application needs of the connector of a venue with options, beside `Connector`."""

    def watch_expiries(self, expiries: Iterable[tuple[str, str, int]]) -> None:
        """(coin, settlement asset, expiry ms) whose forward is wanted beside those of what accounts hold."""
        ...


Later = Callable[[Callable[[], None]], object]
"""Runs something in the loop's next turn."""

ConnectorFactory = Callable[[Callable[[list[Event]], None]], Sequence[Connector]]
"""Builds the connectors, given where their events go."""


@dataclass(slots=True)
class Timings:
    """Latency of decisions: `buckets` are upper bounds in seconds, `counts` one more for what exceeds them."""

    buckets: tuple[float, ...] = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 1.0)
    counts: list[int] = field(default_factory=lambda: [0] * 15)
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one decision."""
        self.total += seconds
        for index, bound in enumerate(self.buckets):
            if seconds <= bound:
                self.counts[index] += 1
                return
        self.counts[-1] += 1


@dataclass(slots=True)
class ConfigurationState:
    """The configuration in use: whether the one that was last asked for could be taken, and when (Unix ms) the one in use was loaded."""

    successful: bool
    loaded_ms: int


class Application:
    """One running monitor. `start`, then `stop`; `receive` is the sink of every connector."""

    def __init__(
        self,
        settings: Settings,
        connectors: ConnectorFactory,
        lines: Sequence[LineSettings],
        clock: Clock,
        *,
        outbox: Outbox | None = None,
        heartbeat: Heartbeat | None = None,
        workers: Workers | None = None,
        later: Later | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._workers = workers or Threads()
        self._later = later
        self.book = build_book(settings)
        self.engine = Engine(self.book, settings.defaults.reconcile_tolerance)
        self.portfolios = LivePortfolios(settings, self.engine)
        self.alarm = Alarm(settings, self.engine, self.portfolios, lines, outbox or Outbox(None), clock, heartbeat)
        self.portfolio_views: tuple[PortfolioView, ...] = ()
        """The portfolios as last looked at closely; empty until then."""
        self.history = RatioHistory()
        intake = Intake(self.receive)
        self.connectors = list(connectors(intake))
        self._intakes = {connector.venue: intake for connector in self.connectors}
        self.alarm.venues = {connector.venue for connector in self.connectors}
        self.recording: WriterStatus | None = None
        """How the flight recorder's writing goes; None without one."""
        self.timings = Timings()
        self.warm_up_s: float | None = None
        self.started_ms = clock.time_ms()
        self.configuration = ConfigurationState(True, self.started_ms)
        self.first_fresh: dict[tuple[str, str], int] = {}
        """When each account first had a value (monotonic ns)."""
        self._wishes: Wishes | None = None
        self._scheduled = False
        self._oldest_ns: int | None = None
        self.running = asyncio.Event()
        """Set from the end of the start to the beginning of the stop."""
        self._tasks = Tasks()
        self._serving: dict[Connector, asyncio.Task[None]] = {}
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Warm the kernels, then start connectors and the once-a-second work. Returns when they run."""
        if CACHE_NOTE.startswith("kernel cache is off"):
            _log.warning(CACHE_NOTE)
        started = time.perf_counter()
        await self._workers.run("warm-up", warm_up)
        self.warm_up_s = time.perf_counter() - started
        _log.info("kernels ready in %.1f s", self.warm_up_s)
        await self.alarm.start(self._workers)
        self._serving = {connector: self._tasks.add(connector.run()) for connector in self.connectors}
        self._tasks.add(self._every_second())
        self._tasks.add(self._watch_portfolios())
        self._beat()
        self.running.set()

    async def stop(self) -> None:
        """Stop intake, evaluate what arrived, deliver what waits, close."""
        self.running.clear()
        for connector in self.connectors:
            await connector.stop()
        if self._scheduled:
            self._evaluate()
        await self._tasks.end()
        await self.alarm.stop(LAST_PAGES_S)

    async def failed(self) -> None:
        """Wait until a task of the program ends by itself, which none should, and raise what ended it."""
        await self._tasks.failed()

    def follow(self, settings: Settings, swap: Callable[[], None]) -> None:
        """Run by another configuration from now on: `swap` exchanges the parts. One turn of the loop, with an evaluation at its end."""
        kept = {one.id for one in settings.portfolios if one in self.settings.portfolios}
        self.settings = settings
        swap()
        self.portfolio_views = tuple(view for view in self.portfolio_views if view.portfolio in kept)
        self.configuration = ConfigurationState(True, self.clock.time_ms())
        self._evaluate()

    def exchange(self, leaving: Collection[str], intake: Intake, connectors: Sequence[Connector]) -> None:
        """Let the connectors of some venues go, whose last words count no more, and run others, which put their events into `intake`."""
        for connector in [connector for connector in self.connectors if connector.venue in leaving]:
            self._intakes.pop(connector.venue).end(connector.venue)
            self._tasks.leave(self._serving.pop(connector), connector.stop)
            self.receive([*self.book.drop_venue(connector.venue)])
            self.alarm.watch.forget_venue(connector.venue)
        new = {connector.venue: connector for connector in connectors}
        stay = [new.pop(one.venue, one) for one in self.connectors if one.venue in new or one.venue not in leaving]
        self.connectors = [*stay, *new.values()]
        self._intakes |= {connector.venue: intake for connector in connectors}
        self._serving |= {connector: self._tasks.add(connector.run()) for connector in connectors}
        self.alarm.venues = {connector.venue for connector in self.connectors}
        if connectors:
            # all are asked again for what the portfolios need
            self._wishes = None

    def beat_by(self, heartbeat: Heartbeat | None) -> None:
        """Another heartbeat, or none."""
        if self._beating is not None:
            self._tasks.leave(self._beating)
        self.alarm.set_heartbeat(heartbeat)
        self._beat()

    def _beat(self) -> None:
        heartbeat = self.alarm.heartbeat
        self._beating = None if heartbeat is None else self._tasks.add(heartbeat.run())

    def receive(self, events: list[Event]) -> None:
        """Apply events and see to it that one evaluation follows."""
        now_ns = self.clock.monotonic_ns()
        for event in events:
            self.alarm.note(event, now_ns)
            self.book.apply(event)
            self.portfolios.apply(event)
            if self._oldest_ns is None and isinstance(event, _TIMED):
                self._oldest_ns = event.received_ns
        if not self._scheduled and events:
            self._scheduled = True
            (self._later or asyncio.get_running_loop().call_soon)(self._evaluate)

    def results(self) -> list[PoolResult]:
        """Every pool as it stands."""
        return self.engine.results(self.clock.monotonic_ns())

    @property
    def is_ready(self) -> bool:
        """Whether `unready` has nothing to say, for less."""
        return self.warm_up_s is not None and not self._waiting_for()

    def _waiting_for(self) -> list[tuple[str, str]]:
        return [key for key, entry in self.book.accounts.items() if key not in self.first_fresh and entry.method.failure is None]

    def unready(self) -> list[str]:
        """Why the monitor is not ready: empty once kernels are warm and every account had a value or a declared failure."""
        reasons = [] if self.warm_up_s is not None else ["kernels are compiling"]
        waiting = self._waiting_for()
        if not waiting:
            return reasons
        why: dict[tuple[str, str], str] = {}
        for result in self.results():
            if result.failures:
                failure = result.failures[0]
                why.setdefault((result.venue, result.account), f": {failure.reason.value}: {failure.detail}")
        return reasons + [f"{key[1]}: waiting for the first complete state{why.get(key, '')}" for key in waiting]

    def _evaluate(self) -> None:
        self._scheduled = False
        began, now_ns = time.perf_counter(), self.clock.monotonic_ns()
        crossed = self.engine.evaluate()
        self.portfolios.touch(self.book.touched)
        self.book.touched.clear()
        # pages of the pools, which venues act on, leave before the portfolios are computed
        self.alarm.pools_evaluated(crossed, now_ns)
        self.alarm.portfolios_evaluated(self.portfolios.evaluate(now_ns, self.clock.time_ms()), now_ns)
        if self.portfolios.wishes is not self._wishes:
            self._wishes = self.portfolios.wishes
            self._wish(self._wishes)
        for venue, account, why in self.book.take_refreshes():
            _log.debug("%s: read again: %s", account, why)
            for connector in self.connectors:
                if connector.venue == venue:
                    connector.refresh(account)
        if self._oldest_ns is not None:
            self.timings.observe((now_ns - self._oldest_ns) / SECOND_NS + time.perf_counter() - began)
            self._oldest_ns = None

    def _wish(self, wishes: Wishes) -> None:
        for connector in self.connectors:
            connector.set_wanted(wishes.instruments.get(connector.venue, ()))
            connector.watch_coins(wishes.closes.get(connector.venue, wishes.coins))
            if isinstance(connector, OptionsConnector):
                connector.watch_expiries(wishes.expiries)

    async def _every_second(self) -> None:
        while True:
            # by the clock that a recording holds, so that a replay sleeps as long
            started_ns = self.clock.monotonic_ns()
            if not self._scheduled:
                self._evaluate()
            now_ns = self.clock.monotonic_ns()
            results = self.engine.results(now_ns)
            self.alarm.every_second(results, now_ns)
            self.history.note(self.clock.time_ms(), ratios_of(results, self.portfolios.figures()))
            self._note(results, now_ns)
            self.engine.take_distances(await self._workers.run("distances", self.engine.distance_job(now_ns)))
            await self.clock.sleep(max(0.05, 1.0 - (self.clock.monotonic_ns() - started_ns) / SECOND_NS))

    async def _watch_portfolios(self) -> None:
        # beside the pools, not before them: an empty kernel cache takes half a minute
        await self._workers.beside("compile", warm_up_portfolio)
        self.portfolios.ready = True
        # what lives as long as the program need not be looked through again: a full collection stops the loop for 0.2 s
        if self._workers.wants("collection"):
            gc.collect()
            gc.freeze()
        while True:
            began_ns = self.clock.monotonic_ns()
            try:
                self.portfolios.resync(self.clock.monotonic_ns())
                if not await self._look():
                    continue
            except Exception as defect:  # the pools' watch goes on without it
                self.portfolio_views = ()
                _log.exception("the portfolios cannot be looked at: %s", type(defect).__name__)
            # at most a tenth of one core
            await self.clock.sleep(max(1.0, 10.0 * (self.clock.monotonic_ns() - began_ns) / SECOND_NS))

    async def _look(self) -> bool:
        # False: another configuration came meanwhile
        settings, views = self.settings, []
        for portfolio in settings.portfolios:
            views.append(await self._view(portfolio))
            if self.settings is not settings:
                return False
        self.portfolio_views = tuple(views)
        return True

    async def _view(self, portfolio: PortfolioSettings) -> PortfolioView:
        failures = self.portfolios.failures_of(portfolio.accounts)
        if not failures and not self._workers.wants("view"):
            await self._workers.run("view", lambda: None)
            return PortfolioView(portfolio.id, self.portfolios.as_of_ms)
        document = None if failures else snapshot_document(self.portfolios, self.engine, portfolio.id)
        as_of_ms = self.portfolios.as_of_ms
        inputs, books = portfolio_inputs(self.portfolios, portfolio.id), self.portfolios.books
        if document is None:
            return PortfolioView(portfolio.id, as_of_ms, failures, market=market_of(inputs))
        figures = next(one for one in self.portfolios.figures() if one.portfolio == portfolio.id)
        view = await self._workers.run("view", lambda: portfolio_view(portfolio, document, inputs))
        if view.result is not None:
            books.compare(figures, view.result)
        return view

    def _note(self, results: list[PoolResult], now_ns: int) -> None:
        worst: dict[str, float] = {}
        valid: dict[tuple[str, str], bool] = {}
        for result in results:
            key = (result.venue, result.account)
            valid[key] = valid.get(key, True) and result.valid
            ratio = result.margin_ratio if result.margin_ratio is not None else result.last_margin_ratio
            if ratio is not None:
                worst[result.account] = max(worst.get(result.account, 0.0), ratio)
        for key, is_valid in valid.items():
            if is_valid:
                self.first_fresh.setdefault(key, now_ns)
        for connector in self.connectors:
            connector.set_priorities(worst)
