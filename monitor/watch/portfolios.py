"""The rule of a portfolio beside its levels: a coin's net delta beyond its limit, because a leg of the hedge is gone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.live.books import PortfolioFigures
from monitor.stress.book import StressBook
from monitor.watch.gate import Gate
from monitor.watch.limits import WatchLimits
from monitor.watch.words import money, some

POSITIONS = 0
"""The order group of what is held, without orders."""


class Portfolios(Protocol):
    """What the rule needs of the live portfolios."""

    def figures(self) -> Sequence[PortfolioFigures]:
        """Every portfolio as of the last tick."""
        ...

    def book_of(self, portfolio: str) -> StressBook:
        """The stress book of a portfolio."""
        ...


def net_deltas(book: StressBook, portfolio: str) -> dict[str, float]:
    """Net delta of each coin in a portfolio, USD at its index: positions and options (Black-76), and balances less debts of the coin.

    As of the last evaluation. NaN where the coin has no index.
    """
    accounts, tables = book.accounts, book.tables
    row = accounts.portfolios[portfolio]
    coins: dict[str, float] = {}
    for coin, unit in accounts.legs.units.get(row, {}).items():
        coins[book.market.coin_names[coin]] = float(tables.units.table["delta"][unit, POSITIONS])
    for account in accounts.members[row]:
        state = accounts.states.get(account)
        if state is None:
            continue
        # as they are held: a venue counts less than all of it as collateral, and the rest falls as well
        held = [(balance.asset, balance.total) for balance in state.told_row.balances]
        held += [(debt.asset, -debt.amount) for debt in state.told_row.debts]
        for asset, amount in held:
            if asset not in book.market.assets:
                coins[asset] = coins.get(asset, 0.0) + amount
    return {name: delta * _index(book, name) if delta else 0.0 for name, delta in coins.items()}


def _index(book: StressBook, coin: str) -> float:
    row = book.market.coins.get(coin)
    return math.nan if row is None else float(book.tables.coins.table["index"][row])


class NetDeltaWatch:
    """Portfolios with limits, and which coins are beyond theirs."""

    def __init__(self, limits: WatchLimits, portfolios: Portfolios) -> None:
        self.limits = limits
        self._portfolios = portfolios
        self._beyond = Gate()

    def conditions(self) -> Iterator[Condition]:
        """One for each portfolio beyond a limit, or without a value."""
        if not self.limits.net_delta_limits_usd:
            return
        for figures in self._portfolios.figures():
            limits = self.limits.net_delta_limits_usd.get(figures.portfolio)
            if not limits:
                continue
            scope = AlertScope.portfolio(figures.portfolio)
            if figures.failures:
                yield Condition(scope, Rule.NET_DELTA, frozen=True)
                continue
            deltas = net_deltas(self._portfolios.book_of(figures.portfolio), figures.portfolio)
            found = {
                coin: f"{coin} {'+' if deltas[coin] > 0 else '-'}{money(abs(deltas[coin]), 'USD')} (limit {money(limit, 'USD')})"
                for coin, limit in sorted(limits.items())
                if self._beyond.reached((figures.portfolio, coin), abs(deltas.get(coin, 0.0)), limit)
            }
            if found:
                yield Condition(scope, Rule.NET_DELTA, subject=", ".join(found), detail=f"net delta of {some(list(found.values()))}")
