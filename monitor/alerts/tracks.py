"""What the readings of each pool and portfolio have said so far: the memory of the level and data rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from monitor.alerts.incident import key_of
from monitor.alerts.policy_config import PolicyConfig
from monitor.alerts.rules import Reading, Rule, Thresholds, is_usable, number
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level


@dataclass(slots=True)
class Track:
    """One pool or portfolio. Times: monotonic seconds.

    `reading` is the last one, None after a restart; `ratio` the last number known. `good_s` and `seen_s`: when it was last usable, and
    last computed at all. `usable_since`: without a break, None while it is not. `below_since`: how long it is below a level by the gap.
    """

    scope: AlertScope
    level_key: str
    data_key: str
    thresholds: Thresholds
    good_s: float
    seen_s: float
    reading: Reading | None = None
    ratio: float | None = None
    usable: bool = False
    usable_since: float | None = None
    below_since: dict[Level, float] = field(default_factory=dict)


class Tracks:
    """All pools and portfolios that were ever read, and those that a restart left firing."""

    def __init__(self, config: PolicyConfig) -> None:
        self._config = config
        self._tracks: dict[AlertScope, Track] = {}

    def __iter__(self) -> Iterator[Track]:
        return iter(self._tracks.values())

    def get(self, scope: AlertScope) -> Track | None:
        """The track of a scope, if it has one."""
        return self._tracks.get(scope)

    def expect(self, scope: AlertScope, ratio: float | None, now_s: float) -> Track:
        """The track of a scope; a new one counts as seen now, so that one that is never computed is noticed."""
        track = self._tracks.get(scope)
        if track is None:
            keys = key_of(scope, Rule.LEVEL), key_of(scope, Rule.DATA)
            track = self._tracks[scope] = Track(scope, *keys, self._config.of(scope), now_s, now_s, ratio=ratio)
        return track

    def note(self, reading: Reading, now_s: float) -> Track:
        """Take a reading on."""
        scope = reading.alert_scope
        track = self._tracks.get(scope) or self.expect(scope, None, now_s)
        if now_s - track.seen_s > self._config.silence_s:
            track.below_since.clear()
            track.usable_since = None
        track.reading, track.seen_s = reading, now_s
        ratio, track.usable = number(reading), is_usable(reading)
        track.ratio = track.ratio if ratio is None else ratio
        if track.usable:
            track.good_s = now_s
            track.usable_since = now_s if track.usable_since is None else track.usable_since
        else:
            track.usable_since = None
            track.below_since.clear()
        return track

    def forget(self, scope: AlertScope) -> None:
        """The scope is no more."""
        self._tracks.pop(scope, None)

    def configure(self, config: PolicyConfig) -> None:
        """Judge by other numbers from now on; what was noted stays."""
        self._config = config
        for track in self._tracks.values():
            track.thresholds = config.of(track.scope)

    def is_live(self, track: Track, now_s: float) -> bool:
        """Whether its last reading is usable and still says something."""
        return track.usable and now_s - track.seen_s < self._config.data_hold_s
