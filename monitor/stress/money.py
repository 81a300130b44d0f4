"""Balances and debts of accounts as what a portfolio needs of them (margin model, sections 3, 6 and 8)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from config.parameters import ParameterSet
from monitor.snapshot import AccountRow, BalanceRow
from monitor.stress.legs import StressLegs
from monitor.stress.market import StressMarket


class Money(NamedTuple):
    """What one asset of an account counts, in units of the asset: in equity, and debts times their two rates."""

    amount: float
    maintenance: float
    initial: float


class Spot(NamedTuple):
    """Balances of one coin: hedge balance S with its collateral ratio and cap (inf: none), and positive balances with their mean ratio."""

    spot: float
    spot_ratio: float
    hedge_cap: float
    collateral: float
    collateral_ratio: float


def counted(row: BalanceRow, is_stablecoin: bool) -> float:
    """What a balance counts in equity, in units of its asset: a positive one times its ratio, which a coin must be told."""
    if row.total <= 0:
        return row.total
    ratio = row.collateral_ratio
    if ratio is None:
        ratio = 1.0 if is_stablecoin else 0.0
    return min(row.total, row.total * ratio)


def account_money(row: AccountRow, parameters: ParameterSet, stablecoins: Iterable[str]) -> dict[str, Money]:
    """An account's assets; every asset of a balance or debt is named."""
    known = set(stablecoins)
    amounts: dict[str, list[float]] = {}
    for balance in row.balances:
        amounts.setdefault(balance.asset, [0.0, 0.0, 0.0])[0] += counted(balance, balance.asset in known)
    for debt in row.debts:
        sums = amounts.setdefault(debt.asset, [0.0, 0.0, 0.0])
        size = abs(debt.amount)
        sums[0] -= size
        sums[1] += size * (parameters.portfolio.borrow_mm_rate if debt.mm_rate is None else debt.mm_rate)
        sums[2] += size * (parameters.portfolio.borrow_im_rate if debt.im_rate is None else debt.im_rate)
    return {asset: Money(*sums) for asset, sums in amounts.items()}


def spot_of(coin: str, accounts: Iterable[AccountRow], *, hedgeable: bool) -> Spot:
    """The balances of one coin over accounts; those of accounts with `spot_hedging` in eligible rows hedge."""
    hedging: list[BalanceRow] = []
    caps: list[float] = []
    positive = weighted = 0.0
    for account in accounts:
        rows = [row for row in account.balances if row.asset == coin]
        positive += math.fsum(row.total for row in rows if row.total > 0)
        weighted += math.fsum(row.total * (row.collateral_ratio or 0.0) for row in rows if row.total > 0)
        if hedgeable and account.spot_hedging:
            hedging += [row for row in rows if row.eligible_hedge]
            if coin in account.hedge_cap:
                caps.append(account.hedge_cap[coin])
    spot = math.fsum(row.total for row in hedging)
    ratios = [1.0 if row.collateral_ratio is None else row.collateral_ratio for row in hedging if row.total * spot > 0]
    return Spot(spot, max(ratios, default=1.0), math.fsum(caps) if caps else math.inf, positive, weighted / positive if positive else 0.0)


class MoneyRows:
    """The rows of balances and debts of every portfolio: one an asset, summed over its accounts, and the spot of its units."""

    def __init__(self, market: StressMarket, legs: StressLegs) -> None:
        self._market = market
        self._legs = legs
        self._tables = market.tables
        self._rows: dict[int, dict[str, int]] = {}
        self._of_coin: dict[int, list[int]] = {}
        self._holders: dict[tuple[int, str], dict[str, Money]] = {}
        self._spot: dict[tuple[int, str], dict[str, AccountRow]] = {}

    def rows_of(self, portfolio: int) -> Iterable[int]:
        """The cash rows of a portfolio."""
        return self._rows.get(portfolio, {}).values()

    def rows_of_coin(self, coin: int) -> Iterable[int]:
        """The cash rows that a coin's index prices."""
        return self._of_coin.get(coin, ())

    def write(self, portfolio: int, account: str, row: AccountRow, before: Iterable[str], money: Mapping[str, Money]) -> None:
        """What an account's assets count in a portfolio, instead of the assets `before`, and what it has for spot hedging."""
        for asset in {**dict.fromkeys(before), **money}:
            holders = self._holders.setdefault((portfolio, asset), {})
            holders.pop(account, None)
            if asset in money:
                holders[account] = money[asset]
            self._write_row(portfolio, asset, holders)
        coins = dict.fromkeys([*(balance.asset for balance in row.balances), *row.hedge_cap])
        for key, accounts in self._spot.items():
            if key[0] == portfolio and account in accounts and key[1] not in coins:
                del accounts[account]
                self.write_spot(portfolio, key[1])
        for coin in [coin for coin in coins if coin not in self._market.assets]:
            self._spot.setdefault((portfolio, coin), {})[account] = row
            self.write_spot(portfolio, coin)

    def _write_row(self, portfolio: int, asset: str, holders: Mapping[str, Money]) -> None:
        rows = self._rows.setdefault(portfolio, {})
        row = rows.get(asset)
        if row is None:
            row = rows[asset] = self._tables.cash.take()
            record = self._tables.cash.table[row]
            record["portfolio"] = portfolio
            if asset in self._market.assets:
                record["fx"] = self._market.assets[asset]
            else:
                coin = self._market.coin(asset)
                record["coin"] = coin
                self._of_coin.setdefault(coin, []).append(row)
                self._legs.torn.coins[coin] = None
            self._legs.torn.portfolios[portfolio] = None
        record = self._tables.cash.table[row]
        for position, name in enumerate(Money._fields):
            record[name] = math.fsum(money[position] for money in holders.values())
        self._legs.push_portfolio(portfolio)

    def write_spot(self, portfolio: int, coin: str) -> None:
        """The balances of a coin as its unit reads them; stressed collateral makes a unit by itself (model, section 2)."""
        parameters, accounts = self._market.parameters, self._spot.get((portfolio, coin), {})
        spot = spot_of(coin, accounts.values(), hedgeable=coin in parameters.portfolio.spot_hedge)
        is_stressed = spot.collateral * spot.collateral_ratio * parameters.unit(coin).collateral_stress > 0
        if not is_stressed and self._market.coins.get(coin) not in self._legs.units.get(portfolio, {}):
            return
        unit = self._legs.unit(portfolio, self._market.coin(coin))
        record = self._tables.units.table[unit]
        for name, value in spot._asdict().items():
            record[name] = value
        self._legs.torn.portfolios[portfolio] = None
        self._legs.push_unit(unit)

    def follow(self, asset: str) -> None:
        """Total anew the portfolios that hold an asset."""
        for portfolio, rows in self._rows.items():
            if asset in rows:
                self._legs.push_portfolio(portfolio)
