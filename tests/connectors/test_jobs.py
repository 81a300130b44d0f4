"""Jobs that come due: in order, one at a time, again with backoff after a failure, and never ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum
from random import Random

import pytest

from connectors.clock import ManualClock, cancel_all
from connectors.errors import ConnectorError, HttpError
from connectors.jobs import Jobs


class Job(Enum):
    FIRST = "first"
    SECOND = "second"


class Longest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class Worker:
    """Jobs that note when they were done; `outcomes` are what the next ones do."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.begun_ns = self.clock.monotonic_ns()
        self.done: list[tuple[float, Job]] = []
        self.failed: list[tuple[Job, ConnectorError]] = []
        self.outcomes: list[Exception] = []
        self.jobs: Jobs[Job] = Jobs(
            "account maker",
            {job: self._work(job) for job in Job},
            clock=self.clock,
            random=Longest(),
            failed=lambda job, failure: self.failed.append((job, failure)),
        )

    def _work(self, job: Job) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            self.done.append(((self.clock.monotonic_ns() - self.begun_ns) / 1e9, job))
            if self.outcomes:
                raise self.outcomes.pop(0)

        return work


@asynccontextmanager
async def running() -> AsyncIterator[Worker]:
    worker = Worker()
    task = asyncio.create_task(worker.jobs.run())
    try:
        yield worker
    finally:
        assert not task.done()
        await cancel_all(task)


async def test_jobs_are_done_when_they_are_due() -> None:
    async with running() as worker:
        worker.jobs.schedule(Job.SECOND, 5.0)
        worker.jobs.schedule(Job.FIRST, 2.0)
        await worker.clock.advance(10.0)
        assert worker.done == [(2.0, Job.FIRST), (5.0, Job.SECOND)]
        assert worker.jobs.due == {}


async def test_the_sooner_time_counts_unless_it_is_replaced() -> None:
    async with running() as worker:
        worker.jobs.schedule(Job.FIRST, 5.0)
        worker.jobs.schedule(Job.FIRST, 9.0)
        worker.jobs.schedule(Job.FIRST, 3.0)
        worker.jobs.schedule(Job.SECOND, 1.0)
        worker.jobs.reschedule(Job.SECOND, 7.0)
        await worker.clock.advance(10.0)
        assert worker.done == [(3.0, Job.FIRST), (7.0, Job.SECOND)]


async def test_a_cancelled_job_is_not_done() -> None:
    async with running() as worker:
        worker.jobs.schedule(Job.FIRST, 5.0)
        worker.jobs.cancel(Job.FIRST, Job.SECOND)
        await worker.clock.advance(10.0)
        assert worker.done == []


async def test_a_failed_job_is_told_and_tried_again_ever_later_until_it_succeeds() -> None:
    async with running() as worker:
        worker.outcomes = [HttpError("h", 502) for _ in range(7)]
        worker.jobs.schedule(Job.FIRST)
        await worker.clock.advance(200.0)
        assert [at for at, _ in worker.done] == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
        assert {(job, failure.kind) for job, failure in worker.failed} == {(Job.FIRST, "http_502")}
        worker.outcomes = [HttpError("h", 502)]
        worker.jobs.schedule(Job.FIRST)
        await worker.clock.advance(1.0)
        assert len(worker.done) == 10, "after a success the backoff starts over"


async def test_a_defect_is_logged_by_its_type_and_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as worker:
        worker.outcomes = [KeyError("0xsecret")]
        worker.jobs.schedule(Job.FIRST)
        worker.jobs.schedule(Job.SECOND, 0.5)
        await worker.clock.advance(2.0)
        assert worker.done == [(0.0, Job.FIRST), (0.5, Job.SECOND), (1.0, Job.FIRST)]
    assert "first of account maker failed: internal error KeyError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_defect_of_who_is_told_of_a_failure_does_not_end_the_jobs(caplog: pytest.LogCaptureFixture) -> None:
    def tell(job: Job, failure: ConnectorError) -> None:
        raise KeyError("0xsecret")

    async with running() as worker:
        worker.jobs._failed = tell
        worker.outcomes = [HttpError("h", 502)]
        worker.jobs.schedule(Job.FIRST)
        await worker.clock.advance(5.0)
        assert [job for _, job in worker.done] == [Job.FIRST, Job.FIRST]
    assert "internal error KeyError" in caplog.text
    assert "secret" not in caplog.text
