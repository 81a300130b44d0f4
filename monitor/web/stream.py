"""GET /api/v1/stream: what pages show, as it changes, over a WebSocket (docs/api.md).

One publisher for all clients, which runs only while there are any: it brings the board up to date in turns of the event loop, closes a
version at most ten times a second, and wakes the clients a few at a time. A client sends itself what it lacks of the newest version, so
one whose line is full misses versions and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiohttp import WSMsgType, web

from monitor.app import SECOND_NS, Application
from monitor.metrics.pace import TURN_S, turns
from monitor.web.access import LEFT_S
from monitor.web.aside import Aside
from monitor.web.board import Board
from monitor.web.kept import KeptReports, WrittenRow
from monitor.web.origin import is_foreign
from monitor.web.rows import OF_REPORTS, OF_SECONDS, OF_TICKS, Rows, TakenRow

STREAM = "/api/v1/stream"

FRAME_S = 0.1
"""At most so often."""

SILENCE_S = 1.0
"""At least so often, though nothing changed: pages take a longer silence for a dead line."""

SHARE = 0.05
"""Of the event loop's time for bringing the board up to date; with hundreds of pools frames come more rarely instead."""

SLICE, SLICE_BYTES = 4, 262_144
"""Clients served in one turn of the loop, fewer where frames are large; 10 would be the most."""

LARGE = 65_536
"""Bytes of a row that gets a frame of its own, so that no frame takes long to send."""

MOST_CLIENTS = 200
STALLED_S = 30.0
"""A client that takes nothing for so long is let go."""

PING_S = 15.0
MOST_SAID = 1024
"""Bytes of a message from a client, which has nothing to say."""

REPORT_S, CALENDAR_S = 1.0, 15.0
REPORT_SHARE, ASIDE_SHARE = 0.1, 0.5
"""Reports are computed at most so often, and for at most this share of a thread's time, or of the time of a process beside this one."""

REPORT_BYTES_S = 20e6
"""Bytes of reports a second for all clients together: with large books and many pages they come more rarely instead."""

_UNTOLD, _NO_REPORTS, _NO_CALENDAR = "the pages cannot be told", "the reports cannot be made", "the calendar cannot be made"

_log = logging.getLogger("marginwatch.web")


class _Client:
    __slots__ = ("due", "sequence", "socket", "transport")

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self.transport = transport
        self.sequence = 0
        self.due = asyncio.Event()

    def cut(self) -> None:
        # a close would wait behind what the client does not take
        if self.transport is not None:
            self.transport.abort()


