"""The listen key of one account: the secret word in its user stream's url.

The key is the account's, shared by every program that listens: creating it again prolongs it, and it is never deleted (venue notes
3.1). A key that may have lapsed is replaced by opening the stream anew.
"""

from __future__ import annotations

from connectors.aster.errors import ClockRefused, ListenKeyUnknown, VenueError, VenueUnavailable
from connectors.aster.rest import AccountRest
from connectors.clock import Clock
from connectors.errors import ConnectorError

LIFE_S = 3300.0
"""A key not prolonged for so long is treated as lapsed: the venue grants 60 min."""

NS = 1_000_000_000


class StreamRefused(ConnectorError):
    """The venue does not give this key a user stream; asked again later."""

    kind = "stream_refused"

    def __init__(self, alias: str, why: str) -> None:
        super().__init__(f"the venue refuses account {alias} a user stream, so it is polled: {why}")


class KeyUnusable(ConnectorError):
    """The account's key was refused, so nothing is asked with it."""

    kind = "key_unusable"

    def __init__(self, alias: str) -> None:
        super().__init__(f"account {alias} has no user stream while its key may not be used: see what was said of the key")


class ListenKey:
    """Makes the stream's url and keeps its key alive. `refused` is why the venue gives none, "" if it does; `lapsed` why to reconnect."""

    def __init__(self, rest: AccountRest, ws_url: str, clock: Clock, *, retry_refused_s: float) -> None:
        self.refused = ""
        self.lapsed = ""
        self._rest = rest
        self._ws_url = ws_url
        self._clock = clock
        self._retry_refused_s = retry_refused_s
        self._key: str | None = None
        self._kept_ns = 0
        self._ask_again_ns = 0

    async def url(self) -> str:
        """The url to connect to, with a key that lives. Raises StreamRefused, without asking anew each time, or why it failed."""
        now_ns = self._clock.monotonic_ns()
        if self.refused and now_ns < self._ask_again_ns:
            raise StreamRefused(self._rest.alias, self.refused)
        try:
            key = await self._rest.create_listen_key()
        except (VenueUnavailable, ClockRefused):
            raise
        except VenueError as refusal:
            self.refused = str(refusal)
            self._ask_again_ns = now_ns + round(self._retry_refused_s * NS)
            raise StreamRefused(self._rest.alias, self.refused) from None
        self._key, self._kept_ns = key, now_ns
        self.refused = self.lapsed = ""
        return f"{self._ws_url}/ws/{key}"

    async def keep(self) -> None:
        """Prolong the key, if there is one. Raises what stood in the way, unless the key has lapsed: then `lapsed` says so."""
        if self._key is None:
            return
        now_ns = self._clock.monotonic_ns()
        try:
            await self._rest.keep_listen_key(self._key)
        except ListenKeyUnknown:
            self.expire("the listen key has lapsed")
        else:
            self._kept_ns = now_ns

    def check(self) -> None:
        """Take a key that was not prolonged in time for lapsed, though nobody said so."""
        if self._key is not None and self._clock.monotonic_ns() - self._kept_ns > LIFE_S * NS:
            self.expire(f"the listen key could not be prolonged for {LIFE_S:.0f} s")

    def expire(self, why: str) -> None:
        """The key is worth nothing any more."""
        self._key, self.lapsed = None, why
