"""The life of the program: start and stop, one evaluation for all that arrived, what it tells to whom, and what it never forgets."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from connectors.clock import settle
from connectors.events import (
    AccountFailure,
    FailureReason,
    FeedStatus,
    Fill,
    ModeReport,
)
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidVenue, Market, PositionPlan
from connectors.simulator.hyperliquid_desk import DEFAULT_START_MS
from kernels._jit import permit_compilation
from monitor import app as app_module
from monitor import status
from monitor.alerts.incident import Change
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Level
from tests.monitor.loopback import STEP_S, LoopbackMonitor, loopback
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, ledgers, marks, opening, started
from tests.monitor.own_desk import ACCOUNT, name, position

# -- start and stop -------------------------------------------------------------------------------------------------------------------


async def test_it_starts_and_stops_without_leaving_a_task() -> None:
    before = asyncio.all_tasks()
    own = OwnApplication()
    async with started(own):
        assert own.app.warm_up_s is not None
        await own.until(lambda: bool(own.connector.ratios))
    assert own.connector.stopped.is_set()
    assert asyncio.all_tasks() == before


async def test_stopping_before_a_start_is_harmless() -> None:
    own = OwnApplication()
    await own.app.stop()
    assert own.connector.stopped.is_set()


async def test_what_arrived_before_the_stop_is_still_evaluated_and_delivered() -> None:
    own = OwnApplication()
    async with started(own):
        own.app.receive([*opening(own), ledgers(own, 2000, position("BTC", 1000.0, 100.0), cash=cash_for(0.95))])
    assert any(title.startswith("CRITICAL 95% maker/main") for title in own.recorder.titles), own.recorder.titles


async def test_a_task_that_fails_is_told_and_the_last_page_still_leaves() -> None:
    own = OwnApplication()
    own.connector.failure = RuntimeError("a defect")
    await own.app.start()
    own.connector.stopped.set()
    with pytest.raises(RuntimeError, match="a defect"):
        await own.app.failed()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    await own.app.stop()
    permit_compilation()
    assert any(title.startswith("CRITICAL") for title in own.recorder.titles)


async def test_a_connector_that_ends_by_itself_is_a_failure() -> None:
    own = OwnApplication()
    async with started(own):
        own.connector.stopped.set()
        with pytest.raises(RuntimeError, match="ended by itself"):
            await own.app.failed()


async def test_a_defect_in_the_second_loop_ends_the_program_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    async with started(own):
        monkeypatch.setattr(own.app.alarm.policy, "observe", lambda results, now_s: 1 / 0)
        task = asyncio.create_task(own.app.failed())
        await own.until(task.done)
        with pytest.raises(ZeroDivisionError):
            await task


async def test_a_cache_that_is_off_is_said_at_start(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(app_module, "CACHE_NOTE", "kernel cache is off: Read-only file system; set MARGINWATCH_CACHE_DIR")
    with caplog.at_level(logging.WARNING, logger="marginwatch.app"):
        async with started(OwnApplication()):
            pass
    assert "MARGINWATCH_CACHE_DIR" in caplog.text


# -- one evaluation for all that arrived ----------------------------------------------------------------------------------------------


async def test_batches_of_one_turn_are_evaluated_once_and_none_is_lost() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    count = own.app.engine.statistics.evaluations
    for step in range(50):
        own.app.receive([marks(own, BTC=100.0 + step)])
        own.app.receive([ledgers(own, 2000 + step, position("BTC", 1000.0 + step, 100.0), cash=cash_for(0.5))])
    assert own.app.engine.statistics.evaluations == count, "nothing is computed before the loop turns"
    await asyncio.sleep(0)
    assert own.app.engine.statistics.evaluations == count + 1
    (result,) = own.app.results()
    assert result.maintenance_margin == pytest.approx(0.0125 * 1049.0 * 149.0)
    assert sum(own.app.timings.counts) == 2, "one decision for the opening and one for the hundred batches"
    await asyncio.sleep(0)
    assert own.app.engine.statistics.evaluations == count + 1


async def test_every_turn_with_events_is_evaluated_and_none_without() -> None:
    own = OwnApplication()
    for step in range(20):
        await own.tell(marks(own, BTC=100.0 + step))
    assert own.app.engine.statistics.evaluations == 20
    own.app.receive([])
    await asyncio.sleep(0)
    assert own.app.engine.statistics.evaluations == 20


async def test_a_crossing_is_paged_by_the_tick_itself() -> None:
    own = OwnApplication()
    async with started(own):
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await own.until(lambda: bool(own.connector.ratios))
        own.recorder.messages.clear()
        for mark, expected in ((98.87, Level.CRITICAL), (98.7, Level.LIQUIDATION)):
            await own.tell(marks(own, BTC=mark))
            (result,) = own.app.results()
            assert own.app.alarm.recent[-1].level is expected, result
        await settle()
        first = own.recorder.messages[0].alerts[0]
        assert (first.scope.place, first.change, first.level) == (f"{ACCOUNT}/main", Change.FIRED, Level.CRITICAL)
        assert first.figures["distance"] is not None, "a page says how far the liquidation is"


# -- pools that vanish ----------------------------------------------------------------------------------------------------------------


async def burning(own: OwnApplication) -> None:
    """An isolated position beyond its limit, beside a healthy cross one, all feeds good."""
    isolated = position("BTC", 1000.0, 100.0, isolated=cash_for(1.1))
    await own.tell(*opening(own, isolated, position("ETH", 1.0, 100.0), cash=5_000.0), marks(own, ETH=100.0))
    await own.feed(SECTIONS_FEED, FeedStatus.FRESH)
    assert ("iso:BTC", "margin_level") in own.firing()


async def test_a_closed_position_ends_its_alert() -> None:
    own = OwnApplication()
    await burning(own)
    await own.tell(ledgers(own, 2000, position("ETH", 1.0, 100.0)))
    assert own.firing() == []
    assert own.app.alarm.recent[-1].change is Change.RESOLVED


async def test_a_pool_that_vanishes_while_the_data_are_stale_resolves_only_when_they_are_fresh() -> None:
    own = OwnApplication()
    await burning(own)
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    await own.tell(ledgers(own, 2000, position("ETH", 1.0, 100.0)))
    await own.tell(marks(own, BTC=101.0))
    assert ("iso:BTC", "margin_level") in own.firing()
    await own.feed(SECTIONS_FEED, FeedStatus.FRESH)
    assert own.firing() == []


async def test_a_pool_that_vanished_while_stale_and_is_back_goes_on_firing() -> None:
    own = OwnApplication()
    await burning(own)
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    await own.tell(ledgers(own, 2000, position("ETH", 1.0, 100.0)))
    await own.tell(ledgers(own, 3000, position("BTC", 1000.0, 100.0, isolated=cash_for(1.1))))
    await own.feed(SECTIONS_FEED, FeedStatus.FRESH)
    assert ("iso:BTC", "margin_level") in own.firing()


async def test_an_account_that_cannot_be_margined_any_more_keeps_its_alerts() -> None:
    own = OwnApplication()
    await burning(own)
    await own.tell(ModeReport(VENUE, ACCOUNT, own.now_ns, "hyperMode"))
    assert [result.pool for result in own.app.results()] == ["account"]
    assert ("iso:BTC", "margin_level") in own.firing(), "nothing says that the position is closed"
    assert not any(notification.change is Change.RESOLVED for notification in own.app.alarm.recent)
    await own.tell(ModeReport(VENUE, ACCOUNT, own.now_ns, "default"))
    assert ("iso:BTC", "margin_level") in own.firing()


async def test_nothing_known_of_an_account_becomes_an_alert_and_ends_with_its_first_state() -> None:
    own = OwnApplication()
    async with started(own):
        await own.until(lambda: ("account", "data") in own.firing(), 60.0)
        assert any("no data maker/account" in title for title in own.recorder.titles)
        await own.feed("allDexsAssetCtxs", FeedStatus.STALE, None)
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0)))
        await own.feed("allDexsAssetCtxs", FeedStatus.FRESH, None)
        await own.until(lambda: own.firing() == [], 15.0)
        ended = [note.detail for note in own.app.alarm.recent if note.change is Change.RESOLVED and note.scope.name == "account"]
        assert ended == ["the account's state has arrived"]


# -- what the connector is told -------------------------------------------------------------------------------------------------------


async def test_an_execution_that_is_not_understood_has_the_account_read_again() -> None:
    own = OwnApplication()
    await own.tell(*opening(own))
    await own.tell(Fill(VENUE, ACCOUNT, own.now_ns, "1", 2000, 1.0, 5.0, 0.0, "USDC", name("UNLISTED")))
    assert own.connector.refreshed == [ACCOUNT]
    await own.tell(marks(own, BTC=101.0))
    assert own.connector.refreshed == [ACCOUNT], "asked once"


async def test_another_venue_is_not_asked() -> None:
    own = OwnApplication()
    await own.tell(*opening(own))
    own.connector.venue = "elsewhere"
    await own.tell(Fill(VENUE, ACCOUNT, own.now_ns, "1", 2000, 1.0, 5.0, 0.0, "USDC", name("UNLISTED")))
    assert own.connector.refreshed == []


async def test_push_slots_are_asked_for_by_the_worst_ratio_even_when_it_is_stale() -> None:
    own = OwnApplication(("maker", "taker"))
    async with started(own):
        isolated = position("BTC", 1000.0, 100.0, isolated=cash_for(0.8))
        await own.tell(*opening(own, isolated, position("ETH", 1.0, 100.0)), marks(own, ETH=100.0))
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.3), account="taker"), marks(own, ETH=100.0))
        await own.feed(SECTIONS_FEED, FeedStatus.STALE)
        await own.until(lambda: own.connector.ratios[-1:] != [] and len(own.connector.ratios[-1]) == 2)
        assert own.connector.ratios[-1] == {"maker": pytest.approx(0.8), "taker": pytest.approx(0.3)}


# -- readiness ------------------------------------------------------------------------------------------------------------------------


async def test_it_is_not_ready_until_every_account_had_a_value() -> None:
    own = OwnApplication(("maker", "taker"))
    assert own.app.unready()[0] == "kernels are compiling"
    async with started(own):
        await own.until(lambda: bool(own.connector.ratios))
        waiting = own.app.unready()
        assert [reason.split(":")[0] for reason in waiting] == ["maker", "taker"]
        assert all("NOT_READY" in reason for reason in waiting)
        await own.tell(*opening(own))
        await own.until(lambda: len(own.app.unready()) == 1)
        assert own.app.unready()[0].startswith("taker")
        await own.tell(AccountFailure(VENUE, "taker", own.now_ns, FailureReason.AGENT_ADDRESS, "taker is an API wallet"))
        assert own.app.unready() == [], "a declared failure is loud elsewhere"


async def test_a_missing_table_is_named_as_the_reason() -> None:
    own = OwnApplication()
    async with started(own):
        await own.tell(*opening(own, position("NEWT", 1.0, 100.0)))
        assert "UNKNOWN_TIER" in own.app.unready()[0]


# -- accounts that cannot be monitored ------------------------------------------------------------------------------------------------


async def test_an_account_that_was_missing_and_appears_is_told_as_recovered() -> None:
    own = OwnApplication()
    async with started(own):
        await own.tell(AccountFailure(VENUE, ACCOUNT, own.now_ns, FailureReason.MISSING_ACCOUNT, "the venue does not know it"))
        assert ("", "account_failure") in own.firing()
        await own.tell(*opening(own, position("BTC", 1.0, 100.0)))
        await own.until(lambda: ("", "account_failure") not in own.firing())
        told = [notification for notification in own.app.alarm.recent if notification.rule.value == "account_failure"]
        assert [notification.change for notification in told] == [Change.FIRED, Change.RESOLVED]


def simulated(plans: list[AccountPlan], **overrides: Any) -> LoopbackMonitor:
    market = Market(7, "calm", 600.0, DEFAULT_START_MS)
    venue = HyperliquidVenue(market, plans, context_interval=STEP_S, account_frame_interval=2.0)
    return LoopbackMonitor(market, venue, plans, {"fast_contexts": False, **overrides})


def plan(number: int, alias: str, **more: Any) -> AccountPlan:
    more.setdefault("positions", (PositionPlan("BTC", 1.0, 10),))
    return AccountPlan(f"0x{number:040x}", alias, cash={"": 100_000.0}, **more)


def rules_of(monitor: LoopbackMonitor) -> set[str]:
    return {alert["rule"] for alert in monitor.status()["alerts"]}


def told(monitor: LoopbackMonitor) -> list[str]:
    return [alert.title for alert in monitor.app.alarm.recent]


async def test_an_api_wallet_and_an_unknown_address_are_typed_failures_everywhere() -> None:
    plans = [plan(0xC1, "good"), plan(0xC2, "agent", role="agent", master=f"0x{0xC1:040x}"), plan(0xC3, "missing", role="missing")]
    monitor = simulated(plans)
    await monitor.start()
    try:
        await monitor.until(lambda: not monitor.app.unready() and monitor.is_valid("good"), 30.0)
        pools = {pool["account"]: pool for pool in monitor.status()["pools"]}
        for alias, reason in (("agent", "AGENT_ADDRESS"), ("missing", "MISSING_ACCOUNT")):
            assert pools[alias]["status"] == "failed"
            assert pools[alias]["margin_ratio"] is None
            assert pools[alias]["failures"][0]["reason"] == reason
            assert f'reason="{reason}"' in monitor.metrics()
            assert any(f"cannot monitor {alias}: {reason}" in title for title in told(monitor)), told(monitor)
        firing = {(alert["account"], alert["rule"], alert["level"]) for alert in monitor.status()["alerts"]}
        assert {("agent", "account_failure", "critical"), ("missing", "account_failure", "critical")} <= firing
        by_name = {account["id"]: account for account in status.accounts(monitor.app)["accounts"]}
        assert (by_name["good"]["status"], by_name["agent"]["status"]) == ("ok", "failed")
        assert by_name["agent"]["margin_ratio"] is None
    finally:
        await monitor.stop()


async def test_a_mode_nobody_knows_is_a_typed_failure_and_an_alert() -> None:
    async with loopback(("atlas",)) as monitor:
        monitor.app.receive([ModeReport(VENUE, "atlas", monitor.clock.monotonic_ns(), "hyperMode")])
        await monitor.run(2.0)
        (pool,) = monitor.status()["pools"]
        assert [failure["reason"] for failure in pool["failures"]] == ["UNSUPPORTED_MODE"]
        assert "hyperMode" in pool["failures"][0]["detail"]
        assert pool["margin_ratio"] is None
        assert told(monitor)[-1].startswith("CRITICAL cannot monitor atlas: UNSUPPORTED_MODE"), told(monitor)
        await monitor.run(8.0)
        # one alert says it: that nothing is computed meanwhile is no news
        assert {(alert["name"], alert["rule"]) for alert in monitor.status()["alerts"]} == {("", "account_failure")}
        monitor.app.receive([ModeReport(VENUE, "atlas", monitor.clock.monotonic_ns(), "default")])
        # that the venue told another mode is kept as a thing that happened
        await monitor.until(lambda: monitor.all_valid() and rules_of(monitor) <= {"mode_changed"}, 30.0)


# -- a small share of the address's budget --------------------------------------------------------------------------------------------


async def test_accounts_without_a_push_slot_say_that_they_are_polled_and_how_often() -> None:
    plans = [plan(0xC1 + number, f"account-{number}") for number in range(4)]
    monitor = simulated(plans, ip_budget_share=0.25, poll_interval_s=5.0)
    await monitor.start()
    try:
        await monitor.until(lambda: not monitor.app.unready() and monitor.all_valid(), 90.0)
        await monitor.run(20.0)
        said = monitor.app.connectors[0].describe()
        assert (said["push_slots"], len(said["push_accounts"]), len(said["polled_accounts"])) == (2, 2, 2)
        feeds = {(feed["account"], feed["feed"]): feed for feed in monitor.status()["feeds"]}
        for alias in said["polled_accounts"]:
            assert feeds[alias, SECTIONS_FEED]["status"] == "polled"
            assert feeds[alias, SECTIONS_FEED]["detail"] == f"polled every {said['poll_period_s']:.0f} s"
        for alias in said["push_accounts"]:
            assert feeds[alias, SECTIONS_FEED]["status"] == "fresh"
        assert monitor.all_valid()
        assert said["budget"].weight_used <= 0.25 * 1200
    finally:
        await monitor.stop()


async def test_a_venue_that_is_down_from_the_start_is_paged() -> None:
    monitor = simulated([plan(0xC1, "atlas")])
    monitor.venue.faults.refuse_connects(1e9)
    monitor.venue.faults.fail_rest(502, 1e9)
    await monitor.start()
    try:
        await monitor.run(30.0)
        assert monitor.app.unready()
        firing = {(alert["rule"], alert["level"]) for alert in monitor.status()["alerts"]}
        assert firing == {("network", "critical")}, "one page says it"
        assert any(title.startswith("CRITICAL") for title in monitor.recorder.titles), monitor.recorder.titles
    finally:
        await monitor.stop()
