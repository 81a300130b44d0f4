"""One risk unit: all legs of one coin with its spot, evaluated for each of the three order groups (sections 2 to 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.reference import contingency as charge
from tests.reference.market import USD, Failure, Market, Quote, has_strike, lacking, quote
from tests.reference.parameters import Values
from tests.reference.snapshot import Account, Leg, Order, utc_date
from tests.reference.stress import (
    collateral_pnl,
    extreme_nodes,
    instrument_pnl,
    price_nodes,
    spot_pnl,
    vol_nodes,
)

POSITIONS, BUY_ORDERS, SELL_ORDERS = GROUPS = ("positions", "buy_orders", "sell_orders")


@dataclass(frozen=True)
class Spot:
    """The balances of a unit's coin: what may hedge (section 6) and what is collateral (section 3)."""

    hedging: float
    """S, signed coins."""
    cap: float | None
    ratio: float
    """CR of D2: the highest among the rows of S with its sign."""
    positive: float
    """Sum of the positive balances of all accounts."""
    mean_ratio: float
    """CRw: their balance-weighted mean ratio."""


@dataclass(frozen=True)
class Held:
    """A leg as a group holds it: its position and the group's orders filled."""

    leg: Leg
    quote: Quote
    quantity: float
    filled: tuple[Order, ...]

    @property
    def coins(self) -> float:
        """Signed coin quantity."""
        return self.quote.coins(self.quantity)

    @property
    def delta(self) -> float:
        """Signed coin delta."""
        return self.quote.delta(self.quantity)

    @property
    def order_losses(self) -> list[float]:
        """What each filled order's limit loses against the mark, below 0 a gain."""
        return [self.quote.limit_loss(order.quantity, order.limit_price) for order in self.filled]


@dataclass(frozen=True)
class Worst:
    """The scenario where max_loss binds; `weight` below 1 at an extreme node."""

    price: float
    vol: float
    weight: float
    pnl: float
    """Weighted P&L there."""


@dataclass(frozen=True)
class Outcome:
    """A unit under one order group; lists run over the ordinary price nodes."""

    group: str
    held: tuple[Held, ...]
    delta: float
    hedge: float
    collateral_amount: float
    linear: list[float]
    option: list[list[float]]
    spot: list[float]
    collateral: list[float]
    all: list[float]
    worst: Worst
    max_loss: float
    joint: list[float]
    directional_max_loss: float
    directional_joint: list[float]
    contingency: dict[str, float]
    order_loss: float
    maintenance_margin: float

    @property
    def contingencies(self) -> float:
        """Sum of the six."""
        return math.fsum(self.contingency.values())


