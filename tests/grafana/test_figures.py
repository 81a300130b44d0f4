"""What panels show of series that are known: the figures that a desk acts on, asked of Prometheus's own engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.queries import queries

MONITOR = 'job="marginwatch",instance="a"'
AT_S = 60

ONE, TWO, LOST = (f'venue="aster",account="main",pool="{pool}"' for pool in ("USDT", "USD1", "lost"))
DESK, ALONE = ('portfolio="desk"', 'portfolio="alone"')
RULE, OTHER = ('rule="margin_level",severity="critical"', 'rule="data",severity="warning"')
SERIES = {
    f"account_margin_ratio{{{ONE}": 0.5,
    f"account_margin_ratio{{{TWO}": 0.95,
    f"account_level{{{ONE}": 0,
    f"account_level{{{TWO}": 2,
    f"account_equity_usd{{{ONE}": 1000,
    f"account_equity_usd{{{TWO}": 200,
    f"account_excess_usd{{{ONE}": 500,
    f"account_excess_usd{{{TWO}": 10,
    f"account_distance_ratio{{{ONE}": 0.3,
    f"account_distance_ratio{{{TWO}": -0.04,
    f"account_valid{{{ONE}": 1,
    f"account_valid{{{TWO}": 1,
    f"account_valid{{{LOST}": 0,
    f"account_reconciled{{{ONE}": 1,
    f"account_reconciled{{{TWO}": 0,
    f"account_next_funding_timestamp_seconds{{{ONE}": 90,
    f"portfolio_margin_ratio{{{DESK}": 0.4,
    f"portfolio_level{{{DESK}": 0,
    f"portfolio_valid{{{DESK}": 1,
    f"portfolio_valid{{{ALONE}": 0,
    f"portfolio_maintenance_margin_usd{{{DESK}": 400,
    f"portfolio_cross_maintenance_margin_usd{{{DESK}": 1000,
    f'portfolio_position_contribution_usd{{{DESK},account="main",instrument="x",side=""': -100,
    f'portfolio_family_loss_usd{{{DESK},family="directional"': 300,
    f'portfolio_family_loss_usd{{{DESK},family="correlation"': 50,
    f'portfolio_distance_ratio{{{DESK},coin="BTC",level="warning",direction="down"': -0.2,
    f'portfolio_distance_ratio{{{DESK},coin="BTC",level="breach",direction="down"': -0.5,
    f"alerts_firing{{{RULE}": 2,
    f"alerts_firing{{{OTHER}": 0,
    'feed_up{venue="aster",feed="account",account="main"': 0,
    'feed_up{venue="aster",feed="markPrice",account=""': 1,
    'feed_last_message_timestamp_seconds{venue="aster",feed="account",account="main"': 20,
    'feed_last_message_timestamp_seconds{venue="aster",feed="markPrice",account=""': 55,
    'receiver_failing{receiver="ops"': 1,
    'receiver_failing{receiver="log"': 0,
    "ready{": 1,
    "outbox_oldest_timestamp_seconds{": 45,
    "heartbeat_last_success_timestamp_seconds{": 0,
}

SHOWN: dict[str, dict[str, float]] = {
    "marginwatch-desk/Worst pool/A": {f"marginwatch_account_margin_ratio{{{MONITOR},{TWO}}}": 0.95},
    "marginwatch-desk/Worst portfolio/A": {f"marginwatch_portfolio_margin_ratio{{{MONITOR},{DESK}}}": 0.4},
    "marginwatch-desk/Alerts firing/A": {'{severity="critical"}': 2},
    "marginwatch-desk/Pools without a figure/A": {"{}": 1},
    "marginwatch-desk/Portfolios without a figure/A": {"{}": 1},
    "marginwatch-desk/Pools unreconciled/A": {"{}": 1},
    "marginwatch-desk/Feeds not fresh/A": {"{}": 1},
    "marginwatch-desk/Receivers failing/A": {"{}": 1},
    "marginwatch-desk/Oldest data/A": {"{}": 40},
    "marginwatch-desk/Levels of pools and portfolios/A": {f"{{{ONE}}}": 0, f"{{{TWO}}}": 2, f"{{{LOST}}}": -1},
    "marginwatch-desk/Levels of pools and portfolios/B": {f"{{{DESK}}}": 0, f"{{{ALONE}}}": -1},
    "marginwatch-desk/Pools/E": {f"{{{ONE}}}": 500, f"{{{TWO}}}": 10},
    "marginwatch-desk/Pools/I": {f"{{{ONE}}}": 1, f"{{{TWO}}}": 0},
    "marginwatch-desk/Venue comparison/A": {'{venue="aster"}': 3},
    "marginwatch-desk/Venue comparison/B": {'{venue="aster"}': 0.95},
    "marginwatch-desk/Venue comparison/C": {'{venue="aster"}': 1200},
    "marginwatch-desk/Venue comparison/E": {'{venue="aster"}': 510},
    "marginwatch-desk/Venue comparison/F": {'{venue="aster"}': 0.04},
    "marginwatch-desk/Venue comparison/G": {'{venue="aster"}': 1},
    "marginwatch-desk/Venue comparison/J": {'{venue="aster"}': 40},
    "marginwatch-desk/Portfolio summary/H": {f"{{{DESK}}}": 0.6},
    "marginwatch-desk/Saving over cross/A": {f"{{{MONITOR},{DESK}}}": 0.6},
    "marginwatch-desk/Position contribution/A": {'{position="desk main x "}': -100},
    "marginwatch-desk/Position contribution in figures/B": {f'{{{DESK},account="main",instrument="x"}}': -0.25},
    "marginwatch-desk/Loss by scenario family/A": {f'{{{DESK},family="directional"}}': 300},
    "marginwatch-desk/Loss by scenario family/B": {f'{{{DESK},family="correlation"}}': 50},
    "marginwatch-desk/Distance to a level/A": {f'{{{DESK},coin="BTC",direction="down"}}': -0.2},
    "marginwatch-desk/Distance to a level/B": {},
    "marginwatch-desk/Distance to a level/C": {f'{{{DESK},coin="BTC",direction="down"}}': -0.5},
    "marginwatch-account/Next funding/B": {f"{{{ONE}}}": 30},
    "marginwatch-health/Feeds/A": {'{venue="aster",account="main"}': 0, '{venue="aster"}': 1},
    "marginwatch-health/Receivers/A": {'{receiver="ops"}': 0, '{receiver="log"}': 1},
    "marginwatch-health/Outbox/B": {"{}": 15},
    "marginwatch-health/Last heartbeat/A": {},
}
"""Samples by `BoardQuery.key`, as of AT_S."""

CALM: dict[str, dict[str, float]] = {
    "marginwatch-desk/Alerts firing/A": {'{severity="none"}': 0},
    "marginwatch-health/Outbox/B": {"{}": 0},
}
GONE = {key: dict[str, float]() for key in SHOWN}
"""Without a monitor there is nothing to see, and nothing that looks like 0."""


def _series(changes: dict[str, float]) -> Iterator[dict[str, str]]:
    for name, value in {**SERIES, **changes}.items():
        separator = "" if name.endswith("{") else ","
        yield {"series": f"marginwatch_{name}{separator}{MONITOR}}}", "values": f"{value}x12"}


def _cases(shown: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    asked = {query.key: query.expr for query in queries()}
    return [
        {"expr": asked[key], "eval_time": f"{AT_S}s", "exp_samples": [{"labels": labels, "value": v} for labels, v in samples.items()]}
        for key, samples in shown.items()
    ]


@pytest.mark.parametrize(
    ("series", "shown"),
    [
        (list(_series({})), SHOWN),
        (list(_series({f"alerts_firing{{{RULE}": 0, "outbox_oldest_timestamp_seconds{": 0})), CALM),
        ([], GONE),
    ],
    ids=["bad", "calm", "gone"],
)
def test_panels_show_what_the_monitor_told(
    series: list[dict[str, str]], shown: dict[str, dict[str, float]], tmp_path: Path, require_server: Callable[[str], Path]
) -> None:
    test = {"name": "panels", "interval": "5s", "input_series": series, "promql_expr_test": _cases(shown)}
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": [test]}), encoding="utf-8")
    done = subprocess.run([require_server("promtool"), "test", "rules", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
