"""The WebSocket protocol of the simulated venue: requests, canonical subscriptions, error frames, who gets which frame.

Sans-I/O: a `HyperliquidClient` is one connection; a server, or a test, passes it texts and drains its frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from connectors.simulator.faults import Faults, QueuedFrame
from connectors.simulator.hyperliquid_listing import Listing
from connectors.simulator.hyperliquid_wire import Json

Topic = tuple[str, str, str]
_K = TypeVar("_K")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_MAX_OUTBOX = 50_000

USER_FEEDS: dict[str, Json] = {
    "clearinghouseState": {"dex": ""},
    "allDexsClearinghouseState": {},
    "spotState": {"ignorePortfolioMargin": False},
    "openOrders": {"dex": ""},
    "webData3": {},
    "orderUpdates": {},
    "userEvents": {},
    "userFills": {"aggregateByTime": False},
    "userFundings": {},
    "userNonFundingLedgerUpdates": {},
}
"""Feeds of one user -> the options the venue's echo fills in."""

MARKET_FEEDS = ("allMids", "allDexsAssetCtxs", "activeAssetCtx", "fastAssetCtxs", "outcomeMetaUpdates")


def dumps(value: Any) -> str:
    """Compact JSON, as the venue writes it."""
    return json.dumps(value, separators=(",", ":"))


class MalformedRequest(ValueError):
    """The venue cannot parse the request."""


class InvalidSubscription(ValueError):
    """The venue parses the subscription and refuses it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the venue keeps it. `topic` is (feed, user or coin, dex) and says which frames belong to it."""

    wire: Json
    key: str
    topic: Topic
    user: str | None


def parse_subscription(raw: object, listing: Listing) -> Subscription:
    """Canonicalise a subscription: addresses lower-cased, defaulted options filled in, unknown keys dropped.

    Raises MalformedRequest for an unknown feed or a wrong field, InvalidSubscription for an unknown coin or dex.
    """
    if not isinstance(raw, dict):
        raise MalformedRequest
    feed = raw.get("type")
    wire: Json = {"type": feed}
    user: str | None = None
    if feed in USER_FEEDS:
        if not isinstance(raw.get("user"), str) or not _ADDRESS.fullmatch(raw["user"]):
            raise MalformedRequest
        user = wire["user"] = raw["user"].lower()
        for option, default in USER_FEEDS[feed].items():
            wire[option] = _option(raw, option, default)
    elif feed == "activeAssetCtx":
        wire["coin"] = _option(raw, "coin", None)
    elif feed == "allMids" and raw.get("dex") is not None:
        wire["dex"] = _option(raw, "dex", "")
    elif feed not in MARKET_FEEDS:
        raise MalformedRequest
    key = dumps(wire)
    coin_known = wire.get("coin") is None or wire["coin"] in listing.assets or wire["coin"] in listing.pairs
    if not coin_known or wire.get("dex", "") not in listing.dexs:
        raise InvalidSubscription(key)
    return Subscription(wire, key, (str(feed), user or wire.get("coin", ""), wire.get("dex", "")), user)


def _option(raw: Json, name: str, default: Any) -> Any:
    value = raw.get(name)
    if value is None:
        value = default
    if not isinstance(value, str if default is None else type(default)):
        raise MalformedRequest
    return value


