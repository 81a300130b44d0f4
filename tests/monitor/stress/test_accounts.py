"""What accounts are told, live and in whatever order: positions, hedge mode, orders, balances and the equity of a venue."""

from __future__ import annotations

import math
from typing import Any

import pytest

from config.parameters import load_parameters
from connectors.events import IndexPrices, MarkPrices, StablecoinPrices
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.snapshot import AccountRow, BalanceRow, DebtRow, InstrumentRow, OrderRow, PositionRow
from monitor.stress.book import StressBook
from tests.kernels.stress_books import BTC, CUTS, NOON_S, number, option, perpetual, reasons
from tests.monitor.stress.test_incremental import explained_unequal, unequal


def live(*listed: dict[str, Any], name: str = "uta", members: tuple[str, ...] = ("one",)) -> StressBook:
    """An empty live book with one portfolio "p", BTC and USDC at par and some instruments."""
    book = StressBook(load_parameters(name))
    book.market.set_clock(NOON_S * 1000)
    book.apply(StablecoinPrices("v", "feed", 0, {"USDC": 1.0}))
    book.apply(IndexPrices("v", "feed", 0, {"BTC": BTC}))
    for row in listed or (perpetual(),):
        book.market.add_instrument(InstrumentRow.model_validate(row))
    book.accounts.add_portfolio("p", members, CUTS)
    return book


def tell(book: StressBook, name: str = "one", **more: Any) -> None:
    rows: dict[str, Any] = {key: tuple(more.pop(key, ())) for key in ("positions", "orders", "balances", "debts")}
    book.accounts.set_account(AccountRow(id=name, venue="v", **rows, **more))


def position(quantity: float, instrument: str = "v:perp", **more: Any) -> PositionRow:
    return PositionRow(instrument=instrument, quantity=quantity, **more)


def order(quantity: float, limit: float = BTC, instrument: str = "v:perp") -> OrderRow:
    return OrderRow(instrument=instrument, quantity=quantity, limit_price=limit)


def mark(book: StressBook, price: float, instrument: str = "v:perp") -> None:
    book.apply(MarkPrices("v", "feed", 0, [instrument], [price], [], []))


def now(book: StressBook) -> PortfolioResult:
    """The portfolio, evaluated, equal to a book built anew."""
    book.evaluate()
    assert not unequal(book)
    assert not explained_unequal(book)
    return portfolio_result(book, "p")


# -- nothing healthy while something is unknown --------------------------------------------------------------------------------------


def test_a_portfolio_of_accounts_that_were_never_told_has_no_ratio() -> None:
    book = live(members=("one", "two"))
    assert reasons(now(book)) == ["MISSING_ACCOUNT"]
    tell(book, equity=1e6, positions=[position(1.0)])
    found = now(book)
    assert (reasons(found), found.margin_ratio) == (["MISSING_ACCOUNT"], None)
    tell(book, "two", equity=1e6)
    found = now(book)
    assert not found.failures
    assert number(found.margin_ratio) == pytest.approx(10_030.0 / 2e6)


def test_a_position_counts_as_soon_as_its_instrument_is_listed() -> None:
    book = live()
    tell(book, equity=1e6, positions=[position(1.0, "v:new")], orders=[order(1.0, instrument="v:new")])
    assert now(book).margin_ratio is None, "a position nobody can value"
    book.market.add_instrument(InstrumentRow.model_validate(perpetual("v:new")))
    assert number(now(book).maintenance_margin) == pytest.approx(2 * 10_030.0)


def test_a_stablecoin_told_before_its_price_counts_with_it() -> None:
    book = live()
    tell(book, balances=[BalanceRow(asset="USDT", total=1e5)], positions=[position(1.0, entry=BTC)])
    assert now(book).margin_ratio is None
    book.apply(StablecoinPrices("v", "feed", 0, {"USDT": 0.99}))
    assert number(now(book).equity) == pytest.approx(99e3, rel=1e-13)


def test_a_coin_told_before_its_index_counts_with_it() -> None:
    book = live()
    tell(book, balances=[BalanceRow(asset="ETH", total=10.0, collateral_ratio=0.9)], positions=[position(1.0, entry=BTC)])
    assert reasons(now(book)) == ["MISSING_INDEX"]
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 4e3}))
    assert number(now(book).equity) == pytest.approx(36e3, rel=1e-13)


