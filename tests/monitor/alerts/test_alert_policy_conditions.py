from __future__ import annotations

from typing import Any

import pytest

from monitor.alerts.incident import Change, Condition, Notification, Occurrence
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.live.reading import PortfolioReading
from monitor.margin.result import Level

WARNING, CRITICAL, LIQUIDATION = Level.WARNING, Level.CRITICAL, Level.LIQUIDATION
POOL = AlertScope.pool("hyperliquid", "hl-main", "USDC")
ACCOUNT = AlertScope.of_account("hyperliquid", "hl-main")
FEED = AlertScope.feed("hyperliquid", "asset_contexts")
DISTANCE = Condition(POOL, Rule.DISTANCE, subject="BTC", detail="BTC liquidates at +1.9 %")
NETWORK = Condition(MONITOR, Rule.NETWORK, CRITICAL, detail="all venues are stale together")
STALE_FEED = Condition(FEED, Rule.STALE_FEED, detail="no frame for 31 s", hold_s=30)


def condition(level: Level = WARNING, subject: str = "BTC", hold_s: float = 0.0, frozen: bool = False, detail: str = "") -> Condition:
    return Condition(ACCOUNT, Rule.DEPEG, level, subject, detail, hold_s, frozen)


def brief(told: list[Notification]) -> list[tuple[Change, Level]]:
    return [(notification.change, notification.level) for notification in told]


def every_second(policy: AlertPolicy, found: list[Condition], begin: int, end: int) -> list[tuple[int, Change, Level]]:
    told = [(now, note) for now in range(begin, end) for note in policy.conditions(found, float(now)) + policy.sweep(float(now))]
    return [(now, note.change, note.level) for now, note in told]


def test_fires_at_once_and_ends_after_the_hold_of_absence() -> None:
    policy = AlertPolicy(PolicyConfig())
    (told,) = policy.conditions([DISTANCE], 0)
    assert (told.key, told.change, told.level) == ("hyperliquid/hl-main/USDC/distance", Change.FIRED, WARNING)
    assert (told.subject, told.detail) == ("BTC", "BTC liquidates at +1.9 %")
    assert every_second(policy, [DISTANCE], 1, 10) == []
    assert every_second(policy, [], 10, 15) == []
    (told,) = policy.conditions([], 15)
    assert (told.change, told.previous, told.subject) == (Change.RESOLVED, WARNING, "BTC")
    assert told.detail == "over: BTC liquidates at +1.9 %"
    assert policy.conditions([], 16) == []
    assert policy.firing() == []


def test_a_short_absence_is_none() -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.conditions([DISTANCE], 0)
    assert [note for now in range(1, 60) for note in policy.conditions([DISTANCE] if now % 5 == 0 else [], float(now))] == []


def test_its_hold_starts_when_it_is_first_told_without_a_gap() -> None:
    policy = AlertPolicy(PolicyConfig())
    assert every_second(policy, [condition(hold_s=15)], 0, 15) == []
    policy.conditions([], 15)
    assert every_second(policy, [condition(hold_s=15)], 16, 33) == [(31, Change.FIRED, WARNING)]


def test_a_worse_level_is_told_at_once_and_a_lower_one_after_the_hold() -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.conditions([condition()], 0)
    assert brief(policy.conditions([condition(LIQUIDATION)], 1)) == [(Change.ESCALATED, LIQUIDATION)]
    flapping = [note for now in range(2, 40) for note in policy.conditions([condition(LIQUIDATION if now % 5 else WARNING)], float(now))]
    assert flapping == []
    # what it fell to is the worst of the hold
    assert every_second(policy, [condition(WARNING)], 41, 43) == []
    assert every_second(policy, [condition(CRITICAL)], 43, 44) == []
    assert every_second(policy, [condition(WARNING)], 44, 60) == [(46, Change.DEESCALATED, CRITICAL), (52, Change.DEESCALATED, WARNING)]


