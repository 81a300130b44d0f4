"""`marginwatch run`: the application with its API until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.live import Live

from config.settings import Settings
from monitor.alerts.alert import Alert
from monitor.alerts.receivers.http import HttpPoster
from monitor.app import Application
from monitor.console import console_of
from monitor.launch import build_application, build_recorder, build_reloader, run_on_loop
from monitor.recording.recorder import Recorder
from monitor.screen import screen
from monitor.terminal import AlertLines
from monitor.venues import Transports
from monitor.web.aside import Aside
from monitor.web.server import ApiServer

_log = logging.getLogger("marginwatch")

REDRAW_S = 0.25


def run_monitor(settings: Settings, path: Path, *, terminal: bool, record: Path | None = None, record_limit_gb: float = 10.0) -> int:
    """Run until SIGTERM or SIGINT: 0 after a clean stop, 1 when the program failed, 2 when the address is taken.

    `path` is the file that `settings` are of, which SIGHUP reads again.
    """
    logging.basicConfig(
        level=settings.monitor.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    recorder = build_recorder(record, settings, record_limit_gb)
    try:
        return run_on_loop(_run(settings, path, terminal, recorder), counted=recorder is not None)
    finally:
        if recorder is not None:
            recorder.close()


async def _run(settings: Settings, path: Path, terminal: bool, recorder: Recorder | None) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            _log.warning("second signal: ending at once")
            os._exit(1)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    transports, poster = Transports.real(), HttpPoster()
    app = build_application(settings, transports, poster, recorder)
    reloader = build_reloader(app, path, transports, poster, recorder)
    api = ApiServer(app, settings.monitor.host, settings.monitor.port, _token(settings), reloader.reload, aside=Aside())

    def adopt(changed: Settings) -> None:
        api.token = _token(changed)
        logging.getLogger().setLevel(changed.monitor.log_level.upper())

    reloader.adopted.append(adopt)
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    try:
        if not await _listening(api, settings.monitor.listen):
            return 2
        await app.start()
        code = await _until(stopping, app, terminal)
    finally:
        if recorder is not None:
            recorder.end()
        await reloader.close()
        await app.stop()
        await api.stop()
        await poster.close()
        await transports.close()
    _log.info("stopped")
    return code


def _token(settings: Settings) -> str | None:
    return settings.monitor.token.reveal() if settings.monitor.token else None


async def _listening(api: ApiServer, listen: str) -> bool:
    try:
        await api.start()
    except OSError as error:
        _log.error("cannot listen on %s: %s; change [monitor] listen", listen, error.strerror)
        return False
    _log.info("serving %s", api.url)
    return True


async def _until(stopping: asyncio.Event, app: Application, terminal: bool) -> int:
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stopping.wait()), asyncio.create_task(app.failed())]
    if terminal:
        tasks.append(asyncio.create_task(_show(app)))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    for task in done:
        if (error := task.exception()) is not None:
            _log.error("the monitor failed: %s", error, exc_info=error)
            return 1
    return 0


async def _show(app: Application) -> None:
    lines = AlertLines()

    def told(alert: Alert) -> None:
        lines.add(time.strftime("%H:%M:%S"), alert)

    app.alarm.listeners.append(told)
    with Live(console=console_of(150, highlight=True), auto_refresh=False) as live:
        while True:
            live.update(screen(app, "marginwatch", lines), refresh=True)
            await asyncio.sleep(REDRAW_S)
