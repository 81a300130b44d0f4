"""A unit's scenarios and spot, computed anew in plain Python (margin model, sections 2, 3, 5, 6 and 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from config.parameters import UnitParameters
from monitor.explain.quotes import Shock, legs_of
from monitor.snapshot import BalanceRow
from monitor.stress.book import StressBook
from monitor.stress.market import LOWEST_SHOCK


@dataclass(frozen=True, slots=True)
class Regime:
    """How wild the market is: `factor` = clip((daily / reference) ^ power, 1, cap); `daily` NaN: unknown, factor 1."""

    daily: float
    factor: float
    price_range: float
    im_factor: float
    f_e: float


@dataclass(frozen=True, slots=True)
class SpotTerms:
    """A coin's balances: hedge balance `signed` (S) with its cap (inf: none) and collateral ratio, and what is collateral."""

    hedging: tuple[tuple[str, BalanceRow], ...]
    signed: float
    cap: float
    ratio: float
    positive: float
    mean_ratio: float


@dataclass(frozen=True, slots=True)
class Node:
    """One price node of a group: USD of each part; `options` by volatility node (up, unchanged, down)."""

    k: float
    weight: float
    linear: float
    options: tuple[float, float, float]
    spot: float
    two_sided: float
    collateral: float

    @property
    def option(self) -> float:
        """The least option P&L."""
        return min(self.options)

    @property
    def all(self) -> float:
        """linear + option + spot + collateral."""
        return self.linear + self.option + self.spot + self.collateral

    @property
    def counted(self) -> float:
        """`all`, at its weight."""
        return self.weight * self.all

    @property
    def unshocked(self) -> float:
        """`counted` without volatility shocks."""
        return self.weight * (self.all - self.option + self.options[1])


@dataclass(frozen=True)
class GroupTerms:
    """A unit under one order group: its delta, hedging spot, and all nodes; the `ordinary` ones lie within the price range.

    `size` is what cancels into its figures: USD of its quantities, gross.
    """

    group: int
    size: float
    delta: float
    hedge: float
    free: float
    nodes: tuple[Node, ...]
    ordinary: tuple[Node, ...]
    order_losses: tuple[tuple[str, float], ...]

    @cached_property
    def max_loss(self) -> float:
        """max(0, the worst counted loss)."""
        return max(0.0, -min(node.counted for node in self.nodes))

    @cached_property
    def static_loss(self) -> float:
        """The same without volatility shocks."""
        return max(0.0, -min(node.unshocked for node in self.nodes))

    @property
    def order_loss(self) -> float:
        """Sum of what orders lose at once, not netted."""
        return math.fsum(max(0.0, loss) for _, loss in self.order_losses)

    def joint(self, *, static: bool = False) -> list[float]:
        """joint(k) over the ordinary nodes."""
        loss = self.static_loss if static else self.max_loss
        return [
            max(-loss, node.linear + (node.options[1] if static else node.option) + node.two_sided + node.collateral)
            for node in self.ordinary
        ]


