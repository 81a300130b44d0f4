"""The report document: the format's shape, the reference's numbers, and typed failures instead of guesses."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from config.portfolios import Eligibility
from monitor.report.document import level_of, margin_ratio, margin_report
from monitor.report.plain import plain, utc
from tests.monitor import saved_book
from tests.reference.books import random_document
from tests.reference.margin_model import HOUSE, UTA, distance, evaluate, leave_one_out, moved, result_of, standalone

Document = dict[str, Any]

SETS = pytest.mark.parametrize("name", ["uta", "house"])
REFERENCE = {"uta": UTA, "house": HOUSE}

PORTFOLIO_KEYS = {
    "id", "method", "status", "failures", "equity", "maintenance_margin", "initial_margin", "margin_ratio", "initial_ratio",
    "excess", "available", "level", "loss", "liquidity", "buffer", "borrow", "families", "gross_notional", "net_notional", "cross",
    "distance", "units",
}  # fmt: skip
EXTRA_KEYS = {
    "cash_to_safety", "reduction", "hedge_benefit", "binding_choice", "at_liquidity_cap", "eligibility", "concentration",
    "venues", "venue_out", "assumptions", "stage", "next_funding", "curve",
}  # fmt: skip
UNIT_KEYS = {
    "coin", "status", "max_loss", "worst", "binding_orders", "price_nodes", "vol_nodes", "linear", "option", "spot", "collateral",
    "all", "contingency", "order_loss", "maintenance_margin", "initial_margin", "delta", "gamma", "vega", "hedging_spot", "positions",
}  # fmt: skip
POSITION_KEYS = {"instrument", "quantity", "notional", "contribution", "standalone", "leave_one_out", "account", "side"}
CONTINGENCIES = {"short_option", "vega_spread", "stablecoin_spread", "delta_spread", "spot_basis", "perpetual_future"}


def reported(document: Document, name: str = "uta", **options: Any) -> Document:
    return margin_report(*saved_book.resolved(document, name), **options)


def only(document: Document, name: str = "uta", **options: Any) -> Document:
    (portfolio,) = reported(document, name, **options)["portfolios"]
    return dict(portfolio)


# -- shape ----------------------------------------------------------------------------------------------------------------------------


def test_the_document_has_the_keys_of_the_format() -> None:
    found = reported(saved_book.with_pools())
    assert {"version", "as_of", "parameters", "portfolios", "accounts"} == found.keys() - {"modes"}
    assert (found["version"], found["as_of"]) == (1, "2026-11-21T12:00:00Z")
    assert found["parameters"] == {"name": "uta", "dated": "2026-11-21"}
    (portfolio,) = found["portfolios"]
    assert portfolio.keys() == PORTFOLIO_KEYS | EXTRA_KEYS
    assert portfolio["loss"].keys() == {"sum", "joint", "shift"}
    assert portfolio["families"].keys() == {"directional", "volatility", "correlation", "liquidity"}
    assert {"maintenance_margin", "initial_margin", "saving"} <= portfolio["cross"].keys()
    assert portfolio["distance"].keys() == {"all", "BTC", "ETH"}
    assert list(portfolio["distance"]["BTC"]) == ["0.85", "0.9", "1.0"]
    assert all(side.keys() == {"down", "up"} for moves in portfolio["distance"].values() for side in moves.values())
    for unit in portfolio["units"]:
        assert unit.keys() == UNIT_KEYS | {"failures"}
        assert unit["worst"].keys() == {"price", "vol"}
        assert unit["contingency"].keys() == CONTINGENCIES
        assert all(row.keys() == POSITION_KEYS for row in unit["positions"])
        assert [len(unit["option"]), len(unit["option"][0])] == [3, len(unit["price_nodes"])]
    (account,) = found["accounts"]
    assert {"id", "venue", "method", "status", "mode", "margin_ratio", "level", "pool", "next", "next_funding"} <= account.keys()
    assert (account["id"], account["method"], account["mode"]) == ("hl-main", "hyperliquid", "unified")
    assert found["modes"]["hl-main"].keys() == {"standard", "unified", "portfolio_margin"}


@SETS
def test_it_is_strict_json_and_never_not_a_number(name: str) -> None:
    infinite = 0
    for seed in range(15):
        found = reported(random_document(random.Random(seed), failures=seed % 3 == 0), name)
        text = json.dumps(found, allow_nan=False)
        assert json.loads(text) == found
        assert "-0.0," not in text
        infinite += '"Infinity"' in text
    assert infinite > 0


def test_times_and_numbers_are_written_plainly() -> None:
    assert utc(1_795_262_400_000) == "2026-11-21T12:00:00Z"
    assert utc(1_795_262_400_506) == "2026-11-21T12:00:00.506Z"
    assert plain({"a": (math.inf, -math.inf, math.nan, -0.0, 1, True, None, "x")}) == {
        "a": ["Infinity", "-Infinity", None, 0.0, 1, True, None, "x"]
    }


# -- numbers --------------------------------------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    return None if value is None else float(value)


def near(found: Any, expected: Any, scale: float) -> None:
    if expected is None or isinstance(expected, str):
        assert found == expected
    elif math.isinf(expected):
        assert number(found) == expected
    else:
        assert number(found) == pytest.approx(expected, rel=1e-10, abs=1e-10 * scale)


def compare_units(found: Document, expected: Document, scale: float) -> None:
    assert found["binding_orders"] == expected["binding_orders"]
    for key in ("max_loss", "order_loss", "maintenance_margin", "initial_margin"):
        near(found[key], expected[key], scale)
    for key in ("delta", "gamma", "vega", "hedging_spot"):
        near(found[key], expected[key], 1e-3 * max(1.0, abs(expected[key])))
    for key, value in expected["contingency"].items():
        near(found["contingency"][key], value, scale)
    for key in ("price_nodes", "vol_nodes", "linear", "spot", "collateral", "all"):
        for one, other in zip(found[key], expected[key], strict=True):
            near(one, other, scale)
    for line, other_line in zip(found["option"], expected["option"], strict=True):
        for one, other in zip(line, other_line, strict=True):
            near(one, other, scale)
    total = math.fsum(row["contribution"] for row in found["positions"])
    near(total, expected["maintenance_margin"], 10.0 * scale)
    assert {(row["account"], row["instrument"], row["side"]) for row in found["positions"]} == {
        (row["account"], row["instrument"], row["side"]) for row in expected["positions"]
    }


@SETS
def test_the_numbers_are_the_reference_s(name: str) -> None:
    with_value = failed = 0
    for seed in range(200, 230):
        document = random_document(random.Random(seed), failures=seed % 4 == 3)
        for found, expected in zip(reported(document, name)["portfolios"], evaluate(document, REFERENCE[name]).values(), strict=True):
            # the sums of large amounts that cancel are compared on the scale of what was summed
            scale = max(1.0, expected["maintenance_margin"] or 0.0, 1e-2 * (expected["gross_notional"] or 0.0))
            assert (found["id"], found["status"]) == (expected["id"], expected["status"])
            assert {row["reason"] for row in found["failures"]} == {row["reason"] for row in expected["failures"]}
            for key in ("maintenance_margin", "initial_margin", "liquidity", "buffer", "gross_notional", "net_notional"):
                near(found[key], expected[key], scale)
            failed += found["status"] == "failed"
            if found["status"] == "failed":
                assert found["margin_ratio"] is None
                assert found["level"] is None
                continue
            with_value += 1
            for key in ("equity", "excess", "available", "borrow"):
                near(found[key], expected[key], max(scale, 1e6))
            for key in ("margin_ratio", "initial_ratio"):
                near(found[key], expected[key], expected["maintenance_margin"] / max(1e3, abs(expected["equity"])) + 1e-3)
            assert found["level"] == expected["level"]
            for table in ("loss", "families"):
                for key, value in expected[table].items():
                    near(found[table][key], value, scale)
            assert [unit["coin"] for unit in sorted(found["units"], key=lambda unit: str(unit["coin"]))] == [
                unit["coin"] for unit in expected["units"]
            ]
            for unit in found["units"]:
                compare_units(unit, next(one for one in expected["units"] if one["coin"] == unit["coin"]), scale)
    assert with_value > 40
    assert failed > 5


@SETS
def test_standalone_and_leave_one_out_are_the_reference_s(name: str) -> None:
    compared = 0
    for seed in range(240, 246):
        document = random_document(random.Random(seed))
        (found, *_) = reported(document, name)["portfolios"]
        alone, without = (measure(document, REFERENCE[name], "desk") for measure in (standalone, leave_one_out))
        scale = max(1.0, found["maintenance_margin"])
        rows = [row for unit in found["units"] for row in unit["positions"] if row["account"] is not None]
        assert len(rows) == len(alone)
        for row in rows:
            key = (row["account"], row["instrument"], row["side"])
            near(row["standalone"], alone[key], scale)
            near(row["leave_one_out"], without[key], scale)
            compared += 1
        near(found["hedge_benefit"], math.fsum(value or 0.0 for value in alone.values()) - found["maintenance_margin"], scale)
    assert compared > 30


def test_distances_are_the_reference_s() -> None:
    document = saved_book.with_equity(45_000.0)
    found = only(document)["distance"]
    bound = 0
    for coin in ("all", "BTC", "ETH"):
        for target in ("0.85", "1.0"):
            down, up = distance(document, UTA, "desk", coin, float(target), down_steps=60, up_steps=100)
            for one, other in ((found[coin][target]["down"], down), (found[coin][target]["up"], up)):
                assert one == (None if other is None else pytest.approx(other, abs=1e-8))
                bound += other is not None
    assert bound > 3


def test_a_curve_is_the_reference_s_and_holds_the_figures_of_now() -> None:
    document = saved_book.with_equity(25_000.0)
    found, reference = only(document), result_of(document, UTA, "desk")
    assert list(found["curve"]) == list(found["distance"]) == ["all", "BTC", "ETH"]
    for coin, curve in found["curve"].items():
        moves = curve["moves"]
        assert (len(moves), moves[0], moves[16], moves[-1]) == (33, -0.5, 0.0, 0.5)
        for key in ("equity", "maintenance_margin", "margin_ratio"):
            assert curve[key][16] == pytest.approx(found[key], rel=1e-12)
            for place in (0, 11, 15, 20, 32):
                wanted = plain(getattr(moved(reference, coin, moves[place]), key))
                assert curve[key][place] == (wanted if isinstance(wanted, str) else pytest.approx(wanted, rel=1e-9)), (coin, key, place)
    assert found["curve"]["all"]["margin_ratio"][0] == "Infinity"


@pytest.mark.parametrize("target", ["0.85", "1.0"])
def test_a_distance_lies_where_the_curve_crosses_its_level(target: str) -> None:
    found, crossed = only(saved_book.with_equity(45_000.0)), 0
    for coin, curve in found["curve"].items():
        above = [float(ratio) >= float(target) for ratio in curve["margin_ratio"]]
        for side, step in (("down", -1), ("up", 1)):
            far = next((at for at in range(16 + step, 16 + 17 * step, step) if above[at] is not above[16]), None)
            if far is not None:
                crossed += 1
                near, move, beyond = (
                    step * value for value in (curve["moves"][far - step], found["distance"][coin][target][side], curve["moves"][far])
                )
                assert near <= move <= beyond
    assert crossed >= 2


def test_a_coin_held_only_as_collateral_has_a_distance() -> None:
    document = saved_book.with_equity(30_000.0)
    document["index"]["SOL"] = 150.0
    document["accounts"][1]["balances"] = [{"asset": "SOL", "total": 100.0, "collateral_ratio": 0.9}]
    found = only(document)
    assert [unit["coin"] for unit in found["units"]] == ["BTC", "ETH"]
    # 27,311.81 = 30,000 + 13,500 x
    need = (found["maintenance_margin"] - 30_000.0) / (0.9 * 15_000.0)
    assert found["distance"]["SOL"]["1.0"] == {"down": pytest.approx(need, abs=1e-6), "up": None}
    curve = found["curve"]["SOL"]
    assert curve["equity"][0] == pytest.approx(found["equity"] - 0.5 * 0.9 * 15_000.0)


def test_opposite_perpetuals_pay_the_charge_on_their_gross_quantity() -> None:
    found = only(saved_book.two_hedged_perpetuals())
    (unit,) = found["units"]
    assert unit["max_loss"] == 0.0
    assert found["id"] == "portfolio"
    assert found["maintenance_margin"] == unit["contingency"]["perpetual_future"] == pytest.approx(600.0, rel=1e-12)
    assert found["cross"]["maintenance_margin"] == pytest.approx(20_000.0, rel=1e-12)
    assert found["cross"]["saving"] == pytest.approx(0.97, rel=1e-12)
    assert (found["gross_notional"], found["net_notional"]) == (2e6, 0.0)


def test_parameter_sets_give_their_own_numbers_and_overrides_apply_to_each() -> None:
    wider = saved_book.book(overrides={"ETH": {"price_range": 0.3}})
    assert reported(saved_book.book(), "house")["parameters"]["name"] == "house"
    for name in ("uta", "house"):
        eth = only(wider, name)["units"][1]
        assert eth["coin"] == "ETH"
        assert eth["price_nodes"][0] == -0.3
    assert only(saved_book.book(), "uta")["units"][1]["price_nodes"][0] == -0.1


# -- levels, remedies -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "level"),
    [
        (0.0, "ok"),
        (0.8499, "ok"),
        (0.85, "warning"),
        (0.9, "critical"),
        (0.9999, "critical"),
        (1.0, "liquidation"),
        (math.inf, "liquidation"),
    ],
)
def test_levels(ratio: float, level: str) -> None:
    assert level_of(ratio) == level
    assert level_of(None) is None


def test_ratios_of_nothing() -> None:
    assert margin_ratio(0.0, -5.0) == 0.0
    assert margin_ratio(1.0, 0.0) == math.inf
    assert margin_ratio(1.0, 4.0) == 0.25
    assert margin_ratio(None, 1.0) is None
    assert margin_ratio(1.0, None) is None


@pytest.mark.parametrize("equity", [0.0, -1_000.0])
def test_no_equity_is_an_infinite_ratio(equity: float) -> None:
    found = only(saved_book.with_equity(equity))
    assert (found["margin_ratio"], found["initial_ratio"]) == ("Infinity", "Infinity")
    assert (found["level"], found["status"]) == ("liquidation", "ok")
    assert found["cash_to_safety"] == pytest.approx(found["maintenance_margin"] / 0.85 - equity)
    assert found["reduction"] is None


def test_an_empty_portfolio_has_ratio_0() -> None:
    document = saved_book.book(portfolios=[{"id": "empty", "accounts": ["aster-1"]}])
    document["accounts"][1]["positions"] = []
    found = only(document)
    assert (found["margin_ratio"], found["maintenance_margin"], found["level"], found["units"]) == (0.0, 0.0, "ok", [])
    assert found["hedge_benefit"] == 0.0
    assert found["cash_to_safety"] == 0.0


@SETS
def test_the_reduction_alone_returns_the_ratio_to_85_per_cent(name: str) -> None:
    found = only(saved_book.with_equity(30_000.0), name)
    assert found["margin_ratio"] > 0.85
    cut = found["reduction"]
    assert (cut["account"], cut["instrument"], cut["side"]) == ("hl-main", "hyperliquid:ETH", None)
    document = saved_book.with_equity(30_000.0)
    position = document["accounts"][0]["positions"][1]
    position["quantity"] += cut["quantity"]
    assert 0.0 < position["quantity"] < 40.0
    assert only(document, name)["margin_ratio"] == pytest.approx(0.85, rel=1e-9)
    document["accounts"][0]["positions"][1]["quantity"] += 0.1
    assert only(document, name)["margin_ratio"] > 0.85


def test_the_reduction_names_the_side_in_hedge_mode() -> None:
    document = saved_book.with_equity(25_000.0)
    account = document["accounts"][0]
    account["positions"] = [
        {"instrument": "hyperliquid:ETH", "quantity": 60.0, "side": "long"},
        {"instrument": "hyperliquid:ETH", "quantity": -10.0, "side": "short"},
    ]
    account["orders"] = []
    found = only(document)
    cut = found["reduction"]
    assert (cut["instrument"], cut["side"]) == ("hyperliquid:ETH", "long")
    account["positions"][0]["quantity"] += cut["quantity"]
    assert only(document)["margin_ratio"] == pytest.approx(0.85, rel=1e-9)


def test_no_reduction_where_one_position_is_not_enough_or_none_is_needed() -> None:
    assert only(saved_book.with_equity(5_000.0))["reduction"] is None
    assert only(saved_book.with_equity(90_000.0))["reduction"] is None


def test_cash_to_safety_is_what_is_missing() -> None:
    found = only(saved_book.with_equity(28_000.0))
    again = only(saved_book.with_equity(28_000.0 + found["cash_to_safety"]))
    assert again["margin_ratio"] == pytest.approx(0.85, rel=1e-12)


# -- failures -------------------------------------------------------------------------------------------------------------------------


def test_an_option_without_a_price_fails_its_unit_and_its_portfolio() -> None:
    found = only(saved_book.without_price_of_the_call())
    assert (found["status"], found["level"]) == ("failed", None)
    assert found["failures"] == [
        {"reason": "MISSING_IV", "detail": f"no implied volatility of {saved_book.CALL}, and no mark that implies one"}
    ]
    for key in ("equity", "maintenance_margin", "initial_margin", "margin_ratio", "loss", "families", "hedge_benefit", "cash_to_safety"):
        assert found[key] is None, key
    btc, eth = found["units"]
    assert (btc["status"], eth["status"]) == ("failed", "ok")
    assert btc["failures"] == found["failures"]
    assert {btc[key] for key in UNIT_KEYS - {"coin", "status"}} == {None}
    assert eth["maintenance_margin"] == pytest.approx(14_002.0 + 42.0)
    assert {row["standalone"] for row in eth["positions"]} == {None}
    assert found["distance"] is None
    assert found["curve"] is None


def test_a_missing_entry_keeps_the_margins_and_no_ratio() -> None:
    document = saved_book.book()
    del document["accounts"][1]["equity"], document["accounts"][1]["positions"][0]["entry"]
    found = only(document)
    assert found["maintenance_margin"] == only(saved_book.book())["maintenance_margin"]
    assert [row["reason"] for row in found["failures"]] == ["MISSING_ENTRY"]
    assert (found["equity"], found["margin_ratio"], found["excess"], found["level"]) == (None, None, None, None)
    assert found["hedge_benefit"] is not None


# -- eligibility ----------------------------------------------------------------------------------------------------------------------


def rule(**terms: Any) -> Any:
    return lambda portfolio: Eligibility(**({"acknowledged": True} | terms))


def tiered() -> Document:
    """A book whose legs all have a rule of their own."""
    return saved_book.book()


def test_without_a_rule_every_portfolio_is_eligible() -> None:
    found = only(tiered())
    assert (found["method"], found["eligibility"]) == ("portfolio", {"eligible": True, "reasons": []})
    assert "portfolio" not in found


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"acknowledged": False}, "acknowledged"),
        ({"enabled": False}, "switched off"),
        ({"minimum_equity": 1e6}, "at least 1,000,000.00 USD"),
        ({"coins": ["BTC"]}, "ETH"),
    ],
)
def test_an_ineligible_portfolio_is_margined_by_cross(terms: dict[str, Any], reason: str) -> None:
    plain_one, found = only(tiered()), only(tiered(), rules=rule(**terms))
    assert found["method"] == "cross"
    assert found["eligibility"]["eligible"] is False
    assert reason in " ".join(found["eligibility"]["reasons"])
    cross = found["cross"]
    # 200,021 * 1.25 % + 140,020 * 2 % + 100,009.99 * 1 %; the long option is paid for
    assert cross["maintenance_margin"] == pytest.approx(2_500.2625 + 2_800.4 + 1_000.09988, rel=1e-9)
    assert found["maintenance_margin"] == cross["maintenance_margin"]
    assert found["initial_margin"] == cross["initial_margin"]
    assert found["margin_ratio"] == pytest.approx(cross["maintenance_margin"] / 90_000.0)
    assert found["initial_ratio"] == pytest.approx(cross["initial_margin"] / 90_000.0)
    assert found["excess"] == pytest.approx(90_000.0 - cross["maintenance_margin"])
    assert found["available"] == pytest.approx(90_000.0 - cross["initial_margin"])
    assert (found["level"], found["status"]) == ("ok", "ok")
    for key in ("maintenance_margin", "initial_margin", "margin_ratio", "initial_ratio", "excess", "level", "status"):
        assert found["portfolio"][key] == plain_one[key], key
    assert cross["saving"] == pytest.approx(1.0 - plain_one["maintenance_margin"] / cross["maintenance_margin"])
    assert found["units"] == plain_one["units"]


def test_an_ineligible_portfolio_that_cross_cannot_margin_has_no_value() -> None:
    document = tiered()
    del document["instruments"][0]["tiers"]
    found = only(document, rules=rule(enabled=False))
    assert (found["method"], found["status"], found["level"]) == ("cross", "failed", None)
    assert [row["reason"] for row in found["failures"]] == ["UNKNOWN_TIER"]
    assert (found["maintenance_margin"], found["margin_ratio"], found["cross"]["saving"]) == (None, None, None)
    assert found["portfolio"]["status"] == "ok"
    assert found["portfolio"]["margin_ratio"] > 0.0


def test_the_rule_is_asked_by_portfolio() -> None:
    portfolios = [{"id": "desk", "accounts": ["hl-main"]}, {"id": "other", "accounts": ["aster-1"]}]
    document = saved_book.book(portfolios=portfolios)
    found = reported(document, rules=lambda portfolio: Eligibility(acknowledged=True, enabled=portfolio == "desk"))["portfolios"]
    assert [row["method"] for row in found] == ["portfolio", "cross"]


# -- what is assumed ------------------------------------------------------------------------------------------------------------------


def test_gaps_of_the_snapshot_are_named() -> None:
    document = saved_book.book(beta={}, volume_24h_usd={}, overrides={"BTC": {"option_base": "mark"}})
    document["accounts"][2] |= {"balances": [{"asset": "BTC", "total": 0.1}, {"asset": "USDC", "total": 9_000.0}]}
    del document["accounts"][2]["equity"]
    text = "\n".join(only(document, "house")["assumptions"])
    for sentence in (
        "beta 1, none was told: BTC, ETH",
        "the liquidity cap, no 24 h volume or daily volatility was told: hyperliquid:BTC",
        "factors of a calm market, no daily volatility was told: ETH",
        'the model\'s price as base although option_base is "mark", no mark was told: ' + saved_book.CALL,
        "counts nothing in equity, no collateral ratio was told: BTC of options",
        "the set's rates on debts (0.02, initial 0.1): USDC of options",
        "equity computed from balances, entries and marks, none was told: options",
        "resting orders count as filled",
        "no venue acts on this number",
    ):
        assert sentence in text


def test_an_implied_volatility_is_named() -> None:
    document = saved_book.book()
    document["instruments"][3] |= {"iv": None, "mark": 0.02}
    assert f"volatility implied from the mark, none was told: {saved_book.CALL}" in only(document)["assumptions"]


def test_a_complete_snapshot_assumes_little() -> None:
    document = saved_book.two_hedged_perpetuals() | {"beta": {"BTC": 1.0}}
    assert len(only(document)["assumptions"]) == 2


def test_instruments_at_the_cap_are_counted() -> None:
    assert only(saved_book.book(), "house")["at_liquidity_cap"] == 2
    assert only(saved_book.book(), "uta")["at_liquidity_cap"] == 0


def test_what_a_balance_without_a_ratio_does_depends_on_where_equity_comes_from() -> None:
    document = saved_book.book()
    document["accounts"][1]["balances"] = [{"asset": "BTC", "total": 0.1}]
    sentences = only(document)["assumptions"]
    assert "does not move equity, no collateral ratio was told: BTC of aster-1" in sentences
    assert not [sentence for sentence in sentences if sentence.startswith("counts nothing")]


def test_an_account_without_equity_and_balances_has_no_cash() -> None:
    document = saved_book.book()
    del document["accounts"][1]["equity"]
    assert (
        "cash 0 in an equity computed from entries and marks, neither equity nor balances were told: aster-1"
        in only(document)["assumptions"]
    )


def test_an_expired_option_counts_its_intrinsic_value() -> None:
    document = saved_book.book(as_of="2026-12-25T08:00:00Z")
    sentence = f"intrinsic value, the option has expired: {saved_book.CALL}"
    assert sentence in only(document)["assumptions"]
    assert sentence not in only(saved_book.book(as_of="2026-12-25T07:59:59Z"))["assumptions"]


# -- remedies under cross, several gaps at once ---------------------------------------------------------------------------------------


def test_under_cross_the_remedies_are_those_of_cross() -> None:
    # 10,000 USD of equity against 20,000 leg by leg, and 600 by the portfolio method
    document = saved_book.two_hedged_perpetuals()
    for account in document["accounts"]:
        account["equity"] = 5_000.0
    own, found = only(document), only(document, rules=rule(enabled=False))
    assert (found["margin_ratio"], found["level"]) == (2.0, "liquidation")
    assert found["cash_to_safety"] == pytest.approx(20_000.0 / 0.85 - 10_000.0)
    assert {found[key] for key in ("reduction", "stage", "distance", "curve")} == {None}
    for key in ("cash_to_safety", "reduction", "stage", "distance", "curve"):
        assert found["portfolio"][key] == own[key], key
    assert own["cash_to_safety"] == 0.0
    safe = only(saved_book.two_hedged_perpetuals(), rules=rule(enabled=False))
    assert (safe["level"], safe["cash_to_safety"]) == ("ok", 0.0)
    del document["instruments"][0]["tiers"]
    assert only(document, rules=rule(enabled=False))["cash_to_safety"] is None


def test_part_of_a_position_may_be_enough_where_all_of_it_is_too_much() -> None:
    document = saved_book.two_hedged_perpetuals()
    document["accounts"][1]["positions"][0]["quantity"] = -11.0
    for account, equity in zip(document["accounts"], (9_000.0, 1_000.0), strict=True):
        account["equity"] = equity
    found = only(document)
    assert found["margin_ratio"] > 1.0
    cut = found["reduction"]
    assert (cut["account"], cut["instrument"]) == ("aster", "aster:BTC")
    assert 0.0 < cut["quantity"] < 1.0
    document["accounts"][1]["positions"][0]["quantity"] += cut["quantity"]
    assert only(document)["margin_ratio"] == pytest.approx(0.85, rel=1e-9)
    document["accounts"][1]["positions"][0]["quantity"] = 0.0
    assert only(document)["margin_ratio"] > 1.0, "closing the whole of it is worse"


@pytest.mark.parametrize(("venue", "stage"), [("bybit", "normal"), ("hyperliquid", None), ("aster", None)])
def test_the_stages_are_those_of_a_venue_without_a_rule_of_its_own(venue: str, stage: str | None) -> None:
    document = saved_book.book(portfolios=[{"id": "one", "accounts": ["aster-1"]}])
    document["accounts"][1]["venue"] = venue
    assert only(document)["stage"] == stage


def test_every_gap_of_an_account_is_told_at_once() -> None:
    document = saved_book.book()
    account = document["accounts"][0]
    del account["equity"], account["positions"][0]["entry"], account["positions"][1]["entry"]
    account["balances"] = [{"asset": name, "total": 1.0} for name in ("DAI", "SOL")]
    found = only(document)
    assert sorted((row["reason"], row["detail"].partition(":")[0]) for row in found["failures"]) == [
        ("MISSING_ENTRY", "position of hl-main in hyperliquid"),
        ("MISSING_ENTRY", "position of hl-main in hyperliquid"),
        ("MISSING_INDEX", "no USD index of DAI"),
        ("MISSING_INDEX", "no USD index of SOL"),
    ]
    told = [row["detail"] for row in found["failures"]]
    assert "position of hl-main in hyperliquid:ETH: no entry price, needed to compute an equity not given" in told
    assert found["distance"] is None
    assert found["curve"] is None


def test_under_a_given_equity_only_debts_need_a_price() -> None:
    document = saved_book.book()
    document["accounts"][0] |= {"balances": [{"asset": "DUST", "total": 1.0}], "debts": [{"asset": "SOL", "amount": 2.0}]}
    assert [row["detail"] for row in only(document)["failures"]] == ["no USD index of SOL"]


def test_the_view_says_whether_every_pool_has_a_value() -> None:
    assert only(saved_book.book())["venues"]["complete"] is False
    assert only(saved_book.two_hedged_perpetuals())["venues"]["complete"] is True


# -- next funding ---------------------------------------------------------------------------------------------------------------------


def test_next_funding_of_a_pool_is_in_its_token_and_that_of_a_portfolio_in_usd() -> None:
    """By hand: -2 BTC at 100,000 and 0.00125 % receive 2.5, 40 ETH at 3,500 and -0.002 % receive 2.8, at 13:00."""
    found = reported(saved_book.with_funding(saved_book.with_pools() | {"fx": {"USDT": 0.9997, "USDC": 0.99}}))
    (account,), (portfolio,) = found["accounts"], found["portfolios"]
    due = account["next_funding"]
    assert due.keys() == {"time", "amount", "ratio_after", "failures", "positions"}
    assert (due["time"], due["failures"]) == ("2026-11-21T13:00:00Z", [])
    assert due["amount"] == pytest.approx(5.3)
    assert due["ratio_after"] == pytest.approx(account["maintenance_margin"] / (account["equity"] + 5.3))
    btc, eth = due["positions"]
    assert btc == {
        "account": "hl-main", "pool": "USDC", "instrument": "hyperliquid:BTC", "side": None, "quantity": -2.0, "rate": 0.0000125,
        "time": "2026-11-21T13:00:00Z", "amount": pytest.approx(2.5), "as_last_told": False, "failure": None,
    }  # fmt: skip
    assert eth["amount"] == pytest.approx(2.8)
    due = portfolio["next_funding"]
    assert due["amount"] == pytest.approx(5.3 * 0.99)
    assert due["ratio_after"] == pytest.approx(portfolio["maintenance_margin"] / (portfolio["equity"] + 5.3 * 0.99))
    assert [(row["account"], row["pool"], row["time"]) for row in due["positions"]] == [
        ("hl-main", None, "2026-11-21T13:00:00Z"),
        ("hl-main", None, "2026-11-21T13:00:00Z"),
        ("aster-1", None, "2026-11-21T16:00:00Z"),
    ]
    assert due["positions"][2]["amount"] == pytest.approx(-100_040.0 * 0.0001 * 0.9997)


def test_a_portfolio_adds_up_all_venues_that_pay_at_the_same_time() -> None:
    due = only(saved_book.with_funding() | {"as_of": "2026-11-21T15:30:00Z"})["next_funding"]
    assert due["time"] == "2026-11-21T16:00:00Z"
    assert due["amount"] == pytest.approx(2.5 + 2.8 - 10.004 * 0.9997)
    assert [row["as_last_told"] for row in due["positions"]] == [False, True, False]


def test_funding_that_no_position_tells_is_no_figure() -> None:
    found = reported(saved_book.with_pools())
    assert (found["portfolios"][0]["next_funding"], found["accounts"][0]["next_funding"]) == (None, None)


def funding_without(change: Document, *, place: int = 0) -> tuple[Document, Document]:
    """(of the portfolio, of the pool) with one instrument's funding changed; a value of None takes the key away."""
    document = saved_book.with_funding()
    told = document["instruments"][place]["funding"] | change
    document["instruments"][place]["funding"] = {key: value for key, value in told.items() if value is not None}
    found = reported(document)
    return found["portfolios"][0]["next_funding"], found["accounts"][0]["next_funding"]


