from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.market import SCENARIOS, Market, round_price, scenario_move

START = 1_790_000_000_000


def run(market: Market, until: float, dt: float = 0.1) -> Market:
    while market.time < until - 1e-9:
        market.advance(dt)
    return market


@pytest.mark.parametrize("duration", [10.0, 60.0, 600.0])
def test_crash_falls_by_a_fifth_and_rebounds_whatever_the_duration(duration: float) -> None:
    market = Market(1, "crash", duration, START)
    first = market.mark("BTC")
    fall = {}
    for u in (0.18, 0.64, 0.95, 1.5):
        run(market, u * duration, duration / 200)
        fall[u] = market.mark("BTC") / first - 1.0
    assert abs(fall[0.18]) < 0.01
    assert -0.25 < fall[0.64] < -0.18
    assert fall[0.64] + 0.06 < fall[0.95] < -0.08
    assert abs(fall[1.5] - fall[0.95]) < 0.01


def test_squeeze_mirrors_crash() -> None:
    assert all(scenario_move("squeeze", u / 50) == -scenario_move("crash", u / 50) for u in range(51))


def test_coins_move_by_their_betas() -> None:
    market = run(Market(2, "crash", 60.0, START), 38.4)
    btc = math.log(market.mark("BTC") / 86_000.0)
    for coin, beta in (("ETH", 1.2), ("HYPE", 1.3), ("kPEPE", 1.6)):
        start = Market(2, "crash", 60.0, START).mark(coin)
        assert math.log(market.mark(coin) / start) == pytest.approx(beta * btc, abs=0.01)


def test_calm_stays_calm_for_hours() -> None:
    market = Market(3, "calm", 60.0, START)
    for _ in range(1000):
        market.advance(10.0)
        assert abs(market.mark("BTC") / 86_000.0 - 1.0) < 0.02


def test_same_seed_same_prices_other_seed_others() -> None:
    one, two, three = (run(Market(seed, "crash", 30.0, START), 20.0) for seed in (5, 5, 6))
    assert one.quotes == two.quotes
    assert one.spots == two.spots
    assert one.quotes != three.quotes


def test_one_underlying_has_one_price() -> None:
    market = run(Market(4, "crash", 30.0, START), 17.0)
    assert market.mark("hyna:BTC") == pytest.approx(market.mark("BTC"), rel=1e-3)
    assert market.spots["@142"] == pytest.approx(market.mark("BTC"), rel=1e-3)
    assert market.borrow_price(150) == sorted((market.spots["@107"], market.mark("HYPE"), market.oracle("HYPE")))[1]


def test_delisted_assets_keep_their_slot_and_never_move() -> None:
    market = Market(4, "crash", 30.0, START)
    slot, before = market.listing.index["MATIC"], market.quotes["MATIC"].mark
    run(market, 17.0)
    assert market.listing.dexs[""].assets[slot].delisted
    assert market.quotes["MATIC"].mark == before
    assert market.quotes["MATIC"].mid is None


def test_fillers_make_a_frame_of_412_contexts() -> None:
    market = Market(1, "calm", 30.0, START, fillers=389)
    assert sum(len(dex.assets) for dex in market.listing.dexs.values()) == 412
    before = {coin: quote.version for coin, quote in market.quotes.items()}
    run(market, 2.0)
    assert all(quote.version > before[coin] for coin, quote in market.quotes.items() if not market.listing.assets[coin].delisted)


def test_listing_a_coin_lengthens_its_dex() -> None:
    market = Market(1, "calm", 30.0, START)
    market.list_asset("xyz", "xyz:NEW", 12.0)
    assert market.listing.dexs["xyz"].assets[-1].coin == "xyz:NEW"
    market.advance(1.0)
    assert market.mark("xyz:NEW") == pytest.approx(12.0, rel=0.02)
    with pytest.raises(ValueError, match="listed already"):
        market.list_asset("xyz", "xyz:NEW", 12.0)


@given(st.floats(1e-6, 1e7), st.integers(0, 5), st.booleans())
def test_prices_are_printed_with_the_venues_precision(price: float, sz_decimals: int, spot: bool) -> None:
    rounded = round_price(price, sz_decimals, spot=spot)
    decimals = (8 if spot else 6) - sz_decimals
    text = f"{rounded:.10f}".rstrip("0").rstrip(".")
    assert len(text.partition(".")[2]) <= decimals
    assert rounded == int(rounded) or len(text.replace(".", "").lstrip("0")) <= 5
    assert abs(rounded - price) <= max(0.5 * 10.0**-decimals, 5e-5 * price) * (1 + 1e-9)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown scenario 'boom'"):
        Market(1, "boom", 30.0, START)
    with pytest.raises(ValueError, match="too short"):
        Market(1, "calm", 5.0, START)
    with pytest.raises(ValueError, match="dt must be positive"):
        Market(1, "calm", 30.0, START).advance(0.0)
    assert set(SCENARIOS) == {"calm", "crash", "squeeze", "vol_spike", "depeg", "iv_outage"}
