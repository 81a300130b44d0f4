"""What the outbox takes, keeps and gives back; imported from `monitor.alerts.outbox`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitor.alerts.alert import Alert
from monitor.alerts.incident import OpenIncident
from monitor.alerts.silences import Silence


class OutboxError(Exception):
    """The file cannot be used; the text is one sentence that names it and says why."""


class CorruptError(OutboxError):
    """What stands in the file is no outbox that can be read."""


class Outcome(StrEnum):
    """What becomes of an alert at one receiver."""

    PENDING = "pending"
    DELIVERED = "delivered"
    SILENCED = "silenced"
    ESCALATED = "escalated"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Batch:
    """What one decision of the policy has to say, written in one transaction.

    `alerts` in order; `open` the incidents among them that fire now, `closed` the keys of those that ended. `epoch_ms` is the wall clock
    at monotonic zero, by which the incidents' times are kept. `receivers`: by alert id, who is to get it: (receiver, PENDING or SILENCED).
    `deadline_ms` (wall): when PENDING ones are given up.
    """

    alerts: tuple[Alert, ...]
    open: tuple[OpenIncident, ...]
    closed: tuple[str, ...]
    epoch_ms: float
    receivers: Mapping[str, tuple[tuple[str, Outcome], ...]]
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class PendingDelivery:
    """An alert that a receiver has not taken yet."""

    alert: Alert
    receiver: str
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What an earlier process left: incidents that fire (their times by this process's `epoch_ms`), what is still to be sent (oldest
    first), what each receiver said of open incidents (receiver -> incident -> handle), the last alert of every open incident, silences,
    and the highest incident number ever given. `told`: by incident (`Alert.incident`) that is open or has something pending, every
    receiver that any alert of it was delivered to or is pending at, with the highest sequence delivered (0: none yet): it is not told
    anything older, and it is told the end. `newest`: by key of what is pending, number and sequence of its last
    alert. `problem`: why the file cannot be used; everything else is empty then.
    """

    open: tuple[OpenIncident, ...] = ()
    pending: tuple[PendingDelivery, ...] = ()
    handles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    newest: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    latest: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    last_number: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One alert at one receiver, as the history shows it. `reason` of the last failure; times Unix ms, None: not yet."""

    receiver: str
    outcome: Outcome
    attempts: int
    reason: str
    settled_ms: int | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An alert with what became of it."""

    alert: Alert
    deliveries: tuple[DeliveryRecord, ...]


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """Counts since the start. `waiting`: transactions not yet written; `last_write_s`: how long the last one took."""

    writes: int
    failures: int
    waiting: int
    pending: int
    oldest_pending_ms: int | None
    last_write_s: float
    problem: str
