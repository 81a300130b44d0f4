"""`marginwatch run` as a desk runs it: a process of its own against a venue in another, with receivers and signals."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.simulator.hyperliquid import AccountPlan
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.alerts.outbox import Outcome, read_history
from monitor.alerts.rules import Rule
from tests.e2e.programs import MARGINWATCH, Inbox, Launcher, configuration, fetch, free_port, until

pytestmark = pytest.mark.e2e

TOKEN = "a-token-nobody-may-see"
SECRET = "T000/B000/a-secret-nobody-may-see"
PATHS = ("/api/v1/status", "/api/v1/accounts", "/api/v1/alerts", "/metrics")

RECEIVERS = """
[receivers.log]
type = "log"
[receivers.hook]
type = "webhook"
url_env = "HOOK_URL"
[receivers.slack]
type = "slack"
url_env = "SLACK_URL"
min_level = "critical"
"""


async def ready(base: str, **headers: str) -> list[int]:
    """Ask until it is ready; the distinct answers on the way."""
    seen: list[int] = []

    async def ask() -> bool:
        status, _ = await fetch(f"{base}/-/ready", **headers)
        if status not in seen:
            seen.append(status)
        return status == 200

    await until(ask, 30.0, lambda: str(seen))
    return seen


async def test_a_desk_is_watched_paged_and_left_cleanly(
    launcher: Launcher, inbox: Inbox, tmp_path: Path, require_server: Callable[[str], Path]
) -> None:
    promtool, curl = require_server("promtool"), require_server("curl")
    plans, port = demo_plans("crash"), free_port()
    endpoints = await launcher.venue(40.0)
    path = configuration(
        tmp_path / "desk.toml", endpoints, plans, port, monitor='log_level = "debug"\ntoken_env = "TOKEN"', receivers=RECEIVERS
    )
    hook, slack = f"hook/{SECRET}", f"slack/{SECRET}"
    monitor = await launcher.start(
        *MARGINWATCH, "run", "--config", path, TOKEN=TOKEN, HOOK_URL=f"{inbox.url}/{hook}", SLACK_URL=f"{inbox.url}/{slack}"
    )
    base, bearer = f"http://127.0.0.1:{port}", f"Bearer {TOKEN}"
    seen = await ready(base, Authorization=bearer)
    assert [status for status in seen if status] == [503, 200]
    assert (await fetch(f"{base}/metrics"))[0] == 401

    shown = ""
    for endpoint in PATHS:
        command = [str(curl), "-sf", "-H", f"Authorization: {bearer}", f"{base}{endpoint}"]
        body = await asyncio.to_thread(subprocess.check_output, command, timeout=10)
        shown += body.decode()
        if endpoint == "/metrics":
            checked = await asyncio.to_thread(
                subprocess.run, [str(promtool), "check", "metrics"], input=body, capture_output=True, timeout=10, check=False
            )
            assert checked.returncode == 0, checked.stderr.decode()
        else:
            assert json.loads(body)["version"] == 1

    async def paged() -> bool:
        return any(sent["level"] == "critical" for sent in inbox.got.get(hook, [])) and slack in inbox.got

    await until(paged, 40.0, lambda: f"{list(inbox.got)}\n{monitor.printed[-2000:]}")
    (first, *_), (message, *_) = inbox.got[hook], inbox.got[slack]
    assert (first["version"], first["source"]) == (2, "marginwatch")
    alert = next(one for sent in inbox.got[hook] for one in sent["alerts"] if one["rule"] == "margin_level")
    assert (alert["status"], alert["venue"]) == ("firing", "hyperliquid")
    assert alert["account"] in {plan.name for plan in plans}
    assert alert["margin_ratio"] >= 0.85
    assert message.keys() == {"text", "blocks"}
    assert message["text"].startswith(("CRITICAL", "LIQUIDATION"))
    assert message["blocks"][0]["text"]["type"] == "mrkdwn"
    for endpoint in PATHS:
        shown += (await fetch(f"{base}{endpoint}", Authorization=bearer))[1]

    began = time.monotonic()
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0, monitor.printed
    assert time.monotonic() - began < 5.0
    assert monitor.printed.splitlines()[-1].endswith("stopped")
    assert "Traceback" not in monitor.printed
    shown += monitor.printed + json.dumps(inbox.got)
    assert "CRITICAL" in monitor.printed, "the log receiver"
    for secret in (TOKEN, SECRET, "a-secret", *(plan.address.removeprefix("0x") for plan in plans)):
        assert secret not in shown.replace(hook, "").replace(slack, ""), "a secret was shown"
    assert SECRET not in monitor.printed


STRANGER = AccountPlan(f"0x{0xABCDEF:040x}", "stranger")
SILENT = '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK_URL"\n'


async def test_a_second_signal_ends_it_at_once(launcher: Launcher, inbox: Inbox, tmp_path: Path) -> None:
    endpoints = await launcher.venue(30.0)
    path = configuration(tmp_path / "desk.toml", endpoints, [STRANGER], free_port(), receivers=SILENT)
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path, HOOK_URL=f"{inbox.url}/silent")

    async def asked() -> bool:
        return "silent" in inbox.got

    await until(asked, 20.0, lambda: monitor.printed)
    monitor.signal(signal.SIGTERM)
    await asyncio.sleep(0.5)
    assert monitor.process.returncode is None, "it waits for the receiver that does not answer"
    began = time.monotonic()
    monitor.signal(signal.SIGINT)
    assert await monitor.ended(5.0) == 1
    assert time.monotonic() - began < 1.0
    assert "second signal: ending at once" in monitor.printed


async def test_a_dead_receiver_does_not_keep_it_from_ending(launcher: Launcher, inbox: Inbox, tmp_path: Path) -> None:
    endpoints = await launcher.venue(30.0)
    path = configuration(tmp_path / "desk.toml", endpoints, [STRANGER], free_port(), receivers=SILENT)
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path, HOOK_URL=f"{inbox.url}/silent")

    async def asked() -> bool:
        return "silent" in inbox.got

    await until(asked, 20.0, lambda: monitor.printed)
    began = time.monotonic()
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0
    assert time.monotonic() - began < 5.0
    assert "for receiver hook wait in the outbox for the next start" in monitor.printed
    left = [entry for entry in read_history(tmp_path / "desk.db", 100) if entry.alert.rule is Rule.ACCOUNT_FAILURE]
    assert [[record.outcome for record in entry.deliveries] for entry in left] == [[Outcome.PENDING]]


async def test_a_cache_that_cannot_be_written_is_said_and_nothing_breaks(launcher: Launcher, tmp_path: Path) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    endpoints, port = await launcher.venue(30.0), free_port()
    path = configuration(
        tmp_path / "desk.toml", endpoints, demo_plans("crash")[:1], port, monitor=f'kernel_cache_dir = "{blocked / "below"}"'
    )
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path)
    await ready(f"http://127.0.0.1:{port}")
    assert "kernel cache is off: Not a directory; set MARGINWATCH_CACHE_DIR" in monitor.printed
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0
    assert "Traceback" not in monitor.printed


async def test_a_taken_address_is_told(launcher: Launcher, inbox: Inbox, tmp_path: Path) -> None:
    port = int(inbox.url.rpartition(":")[2])
    path = configuration(tmp_path / "desk.toml", {"rest_url": inbox.url}, [STRANGER], port)
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path)
    assert await monitor.ended(20.0) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in monitor.printed
    assert "Traceback" not in monitor.printed


async def test_a_venue_that_does_not_exist_is_never_ready(launcher: Launcher, tmp_path: Path) -> None:
    nowhere, port = free_port(), free_port()
    endpoints = {"rest_url": f"http://127.0.0.1:{nowhere}", "ws_url": f"ws://127.0.0.1:{nowhere}/ws"}
    path = configuration(tmp_path / "desk.toml", endpoints, demo_plans("crash")[:1], port)
    monitor = await launcher.start(*MARGINWATCH, "run", "--config", path)
    base = f"http://127.0.0.1:{port}"

    async def paged() -> bool:
        _, body = await fetch(f"{base}/api/v1/alerts")
        return bool(body) and bool(json.loads(body)["firing"])

    await until(paged, 30.0, lambda: monitor.printed)
    status, body = await fetch(f"{base}/-/ready")
    assert status == 503
    assert "atlas: waiting for the first complete state" in body
    (account,) = json.loads((await fetch(f"{base}/api/v1/accounts"))[1])["accounts"]
    assert (account["status"], account["margin_ratio"]) == ("failed", None)
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 0
