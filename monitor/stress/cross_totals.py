"""The position-by-position comparator of live portfolios: one call into `kernels/cross.py` a portfolio, cheap enough for every tick."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from connectors.model import MarginTier
from kernels import cross, layout
from monitor.market import TierTables, grown
from monitor.stress.book import StressBook


class CrossMargins(NamedTuple):
    """USD; `status` is `layout.OK`, or why there are none."""

    status: int
    maintenance_margin: float
    initial_margin: float


class CrossTotals:
    """Margin tables of the instruments of a stress book, and the sums they make."""

    def __init__(self, book: StressBook) -> None:
        self._book = book
        self._tables = np.full(64, -1, np.int32)
        self._leverages = np.zeros(64)
        self._tiers = TierTables()
        self._known = 0

    def margins(self, portfolio: int) -> CrossMargins:
        """The margins of a portfolio's row, as the book was last evaluated."""
        listed = self._book.market.listed
        for number in range(self._known, len(listed)):
            self._take(number)
        out = np.zeros(2)
        status = cross.cross_margins(portfolio, self._book.tables.book, self._tables, self._leverages, self._tiers.arrays, out)
        return CrossMargins(int(status), float(out[0]), float(out[1])) if status == layout.OK else CrossMargins(int(status), 0.0, 0.0)

    def forget(self) -> None:
        """Margin tables may have changed: take them anew."""
        self._known = 0

    def _take(self, number: int) -> None:
        row = self._book.market.listed[number]
        self._tables = grown(self._tables, number + 1, -1)
        self._leverages = grown(self._leverages, number + 1, 0.0)
        self._tables[number] = self._tiers.number(tuple(MarginTier(*tier) for tier in row.tiers))
        self._leverages[number] = row.max_leverage or 0.0
        self._known = number + 1
