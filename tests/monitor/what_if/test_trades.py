"""Hypothetical trades and orders: positions, equity and every pool follow, against figures worked out here."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.what_if.desk import (
    ASTER,
    BTC,
    CALL,
    ETH,
    PERPETUAL,
    PUT,
    account,
    balances,
    desk,
    edit,
    maintenance,
    pool,
    quantities,
    report,
    rule,
    trade,
)

near = pytest.approx
EXACT = 1e-9


def figures(document: dict[str, Any]) -> list[float]:
    """The figures of a report, of portfolio, units and pools."""
    told = report(document)
    (portfolio,) = told["portfolios"]
    assert portfolio["status"] == "ok"
    names = ("equity", "maintenance_margin", "initial_margin")
    rows = [portfolio, *sorted(told["accounts"], key=lambda row: (row["id"], row["pool"]))]
    units = [unit[name] for unit in portfolio["units"] for name in ("max_loss", "delta", "gamma", "vega")]
    return [row[name] for row in rows for name in names if row[name] is not None] + units


def test_a_trade_at_the_mark_moves_margin_and_leaves_equity() -> None:
    after = edit(desk(), trade("iris", BTC, 8.0)).document
    assert quantities(after, "iris") == {BTC: 13.0}
    found = rule(after, "iris", "main")
    assert found["equity"] == near(100_050.0)
    assert found["maintenance_margin"] == near(maintenance(13 * 100_010.0))
    assert found["margin_ratio"] == near(maintenance(13 * 100_010.0) / 100_050.0)
    assert account(after, "iris")["equity"] == near(100_050.0)
    assert balances(after, "iris") == {"USDC": near(-400_000.0 - 8 * 100_010.0)}


def test_a_price_other_than_the_mark_is_won_or_lost() -> None:
    after = edit(desk(), trade("umbra", ASTER, 2.0, price=99_000.0)).document
    won = 2.0 * (100_040.0 - 99_000.0)
    assert rule(after, "umbra", "USDT")["equity"] == near(700_000.0 - 5 * 100_040.0 + won)
    assert account(after, "umbra")["equity"] == near(account(desk(), "umbra")["equity"] + won * 0.999)
    assert report(after)["portfolios"][0]["equity"] == near(report(desk())["portfolios"][0]["equity"] + won * 0.999)


def test_a_position_closed_to_nothing_is_gone_from_account_and_pool() -> None:
    after = edit(desk(), trade("iris", BTC, -1.7), trade("iris", BTC, -3.3)).document
    assert account(after, "iris")["positions"] == []
    assert pool(after, "iris", "main")["positions"] == []
    assert rule(after, "iris", "main")["margin_ratio"] == 0.0
    assert rule(after, "iris", "main")["equity"] == near(100_050.0)


def test_an_instrument_of_the_snapshot_that_the_account_did_not_hold_joins_its_cross_pool() -> None:
    after = edit(desk(), trade("iris", ETH, -100.0)).document
    assert pool(after, "iris", "main")["positions"] == [BTC, ETH]
    assert rule(after, "iris", "main")["maintenance_margin"] == near(maintenance(500_050.0) + maintenance(350_000.0))


def with_entries() -> dict[str, Any]:
    document = desk()
    iris = account(document, "iris")
    iris["positions"][0]["entry"] = 98_000.0
    iris["balances"][0]["total"] = 90_000.0
    return document


@pytest.mark.parametrize(
    ("quantity", "price", "entry", "balance"),
    [(5.0, 102_000.0, 100_000.0, 90_000.0), (-2.0, 99_000.0, 98_000.0, 92_000.0), (-8.0, 99_000.0, 99_000.0, 95_000.0)],
    ids=["added: averaged", "reduced: kept, profit realised", "turned: the price"],
)
def test_entries_are_averaged_and_profits_realised(quantity: float, price: float, entry: float, balance: float) -> None:
    after = edit(with_entries(), trade("iris", BTC, quantity, price=price)).document
    assert account(after, "iris")["positions"][0]["entry"] == near(entry)
    assert balances(after, "iris")["USDC"] == near(balance)


def test_an_equity_computed_from_entries_wins_what_a_told_one_does() -> None:
    document = with_entries()
    for row in document["accounts"]:
        row["pools"] = []
    del account(document, "iris")["equity"]
    before = report(document)["portfolios"][0]["equity"]
    after = edit(document, trade("iris", BTC, 3.0, price=99_010.0), trade("iris", ETH, 10.0)).document
    assert "equity" not in account(after, "iris")
    assert report(after)["portfolios"][0]["equity"] == near(before + 3 * 1_000.0)


# -- Deribit -------------------------------------------------------------------------------------------------------------------


def call_by_hand() -> tuple[float, float]:
    """Value in USD and delta of the call, by Black-76: F 101000, K 110000, 42 %, 33 days and 20 hours."""
    deviation = 0.42 * math.sqrt((33 * 24 + 20) / (365 * 24))
    d1 = math.log(101_000 / 110_000) / deviation + deviation / 2
    return 101_000 * NormalDist().cdf(d1) - 110_000 * NormalDist().cdf(d1 - deviation), NormalDist().cdf(d1)


def at_index(document: dict[str, Any], index: float) -> float:
    """The margin balance of the cross pool less what its maintenance margin has been given, at an index of BTC."""
    row = pool(document, "noctua", "cross")
    return float(row["cash"] + sum(one["quantity"] * index for one in row["exposures"]))


def test_a_perpetual_on_deribit_moves_the_exposure_and_not_the_equity() -> None:
    after = edit(desk(), trade("noctua", PERPETUAL, -150_030.0)).document
    assert at_index(after, 100_000.0) == near(at_index(desk(), 100_000.0))
    assert pool(after, "noctua", "cross")["exposures"] == [{"coin": "BTC", "quantity": near(1.1 - 1.5)}]
    assert pool(after, "noctua", "cross")["maintenance_margin"] == 20_000.0


def test_an_inverse_price_is_won_in_coin() -> None:
    after = edit(desk(), trade("noctua", PERPETUAL, 100_000.0, price=50_000.0)).document
    won = 100_000.0 * (1 / 50_000.0 - 1 / 100_020.0) * 100_000.0
    assert account(after, "noctua")["equity"] == near(200_000.0 + won)
    assert at_index(after, 100_000.0) == near(at_index(desk(), 100_000.0) + won)
    assert account(after, "noctua")["positions"][0]["entry"] == near(150_000.0 / (50_000.0 / 99_000.0 + 2.0))


def test_a_short_option_in_standard_margin_adds_its_value_to_both_sides() -> None:
    before, after = desk(), edit(desk(), trade("noctua", CALL, -2.0, price=0.02)).document
    gained = pool(after, "noctua", "cross")["maintenance_margin"] - 20_000.0
    value, delta = call_by_hand()
    assert gained == near(2 * value)
    assert at_index(after, 100_000.0) - at_index(before, 100_000.0) == near(2 * 0.02 * 101_000.0)
    assert balances(after, "noctua")["BTC"] == near(1.04)
    # the value owed grows with the index, and so do the coins of the premium (at the model's price: the rest is won at once)
    assert pool(after, "noctua", "cross")["exposures"][0]["quantity"] == near(1.1 - 2 * delta + 2 * value / 100_000.0)


def test_a_long_option_in_standard_margin_counts_nothing() -> None:
    after = edit(desk(), trade("noctua", PUT, 3.0)).document
    paid = 1.0 - balances(after, "noctua")["BTC"]
    assert 0 < paid < 0.05
    assert at_index(after, 100_000.0) == near(at_index(desk(), 100_000.0) - paid * 101_000.0)
    assert pool(after, "noctua", "cross")["maintenance_margin"] == 20_000.0
    assert account(after, "noctua")["equity"] == 200_000.0


def test_a_long_option_in_portfolio_margin_is_worth_what_was_paid() -> None:
    document = desk()
    account(document, "noctua")["mode"] = "cross_pm"
    after = edit(document, trade("noctua", PUT, 3.0)).document
    assert at_index(after, 100_000.0) == near(at_index(document, 100_000.0))
    assert pool(after, "noctua", "cross")["exposures"][0]["quantity"] < 1.1


def segregated() -> dict[str, Any]:
    """A wallet of 1 BTC: in its coin, and USD 20000 of the perpetual short."""
    document = desk()
    row = {"id": "BTC", "collateral_asset": "BTC", "cash": 0.8, "maintenance_margin": 0.01}
    exposures = [{"coin": "BTC", "quantity": -20_000.0, "inverse": True}]
    account(document, "noctua").update(mode="segregated_sm", pools=[row | {"exposures": exposures}])
    return document


def test_a_wallet_in_coin_keeps_its_balance_and_hedges_its_coins() -> None:
    before, after = segregated(), edit(segregated(), trade("noctua", PERPETUAL, -30_006.0)).document
    row = pool(after, "noctua", "BTC")
    assert rule(after, "noctua", "BTC")["equity"] == near(rule(before, "noctua", "BTC")["equity"])
    # in coin an inverse contract is a constant and its notional over the index
    assert row["cash"] == near(0.8 - 0.3)
    assert row["exposures"] == [{"coin": "BTC", "quantity": near(-20_000.0 - 30_000.0), "inverse": True}]


def test_a_short_option_of_a_wallet_in_coin_has_its_value_in_the_maintenance_margin() -> None:
    before, after = segregated(), edit(segregated(), trade("noctua", CALL, -1.0)).document
    value = pool(after, "noctua", "BTC")["maintenance_margin"] - 0.01
    assert value == near(call_by_hand()[0] / 100_000.0)
    assert rule(after, "noctua", "BTC")["equity"] - rule(before, "noctua", "BTC")["equity"] == near(value)


# -- orders --------------------------------------------------------------------------------------------------------------------


def test_a_resting_order_needs_margin_of_the_portfolio_and_of_no_pool() -> None:
    order = {"kind": "order", "account": "iris", "instrument": BTC, "quantity": 20.0, "limit_price": 100_500.0}
    found = edit(desk(), order)
    before, after = report(desk()), report(found.document)
    assert account(found.document, "iris")["orders"] == [
        {"instrument": BTC, "quantity": 20.0, "limit_price": 100_500.0, "reduce_only": False}
    ]
    assert after["portfolios"][0]["maintenance_margin"] > before["portfolios"][0]["maintenance_margin"]
    assert after["portfolios"][0]["units"][0]["order_loss"] == near(20.0 * 490.0)
    assert after["accounts"] == before["accounts"]
    assert any("portfolio method only" in one for one in found.assumptions)


def test_a_reduce_only_order_is_written_and_left_out_by_the_method() -> None:
    order = {"kind": "order", "account": "iris", "instrument": BTC, "quantity": -5.0, "limit_price": 100_500.0, "reduce_only": True}
    after = edit(desk(), order).document
    assert account(after, "iris")["orders"][0]["reduce_only"] is True
    assert figures(after) == figures(desk())


# -- properties ----------------------------------------------------------------------------------------------------------------

TRADED = {BTC: ("iris", 5.0), ETH: ("iris", 50.0), ASTER: ("umbra", 5.0), PERPETUAL: ("noctua", 100_000.0), PUT: ("noctua", 2.0)}
trades = st.tuples(
    st.sampled_from(sorted(TRADED)), st.floats(0.01, 1.0), st.sampled_from([-1, 1]), st.one_of(st.none(), st.floats(0.5, 1.5))
)


def drawn(what: tuple[str, float, int, float | None], share: float = 1.0) -> dict[str, Any]:
    instrument, size, sign, moved = what
    name, scale = TRADED[instrument]
    mark = {BTC: 100_010.0, ETH: 3_500.0, ASTER: 100_040.0, PERPETUAL: 100_020.0, PUT: 0.003}[instrument]
    price = {} if moved is None else {"price": mark * moved}
    return trade(name, instrument, sign * scale * size * share, **price)


@settings(max_examples=25)
@given(what=trades)
def test_a_trade_and_its_reverse_are_no_change(what: tuple[str, float, int, float | None]) -> None:
    there, back = drawn(what), drawn(what, -1.0)
    assert figures(edit(desk(), there, back).document) == near(figures(desk()), rel=EXACT, abs=1e-6)


@settings(max_examples=25)
@given(what=trades, share=st.floats(0.05, 0.95))
def test_a_trade_in_two_parts_is_the_whole(what: tuple[str, float, int, float | None], share: float) -> None:
    whole, parts = edit(desk(), drawn(what)), edit(desk(), drawn(what, share), drawn(what, 1.0 - share))
    assert figures(parts.document) == near(figures(whole.document), rel=EXACT, abs=1e-6)
    assert parts.assumptions == whole.assumptions
