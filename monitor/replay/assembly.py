"""One replay: the real application between the seams of a recording, on a loop of its own."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from config.settings import Settings
from kernels.warmup import warm_up, warm_up_portfolio
from monitor.app import Application
from monitor.live.view import PortfolioView
from monitor.recording import ops
from monitor.recording.digest import Digest
from monitor.recording.recorder import told_document
from monitor.replay.conductor import Conductor, Divergences, ReplaySelector
from monitor.replay.reloads import Configured, Reloads, ReplayConnectors
from monitor.replay.seams import ReplayClock, ReplayWorkers
from monitor.replay.settings import ReplaySettings
from monitor.replay.source import RecordedRun

Told = tuple[int, int, list[Any]]
"""An alert: clock readings (monotonic ns, Unix ms) and what it says (rule, change, level, key, title)."""


@dataclass(slots=True)
class Wishes:
    """How to replay. `until_ns`, and the times to `look` at the application, are nanoseconds from the start of the recording; `speed` a
    multiple of real time, None for as fast as it goes.
    """

    until_ns: int | None = None
    speed: float | None = None
    look_at: Sequence[int] = ()
    look: Callable[[int, Application], None] | None = None
    told: Callable[[Told, int], None] | None = None
    """Called with every alert, and the start of the recording."""


@dataclass(slots=True)
class Outcome:
    """What a replay came to. `differing` evaluations gave other bits than the recorded ones, first at `first_ns` of the clock."""

    begin_ns: int
    begin_ms: int
    end_ns: int = 0
    end_ms: int = 0
    evaluations: int = 0
    differing: int = 0
    first_ns: int | None = None
    alerts: list[Told] = field(default_factory=list)
    recorded_alerts: list[Told] = field(default_factory=list)
    divergences: Divergences = field(default_factory=Divergences)
    seconds: float = 0.0
    not_reached: list[int] = field(default_factory=list)
    """Times to look at that lie beyond the end, nanoseconds from the start."""

    @property
    def recorded_seconds(self) -> float:
        """Length of what was replayed."""
        return (self.end_ns - self.begin_ns) / 1e9


def warm() -> None:
    """Compile or load every kernel: once before any replay of a process, as a replay's time is not to hold it."""
    warm_up(forbid=False)
    warm_up_portfolio()


@contextmanager
def _little_collecting() -> Iterator[None]:
    # what was there before lives on anyway, and looking through it again and again takes a tenth of the time
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class Replay:
    """One replay of a run under a configuration; `run` it once. `later` gives what the run's later configurations are replayed as."""

    def __init__(self, recorded: RecordedRun, settings: Settings, wishes: Wishes | None = None, later: Configured | None = None) -> None:
        self._wishes = wishes or Wishes()
        self._configured = later or ReplaySettings(recorded).later
        self._settings = settings
        self._recorded = recorded
        self._conductor = Conductor(recorded.read(), before=self._before)
        self._outcome = Outcome(self._conductor.begin_ns, self._conductor.begin_ms, divergences=self._conductor.divergences)
        self._looks = sorted(self._wishes.look_at)
        self._app: Application | None = None
        self._digest: Digest | None = None
        self._started = 0.0

    def run(self) -> Outcome:
        """Play it to its end, or as far as wished. Raises what `later` raises."""
        selector = ReplaySelector()
        outcome, conductor = self._outcome, self._conductor
        with _little_collecting(), asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            began = time.perf_counter()
            runner.run(self._play(selector))
            outcome.seconds = time.perf_counter() - began
        outcome.end_ns, outcome.end_ms = conductor.now_ns, conductor.now_ms
        outcome.not_reached = list(self._looks)
        outcome.recorded_alerts = [told for told in conductor.recorded_alerts if told[0] <= conductor.now_ns]
        return outcome

    async def _play(self, selector: ReplaySelector) -> None:
        conductor = self._conductor
        clock = ReplayClock(conductor)
        connectors = ReplayConnectors(conductor, clock, self._recorded.seed)
        agents = self._recorded.configuration["agents"]
        # what nobody looks at needs not be computed: the close look at portfolios feeds nothing back. Garbage is collected below
        workers = ReplayWorkers(conductor, {"view": PortfolioView("", 0), "collection": None})
        app = Application(self._settings, connectors.factory(self._settings, agents), (), clock, workers=workers, later=self._later)
        self._app, self._digest = app, Digest(app)
        app.alarm.listeners.append(self._told)
        self._started = time.perf_counter()
        selector.conductor = conductor
        reloads = Reloads(conductor, app, connectors, self._configured, agents)
        tasks = asyncio.create_task(app.start()), asyncio.create_task(reloads.follow())
        await conductor.play()
        self._look(conductor.now_ns)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _later(self, callback: Callable[[], None]) -> None:
        self._conductor.later(lambda: self._evaluate(callback))

    def _evaluate(self, callback: Callable[[], None]) -> None:
        callback()
        outcome = self._outcome
        outcome.evaluations += 1
        assert self._digest is not None
        value = self._digest.value()
        recorded = self._conductor.did(ops.DIGEST, None)
        if recorded is None or recorded.extra != value:
            outcome.differing += 1
            if outcome.first_ns is None:
                outcome.first_ns = self._conductor.now_ns

    def _told(self, alert: Any) -> None:
        told = (self._conductor.now_ns, self._conductor.now_ms, told_document(alert))
        self._outcome.alerts.append(told)
        if self._wishes.told is not None:
            self._wishes.told(told, self._outcome.begin_ns)

    def _before(self, ns: int) -> bool:
        wishes, begin_ns = self._wishes, self._outcome.begin_ns
        self._look(ns)
        if wishes.until_ns is not None and ns - begin_ns > wishes.until_ns:
            return False
        if wishes.speed is not None:
            ahead_s = (ns - begin_ns) / 1e9 / wishes.speed - (time.perf_counter() - self._started)
            if ahead_s > 0.0:
                time.sleep(ahead_s)
        return True

    def _look(self, ns: int) -> None:
        begin_ns = self._outcome.begin_ns
        while self._looks and self._looks[0] < ns - begin_ns:
            at = self._looks.pop(0)
            if self._wishes.look is not None and self._app is not None:
                self._wishes.look(at, self._app)
