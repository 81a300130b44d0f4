"""POST /api/v1/portfolios/{id}/what-if on the demo desk: what it answers, what it refuses, and that the live state stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from monitor import status
from monitor.report.document import margin_report
from monitor.snapshot import parse_snapshot
from monitor.web import what_if
from monitor.web.what_if import MOST_WAITING, WhatIfEndpoint
from tests.monitor.live.three_venues import ThreeVenues, three_venues
from tests.monitor.what_if.desk import trade, transfer

SEND = {"changes": [transfer("umbra", "iris", "USDC", 50_000.0)]}


class Client:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self.url = session, url

    async def ask(self, body: object, portfolio: str = "desk", query: str = "", **headers: str) -> tuple[int, Any, Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        told = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self._session.post(f"{self.url}/api/v1/portfolios/{portfolio}/what-if{query}", data=data, headers=told) as answer:
            return answer.status, orjson.loads(await answer.read()), answer.headers


@asynccontextmanager
async def serving(desk: ThreeVenues) -> AsyncIterator[Client]:
    application = web.Application(client_max_size=65_536)
    WhatIfEndpoint(desk.app).add_to(application.router)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def told(desk: ThreeVenues) -> dict[str, Any]:
    """The status without what only time and asking change."""
    document = orjson.loads(orjson.dumps(status.status(desk.app)))
    for pool in document["pools"]:
        # a thread measures them anew all the time
        del pool["distance"], pool["liquidation_price"]
    return {key: document[key] for key in ("pools", "portfolios", "alerts", "feeds")}


def row(report: dict[str, Any], account: str) -> dict[str, Any]:
    (found,) = [one for one in report["accounts"] if one["id"] == account]
    return dict(found)


async def test_the_demo_desk_before_and_after() -> None:
    async with three_venues("calm", 60.0) as desk, serving(desk) as client:
        await desk.run(2.0)
        before = told(desk)
        await _the_answer_is_the_report_of_the_edited_snapshot(desk, client)
        await _ratios_move_as_they_should(client)
        await _what_nobody_holds_is_priced_by_the_monitor(client)
        await _refusals(desk, client)
        assert told(desk) == before
        await _one_at_a_time(desk, client)
        await _nothing_is_computed_for_those_who_left(client)


async def _the_answer_is_the_report_of_the_edited_snapshot(desk: ThreeVenues, client: Client) -> None:
    code, answer, _ = await client.ask(SEND, query="?snapshot=1")
    assert (code, answer["version"], answer["portfolio"]) == (200, 1, "desk")
    parameters = desk.app.settings.portfolios[0].parameter_set
    again = margin_report(parse_snapshot(answer["snapshot"], "the answer"), parameters)
    assert orjson.loads(orjson.dumps(again)) == answer["after"]
    assert [one["id"] for one in answer["snapshot"]["portfolios"]] == ["desk"]
    figures = desk.figures("desk")
    assert answer["before"]["portfolios"][0]["maintenance_margin"] == pytest.approx(figures.maintenance_margin, rel=1e-9)
    assert answer["as_of"] == answer["before"]["as_of"]
    assert "snapshot" not in (await client.ask(SEND))[1]


async def _ratios_move_as_they_should(client: Client) -> None:
    _, answer, _ = await client.ask(SEND)
    before, after = row(answer["before"], "iris"), row(answer["after"], "iris")
    assert after["margin_ratio"] == pytest.approx(before["maintenance_margin"] / (before["equity"] + 50_000.0))
    assert row(answer["after"], "umbra")["margin_ratio"] > row(answer["before"], "umbra")["margin_ratio"]
    assert row(answer["after"], "noctua") == row(answer["before"], "noctua")


async def _what_nobody_holds_is_priced_by_the_monitor(client: Client) -> None:
    code, answer, _ = await client.ask({"changes": [trade("iris", "hyperliquid:SOL", 100.0)]}, query="?snapshot=1")
    assert (code, answer["after"]["portfolios"][0]["status"]) == (200, "ok")
    sol = next(one for one in answer["snapshot"]["instruments"] if one["id"] == "hyperliquid:SOL")
    after, before = row(answer["after"], "iris"), row(answer["before"], "iris")
    rate = sol["tiers"][0][1]
    assert after["maintenance_margin"] == pytest.approx(before["maintenance_margin"] + 100.0 * sol["mark"] * rate)
    held = next(one for one in answer["snapshot"]["instruments"] if one["kind"] == "option" and one["coin"] == "BTC")
    _, _, expiry, strike, kind = held["id"].replace(":", "-").split("-")
    other = f"deribit:BTC-{expiry}-{float(strike) + 5_000:g}-{kind}"
    code, answer, _ = await client.ask({"changes": [trade("noctua", other, -1.0)]}, query="?snapshot=1")
    assert (code, answer["after"]["portfolios"][0]["status"]) == (200, "ok"), answer
    added = answer["snapshot"]["instruments"][-1]
    assert (added["id"], added["forward"]) == (other, pytest.approx(held["forward"], rel=1e-3))
    assert f"{other} is not held: its volatility is" in " ".join(answer["assumptions"])
    code, answer, _ = await client.ask({"changes": [trade("noctua", "deribit:btc_usd", 1.0)]})
    assert (code, answer["field"]) == (400, "changes[0].instrument")
    assert "is an index and no contract" in answer["error"]


async def _refusals(desk: ThreeVenues, client: Client) -> None:
    code, answer, _ = await client.ask(SEND, portfolio="dsek")
    assert code == 404
    assert 'did you mean "desk"' in answer["error"]
    assert (await client.ask(b"{"))[0] == 400
    assert (await client.ask({"changes": []}))[1]["field"] == "changes"
    assert (await client.ask(SEND, query="?snapshot=yes"))[1]["field"] == "snapshot"
    assert (await client.ask(SEND, Content_Type="text/plain"))[0] == 415
    assert (await client.ask(b" " * 70_000))[0] == 413
    assert (await client.ask(SEND, Origin="http://elsewhere.example"))[0] == 403
    assert (await client.ask(SEND, Origin=client.url))[0] == 200
    live = desk.app.portfolios
    live.ready = False
    code, answer, _ = await client.ask(SEND)
    live.ready = True
    assert code == 409
    assert "no value now" in answer["error"]


async def _one_at_a_time(desk: ThreeVenues, client: Client) -> None:
    computed, let_go = what_if._reports, threading.Event()
    at_once, most = 0, 0

    def counted(*asked: Any) -> dict[str, Any]:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        let_go.wait(30.0)
        try:
            return computed(*asked)
        finally:
            at_once -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(what_if, "_reports", counted)
        asked = [asyncio.create_task(client.ask(SEND, portfolio="iris-alone")) for _ in range(MOST_WAITING + 2)]
        refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        (code, answer, headers) = refused.pop().result()
        assert (code, headers["Retry-After"]) == (503, "2")
        assert "wait already" in answer["error"]
        let_go.set()
        codes = [(await one)[0] for one in asked]
    assert sorted(codes) == [400] * (MOST_WAITING + 1) + [503]
    assert most == 1


async def _nothing_is_computed_for_those_who_left(client: Client) -> None:
    computed, let_go, asked_for = what_if._reports, threading.Event(), 0

    def counted(*asked: Any) -> dict[str, Any]:
        nonlocal asked_for
        asked_for += 1
        let_go.wait(30.0)
        return computed(*asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(what_if, "_reports", counted)
        first = asyncio.create_task(client.ask(SEND))
        while not asked_for:
            await asyncio.sleep(0.001)
        leaving = [asyncio.create_task(client.ask(SEND)) for _ in range(3)]
        await asyncio.wait(leaving, timeout=0.2)
        for one in leaving:
            one.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        for _ in range(100):
            # the server hears of it
            await asyncio.sleep(0)
        let_go.set()
        assert (await first)[0] == 200
        assert (await client.ask(SEND))[0] == 200
    assert asked_for == 2
