"""Through a whole crash with trading, funding, transfers and liquidation our figures equal Aster's own, on frames and between.

In single-asset, multi-assets and hedge mode, cross and isolated; nothing but the start is read, all else is pushed.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.simulator.aster import ALIASES, AsterVenue, Market, demo_plans
from monitor.margin.result import Level
from tests.monitor.simulated_aster import SimulatedAster

EXACT = 1e-8
STEP_S = 0.1
DURATION_S = 40.0
UNPRICED = "JLP"
"""Collateral that no symbol quotes: between reads nobody but the venue knows what it is worth."""


def desk(scenario: str, *, unpriced: bool = False) -> SimulatedAster:
    market = Market(7, scenario, DURATION_S, 1_790_000_000_000)
    plans = demo_plans(scenario)
    if not unpriced:
        plans = [replace(plan, wallet={asset: held for asset, held in plan.wallet.items() if asset != UNPRICED}) for plan in plans]
    venue = AsterVenue(
        market,
        plans,
        seed=7,
        mark_interval=STEP_S,
        funding_interval_s=7.0,
        liquidation_delay=0.3,
        slice_interval=0.5,
        weight_per_minute=10**9,
    )
    return SimulatedAster(venue)


def worst_of_run(watched: SimulatedAster, seconds: float) -> tuple[float, str]:
    worst, where = 0.0, ""
    for step in range(round(seconds / STEP_S)):
        watched.advance(STEP_S)
        for alias in ALIASES:
            gap, place = watched.worst_difference(alias)
            if not gap <= worst:
                worst, where = gap, f"{step * STEP_S:.1f} s: {place}"
    return worst, where


@pytest.mark.parametrize("scenario", ["crash", "squeeze", "calm"])
def test_every_figure_equals_the_venues_own_all_the_time(scenario: str) -> None:
    watched = desk(scenario)
    worst, where = worst_of_run(watched, DURATION_S + 4.0)
    assert worst <= EXACT, where
    assert watched.book.parse_errors == {}
    assert watched.events["ORDER"] > 100
    assert watched.events["FUNDING_FEE"] > 5
    pools = {scope[1:] for scope in watched.engine.arrays.scopes.values()}
    assert {("umbra", "USDT"), ("vela", "multi-assets"), ("wren", "USDT"), ("wren", "USD1")} <= pools
    if scenario == "crash":
        assert watched.events["INSURANCE_CLEAR"] > 0
        assert sum(watched.venue.liquidator.slices.values()) > 1


def test_the_crash_crosses_every_level_and_reads_agree() -> None:
    watched = desk("crash")
    seen = set()
    for step in range(400):
        watched.advance(STEP_S)
        seen |= {result.level for result in watched.engine.results(watched.now_ns)}
        if step % 50 == 0:
            for alias in ALIASES:
                watched.resync(alias)
            watched.engine.evaluate()
            results = watched.engine.results(watched.now_ns)
            assert all(result.reconciled is not False for result in results)
            assert max(result.reported_difference or 0.0 for result in results) <= EXACT
    assert {Level.OK, Level.WARNING, Level.CRITICAL, Level.LIQUIDATION} <= seen


@pytest.mark.parametrize("lost", ["marks", "ORDER", "FUNDING_FEE", "INSURANCE_CLEAR", "DEPOSIT"])
def test_the_comparison_notices_what_is_lost(lost: str) -> None:
    watched = desk("crash")
    watched.kept = lambda kind: kind != lost
    worst, _ = worst_of_run(watched, DURATION_S)
    assert worst > 1e-6


def test_a_read_alone_corrects_what_lost_pushes_left_wrong() -> None:
    watched = desk("crash")
    watched.kept = lambda kind: kind == "marks"
    worst, _ = worst_of_run(watched, 20.0)
    assert worst > 1e-6
    watched.now_ns += 5_000_000_000
    for alias in ALIASES:
        watched.venue.advance(STEP_S)
        watched.resync(alias)
    watched.deliver()
    for alias in ALIASES:
        watched.resync(alias)
    watched.engine.evaluate()
    for alias in ALIASES:
        gap, where = watched.worst_difference(alias)
        assert gap <= EXACT, where


def test_collateral_that_nothing_prices_is_right_at_every_read_and_near_between() -> None:
    watched = desk("crash", unpriced=True)
    worst, where = 0.0, ""
    for step in range(400):
        watched.advance(STEP_S)
        if step % 45 == 0:
            watched.resync("vela")
            watched.engine.evaluate()
            gap, place = watched.worst_difference("vela")
            assert gap <= EXACT, place
        gap, place = watched.worst_difference("vela")
        worst, where = (gap, place) if gap > worst else (worst, where)
    assert 1e-6 < worst < 0.01, where
