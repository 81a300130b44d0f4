"""Accounts that come and go while the connector runs; those that stay notice nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random

import orjson
import pytest

from connectors.clock import SystemClock, settle
from connectors.deribit.connector import DeribitConnector
from connectors.deribit.settings import DeribitAccountRef, DeribitConfig
from connectors.events import Event, FeedDropped, FeedState, FeedStatus, SummarySnapshot
from connectors.simulator.deribit import DeribitServer, credentials, deribit_demo
from connectors.transport import WebSocketsTransport
from tests.connectors.deribit import private_venue as private
from tests.connectors.deribit.deribit_desk import Desk

MAKER = DeribitAccountRef("maker", "maker-id", "a-secret")
HEDGER = DeribitAccountRef("hedger", "hedger-id", "another-secret")


def desk(*watched: DeribitAccountRef) -> Desk:
    """A venue that knows both accounts, of which these are watched from the start; the hedger holds the BTC perpetual."""
    found = Desk(*watched)
    found.positions = {MAKER.client_id: [], HEDGER.client_id: [private.position(private.PERPETUAL, 50.0, 80_000.0)]}
    return found


def of_account(events: list[Event], alias: str) -> list[Event]:
    return [event for event in events if getattr(event, "account", None) == alias]


def told(desk: Desk, alias: str) -> list[FeedStatus]:
    return [state.status for state in desk.of(FeedState) if state.account == alias]


async def test_a_new_account_has_a_connection_and_the_others_are_untouched() -> None:
    async with desk(MAKER) as stage:
        await stage.advance(2.0)
        seen, sockets, frames = len(stage.events), list(stage.sockets.connections), len(stage.account("maker-id").sent)
        stage.connector.set_accounts([MAKER, HEDGER])
        await stage.advance(2.0)
        assert told(stage, "hedger")[-1] is FeedStatus.FRESH
        assert any(event.account == "hedger" for event in stage.of(SummarySnapshot))
        assert of_account(stage.events[seen:], "maker") == []
        assert len(stage.account("maker-id").sent) == frames
        assert stage.sockets.connections[:-1] == sockets
        assert not any(one.closed for one in stage.sockets.connections)
        assert any("BTC-PERPETUAL" in channel for channel in stage.venue.subscribed), "what it holds is wanted of the market"
        assert set(stage.connector.describe()["connections"]) == {"deribit market", "deribit maker", "deribit hedger"}


async def test_an_account_that_is_gone_is_dropped_its_socket_closed_and_nothing_told_of_it() -> None:
    async with desk(MAKER, HEDGER) as stage:
        await stage.advance(4.0)
        assert any("BTC-PERPETUAL" in channel for channel in stage.venue.subscribed)
        gone, others = stage.account("hedger-id"), [stage.account("maker-id"), stage.market()]
        summary = {"channel": "user.portfolio.any", "data": private.summary(equity=1.0)}
        stage.connector.refresh("hedger")
        gone.deliver(orjson.dumps({"jsonrpc": "2.0", "method": "subscription", "params": summary}))
        stage.connector.set_accounts([MAKER])
        assert stage.of(FeedDropped) == [FeedDropped("deribit", "account", "hedger")]
        seen = len(stage.events)
        await settle()
        assert gone.closed
        frames = len(gone.sent)
        await stage.advance(2.0)
        assert not any("BTC-PERPETUAL" in channel for channel in stage.venue.subscribed)
        await stage.advance(60.0)
        assert of_account(stage.events[seen:], "hedger") == []
        assert len(gone.sent) == frames
        assert not any(one.closed for one in others)
        assert told(stage, "maker")[-1] is FeedStatus.FRESH
        assert set(stage.connector.describe()["connections"]) == {"deribit market", "deribit maker"}
        assert {state.account for state in stage.connector.feed_states()} == {None, "maker"}


async def test_equal_accounts_are_untouched() -> None:
    async with desk(MAKER, HEDGER) as stage:
        await stage.advance(2.0)
        tasks, seen, frames = asyncio.all_tasks(), len(stage.events), [len(one.sent) for one in stage.sockets.connections]
        stage.connector.set_accounts([replace(HEDGER), replace(MAKER)])
        await settle()
        assert asyncio.all_tasks() == tasks
        assert len(stage.events) == seen
        assert [len(one.sent) for one in stage.sockets.connections] == frames


@pytest.mark.parametrize("after", [replace(MAKER, client_secret="new"), replace(MAKER, allow_unsafe_key=True)])
async def test_other_content_is_dropped_and_begins_anew(after: DeribitAccountRef) -> None:
    async with desk(MAKER) as stage:
        await stage.advance(2.0)
        before, seen = stage.account("maker-id"), len(stage.events)
        stage.positions[MAKER.client_id] = [private.position(private.PERPETUAL, 50.0, 80_000.0)]
        stage.connector.set_accounts([after])
        assert stage.events[seen:] == [FeedDropped("deribit", "account", "maker")]
        await stage.advance(2.0)
        assert before.closed
        assert stage.account("maker-id") is not before
        assert after.client_secret.encode() in b"".join(stage.account("maker-id").sent)
        later = of_account(stage.events[seen + 1 :], "maker")
        assert [event.status for event in later if isinstance(event, FeedState)] == [FeedStatus.CONNECTING, FeedStatus.FRESH]
        assert all(event.state.positions for event in later if isinstance(event, SummarySnapshot)), "no state of the one before"


@pytest.mark.parametrize(
    "wrong", [replace(HEDGER, alias="maker"), replace(HEDGER, client_id="maker-id"), replace(HEDGER, client_secret="")]
)
async def test_accounts_that_cannot_be_leave_all_as_it_was(wrong: DeribitAccountRef) -> None:
    async with desk(MAKER) as stage:
        await stage.advance(2.0)
        tasks, seen = asyncio.all_tasks(), len(stage.events)
        with pytest.raises(ValueError, match="account"):
            stage.connector.set_accounts([MAKER, wrong])
        await settle()
        assert asyncio.all_tasks() == tasks
        assert len(stage.events) == seen


async def test_from_none_to_one_to_none_to_one() -> None:
    async with desk() as stage:
        await stage.advance(2.0)
        for round_ in range(2):
            stage.connector.set_accounts([MAKER])
            await stage.advance(2.0)
            assert told(stage, "maker")[-1] is FeedStatus.FRESH
            stage.connector.set_accounts([])
            await settle()
            assert len(stage.of(FeedDropped)) == round_ + 1
        assert [one.closed for one in stage.sockets.connections] == [False, True, True]


async def test_accounts_may_change_before_the_start() -> None:
    stage = desk(MAKER)
    stage.connector.set_accounts([HEDGER])
    async with stage:
        await stage.advance(2.0)
        assert {event.account for event in stage.of(SummarySnapshot)} == {"hedger"}
        assert len(stage.sockets.connections) == 2


async def test_a_crash_of_an_account_that_came_later_ends_run() -> None:
    stage = desk(MAKER)
    stage.task = asyncio.create_task(stage.connector.run())
    await stage.advance(2.0)

    async def crash() -> None:
        raise MemoryError("a defect")

    stage.connector.set_accounts([MAKER, HEDGER])
    stage.connector._roster.members["hedger"].session.run = crash  # type: ignore[method-assign]
    await settle()
    with pytest.raises(MemoryError, match="a defect"):
        await stage.task
    assert all(one.closed for one in stage.sockets.connections)
    stage.connector.set_accounts([])


async def test_over_a_socket() -> None:
    server = DeribitServer(deribit_demo(60.0, interval=0.1, strikes=6), autorun=True, tick=0.05)
    await server.start()
    events: list[Event] = []
    noctua, strix = (DeribitAccountRef(alias, *_credentials(alias)) for alias in ("noctua", "strix"))
    config = DeribitConfig(ws_url=server.ws_url)
    connector = DeribitConnector(
        config, [noctua], websocket=WebSocketsTransport(), clock=SystemClock(), random=Random(3), sink=events.extend
    )
    running = asyncio.create_task(connector.run())
    try:
        await _until(lambda: _read(events) == {"noctua"})
        connector.set_accounts([noctua, strix])
        await _until(lambda: _read(events) == {"noctua", "strix"})
        connector.set_accounts([strix])
        gone = len(events)
        connector.refresh("strix")
        await _until(lambda: "strix" in _read(events[gone:]))
        assert of_account(events[gone:], "noctua") == []
        assert connector.describe()["connections"]["deribit strix"].connects == 1
    finally:
        await connector.stop()
        await running
        await server.stop()


def _credentials(alias: str) -> tuple[str, str]:
    own = credentials(alias)
    return own.client_id, own.client_secret


def _read(events: list[Event]) -> set[str]:
    return {event.account for event in events if isinstance(event, SummarySnapshot)}


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20.0):
        while not is_so():
            await asyncio.sleep(0.02)
