"""What is measured off the way of a tick, on a copy of the book: standalone margins, leave-one-out, distances, reductions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kernels import attribution, layout
from kernels.distance import SCAN
from kernels.layout import Book
from kernels.portfolio_distance import distances
from monitor.stress.book import StressBook

LegName = tuple[str, str, str | None]
"""(account, instrument, side)."""

ALL = "all"
"""Every coin moves at once, each scaled by its beta."""


def copied(book: Book, *, spare: bool = False) -> Book:
    """The book in memory of its own, for a worker thread; `spare` adds a portfolio, a unit and a series at the ends."""
    arrays: list[Any] = [array.copy() for array in book]
    if spare:
        for name in ("portfolios", "units", "series", "pnl", "settle", "curves"):
            position = Book._fields.index(name)
            row = np.zeros((1, *arrays[position].shape[1:]), arrays[position].dtype)
            arrays[position] = np.concatenate([arrays[position], row])
    return Book(*arrays)


def leg_measures(book: StressBook, name: str) -> tuple[dict[LegName, float], dict[LegName, float]]:
    """(standalone margin, leave-one-out) of every leg of an evaluated portfolio with a value, USD."""
    kernel = copied(book.tables.book, spare=True)
    row = book.accounts.portfolios[name]
    whole = float(kernel.portfolios["maintenance"][row])
    spares = kernel.series.shape[0] - 1, kernel.units.shape[0] - 1, kernel.portfolios.shape[0] - 1
    kernel.units["hedge_cap"][spares[1]] = math.inf
    alone: dict[LegName, float] = {}
    without: dict[LegName, float] = {}
    for unit in book.accounts.legs.units.get(row, {}).values():
        for (_, account, number, side), leg in book.accounts.legs.of_unit(unit):
            key = (account, book.market.listed[number].id, side or None)
            alone[key] = attribution.margin_alone(leg, *spares, kernel)
            without[key] = whole - attribution.margin_without(leg, kernel)
    return alone, without


def portfolio_distances(
    book: StressBook, name: str, coin: str, targets: Sequence[float], beta: Mapping[str, float]
) -> list[tuple[float | None, float | None]]:
    """Per target, the nearest relative move down and up of `coin` (or ALL) at which the margin ratio crosses it; None where none does."""
    row = book.accounts.portfolios[name]
    record = book.tables.portfolios.table[row]
    if record["status"] != layout.OK or record["equity_status"] != layout.OK:
        return [(None, None)] * len(targets)
    kernel = copied(book.tables.book)
    weight = np.zeros(kernel.coins.shape[0])
    for known, number in book.market.coins.items():
        if coin in (known, ALL):
            weight[number] = beta.get(known, 1.0) if coin == ALL else 1.0
    out = np.empty((len(targets), 2))
    distances(row, np.array(targets), SCAN, weight, kernel, copied(kernel), out)
    return [(_known(down), _known(up)) for down, up in out.tolist()]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
