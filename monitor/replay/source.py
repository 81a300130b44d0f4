"""A recorded run as it is read back: which segments, what they say of themselves, their ops, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.recording import ops
from monitor.recording.ops import Op, decode
from monitor.recording.segments import Damaged, Segment, read_blocks, read_header, segments


class ReplayError(Exception):
    """A recording cannot be replayed, or not as asked; the text says why and what to do."""


@dataclass(slots=True)
class RecordedRun:
    """One run. `notes` tell what reading found missing."""

    number: int
    segments: list[Segment]
    header: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int:
        """Of what the connectors drew."""
        return int(self.header["seed"])

    @property
    def configuration(self) -> dict[str, Any]:
        """See `monitor.recording.configuration`."""
        found: dict[str, Any] = self.header["configuration"]
        return found

    @property
    def begin_ms(self) -> int:
        """When it began, ms since 1970."""
        first = next(self.read(), None)
        return int(self.header["ms"]) if first is None else first.ms

    def read(self) -> Iterator[Op]:
        """The ops in order. What is missing between two segments, or was damaged, comes as a gap."""
        self.notes.clear()
        expected = 1
        last: Op | None = None
        for place, segment in enumerate(self.segments):
            is_last = place == len(self.segments) - 1
            if segment.number != expected:
                self.notes.append(f"segments {expected} to {segment.number - 1} are not there")
                yield _gap(last)
            expected = segment.number + 1
            try:
                for data in read_blocks(segment.path):
                    for op in decode(data):
                        last = op
                        yield op
            except ValueError as damage:
                # the end that a killed process did not write is no loss to what stands before it
                is_end = is_last and isinstance(damage, Damaged) and damage.is_cut
                self.notes.append(f"{damage}: {'what was on its way then is lost' if is_end else 'what stood behind is lost'}")
                if not is_end:
                    yield _gap(last)


def _gap(last: Op | None) -> Op:
    return Op(ops.GAP, "", True, 0, 0, 0, 0) if last is None else last._replace(kind=ops.GAP, key="", is_sync=True, extra=0, payload=b"")


def runs(directory: Path) -> dict[int, list[Segment]]:
    """Segments by run. Raises ReplayError where there is none."""
    try:
        found = segments(directory)
    except OSError as error:
        raise ReplayError(f"{directory} cannot be read: {error.strerror}; name the directory that was given to run --record") from None
    if not found:
        raise ReplayError(f"{directory} holds no recording; name the directory that was given to run --record")
    by_run: dict[int, list[Segment]] = {}
    for segment in found:
        by_run.setdefault(segment.run, []).append(segment)
    return by_run


def open_run(directory: Path, number: int | None = None) -> RecordedRun:
    """A run of a directory, the last one unless named. Raises ReplayError, also where its beginning is gone."""
    by_run = runs(directory)
    wanted = max(by_run) if number is None else number
    if wanted not in by_run:
        raise ReplayError(f"{directory} holds no run {wanted}; it holds {', '.join(map(str, sorted(by_run)))}")
    kept = by_run[wanted]
    try:
        header = read_header(kept[0].path)
    except (Damaged, OSError) as problem:
        raise ReplayError(f"run {wanted} cannot be read: {problem}; replay another one with --run") from None
    if kept[0].number != 1:
        raise ReplayError(
            f"run {wanted} cannot be replayed: its first {kept[0].number - 1} segments were deleted to keep the bound, what is left begins "
            f"at {told_time(header['ms'])}. A replay needs a run from its start: record with a larger bound, or restart the monitor now "
            "and then, as each start begins a run"
        )
    run = RecordedRun(wanted, kept, header)
    first = next(run.read(), None)
    if first is not None and first.kind == ops.GAP:
        raise ReplayError(f"run {wanted} cannot be replayed: its beginning is damaged or was not written; replay another one with --run")
    return run


def told_time(ms: int) -> str:
    """A time for people, UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
