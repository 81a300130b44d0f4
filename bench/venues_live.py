"""Three venues at 1x, 5x and 20x of their real rates over real sockets: bytes received to decision, and how fast the loop can go.

The venues replay recorded frames in a process of their own. Ten accounts in one portfolio hold perpetuals on two venues and options of
one chain on the third. A decision is the end of the application's evaluation, pools and portfolio, of the frame that caused it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.venues_replay import ASTER, DERIBIT, HYPERLIQUID, OPTIONS, POSITIONS, address, secret
from config import DEMO, load
from config.settings import Settings
from connectors.clock import SystemClock
from connectors.events import Event, Forwards, MarkPrices, Volatilities
from monitor.app import Application
from monitor.venues import Transports, connector_factory

RATES = (1.0, 5.0, 20.0)
SECONDS = (12.0, 8.0, 8.0)
RAISED = 1.4
"""Factor from one rate to the next in the search for the highest, at most `MOST_RAISES` times for `RAISE_S` each."""
MOST_RAISES, RAISE_S = 4, 4.0
SETTLE_S, IDLE_S = 1.5, 3.0
READY_S = 60.0
PROBE_S, MOST_LAG_MS = 0.005, 5.0
BEHIND = 0.85
"""Part of the frames that must arrive for a rate to count: below, the venues or the machine could not keep it up."""


@dataclass(slots=True)
class Phase:
    """What was seen at one rate: latencies (us) by cause, loop lags (s), frames, bytes, seconds of time and of processor."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)
    frames: int = 0
    received: int = 0
    seconds: float = 0.0
    busy: float = 0.0
    collected_s: float = 0.0
    """The longest pause for garbage."""

    def percentiles(self, cause: str = "") -> tuple[float, float]:
        """p50 and p99 of the latencies of one cause, or of all."""
        found = self.latencies.get(cause, []) if cause else [value for values in self.latencies.values() for value in values]
        return _percentiles(found)

    @property
    def megabytes_s(self) -> float:
        """Bytes received a second."""
        return self.received / self.seconds / 1e6

    @property
    def lag(self) -> tuple[float, float]:
        """p50 and p99 of the loop's lag, ms."""
        p50, p99 = _percentiles(self.lags)
        return 1e3 * p50, 1e3 * p99


class Watched(Application):
    """The application, with the exact time from the receipt of each frame to the end of the evaluation that it is part of."""

    phase: Phase | None = None

    def __init__(self, *parts: Any) -> None:
        self._unjudged: list[tuple[str, int]] = []
        super().__init__(*parts)

    def receive(self, events: list[Event]) -> None:
        """See `Application`."""
        cause = _cause_of(events)
        if cause is not None:
            self._unjudged.append(cause)
        super().receive(events)

    def _evaluate(self) -> None:
        super()._evaluate()
        now_ns, phase = time.monotonic_ns(), self.phase
        if phase is not None:
            for cause, received_ns in self._unjudged:
                phase.latencies.setdefault(cause, []).append((now_ns - received_ns) / 1000)
        self._unjudged.clear()


def _cause_of(events: list[Event]) -> tuple[str, int] | None:
    for event in events:
        match event:
            case Volatilities():
                return "chain", event.received_ns
            case Forwards():
                return "forward", event.received_ns
            case MarkPrices(venue="aster"):
                return "aster marks", event.received_ns
            case MarkPrices(venue="hyperliquid"):
                return "fast marks" if event.delta else "contexts", event.received_ns
    return None