def test_a_balance_priced_after_a_told_equity_moves_it_from_then() -> None:
    book = live()
    tell(book, equity=1e5, balances=[BalanceRow(asset="ETH", total=10.0, collateral_ratio=1.0)], positions=[position(1.0)])
    assert number(now(book).equity) == 1e5
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 4e3}))
    assert number(now(book).equity) == pytest.approx(1e5, rel=1e-13)
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 3e3}))
    assert number(now(book).equity) == pytest.approx(9e4, rel=1e-13)


def test_an_index_lost_and_found_leaves_the_equity_where_it_was() -> None:
    book = live()
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 4e3}))
    tell(book, equity=1e5, balances=[BalanceRow(asset="ETH", total=10.0, collateral_ratio=1.0)], positions=[position(1.0)])
    assert number(now(book).equity) == 1e5
    book.apply(IndexPrices("v", "feed", 0, {"ETH": math.nan}))
    book.evaluate()
    assert book.measure_drift() < 1e-9, "a price that is missing is no drift"
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 3e3}))
    assert number(now(book).equity) == pytest.approx(9e4, rel=1e-13)


def test_a_lost_mark_takes_the_margin_and_a_new_one_brings_it_back() -> None:
    book = live()
    tell(book, equity=1e5, positions=[position(1.0)])
    assert now(book).equity == 1e5
    for price, reason, equity in ((math.nan, ["MISSING_MARK"], None), (0.0, ["MISSING_MARK"], None), (0.8 * BTC, [], 8e4)):
        mark(book, price)
        found = now(book)
        assert (reasons(found), found.equity) == (reason, equity)


# -- the equity a venue told ---------------------------------------------------------------------------------------------------------


def fallen(*more: dict[str, Any]) -> StressBook:
    """Told 100,000 with 1 coin long, 30,000 down since."""
    book = live(perpetual(), *more)
    tell(book, equity=1e5, positions=[position(1.0, entry=9e4)])
    assert number(now(book).equity) == 1e5
    mark(book, 0.7 * BTC)
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)
    return book


@pytest.mark.parametrize(
    "filled",
    [position(2.0, entry=95e3), position(0.0), position(-1.0, entry=0.7 * BTC), position(1.5)],
    ids=["more", "none", "turned", "bare"],
)
def test_a_fill_at_the_mark_leaves_the_equity(filled: PositionRow) -> None:
    book = fallen()
    book.accounts.set_position("one", filled)
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)
    mark(book, 0.6 * BTC)
    assert number(now(book).equity) == pytest.approx(7e4 - filled.quantity * 0.1 * BTC, rel=1e-13)


def test_a_fill_in_an_instrument_just_listed_leaves_the_equity() -> None:
    book = fallen()
    book.market.add_instrument(InstrumentRow.model_validate(perpetual("v:new", 0.7 * BTC)))
    book.accounts.set_position("one", position(0.1, "v:new", entry=0.7 * BTC))
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)


def test_a_fill_in_an_inverse_contract_without_entry_leaves_the_equity() -> None:
    book = fallen(perpetual("v:inverse", settle="BTC", inverse=True))
    book.accounts.set_position("one", position(-1e4, "v:inverse"))
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)


def test_a_fill_while_the_mark_is_lost_leaves_the_equity_before_it() -> None:
    book = fallen(perpetual("v:other"))
    mark(book, math.nan, "v:other")
    book.evaluate()
    book.accounts.set_position("one", position(1.0, "v:other", entry=BTC))
    assert reasons(now(book)) == ["MISSING_MARK"]
    mark(book, BTC, "v:other")
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)


def test_another_portfolio_of_the_account_leaves_the_equity() -> None:
    book = fallen()
    book.accounts.add_portfolio("q", ["one"], CUTS)
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)
    assert number(portfolio_result(book, "q").equity) == pytest.approx(7e4, rel=1e-13)


def test_orders_leave_the_equity_and_a_statement_sets_it() -> None:
    book = fallen()
    book.accounts.set_orders("one", "v:perp", [order(1.0)])
    assert number(now(book).equity) == pytest.approx(7e4, rel=1e-13)
    book.accounts.set_money("one", (), (), 6e4)
    assert number(now(book).equity) == 6e4
    mark(book, 0.6 * BTC)
    assert number(now(book).equity) == pytest.approx(5e4, rel=1e-13)


