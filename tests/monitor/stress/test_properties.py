"""What must hold for any book, on random documents through the stress engine."""

from __future__ import annotations

import random
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.margin.portfolio import PortfolioResult, portfolio_result
from tests.kernels.stress_books import REFERENCE, SETS, held, number, result, stress_book
from tests.reference.books import Document, random_document, scaled, without_orders

BOOKS = st.builds(
    lambda seed, hedged: random_document(random.Random(seed), exact_hedges=hedged, text=False), st.integers(0, 10**9), st.booleans()
)
NAMES = st.sampled_from(SETS)


def every(source: Document, name: str) -> dict[str, PortfolioResult]:
    book = stress_book(source, name)
    return {portfolio: portfolio_result(book, portfolio) for portfolio in book.accounts.portfolios}


@settings(max_examples=60)
@given(BOOKS, NAMES)
def test_losses_are_ordered(source: Document, name: str) -> None:
    for found in every(source, name).values():
        assert number(found.loss_joint) <= number(found.loss_shift) * (1 + 1e-12)
        assert number(found.loss_shift) <= number(found.loss_sum) * (1 + 1e-12)
        families = found.families or {}
        assert families["directional"] + families["volatility"] == pytest.approx(number(found.loss_shift), rel=1e-9, abs=1e-6)
        assert min(families.values()) >= -1e-9 * (1.0 + number(found.loss_shift))


@settings(max_examples=60)
@given(BOOKS, NAMES)
def test_orders_never_lower_a_margin(source: Document, name: str) -> None:
    bare = every(without_orders(source), name)
    for portfolio, found in every(source, name).items():
        for figure in ("maintenance_margin", "initial_margin"):
            assert number(getattr(found, figure)) >= number(getattr(bare[portfolio], figure)) * (1 - 1e-12)


@settings(max_examples=60)
@given(BOOKS, NAMES, st.sampled_from([0.125, 2.0, 3.7]))
def test_margin_grows_with_the_book(source: Document, name: str, factor: float) -> None:
    larger = every(scaled(source, factor), name)
    for portfolio, found in every(source, name).items():
        other = larger[portfolio]
        for figure in ("maintenance_margin", "initial_margin"):
            wanted = factor * (number(getattr(found, figure)) - number(found.liquidity))
            ours = number(getattr(other, figure)) - number(other.liquidity)
            assert ours == pytest.approx(wanted, rel=1e-9, abs=1e-9 * number(getattr(other, figure)))


@settings(max_examples=60)
@given(BOOKS, NAMES)
def test_initial_margin_is_at_least_maintenance_besides_debts(source: Document, name: str) -> None:
    terms = REFERENCE[name].with_overrides(source.get("overrides", {})).portfolio
    prices = {"USD": 1.0} | source["fx"] | source["index"]
    accounts = {row["id"]: row for row in source["accounts"]}
    members = {row["id"]: row["accounts"] for row in source["portfolios"]}
    for portfolio, found in every(source, name).items():
        debts = [debt for one in members[portfolio] for debt in accounts[one].get("debts", [])]
        borrow = sum(abs(row["amount"]) * prices[row["asset"]] * row.get("im_rate", terms["borrow_im_rate"]) for row in debts)
        maintenance = number(found.maintenance_margin) - number(found.borrow)
        assert number(found.initial_margin) - borrow >= maintenance * (1 - 1e-12) - 1e-6


@settings(max_examples=40)
@given(st.integers(0, 10**9), NAMES)
def test_a_leg_taken_away_costs_at_most_its_opposite(seed: int, name: str) -> None:
    source = random_document(random.Random(seed), orders=False, spot=False, text=False)
    row = random.Random(seed).choice([row for row in source["instruments"] if row["kind"] != "spot"])
    size = 1e5 / (1.0 if row.get("inverse") else source["index"][row["coin"]])

    def loss(quantity: float, *, alone: bool = False) -> float:
        extra = {"id": "extra", "venue": "v", "equity": 0.0, "positions": [held(row["id"], quantity)]}
        accounts = [extra] if alone else [*source["accounts"], extra]
        moved = source | {"accounts": accounts, "portfolios": [{"id": "p", "accounts": [one["id"] for one in accounts]}]}
        return next((one.max_loss for one in result(moved, name).units if one.coin == row["coin"]), 0.0)

    assert loss(0.0) <= (loss(size) + loss(-size, alone=True)) * (1 + 1e-9) + 1e-6


@settings(max_examples=40)
@given(BOOKS, NAMES, st.randoms(use_true_random=False))
def test_the_order_of_a_document_does_not_matter(source: Document, name: str, shuffler: random.Random) -> None:
    shuffled = deepcopy(source)
    for section in ("instruments", "accounts"):
        shuffler.shuffle(shuffled[section])
    for row in shuffled["accounts"]:
        shuffler.shuffle(row["positions"])
    others = every(shuffled, name)
    for portfolio, found in every(source, name).items():
        for figure in ("maintenance_margin", "initial_margin", "equity"):
            ours, theirs = number(getattr(others[portfolio], figure)), number(getattr(found, figure))
            assert ours == pytest.approx(theirs, rel=1e-11, abs=1e-9 * number(found.maintenance_margin) + 1e-6)
