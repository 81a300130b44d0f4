"""Who gets the few push subscriptions the venue grants an address: the accounts nearest their limit, without flapping. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Swap:
    """Stop pushing `demote` (None: a slot is free) and push `promote` instead."""

    promote: str
    demote: str | None = None


@dataclass(slots=True)
class SlotPolicy:
    """`slots` accounts are pushed. A polled one takes the place of a pushed one only if its margin ratio is higher by more than
    `swap_margin`, and at most once in `swap_interval_s`. Margin ratios are fractions of the liquidation point.
    """

    slots: int
    swap_margin: float
    swap_interval_s: float
    _last_swap_ns: int | None = None

    def next(self, pushed: Collection[str], polled: Collection[str], ratios: Mapping[str, float], now_ns: int) -> Swap | None:
        """The one change to make now, None if none. `polled` in order of preference among equals; no ratio counts as 0."""
        if not polled or self.slots <= 0:
            return None
        best = max(polled, key=lambda alias: ratios.get(alias, 0.0))
        if len(pushed) < self.slots:
            return Swap(best)
        worst = min(pushed, key=lambda alias: ratios.get(alias, 0.0))
        if not ratios.get(best, 0.0) > ratios.get(worst, 0.0) + self.swap_margin:
            return None
        if self._last_swap_ns is not None and now_ns - self._last_swap_ns < self.swap_interval_s * NS:
            return None
        self._last_swap_ns = now_ns
        return Swap(best, worst)
