"""The commands that read a venue once: what they print can be used, and what they cannot vouch for they refuse to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import load
from connectors.simulator.hyperliquid import ADDRESSES, AccountPlan, HyperliquidServer, PositionPlan
from connectors.simulator.hyperliquid_desk import demo_plans
from monitor.inspection.commands import Asked, check_live, discover_accounts, verify_account
from monitor.snapshot import read_snapshot
from tests.monitor.loopback_venue import settings_for, standing_venue

MASTER = f"0x{0xD1:040x}"
AGENT = AccountPlan(f"0x{0xD2:040x}", "agent", role="agent", master=MASTER)
STRANGER = f"0x{0xD3:040x}"


def simple(number: int, name: str, **more: Any) -> AccountPlan:
    more.setdefault("positions", (PositionPlan("BTC", 1.0, 10),))
    return AccountPlan(f"0x{number:040x}", name, cash={"": 50_000.0}, **more)


def spoiled(server: HyperliquidServer, request: str, change: Callable[[Any], Any]) -> None:
    """Have the venue's answers to a request changed."""
    handlers = server.venue.rest._handlers
    truthful = handlers[request]
    handlers[request] = lambda query: change(truthful(query))


# -- discover -------------------------------------------------------------------------------------------------------------------------


async def discovered(server: HyperliquidServer, address: str) -> int:
    return await asyncio.to_thread(discover_accounts, Asked(address, rest_url=server.rest_url))


async def test_what_discover_prints_is_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with standing_venue() as server:
        assert await discovered(server, ADDRESSES["atlas"]) == 0
    path = tmp_path / "desk.toml"
    path.write_text(capsys.readouterr().out)
    found = {account.id: account.address for account in load(path).accounts}
    assert found == {"master": ADDRESSES["atlas"], "gemini": ADDRESSES["gemini"], "helios": ADDRESSES["helios"]}


async def test_names_the_configuration_would_refuse_are_mended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = ["Market Making / EU #1", "Market Making   EU  1", "0xdeadbeef", "…", "_.-", 'a"b\nc = 1', "x" * 80, "x" * 90, "master"]
    plans = [simple(0xD1, "whatever")]
    plans += [simple(0xE00 + number, name, role="subAccount", master=MASTER) for number, name in enumerate(names)]
    async with standing_venue(plans) as server:
        assert await discovered(server, MASTER) == 0
    path = tmp_path / "desk.toml"
    path.write_text(capsys.readouterr().out)
    accounts = load(path).accounts
    assert [account.address for account in accounts] == [plan.address for plan in plans]
    ids = [account.id for account in accounts]
    assert len(set(ids)) == len(ids)
    assert {"master", "master-2", "Market-Making-EU-1", "a-b-c-1", "sub_account"} <= set(ids)


@pytest.mark.parametrize(("address", "said"), [(AGENT.address, "API wallet"), (STRANGER, "does not know this address")])
async def test_discover_finds_nothing_behind_what_is_no_account(capsys: pytest.CaptureFixture[str], address: str, said: str) -> None:
    async with standing_venue([simple(0xD1, "master"), AGENT]) as server:
        assert await discovered(server, address) == 1
    printed = capsys.readouterr().out
    assert said in printed
    assert all(line.startswith("#") for line in printed.splitlines())


# -- verify ---------------------------------------------------------------------------------------------------------------------------


async def verified(server: HyperliquidServer, address: str, save: Path | None = None) -> int:
    return await asyncio.to_thread(verify_account, Asked(address, rest_url=server.rest_url), save)


@pytest.mark.parametrize("name", list(ADDRESSES))
async def test_every_kind_of_account_agrees_with_the_venue(capsys: pytest.CaptureFixture[str], name: str) -> None:
    async with standing_venue() as server:
        code = await verified(server, ADDRESSES[name])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert ", 0 differ by more than 0.1 %" in printed
    assert "maintenance_margin" in printed


async def test_verify_saves_what_it_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "atlas.json"
    async with standing_venue(start_ms=1_790_000_000_000) as server:
        assert await verified(server, ADDRESSES["atlas"], path) == 0
    saved = json.loads(path.read_text())
    assert saved["accounts"][0]["mode"] == "standard"
    assert {position["instrument"] for position in saved["accounts"][0]["positions"]} >= {"hyperliquid:HYPE", "hyperliquid:kPEPE"}
    assert saved["as_of"] == "2026-09-21T14:13:21Z", "the venue's time, not ours"
    assert str(path.name) in capsys.readouterr().out.replace("\n", "")
    assert ADDRESSES["atlas"] not in path.read_text()
    assert read_snapshot(path).accounts[0].id == "account"


async def test_verify_says_what_the_portfolio_method_still_needs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plan = AccountPlan(MASTER, "one", cash={"": 1e6}, positions=(PositionPlan("DOGE", 100.0, 10),))
    async with standing_venue([plan]) as server:
        assert await verified(server, MASTER, tmp_path / "one.json") == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert "add to the saved file what the venue does not tell, in USD: fx.USDC, index.DOGE, accounts[0].equity" in printed
        assert await verified(server, MASTER) == 0
    assert "portfolio method" not in capsys.readouterr().out


