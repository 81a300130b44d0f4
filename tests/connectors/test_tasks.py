"""Tasks that come and go: a crash ends the owner, an end does not, and whoever closes is not interrupted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectors.clock import cancel_all, settle
from connectors.tasks import Tasks


class Worker:
    """Work that goes on until cancelled, or fails when told so. `closing` may be cleared: then its closing takes until it is set."""

    def __init__(self) -> None:
        self.starts = self.ends = 0
        self.closed_in_peace = False
        self.closing = asyncio.Event()
        self.closing.set()
        self.last_words: Exception | None = None
        self._outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self.starts += 1
        try:
            await self._outcome
        finally:
            self.ends += 1
            await self.closing.wait()
            self.closed_in_peace = True
            if self.last_words is not None:
                raise self.last_words

    def finish(self) -> None:
        self._outcome.set_result(None)

    def fail(self, error: Exception) -> None:
        self._outcome.set_exception(error)


@asynccontextmanager
async def running(tasks: Tasks) -> AsyncIterator[asyncio.Task[None]]:
    owner = asyncio.create_task(tasks.run())
    await settle()
    try:
        yield owner
    finally:
        await cancel_all(owner)


async def test_tasks_start_with_run_and_meanwhile_and_end_with_it() -> None:
    tasks, first, second = Tasks("a venue"), Worker(), Worker()
    tasks.add("first", first.run)
    await settle()
    assert first.starts == 0
    async with running(tasks):
        tasks.add("second", second.run)
        await settle()
        assert (first.starts, second.starts) == (1, 1)
        assert "second" in tasks
    assert (first.ends, second.ends) == (1, 1)


async def test_an_ended_task_leaves_the_others_and_its_name_is_free() -> None:
    tasks, first, second, again = Tasks("a venue"), Worker(), Worker(), Worker()
    tasks.add("first", first.run)
    tasks.add("second", second.run)
    async with running(tasks) as owner:
        tasks.end("second")
        tasks.end("nobody")
        assert "second" not in tasks
        tasks.add("second", again.run)
        await settle()
        assert (first.ends, second.ends, again.starts, again.ends) == (0, 1, 1, 0)
        assert not owner.done()


async def test_a_task_ended_before_run_never_starts() -> None:
    tasks, worker = Tasks("a venue"), Worker()
    tasks.add("first", worker.run)
    tasks.end("first")
    async with running(tasks):
        assert worker.starts == 0


async def test_a_task_ended_as_soon_as_it_was_added_ends_nothing() -> None:
    tasks, worker = Tasks("a venue"), Worker()
    async with running(tasks) as owner:
        tasks.add("first", worker.run)
        tasks.end("first")
        await settle()
        assert not owner.done()


async def test_a_crash_ends_run_with_its_error_and_all_others() -> None:
    tasks, first, second = Tasks("a venue"), Worker(), Worker()
    tasks.add("first", first.run)
    async with running(tasks) as owner:
        tasks.add("second", second.run)
        await settle()
        second.fail(KeyError("a defect"))
        await settle()
        assert first.ends == 1
        with pytest.raises(KeyError, match="a defect"):
            await owner
    late = Worker()
    tasks.add("late", late.run)
    await settle()
    assert late.starts == 0


async def test_a_task_that_returns_ends_nothing() -> None:
    tasks, first = Tasks("a venue"), Worker()
    tasks.add("first", first.run)
    async with running(tasks) as owner:
        first.finish()
        await settle()
        assert not owner.done()


async def test_what_an_ended_task_still_raises_is_told_by_type_alone(caplog: pytest.LogCaptureFixture) -> None:
    tasks, first, again = Tasks("a venue"), Worker(), Worker()
    first.last_words = ValueError("a payload")
    tasks.add("first", first.run)
    with caplog.at_level(logging.ERROR):
        async with running(tasks) as owner:
            tasks.end("first")
            tasks.add("first", again.run)
            await settle()
            assert not owner.done()
            assert again.ends == 0
    assert "first of a venue failed as it ended: internal error ValueError" in caplog.text
    assert "a payload" not in caplog.text


async def test_closing_is_waited_for_and_interrupted_by_nobody() -> None:
    tasks, first, second = Tasks("a venue"), Worker(), Worker()
    for worker in (first, second):
        worker.closing.clear()
    tasks.add("first", first.run)
    tasks.add("second", second.run)
    async with running(tasks) as owner:
        tasks.end("first")
        await settle()
        owner.cancel()
        await settle()
        owner.cancel()
        await settle()
        assert (first.ends, second.ends, owner.done()) == (1, 1, False)
        second.closing.set()
        await settle()
        assert not owner.done()
        first.closing.set()
        await settle()
        assert owner.cancelled()
    assert (first.closed_in_peace, second.closed_in_peace) == (True, True)


async def test_a_name_is_given_once() -> None:
    tasks, worker = Tasks("a venue"), Worker()
    tasks.add("first", worker.run)
    with pytest.raises(ValueError, match="a venue has a task first already"):
        tasks.add("first", worker.run)
