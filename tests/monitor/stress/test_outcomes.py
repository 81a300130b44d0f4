"""Outcomes (digital options) in a stress book: worth and stressed as quantity * N(d2), paid in full, beside what they hedge."""

from __future__ import annotations

import math
from typing import Any

import pytest

from connectors.events import Forwards, Volatilities
from monitor.margin.cross import OUTCOME, cross_result
from monitor.margin.portfolio import portfolio_result
from monitor.margin.portfolio_measures import portfolio_distances
from tests.kernels.stress_books import (
    BTC,
    DAY_S,
    NOON_S,
    account,
    document,
    held,
    number,
    option,
    outcome,
    perpetual,
    reasons,
    result,
    single,
    stress_book,
    unit,
)
from tests.reference import margin_model
from tests.reference.black76 import digital, digital_greeks

YEARS = 0.5 / 365
KINDS = pytest.mark.parametrize("kind", ["call", "put"])


def n_d2(strike: float, kind: str = "call", *, forward: float = BTC, sigma: float = 0.5, years: float = YEARS) -> float:
    return digital(forward, strike, sigma, years, kind == "call")


# -- what it is worth, and what a scenario does to it ------------------------------------------------------------------------


def test_the_worked_example_of_the_notes() -> None:
    listed = outcome("yes", "call", 64_306.0, forward=65_000.0, iv=0.35)
    found = result(single(listed, 10_000.0, equity=None, index={"BTC": 65_000.0}))
    assert found.equity == pytest.approx(7_945.0, abs=0.5)
    assert found.units[0].vega / 100 == pytest.approx(-68.0, abs=0.5)


@KINDS
@pytest.mark.parametrize("fx", [1.0, 0.97])
def test_scenarios_are_n_d2_at_the_shocked_forward_and_volatility(kind: str, fx: float) -> None:
    found = unit(single(outcome("o", kind, 99e3), -300.0, fx={"USDC": fx}))
    base = n_d2(99e3, kind)
    for node, shock in enumerate(found.price_nodes):
        for row, change in enumerate((0.24, 0.0, -0.20)):
            sigma = 0.5 * (1.0 + change * 30.0**0.3) if change else 0.5
            wanted = -300.0 * fx * (n_d2(99e3, kind, forward=BTC * (1.0 + shock), sigma=sigma) - base)
            assert found.option[row][node] == pytest.approx(wanted, rel=1e-10, abs=1e-9)
    delta, gamma, vega = digital_greeks(BTC, 99e3, 0.5, YEARS, kind == "call")
    assert (found.delta, found.gamma, found.vega) == pytest.approx((-300.0 * delta, -300.0 * gamma, -300.0 * vega * fx), rel=1e-10)
    assert found.linear == (0.0,) * 11


@KINDS
def test_price_shocks_fade_before_expiry_as_those_of_options(kind: str) -> None:
    found = unit(single(outcome("o", kind, 101e3, 900), 1.0))
    years, base = 900 / (365 * DAY_S), n_d2(101e3, kind, years=900 / (365 * DAY_S))
    wanted = [n_d2(101e3, kind, forward=BTC * (1.0 + 0.5 * shock), years=years) - base for shock in found.price_nodes]
    assert found.option[1] == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("seconds", [0, -60])
@pytest.mark.parametrize(("strike", "kind", "pays"), [(99e3, "call", 1), (BTC, "call", 0), (BTC, "put", 1), (101e3, "call", 0)])
def test_at_expiry_it_is_what_it_pays(seconds: int, strike: float, kind: str, pays: int) -> None:
    found = result(single(outcome("o", kind, strike, seconds, iv=None), 100.0, equity=None))
    assert found.equity == 100.0 * pays
    assert (found.units[0].delta, found.units[0].gamma, found.units[0].vega, found.units[0].max_loss) == (0.0, 0.0, 0.0, 0.0)


def test_with_the_mark_as_base_it_is_worth_its_mark() -> None:
    source = single(outcome("o", "call", 99e3, mark=0.6), 100.0, equity=None, overrides={"BTC": {"option_base": "mark"}})
    found = result(source)
    assert found.equity == pytest.approx(60.0)
    assert found.units[0].option[1][0] == pytest.approx(100.0 * (n_d2(99e3, forward=0.9 * BTC) - 0.6))
    assert found.units[0].delta == pytest.approx(100.0 * digital_greeks(BTC, 99e3, 0.5, YEARS, True)[0])


# -- what it pays, and what not -----------------------------------------------------------------------------------------------


def test_one_yes_and_one_no_are_one_dollar_whatever_happens() -> None:
    rows = [outcome("yes", "call", 99e3), outcome("no", "put", 99e3)]
    found = result(document(rows, [account("one", [held("yes", 500.0), held("no", 500.0)], equity=None)]), "house")
    assert found.equity == pytest.approx(500.0, abs=1e-12)
    assert found.units[0].max_loss == pytest.approx(0.0, abs=1e-10)
    assert (found.units[0].delta, found.units[0].vega) == pytest.approx((0.0, 0.0), abs=1e-12)


