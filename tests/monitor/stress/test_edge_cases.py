"""The stress engine where books are at their edges: small, hedged, unknown in part, in odd money, large."""

from __future__ import annotations

import dataclasses
import math
import random
import time
from typing import Any

import pytest

from config.errors import ConfigError
from monitor.margin.portfolio import portfolio_result
from monitor.margin.result import Level
from tests.kernels.stress_books import (
    BTC,
    DAY_S,
    REFERENCE,
    SETS,
    Comparison,
    account,
    document,
    held,
    margin,
    number,
    option,
    perpetual,
    reasons,
    result,
    single,
    stress_book,
    unit,
)
from tests.reference import margin_model
from tests.reference.black76 import black76
from tests.reference.books import Document, random_document

FREE = {"f_A": 0.0, "f_B": 0.0, "f_C": 0.0, "f_D": 0.0, "f_E": 0.0}


# -- small books -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "reach", "buffer"), [("uta", 0.10, 1.0), ("house", 0.15, 1.1)])
@pytest.mark.parametrize("quantity", [3.0, -3.0])
def test_one_position(name: str, reach: float, buffer: float, quantity: float) -> None:
    # an extreme move counts 0.35 of twice the range: less than the range itself
    found = result(single(perpetual(), quantity, volume_24h_usd={"v:perp": 1e9}, daily_volatility={"BTC": 0.02}), name)
    notional, fees = 3.0 * BTC, 3.0 * BTC * 0.0003
    impact = notional * 0.02 * math.sqrt(notional / (0.5 * 1e9)) if name == "house" else 0.0
    assert number(found.maintenance_margin) == pytest.approx(reach * notional * buffer + fees + impact, rel=1e-13)
    assert number(found.initial_margin) == pytest.approx(
        (reach * notional + fees) * 1.2 + (buffer - 1.0) * reach * notional + impact, rel=1e-13
    )
    (row,) = found.units
    assert [row.worst_price, row.worst_volatility] == pytest.approx([math.copysign(reach, -quantity), 0.0])
    assert (found.gross_notional, found.net_notional) == (notional, math.copysign(notional, quantity))


@pytest.mark.parametrize("name", SETS)
def test_an_empty_book_has_no_margin_and_no_ratio_to_speak_of(name: str) -> None:
    for equity in (1e6, 0.0, -5.0):
        found = result(document([perpetual()], [account(equity=equity)]), name)
        assert (found.maintenance_margin, found.initial_margin, found.margin_ratio, found.level) == (0.0, 0.0, 0.0, Level.OK)
        assert (found.units, found.failures, found.equity) == ((), (), equity)


def test_a_position_of_nothing_is_none() -> None:
    source = single(perpetual(mark=None), 0.0)
    assert (result(source).units, result(source).failures) == ((), ())


@pytest.mark.parametrize("equity", [0.0, -1.0, -1e9])
def test_without_equity_the_ratio_is_infinite(equity: float) -> None:
    found = result(single(perpetual(), 1.0, equity=equity))
    assert (found.margin_ratio, found.initial_ratio, found.level) == (math.inf, math.inf, Level.BREACH)
    assert number(found.excess) == equity - 10_030.0
    assert number(found.cash_to_safety(0.85)) == pytest.approx(10_030.0 / 0.85 - equity, rel=1e-13)


def test_a_level_is_reached_at_its_ratio() -> None:
    for equity, level in (
        (10_030.0, Level.BREACH),
        (10_030.0 / 0.9, Level.CRITICAL),
        (10_030.0 / 0.85, Level.WARNING),
        (11_801.0, Level.OK),
    ):
        assert result(single(perpetual(), 1.0, equity=equity * (1 - 1e-15))).level == level


# -- hedged books, hedge mode, several accounts ----------------------------------------------------------------------------------


def opposite(settle: str) -> Document:
    rows = [perpetual("a"), perpetual("b", settle=settle)]
    return document(rows, [account("one", [held("a", 10.0)]), account("two", [held("b", -10.0)])])


def test_opposite_perpetuals_of_two_accounts_pay_their_fees_alone() -> None:
    found = result(opposite("USDC"))
    assert found.units[0].max_loss == 0.0
    assert number(found.maintenance_margin) == found.units[0].contingency["perpetual_future"] == pytest.approx(600.0, rel=1e-13)
    assert number(found.net_notional) == 0.0
    assert number(found.gross_notional) == 2e6


