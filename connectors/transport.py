"""The two seams to the network. Everything above them runs in a test on the doubles in `memory.py`.

    WebSocketTransport.connect(url) -> WebSocketConnection: send, recv, close
    HttpTransport.request(method, url, ...) -> HttpResponse, close

Whatever goes wrong comes out as a `connectors.errors.TransportError` that names the host only: a url may carry a key.
Proxies of the environment are not used: a monitor must reach the venue the way its settings say, or fail loudly.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from yarl import URL

from connectors.errors import ConnectFailed, ConnectionLost, HttpError, RateLimited, Timeout, TransportError, place

MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 32 * 1024 * 1024
USER_AGENT = "marginwatch"
CLOSE_FRAME_TOO_BIG = 1009
RATE_LIMIT_STATUSES = (418, 429)
LONGEST_RETRY_AFTER_S = 7 * 86_400.0

# At DEBUG the library logs request lines and frames, which carry keys and addresses: never let it.
_LIBRARY_LOGGER = logging.getLogger("connectors.transport.websockets")
_LIBRARY_LOGGER.setLevel(logging.WARNING)


class WebSocketConnection(Protocol):
    """One open connection."""

    async def send(self, frame: bytes | str) -> None:
        """Send one text frame. Raises ConnectionLost."""
        ...

    async def recv(self) -> bytes:
        """The next frame, text or binary, as bytes. Raises ConnectionLost however the connection ended, code 1000 too."""
        ...

    async def close(self) -> None:
        """Close within a few seconds; never raises, harmless when repeated."""
        ...


class WebSocketTransport(Protocol):
    """Opens connections."""

    async def connect(self, url: str) -> WebSocketConnection:
        """Open one. Raises ConnectFailed, Timeout, HttpError or RateLimited (the venue refused the handshake)."""
        ...


class WebSocketsTransport:
    """The real one, on the `websockets` library.

    No compression: the frames are parsed on the loop and inflating them would cost more than the bandwidth it saves.
    Heartbeats belong to the venue protocol; `ping_interval_s` adds WebSocket pings for a stream that has none of its own
    (the connection is lost when a pong is missing as long). Server pings are always answered.
    """

    def __init__(
        self,
        *,
        open_timeout_s: float = 10.0,
        close_timeout_s: float = 2.0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        ping_interval_s: float | None = None,
    ) -> None:
        self._open_timeout_s = open_timeout_s
        self._close_timeout_s = close_timeout_s
        self._max_frame_bytes = max_frame_bytes
        self._ping_interval_s = ping_interval_s
        self._tls: ssl.SSLContext | None = None

    async def connect(self, url: str) -> WebSocketConnection:
        """See `WebSocketTransport`."""
        host = place(url)
        try:
            connection = await connect(
                url,
                ssl=self._tls_context(url),
                compression=None,
                user_agent_header=USER_AGENT,
                proxy=None,
                open_timeout=self._open_timeout_s,
                close_timeout=self._close_timeout_s,
                ping_interval=self._ping_interval_s,
                ping_timeout=self._ping_interval_s,
                max_size=self._max_frame_bytes,
                logger=_LIBRARY_LOGGER,
            )
        except TimeoutError:
            raise Timeout(f"connecting to {host}", self._open_timeout_s) from None
        except (InvalidURI, ValueError):
            raise ConnectFailed(host, "not a WebSocket url") from None
        except InvalidStatus as refusal:
            response = refusal.response
            _raise_for_status(host, response.status_code, response.headers.get("Retry-After"), "the WebSocket handshake")
            raise ConnectFailed(host, f"HTTP {response.status_code} instead of a WebSocket") from None
        except (WebSocketException, OSError, EOFError) as problem:
            raise ConnectFailed(host, _cause(problem)) from None
        return _WebSocketsConnection(host, connection, self._close_timeout_s)

    def _tls_context(self, url: str) -> ssl.SSLContext | None:
        if not url.lower().startswith("wss:"):
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class _WebSocketsConnection:
    def __init__(self, host: str, connection: ClientConnection, close_timeout_s: float) -> None:
        self._host = host
        self._close_timeout_s = close_timeout_s
        self._connection = connection

    async def send(self, frame: bytes | str) -> None:
        try:
            await self._connection.send(frame, text=True)
        except (ConnectionClosed, OSError) as end:
            raise self._lost(end) from None

    async def recv(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except (ConnectionClosed, OSError) as end:
            raise self._lost(end) from None

    async def close(self) -> None:
        try:
            async with asyncio.timeout(self._close_timeout_s):
                await self._connection.close()
        except (TimeoutError, WebSocketException, OSError):
            self._connection.transport.abort()

    def _lost(self, end: Exception) -> ConnectionLost:
        if not isinstance(end, ConnectionClosed):
            return ConnectionLost(self._host, None, _cause(end))
        if end.sent is not None and end.sent.code == CLOSE_FRAME_TOO_BIG:
            return ConnectionLost(self._host, CLOSE_FRAME_TOO_BIG, "a frame was larger than max_frame_bytes")
        return ConnectionLost(self._host, None if end.rcvd is None else end.rcvd.code)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer, whatever its status. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def retry_after_s(self) -> float | None:
        """Seconds the `Retry-After` header asks for, None where there is none (or a date)."""
        return _seconds(self.headers.get("retry-after"))

    def raise_for_status(self, url: str, what: str = "a request") -> None:
        """Raise RateLimited (429, 418) or HttpError (any other status from 300 on), naming the host of `url` and `what`."""
        _raise_for_status(place(url), self.status, self.headers.get("retry-after"), what)


class HttpTransport(ABC):
    """Sends requests."""

    @abstractmethod
    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        """The answer, whatever its status; redirects are not followed. Raises ConnectFailed, ConnectionLost or Timeout.

        `url` and `body` are sent byte for byte (a query may be signed): a url is percent-encoded by who makes it.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of idle connections; harmless when repeated."""

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """`request` with GET."""
        return await self.request("GET", url, headers=headers)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """`request` with POST."""
        return await self.request("POST", url, body=body, headers=headers)


class AiohttpTransport(HttpTransport):
    """The real one, on `aiohttp`; one connection pool, opened with the first request and again after `close`."""

    def __init__(self, *, timeout_s: float = 10.0, max_body_bytes: int = MAX_BODY_BYTES, max_connections: int = 8) -> None:
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        """See `HttpTransport`."""
        host = place(url)
        with _translated(host, self._timeout_s):
            target = URL(url, encoded=True)
            async with self._open().request(method, target, data=body or None, headers=headers, allow_redirects=False) as response:
                content = await self._read(response, host)
                return HttpResponse(response.status, {name.lower(): value for name, value in response.headers.items()}, content)

    async def close(self) -> None:
        """See `HttpTransport`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections),
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                trust_env=False,
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse, host: str) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._max_body_bytes:
                raise ConnectionLost(host, None, f"an answer was larger than {self._max_body_bytes} bytes")
        return bytes(content)


