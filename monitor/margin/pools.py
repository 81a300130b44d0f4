"""What a venue's rule makes of an account: the pools to evaluate, as the kernels want them."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.model import MarginTier
from monitor.margin.result import Failure, PoolKind
from monitor.reconcile import Comparison

WHOLE_ACCOUNT = "account"
"""Name of the one pool of an account that has no others, because nothing is known of it or it cannot be margined."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A position of a pool; `tiers` empty when its maintenance table is unknown, `leverage` 0 when not told."""

    instrument: str
    quantity: float
    leverage: float
    tiers: tuple[MarginTier, ...]


@dataclass(frozen=True, slots=True)
class CollateralLeg:
    """Collateral of a pool: `ratio` is the share of its live price that counts."""

    asset: str
    amount: float
    ratio: float


@dataclass(slots=True)
class PoolSpec:
    """One pool as a venue module describes it; see `kernels.pool` for the meaning of the numbers.

    `adjust_*` is the venue's own figure minus ours at its last frame. `doubt` names why the figure awaits confirmation.
    """

    name: str
    kind: PoolKind
    mode: str
    asset: str
    cash: float
    legs: list[Leg] = field(default_factory=list)
    collateral: list[CollateralLeg] = field(default_factory=list)
    limit: float = 1.0
    borrows: bool = False
    borrow_offset: float = 0.0
    adjust_equity: float = 0.0
    adjust_maintenance: float = 0.0
    comparisons: tuple[Comparison, ...] = ()
    failures: tuple[Failure, ...] = ()
    doubt: str = ""
