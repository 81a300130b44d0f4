"""All receivers together: who gets what, what is written first, what is passed on, what a restart and a stop do."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from monitor.alerts.dispatcher import DispatcherConfig, LineSettings
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.outbox import Outcome, Recovered
from monitor.alerts.routing import Route
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.silences import Silences
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import FAILS, FATAL, Gateway, MemoryOutbox, Pager, Rig, alert, end, line, step

MakeRig = Callable[..., Any]
MINUTE_MS = 60_000


@pytest.fixture
async def rig() -> AsyncIterator[MakeRig]:
    rigs: list[Rig] = []

    async def make(*receivers: Any, recovered: Recovered | None = None, **settings: Any) -> Rig:
        made = Rig(*receivers, **settings)
        await made.start(recovered)
        rigs.append(made)
        return made

    yield make
    for made in rigs:
        await made.dispatcher.close(0.01)


# -- intake


async def test_what_waits_is_one_batch_and_on_the_disk_before_it_leaves(rig: MakeRig) -> None:
    class Slow(MemoryOutbox):
        async def write(self, batch: Any) -> bool:
            await made.clock.sleep(0.2)
            return await super().write(batch)

    ops = Pager()
    made = Rig(ops, outbox=Slow())
    await made.start()
    await made.tell(alert("a"))
    await made.tell(alert("b"))
    await made.tell(end("b"), alert("c"))
    assert ops.steps == []
    await made.clock.advance(0.3)
    assert ops.steps == [["a 1.1"]]
    (first,) = made.outbox.batches
    assert [step(told) for told in first.alerts] == ["a 1.1"]
    assert first.receivers == {alert("a").id: (("ops", Outcome.PENDING),)}
    assert first.deadline_ms == 1_700_000_000_000 + 300_000
    await made.clock.advance(1)
    second = made.outbox.batches[1]
    assert [step(told) for told in second.alerts] == ["b 1.1", "b 1.2", "c 1.1"]
    assert ([now.key for now in second.open], second.closed) == ([alert("c").key], (alert("b").key,))
    timing = made.dispatcher.timing()
    assert timing.messages == 2
    assert timing.last.waiting_s == pytest.approx(0.2)
    assert timing.last.write_s == pytest.approx(0.2)
    assert timing.last.held_s == pytest.approx(0.8)
    assert timing.last.handing_s == pytest.approx(0.0)
    assert timing.peak == timing.last
    await made.dispatcher.close(0.01)


async def test_an_incident_that_ends_and_fires_again_in_one_batch_is_open(rig: MakeRig) -> None:
    ops = Pager()
    made = Rig(ops)
    for told in (alert("a"), end("a"), alert("a", number=2)):
        await made.tell(told)
    await made.start()
    (batch,) = made.outbox.batches
    assert ([now.number for now in batch.open], batch.closed) == ([2], ())
    await made.dispatcher.close(0.01)


@pytest.mark.parametrize(("mode", "after_s"), [("fails", 0.0), ("raises", 0.0), ("hangs", 1.0)])
async def test_the_disk_never_silences_the_pager(rig: MakeRig, mode: str, after_s: float, caplog: pytest.LogCaptureFixture) -> None:
    ops = Pager()
    made = await rig(ops, outbox=MemoryOutbox(mode))
    await made.tell(alert("a"), advance_s=after_s)
    assert ops.taken == [alert("a")]
    assert made.dispatcher.timing().from_memory == 1
    if mode != "fails":
        (problem,) = made.dispatcher.problems()
        assert (problem.rule, problem.scope.path, problem.level) == (Rule.OUTBOX, "monitor", Level.WARNING)
        assert "secret" not in problem.detail + caplog.text
    made.outbox.mode = "ok"
    await made.tell(alert("b"), advance_s=2)
    assert made.dispatcher.problems() == []
    made.outbox.problem = "the disk is full"
    assert [problem.detail for problem in made.dispatcher.problems()] == ["the disk is full"]


async def test_a_bug_in_the_intake_costs_its_alerts_only(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ops = Pager()
    made = await rig(ops)
    with monkeypatch.context() as patch:
        patch.setattr(made.dispatcher.silences, "match", lambda *_: 1 / 0)
        await made.tell(alert("a"))
    await made.tell(alert("b"))
    assert ops.taken == [alert("b")]
    assert f"taking in went wrong inside (ZeroDivisionError); not sent: {alert('a').title}" in caplog.text


# -- routes


async def test_each_receiver_gets_its_levels_and_every_end(rig: MakeRig) -> None:
    every, pager = Pager("every"), Pager("pager")
    made = await rig(line(every), line(pager, Level.CRITICAL))
    down = {"level": Level.WARNING, "previous": Level.CRITICAL}
    for told in (
        alert("a", 1, level=Level.WARNING),
        alert("a", 2, Change.ESCALATED),
        alert("a", 3, Change.DEESCALATED, **down),
        alert("a", 4, Change.REPEATED, level=Level.WARNING),
        end("a", 5, Level.WARNING),
        alert("b", 1, level=Level.WARNING),
        end("b", 2, Level.WARNING),
    ):
        await made.tell(told, advance_s=2)
    assert [step(told) for told in every.taken] == ["a 1.1", "a 1.2", "a 1.3", "a 1.4", "a 1.5", "b 1.1", "b 1.2"]
    assert [step(told) for told in pager.taken] == ["a 1.2", "a 1.3", "a 1.5"]


async def test_an_alert_about_a_receiver_is_not_sent_there(rig: MakeRig) -> None:
    ops, pager = Pager("ops"), Pager("pager", always=FATAL)
    made = await rig(ops, pager)
    about_ops = alert("x", scope=AlertScope.receiver("ops"))
    await made.tell(about_ops, advance_s=400)
    assert ops.steps == []
    assert made.outbox.outcomes() == {(about_ops.id, "pager"): Outcome.FAILED}


async def test_a_dead_receiver_delays_nobody(rig: MakeRig) -> None:
    dead, ops = Pager("dead", "hang"), Pager()
    made = await rig(dead, ops)
    await made.tell(alert("a"))
    assert ops.taken == [alert("a")]


# -- escalation


async def test_what_is_not_taken_in_time_goes_to_the_next(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    log, ops, pager = Pager("log"), Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(log, is_log=True), line(ops), line(pager, Level.LIQUIDATION))
    a = alert("a")
    await made.tell(a, advance_s=284)
    assert pager.taken == []
    await made.clock.advance(17)
    assert [(told.id, told.escalated_from) for told in pager.taken] == [(a.id, "ops")]
    assert made.outbox.outcomes() == {
        (a.id, "log"): Outcome.DELIVERED,
        (a.id, "ops"): Outcome.ESCALATED,
        (a.id, "pager"): Outcome.DELIVERED,
    }
    assert f"receiver ops does not take it (HTTP status 500); to pager instead: {a.title}" in caplog.text
    assert (made.row("ops").escalated, made.row("ops").failed, made.row("ops").waiting) == (1, 0, 0)


async def test_a_pager_is_not_woken_for_a_warning_that_somebody_else_took(rig: MakeRig) -> None:
    dead, chat, pager = Pager("dead", always=FATAL), Pager("chat"), Pager("pager")
    made = await rig(line(dead), line(chat), line(pager, Level.CRITICAL))
    a = alert("a", level=Level.WARNING)
    await made.tell(a, advance_s=400)
    assert [told.id for told in chat.taken] == [a.id]
    assert pager.taken == []
    assert (made.row("dead").escalated, made.row("dead").failed) == (0, 1), "it is counted that one did not get it"


async def test_a_pager_is_woken_where_nobody_who_has_it_works(rig: MakeRig) -> None:
    dead, chat, pager = Pager("dead", always=FATAL), Pager("chat", always=FATAL), Pager("pager")
    made = await rig(line(dead), line(chat), line(pager, Level.CRITICAL))
    a = alert("a", level=Level.WARNING)
    await made.tell(a, advance_s=70)
    assert [told.id for told in pager.taken][:1] == [a.id]


async def test_from_critical_on_it_goes_to_the_next_within_a_minute(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    config = DispatcherConfig()
    made = await rig(line(ops), line(pager, Level.BREACH), urgent_deadline_s=config.urgent_deadline_s)
    await made.tell(alert("w", level=Level.WARNING), alert("c"), advance_s=44)
    assert pager.taken == []
    await made.clock.advance(17)
    assert [step(told) for told in pager.taken] == ["c 1.1"]
    await made.tell(alert("d", level=Level.LIQUIDATION), advance_s=1)
    assert step(pager.taken[-1]) == "d 1.1", "it has failed for longer than this one may wait"
    await made.clock.advance(240)
    assert [step(told) for told in pager.taken] == ["c 1.1", "d 1.1", "w 1.1"]


async def test_an_urgent_deadline_is_never_longer_than_the_configured_one_and_holds_after_a_restart(rig: MakeRig) -> None:
    assert DispatcherConfig(deadline_s=20.0).deadline_of(alert("a")) == 20.0
    outbox = MemoryOutbox()
    before = await rig(Pager("ops", always="hang"), outbox=outbox)
    await before.tell(alert("a"), advance_s=2)
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    after = await rig(line(ops), line(pager, Level.BREACH), outbox=outbox, recovered=outbox.recovered(), urgent_deadline_s=60.0)
    await after.clock.advance(61)
    assert [step(told) for told in pager.taken] == ["a 1.1"]


async def test_a_beginning_with_more_time_does_not_stay_where_its_end_was_given_up(rig: MakeRig) -> None:
    """A warning has 300 s, its escalation and the end of that one minute: told alone at last, the warning would never end there."""
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(ops), line(pager, Level.BREACH), urgent_deadline_s=60.0)
    await made.tell(alert("a", level=Level.WARNING), advance_s=2)
    await made.tell(alert("a", 2, Change.ESCALATED, previous=Level.WARNING), advance_s=2)
    await made.tell(end("a", 3), advance_s=70)
    ops.always = Delivery(True)
    await made.clock.advance(200)
    assert ops.taken == []
    assert [step(told) for told in pager.taken] == ["a 1.1", "a 1.2", "a 1.3"]


async def test_what_follows_of_an_escalated_incident_goes_to_both_and_its_end_too(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(ops), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"), advance_s=301)
    ops.always = Delivery(True)
    await made.tell(alert("b"), advance_s=20)
    assert made.row("ops").failing == 0
    await made.tell(alert("a", 2, Change.WORSENED), advance_s=5)
    await made.tell(end("a", 3), advance_s=5)
    assert [step(told) for told in ops.taken] == ["b 1.1", "a 1.2", "a 1.3"]
    assert [step(told) for told in pager.taken] == ["a 1.1", "b 1.1", "a 1.2", "a 1.3"]
    await made.tell(alert("a", number=2), advance_s=5)
    assert step(ops.taken[-1]) == "a 2.1"
    assert step(pager.taken[-1]) == "a 1.3"


async def test_what_waits_of_an_escalated_incident_goes_along(rig: MakeRig) -> None:
    """The receiver is not dead: it takes what is not of this incident."""

    class Choosy(Pager):
        async def send(self, message: Message) -> Delivery:
            taken = frozenset(told.id for told in message.alerts if told.scope.name != "a")
            return Delivery(len(taken) == len(message.alerts), "HTTP status 500", taken=taken)

    pager = Pager("pager")
    made = await rig(line(Choosy()), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"), advance_s=200)
    await made.tell(alert("a", 2, Change.WORSENED), alert("b"), advance_s=101)
    assert [step(told) for told in pager.taken] == ["a 1.1", "a 1.2"]


async def test_what_is_passed_on_keeps_the_order_of_what_waits_there(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager", always=FAILS)
    made = await rig(line(ops), line(pager, Level.CRITICAL))
    await made.tell(alert("a", level=Level.WARNING), advance_s=200)
    await made.tell(alert("b"), alert("a", 2, Change.ESCALATED), advance_s=101)
    pager.always = Delivery(True)
    await made.clock.advance(20)
    assert [step(told) for told in pager.taken] == ["b 1.1", "a 1.1", "a 1.2"]


async def test_the_end_is_not_lost_when_the_first_receiver_comes_back(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(ops), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"), advance_s=299.5)
    await made.tell(end("a"))
    await made.clock.advance(0.6)
    ops.always = Delivery(True)
    await made.clock.advance(30)
    assert [step(told) for told in pager.taken] == ["a 1.1", "a 1.2"]
    assert [step(told) for told in ops.taken] == ["a 1.2"]
    assert Outcome.PENDING not in made.outbox.outcomes().values()


async def test_the_named_receiver_is_next_and_nobody_gets_it_twice(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    a, b, c = (Pager(name, always=FAILS) for name in "abc")
    never = Level.BREACH
    made = await rig(line(a, escalate_to="c"), line(b, never, "a"), line(c, never, "a"), deadline_s=100.0)
    told = alert("x")
    await made.tell(told, advance_s=5000)
    order = [place[1] for place in made.outbox.outcomes()]
    assert order == ["a", "c", "b"]
    assert list(made.outbox.outcomes().values()) == [Outcome.ESCALATED, Outcome.ESCALATED, Outcome.FAILED]
    assert [row.failed for row in made.dispatcher.statistics()] == [0, 1, 0]
    assert "receiver b did not get (HTTP status 500): CRITICAL" in caplog.text
    assert [problem.level for problem in made.dispatcher.problems()] == [Level.CRITICAL] * 3


async def test_a_wrong_key_passes_on_at_once_and_still_tries(rig: MakeRig) -> None:
    ops, pager = Pager("ops", FATAL), Pager("pager")
    made = await rig(line(ops), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"))
    assert [told.escalated_from for told in pager.taken] == ["ops"]
    await made.tell(alert("b"), advance_s=2)
    assert len(pager.taken) == 2, "while it is known to be wrong, the next is asked without trying"
    assert len(ops.messages) == 1
    (problem,) = made.dispatcher.problems()
    assert (problem.level, problem.scope) == (Level.WARNING, AlertScope.receiver("ops"))
    await made.tell(end("a"), advance_s=60)
    assert ops.steps[-1] == ["a 1.1", "b 1.1", "a 1.2"]
    assert [step(told) for told in pager.taken] == ["a 1.1", "b 1.1", "a 1.2"]
    assert made.dispatcher.problems() == []
    assert set(made.outbox.outcomes().values()) == {Outcome.DELIVERED}


async def test_a_wait_beyond_the_deadline_passes_on_at_once(rig: MakeRig) -> None:
    ops = Pager("ops", Delivery(False, "HTTP status 429", retry_after_s=301.0))
    pager = Pager("pager")
    made = await rig(line(ops), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"))
    assert [step(told) for told in pager.taken] == ["a 1.1"]
    await made.clock.advance(5)
    await made.tell(alert("b"), advance_s=5)
    assert [step(told) for told in pager.taken] == ["a 1.1"], "this one's own deadline is later"


async def test_a_receiver_that_is_dead_for_long_is_not_waited_for(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(ops), line(pager, Level.LIQUIDATION))
    await made.tell(alert("a"), advance_s=310)
    await made.tell(alert("b"), advance_s=2)
    assert [step(told) for told in pager.taken] == ["a 1.1", "b 1.1"]


async def test_an_older_state_does_not_follow_a_newer_to_the_next_receiver(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(line(ops), line(pager, Level.CRITICAL))
    await made.tell(alert("a", 1, level=Level.WARNING), advance_s=100)
    await made.tell(alert("a", 2, Change.ESCALATED), advance_s=700)
    assert [step(told) for told in pager.taken] == ["a 1.2"]
    assert made.outbox.outcomes()[alert("a").id, "pager"] is Outcome.DROPPED
    assert Outcome.PENDING not in made.outbox.outcomes().values()


async def test_a_receiver_that_fails_for_a_minute_is_told_of(rig: MakeRig) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    made = await rig(ops, pager)
    await made.tell(alert("a"), advance_s=59)
    assert made.dispatcher.problems() == []
    await made.clock.advance(2)
    (problem,) = made.dispatcher.problems()
    assert (problem.rule, problem.level, problem.detail) == (
        Rule.RECEIVER,
        Level.WARNING,
        "takes no alerts since 61 s: HTTP status 500",
    )


async def test_the_log_is_nobody(rig: MakeRig) -> None:
    log, ops = Pager("log", always=FAILS), Pager("ops", always=FAILS)
    made = await rig(line(ops), line(log, is_log=True))
    await made.tell(alert("a"), advance_s=400)
    assert set(made.outbox.outcomes().values()) == {Outcome.FAILED}
    assert len(made.outbox.outcomes()) == 2
    log.always = Delivery(True)
    await made.tell(alert("b"), advance_s=60)
    assert [problem.level for problem in made.dispatcher.problems()] == [Level.CRITICAL]


# -- silences


async def test_a_silence_holds_back_what_it_matches(rig: MakeRig) -> None:
    ops = Pager()
    made = await rig(ops)
    silence = made.dispatcher.silence("hyperliquid/*", made.clock.time_ms() + MINUTE_MS, "known")
    assert made.outbox.silences == {silence.id: silence}
    await made.tell(alert("a"), advance_s=2)
    await made.tell(alert("b", level=Level.LIQUIDATION), advance_s=2)
    assert [step(told) for told in ops.taken] == ["b 1.1"]
    assert made.outbox.outcomes()[alert("a").id, "ops"] is Outcome.SILENCED
    assert made.row("ops").silenced == 1
    await made.tell(end("b", 2, Level.WARNING), end("a"), advance_s=2)
    assert [step(told) for told in ops.taken] == ["b 1.1", "b 1.2"], "the end of what was told is told, that of what was not is not"
    ended = made.dispatcher.end_silence(silence.id)
    assert made.outbox.silences == {silence.id: ended}
    await made.tell(alert("c"), advance_s=2)
    assert step(ops.taken[-1]) == "c 1.1"


async def test_a_silence_that_ended_reminds_once(rig: MakeRig) -> None:
    silences = Silences()
    made = await rig(Pager(), silences=silences)
    made.dispatcher.silence("*", made.clock.time_ms() + MINUTE_MS, "known")
    await made.tell(alert("a"), alert("b"), end("b"))
    assert silences.reminders(made.clock.time_ms()) == []
    await made.clock.advance(60)
    assert silences.reminders(made.clock.time_ms()) == [alert("a").key]
    assert silences.reminders(made.clock.time_ms()) == []


# -- restart


async def test_a_restart_sends_what_is_pending_and_nothing_else(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    ops, pager = Pager("ops", always="hang"), Pager("pager")
    before = await rig(ops, pager, outbox=outbox)
    await before.tell(alert("a"), alert("b", level=Level.WARNING), advance_s=2)
    await before.tell(alert("a", 2, Change.WORSENED), advance_s=2)
    ops, later = Pager("ops"), Pager("pager")
    after = await rig(ops, later, outbox=outbox, recovered=outbox.recovered())
    await after.clock.advance(10)
    assert ops.steps == [["a 1.1", "b 1.1", "a 1.2"]]
    assert later.steps == []
    await after.tell(end("a", 3), advance_s=5)
    assert (ops.steps[-1], later.steps) == (["a 1.3"], [["a 1.3"]])


async def test_after_a_restart_the_end_reaches_all_that_were_told(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    settings = (Level.WARNING, Level.CRITICAL)
    before = await rig(*map(line, (Pager("ops"), Pager("pager")), settings), outbox=outbox)
    down = alert("a", 2, Change.REPEATED, level=Level.WARNING)
    await before.tell(alert("a"), advance_s=2)
    await before.tell(down, alert("b", level=Level.WARNING), advance_s=2)
    for told in ({}, outbox.recovered().told):
        ops, pager = Pager("ops"), Pager("pager")
        recovered = Recovered(latest=outbox.recovered().latest, told=told)
        after = await rig(*map(line, (ops, pager), settings), recovered=recovered)
        await after.tell(end("a", 3, Level.WARNING), end("b", 2, Level.WARNING), advance_s=5)
        assert [step(got) for got in ops.taken] == ["a 1.3", "b 1.2"]
        # Where it is not known who was told, an end too many is better than one too few.
        assert [step(got) for got in pager.taken] == (["a 1.3"] if told else ["a 1.3", "b 1.2"])


async def test_the_end_reaches_whoever_still_waits_for_the_beginning_after_a_restart(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    feeds_only = Route(scopes=frozenset({ScopeKind.FEED}))
    before = await rig(Pager("ops", FATAL), LineSettings(Pager("pager", "hang"), feeds_only), outbox=outbox)
    await before.tell(alert("a"), advance_s=2)
    pager = Pager("pager")
    recovered = replace(outbox.recovered(), told={})
    after = await rig(Pager("ops"), LineSettings(pager, feeds_only), outbox=outbox, recovered=recovered)
    await after.tell(end("a"), advance_s=5)
    assert [step(told) for told in pager.taken] == ["a 1.1", "a 1.2"]


async def test_handles_and_what_is_kept_alive_survive_a_restart(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    a = alert("a")
    before = await rig(Gateway("gateway", Delivery(True, handles={a.incident: "ts"})), outbox=outbox)
    await before.tell(a, advance_s=2)
    gateway = Gateway()
    after = await rig(gateway, outbox=outbox, recovered=outbox.recovered())
    assert gateway.kept == [["a 1.1"]], "at once: it may have been down for long"
    await after.clock.advance(20)
    assert gateway.kept == [["a 1.1"]] * 2
    await after.tell(end("a"), advance_s=1)
    assert [dict(message.handles) for message in gateway.messages] == [{a.incident: "ts"}]


async def test_what_waits_for_a_removed_receiver_goes_to_the_next(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    outbox = MemoryOutbox()
    before = await rig(Pager("old", always="hang"), Pager("ops"), outbox=outbox)
    await before.tell(alert("a"), advance_s=2)
    log, ops, pager = Pager("log"), Pager("ops"), Pager("pager")
    after = await rig(line(log, is_log=True), line(ops), line(pager), outbox=outbox, recovered=outbox.recovered())
    await after.clock.advance(2)
    assert (log.taken, ops.taken) == ([], [])
    assert [told.escalated_from for told in pager.taken] == ["old"]
    assert outbox.outcomes()[alert("a").id, "old"] is Outcome.ESCALATED
    assert "receiver old is configured no more; to pager instead" in caplog.text


async def test_with_nobody_else_it_goes_to_the_log(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    before = await rig(Pager("old", always="hang"), outbox=outbox)
    await before.tell(alert("a"), advance_s=2)
    log = Pager("log")
    await rig(line(log, is_log=True), outbox=outbox, recovered=outbox.recovered())
    assert [told.escalated_from for told in log.taken] == ["old"]


async def test_a_deadline_long_past_still_gives_one_try_and_then_goes_on(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    before = await rig(Pager("ops", always="hang"), outbox=outbox)
    await before.tell(alert("a"), advance_s=2)
    for kept in outbox.deliveries.values():
        kept.deadline_ms -= 10**9
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    after = await rig(line(ops), line(pager, Level.LIQUIDATION), outbox=outbox, recovered=outbox.recovered())
    assert (len(ops.messages), len(pager.messages)) == (1, 0)
    await after.clock.advance(16)
    assert [told.escalated_from for told in pager.taken] == ["ops"]


async def test_an_end_of_long_ago_does_not_end_what_fires_again(rig: MakeRig) -> None:
    """Incident 1 and its end wait at ops over a restart; pager has incident 2 of the same key."""
    outbox = MemoryOutbox()
    lines = (Level.WARNING, Level.CRITICAL)
    before = await rig(*map(line, (Pager("ops", always="hang"), Pager("pager")), lines), outbox=outbox)
    await before.tell(alert("a", level=Level.WARNING), end("a", 2, Level.WARNING), advance_s=2)
    await before.tell(alert("a", number=2), advance_s=2)
    ops, pager = Pager("ops", always=FAILS), Pager("pager")
    after = await rig(*map(line, (ops, pager), lines), outbox=outbox, recovered=outbox.recovered())
    await after.clock.advance(1000)
    assert pager.steps == []


async def test_silences_are_restored(rig: MakeRig) -> None:
    outbox = MemoryOutbox()
    before = await rig(Pager(), outbox=outbox)
    before.dispatcher.silence("*", before.clock.time_ms() + MINUTE_MS, "known")
    await before.tell(alert("a"), advance_s=1)
    ops = Pager()
    after = await rig(ops, outbox=outbox, recovered=outbox.recovered())
    await after.tell(alert("b"), advance_s=1)
    assert ops.taken == []
    await after.clock.advance(60)
    assert after.dispatcher.silences.reminders(after.clock.time_ms()) == [alert("a").key, alert("b").key]


# -- stop


async def test_a_stop_tries_once_and_leaves_the_rest_to_the_next_process(caplog: pytest.LogCaptureFixture) -> None:
    ops, pager = Pager("ops", always=FAILS), Pager("pager", FAILS)
    made = Rig(line(ops, Level.CRITICAL), line(pager, Level.LIQUIDATION))
    await made.start()
    await made.tell(alert("a"))
    made.dispatcher.submit([alert("b", level=Level.LIQUIDATION)], [], [], 0.0)
    await made.dispatcher.close(5.0)
    assert ops.steps[-1] == ["a 1.1", "b 1.1"]
    assert len(ops.steps) == 2
    assert pager.steps == [["b 1.1"]]
    assert set(made.outbox.outcomes().values()) == {Outcome.PENDING}
    assert "2 for receiver ops wait in the outbox for the next start" in caplog.text
    assert made.row("ops").failed == 0


async def test_a_stop_without_a_file_counts_the_rest_as_failed(caplog: pytest.LogCaptureFixture) -> None:
    ops = Pager("ops", "hang")
    made = Rig(ops, outbox=MemoryOutbox(is_durable=False))
    await made.start()
    await made.tell(alert("a"))
    await made.tell(alert("b"))
    await made.dispatcher.close(0.01)
    made.dispatcher.submit([alert("c")], [], [], 0.0)
    row = made.row("ops")
    assert (row.failed, row.waiting, row.delivered) == (3, 0, 0)
    assert caplog.text.count("the program ended first") == 2
    assert f"(the dispatcher is closed): {alert('c').title}" in caplog.text
    assert all(record.levelno == logging.ERROR for record in caplog.records)


async def test_a_stop_says_what_the_outbox_may_not_keep(caplog: pytest.LogCaptureFixture) -> None:
    outbox = MemoryOutbox()
    made = Rig(Pager("ops", "hang"), outbox=outbox)
    await made.start()
    await made.tell(alert("a"))
    outbox.problem = "the disk is full"
    await made.dispatcher.close(0.01)
    assert f"(the disk is full): {alert('a').title}" in caplog.text
    assert outbox.outcomes() == {(alert("a").id, "ops"): Outcome.PENDING}


async def test_a_stop_is_bounded_and_writes_what_was_submitted() -> None:
    made = Rig(Pager("ops", "hang"), Pager("pager"), outbox=MemoryOutbox("hangs"))
    await made.start()
    made.dispatcher.submit([alert("a")], [], [], 0.0)
    await made.dispatcher.close(0.05)
    assert len(made.outbox.batches) == 1
    assert Outcome.DELIVERED not in made.outbox.outcomes().values()


async def test_memory_is_only_of_what_fires_or_waits(rig: MakeRig) -> None:
    ops = Pager()
    made = await rig(LineSettings(ops, Route(scopes=frozenset({ScopeKind.POOL}))))
    for number in range(1, 40):
        told = alert(f"p{number}", number=number)
        ops.answers = [Delivery(True, handles={told.incident: "ts"})]
        await made.tell(told, advance_s=1.1)
        if number > 2:
            await made.tell(end(f"p{number}", number=number), advance_s=1.1)
    receiver = made.dispatcher._lines["ops"]
    assert len(made.dispatcher._open) == 2
    assert max(len(receiver._handles), len(receiver._last_told), len(receiver._firing)) <= 3
