"""Why a figure of a stress book cannot be given: its status codes as typed failures that name the thing and what it lacks."""

from __future__ import annotations

from connectors.events import FailureReason
from kernels import layout
from monitor.margin.result import Failure
from monitor.stress.book import StressBook
from monitor.stress.holdings import AccountState

_REASONS = {
    layout.MISSING_MARK: (FailureReason.MISSING_MARK, "no mark of {thing}"),
    layout.MISSING_INDEX: (FailureReason.MISSING_INDEX, "no USD index of {thing}"),
    layout.MISSING_FX: (FailureReason.MISSING_FX, "no USD price of {thing}, which something settles in"),
    layout.MISSING_FORWARD: (FailureReason.MISSING_FORWARD, "no forward of {thing}"),
    layout.MISSING_IV: (FailureReason.MISSING_IV, "no implied volatility of {thing}, and no mark that implies one"),
    layout.MISSING_ENTRY: (FailureReason.MISSING_ENTRY, "{thing}: no entry price, needed to compute an equity not given"),
    layout.NOT_FINITE: (FailureReason.NOT_READY, "{thing}: a quantity, price or volatility is not a finite number"),
}


def failure_of(status: int, thing: str) -> Failure:
    """A status of `kernels.layout` other than OK, of a thing named by the user."""
    reason, text = _REASONS[status]
    return Failure(reason, text.format(thing=thing))


def instrument_failure(book: StressBook, number: int) -> Failure | None:
    """Why an instrument of the book has no price; None where it has one."""
    status = int(book.tables.instruments.table["status"][number])
    if status == layout.OK:
        return None
    listed = book.market.listed[number]
    if status == layout.MISSING_IV and listed.kind == "outcome":
        return Failure(FailureReason.MISSING_IV, f"no implied volatility of {listed.id}: the mark of an outcome implies none")
    return failure_of(status, listed.settle if status == layout.MISSING_FX else listed.id)


def coin_failure(book: StressBook, coin: str) -> Failure | None:
    """Why a coin of the book has no USD index; None where it has one."""
    has_index = book.tables.coins.table["index"][book.market.coins[coin]] > 0
    return None if has_index else failure_of(layout.MISSING_INDEX, coin)


def portfolio_failures(book: StressBook, portfolio: int) -> list[Failure]:
    """What the coins and instruments lack that a portfolio (its row) has legs in."""
    found = []
    for unit in book.accounts.legs.listed_units(portfolio):
        found.append(coin_failure(book, book.market.coin_names[int(book.tables.units.table["coin"][unit])]))
        found += [instrument_failure(book, key[2]) for key, _ in book.accounts.legs.of_unit(unit)]
    return [failure for failure in dict.fromkeys(found) if failure is not None]


def account_failures(book: StressBook, portfolio: int) -> list[Failure]:
    """All that the accounts of a portfolio (its row) lack: themselves, instruments, entry prices, prices of balances and debts."""
    found = []
    accounts = book.accounts
    for name in accounts.members[portfolio]:
        if name not in accounts.states:
            found.append(Failure(FailureReason.MISSING_ACCOUNT, f"nothing is known yet of account {name}"))
            continue
        for instrument in sorted(accounts.states[name].unlisted):
            text = f"{name} has {instrument}, which is not listed: waiting for the venue's instruments"
            found.append(Failure(FailureReason.UNKNOWN_INSTRUMENT, text))
        found += [failure_of(layout.MISSING_ENTRY, thing) for thing in _without_entry(accounts.states[name])]
        row = accounts.states[name].told_row
        debts = {debt.asset for debt in row.debts if debt.amount}
        # a given equity needs no balance's price
        found += [failure_of(status, asset) for asset, status in accounts.unpriced(name) if row.equity is None or asset in debts]
    return found


def _without_entry(state: AccountState) -> list[str]:
    if state.told_row.equity is not None:
        return []
    held = [(row.instrument, row.side or "") for row in state.positions.values() if row.entry is None and row.instrument in state.entryless]
    return [f"position of {state.told_row.id} in {name} {side}".rstrip() for name, side in sorted(held)]
