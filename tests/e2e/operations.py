"""The shipped operations pack on this machine: the same files, with addresses of this machine in place of the containers' names."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.e2e.programs import MARGINWATCH, PROJECT, Launcher, Running, fetch, free_port, until

DEMO = PROJECT / "grafana" / "compose" / "demo.toml"
LISTEN, MONITOR, ALERTMANAGER, TOKEN_FILE = "0.0.0.0:9876", "monitor:9876", "alertmanager:9093", "/run/marginwatch/token"
TOKEN = "a-token-of-the-operations-pack"
RECEIVERS = ("pager", "chat", "watchdog")


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """The text with each old string, which has to be there exactly once, replaced."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the shipped file"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True)
class Desk:
    """A demo on the container's configuration, at an address of this machine."""

    address: str
    running: Running

    async def get(self, path: str) -> str:
        """What it answers, asked with the token."""
        status, body = await fetch(f"http://{self.address}{path}", Authorization=f"Bearer {TOKEN}")
        assert status == 200, f"{path}: {status} {body}"
        return body


async def start_desk(launcher: Launcher, folder: Path, name: str, duration_s: float, alertmanager: str) -> Desk:
    """Start a demo whose alerts go to an Alertmanager."""
    token, port = write_token(folder), free_port()
    changes = {LISTEN: f"127.0.0.1:{port}", TOKEN_FILE: str(token), ALERTMANAGER: alertmanager}
    path = folder / f"{name}.toml"
    path.write_text(replaced(DEMO.read_text(), changes))
    running = await launcher.start(*MARGINWATCH, "demo", "--no-terminal", "--duration", str(duration_s), "--config", path)
    await running.says("first live ratio of every account", 60.0)
    return Desk(f"127.0.0.1:{port}", running)


def write_token(folder: Path) -> Path:
    """The file with the token of the monitors, made once."""
    path = folder / "token"
    if not path.exists():
        path.write_text(TOKEN)
        path.chmod(0o600)
    return path


@dataclass
class Pack:
    """Prometheus and Alertmanager on the shipped files, watching monitors of this machine."""

    prometheus_url: str
    alertmanager_url: str

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query. Fails for an expression that Prometheus refuses."""
        status, body = await fetch(f"{self.prometheus_url}/api/v1/query?query={quote(expression)}")
        assert status == 200, f"{expression}: {body}"
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return found

    async def active(self, **labels: str) -> set[str]:
        """Severities of the alerts with these labels that Alertmanager holds, inhibited or not."""
        status, body = await fetch(f"{self.alertmanager_url}/api/v2/alerts")
        assert status == 200, body
        return {one["labels"]["severity"] for one in json.loads(body) if labels.items() <= one["labels"].items()}


def write_prometheus(folder: Path, monitors: Sequence[str], alertmanager: str) -> Path:
    """A copy of the shipped files with the addresses of this machine."""
    shutil.copytree(PROJECT / "grafana" / "prometheus", folder / "prometheus")
    path = folder / "prometheus" / "prometheus.yml"
    changes = {MONITOR: '", "'.join(monitors), ALERTMANAGER: alertmanager, TOKEN_FILE: str(write_token(folder))}
    path.write_text(replaced(path.read_text(), changes))
    return path


def write_alertmanager(folder: Path, hooks: str) -> Path:
    """A copy of the shipped file in which every receiver posts to `hooks`/NAME."""
    shutil.copytree(PROJECT / "grafana" / "alertmanager", folder / "alertmanager")
    path = folder / "alertmanager" / "alertmanager.yml"
    posts = {f"  - name: {name}\n": f"  - name: {name}\n    webhook_configs: [{{url: '{hooks}/{name}'}}]\n" for name in RECEIVERS}
    path.write_text(replaced(path.read_text(), posts))
    return path


async def start_alertmanager(launcher: Launcher, folder: Path, hooks: str, binary: Path) -> str:
    """Its address, once it is ready."""
    address = f"127.0.0.1:{free_port()}"
    running = await launcher.start(
        binary,
        f"--config.file={write_alertmanager(folder, hooks)}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    await _ready(address, running)
    return address


async def start_prometheus(launcher: Launcher, folder: Path, monitors: Sequence[str], alertmanager: str, binary: Path) -> Pack:
    """Prometheus, ready, over these monitors."""
    address = f"127.0.0.1:{free_port()}"
    running = await launcher.start(
        binary,
        f"--config.file={write_prometheus(folder, monitors, alertmanager)}",
        f"--storage.tsdb.path={folder / 'series'}",
        f"--web.listen-address={address}",
    )
    await _ready(address, running)
    return Pack(f"http://{address}", f"http://{alertmanager}")


async def _ready(address: str, running: Running) -> None:
    async def ready() -> bool:
        return (await fetch(f"http://{address}/-/ready"))[0] == 200

    await until(ready, 20.0, lambda: running.printed[-3000:])


async def unanswered(pack: Pack, expressions: Sequence[str], seconds: float) -> list[str]:
    """Those expressions that never gave anything in so many seconds; asked again and again until all did."""
    left, end = list(dict.fromkeys(expressions)), time.monotonic() + seconds
    while left and time.monotonic() < end:
        left = [expression for expression in left if not await pack.query(expression)]
        await asyncio.sleep(1.0)
    return left
