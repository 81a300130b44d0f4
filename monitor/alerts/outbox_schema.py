"""The tables of the outbox, and the one statement that writes a transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import orjson

from monitor.alerts.outbox_codec import dumps, encode_alert, encode_incident, encode_silence
from monitor.alerts.outbox_records import OutboxError
from monitor.alerts.outbox_state import Changes

APPLICATION_ID = 0x6D77_6F62
"""Stands in the file's header and tells it from other programs' SQLite files."""

_MIGRATIONS = (
    f"""
    CREATE TABLE alerts (
        seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, id TEXT NOT NULL, key TEXT NOT NULL, number INTEGER NOT NULL,
        document TEXT NOT NULL, UNIQUE (time_ms, id));
    CREATE TABLE deliveries (
        alert TEXT NOT NULL, receiver TEXT NOT NULL, time_ms INTEGER NOT NULL, outcome TEXT NOT NULL, deadline_ms INTEGER NOT NULL,
        escalated_from TEXT NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL, settled_ms INTEGER,
        PRIMARY KEY (alert, receiver)) WITHOUT ROWID;
    CREATE TABLE incidents (
        key TEXT PRIMARY KEY, number INTEGER NOT NULL, document TEXT NOT NULL, latest_ms INTEGER, latest TEXT) WITHOUT ROWID;
    CREATE TABLE silences (id TEXT PRIMARY KEY, until_ms INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE handles (receiver TEXT, incident TEXT, handle TEXT NOT NULL, PRIMARY KEY (receiver, incident)) WITHOUT ROWID;
    CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    PRAGMA application_id = {APPLICATION_ID};
    """,
)
"""What turns version n of the file into version n + 1."""

SCHEMA = len(_MIGRATIONS)

WRITE = "INSERT INTO changes VALUES (?)"
"""One transaction, given as a JSON document."""


def _columns(count: int) -> str:
    return ", ".join(f"json_extract(value, '$[{index}]')" for index in range(count))


# One statement, because Python gives its lock away and waits for it anew in each: with a busy loop beside it that is most of the time.
WRITER = f"""
    CREATE TEMP VIEW changes AS SELECT NULL AS document;
    CREATE TEMP TRIGGER write_changes INSTEAD OF INSERT ON changes BEGIN
        INSERT INTO alerts (time_ms, id, key, number, document) SELECT {_columns(5)} FROM json_each(NEW.document, '$.alerts') WHERE true
            ON CONFLICT (time_ms, id) DO UPDATE SET document = excluded.document;
        INSERT OR REPLACE INTO deliveries SELECT {_columns(9)} FROM json_each(NEW.document, '$.deliveries');
        DELETE FROM incidents WHERE key IN (SELECT value FROM json_each(NEW.document, '$.closed'));
        INSERT OR REPLACE INTO incidents SELECT {_columns(5)} FROM json_each(NEW.document, '$.incidents');
        INSERT OR REPLACE INTO silences SELECT {_columns(3)} FROM json_each(NEW.document, '$.silences');
        INSERT OR REPLACE INTO handles SELECT {_columns(3)} FROM json_each(NEW.document, '$.handles');
        INSERT INTO numbers SELECT 'incident', value FROM json_each(NEW.document, '$.numbers') WHERE true
            ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);
    END;
"""


@dataclass(frozen=True, slots=True)
class Version:
    """What the header of a file says."""

    schema: int
    application: int
    is_empty: bool


def version_of(connection: sqlite3.Connection) -> Version:
    """Reads the header."""
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return Version(schema, application, tables == 0)


def check_version(version: Version, name: str) -> None:
    """OutboxError for another program's file and for a newer schema than ours."""
    if version.is_empty and version.schema == 0:
        return
    if version.application != APPLICATION_ID:
        raise OutboxError(f"outbox {name}: it is another program's SQLite file; name another one in alerts.outbox")
    if version.schema > SCHEMA:
        raise OutboxError(
            f"outbox {name}: a newer marginwatch wrote it (schema {version.schema}, this one knows {SCHEMA}); "
            f"run the newer one, or name another file in alerts.outbox"
        )


def migrate(connection: sqlite3.Connection, version: Version) -> None:
    """Bring an older or empty file to SCHEMA, one version a transaction."""
    for step in range(version.schema, SCHEMA):
        connection.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")


def document_of(changes: Changes) -> str:
    """The JSON document for WRITE."""
    document = {
        "alerts": [[alert.time_ms, _text(alert.id), _text(alert.key), alert.number, encode_alert(alert)] for alert in changes.alerts],
        "deliveries": [
            [
                _text(alert.id),
                _text(receiver),
                alert.time_ms,
                state.outcome.value,
                state.deadline_ms,
                _text(state.escalated_from),
                state.attempts,
                _text(state.reason),
                state.settled_ms,
            ]
            for alert, receiver, state in changes.deliveries
        ],
        "closed": [_text(key) for key in changes.closed],
        "incidents": [
            [
                _text(state.incident.key),
                state.incident.number,
                encode_incident(state.incident, state.epoch_ms),
                state.latest and state.latest.time_ms,
                state.latest and _text(state.latest.id),
            ]
            for state in changes.incidents
        ],
        "silences": [[_text(silence.id), silence.until_ms, encode_silence(silence)] for silence in changes.silences],
        "handles": [[_text(part) for part in parts] for parts in changes.handles],
        "numbers": [] if changes.last_number is None else [changes.last_number],
    }
    try:
        return orjson.dumps(document).decode()
    except TypeError:
        return dumps(document)


def _text(text: str) -> str:
    # what a column of text cannot hold; documents keep it, escaped
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
