"""How often an address may ask: token buckets with an injected clock, over a bounded table."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MOST_ADDRESSES = 4096
"""Addresses in one table; beyond it the one that asked longest ago is forgotten, and begins anew with a full bucket."""

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one address may ask: requests (a second, and at once), and tokens that are wrong (a minute, and at once)."""

    requests_per_s: float = 50.0
    requests_at_once: int = 200
    wrong_tokens_per_minute: int = 10

    def requests(self, clock: Callable[[], float]) -> Buckets:
        """The table of all requests. `clock` tells monotonic seconds."""
        return Buckets(self.requests_per_s, self.requests_at_once, clock)

    def wrong_tokens(self, clock: Callable[[], float]) -> Buckets:
        """The table of wrong tokens."""
        return Buckets(self.wrong_tokens_per_minute / _MINUTE_S, self.wrong_tokens_per_minute, clock)


class Buckets:
    """A bucket per address: `at_once` when full, refilled with `per_s` a second of `clock` (monotonic seconds)."""

    def __init__(self, per_s: float, at_once: int, clock: Callable[[], float], most: int = MOST_ADDRESSES) -> None:
        self._per_s = per_s
        self._at_once = float(at_once)
        self._clock = clock
        self._most = most
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, address: str) -> float:
        """Take one out of the bucket: 0, or the seconds until there is one again, and nothing is taken."""
        now_s, level = self._clock(), self._level(address)
        missing = 1.0 - level
        if missing > 0.0:
            return missing / self._per_s
        self._levels[address] = level - 1.0, now_s
        self._levels.move_to_end(address)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        return 0.0

    def wait_s(self, address: str) -> float:
        """What `take` would answer, in seconds."""
        return max(0.0, 1.0 - self._level(address)) / self._per_s

    def _level(self, address: str) -> float:
        level, at_s = self._levels.get(address, (self._at_once, 0.0))
        return min(self._at_once, level + (self._clock() - at_s) * self._per_s)


def asker(remote: str | None) -> str:
    """Whom a remote address is counted as: an IPv4 address is one asker, and so is a whole /64 of IPv6, which one machine can have."""
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return remote or ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
