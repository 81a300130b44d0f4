"""JSON-RPC on one WebSocket without I/O: requests out at the venue's pace, replies matched by id, heartbeats answered, pushes passed on.

Nothing survives the end of a connection but the pause the venue asked for: `closed` forgets every request, and whoever opens the next
connection asks for everything anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import orjson

from connectors.backoff import Backoff, BackoffState
from connectors.deribit.errors import RpcError, TooManyRequests, refusal
from connectors.deribit.settings import VENUE
from connectors.errors import Timeout
from connectors.events import Event, ParseError
from connectors.fields import Obj, WrongShape

NS = 1_000_000_000
PENALTY = Backoff(initial=2.0, maximum=60.0, stable_after=300.0)
LEAST_PENALTY_S = 1.0
MISSED_HEARTBEATS = 2.0
RPC_FEED = "rpc"

_PACES = {"subscribe": (1.5, 5.0), "get_instruments": (0.5, 6.0), "": (8.0, 20.0)}
"""Requests a second, and at once: about half of what the venue allows (venue notes 2.8), as others share the address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: `result`, or the `error` why there is none. `time_ms` is the venue's clock then, 0 where it did not say."""

    result: Any
    error: RpcError | Timeout | None = None
    time_ms: int = 0


OnReply = Callable[[Reply, int], list[Event]]
OnPush = Callable[[str, Any, int], list[Event]]


@dataclass(slots=True)
class _Request:
    method: str
    on_reply: OnReply
    frame: bytes = field(repr=False)
    sent_ns: int | None = None


