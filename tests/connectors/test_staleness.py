from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FeedState, FeedStatus
from connectors.staleness import ANSWER_LIMIT_S, SEVERITY, StalenessBoard

SECOND = 1_000_000_000


def at(seconds: float) -> int:
    return round(seconds * SECOND)


def told(states: list[FeedState]) -> list[tuple[str, str | None, FeedStatus]]:
    return [(state.feed, state.account, state.status) for state in states]


def test_the_life_of_a_feed() -> None:
    board = StalenessBoard("venue")
    board.register("marks", None, 15.0, at(0))
    assert told(board.judge(at(0))) == [("marks", None, FeedStatus.CONNECTING)]

    board.opened(at(1))
    assert board.judge(at(2)) == []
    board.heard("marks", None, at(3))
    assert told(board.judge(at(3))) == [("marks", None, FeedStatus.FRESH)]
    assert board.judge(at(18)) == []
    (stale,) = board.judge(at(18.1))
    assert (stale.status, stale.detail, stale.stale_after_s, stale.at_ns) == (FeedStatus.STALE, "silent for 15 s", 15.0, at(18.1))
    board.heard("marks", None, at(19))
    assert told(board.judge(at(19))) == [("marks", None, FeedStatus.FRESH)]
    (down,) = board.closed(at(20), "connection lost")
    assert (down.status, down.detail) == (FeedStatus.DOWN, "connection lost")
    assert board.closed(at(21), "cannot connect") == []
    board.opened(at(22))
    assert told(board.judge(at(22))) == [("marks", None, FeedStatus.RESYNCING)]
    board.heard("marks", None, at(23))
    assert told(board.judge(at(23))) == [("marks", None, FeedStatus.FRESH)]


def test_what_was_heard_before_the_reconnect_does_not_make_a_feed_fresh() -> None:
    board = StalenessBoard("venue")
    board.register("marks", None, 15.0, at(0))
    board.opened(at(0))
    board.heard("marks", None, at(1))
    board.closed(at(2), "lost")
    board.opened(at(3))

    assert board.worst(None, at(3)) is FeedStatus.RESYNCING


def test_a_feed_that_never_answers_becomes_stale() -> None:
    board = StalenessBoard("venue")
    board.register("marks", None, 15.0, at(0))
    board.register("fills", "alpha", None, at(0))
    board.opened(at(100))
    board.judge(at(100))

    assert told(board.judge(at(115.1))) == [("marks", None, FeedStatus.STALE)]
    assert told(board.judge(at(100.1 + ANSWER_LIMIT_S))) == [("fills", "alpha", FeedStatus.STALE)]


def test_an_event_like_feed_is_never_stale_by_silence_only_by_its_connection() -> None:
    board = StalenessBoard("venue")
    board.register("fills", "alpha", None, at(0))
    board.opened(at(0))
    board.heard("fills", "alpha", at(1))
    assert told(board.judge(at(1))) == [("fills", "alpha", FeedStatus.FRESH)]

    assert board.judge(at(1_000_000)) == []
    assert told(board.closed(at(1_000_001), "lost")) == [("fills", "alpha", FeedStatus.DOWN)]


def test_a_polled_feed_does_not_depend_on_the_connection() -> None:
    board = StalenessBoard("venue")
    board.register("wallet", "alpha", 30.0, at(0), polled=True)
    assert told(board.judge(at(0))) == [("wallet", "alpha", FeedStatus.CONNECTING)]
    board.heard("wallet", "alpha", at(1))
    assert told(board.closed(at(2), "lost")) == [("wallet", "alpha", FeedStatus.POLLED)]
    assert told(board.judge(at(31.1))) == [("wallet", "alpha", FeedStatus.STALE)]
    assert board.remedies(at(31.1)).resubscribe == [], "subscribing does not help a poll"


def test_a_feed_registered_while_down_is_down() -> None:
    board = StalenessBoard("venue")
    board.closed(at(0), "cannot connect")
    board.register("marks", None, 15.0, at(1))

    (state,) = board.judge(at(1))
    assert (state.status, state.detail) == (FeedStatus.DOWN, "cannot connect")


def test_a_feed_registered_on_an_open_connection_has_its_limit_from_then_on() -> None:
    board = StalenessBoard("venue")
    board.opened(at(0))
    board.register("marks", None, 15.0, at(100))

    assert board.worst(None, at(110)) is FeedStatus.CONNECTING
    assert board.worst(None, at(116)) is FeedStatus.STALE


def test_frames_of_a_feed_not_watched_are_ignored() -> None:
    board = StalenessBoard("venue")
    board.register("marks", None, 15.0, at(0))
    board.unregister("marks", None)
    board.unregister("marks", None)
    board.heard("marks", None, at(1))

    assert board.states(at(1)) == []


