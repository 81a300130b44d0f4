"""Feeds that went silent: one by one, all of a venue as one, and all of everything as the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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

FeedKey = tuple[str, str, str | None]
"""(venue, feed, account)."""


class FeedWatch:
    """Since when each feed is bad. A bad feed that is told with others, or not long enough yet, is frozen: it must not seem to be well."""

    def __init__(self, limits: WatchLimits, venues: Iterable[str]) -> None:
        self._limits = limits
        self._venues = tuple(dict.fromkeys(venues))
        self._bad_ns: dict[FeedKey, int] = {}
        self._lost_ns: int | None = None

    def conditions(self, freshness: Freshness, now_ns: int) -> list[Condition]:
        """What is so of all feeds now."""
        by_venue: dict[str, list[FeedState]] = {}
        for state in freshness.feeds.values():
            by_venue.setdefault(state.venue, []).append(state)
        bad = {key for key, state in freshness.feeds.items() if state.status not in GOOD}
        self._bad_ns = {key: self._bad_ns.get(key, now_ns) for key in bad}
        network = self._network(by_venue, now_ns)
        is_lost = network is not None and not network.frozen
        found = [] if network is None else [network]
        for venue, states in by_venue.items():
            found += self._venue(venue, states, is_lost, now_ns)
        return found

    def _venue(self, venue: str, states: list[FeedState], is_lost: bool, now_ns: int) -> Iterator[Condition]:
        bad = [state for state in states if _key(state) in self._bad_ns]
        if not bad:
            return
        lasting = [state for state in bad if now_ns - self._bad_ns[_key(state)] >= self._limits.feed_hold_s * SECOND_NS]
        together = len(states) > 1 and len(lasting) == len(states)
        if len(states) > 1 and len(bad) == len(states):
            detail = f"none of its {len(states)} feeds is good: {_say(bad[0])}"
            yield Condition(AlertScope.of_venue(venue), Rule.STALE_FEED, detail=detail, frozen=is_lost or not together)
        for state in bad:
            scope = AlertScope.feed(venue, state.feed, state.account)
            yield Condition(scope, Rule.STALE_FEED, detail=_say(state), frozen=is_lost or together or state not in lasting)

    def _network(self, by_venue: dict[str, list[FeedState]], now_ns: int) -> Condition | None:
        needed = {venue: [state for state in states if _is_needed(state)] for venue, states in by_venue.items()}
        # also of a venue without accounts that is listened to for its volatilities: whoever is heard shows that there is a network
        told = [state for states in needed.values() for state in states]
        silent = all(needed.get(venue) for venue in self._venues) and all(state.status in SILENT for state in told)
        if not silent:
            self._lost_ns = None
            return None
        self._lost_ns = now_ns if self._lost_ns is None else self._lost_ns
        seconds = (now_ns - self._lost_ns) / SECOND_NS
        venues = [venue for venue, states in needed.items() if states]
        of = f"of the only venue, {venues[0]}," if len(venues) == 1 else f"of {', '.join(venues)}"
        detail = f"the monitor has lost its network: all {len(told)} feeds {of} are silent"
        return Condition(MONITOR, Rule.NETWORK, Level.CRITICAL, detail=detail, frozen=seconds < self._limits.network_hold_s)


def _key(state: FeedState) -> FeedKey:
    return state.venue, state.feed, state.account


def _say(state: FeedState) -> str:
    return masked(f"{state.feed} is {state.status.value}" + (f": {state.detail}" if state.detail else ""))


def _is_needed(state: FeedState) -> bool:
    # what margins rest on: a poll of reference data that is due in an hour says nothing of the network now
    needed = feeds_of(state.venue)
    if state.account is not None:
        return state.feed in needed.account
    return state.feed in needed.marks or (bool(needed.mark_of) and state.feed.startswith(needed.mark_of))
