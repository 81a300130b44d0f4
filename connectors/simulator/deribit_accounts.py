"""Accounts of the simulated Deribit: the plan, wallets by currency, positions, trades and what an expiry delivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.simulator.deribit_black import payoff
from connectors.simulator.deribit_listing import Contract, DeribitListing
from connectors.simulator.deribit_prices import DeribitPrices

MarginModel = Literal["segregated_sm", "segregated_pm", "cross_sm", "cross_pm"]
CURRENCIES: tuple[str, ...] = ("BTC", "ETH", "USDC", "USDT", "BNB")
"""The wallets every account has; a plan may fill the first four."""

_EMPTY = 1e-9


@dataclass(frozen=True, slots=True)
class PositionPlan:
    """A position an account starts with: of a named instrument, or of the option nearest to (family, life in s, strike, call).

    `size` is signed: coins for options and linear futures, USD for inverse futures. `entry` None is the mark at the start.
    """

    size: float
    name: str = ""
    option: tuple[str, float, float, bool] | None = None
    entry: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount` of `currency` into the account (negative: out) at a progress of the scenario."""

    at: float
    currency: str
    amount: float


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """What an account starts with. `scopes` are those of its API key, `wallet` balances by currency after its trades so far."""

    alias: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    margin_model: MarginModel = "cross_sm"
    wallet: Mapping[str, float] = field(default_factory=dict)
    positions: Sequence[PositionPlan] = ()
    transfers: Sequence[Transfer] = ()
    scopes: tuple[str, ...] = ("account:read", "trade:read", "wallet:read", "block_trade:read")


@dataclass(slots=True)
class Position:
    """A position; `size` as in the plan, `entry` a price in the contract's quote (coin for inverse options)."""

    contract: Contract
    size: float
    entry: float
    realized: float = 0.0
    last_mark: float = 0.0


@dataclass(slots=True)
class Order:
    """A resting order; `amount` is signed like a position's size."""

    number: str
    contract: Contract
    amount: float
    price: float
    created_ms: int
    state: str = "open"
    filled: float = 0.0


class Account:
    """One account now. Money moves only by `trade`, `deliver` and `move`."""

    def __init__(self, plan: AccountPlan, listing: DeribitListing, prices: DeribitPrices, start_ms: int) -> None:
        unknown = set(plan.wallet) - set(CURRENCIES[:-1])
        if unknown:
            raise ValueError(f"{plan.alias}: no wallet in {', '.join(sorted(unknown))}: use {', '.join(CURRENCIES[:-1])}")
        self.plan, self.prices = plan, prices
        self.wallet: dict[str, float] = {currency: plan.wallet.get(currency, 0.0) for currency in CURRENCIES}
        self.positions: dict[str, Position] = {}
        self.orders: dict[str, Order] = {}
        for planned in plan.positions:
            contract = _planned(planned, listing, start_ms)
            entry = prices.mark(contract) if planned.entry is None else planned.entry
            self.positions[contract.name] = Position(contract, planned.size, entry)

    @property
    def cross(self) -> bool:
        """Whether all wallets are one collateral."""
        return self.plan.margin_model.startswith("cross")

    @property
    def portfolio_margin(self) -> bool:
        """Whether scenarios, not a rule for each position, make the margin."""
        return self.plan.margin_model.endswith("pm")

    def held(self, currency: str) -> list[Position]:
        """Positions that settle in a currency."""
        return [p for p in self.positions.values() if p.contract.family.settle == currency]

    def profit(self, position: Position, mark: float | None = None) -> float:
        """Unrealised profit in the settlement currency, at the mark or another price."""
        at = self.prices.mark(position.contract) if mark is None else mark
        if position.contract.is_option or not position.contract.family.inverse:
            return position.size * (at - position.entry)
        return position.size * (1.0 / position.entry - 1.0 / at)

    def trade(self, contract: Contract, amount: float, price: float) -> float:
        """Buy (or sell) a signed amount at a price; the profit it realised. Premiums are paid and received at once."""
        currency = contract.family.settle
        position = self.positions.get(contract.name) or Position(contract, 0.0, price)
        closing = 0.0 if position.size * amount >= 0.0 else min(abs(amount), abs(position.size))
        share = closing / abs(position.size) if position.size else 0.0
        realized = share * self.profit(position, price)
        opening = abs(amount) - closing
        self.wallet[currency] += -amount * price if contract.is_option else realized
        position.realized += realized
        position.size = round(position.size + amount, 8)
        if opening and abs(position.size) > opening:
            position.entry = self._average(position, opening, price)
        elif opening:
            position.entry = price
        self._keep(position)
        return realized

    def deliver(self, contract: Contract, settlement: float) -> Position | None:
        """Settle a position that expires at a price; the position as it was, None without any."""
        position = self.positions.pop(contract.name, None)
        if position is None:
            return None
        paid = payoff(settlement, contract.strike, call=contract.call, inverse=contract.family.inverse)
        amount = position.size * paid if contract.is_option else self.profit(position, settlement)
        self.wallet[contract.family.settle] += amount
        return position

    def move(self, currency: str, amount: float) -> None:
        """Deposit, or withdraw if negative. Raises ValueError for a currency without a wallet."""
        if currency not in CURRENCIES[:-1]:
            raise ValueError(f"no wallet in {currency}: use {', '.join(CURRENCIES[:-1])}")
        self.wallet[currency] += amount

    def _average(self, position: Position, opening: float, price: float) -> float:
        total, before = abs(position.size), abs(position.size) - opening
        if position.contract.is_option or not position.contract.family.inverse:
            return (before * position.entry + opening * price) / total
        return total / (before / position.entry + opening / price)

    def _keep(self, position: Position) -> None:
        if abs(position.size) < _EMPTY:
            self.positions.pop(position.contract.name, None)
        else:
            self.positions[position.contract.name] = position


def _planned(planned: PositionPlan, listing: DeribitListing, start_ms: int) -> Contract:
    if planned.option is None:
        if planned.name not in listing.contracts:
            raise ValueError(f"no instrument {planned.name!r} is listed: name one of them, or give `option`")
        return listing.contracts[planned.name]
    family, life_s, strike, call = planned.option
    return listing.nearest(family, start_ms + round(life_s * 1000.0), strike, call=call)
