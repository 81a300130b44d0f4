"""A venue's margin pools: equity, maintenance, ratio, liquidation prices and cash to safety of every pool.

A pool is what a venue liquidates as one. Its equity is `cash + sum(value)`, where a position's value is `quantity * mark`, or
`-quantity / mark` of an inverse one (quantity in USD, money in its coin). Its maintenance margin is a fixed part plus the sum over
its positions of the tiered rule `notional * rate - deduction` (Hyperliquid docs, margin tiers), and

    shortfall   = max(0, maintenance - equity)            only in a pool that borrows (Hyperliquid portfolio margin)
    requirement = maintenance + shortfall + offset        offset only while shortfall > 0
    capacity    = equity + shortfall + sum(amount * price * ratio) over collateral
    ratio       = requirement / (limit * capacity)        1.0 is where the venue liquidates

Everything is arrays that the caller owns; chains (`first_*`, `next`) tie the slots of one pool together, so an evaluation
costs what changed and a fill moves no memory. Quantities signed, in the venue's contract unit; money in the pool's token.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels._jit import jit, jit_on_tick

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]

OK, MISSING_MARK, MISSING_PRICE, UNKNOWN_TIER, NOT_FINITE = 0, 1, 2, 3, 4
"""Status of a pool's row: a value, or why there is none; NOT_FINITE where cash, quantities or amounts are no numbers."""


class Positions(NamedTuple):
    """Position slots [slot]; `pool` -1 marks a free slot, `next` -1 the end of a pool's chain, `table` -1 an unknown tier table.

    The quantity of an `inverse` one is in USD.
    """

    pool: Ints
    instrument: Ints
    quantity: Floats
    inverse: Flags
    inverse_leverage: Floats
    table: Ints
    next: Ints


class Collateral(NamedTuple):
    """Collateral slots [slot]: amount in coin, `ratio` the share of its value that counts (0..1)."""

    pool: Ints
    asset: Ints
    amount: Floats
    ratio: Floats
    next: Ints


class Tiers(NamedTuple):
    """Tier tables one after another: table t is rows start[t]:start[t + 1], bounds ascending from 0."""

    start: Ints
    bound: Floats
    rate: Floats
    deduction: Floats


class Prices(NamedTuple):
    """Marks [instrument] and collateral prices [asset], NaN while unknown, and which of them moved since the last call."""

    mark: Floats
    mark_moved: Flags
    asset: Floats
    asset_moved: Flags


class Pools(NamedTuple):
    """Pools [pool]. `cuts` [pool, cut] ascending ratios; `adjust_*` is reported minus computed at the venue's last frame.

    `maintenance` and `initial` are the part of the margins that no mark moves.
    """

    first_position: Ints
    first_collateral: Ints
    cash: Floats
    maintenance: Floats
    initial: Floats
    limit: Floats
    borrows: Flags
    borrow_offset: Floats
    adjust_equity: Floats
    adjust_maintenance: Floats
    cuts: Floats
    dirty: Flags


class Margins(NamedTuple):
    """What an evaluation writes [pool].

    `equity` is cash + positions, `ratio` the worse of ours and the adjusted one; `band` counts the cuts at or below it.
    """

    equity: Floats
    maintenance: Floats
    initial: Floats
    requirement: Floats
    capacity: Floats
    raw_ratio: Floats
    ratio: Floats
    worst_position: Ints
    band: Ints
    crossed: Flags
    status: Ints


@jit
def _tier_row(notional: float, table: int, tiers: Tiers) -> int:
    row = tiers.start[table]
    for candidate in range(tiers.start[table] + 1, tiers.start[table + 1]):
        if tiers.bound[candidate] > notional:
            break
        row = candidate
    return int(row)


@jit
def maintenance_margin(notional: float, table: int, tiers: Tiers) -> float:
    """Tiered maintenance margin of an absolute notional, same money (Hyperliquid docs, margin tiers: N * rate_n - deduction_n)."""
    row = _tier_row(notional, table, tiers)
    return float(notional * tiers.rate[row] - tiers.deduction[row])


@jit
def position_value(quantity: float, mark: float, inverse: bool) -> float:
    """What a position adds to its pool's cash at a mark (above 0)."""
    if inverse:
        return -quantity / mark
    return quantity * mark


@jit
def pool_ratio(requirement: float, capacity: float, limit: float) -> float:
    """requirement / (limit * capacity); 0 without a requirement, +inf when nothing is left to carry one."""
    if requirement <= 0.0:
        return 0.0
    if capacity <= 0.0:
        return math.inf
    return requirement / (limit * capacity)


