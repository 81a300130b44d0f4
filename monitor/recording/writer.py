"""Ops to disk, in a thread of its own: redacted, compressed, in segments that are rotated and bounded. The event loop only appends.

Nothing that goes wrong here reaches the program: what cannot be kept is counted, told once in the log, and marked in the recording by a
gap where writing works again.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monitor.recording import ops
from monitor.recording.directory import is_locked, lock_path, make_private, release_run, take_run
from monitor.recording.ops import Op, encode, extra_bytes
from monitor.recording.redaction import Redactor
from monitor.recording.segments import Segment, block, header_block, segment_path, segments

PERIOD_S = 0.2
"""At most so much of the last seconds is lost when the process is killed."""

OP_BYTES = 160
"""What an op takes in memory beside its payload."""

BLOCK_BYTES = 512 * 1024
RETRY_S = 2.0

WARNED_AT = 0.75
"""Share of its room from which on a run is told that its beginning will be deleted."""

PACE_S = 60.0
PACES = 61
"""How often the pace is taken, seconds, and how many of them count: the last hour."""

DAY_S = 86_400.0

_WORDY = frozenset({ops.FAILED, ops.ALERT, ops.RESPONSE, ops.WORKED})
"""Ops whose `extra` holds texts of others."""

_log = logging.getLogger("marginwatch.recording")

Opener = Callable[[Path], int]
"""Creates a file of our own for writing and gives its descriptor."""

Writing = Callable[[int, bytes], int]


def create(path: Path) -> int:
    """A new file that only its owner may read."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes on disk of all runs in a directory; of a segment, with its longest time in seconds; and of what waits in memory."""

    total_bytes: int = 10 * 1024**3
    segment_bytes: int = 64 * 1024**2
    segment_s: float = 3600.0
    queue_bytes: int = 64 * 1024**2


@dataclass(slots=True)
class WriterStatus:
    """Counts since start, for metrics. `bytes` were written, `dropped` ops are in no file, `failing` says that writing fails now.

    `replayable`: the run's beginning is still there. `bytes_per_day`: at the pace of the last hour, None in the first minute.
    """

    ops: int = 0
    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    segments: int = 0
    deleted: int = 0
    failing: bool = False
    replayable: bool = True
    bytes_per_day: float | None = None

    def document(self) -> dict[str, Any]:
        """As JSON; `gb_per_day` in GB of 1e9 bytes."""
        return {
            "ops": self.ops,
            "bytes": self.bytes,
            "dropped": self.dropped,
            "segments": self.segments,
            "failing": self.failing,
            "replayable": self.replayable,
            "gb_per_day": None if self.bytes_per_day is None else round(self.bytes_per_day / 1e9, 3),
        }


