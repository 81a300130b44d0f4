"""What the connector tells for resolvers: outcome markets and mids, daily closes, turnover; and that none of it costs a page."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest

from connectors.clock import ManualClock, settle
from connectors.errors import Timeout
from connectors.events import (
    AccountSnapshot,
    DailyCloses,
    FeedState,
    FeedStatus,
    OutcomeMarkets,
    OutcomePrices,
    ParseError,
    Volumes,
)
from connectors.hyperliquid.messages import parse_candles
from connectors.hyperliquid.rest import weight_of
from connectors.memory import MemoryConnection
from connectors.transport import HttpResponse
from tests.connectors.hyperliquid import hyperliquid_wire as wire
from tests.connectors.hyperliquid.hyperliquid_fake import HEDGER, MAKER, THIRD, Stage, subscriptions

DAY_MS = wire.DAY_MS
VENUE_MS = 1_790_000_000_123
"""The venue's time as the played venue states it."""


def with_eth(stage: Stage) -> Stage:
    universe = [*wire.MAIN_META["universe"], {"szDecimals": 2, "name": "ETH", "maxLeverage": 25, "marginTableId": 25}]
    stage.answers.metas = [{**wire.MAIN_META, "universe": universe}, *stage.answers.metas[1:]]
    return stage


async def lively(stage: Stage, market: MemoryConnection, seconds: float, step: float = 1.0) -> None:
    """Let time pass with everything on the connection alive but mids and turnover."""
    for _ in range(round(seconds / step)):
        for request in wire.requests(subscriptions(market)):
            market.deliver(wire.acknowledgement(request))
            if "coin" in request:
                market.deliver(wire.frame("activeSpotAssetCtx", {"coin": request["coin"], "ctx": {"markPx": "20.0"}}))
        market.deliver(wire.frame("allDexsAssetCtxs", {"ctxs": []}))
        market.deliver(wire.frame("fastAssetCtxs", wire.packed({})))
        market.deliver(b'{"channel":"pong"}')
        await stage.advance(step)


def asks_for_mids(stage: Stage) -> bool:
    frames = [orjson.loads(one) for one in subscriptions(stage.connection("allDexsAssetCtxs"))]
    said = [one["method"] for one in frames if one["subscription"]["type"] == "allMids"]
    return said[-1:] == ["subscribe"]


# -- outcomes -----------------------------------------------------------------------------------------------------------


async def test_outcomes_are_told_when_loaded_and_with_every_change() -> None:
    stage = Stage()
    stage.answers.outcomes = {"outcomes": [wire.binary(1025)], "questions": [wire.buckets(168, [30, 31, 32])]}
    async with stage:
        await stage.advance(12.0)
        (told,) = stage.of(OutcomeMarkets)
        assert [market.outcome for market in told.markets] == [30, 31, 32, 1025]
        assert stage.status("outcomeMeta") is FeedStatus.POLLED
        market = stage.connection("outcomeMetaUpdates")
        await stage.play(market)
        assert stage.status("outcomeMetaUpdates") is FeedStatus.FRESH, "its acknowledgement proves it alive"
        market.deliver(wire.updates_frame({"outcomeCreated": wire.binary(1026)}, {"outcomeSettled": 1025}))
        market.deliver(wire.updates_frame({"outcomeSettled": 7}))
        market.deliver(wire.updates_frame({"questionSettled": 168}))
        await settle()
        assert [[one.outcome for one in event.markets] for event in stage.of(OutcomeMarkets)[1:]] == [[30, 31, 32, 1026], [1026]]
        assert stage.connector.describe()["outcomes"] == 1


async def test_no_outcomes_are_told_too() -> None:
    async with Stage() as stage:
        await stage.advance(12.0)
        assert stage.last(OutcomeMarkets).markets == ()
        assert not asks_for_mids(stage)


async def test_outcomes_are_loaded_again_after_a_new_connection_and_now_and_then() -> None:
    stage = Stage()
    async with stage:
        await stage.advance(12.0)
        assert stage.answers.count("outcomeMeta") == 1
        stage.connection("allDexsAssetCtxs").lose()
        await stage.advance(3.0)
        await lively(stage, stage.connection("allDexsAssetCtxs"), 42.0)
        assert stage.answers.count("outcomeMeta") == 2
        stage.answers.outcomes = {"outcomes": [wire.binary(1025)]}
        market = stage.connection("allDexsAssetCtxs")
        await lively(stage, market, 540.0, step=5.0)
        assert stage.answers.count("outcomeMeta") == 2
        await lively(stage, market, 120.0, step=5.0)
        assert stage.answers.count("outcomeMeta") == 3
        assert [market.outcome for market in stage.last(OutcomeMarkets).markets] == [1025]


