"""How fresh a figure's inputs are: which feeds speak for an account and for the marks, and when they were last heard.

The verdicts themselves come from the connectors (`connectors.staleness`, on the receive clock); this module only knows
which of them a figure depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connectors.events import (
    FailureReason,
    FeedDropped,
    FeedState,
    FeedStatus,
    FuturesSnapshot,
    SectionsSnapshot,
    SummarySnapshot,
    WalletSnapshot,
)
from monitor.margin.result import Failure

GOOD = (FeedStatus.FRESH, FeedStatus.POLLED)
DEFAULT_MARK_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class VenueFeeds:
    """Feeds of a venue: a figure needs one of `marks` and all that its account has of `account`.

    Where each instrument has a feed of its own a figure needs that of each, named `mark_of` and the instrument's symbol.
    `delta` is the one of `marks` that tells changes only. `told_by`: the feed that an event kind is evidence of.
    """

    marks: frozenset[str] = frozenset()
    account: frozenset[str] = frozenset()
    delta: str = ""
    mark_of: str = ""
    told_by: Mapping[type, str] = field(default_factory=dict)


_FEEDS = {
    "hyperliquid": VenueFeeds(
        marks=frozenset({"allDexsAssetCtxs", "fastAssetCtxs"}),
        account=frozenset({"allDexsClearinghouseState", "spotState"}),
        delta="fastAssetCtxs",
        told_by={SectionsSnapshot: "allDexsClearinghouseState", WalletSnapshot: "spotState"},
    ),
    "aster": VenueFeeds(marks=frozenset({"markPrice"}), account=frozenset({"account"}), told_by={FuturesSnapshot: "account"}),
    "deribit": VenueFeeds(account=frozenset({"account"}), mark_of="deribit_price_index.", told_by={SummarySnapshot: "account"}),
}


_NONE = VenueFeeds()


def feeds_of(venue: str) -> VenueFeeds:
    """The feeds that a venue's figures rest on."""
    return _FEEDS.get(venue, _NONE)


@dataclass(slots=True)
class Freshness:
    """Last state of every feed, when each last spoke, and when each account's own state last came (monotonic ns)."""

    feeds: dict[tuple[str, str, str | None], FeedState] = field(default_factory=dict)
    heard_ns: dict[tuple[str, str, str | None], int] = field(default_factory=dict)
    frame_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    mark_limits_s: dict[str, float] = field(default_factory=dict)
    """By venue: the longest time a single instrument's mark may go unconfirmed."""

    def on_feed(self, event: FeedState) -> None:
        """Remember a feed's new state."""
        self.feeds[(event.venue, event.feed, event.account)] = event

    def on_dropped(self, event: FeedDropped) -> None:
        """Forget a feed that is none any more."""
        key = event.venue, event.feed, event.account
        self.feeds.pop(key, None)
        self.heard_ns.pop(key, None)

    def drop_account(self, venue: str, account: str) -> None:
        """Forget all feeds of an account that is watched no more."""
        for known in (self.feeds, self.heard_ns):
            for key in [key for key in known if (key[0], key[2]) == (venue, account)]:
                del known[key]

    def on_heard(self, venue: str, feed: str, account: str | None, received_ns: int) -> None:
        """A feed spoke."""
        self.heard_ns[(venue, feed, account)] = received_ns

    def on_frame(self, venue: str, account: str, received_ns: int) -> None:
        """An account's own state arrived."""
        self.frame_ns[(venue, account)] = received_ns

    def mark_limit_s(self, venue: str) -> float:
        """The longest time a single instrument's mark of the venue may go unconfirmed, seconds."""
        return self.mark_limits_s.get(venue, DEFAULT_MARK_LIMIT_S)

    def is_alive(self, venue: str, feed: str) -> bool:
        """Whether a market feed is good now."""
        state = self.feeds.get((venue, feed, None))
        return state is not None and state.status in GOOD

    def failures(self, venue: str, account: str, instruments: Iterable[str] = ()) -> tuple[Failure, ...]:
        """Why figures of this account, made with these marks, cannot be trusted now; empty when every feed they need is good."""
        found, needed = [], feeds_of(venue)
        if needed.mark_of:
            told = (self.feeds.get((venue, needed.mark_of + name.partition(":")[2], None)) for name in instruments)
            bad = next((state for state in told if state is not None and state.status not in GOOD), None)
            if bad is not None:
                found.append(Failure(FailureReason.STALE_MARK, _say(bad)))
        marks = self._bad(venue, needed.marks, None)
        if marks and not any(self.is_alive(venue, feed) for feed in needed.marks):
            found.append(Failure(FailureReason.STALE_MARK, _say(marks[0])))
        found += [Failure(FailureReason.STALE_ACCOUNT, _say(state)) for state in self._bad(venue, needed.account, account)]
        return tuple(found)

    def _bad(self, venue: str, feeds: Iterable[str], account: str | None) -> list[FeedState]:
        told = (self.feeds.get((venue, feed, account)) for feed in feeds)
        bad = [state for state in told if state is not None and state.status not in GOOD]
        # in the order in which they were first told: a set has none
        return bad if len(bad) < 2 else [state for state in self.feeds.values() if state in bad]


def _say(state: FeedState) -> str:
    return f"{state.feed} is {state.status.value}" + (f": {state.detail}" if state.detail else "")
