"""A book while it is being changed: rows of a snapshot, replaced one by one, and what is taken for granted on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from config.errors import did_you_mean, masked
from monitor.snapshot import AccountRow, BalanceRow, DebtRow, InstrumentRow, PoolRow
from monitor.what_if.changes import ChangeError
from monitor.what_if.known import Known
from monitor.what_if.prices import Prices

NOTHING = 1e-12
"""Relative size below which what is left of two equal amounts is nothing."""


@dataclass(slots=True)
class Draft:
    """The accounts, instruments and prices of a document being edited; `notes` are sentences, in their order, each once."""

    accounts: dict[str, AccountRow]
    instruments: dict[str, InstrumentRow]
    fx: dict[str, float]
    index: dict[str, float]
    prices: Prices
    known: Known
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, sentence: str) -> None:
        """Say what was taken for granted."""
        self.notes[sentence] = None

    def account(self, name: str, key: str) -> AccountRow:
        """An account by id. Raises ChangeError for the key that names it."""
        if name not in self.accounts:
            near = did_you_mean(name, self.accounts)
            raise ChangeError(key, f'no account of this portfolio has the id "{masked(name)}"{near}')
        return self.accounts[name]

    def put(self, account: AccountRow, earned_usd: float) -> None:
        """Replace an account whose equity changed by so much; one that is computed from the rest follows by itself."""
        if account.equity is not None:
            account = account.model_copy(update={"equity": account.equity + earned_usd})
        if account.reported:
            self.note(f"the figures that the venue reported of {account.id} are left out: they are of the account before the changes")
            account = account.model_copy(update={"reported": {}})
        self.accounts[account.id] = account


def is_nothing(left: float, *parts: float) -> bool:
    """Whether a difference of these numbers is rounding."""
    return abs(left) <= NOTHING * max((abs(part) for part in parts), default=0.0)


def with_pool(account: AccountRow, pool: PoolRow | None, name: str) -> AccountRow:
    """The account with its pool of this name replaced, added, or (None) taken away."""
    pools = [pool if row.id == name else row for row in account.pools]
    if pool is not None and name not in [row.id for row in account.pools]:
        pools.append(pool)
    return account.model_copy(update={"pools": tuple(row for row in pools if row is not None)})


def with_cash(account: AccountRow, asset: str, change: float) -> AccountRow:
    """The account with more or less of an asset's plain balance, which may be negative."""
    if change == 0:
        return account
    rows = list(account.balances)
    place = _place(rows, asset, counted=False)
    if place is None:
        rows.append(BalanceRow(asset=asset, total=change))
    else:
        rows[place] = rows[place].model_copy(update={"total": _sum(rows[place].total, change)})
    return account.model_copy(update={"balances": tuple(rows)})


def with_wallet(account: AccountRow, asset: str, change: float, ratio: float) -> AccountRow:
    """The account with more or less in a wallet that counts with `ratio` and is a debt where it is below 0."""
    rows = list(account.balances)
    place = _place(rows, asset, counted=True)
    owed = [row for row in account.debts if row.asset == asset]
    held = 0.0 if place is None else rows[place].total
    total = _sum(_sum(held, -sum(row.amount for row in owed)), change)
    if place is not None:
        rows[place] = rows[place].model_copy(update={"total": max(total, 0.0)})
    elif total > 0:
        rows.append(BalanceRow(asset=asset, total=total, collateral_ratio=min(ratio, 1.0)))
    debts = [row for row in account.debts if row.asset != asset]
    if total < 0:
        debts.append((owed[0] if owed else DebtRow(asset=asset, amount=0.0)).model_copy(update={"amount": -total}))
    return account.model_copy(update={"balances": tuple(rows), "debts": tuple(debts)})


def held_of(account: AccountRow, asset: str) -> float:
    """What an account holds of an asset by its balances, less what it owes."""
    owed = sum(row.amount for row in account.debts if row.asset == asset)
    return sum(row.total for row in account.balances if row.asset == asset) - owed


def _place(rows: Sequence[BalanceRow], asset: str, *, counted: bool) -> int | None:
    # a pool's cash stands as a balance without a ratio beside the wallet of the same asset, which has one
    places = [place for place, row in enumerate(rows) if row.asset == asset]
    fitting = [place for place in places if (rows[place].collateral_ratio is not None) == counted]
    return next(iter(fitting or places), None)


def _sum(before: float, change: float) -> float:
    total = before + change
    return 0.0 if is_nothing(total, before, change) else total
