"""Logging a connection in: client credentials, renewal before the token lapses, and whether the key may be used at all. No I/O.

A monitor holds no key that could trade. The venue gives what is asked for and the key has, so the first login asks for nothing in
particular: its answer tells all that the key may do. One that may write is refused, unless the account says `allow_unsafe_key`; then
it logs in a second time with the right to read alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from connectors.backoff import Backoff, BackoffState
from connectors.deribit.errors import InvalidParams, RpcError, TooManyRequests, Unavailable
from connectors.deribit.private_answers import Token, parse_token
from connectors.deribit.rpc import NS, Reply, Rpc
from connectors.deribit.settings import VENUE, DeribitAccountRef
from connectors.events import AccountFailure, Event, FailureReason, KeyState, ParseError
from connectors.fields import Obj, WrongShape

AUTH = "public/auth"
WHOLE_SCOPE = "connection"
READ_SCOPE = "connection account:read trade:read wallet:none block_trade:none block_rfq:none custody:none"
NEEDED = ("account", "trade")
RENEWED_AT = 0.8
"""Share of a token's life after which it is renewed (venue notes 7, no. 14)."""

REFUSED = Backoff(initial=60.0, maximum=1800.0, stable_after=0.0)
LEAST_REFUSED_S = 30.0
FAILED = Backoff(initial=2.0, maximum=60.0, stable_after=60.0)


class Login:
    """The login of one connection. `ready` is whether private requests may be made; `entered(now_ns)` gives events once they may."""

    def __init__(self, ref: DeribitAccountRef, rpc: Rpc, random: Random, entered: Callable[[int], list[Event]]) -> None:
        self.ready = False
        self.refused = ""
        """Why the venue or we refuse the key, "" if nobody does."""
        self._ref = ref
        self._rpc = rpc
        self._entered = entered
        self._token: Token | None = None
        self._asked = False
        self._due_ns: int | None = None
        self._refusals, self._failures = BackoffState(REFUSED, random), BackoffState(FAILED, random)

    def opened(self, now_ns: int) -> None:
        """The connection is up and nobody is logged in on it. A refused key waits out its pause on new connections too."""
        self.ready, self._token, self._asked = False, None, False
        if self._due_ns is None or not self.refused:
            self._due_ns = now_ns
        self.tick(now_ns)

    def closed(self) -> None:
        """The connection ended, and its token with it."""
        self.ready, self._token, self._asked = False, None, False

    def tick(self, now_ns: int) -> None:
        """Log in, or renew the token, if it is time."""
        if self._due_ns is None or now_ns < self._due_ns or self._asked:
            return
        if self._token is not None and self.ready:
            self._ask({"grant_type": "refresh_token", "refresh_token": self._token.refresh_token}, self._renewed, now_ns)
        else:
            self._log_in(WHOLE_SCOPE, now_ns)

    def lapsed(self, now_ns: int) -> None:
        """The venue says that this connection is not logged in: log in anew, soon."""
        if not self.ready:
            return
        self.ready, self._token = False, None
        if not self._asked:
            self._due_ns = now_ns + round(self._failures.next_delay() * NS)

    def works(self) -> None:
        """A private request was answered: what failed before is over."""
        self._failures.attempt = 0

    def _log_in(self, scope: str, now_ns: int) -> None:
        secret = {"client_id": self._ref.client_id, "client_secret": self._ref.client_secret}
        answered = self._first if scope == WHOLE_SCOPE else self._second
        self._ask({"grant_type": "client_credentials", **secret, "scope": scope}, answered, now_ns)

    def _ask(self, params: Obj, answered: Callable[[Reply, int], list[Event]], now_ns: int) -> None:
        self._asked = True

        def reply(told: Reply, at_ns: int) -> list[Event]:
            self._asked = False
            try:
                return answered(told, at_ns)
            except WrongShape as wrong:
                self._again(at_ns)
                return [ParseError(VENUE, AUTH, wrong.kind, at_ns, wrong.detail)]

        self._rpc.call(AUTH, params, reply, now_ns)

    def _first(self, reply: Reply, now_ns: int) -> list[Event]:
        if reply.error is not None:
            return self._failed(reply, now_ns)
        token = parse_token(reply.result)
        alias, writes, unread = self._ref.alias, _writes(token.rights), _unread(token.rights)
        if token.rights and unread:
            return self._refuse(
                FailureReason.KEY_REFUSED, f"account {alias} cannot be watched: its key may not read {unread}: {_GIVE}", now_ns
            )
        if writes and not self._ref.allow_unsafe_key:
            why = f"account {alias} is not watched: its key may do more than read ({', '.join(writes)}): {_GIVE}, {_ALLOW}"
            return self._refuse(FailureReason.UNSAFE_KEY, why, now_ns)
        if writes:
            self._log_in(READ_SCOPE, now_ns)
            return [self._key(token, now_ns, f"the key may do more than read ({', '.join(writes)}): {_GIVE}")]
        return [self._key(token, now_ns), *self._enter(token, now_ns)]

    def _second(self, reply: Reply, now_ns: int) -> list[Event]:
        return self._failed(reply, now_ns) if reply.error is not None else self._enter(parse_token(reply.result), now_ns)

    def _renewed(self, reply: Reply, now_ns: int) -> list[Event]:
        if reply.error is None:
            was_ready = self.ready
            self._keep(parse_token(reply.result), now_ns)
            return [] if was_ready else self._entered(now_ns)
        self._token, self.ready = None, False
        self._again(now_ns)
        return []

    def _enter(self, token: Token, now_ns: int) -> list[Event]:
        self.refused = ""
        self._refusals.attempt = 0
        self._keep(token, now_ns)
        return self._entered(now_ns)

    def _keep(self, token: Token, now_ns: int) -> None:
        self._token, self.ready = token, True
        self._due_ns = now_ns + round(RENEWED_AT * token.expires_s * NS)

    def _failed(self, reply: Reply, now_ns: int) -> list[Event]:
        error = reply.error
        if isinstance(error, RpcError) and not isinstance(error, InvalidParams | TooManyRequests | Unavailable):
            return self._refuse(FailureReason.KEY_REFUSED, f"account {self._ref.alias} cannot be watched: {error}", now_ns)
        self._again(now_ns)
        return [ParseError(VENUE, AUTH, error.kind, now_ns, str(error))] if isinstance(error, InvalidParams) else []

    def _refuse(self, reason: FailureReason, why: str, now_ns: int) -> list[Event]:
        self._token, self.ready, self.refused = None, False, why
        self._due_ns = now_ns + round(max(LEAST_REFUSED_S, self._refusals.next_delay()) * NS)
        return [AccountFailure(VENUE, self._ref.alias, now_ns, reason, why)]

    def _again(self, now_ns: int) -> None:
        self._due_ns = now_ns + round(self._failures.next_delay() * NS)

    def _key(self, token: Token, now_ns: int, warning: str = "") -> KeyState:
        return KeyState(VENUE, self._ref.alias, now_ns, None, tuple(sorted(token.rights)), warning)


_GIVE = "use a key with the scopes account:read and trade:read and no other"
_ALLOW = "or set allow_unsafe_key for this account"


def _writes(rights: tuple[str, ...]) -> list[str]:
    # what is neither known to be read nor to be nothing may be anything, and so may a key of which nothing is told
    if not rights:
        return ["rights not told"]
    return sorted(right for right in rights if right.partition(":")[2] not in ("read", "none"))


def _unread(rights: tuple[str, ...]) -> str:
    levels = dict(right.split(":", 1) for right in rights)
    return " and ".join(f"{kind}:read" for kind in NEEDED if levels.get(kind, "none") == "none")
