"""Connections to the simulated Deribit: what each subscribed to, its heartbeat, its credits, its login.

Sans-I/O: a `DeribitClient` is one socket; a server, or a test, passes it texts and drains its frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_wire import dumps
from connectors.simulator.faults import QueuedFrame

_MAX_OUTBOX = 50_000
_REFILL = 10_000.0
_POOLS = {"call": (50_000.0, 500.0), "subscribe": (30_000.0, 3_000.0), "instruments": (500_000.0, 10_000.0)}


class RpcError(Exception):
    """A request that is answered with an error object; `fatal` ones end the session."""

    def __init__(self, code: int, message: str, data: Any = None, *, fatal: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.fatal = code, message, data, fatal


@dataclass(slots=True)
class Login:
    """Who a token belongs to, what it may do and until which venue time."""

    alias: str
    scopes: dict[str, str]
    expires: float
    generation: int


class Credits:
    """The request credits of one connection, in a pool for each kind of call; they come back with time."""

    def __init__(self, now: float) -> None:
        self._left = {pool: (size, now) for pool, (size, _) in _POOLS.items()}

    def spend(self, method: str, now: float) -> bool:
        """Pay for a call; False when the pool cannot."""
        name = method.partition("/")[2]
        pool = "instruments" if name == "get_instruments" else "subscribe" if "subscribe" in name else "call"
        size, cost = _POOLS[pool]
        left, since = self._left[pool]
        left = min(size, left + _REFILL * (now - since)) - cost
        self._left[pool] = (left, now)
        return left >= 0.0


class Api(Protocol):
    """What answers the requests of a connection."""

    def answer(self, client: DeribitClient, method: str, parameters: dict[str, Any]) -> Any:
        """The result. Raises RpcError."""
        ...


class DeribitClient:
    """One connection: `receive` what the client sends, `drain` what the venue sends back. `closed` ones are to be cut."""

    def __init__(self, hub: SessionHub) -> None:
        self.hub = hub
        self.channels: dict[str, None] = {}
        self.seeded: set[str] = set()
        self.login: Login | None = None
        self.credits = Credits(hub.clock())
        self.heartbeat: float | None = None
        self._beat = 0.0
        self._tested: float | None = None
        self._stream, self._kills = hub.faults.stream(), hub.faults.kills
        self._outbox: list[QueuedFrame] = []
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the venue or a fault has ended the connection."""
        return self._closed or self._kills < self.hub.faults.kills

    def receive(self, text: str) -> None:
        """Take one text frame from the client."""
        if self.closed or self.hub.faults.pongs_stopped:
            return
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            self._reply(None, {"error": {"code": -32700, "message": "Parse error"}})
            return
        parameters = request.get("params")
        try:
            result = self._ask(request["method"], parameters if isinstance(parameters, dict) else {})
            self._reply(request.get("id"), {"result": result})
        except RpcError as error:
            body = {"code": error.code, "data": error.data, "message": error.message}
            self._reply(request.get("id"), {"error": {key: value for key, value in body.items() if value is not None or key != "data"}})
            self._closed = self._closed or error.fatal

    def deliver(self, channel: str, text: str) -> None:
        """Take a frame of a channel."""
        self._outbox.append((self.hub.clock(), channel, text))
        if len(self._outbox) > _MAX_OUTBOX:
            self.close()

    def set_heartbeat(self, interval: float | None) -> None:
        """Ask for heartbeats every `interval` seconds from now on; None for none."""
        self.heartbeat, self._beat, self._tested = interval, self.hub.clock(), None

    def beat(self) -> None:
        """Send what the heartbeat has due; end the connection when a test request stayed unanswered for an interval."""
        now = self.hub.clock()
        if self.heartbeat is None or now - self._beat < self.heartbeat:
            return
        self._beat = now
        if self._tested is not None:
            self.close()
        elif not self.hub.faults.heartbeats_stopped:
            self._tested = now
            for kind in ("heartbeat", "test_request"):
                self.deliver("heartbeat", dumps({"params": {"type": kind}, "method": "heartbeat", "jsonrpc": "2.0"}))

    def tested(self) -> None:
        """Take the answer to a test request."""
        if not self.hub.faults.tests_ignored:
            self._tested = None

    def drain(self) -> list[str]:
        """The frames that left since the last call; the last words of a closed connection too, unless a fault cut it."""
        frames, self._outbox = self._outbox, []
        if self._kills < self.hub.faults.kills:
            self.close()
            return []
        return self._stream.pass_on(frames, self.hub.clock())

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        self.hub.clients.discard(self)

    def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        if self.hub.faults.take_too_many() or not self.credits.spend(method, self.hub.clock()):
            raise RpcError(10028, "too_many_requests", fatal=True)
        return self.hub.api.answer(self, method, parameters)

    def _reply(self, number: Any, body: dict[str, Any]) -> None:
        stamp = round(self.hub.clock() * 1e6) + self.hub.start_us
        frame = {"jsonrpc": "2.0", **({} if number is None else {"id": number}), **body}
        text = dumps(frame | {"usIn": stamp, "usOut": stamp + 80, "usDiff": 80, "testnet": self.hub.testnet})
        self._outbox.append((self.hub.clock(), "reply", text))


class SessionHub:
    """Every open connection. `clock` is the venue's time in seconds, `start_us` its stamp at zero in microseconds."""

    def __init__(self, faults: DeribitFaults, clock: Callable[[], float], api: Api, *, start_us: int, testnet: bool) -> None:
        self.faults, self.clock, self.api = faults, clock, api
        self.start_us, self.testnet = start_us, testnet
        self.clients: set[DeribitClient] = set()

    def connect(self) -> DeribitClient:
        """Open a connection."""
        client = DeribitClient(self)
        self.clients.add(client)
        return client

    def topics(self) -> set[str]:
        """Channels somebody listens to."""
        return {channel for client in self.clients for channel in client.channels}

    def publish(self, channel: str, text: str) -> None:
        """Send a frame to all who listen to a channel."""
        for client in list(self.clients):
            if channel in client.channels:
                client.deliver(channel, text)

    def publish_private(self, alias: str, channel: str, text: str, alive: Callable[[Login | None], bool]) -> None:
        """Send a frame to those who listen to a channel of accounts and are logged in as one, while their token lives."""
        for client in list(self.clients):
            if channel in client.channels and client.login is not None and client.login.alias == alias and alive(client.login):
                client.deliver(channel, text)

    def beat(self) -> None:
        """Send due heartbeats."""
        for client in list(self.clients):
            client.beat()
