"""Time as a parameter: the system's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Coroutine
from itertools import count
from typing import Any, Protocol, TypeVar

from connectors.errors import Timeout

T = TypeVar("T")

_SETTLING_ROUNDS = 40
# Linux's plain monotonic clock stands still while the machine is suspended: figures from before would look young after.
_SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """What connectors know of time."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back: for ages."""
        ...

    def time_ms(self) -> int:
        """Milliseconds since 1970: for comparison with a venue's clock."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds; at once, but not before other tasks had a turn, if none."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic_ns(self) -> int:
        """See `Clock`. Counts what the machine sleeps, where its system can tell."""
        return time.monotonic_ns() if _SINCE_BOOT is None else time.clock_gettime_ns(_SINCE_BOOT)

    def time_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock for tests. It stands still until `advance` or `shift` moves it; sleepers wake in the order of their deadlines."""

    def __init__(self, *, monotonic_ns: int = 1_000_000_000_000, time_ms: int = 1_700_000_000_000) -> None:
        self._now_ns = monotonic_ns
        self._epoch_ns = time_ms * 1_000_000 - monotonic_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return self._now_ns

    def time_ms(self) -> int:
        """See `Clock`."""
        return (self._now_ns + self._epoch_ns) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        if seconds <= 0.0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ns + max(1, round(seconds * 1e9)), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move by that many seconds, stopping at every deadline on the way so that its sleeper runs at its own time."""
        end_ns = self._now_ns + round(seconds * 1e9)
        await settle()
        while (deadline_ns := self._next_deadline()) is not None and deadline_ns <= end_ns:
            self._wake(deadline_ns)
            await settle()
        self._now_ns = end_ns
        await settle()

    def shift(self, seconds: float) -> None:
        """Move at once, waking everybody due but letting nobody run in between (a machine that was suspended)."""
        self._wake(self._now_ns + round(seconds * 1e9))

    def _wake(self, now_ns: int) -> None:
        self._now_ns = now_ns
        while self._sleepers and self._sleepers[0][0] <= now_ns:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def _next_deadline(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None


async def settle(rounds: int = _SETTLING_ROUNDS) -> None:
    """Let every task run until it waits for time or bytes (tests only: it gives the loop `rounds` turns)."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def within(clock: Clock, seconds: float, work: Coroutine[Any, Any, T], what: str) -> T:
    """The result of `work`, or `Timeout` naming `what` after that many seconds; `work` is cancelled and awaited then."""
    task = asyncio.create_task(work)
    timer = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Timeout(what, seconds)
    finally:
        await cancel_all(task, timer)


async def wait_for(clock: Clock, event: asyncio.Event, seconds: float | None) -> None:
    """Return when `event` is set or after that many seconds (None: only the event counts)."""
    if seconds is None:
        await event.wait()
        return
    waiters = (asyncio.create_task(event.wait()), asyncio.create_task(clock.sleep(seconds)))
    try:
        await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(*waiters)


async def cancel_all(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait until all of it has ended; their outcomes are dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
