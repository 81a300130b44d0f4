"""Requests nobody waits for: one at a time, only with budget to spare, failed ones ever more rarely."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest

from connectors.background import LEAST_GAP_S, OWN_PART, PATIENCE_S, Background
from connectors.clock import ManualClock
from connectors.daily import DAY_MS, until_tomorrow_s
from connectors.errors import ConnectorError, Timeout
from connectors.ratelimit import Budget, BudgetLimits


class Bench:
    """Loads that note when they were made and spend their weight; those of `failing` fail."""

    def __init__(self, limit: int = 100) -> None:
        self.clock = ManualClock()
        self.budget = Budget("venue", BudgetLimits(weight_per_minute=limit), 1.0, self.clock)
        self.made: list[tuple[str, float]] = []
        self.failures: list[tuple[str, ConnectorError]] = []
        self.failing: dict[str, Exception] = {}
        self.running = 0
        self.most_running = 0
        self.background = Background("venue", self.budget, clock=self.clock, random=Random(1), failed=self._on_failed)
        self._start_ns = self.clock.monotonic_ns()

    def add(self, name: str, weight: int = 20, *, again_s: float = 1000.0, lasts_s: float = 0.0, in_s: float = 0.0) -> None:
        async def load() -> float:
            await self.background.room_for(weight)
            await self.budget.spend(weight)
            self.made.append((name, (self.clock.monotonic_ns() - self._start_ns) / 1e9))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await self.clock.sleep(lasts_s)
            self.running -= 1
            if name in self.failing:
                raise self.failing[name]
            return again_s

        self.background.add(name, load, in_s=in_s)

    def _on_failed(self, name: str, failure: ConnectorError) -> None:
        self.failures.append((name, failure))

    def times(self, name: str) -> list[float]:
        return [at for one, at in self.made if one == name]

    @asynccontextmanager
    async def running_loop(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.background.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_loads_come_in_turn_one_at_a_time_and_again() -> None:
    bench = Bench(limit=100_000)
    bench.add("a", 1, again_s=100.0, lasts_s=3.0)
    bench.add("b", 1, again_s=50.0, lasts_s=3.0)
    bench.add("late", 1, in_s=20.0)
    async with bench.running_loop():
        await bench.clock.advance(120.0)
    assert bench.made == [("a", 0.0), ("b", 3.0), ("late", 20.0), ("b", 56.0), ("a", 103.0), ("b", 109.0)]
    assert bench.most_running == 1


async def test_it_waits_for_room_to_spare_though_the_budget_would_allow_it() -> None:
    bench = Bench(limit=100)
    await bench.budget.spend(60)
    bench.add("a", 20)
    async with bench.running_loop():
        await bench.clock.advance(59.0)
        assert bench.made == [], "80 of 100 would be spent, a quarter is left to others"
        await bench.clock.advance(5.0)
    assert len(bench.made) == 1


async def test_together_they_take_a_small_part_of_the_budget() -> None:
    bench = Bench(limit=100)
    for name in "abcdef":
        bench.add(name, 5, again_s=10.0)
    async with bench.running_loop():
        await bench.clock.advance(600.0)
    assert 15 <= len(bench.made) <= 100 * OWN_PART * 10 / 5 + 1


async def test_a_load_that_asks_nothing_waits_for_nothing() -> None:
    bench = Bench(limit=100)
    await bench.budget.spend(100)

    async def load() -> float:
        bench.made.append(("nothing", 0.0))
        return 1.0

    bench.background.add("nothing", load)
    async with bench.running_loop():
        await bench.clock.advance(10.0)
    assert len(bench.made) == 11


async def test_a_budget_that_is_always_busy_does_not_starve_it() -> None:
    bench = Bench(limit=100)
    bench.add("a", 20)

    async def others() -> None:
        while True:
            await bench.budget.spend(8)
            await bench.clock.sleep(6.0)

    task = asyncio.create_task(others())
    await bench.budget.spend(1)
    await bench.clock.advance(60.0)
    async with bench.running_loop():
        await bench.clock.advance(PATIENCE_S - 5.0)
        assert bench.made == []
        await bench.clock.advance(30.0)
    task.cancel()
    assert len(bench.made) == 1


async def test_what_others_ask_never_waits_behind_it() -> None:
    bench = Bench(limit=100)
    await bench.budget.spend(70)
    for name in "abcd":
        bench.add(name, 20)
    async with bench.running_loop():
        await bench.clock.advance(10.0)
        assert bench.budget.try_spend(30) == 0.0
    assert bench.budget.statistics().waiting == 0


async def test_a_failed_load_is_told_and_tried_again_ever_more_rarely_while_others_go_on() -> None:
    bench = Bench()
    bench.failing["a"] = Timeout("a", 1.0)
    bench.add("a", 1)
    bench.add("b", 1, again_s=500.0)
    async with bench.running_loop():
        await bench.clock.advance(7200.0)
        tried = bench.times("a")
        assert 3 <= len(tried) <= 30
        assert min(later - sooner for sooner, later in pairwise(tried)) >= 60.0
        assert [name for name, _ in bench.failures] == ["a"] * len(tried)
        assert len(bench.times("b")) == 15
        bench.failing.clear()
        await bench.clock.advance(3700.0)
        failures = len(bench.failures)
        await bench.clock.advance(2000.0)
        assert len(bench.failures) == failures


async def test_a_defect_is_logged_by_its_type_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.failing["a"] = ValueError("a payload")
    bench.add("a", 1)
    async with bench.running_loop():
        await bench.clock.advance(600.0)
    assert len(bench.made) > 1
    assert "a of venue failed: internal error ValueError" in caplog.text
    assert "a payload" not in caplog.text


async def test_hastening_is_at_once_but_not_often_and_never_breaks_a_retry() -> None:
    bench = Bench()
    bench.add("a", 1, in_s=100.0)
    async with bench.running_loop():
        bench.background.hasten("unknown")
        bench.background.hasten("a")
        await bench.clock.advance(0.0)
        assert bench.times("a") == [0.0]
        for _ in range(100):
            bench.background.hasten("a")
            await bench.clock.advance(1.0)
        assert bench.times("a") == [0.0, LEAST_GAP_S, 2 * LEAST_GAP_S, 3 * LEAST_GAP_S]
        bench.failing["a"] = Timeout("a", 1.0)
        bench.background.hasten("a")
        await bench.clock.advance(40.0)
        tried = len(bench.made)
        for _ in range(35):
            bench.background.hasten("a")
            await bench.clock.advance(1.0)
        assert len(bench.made) == tried


async def test_what_was_removed_is_not_loaded_and_what_is_known_not_added_again() -> None:
    bench = Bench()
    bench.add("a", 1, again_s=10.0)
    bench.add("a", 1, again_s=1.0)
    bench.add("b", 1, in_s=5.0)
    bench.background.remove("b")
    bench.background.remove("unknown")
    async with bench.running_loop():
        await bench.clock.advance(15.0)
        assert bench.made == [("a", 0.0), ("a", 10.0)]
        bench.background.remove("a")
        await bench.clock.advance(30.0)
        assert len(bench.made) == 2
        bench.add("c", 1)
        await bench.clock.advance(1.0)
    assert bench.made[-1][0] == "c"
    assert bench.background.names == ("c",)


@pytest.mark.parametrize("now_ms", [0, 1, DAY_MS - 1, 20_000 * DAY_MS + 3_600_000])
def test_tomorrow_is_some_minutes_after_midnight(now_ms: int) -> None:
    then_ms = now_ms + until_tomorrow_s(now_ms, Random(now_ms)) * 1000.0
    assert then_ms // DAY_MS == now_ms // DAY_MS + 1
    assert 60_000 <= then_ms % DAY_MS <= 600_000
