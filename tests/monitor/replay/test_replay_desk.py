from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from config import DEMO
from kernels._jit import permit_compilation
from monitor.recording import ops
from monitor.recording.ops import Op
from monitor.recording.segments import segments
from monitor.replay.assembly import Outcome, Replay, Wishes
from monitor.replay.command import DIFFERENT, SAME, UNUSABLE, run_replay
from monitor.replay.settings import ReplaySettings
from monitor.replay.source import ReplayError, open_run
from monitor.snapshot import parse_snapshot
from tests.monitor.replay.recorded_desk import HOOK, TOKEN, Desk, contents, record, rewritten

pytestmark = pytest.mark.slow

SECONDS = 27.0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return record(tmp_path_factory.mktemp("recorded") / "run", "crash", SECONDS)


@pytest.fixture(autouse=True)
def compiling() -> Iterator[None]:
    yield
    permit_compilation()


def replayed(directory: Path, wishes: Wishes | None = None) -> Outcome:
    run = open_run(directory)
    return Replay(run, ReplaySettings(run).settings, wishes).run()


def test_a_replay_computes_the_same_bits_and_tells_the_same_alerts(desk: Desk) -> None:
    outcome = replayed(desk.directory)
    assert (outcome.differing, outcome.divergences.total, outcome.divergences.first) == (0, 0, "")
    assert outcome.evaluations > 0.5 * desk.evaluations > 100
    assert outcome.alerts == outcome.recorded_alerts
    assert [told[2][4] for told in outcome.alerts] == desk.alerts
    assert len(desk.alerts) > 5
    assert outcome.recorded_seconds == pytest.approx(SECONDS, rel=0.2)


def test_another_process_with_other_hashes_computes_the_same_bits(desk: Desk) -> None:
    program = "import sys; from pathlib import Path; from monitor.replay.command import run_replay; sys.exit(run_replay(Path(sys.argv[1])))"
    environ = {**os.environ, "PYTHONHASHSEED": "4711"}
    ended = subprocess.run([sys.executable, "-c", program, str(desk.directory)], env=environ, capture_output=True, text=True, timeout=120)
    assert ended.returncode == SAME, ended.stdout + ended.stderr
    assert "evaluations, 0 differ" in ended.stdout


def test_no_secret_stands_in_a_recording(desk: Desk) -> None:
    everything = contents(desk.directory)
    raw = b"".join(segment.path.read_bytes() for segment in segments(desk.directory))
    assert {HOOK, TOKEN} < desk.secrets()
    assert len(desk.given_out) >= 4
    assert len(desk.secrets()) >= len(desk.given_out) + 8
    for secret in desk.secrets():
        assert secret.encode() not in everything
        assert secret.removeprefix("0x").lower().encode() not in everything.lower()
        assert secret.encode() not in raw
    assert not re.search(rb"[?&]signature=", everything)


class ChangedIndex:
    """Changes a digit of the tenth bitcoin index of a recording, or leaves it out."""

    def __init__(self, *, leave_out: bool) -> None:
        self.seen = 0
        self._leave_out = leave_out

    def __call__(self, op: Op) -> Op | None:
        found = re.search(rb'"price":\s*(\d)', op.payload) if b'"deribit_price_index.btc_usd"' in op.payload else None
        self.seen += found is not None
        if found is None or self.seen != 10:
            return op
        at = found.start(1)
        changed = b"%d" % (int(found[1]) % 9 + 1)
        return None if self._leave_out else op._replace(payload=op.payload[:at] + changed + op.payload[at + 1 :])


def test_a_changed_byte_of_a_frame_is_told(desk: Desk, tmp_path: Path) -> None:
    change = ChangedIndex(leave_out=False)
    rewritten(desk.directory, tmp_path / "changed", change)
    assert change.seen > 10
    lines: list[str] = []
    assert run_replay(tmp_path / "changed", echo=lines.append) == DIFFERENT
    assert re.search(r"evaluations, [1-9]\d* differ", "\n".join(lines))
    assert "the first one that differs" in "\n".join(lines)


def test_a_missing_frame_is_told(desk: Desk, tmp_path: Path) -> None:
    rewritten(desk.directory, tmp_path / "changed", ChangedIndex(leave_out=True))
    outcome = replayed(tmp_path / "changed")
    assert outcome.divergences.missed > 0
    assert outcome.divergences.first_ns is not None


def test_a_copy_without_a_change_is_the_same(desk: Desk, tmp_path: Path) -> None:
    rewritten(desk.directory, tmp_path / "same", lambda op: op)
    assert run_replay(tmp_path / "same", echo=lambda line: None) == SAME


