"""The price move at which a pool reaches a ratio."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import distance
from tests.kernels.books import BTC, HYPE, Book, pools
from tests.kernels.reference import Held, Lent, Pool, figures, moved


def moves(pool: Pool, target: float = 1.0, *, collateral: bool = True) -> tuple[float, float]:
    book = Book([pool])
    book.evaluate()
    marks = np.ones(len(book.prices.mark))
    assets = np.full(len(book.prices.asset), 1.0 if collateral else 0.0)
    return distance.distance_to_ratio(
        0, target, distance.SCAN, marks, assets, book.positions, book.collateral, book.tiers, book.prices, book.pools
    )


def ratio_after(pool: Pool, move: float) -> float:
    return float(figures(moved(pool, move)).ratio)


def borrowing(offset: float, mark: float, spot: float) -> Pool:
    short, hype = Held(-3000.0, mark, HYPE), Lent(3000.03081983, spot, 0.825)
    return Pool(-75_424.29992666 + 3000 * mark, (short,), (hype,), 0.95, True, offset)


def test_worked_example_10_7() -> None:
    down, up = moves(borrowing(0.0, 83.856, 83.856))
    assert math.isnan(down), "a hedged short is in danger on one side only"
    assert round(83.856 * (1 + up), 2) == 218.48


def test_worked_example_10_7_with_the_offset_is_nearer() -> None:
    _, without = moves(borrowing(0.0, 83.856, 83.856))
    _, with_offset = moves(borrowing(20.0, 83.856, 83.856))
    assert 83.856 * (without - with_offset) == pytest.approx(20.0 / 806.2264, rel=1e-3)


def test_frozen_collateral_is_the_far_too_pessimistic_price() -> None:
    _, up = moves(borrowing(0.0, 83.856, 83.856), collateral=False)
    assert 83.856 * (1 + up) < 125.0


@settings(max_examples=40)
@given(pools(least=1), st.sampled_from([0.85, 1.0]))
def test_the_move_crosses_the_target_and_none_nearer_does(pool: Pool, target: float) -> None:
    start = ratio_after(pool, 0.0) >= target
    nodes = [float(move) for move in distance.SCAN]
    found = moves(pool, target)
    for move, side in zip(found, (-1.0, 1.0), strict=True):
        reach = abs(move) if move == move else math.inf
        nearer = [node for node in nodes if node * side > 0 and abs(node) < reach * (1 - 1e-9) - 2e-9]
        for node in nearer[:: 1 + len(nearer) // 25] + nearer[:1] + nearer[-1:]:
            after = ratio_after(pool, node)
            assert (after >= target) == start or after == pytest.approx(target, rel=1e-9)
        if move == move:
            assert move * side >= -2e-9
            step = 2e-9 * max(1.0, abs(move))
            before, after = ratio_after(pool, move - side * step), ratio_after(pool, move + side * step)
            crossed = (before >= target) != (after >= target)
            assert crossed or before == pytest.approx(target, rel=1e-7) or after == pytest.approx(target, rel=1e-7)


def test_the_ratio_without_a_move_is_the_evaluated_one() -> None:
    pool = replace(borrowing(20.0, 83.0, 84.0), adjust_equity=-1000.0, adjust_maintenance=50.0)
    book = Book([pool])
    book.evaluate()
    one = np.ones(1)
    at_zero = distance.ratio_at_move(0, 0.0, one, one, book.positions, book.collateral, book.tiers, book.prices, book.pools)
    assert at_zero == book.out.ratio[0]


@pytest.mark.parametrize("adjust", [-50.0, 50.0])
def test_a_rosier_figure_of_the_venue_brings_no_distance(adjust: float) -> None:
    # ours: 900 cash short of 1000 at a margin of 10 %; nothing the venue says makes the distance longer than ours
    pool = Pool(-800.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),))
    ours, theirs = moves(pool)[0], moves(replace(pool, adjust_equity=adjust))[0]
    assert ours == pytest.approx(800.0 / 900.0 - 1.0, rel=1e-6)
    assert theirs == pytest.approx(ours if adjust > 0 else 850.0 / 900.0 - 1.0, rel=1e-6)


def test_the_nearest_of_two_crossings_on_one_side() -> None:
    # short 1,000 against collateral of the same coin that counts 95 %, with debt: the ratio rises above the target with a
    # moderate fall of the price (collateral gone), and comes back below it further down, where the short has earned the debt
    pool = Pool(1000.0 * 100.0 - 80_000.0, (Held(-1000.0, 100.0, HYPE),), (Lent(2000.0, 100.0, 0.5),), 0.95, True, 0.0)
    ratios = [ratio_after(pool, float(node)) for node in distance.SCAN]
    low, high = min(ratios), max(ratios)
    target = 0.5 * (low + high)
    for level in (target, 0.85, 1.0):
        above = [value >= level for value in ratios]
        expected_down = [i for i in range(1, len(above)) if above[i] != above[i - 1] and distance.SCAN[i] <= 0.0]
        expected_up = [i for i in range(1, len(above)) if above[i] != above[i - 1] and distance.SCAN[i] > 0.0]
        down, up = moves(pool, level)
        _in_cell(down, expected_down[-1] if expected_down else None)
        _in_cell(up, expected_up[0] if expected_up else None)


def _in_cell(move: float, node: int | None) -> None:
    if node is None:
        assert math.isnan(move)
    else:
        assert distance.SCAN[node - 1] - 1e-8 <= move <= distance.SCAN[node] + 1e-8


def test_non_monotone_book_gives_the_nearest_crossing() -> None:
    # a long whose table gets steep: upwards the ratio falls from 0.25 to 0.08, and beyond the bound climbs towards 1/6
    pool = Pool(-960_000.0, (Held(1000.0, 1000.0, ((0.0, 50.0), (1_100_000.0, 3.0))),))
    assert [round(ratio_after(pool, move), 2) for move in (0.0, 0.1, 3.9)] == [0.25, 0.08, 0.16]
    _, up = moves(pool, 0.12)
    # 10,000 (1 + x) = 0.12 (40,000 + 1,000,000 x)
    assert up == pytest.approx(5_200.0 / 110_000.0, rel=1e-6)
    assert ratio_after(pool, up - 1e-6) > 0.12 > ratio_after(pool, up + 1e-6)
    assert up < 0.1


def test_unknown_inputs_give_no_distance() -> None:
    missing = Pool(-90.0, (Held(1.0, 100.0, BTC), Held(1.0, None, BTC)))
    assert all(math.isnan(move) for move in moves(missing))
    unlisted = Pool(-90.0, (Held(1.0, 100.0, BTC), Held(1.0, 100.0, ())))
    assert all(math.isnan(move) for move in moves(unlisted))


def test_the_scan_covers_what_is_promised() -> None:
    assert distance.SCAN[0] == pytest.approx(-0.99)
    assert distance.SCAN[-1] == pytest.approx(4.0)
    assert 0.0 in distance.SCAN
    assert np.all(np.diff(distance.SCAN) > 0)


def test_an_inverse_position_under_a_fixed_margin_by_hand() -> None:
    # long 100,000 USD at 50,000 with 2.5 BTC, margin 0.5 BTC: 4.5 - 100,000 / P = 0.5 at P = 25,000, and upwards never
    free = ((0.0, math.inf),)
    pool = Pool(4.5, (Held(100_000.0, 50_000.0, free, inverse=True),), maintenance=0.5)
    down, up = moves(pool)
    assert down == pytest.approx(-0.5, rel=1e-6)
    assert math.isnan(up)


def test_a_fixed_margin_shortens_the_distance() -> None:
    held = Held(1.0, 1000.0, ((0.0, 5.0),))
    assert moves(Pool(-800.0, (held,), maintenance=50.0))[0] == pytest.approx(850.0 / 900.0 - 1.0, rel=1e-6)
