"""Work in a process beside this one: done there, or here where there is none, and never lost."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from monitor.live.calendar import Calendar
from monitor.live.report import frozen
from monitor.web import aside as module
from monitor.web.aside import Aside, serve
from monitor.web.kept import written_calendar, written_report
from tests.monitor.live.three_venues import three_venues


def _where() -> int:
    return os.getpid()


def _fail() -> int:
    raise ValueError("the words of the work")


def _print() -> str:
    print("words that are no answer")
    return "the answer"


def _nothing() -> None:
    return None


@asynccontextmanager
async def beside(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aside]:
    # kernels are warmed elsewhere
    monkeypatch.setattr(module, "_warm", _nothing)
    aside = Aside()
    aside.begin()
    try:
        await until_ready(aside)
        yield aside
    finally:
        await aside.close()
        await aside.close()


async def until_ready(aside: Aside) -> None:
    end = time.monotonic() + 60.0
    while not aside.is_ready:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_without_a_process_the_work_is_done_here() -> None:
    aside = Aside()
    assert await aside.run(_where) == os.getpid()
    with pytest.raises(ValueError, match="the words of the work"):
        await aside.run(_fail)
    await aside.close()


@pytest.mark.slow
async def test_the_life_of_a_process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with beside(monkeypatch) as aside:
        there = await aside.run(_where)
        assert there != os.getpid()
        assert os.getpriority(os.PRIO_PROCESS, there) > os.getpriority(os.PRIO_PROCESS, 0)
        assert await asyncio.gather(*(aside.run(partial(pow, 2, power)) for power in range(20))) == [2**power for power in range(20)]
        assert await aside.run(partial(bytes, 3_000_000)) == bytes(3_000_000)
        assert await aside.run(_print) == "the answer"
        with pytest.raises(RuntimeError, match="ValueError: the words of the work"):
            await aside.run(_fail)
        assert await aside.run(_where) == there
        assert await aside.run(_where) == there
        # one that dies under its work is given up, and the work is done here
        os.kill(there, 9)
        assert await aside.run(_where) == os.getpid()
        assert not aside.is_ready
        assert "is given up" in caplog.text
        aside.begin()
        assert not aside.is_ready
        assert await aside.run(_where) == os.getpid()


@pytest.mark.slow
async def test_another_one_is_started_after_a_while_and_a_cancelled_work_answers_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    async with beside(monkeypatch) as aside:
        first = await aside.run(_where)
        waiting = asyncio.create_task(aside.run(partial(time.sleep, 5.0)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        aside.begin()
        await until_ready(aside)
        second = await aside.run(_where)
        assert second not in (first, os.getpid())


async def test_what_is_under_way_at_the_end_is_given_up_quietly(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with beside(monkeypatch) as aside:
        working = asyncio.create_task(aside.run(partial(time.sleep, 30.0)))
        await asyncio.sleep(0.1)
        await aside.close()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert caplog.text == ""


def test_the_other_end_answers_in_order_and_ends_with_its_input() -> None:
    asked, told = io.BytesIO(), io.BytesIO()
    for work in (partial(pow, 2, 3), _fail, partial(pow, 3, 2)):
        said = pickle.dumps(work)
        asked.write(len(said).to_bytes(8, "big") + said)
    asked.seek(0)
    serve(asked, told)
    told.seek(0)
    answers = []
    while head := told.read(8):
        answers.append(pickle.loads(told.read(int.from_bytes(head, "big"))))
    assert answers == [(True, 8), (False, "ValueError: the words of the work"), (True, 9)]


async def test_one_that_does_not_start_is_done_without(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/interpreter")
    aside = Aside()
    aside.begin()
    while "does not start" not in caplog.text:
        await asyncio.sleep(0.01)
    assert await aside.run(_where) == os.getpid()
    await aside.close()


@pytest.mark.slow
async def test_reports_and_the_calendar_are_the_same_wherever_they_are_computed() -> None:
    async with three_venues("calm", 60.0) as desk:
        await desk.run(2.0)
        app = desk.app
        for work in (partial(written_report, frozen(app.portfolios, app.engine)), partial(written_calendar, Calendar(app))):
            there = pickle.loads(pickle.dumps(work))
            assert there() == work()
