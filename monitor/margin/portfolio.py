"""The `portfolio` method: stress-based margin of a set of accounts on any venues, as results with their explanation.

The figures live in a `StressBook`; this module reads them. No venue acts on them: equity cannot be moved between venues in an
instant, so a healthy portfolio protects no account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kernels import attribution, breakdown, layout
from kernels.layout import Floats
from monitor.margin.failures import account_failures, coin_failure, failure_of, instrument_failure
from monitor.margin.result import Failure, Level
from monitor.stress.book import StressBook

METHOD = "portfolio"
GROUP_NAMES = ("positions", "buy_orders", "sell_orders")
CHARGE_NAMES = ("short_option", "vega_spread", "stablecoin_spread", "delta_spread", "spot_basis", "perpetual_future")
"""Names of the contingencies in the order of `kernels.layout`."""


@dataclass(frozen=True, slots=True)
class LegResult:
    """One row of a unit's contribution table; USD, `quantity` as held, without orders.

    `contribution` (Euler) sums to the unit's maintenance margin; `standalone` and `leave_one_out` are portfolio margins, None
    until asked for. `account` is None on the rows of hedging spot and collateral.
    """

    account: str | None
    instrument: str
    side: str | None
    quantity: float
    notional: float
    contribution: float
    standalone: float | None = None
    leave_one_out: float | None = None


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A coin of a portfolio under its binding order group; USD, delta and hedging spot in coin, vega per 1.00 of volatility.

    The rows over price nodes are the ordinary ones; `option` is [volatility node][price node]. With `failures` nothing else holds.
    """

    coin: str
    failures: tuple[Failure, ...] = ()
    max_loss: float = 0.0
    worst_price: float = 0.0
    worst_volatility: float = 0.0
    binding_orders: str = GROUP_NAMES[0]
    price_nodes: tuple[float, ...] = ()
    volatility_nodes: tuple[float, ...] = ()
    linear: tuple[float, ...] = ()
    option: tuple[tuple[float, ...], ...] = ()
    spot: tuple[float, ...] = ()
    collateral: tuple[float, ...] = ()
    all: tuple[float, ...] = ()
    contingency: Mapping[str, float] = field(default_factory=dict)
    order_loss: float = 0.0
    maintenance_margin: float = 0.0
    initial_margin: float = 0.0
    delta: float = 0.0
    gamma: float = 0.0
    vega: float = 0.0
    hedging_spot: float = 0.0
    positions: tuple[LegResult, ...] = ()


@dataclass(frozen=True, slots=True)
class PortfolioResult:
    """Margin of one portfolio at one instant, in USD. With `failures` the ratios are None; margins may be known without equity.

    `margin_ratio` = maintenance_margin / equity, +inf without equity; `choice` is the order-group choice that won (0: each unit's
    own). `families` are directional, volatility, correlation and liquidity. `at_cap` counts instruments charged the liquidity cap
    for want of volume or volatility.
    """

    portfolio: str
    method: str
    level: Level
    failures: tuple[Failure, ...] = ()
    equity: float | None = None
    maintenance_margin: float | None = None
    initial_margin: float | None = None
    margin_ratio: float | None = None
    initial_ratio: float | None = None
    loss_sum: float | None = None
    loss_joint: float | None = None
    loss_shift: float | None = None
    liquidity: float | None = None
    buffer: float | None = None
    borrow: float | None = None
    families: Mapping[str, float] | None = None
    gross_notional: float | None = None
    net_notional: float | None = None
    choice: int = 0
    at_cap: int = 0
    units: tuple[UnitResult, ...] = ()

    @property
    def excess(self) -> float | None:
        """equity - maintenance_margin."""
        return None if self.equity is None or self.maintenance_margin is None else self.equity - self.maintenance_margin

    @property
    def available(self) -> float | None:
        """equity - initial_margin."""
        return None if self.equity is None or self.initial_margin is None else self.equity - self.initial_margin

    @property
    def hedge_benefit(self) -> float | None:
        """Sum of the legs' standalone margins less the portfolio's; None until those were measured."""
        alone = [leg.standalone for unit in self.units for leg in unit.positions if leg.account is not None]
        if self.maintenance_margin is None or any(value is None for value in alone):
            return None
        return sum(value for value in alone if value is not None) - self.maintenance_margin

    def cash_to_safety(self, target: float) -> float | None:
        """USD that, added to equity, brings the ratio down to `target`; 0 below it."""
        if self.margin_ratio is None or self.maintenance_margin is None or self.equity is None:
            return None
        return max(0.0, self.maintenance_margin / target - self.equity) if self.margin_ratio > target else 0.0


