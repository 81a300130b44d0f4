"""Takes secrets out of what is recorded, before it reaches the disk.

A configured secret is replaced by the stand-in that a replay uses for it, a token that a venue gave out by one made up here: wherever
either occurs, and always by the same, so that what is left still fits together. Account addresses stay: frames are routed by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import orjson

MOST_TOKENS = 256
"""Tokens remembered, the latest: what is older has expired."""

_NAMES = rb"access_token|refresh_token|listenKey|listen_key|signature|apiKey|api_key|apiSecret|api_secret|client_secret|secretKey|secret"
_TOKEN = re.compile(rb'(?i)"(?:' + _NAMES + rb')"\s*:\s*"([^"\\]{4,})"')
_HINTS = (b"_token", b"isten", b"ignature", b"piKey", b"pi_key", b"ecret")
_IN_PATH = re.compile(rb"/ws/([A-Za-z0-9_-]{24,})")
_MADE_UP = re.compile(rb"redacted[0-9]{8}")


class Redactor:
    """`stand_ins` maps configured secrets to what is written in their place."""

    def __init__(self, stand_ins: Mapping[str, str]) -> None:
        pairs: dict[bytes, bytes] = {}
        for secret, stand_in in stand_ins.items():
            for form, instead in _forms(secret, stand_in):
                pairs.setdefault(form.encode(), instead.encode())
        # the longest first: a secret may be part of another
        self._pairs = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        self._tokens: dict[bytes, bytes] = {}
        self._count = 0

    def clean(self, data: bytes) -> bytes:
        """The same without secrets and tokens."""
        if any(hint in data for hint in _HINTS):
            self._learn(_TOKEN.findall(data))
        for secret, stand_in in self._pairs:
            if secret in data:
                data = data.replace(secret, stand_in)
        for token, made_up in self._tokens.items():
            if token in data:
                data = data.replace(token, made_up)
        return data

    def clean_key(self, key: str) -> bytes:
        """A seam's key without secrets; the word in a stream's path is a token, whether it was seen before or not."""
        data = key.encode()
        if data.startswith(b"connect "):
            self._learn(_IN_PATH.findall(data))
        return self.clean(data)

    def _learn(self, tokens: Iterable[bytes]) -> None:
        for token in tokens:
            if token in self._tokens or _MADE_UP.fullmatch(token):
                continue
            self._count += 1
            self._tokens[token] = b"redacted%08d" % self._count
            if len(self._tokens) > MOST_TOKENS:
                del self._tokens[next(iter(self._tokens))]


def _forms(secret: str, stand_in: str) -> Iterable[tuple[str, str]]:
    if not secret:
        return
    yield secret, stand_in
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{40,}", secret):
        bare, instead = secret.removeprefix("0x"), stand_in.removeprefix("0x")
        for form in (bare, bare.lower(), bare.upper()):
            yield f"0x{form}", f"0x{instead}"
            yield form, instead
    escaped = orjson.dumps(secret)[1:-1].decode()
    for form in (quote(secret, safe=""), escaped, escaped.replace("/", "\\/")):
        yield form, stand_in
