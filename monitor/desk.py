"""The configured portfolios over the live book: from a snapshot of it, in a worker thread, about once a second.

What no venue acts on, beside what every venue will do: the portfolio's margin by the portfolio method and leg by leg, and which
pool is liquidated first at which joint move, and what would have to be sent where beforehand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.portfolios import PortfolioSettings
from config.settings import Settings
from connectors.events import FailureReason
from connectors.model import Instrument
from monitor.book import AccountEntry
from monitor.document_rows import instrument_row, pool_row, position_row
from monitor.engine import Engine
from monitor.margin.cross import cross_result, saving
from monitor.margin.eligibility import ineligibility
from monitor.margin.pools import PoolSpec
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import Failure, PoolResult
from monitor.margin.venue_view import VenueView, venue_view
from monitor.snapshot import Snapshot, SnapshotError, parse_snapshot
from monitor.stress.load import book_of

LEVELS = (0.85, 0.90, 1.0)
CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)
USD = "USD"


@dataclass(frozen=True, slots=True)
class DeskView:
    """One portfolio at one instant; money in USD. `result` and `venues` are None where `failures` says why.

    `cross_maintenance_margin` is the same book margined leg by leg, `saving` the share of it that the portfolio method saves;
    `reasons` why the figure may not be relied on (see `[portfolio.eligibility]`). `seconds` is what it took to compute.
    """

    portfolio: str
    as_of_ms: int
    failures: tuple[Failure, ...] = ()
    result: PortfolioResult | None = None
    cross_maintenance_margin: float | None = None
    saving: float | None = None
    venues: VenueView | None = None
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0


class Desk:
    """Portfolios over a live book. `document` is taken on the event loop, `evaluate` may run in a thread."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._portfolios = settings.portfolios
        self._fx = dict(settings.fx)
        self._engine = engine

    def document(self, as_of_ms: int, now_ns: int) -> tuple[dict[str, Any], dict[str, Failure]]:
        """The live book as a snapshot document, and by account why it is not in it."""
        book = self._engine.book
        pools: dict[tuple[str, str], list[tuple[PoolSpec, PoolResult, int]]] = {}
        for index, spec in self._engine.arrays.specs.items():
            scope = self._engine.arrays.scopes[index]
            pools.setdefault(scope[:2], []).append((spec, self._engine.result(index, now_ns), index))
        accounts, lacking, held = [], {}, set[str]()
        for key, entry in book.accounts.items():
            failure = next((f for _, result, _ in pools.get(key, []) for f in result.failures), None)
            if failure is not None or key not in pools:
                lacking[entry.account] = failure or Failure(FailureReason.NOT_READY, "waiting for the venue's first account state")
                continue
            # without positions a pool of unknown worth counts nothing: dust must not take the portfolio's value away
            pools[key] = [row for row in pools[key] if row[0].legs or (row[1].equity or 0.0) < 0 or self._is_priced(row[0])]
            unpriced = next((spec.asset for spec, _, _ in pools[key] if not self._is_priced(spec)), None)
            if unpriced is not None:
                detail = f"no USD price of {unpriced}, which a pool is margined in: set it under [fx]"
                lacking[entry.account] = Failure(FailureReason.MISSING_FX, detail)
                continue
            accounts.append(self._account(entry, pools[key]))
            held |= {leg.instrument for spec, _, _ in pools[key] for leg in spec.legs}
        listed = [book.market.instruments[name] for name in sorted(held) if name in book.market.instruments]
        tiers = {leg.instrument: leg.tiers for rows in pools.values() for spec, _, _ in rows for leg in spec.legs}
        document = {
            "version": 1,
            "as_of": as_of_ms,
            "fx": self._fx,
            # a held instrument's own index stands last, and so counts
            "index": dict(self._index([*self._pricing(pools), *listed])),
            "instruments": [instrument_row(one, book.market.mark(one.id), tiers[one.id]) for one in listed],
            "accounts": accounts,
        }
        return document, lacking

    def evaluate(self, document: Mapping[str, Any], lacking: Mapping[str, Failure]) -> tuple[DeskView, ...]:
        """Every configured portfolio over a document of `document`."""
        return tuple(self._view(portfolio, document, lacking) for portfolio in self._portfolios)

    def _view(self, portfolio: PortfolioSettings, document: Mapping[str, Any], lacking: Mapping[str, Failure]) -> DeskView:
        began, as_of_ms = time.perf_counter(), int(document["as_of"])
        failures = [
            Failure(lacking[account].reason, f"account {account} has no value: {lacking[account].detail}")
            for account in portfolio.accounts
            if account in lacking
        ]
        if failures:
            return DeskView(portfolio.id, as_of_ms, tuple(failures))
        members = {"portfolios": [{"id": portfolio.id, "accounts": list(portfolio.accounts)}]}
        try:
            snapshot = parse_snapshot({**document, **members}, "the live book")
        except SnapshotError as error:
            return DeskView(portfolio.id, as_of_ms, (Failure(FailureReason.NOT_READY, str(error)),))
        return self._evaluated(portfolio, snapshot, began)

    def _evaluated(self, portfolio: PortfolioSettings, snapshot: Snapshot, began: float) -> DeskView:
        book = book_of(snapshot, portfolio.parameter_set, CUTS)
        result, comparator = portfolio_result(book, portfolio.id, LEVELS), cross_result(book, portfolio.id, LEVELS)
        view = venue_view(snapshot, portfolio.id)
        reasons = ineligibility(portfolio.eligibility, result.equity, [unit.coin for unit in result.units])
        return DeskView(
            portfolio.id,
            snapshot.as_of_ms,
            result.failures,
            result,
            comparator.maintenance_margin,
            saving(result.maintenance_margin, comparator.maintenance_margin),
            view,
            tuple(reasons),
            time.perf_counter() - began,
        )

    def _account(self, entry: AccountEntry, pools: Sequence[tuple[PoolSpec, PoolResult, int]]) -> dict[str, Any]:
        market = self._engine.book.market
        prices = {leg.asset: market.asset_price(entry.venue, leg.asset) for spec, _, _ in pools for leg in spec.collateral}
        worth = [self._rate(spec.asset) * self._equity(index) for spec, _, index in pools]
        legs = [(leg, market.instruments.get(leg.instrument)) for spec, _, _ in pools for leg in spec.legs]
        return {
            "id": entry.account,
            "venue": entry.venue,
            "equity": math.fsum(worth),
            "mode": pools[0][0].mode if pools else None,
            "pools": [pool_row(spec, prices, market.instruments) for spec, _, _ in pools],
            "positions": [position_row(listed, leg.quantity, leg.side) for leg, listed in legs if listed is not None],
            "balances": [
                {"asset": coin, "total": leg.amount, "collateral_ratio": min(1.0, leg.ratio)}
                for spec, _, _ in pools
                for leg in spec.collateral
                if leg.amount > 0 and not market.is_at_par(entry.venue, leg.asset)
                if (coin := market.asset_coin(entry.venue, leg.asset)) not in self._fx
            ],
        }

    def _equity(self, index: int) -> float:
        # what the venue counts, without the loan that a borrowing pool takes on both sides
        arrays = self._engine.arrays
        margins = arrays.margins
        shortfall = max(0.0, float(margins.maintenance[index] - margins.equity[index])) if arrays.pools.borrows[index] else 0.0
        return float(margins.capacity[index]) - shortfall

    def _is_priced(self, spec: PoolSpec) -> bool:
        return not math.isnan(self._rate(spec.asset))

    def _rate(self, asset: str) -> float:
        return 1.0 if asset == USD else self._fx.get(asset, math.nan)

    def _pricing(self, pools: Mapping[tuple[str, str], Sequence[tuple[PoolSpec, PoolResult, int]]]) -> list[Instrument]:
        # what prices the collateral, held or not: a stress moves it too
        market = self._engine.book.market
        assets = {(venue, leg.asset) for (venue, _), rows in pools.items() for spec, _, _ in rows for leg in spec.collateral}
        named = {name for venue, asset in assets if (name := market.perpetual_of(venue, asset)) is not None}
        return [market.instruments[name] for name in sorted(named) if name in market.instruments]

    def _index(self, listed: Sequence[Instrument]) -> Iterator[tuple[str, float]]:
        market = self._engine.book.market
        for one in listed:
            price = float(market.index[market.row(one.id)]) / one.multiplier * self._rate(one.settle)
            if price > 0:
                yield one.coin, price
