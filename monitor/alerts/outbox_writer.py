"""The outbox's thread: it alone touches the file, writes what changed, and goes on trying while the disk refuses."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from monitor.alerts.alert import Alert
from monitor.alerts.outbox_files import failure
from monitor.alerts.outbox_records import CorruptError, OutboxError
from monitor.alerts.outbox_state import Changes, OutboxState
from monitor.alerts.outbox_store import Connect, Saved, Store, connect

_log = logging.getLogger("marginwatch.outbox")


@dataclass(frozen=True, slots=True)
class Seams:
    """What tests replace; times in seconds.

    `linger_s`: how long notes wait for company before they are written. `idle_s`: how long nothing happens before the file is looked
    after. `open_s`: how long `open` waits at most, `open_wait_s` for a lock in it. `busy_s`: how long a write waits for a lock.
    `notice_s`: how long a notice stands that no alert told. The log is carried over when idle after `checkpoint_after` transactions,
    and after `checkpoint_at_last` in any case.
    """

    connect: Connect = connect
    linger_s: float = 0.05
    idle_s: float = 1.0
    open_s: float = 5.0
    open_wait_s: float = 2.0
    busy_s: float = 0.1
    first_retry_s: float = 0.5
    longest_retry_s: float = 2.0
    prune_every_s: float = 3600.0
    notice_s: float = 3600.0
    checkpoint_after: int = 32
    checkpoint_at_last: int = 1000


@dataclass(eq=False, slots=True)
class Waiter:
    """A call of `write` that waits for its ticket."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[bool]
    ticket: int

    def tell(self, is_durable: bool) -> None:
        """From any thread."""
        with suppress(RuntimeError):  # its loop is closed
            self.loop.call_soon_threadsafe(self._resolve, is_durable)

    def _resolve(self, is_durable: bool) -> None:
        if not self.future.done():
            self.future.set_result(is_durable)


@dataclass(slots=True)
class Counters:
    """Counts since the start; `flushed` is the last ticket on the disk."""

    writes: int = 0
    failures: int = 0
    flushed: int = 0
    last_write_s: float = 0.0


@dataclass(slots=True)
class _Opening:
    epoch_ms: float
    now_ms: int
    now_s: float
    is_over: threading.Event = field(default_factory=threading.Event)
    saved: Saved | None = None
    is_late: bool = False
    is_anew: bool = False


def unused_number(now_ms: int) -> int:
    """A highest incident number to go on from where the last one is not known: seconds pass faster than incidents come."""
    return now_ms // 1000


