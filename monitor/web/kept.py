"""Report documents and the calendar, computed beside the event loop one at a time and shared by all who ask at about the same moment.

    GET /api/v1/portfolios?portfolio=ID    the report document of a portfolio (none: the first) and of all that share its parameters
    GET /api/v1/portfolios?snapshot=1      {"report": that document, "snapshot": the snapshot it was computed from}
    GET /api/v1/calendar                   what is due

A report may be REPORT_AGE_S old, a calendar CALENDAR_AGE_S: `as_of` and `as_of_ms` say of when it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from config.parameters import ParameterSet
from config.portfolios import PortfolioSettings
from monitor.app import SECOND_NS, Application
from monitor.live.calendar import Calendar
from monitor.live.report import Frozen, frozen
from monitor.web.answers import JSON
from monitor.web.rows import OF_CALENDAR, report_rows

PORTFOLIOS = "/api/v1/portfolios"
CALENDAR = "/api/v1/calendar"

REPORT_AGE_S = 1.0
CALENDAR_AGE_S = 10.0

WrittenRow = tuple[str, str, bytes]
"""(section, id, document as JSON)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A document, shared: nobody changes it.

    `body` is the document as JSON, `rows` are those that the stream has of it, `snapshot` what a report was computed from (None: no
    portfolio has a value), `taken_ns` when that was taken on the monitor's monotonic clock.
    """

    body: bytes
    rows: tuple[WrittenRow, ...]
    snapshot: Mapping[str, Any] | None
    taken_ns: int

    @property
    def document(self) -> Any:
        """The document read again."""
        return orjson.loads(self.body)


class UnknownPortfolio(KeyError):
    """No portfolio has this id; the text lists those that are configured."""


Compute = Callable[[Callable[[], "Written"]], Awaitable["Written"]]
"""Does work that may be handed to another process."""

Written = tuple[bytes, tuple[WrittenRow, ...]]
"""A document as JSON, and the rows of the stream in it."""


def written_report(told: Frozen) -> Written:
    """A report of the live portfolios; all its work is here."""
    document = told.report()
    return orjson.dumps(document), tuple((section, name, orjson.dumps(row)) for section, name, row in report_rows(document))


def written_calendar(told: Calendar) -> Written:
    """What is due; all its work is here."""
    body = orjson.dumps(told.document())
    return body, ((OF_CALENDAR, OF_CALENDAR, body),)


_Take = Callable[[], tuple[Mapping[str, Any] | None, Callable[[], Written]]]
"""Takes what a document needs on the event loop: the snapshot behind it, and the work."""


class _Job:
    # one computation: waiting for its turn, under way or done
    __slots__ = ("taken_ns", "task")

    def __init__(self) -> None:
        self.taken_ns: int | None = None
        self.task: asyncio.Task[Kept] | None = None

    def serves(self, oldest_ns: int) -> bool:
        task = self.task
        if task is not None and task.done() and (task.cancelled() or task.exception() is not None):
            return False
        return self.taken_ns is None or self.taken_ns >= oldest_ns


class KeptReports:
    """What an application's reports and calendar are computed by and kept in. Use it on the event loop. `compute` leaves it."""

    def __init__(self, app: Application, compute: Compute = asyncio.to_thread) -> None:
        self._app = app
        self._do = compute
        self._settings = app.settings
        self._jobs: dict[Hashable, _Job] = {}
        self._turn = asyncio.Lock()

    async def report(self, portfolio: str | None = None, max_age_s: float = REPORT_AGE_S) -> Kept:
        """The report of a portfolio (None: the first) and all that share its parameters, taken at most so long before this call.

        UnknownPortfolio for an id that is not configured; whatever a computation raises is raised for all who wait for it.
        """
        key = self._portfolio(portfolio).parameter_set
        return await self._shared(key, max_age_s, lambda: self._report(portfolio))

    async def reports(self, max_age_s: float = REPORT_AGE_S) -> list[Kept]:
        """The reports of all portfolios: one for every parameter set, in the order of the configuration, each as `report` gives it."""
        firsts: dict[ParameterSet, str] = {}
        for portfolio in self._app.settings.portfolios:
            firsts.setdefault(portfolio.parameter_set, portfolio.id)
        found = []
        for name in firsts.values():
            # a reload may take it away while another is computed
            with suppress(UnknownPortfolio):
                found.append(await self.report(name, max_age_s))
        return found

    async def calendar(self, max_age_s: float = CALENDAR_AGE_S) -> Kept:
        """What is due, taken at most so long before this call; its `snapshot` is None."""
        return await self._shared(CALENDAR, max_age_s, self._calendar)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve them. Tokens and host names are guarded before."""
        router.add_get(PORTFOLIOS, self._answer_report)
        router.add_get(CALENDAR, self._answer_calendar)

    def _portfolio(self, name: str | None) -> PortfolioSettings:
        portfolios = {one.id: one for one in self._app.settings.portfolios}
        found = portfolios.get(next(iter(portfolios)) if name is None else name)
        if found is None:
            raise UnknownPortfolio(f"no portfolio has this id; configured are {', '.join(portfolios)}")
        return found

    async def _shared(self, key: Hashable, max_age_s: float, take: _Take) -> Kept:
        if self._settings is not self._app.settings:
            self._settings = self._app.settings
            self._jobs.clear()
        oldest_ns = self._app.clock.monotonic_ns() - round(max_age_s * SECOND_NS)
        job = self._jobs.get(key)
        if job is None or not job.serves(oldest_ns):
            job = self._jobs[key] = _Job()
        if job.task is None:
            job.task = asyncio.create_task(self._compute(job, take))
            # an error is for those who wait, if anybody still does
            job.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        # an asker who leaves takes the document from nobody
        return await asyncio.shield(job.task)

    async def _compute(self, job: _Job, take: _Take) -> Kept:
        async with self._turn:
            job.taken_ns = taken_ns = self._app.clock.monotonic_ns()
            snapshot, work = take()
            return Kept(*await self._do(work), snapshot, taken_ns)

    def _report(self, name: str | None) -> tuple[Mapping[str, Any] | None, Callable[[], Written]]:
        # a reload may have come since it was asked for
        told = frozen(self._app.portfolios, self._app.engine, self._portfolio(name).id)
        return told.snapshot, partial(written_report, told)

    def _calendar(self) -> tuple[None, Callable[[], Written]]:
        return None, partial(written_calendar, Calendar(self._app))

    async def _answer_report(self, request: web.Request) -> web.Response:
        try:
            kept = await self.report(request.query.get("portfolio"))
        except UnknownPortfolio as unknown:
            return web.json_response({"error": unknown.args[0]}, status=404)
        body = kept.body
        if "snapshot" in request.query:
            body = b'{"report":' + body + b',"snapshot":' + orjson.dumps(kept.snapshot) + b"}"
        return web.Response(body=body, content_type=JSON)

    async def _answer_calendar(self, request: web.Request) -> web.Response:
        return web.Response(body=(await self.calendar()).body, content_type=JSON)
