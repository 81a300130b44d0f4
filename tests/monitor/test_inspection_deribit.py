"""The commands that read Deribit once, with a client's key, against the simulated venue on a loopback port."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from config import DEMO, load
from config.settings import Settings
from connectors.clock import Clock, ManualClock
from connectors.deribit.private_answers import parse_summaries
from connectors.model import CurrencySummary
from connectors.simulator.deribit import ALIASES, AccountPlan, DeribitFaults, DeribitServer, DeribitVenue, Market, credentials, demo_plans
from kernels.warmup import warm_up
from monitor import cli
from monitor.inspection import deribit
from monitor.inspection.commands import Asked, check_live, discover_accounts, verify_account
from monitor.margin.portfolio import portfolio_result
from monitor.report.document import LEVELS
from monitor.snapshot import read_snapshot
from monitor.stress.load import book_of
from monitor.venues import Transports

DURATION_S = 600.0
STEP_S = 0.1
SLOW_S = 0.2
"""How often the venue tells prices: often enough for figures at once, seldom enough for two cores."""


@asynccontextmanager
async def venue(
    plans: Sequence[AccountPlan] | None = None, *, clock_off_s: float = 0.0, faults: DeribitFaults | None = None, autorun: bool = True
) -> AsyncIterator[DeribitServer]:
    market = Market(7, "calm", DURATION_S, time.time_ns() // 1_000_000 + round(1000 * clock_off_s))
    made = DeribitVenue(market, demo_plans("calm", DURATION_S) if plans is None else plans, interval=SLOW_S, faults=faults)
    made.advance(0.5)
    server = DeribitServer(made, autorun=autorun)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def key_files(folder: Path, alias: str) -> dict[str, Path]:
    client, found = credentials(alias), {}
    for name, value in (("client_id", client.client_id), ("client_secret", client.client_secret)):
        path = folder / f"{name}-{alias}"
        path.write_text(value)
        path.chmod(0o600)
        found[f"{name}_file"] = path
    return found


def asked(server: DeribitServer, alias: str, folder: Path) -> Asked:
    files = key_files(folder, alias)
    return Asked(
        alias, "deribit", ws_url=server.ws_url, client_id_file=files["client_id_file"], client_secret_file=files["client_secret_file"]
    )


def settings(server: DeribitServer, folder: Path, *aliases: str, **more: Any) -> Settings:
    accounts = [
        {"id": alias, "venue": "deribit", **{key: str(path) for key, path in key_files(folder, alias).items()}, **more} for alias in aliases
    ]
    return load(DEMO, overrides={"accounts": accounts, "venues": {"deribit": {"ws_url": server.ws_url}}})


def with_plan(alias: str, **changes: Any) -> list[AccountPlan]:
    return [replace(plan, **changes) if plan.alias == alias else plan for plan in demo_plans("calm", DURATION_S)]


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, as one line; never a secret."""
    captured = capsys.readouterr()
    for alias in ALIASES:
        for secret in (credentials(alias).client_id, credentials(alias).client_secret):
            assert secret not in captured.out + captured.err
    return " ".join(captured.out.split())


async def timed(server: DeribitServer, command: Callable[[Transports, Clock], Coroutine[Any, Any, int]]) -> int:
    """The code of a command whose time moves with the venue's, by hand; at most as long as it may take."""
    # the command compiles in a thread, which takes no time of ours
    warm_up(forbid=False)
    clock, transports = ManualClock(time_ms=server.venue.market.now_ms), Transports.real()
    running = asyncio.create_task(command(transports, clock))
    try:
        for _ in range(1000):
            if running.done():
                break
            await server.step(STEP_S)
            await asyncio.sleep(0.005)
            await clock.advance(STEP_S)
        assert running.done(), "100 s were not enough"
        return await running
    finally:
        await transports.close()


