"""`marginwatch alert-test`: one test alert and its end to every receiver, and what became of them.

drill(targets, now_ms) -> results       sends to all at the same time
run_alert_test(settings) -> exit code   builds the receivers, prints a line each
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from config.settings import Settings
from monitor.alerts.alert import Alert
from monitor.alerts.build import build_receivers
from monitor.alerts.incident import Change, Notification, key_of
from monitor.alerts.message import Delivery, Message, Receiver
from monitor.alerts.receivers.http import HttpPoster
from monitor.alerts.rules import Rule, Thresholds
from monitor.alerts.scope import AlertScope
from monitor.alerts.text import group, render
from monitor.margin.result import Level

LIMIT_S = 30.0

_DETAIL = "sent by marginwatch alert-test; no action is needed"
_TARGET = tuple[str, Receiver]


@dataclass(frozen=True, slots=True)
class DrillResult:
    """What a receiver did with the test alert, and with its end; None: the end was not sent, because the alert was not taken."""

    receiver: str
    fired: Delivery
    resolved: Delivery | None

    @property
    def passed(self) -> bool:
        """Whether it took both."""
        return self.fired.delivered and self.resolved is not None and self.resolved.delivered

    @property
    def line(self) -> str:
        """For people: `ops: ok, ...` or `ops: FAILED, ...` with the reason, which names the remedy."""
        if not self.fired.delivered:
            return f"{self.receiver}: FAILED, the test alert was not taken: {_reason(self.fired)}"
        if self.resolved is None or not self.resolved.delivered:
            return f"{self.receiver}: FAILED, the test alert was taken, but not its end: {_reason(self.resolved or self.fired)}"
        return f"{self.receiver}: ok, it took the test alert and its end"


async def drill(targets: Sequence[_TARGET], now_ms: int, limit_s: float = LIMIT_S) -> list[DrillResult]:
    """Send to all `targets` (name, receiver) at the same time, whatever they usually take; `limit_s` for each of two sendings."""
    return list(await asyncio.gather(*(_one(name, receiver, now_ms, limit_s) for name, receiver in targets)))


def run_alert_test(settings: Settings, echo: Callable[[str], None] = print) -> int:
    """Test the configured receivers, one line each. 0: all took it, 1: not all, or [alerts] uses none."""
    results, used = asyncio.run(_run(settings)), settings.alert_receivers
    for result in results:
        echo(result.line if result.receiver in used else f"{result.line} (not used by [alerts]: its receivers leave it out)")
    failed = [result.receiver for result in results if not result.passed]
    if failed:
        echo(f"{len(failed)} of {len(results)} receivers failed: {', '.join(failed)}")
    if doubt := _doubt(settings):
        echo(doubt)
    return 1 if failed or not used else 0


def _doubt(settings: Settings) -> str:
    used = settings.alert_receivers
    if not settings.receivers:
        return "no receiver is configured, so alerts are sent to nobody; add [receivers.NAME]"
    if not used:
        return "[alerts] receivers is empty, so alerts are sent to nobody; name those that are to be told"
    if all(receiver.type == "log" for receiver in settings.receivers.values()):
        return "only a log was tested, and it wakes up nobody; add a receiver of another type"
    if all(settings.receivers[name].type == "log" for name in used):
        return "[alerts] uses only a log, and it wakes up nobody; name another receiver in its receivers"
    return ""


async def _run(settings: Settings) -> list[DrillResult]:
    async with HttpPoster() as poster:
        unused = [name for name in settings.receivers if name not in settings.alert_receivers]
        receivers = build_receivers(settings, poster, (*settings.alert_receivers, *unused))
        return await drill([(receiver.name, receiver) for receiver in receivers], time.time_ns() // 1_000_000)


async def _one(name: str, receiver: Receiver, now_ms: int, limit_s: float) -> DrillResult:
    fired = await _send(receiver, alert_of_drill(name, Change.FIRED, now_ms), {}, limit_s)
    if not fired.delivered:
        return DrillResult(name, fired, None)
    return DrillResult(name, fired, await _send(receiver, alert_of_drill(name, Change.RESOLVED, now_ms), fired.handles, limit_s))


async def _send(receiver: Receiver, alert: Alert, handles: Mapping[str, str], limit_s: float) -> Delivery:
    try:
        async with asyncio.timeout(limit_s):
            return await receiver.send(Message(group([alert]), (alert,), alert.time_ms, handles))
    except TimeoutError:
        return Delivery(False, f"no answer within {limit_s:g} s")
    except Exception as error:  # A receiver's bug must not hide what the others say; its text may hold a URL.
        return Delivery(False, type(error).__name__)


def alert_of_drill(receiver: str, change: Change, now_ms: int) -> Alert:
    """The test alert of a receiver, or its end. Its number is the Unix second: every drill is an incident of its own."""
    scope = AlertScope.receiver(receiver)
    over = change is Change.RESOLVED
    level, previous = (Level.OK, Level.WARNING) if over else (Level.WARNING, Level.OK)
    number, sequence = now_ms // 1000, 2 if over else 1
    key = key_of(scope, Rule.TEST)
    notification = Notification(key, number, sequence, Rule.TEST, change, scope, level, previous, 0.0, 0.0, Thresholds(), detail=_DETAIL)
    text = render(notification)
    return Alert(key, number, sequence, Rule.TEST, change, level, previous, scope, text.title, text.details, now_ms, now_ms, detail=_DETAIL)


def _reason(delivery: Delivery) -> str:
    wait = "" if delivery.retry_after_s is None else f"; it asks to wait {delivery.retry_after_s:g} s"
    return f"{delivery.reason}{wait}"
