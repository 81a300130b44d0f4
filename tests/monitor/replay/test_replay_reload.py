"""Configurations that were taken while a run was recorded are taken at the same moments of its replay."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.accounts import AccountSettings, Levels
from config.receivers import ReceiverSettings
from config.settings import MonitorSettings, Settings
from kernels._jit import permit_compilation
from monitor.app import Application
from monitor.recording import ops
from monitor.recording.ops import Op
from monitor.recording.segments import segments
from monitor.replay.assembly import Outcome, Replay, Wishes
from monitor.replay.command import SAME, UNUSABLE, run_replay
from monitor.replay.settings import ReplaySettings
from monitor.replay.source import open_run
from tests.monitor.replay.recorded_desk import HOOK, TOKEN, Desk, contents, record, rewritten

pytestmark = pytest.mark.slow

SECONDS = 27.0
OTHER_HOOK = "https://hooks.example.com/services/T0001/B0002/another-one-of-later"
OTHER_TOKEN = "another-token-for-the-page-98765"
NEW, GONE = ("atlas", "vela"), ("cygnus", "wren", "strix")
"""Accounts that are added, of Hyperliquid and Aster, and removed, also of Deribit."""


class Accounts:
    """Keeps some accounts for later."""

    def __init__(self) -> None:
        self._kept: list[AccountSettings] = []

    def without_new(self, settings: Settings) -> Settings:
        self._kept = [one for one in settings.accounts if one.id in NEW]
        return settings.model_copy(update={"accounts": [one for one in settings.accounts if one.id not in NEW]})

    def exchanged(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"accounts": [*self._kept, *(one for one in settings.accounts if one.id not in GONE)]})


def other_secrets(settings: Settings) -> Settings:
    environ = {"HOOK": OTHER_HOOK, "TOKEN": OTHER_TOKEN}
    pager = ReceiverSettings.model_validate({"type": "slack", "url_env": "HOOK"}, context={"environ": environ})
    monitor = MonitorSettings.model_validate({"listen": settings.monitor.listen, "token_env": "TOKEN"}, context={"environ": environ})
    return settings.model_copy(update={"receivers": {**settings.receivers, "slack": pager}, "monitor": monitor})


def other_venues(settings: Settings) -> Settings:
    venues = settings.venues
    changed = {name: getattr(venues, name).model_copy(update={"poll_interval_s": 3.5}) for name in ("hyperliquid", "aster")}
    return settings.model_copy(update={"venues": venues.model_copy(update=changed)})


def lower_levels(settings: Settings) -> Settings:
    levels = Levels(warning=0.3, critical=0.5)
    accounts = [one.model_copy(update={"levels": levels}) for one in settings.accounts]
    return settings.model_copy(update={"accounts": accounts})


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    accounts = Accounts()
    changes = [(7.0, other_secrets), (9.0, accounts.exchanged), (12.0, other_venues), (17.0, lower_levels)]
    return record(tmp_path_factory.mktemp("reloaded") / "run", "crash", SECONDS, first=accounts.without_new, changes=changes)


@pytest.fixture(autouse=True)
def compiling() -> Iterator[None]:
    yield
    permit_compilation()


def replayed(desk: Desk, wishes: Wishes | None = None) -> Outcome:
    run = open_run(desk.directory)
    return Replay(run, ReplaySettings(run).settings, wishes).run()


def test_a_replay_takes_them_and_computes_the_same_bits(desk: Desk) -> None:
    assert {"receiver slack: url", "[monitor] token"} <= set(desk.changed)
    assert {*(f"account {one} added" for one in NEW), *(f"account {one} removed" for one in GONE)} <= set(desk.changed)
    assert {"venue hyperliquid: poll_interval_s", "venue aster: poll_interval_s", "account iris: levels"} <= set(desk.changed)
    outcome = replayed(desk)
    assert (outcome.differing, outcome.divergences.total, outcome.divergences.first) == (0, 0, "")
    assert outcome.evaluations > 0.5 * desk.evaluations > 100
    assert outcome.alerts == outcome.recorded_alerts
    assert [told[2][4] for told in outcome.alerts] == desk.alerts
    assert len(desk.alerts) > 5
    keys = [(told[2][1], told[2][3]) for told in outcome.alerts]
    assert any(change == "fired" and f"/{account}/" in key for account in NEW for change, key in keys), keys
    assert any("-> 30%" in told[2][4] for told in outcome.alerts), "levels were lowered"


def test_another_process_with_other_hashes_computes_the_same_bits(desk: Desk) -> None:
    program = "import sys; from pathlib import Path; from monitor.replay.command import run_replay; sys.exit(run_replay(Path(sys.argv[1])))"
    environ = {**os.environ, "PYTHONHASHSEED": "4711"}
    ended = subprocess.run([sys.executable, "-c", program, str(desk.directory)], env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == SAME, ended.stdout + ended.stderr


def test_no_secret_of_any_of_them_stands_in_the_recording(desk: Desk) -> None:
    everything = contents(desk.directory)
    raw = b"".join(segment.path.read_bytes() for segment in segments(desk.directory))
    assert {HOOK, TOKEN, OTHER_HOOK, OTHER_TOKEN} < desk.secrets()
    for secret in desk.secrets():
        assert secret.encode() not in everything
        assert secret.removeprefix("0x").lower().encode() not in everything.lower()
        assert secret.encode() not in raw


def test_what_is_asked_of_a_replay_holds_after_them(desk: Desk) -> None:
    seen: dict[int, list[float]] = {}

    def look(at_ns: int, app: Application) -> None:
        seen[round(at_ns / 1e9)] = [account.levels.warning for account in app.settings.accounts]

    run = open_run(desk.directory)
    configured = ReplaySettings(run)
    levels = {"warning": 0.2}
    wishes = Wishes(look_at=[5_000_000_000, 25_000_000_000], look=look)
    outcome = Replay(run, configured.with_levels(levels), wishes, lambda document: configured.later(document, levels)).run()
    assert {at: set(warnings) for at, warnings in seen.items()} == {5: {0.2}, 25: {0.2}}
    assert outcome.differing == 0
    replayed(desk, wishes)
    assert set(seen[25]) == {0.3}


def test_the_command_compares_levels_across_them(desk: Desk) -> None:
    lines: list[str] = []
    assert run_replay(desk.directory, levels=["warning=20%"], echo=lines.append) == SAME, lines
    assert "with warning at 20%:" in "\n".join(lines)


def test_a_file_that_fits_the_first_one_only_is_refused_where_it_fits_no_more(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = "".join(f'[[accounts]]\nid = "{one.id}"\nvenue = "{one.venue}"\n' for one in desk.settings.accounts)
    path = tmp_path / "mine.toml"
    path.write_text(f"[defaults.levels]\nwarning = 0.5\ncritical = 0.6\n{accounts}")
    assert run_replay(desk.directory, config=path, until="5", echo=lambda line: None) == SAME
    assert run_replay(desk.directory, config=path, echo=lambda line: None) == UNUSABLE
    told = capsys.readouterr().err
    assert "was given another configuration" in told
    assert "it lacks atlas, vela; not recorded were cygnus, strix, wren" in told


def test_a_recording_that_lost_one_does_otherwise(desk: Desk, tmp_path: Path) -> None:
    def without(op: Op) -> Op | None:
        return None if op.kind == ops.RELOADED else op

    rewritten(desk.directory, tmp_path / "lost", without)
    run = open_run(tmp_path / "lost")
    outcome = Replay(run, ReplaySettings(run).settings).run()
    assert outcome.divergences.total > 0
    assert outcome.alerts != outcome.recorded_alerts
