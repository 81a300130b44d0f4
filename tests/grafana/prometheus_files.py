"""The shipped files of Prometheus and Alertmanager as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]
PROMETHEUS = PROJECT / "grafana/prometheus/prometheus.yml"
RULES = PROJECT / "grafana/prometheus/rules"
TESTS = sorted((PROJECT / "grafana/prometheus/tests").glob("*.yml"))
ALERTMANAGER = PROJECT / "grafana/alertmanager/alertmanager.yml"
RUNBOOKS = PROJECT / "docs/runbooks"


def loaded(path: Path) -> Any:
    """A YAML document."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules(path: Path) -> list[dict[str, Any]]:
    """The rules of all groups of a file."""
    return [rule for group in loaded(path)["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule."""
    return rules(RULES / "alerting.yml")


def records() -> list[dict[str, Any]]:
    """Every recording rule."""
    return rules(RULES / "recording.yml")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a unit test expects of an alert: `severities` are of what fires `at`; none: that nothing does."""

    alert: str
    test: str
    at: str
    severities: frozenset[str]


def expectations() -> Iterator[Expectation]:
    """Those of every unit test that name an alert."""
    for path in TESTS:
        for test in loaded(path)["tests"]:
            for case in test.get("alert_rule_test", ()):
                severities = frozenset(one["exp_labels"]["severity"] for one in case["exp_alerts"])
                yield Expectation(case["alertname"], f"{path.name}: {test['name']}", case["eval_time"], severities)
