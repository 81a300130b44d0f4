"""When to speak: a pure state machine over readings, conditions and occurrences. No clock, no I/O; `now_s` is monotonic, in seconds.

Per scope and rule an alert goes OK -> FIRING(level) -> RESOLVED:

* A ratio (`levels.py`) fires, and escalates, in the reading that reaches a threshold. It leaves a level after `hold_s` without a break
  below `threshold - hysteresis`, to the highest level not left so, or to OK. Within a level it notifies again each time it has risen by
  `worsening_step` since the last notification.
* Without a usable reading (a number, not stale, without failures) for `data_hold_s` the data rule fires: WARNING; CRITICAL after
  `data_critical_s` or where a level alert fires. It ends after `hold_s` of usable ones. Level alerts are frozen meanwhile: they go on
  firing and repeating and are never lowered or resolved; a stale number may raise them.
* A condition (`conditions.py`) fires once it was so for its hold and ends after `hold_s` of absence; an occurrence (`occurrences.py`) is
  told at once and ends after `occurrence_quiet_s` without another.
* While `network` fires, and for a venue in `maintenance`, new `data` and `stale_feed` alerts are held, though their clocks run on: they
  fire when that ends and the data are still bad. Level alerts are never held.
* Every alert but an occurrence repeats after `repeat_s` of its level. What is no longer there ends only by `gone`.
* Time that nobody watched (a suspended machine, a restart) ends and lowers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from monitor.alerts.conditions import Conditions
from monitor.alerts.incident import Change, Condition, Notification, Occurrence, OpenIncident
from monitor.alerts.levels import DataRule, LevelRule
from monitor.alerts.occurrences import Occurrences
from monitor.alerts.policy_config import PolicyConfig as PolicyConfig
from monitor.alerts.register import Incident, Register
from monitor.alerts.rules import OCCURRENCES, RATIO_RULES, Reading
from monitor.alerts.scope import AlertScope
from monitor.alerts.tracks import Tracks

CLOSED = "the pool is gone: its positions were closed or liquidated"
"""Why a pool's alerts end with it."""


