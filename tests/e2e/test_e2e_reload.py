"""`marginwatch run` takes another configuration while it watches: by SIGHUP and over HTTP, over the sockets that it has."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from connectors.simulator.hyperliquid import HyperliquidServer, HyperliquidVenue, Market
from connectors.simulator.hyperliquid_desk import demo_plans
from tests.e2e.programs import MARGINWATCH, Launcher, configuration, fetch, free_port, until

pytestmark = pytest.mark.e2e

SECRET = "T000/B000/a-secret-nobody-may-see"
HOOK = '[receivers.hook]\ntype = "webhook"\nurl_file = "hook"\n'


@pytest.fixture
async def venue() -> AsyncIterator[HyperliquidServer]:
    server = HyperliquidServer(HyperliquidVenue(Market(7, "calm", 600.0, time.time_ns() // 1_000_000), demo_plans("calm")))
    await server.start()
    yield server
    await server.stop()


async def test_a_running_monitor_takes_what_it_can_and_keeps_its_connections(
    launcher: Launcher, venue: HyperliquidServer, tmp_path: Path
) -> None:
    plans, port = demo_plans("calm"), free_port()
    endpoints = {"rest_url": venue.rest_url, "ws_url": venue.ws_url}
    (tmp_path / "hook").write_text(f"http://127.0.0.1:{free_port()}/{SECRET}")
    (tmp_path / "hook").chmod(0o600)
    path, base = tmp_path / "desk.toml", f"http://127.0.0.1:{port}"

    def write(count: int, monitor: str = "web_reload = true", more: str = "") -> None:
        configuration(path, endpoints, plans[:count], port, monitor=monitor, receivers=HOOK + more)

    async def metric(name: str) -> float | None:
        _, body = await fetch(f"{base}/metrics")
        return next((float(line.rpartition(" ")[2]) for line in body.splitlines() if line.startswith(f"marginwatch_{name} ")), None)

    async def is_ready() -> bool:
        return (await fetch(f"{base}/-/ready"))[0] == 200

    async def watched() -> set[str]:
        return {account["id"] for account in json.loads((await fetch(f"{base}/api/v1/accounts"))[1])["accounts"]}

    async def post() -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.post(f"{base}/-/reload") as answer:
            return answer.status, await answer.text()

    write(1, monitor="")
    recordings = tmp_path / "recordings"
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path, "--record", recordings)
    await until(is_ready, 60.0, lambda: monitor.printed)
    connects = venue.connects
    assert await metric("config_last_reload_successful") == 1.0
    assert (await post())[0] == 403, "nobody allowed it"

    write(2)
    monitor.signal(signal.SIGHUP)
    await monitor.says("the configuration was read again", 20.0)
    assert await watched() == {plans[0].name, plans[1].name}
    await until(is_ready, 30.0, lambda: monitor.printed)

    write(2, more="[receivers.hook]\n")
    monitor.signal(signal.SIGHUP)
    await monitor.says("the configuration is not taken", 20.0)
    assert await metric("config_last_reload_successful") == 0.0
    assert (await post())[0] == 400
    write(2, monitor='web_reload = true\nkernel_cache_dir = "elsewhere"')
    status, answer = await post()
    assert (status, json.loads(answer)) == (400, {"error": "monitor.kernel_cache_dir: restart the monitor to change it"})
    assert await watched() == {plans[0].name, plans[1].name}

    write(1, more="[defaults]\nlevels = { warning = 0.03, critical = 0.04 }\n")
    status, answer = await post()
    assert status == 200, answer
    assert f"account {plans[1].name} removed" in json.loads(answer)["changed"]
    assert await metric("config_last_reload_successful") == 1.0
    assert await watched() == {plans[0].name}
    firing = json.loads((await fetch(f"{base}/api/v1/alerts"))[1])["firing"]
    assert [one["level"] for one in firing if one["rule"] == "margin_level"], "a lower level fires in the same turn"
    assert (venue.connects, venue.connections) == (connects, 2), "the sockets are those of the start"

    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0, monitor.printed
    assert "Traceback" not in monitor.printed
    for secret in (SECRET, *(plan.address.removeprefix("0x") for plan in plans)):
        assert secret not in monitor.printed + answer
    replay = await launcher.start(*MARGINWATCH, "replay", recordings)
    assert await replay.ended(60.0) == 0, replay.printed
    assert "0 differ" in replay.printed
