"""What is wrong with a configuration, said so that the reader can mend it.

    ConfigError          one or more problems, listed at once
        .problems        tuple of Problem(path, message)
        .source          the file as the user named it

Printed as one line a problem: `FILE: accounts[1].addres: unknown key; did you mean "address"?`. No text here carries a secret
or a whole address: values pass through `shown`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{8,}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: `path` is the key as the file writes it (`accounts[1].address`), empty for the file as a whole."""

    path: str
    message: str


class ConfigError(Exception):
    """The configuration cannot be used; `str()` lists every problem, one a line, each with the file and the key."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(_line(source, problem) for problem in self.problems))


def _line(source: str, problem: Problem) -> str:
    return f"{source}: {problem.path}: {problem.message}" if problem.path else f"{source}: {problem.message}"


def dotted(location: Iterable[str | int]) -> str:
    """The path of a key as people write it: `("accounts", 1, "address")` -> `accounts[1].address`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        name = masked(part)
        if not _BARE_KEY.fullmatch(name):
            name = f'"{name}"'
        path += f".{name}" if path else name
    return path


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "address"?` for the nearest of the known words, else `; known: ...`."""
    names = sorted(known)
    near = [name for name in names if name.lower() == word.lower()] or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""


def shorten_address(address: str) -> str:
    """An address as far as it may be shown: `0x1234…abcd`."""
    return f"{address[:6]}…{address[-4:]}" if len(address) > 12 else "0x…"


def masked(text: str) -> str:
    """The text with every address shortened and every long run of hex digits hidden."""
    text = _ADDRESS.sub(lambda match: shorten_address(match[0]), text)
    return _HEX.sub("…", text)


def shown(value: object, *, secret: bool = False, table: str = "a table") -> str:
    """A value with its type for the "got" of a message; `secret` gives the type alone, `table` is the format's word for one."""
    kind = _kind(value, table)
    if secret or not isinstance(value, str | bool | int | float):
        return kind
    if not isinstance(value, str):
        return f"{kind} {str(value).lower()}"
    if "://" in value:
        return f"{kind} with a URL (not shown)"
    text = masked(value)
    return f'{kind} "{text if len(text) <= _LONGEST else text[:_LONGEST] + "…"}"'


def _kind(value: object, table: str) -> str:
    names: tuple[tuple[type, str], ...] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "text"),
        (dict, table),
        (list, "a list"),
    )
    for kind, name in names:
        if isinstance(value, kind):
            return name
    return "nothing" if value is None else "a date or time"