class Writer:
    """`changed` guards all that is shared with other threads: the state, the waiters and the words on what is wrong.

    `failure`: why the last transaction failed. `stuck`: that one takes too long. `notice`: what happened to the file, to be told once.
    """

    def __init__(self, store: Store, name: str, state: OutboxState, changed: threading.Condition, keep_days: float, seams: Seams) -> None:
        self._not_open = f"outbox {name}: it is not open"
        self.failure, self.stuck, self.notice = self._not_open, "", ""
        self.counters = Counters()
        self._store = store
        self._name = name
        self._state = state
        self._changed = changed
        self._keep_ms = keep_days * 86_400_000
        self._seams = seams
        self._waiters: list[Waiter] = []
        self._failed = 0
        self._retry_s = 0.0
        self._prune_s = 0.0
        self._notice_s = 0.0
        self._forget_s = 0.0
        self._checked_s = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None
        self._opening = _Opening(0.0, 0, 0.0)

    def open(self, epoch_ms: float, now_ms: int) -> Saved | None:
        """Start the thread and wait for what the file holds; None where that fails or takes too long, and `failure` says why."""
        self._opening = _Opening(epoch_ms, now_ms, time.monotonic())
        self._thread = threading.Thread(target=self._run, name="marginwatch outbox", daemon=True)
        self._thread.start()
        self._opening.is_over.wait(self._seams.open_s)
        with self._changed:
            if not self._opening.is_over.is_set():
                self._opening.is_late = True
                self._say(failure=f"outbox {self._name}: the disk did not answer within {self._seams.open_s:g} s")
            return self._opening.saved

    def wait_for(self, waiter: Waiter) -> None:
        """Tell it when its ticket is on the disk, or that this failed. With the lock held."""
        self._waiters.append(waiter)
        self._changed.notify_all()

    def expire(self, waiter: Waiter, limit_s: float) -> None:
        """The caller waited long enough."""
        with self._changed:
            if waiter not in self._waiters:
                return
            self._waiters.remove(waiter)
            if not self.stuck:
                self.counters.failures += 1
                self._say(self.failure, f"outbox {self._name}: a write did not finish within {limit_s:g} s")
        waiter.tell(False)

    def told(self, alerts: Sequence[Alert]) -> None:
        """These reached somebody: a notice that stands in one of them has done its work. With the lock held."""
        if any(self.notice in text for alert in alerts for text in (alert.detail, alert.text)):
            self.notice = ""

    def close(self, timeout_s: float) -> None:
        """Write what is left and end the thread; one that hangs is left alone."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        self._first_open()
        while True:
            with self._changed:
                self._await_work()
                closing = self._closing
            self._step()
            with self._changed:
                if closing and (self.failure or not self._state.is_changed):
                    break
        with self._changed:
            self._say(failure=self._not_open)
        self._store.close()
        self._store.release()

    def _first_open(self) -> None:
        opening, saved, problem = self._opening, None, ""
        try:
            saved = self._open_or_begin_anew(opening)
        except Exception as error:
            problem = str(failure(self._name, error))
        with self._changed:
            if saved is not None and not opening.is_late:
                self._begin(opening, saved)
            else:
                self._say(failure=problem or self.failure)
            opening.is_over.set()
        if opening.saved is None:
            self._store.close()

    def _begin(self, opening: _Opening, saved: Saved) -> None:
        self._state.load(saved.incidents, saved.pending, saved.silences, saved.handles, saved.last_number)
        self._state.mark_one()
        if opening.is_anew:
            self._state.mark_all()
        opening.saved = saved
        self._say()

    def _open_or_begin_anew(self, opening: _Opening) -> Saved:
        try:
            self._store.open(self._seams.open_wait_s)
            saved = self._store.load(opening.epoch_ms, opening.now_ms)
        except CorruptError:
            saved = self._salvaged(opening)
            self._note(self._store.set_aside())
            self._store.open(self._seams.open_wait_s)
            opening.is_anew = True
        if saved.unreadable:
            self._note(f"outbox {self._name}: {saved.unreadable} of its entries could not be read and were left out")
        return saved

    def _salvaged(self, opening: _Opening) -> Saved:
        # numbers are never given twice: what a file that cannot be trusted says of them is no ground to start from
        try:
            found = self._store.load(opening.epoch_ms, opening.now_ms)
        except OutboxError:
            found = Saved()
        return replace(found, last_number=max(found.last_number, unused_number(opening.now_ms)))

    def _await_work(self) -> None:
        def is_urgent() -> bool:
            return self._closing or bool(self._waiters)

        if self.failure:
            self._changed.wait_for(lambda: self._closing, max(self._retry_s - time.monotonic(), 0.0))
            return
        self._changed.wait_for(lambda: self._closing or self._state.is_changed, self._seams.idle_s)
        if self._state.is_changed:
            self._changed.wait_for(is_urgent, self._seams.linger_s)

    def _step(self) -> None:
        changes = None
        self._forget()
        try:
            is_new = not self._store.is_open
            if is_new:
                self._store.open(self._seams.busy_s)
            with self._changed:
                if is_new:
                    self._state.mark_all()
                changes = self._state.take()
            if changes.marks:
                self._write(changes)
            if not changes.marks or time.monotonic() >= self._checked_s + self._seams.idle_s:
                self._store.check()
                self._checked_s = time.monotonic()
            if not changes.marks:
                self._look_after()
        except Exception as error:
            self._recover(error, changes)

    def _write(self, changes: Changes) -> None:
        begun_s = time.monotonic()
        self._store.write(changes)
        with self._changed:
            self.counters.writes += 1
            self.counters.flushed = changes.ticket
            self.counters.last_write_s = time.monotonic() - begun_s
            self._failed = 0
            self._state.forget_settled()
            done = [waiter for waiter in self._waiters if waiter.ticket <= changes.ticket]
            self._waiters = [waiter for waiter in self._waiters if waiter.ticket > changes.ticket]
            self._say()
        for waiter in done:
            waiter.tell(True)
        if self._store.transactions >= self._seams.checkpoint_at_last:
            self._store.checkpoint()

    def _forget(self) -> None:
        now_s = time.monotonic()
        with self._changed:
            if now_s >= self._notice_s + self._seams.notice_s:
                self.notice = ""
            if now_s >= self._forget_s:
                self._forget_s = now_s + self._seams.prune_every_s
                self._state.forget_ended(self._wall_ms(now_s))

    def _wall_ms(self, now_s: float) -> float:
        return self._opening.now_ms + (now_s - self._opening.now_s) * 1e3

    def _look_after(self) -> None:
        now_s = time.monotonic()
        if self._store.transactions >= self._seams.checkpoint_after:
            self._store.checkpoint()
        elif now_s >= self._prune_s:
            now_ms = self._wall_ms(now_s)
            if not self._store.prune(now_ms - self._keep_ms, now_ms):
                self._prune_s = now_s + self._seams.prune_every_s

    def _recover(self, error: Exception, changes: Changes | None) -> None:
        problem = failure(self._name, error)
        with self._changed:
            if changes is not None:
                self._state.give_back(changes)
            waiters, self._waiters = self._waiters, []
            self.counters.failures += 1
            self._retry_s = time.monotonic() + min(self._seams.longest_retry_s, self._seams.first_retry_s * 2.0**self._failed)
            self._failed = min(self._failed + 1, 10)
            self._say(failure=str(problem))
        for waiter in waiters:
            waiter.tell(False)
        self._store.close()
        if isinstance(problem, CorruptError):
            self._begin_anew()

    def _begin_anew(self) -> None:
        try:
            self._note(self._store.set_aside())
            self._retry_s = 0.0
        except OutboxError as error:
            with self._changed:
                self._say(failure=str(error))

    def _say(self, failure: str = "", stuck: str = "") -> None:
        # with the lock held; each new trouble once into the log
        before, now = self.failure or self.stuck, failure or stuck
        self.failure, self.stuck = failure, stuck
        if now and now not in (before, self._not_open):
            _log.error("%s; alerts go out from memory", now)
        elif before and not now and before != self._not_open:
            _log.warning("outbox %s: works again", self._name)

    def _note(self, notice: str) -> None:
        _log.error("%s", notice)
        with self._changed:
            self.notice = notice
            self._notice_s = time.monotonic()
