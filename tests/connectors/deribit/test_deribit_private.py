"""One account over its own connection: login, reads, pushes, and what is said when any of them fails."""

from __future__ import annotations

import logging

import pytest

from connectors.events import (
    AccountFailure,
    Event,
    FailureReason,
    FeedState,
    FeedStatus,
    KeyState,
    Liquidation,
    OrdersSnapshot,
    ParseError,
    Source,
    SummarySnapshot,
)
from connectors.model import ListedPosition, SummaryAccount
from tests.connectors.deribit.private_venue import (
    ALIAS,
    CALL,
    CLIENT_ID,
    CLIENT_SECRET,
    LINEAR,
    NOW_MS,
    PERPETUAL,
    PrivateVenue,
    last,
    of,
    order,
    position,
    summary,
    totals,
)

CHANGES = "user.changes.any.any.100ms"
PORTFOLIO = "user.portfolio.any"


def state(events: list[Event]) -> SummaryAccount:
    return last(SummarySnapshot, events).state


def held(account: SummaryAccount) -> dict[str, float]:
    return {row.instrument.partition(":")[2]: row.quantity for row in account.positions}


# -- login -----------------------------------------------------------------------------------------------------------------------


def test_a_connection_logs_in_subscribes_and_reads_the_whole_account() -> None:
    venue = PrivateVenue()
    venue.positions, venue.orders = [position(size=-3.0), position(PERPETUAL, 50_000.0, 80_100.0)], [order()]
    events = venue.connect()
    assert venue.methods()[:2] == ["public/set_heartbeat", "public/auth"]
    assert ("private/subscribe", {"channels": [PORTFOLIO, CHANGES]}) in venue.asked
    assert ("private/get_account_summaries", {"extended": True}) in venue.asked
    assert ("private/get_positions", {"currency": "any"}) in venue.asked
    (snapshot,) = of(SummarySnapshot, events)
    assert (snapshot.account, snapshot.source) == (ALIAS, Source.POLL)
    assert held(snapshot.state) == {CALL: -3.0, PERPETUAL: 50_000.0}
    assert snapshot.state.summaries[0].currency == "BTC"
    assert snapshot.state.time_ms == NOW_MS
    assert snapshot.state.doubt == ""
    (orders,) = of(OrdersSnapshot, events)
    assert (orders.section, orders.orders[0].quantity) == ("", 1.5)
    assert last(FeedState, events).status is FeedStatus.FRESH
    assert last(FeedState, events).feed == "account"
    assert last(KeyState, events).rights == ("account:read", "trade:read")
    assert not of(ParseError, events)


def test_no_secret_and_no_token_is_in_any_text() -> None:
    venue = PrivateVenue()
    venue.errors["public/auth"] = 13004
    events = venue.connect()
    venue.errors.clear()
    events += venue.pass_time(120.0)
    for thing in (events, venue.ref, venue.protocol.login, venue.protocol.__dict__, venue.protocol.login.__dict__):
        text = f"{thing!r} {thing}"
        assert all(secret not in text for secret in (CLIENT_ID, CLIENT_SECRET, "dummyRefresh", "dummyAccess"))


def test_a_wrong_key_is_said_loudly_and_not_tried_again_at_once() -> None:
    venue = PrivateVenue()
    venue.errors["public/auth"] = 13004
    (failure,) = of(AccountFailure, venue.connect())
    assert failure.reason is FailureReason.KEY_REFUSED
    assert "client_id" in failure.detail
    venue.pass_time(29.0)
    venue.lose()
    venue.connect()
    assert venue.times("public/auth") == 1, "a new connection is no reason to try again"
    venue.pass_time(3600.0)
    assert 1 < venue.times("public/auth") <= 25
    assert venue.private_calls() == []
    venue.errors.clear()
    events = venue.pass_time(1801.0)
    assert of(SummarySnapshot, events), "a key that was mended is found by itself"


@pytest.mark.parametrize("right", ["trade:read_write", "wallet:read_write", "account:read_write", "block_trade:read_write", "custody:full"])
def test_a_key_that_may_write_is_refused_and_never_used(right: str) -> None:
    venue = PrivateVenue()
    rights = {"account": "account:read", "trade": "trade:read", right.partition(":")[0]: right}
    venue.scope = " ".join(["connection", *rights.values()])
    events = [*venue.connect(), *venue.pass_time(20.0)]
    (failure,) = of(AccountFailure, events)
    assert failure.reason is FailureReason.UNSAFE_KEY
    assert right in failure.detail
    assert "allow_unsafe_key" in failure.detail
    assert venue.private_calls() == []
    assert not of(SummarySnapshot, events)


