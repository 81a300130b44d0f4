"""The connector on in-memory sockets, and the venue on the other end of them."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import orjson

from connectors.clock import ManualClock, settle
from connectors.deribit.connector import DeribitConnector
from connectors.deribit.settings import DeribitAccountRef
from connectors.events import Event, FeedStatus
from connectors.memory import MemoryConnection, MemoryWebSocketTransport
from tests.connectors.deribit import deribit_wire as wire
from tests.connectors.deribit import private_venue as private


class Desk:
    """A connector under a clock moved by hand; `answer` plays the public venue on every connection.

    Private requests are answered if `positions` has an entry for the client that logged in on the connection.
    """

    def __init__(self, *accounts: DeribitAccountRef, **overrides: Any) -> None:
        self.clock = ManualClock(time_ms=wire.NOW_MS)
        self.sockets = MemoryWebSocketTransport()
        self.events: list[Event] = []
        self.venue = wire.Stage()
        self.positions: dict[str, list[Any]] = {}
        self.read: dict[int, int] = {}
        self.connector = DeribitConnector(
            wire.config(**overrides), accounts, websocket=self.sockets, clock=self.clock, random=Random(5), sink=self.events.extend
        )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Desk:
        self.task = asyncio.create_task(self.connector.run())
        await settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        await self.connector.stop()
        await self.task

    async def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            await self.clock.advance(0.5)
            await self.answer()

    async def answer(self) -> None:
        for connection in self.sockets.connections:
            for _ in range(6):
                if not self._answer(connection):
                    break
                await settle()

    def _answer(self, connection: MemoryConnection) -> bool:
        done = self.read.get(id(connection), 0)
        for frame in connection.sent[done:]:
            request = orjson.loads(frame)
            reply = self._private(connection, request) if _is_private(request["method"]) else self.venue._reply(request)
            if reply is not None:
                connection.deliver(orjson.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}))
        self.read[id(connection)] = len(connection.sent)
        return len(connection.sent) > done

    def _private(self, connection: MemoryConnection, request: Any) -> dict[str, Any] | None:
        client = next((client for client in self.positions if client.encode() in b"".join(connection.sent)), None)
        if client is None:
            return None
        token = {"access_token": "a", "refresh_token": "r", "expires_in": 900, "scope": private.SAFE, "token_type": "bearer"}
        known = {
            "public/auth": token,
            "private/subscribe": request["params"].get("channels"),
            "private/get_account_summaries": {"type": "main", "summaries": [private.summary()]},
            "private/get_positions": self.positions[client],
            "private/get_open_orders": [],
        }
        return {"result": known[request["method"]]}

    def account(self, client: str) -> MemoryConnection:
        """The newest connection on which that client logged in."""
        return next(one for one in reversed(self.sockets.connections) if client.encode() in b"".join(one.sent))

    def market(self) -> MemoryConnection:
        return next(one for one in reversed(self.sockets.connections) if "instrument.state" in b"".join(one.sent).decode())

    async def push(self, channel: str, data: Any) -> None:
        self.market().deliver(orjson.dumps({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}))
        await settle()

    def status(self, feed: str) -> FeedStatus:
        return next(state.status for state in self.connector.feed_states() if state.feed == feed)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def _is_private(method: str) -> bool:
    return method.startswith("private/") or method == "public/auth"
