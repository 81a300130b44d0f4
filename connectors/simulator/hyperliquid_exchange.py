"""The exchange behind the simulated venue: executes fills, orders, funding and transfers and keeps each account's history.

It knows no sockets: what happened is told to a `Sink`, which turns it into frames.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connectors.simulator.hyperliquid_accounts import Account, AccountPlan, RestingOrder, TransferKind
from connectors.simulator.hyperliquid_ledger import apply_fill, apply_funding, apply_spot_fill, apply_transfer
from connectors.simulator.hyperliquid_wire import Json, num, order_update
from connectors.simulator.market import Market, round_price

ZERO_HASH = "0x" + "0" * 64


class Sink(Protocol):
    """Where the exchange tells what happened to an account; rows are the venue's JSON objects."""

    def on_fill(self, account: Account, row: Json) -> None:
        """A fill."""

    def on_orders(self, account: Account, rows: list[Json]) -> None:
        """Order updates."""

    def on_funding(self, account: Account, rows: list[Json]) -> None:
        """Funding payments of one funding time."""

    def on_ledger(self, account: Account, row: Json) -> None:
        """A ledger update other than funding."""

    def on_event(self, account: Account, event: Json) -> None:
        """A user event that is neither fill nor funding: liquidation, nonUserCancel."""

    def on_state_changed(self, account: Account) -> None:
        """The venue pushes this account's state now (a liquidation)."""


@dataclass(slots=True)
class History:
    """What the log-like feeds replay: fills newest first, the rest oldest first."""

    fills: deque[Json] = field(default_factory=lambda: deque(maxlen=2000))
    fundings: deque[Json] = field(default_factory=lambda: deque(maxlen=500))
    ledger: deque[Json] = field(default_factory=lambda: deque(maxlen=500))


@dataclass(frozen=True, slots=True)
class Fees:
    """Fee rates; a negative one is a rebate."""

    maker: float = -0.00003
    taker: float = 0.00045


