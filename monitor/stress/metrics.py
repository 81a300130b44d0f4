"""Prometheus metrics of stress books: their portfolios, and the drift of incremental against full evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from kernels import layout
from monitor.stress.book import StressBook

_FIGURES = (
    ("equity_usd", "equity", "Equity of the portfolio."),
    ("maintenance_margin_usd", "maintenance", "Maintenance margin by the portfolio method."),
    ("initial_margin_usd", "initial", "Initial margin by the portfolio method."),
    ("margin_ratio", "ratio", "Maintenance margin over equity; no venue acts on it. Absent while unknown."),
)


class StressCollector:
    """Collects over the books that `books` returns at a scrape; a figure that cannot be given has no sample."""

    def __init__(self, books: Callable[[], Sequence[StressBook]]) -> None:
        self._books = books

    def collect(self) -> Iterator[Metric]:
        """Every family, with a sample for each parameter set or portfolio; none without books."""
        books = self._books()
        if not books:
            return
        drift = GaugeMetricFamily(
            "marginwatch_portfolio_drift_ratio",
            "Largest relative difference ever measured between incremental and full evaluation.",
            labels=("parameters",),
        )
        evaluations = CounterMetricFamily("marginwatch_portfolio_evaluations", "Portfolios totalled.", labels=("parameters",))
        labels = ("portfolio", "parameters")
        valid = GaugeMetricFamily("marginwatch_portfolio_valid", "1 while the margin ratio is known.", labels=labels)
        figures = [(column, GaugeMetricFamily(f"marginwatch_portfolio_{name}", text, labels=labels)) for name, column, text in _FIGURES]
        for book in books:
            name, table = book.parameters.name, book.tables.portfolios.table
            drift.add_metric((name,), book.statistics.drift)
            evaluations.add_metric((name,), book.statistics.portfolios)
            for portfolio, row in book.accounts.portfolios.items():
                is_valid = table["status"][row] == layout.OK and table["equity_status"][row] == layout.OK
                valid.add_metric((portfolio, name), float(is_valid))
                for column, family in figures if is_valid else ():
                    family.add_metric((portfolio, name), float(table[column][row]))
        yield from (drift, evaluations, valid, *(family for _, family in figures))
