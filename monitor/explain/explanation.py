"""`marginwatch explain`: every term of every formula of the portfolio method with its numbers, and the engine's figure beside it.

The figures are computed anew, in plain Python and from what was told, so that a disagreement with the engine shows: a ✓ stands
behind a figure on which both agree, a mismatch says what the engine has instead.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from monitor.explain.equity_text import explain_equity
from monitor.explain.portfolio_text import explain_portfolio
from monitor.explain.unit_terms import UnitTerms
from monitor.explain.unit_text import explain_unit
from monitor.explain.writing import Explanation
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.stress.book import StressBook


def explain(book: StressBook, portfolio: str, coins: Collection[str] = ()) -> Explanation:
    """The explanation of one portfolio of an evaluated book; with `coins` that of these units alone."""
    result = portfolio_result(book, portfolio)
    out = Explanation()
    dated = f"parameters {book.parameters.name} of {book.parameters.dated.isoformat()}"
    out.heading(f"Portfolio {portfolio}, {dated}")
    out.line("USD unless said otherwise; k is a relative price move, I the index; formulas: margin model, sections 2 to 8")
    out.failed = bool(result.failures)
    for failure in result.failures:
        out.line(f"no value: {failure.reason.value}: {failure.detail}")
    valued = [(unit, UnitTerms(book, portfolio, unit.coin)) for unit in result.units if not unit.failures]
    for unit, terms in valued:
        if not coins or unit.coin in coins:
            explain_unit(out, book, result, unit, terms)
    missing = sorted(set(coins) - {unit.coin for unit in result.units})
    if missing:
        out.line(f"no unit {', '.join(missing)}: the portfolio has no position, order or stressed balance in it")
    if not coins:
        _whole(out, book, result, [terms for _, terms in valued])
    return out


def _whole(out: Explanation, book: StressBook, result: PortfolioResult, units: list[UnitTerms]) -> None:
    out.heading(f"Portfolio {result.portfolio} as a whole")
    if result.maintenance_margin is None:
        out.line("no margin while a unit or a debt has no value")
        return
    equity = explain_equity(out, book, result) if result.equity is not None else (math.nan, 0.0)
    explain_portfolio(out, book, result, units, equity)
