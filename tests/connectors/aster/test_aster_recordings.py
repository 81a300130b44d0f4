"""Every recording is read by a named function, or named with the reason why not, so that a new one cannot be overlooked.

The documents' own numbers are recomputed on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.aster.answers import (
    parse_account,
    parse_adl,
    parse_agents,
    parse_flag,
    parse_listen_key,
    parse_orders,
    parse_premium_index,
    parse_server_time,
    parse_sub_accounts,
    with_position_risk,
)
from connectors.aster.errors import ClockRefused, KeyRefused, ListenKeyUnknown, SignatureRefused, VenueError
from connectors.aster.market import MarkFrames, SharedMarket
from connectors.aster.messages import (
    IGNORED_EVENTS,
    LISTEN_KEY_EXPIRED,
    parse_account_update,
    parse_config_update,
    parse_margin_call,
    parse_order_update,
)
from connectors.aster.protocol import MarketProtocol
from connectors.aster.reference import Reference, build
from connectors.aster.settings import AsterConfig
from connectors.aster.signing import VenueClock
from connectors.clock import ManualClock
from connectors.errors import RateLimited
from connectors.events import ParseError
from connectors.fields import WrongShape
from connectors.model import FuturesRead, InstrumentKind, MarginMode, MarginTier, PositionSide, PriceBasis
from connectors.transport import HttpResponse
from tests.connectors.aster import aster_wire as wire

EMPTY = Reference()
CONFIG = AsterConfig.mainnet(collateral={"asBNB": "BNB"})
BTC = "aster:BTCUSDT"


def _account(payload: Any) -> FuturesRead:
    return parse_account(payload, 0, EMPTY)


def _brackets(payload: Any) -> Reference:
    """The table itself: the symbols are listed by us."""
    rows = payload if isinstance(payload, list) else [payload]
    symbols = [wire.symbol(row["symbol"], row["symbol"].removesuffix("USDT")) for row in rows]
    reference = build(wire.exchange_info(*symbols), payload, None, CONFIG)
    assert reference.notes == ()
    return reference


def _risk(payload: Any) -> FuturesRead:
    """Joined to an account that holds the same, as the venue would give it."""
    rows = [
        wire.position(row["symbol"], row["positionAmt"], row["entryPrice"], mark=row["markPrice"], side=row["positionSide"])
        for row in payload
    ]
    return with_position_risk(_account(wire.account([], rows)), payload)


def _marks(payload: Any) -> Any:
    shared = SharedMarket()
    shared.replace(EMPTY)
    shared.want([BTC])
    data = payload["data"] if isinstance(payload, dict) and "data" in payload else payload
    reading = MarkFrames(shared).read(data if isinstance(data, list) else [data], 7)
    assert reading.problems == []
    assert reading.marks is not None
    return reading.marks


def _update(payload: Any) -> Any:
    return parse_account_update(payload.get("data", payload), EMPTY)


def _event(name: str) -> Callable[[Any], None]:
    def check(payload: Any) -> None:
        assert payload["e"] == name

    return check


PARSED: dict[str, Callable[[Any], Any]] = {
    "rest_account_v4_docs.json": _account,
    "rest_account_v4_recorded_empty_hedge.json": _account,
    "rest_account_with_join_margin_v3_docs.json": _account,
    "rest_adl_quantile.json": parse_adl,
    "rest_agents.json": parse_agents,
    "rest_agents_read_only_example.json": parse_agents,
    "rest_exchange_info_docs.json": lambda payload: build(payload, None, None, CONFIG),
    "rest_exchange_info_recorded.json": lambda payload: build(payload, None, None, CONFIG),
    "rest_funding_info.json": lambda payload: build(wire.exchange_info(wire.symbol("INJUSDT", "INJ")), None, payload, CONFIG),
    "rest_leverage_bracket.json": _brackets,
    "rest_leverage_bracket_recorded_truthusdt_first2.json": _brackets,
    "rest_leverage_bracket_single.json": _brackets,
    "rest_listen_key.json": parse_listen_key,
    "rest_multi_assets_margin.json": lambda payload: parse_flag(payload, "multiAssetsMargin"),
    "rest_open_orders.json": parse_orders,
    "rest_position_risk_hedge.json": lambda payload: _risk(_with_entries(payload)),
    "rest_position_risk_one_way.json": _risk,
    "rest_position_risk_recorded_flat.json": _risk,
    "rest_position_side_dual.json": lambda payload: parse_flag(payload, "dualSidePosition"),
    "rest_premium_index.json": lambda payload: parse_premium_index(payload, 7),
    "rest_premium_index_all.json": lambda payload: parse_premium_index(payload, 7),
    "rest_server_time.json": parse_server_time,
    "rest_sub_account_list.json": parse_sub_accounts,
    "ws_account_config_update_leverage.json": parse_config_update,
    "ws_account_config_update_multi_assets.json": parse_config_update,
    "ws_account_update.json": _update,
    "ws_account_update_recorded_hedge_close.json": _update,
    "ws_account_update_recorded_one_way_close.json": _update,
    "ws_combined_user_data.json": _update,
    "ws_combined_mark_price.json": _marks,
    "ws_listen_key_expired.json": _event(LISTEN_KEY_EXPIRED),
    "ws_margin_call.json": lambda payload: parse_margin_call(payload, EMPTY),
    "ws_mark_price.json": _marks,
    "ws_mark_price_arr.json": _marks,
    "ws_mark_price_recorded.json": _marks,
    "ws_order_trade_update.json": parse_order_update,
}
IGNORED = {"ws_announcement.json": "news for traders"}
"""Events of the user stream that we know and let pass."""

ERRORS = {"rest_error.json", "rest_errors_auth.json"}
"""Error bodies: `test_recorded_error_bodies_are_refusals` sends each as the body of a 200."""

CONTROL = {"ws_subscribe_ack.json": [], "ws_list_subscriptions_ack.json": [], "ws_error_invalid_request.json": ["venue_error"]}
"""What a stream answers to requests, and the kinds of problem the protocol makes of it: an acknowledgement is none."""

VECTORS = {"auth_eip712_vectors.json", "auth_hmac_vector.json"}
"""Signatures: test_aster_signing.py."""

_NOT_ASKED = "never asked for: the answer tells nothing about margin that we need"
_SPOT = "spot wallet: not collateral of the futures account"
_RPC = "chain RPC: has no maintenance margin, and most accounts are hidden there"
_MARKET = "market stream we do not listen to"
NOT_OURS = {
    "SOURCES.md": "where the files come from",
    "rest_balance_docs.json": "the account's answer has the same rows",
    "rest_balance_v3_recorded.json": "the account's answer has the same rows",
    "rest_balance_v3_recorded_multi_asset_row.json": "the account's answer has the same rows",
    "rest_book_ticker.json": _MARKET,
    "rest_commission_rate.json": _NOT_ASKED,
    "rest_commission_rate_recorded.json": _NOT_ASKED,
    "rest_force_orders.json": "liquidations are told by ORDER_TRADE_UPDATE",
    "rest_funding_rate.json": "history: the mark feed has the present rate",
    "rest_income.json": _NOT_ASKED,
    "rest_index_references.json": _NOT_ASKED,
    "rest_position_margin_history.json": _NOT_ASKED,
    "rest_remaining_openable_notional_v1.json": _NOT_ASKED,
    "rest_spot_account.json": _SPOT,
    "rest_spot_account_recorded.json": _SPOT,
    "rest_strategy_open_order.json": "can be read by its id only, which nothing tells",
    "rest_user_trades.json": _NOT_ASKED,
    "rpc_aster_get_balance_private.json": _RPC,
    "rpc_aster_get_balance_request.json": _RPC,
    "rpc_aster_get_balance_response.json": _RPC,
    "rpc_aster_open_orders_response.json": _RPC,
    "rpc_aster_user_fills_response.json": _RPC,
    "ws_24hr_ticker_recorded.json": _MARKET,
    "ws_agg_trade.json": _MARKET,
    "ws_book_ticker.json": _MARKET,
    "ws_book_ticker_recorded.json": _MARKET,
    "ws_combined_wrapper_tradepro.json": _MARKET,
    "ws_force_order.json": _MARKET,
    "ws_spot_account_position_docs.json": _SPOT,
    "ws_spot_account_position_recorded.json": _SPOT,
    "ws_subscribe_request.json": "what a client sends; we send nothing, the url names the streams",
}


def _payload(recordings: Path, name: str) -> Any:
    return orjson.loads((recordings / "aster" / name).read_bytes())


def _read(recordings: Path, name: str) -> Any:
    return PARSED[name](_payload(recordings, name))


def _with_entries(payload: Any) -> Any:
    # A slip of the documents: the entry of the short leg is printed as 0, its figures fit 6563.86 (as the pushed one says).
    return [{**row, "entryPrice": "6563.86000"} if row["entryPrice"] == "0.00000" else row for row in payload]


def test_every_recording_is_in_exactly_one_table(recordings: Path) -> None:
    tables = [set(PARSED), set(IGNORED), ERRORS, set(CONTROL), VECTORS, set(NOT_OURS)]
    named = sorted(name for table in tables for name in table)
    assert named == sorted(path.name for path in (recordings / "aster").iterdir())
    assert [one for one, other in pairwise(named) if one == other] == []


def test_every_message_in_the_table_is_understood(recordings: Path) -> None:
    for name in PARSED:
        _read(recordings, name)


def test_what_is_not_ours_makes_no_sense_to_the_parsers(recordings: Path) -> None:
    """A body in the wrong place is refused, never half read: an account is not made of a balance list, a push not of a trade."""
    parsers: list[Callable[[Any], Any]] = [
        _account,
        lambda payload: parse_account_update(payload, EMPTY),
        parse_order_update,
        parse_config_update,
        lambda payload: parse_margin_call(payload, EMPTY),
        parse_agents,
        parse_adl,
        lambda payload: build(payload, None, None, CONFIG),
    ]
    foreign = {name for name in [*NOT_OURS, *ERRORS, *CONTROL, *IGNORED] if name.endswith(".json")} | VECTORS
    for name in foreign:
        for parse in parsers:
            if (name, parse) == ("ws_24hr_ticker_recorded.json", parsers[3]):
                continue
            with pytest.raises(WrongShape):
                parse(_payload(recordings, name))


def _problems(recordings: Path, name: str) -> list[str]:
    shared = SharedMarket()
    shared.want([BTC])
    events = MarketProtocol(shared, VenueClock(ManualClock()), 10.0, 0).receive((recordings / "aster" / name).read_bytes(), 7)
    assert all(isinstance(event, ParseError) for event in events)
    return [event.kind for event in events if isinstance(event, ParseError)]


def test_frames_that_are_not_ours_are_problems_and_never_marks(recordings: Path) -> None:
    assert {name: _problems(recordings, name) for name in CONTROL} == CONTROL
    foreign = [name for name in NOT_OURS if name.startswith("ws_")]
    assert {name: _problems(recordings, name) for name in foreign} == {name: ["unknown_frame"] for name in foreign}


def test_ignored_events_are_named(recordings: Path) -> None:
    assert {_payload(recordings, name)["e"] for name in IGNORED} == IGNORED_EVENTS


@pytest.mark.parametrize("status", [200, 400, 401])
async def test_recorded_error_bodies_are_refusals_whatever_the_status(recordings: Path, status: int) -> None:
    single = _payload(recordings, "rest_error.json")
    bodies = [single, *_payload(recordings, "rest_errors_auth.json")]
    kinds = {
        -2014: KeyRefused,
        -2015: KeyRefused,
        -1022: SignatureRefused,
        -4225: ClockRefused,
        -1125: ListenKeyUnknown,
        -1003: RateLimited,
    }
    assert {body["code"] for body in bodies} == {*kinds, -1121}
    for body in bodies:
        desk = wire.Desk()
        desk.venue.table["GET /fapi/v3/adlQuantile"] = HttpResponse(status, body=orjson.dumps(body))
        with pytest.raises((VenueError, RateLimited)) as caught:
            await desk.account.adl()
        assert type(caught.value) is kinds.get(body["code"], VenueError)
        assert body["msg"] not in str(caught.value)


def test_recorded_exchange_info(recordings: Path) -> None:
    reference: Reference = _read(recordings, "rest_exchange_info_recorded.json")
    assert (len(reference.symbols), len(reference.assets), reference.weight_limit, reference.notes) == (14, 32, 2400, ())
    pepe = reference.symbols["1000PEPEUSDT"]
    assert (pepe.coin, pepe.multiplier, pepe.settle, pepe.delisted) == ("PEPE", 1000.0, "USDT", False)
    assert {one.symbol for one in reference.symbols.values() if one.delisted} == {"SANDUSDT", "MBLUSDT"}
    assert {one.kind for one in reference.symbols.values()} == {InstrumentKind.PERPETUAL}
    assert reference.symbols[wire.CJK].id == f"aster:{wire.CJK}"
    assert reference.event(0).sections == {"USDT": 0}
    perpetuals = {asset: token.perpetual for asset, token in reference.tokens.items() if token.perpetual is not None}
    own = {asset: f"aster:{asset}USDT" for asset in ("BTC", "BNB", "ETH", "SOL", "ASTER")}
    assert perpetuals == {**own, "ASBNB": "aster:BNBUSDT"}
    par = {asset for asset, token in reference.tokens.items() if token.basis is PriceBasis.PAR}
    assert par == {"USDT", "USDC", "USD1", "USDF", "BUSD"}


def test_recorded_tiers(recordings: Path) -> None:
    """Notes 5.3, example A: N = 8000 needs 8000 * 0.025 - 75 = 125."""
    truth = _read(recordings, "rest_leverage_bracket_recorded_truthusdt_first2.json").symbols["TRUTHUSDT"]
    assert truth.tiers == (MarginTier(0.0, 0.01, 0.0), MarginTier(5000.0, 0.025, 75.0))
    assert truth.max_leverage == 50.0
    top = truth.tiers[-1]
    assert 8000 * top.maintenance_rate - top.deduction == pytest.approx(125.0)


@pytest.mark.parametrize("name", ["rest_leverage_bracket.json", "rest_leverage_bracket_single.json"])
def test_tiers_of_the_documents_as_list_and_alone(recordings: Path, name: str) -> None:
    ether = _read(recordings, name).symbols["ETHUSDT"]
    assert (ether.tiers, ether.max_leverage) == ((MarginTier(0.0, 0.0065, 0.0),), 75.0)


ACCOUNTS = ["rest_account_v4_docs.json", "rest_account_v4_recorded_empty_hedge.json", "rest_account_with_join_margin_v3_docs.json"]


@pytest.mark.parametrize("name", ACCOUNTS)
def test_account_identities(recordings: Path, name: str) -> None:
    """Notes 4.5: margin balance = wallet + PnL, wallet = cross wallet + isolated wallets, initial margin of positions and orders."""
    read: FuturesRead = _read(recordings, name)
    rows = {row["asset"]: row for row in _payload(recordings, name)["assets"]}
    assert len(read.assets) == len(read.reported) == len(rows)
    for asset, told in zip(read.assets, read.reported, strict=True):
        row = rows[asset.asset]
        assert told.margin_balance == pytest.approx(asset.wallet + float(row["unrealizedProfit"]))
        assert told.cross_equity == pytest.approx(asset.cross_wallet + float(row["crossUnPnl"]))
        assert told.initial_margin == pytest.approx(float(row["positionInitialMargin"]) + float(row["openOrderInitialMargin"]))
        assert asset.wallet == pytest.approx(asset.cross_wallet), "no isolated position"
    assert read.positions == ()
    assert (read.total_wallet_balance, read.total_margin_balance) == (read.assets[0].wallet, read.reported[0].margin_balance)


def test_account_of_the_documents(recordings: Path) -> None:
    read: FuturesRead = _read(recordings, "rest_account_with_join_margin_v3_docs.json")
    assert [(asset.asset, asset.wallet, asset.time_ms) for asset in read.assets] == [
        ("USDT", 23.72469206, 1625474304765),
        ("BUSD", 103.12345678, 1625474304765),
    ]
    assert (read.total_wallet_balance, read.available) == (23.72469206, 23.72469206), "the totals leave BUSD out: single-asset mode"


def test_recorded_account_of_a_hedge_account_is_empty(recordings: Path) -> None:
    read: FuturesRead = _read(recordings, "rest_account_v4_recorded_empty_hedge.json")
    assert (len(read.assets), read.total_wallet_balance, read.total_maintenance_margin) == (32, 0.0, 0.0)


def test_isolated_legs_of_the_documents(recordings: Path) -> None:
    """Notes 4.7: isolatedMargin = isolatedWallet + unrealised PnL, with wallets and entries as the documents' push tells them."""
    pushed = {position.side: position for position in _read(recordings, "ws_account_update.json").positions}
    told = {PositionSide(row["positionSide"].lower()): row for row in _payload(recordings, "rest_position_risk_hedge.json")}
    assert pushed[PositionSide.BOTH].quantity == 0.0
    for side, row in told.items():
        leg = pushed[side]
        assert leg.margin_mode is MarginMode.ISOLATED
        assert leg.isolated_cash is not None
        mark = float(row["markPrice"])
        assert leg.quantity == float(row["positionAmt"])
        # The documents round marks and profits to 8 decimals, and one of the wallets.
        assert leg.isolated_cash + leg.quantity * mark == pytest.approx(float(row["isolatedMargin"]), abs=2e-7)
        assert leg.entry is not None
        assert leg.quantity * (mark - leg.entry) == pytest.approx(float(row["unRealizedProfit"]), abs=2e-7)


