"""No secret of the configuration stands anywhere that the running monitor writes or serves, however things go wrong."""

from __future__ import annotations

import asyncio
import base64
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from connectors.simulator.aster import ALIASES as ASTER_ALIASES
from connectors.simulator.aster import AsterServer
from connectors.simulator.aster import credentials as aster_credentials
from connectors.simulator.deribit import ALIASES as DERIBIT_ALIASES
from connectors.simulator.deribit import credentials as deribit_credentials
from connectors.simulator.hyperliquid import HyperliquidServer
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.demo import Venues
from monitor.recording.segments import read_blocks
from monitor.web.server import ENDPOINTS
from tests.e2e.programs import MARGINWATCH, Inbox, Launcher, fetch, free_port, until

pytestmark = pytest.mark.e2e

SECRETS = {
    "TOKEN": "token-nobody-may-see-1",
    "HOOK_SECRET": "hmac-nobody-may-see-2",
    "SLACK_BOT": "xoxb-nobody-may-see-3",
    "PAGER_KEY": "routing-nobody-may-see-4",
    "BEAT": "beat-nobody-may-see-5",
    "HOOK": "hook-nobody-may-see-6",
    "SLACK": "slack-nobody-may-see-7",
}
REST_S = 25.0


class Echo(Inbox):
    """A receiver that refuses in turn and says what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    async def _take(self, request: web.Request) -> web.Response:
        self.calls += 1
        body = await request.text()
        self.got.setdefault(request.match_info["path"].split("/")[0], []).append({"body": body})
        if self.calls % 2:
            status = (401, 403, 404, 500, 503)[self.calls // 2 % 5]
            return web.Response(status=status, text=f"{request.headers} {request.url} {body[:500]}")
        return web.Response(text='{"ok": false, "error": "invalid_auth"}')


def _configuration(path: Path, venues: Venues, inbox: str, port: int) -> dict[str, str]:
    environ = {name: f"{inbox}/{value}?key={value}" if name in ("BEAT", "HOOK", "SLACK") else value for name, value in SECRETS.items()}
    environ["PAGER_URL"] = f"{inbox}/pagerduty"
    lines = [
        f'[monitor]\nlisten = "127.0.0.1:{port}"\nlog_level = "debug"\ntoken_env = "TOKEN"\n[alerts]\nhold_s = 1.0\noutbox = "secrets.db"\n'
    ]
    lines += [f'[venues.{name}]\nrest_url = "{one.rest_url}"\nws_url = "{one.ws_url}"' for name, one in _endpoints(venues)]
    lines.append(f'[venues.deribit]\nws_url = "{venues.deribit.ws_url}"')
    lines += [f'[[accounts]]\nid = "{plan.name}"\nvenue = "hyperliquid"\naddress = "{plan.address}"' for plan in demo_plans("crash")]
    for alias in ASTER_ALIASES:
        key = aster_credentials(alias)
        environ[f"{alias}_key"] = key.private_key
        lines.append(f'[[accounts]]\nid = "{alias}"\nvenue = "aster"\naddress = "{key.user}"\nagent_key_env = "{alias}_key"')
    for alias in DERIBIT_ALIASES:
        client = deribit_credentials(alias)
        environ |= {f"{alias}_id": client.client_id, f"{alias}_secret": client.client_secret}
        lines.append(f'[[accounts]]\nid = "{alias}"\nvenue = "deribit"\nclient_id_env = "{alias}_id"\nclient_secret_env = "{alias}_secret"')
    lines.append('[heartbeat]\nurl_env = "BEAT"\nevery_s = 1.0')
    lines.append('[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK"\nsecret_env = "HOOK_SECRET"')
    lines.append('[receivers.slack]\ntype = "slack"\nurl_env = "SLACK"')
    lines.append('[receivers.bot]\ntype = "slack"\ntoken_env = "SLACK_BOT"\nchannel = "C012345"')
    lines.append('[receivers.pager]\ntype = "pagerduty"\nrouting_key_env = "PAGER_KEY"\nurl_env = "PAGER_URL"')
    lines.append('[receivers.log]\ntype = "log"')
    path.write_text("\n".join(lines))
    return environ


def _endpoints(venues: Venues) -> Iterator[tuple[str, HyperliquidServer | AsterServer]]:
    yield "hyperliquid", venues.hyperliquid
    yield "aster", venues.aster


async def _play(venues: Venues) -> None:
    before = time.monotonic()
    while True:
        await asyncio.sleep(0.1)
        now = time.monotonic()
        await venues.step(now - before)
        before = now


async def _served(base: str) -> str:
    shown = ""
    for path in ("/", *ENDPOINTS, "/api/v1/silences", "/api/v1/portfolios?snapshot=1"):
        shown += (await fetch(base + path, Authorization=f"Bearer {SECRETS['TOKEN']}"))[1]
    return shown


def _recorded(directory: Path) -> bytes:
    blocks = [block for path in sorted(directory.iterdir()) for block in read_blocks(path)]
    assert blocks
    return b"".join(blocks)


def _disguises(secret: str) -> Iterator[bytes]:
    plain = secret.encode()
    yield plain
    yield quote(secret, safe="").encode()
    yield base64.b64encode(plain).rstrip(b"=")
    yield plain.hex().encode()


async def test_no_secret_is_in_a_recording_a_log_a_metric_or_a_page(launcher: Launcher, tmp_path: Path) -> None:
    inbox, venues, port = Echo(), Venues.of("crash", REST_S), free_port()
    await inbox.start()
    await venues.start()
    playing = asyncio.create_task(_play(venues))
    try:
        environ = _configuration(tmp_path / "desk.toml", venues, inbox.url, port)
        command = (*MARGINWATCH, "run", "--config", tmp_path / "desk.toml", "--record", tmp_path / "recording")
        monitor = await launcher.start(*command, **environ)

        async def told() -> bool:
            return {SECRETS["HOOK"], SECRETS["SLACK"], "pagerduty"} <= set(inbox.got)

        await until(told, 60.0, lambda: f"{list(inbox.got)} {monitor.printed[-3000:]}")
        await asyncio.sleep(10.0)
        shown = await _served(f"http://127.0.0.1:{port}")
        tested = await launcher.start(*MARGINWATCH, "alert-test", "--config", tmp_path / "desk.toml", **environ)
        assert await tested.ended(60.0) == 1
        monitor.signal(signal.SIGTERM)
        assert await monitor.ended(15.0) == 0, monitor.printed[-2000:]
    finally:
        playing.cancel()
        await venues.stop()
        await inbox.stop()
    written = {
        "log": monitor.printed.encode(),
        "alert-test": tested.printed.encode(),
        "metrics and pages": shown.encode(),
        "recording": _recorded(tmp_path / "recording"),
        "outbox": b"".join(path.read_bytes() for path in sorted(tmp_path.glob("secrets.db*"))),
    }
    assert all(len(text) > 500 for text in written.values()), {name: len(text) for name, text in written.items()}
    assert "marginwatch_account" in shown
    assert '"firing"' in shown
    for name, value in environ.items():
        secret = value.partition("?key=")[2] or value
        if name == "PAGER_URL":
            continue
        for place, text in written.items():
            for disguise in _disguises(secret.removeprefix("0x")):
                assert disguise not in text, f"{name} stands in the {place}"