# -- verify ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "pool", "model"),
    [pytest.param("noctua", "cross", "cross_sm", marks=pytest.mark.slow), ("strix", "BTC", "segregated_sm")],
)
async def test_every_kind_of_account_agrees_with_the_venue(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, alias: str, pool: str, model: str
) -> None:
    async with venue() as server:
        code = await asyncio.to_thread(verify_account, asked(server, alias, tmp_path), None)
        assert server.venue.forbidden_requests == 0
        assert server.connections == 0, "everything is closed"
        options = sum(position.contract.is_option for position in server.venue.accounts[alias].positions.values())
    captured = capsys.readouterr().out
    marks = re.findall(r"^ *([A-Z]+-\S+-[CP]) .* (\S+) +(\S+) +([+-]\S+) +(BTC|ETH) *$", captured, re.MULTILINE)
    assert code == 0, captured
    assert "3 figures, 0 differ by more than 0.1 %" in captured
    for figure in ("margin_balance", "maintenance_margin", "equity"):
        assert re.search(rf"^ *{pool} +{figure} ", captured, re.MULTILINE)
    assert f"{pool} ({model}): ratio" in captured
    assert len(marks) == options
    for _, ours, venues, difference, _ in marks:
        assert float(ours) == pytest.approx(float(venues), rel=0.02)
        assert float(difference) == pytest.approx(float(ours) - float(venues), abs=2e-6)
    assert credentials(alias).client_id not in captured
    assert credentials(alias).client_secret not in captured


async def test_a_figure_that_differs_is_seen_and_is_no_success(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def richer(result: object) -> list[CurrencySummary]:
        return [replace(row, balance=1.01 * row.balance) for row in parse_summaries(result)]

    monkeypatch.setattr("connectors.deribit.private.parse_summaries", richer)
    async with venue() as server:
        assert await asyncio.to_thread(verify_account, asked(server, "strix", tmp_path), None) == 3
    assert "1 differ by more than 0.1 %" in told(capsys)


@pytest.mark.slow
async def test_an_account_of_a_file_is_verified_by_its_id_and_saved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    async with venue() as server:
        key_files(tmp_path, "noctua")
        lines = '[[accounts]]\nid = "noctua"\nvenue = "deribit"\nclient_id_file = "client_id-noctua"\n'
        lines += 'client_secret_file = "client_secret-noctua"\n'
        lines += '[[accounts]]\nid = "other"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n'
        lines += '[[portfolios]]\nid = "both"\naccounts = ["noctua", "other"]\nparameters = "house"\n'
        lines += f'[venues.deribit]\nws_url = "{server.ws_url}"\n'
        (tmp_path / "desk.toml").write_text(lines)
        assert await asyncio.to_thread(verify_account, Asked("noctua", config=tmp_path / "desk.toml"), saved) == 0
        assert await asyncio.to_thread(verify_account, Asked("noctuo", config=tmp_path / "desk.toml"), None) == 2
    printed = told(capsys)
    assert "0 differ by more than 0.1 %; saved to" in printed
    assert "none has this id; known: noctua, other" in printed
    assert "daily volatilities, which take a while to learn" in printed
    snapshot = read_snapshot(saved)
    assert (snapshot.parameters, [row.id for row in snapshot.accounts]) == ("house", ["noctua"])
    parameters = load(tmp_path / "desk.toml").portfolios[0].parameter_set
    result = portfolio_result(book_of(snapshot, parameters, (0.85,)), snapshot.portfolios[0].id, LEVELS)
    assert result.failures == ()
    assert result.margin_ratio is not None
    assert result.margin_ratio > 0


async def test_what_cannot_be_saved_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await asyncio.to_thread(verify_account, asked(server, "strix", tmp_path), tmp_path / "none" / "saved.json") == 2
    assert "cannot write" in told(capsys)


async def test_a_wrong_secret_is_refused_with_a_remedy(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        wrong = asked(server, "noctua", tmp_path)
        (tmp_path / "client_secret-noctua").write_text("another-secret")
        assert await asyncio.to_thread(verify_account, wrong, None) == 1
    printed = told(capsys)
    assert "nothing to verify: account noctua cannot be watched" in printed
    assert "check client_id and client_secret" in printed
    assert "another-secret" not in printed


@pytest.mark.parametrize("given", [(), ("client_id_file",), ("client_secret_file",)])
@pytest.mark.parametrize("command", ["verify", "discover"])
def test_without_a_client_the_command_says_what_it_needs(tmp_path: Path, command: str, given: tuple[str, ...]) -> None:
    files = key_files(tmp_path, "noctua")
    options = [part for key in given for part in (f"--{key.replace('_', '-')}", str(files[key]))]
    answer = CliRunner().invoke(cli.cli, [command, "mine", "--venue", "deribit", *options])
    lacking = "client_secret" if given == ("client_id_file",) else "client_id"
    assert answer.exit_code == 2
    assert f"a Deribit account needs its {lacking}: set {lacking}_file or {lacking}_env" in " ".join(answer.output.split())


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--agent-key-env", "KEY"], "an account on deribit is not read with it; remove it"),
        (["--rest-url", "https://example.invalid"], "venues.deribit.rest_url"),
        (["--ws-url", "https://example.invalid"], "venues.deribit.ws_url"),
    ],
)
def test_options_of_other_venues_are_refused(monkeypatch: pytest.MonkeyPatch, more: list[str], said: str) -> None:
    monkeypatch.setenv("ID", "some-id")
    monkeypatch.setenv("SECRET", "some-secret")
    answer = CliRunner().invoke(
        cli.cli, ["verify", "mine", "--venue", "deribit", "--client-id-env", "ID", "--client-secret-env", "SECRET", *more]
    )
    assert answer.exit_code == 2
    assert said in " ".join(answer.output.split())
    assert "some-" not in answer.output


