"""Liquidation prices, cash to safety and the reduction of a position: each checked by carrying it out."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernels import pool as kernel
from tests.kernels.books import BTC, HYPE, Book, pools
from tests.kernels.reference import Held, Lent, Pool, exact, figures, with_position, worth

TARGETS = st.sampled_from([0.5, 0.85, 0.9, 1.0])
FREE = ((0.0, math.inf),)
"""A table without margin."""

ROUNDING = Fraction(1, 10**12)
"""Exactly at the target the kernel's doubles may fall on either side of it."""


def evaluated(pool: Pool) -> Book:
    book = Book([pool])
    book.evaluate()
    return book


def available(pool: Pool) -> Fraction:
    """What is left above maintenance: equity and collateral minus maintenance margin."""
    seen = figures(exact(pool))
    return Fraction(seen.equity + seen.collateral - seen.maintenance)


# -- liquidation price ---------------------------------------------------------------------------------------------------------


@given(pools(least=1, adjusted=False))
def test_at_the_liquidation_price_nothing_is_available(pool: Pool) -> None:
    book = evaluated(pool)
    size = float(figures(exact(pool)).size)
    for slot, price in enumerate(book.liquidation_prices()):
        held = pool.positions[slot]
        if math.isnan(price) and held.inverse:
            # nothing is left of it at an infinite price, and without end at a price of zero
            far = float(available(with_position(pool, slot, quantity=0.0)))
            assert far <= 1e-9 * size if held.quantity > 0 else far >= -1e-9 * size
        elif math.isnan(price):
            # without a root on the positive side a price of zero is on the same side of the threshold as any other
            at_zero = float(available(with_position(pool, slot, mark=0.0)))
            assert at_zero >= -1e-9 * size if held.quantity > 0 else at_zero <= 1e-9 * size
        else:
            assert price > 0
            there = available(with_position(pool, slot, mark=float(price)))
            assert abs(float(there)) <= 1e-9 * (size + abs(worth(replace(held, mark=float(price)))))


def test_liquidation_price_in_a_higher_tier_than_the_position_is_in() -> None:
    # 1,400 BTC short at 100,000 is in the first tier; at the price it is in the second
    pool = Pool(140e6 + 20e6, (Held(-1400.0, 100_000.0, BTC),))
    price = evaluated(pool).liquidation_prices()[0]
    assert 1400 * price > 150e6
    # 160m - 1400 P = 0.025 * 1400 P - 1.875m
    assert price == pytest.approx((160e6 + 1.875e6) / (1400 * 1.025), rel=1e-12)
    assert abs(float(available(with_position(pool, 0, mark=float(price))))) < 1e-6


def test_liquidation_price_in_a_lower_tier_than_the_position_is_in() -> None:
    pool = Pool(-140e6, (Held(2000.0, 100_000.0, BTC),))
    price = evaluated(pool).liquidation_prices()[0]
    assert price == pytest.approx(140e6 / (2000 * (1 - 0.0125)), rel=1e-12)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("bound", [0.1 + 0.2, 1e6 / 3, 20e6, 1e7 / 7, 123456.789])
def test_liquidation_price_exactly_at_a_tier_bound_is_found(side: float, bound: float) -> None:
    tiers = ((0.0, 40.0), (bound, 20.0))
    for size in (1.0, 3.0, 7.0, 0.1, 1234.5678):
        price = bound / size
        cash = -side * bound + bound * 0.0125
        found = evaluated(Pool(cash, (Held(side * size, price * 1.1, tiers),))).liquidation_prices()[0]
        assert found == pytest.approx(price, rel=1e-9)


def test_no_positive_liquidation_price() -> None:
    prices = evaluated(Pool(50.0, (Held(1.0, 100.0, BTC),))).liquidation_prices()
    assert math.isnan(prices[0]), "a long paid for in full"
    assert math.isnan(kernel.liquidation_price(0.0, 100.0, 5.0, 0, Book([Pool(0.0, (Held(1.0, 1.0, BTC),))]).tiers))
    assert math.isnan(kernel.liquidation_price(1.0, 100.0, 5.0, -1, Book([Pool(0.0, (Held(1.0, 1.0, BTC),))]).tiers))


def test_no_liquidation_price_where_the_pool_has_no_value() -> None:
    book = evaluated(Pool(-90.0, (Held(1.0, 100.0, BTC), Held(1.0, None, BTC))))
    assert all(math.isnan(price) for price in book.liquidation_prices())


