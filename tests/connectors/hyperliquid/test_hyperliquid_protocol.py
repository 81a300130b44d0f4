"""The WebSocket protocol over frames, without a socket: subscriptions, answers, freshness, feeds, and mutated frames."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events import (
    AccountChanged,
    CashFlow,
    Event,
    FeedState,
    FeedStatus,
    Fill,
    Liquidation,
    MarkPrices,
    ModeReport,
    OrdersSnapshot,
    ParseError,
    SectionsSnapshot,
    Source,
    SpotPrices,
    WalletSnapshot,
)
from connectors.hyperliquid.ledger import Watched
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.protocol import PING, HyperliquidProtocol
from connectors.hyperliquid.reference import Reference
from connectors.hyperliquid.settings import FeedLimits
from tests.connectors.hyperliquid import hyperliquid_wire as wire

T = TypeVar("T")

SECOND = 1_000_000_000
MAKER = Watched("maker", wire.MAKER)
HEDGER = Watched("hedger", wire.HEDGER.lower())
HELD = ("hyperliquid:BTC", "hyperliquid:xyz:CL")


class Bench:
    """A protocol with a clock: `say` feeds a frame, `wait` passes time tick by tick and keeps what was told and sent."""

    def __init__(self, *accounts: Watched, market: bool = False, limits: FeedLimits | None = None) -> None:
        self.now = 1000 * SECOND
        self.shared = SharedReference(("HYPE",))
        self.shared.replace(wire.reference())
        self.shared.want(HELD)
        self.full: list[str] = []
        self.memory = Memory()
        self.protocol = HyperliquidProtocol(self.shared, self.memory, limits or FeedLimits(), on_full=self.full.append)
        self.told: dict[tuple[str, str | None], FeedStatus] = {}
        self.details: dict[tuple[str, str | None], str] = {}
        if market:
            self.protocol.watch_market(self.now, fast=True)
        for account in accounts:
            self.protocol.watch(account, (), self.now)

    def open(self) -> list[dict[str, Any]]:
        frames = self.protocol.opened(self.now)
        self._note(self.protocol.tick(self.now).events)
        return wire.requests(frames)

    def resynced(self, *aliases: str) -> None:
        for alias in aliases:
            self._note(self.protocol.resynced(alias, self.now))

    def say(self, frame: bytes) -> list[Event]:
        events = self.protocol.receive(frame, self.now)
        self._note(events)
        return [event for event in events if not isinstance(event, FeedState)]

    def acknowledge(self, sent: Iterable[dict[str, Any]]) -> None:
        for request in sent:
            self.say(wire.acknowledgement(request))

    def wait(self, seconds: float) -> tuple[list[bytes], str | None]:
        frames: list[bytes] = []
        for _ in range(int(seconds)):
            self.now += SECOND
            tick = self.protocol.tick(self.now)
            self._note(tick.events)
            frames += tick.frames
            if tick.reconnect is not None:
                return frames, tick.reconnect
        return frames, None

    def status(self, feed: str, account: str | None) -> FeedStatus:
        return self.told[feed, account]

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, FeedState):
                self.told[event.feed, event.account] = event.status
                self.details[event.feed, event.account] = event.detail


def only(events: Iterable[Event], kind: type[T]) -> T:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


# -- subscriptions and answers ------------------------------------------------------------------------------------------


def test_open_replays_every_desired_subscription() -> None:
    bench = Bench(MAKER, HEDGER, market=True)
    bench.protocol.watch_orders(MAKER, ("xyz",), bench.now)
    bench.protocol.watch_spot(["@107"], bench.now)
    sent = bench.open()
    assert {"type": "allDexsAssetCtxs"} in sent
    assert {"type": "fastAssetCtxs"} in sent
    assert {"type": "activeAssetCtx", "coin": "@107"} in sent
    assert {"type": "openOrders", "user": wire.MAKER, "dex": "xyz"} in sent
    assert {"type": "openOrders", "user": wire.HEDGER.lower(), "dex": ""} in sent
    assert sorted(one["type"] for one in sent if one.get("user") == wire.HEDGER.lower()) == [
        "allDexsClearinghouseState",
        "openOrders",
        "spotState",
        "userEvents",
        "userFills",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "webData3",
    ]
    assert bench.open() == sent


def test_change_of_wishes_while_open_is_sent_once() -> None:
    bench = Bench(MAKER)
    bench.open()
    bench.protocol.watch_orders(MAKER, ("xyz",), bench.now)
    assert wire.requests(bench.protocol.outgoing()) == [{"type": "openOrders", "user": wire.MAKER, "dex": "xyz"}]
    assert bench.protocol.outgoing() == []
    bench.protocol.watch_orders(MAKER, (), bench.now)
    assert wire.requests(bench.protocol.outgoing(), "unsubscribe") == [{"type": "openOrders", "user": wire.MAKER, "dex": "xyz"}]
    assert len(bench.protocol.unwatch("maker")) == 8
    assert len(wire.requests(bench.protocol.outgoing(), "unsubscribe")) == 8
    assert bench.protocol.accounts == ()


def test_change_of_wishes_while_closed_is_part_of_the_replay() -> None:
    bench = Bench(MAKER)
    bench.protocol.watch(HEDGER, (), bench.now)
    bench.protocol.unwatch("maker")
    assert bench.protocol.outgoing() == []
    assert {one["user"] for one in bench.open()} == {HEDGER.address}


def test_event_feed_is_fresh_with_its_acknowledgement_but_a_state_feed_only_with_data() -> None:
    bench = Bench(MAKER)
    sent = bench.open()
    bench.resynced("maker")
    for request in sent:
        bench.say(wire.acknowledgement({**request, "user": request["user"].lower()}, aggregateByTime=False, ignorePortfolioMargin=False))
    assert bench.status("userFills", "maker") is FeedStatus.FRESH
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.CONNECTING
    bench.say(wire.all_states_frame(wire.MAKER, ("", wire.state())))
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.FRESH


def test_data_before_the_acknowledgement_and_before_the_resync() -> None:
    bench = Bench(MAKER)
    bench.open()
    bench.say(wire.all_states_frame(wire.MAKER, ("", wire.state())))
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.RESYNCING
    bench.resynced("maker")
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.FRESH


def test_reconnect_waits_for_the_resync_again() -> None:
    bench = Bench(MAKER)
    bench.open()
    bench.resynced("maker")
    frame = wire.all_states_frame(wire.MAKER, ("", wire.state()))
    bench.say(frame)
    bench._note(bench.protocol.closed(bench.now, "no pong"))
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.DOWN
    assert bench.details["allDexsClearinghouseState", "maker"] == "no pong"
    bench.open()
    bench.say(frame)
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.RESYNCING


def test_missing_acknowledgement_is_asked_for_again_and_after_three_it_is_loud() -> None:
    bench = Bench(MAKER)
    sent = bench.open()
    bench.resynced("maker")
    silent = next(request for request in sent if request["type"] == "userFundings")
    bench.acknowledge(request for request in sent if request is not silent)
    frames, _ = bench.wait(9)
    assert silent not in wire.requests(frames)
    frames, _ = bench.wait(2)
    assert wire.requests(frames).count(silent) == 1
    # From 30 s without any answer on, staleness replaces the connection; keep that out of this test.
    bench.protocol._feeds._clocks["userFundings", "maker"].limit_s = 1000.0
    bench.wait(25)
    assert bench.status("userFundings", "maker") is FeedStatus.DOWN
    bench.say(wire.acknowledgement(silent))
    assert bench.status("userFundings", "maker") is FeedStatus.FRESH


def test_already_subscribed_is_success() -> None:
    bench = Bench(MAKER)
    bench.open()
    bench.resynced("maker")
    quoted = orjson.dumps({"type": "userFills", "user": wire.MAKER, "aggregateByTime": False}).decode()
    assert bench.say(wire.refusal(f"Already subscribed: {quoted}")) == []
    assert bench.status("userFills", "maker") is FeedStatus.FRESH
    assert bench.say(wire.refusal(f"Already unsubscribed: {quoted}")) == []
    assert bench.say(wire.refusal('Already subscribed: {"type":"trades","coin":"BTC"}')) == []


@pytest.mark.parametrize(
    "text",
    [
        'Invalid subscription {"type":"userFills","user":"USER"}',
        'Error parsing JSON into valid websocket request: {"method":"subscribe","subscription":{"type":"userFills","user":"USER"}}',
    ],
)
def test_refused_subscription_is_down_without_its_address_and_tried_on_the_next_connection(text: str) -> None:
    bench = Bench(MAKER)
    bench.open()
    bench.say(wire.refusal(text.replace("USER", wire.MAKER)))
    assert bench.status("userFills", "maker") is FeedStatus.DOWN
    assert "refused" in bench.details["userFills", "maker"]
    assert wire.MAKER not in bench.details["userFills", "maker"]
    assert bench.told.get(("userEvents", "maker")) is not FeedStatus.DOWN
    frames, _ = bench.wait(12)
    assert not any(request["type"] == "userFills" for request in wire.requests(frames))
    assert any(request["type"] == "userFills" for request in bench.open())


def test_one_user_too_many_takes_down_that_account_only() -> None:
    bench = Bench(MAKER, HEDGER)
    sent = bench.open()
    bench.resynced("maker", "hedger")
    for request in sent:
        if request["user"] == wire.MAKER:
            bench.say(wire.acknowledgement(request))
        else:
            bench.say(wire.refusal("Cannot track more than 15 total users."))
    assert bench.full == ["hedger"]
    assert {status for (_, account), status in bench.told.items() if account == "hedger"} == {FeedStatus.DOWN}
    assert FeedStatus.DOWN not in {status for (_, account), status in bench.told.items() if account == "maker"}
    assert len(bench.protocol.unwatch("hedger")) == 8
    assert bench.protocol.outgoing() == []


def test_refusal_for_users_with_nothing_unanswered_is_a_parse_error_or_silent() -> None:
    bench = Bench(market=True)
    bench.acknowledge(bench.open())
    bench.say(wire.refusal("Cannot track more than 15 total users."))
    assert bench.full == []


def test_unknown_error_text_is_told_without_addresses() -> None:
    error = only(Bench(MAKER).say(wire.refusal(f"strange news of {wire.STRANGER}")), ParseError)
    assert (error.kind, error.detail) == ("venue_error", "strange news of 0x…")


def test_acknowledgement_of_something_never_asked_is_ignored() -> None:
    bench = Bench(MAKER)
    bench.open()
    assert bench.say(wire.acknowledgement({"type": "l2Book", "coin": "BTC"})) == []


# -- heartbeat and freshness --------------------------------------------------------------------------------------------


def test_missing_pong_is_overdue() -> None:
    bench = Bench(MAKER)
    bench.open()
    assert not bench.protocol.pong_overdue(bench.now + 100 * SECOND)
    assert bench.protocol.heartbeat(bench.now) == PING
    assert not bench.protocol.pong_overdue(bench.now + 10 * SECOND)
    assert bench.protocol.pong_overdue(bench.now + 11 * SECOND)
    bench.say(b'{"channel":"pong"}')
    assert not bench.protocol.pong_overdue(bench.now + 11 * SECOND)
    bench.protocol.heartbeat(bench.now)
    bench.protocol.closed(bench.now, "lost")
    assert not bench.protocol.pong_overdue(bench.now + 11 * SECOND)


def test_feed_that_stops_is_stale_then_subscribed_again_then_the_connection_replaced() -> None:
    bench = Bench(market=True)
    bench.acknowledge(bench.open())
    bench.say(wire.asset_contexts_frame())
    bench.say(wire.frame("fastAssetCtxs", wire.packed({"BTC": {"markPx": "1.0"}})))
    key = ("allDexsAssetCtxs", None)
    assert bench.status(*key) is FeedStatus.FRESH
    frames: list[bytes] = []
    for _ in range(16):
        bench.say(wire.frame("fastAssetCtxs", wire.packed({"BTC": {"markPx": "1.0"}})))
        more, reconnect = bench.wait(1)
        frames += more
        assert reconnect is None
    assert bench.status(*key) is FeedStatus.STALE
    assert bench.status("fastAssetCtxs", None) is FeedStatus.FRESH
    assert wire.requests(frames, "unsubscribe") == [{"type": "allDexsAssetCtxs"}]
    assert {"type": "allDexsAssetCtxs"} in wire.requests(frames)
    bench.protocol._feeds.heard(("fastAssetCtxs", None), bench.now + 15 * SECOND)
    _, reconnect = bench.wait(16)
    assert reconnect is not None
    assert "allDexsAssetCtxs silent" in reconnect


def test_resubscription_that_helps_makes_it_fresh_again() -> None:
    bench = Bench(market=True)
    bench.acknowledge(bench.open())
    bench.wait(17)
    assert bench.status("allDexsAssetCtxs", None) is FeedStatus.STALE
    bench.say(wire.asset_contexts_frame())
    assert bench.status("allDexsAssetCtxs", None) is FeedStatus.FRESH


def test_frame_of_a_wrong_shape_is_no_sign_of_life() -> None:
    bench = Bench(MAKER)
    bench.acknowledge(bench.open())
    bench.resynced("maker")
    broken = wire.state()
    del broken["crossMarginSummary"]["totalRawUsd"]
    error = only(bench.say(wire.all_states_frame(wire.MAKER, ("", broken))), ParseError)
    for _ in range(21):
        bench.say(wire.all_states_frame(wire.MAKER, ("", broken)))
        bench.wait(1)
    assert (error.feed, error.kind) == ("allDexsClearinghouseState", "wrong_shape")
    assert error.detail == "clearinghouseState.crossMarginSummary.totalRawUsd"
    assert bench.status("allDexsClearinghouseState", "maker") is FeedStatus.STALE


def _keep_clearinghouse(bench: Bench, seconds: int, every: int = 5) -> list[bytes]:
    frames: list[bytes] = []
    for second in range(seconds):
        if second % every == 0:
            bench.say(wire.all_states_frame(wire.MAKER, ("", wire.state())))
            bench.say(wire.frame("openOrders", {"dex": "", "user": wire.MAKER, "orders": []}))
        frames += bench.wait(1)[0]
    return frames


def test_quiet_wallet_is_probed_before_it_is_called_stale() -> None:
    bench = Bench(MAKER)
    bench.acknowledge(bench.open())
    bench.resynced("maker")
    bench.say(wire.spot_state_frame(wire.MAKER))
    frames = _keep_clearinghouse(bench, 62)
    assert wire.requests(frames) == [{"type": "spotState", "user": wire.MAKER}]
    assert bench.status("spotState", "maker") is FeedStatus.FRESH
    bench.say(wire.spot_state_frame(wire.MAKER))
    _keep_clearinghouse(bench, 60)
    assert bench.status("spotState", "maker") is FeedStatus.FRESH
    _keep_clearinghouse(bench, 16)
    assert bench.status("spotState", "maker") is FeedStatus.STALE


def test_wallet_that_proved_periodic_is_judged_sooner() -> None:
    bench = Bench(MAKER)
    bench.acknowledge(bench.open())
    bench.resynced("maker")
    for _ in range(14):
        bench.say(wire.spot_state_frame(wire.MAKER))
        _keep_clearinghouse(bench, 5)
    _keep_clearinghouse(bench, 28)
    assert bench.status("spotState", "maker") is FeedStatus.FRESH
    _keep_clearinghouse(bench, 5)
    assert bench.status("spotState", "maker") is FeedStatus.STALE


# -- market feeds -------------------------------------------------------------------------------------------------------


def test_contexts_join_by_position_and_only_held_ones_are_converted() -> None:
    event = only(Bench(market=True).say(wire.asset_contexts_frame(btc="100000.5")), MarkPrices)
    assert event.instruments == ["hyperliquid:xyz:CL", "hyperliquid:BTC"]
    assert event.marks == [60.0, 100000.5]
    assert event.indices == [60.5, 100010.0]
    assert event.funding == [0.00000625, 0.0000125]


def test_dex_of_another_length_is_left_out_and_the_reference_called_stale() -> None:
    bench = Bench(market=True)
    rows = wire.contexts()
    rows[1][1].append(wire.context("9.0"))
    events = bench.say(wire.frame("allDexsAssetCtxs", {"ctxs": rows}))
    assert only(events, MarkPrices).instruments == ["hyperliquid:xyz:CL"]
    assert only(events, ParseError).kind == "length_mismatch"
    assert bench.shared.stale is not None
    bench.shared.replace(wire.reference())
    assert bench.shared.stale is None


def test_unknown_dex_calls_the_reference_stale_without_hurting_the_others() -> None:
    bench = Bench(market=True)
    events = bench.say(wire.frame("allDexsAssetCtxs", {"ctxs": [*wire.contexts(), ["newt", [wire.context("1.0")]]]}))
    assert len(only(events, MarkPrices).instruments) == 2
    assert bench.shared.stale is not None


def test_dex_with_held_instruments_that_is_missing_is_told() -> None:
    events = Bench(market=True).say(wire.frame("allDexsAssetCtxs", {"ctxs": wire.contexts()[1:]}))
    assert only(events, ParseError).kind == "missing_dex"


@pytest.mark.parametrize("mark", ["0.0", "-1.0", "nan", None, []])
def test_one_bad_context_costs_one_instrument(mark: Any) -> None:
    rows = wire.contexts()
    rows[1][1][0]["markPx"] = mark
    bench = Bench(market=True)
    events = bench.say(wire.frame("allDexsAssetCtxs", {"ctxs": rows}))
    assert only(events, MarkPrices).instruments == ["hyperliquid:xyz:CL"]
    assert only(events, ParseError).detail.startswith("hyperliquid:BTC")


def test_nothing_held_converts_nothing() -> None:
    bench = Bench(market=True)
    bench.shared.want(())
    assert bench.say(wire.asset_contexts_frame()) == []


def test_fast_marks_wait_for_the_first_context_and_then_tell_only_changes() -> None:
    bench = Bench(market=True)
    bench.open()
    assert bench.say(wire.frame("fastAssetCtxs", wire.packed({"BTC": {"markPx": "1.0"}, "@107": {"markPx": "92.0"}}))) != []
    bench.say(wire.asset_contexts_frame())
    event = only(bench.say(wire.frame("fastAssetCtxs", wire.packed({"BTC": {"markPx": "2.0"}, "ATOM": {"markPx": "3.0"}}))), MarkPrices)
    assert (event.feed, event.instruments, event.marks, event.indices) == ("fastAssetCtxs", ["hyperliquid:BTC"], [2.0], [100010.0])
    assert bench.say(wire.frame("fastAssetCtxs", wire.packed({"BTC": {"midPx": None}, "xyz:CL": {"markPx": None}}))) == []


def test_new_wishes_are_served_from_the_merged_map() -> None:
    bench = Bench(market=True)
    bench.open()
    bench.say(wire.asset_contexts_frame())
    bench.say(wire.frame("fastAssetCtxs", wire.packed({"xyz:CL": {"markPx": "61.0"}, "@142": {"markPx": "99000.0"}})))
    bench.shared.want(HELD, ("UBTC",))
    events = bench.say(wire.frame("fastAssetCtxs", wire.packed({})))
    assert only(events, MarkPrices).marks == [61.0]
    assert only(events, SpotPrices).prices == {"UBTC": 99000.0}
    bench.open()
    assert bench.say(wire.frame("fastAssetCtxs", wire.packed({}))) == []


@pytest.mark.parametrize("data", ["!", "AAAA", "q1Zy", 5, None, wire.packed([1]), wire.packed({"BTC": 1}), wire.packed({})[:-6]])
def test_delta_that_cannot_be_read_asks_for_the_whole_map_again(data: Any) -> None:
    bench = Bench(market=True)
    bench.acknowledge(bench.open())
    assert only(bench.say(wire.frame("fastAssetCtxs", data)), ParseError).kind == "wrong_shape"
    again = bench.protocol.outgoing()
    assert wire.requests(again, "unsubscribe") == wire.requests(again) == [{"type": "fastAssetCtxs"}]


def test_delta_that_inflates_without_end_is_refused() -> None:
    bench = Bench(market=True)
    bench.open()
    assert only(bench.say(wire.frame("fastAssetCtxs", wire.packed("x" * 40_000_000))), ParseError).kind == "wrong_shape"


def test_spot_context_of_a_priced_pair() -> None:
    bench = Bench(market=True)
    bench.protocol.watch_spot(["@107"], bench.now)
    bench.open()
    event = only(bench.say(wire.frame("activeSpotAssetCtx", {"coin": "@107", "ctx": {"markPx": "92.949"}})), SpotPrices)
    assert event.prices == {"HYPE": 92.949}
    assert bench.status("activeAssetCtx:@107", None) is FeedStatus.FRESH
    assert bench.say(wire.frame("activeSpotAssetCtx", {"coin": "@999", "ctx": {"markPx": "1.0"}})) == []


# -- account feeds ------------------------------------------------------------------------------------------------------


def test_states_of_all_dexs_replace_everything() -> None:
    bench = Bench(MAKER)
    bench.open()
    frame = wire.all_states_frame(wire.MAKER.upper().replace("0X", "0x"), ("", wire.state(wire.position("BTC", "1.0", 5.0))))
    event = only(bench.say(frame), SectionsSnapshot)
    assert (event.account, event.source, event.complete) == ("maker", Source.PUSH, True)
    assert bench.shared.stale is None


def test_single_dex_state_replaces_one() -> None:
    data = {"dex": "xyz", "user": wire.MAKER, "clearinghouseState": wire.state()}
    event = only(Bench(MAKER).say(wire.frame("clearinghouseState", data)), SectionsSnapshot)
    assert ([section.name for section in event.sections], event.complete) == (["xyz"], False)


def test_position_on_an_unknown_instrument_is_told_and_calls_the_reference_stale() -> None:
    bench = Bench(MAKER)
    event = only(bench.say(wire.all_states_frame(wire.MAKER, ("", wire.state(wire.position("FRESH", "1.0", 5.0))))), SectionsSnapshot)
    assert event.sections[0].positions[0].instrument == "hyperliquid:FRESH"
    assert bench.shared.stale is not None
    assert "hyperliquid:FRESH" in bench.shared.stale


@pytest.mark.parametrize("frame", [wire.all_states_frame(wire.STRANGER, ("", wire.state())), wire.spot_state_frame(wire.STRANGER)])
def test_frame_of_an_account_no_longer_watched_is_ignored(frame: bytes) -> None:
    assert Bench(MAKER).say(frame) == []


def test_wallet_frame_is_incomplete() -> None:
    event = only(Bench(MAKER).say(wire.spot_state_frame(wire.MAKER)), WalletSnapshot)
    assert (event.wallet.complete, event.wallet.balances[0].total) == (False, 100.0)


def test_mode_is_told_when_it_changes_and_absent_means_default() -> None:
    bench = Bench(MAKER)
    bench.open()

    def say(**state: Any) -> list[Event]:
        return bench.say(wire.frame("webData3", {"userState": {"user": wire.MAKER, **state}, "perpDexStates": []}))

    assert only(say(), ModeReport).mode == "default"
    assert say() == []
    assert only(say(abstraction="portfolioMargin"), ModeReport).mode == "portfolioMargin"
    assert bench.say(wire.frame("webData3", {"perpDexStates": []})) == []
    assert only(say(abstraction=5), ParseError).kind == "wrong_shape"
    bench.open()
    assert only(say(abstraction="portfolioMargin"), ModeReport).mode == "portfolioMargin"


def test_orders_of_a_dex() -> None:
    event = only(
        Bench(MAKER).say(wire.frame("openOrders", {"dex": "xyz", "user": wire.MAKER, "orders": [wire.order("xyz:CL")]})), OrdersSnapshot
    )
    assert (event.section, [order.instrument for order in event.orders]) == ("xyz", ["hyperliquid:xyz:CL"])


def _fills(*rows: Any, **more: Any) -> bytes:
    return wire.frame("userFills", {"user": wire.MAKER, "fills": list(rows), **more})


def test_fill_is_told_once_across_reconnects_and_missed_ones_come_with_the_snapshot() -> None:
    bench = Bench(MAKER)
    bench.open()
    assert [event.snapshot for event in bench.say(_fills(wire.fill(tid=1), isSnapshot=True)) if isinstance(event, Fill)] == [True]
    assert len(bench.say(_fills(wire.fill(tid=2)))) == 1
    assert bench.say(_fills(wire.fill(tid=2), isSnapshot=False)) == []
    bench.open()
    missed = only(bench.say(_fills(wire.fill(tid=1), wire.fill(tid=2), wire.fill(tid=3), isSnapshot=True)), Fill)
    assert (missed.fill_id.partition(":")[0], missed.snapshot) == ("3", True)


def test_first_snapshot_neither_pages_nor_refetches_but_a_later_one_does() -> None:
    bench = Bench(MAKER)
    liquidation = {"type": "liquidation", "liquidatedNtlPos": "1", "accountValue": "1", "leverageType": "Cross", "liquidatedPositions": []}

    def say(*hashes: str) -> list[Event]:
        rows = [{"time": 1, "hash": one, "delta": liquidation} for one in hashes]
        data = {"user": wire.MAKER, "isSnapshot": True, "nonFundingLedgerUpdates": rows}
        return bench.say(wire.frame("userNonFundingLedgerUpdates", data))

    assert say("0x1") == []
    assert [type(event) for event in say("0x1", "0x2")] == [Liquidation, AccountChanged]


def test_bad_row_costs_itself_and_a_refetch() -> None:
    events = Bench(MAKER).say(_fills(wire.fill(tid=1), wire.fill(tid=2, side="X"), {"coin": 1}, wire.fill(tid=3)))
    assert [type(event) for event in events] == [Fill, Fill, ParseError, AccountChanged]


def test_funding_is_told_once() -> None:
    row = {"time": 7, "coin": "BTC", "usdc": "-0.6", "szi": "1", "fundingRate": "0.1", "nSamples": None}
    bench = Bench(MAKER)
    frame = wire.frame("userFundings", {"user": wire.MAKER, "fundings": [row]})
    assert only(bench.say(frame), CashFlow).amount == -0.6
    assert bench.say(frame) == []


def test_user_events_carry_only_liquidations_of_ours() -> None:
    bench = Bench(MAKER, HEDGER)
    bench.say(wire.all_states_frame(wire.MAKER, ("", wire.state(time=77))))
    row = {"lid": 1, "liquidator": "0x", "liquidated_user": wire.HEDGER, "liquidated_ntl_pos": "1", "liquidated_account_value": "2"}
    event, changed = bench.say(wire.frame("user", {"liquidation": row}))
    assert isinstance(event, Liquidation)
    assert (event.account, event.time_ms) == ("hedger", 77)
    assert isinstance(changed, AccountChanged)
    others: list[dict[str, Any]] = [{"nonUserCancel": [{"coin": "BTC", "oid": 1}]}, {"fills": [wire.fill()]}, {"funding": {}}, {"new": 1}]
    for other in others:
        assert bench.say(wire.frame("user", other)) == []


# -- what nobody should send --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"Websocket connection established.", "not_json"),
        (b"", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b'{"channel":"pong"', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"channel":"pong","data":1' + b"0" * 400 + b"}", "not_json"),
        (b"[]", "no_channel"),
        (b"null", "no_channel"),
        (b'{"channel":5}', "no_channel"),
        (b'{"channel":"weather","data":{}}', "unknown_channel"),
        (b'{"channel":"userFills","data":[]}', "wrong_shape"),
        (b'{"channel":"userFills"}', "wrong_shape"),
        (b'{"channel":"error","data":{}}', "wrong_shape"),
        (b'{"channel":"x","data":"' + b"a" * 16_000_000 + b'"}', "unknown_channel"),
    ],
)
def test_garbage_is_a_parse_error(data: bytes, kind: str) -> None:
    error = only(Bench(MAKER, market=True).say(data), ParseError)
    assert error.kind == kind
    assert len(error.detail) <= 160


def test_nothing_is_known_before_the_reference_arrives() -> None:
    shared = SharedReference()
    protocol = HyperliquidProtocol(shared, Memory(), FeedLimits())
    assert protocol.receive(wire.asset_contexts_frame(), 1) == []
    assert shared.stale is not None
    assert shared.current == Reference()


def _samples() -> list[bytes]:
    row = {"time": 7, "coin": "BTC", "usdc": "-0.6", "szi": "1", "fundingRate": "0.1", "nSamples": None}
    liquidation = {"lid": 1, "liquidator": "0x", "liquidated_user": wire.MAKER, "liquidated_ntl_pos": "1", "liquidated_account_value": "2"}
    send = {
        "type": "send",
        "user": wire.MAKER,
        "destination": "0x",
        "sourceDex": "",
        "destinationDex": "spot",
        "token": "USDC",
        "amount": "1",
    }
    return [
        wire.asset_contexts_frame(),
        wire.frame("fastAssetCtxs", wire.packed({"BTC": {"markPx": "1.0"}, "@107": {"markPx": "92.0"}})),
        wire.frame("activeSpotAssetCtx", {"coin": "@107", "ctx": {"markPx": "92.949"}}),
        wire.all_states_frame(
            wire.MAKER, ("", wire.state(wire.position("BTC", "1.0", 5.0), wire.position("xyz:CL", "1", 1.0, raw_usd="1")))
        ),
        wire.frame("spotState", {"user": wire.MAKER, "spotState": wire.portfolio_margin_state()}),
        wire.frame("webData3", {"userState": {"user": wire.MAKER, "abstraction": "disabled"}, "perpDexStates": []}),
        wire.frame("openOrders", {"dex": "", "user": wire.MAKER, "orders": [wire.order(), wire.order("@107")]}),
        _fills(wire.fill(), wire.fill("@107", tid=0, liquidation={"liquidatedUser": wire.MAKER, "markPx": "1", "method": "market"})),
        wire.frame("userFundings", {"user": wire.MAKER, "fundings": [row], "isSnapshot": True}),
        wire.frame(
            "userNonFundingLedgerUpdates", {"user": wire.MAKER, "nonFundingLedgerUpdates": [{"time": 1, "hash": "0x", "delta": send}]}
        ),
        wire.frame("user", {"liquidation": liquidation}),
        wire.acknowledgement({"type": "userFills", "user": wire.MAKER}),
        wire.refusal('Invalid subscription {"type":"userFills","user":"0x1"}'),
        wire.refusal("Cannot track more than 15 total users."),
    ]


def _mutated(value: Any, rng: random.Random) -> Any:
    odd: list[Any] = [None, True, 0, -1, 2**70, 1.5, "", "nan", "1e999", "x", [], {}, [[]], [["", {}]], {"a": 1}]
    if rng.random() < 0.05:
        return rng.choice(odd)
    if isinstance(value, dict):
        return {key: _mutated(inner, rng) for key, inner in value.items() if rng.random() > 0.03}
    if isinstance(value, list):
        changed = [_mutated(inner, rng) for inner in value]
        return changed + changed[:1] if rng.random() < 0.05 else changed
    return value


def _dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return repr(value).encode()


@settings(max_examples=300)
@given(st.sampled_from(_samples()), st.integers(0, 2**32))
def test_receive_never_raises_on_mutated_frames(sample: bytes, seed: int) -> None:
    bench = Bench(MAKER, HEDGER, market=True)
    bench.open()
    rng = random.Random(seed)
    frame = orjson.loads(sample)
    for _ in range(5):
        events = bench.protocol.receive(_dumps({"channel": frame["channel"], "data": _mutated(frame["data"], rng)}), bench.now)
        assert not any(isinstance(event, ParseError) and event.kind == "internal" for event in events)
    assert bench.protocol.tick(bench.now + SECOND) is not None


@given(st.sampled_from(_samples()), st.integers(0, 400), st.binary(max_size=8))
def test_receive_never_raises_on_damaged_bytes(sample: bytes, at: int, inserted: bytes) -> None:
    bench = Bench(MAKER, market=True)
    bench.open()
    for data in (sample[:at], sample[:at] + inserted + sample[at:]):
        events = bench.protocol.receive(data, bench.now)
        assert not any(isinstance(event, ParseError) and event.kind == "internal" for event in events)


@given(st.binary(max_size=200))
def test_receive_never_raises_on_any_bytes(data: bytes) -> None:
    events = Bench(MAKER).protocol.receive(data, SECOND)
    assert [event.kind for event in events if isinstance(event, ParseError)] in (["not_json"], ["no_channel"], ["unknown_channel"])
