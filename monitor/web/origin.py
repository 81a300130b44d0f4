"""Whose page asks: a page of another origin, in a browser beside the monitor, may look but must not change anything."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web


def is_foreign(request: web.Request, link: str) -> bool:
    """Whether a page of another origin than ours asks; `link` is where readers find our page, empty for nowhere."""
    origin = request.headers.get("Origin")
    return origin is not None and _host(origin) not in {request.host, _host(link)} - {""}


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""
