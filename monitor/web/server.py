"""HTTP: the page, health, readiness, metrics and the JSON API. Loopback unless configured; any other address asks for the token."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from monitor import status
from monitor.app import Application
from monitor.metrics.collector import Collector
from monitor.web.access import HEALTHY, METRICS, Access, Handler, add_headers
from monitor.web.alerts import ALERTS, SILENCES, AlertEndpoints
from monitor.web.aside import Aside
from monitor.web.credentials import COOKIE
from monitor.web.history import HISTORY, HistoryEndpoint
from monitor.web.kept import CALENDAR, PORTFOLIOS, KeptReports
from monitor.web.limits import Limits
from monitor.web.login import LoginEndpoints
from monitor.web.openapi import OPENAPI, OpenApiEndpoint
from monitor.web.pages import Pages
from monitor.web.reload import RELOAD, ReloadEndpoint
from monitor.web.stream import STREAM, Stream
from monitor.web.what_if import WHAT_IF, WhatIfEndpoint

LARGEST_BODY = 262_144
"""Bytes of a request's body; what is longer is answered 413."""

ENDPOINTS = (
    HEALTHY,
    "/-/ready",
    METRICS,
    "/api/v1/status",
    "/api/v1/accounts",
    PORTFOLIOS,
    CALENDAR,
    HISTORY,
    STREAM,
    OPENAPI,
    ALERTS,
    SILENCES,
)
"""What the server answers."""

_LISTING = "marginwatch\n\n" + "\n".join(ENDPOINTS) + f"\nPOST {WHAT_IF}\nPOST {RELOAD}\n"

_UNREADABLE = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises for a request or a body that cannot be parsed."""

_log = logging.getLogger("marginwatch.web")


class ApiServer:
    """Serves one application. `port` is the bound port after `start`; `token` may be replaced, `reload` is what POST /-/reload does.

    `clock` tells the monotonic seconds that logins and limits are counted by. Reports are computed in `aside`, or in threads.
    """

    def __init__(
        self,
        app: Application,
        host: str,
        port: int,
        token: str | None = None,
        reload: Callable[[], Awaitable[list[str]]] | None = None,
        *,
        limits: Limits | None = None,
        aside: Aside | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._host = host
        self.port = port
        self._collector = Collector(app)
        self._access = Access(token, limits, clock)
        pages = Pages(_LISTING)
        self._aside = aside
        kept = KeptReports(app, asyncio.to_thread if aside is None else aside.run)
        self._stream = Stream(app, kept, aside)
        self._parts = (
            pages,
            LoginEndpoints(app, self._access, pages, self._stream.drop),
            self._stream,
            kept,
            HistoryEndpoint(app),
            WhatIfEndpoint(app),
            OpenApiEndpoint(),
            AlertEndpoints(app),
            ReloadEndpoint(app, reload),
        )
        self._runner: web.AppRunner | None = None

    @property
    def token(self) -> str | None:
        """The token that is asked for, None for none. Another one ends every login and lets every page go, to be asked again."""
        return self._access.credentials.token

    @token.setter
    def token(self, token: str | None) -> None:
        if token != self.token:
            self._access.credentials.token = token
            self._stream.drop()

    @property
    def url(self) -> str:
        """Base of every endpoint."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def application(self) -> web.Application:
        """Everything that is served."""
        application = web.Application(middlewares=[self._access.guard, _api_errors], client_max_size=LARGEST_BODY)
        application.on_response_prepare.append(add_headers)
        router = application.router
        router.add_get(HEALTHY, self._healthy)
        router.add_get("/-/ready", self._ready)
        router.add_get(METRICS, self._metrics)
        router.add_get("/api/v1/status", self._document(status.status))
        router.add_get("/api/v1/accounts", self._document(status.accounts))
        for part in self._parts:
            part.add_to(router)
        return application

    async def start(self) -> None:
        """Bind and serve. OSError when the address is taken."""
        self._runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=2.0, logger=_log)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._access.cookie = f"{COOKIE}_{self.port}"

    async def stop(self) -> None:
        """Close; idempotent."""
        await self._stream.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        # after the last client, which could begin it again
        if self._aside is not None:
            await self._aside.close()

    async def _healthy(self, request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def _ready(self, request: web.Request) -> web.Response:
        reasons = self._app.unready()
        if reasons:
            return web.Response(status=503, text="not ready\n" + "\n".join(reasons) + "\n")
        return web.Response(text="ready\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = await self._collector.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _document(self, build: Callable[[Application], dict[str, Any]]) -> Handler:
        async def serve(request: web.Request) -> web.Response:
            return web.Response(body=orjson.dumps(build(self._app)), content_type="application/json")

        return serve


@web.middleware
async def _api_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _UNREADABLE:
        # its text may hold what was sent
        return web.json_response({"error": "the body cannot be read: its Content-Encoding or its chunks are broken"}, status=400)
    except web.HTTPException as error:
        if not request.path.startswith("/api/"):
            raise
        return _refusal(error)


def _without_the_request(record: logging.LogRecord) -> bool:
    # what could not be parsed stands in the error's text, with whatever its sender meant for us alone
    if record.exc_info and isinstance(record.exc_info[1], _UNREADABLE):
        record.exc_info = None
    return True


_log.addFilter(_without_the_request)


def _refusal(error: web.HTTPException) -> web.Response:
    # aiohttp refuses in plain text what no handler of ours sees or finishes
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    if isinstance(error, web.HTTPMethodNotAllowed):
        said = f"this address answers only {error.headers['Allow']}"
    elif isinstance(error, web.HTTPNotFound):
        said = "there is no such address; / lists those that there are"
    else:
        said = error.text or error.reason
    return web.json_response({"error": said}, status=error.status, headers=headers)
