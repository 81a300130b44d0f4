"""A venue played by hand: answers `info` requests from tables, keeps what was asked, and speaks on the connector's connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, TypeVar

import orjson

from connectors.clock import ManualClock, settle
from connectors.events import Event, FeedState, FeedStatus
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.rest import weight_of
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig
from connectors.memory import HttpRequest, MemoryConnection, MemoryHttpTransport, MemoryWebSocketTransport
from connectors.transport import HttpResponse
from tests.connectors.hyperliquid import hyperliquid_wire as wire

T = TypeVar("T")

MAKER = AccountRef("maker", wire.MAKER)
HEDGER = AccountRef("hedger", wire.HEDGER)
THIRD = AccountRef("third", wire.STRANGER)


class Answers:
    """Answers by request type: a value, or a function of the request's body. `asked` keeps (time ns, body)."""

    def __init__(self, clock: ManualClock) -> None:
        self.asked: list[tuple[int, dict[str, Any]]] = []
        self.failures: list[HttpResponse | Exception] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.wallets: dict[str, Any] = {}
        self.modes: dict[str, Any] = {}
        self.roles: dict[str, Any] = {}
        self.metas: list[Any] = [wire.MAIN_META, wire.XYZ_META, wire.FLX_META]
        self.outcomes: dict[str, Any] = {"outcomes": [], "questions": []}
        self._clock = clock
        self._answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "perpDexs": lambda body: wire.PERP_DEXS,
            "allPerpMetas": lambda body: self.metas,
            "spotMeta": lambda body: wire.SPOT_META,
            "marginTable": lambda body: {"description": "a table the venue does not know"},
            "exchangeStatus": lambda body: {"time": 1_790_000_000_123, "specialStatuses": None},
            "clearinghouseState": lambda body: self.states.get(body["user"], {}).get(body["dex"], wire.state(cash="0.0")),
            "spotClearinghouseState": lambda body: self.wallets.get(body["user"], wire.spot_state()),
            "userAbstraction": lambda body: self.modes.get(body["user"], "default"),
            "userRole": lambda body: self.roles.get(body["user"], {"role": "user"}),
            "outcomeMeta": lambda body: self.outcomes,
            "candleSnapshot": lambda body: wire.candles(body["req"]),
            "allBorrowLendReserveStates": lambda body: [[150, {"oraclePx": "23.99", "ltv": "0.5", "utilization": "0.1"}]],
        }

    def __call__(self, request: HttpRequest) -> HttpResponse:
        body = orjson.loads(request.body)
        self.asked.append((self._clock.monotonic_ns(), body))
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return HttpResponse(200, body=orjson.dumps(self._answers[body["type"]](body)))

    def count(self, kind: str, user: str | None = None) -> int:
        return sum(body["type"] == kind and user in (None, body.get("user")) for _, body in self.asked)

    def heaviest_minute(self) -> int:
        times = [(at, weight_of(body["type"])) for at, body in self.asked]
        return max(sum(w for at, w in times if start <= at < start + 60_000_000_000) for start, _ in times)


class Stage:
    """A connector on memory transports under a clock moved by hand. Leave it with `async with`."""

    def __init__(self, *accounts: AccountRef, clock: ManualClock | None = None, **config: Any) -> None:
        self.clock = clock or ManualClock()
        self.answers = Answers(self.clock)
        self.http = MemoryHttpTransport(self.answers)
        self.sockets = MemoryWebSocketTransport()
        self.events: list[Event] = []
        overrides = {"ip_budget_share": 1.0, **config}
        self.connector = HyperliquidConnector(
            HyperliquidConfig.mainnet(**overrides),
            accounts,
            http=self.http,
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

    def of(self, kind: type[T], account: str | None = None) -> list[T]:
        return [event for event in self.events if isinstance(event, kind) and account in (None, getattr(event, "account", None))]

    def last(self, kind: type[T], account: str | None = None) -> T:
        return self.of(kind, account)[-1]

    def status(self, feed: str, account: str | None = None) -> FeedStatus:
        return [state for state in self.of(FeedState) if (state.feed, state.account) == (feed, account)][-1].status

    def statuses(self, account: str) -> set[FeedStatus]:
        """The last told status of each of the account's feeds."""
        return set({state.feed: state.status for state in self.of(FeedState, account)}.values())

    def connection(self, feed: str) -> MemoryConnection:
        """The newest connection that subscribed to the feed."""
        for connection in reversed(self.sockets.connections):
            if any(request["type"] == feed for request in wire.requests(subscriptions(connection))):
                return connection
        raise AssertionError(f"nobody subscribed to {feed}")

    async def play(self, connection: MemoryConnection, users: Iterable[str] = (), seconds: float = 0.0) -> None:
        """Acknowledge everything, and send each user's state every five seconds."""
        elapsed = 0.0
        while True:
            for request in wire.requests(subscriptions(connection)):
                connection.deliver(wire.acknowledgement(request))
                if request["type"] == "openOrders":
                    connection.deliver(wire.frame("openOrders", {"dex": request["dex"], "user": request["user"], "orders": []}))
            for user in users:
                states = self.answers.states.get(user.lower(), {"": wire.state(cash="1.0")})
                connection.deliver(wire.all_states_frame(user, *states.items()))
                connection.deliver(wire.spot_state_frame(user))
            connection.deliver(b'{"channel":"pong"}')
            await settle()
            if elapsed >= seconds:
                return
            await self.advance(5.0)
            elapsed += 5.0


def subscriptions(connection: MemoryConnection) -> list[bytes]:
    return [frame for frame in connection.sent if b'"subscription"' in frame]
