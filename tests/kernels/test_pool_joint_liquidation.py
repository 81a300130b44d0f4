"""Liquidation prices of several positions of one instrument, which share the mark that moves: hedged symbols of Aster."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import pool as kernel
from tests.kernels.books import BTC, Book, tables, tier_tables
from tests.kernels.reference import Held, Pool, exact, figures

MARK = 1000.0
FLAT = ((0.0, 100.0),)
"""One tier: half of 1 / 100 of the notional."""

sizes = st.sampled_from([0.01, 0.5, 1.0, 7.0, 100.0, 2500.0])
legs = st.lists(st.tuples(sizes, st.sampled_from([-1.0, 1.0]), tables()), min_size=2, max_size=3)


def together(pool: Pool) -> tuple[Book, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """The pool with all its positions in one instrument."""
    book = Book([pool], instruments=[0] * len(pool.positions))
    book.evaluate()
    return book, book.liquidation_prices()


def left(pool: Pool, price: Fraction) -> Fraction:
    """What is left above maintenance with all positions at a price."""
    there = replace(pool, positions=tuple(replace(held, mark=price) for held in pool.positions))
    seen = figures(exact(there))
    return Fraction(seen.equity + seen.collateral - seen.maintenance)


def roots(pool: Pool) -> list[float]:
    """Every price at which nothing is left: sign changes of a fine scan, bisected."""
    grid = [0.0, *np.geomspace(1e-3, 1e9, 300)]
    for held in pool.positions:
        # a tier bound is where the slope changes: two roots may lie close to one another there
        grid += [bound / abs(held.quantity) for bound, _ in held.tiers if bound]
    found = []
    nodes = sorted(grid)
    signs = [left(pool, Fraction(node)) > 0 for node in nodes]
    for low, high, before, after in zip(nodes, nodes[1:], signs, signs[1:], strict=False):
        if before != after:
            near, far = low, high
            for _ in range(100):
                middle = 0.5 * (near + far)
                near, far = (middle, far) if (left(pool, Fraction(middle)) > 0) == before else (near, middle)
            found.append(0.5 * (near + far))
    return found


@given(legs, st.floats(-3e6, 3e6))
def test_the_price_is_the_nearest_root_of_a_slow_scan(
    rows: list[tuple[float, float, tuple[tuple[float, float], ...]]], cash: float
) -> None:
    pool = Pool(cash, tuple(Held(side * size, MARK, table) for size, side, table in rows))
    _, prices = together(pool)
    assert len({str(price) for price in prices}) == 1, "one instrument has one price"
    price, expected = float(prices[0]), roots(pool)
    scale = abs(cash) + sum(abs(held.quantity) for held in pool.positions) * (MARK + (0.0 if math.isnan(price) else price))
    if math.isnan(price):
        for root in expected:
            # beyond the scan's first step, or a touch within rounding
            assert abs(float(left(pool, Fraction(root * (1 + 1e-6))))) <= 1e-6 * scale
        return
    assert abs(float(left(pool, Fraction(price)))) <= 1e-9 * scale
    if expected:
        nearest = min(expected, key=lambda root: abs(root - MARK))
        assert abs(price - MARK) <= abs(nearest - MARK) * (1 + 1e-6) + 1e-6 * MARK


@given(st.lists(st.tuples(sizes, st.sampled_from([-1.0, 1.0]), tables()), min_size=1, max_size=4), st.floats(-3e6, 3e6))
def test_positions_of_their_own_instruments_are_priced_alone_bit_for_bit(
    rows: list[tuple[float, float, tuple[tuple[float, float], ...]]], cash: float
) -> None:
    pool = Pool(cash, tuple(Held(side * size, MARK, table) for size, side, table in rows))
    book = Book([pool])
    book.evaluate()
    available = float(book.out.equity[0] + 0.0 - book.out.maintenance[0])
    for slot, price in enumerate(book.liquidation_prices()):
        alone = kernel.liquidation_price(float(book.positions.quantity[slot]), MARK, available, int(book.positions.table[slot]), book.tiers)
        assert price == alone or (math.isnan(price) and math.isnan(alone))


def test_a_hedged_symbol_by_hand() -> None:
    # X + cumL + cumS - qL EL + qS ES over qL mmrL + qS mmrS - qL + qS, with entries at the mark (venue notes 5.6)
    pool = Pool(500.0 - 2.0 * MARK + 1.0 * MARK, (Held(2.0, MARK, FLAT), Held(-1.0, MARK, FLAT)))
    _, prices = together(pool)
    assert prices == pytest.approx([(500.0 - 2.0 * MARK + 1.0 * MARK) / (2.0 * 0.005 + 1.0 * 0.005 - 2.0 + 1.0)] * 2, rel=1e-12)


def test_alone_the_legs_would_have_other_prices() -> None:
    pool = Pool(-500.0, (Held(2.0, MARK, FLAT), Held(-1.0, MARK, FLAT)))
    _, shared = together(pool)
    apart = Book([pool])
    apart.evaluate()
    assert all(abs(one - other) > 1.0 for one, other in zip(shared, apart.liquidation_prices(), strict=True))


def test_equal_legs_lose_by_their_margin_alone() -> None:
    # 100 left less 10 of margin; both margins grow with the price: 0.01 P = 100
    _, prices = together(Pool(100.0, (Held(1.0, MARK, FLAT), Held(-1.0, MARK, FLAT))))
    assert prices == pytest.approx([10_000.0] * 2)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.3, 7.3, 1234.5])
def test_without_slope_there_is_no_price(scale: float) -> None:
    # qL - qS = mmr (qL + qS): what one more dollar of mark earns, its margin takes
    long, short = 1.005 * scale, 0.995 * scale
    _, prices = together(Pool(100.0 * scale, (Held(long, MARK, FLAT), Held(-short, MARK, FLAT))))
    assert all(math.isnan(price) for price in prices)


def test_of_two_roots_the_one_next_to_the_mark() -> None:
    # slightly long at little margin, short of margin in the upper tier: liquidated below and above
    tiers = ((0.0, 100.0), (3000.0, 1.0))
    pool = Pool(-25.0, (Held(2.0, MARK, tiers), Held(-1.9, MARK, tiers)))
    found = roots(pool)
    assert len(found) == 2
    assert found[0] < MARK < found[1]
    _, prices = together(pool)
    assert prices == pytest.approx([min(found, key=lambda root: abs(root - MARK))] * 2, rel=1e-9)


def test_a_flat_leg_does_not_count() -> None:
    one = Pool(-900.0, (Held(1.0, MARK, BTC),))
    both = replace(one, positions=(*one.positions, Held(0.0, MARK, BTC)))
    _, alone = together(one)
    _, prices = together(both)
    assert prices[0] == alone[0]
    assert math.isnan(prices[1])


def test_an_unknown_table_has_no_price() -> None:
    tiers, _ = tier_tables([FLAT])
    assert math.isnan(kernel.joint_liquidation_price(np.array([1.0, -1.0]), np.array([0, -1], np.int32), MARK, 5.0, tiers))
