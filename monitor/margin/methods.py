"""Every margin method behind the one interface of `monitor.margin.result`, so that callers treat them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.engine import Engine
from monitor.margin import cross, portfolio
from monitor.margin.cross import CrossResult, cross_result
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import MarginMethod, PoolResult
from monitor.margin.saved import saved_accounts
from monitor.margin.saved_pools import LEVELS
from monitor.snapshot import Snapshot
from monitor.stress.book import StressBook


class PortfolioMethod:
    """The stress-based method over every portfolio of an evaluated book."""

    name = portfolio.METHOD

    def __init__(self, book: StressBook, levels: Sequence[float] = LEVELS) -> None:
        self._book, self._levels = book, levels

    def results(self) -> tuple[PortfolioResult, ...]:
        """One result a portfolio, in the order they were added."""
        return tuple(portfolio_result(self._book, name, self._levels) for name in self._book.accounts.portfolios)


class CrossMethod:
    """The position-by-position comparator over every portfolio of an evaluated book."""

    name = cross.METHOD

    def __init__(self, book: StressBook, levels: Sequence[float] = LEVELS) -> None:
        self._book, self._levels = book, levels

    def results(self) -> tuple[CrossResult, ...]:
        """One result a portfolio, in the order they were added."""
        return tuple(cross_result(self._book, name, self._levels) for name in self._book.accounts.portfolios)


class SavedAccounts:
    """A venue's own rule over a document's accounts of that venue, as far as they carry pools; named after the venue."""

    def __init__(self, snapshot: Snapshot, venue: str, levels: tuple[float, float, float] = LEVELS) -> None:
        self.name = venue
        self._snapshot, self._levels = snapshot, levels

    def results(self) -> tuple[PoolResult, ...]:
        """One result a pool, by account and pool."""
        return tuple(result for result in saved_accounts(self._snapshot, self._levels) if result.venue == self.name)


class LiveAccounts:
    """A venue's own rule over the live accounts of an engine; `now_ns` tells the receive clock."""

    def __init__(self, engine: Engine, venue: str, now_ns: Callable[[], int]) -> None:
        self.name = venue
        self._engine, self._now_ns = engine, now_ns

    def results(self) -> tuple[PoolResult, ...]:
        """One result a pool as last evaluated, by account and pool."""
        return tuple(result for result in self._engine.results(self._now_ns()) if result.venue == self.name)


def methods_of(snapshot: Snapshot, book: StressBook, levels: tuple[float, float, float] = LEVELS) -> tuple[MarginMethod, ...]:
    """The methods that a document and the book made of it answer: portfolio, cross, and each venue with pools in the document."""
    venues = dict.fromkeys(account.venue for account in snapshot.accounts if account.pools)
    saved = [SavedAccounts(snapshot, venue, levels) for venue in venues]
    return (PortfolioMethod(book, levels), CrossMethod(book, levels), *saved)
