from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from monitor.alerts.incident import Change, Condition, Notification, Occurrence, OpenIncident
from monitor.alerts.policy import CLOSED, AlertPolicy, PolicyConfig
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.margin.result import Level

WARNING, CRITICAL, LIQUIDATION = Level.WARNING, Level.CRITICAL, Level.LIQUIDATION
POOL = AlertScope.pool("hyperliquid", "hl-main", "USDC")
ACCOUNT = AlertScope.of_account("hyperliquid", "hl-main")
VENUE = AlertScope.of_venue("hyperliquid")


def saved(scope: AlertScope = POOL, rule: Rule = Rule.LEVEL, level: Level = CRITICAL, **fields: Any) -> OpenIncident:
    values: dict[str, Any] = {"number": 7, "sequence": 3, "opened_s": -500.0, "notified_s": -100.0, "told_ratio": 0.92, **fields}
    return OpenIncident(key=f"{scope.path}/{rule.value}", rule=rule, scope=scope, level=level, **values)


def restart(*incidents: OpenIncident, now_s: float = 0.0, config: PolicyConfig | None = None) -> AlertPolicy:
    return AlertPolicy(config or PolicyConfig(), incidents, 20, now_s)


def brief(told: list[Notification]) -> list[tuple[Rule, Change, Level]]:
    return [(note.rule, note.change, note.level) for note in told]


def second(policy: AlertPolicy, readings: Any, conditions: list[Condition], now: float) -> list[Notification]:
    return policy.observe(readings, now) + policy.conditions(conditions, now) + policy.sweep(now)


def test_what_was_told_is_not_told_again(pools: Any) -> None:
    policy = restart(saved(ratio=0.93, ratio_at_crossing=0.9))
    (firing,) = policy.firing()
    assert (firing.level, firing.number, firing.sequence, firing.ratio, firing.frozen) == (CRITICAL, 7, 3, 0.93, True)
    assert [note for now in range(100) for note in second(policy, [pools(0.93)], [], float(now))] == []
    (firing,) = policy.firing()
    assert (firing.notified_s, firing.ratio_at_crossing, firing.frozen) == (-100, 0.9, False)


def test_it_goes_on_with_numbers_and_repeats(pools: Any) -> None:
    policy = restart(saved())
    told = [(now, note) for now in range(790, 802) for note in second(policy, [pools(0.92), pools(0.86, pool="b")], [], float(now))]
    assert [(now, note.change, note.number, note.sequence, note.opened_s) for now, note in told] == [
        (790, Change.FIRED, 21, 1, 790),
        (800, Change.REPEATED, 7, 4, -500),
    ]


def test_a_higher_level_than_the_restored_one_escalates_at_once(pools: Any) -> None:
    (told,) = restart(saved()).observe([pools(1.01)], 0)
    assert (told.change, told.level, told.previous, told.number, told.sequence) == (Change.ESCALATED, LIQUIDATION, CRITICAL, 7, 4)
    assert (told.ratio_before, told.ratio_at_crossing) == (0.92, 1.01)


def test_worse_by_a_step_than_the_last_told_is_told(pools: Any) -> None:
    assert brief(restart(saved()).observe([pools(0.971)], 0)) == [(Rule.LEVEL, Change.WORSENED, CRITICAL)]


def test_it_is_frozen_until_something_usable_comes_and_holds_from_there(pools: Any) -> None:
    policy = restart(saved())
    told = [note for now in range(9) for note in second(policy, [pools.failed(), pools(0.1, stale=True)], [], float(now))]
    assert told == []
    told_at = [(now, *brief([note])) for now in range(9, 20) for note in second(policy, [pools(0.1)], [], float(now))]
    assert told_at == [(14, (Rule.LEVEL, Change.RESOLVED, Level.OK))]


def test_a_pool_that_is_never_computed_again_raises_the_data_alert(pools: Any) -> None:
    policy = restart(saved(notified_s=900.0), now_s=1000.0)
    told = [(now, note) for now in range(1000, 1100) for note in second(policy, [pools(0.1, pool="b")], [], float(now))]
    assert [(now, *brief([note])) for now, note in told] == [(1010, (Rule.DATA, Change.FIRED, CRITICAL))]
    assert told[0][1].detail == "NO_RESULT: the pool was not computed since the monitor started"
    assert (told[0][1].result, told[0][1].frozen) == (None, True)


