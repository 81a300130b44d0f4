"""What the API needs of an application: its alarm, a clock and settings, over an outbox that the test fills."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from connectors.clock import ManualClock
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change, OpenIncident, key_of
from monitor.alerts.outbox import Batch, Outbox, Outcome
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.alerts.silences import Silences
from monitor.app import Application
from monitor.margin.result import Level

START_MS = 1_790_000_000_000
POOL = AlertScope.pool("hyperliquid", "hl-main", "USDC")
FEED = AlertScope.feed("aster", "marks")


def alert(scope: AlertScope, number: int, time_ms: int, level: Level, change: Change = Change.FIRED, sequence: int = 1) -> Alert:
    previous = Level.CRITICAL if level is Level.OK else Level.OK
    rule = Rule.LEVEL if scope is POOL else Rule.STALE_FEED
    title = f"{level.name} {scope.place} [told {number}]"
    return Alert(key_of(scope, rule), number, sequence, rule, change, level, previous, scope, title, ("more",), time_ms, START_MS)


def batch(*told: tuple[Alert, dict[str, Outcome]]) -> Batch:
    alerts = tuple(one for one, _ in told)
    receivers = {one.id: tuple(to.items()) for one, to in told}
    return Batch(alerts, (), (), float(START_MS), receivers, START_MS + 300_000)


class StandIn:
    """An alarm with one firing pool alert. `app` is it as the API sees it."""

    def __init__(self, path: Path | None = None, link: str = "") -> None:
        self.clock = ManualClock(time_ms=START_MS)
        self.outbox = Outbox(path)
        self.outbox.open(float(START_MS), START_MS)
        self.silences = Silences()
        self.recent: deque[Alert] = deque()
        self.firing: list[OpenIncident] = []
        alarm = SimpleNamespace(
            outbox=self.outbox, silences=self.silences, recent=self.recent, policy=SimpleNamespace(firing=lambda: self.firing)
        )
        parts: Any = SimpleNamespace(alarm=alarm, clock=self.clock, settings=SimpleNamespace(link=link))
        self.app = cast(Application, parts)

    def fire(self, told: Alert) -> None:
        now_s = self.clock.monotonic_ns() / 1e9
        self.firing.append(OpenIncident(told.key, told.number, 1, told.rule, told.scope, told.level, now_s, now_s, ratio=0.92))
