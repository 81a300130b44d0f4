"""The stream: what a page gets, when, and what a slow or a foreign one gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from connectors.events import FeedStatus
from monitor.web import kept
from monitor.web import stream as module
from monitor.web.kept import KeptReports
from monitor.web.rows import Rows
from monitor.web.server import ApiServer
from monitor.web.stream import STREAM
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, marks, opening
from tests.monitor.own_desk import ACCOUNT, position, reference

POOL = f"hyperliquid/{ACCOUNT}/main"
UNREAD = f"hyperliquid/{ACCOUNT}/account"
"""What stands for an account before its pools are known."""


class Page:
    """A client of the stream that holds what it was told, as the page does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.rows: dict[str, dict[str, Any]] = {}
        self.frames: list[dict[str, Any]] = []

    async def next(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.receive_str(), 5.0))
        if frame["type"] == "snapshot":
            self.rows = {}
        for section, told in frame["rows"].items():
            self.rows.setdefault(section, {}).update(told)
        for section, names in frame["gone"].items():
            for name in names:
                del self.rows[section][name]
        self.frames.append(frame)
        return frame

    async def until(self, section: str, name: str, **wanted: Any) -> dict[str, Any]:
        for _ in range(20):
            row: dict[str, Any] = self.rows.get(section, {}).get(name, {})
            if row and all(row[key] == value for key, value in wanted.items()):
                return row
            await self.next()
        raise AssertionError(f"never told {section} {name} {wanted}: {self.rows.get(section)}")


