"""Every query of the committed dashboards, ready for a Prometheus: what Grafana would ask, with the variables filled in.

Reads the JSON and nothing else, so that it says what is shipped and not what the source would give.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).parent / "dashboards"
INTERVALS = {"__rate_interval": "30s", "__interval": "10s", "__range": "5m"}
"""What stands for Grafana's own variables; any other variable is `.*`: all of it."""
VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::\w+)?\}|\$(?P<plain>\w+)")
_LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)")


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """One expression. `panel` is the panel's title, or `variable <name>`; `ref_id` the query's letter, empty for a variable."""

    dashboard: str
    panel: str
    ref_id: str
    expr: str
    instant: bool
    """Whether Grafana asks for an instant; a range otherwise."""

    @property
    def key(self) -> str:
        """`uid/panel/ref_id`: what `grafana.expected_empty.EMPTY_IN_DEMO` goes by."""
        return "/".join(filter(None, (self.dashboard, self.panel, self.ref_id)))


def queries(directory: Path = DASHBOARDS, values: Mapping[str, str] = INTERVALS) -> Iterator[BoardQuery]:
    """Every query of every dashboard in `directory`; of a variable the selector whose labels it lists. `values` by variable name."""
    for path in sorted(directory.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for variable in board["templating"]["list"]:
            if (selector := listed(variable)) is not None:
                yield BoardQuery(board["uid"], f"variable {variable['name']}", "", filled(selector, values), instant=True)
        for panel in panels(board):
            for target in panel.get("targets", ()):
                expr = filled(target["expr"], values)
                yield BoardQuery(board["uid"], panel["title"], target["refId"], expr, instant=bool(target.get("instant")))


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Panels of a dashboard, those in folded rows included, the rows themselves not."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or ()
        else:
            yield panel


def listed(variable: Mapping[str, Any]) -> str | None:
    """The selector of a variable made by `label_values(selector, label)`; None for another kind of variable. ValueError: another query."""
    if variable["type"] != "query":
        return None
    found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
    if found is None or not found["selector"]:
        raise ValueError(f"variable {variable['name']}: expected label_values(selector, label)")
    return found["selector"]


def filled(expr: str, values: Mapping[str, str] = INTERVALS) -> str:
    """The expression with every variable replaced: by `values`, or by `.*`."""
    return VARIABLE.sub(lambda found: values.get(found["braced"] or found["plain"], ".*"), expr)
