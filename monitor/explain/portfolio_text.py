"""The explanation of a portfolio beyond its units: scenario families, liquidity, buffer, borrow, the four choices, ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.explain.charges import charges, charges_total
from monitor.explain.quotes import LegTerms
from monitor.explain.unit_terms import GroupTerms, UnitTerms
from monitor.explain.unit_text import maintenance
from monitor.explain.writing import Explanation, price, total, usd
from monitor.margin.portfolio import GROUP_NAMES, PortfolioResult
from monitor.stress.book import StressBook

CHOICE_NAMES = ("each_unit", *GROUP_NAMES)
"""Order groups taken for the whole portfolio, in the order of `kernels.layout`."""

COLUMNS = 6
"""Units side by side in one table of joint P&L."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of an order group for every unit and what it needs, USD."""

    number: int
    groups: tuple[GroupTerms, ...]
    loss_sum: float
    loss_joint: float
    loss_shift: float
    charges: float
    buffer: float
    maintenance: float
    initial: float

    @property
    def size(self) -> float:
        """What cancels into the losses, USD."""
        return math.fsum(group.size for group in self.groups)


@dataclass(frozen=True, slots=True)
class Fixed:
    """What every choice shares: liquidity, borrow and borrow_im, USD."""

    liquidity: float
    borrow: float
    initial_borrow: float


def explain_portfolio(
    out: Explanation, book: StressBook, result: PortfolioResult, units: Sequence[UnitTerms], equity: tuple[float, float]
) -> None:
    """Write the portfolio of an evaluated book whose margins have a value; `equity` as explained (NaN: none) with its size."""
    out.section("Liquidity")
    liquidity = _liquidity(out, book, units)
    out.check(
        "liquidity",
        "sum over instruments" if liquidity else "",
        liquidity,
        known(result.liquidity),
        math.fsum(unit.group(0).size for unit in units),
    )
    fixed = _borrow(out, book, result.portfolio, liquidity)
    out.check("borrow", "", fixed.borrow, known(result.borrow))
    choices = [_choice(book, number, units, fixed) for number in range(len(CHOICE_NAMES) if any(unit.has_orders for unit in units) else 1)]
    chosen = choices[result.choice]
    _losses(out, book, units, chosen, result)
    _margins(out, book, units, choices, fixed, result)
    _ratios(out, result, *equity)


# -- liquidity and debts ------------------------------------------------------------------------------------------------------


def _liquidity(out: Explanation, book: StressBook, units: Sequence[UnitTerms]) -> float:
    common = book.parameters.portfolio
    if common.eta == 0.0:
        out.line("eta 0: no charge")
        return 0.0
    rate = f"{common.eta:g} x daily volatility x sqrt(notional / ({common.adv_stress:g} x volume of 24 h))"
    out.line(f"charge = notional x min({common.liquidity_cap:g}, {rate}), the cap where one is unknown")
    out.line("at most what a position can lose: long options and outcomes their value, short outcomes 1 - value a contract, times fx")
    by_name = [(unit, [leg for leg in unit.legs if leg.quote.name == name]) for unit in units for name in _instruments(unit)]
    found = [_charge(book, unit, legs) for unit, legs in by_name]
    if found:
        out.table(("instrument", "notional", "volume", "daily vol", "rate", "at most", "charge"), [row for row, _ in found])
    return math.fsum(charge for _, charge in found)


def _instruments(unit: UnitTerms) -> list[str]:
    return list(dict.fromkeys(leg.quote.name for leg in unit.legs))


def _charge(book: StressBook, unit: UnitTerms, legs: Sequence[LegTerms]) -> tuple[list[str], float]:
    common, quote = book.parameters.portfolio, legs[0].quote
    notional = math.fsum(abs(quote.notional(leg.position)) for leg in legs)
    known_volume, known_volatility = quote.volume > 0, unit.regime.daily > 0
    rate = common.liquidity_cap
    if known_volume and known_volatility:
        impact = common.eta * unit.regime.daily * math.sqrt(notional / (common.adv_stress * quote.volume))
        rate = min(rate, impact)
    charge, at_most = notional * rate, ""
    if quote.is_outcome or (quote.is_option and all(leg.position >= 0.0 for leg in legs)):
        sides = (quote.base if leg.position >= 0.0 else max(0.0, 1.0 - quote.base) for leg in legs)
        most = math.fsum(abs(leg.position) * side for leg, side in zip(legs, sides, strict=True)) * quote.fx
        charge, at_most = min(charge, most), usd(most)
    volume = usd(quote.volume) if known_volume else "unknown"
    daily = f"{unit.regime.daily:g}" if known_volatility else "unknown"
    return [quote.name, usd(notional), volume, daily, f"{rate:.6g}", at_most, usd(charge)], charge


