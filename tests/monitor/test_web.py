"""The HTTP side: what each endpoint answers, when, to whom, and that it stays fast while somebody is slow."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from connectors.events import FeedStatus
from monitor.web.limits import Limits
from monitor.web.server import ENDPOINTS, ApiServer
from monitor.web.stream import STREAM
from tests.monitor import openmetrics
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, opening, started
from tests.monitor.own_desk import position

TOKEN = "correct horse battery staple"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Client:
    """Asks one server."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server, self._session = server, session

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
        async with self._session.get(self.server.url + path, headers=headers) as answer:
            return answer.status, {str(name): value for name, value in answer.headers.items()}, await answer.text()

    async def status(self, path: str, **headers: str) -> int:
        return (await self.get(path, **headers))[0]

    async def document(self, path: str) -> Any:
        status, headers, body = await self.get(path)
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        return json.loads(body)


@asynccontextmanager
async def serving(own: OwnApplication, token: str | None = None, limits: Limits | None = None) -> AsyncIterator[Client]:
    server = ApiServer(own.app, "127.0.0.1", 0, token, limits=limits)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(server, session)
    finally:
        await server.stop()
        await server.stop()


async def test_it_is_healthy_at_once_and_ready_with_the_first_state() -> None:
    own = OwnApplication()
    async with serving(own) as client:
        assert await client.status("/-/healthy") == 200
        status, _, body = await client.get("/-/ready")
        assert status == 503
        assert body.splitlines()[:2] == ["not ready", "kernels are compiling"]
        async with started(own):
            _, _, body = await client.get("/-/ready")
            assert "maker: waiting for the first complete state" in body
            await own.tell(*opening(own))
            await own.until(lambda: not own.app.unready())
            assert (await client.get("/-/ready"))[::2] == (200, "ready\n")


async def test_every_endpoint_answers_and_the_index_lists_them() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    async with serving(own) as client:
        index = (await client.get("/"))[2]
        assert [line for line in index.splitlines() if line.startswith("/")] == list(ENDPOINTS)
        for path in ENDPOINTS:
            status, headers, _ = await client.get(path)
            assert status == {"/-/ready": 503, STREAM: 400}.get(path, 200), path
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
        pools = (await client.document("/api/v1/status"))["pools"]
        assert [(pool["pool"], pool["level"]) for pool in pools] == [("main", "critical")]
        (account,) = (await client.document("/api/v1/accounts"))["accounts"]
        assert account["margin_ratio"] == pytest.approx(0.95)
        alerts = await client.document("/api/v1/alerts")
        assert [alert["level"] for alert in alerts["firing"]] == ["critical"]


async def test_a_stale_number_is_not_served_as_a_ratio() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    async with serving(own) as client:
        (pool,) = (await client.document("/api/v1/status"))["pools"]
        assert (pool["status"], pool["level"], pool["margin_ratio"]) == ("failed", None, None)
        assert pool["last_margin_ratio"] == pytest.approx(0.5)
        assert "marginwatch_account_margin_ratio{" not in (await client.get("/metrics"))[2]


async def test_unknown_paths_and_methods_are_refused() -> None:
    async with serving(OwnApplication()) as client:
        for path in ("/api/v1/nothing", "/metrics/", "/../etc/passwd", "/api/v1/status/x"):
            assert await client.status(path) == 404, path
        async with aiohttp.ClientSession() as session, session.post(client.server.url + "/api/v1/status") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:1", 200), ("[::1]:1", 200), ("desk.example", 403), ("127.0.0.1.example:9876", 403)]
)
async def test_without_a_token_only_loopback_names_are_answered(host: str, status: int) -> None:
    async with serving(OwnApplication()) as client:
        assert await client.status("/api/v1/accounts", Host=host) == status


async def test_metrics_come_in_the_format_asked_for() -> None:
    own = OwnApplication()
    await own.tell(*opening(own))
    async with serving(own) as client:
        _, headers, plain = await client.get("/metrics")
        assert headers["Content-Type"].startswith("text/plain; version=")
        assert "marginwatch_ready" in {family.name for family in parse(plain)}
        _, headers, new = await client.get("/metrics", Accept=OPENMETRICS)
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert new.endswith("# EOF\n")
        assert "marginwatch_ready" in {family.name for family in openmetrics.parsed(new)}


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \udcff"])
async def test_without_the_token_nothing_but_health_is_told(given: str | None) -> None:
    async with serving(OwnApplication(), TOKEN, Limits(wrong_tokens_per_minute=100)) as client:
        headers = {} if given is None else {"Authorization": given}
        if given is not None and not given.isascii():
            answer = await _raw(client.server.port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 401")
            return
        for path in (*ENDPOINTS[1:], "/", "/nothing"):
            status, _, body = await client.get(path, **headers)
            assert status == 401, path
            assert "maker" not in body
            assert TOKEN not in body
        assert await client.status("/-/healthy", **headers) == 200


async def _raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(200), 5.0)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_with_the_token_everything_is_served() -> None:
    async with serving(OwnApplication(), TOKEN) as client:
        for path in ENDPOINTS:
            assert await client.status(path, Authorization=f"Bearer {TOKEN}") in (200, 503, 400 if path == STREAM else 200), path
        assert await client.status("/nothing", Authorization=f"Bearer {TOKEN}") == 404


async def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    async with serving(OwnApplication(), TOKEN) as client:
        await client.status("/metrics", Authorization="Bearer x")
    assert compared == [(b"x", TOKEN.encode())]


async def test_a_port_that_is_taken_is_an_os_error() -> None:
    own = OwnApplication()
    async with serving(own) as client:
        other = ApiServer(own.app, "127.0.0.1", client.server.port)
        with pytest.raises(OSError, match="bind"):
            await other.start()
        await other.stop()


async def test_scrapes_at_once_are_all_answered() -> None:
    own = OwnApplication()
    await own.tell(*opening(own))
    async with serving(own) as client:
        answers = await asyncio.gather(*(client.get("/metrics") for _ in range(10)))
        assert [answer[0] for answer in answers] == [200] * 10


def test_an_ipv6_address_is_bracketed() -> None:
    assert ApiServer(OwnApplication().app, "::1", 9876).url == "http://[::1]:9876"