async def test_outcomes_that_cannot_be_loaded_are_down_and_cost_little() -> None:
    stage = Stage(MAKER)
    stage.answers.outcomes = {"outcomes": "none"}
    async with stage:
        await stage.advance(1200.0, step=5.0)
        assert stage.status("outcomeMeta") is FeedStatus.DOWN
        assert stage.of(OutcomeMarkets) == []
        assert 2 <= stage.answers.count("outcomeMeta") <= 12
        assert stage.connector.describe()["failures"]["outcomeMeta:wrong_shape"] == stage.answers.count("outcomeMeta")
        assert stage.statuses("maker") <= {FeedStatus.POLLED, FeedStatus.CONNECTING}


async def test_an_outcome_that_makes_no_sense_is_a_parse_error() -> None:
    stage = Stage()
    stage.answers.outcomes = {"outcomes": [wire.binary(1025, target="?"), wire.binary(1026)]}
    async with stage:
        await stage.advance(12.0)
        (problem,) = stage.of(ParseError)
        assert (problem.feed, problem.kind, problem.detail) == ("outcomeMeta", "wrong_shape", "outcome 1025.targetPrice")
        assert len(stage.last(OutcomeMarkets).markets) == 1


async def test_mids_are_subscribed_to_while_an_outcome_of_a_watched_coin_is_open() -> None:
    stage = Stage()
    stage.answers.outcomes = {"outcomes": [wire.binary(1025)]}
    async with stage:
        await stage.advance(12.0)
        assert asks_for_mids(stage)
        market = stage.connection("allMids")
        market.deliver(wire.mids_frame(BTC="64000.5", o10250="0.879215", o10251="0.120785", o10260="0.5"))
        await settle()
        prices = stage.last(OutcomePrices)
        assert (prices.feed, prices.prices) == ("allMids", {(1025, 0): 0.879215, (1025, 1): 0.120785})
        assert stage.status("allMids") is FeedStatus.FRESH
        market.deliver(wire.mids_frame(o10250="1.5", o10251="0.2"))
        await settle()
        assert (stage.last(OutcomePrices).prices, stage.last(ParseError).detail) == ({(1025, 1): 0.2}, "allMids.#10250")
        stage.connector.watch_coins(["ETH"])
        await stage.advance(2.0)
        assert not asks_for_mids(stage)
        stage.connector.watch_coins(["ETH", "BTC"])
        await stage.advance(2.0)
        assert asks_for_mids(stage)
        market.deliver(wire.updates_frame({"outcomeSettled": 1025}))
        await stage.advance(2.0)
        assert not asks_for_mids(stage)


async def test_mids_are_subscribed_to_for_an_outcome_that_an_account_holds() -> None:
    stage = Stage(MAKER, watched_coins=())
    stage.answers.outcomes = {"outcomes": [wire.binary(1025)]}
    wallet = wire.spot_state()
    stage.answers.wallets[wire.MAKER] = wallet
    async with stage:
        await stage.advance(15.0)
        assert not asks_for_mids(stage)
        wallet["balances"].append({"coin": "+10251", "total": "500.0", "hold": "0.0", "entryNtl": "60.0"})
        await stage.advance(15.0)
        assert asks_for_mids(stage)
        assert any(balance.asset == "+10251" for balance in stage.last(AccountSnapshot, "maker").wallet.balances)  # type: ignore[union-attr]


async def test_mids_that_stop_are_stale_but_never_cost_the_marks_their_connection() -> None:
    stage = Stage()
    stage.answers.outcomes = {"outcomes": [wire.binary(1025)]}
    async with stage:
        await stage.advance(12.0)
        market = stage.connection("allMids")
        market.deliver(wire.mids_frame(o10250="0.5"))
        await lively(stage, market, 400.0)
        assert stage.status("allMids") is FeedStatus.STALE
        assert stage.status("allDexsAssetCtxs") is FeedStatus.FRESH
        assert len(stage.sockets.connections) == 1
        asked = [request for request in wire.requests(subscriptions(market)) if request["type"] == "allMids"]
        assert 2 < len(asked) <= 6, "asked for again, ever more rarely"
        market.deliver(wire.mids_frame(o10250="0.5"))
        await settle()
        assert stage.status("allMids") is FeedStatus.FRESH


