"""Feeds one by one, all of a venue as one, everything as the network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FeedDropped, FeedState, FeedStatus
from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.freshness import GOOD, Freshness
from monitor.margin.result import Level
from monitor.watch.feeds import FeedWatch
from monitor.watch.limits import WatchLimits

SECOND = 1_000_000_000
CONNECTING, RESYNCING, FRESH, STALE, DOWN, POLLED = FeedStatus
HYPER, ASTER = "hyperliquid", "aster"
MARKET = {HYPER: "allDexsAssetCtxs", ASTER: "markPrice"}
ACCOUNT = {HYPER: "allDexsClearinghouseState", ASTER: "account"}


class Feeds:
    """A market and an account feed of each venue, and a slow poll of Hyperliquid."""

    def __init__(self, *venues: str) -> None:
        self.venues = venues or (HYPER, ASTER)
        self.freshness = Freshness()
        self.watch = FeedWatch(WatchLimits(feed_hold_s=30.0, network_hold_s=5.0), self.venues)
        self.now = 0.0
        self.all(FRESH)
        if HYPER in self.venues:
            self.tell(HYPER, "meta", POLLED)

    def tell(self, venue: str, feed: str, status: FeedStatus, account: str | None = None, limit_s: float = 20.0) -> None:
        self.freshness.on_feed(FeedState(venue, feed, account, status, round(self.now * SECOND), "silent for 12 s", limit_s))

    def heard(self, venue: str, feed: str, account: str | None = None) -> None:
        self.freshness.on_heard(venue, feed, account, round(self.now * SECOND))

    def all(self, status: FeedStatus, *venues: str) -> None:
        for venue in venues or self.venues:
            self.tell(venue, MARKET[venue], status)
            self.tell(venue, ACCOUNT[venue], status, "main")

    def told(self, after_s: float = 1.0) -> list[Condition]:
        self.now += after_s
        return self.watch.conditions(self.freshness, round(self.now * SECOND))

    def firing(self, after_s: float = 1.0) -> list[tuple[str, str]]:
        return [(one.scope.path, one.rule.value) for one in self.told(after_s) if not one.frozen]


def test_good_feeds_say_nothing() -> None:
    assert Feeds().told() == []


@pytest.mark.parametrize("status", [STALE, DOWN, CONNECTING, RESYNCING])
def test_a_feed_that_stays_bad_fires_after_its_hold_and_is_frozen_until_then(status: FeedStatus) -> None:
    feeds = Feeds()
    feeds.tell(HYPER, ACCOUNT[HYPER], status, "main")
    (waiting,) = feeds.told()
    assert waiting.frozen
    (firing,) = feeds.told(30.0)
    assert (firing.frozen, firing.level, firing.scope.path) == (False, Level.WARNING, "feed/hyperliquid/main/allDexsClearinghouseState")
    assert firing.detail == f"allDexsClearinghouseState is {status.value}: silent for 12 s"
    feeds.tell(HYPER, ACCOUNT[HYPER], FRESH, "main")
    assert feeds.told() == []


def test_another_bad_state_does_not_start_the_hold_anew() -> None:
    feeds = Feeds()
    for status in (STALE, DOWN, CONNECTING, RESYNCING):
        feeds.tell(ASTER, MARKET[ASTER], status)
        assert all(one.frozen for one in feeds.told(8.0))
    assert feeds.firing(8.0) == [("feed/aster/markPrice", "stale_feed")]


def test_all_feeds_of_a_venue_are_one_condition() -> None:
    feeds = Feeds()
    feeds.tell(ASTER, MARKET[ASTER], STALE)
    feeds.told()
    assert feeds.firing(31.0) == [("feed/aster/markPrice", "stale_feed")]
    feeds.tell(ASTER, ACCOUNT[ASTER], DOWN, "main")
    told = feeds.told()
    assert {one.scope.path: one.frozen for one in told} == {
        "venue/aster": True,
        "feed/aster/markPrice": False,
        "feed/aster/main/account": True,
    }
    told = feeds.told(30.0)
    assert {one.scope.path: one.frozen for one in told} == {
        "venue/aster": False,
        "feed/aster/markPrice": True,
        "feed/aster/main/account": True,
    }, "what fired alone must not seem to be well"
    feeds.tell(ASTER, MARKET[ASTER], FRESH)
    assert feeds.firing() == [("feed/aster/main/account", "stale_feed")]


def test_a_venue_of_one_feed_has_no_condition_of_its_own() -> None:
    feeds = Feeds(ASTER)
    feeds.freshness.on_dropped(FeedDropped(ASTER, ACCOUNT[ASTER], "main"))
    feeds.tell(ASTER, MARKET[ASTER], CONNECTING)
    feeds.told()
    assert feeds.firing(31.0) == [("feed/aster/markPrice", "stale_feed")]


def test_a_dropped_feed_is_forgotten() -> None:
    feeds = Feeds()
    feeds.tell(HYPER, "l2Book", STALE)
    feeds.told(40.0)
    feeds.freshness.on_dropped(FeedDropped(HYPER, "l2Book", None))
    assert feeds.told() == []


def test_everything_silent_is_the_network_and_the_only_page() -> None:
    feeds = Feeds()
    feeds.all(STALE, HYPER)
    feeds.all(DOWN, ASTER)
    network = next(one for one in feeds.told() if one.rule is Rule.NETWORK)
    assert network.frozen
    told = feeds.told(5.0)
    (network,) = [one for one in told if not one.frozen]
    assert (network.rule, network.level, network.scope.path) == (Rule.NETWORK, Level.CRITICAL, "monitor")
    assert network.detail == "the monitor has lost its network: nothing comes from hyperliquid, aster"
    assert feeds.firing(60.0) == [("monitor", "network")], "no feed is a page of its own meanwhile"
    feeds.all(FRESH, ASTER)
    assert ("monitor", "network") not in feeds.firing()
    assert [path for path, _ in feeds.firing()] == ["feed/hyperliquid/allDexsAssetCtxs", "feed/hyperliquid/main/allDexsClearinghouseState"]


def test_a_network_that_comes_back_for_a_moment_is_lost_anew() -> None:
    feeds = Feeds()
    for status in (DOWN, FRESH, DOWN):
        feeds.all(status)
        assert not [one for one in feeds.told(4.0) if one.rule is Rule.NETWORK and not one.frozen]


@pytest.mark.parametrize("status", [FRESH, POLLED, CONNECTING, RESYNCING])
def test_one_feed_that_lives_is_a_network(status: FeedStatus) -> None:
    feeds = Feeds()
    feeds.all(DOWN)
    for _ in range(5):
        feeds.told(3.0)
        feeds.tell(ASTER, ACCOUNT[ASTER], DOWN, "main")
        feeds.tell(ASTER, ACCOUNT[ASTER], status, "main")
        assert ("monitor", "network") not in feeds.firing(1.0)


def test_a_venue_of_which_nothing_is_known_yet_is_no_lost_network() -> None:
    feeds = Feeds(HYPER)
    feeds.watch = FeedWatch(WatchLimits(network_hold_s=5.0), (HYPER, ASTER))
    feeds.all(DOWN)
    feeds.told()
    assert not [one for one in feeds.told(10.0) if one.rule is Rule.NETWORK]


def test_a_venue_without_accounts_that_is_heard_shows_the_network() -> None:
    feeds = Feeds()
    feeds.all(DOWN)
    feeds.tell("deribit", "deribit_price_index.btc_usd", FRESH)
    feeds.told()
    assert not [one for one in feeds.told(10.0) if one.rule is Rule.NETWORK]
    feeds.tell("deribit", "deribit_price_index.btc_usd", STALE)
    feeds.told()
    (network,) = [one for one in feeds.told(10.0) if one.rule is Rule.NETWORK]
    assert "nothing comes from hyperliquid, aster, deribit" in network.detail


def test_the_only_venue_is_named_and_has_longer_to_come_back() -> None:
    feeds = Feeds(ASTER)
    feeds.all(DOWN)
    feeds.told()
    assert all(one.frozen for one in feeds.told(7.9)), "a drop that reconnects within a few seconds is no page"
    (network,) = [one for one in feeds.told(0.1) if not one.frozen]
    assert network.detail == "no connection to aster, the only venue"


def test_an_account_feed_that_may_be_silent_for_a_minute_is_no_life() -> None:
    feeds = Feeds(HYPER)
    feeds.heard(HYPER, ACCOUNT[HYPER], "main")
    feeds.now = 15.0
    feeds.tell(HYPER, MARKET[HYPER], STALE)
    assert [one.frozen for one in feeds.told(0.1) if one.rule is Rule.NETWORK] == [True]
    assert feeds.firing(8.0) == [("monitor", "network")], "before pools that are blind since 15 s fire at 25 s"
    feeds.heard(HYPER, ACCOUNT[HYPER], "main")
    assert ("monitor", "network") not in feeds.firing(0.1), "it spoke"
    assert ("monitor", "network") not in feeds.firing(7.0)
    assert ("monitor", "network") in feeds.firing(1.0), "and is silent since"


def test_several_venues_that_fell_silent_at_once_are_lost_before_the_first_is_told_as_blind() -> None:
    feeds = Feeds()
    for venue in (HYPER, ASTER):
        feeds.heard(venue, MARKET[venue])
    feeds.now = 10.0
    feeds.tell(ASTER, MARKET[ASTER], STALE)
    feeds.now = 15.0
    feeds.tell(HYPER, MARKET[HYPER], STALE)
    assert ("monitor", "network") not in feeds.firing(1.0)
    assert ("monitor", "network") in feeds.firing(2.0), "the pools of aster are told at 20 s"


def test_a_short_drop_of_the_one_while_the_other_is_down_is_no_lost_network() -> None:
    feeds = Feeds()
    feeds.all(DOWN, ASTER)
    feeds.now = 300.0
    feeds.heard(HYPER, MARKET[HYPER])
    feeds.all(DOWN, HYPER)
    feeds.told(0.1)
    assert ("monitor", "network") not in feeds.firing(4.0)


def test_a_slow_index_does_not_hide_a_lost_network() -> None:
    feeds = Feeds()
    feeds.tell("deribit", "deribit_price_index.usdt_usd", FRESH, limit_s=60.0)
    feeds.now = 20.0
    feeds.all(STALE)
    feeds.told()
    assert ("monitor", "network") in feeds.firing(5.0)


def test_maintenance_of_the_only_venue_is_no_lost_network() -> None:
    feeds = Feeds(HYPER)
    feeds.all(DOWN)
    for _ in range(5):
        feeds.now += 10.0
        told = feeds.watch.conditions(feeds.freshness, round(feeds.now * SECOND), maintained=[HYPER])
        assert [one.frozen for one in told if one.rule is Rule.NETWORK] == [True]


def test_the_feeds_of_an_account_that_starts_are_frozen_and_their_time_begins_after() -> None:
    feeds = Feeds(HYPER)
    feeds.tell(HYPER, ACCOUNT[HYPER], CONNECTING, "main")
    for _ in range(10):
        feeds.now += 10.0
        told = feeds.watch.conditions(feeds.freshness, round(feeds.now * SECOND), starting={(HYPER, "main")})
        assert [one.frozen for one in told] == [True]
    at_once = FeedWatch(WatchLimits(feed_hold_s=0.0), [HYPER])
    assert all(one.frozen for one in at_once.conditions(feeds.freshness, 0, starting={(HYPER, "main")})), "without a hold as well"
    assert feeds.firing(29.0) == []
    assert feeds.firing(2.0) == [("feed/hyperliquid/main/allDexsClearinghouseState", "stale_feed")]


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(FeedStatus), st.floats(0.5, 20.0)), max_size=40))
def test_whatever_happens_a_bad_feed_is_told_and_a_good_one_is_not(steps: list[tuple[int, FeedStatus, float]]) -> None:
    feeds = Feeds()
    keys = list(feeds.freshness.feeds)
    for which, status, after_s in steps:
        venue, feed, account = keys[which]
        feeds.tell(venue, feed, status, account)
        told = feeds.told(after_s)
        paths = {one.scope.path for one in told}
        assert len(paths) == len(told), "one condition a scope"
        for key, state in feeds.freshness.feeds.items():
            path = "/".join(["feed", key[0], *([key[2]] if key[2] else []), key[1]])
            assert (path in paths) is (state.status not in GOOD)
