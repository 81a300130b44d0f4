"""Reports that are computed once for all who ask: how old they get, what shares them, and what a failure or a reload does to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from monitor.web import kept
from monitor.web.kept import CALENDAR, PORTFOLIOS, KeptReports, UnknownPortfolio
from tests.monitor.own_app import OwnApplication, started
from tests.monitor.reloads import ReloadedApplication, desk, risky

TWO_SETS = [
    {"id": "first", "accounts": ["maker"], "parameters": "uta"},
    {"id": "second", "accounts": ["maker"], "parameters": "house"},
    {"id": "third", "accounts": ["maker"], "parameters": "uta"},
]


class Computations:
    """Stands in for what is computed: counts, waits where a test holds it, fails where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.active, self.most = 0, 0, 0
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        self.failure: Exception | None = None
        self.snapshot, self.as_of_ms = None, 0
        self.go_on.set()
        monkeypatch.setattr(kept, "frozen", lambda live, engine, name: self)
        monkeypatch.setattr(kept, "Calendar", lambda app: self)

    def report(self) -> dict[str, Any]:
        self.count, self.active = self.count + 1, self.active + 1
        self.most = max(self.most, self.active)
        number = self.count
        self.begun.release()
        assert self.go_on.wait(20.0)
        self.active -= 1
        if self.failure is not None:
            raise self.failure
        return {"number": number, "as_of": "now", "portfolios": [], "accounts": [], "modes": {}}

    document = report

    async def under_way(self) -> None:
        """Return when the next one has begun."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=20.0)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Computations:
    return Computations(monkeypatch)


def reloaded(*portfolios: dict[str, Any]) -> ReloadedApplication:
    return ReloadedApplication(desk(portfolios=[*(portfolios or TWO_SETS)]))


# -- age --------------------------------------------------------------------------------------------------------------------------


async def test_a_report_is_kept_for_as_long_as_the_asker_takes_it(computed: Computations) -> None:
    own = OwnApplication()
    reports = KeptReports(own.app)
    first = await reports.report()
    own.clock.shift(1.0)
    assert await reports.report() is first
    own.clock.shift(0.001)
    assert await reports.report(max_age_s=5.0) is first
    second = await reports.report()
    assert second.document["number"] == 2
    assert second.taken_ns - first.taken_ns == 1_001_000_000
    own.clock.shift(0.001)
    assert (await reports.report(max_age_s=0.0)).document["number"] == 3


async def test_a_calendar_is_kept_beside_the_reports(computed: Computations) -> None:
    own = OwnApplication()
    reports = KeptReports(own.app)
    first = await reports.calendar()
    assert (await reports.report()).document["number"] == 2
    own.clock.shift(10.0)
    assert await reports.calendar() is first
    own.clock.shift(0.001)
    assert (await reports.calendar()).document["number"] == 3


# -- sharing ----------------------------------------------------------------------------------------------------------------------


async def test_all_who_ask_at_once_share_one_computation(computed: Computations) -> None:
    reports = KeptReports(OwnApplication().app)
    found = await asyncio.gather(*(reports.report() for _ in range(50)))
    assert computed.count == 1
    assert all(one is found[0] for one in found)


async def test_who_asks_while_an_old_one_is_computed_shares_the_next(computed: Computations) -> None:
    own = OwnApplication()
    reports = KeptReports(own.app)
    computed.go_on.clear()
    first = asyncio.create_task(reports.report())
    await computed.under_way()
    joined = asyncio.create_task(reports.report())
    await asyncio.sleep(0)
    own.clock.shift(3.0)
    later = [asyncio.create_task(reports.report()) for _ in range(20)]
    await asyncio.sleep(0)
    own.clock.shift(3.0)
    latest = asyncio.create_task(reports.report())
    await asyncio.sleep(0)
    computed.go_on.set()
    assert await joined is await first
    assert {id(one) for one in await asyncio.gather(*later)} == {id(await latest)}
    assert (computed.count, (await latest).document["number"]) == (2, 2)


async def test_portfolios_of_one_parameter_set_share_a_report(computed: Computations) -> None:
    reports = KeptReports(reloaded().app)
    first, second, third = await asyncio.gather(*(reports.report(name) for name in ("first", "second", "third")))
    assert first is third is await reports.report()
    assert first is not second
    assert [one.document["number"] for one in await reports.reports()] == [1, 2]
    assert computed.count == 2


async def test_one_computation_at_a_time(computed: Computations) -> None:
    reports = KeptReports(reloaded().app)
    computed.go_on.clear()
    asked = [asyncio.create_task(work) for work in (reports.report("first"), reports.report("second"), reports.calendar())]
    await computed.under_way()
    await asyncio.sleep(0)
    assert computed.count == 1
    computed.go_on.set()
    await asyncio.gather(*asked)
    assert (computed.count, computed.most) == (3, 1)


async def test_an_asker_who_leaves_ends_no_computation(computed: Computations) -> None:
    reports = KeptReports(OwnApplication().app)
    computed.go_on.clear()
    leaving, staying = asyncio.create_task(reports.report()), asyncio.create_task(reports.report())
    await computed.under_way()
    leaving.cancel()
    calendar = asyncio.create_task(reports.calendar())
    await asyncio.sleep(0)
    assert computed.count == 1, "the other waits for its turn"
    computed.go_on.set()
    assert (await staying).document["number"] == 1
    assert (await calendar).document["number"] == 2
    assert leaving.cancelled()


# -- failures ---------------------------------------------------------------------------------------------------------------------


async def test_a_computation_that_raises_is_told_to_all_who_wait_and_breaks_none_after_it(computed: Computations) -> None:
    reports = KeptReports(OwnApplication().app)
    computed.failure = ZeroDivisionError("a defect")
    found = await asyncio.gather(*(reports.report() for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in found] == [ZeroDivisionError] * 5
    assert computed.count == 1
    computed.failure = None
    assert (await reports.report()).document["number"] == 2


async def test_a_failure_that_nobody_waits_for_leaves_no_warning(computed: Computations) -> None:
    reports = KeptReports(OwnApplication().app)
    computed.go_on.clear()
    computed.failure = ZeroDivisionError("a defect")
    leaving = asyncio.create_task(reports.report())
    await computed.under_way()
    leaving.cancel()
    asked = asyncio.create_task(reports.calendar())
    await asyncio.sleep(0)
    computed.go_on.set()
    with pytest.raises(ZeroDivisionError):
        await asked


async def test_a_portfolio_that_is_not_configured_is_refused_by_name() -> None:
    reports = KeptReports(reloaded().app)
    with pytest.raises(UnknownPortfolio, match="configured are first, second, third"):
        await reports.report("nobody")


# -- reloads ----------------------------------------------------------------------------------------------------------------------


async def test_another_configuration_drops_what_is_kept(computed: Computations) -> None:
    own = reloaded()
    reports = KeptReports(own.app)
    async with started(own):
        before = [await reports.report(), await reports.calendar()]
        assert await own.reload(desk(portfolios=TWO_SETS)) == []
        assert [await reports.report(), await reports.calendar()] == before
        assert await own.reload(desk(portfolios=TWO_SETS[:1], alerts={"adl_quantile": 0}))
        assert (await reports.report()).document["number"] == 3
        assert (await reports.calendar()).document["number"] == 4
        with pytest.raises(UnknownPortfolio):
            await reports.report("second")


async def test_a_portfolio_that_a_reload_takes_away_meanwhile(computed: Computations) -> None:
    own = reloaded()
    reports = KeptReports(own.app)
    async with started(own):
        computed.go_on.clear()
        every = asyncio.create_task(reports.reports())
        await computed.under_way()
        waiting = asyncio.create_task(reports.report("second"))
        await asyncio.sleep(0)
        assert await own.reload(desk(portfolios=TWO_SETS[:1]))
        computed.go_on.set()
        assert len(await every) == 1
        with pytest.raises(UnknownPortfolio):
            await waiting


# -- over HTTP --------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(reports: KeptReports) -> AsyncIterator[Any]:
    application = web.Application()
    reports.add_to(application.router)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async with aiohttp.ClientSession() as session:

        async def ask(path: str) -> tuple[int, bytes]:
            async with session.get(f"http://127.0.0.1:{runner.addresses[0][1]}{path}") as answer:
                assert answer.content_type == "application/json"
                return answer.status, await answer.read()

        yield ask
    await runner.cleanup()


async def test_the_api_answers_with_what_is_kept() -> None:
    own = reloaded(TWO_SETS[0])
    async with started(own), serving(reports := KeptReports(own.app)) as ask:
        await own.tell(*risky(own, 0.5))
        await own.until(lambda: own.app.portfolios.as_of_ms > 0 and own.app.portfolios.figures()[0].margin_ratio is not None)
        document = await reports.report()
        (portfolio,) = document.document["portfolios"]
        assert portfolio["status"] == "ok", portfolio
        assert portfolio["margin_ratio"] == pytest.approx(own.app.portfolios.figures()[0].margin_ratio)
        assert len(portfolio["curve"]["all"]["margin_ratio"]) == 33
        assert orjson.loads(document.body) == document.document
        assert await ask(PORTFOLIOS) == await ask(f"{PORTFOLIOS}?portfolio={portfolio['id']}") == (200, document.body)
        status, body = await ask(f"{PORTFOLIOS}?snapshot=1")
        assert (status, orjson.loads(body)) == (
            200,
            {"report": document.document, "snapshot": orjson.loads(orjson.dumps(document.snapshot))},
        )
        assert document.snapshot is not None
        assert orjson.loads(body)["snapshot"]["as_of"] == document.snapshot["as_of"]
        assert await ask(CALENDAR) == (200, (await reports.calendar()).body)


async def test_the_api_refuses_a_portfolio_that_is_not_configured() -> None:
    own = OwnApplication()
    async with serving(KeptReports(own.app)) as ask:
        status, body = await ask(f"{PORTFOLIOS}?portfolio=nobody")
        known = own.settings.portfolios[0].id
        assert (status, orjson.loads(body)) == (404, {"error": f"no portfolio has this id; configured are {known}"})


async def test_without_a_value_a_report_says_why() -> None:
    async with serving(KeptReports(OwnApplication().app)) as ask:
        told = orjson.loads((await ask(f"{PORTFOLIOS}?snapshot=1"))[1])
        assert told["snapshot"] is None
        assert [one["status"] for one in told["report"]["portfolios"]] == ["failed"]
