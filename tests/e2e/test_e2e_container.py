"""What the image holds, without the image: the wheel alone, in an environment that it cannot write, with the container's files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from tests.e2e.operations import replaced
from tests.e2e.programs import PROJECT, Launcher, fetch, free_port, until

pytestmark = pytest.mark.e2e

SOURCES = ("pyproject.toml", "README.md", "LICENSE", "config", "kernels", "connectors", "monitor")


def installed(folder: Path) -> Path:
    """The directory of programs of a new environment with the wheel; what it needs is that of the tests."""
    source, environment = folder / "source", folder / "marginwatch"
    source.mkdir()
    for name in SOURCES:
        (source / name).symlink_to(PROJECT / name)
    # so that the build leaves nothing in the project
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder, "."], cwd=source, check=True, timeout=120)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    (wheel,) = folder.glob("marginwatch-*.whl")
    python = environment / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", *offline, wheel], check=True, timeout=120)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for path in [*packages.rglob("*"), packages]:
        path.chmod(path.stat().st_mode & ~0o222)
    return environment / "bin"


async def test_the_wheel_alone_runs_the_containers_demo(launcher: Launcher, tmp_path: Path) -> None:
    programs, port = installed(tmp_path), free_port()
    before = {path: path.stat().st_mtime_ns for path in programs.parent.rglob("*")}
    cache, state, scratch, token = (tmp_path / name for name in ("cache", "state", "scratch", "token"))
    for folder in (cache, state, scratch):
        folder.mkdir()
    (program,) = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["token"]["command"]
    subprocess.run([programs / "python", "-I", "-c", replaced(program, {"/run/marginwatch/token": str(token)})], check=True, timeout=30)
    config = tmp_path / "demo.toml"
    text = (PROJECT / "grafana" / "compose" / "demo.toml").read_text()
    # nobody listens where Alertmanager should be
    addresses = {"0.0.0.0:9876": f"0.0.0.0:{port}", "/run/marginwatch/token": str(token), "alertmanager:9093": f"127.0.0.1:{free_port()}"}
    config.write_text(replaced(text, addresses))
    environ = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "MARGINWATCH_CACHE_DIR": cache,
        "XDG_STATE_HOME": state,
        "TMPDIR": scratch,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    outside = ["env", "-i", "-C", "/", *(f"{name}={value}" for name, value in environ.items())]
    monitor = await launcher.start(*outside, "marginwatch", "demo", "--no-terminal", "--duration", "60", "--config", config)
    base = f"http://127.0.0.1:{port}"

    async def is_healthy() -> bool:
        return (await fetch(f"{base}/-/healthy"))[0] == 200

    # the first start, with an empty cache
    await until(is_healthy, 60.0, lambda: monitor.printed)
    assert (await fetch(f"{base}/metrics"))[0] == 401
    status, metrics = await fetch(f"{base}/metrics", Authorization=f"Bearer {token.read_text()}")
    assert status == 200
    assert "marginwatch_build_info" in metrics
    await monitor.says("first live ratio of every account", 20.0)
    monitor.signal(signal.SIGTERM)
    assert await monitor.ended(10.0) == 128 + signal.SIGTERM
    assert "Traceback" not in monitor.printed
    assert token.read_text() not in monitor.printed
    assert {path: path.stat().st_mtime_ns for path in programs.parent.rglob("*")} == before
    assert os.listdir(cache) == ["kernels"]
    assert os.listdir(state) == os.listdir(scratch) == []
