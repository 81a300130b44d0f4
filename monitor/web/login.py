"""The login of a browser: the token once, then a cookie.

    GET  /login     a page with a form
    POST /login     token=... as a form, or {"token": ...}; sets the cookie
    POST /logout    ends and clears it

A browser gets pages and redirects (303 to /), everybody else 204 or JSON with `error`: 401 a wrong token, 403 a page of another origin,
429 too many wrong tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import parse_qs

import orjson
from aiohttp import web

from monitor.app import Application
from monitor.web import answers
from monitor.web.access import LOGIN, LOGOUT, Access, retry_after, wants_page
from monitor.web.credentials import LIFE_S
from monitor.web.origin import is_foreign
from monitor.web.pages import Pages

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 10
_FOREIGN = "A page of another origin may not log in or out: use the page of the monitor."
_WRONG = "This is not the token of this monitor."
_LOCKED = "Too many wrong tokens came from this address. Wait a minute, then try again."
_UNREADABLE = "Send the token as the form field token, or as JSON with the key token."


class LoginEndpoints:
    """The handlers of one application behind `access`; they must be reachable without a token.

    `pages` has the form, `ended` is called when a login has ended.
    """

    def __init__(self, app: Application, access: Access, pages: Pages, ended: Callable[[], None]) -> None:
        self._app, self._access, self._pages, self._ended = app, access, pages, ended

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve them."""
        router.add_get(LOGIN, self._form)
        router.add_post(LOGIN, self._login)
        router.add_post(LOGOUT, self._logout)

    async def _form(self, request: web.Request) -> web.Response:
        return web.Response(status=303, headers={"Location": "/"}) if self._access.admits(request) else self._pages.login()

    async def _login(self, request: web.Request) -> web.Response:
        if is_foreign(request, self._app.settings.link):
            return self._refusal(request, 403, _FOREIGN)
        given = await _token(request)
        if given is None:
            return self._refusal(request, 400, _UNREADABLE)
        credentials = self._access.credentials
        if credentials.token is None:
            return _done(request, "/")
        # nothing may be awaited from here on: others that wait for the same answer would all be let through
        if wait_s := self._access.locked_s(request):
            return self._refusal(request, 429, _LOCKED, retry_after(wait_s))
        if not credentials.is_token(given):
            self._access.wrong_token(request)
            return self._refusal(request, 401, _WRONG, {"WWW-Authenticate": "Bearer"})
        answer = _done(request, "/")
        self._set(answer, credentials.cookie(), LIFE_S)
        return answer

    async def _logout(self, request: web.Request) -> web.Response:
        if is_foreign(request, self._app.settings.link):
            return self._refusal(request, 403, _FOREIGN)
        self._access.credentials.end(request.cookies.get(self._access.cookie, ""))
        self._ended()
        answer = _done(request, LOGIN)
        self._set(answer, "", 0)
        return answer

    def _set(self, answer: web.Response, cookie: str, life_s: int) -> None:
        secure = self._app.settings.link.startswith("https://")
        answer.set_cookie(self._access.cookie, cookie, max_age=life_s, path="/", httponly=True, samesite="Strict", secure=secure)

    def _refusal(self, request: web.Request, status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
        if wants_page(request):
            return self._pages.login(status, why, headers)
        return web.json_response({"error": why}, status=status, headers=headers)


async def _token(request: web.Request) -> str | None:
    try:
        async with asyncio.timeout(answers.READ_S):
            body = await request.read()
        if request.content_type == answers.JSON:
            given = orjson.loads(body)["token"]
        elif request.content_type == _FORM:
            text = body.decode(errors="surrogateescape")
            (given,) = parse_qs(text, keep_blank_values=True, errors="surrogateescape", max_num_fields=_MOST_FIELDS)["token"]
        else:
            return None
    except (ValueError, KeyError, TypeError, TimeoutError):
        return None
    return given if isinstance(given, str) else None


def _done(request: web.Request, where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where}) if wants_page(request) else web.Response(status=204)