def test_another_subject_is_told_at_most_every_hold() -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.conditions([condition(subject="BTC")], 0)
    assert policy.conditions([condition(subject="BTC, ETH")], 1) == []
    assert policy.conditions([condition(subject="BTC")], 4) == []
    assert policy.conditions([condition(subject="BTC")], 5) == []
    (told,) = policy.conditions([condition(subject="BTC, ETH")], 6)
    assert (told.change, told.level, told.subject) == (Change.WORSENED, WARNING, "BTC, ETH")
    told_at = [now for now in range(7, 22) for _ in policy.conditions([condition(subject=str(now))], float(now))]
    assert told_at == [11, 16, 21]


def test_figures_alone_are_not_told_but_kept_for_the_repeat() -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={WARNING: 8.0}))
    policy.conditions([condition(detail="0 s")], 0)
    told = [
        note for now in range(1, 9) for note in policy.conditions([condition(detail=f"{now} s")], float(now)) + policy.sweep(float(now))
    ]
    assert [(note.change, note.detail) for note in told] == [(Change.REPEATED, "8 s")]


def test_frozen_neither_fires_nor_ends_nor_counts() -> None:
    policy = AlertPolicy(PolicyConfig())
    assert every_second(policy, [condition(frozen=True)], 0, 100) == []
    assert every_second(policy, [condition(hold_s=10)], 100, 105) == []
    assert every_second(policy, [condition(hold_s=10, frozen=True)], 105, 200) == []
    # 4 s counted before, 6 s from here on
    assert every_second(policy, [condition(hold_s=10)], 200, 210) == [(206, Change.FIRED, WARNING)]
    assert every_second(policy, [condition(CRITICAL, "ETH", frozen=True)], 210, 300) == []
    (firing,) = policy.firing()
    assert (firing.level, firing.subject, firing.frozen) == (WARNING, "BTC", True)
    # absence counts from the first list in which it can be judged
    assert every_second(policy, [], 300, 303) == []
    assert every_second(policy, [condition(frozen=True)], 303, 304) == []
    assert every_second(policy, [], 304, 311) == [(309, Change.RESOLVED, Level.OK)]


def test_several_of_one_scope_and_rule_are_one_alert() -> None:
    policy = AlertPolicy(PolicyConfig())
    found = [
        condition(WARNING, "BTC", 15.0, detail="a"),
        condition(CRITICAL, "ETH", 2.0, detail="b"),
        condition(WARNING, "BTC", 15.0, detail="b"),
        condition(LIQUIDATION, "SOL", 0.0, detail="c", frozen=True),
    ]
    policy.conditions(found, 0)
    policy.conditions(found, 1)
    (told,) = policy.conditions(found, 2)
    assert (told.level, told.subject, told.detail) == (CRITICAL, "BTC, ETH", "a; b")


def test_one_that_cannot_be_judged_keeps_the_level_of_the_others() -> None:
    policy = AlertPolicy(PolicyConfig())
    worst = condition(CRITICAL, "ETH")
    policy.conditions([condition(), worst], 0)
    blind = condition(CRITICAL, "ETH", frozen=True)
    assert [note for now in range(1, 30) for note in policy.conditions([condition(), blind], float(now))] == []
    joined = [condition(), blind, condition(subject="SOL")]
    assert brief(policy.conditions(joined, 30)) == [(Change.WORSENED, CRITICAL)]
    assert [incident.level for incident in policy.firing()] == [CRITICAL]
    assert every_second(policy, [condition()], 31, 37) == [(35, Change.WORSENED, CRITICAL), (36, Change.DEESCALATED, WARNING)]


@pytest.mark.parametrize("jump", [30.0, 7200.0])
def test_a_jump_of_the_clock_ends_nothing_and_fires_no_hold(jump: float) -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.conditions([DISTANCE], 0)
    assert policy.conditions([condition(hold_s=20)], 1) == []
    assert policy.conditions([condition(hold_s=20)], 1 + jump) == []
    assert policy.conditions([], 2 + jump * 2) == []
    assert {incident.rule for incident in policy.firing()} == {Rule.DISTANCE}


def test_a_slow_caller_still_gets_its_alert() -> None:
    policy = AlertPolicy(PolicyConfig())
    told = [now for now in range(0, 100, 10) for _ in policy.conditions([condition(hold_s=15)], float(now))]
    assert told == [30]


