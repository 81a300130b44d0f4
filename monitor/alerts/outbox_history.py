"""Reading an outbox that another thread or process writes, or nobody: no file is created or altered."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from monitor.alerts.outbox_codec import UNREADABLE, decode_alert
from monitor.alerts.outbox_files import failure
from monitor.alerts.outbox_records import DeliveryRecord, HistoryEntry, OutboxError, Outcome
from monitor.alerts.outbox_schema import check_version, version_of

_WAIT_S = 1.0

_ALERTS = """
    SELECT id, document FROM alerts WHERE time_ms < :before AND (:key IS NULL OR key GLOB :key)
    ORDER BY time_ms DESC, seq DESC LIMIT :limit
"""
_DELIVERIES = "SELECT receiver, outcome, attempts, reason, settled_ms FROM deliveries WHERE alert = ?"
_LATEST = (1 << 63) - 1


def read_history(path: Path, limit: int, *, before_ms: int | None = None, key: str | None = None) -> list[HistoryEntry]:
    """The last alerts in an outbox, newest first, beside a running monitor or without one; `key` is a pattern with shell wildcards.

    OutboxError says why the file cannot be read.
    """
    if not path.is_file():
        raise OutboxError(f"outbox {path.name}: there is no such file; the monitor begins it when it first runs")
    try:
        with closing(_connect_beside(path)) as connection:
            return _read(connection, path.name, limit, before_ms, key)
    except Exception as error:
        raise failure(path.name, error) from None


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
    connection.execute("BEGIN")
    version = version_of(connection)
    if version.is_empty:
        return []
    check_version(version, name)
    pattern = None if key is None else key.replace("[!", "[^")
    values = {"before": _LATEST if before_ms is None else before_ms, "key": pattern, "limit": max(limit, 0)}
    return list(_entries(connection, connection.execute(_ALERTS, values).fetchall()))


def _entries(connection: sqlite3.Connection, rows: Iterable[tuple[str, str]]) -> Iterator[HistoryEntry]:
    for name, document in rows:
        deliveries = connection.execute(_DELIVERIES, (name,)).fetchall()
        with suppress(*UNREADABLE):
            yield HistoryEntry(
                decode_alert(document),
                tuple(
                    DeliveryRecord(receiver, Outcome(outcome), attempts, reason, settled_ms)
                    for receiver, outcome, attempts, reason, settled_ms in deliveries
                ),
            )