class UnitTerms:
    """One coin of a portfolio whose instruments all have a value."""

    def __init__(self, book: StressBook, portfolio: str, coin: str) -> None:
        market = book.market
        self.coin = coin
        self.parameters: UnitParameters = book.parameters.unit(coin)
        record = book.tables.coins.table[market.coins[coin]]
        self.index = float(record["index"])
        self.regime = regime_of(self.parameters, float(record["daily_volatility"]))
        self.legs = legs_of(book, portfolio, coin)
        self.has_options = any(leg.quote.is_option for leg in self.legs)
        self.has_orders = any(leg.orders for leg in self.legs)
        self.spot = _spot(book, portfolio, coin)
        self._groups: dict[int, GroupTerms] = {}

    @property
    def shocks(self) -> tuple[float, float, float]:
        """Relative volatility shocks of 30 days: up, none, down."""
        return self.parameters.vol_up, 0.0, -self.parameters.vol_down

    def group(self, group: int) -> GroupTerms:
        """The unit under an order group (0 positions, 1 with buys, 2 with sells)."""
        if group not in self._groups:
            self._groups[group] = self._evaluated(group)
        return self._groups[group]

    def _evaluated(self, group: int) -> GroupTerms:
        delta = math.fsum(leg.quote.delta(leg.quantity(group)) for leg in self.legs)
        size = math.fsum(leg.quote.gross(leg.quantity(group)) for leg in self.legs) + self.spot.positive * self.index
        hedge = self._hedge(delta)
        free = max(0.0, self.spot.positive - max(0.0, hedge))
        own, reach = self.parameters, self.regime.price_range
        half = own.price_nodes // 2
        places = [(reach * step / half, 1.0) for step in range(-half, half + 1)]
        extremes = [(sign * own.extreme_multiple * reach, own.extreme_weight) for sign in (-1, 1) if own.extreme_multiple > 0]
        nodes = tuple(self._node(max(LOWEST_SHOCK, k), weight, group, hedge, free) for k, weight in places + extremes)
        losses = tuple(
            (f"{leg.name} {order.quantity:+g} @ {order.limit_price:g}", leg.quote.order_loss(order))
            for leg in self.legs
            for order in leg.orders.get(group, ())
        )
        return GroupTerms(group, size, delta, hedge, free, nodes, nodes[: len(places)], losses)

    def _hedge(self, delta: float) -> float:
        if self.spot.signed * delta >= 0.0:
            return 0.0
        return math.copysign(min(abs(self.spot.signed), abs(delta), self.spot.cap), self.spot.signed)

    def _node(self, k: float, weight: float, group: int, hedge: float, free: float) -> Node:
        linear = [leg.quote.pnl(leg.quantity(group), Shock(k, 0.0)) for leg in self.legs if not leg.quote.is_option]
        options = [leg for leg in self.legs if leg.quote.is_option]
        up, unchanged, down = (math.fsum(leg.quote.pnl(leg.quantity(group), Shock(k, s)) for leg in options) for s in self.shocks)
        two_sided = hedge * self.index * k
        lost = min(0.0, free * self.spot.mean_ratio * self.index * k)
        return Node(
            k, weight, math.fsum(linear), (up, unchanged, down), max(0.0, two_sided), two_sided, self.parameters.collateral_stress * lost
        )


def regime_of(own: UnitParameters, daily: float) -> Regime:
    """The regime of a coin with a daily volatility (NaN: unknown), and what it scales."""
    factor = 1.0
    if daily > 0:
        factor = min(max(math.pow(daily / own.sigma_ref, own.regime_power), 1.0), own.regime_cap)
    return Regime(daily, factor, own.price_range * factor, 1.0 + (own.im_factor - 1.0) * factor, own.f_E * factor)


def _spot(book: StressBook, portfolio: str, coin: str) -> SpotTerms:
    accounts = [book.accounts.states[name].row for name in book.accounts.members[book.accounts.portfolios[portfolio]]]
    rows = [(account, row) for account in accounts for row in account.balances if row.asset == coin]
    hedges = [account for account in accounts if account.spot_hedging and coin in book.parameters.portfolio.spot_hedge]
    hedging = tuple((account.id, row) for account, row in rows if account in hedges and row.eligible_hedge)
    signed = math.fsum(row.total for _, row in hedging)
    caps = [account.hedge_cap[coin] for account in hedges if coin in account.hedge_cap]
    ratios = [1.0 if row.collateral_ratio is None else row.collateral_ratio for _, row in hedging if row.total * signed > 0]
    positive = [row for _, row in rows if row.total > 0]
    amount = math.fsum(row.total for row in positive)
    weighted = math.fsum(row.total * (row.collateral_ratio or 0.0) for row in positive)
    return SpotTerms(
        hedging, signed, math.fsum(caps) if caps else math.inf, max(ratios, default=1.0), amount, weighted / amount if amount else 0.0
    )
