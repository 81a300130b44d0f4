"""A stablecoin that leaves its peg reaches every unit that settles in it, at once and however the book came about."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.events import StablecoinPrices
from monitor.margin.portfolio import portfolio_result
from monitor.margin.portfolio_measures import portfolio_distances
from monitor.stress.book import StressBook
from tests.kernels.stress_books import BTC, DAY_S, account, document, held, number, option, perpetual, stress_book
from tests.reference import margin_model
from tests.reference.books import Document

ETH = 4_000.0
GAP = 0.05


def desk(fx: float = 1.0) -> Document:
    """BTC hedged across USDT and USDC, and USDT and the coin; ETH in USDC only."""
    rows = [
        perpetual("c"), perpetual("t", settle="USDT"), perpetual("i", settle="BTC", inverse=True),
        option("o", "call", 110e3, 30 * DAY_S, settle="BTC", iv=0.5), perpetual("e", ETH, coin="ETH"),
    ]  # fmt: skip
    accounts = [
        account("one", [held("c", 6.0), held("i", 400e3), held("o", -0.5)]),
        account("two", [held("t", -10.0)]),
        account("three", [held("e", 100.0)]),
    ]
    return document(rows, accounts, index={"BTC": BTC, "ETH": ETH}, fx={"USDC": 1.0, "USDT": fx}, daily_volatility={"BTC": 0.03})


def told(book: StressBook, fx: float) -> None:
    book.apply(StablecoinPrices("v", "feed", 0, {"USDT": fx}))
    book.evaluate()


def spread(book: StressBook, coin: str = "BTC") -> float:
    units = {row.coin: row for row in portfolio_result(book, "p").units}
    return units[coin].contingency["stablecoin_spread"]


def test_a_price_off_the_peg_raises_the_charge_of_the_whole_unit_and_back_again() -> None:
    book = stress_book(desk())
    hedged = spread(book) / (0.0075 * BTC)
    assert hedged > 9.0, "the coin-settled legs hedge as well"
    told(book, 1.0 - GAP)
    assert spread(book) == pytest.approx(GAP * hedged * BTC, rel=1e-12)
    assert spread(book, "ETH") == 0.0
    told(book, 0.999)
    assert spread(book) == pytest.approx(0.0075 * hedged * BTC, rel=1e-12)


@pytest.mark.parametrize("fx", [0.95, 1.0, 1.03])
def test_what_was_told_is_what_a_book_built_anew_and_the_reference_say(fx: float) -> None:
    book = stress_book(desk())
    told(book, fx)
    fresh, direct = book.rebuilt(), stress_book(desk(fx))
    wanted = margin_model.evaluate(desk(fx), margin_model.UTA)["p"]
    for other in (fresh, direct):
        assert spread(other) == pytest.approx(spread(book), rel=1e-14)
    assert np.array_equal(fresh.tables.settled_in, book.tables.settled_in)
    unit = next(row for row in wanted["units"] if row["coin"] == "BTC")
    assert spread(book) == pytest.approx(unit["contingency"]["stablecoin_spread"], rel=1e-12)
    assert number(portfolio_result(book, "p").maintenance_margin) == pytest.approx(wanted["maintenance_margin"], rel=1e-12)


def test_only_what_settles_in_it_is_computed_anew() -> None:
    source = desk() | {"portfolios": [{"id": "p", "accounts": ["one", "two"]}, {"id": "eth", "accounts": ["three"]}]}
    book = stress_book(source)
    before = book.statistics.portfolios
    told(book, 0.95)
    assert book.statistics.portfolios == before + 1


def test_the_distance_of_a_cross_hedge_is_that_of_its_gap() -> None:
    rows = [perpetual("c"), perpetual("t", BTC / 0.95, settle="USDT")]
    accounts = [account("one", [held("c", 10.0)], equity=60e3), account("two", [held("t", -10.0)], equity=0.0)]
    book = stress_book(document(rows, accounts, fx={"USDC": 1.0, "USDT": 0.95}))
    ((down, up),) = portfolio_distances(book, "p", "BTC", [1.0], {})
    # the hedge gains and loses nothing; of C and E alone 50,600 are due at 100,000
    assert down is None
    assert up == pytest.approx(60e3 / (10 * BTC * (GAP + 2 * 0.0003)) - 1.0, abs=2e-9)
