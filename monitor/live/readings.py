"""What the alarm reads of the live portfolios: their figures of the last tick, and what they rest on of those that are in danger.

portfolio_reading(live, name)    one, at once
portfolio_readings(live)         all of the configuration, in its order
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from config.portfolios import PortfolioSettings
from kernels import layout
from monitor.live.books import PortfolioFigures
from monitor.live.portfolios import LivePortfolios
from monitor.live.reading import PortfolioReading
from monitor.margin.portfolio import UnitResult, unit_result
from monitor.margin.stages import NO_VENUE_ACTS, STAGE_TEXT
from monitor.report.remedies import unified_stage
from monitor.stress.book import StressBook


def portfolio_readings(live: LivePortfolios, *, closely: bool = False) -> list[PortfolioReading]:
    """Every portfolio; `closely` looks also at those below their warning level as at the others."""
    return [_reading(live, portfolio, closely) for portfolio in live.settings.portfolios]


def portfolio_reading(live: LivePortfolios, name: str, *, closely: bool = False) -> PortfolioReading:
    """One portfolio. KeyError for one that is not configured."""
    for portfolio in live.settings.portfolios:
        if portfolio.id == name:
            return _reading(live, portfolio, closely)
    raise KeyError(name)


def _reading(live: LivePortfolios, portfolio: PortfolioSettings, closely: bool) -> PortfolioReading:
    figures = live.books.figures(portfolio.id, live.failures_of(portfolio.accounts))
    reading = PortfolioReading(
        portfolio.id,
        tuple(portfolio.accounts),
        figures.parameters,
        figures.margin_ratio,
        live.last_ratios.get(portfolio.id),
        equity=figures.equity,
        maintenance_margin=figures.maintenance_margin,
        initial_margin=figures.initial_margin,
        next_step=NO_VENUE_ACTS,
        failures=figures.failures,
    )
    if figures.margin_ratio is None or figures.equity is None or figures.maintenance_margin is None:
        return reading
    live.last_ratios[portfolio.id] = figures.margin_ratio
    more = _more(live.book_of(portfolio.id), figures, portfolio.levels.warning, closely)
    return replace(reading, last_margin_ratio=figures.margin_ratio, excess=figures.equity - figures.maintenance_margin, **more)


def _more(book: StressBook, figures: PortfolioFigures, warning: float, closely: bool) -> dict[str, Any]:
    name, ratio = figures.portfolio, figures.margin_ratio or 0.0
    found: dict[str, Any] = {"worst": _worst(book, name)}
    if ratio >= warning:
        found["cash_to_safety"] = max(0.0, (figures.maintenance_margin or 0.0) / warning - (figures.equity or 0.0))
    stage = unified_stage(book, name, ratio)
    if stage is not None:
        found["next_step"] = STAGE_TEXT[stage]
    if found["worst"] is not None and (closely or ratio >= warning):
        found |= _closely(unit_result(book, name, found["worst"][0]))
    return found


def _worst(book: StressBook, name: str) -> tuple[str, float] | None:
    # the groups of orders that the portfolio's margin is of
    row, units = book.accounts.portfolios[name], book.tables.units.table
    choice = int(book.tables.portfolios.table["choice"][row])
    worst: tuple[str, float] | None = None
    for unit in book.accounts.legs.listed_units(row):
        record = units[unit]
        if record["status"] != layout.OK:
            continue
        group = 0 if not record["has_orders"] else int(record["binding"]) if choice == 0 else choice - 1
        margin = float(record["maintenance"][group])
        if worst is None or margin > worst[1]:
            worst = book.market.coin_names[int(record["coin"])], margin
    return worst


def _closely(unit: UnitResult) -> dict[str, Any]:
    found: dict[str, Any] = {"contributor": _contributor(unit)}
    if unit.max_loss > 0.0:
        found |= {"scenario": _scenario(unit), "scenario_loss": unit.max_loss}
    return found


def _scenario(unit: UnitResult) -> str:
    shock = f"{100 * unit.worst_price:+.4g}%" if unit.worst_price else "price unchanged"
    # beyond the ordinary grid the loss counts in part only
    is_extreme = not any(math.isclose(unit.worst_price, node) for node in unit.price_nodes)
    moved = any(value for row in unit.option for value in row) and unit.worst_volatility != 0.0
    volatility = "" if not moved else "vol up" if unit.worst_volatility > 0.0 else "vol down"
    return " ".join(word for word in (shock, "extreme" if is_extreme else "", volatility) if word)


def _contributor(unit: UnitResult) -> str:
    worst = max(unit.positions, key=lambda leg: leg.contribution, default=None)
    if worst is None or worst.contribution <= 0.0:
        return ""
    name = " ".join(word for word in (worst.account, worst.instrument, worst.side) if word)
    return f"{name}, {worst.contribution:,.0f} USD of the margin of {unit.coin}"