def test_from_a_told_to_a_computed_equity_and_back() -> None:
    book = fallen()
    book.accounts.set_money("one", [BalanceRow(asset="USDC", total=5e4)], [DebtRow(asset="USDC", amount=1e4)], None)
    assert number(now(book).equity) == pytest.approx(5e4 - 1e4 - 2e4, rel=1e-13)
    book.accounts.set_position("one", position(2.0, entry=8e4))
    assert number(now(book).equity) == pytest.approx(5e4 - 1e4 - 2e4, rel=1e-13)
    book.accounts.set_position("one", position(2.0))
    assert reasons(now(book)) == ["MISSING_ENTRY"]
    book.accounts.set_money("one", (), (), 1e5)
    found = now(book)
    assert (found.equity, found.failures) == (1e5, ())


def test_an_option_moves_the_equity_by_its_base() -> None:
    row = option("v:option", "call", BTC, 0)
    book = live(row)
    tell(book, equity=1e5, positions=[position(-2.0, "v:option")])
    assert number(now(book).equity) == 1e5
    for listed in (row | {"forward": 1.1 * BTC}, row | {"forward": 1.2 * BTC}):
        book.market.add_instrument(InstrumentRow.model_validate(listed))
    assert number(now(book).equity) == pytest.approx(1e5 - 2.0 * 0.2 * BTC, rel=1e-12)


def test_a_change_that_comes_back_within_an_evaluation_is_no_crossing() -> None:
    book = live()
    tell(book, equity=1e5, positions=[position(1.0)])
    book.evaluate()
    # balances and equity of one statement: between the two the ratio would be above 1
    book.accounts.set_money("one", [BalanceRow(asset="USDC", total=-9.5e4)], (), 1e5)
    assert book.evaluate() == []
    book.accounts.set_money("one", [BalanceRow(asset="USDC", total=1e5)], (), 1e5)
    assert book.evaluate() == []


# -- hedge mode ------------------------------------------------------------------------------------------------------------------------


def test_orders_join_the_sides_once_there_are_any() -> None:
    book = live()
    tell(book, equity=1e6, orders=[order(1.0), order(-1.0)])
    assert [(leg.side, leg.quantity) for leg in now(book).units[0].positions] == [(None, 0.0)]
    book.accounts.set_position("one", position(2.0, side="long"))
    assert [(leg.side, leg.quantity) for leg in now(book).units[0].positions] == [("long", 2.0), ("short", 0.0)]
    book.accounts.set_position("one", position(0.0, side="long"))
    assert [(leg.side, leg.quantity) for leg in now(book).units[0].positions] == [(None, 0.0)]


def test_a_change_to_one_way_mode_keeps_one_leg() -> None:
    book = live()
    tell(book, equity=1e6, positions=[position(1.0, side="long")], orders=[order(-2.0)])
    now(book)
    book.accounts.set_position("one", position(0.0, side="long"))
    book.accounts.set_position("one", position(1.0))
    found = now(book).units[0]
    assert [(leg.side, leg.quantity) for leg in found.positions] == [(None, 1.0)]
    assert found.maintenance_margin == pytest.approx(10_030.0, rel=1e-13)


@pytest.mark.parametrize("filled", [0.0, 3.0, -3.0])
def test_a_position_without_side_is_one_in_hedge_mode_too(filled: float) -> None:
    book = live(perpetual(), perpetual("v:other"))
    tell(book, equity=1e6, positions=[position(1.0, "v:other", side="long"), position(-1.0)])
    now(book)
    book.accounts.set_position("one", position(filled))
    legs = [leg for leg in now(book).units[0].positions if leg.instrument == "v:perp"]
    assert [leg.quantity for leg in legs] == ([filled] if filled else [])


def test_both_sides_change_apart() -> None:
    book = live()
    tell(book, equity=1e6, positions=[position(1.0, side="long"), position(-1.0, side="short")])
    for side, quantity, gross in (("short", -3.0, 4.0), ("long", 0.0, 3.0), ("short", 0.0, 0.0), ("long", 2.0, 2.0)):
        book.accounts.set_position("one", position(quantity, side=side))
        units = now(book).units
        assert sum(abs(leg.quantity) for row in units for leg in row.positions) == gross


# -- orders, spot hedging, caps ----------------------------------------------------------------------------------------------------------


