from __future__ import annotations

import asyncio

import pytest

from connectors.clock import ManualClock, SystemClock, settle, wait_for, within
from connectors.errors import Timeout


async def test_sleepers_wake_at_their_own_time_and_in_order() -> None:
    clock = ManualClock(monotonic_ns=0)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic_ns()))
        await clock.sleep(1.0)
        woken.append((name, clock.monotonic_ns()))

    tasks = [asyncio.create_task(sleeper("late", 2.0)), asyncio.create_task(sleeper("early", 1.5))]
    await clock.advance(1.0)
    assert woken == []
    await clock.advance(10.0)

    assert woken == [("early", 1_500_000_000), ("late", 2_000_000_000), ("early", 2_500_000_000), ("late", 3_000_000_000)]
    assert clock.monotonic_ns() == 11_000_000_000
    await asyncio.gather(*tasks)


async def test_venue_time_moves_with_the_monotonic_clock() -> None:
    clock = ManualClock(time_ms=1_000)
    await clock.advance(2.5)

    assert clock.time_ms() == 3_500


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(1.0))
    await settle()
    task.cancel()
    await clock.advance(2.0)

    assert task.cancelled()


async def test_within_gives_the_result_in_time_and_a_named_timeout_after_it() -> None:
    clock = ManualClock()

    async def answer(after_s: float) -> str:
        await clock.sleep(after_s)
        return "here"

    in_time = asyncio.create_task(within(clock, 5.0, answer(4.0), "the answer"))
    too_late = asyncio.create_task(within(clock, 5.0, answer(6.0), "the answer"))
    await clock.advance(5.0)

    assert await in_time == "here"
    with pytest.raises(Timeout, match="the answer took longer than 5 s"):
        await too_late


async def test_within_passes_on_what_the_work_raises_and_cancels_it_when_cancelled() -> None:
    clock = ManualClock()
    ended: list[str] = []

    async def fails() -> None:
        raise KeyError("mark")

    async def hangs() -> None:
        try:
            await clock.sleep(100.0)
        finally:
            ended.append("hangs")

    with pytest.raises(KeyError):
        await within(clock, 5.0, fails(), "it")
    task = asyncio.create_task(within(clock, 5.0, hangs(), "it"))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["hangs"]


async def test_wait_for_returns_on_the_event_or_on_time() -> None:
    clock, event = ManualClock(), asyncio.Event()
    timed = asyncio.create_task(wait_for(clock, event, 3.0))
    endless = asyncio.create_task(wait_for(clock, event, None))
    await clock.advance(3.0)
    assert (timed.done(), endless.done()) == (True, False)
    event.set()
    await settle()
    assert endless.done()


async def test_the_system_clock_agrees_with_itself() -> None:
    clock = SystemClock()
    before = clock.monotonic_ns()
    await clock.sleep(-1.0)

    assert clock.monotonic_ns() >= before
    assert clock.time_ms() > 1_700_000_000_000
