"""Readers of wire fields: a value of the right kind, or `WrongShape` naming the place. Nothing is guessed, nothing is NaN."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from connectors.errors import ProtocolError

Obj = dict[str, Any]


class WrongShape(ProtocolError):
    """A message is not shaped as the venue's documents and recordings say; `detail` is the path of the offending field."""

    def __init__(self, where: str) -> None:
        super().__init__("wrong_shape", where)


def decimal(value: object, where: str) -> float:
    """A finite number from the venue's decimal string (plain JSON numbers pass too)."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            raise WrongShape(where) from None
        if "_" in value:
            raise WrongShape(where)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _as_float(value, where)
    else:
        raise WrongShape(where)
    if not isfinite(number):
        raise WrongShape(where)
    return number


def number(obj: Obj, key: str, where: str) -> float:
    """A required number."""
    return decimal(obj.get(key), f"{where}.{key}")


def optional_number(obj: Obj, key: str, where: str) -> float | None:
    """A number, or None where the key is absent or null."""
    value = obj.get(key)
    return None if value is None else decimal(value, f"{where}.{key}")


def integer(obj: Obj, key: str, where: str) -> int:
    """A required JSON integer that fits 64 bits."""
    return whole(obj.get(key), f"{where}.{key}")


def whole(value: object, where: str) -> int:
    """A JSON integer that fits 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise WrongShape(where)
    return value


def text(obj: Obj, key: str, where: str) -> str:
    """A required string."""
    value = obj.get(key)
    if not isinstance(value, str):
        raise WrongShape(f"{where}.{key}")
    return value


def flag(obj: Obj, key: str, where: str) -> bool:
    """A boolean; absent or null is False, as the venue omits what is not set."""
    value = obj.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise WrongShape(f"{where}.{key}")
    return value


def mapping(value: object, where: str) -> Obj:
    """A JSON object."""
    if not isinstance(value, dict):
        raise WrongShape(where)
    return value


def sequence(value: object, where: str) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise WrongShape(where)
    return value


def pairs(value: object, where: str) -> Iterator[tuple[Any, Any]]:
    """The venue's list of [key, value] pairs."""
    for item in sequence(value, where):
        if not isinstance(item, list) or len(item) != 2:
            raise WrongShape(where)
        yield item[0], item[1]


def _as_float(value: int | float, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise WrongShape(where) from None
