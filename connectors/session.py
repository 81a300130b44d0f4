"""One connection that never gives up: connect, replay the subscriptions, resync, heartbeat, notice death, start over.

The loop is the same for every venue; what the frames mean is the venue's `SessionProtocol`, which does no I/O. The frame path is
short on purpose: recv -> protocol.receive -> sink, in one task, without a queue. Beside it run, while the connection lives:

    ticker   once a tick: missing pong, stuck send, staleness verdicts of the protocol; decides when a heartbeat is due
    sender   writes frames within the message budget, a heartbeat before all others
    resync   the REST refetch, tried until it succeeds
    rotation replaces a connection that the venue would cut at a known age, before it does

Every end of a connection is treated alike, close code 1000 too. While there is no connection nothing ticks: `closed` has told that
the feeds are down, and they stay so.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import NoReturn

from connectors.backoff import Backoff, BackoffState
from connectors.clock import Clock, cancel_all, wait_for, within
from connectors.errors import ConnectorError, RateLimited
from connectors.events import Event
from connectors.ratelimit import Budget
from connectors.session_protocol import SessionProtocol, SessionStatistics
from connectors.transport import WebSocketConnection, WebSocketTransport

CONNECT_TIMEOUT_S = 15.0
SEND_STALL_S = 10.0
ROTATION_OVERLAP_S = 5.0
MOST_PENDING_FRAMES = 10_000

Sink = Callable[[list[Event]], None]
Url = str | Callable[[], Awaitable[str]]

_log = logging.getLogger("connectors.session")


class _Reconnect(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Session:
    """Keeps one connection of a venue alive from `run` until `stop`.

    `name` is for logs and metrics (an alias, never an address). `url` may be a function for a venue whose url changes with every
    connection (a listen key); it bounds its own waiting, as it may have to wait for budget first. `sink` gets the events of one
    frame or tick in order, never an empty list. `resync` refetches state over REST after every connect, beside the frames; it is
    tried until it succeeds or the connection ends. `backoff` is the policy for both.

    `rotate_after_s` gives the age (seconds) at which a connection is replaced by make-before-break: a second one is opened while the
    first is still read, both are read for a few seconds, the first is closed and the resync runs again. The protocol is not told: neither
    `closed` nor `opened` is called, nothing is replayed, and frames may arrive twice and out of order meanwhile. It is therefore for venues
    whose url carries the subscriptions. A second connection that cannot be opened is tried again; the first serves on.

    An exception out of `protocol` or `sink` is a defect of ours: it is logged by type, the feeds go down and the
    connection is replaced, rather than the session dying in silence.
    """

    def __init__(
        self,
        name: str,
        url: Url,
        protocol: SessionProtocol,
        transport: WebSocketTransport,
        sink: Sink,
        *,
        clock: Clock,
        random: Random,
        budget: Budget,
        backoff: Backoff | None = None,
        resync: Callable[[], Awaitable[None]] | None = None,
        rotate_after_s: Callable[[], float] | None = None,
        tick_interval_s: float = 1.0,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.name = name
        self.statistics = SessionStatistics()
        self._url = url
        self._protocol = protocol
        self._transport = transport
        self._sink = sink
        self._clock = clock
        self._random = random
        self._budget = budget
        self._policy = backoff or Backoff()
        self._backoff = BackoffState(self._policy, random)
        self._resync = resync
        self._rotate_after_s = rotate_after_s
        self._tick_interval_s = tick_interval_s
        self._connect_timeout_s = connect_timeout_s
        self._connection: WebSocketConnection | None = None
        self._successor: WebSocketConnection | None = None
        self._replaced = asyncio.Event()
        self._released = asyncio.Event()
        self._pending: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._heartbeat_due = False
        self._last_heartbeat_ns = 0
        self._sending_since_ns: int | None = None
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._cancelled = False

    async def run(self) -> None:
        """Stay connected until `stop`; returns then. Cancelling it is a clean stop too. Raises RuntimeError if it already runs."""
        if self._worker is not None:
            raise RuntimeError(f"session {self.name} already runs: make one session for each connection")
        if self._stopping:
            return
        self._worker = asyncio.create_task(self._work())
        try:
            await asyncio.wait({self._worker})
        finally:
            await self._finish(self._worker)
        if not self._stopping:
            if not self._worker.cancelled():
                self._worker.result()
            raise RuntimeError(f"session {self.name} ended by itself: this is a defect, report it")

    async def stop(self) -> None:
        """Close the connection and end `run`; returns when that is done. Harmless in any state, and when repeated."""
        self._stopping = True
        if self._worker is not None:
            await self._finish(self._worker)

    def wake(self) -> None:
        """Send what `protocol.outgoing` has for us at once."""
        self._wake.set()

    async def _finish(self, worker: asyncio.Task[None]) -> None:
        # Cancelled once only: a second cancellation would interrupt the closing that the first one began.
        if not self._cancelled:
            self._cancelled = True
            worker.cancel()
        await asyncio.wait({worker})

    async def _work(self) -> None:
        while not self._stopping:
            async with self._budget.connection():
                pause_s = await self._live()
            await self._clock.sleep(max(pause_s, self._backoff.next_delay()))

    async def _live(self) -> float:
        pause_s, reason = 0.0, "stopped"
        try:
            url = await self._current_url()
            await within(self._clock, self._connect_timeout_s, self._connect(url), f"connecting {self.name}")
            await self._serve()
        except (ConnectorError, _Reconnect) as end:
            reason, pause_s = self._tell(end.kind, str(end)), self._penalty_s(end)
        except Exception as defect:
            reason = self._tell("internal", _defect(defect))
        finally:
            await self._close(reason)
        return pause_s

    def _penalty_s(self, failure: Exception) -> float:
        return self._budget.penalise(failure.retry_after_s, connecting=True) if isinstance(failure, RateLimited) else 0.0

    async def _connect(self, url: str) -> None:
        # Kept here rather than returned: cancelled at the last moment, a returned connection would stay open for good.
        self._connection = await self._transport.connect(url)

    async def _current_url(self) -> str:
        return self._url if isinstance(self._url, str) else await self._url()

    async def _serve(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._backoff.connected(now_ns)
        statistics = self.statistics
        statistics.reconnects += statistics.connects > 0
        statistics.connects += 1
        statistics.connected, statistics.connected_ns, statistics.resynced = True, now_ns, False
        self._heartbeat_due, self._last_heartbeat_ns, self._sending_since_ns = False, now_ns, None
        self._pending.clear()
        self._queue(self._protocol.opened(now_ns))
        await self._until_it_ends()

    async def _until_it_ends(self) -> None:
        loops = [asyncio.create_task(loop) for loop in (self._reading(), self._ticker(), self._sender())]
        beside = [asyncio.create_task(job) for job in (self._resyncing(), self._rotating())]
        try:
            await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(*loops, *beside)
        for loop in loops:
            if not loop.cancelled():
                loop.result()
        raise _Reconnect("internal", "the connection was given up for no known reason")

    async def _close(self, reason: str) -> None:
        now_ns = self._clock.monotonic_ns()
        connection, self._connection = self._connection, None
        self.statistics.connected = False
        self._backoff.closed(now_ns)
        try:
            self._emit(self._protocol.closed(now_ns, reason))
        except Exception as defect:
            self._tell("internal", _defect(defect))
        if connection is not None:
            await connection.close()

    async def _reading(self) -> None:
        while True:
            connection = self._current()
            self._replaced.clear()
            tasks = [asyncio.create_task(self._read(connection)), asyncio.create_task(self._replaced.wait())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel_all(*tasks)
            self._released.set()
            # The end of a connection that was replaced in the same moment is no end.
            if connection is self._connection:
                tasks[0].result()

    def _current(self) -> WebSocketConnection:
        assert self._connection is not None
        return self._connection

    async def _read(self, connection: WebSocketConnection) -> NoReturn:
        recv, receive, sink = connection.recv, self._protocol.receive, self._sink
        monotonic_ns, statistics = self._clock.monotonic_ns, self.statistics
        while True:
            data = await recv()
            now_ns = monotonic_ns()
            statistics.frames += 1
            statistics.bytes += len(data)
            statistics.last_frame_ns = now_ns
            events = receive(data, now_ns)
            if events:
                sink(events)

    async def _ticker(self) -> None:
        while True:
            self._tick(self._clock.monotonic_ns())
            await self._clock.sleep(self._tick_interval_s)

    def _tick(self, now_ns: int) -> None:
        if self._protocol.pong_overdue(now_ns):
            raise _Reconnect("no_pong", f"no pong within {self._protocol.pong_timeout_s:g} s")
        if self._sending_since_ns is not None and now_ns - self._sending_since_ns > SEND_STALL_S * 1e9:
            raise _Reconnect("send_stalled", f"a frame could not be sent within {SEND_STALL_S:g} s")
        tick = self._protocol.tick(now_ns)
        self._emit(tick.events)
        if tick.reconnect is not None:
            raise _Reconnect("protocol_asked", tick.reconnect)
        if tick.frames:
            self._queue(tick.frames)
            self._wake.set()
        if now_ns - self._last_heartbeat_ns >= self._protocol.heartbeat_interval_s * 1e9 and not self._heartbeat_due:
            self._heartbeat_due = True
            self._wake.set()

    async def _sender(self) -> None:
        while True:
            self._wake.clear()
            self._queue(self._protocol.outgoing())
            wait_s = await self._flush()
            await wait_for(self._clock, self._wake, wait_s)

    async def _flush(self) -> float | None:
        while self._heartbeat_due or self._pending:
            wait_s = self._budget.try_send(heartbeat=self._heartbeat_due)
            if wait_s > 0.0:
                return wait_s
            now_ns = self._clock.monotonic_ns()
            if self._heartbeat_due:
                self._heartbeat_due, self._last_heartbeat_ns = False, now_ns
                frame = self._protocol.heartbeat(now_ns)
            else:
                frame = self._pending.popleft()
                self.statistics.pending = len(self._pending)
            self._sending_since_ns = now_ns
            await self._current().send(frame)
            self._sending_since_ns = None
            self.statistics.frames_sent += 1
        return None

    def _queue(self, frames: list[bytes]) -> None:
        self._pending.extend(frames)
        statistics = self.statistics
        statistics.pending = len(self._pending)
        statistics.pending_peak = max(statistics.pending_peak, statistics.pending)
        if statistics.pending > MOST_PENDING_FRAMES:
            raise _Reconnect("send_queue_full", f"more than {MOST_PENDING_FRAMES} frames wait to be sent")

    async def _resyncing(self) -> None:
        if self._resync is None:
            return
        retry = BackoffState(self._policy, self._random)
        while True:
            try:
                await self._resync()
            except ConnectorError as failure:
                self._tell(f"resync_{failure.kind}", f"resync failed, trying again: {failure}")
                pause_s = failure.retry_after_s if isinstance(failure, RateLimited) else None
                await self._clock.sleep(max(pause_s or 0.0, retry.next_delay()))
            except Exception as defect:
                self._tell("resync_internal", f"resync failed, trying again: {_defect(defect)}")
                await self._clock.sleep(retry.next_delay())
            else:
                self.statistics.resyncs += 1
                self.statistics.resynced = True
                return

    async def _rotating(self) -> None:
        if self._rotate_after_s is None:
            return
        retry = BackoffState(self._policy, self._random)
        wait_s = self._rotate_after_s()
        while True:
            await self._clock.sleep(wait_s)
            try:
                await self._rotate()
            except ConnectorError as failure:
                self._tell(f"rotation_{failure.kind}", f"replacing the connection failed, trying again: {failure}")
                wait_s = max(self._penalty_s(failure), retry.next_delay())
            except Exception as defect:
                self._tell("rotation_internal", f"replacing the connection failed, trying again: {_defect(defect)}")
                wait_s = retry.next_delay()
            else:
                retry = BackoffState(self._policy, self._random)
                wait_s = self._rotate_after_s()

    async def _rotate(self) -> None:
        # Both count in the budget; which of them the part is that ends here does not matter.
        async with self._budget.connection():
            old = self._current()
            try:
                url = await self._current_url()
                await within(self._clock, self._connect_timeout_s, self._open_successor(url), f"connecting {self.name} again")
                self._connection, self._successor = self._successor, old
                self._released.clear()
                self._replaced.set()
                self.statistics.rotations += 1
                self.statistics.resynced = False
                # A connection is read by one at a time.
                await self._released.wait()
                with contextlib.suppress(ConnectorError):
                    await within(self._clock, ROTATION_OVERLAP_S, self._read(old), f"the last of {self.name}")
            finally:
                retired, self._successor = self._successor, None
                if retired is not None:
                    await retired.close()
        await self._resyncing()

    async def _open_successor(self, url: str) -> None:
        self._successor = await self._transport.connect(url)

    def _emit(self, events: list[Event]) -> None:
        if events:
            self._sink(events)

    def _tell(self, kind: str, text: str) -> str:
        failures = self.statistics.failures
        failures[kind] = failures.get(kind, 0) + 1
        # The first of a kind is worth a line; a venue that is down all night is worth a counter.
        _log.log(logging.WARNING if failures[kind] == 1 else logging.DEBUG, "%s: %s (%s)", self.name, text, kind)
        return text


def _defect(error: Exception) -> str:
    # The text of a foreign exception may quote a frame, with an address in it: only its type and place are told.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"internal error {type(error).__name__} in {frame.name}, line {frame.lineno}: report it"
