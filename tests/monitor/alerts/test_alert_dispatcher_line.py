"""One receiver: what goes out together, what is tried again and when, what is remembered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from monitor.alerts.incident import Change
from monitor.alerts.line import Line
from monitor.alerts.message import Delivery
from monitor.alerts.outbox import Outcome
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import FAILS, FATAL, Gateway, MemoryOutbox, Pager, Rig, alert, end

MakeRig = Callable[..., Any]


@pytest.fixture
async def rig() -> AsyncIterator[MakeRig]:
    rigs: list[Rig] = []

    async def make(*receivers: Any, **settings: Any) -> Rig:
        made = Rig(*receivers, **settings)
        await made.start()
        rigs.append(made)
        return made

    yield make
    for made in rigs:
        await made.dispatcher.close(0.01)


async def test_a_burst_is_one_message_and_what_follows_the_next_a_second_later(rig: MakeRig) -> None:
    ops = Pager()
    made = await rig(ops)
    made.dispatcher.submit([alert("a"), alert("b")], [], [], 0.0)
    await made.tell(alert("c"))
    assert ops.steps == [["a 1.1", "b 1.1", "c 1.1"]]
    assert ops.messages[0].text.title.startswith("3 alerts: CRITICAL")
    assert ops.messages[0].sent_at_ms == 1_700_000_000_000
    await made.tell(alert("d"), advance_s=0.5)
    await made.tell(alert("e"), advance_s=0.4)
    assert len(ops.steps) == 1
    await made.clock.advance(0.2)
    assert ops.steps[1:] == [["d 1.1", "e 1.1"]]
    await made.clock.advance(5)
    await made.tell(alert("f"))
    assert ops.steps[2:] == [["f 1.1"]]


async def test_retries_with_growing_pauses_and_takes_along_what_came(rig: MakeRig) -> None:
    ops = Pager("ops", FAILS, FAILS, FAILS)
    made = await rig(ops)
    await made.tell(alert("a"))
    await made.tell(alert("b"))
    tries = []
    for second in range(9):
        tries.append((second, len(ops.steps)))
        await made.clock.advance(1.0)
    assert tries == [(0, 1), (1, 2), (2, 2), (3, 3), (4, 3), (5, 3), (6, 3), (7, 4), (8, 4)]
    assert ops.steps[0] == ["a 1.1"]
    assert ops.steps[3] == ["a 1.1", "b 1.1"]
    row = made.row("ops")
    assert (row.delivered, row.messages, row.attempts_failed, row.failing, row.failed, row.waiting) == (2, 1, 3, 0, 0, 0)
    assert made.outbox.deliveries[alert("a").id, "ops"].attempts == 3


async def test_pauses_are_random_in_their_upper_half() -> None:
    ops = Pager("ops", FAILS, FAILS)
    made = Rig(ops)
    object.__setattr__(made.dispatcher._seams, "chance", lambda: 0.0)
    await made.start()
    await made.tell(alert("a"), advance_s=0.45)
    assert len(ops.steps) == 1
    await made.clock.advance(0.1)
    assert len(ops.steps) == 2
    await made.clock.advance(1.0)
    assert len(ops.steps) == 3
    await made.dispatcher.close(0.01)


@pytest.mark.parametrize(("wish_s", "kept_s"), [(7.0, 7.0), (0.0, 1.0), (-5.0, 1.0)])
async def test_retry_after_is_honoured_but_never_a_loop(rig: MakeRig, wish_s: float, kept_s: float) -> None:
    ops = Pager("ops", Delivery(False, "HTTP status 429", retry_after_s=wish_s))
    made = await rig(ops)
    await made.tell(alert("a"), advance_s=kept_s - 0.1)
    assert len(ops.steps) == 1
    await made.clock.advance(0.2)
    assert ops.steps == [["a 1.1"]] * 2


async def test_a_lone_receiver_fails_at_the_deadline_and_it_is_said(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    ops = Pager("ops", always=FAILS)
    made = await rig(ops, deadline_s=10.0)
    await made.tell(alert("a"), advance_s=9.9)
    assert made.row("ops").failed == 0
    await made.clock.advance(0.2)
    row = made.row("ops")
    assert (row.failed, row.delivered, row.waiting, row.last_error) == (1, 0, 0, "HTTP status 500")
    assert made.outbox.outcomes() == {(alert("a").id, "ops"): Outcome.FAILED}
    assert "receiver ops failed (HTTP status 500); trying again" in caplog.text
    assert "receiver ops did not get (HTTP status 500): CRITICAL 92% hl-main/a: " in caplog.text
    ops.always = Delivery(True)
    await made.tell(alert("b"), advance_s=20)
    assert ops.taken == [alert("b")]
    assert "receiver ops takes messages again" in caplog.text


@pytest.mark.parametrize(
    ("bug", "said"), [(RuntimeError("https://secret"), "RuntimeError"), (asyncio.CancelledError("https://secret"), "it was cancelled")]
)
async def test_a_receivers_bug_does_not_end_the_paging(
    rig: MakeRig, bug: BaseException, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    ops = Pager("ops", bug)
    made = await rig(ops)
    await made.tell(alert("a"), advance_s=2)
    assert ops.steps == [["a 1.1"]] * 2
    assert made.row("ops").last_error == said
    assert "secret" not in caplog.text + str(made.outbox.deliveries)


async def test_a_text_that_fails_is_replaced_by_the_titles(rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(alerts: object) -> None:
        raise ValueError("no such figure")

    monkeypatch.setattr("monitor.alerts.post.group", fails)
    ops = Pager()
    made = await rig(ops)
    await made.tell(alert("a", level=Level.WARNING), alert("b"))
    assert ops.messages[0].text.title == alert("b").title
    assert ops.messages[0].text.details == (alert("a", level=Level.WARNING).title, alert("b").title)


async def test_an_answer_that_never_comes_is_cut_off(rig: MakeRig) -> None:
    ops = Pager("ops", "hang")
    made = await rig(ops, send_limit_s=30.0)
    await made.tell(alert("a"), advance_s=29)
    assert made.row("ops").attempts_failed == 0
    await made.clock.advance(3)
    assert made.row("ops").last_error == "no answer within 30 s"
    assert ops.taken == [alert("a")]


async def test_what_was_taken_one_by_one_is_not_sent_again(rig: MakeRig) -> None:
    a, b, c = alert("a"), alert("b"), alert("c")
    ops = Pager("ops", Delivery(False, "the rest follows", 0.0, handles={b.incident: "ts-b"}, taken=frozenset({a.id, b.id})))
    made = await rig(ops)
    await made.tell(a, b, c)
    assert made.outbox.outcomes() == {
        (a.id, "ops"): Outcome.DELIVERED,
        (b.id, "ops"): Outcome.DELIVERED,
        (c.id, "ops"): Outcome.PENDING,
    }
    assert made.outbox.handles == {"ops": {b.incident: "ts-b"}}
    assert (made.row("ops").delivered, made.row("ops").failing) == (2, 0)
    await made.clock.advance(1.1)
    assert ops.steps == [["a 1.1", "b 1.1", "c 1.1"], ["c 1.1"]]


async def test_an_older_state_is_not_sent_after_a_newer_was_taken(rig: MakeRig) -> None:
    first, last = alert("a"), end("a")
    ops = Pager("ops", Delivery(False, "no", taken=frozenset({last.id})))
    made = await rig(ops)
    await made.tell(first, last)
    assert made.outbox.outcomes()[first.id, "ops"] is Outcome.DROPPED
    await made.clock.advance(60)
    assert ops.steps == [["a 1.1", "a 1.2"]]
    assert made.row("ops").dropped == 1


async def test_handles_are_kept_and_given_back_until_the_end(rig: MakeRig) -> None:
    a = alert("a")
    ops = Pager("ops", Delivery(True, handles={a.incident: "ts-1", "another": "x"}), Delivery(True, handles={a.incident: "ts-2"}))
    made = await rig(ops)
    await made.tell(a, advance_s=2)
    await made.tell(alert("b"), alert("a", 2, Change.WORSENED), advance_s=2)
    await made.tell(end("a", 3), advance_s=2)
    await made.tell(alert("a", number=2), advance_s=2)
    assert [dict(message.handles) for message in ops.messages] == [{}, {a.incident: "ts-1"}, {a.incident: "ts-2"}, {}]
    assert made.outbox.handles == {"ops": {a.incident: "ts-2"}}


async def test_a_full_queue_drops_what_is_missed_least(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    ops = Pager("ops", "hang")
    made = await rig(ops, queue_size=3)
    await made.tell(alert("first"))
    await made.tell(alert("c1"), alert("w1", level=Level.WARNING), alert("w2", level=Level.WARNING), alert("c2"))
    assert made.outbox.outcomes()[alert("w1").id, "ops"] is Outcome.DROPPED
    await made.tell(alert("c3"), alert("c4"), alert("w3", level=Level.WARNING))
    row = made.row("ops")
    assert (row.dropped, row.waiting, row.peak) == (3, 5, 5)
    assert "receiver ops: its queue is full; dropped 2 (3 in all)" in caplog.text
    await made.tell(end("c1"), end("w9", previous=Level.WARNING))
    assert made.outbox.outcomes()[alert("c1").id, "ops"] is Outcome.DROPPED, "its end follows"
    await made.clock.advance(32)
    assert ops.steps[-1] == ["first 1.1", "c2 1.1", "c3 1.1", "c4 1.1", "c1 1.2", "w9 1.2"]


async def test_a_crash_of_more_pools_than_the_queue_has_places_is_told_whole(rig: MakeRig) -> None:
    ops = Pager()
    made = await rig(ops)
    await made.tell(*(alert(f"p{number}") for number in range(600)), advance_s=2)
    assert len(ops.taken) == 600
    assert made.row("ops").dropped == 0


async def test_a_full_queue_keeps_the_last_state_rather_than_an_older_one(rig: MakeRig) -> None:
    ops = Pager("ops", "hang")
    made = await rig(ops, queue_size=3)
    await made.tell(alert("first"))
    await made.tell(
        alert("a", 1, level=Level.LIQUIDATION),
        alert("b", 1, level=Level.WARNING),
        end("a", 2, Level.WARNING),
        alert("b", 2, Change.REPEATED, level=Level.WARNING),
        alert("c", 1),
    )
    await made.clock.advance(40)
    assert ops.steps[1:] == [["first 1.1", "a 1.2", "c 1.1"]]


async def test_what_can_never_be_taken_is_a_problem_at_once_and_tried_rarely(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    ops = Pager("ops", FATAL, FATAL)
    made = await rig(ops)
    await made.tell(alert("a"), advance_s=59)
    (problem,) = made.dispatcher.problems()
    assert (problem.scope.path, problem.level, problem.detail) == (
        "receiver/ops",
        Level.CRITICAL,
        "takes no alerts: HTTP status 401: renew the key",
    )
    assert "receiver ops cannot take alerts (HTTP status 401: renew the key)" in caplog.text
    assert len(ops.steps) == 1
    await made.clock.advance(2)
    assert len(ops.steps) == 2
    await made.clock.advance(60)
    assert ops.taken == [alert("a")]
    assert made.dispatcher.problems() == []
    assert made.outbox.outcomes() == {(alert("a").id, "ops"): Outcome.DELIVERED}


async def test_a_gateway_is_told_again_what_fires(rig: MakeRig) -> None:
    gateway = Gateway()
    made = await rig(gateway)
    await made.tell(alert("a"), alert("b"), advance_s=19)
    assert gateway.kept == []
    await made.clock.advance(1.5)
    assert gateway.kept == [["a 1.1", "b 1.1"]]
    await made.tell(alert("a", 2, Change.WORSENED), end("b"), advance_s=20)
    assert gateway.kept[1:] == [["a 1.2"]]
    await made.tell(end("a", 3), advance_s=100)
    assert len(gateway.kept) == 2
    await made.tell(alert("c"), advance_s=19)
    assert len(gateway.kept) == 2
    await made.clock.advance(1)
    assert gateway.kept[2:] == [["c 1.1"]]


async def test_a_gateway_that_cannot_be_kept_alive_is_a_problem(rig: MakeRig) -> None:
    gateway = Gateway()
    made = await rig(gateway)
    await made.tell(alert("a"), advance_s=1)
    gateway.keeps = FAILS
    await made.clock.advance(85)
    assert [problem.detail for problem in made.dispatcher.problems()] == ["takes no alerts since 66 s: HTTP status 500"]
    gateway.keeps = Delivery(True)
    await made.clock.advance(20)
    assert made.dispatcher.problems() == []


async def test_nothing_is_told_to_keep_alive_while_a_message_is_on_its_way(rig: MakeRig) -> None:
    gateway = Gateway("gateway", Delivery(True), "hang")
    made = await rig(gateway)
    await made.tell(alert("a"), advance_s=15)
    await made.tell(alert("b"), advance_s=14)
    assert gateway.kept == []
    await made.clock.advance(17)
    assert gateway.kept == [["a 1.1", "b 1.1"]]


async def test_a_bug_of_ours_costs_a_pause_and_no_alert(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ops = Pager()
    made = await rig(ops)
    right = Line._settle_taken
    bugs = [ZeroDivisionError("https://secret")]

    def broken(line: Line, *arguments: Any) -> None:
        if bugs:
            raise bugs.pop()
        right(line, *arguments)

    monkeypatch.setattr(Line, "_settle_taken", broken)
    await made.tell(alert("a"), advance_s=20)
    assert ops.steps == [["a 1.1"]] * 2
    assert made.row("ops").delivered == 1
    assert "sending to receiver ops went wrong inside (ZeroDivisionError)" in caplog.text
    assert "secret" not in caplog.text


async def test_an_outbox_with_a_bug_silences_nobody(rig: MakeRig, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryOutbox):
        def settle(self, *_: object, **__: object) -> None:
            raise ValueError("/a/secret/path")

        tried = settle
        reassign = settle

    ops = Pager("ops", FAILS)
    made = await rig(ops, outbox=Broken())
    await made.tell(alert("a"), advance_s=5)
    await made.tell(alert("b"), advance_s=5)
    assert [told.scope.name for told in ops.taken] == ["a", "b"]
    assert made.row("ops").delivered == 2
    assert "secret" not in caplog.text
    assert {record.levelno for record in caplog.records if "outbox" in record.message} == {logging.ERROR}
