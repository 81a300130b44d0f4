"""What Aster's rule needs of a snapshot document: which pool is of which kind, whose side it carries, what its collateral is.

A pool of an isolated position in hedge mode is told by its name, "iso:SYMBOL:LONG", as live.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from config.collateral import CollateralTable, load_collateral
from connectors.events import FailureReason
from monitor.margin.aster_rule import MULTI_ASSETS, AsterRules
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.snapshot import AccountRow, InstrumentRow, PoolRow, PositionRow

MODES = ("single_asset", "multi_assets")

TOLERANCE = AsterRules().model_tolerance
"""A document does not tell the configured one."""

_SIDES = {"LONG": "long", "SHORT": "short"}


@cache
def _table() -> CollateralTable:
    return load_collateral()


def kind_of(row: PoolRow, account: AccountRow) -> PoolKind:
    """Which of Aster's rules a pool is under."""
    if row.id.startswith("iso:"):
        return PoolKind.ASTER_ISOLATED
    return PoolKind.ASTER_MULTI_ASSETS if account.mode == "multi_assets" or row.id == MULTI_ASSETS else PoolKind.ASTER_CROSS


def side_of(pool: str) -> str | None:
    """The side of hedge mode that a pool is of, by its name; None for both."""
    return _SIDES.get(pool.rpartition(":")[2]) if pool.startswith("iso:") else None


def mode_failures(account: AccountRow) -> Iterator[Failure]:
    """Why a mode has no rule; one that is not told needs none, as a pool's formula is the same in both."""
    if account.mode is not None and account.mode not in MODES:
        detail = f'mode "{account.mode}" has no rule here: known are {", ".join(MODES)}'
        yield Failure(FailureReason.UNSUPPORTED_MODE, detail)


def settle_failures(row: PoolRow, kind: PoolKind, instrument: InstrumentRow) -> Iterator[Failure]:
    """Why a pool cannot carry what an instrument settles in."""
    if kind is not PoolKind.ASTER_MULTI_ASSETS and instrument.settle != row.collateral_asset:
        detail = (
            f"{instrument.id} settles in {instrument.settle} and stands in a pool of {row.collateral_asset}, for which there is no rule"
        )
        yield Failure(FailureReason.UNSUPPORTED_MODE, detail)
    elif kind is PoolKind.ASTER_MULTI_ASSETS and not is_at_par(instrument.settle):
        detail = f"{instrument.id} settles in {instrument.settle}, whose price in USD nothing tells: margin it in single-asset mode"
        yield Failure(FailureReason.MISSING_FX, detail)


def is_at_par(asset: str) -> bool:
    """Whether an asset is valued at 1 USD."""
    return asset in _table().par


def coin_of(asset: str, coins: Iterable[str]) -> str:
    """The coin whose index prices an asset (asBNB goes with BNB), where the document knows that coin."""
    known = set(coins)
    coin = _table().coins.get(asset, asset)
    return coin if asset not in known and coin in known else asset


def residual_of(spec: PoolSpec, positions: Iterable[PositionRow]) -> float | None:
    """What ties a multi-assets pool to the venue's total: its cash less what the entries of its positions say of it.

    None where an entry is not told.
    """
    entries = {(row.instrument, row.side or "both"): row.entry for row in positions}
    residual = spec.cash
    for leg in spec.legs:
        entry = entries.get((leg.instrument, leg.side.value))
        if entry is None:
            return None
        residual += leg.quantity * entry
    return residual
