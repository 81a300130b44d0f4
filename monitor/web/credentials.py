"""What shows that somebody knows the token: the token itself, or the cookie that a login gets for it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable

COOKIE = "marginwatch"
"""Name of the cookie."""

LIFE_S = 12 * 3600
"""How long a cookie is good for."""


class Credentials:
    """The token that is asked for, None for none, which may be replaced. `clock` tells monotonic seconds.

    A cookie is its end and a digest of end and token, keyed with a random key of this object: it is not the token, nobody else can
    make one, and it is good no more once its time has come, another token is asked for, or the process has ended.
    """

    def __init__(self, token: str | None, clock: Callable[[], float]) -> None:
        self.token = token
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for any text of this length."""
        # headers may hold any byte, which aiohttp keeps as surrogates
        return self.token is not None and hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())

    def cookie(self) -> str:
        """A cookie that is good from now on, for `LIFE_S` seconds."""
        return self._signed(str(round(self._clock() + LIFE_S)))

    def is_cookie(self, given: str) -> bool:
        """Whether this is a cookie of ours that is still good; takes as long for any text of this length."""
        end = given.partition(".")[0]
        is_ours = hmac.compare_digest(given.encode(errors="surrogateescape"), self._signed(end).encode(errors="surrogateescape"))
        return self.token is not None and is_ours and self._clock() < int(end)

    def _signed(self, end: str) -> str:
        told = f"{end}\n{self.token}".encode(errors="surrogateescape")
        return f"{end}.{hmac.new(self._key, told, 'sha256').hexdigest()}"
