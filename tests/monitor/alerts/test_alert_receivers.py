from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from config import Secret, load
from connectors.events import Liquidation
from monitor.alerts.build import build_policy_config, build_receivers
from monitor.alerts.http import HttpPoster, PostError, Reply
from monitor.alerts.log import LogReceiver
from monitor.alerts.message import Delivery, Message
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.alerts.rules import Thresholds
from monitor.alerts.slack import SlackReceiver, escape, payload
from monitor.alerts.text import render_group
from monitor.alerts.webhook import WebhookReceiver, document
from monitor.margin.result import Level

RECEIVED: web.AppKey[list[Any]] = web.AppKey("received", list)
SECRET_PATH = "/services/very-secret"


class MemoryPoster:
    """The seam in memory: records the documents, answers with a status or an error."""

    def __init__(self, answer: Reply | PostError) -> None:
        self.answer = answer
        self.posted: list[Mapping[str, Any]] = []

    async def post_json(self, url: Secret, payload: Mapping[str, Any], timeout_s: float) -> Reply:
        self.posted.append(payload)
        if isinstance(self.answer, PostError):
            raise self.answer
        return self.answer


@pytest.fixture
def message(pools: Any) -> Message:
    notifications = tuple(
        AlertPolicy(PolicyConfig()).observe(
            [
                pools(0.86, pool="a", reduce=("hyperliquid:BTC", -2.0), cash_to_safety=10.0),
                pools(float("inf"), pool="<b>&", equity=None, data_age_s=None),
            ],
            0,
        )
    )
    return Message(render_group(notifications), notifications, 1_700_000_000_000)


def test_webhook_document(message: Message) -> None:
    sent = json.loads(json.dumps(document(message), allow_nan=False))
    worst, other = sent.pop("alerts")
    assert sent == {
        "version": 1,
        "source": "marginwatch",
        "title": "2 alerts: LIQUIDATION no equity hl-main/<b>&, WARNING 86% hl-main/a",
        "text": message.text.full,
        "level": "liquidation",
        "sent_at_ms": 1_700_000_000_000,
    }
    assert (worst["margin_ratio"], worst["equity"], worst["data_age_s"], worst["reduce"]) == ("Infinity", None, None, None)
    title, text = other.pop("title"), other.pop("text")
    assert title == "WARNING 86% hl-main/a: 160k left of 2.00M; add 10.0 USDC or sell 2 BTC -> 85%; data 0.4s"
    assert text.startswith(f"{title}\nscope: ")
    assert other == {
        "incident": "hyperliquid/hl-main/a/margin_level",
        "rule": "margin_level",
        "status": "firing",
        "change": "fired",
        "level": "warning",
        "previous_level": "ok",
        "venue": "hyperliquid",
        "account": "hl-main",
        "pool": "a",
        "detail": "",
        "open_for_s": 0,
        "frozen": False,
        "margin_ratio": 0.86,
        "ratio_at_crossing": 0.86,
        "pool_kind": "hyperliquid_cross",
        "mode": "unified",
        "asset": "USDC",
        "equity": 2_000_000.0,
        "maintenance_margin": 1_840_000.0,
        "excess": 160_000.0,
        "cash_to_safety": 10.0,
        "data_age_s": 0.4,
        "reduce": {"instrument": "hyperliquid:BTC", "quantity": -2.0},
    }


def test_webhook_keys_are_the_documented_ones(message: Message) -> None:
    import monitor.alerts.webhook as module

    documented = set((module.__doc__ or "").replace(",", " ").replace(";", " ").split())
    sent = document(message)
    assert set(sent) | set(sent["alerts"][0]) <= documented
    account_wide = AlertPolicy(PolicyConfig()).seen(Liquidation("hyperliquid", "x", 0, 0, "0x" + "ab" * 20), 0)
    alert = document(Message(render_group(account_wide), tuple(account_wide), 0))["alerts"][0]
    assert set(alert) == set(sent["alerts"][0])
    assert (alert["pool"], alert["equity"], alert["detail"]) == ("", None, "0xabab…abab")


