"""The tables of a stress book as they grow: rows taken and given back, arrays beside them, chains written when they changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from kernels import layout
from kernels.layout import Book, Floats, Ints, Table
from kernels.stress import PRICING
from monitor.market import grown

FIRST = 16
"""Rows a table starts with."""


class Rows:
    """A structured array that doubles when full; rows given back are taken again."""

    def __init__(self, record: np.dtype[Any], grew: Callable[[], None], **fill: float) -> None:
        self._grew = grew
        self.fill = np.zeros((), record)
        for name, value in fill.items():
            self.fill[name] = value
        self.table: Table = np.full(FIRST, self.fill)
        self.used = 0
        self._free: list[int] = []

    def take(self) -> int:
        """A row with its first values."""
        if self._free:
            row = self._free.pop()
        else:
            row = self.used
            self.used += 1
            if row >= self.table.shape[0]:
                bigger = np.full(2 * self.table.shape[0], self.fill)
                bigger[:row] = self.table
                self.table = bigger
                self._grew()
        return row

    def give_back(self, row: int) -> None:
        """The row may be taken again; until then it must stay harmless to a kernel that still has it queued."""
        self._free.append(row)


class StressTables:
    """Owns every array of a stress book of `scenarios` [W] columns, `nodes` [K] price nodes of which `ordinary` are no extremes."""

    def __init__(self, rules: Mapping[str, float], nodes: int, ordinary: int) -> None:
        self.rules: Table = np.zeros(1, layout.RULES)
        for name, value in rules.items():
            self.rules[name] = value
        self.rules["nodes"], self.rules["ordinary"] = nodes, ordinary
        self.width = -(-3 * nodes // layout.LANES) * layout.LANES
        nothing = -1
        self.coins = Rows(layout.COIN, self._outgrown, first_unit=nothing, first_cash=nothing, index=np.nan, daily_volatility=np.nan)
        self.pricing = np.zeros(FIRST, PRICING)
        unknown = dict.fromkeys(("mark", "forward", "strike", "volatility", "volume"), np.nan)
        self.instruments = Rows(layout.INSTRUMENT, self._outgrown, row=nothing, first_leg=nothing, status=layout.MISSING_MARK, **unknown)
        self.expiries = Rows(layout.EXPIRY, self._outgrown)
        self.legs = Rows(layout.LEG, self._outgrown, next=nothing, next_of_instrument=nothing, first_order=nothing)
        self.orders = Rows(layout.ORDER, self._outgrown, next=nothing)
        self.series = Rows(layout.SERIES, self._outgrown, next=nothing, first_leg=nothing)
        self.units = Rows(layout.UNIT, self._outgrown, next=nothing, next_of_coin=nothing, first_series=nothing, hedge_cap=np.inf)
        self.portfolios = Rows(layout.PORTFOLIO, self._outgrown, first_unit=nothing, first_cash=nothing, band=-2)
        self.cash = Rows(layout.CASH, self._outgrown, next=nothing, next_of_coin=nothing, coin=nothing)
        self.options = 0
        self.fx: Floats = np.full(FIRST, np.nan)
        self.settled_in: Ints = np.zeros(1, np.int32)
        self.nodes: Floats = np.zeros((FIRST, nodes))
        self.scenarios: Floats = np.zeros((FIRST, 4, self.width))
        self.rows: Floats = np.zeros((FIRST, self.width))
        self.pnl: Floats = np.zeros((FIRST, layout.GROUPS, self.width))
        self.settle: Floats = np.zeros((FIRST, layout.GROUPS, 1))
        self.curves: Floats = np.zeros((FIRST, layout.GROUPS, nodes))
        self.queue: Ints = np.zeros((5, FIRST), np.int32)
        self.queued: Ints = np.zeros(5, np.int32)
        self._book: Book | None = None

    @property
    def book(self) -> Book:
        """The arrays as the kernels read them; those that had to grow are replaced, so ask again after adding rows."""
        if self._book is None:
            assembled = self._assembled()
            self._book = assembled
        return self._book

    def _outgrown(self) -> None:
        self._book = None

    def add_option(self) -> int:
        """The pricing row of a new option."""
        self.options += 1
        if self.options > self.rows.shape[0]:
            self._outgrown()
        return self.options - 1

    def add_asset(self, row: int) -> None:
        """Make room for the price of settlement asset number `row`."""
        if row >= self.fx.shape[0]:
            self.fx = grown(self.fx, row + 1, np.nan)
            self._outgrown()

    def _assembled(self) -> Book:
        coins, expiries, series = self.coins.table.shape[0], self.expiries.table.shape[0], self.series.table.shape[0]
        self.pricing = grown(self.pricing, coins, 0)
        self.nodes = grown(self.nodes, coins, 0.0)
        self.scenarios = grown(self.scenarios, expiries, 0.0)
        self.rows = grown(self.rows, self.options, 0.0)
        self.pnl = grown(self.pnl, series, 0.0)
        self.settle = grown(self.settle, series, 0.0)
        units = self.units.table.shape[0]
        self.curves = grown(self.curves, units, 0.0)
        longest = max(self.instruments.table.shape[0], coins, series, units, self.portfolios.table.shape[0])
        if longest > self.queue.shape[1]:
            self._lengthen(longest)
        return Book(
            self.rules, self.coins.table, self.pricing, self.instruments.table, self.expiries.table, self.legs.table,
            self.orders.table, self.series.table, self.units.table, self.portfolios.table, self.cash.table, self.fx,
            self.settled_in, self.nodes, self.scenarios, self.rows, self.pnl, self.settle, self.curves, self.queue, self.queued,
        )  # fmt: skip

    def _lengthen(self, length: int) -> None:
        longer = np.zeros((self.queue.shape[0], length), np.int32)
        longer[:, : self.queue.shape[1]] = self.queue
        self.queue = longer
        self._outgrown()

    def add_settlement(self, asset: int) -> int:
        """The number of a new settlement group; `asset` is its row of `fx`."""
        groups = self.settle.shape[2]
        wider = np.zeros((self.settle.shape[0], layout.GROUPS, groups + 1))
        wider[:, :, :groups] = self.settle
        self.settle = wider
        self.settled_in = np.append(self.settled_in, np.int32(asset))
        self._outgrown()
        return int(groups)

    def push(self, queue: int, table: Table, row: int, flag: str) -> None:
        """Queue a row for the next evaluation unless it waits already."""
        if not table[flag][row]:
            table[flag][row] = True
            if self.queued[queue] >= self.queue.shape[1]:
                self._lengthen(2 * self.queue.shape[1])
            self.queue[queue, self.queued[queue]] = row
            self.queued[queue] += 1


def chain(table: Table, rows: Iterable[int], field: str) -> int:
    """Tie `rows` together in their order by the `next` column `field`; returns the head, -1 without rows."""
    order = np.fromiter(rows, np.int32)
    if order.size == 0:
        return -1
    table[field][order[:-1]] = order[1:]
    table[field][order[-1]] = -1
    return int(order[0])
