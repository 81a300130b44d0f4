"""Which market feeds can be believed now, as the connectors judge them, and the provenance of what they told."""

from __future__ import annotations

from collections.abc import Callable

from connectors.events import FeedDropped, FeedState, FeedStatus, VenueStatus
from monitor.freshness import GOOD
from monitor.resolvers.provenance import Provenance, by_age

Feed = tuple[str, str]
"""(venue, feed)."""

Rate = Callable[[str], float]
"""USD per unit of an asset, NaN unknown."""

_HALTED_WORDS = ("maintenance", "halted", "locked")
_LOCKED = "locked "


class FeedHealth:
    """State of every market feed. A feed whose state nobody told is judged by the ages of its figures alone."""

    def __init__(self) -> None:
        self.revision = 0
        """Grows when some feed got better or worse."""
        self._states: dict[Feed, FeedStatus] = {}
        self._interruptions: dict[Feed, int] = {}
        self._halted: set[str] = set()
        self._locked: dict[str, tuple[str, ...]] = {}

    def apply_feed(self, event: FeedState) -> None:
        """Remember a market feed's state; an account's is none of ours."""
        if event.account is not None:
            return
        feed, before = (event.venue, event.feed), self.is_bad(event.venue, event.feed)
        self._states[feed] = event.status
        if self.is_bad(*feed) != before:
            self.revision += 1
            self._interruptions[feed] = self._interruptions.get(feed, 0) + (not before)

    def drop(self, event: FeedDropped) -> None:
        """Forget a market feed that is none any more."""
        if event.account is None:
            feed = (event.venue, event.feed)
            self._states.pop(feed, None)
            # it may come back over another connection, which knows nothing of what was told over this one
            self._interruptions[feed] = self._interruptions.get(feed, 0) + 1
            self.revision += 1

    def apply_venue(self, event: VenueStatus) -> None:
        """Remember whether a venue says that it, or one of its price indices ("locked btc_usd"), is halted: that is stale then."""
        locked = tuple(f".{index}" for index in locked_indices(event))
        halted = bool(halts(event))
        if (locked, halted) != (self._locked.get(event.venue, ()), event.venue in self._halted):
            self.revision += 1
            self._locked[event.venue] = locked
            (self._halted.add if halted else self._halted.discard)(event.venue)

    def is_bad(self, venue: str, feed: str) -> bool:
        """Whether the connector, or the venue itself, says that what this feed told is not current."""
        if venue in self._halted or self._states.get((venue, feed), FeedStatus.FRESH) not in GOOD:
            return True
        locked = self._locked.get(venue)
        return bool(locked) and feed.endswith(locked or ())

    def is_good(self, venue: str, feed: str) -> bool:
        """Whether the connector vouches for the feed: its silence then confirms what it told."""
        return self._states.get((venue, feed)) in GOOD and not self.is_bad(venue, feed)

    def interruptions(self, venue: str, feed: str) -> int:
        """How often the feed went bad: deltas told before are not confirmed by what comes after."""
        return self._interruptions.get((venue, feed), 0)

    def provenance(self, venue: str, feed: str, told_ns: int, now_ns: int) -> Provenance:
        """Provenance of what the feed told at `told_ns`."""
        return Provenance.STALE if self.is_bad(venue, feed) else by_age(seconds(told_ns, now_ns))


def locked_indices(event: VenueStatus) -> tuple[str, ...]:
    """The price indices that the venue says are locked, with everything that settles to them."""
    return tuple(status.removeprefix(_LOCKED) for status in event.statuses if status.startswith(_LOCKED))


def halts(event: VenueStatus) -> tuple[str, ...]:
    """What the venue says that halts all of it, in its own words."""
    rest = (status for status in event.statuses if not status.startswith(_LOCKED))
    return tuple(status for status in rest if any(word in status.lower() for word in _HALTED_WORDS))


def seconds(told_ns: int, now_ns: int) -> float:
    """Age in seconds, never negative."""
    return max(0, now_ns - told_ns) / 1e9