class Unit:
    """One coin of a portfolio; `outcomes` holds its three order groups, empty when `failures` says why there is no number."""

    def __init__(self, coin: str, accounts: Sequence[Account], market: Market, values: Values, hedges: bool) -> None:
        self.coin = coin
        self.values = values
        self.legs = [leg for account in accounts for leg in account.legs if leg.instrument.coin == coin]
        self.spot = spot_of(coin, accounts, hedges)
        self.failures: list[Failure] = []
        self.outcomes: dict[str, Outcome] = {}
        index = market.index(coin)
        if index is None:
            self.failures.append(Failure("MISSING_INDEX", coin, coin))
        instruments = {leg.instrument.id: leg.instrument for leg in self.legs}
        for instrument in instruments.values():
            self.failures += [failure for failure in lacking(instrument, market) if failure not in self.failures]
        if self.failures or index is None:
            return
        self.index: float = index
        self.quotes = {name: quote(instrument, market, values["option_base"]) for name, instrument in instruments.items()}
        self._grid: dict[tuple[str, float, float], float] = {}
        for group in GROUPS:
            self.outcomes[group] = self._outcome(group)

    @property
    def own_group(self) -> str:
        """The unit's own binding group: the largest margin, ties to the earlier of `GROUPS`."""
        return max(GROUPS, key=lambda group: self.outcomes[group].maintenance_margin)

    def pnl_of(self, name: str, price_shock: float, vol_shock: float) -> float:
        """P&L in USD of one unit of quantity of the instrument called `name`."""
        key = (name, price_shock, vol_shock)
        if key not in self._grid:
            self._grid[key] = instrument_pnl(self.quotes[name], price_shock, vol_shock, self.values)
        return self._grid[key]

    def _outcome(self, group: str) -> Outcome:
        held = tuple(self._held(leg, group) for leg in self.legs)
        delta = math.fsum(item.delta for item in held)
        scenarios = Scenarios(self, held, charge.hedge_size(self.spot.hedging, delta, self.spot.cap))
        nodes = price_nodes(self.values)
        worst = scenarios.worst(scenarios.shocks)
        calm = scenarios.worst([0.0])
        max_loss, calm_loss = max(0.0, -worst.pnl), max(0.0, -calm.pnl)
        contingency = contingencies(self, held, scenarios.hedge)
        loss = charge.order_loss(loss for item in held for loss in item.order_losses)
        return Outcome(
            group=group,
            held=held,
            delta=delta,
            hedge=scenarios.hedge,
            collateral_amount=scenarios.collateral_amount,
            linear=[scenarios.linear(k) for k in nodes],
            option=[[scenarios.option(k, s) for k in nodes] for s in vol_nodes(self.values)],
            spot=[scenarios.spot(k) for k in nodes],
            collateral=[scenarios.collateral(k) for k in nodes],
            all=[scenarios.all(k, scenarios.shocks) for k in nodes],
            worst=worst,
            max_loss=max_loss,
            joint=[scenarios.joint(k, scenarios.shocks, max_loss) for k in nodes],
            directional_max_loss=calm_loss,
            directional_joint=[scenarios.joint(k, [0.0], calm_loss) for k in nodes],
            contingency=contingency,
            order_loss=loss,
            maintenance_margin=max_loss + math.fsum(contingency.values()) + loss,
        )

    def _held(self, leg: Leg, group: str) -> Held:
        wanted = {POSITIONS: 0.0, BUY_ORDERS: 1.0, SELL_ORDERS: -1.0}[group]
        filled = tuple(order for order in leg.orders if order_direction(leg, order) == wanted)
        return Held(leg, self.quotes[leg.instrument.id], leg.quantity + math.fsum(order.quantity for order in filled), filled)


def order_direction(leg: Leg, order: Order) -> float:
    """1 for an order with positive coin delta, -1 for one with negative, by its kind alone."""
    put = has_strike(leg.instrument) and not leg.instrument.call
    return math.copysign(1.0, -order.quantity if put else order.quantity)


class Scenarios:
    """The P&L of one group of a unit at any node (section 3)."""

    def __init__(self, unit: Unit, held: Sequence[Held], hedge: float) -> None:
        self.unit = unit
        self.hedge = hedge
        self.collateral_amount = max(0.0, unit.spot.positive - max(0.0, hedge))
        self.linears = [item for item in held if not item.quote.is_option]
        self.options = [item for item in held if item.quote.is_option]
        self.shocks = vol_nodes(unit.values) if self.options else [0.0]

    def linear(self, k: float) -> float:
        """Perpetuals, futures and inverse contracts."""
        return math.fsum(item.quantity * self.unit.pnl_of(item.leg.instrument.id, k, 0.0) for item in self.linears)

    def option(self, k: float, s: float) -> float:
        """All options, under one volatility shock."""
        return math.fsum(item.quantity * self.unit.pnl_of(item.leg.instrument.id, k, s) for item in self.options)

    def spot(self, k: float) -> float:
        """Hedging spot, its gains only."""
        return spot_pnl(self.hedge, self.unit.index, k)

    def collateral(self, k: float) -> float:
        """Coin collateral, its losses only."""
        spot, stress = self.unit.spot, self.unit.values["collateral_stress"]
        return collateral_pnl(self.collateral_amount, spot.mean_ratio, self.unit.index, k, stress)

    def all(self, k: float, shocks: Sequence[float]) -> float:
        """Everything, at the volatility shock that is worst at this node."""
        return self.linear(k) + min(self.option(k, s) for s in shocks) + self.spot(k) + self.collateral(k)

    def joint(self, k: float, shocks: Sequence[float], max_loss: float) -> float:
        """Section 7: spot on both sides, never below the unit's own worst."""
        two_sided = self.hedge * self.unit.index * k
        return max(-max_loss, self.linear(k) + min(self.option(k, s) for s in shocks) + two_sided + self.collateral(k))

    def worst(self, shocks: Sequence[float]) -> Worst:
        """The lowest weighted P&L over ordinary and extreme nodes; ties to the smallest move, then to unshocked volatility."""
        values = self.unit.values
        nodes = [(k, 1.0) for k in price_nodes(values)] + [(k, values["extreme_weight"]) for k in extreme_nodes(values)]
        found = [Worst(k, s, weight, weight * self.all(k, [s])) for k, weight in nodes for s in shocks]
        return min(found, key=lambda scenario: (scenario.pnl, abs(scenario.price), scenario.vol != 0.0))


