"""What an earlier process left, brought into the lines of this one: nothing delivered is sent again, nothing else is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from monitor.alerts.alert import Alert
from monitor.alerts.outbox import Outcome, PendingDelivery, Recovered
from monitor.alerts.parcel import Incident, Item, order_of
from monitor.alerts.post import DispatcherConfig, Ledger, LineSettings, Seams, guarded
from monitor.alerts.routing import inheritor, not_for

_log = logging.getLogger("marginwatch.dispatcher")


class Resumption:
    """`open` are the incidents that fire, by key; `lines` the receivers configured now, by name."""

    def __init__(
        self, recovered: Recovered, lines: Mapping[str, LineSettings], ledger: Ledger, config: DispatcherConfig, seams: Seams
    ) -> None:
        self._recovered = recovered
        self._lines = lines
        self._ledger = ledger
        self._config = config
        self._seams = seams
        self._pending_at: dict[str, set[str]] = {}
        for pending in recovered.pending:
            self._pending_at.setdefault(pending.alert.id, set()).add(pending.receiver)
        self._unfinished = {f"{incident.key}#{incident.number}" for incident in recovered.open}
        self._unfinished |= {pending.alert.incident for pending in recovered.pending if pending.alert.is_resolved}
        self._incidents = {alert.incident: self._incident(alert) for alert in recovered.latest}
        self.open = {alert.key: self._incidents[alert.incident] for alert in recovered.latest}

    def firing(self, name: str) -> list[Alert]:
        """The last alerts of the open incidents that the receiver was told of, or may have been."""
        return [alert for alert in self._recovered.latest if self._may_know(name, alert)]

    def told(self, name: str) -> dict[str, tuple[int, int]]:
        """By key, the latest that the receiver has got (see `order_of`)."""
        latest: dict[str, tuple[int, int]] = {}
        for incident, sequences in self._recovered.told.items():
            if sequence := sequences.get(name, 0):
                key, _, number = incident.rpartition("#")
                latest[key] = max(latest.get(key, (0, 0)), (int(number), sequence))
        return latest

    def waiting(self) -> dict[str, list[Item]]:
        """What is to be sent, by receiver and oldest first; that of a receiver configured no more goes to another."""
        had_by_id: dict[str, set[str]] = {}
        waiting: dict[str, list[Item]] = {}
        for pending in self._recovered.pending:
            alert = pending.alert
            if self._is_superseded(alert):
                _log.warning(
                    "alerts: receiver %s: not sent, its incident is over and a later one was told: %s", pending.receiver, alert.title
                )
                self._settle(pending, Outcome.DROPPED, "its incident is over, and a later alert of it was told before")
                continue
            had = had_by_id.setdefault(alert.id, self._had(alert))
            incident = self._incidents.setdefault(alert.incident, Incident(alert.number, is_known=False))
            receiver: str | None = pending.receiver
            if pending.receiver not in self._lines:
                receiver = self._inherited(pending, had)
                alert = replace(alert, escalated_from=pending.receiver)
            if receiver is not None:
                had.add(receiver)
                incident.told.add(receiver)
                waiting.setdefault(receiver, []).append(Item(alert, incident, had, self._deadline_s(pending)))
        return waiting

    def _incident(self, alert: Alert) -> Incident:
        told = self._recovered.told.get(alert.incident)
        if told is None:
            return Incident(alert.number, is_known=False)
        here = {name for name in told if name in self._lines}
        # Where all that were told are configured no more, whoever is there now hears of the end.
        return Incident(alert.number, here, is_known=bool(here) or not told)

    def _may_know(self, name: str, alert: Alert) -> bool:
        incident = self._incidents[alert.incident]
        return name in incident.told if incident.is_known else self._lines[name].route.concerns(alert) and name != not_for(alert)

    def _had(self, alert: Alert) -> set[str]:
        sequences = self._recovered.told.get(alert.incident, {})
        got = {name for name, sequence in sequences.items() if sequence >= alert.sequence}
        return {not_for(alert), alert.escalated_from, *got, *self._pending_at[alert.id]}

    def _inherited(self, pending: PendingDelivery, had: set[str]) -> str | None:
        alert, former = pending.alert, pending.receiver
        order = [name for name, settings in self._lines.items() if not settings.is_log]
        heir = inheritor(former, had, order, self._lines)
        if heir is not None:
            _log.warning("alerts: receiver %s is configured no more; to %s instead: %s", former, heir, alert.title)
            guarded(self._ledger.reassign, [replace(alert, escalated_from=former)], heir, pending.deadline_ms)
        is_lost = heir is None and had.isdisjoint(self._lines)
        if is_lost:
            _log.error("alerts: receiver %s is configured no more, and nobody is left for: %s", former, alert.title)
        outcome = Outcome.FAILED if is_lost else Outcome.ESCALATED
        self._settle(pending, outcome, "it is configured no more")
        return heir

    def _is_superseded(self, alert: Alert) -> bool:
        # Its end was told by a process that knew nothing of it, or never: sent now it would fire for ever.
        is_last = order_of(alert) >= self._recovered.newest.get(alert.key, (0, 0))
        return not is_last and alert.incident not in self._unfinished

    def _settle(self, pending: PendingDelivery, outcome: Outcome, reason: str) -> None:
        guarded(self._ledger.settle, [pending.alert.id], pending.receiver, outcome, self._seams.clock.time_ms(), reason)

    def _deadline_s(self, pending: PendingDelivery) -> float:
        left_s = (pending.deadline_ms - self._seams.clock.time_ms()) / 1000
        # A wall clock that was set meanwhile must neither give up at once nor wait for ever.
        return self._seams.now_s + min(max(left_s, self._config.longest_retry_s), self._config.deadline_of(pending.alert))
