"""Reading an outbox that another thread or process writes, or nobody: no file is created or altered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from monitor.alerts.alert import Alert
from monitor.alerts.incident import OpenIncident
from monitor.alerts.outbox_codec import UNREADABLE, decode_alert, decode_incident, decode_silence
from monitor.alerts.outbox_files import failure
from monitor.alerts.outbox_records import CorruptError, DeliveryRecord, HistoryEntry, OutboxError, Outcome
from monitor.alerts.outbox_schema import check_version, version_of
from monitor.alerts.silences import Silence

_WAIT_S = 1.0

_ALERTS = """
    SELECT id, document FROM alerts WHERE time_ms < :before AND (:key IS NULL OR key = :key OR key GLOB :glob)
    ORDER BY time_ms DESC, seq DESC LIMIT :limit
"""
_DELIVERIES = "SELECT receiver, outcome, attempts, reason, settled_ms FROM deliveries WHERE alert = ?"
_INCIDENTS = """
    SELECT i.document, a.document FROM incidents i LEFT JOIN alerts a ON a.time_ms = i.latest_ms AND a.id = i.latest
    ORDER BY i.number
"""
_SILENCES = "SELECT document FROM silences WHERE until_ms > ? ORDER BY until_ms, id"
_LATEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Contents:
    """What an outbox holds at one moment. `unreadable`: rows that no version of ours wrote, which are left out.

    `firing`: open incidents, the oldest first, their times by the wall clock (Unix seconds), each with its last alert where that is kept.
    """

    firing: tuple[tuple[OpenIncident, Alert | None], ...] = ()
    silences: tuple[Silence, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    unreadable: int = 0


def read_contents(path: Path, limit: int, now_ms: int, *, key: str | None = None) -> Contents:
    """All that fires, the silences that have not ended at `now_ms`, and what `read_history` reads, whose `key` concerns the history only.

    OutboxError as there.
    """
    with _beside(path) as connection:
        return _contents(connection, path.name, limit, now_ms, key)


def read_history(path: Path, limit: int, *, before_ms: int | None = None, key: str | None = None) -> list[HistoryEntry]:
    """The last alerts in an outbox, newest first, beside a running monitor or without one; `key` is a pattern with shell wildcards.

    OutboxError says why the file cannot be read.
    """
    with _beside(path) as connection:
        return _read(connection, path.name, limit, before_ms, key)


def read_own_history(path: Path, limit: int, before_ms: int | None, key: str | None) -> list[HistoryEntry]:
    """The same for the process that writes the file. OutboxError as above."""
    try:
        with closing(_connect(path, "mode=ro")) as connection:
            return _read(connection, path.name, limit, before_ms, key)
    except Exception as error:
        raise failure(path.name, error) from None


def merged(written: Iterable[HistoryEntry], held: Iterable[HistoryEntry], limit: int) -> list[HistoryEntry]:
    """What the file has (newest first) with what stands in memory (oldest first); newest first."""
    found = {entry.alert.id: entry for entry in reversed(list(written))}
    for entry in held:
        before = found.get(entry.alert.id)
        known = {delivery.receiver: delivery for delivery in entry.deliveries}
        for delivery in before.deliveries if before else ():
            known[delivery.receiver] = max(delivery, known.get(delivery.receiver, delivery), key=_progress)
        found[entry.alert.id] = HistoryEntry(entry.alert, tuple(known.values()))
    ordered = sorted(found.values(), key=lambda entry: entry.alert.time_ms)
    return ordered[::-1][: max(limit, 0)]


def _progress(delivery: DeliveryRecord) -> tuple[bool, int]:
    return delivery.settled_ms is not None, delivery.attempts


@contextmanager
def _beside(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise OutboxError(f"outbox {path.name}: there is no such file; the monitor begins it when it first runs (`marginwatch run`)")
    try:
        with closing(_connect_beside(path)) as connection:
            yield connection
    except Exception as error:
        found = failure(path.name, error)
        if isinstance(found, CorruptError):
            found = CorruptError(f"{found}; the monitor sets it aside at its next start")
        raise found from None


def _connect_beside(path: Path) -> sqlite3.Connection:
    log, index = path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")
    if log.exists() and index.exists():
        return _connect(path, "mode=ro&readonly_shm=1")
    if log.exists() and log.stat().st_size > 0:
        raise OutboxError(f"outbox {path.name}: {index.name} is missing beside it, so that its last part cannot be read; copy it too")
    # nobody has it open: SQLite would make the side files anew
    return _connect(path, "mode=ro&immutable=1")


def _connect(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path))}?{options}", uri=True, timeout=_WAIT_S, isolation_level=None)
    connection.text_factory = lambda raw: str(raw, "utf-8", "replace")
    return connection


def _read(connection: sqlite3.Connection, name: str, limit: int, before_ms: int | None, key: str | None) -> list[HistoryEntry]:
    return list(_history(connection, limit, before_ms, key, _Unreadable())) if _begin(connection, name) else []


def _contents(connection: sqlite3.Connection, name: str, limit: int, now_ms: int, key: str | None) -> Contents:
    if not _begin(connection, name):
        return Contents()
    unreadable = _Unreadable()
    return Contents(
        tuple(_firing(connection, now_ms, unreadable)),
        tuple(_silences(connection, now_ms, unreadable)),
        tuple(_history(connection, limit, None, key, unreadable)),
        unreadable.count,
    )


def _begin(connection: sqlite3.Connection, name: str) -> bool:
    connection.execute("BEGIN")
    version = version_of(connection)
    if not version.is_empty:
        check_version(version, name)
    return not version.is_empty


class _Unreadable:
    """Passes over rows that cannot be decoded, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE:
            self.count += 1


def _firing(connection: sqlite3.Connection, now_ms: int, counted: _Unreadable) -> Iterator[tuple[OpenIncident, Alert | None]]:
    for document, told in connection.execute(_INCIDENTS).fetchall():
        with counted():
            incident, latest = decode_incident(document, 0.0, now_ms), None
            if told is not None:
                with counted():
                    latest = decode_alert(told)
            yield incident, latest


def _silences(connection: sqlite3.Connection, now_ms: int, counted: _Unreadable) -> Iterator[Silence]:
    for (document,) in connection.execute(_SILENCES, (now_ms,)).fetchall():
        with counted():
            yield decode_silence(document)


def _history(
    connection: sqlite3.Connection, limit: int, before_ms: int | None, key: str | None, counted: _Unreadable
) -> Iterator[HistoryEntry]:
    glob = None if key is None else key.replace("[!", "[^")
    values = {"before": _LATEST if before_ms is None else before_ms, "key": key, "glob": glob, "limit": max(limit, 0)}
    for name, document in connection.execute(_ALERTS, values).fetchall():
        deliveries = connection.execute(_DELIVERIES, (name,)).fetchall()
        with counted():
            yield HistoryEntry(
                decode_alert(document),
                tuple(
                    DeliveryRecord(receiver, Outcome(outcome), attempts, reason, settled_ms)
                    for receiver, outcome, attempts, reason, settled_ms in deliveries
                ),
            )
