"""What REST answers and the user stream say, in payloads of our own; the recorded ones are in test_aster_recordings.py."""

from __future__ import annotations

from math import isnan
from typing import Any

import pytest

from connectors.aster.answers import (
    parse_account,
    parse_adl,
    parse_agents,
    parse_flag,
    parse_listen_key,
    parse_orders,
    parse_premium_index,
    parse_sub_accounts,
    with_position_risk,
)
from connectors.aster.errors import TornRead
from connectors.aster.messages import parse_account_update, parse_config_update, parse_margin_call, parse_order_update
from connectors.aster.reference import Reference
from connectors.errors import ProtocolError
from connectors.events import LiquidationKind
from connectors.fields import WrongShape
from connectors.model import FuturesAsset, FuturesRead, MarginMode, Order, Position, PositionSide, ReportedAsset
from tests.connectors.aster import aster_wire as wire

REFERENCE = wire.reference()


def read(*positions: Any, assets: tuple[Any, ...] = ()) -> FuturesRead:
    return parse_account(wire.account(list(assets), list(positions)), 5, REFERENCE)


def the_position(row: Any) -> Position:
    (found,) = read(row).positions
    return found


def test_totals_are_the_venues() -> None:
    found = read()
    assert (found.began_ms, found.assets, found.positions, found.reported) == (5, (), (), ())
    assert (found.total_wallet_balance, found.total_margin_balance, found.available) == (3.5, 5.5, 6.5)
    assert (found.total_initial_margin, found.total_maintenance_margin) == (1.5, 2.5)


def test_asset() -> None:
    row = wire.asset(
        "USDT", "1000", cross="900", pnl="-50", cross_pnl="-40", maintMargin="3", initialMargin="4", availableBalance="5", updateTime=7
    )
    found = read(assets=(row,))
    assert found.assets == (FuturesAsset("USDT", 1000.0, 900.0, 7),)
    assert found.reported == (ReportedAsset("USDT", 950.0, 860.0, 3.0, 4.0, 5.0),)


def test_cross_position() -> None:
    row = wire.position(
        "BTCUSDT", "-0.5", "60000.0", mark="61000", maintMargin="122", positionInitialMargin="1525", updateTime=9, side="SHORT"
    )
    assert the_position(row) == Position(
        instrument="aster:BTCUSDT",
        quantity=-0.5,
        mark=61_000.0,
        entry=60_000.0,
        leverage=20.0,
        reported_margin_used=1525.0,
        reported_unrealized_pnl=-500.0,
        reported_maintenance_margin=122.0,
        side=PositionSide.SHORT,
        time_ms=9,
    )


@pytest.mark.parametrize("amount", ["2", "-2"])
def test_isolated_cash_and_the_mark_make_the_equity(amount: str) -> None:
    row = wire.position("ETHUSDT", amount, "3000", mark="3100", isolated=True, isolatedWallet="700")
    found = the_position(row)
    assert found.margin_mode is MarginMode.ISOLATED
    assert found.isolated_cash is not None
    assert found.isolated_cash + found.quantity * found.mark == pytest.approx(700 + float(amount) * 100)


@pytest.mark.parametrize("notional", [None, "0"])
def test_mark_without_a_notional_comes_from_the_profit(notional: str | None) -> None:
    found = the_position(wire.position("ETHUSDT", "-4", "3000", mark="3100", notional=notional))
    assert found.mark == 3100.0


def test_entry_of_zero_comes_from_the_profit() -> None:
    row = wire.position("ETHUSDT", "-4", "3000", mark="3100") | {"entryPrice": "0.0"}
    assert the_position(row).entry == 3000.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"entryPrice": "0.0", "notional": None},
        {"unrealizedProfit": "-99999999", "notional": None},
        {"positionSide": "SIDEWAYS"},
        {"isolated": "true"},
        {"isolated": None},
        {"isolated": True, "isolatedWallet": None},
        {"updateTime": "0"},
        {"leverage": "x"},
        {"positionAmt": "NaN"},
        {"symbol": None},
    ],
)
def test_position_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongShape):
        read(wire.position("ETHUSDT", "4", "3000", mark="3100") | wrong)


def test_flat_rows_and_symbols_not_listed() -> None:
    rows = [wire.position("BTCUSDT"), wire.position("ETHUSDT", "0.000", side="LONG"), wire.position("NEWUSDT", "1", "2")]
    assert [position.instrument for position in read(*rows).positions] == ["aster:NEWUSDT"]