class Serving:
    """A server and how to follow it."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session

    @asynccontextmanager
    async def page(self, **headers: str) -> AsyncIterator[Page]:
        async with self.session.ws_connect(self.server.url + STREAM, headers=headers) as socket:
            yield Page(socket)

    async def refused(self, **headers: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with self.session.ws_connect(self.server.url + STREAM, headers=headers):
                pass
        return caught.value.status


@asynccontextmanager
async def serving(own: OwnApplication, token: str | None = None) -> AsyncIterator[Serving]:
    server = ApiServer(own.app, "127.0.0.1", 0, token)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Serving(server, session)
    finally:
        await server.stop()


async def test_a_page_gets_everything_and_then_what_changed() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    async with serving(own) as served, served.page() as page:
        first = await page.next()
        assert (first["type"], first["since"]) == ("snapshot", 0)
        assert page.rows["pools"][POOL]["margin_ratio"] == pytest.approx(0.5)
        assert page.rows["pools"][POOL]["levels"] == {"warning": 0.85, "critical": 0.9, "liquidation": 1.0}
        assert "nothing before 100%" in page.rows["pools"][POOL]["next"]
        await own.tell(marks(own, BTC=99.9))
        frame = await page.next()
        while POOL not in frame["rows"].get("pools", {}):
            frame = await page.next()
        assert frame["type"] == "changes"
        assert frame["since"] == page.frames[-2]["sequence"]
        assert page.rows["pools"][POOL]["margin_ratio"] > 0.5


async def test_rows_are_those_of_the_api() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    async with serving(own) as served, served.page() as page:
        await page.next()
        async with served.session.get(served.server.url + "/api/v1/status") as answer:
            status = await answer.json()
        (told,) = status["pools"]
        del told["data_age_s"]
        row = page.rows["pools"][POOL]
        assert {key: row[key] for key in told} == told
        assert [(one["key"], one["level"]) for one in page.rows["alerts"].values()] == [(POOL + "/margin_level", "critical")]
        assert [one["id"] for one in page.rows["monitor"]["monitor"]["accounts"]] == [ACCOUNT]


async def test_what_is_stale_loses_its_figure_on_the_page_too() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    async with serving(own) as served, served.page() as page:
        await page.until("pools", POOL, status="ok")
        await own.feed(SECTIONS_FEED, FeedStatus.STALE)
        row = await page.until("pools", POOL, status="failed")
        assert (row["margin_ratio"], row["level"]) == (None, None)
        assert row["last_margin_ratio"] == pytest.approx(0.5)


async def test_what_is_not_there_any_more_is_gone() -> None:
    own = OwnApplication()
    await own.tell(reference())
    async with serving(own) as served, served.page() as page:
        await page.until("pools", UNREAD)
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await page.until("pools", POOL)
        assert UNREAD not in page.rows["pools"]


async def test_an_idle_line_is_told_so_often_that_silence_means_it_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.2)
    own = OwnApplication()
    async with serving(own) as served, served.page() as page:
        for _ in range(40):
            frame = await page.next()
            if not frame["rows"]:
                return
    raise AssertionError("no frame without a change")


async def test_a_page_that_comes_back_begins_anew() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    async with serving(own) as served:
        async with served.page() as page:
            await page.next()
        await own.tell(marks(own, BTC=90.0))
        async with served.page() as page:
            frame = await page.next()
            assert frame["type"] == "snapshot"
            assert page.rows["pools"][POOL]["margin_ratio"] is None or page.rows["pools"][POOL]["margin_ratio"] != pytest.approx(0.5)


async def test_nothing_is_done_while_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    async with serving(own) as served:
        async with served.page() as page:
            await page.next()
        taken = 0

        def result(*_: Any, **__: Any) -> Any:
            nonlocal taken
            taken += 1

        monkeypatch.setattr(own.app.engine, "result", result)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert taken == 0


async def test_a_stalled_page_misses_frames_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_S", 0.005)
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    async with serving(own) as served, served.page() as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.server.port, limit=4096)
        writer.write(
            f"GET {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await page.next()
        for number in range(1, 31):
            before = page.rows["pools"][POOL]["margin_ratio"]
            await own.tell(marks(own, BTC=100.0 + number / 100))
            while page.rows["pools"][POOL]["margin_ratio"] == before:
                await page.next()
        writer.close()
        del reader


@pytest.mark.parametrize(("origin", "status"), [("https://elsewhere.example", 403), ("null", 403)])
async def test_a_page_of_another_origin_may_not_follow(origin: str, status: int) -> None:
    async with serving(OwnApplication()) as served:
        assert await served.refused(Origin=origin) == status


async def test_our_own_page_may_follow() -> None:
    async with serving(OwnApplication()) as served, served.page(Origin=served.server.url) as page:
        assert (await page.next())["sequence"]


async def test_a_token_is_asked_and_another_one_cuts_the_line() -> None:
    async with serving(OwnApplication(), "first token") as served:
        assert await served.refused() == 401
        async with served.page(Authorization="Bearer first token") as page:
            await page.next()
            served.server.token = "first token"
            await page.next()
            served.server.token = "second token"
            for _ in range(100):
                message = await asyncio.wait_for(page.socket.receive(), 5.0)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
            assert page.socket.closed


async def test_a_line_ends_with_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.web.credentials.LIFE_S", 1)
    async with serving(OwnApplication(), "a token") as served:
        for is_logged_out in (False, True):
            async with served.session.post(served.server.url + "/login", data={"token": "a token"}) as answer:
                cookie = answer.headers["Set-Cookie"].partition(";")[0]
            async with served.page(Cookie=cookie) as page:
                await page.next()
                if is_logged_out:
                    await (await served.session.post(served.server.url + "/logout", headers={"Cookie": cookie})).read()
                while (await asyncio.wait_for(page.socket.receive(), 5.0)).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert await served.refused(Cookie=cookie) == 401


async def test_so_many_pages_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    async with serving(OwnApplication()) as served, served.page(), served.page() as page:
        await page.next()
        assert await served.refused() == 503


async def test_a_page_that_says_too_much_is_cut() -> None:
    async with serving(OwnApplication()) as served, served.page() as page:
        await page.socket.send_str("x" * (module.MOST_SAID + 1))
        for _ in range(100):
            message = await asyncio.wait_for(page.socket.receive(), 5.0)
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
        assert page.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG


async def test_a_defect_in_a_row_ends_no_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    async with serving(own) as served, served.page() as page:
        await page.until("pools", POOL)
        results = own.app.engine.result
        broken = iter([True])

        def result(*told: Any, **named: Any) -> Any:
            if next(broken, False):
                raise ZeroDivisionError
            return results(*told, **named)

        monkeypatch.setattr(own.app.engine, "result", result)
        await own.tell(marks(own, BTC=99.0))
        ratio = page.rows["pools"][POOL]["margin_ratio"]
        while page.rows["pools"][POOL]["margin_ratio"] == ratio:
            await page.next()
    assert "the pages cannot be told: ZeroDivisionError" in caplog.text


async def test_a_row_that_cannot_be_written_is_gone_and_takes_no_other_along(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    monkeypatch.setattr(module, "SECOND_NS", 1)
    ticks = Rows.of_ticks
    broken: list[bool] = []

    def of_ticks(rows: Rows) -> Any:
        for section, name, row in ticks(rows):
            yield section, name, row | ({"figure": object()} if broken and section == "pools" else {})

    monkeypatch.setattr(Rows, "of_ticks", of_ticks)
    async with serving(own) as served, served.page() as page:
        await page.until("pools", POOL)
        broken.append(True)
        while POOL in page.rows["pools"]:
            await page.next()
        for _ in range(3):
            assert page.rows["monitor"]["monitor"]
            await page.next()
        broken.clear()
        await page.until("pools", POOL)
    assert caplog.text.count(f"the row {POOL} of pools cannot be written: TypeError") == 1


async def test_who_comes_after_all_have_left_sees_nothing_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "report_rows", lambda document: [("reports", "removed since", {"as_of": "long ago"})])
    own = OwnApplication()
    async with serving(own) as served:
        async with served.page() as page:
            await page.until("reports", "removed since")
        asked = asyncio.Event()

        async def reports(*_: Any) -> Any:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(KeptReports, "reports", reports)
        async with served.page() as page:
            assert (await page.next())["type"] == "snapshot"
            assert asked.is_set()
            assert "reports" not in page.rows


async def test_large_reports_for_many_pages_come_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_S", 0.0)
    monkeypatch.setattr(module, "REPORT_SHARE", 1e9)
    monkeypatch.setattr(module, "FRAME_S", 0.005)
    reports, asked = KeptReports.reports, 0

    async def counted(of: KeptReports, age_s: float) -> Any:
        nonlocal asked
        asked += 1
        return await reports(of, age_s)

    monkeypatch.setattr(KeptReports, "reports", counted)
    own = OwnApplication()
    async with serving(own) as served:
        async with served.page() as page:
            while asked < 5:
                await page.next()
        asked = 0
        monkeypatch.setattr(module, "REPORT_BYTES_S", 1e-3)
        async with served.page() as page:
            for _ in range(3):
                await page.next()
        assert asked == 1
