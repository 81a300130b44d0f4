"""What must hold for any book (section 11), on random documents."""

from __future__ import annotations

import json
import math
import random
from copy import deepcopy
from typing import Any

import pytest

from tests.reference.books import Document, has_strike, random_document, scaled, without_orders
from tests.reference.equity import borrow, equity, im_rate
from tests.reference.margin_model import HOUSE, UTA, ParameterSet, cash_to_safety, distance, evaluate, moved, result_of, venue_out
from tests.reference.portfolio import Result

BOOKS = range(30)
SETS = pytest.mark.parametrize("parameters", [UTA, HOUSE], ids=lambda parameters: parameters.name)


def books(**options: Any) -> list[Document]:
    return [random_document(random.Random(seed), **options) for seed in BOOKS]


def test_opposite_perpetuals_pay_the_contingency_alone() -> None:
    accounts = [
        {"id": name, "venue": name, "equity": 1e5, "positions": [{"instrument": name, "quantity": quantity}]}
        for name, quantity in (("a", 10), ("b", -10))
    ]
    listed = [{"id": name, "kind": "perpetual", "coin": "BTC", "settle": "USDC", "mark": 1e5} for name in ("a", "b")]
    document: Document = {"as_of": 0, "fx": {"USDC": 1.0, "USDT": 1.0}, "index": {"BTC": 1e5}, "instruments": listed, "accounts": accounts}
    document["portfolios"] = [{"id": "p", "accounts": ["a", "b"]}]
    found = evaluate(document, UTA)["p"]
    assert found["units"][0]["max_loss"] == 0.0
    assert found["maintenance_margin"] == found["units"][0]["contingency"]["perpetual_future"] == pytest.approx(600.0, rel=1e-12)
    listed[1]["settle"] = "USDT"
    found = evaluate(document, UTA)["p"]
    assert found["units"][0]["contingency"]["stablecoin_spread"] == pytest.approx(7500.0, rel=1e-12)
    assert found["maintenance_margin"] == pytest.approx(8100.0, rel=1e-12)
    rest = evaluate(venue_out(document, "b"), UTA)["p"]
    assert rest["maintenance_margin"] == pytest.approx(100_300.0, rel=1e-12)
    assert cash_to_safety(venue_out(document, "b"), UTA, "p") == pytest.approx(100_300.0 / 0.85 - 1e5, rel=1e-12)


@SETS
def test_losses_are_ordered(parameters: ParameterSet) -> None:
    offsets = 0
    for document in books():
        for found in evaluate(document, parameters).values():
            loss = found["loss"]
            assert loss["joint"] <= loss["shift"] * (1.0 + 1e-12)
            assert loss["shift"] <= loss["sum"] * (1.0 + 1e-12)
            offsets += loss["joint"] < 0.9 * loss["sum"]
    assert offsets > 10


@SETS
def test_orders_never_lower_margin(parameters: ParameterSet) -> None:
    raised = 0
    for document in books():
        bare = evaluate(without_orders(document), parameters)
        for name, found in evaluate(document, parameters).items():
            for figure in ("maintenance_margin", "initial_margin"):
                assert found[figure] >= bare[name][figure] * (1.0 - 1e-12)
            raised += found["maintenance_margin"] > bare[name]["maintenance_margin"]
    assert raised > 10


def _borrow_im(result: Result) -> float:
    debts = [debt for account in result.accounts for debt in account.debts]
    return borrow(debts, result.market, lambda debt: im_rate(debt, result.parameters.portfolio))


@SETS
def test_initial_margin_is_at_least_maintenance_besides_borrow(parameters: ParameterSet) -> None:
    for document in books():
        for name, found in evaluate(document, parameters).items():
            result = result_of(document, parameters, name)
            borrow_im = _borrow_im(result)
            assert found["initial_margin"] - borrow_im >= (found["maintenance_margin"] - found["borrow"]) * (1.0 - 1e-12)


@SETS
def test_margin_scales_with_the_book(parameters: ParameterSet) -> None:
    for document in [*books(), *books(outcomes=True)]:
        twice = evaluate(scaled(document, 2.0), parameters)
        for name, found in evaluate(document, parameters).items():
            for figure in ("maintenance_margin", "initial_margin"):
                wanted = 2.0 * (found[figure] - found["liquidity"])
                assert twice[name][figure] - twice[name]["liquidity"] == pytest.approx(wanted, rel=1e-9)
            assert twice[name]["liquidity"] >= 2.0 * found["liquidity"] * (1.0 - 1e-12)


