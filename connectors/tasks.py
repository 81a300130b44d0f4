"""Tasks of one owner by name, which come and go while it runs: one that crashes ends the owner, one that was ended never does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Work = Callable[[], Coroutine[Any, Any, None]]

_log = logging.getLogger("connectors.tasks")


class Tasks:
    """Tasks that `run` runs, those added before it and those added meanwhile. `owner` is for logs: never an address.

    What a task raises that was ended, or that ends with the others, is logged by its type, as its text may quote a payload.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._work: dict[str, Work] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: list[asyncio.Task[None]] = []
        self._crash: asyncio.Future[None] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._work

    def add(self, name: str, work: Work) -> None:
        """Do it from now on, or from `run` on. Raises ValueError if one of that name was added and not ended."""
        if name in self._work:
            raise ValueError(f"{self._owner} has a task {name} already: end it first")
        self._work[name] = work
        if self._crash is not None:
            self._start(name)

    def end(self, name: str) -> None:
        """Cancel it without waiting: `run` does not end before it. Harmless for an unknown name."""
        self._work.pop(name, None)
        task = self._running.pop(name, None)
        if task is not None:
            self._leaving.append(task)
            task.cancel()

    async def run(self) -> None:
        """Run until cancelled, or until a task crashes: raises its error, after all others were cancelled and have ended."""
        self._crash = asyncio.get_running_loop().create_future()
        for name in self._work:
            self._start(name)
        try:
            await self._crash
        finally:
            self._crash = None
            await self._end_all()

    def _start(self, name: str) -> None:
        task = asyncio.create_task(self._work[name]())
        self._running[name] = task
        task.add_done_callback(partial(self._done, name))

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        was_ended = task in self._leaving
        if was_ended:
            self._leaving.remove(task)
        else:
            del self._running[name]
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not (was_ended or self._crash is None or self._crash.done()):
            self._crash.set_exception(error)
        else:
            _log.error("%s of %s failed as it ended: internal error %s", name, self._owner, type(error).__name__)

    async def _end_all(self) -> None:
        for task in self._running.values():
            task.cancel()
        left = {*self._running.values(), *self._leaving}
        again = False
        while left:
            try:
                _, left = await asyncio.wait(left)
            except asyncio.CancelledError:
                # A second cancellation of a task would interrupt the closing that the first one began.
                again = True
        if again:
            raise asyncio.CancelledError
