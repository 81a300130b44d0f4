"""What a scrape of an application says."""

from __future__ import annotations

from prometheus_client import exposition
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from monitor.app import Application
from monitor.metrics.collector import Collector
from tests.monitor import openmetrics


def taken(app: Application) -> Collector:
    """A collector with what stands now."""
    collector = Collector(app)
    for _ in collector.turns():
        pass
    return collector


def text_of(app: Application) -> str:
    """The scrape as Prometheus gets it."""
    return exposition.generate_latest(taken(app).registry).decode()


def scraped(app: Application) -> dict[str, list[Sample]]:
    """The samples by family, of the plain text format; names without the prefix."""
    return {family.name.removeprefix("marginwatch_"): family.samples for family in parse(text_of(app))}


def families_of(app: Application) -> dict[str, Metric]:
    """The families as a strict reader of OpenMetrics understands them."""
    return {family.name: family for family in openmetrics.parsed(openmetrics.rendered(taken(app).registry).decode())}


def by(samples: list[Sample], *labels: str) -> dict[tuple[str, ...], float]:
    """Values by some of the labels."""
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in samples}


def pools(samples: list[Sample]) -> dict[str, float]:
    """Values by pool."""
    return {sample.labels["pool"]: sample.value for sample in samples}
