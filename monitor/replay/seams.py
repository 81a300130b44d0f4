"""The seams of a replay: what the recording says stands in for clock, sockets, requests and threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import TypeVar, cast

from connectors.transport import HttpResponse, HttpTransport, WebSocketConnection
from monitor.recording import ops
from monitor.recording.keys import connect_key, connection_keys, request_key, work_key
from monitor.recording.ops import Op, error_of
from monitor.recording.recovered import recovered_of
from monitor.replay.conductor import Conductor

T = TypeVar("T")

WARM = frozenset({"warm-up", "compile"})
"""Work that was done before the replay began."""


class ReplayClock:
    """The recorded clock."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._sleeps = count()

    def monotonic_ns(self) -> int:
        """See `Clock`."""
        return self._conductor.now_ns

    def time_ms(self) -> int:
        """See `Clock`."""
        return self._conductor.now_ms

    async def sleep(self, seconds: float) -> None:
        """See `Clock`."""
        if seconds <= 0.0:
            await asyncio.sleep(0)
        else:
            await self._conductor.sleep(seconds, next(self._sleeps))


class ReplayWebSockets:
    """Opens the recorded connections."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def connect(self, url: str) -> WebSocketConnection:
        """See `WebSocketTransport`."""
        op = _checked(await self._conductor.call(connect_key(url)))
        return _Connection(self._conductor, int(op.extra))


class _Connection:
    def __init__(self, conductor: Conductor, number: int) -> None:
        self._conductor = conductor
        self._recv, self._send, self._close = connection_keys(number)

    async def recv(self) -> bytes:
        return _checked(await self._conductor.call(self._recv)).payload

    async def send(self, frame: bytes | str) -> None:
        _passed(await self._conductor.pass_on(self._send))

    async def close(self) -> None:
        _passed(await self._conductor.pass_on(self._close))


class ReplayHttp(HttpTransport):
    """Gives the recorded answers."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        """See `HttpTransport`."""
        op = _checked(await self._conductor.call(request_key(method, url, body, headers)))
        status, kept = op.extra
        return HttpResponse(status, kept, op.payload)

    async def close(self) -> None:
        """See `HttpTransport`."""


class ReplayWorkers:
    """Does the work where the recorded run had its result, or not at all where `unwanted` says so."""

    def __init__(self, conductor: Conductor, unwanted: Mapping[str, object]) -> None:
        self._conductor = conductor
        self._unwanted = unwanted

    def wants(self, name: str) -> bool:
        """See `Workers`."""
        return name not in self._unwanted

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """See `Workers`."""
        op = _checked(await self._conductor.call(work_key(name)))
        if op.extra is not None:
            return cast(T, recovered_of(op.extra))
        if name in self._unwanted:
            return cast(T, self._unwanted[name])
        return work()

    async def beside(self, name: str, work: Callable[[], None]) -> None:
        """See `Workers`."""
        _checked(await self._conductor.call(work_key(name)))
        if name not in WARM:
            work()


def _passed(op: Op | None) -> None:
    if op is not None:
        _checked(op)


def _checked(op: Op) -> Op:
    if op.kind == ops.FAILED:
        raise error_of(op.extra)
    return op
