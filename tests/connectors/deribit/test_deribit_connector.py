"""The connector on in-memory sockets: one connection for the market, one for each account, wishes of both, death and return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from connectors.clock import settle
from connectors.deribit.settings import DeribitAccountRef, checked
from connectors.events import FeedState, FeedStatus, Instruments, Source, SummarySnapshot, Volatilities
from connectors.model import ListedPosition, SummaryAccount
from tests.connectors.deribit import deribit_wire as wire
from tests.connectors.deribit.deribit_desk import Desk

REF = DeribitAccountRef("maker", "an-id", "a-secret")
CHAIN = "markprice.options.btc_usd"


async def test_from_connecting_to_a_whole_chain() -> None:
    async with Desk(coins=("BTC",)) as desk:
        await desk.advance(3.0)
        assert CHAIN in desk.venue.subscribed
        rows = [{"instrument_name": row["instrument_name"], "iv": 0.4} for row in desk.venue.rows if row["price_index"] == "btc_usd"]
        await desk.push(CHAIN, rows[:-2])
        assert desk.of(Volatilities)[-1].full
        assert desk.status(CHAIN) is FeedStatus.FRESH
        assert desk.of(Instruments)
        described = desk.connector.describe()
        assert described["coins"] == ["BTC"]
        assert described["chains"]["btc_usd"]["options"] == 24
        assert described["connections"]["deribit market"].connected


async def test_a_test_request_is_answered_without_waiting_for_a_tick() -> None:
    async with Desk() as desk:
        await desk.advance(1.0)
        before = len(desk.market().sent)
        desk.market().deliver(b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}')
        await settle()
        (frame,) = desk.market().sent[before:]
        assert orjson.loads(frame)["method"] == "public/test"


async def test_a_dead_socket_is_replaced_and_everything_is_asked_for_again() -> None:
    async with Desk(coins=("BTC",), index_stale_s=60.0, chain_stale_s=60.0) as desk:
        await desk.advance(2.0)
        desk.venue.subscribed.clear()
        first = desk.market()
        # Nothing is answered any more, heartbeats neither.
        await desk.clock.advance(33.0)
        assert first.closed
        assert FeedStatus.DOWN in [state.status for state in desk.of(FeedState) if state.feed == "platform_state"]
        await desk.clock.advance(2.0)
        await desk.advance(2.0)
        assert desk.market() is not first
        assert CHAIN in desk.venue.subscribed
        assert desk.connector.market_session.statistics.failures == {"no_pong": 1}


async def test_too_many_requests_ends_the_connection_and_slows_us_down() -> None:
    async with Desk() as desk:
        await desk.advance(1.0)
        desk.venue.faults["public/get_instruments"] = lambda params: {"error": {"code": 10028, "message": "too_many_requests"}}
        desk.connector.watch_coins(["BTC"])
        await desk.advance(10.0)
        assert desk.connector.market_session.statistics.failures == {"protocol_asked": len(desk.sockets.connections) - 1}
        assert 2 <= len(desk.sockets.connections) <= 6
        del desk.venue.faults["public/get_instruments"]
        await desk.advance(90.0)
        assert desk.of(Instruments)


async def test_what_accounts_hold_is_wanted_of_the_market() -> None:
    async with Desk(REF) as desk:
        await desk.advance(1.0)
        position = ListedPosition("deribit:BTC-25DEC26-80000-P", 1.0, 0.05, 0.05, 80_000.0)
        state = SummaryAccount((), (position,), wire.NOW_MS)
        desk.connector._emit([SummarySnapshot("deribit", "maker", 1, Source.POLL, state)])
        await desk.advance(4.0)
        assert CHAIN in desk.venue.subscribed
        assert any(channel.startswith("ticker.BTC-25DEC26-") for channel in desk.venue.subscribed)
        assert desk.of(SummarySnapshot)


async def test_wishes_of_the_monitor_add_up() -> None:
    async with Desk(coins=("BTC",)) as desk:
        desk.connector.watch_coins(["HYPE"])
        desk.connector.watch_expiries([("BTC", "BTC", wire.SOON)])
        desk.connector.set_wanted(["deribit:BTC-PERPETUAL"])
        desk.connector.set_priorities({"maker": 0.9})
        desk.connector.refresh("nobody")
        await desk.advance(4.0)
        assert {CHAIN, "markprice.options.hype_usdc", "ticker.BTC-PERPETUAL.100ms"} <= desk.venue.subscribed
        assert any(channel.startswith("ticker.BTC-SOON-") for channel in desk.venue.subscribed)


async def test_each_account_has_a_connection_of_its_own() -> None:
    async with Desk(REF, DeribitAccountRef("hedger", "another-id", "another-secret")) as desk:
        await desk.advance(1.0)
        assert len(desk.sockets.connections) == 3
        assert {state.account for state in desk.connector.feed_states()} == {None, "maker", "hedger"}
        assert b"a-secret" not in b"".join(desk.market().sent)
        assert "a-secret" not in repr(desk.connector.describe())


async def test_a_connector_runs_once_and_stops_at_any_time() -> None:
    desk = Desk()
    async with desk:
        with pytest.raises(RuntimeError, match="already runs"):
            await desk.connector.run()
    await desk.connector.stop()
    await desk.connector.run()


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(ValueError, match=words) as caught:
        yield
    assert "secret" not in str(caught.value).replace("client_secret", "")


def test_accounts_that_cannot_be_are_refused_by_alias() -> None:
    with refused("two Deribit accounts are called maker"):
        checked([REF, DeribitAccountRef("maker", "another-id", "a-secret")])
    with refused("maker and hedger have one key"):
        checked([REF, DeribitAccountRef("hedger", "an-id", "a-secret")])
    with refused("maker has no client_id"):
        checked([DeribitAccountRef("maker", "", "a-secret")])
    assert checked([REF]) == [REF]
