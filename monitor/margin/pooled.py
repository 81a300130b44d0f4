"""Accounts whose wallet is the margin (Hyperliquid unified and portfolio margin): from `total` to mark-independent cash.

A wallet row is mark-to-market and carries no time, while the kernels want cash that does not move with marks. The wallet is
therefore anchored: cash = total - isolated equity - sum(quantity * mark), at the positions and marks the venue used. Which
those were is decided by the venue's own `tokenToAvailableAfterMaintenance`: of the candidates (what we hold now; the last
account frame) the one that reproduces it best. Source: Hyperliquid notes 5.2 and 5.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from connectors.events import CashFlow, Fill
from connectors.model import Balance, Wallet
from monitor.margin.ledger import Ledger, LivePosition

MarkOf = Callable[[Ledger, LivePosition], float]
MaintenanceOf = Callable[[LivePosition, float], float]

COUNTED_AT_ZERO_LTV = 0.5
"""Liquidation threshold of collateral = 0.5 + 0.5 * loan-to-value (Hyperliquid docs, portfolio margin)."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One candidate for what the venue saw: money in the token.

    `positions` is sum(quantity * mark) over cross positions, `isolated` the isolated equity, `maintenance` of the cross
    part, `later` the cash moved by executions that this candidate does not contain, `collateral` what collateral counts for
    at this candidate's prices (portfolio margin).
    """

    positions: float
    isolated: float
    maintenance: float
    later: float = 0.0
    collateral: float = 0.0


@dataclass(slots=True)
class Anchor:
    """A token's cash, and how well the candidate it was taken from explains the venue's own availability."""

    cash: float
    total: float
    available: float | None
    exposure: Exposure
    residual: float
    implied: float = 1.0
    """Venue's collateral value over ours, as this wallet implies it (portfolio margin only)."""
    scale: float = 1.0
    """What our collateral prices are scaled by: the median of the last implied ones, or this one if it is lower."""


@dataclass(slots=True)
class PooledWallet:
    """The wallet of one account as last told, moved by the spot executions and flows after it."""

    wallet: Wallet
    received_ns: int
    time_ms: int
    balances: dict[str, Balance] = field(default_factory=dict)
    anchors: dict[int, Anchor] = field(default_factory=dict)

    @classmethod
    def of(cls, wallet: Wallet, received_ns: int, time_ms: int, before: PooledWallet | None) -> PooledWallet:
        """Take a wallet over. What a frame leaves out (`complete` False) is remembered from the wallet before."""
        rows = {row.asset: row for row in wallet.balances}
        if not wallet.complete and before is not None:
            rows = {asset: _remember(row, before.balances.get(asset)) for asset, row in rows.items()}
        return cls(wallet, received_ns, time_ms, rows)

    def total(self, token: int) -> float:
        """The wallet's total of a token, 0 without a row."""
        return next((row.total for row in self.balances.values() if row.token == token), 0.0)

    def move(self, asset: str, amount: float) -> None:
        """A spot execution or transfer moved `amount` of an asset: balance, supplied collateral and anchored cash."""
        row = self.balances.get(asset)
        if row is None:
            return
        supplied = row.supplied
        if row.ltv and supplied is not None:
            supplied = max(0.0, supplied + amount)
        self.balances[asset] = replace(row, total=row.total + amount, supplied=supplied)
        if row.token is not None and row.token in self.anchors:
            self.anchors[row.token].cash += amount

    def collateral(self) -> list[tuple[str, float, float]]:
        """(asset, amount, liquidation threshold) of what counts as collateral in portfolio margin."""
        return [
            (row.asset, row.supplied, COUNTED_AT_ZERO_LTV + 0.5 * row.ltv)
            for row in self.balances.values()
            if row.ltv is not None and row.ltv > 0 and row.supplied is not None and row.supplied > 0
        ]


def _remember(row: Balance, before: Balance | None) -> Balance:
    if before is None:
        return row
    supplied = row.supplied
    if supplied is None and before.supplied is not None:
        everything = math.isclose(before.supplied, before.total, rel_tol=1e-9)
        supplied = row.total if everything else before.supplied
    return replace(row, supplied=supplied, ltv=row.ltv if row.ltv is not None else before.ltv)


def exposure(ledgers: Iterable[Ledger], mark_of: MarkOf, maintenance_of: MaintenanceOf, later: float = 0.0) -> Exposure:
    """What some ledgers expose: `mark_of(ledger, position)` and `maintenance_of(position, mark)` give the two numbers per position."""
    positions = isolated = maintenance = 0.0
    for ledger in ledgers:
        for position in ledger.positions.values():
            mark = mark_of(ledger, position)
            if position.isolated:
                isolated += position.isolated_cash + position.quantity * mark
            else:
                positions += position.quantity * mark
                maintenance += maintenance_of(position, mark)
    return Exposure(positions, isolated, maintenance, later)


def anchor_unified(total: float, available: float | None, candidates: list[Exposure]) -> Anchor:
    """Anchor one token of a unified account: available = total - isolated - maintenance (notes 5.2)."""

    def residual(seen: Exposure) -> float:
        return 0.0 if available is None else abs(total - seen.isolated - seen.maintenance - available)

    seen = _best(candidates, residual)
    return Anchor(total - seen.isolated - seen.positions + seen.later, total, available, seen, residual(seen))


def anchor_portfolio(total: float, available: float | None, ratio: float | None, candidates: list[Exposure]) -> Anchor:
    """Anchor a portfolio-margin account: available = net + C - MM, and X = ratio * available / (1 - ratio) (notes 5.4)."""

    def residual(seen: Exposure) -> float:
        if available is None:
            return 0.0
        net = total - seen.isolated
        if ratio is not None and 0 < ratio < 1 and available > 0 and net > seen.maintenance:
            return abs(ratio * available / (1 - ratio) - seen.maintenance)
        return abs(net + seen.collateral - seen.maintenance - available)

    seen = _best(candidates, residual)
    anchor = Anchor(total - seen.isolated - seen.positions + seen.later, total, available, seen, residual(seen))
    if available is not None and seen.collateral > 0:
        anchor.implied = (available + seen.maintenance - (total - seen.isolated)) / seen.collateral
    return anchor


def _best(candidates: list[Exposure], residual: Callable[[Exposure], float]) -> Exposure:
    known = [seen for seen in candidates if math.isfinite(seen.positions + seen.isolated + seen.maintenance)]
    if not known:
        return candidates[0]
    return min(known, key=residual)


def touches_wallet(item: Fill | CashFlow) -> bool:
    """Whether an execution or flow moves wallet rows rather than a ledger."""
    return item.instrument is None if isinstance(item, Fill) else item.section is None
