from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import orjson
import pytest

from config import load
from config.settings import Settings
from connectors.events import FailureReason
from monitor.alerts.alert import Alert
from monitor.alerts.announce import Desk, make_alert
from monitor.alerts.figures import figures_of
from monitor.alerts.incident import Change
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.alerts.text import TITLE_LIMIT, group, render
from monitor.margin.result import Failure, Level
from tests.monitor.alerts.notes import desk_reading, note

ADDRESS = f"0x{7:040x}"
CONFIG = f"""
[alerts]
link = "https://desk.example/margin/"
[[accounts]]
id = "hl-main"
venue = "hyperliquid"
address = "{ADDRESS}"
tags = ["prod", "perps"]
[[accounts]]
id = "hl-two"
venue = "hyperliquid"
address = "0x{8:040x}"
tags = ["prod", "options"]
[[portfolios]]
id = "desk"
accounts = ["hl-main", "hl-two"]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "desk.toml"
    path.write_text(CONFIG)
    return load(path, environ={}, quiet=True)


@pytest.fixture
def desk(settings: Settings) -> Desk:
    return Desk(settings)


def test_an_alert_is_the_notification_with_wall_times_text_tags_and_link(desk: Desk, pools: Any) -> None:
    told = note(pools(0.92), now_s=905.0004, opened_s=5.0, detail=f"an agent of {ADDRESS}", subject="BTC")
    alert = make_alert(told, desk, 1_790_000_000_000.25)
    assert (alert.time_ms, alert.opened_ms) == (1_790_000_905_001, 1_790_000_005_000)
    assert alert.link == "https://desk.example/margin/#alert=hyperliquid%2Fhl-main%2FUSDC%2Fmargin_level"
    assert f"link: {alert.link}" in alert.details
    text = render(told, alert.link)
    assert (alert.title, alert.details) == (text.title, text.details)
    assert alert.id == "hyperliquid/hl-main/USDC/margin_level#1.1"
    assert (alert.rule, alert.change, alert.level, alert.previous) == (Rule.LEVEL, Change.FIRED, Level.CRITICAL, Level.OK)
    assert (alert.ratio, alert.ratio_at_crossing, alert.subject) == (0.92, 0.92, "BTC")
    assert alert.detail == f"an agent of {ADDRESS[:6]}…{ADDRESS[-4:]}"
    assert ADDRESS not in str(alert)
    assert make_alert(told, desk, 1_790_000_000_000.25) == alert


def test_tags_are_those_of_the_account_or_of_the_portfolios_accounts(desk: Desk) -> None:
    assert desk.tags(AlertScope.pool("hyperliquid", "hl-main", "USDC")) == ("prod", "perps")
    assert desk.tags(AlertScope.of_account("hyperliquid", "hl-two")) == ("prod", "options")
    assert desk.tags(AlertScope.feed("hyperliquid", "spotState", "hl-two")) == ("prod", "options")
    assert desk.tags(AlertScope.portfolio("desk")) == ("prod", "perps", "options")
    for scope in (MONITOR, AlertScope.of_venue("hyperliquid"), AlertScope.receiver("ops"), AlertScope.portfolio("gone")):
        assert desk.tags(scope) == ()


def test_without_a_page_there_is_no_link(settings: Settings, pools: Any) -> None:
    alert = make_alert(note(pools(0.92)), Desk(settings, link=""), 0.0)
    assert alert.link == ""
    assert not any(line.startswith("link") for line in alert.details)


def test_figures_are_plain_json_without_addresses(desk: Desk, pools: Any) -> None:
    failure = Failure(FailureReason.AGENT_ADDRESS, f"an agent of {ADDRESS}")
    pool = make_alert(note(pools(math.inf, equity=math.nan, failures=(failure,))), desk, 0.0).figures
    assert (pool["pool"], pool["margin_ratio"], pool["equity"], pool["status"]) == ("USDC", "Infinity", None, "failed")
    assert ADDRESS not in json.dumps(pool, allow_nan=False)
    portfolio = make_alert(note(desk_reading(), Level.BREACH), desk, 0.0).figures
    assert portfolio["portfolio"] == "desk"
    assert portfolio["worst"] == {"coin": "BTC", "maintenance_margin": 420_000.0}
    assert portfolio["cash_to_safety"] == pytest.approx(223_529.4)
    assert "no venue acts" in portfolio["next"]
    assert json.loads(orjson.dumps(portfolio)) == portfolio
    assert figures_of(None) == {}


# -- bursts ----------------------------------------------------------------------------------------------------------------------


def alerts(desk: Desk, *results: Any) -> list[Alert]:
    levels = {0.86: Level.WARNING, 0.92: Level.CRITICAL, 1.1: Level.LIQUIDATION}
    return [make_alert(note(result, levels[result.margin_ratio]), desk, 0.0) for result in results]


def test_a_burst_has_one_first_line_worst_first(desk: Desk, pools: Any) -> None:
    told = alerts(desk, pools(0.86, pool="a"), pools(1.1, pool="b", excess=-1.0))
    text = group(told)
    assert text.title == "2 alerts: LIQUIDATION 110% hl-main/b, WARNING 86% hl-main/a"
    assert text.details[:2] == ("", "LIQUIDATION 110% hl-main/b: 1.00 short, equity 2.00M; data 0.4s")
    assert all(line in text.details for alert in told for line in (alert.title, *alert.details))
    many = alerts(desk, *(pools(0.86, pool=f"pool-{n}") for n in range(20)))
    title = group(many).title
    assert title.startswith("20 alerts: WARNING 86% hl-main/pool-0, ")
    assert title.endswith(", +17")
    assert len(title) <= TITLE_LIMIT
    assert (group(many[:1]).title, group(many[:1]).details) == (many[0].title, many[0].details)


def test_an_end_counts_as_what_it_ends(desk: Desk, pools: Any) -> None:
    over = make_alert(note(pools(0.5, pool="a"), Level.OK, Level.CRITICAL, Change.RESOLVED), desk, 0.0)
    (warning,) = alerts(desk, pools(0.86, pool="b"))
    assert group([warning, over]).title == "1 firing, 1 resolved: WARNING 86% hl-main/b, RESOLVED 50% hl-main/a"
    (critical,) = alerts(desk, pools(0.92, pool="c"))
    assert group([critical, warning]).title == "2 alerts: CRITICAL 92% hl-main/c, WARNING 86% hl-main/b"


def test_what_fired_and_is_over_does_not_count_as_firing(desk: Desk, pools: Any) -> None:
    (fired,) = alerts(desk, pools(0.92, pool="a"))
    over = make_alert(note(pools(0.5, pool="a"), Level.OK, Level.CRITICAL, Change.RESOLVED), desk, 0.0)
    (warning,) = alerts(desk, pools(0.86, pool="b"))
    assert fired.incident == over.incident
    said = group([fired, over, warning])
    assert said.title == "1 firing, 1 resolved: WARNING 86% hl-main/b, CRITICAL 92% hl-main/a, RESOLVED 50% hl-main/a"


def test_who_did_not_take_it_is_said(desk: Desk, pools: Any) -> None:
    (alert,) = alerts(desk, pools(0.92))
    escalated = Alert(**{name: getattr(alert, name) for name in Alert.__slots__} | {"escalated_from": "slack-ops"})
    assert group([escalated]).details == (*alert.details, "escalated: slack-ops did not take it in time")
