"""When to speak: a pure state machine over margin results. No clock, no I/O; `now_s` is any monotonic clock in seconds.

Per pool and rule an alert goes OK -> FIRING(level) -> RESOLVED:

* It fires, and escalates, at once in the observation that reaches a threshold.
* It leaves a level after `hold_s` without a break below `threshold - hysteresis`, to the highest level not left so, or to OK.
  An unusable result, or a silence of more than max(hold_s, 5 s), starts that clock anew.
* Within a level it notifies again each time the ratio has risen by `worsening_step` since the last notification, and after
  `repeat_s` of its level.
* No usable result (a number, not stale, without failures) of a known pool for `data_hold_s`, be it failing or missing
  altogether, fires the data rule: WARNING; CRITICAL after `data_critical_s` or where a level alert fires. It ends after `hold_s`
  of usable results. Level alerts are frozen meanwhile: they go on firing and repeating and are never lowered or resolved;
  a stale number may raise them.
* A pool that is no longer there ends only by `gone`, which the caller calls when the account's data are fresh.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.events import AccountFailure, Liquidation, MarginCall
from monitor.alerts.rules import LEVELS, Rule, Thresholds, data_problem, has_left, is_usable, level_of, number
from monitor.margin.result import Level, PoolResult

Scope = tuple[str, str, str]
"""(venue, account, pool); pool is empty for what concerns the whole account."""

CLOSED = "the pool is gone: its positions were closed or liquidated"
"""Why a pool's alerts end with it."""

_SILENCE_S = 5.0
_SEEN = {Liquidation: (Rule.LIQUIDATION_SEEN, Level.LIQUIDATION), MarginCall: (Rule.MARGIN_CALL, Level.WARNING)}


class Change(StrEnum):
    """Why a notification is sent."""

    FIRED = "fired"
    ESCALATED = "escalated"
    WORSENED = "worsened"
    DEESCALATED = "deescalated"
    REPEATED = "repeated"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """Ratios are fractions, durations seconds. `thresholds_for` maps an account to its own thresholds."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    thresholds_for: Mapping[str, Thresholds] = field(default_factory=dict)
    hysteresis: float = 0.02
    hold_s: float = 5.0
    worsening_step: float = 0.05
    data_hold_s: float = 10.0
    data_critical_s: float = 60.0
    unreconciled_hold_s: float = 15.0
    liquidation_gap_s: float = 10.0
    liquidation_quiet_s: float = 900.0
    repeat_s: Mapping[Level, float] = field(
        default_factory=lambda: {Level.WARNING: 3600.0, Level.CRITICAL: 900.0, Level.LIQUIDATION: 300.0}
    )

    def of(self, account: str) -> Thresholds:
        """The thresholds of an account."""
        return self.thresholds_for.get(account, self.thresholds)


@dataclass(frozen=True, slots=True)
class AlertState:
    """A firing alert. `ratio` is the last number known; `frozen`: the data are unusable, or their alert still fires."""

    key: str
    rule: Rule
    scope: Scope
    level: Level
    opened_s: float
    ratio: float | None
    ratio_at_crossing: float | None
    notified_s: float
    notifications: int
    frozen: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing to tell. `key` names the incident: venue, account, pool and rule, the same after a restart.

    `level` is the level now (OK when resolved), `previous` the one before. `ratio` is the last number known, also while
    `frozen`; `ratio_before` the one last notified. `detail` is the rule's own sentence, empty for `margin_level`.
    """

    key: str
    rule: Rule
    change: Change
    scope: Scope
    level: Level
    previous: Level
    now_s: float
    opened_s: float
    thresholds: Thresholds
    ratio: float | None = None
    ratio_at_crossing: float | None = None
    ratio_before: float | None = None
    frozen: bool = False
    result: PoolResult | None = None
    detail: str = ""

    @property
    def severity(self) -> Level:
        """What a receiver's `min_level` is compared with: an end is told to whom the beginning was told."""
        return max(self.level, self.previous)


@dataclass(slots=True)
class _Track:
    good_s: float
    seen_s: float
    result: PoolResult
    ratio: float | None = None
    usable: bool = False
    fresh_since: float | None = None
    below_since: dict[Level, float] = field(default_factory=dict)
    apart_since: float | None = None
    agreed_since: float | None = None


@dataclass(slots=True)
class _Incident:
    key: str
    rule: Rule
    scope: Scope
    level: Level
    opened_s: float
    notified_s: float
    crossing: float | None
    told_ratio: float | None
    detail: str
    notifications: int = 0
    events: int = 1
    event_s: float = 0.0
    untold: bool = False


