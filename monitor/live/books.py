"""The stress books of the configured portfolios, one a parameter set: what is told to all of them, and their figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from config.portfolios import PortfolioSettings
from connectors.events import MarkPrices
from kernels import layout
from monitor.live.accounts import STABLECOINS, USD
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import Failure, Level
from monitor.resolvers.changes import Changes
from monitor.snapshot import AccountRow, InstrumentRow, OrderRow
from monitor.stress.book import StressBook, StressStatistics
from monitor.stress.cross_totals import CrossMargins, CrossTotals

RETOLD = 1e-9
"""Relative difference of a venue's equity to ours from which it is told anew between account events."""

_UNKNOWN = CrossMargins(-1, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PortfolioFigures:
    """One portfolio as of the last tick, USD. Figures are None where `failures` say why.

    `maintenance_margin`, `initial_margin` and `margin_ratio` are of the portfolio method; `saving` is the share of the leg-by-leg
    (`cross`) margin that it saves.
    """

    portfolio: str
    parameters: str
    level: Level = Level.OK
    failures: tuple[Failure, ...] = ()
    equity: float | None = None
    maintenance_margin: float | None = None
    initial_margin: float | None = None
    margin_ratio: float | None = None
    cross_maintenance_margin: float | None = None
    cross_initial_margin: float | None = None
    saving: float | None = None


@dataclass(slots=True)
class _Set:
    # the portfolios of one parameter set
    book: StressBook
    totals: CrossTotals
    cross: dict[int, CrossMargins] = field(default_factory=dict)


class PortfolioBooks:
    """Every portfolio in the book of its parameters. What is told here is told to all books that it concerns.

    `hysteresis`: how far below one of its levels a portfolio's ratio has to be for `evaluate` to tell that it left it.
    """

    def __init__(self, portfolios: Sequence[PortfolioSettings], hysteresis: float = 0.02) -> None:
        self._sets: dict[str, _Set] = {}
        self._levels = {portfolio.id: portfolio.levels.ratios for portfolio in portfolios}
        found: dict[object, _Set] = {}
        for portfolio in portfolios:
            parameters = portfolio.parameter_set
            if parameters not in found:
                book = StressBook(parameters)
                found[parameters] = _Set(book, CrossTotals(book))
                for asset in STABLECOINS - {USD}:
                    book.market.set_fx(asset, math.nan)
            self._sets[portfolio.id] = found[parameters]
            levels = self._levels[portfolio.id]
            cuts = sorted([*levels, *(level - hysteresis for level in levels)])
            found[parameters].book.accounts.add_portfolio(portfolio.id, portfolio.accounts, cuts)
        self._all = list(found.values())

    def book_of(self, portfolio: str) -> StressBook:
        """The book of a portfolio. KeyError for one that is not configured."""
        return self._sets[portfolio].book

    @property
    def statistics(self) -> dict[str, StressStatistics]:
        """Counts of the books by the name of their parameters (of several of one name, the last)."""
        return {one.book.parameters.name: one.book.statistics for one in self._all}

    # -- what is told --------------------------------------------------------------------------------------------------------

    def apply_marks(self, event: MarkPrices) -> None:
        """Take marks; instruments that are not listed are none of ours."""
        for one in self._all:
            one.book.apply(event)

    def set_clock(self, now_ms: int) -> None:
        """Move the time (ms since 1970)."""
        for one in self._all:
            one.book.market.set_clock(now_ms)

    def write(self, changes: Changes) -> None:
        """Take resolved market figures."""
        for one in self._all:
            _write(one.book, changes)

    def add_instrument(self, row: InstrumentRow, multiplier: float) -> None:
        """List an instrument with its terms; `multiplier` coins are one unit of its marks."""
        for one in self._all:
            one.book.market.add_instrument(row, multiplier)
        self.replace_terms(row)

    def replace_terms(self, row: InstrumentRow) -> None:
        """Take another margin table of a listed instrument; its prices stay."""
        for one in self._all:
            one.book.market.replace_terms(row)
            one.totals.forget()

    def tell(self, row: AccountRow) -> None:
        """Everything of an account with its equity in USD."""
        for book in self._books_of(row.id):
            known = book.accounts.states.get(row.id)
            if known is None or known.row.model_copy(update={"equity": row.equity}) != row:
                book.accounts.set_account(row)
            else:
                _retell(book, row)

    def tell_orders(self, row: AccountRow) -> None:
        """The resting orders of an account of which everything else stays as it was told."""
        orders: dict[str, tuple[OrderRow, ...]] = {}
        for order in row.orders:
            orders[order.instrument] = (*orders.get(order.instrument, ()), order)
        for book in self._books_of(row.id):
            known = book.accounts.states[row.id].orders
            for name in [name for name in {**orders, **known} if orders.get(name) != known.get(name)]:
                book.accounts.set_orders(row.id, name, orders.get(name, ()))

    def tell_equity(self, row: AccountRow) -> None:
        """The equity of an account that is known, where it left ours."""
        for book in self._books_of(row.id):
            if row.id in book.accounts.states:
                _retell(book, row)

    def _books_of(self, account: str) -> Iterator[StressBook]:
        for one in self._all:
            if any(account in members for members in one.book.accounts.members.values()):
                yield one.book

    # -- what stands ---------------------------------------------------------------------------------------------------------

    def evaluate(self) -> list[str]:
        """Bring every book up to date; returns the portfolios that crossed a level or a gap, or came to or lost their value."""
        return [name for one in self._all for name in _evaluated(one)]

    def figures(self, name: str, failures: tuple[Failure, ...]) -> PortfolioFigures:
        """One portfolio, without figures where `failures` say why there are none."""
        one = self._sets[name]
        row = one.book.accounts.portfolios[name]
        record, parameters = one.book.tables.portfolios.table[row], one.book.parameters.name
        if failures:
            return PortfolioFigures(name, parameters, failures=failures)
        if record["status"] != layout.OK or record["equity_status"] != layout.OK:
            return PortfolioFigures(name, parameters, failures=portfolio_result(one.book, name).failures)
        ratio, maintenance = float(record["ratio"]), float(record["maintenance"])
        passed = sum(ratio >= level for level in self._levels[name])
        cross = one.cross.get(row, _UNKNOWN)
        has_cross = cross.status == layout.OK
        return PortfolioFigures(
            name,
            parameters,
            Level.BREACH if passed == Level.LIQUIDATION else Level(passed),
            (),
            float(record["equity"]),
            maintenance,
            float(record["initial"]),
            ratio,
            cross.maintenance_margin if has_cross else None,
            cross.initial_margin if has_cross else None,
            1.0 - maintenance / cross.maintenance_margin if has_cross and cross.maintenance_margin > 0 else None,
        )

    def compare(self, figures: PortfolioFigures, again: PortfolioResult) -> None:
        """Keep how far the figures of a tick were from the same computed anew."""
        statistics = self._sets[figures.portfolio].book.statistics
        for name in ("equity", "maintenance_margin", "initial_margin"):
            ours, theirs = getattr(figures, name), getattr(again, name)
            if ours is not None and theirs is not None:
                statistics.drift = max(statistics.drift, abs(ours - theirs) / max(abs(theirs), 1.0))


def _evaluated(one: _Set) -> Iterable[str]:
    before = one.book.statistics.portfolios
    crossed = one.book.evaluate()
    if one.book.statistics.portfolios != before:
        one.cross = {row: one.totals.margins(row) for row in one.book.accounts.names}
    return [one.book.accounts.names[row] for row in crossed]


def _retell(book: StressBook, row: AccountRow) -> None:
    state = book.accounts.states[row.id]
    # what is not held against prices yet counts as it was told
    ours = state.told if state.anchor is None else state.anchor + book.accounts.movable(row.id)
    if row.equity is not None and (ours is None or not abs(ours - row.equity) <= RETOLD * max(abs(row.equity), 1.0)):
        book.accounts.set_money(row.id, row.balances, row.debts, row.equity)


def _write(book: StressBook, changes: Changes) -> None:
    market = book.market
    for asset, price in changes.fx.items():
        market.set_fx(asset, price)
        book.accounts.follow_asset(asset)
    for coin, price in changes.index.items():
        market.set_index(coin, price)
    for (venue, coin, settle, expiry_ms), forward in changes.forwards.items():
        market.set_forward(venue, coin, settle, expiry_ms, forward)
    for instrument, volatility in changes.volatilities.items():
        market.set_volatility(instrument, volatility)
    for coin, volatility in changes.daily_volatility.items():
        market.set_daily_volatility(coin, volatility)
    for instrument, volume in changes.volumes_usd.items():
        market.set_volume(instrument, volume)