def test_liquidation_prices_of_the_documents(recordings: Path) -> None:
    read: FuturesRead = _read(recordings, "rest_position_risk_hedge.json")
    assert [(leg.side, leg.quantity, leg.reported_liquidation_price) for leg in read.positions] == [
        (PositionSide.LONG, 20.0, 5930.78),
        (PositionSide.SHORT, -10.0, 7189.95),
    ]


def test_entry_that_the_documents_print_as_zero_comes_out_of_the_profit(recordings: Path) -> None:
    short = _payload(recordings, "rest_position_risk_hedge.json")[1]
    row = wire.position("BTCUSDT", short["positionAmt"], "6563.86", mark=short["markPrice"], side="SHORT")
    row |= {
        "entryPrice": short["entryPrice"],
        "unrealizedProfit": short["unRealizedProfit"],
        "isolated": True,
        "isolatedWallet": "6570.42511771",
    }
    (leg,) = _account(wire.account([], [row])).positions
    assert leg.entry == pytest.approx(6563.86)
    assert leg.isolated_cash is not None
    assert leg.isolated_cash + leg.quantity * leg.mark == pytest.approx(float(short["isolatedMargin"]), abs=2e-7)


def test_recorded_closes_are_flat_rows(recordings: Path) -> None:
    one_way = _read(recordings, "ws_account_update_recorded_one_way_close.json")
    assert (one_way.time_ms, one_way.event_ms, one_way.reason) == (1768551627708, 1768551627710, "ORDER")
    assert [(row.instrument, row.side, row.quantity) for row in one_way.positions] == [("aster:ETHUSDT", PositionSide.BOTH, 0.0)]
    assert [(row.asset, row.wallet, row.cross_wallet, row.time_ms) for row in one_way.assets] == [
        ("USDT", 39.41184271, 39.41184271, 1768551627708)
    ]
    hedge = _read(recordings, "ws_account_update_recorded_hedge_close.json")
    assert [(row.side, row.quantity, row.entry) for row in hedge.positions] == [(side, 0.0, None) for side in PositionSide]


