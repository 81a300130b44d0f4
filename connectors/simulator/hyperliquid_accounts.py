"""Accounts of the simulated venue: what they are planned to do, what they hold, and the venue's margin arithmetic on it.

Cash of an isolated position is its own; all other cash is per dex in standard mode and one wallet per collateral token in
the pooled modes (unified, portfolio margin), where the venue only shows a part of it "parked" on each dex.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.simulator.hyperliquid_listing import USDC
from connectors.simulator.hyperliquid_margin import Tier, build_tiers, liquidation_price, maintenance_margin
from connectors.simulator.market import Market

Mode = Literal["standard", "unified", "portfolioMargin"]
Role = Literal["user", "subAccount", "vault", "agent", "missing"]
TransferKind = Literal["deposit", "withdraw", "spotToPerp", "perpToSpot", "send"]

POOLED_ORDER_FACTOR = 1.01
PROTOCOL_VAULT_LEVERAGE = 50


@dataclass(frozen=True, slots=True)
class PositionPlan:
    """A position held from the start: signed size in coins, opened at `entry` (None: the first mark).

    `margin` is the isolated collateral (None: notional / leverage); it comes out of the dex's cash.
    """

    coin: str
    size: float
    leverage: int = 10
    isolated: bool = False
    entry: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class OutcomePlan:
    """Contracts of an outcome held, and paid for, from the start: side 0 (Yes) or 1 (No) of the first `kind` on a coin, at its mid."""

    coin: str
    size: float
    side: int = 0
    kind: Literal["daily", "template", "bucket"] = "daily"


@dataclass(frozen=True, slots=True)
class MakerPlan:
    """Quotes on one coin: mean fills a second, notional of a fill, and how far (coins) inventory may stray from its start."""

    coin: str
    fills_per_second: float
    clip: float
    max_inventory: float
    leverage: int = 10


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money moved at progress `at` of the scenario. `dex` is the perpetual ledger concerned; `token` what a send moves.

    deposit and withdraw cross the venue's border; spotToPerp and perpToSpot are USDC class transfers on the first dex;
    send moves collateral from the spot wallet to `dex` (amount < 0: back).
    """

    at: float
    kind: TransferKind
    amount: float
    dex: str = ""


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """An account as the simulation starts it.

    `cash` is collateral per dex before any position (in pooled modes it joins the wallet); `spot` wallet amounts per token
    index. `master` names the master of a sub-account or the account an agent signs for. `protocol_vault`: every coin shows
    max leverage 50 and is maintained at 1 %, as the venue's own vaults are.
    """

    address: str
    name: str
    mode: Mode = "standard"
    cash: Mapping[str, float] = field(default_factory=dict)
    spot: Mapping[int, float] = field(default_factory=dict)
    positions: Sequence[PositionPlan] = ()
    makers: Sequence[MakerPlan] = ()
    transfers: Sequence[Transfer] = ()
    outcomes: Sequence[OutcomePlan] = ()
    role: Role = "user"
    master: str | None = None
    protocol_vault: bool = False


@dataclass(slots=True)
class Position:
    """An open position. `raw_usd` is the isolated cash; funding sums are positive when paid."""

    coin: str
    dex: str
    size: float
    entry: float
    leverage: int
    isolated: bool
    raw_usd: float = 0.0
    funding_all_time: float = 0.0
    funding_since_open: float = 0.0
    funding_since_change: float = 0.0


@dataclass(slots=True)
class OutcomeHolding:
    """Contracts of one side of an outcome, and what they cost; they are prepaid, so no margin figure counts them."""

    size: float = 0.0
    cost: float = 0.0


@dataclass(slots=True)
class RestingOrder:
    """A limit order on the book; `remaining` and `original` sizes are positive, `buy` the side."""

    oid: int
    coin: str
    buy: bool
    price: float
    remaining: float
    original: float
    time_ms: int
    cloid: str
    reduce_only: bool = False


