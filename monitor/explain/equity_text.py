"""The explanation of a portfolio's equity, account by account (margin model, section 8)."""

from __future__ import annotations

import math

from monitor.explain.portfolio_text import asset_price, known
from monitor.explain.quotes import LegTerms, legs_of
from monitor.explain.writing import Explanation, price, total, usd
from monitor.margin.portfolio import PortfolioResult
from monitor.stress.book import StressBook


def explain_equity(out: Explanation, book: StressBook, result: PortfolioResult) -> tuple[float, float]:
    """Write the equity of a portfolio of an evaluated book that has one; returns it, USD, and the size of what was summed."""
    portfolio = result.portfolio
    row = book.accounts.portfolios[portfolio]
    out.section("Equity")
    found = {account: _account(out, book, portfolio, account) for account in book.accounts.members[row]}
    equity, size = (math.fsum(column) for column in zip(*found.values(), strict=True))
    values = [(account, value) for account, (value, _) in found.items()]
    out.check("equity", total(values), equity, known(result.equity), size)
    return equity, size


def _account(out: Explanation, book: StressBook, portfolio: str, account: str) -> tuple[float, float]:
    state = book.accounts.states[account]
    terms = [*_balances(out, book, account), *_legs(out, book, portfolio, account), *_debts(out, book, account)]
    moving, size = math.fsum(terms), math.fsum(map(abs, terms))
    if state.row.equity is None:
        out.check(f"{account}: equity", "sum of these", moving, book.accounts.equity(account), size)
        return moving, size
    told = state.row.equity
    anchor = told - moving
    size += abs(told)
    out.check(f"{account}: what no price moves", f"told {usd(told)} - these {usd(moving)}", anchor, state.anchor or 0.0, size)
    out.check(f"{account}: equity", f"{usd(anchor)} + {usd(moving)}", anchor + moving, book.accounts.equity(account), size)
    return anchor + moving, size


def _balances(out: Explanation, book: StressBook, account: str) -> list[float]:
    row, found = book.accounts.states[account].row, []
    for balance in row.balances:
        worth, is_stable = asset_price(book, balance.asset), balance.asset in book.market.assets
        ratio = balance.collateral_ratio if balance.collateral_ratio is not None else 1.0 if is_stable else 0.0
        counted = min(balance.total, balance.total * ratio)
        if counted == 0.0 or (row.equity is not None and not worth > 0):
            why = "counts nothing" if counted == 0.0 else "no price: does not move"
            out.line(f"{account}: {price(balance.total)} {balance.asset}: {why}")
            continue
        haircut = f" x ratio {ratio:g}" if balance.total > 0 else ""
        out.line(f"{account}: {price(balance.total)} {balance.asset}{haircut} x {price(worth)} = {usd(counted * worth)}")
        found.append(counted * worth)
    return found


def _debts(out: Explanation, book: StressBook, account: str) -> list[float]:
    row, found = book.accounts.states[account].row, []
    for debt in row.debts:
        worth = asset_price(book, debt.asset)
        if debt.amount == 0.0 or (row.equity is not None and not worth > 0):
            continue
        out.line(f"{account}: debt of {price(abs(debt.amount))} {debt.asset} x {price(worth)} = {usd(-abs(debt.amount) * worth)}")
        found.append(-abs(debt.amount) * worth)
    return found


def _legs(out: Explanation, book: StressBook, portfolio: str, account: str) -> list[float]:
    found = []
    for coin, number in book.market.coins.items():
        index = float(book.tables.coins.table["index"][number])
        for leg in legs_of(book, portfolio, coin):
            if leg.account == account and leg.position != 0.0:
                found.append(_leg(out, leg, index))
    return found


def _leg(out: Explanation, leg: LegTerms, index: float) -> float:
    quote, entry = leg.quote, leg.entry if leg.entry is not None else 0.0
    worth = quote.worth(leg.position, entry, index)
    if quote.is_option:
        formula = f"{price(leg.position)} x base {price(quote.base)} x fx {price(quote.fx)}"
    elif quote.usd == quote.mark and quote.coins(1.0) != 1.0:
        formula = f"{price(leg.position)} x (1 / {price(entry)} - 1 / {price(quote.mark)}) x I {price(index)}"
    else:
        formula = f"{price(leg.position)} x ({price(quote.mark)} - {price(entry)}) x fx {price(quote.fx)}"
    out.line(f"{leg.name}: {formula} = {usd(worth)}")
    return worth