def test_wrapped_user_event_is_the_bare_one(recordings: Path) -> None:
    assert _read(recordings, "ws_combined_user_data.json") == _read(recordings, "ws_account_update_recorded_one_way_close.json")


def test_margin_call_of_the_documents_is_at_eighty_percent(recordings: Path) -> None:
    """Notes 5.4, example C."""
    payload = _payload(recordings, "ws_margin_call.json")
    time_ms, sentence = parse_margin_call(payload, EMPTY)
    assert time_ms == 1587727187525
    assert "1.327 ETHUSDT long cross, unrealised -1.166074, needs 1.614445 (cross wallet 3.16812045)" in sentence
    row = payload["p"][0]
    assert float(row["mm"]) / (float(payload["cw"]) + float(row["up"])) == pytest.approx(0.806, abs=1e-3)


def test_order_and_config_updates_of_the_documents(recordings: Path) -> None:
    update = _read(recordings, "ws_order_trade_update.json")
    assert (update.order.instrument, update.order.quantity, update.order.limit_price) == (BTC, -0.001, 7103.04)
    assert (update.order.is_trigger, update.done, update.liquidation) == (True, False, "")
    leverage = _read(recordings, "ws_account_config_update_leverage.json")
    assert (leverage.instrument, leverage.leverage, leverage.multi_assets) == (BTC, 25.0, None)
    modes = _read(recordings, "ws_account_config_update_multi_assets.json")
    assert (modes.instrument, modes.multi_assets, modes.hedge_mode) == (None, True, True)


