"""The outbox: every alert is on the disk before it leaves, and what is not delivered when the program dies is sent by the next one.

Batch                       what one decision of the policy has to say
Outbox.open() -> Recovered  what an earlier process left
Outbox.write(batch)         durable, or False after `limit_s`: then it goes out from memory
Outbox.settle(...)          what became of a delivery (written later: a crash before means that it is sent again)

    outbox_state.py    what is open and pending, in memory, and what of it the file lacks
    outbox_writer.py   the thread that writes it, in one transaction whatever has gathered, and goes on trying
    outbox_store.py    the SQLite file; outbox_schema.py its tables, outbox_codec.py its documents, outbox_files.py locks and names
    outbox_history.py  reading it beside a running monitor
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.alerts.alert import Alert
from monitor.alerts.outbox_history import merged, read_history, read_own_history
from monitor.alerts.outbox_records import (
    Batch,
    DeliveryRecord,
    HistoryEntry,
    OutboxError,
    OutboxStatistics,
    Outcome,
    PendingDelivery,
    Recovered,
)
from monitor.alerts.outbox_state import OutboxState
from monitor.alerts.outbox_store import Saved, Store
from monitor.alerts.outbox_writer import Seams, Waiter, Writer, unused_number
from monitor.alerts.silences import Silence
from monitor.background import beside

__all__ = [
    "Batch",
    "DeliveryRecord",
    "HistoryEntry",
    "Outbox",
    "OutboxError",
    "OutboxStatistics",
    "Outcome",
    "PendingDelivery",
    "Recovered",
    "Seams",
    "read_history",
]

_KEPT_IN_MEMORY = 1000
_READERS = 4


class Outbox:
    """SQLite (WAL, synchronous=FULL) in one thread of its own. `path` None: kept in memory only, for tests and the demo.

    Nothing here raises for the disk: `problem` says what is wrong, and everything goes on without it. All methods are for one
    thread, the event loop's.
    """

    def __init__(self, path: Path | None, *, limit_s: float = 0.25, keep_days: float = 30.0, seams: Seams | None = None) -> None:
        seams = seams or Seams()
        self._path = path
        self._limit_s = limit_s
        self._changed = threading.Condition()
        self._state = OutboxState(keep=_KEPT_IN_MEMORY if path is None else 0)
        self._writer = None
        if path is not None:
            store = Store(path, seams.connect, seams.busy_s)
            self._writer = Writer(store, path.name, self._state, self._changed, keep_days, seams)
        self._memory_writes = 0
        self._reading = 0

    def open(self, epoch_ms: float, now_ms: int) -> Recovered:
        """Create or read the file; blocks for a few seconds at most, so call it before the loop serves or in a thread.

        Where the file cannot be read, `last_number` is a number that none of its incidents has. A corrupt file is set aside and a new
        one begun with what could be read of it; `problem` of the outbox says so, until an alert with these words was delivered.
        """
        if self._writer is None:
            return Recovered()
        saved = self._writer.open(epoch_ms, now_ms)
        if saved is not None:
            return _recovered(saved)
        with self._changed:
            self._state.last_number = max(self._state.last_number, unused_number(now_ms))
            return Recovered(last_number=self._state.last_number, problem=self._writer.failure)

    async def write(self, batch: Batch) -> bool:
        """Durable on return: True. False: not within `limit_s`, or the disk refused; it is tried again behind the scenes, bounded.

        While a problem lasts it is False at once.
        """
        with self._changed:
            ticket = self._state.apply(batch)
            if self._writer is None:
                self._settle_in_memory()
                return True
            if self._writer.failure or self._writer.stuck:
                return False
            loop = asyncio.get_running_loop()
            waiter = Waiter(loop, loop.create_future(), ticket)
            self._writer.wait_for(waiter)
        timer = loop.call_later(self._limit_s, self._writer.expire, waiter, self._limit_s)
        try:
            return await waiter.future
        finally:
            timer.cancel()

    def settle(
        self, ids: Sequence[str], receiver: str, outcome: Outcome, now_ms: int, reason: str = "", handles: Mapping[str, str] | None = None
    ) -> None:
        """Note what became of alerts at a receiver; returns at once."""
        with self._changed:
            if outcome is Outcome.DELIVERED and self._writer is not None:
                self._writer.told(self._state.outbox_alerts(ids))
            self._state.settle(ids, receiver, outcome, now_ms, reason, handles)
            self._noted()

    def tried(self, ids: Sequence[str], receiver: str, reason: str) -> None:
        """Note a failed attempt; returns at once."""
        with self._changed:
            self._state.tried(ids, receiver, reason)
            self._noted()

    def reassign(self, alerts: Sequence[Alert], receiver: str, deadline_ms: int) -> None:
        """Note that another receiver is to get these now (an escalation); returns at once.

        Call it before the first receiver's are settled as ESCALATED: a crash between the two then sends twice, and loses nothing.
        """
        with self._changed:
            self._state.reassign(alerts, receiver, deadline_ms)
            self._noted()

    def keep_silence(self, silence: Silence) -> None:
        """Keep a silence, replacing the one of its id; returns at once."""
        with self._changed:
            self._state.keep_silence(silence)
            self._noted()

    async def history(self, limit: int, *, before_ms: int | None = None, key: str | None = None) -> list[HistoryEntry]:
        """The last alerts, newest first; `key` is a pattern with shell wildcards.

        While the file cannot be read, or too many others read it, only what is in memory: what is open, pending or not written.
        """
        with self._changed:
            held = self._state.entries(before_ms, key)
        return merged(await self._written(limit, before_ms, key), held, limit)

    @property
    def is_durable(self) -> bool:
        """Whether there is a file that the next process reads."""
        return self._path is not None

    @property
    def problem(self) -> str:
        """Why writing fails now, and what happened to the file as long as that was not told; empty while all is well."""
        if self._writer is None:
            return ""
        with self._changed:
            return "; ".join(filter(None, (self._writer.failure or self._writer.stuck, self._writer.notice)))

    def statistics(self) -> OutboxStatistics:
        """The counters now."""
        with self._changed:
            pending, oldest_ms = self._state.pending()
            if self._writer is None:
                return OutboxStatistics(self._memory_writes, 0, 0, pending, oldest_ms, 0.0, "")
            counters = self._writer.counters
            waiting = self._state.ticket - counters.flushed
        return OutboxStatistics(counters.writes, counters.failures, waiting, pending, oldest_ms, counters.last_write_s, self.problem)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, for so long, and close the file."""
        if self._writer is not None:
            self._writer.close(timeout_s)

    def _noted(self) -> None:
        if self._writer is None:
            self._settle_in_memory()
        else:
            self._changed.notify_all()

    def _settle_in_memory(self) -> None:
        self._memory_writes += 1
        self._state.take()
        self._state.forget_settled()

    async def _written(self, limit: int, before_ms: int | None, key: str | None) -> list[HistoryEntry]:
        path, found = self._path, list[HistoryEntry]()
        if path is None or self._reading >= _READERS:
            return []

        def read() -> None:
            try:
                found.extend(read_own_history(path, limit, before_ms, key))
            except OutboxError:
                return
            finally:
                with self._changed:
                    self._reading -= 1

        with self._changed:
            self._reading += 1
        await beside(read, "marginwatch alert history")
        return found


def _recovered(saved: Saved) -> Recovered:
    handles: dict[str, dict[str, str]] = {}
    for (receiver, incident), handle in saved.handles.items():
        handles.setdefault(receiver, {})[incident] = handle
    return Recovered(
        open=tuple(state.incident for state in saved.incidents),
        pending=tuple(PendingDelivery(alert, receiver, state.deadline_ms) for alert, receiver, state in saved.pending),
        handles=handles,
        told=saved.told,
        newest=saved.newest,
        latest=tuple(state.latest for state in saved.incidents if state.latest is not None),
        silences=saved.silences,
        last_number=saved.last_number,
    )
