"""What Deribit refuses, as errors that name the request and the remedy.

    ConnectorError
    └── RpcError                   the venue answered a request with an error (`code`)
        ├── Unauthorized           13009: no token, or one that has lapsed
        ├── InvalidCredentials     13004: client id and secret are not a key of this network
        ├── Forbidden              13021, 13403: the key's scope or the account does not allow it
        ├── TooManyRequests        10028, 10066: the venue ends the session
        ├── InvalidParams          -32602 (`param`, `reason`)
        └── Unavailable            the venue is busy, settling or under maintenance: it may answer the next time

The venue's own words reach a message only for requests that carry no secret. Codes: venue notes 2.2 and the venue's error list.
"""

from __future__ import annotations

import re

from connectors.errors import ConnectorError

_SECRETIVE = "public/auth"
_PLAIN = re.compile(r"[A-Za-z0-9_ .,:<>=-]{1,80}")


class RpcError(ConnectorError):
    """The venue answered `method` with an error; `param` and `reason` are its own words about which parameter is wrong, "" unsaid."""

    remedy = "look the code up in the venue's API documentation, or update marginwatch"

    def __init__(self, code: int, method: str, param: str = "", reason: str = "") -> None:
        why = f", {param}: {reason}" if param and reason else f", {param or reason}" if param or reason else ""
        super().__init__(f"deribit refused {method} (code {code}{why}): {self.remedy}")
        self.kind = f"code_{abs(code)}"
        self.code = code
        self.method = method
        self.param = param
        self.reason = reason


class Unauthorized(RpcError):
    """The token of this connection is missing or has lapsed: authenticate again."""

    remedy = "the token has lapsed, a new one is fetched by itself; if that goes on, check that the key still exists"


class InvalidCredentials(RpcError):
    """Client id and secret are refused: a matter of settings, retrying cannot help."""

    remedy = "check client_id and client_secret, that the key is enabled, of this network, and that its IP whitelist holds this machine"


class Forbidden(RpcError):
    """The key may not do this."""

    remedy = "give the key the scopes account:read and trade:read"


class TooManyRequests(RpcError):
    """Too many requests: the venue ends the session."""

    remedy = "requests slow down by themselves; find out what else uses this address or key"


class InvalidParams(RpcError):
    """A parameter is wrong: an instrument that is gone, or a defect of ours."""

    remedy = "an instrument or currency is gone, or marginwatch needs an update"


class Unavailable(RpcError):
    """The venue could not answer now. Retrying may help."""

    remedy = "the venue is busy or under maintenance; it is tried again by itself"


_KINDS: dict[int, type[RpcError]] = {
    13009: Unauthorized,
    13004: InvalidCredentials,
    13021: Forbidden,
    13403: Forbidden,
    10028: TooManyRequests,
    10066: TooManyRequests,
    -32602: InvalidParams,
    -32603: Unavailable,
    10040: Unavailable,
    10041: Unavailable,
    10047: Unavailable,
    11051: Unavailable,
    11094: Unavailable,
    13028: Unavailable,
    13503: Unavailable,
    13888: Unavailable,
}


def refusal(error: object, method: str) -> RpcError:
    """The error of a reply's `error` object; one that has no code at all counts as code 0."""
    body = error if isinstance(error, dict) else {}
    code = body.get("code")
    data = body.get("data")
    told = data if isinstance(data, dict) and method != _SECRETIVE else {}
    number = code if isinstance(code, int) and not isinstance(code, bool) else 0
    return _KINDS.get(number, RpcError)(number, method, _plain(told.get("param")), _plain(told.get("reason")))


def _plain(value: object) -> str:
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ""
