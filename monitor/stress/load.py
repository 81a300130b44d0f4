"""A stress book from a snapshot document."""

from __future__ import annotations

from collections.abc import Sequence

from config.parameters import ParameterSet
from monitor.snapshot import Snapshot
from monitor.stress.book import StressBook


def book_of(snapshot: Snapshot, parameters: ParameterSet, cuts: Sequence[float]) -> StressBook:
    """The document's market, accounts and portfolios under one parameter set, evaluated; `cuts` as in `StressAccounts`."""
    book = StressBook(parameters)
    market = book.market
    market.set_clock(snapshot.as_of_ms)
    for asset, price in snapshot.fx.items():
        market.set_fx(asset, price)
    for coin, price in snapshot.index.items():
        market.set_index(coin, price)
    for listed in snapshot.instruments:
        if listed.kind == "spot":
            market.ignore_instrument(listed.id)
        else:
            market.add_instrument(listed)
    for coin, volatility in snapshot.daily_volatility.items():
        market.set_daily_volatility(coin, volatility)
    for instrument, volume in snapshot.volume_24h_usd.items():
        market.set_volume(instrument, volume)
    for account in snapshot.accounts:
        book.accounts.set_account(account)
    for portfolio in snapshot.portfolios:
        book.accounts.add_portfolio(portfolio.id, portfolio.accounts, cuts)
    book.evaluate()
    return book