def _borrow(out: Explanation, book: StressBook, portfolio: str, liquidity: float) -> Fixed:
    out.section("Borrow")
    common, borrowed, initial = book.parameters.portfolio, [], []
    for account in book.accounts.members[book.accounts.portfolios[portfolio]]:
        for debt in book.accounts.states[account].row.debts:
            if debt.amount == 0.0:
                continue
            worth = asset_price(book, debt.asset)
            told = ((debt.mm_rate, common.borrow_mm_rate), (debt.im_rate, common.borrow_im_rate))
            rates = [default if own is None else own for own, default in told]
            terms = [0.0 if rate == 0.0 else abs(debt.amount) * worth * rate for rate in rates]
            size = f"{price(abs(debt.amount))} {debt.asset} x {price(worth)}"
            out.line(f"{account}: {size} x {rates[0]:g} = {usd(terms[0])}; initial x {rates[1]:g} = {usd(terms[1])}")
            borrowed.append(terms[0])
            initial.append(terms[1])
    return Fixed(liquidity, math.fsum(borrowed), math.fsum(initial))


def asset_price(book: StressBook, asset: str) -> float:
    """USD per unit of a stablecoin or coin; NaN while unknown."""
    market = book.market
    if asset in market.assets:
        return float(book.tables.fx[market.assets[asset]])
    return float(book.tables.coins.table["index"][market.coins[asset]]) if asset in market.coins else math.nan


# -- losses and choices -------------------------------------------------------------------------------------------------------


def _own_group(unit: UnitTerms) -> int:
    if not unit.has_orders:
        return 0
    margins = [maintenance(unit.group(one), charges(unit, unit.group(one))) for one in range(len(GROUP_NAMES))]
    return margins.index(max(margins))


def _choice(book: StressBook, number: int, units: Sequence[UnitTerms], fixed: Fixed) -> Choice:
    common = book.parameters.portfolio
    groups = tuple(unit.group(_own_group(unit) if number == 0 else number - 1 if unit.has_orders else 0) for unit in units)
    own, together, shift = _family(groups, common.correlation_shift, static=False)
    parts = [charges_total(charges(unit, group)) + group.order_loss for unit, group in zip(units, groups, strict=True)]
    buffer = common.safety_buffer * shift
    initial = math.fsum(
        ((shift * group.max_loss / own if own > 0.0 else 0.0) + part) * unit.regime.im_factor
        for unit, group, part in zip(units, groups, parts, strict=True)
    )
    charged = math.fsum(parts)
    mm = shift + charged + fixed.liquidity + buffer + fixed.borrow
    return Choice(number, groups, own, together, shift, charged, buffer, mm, initial + fixed.liquidity + buffer + fixed.initial_borrow)


def _family(groups: Sequence[GroupTerms], correlation_shift: float, *, static: bool) -> tuple[float, float, float]:
    own = math.fsum(group.static_loss if static else group.max_loss for group in groups)
    together = max(
        0.0, -min((math.fsum(column) for column in zip(*(group.joint(static=static) for group in groups), strict=True)), default=0.0)
    )
    together = min(together, own)
    return own, together, together + correlation_shift * (own - together)


def _losses(out: Explanation, book: StressBook, units: Sequence[UnitTerms], chosen: Choice, result: PortfolioResult) -> None:
    names = [unit.coin for unit in units]
    out.section("Losses of all units together")
    parts = [(name, group.max_loss) for name, group in zip(names, chosen.groups, strict=True)]
    out.check("L_sum", total(parts), chosen.loss_sum, known(result.loss_sum), chosen.size)
    _joint(out, names, chosen.groups)
    out.check("L_joint", "max(0, - the least sum)", chosen.loss_joint, known(result.loss_joint), chosen.size)
    shift = book.parameters.portfolio.correlation_shift
    formula = f"{usd(chosen.loss_joint)} + {shift:g} x ({usd(chosen.loss_sum)} - {usd(chosen.loss_joint)})"
    out.check("L_shift", formula, chosen.loss_shift, known(result.loss_shift), chosen.size)
    static = _family(chosen.groups, shift, static=True)
    out.line(f"without volatility shocks: L_sum {usd(static[0])}, L_joint {usd(static[1])}, L_shift {usd(static[2])}")
    families = {
        "directional": ("L_shift without volatility shocks", static[2]),
        "volatility": ("L_shift - directional", chosen.loss_shift - static[2]),
        "correlation": ("L_shift - L_joint", chosen.loss_shift - chosen.loss_joint),
    }
    for name, (formula, value) in families.items():
        out.check(f"family {name}", formula, value, (result.families or {}).get(name, math.nan), chosen.size)


