"""A venue played by hand: answers REST from what the test says accounts hold, and speaks on the connector's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson

from connectors.aster.connector import AsterConnector
from connectors.aster.rest import PUBLIC, V1, V3
from connectors.aster.settings import AgentKey, AsterAccountRef
from connectors.clock import ManualClock, settle
from connectors.events import Event, FeedState, FeedStatus
from connectors.memory import HttpRequest, MemoryConnection, MemoryWebSocketTransport
from connectors.transport import HttpResponse
from tests.connectors.aster import aster_wire as wire

T = TypeVar("T")

MAKER = AsterAccountRef("maker", wire.USER, AgentKey(wire.PRIVATE_KEY))
HEDGER = AsterAccountRef("hedger", "0x" + "b2" * 20, AgentKey(wire.PRIVATE_KEY))


@dataclass
class Holdings:
    """What an account holds, and what the venue says of its key. `key` counts the listen keys it was given."""

    assets: list[Any] = field(default_factory=lambda: [wire.asset("USDT", "1000.0")])
    positions: list[Any] = field(default_factory=list)
    multi_assets: bool = False
    hedge_mode: bool = False
    orders: list[Any] = field(default_factory=list)
    agents: list[Any] = field(default_factory=lambda: [wire.agent()])
    key: int = 1
    keeps: int = 0

    @property
    def listen_key(self) -> str:
        return f"{self.key:04d}" + wire.LISTEN_KEY

    def body(self) -> dict[str, Any]:
        return wire.account(self.assets, self.positions)

    def risk(self) -> list[Any]:
        return [wire.risk(row["symbol"], row["positionAmt"], side=row["positionSide"], price="40000") for row in self.positions]


class Stage:
    """A connector on memory transports under a clock moved by hand. Leave it with `async with`.

    `refuse` answers every request, or those of some paths, so instead of truthfully (None: truthfully again).
    """

    def __init__(self, *accounts: AsterAccountRef, clock: ManualClock | None = None, **config: Any) -> None:
        self.clock = clock or ManualClock(time_ms=wire.NOW_MS)
        self.venue = wire.Venue(self.clock)
        self.sockets = MemoryWebSocketTransport()
        self.events: list[Event] = []
        self.holdings = {ref.alias: Holdings() for ref in accounts}
        self._aliases = {(ref.user or "").lower(): ref.alias for ref in accounts}
        self._failures: dict[str, Any] = {}
        self.asked: list[tuple[int, str, str]] = []
        self.venue.table |= self._table()
        self.connector = AsterConnector(
            wire.config(**config),
            accounts,
            http=self.venue.http,
            websocket=self.sockets,
            clock=self.clock,
            random=Random(7),
            sink=self.events.extend,
        )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Stage:
        self.task = asyncio.create_task(self.connector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        await self.connector.stop()
        await self.task

    async def advance(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            await self.clock.advance(step)

    # -- the venue's REST -----------------------------------------------------------------------------------------------

    def refuse(self, answer: Any, *paths: str) -> None:
        """Answer so from now on: a payload, a response, an exception. Paths as in `listenKey`, none: all."""
        if answer is None:
            self._failures.clear()
        else:
            self._failures.update(dict.fromkeys(paths or ("",), answer))

    def _table(self) -> dict[str, Callable[[HttpRequest], Any]]:
        public: dict[str, Callable[[], Any]] = {
            "time": lambda: {"serverTime": self.clock.time_ms() + self.venue.ahead_ms},
            "exchangeInfo": wire.exchange_info,
            "fundingInfo": lambda: wire.FUNDING,
            "premiumIndex": lambda: [wire_premium("BTCUSDT", "60000")],
            "ticker/24hr": lambda: [ticker("BTCUSDT", "1200000.5"), ticker("ETHUSDT", "30000"), ticker("NEWUSDT", "1")],
            "klines": lambda: klines(self.clock.time_ms() + self.venue.ahead_ms),
        }
        of_account: dict[str, Callable[[Holdings], Any]] = {
            "accountWithJoinMargin": lambda held: held.body(),
            "positionRisk": lambda held: held.risk(),
            "multiAssetsMargin": lambda held: {"multiAssetsMargin": held.multi_assets},
            "positionSide/dual": lambda held: {"dualSidePosition": held.hedge_mode},
            "openOrders": lambda held: held.orders,
            "adlQuantile": lambda held: [{"symbol": row["symbol"], "adlQuantile": {"BOTH": 2}} for row in held.positions],
            "leverageBracket": lambda held: wire.BRACKETS,
            "agent": lambda held: held.agents,
        }

        def public_answer(name: str) -> Callable[[HttpRequest], Any]:
            return self._answering(name, lambda request: public[name]())

        def account_answer(name: str) -> Callable[[HttpRequest], Any]:
            return self._answering(name, lambda request: of_account[name](self._of(request)))

        table = {f"GET /fapi/v3/{name}": public_answer(name) for name in public}
        for name in of_account:
            old = {"accountWithJoinMargin": "v4/account", "positionRisk": "v2/positionRisk"}.get(name, f"v1/{name}")
            table |= dict.fromkeys((f"GET /fapi/v3/{name}", f"GET /fapi/{old}"), account_answer(name))
        for version in ("v3", "v1"):
            table[f"POST /fapi/{version}/listenKey"] = self._answering("listenKey", self._create)
            table[f"PUT /fapi/{version}/listenKey"] = self._answering("listenKey", self._keep)
        return table

    def _answering(self, name: str, answer: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
        def run(request: HttpRequest) -> Any:
            self.asked.append((self.clock.monotonic_ns(), request.method, urlsplit(request.url).path))
            failure = self._failures.get(name, self._failures.get(""))
            if isinstance(failure, Exception):
                raise failure
            return answer(request) if failure is None else failure

        return run

    def _of(self, request: HttpRequest) -> Holdings:
        user = dict(wire.sent_pairs(request)).get("user", "")
        return self.holdings[self._aliases[user.lower()]]

    def _create(self, request: HttpRequest) -> Any:
        return {"listenKey": self._of(request).listen_key}

    def _keep(self, request: HttpRequest) -> Any:
        held = self._of(request)
        if dict(wire.sent_pairs(request)).get("listenKey", held.listen_key) != held.listen_key:
            return HttpResponse(400, body=orjson.dumps(wire.error(-1125)))
        held.keeps += 1
        return {}

    def count(self, name: str, method: str = "GET") -> int:
        return sum(one == method and path.endswith(f"/{name}") for _, one, path in self.asked)

    def heaviest_minute(self) -> int:
        weights = {**{("GET", path): weight for path, weight in PUBLIC.items()}, **V3, **V1}
        spent = [(at, weights[method, path]) for at, method, path in self.asked]
        return max(sum(weight for at, weight in spent if start <= at < start + 60_000_000_000) for start, _ in spent)

    # -- the venue's streams --------------------------------------------------------------------------------------------

    def market(self) -> MemoryConnection:
        return next(one for one in reversed(self.sockets.connections) if "markPrice" in one.url)

    def users(self, alias: str) -> list[MemoryConnection]:
        return [one for one in self.sockets.connections if one.url.endswith(wire.LISTEN_KEY) and self._listens(one, alias)]

    def user(self, alias: str = "maker") -> MemoryConnection:
        return self.users(alias)[-1]

    def _listens(self, connection: MemoryConnection, alias: str) -> bool:
        # One account a test where streams matter; several share the form of their keys.
        return len(self.holdings) == 1 or connection.url.endswith(self.holdings[alias].listen_key)

    async def push(self, alias: str, *frames: dict[str, Any]) -> None:
        for frame in frames:
            self.user(alias).deliver(orjson.dumps(frame))
        await settle()

    async def marks(self, seconds: float, **prices: str) -> None:
        """Send a frame of marks a second."""
        for _ in range(round(seconds)):
            rows = [mark_row(symbol, price, self.clock.time_ms()) for symbol, price in prices.items()]
            self.market().deliver(orjson.dumps(rows))
            await self.advance(1.0)

    # -- what the connector told ----------------------------------------------------------------------------------------

    def of(self, kind: type[T], account: str | None = None) -> list[T]:
        return [event for event in self.events if isinstance(event, kind) and account in (None, getattr(event, "account", None))]

    def last(self, kind: type[T], account: str | None = None) -> T:
        return self.of(kind, account)[-1]

    def state(self, feed: str, account: str | None = None) -> FeedState:
        return [state for state in self.of(FeedState) if (state.feed, state.account) == (feed, account)][-1]

    def status(self, feed: str, account: str | None = None) -> FeedStatus:
        return self.state(feed, account).status


def wire_premium(symbol: str, mark: str, at_ms: int = wire.NOW_MS) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "markPrice": mark,
        "indexPrice": mark,
        "estimatedSettlePrice": mark,
        "lastFundingRate": "0.0001",
        "nextFundingTime": at_ms + 3_600_000,
        "interestRate": "0.0001",
        "time": at_ms,
    }


def ticker(symbol: str, quote_volume: str) -> dict[str, Any]:
    prices = dict.fromkeys(
        ("priceChange", "weightedAvgPrice", "lastPrice", "lastQty", "openPrice", "highPrice", "lowPrice", "volume"), "1.0"
    )
    return {"symbol": symbol, **prices, "quoteVolume": quote_volume, "openTime": 1, "closeTime": 2, "firstId": 1, "lastId": 2, "count": 3}


def klines(now_ms: int, days: int = 3) -> list[list[Any]]:
    """Daily candles, the last one still running; they close at 100, 101, ..."""
    today = now_ms - now_ms % 86_400_000
    opens = [today - 86_400_000 * back for back in reversed(range(days + 1))]
    return [[at, "1", "2", "0.5", str(100 + n), "7", at + 86_399_999, "9", 4, "1", "1", "0"] for n, at in enumerate(opens)]


def mark_row(symbol: str, mark: str, at_ms: int) -> dict[str, Any]:
    return {"e": "markPriceUpdate", "E": at_ms, "s": symbol, "p": mark, "P": mark, "i": mark, "r": "0.0001", "T": at_ms + 3_600_000}


def account_update(
    at_ms: int,
    *,
    balances: dict[str, str] | None = None,
    positions: list[dict[str, Any]] | None = None,
    reason: str = "ORDER",
    event_ms: int | None = None,
) -> dict[str, Any]:
    rows = [{"a": name, "wb": wallet, "cw": wallet, "bc": "0"} for name, wallet in (balances or {}).items()]
    body = {"m": reason, "B": rows, "P": positions or []}
    return {"e": "ACCOUNT_UPDATE", "T": at_ms, "E": at_ms + 2 if event_ms is None else event_ms, "a": body}


def pushed(symbol: str, amount: str, entry: str = "60000", *, side: str = "BOTH", mode: str = "cross", wallet: str = "0") -> dict[str, Any]:
    flat = float(amount) == 0.0
    row = {"s": symbol, "pa": amount, "ep": "0.00000" if flat else entry, "cr": "0", "up": "0", "mt": mode, "iw": wallet}
    return {**row, "ps": side, "ma": "USDT"}


def config_update(at_ms: int, **what: Any) -> dict[str, Any]:
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": at_ms + 1, "T": at_ms, **what}


def forbidden(stage: Stage) -> list[tuple[str, str]]:
    """Requests that a read-only program does not make."""
    allowed = {*V3, *V1, *(("GET", path) for path in PUBLIC)}
    made = {(request.method, urlsplit(request.url).path) for request in stage.venue.requests}
    return sorted(made - allowed)
