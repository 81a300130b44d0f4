"""The command line: quick to answer, clear when it cannot, and never beside somebody else's packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from config import EXAMPLE, Settings
from monitor import cli

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "numpy", "aiohttp", "websockets", "rich", "textual")
ADDRESS = "0x" + "ab" * 20

_LISTS_MODULES = """
import sys
from monitor.cli import cli
try:
    cli({arguments!r}, standalone_mode=True)
except SystemExit as end:
    code = end.code
print("imported:", *[name for name in {heavy!r} if name in sys.modules])
sys.exit(code)
"""


def python(*arguments: str, first: Path = PROJECT, **environ: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, dict.fromkeys((first, PROJECT))))
    environment = {**os.environ, "PYTHONPATH": paths, **environ}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=first, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("run", "check", "discover", "verify", "demo", "alerts", "silence", "alert-test", "replay", "top")),
        *(["silence", name] for name in ("add", "list", "end")),
        [],
    ],
)
def test_help_explains_every_command(command: list[str]) -> None:
    answer = CliRunner().invoke(cli.cli, [*command, "--help"])
    assert answer.exit_code == 0
    assert answer.output.startswith("Usage:")
    assert len(answer.output.splitlines()) > 4


def test_the_program_lists_its_commands_and_version() -> None:
    answer = CliRunner().invoke(cli.cli, ["--help"])
    for command in ("run", "check", "discover", "verify", "demo", "alerts", "silence", "alert-test", "replay", "top"):
        assert f"  {command} " in answer.output
    assert CliRunner().invoke(cli.cli, ["--version"]).output.startswith("cli, version ")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["silence", "add", "--help"], ["check", str(EXAMPLE)], ["check", "no-such-file.toml"]]
)
def test_nothing_heavy_is_imported_for_a_quick_answer(arguments: list[str]) -> None:
    done = python("-c", _LISTS_MODULES.format(arguments=arguments, heavy=HEAVY))
    assert done.returncode == (2 if "no-such-file.toml" in arguments else 0), done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


def test_check_says_what_it_understood_without_addresses(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(f'[[accounts]]\nid = "desk"\nvenue = "hyperliquid"\naddress = "{ADDRESS}"\n')
    answer = CliRunner().invoke(cli.cli, ["check", str(path)])
    assert answer.exit_code == 0
    assert "account desk: hyperliquid 0xabab…abab" in answer.output
    assert "receivers: none configured" in answer.output
    assert ADDRESS not in answer.output


@pytest.mark.parametrize("command", [["check"], ["run", "--config"]])
def test_a_bad_file_is_told_with_file_and_key(tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(f'[[accounts]]\nid = "desk"\nvenue = "hyperliquid"\naddres = "{ADDRESS}"\n')
    answer = CliRunner().invoke(cli.cli, [*command, str(path)])
    assert answer.exit_code == 2
    assert f'{path}: accounts[0].addres: unknown key; did you mean "address"?' in answer.stderr
    assert ADDRESS not in answer.output


def test_a_file_that_is_not_there_is_told() -> None:
    answer = CliRunner().invoke(cli.cli, ["run", "--config", "nowhere.toml"])
    assert answer.exit_code == 2
    assert "nowhere.toml: no such file" in answer.stderr


@pytest.mark.parametrize("arguments", [["verify", "0x12"], ["discover", "hello"], ["verify", ADDRESS, "--rest-url", "ftp://x"]])
def test_what_makes_no_sense_is_refused_before_any_request(arguments: list[str]) -> None:
    answer = CliRunner().invoke(cli.cli, arguments)
    assert answer.exit_code == 2
    assert "expected" in answer.output


def test_a_demo_shorter_than_its_story_is_refused() -> None:
    answer = CliRunner().invoke(cli.cli, ["demo", "--duration", "5"])
    assert answer.exit_code == 2
    assert "30" in answer.output


# -- recording and replay -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--config", "x", "--record-limit", "1"], "--record-limit goes with --record"),
        (["run", "--config", "x", "--record", "y", "--record-limit", "0"], "0.01"),
        (["replay", "x", "--report-at", "90"], "--report-at needs --out"),
        (["replay", "x", "--speed", "0"], "0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], expected: str) -> None:
    answer = CliRunner().invoke(cli.cli, arguments)
    assert answer.exit_code == 2
    assert expected in answer.output


def test_a_replay_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def run_replay(**options: Any) -> int:
        asked.append(options)
        return 3

    monkeypatch.setitem(sys.modules, "monitor.replay.command", SimpleNamespace(run_replay=run_replay))
    more = [
        "--run",
        "2",
        "--speed",
        "50",
        "--until",
        "90",
        "--levels",
        "warning=0.80",
        "--report-at",
        "10",
        "--report-at",
        "20",
        "--out",
        str(tmp_path),
    ]
    assert CliRunner().invoke(cli.cli, ["replay", "kept"]).exit_code == 3
    assert CliRunner().invoke(cli.cli, ["replay", "kept", "--config", "desk.toml", *more]).exit_code == 3
    nothing = {"config": None, "speed": None, "until": None, "levels": (), "report_at": (), "out": None, "run": None}
    told = {
        "config": Path("desk.toml"),
        "speed": 50.0,
        "until": "90",
        "levels": ("warning=0.80",),
        "report_at": ("10", "20"),
        "out": tmp_path,
        "run": 2,
    }
    assert asked == [{"directory": Path("kept"), **one} for one in (nothing, told)]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], (None, 10.0)),
        (["--record", "kept"], (Path("kept"), 10.0)),
        (["--record", "kept", "--record-limit", "0.5"], (Path("kept"), 0.5)),
    ],
)
def test_a_run_is_told_where_to_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: list[str], expected: tuple[Path | None, float]
) -> None:
    asked: list[tuple[Path | None, float]] = []

    def run_monitor(settings: Settings, path: Path, *, terminal: bool, record: Path | None, record_limit_gb: float) -> int:
        asked.append((record, record_limit_gb))
        return 0

    path = tmp_path / "desk.toml"
    path.write_text(f'[[accounts]]\nid = "desk"\nvenue = "hyperliquid"\naddress = "{ADDRESS}"\n')
    monkeypatch.setitem(sys.modules, "monitor.runner", SimpleNamespace(run_monitor=run_monitor))
    assert CliRunner().invoke(cli.cli, ["run", "--config", str(path), *more]).exit_code == 0
    assert asked == [expected]


# -- other people's packages ----------------------------------------------------------------------------------------------------------


def test_our_own_packages_are_not_foreign() -> None:
    assert cli.foreign_packages(PROJECT) == []


def test_packages_elsewhere_are_foreign(tmp_path: Path) -> None:
    named = cli.foreign_packages(tmp_path)
    assert [name.split()[0] for name in named] == list(cli.PACKAGES)
    assert str(PROJECT / "config") in named[0]


def test_a_missing_package_is_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "PACKAGES", ("config", "no_such_package"))
    assert cli.foreign_packages(PROJECT) == ["no_such_package (not found)"]


@pytest.mark.parametrize("arguments", [["--help"], ["check", str(EXAMPLE)]])
def test_it_refuses_to_start_beside_a_foreign_package(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "__init__.py").write_text('raise SystemExit("the foreign package ran")\n')
    done = python("-c", "import sys; from monitor.cli import main; main()", *arguments, first=tmp_path)
    assert done.returncode == 2
    assert f"config ({tmp_path / 'config'}) is not ours" in done.stderr
    assert "environment of its own" in done.stderr
    assert done.stdout == ""


def test_it_starts_where_nothing_is_foreign() -> None:
    done = python("-c", "import sys; from monitor.cli import main; main()", "check", str(EXAMPLE))
    assert done.returncode == 0, done.stderr
    assert "account hl-main" in done.stdout


# -- the kernel cache -----------------------------------------------------------------------------------------------------------------


def test_the_configured_cache_directory_is_the_one_used(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(f'[monitor]\nkernel_cache_dir = "kept"\n[[accounts]]\nid = "desk"\nvenue = "hyperliquid"\naddress = "{ADDRESS}"\n')
    program = (
        "import sys, atexit\n"
        "from monitor.cli import cli\n"
        "sys.modules['asyncio'].Runner.run = lambda self, work: work.close() or 7\n"
        "atexit.register(lambda: print(__import__('kernels._jit')._jit.CACHE_DIRECTORY))\n"
        f"cli(['run', '--config', {str(path)!r}])\n"
    )
    done = python("-c", "import asyncio\n" + program)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(str(tmp_path / "kept" / "kernels"))
