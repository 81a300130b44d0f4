"""Section 8: the equity of an account, given or computed, and how it moves with prices; debts and what they require."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from tests.reference.market import Failure, Market, Quote, has_strike, lacking, quote
from tests.reference.parameters import ParameterSet, Values
from tests.reference.snapshot import Account, Balance, Debt, Leg


def counted(balance: Balance, market: Market) -> float:
    """The part of a balance that counts: its haircut on positive ones only; a coin of unknown ratio counts 0."""
    ratio = balance.ratio
    if ratio is None:
        ratio = 0.0 if market.stablecoin(balance.asset) is None else 1.0
    return min(balance.total, balance.total * ratio)


def linear_profit(quantity: float, quoted: Quote, entry: float) -> float:
    """Unrealised P&L of a linear leg, USD."""
    return quantity * (quoted.mark - entry) * quoted.fx


def inverse_profit(notional: float, quoted: Quote, entry: float) -> float:
    """Unrealised P&L of an inverse leg, USD."""
    return notional * (1.0 / entry - 1.0 / quoted.mark) * quoted.index


def leg_value(leg: Leg, quoted: Quote) -> float:
    """What the leg adds to equity: unrealised P&L, or an option's value.

    A given equity holds for legs without entry too: a linear one's cancels, an inverse one's is taken at the snapshot's mark.
    """
    if quoted.is_option:
        return leg.quantity * quoted.base * quoted.fx
    if leg.instrument.inverse:
        return inverse_profit(leg.quantity, quoted, leg.entry or leg.instrument.mark or quoted.mark)
    return linear_profit(leg.quantity, quoted, leg.entry or 0.0)


def movable(account: Account, market: Market, parameters: ParameterSet) -> float:
    """The part of an account's equity that follows prices, USD; what has no price adds nothing."""
    values = [
        leg_value(leg, quote(leg.instrument, market, unit_base(leg, parameters)))
        for leg in account.legs
        if not any(lacking(leg.instrument, market))
    ]
    values += [counted(row, market) * (market.price(row.asset) or 0.0) for row in account.balances]
    values += [-abs(row.amount) * (market.price(row.asset) or 0.0) for row in account.debts]
    return math.fsum(values)


def unit_base(leg: Leg, parameters: ParameterSet) -> str:
    """`option_base` of the leg's coin."""
    return str(parameters.unit(leg.instrument.coin)["option_base"])


def equity(account: Account, market: Market, parameters: ParameterSet) -> float:
    """USD; only asked of accounts that lack nothing for it."""
    now = movable(account, market, parameters)
    if account.equity is None:
        return now
    return account.equity + (now - movable(account, Market(market.book), parameters)) if market.moves else account.equity


def borrow(debts: Sequence[Debt], market: Market, rate: Callable[[Debt], float]) -> float:
    """Requirement on borrowed assets, USD."""
    return math.fsum(abs(debt.amount) * (market.price(debt.asset) or 0.0) * rate(debt) for debt in debts)


def mm_rate(debt: Debt, portfolio: Values) -> float:
    """The debt's own rate, else the parameter set's."""
    return float(portfolio["borrow_mm_rate"]) if debt.mm_rate is None else debt.mm_rate


def im_rate(debt: Debt, portfolio: Values) -> float:
    """The debt's own rate for initial margin, else the parameter set's."""
    return float(portfolio["borrow_im_rate"]) if debt.im_rate is None else debt.im_rate


def debt_failures(account: Account, market: Market) -> Iterator[Failure]:
    """Debts that nothing prices."""
    for debt in account.debts:
        if debt.amount != 0.0 and market.price(debt.asset) is None:
            yield market.unpriced(debt.asset)


def valuation_failures(account: Account, market: Market) -> Iterator[Failure]:
    """What an account's computed equity lacks, besides what its units lack anyway."""
    for leg in account.legs:
        if not has_strike(leg.instrument) and leg.quantity != 0.0 and leg.entry is None:
            yield Failure("MISSING_ENTRY", leg.instrument.coin, leg.instrument.id)
    for balance in account.balances:
        if balance.total != 0.0 and market.price(balance.asset) is None:
            yield market.unpriced(balance.asset)
    yield from debt_failures(account, market)
