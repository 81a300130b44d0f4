"""Who may ask what, and how often; and the headers of every answer.

Everything but health, the login and what the login needs is for those who send the token (`Authorization: Bearer`) or the cookie of a
login. Without a token only loopback names are answered. Who asks too often, or with wrong tokens, gets 429.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from monitor.web.credentials import COOKIE, Credentials
from monitor.web.limits import Limits, asker

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEALTHY = "/-/healthy"
METRICS = "/metrics"
LOGIN = "/login"
LOGOUT = "/logout"

OPEN = frozenset({HEALTHY, LOGIN, LOGOUT, "/static/login.css", "/static/login.js", "/static/favicon.svg"})
"""What is answered without a token; no figure is in any of it."""

LEFT_S: web.RequestKey[float | None] = web.RequestKey("left_s", float)
"""Key of a request that the guard let through: for how many seconds what it carries is good, None for as long as the token is."""

UNLIMITED = frozenset({HEALTHY, METRICS})
"""What may be asked as often as anybody likes: a scrape must not be locked out by who shares its address."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Host names a request may carry where no token guards the server."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of every answer."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # with no-referrer browsers send the forms of our own pages with "Origin: null", as if they were another's
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_NEEDED = "a token is needed: send it as Authorization: Bearer TOKEN"
_NAMES_ONLY = "without a token only loopback names are answered: ask for 127.0.0.1 or localhost, or configure a token"

_log = logging.getLogger("marginwatch.web")


class Access:
    """The guard in front of one server. `clock` tells monotonic seconds.

    `cookie` is the name of the cookie: browsers keep one for all ports of a host, so every monitor there needs a name of its own.
    """

    def __init__(self, token: str | None, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.credentials = Credentials(token, clock)
        self.cookie = COOKIE
        limits = limits or Limits()
        self._requests = limits.requests(clock)
        self._wrong = limits.wrong_tokens(clock)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware."""
        if request.path not in UNLIMITED and (wait_s := self._requests.take(asker(request.remote))):
            return too_often(wait_s)
        if self.credentials.token is None:
            # a page in a local browser could reach us by a name of its own that resolves to this machine
            if _name_of(request.host) not in LOOPBACK_NAMES:
                return web.json_response({"error": _NAMES_ONLY}, status=403)
        elif request.path not in OPEN:
            if not self.admits(request):
                return self._refusal(request)
            request[LEFT_S] = None if self._has_token(request) else self._left_s(request)
        return await handler(request)

    def admits(self, request: web.Request) -> bool:
        """Whether the request carries what is needed: always where no token is asked for."""
        return self.credentials.token is None or self._has_token(request) or self._left_s(request) > 0

    def _has_token(self, request: web.Request) -> bool:
        return self.credentials.is_token(_bearer(request) or "")

    def _left_s(self, request: web.Request) -> float:
        given = request.cookies.get(self.cookie)
        return 0.0 if given is None else self.credentials.left_s(given)

    def wrong_token(self, request: web.Request) -> float:
        """Count one: 0, or the seconds for which its sender has sent too many."""
        wait_s = self._wrong.take(asker(request.remote))
        if not wait_s:
            _log.warning("a wrong token was sent from %s", request.remote)
        return wait_s

    def locked_s(self, request: web.Request) -> float:
        """For how many seconds its sender may not log in; 0: it may."""
        return self._wrong.wait_s(asker(request.remote))

    def _refusal(self, request: web.Request) -> web.Response:
        if _bearer(request) is not None:
            if wait_s := self.wrong_token(request):
                return too_often(wait_s)
        elif request.path == "/" and request.method in ("GET", "HEAD") and wants_page(request):
            return web.Response(status=303, headers={"Location": LOGIN})
        return web.json_response({"error": _NEEDED}, status=401, headers={"WWW-Authenticate": "Bearer"})


def wants_page(request: web.Request) -> bool:
    """Whether a browser asks that would show what it gets."""
    return "text/html" in request.headers.get("Accept", "")


def retry_after(wait_s: float) -> dict[str, str]:
    """The header that says when to ask again, in whole seconds."""
    return {"Retry-After": str(math.ceil(wait_s))}


def too_often(wait_s: float) -> web.Response:
    """429."""
    told = {"error": f"too many requests from this address: ask again in {math.ceil(wait_s)} s"}
    return web.json_response(told, status=429, headers=retry_after(wait_s))


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal before any answer leaves, those to defects and upgrades among them."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def _bearer(request: web.Request) -> str | None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given if scheme.lower() == "bearer" else None


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
