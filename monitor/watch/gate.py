"""Which of many figures are beyond a limit, without flicker: in at the limit, out only a tenth of it further back."""

from __future__ import annotations

from collections.abc import Container, Hashable

GAP = 0.1
"""Of the limit: so far a figure must go back to be within it again."""


class Gate:
    """The figures, by key, that are beyond their limit now. One gate is for one direction: `reached` or `undercut`."""

    def __init__(self) -> None:
        self._beyond: set[Hashable] = set()

    def holds(self, key: Hashable) -> bool:
        """Whether the figure was beyond its limit when it was last judged."""
        return key in self._beyond

    def reached(self, key: Hashable, figure: float, limit: float) -> bool:
        """Judge a figure that must stay below `limit`: beyond it from there on, within it again below 0.9 of it. NaN changes nothing."""
        return self._judge(key, figure >= limit, figure < limit * (1.0 - GAP))

    def undercut(self, key: Hashable, figure: float, limit: float) -> bool:
        """Judge a figure that must stay at or above `limit`: beyond it below, within it again above 1.1 of it. NaN changes nothing."""
        return self._judge(key, figure < limit, figure > limit * (1.0 + GAP))

    def release(self, key: Hashable) -> None:
        """The figure is none any more."""
        self._beyond.discard(key)

    def keep(self, keys: Container[Hashable]) -> None:
        """Forget all others."""
        self._beyond = {key for key in self._beyond if key in keys}

    def _judge(self, key: Hashable, enters: bool, leaves: bool) -> bool:
        if enters:
            self._beyond.add(key)
        elif leaves:
            self._beyond.discard(key)
        return key in self._beyond