class Bench:
    """The venues' process and the application that watches them."""

    def __init__(self, process: asyncio.subprocess.Process, app: Watched) -> None:
        self.process, self.app = process, app

    async def ready(self) -> str:
        """Wait until every account and the portfolio have a value, then have the frames recorded; what they are."""
        give_up = time.monotonic() + READY_S
        while self.app.unready() or not self.app.portfolio_views or self.app.portfolio_views[0].result is None:
            if time.monotonic() > give_up:
                views = [str(failure) for view in self.app.portfolio_views for failure in view.failures]
                raise RuntimeError(f"not ready within {READY_S:.0f} s: {[*self.app.unready(), *views][:3]}")
            await asyncio.sleep(0.1)
        await self._say("record")
        assert self.process.stdout is not None
        kinds = json.loads(await self.process.stdout.readline())
        return ", ".join(f"{kind} {size / 1000:.1f} kB" for kind, (_, size) in kinds.items() if "user" not in kind)

    async def run(self, rate: float, seconds: float, around: AbstractContextManager[Any] | None = None) -> Phase:
        """Play at so many times the venues' rates and measure for so long, `around` it."""
        await self._say(f"rate {rate}")
        await asyncio.sleep(SETTLE_S)
        phase = Phase()
        frames, received = self._counts()
        began, busy = time.monotonic(), time.process_time()
        probe = asyncio.create_task(_probe(phase.lags))
        self.app.phase = phase
        with around or nullcontext(), _collections(phase):
            await asyncio.sleep(seconds)
        self.app.phase = None
        probe.cancel()
        phase.seconds, phase.busy = time.monotonic() - began, time.process_time() - busy
        now = self._counts()
        phase.frames, phase.received = now[0] - frames, now[1] - received
        return phase

    async def _say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    def _counts(self) -> tuple[int, int]:
        found = [statistics for connector in self.app.connectors for statistics in connector.describe()["connections"].values()]
        return sum(one.frames for one in found), sum(one.bytes for one in found)


@contextmanager
def _collections(phase: Phase) -> Iterator[None]:
    began = 0

    def told(step: str, _: dict[str, int]) -> None:
        nonlocal began
        if step == "start":
            began = time.monotonic_ns()
        else:
            phase.collected_s = max(phase.collected_s, (time.monotonic_ns() - began) / 1e9)

    gc.callbacks.append(told)
    try:
        yield
    finally:
        gc.callbacks.remove(told)


async def _probe(lags: list[float]) -> None:
    # asyncio.sleep is a call_later: how late it comes is how long the loop was away
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PROBE_S
        await asyncio.sleep(PROBE_S)
        lags.append(loop.time() - due)


def settings_of(endpoints: dict[str, dict[str, str]]) -> Settings:
    """The demo's settings with the replayed venues and their ten accounts in one portfolio."""
    accounts: list[dict[str, Any]] = [{"id": alias, "venue": "hyperliquid", "address": address(alias)} for alias in HYPERLIQUID]
    accounts += [_keyed(alias, "aster", "agent_key") | {"address": address(alias)} for alias in ASTER]
    accounts += [_keyed(alias, "deribit", "client_id", "client_secret") for alias in DERIBIT]
    environ = {f"{alias}_agent_key": secret(alias, "key") for alias in ASTER}
    environ |= {f"{alias}_client_id": secret(alias, "id")[:8] for alias in DERIBIT}
    environ |= {f"{alias}_client_secret": secret(alias, "secret")[:43] for alias in DERIBIT}
    overrides = {
        "accounts": accounts,
        "venues": endpoints,
        "portfolios": [{"id": "book", "accounts": [account["id"] for account in accounts]}],
    }
    return load(DEMO, environ=environ, overrides=overrides)


def _keyed(alias: str, venue: str, *names: str) -> dict[str, Any]:
    return {"id": alias, "venue": venue} | {f"{name}_env": f"{alias}_{name}" for name in names}


def _percentiles(values: list[float]) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(values, [50, 99])
    return float(p50), float(p99)


CAUSES = ("contexts", "fast marks", "aster marks", "chain", "forward")


def _head() -> str:
    columns = " ".join(f"{name:>13}" for name in ("lag ms", "all us", *CAUSES))
    return f"{'rate':>6} {'frames/s':>9} {'MB/s':>6} {'cpu':>5} {'gc ms':>6} {columns}"


