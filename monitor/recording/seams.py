"""The seams of a live run, each wrapped so that what comes back through it is put on the tape at the moment the program goes on with it.

While it records, the program's clock stands still between two ops: all that runs between them sees the reading of the last one. What
had to be waited for goes on where a turn of the loop begins, as it does in a replay: so tasks that ops wake and tasks that wake each other
meet in one order, however much the libraries below do in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any, TypeVar

from connectors.clock import Clock
from connectors.transport import HttpResponse, HttpTransport, WebSocketConnection, WebSocketTransport
from monitor.recording import ops
from monitor.recording.keys import connect_key, connection_keys, request_key, sleep_key, work_key
from monitor.recording.ops import Op
from monitor.recording.recovered import recovered_document
from monitor.recording.turns import CountingSelector
from monitor.workers import Workers

T = TypeVar("T")

_KEPT_HEADERS = ("retry-after", "x-mbx-used-weight-1m")
"""Headers that connectors read; the others may hold anything."""


NO_TURN = -1
"""The turn of a call that had to wait in any case."""


class Tape:
    """Takes ops and gives the present reading. `put` must not block and not raise."""

    __slots__ = ("_clock", "_put", "_selector", "now_ms", "now_ns", "open")

    def __init__(self, clock: Clock, selector: CountingSelector, put: Callable[[Op], None]) -> None:
        self._clock = clock
        self._selector = selector
        self._put = put
        self.open = True
        """Whether the run is being recorded: what happens after its end is not."""
        self.now_ns = clock.monotonic_ns()
        self.now_ms = clock.time_ms()

    @property
    def turn(self) -> int:
        """The turn of the loop."""
        return self._selector.turns

    def stamp(self) -> None:
        """Read the clock: the program sees this until the next op."""
        self.now_ns = self._clock.monotonic_ns()
        self.now_ms = self._clock.time_ms()

    def came_back(self, kind: str, key: str, called_in: int, extra: Any = None, payload: bytes = b"") -> None:
        """A call of a seam, made in that turn, comes back now."""
        if self.open:
            self.stamp()
            turn = self._selector.turns
            self._put(Op(kind, key, turn == called_in, turn, self.now_ns, self.now_ms, extra, payload))

    def did(self, kind: str, key: str = "", extra: Any = None) -> None:
        """The program itself did something, at the present reading."""
        if self.open:
            self._put(Op(kind, key, True, self._selector.turns, self.now_ns, self.now_ms, extra))

    async def turn_begins(self, called_in: int) -> None:
        """Return where the next turn begins; at once for a call that did not have to wait."""
        if self.open and self._selector.turns != called_in:
            await self._selector.turn_begins()

    async def failed(self, key: str, called_in: int, failure: Exception) -> None:
        """A call of a seam failed."""
        await self.turn_begins(called_in)
        self.came_back(ops.FAILED, key, called_in, ops.error_document(failure))

    async def call(self, key: str, kind: str, work: Awaitable[T]) -> T:
        """Await `work`; that it came back, or failed, goes on the tape as `kind` without a result."""
        called_in = self._selector.turns
        try:
            result = await work
        except Exception as failure:
            await self.failed(key, called_in, failure)
            raise
        await self.turn_begins(called_in)
        self.came_back(kind, key, called_in)
        return result


class RecordingClock:
    """A clock that stands still between ops; the machine's own once the recording ended."""

    def __init__(self, inner: Clock, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape
        self._sleeps = count()

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return self._tape.now_ns if self._tape.open else self._inner.monotonic_ns()

    def time_ms(self) -> int:
        """See `Clock`."""
        return self._tape.now_ms if self._tape.open else self._inner.time_ms()

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        if seconds <= 0.0:
            await asyncio.sleep(0)
            return
        tape, number = self._tape, next(self._sleeps)
        key, called_in = sleep_key(tape.now_ns + round(seconds * 1e9)), tape.turn
        await self._inner.sleep(seconds)
        await tape.turn_begins(called_in)
        tape.came_back(ops.WOKEN, key, called_in, number)


class RecordingWebSockets:
    """Opens connections that are recorded. `numbers` are shared by all transports of a run."""

    def __init__(self, inner: WebSocketTransport, tape: Tape, numbers: count[int]) -> None:
        self._inner = inner
        self._tape = tape
        self._numbers = numbers

    async def connect(self, url: str) -> WebSocketConnection:
        """See `WebSocketTransport`."""
        tape, key = self._tape, connect_key(url)
        called_in = tape.turn
        try:
            connection = await self._inner.connect(url)
        except Exception as failure:
            await tape.failed(key, called_in, failure)
            raise
        try:
            await tape.turn_begins(called_in)
        except asyncio.CancelledError:
            # nobody else knows of it
            await connection.close()
            raise
        number = next(self._numbers)
        tape.came_back(ops.CONNECTED, key, called_in, number)
        return _RecordedConnection(connection, tape, number)


class _RecordedConnection:
    def __init__(self, inner: WebSocketConnection, tape: Tape, number: int) -> None:
        self._inner = inner
        self._tape = tape
        self._recv, self._send, self._close = connection_keys(number)
        self._unread: bytes | None = None

    async def recv(self) -> bytes:
        tape, called_in = self._tape, self._tape.turn
        if self._unread is None:
            try:
                self._unread = await self._inner.recv()
            except Exception as failure:
                await tape.failed(self._recv, called_in, failure)
                raise
            # cancelled here, the frame is the next call's
            await tape.turn_begins(called_in)
        data, self._unread = self._unread, None
        tape.came_back(ops.FRAME, self._recv, called_in, None, data)
        return data

    async def send(self, frame: bytes | str) -> None:
        # what is sent holds credentials and follows from the rest: only that it is sent is kept
        await self._tape.call(self._send, ops.DONE, self._inner.send(frame))

    async def close(self) -> None:
        await self._tape.call(self._close, ops.DONE, self._inner.close())


class RecordingHttp(HttpTransport):
    """Sends requests whose answers are recorded."""

    def __init__(self, inner: HttpTransport, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        """See `HttpTransport`."""
        tape, key = self._tape, request_key(method, url, body, headers)
        called_in = tape.turn
        try:
            response = await self._inner.request(method, url, body=body, headers=headers)
        except Exception as failure:
            await tape.failed(key, called_in, failure)
            raise
        await tape.turn_begins(called_in)
        kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        tape.came_back(ops.RESPONSE, key, called_in, [response.status, kept], response.body)
        return response

    async def close(self) -> None:
        """See `HttpTransport`."""
        await self._inner.close()


class RecordingWorkers:
    """Work off the loop."""

    def __init__(self, inner: Workers, tape: Tape) -> None:
        self._inner = inner
        self._tape = tape

    def wants(self, name: str) -> bool:
        """See `Workers`."""
        return self._inner.wants(name)

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """See `Workers`."""
        tape, key = self._tape, work_key(name)
        called_in = tape.turn
        try:
            result = await self._inner.run(name, work)
        except Exception as failure:
            await tape.failed(key, called_in, failure)
            raise
        await tape.turn_begins(called_in)
        tape.came_back(ops.WORKED, key, called_in, recovered_document(result))
        return result

    async def beside(self, name: str, work: Callable[[], None]) -> None:
        """See `Workers`."""
        await self._tape.call(work_key(name), ops.WORKED, self._inner.beside(name, work))
