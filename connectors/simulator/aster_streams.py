"""The WebSocket side of the simulated Aster: listen keys, connections, who gets which frame.

Sans-I/O: an `AsterClient` is one connection; a server, or a test, passes it texts and drains its frames.
"""

from __future__ import annotations

import json
import random
import string
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.simulator.aster_faults import AsterFaults, UserEvents
from connectors.simulator.aster_wire import dumps
from connectors.simulator.faults import QueuedFrame

MESSAGES_PER_SECOND = 10
STREAMS_PER_CONNECTION = 200
_MAX_OUTBOX = 50_000
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(slots=True)
class _Key:
    alias: str
    expires: float


class ListenKeys:
    """Listen keys by account: valid for `life` seconds from the last create or keep-alive, one at a time.

    `deletes` counts DELETE requests, which a reader never sends.
    """

    def __init__(self, clock: Callable[[], float], *, life: float, seed: int) -> None:
        self._clock, self._life, self._rng = clock, life, random.Random(f"aster keys {seed}")
        self._keys: dict[str, _Key] = {}
        self.deletes = 0

    def active(self, alias: str) -> str | None:
        """The account's key that is alive, if any."""
        return next((key for key, row in self._keys.items() if row.alias == alias and row.expires > self._clock()), None)

    def create(self, alias: str) -> str:
        """A new key, or the active one with a new life."""
        key = self.active(alias) or "".join(self._rng.choice(_ALPHABET) for _ in range(64))
        self._keys[key] = _Key(alias, self._clock() + self._life)
        return key

    def extend(self, alias: str) -> bool:
        """Give the account's key a new life; False without an active one."""
        key = self.active(alias)
        if key is not None:
            self._keys[key].expires = self._clock() + self._life
        return key is not None

    def close(self, alias: str) -> bool:
        """Forget the account's key; False without an active one."""
        self.deletes += 1
        key = self.active(alias)
        if key is not None:
            del self._keys[key]
        return key is not None

    def expire(self) -> list[str]:
        """The keys that died since the last call; they are forgotten."""
        dead = [key for key, row in self._keys.items() if row.expires <= self._clock()]
        for key in dead:
            del self._keys[key]
        return dead


class AsterClient:
    """One connection: `receive` what the client sends, `drain` what the venue sends back.

    On a `combined` one data frames are wrapped as {"stream", "data"}. `closed` connections are to be cut.
    """

    def __init__(self, hub: StreamHub, streams: Sequence[str], *, combined: bool) -> None:
        self._hub, self._faults = hub, hub.faults
        self.streams: dict[str, None] = dict.fromkeys(streams)
        self.combined = combined
        self.opened = hub.clock()
        self._stream, self._events = hub.faults.stream(), UserEvents(hub.faults)
        self._kills, self._user_kills = hub.faults.kills, hub.faults.user_kills
        self._outbox: list[QueuedFrame] = []
        self._received: deque[float] = deque(maxlen=MESSAGES_PER_SECOND)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the venue, a fault or its age has ended the connection."""
        killed = self._kills < self._faults.kills or (self._user_kills < self._faults.user_kills and self.is_user)
        return self._closed or killed or self._hub.clock() - self.opened >= self._hub.socket_life

    @property
    def is_user(self) -> bool:
        """Whether it listens to a listen key (any stream name that looks like one)."""
        return any(is_listen_key(stream) for stream in self.streams)

    def receive(self, text: str) -> None:
        """Take one text frame from the client; the eleventh within a second ends the connection."""
        now = self._hub.clock()
        if len(self._received) == MESSAGES_PER_SECOND and now - self._received[0] < 1.0:
            self.close()
        self._received.append(now)
        if not self.closed:
            self._queue("reply", dumps(self._answer(text)))

    def deliver(self, stream: str, feed: str, text: str) -> None:
        """Take a data frame of a stream the client listens to."""
        frame = (self._hub.clock(), feed, f'{{"stream":{dumps(stream)},"data":{text}}}' if self.combined else text)
        if is_listen_key(stream):
            self._events.put(frame)
        else:
            self._outbox.append(frame)
        if len(self._outbox) > _MAX_OUTBOX:
            self.close()

    def drain(self) -> list[str]:
        """The frames that left since the last call; none from a closed connection."""
        now = self._hub.clock()
        frames, self._outbox = [*self._outbox, *self._events.take(now)], []
        if self.closed:
            self.close()
            return []
        return self._stream.pass_on(frames, now)

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        self._hub.clients.discard(self)

    def _queue(self, feed: str, text: str) -> None:
        self._outbox.append((self._hub.clock(), feed, text))

    def _answer(self, text: str) -> dict[str, Any]:
        try:
            request = json.loads(text)
        except ValueError:
            return {"code": 3, "msg": "Invalid JSON: expected value"}
        if not isinstance(request, dict) or type(request.get("id")) is not int or request["id"] < 0:
            return {"code": 2, "msg": "Invalid request: request ID must be an unsigned integer"}
        method, parameters = request.get("method"), request.get("params", [])
        if not isinstance(parameters, list):
            return {"code": 2, "msg": "Invalid request: params must be an array"}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(self.streams), "id": request["id"]}
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return self._property(request["id"], parameters, setting=method == "SET_PROPERTY")
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or not all(isinstance(name, str) for name in parameters):
            return {"code": 2, "msg": "Invalid request: unknown variant or field"}
        for name in parameters:
            if method == "SUBSCRIBE":
                self.streams[name] = None
            else:
                self.streams.pop(name, None)
        if len(self.streams) > STREAMS_PER_CONNECTION:
            self.close()
        return {"result": None, "id": request["id"]}

    def _property(self, number: int, parameters: list[Any], *, setting: bool) -> dict[str, Any]:
        if not parameters or parameters[0] != "combined":
            return {"code": 0, "msg": "Unknown property"}
        if not setting:
            return {"result": self.combined, "id": number}
        if len(parameters) != 2 or not isinstance(parameters[1], bool):
            return {"code": 1, "msg": "Invalid value type: expected Boolean"}
        self.combined = parameters[1]
        return {"result": None, "id": number}


class StreamHub:
    """Every open connection. `clock` is the venue's time in seconds, `socket_life` how long a connection lasts."""

    def __init__(self, faults: AsterFaults, clock: Callable[[], float], *, socket_life: float) -> None:
        self.faults, self.clock, self.socket_life = faults, clock, socket_life
        self.clients: set[AsterClient] = set()

    def connect(self, streams: Sequence[str], *, combined: bool) -> AsterClient:
        """Open a connection with streams subscribed by its address; unknown ones stay silent."""
        client = AsterClient(self, streams, combined=combined)
        self.clients.add(client)
        return client

    def topics(self) -> set[str]:
        """Streams somebody listens to."""
        return {stream for client in self.clients for stream in client.streams}

    def publish(self, stream: str, feed: str, text: str) -> None:
        """Send a frame to all who listen to a stream."""
        for client in list(self.clients):
            if stream in client.streams:
                client.deliver(stream, feed, text)


def is_listen_key(stream: str) -> bool:
    """Whether a stream name has the form of a listen key."""
    return len(stream) == 64 and stream.isalnum()
