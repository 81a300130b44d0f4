"""What a scrape tells of venues: their feeds, connections, request budgets and clocks, and the keys that accounts are read with."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from connectors.aster.answers import MARK_FEED
from connectors.aster.feeds import USER_STREAM
from connectors.deribit.rpc import RPC_FEED
from connectors.events import FeedState
from monitor.app import SECOND_NS, Application
from monitor.freshness import GOOD, feeds_of
from monitor.margin import aster, deribit, hyperliquid
from monitor.metrics.series import counter, gauge
from monitor.status import clock_offset_s

FEED = ("venue", "feed", "account")
CONNECTION = ("venue", "connection")

Feed = tuple[str, str, str | None]
"""(venue, feed, account)."""

_KINDS = {
    hyperliquid.VENUE: (
        *(("?", kind) for kind in ("no_channel", "not_json", "unknown_channel")),
        ("error", "venue_error"),
        *(("allDexsAssetCtxs", kind) for kind in ("length_mismatch", "missing_dex")),
    ),
    aster.VENUE: (
        *((MARK_FEED, kind) for kind in ("late", "not_json", "unknown_frame")),
        *((USER_STREAM, kind) for kind in ("not_json", "unknown_event", "unknown_frame")),
    ),
    deribit.VENUE: tuple((RPC_FEED, kind) for kind in ("not_json", "unknown_frame", "unknown_reply")),
}
_KINDS_OF_FEEDS = ("internal", "wrong_shape")

UNFORESEEN = 100
"""So many (venue, feed, kind) that `known_errors` does not name have a series of their own; later ones share those of the feed OTHER.

Venues name feeds after expiries and instruments, so there is no end of them.
"""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class FeedRows:
    """The venues at one instant; times in seconds since 1970."""

    feeds: Sequence[tuple[Feed, FeedState]]
    heard_s: Sequence[tuple[Feed, float]]
    parse_errors: Mapping[tuple[str, str, str], int]
    key_expiry_s: Sequence[tuple[tuple[str, str], float]]
    clock_offset_s: Mapping[str, float]
    connectors: Sequence[tuple[str, dict[str, Any]]]


def take_feeds(app: Application) -> Generator[None, None, FeedRows]:
    """Read the venues, in turns on the event loop."""
    connectors = []
    for connector in list(app.connectors):
        connectors.append((connector.venue, connector.describe()))
        yield
    book = app.book
    wall_s, now_ns = app.clock.time_ms() / 1000, app.clock.monotonic_ns()
    return FeedRows(
        list(book.freshness.feeds.items()),
        [(feed, wall_s - (now_ns - heard_ns) / SECOND_NS) for feed, heard_ns in book.freshness.heard_ns.items()],
        counted_errors({venue for venue, _ in book.accounts}, book.parse_errors),
        [(key, state.expires_ms / 1000) for key, state in book.keys.items() if state.expires_ms is not None],
        {venue: clock_offset_s(app, venue) for venue in book.venue_status},
        connectors,
    )


def counted_errors(venues: set[str], counts: Mapping[tuple[str, str, str], int]) -> dict[tuple[str, str, str], int]:
    """What is told of `counts`, which is in the order of their first errors: so that no series ever changes its meaning."""
    told, own = dict.fromkeys(known_errors(venues), 0), UNFORESEEN
    for key, count in counts.items():
        venue, _, kind = key
        if key not in told:
            own -= 1
            key = key if own >= 0 else (venue, OTHER, kind)
        told[key] = told.get(key, 0) + count
    return told


def known_errors(venues: set[str]) -> Iterator[tuple[str, str, str]]:
    """(venue, feed, kind) of what may go wrong with any account: counted from 0 on, where others begin with their first."""
    for venue in sorted(venues):
        needed = feeds_of(venue)
        yield from ((venue, feed, kind) for feed in sorted(needed.marks | needed.account) for kind in _KINDS_OF_FEEDS)
        yield from ((venue, feed, kind) for feed, kind in _KINDS.get(venue, ()))


def feed_families(told: FeedRows) -> Iterator[Metric]:
    """Every family of venues."""
    up = (((venue, feed, account or ""), state.status in GOOD) for (venue, feed, account), state in told.feeds)
    yield gauge("feed_up", "1 while the feed is fresh (or polled in time).", FEED, up)
    heard = (((venue, feed, account or ""), at_s) for (venue, feed, account), at_s in told.heard_s)
    yield gauge("feed_last_message_timestamp_seconds", "When the feed last spoke.", FEED, heard)
    yield counter("feed_parse_errors_total", "Frames not understood.", ("venue", "feed", "kind"), told.parse_errors.items())
    expiry = "When the key that reads the account expires."
    yield gauge("account_key_expiry_timestamp_seconds", expiry, ("venue", "account"), told.key_expiry_s)
    offsets = (((venue,), offset_s) for venue, offset_s in told.clock_offset_s.items())
    yield gauge("venue_clock_offset_seconds", "The venue's clock less ours.", ("venue",), offsets)
    used = (((venue,), said["budget"].weight_used / max(1, said["budget"].weight_limit)) for venue, said in told.connectors)
    yield gauge("feed_rate_limit_used_ratio", "Used share of our part of the request budget.", ("venue",), used)
    yield from _connections(told.connectors)


def _connections(connectors: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[Metric]:
    rows = [((venue, name), row) for venue, said in connectors for name, row in said["connections"].items()]
    yield gauge("connection_up", "1 while the connection is open.", CONNECTION, ((labels, row.connected) for labels, row in rows))
    yield counter("feed_messages_total", "Frames received.", CONNECTION, ((labels, row.frames) for labels, row in rows))
    yield counter("feed_reconnects_total", "Connections replaced.", CONNECTION, ((labels, row.reconnects) for labels, row in rows))
    resyncs = "Resyncs by REST after a connection opened."
    yield counter("feed_resyncs_total", resyncs, CONNECTION, ((labels, row.resyncs) for labels, row in rows))
