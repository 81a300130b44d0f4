"""Faults to inject into a simulated venue: switches a test or a demo flips, consulted wherever the venue speaks.

A fault touches what leaves the venue, never the venue's state: its own figures stay the truth to compare with.
Times are seconds of the venue's clock.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Corruption = Literal["garbage", "truncated", "wrong_shape"]
Answer = tuple[int, dict[str, str], bytes]
QueuedFrame = tuple[float, str, str]
"""(venue time when queued, feed, text)."""

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
_HISTORY = 64


@dataclass(slots=True)
class _Corrupt:
    kind: Corruption
    feed: str | None
    left: int


class Faults:
    """The switches of one venue. Every one starts off."""

    def __init__(self) -> None:
        self.frozen: set[str] = set()
        self.pongs_stopped = False
        self.frame_delay = 0.0
        self.clock_offset_ms = 0
        self.universe_change: dict[str, int] = {}
        self.kills = 0
        self._refuse_until = -1.0
        self._corruptions: list[_Corrupt] = []
        self._replays: dict[str, int] = {}
        self._rest: list[tuple[int, float, str | None]] = []

    def kill_sockets(self) -> None:
        """Drop every open socket at the server's next step, without a close frame."""
        self.kills += 1

    def refuse_connects(self, until: float) -> None:
        """Refuse new sockets until this venue time (seconds)."""
        self._refuse_until = until

    def refusing(self, now: float) -> bool:
        """Whether new sockets are refused at `now`."""
        return now < self._refuse_until

    def freeze(self, feed: str) -> None:
        """Lose every frame of one feed (its subscription type) while all else goes on."""
        self.frozen.add(feed)

    def thaw(self, feed: str) -> None:
        """Let a frozen feed go on; what was lost stays lost."""
        self.frozen.discard(feed)

    def stop_pongs(self) -> None:
        """Answer no more pings."""
        self.pongs_stopped = True

    def resume_pongs(self) -> None:
        """Answer pings again."""
        self.pongs_stopped = False

    def delay_frames(self, seconds: float) -> None:
        """Hold every frame back by this long; 0 lets the held ones out."""
        self.frame_delay = seconds

    def corrupt(self, kind: Corruption, *, feed: str | None = None, count: int = 1) -> None:
        """Spoil the next `count` frames (of one feed): no JSON at all, JSON cut short, or JSON of the wrong shape."""
        self._corruptions.append(_Corrupt(kind, feed, count))

    def replay_stale(self, feed: str, count: int = 1) -> None:
        """Send the oldest remembered frame of a feed once more on the next drains, as if it were new."""
        self._replays[feed] = self._replays.get(feed, 0) + count

    def step_clock(self, milliseconds: int) -> None:
        """Set the venue's published clock (exchangeStatus) off by this much."""
        self.clock_offset_ms = milliseconds

    def change_universe(self, dex: str, rows: int) -> None:
        """Serve metas whose universe lacks its last `-rows` entries (or, `rows` > 0, has phantom ones); 0 restores."""
        self.universe_change[dex] = rows

    def fail_rest(self, status: int, until: float, *, request: str | None = None) -> None:
        """Answer REST requests (of one type) with this status until a venue time: 429 with body null, else an HTML page."""
        self._rest.append((status, until, request))

    def rest(self, request: str, now: float) -> Answer | None:
        """The failure to answer a request with, None to answer truthfully."""
        self._rest = [row for row in self._rest if now < row[1]]
        for status, _, only in self._rest:
            if only in (None, request):
                kind, body = ("application/json", b"null") if status == 429 else ("text/html", _HTML)
                return status, {"Content-Type": kind}, body
        return None

    def stream(self) -> FaultyStream:
        """The filter of one connection's outgoing frames."""
        return FaultyStream(self)

    def spoil(self, feed: str, text: str) -> str:
        """The frame as a corruption leaves it."""
        for corruption in self._corruptions:
            if corruption.left > 0 and corruption.feed in (None, feed):
                corruption.left -= 1
                return _SPOIL[corruption.kind](text)
        return text

    def take_replay(self, feed: str) -> bool:
        """Whether a replay of this feed is wanted; takes one."""
        if self._replays.get(feed, 0) <= 0:
            return False
        self._replays[feed] -= 1
        return True


class FaultyStream:
    """One connection's outgoing frames under the venue's faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._held: deque[QueuedFrame] = deque()
        self._history: dict[str, deque[str]] = {}

    def pass_on(self, frames: list[QueuedFrame], now: float) -> list[str]:
        """The texts a client gets at venue time `now`."""
        self._held.extend(frames)
        out: list[str] = []
        while self._held and (self._faults.frame_delay <= 0.0 or now >= self._held[0][0] + self._faults.frame_delay):
            _, feed, text = self._held.popleft()
            if feed in self._faults.frozen or (feed == "pong" and self._faults.pongs_stopped):
                continue
            self._history.setdefault(feed, deque(maxlen=_HISTORY)).append(text)
            out.append(self._faults.spoil(feed, text))
        for feed, past in self._history.items():
            while past and self._faults.take_replay(feed):
                out.append(past[0])
        return out


def _wrong_shape(text: str) -> str:
    frame, odd = json.loads(text), {"unexpected": [1, None, {"nested": True}]}
    if isinstance(frame, list):
        return json.dumps([odd])
    if "data" in frame:
        return json.dumps(frame | {"data": odd})
    return json.dumps({key: value if key == "e" else odd for key, value in frame.items()})


_SPOIL: dict[Corruption, Callable[[str], str]] = {
    "garbage": lambda text: "\x00\x01 Websocket connection established.",
    "truncated": lambda text: text[: len(text) // 2],
    "wrong_shape": _wrong_shape,
}
