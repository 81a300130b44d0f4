"""An application that gets ticks, for benchmarks of what else costs it time: how late is a decision while somebody asks for something?

The clock and who asks are processes of their own (bench/peer.py). A tick's delay is from when the clock told it to after the evaluation.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

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

RATE = 50.0
"""Whole-market frames a second."""

POSITIONS = 20
ACCOUNT_FEEDS = ("allDexsClearinghouseState", "spotState")
MARKET_FEED = "allDexsAssetCtxs"
_WARM = 10


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


class Ticking:
    """An application with `accounts` accounts of 20 positions, in `portfolios` portfolios of three accounts each."""

    def __init__(self, accounts: int, portfolios: int) -> None:
        names = [f"account-{number}" for number in range(accounts)]
        rows = [{"id": name, "venue": VENUE, "address": f"0x{number:040x}"} for number, name in enumerate(names, 1)]
        groups = [{"id": f"desk-{number}", "accounts": names[3 * number : 3 * number + 3]} for number in range(portfolios)]
        metrics = {"series_limit": 100_000, "contributions": 50}
        settings = load(DEMO, overrides={"accounts": rows, "portfolios": groups, "metrics": metrics}, quiet=True)
        self.app = Application(settings, lambda sink: [_Quiet()], [], SystemClock())
        self.desk = Desk(1, POSITIONS)
        self.frames = self.desk.frames(200)
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

    async def warm(self, seconds: float) -> None:
        """Blocks without a client until every portfolio has a value."""
        await self.block(seconds)
        while not self.app.portfolio_views or any(view.failures for view in self.app.portfolio_views):
            await self.block(seconds)

    async def block(self, seconds: float, *client: str) -> tuple[Floats, Any]:
        """The delays of so many seconds of ticks, in ms, and what the client said (its words for bench/peer.py) that asked meanwhile."""
        asking = await _peer(*client) if client else None
        if asking is not None and asking.stdout is not None:
            assert await asking.stdout.readline() == b"ready\n"
        self._delays.clear()
        clock = await _peer("ticks", str(RATE), str(seconds))
        assert clock.stdout is not None
        async for line in clock.stdout:
            self._tick(int(line))
        await clock.wait()
        told = None if asking is None else json.loads((await asking.communicate())[0])
        return np.array(self._delays[_WARM:]), told

    def _tick(self, sent_ns: int) -> None:
        frame = self.frames[len(self._delays) % len(self.frames)]
        self.app.receive(self.desk.protocol.receive(frame, self.app.clock.monotonic_ns()))
        # after the evaluation, which is in the same queue
        asyncio.get_running_loop().call_soon(lambda: self._delays.append((time.monotonic_ns() - sent_ns) / 1e6))

    def _account(self, name: str, now_ns: int) -> AccountSnapshot:
        rows = []
        for key in self._random.sample(sorted(key for key in self.desk.marks if key.count(":") == 1), POSITIONS):
            notional = self._random.uniform(20_000, 400_000) * self._random.choice((-1, 1))
            mark = self.desk.marks[key]
            rows.append(Position(key, notional / mark, mark, MarginMode.CROSS, leverage=10.0, max_leverage=20.0))
        value = sum(row.quantity * row.mark for row in rows)
        equity = sum(abs(row.quantity * row.mark) for row in rows) / 20
        return AccountSnapshot(VENUE, name, now_ns, (Section("", 1, equity - value, tuple(rows)),), Wallet(()))


def typical(label: str, blocks: list[Floats]) -> tuple[float, float, float]:
    """(p50, p99, worst) in ms, of each the median of the blocks: what else the machine does falls into some of them. Printed."""
    p50, p99, worst = np.median([np.percentile(block, [50, 99, 100]) for block in blocks], axis=0)
    print(f"{label}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst of {len(blocks[0])} {worst:.2f} ms")
    return float(p50), float(p99), float(worst)


async def _peer(*words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.peer", *words, stdout=asyncio.subprocess.PIPE)
