"""Receiver `alertmanager`: Alertmanager's v2 API. It groups, routes and notifies; we tell what fires, keep it alive, and end it.

Labels name an alert there, so they are the same after a restart: `alertname` (`MarginwatchMarginLevel`: one per rule), `rule`,
`scope` (the kind), `venue`, `account`, `pool` | `portfolio` | `feed` | `receiver`, `tags` (comma separated), and `severity`, so that
routes can use it. With another severity it is another alert: the one with the old severity is ended in the same request. An alert that
is not told again ends by itself after three times `keep_alive_s`: should the monitor die, nothing fires for ever.

What fired and ended within one sending is told as firing, its worst severity, and left to end by itself: Alertmanager notifies of nothing
that is over before its `group_wait` is, so told its end at once nobody would hear that it fired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from config.secrets import Secret
from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.http import JSON_HEADERS, TIMEOUT_S, Poster, PostError, as_link, encoded, judged, unanswered, without
from monitor.alerts.receivers.one_by_one import key_of_alert, to_tell, together
from monitor.alerts.rules import Rule
from monitor.alerts.scope import ScopeKind
from monitor.margin.result import Level
from monitor.report.plain import utc

PATH = "/api/v2/alerts"

_MISSED_LIMIT = 3
_CLOCKS_APART_MS = 60_000
"""An end is dated back by so much: one in Alertmanager's future would lose against the end that the last keep-alive promised."""

_NAMED = frozenset({ScopeKind.POOL, ScopeKind.PORTFOLIO, ScopeKind.FEED, ScopeKind.RECEIVER})


@dataclass(frozen=True, slots=True)
class AlertmanagerReceiver:
    """Posts alerts to `url` (the base: `http://host:9093`, with a path where it has one). A handle is the severity that was told last."""

    name: str
    url: Secret
    poster: Poster
    timeout_s: float = TIMEOUT_S
    keep_alive_s: float = 30.0

    async def send(self, message: Message) -> Delivery:
        """One request for all: what fires, and what ends."""
        told = together(message.alerts, key_of_alert)
        rows = [row for alerts in told for row in self._rows(alerts, message)]
        handles = {alerts[-1].incident: alerts[-1].level.label for alerts in told if not alerts[-1].is_resolved}
        return await self._post(rows, handles)

    async def keep_alive(self, firing: Sequence[Alert], now_ms: int) -> Delivery:
        """Tell again what fires; nothing fires: nothing is asked."""
        return await self._post([self._firing(alert, now_ms) for alert in firing], {})

    def _rows(self, alerts: Sequence[Alert], message: Message) -> Iterator[dict[str, Any]]:
        last, shown = alerts[-1], to_tell(alerts)[0]
        if last.is_resolved and shown.level <= _level(message.handles.get(shown.incident, "")):
            shown = last  # it was told before that it fires
        if not shown.is_resolved:
            yield self._firing(shown, message.sent_at_ms)
        told = {level for alert in alerts for level in (alert.level, alert.previous, _level(message.handles.get(alert.incident, "")))}
        for level in sorted(told - {Level.OK, shown.level}):
            yield ended(last, level, message.sent_at_ms)

    def _firing(self, alert: Alert, now_ms: int) -> dict[str, Any]:
        return firing(alert, now_ms, now_ms + round(_MISSED_LIMIT * self.keep_alive_s * 1000))

    async def _post(self, rows: Sequence[dict[str, Any]], handles: dict[str, str]) -> Delivery:
        if not rows:
            return Delivery(True, handles=handles)
        url = Secret(self.url.reveal().rstrip("/") + PATH)
        try:
            reply = await self.poster.post(url, encoded(rows), JSON_HEADERS, self.timeout_s)
        except PostError as error:
            return unanswered(error)
        if not reply.is_accepted:
            return judged(reply, without(_error(reply.json), self.url))
        return Delivery(True, handles=handles)


def firing(alert: Alert, now_ms: int, until_ms: int) -> dict[str, Any]:
    """An alert that fires until `until_ms` unless it is told again."""
    annotations = {
        "summary": alert.title,
        "description": "\n".join(alert.details),
        "incident": alert.incident,
        "not_taken_by": alert.escalated_from,
    }
    return _row(alert, alert.level, annotations, min(alert.opened_ms, now_ms), until_ms)


def ended(alert: Alert, severity: Level, now_ms: int) -> dict[str, Any]:
    """The end of the alert that was told with this severity."""
    end_ms = now_ms - _CLOCKS_APART_MS
    return _row(alert, severity, {"summary": alert.title, "incident": alert.incident}, min(alert.opened_ms, end_ms), end_ms)


def labels(alert: Alert, severity: Level) -> dict[str, str]:
    """What names the alert, without empty ones."""
    scope = alert.scope
    found = {
        "alertname": alert_name(alert.rule),
        "rule": alert.rule.value,
        "scope": scope.kind.value,
        "venue": scope.venue,
        "account": scope.account,
        "tags": ",".join(alert.tags),
        "severity": severity.label,
    }
    if scope.kind in _NAMED:
        found[scope.kind.value] = scope.name
    return {name: value for name, value in found.items() if value}


def alert_name(rule: Rule) -> str:
    """`margin_level` -> `MarginwatchMarginLevel`."""
    return "Marginwatch" + "".join(part.capitalize() for part in rule.value.split("_"))


def _row(alert: Alert, severity: Level, annotations: dict[str, str], start_ms: int, end_ms: int) -> dict[str, Any]:
    link = as_link(alert.link)
    return {
        "labels": labels(alert, severity),
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": utc(start_ms),
        "endsAt": utc(end_ms),
        **({"generatorURL": link} if link else {}),
    }


def _level(label: str) -> Level:
    return Level.__members__.get(label.upper(), Level.OK)


def _error(said: Any) -> str:
    if isinstance(said, dict):
        said = said.get("message", said.get("error"))
    return said if isinstance(said, str) else ""
