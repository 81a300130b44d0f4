"""What a scrape says of the monitor itself, its alarm and its feeds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config import DEMO, load
from connectors.events import KeyState, ParseError
from monitor.app import ConfigurationState
from monitor.margin.hyperliquid import VENUE
from monitor.metrics.alarm import alarm_families, take_alarm
from monitor.metrics.feeds import OTHER, UNFORESEEN
from tests.monitor.metrics.scrapes import by, scraped
from tests.monitor.own_app import OwnApplication, cash_for, marks, opening
from tests.monitor.own_desk import ACCOUNT, position

OWN_ACCOUNT = {"id": ACCOUNT, "venue": VENUE, "address": f"0x{0xB001:040x}"}


def test_thresholds_are_those_of_accounts_and_portfolios() -> None:
    samples = scraped(OwnApplication().app)["level_threshold_ratio"]
    assert by(samples, "account", "portfolio", "level") == {
        (ACCOUNT, "", "warning"): 0.85,
        (ACCOUNT, "", "critical"): 0.90,
        (ACCOUNT, "", "liquidation"): 1.0,
        ("", "portfolio", "warning"): 0.85,
        ("", "portfolio", "critical"): 0.90,
        ("", "portfolio", "breach"): 1.0,
    }


async def test_alerts_are_counted_from_nothing_on() -> None:
    own = OwnApplication()
    calm = by(scraped(own.app)["alerts_firing"], "rule", "severity")
    assert set(calm.values()) == {0.0}
    assert {severity for rule, severity in calm if rule == "margin_level"} == {"warning", "critical", "liquidation"}
    assert {severity for rule, severity in calm if rule == "stale_feed"} == {"warning", "critical"}
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.95)))
    fired = by(scraped(own.app)["alerts_firing"], "rule", "severity")
    assert fired == calm | {("margin_level", "critical"): 1.0}


def test_a_portfolio_that_alarms_can_be_in_breach() -> None:
    own = OwnApplication()
    listed = [{"id": "desk", "accounts": [ACCOUNT]}]
    own.app.settings = load(DEMO, overrides={"accounts": [OWN_ACCOUNT], "portfolios": listed}, quiet=True)
    assert by(scraped(own.app)["alerts_firing"], "rule", "severity")["margin_level", "breach"] == 0.0


def test_a_receiver_is_counted_before_it_was_ever_used() -> None:
    samples = scraped(OwnApplication().app)
    assert by(samples["notifications"], "receiver") == {("recorder",): 0.0}
    assert by(samples["notifications_failed"], "receiver", "reason") == {("recorder", "deadline"): 0.0, ("recorder", "dropped"): 0.0}
    assert by(samples["queue_dropped"], "queue") == {("receiver-recorder",): 0.0}
    assert by(samples["receiver_failing"], "receiver") == {("recorder",): 0.0}


def test_a_log_is_nobody_who_could_fail_to_hear() -> None:
    own = OwnApplication()
    overrides = {"accounts": [OWN_ACCOUNT], "receivers": {"recorder": {"type": "log"}}}
    own.app.settings = load(DEMO, overrides=overrides, quiet=True)
    samples = scraped(own.app)
    assert samples["receiver_failing"] == [], "Prometheus pages in its stead"
    assert by(samples["notifications"], "receiver") == {("recorder",): 0.0}


def test_what_is_not_known_of_the_program_has_no_sample() -> None:
    own = OwnApplication()
    assert scraped(own.app)["kernel_warmup_seconds"] == []
    own.app.warm_up_s = 1.5
    assert by(scraped(own.app)["kernel_warmup_seconds"]) == {(): 1.5}


def test_the_configuration_says_whether_the_last_one_could_be_taken() -> None:
    own = OwnApplication()
    own.app.configuration = ConfigurationState(False, 1_700_000_000_500)
    samples = scraped(own.app)
    assert by(samples["config_last_reload_successful"]) == {(): 0.0}
    assert by(samples["config_last_reload_success_timestamp_seconds"]) == {(): 1_700_000_000.5}


async def test_the_histogram_is_cumulative() -> None:
    own = OwnApplication()
    for seconds in (10e-6, 30e-6, 30e-6, 0.02, 5.0):
        own.app.timings.observe(seconds)
    samples = scraped(own.app)["tick_to_decision_seconds"]
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
    samples = scraped(own.app)["feed_last_message_timestamp_seconds"]
    assert [s.value for s in samples] == [pytest.approx(told_s, abs=0.01)]


def test_unforeseen_errors_are_counted_in_a_bounded_number_of_series_that_never_go_back() -> None:
    own, before = OwnApplication(), dict[tuple[str, ...], float]()
    foreseen = len(scraped(own.app)["feed_parse_errors"])
    for number in range(UNFORESEEN + 20):
        own.app.book.apply(ParseError(VENUE, f"ticker-{number}", "wrong_shape", own.now_ns))
        counts = by(scraped(own.app)["feed_parse_errors"], "feed", "kind")
        assert all(counts[key] >= count for key, count in before.items())
        before = counts
    assert len(before) == foreseen + UNFORESEEN + 1
    assert (before["ticker-0", "wrong_shape"], before[OTHER, "wrong_shape"]) == (1.0, 20.0)


async def test_the_end_of_a_key_is_in_seconds() -> None:
    own = OwnApplication()
    await own.tell(KeyState(VENUE, ACCOUNT, own.now_ns, 1_800_000_000_500, ("read",)))
    assert by(scraped(own.app)["account_key_expiry_timestamp_seconds"], "account") == {(ACCOUNT,): 1_800_000_000.5}


def test_the_oldest_alert_that_waits_is_told_by_its_time_in_seconds() -> None:
    told = take_alarm(OwnApplication().app)
    waiting = replace(told, outbox=replace(told.outbox, oldest_pending_ms=1_700_000_000_500))
    for rows, expected in ((told, 0.0), (waiting, 1_700_000_000.5)):
        families = {family.name: family.samples for family in alarm_families(rows)}
        assert [sample.value for sample in families["marginwatch_outbox_oldest_timestamp_seconds"]] == [expected]
