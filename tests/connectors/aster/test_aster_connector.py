"""The whole connector on memory transports: start, streams and polls, resync, keys, failures, budget."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import orjson
import pytest

from connectors.aster.accounts import SUSPICION_S
from connectors.aster.listen_key import LIFE_S
from connectors.aster.rest import PUBLIC
from connectors.aster.settings import AgentKey, AsterAccountRef, HmacKey
from connectors.clock import settle
from connectors.errors import ConnectFailed, Timeout
from connectors.events import (
    AccountFailure,
    AdlQuantiles,
    FailureReason,
    FeedState,
    FeedStatus,
    FuturesSnapshot,
    Instruments,
    KeyState,
    Liquidation,
    MarginCall,
    MarkPrices,
    OrdersSnapshot,
    Source,
    VenueStatus,
)
from connectors.model import FuturesAccount, PositionSide
from connectors.session import ROTATION_OVERLAP_S
from connectors.transport import HttpResponse
from tests.connectors.aster import aster_wire as wire
from tests.connectors.aster.aster_fake import HEDGER, MAKER, Stage, account_update, config_update, forbidden, pushed

NOW = wire.NOW_MS
BTC = "aster:BTCUSDT"
LONG = wire.position("BTCUSDT", "0.5", "60000", updateTime=NOW - 90_000)
HTML = HttpResponse(200, {"content-type": "text/html"}, b"<html><body>Request blocked</body></html>")


def code(number: int, status: int = 400) -> HttpResponse:
    return HttpResponse(status, body=orjson.dumps(wire.error(number)))


def state(stage: Stage, alias: str = "maker") -> FuturesAccount:
    return stage.last(FuturesSnapshot, alias).state


def wallet(stage: Stage) -> float:
    return next(row.wallet for row in state(stage).assets if row.asset == "USDT")


def quantities(stage: Stage) -> dict[tuple[str, PositionSide], float]:
    return {(row.instrument, row.side): row.quantity for row in state(stage).positions}


def asset(amount: str, time_ms: int) -> Any:
    return wire.asset("USDT", amount, updateTime=time_ms)


# -- start --------------------------------------------------------------------------------------------------------------


async def test_start_tells_clock_reference_key_account_orders_and_marks() -> None:
    stage = Stage(MAKER)
    stage.holdings["maker"].positions = [LONG]
    stage.holdings["maker"].orders = [
        {"symbol": "BTCUSDT", "orderId": 5, "side": "BUY", "type": "LIMIT", "origQty": "3", "executedQty": "1", "price": "50000"}
    ]
    async with stage:
        await stage.advance(8.0)
        assert stage.last(VenueStatus).time_ms == NOW
        assert (stage.last(KeyState, "maker").rights, stage.last(KeyState, "maker").warning) == (("read",), "")
        (instruments,) = stage.of(Instruments)
        assert next(one for one in instruments.instruments if one.id == BTC).tiers
        (read,) = stage.of(FuturesSnapshot, "maker")
        assert (read.source, read.state.doubt, wallet(stage)) == (Source.POLL, "", 1000.0)
        assert quantities(stage) == {(BTC, PositionSide.BOTH): 0.5}
        assert read.state.positions[0].reported_liquidation_price == 40_000.0
        assert [order.order_id for order in stage.last(OrdersSnapshot, "maker").orders] == ["5"]
        assert stage.last(AdlQuantiles, "maker").quantiles == {(BTC, PositionSide.BOTH): 2}
        assert stage.last(MarkPrices).marks == [60000.0], "marks from REST, before the first frame"
        assert stage.events.index(instruments) < stage.events.index(read)
        for feed in ("account", "userStream"):
            assert stage.status(feed, "maker") is FeedStatus.FRESH
        assert stage.status("reference") is stage.status("serverTime") is FeedStatus.POLLED
        await stage.marks(2.0, BTCUSDT="61000", ETHUSDT="3000")
        assert stage.last(MarkPrices).instruments == [BTC]
        assert stage.status("markPrice") is FeedStatus.FRESH
    assert forbidden(stage) == []


async def test_nothing_is_asked_with_a_key_before_its_rights_were_read() -> None:
    stage = Stage(MAKER)
    stage.refuse(HttpResponse(503), "agent")
    async with stage:
        await stage.advance(30.0)
        signed = {path for _, _, path in stage.asked} - {"/fapi/v3/time"}
        assert signed == {"/fapi/v3/agent"}
        assert stage.status("account", "maker") is FeedStatus.DOWN
        assert "HTTP 503" in stage.state("account", "maker").detail
        stage.refuse(None)
        await stage.advance(40.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH


async def test_marks_flow_for_what_is_wanted_held_and_collateral() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        await stage.marks(1.0, BTCUSDT="1", ETHUSDT="2", BNBUSDT="3", XAUUSD1="4")
        assert set(stage.last(MarkPrices).instruments) == {BTC, "aster:BNBUSDT"}, "they price BTC and asBNB as collateral"
        stage.connector.set_wanted(["aster:XAUUSD1"])
        await stage.push("maker", account_update(NOW + 5000, positions=[pushed("ETHUSDT", "1", "3000")]))
        await stage.marks(1.0, BTCUSDT="1", ETHUSDT="2", BNBUSDT="3", XAUUSD1="4")
        assert set(stage.last(MarkPrices).instruments) == {BTC, "aster:ETHUSDT", "aster:BNBUSDT", "aster:XAUUSD1"}


async def test_the_machines_clock_may_be_wrong() -> None:
    stage = Stage(MAKER)
    stage.venue.ahead_ms = -30_000
    async with stage:
        await stage.advance(5.0)
        assert stage.connector.describe()["clock_offset_ms"] == -30_000
        assert abs(state(stage).read.began_ms - (NOW - 30_000)) < 2000
        nonces = [int(dict(wire.sent_pairs(request))["nonce"]) for request in stage.venue.asked("/fapi/v3/accountWithJoinMargin")]
        assert all(abs(nonce - (NOW - 30_000) * 1000) < 10_000_000 for nonce in nonces)


# -- the stream ---------------------------------------------------------------------------------------------------------


async def test_pushes_move_the_state_at_once_and_reads_confirm_it() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        at = stage.clock.time_ms()
        await stage.push("maker", account_update(at, balances={"USDT": "995.0"}, positions=[pushed("BTCUSDT", "0.25")]))
        assert stage.last(FuturesSnapshot).source is Source.PUSH
        assert (wallet(stage), quantities(stage)) == (995.0, {(BTC, PositionSide.BOTH): 0.25})
        stage.holdings["maker"].assets = [asset("995.0", at)]
        stage.holdings["maker"].positions = [wire.position("BTCUSDT", "0.25", "60000", updateTime=at)]
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(40.0)
        assert stage.count("accountWithJoinMargin") == reads
        await stage.advance(10.0)
        assert stage.count("accountWithJoinMargin") == reads + 1
        assert (wallet(stage), quantities(stage)) == (995.0, {(BTC, PositionSide.BOTH): 0.25})
        assert stage.connector.describe()["corrections"] == {"maker": 0}


async def test_what_is_pushed_while_the_first_read_runs_is_not_lost() -> None:
    stage = Stage(MAKER)
    body = stage.holdings["maker"].body
    at = NOW + 700

    def while_it_reads(request: object) -> Any:
        # The answer is as old as its request; the fill comes before it arrives.
        answer = body()
        stage.user().deliver(orjson.dumps(account_update(at, balances={"USDT": "900.0"}, positions=[pushed("BTCUSDT", "1")])))
        return answer

    stage.venue.next("GET /fapi/v3/accountWithJoinMargin", while_it_reads)
    async with stage:
        await stage.advance(1.0)
        assert (wallet(stage), quantities(stage)) == (900.0, {(BTC, PositionSide.BOTH): 1.0})
        stage.holdings["maker"].assets = [asset("900.0", at)]
        stage.holdings["maker"].positions = [wire.position("BTCUSDT", "1", "60000", updateTime=at)]
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(4.0)
        assert stage.count("accountWithJoinMargin") == reads + 1, "one more read settles what the two said differently"
        assert (wallet(stage), quantities(stage)) == (900.0, {(BTC, PositionSide.BOTH): 1.0})
        await stage.advance(20.0)
        assert stage.count("accountWithJoinMargin") == reads + 1


async def test_a_lost_stream_is_polled_and_a_new_one_resynced_with_modes() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        stage.sockets.refuse(*[ConnectFailed("fstream.asterdex.com", "refused")] * 1000)
        modes = stage.count("multiAssetsMargin")
        stage.holdings["maker"].assets = [asset("700.0", stage.clock.time_ms())]
        stage.user().lose()
        await settle()
        assert stage.status("account", "maker") is FeedStatus.POLLED
        assert FeedStatus.RESYNCING in {event.status for event in stage.of(FeedState, "maker")[-4:]}
        assert wallet(stage) == 700.0
        assert stage.status("userStream", "maker") is FeedStatus.DOWN
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(20.0)
        assert 4 <= stage.count("accountWithJoinMargin") - reads <= 6
        assert stage.status("account", "maker") is FeedStatus.POLLED
        assert "polled every 4 s" in stage.state("account", "maker").detail
        stage.sockets._script.clear()
        stage.holdings["maker"].assets = [asset("600.0", stage.clock.time_ms())]
        await stage.advance(31.0)
        assert stage.status("account", "maker") is stage.status("userStream", "maker") is FeedStatus.FRESH
        assert wallet(stage) == 600.0
        assert stage.count("multiAssetsMargin") > modes


async def test_a_reconnect_whose_read_fails_is_not_fresh() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        stage.refuse(HttpResponse(503), "accountWithJoinMargin")
        first = stage.user()
        first.lose()
        await stage.advance(5.0)
        assert stage.user() is not first
        assert stage.status("userStream", "maker") is FeedStatus.FRESH
        assert stage.status("account", "maker") is FeedStatus.DOWN
        assert "HTTP 503" in stage.state("account", "maker").detail
        stage.refuse(None)
        await stage.advance(35.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH


async def test_a_mode_changed_while_the_stream_was_away_is_found_though_the_first_question_fails() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        stage.holdings["maker"].multi_assets = True
        stage.refuse(HttpResponse(503), "multiAssetsMargin")
        stage.user().lose()
        await stage.advance(10.0)
        assert stage.status("account", "maker") is not FeedStatus.FRESH
        stage.refuse(None)
        await stage.advance(35.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert state(stage).multi_assets


async def test_connections_are_replaced_before_the_venue_cuts_them() -> None:
    stage = Stage(MAKER, rotate_after_s=(600.0, 700.0), reconcile_s=1000.0)
    async with stage:
        await stage.advance(5.0)
        first, market = stage.user(), stage.market()
        await stage.advance(710.0, step=5.0)
        assert stage.user() is not first
        assert stage.market() is not market
        await stage.advance(ROTATION_OVERLAP_S)
        assert first.closed
        assert market.closed
        assert stage.status("account", "maker") is FeedStatus.FRESH
        told = [event.status for event in stage.of(FeedState, "maker") if event.feed == "account"]
        assert told == [FeedStatus.CONNECTING, FeedStatus.FRESH]
        assert stage.connector.describe()["connections"]["aster maker"].rotations == 1
        await stage.push("maker", account_update(stage.clock.time_ms(), balances={"USDT": "5.0"}))
        assert wallet(stage) == 5.0


async def test_the_listen_key_is_prolonged_and_never_deleted() -> None:
    stage = Stage(MAKER, listen_key_s=1800.0)
    async with stage:
        await stage.advance(5.0)
        await stage.advance(1800.0, step=10.0)
        assert stage.holdings["maker"].keeps == 1
        stage.refuse(HttpResponse(503), "listenKey")
        await stage.advance(1850.0, step=10.0)
        stage.refuse(None)
        await stage.advance(60.0, step=5.0)
        assert stage.holdings["maker"].keeps == 2, "a failure is retried within seconds"
        assert len(stage.users("maker")) == 1
    assert forbidden(stage) == []


async def test_a_listen_key_that_could_not_be_prolonged_in_time_is_replaced() -> None:
    stage = Stage(MAKER, listen_key_s=1800.0)
    async with stage:
        await stage.advance(5.0)
        stage.refuse(HttpResponse(503), "listenKey")
        await stage.advance(LIFE_S - 20.0, step=10.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        await stage.advance(60.0, step=5.0)
        assert stage.status("userStream", "maker") is FeedStatus.DOWN
        assert stage.status("account", "maker") is FeedStatus.POLLED
        stage.refuse(None)
        await stage.advance(40.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH


@pytest.mark.parametrize("how", ["told", "refused"])
async def test_a_lapsed_listen_key_is_made_anew_with_a_new_connection(how: str) -> None:
    stage = Stage(MAKER, listen_key_s=60.0)
    async with stage:
        await stage.advance(5.0)
        first = stage.user()
        stage.holdings["maker"].key += 1
        stage.holdings["maker"].assets = [asset("444.0", stage.clock.time_ms())]
        if how == "told":
            await stage.push("maker", {"e": "listenKeyExpired", "E": NOW})
            await stage.advance(5.0)
        else:
            await stage.advance(70.0)
        assert first.closed
        assert stage.user().url.endswith(stage.holdings["maker"].listen_key)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert wallet(stage) == 444.0


async def test_a_stream_that_died_in_silence_is_found_by_what_reads_correct() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        first = stage.user()
        stage.holdings["maker"].assets = [asset("900.0", stage.clock.time_ms() + 1000)]
        await stage.advance(50.0)
        assert wallet(stage) == 900.0
        assert stage.connector.describe()["corrections"] == {"maker": 1}
        assert stage.user() is first
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(20.0)
        assert stage.count("accountWithJoinMargin") - reads >= 4, "a suspect is read as if it had no stream"
        stage.holdings["maker"].assets = [asset("800.0", stage.clock.time_ms())]
        await stage.advance(12.0)
        assert wallet(stage) == 800.0
        assert stage.user() is not first
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert stage.connector.describe()["connections"]["aster maker"].failures == {"protocol_asked": 1}
        await stage.advance(SUSPICION_S + 60.0, step=5.0)
        assert len(stage.users("maker")) == 2


async def test_orders_are_kept_by_pushes_and_told_at_most_once_a_second() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(6.0)
        told = len(stage.of(OrdersSnapshot))
        for number in range(50):
            await stage.push("maker", wire.order_update(i=number, T=NOW))
        assert len(stage.of(OrdersSnapshot)) - told <= 1
        await stage.advance(2.0)
        assert len(stage.of(OrdersSnapshot)) - told <= 2
        assert len(stage.last(OrdersSnapshot).orders) == 50
        for number in range(49):
            await stage.push("maker", wire.order_update(i=number, X="CANCELED", x="CANCELED"))
        await stage.advance(2.0)
        assert [order.order_id for order in stage.last(OrdersSnapshot).orders] == ["49"]
        await stage.advance(120.0, step=2.0)
        assert stage.last(OrdersSnapshot).orders == (), "the venue lists none"


async def test_changed_orders_are_followed_by_a_read_at_their_own_pace() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        reads = stage.count("accountWithJoinMargin")
        for number in range(40):
            await stage.push("maker", wire.order_update(i=number))
            await stage.advance(0.5)
        assert 3 <= stage.count("accountWithJoinMargin") - reads <= 6


async def test_a_change_of_mode_is_doubted_until_it_was_read() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        stage.holdings["maker"].multi_assets = True
        stage.refuse(HttpResponse(503), "multiAssetsMargin")
        await stage.push("maker", config_update(stage.clock.time_ms(), ai={"j": True, "f": False, "d": False}))
        assert "mode was changed" in state(stage).doubt
        await stage.advance(5.0)
        assert (state(stage).doubt != "", state(stage).multi_assets) == (True, False)
        stage.refuse(None)
        await stage.advance(35.0)
        assert (state(stage).doubt, state(stage).multi_assets) == ("", True)


async def test_liquidations_and_margin_calls_are_told_and_read_after() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        reads = stage.count("accountWithJoinMargin")
        await stage.push("maker", wire.order_update(c="autoclose-7", q="2"))
        assert stage.last(Liquidation).detail == "liquidation of 2 BTCUSDT"
        await stage.advance(1.0)
        assert stage.count("accountWithJoinMargin") == reads + 1
        row = {"s": "BTCUSDT", "ps": "BOTH", "pa": "1", "mt": "CROSSED", "iw": "0", "mp": "1", "up": "-1", "mm": "2"}
        await stage.push("maker", {"e": "MARGIN_CALL", "E": NOW, "p": [row]})
        assert stage.of(MarginCall, "maker")


async def test_an_hour_without_an_event_is_no_fault() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        await stage.advance(3600.0, step=20.0)
        assert {event.status for event in stage.of(FeedState, "maker")} == {FeedStatus.CONNECTING, FeedStatus.FRESH}
        assert len(stage.users("maker")) == 1


# -- keys ---------------------------------------------------------------------------------------------------------------


async def test_a_key_that_could_trade_is_refused_loudly_and_used_for_nothing() -> None:
    stage = Stage(MAKER)
    stage.holdings["maker"].agents = [wire.agent(canPerpTrade=True)]
    async with stage:
        await stage.advance(60.0)
        failure = stage.last(AccountFailure, "maker")
        assert failure.reason is FailureReason.UNSAFE_KEY
        assert "perp trade" in failure.detail
        assert stage.status("account", "maker") is stage.status("userStream", "maker") is FeedStatus.DOWN
        assert stage.of(FuturesSnapshot) == []
        signed = {path for _, _, path in stage.asked} - PUBLIC.keys()
        assert signed == {"/fapi/v3/agent"}
        assert stage.count("agent") <= 4, "it is asked about ever more rarely"
        stage.holdings["maker"].agents = [wire.agent()]
        await stage.advance(300.0, step=2.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert next(one for one in stage.last(Instruments).instruments if one.id == BTC).tiers


async def test_a_key_that_could_trade_is_used_if_the_user_says_so_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(replace(MAKER, allow_unsafe_key=True))
    stage.holdings["maker"].agents = [wire.agent(canWithdraw=True)]
    async with stage:
        await stage.advance(5.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert stage.last(KeyState).rights == ("read", "withdraw")
        assert "read-only agent" in stage.last(KeyState).warning
    assert caplog.text.count("may do more than read") == 1


async def test_a_key_near_its_end_is_warned_of_and_at_its_end_refused(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(MAKER, key_check_s=300.0)
    stage.holdings["maker"].agents = [wire.agent(expires_ms=NOW + 1200_000)]
    async with stage:
        await stage.advance(5.0)
        assert "expires in 0.0 days" in stage.last(KeyState).warning
        await stage.advance(1200.0, step=10.0)
        stage.refuse(code(-2015, 401), "accountWithJoinMargin", "positionRisk", "openOrders", "listenKey", "adlQuantile")
        await stage.advance(120.0)
        failure = stage.last(AccountFailure)
        assert (failure.reason, failure.account) == (FailureReason.KEY_REFUSED, "maker")
        assert "expired" in failure.detail
        assert stage.status("account", "maker") is FeedStatus.DOWN
        stage.holdings["maker"].agents = [wire.agent()]
        stage.refuse(None)
        await stage.advance(320.0, step=2.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
    assert caplog.text.count("expires in 0.0 days") == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (code(-2015, 401), FailureReason.KEY_REFUSED),
        (code(-2014), FailureReason.KEY_REFUSED),
        (code(-1022), FailureReason.KEY_REFUSED),
        (code(-5050), FailureReason.MISSING_ACCOUNT),
        (code(-5000, 404), FailureReason.UNSAFE_KEY),
    ],
)
async def test_a_refused_key_is_a_failure_of_the_account_and_tried_again_rarely(answer: HttpResponse, reason: FailureReason) -> None:
    stage = Stage(MAKER)
    stage.refuse(answer, "agent")
    async with stage:
        await stage.advance(600.0, step=2.0)
        assert {event.reason for event in stage.of(AccountFailure)} == {reason}
        assert stage.count("agent") <= 8
        stage.refuse(None)
        await stage.advance(310.0, step=2.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH


async def test_a_key_without_a_user_stream_is_polled_and_says_so() -> None:
    stage = Stage(MAKER, key_check_s=600.0)
    stage.refuse(code(-2015, 401), "listenKey")
    async with stage:
        await stage.advance(20.0)
        assert stage.status("account", "maker") is FeedStatus.POLLED
        assert stage.status("userStream", "maker") is FeedStatus.DOWN
        assert "refuses account maker a user stream" in stage.state("userStream", "maker").detail
        warning = stage.last(KeyState, "maker").warning
        assert "refuses account maker a user stream, so it is polled" in warning
        assert stage.of(AccountFailure) == []
        await stage.advance(500.0, step=2.0)
        assert stage.count("listenKey", "POST") == 1
        assert stage.status("account", "maker") is FeedStatus.POLLED
        stage.refuse(None)
        await stage.advance(120.0, step=2.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert stage.last(KeyState, "maker").warning == ""


async def test_polled_accounts_read_their_modes_now_and_then() -> None:
    stage = Stage(MAKER)
    stage.refuse(code(-2015, 401), "listenKey")
    async with stage:
        await stage.advance(20.0)
        stage.holdings["maker"].multi_assets = True
        await stage.advance(310.0, step=2.0)
        assert state(stage).multi_assets


async def test_an_hmac_key_is_unsafe_as_nobody_knows_what_it_may_do() -> None:
    stage = Stage(AsterAccountRef("old", None, HmacKey(wire.HMAC_KEY, wire.HMAC_SECRET)))
    async with stage:
        await stage.advance(20.0)
        assert stage.last(AccountFailure).reason is FailureReason.UNSAFE_KEY
        assert not [path for _, _, path in stage.asked if "v3" not in path]
    stage = Stage(wire.OLD)
    async with stage:
        await stage.advance(20.0)
        assert stage.status("account", "old") is FeedStatus.FRESH
        assert "HMAC" in stage.last(KeyState).warning
        stage.refuse(code(-2015, 401), "accountWithJoinMargin", "account", "listenKey")
        stage.user("old").lose()
        await stage.advance(40.0)
        assert stage.last(AccountFailure).reason is FailureReason.KEY_REFUSED
        assert stage.status("account", "old") is FeedStatus.DOWN


# -- failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HTML, "a web page instead of data"),
        (code(-1000, 200), "code -1000"),
        (HttpResponse(503, {}, b"<html>"), "HTTP 503"),
        (Timeout("a request to fapi.asterdex.com", 10.0), "longer than 10 s"),
        (HttpResponse(200, body=b'{"assets":5}'), "wrong_shape"),
        (HttpResponse(200, body=b"{"), "not_json"),
    ],
)
async def test_a_poll_that_fails_takes_the_account_down_with_a_reason_and_recovers(answer: Any, words: str) -> None:
    stage = Stage(MAKER)
    stage.refuse(code(-2015, 401), "listenKey")
    async with stage:
        await stage.advance(10.0)
        stage.refuse(answer, "accountWithJoinMargin")
        await stage.advance(10.0)
        assert stage.status("account", "maker") is FeedStatus.POLLED, "one missed poll is none too many"
        await stage.advance(20.0)
        down = stage.state("account", "maker")
        assert down.status is FeedStatus.DOWN
        assert words in down.detail
        stage.refuse(None)
        await stage.advance(10.0)
        assert stage.status("account", "maker") is FeedStatus.POLLED


async def test_an_account_that_trades_all_the_time_is_read_by_one_answer() -> None:
    stage = Stage(MAKER)
    held = stage.holdings["maker"]
    held.positions = [LONG]
    held.risk = lambda: [wire.risk("BTCUSDT", "0.6")]  # type: ignore[method-assign]
    async with stage:
        await stage.advance(5.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert quantities(stage) == {(BTC, PositionSide.BOTH): 0.5}
        assert state(stage).positions[0].reported_liquidation_price is None


async def test_marks_that_stop_are_said_and_the_connection_replaced() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(3.0)
        await stage.marks(5.0, BTCUSDT="60000")
        market = stage.market()
        await stage.advance(12.0)
        assert stage.status("markPrice") is FeedStatus.STALE
        await stage.advance(12.0)
        assert stage.market() is not market
        await stage.marks(3.0, BTCUSDT="60000")
        assert stage.status("markPrice") is FeedStatus.FRESH
        assert stage.status("account", "maker") is FeedStatus.FRESH


async def test_tiers_that_cannot_be_read_leave_everything_else_and_come_later() -> None:
    stage = Stage(MAKER)
    stage.refuse(HttpResponse(503), "leverageBracket")
    async with stage:
        await stage.advance(10.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert stage.status("reference") is FeedStatus.DOWN
        assert all(not one.tiers for one in stage.last(Instruments).instruments)
        stage.refuse(None)
        await stage.advance(40.0)
        assert any(one.tiers for one in stage.last(Instruments).instruments)
        assert stage.status("reference") is FeedStatus.POLLED
        told = len(stage.of(Instruments))
        stage.refuse(HttpResponse(503), "leverageBracket")
        await stage.advance(3700.0, step=20.0)
        assert len(stage.of(Instruments)) == told, "the tiers known are kept"


async def test_funding_intervals_that_cannot_be_read_keep_no_account_waiting() -> None:
    stage = Stage(MAKER)
    stage.refuse(HttpResponse(503), "fundingInfo")
    async with stage:
        await stage.advance(10.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
        assert stage.status("reference") is FeedStatus.DOWN
        assert all(one.tiers for one in stage.last(Instruments).instruments if one.id == BTC)
        stage.refuse(None)
        await stage.advance(40.0)
        assert next(one for one in stage.last(Instruments).instruments if one.id == BTC).funding_interval_h > 0.0


async def test_reference_data_that_fail_while_they_are_needed_are_not_hammered() -> None:
    stage = Stage(MAKER)
    stage.holdings["maker"].positions = [wire.position("GHOSTUSDT", "1", "5")]
    async with stage:
        await stage.advance(40.0)
        stage.refuse(HttpResponse(503), "exchangeInfo")
        before = stage.count("exchangeInfo")
        await stage.advance(600.0, step=2.0)
        assert 10 <= stage.count("exchangeInfo") - before <= 60


async def test_a_listing_is_found_by_a_position_in_it() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(40.0)
        stage.venue.table["GET /fapi/v3/exchangeInfo"] = lambda request: wire.exchange_info(
            *wire.exchange_info()["symbols"], wire.symbol("NEWUSDT", "NEW")
        )
        await stage.push("maker", account_update(stage.clock.time_ms(), positions=[pushed("NEWUSDT", "1", "5")]))
        await stage.advance(5.0)
        assert "aster:NEWUSDT" in {one.id for one in stage.last(Instruments).instruments}
        assert stage.connector.describe()["reference_stale"] is None


async def test_a_position_in_something_never_listed_costs_little() -> None:
    stage = Stage(MAKER)
    stage.holdings["maker"].positions = [wire.position("GHOSTUSDT", "1", "5")]
    async with stage:
        await stage.advance(5.0)
        before = stage.count("exchangeInfo")
        await stage.advance(1200.0, step=4.0)
        assert stage.count("exchangeInfo") - before <= 8
        assert quantities(stage) == {("aster:GHOSTUSDT", PositionSide.BOTH): 1.0}


async def test_a_refusal_for_too_many_requests_pauses_everything_and_passes() -> None:
    stage = Stage(MAKER)
    stage.refuse(code(-2015, 401), "listenKey")
    async with stage:
        await stage.advance(10.0)
        stage.refuse(HttpResponse(429, body=orjson.dumps(wire.error(-1003))))
        await stage.advance(5.0)
        before = len(stage.asked)
        await stage.advance(4.0)
        assert len(stage.asked) == before
        assert stage.connector.budget.statistics().penalties_total == 1
        stage.refuse(None)
        await stage.advance(30.0)
        assert stage.status("account", "maker") is FeedStatus.POLLED


async def test_a_ban_is_kept_to_the_end() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        until = stage.clock.time_ms() + 100_000
        body = {"code": -1003, "msg": f"Way too many requests; IP banned until {until}."}
        stage.refuse(HttpResponse(418, body=orjson.dumps(body)))
        stage.connector.refresh("maker")
        await stage.advance(2.0)
        stage.refuse(None)
        before = len(stage.asked)
        await stage.advance(95.0)
        assert len(stage.asked) == before
        await stage.advance(45.0)
        assert len(stage.asked) > before
        assert stage.status("account", "maker") is FeedStatus.FRESH


# -- budget and surface -------------------------------------------------------------------------------------------------


async def test_an_account_near_its_limit_is_read_fast() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        stage.connector.set_priorities({"maker": 0.79})
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(30.0)
        assert stage.count("accountWithJoinMargin") - reads <= 1
        stage.connector.set_priorities({"maker": 0.8})
        reads = stage.count("accountWithJoinMargin")
        await stage.advance(40.0)
        assert 9 <= stage.count("accountWithJoinMargin") - reads <= 11
        assert stage.connector.describe()["read_periods_s"] == {"maker": 4.0}


@pytest.mark.parametrize("share", [1.0, 0.25, 0.1])
async def test_requests_stay_within_our_share(share: float) -> None:
    others = [AsterAccountRef(f"a{number}", f"0x{number:040x}", AgentKey(wire.PRIVATE_KEY)) for number in range(1, 7)]
    stage = Stage(MAKER, HEDGER, *others, ip_budget_share=share)
    stage.refuse(code(-2015, 401), "listenKey")
    async with stage:
        await stage.advance(600.0, step=4.0)
        # The clock moved by hand may pass between the paying for a read and its sending.
        assert stage.heaviest_minute() <= 2400 * share + 10
        good = {stage.status("account", alias) for alias in stage.holdings}
        assert good == {FeedStatus.POLLED}
        if share == 0.1:
            assert stage.connector.describe()["poll_period_s"] > 15.0


def crowd(number: int, **config: Any) -> Stage:
    stage = Stage(*(AsterAccountRef(f"a{one}", f"0x{one:040x}", AgentKey(wire.PRIVATE_KEY)) for one in range(1, number + 1)), **config)
    for one, held in enumerate(stage.holdings.values()):
        held.key = one + 1
    return stage


async def test_of_many_accounts_the_first_are_watched_at_once_and_none_is_late_for_ever() -> None:
    stage = crowd(20, ip_budget_share=0.25)
    async with stage:
        await stage.advance(20.0, step=4.0)
        fresh = [alias for alias in stage.holdings if stage.status("account", alias) is FeedStatus.FRESH]
        assert len(fresh) >= 3, "what a few need is not kept waiting by what all want"
        await stage.advance(260.0, step=4.0)
        assert {stage.status("account", alias) for alias in stage.holdings} == {FeedStatus.FRESH}
        settled = len(stage.events)
        await stage.advance(600.0, step=4.0)
        late = [event for event in stage.events[settled:] if isinstance(event, FeedState) and event.status is FeedStatus.STALE]
        assert [event.feed for event in late if event.feed == "account"] == []
        assert stage.count("openOrders") >= 20
        assert all(session.failures.get("timeout", 0) == 0 for session in stage.connector.describe()["connections"].values())


async def test_one_burst_of_refusals_is_one_pause() -> None:
    stage = crowd(8, ip_budget_share=1.0)
    stage.refuse(HttpResponse(429, body=orjson.dumps(wire.error(-1003))), "listenKey")
    async with stage:
        await stage.advance(2.0)
        stage.refuse(None)
        await stage.advance(60.0, step=1.0)
        assert {stage.status("account", alias) for alias in stage.holdings} == {FeedStatus.FRESH}


async def test_refresh_is_immediate_but_debounced() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(10.0)
        reads = stage.count("accountWithJoinMargin")
        for _ in range(50):
            stage.connector.refresh("maker")
        await settle()
        assert stage.count("accountWithJoinMargin") == reads + 1
        for _ in range(8):
            stage.connector.refresh("maker")
            await stage.advance(0.5)
        assert stage.count("accountWithJoinMargin") <= reads + 6
        stage.connector.refresh("nobody")


async def test_no_secret_leaves_the_connector(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        await stage.push("maker", {"code": 2, "msg": wire.LISTEN_KEY}, {"e": wire.USER}, {"stream": wire.LISTEN_KEY, "data": 5})
        stage.user().lose()
        stage.refuse(HttpResponse(500, body=wire.USER.encode()))
        await stage.advance(20.0)
        stage.refuse(code(-2015, 401))
        await stage.advance(20.0)
    told = " ".join(map(repr, stage.events)) + caplog.text + repr(stage.connector.describe()) + repr(MAKER)
    assert "maker" in told
    for secret in wire.SECRETS:
        assert secret.lower()[2:12] not in told.lower()


async def test_stop_ends_run_and_closes_the_connections() -> None:
    stage = Stage(MAKER, HEDGER)
    async with stage:
        await stage.advance(3.0)
    assert len(stage.sockets.connections) == 3
    assert all(connection.closed for connection in stage.sockets.connections)
    await stage.connector.stop()
    await stage.connector.run()


async def test_second_run_is_refused() -> None:
    async with Stage() as stage:
        await settle()
        with pytest.raises(RuntimeError, match="already runs"):
            await stage.connector.run()


async def test_without_accounts_there_are_marks_and_no_tiers() -> None:
    async with Stage() as stage:
        await stage.advance(5.0)
        assert len(stage.sockets.connections) == 1
        assert len(stage.of(Instruments)) == 1
        assert stage.status("reference") is FeedStatus.POLLED
        assert {path for _, _, path in stage.asked} == {
            f"/fapi/v3/{name}" for name in ("time", "exchangeInfo", "fundingInfo", "premiumIndex")
        }


async def test_a_sink_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(MAKER)
    taken = stage.events.extend
    failing = [ValueError(wire.USER)] * 8

    def sink(events: list[Any]) -> None:
        taken(events)
        if failing:
            raise failing.pop()

    stage.connector._sink = sink
    async with stage:
        await stage.advance(60.0)
        assert stage.status("account", "maker") is FeedStatus.FRESH
    assert wire.USER not in caplog.text


async def test_all_states_and_the_description_can_be_asked_for() -> None:
    stage = Stage(MAKER)
    async with stage:
        await stage.advance(5.0)
        states = {(one.feed, one.account): one.status for one in stage.connector.feed_states()}
        assert states == {
            ("markPrice", None): FeedStatus.CONNECTING,
            ("reference", None): FeedStatus.POLLED,
            ("serverTime", None): FeedStatus.POLLED,
            ("account", "maker"): FeedStatus.FRESH,
            ("userStream", "maker"): FeedStatus.FRESH,
        }
        described = stage.connector.describe()
        assert set(described["connections"]) == {"aster market", "aster maker"}
        assert (described["push_accounts"], described["polled_accounts"], described["waiting_accounts"]) == (["maker"], [], [])
        assert described["instruments"] == 7


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (replace(HEDGER, alias="maker"), "two Aster accounts are called maker"),
        (replace(HEDGER, user=wire.USER.upper().replace("0X", "0x")), "maker and hedger have one address"),
        (replace(HEDGER, user="0x12"), "address of account hedger"),
        (replace(HEDGER, user=None), "account hedger has no address"),
        (replace(HEDGER, credential=AgentKey("0x12")), "account hedger: the agent's private key is malformed"),
    ],
)
def test_accounts_that_collide_or_are_malformed_are_refused(second: AsterAccountRef, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stage(MAKER, second)
