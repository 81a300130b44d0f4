"""Every pool of a portfolio on its own: equity cannot be moved between venues in an instant (margin model, section 9).

For a joint move of prices: the ratio of each pool, which pool is liquidated first on each side and at which move, and what would
have to be sent where, beforehand, for all pools to stand at one ratio. Besides: the portfolio with one venue gone, and how
concentrated it is. An account without pools is taken as one cross pool at its instruments' tiers, and so is a pool whose venue
has no rule in this version as it is described: both are `assumed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config.parameters import ParameterSet
from connectors.events import FailureReason
from monitor.engine import Engine
from monitor.margin.assumed import assumed_pool, usd_per
from monitor.margin.equalise import cash_for_ratios
from monitor.margin.portfolio import METHOD, PortfolioResult, portfolio_result
from monitor.margin.portfolio_measures import ALL
from monitor.margin.result import Failure, Level, PoolResult
from monitor.margin.saved import results_of
from monitor.margin.saved_pools import OWN_RULE, alone, engine_of, joint, moves_to, pools_of, ratios_at
from monitor.snapshot import AccountRow, Snapshot
from monitor.stress.load import book_of

_CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)
_STEPS, _REACH = 20, 0.5


@dataclass(frozen=True, slots=True)
class PoolCurve:
    """One pool over the moves of the view. `ratios` [move]; with `failures` it has none.

    `ratio` is the one now, `down` and `up` the nearest moves at which the pool is liquidated (0 where it is already), None where
    no move of the scan does it.
    """

    venue: str
    account: str
    pool: str
    asset: str
    assumed: bool
    failures: tuple[Failure, ...] = ()
    ratio: float | None = None
    ratios: tuple[float, ...] = ()
    down: float | None = None
    up: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a pool has to get (> 0) or to give (< 0): in USD, and in the pool's own token."""

    venue: str
    account: str
    pool: str
    usd: float
    amount: float
    asset: str


@dataclass(frozen=True, slots=True)
class VenueView:
    """The pools of a portfolio, by venue, account and pool, over `moves` of `coin` (or "all", each coin scaled by its beta).

    `first_down` and `first_up`: (index into `pools`, move) of the pool that is liquidated first on that side, None where none is.
    `transfers` sum to 0 USD and bring every pool with positions to `common_ratio`. There are none where that is +inf, which is
    where the pools have nothing left together, and with `failures`. What a venue would let out is not looked at.
    """

    portfolio: str
    coin: str
    moves: tuple[float, ...]
    pools: tuple[PoolCurve, ...]
    first_down: tuple[int, float] | None = None
    first_up: tuple[int, float] | None = None
    transfers: tuple[Transfer, ...] = ()
    common_ratio: float | None = None
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Concentration:
    """Where a portfolio's risk sits. `share` is the part of the units' margin that `coin`, the largest, has; None without margin.

    A unit's margin here is its share of the portfolio's loss, its contingencies and order losses, so that the units sum to the
    margin without liquidity, buffer and borrow. `days` [instrument]: gross notional over 24 h volume; None: volume unknown.
    """

    coin: str | None = None
    share: float | None = None
    days: Mapping[str, float | None] = field(default_factory=dict)


def move_grid(result: PortfolioResult | None = None) -> tuple[float, ...]:
    """Relative moves, ascending: -50 % to +50 % in steps of 2.5 %, and the price nodes of a portfolio's units."""
    steps = {_REACH * step / _STEPS for step in range(-_STEPS, _STEPS + 1)}
    nodes = {node for unit in result.units for node in unit.price_nodes} if result is not None else set()
    return tuple(sorted(steps | nodes))


def venue_view(snapshot: Snapshot, portfolio: str, moves: Sequence[float] | None = None, coin: str = ALL) -> VenueView:
    """The view of one portfolio's accounts; `moves` as `move_grid` gives them unless told. KeyError for an unknown portfolio."""
    accounts = _accounts(snapshot, portfolio)
    made = [pools_of(snapshot, account) if account.pools else assumed_pool(snapshot, account) for account in accounts]
    engine = engine_of(snapshot, made)
    results = results_of(engine, measure=False)
    chosen = tuple(move_grid() if moves is None else moves)
    assumed = {account.id for account in accounts if not account.pools or account.venue not in OWN_RULE}
    curves = tuple(_curve(engine, result, snapshot, chosen, coin, result.account in assumed) for result in results)
    transfers, ratio, failures = _equalised(engine, results, snapshot)
    falls = [(curve.down, number) for number, curve in enumerate(curves) if curve.down is not None]
    rises = [(curve.up, number) for number, curve in enumerate(curves) if curve.up is not None]
    return VenueView(
        portfolio=portfolio,
        coin=coin,
        moves=chosen,
        pools=curves,
        first_down=max(((number, down) for down, number in falls), key=lambda one: one[1], default=None),
        first_up=min(((number, up) for up, number in rises), key=lambda one: one[1], default=None),
        transfers=transfers,
        common_ratio=ratio,
        failures=failures,
    )


