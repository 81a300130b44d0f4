"""The operations pack as it is shipped: the demo desk, real Prometheus, real Alertmanager, every query, and a monitor that is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from grafana.expected_empty import EMPTY_IN_DEMO
from grafana.queries import queries
from tests.e2e.operations import Desk, Pack, start_alertmanager, start_desk, start_prometheus, unanswered
from tests.e2e.programs import Inbox, Launcher, free_port, until
from tests.grafana.prometheus_files import alerts, records
from tests.grafana.promql import selectors

pytestmark = pytest.mark.e2e

STORY_S = 60.0
LEVEL = "MarginwatchMarginLevel"
"""The monitor's own alert."""

EMPTY_RULES = {
    "job_instance:marginwatch_notifications_failing:group": "while every receiver takes alerts",
    "job_instance:marginwatch_unheard:group": "while every receiver takes alerts",
    "job_instance_rule:marginwatch_alerts_heard:sum": "while nothing fires",
    "scope:marginwatch_level:unannounced": "while every receiver takes alerts",
    "scope:marginwatch_level:unwatched": "while the monitor is up",
} | {rule["alert"]: "an alert: while there is nothing to tell" for rule in alerts() if rule["alert"] != "MarginwatchWatchdog"}
"""Why the whole expression of a rule may be empty; what it selects has to be there all the same."""

EMPTY_SELECTORS = EMPTY_RULES | {
    'marginwatch_account_valid{pool="account"}': "every account of the demo was read",
    "marginwatch_metrics_omitted_info": "the demo stays below [metrics] series_limit",
    "marginwatch_recording_": "only with --record",
    'up{job="marginwatch"} offset': "the demo is younger",
    "marginwatch_feed_parse_errors_total offset": "the demo is younger",
}
"""The same of what rules select, by how it begins."""


async def test_the_desk_is_watched_and_its_death_is_paged(
    launcher: Launcher, inbox: Inbox, tmp_path: Path, require_server: Callable[[str], Path]
) -> None:
    alertmanager = await start_alertmanager(launcher, tmp_path, inbox.url, require_server("prometheus-alertmanager"))
    # one tells its story to the end; the other, whose alerts nobody takes, is killed in the middle of it
    lives, dies = await asyncio.gather(
        start_desk(launcher, tmp_path, "lives", STORY_S, alertmanager),
        start_desk(launcher, tmp_path, "dies", STORY_S, f"127.0.0.1:{free_port()}"),
    )
    pack = await start_prometheus(launcher, tmp_path, [lives.address, dies.address], alertmanager, require_server("prometheus"))
    await asyncio.gather(
        _every_query_answers(pack),
        _every_level_comes_and_goes(pack, lives),
        _its_death_is_paged(pack, dies, inbox),
        _its_metrics_are_clean(lives, require_server("promtool")),
        _the_dead_mans_switch_is_told(inbox),
    )


async def _every_query_answers(pack: Pack) -> None:
    asked = {query.expr: query.key for query in queries() if query.key not in EMPTY_IN_DEMO}
    for rule in (*records(), *alerts()):
        name = rule.get("record") or rule["alert"]
        asked |= {one: f"{name} selects" for one in selectors(rule["expr"]) if not one.startswith(tuple(EMPTY_SELECTORS))}
        if name not in EMPTY_RULES:
            asked[rule["expr"]] = name
        await pack.query(rule["expr"])  # is taken, at least
    silent = await unanswered(pack, list(asked), STORY_S)
    assert {asked[expression]: expression for expression in silent} == {}


async def _every_level_comes_and_goes(pack: Pack, desk: Desk) -> None:
    seen: set[str] = set()

    async def is_over() -> bool:
        active = await pack.active(alertname=LEVEL, account="atlas")
        seen.update(active)
        return "liquidation" in seen and not active

    await until(is_over, STORY_S + 20.0, lambda: f"{seen}\n{desk.running.printed[-3000:]}")
    assert seen == {"warning", "critical", "liquidation"}
    assert await desk.running.ended(STORY_S) == 0, desk.running.printed
    assert "every pool ended valid and below its warning level" in desk.running.printed
    # a pool that was liquidated ends at its last level
    of = f'{{instance="{desk.address}",account="atlas",pool="main"}}'
    (highest,) = await pack.query(f"max(max_over_time(marginwatch_account_level{of}[5m]))")
    (last,) = await pack.query(f"max(last_over_time(marginwatch_account_level{of}[5m]))")
    # the highest may last for less than the time between two scrapes
    assert (highest["value"][1] in ("2", "3"), last["value"][1]) == (True, "0")


async def _its_death_is_paged(pack: Pack, desk: Desk, inbox: Inbox) -> None:
    # one that calms down where the other desk watches it: while that one says worse of the same pool, this is inhibited
    of = f'{{instance="{desk.address}",account="atlas",pool="main"}}'

    async def is_critical() -> bool:
        return bool(await pack.query(f"marginwatch_account_level{of} >= 2"))

    await until(is_critical, STORY_S, lambda: desk.running.printed[-3000:])
    desk.running.signal(signal.SIGKILL)

    def paged() -> set[str]:
        sent = [alert["labels"] for message in inbox.got.get("pager", []) for alert in message["alerts"]]
        return {labels["alertname"] for labels in sent if labels.get("instance") == desk.address}

    async def is_paged() -> bool:
        return {"MarginwatchDown", "MarginwatchLevelUnwatched"} <= paged()

    await until(is_paged, 90.0, lambda: f"{paged()}: {json.dumps(inbox.got)[-3000:]}")


async def _its_metrics_are_clean(desk: Desk, promtool: Path) -> None:
    body = (await desk.get("/metrics")).encode()
    checked = await asyncio.to_thread(
        subprocess.run, [str(promtool), "check", "metrics"], input=body, capture_output=True, timeout=20, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, b"")


async def _the_dead_mans_switch_is_told(inbox: Inbox) -> None:
    async def is_told() -> bool:
        return "watchdog" in inbox.got

    # what Prometheus sends before it has found its Alertmanager is lost, and sent again after a minute
    await until(is_told, 100.0, lambda: str(list(inbox.got)))