def test_a_key_of_which_no_right_is_told_may_do_anything() -> None:
    venue = PrivateVenue()
    venue.scope = "connection mainaccount"
    assert last(AccountFailure, venue.connect()).reason is FailureReason.UNSAFE_KEY


def test_an_unsafe_key_that_is_allowed_logs_in_to_read_only_and_says_so() -> None:
    venue = PrivateVenue(allow_unsafe=True)
    venue.scope = "connection account:read trade:read_write wallet:read"
    events = venue.connect()
    assert "trade:read_write" in last(KeyState, events).warning
    scopes = [params["scope"] for method, params in venue.asked if method == "public/auth"]
    assert scopes[0] == "connection"
    assert {"account:read", "trade:read", "wallet:none"} <= set(scopes[1].split())
    first_private = venue.methods().index(venue.private_calls()[0])
    assert venue.methods()[:first_private].count("public/auth") == 2
    assert of(SummarySnapshot, events)
    assert not of(AccountFailure, events)


def test_a_key_that_may_not_read_positions_is_refused() -> None:
    venue = PrivateVenue()
    venue.scope = "connection account:read trade:none"
    failure = last(AccountFailure, venue.connect())
    assert failure.reason is FailureReason.KEY_REFUSED
    assert "trade:read" in failure.detail
    assert venue.private_calls() == []


def test_the_token_is_renewed_at_four_fifths_of_its_life() -> None:
    venue = PrivateVenue()
    venue.token_life = 100
    venue.connect()
    venue.pass_time(79.0)
    assert venue.times("public/auth") == 1
    venue.pass_time(2.0)
    assert venue.asked[-1] == ("public/auth", {"grant_type": "refresh_token", "refresh_token": "dummyRefresh1"})
    reads = venue.times("private/get_positions")
    venue.pass_time(70.0)
    assert venue.times("public/auth") == 2, "the new token lives as long again"
    assert venue.times("private/get_positions") > reads


def test_a_renewal_that_is_refused_leads_to_a_new_login() -> None:
    venue = PrivateVenue()
    venue.token_life = 100
    venue.connect()
    venue.pass_time(79.0)
    venue.errors["public/auth"] = 13009
    while venue.times("public/auth") < 2:
        venue.pass_time(0.5)
    venue.errors.clear()
    events = venue.pass_time(20.0)
    grants = [params["grant_type"] for method, params in venue.asked if method == "public/auth"]
    assert grants[:2] == ["client_credentials", "refresh_token"]
    assert grants[-1] == "client_credentials"
    assert of(SummarySnapshot, events)
    assert not of(AccountFailure, events)


def test_a_token_that_lapsed_leads_to_a_new_login_new_subscriptions_and_a_read() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.errors["private/get_positions"] = 13009
    events = venue.pass_time(15.0)
    assert not of(AccountFailure, events)
    assert any(error.kind == "code_13009" for error in of(ParseError, events))
    venue.errors.clear()
    before = venue.times("private/subscribe")
    events = venue.pass_time(5.0)
    assert venue.times("public/auth") == 2
    assert venue.times("private/subscribe") == before + 1
    assert last(SummarySnapshot, events).source is Source.POLL


def test_a_venue_that_always_says_unauthorised_is_not_hammered() -> None:
    venue = PrivateVenue()
    venue.errors |= {"private/get_positions": 13009, "private/get_account_summaries": 13009}
    venue.connect()
    venue.pass_time(600.0)
    assert venue.times("public/auth") < 60
    assert venue.status() is FeedStatus.STALE


def test_a_test_request_is_answered_at_once() -> None:
    venue = PrivateVenue()
    venue.mute = {"public/auth"}
    venue.connect()
    before = venue.times("public/test")
    venue.receive({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})
    assert venue.times("public/test") == before + 1


def test_a_socket_on_which_nothing_comes_is_dead() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.mute = {"private/get_positions", "private/get_account_summaries", "private/get_open_orders"}
    assert not venue.protocol.pong_overdue(venue.now_ns)
    venue.clock.shift(31.0)
    assert venue.protocol.pong_overdue(venue.now_ns)


