"""The trade that brings a portfolio back: the kernel's search against one that trades positions of a book one by one."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from monitor.report.remedies import reduction
from monitor.stress.book import StressBook
from tests.kernels.stress_books import SETS, account, document, held, perpetual, stress_book
from tests.monitor.slow_reduction import slow_reduction
from tests.reference.books import random_document

KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"exact_hedges": True},
    {"coins": ("BTC",), "positions": 6},
    {"outcomes": True},
    {"spot": False, "overrides": False},
)


def target_of(book: StressBook, rng: random.Random) -> float:
    """A ratio far or a little below the portfolio's; 0 where it has none."""
    record = book.tables.portfolios.table[book.accounts.portfolios["desk"]]
    equity, margin = float(record["equity"]), float(record["maintenance"])
    return margin / equity * rng.uniform(*rng.choice(((0.4, 0.95), (0.95, 0.9999)))) if equity > 0 and margin > 0 else 0.0


def checked(seed: int, counts: Counter[str]) -> None:
    rng = random.Random(seed)
    source = random_document(rng, **({"accounts": 3, "positions": 3} | KINDS[seed % len(KINDS)]))
    book = stress_book(source, SETS[seed % len(SETS)])
    target = target_of(book, rng)
    found, wanted = reduction(book, "desk", target), slow_reduction(book, "desk", target)
    if found is None or wanted is None:
        assert (found is None) == (wanted is None), (seed, target)
        counts["none"] += 1
        return
    assert (found["account"], found["instrument"], found["side"]) == wanted[:3], (seed, target)
    assert found["quantity"] == pytest.approx(wanted[3], rel=1e-9), (seed, target)
    orders = next(row for row in source["accounts"] if row["id"] == found["account"]).get("orders", [])
    resting = [order for order in orders if order["instrument"] == found["instrument"]]
    kind = next(row for row in source["instruments"] if row["id"] == found["instrument"])
    counts.update([kind["kind"], "found"])
    counts["inverse"] += bool(kind.get("inverse"))
    counts["hedge mode"] += found["side"] is not None
    counts["orders"] += bool(resting)
    counts["reduce-only"] += any(order.get("reduce_only") for order in resting)


def test_the_trade_is_that_of_trading_positions_one_by_one() -> None:
    counts: Counter[str] = Counter()
    for seed in range(120):
        checked(seed, counts)
    kinds = ("perpetual", "future", "option", "outcome", "inverse", "hedge mode", "orders", "reduce-only", "none")
    assert min(counts[kind] for kind in kinds) > 0, counts
    assert counts["found"] > 60


def test_resting_orders_stay_and_may_be_why_nothing_suffices() -> None:
    # 2 coins of orders to buy beside the position of 1 need margin alone, however much of it goes
    orders = [{"instrument": "v:perp", "quantity": 2.0, "limit_price": 100_000.0}]
    source = document([perpetual()], [account("one", [held("v:perp", 1.0)], equity=30_000.0, orders=orders)])
    assert reduction(stress_book(source), "p", 0.6) is None
    # 10,030 USD a coin: 24,000 are left for 2.392822... coins
    found = reduction(stress_book(source), "p", 0.8)
    assert found is not None
    assert found["quantity"] == pytest.approx(24_000.0 / 10_030.0 - 3.0, rel=1e-11)


def test_of_those_that_suffice_the_one_that_saves_most() -> None:
    rows = [perpetual("a"), perpetual("b", 50_000.0)]
    source = document(rows, [account("one", [held("b", 3.0), held("a", 2.0)], equity=30_000.0)])
    found = reduction(stress_book(source), "p", 0.85)
    assert found is not None
    assert (found["account"], found["instrument"], found["side"]) == ("one", "a", None)


def test_the_book_is_left_alone() -> None:
    source = document([perpetual()], [account("one", [held("v:perp", 1.0)], equity=10_000.0)])
    book = stress_book(source)
    before = {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()}
    assert reduction(book, "p", 0.85) is not None
    assert {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()} == before
