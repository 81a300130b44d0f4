"""The tasks of a program that runs until it is stopped: none of them should end by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

Farewell = Callable[[], Coroutine[Any, Any, None]]

_log = logging.getLogger("marginwatch.app")


class Tasks:
    """`add` on a running loop, `failed` beside them, `end` at the end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._leaving: dict[asyncio.Task[None], asyncio.Task[None]] = {}
        self._over = asyncio.Event()

    def add(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work that ends only where something is wrong."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def leave(self, task: asyncio.Task[None], farewell: Farewell | None = None) -> None:
        """A task may end from now on: it is cancelled once `farewell`, which may make it end by itself, is over."""
        self._running.discard(task)
        leaving = asyncio.create_task(_farewell(task, farewell))
        self._leaving[leaving] = task
        leaving.add_done_callback(self._leaving.pop)

    async def failed(self) -> None:
        """Wait until a task ends by itself, and raise what ended it; RuntimeError where nothing did."""
        await self._over.wait()
        for task in [task for task in self._running if task.done()]:
            task.result()
        raise RuntimeError("a connector ended by itself: restart the monitor and report the log")

    async def end(self) -> None:
        """Cancel all; what one of them failed with is for `failed` to tell."""
        tasks = [*self._running, *self._leaving, *self._leaving.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task in self._running:
            self._over.set()


async def _farewell(task: asyncio.Task[None], farewell: Farewell | None) -> None:
    try:
        if farewell is not None:
            await farewell()
    except Exception as defect:  # it is not needed any more
        _log.error("what is no longer needed did not end well: %s", type(defect).__name__)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
