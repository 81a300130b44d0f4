"""The API of the alarm: history with deliveries, and silences that only the desk itself can make."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.outbox import Outcome
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from monitor.web.server import ApiServer
from tests.monitor.alarm_stand_in import FEED, POOL, START_MS, StandIn, alert, batch

TOKEN = "correct horse battery staple"
HOUR = {"key": "hyperliquid/*", "for_s": 3600, "reason": "moving collateral"}


class Client:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self.url = session, url

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self._session.request(method, self.url + path, data=data, headers=told) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text


@asynccontextmanager
async def serving(own: StandIn, token: str | None = None) -> AsyncIterator[Client]:
    server = ApiServer(own.app, "127.0.0.1", 0, token)
    await server.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, server.url)
    finally:
        await server.stop()
        own.outbox.close()


async def told(own: StandIn) -> list[Alert]:
    """Three alerts in the outbox: a page with two receivers, a feed's, and the page's end."""
    page, feed = alert(POOL, 1, START_MS, Level.CRITICAL), alert(FEED, 2, START_MS + 1000, Level.WARNING)
    end = alert(POOL, 1, START_MS + 2000, Level.OK, Change.RESOLVED, 2)
    await own.outbox.write(batch((page, {"chat": Outcome.PENDING, "pager": Outcome.PENDING})))
    await own.outbox.write(batch((feed, {"chat": Outcome.SILENCED}), (end, {})))
    own.outbox.settle([page.id], "chat", Outcome.DELIVERED, START_MS + 50)
    own.outbox.tried([page.id], "pager", "HTTP 503")
    return [page, feed, end]


async def test_the_history_says_who_got_what(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    page, feed, end = await told(own)
    own.fire(page)
    async with serving(own) as client:
        status, document = await client.ask("GET", "/api/v1/alerts")
        assert (status, document["version"], document["outbox_problem"]) == (200, 1, "")
        assert [entry["id"] for entry in document["history"]] == [end.id, feed.id, page.id]
        ended, silenced, paged = document["history"]
        assert (ended["deliveries"], ended["change"], ended["previous"]) == ([], "resolved", "critical")
        assert [delivery["outcome"] for delivery in silenced["deliveries"]] == ["silenced"]
        deliveries = {one["receiver"]: (one["outcome"], one["attempts"], one["reason"]) for one in paged["deliveries"]}
        assert deliveries["chat"][0] == "delivered"
        assert deliveries["pager"] == ("pending", 1, "HTTP 503")
        assert (paged["kind"], paged["account"], paged["name"], paged["text"]) == ("pool", "hl-main", "USDC", page.title)
        assert [(one["key"], one["level"], one["since_ms"]) for one in document["firing"]] == [(page.key, "critical", START_MS)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=1", [2]),
        (f"before_ms={START_MS + 1000}", [0]),
        ("key=*/stale_feed", [1]),
        ("key=hyperliquid/hl-main/*&limit=5", [2, 0]),
        (f"key=hyperliquid/*&before_ms={START_MS + 2000}&limit=1", [0]),
        ("key=nothing", []),
    ],
)
async def test_the_history_is_filtered(query: str, expected: list[int]) -> None:
    own = StandIn()
    alerts = await told(own)
    own.fire(alerts[0])
    async with serving(own) as client:
        _, document = await client.ask("GET", f"/api/v1/alerts?{query}")
        assert [entry["id"] for entry in document["history"]] == [alerts[number].id for number in expected]
        assert len(document["firing"]) == ("key" not in query or "hyperliquid" in query)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("before_ms=1e9", "before_ms"),
        (f"before_ms={'9' * 40}", "before_ms"),
    ],
)
async def test_filters_that_make_no_sense_are_named(query: str, field: str) -> None:
    async with serving(StandIn()) as client:
        status, document = await client.ask("GET", f"/api/v1/alerts?{query}")
        assert (status, document["field"]) == (400, field)
        assert document["error"].startswith(f"{field}: expected an integer")


async def test_without_a_readable_outbox_the_last_alerts_are_still_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    own = StandIn(tmp_path / "file" / "alerts.db")
    page, feed = alert(POOL, 1, START_MS, Level.CRITICAL), alert(FEED, 2, START_MS + 1, Level.WARNING)
    own.recent.extend([page, feed])
    async with serving(own) as client:
        _, document = await client.ask("GET", "/api/v1/alerts?key=hyperliquid/*")
        assert document["outbox_problem"]
        assert [(entry["id"], entry["deliveries"]) for entry in document["history"]] == [(page.id, None)]


# -- silences ----------------------------------------------------------------------------------------------------------------------------


async def test_a_silence_is_made_listed_kept_and_ended(tmp_path: Path) -> None:
    path = tmp_path / "alerts.db"
    own = StandIn(path)
    page = alert(POOL, 1, START_MS, Level.CRITICAL)
    async with serving(own) as client:
        status, document = await client.ask("POST", "/api/v1/silences", HOUR)
        made = document["silence"]
        expected = {"key": "hyperliquid/*", "until_ms": START_MS + 3_600_000, "reason": "moving collateral", "up_to": "critical"}
        assert status == 201
        assert made == {"id": made["id"], "created_ms": START_MS, **expected}
        assert own.silences.match(page, START_MS + 1) is not None
        assert (await client.ask("GET", "/api/v1/silences"))[1]["silences"] == [made]
        assert (await client.ask("GET", "/api/v1/alerts"))[1]["silences"] == [made]
        await own.clock.advance(10.0)
        status, document = await client.ask("DELETE", f"/api/v1/silences/{made['id']}")
        assert (status, document["silence"]["until_ms"]) == (200, START_MS + 10_000)
        assert (await client.ask("GET", "/api/v1/silences"))[1]["silences"] == []
        status, document = await client.ask("DELETE", f"/api/v1/silences/{made['id']}")
        assert status == 404
        assert "is active" in document["error"]
        _, document = await client.ask("POST", "/api/v1/silences", HOUR | {"up_to": "warning"})
    again = StandIn(path)
    kept = again.outbox.open(float(START_MS), START_MS + 20_000).silences
    assert [silence.id for silence in kept if silence.until_ms > START_MS + 20_000] == [document["silence"]["id"]]
    again.outbox.close()


async def test_a_silence_can_be_given_its_end() -> None:
    own = StandIn()
    async with serving(own) as client:
        asked = {"key": "*", "until_ms": START_MS + 60_000, "reason": "x", "up_to": "warning"}
        status, document = await client.ask("POST", "/api/v1/silences", asked)
        assert (status, document["silence"]["until_ms"]) == (201, START_MS + 60_000)
        assert own.silences.match(alert(POOL, 1, START_MS, Level.CRITICAL), START_MS) is None


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (HOUR | {"key": ""}, "", "the pattern is empty"),
        ({"for_s": 1, "reason": "x"}, "key", "key: missing"),
        (HOUR | {"key": 5}, "key", "key: expected a text"),
        (HOUR | {"reason": " "}, "", "the reason is empty"),
        (HOUR | {"reason": "fine\x1b[2J"}, "", "the reason is longer than 500 characters or has unprintable ones"),
        ({"key": "*", "for_s": 1}, "reason", "reason: missing"),
        ({"key": "*", "reason": "x"}, "for_s", "for_s: give either for_s"),
        (HOUR | {"until_ms": START_MS + 1}, "for_s", "for_s: give either for_s"),
        (HOUR | {"for_s": 0}, "for_s", "for_s: expected a number above 0"),
        (HOUR | {"for_s": True}, "for_s", "for_s: expected a number above 0"),
        (HOUR | {"for_s": "1h"}, "for_s", "for_s: expected a number above 0"),
        (HOUR | {"for_s": 1e300}, "for_s", "for_s: expected a number above 0"),
        (HOUR | {"for_s": 31 * 86_400}, "", "the end is more than 30 days away"),
        ({"key": "*", "until_ms": START_MS - 1, "reason": "x"}, "", "the end is in the past"),
        (HOUR | {"up_to": "ok"}, "up_to", "up_to: expected one of warning, critical, liquidation"),
        (HOUR | {"up_to": 3}, "up_to", "up_to: expected one of"),
        (HOUR | {"up-to": "warning"}, "up-to", "up-to: unknown; known are key, for_s, until_ms, reason, up_to"),
        ([HOUR], "", "the body is not a JSON object"),
        (b"{", "", "the body is not JSON"),
        (b'{"key": "*", "for_s": NaN, "reason": "x"}', "", "the body is not JSON"),
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused_with_its_field(body: object, field: str, message: str) -> None:
    own = StandIn()
    async with serving(own) as client:
        status, document = await client.ask("POST", "/api/v1/silences", body)
        assert (status, document["field"]) == (400, field)
        assert document["error"].startswith(message)
        assert own.silences.active(START_MS) == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_what_a_form_of_a_foreign_page_can_send_is_refused(kind: str) -> None:
    own = StandIn()
    async with serving(own) as client:
        status, _ = await client.ask("POST", "/api/v1/silences", HOUR, Content_Type=kind)
        assert status == 415
        assert own.silences.active(START_MS) == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("{url}", 201),
        ("https://desk.example", 201),
        ("http://127.0.0.1:1", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://[", 403),
    ],
)
async def test_a_page_of_another_origin_may_not_change_silences(origin: str, status: int) -> None:
    own = StandIn(link="https://desk.example/margin")
    kept = own.silences.add("*", START_MS + 1000, "x", START_MS)
    async with serving(own) as client:
        given = origin.format(url=client.url)
        assert (await client.ask("POST", "/api/v1/silences", HOUR, Origin=given))[0] == status
        ended = (await client.ask("DELETE", f"/api/v1/silences/{kept.id}", Origin=given))[0]
        assert ended == (200 if status == 201 else 403)
        assert len(own.silences.active(START_MS)) == 1


async def test_the_guard_stands_before_silences() -> None:
    own = StandIn()
    async with serving(own, TOKEN) as client:
        assert (await client.ask("POST", "/api/v1/silences", HOUR))[0] == 401
        assert (await client.ask("POST", "/api/v1/silences", HOUR, Authorization=f"Bearer {TOKEN}"))[0] == 201
    other = StandIn()
    async with serving(other) as client:
        assert (await client.ask("POST", "/api/v1/silences", HOUR, Host="desk.example"))[0] == 403
        assert other.silences.active(START_MS) == []


async def test_a_silence_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(StandIn()) as client:
        await client.ask("POST", "/api/v1/silences", HOUR)
        assert "hyperliquid/* up to critical, because: moving collateral" in caplog.text


async def test_methods_that_are_not_served() -> None:
    async with serving(StandIn()) as client:
        assert await client.ask("PUT", "/api/v1/silences", HOUR) == (405, {"error": "this address answers only GET,HEAD,POST"})
        assert await client.ask("POST", "/api/v1/alerts", HOUR) == (405, {"error": "this address answers only GET,HEAD"})
        assert await client.ask("GET", "/api/v1/alarms") == (404, {"error": "there is no such address; / lists those that there are"})
        status, document = await client.ask("POST", "/api/v1/silences", b"x" * 270_000)
        assert (status, "262144" in document["error"]) == (413, True)
        assert await client.ask("GET", "/alarms") == (404, "404: Not Found")


@pytest.mark.parametrize(("key", "fits"), [("hyperliquid/*", 1), ("*", 2), ("*/margin_levle", 0), ("feed/aster/[marks]/stale_feed", 1)])
async def test_a_silence_says_how_many_firing_alerts_it_fits(key: str, fits: int) -> None:
    own = StandIn()
    own.fire(alert(POOL, 1, START_MS, Level.CRITICAL))
    own.fire(alert(AlertScope.feed("aster", "[marks]"), 2, START_MS, Level.WARNING))
    async with serving(own) as client:
        status, document = await client.ask("POST", "/api/v1/silences", HOUR | {"key": key})
        assert (status, document["fits"]) == (201, fits)
        _, document = await client.ask("GET", f"/api/v1/alerts?key={key}")
        assert len(document["firing"]) == fits