def test_a_run_that_was_killed_replays_as_far_as_it_goes(desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "killed"
    target.mkdir()
    for segment in segments(desk.directory):
        data = segment.path.read_bytes()
        (target / segment.path.name).write_bytes(data[: len(data) * 2 // 3])
    run = open_run(target)
    outcome = Replay(run, ReplaySettings(run).settings).run()
    assert outcome.evaluations > 50
    assert outcome.differing == 0
    assert outcome.alerts == outcome.recorded_alerts[: len(outcome.alerts)]
    assert "ends within a block" in run.notes[0]


def test_the_command_tells_the_timeline_writes_reports_and_answers_what_if(desk: Desk, tmp_path: Path) -> None:
    lines: list[str] = []
    code = run_replay(desk.directory, levels=["warning=80%"], report_at=["20"], out=tmp_path / "out", echo=lines.append)
    text = "\n".join(lines)
    assert code == SAME, text
    assert "evaluations, 0 differ" in text
    assert "alerts, all as recorded" in text
    assert "with warning at 80%:" in text
    assert re.search(r"told at [\d.]+ s instead of [\d.]+ s: [\d.]+ s gained", text)
    for title in desk.alerts:
        assert title in text
    [report], [snapshot] = (sorted((tmp_path / "out").glob(f"{kind}-20s-*.json")) for kind in ("report", "snapshot"))
    assert orjson.loads(report.read_bytes())["portfolios"][0]["status"] == "ok"
    assert parse_snapshot(orjson.loads(snapshot.read_bytes()), snapshot.name).accounts
    assert {stat.S_IMODE(path.stat().st_mode) for path in (report, snapshot)} == {0o600}
    assert stat.S_IMODE(report.parent.stat().st_mode) == 0o700


def test_a_report_beyond_the_end_is_told(desk: Desk, tmp_path: Path) -> None:
    lines: list[str] = []
    run_replay(desk.directory, until="3", report_at=["2", "4000"], out=tmp_path / "out", echo=lines.append)
    assert any(line.startswith("no report of 4000s: the replay ended at ") for line in lines), lines
    assert [path.name.split("-")[1] for path in (tmp_path / "out").glob("report-*")] == ["2s"]


def test_a_damaged_block_in_the_middle_is_no_success(desk: Desk, tmp_path: Path) -> None:
    target = tmp_path / "damaged"
    target.mkdir()
    [segment] = segments(desk.directory)
    data = bytearray(segment.path.read_bytes())
    data[len(data) // 2] ^= 1
    (target / segment.path.name).write_bytes(data)
    lines: list[str] = []
    assert run_replay(target, echo=lines.append) == DIFFERENT
    text = "\n".join(lines)
    assert "the recording lacks ops in 1 places" in text
    assert "what stood behind is lost" in text


def test_a_lone_reminder_is_told_but_not_compared(desk: Desk, tmp_path: Path) -> None:
    def reminded(op: Op) -> Op | None:
        if op.kind == ops.ALERT and not seen:
            seen.append(op)
            return op._replace(extra=[op.extra[0], "repeated", *op.extra[2:]])
        return op

    seen = list[Op]()
    rewritten(desk.directory, tmp_path / "other", reminded)
    lines: list[str] = []
    # what fired in its place is missed all the same
    assert run_replay(tmp_path / "other", echo=lines.append) == DIFFERENT
    assert "note: 1 reminders after silences and reloads are not compared" in lines


def test_with_a_configuration_it_says_that_alerts_are_not_compared(desk: Desk, tmp_path: Path) -> None:
    accounts = "".join(f'[[accounts]]\nid = "{one.id}"\nvenue = "{one.venue}"\n' for one in desk.settings.accounts)
    path = tmp_path / "mine.toml"
    path.write_text(f"[defaults.levels]\nwarning = 0.5\ncritical = 0.6\n{accounts}")
    lines: list[str] = []
    run_replay(desk.directory, config=path, levels=["warning=0.99,critical=0.995"], echo=lines.append)
    text = "\n".join(lines)
    assert "not compared with the recorded ones: --config changes what is told" in text
    assert "under --config alone" in text
    assert "as recorded" not in text


def test_until_ends_early(desk: Desk) -> None:
    whole = replayed(desk.directory)
    part = replayed(desk.directory, Wishes(until_ns=10_000_000_000))
    assert part.recorded_seconds == pytest.approx(10.0, abs=0.5)
    assert 0 < part.evaluations < whole.evaluations
    assert part.alerts == whole.alerts[: len(part.alerts)]
    assert part.alerts == part.recorded_alerts


def test_a_configuration_with_other_accounts_is_refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_replay(desk.directory, config=DEMO, echo=lambda line: None) == UNUSABLE
    assert "must be those of the recorded run: it lacks" in capsys.readouterr().err


def test_a_configuration_may_move_the_levels(desk: Desk, tmp_path: Path) -> None:
    accounts = "".join(f'[[accounts]]\nid = "{one.id}"\nvenue = "{one.venue}"\n' for one in desk.settings.accounts)
    path = tmp_path / "mine.toml"
    path.write_text(f"[defaults.levels]\nwarning = 0.5\ncritical = 0.6\n{accounts}")
    run = open_run(desk.directory)
    settings = ReplaySettings(run, path).settings
    assert {account.levels.warning for account in settings.accounts} == {0.5}
    outcome = Replay(run, settings).run()
    assert outcome.differing == 0
    assert len(outcome.alerts) != len(outcome.recorded_alerts)


def test_portfolios_of_other_accounts_are_refused(desk: Desk, tmp_path: Path) -> None:
    accounts = "".join(f'[[accounts]]\nid = "{one.id}"\nvenue = "{one.venue}"\n' for one in desk.settings.accounts)
    path = tmp_path / "mine.toml"
    path.write_text(f'[[portfolios]]\nid = "one"\naccounts = ["{desk.settings.accounts[0].id}"]\n{accounts}')
    with pytest.raises(ReplayError, match=r"leave .* out to use the recorded ones"):
        ReplaySettings(open_run(desk.directory), path)


@pytest.mark.parametrize("levels", ["warning", "warning=x", "liquidation=0.9", "warning=0.95"])
def test_levels_that_make_no_sense_are_refused(desk: Desk, levels: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_replay(desk.directory, levels=[levels], echo=lambda line: None) == UNUSABLE
    assert capsys.readouterr().err
