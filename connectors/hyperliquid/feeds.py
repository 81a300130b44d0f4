"""The subscriptions of one connection: what is desired, what the venue answered, what is fresh. Sans-I/O.

Desired subscriptions outlive the connection and are replayed on the next one. Freshness itself is judged by
`connectors.staleness`; this adds what only a subscription protocol knows: refusals, missing answers, the resync of an account
after a reconnect, and probing (subscribing again makes the venue send a quiet feed's state).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import orjson

from connectors.events import FeedState, FeedStatus
from connectors.fields import Obj
from connectors.hyperliquid.reference import VENUE
from connectors.staleness import FeedClock, StalenessBoard

FeedKey = tuple[str, str | None]

_UNANSWERED_IS_DOWN = 3


@dataclass(frozen=True, slots=True)
class Subscription:
    """One desired subscription.

    `feed` is our name (the venue's type, with the dex or coin where there are several), `account` an alias or None for a
    market feed, `request` the venue's subscription object with any address in lower case. `limit_s` is the longest normal
    silence (None: event-like). `probe_after_s`: after so much silence subscribe again to be sent the state. `events_only`:
    the acknowledgement proves it alive, there may be nothing to send. `optional`: no figure needs it, so its silence is no reason
    for a new connection.
    """

    feed: str
    account: str | None
    request: dict[str, str] = field(repr=False)
    limit_s: float | None = None
    probe_after_s: float | None = None
    events_only: bool = False
    optional: bool = False

    @property
    def key(self) -> FeedKey:
        """Identity on a connection."""
        return self.feed, self.account

    def frame(self, method: str) -> bytes:
        """The `subscribe` or `unsubscribe` frame."""
        return orjson.dumps({"method": method, "subscription": self.request})

    def answers(self, echo: Obj) -> bool:
        """Whether the venue's echo, which adds defaults and lower-cases addresses, is of this subscription."""
        for name, value in self.request.items():
            said = echo.get(name)
            if (said.lower() if name == "user" and isinstance(said, str) else said) != value:
                return False
        return True


@dataclass(slots=True)
class _Pending:
    sent_ns: int
    attempts: int = 1


class FeedSet:
    """Desired subscriptions of one connection with the state of each. Times are monotonic nanoseconds."""

    def __init__(self, ack_timeout_s: float) -> None:
        self._ack_timeout_ns = round(ack_timeout_s * 1e9)
        self._desired: dict[FeedKey, Subscription] = {}
        self._board = StalenessBoard(VENUE)
        self._clocks: dict[FeedKey, FeedClock] = {}
        self._pending: dict[FeedKey, _Pending] = {}
        self._refused: dict[FeedKey, str] = {}
        self._resyncing: set[str] = set()
        self._probed: set[FeedKey] = set()
        self._refusals_due = 0
        self._told: dict[FeedKey, FeedStatus] = {}
        self._queue: list[bytes] = []
        self._open = False

    @property
    def desired(self) -> tuple[Subscription, ...]:
        """The desired subscriptions in order of addition."""
        return tuple(self._desired.values())

    def __contains__(self, key: FeedKey) -> bool:
        return key in self._desired

    def add(self, subscription: Subscription, now_ns: int) -> None:
        """Desire a subscription; harmless if it is desired already."""
        if subscription.key in self._desired:
            return
        self._desired[subscription.key] = subscription
        self._register(subscription, now_ns)
        if self._open:
            self._send(subscription, now_ns)

    def remove(self, key: FeedKey) -> None:
        """Desire it no longer; harmless if it is not desired."""
        subscription = self._desired.pop(key, None)
        if subscription is None:
            return
        self._board.unregister(*key)
        accepted = key not in self._refused
        for memory in (self._clocks, self._pending, self._refused, self._told):
            memory.pop(key, None)
        self._probed.discard(key)
        if self._open and accepted:
            self._queue.append(subscription.frame("unsubscribe"))

    def replace(self, subscription: Subscription) -> None:
        """Judge a desired feed by other limits from now on; the request must be the same."""
        if subscription.key in self._clocks:
            self._desired[subscription.key] = subscription
            self._clocks[subscription.key].limit_s = subscription.limit_s

    def opened(self, now_ns: int) -> list[bytes]:
        """The connection is up: the frames that replay everything desired. Every account on it awaits its resync."""
        self._open = True
        self._queue.clear()
        self._pending.clear()
        self._probed.clear()
        self._refusals_due = 0
        self._resyncing = {s.account for s in self._desired.values() if s.account is not None}
        self._board.opened(now_ns)
        for key in list(self._refused):
            self._refused.pop(key)
            self._register(self._desired[key], now_ns)
        for subscription in self._desired.values():
            self._send(subscription, now_ns)
        return self.outgoing()

    def closed(self, now_ns: int, reason: str) -> list[FeedState]:
        """The connection ended: the states that changed."""
        self._open = False
        self._queue.clear()
        self._pending.clear()
        self._board.closed(now_ns, reason)
        return self.changes(now_ns)

    def outgoing(self) -> list[bytes]:
        """Frames to send now; each is handed out once."""
        frames, self._queue = self._queue, []
        return frames

    def heard(self, key: FeedKey, now_ns: int) -> bool:
        """Data of the feed arrived; whether its state has to be told anew."""
        self._pending.pop(key, None)
        self._probed.discard(key)
        self._board.heard(*key, now_ns)
        return key in self._desired and self._told.get(key) is not FeedStatus.FRESH

    def silence_s(self, key: FeedKey, now_ns: int) -> float | None:
        """Seconds since data of the feed was last heard; None if never on this connection."""
        clock = self._clocks.get(key)
        return None if clock is None or clock.heard_ns is None else clock.silence_s(now_ns)

    def find(self, echo: Obj) -> Subscription | None:
        """The desired subscription that an echo is of."""
        return next((s for s in self._desired.values() if s.answers(echo)), None)

    def acknowledged(self, subscription: Subscription, now_ns: int) -> None:
        """The venue accepted it (or says it had it already)."""
        self._pending.pop(subscription.key, None)
        if subscription.events_only:
            self._board.heard(*subscription.key, now_ns)

    def refused(self, subscription: Subscription, why: str) -> None:
        """The venue refused it: down until the next connection tries again."""
        self._pending.pop(subscription.key, None)
        self._board.unregister(*subscription.key)
        self._clocks.pop(subscription.key, None)
        self._refused[subscription.key] = why

    def refuse_account(self, why: str) -> str | None:
        """The venue refused to track one more user and names none: the account it must have meant, all its feeds now down.

        Answers come in the order of the requests, so it is the first unanswered one of an account none of whose requests was
        accepted; failing that, the first unanswered one. Every request of that account is refused so: None for those that
        follow the first.
        """
        if self._refusals_due > 0:
            self._refusals_due -= 1
            return None
        waiting = [account for _, account in self._pending if account is not None]
        accepted = {s.account for s in self._desired.values() if s.key not in self._pending}
        refused = next((account for account in waiting if account not in accepted), waiting[0] if waiting else None)
        if refused is None:
            return None
        self._refusals_due = waiting.count(refused) - 1
        for subscription in self._desired.values():
            if subscription.account == refused:
                self.refused(subscription, why)
        return refused

    def retell(self, account: str) -> None:
        """Tell the account's states again with the next changes."""
        self._told = {key: status for key, status in self._told.items() if key[1] != account}

    @property
    def awaiting_resync(self) -> frozenset[str]:
        """Accounts whose state was not yet refetched since the connection opened."""
        return frozenset(self._resyncing)

    def resynced(self, account: str) -> None:
        """The account's state was fetched after the connection opened: its feeds may be fresh."""
        self._resyncing.discard(account)

    def resubscribe(self, key: FeedKey, now_ns: int) -> None:
        """Queue an unsubscription and a subscription, so that the venue sends the feed's state again."""
        subscription = self._desired.get(key)
        if subscription is not None and self._open and key not in self._refused:
            self._queue.append(subscription.frame("unsubscribe"))
            self._send(subscription, now_ns)

    def tick(self, now_ns: int) -> str | None:
        """Queue the remedies that are due; a reason to reconnect, if there is one."""
        if not self._open:
            return None
        self._board.judge(now_ns)
        remedies = self._board.remedies(now_ns)
        for key in remedies.resubscribe:
            self.resubscribe(key, now_ns)
        self._ask_again(now_ns)
        self._probe(now_ns)
        return remedies.reconnect

    def changes(self, now_ns: int) -> list[FeedState]:
        """The states that changed since last told."""
        self._board.judge(now_ns)
        changed: list[FeedState] = []
        for state in self.states(now_ns):
            if self._told.get((state.feed, state.account)) is not state.status:
                self._told[state.feed, state.account] = state.status
                changed.append(state)
        return changed

    def states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is now."""
        refused = [
            FeedState(VENUE, feed, account, FeedStatus.DOWN, now_ns, f"refused by the venue: {why}")
            for (feed, account), why in self._refused.items()
        ]
        return [*map(self._overridden, self._board.states(now_ns)), *refused]

    def _overridden(self, state: FeedState) -> FeedState:
        pending = self._pending.get((state.feed, state.account))
        if pending is not None and pending.attempts > _UNANSWERED_IS_DOWN and state.status is not FeedStatus.FRESH:
            return replace(state, status=FeedStatus.DOWN, detail=f"{_UNANSWERED_IS_DOWN} subscribe requests without an answer")
        if state.status is FeedStatus.FRESH and state.account in self._resyncing:
            return replace(state, status=FeedStatus.RESYNCING, detail="waiting for the account's refetch")
        return state

    def _register(self, subscription: Subscription, now_ns: int) -> None:
        clock = self._board.register(*subscription.key, subscription.limit_s, now_ns, optional=subscription.optional)
        self._clocks[subscription.key] = clock

    def _send(self, subscription: Subscription, now_ns: int) -> None:
        self._queue.append(subscription.frame("subscribe"))
        self._pending[subscription.key] = _Pending(now_ns)

    def _ask_again(self, now_ns: int) -> None:
        for key, pending in self._pending.items():
            if now_ns - pending.sent_ns >= self._ack_timeout_ns:
                pending.sent_ns = now_ns
                pending.attempts += 1
                self._queue.append(self._desired[key].frame("subscribe"))

    def _probe(self, now_ns: int) -> None:
        for subscription in self._desired.values():
            if subscription.probe_after_s is None or subscription.key in self._probed:
                continue
            silence_s = self.silence_s(subscription.key, now_ns)
            if silence_s is not None and silence_s > subscription.probe_after_s:
                self._probed.add(subscription.key)
                self.resubscribe(subscription.key, now_ns)
