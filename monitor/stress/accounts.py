"""Portfolios and their accounts: positions, orders, balances, debts and equity, written to the rows that kernels read.

An account may belong to several portfolios; each has legs of its own for it. Whatever changes in an account, its holdings are
derived anew from what was told, and the legs that differ are written: there is one way from an account to its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from kernels import layout
from monitor.snapshot import AccountRow, BalanceRow, DebtRow, OrderRow, PositionRow
from monitor.stress.legs import Holding, StressLegs
from monitor.stress.market import StressMarket
from monitor.stress.money import Money, MoneyRows, account_money

HoldingKey = tuple[int, str]
"""(instrument, side); side is empty outside hedge mode."""


@dataclass(slots=True)
class AccountState:
    """An account as last told.

    `money` is what its priced balances and debts count. A venue's equity of `told` USD is held against the prices of the next
    evaluation: `anchor` is the part of it that no price moves, None until then (0 where equity is computed).
    """

    row: AccountRow
    holdings: dict[HoldingKey, Holding] = field(default_factory=dict)
    money: dict[str, Money] = field(default_factory=dict)
    told: float | None = None
    anchor: float | None = None
    refused: int = layout.OK
    refused_margin: int = layout.OK


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
        self.unanchored: set[str] = set()
        self._money = MoneyRows(market, self.legs)
        self._waiting: set[str] = set()
        self._portfolios_of: dict[str, list[int]] = {}

    def add_portfolio(self, name: str, accounts: Sequence[str], cuts: Sequence[float]) -> int:
        """A portfolio over accounts (told before or later); `cuts` are the ascending ratios at which its band changes."""
        row = self.portfolios[name] = self.tables.portfolios.take()
        self.names[row] = name
        self.members[row] = tuple(accounts)
        self.tables.portfolios.table["cuts"][row] = cuts
        for account in accounts:
            self._portfolios_of.setdefault(account, []).append(row)
            state = self.states.get(account)
            if state is not None:
                self._write_legs(account, state.holdings, [row])
                self._money.write(row, account, state.row, {}, state.money)
        self._write_portfolio(row)
        return row

    def set_account(self, row: AccountRow) -> None:
        """Everything of an account, replacing what was told of it before."""
        state = self.states.setdefault(row.id, AccountState(row))
        self._take(state, row)
        self._tell_equity(state, row.equity)

    def set_position(self, account: str, position: PositionRow) -> None:
        """A position after an execution (quantity 0: closed). Trading at the mark leaves a venue's equity where it was."""
        row = self.states[account].row
        others = tuple(p for p in row.positions if (p.instrument, p.side) != (position.instrument, position.side))
        self._trade(account, row.model_copy(update={"positions": (*others, *((position,) if position.quantity else ()))}))

    def set_orders(self, account: str, instrument: str, orders: Sequence[OrderRow]) -> None:
        """All resting orders of an account in one instrument."""
        row = self.states[account].row
        others = tuple(order for order in row.orders if order.instrument != instrument)
        self._trade(account, row.model_copy(update={"orders": (*others, *orders)}))

    def set_money(self, account: str, balances: Sequence[BalanceRow], debts: Sequence[DebtRow], equity: float | None) -> None:
        """Balances, debts and the venue's equity in USD (None: ours is computed) of an account."""
        state = self.states[account]
        self._take(state, state.row.model_copy(update={"balances": tuple(balances), "debts": tuple(debts), "equity": equity}))
        self._tell_equity(state, equity)

    # -- from what was told to rows ------------------------------------------------------------------------------------

    def _take(self, state: AccountState, row: AccountRow) -> None:
        account, portfolios = row.id, self._portfolios_of.get(row.id, ())
        before, state.holdings = state.holdings, self._holdings(row, state.holdings)
        changed = {key: Holding() for key in before.keys() - state.holdings.keys()}
        changed |= {key: held for key, held in state.holdings.items() if before.get(key) != held}
        self._write_legs(account, changed, portfolios)
        money = {
            name: held for name, held in account_money(row, self.market.parameters, self.market.assets).items() if self.price(name) > 0
        }
        for portfolio in portfolios:
            self._money.write(portfolio, account, row, state.money, money)
        state.row, state.money = row, money
        state.refused, state.refused_margin = self._refusals(row)
        self._waiting.discard(account)
        if self.unlisted(row) or self.unpriced(account):
            self._waiting.add(account)
        for portfolio in portfolios:
            self._write_portfolio(portfolio)

    def _holdings(self, row: AccountRow, before: dict[HoldingKey, Holding]) -> dict[HoldingKey, Holding]:
        holdings: dict[HoldingKey, Holding] = {}
        is_hedged = row.hedge_mode
        for position in row.positions:
            number = self.market.instruments.get(position.instrument)
            if number is None or position.quantity == 0:
                continue
            key = (number, position.side or _side(is_hedged, position.quantity))
            known = before.get(key)
            entry = position.entry
            if entry is None and known is not None and known.quantity == position.quantity:
                entry = known.entry  # one that was put in for it
            holdings[key] = Holding(position.quantity, entry)
        for order in row.orders:
            number = self.market.instruments.get(order.instrument)
            if number is not None and not order.reduce_only and order.quantity != 0:
                holdings.setdefault((number, _side(is_hedged, order.quantity)), Holding()).orders.append(order)
        return holdings

    def _write_legs(self, account: str, holdings: dict[HoldingKey, Holding], portfolios: Iterable[int]) -> None:
        for portfolio in portfolios:
            for key, holding in holdings.items():
                coin = int(self.tables.instruments.table["coin"][key[0]])
                is_new = coin not in self.legs.units.get(portfolio, {})
                self.legs.write((portfolio, account, *key), holding)
                if is_new and not holding.is_empty:
                    self._money.write_spot(portfolio, self.market.coin_names[coin])

    def _refusals(self, row: AccountRow) -> tuple[int, int]:
        # (why there is no equity, why there is no margin)
        if self.unlisted(row):
            return layout.UNKNOWN_INSTRUMENT, layout.UNKNOWN_INSTRUMENT
        debts = [debt.asset for debt in row.debts if debt.amount and not self.price(debt.asset) > 0]
        if debts:
            return self._missing(debts[0]), self._missing(debts[0])
        if row.equity is not None:
            return layout.OK, layout.OK
        kinds = self.tables.instruments.table["kind"]
        for position in row.positions:
            number = self.market.instruments.get(position.instrument)
            if number is not None and position.quantity != 0 and position.entry is None and kinds[number] != layout.OPTION:
                return layout.MISSING_ENTRY, layout.OK
        balances = [balance.asset for balance in row.balances if balance.total and not self.price(balance.asset) > 0]
        return (self._missing(balances[0]) if balances else layout.OK), layout.OK

    def _missing(self, asset: str) -> int:
        return layout.MISSING_FX if asset in self.market.assets else layout.MISSING_INDEX

    def unlisted(self, row: AccountRow) -> list[str]:
        """Instruments in which an account has a position or order and that were never listed."""
        held = [position.instrument for position in row.positions if position.quantity != 0]
        held += [order.instrument for order in row.orders if not order.reduce_only and order.quantity != 0]
        return [name for name in dict.fromkeys(held) if name not in self.market.instruments and name not in self.market.ignored]

    def unpriced(self, account: str) -> list[tuple[str, int]]:
        """Assets in balances and debts of an account whose price is missing, each with its status."""
        row = self.states[account].row
        held = [balance.asset for balance in row.balances if balance.total] + [debt.asset for debt in row.debts if debt.amount]
        return [(asset, self._missing(asset)) for asset in dict.fromkeys(held) if not self.price(asset) > 0]

    def _write_portfolio(self, portfolio: int) -> None:
        record = self.tables.portfolios.table[portfolio]
        told = [self.states[name] for name in self.members[portfolio] if name in self.states]
        absent = layout.OK if len(told) == len(self.members[portfolio]) else layout.MISSING_ACCOUNT
        record["refused"] = absent or max((state.refused for state in told), default=layout.OK)
        record["refused_margin"] = absent or max((state.refused_margin for state in told), default=layout.OK)
        record["anchor"] = math.fsum(state.anchor or 0.0 for state in told)
        self.legs.push_portfolio(portfolio)

    # -- equity --------------------------------------------------------------------------------------------------------

    def price(self, asset: str) -> float:
        """USD of a balance's asset, NaN while unknown."""
        market = self.market
        if asset in market.assets:
            return float(self.tables.fx[market.assets[asset]])
        return float(self.tables.coins.table["index"][market.coins[asset]]) if asset in market.coins else math.nan

    def _worth(self, number: int, held: Holding) -> float:
        # what prices move, in USD at the last evaluation; NaN while one is missing
        record = self.tables.instruments.table[number]
        if held.quantity == 0:
            return 0.0
        if record["status"] != layout.OK:
            return math.nan
        fx = float(self.tables.fx[record["fx"]])
        if record["kind"] == layout.OPTION:
            return held.quantity * float(record["base"]) * fx
        if record["kind"] == layout.INVERSE:
            index = float(self.tables.coins.table["index"][record["coin"]])
            return held.quantity * (1.0 / held.entry - 1.0 / float(record["mark"])) * index if held.entry else math.nan
        return held.quantity * (float(record["mark"]) - (held.entry or 0.0)) * fx

    def movable(self, account: str) -> float:
        """The part of an account's equity in USD that prices move, at the last evaluation; NaN while a price is missing."""
        state = self.states[account]
        legs = math.fsum(self._worth(number, held) for (number, _), held in state.holdings.items())
        return legs + math.fsum(held.amount * self.price(asset) for asset, held in state.money.items() if held.amount)

    def equity(self, account: str) -> float:
        """An account's equity in USD at the last evaluation; NaN while a price is missing."""
        anchor = self.states[account].anchor
        return math.nan if anchor is None else anchor + self.movable(account)

    def _trade(self, account: str, row: AccountRow) -> None:
        # takes what was told and keeps the venue's equity, which a trade at the mark does not change
        state = self.states[account]
        before, held, counted = self.equity(account), state.holdings, state.money
        self._take(state, row)
        if state.row.equity is None or state.anchor is None:
            return
        changed = [key for key in {**held, **state.holdings} if held.get(key) != state.holdings.get(key)]
        moved = math.fsum(
            self._worth(key[0], held.get(key, Holding())) - self._worth(key[0], state.holdings.get(key, Holding())) for key in changed
        )
        new = math.fsum(money.amount * self.price(asset) for asset, money in state.money.items() if asset not in counted)
        if math.isfinite(moved):
            self._set_anchor(account, state.anchor + moved - new)
        else:
            self._tell_equity(state, before if math.isfinite(before) else state.told)

    def _tell_equity(self, state: AccountState, equity: float | None) -> None:
        state.told = equity
        if equity is None:
            self._set_anchor(state.row.id, 0.0)
        else:
            state.anchor = None
            self.unanchored.add(state.row.id)

    def anchor(self) -> None:
        """Anchor the accounts whose venue told an equity, now that their instruments are priced."""
        for account in list(self.unanchored):
            self._enter_inverse(account)
            told, movable = self.states[account].told, self.movable(account)
            if told is not None and math.isfinite(movable):
                self._set_anchor(account, told - movable)

    def _enter_inverse(self, account: str) -> None:
        # an inverse contract's P&L moves with its entry too: one without is as if entered at the mark of now
        state = self.states[account]
        for key, held in state.holdings.items():
            record = self.tables.instruments.table[key[0]]
            if held.quantity != 0 and held.entry is None and record["kind"] == layout.INVERSE and record["mark"] > 0:
                state.holdings[key] = replace(held, entry=float(record["mark"]))
                self._write_legs(account, {key: state.holdings[key]}, self._portfolios_of.get(account, ()))

    def _set_anchor(self, account: str, anchor: float) -> None:
        self.states[account].anchor = anchor
        self.unanchored.discard(account)
        for portfolio in self._portfolios_of.get(account, ()):
            self._write_portfolio(portfolio)

    def restore(self, account: str, state: AccountState) -> None:
        """Take over anchor, entries and counted balances from another book's state of the same account."""
        own = self.states[account]
        own.holdings = {key: replace(held) for key, held in state.holdings.items()}
        self._write_legs(account, own.holdings, self._portfolios_of.get(account, ()))
        for portfolio in self._portfolios_of.get(account, ()):
            self._money.write(portfolio, account, own.row, own.money, state.money)
        own.money, own.told = dict(state.money), state.told
        own.refused, own.refused_margin = state.refused, state.refused_margin
        if state.anchor is not None:
            self._set_anchor(account, state.anchor)

    def follow_asset(self, asset: str) -> None:
        """Total anew the portfolios that hold a stablecoin whose price changed."""
        self._money.follow(asset)

    def flush(self) -> None:
        """Take accounts whose instruments were listed or assets priced meanwhile, and write the chains, ready for the kernels."""
        for account in list(self._waiting):
            state = self.states[account]
            counted = {*state.money, *(asset for asset, _ in self.unpriced(account))}
            assets = {balance.asset for balance in state.row.balances} | {debt.asset for debt in state.row.debts}
            if assets - counted or (state.refused == layout.UNKNOWN_INSTRUMENT and not self.unlisted(state.row)):
                self._trade(account, state.row)
        self.legs.flush(self._money.rows_of, self._money.rows_of_coin)


def _side(is_hedged: bool, quantity: float) -> str:
    if not is_hedged:
        return ""
    return "long" if quantity >= 0 else "short"
