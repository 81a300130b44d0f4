from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ConnectFailed, ConnectionLost, HttpError, RateLimited, Timeout
from monitor.recording.ops import Op, decode, encode, error_document, error_of, extra_bytes
from monitor.recording.segments import Damaged, read_blocks, segments
from monitor.replay.source import ReplayError, open_run
from tests.monitor.recording.made_ops import OPS, frame, read, written


@given(st.lists(OPS, max_size=8))
def test_what_is_encoded_is_decoded(given_ops: list[Op]) -> None:
    data = b"".join(encode(op, op.key.encode(), extra_bytes(op), op.payload) for op in given_ops)
    assert list(decode(data)) == given_ops


@given(st.lists(OPS, min_size=1, max_size=8))
@settings(max_examples=25)
def test_what_is_written_is_read(given_ops: list[Op]) -> None:
    with TemporaryDirectory() as name:
        written(Path(name), given_ops)
        assert read(Path(name)) == given_ops


@pytest.mark.parametrize(
    "error",
    [
        ConnectFailed("host", "no route"),
        ConnectionLost("host", 1006, "reset"),
        HttpError("host", 502),
        RateLimited("host", 3.5),
        Timeout("x", 2.0),
    ],
)
def test_a_failure_comes_back_as_it_was(error: Exception) -> None:
    again = error_of(error_document(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_the_text_of_a_defect_is_not_kept() -> None:
    document = error_document(KeyError("0xabc holds a secret"))
    assert "secret" not in str(document)
    assert "KeyError" in str(error_of(document))


@given(st.integers(0, 3_000))
@settings(max_examples=60)
def test_a_killed_process_leaves_every_whole_block(cut: int) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        writer = written(directory, [])
        given_ops = [frame(number) for number in range(40)]
        for op in given_ops:
            writer.put(op)
            writer.drain()
        [segment] = segments(directory)
        whole = segment.path.read_bytes()
        segment.path.write_bytes(whole[: max(0, len(whole) - cut)])
        try:
            run = open_run(directory)
        except ReplayError:
            assert cut > len(whole) - 400
            return
        found = list(run.read())
        assert found == given_ops[: len(found)]
        assert len(found) >= 40 - 1 - cut // 40
        assert bool(run.notes) == (len(whole_blocks(segment.path)) < 40 and not ends_on_a_block(segment.path))


def whole_blocks(path: Path) -> list[bytes]:
    found: list[bytes] = []
    with suppress(Damaged):
        found.extend(read_blocks(path))
    return found


def ends_on_a_block(path: Path) -> bool:
    try:
        list(read_blocks(path))
    except Damaged:
        return False
    return True


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    written(tmp_path, [frame(1), frame(2)])
    [segment] = segments(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[-3] ^= 1
    segment.path.write_bytes(data)
    run = open_run(tmp_path)
    assert list(run.read()) == []
    assert "ends within a block" in run.notes[0]