def test_worst_is_the_accounts_own_and_unknown_is_not_healthy() -> None:
    board = StalenessBoard("venue")
    board.opened(at(0))
    for feed, account, limit_s in (("marks", None, 15.0), ("state", "alpha", 20.0), ("fills", "alpha", None), ("state", "beta", 20.0)):
        board.register(feed, account, limit_s, at(0))
        board.heard(feed, account, at(0))
    board.heard("state", "beta", at(10))

    assert board.worst("alpha", at(19)) is FeedStatus.FRESH
    assert board.worst("alpha", at(21)) is FeedStatus.STALE
    assert board.worst("beta", at(21)) is FeedStatus.FRESH
    assert board.worst(None, at(21)) is FeedStatus.STALE
    assert board.worst("nobody", at(0)) is FeedStatus.CONNECTING


def test_severity_ranks_every_status_once() -> None:
    assert sorted(SEVERITY) == sorted(FeedStatus)
    assert SEVERITY[0] is FeedStatus.FRESH
    assert SEVERITY[-1] is FeedStatus.DOWN


def test_a_stale_feed_is_subscribed_again_once_then_the_connection_is_replaced() -> None:
    board = StalenessBoard("venue")
    board.register("marks", None, 15.0, at(0))
    board.opened(at(0))

    assert board.remedies(at(15)).resubscribe == []
    assert board.remedies(at(16)).resubscribe == [("marks", None)]
    assert board.remedies(at(17)).resubscribe == []
    assert board.remedies(at(31)).reconnect is None
    assert board.remedies(at(31.1)).reconnect == "marks silent for 31 s, also after subscribing again"


def test_a_feed_that_stays_dead_asks_for_new_connections_ever_more_rarely() -> None:
    board = StalenessBoard("venue")
    board.register("dead", None, 15.0, at(0))
    reconnects, now = [], 0
    board.opened(at(now))
    for now in range(1, 3000):
        board.judge(at(now))
        if board.remedies(at(now)).reconnect is not None:
            reconnects.append(now)
            board.closed(at(now), "dead")
            board.opened(at(now))

    gaps = [later - earlier for earlier, later in pairwise(reconnects)]
    assert reconnects[0] == 32
    assert gaps == sorted(gaps)
    assert gaps[0] == 47
    assert max(gaps) == 497


def test_an_optional_feed_is_asked_for_again_but_never_for_a_new_connection() -> None:
    board = StalenessBoard("venue")
    board.register("mids", None, 15.0, at(0), optional=True)
    board.register("marks", None, 15.0, at(0))
    board.opened(at(0))
    asked = []
    for now in range(1, 3000):
        board.heard("marks", None, at(now))
        board.judge(at(now))
        remedies = board.remedies(at(now))
        assert remedies.reconnect is None
        asked += [now for _ in remedies.resubscribe]
    gaps = [later - earlier for earlier, later in pairwise(asked)]
    assert asked[0] == 16
    assert gaps == sorted(gaps)
    assert max(gaps) == 481

    board.judge(at(3020))
    assert board.remedies(at(3020)).resubscribe == [("marks", None)]
    assert board.remedies(at(3040)).reconnect is not None, "a feed that figures need"


def test_a_feed_that_came_back_is_treated_as_new_when_it_dies_again() -> None:
    board = StalenessBoard("venue")
    clock = board.register("marks", None, 15.0, at(0))
    board.opened(at(0))
    board.remedies(at(16))
    assert board.remedies(at(32)).reconnect is not None
    board.heard("marks", None, at(33))
    board.judge(at(33))

    assert clock.reconnects_in_vain == 0
    assert board.remedies(at(49)).resubscribe == [("marks", None)]


@pytest.mark.parametrize("limit_s", [0.0, -1.0, float("nan")])
def test_an_impossible_limit_is_refused(limit_s: float) -> None:
    with pytest.raises(ValueError, match="staleness limit of marks"):
        StalenessBoard("venue").register("marks", None, limit_s, 0)
    with pytest.raises(ValueError, match="polled feed wallet"):
        StalenessBoard("venue").register("wallet", "alpha", None, 0, polled=True)


STEPS = st.lists(st.tuples(st.integers(min_value=0, max_value=30), st.sampled_from(["heard", "opened", "closed", "judge"])), max_size=60)


@given(STEPS)
def test_fresh_always_means_heard_on_this_connection_within_the_limit(steps: list[tuple[int, str]]) -> None:
    board, now, heard, connected = StalenessBoard("venue"), 0, None, False
    board.register("marks", None, 15.0, at(0))
    last: FeedStatus | None = None
    for pause, step in steps:
        now += pause
        changed: list[FeedState] = []
        if step == "heard" and connected:
            board.heard("marks", None, at(now))
            heard = now
        elif step == "opened":
            board.opened(at(now))
            connected, heard = True, None
        elif step == "closed":
            changed = board.closed(at(now), "lost")
            connected = False
        changed = changed + board.judge(at(now))
        for state in changed:
            assert state.status is not last
            last = state.status
        assert (last is FeedStatus.FRESH) == (connected and heard is not None and now - heard <= 15)
        assert last is board.worst(None, at(now))
