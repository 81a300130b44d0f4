"""The terms of instruments and legs, taken anew from what was told: nothing here reads a figure that the engine computed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from config.parameters import UnitParameters
from kernels import layout
from kernels.black76 import digital_greeks_one, digital_one, greeks_one, implied_volatility_one, price_one
from monitor.snapshot import OrderRow
from monitor.stress.book import StressBook
from monitor.stress.legs import order_group
from monitor.stress.market import SECOND_MS

DAY_S = 86400
YEAR_S = 365 * DAY_S
USD = "USD"


@dataclass(frozen=True, slots=True)
class Shock:
    """One scenario node: relative price move `k`, relative volatility move `s` before its scaling with time."""

    k: float
    s: float


@dataclass(frozen=True, slots=True)
class Life:
    """Time of an instrument: whole seconds left (perpetuals 0), and the near-expiry factor on price shocks."""

    seconds: int = 0
    day: int = 0
    decay: float = 1.0

    @property
    def days(self) -> float:
        """seconds / 86400."""
        return self.seconds / DAY_S

    @property
    def years(self) -> float:
        """T = seconds / (365 * 86400)."""
        return self.seconds / YEAR_S

    @property
    def dte(self) -> int:
        """max(1, whole days begun)."""
        return max(1, math.ceil(self.days))

    @property
    def date(self) -> str:
        """The UTC date of expiry."""
        return datetime.fromtimestamp(self.day * DAY_S, UTC).strftime("%d %b %Y")


@dataclass(frozen=True, slots=True)
class Quote:
    """An instrument at its prices. `usd` is the USD mark of one coin (options, outcomes: the forward), `settlement` the group of charge C.

    An outcome is an option that pays 1: `base` and `greeks` are of that.
    """

    name: str
    kind: int
    coin_settled: bool
    settlement: str
    fx: float
    mark: float
    usd: float
    volume: float
    life: Life
    parameters: UnitParameters
    strike: float = 0.0
    call: bool = False
    forward: float = 0.0
    sigma: float = 0.0
    sigma_from: str = ""
    base: float = 0.0
    base_from: str = ""
    greeks: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def is_option(self) -> bool:
        """Whether it is an option, also one that pays 1."""
        return self.kind >= layout.OPTION

    @property
    def is_outcome(self) -> bool:
        """Whether it is an option that pays 1."""
        return self.kind == layout.OUTCOME

    def coins(self, quantity: float) -> float:
        """Coin quantity: an inverse contract's USD notional over its mark, an outcome's coin delta."""
        if self.is_outcome:
            return quantity * self.greeks[0]
        return quantity / self.mark if self.kind == layout.INVERSE else quantity

    def gross(self, quantity: float) -> float:
        """USD of a quantity, whatever its sign: what cancels into sums; an outcome's with what it pays."""
        return abs(self.coins(quantity)) * self.usd + (abs(quantity) * self.fx if self.is_outcome else 0.0)

    def delta(self, quantity: float) -> float:
        """Coin delta of a quantity."""
        return quantity * self.greeks[0] if self.is_option else self.coins(quantity)

    def price(self, forward: float, sigma: float) -> float:
        """What one contract of an option is worth before fx: Black-76, of an outcome N(d2) or N(-d2)."""
        formula = digital_one if self.is_outcome else price_one
        return float(formula(forward, self.strike, sigma, self.life.years, self.call))

    def notional(self, quantity: float) -> float:
        """USD notional, signed by coin delta."""
        return quantity if self.kind == layout.INVERSE else self.delta(quantity) * self.usd

    def shocked(self, s: float) -> float:
        """The volatility under the relative shock `s` of 30 days: scaled with time, clipped."""
        if s == 0.0:
            return self.sigma
        own = self.parameters
        scaled = s * math.pow(30.0 / self.life.dte, own.vol_exponent)
        return min(max(self.sigma * (1.0 + scaled), own.vol_floor), own.vol_cap)

    def pnl(self, quantity: float, shock: Shock) -> float:
        """USD P&L of a quantity in one scenario."""
        k = shock.k * self.life.decay
        if self.is_option:
            return quantity * self.fx * (self.price(self.forward * (1.0 + k), self.shocked(shock.s)) - self.base)
        return quantity * k if self.kind == layout.INVERSE else quantity * self.usd * k

    def order_loss(self, order: OrderRow) -> float:
        """USD that an order loses at once where it fills at its limit; negative: gains."""
        if self.is_option:
            limit = order.limit_price * (self.forward if self.coin_settled else 1.0)
            return order.quantity * (limit - self.base) * self.fx
        if self.kind == layout.INVERSE:
            return order.quantity * (order.limit_price / self.mark - 1.0)
        return order.quantity * (order.limit_price - self.mark) * self.fx

    def worth(self, quantity: float, entry: float, index: float) -> float:
        """USD in equity: unrealised P&L, an option's value."""
        if self.is_option:
            return quantity * self.base * self.fx
        if self.kind == layout.INVERSE:
            return quantity * (1.0 / entry - 1.0 / self.mark) * index
        return quantity * (self.mark - entry) * self.fx


