"""The outbox's file on the disk: who may use it, whether it is still the one that was opened, and what is wrong with it in words."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from monitor.alerts.outbox_records import CorruptError, OutboxError

SIDE_FILES = ("", "-wal", "-shm")
MAX_SET_ASIDE = 5
"""Corrupt files kept beside the outbox: more of them mean that the disk, and not a file, is broken."""

_WORDS = {
    sqlite3.SQLITE_BUSY: "it is locked by another program",
    sqlite3.SQLITE_LOCKED: "it is locked by another program",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: "it may not be written: the file, its directory or the disk is read-only",
    sqlite3.SQLITE_PERM: "it may not be written: look at the rights of the file and its directory",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at the directory and its rights",
}
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def failure(name: str, error: Exception) -> OutboxError:
    """Any error of the disk or of SQLite as a sentence about the outbox `name`, without a path."""
    if isinstance(error, OutboxError):
        return error
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code & 0xFF in _CORRUPT:
            return CorruptError(f"outbox {name}: the file is corrupt")
        words = _WORDS.get(code & 0xFF, f"SQLite failed: {error} ({getattr(error, 'sqlite_errorname', 'no code')})")
    elif isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        words = _WORDS[sqlite3.SQLITE_FULL] if full else f"the disk refused: {error.strerror or type(error).__name__}"
    else:
        words = f"it failed unexpectedly ({type(error).__name__})"
    return OutboxError(f"outbox {name}: {words}")


def prepare(path: Path) -> None:
    """Directory 0700 and file 0600, where they are not there yet; an existing file is closed to others. OSError if that fails."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir(0o700, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # never by a descriptor of our own: closing one would drop the locks that SQLite holds in this process
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class FileLock:
    """Keeps other processes from the outbox by a lock on a side file, which ends with the process however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._name = path.name
        self._descriptor: int | None = None

    def take(self) -> None:
        """Hold the lock; OutboxError where another process does, OSError where the disk refuses."""
        if self._descriptor is not None and self._is_ours():
            return
        self.release()
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OutboxError(f"outbox {self._name}: another marginwatch uses this outbox") from None
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def check(self) -> None:
        """OutboxError if the side file was deleted or replaced, so that another process could take it."""
        if not self._is_ours():
            raise OutboxError(f"outbox {self._name}: its lock file was deleted or replaced")

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _is_ours(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return _same(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False


class Identity:
    """Which files were opened: SQLite goes on writing to a deleted one as if nothing had happened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = {side: self._now(side) for side in SIDE_FILES}

    def check(self, sides: Sequence[str] = SIDE_FILES) -> None:
        """OutboxError unless the outbox ("") and its side files are still those that were opened."""
        if any(self._now(side) != self._files[side] for side in sides):
            raise OutboxError(f"outbox {self._path.name}: the file was deleted or replaced; a new one is begun with all that is open")

    def _now(self, side: str) -> tuple[int, int] | None:
        try:
            status = os.stat(f"{self._path}{side}")
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def set_aside(path: Path) -> str:
    """Rename a corrupt outbox; a sentence that says so. OutboxError if there are too many already, OSError if the disk refuses."""
    if len(list(path.parent.glob(f"{path.name}.corrupt-*[0-9]"))) >= MAX_SET_ASIDE:
        raise OutboxError(f"outbox {path.name}: corrupt again after {MAX_SET_ASIDE} others that lie beside it: look at the disk")
    name = time.strftime(f"{path.name}.corrupt-%Y%m%dT%H%M%S", time.gmtime())
    number = 1
    target = path.with_name(f"{name}{number:02d}")
    while target.exists():
        number += 1
        target = path.with_name(f"{name}{number:02d}")
    for side in SIDE_FILES[1:]:
        with suppress(FileNotFoundError):
            os.rename(f"{path}{side}", f"{target}{side}")
    os.rename(path, target)
    return f"outbox {path.name}: the file was corrupt and lies beside it as {target.name}; a new one was begun"


def _same(first: os.stat_result, second: os.stat_result) -> bool:
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)
