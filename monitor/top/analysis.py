"""Panels of one portfolio: what contributes to its margin, its scenarios, and its modes and venues. Figures are of the last report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from monitor.alerts.text import symbol
from monitor.report.plain import number
from monitor.report.text import distances_table
from monitor.report.text_parts import DASH, brief, level_text, money, move, ratio
from monitor.report.text_venues import view_parts
from monitor.terminal import percent, short
from monitor.top.model import Model, Row
from monitor.top.parts import NO_FIGURE, View, as_of, failures, looked_at, members, never_folds, portfolio_ids, tight_table

BAR = 8
"""Cells of the bar of the largest contribution or family."""

_Part = Callable[[Model, View, Row], Iterator[RenderableType]]


def contribution(model: Model, view: View) -> Iterator[RenderableType]:
    """What each position adds to its portfolio's margin, largest first; a negative one hedges."""
    return _each(model, view, _contribution)


def scenarios(model: Model, view: View) -> Iterator[RenderableType]:
    """The four families, the worst scenario of every coin, and the moves that take a portfolio to its levels."""
    return _each(model, view, _scenarios)


def modes(model: Model, view: View) -> Iterator[RenderableType]:
    """Cross against portfolio, each pool on its own with who is liquidated first and what to send where, accounts under other modes."""
    return _each(model, view, _modes)


def _each(model: Model, view: View, part: _Part) -> Iterator[RenderableType]:
    if not portfolio_ids(model):
        yield Text("no portfolio is configured: add a [[portfolios]] to the monitor's configuration", style="dim")
    for name in looked_at(model, view):
        row = model.row("reports", name)
        if row is None:
            yield Text(f"portfolio {name}: no report yet", style=NO_FIGURE)
            continue
        yield Text(f"portfolio {name}, {as_of(model, row)}", style="bold")
        if "units" in row:
            yield from part(model, view, row)
        else:
            yield from failures("", row["failures"])


# -- contribution ----------------------------------------------------------------------------------------------------------------------


def _contribution(model: Model, view: View, row: Row) -> Iterator[RenderableType]:
    margin = row.get("portfolio", row)["maintenance_margin"]
    yield Text(f"maintenance margin {money(margin)} USD; hedge benefit {money(row['hedge_benefit'])} USD")
    positions = [one for unit in row["units"] if unit["status"] == "ok" for one in unit["positions"] if view.shows(one["account"])]
    for unit in row["units"]:
        yield from failures(f"{unit['coin']}: ", unit["failures"])
    if not positions:
        yield Text("no position" + (f" of an account with “{view.account}”" if view.account else ""), style="dim")
        return
    positions.sort(key=lambda one: -abs(one["contribution"]))
    largest = abs(positions[0]["contribution"])
    headings = ("position", _SIDES, "contribution", "alone", "left out", "notional")
    table = never_folds(tight_table(*headings, left=2), _SIDES)
    for one in positions:
        name = " ".join(part for part in (one["account"], symbol(one["instrument"]), one["side"]) if part)
        figures = [brief(one[key], signed=True) for key in ("contribution", "standalone", "leave_one_out")]
        table.add_row(name, _signed_bar(one["contribution"], largest), *figures, short(one["notional"]))
    yield table
    yield Text(_COLUMNS, style="dim")


_COLUMNS = "alone: margin of the position by itself; left out: what the margin falls by without it"
_SIDES = f"{'hedges':>{BAR}}│{'adds':<{BAR}}"


def _signed_bar(value: float, largest: float) -> Text:
    # to the left of the axis it hedges, to the right it adds
    cells = 0 if not largest else round(BAR * abs(value) / largest)
    if value < 0:
        return Text(("█" * cells).rjust(BAR), style="green").append("│", style="dim")
    return Text(" " * BAR).append("│", style="dim").append("█" * cells, style="yellow")


# -- scenarios -------------------------------------------------------------------------------------------------------------------------


def _scenarios(model: Model, view: View, row: Row) -> Iterator[RenderableType]:
    if row["families"]:
        yield _families({name: number(value) or 0.0 for name, value in row["families"].items()})
    units = [unit for unit in row["units"] if unit["status"] == "ok"]
    for unit in row["units"]:
        yield from failures(f"{unit['coin']}: ", unit["failures"])
    if units:
        yield _worst(units)
    yield distances_table(row)


def _families(found: Mapping[str, float]) -> Table:
    table = tight_table("family", "", "loss, USD", left=2, title="what the margin is for")
    largest = max(found.values())
    for name, value in sorted(found.items(), key=lambda one: -one[1]):
        cells = 0 if not largest > 0 else round(BAR * max(0.0, value) / largest)
        table.add_row(name, Text(("█" * cells).ljust(BAR), style="yellow"), brief(value))
    return table


def _worst(units: Iterable[Mapping[str, Any]]) -> Table:
    table = tight_table(
        "coin", "worst price", "worst vol", "max loss", "maintenance", "resting orders", left=1, title="worst scenario by coin"
    )
    for unit in units:
        figures = [brief(unit[key]) for key in ("max_loss", "maintenance_margin")]
        moves = [move(unit["worst"][key]) for key in ("price", "vol")]
        table.add_row(unit["coin"], *moves, *figures, unit["binding_orders"].replace("_", " "))
    return table


# -- modes and venues ------------------------------------------------------------------------------------------------------------------


def _modes(model: Model, view: View, row: Row) -> Iterator[RenderableType]:
    own, cross = row.get("portfolio", row), row["cross"]
    table = tight_table("margin, USD", "maintenance", "initial", left=1)
    for name, found in (("cross", cross), ("portfolio", own)):
        stands = " (stands)" if row["method"] == name else ""
        table.add_row(f"{name}{stands}", money(found["maintenance_margin"]), money(found["initial_margin"]))
    yield table
    saving = number(cross["saving"])
    yield Text(f"saving against cross: {DASH if saving is None else percent(saving)}")
    yield from failures("cross: ", (one for one in cross["failures"] if one not in row["failures"]))
    for reason in row["eligibility"]["reasons"]:
        yield Text(f"not eligible for the portfolio method, margined by cross: {reason}", style="yellow")
    yield from view_parts(row["venues"])
    yield from _other_modes(model, view, members(model, row["id"]))


def _other_modes(model: Model, view: View, accounts: set[str]) -> Iterator[RenderableType]:
    title = "the same account under each of Hyperliquid's modes"
    table = never_folds(tight_table("account", "mode", "pool", "equity", "maint.", "ratio", "level", left=3, title=title), "mode")
    unknown: list[RenderableType] = []
    for account in model.ids("modes"):
        if account not in accounts or not view.shows(account):
            continue
        for mode, found in (model.row("modes", account) or {}).items():
            if mode == "as_of":
                continue
            unknown += failures(f"{account} under {mode.replace('_', ' ')}: ", found["failures"])
            for row in found["pools"]:
                figures = [short(number(row[key])) for key in ("equity", "maintenance_margin")]
                table.add_row(account, mode.replace("_", " "), row["pool"], *figures, ratio(row["margin_ratio"]), level_text(row["level"]))
    if table.row_count:
        yield table
    yield from unknown
