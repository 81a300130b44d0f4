"""Compile or load every kernel before the first tick, with exactly the argument types the engine uses."""

from __future__ import annotations

import numpy as np

from kernels import distance, pool
from kernels._jit import forbid_compilation


def warm_up(*, forbid: bool = True) -> None:
    """Run every kernel once on a book of one position.

    `forbid`: from then on a call with another argument type raises instead of compiling on the event loop.
    """
    positions = pool.Positions(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), np.full(1, 0.1), np.zeros(1, np.int32), np.full(1, -1, np.int32)
    )
    collateral = pool.Collateral(np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1), np.full(1, 0.5), np.full(1, -1, np.int32))
    tiers = pool.Tiers(np.array([0, 1], np.int32), np.zeros(1), np.full(1, 0.05), np.zeros(1))
    prices = pool.Prices(np.full(1, 100.0), np.ones(1, np.bool_), np.full(1, 10.0), np.ones(1, np.bool_))
    pools = pool.Pools(
        np.zeros(1, np.int32), np.zeros(1, np.int32), np.full(1, -90.0), np.ones(1), np.zeros(1, np.bool_), np.zeros(1),
        np.zeros(1), np.zeros(1), np.ones((1, 6)), np.ones(1, np.bool_),
    )  # fmt: skip
    out = pool.Margins(
        np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1),
        np.zeros(1, np.int32), np.full(1, -2, np.int32), np.zeros(1, np.bool_), np.zeros(1, np.int32),
    )  # fmt: skip
    pool.evaluate_pools(positions, collateral, tiers, prices, pools, out)
    pool.maintenance_margin(100.0, 0, tiers)
    pool.liquidation_price(1.0, 100.0, 5.0, 0, tiers)
    pool.liquidation_prices(positions, tiers, prices, pools, out, np.zeros(1))
    pool.cash_to_ratio(0.85, 10.0, 5.0, 1.0, 0.95, True, 20.0)
    pool.reduction_to_ratio(0.85, 0, positions, tiers, prices, pools, out)
    pool.require(10.0, 5.0, 1.0, True, 20.0)
    pool.pool_ratio(1.0, 2.0, 1.0)
    distance.distance_to_ratio(0, 1.0, distance.SCAN, np.ones(1), np.ones(1), positions, collateral, tiers, prices, pools)
    if forbid:
        forbid_compilation()
