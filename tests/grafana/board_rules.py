"""What a dashboard must keep to, judged on its JSON: each rule gives one sentence for each violation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from grafana.queries import VARIABLE, filled, listed, panels
from tests.grafana.promql import Named, named

Board = Mapping[str, Any]
Contract = Mapping[str, Set[str]]
Rule = Callable[[Board, Contract], list[str]]

SOURCE_UID = "${datasource}"
UNITS = {"none", "short", "percentunit", "currencyUSD", "s", "bytes", "Bps", "cps", "dtdurations"}
LEVELS = {"marginwatch_account_level": range(4), "marginwatch_portfolio_level": (0, 1, 2, 4), "marginwatch_market_state": range(7)}
OF_NOW = {"stat", "bargauge", "barchart", "table"}
OVER_TIME = {"timeseries", "statetimeline", "state-timeline", "heatmap"}
BOARD_UIDS = {"marginwatch-desk", "marginwatch-account", "marginwatch-health"}
_GRAFANAS_OWN = {"__rate_interval", "__interval", "__range", "__url_time_range", "__data"}
_IF_BAD = "**If it is bad:**"


def identity(board: Board, _: Contract) -> list[str]:
    """A known uid, the tag, the browser's time, a refresh; panel numbers and titles are unique."""
    wanted = {"timezone": "browser", "refresh": "5s", "editable": True, "tags": ["marginwatch"]}
    found = [f"{name} is {board.get(name)!r}" for name, value in wanted.items() if board.get(name) != value]
    if board.get("uid") not in BOARD_UIDS:
        found.append(f"uid {board.get('uid')!r} is unknown")
    for name in ("id", "title"):
        seen = [panel[name] for panel in (board["panels"] if name == "id" else panels(board))]
        found += [f"{name} {value!r} twice" for value in sorted({value for value in seen if seen.count(value) > 1})]
    return found


def source(board: Board, _: Contract) -> list[str]:
    """Every data source is the variable, which is one of Prometheus."""
    found = [f"{where}: data source {uid!r}" for where, uid in _sources(board, "dashboard") if uid != SOURCE_UID]
    bare = [panel["title"] for panel in panels(board) if any("datasource" not in target for target in panel["targets"])]
    found += [f"{title}: a query without data source" for title in bare]
    variables = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    return found if [(one["name"], one["query"]) for one in variables] == [("datasource", "prometheus")] else [*found, "no such variable"]