async def test_a_difference_is_seen_and_is_not_a_success(capsys: pytest.CaptureFixture[str]) -> None:
    def more(state: Any) -> Any:
        return state | {"crossMaintenanceMarginUsed": str(1.01 * float(state["crossMaintenanceMarginUsed"]))}

    async with standing_venue() as server:
        spoiled(server, "clearinghouseState", more)
        assert await verified(server, ADDRESSES["atlas"]) == 3
    assert ", 1 differ by more than 0.1 %" in capsys.readouterr().out


@pytest.mark.parametrize(("address", "said"), [(AGENT.address, "API wallet"), (STRANGER, "does not know it")])
async def test_nothing_is_not_verified_as_healthy(capsys: pytest.CaptureFixture[str], address: str, said: str) -> None:
    async with standing_venue([simple(0xD1, "master"), AGENT]) as server:
        assert await verified(server, address) == 3
    printed = capsys.readouterr().out
    assert said in printed
    assert "ratio" not in printed


async def test_an_empty_account_of_somebody_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    async with standing_venue([AccountPlan(MASTER, "empty")]) as server:
        assert await verified(server, MASTER) == 0
    assert "ratio 0.00 %" in capsys.readouterr().out


async def test_a_file_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with standing_venue() as server:
        assert await verified(server, ADDRESSES["atlas"], tmp_path / "absent" / "x.json") == 2
    assert "No such file or directory; choose another file with --save" in capsys.readouterr().out.replace("\n", " ")


# -- a venue that is not there --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [verify_account, discover_accounts])
async def test_a_venue_that_is_down_is_told_with_its_host(capsys: pytest.CaptureFixture[str], command: Callable[..., int]) -> None:
    async with standing_venue() as server:
        url = server.rest_url
    asked = Asked(MASTER, rest_url=url)
    arguments = (asked, None) if command is verify_account else (asked,)
    assert await asyncio.to_thread(command, *arguments) == 1
    assert f"failed: cannot connect to {url.removeprefix('http://')}" in capsys.readouterr().out


# -- check --live ---------------------------------------------------------------------------------------------------------------------


async def checked(server: HyperliquidServer, accounts: list[AccountPlan], **more: Any) -> int:
    return await asyncio.to_thread(check_live, settings_for(server, accounts, **more))


async def test_check_live_tells_of_every_account(capsys: pytest.CaptureFixture[str]) -> None:
    async with standing_venue() as server:
        assert await checked(server, demo_plans("calm")) == 0
    printed = capsys.readouterr().out
    assert "REST answers in" in printed
    assert "WebSocket answers" in printed
    assert "atlas: mode default, 2 positions on 1 of 3 dexs" in printed
    assert "delphi: mode portfolioMargin (pooled wallet)" in printed
    assert "request budget:" in printed
    for address in ADDRESSES.values():
        assert address not in printed


async def test_check_live_finds_an_api_wallet_and_an_unknown_address(capsys: pytest.CaptureFixture[str]) -> None:
    plans = [simple(0xD1, "master"), AGENT]
    async with standing_venue(plans) as server:
        assert await checked(server, plans) == 1
        assert await checked(server, [AccountPlan(STRANGER, "stranger")]) == 1
        assert await checked(server, plans[:1]) == 0
    printed = capsys.readouterr().out
    assert "agent: it is an API wallet" in printed
    assert "stranger: the venue does not know it" in printed


async def test_check_live_compares_the_mode_with_the_expected_one(capsys: pytest.CaptureFixture[str]) -> None:
    plans = [simple(0xD1, "master")]
    async with standing_venue(plans) as server:
        assert await checked(server, plans, mode="standard") == 0
        assert await checked(server, plans, mode="unified") == 1
        spoiled(server, "userAbstraction", lambda word: "hyperMode")
        assert await checked(server, plans) == 1
    printed = capsys.readouterr().out
    assert 'the account\'s mode is standard, but "unified" is configured' in printed
    assert "the account's mode is hyperMode, but this version cannot margin it: update marginwatch" in printed


@pytest.mark.parametrize("seconds", [-60, 60])
async def test_check_live_notices_a_wrong_clock(capsys: pytest.CaptureFixture[str], seconds: int) -> None:
    async with standing_venue() as server:
        server.venue.faults.step_clock(1000 * seconds)
        assert await checked(server, demo_plans("calm")[:1]) == 1
    assert "synchronise this machine" in capsys.readouterr().out


async def test_check_live_fails_without_a_websocket(capsys: pytest.CaptureFixture[str]) -> None:
    async with standing_venue() as server:
        server.venue.faults.refuse_connects(1e9)
        assert await checked(server, demo_plans("calm")[:1]) == 1
    assert "WebSocket failed:" in capsys.readouterr().out


async def test_check_live_fails_when_the_venue_is_down(capsys: pytest.CaptureFixture[str]) -> None:
    async with standing_venue() as server:
        settings = settings_for(server, demo_plans("calm")[:1])
    assert await asyncio.to_thread(check_live, settings) == 1
    assert "failed: cannot connect to 127.0.0.1:" in capsys.readouterr().out


async def test_a_venue_that_fails_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    async with standing_venue() as server:
        server.venue.faults.fail_rest(502, 1e9, request="clearinghouseState")
        assert await checked(server, [replace(demo_plans("calm")[0])]) == 1
    assert "HTTP 502: the venue is failing" in capsys.readouterr().out.replace("\n", " ")
