"""The words of the dispatcher and its lines: what they are told, what they tell, and what they take from the world."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from connectors.clock import Clock, SystemClock, within
from connectors.errors import Timeout
from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery, Receiver
from monitor.alerts.outbox import Batch, Outcome
from monitor.alerts.parcel import Item
from monitor.alerts.routing import Route
from monitor.alerts.silences import Silence
from monitor.alerts.text import Text, group
from monitor.margin.result import Level

_log = logging.getLogger("marginwatch.dispatcher")

_LONGEST_RETRY_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A receiver and what it is for. `escalate_to`: who gets what it does not take in time; None: the next in order.

    `is_log`: it is no person's; it counts as nobody where an alert needs somebody, and what it does not take goes nowhere else.
    """

    receiver: Receiver
    route: Route = field(default_factory=Route)
    escalate_to: str | None = None
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class DispatcherConfig:
    """Queue length in alerts (last states from CRITICAL on and ends may exceed it), times in seconds. Pause after failure n:
    min(longest, first * 2**(n-1)), half of it random.

    `deadline_s`: so long a receiver has, then the next one gets it; from CRITICAL on at most `urgent_deadline_s`.
    `fatal_retry_s`: pause after a failure that only a change of configuration mends. `problem_after_s`: so long a receiver may fail
    before it is an alert itself. `write_limit_s`: what an outbox that does not keep its own limit is given.
    """

    queue_size: int = 256
    group_s: float = 1.0
    deadline_s: float = 300.0
    urgent_deadline_s: float = 60.0
    first_retry_s: float = 1.0
    longest_retry_s: float = 15.0
    fatal_retry_s: float = 60.0
    send_limit_s: float = 30.0
    problem_after_s: float = 60.0
    write_limit_s: float = 1.0

    def deadline_of(self, alert: Alert) -> float:
        """How long a receiver has for it, in seconds; an end counts as what it ends."""
        return min(self.deadline_s, self.urgent_deadline_s) if alert.severity >= Level.CRITICAL else self.deadline_s

    def pause_after(self, delivery: Delivery, failing: int, chance: float) -> float:
        """Seconds until the next try after this one, the `failing`-th in a row that failed; `chance` is a number in [0, 1)."""
        longest = min(self.longest_retry_s, self.first_retry_s * 2.0 ** min(max(failing - 1, 0), 30))
        share = 0.5 + 0.5 * chance
        if delivery.fatal:
            return self.fatal_retry_s
        if delivery.retry_after_s is None:
            return longest * share
        # A wish of 0 s that is never kept would be a loop without a pause.
        return min(max(delivery.retry_after_s, self.first_retry_s * share), _LONGEST_RETRY_AFTER_S)


@dataclass(frozen=True, slots=True)
class ReceiverStatistics:
    """Counts since the start, in alerts unless said otherwise.

    `waiting` includes what is being sent; `peak` is its highest; `attempts_failed` and `messages` count sendings; `failing` is the
    number of failures since the last success. `escalated`: passed on to the next receiver; `silenced`: not sent because of a silence;
    `failed`: given up, with nobody left.
    """

    name: str
    waiting: int
    peak: int
    delivered: int
    messages: int
    dropped: int
    failed: int
    attempts_failed: int
    failing: int
    last_error: str
    escalated: int
    silenced: int


@dataclass(frozen=True, slots=True)
class Seams:
    """What the dispatcher takes from the world: a clock, and a number in [0, 1)."""

    clock: Clock = field(default_factory=SystemClock)
    chance: Callable[[], float] = random.random

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.clock.monotonic_ns() / 1e9


class Ledger(Protocol):
    """What the dispatcher needs of an outbox (`monitor.alerts.outbox.Outbox` is one)."""

    @property
    def problem(self) -> str:
        """Why writing fails now; empty while it works."""

    @property
    def is_durable(self) -> bool:
        """Whether there is a file that the next process reads."""

    async def write(self, batch: Batch) -> bool:
        """Durable on return, or False."""

    def settle(
        self, ids: Sequence[str], receiver: str, outcome: Outcome, now_ms: int, reason: str = "", handles: Mapping[str, str] | None = None
    ) -> None:
        """Note what became of alerts at a receiver."""

    def tried(self, ids: Sequence[str], receiver: str, reason: str) -> None:
        """Note a failed attempt."""

    def reassign(self, alerts: Sequence[Alert], receiver: str, deadline_ms: int) -> None:
        """Note that another receiver is to get these now."""

    def keep_silence(self, silence: Silence) -> None:
        """Keep a silence."""


class PassOn(Protocol):
    """The dispatcher, as a line sees it."""

    def __call__(self, of: str, items: Sequence[Item], reason: str) -> bool:
        """Give the first item, and what else waits of its incident, to the next receiver. False: nobody is left."""


def guarded(call: Callable[..., None], *arguments: object) -> None:
    """A note for the outbox: whatever is wrong with it, the pager goes on."""
    try:
        call(*arguments)
    except Exception as error:
        _log.error("alerts: the outbox failed inside (%s)", type(error).__name__)


async def answered(clock: Clock, limit_s: float, work: Coroutine[Any, Any, Delivery]) -> Delivery:
    """What a receiver answers within so many seconds, or why it did not."""
    try:
        return await within(clock, limit_s, work, "receiver")
    except Timeout:
        return Delivery(False, f"no answer within {limit_s:g} s")
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return Delivery(False, "it was cancelled")
    except Exception as error:  # A receiver's bug must not end the paging; its text may hold a URL.
        return Delivery(False, type(error).__name__)


def text_of(alerts: Sequence[Alert]) -> Text:
    """What a message of these says; where the texts fail, their titles: better an ugly page than none."""
    try:
        return group(alerts)
    except Exception as error:
        _log.error("alerts: the text of a burst failed (%s)", type(error).__name__)
        return Text(max(alerts, key=lambda alert: alert.severity).title, tuple(alert.title for alert in alerts))