def _with_position(document: Document, instrument: str, quantity: float, *, alone: bool = False) -> Document:
    found = deepcopy(document)
    extra = {"id": "extra", "venue": "v", "equity": 0.0, "positions": [{"instrument": instrument, "quantity": quantity}]}
    found["accounts"] = [extra] if alone else [*found["accounts"], extra]
    found["portfolios"] = [{"id": "p", "accounts": [account["id"] for account in found["accounts"]]}]
    return found


@SETS
def test_removing_a_position_costs_at_most_its_opposite(parameters: ParameterSet) -> None:
    def loss(document: Document, coin: str) -> float:
        units = evaluate(document, parameters)["p"]["units"]
        return float(next((unit["max_loss"] for unit in units if unit["coin"] == coin), 0.0))

    for seed, document in enumerate([*books(orders=False, spot=False), *books(orders=False, spot=False, outcomes=True)]):
        row = random.Random(seed).choice([row for row in document["instruments"] if row["kind"] != "spot"])
        size = 1e5 if row.get("inverse") else 1e5 / float(document["index"][row["coin"]])
        with_it = loss(_with_position(document, row["id"], size), row["coin"])
        opposite = loss(_with_position(document, row["id"], -size, alone=True), row["coin"])
        before = loss(_with_position(document, row["id"], 0.0), row["coin"])
        assert before <= (with_it + opposite) * (1.0 + 1e-9) + 1e-6


@SETS
def test_contributions_sum_to_the_margin_of_the_unit(parameters: ParameterSet) -> None:
    for document in [*books(exact_hedges=True), *books(outcomes=True)]:
        for found in evaluate(document, parameters).values():
            for unit in found["units"]:
                total = math.fsum(row["contribution"] for row in unit["positions"])
                assert total == pytest.approx(unit["maintenance_margin"], rel=1e-9, abs=1e-9)


@SETS
def test_contribution_is_the_slope_of_the_margin(parameters: ParameterSet) -> None:
    step, compared = 1e-6, 0
    for seed, document in enumerate(books(orders=False, spot=False, accounts=2, text=False)):
        accounts = [account for account in document["accounts"] if account["positions"]]
        if not accounts:
            continue
        position = random.Random(seed).choice(random.Random(seed).choice(accounts)["positions"])
        quantity, figures = position["quantity"], []
        coin = next(row["coin"] for row in document["instruments"] if row["id"] == position["instrument"])
        for factor in (1.0, 1.0 + step, 1.0 - step):
            position["quantity"] = quantity * factor
            figures.append(next((row for row in evaluate(document, parameters)["desk"]["units"] if row["coin"] == coin), None))
        unit, more, less = figures
        if unit is None or more is None or less is None:
            continue
        mine = [row for row in unit["positions"] if row["instrument"] == position["instrument"] and row["quantity"] == quantity]
        slope = (more["maintenance_margin"] - less["maintenance_margin"]) / (2.0 * step)
        if len(mine) == 1:
            compared += 1
            assert slope == pytest.approx(mine[0]["contribution"], rel=1e-4, abs=1e-4 * unit["maintenance_margin"] + 1e-3)
    assert compared > 20


def _moved_document(document: Document, coin: str, factor: float) -> Document:
    found = deepcopy(document)
    found["index"][coin] = float(found["index"][coin]) * factor
    for row in found["instruments"]:
        if row["coin"] == coin:
            keys = ("forward",) if has_strike(row) else ("mark",)
            row |= {key: float(row[key]) * factor for key in keys}
    return found


