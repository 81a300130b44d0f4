"""Accounts of the simulated Aster: what they are planned to do, what they hold, and the venue's figures on it.

Every number kept here is the printed one: balances and isolated wallets have eight decimals, amounts the symbol's step, entry
prices the decimals of `round_entry`. So a reader of REST bodies and frames can arrive at the venue's figures to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.simulator.aster_listing import AsterListing, Symbol
from connectors.simulator.aster_margin import collateral_value, maintenance_margin
from connectors.simulator.aster_prices import AsterPrices

Side = Literal["BOTH", "LONG", "SHORT"]
DEFAULT_LEVERAGE = 10
FAR_MS = 1_900_000_000_000


@dataclass(frozen=True, slots=True)
class Agent:
    """An API wallet a user approved: its signer address, rights, expiry and comma-separated address whitelist ("": any)."""

    address: str = field(repr=False)
    name: str = "margin-monitor"
    can_read: bool = True
    can_spot_trade: bool = False
    can_perp_trade: bool = False
    can_withdraw: bool = False
    expired_ms: int = FAR_MS
    ip_whitelist: str = ""


@dataclass(frozen=True, slots=True)
class PositionPlan:
    """A position held from the start: signed amount, opened at `entry` (None: the first mark).

    `margin` is the isolated wallet (None: notional / leverage); it comes out of the asset's wallet balance.
    """

    symbol: str
    amount: float
    side: Side = "BOTH"
    leverage: int = DEFAULT_LEVERAGE
    isolated: bool = False
    entry: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class MakerPlan:
    """Quotes on one symbol: mean fills a second, notional of a fill, and how far (units) inventory may stray from its start."""

    symbol: str
    fills_per_second: float
    clip: float
    max_inventory: float
    side: Side = "BOTH"


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount of an asset moved into the perpetual wallet (negative: out) at progress `at` of the scenario."""

    at: float
    asset: str
    amount: float


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account as the simulation starts it. `wallet` is the balance by asset, isolated margins included.

    `agents` sign v3 requests; `api_key` and `api_secret` make a legacy HMAC key. `sub_account_of` is the master's alias.
    """

    alias: str
    user: str = field(repr=False)
    agents: Sequence[Agent] = field(default=(), repr=False)
    api_key: str = field(default="", repr=False)
    api_secret: str = field(default="", repr=False)
    wallet: Mapping[str, float] = field(default_factory=dict)
    multi_assets: bool = False
    hedge: bool = False
    positions: Sequence[PositionPlan] = ()
    makers: Sequence[MakerPlan] = ()
    transfers: Sequence[Transfer] = ()
    sub_account_of: str = ""


@dataclass(slots=True, eq=False)
class Position:
    """A position row. `amount` is signed (negative for SHORT), `realized` accumulates profit before fees."""

    symbol: Symbol
    side: Side
    amount: float = 0.0
    entry: float = 0.0
    isolated_wallet: float = 0.0
    realized: float = 0.0
    updated_ms: int = 0


@dataclass(slots=True, eq=False)
class Order:
    """A limit order on the book, or one that executes at once; quantities are positive."""

    number: int
    client_id: str
    symbol: Symbol
    side: Side
    buy: bool
    kind: str
    time_in_force: str
    price: float
    quantity: float
    time_ms: int
    filled: float = 0.0
    quote: float = 0.0


def round_money(value: float) -> float:
    """A balance as printed: eight decimals."""
    return round(value, 8) + 0.0


def entry_decimals(price: float) -> int:
    """Decimals an entry price is printed with: at least eight, and at least nine significant figures."""
    return 8 if price <= 0.0 else max(8, 8 - math.floor(math.log10(price)))


def round_entry(price: float) -> float:
    """An entry price as printed."""
    return round(price, entry_decimals(price))


class Account:
    """One account's state and the venue's arithmetic on it at the current marks."""

    def __init__(self, plan: AccountPlan, listing: AsterListing, prices: AsterPrices) -> None:
        self.plan, self.listing, self.prices = plan, listing, prices
        self.multi_assets, self.hedge = plan.multi_assets, plan.hedge
        self.wallet: dict[str, float] = {asset: 0.0 for asset in listing.assets}
        self.wallet_updated: dict[str, int] = {}
        self.positions: dict[tuple[str, Side], Position] = {}
        self.orders: dict[int, Order] = {}
        self.leverage: dict[str, int] = {}
        self.isolated_symbols: set[str] = set()
        for asset, amount in plan.wallet.items():
            self.wallet[asset] = round_money(amount)
        for planned in plan.positions:
            self._open(planned)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Position sides of the account's mode."""
        return ("LONG", "SHORT") if self.hedge else ("BOTH",)

    def position(self, symbol: str, side: Side) -> Position:
        """The row of a symbol and side, flat where none is open."""
        key = (symbol, side)
        if key not in self.positions:
            self.positions[key] = Position(self.listing.symbols[symbol], side)
        return self.positions[key]

    def open_positions(self) -> Iterator[Position]:
        """Rows with an amount."""
        return (p for p in self.positions.values() if p.amount)

    def cross(self, asset: str | None = None) -> list[Position]:
        """Open cross positions settled in an asset (None: in any)."""
        return [p for p in self.open_positions() if not self.isolated(p) and asset in (None, p.symbol.margin_asset)]

    def isolated(self, position: Position) -> bool:
        """Whether the position's symbol is set to isolated margin."""
        return position.symbol.name in self.isolated_symbols

    def cross_wallet(self, asset: str) -> float:
        """Wallet balance less isolated wallets of the asset."""
        held = sum(p.isolated_wallet for p in self.positions.values() if p.symbol.margin_asset == asset)
        return round_money(self.wallet[asset] - held)

    def leverage_of(self, symbol: str) -> int:
        """Leverage set for a symbol."""
        return self.leverage.get(symbol, min(DEFAULT_LEVERAGE, self.listing.symbols[symbol].tiers[0].max_leverage))

    def mark(self, position: Position) -> float:
        """Mark price of the position's symbol."""
        return self.prices.mark(position.symbol.name)

    def notional(self, position: Position) -> float:
        """Signed notional at mark."""
        return position.amount * self.mark(position)

    def unrealized(self, position: Position) -> float:
        """Unrealised profit at mark."""
        return position.amount * (self.mark(position) - position.entry)

    def maintenance(self, position: Position) -> float:
        """Maintenance margin of one row; hedged legs are tiered separately."""
        return maintenance_margin(abs(self.notional(position)), position.symbol.tiers)

    def initial(self, position: Position) -> float:
        """Initial margin: notional / leverage."""
        return abs(self.notional(position)) / self.leverage_of(position.symbol.name)

    def order_margin(self, symbol: str, side: Side) -> float:
        """Initial margin reserved by resting orders: the larger of the buying and the selling side."""
        rest = {True: 0.0, False: 0.0}
        for order in self.orders.values():
            if order.symbol.name == symbol and order.side == side:
                rest[order.buy] += order.price * (order.quantity - order.filled)
        return max(rest.values()) / self.leverage_of(symbol)

    def asset_order_margin(self, asset: str) -> float:
        """Initial margin reserved by all resting orders settled in an asset."""
        keys = {(o.symbol.name, o.side) for o in self.orders.values() if o.symbol.margin_asset == asset}
        return sum(self.order_margin(*key) for key in sorted(keys))

    def value(self, asset: str, balance: float) -> float:
        """What a balance counts for in multi-assets mode, USD."""
        return collateral_value(balance, self.prices.collateral[asset], self.listing.assets[asset])

    def total_value(self) -> float:
        """Multi-assets mode: value of all balances that are margin, USD."""
        return sum(self.value(a, self.cross_wallet(a)) for a, row in self.listing.assets.items() if row.margin_available)

    def available(self, asset: str | None) -> float:
        """What new positions may use: of an asset in single-asset mode, of the whole account in USD for None."""
        assets = self.listing.settlement if asset is None else (asset,)
        base = self.total_value() if asset is None else self.cross_wallet(asset)
        for name in assets:
            base += sum(self.unrealized(p) - self.initial(p) for p in self.cross(name)) - self.asset_order_margin(name)
        return max(0.0, base)

    def credit(self, asset: str, amount: float, stamp: int) -> None:
        """Add to a wallet balance."""
        self.wallet[asset] = round_money(self.wallet[asset] + amount)
        self.wallet_updated[asset] = stamp

    def set_multi_assets(self, on: bool) -> None:
        """Change the asset mode. Raises ValueError with isolated positions, which multi-assets mode has not."""
        if on and any(self.isolated(p) for p in self.open_positions()):
            raise ValueError(f"account {self.plan.alias!r} has isolated positions: close them before multi-assets mode")
        self.multi_assets = on

    def set_hedge(self, on: bool) -> None:
        """Change the position mode. Raises ValueError with positions or orders open."""
        if on != self.hedge and (self.orders or any(self.open_positions())):
            raise ValueError(f"account {self.plan.alias!r} has positions or orders: the position mode can only be changed when flat")
        self.hedge = on

    def _open(self, plan: PositionPlan) -> None:
        if plan.symbol not in self.listing.symbols:
            raise ValueError(f"account {self.plan.alias!r} plans a position in {plan.symbol!r}, which is not listed: use a listed symbol")
        if plan.side not in self.sides or plan.amount * (-1 if plan.side == "SHORT" else 1) < 0.0 < len(self.sides) - 1:
            raise ValueError(f"account {self.plan.alias!r}: side {plan.side} and amount of {plan.symbol} do not fit its position mode")
        if plan.isolated and self.multi_assets:
            raise ValueError(f"account {self.plan.alias!r}: {plan.symbol} cannot be isolated in multi-assets mode")
        position = self.position(plan.symbol, plan.side)
        position.amount = round(plan.amount, position.symbol.quantity_precision)
        position.entry = round_entry(self.prices.mark(plan.symbol) if plan.entry is None else plan.entry)
        self.leverage[plan.symbol] = plan.leverage
        if plan.isolated:
            self.isolated_symbols.add(plan.symbol)
            margin = abs(position.amount) * position.entry / plan.leverage if plan.margin is None else plan.margin
            position.isolated_wallet = round_money(margin)