HEDGED = read(
    wire.position("BTCUSDT", "0.5", "60000", side="LONG"),
    wire.position("BTCUSDT", "-0.2", "61000", side="SHORT"),
    wire.position("ETHUSDT", "3", "3000"),
)


def test_liquidation_prices_join_by_symbol_and_side_and_zero_is_none() -> None:
    answer = [
        wire.risk("ETHUSDT", "3.000", price="0"),
        wire.risk("BTCUSDT", "-0.20", side="SHORT", price="70000.5"),
        wire.risk("BTCUSDT", "0.500", side="LONG", price="40000", mark="60001"),
        wire.risk("SANDUSDT"),
    ]
    found = with_position_risk(HEDGED, answer)
    assert [position.reported_liquidation_price for position in found.positions] == [40_000.0, 70_000.5, None]
    assert [position.mark for position in found.positions] == [position.mark for position in HEDGED.positions], (
        "the account's figures were computed with the account's marks"
    )


@pytest.mark.parametrize(
    "rows",
    [
        [("BTCUSDT", "0.4", "LONG"), ("BTCUSDT", "-0.2", "SHORT"), ("ETHUSDT", "3", "BOTH")],
        [("BTCUSDT", "0.5", "LONG"), ("BTCUSDT", "-0.2", "SHORT")],
        [("BTCUSDT", "0.5", "LONG"), ("BTCUSDT", "-0.2", "SHORT"), ("ETHUSDT", "0", "BOTH")],
        [("BTCUSDT", "0.5", "LONG"), ("BTCUSDT", "-0.2", "SHORT"), ("ETHUSDT", "3", "BOTH"), ("BNBUSDT", "1", "BOTH")],
        [("BTCUSDT", "0.5", "SHORT"), ("BTCUSDT", "-0.2", "LONG"), ("ETHUSDT", "3", "BOTH")],
    ],
    ids=["amount", "missing", "closed", "opened", "sides"],
)
def test_answers_that_disagree_are_torn(rows: list[tuple[str, str, str]]) -> None:
    with pytest.raises(TornRead) as caught:
        with_position_risk(HEDGED, [wire.risk(name, amount, side=side) for name, amount, side in rows])
    assert caught.value.kind == "torn_read"
    assert isinstance(caught.value, ProtocolError)


def pushed(**fields: Any) -> dict[str, Any]:
    row = {"s": "ETHUSDT", "pa": "-2", "ep": "3000", "cr": "0", "up": "-200", "mt": "isolated", "iw": "700", "ps": "BOTH", "ma": "USDT"}
    body = {"m": "ORDER", "B": [{"a": "USDT", "wb": "10.5", "cw": "9.5", "bc": "0"}], "P": [{**row, **fields}]}
    return {"e": "ACCOUNT_UPDATE", "E": 12, "T": 11, "a": body}


def test_account_update() -> None:
    update = parse_account_update(pushed(), REFERENCE)
    assert (update.time_ms, update.event_ms, update.reason) == (11, 12, "ORDER")
    assert update.assets == (FuturesAsset("USDT", 10.5, 9.5, 11),)
    (position,) = update.positions
    assert (position.instrument, position.quantity, position.mark, position.entry) == ("aster:ETHUSDT", -2.0, 3100.0, 3000.0)
    assert (position.margin_mode, position.isolated_cash, position.leverage, position.time_ms) == (MarginMode.ISOLATED, 6700.0, 0.0, 11)
    assert position.isolated_cash is not None
    assert position.isolated_cash + position.quantity * position.mark == 700.0 - 200.0


@pytest.mark.parametrize("word", ["cross", "CROSSED", "crossed"])
def test_every_word_for_cross(word: str) -> None:
    (position,) = parse_account_update(pushed(mt=word), REFERENCE).positions
    assert (position.margin_mode, position.isolated_cash) == (MarginMode.CROSS, None)


def test_account_update_without_positions_or_reason() -> None:
    update = parse_account_update({"e": "ACCOUNT_UPDATE", "E": 2, "T": 1, "a": {"B": []}}, REFERENCE)
    assert (update.assets, update.positions, update.reason) == ((), (), "")


