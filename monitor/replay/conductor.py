"""Plays the ops of a recording to the program: each call of a seam comes back when its op is due, at its reading.

Time here is the recording's. When the event loop has nothing left to do, the next op is due; while it has, every turn of it stands for
one of the recorded loop. So tasks meet in the order in which they met then. What does not fit is counted, never passed over.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from monitor.recording import ops
from monitor.recording.keys import sleep_key
from monitor.recording.ops import CALLS, Op

OVERDUE_NS = 5_000_000_000
"""So long after its time a sleeper is woken whom no op wakes: the program does something else than it did then."""

LOOKED_THROUGH = 256
"""Ops looked through for one that comes out of order."""


@dataclass(slots=True)
class Divergences:
    """What the replay did otherwise: `missed` ops that nobody took, `unexpected` deeds that were not recorded, `out_of_order` both there
    but not in order, `unclaimed` answers that nobody asked for, `overdue` sleepers; and `gaps`, `lost_ops` of the recording itself.
    """

    missed: int = 0
    unexpected: int = 0
    out_of_order: int = 0
    unclaimed: int = 0
    overdue: int = 0
    gaps: int = 0
    lost_ops: int = 0
    first: str = ""
    first_ns: int | None = None

    def note(self, kind: str, what: str, now_ns: int) -> None:
        """Count one; the first is kept in words."""
        setattr(self, kind, getattr(self, kind) + 1)
        if self.first_ns is None:
            self.first, self.first_ns = f"{kind.replace('_', ' ')}: {what}", now_ns

    @property
    def total(self) -> int:
        """Of what the program did otherwise."""
        return self.missed + self.unexpected + self.out_of_order + self.unclaimed + self.overdue


class Entry:
    """An op on its way; `is_taken` once the program went on with it."""

    __slots__ = ("is_taken", "op")

    def __init__(self, op: Op) -> None:
        self.op = op
        self.is_taken = False


class Conductor:
    """Of one replay. `turn_begins` is for the selector; `before(ns)` is called before time moves on to an op, and says whether it may.

    `recorded_alerts` are those of the recording as far as it was read: (ns, ms, document).
    """

    def __init__(self, source: Iterator[Op], *, before: Callable[[int], bool] | None = None) -> None:
        self.divergences = Divergences()
        self.recorded_alerts: list[tuple[int, int, Any]] = []
        self.ended = False
        self._is_read = False
        self.turns = 0
        self._source = source
        self._before = before
        self._window: deque[Entry] = deque()
        self._calls: deque[Entry] = deque()
        self._waiting: dict[str, deque[asyncio.Future[Entry]]] = {}
        self._kept: dict[str, deque[Op]] = {}
        self._sleepers: dict[int, tuple[str, asyncio.Future[Entry]]] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._held: Callable[[], None] | None = None
        self._finished: asyncio.Future[None] | None = None
        begin = next(source, None)
        self._turn = 0 if begin is None else begin.turn
        self.now_ns, self.now_ms = (begin.ns, begin.ms) if begin is not None else (0, 0)
        self.begin_ns, self.begin_ms = self.now_ns, self.now_ms

    # -- for the program's seams -----------------------------------------------------------------------------------------

    async def call(self, key: str, number: int | None = None) -> Op:
        """What a call of a seam came back with; `number` is that of a sleep."""
        entry = self._head()
        if entry is not None and entry.op.is_sync and entry.op.key == key and entry.op.kind in CALLS:
            return self._take(entry)
        kept = self._kept.get(key)
        if kept:
            return kept.popleft()
        waiting: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(waiting)
        if number is not None:
            self._sleepers[number] = key, waiting
        try:
            return self._take(await waiting)
        finally:
            if number is not None:
                self._sleepers.pop(number, None)
            if waiting.cancelled():
                self._forget(key, waiting)

    async def pass_on(self, key: str) -> Op | None:
        """Like `call` for what has no answer, a send or a close: None at once where the recording says nothing of it."""
        if self.ended:
            return None
        if any(entry.op.key == key and not entry.is_taken for entry in self._window_of(LOOKED_THROUGH)):
            return await self.call(key)
        self.divergences.note("unexpected", key.partition(" ")[0], self.now_ns)
        return None

    async def sleep(self, seconds: float, number: int) -> None:
        """Wait as the recorded clock did."""
        deadline_ns = self.now_ns + round(seconds * 1e9)
        heapq.heappush(self._deadlines, (deadline_ns, number))
        await self.call(sleep_key(deadline_ns), number)

    def did(self, kind: str, document: Any) -> Op | None:
        """The program did something of its own accord: the op that says so, None where the recording has none."""
        head = self._head()
        if head is not None and head.op.kind == kind and (document is None or head.op.extra == document):
            head.is_taken = True
            self._pop_taken()
            return head.op
        for place, entry in enumerate(self._window_of(LOOKED_THROUGH)):
            op = entry.op
            if op.kind == kind and not entry.is_taken and (document is None or op.extra == document):
                if place:
                    self.divergences.note("out_of_order", f"{kind} {document or ''}", self.now_ns)
                entry.is_taken = True
                self._pop_taken()
                return op
        # what the last ops set going went on after the recording's end
        if not (self.ended or (self._is_read and not self._window)):
            self.divergences.note("unexpected", f"{kind} {document or ''}", self.now_ns)
        return None

    def later(self, callback: Callable[[], None]) -> None:
        """Evaluate at the marker."""
        asyncio.get_running_loop().call_soon(self._at_marker, callback)

    def _at_marker(self, callback: Callable[[], None]) -> None:
        entry = self._head()
        if entry is not None and entry.op.kind == ops.EVALUATION:
            self._take(entry)
            callback()
        else:
            self._held = callback

    # -- for the loop ----------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """Return when the recording is at its end, or as far as it may go."""
        self._finished = asyncio.get_running_loop().create_future()
        if not self.ended:
            await self._finished

    def stop(self) -> None:
        """Play no further."""
        self._end()

    def turn_begins(self, is_idle: bool) -> None:
        """A turn of the loop begins; `is_idle`: nothing is left to do."""
        self.turns += 1
        if not is_idle:
            self._turn += 1
        elif not self._move_on():
            return
        while (entry := self._next_call()) is not None and entry.op.turn <= self._turn:
            self._calls.popleft()
            self._give(entry)

    def _move_on(self) -> bool:
        entry = self._next_call()
        for stale in list(self._window):
            if stale is entry:
                break
            if stale.op.kind == ops.EVALUATION and self._held is not None and not stale.is_taken:
                self._release(stale)
                return False
            self._drop(stale)
        self._pop_taken()
        if entry is None or (self._before is not None and not self._before(entry.op.ns)):
            self._end()
            return False
        self._wake_overdue(entry.op.ns)
        self._turn = max(self._turn, entry.op.turn)
        return True

    def _release(self, entry: Entry) -> None:
        callback, self._held = self._held, None
        assert callback is not None
        self.divergences.note("out_of_order", "evaluation", self.now_ns)
        for earlier in list(self._window):
            if earlier is entry:
                break
            self._drop(earlier)
        self._take(entry)
        asyncio.get_running_loop().call_soon(callback)

    def _end(self) -> None:
        self.ended = True
        if self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _give(self, entry: Entry) -> None:
        op = entry.op
        waiting = self._waiter(op)
        if waiting is not None:
            waiting.set_result(entry)
            return
        self.divergences.note("unclaimed", _what(op), self.now_ns)
        self._kept.setdefault(op.key, deque()).append(op)
        # its time has come all the same
        entry.is_taken = True
        self._pop_taken()
        self._take(entry)

    def _waiter(self, op: Op) -> asyncio.Future[Entry] | None:
        numbered = self._sleepers.get(op.extra) if op.kind == ops.WOKEN else None
        # of several sleepers until one time only the number says which
        if numbered is not None and numbered[0] == op.key and self._forget(*numbered):
            return numbered[1]
        queue = self._waiting.get(op.key, ())
        waiting = next((one for one in queue if not one.done()), None)
        if waiting is not None and self._forget(op.key, waiting):
            return waiting
        # another deadline, but the same sleep: the program reckons with a time that no recording holds
        return numbered[1] if numbered is not None and self._forget(*numbered) else None

    def _forget(self, key: str, waiting: asyncio.Future[Entry]) -> bool:
        # whether it still waited
        queue = self._waiting.get(key)
        if queue is None or waiting not in queue:
            return False
        queue.remove(waiting)
        if not queue:
            del self._waiting[key]
        return not waiting.done()

    def _wake_overdue(self, now_ns: int) -> None:
        deadlines, sleepers = self._deadlines, self._sleepers
        while deadlines and (deadlines[0][1] not in sleepers or deadlines[0][0] + OVERDUE_NS < now_ns):
            _, number = heapq.heappop(deadlines)
            if number not in sleepers:
                continue
            key, waiting = sleepers[number]
            if not waiting.done():
                self.divergences.note("overdue", "a sleeper", self.now_ns)
                self._forget(key, waiting)
                waiting.set_result(Entry(Op(ops.WOKEN, key, False, self._turn, self.now_ns, self.now_ms)))

    # -- ops in order ----------------------------------------------------------------------------------------------------

    def _take(self, entry: Entry) -> Op:
        if not entry.is_taken:
            entry.is_taken = True
            head = self._window[0] if self._window else None
            if head is not None and head is not entry and not head.is_taken:
                self.divergences.note("out_of_order", _what(entry.op), self.now_ns)
            self._pop_taken()
        op = entry.op
        if op.ns >= self.now_ns:
            self.now_ns, self.now_ms = op.ns, op.ms
        return op

    def _drop(self, entry: Entry) -> None:
        if not entry.is_taken:
            entry.is_taken = True
            self.divergences.note("missed", _what(entry.op), self.now_ns)

    def _pop_taken(self) -> None:
        window = self._window
        while window and window[0].is_taken:
            window.popleft()

    def _head(self) -> Entry | None:
        if not self._window:
            self._read()
        return self._window[0] if self._window else None

    def _window_of(self, most: int) -> Iterator[Entry]:
        place = 0
        while place < most and (place < len(self._window) or self._read()):
            yield self._window[place]
            place += 1

    def _next_call(self) -> Entry | None:
        while not self._calls and self._read():
            pass
        return self._calls[0] if self._calls else None

    def _read(self) -> bool:
        for op in self._source:
            if op.kind == ops.ALERT:
                self.recorded_alerts.append((op.ns, op.ms, op.extra))
            elif op.kind == ops.GAP:
                self.divergences.gaps += 1
                self.divergences.lost_ops += op.extra or 0
            elif op.kind == ops.END:
                break
            else:
                entry = Entry(op)
                self._window.append(entry)
                if op.kind in CALLS and not op.is_sync:
                    self._calls.append(entry)
                return True
        self._is_read = True
        return False


class ReplaySelector(selectors.DefaultSelector):
    """A selector that never waits: where a loop would, the next op is due."""

    def __init__(self) -> None:
        super().__init__()
        self.conductor: Conductor | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See `selectors`."""
        if self.conductor is None or self.conductor.ended:
            return super().select(timeout)
        self.conductor.turn_begins(timeout is None or timeout > 0)
        return []


def _what(op: Op) -> str:
    # a key may name an account's address
    return f"{op.kind} {op.key.partition('?')[0].split(' ')[0]}".strip()
