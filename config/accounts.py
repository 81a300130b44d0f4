"""The accounts to watch: their names, levels, and what each venue needs to read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from config.errors import Problem
from config.fields import Address, Fraction, SecretHolder, Tags
from config.secrets import Secret
from config.tables import Alias, Table, problems_error

ModeName = Literal[
    "standard", "unified", "portfolio_margin", "single_asset", "multi_assets", "segregated_sm", "segregated_pm", "cross_sm", "cross_pm"
]

_MODES = {
    "hyperliquid": ("standard", "unified", "portfolio_margin"),
    "aster": ("single_asset", "multi_assets"),
    "deribit": ("segregated_sm", "segregated_pm", "cross_sm", "cross_pm"),
}
_CREDENTIALS = {"v3": ("agent_key",), "hmac": ("api_key", "api_secret"), "client": ("client_id", "client_secret")}
"""What an account is read with: on Aster by its `auth`, on Deribit always a client."""

_ONE_WORD = re.compile(r"[!-~]+"), "one word without spaces"
_SHAPES = {
    "agent_key": (re.compile(r"(0x)?(?!0+$)[0-9a-fA-F]{64}"), "64 hex digits, with or without 0x in front"),
    "api_key": _ONE_WORD,
    "api_secret": _ONE_WORD,
    "client_id": _ONE_WORD,
    "client_secret": _ONE_WORD,
}
_SECRETS = [f"{name}_{kind}" for names in _CREDENTIALS.values() for name in names for kind in ("file", "env")]
_KEYED = ("auth", "allow_unsafe_key", *_SECRETS)
"""Settings of accounts that are read with a key."""


class Levels(Table):
    """Margin ratios at which an alert is raised; 1.0 is where the venue liquidates, so `liquidation` is fixed."""

    warning: Fraction = 0.85
    critical: Fraction = 0.90
    liquidation: float = 1.0

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if self.liquidation != 1.0:
            message = f"1.0 is where the venue liquidates and cannot be moved, got {self.liquidation:g}; change warning and critical"
            raise problems_error([Problem("liquidation", message)])
        if not self.warning < self.critical:
            message = f"must be below critical, got {self.warning:g} and critical {self.critical:g} (what is not given is inherited)"
            raise problems_error([Problem("warning", message)])
        return self

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Warning, critical, liquidation."""
        return self.warning, self.critical, self.liquidation


