from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from monitor.alerts.dispatcher import Dispatcher, DispatcherConfig, Seams
from monitor.alerts.message import Delivery, Message
from monitor.alerts.policy import AlertPolicy, Notification, PolicyConfig
from monitor.margin.result import Level


class Time:
    """A clock that moves only when somebody sleeps, and a record of the sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    @property
    def seams(self) -> Seams:
        return Seams(clock=lambda: self.now, wall_ms=lambda: 1_700_000_000_000, sleep=self.sleep, chance=lambda: 1.0)


class Recorder:
    """A receiver that answers from a list, then delivers; `gate` closed makes it hang."""

    def __init__(self, name: str = "ops", min_level: Level = Level.WARNING, answers: list[Delivery | Exception] | None = None) -> None:
        self.name = name
        self.min_level = min_level
        self.answers = answers or []
        self.messages: list[Message] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, message: Message) -> Delivery:
        await self.gate.wait()
        self.messages.append(message)
        answer = self.answers.pop(0) if self.answers else Delivery(True)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self) -> list[list[str]]:
        return [[note.scope[2] for note in message.notifications] for message in self.messages]


Burst = Callable[..., list[Notification]]


@pytest.fixture
def burst(pools: Any) -> Burst:
    def make(*names: str, ratio: float = 0.95) -> list[Notification]:
        return AlertPolicy(PolicyConfig()).observe([pools(ratio, pool=name) for name in names], 0)

    return make


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def made(time: Time) -> AsyncIterator[Callable[..., Dispatcher]]:
    all_of_them: list[Dispatcher] = []

    def make(*receivers: Recorder, **config: Any) -> Dispatcher:
        dispatcher = Dispatcher(receivers, DispatcherConfig(**config), time.seams)
        dispatcher.start()
        all_of_them.append(dispatcher)
        return dispatcher

    yield make
    for dispatcher in all_of_them:
        await dispatcher.close(0.01)


async def settle(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_a_burst_is_one_message_and_what_follows_the_next(made: Callable[..., Dispatcher], burst: Burst, time: Time) -> None:
    ops = Recorder()
    dispatcher = made(ops)
    dispatcher.submit(burst("a", "b"))
    dispatcher.submit(burst("c"))
    await settle(2)
    assert ops.keys == [["a", "b", "c"]]
    assert ops.messages[0].text.title.startswith("3 alerts: CRITICAL")
    assert ops.messages[0].sent_at_ms == 1_700_000_000_000
    dispatcher.submit(burst("d"))
    await settle()
    assert ops.keys == [["a", "b", "c"], ["d"]]
    assert time.slept == [1.0, 1.0]


async def test_each_receiver_gets_its_levels_and_the_ends(made: Callable[..., Dispatcher], burst: Burst, pools: Any) -> None:
    every, pager = Recorder("every"), Recorder("pager", Level.CRITICAL)
    dispatcher = made(every, pager)
    policy = AlertPolicy(PolicyConfig(hold_s=0))
    for ratio in (0.86, 0.95, 0.1):
        dispatcher.submit(policy.observe([pools(ratio)], 0))
        await settle()
    assert [message.level for message in every.messages] == [Level.WARNING, Level.CRITICAL, Level.CRITICAL]
    assert [message.is_all_resolved for message in pager.messages] == [False, True]


async def test_retries_with_growing_pauses_and_takes_along_what_came(made: Callable[..., Dispatcher], burst: Burst, time: Time) -> None:
    ops = Recorder(answers=[Delivery(False, "HTTP status 500")] * 3)
    dispatcher = made(ops)
    dispatcher.submit(burst("a"))
    await settle(2)
    dispatcher.submit(burst("b"))
    await settle()
    assert ops.keys == [["a"], ["a", "b"], ["a", "b"], ["a", "b"]]
    assert time.slept == [1.0, 2.0, 4.0, 1.0]
    (row,) = dispatcher.statistics()
    assert (row.delivered, row.messages, row.attempts_failed, row.failing, row.failed, row.waiting) == (2, 1, 3, 0, 0, 0)


async def test_pauses_are_random_in_their_upper_half_and_bounded(burst: Burst, time: Time) -> None:
    ops = Recorder(answers=[Delivery(False, "no")] * 6)
    seams = Seams(clock=lambda: time.now, sleep=time.sleep, chance=lambda: 0.0)
    dispatcher = Dispatcher([ops], DispatcherConfig(), seams)
    dispatcher.submit(burst("a"))
    dispatcher.start()
    await settle(40)
    assert time.slept == [0.5, 1.0, 2.0, 4.0, 7.5, 7.5, 1.0]
    await dispatcher.close(0.1)


async def test_retry_after_is_honoured(made: Callable[..., Dispatcher], burst: Burst, time: Time) -> None:
    ops = Recorder(answers=[Delivery(False, "HTTP status 429", retry_after_s=7.0)])
    made(ops).submit(burst("a"))
    await settle()
    assert time.slept == [7.0, 1.0]
    assert ops.keys == [["a"], ["a"]]


async def test_gives_up_at_the_deadline_and_says_so(
    made: Callable[..., Dispatcher], burst: Burst, time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    ops = Recorder(answers=[Delivery(False, "HTTP status 500")] * 100)
    dispatcher = made(ops, deadline_s=10.0)
    dispatcher.submit(burst("a"))
    await settle(60)
    (row,) = dispatcher.statistics()
    assert (row.failed, row.delivered, row.waiting, row.last_error) == (1, 0, 0, "HTTP status 500")
    assert time.slept == [1.0, 2.0, 4.0, 8.0, 15.0]
    assert "receiver ops failed (HTTP status 500); trying again" in caplog.text
    assert "receiver ops did not get (HTTP status 500): CRITICAL 95% hl-main/a: " in caplog.text
    ops.answers.clear()
    dispatcher.submit(burst("b"))
    await settle()
    assert ops.keys[-1] == ["b"]


async def test_a_receivers_bug_does_not_end_the_paging(made: Callable[..., Dispatcher], burst: Burst) -> None:
    ops = Recorder(answers=[RuntimeError("https://secret")])
    dispatcher = made(ops)
    dispatcher.submit(burst("a"))
    await settle()
    assert ops.keys == [["a"], ["a"]]
    assert dispatcher.statistics()[0].last_error == "RuntimeError"


async def test_a_dead_receiver_delays_nobody(made: Callable[..., Dispatcher], burst: Burst) -> None:
    dead, ops = Recorder("dead"), Recorder()
    dead.gate.clear()
    made(dead, ops).submit(burst("a"))
    await settle()
    assert (dead.keys, ops.keys) == ([], [["a"]])


async def test_a_hanging_send_is_cut_off(made: Callable[..., Dispatcher], burst: Burst) -> None:
    ops = Recorder()
    ops.gate.clear()
    dispatcher = made(ops, send_limit_s=0.001)
    dispatcher.submit(burst("a"))
    async with asyncio.timeout(5):
        while not dispatcher.statistics()[0].attempts_failed:
            await asyncio.sleep(0.001)
    assert dispatcher.statistics()[0].last_error == "no answer within 0.001 s"


async def test_a_full_queue_drops_the_oldest_below_critical(
    made: Callable[..., Dispatcher], burst: Burst, caplog: pytest.LogCaptureFixture
) -> None:
    ops = Recorder()
    ops.gate.clear()
    dispatcher = made(ops, queue_size=3)
    dispatcher.submit(burst("first"))
    await settle()
    dispatcher.submit(burst("c1"))
    dispatcher.submit(burst("w1", ratio=0.86))
    dispatcher.submit(burst("w2", ratio=0.86))
    dispatcher.submit(burst("c2"))
    assert dispatcher.statistics()[0].dropped == 1
    dispatcher.submit(burst("c3"))
    dispatcher.submit(burst("c4"))
    dispatcher.submit(burst("w3", ratio=0.86))
    (row,) = dispatcher.statistics()
    assert (row.dropped, row.waiting, row.peak) == (4, 4, 4)
    assert "queue of receiver ops is full; dropped 1 (4 in all)" in caplog.text
    ops.gate.set()
    await settle()
    assert ops.keys == [["first"], ["c2", "c3", "c4"]]


async def test_close_sends_what_waits(burst: Burst, time: Time) -> None:
    ops = Recorder(answers=[Delivery(False, "no")])
    dispatcher = Dispatcher([ops], seams=time.seams)
    dispatcher.start()
    dispatcher.submit(burst("a"))
    await dispatcher.close(5.0)
    assert ops.keys == [["a"], ["a"]]
    assert dispatcher.statistics()[0].failed == 0


async def test_close_does_not_wait_for_a_pause(burst: Burst) -> None:
    ops = Recorder()
    dispatcher = Dispatcher([ops], DispatcherConfig(group_s=1000.0))
    dispatcher.start()
    dispatcher.submit(burst("a"))
    await settle()
    dispatcher.submit(burst("b"))
    async with asyncio.timeout(5):
        await dispatcher.close(60.0)
    assert ops.keys == [["a"], ["b"]]


async def test_close_is_bounded_and_counts_the_rest(burst: Burst, caplog: pytest.LogCaptureFixture) -> None:
    ops = Recorder()
    ops.gate.clear()
    dispatcher = Dispatcher([ops])
    dispatcher.start()
    dispatcher.submit(burst("a"))
    await settle()
    dispatcher.submit(burst("b"))
    await dispatcher.close(0.01)
    dispatcher.submit(burst("c"))
    (row,) = dispatcher.statistics()
    assert (row.failed, row.waiting, row.delivered) == (3, 0, 0)
    assert caplog.text.count("the program ended first") == 2
    assert "(the dispatcher is closed): CRITICAL 95% hl-main/c" in caplog.text
    assert all(record.levelno == logging.ERROR for record in caplog.records)
