"""Requests that nobody waits for: done one after the other for ever, each only when the budget has room to spare."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from connectors.backoff import Backoff, BackoffState
from connectors.clock import Clock, wait_for
from connectors.errors import ConnectorError
from connectors.ratelimit import Budget

NS = 1_000_000_000
RETRY = Backoff(initial=120.0, maximum=3600.0)
LEAST_RETRY_S = 60.0
LEAST_GAP_S = 30.0
LOOK_AGAIN_S = 2.0

SPARED_PART = 0.25
"""Part of the budget that is left to others: such a request goes out when it does not touch it."""

OWN_PART = 0.1
"""Part of the budget that all these requests together take at most, so that they are spread out."""

PATIENCE_S = 120.0
"""After so long such a request takes its turn like any other, so that a budget that is always busy does not starve it."""

Load = Callable[[], Awaitable[float]]

_log = logging.getLogger("connectors.background")


@dataclass(slots=True)
class _Task:
    load: Load
    due_ns: int
    begun_ns: int | None = None
    retry: BackoffState | None = None


class Background:
    """Loads by name. Each waits for `room_for` what it is about to ask and returns the seconds after which it is to be loaded again.

    `owner` is for logs. `failed` is told the name and the ConnectorError of a load before it is tried again, ever more rarely. Any
    other exception is a defect of ours: it is logged by its type, as its text may quote a payload, and the load is tried again too.
    """

    def __init__(self, owner: str, budget: Budget, *, clock: Clock, random: Random, failed: Callable[[str, ConnectorError], None]) -> None:
        self._owner = owner
        self._budget = budget
        self._clock = clock
        self._random = random
        self._failed = failed
        self._tasks: dict[str, _Task] = {}
        self._wake = asyncio.Event()
        self._rests_until_ns = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the loads, in order of addition."""
        return tuple(self._tasks)

    def add(self, name: str, load: Load, *, in_s: float = 0.0) -> None:
        """Load from now on, first in that many seconds; harmless for a name that is there already."""
        if name not in self._tasks:
            self._tasks[name] = _Task(load, self._in(in_s))
            self._wake.set()

    def remove(self, name: str) -> None:
        """Load no longer; what is being loaded is not interrupted. Harmless for an unknown name."""
        self._tasks.pop(name, None)

    def hasten(self, name: str) -> None:
        """Load as soon as possible: not within 30 s of the last time, nor before the next try where the last one failed."""
        task = self._tasks.get(name)
        if task is not None and task.retry is None:
            now_ns = self._clock.monotonic_ns()
            soonest_ns = now_ns if task.begun_ns is None else max(now_ns, task.begun_ns + round(LEAST_GAP_S * NS))
            task.due_ns = min(task.due_ns, soonest_ns)
            self._wake.set()

    async def run(self) -> None:
        """Load what is due, for ever."""
        while True:
            name = min(self._tasks, key=lambda one: self._tasks[one].due_ns, default=None)
            wait_s = None if name is None else (self._tasks[name].due_ns - self._clock.monotonic_ns()) / NS
            if name is None or (wait_s is not None and wait_s > 0.0):
                self._wake.clear()
                await wait_for(self._clock, self._wake, wait_s)
            else:
                await self._do(name, self._tasks[name])

    async def room_for(self, weight: int) -> None:
        """Return when a request of that weight may go out: for a load, right before it asks."""
        until_ns = self._in(PATIENCE_S)
        while (now_ns := self._clock.monotonic_ns()) < until_ns:
            spent = self._budget.statistics()
            if now_ns >= self._rests_until_ns and spent.weight_used + weight <= spent.weight_limit * (1.0 - SPARED_PART):
                break
            await self._clock.sleep(LOOK_AGAIN_S)
        self._rests_until_ns = self._in(60.0 * weight / (self._budget.statistics().weight_limit * OWN_PART))

    async def _do(self, name: str, task: _Task) -> None:
        task.begun_ns = self._clock.monotonic_ns()
        try:
            again_s = await task.load()
        except ConnectorError as failure:
            self._again(task)
            self._failed(name, failure)
        except Exception as defect:
            _log.error("%s of %s failed: internal error %s", name, self._owner, type(defect).__name__)
            self._again(task)
        else:
            task.retry, task.due_ns = None, self._in(again_s)

    def _again(self, task: _Task) -> None:
        task.retry = task.retry or BackoffState(RETRY, self._random)
        task.due_ns = self._in(max(LEAST_RETRY_S, task.retry.next_delay()))

    def _in(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + round(seconds * NS)
