"""Real processes for the end-to-end tests: started here, ended here by their own id, every wait bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from connectors.simulator.hyperliquid import AccountPlan

PROJECT = Path(__file__).resolve().parents[2]
MARGINWATCH = (sys.executable, "-m", "monitor.cli")


def free_port() -> int:
    """A port of this machine nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until(condition: Callable[[], Awaitable[bool]], seconds: float, what: Callable[[], str]) -> None:
    """Ask every 50 ms until it holds; fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what()}"
        await asyncio.sleep(0.05)


class Running:
    """One process and everything it printed so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.printed = ""
        assert process.stdout is not None
        self._reader = asyncio.create_task(self._read(process.stdout))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(65536):
            self.printed += chunk.decode(errors="replace")

    async def says(self, words: str, seconds: float) -> str:
        """The first line with these words."""
        await until(self._has(words), seconds, lambda: f"{words!r} in: {self.printed[-3000:]}")
        return next(line for line in self.printed.splitlines() if words in line)

    def _has(self, words: str) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            return any(words in line for line in self.printed.split("\n")[:-1])

        return check

    def signal(self, number: signal.Signals) -> None:
        """Send this process a signal."""
        os.kill(self.process.pid, number)

    async def ended(self, seconds: float) -> int:
        """Its exit code; fails when it still runs after so many seconds."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await asyncio.wait_for(self._reader, 5.0)
        return code

    async def close(self) -> None:
        """End it whatever it does."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        await asyncio.wait_for(self._reader, 5.0)


class Launcher:
    """Starts processes that keep their state in a directory of the test; `close` ends those that still run."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._running: list[Running] = []

    async def start(self, *command: str | Path, **environ: str) -> Running:
        """Start a command in the project's directory, output and errors together."""
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            cwd=PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": str(self._state), **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        running = Running(process)
        self._running.append(running)
        return running

    async def venue(self, duration: float, rate: float = 10.0) -> dict[str, str]:
        """A simulated venue with a crash of so many seconds, which begins when the first socket opens; its endpoints."""
        running = await self.start(sys.executable, "-m", "bench.venue", str(duration), str(rate))
        endpoints: dict[str, str] = json.loads(await running.says("rest_url", 20.0))
        return endpoints

    async def close(self) -> None:
        """End everything."""
        for running in reversed(self._running):
            await running.close()


def configuration(
    path: Path,
    endpoints: Mapping[str, str],
    accounts: Iterable[AccountPlan],
    port: int,
    *,
    monitor: str = "",
    alerts: str = "",
    receivers: str = "",
) -> Path:
    """Write a configuration with an outbox beside it; `monitor`, `alerts` and `receivers` are TOML."""
    outbox = "" if "outbox" in alerts else f'outbox = "{path.stem}.db"'
    lines = [f'[monitor]\nlisten = "127.0.0.1:{port}"\n{monitor}\n[alerts]\nhold_s = 1.0\n{outbox}\n{alerts}\n', "[venues.hyperliquid]"]
    lines += [f'{key} = "{url}"' for key, url in endpoints.items()]
    lines.append("ip_budget_share = 1.0\npoll_interval_s = 2.0\n")
    lines += [f'[[accounts]]\nid = "{plan.name}"\nvenue = "hyperliquid"\naddress = "{plan.address}"\n' for plan in accounts]
    path.write_text("\n".join([*lines, receivers]))
    return path


async def fetch(url: str, **headers: str) -> tuple[int, str]:
    """(status, body); status 0 while nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, timeout=aiohttp.ClientTimeout(5.0)) as answer:
            return answer.status, await answer.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


class Inbox:
    """A server alerts are posted to; `silent` paths take them and never answer."""

    def __init__(self) -> None:
        self.got: dict[str, list[dict[str, Any]]] = {}
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _take(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.got.setdefault(path, []).append(await request.json())
        if path.startswith("silent"):
            await asyncio.sleep(30.0)
        return web.Response(text="ok")

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
