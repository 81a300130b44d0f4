from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connectors.events import FailureReason
from monitor.alerts.incident import Change, Notification, Reading
from monitor.alerts.policy import CLOSED, AlertPolicy, PolicyConfig
from monitor.alerts.rules import Rule, Thresholds, data_problem, has_left, is_usable, level_of
from monitor.alerts.scope import AlertScope
from monitor.live.reading import PortfolioReading
from monitor.margin.result import Failure, Level

OK, WARNING, CRITICAL, LIQUIDATION, BREACH = Level
INF = float("inf")
SCOPE = AlertScope.pool("hyperliquid", "hl-main", "USDC")


def second(policy: AlertPolicy, readings: Sequence[Reading], now: float) -> list[Notification]:
    """What the application does once a second."""
    return policy.observe(readings, now) + policy.sweep(now)


def brief(told: list[Notification]) -> list[tuple[Change, Level]]:
    return [(notification.change, notification.level) for notification in told]


def run(policy: AlertPolicy, pools: Any, *steps: tuple[float, float | None]) -> list[tuple[float, Change, Level]]:
    seen: list[tuple[float, Change, Level]] = []
    for now, ratio in steps:
        result = pools.failed() if ratio is None else pools(ratio)
        seen += [(now, note.change, note.level) for note in second(policy, [result], now) if note.rule is Rule.LEVEL]
    return seen


@pytest.mark.parametrize(
    ("ratio", "level"),
    [(0, OK), (0.8499, OK), (0.85, WARNING), (0.8999, WARNING), (0.9, CRITICAL), (0.999, CRITICAL), (1, LIQUIDATION), (INF, LIQUIDATION)],
)
def test_level_of(ratio: float, level: Level) -> None:
    assert level_of(ratio, Thresholds()) is level


def test_leaving_needs_the_gap() -> None:
    assert not has_left(0.85, CRITICAL, Thresholds(0.8, 0.87), 0.02)
    assert has_left(0.8499, CRITICAL, Thresholds(0.8, 0.87), 0.02)


