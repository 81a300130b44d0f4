"""`candleSnapshot` of the simulated venue: daily candles of its perpetuals.

Source: Hyperliquid documentation, "Candle snapshot".
"""

from __future__ import annotations

from connectors.simulator.daily_history import DAY_MS, Bar, DailyHistory
from connectors.simulator.hyperliquid_listing import Asset
from connectors.simulator.hyperliquid_wire import Json, num
from connectors.simulator.market import Market, round_price

INTERVAL = "1d"


def candles(market: Market, history: DailyHistory, query: Json) -> list[Json]:
    """Candles of `coin` that overlap `startTime` to `endTime` (default now), oldest first; the day that runs is the last one.

    Raises KeyError for an unknown coin and ValueError for another interval than a day, which this venue has not.
    """
    if query["interval"] != INTERVAL:
        raise ValueError(f"the simulated venue has daily candles only, not {query['interval']!r}: ask for {INTERVAL}")
    asset = market.listing.assets[query["coin"]]
    start, end = int(query["startTime"]), query.get("endTime")
    last = market.now_ms if end is None else int(end)
    bars = history.bars(asset.underlying, market.mark(asset.coin))
    base = market.quotes[asset.coin].day_base
    return [_candle(asset, bar, base * bar.activity) for bar in bars if start < bar.open_ms + DAY_MS and bar.open_ms <= last]


def _candle(asset: Asset, bar: Bar, volume: float) -> Json:
    opened, high, low, close = (num(round_price(px, asset.sz_decimals)) for px in (bar.open, bar.high, bar.low, bar.close))
    return {
        "t": bar.open_ms,
        "T": bar.open_ms + DAY_MS - 1,
        "s": asset.coin,
        "i": INTERVAL,
        "o": opened,
        "c": close,
        "h": high,
        "l": low,
        "v": num(round(volume, asset.sz_decimals)),
        "n": bar.trades,
    }
