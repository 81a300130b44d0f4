"""The configured portfolios on every tick: market events and account changes in, margins by the portfolio method and leg by leg out.

    portfolios.apply(event)       every event, after the book took it
    portfolios.evaluate(...)      once per evaluation of the pools, behind them
    portfolios.figures(name)      what stands now

No venue acts on these numbers. An account whose pools have no value, or whose data are stale, takes the value of its portfolios
away. What the market figures rest on is told by `monitor/resolvers`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from config.settings import Settings
from connectors.events import Event, FailureReason, Instruments, MarkPrices, OutcomeMarkets, OutcomePrices
from connectors.model import Instrument, InstrumentKind, MarginTier
from kernels import layout
from monitor.document_rows import instrument_row
from monitor.engine import Engine
from monitor.live.accounts import STABLECOINS, AccountReader, HeldAccount
from monitor.live.outcomes import OutcomeHolding
from monitor.live.wishes import Wishes, wishes
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.deribit import DeribitAccount
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import Failure, Level
from monitor.report.document import CUTS, LEVELS
from monitor.resolvers.changes import Changes
from monitor.resolvers.provenance import Resolved
from monitor.resolvers.resolvers import Resolvers
from monitor.resolvers.rules import Rules
from monitor.snapshot import AccountRow, InstrumentRow, OrderRow
from monitor.stress.book import StressBook, StressStatistics
from monitor.stress.cross_totals import CrossMargins, CrossTotals

RETOLD = 1e-9
"""Relative difference of a venue's equity to ours from which it is told anew between account events."""

SECOND_NS = 1_000_000_000

_log = logging.getLogger("marginwatch.portfolios")

_OPTIONS = (InstrumentKind.OPTION, InstrumentKind.OUTCOME)
_NOT_WARM = Failure(FailureReason.NOT_READY, "the kernels of the portfolio method are compiling: about half a minute, once on this machine")
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


