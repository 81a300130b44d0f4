"""How far a pool is from a ratio: the price move at which it gets there.

Marks and collateral prices move together by `1 + move * weight`; every trial price is a full evaluation. Never assumes
monotonicity: a scan brackets every sign change and bisection closes on the nearest one of each side.
"""

from __future__ import annotations

import math

import numpy as np

from kernels._jit import jit
from kernels.pool import Collateral, Floats, Ints, Pools, Positions, Prices, Tiers, maintenance_margin, position_value, worse_ratio

LOWEST_MOVE, HIGHEST_MOVE = -0.99, 4.0
"""Range of the scan, as relative moves."""

WORTHLESS = 1e-6
"""What a mark is multiplied with at least, where an inverse position divides by it."""

SCAN = np.unique(np.concatenate([-np.geomspace(1e-4, -LOWEST_MOVE, 120), np.zeros(1), np.geomspace(1e-4, HIGHEST_MOVE, 150)]))
"""Moves at which the ratio is looked at before bisection: dense near 0, where the nearest crossing matters."""


@jit
def _split(pool: int, mark_weight: Floats, positions: Positions, tiers: Tiers, prices: Prices, pools: Pools) -> tuple[float, float, Ints]:
    # what does not move is summed once; the slots that do are returned
    equity = pools.cash[pool]
    maintenance = pools.maintenance[pool]
    moving = 0
    slot = pools.first_position[pool]
    while slot >= 0:
        if positions.table[slot] < 0:
            equity = math.nan
        elif mark_weight[positions.instrument[slot]] == 0.0:
            value = position_value(positions.quantity[slot], prices.mark[positions.instrument[slot]], positions.inverse[slot])
            equity += value
            maintenance += maintenance_margin(abs(value), positions.table[slot], tiers)
        else:
            moving += 1
        slot = positions.next[slot]
    slots = np.empty(moving, np.int32)
    moving = 0
    slot = pools.first_position[pool]
    while slot >= 0:
        if positions.table[slot] >= 0 and mark_weight[positions.instrument[slot]] != 0.0:
            slots[moving] = slot
            moving += 1
        slot = positions.next[slot]
    return equity, maintenance, slots


@jit
def _ratio(
    pool: int,
    move: float,
    still: tuple[float, float, Ints],
    mark_weight: Floats,
    asset_weight: Floats,
    positions: Positions,
    collateral: Collateral,
    tiers: Tiers,
    prices: Prices,
    pools: Pools,
) -> float:
    equity, maintenance, slots = still
    for slot in slots:
        instrument = positions.instrument[slot]
        factor = max(WORTHLESS if positions.inverse[slot] else 0.0, 1.0 + move * mark_weight[instrument])
        value = position_value(positions.quantity[slot], prices.mark[instrument] * factor, positions.inverse[slot])
        equity += value
        maintenance += maintenance_margin(abs(value), positions.table[slot], tiers)
    extra = 0.0
    slot = pools.first_collateral[pool]
    while slot >= 0:
        asset = collateral.asset[slot]
        extra += collateral.amount[slot] * collateral.ratio[slot] * prices.asset[asset] * max(0.0, 1.0 + move * asset_weight[asset])
        slot = collateral.next[slot]
    return worse_ratio(pool, equity, maintenance, extra, pools)


@jit
def ratio_at_move(
    pool: int,
    move: float,
    mark_weight: Floats,
    asset_weight: Floats,
    positions: Positions,
    collateral: Collateral,
    tiers: Tiers,
    prices: Prices,
    pools: Pools,
) -> float:
    """Ratio of `pool`, as `evaluate_pools` gives it, after a move; NaN if unknown.

    Marks move by `move * mark_weight[instrument]`, collateral prices by `move * asset_weight[asset]`.
    """
    still = _split(pool, mark_weight, positions, tiers, prices, pools)
    return _ratio(pool, move, still, mark_weight, asset_weight, positions, collateral, tiers, prices, pools)


@jit
def distance_to_ratio(
    pool: int,
    target: float,
    scan: Floats,
    mark_weight: Floats,
    asset_weight: Floats,
    positions: Positions,
    collateral: Collateral,
    tiers: Tiers,
    prices: Prices,
    pools: Pools,
) -> tuple[float, float]:
    """(nearest move down, nearest move up) at which the pool's ratio crosses `target`, each NaN if it never does in the scan.

    `scan` holds ascending moves and 0; each side is walked outwards from 0 and bisected to 1e-9 of the move. Positions
    that do not move are summed once.
    """
    still = _split(pool, mark_weight, positions, tiers, prices, pools)
    here = _ratio(pool, 0.0, still, mark_weight, asset_weight, positions, collateral, tiers, prices, pools) >= target
    zero = np.searchsorted(scan, 0.0)
    down = math.nan
    up = math.nan
    for side in (-1, 1):
        node = zero + side
        while 0 <= node < scan.shape[0]:
            above = _ratio(pool, scan[node], still, mark_weight, asset_weight, positions, collateral, tiers, prices, pools) >= target
            if above != here:
                near, far = scan[node - side], scan[node]
                while abs(far - near) > 1e-9 * max(1.0, abs(near)):
                    middle = 0.5 * (near + far)
                    if (
                        _ratio(pool, middle, still, mark_weight, asset_weight, positions, collateral, tiers, prices, pools) >= target
                    ) == here:
                        near = middle
                    else:
                        far = middle
                if side < 0:
                    down = 0.5 * (near + far)
                else:
                    up = 0.5 * (near + far)
                break
            node += side
    return down, up