@dataclass(slots=True)
class _Pace:
    rate: float
    burst: float
    tokens: float
    at_ns: int = 0

    def take(self, now_ns: int) -> bool:
        self.tokens = min(self.burst, self.tokens + self.rate * max(0, now_ns - self.at_ns) / NS)
        self.at_ns = now_ns
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Rpc:
    """The requests and replies of one connection. Times are monotonic nanoseconds.

    `on_push(channel, data, now_ns)` gives the events of a subscription's notification. Set `wake` to `Session.wake`, so that what is
    queued between ticks leaves at once. An `on_reply` or `on_push` may raise `WrongShape`: that becomes a ParseError event, as does any
    frame that makes no sense and any defect of theirs.
    """

    def __init__(self, on_push: OnPush, *, heartbeat_s: float, timeout_s: float, random: Random) -> None:
        self.wake: Callable[[], None] = _nobody
        self.limited = ""
        """Why the connection has to be replaced: the venue told us to slow down and ends the session; "" if not so."""
        self._on_push = on_push
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._ids = count(1)
        self._open = False
        self._now_ns = 0
        self._heard_ns = 0
        self._urgent: list[bytes] = []
        self._queues: dict[str, deque[int]] = {}
        self._requests: dict[int, _Request] = {}
        self._penalty = BackoffState(PENALTY, random)
        self._held_until_ns = 0
        self._paces: dict[str, _Pace] = {}

    def call(self, method: str, params: Obj, on_reply: OnReply, now_ns: int) -> None:
        """Ask the venue; `on_reply(reply, now_ns)` gives the events of what it answers, or of no answer in time.

        Dropped without a connection, and forgotten with it: `on_reply` is then never called.
        """
        if not self._open:
            return
        number, frame = self._frame(method, params)
        self._requests[number] = _Request(method, on_reply, frame)
        self._queues.setdefault(_pace_name(method), deque()).append(number)
        self._now_ns = now_ns
        self.wake()

    def opened(self, now_ns: int) -> None:
        """The connection is up: ask for the venue's heartbeats. What is `call`ed from now on is given out by `outgoing`."""
        self._forget()
        self._open, self._now_ns, self._heard_ns = True, now_ns, now_ns
        self._penalty.connected(now_ns)
        self.call("public/set_heartbeat", {"interval": round(self._heartbeat_s)}, _checked_only, now_ns)

    def closed(self, now_ns: int) -> None:
        """The connection ended: every request is forgotten. Harmless when repeated."""
        self._penalty.closed(now_ns)
        self._forget()

    def outgoing(self) -> list[bytes]:
        """Frames that may be sent now, given out once: heartbeat answers always, requests as the venue's limits allow."""
        frames, self._urgent = self._urgent, []
        if self._now_ns < self._held_until_ns:
            return frames
        for name, queue in self._queues.items():
            pace = self._paces.setdefault(name, _Pace(*_PACES[name], _PACES[name][1], self._now_ns))
            while queue and pace.take(self._now_ns):
                request = self._requests.get(queue.popleft())
                if request is None:
                    continue
                request.sent_ns = self._now_ns
                frames.append(request.frame)
        return frames

    def tick(self, now_ns: int) -> tuple[list[Event], list[bytes]]:
        """The events of requests that were not answered in time, and the frames that may be sent now."""
        self._now_ns = now_ns
        limit_ns = round(self._timeout_s * NS)
        late = [number for number, one in self._requests.items() if one.sent_ns is not None and now_ns - one.sent_ns > limit_ns]
        events: list[Event] = []
        for number in late:
            request = self._requests.pop(number)
            events += self._answered(request, Reply(None, Timeout(f"deribit {request.method}", self._timeout_s)), now_ns)
        return events, self.outgoing()

    def heartbeat(self, now_ns: int) -> bytes:
        """A frame whose answer shows that the connection lives."""
        number, frame = self._frame("public/test", {})
        self._requests[number] = _Request("public/test", _checked_only, frame, now_ns)
        return frame

    def silent(self, now_ns: int) -> bool:
        """Whether nothing came for so long, heartbeats neither, that the connection must be dead."""
        return self._open and now_ns - self._heard_ns > self._heartbeat_s * MISSED_HEARTBEATS * NS

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame. Never raises on bad input."""
        self._now_ns = self._heard_ns = now_ns
        try:
            frame = orjson.loads(data)
        except orjson.JSONDecodeError:
            return [ParseError(VENUE, RPC_FEED, "not_json", now_ns)]
        if not isinstance(frame, dict):
            return [ParseError(VENUE, RPC_FEED, "unknown_frame", now_ns)]
        if frame.get("method") == "subscription":
            return self._pushed(frame.get("params"), now_ns)
        if frame.get("method") == "heartbeat":
            return self._heartbeat(frame.get("params"))
        if "id" in frame and ("result" in frame or "error" in frame):
            return self._replied(frame, now_ns)
        return [ParseError(VENUE, RPC_FEED, "unknown_frame", now_ns)]

    def _pushed(self, params: object, now_ns: int) -> list[Event]:
        channel = params.get("channel") if isinstance(params, dict) else None
        if not isinstance(params, dict) or not isinstance(channel, str):
            return [ParseError(VENUE, RPC_FEED, "unknown_frame", now_ns)]
        return _guarded(lambda: self._on_push(channel, params.get("data"), now_ns), channel, now_ns)

    def _heartbeat(self, params: object) -> list[Event]:
        if isinstance(params, dict) and params.get("type") == "test_request":
            # Outside the pace: the venue closes a connection that does not answer.
            self._urgent.append(self.heartbeat(self._now_ns))
            self.wake()
        return []

    def _replied(self, frame: Obj, now_ns: int) -> list[Event]:
        number = frame["id"]
        request = self._requests.pop(number, None) if isinstance(number, int) else None
        if request is None:
            # The answer to nothing we know of: too late, or an error that names no request.
            error = None if frame.get("error") is None else refusal(frame["error"], "a request")
            events: list[Event] = [ParseError(VENUE, RPC_FEED, "unknown_reply" if error is None else error.kind, now_ns)]
        else:
            error = None if frame.get("error") is None else refusal(frame["error"], request.method)
            out_us = frame.get("usOut")
            events = self._answered(request, Reply(frame.get("result"), error, out_us // 1000 if isinstance(out_us, int) else 0), now_ns)
        if isinstance(error, TooManyRequests):
            self._held_until_ns = now_ns + round(max(LEAST_PENALTY_S, self._penalty.next_delay()) * NS)
            self.limited = str(error)
        return events

    def _answered(self, request: _Request, reply: Reply, now_ns: int) -> list[Event]:
        return _guarded(lambda: request.on_reply(reply, now_ns), request.method, now_ns)

    def _frame(self, method: str, params: Obj) -> tuple[int, bytes]:
        number = next(self._ids)
        return number, orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    def _forget(self) -> None:
        self._open, self.limited = False, ""
        self._urgent.clear()
        self._queues.clear()
        self._requests.clear()


def _guarded(work: Callable[[], list[Event]], feed: str, now_ns: int) -> list[Event]:
    try:
        return work()
    except WrongShape as wrong:
        return [ParseError(VENUE, feed, wrong.kind, now_ns, wrong.detail)]
    except Exception as defect:  # A defect of ours must cost one frame, not the connection.
        return [ParseError(VENUE, feed, "internal", now_ns, type(defect).__name__)]


def _checked_only(reply: Reply, now_ns: int) -> list[Event]:
    return [] if reply.error is None else [ParseError(VENUE, RPC_FEED, reply.error.kind, now_ns, str(reply.error))]


def _pace_name(method: str) -> str:
    # In one queue: a channel is unsubscribed from before it is subscribed to again.
    name = method.partition("/")[2].removeprefix("un")
    return name if name in _PACES else ""


def _nobody() -> None:
    return None
