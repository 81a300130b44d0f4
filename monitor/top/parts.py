"""What the panels of the terminal share: which rows are looked at, and small pieces of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from monitor.report.text_parts import DASH, plain_table
from monitor.top.model import Model, Row

NO_FIGURE = "bold magenta"
"""Style of what has no value."""


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at: one portfolio or (None) all accounts, the accounts whose id contains a text, and the columns there are."""

    portfolio: str | None = None
    account: str = ""
    width: int = 80

    def shows(self, account: str | None) -> bool:
        """Whether what belongs to this account (None: to none) passes the filter."""
        return not self.account or self.account.lower() in (account or "").lower()


class Verbatim:
    """A picture in which names and details stand as they are: no markup, and nothing that moves a cursor."""

    def __init__(self, picture: RenderableType) -> None:
        self._picture = picture

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """See rich."""
        for text, style, control in console.render(self._picture, options.update(markup=False)):
            yield Segment("".join(char for char in text if char.isprintable() or char == "\n"), style, control)


def portfolio_ids(model: Model) -> list[str]:
    """The portfolios of the monitor, in the order of its configuration."""
    monitor = model.row("monitor", "monitor")
    return [] if monitor is None else [one["id"] for one in monitor["portfolios"]]


def looked_at(model: Model, view: View) -> list[str]:
    """The portfolios of a view."""
    return [one for one in portfolio_ids(model) if view.portfolio in (None, one)]


def members(model: Model, portfolio: str) -> set[str]:
    """The accounts of a portfolio."""
    monitor = model.row("monitor", "monitor") or {"portfolios": []}
    return {account for one in monitor["portfolios"] if one["id"] == portfolio for account in one["accounts"]}


def pools_of(model: Model, view: View) -> list[Row]:
    """The pools of a view, those without a figure first and then the highest ratio first."""
    among = None if view.portfolio is None else members(model, view.portfolio)
    rows = [row for row in model.rows("pools") if (among is None or row["account"] in among) and view.shows(row["account"])]
    return sorted(rows, key=lambda row: (not is_unknown(row), -float(row["margin_ratio"] or 0.0), row["account"], row["pool"]))


def is_unknown(row: Mapping[str, Any]) -> bool:
    """Whether a pool or portfolio has no ratio."""
    return row["margin_ratio"] is None


def tight_table(*headings: str, left: int, title: str = "") -> Table:
    """A table of figures for a narrow terminal: names fold, figures never do."""
    table = plain_table(*headings, left=left, title=title)
    table.padding, table.show_edge = (0, 0), False
    return table


def never_folds(table: Table, *headings: str) -> Table:
    """The table, these columns on one line."""
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.header in headings
    return table


def failures(name: str, found: Iterable[Mapping[str, str]]) -> Iterator[RenderableType]:
    """Why there is no value, a line each."""
    for failure in found:
        yield Text(f"{name}no value: {failure['reason']}: {failure['detail']}", style="magenta")


def age(seconds: float | None) -> str:
    """`0.2s`, `85s`, `12m`, `3h`, `2d`; a dash for what is unknown."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return f"{seconds:.1f}s"
    for size, letter, most in ((1, "s", 120), (60, "m", 7200), (3600, "h", 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f}{letter}"
    return f"{seconds / 86_400:.0f}d"


def clock(time_ms: float) -> str:
    """Time of day in UTC, `15:01:06`."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%H:%M:%S}"


def as_of(model: Model, row: Mapping[str, Any]) -> str:
    """`as of 15:01:06 UTC, 2.1s ago`: of a row with figures of a report."""
    time_ms = datetime.fromisoformat(row["as_of"]).timestamp() * 1000
    return f"as of {clock(time_ms)} UTC, {age(model.since_s(time_ms))} ago"
