"""What the outbox knows, in memory: all that is open or pending, and what of it the file does not have yet.

The writer takes what changed, writes it in one transaction and says so. While the disk refuses, changes gather here as the latest
state of each thing, so that one transaction makes the file true again. No I/O, no clock, no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from monitor.alerts.alert import Alert
from monitor.alerts.incident import OpenIncident
from monitor.alerts.outbox_records import Batch, DeliveryRecord, HistoryEntry, Outcome
from monitor.alerts.rules import Rule
from monitor.alerts.silences import REMEMBERED_MS, Silence

MAX_HELD = 2000
"""Alerts in memory at most: beyond it the oldest that is settled goes, or else the oldest."""

Mark = tuple[str, ...]
"""Names what changed: ("alert", id), ("delivery", id, receiver), ("incident", key), ("silence", id), ("handle", receiver, incident)
or ("number",).
"""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """An alert at one receiver; times Unix ms."""

    outcome: Outcome
    deadline_ms: int
    escalated_from: str = ""
    attempts: int = 0
    reason: str = ""
    settled_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OpenState:
    """An open incident, the clock its times are by, and its last alert."""

    incident: OpenIncident
    epoch_ms: float
    latest: Alert | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction writes. `marks` names all of it; `ticket` is the last call that it contains."""

    marks: tuple[Mark, ...]
    ticket: int
    alerts: tuple[Alert, ...] = ()
    deliveries: tuple[tuple[Alert, str, DeliveryState], ...] = ()
    incidents: tuple[OpenState, ...] = ()
    closed: tuple[str, ...] = ()
    silences: tuple[Silence, ...] = ()
    handles: tuple[tuple[str, str, str], ...] = ()
    last_number: int | None = None


@dataclass(slots=True)
class _Held:
    alert: Alert
    deliveries: dict[str, DeliveryState] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        return all(delivery.outcome is not Outcome.PENDING for delivery in self.deliveries.values())


