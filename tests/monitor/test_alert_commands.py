"""`marginwatch alerts`, `silence` and `alert-test`: what they ask, print and refuse."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from config import Settings
from monitor import cli
from monitor.alerts.alert import Alert
from monitor.alerts.commands import seconds_of
from monitor.alerts.incident import Change, OpenIncident
from monitor.alerts.outbox import Outcome
from monitor.alerts.outbox_history import read_contents
from monitor.alerts.scope import AlertScope
from monitor.alerts.silences import Silence
from monitor.margin.result import Level
from monitor.web.server import ApiServer
from tests.monitor.alarm_stand_in import FEED, POOL, START_MS, StandIn, alert, batch

ACCOUNT = '[[accounts]]\nid = "hl-main"\nvenue = "hyperliquid"\naddress = "0x' + "1" * 40 + '"\n'
ADD = ("silence", "add", "--key", "hyperliquid/*", "--for", "2h", "--reason", "moving collateral")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, list(arguments))


@asynccontextmanager
async def serving(own: StandIn, token: str | None = None) -> AsyncIterator[str]:
    server = ApiServer(own.app, "127.0.0.1", 0, token)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()
        own.outbox.close()


def configured(folder: Path, outbox: str = "alerts.db") -> str:
    path = folder / "desk.toml"
    path.write_text(f'[alerts]\noutbox = "{outbox}"\n{ACCOUNT}')
    return str(path)


def firing(told: Alert) -> OpenIncident:
    return OpenIncident(told.key, told.number, told.sequence, told.rule, told.scope, told.level, 0.0, 0.0)


async def told(own: StandIn) -> None:
    page, feed = alert(POOL, 1, START_MS, Level.CRITICAL), alert(FEED, 2, START_MS + 1000, Level.WARNING)
    end = alert(FEED, 2, START_MS + 2000, Level.OK, Change.RESOLVED, 2)
    await own.outbox.write(replace(batch((page, {"chat": Outcome.PENDING, "pager": Outcome.PENDING})), open=(firing(page),)))
    await own.outbox.write(batch((feed, {"chat": Outcome.SILENCED}), (end, {})))
    own.outbox.settle([page.id], "chat", Outcome.DELIVERED, START_MS + 50)
    for _ in range(3):
        own.outbox.tried([page.id], "pager", "HTTP 503")
    own.fire(page)


def lines_of(output: str) -> list[list[str]]:
    """Words of each line that has any."""
    return [line.split() for line in output.splitlines() if line.strip()]


# -- alerts ------------------------------------------------------------------------------------------------------------------------------


async def test_a_running_monitor_tells_what_fires_first_and_who_got_what() -> None:
    own = StandIn()
    await told(own)
    await own.clock.advance(600.0)
    own.silences.add("*/data", START_MS + 3_600_000, "upgrade", START_MS)
    async with serving(own) as url:
        answer = await asyncio.to_thread(run, "alerts", "--url", url)
    assert answer.exit_code == 0, answer.output
    words = lines_of(answer.output)
    assert words[0] == ["1", "firing"]
    assert answer.output.index("10 min") < answer.output.index("*/data") < answer.output.index("history") < answer.output.index("resolved")
    assert "CRITICAL hl-main/USDC [told 1]" in answer.output
    assert "hyperliquid/hl-main/USDC/margin_level" in answer.output
    assert "chat: delivered" in answer.output
    assert "pager: pending after 3 tries (HTTP 503)" in answer.output
    assert "chat: silenced" in answer.output
    assert "nobody: no receiver takes it" in answer.output
    assert "*/data up to critical, until 2026-09-21" in answer.output
    assert max(map(len, answer.output.splitlines())) <= 140


async def test_the_outbox_is_read_beside_a_running_monitor_and_without_one(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    await told(own)
    own.outbox.close()
    for keep_open in (False, True):
        beside = StandIn(tmp_path / "alerts.db") if keep_open else None
        answer = run("alerts", "--config", configured(tmp_path))
        assert answer.exit_code == 0, answer.output
        assert lines_of(answer.output)[0] == ["1", "firing"]
        assert answer.output.count("CRITICAL hl-main/USDC [told 1]") == 2
        assert answer.output.count("WARNING aster marks [told 2]") == 1
        if beside is not None:
            beside.outbox.close()


async def test_the_document_is_the_same_from_both_and_filtered(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    await told(own)
    async with serving(own) as url:
        live = await asyncio.to_thread(run, "alerts", "--url", url, "--json", "--limit", "2")
    saved = run("alerts", "--config", configured(tmp_path), "--json", "--limit", "2")
    one, other = json.loads(live.output), json.loads(saved.output)
    assert one["history"] == other["history"]
    assert len(one["history"]) == 2
    (fires,), (saved_fires,) = one["firing"], other["firing"]
    assert saved_fires.pop("text") == "CRITICAL hl-main/USDC [told 1]"
    assert saved_fires | {"ratio": 0.92} == fires
    only: Any = json.loads(run("alerts", "--config", configured(tmp_path), "--json", "--key", "feed/*").output)
    assert {entry["name"] for entry in only["history"]} == {"marks"}
    assert only["firing"] == []


async def test_what_fires_is_not_lost_behind_newer_alerts(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    page = alert(POOL, 1, START_MS, Level.CRITICAL)
    await own.outbox.write(replace(batch((page, {})), open=(firing(page),)))
    newer: list[tuple[Alert, dict[str, Outcome]]] = [
        (alert(FEED, number, START_MS + number, Level.OK, Change.RESOLVED), {}) for number in range(2, 1003)
    ]
    await own.outbox.write(batch(*newer))
    own.outbox.close()
    answer = run("alerts", "--config", configured(tmp_path), "--limit", "1")
    assert lines_of(answer.output)[0] == ["1", "firing"]
    assert "CRITICAL hl-main/USDC [told 1]" in answer.output
    document = json.loads(run("alerts", "--config", configured(tmp_path), "--limit", "1", "--json").output)
    assert ([one["key"] for one in document["firing"]], len(document["history"])) == ([page.key], 1)


async def test_what_fires_is_shown_without_its_alert_and_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    page, feed = alert(POOL, 1, START_MS, Level.CRITICAL), alert(FEED, 2, START_MS, Level.WARNING)
    await own.outbox.write(replace(batch((page, {}), (feed, {})), open=(firing(page), firing(feed))))
    own.outbox.close()
    with sqlite3.connect(tmp_path / "alerts.db") as connection:
        connection.execute("DELETE FROM alerts")
        connection.execute("UPDATE incidents SET document = '{}' WHERE number = 2")
    connection.close()
    answer = run("alerts", "--config", configured(tmp_path))
    assert lines_of(answer.output)[0] == ["1", "firing"]
    assert page.key in answer.output
    assert "outbox alerts.db: 1 of its entries could not be read and were left out" in answer.output


async def test_the_silences_of_the_outbox_are_shown_until_they_end(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    lasting = Silence("abc123", "*/data", 2**45, "upgrade", START_MS, Level.WARNING)
    own.outbox.keep_silence(lasting)
    own.outbox.keep_silence(Silence("def456", "*", START_MS + 1, "over", START_MS))
    own.outbox.close()
    answer = run("alerts", "--config", configured(tmp_path))
    assert "silence abc123: */data up to warning, until 3084-12-12 12:41:28 UTC: upgrade" in answer.output
    assert "def456" not in answer.output
    (shown,) = json.loads(run("alerts", "--config", configured(tmp_path), "--json").output)["silences"]
    assert (shown["id"], shown["key"], shown["up_to"]) == ("abc123", "*/data", "warning")
    assert [one.id for one in read_contents(tmp_path / "alerts.db", 1, START_MS).silences] == ["def456", "abc123"]
    assert [one.id for one in read_contents(tmp_path / "alerts.db", 1, START_MS + 1).silences] == ["abc123"]


async def test_with_a_key_only_what_fits_is_said_not_to_fire(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    await told(own)
    expected = "nothing that fits */[a]margin_levle fires\nno alert in the history fits */[a]margin_levle\n"
    async with serving(own) as url:
        live = await asyncio.to_thread(run, "alerts", "--url", url, "--key", "*/[a]margin_levle")
    saved = run("alerts", "--config", configured(tmp_path), "--key", "*/[a]margin_levle")
    assert (live.output, saved.output) == (expected, expected)


async def test_a_key_with_brackets_fits_itself(tmp_path: Path) -> None:
    own = StandIn(tmp_path / "alerts.db")
    page = alert(AlertScope.pool("hyperliquid", "hl-main", "BTC [isolated]"), 1, START_MS, Level.WARNING)
    await own.outbox.write(replace(batch((page, {})), open=(firing(page),)))
    own.outbox.close()
    document = json.loads(run("alerts", "--config", configured(tmp_path), "--key", page.key, "--json").output)
    assert [one["key"] for one in document["firing"] + document["history"]] == [page.key, page.key]


def test_a_corrupt_outbox_is_named_with_what_becomes_of_it(tmp_path: Path) -> None:
    (tmp_path / "alerts.db").write_text("no database, but long enough to be looked at " * 20)
    answer = run("alerts", "--config", configured(tmp_path))
    said = "outbox alerts.db: the file is corrupt; the monitor sets it aside at its next start; the outbox of "
    assert (answer.exit_code, answer.output.startswith(said)) == (2, True)
    assert answer.output.endswith(f"desk.toml is {tmp_path / 'alerts.db'}\n")


def test_an_empty_history_is_said(tmp_path: Path) -> None:
    StandIn(tmp_path / "alerts.db").outbox.close()
    answer = run("alerts", "--config", configured(tmp_path))
    assert (answer.exit_code, answer.output) == (0, "nothing fires\nno alert in the history\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--config", "{config}"), "there is no such file; the monitor begins it when it first runs (`marginwatch run`); "),
        (("--config", "{config}"), "; the outbox of {config} is {outbox}"),
        (("--config", "{memory}"), 'alerts are kept in memory only (alerts.outbox is "memory"); ask the running monitor with --url'),
        (("--config", "nowhere.toml"), "nowhere.toml: no such file"),
        (("--url", "ftp://x"), "ftp://x is no address of a monitor: give one such as http://127.0.0.1:9876"),
        (("--url", "http://127.0.0.1:1"), "no answer from http://127.0.0.1:1: "),
        (("--url", "http://127.0.0.1:1", "--token-env", "NO_TOKEN_HERE"), "the environment variable NO_TOKEN_HERE holds no token"),
        ((), "give --config FILE (its outbox) or --url URL (a running monitor)"),
        (("--config", "a", "--url", "b"), "give --config FILE"),
        (("--config", "a", "--token-env", "B"), "--token-env goes with --url"),
    ],
)
def test_what_cannot_be_had_is_said_with_its_remedy(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    (tmp_path / "memory").mkdir()
    places = {"config": configured(tmp_path), "memory": configured(tmp_path / "memory", "memory"), "outbox": str(tmp_path / "alerts.db")}
    answer = run("alerts", *(argument.format(**places) for argument in arguments))
    assert answer.exit_code == 2
    assert expected.format(**places) in answer.output


# -- silence -----------------------------------------------------------------------------------------------------------------------------


async def test_a_silence_is_added_listed_and_ended_with_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    own = StandIn()
    own.fire(alert(POOL, 1, START_MS, Level.CRITICAL))
    own.fire(alert(POOL, 2, START_MS, Level.CRITICAL))
    monkeypatch.setenv("DESK_TOKEN", "t0ken")
    async with serving(own, "t0ken") as url:
        at = ("--url", url, "--token-env", "DESK_TOKEN")
        refused = await asyncio.to_thread(run, *ADD, "--url", url)
        assert refused.exit_code == 2
        assert "answers 401: a token is needed" in refused.output
        added = await asyncio.to_thread(run, *ADD, *at, "--up-to", "warning")
        (silence,) = own.silences.active(START_MS)
        assert (silence.pattern, silence.reason, silence.up_to) == ("hyperliquid/*", "moving collateral", Level.WARNING)
        assert silence.until_ms == START_MS + 7_200_000
        line = f"silence {silence.id}: hyperliquid/* up to warning, until 2026-09-21 16:13:20 UTC: moving collateral\n"
        assert (added.exit_code, added.output) == (0, line + "fits 2 alerts that fire now\n")
        assert (await asyncio.to_thread(run, "silence", "list", *at)).output == line
        ended = await asyncio.to_thread(run, "silence", "end", silence.id, *at)
        assert (ended.exit_code, ended.output) == (0, line.replace("until 2026-09-21 16", "ended 2026-09-21 14"))
        assert (await asyncio.to_thread(run, "silence", "list", *at)).output == "no silence\n"
        again = await asyncio.to_thread(run, "silence", "end", "../alerts", *at)
        assert again.exit_code == 2
        assert 'no silence "../alerts" is active' in again.output


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("*/margin_level", "fits 1 alert that fires now\n"),
        ("*/margin_levle", "fits 0 alerts that fire now; `marginwatch alerts` shows the keys of those that do\n"),
    ],
)
async def test_a_silence_says_what_it_fits(key: str, said: str) -> None:
    own = StandIn()
    own.fire(alert(POOL, 1, START_MS, Level.CRITICAL))
    async with serving(own) as url:
        answer = await asyncio.to_thread(run, "silence", "add", "--url", url, "--key", key, "--for", "1h", "--reason", "x")
    assert (answer.exit_code, answer.output.splitlines(keepends=True)[1]) == (0, said)


async def test_what_aiohttp_refuses_is_repeated_with_its_text() -> None:
    async with serving(StandIn()) as url:
        answer = await asyncio.to_thread(run, "silence", "add", "--url", url, "--key", "*", "--for", "1h", "--reason", "x" * 270_000)
    assert answer.exit_code == 2
    assert "answers 413: Maximum request body size 262144 exceeded" in answer.output


async def test_what_the_monitor_refuses_is_repeated() -> None:
    async with serving(StandIn()) as url:
        answer = await asyncio.to_thread(run, "silence", "add", "--url", url, "--key", "*", "--for", "31d", "--reason", "x")
    assert answer.exit_code == 2
    assert "answers 400: the end is more than 30 days away" in answer.output


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1.5h", 5400), (" 5m ", 300)])
def test_durations(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0s", "1h30m", "1e3s", "5 m", "9999999999s", "٣m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration; write such as 90s, 15m, 2h or 1d"):
        seconds_of(text)
    answer = run("silence", "add", "--url", "http://127.0.0.1:1", "--key", "*", f"--for={text}", "--reason", "x")
    assert answer.exit_code == 2
    assert "is no duration" in answer.output


# -- alert-test --------------------------------------------------------------------------------------------------------------------------


def test_the_drill_gets_the_settings_and_gives_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[Settings] = []

    def drilled(settings: Settings) -> int:
        tested.append(settings)
        return 1

    monkeypatch.setattr("monitor.alerts.drill.run_alert_test", drilled)
    assert run("alert-test", "--config", configured(tmp_path)).exit_code == 1
    assert [account.id for account in tested[0].accounts] == ["hl-main"]
    assert run("alert-test", "--config", "nowhere.toml").exit_code == 2
