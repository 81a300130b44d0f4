"""What must hold for any path of the ratio, any outage, any step of the clock and a restart at any point; and a second, plain machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.events import FailureReason
from monitor.alerts.incident import Change, Condition, Notification, Occurrence, OpenIncident
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.margin.result import Failure, Level

INF = float("inf")
STARTS = {Level.WARNING: 0.85, Level.CRITICAL: 0.90, Level.LIQUIDATION: 1.0}
GAP, HOLD_S, SILENCE_S, STEP = 0.02, 5.0, 5.0, 0.05
REPEAT_S = {Level.WARNING: 40.0, Level.CRITICAL: 30.0, Level.LIQUIDATION: 20.0}
CONFIG = PolicyConfig(repeat_s=REPEAT_S)


@dataclass(frozen=True)
class PlainReading:
    alert_scope: AlertScope
    margin_ratio: float | None
    last_margin_ratio: float | None
    stale: bool
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Given:
    """One pool in one step: `kind` is good, stale, failed or missing; stale ones carry their number as the last one known."""

    kind: str
    ratio: float

    @property
    def number(self) -> float | None:
        return self.ratio if self.kind in ("good", "stale") else None

    def reading(self, pool: str) -> PlainReading:
        failures = (Failure(FailureReason.MISSING_MARK, "BTC"),) if self.kind == "failed" else ()
        ratio = self.ratio if self.kind == "good" else None
        return PlainReading(AlertScope.pool("v", "a", pool), ratio, self.ratio, self.kind == "stale", failures)


@dataclass(frozen=True)
class Step:
    """`passed_s` later: what came of two pools, whether the second's sweep ran, and whether the program was restarted before."""

    passed_s: float
    pools: tuple[Given, Given]
    swept: bool = True
    restarted: bool = False


# eighths of a second are exact: the model may count in another order
WAITS = st.sampled_from([0.0, 0.125, 1.0, 1.0, 1.0, 2.5, 4.875, 5.0, 5.125, 20.0, 7200.0, -3.0])
NEAR = st.sampled_from([0.5, 0.8125, 0.8299, 0.84, 0.85, 0.86, 0.8799, 0.8801, 0.9, 0.95, 0.9799, 0.99, 1.0, 1.05, 1.1, INF])
GIVEN = st.builds(Given, st.sampled_from(["good", "good", "good", "stale", "failed", "missing"]), st.one_of(NEAR, st.floats(0, 1.5)))
STEP_OF = st.builds(
    Step, WAITS, st.tuples(GIVEN, GIVEN), st.sampled_from([True, True, True, False]), st.integers(0, 9).map(lambda n: n == 0)
)
STRETCH = st.tuples(STEP_OF, st.integers(1, 9))


def _stretched(stretches: list[tuple[Step, int]]) -> list[Step]:
    steps = []
    for step, times in stretches:
        steps += [step] + [dataclasses.replace(step, restarted=False)] * (times - 1)
    return steps


PATHS = st.lists(STRETCH, max_size=12).map(_stretched)


@dataclass
class World:
    """Runs the policy as the program does, each process with a monotonic clock of its own; times here are those of the first.

    `at_s` is the time that counts: the latest that the process has seen.
    """

    policy: AlertPolicy = field(default_factory=lambda: AlertPolicy(CONFIG))
    base_s: float = 0.0
    now_s: float = 0.0
    at_s: float = 0.0
    last_number: int = 0

    def run(self, step: Step) -> list[Notification]:
        if step.restarted:
            self._restart()
        self.now_s += step.passed_s
        self.at_s = max(self.at_s, self.now_s)
        now_s = self.now_s - self.base_s
        told = self.policy.observe([given.reading("xy"[i]) for i, given in enumerate(step.pools) if given.kind != "missing"], now_s)
        if step.swept:
            told += self.policy.sweep(now_s)
        self.last_number = max([self.last_number, *(note.number for note in told)])
        return told

    def _restart(self) -> None:
        keys = [incident.key for incident in self.policy.firing()]
        moved_s, self.base_s = self.now_s - 64.0 - self.base_s, self.now_s - 64.0
        saved = [
            dataclasses.replace(incident, opened_s=incident.opened_s - moved_s, notified_s=incident.notified_s - moved_s)
            for incident in self.policy.open(keys)
        ]
        self.policy = AlertPolicy(CONFIG, saved, self.last_number, 64.0)
        self.at_s = self.now_s


