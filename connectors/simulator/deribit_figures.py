"""The simulated Deribit's own figures of an account: what it publishes, liquidates by, and what a monitor must arrive at.

Standard margin, a rule for each position and unit, with n = 1 coin (inverse) or the index (linear) and p the mark price:
  short call   maintenance 0.075 n + p                     initial max(0.15 - otm, 0.10) n + p
  short put    maintenance max(0.075 n, 0.075 p) + p       initial max(max(0.15 - otm, 0.10) n + p, maintenance)
  long option  nothing                                     future  1 % and 2 % of its notional
where otm is how far the strike is out of the money over the index. The margin balance holds no options: equity - options value.
Portfolio margin: the largest loss of the account over nine prices (+-16 % of every index at once) and three volatilities
(x 0.75, 1, 1.5) is the initial margin, 80 % of it the maintenance margin; the margin balance is the equity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from connectors.simulator.deribit_accounts import CURRENCIES, Account, Position
from connectors.simulator.deribit_black import Greeks, price

_SHORT_MAINTENANCE, _SHORT_INITIAL, _SHORT_FLOOR = 0.075, 0.15, 0.10
_FUTURE_MAINTENANCE, _FUTURE_INITIAL = 0.01, 0.02
_RANGE, _NODES, _VOLATILITIES = 0.16, 4, (0.75, 1.0, 1.5)
_PORTFOLIO_MAINTENANCE = 0.8


@dataclass(frozen=True, slots=True)
class Figures:
    """Margin of a pool now: in `currency`, USD for a cross account. `ratio` is maintenance / margin balance, 1 is liquidation.

    The ratio is inf when nothing of the balance is left under a maintenance margin, 0 without one.
    """

    currency: str
    equity: float
    margin_balance: float
    initial_margin: float
    maintenance_margin: float
    options_value: float
    delta_total: float

    @property
    def ratio(self) -> float:
        """Maintenance margin over margin balance."""
        if self.maintenance_margin <= 0.0:
            return 0.0
        return self.maintenance_margin / self.margin_balance if self.margin_balance > 0.0 else math.inf


@dataclass(slots=True)
class Wallet:
    """One currency of an account, in it; maps are by price index, without premium; `delta_total` is less the options' value."""

    currency: str
    balance: float
    options_value: float = 0.0
    options_profit: float = 0.0
    futures_profit: float = 0.0
    initial: float = 0.0
    maintenance: float = 0.0
    projected_initial: float = 0.0
    projected_maintenance: float = 0.0
    delta_total: float = 0.0
    projected_delta: float = 0.0
    options_delta: float = 0.0
    deltas: dict[str, float] = field(default_factory=dict)
    gammas: dict[str, float] = field(default_factory=dict)
    vegas: dict[str, float] = field(default_factory=dict)
    thetas: dict[str, float] = field(default_factory=dict)

    @property
    def equity(self) -> float:
        """Balance, unrealised profit of futures and the value of options."""
        return self.balance + self.futures_profit + self.options_value


def unit_greeks(account: Account, position: Position) -> Greeks:
    """Greeks of one unit of an option position."""
    return account.prices.greeks(position.contract)


def position_delta(account: Account, position: Position) -> float:
    """Delta of a position in coins of its underlying, without premium."""
    contract = position.contract
    if contract.is_option:
        return position.size * unit_greeks(account, position).delta
    return position.size / account.prices.mark(contract) if contract.family.inverse else position.size


def standard_margin(account: Account, position: Position) -> tuple[float, float]:
    """(initial, maintenance) of one position by the standard rule, in its settlement currency."""
    contract, size = position.contract, abs(position.size)
    mark, index = account.prices.mark(contract), account.prices.indices[contract.family.index]
    if not contract.is_option:
        notional = size / mark if contract.family.inverse else size * mark
        return _FUTURE_INITIAL * notional, _FUTURE_MAINTENANCE * notional
    if position.size >= 0.0:
        return 0.0, 0.0
    unit = 1.0 if contract.family.inverse else index
    away = max(contract.strike - index if contract.call else index - contract.strike, 0.0) / index
    maintenance = _SHORT_MAINTENANCE * (unit if contract.call else max(unit, mark)) + mark
    initial = max(_SHORT_INITIAL - away, _SHORT_FLOOR) * unit + mark
    return size * max(initial, maintenance), size * maintenance


