"""The demo desk tells its story at every duration: who crosses which level when, who is liquidated, and that it ends well."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from connectors.simulator.hyperliquid import demo_desk
from connectors.simulator.hyperliquid_desk import ADDRESSES

LEVELS = (0.85, 0.90, 1.00)


@dataclass
class Story:
    """First progress at which a pool reached each level, its last level, and the liquidations in the ledgers."""

    first: dict[tuple[str, str], dict[float, float]] = field(default_factory=dict)
    highest_at_end: float = 0.0
    highest: float = 0.0
    liquidations: dict[str, int] = field(default_factory=dict)
    ratios: list[Any] = field(default_factory=list)


def tell(scenario: str, duration: float, seed: int = 7, dt: float = 0.1) -> Story:
    market, venue = demo_desk(duration, scenario=scenario, seed=seed)
    story = Story()
    while market.progress < 1.1:
        venue.advance(dt)
        for name, address in ADDRESSES.items():
            for pool, figures in venue.figures(address).items():
                story.highest = max(story.highest, figures.ratio)
                for level in LEVELS:
                    if figures.ratio >= level:
                        story.first.setdefault((name, pool), {}).setdefault(level, market.progress)
                if market.progress >= 0.95:
                    story.highest_at_end = max(story.highest_at_end, figures.ratio)
    for name, address in ADDRESSES.items():
        ledger = venue.exchange.history[address].ledger
        story.liquidations[name] = sum(row["delta"]["type"] == "liquidation" for row in ledger)
    return story


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["crash", "squeeze"])
@pytest.mark.parametrize(("duration", "seed"), [(30.0, 7), (30.0, 8), (120.0, 7), (900.0, 9)])
def test_one_account_drifts_through_all_levels_is_sliced_and_recovers(scenario: str, duration: float, seed: int) -> None:
    story = tell(scenario, duration, seed, dt=max(0.1, duration / 600))
    hero = story.first[("atlas", "main")]
    assert hero[0.85] + 0.025 < hero[0.90]
    assert hero[0.90] + 0.03 < hero[1.00]
    assert hero[0.85] > 0.3
    assert hero[1.00] < 0.6
    assert story.liquidations["atlas"] >= 2
    assert story.highest_at_end < 0.85
    saved = story.first[("cygnus", "USDC")]
    assert 0.90 in saved
    assert 1.00 not in saved
    assert story.liquidations["cygnus"] == 0
    assert story.liquidations["fornax"] >= 1


def test_squeeze_strains_the_portfolio_margin_account() -> None:
    story = tell("squeeze", 30.0)
    assert 0.85 in story.first[("delphi", "portfolio")]
    assert story.liquidations["delphi"] == 0


@pytest.mark.parametrize("seed", [1, 2, 7])
def test_calm_never_warns(seed: int) -> None:
    story = tell("calm", 30.0, seed)
    assert story.highest < 0.85
    assert not any(story.liquidations.values())