def _level(ratio: float) -> Level:
    return max((level for level, start in STARTS.items() if ratio >= start), default=Level.OK)


@settings(max_examples=300, deadline=None)
@given(PATHS)
def test_no_crossing_without_an_alert(steps: list[Step]) -> None:
    world, told_levels = World(), [Level.OK, Level.OK]
    for step in steps:
        told = world.run(step)
        for i, given_ in enumerate(step.pools):
            key = f"v/a/{'xy'[i]}/margin_level"
            told_levels[i] = next((note.level for note in reversed(told) if note.key == key), told_levels[i])
            assert told_levels[i] == max([incident.level for incident in world.policy.open([key])], default=Level.OK)
            if given_.number is not None:
                assert told_levels[i] >= _level(given_.number)


@settings(max_examples=300, deadline=None)
@given(PATHS)
def test_nothing_lower_and_no_end_while_the_data_are_bad(steps: list[Step]) -> None:
    world = World()
    good_since: list[float | None] = [None, None]
    seen_s = [0.0, 0.0]
    for step in steps:
        told = world.run(step)
        now_s = world.at_s
        for i, given_ in enumerate(step.pools):
            was_silent = given_.kind != "missing" and now_s - seen_s[i] > SILENCE_S
            since = None if step.restarted or was_silent or given_.kind in ("stale", "failed") else good_since[i]
            since = now_s if given_.kind == "good" and since is None else since
            good_since[i], seen_s[i] = since, seen_s[i] if given_.kind == "missing" else now_s
            for note in told:
                if note.scope.name == "xy"[i] and note.level < note.previous:
                    assert since is not None
                    assert seen_s[i] - since >= HOLD_S
                    assert note.rule is Rule.DATA or given_.kind == "good"


@settings(max_examples=300, deadline=None)
@given(PATHS)
def test_it_fires_again_only_after_a_hold_below_the_gap(steps: list[Step]) -> None:
    world = World()
    low_since: list[float | None] = [None, None]
    was_low, fired = [False, False], [False, False]
    for step in steps:
        told = world.run(step)
        low_since = [None, None] if step.restarted else low_since
        for i, given_ in enumerate(step.pools):
            if given_.kind != "missing":
                is_low = given_.kind == "good" and given_.ratio < STARTS[Level.WARNING] - GAP
                since = low_since[i]
                began = world.at_s if since is None else since
                low_since[i] = began if is_low else None
                was_low[i] = was_low[i] or (is_low and world.at_s - began >= HOLD_S)
            for note in told:
                if note.key == f"v/a/{'xy'[i]}/margin_level" and note.change is Change.FIRED:
                    assert was_low[i] or not fired[i]
                    fired[i], was_low[i] = True, False


def check_order(told: list[Notification]) -> None:
    """At most one incident a key, FIRED and RESOLVED in turn, every notification numbered."""
    number, last = 0, dict[str, Notification]()
    for note in told:
        before = last.get(note.key)
        opens = before is None or before.change is Change.RESOLVED
        assert (note.change is Change.FIRED) == opens
        if opens:
            assert (note.previous, note.sequence) == (Level.OK, 1)
            assert note.number > number
            number = note.number
        else:
            assert before is not None
            assert (note.number, note.sequence, note.previous) == (before.number, before.sequence + 1, before.level)
        assert (note.level == Level.OK) == (note.change is Change.RESOLVED)
        assert (note.level > note.previous) == (note.change in (Change.FIRED, Change.ESCALATED))
        assert (note.level < note.previous) == (note.change in (Change.DEESCALATED, Change.RESOLVED))
        last[note.key] = note


@settings(max_examples=300, deadline=None)
@given(PATHS)
def test_one_incident_a_key_and_every_notification_numbered(steps: list[Step]) -> None:
    world, told = World(), list[Notification]()
    for step in steps:
        told += world.run(step)
        firing = [incident.key for incident in world.policy.firing()]
        assert len(set(firing)) == len(firing)
        last = {note.key: note for note in told}
        assert {key for key, note in last.items() if note.change is not Change.RESOLVED} == set(firing)
    check_order(told)


