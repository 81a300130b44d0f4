"""What pages show, as rows by section and id, each with the version at which it last changed.

    board.put("pools", id, row)     an equal row has not changed
    board.keep("pools", ids)        the section's other rows are gone
    board.publish(as_of_ms, ...)    closes a version: what changed since the last one is a frame
    board.frame(since)              what changed after version `since`, serialised once for all that ask for the same

A client that missed frames asks with the version it has and gets every changed row once, as it is now. Nothing here knows of sockets,
clocks or the application.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

VERSION = 1
"""Of the frames' format (docs/api.md)."""

KEPT_GONE = 1000
"""Removals remembered; a client that has not seen older ones gets everything anew."""


@dataclass(frozen=True, slots=True)
class _Row:
    written: bytes
    version: int


class Board:
    """Empty at first. `sequence` is the version of the last frame, 0 before the first."""

    def __init__(self) -> None:
        self.sequence = 0
        self._sections: dict[str, dict[str, _Row]] = {}
        self._gone: dict[tuple[str, str], int] = {}
        self._gone_order: deque[tuple[str, str, int]] = deque()
        self._oldest = 0
        self._changed = False
        self._head: dict[str, Any] = {}
        self._frames: dict[int, bytes] = {}

    @property
    def changed(self) -> bool:
        """Whether a row changed since the last `publish`."""
        return self._changed

    def put(self, section: str, name: str, document: Mapping[str, Any] | bytes) -> None:
        """Set one row, ready for JSON or written as JSON; an equal one has not changed.

        TypeError for one that is neither, and the row before stays.
        """
        written = document if isinstance(document, bytes) else orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        known = self._sections.setdefault(section, {})
        before = known.get(name)
        if before is not None and before.written == written:
            return
        known[name] = _Row(written, self.sequence + 1)
        self._gone.pop((section, name), None)
        self._changed = True

    def keep(self, section: str, names: Collection[str]) -> None:
        """Remove the rows of a section that are not among these."""
        known = self._sections.get(section, {})
        for name in [name for name in known if name not in names]:
            del known[name]
            self._remove(section, name)

    def publish(self, as_of_ms: int, clock_s: float) -> None:
        """Close a version, as of Unix ms and seconds on the clock that ages of rows are on."""
        self.sequence += 1
        self._changed = False
        self._head = {"version": VERSION, "sequence": self.sequence, "as_of_ms": as_of_ms, "clock_s": clock_s}
        self._frames.clear()

    def frame(self, since: int) -> bytes:
        """What a client at version `since` (0: nothing yet) lacks. What was put after the last `publish` may be in it, and comes again."""
        if since < self._oldest or since > self.sequence:
            since = 0
        frame = self._frames.get(since)
        if frame is None:
            frame = self._frames[since] = self._write(since)
        return frame

    def _write(self, since: int) -> bytes:
        rows: dict[str, dict[str, orjson.Fragment]] = {}
        for section, known in self._sections.items():
            told = {name: orjson.Fragment(row.written) for name, row in known.items() if row.version > since}
            if told:
                rows[section] = told
        gone: dict[str, list[str]] = {}
        for (section, name), version in self._gone.items():
            if version > since > 0:
                gone.setdefault(section, []).append(name)
        kind = "changes" if since else "snapshot"
        return orjson.dumps({**self._head, "type": kind, "since": since, "rows": rows, "gone": gone})

    def _remove(self, section: str, name: str) -> None:
        self._changed = True
        self._gone[section, name] = self.sequence + 1
        self._gone_order.append((section, name, self.sequence + 1))
        while len(self._gone_order) > KEPT_GONE:
            *key, version = self._gone_order.popleft()
            self._oldest = max(self._oldest, version)
            if self._gone.get((key[0], key[1])) == version:
                del self._gone[key[0], key[1]]