def _sources(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        where = node.get("title") or where
        for name, value in node.items():
            if name == "datasource":
                yield where, value.get("uid", "") if isinstance(value, dict) else str(value)
            else:
                yield from _sources(value, where)
    elif isinstance(node, list):
        for value in node:
            yield from _sources(value, where)


def description(board: Board, _: Contract) -> list[str]:
    """Every panel says what it shows and what to do; so does the dashboard."""
    found = [] if board.get("description") else ["the dashboard has no description"]
    for panel in panels(board):
        shows, bad = (part.strip() for part in (panel.get("description", "") + _IF_BAD).split(_IF_BAD)[:2])
        if len(shows) < 20 or len(bad) < 10:
            found.append(f"{panel['title']}: description")
    return found


def unit(board: Board, _: Contract) -> list[str]:
    """A known unit and a text for no value, in the defaults and in every override that names one."""
    found = []
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        units = [defaults.get("unit"), *_overridden(panel, "unit")]
        found += [f"{panel['title']}: unit {one!r}" for one in units if one not in UNITS]
        if not defaults.get("noValue"):
            found.append(f"{panel['title']}: nothing is said for no value")
    return found


def _overridden(panel: Mapping[str, Any], name: str) -> list[Any]:
    overrides = panel["fieldConfig"].get("overrides") or ()
    return [one.get("value") for override in overrides for one in override["properties"] if one["id"] == name]


def grid(board: Board, _: Contract) -> list[str]:
    """Panels cover the grid of 24 without overlapping or leaving holes."""
    found: list[str] = []
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        at = panel["gridPos"]
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            if cell in taken:
                found.append(f"{panel['title']} lies on {taken[cell]}")
                break
            taken[cell] = panel["title"]
        if at["x"] < 0 or at["x"] + at["w"] > 24:
            found.append(f"{panel['title']}: outside of 24")
    height = max(y for _, y in taken) + 1
    return found if found or len(taken) == 24 * height else ["a hole in the grid"]


def contract(board: Board, metrics: Contract) -> list[str]:
    """Every expression parses, names a metric, and only what docs/metrics.md promises; counters only as rates; legends exist."""
    found = []
    for where, expr, legend in _expressions(board):
        try:
            said = named(filled(expr))
        except ValueError as error:
            found.append(f"{where}: {error}")
            continue
        found += [f"{where}: {problem}" for problem in _against(said, legend, metrics)]
    return found


def _expressions(board: Board) -> Iterator[tuple[str, str, str]]:
    for variable in board["templating"]["list"]:
        if (selector := listed(variable)) is not None:
            yield f"variable {variable['name']}", selector, ""
    for panel in panels(board):
        for target in panel["targets"]:
            yield f"{panel['title']}/{target['refId']}", target["expr"], target.get("legendFormat", "")


def _against(said: Named, legend: str, metrics: Contract) -> Iterator[str]:
    known: set[str] = {"le"} | said.made
    if not said.matched:
        yield "no metric"
    for name, labels in said.matched.items():
        if name not in metrics:
            yield f"{name} is not documented"
            continue
        known |= metrics[name]
        yield from (f"{name} has no label {label}" for label in sorted(labels - metrics[name]))
    yield from (f"no metric here has the label {label}" for label in sorted(said.grouped - known))
    yield from (f"{name} is a counter" for name in sorted(said.bare_counters))
    yield from (f"legend {label}" for label in sorted(set(re.findall(r"{{(\w+)}}", legend)) - known))


def variables(board: Board, _: Contract) -> list[str]:
    """Every variable that is used is defined, and one of several values is matched by a pattern."""
    told = {one["name"]: one for one in board["templating"]["list"]}
    found = []
    for where, expr, _legend in _expressions(board):
        names = [match["braced"] or match["plain"] for match in VARIABLE.finditer(expr)]
        found += [f"{where}: ${name}" for name in names if name not in told and name not in _GRAFANAS_OWN]
        exact = re.findall(r'(?<![~!])="\$\{?(\w+)', expr)
        found += [f"{where}: ${name} wants =~" for name in exact if told.get(name, {}).get("multi")]
    return found


def links(board: Board, _: Contract) -> list[str]:
    """The links lead to the other two with time range and variables; a link inside a panel leads to one of the three."""
    found = []
    to = {link["url"].removeprefix("/d/") for link in board["links"] if link["keepTime"] and link["includeVars"]}
    if to != BOARD_UIDS - {board["uid"]}:
        found.append(f"links to {sorted(to)}")
    for panel in panels(board):
        for link in (one for listed_links in _overridden(panel, "links") for one in listed_links):
            if re.match(r"/d/([\w-]+)(\?|$)", link["url"]) is None or link["url"].split("?")[0].removeprefix("/d/") not in BOARD_UIDS:
                found.append(f"{panel['title']}: link {link['url']}")
    return found


def levels(board: Board, _: Contract) -> list[str]:
    """Where a level is shown, every level has a text."""
    found = []
    for panel in panels(board):
        maps = [*panel["fieldConfig"]["defaults"].get("mappings", ()), *(m for ms in _overridden(panel, "mappings") for m in ms)]
        texts = {value for one in maps if one["type"] == "value" for value, result in one["options"].items() if result.get("text")}
        for target in panel["targets"]:
            for metric in (name for name in LEVELS if f"{name}{{" in target["expr"]):
                missing = {str(value) for value in LEVELS[metric]} - texts
                found += [f"{panel['title']}: no text for {metric} {value}" for value in sorted(missing)]
    return found


def presence(board: Board, _: Contract) -> list[str]:
    """The present is asked as an instant, the past as a range; gaps stay gaps, and no value is not coloured as a good one."""
    found = []
    for panel in panels(board):
        defaults, title = panel["fieldConfig"]["defaults"], panel["title"]
        if panel["type"] not in OF_NOW | OVER_TIME:
            found.append(f"{title}: panel type {panel['type']}")
        if any(bool(target.get("instant")) is not (panel["type"] in OF_NOW) for target in panel["targets"]):
            found.append(f"{title}: instant or range")
        if panel["type"] == "timeseries" and defaults.get("custom", {}).get("spanNulls") is not False:
            found.append(f"{title}: lines over gaps")
        special = [one["options"]["match"] for one in defaults.get("mappings", ()) if one["type"] == "special"]
        if panel["type"] in {"stat", "bargauge"} and "null+nan" not in special:
            found.append(f"{title}: no value looks healthy")
    return found


RULES: tuple[Rule, ...] = (identity, source, description, unit, grid, contract, variables, links, levels, presence)
