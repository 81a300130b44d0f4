"""Alerts and silences as the API serves them and the commands print them. Times: Unix ms; infinity is the text "Infinity"."""

from __future__ import annotations

import math
from typing import Any

from config.errors import masked
from monitor.alerts.alert import Alert
from monitor.alerts.incident import OpenIncident
from monitor.alerts.outbox import DeliveryRecord, HistoryEntry
from monitor.alerts.silences import Silence

VERSION = 1


def entry_document(entry: HistoryEntry) -> dict[str, Any]:
    """An alert of the history with what became of it at each receiver."""
    return {**alert_document(entry.alert), "deliveries": [_delivery(record) for record in entry.deliveries]}


def alert_document(alert: Alert) -> dict[str, Any]:
    """An alert. `deliveries` None: not known."""
    scope = alert.scope
    return {
        "id": alert.id,
        "incident": alert.incident,
        "time_ms": alert.time_ms,
        "since_ms": alert.opened_ms,
        "key": alert.key,
        "rule": alert.rule.value,
        "change": alert.change.value,
        "kind": scope.kind.value,
        "venue": scope.venue,
        "account": scope.account,
        "name": scope.name,
        "tags": list(alert.tags),
        "level": alert.level.label,
        "previous": alert.previous.label,
        "ratio": _number(alert.ratio),
        "ratio_at_crossing": _number(alert.ratio_at_crossing),
        "frozen": alert.frozen,
        "text": alert.title,
        "details": list(alert.details),
        "link": alert.link,
        "deliveries": None,
    }


def firing_document(incident: OpenIncident, since_ms: int, notified_ms: int) -> dict[str, Any]:
    """An alert that fires, and since when; `notified_ms`: when it was last told."""
    scope = incident.scope
    return {
        "since_ms": since_ms,
        "notified_ms": notified_ms,
        "key": incident.key,
        "number": incident.number,
        "rule": incident.rule.value,
        "kind": scope.kind.value,
        "venue": scope.venue,
        "account": scope.account,
        "name": scope.name,
        "level": incident.level.label,
        "ratio": _number(incident.ratio),
        "ratio_at_crossing": _number(incident.ratio_at_crossing),
        "frozen": incident.frozen,
        "subject": masked(incident.subject),
        "detail": masked(incident.detail),
    }


def silence_document(silence: Silence) -> dict[str, Any]:
    """A silence."""
    return {
        "id": silence.id,
        "key": silence.pattern,
        "until_ms": silence.until_ms,
        "reason": silence.reason,
        "created_ms": silence.created_ms,
        "up_to": silence.up_to.label,
    }


def _delivery(record: DeliveryRecord) -> dict[str, Any]:
    return {
        "receiver": record.receiver,
        "outcome": record.outcome.value,
        "attempts": record.attempts,
        "reason": record.reason,
        "settled_ms": record.settled_ms,
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
