"""The head of the terminal's picture and its first panel: the line, the worst level, the portfolios, and every pool, worst first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.alerts.text import symbol
from monitor.margin.result import Level
from monitor.report.plain import number
from monitor.report.text_parts import DASH, level_text
from monitor.resolvers.provenance import Provenance
from monitor.terminal import STYLES, bar, percent, short
from monitor.top.model import Connection, Model, Row
from monitor.top.parts import (
    NO_FIGURE,
    View,
    age,
    clock,
    failures,
    is_unknown,
    looked_at,
    never_folds,
    pools_of,
    portfolio_ids,
    tight_table,
)

WIDE = 112
"""Columns from which a pool's equity, margin and mode are shown too."""

MOST_REASONS = 2
"""Reasons why a monitor is not ready that the head names; the rest is counted."""


def head(model: Model, panel: str, view: View) -> Group:
    """The state of the line, the time of the last frame, the worst level, what is shown, and what stands against relying on it."""
    return Group(_state(model), _title(model, panel, view), *_reasons(model))


def _state(model: Model) -> Text:
    line = Text()
    connection = model.connection
    if connection is Connection.STALE:
        line.append(f" STALE for {age(model.silent_s)} ", style="reverse bold")
    elif connection is Connection.DELAYED:
        line.append(f" DELAYED by {age(model.delay_s)} ", style="reverse")
    else:
        line.append(connection.value, style="bold green" if connection is Connection.LIVE else "bold")
    if model.as_of_ms is not None:
        line.append(f"  {clock(model.as_of_ms)} UTC")
        firing = len(model.rows("alerts"))
        line.append(f"  {firing} alert{'' if firing == 1 else 's'}", style="bold" if firing else "dim")
        line.append("  worst: ").append_text(worst(model))
    return line


def worst(model: Model) -> Text:
    """How many pools and portfolios have no figure, and the highest level of the others with who has it."""
    rows = [(f"{row['account']}/{row['pool']}", row) for row in model.rows("pools")]
    rows += [(f"portfolio {row['id']}", row) for row in model.rows("portfolios")]
    known = [(Level[row["level"].upper()], float(row["margin_ratio"]), name) for name, row in rows if not is_unknown(row)]
    line = Text()
    if not known or len(known) < len(rows):
        line.append(f"{len(rows) - len(known)} no figure", style=NO_FIGURE).append(", " if known else "")
    if known:
        level, ratio, name = max(known)
        line.append_text(level_text(level.label)).append(f" {name} {percent(ratio)}")
    return line


def _reasons(model: Model) -> Iterator[Text]:
    if model.reason:
        yield Text(f"{model.reason} (connecting again; every figure is of the time above)", style="magenta")
    monitor = model.row("monitor", "monitor")
    if monitor is not None and not monitor["ready"]:
        told = monitor["unready"][:MOST_REASONS]
        rest = len(monitor["unready"]) - len(told)
        more = f"; and {rest} more" if rest > 0 else ""
        yield Text(f"monitor not ready: {'; '.join(told)}{more}", style=NO_FIGURE)


def _title(model: Model, panel: str, view: View) -> Text:
    names = portfolio_ids(model)
    looked = "all accounts" if view.portfolio is None else f"portfolio {view.portfolio} ({names.index(view.portfolio) + 1} of {len(names)})"
    title = Text(panel, style="bold", no_wrap=True, overflow="ellipsis")
    return title.append(f": {looked}" + (f", accounts with “{view.account}”" if view.account else ""), style="not bold dim")


# -- the summary -----------------------------------------------------------------------------------------------------------------------


def summary(model: Model, view: View) -> Iterator[RenderableType]:
    """A line for every portfolio looked at, its pools, and what the venue does next to those above a level."""
    for name in looked_at(model, view):
        row = model.row("portfolios", name)
        if row is not None:
            yield from _portfolio(row)
    rows = pools_of(model, view)
    if not rows:
        yield Text("no pool is known" if not view.account else f"no pool of an account with “{view.account}”", style="dim")
        return
    yield _pools(model, rows, wide=view.width >= WIDE)
    for row in rows:
        if is_unknown(row):
            yield from failures(f"{row['account']} {row['pool']}: ", row["failures"])
        elif row["level"] != Level.OK.label and row["next"]:
            yield Text(f"{row['account']} {row['pool']}: what happens next: {row['next']}")


def _portfolio(row: Row) -> Iterator[RenderableType]:
    line = Text().append(f"portfolio {row['id']}: ", style="bold")
    if is_unknown(row):
        reason = f"{row['failures'][0]['reason']}: {row['failures'][0]['detail']}" if row["failures"] else "not computed yet"
        yield line.append(f"no value: {reason}", style=NO_FIGURE)
    else:
        ratio, saving = number(row["margin_ratio"]), number(row["saving"])
        line.append_text(level_text(row["level"])).append(f" {percent(ratio)} ", style=_style(row))
        line.append_text(bar(ratio, _levels(row), _style(row)))
        line.append(f" equity {short(number(row['equity']))}, stress maintenance {short(number(row['maintenance_margin']))} USD")
        if saving is not None:
            saves = f" (offsets save {percent(saving, 0)})" if saving > 0 else ""
            line.append(f"; leg by leg {short(number(row['cross_maintenance_margin']))}{saves}")
        yield line.append_text(_provenance(row["provenance"]))
    yield from (Text(f"  {doubt}", style="magenta") for doubt in row["doubts"])
    yield from (Text(f"  not to be relied on: {reason}", style="dim") for reason in row["not_to_be_relied_on"])


def _provenance(told: str | None) -> Text:
    if told is None or told == Provenance.LIVE:
        return Text()
    return Text(f"  [{told}]", style="dim" if Provenance(told).is_live else NO_FIGURE)


def _pools(model: Model, rows: list[Row], *, wide: bool) -> Table:
    more = ("equity", "maint.") if wide else ()
    table = tight_table("account pool", "level", "0..120 %", "ratio", *more, "to safety", "distance", "age", left=3)
    for row in rows:
        keys = (("equity", "maintenance_margin") if wide else ()) + ("cash_to_safety",)
        figures = [_known(row, short(number(row[key]))) for key in keys]
        table.add_row(*_standing(row), *figures, _distance(row, named=wide), age(model.age_s(row["data_at_s"])))
    return never_folds(table, "level", "0..120 %")


def _standing(row: Row) -> list[RenderableType]:
    if is_unknown(row):
        ratio = number(row["last_margin_ratio"])
        state, style = Text("no figure", style=NO_FIGURE), "magenta"
    else:
        ratio, state, style = number(row["margin_ratio"]), level_text(row["level"]), _style(row)
    name = Text(f"{row['account']} {row['pool']}")
    if row["reconciled"] is False:
        name.append(" unreconciled", style="magenta")
    return [name, state, bar(ratio, _levels(row), style), Text(_known(row, percent(ratio)), style=style)]


def _known(row: Mapping[str, Any], text: str) -> str:
    # in brackets: what was known last, and holds no more
    return f"({text})" if is_unknown(row) and text != DASH else text


def _distance(row: Row, *, named: bool) -> str:
    if row["distance"] is None:
        return DASH
    name = symbol(row["worst_instrument"]) if named and row["worst_instrument"] else ""
    return _known(row, f"{name} {100 * row['distance']:+.1f}%".lstrip())


def _levels(row: Row) -> list[float]:
    return list(row["levels"].values())


def _style(row: Row) -> str:
    return STYLES[Level[row["level"].upper()]]
