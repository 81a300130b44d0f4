"""`marginwatch top`: what it says where it cannot start."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from monitor import cli
from monitor.top import app

PROJECT = Path(__file__).resolve().parents[3]


def test_without_a_terminal_the_error_names_the_text_report() -> None:
    answer = CliRunner().invoke(cli.cli, ["top", "http://127.0.0.1:9876"])
    assert answer.exit_code == 2
    assert answer.output == (
        "top needs a terminal; for text in a file or a pipe: marginwatch report --live http://127.0.0.1:9876 --format text\n"
    )


def test_help_explains_it() -> None:
    answer = CliRunner().invoke(cli.cli, ["top", "--help"])
    assert answer.exit_code == 0
    assert answer.output.startswith("Usage: cli top [OPTIONS] [URL]")
    assert "127.0.0.1:9876" in answer.output
    assert "--token-env" in answer.output


def test_textual_is_imported_by_nothing_else() -> None:
    code = "import sys; from monitor.cli import cli; cli(['check', '--help'], standalone_mode=False); print('textual' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout.splitlines()[-1] == "False"


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(app, "sys", SimpleNamespace(stdin=terminal, stdout=terminal))


@pytest.mark.usefixtures("on_terminal")
@pytest.mark.parametrize("url", ["127.0.0.1:9876", "ws://127.0.0.1:9876", "http://user:secret@127.0.0.1"])
def test_a_bad_url_is_said(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_top(url, None) == 2
    assert "is no address of a monitor" in capsys.readouterr().err


@pytest.mark.usefixtures("on_terminal")
def test_a_variable_without_a_token_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    assert app.run_top("http://127.0.0.1:9876", "NO_SUCH_TOKEN") == 2
    assert capsys.readouterr().err == "the environment variable NO_SUCH_TOKEN holds no token\n"


def test_where_nobody_listens_the_screen_stays_as_it_is() -> None:
    with socket.socket() as taken:
        # bound and not listening: a connection is refused, and nobody else takes the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "monitor.cli", "top", url]
        done = subprocess.run(command, cwd=PROJECT, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        drawn = os.read(ours, 1024)
    except OSError:
        drawn = b""
    os.close(ours)
    assert done.returncode == 2
    assert done.stderr.startswith(f"no answer from {url}: ")
    assert drawn == b""
