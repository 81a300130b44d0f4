"""Computed against reported: every figure the venue prints and we can compute, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

TOLERANCE = 0.001
"""A pool that differs from the venue by more is UNRECONCILED (design: 0.1 %)."""

NOISE = 1e-9
"""Relative differences below this are rounding of what the venue prints, not a different opinion."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of one pool, ours and the venue's, in the pool's token; `scale` is what the difference is measured against."""

    figure: str
    computed: float
    reported: float
    scale: float

    @property
    def difference(self) -> float:
        """|computed - reported| / scale, +inf when ours is not a number."""
        gap = abs(self.computed - self.reported)
        return gap / self.scale if math.isfinite(gap) else math.inf

    @property
    def shortfall(self) -> float:
        """reported - computed, 0 within rounding noise."""
        return 0.0 if self.difference <= NOISE else self.reported - self.computed


def compare(figure: str, computed: float, reported: float, scale: float | None = None) -> Comparison:
    """A comparison whose scale is the reported figure (or `scale`), at least one unit of money so that dust does not alarm."""
    return Comparison(figure, computed, reported, max(1.0, abs(reported) if scale is None else abs(scale)))


def worst(comparisons: Iterable[Comparison]) -> float | None:
    """Largest relative difference, None when there is nothing to compare with."""
    return max((comparison.difference for comparison in comparisons), default=None)
