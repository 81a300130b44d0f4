"""Carries notifications to receivers: one bounded queue and one task a receiver, so that a dead one delays nobody else.

What waits together goes out together: the first notification of a burst leaves at once with all that came with it, what follows
within `group_s` leaves as the next message. What is not delivered waits with what arrived meanwhile and is tried again, with
growing pauses or the receiver's own `Retry-After`, until `deadline_s` after it was submitted; then it is counted as failed and
logged, so that no page is lost without a trace. A full queue drops its oldest notification below CRITICAL, else its oldest.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from monitor.alerts.message import Delivery, Message, Receiver
from monitor.alerts.policy import Notification
from monitor.alerts.text import render, render_group
from monitor.margin.result import Level

_log = logging.getLogger("marginwatch.dispatcher")


@dataclass(frozen=True, slots=True)
class DispatcherConfig:
    """Queue length in notifications, times in seconds. Pause after failure n: min(longest, first * 2**(n-1)), half of it random."""

    queue_size: int = 256
    group_s: float = 1.0
    deadline_s: float = 300.0
    first_retry_s: float = 1.0
    longest_retry_s: float = 15.0
    send_limit_s: float = 30.0


@dataclass(frozen=True, slots=True)
class ReceiverStatistics:
    """Counts since the start, in notifications unless said otherwise.

    `waiting` includes what is being sent; `peak` is its highest; `attempts_failed` and `messages` count sendings;
    `failing` is the number of failures since the last success.
    """

    name: str
    waiting: int
    peak: int
    delivered: int
    messages: int
    dropped: int
    failed: int
    attempts_failed: int
    failing: int
    last_error: str


@dataclass(frozen=True, slots=True)
class Seams:
    """What the dispatcher takes from the world: a monotonic clock (s), the wall clock (Unix ms), sleep, and a number in [0, 1)."""

    clock: Callable[[], float] = time.monotonic
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Dispatcher:
    """`start` inside a running loop, `submit` from it (never blocks), `close` at the end."""

    def __init__(self, receivers: Sequence[Receiver], config: DispatcherConfig | None = None, seams: Seams | None = None) -> None:
        self._lines = [_Line(receiver, config or DispatcherConfig(), seams or Seams()) for receiver in receivers]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin sending; what was submitted before is sent now."""
        self._tasks = [asyncio.create_task(line.run(), name=f"alerts-{line.receiver.name}") for line in self._lines]

    def submit(self, notifications: Iterable[Notification]) -> None:
        """Queue for every receiver whose `min_level` the severity reaches."""
        burst = list(notifications)
        for line in self._lines:
            line.put([notification for notification in burst if notification.severity >= line.receiver.min_level])

    def statistics(self) -> tuple[ReceiverStatistics, ...]:
        """One row a receiver, in configured order."""
        return tuple(line.statistics() for line in self._lines)

    async def close(self, timeout_s: float = 5.0) -> None:
        """Send what waits, for at most `timeout_s`; the rest counts as failed and is logged. Later submissions fail at once."""
        for line in self._lines:
            line.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for line in self._lines:
            line.abandon()


@dataclass(frozen=True, slots=True)
class _Item:
    notification: Notification
    deadline_s: float


class _Line:
    def __init__(self, receiver: Receiver, config: DispatcherConfig, seams: Seams) -> None:
        self.receiver = receiver
        self._config = config
        self._seams = seams
        self._queue: deque[_Item] = deque()
        self._sending: list[_Item] = []
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._is_closed = False
        self._peak = self._delivered = self._messages = self._dropped = self._failed = self._attempts_failed = self._failing = 0
        self._last_error = ""

    def put(self, notifications: list[Notification]) -> None:
        deadline = self._seams.clock() + self._config.deadline_s
        items = [_Item(notification, deadline) for notification in notifications]
        if self._is_closed:
            self._give_up(items, "the dispatcher is closed")
            return
        self._queue.extend(items)
        self._trim()
        self._peak = max(self._peak, len(self._queue) + len(self._sending))
        if self._queue:
            self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def abandon(self) -> None:
        self._is_closed = True
        left = [*self._sending, *self._queue]
        self._sending = []
        self._queue.clear()
        self._give_up(left, "the program ended first")

    def statistics(self) -> ReceiverStatistics:
        return ReceiverStatistics(
            name=self.receiver.name,
            waiting=len(self._queue) + len(self._sending),
            peak=self._peak,
            delivered=self._delivered,
            messages=self._messages,
            dropped=self._dropped,
            failed=self._failed,
            attempts_failed=self._attempts_failed,
            failing=self._failing,
            last_error=self._last_error,
        )

    async def run(self) -> None:
        while True:
            if not self._queue:
                if self._stopping.is_set():
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            self._sending = list(self._queue)
            self._queue.clear()
            delivery = await self._send(self._sending)
            pause = self._succeeded() if delivery.delivered else self._failed_once(delivery)
            await self._pause(pause)

    async def _send(self, items: list[_Item]) -> Delivery:
        try:
            notifications = tuple(item.notification for item in items)
            message = Message(render_group(notifications), notifications, self._seams.wall_ms())
            async with asyncio.timeout(self._config.send_limit_s):
                return await self.receiver.send(message)
        except TimeoutError:
            return Delivery(False, f"no answer within {self._config.send_limit_s:g} s")
        except Exception as error:  # A receiver's bug must not end the paging; its text may hold a URL.
            return Delivery(False, type(error).__name__)

    def _succeeded(self) -> float:
        self._delivered += len(self._sending)
        self._messages += 1
        if self._failing:
            _log.warning("alerts: receiver %s takes messages again after %d failures", self.receiver.name, self._failing)
        self._failing = 0
        self._sending = []
        return 0.0 if self._stopping.is_set() else self._config.group_s

    def _failed_once(self, delivery: Delivery) -> float:
        self._attempts_failed += 1
        self._failing += 1
        self._last_error = delivery.reason
        if self._failing == 1:
            _log.warning("alerts: receiver %s failed (%s); trying again", self.receiver.name, delivery.reason)
        now = self._seams.clock()
        self._give_up([item for item in self._sending if item.deadline_s <= now], delivery.reason)
        self._queue.extendleft(reversed([item for item in self._sending if item.deadline_s > now]))
        self._sending = []
        self._trim()
        if delivery.retry_after_s is not None:
            return delivery.retry_after_s
        longest = min(self._config.longest_retry_s, self._config.first_retry_s * 2.0 ** min(self._failing - 1, 30))
        return longest * (0.5 + 0.5 * self._seams.chance())

    async def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._stopping.is_set():
            await self._seams.sleep(seconds)
            return
        waits = [asyncio.ensure_future(self._seams.sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _trim(self) -> None:
        before = self._dropped
        while len(self._queue) > self._config.queue_size:
            lesser = (index for index, item in enumerate(self._queue) if item.notification.severity < Level.CRITICAL)
            del self._queue[next(lesser, 0)]
            self._dropped += 1
        if self._dropped > before:
            name, dropped = self.receiver.name, self._dropped - before
            _log.warning("alerts: queue of receiver %s is full; dropped %d (%d in all)", name, dropped, self._dropped)

    def _give_up(self, items: list[_Item], reason: str) -> None:
        self._failed += len(items)
        for item in items:
            _log.error("alerts: receiver %s did not get (%s): %s", self.receiver.name, reason, render(item.notification).title)
