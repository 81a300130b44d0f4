"""One budget per address and venue: how much of every per-address limit this program may use.

The trading bots of the desk share the address, so only `share` of each limit is ours, and less while the venue reports that
anybody on the address uses most of it. Windows slide: in no 60 s do we start more than our part. Seconds throughout.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from connectors.clock import Clock
from connectors.errors import BudgetError

WINDOW_NS = 60_000_000_000
UNLIMITED = sys.maxsize
RETRY_OVERSIZED_S = 1.0
NOTICED_WAIT_NS = 1_000_000
FIRST_PENALTY_S = 10.0
LONGEST_PENALTY_S = 300.0
BUSY_RATIO = 0.6
LEAST_BUSY_SCALE = 0.1
HEARTBEAT_RESERVE = 0.1


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """The venue's limits per address, before our share; None where the venue states none.

    `weight_per_minute` counts request weight, `connects_per_minute` new sockets, `connections` open sockets, `users` the
    distinct accounts subscribed to, `messages_per_minute` the frames we send.
    """

    weight_per_minute: int | None = None
    connects_per_minute: int | None = None
    connections: int | None = None
    users: int | None = None
    messages_per_minute: int | None = None


@dataclass(slots=True)
class BudgetStatistics:
    """A copy of the counters, for metrics. Totals count since the start, `*_used` now, `*_limit` is our part (`UNLIMITED`: no limit)."""

    weight_used: int
    weight_limit: int
    weight_total: int
    connects_used: int
    connects_limit: int
    connects_total: int
    messages_used: int
    messages_limit: int
    messages_total: int
    connections_used: int
    connections_limit: int
    users_used: int
    users_limit: int
    waits_total: int
    waited_seconds_total: float
    waiting: int
    penalties_total: int
    venue_usage_ratio: float


@dataclass(slots=True)
class SlidingWindow:
    """Exact accounting of what was spent in the last 60 s: memory is one pair per spending still inside the window.

    `limit` is what may be spent in any window [t, t + 60 s). Pure: the caller brings `now_ns` (monotonic).
    """

    limit: int
    used: int = 0
    total: int = 0
    blocked_until_ns: int = -sys.maxsize
    _spendings: deque[tuple[int, int]] = field(default_factory=deque)

    def wait_s(self, weight: int, now_ns: int, limit: int) -> float:
        """Seconds until `weight` fits under `limit`; 0 if it fits now. A weight above `limit` waits for an empty window."""
        self.expire(now_ns)
        due_ns = max(now_ns, self.blocked_until_ns)
        excess = min(self.used, self.used + weight - limit)
        for at_ns, spent in self._spendings:
            if excess <= 0:
                break
            due_ns = max(due_ns, at_ns + WINDOW_NS)
            excess -= spent
        return (due_ns - now_ns) / 1e9

    def charge(self, weight: int, now_ns: int) -> None:
        """Record a spending, whether it fits or not."""
        if weight <= 0:
            return
        self._spendings.append((now_ns, weight))
        self.used += weight
        self.total += weight

    def try_spend(self, weight: int, now_ns: int, limit: int | None = None) -> float:
        """0 and recorded if `weight` fits under `limit` (default: all of it), else the seconds to wait and nothing recorded."""
        ours = self.limit if limit is None else limit
        wait_s = self.wait_s(weight, now_ns, ours)
        if wait_s > 0.0:
            return wait_s
        if weight > ours:
            return RETRY_OVERSIZED_S
        self.charge(weight, now_ns)
        return 0.0

    def expire(self, now_ns: int) -> None:
        """Forget what left the window."""
        while self._spendings and self._spendings[0][0] <= now_ns - WINDOW_NS:
            self.used -= self._spendings.popleft()[1]


class Budget:
    """Our part of one venue's limits on one address, shared by everything that talks to that venue.

    `share` in (0, 1] of every limit is ours, rounded down, but never less than one pair of connections (market and account),
    two new connections a minute, one user and one unit of the rest. Waiters are served in the order they came.
    Raises ValueError for a share outside (0, 1].
    """

    def __init__(self, venue: str, limits: BudgetLimits, share: float, clock: Clock) -> None:
        if not 0.0 < share <= 1.0:
            raise ValueError(f"ip_budget_share of {venue} is {share}: use a number above 0 and at most 1")
        self.venue = venue
        self._clock = clock
        self._weight = SlidingWindow(_ours(limits.weight_per_minute, share, 1))
        self._connects = SlidingWindow(_ours(limits.connects_per_minute, share, 2))
        self._messages = SlidingWindow(_ours(limits.messages_per_minute, share, 2))
        self.connections_limit = _ours(limits.connections, share, 2)
        self.users_limit = _ours(limits.users, share, 1)
        self._slots = asyncio.Semaphore(self.connections_limit)
        self._slots_used = 0
        self._users: set[Hashable] = set()
        self._weight_queue = asyncio.Lock()
        self._connect_queue = asyncio.Lock()
        self._waiting = 0
        self._waits = 0
        self._waited_ns = 0
        self._penalties = 0
        self._penalties_in_a_row = 0
        self._penalty_end_ns = -sys.maxsize
        self._usage_ratio = 0.0
        self._usage_end_ns = -sys.maxsize

    def try_spend(self, weight: int) -> float:
        """Spend request weight: 0 if taken, else seconds after which it is worth asking again (nothing taken).

        Never jumps the queue of `spend`. Raises BudgetError if the weight is above our whole part.
        """
        self._check_weight(weight)
        if self._weight_queue.locked():
            now_ns = self._clock.monotonic_ns()
            return max(1.0, self._weight.wait_s(weight, now_ns, self._room_for(weight, now_ns)))
        return self._try_weight(weight)

    async def spend(self, weight: int) -> None:
        """Spend request weight, waiting for it in turn. Raises BudgetError if the weight is above our whole part."""
        self._check_weight(weight)
        with self._counted():
            async with self._weight_queue:
                while (wait_s := self._try_weight(weight)) > 0.0:
                    await self._clock.sleep(wait_s)

    def charge(self, weight: int) -> None:
        """Record weight that only the answer told (so much per returned row): later requests wait for it."""
        self._weight.charge(weight, self._clock.monotonic_ns())

    def used_ratio(self) -> float:
        """Request weight spent in the last minute over our whole part; above 1 after a large `charge`."""
        self._weight.expire(self._clock.monotonic_ns())
        return self._weight.used / self._weight.limit

    def penalise(self, retry_after_s: float | None = None, *, connecting: bool = False) -> float:
        """The venue told us to slow down: nothing is spent for the seconds returned.

        That is `retry_after_s` where the venue named it, else 10 s doubling with every refusal in a row, at most 300 s. What is
        refused during a pause was on its way before it, and counts as one with what began the pause.
        `connecting`: it refused a new connection, so new connections pause too.
        """
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._penalty_end_ns > WINDOW_NS:
            self._penalties_in_a_row = 0
        if now_ns >= self._penalty_end_ns:
            self._penalties_in_a_row += 1
        doubled = FIRST_PENALTY_S * 2.0 ** min(max(0, self._penalties_in_a_row - 1), 16)
        pause_s = min(LONGEST_PENALTY_S, doubled) if retry_after_s is None else max(0.0, retry_after_s)
        self._penalties += 1
        end_ns = now_ns + math.ceil(pause_s * 1e9)
        self._penalty_end_ns = max(self._penalty_end_ns, end_ns)
        for window in (self._weight, self._connects) if connecting else (self._weight,):
            window.blocked_until_ns = max(window.blocked_until_ns, end_ns)
        return pause_s

    def observe_venue_usage(self, ratio: float) -> None:
        """The venue's own word for how much of the whole limit the address used (1 = all), by anybody.

        From 0.6 on, and for a minute after, our part is multiplied by what is left (1 - ratio), at least by 0.1. A ratio that is
        not a number is ignored.
        """
        if math.isnan(ratio):
            return
        self._usage_ratio = max(0.0, ratio)
        self._usage_end_ns = self._clock.monotonic_ns() + WINDOW_NS

    def try_send(self, *, heartbeat: bool = False) -> float:
        """Take one outbound message: 0 if taken, else seconds to wait. A tenth of our part is kept for heartbeats."""
        limit = self._messages.limit
        ours = limit if heartbeat else limit - max(1, math.floor(limit * HEARTBEAT_RESERVE))
        return self._messages.try_spend(1, self._clock.monotonic_ns(), ours)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Hold one of our concurrent connections, and open it within our part of new connections per minute; waits for both."""
        with self._counted():
            await self._slots.acquire()
        self._slots_used += 1
        try:
            with self._counted():
                await self._spend_connect()
            yield
        finally:
            self._slots_used -= 1
            self._slots.release()

    def try_take_user(self, user: Hashable) -> bool:
        """Reserve a user slot; True if the user (an alias) holds one now, False if our part is used up: poll it instead."""
        if user not in self._users and len(self._users) >= self.users_limit:
            return False
        self._users.add(user)
        return True

    def release_user(self, user: Hashable) -> None:
        """Give a user slot back; harmless if it is not held."""
        self._users.discard(user)

    def statistics(self) -> BudgetStatistics:
        """The counters now."""
        now_ns = self._clock.monotonic_ns()
        for window in (self._weight, self._connects, self._messages):
            window.expire(now_ns)
        return BudgetStatistics(
            weight_used=self._weight.used,
            weight_limit=self._weight_limit(now_ns),
            weight_total=self._weight.total,
            connects_used=self._connects.used,
            connects_limit=self._connects.limit,
            connects_total=self._connects.total,
            messages_used=self._messages.used,
            messages_limit=self._messages.limit,
            messages_total=self._messages.total,
            connections_used=self._slots_used,
            connections_limit=self.connections_limit,
            users_used=len(self._users),
            users_limit=self.users_limit,
            waits_total=self._waits,
            waited_seconds_total=self._waited_ns / 1e9,
            waiting=self._waiting,
            penalties_total=self._penalties,
            venue_usage_ratio=self._usage_ratio if now_ns < self._usage_end_ns else 0.0,
        )

    def _try_weight(self, weight: int) -> float:
        now_ns = self._clock.monotonic_ns()
        return self._weight.try_spend(weight, now_ns, self._room_for(weight, now_ns))

    def _room_for(self, weight: int, now_ns: int) -> int:
        # One request that is heavier than what others leave us goes out alone, once the window is empty: it must not hold up the rest.
        return max(self._weight_limit(now_ns), weight)

    def _check_weight(self, weight: int) -> None:
        if weight > self._weight.limit:
            raise BudgetError(self.venue, weight, self._weight.limit)

    def _weight_limit(self, now_ns: int) -> int:
        if now_ns >= self._usage_end_ns or self._usage_ratio < BUSY_RATIO:
            return self._weight.limit
        return max(1, math.floor(self._weight.limit * max(LEAST_BUSY_SCALE, 1.0 - self._usage_ratio)))

    async def _spend_connect(self) -> None:
        async with self._connect_queue:
            while (wait_s := self._connects.try_spend(1, self._clock.monotonic_ns())) > 0.0:
                await self._clock.sleep(wait_s)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        begun_ns = self._clock.monotonic_ns()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            waited_ns = self._clock.monotonic_ns() - begun_ns
            if waited_ns >= NOTICED_WAIT_NS:
                self._waits += 1
                self._waited_ns += waited_ns


class Budgets:
    """The budgets of one address. Who asks for the same again goes on with what was spent: the venue counts addresses, not connectors."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, BudgetLimits, float, Clock], Budget] = {}

    def of(self, venue: str, limits: BudgetLimits, share: float, clock: Clock) -> Budget:
        """The one budget of these limits, share and clock. Raises what `Budget` raises."""
        key = venue, limits, share, clock
        if key not in self._known:
            self._known[key] = Budget(venue, limits, share, clock)
        return self._known[key]


def _ours(limit: int | None, share: float, least: int) -> int:
    return UNLIMITED if limit is None else max(least, math.floor(limit * share))
