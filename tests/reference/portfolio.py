"""Section 7 and 8: a portfolio's margin from its units, over the four choices of order groups, with its equity and ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.reference.contingency import total
from tests.reference.equity import borrow, debt_failures, equity, im_rate, mm_rate, valuation_failures
from tests.reference.market import Failure, Market, Quote
from tests.reference.parameters import ParameterSet
from tests.reference.snapshot import Account, Debt, Leg
from tests.reference.stress import with_regime
from tests.reference.unit import GROUPS, Outcome, Unit


@dataclass(frozen=True)
class Loss:
    """Worst loss of all units: each at its own worst, all together, and with part of the offset between coins gone."""

    sum: float
    joint: float
    shift: float


def joint(outcomes: Sequence[list[float]]) -> float:
    """L_joint: all units at the same node of their own range together."""
    if len({len(nodes) for nodes in outcomes}) > 1:
        raise ValueError("price_nodes differs between the coins of a portfolio")
    return max(0.0, -min((math.fsum(column) for column in zip(*outcomes, strict=True)), default=0.0))


def shift(loss_sum: float, loss_joint: float, correlation_shift: float) -> float:
    """L_shift: only (1 - correlation_shift) of the offset between coins survives."""
    return loss_joint + correlation_shift * (loss_sum - loss_joint)


def losses(outcomes: Sequence[Outcome], correlation_shift: float) -> Loss:
    """The loss of the units together."""
    own, together = math.fsum(outcome.max_loss for outcome in outcomes), joint([outcome.joint for outcome in outcomes])
    return Loss(own, together, shift(own, together, correlation_shift))


def directional(outcomes: Sequence[Outcome], correlation_shift: float) -> float:
    """L_shift with unshocked volatility only."""
    own = math.fsum(outcome.directional_max_loss for outcome in outcomes)
    return shift(own, joint([outcome.directional_joint for outcome in outcomes]), correlation_shift)


@dataclass(frozen=True)
class Liquidity:
    """Charge for trading out, USD, and the instruments at the cap because volume or volatility is unknown."""

    charge: float
    flagged: list[str]


def impact(notional: float, cap: float, eta: float, sigma_day: float | None, volume: float | None, stress: float) -> float:
    """Relative cost of trading out of a notional: square root of its share of stressed volume, within the cap."""
    if not sigma_day or not volume:
        return cap
    return min(cap, eta * sigma_day * math.sqrt(notional / (stress * volume)))


def outcome_risk(quantity: float, base: float) -> float:
    """What contracts that pay 1 can still lose, before fx: long their value, short what is missing to 1."""
    return quantity * base if quantity >= 0.0 else -quantity * max(0.0, 1.0 - base)


def liquidity(rows: Sequence[tuple[Leg, Quote]], market: Market, parameters: ParameterSet) -> Liquidity:
    """Sum over instruments, positions only, gross over accounts."""
    terms = parameters.portfolio
    gross = total((leg.instrument.id, abs(quote.signed_notional(leg.quantity))) for leg, quote in rows)
    charges, flagged = [], []
    for name, notional in gross.items():
        if terms["eta"] == 0.0 or notional == 0.0:
            continue
        own = [(leg, quote) for leg, quote in rows if leg.instrument.id == name]
        leg, quote = own[0]
        sigma_day, volume = market.book.daily_volatility.get(leg.instrument.coin), market.book.volume.get(leg.instrument.id)
        charge = notional * impact(notional, terms["liquidity_cap"], terms["eta"], sigma_day, volume, terms["adv_stress"])
        if quote.is_option and all(leg.quantity >= 0.0 for leg, _ in own):
            charge = min(charge, math.fsum(leg.quantity for leg, _ in own) * quote.base * quote.fx)
        elif quote.is_outcome:
            charge = min(charge, math.fsum(outcome_risk(leg.quantity, quote.base) for leg, _ in own) * quote.fx)
        charges.append(charge)
        if not sigma_day or not volume:
            flagged.append(leg.instrument.id)
    return Liquidity(math.fsum(charges), flagged)


@dataclass(frozen=True)
class Choice:
    """A choice of one order group for every unit, and the portfolio's figures under it."""

    index: int
    groups: dict[str, str]
    loss: Loss
    buffer: float
    maintenance_margin: float
    initial_margin: float


@dataclass(frozen=True)
class Result:
    """A portfolio's figures; `choice` None while a failure leaves no margin, `equity` None while it has no value."""

    accounts: tuple[Account, ...]
    market: Market
    parameters: ParameterSet
    units: list[Unit]
    failures: list[Failure]
    equity: float | None
    liquidity: Liquidity | None
    borrow: float | None
    choice: Choice | None
    initial_margin: float | None

    @property
    def maintenance_margin(self) -> float | None:
        """MM of the choice that wins."""
        return None if self.choice is None else self.choice.maintenance_margin

    @property
    def margin_ratio(self) -> float | None:
        """MM / equity."""
        return ratio(self.maintenance_margin, self.equity, held=bool(self.units))


