"""Numbers and times as the documents write them, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

INFINITY = "Infinity"

_AS_IT_IS = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """A value as JSON has it: infinity is the text "Infinity", what is not a number is None, tuples are lists, no negative zero."""
    kind = type(value)
    # nearly everything in a document is one of these
    if kind is float and math.isfinite(value):
        return value + 0.0
    if kind in _AS_IT_IS or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number):
        return INFINITY if number > 0 else f"-{INFINITY}"
    return number + 0.0


def number(value: Any) -> float | None:
    """A figure of a document as a float; None is unknown."""
    return None if value is None else float(value)


def utc(time_ms: int) -> str:
    """Integer milliseconds as ISO 8601 UTC: `2026-11-21T12:00:00Z`, with milliseconds only where there are any."""
    text = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time_ms % 1000:03d}Z" if time_ms % 1000 else f"{text}Z"
