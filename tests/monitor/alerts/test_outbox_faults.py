"""The disk refuses, hangs, lies or is somebody else's: writing says so in time, goes on in memory, and makes the file true later."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts.outbox import Outbox, Outcome, Recovered, read_history
from monitor.alerts.outbox_files import MAX_SET_ASIDE, failure
from monitor.alerts.outbox_schema import APPLICATION_ID, SCHEMA
from monitor.alerts.outbox_state import MAX_HELD, OutboxState
from monitor.alerts.outbox_store import connect
from monitor.alerts.rules import Rule
from monitor.alerts.silences import REMEMBERED_MS, Silence
from tests.monitor.alerts.outbox_samples import EPOCH_MS, NOW_MS, alert, closed, fired, seams, until

LIMIT_S = 0.25
READ_ONLY = "outbox desk.db: it may not be written: the file, its directory or the disk is read-only"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.db"


def opened(path: Path, limit_s: float = 10.0, **changes: Any) -> Outbox:
    box = Outbox(path, limit_s=limit_s, seams=seams(**changes))
    assert box.open(EPOCH_MS, NOW_MS).problem == ""
    return box


def recovered(path: Path) -> Recovered:
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    box.close()
    return found


async def outage(box: Outbox, words: str) -> None:
    """Five writes while the disk refuses: in time, the later ones at once; one incident opens and closes, one stays."""
    begun = time.monotonic()
    assert not await box.write(fired(alert(11), receivers=("ops",)))
    assert time.monotonic() - begun < 4 * LIMIT_S
    assert words in box.problem
    assert "/" not in box.problem
    begun = time.monotonic()
    assert not await box.write(fired(alert(12, pool="BTC"), receivers=("ops",)))
    assert not await box.write(closed(alert(11, 2), receivers=("ops",)))
    box.settle([alert(11).id], "ops", Outcome.DELIVERED, NOW_MS + 1)
    assert time.monotonic() - begun < LIMIT_S * 0.9
    assert [entry.alert.id for entry in await box.history(3)][:3] == [alert(12, pool="BTC").id, alert(11, 2).id, alert(11).id]


async def healed(box: Outbox, path: Path) -> None:
    """The disk works again: the file is what it would be without the outage."""
    await until(lambda: box.problem == "" and box.statistics().waiting == 0)
    assert await box.write(fired(alert(13, pool="ETH"), receivers=("ops",)))
    assert box.statistics().failures >= 1
    box.close()
    found = recovered(path)
    assert {held.number for held in found.open} == {12, 13}
    assert [item.alert.id for item in found.pending] == [alert(12, pool="BTC").id, alert(11, 2).id, alert(13, pool="ETH").id]
    assert found.last_number == 13
    assert [entry.deliveries[0].outcome for entry in read_history(path, 9) if entry.alert.id == alert(11).id] == [Outcome.DELIVERED]


class Faulty:
    """Connections whose writes fail as `error` says, that may not write (SQLite's own error), or hang until `go`."""

    def __init__(self) -> None:
        self.error: sqlite3.Error | None = None
        self.read_only = False
        self.go = threading.Event()
        self.go.set()

    def __call__(self, path: str, wait_s: float) -> sqlite3.Connection:
        fault = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                if sql.startswith(("INSERT", "BEGIN")):
                    fault.go.wait(20)
                    if fault.error is not None:
                        raise fault.error
                    super().execute(f"PRAGMA query_only = {fault.read_only:d}")
                return super().execute(sql, *values)

        return sqlite3.connect(path, timeout=wait_s, isolation_level=None, factory=Connection)


async def test_a_full_disk(path: Path) -> None:
    pages: list[int] = [1 << 30]

    def limited(name: str, wait_s: float) -> sqlite3.Connection:
        connection = connect(name, wait_s)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    opened(path).close()
    pages[0] = path.stat().st_size // 4096  # not one page more: SQLite itself says that the disk is full
    box = opened(path, connect=limited)
    filler = alert(1, figures={"filler": "x" * 40_000})
    assert not await box.write(fired(filler, receivers=()))
    await until(lambda: "the disk is full" in box.problem)
    assert not await box.write(closed(alert(1, 2)))
    await outage(box, "outbox desk.db: the disk is full")
    pages[0] = 1 << 30
    await healed(box, path)


async def test_locked_by_another_program(path: Path) -> None:
    box = opened(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    await outage(box, "outbox desk.db: it is locked by another program")
    other.execute("ROLLBACK")
    other.close()
    await healed(box, path)


async def test_a_file_that_became_read_only(path: Path) -> None:
    fault = Faulty()
    box = opened(path, connect=fault)
    fault.read_only = True
    await outage(box, READ_ONLY)
    fault.read_only = False
    await healed(box, path)


async def test_a_read_only_file_is_noticed_before_anything_is_written(path: Path) -> None:
    fault = Faulty()
    box = opened(path)
    assert await box.write(fired(alert(1)))
    box.close()
    fault.read_only = True
    box = opened(path, connect=fault, idle_s=30.0)
    await until(lambda: box.problem == READ_ONLY)
    box.close()


async def test_a_disk_that_hangs(path: Path) -> None:
    fault = Faulty()
    box = opened(path, LIMIT_S, connect=fault)
    fault.go.clear()
    begun = time.monotonic()
    assert not await box.write(fired(alert(1)))
    assert LIMIT_S * 0.9 < time.monotonic() - begun < 4 * LIMIT_S
    assert box.problem == "outbox desk.db: a write did not finish within 0.25 s"
    begun = time.monotonic()
    assert not await box.write(closed(alert(1, 2)))
    assert time.monotonic() - begun < LIMIT_S * 0.9
    assert box.statistics().waiting == 2
    fault.go.set()
    await until(lambda: box.problem == "")
    assert await box.write(fired(alert(2)))
    box.close()
    assert [held.number for held in recovered(path).open] == [2]


async def test_a_hanging_disk_does_not_hold_up_a_stop(path: Path) -> None:
    fault = Faulty()
    box = opened(path, LIMIT_S, connect=fault)
    fault.go.clear()
    assert not await box.write(fired(alert(1)))
    begun = time.monotonic()
    box.close(0.05)
    assert time.monotonic() - begun < 1
    fault.go.set()


async def test_a_disk_that_hangs_at_the_start(path: Path) -> None:
    go = threading.Event()

    def hanging(name: str, wait_s: float) -> sqlite3.Connection:
        go.wait(20)
        return connect(name, wait_s)

    box = Outbox(path, limit_s=10.0, seams=seams(connect=hanging, open_s=0.05))
    found = box.open(EPOCH_MS, NOW_MS)
    assert found.problem == box.problem == "outbox desk.db: the disk did not answer within 0.05 s"
    assert found.last_number == NOW_MS // 1000
    assert not await box.write(fired(alert(found.last_number + 1)))
    go.set()
    await until(lambda: box.problem == "")
    box.close()
    assert recovered(path).last_number == NOW_MS // 1000 + 1


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL])
async def test_any_other_error(path: Path, code: int) -> None:
    fault = Faulty()
    box = opened(path, connect=fault)
    fault.error = sqlite3.OperationalError("the wheels came off")
    fault.error.sqlite_errorcode, fault.error.sqlite_errorname = code, "SQLITE_ODD"
    await outage(box, "outbox desk.db: SQLite failed: the wheels came off (SQLITE_ODD)")
    fault.error = None
    await healed(box, path)


