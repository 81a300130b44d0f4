"""What goes wrong at the venue: the account turns stale within its limit, says so everywhere, and recovers by itself."""

from __future__ import annotations

import pytest

from connectors.events import FailureReason
from tests.monitor.loopback import LoopbackMonitor, loopback

CLEARINGHOUSE_S, CONTEXTS_S = 20.0, 15.0
SLACK_S = 3.0


def assert_said_stale(monitor: LoopbackMonitor, account: str, reason: FailureReason) -> None:
    """Status, metrics and terminal say it, and none of them shows a healthy number."""
    pools = [pool for pool in monitor.status()["pools"] if pool["account"] == account]
    assert pools
    for pool in pools:
        assert pool["margin_ratio"] is None
        assert pool["status"] == "failed"
        assert reason.value in {failure["reason"] for failure in pool["failures"]}
        labels = f'account="{account}",pool="{pool["pool"]}"'
        metrics = monitor.metrics()
        assert f'marginwatch_account_valid{{{labels},venue="hyperliquid"}} 0.0' in metrics
        assert f"marginwatch_account_margin_ratio{{{labels}" not in metrics
        assert f'marginwatch_account_failure_info{{{labels},reason="{reason.value}"' in metrics
    assert reason.value in monitor.terminal()


async def test_killed_sockets_make_everything_stale_and_it_recovers() -> None:
    async with loopback() as monitor:
        before = {plan.name: monitor.result(plan.name, "main" if plan.name == "atlas" else "USDC").margin_ratio for plan in monitor.plans}
        assert all(ratio is not None for ratio in before.values())
        monitor.venue.faults.refuse_connects(monitor.market.time + 30.0)
        monitor.venue.faults.kill_sockets()
        await monitor.run(2.0)
        for plan in monitor.plans:
            assert_said_stale(monitor, plan.name, FailureReason.STALE_MARK)
        assert 'marginwatch_feed_up{account="",feed="allDexsAssetCtxs",venue="hyperliquid"} 0.0' in monitor.metrics()
        await monitor.until(monitor.all_valid, 120.0)
        assert await monitor.becomes_exact(20.0)
        assert "marginwatch_feed_reconnects_total" in monitor.metrics()


async def test_a_frozen_feed_is_stale_though_pongs_go_on() -> None:
    async with loopback(("atlas",)) as monitor:
        monitor.venue.faults.freeze("allDexsClearinghouseState")
        monitor.venue.faults.fail_rest(502, monitor.market.time + 60.0)
        await monitor.run(CLEARINGHOUSE_S - 4.0)
        assert monitor.is_valid("atlas"), "not yet: the limit has not passed"
        await monitor.run(4.0 + SLACK_S)
        assert_said_stale(monitor, "atlas", FailureReason.STALE_ACCOUNT)
        assert monitor.app.connectors[0].describe()["connections"]["hyperliquid market"].connected
        await monitor.run(15.0)
        assert any("atlas" in title and "stale" in title for title in monitor.recorder.titles), monitor.recorder.titles
        monitor.venue.faults.thaw("allDexsClearinghouseState")
        await monitor.until(monitor.all_valid, 120.0)


async def test_frozen_marks_are_stale_within_their_limit() -> None:
    async with loopback(("atlas",)) as monitor:
        monitor.venue.faults.freeze("allDexsAssetCtxs")
        await monitor.run(CONTEXTS_S - 2.0)
        assert monitor.is_valid("atlas")
        await monitor.run(2.0 + SLACK_S)
        assert_said_stale(monitor, "atlas", FailureReason.STALE_MARK)
        monitor.venue.faults.thaw("allDexsAssetCtxs")
        await monitor.until(monitor.all_valid, 90.0)
        assert await monitor.becomes_exact(20.0)


async def test_a_dropped_meta_is_refetched_and_its_dex_is_stale_meanwhile() -> None:
    async with loopback(("atlas",)) as monitor:
        # a listing: contexts are one longer, and the meta that is refetched does not have it yet
        monitor.market.list_asset("", "NEWCOIN", 1.5)
        monitor.venue.faults.change_universe("", -1)
        await monitor.run(35.0)
        assert_said_stale(monitor, "atlas", FailureReason.STALE_MARK)
        assert 'kind="length_mismatch"' in monitor.metrics()
        monitor.venue.faults.change_universe("", 0)
        await monitor.until(monitor.all_valid, 400.0)
        assert await monitor.becomes_exact(20.0)


async def test_replayed_stale_frames_change_nothing() -> None:
    async with loopback(("atlas", "cygnus"), scenario="crash", duration=120.0) as monitor:
        await monitor.run(30.0)
        for _ in range(10):
            monitor.venue.faults.replay_stale("allDexsClearinghouseState", 2)
            await monitor.run(2.0)
            assert monitor.all_valid()
            assert await monitor.exact()
        assert sum(getattr(entry.method, "stale_frames", 0) for entry in monitor.app.book.accounts.values()) > 5


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
async def test_a_clock_step_is_told_and_breaks_nothing(seconds: float) -> None:
    async with loopback(("atlas",)) as monitor:
        monitor.venue.faults.step_clock(int(seconds * 1000))
        await monitor.run(62.0)
        assert monitor.all_valid()
        offset = monitor.status()["venues"]["hyperliquid"]["clock_offset_s"]
        assert offset == pytest.approx(seconds, abs=2.0)
        assert "marginwatch_venue_clock_offset_seconds" in monitor.metrics()
        monitor.clock._epoch_ns += int(seconds * 1e9)  # our own wall clock is set
        await monitor.run(5.0)
        assert monitor.all_valid(), "ages are monotonic"


async def test_garbage_is_counted_and_never_fatal() -> None:
    async with loopback(("atlas",)) as monitor:
        for kind in ("garbage", "truncated", "wrong_shape"):
            monitor.venue.faults.corrupt(kind, count=3)
            await monitor.run(3.0)
        assert monitor.all_valid()
        assert await monitor.exact()
        assert "marginwatch_feed_parse_errors_total" in monitor.metrics()
        assert sum(monitor.app.book.parse_errors.values()) >= 5


async def test_a_suspended_machine_wakes_up_stale_not_healthy() -> None:
    async with loopback(("atlas",)) as monitor:
        monitor.clock.shift(120.0)
        assert not monitor.is_valid("atlas"), "nobody has spoken for two minutes"
        await monitor.until(monitor.all_valid, 120.0)
