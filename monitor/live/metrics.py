"""Prometheus metrics of the portfolios: their figures as of the last tick, and the drift of incremental against full evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from monitor.live.books import PortfolioFigures
from monitor.stress.book import StressStatistics

_FIGURES = (
    ("equity_usd", "equity", "Equity of the portfolio."),
    ("maintenance_margin_usd", "maintenance_margin", "Maintenance margin by the portfolio method."),
    ("initial_margin_usd", "initial_margin", "Initial margin by the portfolio method."),
    ("margin_ratio", "margin_ratio", "Maintenance margin over equity; no venue acts on it. Absent while unknown."),
    ("cross_maintenance_margin_usd", "cross_maintenance_margin", "Maintenance margin of the same positions leg by leg."),
)


def portfolio_families(figures: Sequence[PortfolioFigures], statistics: Mapping[str, StressStatistics]) -> Iterator[Metric]:
    """Every family; a figure that cannot be given has no sample. `statistics` of the books by the name of their parameters."""
    drift = GaugeMetricFamily(
        "marginwatch_portfolio_drift_ratio",
        "Largest relative difference ever seen between a figure of the ticks and the same computed anew.",
        labels=("parameters",),
    )
    evaluations = CounterMetricFamily("marginwatch_portfolio_evaluations", "Portfolios totalled.", labels=("parameters",))
    labels = ("portfolio", "parameters")
    valid = GaugeMetricFamily("marginwatch_portfolio_valid", "1 while the margin ratio is known.", labels=labels)
    families = [(key, GaugeMetricFamily(f"marginwatch_portfolio_{name}", text, labels=labels)) for name, key, text in _FIGURES]
    for name, told in statistics.items():
        drift.add_metric((name,), told.drift)
        evaluations.add_metric((name,), told.portfolios)
    for one in figures:
        valid.add_metric((one.portfolio, one.parameters), float(one.margin_ratio is not None))
        for key, family in families:
            value = getattr(one, key)
            if value is not None:
                family.add_metric((one.portfolio, one.parameters), value)
    yield from (drift, evaluations, valid, *(family for _, family in families))
