"""How the calls of seams are named, live and in a replay: the same call has the same key, whatever it was signed with."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

_OF_THE_MOMENT = frozenset({"nonce", "timestamp", "recvWindow", "signature", "signer", "listenKey"})
_API_KEY = "X-MBX-APIKEY"

RELOAD_KEY = "reload"
"""Waiting for another configuration."""


def request_key(method: str, url: str, body: bytes, headers: Mapping[str, str] | None) -> str:
    """A request without what changes every time it is signed; with the API key, which says whose it is and is redacted later."""
    place, _, query = url.partition("?")
    if body[:1] in (b"{", b"["):
        asked = f"{query} {body.decode()}"
    else:
        pairs = [*parse_qsl(query, keep_blank_values=True), *parse_qsl(body.decode(), keep_blank_values=True)]
        asked = urlencode([pair for pair in pairs if pair[0] not in _OF_THE_MOMENT])
    who = (headers or {}).get(_API_KEY, "")
    return f"{method} {place} {asked} {who}"


def connect_key(url: str) -> str:
    """Opening a connection."""
    return f"connect {url}"


def sleep_key(deadline_ns: int) -> str:
    """A sleep until a reading of the monotonic clock."""
    return f"sleep {deadline_ns}"


def work_key(name: str) -> str:
    """Work off the loop."""
    return f"work {name}"


def connection_keys(number: int) -> tuple[str, str, str]:
    """Receiving, sending and closing of the connection that was opened as that number."""
    return f"recv {number}", f"send {number}", f"close {number}"
