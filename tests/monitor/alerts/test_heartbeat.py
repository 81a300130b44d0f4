from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from config.secrets import Secret
from connectors.clock import ManualClock, cancel_all
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.receivers.http import PostError

URL = Secret("https://beats.example/secret-token")


@dataclass
class Status:
    status: int = 200


class Other:
    """The other end: it answers from a list, then with 200. None: it hangs."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.answers: list[int | Exception | None] = []
        self.called: list[float] = []

    async def get(self, url: Secret, timeout_s: float) -> Status:
        assert url is URL
        self.called.append(self.clock.monotonic_ns() / 1e9 - 1000)
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            raise answer
        return Status(answer or 200)


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.other = Other(self.clock)
        self.why = ""
        self.heartbeat = Heartbeat(self.other, URL, 30.0, lambda: self.why, self.clock)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    task = asyncio.create_task(made.heartbeat.run())
    yield made
    await cancel_all(task)


async def test_beats_while_all_is_seen(rig: Rig) -> None:
    await rig.clock.advance(95)
    assert rig.other.called == [0.0, 30.0, 60.0, 90.0]
    found = rig.heartbeat.statistics()
    assert (found.sent, found.failed, found.withheld, found.last_sent_ms) == (4, 0, 0, 1_700_000_090_000)


async def test_is_withheld_while_something_is_not_seen(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.clock.advance(10)
    rig.why = "hl-main: no fresh data"
    await rig.clock.advance(60)
    found = rig.heartbeat.statistics()
    assert (found.sent, found.withheld, found.withheld_because) == (1, 2, "hl-main: no fresh data")
    rig.why = ""
    await rig.clock.advance(19)
    assert rig.other.called == [0.0], "what was withheld is not made up for"
    await rig.clock.advance(2)
    assert rig.other.called == [0.0, 90.0]
    assert rig.heartbeat.statistics().withheld_because == ""
    assert [record.message for record in caplog.records] == ["heartbeat withheld: hl-main: no fresh data", "heartbeat: sent again"]


async def test_a_failure_is_told_once_and_not_retried(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.clock.advance(1)
    rig.other.answers = [500, PostError("no connection"), RuntimeError("https://beats.example/secret-token"), None, 404]
    errors = []
    for _ in range(5):
        await rig.clock.advance(30)
        await rig.clock.advance(0)
        errors.append(rig.heartbeat.statistics().last_error)
    assert rig.other.called == [0.0, 30.0, 60.0, 90.0, 120.0, 150.0]
    assert errors == ["HTTP status 500", "no connection", "RuntimeError", "RuntimeError", "HTTP status 404"]
    await rig.clock.advance(30)
    found = rig.heartbeat.statistics()
    assert (found.sent, found.failed, found.last_error) == (2, 5, "")
    assert len(caplog.records) == 2
    assert "does not answer (HTTP status 500)" in caplog.text
    assert "secret" not in caplog.text + repr(found)


async def test_a_call_that_hangs_is_cut_off_before_the_next(rig: Rig) -> None:
    await rig.clock.advance(1)
    rig.other.answers = [None]
    await rig.clock.advance(40)
    assert rig.heartbeat.statistics().last_error == "no answer within 10 s"
    await rig.clock.advance(20)
    assert rig.other.called == [0.0, 30.0, 60.0]


async def test_a_suspended_machine_does_not_catch_up(rig: Rig) -> None:
    await rig.clock.advance(1)
    rig.clock.shift(1000)
    await rig.clock.advance(29)
    assert rig.other.called == [0.0, 1001.0]
    await rig.clock.advance(30)
    assert len(rig.other.called) == 3


async def test_a_check_that_fails_is_no_health(rig: Rig) -> None:
    def broken() -> str:
        raise ValueError("https://secret")

    await rig.clock.advance(1)
    rig.heartbeat.healthy = broken
    await rig.clock.advance(60)
    assert rig.other.called == [0.0]
    assert rig.heartbeat.statistics().withheld_because == "its check failed (ValueError)"


async def test_nothing_is_sent_before_somebody_vouches() -> None:
    clock = ManualClock()
    other = Other(clock)
    task = asyncio.create_task(Heartbeat(other, URL, 30.0, clock=clock).run())
    await clock.advance(100)
    assert other.called == []
    await cancel_all(task)