def venue_out(snapshot: Snapshot, parameters: ParameterSet, portfolio: str, venue: str) -> PortfolioResult:
    """What the rest of a portfolio requires with one venue's positions and equity gone. KeyError for an unknown portfolio.

    A failure where nothing is left: every account of the portfolio is on that venue.
    """
    row = {row.id: row for row in snapshot.portfolios}[portfolio]
    left = tuple(account for account in snapshot.accounts if account.venue != venue)
    members = tuple(account.id for account in left if account.id in row.accounts)
    if not members:
        failure = Failure(FailureReason.MISSING_ACCOUNT, f"every account of portfolio {portfolio} is on {venue}: nothing is left")
        return PortfolioResult(portfolio, METHOD, Level.OK, (failure,))
    rest = snapshot.model_copy(update={"accounts": left, "portfolios": (row.model_copy(update={"accounts": members}),)})
    return portfolio_result(book_of(rest, parameters, _CUTS), portfolio)


def concentration(result: PortfolioResult, snapshot: Snapshot) -> Concentration:
    """The concentration of a portfolio's result; the document gives the volumes."""
    gross: dict[str, float] = {}
    for unit in result.units:
        for leg in unit.positions:
            if leg.account is not None:
                gross[leg.instrument] = gross.get(leg.instrument, 0.0) + leg.notional
    days = {name: _days(notional, snapshot.volume_24h_usd.get(name)) for name, notional in gross.items()}
    if result.maintenance_margin is None:
        return Concentration(days=days)
    scale = (result.loss_shift or 0.0) / result.loss_sum if result.loss_sum else 0.0
    margins = {unit.coin: scale * unit.max_loss + sum(unit.contingency.values()) + unit.order_loss for unit in result.units}
    total = math.fsum(margins.values())
    if not total > 0:
        return Concentration(days=days)
    coin = max(margins, key=margins.__getitem__)
    return Concentration(coin, margins[coin] / total, days)


def _days(notional: float, volume: float | None) -> float | None:
    if volume is None:
        return None
    return notional / volume if volume > 0 else math.inf if notional > 0 else 0.0


def _accounts(snapshot: Snapshot, portfolio: str) -> list[AccountRow]:
    members = {row.id: row.accounts for row in snapshot.portfolios}[portfolio]
    return [account for account in snapshot.accounts if account.id in members]


def _curve(engine: Engine, result: PoolResult, snapshot: Snapshot, moves: tuple[float, ...], coin: str, assumed: bool) -> PoolCurve:
    name = (*result.scope, result.asset, assumed)
    if result.margin_ratio is None:
        return PoolCurve(*name, failures=result.failures)
    index, weight_of = engine.arrays.row(result.scope), joint(snapshot.beta) if coin == ALL else alone(coin)
    ratios = ratios_at(engine, index, moves, weight_of)
    down, up = (0.0, 0.0) if result.margin_ratio >= 1.0 else moves_to(engine, index, 1.0, weight_of)
    return PoolCurve(*name, ratio=result.margin_ratio, ratios=ratios, down=down, up=up)


def _equalised(
    engine: Engine, results: Sequence[PoolResult], snapshot: Snapshot
) -> tuple[tuple[Transfer, ...], float | None, tuple[Failure, ...]]:
    failures = [failure for result in results for failure in result.failures]
    rates: dict[str, float] = {}
    for asset in dict.fromkeys(result.asset for result in results):
        rate = usd_per(snapshot, asset)
        if rate is None:
            detail = f"no USD price of {asset}, which a pool is margined in: add it to fx, or to index where it is a coin"
            failures.append(Failure(FailureReason.MISSING_FX, detail))
        else:
            rates[asset] = rate
    if failures:
        return (), None, tuple(dict.fromkeys(failures))
    scales = [rates[result.asset] for result in results]
    ratio, cash = cash_for_ratios(engine, [engine.arrays.row(result.scope) for result in results], scales)
    if not cash:
        return (), ratio, ()
    rows = zip(results, cash, scales, strict=True)
    return tuple(Transfer(*result.scope, usd, usd / rate, result.asset) for result, usd, rate in rows), ratio, ()
