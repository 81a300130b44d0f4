"""`marginwatch demo` as a visitor runs it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.e2e.programs import MARGINWATCH, Launcher, fetch

pytestmark = pytest.mark.e2e


async def test_the_demo_tells_its_story_and_ends_well(launcher: Launcher, tmp_path: Path) -> None:
    demo = await launcher.start(*MARGINWATCH, "demo", "--duration", "30", "--port", "0", "--no-terminal")
    base = (await demo.says("/-/healthy", 20.0)).strip().removesuffix("/-/healthy")
    await demo.says("first live ratio of every account", 15.0)
    assert (await fetch(f"{base}/-/ready"))[0] == 200
    status, body = await fetch(f"{base}/api/v1/status")
    assert status == 200
    assert json.loads(body)["ready"] is True
    accounts = json.loads((await fetch(f"{base}/api/v1/accounts"))[1])["accounts"]
    assert {account["venue"] for account in accounts} == {"hyperliquid", "aster", "deribit"}
    assert len(accounts) == 14
    assert all(account["status"] == "ok" for account in accounts)
    metrics = (await fetch(f"{base}/metrics"))[1]
    assert 'marginwatch_account_margin_ratio{account="vela",pool="multi-assets",venue="aster"}' in metrics
    assert 'marginwatch_account_next_funding_usd{account="umbra",pool="USDT",venue="aster"}' in metrics
    await demo.says("portfolio desk ", 25.0)
    save = tmp_path / "now.json"
    asked = await launcher.start(*MARGINWATCH, "report", "--live", base, "--save", str(save))
    assert await asked.ended(30.0) == 0, asked.printed
    again = await launcher.start(*MARGINWATCH, "report", str(save))
    assert await again.ended(60.0) == 0, again.printed
    live, saved = json.loads(asked.printed), json.loads(again.printed)
    for ours, theirs in zip(live["portfolios"], saved["portfolios"], strict=True):
        assert ours["margin_ratio"] == pytest.approx(theirs["margin_ratio"], rel=1e-9)
    assert {unit["coin"] for unit in live["portfolios"][0]["units"]} == {"BTC", "ETH"}
    await demo.says("LIQUIDATION", 25.0)
    desk, pair, _ = json.loads((await fetch(f"{base}/api/v1/status"))[1])["portfolios"]
    assert desk["status"] == "ok", desk["failures"]
    assert pair["status"] == "ok", pair["failures"]
    assert pair["margin_ratio"] < 0.2
    assert (pair["venues"]["first_down"]["account"], pair["venues"]["first_up"]["account"]) == ("iris", "umbra")
    assert sum(transfer["usd"] for transfer in pair["venues"]["transfers"]) == pytest.approx(0.0, abs=1.0)
    firing = json.loads((await fetch(f"{base}/api/v1/alerts"))[1])["firing"]
    assert firing
    assert await demo.ended(30.0) == 0, demo.printed
    assert "levels crossed: warning, critical, liquidation" in demo.printed
    assert "first to be liquidated down: iris on hyperliquid (main) at -" in demo.printed
    assert "iris/main: " in demo.printed
    assert "portfolio desk " in demo.printed
    assert "WARNING margin call " in demo.printed
    assert "every pool ended valid and below its warning level" in demo.printed
    assert "Traceback" not in demo.printed
    assert (await fetch(f"{base}/-/healthy"))[0] == 0


async def test_a_taken_port_is_told(launcher: Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        demo = await launcher.start(*MARGINWATCH, "demo", "--duration", "30", "--port", str(port), "--no-terminal")
        assert await demo.ended(20.0) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in demo.printed
    assert "Traceback" not in demo.printed
