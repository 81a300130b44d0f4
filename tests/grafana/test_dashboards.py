"""The committed dashboards: what the source generates, within our rules, on the documented metrics; and that each rule catches."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from config.accounts import Levels
from grafana.expected_empty import EMPTY_IN_DEMO
from grafana.generate import rendered
from grafana.queries import DASHBOARDS, filled, panels, queries
from grafana.style import UTILISATION
from tests.grafana import board_rules
from tests.grafana.board_rules import RULES, Rule
from tests.grafana.documented import PROJECT, documented
from tests.grafana.promql import named
from tests.import_floors import OURS, imports

NAMES = ("marginwatch-account.json", "marginwatch-desk.json", "marginwatch-health.json")
METRICS = documented()


def _board(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DASHBOARDS / name).read_text(encoding="utf-8"))
    return loaded


def test_committed_dashboards_are_what_the_source_gives() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in sorted(DASHBOARDS.glob("*"))}
    assert tuple(committed) == NAMES
    assert rendered() == committed, "run make dashboards"
    assert rendered() == rendered()


@pytest.mark.parametrize("name", NAMES)
def test_dashboard_is_read_back_by_the_schema(name: str) -> None:
    register_default_plugins()
    board = _board(name)
    assert json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(board)), cls=JSONEncoder)) == board


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_dashboard_keeps_to_the_rules(name: str, rule: Rule) -> None:
    assert rule(_board(name), METRICS) == []


def _panel(board: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(panel for panel in panels(board) if panel["type"] == kind)


def _set(path: str, value: object) -> Any:
    """A change of the first panel of a kind: `timeseries:targets.0.expr`."""
    kind, _, rest = path.partition(":")

    def change(board: dict[str, Any]) -> None:
        node: Any = _panel(board, kind) if kind else board
        *way, last = rest.split(".")
        for step in way:
            node = node[int(step) if isinstance(node, list) else step]
        node[int(last) if isinstance(node, list) else last] = value

    return change


_EXPR = "timeseries:targets.0.expr"
_CAUGHT = [
    (board_rules.identity, _set(":uid", "other")),
    (board_rules.identity, _set(":timezone", "utc")),
    (board_rules.identity, _set(":panels.2.id", 182751917)),
    (board_rules.identity, _set("timeseries:title", "Worst pool")),
    (board_rules.source, _set("stat:datasource", {"type": "prometheus", "uid": "abc"})),
    (board_rules.source, _set("stat:targets.0.datasource", {"type": "prometheus", "uid": "abc"})),
    (board_rules.source, _set(":templating.list.1.datasource", {"type": "prometheus", "uid": "abc"})),
    (board_rules.source, _set(":templating.list.0.query", "loki")),
    (board_rules.description, _set(":description", "")),
    (board_rules.description, _set("stat:description", "Says what it shows and not what to do.")),
    (board_rules.unit, _set("stat:fieldConfig.defaults.unit", "dollars")),
    (board_rules.unit, _set("stat:fieldConfig.defaults.noValue", "")),
    (board_rules.unit, _set("table:fieldConfig.overrides.0.properties.0.value", "dollars")),
    (board_rules.grid, _set("stat:gridPos.w", 7)),
    (board_rules.grid, _set("stat:gridPos.w", 5)),
    (board_rules.grid, _set("table:gridPos.x", 4)),
    (board_rules.contract, _set(_EXPR, "sum(")),
    (board_rules.contract, _set(_EXPR, "1 + 1")),
    (board_rules.contract, _set(_EXPR, "marginwatch_account_equity")),
    (board_rules.contract, _set(_EXPR, 'marginwatch_account_equity_usd{coin="BTC"}')),
    (board_rules.contract, _set(_EXPR, "sum by (coin) (marginwatch_account_equity_usd)")),
    (board_rules.contract, _set(_EXPR, "marginwatch_ready * on (coin) marginwatch_ready")),
    (board_rules.contract, _set(_EXPR, "marginwatch_feed_messages_total")),
    (board_rules.contract, _set(_EXPR, "sum(marginwatch_tick_to_decision_seconds_bucket)")),
    (board_rules.contract, _set("timeseries:targets.0.legendFormat", "{{coin}}")),
    (board_rules.contract, _set(":templating.list.3.query", {"query": "label_values(marginwatch_nothing, venue)"})),
    (board_rules.variables, _set(_EXPR, 'marginwatch_account_equity_usd{venue=~"$place"}')),
    (board_rules.variables, _set(_EXPR, 'marginwatch_account_equity_usd{venue="$venue"}')),
    (board_rules.links, _set(":links.0.url", "/d/nowhere")),
    (board_rules.links, _set(":links.0.keepTime", False)),
    (board_rules.levels, _set("state-timeline:fieldConfig.defaults.mappings", [])),
    (board_rules.levels, _set("state-timeline:fieldConfig.defaults.mappings.0.options.4", {"color": "red"})),
    (board_rules.presence, _set("stat:targets.0.instant", False)),
    (board_rules.presence, _set("timeseries:targets.0.instant", True)),
    (board_rules.presence, _set("timeseries:fieldConfig.defaults.custom.spanNulls", True)),
    (board_rules.presence, _set("stat:fieldConfig.defaults.mappings", [])),
    (board_rules.presence, _set("stat:type", "graph")),
]


@pytest.mark.parametrize(("rule", "change"), _CAUGHT, ids=[f"{rule.__name__}-{index}" for index, (rule, _) in enumerate(_CAUGHT)])
def test_rule_catches(rule: Rule, change: Any) -> None:
    board = _board("marginwatch-desk.json")
    change(board)
    assert len(rule(board, METRICS)) >= 1


def test_every_rule_is_shown_to_catch() -> None:
    assert {rule for rule, _ in _CAUGHT} == set(RULES)


def test_data_link_to_nowhere_is_caught() -> None:
    board = _board("marginwatch-desk.json")
    override = {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "links", "value": [{"url": "/d/marginwatch"}]}]}
    _panel(board, "table")["fieldConfig"]["overrides"].append(override)
    assert board_rules.links(board, METRICS) == ["Pools: link /d/marginwatch"]


def test_a_hole_in_the_grid_is_caught() -> None:
    board = _board("marginwatch-desk.json")
    board["panels"] = [panel for panel in board["panels"] if panel["title"] != "Monitor"]
    assert board_rules.grid(board, METRICS) == ["a hole in the grid"]


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("marginwatch_account_key_expiry_timestamp_seconds", {"venue", "account"}),
        ("marginwatch_level_threshold_ratio", {"account", "portfolio", "level"}),
        ("marginwatch_portfolio_max_loss_usd", {"portfolio", "coin"}),
        ("marginwatch_queue_peak_depth", {"queue"}),
        ("marginwatch_recording_bytes_total", set()),
        ("marginwatch_tick_to_decision_seconds_bucket", {"le"}),
    ],
)
def test_contract_is_read_from_the_document(metric: str, labels: set[str]) -> None:
    assert METRICS[metric] == labels | {"job", "instance"}


def test_every_documented_metric_is_on_a_dashboard() -> None:
    shown = {metric for query in queries() for metric in named(query.expr).matched}
    unshown = {
        "marginwatch_tick_to_decision_seconds_sum",
        "marginwatch_tick_to_decision_seconds_count",
        "process_start_time_seconds",
        "marginwatch_portfolio_info",
    }
    assert set(METRICS) - shown == unshown


def test_colours_of_constant_thresholds_are_the_shipped_levels() -> None:
    assert tuple(value for value, _ in UTILISATION.steps) == Levels().ratios


def test_queries_have_no_variable_left_and_are_told_apart() -> None:
    asked = list(queries())
    assert [query.key for query in asked if "$" in query.expr] == []
    assert len({query.key for query in asked}) == len(asked)
    assert {query.dashboard + ".json" for query in asked} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_monitor_at_a_time(name: str) -> None:
    (instance,) = (one for one in _board(name)["templating"]["list"] if one["name"] == "instance")
    assert (instance["multi"], instance["includeAll"]) == (False, False)


def test_queries_of_variables_are_their_selectors() -> None:
    (pool,) = (query for query in queries() if query.panel == "variable pool")
    expected = 'marginwatch_account_valid{job=~".*",instance=~".*",venue=~".*",account=~".*"}'
    assert (pool.key, pool.expr, pool.instant) == ("marginwatch-account/variable pool", expected, True)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('a{v=~"$venue"}', 'a{v=~".*"}'),
        ('a{v=~"${venue:regex}"}', 'a{v=~".*"}'),
        ("rate(a[$__rate_interval])", "rate(a[30s])"),
        ("increase(a[$__range])", "increase(a[5m])"),
    ],
)
def test_variables_are_filled_in(expr: str, expected: str) -> None:
    assert filled(expr) == expected


def test_what_may_be_empty_exists_and_says_why() -> None:
    assert set(EMPTY_IN_DEMO) <= {query.key for query in queries()}
    assert all(len(reason) > 20 for reason in EMPTY_IN_DEMO.values())


def test_the_source_imports_nothing_else_of_ours() -> None:
    files = sorted((PROJECT / "grafana").glob("*.py"))
    assert len(files) > 10
    sources = {f"grafana.{path.stem}": path.read_text(encoding="utf-8") for path in files}
    targets = {item.target.partition(".")[0] for name, text in sources.items() for item in imports(name, text)}
    assert targets & set(OURS) == set()
    assert "grafana" in targets


def _provisioned(name: str) -> Any:
    return yaml.safe_load((Path(PROJECT) / "grafana/provisioning" / name).read_text(encoding="utf-8"))


def test_provisioned_source_scrapes_as_often_as_rates_assume() -> None:
    (source,) = _provisioned("datasources/prometheus.yaml")["datasources"]
    assert (source["type"], source["uid"], source["url"]) == ("prometheus", "marginwatch-prometheus", "http://prometheus:9090")
    scrape = yaml.safe_load((PROJECT / "grafana/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert source["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]


def test_provisioned_dashboards_are_files_that_nobody_overwrites() -> None:
    (provider,) = _provisioned("dashboards/marginwatch.yaml")["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "/etc/grafana/dashboards/marginwatch")
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)
