"""`marginwatch run` on Aster accounts as a desk runs it: agent keys in files, a page before the liquidation, and no secret anywhere."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors.simulator.aster import ALIASES, AsterServer, AsterVenue, Market, aster_demo, credentials
from tests.e2e.programs import MARGINWATCH, Inbox, Launcher, fetch, free_port, until

pytestmark = pytest.mark.e2e

STORY_S = 30.0
PLACES = ("/api/v1/status", "/api/v1/accounts", "/api/v1/alerts", "/metrics")


@asynccontextmanager
async def aster() -> AsyncIterator[AsterServer]:
    """A venue in a crash that goes on at the machine's pace."""
    market = Market(7, "crash", STORY_S, time.time_ns() // 1_000_000)
    venue: AsterVenue = aster_demo(STORY_S, market=market, mark_interval=0.2)
    server = AsterServer(venue, autorun=True)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def configuration(folder: Path, server: AsterServer, port: int) -> Path:
    lines = [
        f'[monitor]\nlisten = "127.0.0.1:{port}"\nlog_level = "debug"\n',
        f'[venues.aster]\nrest_url = "{server.rest_url}"\nws_url = "{server.ws_url}"\nip_budget_share = 1.0\n',
        "[fx]\nUSDT = 1.0\nUSD1 = 1.0\n",
        '[receivers.hook]\ntype = "webhook"\nurl_env = "HOOK_URL"\n[receivers.log]\ntype = "log"\n',
    ]
    for alias in ALIASES:
        key = folder / f"{alias}.key"
        key.write_text(credentials(alias).private_key)
        key.chmod(0o600)
        lines.append(
            f'[[accounts]]\nid = "{alias}"\nvenue = "aster"\naddress = "{credentials(alias).user}"\nagent_key_file = "{key.name}"\n'
        )
    path = folder / "desk.toml"
    path.write_text("".join(lines))
    return path


async def test_an_aster_desk_is_watched_and_paged_and_nothing_secret_is_shown(launcher: Launcher, inbox: Inbox, tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    async with aster() as server:
        path = configuration(tmp_path, server, port)
        monitor = await launcher.start(*MARGINWATCH, "run", "--config", path, HOOK_URL=f"{inbox.url}/hook")

        async def is_ready() -> bool:
            return (await fetch(f"{base}/-/ready"))[0] == 200

        await until(is_ready, 20.0, lambda: monitor.printed[-2000:])
        status = json.loads((await fetch(f"{base}/api/v1/status"))[1])
        accounts = json.loads((await fetch(f"{base}/api/v1/accounts"))[1])
        assert {(pool["account"], pool["pool"], pool["mode"]) for pool in status["pools"]} >= {
            ("umbra", "USDT", "single_asset"),
            ("vela", "multi-assets", "multi_assets"),
            ("wren", "USDT", "single_asset"),
            ("wren", "USD1", "single_asset"),
            ("wren", "iso:HYPEUSDT:LONG", "single_asset"),
        }
        assert all(account["key"]["rights"] == ["read"] for account in accounts["accounts"])
        collateral = {row["asset"]: row for row in accounts["accounts"][1]["collateral"]}
        assert (collateral["BTC"]["pool"], collateral["BTC"]["amount"], collateral["BTC"]["ratio"]) == ("multi-assets", 8.0, 0.95)
        assert collateral["BTC"]["price"] > 0
        assert {row["side"] for row in accounts["accounts"][2]["positions"]} == {"long", "short"}
        assert all(pool["next_funding"]["amount"] is not None for pool in status["pools"] if pool["positions"])

        async def paged() -> bool:
            return any(alert["rule"] == "margin_level" for sent in inbox.got.get("hook", []) for alert in sent["alerts"])

        await until(paged, 40.0, lambda: monitor.printed[-2000:])
        shown = "".join([(await fetch(f"{base}{place}"))[1] for place in PLACES])
        monitor.signal(signal.SIGTERM)
        assert await monitor.ended(10.0) == 0, monitor.printed
        assert server.venue.forbidden_requests == server.venue.listen_key_deletes == 0
        keys = [key for alias in ALIASES if (key := server.venue.keys.active(alias)) is not None]
    assert len(keys) == 3
    assert "Traceback" not in monitor.printed
    shown += monitor.printed + json.dumps(inbox.got)
    secrets = [*keys, *(text.removeprefix("0x") for alias in ALIASES for text in _texts(alias)), "signature="]
    for secret in secrets:
        assert secret.lower() not in shown.lower(), "a secret was shown"


def _texts(alias: str) -> tuple[str, ...]:
    own = credentials(alias)
    return own.private_key, own.user, own.signer
