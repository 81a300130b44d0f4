"""What has to be sent between pools for all of them to stand at one ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kernels.pool import cash_to_ratio
from monitor.engine import Engine

_LOWEST, _HIGHEST = 1e-12, 1e12
_STEPS = 200


class _Pool(NamedTuple):
    # money in USD; two pairs of (equity, maintenance): ours, and moved towards the venue's own figure
    pairs: tuple[tuple[float, float], tuple[float, float]]
    collateral: float
    limit: float
    borrows: bool
    offset: float


def cash_for_ratios(engine: Engine, pools: Sequence[int], rates: Sequence[float]) -> tuple[float, list[float]]:
    """(common ratio, USD each pool gets) of evaluated pools with a value; `rates` are USD per unit of each pool's token.

    The amounts sum to 0. Every pool with positions then has the common ratio, at or above 1.0 where there is too little in all of
    them; one without gives what it has. (inf, []) where all of it together leaves nothing to carry the margin; (0, zeros)
    without any margin to carry.
    """
    made = [_pool(engine, index, rate) for index, rate in zip(pools, rates, strict=True)]
    if sum(_cash(pool, _LOWEST) for pool in made) <= 0:
        return 0.0, [0.0] * len(made)
    if sum(_cash(pool, _HIGHEST) for pool in made) > 0:
        return math.inf, []
    # what pools need falls as the ratio rises
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        if sum(_cash(pool, math.exp(middle)) for pool in made) > 0:
            low = middle
        else:
            high = middle
    ratio = math.exp(0.5 * (low + high))
    cash = [_cash(pool, ratio) for pool in made]
    largest = max(range(len(cash)), key=lambda number: abs(cash[number]))
    cash[largest] -= math.fsum(cash)
    return ratio, cash


def _pool(engine: Engine, index: int, rate: float) -> _Pool:
    arrays = engine.arrays
    margins, spec = arrays.margins, arrays.specs[index]
    equity, maintenance = float(margins.equity[index]), float(margins.maintenance[index])
    shortfall = max(0.0, maintenance - equity) if spec.borrows else 0.0
    collateral = float(margins.capacity[index]) - equity - shortfall
    moved = equity + spec.adjust_equity, max(0.0, maintenance + spec.adjust_maintenance)
    pairs = (equity * rate, maintenance * rate), (moved[0] * rate, moved[1] * rate)
    return _Pool(pairs, collateral * rate, spec.limit, spec.borrows, spec.borrow_offset * rate)


def _cash(pool: _Pool, ratio: float) -> float:
    return max(_equity_at(pool, maintenance, equity, ratio) - equity for equity, maintenance in pool.pairs)


def _equity_at(pool: _Pool, maintenance: float, equity: float, ratio: float) -> float:
    goal, collateral = ratio * pool.limit, pool.collateral
    if not pool.borrows:
        # without positions the ratio is 0 whatever the cash: it can give all it has and needs none
        return maintenance / goal - collateral if maintenance > 0 else min(equity, -collateral)
    far = -(goal + 1.0) * (maintenance + collateral) - 1.0
    return far + float(cash_to_ratio(ratio, far, maintenance, collateral, pool.limit, True, pool.offset))
