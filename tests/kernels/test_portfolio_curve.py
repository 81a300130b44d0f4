"""What a portfolio is worth and requires after price moves."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from monitor.margin.portfolio import portfolio_result
from monitor.margin.portfolio_measures import ALL, MOVES, Curve, portfolio_curve, portfolio_distances
from tests.kernels.stress_books import BTC, REFERENCE, account, document, held, number, perpetual, result, stress_book
from tests.kernels.test_checked_modes import CHECKED
from tests.reference.books import Document, random_document
from tests.reference.margin_model import moved, result_of

SETS = tuple(REFERENCE)
NOW = 16
"""Place of no move."""


def one_account(instruments: list[Document], positions: list[Document], equity: float | None = 20e3, **more: Any) -> Document:
    return document(instruments, [account("one", positions, equity=equity)], **more)


def curve(source: Document, coin: str = "BTC", name: str = "uta") -> Curve:
    return portfolio_curve(stress_book(source, name), "p", coin, source.get("beta", {}))


def test_the_moves_are_those_of_the_document() -> None:
    assert (len(MOVES), MOVES[0], MOVES[NOW], MOVES[-1]) == (33, -0.5, 0.0, 0.5)
    assert np.all(np.diff(MOVES) > 0.0)


@pytest.mark.parametrize("quantity", [1.0, -1.0])
def test_one_perpetual(quantity: float) -> None:
    found = curve(one_account([perpetual()], [held("v:perp", quantity)]))
    assert found.moves == MOVES.tolist()
    for move, equity, margin, ratio in zip(found.moves, found.equity, found.maintenance_margin, found.margin_ratio, strict=True):
        worth = 20e3 + quantity * BTC * move
        assert equity == pytest.approx(worth, rel=1e-12)
        assert margin == pytest.approx(0.1003 * BTC * (1.0 + move), rel=1e-12)
        assert ratio == (pytest.approx(0.1003 * BTC * (1.0 + move) / worth, rel=1e-12) if worth > 0.0 else math.inf)


def test_coins_move_by_their_betas_together_and_alone_without() -> None:
    rows = [perpetual(), perpetual("v:eth", 4e3, coin="ETH")]
    positions, more = [held("v:perp", 1.0), held("v:eth", 10.0)], {"index": {"BTC": BTC, "ETH": 4e3}, "beta": {"ETH": 1.5}}
    source = one_account(rows, positions, 200e3, **more)
    for coin, slope in ((ALL, BTC + 60e3), ("BTC", BTC), ("ETH", 40e3), ("DOGE", 0.0)):
        assert curve(source, coin).equity == pytest.approx([200e3 + slope * move for move in MOVES], rel=1e-12), coin


def test_without_a_ratio_there_is_no_curve() -> None:
    nothing = [None] * 33
    missing = one_account([perpetual(), perpetual("q", None)], [held("v:perp", 1.0), held("q", 1.0)])
    unvalued = one_account([perpetual()], [held("v:perp", 1.0)], equity=None)
    assert result(unvalued).maintenance_margin is not None
    for source in (missing, unvalued):
        found = curve(source)
        assert (found.equity, found.maintenance_margin, found.margin_ratio) == (nothing, nothing, nothing)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("seed", range(2 if CHECKED else 6))
def test_every_move_is_the_reference_s(seed: int, name: str) -> None:
    source = random_document(random.Random(seed), accounts=2, positions=3, outcomes=seed > 2)
    book, reference = stress_book(source, name), result_of(source, REFERENCE[name], "desk")
    for coin in (ALL, *list(source["index"])[:1]):
        found = portfolio_curve(book, "desk", coin, source["beta"])
        for place in (0, NOW + 1, 29) if CHECKED else range(0, 33, 4):
            wanted = moved(reference, coin, found.moves[place])
            scale = max(1.0, number(wanted.maintenance_margin), abs(number(wanted.equity)))
            assert number(found.equity[place]) == pytest.approx(number(wanted.equity), abs=1e-9 * scale)
            assert number(found.maintenance_margin[place]) == pytest.approx(number(wanted.maintenance_margin), abs=1e-9 * scale)
            # an equity of almost nothing is mostly rounding
            if abs(number(wanted.equity)) > 1e-3 * scale:
                assert number(found.margin_ratio[place]) == pytest.approx(number(wanted.margin_ratio), rel=1e-6)


def test_no_move_is_the_evaluated_portfolio_and_the_book_stays_as_it_was() -> None:
    for seed in range(2 if CHECKED else 20):
        source = random_document(random.Random(seed), accounts=3, options=not CHECKED)
        book = stress_book(source, "house")
        before = {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()}
        found, now = portfolio_curve(book, "desk", ALL, source["beta"]), portfolio_result(book, "desk")
        assert found.equity[NOW] == pytest.approx(now.equity, rel=1e-12)
        assert found.maintenance_margin[NOW] == pytest.approx(now.maintenance_margin, rel=1e-12)
        assert found.margin_ratio[NOW] == pytest.approx(now.margin_ratio, rel=1e-12)
        assert {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()} == before
        assert portfolio_curve(book, "desk", ALL, source["beta"]) == found


def test_a_distance_lies_where_the_curve_crosses() -> None:
    crossings = 0
    for seed in range(12 if CHECKED else 40):
        source = random_document(random.Random(seed), accounts=2, positions=3, options=not CHECKED)
        book = stress_book(source, "uta")
        ratios = [number(ratio) for ratio in portfolio_curve(book, "desk", ALL, source["beta"]).margin_ratio]
        (sides,) = portfolio_distances(book, "desk", ALL, [0.85], source["beta"])
        for move, step in zip(sides, (-1, 1), strict=True):
            places = range(NOW + step, NOW + 17 * step, step)
            far = next((place for place in places if (ratios[place] >= 0.85) != (ratios[NOW] >= 0.85)), None)
            if far is not None:
                crossings += 1
                low, high = sorted((MOVES[far - step], MOVES[far]))
                assert low <= number(move) <= high, seed
    assert crossings >= (1 if CHECKED else 10)
