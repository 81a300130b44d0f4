"""Tables: a column for each query, a row for each combination of the labels they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panels import About, Figure, Query, describe, properties, targets
from grafana.style import NO_DATA, PLAIN

ACCOUNT_LINK = (
    "/d/marginwatch-account?var-account=${__data.fields.Account}"
    "&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${__url_time_range}"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of each row: its title, the expression that tells it by the labels of the table, and how it is written."""

    title: str
    expr: str
    figure: Figure


def columns_by(
    about: About, labels: Sequence[str], columns: Sequence[Column], *, sort: str, ascending: bool = False, empty: str = NO_DATA
) -> table.Panel:
    """A table of `labels` and `columns`, sorted by the column or label titled `sort`. Every expression must tell exactly `labels`.

    `empty` is written where there is no row.
    """
    panel = table.Panel()
    queries = [Query(column.expr) for column in columns]
    describe(panel, about, Figure(no_value=empty), targets(queries, instant=True, shape=PromQueryFormat.TABLE))
    values = [f"Value #{chr(ord('A') + index)}" for index in range(len(columns))] if len(columns) > 1 else ["Value"]
    panel.transformations(_one_table(labels, dict(zip(values, (column.title for column in columns), strict=True))))
    for column in columns:
        panel.override_by_name(column.title, _properties(column.figure))
    if "account" in labels:
        link = {"title": "This account", "url": ACCOUNT_LINK}
        panel.override_by_name("Account", [dashboard.DynamicConfigValue("links", [link])])
    panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(not ascending)])
    panel.align(common_model.FieldTextAlignment.AUTO).inspect(False)
    return panel.cell_height(common_model.TableCellHeight.SM).show_header(True)


def _one_table(labels: Sequence[str], values: dict[str, str]) -> list[dashboard.DataTransformerConfig]:
    organize = {
        "excludeByName": {"Time": True},
        "indexByName": {name: index for index, name in enumerate((*labels, *values))},
        "renameByName": {**{label: label.capitalize() for label in labels}, **values},
    }
    return [
        dashboard.DataTransformerConfig(id_val="merge", options={}),
        dashboard.DataTransformerConfig(id_val="organize", options=organize),
    ]


def _properties(figure: Figure) -> list[dashboard.DynamicConfigValue]:
    if not figure.states and figure.steps is PLAIN:
        return properties(figure)
    cell = {"type": "color-background", "mode": "basic"}
    colored = {"color": {"mode": "thresholds"}, "custom.cellOptions": cell}
    return [*properties(figure), *(dashboard.DynamicConfigValue(name, value) for name, value in colored.items())]
