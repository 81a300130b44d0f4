"""Scrape configuration, recording and alerting rules: Prometheus's own tools on the shipped files, and what these cannot check."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from monitor.alerts.receivers.alertmanager import alert_name
from monitor.alerts.rules import Rule
from tests.grafana.documented import documented
from tests.grafana.prometheus_files import PROMETHEUS, RULES, RUNBOOKS, TESTS, alerts, expectations, loaded, records
from tests.grafana.promql import named

TOKEN_FILE = "/run/marginwatch/token"
SEVERITIES = {"none", "warning", "critical", "liquidation", "breach"}
DASHBOARDS = {f"/d/marginwatch-{name}" for name in ("desk", "account", "health")}
LONG_RANGE = {"account:marginwatch_account_margin_ratio:max", "portfolio:marginwatch_portfolio_maintenance_margin_usd:saved_ratio"}
"""Records that no alert stands on."""
BEGINS_LATE = {"MarginwatchParseErrors": {"marginwatch_feed_parse_errors_total"}}
"""Counters that an alert asks for as they are, because a series may begin with its first count."""
ALERTS = sorted({alert["alert"] for alert in alerts()})


def run(*command: str | Path) -> None:
    """Run a tool; what it finds is the failure."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_valid_and_clean(require_server: Callable[[str], Path]) -> None:
    run(require_server("promtool"), "check", "rules", "--lint=all", *sorted(RULES.glob("*.yml")))


@pytest.mark.slow
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_fire_hold_and_resolve(path: Path, require_server: Callable[[str], Path]) -> None:
    run(require_server("promtool"), "test", "rules", path)


def test_configuration_is_valid(tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    (tmp_path / "token").write_text("token")
    (tmp_path / "rules").symlink_to(RULES)
    text = PROMETHEUS.read_text(encoding="utf-8").replace(TOKEN_FILE, str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")
    run(require_server("promtool"), "check", "config", tmp_path / "prometheus.yml")


@pytest.mark.parametrize("address", ["monitor:9876", "alertmanager:9093", TOKEN_FILE])
def test_what_another_place_has_to_replace_stands_there_once(address: str) -> None:
    assert PROMETHEUS.read_text(encoding="utf-8").count(address) == 1


def test_the_job_is_the_one_that_the_rules_ask_for() -> None:
    configuration = loaded(PROMETHEUS)
    (job,) = configuration["scrape_configs"]
    found = {job for rule in [*alerts(), *records()] for job in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert found == {job["job_name"]} == {"marginwatch"}
    # what is recorded has to be younger than the hold of an alert
    assert {configuration["global"][f"{name}_interval"] for name in ("scrape", "evaluation")} == {"5s"}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_test_in_which_it_fires_holds_and_does_not_fire(name: str) -> None:
    told = [one for one in expectations() if one.alert == name]
    assert {severity for one in told for severity in one.severities} == {a["labels"]["severity"] for a in alerts() if a["alert"] == name}
    by_test = [list(group) for _, group in groupby(told, key=lambda one: one.test)]
    assert any(len({one.at for one in group if one.severities}) > 1 for group in by_test), "never seen to hold"
    if name == "MarginwatchWatchdog":
        assert all(one.severities for one in told)
        return
    fires = [[bool(one.severities) for one in group] for group in by_test]
    assert any(seen[:2] == [False, True] and not seen[-1] for seen in fires), "no test sees it quiet, firing and resolved"


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_what_to_do(name: str) -> None:
    for alert in alerts():
        if alert["alert"] != name:
            continue
        assert alert["labels"].keys() == {"severity"}
        assert alert["labels"]["severity"] in SEVERITIES
        told = alert["annotations"]
        assert told.keys() == {"summary", "description", "runbook_url", "dashboard"}
        assert told["runbook_url"] == f"docs/runbooks/{name}.md"
        assert (RUNBOOKS / f"{name}.md").is_file()
        assert told["dashboard"] in DASHBOARDS


def test_no_name_is_one_of_the_monitors_own() -> None:
    assert set(ALERTS) & {alert_name(rule) for rule in Rule} == set()


def test_only_documented_metrics_and_labels_are_asked_for() -> None:
    known, recorded = documented(), {record["record"] for record in records()}
    for rule in [*alerts(), *records()]:
        asked = named(rule["expr"])
        assert asked.matched.keys() <= known.keys() | recorded, rule["expr"]
        assert asked.bare_counters <= BEGINS_LATE.get(rule.get("alert", ""), set()), rule["expr"]
        for metric, labels in asked.matched.items():
            if metric in known:
                assert labels <= known[metric] | {"job"}, rule["expr"]


def test_monitors_are_never_mixed() -> None:
    for rule in [*alerts(), *records()]:
        for of in re.findall(r"\b(?:on|by) \(([^)]*)\)", rule["expr"]):
            assert {"job", "instance"} <= set(re.split(r",\s*", of)), rule["expr"]


def test_every_record_is_used() -> None:
    recorded = {record["record"] for record in records()}
    asked = {metric for rule in alerts() for metric in named(rule["expr"]).matched}
    stands_on = {record["record"]: named(record["expr"]).matched.keys() & recorded for record in records()}
    while further := {metric for name in asked & recorded for metric in stands_on[name]} - asked:
        asked |= further
    assert recorded - asked == LONG_RANGE
    assert all(re.fullmatch(r"[a-z_]+:marginwatch_[a-z_]+:[a-z0-9_]+", name) for name in recorded)


def test_there_is_a_runbook_for_each_alert_and_no_other() -> None:
    assert sorted(page.stem for page in RUNBOOKS.glob("Marginwatch*.md")) == ALERTS
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in ALERTS if f"[{name}]({name}.md)" not in index] == []


@pytest.mark.parametrize("name", ALERTS)
def test_every_runbook_answers_the_same_questions(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == ["Meaning", "Impact", "Check", "Do", "Ends"]


def test_the_monitors_own_rules_are_explained_where_the_index_sends_to() -> None:
    guide = (RUNBOOKS.parent / "alerts.md").read_text(encoding="utf-8")
    assert [rule for rule in Rule if f"| `{rule.value}` |" not in guide] == []
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    assert "](../alerts.md#rules)" in index
    assert [rule for rule in Rule if rule is not Rule.TEST and f"`{alert_name(rule)}`" not in index] == []
