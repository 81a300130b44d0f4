"""Daily volatility, beta and volumes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import Volumes
from monitor.resolvers.provenance import Provenance
from monitor.resolvers.rules import Rules
from tests.monitor.resolvers.market import DAY_MS, NOW_MS, Desk, index, option, perpetual

BTC, SOL = perpetual("hyperliquid", "BTC", "USDC"), perpetual("hyperliquid", "SOL", "USDC")
INVERSE = perpetual("deribit", "BTC", "BTC", symbol="BTC-PERPETUAL", inverse=True)


def desk_with(rules: Rules | None = None) -> Desk:
    desk = Desk(rules or Rules(fx={"USDC": 1.0}))
    desk.list("hyperliquid", BTC, SOL)
    desk.list("deribit", index("BTC"), INVERSE)
    desk.track(coins=["BTC", "SOL"], assets=["USDC"])
    return desk


def zigzag(days: int, move: float, start: float = 100.0) -> list[float]:
    return [start * math.exp(move * (day % 2)) for day in range(days + 1)]


@given(st.floats(0.001, 0.2), st.integers(5, 60))
def test_returns_of_one_size_have_that_volatility(move: float, days: int) -> None:
    desk = desk_with()
    desk.closes(BTC.id, zigzag(days, move))
    assert desk.update().daily_volatility["BTC"] == pytest.approx(move)


def test_recent_days_weigh_more() -> None:
    calm, wild = zigzag(14, 0.01), zigzag(14, 0.05)
    desk = desk_with()
    desk.closes(BTC.id, [*calm, *wild[1:]])
    desk.closes(SOL.id, [*wild, *calm[1:]])
    told = desk.update().daily_volatility
    weights = [0.94**age for age in range(28)]
    expected = sum(w * (0.05 if age < 14 else 0.01) ** 2 for age, w in enumerate(weights)) / sum(weights)
    assert told["BTC"] == pytest.approx(math.sqrt(expected), rel=1e-9)
    assert told["SOL"] < told["BTC"]


def test_live_prices_carry_it_on() -> None:
    desk = desk_with()
    desk.closes(BTC.id, zigzag(30, 0.02, 65_000.0))
    desk.index("BTC", 65_000.0)
    before = desk.update().daily_volatility["BTC"]
    desk.after(240).index("BTC", 66_000.0)
    assert "BTC" not in desk.update().daily_volatility
    desk.after(60).index("BTC", 66_300.0)
    carried = desk.update().daily_volatility["BTC"]
    days, square = 300 / 86_400, math.log(66_300.0 / 65_000.0) ** 2
    weight = 0.94**days
    assert carried == pytest.approx(math.sqrt(weight * before**2 + (1 - weight) * square / days), rel=1e-9)


def test_a_stale_index_does_not_carry_it_on() -> None:
    desk = desk_with()
    desk.closes(BTC.id, zigzag(30, 0.02, 65_000.0))
    desk.index("BTC", 70_000.0)
    desk.after(400)
    assert desk.update().daily_volatility["BTC"] == pytest.approx(0.02)


def test_few_closes_are_a_proxy_and_very_few_are_none() -> None:
    desk = desk_with(Rules(fx={"USDC": 1.0}, daily_volatility={"SOL": 0.04}))
    desk.closes(BTC.id, zigzag(6, 0.02))
    desk.closes(SOL.id, zigzag(4, 0.02))
    desk.update()
    assert desk.resolvers.daily_volatility("BTC").provenance is Provenance.PROXY
    configured = desk.resolvers.daily_volatility("SOL")
    assert (configured.value, configured.provenance) == (0.04, Provenance.CONFIGURED)


def test_without_closes_and_configuration_it_is_missing() -> None:
    desk = desk_with()
    assert math.isnan(desk.update().daily_volatility["SOL"])
    assert desk.resolvers.beta("SOL").provenance is Provenance.MISSING


def test_old_closes_are_stale() -> None:
    desk = desk_with()
    desk.closes(BTC.id, zigzag(30, 0.02), NOW_MS - 3 * DAY_MS)
    desk.update()
    assert desk.resolvers.daily_volatility("BTC").provenance is Provenance.STALE


def test_closes_that_are_told_before_the_listing_count_when_it_comes() -> None:
    desk = Desk()
    desk.track(coins=["BTC"])
    desk.closes(BTC.id, zigzag(30, 0.02))
    assert math.isnan(desk.update().daily_volatility["BTC"])
    desk.list("hyperliquid", BTC)
    assert desk.update().daily_volatility == {"BTC": pytest.approx(0.02)}


def test_beta_is_the_ratio_of_volatilities_within_limits() -> None:
    for move, expected in ((0.03, 1.5), (0.2, 4.0), (0.001, 0.5)):
        desk = desk_with()
        desk.closes(BTC.id, zigzag(30, 0.02))
        desk.closes(SOL.id, zigzag(30, move))
        desk.update()
        assert desk.resolvers.beta("SOL").value == pytest.approx(expected)
        assert desk.resolvers.beta("SOL").provenance is Provenance.LIVE
        assert desk.resolvers.beta("BTC").value == 1.0


def test_a_configured_beta_stands_in_for_history() -> None:
    desk = desk_with(Rules(beta={"SOL": 1.7}))
    desk.closes(BTC.id, zigzag(30, 0.02))
    desk.update()
    assert (desk.resolvers.beta("SOL").value, desk.resolvers.beta("SOL").provenance) == (1.7, Provenance.CONFIGURED)


def test_volumes_are_in_usd_and_told_when_they_change() -> None:
    desk = desk_with(Rules())
    desk.stablecoin("USDC", 0.9)
    desk.resolvers.apply(Volumes("hyperliquid", "volumes", desk.now_ns, {BTC.id: 2e9}))
    desk.resolvers.apply(Volumes("deribit", "volumes", desk.now_ns, {INVERSE.id: 5e8}))
    assert desk.update().volumes_usd == {BTC.id: pytest.approx(1.8e9), INVERSE.id: 5e8}
    desk.after(2).stablecoin("USDC", 0.9001)
    assert desk.update().volumes_usd == {}
    desk.after(2).stablecoin("USDC", 0.95)
    assert desk.update().volumes_usd == {BTC.id: pytest.approx(1.9e9)}
    assert desk.resolvers.volume(BTC.id).value == pytest.approx(1.9e9)


def test_a_volume_in_an_asset_without_a_price_is_missing_until_it_has_one() -> None:
    desk = desk_with(Rules())
    desk.resolvers.apply(Volumes("hyperliquid", "volumes", desk.now_ns, {BTC.id: 2e9, "hyperliquid:GONE": 1.0}))
    assert math.isnan(desk.update().volumes_usd[BTC.id])
    assert desk.resolvers.volume(BTC.id).provenance is Provenance.MISSING
    desk.after(1).stablecoin("USDC", 1.0)
    assert desk.update().volumes_usd == {BTC.id: 2e9}
    assert desk.resolvers.volume(BTC.id).provenance is Provenance.LIVE
    assert desk.resolvers.volume("hyperliquid:GONE").provenance is Provenance.MISSING


def test_volumes_of_options_are_in_usd_if_coin_settled() -> None:
    desk = desk_with(Rules())
    call = option("BTC", 30, 70_000.0)
    desk.list("deribit", call)
    desk.resolvers.apply(Volumes("deribit", "book_summary", desk.now_ns, {call.id: 1e6}))
    assert desk.update().volumes_usd == {call.id: 1e6}


def test_a_listing_that_comes_again_does_not_undo_what_live_prices_told() -> None:
    desk = desk_with()
    desk.index("BTC", 100.0)
    desk.closes(BTC.id, zigzag(30, 0.01), NOW_MS)
    desk.update()
    desk.after(3600.0).index("BTC", 120.0)
    desk.update()
    carried = desk.resolvers.daily_volatility("BTC").value
    assert carried > 0.02
    desk.list("hyperliquid", BTC, SOL)
    desk.after(1.0).index("BTC", 120.0)
    desk.update()
    assert desk.resolvers.daily_volatility("BTC").value == carried