def spot_of(coin: str, accounts: Sequence[Account], hedges: bool) -> Spot:
    """The unit's spot; `hedges` says whether the coin is in the set's `spot_hedge` list."""
    rows = [(account, row) for account in accounts for row in account.balances if row.asset == coin]
    eligible = [row for account, row in rows if hedges and account.spot_hedging and row.eligible_hedge]
    hedging = math.fsum(row.total for row in eligible)
    caps = [account.hedge_cap[coin] for account in accounts if account.spot_hedging and coin in account.hedge_cap]
    ratios = [1.0 if row.ratio is None else row.ratio for row in eligible if row.total * hedging > 0.0]
    positive = [row for _, row in rows if row.total > 0.0]
    amount = math.fsum(row.total for row in positive)
    weighted = math.fsum(row.total * (row.ratio or 0.0) for row in positive)
    return Spot(
        hedging=hedging,
        cap=math.fsum(caps) if caps else None,
        ratio=max(ratios, default=1.0),
        positive=amount,
        mean_ratio=weighted / amount if amount > 0.0 else 0.0,
    )


def settlement_group(held: Held) -> str:
    """The group of the stablecoin spread: the settlement stablecoin, or USD for coin- and USD-settled together."""
    return USD if held.quote.coin_settled else held.leg.instrument.settle


def stablecoin_groups(held: Sequence[Held], hedge: float, hedge_joins: bool) -> dict[object, float]:
    """Net coin delta of each settlement group; hedging spot joins the USD group only where the set says so."""
    rows = [(settlement_group(item), item.delta) for item in held]
    return charge.total([*rows, (USD, hedge)] if hedge_joins and hedge != 0.0 else rows)


def stablecoin_factor(held: Sequence[Held], groups: Mapping[object, float], least: float) -> float:
    """The factor of C: f_C, or the widest gap of a group's stablecoin to 1; the USD group has none."""
    prices = {USD: 1.0} | {settlement_group(item): item.quote.fx for item in held if not item.quote.coin_settled}
    gross = math.fsum(abs(item.coins) for item in held)
    return charge.stablecoin_factor([(delta, prices[str(group)]) for group, delta in groups.items()], gross, least)


def by_expiry(held: Sequence[Held], weights: Sequence[float]) -> list[tuple[float, float]]:
    """(days, sum of weights) of each time to expiry."""
    days = {item.quote.seconds: item.quote.days for item in held}
    sums = charge.total((item.quote.seconds, weight) for item, weight in zip(held, weights, strict=True))
    return [(days[seconds], sums[seconds]) for seconds in days]


def contingencies(unit: Unit, held: Sequence[Held], hedge: float) -> dict[str, float]:
    """All six of section 4."""
    values, index = unit.values, unit.index
    options = [item for item in held if item.quote.is_option]
    dated = [
        (utc_date(item.leg.instrument.expiry or 0), item.leg.instrument.call, item.quantity)
        for item in options
        if not item.quote.is_outcome
    ]
    vegas = by_expiry(options, [item.quote.vega(item.quantity) / index for item in options])
    deltas = by_expiry(held, [item.delta for item in held])
    groups = stablecoin_groups(held, hedge, values["spot_in_stablecoin_spread"])
    basis = charge.weighted_basis([(item.coins, item.quote.basis) for item in held])
    linears = [item.coins for item in held if not item.quote.is_option]
    return {
        charge.SHORT_OPTION: charge.short_option(dated, values["f_A"], index),
        charge.VEGA_SPREAD: charge.vega_spread(vegas, values["f_B"], index),
        charge.STABLECOIN_SPREAD: charge.stablecoin_spread(list(groups.values()), stablecoin_factor(held, groups, values["f_C"]), index),
        charge.DELTA_SPREAD: charge.delta_spread(deltas, values["f_D"], index),
        charge.SPOT_BASIS: charge.spot_basis(hedge, index, basis, unit.spot.ratio, values["BF"], values["TH"]),
        charge.PERPETUAL_FUTURE: charge.perpetual_future(linears, values["f_E"], index),
    }
