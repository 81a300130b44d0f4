"""Payloads of accounts in Deribit's shapes, and a private venue without I/O that answers a `PrivateProtocol`."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import orjson

from connectors.clock import ManualClock
from connectors.deribit.private import PrivateProtocol
from connectors.deribit.reference import Part, Reference, parse_listing
from connectors.deribit.settings import DeribitAccountRef, DeribitConfig
from connectors.deribit.venue_time import VenueTime
from connectors.events import Event, FeedStatus

T = TypeVar("T")

ALIAS = "noctua"
CLIENT_ID, CLIENT_SECRET = "dummyId0", "dummySecretOfNobody"
NOW_MS = 1_790_000_000_000
DEC = 1_798_185_600_000
SAFE = "connection account:read trade:read mainaccount"
CALL, LINEAR, PERPETUAL = "BTC-25DEC26-76000-C", "SOL_USDC-25DEC26-200-C", "BTC-PERPETUAL"


def summary(currency: str = "BTC", model: str = "segregated_sm", **more: Any) -> dict[str, Any]:
    """A wallet that holds nothing but 2 of its currency, unless told otherwise."""
    return {
        "currency": currency,
        "margin_model": model,
        "equity": 2.0,
        "balance": 2.0,
        "margin_balance": 2.0,
        "initial_margin": 0.0,
        "maintenance_margin": 0.0,
        "available_funds": 2.0,
        "options_value": 0.0,
        "delta_total": 0.0,
        "delta_total_map": {},
        "options_gamma_map": {},
        "options_vega_map": {},
        "futures_session_rpl": 0.0,
        "futures_session_upl": 0.0,
        **more,
    }


def totals(equity: float, balance: float, maintenance: float) -> dict[str, float]:
    """The USD totals that every wallet of a cross model repeats."""
    return {
        "total_equity_usd": equity,
        "total_margin_balance_usd": balance,
        "total_initial_margin_usd": 1.25 * maintenance,
        "total_maintenance_margin_usd": maintenance,
        "total_delta_total_usd": 0.0,
    }


def position(name: str = CALL, size: float = -3.0, mark: float = 0.05, **more: Any) -> dict[str, Any]:
    """A position; a size below 0 is sold."""
    return {
        "instrument_name": name,
        "kind": "future" if name == PERPETUAL else "option",
        "direction": "buy" if size > 0 else "sell" if size < 0 else "zero",
        "size": size,
        "average_price": 0.04,
        "mark_price": mark,
        "index_price": 80_000.0,
        "delta": 0.5 * size,
        "gamma": 1e-5 * size,
        "vega": 100.0 * size,
        **more,
    }


def order(number: str = "BTC-1", amount: float = 2.0, **more: Any) -> dict[str, Any]:
    """A resting order to buy."""
    return {
        "order_id": number,
        "instrument_name": CALL,
        "direction": "buy",
        "amount": amount,
        "filled_amount": 0.5,
        "price": 0.03,
        "order_state": "open",
        "order_type": "limit",
        "reduce_only": False,
        **more,
    }


def listed() -> Reference:
    """The reference of a BTC call, a SOL call of ten coins a contract, and the BTC perpetual."""
    common = {"state": "open", "is_active": True, "expiration_timestamp": DEC, "settlement_period": "month"}
    btc = {
        "instrument_type": "reversed",
        "base_currency": "BTC",
        "settlement_currency": "BTC",
        "price_index": "btc_usd",
        "contract_size": 1.0,
    }
    sol = {
        "instrument_type": "linear",
        "base_currency": "SOL",
        "settlement_currency": "USDC",
        "price_index": "sol_usdc",
        "contract_size": 10.0,
    }
    option = {"kind": "option", "option_type": "call"}
    reference = Reference()
    parts: dict[tuple[str, str], Part] = {
        ("BTC", "option"): parse_listing([{**common, **btc, **option, "instrument_name": CALL, "strike": 76_000.0}]),
        ("USDC", "option"): parse_listing([{**common, **sol, **option, "instrument_name": LINEAR, "strike": 200.0}]),
        ("BTC", "future"): parse_listing(
            [{**common, **btc, "kind": "future", "instrument_name": PERPETUAL, "settlement_period": "perpetual"}]
        ),
    }
    reference.replace(parts)
    return reference


class PrivateVenue:
    """A protocol and the venue it talks to. `answers` is method -> result, or a function of the parameters; `errors` method -> code.

    A request of a method in `mute` stays unanswered. `asked` are all requests so far as (method, params).
    """

    def __init__(self, *, allow_unsafe: bool = False, reference: Reference | None = None, **config: Any) -> None:
        self.clock = ManualClock(time_ms=NOW_MS)
        self.scope, self.token_life = SAFE, 900
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.errors: dict[str, int] = {}
        self.mute: set[str] = set()
        self.summaries: list[Any] = [summary()]
        self.positions: list[Any] = []
        self.orders: list[Any] = []
        self.ref = DeribitAccountRef(ALIAS, CLIENT_ID, CLIENT_SECRET, allow_unsafe)
        self.protocol = PrivateProtocol(
            self.ref, DeribitConfig("wss://deribit.invalid", **config), reference or listed(), VenueTime(self.clock), Random(3), self.now_ns
        )
        self.reconnects: list[str] = []
        """Why the protocol asked for a new connection."""
        self._held: list[dict[str, Any]] = []

    @property
    def now_ns(self) -> int:
        """The receive clock."""
        return self.clock.monotonic_ns()

    def connect(self) -> list[Event]:
        """Open the connection and answer until nobody asks more."""
        return [*self._serve(self.protocol.opened(self.now_ns)), *self.pass_time(0.0)]

    def lose(self, reason: str = "gone") -> list[Event]:
        """The connection ends."""
        self._held.clear()
        return self.protocol.closed(self.now_ns, reason)

    def pass_time(self, seconds: float, *, step: float = 1.0) -> list[Event]:
        """Let time pass in steps of a tick; requests are answered at once."""
        events: list[Event] = []
        left = seconds
        while True:
            tick = self.protocol.tick(self.now_ns)
            events += [*tick.events, *self._serve(tick.frames)]
            self.reconnects += [] if tick.reconnect is None else [tick.reconnect]
            if left <= 0.0:
                return events
            self.clock.shift(min(step, left))
            left -= step

    def push(self, channel: str, data: Any) -> list[Event]:
        """The venue sends a notification."""
        frame = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
        return self.receive(frame)

    def receive(self, frame: Any) -> list[Event]:
        """The venue sends any frame."""
        return [*self.protocol.receive(orjson.dumps(frame), self.now_ns), *self._serve(self.protocol.outgoing())]

    def release(self) -> list[Event]:
        """Answer what was held back by `mute`."""
        self.mute.clear()
        held, self._held = self._held, []
        return [event for request in held for event in self._answer(request)]

    def methods(self) -> list[str]:
        """The methods asked for so far."""
        return [method for method, _ in self.asked]

    def times(self, method: str) -> int:
        """How often a method was asked for."""
        return self.methods().count(method)

    def private_calls(self) -> list[str]:
        """Private methods asked for so far."""
        return [method for method in self.methods() if method.startswith("private/")]

    def status(self) -> FeedStatus:
        """State of the account's feed."""
        return self.protocol.feed_states(self.now_ns)[0].status

    def _serve(self, frames: list[bytes]) -> list[Event]:
        events: list[Event] = []
        queue = list(frames)
        while queue:
            request = orjson.loads(queue.pop(0))
            self.asked.append((request["method"], request["params"]))
            if request["method"] in self.mute:
                self._held.append(request)
                continue
            events += self._answer(request)
            queue += self.protocol.outgoing()
        return events

    def _answer(self, request: dict[str, Any]) -> list[Event]:
        method, stamp = request["method"], 1000 * self.clock.time_ms()
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"], "usIn": stamp, "usOut": stamp, "usDiff": 0, "testnet": True}
        if method in self.errors:
            reply["error"] = {"code": self.errors[method], "message": "refused", "data": {"reason": "because"}}
        else:
            reply["result"] = self._result(method, request["params"])
        return self.protocol.receive(orjson.dumps(reply), self.now_ns)

    def _result(self, method: str, params: dict[str, Any]) -> Any:
        if method == "public/auth":
            scope = params.get("scope", "") if "account:read" in params.get("scope", "") else self.scope
            return {
                "access_token": "dummyAccess",
                "refresh_token": f"dummyRefresh{self.times(method)}",
                "expires_in": self.token_life,
                "scope": scope,
                "token_type": "bearer",
            }
        known: dict[str, Any] = {
            "private/subscribe": params.get("channels"),
            "private/get_account_summaries": {"type": "main", "summaries": self.summaries},
            "private/get_positions": self.positions,
            "private/get_open_orders": self.orders,
            "public/test": {"version": "1.2.26"},
        }
        return known.get(method, "ok")


def of(kind: type[T], events: list[Event]) -> list[T]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def last(kind: type[T], events: list[Event], where: Callable[[T], bool] = lambda event: True) -> T:
    """The last event of a kind."""
    return [event for event in of(kind, events) if where(event)][-1]
