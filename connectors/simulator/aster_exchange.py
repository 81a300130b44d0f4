"""The exchange behind the simulated Aster: executes fills, orders, funding and transfers, and writes the user events of each.

It knows no sockets: events go to `emit`, an account and the event's object at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from connectors.simulator.aster_accounts import Account, AccountPlan, Order, Position, Side, round_entry, round_money
from connectors.simulator.aster_listing import AsterListing, Symbol
from connectors.simulator.aster_prices import AsterPrices
from connectors.simulator.aster_wire import Json, account_update, config_update, order_update, quantity, short, touched

TAKER_FEE = 0.0004
MAKER_FEE = 0.0
USD1_TAKER_FEE = 0.00005
_STAMP_HOURS = (1, 2, 4, 8)


class Emit(Protocol):
    """Where user events go."""

    def __call__(self, account: Account, event: Json) -> None:
        """Send an event to the account's user stream."""


class Exchange:
    """Accounts, their orders and their events on one listing.

    `clock` is the venue's clock in ms. Stamps of account events strictly increase, so that no two share a millisecond.
    `hour_s` is how many seconds an hour of funding lasts.
    """

    def __init__(
        self,
        listing: AsterListing,
        prices: AsterPrices,
        plans: Sequence[AccountPlan],
        *,
        seed: int,
        emit: Emit,
        clock: Callable[[], int],
        hour_s: float,
    ) -> None:
        self.listing, self.prices, self.clock, self._emit = listing, prices, clock, emit
        self.accounts: dict[str, Account] = {}
        for plan in plans:
            if plan.alias in self.accounts:
                raise ValueError(f"two accounts are called {plan.alias!r}: give each its own alias")
            self.accounts[plan.alias] = Account(plan, listing, prices)
        self.on_forced: Callable[[Order, float, int], None] = lambda order, price, stamp: None
        self._rng = random.Random(f"aster exchange {seed}")
        self._number, self._trade_number = 8_886_774, 128_884_613
        self._last_stamp = 0
        self.hour_ms = hour_s * 1000.0
        self._next_funding = {hours: self._funding_after(hours) for hours in _STAMP_HOURS}

    def account(self, alias: str) -> Account:
        """The account of an alias. Raises KeyError naming it."""
        if alias not in self.accounts:
            raise KeyError(f"no simulated account is called {alias!r}: known are {', '.join(self.accounts)}")
        return self.accounts[alias]

    def stamp(self) -> int:
        """A fresh event time, ms."""
        self._last_stamp = max(self._last_stamp + 1, self.clock())
        return self._last_stamp

    def next_funding_ms(self, symbol: Symbol) -> int:
        """Next funding time of a symbol."""
        return self._next_funding[symbol.hours]

    def emit(self, account: Account, event: Json) -> None:
        """Send an event."""
        self._emit(account, event)

    def new_order(
        self, account: Account, symbol: Symbol, side: Side, signed: float, price: float, *, kind: str, tif: str, client_id: str = ""
    ) -> Order:
        """Accept an order (signed quantity) and tell it."""
        self._number += self._rng.randint(1, 40)
        stamp = self.stamp()
        name = client_id or f"sim_{self._rng.getrandbits(48):012x}"
        order = Order(self._number, name, symbol, side, signed > 0.0, kind, tif, price, abs(signed), stamp)
        self._emit(account, order_update(order, stamp, "NEW", "NEW"))
        return order

    def place(self, account: Account, symbol: str, side: Side, signed: float, price: float) -> Order:
        """Rest a limit order on the book (signed quantity)."""
        row = self.listing.symbols[symbol]
        order = self.new_order(account, row, side, signed, round(price, row.price_precision), kind="LIMIT", tif="GTC")
        account.orders[order.number] = order
        return order

    def cancel(self, account: Account, orders: Sequence[Order]) -> None:
        """Take orders off the book."""
        for order in orders:
            if account.orders.pop(order.number, None) is not None:
                self._emit(account, order_update(order, self.stamp(), "CANCELED", "CANCELED"))

    def trade(self, account: Account, symbol: str, signed: float, side: Side, price: float | None) -> None:
        """Execute a market order (signed quantity) at `price`, None: at the mark."""
        row = self.listing.symbols[symbol]
        check_side(account, account.position(symbol, side), signed)
        order = self.new_order(account, row, side, signed, 0.0, kind="MARKET", tif="GTC")
        self.fill(account, order, abs(signed), self.prices.mark(symbol) if price is None else price, maker=False)

    def fill(self, account: Account, order: Order, size: float, price: float, *, maker: bool, forced: str = "") -> None:
        """Execute `size` of an order at `price`.

        `forced` is the execution type of a liquidation: its loss stays in an isolated wallet and no commission is taken.
        """
        position, stamp = account.position(order.symbol.name, order.side), self.stamp()
        signed, asset = (size if order.buy else -size), order.symbol.margin_asset
        pnl = apply_fill(account, position, signed, price, forced=bool(forced))
        rate = 0.0 if forced else MAKER_FEE if maker else USD1_TAKER_FEE if asset == "USD1" else TAKER_FEE
        fee = round_money(size * price * rate)
        account.credit(asset, pnl - fee, stamp)
        position.updated_ms = stamp
        order.filled = round(order.filled + size, order.symbol.quantity_precision)
        order.quote += size * price
        done = order.filled >= order.quantity
        if done:
            account.orders.pop(order.number, None)
        self._trade_number += 1
        fields: Json = {"l": quantity(size, order.symbol), "L": short(price), "t": self._trade_number, "m": maker, "rp": short(pnl)}
        if fee:
            fields |= {"N": asset, "n": short(fee)}
        status = "FILLED" if done else "PARTIALLY_FILLED"
        self._emit(account, account_update(account, stamp, "ORDER", {asset: 0.0}, touched(account, position)))
        self._emit(account, order_update(order, stamp, forced or "TRADE", status, fields))
        if forced:
            self.on_forced(order, price, stamp)

    def move(self, account: Account, changes: Mapping[str, float], reason: str, positions: Sequence[Position] = ()) -> None:
        """Change balances for a reason other than a trade and tell it."""
        stamp = self.stamp()
        for asset, amount in changes.items():
            account.credit(asset, amount, stamp)
        for position in positions:
            position.updated_ms = stamp
        self._emit(account, account_update(account, stamp, reason, changes, positions))

    def configure(self, account: Account, change: Json) -> None:
        """Tell a change of leverage or modes."""
        self._emit(account, config_update(self.stamp(), change))

    def modes(self, account: Account) -> Json:
        """The "ai" part of a configuration event."""
        return {"ai": {"j": account.multi_assets, "f": False, "d": account.hedge}}

    def pay_due_funding(self) -> None:
        """Pay every funding time passed since the last call, at the current marks and rates."""
        for hours in _STAMP_HOURS:
            while self._next_funding[hours] <= self.clock():
                self._pay(hours)
                self._next_funding[hours] += round(hours * self.hour_ms)

    def _pay(self, hours: int) -> None:
        for account in self.accounts.values():
            for p in list(account.open_positions()):
                rate = self.prices.rows[p.symbol.name].rate
                paid = round_money(account.notional(p) * rate)
                if p.symbol.hours == hours and paid:
                    isolated = account.isolated(p)
                    if isolated:
                        p.isolated_wallet = round_money(p.isolated_wallet - paid)
                    self.move(account, {p.symbol.margin_asset: -paid}, "FUNDING_FEE", [p] if isolated else [])

    def _funding_after(self, hours: int) -> int:
        interval = round(hours * self.hour_ms)
        return (self.clock() // interval + 1) * interval


def check_side(account: Account, position: Position, signed: float) -> None:
    """Raises ValueError for a side the account's mode lacks, or a leg that would change its sign."""
    if position.side not in account.sides:
        names = " or ".join(account.sides)
        raise ValueError(f"account {account.plan.alias!r} trades side {names}, not {position.side}: name a side of its position mode")
    after = round(position.amount + signed, position.symbol.quantity_precision)
    if (position.side == "LONG" and after < 0.0) or (position.side == "SHORT" and after > 0.0):
        raise ValueError(f"account {account.plan.alias!r}: {position.side} {position.symbol.name} cannot pass through zero: trade less")


def apply_fill(account: Account, p: Position, signed: float, price: float, *, forced: bool) -> float:
    """Change a position by a fill and return its realised profit (before fees).

    Of an isolated position, a reduction frees its share of the isolated wallet; a forced one leaves its loss there.
    """
    start, after = p.amount, round(p.amount + signed, p.symbol.quantity_precision) + 0.0
    closing = min(abs(signed), abs(start)) if start * signed < 0.0 else 0.0
    side = 1.0 if start > 0.0 else -1.0
    pnl = round_money(closing * (price - p.entry) * side)
    isolated = account.isolated(p)
    if closing and isolated:
        left = abs(start) - closing
        p.isolated_wallet = p.isolated_wallet + pnl if forced else p.isolated_wallet * left / abs(start)
    opened = abs(signed) - closing
    if opened and closing:
        p.entry = round_entry(price)
    elif opened:
        p.entry = round_entry((abs(start) * p.entry + opened * price) / (abs(start) + opened))
    if isolated and opened:
        p.isolated_wallet += opened * price / account.leverage_of(p.symbol.name)
    if not after:
        p.entry, p.isolated_wallet = 0.0, 0.0
    p.isolated_wallet = round_money(p.isolated_wallet)
    p.amount, p.realized = after, round_money(p.realized + pnl)
    return pnl
