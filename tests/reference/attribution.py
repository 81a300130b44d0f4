"""Section 9: Euler contributions at the worst scenario, standalone and leave-one-out margins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.reference import contingency as charge
from tests.reference.portfolio import Result, margin
from tests.reference.snapshot import Account, Leg, utc_date
from tests.reference.unit import Held, Outcome, Unit, by_expiry, settlement_group, stablecoin_factor, stablecoin_groups


@dataclass(frozen=True)
class Contribution:
    """What one row adds to its unit's maintenance margin; `leg` None for the rows spot:COIN and collateral:COIN."""

    name: str
    leg: Leg | None
    quantity: float
    notional: float
    value: float


def sign(value: float) -> float:
    """-1, 0 or 1."""
    return float((value > 0.0) - (value < 0.0))


def short_option_slopes(held: Sequence[Held], factor: float, index: float) -> list[float]:
    """A: only the quantities of net short calls, or net short puts, of a date count."""
    counts = [item.quote.is_option and not item.quote.is_outcome for item in held]
    dates = [(utc_date(item.leg.instrument.expiry or 0), item.leg.instrument.call) for item in held]
    groups = [date if own else None for date, own in zip(dates, counts, strict=True)]
    nets = charge.total((group, item.quantity) for group, item in zip(groups, held, strict=True))
    return [
        -item.quantity * factor * index if group is not None and nets[group] < 0.0 else 0.0
        for group, item in zip(groups, held, strict=True)
    ]


def spread_slopes(expiries: Sequence[tuple[float, float]]) -> dict[float, float]:
    """B and D1: derivative of `spread` by the net weight of each expiry, keyed by its days; equal sides take the longs' branch."""
    longs = math.fsum(max(0.0, weight) for _, weight in expiries)
    shorts = math.fsum(max(0.0, -weight) for _, weight in expiries)
    if min(longs, shorts) == 0.0:
        return {days: 0.0 for days, _ in expiries}
    days_long = math.fsum(days * max(0.0, weight) for days, weight in expiries) / longs
    days_short = math.fsum(days * max(0.0, -weight) for days, weight in expiries) / shorts
    apart, hedged = days_long - days_short, min(longs, shorts)
    slopes = {}
    for days, weight in expiries:
        if weight > 0.0:
            slopes[days] = sign(apart) * (days - days_long) / longs * hedged + (abs(apart) if longs <= shorts else 0.0)
        elif weight < 0.0:
            slopes[days] = sign(apart) * (days - days_short) / shorts * hedged - (abs(apart) if longs > shorts else 0.0)
        else:
            slopes[days] = 0.0
    return slopes


def spread_shares(held: Sequence[Held], weights: Sequence[float], factor: float, index: float) -> list[float]:
    """B and D1: each leg's weight times the slope of its expiry."""
    slopes = spread_slopes(by_expiry(held, weights))
    return [weight * slopes[item.quote.days] * factor * index for item, weight in zip(held, weights, strict=True)]


def stablecoin_shares(unit: Unit, outcome: Outcome) -> tuple[list[float], float]:
    """C: of each leg, and of hedging spot where it is in a group."""
    joins = unit.values["spot_in_stablecoin_spread"]
    groups = stablecoin_groups(outcome.held, outcome.hedge, joins)
    scale = stablecoin_factor(outcome.held, groups, unit.values["f_C"]) * unit.index / 2.0
    net = sign(math.fsum(groups.values()))
    slopes = {group: (sign(delta) - net) * scale for group, delta in groups.items()}
    legs = [item.delta * slopes[settlement_group(item)] for item in outcome.held]
    return legs, outcome.hedge * slopes["USD"] if joins and outcome.hedge != 0.0 else 0.0


def basis_shares(unit: Unit, outcome: Outcome) -> tuple[list[float], float]:
    """D2: of each leg through its weight in WB, which sum to 0, and of hedging spot, which bears all of it."""
    values, ratio = unit.values, unit.spot.ratio
    weight = math.fsum(abs(item.coins) for item in outcome.held)
    basis = charge.weighted_basis([(item.coins, item.quote.basis) for item in outcome.held])
    active = charge.basis_rate(basis, ratio, values["BF"], values["TH"]) > 0.0 and outcome.hedge != 0.0
    scale = abs(outcome.hedge) * unit.index * values["BF"] / weight if active else 0.0
    legs = [scale * abs(item.coins) * (item.quote.basis - basis) for item in outcome.held]
    return legs, outcome.contingency[charge.SPOT_BASIS]


