"""How long a page takes on loopback: the bytes of the frame in, the bytes of the HTTP request at the receiver, and what each step takes.

A simulated venue and the receiver live in a process of their own (`python -m bench.alert serve SECONDS`); the price of BTC falls and
comes back once a second, so that an account crosses its critical level and leaves it each time. Written durably before it is sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from config import DEMO, load
from connectors.clock import SystemClock
from connectors.events import Event, MarkPrices
from connectors.simulator import market as simulated_market
from connectors.simulator import volatility
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidServer, HyperliquidVenue, Market, PositionPlan
from kernels._jit import permit_compilation
from monitor.alerts.alert import Alert
from monitor.alerts.build import build_lines
from monitor.alerts.outbox import Batch, Outbox
from monitor.alerts.receivers.http import HttpPoster
from monitor.app import Application
from monitor.venues import Transports, connector_factory

SECONDS = 60.0
BURSTS = (1, 5)
"""How many accounts cross in one frame."""
FRAME_S, TOOTH_S = 0.1, 1.0
FALL = -0.0062
STEPS = ("decision", "queue", "write", "send", "all")


def _plans(count: int) -> list[AccountPlan]:
    position = (PositionPlan("BTC", 65.0),)
    return [
        AccountPlan(f"0x{0xA0 + n:040x}", f"desk{n}", cash={"": 100_000.0 * (1.0 + 0.01 * n)}, positions=position) for n in range(count)
    ]


def _saw(seconds: float) -> tuple[tuple[float, float], ...]:
    knots = [(0.0, 0.0)]
    for tooth in range(round(seconds / TOOTH_S)):
        at, step = tooth * TOOTH_S, FRAME_S / 10
        knots += [(at + 0.5, 0.0), (at + 0.5 + step, FALL), (at + TOOTH_S - step, FALL), (at + TOOTH_S, 0.0)]
    return tuple((at / seconds, move) for at, move in knots)


async def _serve(seconds: float, accounts: int) -> None:
    simulated_market.SCENARIOS["saw"] = _saw(seconds)
    volatility.LEVELS["saw"] = volatility.LEVELS["calm"]
    venue = HyperliquidVenue(
        Market(7, "saw", seconds, time.time_ns() // 1_000_000, fillers=389),
        _plans(accounts),
        seed=7,
        context_interval=FRAME_S,
        liquidation_delay=1e9,
    )
    server, arrived = HyperliquidServer(venue, autorun=False), dict[str, int]()

    async def take(request: web.Request) -> web.Response:
        now_ns = _now_ns()
        for alert in (await request.json())["alerts"]:
            arrived.setdefault(alert["id"], now_ns)
        return web.Response()

    application = web.Application()
    application.router.add_post("/", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await server.start()
    receiver = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    print(json.dumps({"venue": {"rest_url": server.rest_url, "ws_url": server.ws_url}, "receiver": receiver}), flush=True)
    while not server.connections:
        await asyncio.sleep(0.05)
    begin, frames = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        while frames * FRAME_S <= now:
            await server.step(FRAME_S)
            frames += 1
        await asyncio.sleep(max(0.0, frames * FRAME_S - (time.monotonic() - begin)))
    await asyncio.sleep(1.0)
    await server.stop()
    await runner.cleanup()
    print(json.dumps(arrived), flush=True)


def _now_ns() -> int:
    return SystemClock().monotonic_ns()


class _Timed(Outbox):
    """The outbox, with when each batch came to it and when it was on the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.began: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    async def write(self, batch: Batch) -> bool:
        began = _now_ns()
        is_durable = await super().write(batch)
        for alert in batch.alerts:
            self.began[alert.id], self.ended[alert.id] = began, _now_ns()
        return is_durable


class _Watched(Application):
    """The application, with the receipt of the last market frame before each alert."""

    received_ns = 0

    def receive(self, events: list[Event]) -> None:
        """See `Application`."""
        for event in events:
            if isinstance(event, MarkPrices):
                self.received_ns = event.received_ns
        super().receive(events)


async def measure(burst: int, seconds: float = SECONDS) -> dict[str, Any]:
    """Shares of every alert's way by step, in ms, of the alerts that a market frame caused."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.alert", "serve", str(seconds), str(burst), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    accounts = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address} for plan in _plans(burst)]
    overrides: dict[str, Any] = {
        "accounts": accounts,
        "venues": {"hyperliquid": told["venue"]},
        "alerts": {"hold_s": 0.0, "group_s": 0.01, "distance": 0.0, "rise_per_minute": 0.0},
        "receivers": {"hook": {"type": "webhook", "url_env": "HOOK"}},
    }
    settings = load(DEMO, overrides=overrides, environ={"HOOK": told["receiver"]})
    transports, poster, clock = Transports.real(), HttpPoster(), SystemClock()
    decided: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        outbox = _Timed(Path(folder) / "outbox.db")
        app = _Watched(settings, connector_factory(settings, transports, clock), build_lines(settings, poster), clock, outbox=outbox)

        def listen(alert: Alert) -> None:
            decided[alert.id] = app.received_ns, _now_ns()

        app.alarm.listeners.append(listen)
        await app.start()
        try:
            arrived: dict[str, int] = json.loads(await process.stdout.readline())
        finally:
            await app.stop()
            await poster.close()
            await transports.close()
            await process.wait()
    shares: dict[str, list[float]] = {step: [] for step in STEPS}
    for key, at_ns in arrived.items():
        received, decision = decided[key]
        stamps = (received, decision, outbox.began[key], outbox.ended[key], at_ns)
        # what no frame caused (the sweep of each second) has no way to measure
        if decision - received < 20e6:
            for step, (before, after) in zip(STEPS[:-1], pairwise(stamps), strict=True):
                shares[step].append((after - before) / 1e6)
            shares["all"].append((at_ns - received) / 1e6)
    return {"shares": shares, "outbox": outbox.statistics()}


def report(shares: dict[str, Sequence[float]]) -> str:
    """A table: p50, p90, p99 and the largest of each step, ms."""
    lines = [f"{'step':>10} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}   ms"]
    for step, values in shares.items():
        lines.append(f"{step:>10} " + " ".join(f"{value:8.2f}" for value in (*np.percentile(values, [50, 90, 99]), max(values))))
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    for burst in BURSTS:
        seen = asyncio.run(measure(burst))
        permit_compilation()
        print(f"{len(seen['shares']['all'])} alerts, {burst} in a frame: to the decision, queue, durable write, sending")
        print(report(seen["shares"]), flush=True)


if __name__ == "__main__" and sys.argv[1:2] == ["serve"]:
    asyncio.run(_serve(float(sys.argv[2]), int(sys.argv[3])))
