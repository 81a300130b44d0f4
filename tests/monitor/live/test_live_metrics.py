"""What a scrape sees of portfolios."""

from __future__ import annotations

from connectors.events import FailureReason
from monitor.live.books import PortfolioFigures
from monitor.live.metrics import portfolio_families
from monitor.margin.result import Failure, Level
from monitor.stress.book import StressStatistics

KNOWN = PortfolioFigures("desk", "uta", Level.OK, (), 1e5, 20_060.0, 24_072.0, 0.2006, 30_000.0, 40_000.0, 0.33)
UNKNOWN = PortfolioFigures("pair", "uta", failures=(Failure(FailureReason.STALE_ACCOUNT, "account iris has no value"),))


def scraped(*figures: PortfolioFigures) -> dict[tuple[str, str], float]:
    told = StressStatistics(5, 40, 1e-13)
    rows = [sample for family in portfolio_families(figures, {"uta": told}) for sample in family.samples]
    assert all(sample.labels["parameters"] == "uta" for sample in rows)
    return {
        (sample.labels.get("portfolio", ""), sample.name.removeprefix("marginwatch_portfolio_")): float(sample.value) for sample in rows
    }


def test_a_portfolio_has_its_figures_and_its_book_the_drift() -> None:
    found = scraped(KNOWN)
    assert found["desk", "margin_ratio"] == 0.2006
    assert found["desk", "maintenance_margin_usd"] == 20_060.0
    assert found["desk", "cross_maintenance_margin_usd"] == 30_000.0
    assert found["desk", "valid"] == 1.0
    assert (found["", "drift_ratio"], found["", "evaluations_total"]) == (1e-13, 40.0)


def test_without_a_value_there_is_no_sample_but_that_it_has_none() -> None:
    found = scraped(UNKNOWN)
    assert {name for portfolio, name in found if portfolio == "pair"} == {"valid"}
    assert found["pair", "valid"] == 0.0
