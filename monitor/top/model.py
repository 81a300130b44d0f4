"""What the terminal knows of a running monitor: rows by section and id, as its stream told them, and whether the line is alive.

The frames are those of docs/api.md: a snapshot first, then what changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from monitor.client import MonitorError
from monitor.web.board import VERSION

Row = dict[str, Any]

DELAYED_S = 3.0
"""A frame that took so much longer than the quickest one is news of the past."""


class FrameError(MonitorError):
    """What came is no frame that can be applied; the line has to be opened anew."""


class Connection(StrEnum):
    """State of the line. STALE: nothing is heard, so no figure is of now."""

    CONNECTING = "connecting"
    LIVE = "live"
    DELAYED = "delayed"
    STALE = "stale"


class Model:
    """Empty at first. `clock` tells monotonic seconds.

    `as_of_ms` is the monitor's wall clock at the last frame (Unix ms), None before the first; `reason` says why nothing is heard.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sections: dict[str, dict[str, Row]] = {}
        self._sequence = 0
        self._clock_s = 0.0
        self._heard_s: float | None = None
        self._quickest_s = 0.0
        self._started_s = clock()
        self._is_lost = False
        self.as_of_ms: int | None = None
        self.reason = ""

    def apply(self, frame: Mapping[str, Any]) -> None:
        """Take a frame in: a snapshot replaces everything, changes carry whole rows and the ids that went. Raises FrameError."""
        rows, gone = _checked(frame, self._sequence)
        if frame["type"] == "snapshot":
            self._sections = {}
        for section, told in rows.items():
            self._sections.setdefault(section, {}).update(told)
        for section, names in gone.items():
            for name in names:
                self._sections.get(section, {}).pop(name, None)
        self._hear(frame)

    def _hear(self, frame: Mapping[str, Any]) -> None:
        self._sequence, self._clock_s, self.as_of_ms = frame["sequence"], frame["clock_s"], frame["as_of_ms"]
        self._heard_s = self._clock()
        took_s = self._heard_s - self._clock_s
        # a snapshot opens a line, perhaps to a monitor that started anew and counts its seconds from another zero
        self._quickest_s = took_s if frame["type"] == "snapshot" else min(self._quickest_s, took_s)
        self._is_lost, self.reason = False, ""

    def lost(self, reason: str) -> None:
        """The line is dead or silent: whatever is known is of the past until the next frame."""
        self._is_lost, self.reason = True, reason

    @property
    def connection(self) -> Connection:
        """The state of the line now."""
        if self._is_lost:
            return Connection.STALE
        if self._heard_s is None:
            return Connection.CONNECTING
        return Connection.DELAYED if self.delay_s > DELAYED_S else Connection.LIVE

    @property
    def delay_s(self) -> float:
        """Seconds the last frame took longer than the quickest one of this line."""
        return 0.0 if self._heard_s is None else self._heard_s - self._clock_s - self._quickest_s

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame; since the start where there was none."""
        return self._clock() - (self._started_s if self._heard_s is None else self._heard_s)

    def age_s(self, at_s: float | None) -> float | None:
        """Seconds since a time `*_at_s` of a row; None for None."""
        return None if at_s is None or self._heard_s is None else max(0.0, self._clock_s - at_s + self.silent_s)

    def since_s(self, time_ms: float) -> float:
        """Seconds since a wall clock time of the monitor, Unix ms."""
        return 0.0 if self.as_of_ms is None else max(0.0, (self.as_of_ms - time_ms) / 1000 + self.silent_s)

    def rows(self, section: str) -> list[Row]:
        """The rows of a section, in the order they came; none of one that is not known."""
        return list(self._sections.get(section, {}).values())

    def ids(self, section: str) -> list[str]:
        """Their ids, in the same order."""
        return list(self._sections.get(section, {}))

    def row(self, section: str, name: str) -> Row | None:
        """One row; None where there is none."""
        return self._sections.get(section, {}).get(name)


def _checked(frame: Mapping[str, Any], sequence: int) -> tuple[dict[str, dict[str, Row]], dict[str, list[str]]]:
    try:
        version, kind, since = frame["version"], frame["type"], frame["since"]
        rows, gone = frame["rows"], frame["gone"]
        is_whole = all(isinstance(frame[key], int | float) for key in ("sequence", "as_of_ms", "clock_s", "since"))
    except KeyError as missing:
        raise FrameError(f"a frame without {missing.args[0]}") from None
    if version != VERSION:
        raise FrameError(f"its frames have format {version}, this program reads {VERSION}: run both in the same version")
    if not is_whole or kind not in ("snapshot", "changes") or not isinstance(rows, dict) or not isinstance(gone, dict):
        raise FrameError("a frame of no known form")
    if kind == "changes" and not 0 < since <= sequence:
        raise FrameError("frames are missing")
    return rows, gone
