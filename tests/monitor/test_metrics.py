"""What Prometheus gets: names and labels as documented, figures only where they are known, and not too many of them."""

from __future__ import annotations

import math

import pytest
from prometheus_client import exposition
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from connectors.events import FeedStatus, ParseError
from monitor.margin.hyperliquid import VENUE
from monitor.metrics import Collector
from tests.monitor import openmetrics
from tests.monitor.loopback import loopback
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, ledgers, marks, opening
from tests.monitor.own_desk import ACCOUNT, position
from tests.monitor.test_status import hourly, with_funding

FAMILIES = {
    "marginwatch_portfolio_drift_ratio": "gauge",
    "marginwatch_portfolio_evaluations": "counter",
    "marginwatch_portfolio_valid": "gauge",
    "marginwatch_portfolio_equity_usd": "gauge",
    "marginwatch_portfolio_maintenance_margin_usd": "gauge",
    "marginwatch_portfolio_initial_margin_usd": "gauge",
    "marginwatch_portfolio_margin_ratio": "gauge",
    "marginwatch_portfolio_cross_maintenance_margin_usd": "gauge",
    "marginwatch_account_equity_usd": "gauge",
    "marginwatch_account_maintenance_margin_usd": "gauge",
    "marginwatch_account_initial_margin_usd": "gauge",
    "marginwatch_account_excess_usd": "gauge",
    "marginwatch_account_cash_to_safety_usd": "gauge",
    "marginwatch_account_margin_ratio": "gauge",
    "marginwatch_account_distance_ratio": "gauge",
    "marginwatch_account_valid": "gauge",
    "marginwatch_account_reconciled": "gauge",
    "marginwatch_account_level": "gauge",
    "marginwatch_account_failure_info": "gauge",
    "marginwatch_account_next_funding_usd": "gauge",
    "marginwatch_account_key_expiry_timestamp_seconds": "gauge",
    "marginwatch_account_model_error_ratio": "gauge",
    "marginwatch_account_next_funding_timestamp_seconds": "gauge",
    "marginwatch_venue_reported_difference_ratio": "gauge",
    "marginwatch_level_threshold_ratio": "gauge",
    "marginwatch_feed_up": "gauge",
    "marginwatch_feed_parse_errors": "counter",
    "marginwatch_feed_last_message_timestamp_seconds": "gauge",
    "marginwatch_connection_up": "gauge",
    "marginwatch_feed_messages": "counter",
    "marginwatch_feed_reconnects": "counter",
    "marginwatch_feed_resyncs": "counter",
    "marginwatch_feed_rate_limit_used_ratio": "gauge",
    "marginwatch_tick_to_decision_seconds": "histogram",
    "marginwatch_evaluations": "counter",
    "marginwatch_evaluation_seconds": "gauge",
    "marginwatch_kernel_warmup_seconds": "gauge",
    "marginwatch_start_timestamp_seconds": "gauge",
    "marginwatch_venue_clock_offset_seconds": "gauge",
    "marginwatch_ready": "gauge",
    "marginwatch_build": "info",
    "marginwatch_notifications": "counter",
    "marginwatch_outbox_healthy": "gauge",
    "marginwatch_outbox_oldest_timestamp_seconds": "gauge",
    "marginwatch_outbox_pending": "gauge",
    "marginwatch_notifications_failed": "counter",
    "marginwatch_queue_depth": "gauge",
    "marginwatch_queue_peak_depth": "gauge",
}


def scraped(own: OwnApplication) -> dict[str, list[Sample]]:
    collector = Collector(own.app)
    collector.snapshot()
    return {family.name: family.samples for family in parse(exposition.generate_latest(collector.registry).decode())}


def pools(samples: list[Sample]) -> dict[str, float]:
    return {sample.labels["pool"]: sample.value for sample in samples}