@pytest.mark.parametrize("wrong", [{"ps": "UP"}, {"mt": "portfolio"}, {"pa": ""}, {"ep": "0"}, {"s": 1}, {"iw": None}])
def test_account_update_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongShape):
        parse_account_update(pushed(**wrong), REFERENCE)


@pytest.mark.parametrize(
    "frame", [None, [], {}, {"T": 1, "E": 1}, {"T": "1", "E": 1, "a": {}}, {"T": 1, "a": {}}, {"T": 1, "E": 1, "a": {"B": 7}}]
)
def test_frames_of_another_shape_are_refused(frame: object) -> None:
    with pytest.raises(WrongShape):
        parse_account_update(frame, REFERENCE)
    for parse in (parse_order_update, parse_config_update, lambda value: parse_margin_call(value, Reference())):
        if frame != {"T": 1, "E": 1}:
            with pytest.raises(WrongShape):
                parse(None if frame == {"T": 1, "a": {}} else {"T": frame})


def test_order_update() -> None:
    update = parse_order_update(wire.order_update(z="0.1", X="PARTIALLY_FILLED", x="TRADE", R=True))
    assert update.order == Order("aster:BTCUSDT", "77", -0.2, 50_000.0, reduce_only=True)
    assert (update.time_ms, update.done, update.liquidation) == (wire.NOW_MS, False, "")


@pytest.mark.parametrize(
    ("fields", "done"),
    [
        ({"X": "NEW"}, False),
        ({"X": "PARTIALLY_FILLED", "z": "0.1"}, False),
        ({"X": "FILLED", "z": "0.3"}, True),
        ({"X": "CANCELED"}, True),
        ({"X": "EXPIRED"}, True),
        ({"X": "SOMETHING_NEW"}, True),
        ({"X": "NEW", "q": "0", "cp": True, "o": "STOP_MARKET", "p": "0", "sp": "45000"}, False),
    ],
)
def test_order_that_rests_or_not(fields: dict[str, Any], done: bool) -> None:
    assert parse_order_update(wire.order_update(**fields)).done is done


def test_stop_that_closes_all_has_no_size_and_its_trigger_for_a_price() -> None:
    order = parse_order_update(wire.order_update(q="0", cp=True, o="STOP_MARKET", p="0", sp="45000")).order
    assert order == Order("aster:BTCUSDT", "77", 0.0, 45_000.0, reduce_only=True, is_trigger=True)


@pytest.mark.parametrize(
    ("fields", "sentence", "kind"),
    [
        ({"c": "autoclose-1596107620040000020", "q": "0.5"}, "liquidation of 0.5 BTCUSDT", LiquidationKind.LIQUIDATION),
        ({"c": "adl_autoclose", "q": "2"}, "ADL of 2 BTCUSDT", LiquidationKind.ADL),
        ({"c": "adl_autoclose", "q": "12345678.5"}, "ADL of 12345678.5 BTCUSDT", LiquidationKind.ADL),
        ({"x": "CALCULATED"}, "liquidation of 0.3 BTCUSDT", LiquidationKind.LIQUIDATION),
        ({"o": "LIQUIDATION"}, "liquidation of 0.3 BTCUSDT", LiquidationKind.LIQUIDATION),
        ({"X": "NEW_INSURANCE"}, "liquidation of 0.3 BTCUSDT", LiquidationKind.BACKSTOP),
        ({"c": "autoclose-1", "X": "NEW_INSURANCE"}, "liquidation of 0.3 BTCUSDT", LiquidationKind.BACKSTOP),
        ({"X": "NEW_ADL"}, "ADL of 0.3 BTCUSDT", LiquidationKind.ADL),
        ({"c": "my-autoclose-1"}, "", None),
    ],
)
def test_what_the_venue_does_for_the_account_is_a_sentence(fields: dict[str, Any], sentence: str, kind: LiquidationKind | None) -> None:
    update = parse_order_update(wire.order_update(**fields))
    assert (update.liquidation, update.kind) == (sentence, kind)


