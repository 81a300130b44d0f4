"""The application over one account and a connector that does nothing by itself: events are handed in, time is moved by hand."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from config import DEMO, load
from connectors.clock import ManualClock
from connectors.events import AccountSnapshot, Event, FeedState, FeedStatus, MarkPrices, ModeReport, SectionsSnapshot, Source
from connectors.model import Position
from connectors.ratelimit import Budget, BudgetLimits
from connectors.session_protocol import SessionStatistics
from kernels._jit import permit_compilation
from monitor.alerts.dispatcher import LineSettings
from monitor.app import Application
from monitor.margin.hyperliquid import VENUE
from tests.monitor.loopback import Recorder
from tests.monitor.own_desk import ACCOUNT, balance, name, reference, section, wallet

SECTIONS_FEED = "allDexsClearinghouseState"


class QuietConnector:
    """A connector that remembers what it is asked."""

    venue = VENUE

    def __init__(self) -> None:
        self.refreshed: list[str] = []
        self.ratios: list[dict[str, float]] = []
        self.failure: Exception | None = None
        self.stopped = asyncio.Event()
        self.sink: Callable[[list[Event]], None] = lambda events: None

    async def run(self) -> None:
        await self.stopped.wait()
        if self.failure is not None:
            raise self.failure

    async def stop(self) -> None:
        self.stopped.set()

    def set_accounts(self, accounts: Iterable[Any]) -> None:
        self.accounts = list(accounts)

    def refresh(self, account: str) -> None:
        self.refreshed.append(account)

    def set_wanted(self, instruments: Iterable[str]) -> None:
        self.wanted = tuple(instruments)

    def watch_coins(self, coins: Iterable[str]) -> None:
        self.coins = tuple(coins)

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        self.ratios.append(dict(ratios))

    def describe(self) -> dict[str, Any]:
        budget = Budget(VENUE, BudgetLimits(weight_per_minute=1200), 1.0, ManualClock())
        return {"connections": {"quiet": SessionStatistics()}, "budget": budget.statistics()}


class OwnApplication:
    """An application, its quiet connector and its recording receiver."""

    def __init__(self, accounts: Sequence[str] = (ACCOUNT,)) -> None:
        listed = [{"id": name, "venue": VENUE, "address": f"0x{number:040x}"} for number, name in enumerate(accounts, 0xB001)]
        self.settings = load(DEMO, overrides={"accounts": listed})
        self.clock = ManualClock()
        self.connector = QuietConnector()
        self.recorder = Recorder()
        self.app = Application(self.settings, lambda sink: [self.connector], [LineSettings(self.recorder)], self.clock)

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    async def tell(self, *events: Event) -> None:
        """Hand events in and let the evaluation happen."""
        self.app.receive(list(events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def feed(self, feed: str, status: FeedStatus, account: str | None = ACCOUNT) -> None:
        await self.tell(FeedState(VENUE, feed, account, status, self.now_ns, "said by the test", 20.0))

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Move the clock until the condition holds, at most so long."""
        for _ in range(round(seconds / 0.25)):
            for _ in range(20):
                if condition():
                    return
                await asyncio.sleep(0.001)
            await self.clock.advance(0.25)
        assert condition(), f"not within {seconds} s; told: {self.recorder.titles}"

    def firing(self) -> list[tuple[str, str]]:
        """(pool, rule) of the alerts that fire."""
        return [(state.scope.name, state.rule.value) for state in self.app.alarm.policy.firing()]


@asynccontextmanager
async def started(own: OwnApplication) -> AsyncIterator[OwnApplication]:
    """The application between start and stop."""
    await own.app.start()
    try:
        yield own
    finally:
        await own.app.stop()
        permit_compilation()


def marks(own: OwnApplication, **told: float) -> MarkPrices:
    """Marks by symbol, now."""
    names = [name(symbol) for symbol in told]
    unknown = [math.nan] * len(names)
    return MarkPrices(VENUE, "allDexsAssetCtxs", own.now_ns, names, list(told.values()), unknown, unknown)


def ledgers(own: OwnApplication, time_ms: int, *positions: Position, cash: float = 1_000.0, **reported: float) -> SectionsSnapshot:
    """A frame of the first ledger; `reported` are the venue's own figures."""
    held = section("", time_ms, cash, *positions, **reported)
    return SectionsSnapshot(VENUE, ACCOUNT, own.now_ns, Source.PUSH, (held,), True)


def opening(own: OwnApplication, *positions: Position, cash: float = 100_000.0, account: str = ACCOUNT) -> list[Event]:
    """All an account needs to have a value, in standard mode."""
    read = AccountSnapshot(VENUE, account, own.now_ns, (section("", 1000, cash, *positions),), wallet(balance("USDC", 5.0)))
    return [reference(), marks(own, BTC=100.0), ModeReport(VENUE, account, own.now_ns, "default"), read]


def cash_for(ratio: float, quantity: float = 1000.0, mark: float = 100.0) -> float:
    """Cash that gives a BTC position (margined at 1.25 %) this ratio."""
    return quantity * mark * (0.0125 / ratio - 1.0)