async def test_every_family_is_there_and_reads_as_openmetrics() -> None:
    async with loopback(("atlas", "fornax")) as monitor:
        monitor.collector.snapshot()
        text = openmetrics.rendered(monitor.collector.registry).decode()
        families = {family.name: family for family in openmetrics.parsed(text)}
        assert {name: family.type for name, family in families.items()} == FAMILIES
        assert all(family.documentation for family in families.values())
        for name, family in families.items():
            for sample in family.samples:
                assert not math.isnan(sample.value), sample
                if name.startswith("marginwatch_account_"):
                    assert {"venue", "account", "pool"} <= sample.labels.keys()
                    assert sample.labels["account"] in ("atlas", "fornax")
        ratios = {(s.labels["account"], s.labels["pool"]): s.value for s in families["marginwatch_account_margin_ratio"].samples}
        assert ("fornax", "iso:BTC") in ratios
        for (account, pool), ratio in ratios.items():
            assert ratio == monitor.result(account, pool).margin_ratio
        assert families["marginwatch_ready"].samples[0].value == 1.0
        assert {s.labels["connection"] for s in families["marginwatch_connection_up"].samples} == {
            "hyperliquid market",
            "hyperliquid accounts",
        }


async def test_an_unknown_figure_has_no_sample() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    good = scraped(own)
    assert pools(good["marginwatch_account_margin_ratio"]) == {"main": pytest.approx(0.5)}
    assert pools(good["marginwatch_account_valid"]) == {"main": 1.0}
    assert good["marginwatch_account_failure_info"] == []
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    stale = scraped(own)
    figures = [name for name in FAMILIES if name.startswith("marginwatch_account_") and name.endswith(("_usd", "_ratio", "_level"))]
    assert len(figures) == 10
    for name in (
        *figures,
        "marginwatch_account_next_funding_timestamp_seconds",
        "marginwatch_account_reconciled",
        "marginwatch_venue_reported_difference_ratio",
    ):
        assert stale[name] == [], name
    assert pools(stale["marginwatch_account_valid"]) == {"main": 0.0}
    (failure,) = stale["marginwatch_account_failure_info"]
    assert (failure.labels["reason"], failure.value) == ("STALE_ACCOUNT", 1.0)


async def test_agreement_with_the_venue_is_not_told_of_stale_figures_but_a_difference_is() -> None:
    for reported, fresh, stale in ((1250.0, {"main": 1.0}, {}), (1300.0, {"main": 0.0}, {"main": 0.0})):
        own = OwnApplication()
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await own.tell(ledgers(own, 2000, position("BTC", 1000.0, 100.0), cash=cash_for(0.5), maintenance_margin=reported))
        assert pools(scraped(own)["marginwatch_account_reconciled"]) == fresh
        await own.feed(SECTIONS_FEED, FeedStatus.STALE)
        assert pools(scraped(own)["marginwatch_account_reconciled"]) == stale


async def test_rendering_in_a_thread_leaves_the_engine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication()
    collector = Collector(own.app)
    collector.snapshot()
    for name in ("results", "result", "evaluate"):
        monkeypatch.setattr(own.app.engine, name, lambda *args, **more: pytest.fail("the engine belongs to the event loop"))
    exposition.generate_latest(collector.registry)


async def test_an_account_nothing_is_known_of_is_not_valid() -> None:
    own = OwnApplication()
    await own.tell(ParseError(VENUE, "allMids", "json", own.now_ns))
    samples = scraped(own)
    assert pools(samples["marginwatch_account_valid"]) == {"account": 0.0}
    assert samples["marginwatch_account_failure_info"][0].labels["reason"] == "NOT_READY"
    assert samples["marginwatch_ready"][0].value == 0.0
    (error,) = [s for s in samples["marginwatch_feed_parse_errors"] if s.name.endswith("_total")]
    assert (error.labels["kind"], error.value) == ("json", 1.0)


async def test_no_equity_is_an_infinite_ratio_and_never_a_missing_one() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=-100_001.0))
    samples = scraped(own)
    assert pools(samples["marginwatch_account_margin_ratio"]) == {"main": math.inf}
    assert pools(samples["marginwatch_account_level"]) == {"main": 3.0}


