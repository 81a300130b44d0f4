"""What happens at once: the first is told without delay, what follows at most every `occurrence_gap_s`, with its count."""

from __future__ import annotations

from monitor.alerts.incident import Change, Notification, Occurrence, key_of
from monitor.alerts.register import Incident, Register


class Occurrences:
    """The machine of all occurrences. None is forgotten: the last detail and the count are told once the gap is over."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def take(self, occurrence: Occurrence, now_s: float) -> list[Notification]:
        """It happened now. A higher level than before does not wait for the gap."""
        incident = self._register.get(key_of(occurrence.scope, occurrence.rule))
        if incident is None:
            return [self._register.fire(occurrence.scope, occurrence.rule, occurrence.level, now_s, detail=occurrence.detail)]
        incident.events += 1
        incident.event_s = now_s
        incident.detail = f"{occurrence.detail} (event {incident.events})"
        if occurrence.level > incident.level:
            return [self._register.move(incident, occurrence.level, now_s)]
        incident.untold = incident.untold or not occurrence.quiet
        return self._overdue(incident, now_s) if incident.untold else []

    def sweep(self, incident: Incident, now_s: float, watched_since_s: float) -> list[Notification]:
        """To be called once a second. Quiet counts only from `watched_since_s`."""
        if incident.untold:
            return self._overdue(incident, now_s)
        quiet_s = self._register.config.occurrence_quiet_s
        if now_s - max(incident.event_s, watched_since_s) < quiet_s:
            return []
        return [self._register.end(incident, now_s, f"no further one for {quiet_s / 60:g} min")]

    def _overdue(self, incident: Incident, now_s: float) -> list[Notification]:
        if now_s - incident.notified_s < self._register.config.occurrence_gap_s:
            return []
        return [self._register.tell(incident, Change.WORSENED, now_s)]
