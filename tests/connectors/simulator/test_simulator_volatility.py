"""The market's other stories: volatilities, forwards, stablecoins, an outage; prices do not depend on who asks for them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from connectors.simulator.market import SCENARIOS, Market
from connectors.simulator.volatility import LEVELS, STABLECOINS, smile

START = 1_790_000_000_000
MONTH = 30.0 / 365.0


def at(scenario: str, progress: float, *, seed: int = 7) -> Market:
    market = Market(seed, scenario, 60.0, START)
    while market.progress < progress:
        market.advance(0.1)
    return market


def level(market: Market, coin: str = "BTC", years: float = MONTH) -> float:
    forward = market.forward(coin, years)
    return market.implied_volatility(coin, forward, forward, years)


def test_every_scenario_has_a_volatility() -> None:
    assert set(LEVELS) == set(SCENARIOS)


def test_a_volatility_spike_doubles_and_comes_back() -> None:
    quiet, spiked, after = (level(at("vol_spike", progress)) for progress in (0.1, 0.5, 1.0))
    assert spiked == pytest.approx(2.0 * quiet, rel=0.05)
    assert after == pytest.approx(quiet, rel=0.10)
    assert at("vol_spike", 0.5).index("BTC") > 0.94 * at("vol_spike", 0.1).index("BTC")


def test_a_crash_raises_short_expiries_most_and_makes_forwards_cheaper() -> None:
    quiet, low = at("crash", 0.05), at("crash", 0.65)
    short, long = (level(low, years=years) / level(quiet, years=years) for years in (1.0 / 365.0, 1.0))
    assert short > 2.0 > long > 1.3
    assert quiet.forward("BTC", 1.0) / quiet.index("BTC") > low.forward("BTC", 1.0) / low.index("BTC") > 1.0
    assert quiet.forward("BTC", 0.0) == quiet.index("BTC")


def test_the_smile_is_smooth_higher_for_low_strikes_and_within_bounds() -> None:
    values = [smile("BTC", 1.0, 80_000.0 * (0.5 + 0.01 * i), 80_000.0, MONTH) for i in range(101)]
    steps = [b - a for a, b in pairwise(values)]
    assert max(abs(step) for step in steps) < 0.02
    assert max(abs(b - a) for a, b in pairwise(steps)) < 0.002
    assert values[30] > values[70] > values[50]
    assert smile("BTC", 3.0, 1.0, 80_000.0, 0.0) == 5.0


def test_a_depeg_moves_one_stablecoin() -> None:
    market = at("depeg", 0.5)
    assert market.stablecoin("USDT") == pytest.approx(0.95, abs=0.001)
    assert market.peg("USDT") == pytest.approx(0.95)
    assert all(market.peg(asset) == 1.0 for asset in STABLECOINS if asset != "USDT")
    assert 0.0 < abs(market.stablecoin("USDC") - 1.0) < 0.001
    assert at("depeg", 1.0).stablecoin("USDT") == pytest.approx(0.985, abs=0.001)
    assert all(at(name, 0.5).peg("USDT") == 1.0 for name in SCENARIOS if name != "depeg")
    with pytest.raises(KeyError, match="BTC is no stablecoin"):
        market.stablecoin("BTC")


def test_volatilities_go_missing_for_a_stretch() -> None:
    found = [at("iv_outage", progress).iv_outage for progress in (0.3, 0.36, 0.59, 0.61)]
    assert found == [False, True, True, False]
    assert not any(at(name, 0.5).iv_outage for name in SCENARIOS if name != "iv_outage")


def test_asking_changes_no_price() -> None:
    quiet, asked = (Market(5, "crash", 60.0, START) for _ in range(2))
    for _ in range(100):
        quiet.advance(0.1)
        asked.advance(0.1)
        level(asked)
        asked.stablecoin("USDC")
    assert quiet.quotes == asked.quotes
    assert level(quiet) == level(asked)
