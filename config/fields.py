"""Kinds of settings that several tables share, and the base of tables that name secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
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


def check_endpoint(text: str, *schemes: str) -> str:
    """A URL of one of the schemes, without credentials, query and fragment; given without a slash at the end. ValueError for another."""
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


def endpoint(*schemes: str) -> AfterValidator:
    """The same as a field's validator."""
    return AfterValidator(lambda text: check_endpoint(text, *schemes))


def need_url(found: Resolved | None, file: str | None, who: str) -> None:
    """Refuse a missing secret URL, and one that is none; `file` is what `url_file` says, `who` needs it ("the heartbeat")."""
    if found is None:
        raise problems_error([Problem("url_file", f"{who} needs its URL: set url_file or url_env")])
    if not _is_http(found.secret.reveal()):
        key = "url_file" if file is not None else "url_env"
        raise problems_error([Problem(key, f"the secret in {found.origin} is not a URL that starts with https:// or http://")])


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(char.isspace() for char in url)
    except ValueError:
        return False


def beside(path: Path, context: Mapping[str, Any] | None) -> Path:
    """A path of the configuration, where it is relative beside the file (`base` of the validation's context)."""
    base: Path = (context or {}).get("base", Path())
    return base / path.expanduser()


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
    def secrets(self) -> Mapping[str, Secret]:
        """Every secret by its name (`url`, `agent_key`): for what has to keep them out of files."""
        return {name: found.secret for name, found in self._resolved.items()}

    @property
    def secret_origin(self) -> str | None:
        """Where the secrets came from: `file NAME` or `environment NAME`; None without one."""
        return " and ".join(found.origin for found in self._resolved.values()) or None

    @property
    def secret_warnings(self) -> tuple[str, ...]:
        """What is doubtful about how the secrets are kept."""
        return tuple(found.warning for found in self._resolved.values() if found.warning)
