"""What shows that somebody knows the token: the token itself, or the cookie that a login gets for it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

COOKIE = "marginwatch"
"""What the name of the cookie begins with."""

LIFE_S = 12 * 3600
"""How long a cookie is good for."""

MOST_ENDED = 1000
"""Cookies of which it is remembered that they were ended; beyond it every login ends."""


class Credentials:
    """The token that is asked for, None for none, which may be replaced. `clock` tells monotonic seconds.

    A cookie is its end, a random text and a digest of both and the token, keyed with a random key of this object: it is not the token,
    nobody else can make one, and it is good no more once its time has come, it was ended, another token is asked for, or the process
    has ended.
    """

    def __init__(self, token: str | None, clock: Callable[[], float]) -> None:
        self.token = token
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._ended: set[str] = set()

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any text of this length."""
        # headers may hold any byte, which aiohttp keeps as surrogates
        return self.token is not None and hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())

    def cookie(self) -> str:
        """A cookie that is good from now on, for `LIFE_S` seconds."""
        return self._signed(f"{round(self._clock() + LIFE_S)}.{secrets.token_hex(8)}")

    def left_s(self, given: str) -> float:
        """For how many seconds a cookie is still good; 0: it is none of ours, or no more. Takes as long for any text of this length."""
        told = given.rpartition(".")[0]
        is_ours = hmac.compare_digest(given.encode(errors="surrogateescape"), self._signed(told).encode(errors="surrogateescape"))
        if self.token is None or not is_ours or given in self._ended:
            return 0.0
        return max(0.0, int(told.partition(".")[0]) - self._clock())

    def end(self, given: str) -> None:
        """Let a cookie be good no more, wherever it was copied to; what is none stays none."""
        if self.left_s(given):
            self._ended.add(given)
        if len(self._ended) > MOST_ENDED:
            self._key = secrets.token_bytes(32)
            self._ended.clear()

    def _signed(self, told: str) -> str:
        text = f"{told}\n{self.token}".encode(errors="surrogateescape")
        return f"{told}.{hmac.new(self._key, text, 'sha256').hexdigest()}"