def test_the_last_order_gone_leaves_no_loss_behind() -> None:
    # another instrument of the unit, of another expiry, still has orders
    book = live(perpetual(), perpetual("v:other"), option("v:option", "call", 9e5, 3600))
    tell(book, equity=1e6, orders=[order(1.0, 1.1 * BTC), order(1.0, 1e3, "v:option")], positions=[position(1.0)])
    now(book)
    book.accounts.set_orders("one", "v:perp", [])
    assert now(book).units[0].order_loss == pytest.approx(1e3, rel=1e-9)
    book.accounts.set_orders("one", "v:option", [])
    assert now(book).units[0].order_loss == 0.0


def test_the_options_of_one_expiry_gone_leave_no_loss_behind() -> None:
    book = live(option("v:near", "call", BTC, 3600), option("v:far", "call", BTC, 10**6))
    tell(book, equity=1e6, positions=[position(-5.0, "v:near"), position(-1.0, "v:far")])
    large = number(now(book).maintenance_margin)
    book.accounts.set_position("one", position(0.0, "v:near"))
    assert number(now(book).maintenance_margin) < 0.5 * large


def test_the_options_of_one_expiry_gone_protect_no_more() -> None:
    book = live(option("v:near", "call", BTC, 9**6), option("v:far", "call", BTC, 10**6))
    tell(book, equity=1e6, positions=[position(5.0, "v:near"), position(-5.0, "v:far")])
    small = unit_loss(book)
    book.accounts.set_position("one", position(0.0, "v:near"))
    assert unit_loss(book) > 3.0 * small


def unit_loss(book: StressBook) -> float:
    return now(book).units[0].max_loss


@pytest.mark.parametrize("name", ["uta", "house"])
def test_hedging_follows_caps_rights_and_balances(name: str) -> None:
    book = live(name=name, members=("one", "two"))
    spot = [BalanceRow(asset="BTC", total=-2.0, eligible_hedge=True, collateral_ratio=0.9)]
    tell(book, equity=1e6, positions=[position(1.0)], balances=spot, spot_hedging=True)
    steps: list[tuple[dict[str, Any], float]] = [
        ({"spot_hedging": True, "hedge_cap": {"BTC": 0.25}}, -0.25),
        ({"spot_hedging": True, "hedge_cap": {"BTC": 0.5, "ETH": 1.0}}, -0.5),
        ({"spot_hedging": True}, -1.0),
        ({"spot_hedging": True, "hedge_cap": {"BTC": 0.0}}, 0.0),
        ({"spot_hedging": False, "hedge_cap": {"BTC": 0.0}}, -1.0),
        ({"spot_hedging": True, "balances": [BalanceRow(asset="BTC", total=1.5, eligible_hedge=True)]}, -0.5),
        ({"spot_hedging": True, "balances": []}, -1.0),
    ]
    for more, hedge in steps:
        tell(book, "two", equity=1.0, **more)
        assert now(book).units[0].hedging_spot == hedge, more
    book.accounts.set_money("one", [], [], 1e6)
    assert now(book).units[0].hedging_spot == 0.0


def test_a_coin_of_collateral_is_a_unit_as_long_as_it_counts() -> None:
    book = live(name="house")
    book.apply(IndexPrices("v", "feed", 0, {"ETH": 4e3}))
    held = BalanceRow(asset="ETH", total=10.0, collateral_ratio=0.5)
    tell(book, equity=1e6, balances=[held])
    (only,) = now(book).units
    assert (only.coin, only.positions[0].instrument) == ("ETH", "collateral:ETH")
    assert only.max_loss == pytest.approx(0.15 * 0.5 * 4e4)
    for rows in ([], [BalanceRow(asset="ETH", total=10.0)], [BalanceRow(asset="ETH", total=-10.0, collateral_ratio=0.5)]):
        book.accounts.set_money("one", rows, [], 1e6)
        assert now(book).units == ()
    book.accounts.set_money("one", [held], [], 1e6)
    assert [row.coin for row in now(book).units] == ["ETH"]


def test_an_account_told_anew_drops_what_it_no_longer_has() -> None:
    book = live(perpetual(), perpetual("v:other"))
    tell(book, equity=1e6, positions=[position(1.0), position(2.0, "v:other")], orders=[order(1.0)])
    assert number(now(book).maintenance_margin) == pytest.approx(4 * 10_030.0, rel=1e-12)
    tell(book, equity=2e6, positions=[position(2.0, "v:other")])
    found = now(book)
    assert found.equity == 2e6
    assert number(found.maintenance_margin) == pytest.approx(2 * 10_030.0, rel=1e-12)
    tell(book, equity=3e6)
    assert (now(book).maintenance_margin, now(book).units) == (0.0, ())