# -- reads -----------------------------------------------------------------------------------------------------------------------


def test_the_account_is_read_every_period_and_orders_less_often() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.pass_time(61.0)
    assert venue.times("private/get_positions") == 5
    assert venue.times("private/get_account_summaries") == 5
    assert venue.times("private/get_open_orders") == 2


def test_half_a_read_is_no_read() -> None:
    venue = PrivateVenue()
    venue.errors["private/get_positions"] = 10047
    events = [*venue.connect(), *venue.pass_time(44.0)]
    assert not of(SummarySnapshot, events)
    assert venue.status() is FeedStatus.CONNECTING
    assert venue.times("private/get_positions") == 9, "tried again after five seconds"
    assert last(FeedState, [*events, *venue.pass_time(3.0)]).status is FeedStatus.STALE


def test_an_account_that_is_not_read_dies_loudly_though_it_is_pushed() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.errors["private/get_account_summaries"] = 10047
    statuses = []
    for _ in range(120):
        venue.push(PORTFOLIO, summary())
        statuses += [event.status for event in of(FeedState, venue.pass_time(1.0))]
    assert FeedStatus.STALE in statuses
    assert any("account" in why for why in venue.reconnects)


def test_a_lost_connection_says_so() -> None:
    venue = PrivateVenue()
    venue.connect()
    (down,) = of(FeedState, venue.lose("close code 1006"))
    assert (down.feed, down.account, down.status, down.detail) == ("account", ALIAS, FeedStatus.DOWN, "close code 1006")
    assert of(SummarySnapshot, venue.connect())
    assert venue.status() is FeedStatus.FRESH


def test_a_refresh_reads_again_but_never_twice_a_second() -> None:
    venue = PrivateVenue()
    venue.connect()
    for _ in range(5):
        venue.protocol.refresh(venue.now_ns)
    venue.pass_time(0.5, step=0.1)
    assert venue.times("private/get_positions") == 1
    venue.pass_time(1.0)
    assert venue.times("private/get_positions") == 2


def test_what_may_not_be_read_is_said_and_asked_for_rarely() -> None:
    venue = PrivateVenue()
    venue.errors["private/get_positions"] = 13021
    events = [*venue.connect(), *venue.pass_time(59.0)]
    assert last(AccountFailure, events).reason is FailureReason.KEY_REFUSED
    assert venue.times("private/get_positions") == 1


def test_a_session_that_the_venue_ends_for_too_many_requests_is_replaced() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.errors["private/get_positions"] = 10028
    venue.pass_time(17.0)
    assert venue.reconnects


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("summaries", [{"currency": "BTC"}]),
        ("summaries", [summary(equity="much")]),
        ("summaries", "nothing"),
        ("positions", [position(direction="sideways")]),
        ("positions", {"rows": []}),
        ("positions", [position(mark_price=None)]),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_and_no_account(method: str, wrong: object) -> None:
    venue = PrivateVenue()
    setattr(venue, method, wrong)
    events = venue.connect()
    assert last(ParseError, events).kind == "wrong_shape"
    assert not of(SummarySnapshot, events)
    assert venue.status() is not FeedStatus.FRESH


# -- pushes ----------------------------------------------------------------------------------------------------------------------


def test_a_portfolio_push_replaces_its_wallet() -> None:
    venue = PrivateVenue()
    venue.summaries = [summary("BTC"), summary("ETH", equity=30.0)]
    venue.connect()
    account = state(venue.push(PORTFOLIO, summary("BTC", equity=1.5)))
    assert {row.currency: row.equity for row in account.summaries} == {"BTC": 1.5, "ETH": 30.0}


def test_the_newest_totals_hold_for_all_wallets_of_a_cross_model_and_are_never_added() -> None:
    venue = PrivateVenue()
    old, new = totals(100.0, 90.0, 10.0), totals(80.0, 70.0, 12.0)
    venue.summaries = [summary("BTC", "cross_pm", **old), summary("ETH", "cross_pm", **old), summary("BNB", "segregated_pm")]
    venue.connect()
    account = state(venue.push(PORTFOLIO, summary("ETH", "cross_pm", **new)))
    told = {
        row.currency: (row.total_equity_usd, row.total_margin_balance_usd, row.total_maintenance_margin_usd) for row in account.summaries
    }
    assert told == {"BTC": (80.0, 70.0, 12.0), "ETH": (80.0, 70.0, 12.0), "BNB": (None, None, None)}