class OutboxState:
    """`keep` alerts stay after they are settled and written (in memory only: all the history there is)."""

    def __init__(self, keep: int = 0) -> None:
        self._keep = keep
        self._held: dict[str, _Held] = {}
        self._open: dict[str, OpenState] = {}
        self._silences: dict[str, Silence] = {}
        self._handles: dict[tuple[str, str], str] = {}
        self._marks: dict[Mark, None] = {}
        self.last_number = 0
        self.ticket = 0

    @property
    def is_changed(self) -> bool:
        """Whether the file lacks something."""
        return bool(self._marks)

    def apply(self, batch: Batch) -> int:
        """Take over a batch; its ticket, which a transaction that has it reaches."""
        for alert in batch.alerts:
            self._hold(alert)
            for receiver, outcome in batch.receivers.get(alert.id, ()):
                settled_ms = None if outcome is Outcome.PENDING else alert.time_ms
                self._put(alert.id, receiver, DeliveryState(outcome, batch.deadline_ms, alert.escalated_from, settled_ms=settled_ms))
        for key in batch.closed:
            self._open.pop(key, None)
            self._mark("incident", key)
        latest = {alert.key: alert for alert in batch.alerts}
        for incident in batch.open:
            before = self._open.get(incident.key)
            last = latest.get(incident.key, before.latest if before else None)
            self._open[incident.key] = OpenState(incident, batch.epoch_ms, last)
            self._mark("incident", incident.key)
        self._number([*(alert.number for alert in batch.alerts), *(incident.number for incident in batch.open)])
        return self._next()

    def settle(
        self, ids: Sequence[str], receiver: str, outcome: Outcome, now_ms: int, reason: str, handles: Mapping[str, str] | None
    ) -> None:
        """What became of deliveries; those that are not known any more were settled before."""
        for delivery_id, before in self._deliveries(ids, receiver):
            attempts = before.attempts + (outcome is Outcome.DELIVERED)
            after = replace(before, outcome=outcome, attempts=attempts, reason=reason or before.reason, settled_ms=now_ms)
            self._put(delivery_id, receiver, after)
        for incident, handle in (handles or {}).items():
            self._handles[receiver, incident] = handle
            self._mark("handle", receiver, incident)
        self._next()

    def tried(self, ids: Sequence[str], receiver: str, reason: str) -> None:
        """One more failed attempt."""
        for delivery_id, before in self._deliveries(ids, receiver):
            self._put(delivery_id, receiver, replace(before, attempts=before.attempts + 1, reason=reason))
        self._next()

    def reassign(self, alerts: Sequence[Alert], receiver: str, deadline_ms: int) -> None:
        """Pending at another receiver too."""
        for alert in alerts:
            if alert.id not in self._held:
                self._hold(replace(alert, escalated_from=""))
            self._put(alert.id, receiver, DeliveryState(Outcome.PENDING, deadline_ms, alert.escalated_from))
        self._next()

    def keep_silence(self, silence: Silence) -> None:
        """Keep it, replacing the one of its id."""
        self._silences[silence.id] = silence
        self._mark("silence", silence.id)
        self._next()

    def load(
        self,
        incidents: Iterable[OpenState],
        pending: Iterable[tuple[Alert, str, DeliveryState]],
        silences: Iterable[Silence],
        handles: Mapping[tuple[str, str], str],
        last_number: int,
    ) -> None:
        """Begin with what the file has."""
        for alert, receiver, delivery in pending:
            self._held.setdefault(alert.id, _Held(replace(alert, escalated_from=""))).deliveries[receiver] = delivery
        for state in incidents:
            self._open[state.incident.key] = state
            if state.latest is not None:
                self._held.setdefault(state.latest.id, _Held(state.latest))
        self._silences.update({silence.id: silence for silence in silences})
        self._handles.update(handles)
        self.last_number = last_number

    def mark_one(self) -> None:
        """Something to write, so that it shows whether the file can be written."""
        self._mark("number")

    def mark_all(self) -> None:
        """The file may be another one: it needs everything, and what was closed since the last transaction."""
        for alert_id, held in self._held.items():
            self._mark("alert", alert_id)
            for receiver in held.deliveries:
                self._mark("delivery", alert_id, receiver)
        for key in self._open:
            self._mark("incident", key)
        for silence_id in self._silences:
            self._mark("silence", silence_id)
        for receiver, incident in self._handles:
            self._mark("handle", receiver, incident)
        self.mark_one()

    def take(self) -> Changes:
        """What the file lacks; it counts as written unless `give_back` follows."""
        marks, self._marks = tuple(self._marks), {}
        named: dict[str, list[tuple[str, ...]]] = {}
        for mark in marks:
            named.setdefault(mark[0], []).append(mark[1:])
        held, keys = self._held, [key for (key,) in named.get("incident", ())]
        return Changes(
            marks=marks,
            ticket=self.ticket,
            alerts=tuple(held[name].alert for (name,) in named.get("alert", ()) if name in held),
            deliveries=tuple(
                (held[name].alert, receiver, held[name].deliveries[receiver])
                for name, receiver in named.get("delivery", ())
                if name in held
            ),
            incidents=tuple(self._open[key] for key in keys if key in self._open),
            closed=tuple(key for key in keys if key not in self._open),
            silences=tuple(self._silences[name] for (name,) in named.get("silence", ()) if name in self._silences),
            handles=tuple((*pair, self._handles[pair]) for pair in self._pairs(named) if pair in self._handles),
            last_number=self.last_number if "number" in named else None,
        )

    def give_back(self, changes: Changes) -> None:
        """The transaction failed: the file lacks it still, but for what was dropped meanwhile."""
        marks = (mark for mark in changes.marks if mark[0] not in ("alert", "delivery") or mark[1] in self._held)
        self._marks = {mark: None for mark in (*marks, *self._marks)}

    def forget_settled(self) -> None:
        """Let go of what the file has and nobody waits for."""
        needed = {state.latest.id for state in self._open.values() if state.latest is not None}
        needed.update(mark[1] for mark in self._marks if mark[0] in ("alert", "delivery"))
        done = [name for name, held in self._held.items() if held.is_settled and name not in needed]
        for name in done[: max(len(done) - self._keep, 0)]:
            del self._held[name]

    def forget_ended(self, now_ms: float) -> None:
        """Let go of silences that ended a day ago and handles of incidents that are over."""
        alive = {f"{key}#{state.incident.number}" for key, state in self._open.items()}
        alive.update(held.alert.incident for held in self._held.values() if not held.is_settled)
        self._handles = {pair: handle for pair, handle in self._handles.items() if pair[1] in alive}
        self._silences = {name: silence for name, silence in self._silences.items() if silence.until_ms > now_ms - REMEMBERED_MS}
        gone = [mark for mark in self._marks if mark[0] == "handle" and mark[1:] not in self._handles]
        for mark in gone:
            del self._marks[mark]

    def outbox_alerts(self, ids: Sequence[str]) -> list[Alert]:
        """Those of the alerts that tell of the outbox itself."""
        found = (self._held[name].alert for name in ids if name in self._held)
        return [alert for alert in found if alert.rule is Rule.OUTBOX and not alert.is_resolved]

    def entries(self, before_ms: int | None, key: str | None) -> list[HistoryEntry]:
        """The alerts in memory, oldest first."""
        return [
            HistoryEntry(held.alert, tuple(_record(receiver, delivery) for receiver, delivery in held.deliveries.items()))
            for held in self._held.values()
            if (before_ms is None or held.alert.time_ms < before_ms) and (key is None or fnmatchcase(held.alert.key, key))
        ]

    def pending(self) -> tuple[int, int | None]:
        """How many deliveries wait, and the time (Unix ms) of the oldest one's alert."""
        times = [
            held.alert.time_ms
            for held in self._held.values()
            for delivery in held.deliveries.values()
            if delivery.outcome is Outcome.PENDING
        ]
        return len(times), min(times, default=None)

    def _hold(self, alert: Alert) -> None:
        if alert.id not in self._held and len(self._held) >= MAX_HELD:
            settled = (name for name, held in self._held.items() if held.is_settled)
            self._drop(next(settled, next(iter(self._held))))
        self._held.setdefault(alert.id, _Held(alert))
        self._mark("alert", alert.id)

    def _drop(self, alert_id: str) -> None:
        self._marks.pop(("alert", alert_id), None)
        for receiver in self._held.pop(alert_id).deliveries:
            self._marks.pop(("delivery", alert_id, receiver), None)

    def _put(self, alert_id: str, receiver: str, delivery: DeliveryState) -> None:
        self._held[alert_id].deliveries[receiver] = delivery
        self._mark("delivery", alert_id, receiver)

    def _deliveries(self, ids: Sequence[str], receiver: str) -> list[tuple[str, DeliveryState]]:
        held = ((name, self._held[name].deliveries.get(receiver)) for name in ids if name in self._held)
        return [(name, delivery) for name, delivery in held if delivery is not None]

    def _number(self, numbers: list[int]) -> None:
        highest = max(numbers, default=0)
        if highest > self.last_number:
            self.last_number = highest
            self._mark("number")

    def _mark(self, *mark: str) -> None:
        self._marks[mark] = None

    def _next(self) -> int:
        self.ticket += 1
        return self.ticket

    @staticmethod
    def _pairs(named: Mapping[str, list[tuple[str, ...]]]) -> list[tuple[str, str]]:
        return [(receiver, incident) for receiver, incident in named.get("handle", ())]


def _record(receiver: str, delivery: DeliveryState) -> DeliveryRecord:
    return DeliveryRecord(receiver, delivery.outcome, delivery.attempts, delivery.reason, delivery.settled_ms)
