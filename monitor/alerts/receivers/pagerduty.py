"""Receiver `pagerduty`: Events API v2, one event per alert key of a sending, as it stands after it; for what fired and ended within
one sending a trigger and its end, so that nothing that happened while PagerDuty could not be reached is kept from the pager.

What fires is a `trigger`, also when its level has changed or it is repeated: PagerDuty keeps one incident per `dedup_key`. What has
ended is a `resolve`. Severities: warning -> "warning", critical -> "error", liquidation and breach -> "critical".
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.secrets import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import JSON_HEADERS, TIMEOUT_S, Poster, PostError, Reply, as_link, encoded, judged, unanswered, without
from monitor.alerts.receivers.one_by_one import key_of_alert, one_by_one, to_tell, together
from monitor.margin.result import Level
from monitor.report.plain import utc

ENQUEUE = "https://events.pagerduty.com/v2/enqueue"
LONGEST_SUMMARY = 1024
LONGEST_DEDUP_KEY = 255
LARGEST_EVENT = 512 * 1000

_LONGEST_NAME = 255
_LONGEST_LINES = 20_000
_REFUSED = 400
_TOO_LARGE = 413
_SEVERITIES = {Level.OK: "info", Level.WARNING: "warning", Level.CRITICAL: "error", Level.LIQUIDATION: "critical", Level.BREACH: "critical"}


@dataclass(frozen=True, slots=True)
class PagerDutyReceiver:
    """Sends events with the integration's `routing_key`; `url` is for accounts elsewhere (EU) and for services that speak the same."""

    name: str
    routing_key: Secret
    poster: Poster
    url: Secret = field(default_factory=lambda: Secret(ENQUEUE))
    timeout_s: float = TIMEOUT_S
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)

    async def send(self, message: Message) -> Delivery:
        """One event a key, worst first."""
        return await one_by_one(together(message.alerts, key_of_alert), self._tell, clock=self.clock)

    async def _tell(self, alerts: Sequence[Alert]) -> Delivery:
        delivery = Delivery(True)
        for alert in to_tell(alerts):
            delivery = await self._tell_one(alert)
            if not delivery.delivered:
                break
        return delivery

    async def _tell_one(self, alert: Alert) -> Delivery:
        try:
            reply = await self._post(bodies(self.routing_key, alert))
        except PostError as error:
            return unanswered(error)
        if reply.status == _REFUSED:
            said = f' ("{saying}")' if (saying := _saying(reply, self.routing_key, self.url)) else ""
            return Delivery(False, f"PagerDuty refused the event{said}: check the routing key (integration key)", fatal=True)
        return judged(reply)

    async def _post(self, candidates: Iterator[bytes]) -> Reply:
        reply = await self.poster.post(self.url, next(candidates), JSON_HEADERS, self.timeout_s)
        if reply.status in (_REFUSED, _TOO_LARGE) and (lesser := next(candidates, None)) is not None:
            # It may be the figures; should it be the key, the bare event is refused as well.
            reply = await self.poster.post(self.url, lesser, JSON_HEADERS, self.timeout_s)
        return reply


def bodies(routing_key: Secret, alert: Alert) -> Iterator[bytes]:
    """The event within PagerDuty's size, and after it the event with nothing but what is required."""
    if alert.is_resolved:
        yield _with_key(routing_key, _resolve(alert))
        return
    whole = event(alert)
    body = _with_key(routing_key, whole)
    if len(body) > LARGEST_EVENT:
        whole["payload"]["custom_details"].pop("figures", None)
        body = _with_key(routing_key, whole)
    yield body
    required = {name: whole["payload"][name] for name in ("summary", "source", "severity")}
    yield _with_key(routing_key, {**_head("trigger", alert), "payload": required})


def event(alert: Alert) -> dict[str, Any]:
    """The event of an alert, without the routing key."""
    if alert.is_resolved:
        return _resolve(alert)
    link = as_link(alert.link)
    links = {"client_url": link, "links": [{"href": link, "text": "open the page"}]} if link else {}
    scope = alert.scope
    payload = {
        "summary": alert.title[:LONGEST_SUMMARY] or alert.key[:LONGEST_SUMMARY],
        "source": (scope.place or scope.path)[:_LONGEST_NAME],
        "severity": _SEVERITIES[alert.level],
        "timestamp": utc(alert.time_ms),
        "component": (scope.name or scope.account or scope.path)[:_LONGEST_NAME],
        "group": (scope.venue or scope.kind.value)[:_LONGEST_NAME],
        "class": alert.rule.value,
        "custom_details": _details(alert),
    }
    return {**_head("trigger", alert), "client": "marginwatch", **links, "payload": payload}


def dedup_key(key: str) -> str:
    """The alert's key; a longer one is cut and told from others by its hash."""
    if len(key) <= LONGEST_DEDUP_KEY:
        return key
    digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:32]
    return f"{key[: LONGEST_DEDUP_KEY - 33]}~{digest}"


def _head(action: str, alert: Alert) -> dict[str, Any]:
    return {"event_action": action, "dedup_key": dedup_key(alert.key)}


def _resolve(alert: Alert) -> dict[str, Any]:
    return _head("resolve", alert)


def _details(alert: Alert) -> dict[str, Any]:
    found = {
        "details": "\n".join(alert.details)[:_LONGEST_LINES],
        "incident": alert.incident[:LONGEST_SUMMARY],
        "change": alert.change.value,
        "level": alert.level.label,
        "ratio": alert.ratio,
        "ratio_at_crossing": alert.ratio_at_crossing,
        "tags": ", ".join(alert.tags)[:LONGEST_SUMMARY],
        "not_taken_by": alert.escalated_from[:_LONGEST_NAME],
        "figures": dict(alert.figures),
    }
    return {name: value for name, value in found.items() if value not in (None, "", {})}


def _with_key(routing_key: Secret, content: dict[str, Any]) -> bytes:
    return encoded({"routing_key": routing_key.reveal(), **content})


def _saying(reply: Reply, *secrets: Secret) -> str:
    said = reply.json
    if not isinstance(said, dict):
        return ""
    errors = said.get("errors")
    parts = [said.get("message"), *(errors if isinstance(errors, list) else [])]
    return without("; ".join(part for part in parts if isinstance(part, str)), *secrets)
