"""Through a whole crash with trading, funding, transfers and liquidation our figures equal the venue's own, on frames and between."""

from __future__ import annotations

import pytest

from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, MakerPlan, Market, PositionPlan, demo_desk
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.margin.result import Level
from tests.monitor.simulated_desk import SimulatedDesk

EXACT = 1e-8
STEP_S = 0.1


def desk(scenario: str, duration: float) -> SimulatedDesk:
    _, venue = demo_desk(duration, scenario=scenario, context_interval=STEP_S, funding_interval_s=7.0)
    return SimulatedDesk(venue, demo_plans(scenario))


def worst_of_run(desk: SimulatedDesk, duration: float) -> tuple[float, str]:
    worst, where = 0.0, ""
    for step in range(round(duration / STEP_S)):
        desk.advance(STEP_S)
        for plan in desk.plans:
            gap, place = desk.worst_difference(plan)
            if not gap <= worst:
                worst, where = gap, f"{step * STEP_S:.1f} s: {place}"
    return worst, where


@pytest.mark.parametrize("scenario", ["crash", "squeeze", "calm"])
def test_every_figure_equals_the_venues_own_all_the_time(scenario: str) -> None:
    watched = desk(scenario, 40.0)
    worst, where = worst_of_run(watched, 44.0)
    assert worst <= EXACT, where
    assert watched.book.parse_errors == {}
    assert watched.frames["userFills"] > 500
    assert watched.frames["userFundings"] > 40
    if scenario == "crash":
        assert watched.liquidations > 3


def test_the_crash_crosses_every_level() -> None:
    watched = desk("crash", 40.0)
    seen = set()
    for _ in range(400):
        watched.advance(STEP_S)
        seen |= {result.level for result in watched.engine.results(watched.now_ns)}
    assert {Level.OK, Level.WARNING, Level.CRITICAL, Level.LIQUIDATION} <= seen
    assert all(result.reconciled is not False for result in watched.engine.results(watched.now_ns))


@pytest.mark.parametrize("channel", ["userFills", "userFundings", "userNonFundingLedgerUpdates", "allDexsAssetCtxs"])
def test_the_comparison_notices_a_lost_feed(channel: str) -> None:
    watched = desk("crash", 40.0)
    watched.filter = lambda name, text: name != channel
    worst, _ = worst_of_run(watched, 40.0)
    assert worst > 1e-6


def test_account_frames_alone_correct_what_lost_executions_left_wrong() -> None:
    watched = desk("calm", 40.0)
    watched.filter = lambda name, text: name != "userFills"
    for _ in range(50):
        watched.advance(STEP_S)
    watched.filter = lambda name, text: True
    for plan in watched.plans:
        watched.resync(plan)
    watched.engine.evaluate()
    for plan in watched.plans:
        gap, where = watched.worst_difference(plan)
        assert gap <= EXACT, where


def test_an_account_in_an_upper_tier_falls_through_its_bound() -> None:
    bound = 150_000_000.0
    plan = AccountPlan(
        "0x" + "f1" * 20,
        "whale",
        cash={"": 60_000_000.0},
        positions=(PositionPlan("BTC", 1_900.0, 20), PositionPlan("ETH", -45_000.0, 15)),
        makers=(MakerPlan("BTC", 5.0, 50_000.0, 1_950.0, 20),),
    )
    market = Market(11, "crash", 40.0, 1_790_000_000_000)
    venue = HyperliquidVenue(market, [plan], seed=11, context_interval=STEP_S, funding_interval_s=7.0)
    watched = SimulatedDesk(venue, [plan])
    notionals = []
    for _ in range(400):
        watched.advance(STEP_S)
        gap, where = watched.worst_difference(plan)
        assert gap <= EXACT, where
        (held,) = [leg for spec in watched.engine.arrays.specs.values() for leg in spec.legs if leg.instrument == "hyperliquid:BTC"]
        notionals.append(held.quantity * watched.book.market.mark("hyperliquid:BTC"))
    assert max(notionals) > 1.05 * bound
    assert min(notionals) < 0.95 * bound
    top = max(notionals)
    tiers = watched.book.market.instruments["hyperliquid:BTC"].tiers
    assert tiers[1].lower_bound == bound
    assert top * tiers[1].maintenance_rate - tiers[1].deduction == pytest.approx(bound / 80 + (top - bound) / 40)
