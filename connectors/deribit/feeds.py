"""Freshness of the market's channels and of what is polled: by silence, by the venue's refusal, and by what else is known of a feed.

A feed that became silent is subscribed to anew; if it stays silent the connection is replaced, but only for the feeds that figures rest
on: a silent volatility index must not take the chains down with it. Nanoseconds are monotonic.
"""

from __future__ import annotations

from dataclasses import replace

from connectors.deribit.settings import VENUE
from connectors.events import FeedDropped, FeedState, FeedStatus
from connectors.staleness import Remedies, StalenessBoard

_UNSURE = (FeedStatus.CONNECTING, FeedStatus.RESYNCING, FeedStatus.STALE)
_GOOD = (FeedStatus.FRESH, FeedStatus.POLLED)
_NEVER = (FeedStatus.CONNECTING, "")


class MarketFeeds:
    """The states of all feeds that belong to no account. `essential` ones may ask for a new connection."""

    def __init__(self) -> None:
        self._essential = StalenessBoard(VENUE)
        self._others = StalenessBoard(VENUE)
        self._polled = StalenessBoard(VENUE)
        self._watched: dict[str, tuple[StalenessBoard, float | None]] = {}
        self._refused: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._unsure: dict[str, str] = {}
        self._told: dict[str, tuple[FeedStatus, str]] = {}
        self._dropped: list[FeedDropped] = []

    def watch(self, feed: str, limit_s: float | None, now_ns: int, *, essential: bool = True) -> None:
        """Watch a channel's feed from now on; harmless if it is watched."""
        self._watch(feed, self._essential if essential else self._others, limit_s, now_ns)

    def watch_polled(self, feed: str, limit_s: float, now_ns: int) -> None:
        """Watch something that is asked for from now on; harmless if it is watched."""
        self._watch(feed, self._polled, limit_s, now_ns)

    def drop(self, feed: str) -> None:
        """Watch the feed no longer; harmless if it is not watched."""
        board, _ = self._watched.pop(feed, (None, None))
        if board is not None:
            board.unregister(feed, None)
            if feed in self._told:
                self._dropped.append(FeedDropped(VENUE, feed, None))
        for memory in (self._refused, self._failed, self._unsure, self._told):
            memory.pop(feed, None)

    def watched(self) -> frozenset[str]:
        """The feeds of channels that are watched."""
        return frozenset(feed for feed, (board, _) in self._watched.items() if board is not self._polled)

    def heard(self, feed: str, now_ns: int) -> bool:
        """The feed said something that makes sense; whether its state has to be told anew. Ignored for one that is not watched."""
        if feed not in self._watched:
            return False
        self._failed.pop(feed, None)
        self._watched[feed][0].heard(feed, None, now_ns)
        return self._told.get(feed, _NEVER)[0] not in _GOOD

    def refused(self, feed: str, why: str) -> None:
        """The venue refuses the feed: it is down until it is `granted`, or the connection ends."""
        if feed in self._watched:
            self._watched[feed][0].unregister(feed, None)
            self._refused[feed] = why

    def granted(self, feed: str, now_ns: int) -> None:
        """The venue granted the feed. One without a cadence thereby is fresh."""
        if self._refused.pop(feed, None) is not None:
            self._register(feed, now_ns)
        if feed in self._watched and self._watched[feed][1] is None:
            self.heard(feed, now_ns)

    def failed(self, feed: str, why: str) -> None:
        """A poll failed: the feed is down for that reason once what it told before is too old."""
        self._failed[feed] = why

    def unsure(self, feed: str, why: str) -> None:
        """The feed lives, but what it says is not certain ("": certain again): it counts as stale."""
        if why:
            self._unsure[feed] = why
        else:
            self._unsure.pop(feed, None)

    def opened(self, now_ns: int) -> None:
        """The connection is up: every feed on it must be heard anew."""
        for board in (self._essential, self._others):
            board.opened(now_ns)

    def closed(self, now_ns: int, reason: str) -> None:
        """The connection ended, or could not be opened. Harmless when repeated."""
        refused, self._refused = self._refused, {}
        for feed in refused:
            self._register(feed, now_ns)
        for board in (self._essential, self._others):
            board.closed(now_ns, reason)

    def remedies(self, now_ns: int) -> Remedies:
        """The feeds to subscribe to anew, and why a new connection is needed, if it is. Ask once a tick while connected."""
        for board in (self._essential, self._others):
            board.judge(now_ns)
        wanted, others = self._essential.remedies(now_ns), self._others.remedies(now_ns)
        return Remedies([*wanted.resubscribe, *others.resubscribe], wanted.reconnect)

    def dropped(self) -> list[FeedDropped]:
        """The feeds that were told of and are watched no longer; each once."""
        told, self._dropped = self._dropped, []
        return told

    def states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is now."""
        states = [state for board in (self._essential, self._others, self._polled) for state in board.states(now_ns)]
        refused = [
            FeedState(VENUE, feed, None, FeedStatus.DOWN, now_ns, why, self._watched[feed][1] or 0.0) for feed, why in self._refused.items()
        ]
        return [*map(self._explained, states), *refused]

    def changes(self, now_ns: int) -> list[FeedState]:
        """The states that changed since last told, or that are down for another reason."""
        changed = []
        for state in self.states(now_ns):
            said = state.status, state.detail if state.status is FeedStatus.DOWN else ""
            if self._told.get(state.feed) != said:
                self._told[state.feed] = said
                changed.append(state)
        return changed

    def _watch(self, feed: str, board: StalenessBoard, limit_s: float | None, now_ns: int) -> None:
        if feed not in self._watched:
            self._watched[feed] = board, limit_s
            self._register(feed, now_ns)

    def _register(self, feed: str, now_ns: int) -> None:
        board, limit_s = self._watched[feed]
        board.register(feed, None, limit_s, now_ns, polled=board is self._polled)

    def _explained(self, state: FeedState) -> FeedState:
        failure, doubt = self._failed.get(state.feed), self._unsure.get(state.feed)
        if failure is not None and state.status in _UNSURE:
            return replace(state, status=FeedStatus.DOWN, detail=failure)
        if doubt is not None and state.status is not FeedStatus.DOWN:
            return replace(state, status=FeedStatus.STALE, detail=doubt)
        return state
