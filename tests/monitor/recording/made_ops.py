"""Ops and recordings made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from monitor.recording import ops
from monitor.recording.ops import Op, decode
from monitor.recording.redaction import Redactor
from monitor.recording.segments import read_blocks, segments
from monitor.recording.writer import Limits, Writer

ABOUT: dict[str, Any] = {"seed": 7, "configuration": {"settings": {}, "environ": {}, "files": {}, "agents": {}}}

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=40)
OPS = st.builds(
    Op,
    kind=st.sampled_from([ops.FRAME, ops.RESPONSE, ops.WOKEN, ops.SINK, ops.GAP]),
    key=KEYS,
    is_sync=st.booleans(),
    turn=st.integers(0, 2**40),
    ns=st.integers(0, 2**62),
    ms=st.integers(0, 2**45),
    extra=st.none() | st.integers(0, 2**53) | st.lists(st.text(max_size=5), max_size=3),
    payload=st.binary(max_size=200),
)


def frame(number: int, payload: bytes = b"{}") -> Op:
    return Op(ops.FRAME, "recv 0", False, number, number * 1_000, number, None, payload)


def written(directory: Path, given: list[Op], limits: Limits | None = None, redactor: Redactor | None = None) -> Writer:
    """A writer that wrote the ops in this thread, and closed its file."""
    writer = Writer(directory, ABOUT, redactor or Redactor({}), limits)
    for op in given:
        writer.put(op)
    writer.drain()
    writer.start()
    writer.close()
    return writer


def read(directory: Path) -> list[Op]:
    return [op for segment in segments(directory) for data in read_blocks(segment.path) for op in decode(data)]
