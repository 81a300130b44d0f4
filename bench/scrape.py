"""What a Prometheus scrape of 5,000 series costs the ticks: their way from a venue's clock to the decision, with a client that scrapes
without a rest and without one, by turns. The clock and the client are processes of their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from prometheus_client import exposition

from bench.desk import Desk
from config import DEMO, load
from connectors.clock import SystemClock
from connectors.events import AccountSnapshot, Event, FeedState, FeedStatus, Instruments, ModeReport
from connectors.model import MarginMode, Position, Section, Token, Wallet
from connectors.ratelimit import Budget, BudgetLimits
from connectors.session_protocol import SessionStatistics
from kernels.pool import Floats
from monitor.app import Application
from monitor.margin.hyperliquid import VENUE
from monitor.metrics.collector import Collector
from monitor.web.server import ApiServer

ACCOUNTS, POSITIONS, PORTFOLIOS = 100, 20, 5
RATE, BLOCK_S, BLOCKS = 50.0, 4.0, 8
LIMIT_MS = 5.0
ACCOUNT_FEEDS = ("allDexsClearinghouseState", "spotState")
MARKET_FEED = "allDexsAssetCtxs"


class _Quiet:
    """A connector that says nothing by itself."""

    venue = VENUE

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        return None

    def refresh(self, account: str) -> None:
        return None

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        return None

    def set_accounts(self, accounts: Iterable[Any]) -> None:
        return None

    def set_wanted(self, instruments: Iterable[str]) -> None:
        return None

    def watch_coins(self, coins: Iterable[str]) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        budget = Budget(VENUE, BudgetLimits(weight_per_minute=1200), 1.0, SystemClock())
        return {"connections": {f"{VENUE} market": SessionStatistics()}, "budget": budget.statistics()}


class _Bench:
    """An application with a desk that fills `/metrics`, and the ticks that it gets."""

    def __init__(self) -> None:
        names = [f"account-{number}" for number in range(ACCOUNTS)]
        rows = [{"id": name, "venue": VENUE, "address": f"0x{number:040x}"} for number, name in enumerate(names, 1)]
        groups = [{"id": f"desk-{number}", "accounts": names[3 * number : 3 * number + 3]} for number in range(PORTFOLIOS)]
        metrics = {"series_limit": 100_000, "contributions": 50}
        settings = load(DEMO, overrides={"accounts": rows, "portfolios": groups, "metrics": metrics}, quiet=True)
        self.app = Application(settings, lambda sink: [_Quiet()], [], SystemClock())
        self.desk = Desk(1, 20)
        self.frames = self.desk.frames(round(RATE * BLOCK_S))
        self._random = random.Random(2)
        self._delays: list[float] = []

    def open(self) -> None:
        """Tell all that the accounts need to have a value."""
        now_ns, reference = self.app.clock.monotonic_ns(), self.desk.shared.current
        sections = dict.fromkeys(reference.dexs, 0)
        told: list[Event] = [
            Instruments(VENUE, tuple(reference.instruments.values()), sections, (Token(VENUE, 0, "USDC", "USDC"),), now_ns)
        ]
        told.append(FeedState(VENUE, MARKET_FEED, None, FeedStatus.FRESH, now_ns, "", 60.0))
        for account in self.app.settings.accounts:
            told += [ModeReport(VENUE, account.id, now_ns, "default"), self._account(account.id, now_ns)]
            told += [FeedState(VENUE, feed, account.id, FeedStatus.FRESH, now_ns, "", 60.0) for feed in ACCOUNT_FEEDS]
        self.app.receive(told)
        self.desk.shared.want(self.app.book.held(VENUE))

    def _account(self, name: str, now_ns: int) -> AccountSnapshot:
        rows = []
        for key in self._random.sample(sorted(key for key in self.desk.marks if key.count(":") == 1), POSITIONS):
            notional = self._random.uniform(20_000, 400_000) * self._random.choice((-1, 1))
            mark = self.desk.marks[key]
            rows.append(Position(key, notional / mark, mark, MarginMode.CROSS, leverage=10.0, max_leverage=20.0))
        value = sum(row.quantity * row.mark for row in rows)
        equity = sum(abs(row.quantity * row.mark) for row in rows) / 20
        return AccountSnapshot(VENUE, name, now_ns, (Section("", 1, equity - value, tuple(rows)),), Wallet(()))

    def tick(self, sent_ns: int) -> None:
        """A frame came that was sent then."""
        frame = self.frames[len(self._delays) % len(self.frames)]
        self.app.receive(self.desk.protocol.receive(frame, self.app.clock.monotonic_ns()))
        # after the evaluation, which is in the same queue
        asyncio.get_running_loop().call_soon(lambda: self._delays.append((time.monotonic_ns() - sent_ns) / 1e6))

    async def block(self, url: str | None) -> tuple[Floats, dict[str, Any] | None]:
        """The delays of a block of ticks in ms, and what the client says that scraped meanwhile."""
        self._delays.clear()
        peer = [sys.executable, "-m", "bench.scrape_peer"]
        clock = await asyncio.create_subprocess_exec(*peer, "ticks", str(RATE), str(BLOCK_S), stdout=asyncio.subprocess.PIPE)
        client = None
        if url is not None:
            client = await asyncio.create_subprocess_exec(*peer, "scrapes", url, str(BLOCK_S), stdout=asyncio.subprocess.PIPE)
        assert clock.stdout is not None
        async for line in clock.stdout:
            self.tick(int(line))
        await clock.wait()
        told = None if client is None else json.loads((await client.communicate())[0])
        return np.array(self._delays[10:]), told


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
    bench = _Bench()
    server = ApiServer(bench.app, "127.0.0.1", 0)
    await server.start()
    await bench.app.start()
    try:
        bench.open()
        await bench.block(None)
        while not bench.app.portfolio_views or any(view.failures for view in bench.app.portfolio_views):
            await bench.block(None)
        quiet, scraped, told = [], [], []
        for _ in range(BLOCKS):
            quiet.append((await bench.block(None))[0])
            delays, said = await bench.block(f"{server.url}/metrics")
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
    rows = []
    for label, blocks in (("without scrapes", quiet), ("with scrapes", scraped)):
        # of each figure the median of the blocks: what else the machine does falls into some of them
        p50, p99, worst = np.median([np.percentile(block, [50, 99, 100]) for block in blocks], axis=0)
        rows.append((p50, p99, worst))
        print(f"{label}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst of {len(blocks[0])} {worst:.2f} ms")
    later = [after - before for before, after in zip(*rows, strict=True)]
    verdict = "kept" if max(later) <= LIMIT_MS else "MISSED"
    p50, p99, worst = later
    print(f"a tick is later by p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.2f} ms: {LIMIT_MS:.0f} ms {verdict}")


def main() -> None:
    """Measure and print."""
    if (os.cpu_count() or 1) < 2:
        print("one processor: the client takes its time from the ticks")
    asyncio.run(_run())
