"""Forwards and marks from `ticker` channels: one option for each wanted expiry, whose forward is that of all options beside it, and
each wanted future and perpetual. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.deribit.messages import TickerFrame, parse_ticker
from connectors.deribit.reference import ExpiryKey, Reference
from connectors.deribit.rpc import NS
from connectors.deribit.settings import VENUE
from connectors.events import Event, Forwards, MarkPrices, ParseError
from connectors.model import Instrument, InstrumentKind

TICKER_PREFIX = "ticker."
OPTION_INTERVAL, MARK_INTERVAL = "agg2", "100ms"
EXPIRY_HOUR = 8
AVOIDED_S = 120.0
"""How long an option that gave no forward is not chosen again."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class Tickers:
    """Which tickers are wanted, and what they say. `channels` maps each channel to its feed.

    A feed of an expiry keeps its name (`ticker.BTC-25DEC26`, `ticker.HYPE_USDC-25DEC26`) whichever option serves it.
    """

    def __init__(self, reference: Reference) -> None:
        self.channels: dict[str, str] = {}
        self.unserved: frozenset[str] = frozenset()
        """Feeds of wanted expiries of which no option trades."""
        self.unsettled = False
        """Whether some choice turned out wrong since the last `plan`."""
        self._reference = reference
        self._chosen: dict[ExpiryKey, str] = {}
        self._keys: dict[str, ExpiryKey] = {}
        self._marked: dict[str, Instrument] = {}
        self._avoided_ns: dict[str, int] = {}

    @property
    def served(self) -> frozenset[ExpiryKey]:
        """The expiries that have an option to read their forward from."""
        return frozenset(self._chosen)

    def plan(self, expiries: Iterable[ExpiryKey], instruments: Iterable[str], interests: Mapping[str, float], now_ns: int) -> None:
        """Choose the channels: for expiries, and for those of the instrument names that are futures or perpetuals.

        `interests` is open interest by name; of an expiry's options the one with most of it is taken, else one at the middle strike. A
        choice stands as long as its option trades and gives forwards.
        """
        self.unsettled = False
        self._avoided_ns = {name: until_ns for name, until_ns in self._avoided_ns.items() if until_ns > now_ns}
        kept = {key: name for key, name in self._chosen.items() if self._serves(name)}
        chosen = {key: kept.get(key) or self._choose(key, interests) for key in expiries}
        self._chosen = {key: name for key, name in chosen.items() if name is not None}
        self.unserved = frozenset(expiry_feed(key) for key in chosen.keys() - self._chosen.keys())
        self._keys = {_channel(name, OPTION_INTERVAL): key for key, name in self._chosen.items()}
        listed = (self._reference.by_name.get(name) for name in sorted(instruments))
        kinds = (InstrumentKind.FUTURE, InstrumentKind.PERPETUAL)
        self._marked = {_channel(one.symbol, MARK_INTERVAL): one for one in listed if one is not None and one.kind in kinds}
        self.channels = {channel: expiry_feed(key) for channel, key in self._keys.items()}
        self.channels |= {channel: f"{TICKER_PREFIX}{one.symbol}" for channel, one in self._marked.items()}

    def avoid(self, channel: str, now_ns: int) -> None:
        """The channel gives nothing: the next `plan` takes another option of its expiry, if there is one."""
        key = self._keys.get(channel)
        if key is not None:
            self._avoided_ns[self._chosen[key]] = now_ns + round(AVOIDED_S * NS)
            self.unsettled = True

    def frame(self, channel: str, data: Any, now_ns: int) -> tuple[list[Event], bool]:
        """What a frame says, and whether it makes sense, so that its feed lives. Raises WrongShape."""
        key, instrument = self._keys.get(channel), self._marked.get(channel)
        if key is None and instrument is None:
            return [], False
        frame = parse_ticker(data)
        if key is not None:
            return self._forward(channel, key, frame, now_ns)
        assert instrument is not None
        if frame.mark <= 0.0 or not frame.is_open:
            return [], False
        feed, time_ms = self.channels[channel], frame.time_ms or None
        return [MarkPrices(VENUE, feed, now_ns, [instrument.id], [frame.mark], [frame.index], [frame.funding], time_ms)], True

    def _forward(self, channel: str, key: ExpiryKey, frame: TickerFrame, now_ns: int) -> tuple[list[Event], bool]:
        feed = self.channels[channel]
        if not frame.is_open:
            self.avoid(channel, now_ns)
            return [], False
        if frame.forward is None:
            self.avoid(channel, now_ns)
            return [ParseError(VENUE, feed, "no_forward", now_ns, f"{frame.name} has no underlying_price")], False
        return [forwards_event(feed, {key: frame.forward}, now_ns)], True

    def _serves(self, name: str) -> bool:
        return self._reference.is_open(name) and name not in self._avoided_ns

    def _choose(self, key: ExpiryKey, interests: Mapping[str, float]) -> str | None:
        options = sorted(self._reference.options(key), key=lambda one: (one.strike, one.symbol))
        if not options:
            return None
        middle, avoided = options[len(options) // 2].strike, self._avoided_ns
        # If all are to be avoided, the one that was for the longest.
        best = max(options, key=lambda one: (-avoided.get(one.symbol, 0), interests.get(one.symbol, 0.0), -abs(one.strike - middle)))
        return best.symbol


def expiry_feed(key: ExpiryKey) -> str:
    """The feed's name of an expiry: its day, and its time of day if that is not the usual one."""
    coin, settle, expiry_ms = key
    day = datetime.fromtimestamp(expiry_ms / 1000, UTC)
    family = coin if coin == settle else f"{coin}_{settle}"
    hour = "" if (day.hour, day.minute) == (EXPIRY_HOUR, 0) else f"-{day:%H%M}"
    return f"{TICKER_PREFIX}{family}-{day.day}{_MONTHS[day.month - 1]}{day.year % 100:02d}{hour}"


def forwards_event(feed: str, forwards: Mapping[ExpiryKey, float], now_ns: int) -> Forwards:
    """Forwards by expiry as an event."""
    return Forwards(
        VENUE,
        feed,
        now_ns,
        [coin for coin, _, _ in forwards],
        [settle for _, settle, _ in forwards],
        [expiry_ms for _, _, expiry_ms in forwards],
        [*forwards.values()],
    )


def _channel(name: str, interval: str) -> str:
    return f"{TICKER_PREFIX}{name}.{interval}"
