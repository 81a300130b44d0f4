"""Routes and inhibition of the shipped Alertmanager, for what Prometheus says and for what the monitor posts itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.alerts.receivers.alertmanager import labels
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.margin.result import Level
from tests.grafana.inhibition import inhibits
from tests.grafana.prometheus_files import ALERTMANAGER, alerts, loaded
from tests.monitor.alerts.receiver_alerts import alert

POOL, DESK = AlertScope.pool("aster", "main", "USDT"), AlertScope.portfolio("desk")
FEED = AlertScope.feed("deribit", "chain")
OF_POOL = {"venue": "aster", "account": "main", "pool": "USDT"}
RULES = loaded(ALERTMANAGER)["inhibit_rules"]


def own(level: Level, scope: AlertScope = POOL, rule: Rule = Rule.LEVEL) -> dict[str, str]:
    """Labels of an alert of the monitor."""
    return labels(alert(level, scope=scope, rule=rule, tags=()), level)


def theirs(name: str, severity: str, *, instance: str = "a", **more: str) -> dict[str, str]:
    """Labels of an alert of Prometheus. ValueError unless there is such a rule."""
    if not any(rule["alert"] == f"Marginwatch{name}" and rule["labels"]["severity"] == severity for rule in alerts()):
        raise ValueError(f"no rule {name} of severity {severity}")
    found = {"alertname": f"Marginwatch{name}", "severity": severity, "job": "marginwatch", "instance": instance, **more}
    return {label: value for label, value in found.items() if value}


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_is_valid(require_server: Callable[[str], Path]) -> None:
    assert "SUCCESS" in run(require_server("amtool"), "check-config", ALERTMANAGER)


def test_the_examples_in_it_are_valid(tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    text = ALERTMANAGER.read_text(encoding="utf-8")
    head, receivers = text.split("\nreceivers:\n")
    with_examples = re.sub(r"^    # (?=slack|pagerduty|webhook|  )", "    ", receivers, flags=re.MULTILINE)
    (tmp_path / "alertmanager.yml").write_text(f"{head}\nreceivers:\n{with_examples}", encoding="utf-8")
    receiving = loaded(tmp_path / "alertmanager.yml")["receivers"]
    assert [sorted(one) for one in receiving] == [["name", "pagerduty_configs"], ["name", "slack_configs"], ["name", "webhook_configs"]]
    assert "SUCCESS" in run(require_server("amtool"), "check-config", tmp_path / "alertmanager.yml")


def test_as_shipped_nobody_is_told() -> None:
    assert loaded(ALERTMANAGER)["receivers"] == [{"name": "pager"}, {"name": "chat"}, {"name": "watchdog"}]


@pytest.mark.parametrize(
    ("about", "receivers"),
    [
        (theirs("Watchdog", "none", instance=""), "watchdog"),
        (theirs("Down", "critical"), "pager,chat"),
        (theirs("Down", "critical", instance=""), "pager,chat"),
        (theirs("Slow", "warning"), "chat"),
        (theirs("NotificationsFailing", "warning"), "chat"),
        (theirs("LevelUnannounced", "warning", **OF_POOL), "chat"),
        (theirs("LevelUnannounced", "critical", **OF_POOL), "pager,chat"),
        (theirs("LevelUnwatched", "liquidation", **OF_POOL), "pager,chat"),
        (theirs("LevelUnwatched", "breach", portfolio="desk"), "pager,chat"),
        (own(Level.WARNING), "chat"),
        (own(Level.CRITICAL), "pager,chat"),
        (own(Level.LIQUIDATION), "pager,chat"),
        (own(Level.BREACH, DESK), "pager,chat"),
        (own(Level.CRITICAL, MONITOR, Rule.NETWORK), "pager,chat"),
        (own(Level.LIQUIDATION, AlertScope.of_account("aster", "main"), Rule.LIQUIDATION_SEEN), "pager,chat"),
        (own(Level.WARNING, AlertScope.receiver("ops"), Rule.RECEIVER), "chat"),
        # nobody forgets what nobody thought of
        ({"alertname": "SomethingElse"}, "chat"),
    ],
    ids=lambda value: f"{value['alertname']}-{value.get('severity', '')}" if isinstance(value, dict) else None,
)
def test_routes(about: dict[str, str], receivers: str, require_server: Callable[[str], Path]) -> None:
    said = run(
        require_server("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *(f"{k}={v}" for k, v in about.items())
    )
    assert said.split() == [receivers]


def test_a_level_stays_in_its_group_whoever_tells_it() -> None:
    groups = [set(route.get("group_by", ())) for route in loaded(ALERTMANAGER)["route"]["routes"]]
    of_levels = [group for group in groups if group and "alertname" not in group]
    assert of_levels == [{"venue", "account", "portfolio"}] * 3


MUTED = [
    # (what fires, what it mutes)
    (theirs("Down", "critical"), theirs("NotificationsFailing", "critical")),
    (theirs("Down", "critical"), theirs("FeedFlapping", "warning", venue="aster", connection="market")),
    (theirs("Down", "critical"), theirs("RecordingFailing", "warning")),
    (theirs("NotificationsFailing", "critical"), theirs("NotificationsFailing", "warning")),
    (own(Level.LIQUIDATION), own(Level.WARNING)),
    (own(Level.CRITICAL), own(Level.WARNING, rule=Rule.DISTANCE)),
    (own(Level.CRITICAL), theirs("LevelUnannounced", "critical", **OF_POOL)),
    (own(Level.CRITICAL), theirs("LevelUnwatched", "warning", **OF_POOL)),
    (own(Level.BREACH, DESK), theirs("LevelUnwatched", "breach", portfolio="desk")),
    (own(Level.BREACH, DESK), theirs("LevelUnannounced", "critical", portfolio="desk")),
    (theirs("LevelUnwatched", "liquidation", **OF_POOL), theirs("LevelUnwatched", "critical", **OF_POOL)),
    (theirs("LevelUnwatched", "critical", **OF_POOL), theirs("LevelUnwatched", "warning", **OF_POOL)),
    (theirs("LevelUnannounced", "breach", portfolio="desk"), theirs("LevelUnannounced", "warning", portfolio="desk")),
    (own(Level.CRITICAL, DESK), theirs("LevelUnannounced", "warning", portfolio="desk")),
    (own(Level.WARNING, FEED, Rule.STALE_FEED), theirs("FeedStale", "warning", venue="deribit", feed="chain")),
    (own(Level.WARNING, rule=Rule.DATA), theirs("Invalid", "critical", **OF_POOL)),
    (own(Level.CRITICAL, DESK, Rule.DATA), theirs("Invalid", "critical", portfolio="desk")),
    (own(Level.WARNING, rule=Rule.UNRECONCILED), theirs("ReconciliationFailing", "warning", **OF_POOL)),
]
HEARD = [
    # (what fires, what is heard beside it)
    (theirs("Down", "critical"), theirs("LevelUnwatched", "critical", **OF_POOL)),
    (theirs("Down", "critical"), theirs("LevelUnannounced", "critical", **OF_POOL)),
    (theirs("Down", "critical"), theirs("Slow", "warning", instance="b")),
    (theirs("Down", "critical"), theirs("Down", "critical", instance="b")),
    (theirs("Down", "critical", instance=""), theirs("Watchdog", "none", instance="")),
    (theirs("Down", "critical"), own(Level.WARNING)),
    (theirs("NotificationsFailing", "warning"), theirs("NotificationsFailing", "critical")),
    # a lower level mutes no higher one, whoever says it
    (own(Level.WARNING), theirs("LevelUnwatched", "critical", **OF_POOL)),
    (own(Level.CRITICAL), theirs("LevelUnannounced", "liquidation", **OF_POOL)),
    (own(Level.CRITICAL), own(Level.LIQUIDATION)),
    # that the number is doubtful, or money left, is worth a word beside any level
    (own(Level.LIQUIDATION), own(Level.CRITICAL, rule=Rule.DATA)),
    (own(Level.LIQUIDATION), own(Level.WARNING, rule=Rule.UNRECONCILED)),
    (own(Level.LIQUIDATION), own(Level.WARNING, AlertScope.of_account("aster", "main"), Rule.TRANSFER)),
    # of another pool, account or portfolio
    (own(Level.LIQUIDATION), own(Level.WARNING, AlertScope.pool("aster", "main", "BTC"))),
    (own(Level.LIQUIDATION), theirs("LevelUnwatched", "liquidation", venue="aster", account="other", pool="USDT")),
    (own(Level.LIQUIDATION), own(Level.WARNING, DESK)),
    (own(Level.BREACH, DESK), own(Level.WARNING)),
    (own(Level.BREACH, DESK), theirs("LevelUnwatched", "critical", **OF_POOL)),
    (own(Level.LIQUIDATION), theirs("LevelUnwatched", "critical", portfolio="desk")),
    (own(Level.WARNING, FEED, Rule.STALE_FEED), theirs("FeedStale", "warning", venue="deribit", feed="index")),
    (own(Level.WARNING, AlertScope.of_venue("deribit"), Rule.STALE_FEED), theirs("Invalid", "critical", **OF_POOL)),
    # the monitor's alert about a receiver belongs to no instance
    (own(Level.CRITICAL, AlertScope.receiver("ops"), Rule.RECEIVER), theirs("NotificationsFailing", "critical")),
]


def _named(value: dict[str, str]) -> str:
    where = value.get("pool") or value.get("portfolio") or value.get("instance", "")
    return f"{value['alertname'].removeprefix('Marginwatch')}-{value['severity']}-{where}"


@pytest.mark.parametrize(("source", "target"), MUTED, ids=_named)
def test_what_is_beside_the_point_is_muted(source: dict[str, str], target: dict[str, str]) -> None:
    assert inhibits(RULES, source, target)


@pytest.mark.parametrize(("source", "target"), HEARD, ids=_named)
def test_what_is_another_matter_is_heard(source: dict[str, str], target: dict[str, str]) -> None:
    assert not inhibits(RULES, source, target)


def test_every_inhibition_is_seen_to_work() -> None:
    assert [rule for rule in RULES if not any(inhibits([rule], *pair) for pair in MUTED)] == []


def test_nothing_mutes_itself_and_no_two_mute_each_other() -> None:
    everything = [label for pair in MUTED for label in pair]
    assert [one for one in everything if inhibits(RULES, one, one)] == []
    assert [(a, b) for a in everything for b in everything if inhibits(RULES, a, b) and inhibits(RULES, b, a)] == []
