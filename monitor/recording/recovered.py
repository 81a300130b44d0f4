"""What a run took over from an earlier process, kept in its recording: alerts that fire already are not told anew in a replay either."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from monitor.alerts.incident import OpenIncident
from monitor.alerts.outbox_records import Recovered
from monitor.alerts.rules import Rule
from monitor.alerts.silences import Silence

NOT_REPLAYED = frozenset({Rule.RECEIVER, Rule.OUTBOX})
"""Alerts about the sending of alerts: a replay sends none, so that it can neither tell nor end one."""

_OPEN = TypeAdapter(tuple[OpenIncident, ...])
_SILENCES = TypeAdapter(tuple[Silence, ...])


def recovered_document(result: object) -> dict[str, Any] | None:
    """What the alarm needs of it, as JSON; None for any other result of work off the loop."""
    if not isinstance(result, Recovered):
        return None
    return {
        "open": _OPEN.dump_python(result.open, mode="json"),
        "silences": _SILENCES.dump_python(result.silences, mode="json"),
        "last_number": result.last_number,
    }


def recovered_of(document: dict[str, Any]) -> Recovered:
    """The same again, with nothing left to be sent, and nothing of what is not replayed."""
    return Recovered(
        open=tuple(incident for incident in _OPEN.validate_python(document["open"]) if incident.rule not in NOT_REPLAYED),
        silences=_SILENCES.validate_python(document["silences"]),
        last_number=document["last_number"],
    )
