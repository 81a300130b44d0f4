"""The stream followed over a real socket: frames, refusals, silence, and lines that break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from monitor.client import MonitorError
from monitor.top.model import Model
from monitor.top.stream import Refused, StreamClient
from tests.monitor.top.frames import changes, snapshot

Told = Callable[[ServerConnection, int], Awaitable[None]]


class Loopback:
    """A monitor's stream: what it does with its n-th connection."""

    def __init__(self, told: Told, *, refusal: tuple[int, str] | None = None) -> None:
        self._told, self._refusal = told, refusal
        self.connections = 0
        self.requests: list[Request] = []

    async def __call__(self, connection: ServerConnection) -> None:
        self.connections += 1
        await self._told(connection, self.connections)

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self._refusal is None:
            return None
        return connection.respond(HTTPStatus(self._refusal[0]), self._refusal[1])

    @asynccontextmanager
    async def listening(self) -> Any:
        async with serve(self, "127.0.0.1", 0, process_request=self.answer, close_timeout=0.1) as server:
            yield _url(server)


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


class Followed:
    """What a client tells, one thing after the other."""

    def __init__(self) -> None:
        self.model = Model()
        self.events: asyncio.Queue[str] = asyncio.Queue()

    def told(self, frame: Mapping[str, Any]) -> None:
        self.model.apply(frame)
        self.events.put_nowait(str(frame["type"]))

    def lost(self, reason: str) -> None:
        self.model.lost(reason)
        self.events.put_nowait(reason)

    async def first(self, client: StreamClient, count: int) -> list[str]:
        task = asyncio.create_task(client.follow(self.told, self.lost))
        try:
            async with asyncio.timeout(10.0):
                return [await self.events.get() for _ in range(count)]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def client_of(url: str, **settings: Any) -> StreamClient:
    return StreamClient(url, **({"waits_s": (0.0,)} | settings))


async def send(connection: ServerConnection, *frames: Any) -> None:
    for frame in frames:
        await connection.send(json.dumps(frame))


async def test_frames_reach_the_model_and_a_closed_line_is_opened_anew() -> None:
    async def told(connection: ServerConnection, number: int) -> None:
        await send(connection, snapshot(), changes({"pools": {"n": {"number": number}}}))
        await connection.close(1012, "connect again")

    async with Loopback(told).listening() as url:
        followed = Followed()
        events = await followed.first(client_of(url), 5)
    assert events == ["snapshot", "changes", "the monitor closed the line: connect again", "snapshot", "changes"]
    assert followed.model.row("pools", "n") == {"number": 2}


async def test_a_silent_line_is_given_up() -> None:
    async def told(connection: ServerConnection, number: int) -> None:
        await send(connection, snapshot())
        await connection.wait_closed()

    async with Loopback(told).listening() as url:
        events = await Followed().first(client_of(url, silence_s=0.05), 3)
    assert events == ["snapshot", "nothing heard for 0.05 s", "snapshot"]


@pytest.mark.parametrize(
    ("sent", "said"),
    [("no json", "sends no frames"), ("[]", "sends no frames"), (json.dumps(changes({}, since=5)), "frames are missing"),
     (json.dumps(snapshot(version=9)), "format 9")],
)  # fmt: skip
async def test_what_is_no_frame_opens_the_line_anew(sent: str, said: str) -> None:
    async def told(connection: ServerConnection, number: int) -> None:
        await send(connection, *([snapshot()] if number == 2 else []))
        await connection.send(sent)
        await connection.wait_closed()

    async with Loopback(told).listening() as url:
        events = await Followed().first(client_of(url), 2)
    assert said in events[0]
    assert events[1] == "snapshot"


async def test_nobody_there_is_told_again_and_again() -> None:
    async with Loopback(_nothing).listening() as url:
        pass
    events = await Followed().first(client_of(url), 3)
    assert all(event.startswith(f"no answer from {url}: ") and "is the monitor running there?" in event for event in events)


async def _nothing(connection: ServerConnection, number: int) -> None:
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, '{"error": "a token is needed"}', "asks for its token: --token-env names"),
        (503, '{"error": "200 pages are connected"}', "answers 503: 200 pages are connected"),
        (403, '{"error": "loopback names only"}', "answers 403: loopback names only"),
        (404, "404: Not Found", "is no monitor of this version (status 404)"),
        (200, "<html>", "is no monitor of this version (status 200)"),
    ],
)
async def test_a_refusal_is_a_clear_sentence(status: int, body: str, said: str) -> None:
    async with Loopback(_nothing, refusal=(status, body)).listening() as url:
        with pytest.raises(MonitorError) as caught:
            await client_of(url).open()
    assert said in str(caught.value)
    assert isinstance(caught.value, Refused) is (status in (401, 403))


async def test_the_token_goes_in_a_header_and_in_no_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_THE_TEST", "s3cret")
    monitor = Loopback(_nothing, refusal=(401, '{"error": "a token is needed"}'))
    async with monitor.listening() as url:
        with pytest.raises(Refused, match="does not take this token") as caught:
            await StreamClient(url, "TOKEN_OF_THE_TEST").open()
    assert monitor.requests[0].headers["Authorization"] == "Bearer s3cret"
    assert monitor.requests[0].path == "/api/v1/stream"
    assert "s3cret" not in str(caught.value)


async def test_the_first_connection_is_the_one_that_is_followed() -> None:
    async def told(connection: ServerConnection, number: int) -> None:
        await send(connection, snapshot())
        await connection.wait_closed()

    monitor = Loopback(told)
    async with monitor.listening() as url, client_of(url).opened() as client:
        assert await Followed().first(client, 1) == ["snapshot"]
        assert monitor.connections == 1


async def test_something_else_that_listens_is_no_monitor() -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(MonitorError, match="is no monitor of this version"):
            await client_of(url).open()
        with pytest.raises(MonitorError, match="no answer from https"):
            await client_of(url.replace("http", "https")).open()