class Account:
    """One account's state and the venue's arithmetic on it at the market's current marks."""

    def __init__(self, plan: AccountPlan, market: Market) -> None:
        self.plan = plan
        self.address = plan.address.lower()
        self.market = market
        self.mode: Mode = plan.mode
        self.cross_cash: dict[str, float] = {}
        self.wallet: dict[int, float] = {}
        self.cost_basis: dict[int, float] = {}
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, RestingOrder] = {}
        self.outcomes: dict[int, OutcomeHolding] = {}
        self.ledger_total = 0.0
        self._tiers: dict[str, tuple[Tier, ...]] = {}
        if plan.role not in ("agent", "missing"):
            self._open_plan(plan)

    @property
    def pooled(self) -> bool:
        """Whether cross cash is pooled per collateral token."""
        return self.mode != "standard"

    def collateral(self, dex: str) -> int:
        """Token index of a dex's margin currency."""
        return self.market.listing.collateral(dex)

    def dexs_of(self, token: int) -> list[str]:
        """Dexs margined in a token."""
        return [name for name, dex in self.market.listing.dexs.items() if dex.collateral == token]

    def cash(self, dex: str) -> float:
        """Mark-independent cross cash behind a dex; in pooled modes the whole wallet of its collateral."""
        return self.wallet.get(self.collateral(dex), 0.0) if self.pooled else self.cross_cash.get(dex, 0.0)

    def credit(self, dex: str, amount: float) -> None:
        """Add collateral to the cross cash behind a dex."""
        if self.pooled:
            self.credit_wallet(self.collateral(dex), amount)
        else:
            self.cross_cash[dex] = round(self.cross_cash.get(dex, 0.0) + amount, 6)

    def credit_wallet(self, token: int, amount: float) -> None:
        """Add an amount of a token to the spot wallet."""
        self.wallet[token] = round(self.wallet.get(token, 0.0) + amount, 8)

    def cross(self, dex: str) -> Iterator[Position]:
        """Cross positions on a dex."""
        return (p for p in self.positions.values() if p.dex == dex and not p.isolated)

    def isolated(self, dex: str) -> Iterator[Position]:
        """Isolated positions on a dex."""
        return (p for p in self.positions.values() if p.dex == dex and p.isolated)

    def tiers(self, coin: str) -> tuple[Tier, ...]:
        """Maintenance tiers of a coin for this account."""
        if coin not in self._tiers:
            table = ((0.0, PROTOCOL_VAULT_LEVERAGE),) if self.plan.protocol_vault else self.market.listing.tiers(coin)
            self._tiers[coin] = build_tiers(table)
        return self._tiers[coin]

    def max_leverage(self, coin: str) -> int:
        """Max leverage the venue prints on a position."""
        return PROTOCOL_VAULT_LEVERAGE if self.plan.protocol_vault else self.market.listing.assets[coin].max_leverage

    def value(self, position: Position) -> float:
        """Signed notional at mark."""
        return position.size * self.market.mark(position.coin)

    def unrealized(self, position: Position) -> float:
        """Unrealised profit."""
        return self.value(position) - position.size * position.entry

    def maintenance(self, position: Position) -> float:
        """Maintenance margin of one position."""
        return maintenance_margin(abs(self.value(position)), self.tiers(position.coin))

    def isolated_equity(self, position: Position) -> float:
        """Equity of an isolated position: its cash plus its value."""
        return position.raw_usd + self.value(position)

    def margin_used(self, position: Position) -> float:
        """Initial margin of a cross position; the equity of an isolated one."""
        return self.isolated_equity(position) if position.isolated else abs(self.value(position)) / position.leverage

    def cross_initial(self, dex: str) -> float:
        """Initial margin of all cross positions of a dex."""
        return sum(self.margin_used(p) for p in self.cross(dex))

    def cross_maintenance(self, dex: str) -> float:
        """Maintenance margin of all cross positions of a dex."""
        return sum(self.maintenance(p) for p in self.cross(dex))

    def cross_value(self, dex: str) -> float:
        """Signed notional of all cross positions of a dex."""
        return sum(self.value(p) for p in self.cross(dex))

    def isolated_total(self, token: int) -> float:
        """Equity of all isolated positions on the dexs margined in a token."""
        return sum(self.isolated_equity(p) for dex in self.dexs_of(token) for p in self.isolated(dex))

    def orders_on(self, dex: str) -> list[RestingOrder]:
        """Resting orders shown with a dex."""
        return [order for order in self.orders.values() if self.market.listing.assets[order.coin].dex == dex]

    def order_margin(self, dex: str) -> float:
        """Margin reserved by resting orders: the position-increasing side of each coin, limit notional / leverage."""
        sides: dict[tuple[str, bool], float] = {}
        for order in self.orders_on(dex):
            if not order.reduce_only:
                key = (order.coin, order.buy)
                sides[key] = sides.get(key, 0.0) + order.price * order.remaining / self.leverage(order.coin)
        total = 0.0
        for coin in {coin for coin, _ in sides}:
            position = self.positions.get(coin)
            buys, sells = sides.get((coin, True), 0.0), sides.get((coin, False), 0.0)
            total += max(buys, sells) if position is None else (buys if position.size > 0.0 else sells)
        return total

    def leverage(self, coin: str) -> int:
        """Leverage set for a coin."""
        if coin in self.positions:
            return self.positions[coin].leverage
        planned = [p.leverage for p in self.plan.positions if p.coin == coin] + [m.leverage for m in self.plan.makers if m.coin == coin]
        return min(planned[0] if planned else 10, self.market.listing.assets[coin].max_leverage)

    def trades_isolated(self, coin: str) -> bool:
        """Whether a new position in a coin opens isolated."""
        planned = any(p.coin == coin and p.isolated for p in self.plan.positions)
        return planned or self.market.listing.assets[coin].margin_mode is not None

    def total(self, token: int) -> float:
        """Spot `total`: in pooled modes the mark-to-market equity in a token over wallet and every dex margined in it."""
        held = self.wallet.get(token, 0.0)
        if not self.pooled:
            return held
        return held + sum(self.cross_value(dex) for dex in self.dexs_of(token)) + self.isolated_total(token)

    def collateral_value(self) -> float:
        """Portfolio margin: supplied collateral at the borrow oracle price and its liquidation threshold."""
        return sum(
            self.supplied(t.index) * self.market.borrow_price(t.index) * (0.5 + 0.5 * t.ltv)
            for t in self.market.listing.tokens.values()
            if t.ltv
        )

    def supplied(self, token: int) -> float:
        """Portfolio margin: collateral supplied, up to the user's supply cap."""
        return min(max(self.wallet.get(token, 0.0), 0.0), self.market.listing.tokens[token].supply_cap)

    def available(self, token: int) -> float:
        """Pooled modes: distance to liquidation in a token, `tokenToAvailableAfterMaintenance`."""
        maintenance = sum(self.cross_maintenance(dex) for dex in self.dexs_of(token))
        available = self.total(token) - self.isolated_total(token) - maintenance
        return available + self.collateral_value() if self.mode == "portfolioMargin" and token == USDC else available

    def parked(self, dex: str) -> float:
        """Pooled modes: cross margin the venue shows on a dex; less than its need when a unified pool is short."""
        token = self.collateral(dex)
        needs = {d: self.cross_initial(d) + POOLED_ORDER_FACTOR * self.order_margin(d) for d in self.dexs_of(token)}
        if self.mode == "portfolioMargin" or not needs[dex]:
            return needs[dex]
        funds = max(0.0, self.total(token) - self.isolated_total(token))
        return needs[dex] * min(1.0, funds / sum(needs.values()))

    def cross_equity(self, dex: str) -> float:
        """`crossMarginSummary.accountValue`: real equity in standard mode, parked margin in pooled modes."""
        return self.parked(dex) if self.pooled else self.cash(dex) + self.cross_value(dex)

    def withdrawable(self, dex: str) -> float:
        """Cross equity above the transfer requirement and what resting orders reserve."""
        notional = sum(abs(self.value(p)) for p in self.cross(dex))
        requirement = max(self.cross_initial(dex), 0.1 * notional)
        return max(0.0, self.cross_equity(dex) - requirement - self.order_margin(dex))

    def free_margin(self, dex: str) -> float:
        """What new cross positions on a dex may use as initial margin."""
        if not self.pooled:
            return self.cross_equity(dex) - self.cross_initial(dex)
        token = self.collateral(dex)
        used = sum(self.cross_initial(d) for d in self.dexs_of(token)) + self.isolated_total(token)
        power = 0.0
        if self.mode == "portfolioMargin":
            power = sum(
                self.supplied(t.index) * self.market.borrow_price(t.index) * t.ltv for t in self.market.listing.tokens.values() if t.ltv
            )
        return self.total(token) + power - used

    def position_liquidation_price(self, position: Position) -> float | None:
        """`liquidationPx`: the mark where the position's pool is exhausted with every other mark frozen."""
        if position.isolated:
            available = self.isolated_equity(position) - self.maintenance(position)
        elif self.pooled:
            available = self.available(self.collateral(position.dex))
        else:
            available = self.cross_equity(position.dex) - self.cross_maintenance(position.dex)
        return liquidation_price(position.size, self.market.mark(position.coin), available, self.tiers(position.coin))

    def change_mode(self, mode: Mode) -> None:
        """Move to another mode. Cash follows: into the wallets, or onto the dexs by their initial margin.

        Raises ValueError when portfolio margin is entered or left with positions open.
        """
        if "portfolioMargin" in (mode, self.mode) and mode != self.mode and self.positions:
            raise ValueError(f"account {self.plan.name!r} has positions: portfolio margin can only be changed when flat")
        if mode != "standard" and not self.pooled:
            for dex, cash in self.cross_cash.items():
                self.credit_wallet(self.collateral(dex), cash)
            self.cross_cash.clear()
        elif mode == "standard" and self.pooled:
            self._spread_wallets()
        self.mode = mode

    def _spread_wallets(self) -> None:
        for token in {self.collateral(dex) for dex in self.market.listing.dexs}:
            needs = {dex: self.cross_initial(dex) for dex in self.dexs_of(token)}
            equity, required = self.total(token) - self.isolated_total(token), sum(needs.values())
            for dex, need in needs.items():
                if required:
                    cash = round(equity * need / required - self.cross_value(dex), 6)
                    self.cross_cash[dex] = cash
                    self.credit_wallet(token, -cash)

    def _open_plan(self, plan: AccountPlan) -> None:
        self.wallet.update(plan.spot)
        for dex, amount in plan.cash.items():
            self.credit(dex, amount)
        for token, amount in plan.spot.items():
            self.cost_basis[token] = 0.0 if token == USDC else amount * self.market.token_price(token)
        for wanted in plan.positions:
            asset = self.market.listing.assets[wanted.coin]
            entry = self.market.mark(wanted.coin) if wanted.entry is None else wanted.entry
            size = round(wanted.size, asset.sz_decimals)
            position = Position(wanted.coin, asset.dex, size, entry, wanted.leverage, wanted.isolated)
            cost = size * entry
            if wanted.isolated:
                margin = abs(cost) / wanted.leverage if wanted.margin is None else wanted.margin
                position.raw_usd = round(margin - cost, 6)
                cost = margin
            self.credit(asset.dex, -cost)
            self.positions[wanted.coin] = position