def test_a_hedge_across_stablecoins_pays_their_spread() -> None:
    assert margin(opposite("USDT")) == pytest.approx(600.0 + 10.0 * BTC * 0.0075, rel=1e-13)


def test_a_fall_of_a_stablecoin_leaves_a_loss_in_the_hedge() -> None:
    source = opposite("USDT") | {"fx": {"USDC": 1.0, "USDT": 0.97}}
    assert unit(source).max_loss == pytest.approx(0.1 * 10.0 * BTC * 0.03, rel=1e-12)


def test_an_offset_of_the_same_scenario_counts() -> None:
    # three calls that lose 4,500 where the perpetual gains 3,000; deep in the money they lose as the future does
    price = 15_000.0
    rows = [option("calls", "call", 1.0, forward=price), perpetual("perp", price)]
    overrides = {"BTC": FREE}
    calls = document(rows, [account("one", [held("calls", -3.0)])], index={"BTC": price}, overrides=overrides)
    assert margin(calls) == pytest.approx(4_500.0, rel=1e-12)
    both = document(rows, [account("one", [held("calls", -3.0), held("perp", 2.0)])], index={"BTC": price}, overrides=overrides)
    assert unit(both).linear[-1] == pytest.approx(3_000.0, rel=1e-12)
    assert margin(both) == pytest.approx(1_500.0, rel=1e-12)


def test_the_same_instrument_in_many_accounts_is_gross_where_it_must_be() -> None:
    volume = {"v:perp": 1e8}
    accounts = [account(f"a{count}", [held("v:perp", 5.0 * (-1) ** count)]) for count in range(4)]
    found = result(document([perpetual()], accounts, volume_24h_usd=volume, daily_volatility={"BTC": 0.02}), "house")
    gross = 20.0 * BTC
    assert found.units[0].max_loss == 0.0
    assert found.units[0].contingency["perpetual_future"] == pytest.approx(20.0 * BTC * 0.0003, rel=1e-13)
    # one charge on the gross of the instrument, not four
    assert number(found.liquidity) == pytest.approx(gross * 0.02 * math.sqrt(gross / (0.5 * 1e8)), rel=1e-13)
    assert len(found.units[0].positions) == 4


def test_both_sides_of_hedge_mode_stand_beside_each_other() -> None:
    sides = [held("v:perp", 4.0, side="long"), held("v:perp", -4.0, side="short")]
    orders = [{"instrument": "v:perp", "quantity": 1.0, "limit_price": BTC}]
    found = unit(document([perpetual()], [account("one", sides, orders=orders)]))
    assert [(row.side, row.quantity) for row in found.positions] == [("long", 4.0), ("short", -4.0)]
    assert found.binding_orders == "buy_orders"
    # the buy joins the long side: 5 and 4 coins of fees
    assert found.maintenance_margin == pytest.approx(0.1 * BTC + 9.0 * BTC * 0.0003, rel=1e-12)


def test_orders_of_both_sides_are_never_filled_together() -> None:
    orders = [{"instrument": "v:perp", "quantity": side * 2.0, "limit_price": BTC} for side in (1.0, -1.0)]
    found = result(single(perpetual(), 1.0, orders=orders))
    assert found.units[0].binding_orders == "buy_orders"
    assert number(found.maintenance_margin) == pytest.approx(3.0 * 10_030.0, rel=1e-13)


def test_without_offset_a_buffer_may_make_another_choice_of_orders_the_worst() -> None:
    # the own binding group of a unit has the larger margin, the other one the larger loss: with a buffer on losses that one wins
    orders = [
        {"instrument": "v:perp", "quantity": 2.0, "limit_price": BTC},
        {"instrument": "v:perp", "quantity": -1.0, "limit_price": 0.8 * BTC},
    ]
    overrides = {"*": {"safety_buffer": 1.0}}
    source = document([perpetual()], [account("one", [], orders=orders)], overrides=overrides)
    buys, sells = 2.0 * 10e3 + 60.0, 10e3 + 30.0 + 20e3
    assert sells > buys
    found = result(source)
    assert number(found.maintenance_margin) == pytest.approx(max(buys + 20e3, sells + 10e3), rel=1e-12)
    comparison = Comparison()
    comparison.add(found, margin_model.evaluate(source, REFERENCE["uta"])["p"], "buffer")
    assert not comparison.differences


