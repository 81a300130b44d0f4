"""GET /api/v1/history?id=pools/VENUE/ACCOUNT/POOL&id=portfolios/ID: margin ratios of the last hour, the highest of each step.

    {"version": 1, "as_of_ms": T, "step_s": 5, "series": {ID: {"start_ms": T, "ratios": [0.51, null, "Infinity", ...]}}}

`ratios` begins with the first value of the last hour, in the step that begins at `start_ms`, and ends with the step under way; null where
a step has no value. Without `id` those of the highest last ratios are told. An id that is not known is left out; 400 for more than MOST.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from aiohttp import web

from monitor.app import Application
from monitor.live.history import STEP_S, Series
from monitor.report.plain import INFINITY

HISTORY = "/api/v1/history"
VERSION = 1
MOST = 50
"""Ids in one request."""

USUAL = 12
"""Ids in an answer where none was named."""


class HistoryEndpoint:
    """The handler of one application. Tokens and host names are guarded before."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        router.add_get(HISTORY, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        names = request.query.getall("id", [])
        if len(names) > MOST:
            return web.json_response({"error": f"id: at most {MOST} may be asked for at once, got {len(names)}"}, status=400)
        history = self._app.history
        found = history.series(names or history.highest(USUAL))
        document = {
            "version": VERSION,
            "as_of_ms": self._app.clock.time_ms(),
            "step_s": STEP_S,
            "series": {name: _row(series) for name, series in found.items()},
        }
        return web.Response(body=orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), content_type="application/json")


def _row(series: Series) -> dict[str, Any]:
    # orjson writes all that is no number as null, and infinity must not be
    infinite = np.isinf(series.ratios)
    if not infinite.any():
        return {"start_ms": series.start_ms, "ratios": np.ascontiguousarray(series.ratios)}
    ratios = series.ratios.astype(object)
    ratios[infinite] = INFINITY
    return {"start_ms": series.start_ms, "ratios": ratios.tolist()}
