"""Feeds late, out of step, doubled and lost, while everything happens: what is shown and not flagged is the venue's own figure."""

from __future__ import annotations

import pytest

from connectors.simulator.hyperliquid import HyperliquidVenue, Market
from tests.monitor.random_traders import Appetite, RandomTraders, plans
from tests.monitor.simulated_desk import SimulatedDesk
from tests.monitor.stressed_desk import StressedDesk, Weather

EXACT = 1e-8
SHOWN = 1e-3
STEPS = 200


def stressed(scenario: str, seed: int, weather: Weather) -> StressedDesk:
    market = Market(seed, scenario, 40.0, 1_790_000_000_000)
    venue = HyperliquidVenue(
        market,
        plans(),
        seed=seed,
        context_interval=0.1,
        funding_interval_s=7.0,
        time_scale=0.05,
        liquidation_delay=0.2,
        weight_per_minute=1_000_000_000,
    )
    return StressedDesk(venue, plans(), weather, seed)


def wrong_while_known(desk: StressedDesk, traders: RandomTraders) -> list[str]:
    """Figures shown as good, beyond what marks moved under way, though nothing that happened is still to be told."""
    found = []
    for step in range(STEPS):
        traders.act()
        desk.advance(0.1)
        for plan in desk.plans:
            if not desk.under_way(plan.name):
                wrong = [error for error in desk.errors(plan) if abs(error[2]) > SHOWN]
                found += [f"{step / 10:.1f} s {plan.name}/{pool} {figure}: {error:+.4%}" for pool, figure, error in wrong]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "seed", "weather", "appetite"),
    [
        ("calm", 2, Weather(0.0, 0.0, 0.0, 0.0, 0.0), Appetite()),
        ("calm", 7, Weather(), Appetite()),
        ("calm", 14, Weather(), Appetite()),
        ("calm", 52, Weather(), Appetite(spot=0.06)),
        ("squeeze", 4, Weather(account_delay=3.0), Appetite()),
        ("crash", 1, Weather(market_delay=0.5), Appetite()),
        ("calm", 3, Weather(account_delay=1.0, lost=0.05), Appetite()),
        ("calm", 5, Weather(account_delay=1.0), Appetite(reconnect=0.02)),
        ("calm", 11, Weather(account_delay=1.0), Appetite(mode=0.01)),
    ],
    ids=["in step", "late 7", "late 14", "late 52", "squeeze", "crash", "lossy", "reconnects", "modes"],
)
def test_what_is_shown_as_good_is_the_venues_own(scenario: str, seed: int, weather: Weather, appetite: Appetite) -> None:
    desk = stressed(scenario, seed, weather)
    assert wrong_while_known(desk, RandomTraders(desk, appetite, seed)) == []
    desk.settle()
    for plan in desk.plans:
        assert desk.flagged(plan.name) == {}
        assert [error for error in desk.errors(plan) if abs(error[2]) > EXACT] == []
    assert desk.book.parse_errors == {}
    assert desk.frames["userFills"] > 100


def test_collateral_is_priced_by_its_perpetual_while_the_spot_feed_is_silent() -> None:
    market = Market(3, "crash", 40.0, 1_790_000_000_000)
    borrower = plans()[-1]
    venue = HyperliquidVenue(market, [borrower], seed=3, context_interval=0.1, spot_frame_interval=60.0)
    desk = SimulatedDesk(venue, [borrower])
    desk.filter = lambda channel, text: channel != "activeSpotAssetCtx"
    before = venue.figures(borrower.address)["portfolio"].equity
    for _ in range(160):
        desk.advance(0.1)
    assert venue.figures(borrower.address)["portfolio"].equity < 0.9 * before
    difference, where = desk.worst_difference(borrower)
    assert difference < SHOWN, where
