from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import ConnectFailed, ConnectionLost, HttpError, RateLimited, Timeout
from monitor.recording import ops
from monitor.recording.ops import Op, decode, encode, error_document, error_of, extra_bytes
from monitor.recording.segments import MAGIC, Damaged, block, read_blocks, segment_path, segments
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


def in_blocks(directory: Path, count: int) -> tuple[Path, bytearray, list[int]]:
    """A segment with so many ops, each a block of its own; and where its blocks begin, the header's first."""
    writer = written(directory, [])
    for number in range(count):
        writer.put(frame(number))
        writer.drain()
    writer.close()
    [segment] = segments(directory)
    data, starts = bytearray(segment.path.read_bytes()), [0]
    while starts[-1] + 8 + int.from_bytes(data[starts[-1] : starts[-1] + 4]) < len(data):
        starts.append(starts[-1] + 8 + int.from_bytes(data[starts[-1] : starts[-1] + 4]))
    return segment.path, data, starts


@pytest.mark.parametrize(("block_number", "place"), [(3, 0), (3, 3), (3, 5), (3, 12), (6, 0), (6, 5), (6, 12)])
def test_a_damaged_block_is_a_gap(tmp_path: Path, block_number: int, place: int) -> None:
    path, data, starts = in_blocks(tmp_path, 6)
    data[starts[block_number] + place] ^= 1
    path.write_bytes(data)
    run = open_run(tmp_path)
    found = list(run.read())
    if (place, block_number) == (0, 6):
        # its length reaches beyond the end, and nothing is behind it: as of a killed process
        assert [op.kind for op in found] == [ops.FRAME] * 5
        assert "ends within a block" in run.notes[0]
        return
    assert [op.kind for op in found] == [ops.FRAME] * (block_number - 1) + [ops.GAP]
    assert run.notes == [f"{path.name} holds a damaged block: what stood behind is lost"]


def test_a_run_whose_beginning_is_damaged_is_refused(tmp_path: Path) -> None:
    path, data, starts = in_blocks(tmp_path, 3)
    data[starts[1] + 12] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReplayError, match="its beginning is damaged"):
        open_run(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"[]",
        orjson.dumps({"magic": MAGIC, "version": 1, "seed": 1, "ns": 1, "ms": 1}),
        orjson.dumps({"magic": MAGIC, "version": 1}),
    ],
)
def test_a_header_that_lacks_what_a_replay_needs_is_told(tmp_path: Path, header: bytes) -> None:
    segment_path(tmp_path, 1, 1).write_bytes(block(header))
    with pytest.raises(ReplayError, match=r"run 1 cannot be read: run-000001-000001\.mwrec"):
        open_run(tmp_path)


def test_a_block_that_unpacks_without_end_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _, _ = in_blocks(tmp_path, 2)
    path.write_bytes(path.read_bytes() + block(bytes(100_000)))
    assert len(list(read_blocks(path))) == 3
    monkeypatch.setattr("monitor.recording.segments._LARGEST_BLOCK", 10_000)
    assert len(whole_blocks(path)) == 2


def test_the_numbers_of_kinds_stay_what_recordings_hold() -> None:
    seams = [ops.CONNECTED, ops.FRAME, ops.RESPONSE, ops.DONE, ops.FAILED, ops.WOKEN, ops.WORKED]
    kinds = [ops.BEGIN, *seams, ops.SINK, ops.EVALUATION, ops.DIGEST, ops.ALERT, ops.GAP, ops.END, ops.RELOADED]
    assert [encode(Op(kind, "", True, 0, 0, 0), b"", b"", b"")[0] for kind in kinds] == list(range(len(kinds)))