def test_slack_payload_is_escaped(message: Message) -> None:
    sent = payload(message)
    assert sent["text"] == "2 alerts: LIQUIDATION no equity hl-main/&lt;b&gt;&amp;, WARNING 86% hl-main/a"
    texts = [block["text"]["text"] for block in sent["blocks"]]
    assert texts[0] == f"*{sent['text']}*"
    assert texts[1].startswith("*LIQUIDATION no equity hl-main/&lt;b&gt;&amp;*\nscope: hyperliquid hl-main/&lt;b&gt;&amp; (unified)\n")
    assert texts[2].startswith("*WARNING 86% hl-main/a: 160k left of 2.00M; add 10.0 USDC or sell 2 BTC -&gt; 85%; data 0.4s*\nscope: ")
    assert {block["type"] for block in sent["blocks"]} == {"section"}
    assert escape("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"


def test_slack_limits_are_kept(pools: Any) -> None:
    results = [pools(0.95, pool=f"p{n}", mode="&" * 1000) for n in range(120)]
    notifications = tuple(AlertPolicy(PolicyConfig()).observe(results, 0))
    blocks = payload(Message(render_group(notifications), notifications, 0))["blocks"]
    assert len(blocks) == 50
    assert max(len(block["text"]["text"]) for block in blocks) == 3000
    assert blocks[-1]["text"]["text"] == "and 72 more; see the monitor's page"


@pytest.mark.parametrize("kind", [SlackReceiver, WebhookReceiver])
async def test_what_became_of_it(kind: type[SlackReceiver] | type[WebhookReceiver], message: Message) -> None:
    async def send(answer: Reply | PostError) -> Delivery:
        return await kind("ops", Secret("https://x"), MemoryPoster(answer)).send(message)

    assert await send(Reply(200)) == Delivery(True)
    assert await send(Reply(204)) == Delivery(True)
    assert await send(Reply(302)) == Delivery(False, "HTTP status 302")
    assert await send(Reply(404)) == Delivery(False, "HTTP status 404")
    assert await send(Reply(429, 3.0)) == Delivery(False, "HTTP status 429", 3.0)
    assert await send(PostError("ClientConnectorError")) == Delivery(False, "ClientConnectorError")


async def test_log_receiver(message: Message, pools: Any, caplog: pytest.LogCaptureFixture) -> None:
    policy = AlertPolicy(PolicyConfig(hold_s=0))
    with caplog.at_level(logging.INFO, "marginwatch.alerts"):
        for ratio in (0.86, 0.95, 0.1):
            told = tuple(policy.observe([pools(ratio)], 0))
            assert await LogReceiver("log").send(Message(render_group(told), told, 0)) == Delivery(True)
    assert [record.levelname for record in caplog.records] == ["WARNING", "CRITICAL", "INFO"]
    assert caplog.records[1].message.startswith("CRITICAL 95% hl-main/USDC: up from WARNING")
    assert "\nincident: hyperliquid/hl-main/USDC/margin_level" in caplog.records[1].message


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    received: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        received.append(await request.json())
        wish = request.match_info["wish"]
        if wish == "hang":
            await asyncio.sleep(30)
        if wish == "move":
            raise web.HTTPFound("/200" + SECRET_PATH)
        headers = {"429": {"Retry-After": "7"}, "503": {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, "502": {"Retry-After": "1e9"}}
        return web.Response(status=int(wish), headers=headers.get(wish), text="secret answer")

    app = web.Application()
    app[RECEIVED] = received
    app.router.add_post("/{wish}" + SECRET_PATH, answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.01)
    yield server
    await server.close()


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("200", Delivery(True)),
        ("500", Delivery(False, "HTTP status 500")),
        ("429", Delivery(False, "HTTP status 429", 7.0)),
        ("503", Delivery(False, "HTTP status 503")),
        ("502", Delivery(False, "HTTP status 502", 300.0)),
        ("move", Delivery(False, "HTTP status 302")),
        ("hang", Delivery(False, "no answer within 0.2 s")),
    ],
)
async def test_over_http(server: TestServer, message: Message, wish: str, expected: Delivery, caplog: pytest.LogCaptureFixture) -> None:
    url = Secret(str(server.make_url(f"/{wish}{SECRET_PATH}")))
    with caplog.at_level(logging.DEBUG):
        async with HttpPoster() as poster:
            timeout = 0.2 if wish == "hang" else 5.0
            assert await SlackReceiver("ops", url, poster, timeout_s=timeout).send(message) == expected
    assert server.app[RECEIVED] == [payload(message)]
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert "very-secret" not in "".join(ours)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/very-secret",
        "very-secret",
        "http://[very-secret",
        "ftp://127.0.0.1/very-secret",
        "http://127.0.0.1:99999/very-secret",
        f"http://{'very-secret' * 30}/",
    ],
)
async def test_no_answer_never_names_the_url(url: str) -> None:
    async with HttpPoster() as poster:
        with pytest.raises(PostError) as caught:
            await poster.post_json(Secret(url), {}, 5.0)
    assert "very-secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_built_from_settings(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        """
[defaults]
levels = { warning = 0.7 }
[alerts]
hold_s = 3
receivers = ["page", "hook", "log"]
repeat_s = { critical = 60.0 }
[[accounts]]
id = "hl-main"
venue = "hyperliquid"
address = "0x0000000000000000000000000000000000000001"
levels = { critical = 0.8 }
[receivers.log]
type = "log"
[receivers.hook]
type = "webhook"
url_env = "HOOK"
[receivers.page]
type = "slack"
url_env = "PAGE"
min_level = "critical"
[receivers.unused]
type = "log"
"""
    )
    settings = load(path, environ={"HOOK": "https://hook", "PAGE": "https://page"})
    config = build_policy_config(settings)
    assert config.of("hl-main") == Thresholds(0.7, 0.8)
    assert config.of("other") == Thresholds(0.7, 0.9)
    assert (config.hold_s, config.hysteresis, config.data_hold_s) == (3.0, 0.02, 10.0)
    assert config.repeat_s == {Level.WARNING: 3600.0, Level.CRITICAL: 60.0, Level.LIQUIDATION: 300.0}
    poster = MemoryPoster(Reply(200))
    assert build_receivers(settings, poster) == [
        SlackReceiver("page", Secret("https://page"), poster, Level.CRITICAL),
        WebhookReceiver("hook", Secret("https://hook"), poster, Level.WARNING),
        LogReceiver("log", Level.WARNING),
    ]