class HyperliquidClient:
    """One connection to the venue: `receive` what the client sends, `drain` what the venue sends back."""

    def __init__(self, hub: FeedHub, faults: Faults) -> None:
        self._hub = hub
        self._stream = faults.stream()
        self._outbox: list[QueuedFrame] = []
        self.subscriptions: dict[str, Subscription] = {}
        self.closed = False

    def receive(self, text: str) -> None:
        """Take one text frame from the client."""
        if self.closed:
            return
        try:
            self._handle(json.loads(text))
        except (json.JSONDecodeError, MalformedRequest):
            self.send("error", {"channel": "error", "data": f"Error parsing JSON into valid websocket request: {text}"})
        except InvalidSubscription as error:
            self.send("error", {"channel": "error", "data": f"Invalid subscription {error}"})

    def drain(self) -> list[str]:
        """All frames queued for the client, in venue order; empties the queue."""
        frames, self._outbox = self._outbox, []
        return self._stream.pass_on(frames, self._hub.clock())

    def send(self, feed: str, frame: Json) -> None:
        """Queue a frame of a feed (or of the protocol: error, pong, post, subscriptionResponse)."""
        self.send_text(feed, dumps(frame))

    def send_text(self, feed: str, text: str) -> None:
        """Queue a frame that is already written. A client that never drains is disconnected."""
        if len(self._outbox) >= _MAX_OUTBOX:
            self.close()
        if not self.closed:
            self._outbox.append((self._hub.clock(), feed, text))

    def close(self) -> None:
        """Drop the connection, its subscriptions and what it has not read."""
        self.closed = True
        self._outbox.clear()
        for subscription in list(self.subscriptions.values()):
            self._hub.remove(self, subscription)

    def _handle(self, message: object) -> None:
        if not isinstance(message, dict):
            raise MalformedRequest
        method = message.get("method")
        if method == "ping":
            self.send("pong", {"channel": "pong"})
        elif method in ("subscribe", "unsubscribe"):
            subscription = parse_subscription(message.get("subscription"), self._hub.listing)
            (self._subscribe if method == "subscribe" else self._unsubscribe)(subscription)
        elif method == "post" and isinstance(message.get("id"), int) and isinstance(message.get("request"), dict):
            response = self._hub.post(message["request"])
            self.send("post", {"channel": "post", "data": {"id": message["id"], "response": response}})
        else:
            raise MalformedRequest

    def _subscribe(self, subscription: Subscription) -> None:
        if subscription.key in self.subscriptions:
            self.send("error", {"channel": "error", "data": f"Already subscribed: {subscription.key}"})
        elif not self._hub.admits(subscription.user):
            self.send("error", {"channel": "error", "data": f"Cannot track more than {self._hub.max_users} total users."})
        else:
            self._hub.add(self, subscription)
            self._acknowledge("subscribe", subscription)
            snapshot = self._hub.snapshot(subscription)
            if snapshot is not None:
                self.send_text(subscription.topic[0], snapshot)

    def _unsubscribe(self, subscription: Subscription) -> None:
        if subscription.key not in self.subscriptions:
            self.send("error", {"channel": "error", "data": f"Already unsubscribed: {subscription.key}"})
        else:
            self._hub.remove(self, subscription)
            self._acknowledge("unsubscribe", subscription)

    def _acknowledge(self, method: str, subscription: Subscription) -> None:
        data = {"method": method, "subscription": subscription.wire}
        self.send("subscriptionResponse", {"channel": "subscriptionResponse", "data": data})


class FeedHub:
    """Who is subscribed to what, over all connections of the venue.

    `snapshot` writes a subscription's first frame (None: the feed has none), `post` answers a WebSocket post, `clock` is the
    venue's time in seconds.
    """

    def __init__(
        self,
        listing: Listing,
        *,
        max_users: int,
        snapshot: Callable[[Subscription], str | None],
        post: Callable[[Json], Json],
        clock: Callable[[], float],
    ) -> None:
        self.listing, self.max_users = listing, max_users
        self.snapshot, self.post, self.clock = snapshot, post, clock
        self._clients: dict[Topic, dict[HyperliquidClient, int]] = {}
        self._users: dict[str, int] = {}

    @property
    def users(self) -> set[str]:
        """Distinct addresses subscribed over all connections."""
        return set(self._users)

    def topics(self, feed: str) -> list[Topic]:
        """Topics of a feed that somebody listens to."""
        return [topic for topic in self._clients if topic[0] == feed]

    def wanted(self, feed: str, subject: str = "", dex: str = "") -> bool:
        """Whether anybody listens to a topic."""
        return (feed, subject, dex) in self._clients

    def admits(self, user: str | None) -> bool:
        """Whether one more subscription for a user stays within the cap of distinct users."""
        return user is None or user in self._users or len(self._users) < self.max_users

    def add(self, client: HyperliquidClient, subscription: Subscription) -> None:
        """Start delivering a subscription's frames."""
        client.subscriptions[subscription.key] = subscription
        listeners = self._clients.setdefault(subscription.topic, {})
        listeners[client] = listeners.get(client, 0) + 1
        if subscription.user is not None:
            self._users[subscription.user] = self._users.get(subscription.user, 0) + 1

    def remove(self, client: HyperliquidClient, subscription: Subscription) -> None:
        """Stop delivering; the user's slot is free at once."""
        del client.subscriptions[subscription.key]
        _release(self._clients[subscription.topic], client)
        if not self._clients[subscription.topic]:
            del self._clients[subscription.topic]
        if subscription.user is not None:
            _release(self._users, subscription.user)

    def publish(self, topic: Topic, text: str) -> None:
        """Queue a written frame for every listener of a topic."""
        for client in list(self._clients.get(topic, ())):
            client.send_text(topic[0], text)


def _release(counts: dict[_K, int], key: _K) -> None:
    counts[key] -= 1
    if counts[key] == 0:
        del counts[key]
