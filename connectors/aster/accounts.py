"""What the connector knows of one account. No I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from connectors.aster.feeds import AccountFeeds
from connectors.aster.orders import OpenOrders
from connectors.aster.polling import Need
from connectors.aster.settings import VENUE, AsterAccountRef
from connectors.aster.state import AccountMerge, Modes
from connectors.events import FuturesSnapshot, OrdersSnapshot, Source

NS = 1_000_000_000
SUSPICION_S = 300.0
PATIENCE_LASTS_S = 3600.0
LEAST_PATIENCE, MOST_PATIENCE = 2, 64


class Job(Enum):
    """A REST job of an account. KEY: may its key be used. READ: its state. KEEP: prolong its listen key."""

    KEY = "key"
    READ = "read"
    ORDERS = "orders"
    ADL = "adl"
    KEEP = "keep"


class Urgency(Enum):
    """How soon a read is needed: now, to settle what a read and a push contradict, or as its orders changed."""

    NOW = "now"
    SETTLE = "settle"
    ORDERS = "orders"


@dataclass(slots=True)
class StreamDoubt:
    """Whether a user stream that says nothing is dead: it is if reads find what it should have told. Nanoseconds are monotonic.

    Two reads in a row, or two without any push between them, end the connection. If that did not help, the next needs twice as
    many: some changes may never be pushed.
    """

    silent_reads: int = 0
    _patience: int = LEAST_PATIENCE
    _ended_ns: int | None = None
    _corrected_ns: int | None = None
    _corrections: int = 0

    def pushed(self) -> None:
        """The stream told something."""
        self.silent_reads, self._corrected_ns = 0, None

    def read(self, merge: AccountMerge, now_ns: int) -> bool:
        """A read was merged while the stream was listened to; whether the stream is to be replaced."""
        if self._ended_ns is not None and now_ns - self._ended_ns > PATIENCE_LASTS_S * NS:
            self._patience = LEAST_PATIENCE
        if merge.corrections == self._corrections:
            return False
        self._corrections, self._corrected_ns = merge.corrections, now_ns
        self.silent_reads += 1
        if max(self.silent_reads, merge.corrected_reads) < self._patience:
            return False
        self._patience, self._ended_ns = min(2 * self._patience, MOST_PATIENCE), now_ns
        self.silent_reads, merge.corrected_reads, self._corrected_ns = 0, 0, None
        return True

    def suspects(self, now_ns: int) -> bool:
        """Whether the next reads should come at the pace of polling."""
        return self._corrected_ns is not None and now_ns - self._corrected_ns < SUSPICION_S * NS


@dataclass(slots=True)
class AccountState:
    """One account. `admitted`: its key was checked and may be used; `checked`: there was a verdict. `reconnect`: why to open the stream
    anew. `listening_since_ms`: the venue's time since when the stream tells everything.
    """

    ref: AsterAccountRef
    feeds: AccountFeeds
    merge: AccountMerge = field(default_factory=AccountMerge)
    orders: OpenOrders = field(default_factory=OpenOrders)
    stream: StreamDoubt = field(default_factory=StreamDoubt)
    modes: Modes | None = None
    admitted: bool = False
    checked: bool = False
    trading: bool = False
    reconnect: str = ""
    listening_since_ms: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def alias(self) -> str:
        """Its configured name."""
        return self.ref.alias

    def need(self, ratio: float, now_ns: int) -> Need:
        """How it needs to be read now, at that margin ratio."""
        return Need(self.alias, self.feeds.listening, ratio, self.stream.suspects(now_ns), self.trading)

    def snapshot(self, source: Source, now_ns: int) -> FuturesSnapshot | None:
        """Its state as an event; None before the first read."""
        state = self.merge.state()
        return None if state is None else FuturesSnapshot(VENUE, self.alias, now_ns, source, state)

    def changed_orders(self, now_ns: int) -> OrdersSnapshot | None:
        """Its orders as an event if they changed since last told."""
        if not (self.orders.complete and self.orders.changed):
            return None
        return OrdersSnapshot(VENUE, self.alias, now_ns, "", self.orders.take())
