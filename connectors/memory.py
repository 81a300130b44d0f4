"""In-memory doubles of the transports, for tests: a test plays the venue by hand and reads what was sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.errors import ConnectionLost, place
from connectors.transport import HttpResponse, HttpTransport


class MemoryConnection:
    """One end of a connection; the test is the other end: `deliver`, `lose`, and `sent` to look at.

    `stall()` makes every later send hang, as on a peer that stopped reading; `closing` may be replaced by an event not set, for
    a peer that is slow to say goodbye.
    """

    def __init__(self, url: str) -> None:
        self.closing = asyncio.Event()
        self.closing.set()
        self.url = url
        self.sent: list[bytes] = []
        self.closed = False
        self._inbox: asyncio.Queue[bytes | ConnectionLost] = asyncio.Queue()
        self._end: ConnectionLost | None = None
        self._receiving = False
        self._stalled = False

    def deliver(self, frame: bytes | str) -> None:
        """The venue sends a frame."""
        self._inbox.put_nowait(frame.encode() if isinstance(frame, str) else frame)

    def lose(self, code: int | None = 1006) -> None:
        """The venue (or the network) ends the connection, after what was delivered before."""
        self._inbox.put_nowait(ConnectionLost(place(self.url), code))

    def stall(self) -> None:
        """From now on nothing sent gets through."""
        self._stalled = True

    async def send(self, frame: bytes | str) -> None:
        """See `WebSocketConnection`."""
        if self.closed or self._end is not None:
            raise ConnectionLost(place(self.url))
        if self._stalled:
            await asyncio.get_running_loop().create_future()
        self.sent.append(frame.encode() if isinstance(frame, str) else frame)

    async def recv(self) -> bytes:
        """See `WebSocketConnection`."""
        if self._end is not None:
            raise self._end
        if self._receiving:
            raise RuntimeError("recv is running already: as with the real one, a connection is read by one at a time")
        self._receiving = True
        try:
            received = await self._inbox.get()
        finally:
            self._receiving = False
        if isinstance(received, ConnectionLost):
            self._end = received
            raise received
        return received

    async def close(self) -> None:
        """See `WebSocketConnection`."""
        await self.closing.wait()
        if not self.closed:
            self.closed = True
            self.lose(1000)


class MemoryWebSocketTransport:
    """Opens `MemoryConnection`s, kept in `connections` in order; `refuse` and `hang` script the next attempts."""

    def __init__(self) -> None:
        self.connections: list[MemoryConnection] = []
        self.attempts = 0
        self._script: deque[Exception | None] = deque()

    @property
    def last(self) -> MemoryConnection:
        """The newest connection."""
        return self.connections[-1]

    def refuse(self, *errors: Exception) -> None:
        """The next attempts fail with these, one each."""
        self._script.extend(errors)

    def hang(self) -> None:
        """The attempt after those already scripted never answers."""
        self._script.append(None)

    async def connect(self, url: str) -> MemoryConnection:
        """See `WebSocketTransport`."""
        self.attempts += 1
        if self._script:
            error = self._script.popleft()
            if error is not None:
                raise error
            await asyncio.get_running_loop().create_future()
        connection = MemoryConnection(url)
        self.connections.append(connection)
        return connection


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as the double saw it."""

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class MemoryHttpTransport(HttpTransport):
    """Answers from a script (`answer`, in order), else from `handler`; keeps every request in `requests`.

    Raises AssertionError for a request that neither answers.
    """

    def __init__(self, handler: Callable[[HttpRequest], HttpResponse] | None = None) -> None:
        self.requests: list[HttpRequest] = []
        self.handler = handler
        self.closed = False
        self._script: deque[HttpResponse | Exception] = deque()

    def answer(self, *answers: HttpResponse | Exception | bytes) -> None:
        """Answer the next requests so; bytes are the body of a 200, an exception is raised."""
        self._script.extend(HttpResponse(200, body=answer) if isinstance(answer, bytes) else answer for answer in answers)

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        """See `HttpTransport`."""
        request = HttpRequest(method, url, body, dict(headers or {}))
        self.requests.append(request)
        if self._script:
            answer = self._script.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        assert self.handler is not None, f"no answer scripted for {method} {url}"
        return self.handler(request)

    async def close(self) -> None:
        """See `HttpTransport`."""
        self.closed = True
