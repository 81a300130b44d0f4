"""What a Prometheus scrape of 5,000 series costs the ticks: their way from a venue's clock to the decision, with a client that scrapes
without a rest and without one, by turns. The clock and the client are processes of their own.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import numpy as np
from prometheus_client import exposition

from bench.ticking import RATE, Ticking, typical
from kernels.pool import Floats
from monitor.app import Application
from monitor.metrics.collector import Collector
from monitor.web.server import ApiServer

ACCOUNTS, PORTFOLIOS = 100, 5
BLOCK_S, BLOCKS = 4.0, 8
LIMIT_MS = 5.0


def _halves(app: Application) -> None:
    collector, took = Collector(app), []
    begin = time.perf_counter()
    for _ in collector.turns():
        took.append(1e3 * (time.perf_counter() - begin))
        begin = time.perf_counter()
    took.append(1e3 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    body = exposition.generate_latest(collector.registry)
    rendered = 1e3 * (time.perf_counter() - begin)
    print(f"taken on the loop in {len(took)} turns of at most {max(took):.2f} ms, {sum(took):.1f} ms in all")
    print(f"{len(body) / 1e3:.0f} kB rendered in a thread in {rendered:.0f} ms, its pauses included")


async def _run() -> None:
    bench = Ticking(ACCOUNTS, PORTFOLIOS)
    server = ApiServer(bench.app, "127.0.0.1", 0)
    await server.start()
    await bench.app.start()
    try:
        bench.open()
        await bench.warm(BLOCK_S)
        quiet, scraped, told = [], [], []
        for _ in range(BLOCKS):
            quiet.append((await bench.block(BLOCK_S))[0])
            delays, said = await bench.block(BLOCK_S, "scrapes", f"{server.url}/metrics", str(BLOCK_S))
            scraped.append(delays)
            told.append(said)
        _halves(bench.app)
    finally:
        await bench.app.stop()
        await server.stop()
    _report(quiet, scraped, told)


def _report(quiet: list[Floats], scraped: list[Floats], told: list[Any]) -> None:
    scrapes, p50_ms = sum(said["scrapes"] for said in told), float(np.median([said["p50_ms"] for said in told]))
    print(f"{told[-1]['series']} series, {scrapes} scrapes of {p50_ms:.0f} ms in {BLOCKS * BLOCK_S:.0f} s, {RATE:.0f} frames a second")
    rows = typical("without scrapes", quiet), typical("with scrapes", scraped)
    later = [after - before for before, after in zip(*rows, strict=True)]
    verdict = "kept" if max(later) <= LIMIT_MS else "MISSED"
    p50, p99, worst = later
    print(f"a tick is later by p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.2f} ms: {LIMIT_MS:.0f} ms {verdict}")


def main() -> None:
    """Measure and print."""
    if (os.cpu_count() or 1) < 2:
        print("one processor: the client takes its time from the ticks")
    asyncio.run(_run())
