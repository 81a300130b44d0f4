"""POST /-/reload: read the configuration again, where it says that this may be asked.

200  {"version": 1, "changed": ["account hl-main: levels", ...]}    an empty list: nothing changed
400  {"error": ...}                                                 it was not taken, the one before goes on
403  {"error": ...}                                                 it may not be asked
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from monitor.app import Application
from monitor.reloading.reloader import ReloadError
from monitor.web.origin import is_foreign

RELOAD = "/-/reload"
VERSION = 1

_NO_FILE = "this monitor has no configuration file to read again"
_SWITCHED_OFF = "reloading over HTTP is switched off: set web_reload = true under [monitor] and send the process SIGHUP once"
_FOREIGN = "a page of another origin may not reload the configuration; send SIGHUP, or ask without a browser"

_log = logging.getLogger("marginwatch.reload")


class ReloadEndpoint:
    """The handler of one application. Tokens and host names are guarded before. `reload` None: there is nothing to read again."""

    def __init__(self, app: Application, reload: Callable[[], Awaitable[list[str]]] | None) -> None:
        self._app = app
        self._reload = reload

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve it."""
        router.add_post(RELOAD, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        reload = self._reload
        if reload is None or not self._app.settings.monitor.web_reload:
            return _refusal(403, _NO_FILE if reload is None else _SWITCHED_OFF)
        if is_foreign(request, self._app.settings.link):
            return _refusal(403, _FOREIGN)
        _log.info("asked over HTTP to read the configuration again")
        try:
            changed = await reload()
        except ReloadError as refused:
            return _refusal(400, str(refused))
        return web.json_response({"version": VERSION, "changed": changed})


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)
