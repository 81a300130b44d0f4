"""Faults of the simulated Aster: those of every venue (`Faults`) and those of listen keys, user events and REST errors.

Feeds are named by the event: "markPriceUpdate", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", ... `step_clock` puts the server's
clock itself wrong: its time, its stamps and the window of nonces.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Literal

from connectors.simulator.faults import Answer, Faults, QueuedFrame

UserFault = Literal["drop", "duplicate", "reorder"]

_HTML = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center></body></html>"
_MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests; current limit is 2400 requests per minute. Please use the websocket for live updates.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
}


class AsterFaults(Faults):
    """The switches of one Aster venue. Every one starts off; times are seconds of the venue."""

    def __init__(self) -> None:
        super().__init__()
        self.user_kills = 0
        self.silences = 0
        self.user_delay = 0.0
        self._user: dict[tuple[UserFault, str], int] = {}
        self._failures: list[tuple[int, int | None, float, str | None]] = []
        self._stalls: list[tuple[float, str | None]] = []

    def kill_user_sockets(self) -> None:
        """Drop every socket that listens to a listen key, without a close frame."""
        self.user_kills += 1

    def silence_users(self) -> None:
        """Send no user event any more on the sockets open now: they still answer pings. New sockets speak."""
        self.silences += 1

    def delay_user_events(self, seconds: float) -> None:
        """Hold user events back by this long; 0 lets the held ones out."""
        self.user_delay = seconds

    def spoil_user_events(self, fault: UserFault, count: int = 1, *, event: str = "") -> None:
        """Drop or double the next `count` user events (of one kind), or send each of them after the one that follows it."""
        self._user[(fault, event)] = self._user.get((fault, event), 0) + count

    def take_user_fault(self, fault: UserFault, event: str) -> bool:
        """Whether the event suffers this fault; takes one."""
        for key in ((fault, event), (fault, "")):
            if self._user.get(key, 0) > 0:
                self._user[key] -= 1
                return True
        return False

    def fail_rest(self, status: int, until: float, *, request: str | None = None, code: int | None = None) -> None:
        """Answer REST requests (of one path) with this status until a venue time.

        429, 418 and any status with a `code` carry the venue's error object (status 200 too), other ones an HTML page.
        """
        self._failures.append((status, -1003 if status in (418, 429) and code is None else code, until, request))

    def rest(self, request: str, now: float) -> Answer | None:
        """The failure to answer a path with, None to answer truthfully."""
        self._failures = [row for row in self._failures if now < row[2]]
        for status, code, _, only in self._failures:
            if only in (None, request):
                if code is None:
                    return status, {"Content-Type": "text/html"}, _HTML % (status, status)
                body = {"code": code, "msg": _MESSAGES.get(code, "Simulated error.")}
                return status, {"Content-Type": "application/json"}, json.dumps(body).encode()
        return None

    def stall_rest(self, until: float, *, request: str | None = None) -> None:
        """Hold REST answers (of one path) back until a venue time; they are as old as their requests when they leave."""
        self._stalls.append((until, request))

    def stalled(self, request: str, now: float) -> bool:
        """Whether an answer of this path is held back at `now`."""
        self._stalls = [row for row in self._stalls if now < row[0]]
        return any(only in (None, request) for _, only in self._stalls)


class UserEvents:
    """One connection's user events under the faults that only they know."""

    def __init__(self, faults: AsterFaults) -> None:
        self._faults, self._silences = faults, faults.silences
        self._late: deque[QueuedFrame] = deque()
        self._swapped: list[QueuedFrame] = []

    def put(self, queued: QueuedFrame) -> None:
        """Take an event of the venue."""
        kind = queued[1]
        if self._silences < self._faults.silences or self._faults.take_user_fault("drop", kind):
            return
        if not self._swapped and self._faults.take_user_fault("reorder", kind):
            self._swapped.append(queued)
            return
        copies = 2 if self._faults.take_user_fault("duplicate", kind) else 1
        self._late.extend([queued] * copies + self._swapped)
        self._swapped.clear()

    def take(self, now: float) -> list[QueuedFrame]:
        """The events that are due at venue time `now`."""
        due: list[QueuedFrame] = []
        while self._late and now >= self._late[0][0] + self._faults.user_delay:
            due.append(self._late.popleft())
        return due