@contextmanager
def _translated(host: str, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise Timeout(f"a request to {host}", timeout_s) from None
    except aiohttp.ClientConnectorError as problem:
        raise ConnectFailed(host, _cause(problem.os_error)) from None
    except (aiohttp.InvalidURL, ValueError):
        raise ConnectFailed(host, "not an HTTP url") from None
    except (aiohttp.ClientError, OSError) as problem:
        raise ConnectionLost(host, None, _cause(problem)) from None


def _raise_for_status(host: str, status: int, retry_after: str | None, what: str) -> None:
    if status in RATE_LIMIT_STATUSES:
        raise RateLimited(host, _seconds(retry_after)) from None
    if status >= 300:
        error: TransportError = HttpError(host, status, what)
        raise error from None


def _seconds(retry_after: str | None) -> float | None:
    # The header's other form, a date, needs the venue's clock to agree with ours, and what is longer than any ban is no number of
    # seconds; the caller's own backoff serves instead.
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return seconds if 0.0 <= seconds <= LONGEST_RETRY_AFTER_S else None


def _cause(problem: BaseException) -> str:
    if isinstance(problem, socket.gaierror):
        return "its name is not known"
    if isinstance(problem, ssl.SSLError):
        return f"TLS: {problem.reason or type(problem).__name__}"
    if isinstance(problem, OSError) and problem.errno is not None:
        return os.strerror(problem.errno).lower()
    return type(problem).__name__
