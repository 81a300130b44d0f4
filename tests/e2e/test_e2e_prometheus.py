"""A real Prometheus scrapes the running monitor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.simulator.hyperliquid_desk import demo_plans
from tests.e2e.programs import MARGINWATCH, Launcher, configuration, fetch, free_port, until

pytestmark = pytest.mark.e2e

RATIO = "marginwatch_account_margin_ratio"

SCRAPE = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: marginwatch
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


async def query(base: str, expression: str) -> list[dict[str, Any]]:
    status, body = await fetch(f"{base}/api/v1/query?query={expression}")
    found: list[dict[str, Any]] = json.loads(body)["data"]["result"] if status == 200 else []
    return found


async def test_prometheus_gets_every_account(launcher: Launcher, tmp_path: Path, require_server: Callable[[str], Path]) -> None:
    prometheus = require_server("prometheus")
    plans, port, own = demo_plans("crash"), free_port(), free_port()
    endpoints = await launcher.venue(40.0)
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", configuration(tmp_path / "desk.toml", endpoints, plans, port))
    (tmp_path / "prometheus.yml").write_text(SCRAPE.format(port=port))
    server = await launcher.start(
        prometheus,
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    )
    base = f"http://127.0.0.1:{own}"

    async def all_there() -> bool:
        found = await query(base, RATIO)
        return {row["metric"]["account"] for row in found} == {plan.name for plan in plans}

    await until(all_there, 30.0, lambda: f"{server.printed[-1000:]}\n{monitor.printed[-1000:]}")
    ratios = {(row["metric"]["account"], row["metric"]["pool"]): float(row["value"][1]) for row in await query(base, RATIO)}
    assert ("atlas", "main") in ratios
    assert all(0.0 <= ratio < 10.0 for ratio in ratios.values())
    assert [row["value"][1] for row in await query(base, "up")] == ["1"]
    assert [row["value"][1] for row in await query(base, "marginwatch_ready")] == ["1"]
    valid = await query(base, "min(marginwatch_account_valid)")
    assert [row["value"][1] for row in valid] == ["1"]
    (quantile,) = await query(base, "histogram_quantile(0.5,marginwatch_tick_to_decision_seconds_bucket)")
    assert 0.0 < float(quantile["value"][1]) < 1.0
