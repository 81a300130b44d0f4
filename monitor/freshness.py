"""How fresh a figure's inputs are: which feeds speak for an account and for the marks, and when they were last heard.

The verdicts themselves come from the connectors (`connectors.staleness`, on the receive clock); this module only knows
which of them a figure depends on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.events import FailureReason, FeedState, FeedStatus
from monitor.margin.result import Failure

GOOD = (FeedStatus.FRESH, FeedStatus.POLLED)


@dataclass(slots=True)
class Freshness:
    """Last state of every feed, when each last spoke, and when each account's own state last came (monotonic ns)."""

    feeds: dict[tuple[str, str, str | None], FeedState] = field(default_factory=dict)
    heard_ns: dict[tuple[str, str, str | None], int] = field(default_factory=dict)
    frame_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    mark_limit_s: float = 15.0
    """Longest time a single instrument's mark may go unconfirmed."""

    def on_feed(self, event: FeedState) -> None:
        """Remember a feed's new state."""
        self.feeds[(event.venue, event.feed, event.account)] = event

    def on_heard(self, venue: str, feed: str, account: str | None, received_ns: int) -> None:
        """A feed spoke."""
        self.heard_ns[(venue, feed, account)] = received_ns

    def on_frame(self, venue: str, account: str, received_ns: int) -> None:
        """An account's own state arrived."""
        self.frame_ns[(venue, account)] = received_ns

    def is_alive(self, venue: str, feed: str) -> bool:
        """Whether a market feed is good now."""
        state = self.feeds.get((venue, feed, None))
        return state is not None and state.status in GOOD

    def failures(self, venue: str, account: str) -> tuple[Failure, ...]:
        """Why figures of this account cannot be trusted now; empty when every feed they need is good."""
        found = []
        marks = [s for (v, feed, a), s in self.feeds.items() if v == venue and a is None and feed in MARK_FEEDS]
        if marks and not any(state.status in GOOD for state in marks):
            found.append(Failure(FailureReason.STALE_MARK, _say(marks[0])))
        for (v, feed, a), state in self.feeds.items():
            if v == venue and a == account and feed in ACCOUNT_FEEDS and state.status not in GOOD:
                found.append(Failure(FailureReason.STALE_ACCOUNT, _say(state)))
        return tuple(found)


DELTA_FEED = "fastAssetCtxs"
"""The feed of marks that tells changes only."""

MARK_FEEDS = frozenset({"allDexsAssetCtxs", DELTA_FEED})
"""Feeds that carry marks: a figure needs one of them."""

SECTIONS_FEED, WALLET_FEED = "allDexsClearinghouseState", "spotState"
ACCOUNT_FEEDS = frozenset({SECTIONS_FEED, WALLET_FEED})
"""Feeds that carry an account's state: a figure needs all that its account has."""


def _say(state: FeedState) -> str:
    return f"{state.feed} is {state.status.value}" + (f": {state.detail}" if state.detail else "")
