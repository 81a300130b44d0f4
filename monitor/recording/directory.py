"""The directory of recordings: its owner's alone, and which of its runs is being written now.

A run is locked for as long as its process lives. Nobody deletes anything of a locked run but its own writer.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

_OURS = re.compile(r"run-(\d{6})(?:-\d{6}\.mwrec|\.lock)")
_ATTEMPTS = 100


def make_private(directory: Path) -> bool:
    """Make it, readable by its owner alone; False where others may read it all the same. Raises OSError where it cannot be made.

    A directory that holds anything else is somebody's: its mode is left.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not stat.S_IMODE(directory.stat().st_mode) & 0o077:
        return True
    if not all(_OURS.fullmatch(name) for name in os.listdir(directory)):
        return False
    try:
        directory.chmod(0o700)
    except OSError:
        return False
    return True


def lock_path(directory: Path, run: int) -> Path:
    """Where the lock of a run is."""
    return directory / f"run-{run:06d}.lock"


def take_run(directory: Path) -> tuple[int, int]:
    """The number of a new run and the descriptor that holds its lock. Raises OSError."""
    for _ in range(_ATTEMPTS):
        known = [int(matched[1]) for name in os.listdir(directory) if (matched := _OURS.fullmatch(name))]
        run = max(known, default=0) + 1
        try:
            lock = os.open(lock_path(directory, run), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileExistsError:  # another process was faster
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
        return run, lock
    raise OSError("no number is free for a run")


def release_run(directory: Path, run: int, lock: int) -> None:
    """The run is over."""
    try:
        lock_path(directory, run).unlink(missing_ok=True)
        os.close(lock)
    except OSError:
        return


def is_locked(directory: Path, run: int) -> bool:
    """Whether a process writes the run; also where that cannot be seen."""
    try:
        lock = os.open(lock_path(directory, run), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