async def test_what_ends_during_an_outage_is_over_after_it(path: Path) -> None:
    fault = Faulty()
    box = opened(path, connect=fault)
    assert await box.write(fired(alert(1), alert(2, pool="BTC")))
    fault.error = sqlite3.OperationalError("no")
    assert not await box.write(closed(alert(1, 2)))
    fault.error = None
    await until(lambda: box.problem == "")
    box.close()
    assert [held.number for held in recovered(path).open] == [2]


@pytest.mark.parametrize("side", ["", "-wal", ".lock"])
@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_is_deleted_or_replaced_is_begun_anew(path: Path, side: str, replaced: bool) -> None:
    box = opened(path, first_retry_s=0.2, longest_retry_s=0.2)
    assert await box.write(fired(alert(1), alert(2, pool="BTC"), receivers=("ops",)))
    victim = path.with_name(path.name + side)
    if replaced:
        (copy := path.with_name("copy")).write_bytes(victim.read_bytes())
        copy.replace(victim)
    else:
        victim.unlink()
    await until(lambda: "deleted or replaced" in box.problem)
    assert not await box.write(fired(alert(3, pool="ETH")))
    await until(lambda: box.problem == "")
    box.close()
    found = recovered(path)
    assert [held.number for held in found.open] == [1, 2, 3]
    assert found.last_number == 3