class LivePortfolios:
    """The portfolios over the accounts of an engine's book. Everything on the event loop; nothing is computed before `ready`."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.resolvers = Resolvers(Rules.from_settings(settings))
        self.settings = settings
        self.ready = False
        """Whether the kernels are warm: compiling them on the loop would stop it for half a minute."""
        self.defect: Failure | None = None
        """Set while the last evaluation failed for a reason of its own."""
        self.lacking: dict[str, Failure] = {}
        """By account: why it has no place in a portfolio now."""
        self.as_of_ms = 0
        self.held: dict[str, Instrument] = {}
        """What the accounts of portfolios hold or have orders in."""
        self.written: dict[str, tuple[object, dict[str, Any]]] = {}
        """What `export` wrote of rows that stay as they are, by id, with the row it is of."""
        self.wishes = Wishes()
        """What the venues should tell beside what their accounts hold; another object once it changed."""
        self._engine = engine
        self._coins: set[str] = set()
        self._reader = AccountReader(engine, self._usd, self._worth)
        self._mids: dict[tuple[int, int], float] = {}
        self.accounts: dict[str, HeldAccount] = {}
        """What each account holds, as last read."""
        self._states: dict[str, object] = {}
        self._members = {account for portfolio in settings.portfolios for account in portfolio.accounts}
        self._waiting: set[tuple[str, str]] = set()
        self._new: set[str] = set()
        self._relisted: set[str] = set()
        self._sets: dict[str, _Set] = {}
        self._all: list[_Set] = []
        self._synced_ns: int | None = None
        self._failed_ns = 0
        self._build()

    def _build(self) -> None:
        # empty books, into which everything has to be told
        for known in (self.held, self.accounts, self.written, self._states, self._sets):
            known.clear()
        self._waiting = {key for key in self._engine.book.accounts if key[1] in self._members}
        found: dict[object, _Set] = {}
        for portfolio in self.settings.portfolios:
            parameters = portfolio.parameter_set
            if parameters not in found:
                book = StressBook(parameters)
                found[parameters] = _Set(book, CrossTotals(book))
            self._sets[portfolio.id] = found[parameters]
            found[parameters].book.accounts.add_portfolio(portfolio.id, portfolio.accounts, CUTS)
        self._all = list(found.values())
        self._track()
        for one in self._all:
            _write(one.book, self.resolvers.everything())

    @property
    def statistics(self) -> dict[str, StressStatistics]:
        """Counts of the books of the portfolio method by the name of their parameters (of several of one name, the last)."""
        return {one.book.parameters.name: one.book.statistics for one in self._all}

    def compare(self, figures: PortfolioFigures, again: PortfolioResult) -> None:
        """Keep how far the figures of a tick were from the same computed anew."""
        statistics = self._sets[figures.portfolio].book.statistics
        for name in ("equity", "maintenance_margin", "initial_margin"):
            ours, theirs = getattr(figures, name), getattr(again, name)
            if ours is not None and theirs is not None:
                statistics.drift = max(statistics.drift, abs(ours - theirs) / max(abs(theirs), 1.0))

    def book_of(self, portfolio: str) -> StressBook:
        """The book of a portfolio. KeyError for one that is not configured."""
        return self._sets[portfolio].book

    # -- events --------------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event; kinds that say nothing about markets are ignored."""
        self.resolvers.apply(event)
        match event:
            case MarkPrices():
                for one in self._all:
                    one.book.apply(event)
            case OutcomePrices():
                self._mids.update(event.prices)
            case OutcomeMarkets():
                self._reader.outcomes = {market.outcome: market for market in event.markets}
                self._mids = {key: mid for key, mid in self._mids.items() if key[0] in self._reader.outcomes}
                self._touch(event.venue)
            case Instruments():
                self._relisted.add(event.venue)
                self._touch(event.venue)
                self._wish()

    def touch(self, keys: Iterable[tuple[str, str]]) -> None:
        """Accounts (venue, id) that may hold something else than before."""
        self._waiting.update(key for key in keys if key[1] in self._members)

    def _touch(self, venue: str) -> None:
        self.touch(key for key in self._engine.book.accounts if key[0] == venue)

    def _relist(self, venue: str) -> None:
        # margin tables may be others now
        for name in [name for name, listed in self.held.items() if listed.venue == venue]:
            listed = self._engine.book.market.instruments.get(name)
            if listed is not None and listed != self.held[name]:
                row = self._row(listed)
                for one in self._all:
                    one.book.market.replace_terms(row)
                    one.totals.forget()
                self.held[name] = listed

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def evaluate(self, now_ns: int, now_ms: int) -> list[str]:
        """Bring every portfolio up to date; returns those that crossed a level or a gap, or came to or lost their value."""
        if not self.ready or (self.defect is not None and now_ns - self._failed_ns < SECOND_NS):
            return []
        try:
            if self.defect is not None:
                # what the evaluation that failed had taken may be in no book, or in half of them
                self._build()
            crossed = self._evaluate(now_ns, now_ms)
        except Exception as defect:  # the pools' watch goes on without it
            if self.defect is None:
                _log.exception("the portfolios cannot be computed: %s", type(defect).__name__)
            self._failed_ns = now_ns
            self.defect = Failure(FailureReason.NOT_READY, f"a defect of this program ({type(defect).__name__}): please report the log")
            return []
        self.defect = None
        return crossed

    def _evaluate(self, now_ns: int, now_ms: int) -> list[str]:
        self.as_of_ms = now_ms
        for one in self._all:
            one.book.market.set_clock(now_ms)
        for venue in self._relisted:
            self._relist(venue)
        self._relisted.clear()
        self._resolve(now_ns, now_ms)
        if self._synced_ns is None or now_ns - self._synced_ns >= SECOND_NS:
            self._synced_ns = now_ns
            self._sync(now_ns)
        waiting, self._waiting = self._waiting, set()
        if self._read(waiting, now_ns):
            # what is new has prices of its own, and what it needed may be priced now
            self._track()
            self._resolve(now_ns, now_ms)
            self._introduce()
            self._read(waiting, now_ns)
        for _, account in sorted(waiting):
            self._tell(account)
        return [name for one in self._all for name in self._evaluated(one)]

    def _resolve(self, now_ns: int, now_ms: int) -> None:
        changes = self.resolvers.update(now_ns, now_ms)
        if changes:
            for one in self._all:
                _write(one.book, changes)

    def _introduce(self) -> None:
        # what was told before the books had the instrument is no change any more
        changes = self.resolvers.known_of([self.held[name] for name in self._new if name in self.held])
        self._new.clear()
        for one in self._all:
            _write(one.book, changes)

    def _evaluated(self, one: _Set) -> list[str]:
        before = one.book.statistics.portfolios
        crossed = one.book.evaluate()
        if one.book.statistics.portfolios != before:
            one.cross = {row: one.totals.margins(row) for row in one.book.accounts.names}
        return [one.book.accounts.names[row] for row in crossed]

    def resync(self, now_ns: int) -> None:
        """Say at once which accounts have no value now, for data go stale by time alone. The next evaluation looks at equities.

        Evaluations do both by themselves once a second. Between two of them prices may be newer than the pools' equities.
        """
        self._synced_ns = None
        for key, told in self._glances(now_ns) if self.ready else ():
            if isinstance(told, Failure):
                self.lacking[key[1]] = told

    def _glances(self, now_ns: int) -> Iterator[tuple[tuple[str, str], float | Failure | None]]:
        for key, entry in self._engine.book.accounts.items():
            if key[1] in self._members:
                yield key, self._reader.glance(entry, now_ns)

    def _sync(self, now_ns: int) -> None:
        for key, told in self._glances(now_ns):
            held = self.accounts.get(key[1])
            if isinstance(told, Failure):
                self.lacking[key[1]] = told
            elif key[1] in self.lacking or held is None:
                self._waiting.add(key)
            elif told is not None:
                self.accounts[key[1]] = replace(held, row=held.row.model_copy(update={"equity": told}))
                self._retell(key[1])

    def _read(self, keys: Iterable[tuple[str, str]], now_ns: int) -> bool:
        # whether something is held, or priced, that was not before
        is_new = False
        for key in sorted(keys):
            held = self._reader.read(self._engine.book.accounts[key], now_ns)
            failure = held if isinstance(held, Failure) else held.failure
            if failure is not None:
                self.lacking[key[1]] = failure
            else:
                self.lacking.pop(key[1], None)
            if isinstance(held, Failure):
                continue
            before = self.accounts.get(key[1])
            self.accounts[key[1]] = held
            is_new = is_new or before is None or held.listed.keys() != before.listed.keys() or held.assets != before.assets
            for name, listed in held.listed.items():
                self._list(name, listed)
        return is_new

    def _list(self, name: str, listed: Instrument) -> None:
        if self.held.get(name) == listed:
            return
        row = self._row(listed)
        for one in self._all:
            one.book.market.add_instrument(row, listed.multiplier)
            one.book.market.replace_terms(row)
            one.totals.forget()
        self.held[name] = listed
        self._new.add(name)

    def _row(self, listed: Instrument) -> InstrumentRow:
        mark = self._engine.book.market.mark(listed.id)
        tiers = listed.tiers
        if not tiers and listed.venue == DERIBIT and listed.kind not in _OPTIONS:
            tiers = (MarginTier(0.0, self.settings.venues.deribit.future_maintenance_rate, 0.0),)
        return InstrumentRow.model_validate(instrument_row(listed, mark, tiers))

    def _track(self) -> None:
        held = {name for account in self.accounts.values() for name in account.listed}
        self.held = {name: listed for name, listed in self.held.items() if name in held}
        self.written = {name: known for name, known in self.written.items() if name in held or name.startswith("account ")}
        coins = {listed.coin for listed in self.held.values()}
        assets = {asset for held in self.accounts.values() for asset in held.assets}
        options = {name: listed for name, listed in self.held.items() if listed.kind in _OPTIONS}
        stable = STABLECOINS | {listed.settle for listed in self.held.values() if listed.settle != listed.coin}
        self.resolvers.track(sorted(coins | (assets - stable)), sorted(stable - {"USD"}), options)
        self._coins = coins | (assets - stable)
        self._wish()

    def _wish(self) -> None:
        listed = self._engine.book.market.instruments.values()
        self.wishes = wishes(self._coins, self.held.values(), listed, self.resolvers.references)

    def _books_of(self, account: str) -> Iterator[StressBook]:
        for one in self._all:
            if any(account in members for members in one.book.accounts.members.values()):
                yield one.book

    def _tell(self, account: str) -> None:
        held = self.accounts.get(account)
        if held is None or account in self.lacking:
            return
        method = self._engine.book.accounts[held.row.venue, account].method
        state = method.state if isinstance(method, DeribitAccount) else None
        if state is not None and self._states.get(account) is state:
            # a statement holds for the moment it was made at: until the next one our own prices move the equity
            self._tell_orders(held.row)
            return
        self._states[account] = state
        for book in self._books_of(account):
            known = book.accounts.states.get(account)
            if known is None or known.row.model_copy(update={"equity": held.row.equity}) != held.row:
                book.accounts.set_account(held.row)
            else:
                self._retell_book(book, held.row)

    def _tell_orders(self, row: AccountRow) -> None:
        orders: dict[str, tuple[OrderRow, ...]] = {}
        for order in row.orders:
            orders[order.instrument] = (*orders.get(order.instrument, ()), order)
        for book in self._books_of(row.id):
            known = book.accounts.states[row.id].orders
            for name in [name for name in {**orders, **known} if orders.get(name) != known.get(name)]:
                book.accounts.set_orders(row.id, name, orders.get(name, ()))

    def _retell(self, account: str) -> None:
        for book in self._books_of(account):
            if account in book.accounts.states:
                self._retell_book(book, self.accounts[account].row)

    @staticmethod
    def _retell_book(book: StressBook, row: AccountRow) -> None:
        state = book.accounts.states[row.id]
        # what is not held against prices yet counts as it was told
        ours = state.told if state.anchor is None else state.anchor + book.accounts.movable(row.id)
        if row.equity is not None and (ours is None or not abs(ours - row.equity) <= RETOLD * max(abs(row.equity), 1.0)):
            book.accounts.set_money(row.id, row.balances, row.debts, row.equity)

    def is_stable(self, asset: str) -> bool:
        """Whether an asset is priced by `fx`; else it is a coin with an index."""
        return asset in STABLECOINS

    def price(self, asset: str) -> Resolved:
        """USD per unit of a stablecoin or coin."""
        return self.resolvers.fx(asset) if self.is_stable(asset) else self.resolvers.index(asset)

    def _usd(self, asset: str) -> float:
        return 1.0 if asset == "USD" else self.price(asset).value

    def _worth(self, holding: OutcomeHolding) -> float:
        outcome = holding.market.outcome
        own, other = self._mids.get((outcome, holding.side)), self._mids.get((outcome, 1 - holding.side))
        mid = own if own is not None else math.nan if other is None else 1.0 - other
        return mid * self._usd(holding.market.quote)

    # -- what stands now -----------------------------------------------------------------------------------------------------

    def failures_of(self, members: Iterable[str]) -> tuple[Failure, ...]:
        """Why a portfolio of these accounts has no value, by accounts."""
        if not self.ready or self.defect is not None:
            return (self.defect or _NOT_WARM,)
        return tuple(
            Failure(self.lacking[account].reason, f"account {account} has no value: {self.lacking[account].detail}")
            for account in members
            if account in self.lacking
        )

    def figures(self) -> list[PortfolioFigures]:
        """Every portfolio, in the order of the configuration."""
        return [self._figures(portfolio.id, portfolio.accounts) for portfolio in self.settings.portfolios]

    def _figures(self, name: str, members: Iterable[str]) -> PortfolioFigures:
        one = self._sets[name]
        row = one.book.accounts.portfolios[name]
        record, parameters = one.book.tables.portfolios.table[row], one.book.parameters.name
        failures = self.failures_of(members)
        if failures:
            return PortfolioFigures(name, parameters, failures=failures)
        if record["status"] != layout.OK or record["equity_status"] != layout.OK:
            return PortfolioFigures(name, parameters, failures=portfolio_result(one.book, name).failures)
        ratio, maintenance = float(record["ratio"]), float(record["maintenance"])
        passed = sum(ratio >= level for level in LEVELS)
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