def test_pushes_before_the_first_read_make_no_account() -> None:
    venue = PrivateVenue()
    venue.mute = {"private/get_positions"}
    venue.connect()
    assert venue.push(PORTFOLIO, summary()) == []
    assert not of(SummarySnapshot, venue.push(CHANGES, {"instrument_name": CALL, "positions": [position()], "orders": [], "trades": []}))


def test_changes_add_replace_and_remove_positions_signed_by_direction() -> None:
    venue = PrivateVenue()
    venue.positions = [position(size=-3.0)]
    venue.connect()

    def change(*rows: object) -> dict[str, float]:
        events = venue.push(CHANGES, {"instrument_name": CALL, "positions": list(rows), "orders": [], "trades": []})
        assert last(SummarySnapshot, events).source is Source.PUSH
        return held(last(SummarySnapshot, events).state)

    assert change(position(size=4.0, direction="sell")) == {CALL: -4.0}, "the size of a sold position may be told without a sign"
    assert change(position(PERPETUAL, 1000.0)) == {CALL: -4.0, PERPETUAL: 1000.0}
    assert change(position(size=0.0)) == {PERPETUAL: 1000.0}
    assert change(position("BTC-25DEC26", 3.0, kind="future")) == {PERPETUAL: 1000.0, "BTC-25DEC26": 3.0}, "delivered into a future"
    assert change(position("BTC_USDC", 3.0, kind="spot"), position(size=-1.0)) == {PERPETUAL: 1000.0, "BTC-25DEC26": 3.0, CALL: -1.0}


def test_changed_orders_rest_fill_and_go() -> None:
    venue = PrivateVenue()
    venue.orders = [order("BTC-1")]
    venue.connect()

    def change(*rows: object) -> dict[str, float]:
        events = venue.push(CHANGES, {"instrument_name": CALL, "positions": [], "orders": list(rows), "trades": []})
        return {row.order_id: row.quantity for row in last(OrdersSnapshot, events).orders}

    assert change(order("BTC-2", direction="sell")) == {"BTC-1": 1.5, "BTC-2": -1.5}
    assert change(order("BTC-1", filled_amount=2.0, order_state="filled")) == {"BTC-2": -1.5}
    assert change(order("BTC-3", order_state="untriggered", price="market_price", trigger_price=0.01)) == {"BTC-2": -1.5, "BTC-3": 1.5}
    assert change(order("BTC-2", order_state="cancelled")) == {"BTC-3": 1.5}


def test_a_trade_under_liquidation_is_told() -> None:
    venue = PrivateVenue()
    venue.connect()
    trade = {
        "instrument_name": CALL,
        "direction": "buy",
        "amount": 0.5,
        "price": 0.06,
        "timestamp": NOW_MS,
        "liquidation": "T",
        "liquidity": "T",
    }
    (liquidation,) = of(Liquidation, venue.push(CHANGES, {"positions": [], "orders": [], "trades": [trade]}))
    assert (liquidation.detail, liquidation.time_ms) == (f"bought 0.5 {CALL} at 0.06", NOW_MS)
    other = venue.push(CHANGES, {"positions": [], "orders": [], "trades": [{**trade, "liquidity": "M"}]})
    assert not of(Liquidation, other), "the other side was liquidated"


def test_a_wallet_pushed_while_an_answer_is_on_its_way_is_read_again_at_once() -> None:
    venue = PrivateVenue()
    venue.connect()
    venue.mute.add("private/get_account_summaries")
    venue.pass_time(15.0)
    venue.push("user.portfolio.any", summary(maintenance_margin=1.8))
    assert last(SummarySnapshot, venue.release()).state.summaries[0].maintenance_margin == 0.0
    venue.summaries = [summary(maintenance_margin=1.8)]
    assert last(SummarySnapshot, venue.pass_time(2.0)).state.summaries[0].maintenance_margin == 1.8