def ratio(margin: float | None, own: float | None, *, held: bool = False) -> float | None:
    """Margin over equity: 0 without margin, infinite without equity, or with less than none where anything is `held`."""
    if margin is None or own is None:
        return None
    if own < 0.0 and held:
        return math.inf
    if margin == 0.0:
        return 0.0
    return margin / own if own > 0.0 else math.inf


def collateral_coins(accounts: Sequence[Account], market: Market, parameters: ParameterSet) -> set[str]:
    """Coins with a positive balance that counts in equity and is stressed as collateral."""
    return {
        row.asset
        for account in accounts
        for row in account.balances
        if row.total > 0.0
        and (row.ratio or 0.0) > 0.0
        and market.stablecoin(row.asset) is None
        and parameters.unit(row.asset)["collateral_stress"] > 0.0
    }


def units_of(accounts: Sequence[Account], market: Market, parameters: ParameterSet) -> list[Unit]:
    """Every unit of the accounts, by name of coin."""
    coins = {leg.instrument.coin for account in accounts for leg in account.legs} | collateral_coins(accounts, market, parameters)
    hedge_coins = parameters.portfolio["spot_hedge"]
    volatility = market.book.daily_volatility
    return [
        Unit(coin, accounts, market, with_regime(parameters.unit(coin), volatility.get(coin)), coin in hedge_coins)
        for coin in sorted(coins)
    ]


def choices(units: Sequence[Unit]) -> list[dict[str, str]]:
    """The four choices: each unit's own binding group, then one and the same group for all."""
    return [{unit.coin: unit.own_group for unit in units}] + [{unit.coin: group for unit in units} for group in GROUPS]


def initial_margin(units: Sequence[Unit], outcomes: Sequence[Outcome], loss: Loss) -> float:
    """Sum over units of what they share of L_shift, their contingencies and order losses, each times its im_factor."""
    return math.fsum(
        ((loss.shift * outcome.max_loss / loss.sum if loss.sum > 0.0 else 0.0) + outcome.contingencies + outcome.order_loss)
        * unit.values["im_factor"]
        for unit, outcome in zip(units, outcomes, strict=True)
    )


def evaluated(index: int, groups: dict[str, str], units: Sequence[Unit], parameters: ParameterSet, fixed: tuple[float, float]) -> Choice:
    """The figures of one choice; `fixed` is what all choices share: liquidity and borrow of MM, and of IM."""
    outcomes = [unit.outcomes[groups[unit.coin]] for unit in units]
    loss = losses(outcomes, parameters.portfolio["correlation_shift"])
    buffer = parameters.portfolio["safety_buffer"] * loss.shift
    charges = math.fsum(outcome.contingencies + outcome.order_loss for outcome in outcomes)
    return Choice(
        index=index,
        groups=groups,
        loss=loss,
        buffer=buffer,
        maintenance_margin=loss.shift + charges + buffer + fixed[0],
        initial_margin=initial_margin(units, outcomes, loss) + buffer + fixed[1],
    )


def distinct(failures: Sequence[Failure]) -> list[Failure]:
    """Each failure once, in order."""
    return list(dict.fromkeys(failures))


def margin(accounts: Sequence[Account], market: Market, parameters: ParameterSet) -> Result:
    """The margin of a set of accounts as one portfolio."""
    accounts = tuple(accounts)
    units = units_of(accounts, market, parameters)
    unit_failures = [failure for unit in units for failure in unit.failures]
    unowed = [failure for account in accounts for failure in debt_failures(account, market)]
    unvalued = [failure for account in accounts if account.equity is None for failure in valuation_failures(account, market)]
    computed = {leg.instrument.coin for account in accounts if account.equity is None for leg in account.legs}
    known = not unvalued and not any(unit.failures for unit in units if unit.coin in computed)
    debts: list[Debt] = [debt for account in accounts for debt in account.debts]
    terms = parameters.portfolio
    borrowed = None if unowed else borrow(debts, market, lambda debt: mm_rate(debt, terms))
    best, liquid, initial = None, None, None
    if not unit_failures and borrowed is not None:
        rows = [(leg, unit.quotes[leg.instrument.id]) for unit in units for leg in unit.legs]
        liquid = liquidity(rows, market, parameters)
        fixed = (liquid.charge + borrowed, liquid.charge + borrow(debts, market, lambda debt: im_rate(debt, terms)))
        found = [evaluated(index, groups, units, parameters, fixed) for index, groups in enumerate(choices(units))]
        best = max(found, key=lambda choice: choice.maintenance_margin)
        initial = max(choice.initial_margin for choice in found)
    return Result(
        accounts=accounts,
        market=market,
        parameters=parameters,
        units=units,
        failures=distinct([*unit_failures, *unowed, *unvalued]),
        equity=math.fsum(equity(account, market, parameters) for account in accounts) if known else None,
        liquidity=liquid,
        borrow=borrowed,
        choice=best,
        initial_margin=initial,
    )
