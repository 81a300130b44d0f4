"""For receivers that take one incident a request: worst first, for a bounded time, and what went through stays told."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery
from monitor.margin.result import Level

BUDGET_S = 12.0
"""How long one sending may begin new requests; the last one may take its own time limit longer."""


def together(alerts: Iterable[Alert], name: Callable[[Alert], str]) -> list[tuple[Alert, ...]]:
    """The alerts of each name (incident or key) in order of time; the worst key first, and its incidents in order of time."""
    found: dict[str, list[Alert]] = {}
    worst: dict[str, Level] = {}
    for alert in alerts:
        found.setdefault(name(alert), []).append(alert)
    for told in found.values():
        worst[told[-1].key] = max(told[-1].severity, worst.get(told[-1].key, Level.OK))
    return sorted(map(tuple, found.values()), key=lambda told: -worst[told[-1].key])


def incident_of(alert: Alert) -> str:
    """Each time that it fires by itself."""
    return alert.incident


def key_of_alert(alert: Alert) -> str:
    """All times that it fires together, where the receiver tells them apart by the key: an end must not come after the next beginning."""
    return alert.key


def to_tell(alerts: Sequence[Alert]) -> tuple[Alert, ...]:
    """The last of these alerts of a key or incident, in order of time; before an end also the worst that fired: perhaps it was not told."""
    firing = [alert for alert in alerts if not alert.is_resolved]
    if not alerts[-1].is_resolved or not firing:
        return (alerts[-1],)
    return (max(firing, key=lambda alert: alert.level), alerts[-1])


async def one_by_one(
    groups: Sequence[Sequence[Alert]],
    send: Callable[[Sequence[Alert]], Awaitable[Delivery]],
    budget_s: float = BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> Delivery:
    """Send group after group until one fails or the time is over; the Delivery has what was `taken` and all handles."""
    end = clock() + budget_s
    taken: list[str] = []
    handles: dict[str, str] = {}
    for told in groups:
        # The first request is always made, or nothing would ever get through.
        if taken and clock() >= end:
            return Delivery(False, "more incidents than can be sent at once; the rest follows", 0.0, False, handles, frozenset(taken))
        delivery = await send(told)
        handles.update(delivery.handles)
        if not delivery.delivered:
            return Delivery(False, delivery.reason, delivery.retry_after_s, delivery.fatal, handles, frozenset(taken))
        taken += [alert.id for alert in told]
    return Delivery(True, handles=handles)
