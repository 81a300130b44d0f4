"""Reads the configuration of a running monitor again: all of it is taken, or nothing and the one before goes on.

reloader = Reloader(app, load, makers, recorder)
reloader.ask()                what SIGHUP does
await reloader.reload()       what POST /-/reload does: what changed, or ReloadError

Where a flight recording runs, the configuration becomes part of it: a replay does `take` at the same moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from config.errors import ConfigError
from config.settings import Settings
from connectors.clock import within
from connectors.errors import Timeout
from monitor.app import Application
from monitor.background import beside
from monitor.recording.recorder import Recorder
from monitor.reloading.difference import differences, fixed
from monitor.reloading.prepared import Makers, prepare

_log = logging.getLogger("marginwatch.reload")

STOPPING = "the monitor is stopping"

READ_LIMIT_S = 30.0
"""How long reading the files may take."""


class ReloadError(Exception):
    """The configuration was not taken, the one before goes on. The text says why, without secrets."""


def take(app: Application, settings: Settings, makers: Makers) -> None:
    """Run by another configuration from now on, without an await. ReloadError: it cannot be taken, and nothing has changed."""
    try:
        prepared = prepare(app, settings, makers)
    except Exception as defect:  # its text may hold anything
        raise _unprepared(defect) from None
    try:
        prepared.tell_connectors(app)
    except ValueError:
        raise ReloadError("a venue's connector refuses its accounts") from None
    prepared.swap(app)


def _unprepared(defect: Exception) -> ReloadError:
    return ReloadError(f"it cannot be prepared ({type(defect).__name__})")


class Reloader:
    """One reload after the other; who asks while one waits for its turn has asked for that one.

    `load` reads the configuration, in a thread; each of `adopted` is told of one that was taken.
    """

    def __init__(self, app: Application, load: Callable[[], Settings], makers: Makers, recorder: Recorder | None = None) -> None:
        self.adopted: list[Callable[[Settings], None]] = []
        self._app = app
        self._load = load
        self._makers = makers
        self._recorder = recorder
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[list[str]]] = set()
        self._next: asyncio.Task[list[str]] | None = None
        self._is_closed = False

    def ask(self) -> None:
        """Reload as soon as the monitor runs; what becomes of it is in the log and in the metrics."""
        if not self._is_closed:
            self._begin()

    async def reload(self) -> list[str]:
        """Reload as soon as the monitor runs. What changed, a line a thing; empty for nothing. Raises ReloadError."""
        if self._is_closed:
            raise ReloadError(STOPPING)
        task = self._begin()
        await asyncio.wait({task})
        if task.cancelled():
            raise ReloadError(STOPPING)
        return task.result()

    async def close(self) -> None:
        """Take no configuration any more."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> asyncio.Task[list[str]]:
        if self._next is not None:
            return self._next
        self._next = task = asyncio.create_task(self._in_turn())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[list[str]]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # what went wrong was logged where it did, whether somebody waits for it or not
            task.exception()

    async def _in_turn(self) -> list[str]:
        async with self._turn:
            await self._app.running.wait()
            self._next = None
            try:
                return await self._reload()
            except ReloadError as refused:
                self._failed(str(refused))
                raise
            except Exception as defect:  # nobody knows what runs by which configuration now: the program must end
                self._app.alarm.fail(defect)
                self._failed(f"a defect of this program ({type(defect).__name__})")
                raise ReloadError("a defect of this program: it ends, start it again") from defect

    def _failed(self, why: str) -> None:
        self._app.configuration = replace(self._app.configuration, successful=False)
        _log.error("the configuration is not taken, the one before goes on: %s", why)

    async def _reload(self) -> list[str]:
        app = self._app
        settings = await self._loaded()
        if keys := fixed(app.settings, settings):
            raise ReloadError("; ".join(f"{key}: restart the monitor to change it" for key in keys))
        changed = differences(app.settings, settings)
        if not changed:
            app.configuration = replace(app.configuration, successful=True, loaded_ms=app.clock.time_ms())
            _log.info("the configuration was read again: nothing changed")
            return []
        take(app, settings, await self._begun(settings))
        for adopted in self.adopted:
            adopted(settings)
        _log.warning("the configuration was read again: %s", "; ".join(changed))
        for warning in settings.warnings:
            _log.warning("%s", warning)
        return changed

    async def _loaded(self) -> Settings:
        found: list[Settings] = []

        def read() -> None:
            found.append(self._load())

        # the end of the reading is no part of a recording
        clock = self._app.clock if self._recorder is None else self._recorder.machine_clock
        try:
            # a file that does not answer must hold up neither the end of the program nor what is asked later
            await within(clock, READ_LIMIT_S, beside(read, "configuration"), "configuration")
        except ConfigError as error:
            raise ReloadError(str(error)) from None
        except Timeout:
            raise ReloadError(f"it could not be read within {READ_LIMIT_S:g} s") from None
        except Exception as defect:  # its text may hold anything
            raise ReloadError(f"it cannot be read ({type(defect).__name__})") from None
        return found[0]

    async def _begun(self, settings: Settings) -> Makers:
        # what a replay does not make must not fail once it stands in the recording that this configuration is taken
        try:
            lines, heartbeat = self._makers.lines(settings), self._makers.heartbeat(settings)
            if self._recorder is not None:
                await self._recorder.reloaded(settings)
        except Exception as defect:  # its text may hold anything
            raise _unprepared(defect) from None
        return replace(self._makers, lines=lambda _: lines, heartbeat=lambda _: heartbeat)