def test_worked_example_10_3() -> None:
    pool = Pool(1532.665442, (Held(-15.0, 95.063, HYPE),))
    book = evaluated(pool)
    assert book.out.equity[0] == pytest.approx(106.720442, abs=1e-9)
    assert book.out.maintenance[0] == pytest.approx(71.29725, abs=1e-9)
    assert book.liquidation_prices()[0] == pytest.approx(97.3120915556, abs=5e-11)


# -- cash ----------------------------------------------------------------------------------------------------------------------


def cash_needed(pool: Pool, target: float) -> float:
    book = evaluated(pool)
    seen = figures(pool)
    return kernel.cash_to_ratio(
        target, float(book.out.equity[0]), float(book.out.maintenance[0]), float(seen.collateral), pool.limit, pool.borrows, pool.offset
    )


@given(pools(adjusted=False), TARGETS)
def test_cash_brings_the_ratio_to_the_target(pool: Pool, target: float) -> None:
    before = figures(exact(pool))
    cash = cash_needed(pool, target)
    assert math.isfinite(cash)
    if before.ratio <= target * (1 + ROUNDING):
        assert cash <= 1e-9 * float(before.size)
        return
    assert cash > 0
    after = figures(exact(replace(pool, cash=Fraction(pool.cash) + Fraction(cash))))
    slack = 1e-12 * float(before.size)
    if after.maintenance > 0 and after.capacity > 1e-3 * before.size and float(after.ratio) != pytest.approx(target, rel=1e-9):
        # the offset ends at the end of the shortfall: the ratio jumps over the target there, and only there
        assert pool.borrows
        assert pool.offset > 0
        assert abs(float(after.equity - after.maintenance)) <= slack
    less = figures(exact(replace(pool, cash=Fraction(pool.cash) + Fraction(cash) - Fraction(2 * slack))))
    more = figures(exact(replace(pool, cash=Fraction(pool.cash) + Fraction(cash) + Fraction(2 * slack))))
    assert more.ratio <= target < less.ratio * (1 + Fraction(1, 10**9))


@pytest.mark.parametrize(
    ("cash", "target", "expected"),
    [
        # margin 100, collateral 50: short by 60, so (160 + 20) / (100 + 50); at 0.95: 142.5 is demanded, which is 37.5 more cash
        (-960.0, 0.95, 57.5 - 20.0 + 20.0 - 20.0),
        (-960.0, 0.5, 60.0 + 50.0),
    ],
)
def test_cash_on_both_sides_of_the_shortfalls_end(cash: float, target: float, expected: float) -> None:
    pool = Pool(cash, (Held(1.0, 1000.0, ((0.0, 5.0),)),), (Lent(1.0, 100.0, 0.5),), 1.0, True, 20.0)
    assert cash_needed(pool, target) == pytest.approx(expected)


def test_cash_over_the_jump_of_the_offset() -> None:
    # at the end of the shortfall the ratio is 100 / 150 without the offset and 120 / 150 with it
    pool = Pool(-920.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),), (Lent(1.0, 100.0, 0.5),), 1.0, True, 20.0)
    assert cash_needed(pool, 0.7) == pytest.approx(20.0)


# -- reduction -------------------------------------------------------------------------------------------------------------------


@given(pools(least=1), TARGETS, st.data())
def test_the_reduction_brings_the_ratio_to_the_target(pool: Pool, target: float, data: st.DataObject) -> None:
    slot = data.draw(st.integers(0, len(pool.positions) - 1))
    held = pool.positions[slot]
    book = evaluated(pool)
    before = figures(exact(pool))
    assume(abs(before.equity) > before.size / 10**6 and abs(before.equity + pool.adjust_equity) > before.size / 10**6)
    traded = book.reduction(slot, target)

    def after(quantity: Fraction) -> Pool:
        # traded at the mark: what the position was worth becomes cash
        smaller = with_position(exact(pool), slot, quantity=Fraction(held.quantity) + quantity)
        return replace(smaller, cash=smaller.cash - worth(with_position(exact(pool), slot, quantity=quantity).positions[slot]))

    closed = figures(after(-Fraction(held.quantity)))
    if math.isnan(traded):
        left = before.equity + min(0, Fraction(pool.adjust_equity)) + before.collateral
        assert closed.ratio > target * (1 - 1e-9) or left <= before.size / 10**12
        return
    assert closed.ratio <= target * (1 + 1e-9)
    assert traded == 0 or math.copysign(1.0, traded) == -math.copysign(1.0, held.quantity)
    assert abs(traded) <= abs(held.quantity)
    if before.ratio <= target * (1 + ROUNDING):
        assert abs(traded) <= 1e-9 * abs(held.quantity)
        return
    sign, slack = int(math.copysign(1, traded or -held.quantity)), Fraction(abs(held.quantity)) / 10**11
    more, less = figures(after(Fraction(traded) + sign * slack)), figures(after(Fraction(traded) - sign * slack))
    assert more.ratio <= target * (1 + Fraction(1, 10**9))
    assert less.ratio >= target * (1 - Fraction(1, 10**9))


