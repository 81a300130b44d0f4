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

import orjson

from monitor.recording import ops
from monitor.recording.ops import Op, encode, extra_bytes
from monitor.recording.redaction import Redactor
from monitor.recording.segments import block, header_block, segment_path, segments

PERIOD_S = 0.2
"""At most so much of the last seconds is lost when the process is killed."""

OP_BYTES = 160
"""What an op takes in memory beside its payload."""

BLOCK_BYTES = 512 * 1024
RETRY_S = 2.0
RUN_ATTEMPTS = 100

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
    """Counts since start, for metrics. `bytes` were written, `dropped` ops are in no file, `failing` says that writing fails now."""

    ops: int = 0
    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    segments: int = 0
    deleted: int = 0
    failing: bool = False


class Writer:
    """Takes ops by `put` from one thread. `about` goes into the header of every segment. `close` writes what waits."""

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
        self._about: dict[str, Any] = orjson.loads(redactor.clean(orjson.dumps(about)))
        self._redactor = redactor
        self._open_file = opener
        self._write = write
        self._monotonic = monotonic
        self._queue: deque[Op] = deque()
        self._queued = 0
        self._taken = 0
        self._dropped_now = 0
        self._unwritten = 0
        self._file: int | None = None
        self._number = 0
        self._size = 0
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

    def drain(self) -> None:
        """Write what waits now. For the thread, and for tests instead of it."""
        while self._queue:
            self._write_some()

    def _work(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.drain()
        self.drain()
        self._leave()

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
        self._unwritten = 0
        if self.status.failing:
            _log.warning("the recording goes on, with a gap")
        self.status.failing = self._told = False

    def _put_block(self, packed: bytes) -> None:
        assert self._file is not None
        view = memoryview(packed)
        while view:
            written = self._write(self._file, bytes(view))
            view = view[written:]
            self._size += written
            self.status.bytes += written

    def _open(self, last: Op) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room()
        if not self.run:
            self.run = max((one.run for one in segments(self._directory)), default=0) + 1
        for _ in range(RUN_ATTEMPTS):
            try:
                self._file = self._open_file(segment_path(self._directory, self.run, self._number + 1))
                break
            except FileExistsError:
                # another process took the number, or this segment is one that failed
                self.run, self._number = (self.run + 1, 0) if self._number == 0 else (self.run, self._number + 1)
        else:
            raise OSError("no name is free")
        self._number += 1
        self._size, self._opened_at = 0, self._monotonic()
        self.status.segments += 1
        self._put_block(header_block(self.run, self._number, {**self._about, "ns": last.ns, "ms": last.ms}))

    def _make_room(self) -> None:
        kept = segments(self._directory)
        total = sum(one.size for one in kept)
        for one in kept:
            if total + self.limits.segment_bytes <= self.limits.total_bytes:
                return
            one.path.unlink(missing_ok=True)
            total -= one.size
            self.status.deleted += 1
            if one.run == self.run and one.number == 1:
                _log.warning("the recording has reached its bound: the beginning of this run is deleted, so it replays no more")

    def _lost(self, count: int, why: str) -> None:
        # a segment that broke off is left as it is: the next one begins with the gap
        self._leave()
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
