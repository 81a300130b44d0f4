"""Pools written into the arrays the kernels read: rows for pools, chained slots for positions and collateral, all reused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kernels.pool import Collateral, Margins, Pools, Positions, Prices
from monitor.margin.pools import PoolSpec
from monitor.market import Market, grown

Scope = tuple[str, str, str]
"""(venue, account, pool)."""

CUTS = 6
"""Ratios at which a pool's band changes: each of the three levels, and each less the hysteresis."""

Columns = TypeVar("Columns", Positions, Collateral, Pools, Margins, Prices)

_POSITION_FILL = (-1, 0, 0, 0, 0, 0, -1)
_COLLATERAL_FILL = (-1, 0, 0, 0, -1)
_POOL_FILL = (-1, -1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
_MARGIN_FILL = (0, 0, 0, 0, 0, 0, 0, -1, -2, 0, 0)


def _positions(rows: int) -> Positions:
    return Positions(
        pool=np.full(rows, -1, np.int32),
        instrument=np.zeros(rows, np.int32),
        quantity=np.zeros(rows),
        inverse=np.zeros(rows, np.bool_),
        inverse_leverage=np.zeros(rows),
        table=np.zeros(rows, np.int32),
        next=np.full(rows, -1, np.int32),
    )


def _collateral(rows: int) -> Collateral:
    return Collateral(
        pool=np.full(rows, -1, np.int32),
        asset=np.zeros(rows, np.int32),
        amount=np.zeros(rows),
        ratio=np.zeros(rows),
        next=np.full(rows, -1, np.int32),
    )


def _pools(rows: int) -> Pools:
    return Pools(
        first_position=np.full(rows, -1, np.int32),
        first_collateral=np.full(rows, -1, np.int32),
        cash=np.zeros(rows),
        maintenance=np.zeros(rows),
        initial=np.zeros(rows),
        limit=np.ones(rows),
        borrows=np.zeros(rows, np.bool_),
        borrow_offset=np.zeros(rows),
        adjust_equity=np.zeros(rows),
        adjust_maintenance=np.zeros(rows),
        cuts=np.zeros((rows, CUTS)),
        dirty=np.zeros(rows, np.bool_),
    )


def _margins(rows: int) -> Margins:
    return Margins(
        equity=np.zeros(rows),
        maintenance=np.zeros(rows),
        initial=np.zeros(rows),
        requirement=np.zeros(rows),
        capacity=np.zeros(rows),
        raw_ratio=np.zeros(rows),
        ratio=np.zeros(rows),
        worst_position=np.full(rows, -1, np.int32),
        band=np.full(rows, -2, np.int32),
        crossed=np.zeros(rows, np.bool_),
        status=np.zeros(rows, np.int32),
    )


class PoolArrays:
    """Owns the kernels' inputs and outputs of all pools; `specs` and `scopes` are what each used row stands for."""

    def __init__(self, market: Market) -> None:
        self.specs: dict[int, PoolSpec] = {}
        self.scopes: dict[int, Scope] = {}
        self.writes = 0
        """How often any pool was written; `written[row]` is what it was at that row's last write."""
        self.written: dict[int, int] = {}
        self.positions, self.collateral = _positions(64), _collateral(8)
        self.pools, self.margins = _pools(16), _margins(16)
        self._market = market
        self._rows: dict[Scope, int] = {}
        self._slots: dict[int, tuple[list[int], list[int]]] = {}
        self._free: tuple[list[int], list[int], list[int]] = ([], [], [])
        self._used = [0, 0, 0]

    def scopes_of(self, venue: str, account: str) -> set[Scope]:
        """Scopes of the account's pools that are written now."""
        return {scope for scope in self._rows if scope[:2] == (venue, account)}

    def has(self, scope: Scope) -> bool:
        """Whether the scope is written now."""
        return scope in self._rows

    def row(self, scope: Scope) -> int:
        """The pool row of a scope; KeyError when it has none."""
        return self._rows[scope]

    def position_slots(self, pool: int) -> list[int]:
        """Position slots of a pool, in the order of its legs."""
        return self._slots[pool][0]

    def write(self, scope: Scope, spec: PoolSpec, cuts: Sequence[float]) -> None:
        """Write one pool, replacing what its scope held; it is evaluated at the next call of the kernel."""
        pool = self._rows.get(scope)
        if pool is None:
            pool = self._add(scope, cuts)
        self._free_slots(pool)
        first_position, positions = self._write_positions(pool, spec)
        first_collateral, collateral = self._write_collateral(pool, scope[0], spec)
        arrays = self.pools
        arrays.first_position[pool], arrays.first_collateral[pool] = first_position, first_collateral
        arrays.cash[pool], arrays.limit[pool] = spec.cash, spec.limit
        arrays.maintenance[pool], arrays.initial[pool] = spec.maintenance, spec.initial
        arrays.borrows[pool], arrays.borrow_offset[pool] = spec.borrows, spec.borrow_offset
        arrays.adjust_equity[pool] = spec.adjust_equity if math.isfinite(spec.adjust_equity) else 0.0
        arrays.adjust_maintenance[pool] = spec.adjust_maintenance if math.isfinite(spec.adjust_maintenance) else 0.0
        arrays.dirty[pool] = True
        before = self.specs.get(pool)
        if before is not None and bool(before.failures) != bool(spec.failures):
            self.margins.crossed[pool] = True
        self.specs[pool] = spec
        self.writes += 1
        self.written[pool] = self.writes
        self._slots[pool] = (positions, collateral)

    def recut(self, scope: Scope, cuts: Sequence[float]) -> None:
        """Other ratios at which the pool's band changes: the next call of the kernel says that it did."""
        pool = self._rows[scope]
        self.pools.cuts[pool] = cuts
        self.pools.dirty[pool] = True
        self.margins.band[pool] = -2

    def release(self, scope: Scope) -> None:
        """The pool is no more; its row and slots are reused."""
        pool = self._rows.pop(scope)
        self._free_slots(pool)
        self.pools.dirty[pool] = False
        self.margins.crossed[pool] = False
        del self._slots[pool], self.specs[pool], self.scopes[pool], self.written[pool]
        self._free[2].append(pool)

    def _add(self, scope: Scope, cuts: Sequence[float]) -> int:
        pool = self._take(2)
        self._rows[scope] = pool
        self.scopes[pool] = scope
        self._slots[pool] = ([], [])
        self.pools.cuts[pool] = cuts
        self.margins.band[pool] = -2
        self.margins.status[pool] = 0
        return pool

    def _write_positions(self, pool: int, spec: PoolSpec) -> tuple[int, list[int]]:
        slots: list[int] = []
        chain = -1
        for leg in spec.legs:
            slot = self._take(0)
            arrays = self.positions
            arrays.pool[slot] = pool
            arrays.instrument[slot] = self._market.row(leg.instrument)
            arrays.quantity[slot] = leg.quantity
            arrays.inverse[slot] = leg.inverse
            arrays.inverse_leverage[slot] = 1.0 / leg.leverage if leg.leverage > 0 else 0.0
            arrays.table[slot] = self._market.tiers.number(leg.tiers)
            arrays.next[slot] = chain
            chain = slot
            slots.append(slot)
        return chain, slots

    def _write_collateral(self, pool: int, venue: str, spec: PoolSpec) -> tuple[int, list[int]]:
        slots: list[int] = []
        chain = -1
        for leg in spec.collateral:
            slot = self._take(1)
            arrays = self.collateral
            arrays.pool[slot] = pool
            arrays.asset[slot] = self._market.asset_row(venue, leg.asset)
            arrays.amount[slot] = leg.amount
            arrays.ratio[slot] = leg.ratio
            arrays.next[slot] = chain
            chain = slot
            slots.append(slot)
        return chain, slots

    def _free_slots(self, pool: int) -> None:
        positions, collateral = self._slots[pool]
        for slot in positions:
            self.positions.pool[slot] = -1
        for slot in collateral:
            self.collateral.pool[slot] = -1
        self._free[0].extend(positions)
        self._free[1].extend(collateral)
        self._slots[pool] = ([], [])

    def _take(self, kind: int) -> int:
        if self._free[kind]:
            return self._free[kind].pop()
        slot = self._used[kind]
        self._used[kind] += 1
        if kind == 0:
            self.positions = _grow(self.positions, slot + 1, _POSITION_FILL)
        elif kind == 1:
            self.collateral = _grow(self.collateral, slot + 1, _COLLATERAL_FILL)
        else:
            self.pools = _grow(self.pools, slot + 1, _POOL_FILL)
            self.margins = _grow(self.margins, slot + 1, _MARGIN_FILL)
        return slot


def _grow(columns: Columns, rows: int, fills: Sequence[float]) -> Columns:
    if rows <= columns[0].shape[0]:
        return columns
    arrays: list[NDArray[Any]] = list(columns)
    return type(columns)(*(grown(array, rows, fill) for array, fill in zip(arrays, fills, strict=True)))


def copied(columns: Columns) -> Columns:
    """The same columns in memory of their own, for a worker thread."""
    arrays: list[NDArray[Any]] = [array.copy() for array in columns]
    return type(columns)(*arrays)