@jit
def require(equity: float, maintenance: float, collateral: float, borrows: bool, offset: float) -> tuple[float, float]:
    """(requirement, capacity) of a pool: the borrowing rule of the module docstring, or (maintenance, equity + collateral)."""
    shortfall = 0.0
    extra = 0.0
    if borrows and maintenance > equity:
        shortfall = maintenance - equity
        extra = offset
    return maintenance + shortfall + extra, equity + shortfall + collateral


@jit
def worse_ratio(pool: int, equity: float, maintenance: float, collateral: float, pools: Pools) -> float:
    """The worse of the pool's ratio on these figures and on the same moved by `adjust_*` towards the venue's own."""
    borrows, offset, limit = pools.borrows[pool], pools.borrow_offset[pool], pools.limit[pool]
    requirement, capacity = require(equity, maintenance, collateral, borrows, offset)
    ratio = pool_ratio(requirement, capacity, limit)
    if pools.adjust_equity[pool] != 0.0 or pools.adjust_maintenance[pool] != 0.0:
        equity += pools.adjust_equity[pool]
        maintenance = max(0.0, maintenance + pools.adjust_maintenance[pool])
        requirement, capacity = require(equity, maintenance, collateral, borrows, offset)
        ratio = max(ratio, pool_ratio(requirement, capacity, limit))
    return ratio


@jit
def _evaluate_pool(
    pool: int, positions: Positions, collateral: Collateral, tiers: Tiers, prices: Prices, pools: Pools, out: Margins
) -> None:
    equity = pools.cash[pool]
    maintenance = pools.maintenance[pool]
    initial = pools.initial[pool]
    worst = -1
    worst_margin = -1.0
    worst_value = -1.0
    status = OK
    slot = pools.first_position[pool]
    while slot >= 0:
        mark = prices.mark[positions.instrument[slot]]
        if not mark > 0.0:
            status = MISSING_MARK
        elif positions.table[slot] < 0:
            status = max(status, UNKNOWN_TIER) if status != MISSING_MARK else status
        else:
            value = position_value(positions.quantity[slot], mark, positions.inverse[slot])
            margin = maintenance_margin(abs(value), positions.table[slot], tiers)
            equity += value
            maintenance += margin
            initial += abs(value) * positions.inverse_leverage[slot]
            # where no position has margin of its own the largest is the worst
            if margin > worst_margin or (margin == worst_margin and abs(value) > worst_value):
                worst_margin = margin
                worst_value = abs(value)
                worst = slot
        slot = positions.next[slot]
    extra = 0.0
    slot = pools.first_collateral[pool]
    while slot >= 0:
        price = prices.asset[collateral.asset[slot]]
        if not price > 0.0:
            status = MISSING_PRICE if status == OK else status
        else:
            extra += collateral.amount[slot] * price * collateral.ratio[slot]
        slot = collateral.next[slot]
    if status == OK and not math.isfinite(equity + maintenance + extra):
        status = NOT_FINITE
    out.status[pool] = status
    out.worst_position[pool] = worst
    if status != OK:
        return
    requirement, capacity = require(equity, maintenance, extra, pools.borrows[pool], pools.borrow_offset[pool])
    out.equity[pool] = equity
    out.maintenance[pool] = maintenance
    out.initial[pool] = initial
    out.requirement[pool] = requirement
    out.capacity[pool] = capacity
    out.raw_ratio[pool] = pool_ratio(requirement, capacity, pools.limit[pool]) * pools.limit[pool]
    out.ratio[pool] = worse_ratio(pool, equity, maintenance, extra, pools)


@jit
def _band(pool: int, pools: Pools, out: Margins) -> None:
    band = -1
    if out.status[pool] == OK:
        band = 0
        for cut in range(pools.cuts.shape[1]):
            if out.ratio[pool] >= pools.cuts[pool, cut]:
                band = cut + 1
    if band != out.band[pool]:
        out.band[pool] = band
        out.crossed[pool] = True


