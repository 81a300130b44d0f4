"""What live accounts hold, as rows of the snapshot document (spec: report format): per 1 coin, whatever the venue's contract unit.

Of an account that its venue margins in pools, the cash of a pool stands as a balance of the pool's token: what equity is without
quantity * mark of its positions. Positions therefore carry no entry. The spot wallet of a Hyperliquid account in standard mode, which
is in no pool, stands apart as `spot`. A Deribit account stands as the venue states it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.events import FailureReason
from connectors.model import Instrument, OutcomeMarket, SummaryAccount
from monitor.book import AccountEntry
from monitor.document_rows import balance_row, position_row
from monitor.engine import Engine
from monitor.live.outcomes import DigitalLeg, OutcomeHolding, digital_legs, holdings
from monitor.margin.deribit import DeribitAccount
from monitor.margin.hyperliquid import AccountMode, HyperliquidAccount
from monitor.margin.pools import CollateralLeg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.snapshot import AccountRow

USD = "USD"
STABLECOINS = frozenset({USD, "USDC", "USDT", "USD1", "USDE", "USDH", "USDF", "USDS", "BUSD", "FDUSD", "DAI", "USDT0"})
"""Assets that have a price in dollars by `fx`, and no index of their own."""

Worth = Callable[[OutcomeHolding], float]
"""From a holding to USD per contract, NaN while unknown."""


@dataclass(frozen=True, slots=True)
class HeldAccount:
    """An account as a row, `listed` what it holds or has orders in by instrument id, and `assets` whose USD price it needs.

    With `failure` one of these prices is not known now, and the row has no equity to rely on.
    """

    row: AccountRow
    listed: Mapping[str, Instrument] = field(default_factory=dict)
    assets: frozenset[str] = frozenset()
    failure: Failure | None = None


class AccountReader:
    """Reads accounts of a live book. `usd` is the USD price of a stablecoin or coin (NaN unknown), `worth` that of an outcome."""

    def __init__(self, engine: Engine, usd: Callable[[str], float], worth: Worth) -> None:
        self._engine = engine
        self._usd = usd
        self._worth = worth
        self.outcomes: dict[int, OutcomeMarket] = {}

    def read(self, entry: AccountEntry, now_ns: int) -> HeldAccount | Failure:
        """The account now, with its equity in USD; or why it cannot be part of a portfolio."""
        pools = self._pools(entry, now_ns)
        if isinstance(pools, Failure):
            return pools
        if isinstance(entry.method, DeribitAccount):
            state = entry.method.state
            return self._summarised(entry, entry.method.mode, state) if state is not None else _NOT_READ
        return self._pooled(entry, pools)

    def glance(self, entry: AccountEntry, now_ns: int) -> float | Failure | None:
        """The equity in USD that the venue would state now, None for an account it states at its own times; or why it has no value."""
        pools = self._pools(entry, now_ns)
        if isinstance(pools, Failure):
            return pools
        if isinstance(entry.method, DeribitAccount):
            return None
        counted = self._counted(pools)
        return self._unpriced(counted) or self._equity_of(counted, list(self._outcomes(entry)))

    def _pools(self, entry: AccountEntry, now_ns: int) -> list[tuple[PoolSpec, int]] | Failure:
        arrays = self._engine.arrays
        rows = sorted(arrays.row(scope) for scope in arrays.scopes_of(entry.venue, entry.account))
        if not rows:
            return _NOT_READ
        failure = next((failure for row in rows for failure in self._engine.failures(row, now_ns)), None)
        return failure or [(arrays.specs[row], row) for row in rows]

    # -- accounts in pools ---------------------------------------------------------------------------------------------------

    def _pooled(self, entry: AccountEntry, pools: list[tuple[PoolSpec, int]]) -> HeldAccount | Failure:
        counted = self._counted(pools)
        failure, specs = self._unpriced(counted), [spec for spec, _ in counted]
        outcomes = list(self._outcomes(entry))
        legs = [leg for holding in outcomes for leg in digital_legs(holding)]
        positions = [*self._positions(specs), *merged(legs)]
        orders = list(self._orders(entry))
        listed = self._listed([row["instrument"] for row in (*positions, *orders)]) | {leg.instrument.id: leg.instrument for leg in legs}
        balances, debts = self._money(entry, specs)
        row = {
            "id": entry.account,
            "venue": entry.venue,
            "equity": None if failure else self._equity_of(counted, outcomes),
            "mode": specs[0].mode if specs else None,
            "positions": positions,
            "orders": orders,
            "balances": balances,
            "spot": self._spot(entry),
            "debts": debts,
        }
        return HeldAccount(AccountRow.model_validate(row), listed, _assets(listed, specs, balances, debts), failure)

    def _counted(self, pools: list[tuple[PoolSpec, int]]) -> list[tuple[PoolSpec, int]]:
        # a pool without positions and without a price counts nothing: dust must not take the portfolio's value away
        return [one for one in pools if one[0].legs or self._equity(one[1]) < 0 or self._is_priced(one[0])]

    def _unpriced(self, counted: list[tuple[PoolSpec, int]]) -> Failure | None:
        unpriced = next((token_of(spec) for spec, _ in counted if not self._is_priced(spec)), None)
        if unpriced is None:
            return None
        detail = f"no USD price of {unpriced}, which a pool is margined in: no venue tells it now; set it under [fx]"
        return Failure(FailureReason.MISSING_FX, detail)

    def _equity_of(self, counted: list[tuple[PoolSpec, int]], outcomes: list[OutcomeHolding]) -> float:
        equity = math.fsum(self._usd(token_of(spec)) * self._equity(row) for spec, row in counted)
        worth = [holding.size * self._worth(holding) for holding in outcomes]
        # an outcome without a price counts nothing yet: the careful side, as all are held long
        return equity + math.fsum(value for value in worth if math.isfinite(value))

    def _positions(self, specs: Iterable[PoolSpec]) -> Iterator[dict[str, Any]]:
        instruments = self._engine.book.market.instruments
        for spec in specs:
            for leg in spec.legs:
                yield position_row(instruments[leg.instrument], leg.quantity, leg.side)

    def _listed(self, names: Iterable[str]) -> dict[str, Instrument]:
        instruments = self._engine.book.market.instruments
        return {name: instruments[name] for name in names if name in instruments}

    def _orders(self, entry: AccountEntry) -> Iterator[dict[str, Any]]:
        told = self._engine.book.orders.get((entry.venue, entry.account), {})
        for order in (order for section in told.values() for order in section.orders):
            listed = self._engine.book.market.instruments.get(order.instrument)
            # spot orders are no legs, and a trigger is no resting order before it fires
            if listed is not None and not order.is_trigger and order.quantity != 0 and order.limit_price > 0:
                yield {
                    "instrument": listed.id,
                    "quantity": order.quantity * listed.multiplier,
                    "limit_price": order.limit_price / listed.multiplier,
                    "reduce_only": order.reduce_only,
                }

    def _money(self, entry: AccountEntry, specs: Iterable[PoolSpec]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        cash: dict[str, float] = {}
        balances, debts = [], []
        for spec in specs:
            cash[token_of(spec)] = cash.get(token_of(spec), 0.0) + spec.cash
            for leg in spec.collateral:
                coin = self._coin(entry.venue, leg)
                if leg.amount < 0:
                    debts.append({"asset": coin, "amount": -leg.amount})
                elif leg.amount > 0 and (coin not in STABLECOINS or self._usd(coin) > 0):
                    balances.append({"asset": coin, "total": leg.amount, "collateral_ratio": min(1.0, leg.ratio)})
        for asset, borrowed in self._borrowed(entry):
            if asset in cash:
                debts.append({"asset": asset, "amount": borrowed})
                cash[asset] += borrowed
        return [{"asset": asset, "total": total} for asset, total in cash.items() if total != 0] + balances, debts

    def _spot(self, entry: AccountEntry) -> list[dict[str, Any]] | None:
        if not isinstance(entry.method, HyperliquidAccount) or entry.method.mode is not AccountMode.STANDARD:
            return None
        coin = self._engine.book.market.asset_coin
        return [balance_row(row, coin(entry.venue, row.asset)) for row in entry.method.balances().values() if row.total]

    def _coin(self, venue: str, leg: CollateralLeg) -> str:
        return leg.asset if leg.asset in STABLECOINS else self._engine.book.market.asset_coin(venue, leg.asset)

    def _borrowed(self, entry: AccountEntry) -> Iterator[tuple[str, float]]:
        if isinstance(entry.method, HyperliquidAccount):
            for asset, row in entry.method.balances().items():
                if row.borrowed is not None and row.borrowed > 0:
                    yield asset, row.borrowed

    def _outcomes(self, entry: AccountEntry) -> Iterator[OutcomeHolding]:
        if isinstance(entry.method, HyperliquidAccount):
            yield from holdings(entry.method.balances(), self.outcomes)

    def _equity(self, row: int) -> float:
        # what the venue counts, without the loan that a borrowing pool takes on both sides
        arrays = self._engine.arrays
        margins = arrays.margins
        shortfall = max(0.0, float(margins.maintenance[row] - margins.equity[row])) if arrays.pools.borrows[row] else 0.0
        return float(margins.capacity[row]) - shortfall

    def _is_priced(self, spec: PoolSpec) -> bool:
        return self._usd(token_of(spec)) > 0

    # -- accounts in wallets -------------------------------------------------------------------------------------------------

    def _summarised(self, entry: AccountEntry, mode: str | None, state: SummaryAccount) -> HeldAccount | Failure:
        unpriced = next((one.currency for one in state.summaries if one.equity != 0 and not self._usd(one.currency) > 0), None)
        detail = f"no USD price of {unpriced}, of which the account has a wallet"
        failure = None if unpriced is None else Failure(FailureReason.MISSING_INDEX, detail)
        instruments = self._engine.book.market.instruments
        unlisted = next((held.instrument for held in state.positions if held.instrument not in instruments), None)
        if unlisted is not None:
            return Failure(FailureReason.UNKNOWN_INSTRUMENT, f"{unlisted} is not in the venue's listing: waiting for a refetch")
        orders = list(self._orders(entry))
        listed = self._listed([held.instrument for held in state.positions] + [row["instrument"] for row in orders])
        balances = [{"asset": one.currency, "total": one.balance, "collateral_ratio": 1.0} for one in state.summaries if one.balance > 0]
        debts = [{"asset": one.currency, "amount": -one.balance} for one in state.summaries if one.balance < 0]
        row = {
            "id": entry.account,
            "venue": entry.venue,
            "equity": None if failure else math.fsum(one.equity * self._usd(one.currency) for one in state.summaries if one.equity != 0),
            "mode": mode,
            "positions": [
                {"instrument": held.instrument, "quantity": held.quantity, "entry": held.average_price or None} for held in state.positions
            ],
            "orders": orders,
            "balances": balances,
            "debts": debts,
        }
        return HeldAccount(AccountRow.model_validate(row), listed, _assets(listed, (), balances, debts), failure)


def token_of(spec: PoolSpec) -> str:
    """What a pool's money is: Aster counts multi-assets accounts in USD, in which its marks and indices in USDT are at par."""
    return "USDT" if spec.kind is PoolKind.ASTER_MULTI_ASSETS else spec.asset


def merged(legs: Iterable[DigitalLeg]) -> list[dict[str, Any]]:
    """Positions of digital legs, those in one instrument added up."""
    sums: dict[str, float] = {}
    for leg in legs:
        sums[leg.instrument.id] = sums.get(leg.instrument.id, 0.0) + leg.quantity
    return [{"instrument": name, "quantity": quantity} for name, quantity in sums.items() if quantity != 0]


def _assets(listed: Mapping[str, Instrument], specs: Iterable[PoolSpec], *rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    settled = {one.settle for one in listed.values() if one.settle != one.coin} | {token_of(spec) for spec in specs}
    return frozenset((settled | {row["asset"] for group in rows for row in group}) - {USD})


_NOT_READ = Failure(FailureReason.NOT_READY, "waiting for the venue's first account state")
