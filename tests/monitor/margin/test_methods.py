"""Every method answers through one interface, live and from a document."""

from __future__ import annotations

import math

from monitor.margin.cross import cross_result
from monitor.margin.hyperliquid import VENUE
from monitor.margin.methods import CrossMethod, LiveAccounts, PortfolioMethod, SavedAccounts, methods_of
from monitor.margin.portfolio import portfolio_result
from monitor.margin.result import Level, MarginMethod, MarginResult
from monitor.margin.saved import saved_accounts
from monitor.stress.book import StressBook
from monitor.stress.load import book_of
from tests.kernels.stress_books import CUTS, parameters_of
from tests.monitor.margin.documents import account, document, held, parsed, pool
from tests.monitor.own_desk import OwnDesk, position, section, wallet

SOURCE = document(
    account("hl", pools=[pool("main", -80_000.0, "BTC"), pool("xyz", 5.0)], equity=20_000.0, positions=[held("BTC", 1.0)]),
    account("as", "magic", "aster", pools=[pool("USDT", 9.0, asset="USDT")], equity=9.0),
    account("plain", None, "aster", equity=5_000.0),
    portfolios=[{"id": "desk", "accounts": ["hl"]}, {"id": "all", "accounts": ["plain", "hl"]}],
)


def book() -> StressBook:
    snapshot = parsed(SOURCE)
    return book_of(snapshot, parameters_of(snapshot, "uta"), CUTS)


def test_every_result_is_a_margin_result() -> None:
    live = OwnDesk()
    live.read(wallet(), section("", 1, -90_000.0, position("BTC", 1.0, 100_000.0)))
    # mypy holds each assignment against the interface
    portfolio: MarginResult = portfolio_result(book(), "desk")
    cross: MarginResult = cross_result(book(), "desk")
    saved: MarginResult = saved_accounts(parsed(SOURCE))[1]
    told: MarginResult = live.pool("main")
    for result, equity in ((portfolio, 20_000.0), (cross, 20_000.0), (saved, 20_000.0), (told, 10_000.0)):
        assert (result.equity, result.failures, result.level) == (equity, (), Level.OK)
        assert result.margin_ratio is not None
        assert result.maintenance_margin is not None
        assert result.excess is not None
        assert math.isclose(result.margin_ratio, result.maintenance_margin / equity)
        assert math.isclose(result.excess, equity - result.maintenance_margin)
    assert portfolio.initial_margin is not None
    assert cross.initial_margin is not None
    assert told.initial_margin is not None
    assert saved.initial_margin is None


def test_the_methods_of_a_document() -> None:
    snapshot, whole = parsed(SOURCE), book()
    methods: tuple[MarginMethod, ...] = methods_of(snapshot, whole)
    assert [method.name for method in methods] == ["portfolio", "cross", "hyperliquid", "aster"]
    found = {method.name: tuple(method.results()) for method in methods}
    assert found["portfolio"] == (portfolio_result(whole, "desk"), portfolio_result(whole, "all"))
    assert found["cross"] == (cross_result(whole, "desk"), cross_result(whole, "all"))
    assert (*found["aster"], *found["hyperliquid"]) == saved_accounts(snapshot)
    assert [result.margin_ratio is None for name in found for result in found[name]] == [False] * 6 + [True]


def test_levels_are_taken_over() -> None:
    whole = book()
    low = (0.01, 0.02, 1.0)
    methods: tuple[MarginMethod, ...] = (
        PortfolioMethod(whole, low), CrossMethod(whole, low), SavedAccounts(parsed(SOURCE), "hyperliquid", low),
    )  # fmt: skip
    assert [method.results()[0].level for method in methods] == [Level.CRITICAL] * 3


def test_live_accounts_are_those_of_the_venue_now() -> None:
    live = OwnDesk()
    live.read(wallet(), section("", 1, -90_000.0, position("BTC", 1.0, 100_000.0)))
    live.engine.evaluate()
    method: MarginMethod = LiveAccounts(live.engine, VENUE, lambda: live.now_ns)
    assert list(method.results()) == live.engine.results(live.now_ns)
    assert list(LiveAccounts(live.engine, "aster", lambda: live.now_ns).results()) == []
