from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import pytest

from monitor.recording import ops
from monitor.recording.directory import lock_path
from monitor.recording.redaction import Redactor
from monitor.recording.segments import segments
from monitor.recording.writer import OP_BYTES, RETRY_S, Limits, Writer, create
from monitor.replay.source import ReplayError, open_run
from tests.monitor.recording.made_ops import ABOUT, frame, read, written


class Disk:
    """A disk that is full, or cannot be written at all, when told so."""

    def __init__(self) -> None:
        self.room = 10**9
        self.opens = True
        self.now = 0.0

    def open(self, path: Path) -> int:
        if not self.opens:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return create(path)

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = data[: self.room]
        self.room -= len(taken)
        return os.write(file, taken)

    def writer(self, directory: Path, limits: Limits | None = None) -> Writer:
        return Writer(directory, ABOUT, Redactor({}), limits, opener=self.open, write=self.write, monotonic=lambda: self.now)


def test_files_and_directory_are_their_owners_alone(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "recording"
    written(directory, [frame(1)])
    [segment] = segments(directory)
    assert stat.S_IMODE(segment.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_full_disk_costs_what_came_meanwhile_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    writer = disk.writer(tmp_path)
    writer.put(frame(1))
    writer.drain()
    disk.room = 5
    for number in range(2, 6):
        writer.put(frame(number))
        writer.drain()
    assert writer.status.failing
    assert writer.status.dropped == 4
    disk.room, disk.now = 10**9, RETRY_S + 1.0
    writer.put(frame(6))
    writer.drain()
    assert not writer.status.failing
    run = open_run(tmp_path)
    found = list(run.read())
    assert [op.turn for op in found if op.kind == ops.FRAME] == [1, 6]
    assert sum(op.extra for op in found if op.kind == ops.GAP) == 4
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert "No space left" in caplog.text


def test_a_failing_disk_is_not_asked_at_every_op(tmp_path: Path) -> None:
    disk = Disk()
    disk.opens = False
    writer = disk.writer(tmp_path)
    for number in range(10):
        writer.put(frame(number))
        writer.drain()
    disk.opens = True
    writer.put(frame(11))
    writer.drain()
    assert not segments(tmp_path)
    disk.now = RETRY_S
    writer.put(frame(12))
    writer.drain()
    assert [op.extra for op in read(tmp_path) if op.kind == ops.GAP] == [11]


def test_a_directory_that_cannot_be_made_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = written(tmp_path / "file" / "below", [frame(1)])
    assert writer.status.failing
    assert writer.status.dropped == 1


def test_what_waits_in_memory_is_bounded_and_the_gap_stands_in_its_place(tmp_path: Path) -> None:
    writer = Writer(tmp_path, ABOUT, Redactor({}), Limits(queue_bytes=10 * (OP_BYTES + 2)))
    for number in range(25):
        writer.put(frame(number))
    assert writer.status.dropped == 15
    writer.drain()
    writer.put(frame(25))
    writer.drain()
    writer.close()
    found = read(tmp_path)
    assert [(op.kind, op.extra) for op in found[10:]] == [(ops.GAP, 15), (ops.FRAME, None)]


def test_segments_are_rotated_by_size_and_by_time(tmp_path: Path) -> None:
    disk = Disk()
    writer = disk.writer(tmp_path, Limits(segment_bytes=600, segment_s=100.0))
    for number in range(4):
        writer.put(frame(number, os.urandom(500)))
        writer.drain()
    assert [one.number for one in segments(tmp_path)] == [1, 2, 3, 4]
    disk.now = 101.0
    writer.put(frame(9))
    writer.drain()
    assert len(segments(tmp_path)) == 5
    assert [op.turn for op in read(tmp_path)] == [0, 1, 2, 3, 9]


def test_the_bound_deletes_earlier_runs_first_then_the_beginning_of_this_one(tmp_path: Path) -> None:
    def run(count: int) -> Writer:
        writer = Writer(tmp_path, ABOUT, Redactor({}), Limits(total_bytes=8_000, segment_bytes=2_000))
        for number in range(count):
            writer.put(frame(number, os.urandom(1_500)))
            writer.drain()
        writer.close()
        return writer

    run(2)
    run(4)
    kept = [(one.run, one.number) for one in segments(tmp_path)]
    assert kept[-1] == (2, 2)
    assert open_run(tmp_path, 2).number == 2
    run(12)
    kept = [(one.run, one.number) for one in segments(tmp_path)]
    assert {one[0] for one in kept} == {3}
    assert kept[0][1] > 1
    assert sum(one.size for one in segments(tmp_path)) <= 8_000
    with pytest.raises(ReplayError, match=f"first {kept[0][1] - 1} segments were deleted"):
        open_run(tmp_path)


def filled(directory: Path, count: int, limits: Limits | None = None) -> Writer:
    """A writer that wrote so many ops of 1500 bytes, and still records."""
    writer = Writer(directory, ABOUT, Redactor({}), limits)
    for number in range(count):
        writer.put(frame(number, os.urandom(1_500)))
        writer.drain()
    return writer


SMALL = Limits(total_bytes=12_000, segment_bytes=3_000)


def test_a_run_that_is_being_written_loses_nothing_to_another(tmp_path: Path) -> None:
    first = filled(tmp_path, 1, SMALL)
    second = filled(tmp_path, 20, SMALL)
    assert (first.run, second.run) == (1, 2)
    first.put(frame(3))
    first.drain()
    first.close()
    assert len([op for op in open_run(tmp_path, 1).read() if op.kind == ops.FRAME]) == 2
    assert not second.status.replayable
    assert sum(one.size for one in segments(tmp_path)) <= 12_000
    second.close()
    third = filled(tmp_path, 8, SMALL)
    assert {one.run for one in segments(tmp_path)} == {3}
    third.close()
    assert not list(tmp_path.glob("*.lock"))


def test_the_bound_holds_also_where_another_run_has_taken_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = filled(tmp_path, 8, SMALL)
    second = filled(tmp_path, 2, SMALL)
    assert second.status.failing
    assert "a directory of its own" in caplog.text
    assert {one.run for one in segments(tmp_path)} == {1}
    first.close()
    second.close()


def test_the_lock_of_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    filled(tmp_path, 2, SMALL).close()
    lock_path(tmp_path, 1).touch()
    later = filled(tmp_path, 8, SMALL)
    assert later.run == 2
    assert {one.run for one in segments(tmp_path)} == {2}
    assert [path.name for path in tmp_path.glob("*.lock")] == ["run-000002.lock"]
    later.close()


def test_a_full_disk_leaves_no_empty_segments(tmp_path: Path) -> None:
    disk = Disk()
    writer = disk.writer(tmp_path)
    disk.room = 0
    for number in range(5):
        # sometimes there is room for a header
        disk.room = 2 * number * 60
        writer.put(frame(number, os.urandom(5_000)))
        writer.drain()
        disk.now += RETRY_S
    assert not segments(tmp_path)
    disk.room = 10**9
    writer.put(frame(9))
    writer.drain()
    assert [(one.run, one.number) for one in segments(tmp_path)] == [(1, 1)]
    assert writer.status.segments == 1
    assert [op.extra for op in read(tmp_path) if op.kind == ops.GAP] == [5]


def test_a_directory_that_others_may_read_is_closed_to_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    written(tmp_path, [frame(1)])
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert not caplog.records


def test_a_directory_of_other_files_is_left_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "other.txt").touch()
    written(tmp_path, [frame(1)])
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert "others may read the directory" in caplog.text


def test_the_bound_is_told_before_it_is_reached(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()
    writer = disk.writer(tmp_path, Limits(total_bytes=1_250_000, segment_bytes=250_000))
    assert writer.status.document()["gb_per_day"] is None
    for number in range(73):
        writer.put(frame(number, os.urandom(10_000)))
        writer.drain()
        disk.now += 36.0
    assert not caplog.records
    for number in range(4):
        writer.put(frame(number, os.urandom(10_000)))
        writer.drain()
    [record] = caplog.records
    assert "76 % of its room: in 0.2 hours at the present pace" in record.message
    document = writer.status.document()
    assert document["gb_per_day"] == pytest.approx(0.025, abs=0.002)
    assert (document["ops"], document["replayable"], document["failing"], document["dropped"]) == (77, True, False, 0)
    for _ in range(40):
        writer.put(frame(1, os.urandom(10_000)))
        writer.drain()
    assert writer.status.document()["replayable"] is False


def test_a_lost_segment_is_told_as_a_gap(tmp_path: Path) -> None:
    disk = Disk()
    writer = disk.writer(tmp_path, Limits(segment_bytes=1))
    for number in range(3):
        writer.put(frame(number))
        writer.drain()
    segments(tmp_path)[1].path.unlink()
    run = open_run(tmp_path)
    assert [op.kind for op in run.read()] == [ops.FRAME, ops.GAP, ops.FRAME]
    assert run.notes == ["segments 2 to 2 are not there"]


def test_a_directory_without_recordings_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="run --record"):
        open_run(tmp_path)
    with pytest.raises(ReplayError, match="run --record"):
        open_run(tmp_path / "nowhere")