# -- what is unknown -------------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named_and_never_1() -> None:
    rows = [perpetual("good"), perpetual("bad", None)]
    both = [account("one", [held("good", 1.0), held("bad", 1.0)])]
    cases: list[tuple[Document, str]] = [
        (document(rows, both), "MISSING_MARK"),
        (single(perpetual(settle="FDUSD"), 1.0), "MISSING_FX"),
        (single(perpetual(), 1.0, fx={}), "MISSING_FX"),
        (single(perpetual(), 1.0, index={}), "MISSING_INDEX"),
        (single(perpetual(), 1.0, index={"BTC": None}), "MISSING_INDEX"),
        (single(option("o", "call", BTC, forward=None), 1.0), "MISSING_FORWARD"),
        (single(option("o", "call", BTC, iv=None), 1.0), "MISSING_IV"),
        (single(perpetual(), 1.0, equity=None), "MISSING_ENTRY"),
        (single(perpetual(), 1.0, debts=[{"asset": "DOGE", "amount": 5.0}]), "MISSING_INDEX"),
        (single(perpetual(), 1.0, debts=[{"asset": "USDC", "amount": 5.0}], fx={"USDT": 1.0}), "MISSING_FX"),
        (single(perpetual(), 0.0, equity=None, balances=[{"asset": "DOGE", "total": 5.0, "collateral_ratio": 0.9}]), "MISSING_INDEX"),
        (single(perpetual(), 0.0, equity=None, balances=[{"asset": "DOGE", "total": -5.0}]), "MISSING_INDEX"),
        (single(perpetual(), 0.0, equity=None, balances=[{"asset": "USDC", "total": 5.0}], fx={"USDT": 1.0}), "MISSING_FX"),
    ]
    for source, reason in cases:
        for name in SETS:
            found = result(source, name)
            assert reasons(found) == [reason], source
            assert (found.margin_ratio, found.initial_ratio, found.excess) == (None, None, None)


def test_without_equity_the_margins_are_known() -> None:
    for more in (
        {"equity": None},
        {"equity": None, "balances": [{"asset": "DOGE", "total": 5.0, "collateral_ratio": 0.9}]},
    ):
        source = single(perpetual(), 1.0, **more)
        if "balances" in more:
            source["accounts"][0]["positions"][0]["entry"] = BTC
        found = result(source)
        assert (found.equity, found.margin_ratio, found.excess, found.available) == (None, None, None, None)
        assert number(found.maintenance_margin) == pytest.approx(10_030.0, rel=1e-13)
        assert number(found.initial_margin) == pytest.approx(12_036.0, rel=1e-13)
        assert found.failures


def test_an_unpriced_balance_beside_a_told_equity_fails_nothing() -> None:
    found = result(single(perpetual(), 1.0, balances=[{"asset": "DOGE", "total": 5.0, "collateral_ratio": 0.9}]))
    assert (found.equity, found.failures) == (1e6, ())


def test_a_balance_of_unknown_worth_is_missing_even_where_its_ratio_is_not_told() -> None:
    # without its index nobody knows whether the balance is worth naming
    found = result(single(perpetual(), 0.0, equity=None, balances=[{"asset": "DOGE", "total": 5.0}]))
    assert (reasons(found), found.margin_ratio) == (["MISSING_INDEX"], None)


def test_one_failed_unit_takes_the_total_and_leaves_the_other_units() -> None:
    rows = [perpetual("b"), perpetual("e", None, coin="ETH")]
    found = result(document(rows, [account("one", [held("b", 1.0), held("e", 1.0)])], index={"BTC": BTC, "ETH": 4e3}))
    assert (found.maintenance_margin, found.loss_sum, found.families) == (None, None, None)
    units = {row.coin: row for row in found.units}
    assert reasons(units["ETH"]) == ["MISSING_MARK"]
    assert units["BTC"].failures == ()
    assert units["BTC"].maintenance_margin == pytest.approx(10_030.0, rel=1e-13)


def test_an_unknown_coin_has_the_parameters_of_other() -> None:
    found = result(single(perpetual(coin="WIF", mark=2.0), 1e4, index={"WIF": 2.0}))
    assert number(found.maintenance_margin) == pytest.approx(2e4 * 0.30 + 2e4 * 0.001, rel=1e-13)
    assert number(found.initial_margin) == pytest.approx(number(found.maintenance_margin) * 1.5, rel=1e-13)


def test_no_figure_is_ever_nan() -> None:
    failed = 0
    for seed in range(60):
        source = random_document(random.Random(seed), failures=True)
        for name in SETS:
            book = stress_book(source, name)
            for portfolio in book.accounts.portfolios:
                found = portfolio_result(book, portfolio)
                failed += bool(found.failures)
                assert not list(_nans(found)), (seed, name, portfolio)
                assert found.failures or found.margin_ratio is not None
    assert failed > 20


