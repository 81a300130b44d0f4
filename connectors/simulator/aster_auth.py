"""Who sent a request to the simulated Aster: EIP-712 signatures and nonces of v3, HMAC keys of v1.

Source: Aster API documentation, "Authentication signature payload", "V3 nonce mechanism", "Timing security", "SIGNED endpoint
examples". What is verified are the bytes received.
"""

from __future__ import annotations

import hmac
import sys
from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from connectors.simulator.aster_accounts import Account, Agent

NONCE_WINDOW_MS = 10_000
NONCES_KEPT = 100
RECEIVE_WINDOW_MS, RECEIVE_WINDOW_MAX_MS = 5_000, 60_000
_TYPES = {
    "EIP712Domain": [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ],
    "Message": [{"name": "msg", "type": "string"}],
}


class Refused(Exception):
    """The venue refuses a request. `status` is the HTTP status, `code` and `message` the error object's."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


BAD_SIGNATURE = (-1022, "Signature for this request is not valid.")
NO_PERMISSION = (-2015, "Invalid API-key, IP, or permissions for action.", 401)
BAD_KEY = (-2014, "API-key format invalid.", 401)
BAD_NONCE = (-4225, "Nonce Expired")


@cache
def wallet_library() -> tuple[Any, Any]:
    """(eth_account.Account, encode_typed_data), imported when first used; the recursion limit that the import raises is put back."""
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account as Wallet
        from eth_account.messages import encode_typed_data
    finally:
        sys.setrecursionlimit(limit)
    return Wallet, encode_typed_data


def typed_data(message: str, chain_id: int) -> dict[str, object]:
    """The EIP-712 document of a request's parameter string."""
    domain = {"name": "AsterSignTransaction", "version": "1", "chainId": chain_id, "verifyingContract": "0x" + "0" * 40}
    return {"types": _TYPES, "primaryType": "Message", "domain": domain, "message": {"msg": message}}


def recover_signer(message: str, signature: str, chain_id: int) -> str | None:
    """Lower-case address that signed a message, None where the signature is none."""
    wallet, encode_typed_data = wallet_library()
    try:
        return str(wallet.recover_message(encode_typed_data(full_message=typed_data(message, chain_id)), signature=signature)).lower()
    except Exception:
        # The library raises many kinds for malformed signatures; to the venue they are one.
        return None


def sign(message: str, private_key: str, chain_id: int = 1666) -> str:
    """The signature ("0x...") of a parameter string, as a client makes it: for tests of this side alone."""
    wallet, encode_typed_data = wallet_library()
    signed = wallet.sign_message(encode_typed_data(full_message=typed_data(message, chain_id)), private_key)
    return f"0x{int.from_bytes(signed.signature):0130x}"


def hmac_signature(payload: str, secret: str) -> str:
    """Lower-case hex HMAC-SHA256 of a v1 parameter string."""
    return hmac.digest(secret.encode(), payload.encode(), "sha256").hex()


class Gate:
    """Finds the account a request speaks for, or raises Refused.

    `clock` is the server's clock in ms, `client_address` what IP whitelists are compared with.
    """

    def __init__(self, accounts: Iterable[Account], clock: Callable[[], int], *, chain_id: int, client_address: str = "127.0.0.1") -> None:
        self._accounts, self._clock, self._chain_id, self._client = list(accounts), clock, chain_id, client_address
        self._nonces: dict[str, list[int]] = {}

    def v3(self, query: str, body: str) -> tuple[Account, Agent, dict[str, str]]:
        """Account, agent and parameters of a v3 request, signed in the query or in the form body."""
        raw = body if "signature=" in body else query
        message, _, signature = raw.rpartition("&signature=")
        parameters = dict(parse_qsl(message, keep_blank_values=True))
        for name in ("nonce", "signer"):
            if name not in parameters:
                raise Refused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        signer = recover_signer(message, signature, self._chain_id)
        if signer is None or signer != parameters["signer"].lower():
            raise Refused(*BAD_SIGNATURE)
        account, agent = self._owner(signer, parameters.get("user", "").lower())
        self._take_nonce(account.plan.user.lower(), parameters["nonce"])
        return account, agent, parameters

    def v1(self, headers: Mapping[str, str], query: str, body: str) -> tuple[Account, dict[str, str]]:
        """Account and parameters of a signed v1 request."""
        account = self.v1_key(headers)
        raw = query + body
        payload, _, signature = raw.rpartition("&signature=")
        parameters = dict(parse_qsl(payload, keep_blank_values=True))
        if "timestamp" not in parameters:
            raise Refused(-1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.")
        stamp, window = _whole(parameters["timestamp"]), _whole(parameters.get("recvWindow", str(RECEIVE_WINDOW_MS)))
        now = self._clock()
        if not (window <= RECEIVE_WINDOW_MAX_MS and stamp < now + 1000 and now - stamp <= window):
            raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")
        if not hmac.compare_digest(signature.encode(), hmac_signature(payload, account.plan.api_secret).encode()):
            raise Refused(*BAD_SIGNATURE)
        return account, parameters

    def v1_key(self, headers: Mapping[str, str]) -> Account:
        """Account of a v1 API key; headers are lower-case."""
        key = headers.get("x-mbx-apikey", "")
        if len(key) != 64:
            raise Refused(*BAD_KEY)
        for account in self._accounts:
            if account.plan.api_key == key:
                return account
        raise Refused(*NO_PERMISSION)

    def _owner(self, signer: str, user: str) -> tuple[Account, Agent]:
        found = [
            (account, agent)
            for account in self._accounts
            for agent in account.plan.agents
            if agent.address.lower() == signer and user in ("", account.plan.user.lower())
        ]
        if len(found) != 1:
            raise Refused(*NO_PERMISSION)
        account, agent = found[0]
        addresses = [address.strip() for address in agent.ip_whitelist.split(",") if address.strip()]
        if not agent.can_read or agent.expired_ms <= self._clock() or (addresses and self._client not in addresses):
            raise Refused(*NO_PERMISSION)
        return account, agent

    def _take_nonce(self, user: str, text: str) -> None:
        nonce, seen = _whole(text), self._nonces.setdefault(user, [])
        too_old = len(seen) >= NONCES_KEPT and nonce < seen[0]
        if abs(nonce / 1000.0 - self._clock()) > NONCE_WINDOW_MS or nonce in seen or too_old:
            raise Refused(*BAD_NONCE)
        insort(seen, nonce)
        del seen[:-NONCES_KEPT]


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise Refused(-1102, "A mandatory parameter was not sent, was empty/null, or malformed.")
    return int(text)