@pytest.mark.parametrize("rule", [Rule.LEVEL, Rule.DATA, Rule.TRANSFER, Rule.LIQUIDATION_SEEN])
def test_what_is_no_condition_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=f"{rule.value} is no condition"):
        Condition(ACCOUNT, rule)


@pytest.mark.parametrize("rule", [Rule.LEVEL, Rule.MODE, Rule.NETWORK])
def test_what_is_no_occurrence_is_refused(rule: Rule) -> None:
    with pytest.raises(ValueError, match=f"{rule.value} is no occurrence"):
        Occurrence(ACCOUNT, rule, WARNING, "")


def liquidation(detail: str, level: Level = LIQUIDATION) -> Occurrence:
    return Occurrence(ACCOUNT, Rule.LIQUIDATION_SEEN, level, detail)


def seconds(policy: AlertPolicy, begin: int, end: int) -> list[tuple[int, Notification]]:
    return [(now, note) for now in range(begin, end) for note in policy.sweep(float(now))]


def test_an_occurrence_is_told_at_once_and_a_series_is_thinned() -> None:
    policy = AlertPolicy(PolicyConfig())
    (told,) = policy.occurred(liquidation("BTC 1"), 0)
    assert (told.key, told.change, told.level) == ("hyperliquid/hl-main/liquidation_seen", Change.FIRED, LIQUIDATION)
    assert policy.occurred(liquidation("BTC 2"), 1) == []
    assert policy.occurred(liquidation("BTC 3"), 2) == []
    ((now, told),) = seconds(policy, 3, 30)
    assert (now, told.change, told.detail) == (10, Change.WORSENED, "BTC 3 (event 3)")
    assert brief(policy.occurred(liquidation("BTC 4"), 30)) == [(Change.WORSENED, LIQUIDATION)]
    ((now, told),) = seconds(policy, 31, 1000)
    assert (now, told.change, told.severity, told.detail) == (930, Change.RESOLVED, LIQUIDATION, "no further one for 15 min")
    assert policy.firing() == []


def test_none_of_a_thousand_is_forgotten() -> None:
    policy = AlertPolicy(PolicyConfig())
    told = []
    for event in range(1000):
        told += policy.occurred(liquidation(f"BTC {event}"), event * 0.03)
    told += [note for _, note in seconds(policy, 30, 60)]
    assert len(told) == 4
    assert told[-1].detail == "BTC 999 (event 1000)"
    assert policy.firing()[0].events == 1000


def test_an_occurrence_of_a_higher_level_does_not_wait() -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.occurred(liquidation("a", WARNING), 0)
    assert brief(policy.occurred(liquidation("b", CRITICAL), 1)) == [(Change.ESCALATED, CRITICAL)]
    assert policy.occurred(liquidation("c", WARNING), 2) == []
    ((now, told),) = seconds(policy, 3, 30)
    assert (now, told.level, told.detail) == (11, CRITICAL, "c (event 3)")


def test_occurrences_do_not_repeat_and_a_jump_of_the_clock_is_not_quiet() -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={LIQUIDATION: 300.0}))
    policy.occurred(liquidation("a"), 0)
    assert seconds(policy, 1, 800) == []
    assert seconds(policy, 20_000, 20_900) == []
    assert [(now, note.change) for now, note in seconds(policy, 20_900, 20_902)] == [(20_900, Change.RESOLVED)]


def test_each_rule_has_its_own_series() -> None:
    policy = AlertPolicy(PolicyConfig())
    call = Occurrence(ACCOUNT, Rule.MARGIN_CALL, WARNING, "BTCUSDT needs 12,000 USDT")
    assert brief(policy.occurred(call, 0)) == [(Change.FIRED, WARNING)]
    assert brief(policy.occurred(liquidation("0.5 BTCUSDT"), 1)) == [(Change.FIRED, LIQUIDATION)]
    assert policy.occurred(call, 2) == []
    assert [(now, told.rule) for now, told in seconds(policy, 3, 20)] == [(10, Rule.MARGIN_CALL)]


