"""Freshness of what an account's figures rest on, and of what is polled of the venue itself. Nanoseconds are monotonic.

An account has two feeds. `userStream` is its connection, shown so that somebody sees it; figures depend on `account` alone:

    CONNECTING   never read
    RESYNCING    the stream was lost: what it would have told since is not known until the next read
    POLLED       without the stream, and the reads keep their pace
    FRESH        the stream lives, a read after it was opened holds what came before, and reads confirm it at their pace
    STALE, DOWN  neither: the reads are late; DOWN says why
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from connectors.aster.settings import VENUE
from connectors.events import FeedState, FeedStatus
from connectors.staleness import FeedClock, StalenessBoard

ACCOUNT_FEED = "account"
USER_STREAM = "userStream"
REFERENCE_FEED = "reference"
CLOCK_FEED = "serverTime"
MISSED_POLLS = 3.5
MISSED_RECONCILES = 3.0
MOST_PATIENCE_S = 90.0
LATE_POLL = 1.5

_UNSURE = (FeedStatus.CONNECTING, FeedStatus.RESYNCING, FeedStatus.STALE)


def patience_s(poll_s: float) -> float:
    """How old (seconds) an account that is polled every `poll_s` may get: a few missed polls, of rare ones hardly one."""
    return min(poll_s * MISSED_POLLS, max(MOST_PATIENCE_S, poll_s * LATE_POLL))


class Told:
    """What was told of some feeds, so that only changes are told again."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str | None], tuple[FeedStatus, float, str]] = {}

    def changes(self, states: Iterable[FeedState]) -> list[FeedState]:
        """Those that differ from what was told: in status, in how long their silence may last, or in why they are down."""
        changed = []
        for state in states:
            why = state.detail if state.status is FeedStatus.DOWN else ""
            said = (state.status, state.stale_after_s, why)
            if self._said.get((state.feed, state.account)) != said:
                self._said[state.feed, state.account] = said
                changed.append(state)
        return changed


class AccountFeeds:
    """The two feeds of one account. `failure` is why its last read failed, `refused` why it is not read at all; "" if not so."""

    def __init__(self, alias: str, *, poll_s: float, reconcile_s: float, now_ns: int) -> None:
        self.failure = ""
        self.refused = ""
        self._poll_s = poll_s
        self._reconcile_s = reconcile_s
        self._account = FeedClock(ACCOUNT_FEED, alias, patience_s(poll_s), now_ns, polled=True)
        self._stream = FeedClock(USER_STREAM, alias, None, now_ns)
        self._lost = ""
        self._told = Told()

    @property
    def connected(self) -> bool:
        """Whether the user stream is open."""
        return self._stream.connected

    @property
    def listening(self) -> bool:
        """Whether pushes keep the state: the stream is open, and a read since holds what came before."""
        return not self._account.polled

    def pace(self, *, poll_s: float, reconcile_s: float) -> None:
        """How often the account is read now: without its stream, and with it."""
        self._poll_s, self._reconcile_s = poll_s, reconcile_s
        self._account.limit_s = patience_s(poll_s) if self._account.polled else reconcile_s * MISSED_RECONCILES

    def opened(self, now_ns: int) -> None:
        """The user stream is open: being told nothing on it is normal."""
        self._stream.connected, self._stream.heard_ns = True, now_ns

    def resynced(self, now_ns: int) -> None:
        """The account was read after the stream was opened."""
        if self._stream.connected:
            self._account.polled, self._account.connected = False, True
            self._account.limit_s = self._reconcile_s * MISSED_RECONCILES
            self.heard(now_ns)

    def closed(self, now_ns: int, reason: str) -> None:
        """The user stream ended, or could not be opened. Harmless when repeated."""
        self._stream.connected, self._stream.heard_ns, self._stream.down_reason = False, None, reason
        account = self._account
        if not account.polled:
            self._lost = reason
            account.polled, account.connected, account.heard_before = True, False, True
            account.heard_ns, account.since_ns, account.limit_s = None, now_ns, patience_s(self._poll_s)

    def heard(self, now_ns: int) -> None:
        """The account was read."""
        self._account.heard_ns = now_ns
        self.failure = ""

    def states(self, now_ns: int) -> list[FeedState]:
        """Both feeds as they are now."""
        return [self._explained(clock, now_ns) for clock in (self._account, self._stream)]

    def changes(self, now_ns: int) -> list[FeedState]:
        """The states that changed since last told."""
        return self._told.changes(self.states(now_ns))

    def _explained(self, clock: FeedClock, now_ns: int) -> FeedState:
        status = clock.judge(now_ns)
        if self.refused:
            return self._state(clock, FeedStatus.DOWN, now_ns, self.refused)
        if clock is self._account and self.failure and status in _UNSURE:
            return self._state(clock, FeedStatus.DOWN, now_ns, self.failure)
        details = {
            FeedStatus.POLLED: f"polled every {self._poll_s:.0f} s",
            FeedStatus.RESYNCING: f"to be read again as the user stream was lost: {self._lost}",
            FeedStatus.STALE: f"not read for {clock.silence_s(now_ns):.0f} s",
            FeedStatus.DOWN: clock.down_reason or "",
        }
        return self._state(clock, status, now_ns, details.get(status, ""))

    def _state(self, clock: FeedClock, status: FeedStatus, now_ns: int, detail: str) -> FeedState:
        return FeedState(VENUE, clock.feed, clock.account, status, now_ns, detail, clock.limit_s or 0.0)


class VenueFeeds:
    """What is polled of the venue itself, each feed every so many seconds."""

    def __init__(self, periods_s: dict[str, float], now_ns: int) -> None:
        self._board = StalenessBoard(VENUE)
        self._down: dict[str, str] = {}
        self._told = Told()
        for feed, period_s in periods_s.items():
            self._board.register(feed, None, period_s * MISSED_POLLS, now_ns, polled=True)

    def heard(self, feed: str, now_ns: int) -> None:
        """A poll of the feed was answered."""
        self._down.pop(feed, None)
        self._board.heard(feed, None, now_ns)

    def down(self, feed: str, why: str) -> None:
        """A poll of the feed failed: if it was never answered, or is stale, that is why."""
        self._down[feed] = why

    def states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is now."""
        return [self._explained(state) for state in self._board.states(now_ns)]

    def changes(self, now_ns: int) -> list[FeedState]:
        """The states that changed since last told."""
        return self._told.changes(self.states(now_ns))

    def _explained(self, state: FeedState) -> FeedState:
        why = self._down.get(state.feed)
        if why is not None and state.status in _UNSURE:
            return replace(state, status=FeedStatus.DOWN, detail=why)
        return state