async def test_money_in_another_token_is_not_called_usd() -> None:
    async with loopback(("electra",)) as monitor:
        families = {family.name: family.samples for family in parse(monitor.metrics())}
        assert set(pools(families["marginwatch_account_margin_ratio"])) == {"main", "xyz", "hyna"}
        assert set(pools(families["marginwatch_account_equity_usd"])) == {"main", "xyz"}, "hyna settles in USDE"
        assert set(pools(families["marginwatch_account_next_funding_usd"])) == {"main", "xyz"}
        assert set(pools(families["marginwatch_account_next_funding_timestamp_seconds"])) == {"main", "xyz", "hyna"}


async def test_next_funding_is_what_the_status_says() -> None:
    own = await with_funding()
    samples = scraped(own)
    assert pools(samples["marginwatch_account_next_funding_usd"]) == {"main": pytest.approx(-101.0), "iso:ETH": pytest.approx(0.202)}
    hour_s = (own.clock.time_ms() // 3_600_000 + 1) * 3_600
    assert pools(samples["marginwatch_account_next_funding_timestamp_seconds"]) == {"main": hour_s, "iso:ETH": hour_s}
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    stale = scraped(own)
    assert stale["marginwatch_account_next_funding_usd"] == stale["marginwatch_account_next_funding_timestamp_seconds"] == []


async def test_an_unknown_rate_has_no_sample_and_a_known_time_one() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)), hourly("BTC"))
    samples = scraped(own)
    assert samples["marginwatch_account_next_funding_usd"] == []
    assert set(pools(samples["marginwatch_account_next_funding_timestamp_seconds"])) == {"main"}


async def test_thresholds_are_those_of_the_account() -> None:
    samples = scraped(OwnApplication())["marginwatch_level_threshold_ratio"]
    assert {(s.labels["account"], s.labels["level"]): s.value for s in samples} == {
        (ACCOUNT, "warning"): 0.85,
        (ACCOUNT, "critical"): 0.90,
        (ACCOUNT, "liquidation"): 1.0,
    }


async def test_the_histogram_is_cumulative() -> None:
    own = OwnApplication()
    for seconds in (10e-6, 30e-6, 30e-6, 0.02, 5.0):
        own.app.timings.observe(seconds)
    samples = scraped(own)["marginwatch_tick_to_decision_seconds"]
    buckets = {sample.labels["le"]: sample.value for sample in samples if sample.name.endswith("_bucket")}
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets["2.5e-05"], buckets["5e-05"], buckets["0.025"], buckets["1.0"], buckets["+Inf"]) == (1, 3, 4, 4, 5)
    assert next(s.value for s in samples if s.name.endswith("_count")) == 5
    assert next(s.value for s in samples if s.name.endswith("_sum")) == pytest.approx(5.02007)


async def test_a_time_is_a_timestamp_of_the_wall_clock() -> None:
    own = OwnApplication()
    await own.tell(marks(own, BTC=100.0))
    told_s = own.clock.time_ms() / 1000
    await own.clock.advance(40.0)
    samples = scraped(own)["marginwatch_feed_last_message_timestamp_seconds"]
    assert [s.value for s in samples] == [pytest.approx(told_s, abs=0.01)]


async def test_twenty_accounts_stay_below_two_thousand_series() -> None:
    names = tuple(f"account-{number}" for number in range(20))
    own = OwnApplication(names)
    for name in names:
        await own.tell(*opening(own, position("BTC", 10.0, 100.0), position("ETH", 1.0, 100.0, isolated=50.0), account=name))
        for feed in (SECTIONS_FEED, "spotState", "userFills", "userFundings", "openOrders", "userNonFundingLedgerUpdates"):
            await own.feed(feed, FeedStatus.FRESH, name)
    await own.tell(marks(own, ETH=100.0))
    samples = scraped(own)
    assert len(samples["marginwatch_account_valid"]) == 40
    assert sum(map(len, samples.values())) <= 2000
