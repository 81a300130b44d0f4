"""Feeds that went silent: one by one, all of a venue as one, and all of everything as the network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from config.errors import masked
from connectors.events import FeedState, FeedStatus
from monitor.alerts.incident import Condition
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.freshness import GOOD, Freshness, feeds_of
from monitor.margin.result import Level
from monitor.watch.limits import WatchLimits

SECOND_NS = 1_000_000_000

SILENT = (FeedStatus.STALE, FeedStatus.DOWN)
"""What a feed is where nothing comes; a connection that opens or reads anew shows that the network is there."""

QUIET_S = 17.0
"""Where several venues are watched and nothing at all came for so long, no further hold is needed: the slowest marks are stale after 15 s,
and the pools of a venue whose marks are stale after 10 s must not be told as blind one by one before."""

SINGLE = 1.6
"""Of the hold: a single venue that is silent may be that venue, so it takes longer. Less than the hold of blind pools, which is twice."""

SLOW_S = 30.0
"""A feed that may be silent for longer than this says nothing of the network now."""

FeedKey = tuple[str, str, str | None]
"""(venue, feed, account)."""


class FeedWatch:
    """Since when each feed is bad. A bad feed that is told with others, or not long enough yet, is frozen: it must not seem to be well."""

    def __init__(self, limits: WatchLimits, venues: Iterable[str]) -> None:
        self.limits = limits
        self.venues = tuple(dict.fromkeys(venues))
        self._bad_ns: dict[FeedKey, int] = {}
        self._silent_ns: int | None = None
        self._starting: Collection[tuple[str, str]] = ()

    def conditions(
        self, freshness: Freshness, now_ns: int, starting: Collection[tuple[str, str]] = (), maintained: Collection[str] = ()
    ) -> list[Condition]:
        """What is so of all feeds now. `starting`: (venue, account) without a first complete state; `maintained`: venues in maintenance."""
        self._starting = starting
        by_venue: dict[str, list[FeedState]] = {}
        for state in freshness.feeds.values():
            by_venue.setdefault(state.venue, []).append(state)
        bad = {key for key, state in freshness.feeds.items() if state.status not in GOOD}
        # what an account needs for its first state is no loss: its time begins when that is there
        self._bad_ns = {key: now_ns if self._is_starting(key) else self._bad_ns.get(key, now_ns) for key in bad}
        network = self._network(freshness, by_venue, maintained, now_ns)
        is_lost = network is not None and not network.frozen
        found = [] if network is None else [network]
        for venue, states in by_venue.items():
            found += self._venue(venue, states, is_lost, now_ns)
        return found

    def _venue(self, venue: str, states: list[FeedState], is_lost: bool, now_ns: int) -> Iterator[Condition]:
        bad = [state for state in states if _key(state) in self._bad_ns]
        if not bad:
            return
        lasting = [state for state in bad if self._is_lasting(_key(state), now_ns)]
        together = len(states) > 1 and len(lasting) == len(states)
        if len(states) > 1 and len(bad) == len(states):
            detail = f"none of its {len(states)} feeds is good: {_say(bad[0])}"
            yield Condition(AlertScope.of_venue(venue), Rule.STALE_FEED, detail=detail, frozen=is_lost or not together)
        for state in bad:
            scope = AlertScope.feed(venue, state.feed, state.account)
            yield Condition(scope, Rule.STALE_FEED, detail=_say(state), frozen=is_lost or together or state not in lasting)

    def _is_starting(self, key: FeedKey) -> bool:
        return (key[0], key[2]) in self._starting

    def _is_lasting(self, key: FeedKey, now_ns: int) -> bool:
        return not self._is_starting(key) and now_ns - self._bad_ns[key] >= self.limits.feed_hold_s * SECOND_NS

    def _network(
        self, freshness: Freshness, by_venue: dict[str, list[FeedState]], maintained: Collection[str], now_ns: int
    ) -> Condition | None:
        # also of a venue without accounts that is listened to for its volatilities: whoever is heard shows that there is a network
        fast = {venue: _fast(states) for venue, states in by_venue.items()}
        is_silent = all(state.status in SILENT for states in fast.values() for state in states)
        if not is_silent or not all(fast.get(venue) for venue in self.venues):
            self._silent_ns = None
            return None
        self._silent_ns = silent_ns = now_ns if self._silent_ns is None else self._silent_ns
        venues = [venue for venue, states in fast.items() if states and venue not in maintained]
        if not venues:
            return Condition(MONITOR, Rule.NETWORK, Level.CRITICAL, frozen=True)
        hold_s = self.limits.network_hold_s * (SINGLE if len(venues) == 1 else 1.0)
        sign_ns = _last_sign_ns(freshness)
        if sign_ns is not None and sign_ns > silent_ns and now_ns - sign_ns < hold_s * SECOND_NS:
            return None
        is_quiet = len(venues) > 1 and sign_ns is not None and now_ns - sign_ns >= QUIET_S * SECOND_NS
        is_lost = is_quiet or now_ns - silent_ns >= hold_s * SECOND_NS
        return Condition(MONITOR, Rule.NETWORK, Level.CRITICAL, detail=_lost(venues, len(fast)), frozen=not is_lost)


def _key(state: FeedState) -> FeedKey:
    return state.venue, state.feed, state.account


def _say(state: FeedState) -> str:
    return masked(f"{state.feed} is {state.status.value}" + (f": {state.detail}" if state.detail else ""))


def _lost(venues: list[str], watched: int) -> str:
    if len(venues) == 1:
        return f"no connection to {venues[0]}, the only venue{'' if watched == 1 else ' that should be heard'}"
    return f"the monitor has lost its network: nothing comes from {', '.join(venues)}"


def _fast(states: list[FeedState]) -> list[FeedState]:
    # marks, as they come every few seconds; an account's own feeds, which may be silent for a minute, only where there are none
    marks = [state for state in states if _is_mark(state) and state.stale_after_s <= SLOW_S]
    return marks or [state for state in states if state.account is not None and state.feed in feeds_of(state.venue).account]


def _is_mark(state: FeedState) -> bool:
    needed = feeds_of(state.venue)
    return state.account is None and (state.feed in needed.marks or (bool(needed.mark_of) and state.feed.startswith(needed.mark_of)))


def _last_sign_ns(freshness: Freshness) -> int | None:
    # that a slow feed still counts as fresh is no sign; that it turned so, or spoke, is one
    turned = (state.at_ns for state in freshness.feeds.values() if state.status not in SILENT)
    return max((*turned, *freshness.heard_ns.values()), default=None)