class Exchange:
    """Accounts, their orders and their history on one market."""

    def __init__(
        self, market: Market, plans: Sequence[AccountPlan], *, seed: int, sink: Sink, fees: Fees, funding_interval_s: float
    ) -> None:
        self.market, self.sink, self.fees = market, sink, fees
        self.accounts: dict[str, Account] = {}
        for plan in plans:
            account = Account(plan, market)
            if account.address in self.accounts:
                raise ValueError(f"account {plan.name!r} has the address of another: give each its own")
            self.accounts[account.address] = account
        self.history: dict[str, History] = {address: History() for address in self.accounts}
        self._strangers: dict[str, Account] = {}
        self._rng = random.Random(f"exchange {seed}")
        self._oid = 551_000_000_000
        self._funding_interval_ms = round(funding_interval_s * 1000.0)
        self._next_funding_ms = (market.now_ms // self._funding_interval_ms + 1) * self._funding_interval_ms

    def account(self, address: str) -> Account:
        """The account at an address; an unknown address is an empty account, as on the venue."""
        address = address.lower()
        if address in self.accounts:
            return self.accounts[address]
        if address not in self._strangers:
            self._strangers[address] = Account(AccountPlan(address, "stranger", role="missing"), self.market)
            self.history[address] = History()
        return self._strangers[address]

    def trade(
        self,
        account: Account,
        coin: str,
        size: float,
        *,
        price: float | None = None,
        order: RestingOrder | None = None,
        liquidation: str | None = None,
    ) -> Json:
        """Execute `size` (signed) of a perpetual: against `order` as maker, else as taker at `price` (None: the mark)."""
        asset = self.market.listing.assets[coin]
        if price is None:
            price = order.price if order else self.market.mark(coin)
        price = round_price(price, asset.sz_decimals)
        fee = round(abs(size) * price * (self.fees.maker if order else self.fees.taker), 6)
        effect = apply_fill(account, coin, size, price, fee, liquidated=liquidation is not None)
        fee_token = self.market.listing.tokens[account.collateral(asset.dex)].name
        row = self._fill_row(coin, size, price, order, fee, fee_token)
        row |= {"startPosition": num(effect.start), "dir": effect.direction, "closedPnl": num(effect.closed_pnl)}
        if liquidation is not None:
            row["liquidation"] = {"liquidatedUser": account.address, "markPx": num(self.market.mark(coin)), "method": liquidation}
        self._record_fill(account, row, order, abs(size))
        return row

    def trade_spot(self, account: Account, pair_name: str, size: float, *, price: float | None = None) -> Json:
        """Execute `size` (signed, of the base) on a spot pair as taker at `price` (None: the pair's price)."""
        pair = self.market.listing.pairs[pair_name]
        price = self.market.spots[pair_name] if price is None else price
        start = account.wallet.get(pair.base, 0.0)
        buying = size > 0.0
        fee = round(abs(size) * self.fees.taker * (1.0 if buying else price), 8)
        pnl = apply_spot_fill(account, pair, size, price, fee)
        row = self._fill_row(pair_name, size, price, None, fee, self.market.listing.tokens[pair.base].name if buying else "USDC")
        row |= {"startPosition": num(start), "dir": "Buy" if buying else "Sell", "closedPnl": num(pnl)}
        self._record_fill(account, row, None, abs(size))
        return row

    def place(self, account: Account, coin: str, *, buy: bool, price: float, size: float) -> RestingOrder:
        """Rest a limit order on the book."""
        self._oid += self._rng.randint(1, 40)
        order = RestingOrder(self._oid, coin, buy, price, size, size, self.market.now_ms, f"0x{self._rng.getrandbits(64):032x}")
        account.orders[order.oid] = order
        self.sink.on_orders(account, [order_update(order, "open", self.market.now_ms)])
        return order

    def cancel(self, account: Account, orders: Sequence[RestingOrder], status: str = "canceled") -> None:
        """Take orders off the book; one not canceled by the user is announced as such."""
        for order in orders:
            account.orders.pop(order.oid, None)
        if orders:
            self.sink.on_orders(account, [order_update(order, status, self.market.now_ms) for order in orders])
            if status != "canceled":
                self.sink.on_event(account, {"nonUserCancel": [{"coin": order.coin, "oid": order.oid} for order in orders]})

    def transfer(self, account: Account, kind: TransferKind, amount: float, dex: str = "") -> None:
        """Move money across an account's border or between its ledgers."""
        self.record_ledger(account, apply_transfer(account, kind, amount, dex))

    def record_ledger(self, account: Account, delta: Json) -> None:
        """Write a row of the non-funding ledger and tell it."""
        row = {"time": self.market.now_ms, "hash": self._hash(), "delta": delta}
        self.history[account.address].ledger.append(row)
        self.sink.on_ledger(account, row)

    def pay_due_funding(self) -> None:
        """Pay every funding time passed since the last call, at the current rates and oracles."""
        while self._next_funding_ms <= self.market.now_ms:
            stamp = min(self._next_funding_ms + self._rng.randint(5, 80), self.market.now_ms)
            for account in self.accounts.values():
                rows = [self._funding_row(account, coin, stamp) for coin in list(account.positions)]
                if rows:
                    self.history[account.address].fundings.extend(rows)
                    self.sink.on_funding(account, rows)
            self._next_funding_ms += self._funding_interval_ms

    def next_liquidation_id(self) -> int:
        """A fresh `lid`."""
        return self._rng.getrandbits(40)

    def _funding_row(self, account: Account, coin: str, stamp: int) -> Json:
        position, rate = account.positions[coin], self.market.quotes[coin].funding
        received = apply_funding(account, position, rate)
        return {"time": stamp, "coin": coin, "usdc": num(received), "szi": num(position.size), "fundingRate": num(rate), "nSamples": None}

    def _fill_row(self, coin: str, size: float, price: float, order: RestingOrder | None, fee: float, fee_token: str) -> Json:
        if order is None:
            self._oid += self._rng.randint(1, 40)
        row: Json = {
            "coin": coin,
            "px": num(price),
            "sz": num(abs(size)),
            "side": "B" if size > 0.0 else "A",
            "time": self.market.now_ms,
            "startPosition": "0.0",
            "dir": "",
            "closedPnl": "0.0",
            "hash": self._hash(),
            "oid": order.oid if order else self._oid,
            "crossed": order is None,
            "fee": num(fee),
            "tid": self._rng.getrandbits(49),
            "feeToken": fee_token,
            "twapId": None,
        }
        return row | ({"cloid": order.cloid} if order else {})

    def _record_fill(self, account: Account, row: Json, order: RestingOrder | None, quantity: float) -> None:
        self.history[account.address].fills.appendleft(row)
        self.sink.on_fill(account, row)
        if order is not None:
            decimals = self.market.listing.assets[order.coin].sz_decimals
            order.remaining = round(order.remaining - quantity, decimals)
            if order.remaining <= 0.0:
                account.orders.pop(order.oid, None)
            self.sink.on_orders(account, [order_update(order, "open" if order.remaining > 0.0 else "filled", self.market.now_ms)])

    def _hash(self) -> str:
        return f"0x{self._rng.getrandbits(256):064x}"
