"""How many series a scrape tells, and that it waits for nobody while it does."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from connectors.events import FeedStatus
from monitor.metrics import pace
from monitor.metrics.collector import Collector
from monitor.metrics.series import DETAILS, PREFIX, bounded, gauge
from tests.monitor.metrics.scrapes import scraped
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, marks, opening
from tests.monitor.own_desk import position

ESSENTIAL = ("account_margin_ratio", "account_valid", "feed_up", "level_threshold_ratio", "notifications_total")


def families(sizes: dict[str, int]) -> list[Metric]:
    return [gauge(name, "text", ("of",), (((str(number),), 1.0) for number in range(size))) for name, size in sizes.items()]


SIZES = st.fixed_dictionaries({name: st.integers(0, 40) for name in (*ESSENTIAL, *DETAILS)})


@given(SIZES, st.integers(1, 400))
def test_essentials_are_whole_and_what_is_left_out_is_named(sizes: dict[str, int], limit: int) -> None:
    found = {family.name.removeprefix(PREFIX): list(family.samples) for family in bounded(families(sizes), limit)}
    total = sum(map(len, found.values()))
    missing = [sample.labels["family"].removeprefix(PREFIX) for sample in found.pop("metrics_omitted")]
    assert [sample.value for sample in found.pop("metrics_series")] == [total]
    assert {name: len(samples) for name, samples in found.items()} == {name: size for name, size in sizes.items() if name not in missing}
    assert set(missing) <= set(DETAILS)
    worth = [name for name in DETAILS if sizes[name] > 1]
    assert missing == worth[: len(missing)], "the finest go first, and none without need"
    assert total <= limit or missing == worth
    if missing:
        assert total - 1 + sizes[missing[-1]] > limit, "one family fewer would not have done"


def test_what_is_no_number_is_no_sample() -> None:
    rows = [(("a",), 1.0), (("b",), math.nan), (("c",), None), (("d",), math.inf)]
    assert [sample.labels["of"] for sample in gauge("feed_up", "text", ("of",), rows).samples] == ["a", "d"]


async def test_a_small_limit_leaves_details_out_of_a_scrape() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 10.0, 100.0), position("ETH", 1.0, 100.0, isolated=50.0)), marks(own, ETH=100.0))
    assert scraped(own.app)["metrics_omitted_info"] == []
    metrics = own.app.settings.metrics.model_copy(update={"series_limit": 100})
    own.app.settings = own.app.settings.model_copy(update={"metrics": metrics})
    small = scraped(own.app)
    assert {sample.labels["family"] for sample in small["metrics_omitted_info"]} >= {"marginwatch_account_positions"}
    assert "account_positions" not in small
    assert len(small["account_margin_ratio"]) == 2
    assert small["metrics_series"][0].value == sum(map(len, small.values()))


async def test_twenty_accounts_stay_below_two_thousand_series() -> None:
    names = tuple(f"account-{number}" for number in range(20))
    own = OwnApplication(names)
    for name in names:
        await own.tell(*opening(own, position("BTC", 10.0, 100.0), position("ETH", 1.0, 100.0, isolated=50.0), account=name))
        for feed in (SECTIONS_FEED, "spotState", "userFills", "userFundings", "openOrders", "userNonFundingLedgerUpdates"):
            await own.feed(feed, FeedStatus.FRESH, name)
    await own.tell(marks(own, ETH=100.0))
    samples = scraped(own.app)
    assert len(samples["account_valid"]) == 40
    assert samples["metrics_omitted_info"] == []
    assert sum(map(len, samples.values())) <= 2000


def test_rows_are_all_drawn_and_the_loop_has_its_turn_between(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr("monitor.metrics.pace.time.perf_counter", lambda: next(now) * 0.4 * pace.TURN_S)
    drawn: list[int] = []

    def rows() -> Iterator[int]:
        for number in range(6):
            drawn.append(number)
            yield number

    def taking() -> Iterator[None]:
        found.extend((yield from pace.turns(rows())))

    found: list[int] = []
    assert [len(drawn) for _ in taking()] == [3, 6]
    assert found == [0, 1, 2, 3, 4, 5]


def test_a_thread_pauses_between_samples_of_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("monitor.metrics.pace.time.sleep", paused.append)
    (family,) = families({"feed_up": 10 * pace.PAUSE_EVERY})
    built = len(paused)
    assert built == 10
    assert len(list(pace.with_pauses(family).samples)) == 10 * pace.PAUSE_EVERY
    assert len(paused) == built + 10


async def test_scrapes_at_the_same_time_share_one_and_later_ones_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    collector = Collector(own.app)
    looked: list[int] = []
    turns = collector.turns

    def counted() -> Iterator[None]:
        looked.append(1)
        return turns()

    monkeypatch.setattr(collector, "turns", counted)
    answers = await asyncio.gather(*(collector.render("") for _ in range(5)))
    assert len(looked) == 1
    assert len({body for body, _ in answers}) == 1
    await own.tell(*opening(own, position("BTC", 10.0, 100.0)))
    body, _ = await collector.render("")
    assert len(looked) == 2
    assert b"marginwatch_account_margin_ratio{" in body


async def test_a_client_that_goes_away_takes_nothing_from_the_others() -> None:
    collector = Collector(OwnApplication().app)
    first, second = asyncio.create_task(collector.render("")), asyncio.create_task(collector.render(""))
    await asyncio.sleep(0)
    first.cancel()
    body, content_type = await second
    assert first.cancelled()
    assert b"marginwatch_ready 0.0" in body
    assert content_type.startswith("text/plain")


async def test_rendering_is_in_a_thread_and_leaves_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    collector, loop_thread = Collector(own.app), threading.get_ident()
    collected: list[int] = []
    collect = collector.collect

    def noted() -> Iterator[Metric]:
        collected.append(threading.get_ident())
        for name in ("results", "result", "evaluate"):
            monkeypatch.setattr(own.app.engine, name, lambda *args, **more: pytest.fail("the engine belongs to the event loop"))
        return collect()

    monkeypatch.setattr(collector, "collect", noted)
    await collector.render("")
    assert len(collected) == 1
    assert collected[0] != loop_thread