def portfolio_result(book: StressBook, name: str, levels: Sequence[float] = (0.85, 0.90, 1.0)) -> PortfolioResult:
    """The full result of one portfolio as last evaluated; `levels` are warning, critical and 1.0."""
    row = book.accounts.portfolios[name]
    record = book.tables.portfolios.table[row]
    units = tuple(_unit(book, row, unit) for unit in book.accounts.legs.listed_units(row))
    has_margin, has_equity = record["status"] == layout.OK, record["equity_status"] == layout.OK
    figures: dict[str, Any] = _margins(book, row) if has_margin else {}
    if has_margin and has_equity:
        ratio = float(record["ratio"])
        passed = sum(ratio >= bound for bound in levels)
        level = Level.BREACH if passed == Level.LIQUIDATION else Level(passed)
        figures |= {"level": level, "margin_ratio": ratio, "initial_ratio": float(record["initial_ratio"])}
    if has_margin and has_equity:
        figures["equity"] = float(record["equity"])
    failures = () if has_margin and has_equity else _failures(book, row, units)
    return replace(PortfolioResult(name, METHOD, Level.OK, failures, units=units), **figures)


def unit_result(book: StressBook, name: str, coin: str) -> UnitResult:
    """One coin of a portfolio as last evaluated. KeyError where the portfolio has no unit of it."""
    row = book.accounts.portfolios[name]
    return _unit(book, row, book.accounts.legs.units[row][book.market.coins[coin]])


def _margins(book: StressBook, row: int) -> dict[str, Any]:
    record = book.tables.portfolios.table[row]
    joint, static = breakdown.joint_losses(row, int(record["choice"]), book.tables.book)
    shift, liquidity = float(record["loss_shift"]), float(record["liquidity"])
    return {
        "maintenance_margin": float(record["maintenance"]),
        "initial_margin": float(record["initial"]),
        "loss_sum": float(record["loss_sum"]),
        "loss_joint": joint,
        "loss_shift": shift,
        "liquidity": liquidity,
        "buffer": float(record["buffer"]),
        "borrow": float(record["borrow"]),
        "families": {"directional": static, "volatility": shift - static, "correlation": shift - joint, "liquidity": liquidity},
        "gross_notional": float(record["gross_notional"]),
        "net_notional": float(record["net_notional"]),
        "choice": int(record["choice"]),
        "at_cap": int(record["flagged"]),
    }


def _failures(book: StressBook, row: int, units: tuple[UnitResult, ...]) -> tuple[Failure, ...]:
    found = [failure for unit in units for failure in unit.failures] + account_failures(book, row)
    record = book.tables.portfolios.table[row]
    if not found:
        found.append(failure_of(int(record["status"]) or int(record["equity_status"]), book.accounts.names[row]))
    return tuple(dict.fromkeys(found))


def _unit_failures(book: StressBook, unit: int) -> tuple[Failure, ...]:
    coin = book.market.coin_names[int(book.tables.units.table["coin"][unit])]
    found = [coin_failure(book, coin), *(instrument_failure(book, key[2]) for key, _ in book.accounts.legs.of_unit(unit))]
    status = int(book.tables.units.table["status"][unit])
    if not any(found) and status != layout.OK:
        found.append(failure_of(status, coin))
    return tuple(dict.fromkeys(failure for failure in found if failure is not None))


