"""The venue's clock as far as we know it, nonces, and the two ways to sign a request (venue notes 1.3 and 1.4).

The string that `sign` returns is sent byte for byte: signed bytes are sent bytes. No secret is in a repr or an exception text.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sys
from functools import cache
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from connectors.aster.errors import CredentialError
from connectors.aster.settings import AgentKey, AsterAccountRef, AsterConfig, HmacKey
from connectors.clock import Clock

if TYPE_CHECKING:
    from eth_account.messages import SignableMessage

LONGEST_ROUND_TRIP_MS = 2000.0
RECEIVE_WINDOW_MS = 5000
NONCE_WINDOW_US = 10_000_000
ZERO_ADDRESS = "0x" + "0" * 40

_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Message": [{"name": "msg", "type": "string"}],
}
_PRIVATE_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


class VenueClock:
    """The venue's time, from its answers to `time`: anchored to the monotonic clock, so that a step of ours does not move it.

    Until the first measurement it is this machine's time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor: tuple[int, int] | None = None
        self._round_trip_ms = inf

    def measured(self, before_ns: int, server_ms: int, after_ns: int) -> bool:
        """Take the venue's time as of the middle of a request that ran from `before_ns` to `after_ns` (monotonic).

        A round trip of more than 2 s says too little and is ignored, False then, unless nothing better is known: it is the first,
        or what we believed is not even within it.
        """
        middle_ns, round_trip_ms = (before_ns + after_ns) // 2, (after_ns - before_ns) / 1e6
        fits = self._anchor is not None and abs(server_ms - self._at_us(middle_ns) / 1000) <= round_trip_ms / 2
        if fits and round_trip_ms > LONGEST_ROUND_TRIP_MS:
            return False
        self._anchor = (middle_ns, server_ms * 1000)
        self._round_trip_ms = round_trip_ms
        return True

    @property
    def offset_ms(self) -> int:
        """How far the venue's clock is ahead of this machine's, 0 before the first measurement."""
        return self.now_ms() - self._clock.time_ms()

    @property
    def round_trip_ms(self) -> float:
        """Round trip of the last measurement taken: the clock is exact to half of it. Infinite before the first."""
        return self._round_trip_ms

    def now_ms(self) -> int:
        """The venue's time, ms since 1970."""
        return self.now_us() // 1000

    def now_us(self) -> int:
        """The venue's time, microseconds since 1970."""
        return self._at_us(self._clock.monotonic_ns())

    def age_s(self) -> float:
        """Seconds since the last measurement, infinite before the first."""
        return inf if self._anchor is None else (self._clock.monotonic_ns() - self._anchor[0]) / 1e9

    def _at_us(self, monotonic_ns: int) -> int:
        if self._anchor is None:
            return self._clock.time_ms() * 1000
        at_ns, server_us = self._anchor
        return server_us + (monotonic_ns - at_ns) // 1000


class Nonces:
    """One strictly increasing counter of microseconds for the whole process: the venue takes a nonce once, and near its own time.

    It goes back only where it is ahead of the venue's time by more than the venue takes: the clock was wrong for a while, and what
    was made meanwhile was refused.
    """

    def __init__(self, venue_clock: VenueClock) -> None:
        self._venue_clock = venue_clock
        self._last = 0
        self._lock = Lock()

    def next(self) -> int:
        """The next nonce: the venue's time in microseconds, or one more than the last where that is not larger."""
        with self._lock:
            now_us = self._venue_clock.now_us()
            self._last = max(self._last + 1, now_us) if self._last < now_us + NONCE_WINDOW_US else now_us
            return self._last


class Signer(Protocol):
    """Signs the requests of one account."""

    @property
    def headers(self) -> dict[str, str]:
        """Headers every request of the account carries."""
        ...

    @property
    def hmac(self) -> bool:
        """Whether this is a v1 key: other paths and remedies, and listen keys without a signature."""
        ...

    @property
    def needs_signature_for_listen_key(self) -> bool:
        """Whether listen key requests are signed too."""
        ...

    def sign(self, pairs: list[tuple[str, str]]) -> str:
        """The exact query string, or form body, to send for those parameters."""
        ...


