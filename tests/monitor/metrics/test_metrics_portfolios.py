"""What a scrape says of portfolios: of a desk on three venues as its close look has it, and nothing that no longer holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.events import FailureReason
from monitor.live.books import PortfolioFigures
from monitor.live.view import PortfolioView
from monitor.margin.portfolio import LegResult, PortfolioResult, UnitResult
from monitor.margin.result import Failure, Level, PoolKind, PoolResult
from monitor.metrics.pools import PoolRow
from monitor.metrics.portfolios import PortfolioRow, PortfolioRows, detail_families, portfolio_families
from monitor.resolvers.provenance import Provenance
from monitor.stress.book import StressStatistics

FAILURE = Failure(FailureReason.STALE_ACCOUNT, "account iris has no value")
KNOWN = PortfolioFigures("desk", "uta", Level.BREACH, (), 1e5, 20_060.0, 24_072.0, 0.2006, 30_000.0, 40_000.0, 0.33)
UNKNOWN = PortfolioFigures("desk", "uta", failures=(FAILURE,))
LEGS = tuple(LegResult("iris", name, None, 1.0, 100.0, share) for name, share in (("a", 5.0), ("b", -90.0), ("c", 20.0)))
UNIT = UnitResult("BTC", max_loss=7.0, contingency={"vega_spread": 2.0}, delta=0.5, gamma=-1e-6, vega=300.0, positions=LEGS)
RESULT = PortfolioResult(
    "desk", "portfolio", Level.OK, margin_ratio=0.2, families={"directional": 3.0}, gross_notional=300.0, net_notional=-100.0, units=(UNIT,)
)
VIEW = PortfolioView("desk", 1, result=RESULT, market={("index", "BTC"): Provenance.AGING}, distances={("ALL", "warning", "down"): -0.2})
POOL = PoolResult(
    venue="aster", account="iris", pool="USDT", kind=PoolKind.ASTER_CROSS, mode="single", asset="USDT", level=Level.OK, margin_ratio=0.5,
    raw_ratio=None, limit=1.0, equity=1.0, maintenance_margin=0.5, excess=0.5, reconciled=True,
)  # fmt: skip

Told = dict[tuple[str, ...], float]


def told(*rows: PortfolioRow, pools: tuple[PoolRow, ...] = (), contributions: int = 2) -> Told:
    """(family without prefixes, *values of its labels but the portfolio's) -> value."""
    portfolios = PortfolioRows(rows, {"uta": StressStatistics(5, 40, 1e-13)}, contributions)
    families = [*portfolio_families(portfolios, pools), *detail_families(portfolios)]
    samples: list[Any] = [sample for family in families for sample in family.samples]
    short = [(sample.name.removeprefix("marginwatch_").removeprefix("portfolio_"), sample) for sample in samples]
    return {(name, *(value for label, value in sample.labels.items() if label != "portfolio")): sample.value for name, sample in short}


def row(figures: PortfolioFigures = KNOWN, view: PortfolioView | None = VIEW) -> PortfolioRow:
    return PortfolioRow(("iris", "umbra"), True, figures, view)


def pool(account: str, usd: float | None, time_ms: int | None, reconciled: bool | None = True) -> PoolRow:
    return PoolRow(replace(POOL, account=account, reconciled=reconciled), 1.0, True, usd, time_ms)


def test_a_portfolio_has_its_figures_and_its_book_the_drift() -> None:
    found = told(row())
    assert found["margin_ratio",] == 0.2006
    assert found["maintenance_margin_usd",] == 20_060.0
    assert found["cross_maintenance_margin_usd",] == 30_000.0
    assert found["excess_usd",] == 1e5 - 20_060.0
    assert (found["valid",], found["level",], found["info", "uta", "true"]) == (1.0, 4.0, 1.0)
    assert (found["incremental_drift_ratio", "uta"], found["evaluations_total", "uta"]) == (1e-13, 40.0)


def test_the_close_look_is_told() -> None:
    found = told(row())
    assert (found["gross_notional_usd",], found["net_notional_usd",]) == (300.0, -100.0)
    assert found["max_loss_usd", "BTC"] == 7.0
    assert found["contingency_usd", "BTC", "vega_spread"] == 2.0
    assert found["family_loss_usd", "directional"] == 3.0
    assert [found["greek", "BTC", greek] for greek in ("delta", "gamma", "vega")] == [0.5, -1e-6, 300.0]
    assert found["distance_ratio", "ALL", "warning", "down"] == -0.2
    assert found["market_state", "index", "BTC"] == 1.0


@pytest.mark.parametrize(("count", "names"), [(0, []), (1, ["b"]), (2, ["b", "c"]), (9, ["b", "c", "a"])])
def test_the_largest_contributions_of_either_sign_are_told(count: int, names: list[str]) -> None:
    found = told(row(), contributions=count)
    assert [key[2] for key in found if key[0] == "position_contribution_usd"] == names
    assert names == [] or found["position_contribution_usd", "iris", "b", ""] == -90.0


@pytest.mark.parametrize(
    "stale",
    [
        row(UNKNOWN),
        row(view=None),
        row(view=PortfolioView("desk", 1, (FAILURE,))),
        row(view=replace(VIEW, result=replace(RESULT, failures=(FAILURE,)))),
    ],
)
def test_a_look_that_no_longer_holds_leaves_no_figure(stale: PortfolioRow) -> None:
    figures = ("notional", "loss", "contingency", "greek", "contribution", "distance")
    assert [key for key in told(stale) if any(word in key[0] for word in figures)] == []


def test_without_a_value_there_is_only_why_and_what_the_market_lacks() -> None:
    found = told(row(UNKNOWN))
    names = {key[0] for key in found} - {"incremental_drift_ratio", "evaluations_total"}
    assert names == {"valid", "info", "failure_info", "market_state"}
    assert (found["valid",], found["failure_info", "STALE_ACCOUNT"]) == (0.0, 1.0)


def test_two_portfolios_tell_the_worse_of_a_market_figure() -> None:
    worse = replace(VIEW, portfolio="pair", market={("index", "BTC"): Provenance.MISSING})
    assert told(row(), row(view=worse), row())["market_state", "index", "BTC"] == 6.0


def test_a_portfolio_is_reconciled_as_all_its_pools_are() -> None:
    assert told(row(), pools=(pool("iris", None, None), pool("umbra", None, None, None)))["reconciled",] == 1.0
    assert told(row(), pools=(pool("iris", None, None), pool("umbra", None, None, False)))["reconciled",] == 0.0
    assert ("reconciled",) not in told(row(), pools=(pool("iris", None, None, None), pool("atlas", None, None)))


def test_the_next_funding_is_that_of_the_nearest_time() -> None:
    pools = (pool("iris", 5.0, 2000), pool("umbra", -7.0, 2000), pool("iris", 100.0, 9000), pool("atlas", 1.0, 1000))
    found = told(row(), pools=pools)
    assert (found["next_funding_usd",], found["next_funding_timestamp_seconds",]) == (-2.0, 2.0)
    assert ("next_funding_usd",) not in told(row(), pools=(*pools, pool("iris", None, 2000))), "one that pays then is not known"
    assert ("next_funding_usd",) not in told(row(), pools=(*pools, pool("iris", None, None))), "one may pay then"
    assert told(row(), pools=(*pools, pool("iris", None, 9000)))["next_funding_usd",] == -2.0
    assert ("next_funding_timestamp_seconds",) not in told(row(UNKNOWN), pools=pools)
