"""What Aster refuses, as errors that name the account and the remedy.

    ConnectorError
    ├── CredentialError            a key in the settings is none
    ├── ForbiddenRequest           a request outside the allow-list: never signed, never sent
    ├── VenueError                 the venue answered {"code": negative} (`code`), with whatever HTTP status
    │   ├── VenueUnavailable       -1000, -1001, -1006, -1007, -1008, -1016: it fails, it may answer the next time
    │   ├── ClockRefused           -1021, -4225: timestamp or nonce outside the venue's window, or used before
    │   ├── SignatureRefused       -1022
    │   ├── KeyRefused             -2014, -2015
    │   ├── ListenKeyUnknown       -1125
    │   └── NeverDeposited         -5050
    ├── ProtocolError
    │   ├── TornRead               two answers of one read do not fit together: something traded in between
    │   └── WebPage                HTML where JSON was due: maintenance, or something in between answers
    └── RateLimited                429, -1003
        └── AddressBanned          418, -1003 naming an end

The venue's own text is never passed on: it may name an address. Codes: venue notes 4.9.
"""

from __future__ import annotations

from connectors.errors import ConnectorError, ProtocolError, RateLimited


class CredentialError(ConnectorError):
    """A key, a secret or an address in the settings is malformed; the text says how, never what."""

    kind = "credential"


class ForbiddenRequest(ConnectorError):
    """A request that is not on the allow-list was about to be made: a defect of ours, stopped before anything was signed."""

    kind = "forbidden_request"

    def __init__(self, method: str, path: str) -> None:
        super().__init__(f"{method} {path} is not on the list of read-only requests, so it was not signed or sent: report this as a defect")


class VenueError(ConnectorError):
    """The venue refused a request with a code of its own; `what` names the request and the account by its alias."""

    remedy = "look the code up in the venue's API documentation, or update marginwatch"

    def __init__(self, code: int, what: str, remedy: str | None = None) -> None:
        super().__init__(f"aster refused {what} (code {code}): {remedy or self.remedy}")
        self.kind = f"code_{-code}"
        self.code = code


class VenueUnavailable(VenueError):
    """The venue could not answer. Retrying may help."""

    remedy = "the venue fails inside; it is tried again by itself (if it stays so for one account only, check that account's key)"


class ClockRefused(VenueError):
    """The timestamp or nonce was too old, too new or used before, even after our clock was measured anew."""

    remedy = (
        "its nonce was refused though it is the venue's own time: check that no other program signs for this account with a clock that "
        "runs ahead, and that requests do not take seconds to get there"
    )


class SignatureRefused(VenueError):
    """The signature did not fit: a matter of settings, retrying cannot help."""

    remedy = "its signature was refused: check that the private key is this account's agent's, and that chain_id is the network's"


class KeyRefused(VenueError):
    """The key is unknown, expired, of the wrong kind, not allowed from this address, or not allowed to do this."""

    remedy = (
        "its key was refused: check that the agent is approved by this account and not expired, that its IP whitelist holds this "
        "machine's address, and that it may read"
    )


class ListenKeyUnknown(VenueError):
    """The listen key has lapsed: create a new one and reconnect."""

    remedy = "the listen key has lapsed; a new one is created by itself"


class NeverDeposited(VenueError):
    """The account's wallet never deposited: the venue knows no such futures account."""

    remedy = "the venue refuses an account until its first deposit: check the address, or deposit"


class TornRead(ProtocolError):
    """The answers of one read disagree on a position: it changed in between. Reading again may help."""

    def __init__(self, instrument: str) -> None:
        super().__init__("torn_read", f"the position in {instrument} differs between two answers")
        self.args = (f"the position in {instrument} changed between the two answers of one read: it is read again by itself",)
        self.instrument = instrument


class WebPage(ProtocolError):
    """The answer is HTML. Retrying may help."""

    def __init__(self, host: str, what: str) -> None:
        super().__init__("html", what)
        self.args = (
            f"{host} answered {what} with a web page instead of data: it is down for maintenance, or something in between (a proxy, a "
            "firewall) answers for it; it is tried again by itself",
        )


class AddressBanned(RateLimited):
    """The venue shut this address out for `retry_after_s`; asking on lengthens it."""

    kind = "banned"

    def __init__(self, host: str, retry_after_s: float) -> None:
        super().__init__(host, retry_after_s)
        self.args = (
            f"{host} banned this address for {retry_after_s:.0f} s, nothing is asked until then: find out what else uses the address, "
            "and lower ip_budget_share",
        )


_KINDS: dict[int, type[VenueError]] = {
    -1000: VenueUnavailable,
    -1001: VenueUnavailable,
    -1006: VenueUnavailable,
    -1007: VenueUnavailable,
    -1008: VenueUnavailable,
    -1016: VenueUnavailable,
    -1021: ClockRefused,
    -4225: ClockRefused,
    -1022: SignatureRefused,
    -2014: KeyRefused,
    -2015: KeyRefused,
    -1125: ListenKeyUnknown,
    -5050: NeverDeposited,
}
_HMAC_REMEDIES: dict[type[VenueError], str] = {
    ClockRefused: "its timestamp was refused though it is the venue's own time: check that requests do not take seconds to get there",
    SignatureRefused: "its signature was refused: check that key and secret belong together",
    KeyRefused: (
        "its key was refused: HMAC keys made since March 2026 do not work, use an agent (API wallet) instead; else check that the key "
        "still exists, that its IP whitelist holds this machine's address, and that it may read"
    ),
}


def refusal(code: int, what: str, *, hmac: bool = False) -> VenueError:
    """The error of a code; `hmac`: the request was made with a v1 key, whose remedies differ."""
    kind = _KINDS.get(code, VenueError)
    return kind(code, what, _HMAC_REMEDIES.get(kind) if hmac else None)
