"""Accounts of a snapshot that carry pools, evaluated again by their venue's own rule: what was saved live comes out the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.events import FailureReason
from monitor.engine import Engine
from monitor.margin.portfolio_measures import ALL
from monitor.margin.result import Failure, PoolResult
from monitor.margin.saved_pools import LEVELS, OWN_RULE, SavedPools, alone, engine_of, joint, moves_to, pools_of
from monitor.pool_arrays import Scope
from monitor.snapshot import AccountRow, Snapshot

Distances = Mapping[str, Mapping[float, tuple[float | None, float | None]]]
"""By coin and ALL, by target ratio: the nearest relative move down and up at which the ratio crosses it; None where it does not."""


def saved_pools(snapshot: Snapshot, levels: tuple[float, float, float] = LEVELS) -> Engine:
    """An engine over every account that carries pools, evaluated; one whose venue has no rule in this version says so."""
    return engine_of(snapshot, [_by_rule(snapshot, account) for account in snapshot.accounts if account.pools], levels)


def saved_accounts(snapshot: Snapshot, levels: tuple[float, float, float] = LEVELS) -> tuple[PoolResult, ...]:
    """The pools of every account that carries some, by venue, account and pool, each with its distance to liquidation.

    `levels` are warning, critical and 1.0. Figures are in the pool's token. `initial_margin` of positions is None: it follows the
    leverage that the account has chosen, which a document does not tell. An account without pools has no result here: the
    document does not hold what its venue's rule needs.
    """
    return results_of(saved_pools(snapshot, levels))


def saved_distances(
    snapshot: Snapshot, targets: Sequence[float] = LEVELS, levels: tuple[float, float, float] = LEVELS
) -> dict[Scope, Distances]:
    """By (venue, account, pool): the moves of each coin of the pool, and of all coins, at which its ratio reaches `targets`.

    A coin moves with its collateral; all together each scaled by its `beta`. Empty for a pool without a value.
    """
    engine = saved_pools(snapshot, levels)
    return {result.scope: distances_of(engine, result, snapshot.beta, targets) for result in results_of(engine, measure=False)}


def results_of(engine: Engine, *, measure: bool = True) -> tuple[PoolResult, ...]:
    """The results of an engine's pools with what was compared; with `measure` also their distances to liquidation."""
    arrays = engine.arrays
    order = sorted(arrays.specs, key=lambda index: arrays.scopes[index])
    found = []
    for index in order:
        spec = arrays.specs[index]
        result = engine.result(index, 0, measure=measure)
        found.append(replace(result, initial_margin=None if spec.legs else result.initial_margin, comparisons=spec.comparisons))
    return tuple(found)


def distances_of(engine: Engine, result: PoolResult, beta: Mapping[str, float], targets: Sequence[float]) -> Distances:
    """The distances of one result of the engine; see `saved_distances`."""
    if not result.valid:
        return {}
    index, market = engine.arrays.row(result.scope), engine.book.market
    spec = engine.arrays.specs[index]
    coins = [market.instruments[leg.instrument].coin for leg in spec.legs]
    coins += [market.asset_coin(result.venue, held.asset) for held in spec.collateral if not market.is_at_par(result.venue, held.asset)]
    moving = {ALL: joint(beta), **{name: alone(name) for name in coins}}
    return {name: {target: moves_to(engine, index, target, by) for target in targets} for name, by in moving.items()}


def account_row(result: PoolResult, distances: Distances | None = None) -> dict[str, Any]:
    """A pool as a row of the report's accounts: plain values, floats possibly infinite, None unknown; money in `asset`.

    `liquidation` is the nearest move of the worst position's coin to it, `distance` all `distances` as portfolios have them (empty
    where not given). `reported` are the venue's figures of the same instant, and `reported_difference` the largest relative
    difference of ours to one of them.
    """
    nearest = None
    if result.worst_distance is not None:
        nearest = {"instrument": result.worst_instrument, "move": result.worst_distance, "price": result.worst_liquidation_price}
    return {
        "id": result.account,
        "venue": result.venue,
        "pool": result.pool,
        "method": result.venue,
        "status": "ok" if result.valid else "failed",
        "failures": [{"reason": failure.reason.value, "detail": failure.detail} for failure in result.failures],
        "mode": result.mode,
        "asset": result.asset,
        "equity": result.equity,
        "maintenance_margin": result.maintenance_margin,
        "initial_margin": result.initial_margin,
        "margin_ratio": result.margin_ratio,
        "raw_ratio": result.margin_ratio if result.raw_ratio is None else result.raw_ratio,
        "limit": result.limit,
        "excess": result.excess,
        "level": result.level.label if result.valid else None,
        "cash_to_safety": result.cash_to_safety,
        "reduce": None if result.reduce is None else {"instrument": result.reduce[0], "quantity": result.reduce[1]},
        "liquidation": nearest,
        "distance": {
            name: {str(target): {"down": down, "up": up} for target, (down, up) in moves.items()}
            for name, moves in (distances or {}).items()
        },
        "reported": {comparison.figure: comparison.reported for comparison in result.comparisons},
        "reported_difference": result.reported_difference,
    }


def _by_rule(snapshot: Snapshot, account: AccountRow) -> SavedPools:
    saved = pools_of(snapshot, account)
    if account.venue in OWN_RULE:
        return saved
    detail = f"this version has no margin rule of {account.venue}: the cross-venue view takes its pools as they are described"
    failure = Failure(FailureReason.UNSUPPORTED_MODE, detail)
    return replace(saved, specs=tuple(replace(spec, failures=(failure, *spec.failures)) for spec in saved.specs))