def test_lost_network_is_one_page(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.observe([pools(0.95, pool="a"), pools(0.1, pool="b")], 0)
    told = []
    for now in range(1, 100):
        told += [(now, note.rule) for note in policy.observe([pools.failed(pool="a"), pools.failed(pool="b")], float(now))]
        found = [STALE_FEED, Condition(MONITOR, Rule.NETWORK, CRITICAL, hold_s=5)]
        told += [(now, note.rule) for note in policy.conditions(found, float(now)) + policy.sweep(float(now))]
    assert told == [(6, Rule.NETWORK)]
    assert {(alert.rule, alert.frozen) for alert in policy.firing()} == {(Rule.NETWORK, False), (Rule.LEVEL, True)}
    # the network is back, the data are not: their clocks ran on
    again = [(now, note) for now in range(100, 110) for note in policy.conditions([STALE_FEED], float(now)) + policy.sweep(float(now))]
    assert [(now, note.rule, note.level) for now, note in again] == [
        (105, Rule.NETWORK, Level.OK),
        (105, Rule.STALE_FEED, WARNING),
        (105, Rule.DATA, CRITICAL),
        (105, Rule.DATA, CRITICAL),
    ]


def test_the_network_holds_what_is_told_with_it_and_portfolios_too() -> None:
    policy = AlertPolicy(PolicyConfig())
    desk = PortfolioReading("desk", (), "uta", None)
    stale = Condition(FEED, Rule.STALE_FEED)
    for now in range(30):
        policy.observe([desk], float(now))
        policy.conditions([stale, NETWORK], float(now))
        policy.sweep(float(now))
    assert [alert.rule for alert in policy.firing()] == [Rule.NETWORK]


def test_what_fires_already_stays_as_it_is_while_the_network_is_lost(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    for now in range(12):
        policy.observe([pools.failed()], float(now))
        policy.conditions([condition()], float(now))
        policy.sweep(float(now))
    assert {(alert.rule, alert.level) for alert in policy.firing()} == {(Rule.DATA, WARNING), (Rule.DEPEG, WARNING)}
    told = every_second(policy, [condition(), NETWORK], 12, 100)
    assert told == [(12, Change.FIRED, CRITICAL)]
    assert (Rule.DATA, WARNING) in {(alert.rule, alert.level) for alert in policy.firing()}


def test_maintenance_of_a_venue_holds_its_data_alerts_and_marks_every_text(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    policy.maintenance = {"hyperliquid": "upgrade until 12:00"}
    other = Condition(AlertScope.feed("aster", "marks"), Rule.STALE_FEED)
    policy.observe([pools(0.5), pools(0.5, venue="aster", account="as-main")], 0)
    (told,) = policy.observe([pools(0.95)], 1)
    assert (told.level, told.maintenance) == (CRITICAL, "upgrade until 12:00")
    told_keys = []
    for now in range(2, 40):
        told_keys += [note.key for note in policy.conditions([STALE_FEED, other], float(now)) + policy.sweep(float(now))]
    assert told_keys == ["feed/aster/marks/stale_feed", "aster/as-main/USDC/data"]
    (told,) = policy.conditions([STALE_FEED, other, condition()], 40)
    assert (told.rule, told.maintenance) == (Rule.DEPEG, "upgrade until 12:00")
    policy.maintenance = {}
    told_now = policy.conditions([STALE_FEED, other, condition()], 41) + policy.sweep(41)
    assert [(note.key, note.level, note.maintenance) for note in told_now] == [
        ("feed/hyperliquid/asset_contexts/stale_feed", WARNING, ""),
        ("hyperliquid/hl-main/USDC/data", CRITICAL, ""),
    ]


def test_maintenance_does_not_end_what_fires(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    for now in range(12):
        policy.observe([pools.failed()], float(now))
        policy.sweep(float(now))
    policy.maintenance = {"hyperliquid": "upgrade"}
    assert every_second(policy, [], 12, 100) == []
    assert [alert.rule for alert in policy.firing()] == [Rule.DATA]
    policy.maintenance.clear()
    assert brief(policy.sweep(100)) == [(Change.ESCALATED, CRITICAL)]
