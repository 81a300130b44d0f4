"""Kinds of settings that several tables share, and the base of tables that name secrets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo

from config.errors import Problem
from config.secrets import Resolved, Secret, SecretError, resolve
from config.tables import Alias, Table, problems_error

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


def _address(text: str) -> str:
    address = text.lower()
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"expected 0x and 40 hex digits (42 characters), got {len(text)} characters; copy the account's address again")
    return address


def endpoint(*schemes: str) -> AfterValidator:
    """A URL of one of the schemes, without credentials, query, fragment and a slash at the end."""

    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError:
            raise ValueError("expected a URL such as https://host:port; this one cannot be read") from None
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError("a URL here carries no credentials, query or fragment; keep scheme, host, port and path")
        if parts.scheme not in schemes or not parts.hostname or not port_is_valid:
            raise ValueError(f"expected a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)} and names a host")
        return text.rstrip("/")

    return AfterValidator(check)


Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Address = Annotated[str, AfterValidator(_address)]
Tags = Annotated[tuple[Alias, ...], Field(strict=False)]


class SecretHolder(Table):
    """A table that names secrets by `{name}_file` or `{name}_env`."""

    _resolved: dict[str, Resolved] = PrivateAttr(default_factory=dict)

    def _resolve(self, name: str, file: str | None, env: str | None, info: ValidationInfo) -> Resolved | None:
        context: dict[str, Any] = info.context or {}
        try:
            found = resolve(name, file=file, env=env, base=context.get("base", Path()), environ=context.get("environ", os.environ))
        except SecretError as error:
            raise problems_error([Problem(error.key, str(error))]) from None
        if found is not None:
            self._resolved[name] = found
        return found

    def _secret(self, name: str) -> Secret | None:
        return self._resolved[name].secret if name in self._resolved else None

    @property
    def secret_origin(self) -> str | None:
        """Where the secrets came from: `file NAME` or `environment NAME`; None without one."""
        return " and ".join(found.origin for found in self._resolved.values()) or None

    @property
    def secret_warnings(self) -> tuple[str, ...]:
        """What is doubtful about how the secrets are kept."""
        return tuple(found.warning for found in self._resolved.values() if found.warning)
