"""Reloads of applications in tests: another configuration is what a test says, over connectors and receivers that it can look at."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from config import DEMO, load
from config.settings import Settings
from connectors.clock import Clock, ManualClock
from connectors.events import AccountSnapshot, Event, MarkPrices, ModeReport
from monitor.alerts.build import build_lines
from monitor.alerts.dispatcher import LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.message import Delivery, Message
from monitor.app import Application, Connector
from monitor.margin.hyperliquid import VENUE
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import Reloader
from monitor.venues import watched_venues
from tests.monitor.own_app import OwnApplication, QuietConnector, cash_for
from tests.monitor.own_desk import balance, name, position, reference, section, wallet


class Named:
    """A receiver that keeps what it gets, unless `refuses`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.refuses: Delivery | None = None

    async def send(self, message: Message) -> Delivery:
        if self.refuses is not None:
            return self.refuses
        self.messages.append(message)
        return Delivery(True)

    @property
    def titles(self) -> list[str]:
        return [alert.title for message in self.messages for alert in message.alerts]


class NoPost:
    """Nothing is posted."""

    async def post(self, *arguments: Any) -> Any:
        raise AssertionError("a test posts nothing")


class Caller:
    """What a heartbeat calls."""

    def __init__(self) -> None:
        self.called: list[str] = []

    async def get(self, url: Any, timeout_s: float) -> Any:
        self.called.append(url.reveal())
        raise AssertionError("nobody answers")


class Parts:
    """What a reload makes: connectors by venue and receivers by name, newest last."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.connectors: list[QuietConnector] = []
        self.receivers: dict[str, list[Named]] = {}
        self.caller = Caller()

    @property
    def makers(self) -> Makers:
        return Makers(self._factory, self.lines, self.heartbeat)

    def _factory(self, settings: Settings, venues: frozenset[str]) -> Callable[[Callable[[list[Event]], None]], Sequence[Connector]]:
        def build(sink: Callable[[list[Event]], None]) -> Sequence[Connector]:
            made = []
            for venue in sorted(venues):
                connector = QuietConnector()
                connector.venue, connector.sink = venue, sink
                made.append(connector)
            self.connectors += made
            return made

        return build

    def lines(self, settings: Settings) -> list[LineSettings]:
        made = []
        for line in build_lines(settings, NoPost()):  # type: ignore[arg-type]
            receiver = Named(line.receiver.name)
            self.receivers.setdefault(receiver.name, []).append(receiver)
            made.append(LineSettings(receiver, line.route, line.escalate_to, line.is_log))
        return made

    def heartbeat(self, settings: Settings) -> Heartbeat | None:
        told = settings.heartbeat
        return None if told is None else Heartbeat(self.caller, told.url, told.every_s, clock=self.clock)


def desk(*accounts: str, **tables: Any) -> Settings:
    """A configuration of Hyperliquid accounts; tables are laid over those of the demo. Only levels and data are alerted."""
    numbers = {"maker": 0xB001, "hedger": 0xB002, "third": 0xB003}
    listed = [{"id": name, "venue": VENUE, "address": f"0x{numbers[name]:040x}"} for name in accounts or ("maker",)]
    alerts = {"distance": 0, "rise_per_minute": 0, "group_s": 0, **tables.pop("alerts", {})}
    return load(DEMO, overrides={"accounts": listed, "alerts": alerts, **tables}, environ=ENVIRON, quiet=True)


def hooks(*names: str, **more: Any) -> dict[str, Any]:
    """`[receivers]` with webhooks of these names; `more` are keys of each."""
    return {name: {"type": "webhook", "url_env": "HOOK_URL", **more} for name in names}


ENVIRON = {
    "HOOK_URL": "https://hook.example/secret-of-the-hook",
    "OTHER_URL": "https://other.example/another-secret",
    "TOKEN": "a-token-of-the-page",
    "AGENT": f"0x{0xA9E1:064x}",
    "OTHER_AGENT": f"0x{0xA9E2:064x}",
}


class ReloadedApplication(OwnApplication):
    """An application with parts that a test can look at; `reload` gives it another configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.clock = settings, ManualClock()
        self.parts = Parts(self.clock)
        build = self.parts.makers.connectors(settings, frozenset(watched_venues(settings)))
        common: dict[str, Any] = {"heartbeat": self.parts.heartbeat(settings)}
        self.app = Application(settings, build, self.parts.lines(settings), self.clock, **common)
        self.connector = self.parts.connectors[0]

    async def reload(self, settings: Settings) -> list[str]:
        """What changed."""
        return await self.reloader(lambda: settings).reload()

    def reloader(self, load: Callable[[], Settings]) -> Reloader:
        """What reads other configurations."""
        return Reloader(self.app, load, self.parts.makers)

    def receiver(self, name: str) -> Named:
        """The receiver of that name that was made last."""
        return self.parts.receivers[name][-1]

    async def settled(self) -> None:
        """Let alerts leave."""
        for _ in range(20):
            await asyncio.sleep(0.001)


def risky(own: OwnApplication, ratio: float, account: str = "maker") -> list[Event]:
    """All that gives an account this margin ratio now, and the portfolios what they need."""
    held = section("", own.clock.time_ms(), cash_for(ratio), position("BTC", 1000.0, 100.0))
    read = AccountSnapshot(VENUE, account, own.now_ns, (held,), wallet(balance("USDC", 5.0)))
    priced = MarkPrices(VENUE, "allDexsAssetCtxs", own.now_ns, [name("BTC")], [100.0], [100.0], [math.nan])
    return [reference(), priced, ModeReport(VENUE, account, own.now_ns, "default"), read]


async def run(own: ReloadedApplication, seconds: int, ratio: float, *accounts: str) -> None:
    """So long with fresh data of these accounts."""
    for _ in range(seconds):
        await own.clock.advance(1.0)
        for account in accounts or ("maker",):
            await own.tell(*risky(own, ratio, account))
        await own.settled()
