"""Panels. A title, what it shows, what to do when it is bad, queries and a unit are asked for; the rest is the same everywhere.

What shows the present (stat, bars, table) asks for an instant and not for the last value of a range, which would keep showing a figure
that the monitor withdrew. Lines are never drawn over a gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import barchart, bargauge, common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from grafana.style import LEVEL_COLORS, NO_DATA, PLAIN, State, Steps, mapping, unknown

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
IF_BAD = "\n\n**If it is bad:** "
LIMIT = "limit: "
"""What the legend of a level's threshold begins with: its colour goes by that name."""
_DASHES = {"fill": "dash", "dash": [8, 6]}

AnyPanel = timeseries.Panel | stat.Panel | bargauge.Panel | barchart.Panel | statetimeline.Panel | heatmap.Panel | table.Panel


@dataclass(frozen=True, slots=True)
class About:
    """What a reader is told: `shows` with its formula where it has one, `bad` is what to do. Titles are unique in a dashboard."""

    title: str
    shows: str
    bad: str


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and how its series are named (`{{label}}`). `dashed`, off any stack: a limit or a second figure."""

    expr: str
    legend: str = "__auto"
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """How a value is written: a unit of Grafana, decimals, colours; `states` are its words where it is a code."""

    unit: str = "short"
    decimals: int | None = None
    steps: Steps = PLAIN
    states: tuple[State, ...] = ()
    no_value: str = NO_DATA


def targets(queries: Sequence[Query], *, instant: bool, shape: PromQueryFormat = PromQueryFormat.TIME_SERIES) -> list[prometheus.Dataquery]:
    """The queries of a panel, A, B, ...; `instant`: as of the end of the range."""
    built = []
    for index, query in enumerate(queries):
        target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).legend_format(query.legend)
        target.format(shape).datasource(SOURCE).editor_mode(QueryEditorMode.CODE)
        built.append(target.instant() if instant else target.range())
    return built


def describe(panel: AnyPanel, about: About, figure: Figure, queries: Sequence[prometheus.Dataquery]) -> None:
    """What every panel has: its texts, source, queries, and how its values are written."""
    panel.title(about.title).description(about.shows + IF_BAD + about.bad).datasource(SOURCE)
    panel.unit(figure.unit).no_value(figure.no_value).thresholds(figure.steps.build())
    if figure.decimals is not None:
        panel.decimals(figure.decimals)
    if figure.states:
        panel.mappings([mapping(figure.states)])
    panel.targets(list(queries))


def mappings(figure: Figure) -> list[dashboard.ValueMapping]:
    """The words of a figure as of now, with one for its absence."""
    return [*([mapping(figure.states)] if figure.states else []), unknown(figure.no_value)]


def by_thresholds() -> builders.FieldColor:
    """Colours by the steps of the figure."""
    return builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["last"]).fields("").values(False)


def now(about: About, queries: Sequence[Query], figure: Figure, *, named: bool = False) -> stat.Panel:
    """A figure as of now, in large; `named` writes the name of its series above it."""
    panel = stat.Panel()
    describe(panel, about, figure, targets(queries, instant=True))
    mode = common_model.BigValueTextMode.VALUE_AND_NAME if named else common_model.BigValueTextMode.VALUE
    panel.text_mode(mode).color_mode(common_model.BigValueColorMode.BACKGROUND).graph_mode(common_model.BigValueGraphMode.NONE)
    panel.mappings(mappings(figure)).reduce_options(_last()).color_scheme(by_thresholds()).justify_mode(
        common_model.BigValueJustifyMode.CENTER
    )
    return panel


def written_as(panel: stat.Panel, query: str, figure: Figure) -> None:
    """Write the series of one query (`A`, `B`, ...) of a panel in another way than the rest."""
    panel.override_by_query(query, properties(figure))


def properties(figure: Figure) -> list[dashboard.DynamicConfigValue]:
    """A figure as the properties of an override."""
    told: dict[str, object] = {"unit": figure.unit, "noValue": figure.no_value}
    if figure.decimals is not None:
        told["decimals"] = figure.decimals
    told["mappings"] = mappings(figure)
    told["thresholds"] = figure.steps.build().build()
    return [dashboard.DynamicConfigValue(name, value) for name, value in told.items()]


def bars(about: About, query: Query, figure: Figure, *, top: float | None = None) -> bargauge.Panel:
    """A bar for each series as of now, in the order of the query; from 0 to `top`, or to the longest."""
    panel = bargauge.Panel()
    describe(panel, about, figure, targets([query], instant=True))
    panel.orientation(common_model.VizOrientation.HORIZONTAL).display_mode(common_model.BarGaugeDisplayMode.BASIC)
    panel.mappings(mappings(figure)).reduce_options(_last()).color_scheme(by_thresholds()).value_mode(
        common_model.BarGaugeValueMode.TEXT
    ).min(0)
    return panel if top is None else panel.max(top)


def signed_bars(about: About, query: Query, label: str, figure: Figure) -> barchart.Panel:
    """A bar for each value of `label` as of now, to either side of 0, in the order of the query."""
    panel = barchart.Panel()
    describe(panel, about, figure, targets([query], instant=True, shape=PromQueryFormat.TABLE))
    organize = {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": {"Value": about.title}}
    sort = {"fields": {}, "sort": [{"field": "Value", "desc": True}]}
    steps = (("sortBy", sort), ("organize", organize))
    panel.transformations([dashboard.DataTransformerConfig(id_val=name, options=options) for name, options in steps])
    panel.x_field(label).orientation(common_model.VizOrientation.HORIZONTAL).axis_centered_zero(True)
    panel.show_value(common_model.VisibilityMode.ALWAYS).fill_opacity(80).legend(common.VizLegendOptions().show_legend(False))
    panel.stacking(common_model.StackingMode.NONE).color_scheme(by_thresholds())
    return panel


def lines(about: About, queries: Sequence[Query], figure: Figure, *, stacked: bool = False, zero: bool = False) -> timeseries.Panel:
    """Lines over time with a legend of their last and largest values; `zero`: the axis begins at 0."""
    panel = timeseries.Panel()
    describe(panel, about, figure, targets(queries, instant=False))
    panel.draw_style(common_model.GraphDrawStyle.LINE).line_width(1).span_nulls(False).show_points(common_model.VisibilityMode.NEVER)
    panel.legend(legend()).tooltip(_tooltip())
    panel.color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL)).fill_opacity(40)
    if zero:
        panel.axis_soft_min(0)
    _dash(panel, queries)
    return panel


def _dash(panel: timeseries.Panel, queries: Sequence[Query]) -> None:
    for index, query in enumerate(queries):
        if query.dashed:
            dashes = dashboard.DynamicConfigValue("custom.lineStyle", _DASHES)
            alone = {"custom.fillOpacity": 0, "custom.stacking": {"mode": "none", "group": "A"}}
            rest = [dashboard.DynamicConfigValue(name, value) for name, value in alone.items()]
            panel.override_by_query(chr(ord("A") + index), [dashes, *rest])
    if any(query.legend.startswith(LIMIT) for query in queries):
        for level, color in LEVEL_COLORS.items():
            fixed = dashboard.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": color})
            panel.override_by_regexp(f"/^{LIMIT}.*{level}$/", [fixed, dashboard.DynamicConfigValue("custom.lineWidth", 2)])


def legend() -> common.VizLegendOptions:
    """A table below, the largest last value first."""
    built = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.TABLE).placement(common_model.LegendPlacement.BOTTOM)
    return built.show_legend(True).calcs(["last", "max"]).sort_by("Last").sort_desc(True)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI).sort(common_model.SortOrder.DESCENDING)


def states(about: About, queries: Sequence[Query], figure: Figure) -> statetimeline.Panel:
    """What each series was over time, in words."""
    panel = statetimeline.Panel()
    describe(panel, about, figure, targets(queries, instant=False))
    panel.merge_values(True).show_value(common_model.VisibilityMode.AUTO).row_height(0.85).align_value(
        common_model.TimelineValueAlignment.LEFT
    )
    hidden = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.LIST).placement(common_model.LegendPlacement.BOTTOM)
    panel.legend(hidden.show_legend(True)).tooltip(_tooltip()).color_scheme(by_thresholds())
    return panel.fill_opacity(70).line_width(0)


def buckets(about: About, query: Query, figure: Figure) -> heatmap.Panel:
    """A heat map of a histogram's buckets (a series for each `le`)."""
    panel = heatmap.Panel()
    describe(panel, about, figure, targets([query], instant=False, shape=PromQueryFormat.HEATMAP))
    color = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Cividis").steps(64)
    panel.calculate(False).color(color.scale(heatmap_model.HeatmapColorScale.EXPONENTIAL).exponent(0.5))
    panel.y_axis(heatmap.YAxisConfig().unit(figure.unit)).filter_values(heatmap.FilterValueRange().le(1e-9)).show_legend()
    return panel.hide_from(common.HideSeriesConfig().legend(False).tooltip(False).viz(False))