@pytest.mark.parametrize(
    ("reason", "change", "transfers"),
    [
        ("DEPOSIT", "50.5", (("USDT", 50.5),)),
        ("WITHDRAW", "-50.5", (("USDT", -50.5),)),
        ("ASSET_TRANSFER", "1", (("USDT", 1.0),)),
        ("DEPOSIT", "0", ()),
        ("DEPOSIT", None, ()),
        ("ORDER", "50.5", ()),
        ("MARGIN_TRANSFER", "-3", ()),
    ],
)
def test_money_from_outside_is_told_by_the_reason(reason: str, change: str | None, transfers: tuple[tuple[str, float], ...]) -> None:
    row = {"a": "USDT", "wb": "100", "cw": "100", **({} if change is None else {"bc": change})}
    frame = {"e": "ACCOUNT_UPDATE", "T": 1, "E": 2, "a": {"B": [row], "P": [], "m": reason}}
    assert parse_account_update(frame, REFERENCE).transfers == transfers


def test_margin_call_names_what_needs_margin() -> None:
    rows = [
        {"s": "ETHUSDT", "ps": "LONG", "pa": "1.327", "mt": "CROSSED", "iw": "0", "mp": "187.1", "up": "-1.1", "mm": "1.6"},
        {"s": "BTCUSDT", "ps": "BOTH", "pa": "-1", "mt": "ISOLATED", "iw": "9", "mp": "60000", "up": "-7", "mm": "300"},
    ]
    time_ms, sentence = parse_margin_call({"e": "MARGIN_CALL", "E": 3, "cw": "3.17", "p": rows}, REFERENCE)
    assert time_ms == 3
    assert sentence == (
        "the venue warns of a high margin ratio: 1.327 ETHUSDT long cross, unrealised -1.1, needs 1.6, "
        "-1 BTCUSDT isolated, unrealised -7, needs 300 (cross wallet 3.17)"
    )
    assert parse_margin_call({"E": 3, "p": []}, REFERENCE)[1] == "the venue warns of a high margin ratio: no position named"


def test_config_update_says_only_what_it_says() -> None:
    leverage = parse_config_update({"e": "ACCOUNT_CONFIG_UPDATE", "E": 2, "T": 1, "ac": {"s": "BTCUSDT", "l": 25}})
    assert (leverage.instrument, leverage.leverage, leverage.multi_assets, leverage.hedge_mode) == ("aster:BTCUSDT", 25.0, None, None)
    modes = parse_config_update({"e": "ACCOUNT_CONFIG_UPDATE", "E": 2, "T": 1, "ai": {"j": True, "f": True}})
    assert (modes.instrument, modes.leverage, modes.multi_assets, modes.hedge_mode) == (None, None, True, None)


def test_config_update_of_something_else_is_not_understood() -> None:
    with pytest.raises(WrongShape):
        parse_config_update({"e": "ACCOUNT_CONFIG_UPDATE", "E": 2, "T": 1, "ax": {}})


def test_orders() -> None:
    row = {"symbol": "BTCUSDT", "orderId": 5, "side": "BUY", "type": "LIMIT", "origQty": "0.3", "executedQty": "0.1", "price": "50000"}
    stop = {
        **row,
        "type": "STOP_MARKET",
        "side": "SELL",
        "price": "0",
        "stopPrice": "40000",
        "closePosition": True,
        "origQty": "0",
        "executedQty": "0",
    }
    assert parse_orders([row, stop]) == (
        Order("aster:BTCUSDT", "5", 0.2, 50_000.0),
        Order("aster:BTCUSDT", "5", 0.0, 40_000.0, reduce_only=True, is_trigger=True),
    )
    for wrong in ({**row, "side": "B"}, {**row, "orderId": None}, {**row, "type": None}, 7):
        with pytest.raises(WrongShape):
            parse_orders([wrong])


@pytest.mark.parametrize("envelope", [lambda rows: rows, lambda rows: {"agents": rows}, lambda rows: {"data": rows}])
def test_agents_in_any_envelope(envelope: Any) -> None:
    (found,) = parse_agents(envelope([wire.agent()]))
    assert (found.address, found.name, found.expires_ms, found.rights, found.can_read) == (
        wire.SIGNER,
        "monitor",
        wire.NOW_MS + 10**10,
        (),
        True,
    )


@pytest.mark.parametrize(
    ("flags", "rights"),
    [
        ({"canSpotTrade": True}, ("spot trade",)),
        ({"canPerpTrade": True, "canWithdraw": True}, ("perp trade", "withdraw")),
        ({"canRead": False}, ()),
        ({"canTransferOut": True}, ("transfer out",)),
    ],
)
def test_any_right_besides_reading_is_told(flags: dict[str, bool], rights: tuple[str, ...]) -> None:
    (found,) = parse_agents([{**wire.agent(), **flags}])
    assert found.rights == rights
    assert found.can_read is not (flags.get("canRead") is False)


