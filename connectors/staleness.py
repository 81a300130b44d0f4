"""Is a feed fresh? Pure functions of the receive clock: a socket that pongs but stopped a feed is stale.

A feed with a cadence is stale once it was silent longer than its limit. An event-like feed (fills, order updates: limit None) is
never stale by silence, only by its connection; but it counts as fresh only after the venue answered on this connection
(its acknowledgement or first frame, told through `heard`). A polled feed does not depend on any connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.events import FeedState, FeedStatus

ANSWER_LIMIT_S = 30.0
MOST_PATIENCE_DOUBLINGS = 5

SEVERITY = (
    FeedStatus.FRESH,
    FeedStatus.POLLED,
    FeedStatus.RESYNCING,
    FeedStatus.CONNECTING,
    FeedStatus.STALE,
    FeedStatus.DOWN,
)
"""Feed statuses from best to worst. Only the first two let a figure be shown as healthy."""

_SEVERITY_OF = {status: rank for rank, status in enumerate(SEVERITY)}


@dataclass(slots=True)
class FeedClock:
    """What is known of one feed. Times are monotonic nanoseconds, None: never.

    `limit_s` is the longest silence that is normal; `since_ns` is when the feed could first have been heard: its registration,
    or the opening of the connection. `status` is the last verdict told, None before the first. An `optional` feed's silence is
    no reason for a new connection, which would take the others with it.
    """

    feed: str
    account: str | None
    limit_s: float | None
    since_ns: int
    polled: bool = False
    connected: bool = False
    heard_ns: int | None = None
    heard_before: bool = False
    down_reason: str | None = None
    optional: bool = False
    status: FeedStatus | None = None
    resubscribed_ns: int | None = None
    reconnects_in_vain: int = 0

    @property
    def patience_s(self) -> float:
        """The silence (seconds) after which the feed is stale; an event-like feed has it only for its first answer."""
        return ANSWER_LIMIT_S if self.limit_s is None else self.limit_s

    def silence_s(self, now_ns: int) -> float:
        """Seconds since the feed was last heard, or could first have been."""
        return (now_ns - (self.since_ns if self.heard_ns is None else self.heard_ns)) / 1e9

    def judge(self, now_ns: int) -> FeedStatus:
        """The status at `now_ns`; changes nothing."""
        if not (self.connected or self.polled):
            return FeedStatus.CONNECTING if self.down_reason is None else FeedStatus.DOWN
        if self.heard_ns is not None and self.limit_s is None:
            return FeedStatus.FRESH
        if self.silence_s(now_ns) > self.patience_s:
            return FeedStatus.STALE
        if self.heard_ns is not None:
            return FeedStatus.POLLED if self.polled else FeedStatus.FRESH
        return FeedStatus.RESYNCING if self.heard_before else FeedStatus.CONNECTING


@dataclass(frozen=True, slots=True)
class Remedies:
    """What to do about stale feeds: subscribe these again ((feed, account) pairs), or open a new connection for that reason."""

    resubscribe: list[tuple[str, str | None]] = field(default_factory=list)
    reconnect: str | None = None


class StalenessBoard:
    """The feeds of one connection (and the polled feeds beside it). Account None: a market feed."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self._feeds: dict[tuple[str, str | None], FeedClock] = {}
        self._connected = False
        self._down_reason: str | None = None

    def register(
        self, feed: str, account: str | None, limit_s: float | None, now_ns: int, *, polled: bool = False, optional: bool = False
    ) -> FeedClock:
        """Watch a feed from now on; a feed already watched starts over. Raises ValueError for a limit that is not positive."""
        if limit_s is not None and not limit_s > 0.0:
            raise ValueError(f"the staleness limit of {feed} is {limit_s} s: use a number above 0")
        if polled and limit_s is None:
            raise ValueError(f"the polled feed {feed} has no staleness limit: give one of a few polling intervals")
        clock = FeedClock(
            feed, account, limit_s, now_ns, polled, self._connected and not polled, down_reason=self._down_reason, optional=optional
        )
        self._feeds[feed, account] = clock
        return clock

    def unregister(self, feed: str, account: str | None) -> None:
        """Watch the feed no longer; harmless if it is not watched."""
        self._feeds.pop((feed, account), None)

    def heard(self, feed: str, account: str | None, now_ns: int) -> None:
        """A frame (or answer) of the feed arrived; ignored for a feed not watched: frames trail an unsubscription."""
        clock = self._feeds.get((feed, account))
        if clock is not None:
            clock.heard_ns = now_ns

    def opened(self, now_ns: int) -> None:
        """The connection is up: every feed on it must be heard anew."""
        self._connected, self._down_reason = True, None
        for clock in self._on_connection():
            clock.heard_before = clock.heard_before or clock.heard_ns is not None
            clock.connected, clock.down_reason = True, None
            clock.heard_ns, clock.since_ns, clock.resubscribed_ns = None, now_ns, None

    def closed(self, now_ns: int, reason: str) -> list[FeedState]:
        """The connection ended, or could not be opened: the states that changed. Harmless when repeated."""
        self._connected, self._down_reason = False, reason
        for clock in self._on_connection():
            clock.connected, clock.down_reason = False, reason
        return self.judge(now_ns)

    def judge(self, now_ns: int) -> list[FeedState]:
        """The states that changed since the last call, in order of registration."""
        changed = []
        for clock in self._feeds.values():
            status = clock.judge(now_ns)
            if status in (FeedStatus.FRESH, FeedStatus.POLLED):
                clock.resubscribed_ns, clock.reconnects_in_vain = None, 0
            if status is not clock.status:
                clock.status = status
                changed.append(self._state(clock, now_ns))
        return changed

    def remedies(self, now_ns: int) -> Remedies:
        """A feed that became stale is to be subscribed again, and if it stays silent as long again, the connection replaced.

        Ask once a tick, after `judge`. A feed that new connections do not bring back asks for them ever more rarely
        (its patience doubles, 32 times at most), so that one dead feed does not take the living ones down with it. An optional
        one is only subscribed again, as rarely.
        """
        resubscribe = []
        for clock in self._on_connection():
            if clock.judge(now_ns) is not FeedStatus.STALE:
                continue
            if clock.resubscribed_ns is None:
                clock.resubscribed_ns = now_ns
                resubscribe.append((clock.feed, clock.account))
            elif (now_ns - clock.resubscribed_ns) / 1e9 > clock.patience_s * 2.0**clock.reconnects_in_vain:
                clock.reconnects_in_vain = min(clock.reconnects_in_vain + 1, MOST_PATIENCE_DOUBLINGS)
                clock.resubscribed_ns = now_ns
                if clock.optional:
                    resubscribe.append((clock.feed, clock.account))
                    continue
                return Remedies(reconnect=f"{clock.feed} silent for {clock.silence_s(now_ns):.0f} s, also after subscribing again")
        return Remedies(resubscribe)

    def worst(self, account: str | None, now_ns: int) -> FeedStatus:
        """The worst status at `now_ns` of the account's feeds (None: of the market feeds); CONNECTING if it has none."""
        statuses = [clock.judge(now_ns) for (_, owner), clock in self._feeds.items() if owner == account]
        return max(statuses, key=_SEVERITY_OF.__getitem__, default=FeedStatus.CONNECTING)

    def states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is at `now_ns`, changed or not."""
        return [self._state(clock, now_ns) for clock in self._feeds.values()]

    def _on_connection(self) -> list[FeedClock]:
        return [clock for clock in self._feeds.values() if not clock.polled]

    def _state(self, clock: FeedClock, now_ns: int) -> FeedState:
        status = clock.judge(now_ns)
        detail = ""
        if status is FeedStatus.STALE:
            detail = f"silent for {clock.silence_s(now_ns):.0f} s"
        elif status is FeedStatus.DOWN:
            detail = clock.down_reason or ""
        return FeedState(self.venue, clock.feed, clock.account, status, now_ns, detail, clock.limit_s or 0.0)
