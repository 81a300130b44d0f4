"""GET /api/v1/history: which series are told, and how."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from monitor.web.history import HISTORY, HistoryEndpoint
from tests.monitor.own_app import OwnApplication

NOON = 1_700_000_000_000


@asynccontextmanager
async def serving(own: OwnApplication) -> AsyncIterator[Any]:
    application = web.Application()
    HistoryEndpoint(own.app).add_to(application.router)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async with aiohttp.ClientSession() as session:

        async def ask(*names: str) -> tuple[int, Any]:
            query = [("id", name) for name in names]
            async with session.get(f"http://127.0.0.1:{runner.addresses[0][1]}{HISTORY}", params=query) as answer:
                return answer.status, await answer.json()

        yield ask
    await runner.cleanup()


async def test_a_series_has_a_ratio_a_step() -> None:
    own = OwnApplication()
    for step, ratio in enumerate((None, 0.51, None, 0.7300000000000001)):
        own.app.history.note(NOON + 5000 * step, [("pools/v/a/isolated:BTC", ratio), ("portfolios/p", 0.2)])
    own.clock.shift(60.0)
    async with serving(own) as ask:
        assert await ask("pools/v/a/isolated:BTC") == (200, {
            "version": 1,
            "as_of_ms": own.clock.time_ms(),
            "step_s": 5,
            "series": {"pools/v/a/isolated:BTC": {"start_ms": NOON + 5000, "ratios": [0.51, None, 0.7300000000000001]}},
        })  # fmt: skip


async def test_infinity_is_told_as_such() -> None:
    own = OwnApplication()
    for step, ratio in enumerate((0.5, None, math.inf)):
        own.app.history.note(NOON + 5000 * step, [("portfolios/p", ratio)])
    async with serving(own) as ask:
        _, told = await ask("portfolios/p")
        assert told["series"]["portfolios/p"]["ratios"] == [0.5, None, "Infinity"]


async def test_ids_that_are_not_known_are_left_out() -> None:
    own = OwnApplication()
    own.app.history.note(NOON, [("portfolios/p", 0.1), ("portfolios/empty", None)])
    async with serving(own) as ask:
        status, told = await ask("portfolios/nobody", "portfolios/p", "", "portfolios/empty")
        assert (status, told["series"].keys()) == (200, {"portfolios/p", "portfolios/empty"})
        assert told["series"]["portfolios/empty"]["ratios"] == []
        assert (await ask("portfolios/nobody"))[1]["series"] == {}


async def test_without_ids_the_twelve_highest_are_told() -> None:
    own = OwnApplication()
    async with serving(own) as ask:
        assert (await ask())[1]["series"] == {}
        own.app.history.note(NOON, [(f"portfolios/{number}", number / 100) for number in range(40)])
        assert [*(await ask())[1]["series"]] == [f"portfolios/{number}" for number in range(39, 27, -1)]


@pytest.mark.parametrize(("count", "status"), [(50, 200), (51, 400)])
async def test_there_is_an_end_to_what_may_be_asked(count: int, status: int) -> None:
    own = OwnApplication()
    async with serving(own) as ask:
        found, told = await ask(*(f"portfolios/{number}" for number in range(count)))
        assert found == status
        assert told.get("error") == (None if status == 200 else "id: at most 50 may be asked for at once, got 51")