def test_a_restored_data_alert_ends_with_usable_readings_only(pools: Any) -> None:
    policy = restart(saved(rule=Rule.DATA, level=WARNING, told_ratio=None))
    assert [note for now in range(30) for note in second(policy, [], [], float(now))] == []
    told = [(now, *brief([note])) for now in range(30, 40) for note in second(policy, [pools(0.1)], [], float(now))]
    assert told == [(35, (Rule.DATA, Change.RESOLVED, Level.OK))]


def test_a_restored_condition_ends_once_it_can_be_judged_and_is_not_told(pools: Any) -> None:
    policy = restart(saved(rule=Rule.DISTANCE, level=WARNING))
    # nothing was told yet: that says nothing
    assert [
        note for now in range(100) for note in policy.observe([pools(0.1)], now) + policy.sweep(now) if note.rule is Rule.DISTANCE
    ] == []
    assert [note for now in range(100, 105) for note in policy.conditions([], now)] == []
    assert brief(policy.conditions([], 105)) == [(Rule.DISTANCE, Change.RESOLVED, Level.OK)]


@pytest.mark.parametrize(
    ("scope", "rule", "ends"),
    [
        (POOL, Rule.DISTANCE, False),
        (ACCOUNT, Rule.MODE, True),
        (VENUE, Rule.DELISTED, True),
        (AlertScope.feed("hyperliquid", "contexts"), Rule.STALE_FEED, True),
        (AlertScope.feed("hyperliquid", "state", "hl-2"), Rule.STALE_FEED, False),
        (AlertScope.of_account("aster", "hl-main"), Rule.MODE, False),
        (AlertScope.portfolio("desk"), Rule.NET_DELTA, False),
        (AlertScope.receiver("ops"), Rule.RECEIVER, True),
        (MONITOR, Rule.CLOCK, True),
    ],
)
def test_a_restored_condition_needs_a_usable_reading_of_its_scope(pools: Any, scope: AlertScope, rule: Rule, ends: bool) -> None:
    policy = restart(saved(scope, rule, WARNING))
    told = [note.change for now in range(8) for note in second(policy, [pools.failed()], [], float(now)) if note.rule is rule]
    has_readings = rule not in (Rule.RECEIVER, Rule.CLOCK)
    assert told == ([] if has_readings else [Change.RESOLVED])
    told += [note.change for now in range(8, 20) for note in second(policy, [pools(0.1, pool="b")], [], float(now)) if note.rule is rule]
    assert told.count(Change.RESOLVED) == ends
    assert {incident.frozen for incident in policy.firing() if incident.rule is rule} == (set() if ends else {True})


def test_a_restored_condition_that_is_told_goes_on(pools: Any) -> None:
    policy = restart(saved(ACCOUNT, Rule.ACCOUNT_FAILURE, subject="MISSING_ACCOUNT"))
    failure = Condition(ACCOUNT, Rule.ACCOUNT_FAILURE, CRITICAL, "MISSING_ACCOUNT")
    assert [note for now in range(5) for note in second(policy, [pools.failed()], [failure], float(now))] == []
    another = dataclasses.replace(failure, subject="AGENT_ADDRESS")
    assert brief(second(policy, [], [another], 5)) == [(Rule.ACCOUNT_FAILURE, Change.WORSENED, CRITICAL)]
    # told once, it can be judged, though no reading is usable
    told = [(now, note.change) for now in range(6, 12) for note in policy.conditions([], float(now))]
    assert told == [(11, Change.RESOLVED)]


def test_a_restored_occurrence_counts_on_and_its_quiet_begins_anew() -> None:
    scope = AlertScope.of_account("hyperliquid", "hl-main")
    incident = saved(scope, Rule.LIQUIDATION_SEEN, LIQUIDATION, events=3, event_s=-2000.0)
    policy = restart(incident)
    assert [note for now in range(900) for note in policy.sweep(float(now))] == []
    (told,) = policy.occurred(Occurrence(scope, Rule.LIQUIDATION_SEEN, LIQUIDATION, "BTC 4"), 899.5)
    assert (told.change, told.detail, told.number, told.sequence) == (Change.WORSENED, "BTC 4 (event 4)", 7, 4)
    assert [note for now in range(900, 1799) for note in policy.sweep(float(now))] == []
    assert [note.change for now in range(1799, 1801) for note in policy.sweep(float(now))] == [Change.RESOLVED]


