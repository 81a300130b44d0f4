"""Secrets: named by file or environment variable, never written in the configuration, never printed."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


class Secret:
    """A text that hides itself: `repr` and `str` give `Secret(***)`; `reveal()` is the only way to the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself: hand it to the transport, never to a log, metric or exception."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled or copied to disk; keep its file or environment variable instead")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self


class SecretError(ValueError):
    """A secret cannot be had; `key` is the setting to mend. The text never carries the secret."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A secret, where it came from (`file NAME`, `environment NAME`), and what is doubtful about its keeping."""

    secret: Secret
    origin: str
    warning: str | None = None


def resolve(name: str, *, file: str | None, env: str | None, base: Path, environ: Mapping[str, str]) -> Resolved | None:
    """The secret called `name` (`url`, `token`) from `{name}_file` or `{name}_env`; None where neither is given.

    A relative file is looked for beside the configuration (`base`), `~` is the home directory. Surrounding white space is
    cut. Raises SecretError: both given, unreadable or empty file, variable not set.
    """
    if file is not None and env is not None:
        raise SecretError(f"{name}_env", f"{name}_file and {name}_env are both given; keep one of them")
    if file is not None:
        return _from_file(f"{name}_file", file, base)
    if env is not None:
        return _from_environment(f"{name}_env", env, environ)
    return None


def _from_environment(key: str, env: str, environ: Mapping[str, str]) -> Resolved:
    if not _VARIABLE.fullmatch(env):
        raise SecretError(key, "expected the name of an environment variable (letters, digits, _), not the secret itself")
    value = environ.get(env, "").strip()
    if not value:
        # Somebody may have put the secret itself here, so only what looks like a variable's name is repeated.
        name = env if _USUAL_VARIABLE.fullmatch(env) else "named here"
        raise SecretError(key, f"the environment variable {name} is not set or empty; export it before the start")
    return Resolved(Secret(value), f"environment {env}")


def _from_file(key: str, file: str, base: Path) -> Resolved:
    if "://" in file or "\n" in file:
        raise SecretError(key, "expected the name of a file that holds the secret, not the secret itself")
    path = base / Path(file).expanduser()
    try:
        value = path.read_text(encoding="utf-8").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a text file"
        raise SecretError(key, f"the file named here cannot be read: {why} (looked for beside this configuration)") from None
    if not value:
        raise SecretError(key, "the file named here is empty; write the secret into it")
    doubt = f'the secret file "{file}" can be read by every user; run chmod 600 on it' if mode & stat.S_IROTH else None
    return Resolved(Secret(value), f"file {file}", doubt)
