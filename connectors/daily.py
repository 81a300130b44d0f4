"""When daily closes are due: after the end of the UTC day, once the venue made its candle."""

from __future__ import annotations

from random import Random

DAY_MS = 86_400_000
CLOSES_DAYS = 30
"""Closes that are loaded of each coin: what a realised volatility of a month needs."""

NOT_LISTED_S = 600.0
"""Seconds after which to look again for a coin that the venue does not list."""

_CANDLE_READY_S = (60.0, 600.0)


def until_tomorrow_s(now_ms: int, random: Random) -> float:
    """Seconds from `now_ms` (ms since 1970) until some minutes after the next UTC midnight."""
    return (DAY_MS - now_ms % DAY_MS) / 1000.0 + random.uniform(*_CANDLE_READY_S)
