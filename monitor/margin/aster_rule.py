"""Aster's rule on positions: their legs, their cash, and what they need at a mark.

Source: Aster docs (leverage and margin), as written down in the venue notes 5.1 to 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.events import FailureReason
from connectors.model import FuturesAsset, MarginMode, Position, PositionSide
from kernels.pool import maintenance_margin
from monitor.margin.pools import Leg, PoolSpec, unknown
from monitor.margin.result import Failure
from monitor.market import Market

VENUE = "aster"
MULTI_ASSETS = "multi-assets"
"""Name of the one pool of an account in multi-assets mode."""

MAIN = "USDT"
"""The margin asset of nearly all symbols: what an account is shown with while nothing is known of it."""


@dataclass(frozen=True, slots=True)
class AsterRules:
    """What no answer of the venue tells: `ratios` of the assets that are collateral in multi-assets mode, as far as known.

    `ask_factor` (at least 1) multiplies a negative balance there. `model_tolerance` is the relative difference between our
    valuation and the venue's total above which such an account is unreconciled. An index that nobody told for `index_limit_s`
    seconds is not compared with the venue's total.
    """

    ratios: Mapping[str, float] = field(default_factory=dict)
    ask_factor: float = 1.0
    model_tolerance: float = 0.005
    index_limit_s: float = 15.0


def is_isolated(position: Position) -> bool:
    """Whether the position holds margin of its own."""
    return position.margin_mode is MarginMode.ISOLATED


def settle_of(position: Position, market: Market) -> str | None:
    """The margin asset of a position; None while its instrument is unknown."""
    instrument = market.instruments.get(position.instrument)
    return None if instrument is None else instrument.settle


def name_of(position: Position, market: Market) -> str:
    """The position as people name it: `ETHUSDT`, in hedge mode `ETHUSDT:LONG`."""
    instrument = market.instruments.get(position.instrument)
    symbol = instrument.symbol if instrument else position.instrument.partition(":")[2]
    return symbol if position.side is PositionSide.BOTH else f"{symbol}:{position.side.name}"


def leg_of(position: Position, market: Market) -> Leg:
    """The position as a pool's leg; each side of hedge mode has the whole table to itself (notes 5.3)."""
    instrument = market.instruments.get(position.instrument)
    return Leg(position.instrument, position.quantity, position.leverage, instrument.tiers if instrument else (), position.side)


def table_of(position: Position, market: Market) -> int:
    """Number of the position's tier table; -1 while unknown."""
    instrument = market.instruments.get(position.instrument)
    return market.tiers.number(instrument.tiers) if instrument else -1


def maintenance_of(position: Position, mark: float, market: Market) -> float:
    """Maintenance margin at a mark, N * rate - cum (notes 5.3); NaN while the table is unknown."""
    table = table_of(position, market)
    return maintenance_margin(abs(position.quantity * mark), table, market.tiers.arrays) if table >= 0 else math.nan


def paid(positions: Iterable[Position]) -> float:
    """sum(quantity * entry): what the positions' unrealised profit is counted from."""
    return sum(position.quantity * (position.entry or 0.0) for position in positions)


def profit(positions: Iterable[Position]) -> float:
    """Unrealised profit of positions at their own marks, sum(quantity * (mark - entry)) (notes 5.1)."""
    return sum(position.quantity * (position.mark - (position.entry or 0.0)) for position in positions)


def wallets(assets: Iterable[FuturesAsset]) -> dict[str, float]:
    """Cross wallet balance by asset, without the empty ones."""
    return {row.asset: row.cross_wallet for row in assets if row.cross_wallet != 0.0}


def lacking(spec: PoolSpec, positions: Iterable[Position], market: Market) -> None:
    """Make the pool a failure where an instrument, its table or an entry price is not known."""
    unknown(spec, market)
    for position in positions:
        if position.entry is None and not spec.failures:
            detail = f"no entry price of {name_of(position, market)}: waiting for the venue's next account state"
            spec.failures = (Failure(FailureReason.MISSING_ENTRY, detail),)
