"""The whole monitor on the demo's three simulated venues over loopback sockets, recorded. Its clock runs faster than the machine's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.receivers import ReceiverSettings
from config.settings import MonitorSettings, Settings
from connectors.clock import SystemClock
from kernels._jit import permit_compilation
from kernels.warmup import warm_up_portfolio
from monitor.app import Application
from monitor.demo import Venues, demo_settings
from monitor.recording.ops import Op, decode, encode, extra_bytes
from monitor.recording.recorder import Recorder
from monitor.recording.segments import block, header_block, read_blocks, read_header, segments
from monitor.recording.turns import CountingLoop
from monitor.recording.writer import Writer
from monitor.reloading.prepared import Makers
from monitor.reloading.reloader import Reloader
from monitor.venues import Transports
from tests.monitor.reloads import Parts

STEP_S = 0.1
HOOK = "https://hooks.example.com/services/T0001/B0002/abcdefghijklmnop"
TOKEN = "a-token-for-the-page-0123456789"
_GIVEN_OUT = re.compile(rb'"(?:access_token|refresh_token|listenKey)"\s*:\s*"([^"]+)"')


class FastClock(SystemClock):
    """The machine's clock, some times as fast."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._from_ns, self._from_ms = super().monotonic_ns(), super().time_ms()

    def monotonic_ns(self) -> int:
        return self._from_ns + round((super().monotonic_ns() - self._from_ns) * self._factor)

    def time_ms(self) -> int:
        return self._from_ms + (self.monotonic_ns() - self._from_ns) // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self._factor)


@dataclass(slots=True)
class Desk:
    """A recorded run. `given_out` are the tokens that the venues gave out, before they were redacted."""

    directory: Path
    settings: Settings
    later: list[Settings] = field(default_factory=list)
    """The configurations that were taken while it ran."""
    changed: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    evaluations: int = 0
    given_out: set[str] = field(default_factory=set)

    def secrets(self) -> set[str]:
        """Every secret that the run knew."""
        found = set(self.given_out)
        for settings in (self.settings, *self.later):
            for holder in (settings.monitor, *settings.accounts, *settings.receivers.values()):
                found |= {secret.reveal() for secret in holder.secrets.values()}
        return found


Change = Callable[[Settings], Settings]


def record(
    directory: Path,
    scenario: str,
    seconds: float,
    factor: float = 3.0,
    first: Change | None = None,
    changes: Sequence[tuple[float, Change]] = (),
) -> Desk:
    """Run the demo's desk for so many seconds of its own time, recorded; `changes` are made to its configuration at their seconds."""
    permit_compilation()
    warm_up_portfolio()
    try:
        with asyncio.Runner(loop_factory=CountingLoop) as runner:
            return runner.run(_run(directory, scenario, seconds, factor, first, changes))
    finally:
        permit_compilation()


class _Spying(Writer):
    def __init__(self, desk: Desk, *given: Any) -> None:
        super().__init__(*given)
        self._desk = desk

    def put(self, op: Op) -> None:
        self._desk.given_out |= {token.decode() for token in _GIVEN_OUT.findall(op.payload)}
        super().put(op)


class Reloads:
    """Makes the changes of a run's configuration, as a signal does. Its receivers take everything."""

    def __init__(
        self,
        app: Application,
        recorder: Recorder,
        transports: Transports,
        clock: FastClock,
        desk: Desk,
        changes: Sequence[tuple[float, Change]],
    ) -> None:
        self._app, self._desk, self._changes = app, desk, list(changes)
        makers = Makers(
            lambda settings, venues: recorder.connectors(settings, transports, only=venues), Parts(clock).lines, lambda settings: None
        )
        self._reloader = Reloader(app, self._changed, makers, recorder)

    def _changed(self) -> Settings:
        return self._changes[0][1](self._app.settings)

    async def until(self, seconds: float) -> None:
        """Make what is due."""
        while self._changes and self._changes[0][0] <= seconds:
            self._desk.changed += await self._reloader.reload()
            self._desk.later.append(self._app.settings)
            self._changes.pop(0)


async def _run(
    directory: Path, scenario: str, seconds: float, factor: float, first: Change | None, changes: Sequence[tuple[float, Change]]
) -> Desk:
    venues, transports, clock = Venues.of(scenario, 30.0), Transports.real(), FastClock(factor)
    await venues.start()
    settings = with_secrets(demo_settings(venues, scenario, 0))
    settings = settings if first is None else first(settings)
    desk = Desk(directory, settings)
    recorder = Recorder(directory, settings, writer=lambda *given: _Spying(desk, *given))
    recorder.begin(clock)
    app = Application(
        settings, recorder.connectors(settings, transports), [], recorder.clock, workers=recorder.workers, later=recorder.later
    )
    reloads = Reloads(app, recorder, transports, clock, desk, changes)
    recorder.watch(app, app.alarm.listeners)
    app.alarm.listeners.append(lambda alert: desk.alerts.append(alert.title))
    try:
        await app.start()
        before_ns = clock.monotonic_ns()
        end_ns = before_ns + round(seconds * 1e9)
        while before_ns < end_ns:
            await clock.sleep(STEP_S)
            now_ns = clock.monotonic_ns()
            await venues.step((now_ns - before_ns) / 1e9)
            before_ns = now_ns
            await reloads.until(seconds - (end_ns - now_ns) / 1e9)
        desk.evaluations = app.engine.statistics.evaluations
    finally:
        recorder.end()
        await app.stop()
        await venues.stop()
        await transports.close()
        recorder.close()
    return desk


def with_secrets(settings: Settings) -> Settings:
    """The same with a receiver and a page that have secrets."""
    environ = {"HOOK": HOOK, "TOKEN": TOKEN}
    receiver = ReceiverSettings.model_validate({"type": "slack", "url_env": "HOOK"}, context={"environ": environ})
    monitor = MonitorSettings.model_validate({"listen": settings.monitor.listen, "token_env": "TOKEN"}, context={"environ": environ})
    return settings.model_copy(update={"receivers": {**settings.receivers, "slack": receiver}, "monitor": monitor})


def contents(directory: Path) -> bytes:
    """Everything that stands in a recording, headers too, uncompressed."""
    found = []
    for segment in segments(directory):
        found.append(str(read_header(segment.path)).encode())
        found += read_blocks(segment.path)
    return b"\n".join(found)


def rewritten(source: Path, target: Path, change: Callable[[Op], Op | None]) -> None:
    """A copy of a recording with every op passed through `change` (None: left out)."""
    target.mkdir()
    for segment in segments(source):
        header = read_header(segment.path)
        about = {name: value for name, value in header.items() if name not in ("magic", "version", "run", "segment")}
        data = header_block(segment.run, segment.number, about)
        for one in read_blocks(segment.path):
            kept = [changed for op in decode(one) if (changed := change(op)) is not None]
            data += block(b"".join(encode(op, op.key.encode(), extra_bytes(op), op.payload) for op in kept))
        (target / segment.path.name).write_bytes(data)
