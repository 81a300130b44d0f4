"""What the alarm reads of live portfolios: the tick's figures, and the full result's where it looks closely."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from config.portfolios import PortfolioSettings
from connectors.events import FailureReason
from monitor.live.books import PortfolioFigures
from monitor.live.portfolios import LivePortfolios
from monitor.live.reading import PortfolioReading
from monitor.live.readings import portfolio_reading, portfolio_readings
from monitor.margin.portfolio import PortfolioResult, UnitResult, portfolio_result
from monitor.margin.result import Failure
from monitor.margin.saved_pools import OWN_RULE
from monitor.margin.stages import NO_VENUE_ACTS, STAGE_TEXT, Stage
from monitor.stress.book import StressBook
from tests.monitor.live.test_live_portfolios import MARK, Pair
from tests.monitor.live.three_venues import three_venues
from tests.monitor.stress.desk import small_desk


def full(live: LivePortfolios, name: str) -> PortfolioResult:
    return portfolio_result(live.book_of(name), name)


def worst_unit(result: PortfolioResult) -> UnitResult:
    return max(result.units, key=lambda unit: unit.maintenance_margin)


def agrees(reading: PortfolioReading, result: PortfolioResult, *, closely: bool) -> None:
    for figure in ("equity", "maintenance_margin", "initial_margin", "margin_ratio", "excess"):
        assert getattr(reading, figure) == pytest.approx(getattr(result, figure), rel=1e-12), figure
    unit = worst_unit(result)
    assert reading.worst == (unit.coin, unit.maintenance_margin)
    if not closely:
        assert (reading.scenario, reading.scenario_loss, reading.contributor) == ("", None, "")
        return
    assert reading.scenario_loss == (unit.max_loss if unit.max_loss > 0 else None)
    most = max(unit.positions, key=lambda leg: leg.contribution)
    assert reading.contributor.startswith(f"{most.account} {most.instrument}")
    assert f"{most.contribution:,.0f} USD of the margin of {unit.coin}" in reading.contributor


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    levels = "levels = { warning = 0.7, critical = 0.8 }\n"
    more = f'[[portfolios]]\nid = "both"\naccounts = ["long", "short"]\n[[portfolios]]\nid = "one"\naccounts = ["long"]\n{levels}'
    made = Pair(tmp_path, more)
    made.marks()
    made.long()
    made.short()
    return made


def fallen(pair: Pair, level: float) -> None:
    pair.marks(level * MARK)
    pair.evaluate()


def test_a_calm_portfolio_is_read_without_a_close_look(pair: Pair) -> None:
    fallen(pair, 0.97)
    both = portfolio_reading(pair.live, "both")
    agrees(both, full(pair.live, "both"), closely=False)
    assert (both.portfolio, both.accounts, both.parameters, both.failures) == ("both", ("long", "short"), "uta", ())
    assert both.cash_to_safety is None
    assert both.next_step == NO_VENUE_ACTS
    assert both.last_margin_ratio == both.margin_ratio
    agrees(portfolio_reading(pair.live, "both", closely=True), full(pair.live, "both"), closely=True)


def test_from_its_own_warning_level_on_it_says_where_the_danger_is(pair: Pair) -> None:
    pair.long(cash=135_000.0)
    fallen(pair, 1.0)
    reading = portfolio_reading(pair.live, "one")
    assert reading.margin_ratio is not None
    assert 0.7 < reading.margin_ratio < 0.85, "the story is of a portfolio between its own level and the usual one"
    agrees(reading, full(pair.live, "one"), closely=True)
    equity, maintenance = reading.equity or 0.0, reading.maintenance_margin or 0.0
    assert reading.cash_to_safety == pytest.approx(maintenance / 0.7 - equity)
    assert maintenance / (equity + (reading.cash_to_safety or 0.0)) == pytest.approx(0.7)
    assert reading.scenario.startswith("-"), "a long loses where prices fall"
    assert reading.scenario.endswith("%"), "and holds no option"
    assert reading.next_step == NO_VENUE_ACTS, "Hyperliquid liquidates it by its own rule"


def test_without_equity_what_is_missing_is_told(pair: Pair) -> None:
    pair.long(cash=1_000.0)
    fallen(pair, 0.99)
    reading = portfolio_reading(pair.live, "one")
    assert reading.margin_ratio == float("inf")
    assert reading.cash_to_safety == pytest.approx((reading.maintenance_margin or 0.0) / 0.7 - (reading.equity or 0.0))


def test_while_there_are_failures_the_last_ratio_is_told(pair: Pair) -> None:
    fallen(pair, 0.97)
    first = portfolio_reading(pair.live, "both")
    pair.now_ns *= 1000
    pair.evaluate()
    lost = portfolio_reading(pair.live, "both")
    assert [failure.reason for failure in lost.failures][:1] == [FailureReason.STALE_MARK]
    assert (lost.margin_ratio, lost.equity, lost.worst, lost.excess) == (None, None, None, None)
    assert lost.last_margin_ratio == first.margin_ratio
    assert not lost.stale


def test_before_the_first_figure_there_is_none(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.live.ready = False
    (reading,) = portfolio_readings(pair.live)
    assert (reading.margin_ratio, reading.last_margin_ratio) == (None, None)
    assert [failure.reason for failure in reading.failures] == [FailureReason.NOT_READY]


def test_all_are_read_in_the_order_of_the_configuration(pair: Pair) -> None:
    fallen(pair, 0.97)
    assert [reading.portfolio for reading in portfolio_readings(pair.live)] == ["both", "one"]
    assert portfolio_readings(pair.live)[1] == portfolio_reading(pair.live, "one")
    with pytest.raises(KeyError, match="other"):
        portfolio_reading(pair.live, "other")


class OfBook:
    """Random books as live portfolios: their figures are the full results'."""

    def __init__(self, book: StressBook) -> None:
        self.books, self.last_ratios, self._book = self, dict[str, float](), book
        members = book.accounts.members
        rows = [PortfolioSettings(id=name, accounts=tuple(members[row])) for name, row in book.accounts.portfolios.items()]
        self.settings = SimpleNamespace(portfolios=rows)

    def failures_of(self, _: object) -> tuple[Failure, ...]:
        return ()

    def book_of(self, _: str) -> StressBook:
        return self._book

    def figures(self, name: str, failures: tuple[Failure, ...]) -> PortfolioFigures:
        assert failures == ()
        told = portfolio_result(self._book, name)
        if told.margin_ratio is None:
            return PortfolioFigures(name, "uta", failures=told.failures)
        money = (told.equity, told.maintenance_margin, told.initial_margin)
        return PortfolioFigures(name, "uta", told.level, (), *money, told.margin_ratio)


