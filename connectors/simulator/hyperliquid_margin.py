"""The venue's margin formulas for one position: tiers, maintenance margin, liquidation price.

Source: Hyperliquid documentation, "Margining", "Margin tiers" and "Liquidations". Plain floats, no account state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: from `lower_bound` of notional the maintenance margin is notional * rate - deduction."""

    lower_bound: float
    rate: float
    deduction: float


def build_tiers(table: Sequence[tuple[float, int]]) -> tuple[Tier, ...]:
    """Tiers of a margin table ((lower bound, max leverage), ...): rate = 1 / (2 max leverage), continuous by the deductions."""
    tiers: list[Tier] = []
    for lower_bound, max_leverage in table:
        rate = 1.0 / (2.0 * max_leverage)
        before = tiers[-1] if tiers else Tier(0.0, rate, 0.0)
        tiers.append(Tier(lower_bound, rate, before.deduction + lower_bound * (rate - before.rate)))
    return tuple(tiers)


def maintenance_margin(notional: float, tiers: Sequence[Tier]) -> float:
    """Maintenance margin of a position of this notional."""
    tier = tiers[0]
    for candidate in tiers:
        if candidate.lower_bound <= notional:
            tier = candidate
    return notional * tier.rate - tier.deduction


def liquidation_price(size: float, mark: float, available: float, tiers: Sequence[Tier]) -> float | None:
    """Mark at which the margin `available` after maintenance is used up, all other marks frozen; None without a positive one.

    Solves available + size (P - mark) - (MM(P) - MM(mark)) = 0 tier by tier and takes the tier that holds the solution.
    """
    side = math.copysign(1.0, size)
    quantity = abs(size)
    own = maintenance_margin(quantity * mark, tiers)
    bounds = [*(tier.lower_bound for tier in tiers[1:]), math.inf]
    for tier, upper in zip(tiers, bounds, strict=True):
        price = (size * mark - available - own - tier.deduction) / (quantity * (side - tier.rate))
        if price > 0.0 and tier.lower_bound <= quantity * price < upper:
            return price
    return None