@SETS
def test_a_move_is_the_document_with_its_prices_moved(parameters: ParameterSet) -> None:
    for document in [*books(overrides=False), *books(overrides=False, outcomes=True)]:
        for row in document["instruments"]:
            if has_strike(row):
                row |= {"iv": row["iv"] or 0.5}
        for account in document["accounts"]:
            account.pop("equity", None)
            for row in account["positions"]:
                row["entry"] = row.get("entry") or document["index"].get("BTC", 1.0)
        coin = next(iter(document["index"]))
        for factor in (0.7, 1.3):
            found = moved(result_of(document, parameters, "desk"), coin, factor - 1.0)
            wanted = evaluate(_moved_document(document, coin, factor), parameters)["desk"]
            assert found.maintenance_margin == pytest.approx(wanted["maintenance_margin"], rel=1e-9)
            assert found.equity == pytest.approx(wanted["equity"], rel=1e-9, abs=1e-3)


@SETS
def test_given_equity_moves_as_computed_equity_does(parameters: ParameterSet) -> None:
    for document in books():
        for account in document["accounts"]:
            account.pop("equity", None)
            for row in account["positions"]:
                row["entry"] = row.get("entry") or 1.0
        computed = result_of(document, parameters, "desk")
        for account in computed.accounts:
            row = next(row for row in document["accounts"] if row["id"] == account.id)
            row["equity"] = equity(account, computed.market, computed.parameters)
        given = result_of(document, parameters, "desk")
        for move in (-0.4, 0.0, 0.8):
            wanted = moved(computed, "all", move).equity
            assert moved(given, "all", move).equity == pytest.approx(wanted, rel=1e-9, abs=1e-2)


@pytest.mark.slow
def test_ratio_is_the_target_at_the_distance() -> None:
    reached = 0
    for seed in range(12):
        document = random_document(random.Random(seed), accounts=2, positions=3)
        for coin in ("all", *document["index"]):
            result = result_of(document, UTA, "desk")
            for move in distance(document, UTA, "desk", coin, 0.9, down_steps=30, up_steps=30):
                if move is not None:
                    below, above = (moved(result, coin, move + nudge).margin_ratio for nudge in (-1e-8, 1e-8))
                    assert below is not None
                    assert above is not None
                    assert (below >= 0.9) != (above >= 0.9)
                    reached += 1
    assert reached > 5


def test_families_add_up() -> None:
    for document in books():
        for found in evaluate(document, HOUSE).values():
            families = found["families"]
            assert families["directional"] + families["volatility"] == pytest.approx(found["loss"]["shift"], rel=1e-12)
            assert min(families.values()) >= -1e-9 * max(1.0, found["loss"]["shift"])


def test_a_unit_that_fails_leaves_no_margin() -> None:
    reasons = set()
    for document in books(failures=True):
        for found in evaluate(document, HOUSE).values():
            failed = [unit for unit in found["units"] if unit["status"] == "failed"]
            assert (found["status"] == "failed") == bool(found["failures"])
            if failed:
                assert found["maintenance_margin"] is found["margin_ratio"] is found["level"] is None
                assert {row["reason"] for unit in failed for row in unit["failures"]} <= {row["reason"] for row in found["failures"]}
            reasons |= {row["reason"] for row in found["failures"]}
    assert reasons >= {"MISSING_INDEX", "MISSING_FX", "MISSING_MARK", "MISSING_FORWARD", "MISSING_IV"}


SECTIONS = {
    "instruments": "id kind coin settle mark inverse expiry option_type strike forward iv tiers max_leverage",
    "accounts": "id venue equity spot_hedging mode pools reported hedge_cap balances debts positions orders",
    "portfolios": "id accounts",
}
ROWS = {
    "balances": "asset total collateral_ratio eligible_hedge",
    "debts": "asset amount mm_rate im_rate",
    "positions": "instrument quantity entry side",
    "orders": "instrument quantity limit_price reduce_only",
}
TOP = "version as_of parameters overrides fx index beta volume_24h_usd daily_volatility instruments accounts portfolios"


def test_random_documents_have_known_keys_only() -> None:
    seen = set()
    for document in books(failures=True, exact_hedges=True):
        assert set(document) <= set(TOP.split())
        for section, known in SECTIONS.items():
            assert all(set(row) <= set(known.split()) for row in document[section])
        for section, known in ROWS.items():
            assert all(set(row) <= set(known.split()) for account in document["accounts"] for row in account.get(section, []))
            seen |= {section for account in document["accounts"] if account.get(section)}
        assert json.loads(json.dumps(document)) == document
    assert seen == set(ROWS)
