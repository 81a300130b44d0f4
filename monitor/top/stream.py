"""The stream of a running monitor, followed: opened, opened anew when it breaks, and given up when it falls silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, NoReturn, Self

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from monitor.client import MOST_BYTES, MonitorClient, MonitorError
from monitor.top.model import FrameError

STREAM = "/api/v1/stream"

SILENCE_S = 2.5
"""The monitor sends at least once a second: a line that is silent for longer is dead."""

WAITS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Before the next attempts to connect; the last one for all that follow."""

REFUSED_S = 15.0
"""After a refusal, which the next attempt will hardly turn into a welcome: the monitor counts them."""

OPEN_S, CLOSE_S = 5.0, 0.5

_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)


class Refused(MonitorError):
    """The monitor does not let us in: the token is missing or wrong, or we asked too often."""


class StreamClient(MonitorClient):
    """The stream of the monitor at a base URL; `token_env` names the variable that holds its token. Raises MonitorError."""

    def __init__(
        self, url: str, token_env: str | None = None, *, silence_s: float = SILENCE_S, waits_s: tuple[float, ...] = WAITS_S
    ) -> None:
        super().__init__(url, token_env)
        self._silence_s, self._waits_s = silence_s, waits_s
        self._first: ClientConnection | None = None
        self._latest: ClientConnection

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """The client with its first connection open, so that a command can say why there is none before it draws. Raises MonitorError."""
        self._first = self._latest = await self.open()
        try:
            yield self
        finally:
            await self._latest.close()

    async def open(self) -> ClientConnection:
        """One connection. Raises MonitorError: nobody answers, what answers is no monitor, or it refuses (Refused)."""
        try:
            return await connect(
                f"ws{self.url.removeprefix('http')}{STREAM}",
                additional_headers=self._headers,
                compression=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=None,  # silence tells
                proxy=None,
                max_size=MOST_BYTES,
            )
        except InvalidStatus as refusal:
            raise self._refusal(refusal.response.status_code, refusal.response.body) from None
        except InvalidHandshake:
            raise MonitorError(f"what answers at {self.url} is no monitor of this version") from None
        except (OSError, WebSocketException, EOFError, ValueError) as problem:
            reason = "it takes too long" if isinstance(problem, TimeoutError) else _cause(problem)
            raise MonitorError(f"no answer from {self.url}: {reason}; is the monitor running there?") from None

    def _refusal(self, status: int, body: bytes | bytearray | None) -> MonitorError:
        if status == HTTPStatus.UNAUTHORIZED:
            told = "does not take this token" if self._headers else "asks for its token"
            return Refused(f"the monitor at {self.url} {told}: --token-env names the environment variable that holds it")
        said = _said(body)
        if said is None:
            return MonitorError(f"what answers at {self.url} is no monitor of this version (status {status})")
        kind = Refused if status in _REFUSALS else MonitorError
        return kind(f"the monitor at {self.url} answers {status}: {said}")

    async def follow(self, told: Callable[[Mapping[str, Any]], None], lost: Callable[[str], None]) -> NoReturn:
        """Give every frame to `told`, and the reason to `lost` each time the line breaks; never ends.

        Where `told` raises FrameError, the line is opened anew.
        """
        failures = 0

        def heard(frame: Mapping[str, Any]) -> None:
            nonlocal failures
            told(frame)
            failures = 0

        while True:
            try:
                self._latest, self._first = self._first or await self.open(), None
                await self._read(self._latest, heard)
            except MonitorError as trouble:
                lost(str(trouble))
                wait_s = REFUSED_S if isinstance(trouble, Refused) else self._waits_s[min(failures, len(self._waits_s) - 1)]
            failures += 1
            await asyncio.sleep(wait_s)

    async def _read(self, connection: ClientConnection, heard: Callable[[Mapping[str, Any]], None]) -> NoReturn:
        async with connection:
            while True:
                try:
                    frame = orjson.loads(await self._message(connection))
                except orjson.JSONDecodeError:
                    raise FrameError(f"what answers at {self.url} sends no frames") from None
                if not isinstance(frame, dict):
                    raise FrameError(f"what answers at {self.url} sends no frames")
                heard(frame)

    async def _message(self, connection: ClientConnection) -> str | bytes:
        try:
            async with asyncio.timeout(self._silence_s):
                return await connection.recv()
        except TimeoutError:
            connection.transport.abort()  # a close would wait for an answer
            raise MonitorError(f"nothing heard for {self._silence_s:g} s") from None
        except ConnectionClosed as end:
            said = end.rcvd.reason if end.rcvd is not None else ""
            raise MonitorError("the monitor closed the line" + (f": {said}" if said else "")) from None


def _said(body: bytes | bytearray | None) -> str | None:
    try:
        return str(orjson.loads(body or b"")["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _cause(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)) or type(problem).__name__
