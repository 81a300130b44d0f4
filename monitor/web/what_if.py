"""POST /api/v1/portfolios/{id}/what-if: the margin report of a portfolio before and after hypothetical changes.

    {"changes": [...], "instruments": [...], "index": {...}}     as `monitor.what_if.changes` types them
    -> {"version", "portfolio", "as_of", "assumptions", "before", "after"}, with ?snapshot=1 also "snapshot", the edited one

The portfolio is taken as it stands, alone with its accounts; `after` is what `marginwatch report` says of the edited snapshot under
the same eligibility. Nothing is sent anywhere, and the live state stays as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from config.errors import did_you_mean, masked
from config.parameters import ParameterSet
from config.portfolios import Eligibility, PortfolioSettings
from monitor.app import Application
from monitor.live.export import snapshot_document
from monitor.report.document import Rules, margin_report
from monitor.snapshot import parse_snapshot
from monitor.web.answers import Refused, answer, read_document
from monitor.web.origin import is_foreign
from monitor.what_if.changes import ChangeError, Request, read_request
from monitor.what_if.edit import edited
from monitor.what_if.known import Known, alone
from monitor.what_if.live import known_of

WHAT_IF = "/api/v1/portfolios/{id}/what-if"
VERSION = 1
MOST_WAITING = 8
"""Requests that wait for the one that is computed; another one is told to come back."""

RETRY_S = 2
_EXAMPLE = '{"changes": [{"kind": "transfer", ...}]}'


class WhatIfEndpoint:
    """The handler of one application, to be added to a router. Tokens and host names are guarded before."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._computing = asyncio.Lock()
        """Two reports take a moment in a thread: one request at a time."""
        self._waiting = 0

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        router.add_post(WHAT_IF, self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        try:
            return answer(await self._answer(request))
        except Refused as refused:
            return refused.answer({"Retry-After": str(RETRY_S)} if refused.status == 503 else {})
        except ChangeError as error:
            return Refused(error.field, str(error)).answer()

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        if is_foreign(request, self._app.settings.link):
            raise Refused("", "a page of another origin may not ask; use the page of the monitor, or no browser", 403)
        name = request.match_info["id"]
        self._portfolio(name)
        asked = read_request(await read_document(request, _EXAMPLE))
        if self._waiting > MOST_WAITING:
            raise Refused("", f"{MOST_WAITING} requests wait already; ask again in {RETRY_S} s", 503)
        self._waiting += 1
        try:
            async with self._computing:
                if request.transport is None:
                    raise Refused("", "whoever asked has left", 503)
                return await self._computed(name, asked, with_snapshot=_flag(request.query))
        finally:
            self._waiting -= 1

    async def _computed(self, name: str, asked: Request, *, with_snapshot: bool) -> dict[str, Any]:
        portfolio, live = self._portfolio(name), self._app.portfolios
        document = snapshot_document(live, self._app.engine, name)
        if document is None:
            failures = live.failures_of(portfolio.accounts)
            why = "; ".join(f"{failure.reason.value}: {failure.detail}" for failure in failures)
            raise Refused("", f"portfolio {name} has no value now, so nothing can be compared: {why}", 409)
        before = alone(document, name)
        known = known_of(self._app, asked, {row["id"] for row in before["instruments"]})

        def rules(_: str) -> Eligibility:
            return portfolio.eligibility

        found = await asyncio.to_thread(_reports, before, asked, portfolio.parameter_set, known, rules)
        if not with_snapshot:
            found.pop("snapshot")
        return {"version": VERSION, "portfolio": name, "as_of": found["before"]["as_of"], **found}

    def _portfolio(self, name: str) -> PortfolioSettings:
        portfolios = {one.id: one for one in self._app.portfolios.settings.portfolios}
        if name not in portfolios:
            raise Refused("", f'no portfolio has the id "{masked(name)}"{did_you_mean(name, portfolios)}', 404)
        return portfolios[name]


def _reports(document: dict[str, Any], asked: Request, parameters: ParameterSet, known: Known, rules: Rules) -> dict[str, Any]:
    changed = edited(document, asked, parameters, known)
    before, after = (margin_report(parse_snapshot(one, "the live book"), parameters, rules) for one in (document, changed.document))
    return {"assumptions": list(changed.assumptions), "before": before, "after": after, "snapshot": changed.document}


def _flag(query: Mapping[str, str]) -> bool:
    told = query.get("snapshot", "0")
    if told not in ("0", "1", ""):
        raise Refused("snapshot", "expected 1 for the edited snapshot beside the reports, or 0")
    return told != "0"
