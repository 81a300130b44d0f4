"""The whole monitor over real sockets against the simulated venue, on a clock the test moves: no test waits for real time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import generate_latest
from rich.console import Console

from config import DEMO, load
from connectors.clock import ManualClock
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidServer, HyperliquidVenue, Market, demo_desk
from connectors.simulator.hyperliquid_desk import demo_plans
from kernels._jit import permit_compilation
from monitor import status
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.message import Delivery, Message
from monitor.app import Application
from monitor.margin.result import PoolResult
from monitor.metrics.collector import Collector
from monitor.status import funding_of
from monitor.terminal import pool_table
from monitor.venues import Transports, connector_factory

STEP_S = 0.25


class Recorder:
    """A receiver that keeps what it gets."""

    def __init__(self) -> None:
        self.name = "recorder"
        self.messages: list[Message] = []

    async def send(self, message: Message) -> Delivery:
        self.messages.append(message)
        return Delivery(True)

    @property
    def titles(self) -> list[str]:
        return [message.text.full for message in self.messages]


class LoopbackMonitor:
    """A running monitor and its venue. `run` moves both clocks together."""

    def __init__(
        self, market: Market, venue: HyperliquidVenue, plans: Sequence[AccountPlan], overrides: dict[str, Any] | None = None
    ) -> None:
        self.market, self.venue, self.plans = market, venue, list(plans)
        self.server = HyperliquidServer(venue, autorun=False)
        self.clock = ManualClock(time_ms=market.now_ms)
        self.recorder = Recorder()
        self._overrides = overrides or {}

    async def start(self) -> None:
        await self.server.start()
        venue = {"rest_url": self.server.rest_url, "ws_url": self.server.ws_url, **self._overrides}
        accounts = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address} for plan in self.plans]
        settings = load(DEMO, overrides={"accounts": accounts, "venues": {"hyperliquid": venue}})
        self.transports = Transports.real()
        self.app = Application(
            settings, connector_factory(settings, self.transports, self.clock), [LineSettings(self.recorder)], self.clock
        )
        self.collector = Collector(self.app)
        await self.app.start()

    async def stop(self) -> None:
        stopping = asyncio.create_task(self.app.stop())
        while not stopping.done():
            await asyncio.sleep(0.002)
            await self.clock.advance(0.1)
        await stopping
        await self.server.stop()
        await self.transports.close()
        permit_compilation()

    async def run(self, seconds: float, *, venue_moves: bool = True) -> None:
        for _ in range(round(seconds / STEP_S)):
            if venue_moves:
                await self.server.step(STEP_S)
            await self.quiet()
            await self.clock.advance(STEP_S)
            await self.quiet()

    async def quiet(self) -> None:
        """Let the sockets deliver: until nothing new arrived for two turns of a millisecond."""
        before, still = -1, 0
        for _ in range(200):
            now = self._frames()
            still = still + 1 if now == before else 0
            if still >= 2:
                return
            before = now
            await asyncio.sleep(0.001)

    def _frames(self) -> int:
        said = self.app.connectors[0].describe()
        frames: int = sum(row.frames for row in said["connections"].values())
        return frames + int(said["budget"].weight_total)

    async def until(self, condition: Any, seconds: float) -> None:
        """Run until the condition holds, at most so long."""
        for _ in range(round(seconds / STEP_S)):
            if condition():
                return
            await self.run(STEP_S)
        assert condition(), (
            f"not within {seconds} s: {self.app.unready()} {[(r.scope, r.failures) for r in self.app.results() if r.failures]}"
        )

    async def exact(self) -> bool:
        """Whether our figures equal the venue's own now that both stand still; frames on their way may take a few milliseconds."""
        for _ in range(100):
            if self.worst_difference() < 1e-8:
                return True
            await asyncio.sleep(0.005)
        return False

    async def becomes_exact(self, seconds: float) -> bool:
        """Whether every figure equals the venue's own within that time: a wallet read while executions were on their way is
        corrected by the next one."""
        for _ in range(round(seconds / STEP_S)):
            if self.all_valid() and self.worst_difference() < 1e-8:
                return True
            await self.run(STEP_S)
        return False

    # -- what a user sees -----------------------------------------------------------------------------------------------------------

    def result(self, account: str, pool: str) -> PoolResult:
        return next(r for r in self.app.results() if (r.account, r.pool) == (account, pool))

    def is_valid(self, account: str) -> bool:
        found = [r for r in self.app.results() if r.account == account]
        return bool(found) and all(r.valid for r in found)

    def all_valid(self) -> bool:
        return all(self.is_valid(plan.name) for plan in self.plans)

    def status(self) -> dict[str, Any]:
        return status.status(self.app)

    def metrics(self) -> str:
        for _ in self.collector.turns():
            pass
        return generate_latest(self.collector.registry).decode()

    def terminal(self) -> str:
        console = Console(file=io.StringIO(), width=200)
        results = self.app.results()
        console.print(pool_table(results, {}, "test", funding_of(self.app, results)))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def worst_difference(self) -> float:
        """Largest relative difference from the venue's own figures of all valid pools, at this instant."""
        worst = 0.0
        for plan in self.plans:
            for pool, figures in self.venue.figures(plan.address).items():
                result = self.result(plan.name, pool)
                if result.equity is None:
                    continue
                worst = max(worst, abs(result.equity - figures.equity) / max(1.0, abs(figures.equity)))
        return worst


@asynccontextmanager
async def loopback(
    names: Sequence[str] = ("atlas", "cygnus"), *, scenario: str = "calm", duration: float = 600.0, **overrides: Any
) -> AsyncIterator[LoopbackMonitor]:
    """A monitor of some accounts of the demo desk, every account once fresh."""
    market, venue = demo_desk(duration, scenario=scenario, context_interval=STEP_S, account_frame_interval=2.0)
    plans = [plan for plan in demo_plans(scenario) if plan.name in names]
    monitor = LoopbackMonitor(market, venue, plans, {"fast_contexts": False, **overrides})
    await monitor.start()
    try:
        await monitor.until(lambda: not monitor.app.unready() and monitor.all_valid(), 20.0)
        yield monitor
    finally:
        await monitor.stop()
