"""The margin of a pool in plain Python, written from the specification and not from the kernels.

Works on any numbers, also exact fractions. Maintenance margin is the sum over tiers of rate times the notional inside the tier,
which is what "notional * rate - deduction" is short for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

Number = Any
"""A float or a Fraction; arithmetic mixes them with what the caller gives."""


@dataclass(frozen=True)
class Held:
    """A position: `tiers` (lower bound, maximum leverage) ascending, empty while unknown; `mark` None while unknown.

    An `inverse` one is a quantity of USD owed for coin: worth -quantity / mark.
    """

    quantity: Number
    mark: Number | None
    tiers: tuple[tuple[float, float], ...]
    leverage: float = 10.0
    inverse: bool = False


@dataclass(frozen=True)
class Lent:
    """Collateral: amount in coin, its price (None while unknown) and the share of the value that counts."""

    amount: Number
    price: Number | None
    ratio: Number


@dataclass(frozen=True)
class Pool:
    """A pool as the specification describes it."""

    cash: Number
    positions: tuple[Held, ...] = ()
    collateral: tuple[Lent, ...] = ()
    limit: Number = 1.0
    borrows: bool = False
    offset: Number = 0.0
    adjust_equity: Number = 0.0
    adjust_maintenance: Number = 0.0
    maintenance: Number = 0.0
    initial: Number = 0.0


@dataclass(frozen=True)
class Figures:
    """What a pool's margin is; `status` names why there is none."""

    status: str = ""
    equity: Number = 0.0
    maintenance: Number = 0.0
    initial: Number = 0.0
    collateral: Number = 0.0
    requirement: Number = 0.0
    capacity: Number = 0.0
    raw_ratio: Number = 0.0
    ratio: Number = 0.0
    size: Number = field(default=1.0)
    """Sum of the absolute amounts that were added up: what rounding is relative to."""


def maintenance(notional: Number, tiers: Sequence[tuple[float, float]]) -> Number:
    """Maintenance margin of a notional: inside each tier, half of 1 / maximum leverage of what lies there."""
    total: Number = 0 * notional
    for row, (lower, leverage) in enumerate(tiers):
        upper = tiers[row + 1][0] if row + 1 < len(tiers) else math.inf
        if notional > lower:
            inside = (notional if notional < upper else type(notional)(upper)) - type(notional)(lower)
            total += inside / (2 * type(notional)(leverage))
    return total


def worth(held: Held) -> Number:
    """What a position adds to the cash of its pool; NaN while its mark is unknown."""
    if held.mark is None:
        return math.nan
    return -held.quantity / held.mark if held.inverse else held.quantity * held.mark


def over(requirement: Number, capacity: Number) -> Number:
    """The ratio of the two: 0 without a requirement, infinite where nothing is left to carry one."""
    if requirement <= 0:
        return 0.0
    return math.inf if capacity <= 0 else requirement / capacity


def demand(pool: Pool, equity: Number, needed: Number, collateral: Number) -> tuple[Number, Number]:
    """Requirement and capacity: a borrowing pool that lacks cash for its maintenance must borrow the shortfall."""
    if pool.borrows and equity < needed:
        shortfall = needed - equity
        return needed + shortfall + pool.offset, equity + shortfall + collateral
    return needed, equity + collateral


def figures(pool: Pool) -> Figures:
    """Everything of one pool."""
    if any(held.mark is None for held in pool.positions):
        return Figures("MISSING_MARK")
    if any(not held.tiers for held in pool.positions):
        return Figures("UNKNOWN_TIER")
    if any(lent.price is None for lent in pool.collateral):
        return Figures("MISSING_PRICE")
    values = [worth(held) for held in pool.positions]
    equity = pool.cash + sum(values)
    needed = sum((maintenance(abs(v), held.tiers) for v, held in zip(values, pool.positions, strict=True)), start=pool.maintenance)
    initial = sum((abs(v) / type(pool.cash)(held.leverage) for v, held in zip(values, pool.positions, strict=True)), start=pool.initial)
    collateral = sum((lent.amount * lent.price * lent.ratio for lent in pool.collateral if lent.price is not None), start=0 * pool.cash)
    requirement, capacity = demand(pool, equity, needed, collateral)
    raw = over(requirement, capacity)
    theirs = over(*demand(pool, equity + pool.adjust_equity, max(0 * equity, needed + pool.adjust_maintenance), collateral))
    size = abs(pool.cash) + sum(abs(v) for v in values) + collateral + needed
    ratio = max(raw, theirs) / pool.limit
    return Figures("", equity, needed, initial, collateral, requirement, capacity, raw, ratio, size)


def moved(pool: Pool, move: Number, marks: bool = True, collateral: bool = True) -> Pool:
    """The pool after all its marks, its collateral prices or both moved by the same relative amount."""
    factor = max(0 * move, 1 + move)
    held = tuple(replace(h, mark=h.mark * factor) if marks and h.mark is not None else h for h in pool.positions)
    lent = tuple(replace(c, price=c.price * factor) if collateral and c.price is not None else c for c in pool.collateral)
    return replace(pool, positions=held, collateral=lent)


def with_position(pool: Pool, index: int, **changes: Any) -> Pool:
    """The pool with one position changed."""
    held = list(pool.positions)
    held[index] = replace(held[index], **changes)
    return replace(pool, positions=tuple(held))


def exact(pool: Pool) -> Pool:
    """The same pool in fractions, so that nothing rounds."""

    def whole(value: Number | None) -> Fraction | None:
        return None if value is None else Fraction(value)

    return replace(
        pool,
        cash=Fraction(pool.cash),
        positions=tuple(replace(h, quantity=Fraction(h.quantity), mark=whole(h.mark)) for h in pool.positions),
        collateral=tuple(Lent(Fraction(c.amount), whole(c.price), Fraction(c.ratio)) for c in pool.collateral),
        limit=Fraction(pool.limit),
        offset=Fraction(pool.offset),
        adjust_equity=Fraction(pool.adjust_equity),
        adjust_maintenance=Fraction(pool.adjust_maintenance),
        maintenance=Fraction(pool.maintenance),
        initial=Fraction(pool.initial),
    )
