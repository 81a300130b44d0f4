"""The outbox's file: opening, reading what it holds, writing transactions, pruning. For one thread; blocks; knows no clock."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from monitor.alerts.alert import Alert
from monitor.alerts.outbox_codec import UNREADABLE, decode_alert, decode_incident, decode_silence
from monitor.alerts.outbox_files import FileLock, Identity, failure, prepare, set_aside
from monitor.alerts.outbox_records import CorruptError, OutboxError, Outcome
from monitor.alerts.outbox_schema import WRITE, WRITER, check_version, document_of, migrate, version_of
from monitor.alerts.outbox_state import Changes, DeliveryState, OpenState
from monitor.alerts.silences import REMEMBERED_MS, Silence

Connect = Callable[[str, float], sqlite3.Connection]
"""(path, how long to wait for a lock in seconds) -> a connection in autocommit mode."""

_CHECKED_BYTES = 64 << 20
_PRUNED_AT_ONCE = 200

_OVER = """
    DELETE FROM handles WHERE incident NOT IN (
        SELECT key || '#' || number FROM incidents
        UNION SELECT a.key || '#' || a.number FROM deliveries d CROSS JOIN alerts a ON a.time_ms = d.time_ms AND a.id = d.alert
            WHERE d.outcome = 'pending')
"""
_OLD = """
    SELECT seq, id FROM alerts WHERE time_ms < :before
        AND NOT EXISTS (SELECT 1 FROM deliveries WHERE alert = alerts.id AND outcome = 'pending')
        AND NOT EXISTS (SELECT 1 FROM incidents WHERE incidents.key = alerts.key AND incidents.number = alerts.number)
    ORDER BY time_ms LIMIT :limit
"""


_TOLD = """
    SELECT a.key || '#' || a.number, d.alert, d.receiver, d.outcome FROM deliveries d CROSS JOIN alerts a
        ON a.time_ms = d.time_ms AND a.id = d.alert WHERE d.outcome IN ('delivered', 'pending')
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What the file holds that matters to a new process. `told`, `newest`: see `Recovered`.

    `unreadable`: rows that no version of ours wrote.
    """

    incidents: tuple[OpenState, ...] = ()
    pending: tuple[tuple[Alert, str, DeliveryState], ...] = ()
    silences: tuple[Silence, ...] = ()
    handles: Mapping[tuple[str, str], str] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    newest: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    last_number: int = 0
    unreadable: int = 0


def connect(path: str, wait_s: float) -> sqlite3.Connection:
    """The ordinary way to a connection."""
    return sqlite3.connect(path, timeout=wait_s, isolation_level=None, cached_statements=32)


class Store:
    """Everything raises OutboxError, or CorruptError, and nothing else."""

    def __init__(self, path: Path, connector: Connect = connect, busy_s: float = 0.1) -> None:
        self._path = path
        self._connector = connector
        self._busy_s = busy_s
        self._lock = FileLock(path)
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._checked: int | None = None
        self.transactions = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def open(self, wait_s: float) -> None:
        """Create or open the file, alone among processes; waits for locks in it at most `wait_s`, and `busy_s` from then on."""
        with self._reported():
            prepare(self._path)
            self._lock.take()
            self._connection = self._connector(str(self._path), wait_s)
            self._set_up(self._connection)
            self._identity = Identity(self._path)
            self._connection.execute(f"PRAGMA busy_timeout = {self._busy_s * 1e3:.0f}").fetchall()

    def close(self) -> None:
        """Close the connection, whatever it says; the lock stays."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._identity = None

    def release(self) -> None:
        """Let another process have the file."""
        self._lock.release()

    def write(self, changes: Changes) -> None:
        """All of it or nothing, on the disk on return, in the file that has our name."""
        with self._reported():
            self._open_connection.execute(WRITE, (document_of(changes),))
            self.transactions += 1
            if self._identity is not None:
                self._identity.check(("",))  # the others when there is time: each look is a wait for Python's lock

    def check(self) -> None:
        """OutboxError unless the files are still those that were opened, and still ours."""
        with self._reported():
            self._lock.check()
            if self._identity is not None:
                self._identity.check()

    def checkpoint(self) -> None:
        """Carry the log over into the file, so that the log starts anew."""
        with self._reported():
            self._open_connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self.transactions = 0

    def prune(self, before_ms: float, now_ms: float) -> bool:
        """Delete the oldest closed and settled history before a time, a part of it: whether there may be more."""
        with self._reported():
            connection = self._open_connection
            old = connection.execute(_OLD, {"before": before_ms, "limit": _PRUNED_AT_ONCE}).fetchall()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM deliveries WHERE alert = ?", [(name,) for _, name in old])
            connection.executemany("DELETE FROM alerts WHERE seq = ?", [(seq,) for seq, _ in old])
            connection.execute("DELETE FROM silences WHERE until_ms <= ?", (now_ms - REMEMBERED_MS,))
            connection.execute(_OVER)
            connection.execute("COMMIT")
        return len(old) == _PRUNED_AT_ONCE

    def set_aside(self) -> str:
        """Rename the corrupt file; the sentence that says so."""
        self.close()
        with self._reported():
            return set_aside(self._path)

    def load(self, epoch_ms: float, now_ms: int) -> Saved:
        """What is open, pending and silenced (or was within the last day); times by `epoch_ms`."""
        with self._reported():
            connection, reader = self._open_connection, _Reader()
            incidents = list(reader.incidents(connection, epoch_ms, now_ms))
            pending = list(reader.pending(connection))
            silences = list(reader.silences(connection, now_ms))
            alive = {f"{state.incident.key}#{state.incident.number}" for state in incidents}
            alive.update(alert.incident for alert, _, _ in pending)
            handles = {(receiver, incident): handle for receiver, incident, handle in connection.execute("SELECT * FROM handles")}
            (last,) = connection.execute("SELECT coalesce(max(value), 0) FROM numbers").fetchone()
            return Saved(
                tuple(incidents),
                tuple(pending),
                tuple(silences),
                {pair: handle for pair, handle in handles.items() if pair[1] in alive},
                reader.told(connection, alive),
                reader.newest(connection, {alert.key for alert, _, _ in pending}),
                last,
                reader.unreadable,
            )

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise OutboxError(f"outbox {self._path.name}: it is not open")
        return self._connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.text_factory = lambda raw: str(raw, "utf-8", "replace")
        version = version_of(connection)
        check_version(version, self._path.name)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        self._examine(connection)
        migrate(connection, version)
        connection.executescript(WRITER)

    def _examine(self, connection: sqlite3.Connection) -> None:
        status = self._path.stat()
        if status.st_ino == self._checked or status.st_size > _CHECKED_BYTES:
            return
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise CorruptError(f"outbox {self._path.name}: the file is corrupt")
        self._checked = status.st_ino

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise failure(self._path.name, error) from None


