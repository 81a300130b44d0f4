from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from config import Secret, load
from config.settings import Settings
from monitor.alerts.build import build_receivers
from monitor.alerts.drill import _run, drill, run_alert_test
from monitor.alerts.message import Delivery, Message
from monitor.alerts.receivers.alertmanager import AlertmanagerReceiver
from monitor.alerts.receivers.log import LogReceiver
from monitor.alerts.receivers.pagerduty import PagerDutyReceiver
from monitor.alerts.receivers.slack import SlackReceiver
from monitor.alerts.receivers.slack_bot import SlackBotReceiver
from monitor.alerts.receivers.webhook import WebhookReceiver
from monitor.margin.result import Level
from tests.monitor.alerts.receiver_alerts import NOW_MS, MemoryPoster

ENVIRON = {"HOOK": "http://127.0.0.1:1/very-secret", "SIGN": "s", "SLACK": "https://slack", "TOKEN": "xoxb", "KEY": "R0", "AM": "http://am"}
ACCOUNT = """
[[accounts]]
id = "hl-main"
venue = "hyperliquid"
address = "0x0000000000000000000000000000000000000001"
"""
ALL = """
[receivers.log]
type = "log"
[receivers.hook]
type = "webhook"
url_env = "HOOK"
secret_env = "SIGN"
[receivers.slack]
type = "slack"
url_env = "SLACK"
[receivers.bot]
type = "slack"
token_env = "TOKEN"
channel = "#margin"
[receivers.pd]
type = "pagerduty"
routing_key_env = "KEY"
[receivers.am]
type = "alertmanager"
url = "http://am:9093"
[receivers.hidden]
type = "alertmanager"
url_env = "AM"
"""


class Fake:
    """A receiver with an answer for each sending."""

    def __init__(self, *answers: Delivery | Exception, hangs: bool = False) -> None:
        self.name = "fake"
        self.answers = list(answers)
        self.got: list[Message] = []
        self.hangs = hangs

    async def send(self, message: Message) -> Delivery:
        self.got.append(message)
        if self.hangs:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Settings]:
    def build(receivers: str, **environ: str) -> Settings:
        path = tmp_path / "m.toml"
        path.write_text(ACCOUNT + receivers)
        return load(path, environ={**ENVIRON, **environ})

    return build


async def test_a_drill_is_an_alert_and_its_end() -> None:
    good = Fake(Delivery(True, handles={f"receiver/ops/test#{NOW_MS // 1000}": "C1:1"}), Delivery(True))
    (result,) = await drill([("ops", good)], NOW_MS)
    assert result.passed
    assert result.line == "ops: ok, it took the test alert and its end"
    first, second = good.got
    assert [(one.level, one.is_resolved, one.id) for one in (*first.alerts, *second.alerts)] == [
        (Level.WARNING, False, f"receiver/ops/test#{NOW_MS // 1000}.1"),
        (Level.OK, True, f"receiver/ops/test#{NOW_MS // 1000}.2"),
    ]
    assert first.text.title == "WARNING test ops: nothing is wrong; sent by marginwatch alert-test; no action is needed"
    assert (dict(first.handles), dict(second.handles)) == ({}, {f"receiver/ops/test#{NOW_MS // 1000}": "C1:1"})


async def test_every_receiver_is_tried_and_says_what_happened() -> None:
    targets = [
        ("wrong", Fake(Delivery(False, "Slack says invalid_auth: the bot token is wrong or revoked", fatal=True))),
        ("busy", Fake(Delivery(False, "HTTP status 429", 7.0))),
        ("half", Fake(Delivery(True), Delivery(False, "HTTP status 500"))),
        ("broken", Fake(RuntimeError("https://very-secret"))),
        ("silent", Fake(hangs=True)),
        ("good", Fake(Delivery(True), Delivery(True))),
    ]
    results = await drill(targets, NOW_MS, limit_s=0.05)
    assert [result.line for result in results] == [
        "wrong: FAILED, the test alert was not taken: Slack says invalid_auth: the bot token is wrong or revoked",
        "busy: FAILED, the test alert was not taken: HTTP status 429; it asks to wait 7 s",
        "half: FAILED, the test alert was taken, but not its end: HTTP status 500",
        "broken: FAILED, the test alert was not taken: RuntimeError",
        "silent: FAILED, the test alert was not taken: no answer within 0.05 s",
        "good: ok, it took the test alert and its end",
    ]
    assert [result.passed for result in results] == [False] * 5 + [True]


def test_the_exit_code_and_no_secret(configured: Callable[..., Settings]) -> None:
    said: list[str] = []
    hook, log = '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK"\n', '[receivers.log]\ntype = "log"\n'
    assert run_alert_test(configured(log), said.append) == 0
    assert run_alert_test(configured(log + hook), said.append) == 1
    assert run_alert_test(configured(""), said.append) == 1
    assert said == [
        "log: ok, it took the test alert and its end",
        "only a log was tested, and it wakes up nobody; add a receiver of another type",
        "log: ok, it took the test alert and its end",
        "hook: FAILED, the test alert was not taken: no connection (ClientConnectorError)",
        "1 of 2 receivers failed: hook",
        "no receiver is configured, so alerts are sent to nobody; add [receivers.NAME]",
    ]


def test_what_alerts_leaves_out_is_tested_too_and_said(configured: Callable[..., Settings]) -> None:
    said: list[str] = []
    log, spare = '[receivers.log]\ntype = "log"\n', '[receivers.spare]\ntype = "log"\n'
    hook = '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK"\n'
    assert run_alert_test(configured('[alerts]\nreceivers = ["log"]\n' + hook + log), said.append) == 1
    assert run_alert_test(configured("[alerts]\nreceivers = []\n" + spare), said.append) == 1
    unused = "(not used by [alerts]: its receivers leave it out)"
    assert said == [
        "log: ok, it took the test alert and its end",
        f"hook: FAILED, the test alert was not taken: no connection (ClientConnectorError) {unused}",
        "1 of 2 receivers failed: hook",
        "[alerts] uses only a log, and it wakes up nobody; name another receiver in its receivers",
        f"spare: ok, it took the test alert and its end {unused}",
        "[alerts] receivers is empty, so alerts are sent to nobody; name those that are to be told",
    ]


async def test_over_http(configured: Callable[..., Settings]) -> None:
    got: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        got.append(json.loads(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/very-secret", answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    settings = configured('[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK"\n', HOOK=str(server.make_url("/very-secret")))
    (result,) = await _run(settings)
    await server.close()
    assert result.passed
    assert [document["alerts"][0]["status"] for document in got] == ["firing", "resolved"]
    assert {document["alerts"][0]["rule"] for document in got} == {"test"}


def test_receivers_are_built_from_settings(configured: Callable[..., Settings]) -> None:
    poster = MemoryPoster()
    assert build_receivers(configured(ALL), poster) == [
        LogReceiver("log"),
        WebhookReceiver("hook", Secret(ENVIRON["HOOK"]), poster, Secret("s")),
        SlackReceiver("slack", Secret("https://slack"), poster),
        SlackBotReceiver("bot", Secret("xoxb"), "#margin", poster),
        PagerDutyReceiver("pd", Secret("R0"), poster, Secret("https://events.pagerduty.com/v2/enqueue")),
        AlertmanagerReceiver("am", Secret("http://am:9093"), poster),
        AlertmanagerReceiver("hidden", Secret("http://am"), poster),
    ]