# -- the same rules once more, plainly: everything is found by going back through what came -----------------------------------------

Plain = tuple[Rule, Change, Level, Level]


@dataclass
class PlainPool:
    """One pool. `came` holds (time, what) since the process began; `level`, `told_s`, `told_ratio` what fires."""

    came: list[tuple[float, Given]] = field(default_factory=list)
    begun_s: float | None = None
    level: dict[Rule, Level] = field(default_factory=lambda: {Rule.LEVEL: Level.OK, Rule.DATA: Level.OK})
    told_s: dict[Rule, float] = field(default_factory=dict)
    told_ratio: float | None = None
    last_ratio: float | None = None

    def restart(self, now_s: float) -> None:
        self.came = []
        self.begun_s = now_s if any(self.level.values()) else None

    def take(self, given_: Given, now_s: float) -> list[Plain]:
        self.came.append((now_s, given_))
        self.begun_s = now_s if self.begun_s is None else self.begun_s
        number, current = given_.number, self.level[Rule.LEVEL]
        if number is None:
            return []
        self.last_ratio = number
        held = [level for level in STARTS if level <= current and not self._has_left(level)]
        level = max([_level(number), *held]) if given_.kind == "good" else max(_level(number), current)
        if level != current:
            return self._tell(Rule.LEVEL, level, now_s)
        if level and self.told_ratio is not None and self.told_ratio != INF and number >= self.told_ratio + STEP:
            return self._tell(Rule.LEVEL, level, now_s, Change.WORSENED)
        return []

    def sweep(self, now_s: float) -> list[Plain]:
        if self.begun_s is None:
            return []
        blind_s = now_s - max([self.begun_s, *(time for time, given_ in self.came if given_.kind == "good")])
        current = self.level[Rule.DATA]
        if blind_s >= 10:
            wanted = Level.CRITICAL if blind_s >= 60 or self.level[Rule.LEVEL] else Level.WARNING
            return self._tell(Rule.DATA, wanted, now_s) if wanted > current else []
        if current and self._stretch(lambda given_: given_.kind == "good") >= HOLD_S:
            return self._tell(Rule.DATA, Level.OK, now_s)
        return []

    def repeats(self, now_s: float) -> list[Plain]:
        due = [rule for rule, level in self.level.items() if level and now_s - self.told_s[rule] >= REPEAT_S[level]]
        return [plain for rule in due for plain in self._tell(rule, self.level[rule], now_s, Change.REPEATED)]

    def _has_left(self, level: Level) -> bool:
        return self._stretch(lambda given_: given_.kind == "good" and given_.ratio < STARTS[level] - GAP) >= HOLD_S

    def _stretch(self, is_so: Callable[[Given], bool]) -> float:
        """For how long it was so, up to the last reading and without a silence; -1: it was not so then."""
        if not self.came or not is_so(self.came[-1][1]):
            return -1
        began = end = self.came[-1][0]
        for (before, given_), (after, _) in reversed(list(pairwise(self.came))):
            if after - before > SILENCE_S or not is_so(given_):
                break
            began = before
        return end - began

    def _tell(self, rule: Rule, level: Level, now_s: float, change: Change | None = None) -> list[Plain]:
        previous, self.level[rule], self.told_s[rule] = self.level[rule], level, now_s
        if rule is Rule.LEVEL:
            self.told_ratio = self.last_ratio
        if change is None:
            changes = (Change.FIRED if not previous else Change.ESCALATED, Change.RESOLVED if not level else Change.DEESCALATED)
            change = changes[level < previous]
        return [(rule, change, level, previous)]


def plain_run(pools: tuple[PlainPool, PlainPool], step: Step, now_s: float) -> list[tuple[str, Plain]]:
    told = [("xy"[i], plain) for i, given_ in enumerate(step.pools) if given_.kind != "missing" for plain in pools[i].take(given_, now_s)]
    if step.swept:
        told += [("xy"[i], plain) for i, pool in enumerate(pools) for plain in pool.sweep(now_s)]
        told += [("xy"[i], plain) for i, pool in enumerate(pools) for plain in pool.repeats(now_s)]
    return told


GOOD = Given("good", 0.5)


