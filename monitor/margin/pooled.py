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

from connectors.events import CashFlow, CashFlowKind, Fill
from connectors.model import Balance, Wallet
from monitor.margin.ledger import Ledger, LivePosition

MarkOf = Callable[[Ledger, LivePosition], float]
Effect = dict[str, float]
"""What an execution or flow moves, by asset."""
MaintenanceOf = Callable[[LivePosition, float], float]

AMBIGUOUS_NS = 10_000_000_000
"""A wallet that carries no time may have been made this long before or after what arrived around it."""

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
    surprise: dict[str, float] = field(default_factory=dict)
    """By asset: what it has more than the wallets before and all that is known to follow them; not there for the first."""
    surprised_ns: dict[str, int] = field(default_factory=dict)
    """When the surprise began: what explains it may arrive later than the next wallet."""

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

    def compare(self, before: PooledWallet) -> None:
        """Find what this wallet, once anchored, tells that was not known; `before` is the one until now, of the same mode."""
        for asset, row in self.balances.items():
            if row.token not in self.anchors:
                known = before.balances.get(asset)
                surprise = row.total - (known.total if known is not None else 0.0)
            elif row.token in before.anchors:
                surprise = self.anchors[row.token].cash - before.anchors[row.token].cash
            else:
                continue
            carried, since_ns = before.surprise.get(asset, 0.0), before.surprised_ns.get(asset, 0)
            fresh = _is_close(carried, 0.0) or self.received_ns - since_ns > AMBIGUOUS_NS
            self.surprise[asset] = surprise if fresh else surprise + carried
            self.surprised_ns[asset] = self.received_ns if fresh else since_ns

    def contains(self, item: Fill | CashFlow, effect: Effect) -> bool:
        """Whether this wallet already shows an execution or flow that arrived after it; takes that out of the surprise."""
        asset, amount = self._witness(effect)
        surprise = self.surprise.get(asset)
        in_time = item.time_ms <= self.time_ms
        if surprise is None or is_funding(item) or item.received_ns - self.surprised_ns[asset] > AMBIGUOUS_NS:
            return in_time
        if self._is_exact(asset):
            # of several that are not known yet, one may hide another: then time has to tell
            shown = not _is_close(surprise, 0.0) and (in_time or abs(surprise - amount) < abs(surprise))
        else:
            shown = in_time if self._unexplained() else _explains(surprise, amount, otherwise=in_time)
        if shown:
            self._expect(effect, -1.0)
        return shown

    def lacking(self, rows: list[tuple[Fill | CashFlow, Effect]]) -> list[Effect]:
        """Of `rows` (newest first) what this wallet does not show yet of what was known when it arrived; puts it into the surprise."""
        late = {id(effect) for item, effect in rows if item.time_ms > self.time_ms}
        if not self.surprise:
            return [effect for _, effect in rows if id(effect) in late]
        found = [effect for asset in list(self.surprise) if self._is_exact(asset) for effect in self._newest(asset, rows)]
        for effect in found:
            self._expect(effect, 1.0)
        unexplained = self._unexplained()
        for item, effect in rows:
            asset, amount = self._witness(effect)
            if self._is_exact(asset):
                continue
            missing = id(effect) in late
            if not unexplained and not is_funding(item):
                missing = _explains(self.surprise.get(asset, 0.0), -amount, otherwise=missing)
            if missing:
                self._expect(effect, 1.0)
                found.append(effect)
        return found

    def _newest(self, asset: str, rows: list[tuple[Fill | CashFlow, Effect]]) -> list[Effect]:
        # The fewest of the newest that explain to the last digit why the balance is not what it should be; else none.
        surprise, taken, total = self.surprise[asset], [], 0.0
        if not _is_close(surprise, 0.0):
            for _, effect in rows:
                if self._witness(effect)[0] == asset:
                    taken.append(effect)
                    total += effect[asset]
                    if _is_close(total, -surprise):
                        return taken
        return []

    def _expect(self, effect: Effect, sign: float) -> None:
        for asset, amount in effect.items():
            if asset in self.surprise:
                self.surprise[asset] += sign * amount

    def _unexplained(self) -> bool:
        return any(not _is_close(amount, 0.0) for asset, amount in self.surprise.items() if self._is_exact(asset))

    def _witness(self, effect: Effect) -> tuple[str, float]:
        # An asset that is no margin moves with executions and flows alone, so its balance tells exactly what it contains.
        asset = next((name for name in effect if self._is_exact(name)), next(iter(effect)))
        return asset, effect[asset]

    def _is_exact(self, asset: str) -> bool:
        row = self.balances.get(asset)
        return row is None or row.token not in self.anchors

    def move(self, asset: str, amount: float, token: int | None = None) -> None:
        """A spot execution or transfer moved `amount` of an asset: balance, supplied collateral and anchored cash.

        `token` is the asset's number, for one that the wallet has no row of yet.
        """
        row = self.balances.get(asset)
        if row is None:
            if token is None:
                return
            row = Balance(asset, token, 0.0)
        # the venue leaves out a zero
        supplied = 0.0 if row.supplied is None and row.total == 0.0 else row.supplied
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


def _is_close(amount: float, other: float) -> bool:
    return math.isclose(amount, other, rel_tol=1e-7, abs_tol=1e-6)


def _explains(surprise: float, amount: float, *, otherwise: bool) -> bool:
    # Equity marked to market is known up to what marks moved between two feeds: only a clear answer counts.
    if abs(surprise - amount) < 0.5 * abs(amount):
        return True
    return False if abs(surprise) < 0.5 * abs(amount) else otherwise


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


def is_funding(item: Fill | CashFlow) -> bool:
    """Whether it is a funding payment: too small to be seen in a wallet marked to market."""
    return isinstance(item, CashFlow) and item.kind is CashFlowKind.FUNDING


def effect_of(item: Fill | CashFlow) -> Effect:
    """What a spot execution or a flow moves of each asset; empty for one that moves no wallet (a perpetual, an unknown pair)."""
    if isinstance(item, CashFlow):
        return {item.asset: item.amount}
    if item.instrument is not None or item.base is None or item.quote is None:
        return {}
    effect = {item.base: item.quantity, item.quote: -item.quantity * item.price}
    effect[item.fee_asset] = effect.get(item.fee_asset, 0.0) - item.fee
    return effect


def row_of(item: Fill | CashFlow) -> str:
    """Id of the venue's row an item is of: the legs of a transfer are numbered behind it."""
    if isinstance(item, Fill):
        return item.fill_id
    row, _, leg = item.flow_id.rpartition(":")
    return row if row and leg.isdecimal() and not is_funding(item) else item.flow_id


def rows_of(items: Iterable[Fill | CashFlow]) -> list[tuple[Fill | CashFlow, Effect]]:
    """The rows among items (oldest first) that move a wallet, newest first, each with what its legs do together."""
    rows: dict[str, tuple[Fill | CashFlow, Effect]] = {}
    for item in items:
        _, effect = rows.setdefault(row_of(item), (item, {}))
        for asset, amount in effect_of(item).items():
            effect[asset] = effect.get(asset, 0.0) + amount
    return [(item, effect) for item, effect in reversed(rows.values()) if any(effect.values())]
