"""The reference against the golden examples and the recorded Black-76 rows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.reference import contingency as charge
from tests.reference.black76 import black76, implied, option_delta, option_gamma, option_vega
from tests.reference.margin_model import UTA, contributions, distance, evaluate, hedge_benefit, leave_one_out, standalone
from tests.reference.portfolio import ratio
from tests.reference.stress import effective_shock
from tests.reference.venue_rules import short_option_cross, uta_stage

Document = dict[str, Any]
FREE = {"f_A": 0.0, "f_B": 0.0, "f_C": 0.0, "f_D": 0.0, "f_E": 0.0}
NOON = "2026-11-21T12:00:00Z"


@pytest.fixture(scope="module")
def golden(recordings: Path) -> dict[str, Any]:
    document = json.loads((recordings.parent / "golden" / "uta_examples.json").read_text(encoding="utf-8"))
    return {example["id"]: example for example in (*document["examples"], *document["derived_vectors"])}


def snapshot(instruments: list[Document], positions: list[Document], **changes: Any) -> Document:
    account = {"id": "one", "venue": "v", "equity": 1e6, "positions": positions}
    account |= {name: changes.pop(name) for name in ("equity", "orders", "balances", "spot_hedging") if name in changes}
    return {
        "version": 1,
        "as_of": NOON,
        "fx": {"USDT": 1.0, "USDC": 1.0},
        "index": {"BTC": 100_000.0},
        "instruments": instruments,
        "accounts": [account],
        "portfolios": [{"id": "p", "accounts": ["one"]}],
    } | changes


def perpetual(name: str = "perp", mark: float = 100_000.0, settle: str = "USDC") -> Document:
    return {"id": name, "kind": "perpetual", "coin": "BTC", "settle": settle, "mark": mark}


def option(name: str, kind: str, strike: float, **changes: Any) -> Document:
    row = {"id": name, "kind": "option", "coin": "BTC", "settle": "USDC", "option_type": kind, "strike": strike}
    return row | {"expiry": NOON, "forward": 100_000.0, "iv": 0.5, "mark": None} | changes


@pytest.fixture(scope="module")
def sample(golden: dict[str, Any]) -> Document:
    """The unit of the published account sample."""
    grid, perp, hedge = (golden[f"BYBIT-0{number}"]["inputs"] for number in (1, 2, 4))
    listed = {"id": "option", "kind": "option", "coin": "BTC", "settle": "USDT", "option_type": "call", "strike": grid["strike"]}
    listed |= {"expiry": grid["expiry_ms"], "forward": grid["forward"], "iv": grid["mark_iv"], "mark": grid["mark_price"]}
    document = snapshot(
        [listed, perpetual("perp", perp["mark_price_usdt"], "USDT")],
        [{"instrument": "option", "quantity": grid["qty"]}, {"instrument": "perp", "quantity": perp["qty"]}],
        as_of=grid["now_ms"],
        fx={"USDT": grid["usdt_usd"]},
        index={"BTC": hedge["usd_index"]},
        overrides={"BTC": {"option_base": "mark"}},
        spot_hedging=True,
        balances=[{"asset": "BTC", "total": hedge["hedge_spot_size"], "collateral_ratio": 0.98, "eligible_hedge": True}],
    )
    unit: Document = evaluate(document, UTA)["p"]["units"][0]
    return unit


def test_option_grid(golden: dict[str, Any], sample: Document) -> None:
    example = golden["BYBIT-01"]
    published = [list(column) for column in zip(*example["expected"]["pnl_up_same_down_by_scale"], strict=True)]
    assert sample["price_nodes"] == pytest.approx(example["inputs"]["price_scales"], abs=1e-15)
    for row, wanted in zip(sample["option"], published, strict=True):
        assert row == pytest.approx(wanted, abs=5.1e-9)


def test_linear_row(golden: dict[str, Any], sample: Document) -> None:
    assert sample["linear"] == pytest.approx(golden["BYBIT-02"]["expected"]["pnl"], abs=5.1e-9)


def test_perpetual_future_contingency(golden: dict[str, Any], sample: Document) -> None:
    found = sample["contingency"]["perpetual_future"]
    assert found == pytest.approx(golden["BYBIT-03"]["expected"]["futureContingency"], abs=5.1e-9)


def test_spot_row(golden: dict[str, Any], sample: Document) -> None:
    assert sample["hedging_spot"] == golden["BYBIT-04"]["inputs"]["hedge_spot_size"]
    assert sample["spot"] == pytest.approx(golden["BYBIT-04"]["expected"]["pnl"], abs=5.1e-9)


def test_spot_basis_contingency(golden: dict[str, Any], sample: Document) -> None:
    found = sample["contingency"]["spot_basis"]
    assert found == pytest.approx(golden["BYBIT-06"]["expected"]["futureDeltaContingency"], abs=5.1e-9)


def test_contingency_total(golden: dict[str, Any], sample: Document) -> None:
    total = math.fsum(sample["contingency"].values())
    assert total == pytest.approx(golden["BYBIT-07"]["expected"]["contingencyComponents"], abs=5.1e-9)
    assert [name for name, value in sample["contingency"].items() if value > 0.0] == ["spot_basis", "perpetual_future"]


def test_initial_margin_is_maintenance_times_factor(golden: dict[str, Any], sample: Document) -> None:
    inputs, expected = golden["BYBIT-09"]["inputs"], golden["BYBIT-09"]["expected"]
    assert sample["initial_margin"] / sample["maintenance_margin"] == pytest.approx(inputs["im_factor"], rel=1e-12)
    assert inputs["assetMM"] * UTA.unit("BTC")["im_factor"] == pytest.approx(expected["assetIM"], abs=1e-9)


def test_account_rates(golden: dict[str, Any]) -> None:
    inputs, expected = golden["BYBIT-10"]["inputs"], golden["BYBIT-10"]["expected"]
    for margin, rate in (("accountIM", "accountIMRate"), ("accountMM", "accountMMRate")):
        found = ratio(inputs[margin], inputs["equity"])
        assert found is not None
        assert math.floor(found * 1e4) / 1e4 == expected[rate]
    assert inputs["equity"] - inputs["accountIM"] == pytest.approx(expected["availableBalance"], abs=1e-8)


def test_short_option_alone(golden: dict[str, Any]) -> None:
    row, expected = golden["BYBIT-11"]["inputs"], golden["BYBIT-11"]["expected"]
    found = short_option_cross(row["index"], row["strike"], row["cp"] == "C", row["mark"], row["entry"], row["qty"])
    assert found == pytest.approx((expected["MM"], expected["IM"]), abs=1e-6)


def test_near_expiry_decay(golden: dict[str, Any]) -> None:
    row, expected = golden["BYBIT-13"]["inputs"], golden["BYBIT-13"]["expected"]
    assert effective_shock(row["preset"], row["seconds_to_expiry"], row["window"]) == pytest.approx(expected["decayed"], abs=1e-12)
    assert effective_shock(row["preset"], row["seconds_to_expiry"], 0.0) == row["preset"]
    assert effective_shock(row["preset"], 2 * row["window"], row["window"]) == row["preset"]


def test_hedge_offsets_in_the_same_scenario(golden: dict[str, Any]) -> None:
    values = FREE | {"price_range": 0.015, "near_expiry": 0.0}
    calls = {"instrument": "call", "quantity": -3}
    document = snapshot([option("call", "call", 50_000.0), perpetual()], [calls], overrides={"BTC": values})
    inputs = golden["BYBIT-14"]["inputs"]
    assert evaluate(document, UTA)["p"]["maintenance_margin"] == pytest.approx(inputs["short_calls_max_loss"], abs=1e-9)
    document["accounts"][0]["positions"].append({"instrument": "perp", "quantity": 2})
    assert evaluate(document, UTA)["p"]["units"][0]["linear"][-1] == pytest.approx(inputs["hedge_gain_same_scenario"], abs=1e-9)
    assert evaluate(document, UTA)["p"]["maintenance_margin"] == pytest.approx(golden["BYBIT-14"]["expected"]["MM"], abs=1e-9)


def test_short_option_contingency(golden: dict[str, Any]) -> None:
    row = golden["D-BYBIT-A"]["inputs"]
    quantities = [("day", name == "calls", float(q)) for name in ("calls", "puts") for q in row[name].values()]
    assert charge.short_option(quantities, row["factor"], row["index"]) == golden["D-BYBIT-A"]["expected"]["contingency"]


def test_vega_spread_contingency(golden: dict[str, Any]) -> None:
    row = golden["D-BYBIT-B"]["inputs"]
    expiries = [(item["days"], item["net_vega"]) for item in row["expiries"]]
    found = charge.vega_spread(expiries, row["factor"], row["index"])
    assert found == pytest.approx(golden["D-BYBIT-B"]["expected"]["contingency"], rel=1e-12)


def test_stablecoin_spread_contingency(golden: dict[str, Any]) -> None:
    row = golden["D-BYBIT-C"]["inputs"]
    found = charge.stablecoin_spread([row["delta_usdt"], row["delta_usdc"], row["delta_usd"]], row["factor"], row["index"])
    assert found == pytest.approx(golden["D-BYBIT-C"]["expected"]["contingency"], rel=1e-12)


def test_delta_spread_contingency(golden: dict[str, Any]) -> None:
    row = golden["D-BYBIT-D1"]["inputs"]
    expiries = [(item["days"], item["net_delta"]) for item in row["expiries"]]
    found = charge.delta_spread(expiries, row["factor"], row["index"])
    assert found == pytest.approx(golden["D-BYBIT-D1"]["expected"]["contingency"], rel=1e-12)


def test_order_groups(golden: dict[str, Any]) -> None:
    inputs = golden["D-BYBIT-ORD"]["inputs"]
    per_coin = 100_000.0 * 0.10
    sizes = [inputs[name] / per_coin for name in ("MM_C", "MM_A_plus_C", "MM_B_plus_C")]
    orders = [{"instrument": "perp", "quantity": size - sizes[0], "limit_price": 100_000.0} for size in sizes[1:]]
    orders.append({"instrument": "perp", "quantity": 50.0, "limit_price": 120_000.0, "reduce_only": True})
    document = snapshot([perpetual()], [{"instrument": "perp", "quantity": sizes[0]}], orders=orders, overrides={"BTC": FREE})
    found = evaluate(document, UTA)["p"]
    assert found["maintenance_margin"] == pytest.approx(golden["D-BYBIT-ORD"]["expected"]["final"], rel=1e-12)
    assert (found["choice"], found["units"][0]["binding_orders"]) == (0, "buy_orders")


def test_stages(golden: dict[str, Any]) -> None:
    rows = golden["D-BYBIT-LIQ"]["inputs"]["rows"]
    assert [uta_stage(row["mmr"], row["debt"]) for row in rows] == golden["D-BYBIT-LIQ"]["expected"]["stages"]


def test_euler_contributions(golden: dict[str, Any]) -> None:
    # A short put and a short call at expiry, on marks that make their payoffs the example's two scenarios.
    pnl, expected = golden["D-EULER"]["inputs"]["scenario_pnl"], golden["D-EULER"]["expected"]
    gain_a, gain_b = pnl["A"][1], pnl["B"][0]
    put = option("A", "put", 850.0 + gain_a - pnl["A"][0], forward=1000.0, mark=gain_a)
    call = option("B", "call", 1150.0 - gain_b + pnl["B"][1], forward=1000.0, mark=gain_b)
    values = FREE | {"price_range": 0.15, "price_nodes": 3, "near_expiry": 0.0, "option_base": "mark"}
    short = [{"instrument": name, "quantity": -1} for name in ("A", "B")]
    document = snapshot([put, call], short, overrides={"BTC": values})
    unit = evaluate(document, UTA)["p"]["units"][0]
    assert [unit["all"][0], unit["all"][2]] == pytest.approx(expected["portfolio"], abs=1e-9)
    assert unit["worst"] == {"price": -0.15, "vol": 0.0}
    assert unit["maintenance_margin"] == pytest.approx(expected["margin"], abs=1e-9)
    rows = contributions(document, UTA, "p")["BTC"]
    assert {row["instrument"]: row["contribution"] for row in rows} == pytest.approx(expected["euler"], abs=1e-9)
    for figure, wanted in ((standalone, "standalone"), (leave_one_out, "leave_one_out")):
        assert {key[1]: value for key, value in figure(document, UTA, "p").items()} == pytest.approx(expected[wanted], abs=1e-9)
    assert hedge_benefit(document, UTA, "p") == pytest.approx(sum(expected["standalone"].values()) - expected["margin"], abs=1e-9)


def test_liquidation_price_of_a_linear_book(golden: dict[str, Any]) -> None:
    row = golden["D-LIQPX"]["inputs"]
    values = FREE | {"price_range": row["mm_rate"]}
    position = {"instrument": "perp", "quantity": row["qty"], "entry": row["entry"]}
    document = snapshot([perpetual(mark=row["mark"])], [position], equity=row["equity0"], overrides={"BTC": values})
    down, up = distance(document, UTA, "p", "BTC", 1.0)
    assert down is not None
    assert row["mark"] * (1.0 + down) == pytest.approx(golden["D-LIQPX"]["expected"]["price"], abs=1e-6)
    assert up is None


def test_black76_against_forty_digits(recordings: Path) -> None:
    rows = json.loads((recordings / "deribit" / "black76_golden_cross_venue.json").read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 108
    for row in rows:
        wanted = row["reference_black76_undiscounted"]
        years = (row["expiry_ms"] - row["ts_ms"]) / 1000 / 86400 / 365
        terms = (float(row["forward"]), float(row["strike"]), float(row["iv"]), years)
        call = row["call_put"] == "C"
        price = black76(*terms, call)
        assert price == pytest.approx(wanted["price"], rel=1e-11)
        assert option_delta(*terms, call) == pytest.approx(wanted["delta"], rel=1e-11)
        assert option_gamma(*terms) == pytest.approx(wanted["gamma"], rel=1e-11)
        assert option_vega(*terms) == pytest.approx(100.0 * wanted["vega_per_1pct"], rel=1e-11)
        parity = black76(*terms, True) - black76(*terms, False)
        assert parity == pytest.approx(terms[0] - terms[1], abs=1e-11 * terms[0])
        sigma = implied(price, terms[0], terms[1], years, call)
        assert sigma is not None
        assert black76(terms[0], terms[1], sigma, years, call) == pytest.approx(price, rel=0.0, abs=1e-15 * terms[0])


@pytest.mark.parametrize(("price", "call"), [(0.0, True), (10.0, True), (110.0, True), (0.0, False), (100.0, False), (-1.0, False)])
def test_no_volatility_outside_the_open_interval(price: float, call: bool) -> None:
    assert implied(price, 110.0, 100.0, 0.5, call) is None


def test_at_expiry_delta_is_a_step_that_is_zero_at_the_strike() -> None:
    assert [option_delta(f, 100.0, 0.0, 0.0, True) for f in (99.0, 100.0, 101.0)] == [0.0, 0.0, 1.0]
    assert [option_delta(f, 100.0, 0.0, 0.0, False) for f in (99.0, 100.0, 101.0)] == [-1.0, 0.0, 0.0]
    assert option_vega(100.0, 100.0, 0.5, 0.0) == 0.0


def test_computed_equity_asks_for_the_entry_of_linear_legs() -> None:
    document = snapshot([perpetual()], [{"instrument": "perp", "quantity": 2.0}], equity=None)
    document["accounts"][0]["balances"] = [{"asset": "USDC", "total": 50_000.0}, {"asset": "BTC", "total": 1.0, "collateral_ratio": 0.9}]
    document["accounts"][0]["debts"] = [{"asset": "USDT", "amount": 1_000.0}]
    found = evaluate(document, UTA)["p"]
    assert [(row["reason"], row["detail"]) for row in found["failures"]] == [("MISSING_ENTRY", "perp")]
    assert (found["equity"], found["margin_ratio"], found["maintenance_margin"]) == (None, None, pytest.approx(20_000.0 + 60.0 + 20.0))
    document["accounts"][0]["positions"][0]["entry"] = 95_000.0
    found = evaluate(document, UTA)["p"]
    assert found["equity"] == pytest.approx(50_000.0 + 90_000.0 + 2 * 5_000.0 - 1_000.0)
    assert found["initial_margin"] == pytest.approx(20_060.0 * 1.2 + 100.0)


@pytest.mark.parametrize(
    ("equity", "wanted", "level"),
    [(-1.0, math.inf, "liquidation"), (10_030.0, 1.0, "liquidation"), (11_000.0, 10_030.0 / 11_000.0, "critical"), (1e6, 0.01003, "ok")],
)
def test_ratio_and_level(equity: float, wanted: float, level: str) -> None:
    found = evaluate(snapshot([perpetual()], [{"instrument": "perp", "quantity": 1.0}], equity=equity), UTA)["p"]
    assert (found["margin_ratio"], found["level"]) == (pytest.approx(wanted, rel=1e-12), level)


def test_without_positions_the_ratio_is_zero() -> None:
    found = evaluate(snapshot([perpetual()], [], equity=-5.0), UTA)["p"]
    assert (found["maintenance_margin"], found["margin_ratio"], found["level"], found["units"]) == (0.0, 0.0, "ok", [])
