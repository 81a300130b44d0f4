"""What a scrape says of pools: figures only where they are known."""

from __future__ import annotations

import math

import pytest

from connectors.events import AccountSnapshot, FeedStatus, ParseError
from monitor.margin.hyperliquid import VENUE
from monitor.metrics import pace
from monitor.metrics.collector import Collector
from tests.monitor.loopback import loopback
from tests.monitor.metrics.scrapes import by, pools, scraped
from tests.monitor.own_app import SECTIONS_FEED, OwnApplication, cash_for, ledgers, opening
from tests.monitor.own_desk import balance, position, section, wallet
from tests.monitor.test_status import hourly, with_funding


async def test_an_unknown_figure_has_no_sample() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
    good = scraped(own.app)
    assert pools(good["account_margin_ratio"]) == {"main": pytest.approx(0.5)}
    assert pools(good["account_valid"]) == {"main": 1.0}
    assert good["account_failure_info"] == []
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    stale = scraped(own.app)
    figures = [name for name in stale if name.startswith("account_") and name.endswith(("_usd", "_ratio", "_level", "_positions"))]
    assert len(figures) == 11
    for name in (*figures, "account_next_funding_timestamp_seconds", "account_reconciled", "venue_reported_difference_ratio"):
        assert stale[name] == [], name
    assert [row.labels["mode"] for row in stale["account_info"]] == ["standard"], "what it is does not age"
    assert pools(stale["account_valid"]) == {"main": 0.0}
    (failure,) = stale["account_failure_info"]
    assert (failure.labels["reason"], failure.value) == ("STALE_ACCOUNT", 1.0)


async def test_money_is_what_the_result_says() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.6)))
    (result,), samples = own.app.results(), scraped(own.app)
    expected = {name: getattr(result, name) for name in ("equity", "maintenance_margin", "initial_margin", "excess")}
    assert len(set(expected.values())) == 4
    assert {name: pools(samples[f"account_{name}_usd"])["main"] for name in expected} == pytest.approx(expected)


async def test_agreement_with_the_venue_is_not_told_of_stale_figures_but_a_difference_is() -> None:
    for reported, fresh, stale in ((1250.0, {"main": 1.0}, {}), (1300.0, {"main": 0.0}, {"main": 0.0})):
        own = OwnApplication()
        await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)))
        await own.tell(ledgers(own, 2000, position("BTC", 1000.0, 100.0), cash=cash_for(0.5), maintenance_margin=reported))
        assert pools(scraped(own.app)["account_reconciled"]) == fresh
        await own.feed(SECTIONS_FEED, FeedStatus.STALE)
        assert pools(scraped(own.app)["account_reconciled"]) == stale


def test_every_account_has_a_validity_before_anything_was_evaluated() -> None:
    samples = scraped(OwnApplication(("one", "two")).app)
    assert by(samples["account_valid"], "account", "pool") == {("one", "account"): 0.0, ("two", "account"): 0.0}
    assert by(samples["portfolio_valid"], "portfolio") == {("portfolio",): 0.0}
    assert by(samples["portfolio_failure_info"], "reason") == {("NOT_READY",): 1.0}


async def test_an_account_nothing_is_known_of_is_not_valid() -> None:
    own = OwnApplication()
    await own.tell(ParseError(VENUE, "allMids", "json", own.now_ns))
    samples = scraped(own.app)
    assert pools(samples["account_valid"]) == {"account": 0.0}
    assert samples["account_failure_info"][0].labels["reason"] == "NOT_READY"
    assert samples["ready"][0].value == 0.0
    assert samples["account_info"] == []
    errors = by(samples["feed_parse_errors"], "feed", "kind")
    assert errors.pop(("allMids", "json")) == 1.0
    assert set(errors.values()) == {0.0}, "the others are counted from 0 on"
    assert ("allDexsAssetCtxs", "wrong_shape") in errors


async def test_no_equity_is_an_infinite_ratio_and_never_a_missing_one() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=-100_001.0))
    samples = scraped(own.app)
    assert pools(samples["account_margin_ratio"]) == {"main": math.inf}
    assert pools(samples["account_level"]) == {"main": 3.0}


async def test_money_in_another_token_is_not_called_usd() -> None:
    async with loopback(("electra",)) as monitor:
        families = scraped(monitor.app)
        assert set(pools(families["account_margin_ratio"])) == {"main", "xyz", "hyna"}
        assert set(pools(families["account_equity_usd"])) == {"main", "xyz"}, "hyna settles in USDE"
        assert set(pools(families["account_next_funding_usd"])) == {"main", "xyz"}
        assert set(pools(families["account_next_funding_timestamp_seconds"])) == {"main", "xyz", "hyna"}


async def test_next_funding_is_what_the_status_says() -> None:
    own = await with_funding()
    samples = scraped(own.app)
    assert pools(samples["account_next_funding_usd"]) == {"main": pytest.approx(-101.0), "iso:ETH": pytest.approx(0.202)}
    hour_s = (own.clock.time_ms() // 3_600_000 + 1) * 3_600
    assert pools(samples["account_next_funding_timestamp_seconds"]) == {"main": hour_s, "iso:ETH": hour_s}
    await own.feed(SECTIONS_FEED, FeedStatus.STALE)
    stale = scraped(own.app)
    assert stale["account_next_funding_usd"] == stale["account_next_funding_timestamp_seconds"] == []


async def test_an_unknown_rate_has_no_sample_and_a_known_time_one() -> None:
    own = OwnApplication()
    await own.tell(*opening(own, position("BTC", 1000.0, 100.0), cash=cash_for(0.5)), hourly("BTC"))
    samples = scraped(own.app)
    assert samples["account_next_funding_usd"] == []
    assert set(pools(samples["account_next_funding_timestamp_seconds"])) == {"main"}


async def test_a_pool_that_goes_between_two_turns_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnApplication(("one", "two"))
    for name in ("one", "two"):
        await own.tell(*opening(own, position("BTC", 10.0, 100.0), position("ETH", 1.0, 100.0, isolated=50.0), account=name))
    monkeypatch.setattr(pace, "TURN_S", 0.0)
    collector = Collector(own.app)
    turns = collector.turns()
    next(turns)
    await own.tell(AccountSnapshot(VENUE, "two", own.now_ns, (section("", 2000, 1000.0),), wallet(balance("USDC", 5.0))))
    for _ in turns:
        pass
    told = {family.name: family for family in collector.collect()}["marginwatch_account_valid"].samples
    assert sorted((row.labels["account"], row.labels["pool"]) for row in told) == [("one", "iso:ETH"), ("one", "main"), ("two", "main")]