def wallet(account: Account, currency: str) -> Wallet:
    """What one currency of an account adds up to; margins of its own positions only."""
    found, positions = Wallet(currency, account.wallet[currency]), account.held(currency)
    nearest = min((p.contract.expiry_ms for p in positions if p.contract.expiry_ms is not None), default=None)
    for position in positions:
        _add(account, found, position, projected=position.contract.expiry_ms is None or position.contract.expiry_ms != nearest)
    if account.portfolio_margin:
        found.initial = scenario_loss(account, positions)
        found.projected_initial = scenario_loss(
            account, [p for p in positions if p.contract.expiry_ms in (None,) or p.contract.expiry_ms != nearest]
        )
        found.maintenance = _PORTFOLIO_MAINTENANCE * found.initial
        found.projected_maintenance = _PORTFOLIO_MAINTENANCE * found.projected_initial
    return found


def scenario_loss(account: Account, positions: list[Position], *, usd: bool = False) -> float:
    """Largest loss over the portfolio scenarios, in the settlement currency or in USD."""
    worst = 0.0
    for node in range(-_NODES, _NODES + 1):
        shock = 1.0 + _RANGE * node / _NODES
        for factor in _VOLATILITIES:
            total = sum(
                _scenario(account, p, shock, factor) * (account.prices.usd(p.contract.family.settle) if usd else 1.0) for p in positions
            )
            worst = max(worst, -total)
    return worst


def figures(account: Account) -> dict[str, Figures]:
    """Figures of every pool: "cross" (in USD) of a cross account, else each currency that holds anything."""
    wallets = {currency: wallet(account, currency) for currency in CURRENCIES[:-1]}
    if not account.cross:
        return {c: _own(account, w) for c, w in wallets.items() if w.equity or account.held(c)}
    usd = {currency: account.prices.usd(currency) for currency in wallets}
    equity = sum(w.equity * usd[c] for c, w in wallets.items())
    value = sum(w.options_value * usd[c] for c, w in wallets.items())
    initial = sum(w.initial * usd[c] for c, w in wallets.items())
    maintenance = sum(w.maintenance * usd[c] for c, w in wallets.items())
    if account.portfolio_margin:
        initial = scenario_loss(account, list(account.positions.values()), usd=True)
        maintenance = _PORTFOLIO_MAINTENANCE * initial
    balance = equity if account.portfolio_margin else equity - value
    delta = sum(w.delta_total * usd[c] for c, w in wallets.items())
    return {"cross": Figures("USD", equity, balance, initial, maintenance, value, delta)}


def _own(account: Account, found: Wallet) -> Figures:
    balance = found.equity if account.portfolio_margin else found.equity - found.options_value
    return Figures(found.currency, found.equity, balance, found.initial, found.maintenance, found.options_value, found.delta_total)


def _add(account: Account, found: Wallet, position: Position, *, projected: bool) -> None:
    contract = position.contract
    index = contract.family.index
    delta, premium = position_delta(account, position), 0.0
    if contract.is_option:
        unit = unit_greeks(account, position)
        premium = position.size * account.prices.mark(contract)
        found.options_value += premium
        found.options_profit += account.profit(position)
        found.options_delta += delta
        for table, value in ((found.gammas, unit.gamma), (found.vegas, unit.vega), (found.thetas, unit.theta)):
            table[index] = table.get(index, 0.0) + position.size * value
    else:
        found.futures_profit += account.profit(position)
    found.deltas[index] = found.deltas.get(index, 0.0) + delta
    scale = 1.0 if contract.family.inverse else account.prices.indices[index]
    initial, maintenance = standard_margin(account, position)
    found.delta_total += delta * scale - premium
    found.initial += initial
    found.maintenance += maintenance
    if projected:
        found.projected_delta += delta * scale - premium
        found.projected_initial += initial
        found.projected_maintenance += maintenance


def _scenario(account: Account, position: Position, shock: float, factor: float) -> float:
    contract, now = position.contract, account.prices.mark(position.contract)
    if not contract.is_option:
        return account.profit(position, now * shock) - account.profit(position)
    quote = account.prices.options[contract.name]
    value = price(quote.forward * shock, contract.strike, quote.years, quote.iv * factor, call=contract.call)
    return position.size * ((value / (quote.forward * shock) if contract.family.inverse else value) - now)