class AlertPolicy:
    """The state machine. Notifications of one call stay separate, in the order of the results; grouping is the dispatcher's."""

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._tracks: dict[Scope, _Track] = {}
        self._incidents: dict[str, _Incident] = {}

    def observe(self, results: Iterable[PoolResult], now_s: float) -> list[Notification]:
        """Take results (all, or those that changed) and the time on; returns what to tell now.

        To be called at every evaluation that crossed something and at least once a second with all results; with an empty
        list it still repeats and notices silence.
        """
        told: list[Notification] = []
        for result in results:
            track = self._tracks.get(result.scope)
            if track is None:
                track = self._tracks[result.scope] = _Track(good_s=now_s, seen_s=now_s, result=result)
            self._note(track, result, now_s)
            told += self._margin_level(track, now_s)
            told += self._reconciliation(track, now_s)
        for track in self._tracks.values():
            told += self._data(track, now_s)
        for incident in list(self._incidents.values()):
            told += self._later(incident, now_s)
        return told

    def gone(self, scope: Scope, now_s: float, why: str = CLOSED) -> list[Notification]:
        """A pool exists no more, said by fresh data of its account: forget it and end its alerts, telling `why`."""
        told: list[Notification] = []
        for rule in (Rule.LEVEL, Rule.DATA, Rule.UNRECONCILED):
            told += self._end(scope, rule, now_s, why)
        self._tracks.pop(scope, None)
        return told

    def seen(self, event: Liquidation | MarginCall, now_s: float) -> list[Notification]:
        """The venue liquidated, or warned that it might: told at once, further events at most every `liquidation_gap_s`.

        A liquidation has level LIQUIDATION. A margin call is a WARNING: where the venue sends one is not published, and what
        counts is the ratio. The alert ends after `liquidation_quiet_s` without another event.
        """
        scope = (event.venue, event.account, "")
        rule, level = _SEEN[type(event)]
        incident = self._incidents.get(_key(scope, rule))
        if incident is None:
            told = self._set(scope, rule, level, now_s, event.detail)
            self._incidents[_key(scope, rule)].event_s = now_s
            return told
        incident.events += 1
        incident.event_s = now_s
        incident.detail = f"{event.detail} (event {incident.events})"
        incident.untold = True
        return self._later(incident, now_s)

    def account_failure(self, event: AccountFailure, now_s: float) -> list[Notification]:
        """The account cannot be monitored as configured: CRITICAL until `account_recovered`; told again when the reason changes."""
        scope = (event.venue, event.account, "")
        detail = f"{event.reason.value}: {event.detail}"
        incident = self._incidents.get(_key(scope, Rule.ACCOUNT_FAILURE))
        if incident is not None and incident.detail != detail:
            incident.detail = detail
            return [self._tell(incident, Change.WORSENED, incident.level, now_s)]
        return self._set(scope, Rule.ACCOUNT_FAILURE, Level.CRITICAL, now_s, detail)

    def account_recovered(self, venue: str, account: str, now_s: float) -> list[Notification]:
        """The account is monitored again."""
        return self._end((venue, account, ""), Rule.ACCOUNT_FAILURE, now_s, "the account is monitored again")

    def firing(self) -> list[AlertState]:
        """All firing alerts, worst first, then by key."""
        incidents = sorted(self._incidents.values(), key=lambda incident: (-incident.level, incident.key))
        return [self._state(incident) for incident in incidents]

    def _note(self, track: _Track, result: PoolResult, now_s: float) -> None:
        if now_s - track.seen_s > max(self._config.hold_s, _SILENCE_S):
            track.below_since.clear()
            track.fresh_since = track.agreed_since = None
        track.result, track.seen_s = result, now_s
        track.usable = is_usable(result)
        ratio = number(result)
        track.ratio = track.ratio if ratio is None else ratio
        if track.usable:
            track.good_s = now_s
            track.fresh_since = now_s if track.fresh_since is None else track.fresh_since
        else:
            track.fresh_since = track.agreed_since = None
            track.below_since.clear()

    def _margin_level(self, track: _Track, now_s: float) -> list[Notification]:
        ratio = number(track.result)
        if ratio is None:
            return []
        scope = track.result.scope
        incident = self._incidents.get(_key(scope, Rule.LEVEL))
        current = incident.level if incident else Level.OK
        reached = level_of(ratio, self._config.of(track.result.account))
        level = max(reached, self._still_held(track, ratio, current, now_s))
        if level == Level.OK:
            return self._end(scope, Rule.LEVEL, now_s, "")
        if incident and level == current:
            return self._worse(incident, ratio, now_s)
        return self._set(scope, Rule.LEVEL, level, now_s, "")

    def _still_held(self, track: _Track, ratio: float, current: Level, now_s: float) -> Level:
        if not track.usable:
            return current
        config, thresholds = self._config, self._config.of(track.result.account)
        for level in LEVELS:
            if has_left(ratio, level, thresholds, config.hysteresis):
                track.below_since.setdefault(level, now_s)
            else:
                track.below_since.pop(level, None)
        left = {level for level, since in track.below_since.items() if now_s - since >= config.hold_s}
        return next((level for level in LEVELS if level <= current and level not in left), Level.OK)

    def _worse(self, incident: _Incident, ratio: float, now_s: float) -> list[Notification]:
        told = incident.told_ratio
        if told is None or math.isinf(told) or ratio < told + self._config.worsening_step:
            return []
        return [self._tell(incident, Change.WORSENED, incident.level, now_s)]

    def _reconciliation(self, track: _Track, now_s: float) -> list[Notification]:
        result = track.result
        if not track.usable or result.reconciled is None:
            track.agreed_since = None
            return []
        if result.reconciled:
            track.apart_since = None
            track.agreed_since = now_s if track.agreed_since is None else track.agreed_since
            if now_s - track.agreed_since < self._config.hold_s:
                return []
            return self._end(result.scope, Rule.UNRECONCILED, now_s, "our figures and the venue's agree again")
        track.agreed_since = None
        track.apart_since = now_s if track.apart_since is None else track.apart_since
        if now_s - track.apart_since < self._config.unreconciled_hold_s:
            return []
        return self._set(result.scope, Rule.UNRECONCILED, Level.WARNING, now_s, "our figures and the venue's are apart")

    def _data(self, track: _Track, now_s: float) -> list[Notification]:
        config, scope = self._config, track.result.scope
        blind_s = now_s - track.good_s
        if blind_s >= config.data_hold_s:
            silent = now_s - track.seen_s >= config.data_hold_s
            problem = "NO_RESULT: the pool is no longer computed" if silent else data_problem(track.result)
            firing = _key(scope, Rule.LEVEL) in self._incidents
            level = Level.CRITICAL if firing or blind_s >= config.data_critical_s else Level.WARNING
            incident = self._incidents.get(_key(scope, Rule.DATA))
            # An outage does not become less serious by lasting: the level only rises until data are back.
            return self._set(scope, Rule.DATA, max(level, incident.level if incident else level), now_s, problem)
        if track.fresh_since is not None and now_s - track.fresh_since >= config.hold_s:
            return self._end(scope, Rule.DATA, now_s, "the data are back")
        return []

    def _later(self, incident: _Incident, now_s: float) -> list[Notification]:
        if incident.rule in (Rule.LIQUIDATION_SEEN, Rule.MARGIN_CALL):
            if incident.untold and now_s - incident.notified_s >= self._config.liquidation_gap_s:
                return [self._tell(incident, Change.WORSENED, incident.level, now_s)]
            if now_s - incident.event_s >= self._config.liquidation_quiet_s:
                return self._end(incident.scope, incident.rule, now_s, "the venue reported no further one")
            return []
        repeat_s = self._config.repeat_s.get(incident.level)
        if repeat_s is not None and now_s - incident.notified_s >= repeat_s:
            return [self._tell(incident, Change.REPEATED, incident.level, now_s)]
        return []

    def _set(self, scope: Scope, rule: Rule, level: Level, now_s: float, detail: str) -> list[Notification]:
        key = _key(scope, rule)
        incident = self._incidents.get(key)
        if incident is None:
            crossing = self._ratio(scope)
            incident = _Incident(key, rule, scope, level, now_s, now_s, crossing, None, detail)
            self._incidents[key] = incident
            return [self._tell(incident, Change.FIRED, Level.OK, now_s)]
        incident.detail = detail
        previous = incident.level
        if level == previous:
            return []
        incident.level = level
        if level > previous:
            incident.crossing = self._ratio(scope)
        return [self._tell(incident, Change.ESCALATED if level > previous else Change.DEESCALATED, previous, now_s)]

    def _end(self, scope: Scope, rule: Rule, now_s: float, detail: str) -> list[Notification]:
        incident = self._incidents.pop(_key(scope, rule), None)
        if incident is None:
            return []
        previous, incident.level, incident.detail = incident.level, Level.OK, detail
        return [self._tell(incident, Change.RESOLVED, previous, now_s)]

    def _tell(self, incident: _Incident, change: Change, previous: Level, now_s: float) -> Notification:
        ratio = self._ratio(incident.scope)
        track = self._tracks.get(incident.scope)
        notification = Notification(
            key=incident.key,
            rule=incident.rule,
            change=change,
            scope=incident.scope,
            level=incident.level,
            previous=previous,
            now_s=now_s,
            opened_s=incident.opened_s,
            thresholds=self._config.of(incident.scope[1]),
            ratio=ratio,
            ratio_at_crossing=incident.crossing,
            ratio_before=incident.told_ratio,
            frozen=track is not None and not self._live(track, now_s),
            result=track.result if track else None,
            detail=incident.detail,
        )
        incident.notified_s, incident.told_ratio = now_s, ratio
        incident.notifications += 1
        incident.untold = False
        return notification

    def _live(self, track: _Track, now_s: float) -> bool:
        return track.usable and now_s - track.seen_s < self._config.data_hold_s

    def _ratio(self, scope: Scope) -> float | None:
        track = self._tracks.get(scope)
        return track.ratio if track else None

    def _state(self, incident: _Incident) -> AlertState:
        track = self._tracks.get(incident.scope)
        return AlertState(
            key=incident.key,
            rule=incident.rule,
            scope=incident.scope,
            level=incident.level,
            opened_s=incident.opened_s,
            ratio=track.ratio if track else None,
            ratio_at_crossing=incident.crossing,
            notified_s=incident.notified_s,
            notifications=incident.notifications,
            frozen=track is not None and (not track.usable or _key(incident.scope, Rule.DATA) in self._incidents),
            detail=incident.detail,
        )


def _key(scope: Scope, rule: Rule) -> str:
    return "/".join((*scope, rule.value))
