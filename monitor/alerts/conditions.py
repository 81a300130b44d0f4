"""What is so as long as it is told: fires after its hold, ends after `hold_s` of absence, and keeps still while it cannot be judged.

The clock of a hold runs only while the condition is told and can be judged, and at most `silence_s` between two calls: a suspended machine
has watched nothing. The clocks of an end and of a lower level start anew after such a silence, and after a time of not being judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from monitor.alerts.incident import Change, Condition, Notification, key_of
from monitor.alerts.register import NETWORK, Incident, Register
from monitor.alerts.rules import OCCURRENCES, RATIO_RULES, Rule
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level


@dataclass(frozen=True, slots=True)
class _Merged:
    condition: Condition
    is_partial: bool


@dataclass(slots=True)
class _State:
    since: float
    judged: bool = True
    absent_since: float | None = None
    lower_since: float | None = None
    lower: Level = Level.OK


class Conditions:
    """The machine of all conditions. Restored ones are taken from the register."""

    def __init__(self, register: Register, now_s: float) -> None:
        self._register = register
        self._told_s: float | None = None
        conditions = (incident for incident in register if incident.rule not in OCCURRENCES and incident.rule not in RATIO_RULES)
        self._states = {incident.key: _State(now_s) for incident in conditions}

    def update(self, found: Iterable[Condition], now_s: float) -> list[Notification]:
        """Everything that is so now."""
        merged = _merge(found)
        counted = self._pass(now_s)
        told: list[Notification] = []
        # the network comes first: while it is lost it holds what follows from it
        for key in sorted(dict.fromkeys([*merged, *self._states]), key=lambda key: key != NETWORK):
            told += self._present(key, merged[key], now_s, counted) if key in merged else self._absent(key, now_s)
        return told

    def forget(self, scope: AlertScope) -> None:
        """The scope is no more: what waited there to fire waits no longer."""
        for rule in Rule:
            self._states.pop(key_of(scope, rule), None)

    def _pass(self, now_s: float) -> float:
        passed = 0.0 if self._told_s is None else now_s - self._told_s
        self._told_s = now_s
        silence_s = self._register.config.silence_s
        if passed <= silence_s:
            return passed
        for state in self._states.values():
            state.since += passed - silence_s
            state.absent_since = state.lower_since = None
        return silence_s

    def _present(self, key: str, merged: _Merged, now_s: float, counted: float) -> list[Notification]:
        condition, state, incident = merged.condition, self._states.get(key), self._register.get(key)
        if state is not None and (condition.frozen or not state.judged):
            state.since += counted
        if incident is not None:
            incident.unjudged = condition.frozen
        if condition.frozen:
            if state is not None:
                state.judged, state.absent_since, state.lower_since = False, None, None
            return []
        if state is None:
            state = self._states[key] = _State(now_s)
        state.judged, state.absent_since = True, None
        self._register.unconfirmed.pop(key, None)
        is_held = condition.rule is Rule.STALE_FEED and self._register.is_held(condition.scope)
        if incident is not None:
            return self._changed(incident, state, merged, now_s, is_held)
        if is_held or now_s - state.since < condition.hold_s:
            return []
        return [self._register.fire(condition.scope, condition.rule, condition.level, now_s, condition.subject, condition.detail)]

    def _changed(self, incident: Incident, state: _State, merged: _Merged, now_s: float, is_held: bool) -> list[Notification]:
        condition, hold_s = merged.condition, self._register.config.hold_s
        incident.detail = condition.detail
        if condition.level >= incident.level or merged.is_partial:
            state.lower_since = None
        if is_held:
            return []
        if condition.level > incident.level:
            incident.subject = condition.subject
            return [self._register.move(incident, condition.level, now_s)]
        if condition.level < incident.level and not merged.is_partial and self._is_lower(state, condition.level, now_s):
            incident.subject = condition.subject
            return [self._register.move(incident, state.lower, now_s)]
        if _is_another(merged, incident.subject) and now_s - incident.notified_s >= hold_s:
            incident.subject = condition.subject
            return [self._register.tell(incident, Change.WORSENED, now_s)]
        return []

    def _is_lower(self, state: _State, level: Level, now_s: float) -> bool:
        if state.lower_since is None:
            state.lower_since, state.lower = now_s, level
        state.lower = max(state.lower, level)
        if now_s - state.lower_since < self._register.config.hold_s:
            return False
        state.lower_since = None
        return True

    def _absent(self, key: str, now_s: float) -> list[Notification]:
        state, incident = self._states[key], self._register.get(key)
        if incident is None:
            del self._states[key]
            return []
        if key in self._register.unconfirmed:
            return []
        incident.unjudged, state.judged, state.lower_since = False, True, None
        state.absent_since = now_s if state.absent_since is None else state.absent_since
        if now_s - state.absent_since < self._register.config.hold_s:
            return []
        del self._states[key]
        return [self._register.end(incident, now_s, f"over: {incident.detail}" if incident.detail else "over")]


def _is_another(merged: _Merged, told: str) -> bool:
    subject = merged.condition.subject
    # that one of several cannot be judged does not take it off the list
    return subject != told and not (merged.is_partial and set(subject.split(", ")) <= set(told.split(", ")))


def _merge(found: Iterable[Condition]) -> dict[str, _Merged]:
    groups: dict[str, list[Condition]] = {}
    for condition in found:
        groups.setdefault(key_of(condition.scope, condition.rule), []).append(condition)
    return {key: _merged(group) for key, group in groups.items()}


def _merged(group: Sequence[Condition]) -> _Merged:
    judged = [condition for condition in group if not condition.frozen]
    if len(group) == 1 or not judged:
        return _Merged(group[0], False)
    first = judged[0]
    condition = Condition(
        scope=first.scope,
        rule=first.rule,
        level=max(condition.level for condition in judged),
        subject=", ".join(dict.fromkeys(condition.subject for condition in judged if condition.subject)),
        detail="; ".join(dict.fromkeys(condition.detail for condition in judged if condition.detail)),
        hold_s=min(condition.hold_s for condition in judged),
    )
    return _Merged(condition, len(judged) < len(group))
