"""JSON-RPC without I/O: matching, pace, time-outs, heartbeats, refusals, secrets."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest

from connectors.deribit import errors
from connectors.deribit.rpc import Reply, Rpc
from connectors.errors import Timeout
from connectors.events import Event, ParseError
from connectors.fields import WrongShape

NS = 1_000_000_000
START = 1_000 * NS


class Line:
    """An Rpc, what it sent, and what came back."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, Any]] = []
        self.replies: list[Reply] = []
        self.woken = 0
        self.rpc = Rpc(self._push, heartbeat_s=15, timeout_s=10.0, random=Random(1))
        self.rpc.wake = self._wake
        self.rpc.opened(START)
        self.sent()

    def _push(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        self.pushed.append((channel, data))
        return []

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, method: str, now_ns: int = START, **params: Any) -> None:
        self.rpc.call(method, params, self._replied, now_ns)

    def _replied(self, reply: Reply, now_ns: int) -> list[Event]:
        self.replies.append(reply)
        return []

    def sent(self) -> list[Any]:
        return [orjson.loads(frame) for frame in self.rpc.outgoing()]

    def receive(self, frame: Any, now_ns: int = START) -> list[Event]:
        return self.rpc.receive(frame if isinstance(frame, bytes) else orjson.dumps(frame), now_ns)


def error(number: int, code: int, **data: str) -> Any:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": "words of the venue", "data": data or None}}


def test_asks_for_heartbeats_first() -> None:
    rpc = Rpc(lambda channel, data, now_ns: [], heartbeat_s=15, timeout_s=10.0, random=Random(1))
    rpc.call("public/test", {}, lambda reply, now_ns: [], START)
    assert rpc.outgoing() == []  # nothing without a connection
    rpc.opened(START)
    (frame,) = rpc.outgoing()
    assert orjson.loads(frame) == {"jsonrpc": "2.0", "id": 1, "method": "public/set_heartbeat", "params": {"interval": 15}}


def test_replies_are_matched_by_id_whatever_their_order() -> None:
    line = Line()
    line.ask("public/one")
    line.ask("public/two")
    first, second = line.sent()
    line.receive({"jsonrpc": "2.0", "id": second["id"], "result": "two", "usOut": 1_790_000_000_123_456})
    line.receive({"jsonrpc": "2.0", "id": first["id"], "result": "one"})
    assert [(reply.result, reply.time_ms) for reply in line.replies] == [("two", 1_790_000_000_123), ("one", 0)]
    assert line.receive({"jsonrpc": "2.0", "id": first["id"], "result": "again"})[0] == ParseError("deribit", "rpc", "unknown_reply", START)


def test_a_test_request_is_answered_at_once_whatever_waits() -> None:
    line = Line()
    for _ in range(50):
        line.ask("public/get_instruments")
    line.sent()
    line.woken = 0
    assert line.receive({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}) == []
    assert line.woken == 1
    assert [frame["method"] for frame in line.sent()] == ["public/test"]
    assert line.receive({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}) == []
    assert line.sent() == []


def test_bursts_are_spread_over_time() -> None:
    line = Line()
    for _ in range(12):
        line.ask("public/subscribe", channels=["one"])
    counts = [len(line.sent())]
    for second in range(1, 20):
        _, frames = line.rpc.tick(START + second * NS)
        counts.append(len(frames))
    assert counts[0] == 5
    assert max(counts[1:]) <= 2
    assert sum(counts) == 12


