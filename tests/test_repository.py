"""The files of the repository as a whole: no machine's paths, pinned requirements, what the wheel holds, and what CI may not skip."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import recordings_directory, server_path
from tests.repository_rules import machine_paths, unpinned_lines

PROJECT = Path(__file__).resolve().parents[1]
WATCHED_SUFFIXES = {".py", ".toml", ".js", ".yml", ".yaml", ".txt"}
WATCHED_NAMES = {"Dockerfile", "Makefile", "run"}
HASH = "--hash=sha256:" + "0" * 64


def _tracked() -> list[Path]:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a git checkout")
    # A clone may belong to another user than the one who tests it.
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return [PROJECT / name for name in names.split("\0") if name and (PROJECT / name).is_file()]


def test_no_file_names_a_path_of_one_machine() -> None:
    watched = [path for path in _tracked() if path.suffix in WATCHED_SUFFIXES or path.name in WATCHED_NAMES]
    assert {"Makefile", "pyproject.toml", "conftest.py"} <= {path.name for path in watched}
    found = {str(path.relative_to(PROJECT)): machine_paths(path.read_text(encoding="utf-8")) for path in watched}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("root", ["work", "tmp", "home", "root"])
def test_machine_path_is_caught(root: str) -> None:
    assert machine_paths(f'first\npath = "/{root}/x"') == [f'line 2: path = "/{root}/x"']


FOLDER = "work"


@pytest.mark.parametrize("line", [f"https://example.org/{FOLDER}/x", "a/tmp/b", f"../{FOLDER}/x", "/workbench/x", "/etc/grafana/x"])
def test_other_paths_pass(line: str) -> None:
    assert machine_paths(line) == []


def _pins(name: str) -> dict[str, str]:
    lines = (PROJECT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    pins = [line.removesuffix(" \\").split("==", 1) for line in lines if "==" in line and not line.startswith(("#", " "))]
    return {package: version for package, version in pins}


@pytest.mark.parametrize("name", ["build.txt", "run.txt", "test.txt"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name: str) -> None:
    text = (PROJECT / "requirements" / name).read_text(encoding="utf-8")
    assert unpinned_lines(text) == []
    assert "==" in text
    assert "://" not in text


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=2",
        "numpy==2.4.6",
        f"numpy {HASH}",
        "--index-url https://example.org/simple",
        "-i https://example.org/simple",
        "--extra-index-url=file:///srv/simple",
        "--find-links wheels",
        "--trusted-host example.org",
        f"numpy @ file:///srv/numpy.whl {HASH}",
        "-e .",
        "numpy==2.4.6 --hash=sha256:short",
    ],
)
def test_requirement_that_is_no_pin_is_caught(line: str) -> None:
    assert unpinned_lines(f"# comment\n{line}\n") == [line]


def test_pin_passes() -> None:
    text = f"numpy==2.4.6 \\\n    {HASH} \\\n    {HASH}\n    # via x\ncolorama==0.4 ; os_name == 'nt' \\\n    {HASH}\n"
    assert unpinned_lines(text) == []


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    run = project["dependencies"]
    for name, wanted in {"run.txt": run, "test.txt": [*run, *extras["test"], *extras["dev"]]}.items():
        assert {re.split(r"\[|[=>]=", requirement)[0] for requirement in wanted} <= set(_pins(name))


@pytest.mark.parametrize("name", ["build.txt", "run.txt"])
def test_requirements_agree_with_those_of_the_tests(name: str) -> None:
    test = _pins("test.txt")
    assert {package: test.get(package) for package in _pins(name)} == _pins(name)


@pytest.mark.slow
def test_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in _tracked():
        copy = source / path.relative_to(PROJECT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "."], cwd=source, check=True, timeout=120)
    (wheel,) = tmp_path.glob("marginwatch-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "marginwatch = monitor.cli:main" in archive.read(entry_points).decode()
    packages = ("config", "kernels", "connectors", "monitor")
    assert packed == {str(path.relative_to(PROJECT)) for path in _tracked() if path.relative_to(PROJECT).parts[0] in packages}


def test_recordings_may_be_absent_but_not_in_ci(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(pytest.skip.Exception, match="MARGINWATCH_RECORDINGS"):
        recordings_directory(absent, in_ci=False)
    with pytest.raises(pytest.fail.Exception, match="MARGINWATCH_RECORDINGS"):
        recordings_directory(absent, in_ci=True)
    assert recordings_directory(str(tmp_path), in_ci=True) == tmp_path


def test_server_may_be_absent_but_not_in_ci() -> None:
    with pytest.raises(pytest.skip.Exception, match="no-such-server"):
        server_path("no-such-server", in_ci=False)
    with pytest.raises(pytest.fail.Exception, match="no-such-server"):
        server_path("no-such-server", in_ci=True)
    assert server_path(Path(sys.executable).name, in_ci=True).is_file()
