"""Who the margin comes from: slopes of the spreads, contributions, standalone margins and leave-one-out."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels import attribution
from monitor.margin.portfolio import LegResult, PortfolioResult, UnitResult, portfolio_result, with_measures
from monitor.margin.portfolio_measures import LegName, copied, leg_measures
from monitor.stress.book import StressBook
from tests.kernels.stress_books import (
    BTC,
    DAY_S,
    REFERENCE,
    account,
    document,
    future,
    held,
    is_at_a_kink,
    legs_of,
    margin,
    number,
    option,
    perpetual,
    single,
    stress_book,
    unit,
)
from tests.kernels.test_checked_modes import CHECKED
from tests.reference import margin_model
from tests.reference.books import Document, random_document
from tests.reference.contingency import spread

EXAMPLES = 10 if CHECKED else 200
SETS = tuple(REFERENCE)


def slopes(weights: list[float], days: list[float]) -> list[float]:
    out = np.full(len(weights), np.nan)
    attribution.spread_slopes(np.array(weights), np.array(days), out)
    return [float(value) for value in out]


def spread_of(weights: list[float], days: list[float]) -> float:
    net: dict[float, float] = {}
    for day, weight in zip(days, weights, strict=True):
        net[day] = net.get(day, 0.0) + weight
    return spread(list(net.items()))


# -- slopes of the spreads -------------------------------------------------------------------------------------------------------

WEIGHTS = st.lists(st.floats(-100.0, 100.0).map(lambda value: round(value, 2)), min_size=1, max_size=7)


@settings(max_examples=EXAMPLES)
@given(WEIGHTS, st.data())
def test_spread_slopes_are_the_derivative(weights: list[float], data: st.DataObject) -> None:
    # days ascend, neighbours may share them
    days = sorted(data.draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, 7.5, 30.0, 91.25]), min_size=len(weights), max_size=len(weights))))
    found, step = slopes(weights, days), 1e-4
    euler = math.fsum(weight * slope for weight, slope in zip(weights, found, strict=True))
    assert euler == pytest.approx(spread_of(weights, days), rel=1e-12, abs=1e-9)
    sides = [sum(max(0.0, weights[row]) for row in range(len(days))), sum(max(0.0, -weights[row]) for row in range(len(days)))]
    assume(abs(sides[0] - sides[1]) > 1.0)
    for row in range(len(weights)):
        net = sum(weight for day, weight in zip(days, weights, strict=True) if day == days[row])
        if abs(net) < 0.05:
            continue
        moved = [[*weights[:row], weights[row] + sign * step, *weights[row + 1 :]] for sign in (1.0, -1.0)]
        up, down = (spread_of(one, days) for one in moved)
        totals = _sides(weights, days)
        # not across a corner: equal sides, or equal mean days
        if abs(totals[0] - totals[1]) > 0.01 and min(totals[:2]) > 0.01 and abs(totals[2] - totals[3]) > 0.1:
            assert found[row] == pytest.approx((up - down) / (2.0 * step), rel=1e-4, abs=1e-4)


def _sides(weights: list[float], days: list[float]) -> tuple[float, float, float, float]:
    net: dict[float, float] = {}
    for day, weight in zip(days, weights, strict=True):
        net[day] = net.get(day, 0.0) + weight
    longs, shorts = sum(max(0.0, w) for w in net.values()), sum(max(0.0, -w) for w in net.values())
    days_long = sum(d * max(0.0, w) for d, w in net.items()) / longs if longs else 0.0
    days_short = sum(d * max(0.0, -w) for d, w in net.items()) / shorts if shorts else 0.0
    return longs, shorts, days_long, days_short


def test_spread_slopes_by_hand() -> None:
    # longs 5 at day 0, shorts 2 at 30 and 4 at 90: mean 70, and the longs are the smaller side
    found = slopes([5.0, -2.0, -4.0], [0.0, 30.0, 90.0])
    assert found == pytest.approx([70.0, 5.0 * 40.0 / 6.0, -5.0 * 20.0 / 6.0], rel=1e-14)
    assert 5.0 * found[0] - 2.0 * found[1] - 4.0 * found[2] == pytest.approx(350.0, rel=1e-14)
    assert slopes([5.0, 2.0], [0.0, 30.0]) == [0.0, 0.0]
    assert slopes([-5.0], [30.0]) == [0.0]
    assert slopes([1.0, -1.0, 2.0], [0.0, 0.0, 9.0]) == [0.0, 0.0, 0.0]
    assert slopes([], []) == []


def test_equal_sides_count_as_long() -> None:
    assert slopes([2.0, -2.0], [0.0, 10.0]) == [10.0, 0.0]
    assert slopes([-2.0, 2.0], [0.0, 10.0]) == [0.0, 10.0]


def test_a_vanishing_side_has_finite_slopes() -> None:
    # the vega of options far out of the money, hours before they expire
    found = slopes([1e-310, 3e-310, -1.0], [1.0, 2.0, 40.0])
    assert all(math.isfinite(value) for value in found)


# -- contributions ---------------------------------------------------------------------------------------------------------------


def positions_of(found: UnitResult) -> dict[tuple[str | None, str, str | None], LegResult]:
    return {(row.account, row.instrument, row.side): row for row in found.positions}


def test_contributions_of_a_hedged_book_by_hand() -> None:
    # long 3 at 100,000 in USDC, short 2 in USDT: worst at -10 %
    source = document(
        [perpetual("c"), perpetual("t", settle="USDT")], [account("one", [held("c", 3.0)]), account("two", [held("t", -2.0)])]
    )
    rows = positions_of(unit(source))
    spread = BTC * 0.0075
    # of the stablecoin spread each side bears nothing or twice its share: the shorter side is what is hedged
    assert rows["one", "c", None].contribution == pytest.approx(30e3 + 3 * 30.0, rel=1e-12)
    assert rows["two", "t", None].contribution == pytest.approx(-20e3 + 2 * 30.0 + 2 * spread, rel=1e-12)
    assert unit(source).maintenance_margin == pytest.approx(10e3 + 150.0 + 2 * spread, rel=1e-12)


def test_contributions_share_the_gap_of_a_stablecoin_off_its_peg() -> None:
    source = document(
        [perpetual("c"), perpetual("t", BTC / 0.95, settle="USDT")],
        [account("one", [held("c", 3.0)]), account("two", [held("t", -2.0)])],
        fx={"USDC": 1.0, "USDT": 0.95},
    )
    found = unit(source)
    rows = positions_of(found)
    assert rows["two", "t", None].contribution == pytest.approx(-20e3 + 2 * 30.0 + 2 * 0.05 * BTC, rel=1e-12)
    assert math.fsum(row.contribution for row in found.positions) == pytest.approx(found.maintenance_margin, rel=1e-13)


def test_the_worst_scenario_gives_the_contributions() -> None:
    # two legs whose losses are 100 and -60 in the one scenario, 50 and -80 turned in the other: margin 40, shares 100 and -60
    rows = [perpetual("a"), perpetual("b", 150e3)]
    free = {"BTC": {"f_E": 0.0, "f_C": 0.0}}
    source = document(rows, [account("one", [held("a", 1.0), held("b", -0.4)])], overrides=free)
    found = positions_of(unit(source))
    assert found["one", "a", None].contribution == pytest.approx(10e3, rel=1e-13)
    assert found["one", "b", None].contribution == pytest.approx(-6e3, rel=1e-13)


def test_spot_and_collateral_are_rows_of_their_own() -> None:
    balances = [{"asset": "BTC", "total": 3.0, "collateral_ratio": 0.9, "eligible_hedge": True}]
    one = account("one", [held("v:perp", -1.0)], balances=balances, spot_hedging=True)
    found = unit(document([perpetual()], [one], overrides={"BTC": {"f_C": 0.0}}), "house")
    rows = positions_of(found)
    assert set(rows) == {("one", "v:perp", None), (None, "spot:BTC", None), (None, "collateral:BTC", None)}
    assert (rows[None, "spot:BTC", None].quantity, rows[None, "spot:BTC", None].notional) == (1.0, BTC)
    assert (rows[None, "collateral:BTC", None].quantity, rows[None, "collateral:BTC", None].notional) == (2.0, 2 * BTC)
    # at the lowest ordinary node the short wins 15,000, the spot nothing, and 2 coins of collateral at 0.9 lose 27,000
    assert found.worst_price == pytest.approx(-0.15)
    assert rows["one", "v:perp", None].contribution == pytest.approx(-15e3 + 30.0, rel=1e-12)
    assert rows[None, "collateral:BTC", None].contribution == pytest.approx(2.0 * 0.9 * 15e3, rel=1e-12)
    total = math.fsum(row.contribution for row in found.positions)
    assert total == pytest.approx(found.maintenance_margin, rel=1e-13)


def test_an_extreme_worst_node_weighs_the_contributions() -> None:
    overrides = {"BTC": {"extreme_multiple": 5.0, "extreme_weight": 0.5}}
    rows = [perpetual(), option("o", "put", 80e3, iv=0.3)]
    source = document(rows, [account("one", [held("v:perp", 1.0), held("o", -3.0)])], overrides=overrides)
    found = unit(source)
    assert found.worst_price == pytest.approx(-0.5)
    assert found.max_loss > 0.5 * 0.5 * BTC
    assert math.fsum(row.contribution for row in found.positions) == pytest.approx(found.maintenance_margin, rel=1e-12)
    perp = positions_of(found)["one", "v:perp", None]
    slope = found.contingency["delta_spread"]
    assert perp.contribution == pytest.approx(0.5 * 0.5 * BTC + 30.0, abs=slope)


@pytest.mark.parametrize("name", SETS)
def test_contribution_is_the_slope_of_the_margin(name: str) -> None:
    step, compared = 1e-6, 0
    for seed in range(4 if CHECKED else 120):
        source = random_document(random.Random(seed), orders=False, spot=False, accounts=2, text=False)
        coins = {row["id"]: row["coin"] for row in source["instruments"] if row["kind"] != "spot"}
        rows = [
            (owner, row) for owner in source["accounts"] for row in owner["positions"] if row["quantity"] and row["instrument"] in coins
        ]
        if not rows:
            continue
        owner, position = random.Random(seed).choice(rows)
        coin = coins[position["instrument"]]
        quantity, figures = position["quantity"], []
        for factor in (1.0, 1.0 + step, 1.0 - step):
            position["quantity"] = quantity * factor
            figures.append(next((row for row in portfolio_result(stress_book(source, name), "desk").units if row.coin == coin), None))
        whole, more, less = figures
        if whole is None or more is None or less is None or len({one.worst_price for one in (whole, more, less)}) > 1:
            continue
        mine = positions_of(whole)[owner["id"], position["instrument"], position.get("side")]
        slope = (more.maintenance_margin - less.maintenance_margin) / (2.0 * step)
        assert slope == pytest.approx(mine.contribution, rel=1e-4, abs=1e-4 * whole.maintenance_margin + 1e-3)
        compared += 1
    assert compared > (1 if CHECKED else 50)


@settings(max_examples=EXAMPLES // 5)
@given(st.integers(0, 10**9), st.sampled_from(SETS))
def test_contributions_sum_to_the_margin_of_their_unit(seed: int, name: str) -> None:
    source = random_document(random.Random(seed), exact_hedges=True)
    for portfolio in ("desk", "some", "first"):
        for row in portfolio_result(stress_book(source, name), portfolio).units:
            total = math.fsum(leg.contribution for leg in row.positions)
            assert total == pytest.approx(row.maintenance_margin, rel=1e-9, abs=1e-9 * (1.0 + row.maintenance_margin))


# -- standalone and leave-one-out ------------------------------------------------------------------------------------------------


def measured(source: Document, name: str = "uta", portfolio: str = "p") -> PortfolioResult:
    book = stress_book(source, name)
    return with_measures(portfolio_result(book, portfolio), *leg_measures(book, portfolio))


def test_measures_by_hand() -> None:
    rows = [perpetual("a"), perpetual("b", 150e3)]
    free = {"BTC": {"f_E": 0.0, "f_C": 0.0}}
    found = measured(document(rows, [account("one", [held("a", 1.0), held("b", -0.4)])], overrides=free))
    legs = positions_of(found.units[0])
    assert [legs["one", name, None].standalone for name in "ab"] == pytest.approx([10e3, 6e3], rel=1e-13)
    # without the long the margin is 6,000 instead of 4,000; without the short 10,000
    assert [legs["one", name, None].leave_one_out for name in "ab"] == pytest.approx([-2e3, -6e3], rel=1e-12)
    assert number(found.hedge_benefit) == pytest.approx(16e3 - 4e3, rel=1e-13)


def test_a_leg_takes_its_orders_along() -> None:
    orders = [{"instrument": "v:perp", "quantity": 2.0, "limit_price": 101e3}]
    found = measured(document([perpetual()], [account("one", [held("v:perp", 1.0)], orders=orders)]))
    (leg,) = found.units[0].positions
    whole = 3.0 * (10e3 + 30.0) + 2.0 * 1e3
    assert number(found.maintenance_margin) == pytest.approx(whole, rel=1e-13)
    assert [number(leg.standalone), number(leg.leave_one_out)] == pytest.approx([whole, whole], rel=1e-13)


def test_a_leg_alone_has_no_spot_and_no_debts() -> None:
    balances = [{"asset": "BTC", "total": 1.0, "eligible_hedge": True}]
    debts = [{"asset": "USDC", "amount": 1e6}]
    source = document([perpetual()], [account("one", [held("v:perp", -1.0)], balances=balances, debts=debts, spot_hedging=True)])
    found = measured(source)
    (leg,) = (row for row in found.units[0].positions if row.account)
    assert number(leg.standalone) == pytest.approx(10_030.0, rel=1e-13)
    # hedged by the spot the short costs its contingencies only
    assert number(leg.leave_one_out) == pytest.approx(30.0 + found.units[0].contingency["spot_basis"], rel=1e-9)
    assert found.hedge_benefit == pytest.approx(10_030.0 - number(found.maintenance_margin), rel=1e-12)


def _small(seed: int) -> Document:
    kinds: tuple[dict[str, Any], ...] = (
        {}, {"exact_hedges": True}, {"coins": ("BTC",), "positions": 6}, {"overrides": False}, {"outcomes": True, "positions": 6},
    )  # fmt: skip
    return random_document(random.Random(seed), **({"accounts": 2, "positions": 3} | kinds[seed % len(kinds)]))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("first", range(0, 2 if CHECKED else 40, 2 if CHECKED else 10))
def test_measures_equal_the_reference(first: int, name: str) -> None:
    legs = 0
    for seed in range(first, first + (1 if CHECKED else 10)):
        source = _small(seed)
        book = stress_book(source, name)
        whole = portfolio_result(book, "desk").maintenance_margin
        alone, without = leg_measures(book, "desk")
        scale = 1e-10 * (1.0 + number(whole))
        for ours, theirs in (
            (alone, margin_model.standalone(source, REFERENCE[name], "desk")),
            (without, margin_model.leave_one_out(source, REFERENCE[name], "desk")),
        ):
            assert ours.keys() == theirs.keys()
            for key, value in ours.items():
                assert value == pytest.approx(number(theirs[key]), rel=1e-10, abs=scale), key
        legs += len(alone)
        assert portfolio_result(book, "desk").maintenance_margin == whole, "the book itself is left alone"
    assert legs > 0


def test_measures_leave_the_book_as_it_was() -> None:
    source = _small(4)
    book = stress_book(source, "house")
    before = {name: repr(array.tolist()) for name, array in book.tables.book._asdict().items()}
    leg_measures(book, "desk")
    for name, array in book.tables.book._asdict().items():
        assert repr(array.tolist()) == before[name], name


# -- a share of a position -------------------------------------------------------------------------------------------------------


def rows_of(book: StressBook, portfolio: str) -> Iterator[tuple[LegName, int]]:
    """((account, instrument, side), row) of every leg."""
    for (owner, name, instrument, side), leg in book.accounts.legs.rows.items():
        if owner == book.accounts.portfolios[portfolio]:
            yield (name, book.market.listed[instrument].id, side or None), leg


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("first", range(0, 2 if CHECKED else 40, 2 if CHECKED else 10))
def test_a_share_traded_away_equals_the_reference(first: int, name: str) -> None:
    compared = 0
    for seed in range(first, first + (2 if CHECKED else 10)):
        source = _small(seed)
        book = stress_book(source, name)
        kernel = copied(book.tables.book)
        legs = dict(rows_of(book, "desk"))
        for owner, position in legs_of(source):
            quantity, share = float(position["quantity"]), random.Random(seed).choice((0.25, 0.999, 1.0))
            leg = legs.get((owner["id"], position["instrument"], position.get("side")))
            if leg is None or quantity == 0.0:
                continue
            after = attribution.margin_after(share, leg, kernel)
            told, position["quantity"] = position["quantity"], (1.0 - share) * quantity
            wanted = margin_model.evaluate(source, REFERENCE[name])["desk"]["maintenance_margin"]
            position["quantity"] = told
            assert after == pytest.approx(number(wanted), rel=1e-10, abs=1e-9), (seed, position)
            compared += 1
    assert compared > 0


def least(source: Document, allowed: float, instrument: str = "v:perp") -> float:
    """The share of a position of account "one" to trade away; the copy that is tried on has to come back as it was."""
    book = stress_book(source)
    kernel = copied(book.tables.book)
    leg = next(row for key, row in rows_of(book, "p") if key[1] == instrument)
    found = attribution.least_share(leg, allowed, 100, kernel)
    assert kernel.legs["quantity"].tolist() == book.tables.book.legs["quantity"].tolist()
    margins = (copy.portfolios["maintenance"].tolist() for copy in (kernel, book.tables.book))
    assert next(margins) == pytest.approx(next(margins), rel=1e-14)
    return found


def test_the_least_share_by_hand() -> None:
    # 10,030 USD a coin
    assert least(single(perpetual(), 2.0), 15_045.0) == pytest.approx(0.25, rel=1e-11)
    assert least(single(perpetual(), -2.0), 10.030) == pytest.approx(0.9995, rel=1e-11)
    assert least(single(perpetual(), 2.0), 0.0) == 1.0
    assert math.isnan(least(single(perpetual(), 2.0), -1.0))
    # orders stay: 1 coin to buy beside what is left, or 3 to sell, of which the position takes up 2 while it is whole
    orders = [{"instrument": "v:perp", "quantity": 1.0, "limit_price": BTC}]
    assert least(single(perpetual(), 2.0, orders=orders), 20_060.0) == pytest.approx(0.5, rel=1e-11)
    assert math.isnan(least(single(perpetual(), 2.0, orders=orders), 10_029.0))
    orders = [{"instrument": "v:perp", "quantity": -3.0, "limit_price": BTC}]
    assert least(single(perpetual(), 2.0, orders=orders), 17_051.0) == pytest.approx(0.15, rel=1e-11)


def test_a_hedge_suffices_in_part_and_the_first_share_that_does_counts() -> None:
    # short 3 against long 2 in one currency: the net, 1 at first, is 0.1 at a share of 0.3 of the short, and 2 without it
    rows = [perpetual("a"), perpetual("b")]
    source = document(rows, [account("one", [held("a", 2.0), held("b", -3.0)])], overrides={"BTC": {"f_E": 0.0}})
    assert margin(source) == pytest.approx(10_000.0)
    assert least(source, 1_000.0, "b") == pytest.approx(0.3, rel=1e-11)
    assert math.isnan(least(source, 1_000.0, "a"))


def test_at_a_corner_the_branches_are_fixed() -> None:
    # perpetuals that mirror each other: nothing is left on either side, and contributions are those of the branch taken
    source = document(
        [perpetual("c"), future("f", 30 * DAY_S, settle="USDT")],
        [account("one", [held("c", 2.0)]), account("two", [held("f", -2.0)])],
    )
    rows = positions_of(unit(source))
    assert unit(source).max_loss == 0.0
    charges = unit(source).contingency
    assert rows["one", "c", None].contribution == pytest.approx(60.0 + charges["delta_spread"] + charges["stablecoin_spread"] / 2, rel=1e-9)
    assert rows["two", "f", None].contribution == pytest.approx(60.0 + charges["stablecoin_spread"] / 2, rel=1e-9)


def test_tiny_moves_of_a_book_without_corners_move_contributions_little() -> None:
    moved = 0
    for seed in range(3 if CHECKED else 30):
        source = random_document(random.Random(seed), text=False, overrides=False, spot=False, orders=False)
        nearby = deepcopy(source)
        for listed in nearby["instruments"]:
            listed |= {key: listed[key] * (1.0 + 1e-12) for key in ("mark", "forward") if listed.get(key)}
        wanted = {row["coin"]: row for row in margin_model.evaluate(source, REFERENCE["house"])["desk"]["units"]}
        for one in portfolio_result(stress_book(source, "house"), "desk").units:
            other = next(row for row in portfolio_result(stress_book(nearby, "house"), "desk").units if row.coin == one.coin)
            if is_at_a_kink(one, wanted[one.coin]):
                continue
            for row, leg in positions_of(one).items():
                assert positions_of(other)[row].contribution == pytest.approx(leg.contribution, abs=1e-8 * (1.0 + one.maintenance_margin))
                moved += 1
    assert moved > 0
