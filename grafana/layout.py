"""A dashboard from sections of panels: places, stable panel numbers, variables, links."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from grafana.panels import SOURCE, AnyPanel
from grafana.selectors import MONITOR

WIDTH = 24
TAG = "marginwatch"
BOARDS = {"marginwatch-desk": "Desk", "marginwatch-account": "Account", "marginwatch-health": "Monitor health"}
"""Titles by uid. A uid is in the bookmarks and alert texts of users: it never changes."""

VENUE = ("venue", f"label_values(marginwatch_account_valid{{{MONITOR}}}, venue)")
ACCOUNT = ("account", f'label_values(marginwatch_account_valid{{{MONITOR},venue=~"$venue"}}, account)')
POOL = ("pool", f'label_values(marginwatch_account_valid{{{MONITOR},venue=~"$venue",account=~"$account"}}, pool)')
PORTFOLIO = ("portfolio", f"label_values(marginwatch_portfolio_valid{{{MONITOR}}}, portfolio)")


@dataclass(frozen=True, slots=True)
class Place:
    """A panel and its width, of 24."""

    panel: AnyPanel
    width: int


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and lines of panels below it; each line has one height (units of 30 pixels) and is 24 wide."""

    title: str
    rows: tuple[tuple[int, tuple[Place, ...]], ...]


def assemble(uid: str, description: str, variables: Sequence[tuple[str, str]], sections: Sequence[Section]) -> dashboard.Dashboard:
    """The dashboard; `variables` are (name, query) and may be several values or all."""
    board = builders.Dashboard(f"marginwatch / {BOARDS[uid]}").uid(uid).description(description).tags([TAG])
    board.timezone("browser").time("now-1h", "now").refresh("5s").editable().tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    board.annotations([])
    board.timepicker(builders.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
    board.with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    board.with_variable(_variable("job", "label_values(marginwatch_build_info, job)", several=False))
    # one monitor at a time: the same pool told by two would be added up, or one of them be hidden behind the other
    board.with_variable(_variable("instance", 'label_values(marginwatch_build_info{job=~"$job"}, instance)', several=False))
    for name, query in variables:
        board.with_variable(_variable(name, query))
    for other, title in BOARDS.items():
        if other != uid:
            board.link(_link(other, title))
    built = board.build()
    built.panels = _placed(uid, sections)
    return built


def _variable(name: str, query: str, *, several: bool = True) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(name.capitalize()).datasource(SOURCE)
    variable.query({"query": query, "refId": f"variable-{name}"}).sort(dashboard.VariableSort.NATURAL_ASC)
    variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED).multi(several).include_all(several)
    if several:
        everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
        variable.all_value(".+").current(everything)
    return variable


def _link(uid: str, title: str) -> builders.DashboardLink:
    link = builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}").icon("dashboard").tooltip(f"Open {title}")
    return link.keep_time(True).include_vars(True)


def _placed(uid: str, sections: Sequence[Section]) -> list[dashboard.Panel | dashboard.RowPanel]:
    placed: list[dashboard.Panel | dashboard.RowPanel] = []
    y = 0
    for section in sections:
        at = dashboard.GridPos(x=0, y=y, w=WIDTH, h=1)
        placed.append(builders.Row(section.title).id(_number(uid, f"section {section.title}")).grid_pos(at).build())
        y += 1
        for height, places in section.rows:
            placed += _line(uid, places, y, height)
            y += height
    return placed


def _line(uid: str, places: Sequence[Place], y: int, height: int) -> list[dashboard.Panel]:
    x, line = 0, []
    for place in places:
        panel = place.panel.grid_pos(dashboard.GridPos(x=x, y=y, w=place.width, h=height)).build()
        panel.id_val = _number(uid, panel.title or "")
        line.append(panel)
        x += place.width
    return line


def _number(uid: str, title: str) -> int:
    # From the title and not from the place: links to a panel outlive a new one before it.
    return zlib.crc32(f"{uid}/{title}".encode()) % 1_000_000_000 + 1
