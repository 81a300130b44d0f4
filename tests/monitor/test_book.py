"""The book: every event lands somewhere, costs what it touched, and never raises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from connectors.events import (
    AccountChanged,
    BorrowReserve,
    BorrowReserves,
    Event,
    Fill,
    OrdersSnapshot,
    ParseError,
    SectionsSnapshot,
    Source,
    VenueStatus,
)
from monitor.book import AccountEntry, Book
from monitor.margin.hyperliquid import VENUE, HyperliquidAccount
from monitor.margin.pools import PoolSpec
from monitor.market import Market
from tests.monitor.own_desk import ACCOUNT, OwnDesk, balance, name, position, section, wallet


def desk() -> OwnDesk:
    made = OwnDesk()
    made.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0)))
    made.engine.evaluate()
    return made


def test_cuts_are_the_levels_and_their_gaps_in_order() -> None:
    entry = AccountEntry(VENUE, ACCOUNT, HyperliquidAccount(ACCOUNT), (0.85, 0.90, 1.0), 0.02)
    assert entry.cuts == pytest.approx([0.83, 0.85, 0.88, 0.90, 0.98, 1.0])


@pytest.mark.parametrize(
    "event",
    [
        SectionsSnapshot(VENUE, "somebody", 1, Source.PUSH, (), True),
        Fill(VENUE, "somebody", 1, "x", 1, 1.0, 1.0, 0.0, "USDC"),
        AccountChanged(VENUE, ACCOUNT, 1, "why"),
        VenueStatus("elsewhere", 1, 1),
    ],
)
def test_events_of_others_change_nothing(event: Event) -> None:
    made = desk()
    before = made.pools()
    made.apply(event)
    made.engine.statistics.pools_evaluated = 0
    assert made.pools() == before
    assert made.engine.statistics.pools_evaluated == 0


def test_what_is_only_remembered() -> None:
    made = desk()
    made.apply(OrdersSnapshot(VENUE, ACCOUNT, 1, "", ()))
    made.apply(OrdersSnapshot(VENUE, ACCOUNT, 2, "xyz", ()))
    for _ in range(2):
        made.apply(ParseError(VENUE, "userFills", "wrong_shape", 1, "detail"))
    made.apply(VenueStatus(VENUE, 1, 5))
    assert set(made.book.orders[(VENUE, ACCOUNT)]) == {"", "xyz"}
    assert made.book.parse_errors == {(VENUE, "userFills", "wrong_shape"): 2}
    assert made.book.venue_status[VENUE].time_ms == 5


def test_a_tick_evaluates_the_pools_that_hold_it_and_writes_no_account() -> None:
    made = desk()
    made.marks(ETH=4_000.0)
    statistics = made.engine.statistics
    statistics.pools_evaluated = 0
    assert made.engine.evaluate() == []
    assert statistics.pools_evaluated == 0
    made.marks(BTC=100_001.0)
    made.engine.evaluate()
    assert statistics.pools_evaluated == 1
    made.marks(BTC=100_001.0)
    made.engine.evaluate()
    assert statistics.pools_evaluated == 1, "an unchanged mark is no change"


def test_only_the_accounts_an_event_names_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = {alias: HyperliquidAccount(alias) for alias in ("one", "two")}
    book = Book(AccountEntry(VENUE, alias, method, (0.85, 0.90, 1.0), 0.02) for alias, method in accounts.items())
    book.flush()
    written: list[str] = []

    def pools_of(alias: str) -> Callable[[Market], list[PoolSpec]]:
        def pools(market: Market) -> list[PoolSpec]:
            written.append(alias)
            return []

        return pools

    for alias, method in accounts.items():
        monkeypatch.setattr(method, "pools", pools_of(alias))
    book.apply(SectionsSnapshot(VENUE, "two", 1, Source.PUSH, (), False))
    book.flush()
    assert written == ["two"]
    book.touch_all()
    book.flush()
    assert sorted(written) == ["one", "two", "two"]


def test_a_refresh_is_asked_once() -> None:
    made = desk()
    made.account.refresh = "why not"
    assert made.book.take_refreshes() == [(VENUE, ACCOUNT, "why not")]
    assert made.book.take_refreshes() == []


def test_held_instruments() -> None:
    made = desk()
    assert made.book.held(VENUE) == {name("BTC")}
    made.fill("ETH", 1.0, 4_000.0, 1001)
    made.fill("BTC", -1.0, 100_000.0, 1001)
    assert made.book.held(VENUE) == {name("ETH")}
    assert made.book.held("elsewhere") == set()


def test_scopes_whose_pool_is_gone_are_told() -> None:
    made = desk()
    iso = position("ETH", 1.0, 4_000.0, isolated=-3_600.0)
    made.sections(section("", 2000, -90_000.0, position("BTC", 1.0, 100_000.0), iso))
    assert set(made.pools()) == {"main", "iso:ETH"}
    made.book.vanished.clear()
    made.sections(section("", 3000, -90_000.0, position("BTC", 1.0, 100_000.0)))
    assert set(made.pools()) == {"main"}
    assert made.book.vanished == [(VENUE, ACCOUNT, "iso:ETH")]


def test_published_reserves_price_collateral_until_something_live_does() -> None:
    made = OwnDesk()
    rows = (balance("USDC", 0.0, ltv=0.0), balance("UBTC", 1.0, supplied=1.0, ltv=0.5))
    made.read(wallet(*rows, portfolio_margin_enabled=True), section("", 1000, 0.0))
    assert made.pool("portfolio").equity is None
    made.apply(BorrowReserves(VENUE, 1, (BorrowReserve("UBTC", 197, 90_000.0, 0.5, 0.1),)))
    assert made.equity("portfolio") == pytest.approx(67_500.0)
    made.marks(BTC=100_000.0)
    assert made.equity("portfolio") == pytest.approx(75_000.0), "UBTC is BTC"
    made.spot(UBTC=98_000.0)
    assert made.equity("portfolio") == pytest.approx(0.75 * 99_000.0)