async def test_a_venue_that_is_not_there_fails_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        gone = asked(server, "noctua", tmp_path)
    assert await asyncio.to_thread(verify_account, gone, None) == 1
    assert "failed: cannot connect to 127.0.0.1" in told(capsys)


async def test_what_is_not_told_in_time_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    faults = DeribitFaults()
    faults.freeze("deribit_price_index.btc_usd")
    async with venue(faults=faults, autorun=False) as server:
        found = settings(server, tmp_path, "strix")
        code = await timed(server, lambda transports, clock: deribit.verify(found, transports, None, clock))
    printed = told(capsys)
    assert code == 3
    assert "not told within 40 s: strix: pool BTC: no price of index btc_usd now" in printed
    assert "BTC (segregated_sm): no value: no price of index btc_usd now" in printed


# -- discover -------------------------------------------------------------------------------------------------------------------------


async def test_what_discover_prints_is_a_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await asyncio.to_thread(discover_accounts, asked(server, "strix", tmp_path)) == 0
        assert server.connects == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# Deribit knows an account by its API key")
    (tmp_path / "desk.toml").write_text(printed)
    (account,) = load(tmp_path / "desk.toml").accounts
    assert (account.id, account.venue) == ("strix", "deribit")
    assert account.client_secret is not None
    assert account.client_secret.reveal() == credentials("strix").client_secret
    assert credentials("strix").client_secret not in printed


# -- check --live ---------------------------------------------------------------------------------------------------------------------


async def checked(server: DeribitServer, folder: Path, *aliases: str, **more: Any) -> int:
    return await asyncio.to_thread(check_live, settings(server, folder, *aliases, **more))


