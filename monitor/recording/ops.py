"""What a recording is made of: one op for everything that came from outside, or left, while the monitor ran.

The connectors and the application meet the world through a few seams (clock, sockets, requests, threads, the next turn). Each call of
a seam has a key. When it completes, an op says so: which key, in which turn of the event loop, at which clock reading. Between two ops
the recorded program sees one time, so an op list and a seed of the random numbers say all that its run depended on.

    encode(op, key, extra, payload) -> bytes
    decode(bytes) -> ops
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from connectors import errors
from connectors.errors import ConnectorError

BEGIN, CONNECTED, FRAME, RESPONSE, DONE, FAILED, WOKEN, WORKED = (
    "begin",
    "connected",
    "frame",
    "response",
    "done",
    "failed",
    "woken",
    "worked",
)
"""The first reading; then what a call of a seam came back with. `DONE` is a send or a close."""

SINK, EVALUATION, DIGEST, ALERT = "sink", "evaluation", "digest", "alert"
"""Done by the program itself: events given to the application, an evaluation with what it led to, an alert told."""

RELOADED = "reloaded"
"""Another configuration is taken, in the rest of this step of the program: `extra` is its document, see `configuration`."""

GAP, END = "gap", "end"
"""Ops that were lost, how many; and the end of a run that was stopped."""

CALLS = frozenset({CONNECTED, FRAME, RESPONSE, DONE, FAILED, WOKEN, WORKED, RELOADED})


class Op(NamedTuple):
    """One op. `turn` counts the turns of the event loop, `ns` and `ms` are the clock's readings (monotonic, since 1970).

    `is_sync`: the call came back without a wait, in the turn it was made in. `extra` is anything JSON, `payload` a frame or a body.
    """

    kind: str
    key: str
    is_sync: bool
    turn: int
    ns: int
    ms: int
    extra: Any = None
    payload: bytes = b""


# their numbers stand in recordings: a new one comes last
_KINDS = (BEGIN, CONNECTED, FRAME, RESPONSE, DONE, FAILED, WOKEN, WORKED, SINK, EVALUATION, DIGEST, ALERT, GAP, END, RELOADED)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_HEAD = struct.Struct("<BBQQQIII")


def extra_bytes(op: Op) -> bytes:
    """The `extra` of an op as JSON, nothing for None."""
    return b"" if op.extra is None else orjson.dumps(op.extra)


def encode(op: Op, key: bytes, extra: bytes, payload: bytes) -> bytes:
    """An op as bytes, with key, extra and payload as they may be kept, behind a head of fixed size."""
    head = _HEAD.pack(_NUMBERS[op.kind], op.is_sync, op.turn, op.ns, op.ms, len(key), len(extra), len(payload))
    return b"%b%b%b%b" % (head, key, extra, payload)


def decode(data: bytes) -> Iterator[Op]:
    """The ops of a block. Raises ValueError for bytes that are none."""
    unpack, size, loads = _HEAD.unpack_from, _HEAD.size, orjson.loads
    at, end = 0, len(data)
    while at < end:
        try:
            number, is_sync, turn, ns, ms, key_size, extra_size, payload_size = unpack(data, at)
            kind = _KINDS[number]
        except (struct.error, IndexError):
            raise ValueError("a block holds what is no op") from None
        at += size
        extra_at = at + key_size
        payload_at = extra_at + extra_size
        key = data[at:extra_at].decode()
        extra = loads(data[extra_at:payload_at]) if extra_size else None
        at = payload_at + payload_size
        yield Op(kind, key, is_sync == 1, turn, ns, ms, extra, data[payload_at:at])


_ERRORS = {name: one for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, ConnectorError)}


def error_document(error: Exception) -> list[Any]:
    """A failure as JSON. A defect's own text may quote anything, so only its type is kept."""
    if type(error).__name__ not in _ERRORS:
        return ["", type(error).__name__, {}]
    plain = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float | None)}
    return [type(error).__name__, str(error), plain]


def error_of(document: list[Any]) -> Exception:
    """The failure again."""
    name, text, attributes = document
    if name not in _ERRORS:
        return RuntimeError(f"the recorded run met a {text} here")
    error = _ERRORS[name].__new__(_ERRORS[name])
    error.args = (text,)
    vars(error).update(attributes)
    return error
