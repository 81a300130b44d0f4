"""Which feeds a figure depends on."""

from __future__ import annotations

import pytest

from connectors.events import FailureReason, FeedDropped, FeedState, FeedStatus
from monitor.freshness import Freshness, feeds_of

VENUE, ACCOUNT = "hyperliquid", "maker"
ACCOUNT_FEEDS, MARK_FEEDS = feeds_of(VENUE).account, feeds_of(VENUE).marks
BAD = [FeedStatus.CONNECTING, FeedStatus.RESYNCING, FeedStatus.STALE, FeedStatus.DOWN]


def told(*states: tuple[str, str | None, FeedStatus]) -> Freshness:
    freshness = Freshness()
    for feed, account, status in states:
        freshness.on_feed(FeedState(VENUE, feed, account, status, 1, "no frame for 20 s"))
    return freshness


def reasons(freshness: Freshness, account: str = ACCOUNT, venue: str = VENUE) -> list[FailureReason]:
    return [failure.reason for failure in freshness.failures(venue, account)]


def test_every_state_of_a_feed_is_judged() -> None:
    assert {*BAD, FeedStatus.FRESH, FeedStatus.POLLED} == set(FeedStatus)


@pytest.mark.parametrize("status", BAD)
@pytest.mark.parametrize("feed", sorted(ACCOUNT_FEEDS))
def test_an_accounts_feed(feed: str, status: FeedStatus) -> None:
    freshness = told((feed, ACCOUNT, status))
    assert reasons(freshness) == [FailureReason.STALE_ACCOUNT]
    assert freshness.failures(VENUE, ACCOUNT)[0].detail == f"{feed} is {status.value}: no frame for 20 s"
    assert reasons(freshness, "other") == []
    assert reasons(freshness, venue="elsewhere") == []


@pytest.mark.parametrize("status", [FeedStatus.FRESH, FeedStatus.POLLED])
@pytest.mark.parametrize("feed", sorted(ACCOUNT_FEEDS | MARK_FEEDS))
def test_good_feeds(feed: str, status: FeedStatus) -> None:
    assert reasons(told((feed, ACCOUNT if feed in ACCOUNT_FEEDS else None, status))) == []


def test_all_of_an_accounts_feeds_are_needed() -> None:
    one, other = sorted(ACCOUNT_FEEDS)[:2]
    assert reasons(told((one, ACCOUNT, FeedStatus.FRESH), (other, ACCOUNT, FeedStatus.STALE))) == [FailureReason.STALE_ACCOUNT]


@pytest.mark.parametrize("status", BAD)
def test_one_feed_of_marks_is_enough(status: FeedStatus) -> None:
    one, other = sorted(MARK_FEEDS)
    assert reasons(told((one, None, FeedStatus.FRESH), (other, None, status))) == []
    assert reasons(told((one, None, status), (other, None, status))) == [FailureReason.STALE_MARK]
    assert reasons(told((one, None, status))) == [FailureReason.STALE_MARK]


def test_feeds_that_carry_no_figure_do_not_matter() -> None:
    assert reasons(told(("openOrders", ACCOUNT, FeedStatus.STALE), ("webData3", ACCOUNT, FeedStatus.DOWN))) == []


def test_the_last_state_counts() -> None:
    freshness = told(("spotState", ACCOUNT, FeedStatus.STALE), ("spotState", ACCOUNT, FeedStatus.FRESH))
    assert reasons(freshness) == []


def test_a_feed_that_is_dropped_is_forgotten() -> None:
    freshness = told(("ticker.BTC-22NOV26", None, FeedStatus.FRESH))
    freshness.on_heard(VENUE, "ticker.BTC-22NOV26", None, 5)
    freshness.on_dropped(FeedDropped(VENUE, "ticker.BTC-22NOV26", None))
    assert freshness.feeds == {}
    assert freshness.heard_ns == {}
    freshness.on_dropped(FeedDropped(VENUE, "never known", None))


@pytest.mark.parametrize("feeds", [sorted(ACCOUNT_FEEDS), sorted(ACCOUNT_FEEDS, reverse=True)])
def test_several_bad_feeds_are_told_in_the_order_in_which_they_were_first(feeds: list[str]) -> None:
    freshness = told(*((feed, ACCOUNT, FeedStatus.DOWN) for feed in feeds))
    assert [failure.detail.split(" ")[0] for failure in freshness.failures(VENUE, ACCOUNT)] == feeds
