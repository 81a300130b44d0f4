"""From settings to an application, recorded or not: what `run` and `demo` have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from config.loader import load
from config.settings import Settings
from connectors.clock import SystemClock
from monitor.alerts.build import build_heartbeat, build_lines
from monitor.alerts.outbox import Outbox
from monitor.alerts.receivers.http import HttpPoster
from monitor.app import Application, ConnectorFactory
from monitor.recording.recorder import Recorder
from monitor.recording.turns import CountingLoop
from monitor.recording.writer import Limits
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import Reloader
from monitor.venues import Transports, connector_factory

T = TypeVar("T")


def build_recorder(directory: Path | None, settings: Settings, limit_gb: float) -> Recorder | None:
    """The flight recorder into a directory, of at most so many GB; None without one."""
    return None if directory is None else Recorder(directory, settings, limits=Limits(total_bytes=round(limit_gb * 2**30)))


def run_on_loop(program: Coroutine[Any, Any, T], *, counted: bool) -> T:
    """Run a program to its end; `counted`: on a loop whose turns are counted, as a recording needs."""
    with asyncio.Runner(loop_factory=CountingLoop if counted else None) as runner:
        return runner.run(program)


def build_application(settings: Settings, transports: Transports, poster: HttpPoster, recorder: Recorder | None) -> Application:
    """The application on the clock of this machine; on the loop it will run on."""
    clock, lines, alerts = SystemClock(), build_lines(settings, poster), settings.alerts
    common: dict[str, Any] = {
        "outbox": Outbox(settings.outbox_path, limit_s=alerts.outbox_limit_s, keep_days=alerts.keep_days),
        "heartbeat": build_heartbeat(settings, poster, clock),
    }
    if recorder is None:
        return Application(settings, connector_factory(settings, transports, clock), lines, clock, **common)
    recorder.begin(clock)
    seams: dict[str, Any] = {"workers": recorder.workers, "later": recorder.later}
    app = Application(settings, recorder.connectors(settings, transports), lines, recorder.clock, **common, **seams)
    recorder.watch(app, app.alarm.listeners)
    app.recording = recorder.status
    return app


def build_reloader(app: Application, path: Path, transports: Transports, poster: HttpPoster, recorder: Recorder | None) -> Reloader:
    """What reads the configuration of a running application again; on the loop it runs on."""

    def connectors(settings: Settings, venues: frozenset[str]) -> ConnectorFactory:
        if recorder is None:
            return connector_factory(settings, transports, app.clock, only=venues)
        return recorder.connectors(settings, transports, only=venues)

    # a replay has no heartbeat: how long that sleeps must not be recorded
    clock = app.clock if recorder is None else recorder.machine_clock
    makers = Makers(connectors, lambda settings: build_lines(settings, poster), lambda settings: build_heartbeat(settings, poster, clock))
    return Reloader(app, lambda: load(path, quiet=True), makers, recorder)
