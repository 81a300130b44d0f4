"""The dispatcher with the real outbox: what one process leaves, the next one goes on with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from monitor.alerts.alert import Alert
from monitor.alerts.dispatcher import Dispatcher, LineSettings
from monitor.alerts.message import Delivery
from monitor.alerts.outbox import Batch, Outbox, Outcome
from monitor.alerts.outbox import Seams as OutboxSeams
from monitor.alerts.routing import Route
from monitor.alerts.scope import ScopeKind
from monitor.alerts.silences import Silence, Silences
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import FATAL, Pager, alert, end, incident, line, step, submit

FEEDS_ONLY = Route(scopes=frozenset({ScopeKind.FEED}))


async def process(path: Path, lines: list[LineSettings], alerts: list[Alert], until: Callable[[Outbox], bool]) -> dict[str, Outcome]:
    """One life: submit, wait until all is as wanted, stop; what became of every delivery, by `alert receiver`."""
    outbox = Outbox(path, limit_s=5.0, seams=OutboxSeams())
    now_ms = time.time_ns() // 1_000_000
    dispatcher = Dispatcher(lines, outbox)
    dispatcher.start(outbox.open(now_ms - time.monotonic() * 1000, now_ms))
    submit(dispatcher, alerts)
    async with asyncio.timeout(10):
        while not until(outbox):
            await asyncio.sleep(0.005)
    await dispatcher.close(0.2)
    entries = await outbox.history(100)
    outbox.close()
    return {f"{step(entry.alert)} {row.receiver}": row.outcome for entry in entries for row in entry.deliveries}


async def test_a_second_process_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    now_ms = time.time_ns() // 1_000_000
    first, warning = alert("a", time_ms=now_ms), alert("b", level=Level.WARNING, time_ms=now_ms)
    pager, heir = Pager("pager", Delivery(True, handles={first.incident: "ts"})), Pager("heir")
    lines = [
        line(Pager("ops", FATAL), escalate_to="heir"),
        line(pager, Level.CRITICAL),
        LineSettings(heir, FEEDS_ONLY),
        line(Pager("slow", "hang")),
    ]
    found = await process(path, lines, [first, warning], lambda _: bool(pager.taken) and len(heir.taken) == 2)
    assert [step(got) for got in (*pager.taken, *heir.taken)] == ["a 1.1", "a 1.1", "b 1.1"]
    assert {place for place, outcome in found.items() if outcome is Outcome.PENDING} == {"a 1.1 slow", "b 1.1 slow"}

    pager, heir, slow = Pager("pager"), Pager("heir"), Pager("slow")
    lines = [line(Pager("ops")), line(pager, Level.CRITICAL), LineSettings(heir, FEEDS_ONLY), line(slow)]
    ends = [end("a", 2, Level.WARNING, time_ms=now_ms), end("b", 2, Level.WARNING, time_ms=now_ms)]
    found = await process(path, lines, ends, lambda outbox: outbox.statistics().pending == 0 and len(slow.taken) == 4)
    assert [step(got) for got in slow.taken] == ["a 1.1", "b 1.1", "a 1.2", "b 1.2"]
    assert [step(got) for got in heir.taken] == ["a 1.2", "b 1.2"], "it was told the beginning, though by an escalation"
    assert [step(got) for got in pager.taken] == ["a 1.2"], "it was told of one of them"
    assert dict(pager.messages[0].handles) == {first.incident: "ts"}
    assert Outcome.PENDING not in found.values()


async def test_a_silence_that_ended_while_nobody_ran_reminds(tmp_path: Path) -> None:
    path, now_ms = tmp_path / "outbox.db", time.time_ns() // 1_000_000
    ops = Pager()
    silences = Silences()
    outbox = Outbox(path, limit_s=5.0)
    outbox.keep_silence(Silence("s1", "*", now_ms - 1000, "moving margin", now_ms - 9000))
    outbox.open(now_ms, now_ms)
    held = alert("a", time_ms=now_ms - 5000)
    batch = Batch((held,), (incident(held),), (), now_ms, {held.id: (("ops", Outcome.SILENCED),)}, now_ms)
    assert await outbox.write(batch)
    outbox.close()

    outbox = Outbox(path, limit_s=5.0)
    dispatcher = Dispatcher([line(ops)], outbox, silences=silences)
    dispatcher.start(outbox.open(now_ms, now_ms))
    assert silences.active(now_ms) == []
    assert silences.reminders(now_ms) == [held.key]
    await dispatcher.close(0.2)
    outbox.close()


async def test_a_page_whose_end_was_told_by_a_process_that_did_not_know_it_is_not_sent(tmp_path: Path) -> None:
    """The file could not be opened at a start: that process numbered anew and ended what an earlier one had begun."""
    path, now_ms = tmp_path / "outbox.db", time.time_ns() // 1_000_000
    first = alert("a", time_ms=now_ms)
    again, over = alert("a", number=7, time_ms=now_ms + 1), end("a", number=7, time_ms=now_ms + 2)
    alone = alert("b", time_ms=now_ms)
    outbox = Outbox(path, limit_s=5.0)
    outbox.open(now_ms, now_ms)
    to = {told.id: (("ops", Outcome.PENDING),) for told in (first, again, over, alone)}
    assert await outbox.write(Batch((first, alone), (incident(first),), (), now_ms, to, now_ms))
    assert await outbox.write(Batch((again, over), (), (first.key,), now_ms, to, now_ms))
    outbox.settle([again.id, over.id], "ops", Outcome.DELIVERED, now_ms)
    outbox.close()

    ops = Pager()
    found = await process(path, [line(ops)], [], lambda outbox: outbox.statistics().pending == 0)
    assert [step(told) for told in ops.taken] == ["b 1.1"], "nothing later is known of that one"
    assert found["a 1.1 ops"] is Outcome.DROPPED
