"""Batches and waiting for the tests of the outbox; light, for a process that is killed imports it too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change, OpenIncident
from monitor.alerts.outbox import Batch, Outcome, Seams
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level

EPOCH_MS = 1_699_999_900_000.0
NOW_MS = 1_700_000_000_000
DEADLINE_MS = NOW_MS + 300_000
PENDING = Outcome.PENDING

FAST: dict[str, Any] = {
    "linger_s": 0.002,
    "idle_s": 0.02,
    "first_retry_s": 0.01,
    "longest_retry_s": 0.02,
    "busy_s": 0.02,
    "open_wait_s": 0.05,
}


def seams(**changes: Any) -> Seams:
    return Seams(**{**FAST, **changes})


def scope(pool: str = "USDC") -> AlertScope:
    return AlertScope.pool("hyperliquid", "hl-main", pool)


def alert(number: int, sequence: int = 1, pool: str = "USDC", **fields: Any) -> Alert:
    values: dict[str, Any] = {
        "key": f"{scope(pool).path}/margin_level",
        "number": number,
        "sequence": sequence,
        "rule": Rule.LEVEL,
        "change": Change.FIRED,
        "level": Level.CRITICAL,
        "previous": Level.OK,
        "scope": scope(pool),
        "title": f"CRITICAL 92% hl-main/{pool}",
        "details": ("first", "second"),
        "time_ms": NOW_MS + number,
        "opened_ms": NOW_MS,
        "ratio": 0.92,
        "figures": {"equity": 2_000_000.0},
    }
    return Alert(**{**values, **fields})


def incident(of: Alert, **fields: Any) -> OpenIncident:
    values: dict[str, Any] = {
        "key": of.key,
        "number": of.number,
        "sequence": of.sequence,
        "rule": of.rule,
        "scope": of.scope,
        "level": of.level,
        "opened_s": 50.0,
        "notified_s": 60.0,
    }
    return OpenIncident(**{**values, **fields})


def fired(*alerts: Alert, receivers: tuple[str, ...] = ("ops", "log")) -> Batch:
    to = {each.id: tuple((receiver, PENDING) for receiver in receivers) for each in alerts}
    return Batch(alerts, tuple(incident(each) for each in alerts), (), EPOCH_MS, to, DEADLINE_MS)


def closed(*alerts: Alert, receivers: tuple[str, ...] = ()) -> Batch:
    to = {each.id: tuple((receiver, PENDING) for receiver in receivers) for each in alerts}
    return Batch(alerts, (), tuple(each.key for each in alerts), EPOCH_MS, to, DEADLINE_MS)


async def until(holds: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Waits for the outbox's thread, which only real time can show."""
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.002)