def test_what_is_saved_is_what_is_restored(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    told = second(policy, [pools(0.93), pools.failed(pool="b")], [Condition(ACCOUNT, Rule.MODE, subject="x", detail="y")], 0)
    told += policy.occurred(Occurrence(ACCOUNT, Rule.TRANSFER, WARNING, "-2 %"), 0)
    told += [note for now in range(1, 20) for note in second(policy, [pools.failed(), pools.failed(pool="b")], [], float(now))]
    keys = {note.key for note in told}
    open_now = policy.open(sorted(keys))
    assert sorted(open_now, key=str) == sorted(policy.firing(), key=str)
    again = AlertPolicy(PolicyConfig(), open_now, 0, 20.0)

    def lasting(policy: AlertPolicy) -> list[OpenIncident]:
        return [dataclasses.replace(incident, frozen=False, ratio=None) for incident in policy.firing()]

    assert lasting(again) == lasting(policy)
    (fired,) = again.observe([pools(1.2, pool="c")], 20)
    assert fired.number == max(incident.number for incident in open_now) + 1


def test_of_two_restored_with_one_key_the_later_counts() -> None:
    policy = restart(saved(number=9), saved(number=8))
    assert [incident.number for incident in policy.firing()] == [9]


def test_gone_ends_all_of_a_scope_and_forgets_what_waits() -> None:
    policy = restart(saved(), saved(rule=Rule.DATA, number=8), saved(ACCOUNT, Rule.MODE, number=9))
    slow = Condition(POOL, Rule.UNRECONCILED, hold_s=15)
    for now in range(10):
        policy.conditions([Condition(POOL, Rule.DISTANCE), slow], float(now))
    told = policy.gone(POOL, 10)
    assert {note.rule for note in told} == {Rule.LEVEL, Rule.DATA, Rule.DISTANCE}
    assert {(note.change, note.detail) for note in told} == {(Change.RESOLVED, CLOSED)}
    assert [incident.rule for incident in policy.firing()] == [Rule.MODE]
    assert policy.gone(POOL, 10) == []
    assert [now for now in range(10, 40) for _ in policy.conditions([slow], float(now))] == [25]
    assert [note for note in policy.sweep(1000) if note.scope == POOL and note.rule is not Rule.UNRECONCILED] == []


def test_remind_repeats_what_fires(pools: Any) -> None:
    policy = restart(saved(), config=PolicyConfig(repeat_s={CRITICAL: 150.0}))
    key = saved().key
    told = policy.remind([key, "aster/x/y/data", key], 10)
    assert [(note.key, note.change, note.sequence) for note in told] == [(key, Change.REPEATED, 4)]
    assert [note for note in policy.sweep(100) if note.key == key] == []
    assert [note.change for note in policy.sweep(160) if note.key == key] == [Change.REPEATED]


@pytest.mark.parametrize("jump", [6.0, 60.0, 86_400.0])
def test_a_jump_of_the_clock_resolves_nothing_and_loses_no_crossing(pools: Any, jump: float) -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={}))
    policy.observe([pools(0.95), pools(0.1, pool="b")], 0)
    policy.observe([pools(0.1), pools(0.1, pool="b")], 1)
    told = policy.observe([pools(0.1), pools(0.87, pool="b")], 1 + jump)
    assert [(note.change, note.scope.name) for note in told] == [(Change.FIRED, "b")]
    assert policy.observe([pools(0.1)], 5.9 + jump) == []
    assert brief(policy.observe([pools(0.1)], 6 + jump)) == [(Rule.LEVEL, Change.RESOLVED, Level.OK)]


def test_a_jump_of_the_clock_does_not_end_a_data_alert(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    for now in range(12):
        second(policy, [pools.failed()], [], float(now))
    second(policy, [pools(0.1)], [], 12)
    assert [note for note in policy.sweep(19) if note.change is Change.RESOLVED] == []
    second(policy, [pools(0.1)], [], 20)
    assert [alert.rule for alert in policy.firing()] == [Rule.DATA]


def test_time_that_runs_backwards_has_not_passed(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.observe([pools(0.95)], 100)
    policy.observe([pools(0.1)], 101)
    for now in range(100, 0, -1):
        assert second(policy, [pools(0.1)], [], float(now)) == []
    (told,) = policy.observe([pools(1.5)], 50)
    assert (told.change, told.now_s) == (Change.ESCALATED, 101)
    policy.observe([pools(0.1)], 102)
    assert brief(policy.observe([pools(0.1)], 107)) == [(Rule.LEVEL, Change.RESOLVED, Level.OK)]