def _unit(book: StressBook, portfolio: int, unit: int) -> UnitResult:
    tables = book.tables
    record = tables.units.table[unit]
    coin = int(record["coin"])
    name = book.market.coin_names[coin]
    failures = _unit_failures(book, unit)
    if failures:
        return UnitResult(name, failures)
    kernel = tables.book
    choice = int(tables.portfolios.table["choice"][portfolio]) if tables.portfolios.table["status"][portfolio] == layout.OK else 0
    group = breakdown.unit_choice(unit, choice, kernel)
    parameters = book.parameters.unit(name)
    volatilities = (parameters.vol_up, 0.0, -parameters.vol_down)
    gamma, vega = breakdown.unit_greeks(unit, group, kernel)
    curves = np.zeros((breakdown.ROWS, int(tables.rules["nodes"][0])))
    worst_volatility = volatilities[breakdown.unit_curves(unit, group, kernel, curves)]
    charges = {key: float(value) for key, value in zip(CHARGE_NAMES, record["charge"][group], strict=True)}
    maintenance = float(record["maintenance"][group])
    return UnitResult(
        coin=name,
        max_loss=float(record["max_loss"][group]),
        worst_price=float(tables.nodes[coin, record["worst"][group]]),
        worst_volatility=worst_volatility,
        binding_orders=GROUP_NAMES[choice - 1 if choice else group],
        volatility_nodes=volatilities,
        contingency=charges,
        order_loss=float(record["order_loss"][group]),
        maintenance_margin=maintenance,
        initial_margin=maintenance * float(tables.coins.table["im_factor"][coin]),
        delta=float(record["delta"][group]),
        gamma=gamma,
        vega=vega,
        hedging_spot=float(record["hedge"][group]),
        positions=_positions(book, unit, group),
        **_over_nodes(tables.nodes[coin], curves[:, : int(tables.rules["ordinary"][0])]),
    )


def _over_nodes(shocks: Floats, curves: Floats) -> dict[str, Any]:
    rows = {
        "price_nodes": shocks[: curves.shape[1]],
        "linear": curves[breakdown.LINEAR_ROW],
        "spot": curves[breakdown.SPOT_ROW],
        "collateral": curves[breakdown.COLLATERAL_ROW],
        "all": curves[breakdown.ALL_ROW],
    }
    grid = curves[breakdown.OPTION_ROW : breakdown.OPTION_ROW + 3]
    return {key: _floats(values) for key, values in rows.items()} | {"option": tuple(_floats(line) for line in grid)}


def _floats(values: Floats) -> tuple[float, ...]:
    # without negative zeros, which a reader would wonder about
    return tuple(float(value) + 0.0 for value in values)


def _positions(book: StressBook, unit: int, group: int) -> tuple[LegResult, ...]:
    tables, kernel = book.tables, book.tables.book
    record = tables.units.table[unit]
    coin = int(record["coin"])
    name, index = book.market.coin_names[coin], float(tables.coins.table["index"][coin])
    shares, notionals, others = np.zeros(tables.legs.table.shape[0]), np.zeros(tables.legs.table.shape[0]), np.zeros(2)
    breakdown.leg_notionals(unit, kernel, notionals)
    attribution.contributions(unit, group, kernel, shares, others)
    rows = []
    for (_, account, number, side), leg in book.accounts.legs.of_unit(unit):
        notional, quantity = abs(float(notionals[leg])), float(tables.legs.table["quantity"][leg, 0])
        rows.append(LegResult(account, book.market.listed[number].id, side or None, quantity, notional, float(shares[leg])))
    hedge = float(record["hedge"][group])
    if hedge != 0.0:
        rows.append(LegResult(None, f"spot:{name}", None, hedge, abs(hedge) * index, float(others[attribution.SPOT])))
    free = max(0.0, float(record["collateral"]) - max(0.0, hedge))
    if free * float(record["collateral_ratio"]) * float(tables.coins.table["collateral_stress"][coin]) > 0.0:
        share = float(others[attribution.COLLATERAL])
        rows.append(LegResult(None, f"collateral:{name}", None, free, free * index, share))
    return tuple(rows)


def with_measures(result: PortfolioResult, alone: Mapping[Any, float], without: Mapping[Any, float]) -> PortfolioResult:
    """The result with each leg's standalone margin and leave-one-out, by (account, instrument, side)."""
    units = []
    for unit in result.units:
        legs = [
            replace(leg, standalone=alone.get(key), leave_one_out=without.get(key))
            for leg in unit.positions
            for key in [(leg.account, leg.instrument, leg.side)]
        ]
        units.append(replace(unit, positions=tuple(legs)))
    return replace(result, units=tuple(units))