class AgentSigner:
    """v3: EIP-712 by an agent's (API wallet's) private key for the account `user`.

    A signature takes the event loop 0.1 ms, in pure Python 2 ms: eth-keys takes coincurve where it is installed.

    Building one imports eth-account, about a second the first time. Raises CredentialError for a key or an address that is none,
    and for the account's own key.
    """

    hmac = False
    needs_signature_for_listen_key = True

    def __init__(self, key: AgentKey, user: str, nonces: Nonces, chain_id: int) -> None:
        if not _PRIVATE_KEY.fullmatch(key.private_key):
            raise CredentialError("the agent's private key is malformed: it is 64 hexadecimal digits, with or without 0x in front")
        if not _ADDRESS.fullmatch(user):
            raise CredentialError("the user address is malformed: it is 0x and 40 hexadecimal digits, of the account and not of its agent")
        self._account: Any = None
        self._address = key.address or ""
        if key.address is None:
            self._account = _eth_account(key.private_key)
            self._address = str(self._account.address)
        if self._address.lower() == user.lower():
            raise CredentialError(
                "the private key is that of the account's own wallet, which can do everything: approve a read-only agent (API wallet), "
                "give its key instead, and take this one out of the settings"
            )
        self._user = user
        self._nonces = nonces
        self._chain_id = chain_id

    @property
    def headers(self) -> dict[str, str]:
        """None: the signature says who asks."""
        return {}

    @property
    def signer(self) -> str:
        """The agent's address."""
        return self._address

    def sign(self, pairs: list[tuple[str, str]]) -> str:
        """See `Signer`: the parameters with nonce, user and signer, percent-encoded, and the signature of exactly that."""
        message = urlencode([*pairs, ("nonce", str(self._nonces.next())), ("user", self._user), ("signer", self.signer)])
        return f"{message}&signature={self.signature(message)}"

    def signature(self, message: str) -> str:
        """`0x` and hex of r, s and v (27 or 28) for one message; `0x` alone where nothing is signed."""
        if self._account is None:
            return "0x"
        signed = self._account.sign_message(typed_message(message, self._chain_id))
        return "0x" + bytes(signed.signature).hex()


class HmacSigner:
    """v1: API key and HMAC-SHA256, with the venue's time. Raises CredentialError for a key or secret that cannot be one."""

    hmac = True
    needs_signature_for_listen_key = False

    def __init__(self, key: HmacKey, venue_clock: VenueClock, recv_window_ms: int = RECEIVE_WINDOW_MS) -> None:
        if not (_TOKEN.fullmatch(key.key) and _TOKEN.fullmatch(key.secret)):
            raise CredentialError("the HMAC key or secret is empty or holds spaces or other characters that no key has: copy it again")
        self._key = key
        self._venue_clock = venue_clock
        self._recv_window_ms = recv_window_ms

    @property
    def headers(self) -> dict[str, str]:
        """The API key."""
        return {"X-MBX-APIKEY": self._key.key}

    def sign(self, pairs: list[tuple[str, str]]) -> str:
        """See `Signer`: the parameters with timestamp and recvWindow, and the signature of exactly that, last."""
        payload = urlencode([*pairs, ("timestamp", str(self._venue_clock.now_ms())), ("recvWindow", str(self._recv_window_ms))])
        return f"{payload}&signature={self.signature(payload)}"

    def signature(self, payload: str) -> str:
        """Lower-case hex HMAC-SHA256 of the payload."""
        return hmac.new(self._key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def signer_of(account: AsterAccountRef, config: AsterConfig, nonces: Nonces, venue_clock: VenueClock) -> AgentSigner | HmacSigner:
    """The signer of a configured account. Raises CredentialError naming the account by its alias."""
    try:
        if isinstance(account.credential, HmacKey):
            return HmacSigner(account.credential, venue_clock)
        if account.user is None:
            raise CredentialError("an agent key needs the address of the account it reads: set the account's address")
        return AgentSigner(account.credential, account.user, nonces, config.chain_id)
    except CredentialError as problem:
        raise CredentialError(f"account {account.alias}: {problem}") from None


def typed_message(message: str, chain_id: int) -> SignableMessage:
    """The EIP-712 typed data that stands for one message: `header` is the domain separator, `body` the message hash."""
    _, encode_typed_data = _library()
    domain = {"name": "AsterSignTransaction", "version": "1", "chainId": chain_id, "verifyingContract": ZERO_ADDRESS}
    document = {"types": _TYPES, "primaryType": "Message", "domain": domain, "message": {"msg": message}}
    signable: SignableMessage = encode_typed_data(full_message=document)
    return signable


def _eth_account(private_key: str) -> Any:
    account, _ = _library()
    try:
        return account.from_key(private_key)
    except Exception:
        # Sixty-four digits that are no key of the curve; the library's text may quote them.
        raise CredentialError("the agent's private key is no key of the curve (zero, or too large): copy it again") from None


@cache
def _library() -> tuple[Any, Any]:
    # What eth-account imports raises the recursion limit of the whole process to 100,000, where hostile JSON overflows the C stack.
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account
        from eth_account.messages import encode_typed_data
    finally:
        sys.setrecursionlimit(limit)
    return Account, encode_typed_data
