"""The register of firing alerts: at most one incident a key; numbers them and writes each notification."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor.alerts.incident import Change, Notification, OpenIncident, key_of
from monitor.alerts.policy_config import PolicyConfig
from monitor.alerts.rules import OCCURRENCES, RATIO_RULES, Rule
from monitor.alerts.scope import MONITOR, AlertScope, ScopeKind
from monitor.alerts.tracks import Tracks
from monitor.margin.result import Level

NETWORK = key_of(MONITOR, Rule.NETWORK)
"""The incident of which bad data are only a part."""

_WITHOUT_READINGS = (ScopeKind.RECEIVER, ScopeKind.MONITOR)


@dataclass(slots=True)
class Incident:
    """A firing alert, as `OpenIncident` describes it. `untold`: something happened since the last notification; `unjudged`: its
    condition cannot be judged now.
    """

    key: str
    number: int
    rule: Rule
    scope: AlertScope
    level: Level
    opened_s: float
    notified_s: float
    crossing: float | None = None
    told_ratio: float | None = None
    subject: str = ""
    detail: str = ""
    sequence: int = 0
    events: int = 1
    event_s: float = 0.0
    untold: bool = False
    unjudged: bool = False


class Register:
    """Every incident that fires. `maintenance`: venue -> why it is in maintenance; `told_elsewhere`: scopes whose bad data others tell.

    `unconfirmed` are the restored conditions of which this process knows nothing yet: neither were they told since, nor was anything of
    their scope computed on good data. They must not end. `config` may be replaced at any time: all rules read
    it here.
    """

    def __init__(self, config: PolicyConfig, tracks: Tracks, last_number: int) -> None:
        self.config = config
        self.maintenance: dict[str, str] = {}
        self.told_elsewhere: frozenset[AlertScope] = frozenset()
        self.unconfirmed: dict[str, Incident] = {}
        self._tracks = tracks
        self._incidents: dict[str, Incident] = {}
        self._number = last_number

    def __iter__(self) -> Iterator[Incident]:
        """Over a copy: incidents may end meanwhile."""
        return iter(list(self._incidents.values()))

    def __contains__(self, key: str) -> bool:
        return key in self._incidents

    def get(self, key: str) -> Incident | None:
        """The incident of a key, if it fires."""
        return self._incidents.get(key)

    def restore(self, saved: OpenIncident) -> None:
        """Go on with an incident of an earlier process; of two with one key the later counts."""
        self._number = max(self._number, saved.number)
        key = key_of(saved.scope, saved.rule)
        other = self._incidents.get(key)
        if other is not None and other.number > saved.number:
            return
        incident = Incident(
            key=key,
            number=saved.number,
            rule=saved.rule,
            scope=saved.scope,
            level=saved.level,
            opened_s=saved.opened_s,
            notified_s=saved.notified_s,
            crossing=saved.ratio_at_crossing,
            told_ratio=saved.told_ratio,
            subject=saved.subject,
            detail=saved.detail,
            sequence=saved.sequence,
            events=saved.events,
            event_s=saved.event_s,
        )
        self._incidents[key] = incident
        has_readings = saved.scope.kind not in _WITHOUT_READINGS or saved.rule is Rule.NETWORK
        if has_readings and saved.rule not in OCCURRENCES and saved.rule not in RATIO_RULES:
            self.unconfirmed[key] = incident

    def confirm(self, scope: AlertScope) -> None:
        """A usable reading of a pool or portfolio came: what was restored of it, its account or its venue can be judged."""
        for key in [key for key, incident in self.unconfirmed.items() if _covers(incident.scope, scope)]:
            del self.unconfirmed[key]

    def is_held(self, scope: AlertScope) -> bool:
        """Whether bad data are no news there: the monitor has lost its network, or the venue is in maintenance."""
        return NETWORK in self._incidents or scope.venue in self.maintenance or scope in self.told_elsewhere

    def fire(self, scope: AlertScope, rule: Rule, level: Level, now_s: float, subject: str = "", detail: str = "") -> Notification:
        """Open an incident of a key that does not fire."""
        self._number += 1
        incident = Incident(key_of(scope, rule), self._number, rule, scope, level, now_s, now_s, subject=subject, detail=detail)
        incident.crossing, incident.event_s = self._ratio(scope), now_s
        self._incidents[incident.key] = incident
        return self.tell(incident, Change.FIRED, now_s, Level.OK)

    def move(self, incident: Incident, level: Level, now_s: float) -> Notification:
        """Give it another level."""
        previous, incident.level = incident.level, level
        if level > previous:
            incident.crossing = self._ratio(incident.scope)
        return self.tell(incident, Change.ESCALATED if level > previous else Change.DEESCALATED, now_s, previous)

    def end(self, incident: Incident, now_s: float, detail: str) -> Notification:
        """Close it, telling `detail`."""
        del self._incidents[incident.key]
        self.unconfirmed.pop(incident.key, None)
        previous, incident.level, incident.detail = incident.level, Level.OK, detail
        return self.tell(incident, Change.RESOLVED, now_s, previous)

    def tell(self, incident: Incident, change: Change, now_s: float, previous: Level | None = None) -> Notification:
        """The next notification of an incident; `previous` None: its level did not change."""
        track = self._tracks.get(incident.scope)
        incident.sequence += 1
        notification = Notification(
            key=incident.key,
            number=incident.number,
            sequence=incident.sequence,
            rule=incident.rule,
            change=change,
            scope=incident.scope,
            level=incident.level,
            previous=incident.level if previous is None else previous,
            now_s=now_s,
            opened_s=incident.opened_s,
            thresholds=self.config.of(incident.scope),
            ratio=track.ratio if track else None,
            ratio_at_crossing=incident.crossing,
            ratio_before=incident.told_ratio,
            frozen=self._is_unjudged(incident) or (track is not None and not self._tracks.is_live(track, now_s)),
            result=track.reading if track else None,
            subject=incident.subject,
            detail=incident.detail,
            maintenance=self.maintenance.get(incident.scope.venue, ""),
        )
        incident.notified_s, incident.untold = now_s, False
        incident.told_ratio = track.ratio if track else None
        return notification

    def snapshot(self, incident: Incident) -> OpenIncident:
        """The incident for saving and showing."""
        track = self._tracks.get(incident.scope)
        frozen = track is not None and (not track.usable or track.data_key in self._incidents)
        return OpenIncident(
            key=incident.key,
            number=incident.number,
            sequence=incident.sequence,
            rule=incident.rule,
            scope=incident.scope,
            level=incident.level,
            opened_s=incident.opened_s,
            notified_s=incident.notified_s,
            ratio_at_crossing=incident.crossing,
            told_ratio=incident.told_ratio,
            subject=incident.subject,
            detail=incident.detail,
            events=incident.events,
            event_s=incident.event_s,
            ratio=track.ratio if track else None,
            frozen=frozen or self._is_unjudged(incident),
        )

    def snapshots(self, keys: Iterable[str]) -> list[OpenIncident]:
        """Those of these keys that fire."""
        return [self.snapshot(self._incidents[key]) for key in keys if key in self._incidents]

    def _is_unjudged(self, incident: Incident) -> bool:
        return incident.unjudged or incident.key in self.unconfirmed

    def _ratio(self, scope: AlertScope) -> float | None:
        track = self._tracks.get(scope)
        return track.ratio if track else None


def _covers(scope: AlertScope, read: AlertScope) -> bool:
    if scope.kind in (ScopeKind.POOL, ScopeKind.PORTFOLIO):
        return scope == read
    # anything read shows that there is a network
    return scope == MONITOR or (scope.venue == read.venue and scope.account in ("", read.account))
