"""Figures of a Deribit account that can be rebuilt, beside the venue's: its equity, from cash, positions and unrealised profit.

Compared where everything is of one instant: at the venue's reads. The margins themselves are the venue's own model and are taken over.
"""

from __future__ import annotations

from connectors.model import CurrencySummary, InstrumentKind, SummaryAccount
from monitor.market import Market
from monitor.reconcile import Comparison

COARSE = 0.01
"""Below so many units of a currency its rounded figures tell its price too inexactly to compare by."""


def usd_price(row: CurrencySummary) -> float | None:
    """USD per unit of a wallet's currency as the venue counted it: in a cross model each wallet repeats the total in its own."""
    if row.total_margin_balance_usd is None or row.margin_balance == 0.0:
        return None
    return row.total_margin_balance_usd / row.margin_balance


def rebuilt_equity(row: CurrencySummary, account: SummaryAccount, market: Market) -> float | None:
    """Balance, plus the session's profit on futures, plus options at the marks of their positions; None where something is unknown."""
    if row.futures_profit is None:
        return None
    value = 0.0
    for position in account.positions:
        listed = market.instruments.get(position.instrument)
        if listed is None:
            return None
        if listed.kind is InstrumentKind.OPTION and listed.settle == row.currency:
            value += position.quantity * position.mark
    return row.balance + row.futures_profit + value


def check_wallet(row: CurrencySummary, account: SummaryAccount, market: Market) -> tuple[Comparison, ...]:
    """The equity of a segregated wallet."""
    rebuilt = rebuilt_equity(row, account, market)
    return () if rebuilt is None else (_compared(rebuilt, row.equity),)


def check_cross(account: SummaryAccount, market: Market) -> tuple[Comparison, ...]:
    """The equity of all wallets of a cross model, in USD at the prices the venue itself counted them with."""
    rows = [row for row in account.summaries if row.is_cross]
    told = next((row.total_equity_usd for row in rows if row.total_equity_usd is not None), None)
    if told is None:
        return ()
    total = 0.0
    for row in rows:
        price, rebuilt = usd_price(row), rebuilt_equity(row, account, market)
        if rebuilt is None or (price is None and rebuilt != 0.0):
            return ()
        if price is not None and rebuilt != 0.0:
            if abs(row.margin_balance) < COARSE:
                return ()
            total += rebuilt * price
    return (_compared(total, told),)


def _compared(rebuilt: float, told: float) -> Comparison:
    # of coins, unlike of dollars, less than one unit is money too
    return Comparison("equity", rebuilt, told, max(abs(told), COARSE))