class AccountSettings(SecretHolder):
    """One account. `id` is the alias that everything shows, `address` (lower case) is for the venue, and shown
    only with `[monitor] show_addresses`.

    `levels` and `tags` are complete: what the file leaves out comes from `[defaults]`. `mode` None: any mode is expected.
    Hyperliquid is read without a key. Aster needs one: `auth` "v3" the private key of a read-only agent, "hmac" an API key and
    its secret of before March 2026 (then `address` may be ""). Deribit has no address but needs a client: its id and secret.
    `allow_unsafe_key` accepts a key that could trade or withdraw.
    """

    id: Alias
    venue: Literal["hyperliquid", "aster", "deribit"]
    address: Address = Field(default="", repr=False)
    levels: Levels = Levels()
    tags: Tags = ()
    mode: ModeName | None = None
    auth: Literal["v3", "hmac"] = "v3"
    agent_key_file: str | None = None
    agent_key_env: str | None = None
    api_key_file: str | None = None
    api_key_env: str | None = None
    api_secret_file: str | None = None
    api_secret_env: str | None = None
    client_id_file: str | None = None
    client_id_env: str | None = None
    client_secret_file: str | None = None
    client_secret_env: str | None = None
    allow_unsafe_key: bool = False

    @model_validator(mode="after")
    def _fits_its_venue(self, info: ValidationInfo) -> Self:
        problems = list(self._misplaced())
        if not self.address and self._has_address:
            problems.append(Problem("address", "missing; this key is required"))
        if problems:
            raise problems_error(problems)
        for name in _CREDENTIALS[self.credential_kind] if self.credential_kind else ():
            found = self._resolve(name, getattr(self, f"{name}_file"), getattr(self, f"{name}_env"), info)
            if found is None:
                kind = f'an Aster account with auth "{self.auth}"' if self.venue == "aster" else "a Deribit account"
                raise problems_error([Problem(f"{name}_file", f"{kind} needs its {name}: set {name}_file or {name}_env")])
            shape, expected = _SHAPES[name]
            if not shape.fullmatch(found.secret.reveal()):
                key = f"{name}_file" if getattr(self, f"{name}_file") is not None else f"{name}_env"
                raise problems_error([Problem(key, f"what is kept there cannot be the {name}: expected {expected}; copy it again")])
        return self

    @property
    def credential_kind(self) -> str:
        """What the account is read with: `v3`, `hmac`, `client`, or empty for no key."""
        return {"hyperliquid": "", "aster": self.auth, "deribit": "client"}[self.venue]

    @property
    def _has_address(self) -> bool:
        return self.venue == "hyperliquid" or self.credential_kind == "v3"

    def _misplaced(self) -> Iterator[Problem]:
        given = [key for key in _KEYED if key in self.model_fields_set]
        if self.venue == "hyperliquid":
            for key in given:
                yield Problem(key, f"an account on {self.venue} is read without a key; remove it")
        else:
            yield from self._of_another_kind(given)
        if self.venue == "deribit":
            for key in [key for key in ("address", "auth") if key in self.model_fields_set]:
                yield Problem(key, "a Deribit account is read with client_id and client_secret; remove it")
        if self.mode is not None and self.mode not in _MODES[self.venue]:
            modes = ", ".join(_MODES[self.venue])
            yield Problem("mode", f'"{self.mode}" is no mode of {self.venue}; use one of {modes}, or leave it out to expect any')

    def _of_another_kind(self, given: list[str]) -> Iterator[Problem]:
        for kind, names in _CREDENTIALS.items():
            for key in [key for key in given if kind != self.credential_kind and key.startswith(names)]:
                if self.venue == "aster" and kind != "client":
                    yield Problem(key, f'belongs to auth "{kind}", and this account has auth "{self.auth}"; remove it or change auth')
                else:
                    yield Problem(key, f"an account on {self.venue} is not read with it; remove it")

    @property
    def agent_key(self) -> Secret | None:
        """Private key of the agent that reads an Aster account; None with auth "hmac"."""
        return self._secret("agent_key")

    @property
    def api_key(self) -> Secret | None:
        """API key of an Aster account with auth "hmac"."""
        return self._secret("api_key")

    @property
    def api_secret(self) -> Secret | None:
        """Its secret."""
        return self._secret("api_secret")

    @property
    def client_id(self) -> Secret | None:
        """Client id of a Deribit account."""
        return self._secret("client_id")

    @property
    def client_secret(self) -> Secret | None:
        """Its secret."""
        return self._secret("client_secret")


def inherited(account: Any, defaults: dict[str, Any]) -> Any:
    """A raw account, with what it leaves out from the raw defaults."""
    if not isinstance(account, dict):
        return account
    merged = dict(account)
    if "tags" in defaults:
        merged.setdefault("tags", defaults["tags"])
    base = valid_levels(defaults.get("levels"))
    own = merged.get("levels", {})
    if base and isinstance(own, dict):
        merged["levels"] = {**base, **own}
    return merged


def valid_levels(raw: Any) -> dict[str, Any]:
    """Raw default levels, complete; empty for bad ones, which are reported once, where they stand, and not again for every account."""
    try:
        return Levels.model_validate(raw).model_dump()
    except ValidationError:
        return {}


def duplicates(accounts: tuple[AccountSettings, ...]) -> Iterator[Problem]:
    """Ids given twice, and addresses given twice on one venue."""
    ids: dict[str, int] = {}
    addresses: dict[tuple[str, str], int] = {}
    for number, account in enumerate(accounts):
        first = ids.setdefault(account.id, number)
        if first != number:
            yield Problem(f"accounts[{number}].id", f'"{account.id}" is already the id of accounts[{first}]; give each account its own')
        if not account.address:
            continue
        first = addresses.setdefault((account.venue, account.address), number)
        if first != number:
            other = accounts[first].id
            yield Problem(f"accounts[{number}].address", f'the address is the one of accounts[{first}] ("{other}"); remove one of them')