def test_agent_that_never_expires() -> None:
    rows = [wire.agent(expires_ms=None), wire.agent(expires_ms=0)]
    assert [found.expires_ms for found in parse_agents(rows)] == [None, None]


@pytest.mark.parametrize("missing", ["canRead", "canSpotTrade", "canPerpTrade", "canWithdraw", "agentAddress"])
def test_agent_whose_rights_are_not_said_is_no_read_only_agent(missing: str) -> None:
    row = wire.agent()
    del row[missing]
    with pytest.raises(WrongShape):
        parse_agents([row])
    with pytest.raises(WrongShape):
        parse_agents([{**wire.agent(), missing: 1}])


@pytest.mark.parametrize("answer", [None, {}, {"agents": {}}, "x", [None]])
def test_agents_of_another_shape_are_refused(answer: object) -> None:
    with pytest.raises(WrongShape):
        parse_agents(answer)


def test_agents_do_not_show_addresses() -> None:
    assert wire.SIGNER not in repr(parse_agents([wire.agent()]))


def test_sub_accounts() -> None:
    parent, child = parse_sub_accounts(
        [{"accountId": 1, "subAccountName": "", "parentAccount": True}, {"accountId": 2, "subAccountName": "grid", "parentAccount": False}]
    )
    assert (parent.account_id, parent.name, parent.parent) == ("1", "", True)
    assert (child.account_id, child.name, child.parent) == ("2", "grid", False)


def test_flag_and_listen_key_are_never_guessed() -> None:
    assert parse_flag({"x": False}, "x") is False
    for flagged in ({}, {"x": None}, {"x": "true"}, {"x": 1}, None):
        with pytest.raises(WrongShape):
            parse_flag(flagged, "x")
    keyed: object
    for keyed in ({}, {"listenKey": ""}, {"listenKey": 5}, []):
        with pytest.raises(WrongShape):
            parse_listen_key(keyed)


def test_adl() -> None:
    rows = [{"symbol": "BTCUSDT", "adlQuantile": {"LONG": 4, "SHORT": 4, "HEDGE": 9}}, {"symbol": "ETHUSDT", "adlQuantile": {"BOTH": 0}}]
    bitcoin = "aster:BTCUSDT"
    assert parse_adl(rows) == {(bitcoin, PositionSide.LONG): 4, (bitcoin, PositionSide.SHORT): 4, ("aster:ETHUSDT", PositionSide.BOTH): 0}


def premium(name: str, **fields: Any) -> dict[str, Any]:
    row = {"symbol": name, "markPrice": "10.5", "indexPrice": "10.4", "lastFundingRate": "0.0001", "nextFundingTime": 99, "time": 7}
    return {**row, "interestRate": "0.0001", "estimatedSettlePrice": "0", **fields}


def test_premium_index() -> None:
    marks = parse_premium_index([premium("BTCUSDT"), premium(wire.CJK, time=8)], 5)
    assert (marks.venue, marks.feed, marks.received_ns, marks.time_ms) == ("aster", "markPrice", 5, 8)
    assert marks.instruments == ["aster:BTCUSDT", f"aster:{wire.CJK}"]
    assert (marks.marks, marks.indices, marks.funding, marks.funding_times) == ([10.5] * 2, [10.4] * 2, [0.0001] * 2, [99] * 2)


def test_settled_symbol_costs_only_itself() -> None:
    rows = [
        premium("OLDUSDT", markPrice="0.00000000"),
        premium("ODDUSDT", markPrice=""),
        premium("NEWUSDT", indexPrice="0", lastFundingRate="", nextFundingTime=None),
    ]
    marks = parse_premium_index(rows, 5)
    assert marks.instruments == ["aster:NEWUSDT"]
    assert isnan(marks.indices[0])
    assert isnan(marks.funding[0])
    assert marks.funding_times == [0]
    assert parse_premium_index([], 5).time_ms is None


def test_premium_index_that_makes_no_sense_is_refused() -> None:
    for wrong in (premium("BTCUSDT", markPrice="cheap"), premium("BTCUSDT", time=None), {"symbol": 1, "markPrice": "1"}, None):
        with pytest.raises(WrongShape):
            parse_premium_index([wrong], 5)
