"""What is measured off the way of a tick, on a copy of the book: standalone margins, leave-one-out, distances, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels import attribution, layout
from kernels.distance import SCAN
from kernels.layout import Book, Floats
from kernels.portfolio_distance import distances, moved_figures
from monitor.stress.book import StressBook

LegName = tuple[str, str, str | None]
"""(account, instrument, side)."""

ALL = "all"
"""Every coin moves at once, each scaled by its beta."""

MOVES = np.linspace(-0.5, 0.5, 33)
"""Relative moves of a curve, with 0 among them."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What a portfolio is worth and requires after each of `moves` (-0.2: 20 % down). Money in USD; all None where there is no ratio."""

    moves: list[float]
    equity: list[float | None]
    maintenance_margin: list[float | None]
    margin_ratio: list[float | None]


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
    if not _has_ratio(book, name):
        return [(None, None)] * len(targets)
    kernel, out = book.tables.book, np.empty((len(targets), 2))
    weight = _weights(book, coin, beta)
    distances(book.accounts.portfolios[name], np.array(targets), SCAN, weight, kernel, copied(kernel), out)
    return [(_known(down), _known(up)) for down, up in out.tolist()]


def portfolio_curve(book: StressBook, name: str, coin: str, beta: Mapping[str, float], moves: Floats = MOVES) -> Curve:
    """The portfolio after relative moves of `coin` (or ALL), each with the grid, hedges and charges taken anew."""
    out = np.full((len(moves), 3), math.nan)
    if _has_ratio(book, name):
        kernel = book.tables.book
        moved_figures(book.accounts.portfolios[name], moves, _weights(book, coin, beta), kernel, copied(kernel), out)
    equity, margin, ratio = ([None if math.isnan(value) else value for value in column] for column in out.T.tolist())
    return Curve(moves.tolist(), equity, margin, ratio)


def _has_ratio(book: StressBook, name: str) -> bool:
    record = book.tables.portfolios.table[book.accounts.portfolios[name]]
    return bool(record["status"] == layout.OK and record["equity_status"] == layout.OK)


def _weights(book: StressBook, coin: str, beta: Mapping[str, float]) -> Floats:
    weight = np.zeros(book.tables.book.coins.shape[0])
    for known, number in book.market.coins.items():
        if coin in (known, ALL):
            weight[number] = beta.get(known, 1.0) if coin == ALL else 1.0
    return weight


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
