"""Takes secrets out of what is recorded, before it reaches the disk.

A configured secret is replaced by the stand-in that a replay uses for it, a token that a venue gave out by one made up here: wherever
either occurs, and always by the same, so that what is left still fits together. Account addresses stay: frames are routed by them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

import orjson

MOST_TOKENS = 256
"""Tokens remembered, the latest: what is older has expired."""

SHORTEST = 6
"""Characters of a secret, or token, that is searched for wherever it may occur: a shorter one occurs by chance."""

_NAMES = (
    rb"(?i:access_token|refresh_token|id_token|listenKey|listen_key|signature|"
    rb"apiKey|api_key|apiSecret|api_secret|client_secret|secretKey|secret)"
)
_IN_JSON = re.compile(rb'("' + _NAMES + rb'"\s*:\s*")((?:[^"\\]|\\.)+)(?=")', re.DOTALL)
_IN_QUOTED_JSON = re.compile(rb'(\\"' + _NAMES + rb'\\"\s*:\s*\\")([^"\\]+)')
_IN_FORM = re.compile(rb"(\b" + _NAMES + rb"""=["']?)([^\s&"'\\<>,;)}\]]+)""")
_OF_ONE_REQUEST = re.compile(rb"(?i)\bsignature\W*$")
_HINTS = (b"_token", b"isten", b"ignature", b"piKey", b"pi_key", b"piSecret", b"ecret", b"_TOKEN", b"KEY", b"SIGNATURE")
_IN_PATH = re.compile(rb"/ws/([A-Za-z0-9_-]{24,})")
_MADE_UP = re.compile(rb"redacted[0-9]{8}")
_LEAST_BASE64 = 8
_MARKS = (b"\\", b"%", b"")


class Redactor:
    """`stand_ins` maps configured secrets to what is written in their place; those shorter than `SHORTEST` are not searched for."""

    def __init__(self, stand_ins: Mapping[str, str]) -> None:
        self._tokens: dict[bytes, tuple[bytes, list[bytes]]] = {}
        self._count = 0
        self.configure(stand_ins)

    def configure(self, stand_ins: Mapping[str, str]) -> None:
        """Other configured secrets from now on, also while another thread cleans."""
        pairs: dict[bytes, bytes] = {}
        for secret, stand_in in stand_ins.items():
            for form, instead in _forms(secret, stand_in) if len(secret) >= SHORTEST else ():
                pairs.setdefault(form.encode(), instead.encode())
        # escaped ones are looked for only where there is an escape; the longest first: a secret may be part of another
        longest = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        self._stand_ins = frozenset(pairs.values())
        self._pairs = {mark: [pair for pair in longest if _mark(pair[0]) == mark] for mark in _MARKS}

    def clean(self, data: bytes) -> bytes:
        """The same without secrets and tokens."""
        for mark, pairs in self._pairs.items():
            for secret, stand_in in pairs if mark in data else ():
                if secret in data:
                    data = data.replace(secret, stand_in)
        if any(hint in data for hint in _HINTS):
            for pattern in (_IN_JSON, _IN_QUOTED_JSON, _IN_FORM):
                data = pattern.sub(self._instead, data)
        for made_up, forms in self._tokens.values():
            for form in forms:
                if form in data:
                    data = data.replace(form, made_up)
        return data

    def clean_key(self, key: str) -> bytes:
        """A seam's key without secrets; the word in a stream's path is a token, whether it was seen before or not."""
        data = key.encode()
        if data.startswith(b"connect "):
            for word in _IN_PATH.findall(data):
                self._learn(word)
        return self.clean(data)

    def _instead(self, found: re.Match[bytes]) -> bytes:
        before, value = found[1], found[2]
        if value in self._stand_ins or _MADE_UP.fullmatch(value):
            return found[0]
        if len(value) < SHORTEST or _OF_ONE_REQUEST.search(before):
            return before + b"redacted"
        return before + self._learn(value)

    def _learn(self, token: bytes) -> bytes:
        plain = _unescaped(token)
        if _MADE_UP.fullmatch(plain):
            return plain
        if plain not in self._tokens:
            self._count += 1
            text = plain.decode(errors="surrogateescape")
            others = {form.encode(errors="surrogateescape") for form in _escapes(text)} if text.isprintable() else set[bytes]()
            self._tokens[plain] = b"redacted%08d" % self._count, sorted({plain, token} | others, key=len, reverse=True)
            if len(self._tokens) > MOST_TOKENS:
                del self._tokens[next(iter(self._tokens))]
        return self._tokens[plain][0]


def _mark(form: bytes) -> bytes:
    return next(mark for mark in _MARKS if mark in form)


def _unescaped(value: bytes) -> bytes:
    if b"\\" not in value:
        return value
    try:
        text: str = orjson.loads(b'"' + value + b'"')
    except orjson.JSONDecodeError:
        return value
    return text.encode()


def _forms(secret: str, stand_in: str) -> Iterator[tuple[str, str]]:
    yield secret, stand_in
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{40,}", secret):
        bare, instead = secret.removeprefix("0x"), stand_in.removeprefix("0x")
        for form in (bare, bare.lower(), bare.upper()):
            yield f"0x{form}", f"0x{instead}"
            yield form, instead
    for form in (*_escapes(secret), *_in_base64(secret)):
        yield form, stand_in


def _escapes(text: str) -> Iterator[str]:
    # as JSON and URLs may write it
    escaped = orjson.dumps(text)[1:-1].decode()
    yield from (escaped, escaped.replace("/", "\\/"), json.dumps(text)[1:-1], json.dumps(text)[1:-1].replace("/", "\\/"))
    for digits in ("04x", "04X"):
        slash = f"\\u{ord('/'):{digits}}"
        yield from (escaped.replace("/", slash), "".join(char if char.isalnum() else f"\\u{ord(char):{digits}}" for char in text))
    for form in (quote(text, safe=""), quote(text), quote_plus(text), quote(text, safe="/:?&=+,;@")):
        yield form
        yield re.sub("%..", lambda found: found[0].lower(), form)


def _in_base64(secret: str) -> Iterator[str]:
    # within another text, as id:secret, it may begin at each of three places; what depends on its neighbours is left out
    data = secret.encode()
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            form = encode(bytes(before) + data)[-(-before * 8 // 6) : (before + len(data)) * 8 // 6].decode()
            if len(form) >= _LEAST_BASE64:
                yield form
