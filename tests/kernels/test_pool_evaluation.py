"""Equity, maintenance and ratio of pools: the kernel against the plain reference, and what an evaluation writes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import pool as kernel
from tests.kernels.books import BTC, CUTS, HYPE, STATUS, Book, pools, tables, tier_tables
from tests.kernels.reference import Figures, Held, Lent, Number, Pool, demand, exact, figures, maintenance


def margin(notional: float, table: tuple[tuple[float, float], ...] = BTC) -> float:
    tiers, _ = tier_tables([table])
    return kernel.maintenance_margin(notional, 0, tiers)


def one(pool: Pool) -> Book:
    book = Book([pool])
    book.evaluate()
    return book


def ratio(pool: Pool) -> float:
    return float(one(pool).out.ratio[0])


# -- maintenance margin ----------------------------------------------------------------------------------------------------


def test_worked_example_10_1() -> None:
    assert margin(3000 * 100_000.0) == 5_625_000.0


@pytest.mark.parametrize(
    ("notional", "expected"),
    [(0.0, 0.0), (1.0, 0.0125), (149_999_999.0, 1_874_999.9875), (150e6, 1_875_000.0), (150_000_001.0, 1_875_000.025)],
)
def test_both_sides_of_a_bound(notional: float, expected: float) -> None:
    assert margin(notional) == pytest.approx(expected, rel=1e-14)


@given(tables(), st.floats(0.0, 5e6))
def test_maintenance_is_the_sum_over_tiers(table: tuple[tuple[float, float], ...], notional: float) -> None:
    assert margin(notional, table) == pytest.approx(maintenance(notional, table), rel=1e-12, abs=1e-9)


@given(tables())
def test_maintenance_is_continuous_at_every_bound_and_steeper_above(table: tuple[tuple[float, float], ...]) -> None:
    for row, (bound, leverage) in enumerate(table[1:], start=1):
        below, at, above = (margin(notional, table) for notional in (bound - 1.0, bound, bound + 1.0))
        assert margin(math.nextafter(bound, 0.0), table) == pytest.approx(at, rel=1e-12)
        assert at - below == pytest.approx(0.5 / table[row - 1][1], rel=1e-6)
        assert above - at == pytest.approx(0.5 / leverage, rel=1e-6)


def at_the_jump(pool: Pool) -> bool:
    """Whether rounding decides if the pool would borrow, which the offset makes a jump."""
    seen = figures(exact(pool))
    gaps = [seen.equity - seen.maintenance, seen.equity + pool.adjust_equity - max(0, seen.maintenance + pool.adjust_maintenance)]
    return pool.borrows and any(abs(gap) < 1e-12 * seen.size for gap in gaps)


# -- against the reference ---------------------------------------------------------------------------------------------------


def adjusted_capacity(pool: Pool, seen: Figures) -> Number:
    needed = max(0 * seen.maintenance, seen.maintenance + pool.adjust_maintenance)
    return demand(pool, seen.equity + pool.adjust_equity, needed, seen.collateral)[1]


@given(st.lists(pools(known=False), min_size=1, max_size=4))
def test_evaluation_equals_the_reference(books: list[Pool]) -> None:
    book = Book(books)
    assert book.evaluate() == len(books)
    for index, pool in enumerate(books):
        expected = figures(exact(pool))
        assert book.out.status[index] == STATUS[expected.status]
        if expected.status or at_the_jump(pool):
            continue
        for name in ("equity", "maintenance", "initial", "requirement", "capacity"):
            assert getattr(book.out, name)[index] == pytest.approx(float(getattr(expected, name)), rel=1e-9, abs=1e-12 * expected.size), (
                name
            )
        for name in ("raw_ratio", "ratio"):
            ours, theirs = float(getattr(book.out, name)[index]), float(getattr(expected, name))
            assert not math.isnan(ours)
            # a capacity of almost nothing is mostly rounding, also the one that the adjusted figures leave
            if min(abs(expected.capacity), abs(adjusted_capacity(exact(pool), expected))) > 1e-6 * expected.size:
                assert ours == pytest.approx(theirs, rel=1e-9), name


@given(st.lists(pools(), min_size=1, max_size=3), st.data())
def test_moving_prices_equals_a_fresh_evaluation_exactly(books: list[Pool], data: st.DataObject) -> None:
    count = sum(len(pool.positions) for pool in books)
    # instruments shared between pools, as accounts share a market
    book = Book(books, [data.draw(st.integers(0, 2)) for _ in range(count)])
    book.evaluate()
    for _ in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from(["mark", "price", "write"]))
        if kind == "mark":
            row = data.draw(st.integers(0, len(book.prices.mark) - 1))
            book.prices.mark[row] = data.draw(st.one_of(st.floats(0.01, 1e5), st.just(math.nan)))
            book.prices.mark_moved[row] = True
        elif kind == "price" and len(book.prices.asset):
            row = data.draw(st.integers(0, len(book.prices.asset) - 1))
            book.prices.asset[row] = data.draw(st.one_of(st.floats(0.1, 1e5), st.just(math.nan)))
            book.prices.asset_moved[row] = True
        else:
            pool = data.draw(st.integers(0, len(books) - 1))
            book.pools.cash[pool] += data.draw(st.floats(-1e6, 1e6))
            book.pools.dirty[pool] = True
        if data.draw(st.booleans()):
            book.evaluate()
    book.evaluate()
    fresh = book.fresh()
    valid = fresh.status == kernel.OK
    np.testing.assert_array_equal(book.out.status, fresh.status)
    np.testing.assert_array_equal(book.out.band, fresh.band)
    for name in ("equity", "maintenance", "initial", "requirement", "capacity", "raw_ratio", "ratio", "worst_position"):
        np.testing.assert_array_equal(getattr(book.out, name)[valid], getattr(fresh, name)[valid], err_msg=name)


def test_only_what_changed_is_evaluated() -> None:
    book = Book([Pool(1000.0, (Held(1.0, 100.0, BTC),)), Pool(1000.0, (Held(2.0, 50.0, BTC),))])
    assert book.evaluate() == 2
    assert book.evaluate() == 0
    book.prices.mark[1] = 51.0
    assert book.evaluate() == 0, "a mark that is not flagged costs nothing"
    book.prices.mark_moved[1] = True
    assert book.evaluate() == 1
    assert book.out.equity[1] == 1102.0


# -- edges -------------------------------------------------------------------------------------------------------------------


def test_no_positions_is_ratio_zero_whatever_the_cash() -> None:
    assert [ratio(Pool(cash)) for cash in (1000.0, 0.0, -5.0)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("cash", [-100.0, -150.0])
def test_equity_gone_with_margin_required_is_infinite(cash: float) -> None:
    book = one(Pool(cash, (Held(1.0, 100.0, BTC),)))
    assert book.out.ratio[0] == math.inf
    assert book.out.band[0] == len(CUTS)


def test_debt_without_positions_is_not_healthy_in_a_borrowing_pool() -> None:
    debt = Pool(-900.0, (), (Lent(10.0, 100.0, 0.8),), 0.95, True, 20.0)
    assert ratio(debt) == pytest.approx(920.0 / (0.95 * 800.0))
    assert ratio(replace(debt, collateral=())) == math.inf


def test_the_offset_counts_only_while_the_pool_would_borrow() -> None:
    held = Held(1.0, 1000.0, ((0.0, 5.0),))
    just = Pool(-900.0, (held,), (Lent(1.0, 100.0, 0.5),), 1.0, True, 20.0)
    assert ratio(just) == pytest.approx(100.0 / 150.0)
    short_by_ten = replace(just, cash=-910.0)
    assert ratio(short_by_ten) == pytest.approx((100.0 + 10.0 + 20.0) / (90.0 + 10.0 + 50.0))


def test_worked_example_10_7_figures() -> None:
    short = Held(-3000.0, 83.856, HYPE)
    book = one(Pool(-75_424.29992666 + 3000 * 83.856, (short,), (Lent(3000.03081983, 83.8475, 0.825),), 0.95, True, 0.0))
    assert book.out.equity[0] == pytest.approx(-75_424.29992666, abs=1e-6)
    assert book.out.maintenance[0] == pytest.approx(12_578.4)
    assert book.out.requirement[0] == pytest.approx(100_581.10, abs=0.01)
    assert book.out.capacity[0] == pytest.approx(220_103.1, abs=0.1)
    assert book.out.raw_ratio[0] == pytest.approx(0.456973, abs=5e-7)
    assert book.out.ratio[0] == pytest.approx(book.out.raw_ratio[0] / 0.95)


def test_the_ratio_is_the_worse_of_ours_and_the_adjusted_one() -> None:
    plain = Pool(900.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),))
    ours = 100.0 / 1900.0
    assert ratio(plain) == pytest.approx(ours)
    assert ratio(replace(plain, adjust_equity=-400.0)) == pytest.approx(100.0 / 1500.0)
    assert ratio(replace(plain, adjust_maintenance=50.0)) == pytest.approx(150.0 / 1900.0)
    assert ratio(replace(plain, adjust_equity=400.0)) == pytest.approx(ours), "the venue's rosier figure does not count"
    assert ratio(replace(plain, adjust_maintenance=-50.0)) == pytest.approx(ours)


@pytest.mark.parametrize(
    ("pool", "status"),
    [
        (Pool(1000.0, (Held(1.0, None, BTC),)), kernel.MISSING_MARK),
        (Pool(1000.0, (Held(1.0, 0.0, BTC),)), kernel.MISSING_MARK),
        (Pool(1000.0, (Held(1.0, 10.0, ()), Held(1.0, None, BTC))), kernel.MISSING_MARK),
        (Pool(1000.0, (Held(1.0, 10.0, ()),)), kernel.UNKNOWN_TIER),
        (Pool(1000.0, (Held(1.0, 10.0, ()),), (Lent(1.0, None, 0.5),), 0.95, True), kernel.UNKNOWN_TIER),
        (Pool(1000.0, (Held(1.0, 10.0, BTC),), (Lent(1.0, None, 0.5),), 0.95, True), kernel.MISSING_PRICE),
        (Pool(math.nan, (Held(1.0, 10.0, BTC),)), kernel.NOT_FINITE),
        (Pool(math.inf, (Held(1.0, 10.0, BTC),)), kernel.NOT_FINITE),
        (Pool(1000.0, (Held(math.nan, 10.0, BTC),)), kernel.NOT_FINITE),
        (Pool(1000.0, (Held(1.0, math.inf, BTC),)), kernel.NOT_FINITE),
    ],
)
def test_what_is_missing_is_a_status_and_no_band(pool: Pool, status: int) -> None:
    book = one(pool)
    assert book.out.status[0] == status
    assert book.out.band[0] == -1
    assert book.out.crossed[0]


def test_a_lost_mark_keeps_the_last_figures_and_says_so() -> None:
    book = one(Pool(0.0, (Held(1.0, 100.0, BTC),)))
    before = float(book.out.ratio[0])
    for mark, status in ((math.nan, kernel.MISSING_MARK), (100.0, kernel.OK)):
        book.out.crossed[:] = False
        book.prices.mark[0], book.prices.mark_moved[0] = mark, True
        book.evaluate()
        assert book.out.status[0] == status
        assert book.out.crossed[0]
        assert book.out.ratio[0] == before


def test_crossed_exactly_when_a_cut_is_crossed() -> None:
    book = one(Pool(0.0, (Held(1.0, 100.0, ((0.0, 5.0),)),)))
    assert book.out.crossed[0], "a new pool is looked at"
    for wanted, expected in (
        (0.5, False),
        (0.829, False),
        (0.83, True),
        (0.84, False),
        (0.86, True),
        (1.2, True),
        (5.0, False),
        (0.2, True),
    ):
        book.out.crossed[:] = False
        # margin 10 of equity 10 / wanted
        book.pools.cash[0] = 10.0 / wanted * (1 - 1e-12) - 100.0
        book.pools.dirty[0] = True
        book.evaluate()
        assert bool(book.out.crossed[0]) is expected, wanted
        assert book.out.band[0] == sum(book.out.ratio[0] >= cut for cut in CUTS)


def test_the_worst_position_is_the_one_that_needs_most_margin() -> None:
    book = one(Pool(1e6, (Held(10.0, 100.0, BTC), Held(-1.0, 900.0, HYPE), Held(1.0, 1.0, HYPE))))
    assert book.out.worst_position[0] == 1


# -- a fixed part of the margin, and inverse positions ---------------------------------------------------------------------------


def test_a_fixed_margin_counts_beside_that_of_positions() -> None:
    book = one(Pool(0.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),), maintenance=50.0, initial=70.0))
    assert book.out.maintenance[0] == pytest.approx(150.0)
    assert book.out.initial[0] == pytest.approx(170.0)
    assert book.out.ratio[0] == pytest.approx(0.15)


def test_a_fixed_margin_without_positions_and_without_equity_is_infinite() -> None:
    assert ratio(Pool(100.0, maintenance=90.0)) == pytest.approx(0.9)
    assert ratio(Pool(-1.0, maintenance=90.0)) == math.inf
    assert one(Pool(100.0, maintenance=math.nan)).out.status[0] == kernel.NOT_FINITE


def test_where_no_position_has_margin_the_largest_is_the_worst() -> None:
    free = ((0.0, math.inf),)
    book = one(Pool(1e6, (Held(1.0, 100.0, free), Held(-2.0, 100.0, free), Held(1.0, 150.0, free)), maintenance=5.0))
    assert book.out.worst_position[0] == 1


@given(st.floats(-1e6, 1e6), st.floats(100.0, 1e5), st.floats(0.2, 5.0))
def test_an_inverse_position_is_a_debt_of_usd_in_coin(quantity: float, mark: float, factor: float) -> None:
    # in USD a coin account with an inverse future is linear in the mark: (cash - q / P) P
    cash = 10.0 + abs(quantity) / mark / min(1.0, factor)
    before, after = (one(Pool(cash, (Held(quantity, at, BTC, inverse=True),))) for at in (mark, mark * factor))
    moved = float(after.out.equity[0]) * mark * factor - float(before.out.equity[0]) * mark
    assert moved == pytest.approx(cash * mark * (factor - 1.0), rel=1e-9, abs=1e-9 * cash * mark)