@pytest.mark.parametrize(
    ("change", "reason", "word"),
    [({"rate": None}, "MISSING_FUNDING", "no funding rate of hyperliquid:BTC"), ({"price": None}, "MISSING_INDEX", "no oracle price"),
     ({"interval_h": None}, "MISSING_FUNDING", "interval")],
)  # fmt: skip
def test_an_unknown_payment_leaves_no_amount(change: Document, reason: str, word: str) -> None:
    for due in funding_without(change):
        assert (due["amount"], due["ratio_after"]) == (None, None)
        (failure,) = due["failures"]
        assert failure["reason"] == reason
        assert word in failure["detail"]
        assert due["positions"][0]["failure"] == failure


def test_untold_funding_beside_told_is_unknown() -> None:
    document = saved_book.with_funding()
    del document["instruments"][1]["funding"]
    found = reported(document)
    assert found["accounts"][0]["next_funding"]["amount"] == pytest.approx(5.3)
    due = found["portfolios"][0]["next_funding"]
    assert (due["amount"], due["failures"][0]["reason"]) == (None, "MISSING_FUNDING")
    assert due["failures"][0]["detail"] == 'no funding of aster:BTCUSDT was told: add "funding"'


def test_a_payment_without_a_rate_to_usd_leaves_no_amount() -> None:
    document = saved_book.with_funding() | {"fx": {"USDT": 0.9997}, "as_of": "2026-11-21T15:30:00Z"}
    due = only(document)["next_funding"]
    assert (due["amount"], due["failures"][0]["reason"]) == (None, "MISSING_FX")
    assert due["ratio_after"] is None


def test_both_sides_of_a_hedge_are_named() -> None:
    document = saved_book.with_funding() | {"as_of": "2026-11-21T15:30:00Z"}
    sides = [{"instrument": "aster:BTCUSDT", "quantity": quantity, "side": side} for quantity, side in ((3.0, "long"), (-1.0, "short"))]
    document["accounts"][1]["positions"] = sides
    rows = only(document)["next_funding"]["positions"][2:]
    assert [(row["side"], row["amount"]) for row in rows] == [
        ("long", pytest.approx(-30.012 * 0.9997)),
        ("short", pytest.approx(10.004 * 0.9997)),
    ]


def test_an_inverse_contract_has_no_rule_of_funding() -> None:
    document = saved_book.with_funding()
    document["instruments"][1] |= {"inverse": True, "settle": "BTC", "funding": {"rate": 0.0001, "interval_h": 1}}
    due = only(document)["next_funding"]
    assert (due["amount"], due["failures"][0]["reason"]) == (None, "UNSUPPORTED_MODE")