class Stream:
    """The stream of one application. `kept` computes the reports that it shows, in `aside`, which is started for the first client."""

    def __init__(self, app: Application, kept: KeptReports, aside: Aside | None = None) -> None:
        self._app = app
        self._kept = kept
        self._aside = aside
        self._rows = Rows(app)
        self._board = Board()
        self._clients: set[_Client] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._told_ns = 0
        self._complained: set[str] = set()

    @property
    def pages(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        router.add_get(STREAM, self._serve)

    def drop(self) -> None:
        """Cut every line: pages come again, and are asked again who they are."""
        for client in self._clients:
            client.cut()

    async def close(self) -> None:
        """Cut every line and end the work; idempotent."""
        self.drop()
        await self._rest()

    # -- clients -------------------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if is_foreign(request, self._app.settings.link):
            return web.json_response({"error": "a page of another origin may not follow the stream"}, status=403)
        if len(self._clients) >= MOST_CLIENTS:
            told = {"error": f"{MOST_CLIENTS} pages are connected, the most there may be; close one"}
            return web.json_response(told, status=503, headers={"Retry-After": "10"})
        socket = web.WebSocketResponse(heartbeat=PING_S, compress=False, max_msg_size=MOST_SAID)
        await socket.prepare(request)
        client = _Client(socket, request.transport)
        self._clients.add(client)
        self._work()
        writing = asyncio.create_task(self._write(client))
        try:
            # a login that ends takes its lines along
            async with asyncio.timeout(request.get(LEFT_S)):
                async for _ in socket:
                    pass
        except TimeoutError:
            client.cut()
        finally:
            self._clients.discard(client)
            writing.cancel()
            if not self._clients:
                await self._rest()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    async def _write(self, client: _Client) -> None:
        try:
            while True:
                await client.due.wait()
                client.due.clear()
                frame, client.sequence = self._board.frame(client.sequence), self._board.sequence
                async with asyncio.timeout(STALLED_S):
                    await client.socket.send_frame(frame, WSMsgType.TEXT)
        except (TimeoutError, ConnectionError):
            client.cut()
        except Exception as defect:  # who is told nothing more has to know
            _log.exception("a page cannot be told: %s", type(defect).__name__)
            client.cut()

    def _complain(self, what: str, defect: Exception) -> None:
        # once: a defect is met again ten times a second
        if what not in self._complained:
            self._complained.add(what)
            _log.error("%s: %s", what, type(defect).__name__, exc_info=defect)

    # -- the publisher -------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        if all(task.done() for task in self._tasks):
            # what was told to those who left may be hours old, and of portfolios that are configured no more
            self._board = Board()
            self._complained.clear()
            self._tasks = [asyncio.create_task(work) for work in (self._publish(), self._report(), self._tell_calendar())]

    async def _rest(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish(self) -> None:
        seconds_ns = 0
        while self._clients:
            began_ns = time.monotonic_ns()
            try:
                spent_s = await self._take(OF_TICKS, self._rows.of_ticks())
                if began_ns - seconds_ns >= SECOND_NS:
                    seconds_ns = began_ns
                    spent_s += await self._take(OF_SECONDS, self._rows.of_seconds(self.pages))
                await self._tell(began_ns)
                self._complained.discard(_UNTOLD)
            except Exception as defect:  # pages hear nothing, and say so; the next round may do
                spent_s = SILENCE_S * SHARE
                self._complain(_UNTOLD, defect)
            await asyncio.sleep(max(FRAME_S, spent_s / SHARE) - (time.monotonic_ns() - began_ns) / SECOND_NS)

    async def _take(self, sections: Iterable[str], rows: Iterable[TakenRow]) -> float:
        # returns for how long it kept the loop, roughly
        spent_s = TURN_S
        for _ in turns(self._put(sections, rows)):
            spent_s += TURN_S
            await asyncio.sleep(0)
        return spent_s

    def _put(self, sections: Iterable[str], rows: Iterable[TakenRow]) -> Iterator[None]:
        told: dict[str, set[str]] = {section: set() for section in sections}
        for section, name, document in rows:
            if self._can_put(section, name, document):
                told[section].add(name)
            yield
        for section, names in told.items():
            self._board.keep(section, names)

    def _can_put(self, section: str, name: str, document: Mapping[str, Any] | bytes) -> bool:
        # a row that cannot be written is gone from the pages, and takes no other along
        try:
            self._board.put(section, name, document)
        except TypeError as defect:
            self._complain(f"the row {name} of {section} cannot be written", defect)
            return False
        return True

    async def _tell(self, now_ns: int) -> None:
        late = [client for client in self._clients if client.sequence < self._board.sequence or not client.sequence]
        if self._board.changed or now_ns - self._told_ns >= SILENCE_S * SECOND_NS:
            self._told_ns = now_ns
            clock = self._app.clock
            self._board.publish(clock.time_ms(), clock.monotonic_ns() / SECOND_NS)
            late = list(self._clients)
        at_once = max(1, min(SLICE, SLICE_BYTES // len(self._board.frame(self._board.sequence - 1))))
        for first in range(0, len(late), at_once):
            for client in late[first : first + at_once]:
                client.due.set()
            await asyncio.sleep(0)

    async def _report(self) -> None:
        while self._clients:
            began, size = time.monotonic(), 0
            if self._aside is not None:
                self._aside.begin()
            try:
                reports = await self._kept.reports(REPORT_S)
                size = sum(len(one.body) for one in reports)
                await self._spread([row for one in reports for row in one.rows])
                self._complained.discard(_NO_REPORTS)
            except Exception as defect:  # reports on pages grow old, and say so
                self._complain(_NO_REPORTS, defect)
            share = ASIDE_SHARE if self._aside is not None and self._aside.is_ready else REPORT_SHARE
            took = time.monotonic() - began
            await asyncio.sleep(max(REPORT_S, took / share, size * self.pages / REPORT_BYTES_S))

    async def _spread(self, rows: Sequence[WrittenRow]) -> None:
        putting = self._put(OF_REPORTS, rows)
        for _, _, written in rows:
            next(putting)
            await asyncio.sleep(FRAME_S if len(written) > LARGE else 0)
        next(putting, None)

    async def _tell_calendar(self) -> None:
        while self._clients:
            try:
                for row in (await self._kept.calendar(CALENDAR_S)).rows:
                    self._board.put(*row)
                self._complained.discard(_NO_CALENDAR)
            except Exception as defect:
                self._complain(_NO_CALENDAR, defect)
            await asyncio.sleep(CALENDAR_S)
