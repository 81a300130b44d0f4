"""The page's files, out of the package: read once, served from memory.

GET /                the page to a browser, a list of endpoints to everybody else
GET /static/PATH     a file of the directory `static`
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from aiohttp import web

from monitor.web.access import wants_page

STATIC = Path(__file__).with_name("static")

_INDEX, _LOGIN = "index.html", "login.html"
_WHY = b"<!-- why -->"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    etag: str
    body: bytes
    packed: bytes | None


class Pages:
    """The files below `directory`. `listing` is what `/` tells those that do not ask for a page."""

    def __init__(self, listing: str, directory: Path = STATIC) -> None:
        self._listing = listing
        self._files = _read(directory)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Serve them."""
        router.add_get("/", self._index)
        router.add_get("/static/{path:.+}", self._static)

    def login(self, status: int = 200, why: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
        """The form that asks for the token, with a sentence that says why it is there again."""
        page = self._files[_LOGIN]
        body = page.body.replace(_WHY, escape(why).encode())
        return web.Response(status=status, body=body, headers={"Content-Type": page.content_type, **(headers or {})})

    async def _index(self, request: web.Request) -> web.Response:
        if not wants_page(request):
            return web.Response(text=self._listing, headers={"Vary": "Accept"})
        return self._answer(request, _INDEX, "Accept, Accept-Encoding")

    async def _static(self, request: web.Request) -> web.Response:
        return self._answer(request, request.match_info["path"], "Accept-Encoding")

    def _answer(self, request: web.Request, name: str, vary: str) -> web.Response:
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        packed = file.packed if _takes_gzip(request) else None
        etag = file.etag if packed is None else f"{file.etag}-gzip"
        # asked for again each time, and hardly ever sent again: a new version is seen at once
        headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache", "Vary": vary}
        if any(known.value in (etag, "*") for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=file.body if packed is None else packed, headers=headers)


@functools.cache
def _read(directory: Path) -> dict[str, _File]:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): _file(path.suffix, path.read_bytes()) for path in paths}


def _file(suffix: str, body: bytes) -> _File:
    packed = gzip.compress(body, mtime=0)
    return _File(
        content_type=_TYPES.get(suffix, "application/octet-stream"),
        etag=hashlib.sha256(body).hexdigest()[:32],
        body=body,
        packed=packed if len(packed) < len(body) else None,
    )


def _takes_gzip(request: web.Request) -> bool:
    for offered in request.headers.get("Accept-Encoding", "").split(","):
        coding, _, weight = offered.replace(" ", "").lower().partition(";")
        if coding == "gzip":
            return not weight or weight.strip("q=0.") != ""
    return False
