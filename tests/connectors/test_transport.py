from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from connectors.errors import ConnectFailed, ConnectionLost, HttpError, RateLimited, Timeout
from connectors.memory import HttpRequest, MemoryHttpTransport, MemoryWebSocketTransport
from connectors.transport import AiohttpTransport, HttpResponse, WebSocketsTransport

LOOPBACK = "127.0.0.1"
SECRET = "0xfeedfacefeedfacefeedfacefeedfacefeedface"
BIG = os.urandom(5 * 1024 * 1024).hex()


@pytest.fixture(autouse=True)
def _debug_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_a_ten_megabyte_frame_arrives_whole_and_as_bytes(caplog: pytest.LogCaptureFixture) -> None:
    kinds: list[type] = []

    async def handler(connection: ServerConnection) -> None:
        kinds.append(type(await connection.recv()))
        await connection.send(BIG)
        await connection.wait_closed()

    async with serve(handler, LOOPBACK, 0, compression=None) as server:
        connection = await WebSocketsTransport().connect(f"ws://{LOOPBACK}:{port_of(server)}/ws/{SECRET}")
        await connection.send(f'{{"user":"{SECRET}"}}'.encode())
        received = await connection.recv()
        await connection.close()
        await connection.close()

    assert kinds == [str], "frames are sent as text, though given as bytes"
    assert received == BIG.encode()
    assert isinstance(received, bytes)
    ours = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert not any(SECRET in text for text in ours)


@pytest.mark.parametrize("code", [1000, 1012])
async def test_any_close_is_a_lost_connection_for_both_directions(code: int) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, SECRET)

    async with serve(handler, LOOPBACK, 0) as server:
        connection = await WebSocketsTransport().connect(f"ws://{LOOPBACK}:{port_of(server)}/{SECRET}")
        with pytest.raises(ConnectionLost) as received:
            await connection.recv()
        with pytest.raises(ConnectionLost):
            await connection.send("late")
        await connection.close()

    assert received.value.code == code
    assert SECRET not in str(received.value)


async def test_a_frame_above_the_limit_loses_the_connection_and_says_so() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * 2000)
        await connection.wait_closed()

    async with serve(handler, LOOPBACK, 0, compression=None) as server:
        connection = await WebSocketsTransport(max_frame_bytes=1000).connect(f"ws://{LOOPBACK}:{port_of(server)}")
        with pytest.raises(ConnectionLost, match=r"close code 1009 \(a frame was larger than max_frame_bytes\)"):
            await connection.recv()
        await connection.close()


@pytest.mark.parametrize(
    ("status", "headers", "error", "match"),
    [
        (429, {"Retry-After": "7"}, RateLimited, "limits this address for 7 s"),
        (403, {}, HttpError, "answered the WebSocket handshake with HTTP 403"),
        (200, {}, ConnectFailed, "HTTP 200 instead of a WebSocket"),
    ],
)
async def test_a_refused_handshake_names_the_host_only(status: int, headers: dict[str, str], error: type[Exception], match: str) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(status, SECRET)
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async with serve(echo, LOOPBACK, 0, process_request=refuse) as server:
        with pytest.raises(error, match=match) as refused:
            await WebSocketsTransport().connect(f"ws://{LOOPBACK}:{port_of(server)}/ws/{SECRET}")

    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__, "a printed chain would show the url"


async def test_nobody_there() -> None:
    with pytest.raises(ConnectFailed, match="connection refused"):
        await WebSocketsTransport().connect(f"ws://{LOOPBACK}:{free_port()}/{SECRET}")
    http = AiohttpTransport()
    with pytest.raises(ConnectFailed, match="connection refused"):
        await http.get(f"http://{LOOPBACK}:{free_port()}/{SECRET}")
    await http.close()


@pytest.mark.parametrize("url", ["https://host/", "nonsense", "ws://[broken/"])
async def test_what_is_no_websocket_url(url: str) -> None:
    with pytest.raises(ConnectFailed, match="not a WebSocket url"):
        await WebSocketsTransport().connect(url)


async def silent_server(handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    return await asyncio.start_server(serve_one, LOOPBACK, 0)


async def test_a_server_that_never_answers_times_out() -> None:
    done = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()

    async with await silent_server(wait) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Timeout, match=r"connecting to 127\.0\.0\.1:"):
            await WebSocketsTransport(open_timeout_s=0.05).connect(f"ws://{LOOPBACK}:{port}")
        http = AiohttpTransport(timeout_s=0.05)
        with pytest.raises(Timeout, match=r"a request to 127\.0\.0\.1:"):
            await http.post(f"http://{LOOPBACK}:{port}/info", b"{}")
        await http.close()
        done.set()


async def test_closing_does_not_wait_for_a_peer_that_stopped_reading() -> None:
    done = asyncio.Event()
    codes: list[int | None] = []

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await done.wait()
        connection.transport.resume_reading()
        await connection.wait_closed()
        codes.append(connection.close_code)

    async with serve(deaf, LOOPBACK, 0, max_size=None) as server:
        connection = await WebSocketsTransport(close_timeout_s=0.05).connect(f"ws://{LOOPBACK}:{port_of(server)}")
        sending = asyncio.create_task(connection.send("x" * 50_000_000))
        await asyncio.wait({sending}, timeout=0.1)
        assert not sending.done()
        sending.cancel()
        async with asyncio.timeout(5.0):
            await connection.close()
        done.set()

    assert codes == [1006], "the socket is dropped, not left to drain"