def _row(rate: float, phase: Phase) -> str:
    cells = " ".join(f"{p50:6.0f}/{p99:<6.0f}" for p50, p99 in [phase.percentiles(), *map(phase.percentiles, CAUSES)])
    load = f"{100 * phase.busy / phase.seconds:4.0f}% {1e3 * phase.collected_s:6.0f}"
    return (
        f"{rate:5.0f}x {phase.frames / phase.seconds:9.0f} {phase.megabytes_s:6.2f} {load} {phase.lag[0]:6.2f}/{phase.lag[1]:<6.2f} {cells}"
    )


def _told(rate: float, phase: Phase) -> str:
    return f"{phase.frames / phase.seconds:.0f} frames/s, {phase.megabytes_s:.1f} MB/s ({rate:.0f}x)"


async def with_venues(work: Callable[[Bench], Awaitable[None]]) -> None:
    """Start venues and application, await `work`, and end both."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.venues_replay", stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert process.stdin is not None
    transports, clock = Transports.real(), SystemClock()
    app = None
    try:
        settings = settings_of(json.loads(await process.stdout.readline()))
        app = Watched(settings, connector_factory(settings, transports, clock), [], clock)
        await app.start()
        await work(Bench(process, app))
    finally:
        if app is not None:
            await app.stop()
        await transports.close()
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10.0)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _measure(bench: Bench) -> None:
    frames = await bench.ready()
    accounts = f"{len(HYPERLIQUID)} + {len(ASTER)} accounts x {POSITIONS} positions, {len(DERIBIT)} with {OPTIONS} options"
    print(f"{accounts}, one portfolio; made frames: {frames}")
    print(f"loop lag, and from receipt to decision by what the frame told: p50/p99\n{_head()}", flush=True)
    found: list[tuple[float, Phase]] = []
    for rate, seconds in zip(RATES, SECONDS, strict=True):
        found.append((rate, await bench.run(rate, seconds)))
        print(_row(*found[-1]), flush=True)
    for _ in range(MOST_RAISES):
        rate, phase = found[-1][0] * RAISED, found[-1][1]
        if phase.lag[0] > MOST_LAG_MS or phase.frames / phase.seconds < BEHIND * found[-1][0] * _market_frames(found):
            break
        found.append((rate, await bench.run(rate, RAISE_S)))
        print(_row(*found[-1]), flush=True)
    for number, name in enumerate(("p50", "p99")):
        within = [_told(rate, phase) for rate, phase in found if phase.lag[number] <= MOST_LAG_MS]
        print(f"loop lag {name} within {MOST_LAG_MS:.0f} ms at {within[-1] if within else 'none of these rates'}")

    print(_state(bench.app))


def _state(app: Watched) -> str:
    # figures that stood still because a feed had died would be cheap
    doubts = [f"{one.account}/{one.pool}: {one.failures[0].detail}" for one in app.results() if one.failures]
    doubts += [failure.detail for view in app.portfolio_views for failure in view.failures]
    sessions = [one for connector in app.connectors for one in connector.describe()["connections"].values()]
    reconnects = sum(one.reconnects for one in sessions)
    found = f"{len(app.results())} pools and {len(app.portfolio_views)} portfolio at the end, {reconnects} reconnects"
    return f"{found}; NOT VALID: {'; '.join(doubts[:3])}" if doubts else f"{found}, all valid"


def _market_frames(found: list[tuple[float, Phase]]) -> float:
    # frames a second that a whole rate adds: accounts tell at their own rate
    (low, one), (high, other) = found[0], found[1]
    return (other.frames / other.seconds - one.frames / one.seconds) / (high - low)


async def _idle() -> None:
    # what the machine itself does to a loop without work: other programs on its cores show here first
    lags: list[float] = []
    probe = asyncio.create_task(_probe(lags))
    await asyncio.sleep(IDLE_S)
    probe.cancel()
    p50, p99 = _percentiles(lags)
    print(f"lag of an idle loop here: p50 {1e3 * p50:.2f} ms, p99 {1e3 * p99:.2f} ms", flush=True)


async def _run() -> None:
    await _idle()
    await with_venues(_measure)
    await _idle()


def main() -> None:
    """Measure and print."""
    asyncio.run(_run())