class AlertPolicy:
    """The state machine. Notifications of one call stay separate, in the order of what was told; grouping is the dispatcher's.

    `restored` are the incidents that an earlier process left firing, their times on this process's clock (they may lie before 0); they
    fire on without being told again and are frozen until something usable is known of their scope. New incidents are numbered from
    `last_number` on. A `now_s` before the latest one counts as that one.
    """

    def __init__(self, config: PolicyConfig, restored: Iterable[OpenIncident] = (), last_number: int = 0, now_s: float = 0.0) -> None:
        self._now_s = self._watched_since_s = now_s
        self._tracks = Tracks(config)
        self._register = Register(config, self._tracks, last_number)
        for saved in restored:
            self._register.restore(saved)
            if saved.rule in RATIO_RULES:
                self._tracks.expect(saved.scope, saved.told_ratio if saved.ratio is None else saved.ratio, now_s)
        self._levels = LevelRule(self._register)
        self._data = DataRule(self._register)
        self._conditions = Conditions(self._register, now_s)
        self._occurrences = Occurrences(self._register)

    @property
    def config(self) -> PolicyConfig:
        """The numbers that it goes by; others may be set at any time.

        What fires goes on, and so do the clocks: a lower threshold fires with the next reading, a higher one ends after the hold.
        """
        return self._register.config

    @config.setter
    def config(self, config: PolicyConfig) -> None:
        self._register.config = config
        self._tracks.configure(config)

    @property
    def maintenance(self) -> dict[str, str]:
        """Venue -> why it is in maintenance now, set by the caller. It changes texts and holds data alerts, never level alerts."""
        return self._register.maintenance

    @maintenance.setter
    def maintenance(self, maintenance: dict[str, str]) -> None:
        self._register.maintenance = maintenance

    @property
    def told_elsewhere(self) -> frozenset[AlertScope]:
        """Scopes whose data alerts are held, as their parts tell it: set by the caller (portfolios of a blind account)."""
        return self._register.told_elsewhere

    @told_elsewhere.setter
    def told_elsewhere(self, scopes: frozenset[AlertScope]) -> None:
        self._register.told_elsewhere = scopes

    def observe(self, readings: Iterable[Reading], now_s: float) -> list[Notification]:
        """Take readings: those that crossed something at once, and all of them at least once a second.

        Costs what these readings cost; `sweep` does the rest.
        """
        now_s = self._at(now_s)
        told: list[Notification] = []
        for reading in readings:
            track = self._tracks.note(reading, now_s)
            if track.usable and self._register.unconfirmed:
                self._register.confirm(track.scope)
            told += self._levels.judge(track, now_s)
        return told

    def conditions(self, found: Iterable[Condition], now_s: float) -> list[Notification]:
        """Take the complete list of what is so now, once a second; what is missing in it is over.

        Several of one scope and rule are one alert: the worst level, the shortest hold, subjects and details joined. A higher level is
        told at once, a lower one after `hold_s` at it, another subject at most every `hold_s`.
        """
        return self._conditions.update(found, self._at(now_s))

    def occurred(self, occurrence: Occurrence, now_s: float) -> list[Notification]:
        """Something happened: told at once, what follows at most every `occurrence_gap_s` unless its level is higher."""
        return self._occurrences.take(occurrence, self._at(now_s))

    def sweep(self, now_s: float) -> list[Notification]:
        """What time alone brings: data alerts and their ends, occurrences that wait or are over, repeats.

        To be called once a second, after `observe` with all readings and after `conditions`.
        """
        now_s = self._at(now_s)
        told: list[Notification] = []
        for track in self._tracks:
            told += self._data.sweep(track, now_s)
        for incident in self._register:
            if incident.rule in OCCURRENCES:
                told += self._occurrences.sweep(incident, now_s, self._watched_since_s)
            else:
                told += self._repeat(incident, now_s)
        return told

    def remind(self, keys: Iterable[str], now_s: float) -> list[Notification]:
        """Tell again, now, those of these that fire: a silence over them ended."""
        now_s = self._at(now_s)
        firing = [incident for key in dict.fromkeys(keys) if (incident := self._register.get(key)) is not None]
        return [self._register.tell(incident, Change.REPEATED, now_s) for incident in firing]

    def gone(self, scope: AlertScope, now_s: float, why: str = CLOSED) -> list[Notification]:
        """A scope exists no more, said by fresh data or by the configuration: forget it and end all its alerts, telling `why`."""
        now_s = self._at(now_s)
        self._conditions.forget(scope)
        told = [self._register.end(incident, now_s, why) for incident in self._register if incident.scope == scope]
        self._tracks.forget(scope)
        return told

    def scopes(self) -> set[AlertScope]:
        """Everything that fires, and everything that readings were taken of."""
        return {track.scope for track in self._tracks} | {incident.scope for incident in self._register}

    def firing(self) -> list[OpenIncident]:
        """All firing alerts, worst first, then by key."""
        incidents = sorted(self._register, key=lambda incident: (-incident.level, incident.key))
        return [self._register.snapshot(incident) for incident in incidents]

    def open(self, keys: Iterable[str]) -> list[OpenIncident]:
        """Those of these keys that fire, to be saved."""
        return self._register.snapshots(keys)

    def _at(self, now_s: float) -> float:
        now_s = max(now_s, self._now_s)
        if now_s - self._now_s > self._register.config.silence_s:
            self._watched_since_s = now_s
        self._now_s = now_s
        return now_s

    def _repeat(self, incident: Incident, now_s: float) -> list[Notification]:
        repeat_s = self._register.config.repeat_of(incident.level)
        if repeat_s is None or now_s - incident.notified_s < repeat_s:
            return []
        return [self._register.tell(incident, Change.REPEATED, now_s)]
