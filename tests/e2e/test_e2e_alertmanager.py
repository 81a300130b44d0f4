"""A real Alertmanager takes our alerts, groups and routes them, keeps them as long as we say so, and ends them when we do."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from config import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery
from monitor.alerts.receivers.alertmanager import AlertmanagerReceiver
from monitor.alerts.receivers.http import HttpPoster
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from tests.e2e.programs import Inbox, Launcher, fetch, free_port, until
from tests.monitor.alerts.receiver_alerts import alert, message

pytestmark = pytest.mark.e2e

CONFIGURATION = """
route:
  receiver: nobody
  group_by: [venue, account]
  group_wait: 100ms
  group_interval: 500ms
  routes:
    - matchers: ['severity=~"critical|liquidation"']
      receiver: pager
      continue: false
receivers:
  - name: nobody
  - name: pager
    webhook_configs:
      - url: "{pager}"
        send_resolved: true
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def pool(account: str, name: str) -> AlertScope:
    return AlertScope.pool("hyperliquid", account, name)


def told(
    level: Level = Level.WARNING, change: Change = Change.FIRED, *, account: str = "hl-main", name: str = "USDC", **fields: Any
) -> Alert:
    """An alert that fires since three seconds ago."""
    return alert(level, change, scope=pool(account, name), time_ms=now_ms(), opened_ms=now_ms() - 3000, **fields)


@dataclass
class Alertmanager:
    """The server, asked as its users do; `send` is our receiver with what it returned kept as the outbox does."""

    base: str
    amtool: Path
    launcher: Launcher
    receiver: AlertmanagerReceiver
    handles: dict[str, str] = field(default_factory=dict)

    async def send(self, *alerts: Alert, ahead_ms: int = 0) -> Delivery:
        delivery = await self.receiver.send(message(*alerts, handles=self.handles, sent_at_ms=now_ms() + ahead_ms))
        self.handles |= delivery.handles
        return delivery

    async def ask(self, path: str) -> Any:
        status, body = await fetch(f"{self.base}/api/v2/{path}")
        return json.loads(body) if status == 200 else None

    async def active(self) -> list[tuple[str, str, str]]:
        """(account, pool, severity) of what it holds for firing."""
        found = [one["labels"] for one in await self.ask("alerts?active=true") or []]
        return sorted((one["account"], one["pool"], one["severity"]) for one in found)

    async def becomes(self, *expected: tuple[str, str, str]) -> None:
        async def same() -> bool:
            return await self.active() == sorted(expected)

        await until(same, 10.0, lambda: f"expected {sorted(expected)}")

    async def listed(self) -> list[dict[str, Any]]:
        """What amtool lists."""
        run = await self.launcher.start(self.amtool, "alert", "query", f"--alertmanager.url={self.base}", "--output=json")
        assert await run.ended(10.0) == 0, run.printed
        found: list[dict[str, Any]] = json.loads(run.printed)
        return found