@pytest.mark.parametrize("levels", [(0.9, 0.85, 1.0), (0.0, 0.9, 1.0), (0.9, 0.9, 1.0), (0.85, 1.0, 1.0)])
def test_thresholds_must_increase(levels: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must increase"):
        Thresholds(*levels)


def test_what_is_usable(pools: Any) -> None:
    assert is_usable(pools(0.5))
    assert is_usable(pools(INF))
    assert data_problem(pools(0.5)) == ""
    assert not is_usable(pools(0.5, stale=True))
    assert data_problem(pools(0.5, stale=True)).startswith("STALE: ")
    assert not is_usable(pools(float("nan")))
    assert data_problem(pools(float("nan"))).startswith("NO_NUMBER: ")
    failures = (Failure(FailureReason.MISSING_MARK, "BTC"), Failure(FailureReason.STALE_MARK, "ETH"))
    assert data_problem(pools(None, failures=failures)) == "MISSING_MARK: BTC (and 1 more)"
    assert not is_usable(pools(0.5, failures=failures))


def test_fires_and_escalates_at_once(pools: Any) -> None:
    steps = run(AlertPolicy(PolicyConfig()), pools, (0, 0.84), (1, 0.85), (1.01, 0.901), (1.02, 1.0))
    assert steps == [(1, Change.FIRED, WARNING), (1.01, Change.ESCALATED, CRITICAL), (1.02, Change.ESCALATED, LIQUIDATION)]


def test_a_jump_fires_once_at_the_highest_level(pools: Any) -> None:
    assert run(AlertPolicy(PolicyConfig()), pools, (0, INF), (1, INF)) == [(0, Change.FIRED, LIQUIDATION)]


def test_inside_the_gap_it_stays_and_below_it_ends_after_the_hold(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    assert run(policy, pools, (0, 0.86)) == [(0, Change.FIRED, WARNING)]
    assert run(policy, pools, *((t, 0.831) for t in range(1, 60))) == []
    assert run(policy, pools, *((t, 0.82) for t in range(60, 65))) == []
    assert run(policy, pools, (65, 0.82)) == [(65, Change.RESOLVED, OK)]
    assert policy.firing() == []


def test_hold_starts_anew_when_the_ratio_comes_back(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    steps = [(0, 0.86), (1, 0.82), (4, 0.82), (5, 0.84), (6, 0.82), (10.9, 0.82)]
    assert run(policy, pools, *steps) == [(0, Change.FIRED, WARNING)]
    assert run(policy, pools, (11, 0.82)) == [(11, Change.RESOLVED, OK)]


def test_falls_to_the_level_that_is_still_held(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    run(policy, pools, (0, 1.2))
    # Critical is held at 0.885 (its gap ends at 0.88), warning at 0.84.
    assert run(policy, pools, *((t, 0.885) for t in range(1, 7))) == [(6, Change.DEESCALATED, CRITICAL)]
    assert run(policy, pools, *((t, 0.84) for t in range(7, 13))) == [(12, Change.DEESCALATED, WARNING)]
    assert run(policy, pools, *((t, 0.5) for t in range(13, 19))) == [(18, Change.RESOLVED, OK)]


def test_each_level_has_its_own_hold(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    # Low at 1, but back in the warning range at 4: critical has been left since 1, warning has not.
    assert run(policy, pools, (0, 0.95), (1, 0.5), (4, 0.86), (6, 0.5)) == [(0, Change.FIRED, CRITICAL), (6, Change.DEESCALATED, WARNING)]
    assert run(policy, pools, (10.9, 0.5)) == []
    assert run(policy, pools, (11, 0.5)) == [(11, Change.RESOLVED, OK)]


def test_without_hold_it_ends_at_once(pools: Any) -> None:
    assert run(AlertPolicy(PolicyConfig(hold_s=0)), pools, (0, 0.9), (1, 0.1))[-1] == (1, Change.RESOLVED, OK)


def test_silence_is_not_time_spent_below(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    assert len(run(policy, pools, (0, 0.9), (1, 0.5), (8, 0.5))) == 1
    assert run(policy, pools, (13, 0.5)) == [(13, Change.RESOLVED, OK)]


def test_worsening_notifies_by_steps(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    steps = run(policy, pools, (0, 1.0), (1, 1.049), (2, 1.06), (3, 1.10), (4, 1.12), (5, 1.0), (6, 1.12), (7, INF), (8, INF))
    assert [now for now, change, _ in steps if change is Change.WORSENED] == [2, 4, 7]


def test_repeats_by_level(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={WARNING: 100.0, CRITICAL: 10.0}))
    steps = run(policy, pools, *((t, 0.86) for t in range(0, 201)))
    assert steps == [(0, Change.FIRED, WARNING), (100, Change.REPEATED, WARNING), (200, Change.REPEATED, WARNING)]
    steps = run(policy, pools, (201, 0.91), (210, 0.91), (211, 0.91))
    assert steps == [(201, Change.ESCALATED, CRITICAL), (211, Change.REPEATED, CRITICAL)]


def test_repeats_without_any_result(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={WARNING: 5.0}))
    second(policy, [pools(0.86)], 0)
    assert brief(second(policy, [], 5)) == [(Change.REPEATED, WARNING)]


def test_own_thresholds_of_an_account(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(thresholds_for={"small": Thresholds(0.5, 0.6)}))
    told = second(policy, [pools(0.7), pools(0.7, account="small")], 0)
    assert [(note.scope.account, note.level) for note in told] == [("small", CRITICAL)]


def test_a_burst_stays_separate_in_order(pools: Any) -> None:
    told = AlertPolicy(PolicyConfig()).observe([pools(0.86, pool=str(n)) for n in range(5)], 0)
    assert [note.key for note in told] == [f"hyperliquid/hl-main/{n}/margin_level" for n in range(5)]


@pytest.mark.parametrize("bad", ["failed", "stale", "silent"])
def test_bad_data_freeze_a_firing_alert_and_alarm_after_the_hold(pools: Any, bad: str) -> None:
    policy = AlertPolicy(PolicyConfig())
    second(policy, [pools(0.91)], 0)
    results = {"failed": [pools.failed()], "stale": [pools(0.1, stale=True)], "silent": []}[bad]
    told = [(now, note) for now in range(1, 60) for note in second(policy, results, float(now))]
    assert [(now, note.rule, note.change, note.level) for now, note in told] == [(10, Rule.DATA, Change.FIRED, CRITICAL)]
    assert {(state.rule, state.frozen) for state in policy.firing()} == {(Rule.LEVEL, True), (Rule.DATA, True)}
    # Good again: the level alert's hold starts only now, the data alert ends after its own.
    told = [(now, note) for now in range(60, 70) for note in second(policy, [pools(0.1)], float(now))]
    assert [(now, note.rule, note.change) for now, note in told] == [(65, Rule.LEVEL, Change.RESOLVED), (65, Rule.DATA, Change.RESOLVED)]


def test_data_alert_of_a_quiet_pool_is_a_warning_first(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    told = [(now, note) for now in range(0, 100) for note in second(policy, [pools.failed()], float(now))]
    assert [(now, note.change, note.level) for now, note in told] == [(10, Change.FIRED, WARNING), (60, Change.ESCALATED, CRITICAL)]
    assert told[0][1].detail == "STALE_ACCOUNT: no account frame for 25 s"


def test_an_outage_does_not_become_less_serious_by_a_glimpse(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    for now in range(70):
        second(policy, [pools.failed()], float(now))
    second(policy, [pools(0.1)], 70)
    assert [note for now in range(71, 120) for note in second(policy, [pools.failed()], float(now))] == []
    assert [(state.rule, state.level) for state in policy.firing()] == [(Rule.DATA, CRITICAL)]


def test_flapping_data_do_not_end_a_data_alert(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    for now in range(12):
        second(policy, [pools.failed()], float(now))
    told = [note for now in range(12, 60) for note in second(policy, [pools(0.1) if now % 4 else pools.failed()], float(now))]
    assert brief(told) == []
    assert [state.rule for state in policy.firing()] == [Rule.DATA]


def test_short_gaps_make_no_noise(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    assert [note for now in range(60) for note in second(policy, [pools.failed() if now % 10 else pools(0.1)], float(now))] == []


def test_a_stale_number_may_raise_but_not_lower(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(hold_s=0))
    assert brief(second(policy, [pools(0.86, stale=True)], 0)) == [(Change.FIRED, WARNING)]
    assert brief(second(policy, [pools(0.95, stale=True)], 1)) == [(Change.ESCALATED, CRITICAL)]
    assert second(policy, [pools(0.1, stale=True)], 2) == []
    assert brief(second(policy, [pools(0.1)], 3)) == [(Change.RESOLVED, OK)]


def test_a_pool_ends_only_by_gone(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    second(policy, [pools(0.95)], 0)
    for now in range(1, 100):
        second(policy, [], float(now))
    assert {state.rule for state in policy.firing()} == {Rule.LEVEL, Rule.DATA}
    told = policy.gone(SCOPE, 100)
    assert [(note.rule, note.change, note.previous) for note in told] == [
        (Rule.LEVEL, Change.RESOLVED, CRITICAL),
        (Rule.DATA, Change.RESOLVED, CRITICAL),
    ]
    assert {note.detail for note in told} == {CLOSED}
    assert policy.firing() == []
    assert second(policy, [], 1000) == []
    assert policy.gone(SCOPE, 1001) == []


def test_firing_lists_the_worst_first(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    second(policy, [pools(0.86, pool="b"), pools(0.86, pool="a"), pools(1.5, pool="c")], 7.0)
    states = policy.firing()
    assert [state.scope.name for state in states] == ["c", "a", "b"]
    assert (states[0].opened_s, states[0].ratio_at_crossing, states[0].sequence, states[0].frozen) == (7.0, 1.5, 1, False)


def test_the_top_of_a_portfolio_is_breach() -> None:
    config = PolicyConfig(thresholds_for={"": Thresholds(0.1, 0.2)}, portfolio_thresholds={"desk": Thresholds(0.7, 0.8)}, hold_s=0)
    policy = AlertPolicy(config)

    def reading(ratio: float, portfolio: str = "desk") -> PortfolioReading:
        return PortfolioReading(portfolio, ("hl-main",), "uta", ratio)

    (told,) = policy.observe([reading(1.2)], 0)
    assert (told.key, told.level, told.thresholds) == ("portfolio/desk/margin_level", BREACH, Thresholds(0.7, 0.8))
    assert brief(policy.observe([reading(0.75)], 1)) == [(Change.DEESCALATED, WARNING)]
    assert brief(policy.observe([reading(1.0)], 2)) == [(Change.ESCALATED, BREACH)]
    assert policy.observe([reading(0.75, "other")], 2) == []
    assert [note for note in policy.sweep(301) if note.rule is Rule.LEVEL] == []
    assert [note.level for note in policy.sweep(302) if note.rule is Rule.LEVEL] == [BREACH]


def test_a_portfolio_has_a_data_alert_of_its_own() -> None:
    policy = AlertPolicy(PolicyConfig())
    failed = PortfolioReading("desk", (), "uta", None, failures=(Failure(FailureReason.MISSING_MARK, "BTC"),))
    told = [(now, note) for now in range(20) for note in second(policy, [failed], float(now))]
    assert [(now, note.key, note.detail) for now, note in told] == [(10, "portfolio/desk/data", "MISSING_MARK: BTC")]


def test_a_notification_says_all(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    second(policy, [pools(0.91)], 1)
    stale = pools(None, stale=True, last_margin_ratio=0.97)
    (told,) = second(policy, [stale], 2)
    assert (told.key, told.number, told.sequence) == ("hyperliquid/hl-main/USDC/margin_level", 1, 2)
    assert (told.change, told.level, told.previous, told.now_s, told.opened_s) == (Change.WORSENED, CRITICAL, CRITICAL, 2, 1)
    assert (told.ratio, told.ratio_before, told.ratio_at_crossing, told.frozen) == (0.97, 0.91, 0.91, True)
    assert told.result is stale


def test_the_ratio_at_the_crossing_is_that_of_the_level(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig())
    told = [policy.observe([pools(ratio)], now)[0] for now, ratio in enumerate((0.86, 0.93, 1.1))]
    assert [note.ratio_at_crossing for note in told] == [0.86, 0.93, 1.1]


def test_an_observation_looks_at_its_readings_alone(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(repeat_s={WARNING: 5.0}))
    second(policy, [pools(0.86, pool="a"), pools(0.1, pool="b")], 0)
    assert policy.observe([pools(0.1, pool="c")], 100) == []
    assert {note.key.split("/", 2)[2] for note in policy.sweep(100)} == {"a/margin_level", "a/data", "b/data"}


def test_numbers_rise_over_all_incidents(pools: Any) -> None:
    policy = AlertPolicy(PolicyConfig(hold_s=0), last_number=41)
    told = policy.observe([pools(0.9, pool="a"), pools(0.9, pool="b")], 0)
    told += policy.observe([pools(0.1, pool="a")], 1) + policy.observe([pools(0.9, pool="a")], 2)
    assert [(note.scope.name, note.number, note.sequence) for note in told] == [("a", 42, 1), ("b", 43, 1), ("a", 42, 2), ("a", 44, 1)]