# -- closes -------------------------------------------------------------------------------------------------------------


async def test_closes_of_the_watched_coins_come_one_after_the_other_without_the_running_day() -> None:
    stage = with_eth(Stage())
    async with stage:
        await stage.advance(60.0)
        told = stage.of(DailyCloses)
        assert [event.instrument for event in told] == ["hyperliquid:BTC", "hyperliquid:ETH"], "SOL and HYPE are not listed here"
        for event in told:
            assert len(event.times_ms) == len(event.closes) == 30
            assert event.closes == tuple(sorted(event.closes))
            assert event.times_ms[-1] == VENUE_MS // DAY_MS * DAY_MS - 1
            assert {later - sooner for sooner, later in pairwise(event.times_ms)} == {DAY_MS}
        asked = [body["req"] for _, body in stage.answers.asked if body["type"] == "candleSnapshot"]
        assert [(request["coin"], request["interval"]) for request in asked] == [("BTC", "1d"), ("ETH", "1d")]


def before_midnight(**config: Any) -> Stage:
    """A stage two minutes before the UTC day ends, on a venue whose clock is ours."""
    stage = with_eth(Stage(clock=ManualClock(time_ms=20_000 * DAY_MS - 120_000), **config))
    stage.answers._answers["exchangeStatus"] = lambda body: {"time": stage.clock.time_ms(), "specialStatuses": None}
    return stage


async def test_closes_come_again_after_midnight() -> None:
    stage = before_midnight(watched_coins=("BTC",))
    async with stage:
        await stage.advance(110.0, step=2.0)
        (before,) = stage.of(DailyCloses)
        await stage.advance(60.0, step=2.0)
        assert len(stage.of(DailyCloses)) == 1
        await stage.advance(660.0, step=2.0)
        before, after = stage.of(DailyCloses)
        assert (before.times_ms[-1], after.times_ms[-1]) == (19_999 * DAY_MS - 1, 20_000 * DAY_MS - 1)
        assert before.times_ms[1:] == after.times_ms[:-1]


async def test_coins_that_are_watched_later_come_at_once_and_others_no_more() -> None:
    stage = before_midnight(watched_coins=("BTC",))
    async with stage:
        await stage.advance(12.0)
        stage.connector.watch_coins(["ETH", "PEPE", "ATOM", "MATIC"])
        await stage.advance(90.0)
        assert [event.instrument for event in stage.of(DailyCloses)] == [
            "hyperliquid:BTC",
            "hyperliquid:ATOM",
            "hyperliquid:ETH",
            "hyperliquid:kPEPE",
        ], "MATIC is delisted"
        stage.connector.watch_coins(["ETH"])
        await stage.advance(760.0, step=2.0)
        assert {event.instrument for event in stage.of(DailyCloses)[4:]} == {"hyperliquid:ETH"}


async def test_closes_that_fail_are_tried_again_and_keep_nobody_else() -> None:
    stage = with_eth(Stage())
    answer = stage.answers._answers["candleSnapshot"]
    broken = True

    def candles(body: dict[str, Any]) -> Any:
        return "nothing" if broken and body["req"]["coin"] == "BTC" else answer(body)

    stage.answers._answers["candleSnapshot"] = candles
    async with stage:
        await stage.advance(30.0)
        assert [event.instrument for event in stage.of(DailyCloses)] == ["hyperliquid:ETH"]
        assert stage.connector.describe()["failures"] == {"candleSnapshot BTC:wrong_shape": 1}
        broken = False
        await stage.advance(200.0, step=2.0)
        assert stage.last(DailyCloses).instrument == "hyperliquid:BTC"


@pytest.mark.parametrize(
    "rows",
    [
        [{"T": 1, "c": "0"}],
        [{"T": 1, "c": "-1"}],
        [{"T": 1, "c": "1"}, {"T": 1, "c": "2"}],
        [{"T": "1", "c": "1"}],
        [{"c": "1"}],
        ["row"],
        {},
    ],
)
def test_candles_that_make_no_sense_are_refused(rows: Any) -> None:
    with pytest.raises(Exception, match=r"wrong_shape|candleSnapshot"):
        parse_candles(rows, 10)


def test_candles_are_sorted_and_the_running_one_left_out() -> None:
    rows = [{"T": 20, "c": "2.5"}, {"T": 10, "c": "1.5"}, {"T": 30, "c": "3.5"}]
    assert parse_candles(rows, 30) == ((10, 20), (1.5, 2.5))
    assert parse_candles([], 30) == ((), ())


