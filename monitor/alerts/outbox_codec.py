"""Alerts, open incidents and silences as JSON text, and back. Infinite ratios are the strings "Infinity" and "-Infinity"."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import orjson

from monitor.alerts.alert import Alert
from monitor.alerts.incident import Change, OpenIncident
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.silences import Silence
from monitor.margin.result import Level

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""What decoding raises for a text that none of the functions here wrote."""


def dumps(value: Any) -> str:
    """JSON of anything: what JSON has no word for becomes its text."""
    try:
        return orjson.dumps(value, default=_plain).decode()
    except TypeError:  # half a surrogate pair, an integer over 64 bits, keys that are no strings
        return json.dumps(value, default=_plain, separators=(",", ":"))


def encode_alert(alert: Alert) -> str:
    """The alert as it will be read back; `escalated_from` belongs to a delivery and is left out."""
    return dumps(
        {
            "key": alert.key,
            "number": alert.number,
            "sequence": alert.sequence,
            "rule": alert.rule.value,
            "change": alert.change.value,
            "level": alert.level.label,
            "previous": alert.previous.label,
            "scope": _scope(alert.scope),
            "title": alert.title,
            "details": list(alert.details),
            "time_ms": alert.time_ms,
            "opened_ms": alert.opened_ms,
            "subject": alert.subject,
            "detail": alert.detail,
            "maintenance": alert.maintenance,
            "tags": list(alert.tags),
            "frozen": alert.frozen,
            "ratio": _number(alert.ratio),
            "ratio_at_crossing": _number(alert.ratio_at_crossing),
            "figures": dict(alert.figures),
            "link": alert.link,
        }
    )


def decode_alert(text: str, escalated_from: str = "") -> Alert:
    """Raises one of UNREADABLE."""
    found = _loads(text)
    return Alert(
        key=found["key"],
        number=found["number"],
        sequence=found["sequence"],
        rule=Rule(found["rule"]),
        change=Change(found["change"]),
        level=_level(found["level"]),
        previous=_level(found["previous"]),
        scope=_read_scope(found["scope"]),
        title=found["title"],
        details=tuple(found["details"]),
        time_ms=found["time_ms"],
        opened_ms=found["opened_ms"],
        subject=found["subject"],
        detail=found["detail"],
        tags=tuple(found["tags"]),
        frozen=found["frozen"],
        ratio=_read_number(found["ratio"]),
        ratio_at_crossing=_read_number(found["ratio_at_crossing"]),
        figures=found["figures"],
        link=found["link"],
        escalated_from=escalated_from,
        maintenance=found.get("maintenance", ""),
    )


def encode_incident(incident: OpenIncident, epoch_ms: float) -> str:
    """The incident with its times by the wall clock; `epoch_ms` is that clock at monotonic zero."""
    return dumps(
        {
            "key": incident.key,
            "number": incident.number,
            "sequence": incident.sequence,
            "rule": incident.rule.value,
            "scope": _scope(incident.scope),
            "level": incident.level.label,
            "opened_ms": epoch_ms + incident.opened_s * 1e3,
            "notified_ms": epoch_ms + incident.notified_s * 1e3,
            "event_ms": epoch_ms + incident.event_s * 1e3,
            "events": incident.events,
            "ratio_at_crossing": _number(incident.ratio_at_crossing),
            "told_ratio": _number(incident.told_ratio),
            "ratio": _number(incident.ratio),
            "subject": incident.subject,
            "detail": incident.detail,
            "frozen": incident.frozen,
        }
    )


def decode_incident(text: str, epoch_ms: float, now_ms: float) -> OpenIncident:
    """The incident by another process's `epoch_ms`. What lies after `now_ms` (the clock was set back) is now. Raises one of UNREADABLE."""
    found = _loads(text)
    opened_s, notified_s, event_s = ((min(found[name], now_ms) - epoch_ms) / 1e3 for name in ("opened_ms", "notified_ms", "event_ms"))
    return OpenIncident(
        key=found["key"],
        number=found["number"],
        sequence=found["sequence"],
        rule=Rule(found["rule"]),
        scope=_read_scope(found["scope"]),
        level=_level(found["level"]),
        opened_s=opened_s,
        notified_s=notified_s,
        ratio_at_crossing=_read_number(found["ratio_at_crossing"]),
        told_ratio=_read_number(found["told_ratio"]),
        subject=found["subject"],
        detail=found["detail"],
        events=found["events"],
        event_s=event_s,
        ratio=_read_number(found["ratio"]),
        frozen=found["frozen"],
    )


def encode_silence(silence: Silence) -> str:
    """The silence as it will be read back."""
    return dumps(
        {
            "id": silence.id,
            "pattern": silence.pattern,
            "until_ms": silence.until_ms,
            "reason": silence.reason,
            "created_ms": silence.created_ms,
            "up_to": silence.up_to.label,
        }
    )


def decode_silence(text: str) -> Silence:
    """Raises one of UNREADABLE."""
    found = _loads(text)
    return Silence(found["id"], found["pattern"], found["until_ms"], found["reason"], found["created_ms"], _level(found["up_to"]))


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _loads(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except ValueError:  # what only the more patient writer could write
        found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _scope(scope: AlertScope) -> list[str]:
    return [scope.kind.value, scope.venue, scope.account, scope.name]


def _read_scope(found: list[str]) -> AlertScope:
    kind, venue, account, name = found
    return AlertScope(ScopeKind(kind), venue, account, name)


def _level(label: str) -> Level:
    return Level[label.upper()]


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _read_number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
