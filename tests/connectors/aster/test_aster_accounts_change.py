"""Accounts that come and go while the connector runs; those that stay notice nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from connectors.aster.connector import AsterConnector
from connectors.aster.rest import V3
from connectors.aster.settings import AgentKey, AsterAccountRef, AsterConfig
from connectors.clock import SystemClock, settle
from connectors.events import Event, FeedDropped, FeedState, FeedStatus, FuturesSnapshot, Instruments, KeyState, MarkPrices
from connectors.simulator.aster import AsterServer, AsterVenue, Market, credentials, demo_plans
from connectors.transport import AiohttpTransport, WebSocketsTransport
from tests.connectors.aster import aster_wire as wire
from tests.connectors.aster.aster_fake import HEDGER, MAKER, Stage, account_update, forbidden, pushed

FEEDS = ["account", "userStream"]


def desk(*watched: AsterAccountRef) -> Stage:
    """A venue that knows both accounts, of which these are watched from the start."""
    stage = Stage(MAKER, HEDGER)
    stage.holdings["hedger"].key = 2
    stage.connector.set_accounts(watched)
    return stage


def of_account(events: list[Event], alias: str) -> list[Event]:
    return [event for event in events if getattr(event, "account", None) == alias]


def dropped(stage: Stage, alias: str) -> list[str]:
    return [event.feed for event in stage.of(FeedDropped, alias)]


def asked_of(stage: Stage, ref: AsterAccountRef) -> int:
    """How often something was asked of the account."""
    signed = {path.removeprefix("/") for _, path in V3}
    made = [request for request in stage.venue.requests if any(path in request.url for path in signed)]
    return sum(dict(wire.sent_pairs(request)).get("user", "").lower() == (ref.user or "").lower() for request in made)


async def test_a_new_account_is_checked_streamed_and_read_and_the_others_are_untouched() -> None:
    stage = desk(MAKER)
    async with stage:
        await stage.advance(8.0)
        seen, asked, sockets = len(stage.events), asked_of(stage, MAKER), list(stage.sockets.connections)
        stage.connector.set_accounts([MAKER, HEDGER])
        await settle()
        assert asked_of(stage, MAKER) == asked
        await stage.advance(8.0)
        assert stage.status("account", "hedger") is stage.status("userStream", "hedger") is FeedStatus.FRESH
        assert stage.of(KeyState, "hedger")
        assert stage.of(FuturesSnapshot, "hedger")
        assert of_account(stage.events[seen:], "maker") == []
        assert stage.sockets.connections[:-1] == sockets
        assert not any(one.closed for one in stage.sockets.connections)
        described = stage.connector.describe()
        assert described["push_accounts"] == ["maker", "hedger"]
        assert set(described["connections"]) == {"aster market", "aster maker", "aster hedger"}
    assert forbidden(stage) == []


async def test_an_account_that_is_gone_is_dropped_its_stream_closed_and_nothing_asked_or_told_of_it() -> None:
    stage = desk(MAKER, HEDGER)
    async with stage:
        await stage.advance(8.0)
        await stage.push("hedger", account_update(stage.clock.time_ms(), positions=[pushed("ETHUSDT", "1", "3000")]))
        stream, others = stage.user("hedger"), [stage.user("maker"), stage.market()]
        stage.connector.refresh("hedger")
        stream.deliver(orjson.dumps(account_update(stage.clock.time_ms(), balances={"USDT": "1"})))
        stage.connector.set_accounts([MAKER])
        assert dropped(stage, "hedger") == FEEDS
        assert set(stage.connector.describe()["read_periods_s"]) == {"maker"}
        seen, asked = len(stage.events), asked_of(stage, HEDGER)
        await settle()
        assert stream.closed
        assert not any(one.closed for one in others)
        await stage.marks(2.0, BTCUSDT="61000", ETHUSDT="3000")
        assert "aster:ETHUSDT" not in stage.last(MarkPrices).instruments
        await stage.advance(120.0)
        assert of_account(stage.events[seen:], "hedger") == []
        assert asked_of(stage, HEDGER) == asked
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert dropped(stage, "maker") == []
        described = stage.connector.describe()
        assert (described["push_accounts"], described["polled_accounts"], described["waiting_accounts"]) == (["maker"], [], [])
        assert set(described["connections"]) == {"aster market", "aster maker"}
        assert set(described["corrections"]) == {"maker"}
        assert {state.account for state in stage.connector.feed_states()} == {None, "maker"}


async def test_a_late_answer_of_one_that_is_gone_is_told_to_nobody() -> None:
    stage = desk(MAKER, HEDGER)
    async with stage:
        await stage.advance(8.0)
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request = stage.venue.http.request

        async def slow(method: str, url: str, **more: Any) -> Any:
            answer = await request(method, url, **more)
            if "accountWithJoinMargin" in url:
                await late
            return answer

        stage.venue.http.request = slow  # type: ignore[method-assign]
        reads = stage.count("accountWithJoinMargin")
        stage.connector.refresh("hedger")
        await settle()
        assert stage.count("accountWithJoinMargin") == reads + 1
        late.set_result(None)
        stage.connector.set_accounts([MAKER])
        seen = len(stage.events)
        await stage.advance(5.0)
        assert of_account(stage.events[seen:], "hedger") == []


async def test_equal_accounts_are_untouched() -> None:
    stage = desk(MAKER, HEDGER)
    async with stage:
        await stage.advance(8.0)
        tasks, seen, asked = asyncio.all_tasks(), len(stage.events), len(stage.asked)
        key = AgentKey(wire.PRIVATE_KEY)
        stage.connector.set_accounts([replace(HEDGER, credential=key), replace(MAKER, credential=key)])
        await settle()
        assert asyncio.all_tasks() == tasks
        assert (len(stage.events), len(stage.asked), stage.sockets.attempts) == (seen, asked, 3)
        assert stage.connector.describe()["push_accounts"] == ["hedger", "maker"]


@pytest.mark.parametrize(
    "after", [replace(MAKER, allow_unsafe_key=True), replace(MAKER, credential=AgentKey(wire.PRIVATE_KEY, "0x" + "c3" * 20))]
)
async def test_other_content_is_dropped_and_begins_anew(after: AsterAccountRef) -> None:
    stage = desk(MAKER)
    stage.holdings["maker"].agents.append({**wire.agent(), "agentAddress": "0x" + "c3" * 20})
    async with stage:
        await stage.advance(8.0)
        await stage.push("maker", account_update(stage.clock.time_ms(), balances={"USDT": "995.0"}))
        stage.connector.set_priorities({"maker": 0.9})
        await stage.advance(1.0)
        assert stage.connector.describe()["read_periods_s"] == {"maker": 4.0}
        stream, seen = stage.user("maker"), len(stage.events)
        stage.connector.set_accounts([after])
        assert stage.events[seen:] == [FeedDropped("aster", feed, "maker") for feed in FEEDS]
        assert stage.connector.describe()["waiting_accounts"] == ["maker"]
        await stage.advance(8.0)
        assert stream.closed
        assert stage.user("maker") is not stream
        later = of_account(stage.events[seen + len(FEEDS) :], "maker")
        assert FeedStatus.DOWN not in [event.status for event in later if isinstance(event, FeedState)]
        assert any(isinstance(event, KeyState) for event in later), "its key is judged again before anything is asked with it"
        (told,) = [event for event in later if isinstance(event, FuturesSnapshot)]
        assert told.state.assets[0].wallet == 1000.0, "as the venue reads, whatever was pushed before"
        assert stage.connector.describe()["read_periods_s"] == {"maker": 45.0}, "its ratio was the old one's"
        assert stage.status("account", "maker") is FeedStatus.FRESH


@pytest.mark.parametrize(
    "wrong", [replace(HEDGER, alias="maker"), replace(HEDGER, user="0x12"), replace(HEDGER, credential=AgentKey("0x12"))]
)
async def test_accounts_that_cannot_be_leave_all_as_it_was(wrong: AsterAccountRef) -> None:
    stage = desk(MAKER)
    third = replace(MAKER, alias="third", user="0x" + "d4" * 20)
    async with stage:
        await stage.advance(8.0)
        tasks, seen = asyncio.all_tasks(), len(stage.events)
        for wanted in ([MAKER, third, wrong], [third, wrong, wrong]):
            with pytest.raises(ValueError, match="ccount"):
                stage.connector.set_accounts(wanted)
        await settle()
        assert asyncio.all_tasks() == tasks
        assert len(stage.events) == seen
        assert stage.connector.describe()["push_accounts"] == ["maker"]


async def test_from_none_to_one_to_none_to_one() -> None:
    stage = desk()
    async with stage:
        await stage.advance(5.0)
        assert not any(one.tiers for one in stage.last(Instruments).instruments)
        stage.connector.set_accounts([MAKER])
        await stage.advance(8.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert any(one.tiers for one in stage.last(Instruments).instruments), "margin tiers are asked for with its key"
        stage.connector.set_accounts([])
        assert dropped(stage, "maker") == FEEDS
        asked = asked_of(stage, MAKER)
        await stage.marks(60.0, BTCUSDT="61000")
        assert asked_of(stage, MAKER) == asked
        assert [one.closed for one in stage.sockets.connections] == [False, True]
        stage.connector.set_accounts([MAKER])
        await stage.advance(8.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH


async def test_accounts_may_change_before_the_start() -> None:
    stage = desk(HEDGER)
    async with stage:
        await stage.advance(8.0)
        assert {event.account for event in stage.of(FuturesSnapshot)} == {"hedger"}
        assert asked_of(stage, MAKER) == 0


async def test_a_crash_of_a_tender_that_came_later_ends_run() -> None:
    stage = desk(MAKER)
    stage.task = asyncio.create_task(stage.connector.run())
    await stage.advance(8.0)

    async def crash() -> None:
        raise MemoryError("a defect")

    stage.connector.set_accounts([MAKER, HEDGER])
    stage.connector._roster.members["hedger"]._jobs.run = crash  # type: ignore[method-assign]
    await settle()
    with pytest.raises(ExceptionGroup) as caught:
        await stage.task
    assert caught.value.subgroup(MemoryError)
    assert all(connection.closed for connection in stage.sockets.connections)
    stage.connector.set_accounts([])


async def test_over_loopback_sockets() -> None:
    venue = AsterVenue(Market(7, "calm", 60.0, 1_790_000_000_000), demo_plans("calm"), fillers=2, mark_interval=0.2)
    server = AsterServer(venue, autorun=True, tick=0.02)
    await server.start()
    events: list[Event] = []
    http = AiohttpTransport()
    umbra, vela, wren = map(_simulated, ("umbra", "vela", "wren"))
    connector = AsterConnector(
        AsterConfig(server.rest_url, server.ws_url, ip_budget_share=1.0, collateral={"asBNB": "BNB"}),
        [umbra, vela],
        http=http,
        websocket=WebSocketsTransport(ping_interval_s=20.0),
        clock=SystemClock(),
        random=Random(1),
        sink=events.extend,
    )
    running = asyncio.create_task(connector.run())
    try:
        await _until(lambda: _fresh(connector) == {"umbra", "vela"})
        connector.set_accounts([vela, wren])
        gone = len(events)
        await _until(lambda: _fresh(connector) == {"vela", "wren"})
        assert of_account(events[gone:], "umbra") == []
        assert connector.describe()["connections"]["aster vela"].connects == 1
    finally:
        await connector.stop()
        await running
        await http.close()
        await server.stop()
    assert venue.forbidden_requests == venue.listen_key_deletes == 0


def _simulated(alias: str) -> AsterAccountRef:
    own = credentials(alias)
    return AsterAccountRef(alias, own.user, AgentKey(own.private_key))


def _fresh(connector: AsterConnector) -> set[str | None]:
    return {state.account for state in connector.feed_states() if state.feed == "account" and state.status is FeedStatus.FRESH}


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30.0):
        while not is_so():
            await asyncio.sleep(0.02)
