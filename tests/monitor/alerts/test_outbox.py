"""What is written is there again: after a close, after a crash, for a reader beside the writer."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.alerts.alert import Alert
from monitor.alerts.outbox import Batch, HistoryEntry, Outbox, OutboxError, Outcome, read_history
from monitor.alerts.silences import REMEMBERED_MS, Silence
from monitor.margin.result import Level
from tests.monitor.alerts.outbox_samples import DEADLINE_MS, EPOCH_MS, NOW_MS, alert, closed, fired, incident, seams, until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "marginwatch" / "desk.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    box = Outbox(path, limit_s=10.0, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    yield box
    box.close()


def ids(entries: list[HistoryEntry]) -> list[str]:
    return [entry.alert.id for entry in entries]


async def test_a_new_process_gets_what_is_open_and_pending(path: Path, outbox: Outbox) -> None:
    first, second, third = alert(1), alert(2, pool="BTC"), alert(2, 2, pool="BTC", level=Level.LIQUIDATION)
    for batch in (fired(first), fired(second), fired(third)):
        assert await outbox.write(batch)
    outbox.settle([first.id], "ops", Outcome.DELIVERED, NOW_MS + 5, handles={first.incident: "C1/17.2"})
    outbox.tried([second.id], "ops", "HTTP 503")
    outbox.keep_silence(Silence("s1", "*/BTC/*", NOW_MS + 1000, "known", NOW_MS))
    outbox.keep_silence(Silence("s2", "*", NOW_MS - 1, "over", NOW_MS - 9))
    outbox.keep_silence(Silence("s3", "*", NOW_MS - REMEMBERED_MS, "long over", NOW_MS - REMEMBERED_MS - 9))
    outbox.close()

    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS + 7000, NOW_MS)  # a process that began 7 s later
    box.close()
    assert found.problem == ""
    assert [(held.key, held.number, held.sequence) for held in found.open] == [(first.key, 1, 1), (third.key, 2, 2)]
    assert [(held.opened_s, held.notified_s) for held in found.open] == [(43.0, 53.0)] * 2
    assert [(item.alert, item.receiver, item.deadline_ms) for item in found.pending] == [
        (first, "log", DEADLINE_MS),
        (second, "log", DEADLINE_MS),
        (second, "ops", DEADLINE_MS),
        (third, "log", DEADLINE_MS),
        (third, "ops", DEADLINE_MS),
    ]
    assert found.handles == {"ops": {first.incident: "C1/17.2"}}
    assert found.latest == (first, third)
    assert [silence.id for silence in found.silences] == ["s2", "s1"]
    assert found.newest == {first.key: (1, 1), third.key: (2, 2)}
    assert found.last_number == 2


async def test_what_ended_and_was_delivered_is_over(path: Path, outbox: Outbox) -> None:
    first, last = alert(3), alert(3, 2, level=Level.OK, previous=Level.CRITICAL)
    await outbox.write(fired(first))
    await outbox.write(closed(last, receivers=("ops",)))
    for receiver, each in (("ops", first), ("log", first), ("ops", last)):
        outbox.settle([each.id], receiver, Outcome.DELIVERED, NOW_MS, handles={first.incident: "x"})
    outbox.close()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    box.close()
    assert (found.open, found.pending, found.latest, found.handles, found.last_number) == ((), (), (), {}, 3)


async def test_the_handle_of_an_end_that_is_not_delivered_is_kept(path: Path, outbox: Outbox) -> None:
    first, last = alert(3), alert(3, 2)
    await outbox.write(fired(first, receivers=("ops",)))
    outbox.settle([first.id], "ops", Outcome.DELIVERED, NOW_MS, handles={first.incident: "x"})
    await outbox.write(closed(last, receivers=("ops",)))
    outbox.close()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    box.close()
    assert [item.alert.id for item in found.pending] == [last.id]
    assert found.handles == {"ops": {first.incident: "x"}}


async def test_an_escalation_is_pending_at_the_next_receiver(path: Path, outbox: Outbox) -> None:
    first = alert(1)
    await outbox.write(fired(first, receivers=("ops",)))
    outbox.reassign([replace(first, escalated_from="ops")], "boss", DEADLINE_MS + 1)
    outbox.settle([first.id], "ops", Outcome.ESCALATED, NOW_MS + 9, "no answer")
    outbox.close()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    box.close()
    assert [(item.alert, item.receiver, item.deadline_ms) for item in found.pending] == [
        (replace(first, escalated_from="ops"), "boss", DEADLINE_MS + 1)
    ]
    (entry,) = read_history(path, 5)
    assert {(each.receiver, each.outcome, each.reason, each.settled_ms) for each in entry.deliveries} == {
        ("ops", Outcome.ESCALATED, "no answer", NOW_MS + 9),
        ("boss", Outcome.PENDING, "", None),
    }


@pytest.mark.parametrize("in_memory", [False, True])
async def test_history_newest_first_with_what_became_of_it(tmp_path: Path, in_memory: bool) -> None:
    box = Outbox(None if in_memory else tmp_path / "h.db", limit_s=10.0, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    alerts = [alert(number, pool="BTC" if number % 2 else "USDC") for number in range(1, 7)]
    for each in alerts:
        assert await box.write(fired(each, receivers=("ops",)))
    box.tried([alerts[5].id], "ops", "HTTP 500")
    box.settle([alerts[5].id], "ops", Outcome.DELIVERED, NOW_MS + 77)

    assert ids(await box.history(3)) == [each.id for each in alerts[:2:-1]]
    assert ids(await box.history(9, before_ms=alerts[2].time_ms)) == [alerts[1].id, alerts[0].id]
    assert ids(await box.history(9, key="*/BTC/*")) == [alerts[4].id, alerts[2].id, alerts[0].id]
    assert ids(await box.history(9, key="*hl-main/[!B]*/*_level")) == [alerts[5].id, alerts[3].id, alerts[1].id]
    assert await box.history(0) == []
    (entry,) = await box.history(1)
    (delivery,) = entry.deliveries
    assert (entry.alert, delivery.outcome, delivery.attempts, delivery.reason, delivery.settled_ms) == (
        alerts[5],
        Outcome.DELIVERED,
        2,
        "HTTP 500",
        NOW_MS + 77,
    )
    box.close()


async def test_statistics(outbox: Outbox) -> None:
    first, second = alert(1), alert(2)
    assert outbox.statistics().oldest_pending_ms is None
    await outbox.write(fired(first))
    await outbox.write(fired(second))
    outbox.settle([first.id], "ops", Outcome.DELIVERED, NOW_MS)
    await until(lambda: outbox.statistics().waiting == 0)
    found = outbox.statistics()
    assert (found.failures, found.pending, found.oldest_pending_ms, found.problem) == (0, 3, first.time_ms, "")
    assert found.writes == 3
    assert 0 < found.last_write_s < 5


async def test_silenced_is_kept_but_not_pending(path: Path, outbox: Outbox) -> None:
    first = alert(1)
    await outbox.write(Batch((first,), (incident(first),), (), EPOCH_MS, {first.id: (("ops", Outcome.SILENCED),)}, DEADLINE_MS))
    assert outbox.statistics().pending == 0
    (entry,) = read_history(path, 5)
    assert [(each.outcome, each.settled_ms) for each in entry.deliveries] == [(Outcome.SILENCED, first.time_ms)]


async def test_old_history_goes_and_what_is_open_or_pending_stays(path: Path) -> None:
    day = 86_400_000
    box = Outbox(path, limit_s=10.0, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    ended, waiting, firing, recent = (alert(n, pool=f"P{n}", time_ms=NOW_MS - day * (40 if n < 4 else 2)) for n in range(1, 5))
    for each in (ended, waiting, recent):
        await box.write(fired(each, receivers=("ops",)))
        await box.write(closed(each))
    await box.write(fired(firing, receivers=("ops",)))
    for name, until_ms in (("just", NOW_MS - 1), ("long", NOW_MS - REMEMBERED_MS - 1)):
        box.keep_silence(Silence(name, "*", until_ms, "over", until_ms - 9))
    for each in (ended, firing, recent):
        box.settle([each.id], "ops", Outcome.DELIVERED, NOW_MS)
    box.close()
    assert len(read_history(path, 9)) == 4

    box = Outbox(path, limit_s=10.0, keep_days=30, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    await until(lambda: len(read_history(path, 9)) == 3)
    box.close()
    assert {entry.alert.id for entry in read_history(path, 9)} == {waiting.id, firing.id, recent.id}
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (3,)
        assert connection.execute("SELECT id FROM silences").fetchall() == [("just",)]
    connection.close()


async def test_nobody_else_may_read_it(path: Path, outbox: Outbox) -> None:
    assert await outbox.write(fired(alert(1)))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}
    assert len(list(path.parent.iterdir())) == 4


async def test_an_existing_file_is_closed_to_others(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch(0o666)
    path.chmod(0o666)
    box = Outbox(path, seams=seams())
    box.open(EPOCH_MS, NOW_MS)
    box.close()
    assert path.stat().st_mode & 0o777 == 0o600


def _files(path: Path) -> dict[str, tuple[str, int]]:
    return {
        each.name: (hashlib.sha256(each.read_bytes()).hexdigest(), each.stat().st_mtime_ns)
        for each in path.parent.iterdir()
        if each.is_file()
    }


async def test_history_is_read_beside_a_writer_and_without_one_and_alters_nothing(path: Path, outbox: Outbox) -> None:
    first = alert(1)
    assert await outbox.write(fired(first))
    code = (
        f"from pathlib import Path; from monitor.alerts.outbox import read_history; print(read_history(Path({str(path)!r}), 5)[0].alert.id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == first.id
    assert ids(read_history(path, 5)) == [first.id]
    assert await outbox.write(fired(alert(2)))
    outbox.close()
    before = _files(path)
    assert set(before) == {"desk.db", "desk.db.lock"}
    assert ids(read_history(path, 5)) == [alert(2).id, first.id]
    assert _files(path) == before


def test_history_of_a_file_that_is_not_there_is_an_error_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match=r"outbox none\.db: there is no such file"):
        read_history(tmp_path / "none.db", 5)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("no database, but long enough to be looked at " * 20)
    with pytest.raises(OutboxError, match=r"outbox text\.db: the file is corrupt"):
        read_history(tmp_path / "text.db", 5)


def test_history_of_a_file_that_was_just_begun_is_empty(tmp_path: Path) -> None:
    (tmp_path / "new.db").touch()
    assert read_history(tmp_path / "new.db", 5) == []


async def test_text_that_is_no_unicode_is_kept(path: Path, outbox: Outbox) -> None:
    odd: Alert = alert(1, title="\ud83d half", details=("\0", "\U0001f6a8 \u2028", "\udfff"), figures={"big": 2**80, "odd": "\ud800"})
    assert await outbox.write(fired(odd, receivers=("op\ud800s\0",)))
    outbox.tried([odd.id], "op\ud800s\0", "\udc80\0")
    outbox.close()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    box.close()
    assert [item.alert for item in found.pending] == [odd]


async def test_notes_of_one_moment_are_one_transaction(outbox: Outbox) -> None:
    alerts = [alert(number) for number in range(1, 40)]
    await outbox.write(fired(*alerts, receivers=("ops",)))
    for each in alerts:
        outbox.settle([each.id], "ops", Outcome.DELIVERED, NOW_MS)
    await until(lambda: outbox.statistics().waiting == 0)
    assert outbox.statistics().writes <= 4


async def test_an_incident_that_cannot_be_read_is_left_out_and_said(path: Path, outbox: Outbox) -> None:
    await outbox.write(fired(alert(1), alert(2, pool="BTC")))
    outbox.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE incidents SET document = '{}' WHERE number = 1")
    connection.commit()
    connection.close()
    box = Outbox(path, limit_s=10.0, seams=seams())
    found = box.open(EPOCH_MS, NOW_MS)
    assert [held.number for held in found.open] == [2]
    assert box.problem == "outbox desk.db: 1 of its entries could not be read and were left out"
    assert await box.write(fired(alert(3)))
    box.close()


async def test_the_log_is_carried_over_when_nobody_waits(path: Path) -> None:
    box = Outbox(path, limit_s=10.0, seams=seams(checkpoint_after=3))
    box.open(EPOCH_MS, NOW_MS)
    small = path.stat().st_size
    for number in range(1, 9):
        await box.write(fired(alert(number, figures={"filler": "x" * 3000})))
    await until(lambda: path.stat().st_size > small)
    box.close()
