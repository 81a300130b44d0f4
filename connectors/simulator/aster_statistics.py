"""What the simulated Aster says of the past: 24 h statistics and daily klines.

Source: Aster API documentation, "24hr Ticker Price Change Statistics" and "Kline/Candlestick Data".
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from connectors.simulator.aster_auth import Refused
from connectors.simulator.aster_exchange import Exchange
from connectors.simulator.aster_listing import Symbol
from connectors.simulator.aster_wire import Json, quantity
from connectors.simulator.daily_history import DAY_MS, Bar, DailyHistory

INTERVAL = "1d"
DEFAULT_LIMIT, MAX_LIMIT = 500, 1500
_VOLUME_PER_CAP = 20.0
_FIRST_TRADE = 6_571_389


def kline_weight(query: Mapping[str, str]) -> int:
    """Request weight of klines by their limit."""
    limit = _limit(query)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


class Statistics:
    """Past and present of every symbol, in its quote asset; the past comes from the market's daily bars."""

    def __init__(self, exchange: Exchange, history: DailyHistory) -> None:
        self._exchange, self._history = exchange, history

    def ticker(self, name: str) -> Json:
        """One symbol of ticker/24hr; what does not trade has no volume."""
        symbol, now = self._exchange.listing.symbols[name], self._exchange.clock()
        bars = self._bars(symbol)
        last, opened = bars[-1].close, bars[-2].close
        average = 0.5 * (last + opened)
        volume = self._volume(symbol, bars[0].close)
        change, decimals = last - opened, symbol.price_precision
        trades = 0 if symbol.frozen else bars[-2].trades
        return {
            "symbol": name,
            "priceChange": f"{change + 0.0:.{decimals}f}",
            "priceChangePercent": f"{100.0 * change / opened:.3f}",
            "weightedAvgPrice": f"{average:.{decimals}f}",
            "prevClosePrice": f"{opened:.{decimals}f}",
            "lastPrice": f"{last:.{decimals}f}",
            "lastQty": quantity(max(10.0**-symbol.quantity_precision, 5e-7 * volume), symbol),
            "openPrice": f"{opened:.{decimals}f}",
            "highPrice": f"{max(last, opened):.{decimals}f}",
            "lowPrice": f"{min(last, opened):.{decimals}f}",
            "volume": quantity(volume, symbol),
            "quoteVolume": f"{volume * average:.2f}",
            "openTime": now - DAY_MS,
            "closeTime": now,
            "firstId": _FIRST_TRADE,
            "lastId": _FIRST_TRADE + trades,
            "count": trades,
        }

    def klines(self, query: Mapping[str, str]) -> list[list[int | str]]:
        """The klines body: those opened from startTime to endTime, of too many the first ones, or without a start the last ones.

        Raises Refused for a missing symbol and for another interval than a day, which this venue has not.
        """
        for parameter in ("symbol", "interval"):
            if not query.get(parameter):
                raise Refused(-1102, f"Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed.")
        if query["interval"] != INTERVAL:
            raise Refused(-1120, "Invalid interval.")
        symbol, limit = self._exchange.listing.symbols[query["symbol"]], _limit(query)
        first, last = (_whole(query, key) for key in ("startTime", "endTime"))
        bars = self._bars(symbol)
        usual = self._volume(symbol, bars[0].close)
        wanted = [b for b in bars if (first is None or first <= b.open_ms) and (last is None or b.open_ms <= last)]
        return [_kline(bar, symbol, usual) for bar in (wanted[-limit:] if first is None else wanted[:limit])]

    def _bars(self, symbol: Symbol) -> list[Bar]:
        factor, mark = symbol.factor, self._exchange.prices.mark(symbol.name)
        rows = self._history.bars(symbol.underlying, mark / factor)
        return [Bar(b.open_ms, factor * b.open, factor * b.high, factor * b.low, factor * b.close, b.activity, b.trades) for b in rows]

    def _volume(self, symbol: Symbol, price: float) -> float:
        """Usual volume of a day, in units of the symbol: the deeper its tiers, the more."""
        share = 0.5 + random.Random(f"aster volume {symbol.name}").random()
        return 0.0 if symbol.frozen else _VOLUME_PER_CAP * symbol.tiers[-1].cap * share / price


def _kline(bar: Bar, symbol: Symbol, usual: float) -> list[int | str]:
    opened, high, low, close = (f"{px:.{symbol.price_precision}f}" for px in (bar.open, bar.high, bar.low, bar.close))
    volume, average = usual * bar.activity, 0.5 * (bar.open + bar.close)
    bought = (quantity(0.5 * volume, symbol), f"{0.5 * volume * average:.2f}", "0")
    totals = (quantity(volume, symbol), bar.open_ms + DAY_MS - 1, f"{volume * average:.2f}", 0 if symbol.frozen else bar.trades)
    return [bar.open_ms, opened, high, low, close, *totals, *bought]


def _whole(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key, "")
    if text and not text.isdigit():
        raise Refused(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed.")
    return int(text) if text else None


def _limit(query: Mapping[str, str]) -> int:
    limit = _whole(query, "limit")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
    return DEFAULT_LIMIT if limit is None else limit
