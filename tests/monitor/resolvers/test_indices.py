"""Stablecoins and indices: which source counts, and that nothing is 1 because nothing is known."""

from __future__ import annotations

import math

import pytest

from connectors.events import FeedStatus, VenueStatus
from monitor.resolvers.provenance import Provenance
from monitor.resolvers.rules import Rules
from tests.monitor.resolvers.market import BTC_INDEX, CONTEXTS, Desk, index, perpetual

HL, ASTER = perpetual("hyperliquid", "BTC", "USDC"), perpetual("aster", "BTC", "USDT", symbol="BTCUSDT")
FX = Rules(fx={"USDC": 1.0, "USDT": 0.998})


def desk_with(rules: Rules = FX, *coins: str) -> Desk:
    desk = Desk(rules)
    desk.list("hyperliquid", HL, perpetual("hyperliquid", "PEPE", "USDC", symbol="kPEPE", multiplier=1000.0))
    desk.list("aster", ASTER, perpetual("aster", "PEPE", "USDT", symbol="1000PEPEUSDT", multiplier=1000.0))
    desk.list("deribit", index("BTC"))
    desk.track(coins=coins or ["BTC"], assets=["USD", "USDC", "USDT"])
    return desk


def test_a_stablecoin_that_nobody_prices_is_missing_and_not_1() -> None:
    desk = desk_with(Rules())
    changes = desk.update()
    assert changes.fx["USD"] == 1.0
    assert math.isnan(changes.fx["USDT"])
    assert desk.resolvers.fx("USDT").provenance is Provenance.MISSING
    assert "[fx]" in desk.resolvers.fx("USDT").source


def test_what_a_venue_tells_of_a_stablecoin_counts_before_the_configuration() -> None:
    desk = desk_with()
    assert desk.update().fx["USDT"] == 0.998
    assert desk.resolvers.fx("USDT").provenance is Provenance.CONFIGURED
    desk.stablecoin("USDT", 0.95)
    assert desk.update().fx == {"USDT": 0.95}
    desk.after(3600).update()
    assert (desk.resolvers.fx("USDT").value, desk.resolvers.fx("USDT").provenance) == (0.95, Provenance.STALE)


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_a_stablecoin_price_that_is_none_is_not_taken(price: float) -> None:
    desk = desk_with()
    desk.stablecoin("USDT", price)
    assert desk.update().fx["USDT"] == 0.998


def test_deribits_index_counts_first_then_asters_then_hyperliquids() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_010.0, 65_001.0)
    assert desk.update().index == {"BTC": 65_001.0}
    desk.mark(ASTER.id, 65_220.0, 65_200.0, feed="markPrice")
    assert desk.update().index == {"BTC": pytest.approx(65_200.0 * 0.998)}
    desk.index("BTC", 65_050.0)
    assert desk.update().index == {"BTC": 65_050.0}
    assert desk.resolvers.index("BTC").provenance is Provenance.LIVE


def test_a_dead_index_gives_way_to_a_live_one_and_the_youngest_stays_when_all_are_dead() -> None:
    desk = desk_with()
    desk.index("BTC", 65_050.0)
    desk.after(2).mark(HL.id, 65_010.0, 65_001.0)
    desk.update()
    desk.feed("deribit", BTC_INDEX, FeedStatus.DOWN)
    assert desk.update().index == {"BTC": 65_001.0}
    assert desk.resolvers.index("BTC").provenance is Provenance.CONFIGURED
    desk.feed("hyperliquid", CONTEXTS, FeedStatus.STALE)
    assert desk.update().index == {}
    assert desk.resolvers.index("BTC").provenance is Provenance.CONFIGURED
    desk.after(40).index("BTC", 64_000.0)
    assert desk.update().index == {"BTC": 64_000.0}
    assert desk.resolvers.index("BTC").provenance is Provenance.STALE


def test_an_index_in_an_asset_without_a_price_is_missing() -> None:
    desk = desk_with(Rules())
    desk.mark(ASTER.id, 65_220.0, 65_200.0, feed="markPrice")
    assert math.isnan(desk.update().index["BTC"])
    desk.stablecoin("USDT", 0.95)
    assert desk.update().index == {"BTC": pytest.approx(61_940.0)}
    assert desk.resolvers.index("BTC").provenance is Provenance.LIVE


def test_a_source_in_a_priced_asset_counts_before_one_without_a_price() -> None:
    desk = desk_with(Rules(fx={"USDC": 1.0}))
    desk.mark(ASTER.id, 65_220.0, 65_200.0, feed="markPrice")
    desk.mark(HL.id, 65_010.0, 65_001.0)
    assert desk.update().index == {"BTC": 65_001.0}


def test_an_index_is_per_coin_whatever_the_contract_holds() -> None:
    desk = desk_with(Rules(fx={"USDT": 1.0, "USDC": 1.0}), "PEPE")
    desk.mark("hyperliquid:kPEPE", 0.0051, 0.005)
    assert desk.update().index == {"PEPE": pytest.approx(5e-6)}
    desk.mark("aster:1000PEPEUSDT", 0.0062, 0.006, feed="markPrice")
    assert desk.update().index == {"PEPE": pytest.approx(6e-6)}


def test_an_index_in_a_stablecoin_is_converted() -> None:
    desk = desk_with(Rules(), "SOL")
    desk.stablecoin("USDC", 0.99)
    desk.index("SOL", 200.0, "USDC")
    assert desk.update().index == {"SOL": pytest.approx(198.0)}


def test_a_feed_of_changed_marks_does_not_renew_the_index_it_repeats() -> None:
    desk = desk_with()
    desk.mark(HL.id, 65_010.0, 65_001.0)
    desk.after(31).mark(HL.id, 65_020.0, 65_001.0, feed="fastAssetCtxs", delta=True)
    desk.update()
    assert desk.resolvers.index("BTC").age_s == 31.0


def test_what_a_halted_venue_tells_is_stale() -> None:
    desk = desk_with()
    desk.index("BTC", 65_050.0)
    desk.update()
    for statuses, expected in ((("locked eth_usd",), "LIVE"), (("locked btc_usd",), "STALE"), (("maintenance",), "STALE"), ((), "LIVE")):
        desk.resolvers.apply(VenueStatus("deribit", desk.now_ns, desk.now_ms, statuses))
        desk.update()
        assert desk.resolvers.index("BTC").provenance == expected, statuses
