"""How long to wait before trying again: policies are values, their memory is separate."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th delay in a row is uniform in [0, min(maximum, initial * factor**n)].

    Seconds throughout. The count starts over once a connection has lived for `stable_after`, never merely because it opened:
    a venue that accepts and drops us at once would otherwise be hammered. Raises ValueError for a policy that cannot work.
    """

    initial: float = 1.0
    maximum: float = 30.0
    factor: float = 2.0
    stable_after: float = 60.0

    def __post_init__(self) -> None:
        if not (0.0 < self.initial <= self.maximum and self.factor >= 1.0 and self.stable_after >= 0.0):
            raise ValueError(f"{self} cannot work: use 0 < initial <= maximum, factor >= 1 and stable_after >= 0")

    def ceiling(self, attempt: int) -> float:
        """The longest delay (seconds) of the attempt, counted from 0."""
        try:
            return min(self.maximum, self.initial * self.factor**attempt)
        except OverflowError:
            return self.maximum


class BackoffState:
    """What one connection (or one retried job) remembers of its failures. `random` decides the jitter."""

    def __init__(self, policy: Backoff, random: Random) -> None:
        self.policy = policy
        self.attempt = 0
        self._random = random
        self._connected_ns: int | None = None

    def next_delay(self) -> float:
        """Seconds to wait before the next try; counts it."""
        ceiling = self.policy.ceiling(self.attempt)
        self.attempt += 1
        return self._random.uniform(0.0, ceiling)

    def connected(self, now_ns: int) -> None:
        """The try succeeded at `now_ns` (monotonic)."""
        self._connected_ns = now_ns

    def closed(self, now_ns: int) -> None:
        """The connection ended at `now_ns`: forgets the failures if it had been stable."""
        if self._connected_ns is not None and now_ns - self._connected_ns >= self.policy.stable_after * 1e9:
            self.attempt = 0
        self._connected_ns = None
