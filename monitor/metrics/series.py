"""Families of samples, and how many of them a scrape tells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from monitor.metrics.pace import paced

PREFIX = "marginwatch_"

DETAILS = (
    "portfolio_position_contribution_usd",
    "portfolio_distance_ratio",
    "portfolio_greek",
    "portfolio_contingency_usd",
    "portfolio_max_loss_usd",
    "market_state",
    "portfolio_family_loss_usd",
    "account_cash_to_safety_usd",
    "account_positions",
    "account_distance_ratio",
    "account_next_funding_usd",
    "account_next_funding_timestamp_seconds",
)
"""What is left out where there is too much, the finest first; everything else never is."""

Rows = Iterable[tuple[Sequence[str], float | None]]
"""Values of the labels, and the figure: None or NaN is not known, and no sample."""


def gauge(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """A family of gauges; `name` without the prefix."""
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), rows)


def counter(name: str, text: str, labels: Sequence[str], rows: Rows) -> Metric:
    """A family of counters; `name` ends in `_total`."""
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), rows)


def one(name: str, text: str, value: float | None) -> Metric:
    """A gauge without labels."""
    return gauge(name, text, (), [((), value)])


def info(name: str, text: str, labels: Sequence[str], rows: Iterable[Sequence[str]]) -> Metric:
    """A family of 1 for each row of labels; `name` ends in `_info`."""
    family = InfoMetricFamily(PREFIX + name.removesuffix("_info"), text, labels=labels)
    for row in paced(rows):
        family.add_metric(row, {})
    return family


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for labels, value in paced(rows):
        if value is not None and not math.isnan(value):
            family.add_metric(labels, value)
    return family


def bounded(families: Sequence[Metric], limit: int) -> list[Metric]:
    """At most `limit` samples in all, if leaving out DETAILS can do that; with the families that say how many, and which lack."""
    sizes = {family.name: len(family.samples) for family in families}
    total, omitted = sum(sizes.values()) + 1, []
    for name in DETAILS:
        # each one that is left out is a sample itself
        if total > limit and sizes.get(PREFIX + name, 0) > 1:
            total -= sizes[PREFIX + name] - 1
            omitted.append(PREFIX + name)
    kept = [family for family in families if family.name not in omitted]
    missing = info("metrics_omitted_info", "1 for each family left out for want of room.", ("family",), [(name,) for name in omitted])
    return [*kept, one("metrics_series", "Samples of this scrape.", total), missing]
