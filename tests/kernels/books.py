"""Random pools, and pools of the reference as the arrays the kernels read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from kernels import pool as kernel
from tests.kernels.reference import Held, Lent, Pool, maintenance, worth

BTC = ((0.0, 40.0), (150e6, 20.0))
HYPE = ((0.0, 10.0), (20e6, 5.0))
CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)
STATUS = {
    "": kernel.OK,
    "MISSING_MARK": kernel.MISSING_MARK,
    "MISSING_PRICE": kernel.MISSING_PRICE,
    "UNKNOWN_TIER": kernel.UNKNOWN_TIER,
}


class Book:
    """Pools as arrays: one instrument a position and one asset a piece of collateral, or shared by `instruments`."""

    def __init__(self, pools: Sequence[Pool], instruments: Sequence[int] | None = None) -> None:
        held = [(index, h) for index, pool in enumerate(pools) for h in pool.positions]
        lent = [(index, c) for index, pool in enumerate(pools) for c in pool.collateral]
        rows = list(instruments) if instruments is not None else list(range(len(held)))
        self.tiers, tables = tier_tables([h.tiers for _, h in held])
        self.positions = kernel.Positions(
            _ints(index for index, _ in held),
            _ints(rows),
            _floats(h.quantity for _, h in held),
            np.array([h.inverse for _, h in held], np.bool_),
            _floats(1.0 / h.leverage for _, h in held),
            _ints(tables),
            _chain([index for index, _ in held]),
        )
        self.collateral = kernel.Collateral(
            _ints(index for index, _ in lent),
            _ints(range(len(lent))),
            _floats(c.amount for _, c in lent),
            _floats(c.ratio for _, c in lent),
            _chain([index for index, _ in lent]),
        )
        marks = np.full(max(rows, default=0) + 1, math.nan)
        for row, (_, h) in zip(rows, held, strict=True):
            marks[row] = math.nan if h.mark is None else float(h.mark)
        prices = _floats(math.nan if c.price is None else c.price for _, c in lent)
        self.prices = kernel.Prices(marks, np.zeros(len(marks), np.bool_), prices, np.zeros(len(lent), np.bool_))
        size = len(pools)
        self.pools = kernel.Pools(
            _heads([index for index, _ in held], size),
            _heads([index for index, _ in lent], size),
            _floats(p.cash for p in pools),
            _floats(p.maintenance for p in pools),
            _floats(p.initial for p in pools),
            _floats(p.limit for p in pools),
            np.array([p.borrows for p in pools], np.bool_),
            _floats(p.offset for p in pools),
            _floats(p.adjust_equity for p in pools),
            _floats(p.adjust_maintenance for p in pools),
            np.tile(np.array(CUTS), (size, 1)),
            np.ones(size, np.bool_),
        )
        self.out = margins(size)

    def evaluate(self) -> int:
        return kernel.evaluate_pools(self.positions, self.collateral, self.tiers, self.prices, self.pools, self.out)

    def fresh(self) -> kernel.Margins:
        """A full evaluation of the same inputs into new rows, leaving no trace."""
        pools = self.pools._replace(dirty=np.ones(len(self.pools.cash), np.bool_))
        prices = kernel.Prices._make(array.copy() for array in self.prices)
        out = margins(len(self.pools.cash))
        kernel.evaluate_pools(self.positions, self.collateral, self.tiers, prices, pools, out)
        return out

    def liquidation_prices(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        prices = np.zeros(len(self.positions.pool))
        kernel.liquidation_prices(self.positions, self.tiers, self.prices, self.pools, self.out, prices)
        return prices

    def reduction(self, slot: int, target: float) -> float:
        return kernel.reduction_to_ratio(target, slot, self.positions, self.tiers, self.prices, self.pools, self.out)


def margins(size: int) -> kernel.Margins:
    """Output rows nothing was written to; figures are poisoned so that reading an unwritten one shows."""
    figures = [np.full(size, math.nan) for _ in range(7)]
    rest = [np.full(size, -1, np.int32), np.full(size, -2, np.int32), np.zeros(size, np.bool_), np.zeros(size, np.int32)]
    return kernel.Margins._make([*figures, *rest])


def tier_tables(tables: Sequence[tuple[tuple[float, float], ...]]) -> tuple[kernel.Tiers, list[int]]:
    """Tables of (lower bound, maximum leverage) one after another, and the number of each (-1: empty)."""
    start, bound, rate, deduction = [0], [], [], []
    numbers = []
    for table in tables:
        numbers.append(len(start) - 1 if table else -1)
        previous = taken = 0.0
        for lower, leverage in table:
            taken += lower * (0.5 / leverage - previous) if lower else 0.0
            previous = 0.5 / leverage
            bound.append(lower)
            rate.append(previous)
            deduction.append(taken)
        if table:
            start.append(len(bound))
    return kernel.Tiers(_ints(start), _floats(bound), _floats(rate), _floats(deduction)), numbers


def _ints(values: Any) -> kernel.Ints:
    return np.array(list(values), np.int32)


def _floats(values: Any) -> kernel.Floats:
    return np.array([float(value) for value in values])


def _chain(owners: Sequence[int]) -> kernel.Ints:
    following: dict[int, int] = {}
    chain = np.full(len(owners), -1, np.int32)
    for slot in reversed(range(len(owners))):
        chain[slot] = following.get(owners[slot], -1)
        following[owners[slot]] = slot
    return chain


def _heads(owners: Sequence[int], size: int) -> kernel.Ints:
    return np.array([owners.index(pool) if pool in owners else -1 for pool in range(size)], np.int32)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    """One to four tiers, leverage falling, bounds among the notionals that `positions` draws."""
    leverages = sorted(draw(st.sets(st.sampled_from([3, 4, 5, 10, 15, 20, 25, 40, 50]), min_size=1, max_size=4)), reverse=True)
    bounds = sorted(draw(st.sets(st.integers(1, 60), min_size=len(leverages) - 1, max_size=len(leverages) - 1)))
    return tuple(zip([0.0, *(b * 50_000.0 for b in bounds)], map(float, leverages), strict=True))


def held(*, known: bool = True, inverse: bool | None = None) -> st.SearchStrategy[Held]:
    marks: st.SearchStrategy[float | None] = st.floats(0.01, 1e5)
    kinds: st.SearchStrategy[tuple[tuple[float, float], ...]] = tables()
    if not known:
        marks, kinds = st.one_of(marks, marks, st.none()), st.one_of(kinds, kinds, kinds, st.just(()))
    turned = st.sampled_from([False, False, True]) if inverse is None else st.just(inverse)
    return st.builds(
        _held, st.floats(-3e6, 3e6).filter(lambda value: abs(value) > 1.0), marks, kinds, st.sampled_from([1.0, 3.0, 20.0]), turned
    )


def _held(value: float, mark: float | None, table: tuple[tuple[float, float], ...], leverage: float, inverse: bool) -> Held:
    quantity = -value * (mark or 100.0) if inverse else value / (mark or 100.0)
    return Held(quantity, mark, table, leverage, inverse)


def lent(*, known: bool = True) -> st.SearchStrategy[Lent]:
    prices: st.SearchStrategy[float | None] = st.floats(0.1, 1e5)
    if not known:
        prices = st.one_of(prices, prices, st.none())
    return st.builds(_lent, st.floats(1.0, 3e6), prices, st.floats(0.5, 1.0))


def _lent(value: float, price: float | None, ratio: float) -> Lent:
    return Lent(value / (price or 50.0), price, ratio)


@st.composite
def pools(draw: st.DrawFn, *, known: bool = True, adjusted: bool = True, borrows: bool | None = None, least: int = 0) -> Pool:
    """A pool whose equity is of the order of its maintenance margin, on both sides of every threshold."""
    positions = tuple(draw(st.lists(held(known=known), min_size=least, max_size=4)))
    borrowing = draw(st.booleans()) if borrows is None else borrows
    collateral = tuple(draw(st.lists(lent(known=known), max_size=2))) if borrowing else ()
    values: list[float] = [worth(h) if h.mark is not None else 0.0 for h in positions]
    fixed = draw(st.sampled_from([0.0, 0.0, 1_000.0, 200_000.0]))
    needed = float(sum((maintenance(abs(v), h.tiers) for v, h in zip(values, positions, strict=True)), start=fixed)) or 100.0
    equity = needed * draw(st.floats(-2.0, 6.0))
    near = st.one_of(st.just(0.0), st.floats(-0.5, 0.5, allow_subnormal=False))
    adjust = [needed * draw(near) if adjusted else 0.0 for _ in range(2)]
    limit = 0.95 if borrowing else 1.0
    offset = draw(st.sampled_from([0.0, 20.0])) if borrowing else 0.0
    return Pool(equity - sum(values), positions, collateral, limit, borrowing, offset, adjust[0], adjust[1], fixed, 1.3 * fixed)