def test_reduction_to_the_target_by_hand() -> None:
    # margin 100 of equity 100; 85 of it needs a position of 850
    book = evaluated(Pool(-900.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),)))
    assert book.out.ratio[0] == 1.0
    assert book.reduction(0, 0.85) == pytest.approx(-0.15, rel=1e-9)
    short = evaluated(Pool(1100.0, (Held(-1.0, 1000.0, ((0.0, 5.0),)),)))
    assert short.reduction(0, 0.85) == pytest.approx(0.15, rel=1e-9)


def test_reduction_counts_what_the_venue_sees_worse() -> None:
    # ours is 100 / 200, the venue's 100 / 100: a trade of nothing would leave the pool at its liquidation
    pool = Pool(-800.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),), adjust_equity=-100.0)
    book = evaluated(pool)
    assert book.out.ratio[0] == 1.0
    assert book.reduction(0, 0.85) == pytest.approx(-0.15, rel=1e-9)


def test_no_reduction_mends_a_pool_with_nothing_left() -> None:
    held = Held(1.0, 1000.0, ((0.0, 5.0),))
    assert math.isnan(evaluated(Pool(-1001.0, (held,))).reduction(0, 0.85))
    assert math.isnan(evaluated(Pool(-900.0, (held,), adjust_equity=-101.0)).reduction(0, 0.85))


def test_no_reduction_where_closing_the_position_is_not_enough() -> None:
    pool = Pool(-1900.0, (Held(1.0, 1000.0, ((0.0, 5.0),)), Held(1.0, 1000.0, ((0.0, 5.0),))))
    assert math.isnan(evaluated(pool).reduction(0, 0.85))
    gone = Pool(-1001.0, (Held(1.0, 1000.0, ((0.0, 5.0),)),), (), 0.95, True, 20.0)
    assert math.isnan(evaluated(gone).reduction(0, 0.85))


# -- a fixed part of the margin, and inverse positions ---------------------------------------------------------------------------


def test_no_trade_mends_a_pool_whose_position_has_no_margin_of_its_own() -> None:
    pool = Pool(-900.0, (Held(1.0, 1000.0, FREE),), maintenance=95.0)
    book = evaluated(pool)
    assert book.out.ratio[0] == pytest.approx(0.95)
    assert math.isnan(book.reduction(0, 0.85))
    assert cash_needed(pool, 0.85) == pytest.approx(95.0 / 0.85 - 100.0)


def test_liquidation_price_of_an_inverse_position_by_hand() -> None:
    # long 100,000 USD at 50,000 with 2.5 BTC: 2.5 + 2 - 100,000 / P = 0.5 where P = 25,000
    long = evaluated(Pool(4.5, (Held(100_000.0, 50_000.0, FREE, inverse=True),), maintenance=0.5))
    assert long.out.equity[0] == pytest.approx(2.5)
    assert long.out.ratio[0] == pytest.approx(0.2)
    assert long.liquidation_prices()[0] == pytest.approx(25_000.0, rel=1e-12)
    # short the same: 0.5 + 100,000 / P = 0.5 never
    short = evaluated(Pool(0.5, (Held(-100_000.0, 50_000.0, FREE, inverse=True),), maintenance=0.5))
    assert math.isnan(short.liquidation_prices()[0])


def test_liquidation_price_of_an_inverse_position_beyond_a_tier_bound() -> None:
    # margin 5 % of the first 3 BTC of notional, 10 % of the rest; at P = 20,000 the notional is 5 BTC
    pool = Pool(5.35, (Held(100_000.0, 50_000.0, ((0.0, 10.0), (3.0, 5.0)), inverse=True),))
    assert evaluated(pool).liquidation_prices()[0] == pytest.approx(20_000.0, rel=1e-12)
