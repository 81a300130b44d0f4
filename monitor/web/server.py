"""HTTP: health, readiness, metrics and the JSON API. Loopback unless configured; any other address asks for the token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from monitor import status
from monitor.app import Application
from monitor.live.calendar import Calendar
from monitor.live.report import frozen
from monitor.metrics.collector import Collector
from monitor.web.alerts import ALERTS, SILENCES, AlertEndpoints
from monitor.web.reload import RELOAD, ReloadEndpoint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host names a request may carry where no token guards the server."""

ENDPOINTS = (
    "/-/healthy",
    "/-/ready",
    "/metrics",
    "/api/v1/status",
    "/api/v1/accounts",
    "/api/v1/portfolios",
    "/api/v1/calendar",
    ALERTS,
    SILENCES,
)
"""What the server answers."""


class ApiServer:
    """Serves one application. `port` is the bound port after `start`; `token` may be replaced, `reload` is what POST /-/reload does."""

    def __init__(
        self, app: Application, host: str, port: int, token: str | None = None, reload: Callable[[], Awaitable[list[str]]] | None = None
    ) -> None:
        self._app = app
        self._host = host
        self.token = token
        self.port = port
        self._collector = Collector(app)
        self._alerts = AlertEndpoints(app)
        self._reload = ReloadEndpoint(app, reload)
        self._computing = asyncio.Lock()
        """Reports take a moment in a thread: one at a time, however many ask."""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Base of every endpoint."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Bind and serve. OSError when the address is taken."""
        application = web.Application(middlewares=[self._guard], client_max_size=65_536)
        application.router.add_get("/", self._index)
        application.router.add_get("/-/healthy", self._healthy)
        application.router.add_get("/-/ready", self._ready)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/api/v1/status", self._document(status.status))
        application.router.add_get("/api/v1/accounts", self._document(status.accounts))
        application.router.add_get("/api/v1/portfolios", self._portfolios)
        application.router.add_get("/api/v1/calendar", self._calendar)
        self._alerts.add_to(application.router)
        self._reload.add_to(application.router)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close; idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.token is not None and request.path != "/-/healthy":
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            # headers may hold any byte, which aiohttp keeps as surrogates
            if not hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode()):
                told = {"error": "a token is needed: send it as Authorization: Bearer TOKEN"}
                return web.json_response(told, status=401, headers={"WWW-Authenticate": "Bearer"})
        if self.token is None and urlsplit(f"//{request.host}").hostname not in LOOPBACK_NAMES:
            # a page in a local browser could reach us by a name of its own that resolves to this machine
            told = {"error": "without a token only loopback names are answered: ask for 127.0.0.1 or localhost, or configure a token"}
            return web.json_response(told, status=403)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            if not request.path.startswith("/api/"):
                raise
            response = _refusal(error)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text="marginwatch\n\n" + "\n".join(ENDPOINTS) + f"\nPOST {RELOAD}\n")

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

    async def _portfolios(self, request: web.Request) -> web.Response:
        live = self._app.portfolios
        name = request.query.get("portfolio")
        async with self._computing:
            if name is not None and name not in {portfolio.id for portfolio in live.settings.portfolios}:
                known = ", ".join(portfolio.id for portfolio in live.settings.portfolios)
                return web.json_response({"error": f"no portfolio has this id; configured are {known}"}, status=404)
            told = frozen(live, self._app.engine, name)
            document = await asyncio.to_thread(told.report)
        if "snapshot" in request.query:
            document = {"report": document, "snapshot": told.snapshot}
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    async def _calendar(self, request: web.Request) -> web.Response:
        async with self._computing:
            document = await asyncio.to_thread(Calendar(self._app).document)
        return web.Response(body=orjson.dumps(document), content_type="application/json")

    def _document(self, build: Callable[[Application], dict[str, Any]]) -> Handler:
        async def serve(request: web.Request) -> web.Response:
            return web.Response(body=orjson.dumps(build(self._app)), content_type="application/json")

        return serve


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
