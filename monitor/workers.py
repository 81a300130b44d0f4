"""What leaves the event loop: a seam, so that a replay can do the same work at the recorded moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from monitor.background import COMPILING, beside

T = TypeVar("T")


class Workers(Protocol):
    """Does work off the loop; the awaiting task goes on with the result. `name` says what the work is."""

    def wants(self, name: str) -> bool:
        """Whether the result of such work is of use to anybody: what it would need is not prepared otherwise."""
        ...

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """Work of milliseconds, waited for when the program ends."""
        ...

    async def beside(self, name: str, work: Callable[[], None]) -> None:
        """Work of up to a minute, left behind when the program ends."""
        ...


class Threads:
    """Threads of this process."""

    def wants(self, name: str) -> bool:
        """See `Workers`."""
        return True

    async def run(self, name: str, work: Callable[[], T]) -> T:
        """See `Workers`."""
        return await asyncio.to_thread(work)

    async def beside(self, name: str, work: Callable[[], None]) -> None:
        """See `Workers`."""
        await beside(work, COMPILING)
