"""What a unit of collateral is worth, by the basis that its venue values it on."""

from __future__ import annotations

import math

import pytest

from connectors.events import Instruments, MarkPrices, SpotPrices
from connectors.model import Instrument, InstrumentKind, PriceBasis, Token
from monitor.market import Market

VENUE = "venue"
INSTRUMENTS = tuple(
    Instrument(f"{VENUE}:{symbol}", VENUE, symbol, InstrumentKind.PERPETUAL, coin, "USDT", section)
    for symbol, coin, section in (("BTC", "BTC", ""), ("BTCUSDT", "BTC", "USDT"), ("ETHUSDT", "ETH", "USDT"))
)


def market(*tokens: Token) -> Market:
    found = Market()
    found.load(Instruments(VENUE, INSTRUMENTS, {}, tokens, 0))
    return found


def token(basis: PriceBasis, perpetual: str | None = None) -> Token:
    return Token(VENUE, 0, "WBTC", "BTC", basis=basis, perpetual=perpetual)


def tell(found: Market, symbol: str, mark: float, index: float) -> None:
    found.apply_marks(MarkPrices(VENUE, "feed", 0, [f"{VENUE}:{symbol}"], [mark], [index], [math.nan]))


def test_by_the_median_of_spot_mark_and_index_of_its_coins_main_perpetual() -> None:
    found = market(token(PriceBasis.MEDIAN))
    assert math.isnan(found.asset_price(VENUE, "WBTC"))
    tell(found, "BTC", 100.0, 90.0)
    tell(found, "BTCUSDT", 500.0, 500.0)
    found.apply_spot(SpotPrices(VENUE, "spot", 0, {"WBTC": 95.0}))
    assert found.asset_price(VENUE, "WBTC") == 95.0
    assert found.perpetual_of(VENUE, "WBTC") == f"{VENUE}:BTC"
    assert not found.is_at_par(VENUE, "WBTC")


def test_by_the_index_of_its_perpetual_alone() -> None:
    found = market(token(PriceBasis.INDEX, f"{VENUE}:BTCUSDT"))
    found.apply_spot(SpotPrices(VENUE, "spot", 0, {"WBTC": 95.0}))
    tell(found, "BTC", 100.0, 90.0)
    tell(found, "BTCUSDT", 500.0, math.nan)
    assert math.isnan(found.asset_price(VENUE, "WBTC")), "no mark stands in for an index"
    tell(found, "BTCUSDT", 500.0, 499.0)
    assert found.asset_price(VENUE, "WBTC") == 499.0
    assert found.perpetual_of(VENUE, "WBTC") == f"{VENUE}:BTCUSDT"
    row = found.asset_row(VENUE, "WBTC")
    found.prices.asset_moved[:] = False
    tell(found, "BTCUSDT", 501.0, 499.0)
    assert not found.prices.asset_moved[row]
    tell(found, "BTCUSDT", 501.0, 500.0)
    assert found.prices.asset_moved[row]


def test_an_index_without_a_perpetual_prices_nothing() -> None:
    found = market(token(PriceBasis.INDEX))
    tell(found, "BTC", 100.0, 90.0)
    assert math.isnan(found.asset_price(VENUE, "WBTC"))
    assert found.perpetual_of(VENUE, "WBTC") is None


def test_at_par() -> None:
    found = market(token(PriceBasis.PAR, f"{VENUE}:BTCUSDT"))
    tell(found, "BTCUSDT", 100.0, 90.0)
    assert found.asset_price(VENUE, "WBTC") == 1.0
    assert found.perpetual_of(VENUE, "WBTC") is None
    assert found.is_at_par(VENUE, "WBTC")


@pytest.mark.parametrize("basis", list(PriceBasis))
def test_reference_data_that_change_the_basis_count_at_once(basis: PriceBasis) -> None:
    found = market()
    tell(found, "BTC", 100.0, 90.0)
    tell(found, "BTCUSDT", 500.0, 499.0)
    assert math.isnan(found.asset_price(VENUE, "WBTC"))
    found.load(Instruments(VENUE, INSTRUMENTS, {}, (token(basis, f"{VENUE}:BTCUSDT"),), 0))
    assert found.asset_price(VENUE, "WBTC") == {PriceBasis.MEDIAN: 95.0, PriceBasis.INDEX: 499.0, PriceBasis.PAR: 1.0}[basis]


@pytest.mark.parametrize("index", [math.nan, 90.0])
@pytest.mark.parametrize("funding_ms", [None, 0, 5])
def test_one_mark_alone_is_written_as_among_others(index: float, funding_ms: int | None) -> None:
    alone, among = market(), market()
    names = [f"{VENUE}:ETHUSDT", f"{VENUE}:BTC"]
    marks, indices, funding = [7.0, 100.0], [7.0, index], [0.5, math.nan]
    for one, count in ((alone, 1), (among, 2)):
        one.apply_marks(MarkPrices(VENUE, "feed", 1, names, [7.0, 90.0], [6.0, 80.0], [0.1, 0.2], funding_times=[1, 2]))
        one.prices.mark_moved[:] = False
        times = None if funding_ms is None else [0, funding_ms][-count:]
        told = names[-count:], marks[-count:], indices[-count:], funding[-count:]
        one.apply_marks(MarkPrices(VENUE, "feed", 2, *told, funding_times=times))
    row = alone.row(f"{VENUE}:BTC")
    assert row == among.row(f"{VENUE}:BTC")
    for one in (alone, among):
        assert (one.mark(f"{VENUE}:BTC"), one.index[row], one.funding[row]) == (100.0, 80.0 if math.isnan(index) else index, 0.2)
        assert one.funding_time[row] == (funding_ms or 2)
        assert one.prices.mark_moved[row]
        assert one.silent([f"{VENUE}:BTC"], 1_000_000_002, 1.0, delta_alive=False) is None
