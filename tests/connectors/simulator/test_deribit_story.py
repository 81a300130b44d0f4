"""The demo's story on Deribit: nobody is liquidated, strix is saved in time, an option expires, all by seed."""

from __future__ import annotations

import pytest

from connectors.simulator.deribit import ALIASES, DeribitVenue, Market, credentials, deribit_demo
from connectors.simulator.market import SCENARIOS

DURATION = 60.0


def ratio(venue: DeribitVenue, alias: str) -> float:
    return max(figures.ratio for figures in venue.figures(alias).values())


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_nobody_is_liquidated_and_all_end_well(scenario: str) -> None:
    venue = deribit_demo(DURATION, scenario=scenario)
    worst = dict.fromkeys(ALIASES, 0.0)
    while venue.market.progress < 1.0:
        venue.advance(0.2)
        worst = {alias: max(worst[alias], ratio(venue, alias)) for alias in ALIASES}
    assert venue.liquidator.slices == {}
    assert 0.1 < worst["noctua"] < 0.85
    assert (0.90 < worst["strix"] < 1.0) is (scenario in ("crash", "squeeze"))
    assert all(ratio(venue, alias) < 0.85 for alias in ALIASES)


@pytest.mark.parametrize("duration", [20.0, 300.0])
@pytest.mark.parametrize("seed", [1, 11])
def test_strix_warns_before_it_is_saved(duration: float, seed: int) -> None:
    venue = deribit_demo(duration, scenario="crash", seed=seed)
    crossed: dict[float, float] = {}
    while venue.market.progress < 0.545:
        venue.advance(duration / 300.0)
        for level in (0.85, 0.90, 1.0):
            if ratio(venue, "strix") >= level:
                crossed.setdefault(level, venue.market.progress)
    assert 0.3 < crossed[0.85] < crossed[0.90] < 0.545
    assert 1.0 not in crossed
    venue.advance(duration / 60.0)
    assert ratio(venue, "strix") < 0.85


def test_an_option_expires_on_the_way() -> None:
    venue = deribit_demo(DURATION, scenario="crash")
    assert len(venue.accounts["noctua"].positions) == 6
    while venue.market.progress < 0.59:
        venue.advance(0.5)
    assert len(venue.accounts["noctua"].positions) == 6
    while venue.market.progress < 0.63:
        venue.advance(0.5)
    assert len(venue.accounts["noctua"].positions) == 5


def test_the_desk_gains_from_the_puts_when_the_market_falls() -> None:
    venue = deribit_demo(DURATION, scenario="crash")
    puts = [p for p in venue.accounts["noctua"].positions.values() if p.contract.is_option and not p.contract.call]
    assert {p.size for p in puts} == {20.0, 300.0}
    while venue.market.progress < 0.64:
        venue.advance(0.5)
    assert all(venue.prices.mark(p.contract) > 3.0 * p.entry for p in puts)


def test_the_same_seed_tells_the_same_story() -> None:
    def figures(seed: int) -> list[float]:
        venue = deribit_demo(30.0, scenario="crash", seed=seed)
        for _ in range(100):
            venue.advance(0.2)
        return [ratio(venue, alias) for alias in ALIASES]

    assert figures(3) == figures(3) != figures(4)


def test_a_hedge_of_one_coin_and_a_shared_market() -> None:
    market = Market(7, "calm", 60.0, 1_790_000_000_000)
    venue = deribit_demo(60.0, market=market, hedge={"ETH": 100.0})
    market.advance(5.0)
    venue.follow()
    assert {p.contract.family.coin for p in venue.accounts["noctua"].positions.values()} == {"ETH"}
    assert ratio(venue, "noctua") < 0.85


def test_credentials_are_dummies_that_nothing_shows() -> None:
    first, second = (credentials(alias) for alias in ALIASES)
    assert first.client_id != second.client_id
    assert first.client_secret not in repr(first)
    with pytest.raises(KeyError, match="no demo account corvus: use one of noctua, strix"):
        credentials("corvus")
