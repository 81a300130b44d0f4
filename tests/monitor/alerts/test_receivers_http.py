from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from config import Secret
from monitor.alerts.message import Delivery
from monitor.alerts.receivers.http import JSON_HEADERS, HttpPoster, PostError, Reply, as_link, deliver, encoded, judged, without

SECRET_PATH = "/services/very-secret"
ASKED: web.AppKey[list[web.Request]] = web.AppKey("asked", list)
BODIES: web.AppKey[list[bytes]] = web.AppKey("bodies", list)
NOW_S = 1_792_567_600.0  # Wed, 21 Oct 2026 07:26:40 GMT
HEADERS = {
    "429": {"Retry-After": "7"},
    "503": {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "Wed, 21 Oct 2026 07:27:30 GMT"},
    "502": {"Retry-After": "1e9"},
    "501": {"Retry-After": "-1"},
    "500": {"Retry-After": "soon"},
}


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.Response:
        request.app[ASKED].append(request)
        request.app[BODIES].append(await request.read())
        wish = request.match_info["wish"]
        if wish == "hang":
            await asyncio.sleep(30)
        if wish == "drop":
            assert request.transport is not None
            request.transport.close()
        if wish == "move":
            raise web.HTTPFound("/200" + SECRET_PATH)
        if wish == "long":
            return web.Response(body=b"x" * 1_000_000)
        return web.Response(status=int(wish), headers=HEADERS.get(wish), text=f"secret answer {SECRET_PATH}")

    app = web.Application()
    app[ASKED] = []
    app[BODIES] = []
    app.router.add_route("*", "/{wish}" + SECRET_PATH, answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    yield server
    await server.close()


def url_of(server: TestServer, wish: str) -> Secret:
    return Secret(str(server.make_url(f"/{wish}{SECRET_PATH}")))


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("200", Delivery(True)),
        ("202", Delivery(True)),
        ("500", Delivery(False, "HTTP status 500")),
        ("501", Delivery(False, "HTTP status 501")),
        ("429", Delivery(False, "HTTP status 429", 7.0)),
        ("503", Delivery(False, "HTTP status 503", 30.0)),
        ("502", Delivery(False, "HTTP status 502", 300.0)),
        ("hang", Delivery(False, "no answer within 0.2 s")),
        ("drop", Delivery(False, "no connection (ServerDisconnectedError)")),
    ],
)
async def test_what_became_of_it(server: TestServer, wish: str, expected: Delivery, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with HttpPoster() as poster:
            timeout = 0.2 if wish == "hang" else 5.0
            assert await deliver(poster, url_of(server, wish), b'{"a":1}', timeout_s=timeout) == expected
    assert [body for body in server.app[BODIES] if body != b'{"a":1}'] == []
    assert server.app[ASKED][0].headers["Content-Type"] == "application/json; charset=utf-8"
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert "very-secret" not in "".join(ours)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("move", "redirects"),
        ("400", "receiver of this type"),
        ("401", "credentials"),
        ("403", "credentials"),
        ("404", "URL"),
        ("410", "new"),
    ],
)
async def test_what_is_fatal_names_the_remedy(server: TestServer, wish: str, words: str) -> None:
    async with HttpPoster() as poster:
        delivery = await deliver(poster, url_of(server, wish), b"{}")
    assert (delivery.delivered, delivery.fatal) == (False, True)
    assert words in delivery.reason
    assert "secret" not in delivery.reason
    assert len(server.app[ASKED]) == 1


@pytest.mark.parametrize(
    ("status", "fatal"), [(408, False), (425, False), (429, False), (599, False), (418, True), (413, True), (304, True)]
)
def test_statuses(status: int, fatal: bool) -> None:
    assert judged(Reply(status, 2.0)).fatal is fatal
    assert judged(Reply(status, 2.0)).retry_after_s == (None if fatal else 2.0)


