"""The commands that read Aster once, with an agent's key, against the simulated venue on a loopback port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import DEMO, load
from config.settings import Settings
from connectors.simulator.aster import ALIASES, AccountPlan, Agent, AsterServer, AsterVenue, Market, credentials, demo_plans
from monitor.inspection.commands import Asked, check_live, discover_accounts, verify_account
from monitor.snapshot import read_snapshot
from monitor.stress.load import book_of

DAY_MS = 86_400_000


@asynccontextmanager
async def venue(plans: Sequence[AccountPlan] | None = None, *, clock_off_s: float = 0.0, **more: Any) -> AsyncIterator[AsterServer]:
    start_ms = time.time_ns() // 1_000_000 + round(1000 * clock_off_s)
    market = Market(7, "calm", 600.0, start_ms)
    made = AsterVenue(market, demo_plans("calm") if plans is None else plans, mark_interval=0.2, weight_per_minute=10**6, **more)
    made.advance(0.5)
    server = AsterServer(made, autorun=True)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def key_file(folder: Path, alias: str) -> Path:
    path = folder / f"key-{alias}"
    path.write_text(credentials(alias).private_key)
    path.chmod(0o600)
    return path


def asked(server: AsterServer, alias: str, folder: Path) -> Asked:
    return Asked(credentials(alias).user, "aster", rest_url=server.rest_url, agent_key_file=key_file(folder, alias))


def settings(server: AsterServer, folder: Path, *aliases: str, **more: Any) -> Settings:
    accounts = [
        {"id": alias, "venue": "aster", "address": credentials(alias).user, "agent_key_file": str(key_file(folder, alias)), **more}
        for alias in aliases
    ]
    return load(DEMO, overrides={"accounts": accounts, "venues": {"aster": {"rest_url": server.rest_url, "ws_url": server.ws_url}}})


def with_agent(alias: str, **changes: Any) -> list[AccountPlan]:
    return [
        replace(plan, agents=tuple(replace(agent, **changes) for agent in plan.agents)) if plan.alias == alias else plan
        for plan in demo_plans("calm")
    ]


# -- verify ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alias", "figures"), [("umbra", 5), ("vela", 4), ("wren", 13)])
async def test_every_kind_of_account_agrees_with_the_venue(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, alias: str, figures: int
) -> None:
    saved = tmp_path / "saved.json"
    async with venue() as server:
        code = await asyncio.to_thread(verify_account, asked(server, alias, tmp_path), saved)
        assert server.venue.forbidden_requests == server.venue.listen_key_deletes == 0
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert f"{figures} figures, 0 differ by more than 0.1 %" in printed
    assert credentials(alias).private_key not in printed
    assert ("multi-assets collateral (amount x price x ratio): " in printed) == (alias == "vela")
    book = book_of(read_snapshot(saved), settings_parameters(tmp_path), (0.85,))
    assert book.accounts.states


def settings_parameters(folder: Path) -> Any:
    (folder / "plain.toml").write_text('[[accounts]]\nid = "a"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n')
    return load(folder / "plain.toml", environ={}).portfolios[0].parameter_set


async def test_an_account_of_a_file_is_verified_by_its_id(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        lines = f'[[accounts]]\nid = "vela"\nvenue = "aster"\naddress = "{credentials("vela").user}"\nagent_key_file = "key-vela"\n'
        lines += f'[venues.aster]\nrest_url = "{server.rest_url}"\n'
        key_file(tmp_path, "vela")
        (tmp_path / "desk.toml").write_text(lines)
        assert await asyncio.to_thread(verify_account, Asked("vela", config=tmp_path / "desk.toml"), None) == 0
        assert await asyncio.to_thread(verify_account, Asked("velo", config=tmp_path / "desk.toml"), None) == 2
    printed = capsys.readouterr().out
    assert "multi-assets (multi_assets): ratio" in printed
    assert "none has this id; known: vela" in printed


async def test_a_key_of_another_account_is_refused_with_a_remedy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        wrong = replace(asked(server, "umbra", tmp_path), agent_key_file=key_file(tmp_path, "vela"))
        assert await asyncio.to_thread(verify_account, wrong, None) == 1
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "failed: " in printed
    assert "key" in printed
    assert credentials("vela").private_key not in printed


@pytest.mark.parametrize("command", ["verify", "discover"])
async def test_without_a_key_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str], command: str) -> None:
    nothing = Asked(credentials("umbra").user, "aster")
    code = verify_account(nothing, None) if command == "verify" else discover_accounts(nothing)
    assert code == 2
    assert "needs its agent_key: set agent_key_file or agent_key_env" in capsys.readouterr().out.replace("\n", " ")


# -- discover -------------------------------------------------------------------------------------------------------------------------


async def test_what_discover_prints_is_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await asyncio.to_thread(discover_accounts, asked(server, "umbra", tmp_path)) == 0
    (tmp_path / "desk.toml").write_text(capsys.readouterr().out)
    (account,) = load(tmp_path / "desk.toml").accounts
    assert (account.venue, account.address) == ("aster", credentials("umbra").user)
    assert account.agent_key is not None
    assert account.agent_key.reveal() == credentials("umbra").private_key


# -- check --live ---------------------------------------------------------------------------------------------------------------------


async def checked(server: AsterServer, folder: Path, *aliases: str, **more: Any) -> int:
    return await asyncio.to_thread(check_live, settings(server, folder, *aliases, **more))


async def test_check_live_tells_of_every_account(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await checked(server, tmp_path, *ALIASES) == 0
        assert server.venue.forbidden_requests == 0
    printed = capsys.readouterr().out
    assert "aster: REST answers in" in printed
    assert "aster: marks of" in printed
    assert "umbra: mode single_asset, one-way, 2 positions, push stream allowed" in printed
    assert "vela: mode multi_assets, one-way" in printed
    assert "wren: mode single_asset, hedge mode" in printed
    for alias in ALIASES:
        assert credentials(alias).user not in printed
        assert credentials(alias).private_key not in printed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"can_perp_trade": True}, "its key may do more than read"),
        ({"can_withdraw": True}, "its key may do more than read"),
        ({"expired_ms": 1_000}, "check that the agent is approved by this account and not expired"),
    ],
)
async def test_check_live_refuses_a_key_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    async with venue(with_agent("umbra", **changes)) as server:
        assert await checked(server, tmp_path, "umbra") == 1
    assert said in " ".join(capsys.readouterr().out.split())


async def test_check_live_warns_of_a_key_that_expires_soon(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    soon = time.time_ns() // 1_000_000 + 3 * DAY_MS
    async with venue(with_agent("umbra", expired_ms=soon)) as server:
        assert await checked(server, tmp_path, "umbra") == 0
    assert "the key expires in 3.0 days" in capsys.readouterr().out


async def test_check_live_says_that_an_account_will_be_polled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue(read_only_listen_keys=False) as server:
        assert await checked(server, tmp_path, "umbra") == 0
    assert "no push stream for this key (it will be polled)" in capsys.readouterr().out


async def test_check_live_compares_the_mode_with_the_expected_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await checked(server, tmp_path, "umbra", mode="multi_assets") == 1
    assert 'the account\'s mode is single_asset, but "multi_assets" is configured' in capsys.readouterr().out


async def test_check_live_works_with_a_clock_that_is_wrong_and_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue(clock_off_s=-30.0) as server:
        assert await checked(server, tmp_path, "umbra") == 1
    printed = capsys.readouterr().out
    assert "synchronise this machine" in printed
    assert "umbra: mode single_asset" in printed


def test_the_demo_agents_are_read_only() -> None:
    rights = ("can_spot_trade", "can_perp_trade", "can_withdraw")
    assert not any(getattr(agent, name) for plan in demo_plans("calm") for agent in plan.agents for name in rights)
    assert isinstance(demo_plans("calm")[0].agents[0], Agent)