def _joint(out: Explanation, names: Sequence[str], groups: Sequence[GroupTerms]) -> None:
    if not groups:
        return
    columns = [group.joint() for group in groups]
    sums = [math.fsum(row) for row in zip(*columns, strict=True)]
    least, half = min(sums), len(sums) // 2
    for first in range(0, len(names), COLUMNS):
        some = range(first, min(first + COLUMNS, len(names)))
        rows = [
            [f"{j - half:+d}/{half}", *(usd(columns[column][j]) for column in some), usd(one) + (" *" if one == least else "")]
            for j, one in enumerate(sums)
        ]
        out.table(("node", *(f"joint {names[column]}" for column in some), "sum of all"), rows)


def _margins(
    out: Explanation, book: StressBook, units: Sequence[UnitTerms], choices: Sequence[Choice], fixed: Fixed, result: PortfolioResult
) -> None:
    out.section("Order groups of the whole portfolio, USD")
    headings = ("choice", "L_sum", "L_joint", "L_shift", "charges, orders", "MM", "IM")
    rows = []
    for choice in choices:
        figures = (choice.loss_sum, choice.loss_joint, choice.loss_shift, choice.charges, choice.maintenance, choice.initial)
        rows.append([CHOICE_NAMES[choice.number], *map(usd, figures)])
    out.table(headings, rows)
    best = choices[result.choice]
    out.section("Margin")
    factor = book.parameters.portfolio.safety_buffer
    out.check("buffer", f"safety_buffer {factor:g} x L_shift {usd(best.loss_shift)}", best.buffer, known(result.buffer), best.size)
    terms = {"L_shift": best.loss_shift, "charges and orders": best.charges, "liquidity": fixed.liquidity}
    out.table(("MM of", "USD"), [[name, usd(value)] for name, value in (terms | {"buffer": best.buffer, "borrow": fixed.borrow}).items()])
    out.check(f"MM ({CHOICE_NAMES[best.number]})", "their sum", best.maintenance, known(result.maintenance_margin), best.size)
    most = max(choice.maintenance for choice in choices)
    out.check("MM", "the largest of the choices", most, known(result.maintenance_margin), best.size)
    _initial(out, units, max(choices, key=lambda choice: choice.initial), fixed, result)


def _initial(out: Explanation, units: Sequence[UnitTerms], choice: Choice, fixed: Fixed, result: PortfolioResult) -> None:
    for unit, group in zip(units, choice.groups, strict=True):
        share = choice.loss_shift * group.max_loss / choice.loss_sum if choice.loss_sum > 0.0 else 0.0
        rest = charges_total(charges(unit, group)) + group.order_loss
        value = (share + rest) * unit.regime.im_factor
        out.line(f"IM of {unit.coin}: (share of L_shift {usd(share)} + charges {usd(rest)}) x {unit.regime.im_factor:g} = {usd(value)}")
    fixed_terms = f"liquidity {usd(fixed.liquidity)} + buffer {usd(choice.buffer)} + borrow_im {usd(fixed.initial_borrow)}"
    out.check(f"IM ({CHOICE_NAMES[choice.number]})", f"these + {fixed_terms}", choice.initial, known(result.initial_margin), choice.size)


def _ratios(out: Explanation, result: PortfolioResult, equity: float, size: float) -> None:
    out.section("Ratios")
    if math.isnan(equity):
        out.line("equity has no value, so there is no ratio")
        return
    margins = (
        ("margin_ratio", known(result.maintenance_margin), result.margin_ratio),
        ("initial_ratio", known(result.initial_margin), result.initial_ratio),
    )
    for what, margin, engine in margins:
        ratio = 0.0 if margin <= 0.0 else margin / equity if equity > 0.0 else math.inf
        scale = ratio * size / equity if equity > 0.0 else 0.0
        out.check(what, f"{usd(margin)} / {usd(equity)}", ratio, known(engine), scale, money=False)
    margin = known(result.maintenance_margin)
    out.check("excess", f"{usd(equity)} - {usd(margin)}", equity - margin, known(result.excess), size + margin)


def known(value: float | None) -> float:
    """A figure of a result; NaN, which equals nothing, where it has none."""
    return math.nan if value is None else value