@pytest.mark.slow
async def test_check_live_tells_of_every_account(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await checked(server, tmp_path, *ALIASES) == 0
        assert server.venue.forbidden_requests == 0
        assert server.connections == 0
        held = {alias: len(server.venue.accounts[alias].positions) for alias in ALIASES}
    printed = told(capsys)
    assert "deribit: WebSocket answers in" in printed
    assert re.search(r"indices granted that arrive: [^:]*btc_usd, [^:]*eth_usd", printed)
    assert re.search(r"option chains granted that arrive: [^:]*btc_usd, [^:]*eth_usd", printed)
    assert "noctua: the key's rights: account:read" in printed
    assert f"noctua: margin model cross_sm, {held['noctua']} positions, wallets BTC 4, ETH 45" in printed
    assert f"strix: margin model segregated_sm, {held['strix']} positions, wallets BTC 6.1" in printed
    assert re.search(r"pool cross: ratio \d+\.\d\d %", printed)
    assert re.search(r"pool BTC: ratio \d+\.\d\d %", printed)


async def test_check_live_looks_at_the_market_where_no_account_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    async with venue() as server:
        accounts = [{"id": "quiet", "venue": "hyperliquid", "address": "0x" + "1" * 40}]
        found = load(DEMO, overrides={"accounts": accounts, "venues": {"deribit": {"ws_url": server.ws_url, "coins": ["ETH"]}}})
        transports = Transports.real()
        try:
            assert await deribit.check(found, transports) == 0
        finally:
            await transports.close()
    assert "option chains granted that arrive: btc_usd" in told(capsys)


@pytest.mark.parametrize(
    ("scopes", "said"),
    [
        (("account:read", "trade:read_write"), "its key may do more than read (trade:read_write)"),
        (("account:read", "trade:read", "wallet:read_write"), "its key may do more than read (wallet:read_write)"),
        (("account:read",), "its key may not read trade:read"),
    ],
)
async def test_check_live_refuses_a_key_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scopes: tuple[str, ...], said: str
) -> None:
    async with venue(with_plan("strix", scopes=scopes)) as server:
        assert await checked(server, tmp_path, "strix") == 1
    assert said in told(capsys)


async def test_check_live_warns_of_a_key_that_is_allowed_though_unsafe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue(with_plan("strix", scopes=("account:read", "trade:read_write"))) as server:
        assert await checked(server, tmp_path, "strix", allow_unsafe_key=True) == 0
    printed = told(capsys)
    assert "strix: the key's rights: account:read, trade:read_write the key may do more than read (trade:read_write)" in printed
    assert "pool BTC: ratio" in printed


async def test_check_live_compares_the_margin_model_with_the_expected_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue() as server:
        assert await checked(server, tmp_path, "strix", mode="cross_pm") == 1
    assert 'the account\'s margin model is segregated_sm, but "cross_pm" is configured' in told(capsys)


async def test_check_live_names_channels_that_the_venue_does_not_grant(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with venue() as server:
        answer = server.venue.api._public["public/subscribe"]
        refused = "markprice.options.btc_usd"

        def partly(client: Any, parameters: dict[str, Any]) -> Any:
            return answer(client, parameters | {"channels": [one for one in parameters["channels"] if one != refused]})

        monkeypatch.setitem(server.venue.api._public, "public/subscribe", partly)
        assert await checked(server, tmp_path, "strix") == 1
    printed = told(capsys)
    assert "markprice.options.btc_usd refused: the venue does not know this channel" in printed
    assert "option chains granted that arrive: none" in printed
    assert "pool BTC: ratio" in printed


async def test_check_live_names_channels_that_stay_silent(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    faults = DeribitFaults()
    faults.freeze("markprice.options.btc_usd")
    async with venue(faults=faults, autorun=False) as server:
        # so late that the connection is not given up for it meanwhile
        found = settings(server, tmp_path, "strix")
        patient = found.venues.deribit.model_copy(update={"chain_stale_after_s": 60.0})
        found = found.model_copy(update={"venues": found.venues.model_copy(update={"deribit": patient})})
        assert await timed(server, lambda transports, clock: deribit.check(found, transports, clock)) == 1
    printed = told(capsys)
    assert "not told within 40 s: markprice.options.btc_usd" in printed
    assert "pool BTC: ratio" in printed


async def test_check_live_works_with_a_clock_that_is_wrong_and_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async with venue(clock_off_s=-30.0) as server:
        assert await checked(server, tmp_path, "strix") == 1
    printed = told(capsys)
    assert re.search(r"the venue's clock is -(29|30|31)\.\d\d s from ours", printed)
    assert "synchronise this machine" in printed
    assert "pool BTC: ratio" in printed