@dataclass(frozen=True, slots=True)
class LegTerms:
    """A leg: the position, and its orders by group (1 buys, 2 sells coin delta)."""

    account: str
    side: str
    quote: Quote
    position: float
    entry: float | None
    orders: dict[int, list[OrderRow]] = field(default_factory=dict)

    def quantity(self, group: int) -> float:
        """Position and the orders of a group, filled."""
        return self.position + math.fsum(order.quantity for order in self.orders.get(group, ()))

    @property
    def name(self) -> str:
        """Account, instrument and side."""
        return " ".join(part for part in (self.account, self.quote.name, self.side) if part)


def quote_of(book: StressBook, number: int) -> Quote:
    """The terms of a listed instrument that has a value."""
    record, listed = book.tables.instruments.table[number], book.market.listed[number]
    own = book.parameters.unit(listed.coin)
    coin_settled = listed.settle in (listed.coin, USD)
    fx = 1.0 if coin_settled else float(book.tables.fx[book.market.assets[listed.settle]])
    life = Life()
    if listed.expiry_ms is not None:
        expiry_s = listed.expiry_ms // SECOND_MS
        seconds = max(0, expiry_s - book.market.as_of_s)
        decay = min(1.0, seconds / own.near_expiry) if own.near_expiry > 0 else 1.0
        life = Life(seconds, expiry_s // DAY_S, decay)
    mark, volume = float(record["mark"]), float(record["volume"])
    plain = Quote(
        name=listed.id,
        kind=int(record["kind"]),
        coin_settled=listed.settle == listed.coin,
        settlement=USD if coin_settled else listed.settle,
        fx=fx,
        mark=mark,
        usd=mark if listed.inverse else mark * fx,
        volume=volume,
        life=life,
        parameters=own,
    )
    if not plain.is_option:
        return plain
    return _option(plain, float(record["forward"]), float(record["volatility"]), listed.strike, listed.option_type)


def _option(plain: Quote, forward: float, told: float, strike: float | None, option_type: str | None) -> Quote:
    assert strike is not None
    call, years = option_type == "call", plain.life.years
    mark = plain.mark * (forward if plain.coin_settled else 1.0)
    sigma, source = (told, "told") if told > 0 else (0.0, "not needed, expired")
    if years > 0 and not told > 0:
        sigma, source = float(implied_volatility_one(mark, forward, strike, years, call)), "implied from the mark"
    formula, greeks = (digital_one, digital_greeks_one) if plain.is_outcome else (price_one, greeks_one)
    base, base_from = float(formula(forward, strike, sigma, years, call)), "model"
    if plain.is_outcome:
        base_from = "N(d2)" if call else "N(-d2)"
    if plain.parameters.option_base == "mark" and not math.isnan(mark):
        base, base_from = mark, "mark"
    delta, gamma, vega = greeks(forward, strike, sigma, years, call)
    return Quote(
        plain.name, plain.kind, plain.coin_settled, plain.settlement, plain.fx, plain.mark, forward * plain.fx, plain.volume,
        plain.life, plain.parameters, strike, call, forward, sigma, source, base, base_from, (float(delta), float(gamma), float(vega)),
    )  # fmt: skip


def legs_of(book: StressBook, portfolio: str, coin: str) -> list[LegTerms]:
    """The legs of a coin over the accounts of a portfolio, by account, instrument and side; every one has a value."""
    found = []
    quotes: dict[int, Quote] = {}
    for account in book.accounts.members[book.accounts.portfolios[portfolio]]:
        for (number, side), held in book.accounts.states[account].holdings.items():
            listed = book.market.listed[number]
            if listed.coin != coin or held.is_empty:
                continue
            if number not in quotes:
                quotes[number] = quote_of(book, number)
            orders: dict[int, list[OrderRow]] = {}
            for order in held.orders:
                orders.setdefault(order_group(order, is_put=listed.option_type == "put"), []).append(order)
            found.append(LegTerms(account, side, quotes[number], held.quantity, held.entry, orders))
    return sorted(found, key=lambda leg: (leg.account, leg.quote.name, leg.side))