def _nans(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _nans(getattr(value, field.name))
    elif isinstance(value, dict):
        yield from _nans(tuple(value.values()))
    elif isinstance(value, tuple):
        for one in value:
            yield from _nans(one)
    elif isinstance(value, float) and math.isnan(value):
        yield value


# -- money -----------------------------------------------------------------------------------------------------------------------


def test_a_third_stablecoin_has_its_own_price_and_group() -> None:
    rows = [perpetual("c"), perpetual("f", BTC / 0.97, settle="FDUSD")]
    source = document(rows, [account("one", [held("c", 2.0), held("f", -2.0)])], fx={"USDC": 1.0, "FDUSD": 0.97})
    found = unit(source)
    assert found.max_loss == pytest.approx(0.0, abs=1e-9)
    assert found.contingency["stablecoin_spread"] == pytest.approx(2.0 * BTC * (1.0 - 0.97), rel=1e-12)


def test_debts_in_coins_cost_their_index() -> None:
    debts = [
        {"asset": "BTC", "amount": 0.5},
        {"asset": "BTC", "amount": -0.1, "mm_rate": 0.2, "im_rate": 0.3},
        {"asset": "USDT", "amount": 1e3},
    ]
    found = result(single(perpetual(), 0.0, equity=None, debts=debts, balances=[{"asset": "USD", "total": 1e6}], fx={"USDT": 0.99}))
    assert number(found.borrow) == pytest.approx(0.5 * BTC * 0.02 + 0.1 * BTC * 0.2 + 990.0 * 0.02, rel=1e-13)
    assert number(found.initial_margin) == pytest.approx(0.5 * BTC * 0.10 + 0.1 * BTC * 0.3 + 990.0 * 0.10, rel=1e-13)
    assert number(found.equity) == pytest.approx(1e6 - 0.6 * BTC - 990.0, rel=1e-13)


def test_a_haircut_is_of_positive_balances_only() -> None:
    balances = [
        {"asset": "USDC", "total": 100.0},
        {"asset": "USDT", "total": 100.0, "collateral_ratio": 0.9},
        {"asset": "USDT", "total": -50.0, "collateral_ratio": 0.9},
        {"asset": "BTC", "total": 0.01, "collateral_ratio": 0.95},
        {"asset": "BTC", "total": -0.02, "collateral_ratio": 0.95},
        {"asset": "BTC", "total": 7.0},
    ]
    found = result(single(perpetual(), 0.0, equity=None, balances=balances))
    assert number(found.equity) == pytest.approx(100.0 + 90.0 - 50.0 + 950.0 - 2000.0, rel=1e-13)


def test_a_mark_in_coin_is_worth_its_forward() -> None:
    overrides = {"BTC": {"option_base": "mark"}}
    row = option("o", "call", BTC, settle="BTC", forward=102e3, mark=0.06)
    source = single(row, 2.0, equity=None, balances=[{"asset": "USD", "total": 0.0}], overrides=overrides)
    assert number(result(source).equity) == pytest.approx(2.0 * 0.06 * 102e3, rel=1e-13)
    stable = single(row | {"settle": "USDC", "mark": 6e3}, 2.0, equity=None, fx={"USDC": 0.98}, overrides=overrides)
    assert number(result(stable).equity) == pytest.approx(2.0 * 6e3 * 0.98, rel=1e-13)
    order = [{"instrument": "o", "quantity": 1.0, "limit_price": 0.08}]
    assert unit(single(row, 1.0, orders=order, overrides=overrides)).order_loss == pytest.approx(0.02 * 102e3, rel=1e-12)


def test_an_inverse_contract_earns_in_coin() -> None:
    row = perpetual(mark=110e3, settle="BTC", inverse=True)
    source = single(row, 50e3, equity=None, index={"BTC": 108e3})
    source["accounts"][0]["positions"][0]["entry"] = 100e3
    found = result(source)
    assert number(found.equity) == pytest.approx(50e3 * (1 / 100e3 - 1 / 110e3) * 108e3, rel=1e-13)
    assert found.units[0].max_loss == pytest.approx(5e3, rel=1e-13)
    assert found.units[0].delta == pytest.approx(50e3 / 110e3, rel=1e-13)


def test_price_nodes_that_differ_are_an_error_of_the_input() -> None:
    rows = [perpetual("b"), perpetual("e", 4e3, coin="ETH")]
    source = document(rows, [account("one", [held("b", 1.0), held("e", 1.0)])], index={"BTC": BTC, "ETH": 4e3})
    with pytest.raises(ConfigError, match="price_nodes"):
        result(source | {"overrides": {"BTC": {"price_nodes": 31}}})
    for overrides in ({"*": {"price_nodes": 5}}, {"BTC": {"price_nodes": 5}, "ETH": {"price_nodes": 5}}):
        assert [len(row.price_nodes) for row in result(source | {"overrides": overrides}).units] == [5, 5]


def test_no_price_node_lies_at_or_below_nothing() -> None:
    overrides = {"BTC": {"price_range": 1.0, "extreme_multiple": 3.0, "extreme_weight": 1.0}}
    rows = [perpetual(), option("o", "put", BTC)]
    found = unit(document(rows, [account("one", [held("v:perp", 1.0), held("o", -1.0)])], overrides=overrides))
    assert found.price_nodes[0] == -0.999999
    assert found.worst_price == -0.999999
    assert found.max_loss == pytest.approx(2.0 * BTC - black76(BTC, BTC, 0.5, 30 / 365, False), rel=1e-4)


# -- large ---------------------------------------------------------------------------------------------------------------------


def test_ten_thousand_instruments() -> None:
    count = 10_000
    rows = [perpetual(f"p{row}", settle=("USDC", "USDT")[row % 2]) for row in range(count)]
    positions = [held(f"p{row}", 1.0 + row % 4 // 2) for row in range(count)]
    accounts = [account(f"a{part}", positions[part::4]) for part in range(4)]
    for part in (1, 3):
        for row in accounts[part]["positions"]:
            row["quantity"] *= -1.0
    begin = time.perf_counter()
    book = stress_book(document(rows, accounts))
    found = portfolio_result(book, "p")
    # half of 1 and half of 2 coins; USDC long as many as USDT short
    assert found.units[0].max_loss == 0.0
    assert number(found.maintenance_margin) == pytest.approx(15_000 * 30.0 + 7_500 * BTC * 0.0075, rel=1e-11)
    assert len(found.units[0].positions) == count
    assert time.perf_counter() - begin < 20.0
    ticks = []
    for step in range(20):
        begin = time.perf_counter()
        book.market.set_mark("p0", BTC + step)
        book.evaluate()
        ticks.append(time.perf_counter() - begin)
    assert sorted(ticks)[10] < 0.02
    assert unit_loss(book) == pytest.approx(0.1 * 19.0, rel=1e-6)
    assert book.measure_drift() < 1e-9


def unit_loss(book: Any) -> float:
    return float(portfolio_result(book, "p").units[0].max_loss)


def test_thousands_of_options_against_the_reference() -> None:
    rng = random.Random(7)
    rows, positions = [], []
    for number_ in range(1_500):
        kind, strike = rng.choice(("call", "put")), BTC * rng.uniform(0.5, 1.8)
        rows.append(option(f"o{number_}", kind, strike, rng.choice((3600, DAY_S, 30 * DAY_S, 200 * DAY_S)), iv=rng.uniform(0.3, 1.2)))
        positions.append(held(f"o{number_}", rng.uniform(-3.0, 3.0)))
    source = document(rows, [account("one", positions, equity=1e9)])
    comparison = Comparison()
    comparison.add(result(source), margin_model.evaluate(source, REFERENCE["uta"])["p"], "many")
    assert not comparison.differences


def test_equity_below_nothing_is_no_comfort_even_where_the_margin_is_none() -> None:
    # worthless options at expiry: no margin, and a debt
    row = option("v:option", "call", 10.0 * BTC, 0)
    found = result(document([row], [account(positions=[held("v:option", 1.0)], equity=-5e3)]))
    assert (found.maintenance_margin, found.margin_ratio, found.level) == (0.0, math.inf, Level.BREACH)
    assert result(document([row], [account(equity=-5e3)])).margin_ratio == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_equity_that_cancels_is_nothing(seed: int) -> None:
    # told as 0 in all, while position and anchor of each are large and rounded
    rng = random.Random(seed)
    equities = [rng.uniform(-1e6, 1e6) for _ in range(6)]
    accounts = [
        account(str(number), [held("v:perp", rng.uniform(1.0, 3.0), entry=rng.uniform(0.5, 2.0) * BTC)], equity=equity)
        for number, equity in enumerate([*equities, -math.fsum(equities)])
    ]
    found = result(document([perpetual()], accounts))
    assert (found.equity, found.margin_ratio) == (0.0, math.inf)
