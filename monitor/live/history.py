"""The highest margin ratio of every pool and portfolio in each five seconds of the last hour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.pool import Floats
from monitor.live.books import PortfolioFigures
from monitor.margin.result import PoolResult

STEP_S = 5
STEPS = 720
MOST = 4096
"""Ids that are kept at once; those that come beyond are not, until others were dropped."""

_STEP_MS = 1000 * STEP_S


@dataclass(frozen=True, slots=True)
class Series:
    """Highest ratio of each step from the one that begins at `start_ms` (Unix ms) on; NaN where there was none.

    It begins with the first value of the last hour; the last step is the one that is under way. Empty without any value.
    """

    start_ms: int
    ratios: Floats


class RatioHistory:
    """Highest margin ratio of each STEP_S of the last STEPS of them, by id. An id that was not told for so long is forgotten.

    Where the clock is set back, the steps that then lie in the future are dropped; where it leaps, the time between has no values.
    """

    def __init__(self) -> None:
        self._ratios = np.full((STEPS, 64), math.nan)
        self._latest = np.full(64, math.nan)
        self._seen = np.zeros(64, np.int64)
        self._rows: dict[str, int] = {}
        self._free = [*range(64)]
        self._step: int | None = None

    def note(self, now_ms: int, rows: Iterable[tuple[str, float | None]]) -> None:
        """Take the ratios of now (Unix ms), by id; None or NaN is no value."""
        step = now_ms // _STEP_MS
        self._move_to(step)
        told = {row: math.nan if ratio is None else ratio for name, ratio in rows if (row := self._row(name)) is not None}
        numbers, values = np.array([*told], np.intp), np.array([*told.values()])
        current = self._ratios[step % STEPS]
        current[numbers] = np.fmax(current[numbers], values)
        self._latest[numbers] = np.where(np.isnan(values), self._latest[numbers], values)
        self._seen[numbers] = step

    def series(self, names: Iterable[str]) -> dict[str, Series]:
        """The last hour of these ids, without those that are not known."""
        return {name: self._series(self._rows[name]) for name in names if name in self._rows}

    def highest(self, count: int) -> list[str]:
        """The ids with the highest last known ratios, highest first."""
        known = [(-float(self._latest[row]), name) for name, row in self._rows.items() if not math.isnan(self._latest[row])]
        return [name for _, name in sorted(known)[:count]]

    def _move_to(self, step: int) -> None:
        before = step if self._step is None else self._step
        self._step = step
        # what is cleared: ahead the steps that nothing was told of, back those that have not come yet
        gone = range(before + 1, step + 1) if step >= before else range(step + 1, before + 1)
        self._ratios[[one % STEPS for one in gone[:STEPS]]] = math.nan
        if step < before:
            np.minimum(self._seen, step, out=self._seen)
        elif step > before:
            for name in [name for name, row in self._rows.items() if step - self._seen[row] >= STEPS]:
                self._drop(name)

    def _drop(self, name: str) -> None:
        row = self._rows.pop(name)
        self._ratios[:, row] = self._latest[row] = math.nan
        self._free.append(row)

    def _row(self, name: str) -> int | None:
        row = self._rows.get(name)
        if row is None and len(self._rows) < MOST:
            if not self._free:
                self._grow()
            row = self._rows[name] = self._free.pop()
        return row

    def _grow(self) -> None:
        size = len(self._seen)
        self._ratios = np.concatenate([self._ratios, np.full((STEPS, size), math.nan)], axis=1)
        self._latest = np.concatenate([self._latest, np.full(size, math.nan)])
        self._seen = np.concatenate([self._seen, np.zeros(size, np.int64)])
        self._free = [*range(size, 2 * size)]

    def _series(self, row: int) -> Series:
        last = self._step or 0
        first = last - STEPS + 1
        ratios = np.roll(self._ratios[:, row], -(first % STEPS))
        (known,) = np.nonzero(~np.isnan(ratios))
        skipped = int(known[0]) if len(known) else STEPS
        return Series((first + skipped) * _STEP_MS, ratios[skipped:])


def ratios_of(results: Sequence[PoolResult], portfolios: Sequence[PortfolioFigures]) -> Iterator[tuple[str, float | None]]:
    """Ids as the API names pools and portfolios, `pools/VENUE/ACCOUNT/POOL` and `portfolios/ID`, and their ratios."""
    for result in results:
        yield f"pools/{result.venue}/{result.account}/{result.pool}", result.margin_ratio
    for figures in portfolios:
        yield f"portfolios/{figures.portfolio}", figures.margin_ratio
