"""Wire shapes to model values: fields, ledgers, wallets, orders, reference data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import ProtocolError
from connectors.fields import WrongShape, decimal, flag, whole
from connectors.hyperliquid.messages import (
    UserRole,
    parse_mode,
    parse_orders,
    parse_reserves,
    parse_role,
    parse_section,
    parse_sections,
    parse_status,
    parse_sub_accounts,
    parse_vault,
    parse_wallet,
)
from connectors.hyperliquid.reference import build, coin_and_multiplier, maintenance_tiers, parse_meta
from connectors.model import MarginMode, MarginTier, Token
from tests.connectors.hyperliquid import hyperliquid_wire as wire


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "", "1_000", "0x10", "12,5", "1e999"])
def test_text_that_is_no_finite_decimal_is_refused(text: str) -> None:
    with pytest.raises(WrongShape, match="place"):
        decimal(text, "place")


@pytest.mark.parametrize("value", [None, True, [], {}, 10**400])
def test_value_that_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(WrongShape):
        decimal(value, "place")


def test_decimal_reads_strings_and_numbers() -> None:
    assert decimal("3155203.7660619998", "x") == 3155203.7660619998
    assert decimal("-0.5", "x") == -0.5
    assert decimal(2, "x") == 2.0


def test_wrong_shape_is_a_protocol_error_of_a_constant_kind() -> None:
    problem = WrongShape("a.b")
    assert isinstance(problem, ProtocolError)
    assert (problem.kind, problem.detail) == ("wrong_shape", "a.b")


def test_whole_refuses_booleans_and_64_bit_overflow() -> None:
    assert whole(-5, "x") == -5
    for value in (True, 1.0, "1", 2**63):
        with pytest.raises(WrongShape):
            whole(value, "x")


def test_flag_is_false_when_omitted_and_refuses_text() -> None:
    assert flag({"a": True}, "a", "x") is True
    assert flag({"a": None}, "a", "x") is False
    assert flag({}, "a", "x") is False
    with pytest.raises(WrongShape):
        flag({"a": "true"}, "a", "x")


def test_section_of_cross_and_isolated_positions() -> None:
    cross = wire.position("BTC", "-0.5", 100_000.0)
    isolated = wire.position("xyz:CL", "10.0", 60.0, raw_usd="-540.0", max_leverage=20)
    section = parse_section("xyz", wire.state(cross, isolated, cash="-123.25", maintenance="625.0"))
    assert (section.name, section.cash, section.time_ms) == ("xyz", -123.25, 1_790_000_000_000)
    assert (section.reported_equity, section.reported_maintenance_margin, section.reported_withdrawable) == (10000.0, 625.0, 1.0)
    short, long = section.positions
    assert (short.instrument, short.quantity, short.mark) == ("hyperliquid:BTC", -0.5, 100_000.0)
    assert (short.margin_mode, short.isolated_cash, short.max_leverage, short.leverage) == (MarginMode.CROSS, None, 40.0, 20.0)
    assert (short.entry, short.reported_margin_used, short.reported_unrealized_pnl) == (90000.0, 500.0, 12.5)
    assert short.reported_liquidation_price is None
    assert (long.margin_mode, long.isolated_cash, long.mark) == (MarginMode.ISOLATED, -540.0, 60.0)


def test_position_of_size_zero_is_no_position() -> None:
    assert parse_section("", wire.state(wire.position("BTC", "0.0", 1.0))).positions == ()


def test_legacy_state_reports_neither_time_nor_maintenance() -> None:
    legacy = wire.state(wire.position("BTC", "1.0", 10.0))
    for key in ("time", "crossMaintenanceMarginUsed"):
        del legacy[key]
    del legacy["assetPositions"][0]["position"]["maxLeverage"]
    section = parse_section("", legacy)
    assert (section.time_ms, section.reported_maintenance_margin, section.positions[0].max_leverage) == (0, None, 0.0)


def _without(state: dict[str, Any], path: str) -> dict[str, Any]:
    *parents, last = path.split(".")
    inner: Any = state
    for parent in parents:
        inner = inner[int(parent) if parent.isdigit() else parent]
    del inner[last]
    return state


@pytest.mark.parametrize(
    "path",
    [
        "time",
        "crossMarginSummary",
        "crossMarginSummary.totalRawUsd",
        "crossMarginSummary.accountValue",
        "assetPositions",
        "assetPositions.0.position",
        "assetPositions.0.position.coin",
        "assetPositions.0.position.szi",
        "assetPositions.0.position.positionValue",
        "assetPositions.0.position.leverage",
        "assetPositions.0.position.leverage.type",
        "assetPositions.0.position.leverage.value",
        "assetPositions.0.position.leverage.rawUsd",
    ],
)
def test_state_lacking_a_field_is_refused_and_nothing_is_derived(path: str) -> None:
    with pytest.raises(WrongShape):
        parse_section("", _without(wire.state(wire.position("BTC", "1.0", 10.0, raw_usd="5.0")), path))


def test_unknown_margin_type_is_refused() -> None:
    row = wire.position("BTC", "1.0", 10.0)
    row["position"]["leverage"]["type"] = "portfolio"
    with pytest.raises(WrongShape, match=r"leverage\.type"):
        parse_section("", wire.state(row))


def test_sections_come_as_pairs() -> None:
    found = parse_sections([["", wire.state(cash="1.0")], ["xyz", wire.state(cash="2.0")]])
    assert [(section.name, section.cash) for section in found] == [("", 1.0), ("xyz", 2.0)]
    for wrong in ({"": wire.state()}, [[0, wire.state()]], [["", wire.state(), 1]], [""]):
        with pytest.raises(WrongShape):
            parse_sections(wrong)


def test_wallet_of_portfolio_margin() -> None:
    rows = [
        {"coin": "USDC", "token": 0, "total": "-5.5", "hold": "-20.0", "entryNtl": "0.0", "ltv": "0.0", "borrowed": "5.5"},
        {"coin": "HYPE", "token": 150, "total": "3.0", "hold": "0.0", "entryNtl": "0.0", "ltv": "0.65", "supplied": "3.0"},
        {"coin": "+92260", "total": "1.0", "hold": "0.0", "entryNtl": "0.0"},
    ]
    state = {**wire.portfolio_margin_state(), "balances": rows}
    wallet = parse_wallet(state, complete=True)
    usdc, hype, outcome = wallet.balances
    assert (usdc.total, usdc.hold, usdc.ltv, usdc.borrowed, usdc.supplied) == (-5.5, -20.0, 0.0, 5.5, None)
    assert (hype.asset, hype.token, hype.supplied, hype.ltv) == ("HYPE", 150, 3.0, 0.65)
    assert (outcome.asset, outcome.token, outcome.ltv) == ("+92260", None, None)
    assert (wallet.portfolio_margin_enabled, wallet.portfolio_margin_ratio) == (True, 0.25)
    assert wallet.available_after_maintenance == {0: 75.0}


def test_absence_means_no_in_a_complete_wallet_and_nothing_in_a_frame() -> None:
    complete, pushed = (parse_wallet(wire.spot_state(), complete=complete) for complete in (True, False))
    assert (complete.portfolio_margin_enabled, complete.complete) == (False, True)
    assert (pushed.portfolio_margin_enabled, pushed.complete) == (None, False)
    assert complete.available_after_maintenance == {}


@pytest.mark.parametrize("balances", [None, {}, [1], [{"coin": "USDC"}], [{"total": "1"}], [{"coin": "A", "token": "0", "total": "1"}]])
def test_wallet_of_another_shape_is_refused(balances: object) -> None:
    with pytest.raises(WrongShape):
        parse_wallet({"balances": balances}, complete=True)


def test_orders_keep_perpetuals_only() -> None:
    rows = [
        wire.order("BTC", "A", reduceOnly=True),
        wire.order("xyz:CL", sz="0.0", isTrigger=True),
        wire.order("@107"),
        wire.order("PURR/USDC"),
        wire.order("#14880"),
    ]
    short, trigger = parse_orders(rows)
    assert (short.instrument, short.quantity, short.limit_price, short.reduce_only) == ("hyperliquid:BTC", -0.5, 99000.0, True)
    assert (trigger.instrument, trigger.quantity, trigger.is_trigger, trigger.order_id) == ("hyperliquid:xyz:CL", 0.0, True, "1")
    with pytest.raises(WrongShape):
        parse_orders([wire.order(side="S")])


def test_reserves_are_named_by_the_reference_data() -> None:
    rows = [[150, {"oraclePx": "23.99", "ltv": "0.5", "utilization": "0.1"}], [999, {"oraclePx": "1", "ltv": "0", "utilization": "0"}]]
    hype, unknown = parse_reserves(rows, wire.reference())
    assert (hype.asset, hype.token, hype.oracle_price, hype.ltv, hype.utilization) == ("HYPE", 150, 23.99, 0.5, 0.1)
    assert unknown.asset == "token999"


def test_small_answers() -> None:
    assert parse_mode("unifiedAccount") == "unifiedAccount"
    assert parse_mode(None) is None
    assert parse_role({"role": "agent", "data": {"user": wire.MAKER}}) == UserRole("agent", wire.MAKER)
    assert parse_role({"role": "missing"}) == UserRole("missing")
    assert parse_status({"time": 5, "specialStatuses": None}) == (5, ())
    assert parse_status({"time": 5, "specialStatuses": ["halted"]}) == (5, ("halted",))
    assert parse_sub_accounts(None) == ()
    assert parse_vault(None) is None
    for parse in (parse_mode, parse_role, parse_status, parse_sub_accounts, parse_vault):
        with pytest.raises(WrongShape):
            parse(7)


def test_instruments_of_the_joined_reference() -> None:
    reference = wire.reference()
    pepe, cl = reference.instruments["hyperliquid:kPEPE"], reference.instruments["hyperliquid:xyz:CL"]
    assert (pepe.coin, pepe.multiplier, pepe.section, pepe.settle, pepe.symbol) == ("PEPE", 1000.0, "", "USDC", "kPEPE")
    assert (cl.coin, cl.multiplier, cl.section, cl.isolated_only, cl.max_leverage) == ("CL", 1.0, "xyz", True, 20.0)
    gold = reference.instruments["hyperliquid:flx:kGOLD"]
    assert (gold.coin, gold.multiplier, gold.settle, gold.isolated_only) == ("kGOLD", 1.0, "USDH", True)
    assert reference.dexs[""].universe[1] == "hyperliquid:MATIC"
    assert reference.instruments["hyperliquid:MATIC"].delisted
    event = reference.event(5)
    assert event.sections == {"": 0, "xyz": 0, "flx": 360}
    assert Token("hyperliquid", 197, "UBTC", "BTC", "@142") in event.tokens
    assert reference.priced_pairs(["HYPE", "USDC"]) == {"@107": "HYPE"}
    assert reference.collateral_assets() == {"USDH"}


def test_tables_listed_implicit_and_unknown() -> None:
    instruments = wire.reference().instruments
    assert instruments["hyperliquid:ATOM"].tiers == (MarginTier(0.0, 0.1, 0.0),)
    assert instruments["hyperliquid:NEWT"].tiers == ()
    assert instruments["hyperliquid:xyz:XYZ100"].tiers == (MarginTier(0.0, 1 / 60, 0.0),)


def test_deduction_of_the_published_example() -> None:
    first, second = wire.reference().instruments["hyperliquid:BTC"].tiers
    assert (first.maintenance_rate, first.deduction) == (0.0125, 0.0)
    assert (second.lower_bound, second.maintenance_rate, second.deduction) == (150e6, 0.025, 1.875e6)
    assert 300e6 * second.maintenance_rate - second.deduction == 5.625e6


@given(
    st.lists(st.floats(1.0, 1e9), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.integers(1, 100), min_size=7, max_size=7, unique=True),
)
def test_margin_is_continuous_at_every_bound(bounds: list[float], leverages: list[int]) -> None:
    leverages = sorted(leverages, reverse=True)
    tiers = maintenance_tiers(list(zip([0.0, *bounds], map(float, leverages), strict=False)))
    for below, above in pairwise(tiers):
        left = above.lower_bound * below.maintenance_rate - below.deduction
        right = above.lower_bound * above.maintenance_rate - above.deduction
        assert right == pytest.approx(left, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("rows", [[(1.0, 40.0)], [(0.0, 40.0), (0.0, 20.0)], [(0.0, 0.0)], [(0.0, 40.0), (5.0, 20.0), (4.0, 10.0)]])
def test_tiers_that_make_no_sense_are_refused(rows: list[tuple[float, float]]) -> None:
    with pytest.raises(WrongShape):
        maintenance_tiers(rows)


@pytest.mark.parametrize(
    ("symbol", "coin", "multiplier"),
    [
        ("BTC", "BTC", 1.0),
        ("kPEPE", "PEPE", 1000.0),
        ("kas", "kas", 1.0),
        ("k", "k", 1.0),
        ("xyz:kX", "kX", 1.0),
        ("xyz:XYZ100", "XYZ100", 1.0),
    ],
)
def test_coin_behind_a_wire_name(symbol: str, coin: str, multiplier: float) -> None:
    assert coin_and_multiplier(symbol) == (coin, multiplier)


def test_reference_parts_that_contradict_each_other_are_refused() -> None:
    metas = [wire.MAIN_META, wire.XYZ_META, wire.FLX_META]
    with pytest.raises(WrongShape, match="does not fit"):
        build(wire.PERP_DEXS, metas[:2], wire.SPOT_META)
    with pytest.raises(WrongShape, match="another dex"):
        build(wire.PERP_DEXS, [metas[0], metas[2], metas[1]], wire.SPOT_META)
    with pytest.raises(WrongShape, match="perpDexs"):
        build(wire.PERP_DEXS[1:], metas[1:], wire.SPOT_META)


def test_legacy_meta_without_tables_is_a_single_tier_but_a_missing_id_is_unknown() -> None:
    row = {"name": "BTC", "maxLeverage": 50, "szDecimals": 5}
    assert parse_meta("", {"universe": [row]}, {})[1][0].tiers == (MarginTier(0.0, 0.01, 0.0),)
    assert parse_meta("", {"universe": [row], "marginTables": []}, {})[1][0].tiers == ()
    with pytest.raises(WrongShape, match="collateralToken"):
        parse_meta("xyz", {"universe": [], "marginTables": []}, {})
