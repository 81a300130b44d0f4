"""The flight recorder of one run: the seams to build an application with, and what to call on its way.

with asyncio.Runner(loop_factory=CountingLoop) as runner: ...
    recorder = Recorder(directory, settings)
    recorder.begin(SystemClock())                  before anything is built
    app = Application(settings, recorder.connectors(settings, Transports.real()), ..., recorder.clock,
                      workers=recorder.workers, later=recorder.later)
    recorder.watch(app, app.alarm.listeners)       before it starts
    ...
    await recorder.reloaded(settings)              then take them without an await
    ...
    recorder.end()                                 before it is stopped
    recorder.close()                               after; waits some seconds for the disk at most
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from config.settings import Settings
from connectors.clock import Clock
from connectors.events import Event
from monitor.recording import ops
from monitor.recording.configuration import Recorded, without_secrets
from monitor.recording.digest import Digest
from monitor.recording.keys import RELOAD_KEY
from monitor.recording.redaction import SHORTEST, Redactor
from monitor.recording.seams import NO_TURN, RecordingClock, RecordingHttp, RecordingWebSockets, RecordingWorkers, Tape
from monitor.recording.turns import CountingLoop
from monitor.recording.writer import Limits, Writer, WriterStatus
from monitor.venues import Transports, connector_factory
from monitor.workers import Threads, Workers

if TYPE_CHECKING:
    from monitor.app import Application, ConnectorFactory

_log = logging.getLogger("marginwatch.recording")


class Told(Protocol):
    """What a recording keeps of an alert."""

    @property
    def key(self) -> str:
        """What fires."""

    @property
    def rule(self) -> Any:
        """An enum of rules."""

    @property
    def change(self) -> Any:
        """An enum of changes."""

    @property
    def level(self) -> Any:
        """A level."""

    @property
    def title(self) -> str:
        """Its first line."""


def told_document(alert: Told) -> list[Any]:
    """An alert as it is compared: rule, change, level, key, title."""
    return [str(alert.rule.value), str(alert.change.value), int(alert.level), alert.key, alert.title]


class Recorder:
    """Records into a directory, which only its owner may read: frames of Hyperliquid name accounts by address.

    Raises nothing where the disk fails: `status` and the log tell it.
    """

    def __init__(
        self, directory: Path, settings: Settings, *, limits: Limits | None = None, writer: Callable[..., Writer] = Writer
    ) -> None:
        self._short: set[str] = set()
        self._redactor = Redactor({})
        recorded = self._learned(settings, {})
        self.seed = random.SystemRandom().randrange(2**63)
        about = {"configuration": recorded.document, "seed": self.seed}
        self._writer = writer(directory, about, self._redactor, limits)
        self._tape: Tape | None = None
        self._numbers = count()

    @property
    def status(self) -> WriterStatus:
        """How writing goes."""
        return self._writer.status

    def begin(self, clock: Clock) -> None:
        """Start to record, on a `CountingLoop`. RuntimeError on another."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, CountingLoop):
            raise RuntimeError("a recorded run needs an event loop whose turns are counted: asyncio.Runner(loop_factory=CountingLoop)")
        self._tape = tape = Tape(clock, loop.selector, self._writer.put)
        self._writer.start()
        tape.did(ops.BEGIN)
        self.machine_clock = clock
        """For what is no part of the recording."""
        self.clock: Clock = RecordingClock(clock, tape)
        self.workers: Workers = RecordingWorkers(Threads(), tape)

    def connectors(self, settings: Settings, transports: Transports, only: Collection[str] | None = None) -> ConnectorFactory:
        """The factory of connectors that are recorded, of all venues or `only` of some."""
        tape, numbers = self._begun, self._numbers
        recorded = replace(
            transports,
            http=RecordingHttp(transports.http, tape),
            websocket=RecordingWebSockets(transports.websocket, tape, numbers),
            pinging=RecordingWebSockets(transports.pinging, tape, numbers),
        )
        build = connector_factory(settings, recorded, self.clock, self.seed, only=only)

        def factory(sink: Callable[[list[Event]], None]) -> Any:
            def recorded_sink(events: list[Event]) -> None:
                tape.did(ops.SINK, extra=sink_document(events))
                sink(events)

            return build(recorded_sink)

        return factory

    def later(self, callback: Callable[[], None]) -> None:
        """Evaluate in the next turn, at a reading of its own."""
        asyncio.get_running_loop().call_soon(self._evaluate, callback)

    def watch(self, app: Application, listeners: list[Callable[[Any], None]]) -> None:
        """Keep what the application computes and tells; before it starts."""
        self._digest = Digest(app)
        listeners.append(lambda alert: self._begun.did(ops.ALERT, extra=told_document(alert)))

    async def reloaded(self, settings: Settings) -> None:
        """Another configuration: returns where a turn of the loop begins, and what is built of it from then on until the next await is
        part of the recording. Raises OSError for a parameter file that is gone.
        """
        tape, recorded = self._begun, self._learned(settings, self._stand_ins)
        await tape.turn_begins(NO_TURN)
        tape.came_back(ops.RELOADED, RELOAD_KEY, NO_TURN, recorded.document)

    def end(self) -> None:
        """The run is over: what a stop does is not recorded. Harmless when repeated."""
        if self._tape is not None and self._tape.open:
            self._tape.did(ops.END)
            self._tape.open = False

    def close(self) -> None:
        """Write what waits and let go of the file; takes at most some seconds."""
        self.end()
        self._writer.close()

    def _learned(self, settings: Settings, known: Mapping[str, str]) -> Recorded:
        recorded = without_secrets(settings, known)
        self._stand_ins = recorded.stand_ins
        self._redactor.configure(recorded.stand_ins)
        for name in [name for name in recorded.short if name not in self._short]:
            self._short.add(name)
            _log.warning(
                "%s has fewer than %d characters: the recorder does not look for it in what it records, as it occurs by chance; "
                "give it a longer secret",
                name,
                SHORTEST,
            )
        return recorded

    @property
    def _begun(self) -> Tape:
        if self._tape is None:
            raise RuntimeError("the recorder has not begun: call begin first")
        return self._tape

    def _evaluate(self, callback: Callable[[], None]) -> None:
        tape = self._begun
        if tape.open:
            tape.stamp()
        tape.did(ops.EVALUATION)
        callback()
        if tape.open:
            tape.did(ops.DIGEST, extra=self._digest.value())


def sink_document(events: list[Event]) -> list[Any]:
    """Events as they are compared: how many, and the kind of the first."""
    return [len(events), type(events[0]).__name__ if events else ""]
