"""A short proof of what an evaluation computed: of every pool and portfolio, bit for bit."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.app import Application


class Digest:
    """The figures of one application as a number of 32 bits, the same for the same bits."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def value(self) -> int:
        """Of what stands now: equities, requirements and ratios of the pools, and the results of the portfolios."""
        app = self._app
        margins = app.engine.arrays.margins
        value = zlib.crc32(margins.ratio.data)
        value = zlib.crc32(margins.capacity.data, value)
        value = zlib.crc32(margins.requirement.data, value)
        value = zlib.crc32(margins.status.data, value)
        portfolios = app.portfolios
        for book in dict.fromkeys(portfolios.book_of(portfolio.id) for portfolio in portfolios.settings.portfolios):
            table = book.tables.portfolios.table
            for name in ("equity", "maintenance", "initial", "ratio"):
                value = zlib.crc32(table[name].tobytes(), value)
        return value