def test_the_rest_of_the_documents(recordings: Path) -> None:
    (order,) = _read(recordings, "rest_open_orders.json")
    assert (order.order_id, order.quantity, order.limit_price, order.is_trigger) == ("1917641", 0.4, 9300.0, True)
    assert _read(recordings, "rest_adl_quantile.json") == {
        ("aster:ETHUSDT", PositionSide.LONG): 3,
        ("aster:ETHUSDT", PositionSide.SHORT): 3,
        (BTC, PositionSide.LONG): 1,
        (BTC, PositionSide.SHORT): 2,
        (BTC, PositionSide.BOTH): 0,
    }
    (trader,), (reader,) = _read(recordings, "rest_agents.json"), _read(recordings, "rest_agents_read_only_example.json")
    assert (trader.rights, trader.can_read, trader.expires_ms) == (("spot trade", "perp trade"), True, 1867945395040)
    assert (reader.rights, reader.can_read, reader.address) == ((), True, "0x14791697260E4c9A71f18484C9f997B308e59325")
    assert [(row.name, row.parent) for row in _read(recordings, "rest_sub_account_list.json")] == [("trading-desk-1", False), ("", True)]
    assert _read(recordings, "rest_server_time.json") == 1499827319559
    assert len(_read(recordings, "rest_listen_key.json")) == 64
    assert _read(recordings, "rest_multi_assets_margin.json") is _read(recordings, "rest_position_side_dual.json") is True
    assert _read(recordings, "rest_funding_info.json").symbols["INJUSDT"].funding_interval_h == 8.0


def test_marks(recordings: Path) -> None:
    for name in ("rest_premium_index.json", "rest_premium_index_all.json"):
        told = _read(recordings, name)
        assert (told.instruments, told.marks, told.indices, told.funding) == ([BTC], [11793.63104562], [11781.8049597], [0.00038246])
        assert (told.time_ms, told.funding_times) == (1597370495002, [1597392000000])
    recorded = _read(recordings, "ws_mark_price_recorded.json")
    assert (recorded.marks, recorded.indices, recorded.funding) == ([116809.6], [116836.93534884], [0.0001])
    assert (recorded.time_ms, recorded.funding_times) == (1754660466000, [1754668800000])
    assert not any(isnan(value) for value in recorded.indices)
