"""What the connector knows of an account, without I/O: its feeds, orders, key, pace of reads, and whether its stream is dead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.aster.accounts import LEAST_PATIENCE, NS, PATIENCE_LASTS_S, SUSPICION_S, StreamDoubt
from connectors.aster.answers import Agent
from connectors.aster.errors import KeyRefused, NeverDeposited, SignatureRefused, VenueError
from connectors.aster.feeds import AccountFeeds, VenueFeeds
from connectors.aster.keys import EXPIRY_WARNING_MS, judge_agents, judge_hmac, judge_refusal
from connectors.aster.messages import OrderUpdate
from connectors.aster.orders import MOST_ENDED, OpenOrders
from connectors.aster.polling import FAST_FROM, READING_PART, Need, paces
from connectors.aster.settings import AsterConfig
from connectors.aster.state import WINDOW_MS, AccountMerge
from connectors.events import FailureReason, FeedState, FeedStatus
from connectors.model import Order
from connectors.ratelimit import UNLIMITED
from tests.connectors.aster import aster_wire as wire

NOW = wire.NOW_MS
CONFIG = AsterConfig.mainnet()

# -- feeds --------------------------------------------------------------------------------------------------------------


def feeds() -> AccountFeeds:
    return AccountFeeds("maker", poll_s=4.0, reconcile_s=45.0, now_ns=0)


def account_state(watched: AccountFeeds, at_s: float) -> FeedState:
    return watched.states(round(at_s * NS))[0]


def listening() -> AccountFeeds:
    watched = feeds()
    watched.opened(0)
    watched.resynced(0)
    return watched


def test_an_account_that_was_never_read_is_connecting_then_stale_and_down_with_the_reason_if_there_is_one() -> None:
    watched = feeds()
    assert account_state(watched, 14.0).status is FeedStatus.CONNECTING
    assert (account_state(watched, 15.0).status, account_state(watched, 15.0).detail) == (FeedStatus.STALE, "not read for 15 s")
    watched.failure = "the venue answered with a web page"
    assert account_state(watched, 1.0) == FeedState(
        "aster", "account", "maker", FeedStatus.DOWN, NS, "the venue answered with a web page", 14.0
    )
    watched.heard(2 * NS)
    assert (account_state(watched, 3.0).status, account_state(watched, 3.0).detail) == (FeedStatus.POLLED, "polled every 4 s")


def test_one_failed_read_does_not_take_down_what_was_read_a_moment_ago() -> None:
    watched = listening()
    watched.failure = "timeout"
    assert account_state(watched, 135.0).status is FeedStatus.FRESH
    down = account_state(watched, 136.0)
    assert (down.status, down.detail, down.stale_after_s) == (FeedStatus.DOWN, "timeout", 135.0)
    watched.heard(140 * NS)
    assert account_state(watched, 141.0).status is FeedStatus.FRESH


def test_a_lost_stream_leaves_nothing_good_until_the_next_read() -> None:
    watched = listening()
    watched.heard(9 * NS)
    watched.closed(10 * NS, "code 1006")
    assert not watched.listening
    assert account_state(watched, 10.0).status is FeedStatus.RESYNCING
    assert "code 1006" in account_state(watched, 10.0).detail
    watched.closed(11 * NS, "refused")
    assert account_state(watched, 24.0).status is FeedStatus.RESYNCING
    assert account_state(watched, 24.1).status is FeedStatus.STALE
    watched.heard(25 * NS)
    assert account_state(watched, 26.0).status is FeedStatus.POLLED
    watched.opened(27 * NS)
    assert account_state(watched, 28.0).status is FeedStatus.POLLED, "what happened in between is not read yet"
    watched.resynced(29 * NS)
    assert account_state(watched, 30.0).status is FeedStatus.FRESH


def test_a_resync_that_ends_after_the_stream_was_lost_again_is_a_poll() -> None:
    watched = feeds()
    watched.opened(0)
    watched.closed(1 * NS, "gone")
    watched.resynced(2 * NS)
    assert not watched.listening


def test_limits_follow_the_pace() -> None:
    watched = feeds()
    watched.heard(0)
    watched.pace(poll_s=20.0, reconcile_s=60.0)
    assert account_state(watched, 69.0).status is FeedStatus.POLLED
    assert account_state(watched, 69.0).stale_after_s == 70.0
    watched.opened(0)
    watched.resynced(0)
    assert account_state(watched, 0.0).stale_after_s == 180.0


def test_a_refused_key_takes_both_feeds_down_whatever_they_were() -> None:
    watched = listening()
    watched.refused = "its key may trade"
    assert {(state.status, state.detail) for state in watched.states(NS)} == {(FeedStatus.DOWN, "its key may trade")}


def test_states_are_told_when_they_change_and_when_the_reason_of_a_failure_does() -> None:
    watched = feeds()
    assert [state.feed for state in watched.changes(0)] == ["account", "userStream"]
    assert watched.changes(NS) == []
    watched.failure = "timeout"
    assert [state.detail for state in watched.changes(2 * NS)] == ["timeout"]
    watched.failure = "web page"
    assert [state.detail for state in watched.changes(3 * NS)] == ["web page"]
    assert watched.changes(4 * NS) == []


def test_polls_of_the_venue_are_expected_at_their_period() -> None:
    polled = VenueFeeds({"reference": 100.0, "serverTime": 10.0}, 0)
    polled.down("reference", "HTTP 503")
    assert [(state.status, state.detail) for state in polled.changes(0)] == [(FeedStatus.DOWN, "HTTP 503"), (FeedStatus.CONNECTING, "")]
    polled.heard("reference", 0)
    polled.heard("serverTime", 0)
    assert {state.status for state in polled.changes(NS)} == {FeedStatus.POLLED}
    polled.down("serverTime", "HTTP 503")
    assert polled.changes(35 * NS) == []
    assert [(state.feed, state.status) for state in polled.changes(36 * NS)] == [("serverTime", FeedStatus.DOWN)]


# -- orders -------------------------------------------------------------------------------------------------------------


def order(number: int, quantity: float = 1.0) -> Order:
    return Order("aster:BTCUSDT", str(number), quantity, 100.0)


def told(number: int, at_ms: int, quantity: float = 1.0, *, done: bool = False) -> OrderUpdate:
    return OrderUpdate(at_ms, order(number, quantity), done)


def resting(orders: OpenOrders) -> list[tuple[str, float]]:
    return sorted((one.order_id, one.quantity) for one in orders.take())


def test_orders_follow_updates_and_a_read_corrects_them() -> None:
    orders = OpenOrders()
    orders.read(NOW, [order(1), order(2)])
    assert resting(orders) == [("1", 1.0), ("2", 1.0)]
    assert orders.update(told(3, NOW + 10))
    assert orders.update(told(1, NOW + 20, 0.5))
    assert orders.update(told(2, NOW + 30, done=True))
    assert not orders.update(told(1, NOW + 19, 0.9)), "older than what is known"
    assert not orders.update(told(2, NOW + 29)), "ended is ended"
    assert resting(orders) == [("1", 0.5), ("3", 1.0)]
    assert not orders.changed
    orders.read(NOW + 60_000, [order(1, 0.5), order(4)])
    assert resting(orders) == [("1", 0.5), ("4", 1.0)], "what a read long after does not show has gone untold"
    orders.read(NOW + 90_000, [order(4), order(1, 0.5)])
    assert not orders.changed


def test_what_was_told_within_the_window_of_a_read_stands() -> None:
    orders = OpenOrders()
    orders.update(told(1, NOW - WINDOW_MS + 1))
    orders.update(told(2, NOW - WINDOW_MS + 1, done=True))
    orders.update(told(3, NOW - WINDOW_MS - 1))
    orders.read(NOW, [order(2)])
    assert resting(orders) == [("1", 1.0)]
    orders.update(told(5, NOW + 1, done=True))
    orders.read(NOW + 60_000, [order(5)])
    assert resting(orders) == [("5", 1.0)], "an end that a much later read contradicts was no end"


def test_an_end_that_is_told_late_still_ends() -> None:
    orders = OpenOrders()
    orders.read(NOW, [order(1)])
    assert orders.update(told(1, NOW - 60_000, done=True))
    assert resting(orders) == []


def test_memory_of_ended_orders_is_bounded() -> None:
    orders = OpenOrders()
    for number in range(MOST_ENDED + 10):
        orders.update(told(number, NOW, done=True))
    assert len(orders._ended) == MOST_ENDED


# -- keys ---------------------------------------------------------------------------------------------------------------

READER = Agent(wire.SIGNER, "monitor", NOW + 10**10, (), True)


def judged(*agents: Agent, allow: bool = False) -> object:
    verdict = judge_agents("maker", wire.SIGNER.lower(), agents, NOW, allow_unsafe=allow)
    assert wire.SIGNER.lower() not in repr(verdict).lower()
    return verdict


def test_a_read_only_agent_is_admitted() -> None:
    verdict = judge_agents("maker", wire.SIGNER, [replace(READER, address="0x1", rights=("withdraw",)), READER], NOW, allow_unsafe=False)
    assert (verdict.reason, verdict.rights, verdict.expires_ms, verdict.warnings) == (None, ("read",), NOW + 10**10, ())


@pytest.mark.parametrize(
    ("agents", "reason", "words"),
    [
        ([], FailureReason.KEY_REFUSED, "approve the agent for this account"),
        ([replace(READER, address="0x1")], FailureReason.KEY_REFUSED, "lists no agent"),
        ([replace(READER, expires_ms=NOW)], FailureReason.KEY_REFUSED, "expired on 2023-11-14 22:13 UTC"),
        ([replace(READER, can_read=False)], FailureReason.KEY_REFUSED, "may not read"),
        ([replace(READER, rights=("perp trade", "withdraw"))], FailureReason.UNSAFE_KEY, "more than read (perp trade, withdraw)"),
    ],
)
def test_an_agent_that_is_missing_expired_or_could_do_harm_is_refused(agents: list[Agent], reason: FailureReason, words: str) -> None:
    verdict = judge_agents("maker", wire.SIGNER, agents, NOW, allow_unsafe=False)
    assert verdict.reason is reason
    assert words in verdict.detail
    assert verdict.detail.startswith("account maker ")
    assert wire.SIGNER not in repr(verdict)


def test_an_unsafe_agent_that_is_allowed_is_warned_of() -> None:
    verdict = judge_agents("maker", wire.SIGNER, [replace(READER, rights=("withdraw",))], NOW, allow_unsafe=True)
    assert (verdict.reason, verdict.rights) == (None, ("read", "withdraw"))
    assert verdict.warnings == ("the key may do more than read (withdraw): approve a read-only agent",)
    expired = judge_agents("maker", wire.SIGNER, [replace(READER, expires_ms=NOW)], NOW, allow_unsafe=True)
    assert expired.reason is FailureReason.KEY_REFUSED, "allowed to be unsafe is not allowed to be dead"


def test_an_expiry_within_a_week_is_warned_of() -> None:
    soon = judge_agents("maker", wire.SIGNER, [replace(READER, expires_ms=NOW + EXPIRY_WARNING_MS // 2)], NOW, allow_unsafe=False)
    assert soon.warnings == ("the key expires in 3.5 days, on 2023-11-18 10:13 UTC: approve a new agent",)
    assert judge_agents("maker", wire.SIGNER, [replace(READER, expires_ms=None)], NOW, allow_unsafe=False).warnings == ()
    odd = judge_agents("maker", wire.SIGNER, [replace(READER, expires_ms=-(2**62))], NOW, allow_unsafe=False)
    assert "an impossible date" in odd.detail


def test_a_key_whose_rights_cannot_be_read_is_unsafe() -> None:
    assert judge_hmac("old", allow_unsafe=False).reason is FailureReason.UNSAFE_KEY
    assert judge_hmac("old", allow_unsafe=True).warnings
    strange = VenueError(-5000, "GET agent")
    assert judge_refusal("maker", strange, allow_unsafe=False).reason is FailureReason.UNSAFE_KEY
    assert judge_refusal("maker", strange, allow_unsafe=True).reason is None
    assert judge_refusal("maker", KeyRefused(-2015, "x"), allow_unsafe=True).reason is FailureReason.KEY_REFUSED
    assert judge_refusal("maker", SignatureRefused(-1022, "x"), allow_unsafe=True).reason is FailureReason.KEY_REFUSED
    assert judge_refusal("maker", NeverDeposited(-5050, "x"), allow_unsafe=True).reason is FailureReason.MISSING_ACCOUNT


# -- the pace of reads --------------------------------------------------------------------------------------------------


def test_reads_are_as_frequent_as_their_reason_demands() -> None:
    needs = [
        Need("calm", listening=True),
        Need("hot", listening=True, ratio=FAST_FROM),
        Need("polled"),
        Need("suspect", listening=True, suspect=True),
        Need("quoting", listening=True, trading=True),
    ]
    found = paces(needs, UNLIMITED, CONFIG)
    assert found.reads == {"calm": 45.0, "hot": 4.0, "polled": 4.0, "suspect": 4.0, "quoting": 5.0}
    assert (found.poll_s, found.reconcile_s, found.orders_s, found.adl_s, found.polled_modes_s) == (4.0, 45.0, 120.0, 60.0, 300.0)


@given(
    needs=st.lists(
        st.builds(Need, st.uuids().map(str), st.booleans(), st.floats(0, 1.2), st.booleans(), st.booleans()),
        max_size=40,
        unique_by=lambda n: n.alias,
    ),
    limit=st.integers(10, 2400),
)
def test_all_reads_together_stay_inside_their_part_of_the_budget(needs: list[Need], limit: int) -> None:
    found = paces(needs, limit, CONFIG)
    spent = sum(60.0 * 5 / period_s + 60.0 * min(5 / period_s, 5 / 30.0) for period_s in found.reads.values())
    assert spent <= limit * READING_PART * 1.001 or not needs
    assert 60.0 * 40 * len(needs) / found.orders_s <= limit * 0.2 * 1.001
    assert 60.0 * 60 * sum(not need.listening for need in needs) / found.polled_modes_s <= limit * 0.1 * 1.001
    assert all(period_s >= 4.0 for period_s in found.reads.values())


def test_without_accounts_there_is_nothing_to_pace() -> None:
    assert paces([], 600, CONFIG).reads == {}


# -- a stream that may be dead ------------------------------------------------------------------------------------------


def read(doubt: StreamDoubt, merge: AccountMerge, at_s: float, *, corrected: bool) -> bool:
    if corrected:
        merge.corrections += 1
        merge.corrected_reads += 1
    else:
        merge.corrected_reads = 0
    return doubt.read(merge, round(at_s * NS))


def test_two_corrected_reads_in_a_row_end_the_stream_though_it_tells_something() -> None:
    doubt, merge = StreamDoubt(), AccountMerge()
    assert not read(doubt, merge, 0.0, corrected=True)
    doubt.pushed()
    assert read(doubt, merge, 45.0, corrected=True)


def test_two_corrected_reads_without_a_push_between_end_it_however_far_apart() -> None:
    doubt, merge = StreamDoubt(), AccountMerge()
    assert not read(doubt, merge, 0.0, corrected=True)
    assert not any(read(doubt, merge, float(at), corrected=False) for at in range(45, 900, 45))
    assert read(doubt, merge, 900.0, corrected=True)
    doubt, merge = StreamDoubt(), AccountMerge()
    read(doubt, merge, 0.0, corrected=True)
    read(doubt, merge, 45.0, corrected=False)
    doubt.pushed()
    assert not read(doubt, merge, 900.0, corrected=True)


def test_a_corrected_read_makes_the_next_ones_come_sooner_until_a_push() -> None:
    doubt, merge = StreamDoubt(), AccountMerge()
    assert not doubt.suspects(0)
    read(doubt, merge, 0.0, corrected=True)
    assert doubt.suspects(round(SUSPICION_S * NS) - 1)
    assert not doubt.suspects(round(SUSPICION_S * NS))
    doubt.pushed()
    assert not doubt.suspects(1)


def test_a_stream_that_replacing_does_not_help_is_replaced_ever_more_rarely() -> None:
    doubt, merge = StreamDoubt(), AccountMerge()
    ended = [number for number in range(1, 63) if read(doubt, merge, number, corrected=True)]
    assert ended == [2, 6, 14, 30, 62]
    later = 62.0 + PATIENCE_LASTS_S + 1.0
    assert [read(doubt, merge, later + number, corrected=True) for number in range(LEAST_PATIENCE)] == [False, True]