@KINDS
def test_none_that_is_held_long_loses_more_than_it_is_worth(kind: str) -> None:
    found = result(single(outcome("o", kind, 100.5e3, 3_600), 1_000.0, equity=None), "house")
    assert found.units[0].max_loss == pytest.approx(found.equity, rel=1e-6)
    assert found.units[0].max_loss <= number(found.equity)


@pytest.mark.parametrize("quantity", [1_000.0, -1_000.0])
@KINDS
def test_it_pays_neither_for_short_options_nor_on_perpetuals(kind: str, quantity: float) -> None:
    charges = unit(single(outcome("o", kind, 99e3), quantity)).contingency
    assert (charges["short_option"], charges["perpetual_future"]) == (0.0, 0.0)


def test_it_does_not_net_with_short_options_of_its_date() -> None:
    rows = [option("short", "call", 105e3, DAY_S // 2), outcome("yes", "call", 99e3)]
    alone = unit(document(rows, [account("one", [held("short", -2.0)])])).contingency["short_option"]
    beside = unit(document(rows, [account("one", [held("short", -2.0), held("yes", 5.0)])])).contingency["short_option"]
    assert alone == beside == pytest.approx(2.0 * BTC * 0.015)


def test_a_bucket_is_a_spread_of_two() -> None:
    rows = [outcome("low", "call", 99e3), outcome("high", "call", 101e3), outcome("below", "put", 99e3)]
    yes = result(document(rows, [account("one", [held("low", 100.0), held("high", -100.0)], equity=None)]))
    no = result(document(rows, [account("one", [held("below", 100.0), held("high", 100.0)], equity=None)]))
    assert number(yes.equity) + number(no.equity) == pytest.approx(100.0)
    assert yes.units[0].max_loss == pytest.approx(yes.equity, rel=0.2)
    assert yes.units[0].delta == pytest.approx(-no.units[0].delta)


def test_a_hedged_outcome_needs_less_than_its_parts() -> None:
    delta = digital_greeks(BTC, 99e3, 0.5, YEARS, True)[0]
    rows = [outcome("yes", "call", 99e3), perpetual("perp")]
    positions = [held("yes", 50_000.0), held("perp", -50_000.0 * delta)]
    both = unit(document(rows, [account("one", positions)]))
    parts = [unit(document(rows, [account("one", [one])])).max_loss for one in positions]
    assert both.delta == pytest.approx(0.0, abs=1e-9)
    assert both.max_loss < 0.7 * sum(parts)


def test_its_coin_quantity_is_its_delta_where_quantities_are_weighed() -> None:
    # contingency D2 weighs the basis of legs: a contract of one dollar is not one coin
    rows = [perpetual("perp", 1.02 * BTC), outcome("o", "call", 120e3, 30 * DAY_S)]
    balance = {"asset": "BTC", "total": 5.0, "collateral_ratio": 1.0, "eligible_hedge": True}
    spot: dict[str, Any] = {"balances": [balance], "spot_hedging": True}
    plain = unit(document(rows, [account("one", [held("perp", -5.0)], **spot)])).contingency["spot_basis"]
    beside = unit(document(rows, [account("one", [held("perp", -5.0), held("o", 100.0)], **spot)])).contingency["spot_basis"]
    assert beside == pytest.approx(plain, rel=1e-2)
    assert beside < plain


# -- liquidity, notional, the comparator ----------------------------------------------------------------------------------------


def test_liquidity_is_on_its_delta_notional_and_at_most_its_value() -> None:
    delta = digital_greeks(BTC, BTC, 0.5, 60 / (365 * DAY_S), True)[0]
    near = single(outcome("o", "call", BTC, 60), 1_000.0, equity=None)
    found = result(near, "house")
    assert found.gross_notional == pytest.approx(1_000.0 * delta * BTC, rel=1e-10)
    assert found.liquidity == pytest.approx(1_000.0 * n_d2(BTC, years=60 / (365 * DAY_S)), rel=1e-12)
    assert found.at_cap == 1
    far = digital_greeks(BTC, 101e3, 0.5, YEARS, True)[0]
    small = result(single(outcome("o", "call", 101e3), -1_000.0, volume_24h_usd={"o": 1e12}, daily_volatility={"BTC": 0.02}), "house")
    gross = 1_000.0 * far * BTC
    assert small.liquidity == pytest.approx(gross * 0.02 * math.sqrt(gross / (0.5 * 1e12)), rel=1e-10)


@pytest.mark.parametrize(("long", "short"), [(0.0, 1_000.0), (400.0, 1_000.0), (1_000.0, 1_000.0)])
def test_liquidity_of_what_is_held_short_is_at_most_what_is_missing_to_one(long: float, short: float) -> None:
    # two legs of one instrument are charged gross, and so is what they can lose
    rows = [outcome("o", "call", 101e3, 60 * 60)]
    accounts = [account("one", [held("o", -short)]), account("two", [held("o", long)] if long else [])]
    source = document(rows, accounts, fx={"USDC": 0.99})
    value = n_d2(101e3, years=3600 / (365 * DAY_S))
    missing = 0.99 * (short * (1.0 - value) + long * value)
    delta = digital_greeks(BTC, 101e3, 0.5, 3600 / (365 * DAY_S), True)[0]
    assert missing < 0.1 * (short + long) * delta * BTC * 0.99, "the cap must bind"
    assert result(source, "house").liquidity == pytest.approx(missing, rel=1e-10)
    assert margin_model.evaluate(source, margin_model.HOUSE)["p"]["liquidity"] == pytest.approx(missing, rel=1e-10)


def test_an_option_held_short_has_no_such_bound() -> None:
    short = result(single(option("o", "call", BTC, 60), -1_000.0), "house")
    assert short.liquidity == pytest.approx(0.1 * number(short.gross_notional), rel=1e-12)


def test_position_by_position_it_needs_no_margin() -> None:
    rows = [perpetual("perp", tiers=[[0, 0.01, 0]]), outcome("yes", "call", 99e3)]
    book = stress_book(document(rows, [account("one", [held("perp", 1.0), held("yes", -100.0)])]))
    found = cross_result(book, "p")
    assert found.failures == ()
    assert found.maintenance_margin == pytest.approx(1_000.0)
    row = next(row for row in found.rows if row.instrument == "yes")
    assert (row.rule, row.maintenance_margin, row.initial_margin) == (OUTCOME, 0.0, 0.0)
    assert row.notional == pytest.approx(100.0 * digital_greeks(BTC, 99e3, 0.5, YEARS, True)[0] * BTC)


def test_buying_what_pays_below_is_an_order_that_sells_delta() -> None:
    rows = [outcome("yes", "call", 99e3), outcome("no", "put", 99e3)]
    for name, group in (("yes", "buy_orders"), ("no", "sell_orders")):
        order = {"instrument": name, "quantity": 1_000.0, "limit_price": 0.99}
        found = unit(document(rows, [account("one", orders=[order])]))
        assert found.binding_orders == group
        assert found.order_loss == pytest.approx(1_000.0 * (0.99 - n_d2(99e3, "call" if name == "yes" else "put")))


def test_distances_price_it_anew_at_every_move() -> None:
    rows = [outcome("o", "call", 99e3), perpetual("perp")]
    positions = [held("o", -40_000.0), held("perp", -0.2, entry=BTC)]
    source = document(rows, [account("one", positions, equity=None, balances=[{"asset": "USDC", "total": 60_000.0}])])
    (down, up), *_ = portfolio_distances(stress_book(source), "p", "BTC", [0.85], {})
    assert down is None
    assert up is not None
    for move, beyond in ((up - 1e-6, False), (up + 1e-6, True)):
        moved = [outcome("o", "call", 99e3, forward=BTC * (1.0 + move)), perpetual("perp", BTC * (1.0 + move))]
        there = result(source | {"instruments": moved, "index": {"BTC": BTC * (1.0 + move)}})
        assert (number(there.margin_ratio) >= 0.85) is beyond


# -- what it lacks, and live --------------------------------------------------------------------------------------------------


def test_without_volatility_or_forward_there_is_no_number_and_a_mark_implies_none() -> None:
    found = result(single(outcome("o", "call", 99e3, iv=None, mark=0.7), 1.0))
    assert (reasons(found), found.margin_ratio) == (["MISSING_IV"], None)
    assert found.failures[0].detail == "no implied volatility of o: the mark of an outcome implies none"
    assert reasons(result(single(outcome("o", "call", 99e3, forward=None), 1.0))) == ["MISSING_FORWARD"]
    assert reasons(result(single(outcome("o", "call", 99e3), 1.0, fx={}))) == ["MISSING_FX"]


def test_no_mark_and_no_entry_are_needed() -> None:
    found = result(single(outcome("o", "call", 99e3, mark=None), 100.0, equity=None))
    assert found.failures == ()
    assert found.equity == pytest.approx(100.0 * n_d2(99e3))


def test_events_move_it() -> None:
    listed = outcome("hyperliquid:#10250", "call", 99e3)
    book = stress_book(single(listed, 1_000.0, equity=None))
    expiry_ms = (NOON_S + DAY_S // 2) * 1000
    book.apply(Forwards("hyperliquid", "feed", 0, ["BTC"], ["USDC"], [expiry_ms], [98e3]))
    book.apply(Volatilities("hyperliquid", "feed", 0, ["hyperliquid:#10250"], [0.8]))
    book.evaluate()
    equity = book.tables.portfolios.table["equity"][0]
    assert equity == pytest.approx(1_000.0 * n_d2(99e3, forward=98e3, sigma=0.8), rel=1e-12)
    book.market.set_clock((NOON_S + DAY_S // 4) * 1000)
    book.evaluate()
    assert book.tables.portfolios.table["equity"][0] == pytest.approx(
        1_000.0 * n_d2(99e3, forward=98e3, sigma=0.8, years=0.25 / 365), rel=1e-12
    )
    book.apply(Volatilities("hyperliquid", "feed", 0, ["hyperliquid:#10250"], [math.nan]))
    book.evaluate()
    assert reasons(portfolio_result(book, "p")) == ["MISSING_IV"]
