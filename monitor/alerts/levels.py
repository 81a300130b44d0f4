"""The rules of the margin ratio: its level, and whether there are data to judge it by.

Entering a level needs one reading, leaving it `hold_s` of usable ones without a break below `threshold - hysteresis`. What cannot be used
never lowers or ends anything; a stale number may raise.
"""

from __future__ import annotations

import math

from monitor.alerts.incident import Change, Notification
from monitor.alerts.register import Incident, Register
from monitor.alerts.rules import Rule, data_problem, has_left, level_of, levels_of, number
from monitor.alerts.tracks import Track
from monitor.margin.result import Level


class LevelRule:
    """`margin_level`: one step a reading."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def judge(self, track: Track, now_s: float) -> list[Notification]:
        """The track has just noted a reading."""
        ratio = None if track.reading is None else number(track.reading)
        if ratio is None:
            return []
        incident = self._register.get(track.level_key)
        if incident is None:
            # only what fires keeps the clocks of leaving; they start anew with it
            track.below_since.clear()
            if ratio < track.thresholds.warning:
                return []
        levels = levels_of(track.scope)
        reached = level_of(ratio, track.thresholds, levels[0])
        if incident is None:
            return [self._register.fire(track.scope, Rule.LEVEL, reached, now_s)]
        level = max(reached, self._still_held(track, levels, ratio, incident.level, now_s))
        if level == Level.OK:
            return [self._register.end(incident, now_s, "")]
        if level != incident.level:
            return [self._register.move(incident, level, now_s)]
        return [self._register.tell(incident, Change.WORSENED, now_s)] if self._is_worse(incident, ratio) else []

    def _still_held(self, track: Track, levels: tuple[Level, ...], ratio: float, current: Level, now_s: float) -> Level:
        if not track.usable:
            return current
        since = track.below_since
        for level in levels:
            if has_left(ratio, level, track.thresholds, self._register.config.hysteresis):
                since.setdefault(level, now_s)
            else:
                since.pop(level, None)
        left = {level for level, began in since.items() if now_s - began >= self._register.config.hold_s}
        return next((level for level in levels if level <= current and level not in left), Level.OK)

    def _is_worse(self, incident: Incident, ratio: float) -> bool:
        told = incident.told_ratio
        return told is not None and not math.isinf(told) and ratio >= told + self._register.config.worsening_step


class DataRule:
    """`data`: nothing usable for `data_hold_s`, be it failing, stale or missing altogether."""

    def __init__(self, register: Register) -> None:
        self._register = register

    def sweep(self, track: Track, now_s: float) -> list[Notification]:
        """To be called once a second: that nothing comes is noticed only so."""
        incident = self._register.get(track.data_key)
        blind_s = now_s - track.good_s
        if blind_s >= self._register.config.data_hold_s:
            return self._blind(track, incident, blind_s, now_s)
        # by what was seen, not by the clock: a jump of it is no evidence
        if incident is None or track.usable_since is None or track.seen_s - track.usable_since < self._register.config.hold_s:
            return []
        return [self._register.end(incident, now_s, "the data are back")]

    def _blind(self, track: Track, incident: Incident | None, blind_s: float, now_s: float) -> list[Notification]:
        is_critical = track.level_key in self._register or blind_s >= self._register.config.data_critical_s
        level = Level.CRITICAL if is_critical else Level.WARNING
        problem = self._problem(track, now_s)
        if incident is not None:
            incident.detail = problem
        if self._register.is_held(track.scope):
            return []
        if incident is None:
            return [self._register.fire(track.scope, Rule.DATA, level, now_s, detail=problem)]
        # an outage does not become less serious by lasting: the level only rises until data are back
        return [self._register.move(incident, level, now_s)] if level > incident.level else []

    def _problem(self, track: Track, now_s: float) -> str:
        if track.reading is None:
            return f"NO_RESULT: the {track.scope.kind.value} was not computed since the monitor started"
        if now_s - track.seen_s >= self._register.config.data_hold_s:
            return f"NO_RESULT: the {track.scope.kind.value} is no longer computed"
        return data_problem(track.reading)
