"""What a Prometheus scrape costs the event loop: rendering happens in a thread, only the snapshot is taken inline."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import exposition
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import CollectorRegistry

from bench.desk import Desk
from kernels.warmup import warm_up
from monitor.funding import next_funding

NOW_MS = 1_790_000_000_000


class _Series:
    def __init__(self, results: list[object], copies: int) -> None:
        self._results, self._copies = results, copies

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("bench", "series", labels=("account", "copy"))
        for number in range(self._copies):
            for result in self._results:
                family.add_metric((getattr(result, "account", ""), str(number)), 1.0)
        yield family


def main() -> None:
    """Measure and print."""
    warm_up()
    desk = Desk(100, 20)
    begin = time.perf_counter()
    results = desk.engine.results(0)
    taken = time.perf_counter() - begin
    next_funding(desk.engine, results, lambda venue: NOW_MS)
    begin = time.perf_counter()
    funding = next_funding(desk.engine, results, lambda venue: NOW_MS)
    paid = time.perf_counter() - begin
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Series(list(results), 50))
    begin = time.perf_counter()
    body = exposition.generate_latest(registry)
    rendered = time.perf_counter() - begin
    print(f"results of {len(results)} pools taken on the loop in {1e3 * taken:.2f} ms")
    positions = sum(len(one.rows) for one in funding.values())
    print(f"next funding of {positions} positions taken on the loop in {1e3 * paid:.2f} ms")
    print(f"{body.count(10)} lines rendered off it in {1e3 * rendered:.1f} ms")
