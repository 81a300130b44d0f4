"""Two minutes at 200 whole-market frames a second over real sockets: memory, and every level crossing of the venue's own figures."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import Any

from config import DEMO, load
from connectors.clock import SystemClock
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.rules import Rule
from monitor.alerts.scope import ScopeKind
from monitor.app import Application
from monitor.venues import Transports, connector_factory

RATE = 200.0
MEMORY_LIMIT_MB = 5.0


def resident_mb() -> float:
    """Resident memory of this process (Linux)."""
    gc.collect()
    with open("/proc/self/statm") as source:
        return int(source.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def soak(duration: float, rate: float = RATE) -> dict[str, Any]:
    """Play a crash of `duration` seconds; returns memory growth after a fifth of it, frames, and crossings missed or made up."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.venue", str(duration), str(rate), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    endpoints = json.loads(await process.stdout.readline())
    accounts = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address} for plan in demo_plans("crash")]
    settings = load(DEMO, overrides={"accounts": accounts, "venues": {"hyperliquid": {**endpoints, "fast_contexts": False}}})
    transports, clock = Transports.real(), SystemClock()
    app = Application(settings, connector_factory(settings, transports, clock), [], clock)
    told: list[tuple[str, str, int]] = []

    def listen(alert: Alert) -> None:
        if alert.rule is Rule.LEVEL and alert.change in (Change.FIRED, Change.ESCALATED) and alert.scope.kind is ScopeKind.POOL:
            told.append((alert.scope.account, alert.scope.name, int(alert.level)))

    app.alarm.listeners.append(listen)
    await app.start()
    try:
        await asyncio.sleep(duration / 5)
        warm = resident_mb()
        last = json.loads(await process.stdout.readline())
        grown = resident_mb() - warm
    finally:
        await app.stop()
        await transports.close()
        await process.wait()
    happened = [tuple(entry) for entry in last["crossings"]]
    return {
        "grown_mb": grown,
        "resident_mb": warm,
        "frames": last["frames"],
        "evaluations": app.engine.statistics.evaluations,
        "crossings": happened,
        "missed": [entry for entry in _reached(happened) if entry not in _reached(told)],
        "made_up": [entry for entry in _reached(told) if entry not in _reached(happened)],
    }


def _reached(entries: list[Any]) -> set[Any]:
    # a jump over a level is told once, at the highest: entering it means having crossed those below
    return {(account, pool, below) for account, pool, level in entries for below in range(1, level + 1)}


def main() -> None:
    """Run the soak and print it; exits 1 on a missed crossing or memory that grows."""
    duration = float(os.environ.get("SOAK_SECONDS", "120"))
    seen = asyncio.run(soak(duration))
    print(
        f"{seen['frames']} frames in {duration:.0f} s, {seen['evaluations']} evaluations; resident {seen['resident_mb']:.0f} MB, "
        f"{seen['grown_mb']:+.1f} MB after warm-up; {len(seen['crossings'])} level crossings, "
        f"{len(seen['missed'])} missed, {len(seen['made_up'])} made up"
    )
    if seen["missed"] or seen["made_up"] or seen["grown_mb"] > MEMORY_LIMIT_MB:
        print(seen)
        sys.exit(1)
