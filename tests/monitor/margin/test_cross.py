"""The position-by-position comparator: each leg at its own rule, nothing netted, and what offsets save."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from kernels import layout
from monitor.margin.cross import (
    LONG_OPTION,
    SHORT_OPTION,
    TIER,
    CrossResult,
    cross_result,
    long_option_order_cost,
    saving,
    short_option_margin,
    tier_margin,
)
from monitor.margin.failures import failure_of
from monitor.margin.portfolio import portfolio_result
from monitor.margin.result import Level
from monitor.stress.cross_totals import CrossTotals
from tests.kernels.stress_books import account, document, future, held, number, option, perpetual, stress_book
from tests.reference.black76 import black76
from tests.reference.books import Document, random_document
from tests.reference.market import Market, lacking, quote
from tests.reference.snapshot import Leg, parse
from tests.reference.venue_rules import short_option_cross

TIERS = [[0, 0.0125, 0], [150e6, 0.025, 1_875_000]]
YEAR_S = 365 * 86_400


def cross(source: Document, portfolio: str = "p") -> CrossResult:
    book = stress_book(source)
    found = cross_result(book, portfolio)
    # what every tick sums must be what is explained here
    told = CrossTotals(book).margins(book.accounts.portfolios[portfolio])
    if found.maintenance_margin is None:
        assert told.status != layout.OK
    else:
        assert told.status == layout.OK
        assert (told.maintenance_margin, told.initial_margin) == pytest.approx(margins(found), rel=1e-12, abs=1e-9)
    return found


def margins(found: CrossResult) -> tuple[float | None, float | None]:
    return found.maintenance_margin, found.initial_margin


def reasons(found: CrossResult) -> list[str]:
    return sorted(str(failure.reason) for failure in found.failures)


def btc(name: str = "v:perp", **more: Any) -> Document:
    return perpetual(name, **{"tiers": TIERS, "max_leverage": 40, **more})


def one(position: Document, instrument: Document, **more: Any) -> Document:
    return document([instrument], [account(positions=[position])], **more)


# -- rules ---------------------------------------------------------------------------------------------------------------------


def test_a_short_option_as_published(recordings: Path) -> None:
    examples = json.loads((recordings.parent / "golden" / "uta_examples.json").read_text(encoding="utf-8"))["examples"]
    (example,) = [row for row in examples if row["id"] == "BYBIT-11"]
    given, expected = example["inputs"], example["expected"]
    terms = (given["index"], given["strike"], given["cp"] == "C", given["mark"], given["entry"], given["qty"])
    assert short_option_margin(*terms) == pytest.approx((expected["MM"], expected["IM"]), abs=1e-6)


def test_an_order_to_buy_an_option_ties_up_premium_and_fee() -> None:
    # 0.03 % of the index, 12.6, unless an eighth of the price is less
    assert long_option_order_cost(3_500.0, 0.3, 42_000.0, 0.0003, 0.125) == pytest.approx((1_050.0, 0.3 * 12.6), rel=1e-15)
    assert long_option_order_cost(40.0, 2.0, 42_000.0, 0.0003, 0.125) == pytest.approx((80.0, 2.0 * 5.0), rel=1e-15)


@pytest.mark.parametrize("seed", range(50))
def test_a_short_option_as_the_reference_has_it(seed: int) -> None:
    rng = random.Random(seed)
    index = rng.uniform(1.0, 1e5)
    terms = (index, index * rng.uniform(0.3, 3.0), rng.random() < 0.5, index * rng.uniform(0.0, 2.0), index * rng.uniform(0.0, 2.0))
    quantity = -rng.uniform(0.1, 9.0)
    assert short_option_margin(*terms, quantity) == pytest.approx(short_option_cross(*terms, quantity), rel=1e-14)


def test_a_deep_short_option_needs_at_least_its_maintenance_at_the_start() -> None:
    # 3 % of a mark of ten times the index is more than 15 % of the index
    maintenance, initial = short_option_margin(100.0, 1_100.0, False, 1_000.0, 0.0, -2.0)
    assert maintenance == pytest.approx(2 * (30.0 + 1_000.0 + 0.2))
    assert initial == maintenance


@pytest.mark.parametrize(
    ("notional", "leverage", "expected"),
    [
        (0.0, 40, (0.0, 0.0)),
        (1e6, 40, (12_500.0, 25_000.0)),
        (1e6, 20, (12_500.0, 50_000.0)),
        (1e6, None, (12_500.0, 25_000.0)),
        (1e6, 200, (12_500.0, 12_500.0)),
        # the venue's own example 10.1, and the leverage of its second tier: 20
        (300e6, 40, (5_625_000.0, 15_000_000.0)),
        (300e6, None, (5_625_000.0, 15_000_000.0)),
        (150e6, 40, (1_875_000.0, 7_500_000.0)),
    ],
)
def test_a_tier(notional: float, leverage: float | None, expected: tuple[float, float]) -> None:
    assert tier_margin(notional, [(bound, rate, deduction) for bound, rate, deduction in TIERS], leverage) == pytest.approx(expected)


def test_a_first_tier_without_margin_still_asks_for_initial_margin_above_it() -> None:
    free = ((0.0, 0.0, 0.0), (1_000.0, 0.05, 50.0))
    assert tier_margin(500.0, free, 10.0) == (0.0, 0.0)
    assert tier_margin(2_000.0, free, 10.0) == pytest.approx((50.0, 200.0))


# -- portfolios ----------------------------------------------------------------------------------------------------------------


def test_a_linear_leg() -> None:
    found = cross(one(held("v:perp", -20.0), btc(mark=99_000.0), fx={"USDC": 1.01}))
    (row,) = found.rows
    notional = 20.0 * 99_000.0 * 1.01
    assert (row.account, row.instrument, row.side, row.quantity, row.rule) == ("one", "v:perp", None, -20.0, TIER)
    assert row.notional == pytest.approx(notional)
    assert margins(found) == pytest.approx((0.0125 * notional, notional / 40))
    assert number(found.margin_ratio) == pytest.approx(0.0125 * notional / 1e6)
    assert number(found.excess) == pytest.approx(1e6 - 0.0125 * notional)
    assert (found.portfolio, found.method, found.level, found.failures) == ("p", "cross", Level.OK, ())


def test_an_inverse_leg_is_its_usd_notional() -> None:
    instrument = btc("v:inverse", settle="BTC", inverse=True, mark=90_000.0)
    found = cross(one(held("v:inverse", -2e6, entry=95_000.0), instrument))
    assert margins(found) == pytest.approx((25_000.0, 50_000.0))
    assert found.rows[0].notional == 2e6


def test_legs_of_accounts_and_of_sides_are_never_netted() -> None:
    alone = number(cross(one(held("v:perp", 10.0), btc())).maintenance_margin)
    accounts = [account("one", [held("v:perp", 10.0)]), account("two", [held("v:perp", -10.0)])]
    sides = [account("one", [held("v:perp", 10.0, side="long"), held("v:perp", -10.0, side="short")])]
    for both in (accounts, sides):
        found = cross(document([btc()], both))
        assert found.maintenance_margin == pytest.approx(2 * alone)
    assert [row.side for row in cross(document([btc()], sides)).rows] == ["long", "short"]
    # 150 M each, and each by itself stays in the first tier
    large = [account("one", [held("v:perp", 1_000.0)]), account("two", [held("v:perp", 1_000.0)])]
    assert cross(document([btc()], large)).maintenance_margin == pytest.approx(2 * 1e8 * 0.0125)


def test_orders_do_not_count() -> None:
    orders = [{"instrument": name, "quantity": 5.0, "limit_price": 99_000.0} for name in ("v:perp", "v:other")]
    instruments = [btc(), btc("v:other")]
    with_orders = document(instruments, [account(positions=[held("v:perp", 10.0)], orders=orders)])
    without = document(instruments, [account(positions=[held("v:perp", 10.0)])])
    assert cross(with_orders) == cross(without)
    assert len(cross(with_orders).rows) == 1


def test_a_long_option_needs_nothing_and_a_short_one_its_rule() -> None:
    source = document(
        [option("v:call", "call", 110_000.0), option("v:put", "put", 80_000.0, settle="USDT", forward=101_000.0, iv=0.7)],
        [account(positions=[held("v:call", 3.0), held("v:put", -4.0, entry=2_500.0)])],
        fx={"USDC": 1.0, "USDT": 0.99},
    )
    found = cross(source)
    call, put = found.rows
    base = black76(101_000.0, 80_000.0, 0.7, 30 * 86_400 / YEAR_S, False)
    assert (call.maintenance_margin, call.initial_margin, call.rule) == (0.0, 0.0, LONG_OPTION)
    assert (put.maintenance_margin, put.initial_margin) == pytest.approx(
        short_option_cross(100_000.0, 80_000.0, False, base * 0.99, 2_500.0 * 0.99, -4.0), rel=1e-9
    )
    assert put.rule == SHORT_OPTION
    assert margins(found) == pytest.approx((put.maintenance_margin, put.initial_margin))


def test_a_coin_of_a_hundred_thousandth_of_a_dollar() -> None:
    instrument = option("v:put", "put", 1e-5, coin="PEPE", forward=1e-5)
    found = cross(one(held("v:put", -1e9), instrument, index={"PEPE": 1e-5}))
    base = black76(1e-5, 1e-5, 0.5, 30 * 86_400 / YEAR_S, False)
    assert found.maintenance_margin == pytest.approx(1e9 * (0.032 * 1e-5 + base), rel=1e-9)


def test_the_entry_of_a_coin_settled_option_is_in_its_coin() -> None:
    instrument = option("v:put", "put", 80_000.0, settle="BTC", forward=101_000.0)
    found = cross(one(held("v:put", -1.0, entry=0.05), instrument))
    # 15 % of the index less what it is out of the money is below 10 %; the entry of 5,050 USD above the mark
    assert found.initial_margin == pytest.approx(10_000.0 + 0.05 * 101_000.0)


def test_the_margin_of_each_leg_adds_up() -> None:
    instruments = [btc(), future("v:future", 40 * 86_400, tiers=[[0, 0.02, 0]]), option("v:call", "call", 120_000.0)]
    found = cross(document(instruments, [account(positions=[held("v:perp", 3.0), held("v:future", -3.0), held("v:call", -2.0)])]))
    assert number(found.maintenance_margin) == pytest.approx(sum(number(row.maintenance_margin) for row in found.rows))
    assert number(found.initial_margin) == pytest.approx(sum(number(row.initial_margin) for row in found.rows))
    assert len(found.rows) == 3


def leg_margin(leg: Leg, market: Market, tiers: dict[str, list[list[float]]]) -> float:
    quoted = quote(leg.instrument, market, "model")
    if not quoted.is_option:
        notional = abs(quoted.signed_notional(leg.quantity))
        return max(notional * rate - deduction for _, rate, deduction in tiers[leg.instrument.id])
    if leg.quantity >= 0:
        return 0.0
    in_coin = leg.instrument.settle == leg.instrument.coin
    entry = (leg.entry or 0.0) * (quoted.forward if in_coin else quoted.fx)
    terms = (quoted.index, leg.instrument.strike, leg.instrument.call, quoted.base * quoted.fx, entry, leg.quantity)
    return short_option_cross(*terms)[0]


@pytest.mark.parametrize("seed", range(40))
def test_random_books_leg_by_leg(seed: int) -> None:
    rng = random.Random(seed)
    source = random_document(rng, text=False, failures=seed % 4 == 3)
    tiers: dict[str, list[list[float]]] = {}
    for row in source["instruments"]:
        if row["kind"] in ("perpetual", "future"):
            # a convex table, so that the tier in force is the one that asks for most
            rate, bound = rng.uniform(0.003, 0.05), 10 ** rng.uniform(3.0, 6.0)
            row["tiers"] = tiers[row["id"]] = [[0.0, rate, 0.0], [bound, 2 * rate, bound * rate]]
    book, market = parse(source), Market(parse(source))
    for name, accounts in book.portfolios.items():
        legs = [leg for held_by in accounts for leg in held_by.legs if leg.quantity != 0]
        ours = cross(source, name)
        if any(failure for leg in legs for failure in lacking(leg.instrument, market)):
            assert ours.margin_ratio is None
            assert ours.failures
            continue
        assert len(ours.rows) == len(legs)
        expected = math.fsum(leg_margin(leg, market, tiers) for leg in legs)
        assert ours.maintenance_margin == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert number(ours.initial_margin) >= number(ours.maintenance_margin) * (1 - 1e-12)
        stress = portfolio_result(stress_book(source), name)
        assert ours.equity == stress.equity


# -- failures ------------------------------------------------------------------------------------------------------------------


def test_a_linear_leg_without_tiers_is_a_failure_that_names_it() -> None:
    found = cross(document([btc(), perpetual("v:bare")], [account(positions=[held("v:perp", 1.0), held("v:bare", 1.0)])]))
    assert reasons(found) == ["UNKNOWN_TIER"]
    assert "v:bare" in found.failures[0].detail
    assert margins(found) == (None, None)
    assert (found.margin_ratio, found.excess, found.level) == (None, None, Level.OK)
    assert found.equity == pytest.approx(1e6)
    bare, known = found.rows
    assert (bare.maintenance_margin, known.maintenance_margin) == (None, 1_250.0)


@pytest.mark.parametrize(
    ("instrument", "quantity", "more", "expected"),
    [
        (btc(mark=None), 1.0, {}, "MISSING_MARK"),
        (btc(), 1.0, {"fx": {}}, "MISSING_FX"),
        (option("v:perp", "call", 1e5, iv=None), -1.0, {}, "MISSING_IV"),
        (option("v:perp", "call", 1e5, iv=None), 1.0, {}, "MISSING_IV"),
        (option("v:perp", "call", 1e5, forward=None), -1.0, {}, "MISSING_FORWARD"),
        (option("v:perp", "call", 1e5), -1.0, {"index": {}}, "MISSING_INDEX"),
    ],
)
def test_what_a_leg_lacks(instrument: Document, quantity: float, more: Document, expected: str) -> None:
    found = cross(one(held("v:perp", quantity), instrument, **more))
    assert reasons(found) == [expected]
    named = {"MISSING_FX": "USDC", "MISSING_INDEX": "BTC"}.get(expected, "v:perp")
    assert all(named in failure.detail for failure in found.failures)
    assert found.margin_ratio is None
    long_option = instrument["kind"] == "option" and quantity > 0
    assert found.maintenance_margin == (0.0 if long_option else None)


def test_an_index_is_no_need_of_linear_margins_but_of_equity() -> None:
    found = cross(one(held("v:perp", 1.0), btc(), index={}))
    assert found.maintenance_margin == pytest.approx(1_250.0)
    assert (found.equity, found.margin_ratio, reasons(found)) == (None, None, ["MISSING_INDEX"])
    assert "BTC" in found.failures[0].detail


def test_a_missing_equity_alone_keeps_the_margins() -> None:
    found = cross(document([btc()], [account(positions=[held("v:perp", 1.0)], equity=None)]))
    assert found.maintenance_margin == pytest.approx(1_250.0)
    assert (found.equity, found.margin_ratio, reasons(found)) == (None, None, ["MISSING_ENTRY"])


def test_a_balance_without_a_price_fails_a_computed_equity() -> None:
    balances = [{"asset": "ETH", "total": 1.0, "collateral_ratio": 0.9}]
    found = cross(document([btc()], [account(positions=[held("v:perp", 1.0, entry=9e4)], equity=None, balances=balances)]))
    assert (found.equity, reasons(found)) == (None, ["MISSING_INDEX"])


def test_every_status_of_the_kernels_has_a_failure() -> None:
    assert {str(failure_of(status, "x").reason) for status in range(1, 8)} == {
        "MISSING_MARK", "MISSING_INDEX", "MISSING_FX", "MISSING_FORWARD", "MISSING_IV", "MISSING_ENTRY", "NOT_READY",
    }  # fmt: skip


@pytest.mark.parametrize(("equity", "ratio", "level"), [(0.0, math.inf, Level.BREACH), (-5.0, math.inf, Level.BREACH)])
def test_without_equity_the_ratio_is_infinite(equity: float, ratio: float, level: Level) -> None:
    found = cross(document([btc()], [account(positions=[held("v:perp", 1.0)], equity=equity)]))
    assert (found.margin_ratio, found.level) == (ratio, level)


@pytest.mark.parametrize(
    ("equity", "level"), [(1_250.0 / 0.86, Level.WARNING), (1_250.0 / 0.91, Level.CRITICAL), (1_249.0, Level.BREACH), (2e3, Level.OK)]
)
def test_the_level_is_a_breach_and_never_a_liquidation(equity: float, level: Level) -> None:
    assert cross(document([btc()], [account(positions=[held("v:perp", 1.0)], equity=equity)])).level is level


def test_a_portfolio_without_positions_has_ratio_zero() -> None:
    found = cross(document([btc()], [account()]))
    assert (margins(found), found.margin_ratio, found.rows) == ((0.0, 0.0), 0.0, ())


def test_an_unknown_portfolio() -> None:
    with pytest.raises(KeyError):
        cross(document([btc()], [account()]), "nobody")


# -- saving --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("portfolio", "comparator", "expected"),
    [(250.0, 1_000.0, 0.75), (1_500.0, 1_000.0, -0.5), (0.0, 1_000.0, 1.0), (None, 1.0, None), (1.0, None, None), (1.0, 0.0, None)],
)
def test_saving(portfolio: float | None, comparator: float | None, expected: float | None) -> None:
    assert saving(portfolio, comparator) == expected


def test_a_hedge_saves_what_the_offset_is_worth() -> None:
    source = document([btc()], [account("one", [held("v:perp", 10.0)]), account("two", [held("v:perp", -10.0)])])
    book = stress_book(source)
    # section 11: 600 for ten against ten, and 12,500 for each leg by itself
    assert saving(portfolio_result(book, "p").maintenance_margin, cross_result(book, "p").maintenance_margin) == pytest.approx(
        1 - 600.0 / 25_000.0
    )
