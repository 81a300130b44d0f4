"""The two kinds of connection over frames, without a socket: events, freshness, what they ask for, and mutated frames."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.aster.accounts import AccountState, Urgency
from connectors.aster.feeds import AccountFeeds
from connectors.aster.market import SharedMarket
from connectors.aster.protocol import READ_AFTER, MarketProtocol, UserProtocol
from connectors.aster.signing import VenueClock
from connectors.aster.state import Modes
from connectors.clock import ManualClock
from connectors.events import (
    CashFlow,
    CashFlowKind,
    Event,
    FeedState,
    FeedStatus,
    FuturesSnapshot,
    Liquidation,
    LiquidationKind,
    MarginCall,
    MarkPrices,
    ParseError,
    Source,
)
from connectors.model import FuturesAsset, FuturesRead, PositionSide
from tests.connectors.aster import aster_wire as wire
from tests.connectors.aster.aster_fake import MAKER, account_update, config_update, mark_row, pushed

T = TypeVar("T")

SECOND = 1_000_000_000
NOW = wire.NOW_MS
BTC = "aster:BTCUSDT"


def only(events: Iterable[Event], kind: type[T]) -> T:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


# -- marks --------------------------------------------------------------------------------------------------------------


class MarketBench:
    """A market protocol with a clock: `say` feeds a frame, `wait` passes time tick by tick."""

    def __init__(self) -> None:
        self.now = 1000 * SECOND
        self.shared = SharedMarket()
        self.shared.replace(wire.reference())
        self.venue_clock = VenueClock(ManualClock(time_ms=NOW))
        self.protocol = MarketProtocol(self.shared, self.venue_clock, 10.0, self.now)
        self.told: list[FeedState] = []

    def say(self, frame: Any) -> list[Event]:
        data = frame if isinstance(frame, bytes) else orjson.dumps(frame)
        events = self.protocol.receive(data, self.now)
        self.told += [event for event in events if isinstance(event, FeedState)]
        return [event for event in events if not isinstance(event, FeedState)]

    def wait(self, seconds: int) -> str | None:
        for _ in range(seconds):
            self.now += SECOND
            tick = self.protocol.tick(self.now)
            assert tick.frames == []
            self.told += [event for event in tick.events if isinstance(event, FeedState)]
            if tick.reconnect is not None:
                return tick.reconnect
        return None

    @property
    def statuses(self) -> list[FeedStatus]:
        return [state.status for state in self.told]


ROWS = [mark_row("BTCUSDT", "60000.5", NOW), mark_row("UNKNOWNUSDT", "1", NOW)]


@pytest.mark.parametrize("frame", [ROWS, {"stream": "!markPrice@arr@1s", "data": ROWS}, ROWS[0], {"stream": "x", "data": ROWS[0]}])
def test_marks_come_bare_or_wrapped_in_arrays_or_alone(frame: Any) -> None:
    bench = MarketBench()
    assert bench.protocol.opened(bench.now) == []
    marks = only(bench.say(frame), MarkPrices)
    assert (marks.feed, marks.instruments, marks.marks) == ("markPrice", [BTC], [60000.5])
    assert bench.statuses == [FeedStatus.FRESH]


def test_marks_are_stale_after_ten_seconds_and_the_connection_is_replaced_after_twenty() -> None:
    bench = MarketBench()
    bench.protocol.opened(bench.now)
    bench.wait(1)
    bench.say(ROWS)
    assert bench.wait(10) is None
    assert bench.statuses == [FeedStatus.CONNECTING, FeedStatus.FRESH]
    assert bench.wait(1) is None
    assert bench.statuses[-1] is FeedStatus.STALE
    reason = bench.wait(30)
    assert reason is not None
    assert "markPrice silent for 22 s" in reason


def test_frames_that_say_nothing_are_no_sign_of_life() -> None:
    bench = MarketBench()
    bench.protocol.opened(bench.now)
    for _ in range(4):
        for frame in ([], {"result": None, "id": 1}, {"code": 2, "msg": "x"}, b"<html>", [{"e": "markPriceUpdate"}]):
            bench.say(frame)
        bench.wait(3)
    assert bench.statuses == [FeedStatus.CONNECTING, FeedStatus.STALE]


def test_marks_are_down_without_a_connection_and_resync_with_the_next() -> None:
    bench = MarketBench()
    bench.protocol.opened(bench.now)
    bench.say(ROWS)
    (down,) = bench.protocol.closed(bench.now, "the connection ended")
    assert isinstance(down, FeedState)
    assert (down.status, down.detail) == (FeedStatus.DOWN, "the connection ended")
    bench.protocol.opened(bench.now)
    bench.wait(1)
    bench.say(ROWS)
    assert bench.statuses[-2:] == [FeedStatus.RESYNCING, FeedStatus.FRESH]


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b"5", "unknown_frame"),
        (b"null", "unknown_frame"),
        ({"code": 2, "msg": wire.LISTEN_KEY}, "venue_error"),
        ({"e": "24hrTicker", "s": "BTCUSDT"}, "unknown_frame"),
        ([{**ROWS[0], "p": "-1"}], "wrong_shape"),
        ([7], "wrong_shape"),
    ],
)
def test_market_frames_that_make_no_sense_are_said_by_kind(frame: Any, kind: str) -> None:
    error = only(MarketBench().say(frame), ParseError)
    assert (error.feed, error.kind) == ("markPrice", kind)
    assert wire.LISTEN_KEY not in error.detail


def test_answers_to_subscriptions_are_no_events() -> None:
    assert MarketBench().say({"result": None, "id": 1}) == []
    assert UserBench().say({"result": ["x"], "id": 3}) == []


def test_marks_that_come_too_late_are_told_but_are_no_sign_of_life() -> None:
    bench = MarketBench()
    bench.protocol.opened(bench.now)
    bench.shared.want([BTC])
    assert only(bench.say([mark_row("BTCUSDT", "1", NOW - 60_000)]), MarkPrices).marks == [1.0], "nobody knows the venue's time yet"
    assert bench.statuses[-1] is FeedStatus.FRESH
    now_ns = 1_000_000_000_000
    bench.venue_clock.measured(now_ns, NOW, now_ns)
    for _ in range(12):
        assert only(bench.say([mark_row("BTCUSDT", "2", NOW - 10_001)]), ParseError).kind == "late"
        bench.wait(1)
    assert only(bench.say([mark_row("BTCUSDT", "3", NOW - 9000)]), MarkPrices).marks == [3.0]
    assert bench.statuses[-2:] == [FeedStatus.STALE, FeedStatus.FRESH]
    assert only(bench.say([mark_row("UNKNOWNUSDT", "3", NOW - 20_000)]), ParseError).kind == "late", "nothing wanted in it"


# -- one account's stream -----------------------------------------------------------------------------------------------


class UserBench:
    """A user protocol whose account was read once: 1000 USDT, nothing else."""

    def __init__(self, *, read: bool = True) -> None:
        self.now = 1000 * SECOND
        self.shared = SharedMarket()
        self.shared.replace(wire.reference())
        self.account = AccountState(MAKER, AccountFeeds("maker", poll_s=4.0, reconcile_s=45.0, now_ns=self.now))
        self.account.modes = Modes(False, False, NOW)
        self.asked: list[Urgency] = []
        self.expired: list[str] = []
        clock = ManualClock(time_ms=NOW)
        self.protocol = UserProtocol(self.account, self.shared, VenueClock(clock), ask=self.asked.append, expired=self.expired.append)
        if read:
            rows = (FuturesAsset("USDT", 1000.0, 1000.0),)
            self.account.merge.read(FuturesRead(NOW, rows, (), (), 0, 0, 0, 0, 0), self.account.modes)
            self.account.feeds.heard(self.now)

    def say(self, frame: Any) -> list[Event]:
        return self.protocol.receive(frame if isinstance(frame, bytes) else orjson.dumps(frame), self.now)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def statuses(self) -> dict[str, FeedStatus]:
        return {state.feed: state.status for state in self.account.feeds.states(self.now)}


def test_an_account_update_is_a_snapshot_of_everything_known() -> None:
    bench = UserBench()
    (event,) = bench.say(account_update(NOW + 5, balances={"USDT": "990.5"}, positions=[pushed("BTCUSDT", "0.5")]))
    assert isinstance(event, FuturesSnapshot)
    assert (event.account, event.source, event.received_ns) == ("maker", Source.PUSH, bench.now)
    assert [(row.asset, row.wallet) for row in event.state.assets] == [("USDT", 990.5)]
    assert [(row.instrument, row.quantity, row.side) for row in event.state.positions] == [(BTC, 0.5, PositionSide.BOTH)]
    assert bench.asked == []


def test_wrapped_and_repeated_updates() -> None:
    bench = UserBench()
    update = account_update(NOW + 5, balances={"USDT": "990.5"})
    assert only(bench.say({"stream": wire.LISTEN_KEY, "data": update}), FuturesSnapshot).state.assets[0].wallet == 990.5
    assert bench.say(update) == []
    assert bench.say(account_update(NOW + 4, balances={"USDT": "1.0"})) == []
    assert bench.asked == [Urgency.SETTLE], "an older push that says something else is settled by a read"


def test_updates_before_the_first_read_are_kept_and_not_told() -> None:
    bench = UserBench(read=False)
    assert bench.say(account_update(NOW + 5, balances={"USDT": "990.5"})) == []
    bench.account.merge.read(FuturesRead(NOW, (FuturesAsset("USDT", 1.0, 1.0),), (), (), 0, 0, 0, 0, 0), Modes(False, False, NOW))
    state = bench.account.merge.state()
    assert state is not None
    assert state.assets[0].wallet == 990.5


@pytest.mark.parametrize("reason", sorted(READ_AFTER))
def test_reasons_after_which_more_may_have_changed_ask_for_a_read_at_once(reason: str) -> None:
    bench = UserBench()
    bench.say(account_update(NOW + 5, balances={"USDT": "990.5"}, reason=reason))
    assert bench.asked == [Urgency.NOW]
    bench.say(account_update(NOW + 6, balances={"USDT": "990.6"}, reason="FUNDING_FEE"))
    assert bench.asked == [Urgency.NOW]


def test_a_position_in_something_not_listed_makes_the_reference_data_stale() -> None:
    bench = UserBench()
    bench.say(account_update(NOW + 5, positions=[pushed("NEWUSDT", "0")]))
    assert bench.shared.stale is None
    assert len(bench.say(account_update(NOW + 6, positions=[pushed("NEWUSDT", "1")]))) == 1
    assert bench.shared.stale == "aster:NEWUSDT is not in the reference data"


def test_orders_are_kept_and_ask_for_a_read_that_can_wait() -> None:
    bench = UserBench()
    assert bench.say(wire.order_update(i=7)) == []
    assert bench.asked == [Urgency.ORDERS]
    assert bench.account.changed_orders(bench.now) is None, "nothing was read yet: these are not all"
    bench.account.orders.read(NOW, ())
    told = bench.account.changed_orders(bench.now)
    assert told is not None
    assert (told.section, [order.order_id for order in told.orders]) == ("", ["7"])
    assert bench.account.changed_orders(bench.now) is None
    assert bench.say(wire.order_update(i=7)) == []
    assert bench.asked == [Urgency.ORDERS], "the same again changes nothing"


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"c": "autoclose-1", "q": "2"}, "liquidation of 2 BTCUSDT"), ({"c": "adl_autoclose", "q": "2"}, "ADL of 2 BTCUSDT")],
)
def test_a_liquidation_is_told_once_an_order_and_asks_for_a_read(fields: dict[str, Any], words: str) -> None:
    bench = UserBench()
    event = only(bench.say(wire.order_update(**fields)), Liquidation)
    assert (event.account, event.time_ms, event.detail) == ("maker", NOW, words)
    assert Urgency.NOW in bench.asked
    assert bench.say(wire.order_update(**fields, x="TRADE", X="FILLED", z="2")) == []
    assert len(bench.say(wire.order_update(**fields, i=78))) == 1


def test_a_position_that_the_insurance_fund_takes_over_is_told_after_its_liquidation() -> None:
    bench = UserBench()
    kinds = [only(bench.say(wire.order_update(c="autoclose-1", **more)), Liquidation).kind for more in ({}, {"X": "NEW_INSURANCE"})]
    assert kinds == [LiquidationKind.LIQUIDATION, LiquidationKind.BACKSTOP]


def test_a_transfer_is_told_once_before_the_balances() -> None:
    bench = UserBench()
    row = {"a": "USDT", "wb": "950", "cw": "950", "bc": "-50"}
    frame = {"e": "ACCOUNT_UPDATE", "T": NOW + 5, "E": NOW + 5, "a": {"B": [row], "P": [], "m": "WITHDRAW"}}
    flow, snapshot = bench.say(frame)
    assert isinstance(flow, CashFlow)
    assert (flow.kind, flow.asset, flow.amount, flow.section, flow.time_ms) == (CashFlowKind.TRANSFER, "USDT", -50.0, "USDT", NOW + 5)
    assert isinstance(snapshot, FuturesSnapshot)
    assert bench.say(frame) == [], "a second connection tells the same"


def test_a_margin_call_is_told_once() -> None:
    row = {"s": "BTCUSDT", "ps": "BOTH", "pa": "1", "mt": "CROSSED", "iw": "0", "mp": "1", "up": "-1", "mm": "2"}
    frame = {"e": "MARGIN_CALL", "E": NOW, "cw": "3", "p": [row]}
    bench = UserBench()
    assert only(bench.say(frame), MarginCall).time_ms == NOW
    assert bench.say(frame) == []
    assert bench.asked == [Urgency.NOW]


def test_a_change_of_leverage_is_followed_without_a_read() -> None:
    bench = UserBench()
    bench.say(account_update(NOW + 5, positions=[pushed("BTCUSDT", "0.5")]))
    event = only(bench.say(config_update(NOW + 6, ac={"s": "BTCUSDT", "l": 7})), FuturesSnapshot)
    assert event.state.positions[0].leverage == 7.0
    assert bench.say(config_update(NOW + 7, ac={"s": "BTCUSDT", "l": 7})) == []
    assert bench.asked == []


@pytest.mark.parametrize(
    ("modes", "doubtful"), [({"j": True, "d": False}, True), ({"j": False, "d": True}, True), ({"j": False, "d": False, "f": True}, False)]
)
def test_a_change_of_mode_puts_everything_in_doubt_until_it_was_read(modes: dict[str, bool], doubtful: bool) -> None:
    bench = UserBench()
    events = bench.say(config_update(NOW + 6, ai=modes))
    assert bool(events) == bool(bench.asked) == doubtful
    if doubtful:
        assert only(events, FuturesSnapshot).state.doubt == "the account's mode was changed: to be read again"


def test_an_expired_listen_key_is_passed_on() -> None:
    bench = UserBench()
    assert bench.say({"e": "listenKeyExpired", "E": NOW}) == []
    assert bench.expired == ["the venue says that the listen key has expired"]


@pytest.mark.parametrize(
    ("frame", "feed", "kind"),
    [
        (b"", "userStream", "not_json"),
        (b"[]", "userStream", "unknown_frame"),
        ({"a": 1}, "userStream", "unknown_frame"),
        ({"e": "GRID_UPDATE"}, "userStream", "unknown_event"),
        ({"code": 3, "msg": wire.LISTEN_KEY}, "userStream", "venue_error"),
        ({"e": "ACCOUNT_UPDATE"}, "ACCOUNT_UPDATE", "wrong_shape"),
        (account_update(NOW, positions=[{**pushed("BTCUSDT", "1"), "mt": "moon"}]), "ACCOUNT_UPDATE", "wrong_shape"),
        ({"e": "ORDER_TRADE_UPDATE", "o": 5}, "ORDER_TRADE_UPDATE", "wrong_shape"),
    ],
)
def test_user_frames_that_make_no_sense_are_said_by_kind(frame: Any, feed: str, kind: str) -> None:
    bench = UserBench()
    error = only(bench.say(frame), ParseError)
    assert (error.feed, error.kind) == (feed, kind)
    assert wire.LISTEN_KEY not in error.detail
    understood = kind in ("unknown_frame", "unknown_event", "venue_error")
    assert bench.asked == ([] if understood else [Urgency.SETTLE]), "what it said is found out by a read"


def test_announcements_are_ignored() -> None:
    assert UserBench().say({"e": "announcement", "en": {"C": "<p>"}}) == []


def test_recorded_frames(recordings: Path) -> None:
    def recorded(name: str) -> bytes:
        return (recordings / "aster" / f"ws_{name}.json").read_bytes()

    for name in ("account_update", "account_update_recorded_one_way_close", "account_update_recorded_hedge_close", "combined_user_data"):
        assert [type(event) for event in UserBench().say(recorded(name)) if not isinstance(event, FuturesSnapshot)] == []
    hedge = UserBench(read=False)
    hedge.say(recorded("account_update"))
    at_ms = orjson.loads(recorded("account_update"))["T"]
    hedge.account.merge.read(FuturesRead(at_ms, (), (), (), 0, 0, 0, 0, 0), Modes(False, True, 1))
    state = hedge.account.merge.state()
    assert state is not None
    assert {(row.side, row.quantity) for row in state.positions} == {(PositionSide.LONG, 20.0), (PositionSide.SHORT, -10.0)}
    assert UserBench().say(recorded("order_trade_update")) == []
    assert only(UserBench().say(recorded("margin_call")), MarginCall).time_ms == 1587727187525
    assert UserBench().say(recorded("announcement")) == []
    assert only(UserBench().say(recorded("account_config_update_multi_assets")), FuturesSnapshot).state.doubt
    assert UserBench().say(recorded("account_config_update_leverage")) == []
    expired = UserBench()
    expired.say(recorded("listen_key_expired"))
    assert expired.expired
    assert only(UserBench().say(recorded("error_invalid_request")), ParseError).detail == "code 2"
    assert UserBench().say(recorded("subscribe_ack")) == UserBench().say(recorded("list_subscriptions_ack")) == []
    market = MarketBench()
    assert only(market.say(recorded("combined_mark_price")), MarkPrices).marks == [11185.87786614]
    assert only(market.say(recorded("24hr_ticker_recorded")), ParseError).kind == "unknown_frame"


# -- its connection -----------------------------------------------------------------------------------------------------


def test_an_account_is_polled_then_fresh_and_read_again_after_a_loss() -> None:
    bench = UserBench()
    assert bench.statuses() == {"account": FeedStatus.POLLED, "userStream": FeedStatus.CONNECTING}
    bench.protocol.opened(bench.now)
    assert bench.account.listening_since_ms == NOW
    assert bench.statuses() == {"account": FeedStatus.POLLED, "userStream": FeedStatus.FRESH}
    bench.account.feeds.resynced(bench.now)
    assert bench.statuses() == {"account": FeedStatus.FRESH, "userStream": FeedStatus.FRESH}
    told = bench.protocol.closed(bench.now, "the connection ended")
    assert bench.account.listening_since_ms is None
    assert bench.asked == [Urgency.NOW]
    assert {(event.feed, event.status) for event in told if isinstance(event, FeedState)} == {
        ("account", FeedStatus.RESYNCING),
        ("userStream", FeedStatus.DOWN),
    }
    bench.protocol.closed(bench.now, "refused")
    assert bench.asked == [Urgency.NOW], "once lost, lost"
    bench.account.feeds.heard(bench.now)
    assert bench.statuses() == {"account": FeedStatus.POLLED, "userStream": FeedStatus.DOWN}


def test_a_reason_to_reconnect_is_passed_on_until_the_next_connection() -> None:
    bench = UserBench()
    bench.protocol.opened(bench.now)
    assert bench.protocol.tick(bench.now).reconnect is None
    bench.account.reconnect = "the listen key has lapsed"
    assert bench.protocol.tick(bench.now).reconnect == "the listen key has lapsed"
    bench.protocol.opened(bench.now)
    assert bench.protocol.tick(bench.now).reconnect is None


def test_neither_protocol_has_a_heartbeat_of_its_own() -> None:
    for protocol in (MarketBench().protocol, UserBench().protocol):
        assert protocol.heartbeat_interval_s == float("inf")
        assert not protocol.pong_overdue(10**18)
        assert protocol.outgoing() == []


# -- mutated frames -----------------------------------------------------------------------------------------------------

FRAMES: list[Any] = [
    account_update(NOW + 5, balances={"USDT": "990.5"}, positions=[pushed("BTCUSDT", "0.5", mode="isolated", wallet="12")]),
    wire.order_update(c="autoclose-1"),
    {"e": "MARGIN_CALL", "E": NOW, "cw": "3", "p": [{"s": "BTCUSDT", "ps": "LONG", "pa": "1", "mt": "CROSSED", "up": "1", "mm": "1"}]},
    config_update(NOW, ai={"j": True, "d": True}),
    config_update(NOW, ac={"s": "BTCUSDT", "l": 5}),
    {"e": "listenKeyExpired", "E": NOW},
    {"stream": "s", "data": ROWS},
    ROWS,
]
JUNK: list[Any] = [None, True, -1, 10**40, 1e308, "", "NaN", "1e999", [], {}, [[]], {"": 0}, "0x" + "ab" * 20]


def mutated(value: Any, chance: random.Random) -> Any:
    if chance.random() < 0.15:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        return {key: mutated(one, chance) for key, one in value.items() if chance.random() > 0.05}
    if isinstance(value, list):
        return [mutated(one, chance) for one in value]
    return value


@settings(max_examples=400)
@given(seed=st.integers(0, 2**32), frame=st.sampled_from(FRAMES), cut=st.integers(0, 400))
def test_mutated_frames_never_raise_and_are_no_defects(seed: int, frame: Any, cut: int) -> None:
    data = json.dumps(mutated(frame, random.Random(seed))).encode() if seed % 3 else orjson.dumps(frame)[:cut]
    for bench in (UserBench(), MarketBench()):
        for event in bench.say(data):
            assert not (isinstance(event, ParseError) and event.kind == "internal"), event.detail