async def test_a_write_notices_that_the_file_is_gone(path: Path) -> None:
    box = opened(path, idle_s=30.0)
    assert await box.write(fired(alert(1)))
    path.unlink()
    assert not await box.write(fired(alert(2)))
    await until(lambda: box.problem == "")
    box.close()
    assert recovered(path).last_number == 2


async def test_a_corrupt_file_is_set_aside_and_told_once(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    assert (found.open, found.last_number) == ((), NOW_MS // 1000)
    (aside,) = [each for each in path.parent.iterdir() if ".corrupt-" in each.name]
    assert aside.read_bytes() == b"no database at all" * 1000
    assert box.problem == f"outbox desk.db: the file was corrupt and lies beside it as {aside.name}; a new one was begun"
    await _told_once(box)
    box.close()


async def _told_once(box: Outbox) -> None:
    words = box.problem
    other, telling = alert(5, rule=Rule.OUTBOX, detail="the disk is full"), alert(6, rule=Rule.OUTBOX, detail=f"x: {words}")
    assert await box.write(fired(other, telling, receivers=("ops",)))  # the new file works meanwhile
    box.settle([other.id], "ops", Outcome.DELIVERED, NOW_MS)
    box.settle([telling.id], "ops", Outcome.FAILED, NOW_MS)
    assert box.problem == words
    box.settle([telling.id], "ops", Outcome.DELIVERED, NOW_MS)
    assert box.problem == ""


async def test_a_notice_ends_by_itself_after_a_while(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)
    box = Outbox(path, limit_s=10.0, seams=seams(notice_s=0.05))
    box.open(EPOCH_MS, NOW_MS)
    await until(lambda: box.problem == "")
    box.close()


async def test_what_can_be_read_of_a_damaged_file_is_taken_over(path: Path) -> None:
    box = opened(path)
    assert await box.write(fired(*(alert(number, pool=f"P{number}", figures={"filler": "x" * 900}) for number in range(1, 80))))
    box.close()
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'silences'").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(os.urandom(4096))
    box = Outbox(path, limit_s=10.0, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    assert "corrupt" in box.problem
    assert await box.write(fired(alert(99)))
    box.close()
    assert recovered(path).last_number >= NOW_MS // 1000


async def test_a_file_that_becomes_corrupt_is_begun_anew_from_memory(path: Path) -> None:
    fault = Faulty()
    box = opened(path, connect=fault)
    assert await box.write(fired(alert(1), receivers=("ops",)))
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    fault.error = error
    assert not await box.write(fired(alert(2, pool="BTC"), receivers=("ops",)))
    fault.error = None
    await until(lambda: box.problem.startswith("outbox desk.db: the file was corrupt and lies beside it") and ";" in box.problem)
    await until(lambda: box.statistics().waiting == 0)
    box.close()
    found = recovered(path)
    assert [held.number for held in found.open] == [1, 2]
    assert len(found.pending) == 2


async def test_a_disk_that_corrupts_everything_is_not_filled_with_copies(path: Path) -> None:
    for number in range(MAX_SET_ASIDE):
        path.with_name(f"{path.name}.corrupt-20240101T0000000{number}").touch()
    path.write_bytes(b"no database at all" * 1000)
    found = recovered(path)
    assert found.problem == "outbox desk.db: corrupt again after 5 others that lie beside it: look at the disk"
    assert path.exists()


async def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    opened(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    assert "a newer marginwatch wrote it (schema 2, this one knows 1)" in found.problem
    assert not await box.write(fired(alert(1)))
    box.close()
    assert path.read_bytes() == before


async def test_another_programs_file_is_refused_and_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    before = path.read_bytes()
    assert "it is another program's SQLite file" in recovered(path).problem
    assert path.read_bytes() == before
    assert APPLICATION_ID != 0


@pytest.mark.parametrize("kind", ["a file in the way", "a directory there"])
async def test_a_place_where_no_file_can_be(tmp_path: Path, kind: str) -> None:
    if kind == "a directory there":
        (path := tmp_path / "desk.db").mkdir()
    else:
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "desk.db"
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    assert found.problem.startswith("outbox desk.db: ")
    assert str(tmp_path) not in found.problem
    assert not await box.write(fired(alert(1)))
    assert [entry.alert for entry in await box.history(5)] == [alert(1)]
    box.close()


async def test_no_right_to_the_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = [False]
    real = os.open

    def guarded(name: Any, *rest: Any, **more: Any) -> int:
        if not allowed[0] and str(name).startswith(str(path)):
            raise PermissionError(13, "Permission denied", str(name))
        return real(name, *rest, **more)

    monkeypatch.setattr(os, "open", guarded)
    box = Outbox(path, limit_s=10.0, seams=seams())
    assert box.open(EPOCH_MS, NOW_MS).problem == "outbox desk.db: the disk refused: Permission denied"
    assert not await box.write(fired(alert(1)))
    allowed[0] = True
    await until(lambda: box.problem == "")
    box.close()
    assert [held.number for held in recovered(path).open] == [1]


_HOLDER = """
import sys
from pathlib import Path
from monitor.alerts.outbox import Outbox
box = Outbox(Path(sys.argv[1]))
assert box.open(0.0, 0).problem == ""
print("holds", flush=True)
sys.stdin.read()
"""


async def test_a_second_process_goes_on_in_memory_until_the_first_ends(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holds\n"
        box = Outbox(path, limit_s=10.0, seams=seams())
        found = box.open(EPOCH_MS, NOW_MS)
        assert found.problem == "outbox desk.db: another marginwatch uses this outbox"
        assert not await box.write(fired(alert(found.last_number + 1)))
        assert read_history(path, 5) == []
    finally:
        holder.kill()
        holder.communicate()
    await until(lambda: box.problem == "")
    box.close()
    assert [held.number for held in recovered(path).open] == [NOW_MS // 1000 + 1]


def test_memory_is_bounded_and_what_is_pending_stays_longest() -> None:
    state = OutboxState()
    waiting = alert(1, pool="FIRST")
    state.apply(fired(waiting, receivers=("ops",)))
    for number in range(2, MAX_HELD + 50):
        each = alert(number)
        state.apply(fired(each, receivers=("ops",)))
        state.settle([each.id], "ops", Outcome.DELIVERED, NOW_MS, "", None)
    changes = state.take()
    assert len(changes.alerts) == len(changes.deliveries) == MAX_HELD
    assert changes.alerts[0] == waiting
    assert len(changes.marks) <= 2 * MAX_HELD + 10
    state.give_back(changes)
    assert state.take() == changes


def test_memory_lets_go_of_handles_and_silences_that_are_over() -> None:
    state = OutboxState()
    for number, pool in enumerate(("OPEN", "WAITING", "OVER"), 1):
        each = alert(number, pool=pool)
        state.apply(fired(each, receivers=("ops",)))
        state.settle([each.id], "ops", Outcome.DELIVERED, NOW_MS, "", {each.incident: pool})
        if pool != "OPEN":
            state.apply(closed(alert(number, 2, pool=pool), receivers=("ops",) if pool == "WAITING" else ()))
        state.keep_silence(Silence(pool, "*", NOW_MS + number, "", NOW_MS))
    state.forget_ended(NOW_MS + 1 + REMEMBERED_MS)
    changes = state.take()
    assert [handle for _, _, handle in changes.handles] == ["OPEN", "WAITING"]
    assert [silence.id for silence in changes.silences] == ["WAITING", "OVER"]


def test_words_hold_no_path() -> None:
    errors = (PermissionError(13, "Permission denied", "/srv/alice/x.db"), OSError(28, "No space", "/srv/alice"), KeyError("/srv/alice"))
    for error in errors:
        assert "alice" not in str(failure("x.db", error))
    assert "the disk is full" in str(failure("x.db", errors[1]))


async def test_before_it_is_opened_and_after_it_is_closed_nothing_is_durable(path: Path) -> None:
    box = Outbox(path, limit_s=10.0, seams=seams())
    assert not await box.write(fired(alert(1)))
    assert box.problem == "outbox desk.db: it is not open"
    box.open(EPOCH_MS, NOW_MS)
    assert box.problem == ""
    box.close()
    assert not await box.write(fired(alert(2)))
    assert box.problem == "outbox desk.db: it is not open"
