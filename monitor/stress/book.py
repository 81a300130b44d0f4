"""Live state of the `portfolio` method under one parameter set: every change lands here, and marks what it touched.

A change of a price, a volatility, a position, an order or a balance writes one row and queues it; `evaluate` makes one call
into `kernels/portfolio.py`, which recomputes what depends on it. Portfolios with the same resolved parameters share a book, so
that their options are priced once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from config.parameters import ParameterSet
from connectors.events import Forwards, IndexPrices, MarkPrices, StablecoinPrices, Volatilities
from kernels import layout, portfolio
from monitor.stress.accounts import StressAccounts
from monitor.stress.market import StressMarket


@dataclass(slots=True)
class StressStatistics:
    """Counts since start, and `drift`: the largest relative difference to a book built anew that was ever seen."""

    evaluations: int = 0
    portfolios: int = 0
    drift: float = 0.0


class StressBook:
    """`market` takes prices, `accounts` takes portfolios and what their accounts hold; `evaluate` brings the figures up to date."""

    def __init__(self, parameters: ParameterSet) -> None:
        self.parameters = parameters
        self.market = StressMarket(parameters)
        self.accounts = StressAccounts(self.market)
        self.tables = self.market.tables
        self.statistics = StressStatistics()
        self._appliers: dict[type, Callable[[Any], None]] = {
            MarkPrices: self._on_marks,
            Volatilities: self._on_volatilities,
            Forwards: self._on_forwards,
            IndexPrices: self._on_indices,
            StablecoinPrices: self._on_stablecoins,
        }

    def apply(self, event: object) -> None:
        """Take a market event; other kinds are ignored, and so are instruments that were never listed."""
        applier = self._appliers.get(type(event))
        if applier is not None:
            applier(event)

    def evaluate(self) -> list[int]:
        """Bring every figure up to date; returns the portfolios whose band changed (also: to or from having no value)."""
        self.accounts.flush()
        table = self.tables.portfolios.table
        bands = table["band"].copy() if self.accounts.unanchored else None
        count = portfolio.evaluate(self.tables.book)
        if bands is not None:
            # a venue's equity is held against prices that had to be evaluated first; what is between is no crossing
            self.accounts.anchor()
            count += portfolio.evaluate(self.tables.book)
            table["crossed"] &= table["band"] != bands
        self.statistics.evaluations += 1
        self.statistics.portfolios += count
        crossed = self.tables.portfolios.table["crossed"]
        if count == 0 or not crossed.any():
            return []
        found = [int(row) for row in np.flatnonzero(crossed)]
        crossed[:] = False
        return found

    def _on_marks(self, event: MarkPrices) -> None:
        for instrument, mark in zip(event.instruments, event.marks, strict=True):
            self.market.set_mark(instrument, mark)

    def _on_volatilities(self, event: Volatilities) -> None:
        for instrument, volatility in zip(event.instruments, event.volatilities, strict=True):
            self.market.set_volatility(instrument, volatility)

    def _on_forwards(self, event: Forwards) -> None:
        for coin, settle, expiry_ms, forward in zip(event.coins, event.settles, event.expiries_ms, event.forwards, strict=True):
            self.market.set_forward(event.venue, coin, settle, expiry_ms, forward)

    def _on_indices(self, event: IndexPrices) -> None:
        for coin, price in event.prices.items():
            self.market.set_index(coin, price)

    def _on_stablecoins(self, event: StablecoinPrices) -> None:
        for asset, price in event.prices.items():
            self.market.set_fx(asset, price)
            self.accounts.follow_asset(asset)

    def rebuilt(self) -> StressBook:
        """A book built anew from this one's state, evaluated: what the incremental figures must equal."""
        fresh = StressBook(self.parameters)
        self.market.copy_into(fresh.market)
        for row, name in self.accounts.names.items():
            cuts = self.tables.portfolios.table["cuts"][row]
            fresh.accounts.add_portfolio(name, self.accounts.members[row], [float(cut) for cut in cuts])
        for account, state in self.accounts.states.items():
            fresh.accounts.set_account(state.row)
            fresh.accounts.restore(account, state)
        fresh.evaluate()
        return fresh

    def measure_drift(self) -> float:
        """The largest relative difference of a portfolio's equity and margins to a book built anew; kept in `statistics`."""
        fresh, worst = self.rebuilt(), 0.0
        for name, row in self.accounts.portfolios.items():
            ours = self.tables.portfolios.table[row]
            theirs = fresh.tables.portfolios.table[fresh.accounts.portfolios[name]]
            if (ours["status"], ours["equity_status"]) != (theirs["status"], theirs["equity_status"]):
                worst = math.inf
            elif ours["status"] == layout.OK:
                margins = ("maintenance", "initial", "loss_shift")
                for figure in (*margins, "equity") if ours["equity_status"] == layout.OK else margins:
                    scale = max(abs(float(theirs[figure])), abs(float(theirs["maintenance"])), 1e-9)
                    worst = max(worst, abs(float(ours[figure]) - float(theirs[figure])) / scale)
        self.statistics.drift = max(self.statistics.drift, worst)
        return worst
