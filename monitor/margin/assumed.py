"""An account without pools, taken as one cross pool in USD: what can be said of it until its venue's own rule is known.

Equity as the document gives it, else computed (margin model, section 8); margin by the instruments' own tiers. Equity moves with the
linear legs, with the coin balances that count and with coin debts; stablecoins stay at their price.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from connectors.events import FailureReason
from monitor.margin.pools import WHOLE_ACCOUNT, CollateralLeg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.margin.saved_pools import SavedPools, leg_failures, leg_of
from monitor.snapshot import AccountRow, InstrumentRow, PositionRow, Snapshot
from monitor.stress.money import counted

MODE, USD = "assumed", "USD"


@dataclass(frozen=True, slots=True)
class _Held:
    # a linear position with its instrument, and USD per unit of what it settles in
    row: InstrumentRow
    position: PositionRow
    fx: float


def assumed_pool(snapshot: Snapshot, account: AccountRow) -> SavedPools:
    """The account as one cross pool with ratio = margin by tiers / equity; what it lacks stands in the pool's failures."""
    spec = PoolSpec(WHOLE_ACCOUNT, PoolKind.HYPERLIQUID_CROSS, MODE, USD, 0.0)
    failures: list[Failure] = []
    held = list(_held(snapshot, account, failures))
    spec.legs = [replace(leg_of(one.row, one.position), quantity=one.position.quantity * one.fx) for one in held]
    coins = _coins(snapshot, account, failures)
    spec.collateral = [CollateralLeg(asset, amount, 1.0) for asset, amount in coins.items()]
    prices = {(spec.name, asset): snapshot.index[asset] for asset in coins}
    if not failures:
        spec.cash = _cash(snapshot, account, held, coins, failures)
    spec.failures = tuple(dict.fromkeys(failures))
    return SavedPools(account.model_copy(update={"reported": {}}), (spec,), prices)


def usd_per(snapshot: Snapshot, asset: str) -> float | None:
    """USD per unit of USD, of a stablecoin in `fx` or of a coin in `index`; None where the document does not tell."""
    return snapshot.index.get(asset) if _stable(snapshot, asset) is None else _stable(snapshot, asset)


def _stable(snapshot: Snapshot, asset: str) -> float | None:
    return 1.0 if asset == USD else snapshot.fx.get(asset)


def _held(snapshot: Snapshot, account: AccountRow, failures: list[Failure]) -> Iterator[_Held]:
    listed = {row.id: row for row in snapshot.instruments}
    for position in account.positions:
        row = listed[position.instrument]
        if row.kind == "spot" or position.quantity == 0:
            continue
        # what settles in its own coin has its profit in USD (margin model, section 2)
        fx = 1.0 if row.settle == row.coin else usd_per(snapshot, row.settle)
        failures += leg_failures(row)
        if fx is None and not row.inverse and row.kind not in ("option", "outcome"):
            failures.append(Failure(FailureReason.MISSING_FX, f"no USD price of {row.settle}, which {row.id} settles in: add it to fx"))
        yield _Held(row, position, math.nan if fx is None else fx)


def _coins(snapshot: Snapshot, account: AccountRow, failures: list[Failure]) -> dict[str, float]:
    # coins that equity moves with; under a given equity one without a price only lacks its moves
    amounts: dict[str, float] = {}
    rows = [(row.asset, counted(row, _stable(snapshot, row.asset) is not None)) for row in account.balances]
    for asset, amount in [*rows, *((debt.asset, -abs(debt.amount)) for debt in account.debts)]:
        if _stable(snapshot, asset) is None and amount != 0:
            amounts[asset] = amounts.get(asset, 0.0) + amount
    unpriced = [asset for asset in amounts if asset not in snapshot.index]
    if account.equity is None:
        failures += [
            Failure(FailureReason.MISSING_INDEX, f"no USD index of {asset}, which account {account.id} holds") for asset in unpriced
        ]
    return {asset: amount for asset, amount in amounts.items() if asset in snapshot.index and amount != 0}


def _cash(snapshot: Snapshot, account: AccountRow, held: list[_Held], coins: dict[str, float], failures: list[Failure]) -> float:
    if account.equity is not None:
        legs = math.fsum(one.position.quantity * one.fx * (one.row.mark or 0.0) for one in held)
        return account.equity - legs - math.fsum(amount * snapshot.index[asset] for asset, amount in coins.items())
    total = 0.0
    for one in held:
        if one.position.entry is None:
            detail = f"account {account.id} has no equity, and its position in {one.row.id} no entry to compute one: add either"
            failures.append(Failure(FailureReason.MISSING_ENTRY, detail))
        total -= one.position.quantity * (one.position.entry or 0.0) * one.fx
    stable = [(_stable(snapshot, row.asset), counted(row, True)) for row in account.balances]
    stable += [(_stable(snapshot, debt.asset), -abs(debt.amount)) for debt in account.debts]
    return total + math.fsum(amount * price for price, amount in stable if price is not None)
