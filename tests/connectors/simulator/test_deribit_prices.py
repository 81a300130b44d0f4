"""What the simulated Deribit lists and how it prices: its Black-76 against recorded chains, ladders, expiries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.deribit_black import greeks, payoff, price
from connectors.simulator.deribit_listing import FAMILIES, DeribitListing, calendar, date_name, strike_ladder
from connectors.simulator.deribit_venue import DeribitVenue
from connectors.simulator.market import Market

START = 1_790_000_000_000
DAY_MS = 86_400_000


def test_black76_agrees_with_the_recorded_chains(recordings: Path) -> None:
    rows = json.loads((recordings / "deribit" / "black76_golden_cross_venue.json").read_text())["rows"]
    assert len(rows) > 100
    for row in rows:
        years = (row["expiry_ms"] - row["ts_ms"]) / 1000.0 / 86_400.0 / 365.0
        call = row["call_put"] == "C"
        found = greeks(row["forward"], row["strike"], years, row["iv"], call=call)
        truth = row["reference_black76_undiscounted"]
        assert price(row["forward"], row["strike"], years, row["iv"], call=call) == pytest.approx(truth["price"], rel=1e-9, abs=1e-7)
        assert found.delta == pytest.approx(truth["delta"], abs=1e-9)
        assert found.vega == pytest.approx(truth["vega_per_1pct"], rel=1e-9, abs=1e-9)
        if "theta_per_day" in truth and years > 1.0 / 365.0:
            assert found.theta == pytest.approx(truth["theta_per_day"], rel=1e-9, abs=1e-9)


def test_the_recorded_ticker_has_these_greeks(recordings: Path) -> None:
    data = json.loads((recordings / "deribit" / "ws_ticker_option_prod_100ms.json").read_text())["params"]["data"]
    expiry = datetime(2026, 12, 25, 8, tzinfo=UTC).timestamp() * 1000.0
    found = greeks(data["underlying_price"], 76_000.0, (expiry - data["timestamp"]) / 1000.0 / 86_400.0 / 365.0, 0.3825, call=True)
    for name, tolerance in (("delta", 3e-5), ("vega", 1e-2), ("theta", 1e-2), ("rho", 1e-2)):
        assert getattr(found, name) == pytest.approx(data["greeks"][name], abs=tolerance), name


def test_theta_is_of_a_day_or_of_what_is_left_of_it() -> None:
    day = 1.0 / 365.0
    whole, half = (greeks(80_000.0, 80_000.0, years, 0.5, call=True).theta for years in (day, day / 2.0))
    assert half == pytest.approx(whole * 2.0**0.5 / 2.0, rel=1e-3)
    assert greeks(80_000.0, 80_000.0, 0.0, 0.5, call=True).theta == 0.0


@given(st.floats(20_000.0, 150_000.0), st.floats(20_000.0, 150_000.0), st.floats(0.0, 2.0), st.floats(0.05, 5.0))
def test_put_call_parity_and_bounds(forward: float, strike: float, years: float, volatility: float) -> None:
    call, put = (price(forward, strike, years, volatility, call=side) for side in (True, False))
    assert call - put == pytest.approx(forward - strike, abs=1e-7 * forward)
    assert max(forward - strike, 0.0) - 1e-7 * forward <= call <= forward * (1.0 + 1e-9)


def test_payoffs() -> None:
    assert payoff(80_000.0, 100_000.0, call=False, inverse=True) == 0.25
    assert payoff(80_000.0, 100_000.0, call=True, inverse=True) == 0.0
    assert payoff(80.0, 50.0, call=True, inverse=False) == 30.0


def test_the_calendar_is_of_eight_oclocks_that_are_far_enough() -> None:
    stamps = calendar(START)
    assert len(stamps) == 9
    assert stamps == sorted(set(stamps))
    days = [datetime.fromtimestamp(stamp / 1000.0, UTC) for stamp in stamps]
    assert {(day.hour, day.minute) for day in days} == {(8, 0)}
    assert all(day.weekday() == 4 for day in days[3:])
    assert stamps[0] - START >= DAY_MS // 2
    assert date_name(1_798_185_600_000) == "25DEC26"


@given(st.floats(0.5, 200_000.0), st.floats(0.0, 1.0), st.floats(0.2, 1.0), st.integers(4, 60))
def test_ladders_are_even_round_and_around_the_price(middle: float, years: float, volatility: float, count: int) -> None:
    strikes = strike_ladder(middle, years, volatility, count)
    assert len(strikes) == len(set(strikes)) == count
    assert strikes[0] > 0.0
    assert strikes == sorted(strikes)
    assert strikes[0] <= middle <= strikes[-1]


def test_what_is_listed() -> None:
    listing = DeribitVenue(Market(1, "calm", 60.0, START), []).listing
    assert len(listing.chains["btc_usd"]) == len(listing.chains["eth_usd"]) == 400
    assert set(listing.chains) == {"btc_usd", "eth_usd", "sol_usdc", "hype_usdc"}
    soon = [c for c in listing.contracts.values() if c.expiry_ms == START + 36_000]
    assert {c.name.split("-")[1] for c in soon} == {"21SEP26"}
    linear = list(listing.find("USDC", "option"))
    assert {c.family.coin for c in linear} == {"SOL", "HYPE"}
    assert len({c.number for c in listing.contracts.values()}) == len(listing.contracts)


def test_decimal_strikes_a_bench_sized_chain_and_a_date_once() -> None:
    listing = DeribitListing(strikes=51)
    listing.open({"btc_usd": 86_000.0, "eth_usd": 2_700.0, "sol_usdc": 2.0, "hype_usdc": 60.0}, calendar(START), START)
    assert len(listing.chains["btc_usd"]) == 9 * 51 * 2
    assert any("d" in name.split("-")[2] for name in listing.chains["sol_usdc"])
    with pytest.raises(ValueError, match="BTC-25SEP26 is listed already"):
        listing.list_expiry(FAMILIES["BTC"], calendar(START)[3], 86_000.0, START)
    with pytest.raises(ValueError, match="no options of DOGE"):
        listing.nearest("DOGE", START, 1.0, call=True)


def test_prices_are_those_of_the_market() -> None:
    market = Market(1, "depeg", 60.0, START)
    venue = DeribitVenue(market, [])
    for _ in range(300):
        venue.advance(0.1)
    prices = venue.prices
    assert prices.indices["btc_usd"] == pytest.approx(market.index("BTC"), abs=0.01)
    assert prices.indices["usdt_usd"] == pytest.approx(0.95, abs=0.001)
    assert prices.indices["hype_usdc"] == pytest.approx(market.index("HYPE") / market.stablecoin("USDC"), abs=1e-4)
    option = venue.listing.nearest("BTC", START + 30 * DAY_MS, 86_000.0, call=True)
    twin = venue.listing.nearest("BTC", START + 30 * DAY_MS, 86_000.0, call=False)
    call, put = prices.options[option.name], prices.options[twin.name]
    assert call.iv == put.iv == round(call.iv, 4)
    assert call.mark - put.mark == pytest.approx(1.0 - option.strike / call.forward, abs=2e-8)
    assert prices.futures[f"BTC-{option.name.split('-')[1]}"] == call.forward > prices.indices["btc_usd"]