class _Reader:
    """Decodes rows and counts those that cannot be."""

    def __init__(self) -> None:
        self.unreadable = 0

    def incidents(self, connection: sqlite3.Connection, epoch_ms: float, now_ms: int) -> Iterator[OpenState]:
        query = """SELECT i.document, a.document FROM incidents i LEFT JOIN alerts a ON a.time_ms = i.latest_ms AND a.id = i.latest
            ORDER BY i.number"""
        for document, latest in connection.execute(query):
            with self._counted():
                incident = decode_incident(document, epoch_ms, now_ms)
                yield OpenState(incident, epoch_ms, None if latest is None else decode_alert(latest))

    def pending(self, connection: sqlite3.Connection) -> Iterator[tuple[Alert, str, DeliveryState]]:
        query = """SELECT a.document, d.receiver, d.deadline_ms, d.escalated_from, d.attempts, d.reason
            FROM deliveries d CROSS JOIN alerts a ON a.time_ms = d.time_ms AND a.id = d.alert
            WHERE d.outcome = 'pending' ORDER BY a.seq, d.receiver"""
        for document, receiver, deadline_ms, escalated_from, attempts, reason in connection.execute(query):
            with self._counted():
                state = DeliveryState(Outcome.PENDING, deadline_ms, escalated_from, attempts, reason)
                yield decode_alert(document, escalated_from), receiver, state

    def told(self, connection: sqlite3.Connection, alive: Container[str]) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for incident, alert, receiver, outcome in connection.execute(_TOLD):
            if incident in alive:
                with self._counted():
                    sequences = found.setdefault(incident, {})
                    sequence = int(alert.rpartition(".")[2]) if outcome == Outcome.DELIVERED else 0
                    sequences[receiver] = max(sequences.get(receiver, 0), sequence)
        return found

    def newest(self, connection: sqlite3.Connection, keys: Collection[str]) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        for key, number, alert in connection.execute("SELECT key, number, id FROM alerts") if keys else ():
            if key in keys:
                with self._counted():
                    found[key] = max((number, int(alert.rpartition(".")[2])), found.get(key, (0, 0)))
        return found

    def silences(self, connection: sqlite3.Connection, now_ms: int) -> Iterator[Silence]:
        # what ended while nobody ran may have held back what still fires
        since_ms = now_ms - REMEMBERED_MS
        for (document,) in connection.execute("SELECT document FROM silences WHERE until_ms > ? ORDER BY until_ms", (since_ms,)):
            with self._counted():
                yield decode_silence(document)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE:
            self.unreadable += 1
