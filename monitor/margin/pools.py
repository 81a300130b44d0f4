"""What a venue's rule makes of an account: the pools to evaluate, as the kernels want them."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.events import FailureReason
from connectors.model import MarginTier, PositionSide
from monitor.margin.result import Failure, PoolKind
from monitor.market import Market
from monitor.reconcile import Comparison

WHOLE_ACCOUNT = "account"
"""Name of the one pool of an account that has no others, because nothing is known of it or it cannot be margined."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A position of a pool; `tiers` empty when its maintenance table is unknown, `leverage` 0 when not told.

    In hedge mode the two sides of an instrument are two legs. An `inverse` one has its quantity in USD and its money in coin.
    """

    instrument: str
    quantity: float
    leverage: float
    tiers: tuple[MarginTier, ...]
    side: PositionSide = PositionSide.BOTH
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class CollateralLeg:
    """Collateral of a pool: `ratio` is the share of its live price that counts; of a debt (`amount` < 0) at least 1."""

    asset: str
    amount: float
    ratio: float


@dataclass(slots=True)
class PoolSpec:
    """One pool as a venue module describes it; see `kernels.pool` for the meaning of the numbers.

    `maintenance` and `initial` are the part of the margins that its legs' tiers do not give. `held` is the number of positions
    where legs are none (None: they are).
    `adjust_*` is the venue's own figure minus ours at its last frame. `doubt` names why the figure awaits confirmation, `stale` why it
    is only what the venue told last.
    `tolerance` is the relative difference from the venue above which the pool is unreconciled (None: as everywhere),
    `model_error` the one of a pool whose equity is anchored on the venue's, and `remedy` what to do about it.
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
    stale: tuple[Failure, ...] = ()
    doubt: str = ""
    tolerance: float | None = None
    model_error: float | None = None
    remedy: str = ""
    maintenance: float = 0.0
    initial: float = 0.0
    held: int | None = None


def unknown(spec: PoolSpec, market: Market) -> None:
    """Make the pool a failure where an instrument or its margin table is not known."""
    for leg in spec.legs:
        if leg.instrument not in market.instruments:
            detail = f"{leg.instrument} is not in the venue's reference data: waiting for a refetch"
            spec.failures = (Failure(FailureReason.UNKNOWN_INSTRUMENT, detail),)
        elif not leg.tiers:
            detail = f"{leg.instrument} names a margin table the venue does not list: waiting for a refetch"
            spec.failures = (Failure(FailureReason.UNKNOWN_TIER, detail),)