class Writer:
    """Takes ops by `put` from one thread. `about`, free of secrets, goes into the header of every segment. `close` writes what waits."""

    def __init__(
        self,
        directory: Path,
        about: dict[str, Any],
        redactor: Redactor,
        limits: Limits | None = None,
        *,
        opener: Opener = create,
        write: Writing = os.write,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        given = limits or Limits()
        self.limits = replace(given, segment_bytes=min(given.segment_bytes, max(1, given.total_bytes // 4)))
        self.status = WriterStatus()
        self.run = 0
        """The number of this run, once its first segment is there."""
        self._directory = directory
        self._about = about
        self._redactor = redactor
        self._open_file = opener
        self._write = write
        self._monotonic = monotonic
        self._queue: deque[Op] = deque()
        self._queued = 0
        self._taken = 0
        self._dropped_now = 0
        self._unwritten = 0
        self._lock: int | None = None
        self._file: int | None = None
        self._number = 0
        self._size = 0
        self._holds_ops = False
        self._room = self.limits.total_bytes
        self._warned = False
        self._paces: deque[tuple[float, int]] = deque(maxlen=PACES)
        self._opened_at = 0.0
        self._retry_at = 0.0
        self._told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="marginwatch recording", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, op: Op) -> None:
        """Keep an op; drops it where too much waits already."""
        # each counter has one writer: this thread, or the other
        size = OP_BYTES + len(op.payload)
        if self._queued - self._taken + size > self.limits.queue_bytes:
            self._dropped_now += 1
            self.status.dropped += 1
            return
        if self._dropped_now:
            lost, self._dropped_now = self._dropped_now, 0
            self._queued += OP_BYTES
            self._queue.append(op._replace(kind=ops.GAP, key="", is_sync=True, extra=lost, payload=b""))
        self._queued += size
        self._queue.append(op)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, at most for so long. Harmless when repeated, and without `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        else:
            self._end()

    def drain(self) -> None:
        """Write what waits now. For the thread, and for tests instead of it."""
        while self._queue:
            self._write_some()

    def _work(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.drain()
        self.drain()
        self._end()

    def _write_some(self) -> None:
        taken, size = list[Op](), 0
        while self._queue and size < BLOCK_BYTES:
            op = self._queue.popleft()
            size += OP_BYTES + len(op.payload)
            taken.append(op)
        self._taken += size
        try:
            self._append(b"".join(map(self._encoded, taken)), taken[-1])
        except OSError as error:
            self._lost(len(taken), error.strerror or str(error))
        except Exception as defect:  # a defect of ours must not end the recording
            self._lost(len(taken), f"internal error {type(defect).__name__}")
        else:
            self.status.ops += len(taken)
            self.status.frames += sum(op.kind in (ops.FRAME, ops.RESPONSE) for op in taken)

    def _encoded(self, op: Op) -> bytes:
        clean, extra = self._redactor.clean, extra_bytes(op)
        return encode(
            op, self._redactor.clean_key(op.key), clean(extra) if op.kind in _WORDY else extra, clean(op.payload) if op.payload else b""
        )

    def _append(self, data: bytes, last: Op) -> None:
        now = self._monotonic()
        if self._file is None and now < self._retry_at:
            raise OSError("writing failed a moment ago")
        if self._file is not None and (self._size >= self.limits.segment_bytes or now - self._opened_at >= self.limits.segment_s):
            self._leave()
        if self._file is None:
            self._open(last)
        if self._unwritten:
            gap = Op(ops.GAP, "", True, last.turn, last.ns, last.ms, self._unwritten)
            data = encode(gap, b"", extra_bytes(gap), b"") + data
        self._put_block(block(data))
        self._holds_ops = True
        self._unwritten = 0
        if self.status.failing:
            _log.warning("the recording goes on, with a gap")
        self.status.failing = self._told = False
        self._watch_the_bound(now)

    def _put_block(self, packed: bytes) -> None:
        assert self._file is not None
        view = memoryview(packed)
        while view:
            written = self._write(self._file, bytes(view))
            view = view[written:]
            self._size += written
            self.status.bytes += written

    def _open(self, last: Op) -> None:
        is_private = make_private(self._directory)
        if self._lock is None:
            if not is_private:
                _log.warning("others may read the directory of the recording: make it its owner's alone (chmod 0700)")
            self.run, self._lock = take_run(self._directory)
        self._make_room()
        self._file = self._open_file(segment_path(self._directory, self.run, self._number + 1))
        self._number += 1
        self._size, self._opened_at, self._holds_ops = 0, self._monotonic(), False
        self.status.segments += 1
        self._put_block(header_block(self.run, self._number, {**self._about, "ns": last.ns, "ms": last.ms}))

    def _make_room(self) -> None:
        kept = segments(self._directory)
        locked = {run for run in {one.run for one in kept} if run != self.run and is_locked(self._directory, run)}
        total = sum(one.size for one in kept)
        self._room = self.limits.total_bytes - self.limits.segment_bytes - sum(one.size for one in kept if one.run in locked)
        for one in kept:
            if total + self.limits.segment_bytes <= self.limits.total_bytes:
                return
            if one.run not in locked:
                self._delete(one)
                total -= one.size
        if total + self.limits.segment_bytes > self.limits.total_bytes:
            raise OSError("other runs that record into this directory have taken its room; give each a directory of its own")

    def _delete(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self.status.deleted += 1
        if segment.run != self.run:
            # of a run that is over
            lock_path(self._directory, segment.run).unlink(missing_ok=True)
        elif self.status.replayable:
            self.status.replayable = False
            _log.warning("the recording has reached its bound: the beginning of this run is deleted, so it replays no more")

    def _watch_the_bound(self, now: float) -> None:
        written = self.status.bytes
        if not self._paces or now - self._paces[-1][0] >= PACE_S:
            self._paces.append((now, written))
        since, before = self._paces[0]
        if now - since >= PACE_S:
            self.status.bytes_per_day = (written - before) / (now - since) * DAY_S
        if self._warned or not self.status.replayable or written < WARNED_AT * self._room:
            return
        self._warned = True
        per_day, left = self.status.bytes_per_day, self._room - written
        when = f"in {max(left, 0) / per_day * 24:.1f} hours at the present pace" if per_day else "soon"
        _log.warning(
            "the recording has taken %.0f %% of its room: %s the beginning of this run is deleted, and it replays no more; "
            "restart the monitor before, or give it more with --record-limit",
            100 * written / self._room if self._room > 0 else 100,
            when,
        )

    def _lost(self, count: int, why: str) -> None:
        # a segment that broke off is left as it is, unless it holds nothing: the next one begins with the gap
        is_empty = self._file is not None and not self._holds_ops
        self._leave()
        if is_empty:
            self._discard()
        self._unwritten += count
        self.status.dropped += count
        self.status.failing = True
        if self._monotonic() >= self._retry_at:
            self._retry_at = self._monotonic() + RETRY_S
        if not self._told:
            self._told = True
            _log.error("the recording cannot be written (%s): the monitor goes on without it, and tries again", why)

    def _leave(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                os.close(file)
            except OSError:
                return

    def _discard(self) -> None:
        try:
            segment_path(self._directory, self.run, self._number).unlink()
        except OSError:
            return
        self._number -= 1
        self.status.segments -= 1

    def _end(self) -> None:
        self._leave()
        lock, self._lock = self._lock, None
        if lock is not None:
            release_run(self._directory, self.run, lock)
