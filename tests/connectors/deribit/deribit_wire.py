"""Payloads in Deribit's shapes, and a public venue without I/O that answers a `MarketProtocol`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import orjson

from connectors.clock import ManualClock
from connectors.deribit.protocol import MarketProtocol
from connectors.deribit.reference import Reference
from connectors.deribit.settings import DeribitConfig
from connectors.deribit.venue_time import VenueTime
from connectors.deribit.wishes import Wishes
from connectors.events import Event, FeedState, FeedStatus

T = TypeVar("T")

URL = "wss://deribit.invalid/ws/api/v2"
NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
DEC = 1_798_185_600_000
"""25 December 2026, 08:00 UTC."""
SOON = NOW_MS + 600_000


def config(**overrides: Any) -> DeribitConfig:
    return DeribitConfig(ws_url=URL, **overrides)


def option(name: str, strike: float, *, kind: str = "call", expiry_ms: int = DEC, coin: str = "BTC", settle: str = "", **more: Any) -> Any:
    settle = settle or coin
    inverse = settle == coin
    return {
        "instrument_name": name,
        "kind": "option",
        "option_type": kind,
        "strike": strike,
        "expiration_timestamp": expiry_ms,
        "instrument_type": "reversed" if inverse else "linear",
        "base_currency": coin,
        "settlement_currency": settle,
        "quote_currency": settle,
        "price_index": f"{coin}_{'usd' if inverse else settle}".lower(),
        "contract_size": 1.0,
        "settlement_period": "month",
        "state": "open",
        "is_active": True,
        **more,
    }


def future(name: str, *, coin: str = "BTC", expiry_ms: int | None = None, **more: Any) -> Any:
    perpetual = expiry_ms is None
    return {
        "instrument_name": name,
        "kind": "future",
        "expiration_timestamp": 32_503_708_800_000 if expiry_ms is None else expiry_ms,
        "instrument_type": "reversed",
        "base_currency": coin,
        "settlement_currency": coin,
        "quote_currency": "USD",
        "price_index": f"{coin}_usd".lower(),
        "contract_size": 10.0,
        "max_leverage": 50,
        "settlement_period": "perpetual" if perpetual else "month",
        "state": "open",
        "is_active": True,
        **more,
    }


def chain_names(coin: str, day: str, strikes: range, infix: str = "") -> list[tuple[str, float, str]]:
    return [(f"{coin}{infix}-{day}-{strike}-{side[0].upper()}", float(strike), side) for strike in strikes for side in ("call", "put")]


def listing() -> list[Any]:
    rows = [option(name, strike, kind=side) for name, strike, side in chain_names("BTC", "25DEC26", range(70_000, 90_000, 2_000))]
    rows += [
        option(name, strike, kind=side, expiry_ms=SOON) for name, strike, side in chain_names("BTC", "SOON", range(76_000, 80_000, 2_000))
    ]
    rows += [future("BTC-PERPETUAL"), future("BTC-25DEC26", expiry_ms=DEC)]
    hype = chain_names("HYPE", "25DEC26", range(40, 50, 2), "_USDC")
    rows += [option(name, strike, kind=side, coin="HYPE", settle="USDC") for name, strike, side in hype]
    return rows


def ticker(name: str, **fields: Any) -> Any:
    return {"instrument_name": name, "state": "open", "mark_price": 0.05, "index_price": 80_000.0, "timestamp": NOW_MS, **fields}


class Stage:
    """A market protocol, the venue it talks to, and a clock moved by hand. `refused` channels are not echoed; `faults` replace answers."""

    def __init__(self, **overrides: Any) -> None:
        self.clock = ManualClock(time_ms=NOW_MS)
        self.config = config(**overrides)
        self.reference = Reference()
        self.venue_time = VenueTime(self.clock)
        self.now_ns = self.clock.monotonic_ns()
        self.protocol = MarketProtocol(self.config, self.reference, self.venue_time, Random(3), self.now_ns)
        self.rows = listing()
        self.volatilities: dict[str, float] = {}
        self.summaries: list[Any] = []
        self.subscribed: set[str] = set()
        self.refused: set[str] = set()
        self.faults: dict[str, Callable[[Any], Any]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.events: list[Event] = []
        self.reconnect: str | None = None
        self.mute: set[str] = set()

    @property
    def now_ms(self) -> int:
        return NOW_MS + (self.now_ns - self.clock.monotonic_ns()) // 1_000_000

    def open(self) -> None:
        self.subscribed.clear()
        self._answer(self.protocol.opened(self.now_ns))

    def close(self, reason: str = "lost") -> None:
        self._tell(self.protocol.closed(self.now_ns, reason))

    def wish(self, *instruments: str, coins: tuple[str, ...] = (), expiries: tuple[Any, ...] = ()) -> None:
        self.protocol.wish(Wishes(frozenset(coins), frozenset(instruments), frozenset(expiries)), self.now_ns)
        self._answer(self.protocol.outgoing())

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, with a tick every `step`; every subscribed channel that is not `mute` speaks then."""
        for _ in range(round(seconds / step)):
            self.now_ns += round(step * 1e9)
            tick = self.protocol.tick(self.now_ns)
            self._tell(tick.events)
            self.reconnect = tick.reconnect or self.reconnect
            self._answer(tick.frames)
            self.speak()

    def speak(self) -> None:
        """Every subscribed channel that is not mute says something."""
        for channel in sorted(self.subscribed - self.mute):
            data = self._sample(channel)
            if data is not None:
                self.push(channel, data)

    def _sample(self, channel: str) -> Any:
        kind, _, rest = channel.partition(".")
        if kind == "deribit_price_index":
            return {"index_name": rest, "price": 80_000.0, "timestamp": self.now_ms}
        if kind == "deribit_volatility_index":
            return {"index_name": rest, "volatility": 33.5, "timestamp": self.now_ms}
        if kind == "ticker":
            return ticker(rest.rpartition(".")[0], underlying_price=81_000.0)
        return [] if kind == "markprice" else None

    def push(self, channel: str, data: Any) -> list[Event]:
        return self.frame({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}})

    def frame(self, frame: Any) -> list[Event]:
        events = self.protocol.receive(orjson.dumps(frame), self.now_ns)
        self._tell(events)
        self._answer(self.protocol.outgoing())
        return events

    def chain(self, index: str, **volatilities: float) -> list[Event]:
        rows = [{"instrument_name": name, "iv": iv, "mark_price": 0.05, "timestamp": self.now_ms} for name, iv in volatilities.items()]
        return self.push(f"markprice.options.{index}", rows)

    def whole_chain(self, index: str = "btc_usd", iv: float = 0.4) -> list[Event]:
        names = [row["instrument_name"] for row in self.rows if row["kind"] == "option" and row["price_index"] == index]
        return self.chain(index, **{name: self.volatilities.get(name, iv) for name in names})

    # -- the venue ------------------------------------------------------------------------------------------------------

    def _answer(self, frames: list[bytes]) -> None:
        for frame in frames:
            request = orjson.loads(frame)
            self.asked.append((request["method"], request["params"]))
            reply = {"jsonrpc": "2.0", "id": request["id"], "usOut": self.now_ms * 1000, **self._reply(request)}
            if reply.get("silent"):
                continue
            self.frame(reply)

    def _reply(self, request: Any) -> Any:
        method, params = request["method"], request["params"]
        if method in self.faults:
            return self.faults[method](params)
        if method == "public/subscribe":
            granted = [channel for channel in params["channels"] if channel not in self.refused]
            self.subscribed.update(granted)
            return {"result": granted}
        if method == "public/unsubscribe":
            self.subscribed.difference_update(params["channels"])
            return {"result": params["channels"]}
        if method == "public/get_instruments":
            return {"result": [row for row in self.rows if self._is_of(row, params)]}
        if method == "public/get_book_summary_by_currency":
            names = {row["instrument_name"] for row in self.rows if self._is_of(row, params)}
            return {"result": [row for row in self.summaries if row["instrument_name"] in names]}
        return {"result": {"version": "1.2.26"} if method == "public/test" else "ok"}

    @staticmethod
    def _is_of(row: Any, params: Any) -> bool:
        return bool(row["settlement_currency"] == params["currency"] and row["kind"] == params["kind"])

    def _tell(self, events: list[Event]) -> None:
        self.events += events

    # -- what it told ---------------------------------------------------------------------------------------------------

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def status(self, feed: str) -> FeedStatus:
        return self.state(feed).status

    def state(self, feed: str) -> FeedState:
        return next(state for state in self.protocol.feed_states(self.now_ns) if state.feed == feed)

    def listing_rounds(self) -> int:
        return sum((one["currency"], one["kind"]) == ("USDC", "option") for one in self.calls("public/get_instruments"))

    def calls(self, method: str) -> list[Any]:
        return [params for asked, params in self.asked if asked == method]


def ready(**overrides: Any) -> Stage:
    """A stage that watches BTC: listed, subscribed, its chain whole."""
    stage = Stage(**{"coins": ("BTC",), **overrides})
    stage.open()
    stage.advance(3.0)
    stage.whole_chain()
    return stage
