"""A scrape in small pieces, so that a tick never waits for it: on the event loop in turns, in its thread with pauses.

A thread that computes keeps the interpreter for 5 ms at a time, and takes it again whenever the loop waits for a socket or copies arrays.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.samples import Sample

T = TypeVar("T")

TURN_S = 0.0005
"""So long a scrape keeps the event loop before everything else that waits there has its turn."""

PAUSE_EVERY = 10
"""Samples between two pauses, less than a tenth of a millisecond."""

PAUSE_S = 0.0002
"""A scrape of 5,000 series takes 0.3 s so, most of it asleep."""


def turns(rows: Iterable[T]) -> Generator[None, None, list[T]]:
    """All rows of a lazy iterable; yields whenever the loop's other work is due."""
    found, began = [], time.perf_counter()
    for row in rows:
        found.append(row)
        if time.perf_counter() - began >= TURN_S:
            yield
            began = time.perf_counter()
    return found


def paced(rows: Iterable[T]) -> Iterator[T]:
    """The same rows with pauses between them, for a thread."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % PAUSE_EVERY == 0:
            # a sleep of 0 hands the interpreter to nobody: whoever waits for it has to wake up first
            time.sleep(PAUSE_S)


class _Paced(list[Sample]):
    def __iter__(self) -> Iterator[Sample]:
        return paced(super().__iter__())


def with_pauses(family: Metric) -> Metric:
    """The family, rendered with pauses between its samples."""
    family.samples = _Paced(family.samples)
    return family
