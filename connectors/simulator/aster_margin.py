"""The venue's margin formulas: maintenance margin by tier, collateral value, liquidation price. Plain floats, no account state.

Source: Aster documentation, "Leverage and margin", "Liquidations", "Single-asset mode and multi-asset mode".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from connectors.simulator.aster_listing import MarginAsset, Tier

Leg = tuple[float, float, Sequence[Tier]]
"""(signed amount, entry price, tiers) of one position."""


def tier_of(notional: float, tiers: Sequence[Tier]) -> Tier:
    """The tier with floor < notional <= cap, the last one above all."""
    return next((tier for tier in tiers if notional <= tier.cap), tiers[-1])


def maintenance_margin(notional: float, tiers: Sequence[Tier]) -> float:
    """Maintenance margin of a position of this (positive) notional."""
    tier = tier_of(notional, tiers)
    return notional * tier.rate - tier.cum


def collateral_value(balance: float, index: float, asset: MarginAsset) -> float:
    """What a balance counts for in multi-assets mode, USD: at the bid rate when positive, at the ask rate when negative."""
    return balance * index * (asset.ratio if balance >= 0.0 else asset.ask_factor)


def margin_ratio(maintenance: float, equity: float) -> float:
    """maintenance / equity: 1 is liquidation; 0 without maintenance, inf when equity <= 0 with maintenance."""
    if maintenance <= 0.0:
        return 0.0
    return maintenance / equity if equity > 0.0 else math.inf


def liquidation_price(rest: float, legs: Sequence[Leg], mark: float) -> float | None:
    """Mark of the legs' common symbol at which its pool reaches a ratio of 1; None without one.

    `rest` is the pool's equity less maintenance without these legs, all of which is frozen. Solves
    rest + sum(a (P - E)) = sum(|a| P rate - cum) for every combination of tiers and keeps the solutions inside their tiers;
    of several (hedged legs) the one next to the mark.
    """
    found: list[float] = []
    for tiers in product(*(leg[2] for leg in legs)):
        slope = sum(amount - abs(amount) * tier.rate for (amount, _, _), tier in zip(legs, tiers, strict=True))
        fixed = rest + sum(tier.cum - amount * entry for (amount, entry, _), tier in zip(legs, tiers, strict=True))
        if abs(slope) < 1e-12:
            continue
        price = -fixed / slope
        inside = all(tier_of(abs(amount) * price, own) is tier for (amount, _, own), tier in zip(legs, tiers, strict=True))
        if price > 0.0 and inside:
            found.append(price)
    return min(found, key=lambda price: abs(price - mark), default=None)
