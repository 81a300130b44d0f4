"""A simulated venue in a process of its own, fast: one whole-market frame every 1/rate seconds. Started by the soak.

Prints its endpoints as a line of JSON, plays the story, then prints every level its own figures entered.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from connectors.simulator.hyperliquid import HyperliquidServer, HyperliquidVenue, Market
from connectors.simulator.hyperliquid_desk import demo_plans

LEVELS = (0.85, 0.90, 1.0)
GAP = 0.02


class Crossings:
    """Level entries of every pool, with the monitor's hysteresis but the venue's own figures."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, str, int]] = []
        self._level: dict[tuple[str, str], int] = {}

    def look(self, account: str, pool: str, ratio: float) -> None:
        """Take one figure."""
        key = (account, pool)
        level = sum(ratio >= bound for bound in LEVELS)
        before = self._level.get(key, 0)
        if level > before:
            self.entered.append((account, pool, level))
            self._level[key] = level
        elif before and ratio < LEVELS[before - 1] - GAP:
            self._level[key] = sum(ratio >= bound - GAP for bound in LEVELS)


async def _serve(duration: float, rate: float) -> None:
    market = Market(7, "crash", duration, time.time_ns() // 1_000_000, fillers=389)
    step = 1.0 / rate
    plans = demo_plans("crash")
    venue = HyperliquidVenue(
        market, plans, seed=7, context_interval=step, account_frame_interval=5.0, time_scale=min(1.0, duration / 900), liquidation_delay=0.2
    )
    server = HyperliquidServer(venue, autorun=False)
    await server.start()
    print(json.dumps({"rest_url": server.rest_url, "ws_url": server.ws_url}), flush=True)
    while not server.connections:
        await asyncio.sleep(0.05)
    crossings = Crossings()
    begin, frames = time.monotonic(), 0
    while (now := time.monotonic() - begin) < duration:
        while frames * step <= now:
            await server.step(step)
            frames += 1
            for plan in plans:
                for pool, figures in venue.figures(plan.address).items():
                    crossings.look(plan.name, pool, figures.ratio)
        await asyncio.sleep(max(0.0, frames * step - (time.monotonic() - begin)))
    await asyncio.sleep(1.0)
    await server.stop()
    print(json.dumps({"frames": frames, "crossings": crossings.entered}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2])))
