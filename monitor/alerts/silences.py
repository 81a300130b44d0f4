"""Silences: alerts that are not sent for a while, because somebody said so and why."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from monitor.alerts.alert import Alert
from monitor.margin.result import Level

LONGEST_MS = 30 * 24 * 3_600_000
MOST = 500
"""Silences at a time."""

REMEMBERED_MS = 24 * 3_600_000
"""So long the outbox keeps one that has ended: the next start then knows what it held back."""

_LONGEST_PATTERN = 200
_LONGEST_REASON = 500
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_ID_LENGTH = 6


class SilenceError(ValueError):
    """A silence that cannot be; the text names what is wrong with it and what to write instead."""


def fits(key: str, pattern: str) -> bool:
    """Whether the key of an alert fits a pattern with shell wildcards, or is the pattern: keys may hold brackets themselves."""
    return key == pattern or fnmatchcase(key, pattern)


@dataclass(frozen=True, slots=True)
class Silence:
    """Matches alerts whose key fits `pattern` (shell wildcards: `hyperliquid/hl-main/*`, `*/data`), up to `up_to` and no higher.

    It ends by itself at `until_ms` (Unix ms). What it matches is still shown and kept in the history.
    """

    id: str
    pattern: str
    until_ms: int
    reason: str
    created_ms: int
    up_to: Level = Level.CRITICAL

    def matches(self, alert: Alert, now_ms: int) -> bool:
        """Whether the alert is not to be sent now. Its severity counts: what comes down from above `up_to` is told too."""
        return now_ms < self.until_ms and alert.severity <= self.up_to and fits(alert.key, self.pattern)


class Silences:
    """All silences, and what they hold back. No clock: every call is told the time (Unix ms). `chance` is a number in [0, 1)."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._silences: dict[str, Silence] = {}
        self._held: dict[str, Alert] = {}

    def add(self, pattern: str, until_ms: int, reason: str, now_ms: int, up_to: Level = Level.CRITICAL) -> Silence:
        """A new silence. A pattern that fits nothing now is allowed: it may later. Raises SilenceError."""
        pattern, reason = pattern.strip(), " ".join(reason.split())
        self._forget_ended(now_ms)
        if problem := _problem(pattern, until_ms, reason, now_ms, up_to) or self._fullness():
            raise SilenceError(problem)
        silence = Silence(self._new_id(), pattern, until_ms, reason, now_ms, up_to)
        self._silences[silence.id] = silence
        return silence

    def end(self, id: str, now_ms: int) -> Silence:
        """End a silence now and return it with its new end. Raises SilenceError where none of that id is active."""
        silence = self._silences.get(id)
        if silence is None or silence.until_ms <= now_ms:
            raise SilenceError(f'no silence "{id}" is active; the list of silences shows their ids')
        del self._silences[id]
        return replace(silence, until_ms=now_ms)

    def active(self, now_ms: int) -> list[Silence]:
        """Those that have not ended, the one that ends first at the front."""
        return sorted((s for s in self._silences.values() if s.until_ms > now_ms), key=lambda s: (s.until_ms, s.id))

    def match(self, alert: Alert, now_ms: int) -> Silence | None:
        """A silence that holds the alert back now."""
        return next((silence for silence in self._silences.values() if silence.matches(alert, now_ms)), None)

    def note(self, alert: Alert, *, is_silenced: bool) -> None:
        """Remember what became of the last alert of an incident: sent, or held back."""
        self._held.pop(alert.key, None)
        if is_silenced and not alert.is_resolved:
            self._held[alert.key] = alert

    def reminders(self, now_ms: int) -> list[str]:
        """Keys of incidents whose last alert was held back by a silence that has ended: they are to be told again. Each is given once."""
        if not self._held:
            return []
        keys = [key for key, alert in self._held.items() if self.match(alert, now_ms) is None]
        for key in keys:
            del self._held[key]
        return keys

    def restore(self, silences: Iterable[Silence], latest: Iterable[Alert], now_ms: int) -> None:
        """Take over the silences of an earlier process, and from the last alert of every open incident what they held back."""
        earlier = list(silences)
        self._silences |= {silence.id: silence for silence in earlier if silence.until_ms > now_ms}
        for alert in latest:
            held = any(silence.created_ms <= alert.time_ms and silence.matches(alert, alert.time_ms) for silence in earlier)
            self.note(alert, is_silenced=held)

    def _forget_ended(self, now_ms: int) -> None:
        self._silences = {id: silence for id, silence in self._silences.items() if silence.until_ms > now_ms}

    def _fullness(self) -> str:
        return f"there are {MOST} silences already; end some, or use one wider pattern" if len(self._silences) >= MOST else ""

    def _new_id(self) -> str:
        number = int(self._chance() * len(_DIGITS) ** _ID_LENGTH)
        while (id := _written(number)) in self._silences:
            number += 1
        return id


def _problem(pattern: str, until_ms: int, reason: str, now_ms: int, up_to: Level) -> str:
    if not pattern:
        return 'the pattern is empty; write the key of an alert, wildcards allowed ("hyperliquid/hl-main/*", "*/data")'
    if len(pattern) > _LONGEST_PATTERN or not pattern.isprintable():
        return f"the pattern is longer than {_LONGEST_PATTERN} characters or has unprintable ones; write the key of an alert"
    if not reason:
        return "the reason is empty; say why, for whoever finds the pager silent"
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        return f"the reason is longer than {_LONGEST_REASON} characters or has unprintable ones; write a line of plain text"
    if until_ms <= now_ms:
        return "the end is in the past; give one that is still to come"
    if until_ms - now_ms > LONGEST_MS:
        return "the end is more than 30 days away; silence for less, and again if need be"
    return "" if up_to >= Level.WARNING else "up to level ok it silences nothing; give warning, critical or liquidation"


def _written(number: int) -> str:
    digits = ""
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