def test_a_change_that_an_answer_on_its_way_may_not_know_is_read_again() -> None:
    venue = PrivateVenue()
    venue.positions = [position(size=-3.0)]
    venue.connect()
    venue.mute = {"private/get_positions"}
    venue.pass_time(15.0)
    venue.push(CHANGES, {"positions": [position(size=-5.0)], "orders": [], "trades": []})
    assert held(last(SummarySnapshot, venue.release()).state) == {CALL: -3.0}, "the answer was older"
    venue.positions = [position(size=-5.0)]
    assert held(last(SummarySnapshot, venue.pass_time(2.0)).state) == {CALL: -5.0}


@pytest.mark.parametrize(
    ("channel", "data", "kind"),
    [
        (PORTFOLIO, {"currency": "BTC"}, "wrong_shape"),
        (PORTFOLIO, None, "wrong_shape"),
        (CHANGES, {"positions": [{"kind": "option"}]}, "wrong_shape"),
        (CHANGES, {"orders": [order(direction="zero")]}, "wrong_shape"),
        ("user.lock.any", {}, "unknown_channel"),
    ],
)
def test_a_push_that_makes_no_sense_is_an_error_and_changes_nothing(channel: str, data: object, kind: str) -> None:
    venue = PrivateVenue()
    venue.connect()
    (error,) = venue.push(channel, data)
    assert isinstance(error, ParseError)
    assert error.kind == kind


def test_a_channel_that_is_not_granted_is_told_and_reads_go_on() -> None:
    venue = PrivateVenue()
    venue.errors["private/subscribe"] = -32602
    events = [*venue.connect(), *venue.pass_time(31.0)]
    assert {error.feed for error in of(ParseError, events) if error.kind == "not_subscribed"} == {PORTFOLIO, CHANGES}
    assert len(of(SummarySnapshot, events)) == 3


# -- what option positions are worth (venue notes 2.7) ------------------------------------------------------------------------------


def sol(value: float, size: float = 4.0) -> PrivateVenue:
    venue = PrivateVenue()
    venue.summaries = [summary("USDC", options_value=value)]
    venue.positions = [position(LINEAR, size, 12.0)]
    return venue


def test_sizes_in_coins_stay(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert held(state(sol(48.0).connect())) == {LINEAR: 4.0}
    assert caplog.records == []


def test_sizes_in_contracts_become_coins_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    venue = sol(480.0)
    with caplog.at_level(logging.WARNING):
        assert held(state([*venue.connect(), *venue.pass_time(40.0)])) == {LINEAR: 40.0}
    assert [record.getMessage() for record in caplog.records] == [
        f"deribit {ALIAS}: option positions of wallet USDC are told in contracts: counted in coins"
    ]
    venue.push(CHANGES, {"positions": [position(LINEAR, 5.0, 12.0)], "orders": [], "trades": []})
    venue.summaries, venue.positions = [summary("USDC")], []
    assert held(state(venue.pass_time(16.0))) == {}


def test_a_value_that_fits_neither_is_a_doubt_at_the_second_read() -> None:
    venue = sol(100.0)
    assert state(venue.connect()).doubt == ""
    doubted = state(venue.pass_time(16.0))
    assert "USDC" in doubted.doubt
    assert held(doubted) == {LINEAR: 4.0}
    venue.summaries = [summary("USDC", options_value=48.3)]
    assert state(venue.pass_time(16.0)).doubt == ""


def test_positions_that_the_venue_says_are_worth_something_but_are_not_told_are_a_doubt() -> None:
    venue = PrivateVenue()
    venue.summaries = [summary("BTC", options_value=-0.4)]
    venue.connect()
    assert "BTC" in state(venue.pass_time(16.0)).doubt


def test_an_instrument_that_is_not_listed_is_no_doubt_here() -> None:
    venue = PrivateVenue()
    venue.summaries, venue.positions = [summary("BTC", options_value=-0.4)], [position("BTC-1JAN27-90000-P")]
    venue.connect()
    assert state(venue.pass_time(31.0)).doubt == ""


def test_rows_are_what_the_venue_tells() -> None:
    venue = PrivateVenue()
    venue.positions = [position(size=-3.0, delta=-1.6, gamma=-2e-5, vega=-310.0)]
    assert state(venue.connect()).positions == (ListedPosition(f"deribit:{CALL}", -3.0, 0.04, 0.05, 80_000.0, -1.6, -2e-5, -310.0),)
