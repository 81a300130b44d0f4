"""The whole monitor on the demo's three simulated venues over loopback sockets, on a clock the test moves with the venues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from connectors.clock import ManualClock
from kernels._jit import permit_compilation
from kernels.warmup import warm_up_portfolio
from monitor.alerts.dispatcher import LineSettings
from monitor.app import Application
from monitor.demo import Venues, demo_settings
from monitor.live.books import PortfolioFigures
from monitor.venues import Transports, connector_factory
from tests.monitor.loopback import Recorder

STEP_S = 0.25


class ThreeVenues:
    """A running monitor and its venues. `run` moves all clocks together."""

    def __init__(self, scenario: str, duration: float) -> None:
        self.venues = Venues.of(scenario, duration)
        self.market = self.venues.hyperliquid.venue.market
        self.clock = ManualClock(time_ms=self.market.now_ms)
        self.recorder = Recorder()
        self._scenario = scenario

    async def start(self) -> None:
        await self.venues.start()
        settings = demo_settings(self.venues, self._scenario, 0)
        self.transports = Transports.real()
        self.app = Application(
            settings, connector_factory(settings, self.transports, self.clock), [LineSettings(self.recorder)], self.clock
        )
        await self.app.start()

    async def stop(self) -> None:
        stopping = asyncio.create_task(self.app.stop())
        while not stopping.done():
            await asyncio.sleep(0.002)
            await self.clock.advance(0.1)
        await stopping
        await self.venues.stop()
        await self.transports.close()
        permit_compilation()

    async def run(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / STEP_S))):
            await self.venues.step(STEP_S)
            await self.quiet()
            await self.clock.advance(STEP_S)
            await self.quiet()

    async def quiet(self) -> None:
        """Let the sockets deliver: until nothing new arrived for two turns of a millisecond."""
        before, still = -1, 0
        for _ in range(200):
            now = sum(self._frames(connector.describe()) for connector in self.app.connectors)
            still = still + 1 if now == before else 0
            if still >= 2:
                return
            before = now
            await asyncio.sleep(0.001)

    @staticmethod
    def _frames(said: dict[str, object]) -> int:
        connections = said["connections"]
        assert isinstance(connections, dict)
        budget = said.get("budget")
        frames: int = sum(row.frames for row in connections.values())
        return frames + int(getattr(budget, "weight_total", 0))

    async def until(self, holds: Callable[[], bool], seconds: float) -> None:
        """Run until something holds, at most so long."""
        for _ in range(round(seconds / STEP_S)):
            if holds():
                return
            await self.run(STEP_S)
        assert holds(), f"not within {seconds} s: {self.app.unready()} {[one.failures for one in self.app.portfolios.figures()]}"

    def figures(self, portfolio: str) -> PortfolioFigures:
        return next(one for one in self.app.portfolios.figures() if one.portfolio == portfolio)

    def has_values(self) -> bool:
        """Whether every portfolio has a value."""
        return all(not one.failures for one in self.app.portfolios.figures())


@asynccontextmanager
async def three_venues(scenario: str, duration: float = 60.0) -> AsyncIterator[ThreeVenues]:
    """A monitor of the demo desk whose portfolios all have a value."""
    permit_compilation()
    warm_up_portfolio()
    desk = ThreeVenues(scenario, duration)
    await desk.start()
    try:
        await desk.until(desk.has_values, 15.0)
        yield desk
    finally:
        await desk.stop()
