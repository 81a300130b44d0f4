"""What every margin method yields, and the interface by which callers treat all methods alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Protocol

from connectors.events import FailureReason
from connectors.model import PositionSide
from monitor.alerts.scope import AlertScope
from monitor.reconcile import Comparison


class Level(IntEnum):
    """Alert level of a margin ratio; LIQUIDATION is where the venue acts, BREACH the same for a portfolio no venue acts on."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    LIQUIDATION = 3
    BREACH = 4

    @property
    def label(self) -> str:
        """Lower-case name, as documents and metrics write it."""
        return self.name.lower()


class PoolKind(StrEnum):
    """Which row of the stage table applies: what the venue does to this pool next."""

    HYPERLIQUID_CROSS = "hyperliquid_cross"
    HYPERLIQUID_PORTFOLIO_MARGIN = "hyperliquid_portfolio_margin"
    HYPERLIQUID_ISOLATED = "hyperliquid_isolated"
    ASTER_CROSS = "aster_cross"
    ASTER_MULTI_ASSETS = "aster_multi_assets"
    ASTER_ISOLATED = "aster_isolated"
    DERIBIT_CROSS = "deribit_cross"
    DERIBIT_SEGREGATED = "deribit_segregated"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no number: a typed reason and a sentence that names the thing and the remedy."""

    reason: FailureReason
    detail: str


class MarginResult(Protocol):
    """What the results of all methods have in common: one pool or portfolio at one instant, in one money.

    A figure is None where `failures` says why; `margin_ratio` is 1.0 where the venue or the model would liquidate, and
    `excess` what equity has above the point where that happens.
    """

    @property
    def equity(self) -> float | None:
        """What carries the margin."""
        ...

    @property
    def maintenance_margin(self) -> float | None:
        """What has to be carried."""
        ...

    @property
    def initial_margin(self) -> float | None:
        """What opening it takes."""
        ...

    @property
    def margin_ratio(self) -> float | None:
        """The ratio, +inf without equity."""
        ...

    @property
    def excess(self) -> float | None:
        """Equity left above the requirement."""
        ...

    @property
    def level(self) -> Level:
        """Alert level of the ratio; OK says nothing while there are failures."""
        ...

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Why there is no figure."""
        ...


class MarginMethod(Protocol):
    """A margin method over whatever it was built for: live state, or a document."""

    @property
    def name(self) -> str:
        """Name as documents write it: `portfolio`, `cross`, or the venue whose own rule it is."""
        ...

    def results(self) -> Sequence[MarginResult]:
        """The results now, one a portfolio or a pool."""
        ...


@dataclass(frozen=True, slots=True)
class PoolResult:
    """Margin of one pool at one instant; money in `asset` (the pool's own token).

    `margin_ratio` is normalised so that 1.0 is where the venue liquidates; `raw_ratio` is the venue's own figure where it
    differs (portfolio-margin ratio, limit 0.95). It is +inf when equity <= 0 with margin > 0, 0 without positions, and None
    when `failures` says why. `excess` = limit * equity - maintenance_margin. `cash_to_safety` and `reduce` (instrument,
    signed quantity to trade) each alone bring the ratio back to the warning level; None below it or where impossible.
    `reduce_side` is the leg that `reduce` closes in hedge mode, where the same trade could also open the other one.
    `last_margin_ratio` is the last ratio known, shown (never alarmed) while `failures` or `stale` say it no longer holds.
    `worst_distance` is the signed relative move of the worst position's coin at which the pool is liquidated, and
    `worst_liquidation_price` its mark there.
    `reconciled` compares with the venue's last own figures: None while there is nothing to compare with. `comparisons` are
    these figures, ours and the venue's, where a caller asked for them. `model_error` is, for a pool whose equity is anchored on
    the venue's (Aster multi-assets mode), how far our own valuation of its collateral was from it at the venue's last read;
    `remedy` says what to do where that makes the pool unreconciled.
    """

    venue: str
    account: str
    pool: str
    kind: PoolKind
    mode: str
    asset: str
    level: Level
    margin_ratio: float | None
    raw_ratio: float | None
    limit: float
    equity: float | None
    maintenance_margin: float | None
    excess: float | None
    initial_margin: float | None = None
    last_margin_ratio: float | None = None
    cash_to_safety: float | None = None
    reduce: tuple[str, float] | None = None
    worst_instrument: str | None = None
    worst_liquidation_price: float | None = None
    worst_distance: float | None = None
    positions: int = 0
    data_age_s: float | None = None
    reconciled: bool | None = None
    reported_difference: float | None = None
    stale: bool = False
    failures: tuple[Failure, ...] = field(default=())
    comparisons: tuple[Comparison, ...] = ()
    model_error: float | None = None
    remedy: str = ""
    reduce_side: PositionSide = PositionSide.BOTH

    @property
    def scope(self) -> tuple[str, str, str]:
        """(venue, account, pool), the key that alerts, metrics and pages share."""
        return (self.venue, self.account, self.pool)

    @property
    def alert_scope(self) -> AlertScope:
        """The pool as alerts name it."""
        return AlertScope.pool(self.venue, self.account, self.pool)

    @property
    def valid(self) -> bool:
        """Whether the ratio is a number."""
        return self.margin_ratio is not None
