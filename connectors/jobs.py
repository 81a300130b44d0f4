"""Jobs of one owner that come due at a time: done one after the other for ever, a failed one tried again with backoff."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from random import Random
from typing import Generic, TypeVar

from connectors.backoff import Backoff, BackoffState
from connectors.clock import Clock, wait_for
from connectors.errors import ConnectorError

J = TypeVar("J", bound=Enum)

NS = 1_000_000_000
RETRY = Backoff(initial=1.0, maximum=30.0)
LEAST_RETRY_S = 0.5

_log = logging.getLogger("connectors.jobs")


class Jobs(Generic[J]):
    """`work` says how each job is done; a job that is to be done again schedules itself. `owner` is for logs: never an address.

    `failed` is told a ConnectorError of a job before it is tried again. Any other exception, of a job or of `failed`, is a defect of
    ours: it is logged by its type, as its text may quote a payload, and the job is tried again too.
    """

    def __init__(
        self,
        owner: str,
        work: Mapping[J, Callable[[], Awaitable[None]]],
        *,
        clock: Clock,
        random: Random,
        failed: Callable[[J, ConnectorError], None],
    ) -> None:
        self.due: dict[J, int] = {}
        self._owner = owner
        self._work = work
        self._clock = clock
        self._random = random
        self._failed = failed
        self._retries: dict[J, BackoffState] = {}
        self._wake = asyncio.Event()

    def schedule(self, job: J, in_s: float = 0.0) -> None:
        """Make the job due in that many seconds, or sooner if it was."""
        at_ns = self._clock.monotonic_ns() + round(in_s * NS)
        if at_ns < self.due.get(job, at_ns + 1):
            self.due[job] = at_ns
            self._wake.set()

    def reschedule(self, job: J, in_s: float) -> None:
        """Make the job due in that many seconds, whenever it was."""
        self.due.pop(job, None)
        self.schedule(job, in_s)

    def cancel(self, *jobs: J) -> None:
        """Make the jobs due no longer; one that is being done is not interrupted."""
        for job in jobs:
            self.due.pop(job, None)

    async def run(self) -> None:
        """Do what is due, for ever."""
        while True:
            job = min(self.due, key=self.due.__getitem__, default=None)
            wait_s = None if job is None else (self.due[job] - self._clock.monotonic_ns()) / NS
            if job is None or (wait_s is not None and wait_s > 0.0):
                self._wake.clear()
                await wait_for(self._clock, self._wake, wait_s)
            else:
                await self._do(job)

    async def _do(self, job: J) -> None:
        del self.due[job]
        try:
            await self._attempt(job)
        except Exception as defect:
            _log.error("%s of %s failed: internal error %s", job.value, self._owner, type(defect).__name__)
            self._again(job)

    async def _attempt(self, job: J) -> None:
        try:
            await self._work[job]()
        except ConnectorError as failure:
            self._again(job)
            self._failed(job, failure)
        else:
            self._retries.pop(job, None)

    def _again(self, job: J) -> None:
        retry = self._retries.setdefault(job, BackoffState(RETRY, self._random))
        self.schedule(job, max(LEAST_RETRY_S, retry.next_delay()))
