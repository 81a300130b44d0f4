"""What the simulated Aster says of the past, and its prices where USDT loses its peg."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from statistics import pstdev
from typing import Any

import pytest

from connectors.simulator.aster import ALIASES, AsterVenue, aster_demo
from connectors.simulator.daily_history import DAY_MS, DAYS
from connectors.simulator.hyperliquid import Market, demo_desk
from connectors.simulator.hyperliquid_desk import DEFAULT_START_MS

MIDNIGHT = DEFAULT_START_MS // DAY_MS * DAY_MS
COLUMNS = {
    "symbol": "s",
    "priceChange": "p",
    "priceChangePercent": "P",
    "weightedAvgPrice": "w",
    "prevClosePrice": "",
    "lastPrice": "c",
    "lastQty": "Q",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
"""Documented key of a REST row -> key of the recorded stream row, which lacks prevClosePrice."""


@pytest.fixture(scope="module")
def venue() -> AsterVenue:
    venue = aster_demo(30.0, scenario="calm", weight_per_minute=10**6)
    for _ in range(50):
        venue.advance(0.1)
    return venue


def ask(venue: AsterVenue, path: str, query: str = "", version: str = "v3") -> Any:
    status, _, body = venue.request("GET", f"/fapi/{version}/{path}", query)
    answer = json.loads(body)
    return answer if status == 200 else (status, answer["code"])


def weight(venue: AsterVenue, path: str, query: str) -> int:
    before = venue.rest.limit.used
    ask(venue, path, query)
    return venue.rest.limit.used - before


def test_tickers_have_the_documented_keys_and_the_recorded_types(venue: AsterVenue, recordings: Path) -> None:
    recorded = json.loads((recordings / "aster" / "ws_24hr_ticker_recorded.json").read_text())
    types = {name: type(recorded[key]) if key else str for name, key in COLUMNS.items()}
    rows = ask(venue, "ticker/24hr")
    assert {row["symbol"] for row in rows} == set(venue.listing.symbols)
    for row in rows:
        assert list(row) == list(COLUMNS)
        assert {key: type(value) for key, value in row.items()} == types
    prices = ("priceChange", "weightedAvgPrice", "lastPrice", "openPrice", "highPrice", "lowPrice")
    assert {len(recorded[COLUMNS[name]].partition(".")[2]) for name in prices} == {5}, "the recorded ones have the symbol's precision"
    btc = next(row for row in rows if row["symbol"] == "BTCUSDT")
    assert {len(btc[name].partition(".")[2]) for name in prices} == {1}


def test_a_ticker_tells_the_mark_the_change_and_a_volume(venue: AsterVenue) -> None:
    row = ask(venue, "ticker/24hr", "symbol=ETHUSDT")
    assert float(row["lastPrice"]) == pytest.approx(venue.prices.mark("ETHUSDT"), abs=0.005)
    assert float(row["priceChange"]) == pytest.approx(float(row["lastPrice"]) - float(row["openPrice"]), abs=0.011)
    assert float(row["quoteVolume"]) == pytest.approx(float(row["volume"]) * float(row["weightedAvgPrice"]), rel=1e-4)
    volumes = {name: float(ask(venue, "ticker/24hr", f"symbol={name}")["quoteVolume"]) for name in ("BTCUSDT", "SOLUSDT", "MATICUSDT")}
    assert volumes["BTCUSDT"] > volumes["SOLUSDT"] > 1e7
    assert volumes["MATICUSDT"] == 0.0
    assert row["closeTime"] - row["openTime"] == DAY_MS
    assert ask(venue, "ticker/24hr", "symbol=ETHUSDT", "v1") == row


def test_weights_are_those_of_the_documentation(venue: AsterVenue) -> None:
    assert weight(venue, "ticker/24hr", "symbol=BTCUSDT") == 1
    assert weight(venue, "ticker/24hr", "") == 40
    for limit, cost in ((1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)):
        assert weight(venue, "klines", f"symbol=BTCUSDT&interval=1d&limit={limit}") == cost
    assert weight(venue, "klines", "symbol=BTCUSDT&interval=1d") == 5


def test_klines_have_the_documented_columns(venue: AsterVenue) -> None:
    rows = ask(venue, "klines", "symbol=SOLUSDT&interval=1d")
    assert len(rows) == DAYS + 1
    for row in rows:
        assert [type(value) for value in row] == [int, str, str, str, str, str, int, str, int, str, str, str]
        opened, high, low, close = map(float, row[1:5])
        assert low <= min(opened, close) <= max(opened, close) <= high
        assert row[6] == row[0] + DAY_MS - 1
        assert float(row[7]) == pytest.approx(float(row[5]) * 0.5 * (opened + close), rel=1e-3)
    assert rows[-1][0] == MIDNIGHT
    assert float(rows[-1][4]) == pytest.approx(venue.prices.mark("SOLUSDT"), abs=5e-5)


def test_klines_are_chosen_by_time_and_limit(venue: AsterVenue) -> None:
    def times(query: str) -> list[int]:
        return [(row[0] - MIDNIGHT) // DAY_MS for row in ask(venue, "klines", f"symbol=BTCUSDT&interval=1d&{query}")]

    assert times("limit=3") == [-2, -1, 0]
    assert times(f"limit=2&startTime={MIDNIGHT - 5 * DAY_MS}") == [-5, -4]
    assert times(f"startTime={MIDNIGHT - 5 * DAY_MS + 1}&endTime={MIDNIGHT - 3 * DAY_MS}") == [-4, -3]
    assert times(f"limit=2&endTime={MIDNIGHT - 1}") == [-2, -1]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("interval=1d", -1102),
        ("symbol=BTCUSDT", -1102),
        ("symbol=BTCUSDT&interval=1h", -1120),
        ("symbol=BTCUSDT&interval=1d&limit=1501", -1130),
        ("symbol=BTCUSDT&interval=1d&startTime=yesterday", -1102),
        ("symbol=NOSUCH&interval=1d", -1121),
    ],
)
def test_bad_kline_queries_are_refused(venue: AsterVenue, query: str, code: int) -> None:
    assert ask(venue, "klines", query) == (400, code)


def test_both_venues_of_a_market_tell_one_past() -> None:
    market, main = demo_desk(30.0)
    venue = aster_demo(30.0, market=market)
    for coin, symbol in (("BTC", "BTCUSDT"), ("kPEPE", "1000PEPEUSDT")):
        body = json.dumps({"type": "candleSnapshot", "req": {"coin": coin, "interval": "1d", "startTime": 0}}).encode()
        candles = [float(row["c"]) for row in json.loads(main.info(body)[2])]
        klines = [float(row[4]) for row in ask(venue, "klines", f"symbol={symbol}&interval=1d")]
        assert klines[:-1] == pytest.approx(candles[:-1], rel=1e-4)
        returns = [math.log(later / earlier) for earlier, later in pairwise(klines[:-1])]
        assert 0.02 < pstdev(returns) < 0.05


def test_prices_in_a_depegged_usdt_are_the_index_divided_by_it() -> None:
    market = Market(7, "depeg", 60.0, DEFAULT_START_MS)
    venue = aster_demo(60.0, market=market, scenario="depeg", mark_interval=0.1)
    lowest = 1.0
    while market.progress < 1.0:
        venue.advance(0.1)
        price, rows = market.stablecoin("USDT"), venue.prices.rows
        lowest = min(lowest, price)
        assert rows["BTCUSDT"].index == pytest.approx(market.index("BTC") / price, rel=1e-12)
        assert rows["BTCUSD1"].index == pytest.approx(market.index("BTC"), rel=1e-12)
        assert venue.prices.collateral["BTC"] == rows["BTCUSDT"].index
        assert venue.prices.collateral["USDT"] == 1.0
        assert all(pool.ratio < 0.85 for alias in ALIASES for pool in venue.figures(alias).values())
    assert 0.94 < lowest < 0.96


@pytest.mark.parametrize("scenario", ["calm", "crash", "squeeze"])
def test_elsewhere_usdt_is_a_dollar(scenario: str) -> None:
    venue = aster_demo(30.0, scenario=scenario, mark_interval=0.1)
    for _ in range(50):
        venue.advance(0.1)
        assert venue.prices.rows["BTCUSDT"].index == round(venue.market.index("BTC"), 8)


def test_margin_stays_in_usdt_through_a_depeg() -> None:
    venue = aster_demo(30.0, scenario="depeg")
    while venue.market.progress < 0.5:
        venue.advance(0.1)
    account = venue.exchange.account("umbra")
    marks = {p.symbol.name: venue.prices.mark(p.symbol.name) for p in account.open_positions()}
    equity = account.wallet["USDT"] + sum(p.amount * (marks[p.symbol.name] - p.entry) for p in account.open_positions())
    assert venue.figures("umbra")["USDT"].equity == pytest.approx(equity, rel=1e-9)
