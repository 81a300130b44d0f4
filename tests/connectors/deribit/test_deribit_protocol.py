"""The public connection: what is asked for, what the frames say, and how its feeds live, die and come back."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from connectors.events import (
    Event,
    FeedDropped,
    FeedStatus,
    Forwards,
    IndexPrices,
    Instruments,
    MarkPrices,
    ParseError,
    StablecoinPrices,
    VenueStatus,
    Volatilities,
    VolatilityIndices,
    Volumes,
)
from connectors.model import InstrumentKind
from tests.connectors.deribit import deribit_wire as wire
from tests.connectors.deribit.deribit_wire import DEC, SOON, Stage, ready

CHAIN = "markprice.options.btc_usd"
INDEX = "deribit_price_index.btc_usd"
HELD = "deribit:BTC-25DEC26-80000-P"
DEC_FEED = "ticker.BTC-25DEC26"
DEC_KEY = ("BTC", "BTC", DEC)


def summary(name: str, **fields: Any) -> Any:
    return {"instrument_name": name, "mark_iv": 40.0, "underlying_price": 81_000.0, "open_interest": 1.0, "volume": 2.0, **fields}


def serving(stage: Stage) -> str:
    (channel,) = [channel for channel in stage.subscribed if channel.startswith("ticker.") and channel.endswith("agg2")]
    return channel


# -- what is asked for ------------------------------------------------------------------------------------------------


def test_nothing_is_listed_as_long_as_nobody_wants_anything() -> None:
    stage = Stage()
    stage.open()
    stage.advance(5.0)
    assert stage.calls("public/get_instruments") == []
    assert stage.subscribed == {
        "deribit_price_index.usdc_usd",
        "deribit_price_index.usdt_usd",
        "platform_state",
        "instrument.state.any.any",
    }


def test_a_coin_brings_its_listing_indices_chains_and_volatility_index() -> None:
    stage = Stage(coins=("BTC",))
    stage.open()
    stage.advance(3.0)
    assert stage.asked[0] == ("public/set_heartbeat", {"interval": 15})
    assert {(one["currency"], one["kind"]) for one in stage.calls("public/get_instruments")} == {
        (currency, kind) for currency in ("BTC", "USDC") for kind in ("option", "future")
    }
    assert {INDEX, CHAIN, "deribit_volatility_index.btc_usd"} <= stage.subscribed
    assert not any("hype" in channel for channel in stage.subscribed)
    (event,) = stage.of(Instruments)
    kinds = {one.id: one.kind for one in event.instruments}
    assert kinds["deribit:btc_usd"] is InstrumentKind.INDEX
    assert kinds["deribit:BTC-PERPETUAL"] is InstrumentKind.PERPETUAL
    assert kinds["deribit:BTC-25DEC26"] is InstrumentKind.FUTURE
    assert kinds[HELD] is InstrumentKind.OPTION
    assert "deribit:HYPE_USDC-25DEC26-40-C" not in kinds


def test_a_coin_wanted_later_needs_no_new_listing_if_its_currency_is_listed() -> None:
    stage = ready()
    asked = len(stage.calls("public/get_instruments"))
    stage.wish(coins=("HYPE",))
    stage.advance(1.0)
    assert len(stage.calls("public/get_instruments")) == asked
    assert {"markprice.options.hype_usdc", "deribit_price_index.hype_usdc"} <= stage.subscribed
    assert "deribit_volatility_index.hype_usdc" not in stage.subscribed
    assert any(one.id == "deribit:HYPE_USDC-25DEC26-40-C" for one in stage.of(Instruments)[-1].instruments)


def test_instruments_are_told_before_what_is_said_of_them() -> None:
    stage = ready()
    stage.events.clear()
    stage.wish(coins=("HYPE",))
    stage.whole_chain("hype_usdc", 0.5)
    assert [type(event) for event in stage.events if isinstance(event, Instruments | Volatilities)] == [Instruments, Volatilities]


def test_a_held_option_of_an_unwatched_coin_is_found_by_name_and_its_coin_watched() -> None:
    stage = Stage()
    stage.open()
    stage.wish("deribit:HYPE_USDC-25DEC26-44-P", "hyperliquid:HYPE")
    stage.advance(5.0)
    assert {one["currency"] for one in stage.calls("public/get_instruments")} == {"BTC", "ETH", "USDC"}
    assert {"markprice.options.hype_usdc", "deribit_price_index.hype_usdc"} <= stage.subscribed
    assert serving(stage).startswith("ticker.HYPE_USDC-25DEC26-")


def test_a_new_currency_is_listed_without_reading_the_others_again() -> None:
    stage = ready()
    before = len(stage.calls("public/get_instruments"))
    stage.wish("deribit:ETH-25DEC26-2600-C")
    stage.advance(5.0)
    asked = stage.calls("public/get_instruments")[before:]
    assert [(one["currency"], one["kind"]) for one in asked] == [("ETH", "option"), ("ETH", "future")]


def test_an_instrument_nobody_lists_is_asked_for_ever_more_rarely() -> None:
    stage = ready()
    stage.wish("deribit:BTC-9JAN26-1-C")
    stage.advance(600.0)
    assert 1 <= stage.listing_rounds() - 1 <= 3


def test_subscriptions_come_in_batches_of_at_most_five_hundred() -> None:
    stage = Stage(stablecoin_indices=tuple(f"c{number}_usd" for number in range(1_200)))
    stage.open()
    stage.advance(5.0)
    sizes = [len(params["channels"]) for params in stage.calls("public/subscribe")]
    assert sizes == [500, 500, 202]
    assert len(stage.subscribed) == 1_202


# -- forwards and marks -----------------------------------------------------------------------------------------------


def test_one_ticker_serves_each_wanted_expiry() -> None:
    stage = ready()
    stage.wish(HELD, "deribit:BTC-25DEC26-70000-C", expiries=(("BTC", "BTC", SOON),))
    stage.advance(1.0)
    channels = sorted(channel for channel in stage.subscribed if channel.startswith("ticker."))
    assert len(channels) == 2
    forwards = {(event.feed, event.coins[0], event.settles[0], event.expiries_ms[0], event.forwards[0]) for event in stage.of(Forwards)}
    assert (DEC_FEED, "BTC", "BTC", DEC, 81_000.0) in forwards
    assert any(one[3] == SOON for one in forwards)
    assert stage.status(DEC_FEED) is FeedStatus.FRESH


def test_the_option_with_the_most_open_interest_is_asked_for_the_forward() -> None:
    stage = Stage(coins=("BTC",))
    stage.summaries = [summary("BTC-25DEC26-74000-P", open_interest=900.0), summary("BTC-25DEC26-80000-C", open_interest=5.0)]
    stage.open()
    stage.advance(3.0)
    stage.wish(HELD)
    assert serving(stage) == "ticker.BTC-25DEC26-74000-P.agg2"


@pytest.mark.parametrize("fields", [{"state": "locked"}, {"estimated_delivery_price": "expired"}, {"underlying_price": None}])
def test_an_option_that_gives_no_forward_is_changed_for_another(fields: dict[str, Any]) -> None:
    stage = ready()
    stage.wish(HELD)
    first = serving(stage)
    told = len(stage.of(Forwards))
    stage.push(first, wire.ticker("x", **{"underlying_price": 81_000.0, **fields}))
    assert len(stage.of(Forwards)) == told
    stage.advance(1.0)
    assert serving(stage) != first
    assert stage.status(DEC_FEED) is FeedStatus.FRESH


def test_a_refused_ticker_is_changed_for_another() -> None:
    stage = ready()
    stage.refused = {f"ticker.{row['instrument_name']}.agg2" for row in stage.rows if row["instrument_name"] != "BTC-25DEC26-88000-P"}
    stage.wish(HELD)
    stage.advance(60.0)
    assert serving(stage) == "ticker.BTC-25DEC26-88000-P.agg2"
    assert stage.status(DEC_FEED) is FeedStatus.FRESH


def test_a_silent_ticker_is_changed_for_another() -> None:
    stage = ready()
    stage.wish(HELD)
    stage.advance(2.0)
    stage.mute = {first := serving(stage)}
    stage.advance(29.0)
    assert stage.status(DEC_FEED) is FeedStatus.FRESH
    stage.advance(3.0)
    assert serving(stage) != first
    assert stage.status(DEC_FEED) is FeedStatus.FRESH
    assert stage.reconnect is None


def test_an_expiry_without_options_is_down_and_says_why() -> None:
    stage = ready()
    stage.wish(expiries=(("BTC", "BTC", DEC + wire.DAY_MS),))
    assert stage.state("ticker.BTC-26DEC26").status is FeedStatus.DOWN
    assert "no option of this expiry" in stage.state("ticker.BTC-26DEC26").detail
    stage.rows.append(wire.option("BTC-26DEC26-1-C", 1.0, expiry_ms=DEC + wire.DAY_MS))
    stage.push("instrument.state.any.any", {"instrument_name": "BTC-26DEC26-1-C", "state": "open", "timestamp": stage.now_ms})
    stage.advance(62.0)
    assert stage.status("ticker.BTC-26DEC26") is FeedStatus.FRESH


def test_held_futures_have_marks_and_index_prices_are_marks_too() -> None:
    stage = ready()
    stage.wish("deribit:BTC-PERPETUAL", "deribit:BTC-25DEC26")
    stage.push("ticker.BTC-PERPETUAL.100ms", wire.ticker("BTC-PERPETUAL", mark_price=80_100.0, current_funding=0.0001))
    event = stage.of(MarkPrices)[-1]
    assert (event.feed, event.instruments, event.marks, event.indices) == (
        "ticker.BTC-PERPETUAL",
        ["deribit:BTC-PERPETUAL"],
        [80_100.0],
        [80_000.0],
    )
    assert event.funding == [0.0001]
    assert event.time_ms == wire.NOW_MS
    stage.push(INDEX, {"index_name": "btc_usd", "price": 83_250.78, "timestamp": stage.now_ms})
    index, mark = stage.events[-2:]
    assert isinstance(index, IndexPrices)
    assert (index.prices, index.quote, index.feed) == ({"BTC": 83_250.78}, "USD", INDEX)
    assert isinstance(mark, MarkPrices)
    assert (mark.instruments, mark.marks) == (["deribit:btc_usd"], [83_250.78])
    assert isnan(mark.funding[0])


def test_a_linear_index_is_in_its_stablecoin() -> None:
    stage = ready(coins=("HYPE",))
    stage.push("deribit_price_index.hype_usdc", {"index_name": "hype_usdc", "price": 44.0, "timestamp": stage.now_ms})
    (event,) = [event for event in stage.of(IndexPrices) if event.prices == {"HYPE": 44.0}]
    assert event.quote == "USDC"


def test_stablecoins_and_volatility_indices() -> None:
    stage = ready()
    stage.push("deribit_price_index.usdt_usd", {"index_name": "usdt_usd", "price": 0.9987, "timestamp": stage.now_ms})
    assert stage.of(StablecoinPrices)[-1].prices == {"USDT": 0.9987}
    stage.push("deribit_volatility_index.btc_usd", {"index_name": "btc_usd", "volatility": 35.25, "timestamp": stage.now_ms})
    assert stage.of(VolatilityIndices)[-1].volatilities == {"BTC": 0.3525}


# -- chains -----------------------------------------------------------------------------------------------------------


def test_a_chain_is_fresh_once_it_is_whole() -> None:
    stage = Stage(coins=("BTC",))
    stage.open()
    stage.advance(3.0)
    stage.chain("btc_usd", **{"BTC-25DEC26-80000-C": 0.4})
    assert stage.status(CHAIN) is FeedStatus.CONNECTING
    stage.whole_chain()
    assert stage.status(CHAIN) is FeedStatus.FRESH


def test_after_a_new_connection_the_chain_is_stale_until_it_is_whole_again() -> None:
    stage = ready()
    stage.close()
    assert stage.status(CHAIN) is FeedStatus.DOWN
    stage.open()
    stage.chain("btc_usd", **{"BTC-25DEC26-80000-C": 0.41})
    assert stage.status(CHAIN) is FeedStatus.STALE
    assert "whole chain" in stage.state(CHAIN).detail
    stage.whole_chain()
    assert stage.status(CHAIN) is FeedStatus.FRESH
    assert stage.of(Volatilities)[-1].full


def test_a_silently_dropped_chain_becomes_stale_is_subscribed_again_and_then_costs_the_connection() -> None:
    stage = ready()
    stage.mute = {CHAIN}
    stage.advance(10.0)
    assert stage.status(CHAIN) is FeedStatus.FRESH
    stage.advance(1.0)
    assert stage.status(CHAIN) is FeedStatus.STALE
    assert stage.calls("public/unsubscribe") == [{"channels": [CHAIN]}]
    assert stage.calls("public/subscribe")[-1] == {"channels": [CHAIN]}
    assert stage.reconnect is None
    stage.advance(11.0)
    assert stage.reconnect is not None
    assert CHAIN in stage.reconnect


def test_a_silent_linear_chain_and_a_silent_volatility_index_are_given_more_time() -> None:
    stage = ready(coins=("BTC", "HYPE"))
    stage.whole_chain("hype_usdc")
    stage.mute = {"markprice.options.hype_usdc", "deribit_volatility_index.btc_usd"}
    stage.advance(59.0)
    assert stage.status("markprice.options.hype_usdc") is FeedStatus.FRESH
    stage.advance(5.0)
    assert stage.status("markprice.options.hype_usdc") is FeedStatus.STALE
    assert stage.status("deribit_volatility_index.btc_usd") is FeedStatus.STALE


def test_a_silent_volatility_index_never_costs_the_connection() -> None:
    stage = ready()
    stage.mute = {"deribit_volatility_index.btc_usd", "deribit_price_index.usdt_usd"}
    stage.advance(600.0)
    assert stage.reconnect is None
    assert stage.status("deribit_volatility_index.btc_usd") is FeedStatus.STALE


def test_frames_of_nothing_but_refused_rows_are_no_sign_of_life() -> None:
    stage = ready()
    stage.mute = {CHAIN}
    for _ in range(12):
        stage.advance(1.0)
        stage.push(CHAIN, [{"instrument_name": "BTC-25DEC26-80000-C", "iv": None}])
    assert stage.status(CHAIN) is FeedStatus.STALE
    errors = [event for event in stage.of(ParseError) if event.kind == "iv_missing"]
    assert len(errors) == 12
    assert errors[0].feed == CHAIN


def test_an_unknown_option_brings_a_new_listing_but_at_most_one_a_minute() -> None:
    stage = ready()
    rounds = stage.listing_rounds()
    for _ in range(50):
        stage.chain("btc_usd", **{"BTC-1JAN27-80000-C": 0.4})
        stage.advance(1.0)
    assert stage.listing_rounds() == rounds
    stage.advance(10.0)
    assert stage.listing_rounds() == rounds + 1
    stage.rows.append(wire.option("BTC-1JAN27-80000-C", 80_000.0, expiry_ms=DEC + wire.DAY_MS))
    stage.chain("btc_usd", **{"BTC-1JAN27-80000-C": 0.4})
    stage.advance(121.0)
    assert stage.listing_rounds() == rounds + 2
    stage.chain("btc_usd", **{"BTC-1JAN27-80000-C": 0.43})
    assert stage.of(Volatilities)[-1].instruments == ["deribit:BTC-1JAN27-80000-C"]


def test_an_option_that_stays_unknown_asks_for_the_listing_ever_more_rarely() -> None:
    stage = ready()
    rounds = stage.listing_rounds()
    for _ in range(1_200):
        stage.chain("btc_usd", **{"BTC-1JAN27-80000-C": 0.4})
        stage.advance(1.0, step=1.0)
    # After 1, 2, 4, 8 minutes: not 20 times.
    assert 3 <= stage.listing_rounds() - rounds <= 5


def test_expired_options_and_their_ticker_go_and_the_listing_is_read_again() -> None:
    stage = ready()
    stage.wish("deribit:BTC-SOON-76000-C")
    stage.advance(2.0)
    feeds = {state.feed for state in stage.protocol.feed_states(stage.now_ns) if state.feed.startswith("ticker.")}
    assert len(feeds) == 1
    rounds = stage.listing_rounds()
    stage.advance(600.0, step=1.0)
    assert not any(channel.startswith("ticker.") for channel in stage.subscribed)
    assert not any(state.feed.startswith("ticker.") for state in stage.protocol.feed_states(stage.now_ns))
    assert [event.feed for event in stage.of(FeedDropped)] == list(feeds), "or its last state would be shown for ever"
    events = stage.chain("btc_usd", **{"BTC-SOON-76000-C": 2.5})
    assert isinstance(events[0], Volatilities)
    assert events[0].instruments == []
    stage.advance(40.0)
    assert stage.listing_rounds() > rounds
    assert "expiry" in stage.protocol.listing.reasons


def test_the_daily_roll_brings_a_new_listing() -> None:
    stage = ready()
    seconds_to_roll = (wire.DAY_MS - wire.NOW_MS % wire.DAY_MS) / 1000 + 8 * 3600 + 30
    stage.now_ns += round((seconds_to_roll % 86_400 - 10.0) * 1e9)
    stage.advance(5.0)
    rounds = stage.listing_rounds()
    assert "daily roll" not in stage.protocol.listing.reasons
    stage.advance(70.0)
    assert stage.protocol.listing.reasons["daily roll"] == 1
    assert stage.listing_rounds() == rounds + 1


# -- summaries --------------------------------------------------------------------------------------------------------


def test_a_summary_that_disagrees_makes_the_chain_be_sent_again() -> None:
    stage = ready()
    stage.summaries = [summary(name) for name, _, _ in wire.chain_names("BTC", "25DEC26", range(70_000, 90_000, 2_000))]
    stage.advance(60.0)
    assert stage.calls("public/unsubscribe") == []
    for row in stage.summaries[:3]:
        row["mark_iv"] = 47.0
    stage.advance(60.0)
    assert stage.calls("public/unsubscribe") == [{"channels": [CHAIN]}]
    assert stage.status(CHAIN) is FeedStatus.FRESH
    stage.advance(60.0)
    assert stage.status(CHAIN) is FeedStatus.STALE
    assert "summary disagrees" in stage.state(CHAIN).detail
    stage.volatilities = {row["instrument_name"]: row["mark_iv"] / 100 for row in stage.summaries}
    stage.whole_chain()
    assert stage.status(CHAIN) is FeedStatus.FRESH
    assert stage.protocol.chains["btc_usd"].volatility(stage.summaries[0]["instrument_name"]) == 0.47


def test_summaries_tell_turnovers_of_what_is_wanted_forwards_of_the_rest_and_the_venues_clock() -> None:
    stage = ready()
    stage.wish(HELD, "deribit:BTC-PERPETUAL")
    stage.summaries = [
        summary("BTC-25DEC26-80000-P", volume_usd=163_000.0),
        summary("BTC-25DEC26-70000-C"),
        summary("BTC-SOON-76000-C", underlying_price=80_050.0),
        {"instrument_name": "BTC-PERPETUAL", "volume_usd": 1e8, "volume": 1250.0, "mark_price": 80_000.0},
    ]
    stage.events.clear()
    stage.advance(61.0)
    volumes = {name: value for event in stage.of(Volumes) for name, value in event.volumes.items()}
    assert volumes == {HELD: 163_000.0, "deribit:BTC-PERPETUAL": 1e8}
    (event,) = [event for event in stage.of(Forwards) if event.feed == "get_book_summary"]
    assert (event.expiries_ms, event.forwards) == ([SOON], [80_050.0])
    status = stage.of(VenueStatus)[-1]
    assert status.time_ms == wire.NOW_MS + (status.received_ns - stage.clock.monotonic_ns()) // 1_000_000


def test_summaries_that_fail_are_told_once_their_last_is_too_old() -> None:
    stage = ready()
    stage.faults["public/get_book_summary_by_currency"] = lambda params: {"error": {"code": 11051, "message": "system_maintenance"}}
    stage.advance(100.0)
    assert stage.status("get_book_summary") is FeedStatus.POLLED
    stage.advance(100.0)
    assert stage.status("get_book_summary") is FeedStatus.DOWN
    assert "maintenance" in stage.state("get_book_summary").detail


# -- refusals, failures, status ---------------------------------------------------------------------------------------


def test_a_channel_that_is_not_echoed_is_down_and_asked_for_again_later() -> None:
    stage = Stage(coins=("BTC",))
    stage.refused = {CHAIN, "instrument.state.any.any"}
    stage.open()
    stage.advance(3.0)
    assert stage.status(CHAIN) is FeedStatus.DOWN
    assert "does not know this channel" in stage.state(CHAIN).detail
    assert stage.status(INDEX) is FeedStatus.FRESH
    asked = sum(CHAIN in params["channels"] for params in stage.calls("public/subscribe"))
    stage.refused = set()
    stage.advance(290.0, step=5.0)
    assert sum(CHAIN in params["channels"] for params in stage.calls("public/subscribe")) == asked
    assert stage.reconnect is None
    stage.advance(15.0)
    assert CHAIN in stage.subscribed
    stage.whole_chain()
    assert stage.status(CHAIN) is FeedStatus.FRESH


def test_a_subscription_that_fails_is_tried_again_soon() -> None:
    stage = Stage()
    stage.faults["public/subscribe"] = lambda params: {"error": {"code": 11051, "message": "system_maintenance"}}
    stage.open()
    assert stage.status("platform_state") is FeedStatus.DOWN
    del stage.faults["public/subscribe"]
    stage.advance(11.0)
    assert stage.status("platform_state") is FeedStatus.FRESH


@pytest.mark.parametrize("answer", [{"result": 5}, {"result": [{"a": 1}, None]}, {"result": None}])
def test_a_subscription_answer_that_makes_no_sense_grants_nothing_and_is_not_hammered(answer: Any) -> None:
    stage = Stage()
    stage.faults["public/subscribe"] = lambda params: answer
    stage.open()
    stage.advance(60.0)
    assert stage.status("platform_state") is FeedStatus.DOWN
    assert len(stage.calls("public/subscribe")) == 1


@pytest.mark.parametrize("answer", [{"error": {"code": -32602, "message": "Invalid params"}}, {"result": 5}, {"result": "x"}])
def test_a_listing_that_fails_is_down_and_tried_again(answer: Any) -> None:
    stage = Stage(coins=("BTC",))
    stage.faults["public/get_instruments"] = lambda params: answer
    stage.open()
    stage.advance(20.0)
    assert stage.of(Instruments) == []
    assert stage.status("get_instruments") in (FeedStatus.CONNECTING, FeedStatus.DOWN)
    assert len(stage.calls("public/get_instruments")) <= 20
    del stage.faults["public/get_instruments"]
    stage.advance(20.0)
    assert stage.of(Instruments)
    assert stage.status("get_instruments") is FeedStatus.POLLED


def test_a_part_of_the_listing_that_never_came_is_asked_for_soon_but_ever_more_rarely() -> None:
    stage = Stage(coins=("BTC",))
    broken = {"error": {"code": -32000}}
    stage.faults["public/get_instruments"] = lambda params: (
        broken if params["kind"] == "future" else {"result": [row for row in stage.rows if stage._is_of(row, params)]}
    )
    stage.open()
    stage.advance(30.0)
    assert stage.listing_rounds() == 3
    del stage.faults["public/get_instruments"]
    stage.advance(30.0)
    assert "BTC-PERPETUAL" in stage.reference.by_name


@pytest.mark.parametrize("rows", [[], [{"kind": "option"}, 5]])
def test_a_listing_that_is_suddenly_empty_or_unreadable_takes_nothing_away(rows: list[Any]) -> None:
    stage = ready()
    known, told = set(stage.reference.by_name), len(stage.of(Instruments))
    stage.faults["public/get_instruments"] = lambda params: {"result": rows}
    stage.advance(3_600.0, step=5.0)
    assert stage.listing_rounds() > 1
    assert {name for name in known if "SOON" not in name} <= set(stage.reference.by_name)
    assert len(stage.of(Instruments)) == told
    stage.advance(2_400.0, step=5.0)
    assert "is empty or unreadable" in stage.state("get_instruments").detail


def test_open_interest_of_what_is_listed_no_longer_is_forgotten() -> None:
    stage = ready()
    stage.summaries = [{"instrument_name": row["instrument_name"], "open_interest": 5.0} for row in stage.rows if row["kind"] == "option"]
    stage.advance(70.0)
    assert "BTC-SOON-76000-C" in stage.protocol.summaries.interests
    stage.rows = [row for row in stage.rows if "SOON" not in row["instrument_name"]]
    stage.summaries = []
    stage.advance(700.0)
    assert "BTC-SOON-76000-C" not in stage.protocol.summaries.interests
    assert "BTC-25DEC26-76000-C" in stage.protocol.summaries.interests


def test_rows_of_a_listing_that_make_no_sense_are_told_and_the_others_stand() -> None:
    stage = Stage(coins=("BTC",))
    stage.rows[0] = {**stage.rows[0], "strike": "high"}
    stage.open()
    stage.advance(3.0)
    (error,) = stage.of(ParseError)
    assert (error.feed, error.kind) == ("get_instruments", "wrong_shape")
    assert "strike" in error.detail
    names = {one.symbol for one in stage.of(Instruments)[-1].instruments}
    assert "BTC-25DEC26-70000-C" not in names
    assert "BTC-25DEC26-70000-P" in names


def test_too_many_requests_costs_the_connection() -> None:
    stage = Stage(coins=("BTC",))
    stage.faults["public/get_instruments"] = lambda params: {"error": {"code": 10028, "message": "too_many_requests", "data": None}}
    stage.open()
    stage.advance(1.0)
    assert stage.reconnect is not None
    assert "slow down" in stage.reconnect


def test_maintenance_and_locked_indices_are_told() -> None:
    stage = ready()
    stage.push("platform_state", {"maintenance": True})
    stage.push("platform_state", {"price_index": "btc_usd", "locked": True})
    stage.push("platform_state", {"price_index": "xrp_usdc", "locked": True})
    assert stage.of(VenueStatus)[-1].statuses == ("maintenance", "locked btc_usd")
    stage.push("platform_state", {"maintenance": False})
    stage.push("platform_state", {"price_index": "btc_usd", "locked": False})
    assert stage.of(VenueStatus)[-1].statuses == ()


def test_a_maintenance_that_cut_the_connection_is_over_on_the_next_but_a_lock_stays() -> None:
    stage = ready()
    stage.push("platform_state", {"maintenance": True})
    stage.push("platform_state", {"price_index": "btc_usd", "locked": True})
    stage.close()
    stage.open()
    stage.advance(3.0)
    assert stage.of(VenueStatus)[-1].statuses == ("locked btc_usd",)


def test_a_settling_option_keeps_its_volatility_and_a_delivered_one_goes() -> None:
    stage = ready()
    name = "BTC-25DEC26-80000-P"
    stage.push("instrument.state.any.any", {"instrument_name": name, "state": "settlement", "timestamp": stage.now_ms})
    stage.advance(1.0)
    assert stage.protocol.chains["btc_usd"].volatility(name) == 0.4
    stage.push("instrument.state.any.any", {"instrument_name": name, "state": "delivered", "timestamp": stage.now_ms})
    stage.advance(1.0)
    assert isnan(stage.protocol.chains["btc_usd"].volatility(name))


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        (CHAIN, {"instrument_name": "BTC-25DEC26-80000-P"}),
        (CHAIN, None),
        (INDEX, {"index_name": "btc_usd", "price": 0.0, "timestamp": 1}),
        (INDEX, {"index_name": "btc_usd", "price": None, "timestamp": 1}),
        (INDEX, []),
        ("deribit_volatility_index.btc_usd", {"index_name": "btc_usd", "volatility": "high", "timestamp": 1}),
        ("platform_state", {"locked": True}),
        ("instrument.state.any.any", {"instrument_name": 5, "state": "open"}),
        ("book.BTC-PERPETUAL.100ms", {}),
        ("ticker.BTC-PERPETUAL.100ms", {"instrument_name": "BTC-PERPETUAL"}),
        ("ticker.BTC-PERPETUAL.100ms", {"instrument_name": "BTC-PERPETUAL", "mark_price": -1.0}),
    ],
)
def test_frames_that_make_no_sense_are_told_and_no_sign_of_life(channel: str, data: Any) -> None:
    stage = ready()
    stage.wish("deribit:BTC-PERPETUAL")
    stage.advance(9.0, step=10.0)
    events = stage.push(channel, data)
    assert [type(event) for event in events] == [ParseError]
    assert sum(isinstance(event, ParseError) for event in stage.events) == 1


def test_closing_is_told_once_and_an_unchanged_wish_costs_nothing() -> None:
    stage = ready()
    stage.close()
    stage.events.clear()
    stage.close()
    assert stage.events == []
    asked = len(stage.asked)
    stage.wish()
    assert len(stage.asked) == asked


def test_no_frame_ever_raises() -> None:
    stage = ready()
    events: list[Event] = []
    for data in (b"", b"\x00", b"[1]", b'{"id":1}', b'{"method":"subscription","params":[]}', b"null", b'{"method":"heartbeat"}'):
        events += stage.protocol.receive(data, stage.now_ns)
    assert all(isinstance(event, ParseError) for event in events)
    assert len(events) == 6