@pytest.fixture
async def site() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        kind = request.headers.get("X-Test", "")
        if kind == "big":
            return web.Response(body=BIG.encode())
        if kind == "limited":
            return web.Response(status=429, headers={"Retry-After": "3"}, text="null")
        if kind == "moved":
            return web.Response(status=302, headers={"Location": "/elsewhere"})
        if kind == "cookie":
            response = web.Response(text=str(dict(request.cookies)))
            response.set_cookie("a", "b")
            return response
        return web.Response(body=request.method.encode() + b" " + body, headers={"X-Used": "17"})

    async def vanish(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/info", answer)
    application.router.add_route("*", "/vanish", vanish)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    listener = web.TCPSite(runner, LOOPBACK, 0)
    await listener.start()
    port = runner.addresses[0][1]
    yield f"http://{LOOPBACK}:{port}"
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[AiohttpTransport]:
    transport = AiohttpTransport()
    yield transport
    await transport.close()
    await transport.close()


async def test_http_carries_method_body_headers_and_status(site: str, http: AiohttpTransport) -> None:
    posted = await http.post(f"{site}/info", b'{"type":"meta"}', {"Content-Type": "application/json"})
    got = await http.get(f"{site}/info")
    put = await http.request("PUT", f"{site}/info", body=b"key")
    missing = await http.get(f"{site}/nothing/{SECRET}")

    assert (posted.status, posted.body, posted.headers["x-used"]) == (200, b'POST {"type":"meta"}', "17")
    assert (got.body, put.body) == (b"GET ", b"PUT key")
    posted.raise_for_status(site)
    with pytest.raises(HttpError, match="answered the metadata with HTTP 404") as error:
        missing.raise_for_status(f"{site}/nothing/{SECRET}", "the metadata")
    assert error.value.status == 404
    assert SECRET not in str(error.value)


async def test_http_tells_rate_limits_apart_and_follows_no_redirect(site: str, http: AiohttpTransport) -> None:
    limited = await http.post(f"{site}/info", b"", {"X-Test": "limited"})
    moved = await http.get(f"{site}/info", {"X-Test": "moved"})

    with pytest.raises(RateLimited) as error:
        limited.raise_for_status(site)
    assert error.value.retry_after_s == 3.0
    with pytest.raises(HttpError, match="HTTP 302"):
        moved.raise_for_status(site)


async def test_http_keeps_no_cookies(site: str, http: AiohttpTransport) -> None:
    named = site.replace(LOOPBACK, "localhost")  # a jar would not keep the cookies of a numeric address anyway
    await http.get(f"{named}/info", {"X-Test": "cookie"})

    assert (await http.get(f"{named}/info", {"X-Test": "cookie"})).body == b"{}"


async def test_http_takes_ten_megabytes_but_not_more_than_its_limit(site: str, http: AiohttpTransport) -> None:
    assert (await http.get(f"{site}/info", {"X-Test": "big"})).body == BIG.encode()
    small = AiohttpTransport(max_body_bytes=1_000_000)
    with pytest.raises(ConnectionLost, match="an answer was larger than 1000000 bytes"):
        await small.get(f"{site}/info", {"X-Test": "big"})
    await small.close()


async def test_proxies_of_the_environment_are_ignored(site: str, http: AiohttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for scheme in ("http", "https", "ws", "socks"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://{LOOPBACK}:{free_port()}")

    assert (await http.get(f"{site}/info")).status == 200
    async with serve(echo, LOOPBACK, 0) as server:
        connection = await WebSocketsTransport().connect(f"ws://{LOOPBACK}:{port_of(server)}")
        await connection.close()


async def test_http_names_what_went_wrong_without_the_url(site: str, http: AiohttpTransport) -> None:
    with pytest.raises(ConnectionLost) as lost:
        await http.get(f"{site}/vanish?user={SECRET}")
    with pytest.raises(ConnectFailed, match="not an HTTP url") as refused:
        await http.get(f"nonsense/{SECRET}")
    await http.close()
    assert (await http.get(f"{site}/info")).status == 200, "it opens again after close"

    for error in (lost.value, refused.value):
        assert SECRET not in str(error)
        assert error.__suppress_context__


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("0", 0.0), ("", None), ("-1", None), ("inf", None), ("1764000000000", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_the_retry_header_is_used_only_where_it_is_a_number(header: str, seconds: float | None) -> None:
    with pytest.raises(RateLimited) as error:
        HttpResponse(418, {"retry-after": header}).raise_for_status("https://h/")
    assert error.value.retry_after_s == seconds


async def test_the_doubles_answer_what_was_scripted_and_keep_what_was_asked() -> None:
    http = MemoryHttpTransport(lambda request: HttpResponse(200, body=request.body.upper()))
    http.answer(b"first", HttpResponse(502), Timeout("it", 1.0))

    assert (await http.get("https://h/a", {"K": "v"})).body == b"first"
    assert (await http.post("https://h/b", b"x")).status == 502
    with pytest.raises(Timeout):
        await http.get("https://h/c")
    assert (await http.post("https://h/d", b"shout")).body == b"SHOUT"
    assert http.requests[0] == HttpRequest("GET", "https://h/a", b"", {"K": "v"})
    with pytest.raises(AssertionError, match="no answer scripted for GET"):
        await MemoryHttpTransport().get("https://h/")


async def test_the_websocket_double_behaves_like_the_real_one_at_its_end() -> None:
    transport = MemoryWebSocketTransport()
    transport.refuse(ConnectFailed("h", "refused"))
    with pytest.raises(ConnectFailed):
        await transport.connect("ws://h/")
    connection = await transport.connect("ws://h/")
    connection.deliver("text")
    connection.lose(1000)

    assert await connection.recv() == b"text"
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="close code 1000"):
            await connection.recv()
    with pytest.raises(ConnectionLost):
        await connection.send("late")
