"""Accounts that come and go while the connector runs; those that stay notice nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from connectors.clock import SystemClock, settle
from connectors.errors import ConnectorError
from connectors.events import AccountSnapshot, Event, FeedDropped, FeedState, FeedStatus, Fill, SectionsSnapshot
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig
from connectors.simulator.hyperliquid import ADDRESSES, HyperliquidServer, demo_desk
from connectors.transport import AiohttpTransport, HttpResponse, WebSocketsTransport
from tests.connectors.hyperliquid import hyperliquid_wire as wire
from tests.connectors.hyperliquid.hyperliquid_fake import HEDGER, MAKER, THIRD, Stage, subscriptions

BOTH = [wire.MAKER, wire.HEDGER]
BTC_LONG = wire.state(wire.position("BTC", "1.0", 100_000.0), cash="-90000.0")


def unsubscribed(stage: Stage, since: int = 0) -> list[str]:
    frames = subscriptions(stage.connection("spotState"))[since:]
    return [request["user"] for request in wire.requests(frames, "unsubscribe")]


def of_account(events: list[Event], alias: str) -> list[Event]:
    return [event for event in events if getattr(event, "account", None) == alias]


def dropped(stage: Stage, alias: str) -> list[str]:
    return [event.feed for event in stage.of(FeedDropped, alias)]


def told_feeds(stage: Stage, alias: str) -> list[str]:
    return list(dict.fromkeys(state.feed for state in stage.of(FeedState, alias)))


async def watched(stage: Stage, *users: str) -> None:
    """Until the accounts of these users are pushed."""
    await stage.advance(3.0)
    await stage.play(stage.connection("spotState"), users, seconds=5.0)


async def test_a_new_account_is_admitted_and_pushed_and_the_others_are_untouched() -> None:
    stage = Stage(MAKER)
    async with stage:
        await watched(stage, wire.MAKER)
        connection, market = stage.connection("spotState"), stage.connection("allDexsAssetCtxs")
        before, asked, frames = len(stage.of(FeedState, "maker")), len(stage.answers.asked), len(market.sent)
        stage.connector.set_accounts([MAKER, HEDGER])
        await settle()
        assert stage.of(AccountSnapshot, "hedger"), "read at once"
        assert len(market.sent) == frames
        assert {body.get("user") for _, body in stage.answers.asked[asked:]} == {wire.HEDGER.lower()}
        assert stage.statuses("hedger") == {FeedStatus.POLLED}
        await stage.advance(1.5)
        await stage.play(connection, BOTH, seconds=5.0)
        assert stage.statuses("hedger") == {FeedStatus.FRESH}
        assert len(stage.of(FeedState, "maker")) == before
        assert stage.connection("spotState") is connection, "over the one connection for accounts"
        assert len(stage.sockets.connections) == 2
        assert unsubscribed(stage) == []
        assert stage.connector.describe()["push_accounts"] == ["maker", "hedger"]


async def test_an_account_that_is_gone_is_unsubscribed_dropped_and_told_of_no_more() -> None:
    stage = Stage(MAKER, HEDGER)
    stage.answers.states[wire.HEDGER.lower()] = {"": BTC_LONG}
    stage.answers.wallets[wire.HEDGER.lower()] = wire.portfolio_margin_state()
    async with stage:
        await watched(stage, *BOTH)
        stage.connector.refresh("hedger")
        stage.connector.set_accounts([MAKER])
        assert dropped(stage, "hedger") == told_feeds(stage, "hedger")
        assert {"allDexsClearinghouseState", "spotState", "userFills", "spotClearinghouseState"} < set(dropped(stage, "hedger"))
        assert dropped(stage, "maker") == []
        described = stage.connector.describe()
        assert (described["push_accounts"], described["polled_accounts"], described["wanted"]) == (["maker"], [], 0)
        assert described["budget"].users_used == 1
        assert all(state.account != "hedger" for state in stage.connector.feed_states())
        seen, asked = len(stage.events), stage.answers.count("spotClearinghouseState", wire.HEDGER.lower())
        await settle()
        assert unsubscribed(stage) == [wire.HEDGER.lower()] * 8, "at once"
        connection = stage.connection("spotState")
        await stage.play(connection, BOTH, seconds=330.0)
        assert of_account(stage.events[seen:], "hedger") == []
        assert stage.answers.count("spotClearinghouseState", wire.HEDGER.lower()) == asked
        assert len(unsubscribed(stage)) == 8
        assert stage.statuses("maker") == {FeedStatus.FRESH}


async def test_the_push_slot_of_one_that_is_gone_is_free() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await watched(stage, wire.MAKER)
        assert stage.connector.describe()["push_accounts"] == ["maker"]
        stage.connector.set_accounts([HEDGER])
        assert stage.connector.budget.statistics().users_used == 0
        await stage.advance(1.5)
        assert stage.connector.describe()["push_accounts"] == ["hedger"]
        requests = wire.requests(subscriptions(stage.connection("spotState")))
        assert requests[-1]["user"] == wire.HEDGER.lower()


async def test_one_that_begins_anew_is_not_ranked_by_the_ratio_before() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await watched(stage, wire.MAKER)
        stage.connector.set_priorities({"maker": 0.9, "hedger": 0.5})
        stage.connector.set_accounts([replace(MAKER, mode_hint="unified"), HEDGER])
        await stage.advance(1.5)
        assert stage.connector.describe()["push_accounts"] == ["hedger"]


async def test_a_polled_account_that_is_gone_is_asked_for_no_more() -> None:
    stage = Stage(MAKER, HEDGER, users_limit=1)
    async with stage:
        await watched(stage, wire.MAKER)
        stage.connector.set_accounts([MAKER])
        assert dropped(stage, "hedger") == ["allDexsClearinghouseState", "spotState"]
        seen, asked = len(stage.events), stage.answers.count("clearinghouseState", wire.HEDGER.lower())
        await stage.advance(60.0)
        assert of_account(stage.events[seen:], "hedger") == []
        assert stage.answers.count("clearinghouseState", wire.HEDGER.lower()) == asked
        assert unsubscribed(stage) == []


async def test_equal_accounts_are_untouched() -> None:
    stage = Stage(MAKER, HEDGER)
    async with stage:
        await watched(stage, *BOTH)
        tasks, frames = asyncio.all_tasks(), [len(one.sent) for one in stage.sockets.connections]
        seen, asked = len(stage.events), len(stage.answers.asked)
        stage.connector.set_accounts([AccountRef("hedger", HEDGER.address), AccountRef("maker", MAKER.address)])
        await settle()
        assert asyncio.all_tasks() == tasks
        assert [len(one.sent) for one in stage.sockets.connections] == frames
        assert (len(stage.events), len(stage.answers.asked)) == (seen, asked)
        assert stage.connector.describe()["push_accounts"] == ["hedger", "maker"]


@pytest.mark.parametrize("after", [replace(MAKER, mode_hint="portfolioMargin"), replace(MAKER, address=THIRD.address)])
async def test_other_content_is_dropped_and_begins_anew(after: AccountRef) -> None:
    stage = Stage(MAKER)
    fill = {"coin": "BTC", "px": "1", "sz": "1", "side": "B", "time": 5, "dir": "Open Long", "closedPnl": "0", "hash": "0x1", "oid": 1}
    fill |= {"crossed": True, "fee": "0", "tid": 7, "feeToken": "USDC", "startPosition": "0"}

    def fills(user: str) -> bytes:
        return wire.frame("userFills", {"isSnapshot": True, "user": user, "fills": [fill]})

    async with stage:
        await watched(stage, wire.MAKER)
        stage.connection("spotState").deliver(fills(wire.MAKER))
        await settle()
        assert len(stage.of(Fill)) == 1
        feeds, seen = told_feeds(stage, "maker"), len(stage.events)
        stage.connector.set_accounts([after])
        assert stage.events[seen:] == [FeedDropped("hyperliquid", feed, "maker") for feed in feeds]
        assert stage.connector.describe()["waiting_accounts"] == ["maker"]
        await stage.advance(3.0)
        later = of_account(stage.events[seen + len(feeds) :], "maker")
        assert isinstance(later[0], AccountSnapshot)
        assert isinstance(later[1], FeedState)
        assert later[1].status is FeedStatus.POLLED
        await stage.play(stage.connection("spotState"), [after.address], seconds=5.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        stage.connection("spotState").deliver(fills(after.address.lower()))
        await settle()
        assert len(stage.of(Fill)) == 2, "nothing is remembered of the one before"


async def test_late_answers_of_one_that_is_gone_or_anew_are_told_to_nobody() -> None:
    stage = Stage(MAKER, HEDGER)
    async with stage:
        await watched(stage, *BOTH)
        late = Late(stage)
        stage.connection("spotState").lose()
        while not late.held:
            await stage.advance(0.5)
        before = len(late.held)
        stage.connector.set_accounts([replace(MAKER, mode_hint="unified")])
        seen = len(stage.events)
        await stage.advance(2.0)
        assert len(late.held) > before, "the new one is asked for meanwhile"
        late.release(before)
        await settle()
        assert of_account(stage.events[seen:], "hedger") == []
        assert {type(event) for event in of_account(stage.events[seen:], "maker")} == {FeedState}
        states = {state.status for state in stage.connector.feed_states() if state.account == "maker"}
        assert states == {FeedStatus.CONNECTING}, "the answer is about the one before"
        late.release()
        await stage.advance(3.0)
        await stage.play(stage.connection("spotState"), [wire.MAKER], seconds=5.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        assert stage.connector.account_session.statistics.failures == {"connection_lost": 1}


class Late:
    """Holds back the answers about accounts that are asked for from now on, until they are released."""

    def __init__(self, stage: Stage) -> None:
        self.held: list[asyncio.Future[None]] = []
        self._answer = stage.http.request
        self._holding = True
        stage.http.request = self._request  # type: ignore[method-assign]

    async def _request(self, method: str, url: str, *, body: bytes = b"", **more: Any) -> HttpResponse:
        answer = await self._answer(method, url, body=body, **more)
        if self._holding and b'"clearinghouseState"' in body:
            self.held.append(asyncio.get_running_loop().create_future())
            await self.held[-1]
        return answer

    def release(self, first: int | None = None) -> None:
        """Give the first so many, or all of them and those to come."""
        self._holding = first is not None
        for one in self.held[:first]:
            if not one.done():
                one.set_result(None)


@pytest.mark.parametrize("wrong", [AccountRef("hedger", "0x12"), AccountRef("maker", wire.HEDGER), AccountRef("twin", wire.MAKER)])
async def test_accounts_that_cannot_be_leave_all_as_it_was(wrong: AccountRef) -> None:
    stage = Stage(MAKER)
    async with stage:
        await watched(stage, wire.MAKER)
        tasks, seen = asyncio.all_tasks(), len(stage.events)
        with pytest.raises(ValueError, match="account"):
            stage.connector.set_accounts([MAKER, THIRD, wrong])
        await settle()
        assert asyncio.all_tasks() == tasks
        assert len(stage.events) == seen
        assert stage.connector.describe()["push_accounts"] == ["maker"]
        assert unsubscribed(stage) == []


async def test_from_none_to_one_to_none_to_one() -> None:
    stage = Stage()
    async with stage:
        await stage.advance(3.0)
        assert len(stage.sockets.connections) == 1
        stage.connector.set_accounts([MAKER])
        await watched(stage, wire.MAKER)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        stage.connector.set_accounts([])
        assert sorted(dropped(stage, "maker")) == sorted(told_feeds(stage, "maker"))
        seen = len(stage.events)
        connection = stage.connection("spotState")
        await stage.play(connection, [wire.MAKER], seconds=60.0)
        assert of_account(stage.events[seen:], "maker") == []
        assert not connection.closed
        stage.connector.set_accounts([MAKER])
        await stage.advance(2.0)
        await stage.play(connection, [wire.MAKER], seconds=5.0)
        assert stage.statuses("maker") == {FeedStatus.FRESH}
        assert stage.connection("spotState") is connection, "the connection for accounts stays"


async def test_accounts_may_change_before_the_start() -> None:
    stage = Stage(MAKER)
    stage.connector.set_accounts([HEDGER])
    assert stage.events == []
    async with stage:
        stage.connector.set_accounts([HEDGER, THIRD])
        await stage.advance(3.0)
        assert {event.account for event in stage.of(AccountSnapshot)} == {"hedger", "third"}
        assert stage.answers.count("clearinghouseState", wire.MAKER) == 0


async def test_instruments_of_one_that_is_gone_are_wanted_no_more() -> None:
    stage = Stage(MAKER, HEDGER)
    stage.answers.states[wire.HEDGER.lower()] = {"": BTC_LONG}
    async with stage:
        await stage.advance(3.0)
        assert stage.connector.describe()["wanted"] == 1
        stage.connector.set_accounts([MAKER])
        assert stage.connector.describe()["wanted"] == 0
        stage.connector.set_wanted(["hyperliquid:BTC"])
        assert stage.connector.describe()["wanted"] == 1


async def test_a_crash_of_a_tender_that_came_later_ends_run() -> None:
    stage = Stage(MAKER)
    stage.task = asyncio.create_task(stage.connector.run())
    await stage.advance(3.0)

    def crash(what: str, failure: ConnectorError) -> None:
        raise MemoryError(what)

    stage.connector.set_accounts([MAKER, HEDGER])
    stage.connector._roster.members["hedger"]._failed = crash
    stage.answers.failures = [HttpResponse(503)]
    await settle()
    with pytest.raises(MemoryError, match="admit"):
        await stage.task
    assert all(connection.closed for connection in stage.sockets.connections)
    stage.connector.set_accounts([])


async def test_over_loopback_sockets() -> None:
    _, venue = demo_desk(60.0, fillers=0)
    server = HyperliquidServer(venue, tick=0.02, speed=10.0)
    await server.start()
    events: list[Event] = []
    http = AiohttpTransport()
    atlas, boreas, cygnus = (AccountRef(alias, ADDRESSES[alias]) for alias in ("atlas", "boreas", "cygnus"))
    connector = HyperliquidConnector(
        HyperliquidConfig(f"{server.rest_url}/info", server.ws_url, ip_budget_share=1.0),
        [atlas, boreas],
        http=http,
        websocket=WebSocketsTransport(),
        clock=SystemClock(),
        random=Random(1),
        sink=events.extend,
    )
    running = asyncio.create_task(connector.run())
    try:
        await _until(lambda: _pushed(events) >= {"atlas", "boreas"})
        connector.set_accounts([boreas, cygnus])
        gone = len(events)
        await _until(lambda: "cygnus" in _pushed(events) and "boreas" in _pushed(events[gone:]))
        assert of_account(events[gone:], "atlas") == []
        assert connector.account_session.statistics.connects == 1
    finally:
        await connector.stop()
        await running
        await http.close()
        await server.stop()


def _pushed(events: list[Event]) -> set[str]:
    return {event.account for event in events if isinstance(event, SectionsSnapshot)}


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not is_so():
            await asyncio.sleep(0.02)
