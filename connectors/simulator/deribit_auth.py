"""Logins of the simulated Deribit: client credentials, client signatures, refresh tokens; scopes; tokens that expire."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Iterable
from typing import Any

from connectors.simulator.deribit_accounts import AccountPlan
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_session import Login, RpcError

_RANK = {"none": 0, "read": 1, "read_write": 2}


class Authority:
    """Gives tokens of `life` seconds to who knows a key, never with more scope than the key has."""

    def __init__(self, plans: Iterable[AccountPlan], faults: DeribitFaults, clock: Callable[[], float], *, life: float, seed: int) -> None:
        self._plans = {plan.client_id: plan for plan in plans}
        self._faults, self._clock, self.life = faults, clock, life
        self._rng = random.Random(f"deribit tokens {seed}")
        self._access: dict[str, Login] = {}
        self._refresh: dict[str, tuple[AccountPlan, str, int]] = {}
        self.logins = 0
        self.refreshes = 0

    def grant(self, parameters: dict[str, Any]) -> tuple[dict[str, Any], Login]:
        """Answer public/auth. Raises RpcError for wrong credentials or a dead refresh token."""
        kind = parameters.get("grant_type")
        if kind == "refresh_token":
            plan, scope, generation = self._refresh.get(str(parameters.get("refresh_token")), (None, "", -1))
            if plan is None or generation != self._faults.token_expiries:
                raise RpcError(13009, "unauthorized", {"reason": "invalid_token"})
            self.refreshes += 1
        elif kind in ("client_credentials", "client_signature"):
            plan, scope = self._plans.get(str(parameters.get("client_id"))), str(parameters.get("scope", ""))
            right = plan is not None and (_signed(plan, parameters) if kind == "client_signature" else _secret(plan, parameters))
            if plan is None or not right or self._faults.refusing_auth(self._clock()):
                raise RpcError(13004, "invalid_credentials")
            self.logins += 1
        else:
            raise RpcError(-32602, "Invalid params", {"reason": "wrong value", "param": "grant_type"})
        return self._issue(plan, scope)

    def holder(self, token: str) -> Login | None:
        """Who an access token belongs to."""
        return self._access.get(token)

    def alive(self, login: Login | None) -> bool:
        """Whether a login still counts."""
        return login is not None and self._clock() < login.expires and login.generation == self._faults.token_expiries

    def _issue(self, plan: AccountPlan, scope: str) -> tuple[dict[str, Any], Login]:
        access, refresh = (f"{self._rng.getrandbits(256):064x}" for _ in range(2))
        levels = reduced(plan.scopes, scope)
        login = Login(plan.alias, levels, self._clock() + self.life, self._faults.token_expiries)
        self._access[access] = login
        self._refresh[refresh] = (plan, scope, self._faults.token_expiries)
        session = [word for word in scope.split() if word == "connection" or word.startswith("session:")] or ["connection"]
        words = [*session, *sorted(f"{kind}:{level}" for kind, level in levels.items())]
        return {
            "access_token": access,
            "expires_in": round(self.life),
            "refresh_token": refresh,
            "scope": " ".join(words),
            "enabled_features": [],
            "token_type": "bearer",
        }, login


def reduced(key: Iterable[str], asked: str) -> dict[str, str]:
    """Kind -> level of what a token may do: the key's scopes, less where less was asked for."""
    levels = dict(scope.split(":", 1) for scope in key)
    for word in asked.split():
        kind, _, level = word.partition(":")
        if kind in levels and level in _RANK and _RANK[level] < _RANK[levels[kind]]:
            levels[kind] = level
    return {kind: level for kind, level in levels.items() if level != "none"}


def _secret(plan: AccountPlan, parameters: dict[str, Any]) -> bool:
    return hmac.compare_digest(plan.client_secret, str(parameters.get("client_secret")))


def _signed(plan: AccountPlan, parameters: dict[str, Any]) -> bool:
    text = f"{parameters.get('timestamp')}\n{parameters.get('nonce')}\n{parameters.get('data', '')}"
    expected = hmac.new(plan.client_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, str(parameters.get("signature")))