def test_an_unanswered_request_is_told_after_its_time_counted_from_when_it_was_sent() -> None:
    line = Line()
    for _ in range(8):
        line.ask("public/get_instruments")
    line.sent()
    line.rpc.tick(START + 9 * NS)
    assert line.replies == []
    line.rpc.tick(START + 11 * NS)
    assert len(line.replies) == 6
    assert isinstance(line.replies[0].error, Timeout)
    line.rpc.tick(START + 60 * NS)
    assert len(line.replies) == 8


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (13009, errors.Unauthorized),
        (13004, errors.InvalidCredentials),
        (13021, errors.Forbidden),
        (10028, errors.TooManyRequests),
        (-32602, errors.InvalidParams),
        (11051, errors.Unavailable),
        (99999, errors.RpcError),
    ],
)
def test_refusals_are_typed_and_name_the_request_and_a_remedy(code: int, kind: type[errors.RpcError]) -> None:
    line = Line()
    line.ask("private/get_positions")
    (frame,) = line.sent()
    line.receive(error(frame["id"], code, param="currency", reason="must be known"))
    refusal = line.replies[0].error
    assert type(refusal) is kind
    assert refusal.code == code
    assert refusal.param == "currency"
    assert refusal.reason == "must be known"
    assert "private/get_positions" in str(refusal)
    assert "currency: must be known" in str(refusal)
    assert ": " in str(refusal)


def test_the_venues_words_about_a_login_are_not_repeated() -> None:
    line = Line()
    line.ask("public/auth", client_secret="hunter2hunter2")
    (frame,) = line.sent()
    line.receive(error(frame["id"], 13004, reason="hunter2hunter2"))
    assert "hunter2" not in str(line.replies[0].error) + repr(line.replies[0])
    line.ask("public/auth", client_secret="hunter2hunter2")
    assert "hunter2" not in repr(line.rpc._requests)


def test_too_many_requests_ends_the_connection_and_pauses_the_next() -> None:
    line = Line()
    line.ask("public/get_instruments")
    (frame,) = line.sent()
    line.receive(error(frame["id"], 10028))
    assert "slow down" in line.rpc.limited
    line.rpc.closed(START)
    line.rpc.opened(START)
    assert line.rpc.limited == ""
    assert line.sent() == []
    line.receive({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})
    assert [frame["method"] for frame in line.sent()] == ["public/test"]
    _, frames = line.rpc.tick(START + 61 * NS)
    assert [orjson.loads(frame)["method"] for frame in frames] == ["public/set_heartbeat"]


def test_nothing_survives_the_connection() -> None:
    line = Line()
    line.ask("public/one")
    (frame,) = line.sent()
    line.ask("public/two")
    line.rpc.closed(START)
    line.rpc.opened(START)
    assert [one["method"] for one in line.sent()] == ["public/set_heartbeat"]
    line.receive({"jsonrpc": "2.0", "id": frame["id"], "result": "late"})
    line.rpc.tick(START + 60 * NS)
    assert line.replies == []


def test_a_silent_connection_is_dead_after_two_heartbeats() -> None:
    line = Line()
    line.receive({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}, START + 5 * NS)
    assert not line.rpc.silent(START + 35 * NS)
    assert line.rpc.silent(START + 36 * NS)
    line.rpc.closed(START)
    assert not line.rpc.silent(START + 100 * NS)


@pytest.mark.parametrize(
    "frame",
    [
        b"{",
        b"[]",
        b'"x"',
        b"{}",
        b'{"method":"subscription"}',
        b'{"method":"subscription","params":{"channel":5}}',
        b'{"id":[1],"result":1}',
    ],
)
def test_frames_that_make_no_sense_are_told(frame: bytes) -> None:
    (event,) = Line().receive(frame)
    assert isinstance(event, ParseError)
    assert event.feed == "rpc"


def test_a_handler_that_fails_costs_one_frame() -> None:
    def wrong(reply: Reply, now_ns: int) -> list[Event]:
        raise WrongShape("place")

    def defect(reply: Reply, now_ns: int) -> list[Event]:
        raise ZeroDivisionError("with a payload in its text")

    line = Line()
    line.rpc.call("public/one", {}, wrong, START)
    line.rpc.call("public/two", {}, defect, START)
    first, second = line.sent()
    assert line.receive({"id": first["id"], "result": 1}) == [ParseError("deribit", "public/one", "wrong_shape", START, "place")]
    assert line.receive({"id": second["id"], "result": 1}) == [ParseError("deribit", "public/two", "internal", START, "ZeroDivisionError")]