# -- turnover -----------------------------------------------------------------------------------------------------------


def busy_contexts(volume: Any) -> bytes:
    rows = wire.contexts()
    rows[1][1][0]["dayNtlVlm"] = volume
    return wire.frame("allDexsAssetCtxs", {"ctxs": rows})


async def test_turnover_of_held_and_wanted_instruments_is_told_once_a_minute() -> None:
    stage = Stage()
    stage.connector.set_wanted(["hyperliquid:BTC"])
    async with stage:
        await stage.advance(3.0)
        market = stage.connection("allDexsAssetCtxs")
        for number in range(130):
            market.deliver(busy_contexts(f"{1000 + number}.5"))
            await lively(stage, market, 1.0)
        assert [event.volumes for event in stage.of(Volumes)] == [{"hyperliquid:BTC": at + 0.5} for at in (1000, 1060, 1120)]
        stage.connector.set_wanted(["hyperliquid:BTC", "hyperliquid:xyz:CL"])
        market.deliver(busy_contexts("7.0"))
        await settle()
        assert stage.last(Volumes).volumes == {"hyperliquid:xyz:CL": 1.0}, "what is new does not wait for its minute"
        assert stage.last(Volumes).feed == "allDexsAssetCtxs"


@pytest.mark.parametrize(("volume", "problems"), [(None, 0), ("much", 1)])
async def test_turnover_that_is_missing_or_makes_no_sense_costs_no_mark(volume: Any, problems: int) -> None:
    stage = Stage()
    stage.connector.set_wanted(["hyperliquid:BTC"])
    async with stage:
        await stage.advance(3.0)
        for _ in range(5):
            stage.connection("allDexsAssetCtxs").deliver(busy_contexts(volume))
            await stage.advance(1.0)
        assert stage.of(Volumes) == []
        assert len(stage.of(ParseError)) == problems
        assert stage.status("allDexsAssetCtxs") is FeedStatus.FRESH


# -- budget -------------------------------------------------------------------------------------------------------------


async def test_accounts_are_read_before_anything_of_this() -> None:
    stage = with_eth(Stage(MAKER, HEDGER, THIRD, ip_budget_share=0.4))
    async with stage:
        await stage.advance(200.0, step=1.0)
        kinds = [body["type"] for _, body in stage.answers.asked]
        first = min(kinds.index("candleSnapshot"), kinds.index("outcomeMeta"))
        assert kinds[:first].count("spotClearinghouseState") >= 3, "every account was read before"
        assert stage.answers.heaviest_minute() <= 1200 * 0.4


async def test_a_busy_budget_is_left_to_the_accounts() -> None:
    stage = with_eth(Stage(MAKER, HEDGER, THIRD, ip_budget_share=0.4))
    async with stage:
        await stage.advance(600.0, step=2.0)
        window = 60_000_000_000
        ours = [at for at, body in stage.answers.asked if body["type"] in ("candleSnapshot", "outcomeMeta")]
        assert len(ours) >= 3
        for at in ours:
            spent = sum(weight_of(one["type"]) for then, one in stage.answers.asked if at - window < then <= at)
            assert spent <= 0.75 * 480, "it went out while others needed the room"
        assert min(later - sooner for sooner, later in pairwise(ours)) >= 24e9
        assert {state.status for state in stage.of(FeedState) if state.account}.isdisjoint({FeedStatus.STALE})
        assert stage.answers.heaviest_minute() <= 480


async def test_a_refusal_for_too_many_requests_pauses_these_too() -> None:
    stage = Stage(clock=ManualClock())
    async with stage:
        await stage.advance(9.0)
        stage.answers.failures = [HttpResponse(429, {"retry-after": "50"}, b"null")]
        await stage.advance(45.0)
        assert [body["type"] for _, body in stage.answers.asked].count("candleSnapshot") == 1, "the refused one"
        await stage.advance(400.0, step=2.0)
        assert stage.of(DailyCloses)
        assert stage.of(OutcomeMarkets)


async def test_an_answer_that_never_comes_is_given_up() -> None:
    stage = Stage()

    async with stage:
        await stage.advance(9.0)
        stage.answers.failures = [Timeout("candleSnapshot", 10.0), TimeoutError()]
        await stage.advance(400.0, step=2.0)
        assert stage.of(DailyCloses)
        assert orjson.dumps(stage.connector.describe()["failures"])