def test_random_books_are_read_as_their_full_results_say() -> None:
    seen, scenarios, stages = 0, set[str](), set[str]()
    for seed in range(60):
        desk = small_desk(seed, "uta")
        desk.book.evaluate()
        live = cast("LivePortfolios", OfBook(desk.book))
        for plain, close in zip(portfolio_readings(live), portfolio_readings(live, closely=True), strict=True):
            result = portfolio_result(desk.book, plain.portfolio)
            if plain.margin_ratio is None or not result.units:
                continue
            seen += 1
            is_near = plain.margin_ratio >= 0.85
            agrees(close, result, closely=True)
            agrees(plain, result, closely=is_near)
            assert (plain.cash_to_safety is None) is not is_near
            assert plain.cash_to_safety in (None, pytest.approx(result.cash_to_safety(0.85)))
            venues = [desk.book.accounts.states[account].row.venue for account in plain.accounts]
            assert (plain.next_step == NO_VENUE_ACTS) is (len(venues) > 1 or venues[0] in OWN_RULE)
            unit = worst_unit(result)
            assert ("vol" in close.scenario) is (unit.worst_volatility != 0.0 and any(map(any, unit.option)) and unit.max_loss > 0)
            scenarios.add(close.scenario)
            stages.add(plain.next_step)
    assert seen > 60
    assert any("vol up" in scenario for scenario in scenarios)
    assert any("extreme" in scenario for scenario in scenarios)
    assert "" in scenarios, "where no scenario costs anything, none is named"
    assert STAGE_TEXT[Stage.LIQUIDATION] in stages
    assert NO_VENUE_ACTS in stages


async def test_a_crash_on_three_venues_is_read_as_its_full_results_say() -> None:
    async with three_venues("crash", 60.0) as desk:
        live, seen = desk.app.portfolios, 0
        scenarios: set[str] = set()
        for _ in range(12):
            await desk.run(1.0)
            for plain, close in zip(portfolio_readings(live), portfolio_readings(live, closely=True), strict=True):
                if plain.failures:
                    continue
                seen += 1
                result = full(live, plain.portfolio)
                agrees(close, result, closely=True)
                assert replace(close, scenario="", scenario_loss=None, contributor="") == plain or (plain.margin_ratio or 0.0) >= 0.85
                scenarios.add(close.scenario)
                unit = worst_unit(result)
                assert ("vol" in close.scenario) is (unit.worst_volatility != 0.0 and any(map(any, unit.option)) and unit.max_loss > 0)
        assert seen >= 12
        assert any("vol" in scenario for scenario in scenarios)
        began = time.perf_counter()
        for _ in range(50):
            portfolio_readings(live)
        assert (time.perf_counter() - began) / 50 / len(live.settings.portfolios) < 0.005
