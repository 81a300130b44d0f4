"""A simulated venue in a process of its own, fast: one whole-market frame every 1/rate seconds. Started by the soak and end-to-end tests.

Prints its endpoints as a line of JSON, plays the story, then prints every level its own figures entered. Arguments: duration (s), rate,
how long it stays open afterwards (s), and the weight of requests it answers in a minute.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from connectors.simulator.hyperliquid import HyperliquidServer, HyperliquidVenue, Market
from connectors.simulator.hyperliquid_desk import demo_plans

LEVELS = (0.85, 0.90, 1.0)
GAP = 0.02


class Crossings:
    """Level entries of every pool, with the monitor's hysteresis but the venue's own figures."""

    def __init__(self) -> None:
        self.entered: list[tuple[str, str, int]] = []
        self.episodes: list[list[Any]] = []
        """From below every level to below every level again: account, pool, when it began and ended (monotonic s; None: it lasts)."""
        self._level: dict[tuple[str, str], int] = {}

    def look(self, account: str, pool: str, ratio: float) -> None:
        """Take one figure."""
        key = (account, pool)
        level = sum(ratio >= bound for bound in LEVELS)
        before = self._level.get(key, 0)
        if level > before:
            if before == 0:
                self.episodes.append([account, pool, time.monotonic(), None])
            self.entered.append((account, pool, level))
            self._level[key] = level
        elif before and ratio < LEVELS[before - 1] - GAP:
            self._level[key] = sum(ratio >= bound - GAP for bound in LEVELS)
            if self._level[key] == 0:
                self._end(key)

    def keep(self, present: set[tuple[str, str]]) -> None:
        """Only these pools are left: the others were closed or liquidated."""
        for key in [key for key, level in self._level.items() if level and key not in present]:
            del self._level[key]
            self._end(key)

    def _end(self, key: tuple[str, str]) -> None:
        next(one for one in reversed(self.episodes) if (one[0], one[1]) == key)[3] = time.monotonic()


async def _serve(duration: float, rate: float, stay: float = 1.0, weight: float = 1200) -> None:
    market = Market(7, "crash", duration, time.time_ns() // 1_000_000, fillers=389)
    step = 1.0 / rate
    plans = demo_plans("crash")
    venue = HyperliquidVenue(
        market,
        plans,
        seed=7,
        context_interval=step,
        account_frame_interval=5.0,
        time_scale=min(1.0, duration / 900),
        liquidation_delay=0.2,
        weight_per_minute=round(weight),
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
            ratios = {(plan.name, pool): told.ratio for plan in plans for pool, told in venue.figures(plan.address).items()}
            for key, ratio in ratios.items():
                crossings.look(*key, ratio)
            crossings.keep(set(ratios))
        await asyncio.sleep(max(0.0, frames * step - (time.monotonic() - begin)))
    print(json.dumps({"frames": frames, "crossings": crossings.entered, "episodes": crossings.episodes}), flush=True)
    end = time.monotonic() + stay
    while time.monotonic() < end:
        await server.step(step)
        await asyncio.sleep(step)
    await server.stop()


if __name__ == "__main__":
    asyncio.run(_serve(*map(float, sys.argv[1:])))
