"""The turns of an event loop, counted: a replay gives the program as many between two ops as it had, so that tasks meet in that order."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque


class CountingSelector(selectors.DefaultSelector):
    """The system's selector. A loop selects once a turn, so `turns` is the number of the turn that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors`."""
        self.turns += 1
        ready = super().select(timeout)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
        return ready

    async def turn_begins(self) -> None:
        """Wait until the next turn begins: what a thread finished in the middle of one goes on there, as in a replay."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting.append(waiting)
        # without anything ready the loop would sleep
        loop.call_soon(_nothing)
        await waiting


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts its turns."""

    def __init__(self) -> None:
        self.selector = CountingSelector()
        super().__init__(self.selector)


def _nothing() -> None:
    return None