@jit_on_tick
def evaluate_pools(positions: Positions, collateral: Collateral, tiers: Tiers, prices: Prices, pools: Pools, out: Margins) -> int:
    """Recompute the pools whose flag is set or whose marks or collateral prices moved; returns how many.

    Clears the flags it consumed. Where a mark, price or tier table is missing, `status` says so, and the other columns keep
    their last value and must not be read.
    """
    for slot in range(positions.pool.shape[0]):
        if positions.pool[slot] >= 0 and prices.mark_moved[positions.instrument[slot]]:
            pools.dirty[positions.pool[slot]] = True
    for slot in range(collateral.pool.shape[0]):
        if collateral.pool[slot] >= 0 and prices.asset_moved[collateral.asset[slot]]:
            pools.dirty[collateral.pool[slot]] = True
    prices.mark_moved[:] = False
    prices.asset_moved[:] = False
    count = 0
    for pool in range(pools.dirty.shape[0]):
        if pools.dirty[pool]:
            _evaluate_pool(pool, positions, collateral, tiers, prices, pools, out)
            _band(pool, pools, out)
            pools.dirty[pool] = False
            count += 1
    return count


@jit
def liquidation_price(quantity: float, mark: float, available: float, table: int, tiers: Tiers) -> float:
    """Mark at which `available` (pool capacity minus maintenance, at `mark`) is used up by this position alone; NaN if none.

    All other marks are frozen. Solved tier by tier: available + q (P - mark) = MM(|q| P) - MM(|q| mark); a root counts where
    its notional lies in the tier it was solved with (Hyperliquid docs, liquidation price; the tier valid at that price).
    """
    size = abs(quantity)
    if size == 0.0 or table < 0:
        return math.nan
    margin_now = maintenance_margin(size * mark, table, tiers)
    for row in range(tiers.start[table], tiers.start[table + 1]):
        slope = quantity - size * tiers.rate[row]
        if slope == 0.0:
            continue
        price = (quantity * mark - available - margin_now - tiers.deduction[row]) / slope
        upper = tiers.bound[row + 1] if row + 1 < tiers.start[table + 1] else math.inf
        # the root is one and continuous in the bounds, so a rounding error's overlap of neighbouring tiers only makes sure it is found
        if price > 0.0 and tiers.bound[row] * (1.0 - 1e-12) <= size * price <= upper * (1.0 + 1e-12):
            return float(price)
    return math.nan


@jit
def inverse_liquidation_price(quantity: float, mark: float, available: float, table: int, tiers: Tiers) -> float:
    """`liquidation_price` of an inverse position (`quantity` in USD, `available` and tiers in its coin); NaN if none.

    Solved tier by tier: available + q (1 / mark - 1 / P) = MM(|q| / P) - MM(|q| / mark).
    """
    size = abs(quantity)
    if size == 0.0 or table < 0:
        return math.nan
    fixed = available + quantity / mark + maintenance_margin(size / mark, table, tiers)
    for row in range(tiers.start[table], tiers.start[table + 1]):
        left = fixed + tiers.deduction[row]
        if left == 0.0:
            continue
        price = (quantity + size * tiers.rate[row]) / left
        upper = tiers.bound[row + 1] if row + 1 < tiers.start[table + 1] else math.inf
        if price > 0.0 and tiers.bound[row] * (1.0 - 1e-12) <= size / price <= upper * (1.0 + 1e-12):
            return float(price)
    return math.nan


@jit
def joint_liquidation_price(quantity: Floats, table: Ints, mark: float, available: float, tiers: Tiers) -> float:
    """Common mark at which several positions of one instrument [position] together use up `available`; NaN if none.

    The hedged symbol (Aster docs, liquidation price): all of them share one mark and each has its own tiers, so what is left,
    available + sum q (P - mark) - sum (MM(|q| P) - MM(|q| mark)), is linear between the prices at which one of them changes its
    tier. It has up to two roots, of which the one next to the mark counts; pieces without slope have none.
    """
    fixed = available
    for position in range(quantity.shape[0]):
        if table[position] < 0:
            return math.nan
        fixed += maintenance_margin(abs(quantity[position]) * mark, table[position], tiers) - quantity[position] * mark
    found = math.nan
    lower = 0.0
    while lower < math.inf:
        upper = math.inf
        for position in range(quantity.shape[0]):
            for row in range(tiers.start[table[position]] + 1, tiers.start[table[position] + 1]):
                if quantity[position] != 0.0:
                    bound = tiers.bound[row] / abs(quantity[position])
                    if lower < bound < upper:
                        upper = bound
        inside = 0.5 * (lower + upper) if upper < math.inf else 2.0 * lower + 1.0
        slope = 0.0
        left = fixed
        gross = 0.0
        for position in range(quantity.shape[0]):
            size = abs(quantity[position])
            row = _tier_row(size * inside, table[position], tiers)
            slope += quantity[position] - size * tiers.rate[row]
            left += tiers.deduction[row]
            gross += size
        if abs(slope) > 1e-12 * gross:
            price = -left / slope
            nearer = not abs(price - mark) >= abs(found - mark)
            if price > 0.0 and lower * (1.0 - 1e-12) <= price <= upper * (1.0 + 1e-12) and nearer:
                found = price
        lower = upper
    return found


