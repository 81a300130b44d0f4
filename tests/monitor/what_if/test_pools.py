"""Pools of every mode: where a trade stands, what a transfer reaches, and that no money is made on the way."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.margin.modes import hyperliquid_modes
from monitor.margin.result import Failure
from monitor.snapshot import parse_snapshot
from monitor.what_if.known import Known
from tests.monitor.what_if.desk import (
    ASTER,
    BTC,
    ETH,
    WIDE,
    account,
    balances,
    desk,
    edit,
    listed,
    maintenance,
    pool,
    quantities,
    report,
    rule,
    trade,
    transfer,
)

near = pytest.approx
UNIT = {"iris": "USDC", "umbra": "USDT", "noctua": "USDC"}


def equities(document: dict[str, Any]) -> float:
    return math.fsum(row["equity"] for row in document["accounts"])


def test_a_transfer_lowers_one_ratio_and_raises_the_other() -> None:
    after = edit(desk(), transfer(None, "iris", "USDC", 50_000.0), transfer("umbra", None, "USDT", 50_000.0)).document
    assert rule(after, "iris", "main")["margin_ratio"] == near(maintenance(500_050.0) / 150_050.0)
    assert rule(after, "umbra", "USDT")["margin_ratio"] == near(maintenance(500_200.0) / (199_800.0 - 50_000.0))
    assert account(after, "iris")["equity"] == near(150_050.0)
    assert account(after, "umbra")["equity"] == near(0.999 * 149_800.0)
    assert balances(after, "iris") == {"USDC": near(-350_000.0)}


def test_a_stablecoin_that_a_pool_does_not_take_is_exchanged_and_said_so() -> None:
    found = edit(desk(), transfer("iris", "umbra", "USDC", 9_990.0))
    assert pool(found.document, "umbra", "USDT")["cash"] == near(700_000.0 + 10_000.0)
    assert pool(found.document, "iris", "main")["cash"] == near(-400_000.0 - 9_990.0)
    assert "9990 USDC are 10000 USDT in account umbra" in " ".join(found.assumptions)


def test_coin_sent_from_deribit_takes_its_moves_along() -> None:
    after = edit(desk(), transfer("noctua", None, "BTC", 0.4)).document
    row = pool(after, "noctua", "cross")
    assert (row["cash"], row["exposures"][0]["quantity"]) == (90_000.0, near(0.7))
    assert account(after, "noctua")["equity"] == near(160_000.0)
    assert balances(after, "noctua") == {"BTC": near(0.6), "USDC": 100_000.0}


def test_cash_sent_to_deribit_is_margin_balance() -> None:
    after = edit(desk(), transfer("umbra", "noctua", "USDT", 10_000.0)).document
    assert pool(after, "noctua", "cross")["cash"] == near(90_000.0 + 9_990.0)
    assert account(after, "noctua")["balances"][2] == {"asset": "USDT", "total": 10_000.0, "collateral_ratio": 1.0}


@settings(max_examples=25)
@given(ends=st.permutations(["iris", "umbra", "noctua"]), amount=st.floats(1.0, 90_000.0))
def test_a_transfer_out_and_back_is_no_change_and_keeps_the_sum(ends: list[str], amount: float) -> None:
    source, target, _ = ends
    asset = UNIT[source]
    there = edit(desk(), transfer(source, target, asset, amount)).document
    assert equities(there) == near(equities(desk()), rel=1e-12)
    back = report(edit(desk(), transfer(source, target, asset, amount), transfer(target, source, asset, amount)).document)
    before = report(desk())
    for name in ("equity", "maintenance_margin", "margin_ratio"):
        assert back["portfolios"][0][name] == near(before["portfolios"][0][name], rel=1e-9)
        assert [row[name] for row in back["accounts"]] == near([row[name] for row in before["accounts"]], rel=1e-9)


# -- Hyperliquid ---------------------------------------------------------------------------------------------------------------


def isolated() -> dict[str, Any]:
    """iris, with a long of 100 ETH by itself: equity 20000."""
    document = desk()
    iris = account(document, "iris")
    iris["positions"].append({"instrument": ETH, "quantity": 100.0})
    iris["pools"].append({"id": "iso:ETH", "collateral_asset": "USDC", "cash": -330_000.0, "positions": [ETH]})
    iris["equity"] += 20_000.0
    return document


def test_a_trade_in_what_is_held_isolated_stays_in_its_pool() -> None:
    found = edit(isolated(), trade("iris", ETH, 50.0))
    assert pool(found.document, "iris", "main") == pool(isolated(), "iris", "main")
    alone = rule(found.document, "iris", "iso:ETH")
    assert (alone["equity"], alone["maintenance_margin"]) == (near(20_000.0), near(maintenance(150 * 3_500.0)))
    assert "to which no margin is added" in " ".join(found.assumptions)


def test_margin_of_a_closed_isolated_position_goes_home() -> None:
    found = edit(isolated(), trade("iris", ETH, -100.0))
    assert [row["id"] for row in account(found.document, "iris")["pools"]] == ["main"]
    assert rule(found.document, "iris", "main")["equity"] == near(100_050.0 + 20_000.0)


def test_margin_moves_between_pools_of_one_account() -> None:
    after = edit(isolated(), transfer("iris", "iris", "USDC", 5_000.0, to_pool="iso:ETH")).document
    assert pool(after, "iris", "iso:ETH")["cash"] == near(-325_000.0)
    assert pool(after, "iris", "main")["cash"] == near(-405_000.0)
    assert account(after, "iris")["equity"] == near(120_050.0)


def test_an_instrument_that_is_isolated_only_begins_without_margin() -> None:
    known = Known(rows={WIDE: listed(WIDE, "GOLD", "USDC", mark=4_000.0)}, isolated_only={WIDE}, index={"GOLD": 4_000.0})
    buy, margin = trade("iris", WIDE, 10.0), transfer("iris", "iris", "USDC", 4_000.0, to_pool="iso:xyz:GOLD")
    assert rule(edit(desk(), buy, known=known).document, "iris", "iso:xyz:GOLD")["margin_ratio"] == "Infinity"
    after = edit(desk(), buy, margin, known=known).document
    assert rule(after, "iris", "iso:xyz:GOLD")["margin_ratio"] == near(maintenance(40_000.0) / 4_000.0)
    assert rule(after, "iris", "main")["equity"] == near(96_050.0)


def test_another_dex_of_a_standard_account_is_another_pool() -> None:
    known = Known(rows={WIDE: listed(WIDE, "GOLD", "USDC", mark=4_000.0)}, index={"GOLD": 4_000.0})
    found = edit(desk(), trade("iris", WIDE, 10.0), known=known)
    assert pool(found.document, "iris", "xyz") == {"id": "xyz", "collateral_asset": "USDC", "cash": -40_000.0, "positions": [WIDE]}
    assert "has to be transferred to it" in " ".join(found.assumptions)


@pytest.mark.parametrize("is_saved", [True, False])
def test_cash_that_comes_counts_once_in_every_mode(is_saved: bool) -> None:
    # what verify saves of a standard account has its spot wallet in the balances
    document = desk()
    if is_saved:
        del account(document, "iris")["spot"]
        account(document, "iris")["balances"] = [{"asset": "USDC", "total": 7_000.0}]
    before, after = _equities(document), _equities(edit(document, transfer(None, "iris", "USDC", 1_000.0)).document)
    assert before.keys() == {"standard", "unified", "portfolio_margin"}
    assert after == {mode: near(equity + 1_000.0) for mode, equity in before.items()}


def _equities(document: dict[str, Any]) -> dict[str, float]:
    # of iris under each mode, where it has one pool
    found = {}
    for mode, pools in hyperliquid_modes(parse_snapshot(document, "a test"), "iris").items():
        assert not isinstance(pools, Failure)
        found[mode] = math.fsum(pool.equity or 0.0 for pool in pools)
    return found


def in_mode(mode: str, **row: Any) -> dict[str, Any]:
    document = desk()
    account(document, "iris").update(mode=mode, pools=[pool(document, "iris", "main") | row])
    return document


def test_a_unified_account_trades_in_the_pool_of_the_settlement_token() -> None:
    after = edit(in_mode("unified", id="USDC"), trade("iris", ETH, 10.0), transfer(None, "iris", "USDT", 1_000.0)).document
    assert pool(after, "iris", "USDC")["positions"] == [BTC, ETH]
    assert pool(after, "iris", "USDC")["cash"] == near(-400_000.0 - 35_000.0 + 999.0)


def portfolio_margin() -> dict[str, Any]:
    held = {"asset": "UBTC", "amount": 2.0, "price": 100_000.0, "ratio": 0.75}
    document = in_mode("portfolio_margin", id="portfolio", limit=0.95, collateral=[held])
    iris = account(document, "iris")
    iris["balances"].append({"asset": "BTC", "total": 2.0, "collateral_ratio": 0.75})
    iris["equity"] += 150_000.0
    return document


def test_coin_in_portfolio_margin_counts_with_its_ratio() -> None:
    found = edit(portfolio_margin(), transfer("iris", "noctua", "BTC", 1.0), trade("iris", BTC, 1.0))
    row = pool(found.document, "iris", "portfolio")
    assert row["collateral"][0]["amount"] == near(1.0)
    assert row["cash"] == near(-400_000.0 - 100_010.0)
    assert account(found.document, "iris")["equity"] == near(100_050.0 + 75_000.0)
    assert account(found.document, "iris")["balances"][1]["total"] == near(1.0)
    assert rule(found.document, "iris", "portfolio")["equity"] == near(rule(portfolio_margin(), "iris", "portfolio")["equity"] - 75_000.0)
    assert "UBTC counts 75.0% of its price" in " ".join(found.assumptions)


# -- Aster ---------------------------------------------------------------------------------------------------------------------


def multi_assets() -> dict[str, Any]:
    document = desk()
    legs = [
        {"asset": "USDT", "amount": 200_000.0, "price": 1.0, "ratio": 0.9999},
        {"asset": "BTC", "amount": 1.0, "price": 100_000.0, "ratio": 0.95},
    ]
    row = {"id": "multi-assets", "collateral_asset": "USD", "cash": 500_000.0, "collateral": legs, "positions": [ASTER]}
    wallets = [{"asset": leg["asset"], "total": leg["amount"], "collateral_ratio": leg["ratio"]} for leg in legs]
    equity = 0.999 * (500_000.0 + 199_980.0 + 95_000.0 - 5 * 100_040.0)
    cash = {"asset": "USDT", "total": 500_000.0}
    account(document, "umbra").update(mode="multi_assets", pools=[row], balances=[cash, *wallets], equity=equity)
    return document


def test_wallets_of_multi_assets_count_with_their_ratio() -> None:
    known = Known(ratios={"ETH": 0.9})
    changes = [transfer("umbra", None, "BTC", 0.25), transfer(None, "umbra", "USDT", 1_000.0), transfer(None, "umbra", "ETH", 2.0)]
    after = edit(multi_assets(), *changes, known=known).document
    gained = -0.25 * 95_000.0 + 999.9 + 2.0 * 3_500.0 * 0.9
    assert rule(after, "umbra", "multi-assets")["equity"] == near(199_980.0 + 94_800.0 + gained)
    assert account(after, "umbra")["equity"] == near(account(multi_assets(), "umbra")["equity"] + 0.999 * gained)
    assert [row["total"] for row in account(after, "umbra")["balances"]] == near([500_000.0, 201_000.0, 0.75, 2.0])


def test_a_trade_of_multi_assets_is_in_its_cash_and_not_in_a_wallet() -> None:
    after = edit(multi_assets(), trade("umbra", ASTER, 1.0)).document
    assert pool(after, "umbra", "multi-assets")["cash"] == near(500_000.0 - 100_040.0)
    assert [row["total"] for row in account(after, "umbra")["balances"]] == near([399_960.0, 200_000.0, 1.0])


def test_a_wallet_overdrawn_is_a_debt_that_a_deposit_repays() -> None:
    document = multi_assets()
    umbra = account(document, "umbra")
    umbra["pools"][0]["collateral"][1].update(amount=-0.5, ratio=1.05)
    umbra["balances"] = umbra["balances"][:2]
    umbra["debts"] = [{"asset": "BTC", "amount": 0.5}]
    part = edit(document, transfer(None, "umbra", "BTC", 0.2)).document
    assert account(part, "umbra")["debts"] == [{"asset": "BTC", "amount": near(0.3)}]
    whole = edit(document, transfer(None, "umbra", "BTC", 1.5), known=Known(ratios={"BTC": 0.95})).document
    assert account(whole, "umbra")["debts"] == []
    assert balances(whole, "umbra")["BTC"] == near(1.0)
    assert account(whole, "umbra")["equity"] == near(umbra["equity"] + 0.999 * (95_000.0 + 52_500.0))


def hedged() -> dict[str, Any]:
    document = desk()
    umbra = account(document, "umbra")
    umbra["positions"] = [
        {"instrument": ASTER, "quantity": 3.0, "side": "long"},
        {"instrument": ASTER, "quantity": -8.0, "side": "short"},
    ]
    return document


def test_each_side_of_hedge_mode_is_traded_by_itself() -> None:
    after = edit(hedged(), trade("umbra", ASTER, -2.0, side="short"), trade("umbra", ASTER, -3.0, side="long")).document
    assert account(after, "umbra")["positions"] == [{"instrument": ASTER, "quantity": -10.0, "side": "short"}]
    assert quantities(after, "umbra") == {ASTER: -10.0}
    assert rule(after, "umbra", "USDT")["equity"] == near(199_800.0)


def test_the_other_side_of_an_isolated_symbol_is_isolated_too() -> None:
    document = hedged()
    umbra = account(document, "umbra")
    umbra["positions"] = umbra["positions"][:1]
    umbra["pools"] = [
        {"id": "USDT", "collateral_asset": "USDT", "cash": 500_000.0, "positions": []},
        {"id": "iso:BTCUSDT:LONG", "collateral_asset": "USDT", "cash": -280_000.0, "positions": [ASTER]},
    ]
    opened = trade("umbra", ASTER, -2.0, side="short")
    after = edit(document, opened, transfer("umbra", "umbra", "USDT", 10_000.0, from_pool="USDT", to_pool="iso:BTCUSDT:SHORT")).document
    found = {name: rule(after, "umbra", name) for name in ("USDT", "iso:BTCUSDT:LONG", "iso:BTCUSDT:SHORT")}
    assert [row["failures"] for row in found.values()] == [[], [], []]
    assert [row["equity"] for row in found.values()] == near([490_000.0, 3 * 100_040.0 - 280_000.0, 10_000.0])
    assert found["iso:BTCUSDT:SHORT"]["maintenance_margin"] == near(maintenance(2 * 100_040.0))