@pytest.fixture
async def server(launcher: Launcher, inbox: Inbox, tmp_path: Path, require_server: Callable[[str], Path]) -> AsyncIterator[Alertmanager]:
    binary, amtool, port = require_server("prometheus-alertmanager"), require_server("amtool"), free_port()
    (tmp_path / "alertmanager.yml").write_text(CONFIGURATION.format(pager=f"{inbox.url}/pager"))
    running = await launcher.start(
        binary,
        f"--config.file={tmp_path / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    base = f"http://127.0.0.1:{port}"
    async with HttpPoster() as poster:
        found = Alertmanager(base, amtool, launcher, AlertmanagerReceiver("am", Secret(base), poster))

        async def is_up() -> bool:
            return await found.ask("status") is not None

        await until(is_up, 20.0, lambda: running.printed[-2000:])
        yield found


async def test_a_burst_is_grouped_routed_and_listed(server: Alertmanager, inbox: Inbox) -> None:
    burst = [told(name=f"p{number}") for number in range(4)]
    burst += [told(Level.CRITICAL, account="hl-hedge"), told(Level.LIQUIDATION, account="hl-hedge", name="dead")]
    assert (await server.send(*burst)).delivered
    await server.becomes(
        *(("hl-main", f"p{number}", "warning") for number in range(4)),
        ("hl-hedge", "USDC", "critical"),
        ("hl-hedge", "dead", "liquidation"),
    )

    async def is_grouped() -> bool:
        groups = await server.ask("alerts/groups") or []
        rows = {(group["labels"]["account"], group["receiver"]["name"], len(group["alerts"])) for group in groups}
        return rows == {("hl-main", "nobody", 4), ("hl-hedge", "pager", 2)}

    await until(is_grouped, 10.0, lambda: "not grouped by account")
    listed = await server.listed()
    assert len(listed) == 6
    (dead,) = [one for one in listed if one["labels"]["pool"] == "dead"]
    assert dead["labels"]["alertname"] == "MarginwatchMarginLevel"
    assert dead["annotations"]["summary"] == "LIQUIDATION 92% hl-hedge/dead: 160k left of 2.00M"
    assert dead["annotations"]["incident"] == burst[-1].incident
    assert dead["generatorURL"] == burst[-1].link
    await until(paged(inbox, "firing", 2), 10.0, lambda: str(inbox.got))
    over = [told(one.level, Change.RESOLVED, account=one.scope.account, name=one.scope.name, sequence=2) for one in burst]
    assert (await server.send(*over)).delivered
    await server.becomes()
    await until(paged(inbox, "resolved", 2), 10.0, lambda: str(inbox.got))
    assert await server.listed() == []


def paged(inbox: Inbox, status: str, number: int) -> Callable[[], Any]:
    async def check() -> bool:
        return any(one["status"] == status and len(one["alerts"]) == number for one in inbox.got.get("pager", []))

    return check


async def test_exactly_one_alert_of_an_incident_whatever_its_level(server: Alertmanager) -> None:
    await server.send(told(Level.WARNING))
    await server.becomes(("hl-main", "USDC", "warning"))
    steps = [
        (Level.CRITICAL, Change.ESCALATED, Level.WARNING),
        (Level.LIQUIDATION, Change.ESCALATED, Level.CRITICAL),
        (Level.WARNING, Change.DEESCALATED, Level.LIQUIDATION),
        (Level.WARNING, Change.REPEATED, Level.WARNING),
        (Level.CRITICAL, Change.ESCALATED, Level.WARNING),
    ]
    for sequence, (level, change, previous) in enumerate(steps, 2):
        assert (await server.send(told(level, change, previous=previous, sequence=sequence))).delivered
        assert await server.active() == [("hl-main", "USDC", level.label)]
    # a new process knows only the handle, and tells the end
    assert (await server.send(told(Level.WARNING, Change.RESOLVED, sequence=9))).delivered
    assert await server.active() == []
    # and the next time that it fires is not mistaken for the last
    assert (await server.send(told(Level.CRITICAL, number=8))).delivered
    assert await server.active() == [("hl-main", "USDC", "critical")]


async def test_what_is_kept_alive_stays_and_what_is_forgotten_ends(server: Alertmanager) -> None:
    kept, forgotten = told(Level.CRITICAL, name="kept"), told(name="forgotten")
    almost_over_ms = round(2.5 * server.receiver.keep_alive_s * 1000)
    # told so long ago that it would end in a moment
    await server.send(kept, forgotten, ahead_ms=-round(3 * server.receiver.keep_alive_s * 1000) + 1500)
    assert len(await server.active()) == 2
    assert (await server.receiver.keep_alive([kept], now_ms())).delivered
    await server.becomes(("hl-main", "kept", "critical"))
    (left,) = await server.ask("alerts?active=true")
    assert datetime.fromisoformat(left["endsAt"]).timestamp() * 1000 - now_ms() > almost_over_ms


@pytest.mark.parametrize("ahead_s", [-40, 0, 40])
async def test_an_end_is_taken_though_the_clocks_differ(server: Alertmanager, ahead_s: int) -> None:
    await server.send(told(Level.CRITICAL), ahead_ms=ahead_s * 1000)
    assert await server.active() == [("hl-main", "USDC", "critical")]
    await server.send(told(Level.CRITICAL, Change.RESOLVED), ahead_ms=ahead_s * 1000)
    assert await server.active() == []


async def test_what_it_refuses_is_fatal(server: Alertmanager) -> None:
    async with HttpPoster() as poster:
        wrong = AlertmanagerReceiver("am", Secret(f"{server.base}/elsewhere"), poster)
        delivery = await wrong.send(message(told()))
    assert (delivery.delivered, delivery.fatal) == (False, True)
    assert "404" in delivery.reason