@jit
def _joint_of_slot(slot: int, positions: Positions, tiers: Tiers, mark: float, available: float, first: int) -> float:
    instrument = positions.instrument[slot]
    if positions.inverse[slot]:
        return inverse_liquidation_price(positions.quantity[slot], mark, available, positions.table[slot], tiers)
    count = 0
    other = first
    while other >= 0:
        count += positions.instrument[other] == instrument and positions.quantity[other] != 0.0
        other = positions.next[other]
    if count < 2 or positions.quantity[slot] == 0.0:
        return liquidation_price(positions.quantity[slot], mark, available, positions.table[slot], tiers)
    quantity, table = np.empty(count), np.empty(count, np.int32)
    count = 0
    other = first
    while other >= 0:
        if positions.instrument[other] == instrument and positions.quantity[other] != 0.0:
            quantity[count], table[count] = positions.quantity[other], positions.table[other]
            count += 1
        other = positions.next[other]
    return joint_liquidation_price(quantity, table, mark, available, tiers)


@jit
def liquidation_prices(positions: Positions, tiers: Tiers, prices: Prices, pools: Pools, out: Margins, price: Floats) -> None:
    """`price[slot]` of every position of every valid pool (the venue's convention: other marks frozen), NaN where none.

    Positions of one instrument in one pool share the mark that moves, and so the price: see `joint_liquidation_price`.
    """
    for slot in range(positions.pool.shape[0]):
        price[slot] = math.nan
        pool = positions.pool[slot]
        if pool < 0 or out.status[pool] != OK:
            continue
        collateral = out.capacity[pool] - max(out.equity[pool], out.maintenance[pool] if pools.borrows[pool] else out.equity[pool])
        available = out.equity[pool] + collateral - out.maintenance[pool]
        mark = prices.mark[positions.instrument[slot]]
        price[slot] = _joint_of_slot(slot, positions, tiers, mark, available, pools.first_position[pool])


@jit
def cash_to_ratio(target: float, equity: float, maintenance: float, collateral: float, limit: float, borrows: bool, offset: float) -> float:
    """Cash that, added to the pool, brings its ratio down to `target`; 0 if it is there already."""
    requirement, capacity = require(equity, maintenance, collateral, borrows, offset)
    if pool_ratio(requirement, capacity, limit) <= target:
        return 0.0
    goal = target * limit
    if borrows and equity < maintenance:
        cash = requirement - goal * capacity
        if equity + cash < maintenance:
            return cash
        # the shortfall ends on the way: from here on cash adds to capacity, and the offset is gone
        if maintenance <= goal * (maintenance + collateral):
            return maintenance - equity
    return maintenance / goal - collateral - equity


@jit
def reduction_to_ratio(target: float, slot: int, positions: Positions, tiers: Tiers, prices: Prices, pools: Pools, out: Margins) -> float:
    """Signed quantity to trade in one position, at its mark, to bring its pool's ratio to `target`; NaN if closing it is not enough.

    So it is NaN of a position that has no margin of its own. Trading at the mark leaves equity as it is and takes maintenance
    away, which is monotone: bisected to 1e-12 of the size.
    """
    pool = positions.pool[slot]
    mark = prices.mark[positions.instrument[slot]]
    size = abs(positions.quantity[slot])
    equity = out.equity[pool]
    inverse = positions.inverse[slot]
    notional = abs(position_value(size, mark, inverse))
    others = out.maintenance[pool] - maintenance_margin(notional, positions.table[slot], tiers)
    _, capacity = require(equity, out.maintenance[pool], 0.0, pools.borrows[pool], pools.borrow_offset[pool])
    collateral = out.capacity[pool] - capacity
    low, high = 0.0, size
    # without anything left no trade mends the pool, though an empty one has ratio 0
    if equity + min(0.0, pools.adjust_equity[pool]) + collateral <= 0.0 or worse_ratio(pool, equity, others, collateral, pools) > target:
        return math.nan
    while high - low > 1e-12 * size:
        middle = 0.5 * (low + high)
        maintenance = others + maintenance_margin(abs(position_value(middle, mark, inverse)), positions.table[slot], tiers)
        if worse_ratio(pool, equity, maintenance, collateral, pools) > target:
            high = middle
        else:
            low = middle
    return math.copysign(size - low, -positions.quantity[slot])