def loss_shares(unit: Unit, outcome: Outcome) -> tuple[list[float], float, float]:
    """max_loss: P&L at the worst scenario, turned; nothing where the worst is no loss."""
    if outcome.max_loss == 0.0:
        return [0.0] * len(outcome.held), 0.0, 0.0
    worst, values, spot = outcome.worst, unit.values, unit.spot
    legs = [-worst.weight * item.quantity * unit.pnl_of(item.leg.instrument.id, worst.price, worst.vol) for item in outcome.held]
    hedging = max(0.0, outcome.hedge * unit.index * worst.price)
    lost = values["collateral_stress"] * min(0.0, outcome.collateral_amount * spot.mean_ratio * unit.index * worst.price)
    return legs, -worst.weight * hedging, -worst.weight * lost


def contributions(unit: Unit, group: str) -> Iterator[Contribution]:
    """Rows of a unit under a group, legs then spot:COIN and collateral:COIN where there are any; they sum to its MM."""
    outcome, values, index = unit.outcomes[group], unit.values, unit.index
    held = outcome.held
    vegas = [item.quote.vega(item.quantity) / index for item in held]
    in_loss, spot_in_loss, collateral = loss_shares(unit, outcome)
    in_spread, spot_in_spread = stablecoin_shares(unit, outcome)
    in_basis, spot_in_basis = basis_shares(unit, outcome)
    parts = zip(
        held,
        in_loss,
        short_option_slopes(held, values["f_A"], index),
        spread_shares(held, vegas, values["f_B"], index),
        in_spread,
        spread_shares(held, [item.delta for item in held], values["f_D"], index),
        in_basis,
        [0.0 if item.quote.is_option else abs(item.coins) * values["f_E"] * index for item in held],
        [charge.order_loss(item.order_losses) for item in held],
        strict=True,
    )
    for item, *shares in parts:
        notional = abs(item.quote.signed_notional(item.leg.quantity))
        yield Contribution(item.leg.instrument.id, item.leg, item.leg.quantity, notional, math.fsum(shares))
    if outcome.hedge != 0.0:
        bears = math.fsum((spot_in_loss, spot_in_spread, spot_in_basis))
        yield Contribution(f"spot:{unit.coin}", None, outcome.hedge, abs(outcome.hedge) * index, bears)
    if outcome.collateral_amount * unit.spot.mean_ratio * values["collateral_stress"] > 0.0:
        notional = outcome.collateral_amount * index
        yield Contribution(f"collateral:{unit.coin}", None, outcome.collateral_amount, notional, collateral)


def alone(result: Result, leg: Leg) -> Result:
    """A portfolio of the leg and its orders only: no balances, no debts."""
    account = next(account for account in result.accounts if account.id == leg.account)
    return margin([Account(account.id, account.venue, equity=0.0, legs=(leg,))], result.market, result.parameters)


def without(result: Result, leg: Leg) -> Result:
    """The portfolio without the leg and its orders."""
    accounts = [replace(account, legs=tuple(other for other in account.legs if other.key != leg.key)) for account in result.accounts]
    return margin(accounts, result.market, result.parameters)


def standalone(result: Result, leg: Leg) -> float | None:
    """Portfolio MM of the leg alone."""
    return alone(result, leg).maintenance_margin


def leave_one_out(result: Result, leg: Leg) -> float | None:
    """MM(P) - MM(P without the leg and its orders)."""
    rest = without(result, leg).maintenance_margin
    return None if result.maintenance_margin is None or rest is None else result.maintenance_margin - rest


def hedge_benefit(result: Result) -> float | None:
    """Sum of the legs' standalone margins less the portfolio's."""
    if result.maintenance_margin is None:
        return None
    legs = [leg for unit in result.units for leg in unit.legs]
    return math.fsum(standalone(result, leg) or 0.0 for leg in legs) - result.maintenance_margin