async def test_a_date_without_the_other_ends_clock_is_taken_by_ours(server: TestServer) -> None:
    HEADERS["504"] = {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT", "Date": "unreadable"}
    HEADERS["505"] = {"Retry-After": "Wed, 21 Oct 2026 07:00:00 GMT", "Date": "unreadable"}
    async with HttpPoster(lambda: NOW_S) as poster:
        waits = [(await poster.post(url_of(server, wish), b"", {}, 5.0)).retry_after_s for wish in ("504", "505", "500", "501")]
    assert waits == [80.0, 0.0, None, None]


async def test_the_connection_is_kept(server: TestServer) -> None:
    async with HttpPoster() as poster:
        for _ in range(3):
            assert (await poster.post(url_of(server, "200"), b"{}", JSON_HEADERS, 5.0)).is_accepted
        assert (await poster.get(url_of(server, "404"), 5.0)).status == 404
    assert len({id(request.transport) for request in server.app[ASKED]}) == 1
    assert [request.method for request in server.app[ASKED]] == ["POST", "POST", "POST", "GET"]


async def test_a_connection_closed_meanwhile_costs_nothing() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Answers once a connection, then takes the next request and hangs up: what a server does whose idle limit is over.
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        asked.append(b"answered")
        await reader.readuntil(b"\r\n\r\n")
        asked.append(b"dropped")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = Secret(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
    async with HttpPoster() as poster:
        assert (await poster.post(url, b"", {}, 5.0)).is_accepted
        assert (await poster.post(url, b"", {}, 5.0)).is_accepted
    server.close()
    await server.wait_closed()
    assert asked == [b"answered", b"dropped", b"answered"]


async def test_an_endless_answer_is_cut(server: TestServer) -> None:
    async with HttpPoster() as poster:
        assert (await poster.post(url_of(server, "long"), b"", {}, 5.0)).body == b"x" * 65536


async def test_secret_headers_are_sent_and_hidden(server: TestServer) -> None:
    headers: dict[str, str | Secret] = {"Authorization": Secret("Bearer xoxb")}
    async with HttpPoster() as poster:
        await poster.post(url_of(server, "200"), b"", headers, 5.0)
    assert server.app[ASKED][0].headers["Authorization"] == "Bearer xoxb"
    assert "xoxb" not in repr(headers)


@pytest.mark.parametrize(
    ("url", "reason", "fatal"),
    [
        ("http://127.0.0.1:1/very-secret", "no connection", False),
        ("very-secret", "URL cannot be used", True),
        ("http://[very-secret", "URL cannot be used", True),
        ("ftp://127.0.0.1/very-secret", "URL cannot be used", True),
        ("http://127.0.0.1:99999/very-secret", "URL cannot be used", True),
        (f"http://{'very-secret' * 30}/", "URL cannot be used", True),
    ],
)
async def test_no_answer_never_names_the_url(url: str, reason: str, fatal: bool) -> None:
    async with HttpPoster() as poster:
        with pytest.raises(PostError, match=reason) as caught:
            await poster.post(Secret(url), b"", {}, 5.0)
        delivery = await deliver(poster, Secret(url), b"")
    assert "very-secret" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert (delivery.reason, delivery.delivered) == (str(caught.value), False)
    assert delivery.fatal is fatal


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"a": math.inf, "b": math.nan, "c": (1, -math.inf)}, '{"a":"Infinity","b":null,"c":[1,"-Infinity"]}'),
        ({"é": "\ud800x"}, '{"é":"?x"}'),
    ],
)
def test_any_document_is_json(document: Any, text: str) -> None:
    assert encoded(document) == text.encode()
    json.loads(encoded(document))


def test_what_the_other_end_says_is_repeated_without_secrets() -> None:
    key = "R0" + "Ab" * 15
    said = without(f"key {key.lower()}\n is 0x{'ab' * 20} wrong {'z' * 500}", Secret(key))
    assert said.startswith("key *** is 0xabab…abab wrong zzz")
    assert len(said) == 200


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://h/é<|>#a b", "https://h/%C3%A9%3C%7C%3E#a%20b"),
        ("http://h:1/%20?x=y&z", "http://h:1/%20?x=y&z"),
        ("javascript:alert(1)", ""),
        ("http://", ""),
        ("http://[x", ""),
        ("", ""),
        ("https://h/" + "x" * 1000, ""),
    ],
)
def test_links(text: str, link: str) -> None:
    assert as_link(text) == link
