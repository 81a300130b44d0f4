"""A dead man's switch: an address that is called as long as the monitor sees, so that somebody else pages when it does not.

What is withheld or fails is not made up for: the other end is to see the gap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from config.secrets import Secret
from connectors.clock import Clock, SystemClock, within
from connectors.errors import Timeout
from monitor.alerts.receivers.http import PostError

_log = logging.getLogger("marginwatch.heartbeat")

LONGEST_CALL_S = 10.0


class Answer(Protocol):
    """What came back."""

    @property
    def status(self) -> int:
        """The HTTP status."""


class Caller(Protocol):
    """The seam (`HttpPoster` is one): PostError when there is no answer within `timeout_s`; any status is an answer."""

    async def get(self, url: Secret, timeout_s: float) -> Answer:
        """Get once."""


@dataclass(frozen=True, slots=True)
class HeartbeatStatistics:
    """Counts since the start. `withheld_because` and `last_error` are empty when the last beat was not withheld, or was answered."""

    sent: int
    failed: int
    withheld: int
    last_sent_ms: int | None
    last_error: str
    withheld_because: str


class Heartbeat:
    """Calls `url` every `every_s` seconds while `healthy()` returns "" (else: why the monitor does not see)."""

    def __init__(
        self, caller: Caller, url: Secret, every_s: float, healthy: Callable[[], str] | None = None, clock: Clock | None = None
    ) -> None:
        self.healthy = healthy or _not_told
        """May be set after the construction; until then no beat is sent."""
        self._caller = caller
        self._url = url
        self._every_s = every_s
        self._clock = clock or SystemClock()
        self._sent = self._failed = self._withheld = 0
        self._last_sent_ms: int | None = None
        self._last_error = ""
        self._withheld_because = ""

    async def run(self) -> None:
        """Beat until cancelled, the first time at once."""
        due_s = self._now_s()
        while True:
            await self.beat(self._why_not())
            now_s, due_s = self._now_s(), due_s + self._every_s
            if due_s <= now_s:
                # A machine that was suspended does not catch up: a late beat is one beat.
                due_s = now_s + self._every_s
            await self._clock.sleep(due_s - now_s)

    async def beat(self, why_not: str) -> bool:
        """One beat: a call unless there is a reason against it, tried once. Whether it was answered with 2xx."""
        if why_not:
            self._withhold(why_not)
            return False
        self._be_seeing()
        error = await self._call()
        if error:
            self._fail(error)
            return False
        if self._last_error:
            _log.warning("heartbeat: its address answers again")
        self._sent += 1
        self._last_sent_ms = self._clock.time_ms()
        self._last_error = ""
        return True

    def statistics(self) -> HeartbeatStatistics:
        """The counters now."""
        return HeartbeatStatistics(self._sent, self._failed, self._withheld, self._last_sent_ms, self._last_error, self._withheld_because)

    def _why_not(self) -> str:
        try:
            return self.healthy()
        except Exception as error:  # Whoever cannot say that all is well is not well; the text may hold anything.
            return f"its check failed ({type(error).__name__})"

    async def _call(self) -> str:
        limit_s = min(LONGEST_CALL_S, self._every_s)
        try:
            answer = await within(self._clock, limit_s, _got(self._caller, self._url, limit_s), "heartbeat")
        except Timeout:
            return f"no answer within {limit_s:g} s"
        except PostError as error:
            return str(error)
        except Exception as error:  # A bug; its text may hold the URL.
            return type(error).__name__
        return "" if 200 <= answer.status < 300 else f"HTTP status {answer.status}"

    def _withhold(self, why: str) -> None:
        self._withheld += 1
        if not self._withheld_because:
            _log.warning("heartbeat withheld: %s", why)
        self._withheld_because = why

    def _be_seeing(self) -> None:
        if self._withheld_because:
            _log.warning("heartbeat: sent again")
        self._withheld_because = ""

    def _fail(self, error: str) -> None:
        self._failed += 1
        if not self._last_error:
            _log.warning("heartbeat: its address does not answer (%s); the next beat comes at its time", error)
        self._last_error = error

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9


async def _got(caller: Caller, url: Secret, limit_s: float) -> Answer:
    return await caller.get(url, limit_s)


def _not_told() -> str:
    return "nothing was evaluated yet"
