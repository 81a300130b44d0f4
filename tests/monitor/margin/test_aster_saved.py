"""Aster side by side with a read, written as a document, and evaluated again from it: in both modes, hedged and isolated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import orjson
import pytest

from config.parameters import load_parameters
from connectors.events import FuturesSnapshot, Instruments, MarkPrices, Source
from connectors.model import FuturesAccount, FuturesRead, Position
from monitor.margin.aster import VENUE, AsterRules
from monitor.margin.result import PoolKind, PoolResult
from monitor.margin.saved import saved_accounts, saved_distances
from monitor.margin.venue_view import venue_view
from monitor.report.document import margin_report
from monitor.saved_account import futures_document, missing_for_portfolio
from monitor.snapshot import SnapshotError, parse_snapshot
from monitor.verify import ANCHORS, VALUATION, SideBySide, side_by_side_futures
from tests.monitor.aster_desk import ACCOUNT, INDEX, LONG, RATIOS, SHORT, name, position, profit, read, reference, worth

Document = dict[str, Any]
TIME_MS = 1_790_000_000_000
RULES = AsterRules(RATIOS)
COINS = ("BTC", "ETH", "BNB", "SOL")
MARKS = MarkPrices(
    VENUE,
    "markPrice",
    0,
    [name(f"{coin}USDT") for coin in COINS],
    [INDEX[coin] for coin in COINS],
    [INDEX[coin] for coin in COINS],
    [0.0001] * len(COINS),
    funding_times=[TIME_MS + 3_600_000] * len(COINS),
)


def total(balances: Mapping[str, float], held: Sequence[Position], **ratios: float) -> float:
    return worth(balances, {**RATIOS, **ratios}) + sum(map(profit, held))


def taken(
    told: FuturesRead, *, multi: bool = False, hedge: bool = False, instruments: Instruments | None = None, rules: AsterRules = RULES
) -> tuple[Document, SideBySide]:
    """The document of a read, through JSON, and what it was made from."""
    listed = instruments or reference()
    state = FuturesAccount(multi, hedge, TIME_MS, told.assets, told.positions, told)
    snapshot = FuturesSnapshot(VENUE, ACCOUNT, 0, Source.POLL, state)
    seen = side_by_side_futures(listed, snapshot, rules=rules, marks=MARKS)
    return json.loads(orjson.dumps(futures_document(listed, snapshot, seen, TIME_MS, MARKS))), seen


HELD = (
    position("TRUTHUSDT", 20_000.0, 0.40, 0.38),
    position("ETHUSDT", -1.5, 3_000.0, 3_000.0),
    position("XAUUSD1", 0.1, 4_000.0, 3_990.0),
)
HEDGED = (
    position("BTCUSDT", 2.0, 59_000.0, 60_000.0, side=LONG, isolated=20_000.0),
    position("BTCUSDT", -1.0, 60_500.0, 60_000.0, side=SHORT, isolated=9_000.0),
    position("ETHUSDT", 4.0, 3_100.0, 3_000.0, side=LONG),
    position("ETHUSDT", -3.0, 2_900.0, 3_000.0, side=SHORT),
)
COLLATERAL = {"BTC": 0.5, "ASBNB": 10.0, "USDT": -2_000.0}
MULTI = (position("BTCUSDT", 10.0, 60_500.0, 60_000.0), position("ETHUSDT", -2.0, 2_950.0, 3_000.0))
CASES: dict[str, tuple[FuturesRead, dict[str, Any]]] = {
    "single": (read({"USDT": 1_000.0, "USD1": 80.0, "BTC": 0.1}, HELD), {}),
    "hedged": (read({"USDT": 2_500.0}, HEDGED), {"hedge": True}),
    "multi": (read(COLLATERAL, MULTI, total=total(COLLATERAL, MULTI)), {"multi": True}),
    "multi, hedged": (read(COLLATERAL, HEDGED[2:], total=total(COLLATERAL, HEDGED[2:])), {"multi": True, "hedge": True}),
    "multi, another ratio": (read(COLLATERAL, MULTI, total=total(COLLATERAL, MULTI, BTC=0.85)), {"multi": True}),
    "multi, unknown ratio": (read({"SOL": 100.0}, (), total=9_000.0), {"multi": True}),
    "multi, unpriced": (read({"LISUSD": 100.0, "USDT": 5.0}, (), total=90.0), {"multi": True}),
    "flat": (read({"USDT": 0.0}, ()), {}),
}


def shape(result: PoolResult) -> tuple[Any, ...]:
    return result.pool, result.kind, result.mode, result.asset, result.reconciled, result.positions


@pytest.mark.parametrize("case", list(CASES))
def test_a_read_account_comes_out_as_it_was_saved(case: str) -> None:
    told, modes = CASES[case]
    source, seen = taken(told, **modes)
    saved = saved_accounts(parse_snapshot(source, "saved.json"))
    assert [shape(one) for one in saved] == [shape(one) for one in seen.pools]
    for ours, live in zip(saved, seen.pools, strict=True):
        assert ours.failures == ()
        for figure in ("equity", "maintenance_margin", "margin_ratio"):
            assert getattr(ours, figure) == pytest.approx(getattr(live, figure), rel=1e-9, abs=1e-9), figure
        assert (ours.model_error is None) == (live.model_error is None)
        assert ours.model_error == (None if live.model_error is None else pytest.approx(live.model_error, abs=1e-9))
    assert [one.reconciled for one in saved].count(False) == (case == "multi, another ratio")


def test_the_figures_of_both_sides() -> None:
    told, modes = CASES["hedged"]
    rows = [replace(row, reported_liquidation_price=50_000.0 if row.isolated_cash else 2_000.0) for row in told.positions]
    _, seen = taken(replace(told, positions=tuple(rows)), **modes)
    figures = {(row.pool, row.figure) for row in seen.rows}
    assert {pool for pool, _ in figures} == {"USDT", "iso:BTCUSDT:LONG", "iso:BTCUSDT:SHORT"}
    assert {figure for pool, figure in figures if pool == "USDT"} == {
        "maintenance_margin", "initial_margin", "equity", "liquidation_price ETHUSDT:LONG", "liquidation_price ETHUSDT:SHORT",
    }  # fmt: skip
    equal = [row for row in seen.rows if not row.figure.startswith("liquidation")]
    assert all(row.difference == pytest.approx(0.0, abs=1e-9) for row in equal)
    assert all(row.anchored_on == ANCHORS[row.figure] for row in equal)
    both = [row.ours for row in seen.rows if row.figure.startswith("liquidation_price ETHUSDT")]
    assert both[0] == both[1]
    (own,) = [row for row in seen.rows if row.figure == "liquidation_price BTCUSDT:LONG"]
    # isolated: (q E - W - cum) / (q (1 - mmr))
    assert own.ours == pytest.approx((2 * 59_000.0 - 20_000.0 - 50.0) / (2 * 0.995))
    assert (own.size, own.move, own.positions) == (2.0, 10_000.0, 1)


def test_the_equity_of_multi_assets_mode_is_our_valuation_beside_the_venues_total() -> None:
    told, modes = CASES["multi, another ratio"]
    _, seen = taken(told, **modes)
    (row,) = [row for row in seen.rows if row.figure == "equity"]
    assert row.ours - row.venue == pytest.approx(0.5 * 60_000.0 * 0.10)
    assert row.anchored_on == VALUATION
    assert seen.pools[0].equity == pytest.approx(told.total_margin_balance)
    assert seen.prices == {"BTC": 60_000.0, "ASBNB": 700.0, "USDT": 1.0}


def test_without_marks_collateral_has_no_price() -> None:
    told, _ = CASES["multi"]
    state = FuturesAccount(True, False, 0, told.assets, told.positions, told)
    seen = side_by_side_futures(reference(), FuturesSnapshot(VENUE, ACCOUNT, 0, Source.POLL, state), rules=RULES)
    assert [failure.reason.value for failure in seen.pools[0].failures] == ["MISSING_INDEX"]
    assert {row.figure for row in seen.rows} == set()


# -- the document --------------------------------------------------------------------------------------------------------------


def test_the_document_of_a_hedged_account() -> None:
    source, _ = taken(*CASES["hedged"][:1], **CASES["hedged"][1])
    (account,) = source["accounts"]
    assert (account["venue"], account["mode"]) == ("aster", "single_asset")
    assert account["positions"] == [
        {"instrument": "aster:BTCUSDT", "quantity": 2.0, "entry": 59_000.0, "side": "long"},
        {"instrument": "aster:BTCUSDT", "quantity": -1.0, "entry": 60_500.0, "side": "short"},
        {"instrument": "aster:ETHUSDT", "quantity": 4.0, "entry": 3_100.0, "side": "long"},
        {"instrument": "aster:ETHUSDT", "quantity": -3.0, "entry": 2_900.0, "side": "short"},
    ]
    pools = {row["id"]: row["positions"] for row in account["pools"]}
    assert pools == {"iso:BTCUSDT:LONG": ["aster:BTCUSDT"], "iso:BTCUSDT:SHORT": ["aster:BTCUSDT"], "USDT": ["aster:ETHUSDT"]}
    (btc, eth) = source["instruments"]
    assert (btc["id"], btc["coin"], btc["settle"], btc["mark"]) == ("aster:BTCUSDT", "BTC", "USDT", 60_000.0)
    assert btc["tiers"] == [[0, 0.004, 0], [50_000, 0.005, 50], [1e6, 0.01, 5_050]]
    assert eth["funding"]["rate"] == 0.0001
    assert source["index"] == {"BTC": 60_000.0, "ETH": 3_000.0}
    assert account["balances"] == [{"asset": "USDT", "total": 2_500.0}]
    assert "equity" not in account
    assert missing_for_portfolio(source) == ("fx.USDT", "accounts[0].equity")


def test_the_document_of_multi_assets_mode() -> None:
    source, _ = taken(*CASES["multi"][:1], **CASES["multi"][1])
    (account,) = source["accounts"]
    assert (account["mode"], account["equity"]) == ("multi_assets", pytest.approx(28_050.0))
    assert account["balances"] == [
        {"asset": "BTC", "total": 0.5, "collateral_ratio": 0.95},
        {"asset": "BNB", "total": 10.0, "collateral_ratio": 0.95},
        {"asset": "USDT", "total": -2_000.0},
    ]
    (pool,) = account["pools"]
    assert (pool["id"], pool["collateral_asset"]) == ("multi-assets", "USD")
    assert pool["collateral"] == [
        {"asset": "BTC", "amount": 0.5, "price": 60_000.0, "ratio": 0.95},
        {"asset": "ASBNB", "amount": 10.0, "price": 700.0, "ratio": 0.95},
        {"asset": "USDT", "amount": -2_000.0, "price": 1.0, "ratio": 1.0},
    ]
    assert missing_for_portfolio(source) == ("fx.USDT",)


def test_a_debt_that_counts_with_more_than_its_price_is_written_and_read() -> None:
    told, modes = CASES["multi"]
    source, seen = taken(told, **modes, rules=AsterRules(RATIOS, ask_factor=1.02))
    assert source["accounts"][0]["pools"][0]["collateral"][2]["ratio"] == 1.02
    (saved,) = saved_accounts(parse_snapshot(source, "saved.json"))
    assert saved.equity == pytest.approx(seen.pools[0].equity)
    source["accounts"][0]["pools"][0]["collateral"][0]["ratio"] = 1.02
    with pytest.raises(SnapshotError, match=r"collateral\[0\]\.ratio: expected a number of at most 1"):
        parse_snapshot(source, "saved.json")


def test_a_contract_of_a_thousand_coins_is_written_in_coins() -> None:
    listed = reference()
    pepe = replace(listed.instruments[1], id=name("1000PEPEUSDT"), symbol="1000PEPEUSDT", coin="PEPE", multiplier=1_000.0)
    held = replace(position("ETHUSDT", 1e6, 0.010, 0.012), instrument=pepe.id)
    told = replace(read({"USDT": 5_000.0}, ()), positions=(replace(held, reported_liquidation_price=0.0075),))
    source, seen = taken(told, instruments=replace(listed, instruments=(*listed.instruments, pepe)))
    assert source["accounts"][0]["positions"] == [{"instrument": pepe.id, "quantity": 1e9, "entry": pytest.approx(0.010 / 1_000)}]
    (row,) = source["instruments"]
    assert (row["coin"], row["mark"]) == ("PEPE", pytest.approx(0.012 / 1_000))
    (saved,) = saved_accounts(parse_snapshot(source, "saved.json"))
    assert saved.equity == pytest.approx(seen.pools[0].equity)
    assert not [one for one in saved.comparisons if one.figure.startswith("liquidation")], "told per contract"


def test_liquidation_prices_of_a_document_are_compared() -> None:
    told, modes = CASES["hedged"]
    rows = [replace(row, reported_liquidation_price=1.0) for row in told.positions]
    _, both = taken(replace(told, positions=tuple(rows)), **modes)
    ours = {(row.pool, row.figure): row.ours for row in both.rows}
    keys = [("iso:BTCUSDT:LONG", "BTCUSDT:LONG"), ("iso:BTCUSDT:SHORT", "BTCUSDT:SHORT")]
    keys += [("USDT", "ETHUSDT:LONG"), ("USDT", "ETHUSDT:SHORT")]
    exact = [
        replace(row, reported_liquidation_price=ours[pool, f"liquidation_price {symbol}"])
        for row, (pool, symbol) in zip(told.positions, keys, strict=True)
    ]
    source, _ = taken(replace(told, positions=tuple(exact)), **modes)
    saved = saved_accounts(parse_snapshot(source, "saved.json"))
    compared = [one for result in saved for one in result.comparisons if one.figure.startswith("liquidation")]
    assert len(compared) == 4
    assert all(one.difference < 1e-9 for one in compared)


# -- what a document may lack --------------------------------------------------------------------------------------------------


def changed(case: str, **account: Any) -> Document:
    source, _ = taken(CASES[case][0], **CASES[case][1])
    source["accounts"][0] |= account
    return source


def test_an_unknown_mode_has_no_rule() -> None:
    (found,) = saved_accounts(parse_snapshot(changed("multi", mode="magic"), "d"))
    assert [failure.reason.value for failure in found.failures] == ["UNSUPPORTED_MODE"]
    assert "multi_assets" in found.failures[0].detail


def test_without_a_mode_a_pool_is_of_the_kind_that_its_name_says() -> None:
    source = changed("multi")
    del source["accounts"][0]["mode"]
    (found,) = saved_accounts(parse_snapshot(source, "d"))
    assert (found.kind, found.mode, found.failures) == (PoolKind.ASTER_MULTI_ASSETS, "unknown", ())


def test_a_side_that_no_pool_carries_is_not_passed_over() -> None:
    source = changed("hedged")
    account = source["accounts"][0]
    account["pools"] = [row for row in account["pools"] if row["id"] != "iso:BTCUSDT:SHORT"]
    found = {one.pool: one for one in saved_accounts(parse_snapshot(source, "d"))}
    assert found["iso:BTCUSDT:LONG"].positions == 1
    (failed,) = [one for one in found.values() if one.failures]
    assert "aster:BTCUSDT" in failed.failures[0].detail
    assert failed.kind is not PoolKind.ASTER_ISOLATED


def test_a_position_in_two_pools() -> None:
    source = changed("hedged")
    next(row for row in source["accounts"][0]["pools"] if row["id"] == "USDT")["positions"].append("aster:BTCUSDT")
    found = {one.pool: one for one in saved_accounts(parse_snapshot(source, "d"))}
    assert all(found[pool].failures[0].detail.startswith("aster:BTCUSDT stands in 2 pools") for pool in found)


def test_a_pool_of_another_margin_asset() -> None:
    source = changed("single")
    next(row for row in source["accounts"][0]["pools"] if row["id"] == "USDT")["collateral_asset"] = "USD1"
    found = {one.pool: one for one in saved_accounts(parse_snapshot(source, "d"))}
    assert "settles in USDT and stands in a pool of USD1" in found["USDT"].failures[0].detail


def test_what_settles_in_something_without_a_price() -> None:
    source = changed("multi")
    source["instruments"][0]["settle"] = "U"
    (found,) = saved_accounts(parse_snapshot(source, "d"))
    assert [failure.reason.value for failure in found.failures] == ["MISSING_FX"]


def test_without_entries_the_valuation_is_not_compared() -> None:
    source = changed("multi, another ratio")
    for row in source["accounts"][0]["positions"]:
        del row["entry"]
    (found,) = saved_accounts(parse_snapshot(source, "d"))
    assert (found.model_error, found.reconciled) == (None, True)


# -- distances and the report --------------------------------------------------------------------------------------------------


def test_at_its_distance_a_pool_of_multi_assets_mode_is_liquidated() -> None:
    source, _ = taken(CASES["multi"][0], **CASES["multi"][1])
    (moves,) = saved_distances(parse_snapshot(source, "d")).values()
    assert set(moves) == {"all", "BTC", "ETH", "BNB"}, "asBNB goes with BNB, and what is at par with nothing"
    down, _ = moves["BTC"][1.0]
    assert down is not None
    there = deepcopy(source)
    for row in there["instruments"]:
        row["mark"] *= 1 + down if row["coin"] == "BTC" else 1.0
    for leg in there["accounts"][0]["pools"][0]["collateral"]:
        leg["price"] *= 1 + down if leg["asset"] == "BTC" else 1.0
    del there["accounts"][0]["reported"]
    (found,) = saved_accounts(parse_snapshot(there, "d"))
    assert found.margin_ratio == pytest.approx(1.0, rel=1e-6)


def test_what_is_at_par_does_not_fall_with_all_coins() -> None:
    balances = {"BTC": 0.1, "USDT": 50_000.0}
    source, _ = taken(read(balances, MULTI[:1], total=total(balances, MULTI[:1])), multi=True)
    (moves,) = saved_distances(parse_snapshot(source, "d")).values()
    down, _ = moves["all"][1.0]
    assert moves["all"] == moves["BTC"]
    assert down is not None
    # 0.1 BTC at 0.95 and 10 BTC fall, 49,995 USD do not
    left = 5_700.0 + 49_995.0 - 5_000.0 + down * (5_700.0 + 600_000.0)
    assert left == pytest.approx(600_000.0 * (1 + down) * 0.005 - 50.0, abs=1e-3)


@pytest.mark.parametrize("case", ["single", "hedged", "multi", "multi, hedged"])
def test_the_report_works_with_them(case: str) -> None:
    source, seen = taken(CASES[case][0], **CASES[case][1])
    source |= {"fx": {"USDT": 1.0, "USD1": 1.0}, "index": {**source["index"], "TRUTH": 0.38, "XAU": 3_990.0, "BNB": 700.0}}
    source["accounts"][0].setdefault("equity", 10_000.0)
    snapshot = parse_snapshot(source, "d")
    document = margin_report(snapshot, load_parameters("uta"))
    assert [row["pool"] for row in document["accounts"]] == [one.pool for one in seen.pools]
    assert all(row["status"] == "ok" and "liquidation fee" in row["next"] for row in document["accounts"])
    (portfolio,) = document["portfolios"]
    assert portfolio["venues"]["complete"] is True
    assert not any(pool["assumed"] for pool in portfolio["venues"]["pools"])
    assert portfolio["stage"] is None, "Aster has a rule of its own"
    if "hedged" in case:
        legs = [row for unit in portfolio["units"] for row in unit["positions"] if row["side"] is not None]
        assert {(row["instrument"], row["side"]) for row in legs} >= {("aster:ETHUSDT", "long"), ("aster:ETHUSDT", "short")}
    view = venue_view(snapshot, "portfolio")
    assert all(math.isfinite(curve.ratio or 0.0) for curve in view.pools)
