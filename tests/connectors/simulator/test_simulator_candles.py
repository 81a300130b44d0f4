"""Daily bars of the simulated market, and the candles that Hyperliquid makes of them."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from statistics import pstdev
from typing import Any

import pytest

from connectors.simulator.daily_history import DAY_MS, DAYS, DailyHistory
from connectors.simulator.hyperliquid import HyperliquidVenue, Market

START = 1_790_000_000_000
MIDNIGHT = START // DAY_MS * DAY_MS


def market_at(start_ms: int = START, *, seed: int = 7, scenario: str = "calm") -> Market:
    return Market(seed, scenario, 60.0, start_ms, fillers=2)


def returns(market: Market, underlying: str) -> list[float]:
    closes = [bar.close for bar in DailyHistory(market).bars(underlying, market.index(underlying))[:-1]]
    return [math.log(later / earlier) for earlier, later in pairwise(closes)]


def ask(venue: HyperliquidVenue, **query: Any) -> Any:
    status, _, body = venue.info(json.dumps({"type": "candleSnapshot", "req": {"interval": "1d"} | query}).encode())
    return json.loads(body) if status == 200 else status


@pytest.mark.parametrize("seed", range(5))
def test_the_past_has_the_volatility_meant(seed: int) -> None:
    market = market_at(seed=seed)
    bitcoin = pstdev(returns(market, "BTC"))
    assert bitcoin == pytest.approx(0.025, abs=0.003)
    for coin, beta in (("ETH", 1.2), ("SOL", 1.3), ("HYPE", 1.3), ("kPEPE", 1.6)):
        assert pstdev(returns(market, coin)) / bitcoin == pytest.approx(beta, rel=0.12)
    assert len(returns(market, "BTC")) == DAYS - 1


def test_the_past_depends_on_the_seed_and_nothing_else() -> None:
    one, other = market_at(), market_at(scenario="crash")
    for _ in range(100):
        other.advance(0.1)
    assert returns(one, "BTC") == returns(other, "BTC")
    assert returns(one, "BTC") != returns(market_at(seed=8), "BTC")
    assert returns(one, "BTC") != returns(one, "ETH")


def test_bars_lead_to_the_first_price_and_hang_together() -> None:
    market = market_at()
    bars = DailyHistory(market).bars("BTC", 85_000.0)
    assert [bar.open_ms for bar in bars] == [MIDNIGHT - (DAYS - day) * DAY_MS for day in range(DAYS + 1)]
    assert all(earlier.close == later.open for earlier, later in pairwise(bars))
    assert all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars)
    assert (bars[-1].open, bars[-1].close) == (86_000.0, 85_000.0)


def test_prices_of_the_run_do_not_depend_on_who_asks_for_the_past() -> None:
    asked, silent = market_at(), market_at()
    history = DailyHistory(asked)
    for _ in range(50):
        asked.advance(0.1)
        silent.advance(0.1)
        history.bars("ETH", asked.index("ETH"))
    assert asked.quotes == silent.quotes


def test_a_day_that_ends_becomes_a_bar() -> None:
    market = market_at(MIDNIGHT + DAY_MS - 5_000)
    history = DailyHistory(market)
    market.advance(4.0)
    history.follow()
    assert len(history.bars("BTC", 86_100.0)) == DAYS + 1
    market.advance(2.0)
    history.follow()
    close = market.index("BTC")
    market.advance(30.0)
    history.follow()
    ended, running = history.bars("BTC", 86_200.0)[-2:]
    assert (ended.open_ms, ended.close) == (MIDNIGHT, close)
    assert (running.open_ms, running.open, running.close) == (MIDNIGHT + DAY_MS, close, 86_200.0)


def test_an_unknown_underlying_is_an_error() -> None:
    with pytest.raises(KeyError, match="NOSUCH has no price"):
        DailyHistory(market_at()).bars("NOSUCH", 1.0)


def test_candles_have_the_documented_keys_and_types() -> None:
    # Hyperliquid documentation, "Candle snapshot": times and the count are numbers, the rest is text.
    venue = HyperliquidVenue(market_at(), [])
    kinds = {"t": int, "T": int, "s": str, "i": str, "o": str, "c": str, "h": str, "l": str, "v": str, "n": int}
    candles = ask(venue, coin="BTC", startTime=0, endTime=START)
    assert len(candles) == DAYS + 1
    for row in candles:
        assert {key: type(value) for key, value in row.items()} == kinds
        assert (row["T"] - row["t"], row["s"], row["i"]) == (DAY_MS - 1, "BTC", "1d")
        assert float(row["l"]) <= min(float(row["o"]), float(row["c"])) <= float(row["h"])
        assert float(row["v"]) > 0.0


def test_the_last_candle_is_of_today_at_the_mark() -> None:
    market = market_at(scenario="crash")
    venue = HyperliquidVenue(market, [])
    for _ in range(300):
        venue.advance(0.1)
    last = ask(venue, coin="xyz:XYZ100", startTime=START - DAY_MS)[-1]
    assert last["t"] == MIDNIGHT
    assert float(last["c"]) == market.mark("xyz:XYZ100") < 0.97 * float(last["o"])


def test_candles_overlap_the_time_asked_for() -> None:
    venue = HyperliquidVenue(market_at(), [])
    times = [row["t"] for row in ask(venue, coin="ETH", startTime=MIDNIGHT - 3 * DAY_MS, endTime=MIDNIGHT - DAY_MS - 1)]
    assert times == [MIDNIGHT - 3 * DAY_MS, MIDNIGHT - 2 * DAY_MS]
    assert [row["t"] for row in ask(venue, coin="ETH", startTime=MIDNIGHT - 1)] == [MIDNIGHT - DAY_MS, MIDNIGHT]
    assert ask(venue, coin="ETH", startTime=START + DAY_MS) == []


@pytest.mark.parametrize("query", [{"coin": "NOSUCH", "startTime": 0}, {"coin": "BTC", "startTime": 0, "interval": "1h"}, {"coin": "BTC"}])
def test_bad_queries_are_unprocessable(query: dict[str, Any]) -> None:
    assert ask(HyperliquidVenue(market_at(), []), **query) == 422


def test_candles_cost_the_weight_of_the_notes() -> None:
    venue = HyperliquidVenue(market_at(), [], weight_per_minute=45)
    for _ in range(2):
        assert len(ask(venue, coin="BTC", startTime=0)) < 60
    assert venue.rest.spent_weight() == 40
    assert ask(venue, coin="BTC", startTime=0) == 429
    for _ in range(20):
        venue.advance(86_400.0)
    assert len(ask(venue, coin="BTC", startTime=0)) == 61
    assert venue.rest.spent_weight() == 21
