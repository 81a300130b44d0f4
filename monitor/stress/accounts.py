"""Portfolios and their accounts: positions, orders, balances, debts and equity, written to the rows that kernels read.

An account may belong to several portfolios; each has legs of its own for it. Whatever changes, the holdings in the instruments
it touches are derived anew from what was told, and the legs that differ are written: there is one way from an account to its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from kernels import layout
from kernels.layout import Floats, Ints
from monitor.snapshot import AccountRow, BalanceRow, DebtRow, OrderRow, PositionRow
from monitor.stress.holdings import AccountState, HoldingKey
from monitor.stress.legs import Holding, StressLegs
from monitor.stress.market import StressMarket
from monitor.stress.money import MoneyRows, account_money


class StressAccounts:
    """The portfolios of a stress book."""

    def __init__(self, market: StressMarket) -> None:
        self.market = market
        self.tables = market.tables
        self.legs = StressLegs(market)
        self.states: dict[str, AccountState] = {}
        self.portfolios: dict[str, int] = {}
        self.names: dict[int, str] = {}
        self.members: dict[int, tuple[str, ...]] = {}
        self.unanchored: dict[str, None] = {}
        self._money = MoneyRows(market, self.legs)
        self._waiting: dict[str, None] = {}
        self._places: dict[str, list[tuple[int, int]]] = {}
        self._anchors: dict[int, Floats] = {}
        self._refusals: dict[int, Ints] = {}

    def add_portfolio(self, name: str, accounts: Sequence[str], cuts: Sequence[float]) -> int:
        """A portfolio over accounts (told before or later); `cuts` are the ascending ratios at which its band changes."""
        row = self.portfolios[name] = self.tables.portfolios.take()
        self.names[row] = name
        self.members[row] = tuple(dict.fromkeys(accounts))
        self.tables.portfolios.table["cuts"][row] = cuts
        self._anchors[row] = np.zeros(len(self.members[row]))
        self._refusals[row] = np.full((2, len(self.members[row])), layout.MISSING_ACCOUNT, np.int32)
        for place, account in enumerate(self.members[row]):
            self._places.setdefault(account, []).append((row, place))
            state = self.states.get(account)
            if state is not None:
                self._write_legs(account, state.holdings, [row])
                self._money.write(row, account, state.told_row, {}, state.money)
                self._write_state(account)
        self._write_portfolio(row)
        return row

    def set_account(self, row: AccountRow) -> None:
        """Everything of an account, replacing what was told of it before."""
        state = self.states.setdefault(row.id, AccountState(row))
        self._derive(row.id, state.replace(row))
        self._count_money(row.id)
        self._tell_equity(row.id, row.equity)

    def set_position(self, account: str, position: PositionRow) -> None:
        """A position after an execution (quantity 0: closed). Trading at the mark leaves a venue's equity where it was."""
        self._trade(account, self.states[account].put(position))

    def set_orders(self, account: str, instrument: str, orders: Sequence[OrderRow]) -> None:
        """All resting orders of an account in one instrument."""
        state = self.states[account]
        state.orders.pop(instrument, None)
        if orders:
            state.orders[instrument] = tuple(orders)
        self._trade(account, [instrument])

    def set_money(self, account: str, balances: Sequence[BalanceRow], debts: Sequence[DebtRow], equity: float | None) -> None:
        """Balances, debts and the venue's equity in USD (None: ours is computed) of an account."""
        state = self.states[account]
        changes = {"balances": tuple(balances), "debts": tuple(debts), "equity": equity}
        state.told_row = state.told_row.model_copy(update=changes)
        self._count_money(account)
        self._tell_equity(account, equity)

    # -- from what was told to rows ------------------------------------------------------------------------------------

    def _derive(self, account: str, names: Iterable[str]) -> dict[HoldingKey, Holding | None]:
        # returns what the changed holdings were before
        state, before, changed = self.states[account], {}, {}
        for key, old, new in state.derive(names, self.market):
            before[key], changed[key] = old, new
        self._write_legs(account, changed, self._portfolios_of(account))
        return before

    def _count_money(self, account: str) -> None:
        state = self.states[account]
        counts = account_money(state.told_row, self.market.parameters, self.market.assets)
        money = {asset: held for asset, held in counts.items() if self.price(asset) > 0}
        for portfolio in self._portfolios_of(account):
            self._money.write(portfolio, account, state.told_row, state.money, money)
        state.money = money
        self._write_state(account)

    def _write_legs(self, account: str, holdings: Mapping[HoldingKey, Holding], portfolios: Iterable[int]) -> None:
        for portfolio in portfolios:
            for key, holding in holdings.items():
                coin = int(self.tables.instruments.table["coin"][key[0]])
                is_new = coin not in self.legs.units.get(portfolio, {})
                self.legs.write((portfolio, account, *key), holding)
                if is_new and not holding.is_empty:
                    self._money.write_spot(portfolio, self.market.coin_names[coin])

    def _portfolios_of(self, account: str) -> list[int]:
        return [portfolio for portfolio, _ in self._places.get(account, ())]

    def _write_state(self, account: str) -> None:
        # what the account adds to the equity of its portfolios, and what it denies them
        state = self.states[account]
        unpriced = self.unpriced(account)
        state.refused, state.refused_margin = self._refusal(state, unpriced)
        if state.unlisted or unpriced:
            self._waiting[account] = None
        else:
            self._waiting.pop(account, None)
        for portfolio, place in self._places.get(account, ()):
            self._anchors[portfolio][place] = state.anchor or 0.0
            self._refusals[portfolio][:, place] = state.refused, state.refused_margin
            self._write_portfolio(portfolio)

    def _write_portfolio(self, portfolio: int) -> None:
        record = self.tables.portfolios.table[portfolio]
        record["anchor"] = self._anchors[portfolio].sum()
        record["refused"], record["refused_margin"] = self._refusals[portfolio].max(axis=1, initial=layout.OK)
        self.legs.push_portfolio(portfolio)

    @staticmethod
    def _refusal(state: AccountState, unpriced: Sequence[tuple[str, int]]) -> tuple[int, int]:
        # (why there is no equity, why there is no margin)
        if state.unlisted:
            return layout.UNKNOWN_INSTRUMENT, layout.UNKNOWN_INSTRUMENT
        owed = {debt.asset for debt in state.told_row.debts if debt.amount}
        for asset, status in unpriced:
            if asset in owed:
                return status, status
        if state.told_row.equity is not None:
            return layout.OK, layout.OK
        if state.entryless:
            return layout.MISSING_ENTRY, layout.OK
        return (unpriced[0][1] if unpriced else layout.OK), layout.OK

    def unpriced(self, account: str) -> list[tuple[str, int]]:
        """Assets in balances and debts of an account whose price is missing, each with its status."""
        row = self.states[account].told_row
        held = [balance.asset for balance in row.balances if balance.total] + [debt.asset for debt in row.debts if debt.amount]
        missing = [asset for asset in dict.fromkeys(held) if not self.price(asset) > 0]
        return [(asset, layout.MISSING_FX if asset in self.market.assets else layout.MISSING_INDEX) for asset in missing]

    # -- equity --------------------------------------------------------------------------------------------------------

    def price(self, asset: str) -> float:
        """USD of a balance's asset, NaN while unknown."""
        market = self.market
        if asset in market.assets:
            return float(self.tables.fx[market.assets[asset]])
        return float(self.tables.coins.table["index"][market.coins[asset]]) if asset in market.coins else math.nan

    def _worth(self, key: HoldingKey, held: Holding | None) -> float:
        # what prices move, in USD at the last evaluation; NaN while one is missing
        if held is None or held.quantity == 0:
            return 0.0
        record = self.tables.instruments.table[key[0]]
        if record["status"] != layout.OK:
            return math.nan
        fx = float(self.tables.fx[record["fx"]])
        if record["kind"] >= layout.OPTION:
            return held.quantity * float(record["base"]) * fx
        if record["kind"] == layout.INVERSE:
            index = float(self.tables.coins.table["index"][record["coin"]])
            return held.quantity * (1.0 / held.entry - 1.0 / float(record["mark"])) * index if held.entry else math.nan
        return held.quantity * (float(record["mark"]) - (held.entry or 0.0)) * fx

    def _movable(self, account: str, holdings: Mapping[HoldingKey, Holding | None]) -> float:
        money = self.states[account].money
        legs = math.fsum(self._worth(key, held) for key, held in holdings.items())
        return legs + math.fsum(held.amount * self.price(asset) for asset, held in money.items() if held.amount)

    def movable(self, account: str) -> float:
        """The part of an account's equity in USD that prices move, at the last evaluation; NaN while a price is missing."""
        return self._movable(account, self.states[account].holdings)

    def equity(self, account: str) -> float:
        """An account's equity in USD at the last evaluation; NaN while a price is missing."""
        anchor = self.states[account].anchor
        return math.nan if anchor is None else anchor + self.movable(account)

    def _trade(self, account: str, names: Iterable[str]) -> None:
        # positions and orders change, and the venue's equity does not: a trade at the mark moves none
        state = self.states[account]
        before = self._derive(account, names)
        if state.told_row.equity is not None and state.anchor is not None:
            moved = math.fsum(self._worth(key, old) - self._worth(key, state.holdings.get(key)) for key, old in before.items())
            if math.isfinite(moved):
                state.anchor += moved
            else:
                equity = state.anchor + self._movable(account, {**state.holdings, **before})
                self._tell_equity(account, equity if math.isfinite(equity) else state.told)
        self._write_state(account)

    def _tell_equity(self, account: str, equity: float | None) -> None:
        state = self.states[account]
        state.told, state.anchor = equity, 0.0 if equity is None else None
        if equity is None:
            self.unanchored.pop(account, None)
        else:
            self.unanchored[account] = None
        self._write_state(account)

    def anchor(self) -> None:
        """Anchor the accounts whose venue told an equity, now that their instruments are priced."""
        for account in list(self.unanchored):
            self._enter_inverse(account)
            state, movable = self.states[account], self.movable(account)
            if state.told is not None and math.isfinite(movable):
                state.anchor = state.told - movable
                self.unanchored.pop(account, None)
                self._write_state(account)

    def _enter_inverse(self, account: str) -> None:
        # an inverse contract's P&L moves with its entry too: one without is as if entered at the mark of now
        state = self.states[account]
        for key, held in state.holdings.items():
            record = self.tables.instruments.table[key[0]]
            if held.quantity != 0 and held.entry is None and record["kind"] == layout.INVERSE and record["mark"] > 0:
                state.holdings[key] = replace(held, entry=float(record["mark"]))
                self._write_legs(account, {key: state.holdings[key]}, self._portfolios_of(account))

    def restore(self, account: str, source: AccountState) -> None:
        """Take over anchor, entries and counted balances from another book's state of the same account."""
        own = self.states[account]
        own.holdings = {key: replace(held) for key, held in source.holdings.items()}
        self._write_legs(account, own.holdings, self._portfolios_of(account))
        for portfolio in self._portfolios_of(account):
            self._money.write(portfolio, account, own.told_row, own.money, source.money)
        own.money, own.told, own.anchor = dict(source.money), source.told, source.anchor
        if source.anchor is not None:
            self.unanchored.pop(account, None)
        self._write_state(account)

    def follow_asset(self, asset: str) -> None:
        """Total anew the portfolios that hold a stablecoin whose price changed."""
        self._money.follow(asset)

    def flush(self) -> None:
        """Take accounts whose instruments were listed or assets priced meanwhile, and write the chains, ready for the kernels."""
        for account in list(self._waiting):
            self._take_waiting(account)
        self.legs.flush(self._money.rows_of, self._money.rows_of_coin)

    def _take_waiting(self, account: str) -> None:
        state = self.states[account]
        listed = [name for name in state.unlisted if name in self.market.instruments or name in self.market.ignored]
        if listed:
            self._trade(account, listed)
        counted = dict(state.money)
        named = {balance.asset for balance in state.told_row.balances} | {debt.asset for debt in state.told_row.debts}
        if any(asset not in counted and self.price(asset) > 0 for asset in named):
            self._count_money(account)
            if state.told_row.equity is not None and state.anchor is not None:
                # it moves the equity from now on
                state.anchor -= sum(held.amount * self.price(asset) for asset, held in state.money.items() if asset not in counted)
                self._write_state(account)
