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
from dataclasses import replace
from typing import Any

from config.settings import Settings
from connectors.events import Event, FailureReason, Instruments, MarkPrices, OutcomeMarkets, OutcomePrices
from connectors.model import Instrument, InstrumentKind, MarginTier
from monitor.document_rows import instrument_row
from monitor.engine import Engine
from monitor.live.accounts import STABLECOINS, USD, AccountReader, HeldAccount
from monitor.live.books import PortfolioBooks, PortfolioFigures
from monitor.live.outcomes import OutcomeHolding
from monitor.live.wishes import Wishes, wishes
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.deribit import DeribitAccount
from monitor.margin.result import Failure
from monitor.resolvers.provenance import Resolved
from monitor.resolvers.resolvers import Resolvers
from monitor.resolvers.rules import Rules
from monitor.snapshot import InstrumentRow
from monitor.stress.book import StressBook

SECOND_NS = 1_000_000_000

MID_LIMIT_NS = 60 * SECOND_NS
"""How old an outcome's mid may be to count in equity."""

_log = logging.getLogger("marginwatch.portfolios")

_OPTIONS = (InstrumentKind.OPTION, InstrumentKind.OUTCOME)
_NOT_WARM = Failure(FailureReason.NOT_READY, "the kernels of the portfolio method are compiling: about half a minute, once on this machine")
_NOT_EVALUATED = Failure(FailureReason.NOT_READY, "not computed yet: the first evaluation follows")


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
        self.last_ratios: dict[str, float] = {}
        """By portfolio: the last margin ratio that was read of it, kept by `readings`."""
        self.held: dict[str, Instrument] = {}
        """What the accounts of portfolios hold or have orders in."""
        self.written: dict[str, tuple[object, dict[str, Any]]] = {}
        """What `export` wrote of rows that stay as they are, by id, with the row it is of."""
        self.wishes = Wishes()
        """What the venues should tell beside what their accounts hold; another object once it changed."""
        self._engine = engine
        self._coins: set[str] = set()
        self._reader = AccountReader(engine, self._usd, self._worth)
        self._mids: dict[tuple[int, int], tuple[float, int]] = {}
        self._now_ns = 0
        self.accounts: dict[str, HeldAccount] = {}
        """What each account holds, as last read."""
        self._states: dict[str, object] = {}
        self._members = _members(settings)
        self._waiting: set[tuple[str, str]] = set()
        self._new: set[str] = set()
        self._relisted: set[str] = set()
        self._synced_ns: int | None = None
        self._failed_ns = 0
        self._build(build_books(settings))

    def configure(self, settings: Settings, books: PortfolioBooks | None) -> None:
        """Follow another configuration, and the accounts that the engine's book has now, in new books; None: the same portfolios.

        What the venues told stays. The next evaluation tells the books everything.
        """
        self.settings = settings
        if books is None:
            return
        self._members = _members(settings)
        self.lacking = {account: failure for account, failure in self.lacking.items() if account in self._members}
        configured = {portfolio.id for portfolio in settings.portfolios}
        self.last_ratios = {name: ratio for name, ratio in self.last_ratios.items() if name in configured}
        self.resolvers.configure(Rules.from_settings(settings))
        self._synced_ns = None
        try:
            self._build(books)
        except Exception as defect:  # the pools' watch goes on without it
            self._fail(defect, self._now_ns)

    def _build(self, books: PortfolioBooks) -> None:
        # empty books, into which everything has to be told
        for known in (self.held, self.accounts, self.written, self._states):
            known.clear()
        self._waiting = {key for key in self._engine.book.accounts if key[1] in self._members}
        self.books = books
        self._is_evaluated = False
        self._track()
        self.books.write(self.resolvers.everything())

    def book_of(self, portfolio: str) -> StressBook:
        """The book of a portfolio. KeyError for one that is not configured."""
        return self.books.book_of(portfolio)

    # -- events --------------------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take an event; kinds that say nothing about markets are ignored. Never raises: a defect takes the figures away."""
        try:
            self._apply(event)
        except Exception as defect:  # the pools' watch goes on without it
            self._fail(defect, event.received_ns if isinstance(event, MarkPrices) else self._now_ns)

    def _apply(self, event: Event) -> None:
        self.resolvers.apply(event)
        match event:
            case MarkPrices():
                self.books.apply_marks(event)
            case OutcomePrices():
                self._mids.update({key: (mid, event.received_ns) for key, mid in event.prices.items()})
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
                self.books.replace_terms(self._row(listed))
                self.held[name] = listed

    # -- evaluation ----------------------------------------------------------------------------------------------------------

    def evaluate(self, now_ns: int, now_ms: int) -> list[str]:
        """Bring every portfolio up to date; returns those that crossed a level or a gap, or came to or lost their value."""
        if not self.ready or (self.defect is not None and now_ns - self._failed_ns < SECOND_NS):
            return []
        try:
            if self.defect is not None:
                # what the evaluation that failed had taken may be in no book, or in half of them
                self._build(build_books(self.settings))
            crossed = self._evaluate(now_ns, now_ms)
        except Exception as defect:  # the pools' watch goes on without it
            self._fail(defect, now_ns)
            return []
        self.defect = None
        return crossed

    def _fail(self, defect: Exception, now_ns: int) -> None:
        if self.defect is None:
            _log.exception("the portfolios cannot be computed: %s", type(defect).__name__)
        self._failed_ns = now_ns
        self.defect = Failure(FailureReason.NOT_READY, f"a defect of this program ({type(defect).__name__}): please report the log")

    def _evaluate(self, now_ns: int, now_ms: int) -> list[str]:
        self.as_of_ms, self._now_ns = now_ms, now_ns
        self.books.set_clock(now_ms)
        for venue in sorted(self._relisted):
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
        crossed = self.books.evaluate()
        self._is_evaluated = True
        return crossed

    def _resolve(self, now_ns: int, now_ms: int) -> None:
        changes = self.resolvers.update(now_ns, now_ms)
        if changes:
            self.books.write(changes)

    def _introduce(self) -> None:
        # what was told before the books had the instrument is no change any more
        changes = self.resolvers.known_of([self.held[name] for name in sorted(self._new) if name in self.held])
        self._new.clear()
        self.books.write(changes)

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
                self.books.tell_equity(self.accounts[key[1]].row)

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
        self.books.add_instrument(self._row(listed), listed.multiplier)
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
        stable = STABLECOINS | self.settings.fx.keys() | {listed.settle for listed in self.held.values() if listed.settle != listed.coin}
        self.resolvers.track(sorted(coins | (assets - stable)), sorted(stable - {USD}), options)
        self._coins = coins | (assets - stable)
        self._wish()

    def _wish(self) -> None:
        listed = self._engine.book.market.instruments.values()
        self.wishes = wishes(self._coins, self.held.values(), listed, self.resolvers.references)

    def _tell(self, account: str) -> None:
        held = self.accounts.get(account)
        if held is None or account in self.lacking:
            return
        method = self._engine.book.accounts[held.row.venue, account].method
        state = method.state if isinstance(method, DeribitAccount) else None
        if state is not None and self._states.get(account) is state:
            # a statement holds for the moment it was made at: until the next one our own prices move the equity
            self.books.tell_orders(held.row)
            return
        self._states[account] = state
        self.books.tell(held.row)

    def is_stable(self, asset: str) -> bool:
        """Whether an asset is priced by `fx`; else it is a coin with an index."""
        return asset in STABLECOINS or asset in self.settings.fx

    def price(self, asset: str) -> Resolved:
        """USD per unit of a stablecoin or coin."""
        return self.resolvers.fx(asset) if self.is_stable(asset) else self.resolvers.index(asset)

    def _usd(self, asset: str) -> float:
        return 1.0 if asset == USD else self.resolvers.value(asset, is_stable=self.is_stable(asset))

    def _worth(self, holding: OutcomeHolding) -> float:
        own, other = self._mid(holding, holding.side), self._mid(holding, 1 - holding.side)
        return (1.0 - other if math.isnan(own) else own) * self._usd(holding.market.quote)

    def _mid(self, holding: OutcomeHolding, side: int) -> float:
        mid, told_ns = self._mids.get((holding.market.outcome, side), (math.nan, 0))
        return mid if self._now_ns - told_ns <= MID_LIMIT_NS else math.nan

    # -- what stands now -----------------------------------------------------------------------------------------------------

    def failures_of(self, members: Iterable[str]) -> tuple[Failure, ...]:
        """Why a portfolio of these accounts has no value, by accounts."""
        if not self.ready or self.defect is not None:
            return (self.defect or _NOT_WARM,)
        if not self._is_evaluated:
            # empty books would say a ratio of nothing
            return (_NOT_EVALUATED,)
        return tuple(
            Failure(self.lacking[account].reason, f"account {account} has no value: {self.lacking[account].detail}")
            for account in members
            if account in self.lacking
        )

    def figures(self) -> list[PortfolioFigures]:
        """Every portfolio, in the order of the configuration."""
        return [self.books.figures(portfolio.id, self.failures_of(portfolio.accounts)) for portfolio in self.settings.portfolios]


def build_books(settings: Settings) -> PortfolioBooks:
    """Empty books of the configured portfolios."""
    return PortfolioBooks(settings.portfolios, settings.alerts.hysteresis)


def _members(settings: Settings) -> set[str]:
    return {account for portfolio in settings.portfolios for account in portfolio.accounts}
