"""The venue's clock, as its answers and frames tell it."""

from __future__ import annotations

from connectors.clock import Clock

_EARLIEST_MS, _LATEST_MS = 1_500_000_000_000, 5_000_000_000_000


class VenueTime:
    """Milliseconds since 1970 on the venue's clock; this machine's until the venue told its own."""

    def __init__(self, clock: Clock) -> None:
        self._offset_ms = clock.time_ms() - clock.monotonic_ns() / 1e6
        self.known = False

    def heard(self, time_ms: int, now_ns: int) -> None:
        """The venue's clock said this just now; a time that cannot be one is ignored."""
        if _EARLIEST_MS < time_ms < _LATEST_MS:
            self._offset_ms = time_ms - now_ns / 1e6
            self.known = True

    def now_ms(self, now_ns: int) -> int:
        """The venue's time at a monotonic time."""
        return round(now_ns / 1e6 + self._offset_ms)
