"""What a scrape sees of stress books."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry

from monitor.snapshot import parse_snapshot
from monitor.stress.load import book_of
from monitor.stress.metrics import StressCollector
from tests.kernels.stress_books import account, document, held, parameters_of, perpetual
from tests.monitor.openmetrics import parsed, rendered

CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)


def scraped(mark: float | None) -> tuple[dict[str, float], float]:
    source = parse_snapshot(document([perpetual(mark=mark)], [account(positions=[held("v:perp", 2.0)], equity=1e5)]), "book")
    book = book_of(source, parameters_of(source, "uta"), CUTS)
    book.measure_drift()
    registry = CollectorRegistry()
    registry.register(StressCollector(lambda: [book]))
    rows = [sample for family in parsed(rendered(registry).decode()) for sample in family.samples]
    assert all(sample.labels["parameters"] == "uta" for sample in rows)
    return {sample.name.removeprefix("marginwatch_portfolio_"): float(sample.value) for sample in rows}, book.statistics.drift


def test_a_portfolio_has_its_figures_and_its_book_the_drift() -> None:
    found, drift = scraped(100_000.0)
    assert found["margin_ratio"] == 20_060.0 / 1e5
    assert found["maintenance_margin_usd"] == 20_060.0
    assert found["valid"] == 1.0
    assert found["drift_ratio"] == drift < 1e-12


def test_without_a_value_there_is_no_sample() -> None:
    found, drift = scraped(None)
    assert found["valid"] == 0.0
    assert "margin_ratio" not in found
    assert math.isfinite(drift)
