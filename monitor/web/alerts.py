"""The API of the alarm: what fires, what was told to whom, and silences.

    GET    /api/v1/alerts?limit=100&before_ms=T&key=PATTERN
    GET    /api/v1/silences
    POST   /api/v1/silences   {"key", "for_s" or "until_ms", "reason", "up_to"}
    DELETE /api/v1/silences/ID

A new silence is answered with `fits`: how many alerts that fire now its key fits, whatever their level.

Whoever changes silences is looked at: a page of another origin in a browser beside the monitor must not be able to silence its pager.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from monitor import status
from monitor.alerts.documents import VERSION, alert_document, entry_document, silence_document
from monitor.alerts.silences import SilenceError, fits
from monitor.app import Application
from monitor.margin.result import Level
from monitor.web.answers import Refused, answer, read_document
from monitor.web.origin import is_foreign

_log = logging.getLogger("marginwatch.alarm")

ALERTS = "/api/v1/alerts"
SILENCES = "/api/v1/silences"
MOST = 1000
"""Alerts in one answer."""

_EXAMPLE = '{"key": "*/data", "for_s": 3600, "reason": "upgrade"}'
_USUAL = 100
_LATEST_MS = 2**53
_UP_TO = {level.label: level for level in (Level.WARNING, Level.CRITICAL, Level.LIQUIDATION)}
_FIELDS = ("key", "for_s", "until_ms", "reason", "up_to")

_Handler = Callable[[web.Request], Awaitable[web.Response]]


def _wrong(field: str, message: str) -> Refused:
    return Refused(field, f"{field}: {message}")


class AlertEndpoints:
    """The handlers of one application, to be added to a router. Tokens and host names are guarded before."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve them."""
        router.add_get(ALERTS, _told(self._alerts))
        router.add_get(SILENCES, _told(self._silences))
        router.add_post(SILENCES, _told(self._add))
        router.add_delete(SILENCES + "/{id}", _told(self._end))

    async def _alerts(self, request: web.Request) -> web.Response:
        limit = min(_integer(request.query, "limit", 1) or _USUAL, MOST)
        before_ms, key = _integer(request.query, "before_ms", 0), request.query.get("key")
        alarm = self._app.alarm
        entries = await alarm.outbox.history(limit, before_ms=before_ms, key=key)
        history = [entry_document(entry) for entry in entries]
        if not history and alarm.outbox.problem:
            found = [alert for alert in reversed(alarm.recent) if before_ms is None or alert.time_ms < before_ms]
            history = [alert_document(alert) for alert in found if key is None or fits(alert.key, key)][:limit]
        firing = [status.incident_document(self._app, incident) for incident in alarm.policy.firing()]
        return answer(
            {
                "version": VERSION,
                "as_of_ms": self._app.clock.time_ms(),
                "firing": [one for one in firing if key is None or fits(one["key"], key)],
                "silences": self._active(),
                "history": history,
                "outbox_problem": alarm.outbox.problem,
            }
        )

    async def _silences(self, request: web.Request) -> web.Response:
        return answer({"version": VERSION, "as_of_ms": self._app.clock.time_ms(), "silences": self._active()})

    async def _add(self, request: web.Request) -> web.Response:
        self._refuse_foreign(request)
        asked, now_ms, alarm = await _document(request), self._app.clock.time_ms(), self._app.alarm
        try:
            silence = alarm.silences.add(
                pattern=_text(asked, "key"),
                until_ms=_until_ms(asked, now_ms),
                reason=_text(asked, "reason"),
                now_ms=now_ms,
                up_to=_level(asked.get("up_to", Level.CRITICAL.label)),
            )
        except SilenceError as error:
            raise Refused("", str(error)) from None
        alarm.outbox.keep_silence(silence)
        _log.warning("silence %s: %s up to %s, because: %s", silence.id, silence.pattern, silence.up_to.label, silence.reason)
        fitting = sum(fits(incident.key, silence.pattern) for incident in alarm.policy.firing())
        return answer({"version": VERSION, "silence": silence_document(silence), "fits": fitting}, 201)

    async def _end(self, request: web.Request) -> web.Response:
        self._refuse_foreign(request)
        alarm = self._app.alarm
        try:
            silence = alarm.silences.end(request.match_info["id"], self._app.clock.time_ms())
        except SilenceError as error:
            raise Refused("", str(error), 404) from None
        alarm.outbox.keep_silence(silence)
        _log.warning("silence %s is ended", silence.id)
        return answer({"version": VERSION, "silence": silence_document(silence)})

    def _active(self) -> list[dict[str, Any]]:
        return [silence_document(silence) for silence in self._app.alarm.silences.active(self._app.clock.time_ms())]

    def _refuse_foreign(self, request: web.Request) -> None:
        if is_foreign(request, self._app.settings.link):
            raise Refused("", "a page of another origin may not change silences; use the page of the monitor, or its command line", 403)


def _told(handler: _Handler) -> _Handler:
    async def serve(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Refused as refused:
            return refused.answer()

    return serve


async def _document(request: web.Request) -> dict[str, Any]:
    asked = await read_document(request, _EXAMPLE)
    if not isinstance(asked, dict):
        raise Refused("", "the body is not a JSON object")
    for name in asked:
        if name not in _FIELDS:
            raise _wrong(name, f"unknown; known are {', '.join(_FIELDS)}")
    return asked


def _integer(query: Mapping[str, str], name: str, least: int) -> int | None:
    told = query.get(name)
    if told is None:
        return None
    if not told.isascii() or not told.isdigit() or not least <= int(told[:20]) <= _LATEST_MS:
        raise _wrong(name, f"expected an integer of at least {least}")
    return int(told)


def _text(asked: Mapping[str, Any], name: str) -> str:
    told = asked.get(name)
    if not isinstance(told, str):
        raise _wrong(name, "missing; it is required" if told is None else "expected a text")
    return told


def _until_ms(asked: Mapping[str, Any], now_ms: int) -> int:
    for_s, until_ms = asked.get("for_s"), asked.get("until_ms")
    if (for_s is None) == (until_ms is None):
        raise _wrong("for_s", "give either for_s (seconds from now) or until_ms (Unix ms)")
    name, told = ("for_s", for_s) if until_ms is None else ("until_ms", until_ms)
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told) or not 0 < told < _LATEST_MS:
        raise _wrong(name, "expected a number above 0")
    return now_ms + round(1000 * told) if until_ms is None else round(told)


def _level(told: object) -> Level:
    if not isinstance(told, str) or told not in _UP_TO:
        raise _wrong("up_to", f"expected one of {', '.join(_UP_TO)}: what is higher is told all the same")
    return _UP_TO[told]
