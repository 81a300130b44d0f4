"""The stress engine against the plain reference, on random books: every figure of totals, units, curves and contributions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kernels.stress_books import SETS, compared
from tests.kernels.test_checked_modes import CHECKED
from tests.reference.books import Document, random_document

BOOKS = 10 if CHECKED else 1_000
CHUNK = min(BOOKS, 100)

KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"failures": True},
    {"exact_hedges": True, "text": False},
    {"overrides": False},
    {"accounts": 2, "positions": 8, "coins": ("BTC",)},
    {"spot": False, "orders": False},
    {"options": False},
    {"exact_hedges": True, "overrides": False, "failures": True},
    {"expiries": (-1, 0, 1, 899, 1799, 3600, 86_400), "positions": 8},
    {"accounts": 6},
    {"outcomes": True},
    {"outcomes": True, "options": False, "expiries": (0, 1, 60, 3600, 43_200, 86_400), "positions": 10, "failures": True},
)
"""What the books are drawn with, in turn."""


def books(first: int, last: int) -> Iterator[tuple[str, Document]]:
    for seed in range(first, last):
        source = random_document(random.Random(seed), **KINDS[seed % len(KINDS)])
        # one portfolio of three in turn: the plain reference is slow
        yield f"book {seed}", source | {"portfolios": [source["portfolios"][seed // len(KINDS) % 3]]}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("first", range(0, BOOKS, CHUNK))
def test_every_figure_equals_the_reference(first: int, name: str) -> None:
    found = compared(books(first, first + CHUNK), name)
    assert not found.differences, "\n".join(found.differences[:20])
    assert found.counts["portfolios"] > 0.8 * CHUNK
    assert found.counts["failed"] > 0 or CHECKED
    assert found.counts["smooth"] > 4 * found.counts["kinks"]