@settings(max_examples=500, deadline=None)
@given(PATHS)
@example([Step(1.0, (Given("good", 0.95), GOOD))] + [Step(1.0, (GOOD, GOOD), restarted=n == 3) for n in range(12)])
@example([Step(1.0, (Given("good", ratio), GOOD)) for ratio in (1.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.95, 0.85, 0.85)])
def test_a_plain_machine_says_the_same(steps: list[Step]) -> None:
    world, pools = World(), (PlainPool(), PlainPool())
    for step in steps:
        if step.restarted:
            for pool in pools:
                pool.restart(world.now_s)
        told = [(note.scope.name, (note.rule, note.change, note.level, note.previous)) for note in world.run(step)]
        assert sorted(told, key=str) == sorted(plain_run(pools, step, world.at_s), key=str)


# -- conditions and occurrences ------------------------------------------------------------------------------------------------------

ACCOUNT = AlertScope.of_account("v", "a")
FEED = AlertScope.feed("v", "marks")
CONDITION = st.builds(
    Condition,
    st.sampled_from([ACCOUNT, FEED, MONITOR]),
    st.sampled_from([Rule.MODE, Rule.STALE_FEED, Rule.NETWORK]),
    st.sampled_from([Level.WARNING, Level.CRITICAL]),
    st.sampled_from(["", "BTC", "ETH"]),
    st.just("so"),
    st.sampled_from([0.0, 3.0, 15.0]),
    st.sampled_from([False, False, True]),
)
OCCURRENCE = st.builds(
    Occurrence,
    st.just(ACCOUNT),
    st.sampled_from([Rule.TRANSFER, Rule.LIQUIDATION_SEEN]),
    st.sampled_from([Level.WARNING, Level.CRITICAL]),
    st.just("it"),
)
MIXED = st.lists(
    st.tuples(st.lists(CONDITION, max_size=4), st.lists(OCCURRENCE, max_size=4), WAITS, st.booleans(), st.integers(1, 8)), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(MIXED)
def test_conditions_and_occurrences_in_any_mix(
    stretches: list[tuple[list[Condition], list[Occurrence], float, bool, int]],
) -> None:
    policy, now_s, told, happened = AlertPolicy(dataclasses.replace(CONFIG, repeat_s={})), 0.0, list[Notification](), 0
    present: dict[tuple[AlertScope, Rule], float] = {}
    for found, occurrences, wait, is_maintained, times in stretches:
        policy.maintenance = {"v": "upgrade"} if is_maintained else {}
        for _ in range(times):
            now_s += abs(wait)
            batch = policy.conditions(found, now_s)
            for condition in found:
                present[condition.scope, condition.rule] = now_s
            for occurrence in occurrences:
                batch += policy.occurred(occurrence, now_s)
            happened += len(occurrences)
            batch += policy.sweep(now_s)
            for note in batch:
                if note.rule is Rule.STALE_FEED and note.change is Change.FIRED:
                    assert not is_maintained or not note.scope.venue
                if note.rule in (Rule.MODE, Rule.STALE_FEED, Rule.NETWORK) and note.change is Change.RESOLVED:
                    assert now_s - present[note.scope, note.rule] >= HOLD_S
            _check_told_at_once(found, policy.firing(), is_maintained)
            told += batch
    check_order(told)
    _check_none_forgotten(policy, told, happened, now_s)


def _check_told_at_once(found: list[Condition], firing: list[OpenIncident], is_maintained: bool) -> None:
    levels = {(incident.scope, incident.rule): incident.level for incident in firing}
    for condition in found:
        is_held = condition.rule is Rule.STALE_FEED and (is_maintained or (MONITOR, Rule.NETWORK) in levels)
        if not condition.frozen and condition.hold_s == 0 and not is_held:
            assert levels[condition.scope, condition.rule] >= condition.level


def _check_none_forgotten(policy: AlertPolicy, told: list[Notification], happened: int, now_s: float) -> None:
    for second in range(1, 12):
        told = told + policy.sweep(now_s + second)
    counts: dict[str, int] = {}
    total = 0
    for note in told:
        if note.rule in (Rule.TRANSFER, Rule.LIQUIDATION_SEEN):
            if note.change is Change.RESOLVED:
                total += counts.pop(note.key)
            else:
                counts[note.key] = int(note.detail.partition("(event ")[2].rstrip(")") or 1)
    assert total + sum(counts.values()) == happened
