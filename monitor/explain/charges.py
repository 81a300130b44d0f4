"""The six contingencies of a unit as formulas with their numbers (margin model, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kernels.contingency import ROUNDING
from monitor.explain.quotes import USD, LegTerms
from monitor.explain.unit_terms import GroupTerms, UnitTerms
from monitor.explain.writing import price


class Charge(NamedTuple):
    """A contingency: its letter, name, value in USD, and the formula that gives it."""

    letter: str
    name: str
    value: float
    formula: str


def charges(unit: UnitTerms, group: GroupTerms) -> list[Charge]:
    """The six charges of an order group, in the order of `CHARGE_NAMES`."""
    return [rule(unit, group) for rule in (_short_option, _vega_spread, _stablecoin_spread, _delta_spread, _spot_basis, _perpetual_future)]


def _sums(rows: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    found: dict[int, list[float]] = {}
    for key, value in rows:
        found.setdefault(key, []).append(value)
    return [(key, math.fsum(found[key])) for key in sorted(found)]


def _options(unit: UnitTerms) -> list[LegTerms]:
    return [leg for leg in unit.legs if leg.quote.is_option]


def _short_option(unit: UnitTerms, group: GroupTerms) -> Charge:
    own, terms, short = unit.parameters, [], 0.0
    options = [leg for leg in _options(unit) if not leg.quote.is_outcome]
    for day in sorted({leg.quote.life.day for leg in options}):
        dated = [leg for leg in options if leg.quote.life.day == day]
        for call in (True, False):
            net = math.fsum(leg.quantity(group.group) for leg in dated if leg.quote.call == call)
            short += max(0.0, -net)
            if net < 0:
                terms.append(price(-net))
    value = own.f_A * unit.index * short
    return Charge("A", "short_option", value, f"{own.f_A:g} x I {price(unit.index)} x net short ({' + '.join(terms) or 'none'})")


class _Spread(NamedTuple):
    long: float
    short: float
    long_days: float
    short_days: float

    @property
    def apart(self) -> float:
        return abs(self.long_days - self.short_days) if self.long and self.short else 0.0

    @property
    def hedged(self) -> float:
        return min(self.long, self.short)

    def text(self, write: Callable[[float], str]) -> str:
        if not (self.long and self.short):
            side = "long" if self.long else "short" if self.short else "no"
            return f"0 days x 0 ({side} side only)" if side != "no" else "0 days x 0 (nothing on either side)"
        apart = f"|{self.long_days:.4g} - {self.short_days:.4g} mean days|"
        return f"{apart} x min({write(self.long)}, {write(self.short)})"


def _spread(unit: UnitTerms, rows: Sequence[tuple[int, float]]) -> _Spread:
    nets = [(seconds / 86400, net) for seconds, net in _sums(rows)]
    long, short = math.fsum(max(0.0, net) for _, net in nets), math.fsum(max(0.0, -net) for _, net in nets)
    return _Spread(
        long,
        short,
        math.fsum(days * max(0.0, net) for days, net in nets) / long if long else 0.0,
        math.fsum(days * max(0.0, -net) for days, net in nets) / short if short else 0.0,
    )


def _vega_spread(unit: UnitTerms, group: GroupTerms) -> Charge:
    rows = [(leg.quote.life.seconds, leg.quantity(group.group) * leg.quote.greeks[2] / unit.index) for leg in _options(unit)]
    spread, factor = _spread(unit, rows), unit.parameters.f_B
    value = spread.apart * spread.hedged * factor * unit.index
    return Charge("B", "vega_spread", value, f"{spread.text(price)} x {factor:g} x I {price(unit.index)}")


def settlement_deltas(unit: UnitTerms, group: GroupTerms) -> list[tuple[str, float]]:
    """Net coin delta of each settlement group, with the hedging spot where the set lets it join."""
    found: dict[str, list[float]] = {}
    for leg in unit.legs:
        found.setdefault(leg.quote.settlement, []).append(leg.quote.delta(leg.quantity(group.group)))
    if unit.parameters.spot_in_stablecoin_spread and group.hedge:
        found.setdefault(USD, []).append(group.hedge)
    return [(name, math.fsum(found[name])) for name in sorted(found)]


def _stablecoin_spread(unit: UnitTerms, group: GroupTerms) -> Charge:
    deltas, (factor, why) = settlement_deltas(unit, group), _stablecoin_factor(unit, group)
    gross, net = math.fsum(abs(delta) for _, delta in deltas), abs(math.fsum(delta for _, delta in deltas))
    value = (gross - net) / 2.0 * factor * unit.index
    parts = " + ".join(f"|{price(delta)} {name}|" for name, delta in deltas) or "0"
    return Charge("C", "stablecoin_spread", value, f"({parts} - |sum| {price(net)}) / 2 x {why} x I {price(unit.index)}")


def _stablecoin_factor(unit: UnitTerms, group: GroupTerms) -> tuple[float, str]:
    least = unit.parameters.f_C
    gross = math.fsum(abs(leg.quote.coins(leg.quantity(group.group))) for leg in unit.legs)
    fx = {leg.quote.settlement: leg.quote.fx for leg in unit.legs}
    # a net delta of rounding alone is none
    held = [name for name, delta in settlement_deltas(unit, group) if abs(delta) > ROUNDING * gross and name != USD]
    if not held:
        return least, f"{least:g} (f_C; no stablecoin has a delta)"
    furthest = max(held, key=lambda name: abs(fx[name] - 1.0))
    gap = abs(fx[furthest] - 1.0)
    text = f"|fx {furthest} {price(fx[furthest])} - 1|"
    return (gap, f"{gap:g} ({text}, wider than f_C {least:g})") if gap > least else (least, f"{least:g} (f_C; {text} is within it)")


def _delta_spread(unit: UnitTerms, group: GroupTerms) -> Charge:
    rows = [(leg.quote.life.seconds, leg.quote.delta(leg.quantity(group.group))) for leg in unit.legs]
    spread, factor = _spread(unit, rows), unit.parameters.f_D
    value = spread.apart * spread.hedged * unit.index * factor
    return Charge("D1", "delta_spread", value, f"{spread.text(price)} x I {price(unit.index)} x {factor:g}")


def _spot_basis(unit: UnitTerms, group: GroupTerms) -> Charge:
    own, name = unit.parameters, "spot_basis"
    sizes = [(abs(leg.quote.coins(leg.quantity(group.group))), leg.quote.usd / unit.index - 1.0) for leg in unit.legs]
    weight = math.fsum(size for size, _ in sizes)
    if group.hedge == 0.0 or weight == 0.0:
        return Charge("D2", name, 0.0, "no hedging spot")
    basis = math.fsum(size * one for size, one in sizes) / weight
    below = max(0.0, own.TH - (1.0 - unit.spot.ratio))
    value = abs(group.hedge) * unit.index * max(0.0, own.BF * basis + below)
    rate = f"max(0, BF {own.BF:g} x WB {basis:.6g} + max(0, TH {own.TH:g} - (1 - CR {unit.spot.ratio:g})))"
    return Charge("D2", name, value, f"|h {price(group.hedge)}| x I {price(unit.index)} x {rate}")


def _perpetual_future(unit: UnitTerms, group: GroupTerms) -> Charge:
    coins = [abs(leg.quote.coins(leg.quantity(group.group))) for leg in unit.legs if not leg.quote.is_option]
    gross, factor = math.fsum(coins), unit.regime.f_e
    return Charge("E", "perpetual_future", gross * factor * unit.index, f"gross {price(gross)} coins x {factor:g} x I {price(unit.index)}")


def expiry_rows(unit: UnitTerms, group: GroupTerms) -> list[list[str]]:
    """What A, B and D1 sum, a row a time to expiry: date, days, net calls, net puts, vega over index, coin delta."""
    rows = []
    for seconds, day in sorted({(leg.quote.life.seconds, leg.quote.life.day) for leg in unit.legs}):
        legs = [leg for leg in unit.legs if (leg.quote.life.seconds, leg.quote.life.day) == (seconds, day)]
        quantities = [(leg, leg.quantity(group.group)) for leg in legs]
        options = [(leg.quote.call, q) for leg, q in quantities if leg.quote.is_option and not leg.quote.is_outcome]
        nets = [math.fsum(q for is_call, q in options if is_call == call) for call in (True, False)]
        vega = math.fsum(leg.quote.greeks[2] * q / unit.index for leg, q in quantities)
        delta = math.fsum(leg.quote.delta(q) for leg, q in quantities)
        date = legs[0].quote.life.date if day else "perpetual"
        rows.append([date, f"{seconds / 86400:.4f}", price(nets[0]), price(nets[1]), price(vega), price(delta)])
    return rows


def charges_total(found: Sequence[Charge]) -> float:
    """Sum of charges in USD."""
    return math.fsum(charge.value for charge in found)
