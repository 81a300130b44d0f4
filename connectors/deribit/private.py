"""One account over its own logged-in WebSocket, without I/O: reads at a period, pushes between them, always a whole account out.

A wrong frame is a `ParseError` event, never an exception. The account's feed lives by its reads: pushes come on change only, and what is
not read any more must not look alive.
"""

from __future__ import annotations

from random import Random
from typing import Any

from connectors.deribit.errors import Forbidden, RpcError, Unauthorized
from connectors.deribit.private_answers import parse_changes, parse_orders, parse_positions, parse_summaries, parse_summary
from connectors.deribit.private_login import Login
from connectors.deribit.private_state import AccountState
from connectors.deribit.reference import Reference
from connectors.deribit.rpc import NS, Reply, Rpc
from connectors.deribit.settings import VENUE, DeribitAccountRef, DeribitConfig
from connectors.deribit.subscriptions import Subscriptions
from connectors.deribit.venue_time import VenueTime
from connectors.events import (
    AccountFailure,
    Event,
    FailureReason,
    FeedState,
    Liquidation,
    OrdersSnapshot,
    ParseError,
    Source,
    SummarySnapshot,
)
from connectors.fields import Obj, WrongShape
from connectors.session_protocol import Tick
from connectors.staleness import StalenessBoard

ACCOUNT_FEED = "account"
PORTFOLIO_CHANNEL = "user.portfolio.any"
CHANGES_CHANNEL = "user.changes.any.any.100ms"
FAILED_READ_S, FORBIDDEN_READ_S = 5.0, 60.0
LEAST_READ_GAP_S = 1.0

_SUMMARIES, _POSITIONS, _ORDERS = "private/get_account_summaries", "private/get_positions", "private/get_open_orders"


class PrivateProtocol:
    """The connection of one account. Implements `connectors.session.SessionProtocol`. Set `rpc.wake` to `Session.wake`."""

    def __init__(
        self, ref: DeribitAccountRef, config: DeribitConfig, reference: Reference, venue_time: VenueTime, random: Random, now_ns: int
    ) -> None:
        self.alias = ref.alias
        self.heartbeat_interval_s = float(config.heartbeat_s)
        self.pong_timeout_s = 2.0 * config.heartbeat_s
        self.reads = 0
        """How often the whole account was read."""
        self.rpc = Rpc(self._pushed, heartbeat_s=config.heartbeat_s, timeout_s=config.request_timeout_s, random=random)
        self.login = Login(ref, self.rpc, random, self._entered)
        self.subscriptions = Subscriptions(self.rpc, "private", retry_s=config.refused_retry_s, told=self._on_subscribed)
        self.subscriptions.want((PORTFOLIO_CHANNEL, CHANGES_CHANNEL))
        self._config = config
        self._venue_time = venue_time
        self._state = AccountState(ref.alias, reference)
        self._board = StalenessBoard(VENUE)
        self._board.register(ACCOUNT_FEED, ref.alias, config.account_stale_s, now_ns)
        self._missing: set[str] = set()
        """Answers that the running read still waits for."""
        self._failed = self._forbidden = self._again = False
        self._read_ns: int | None = None
        self._began_ns: int | None = None
        self._orders_ns = 0

    # -- for the connector ----------------------------------------------------------------------------------------------

    def refresh(self, now_ns: int) -> None:
        """Read the account again as soon as the gap between two reads allows."""
        self._again = True
        self._begin_if_due(now_ns)

    def feed_states(self, now_ns: int) -> list[FeedState]:
        """The account's feed as it is now."""
        return self._board.states(now_ns)

    # -- the session ----------------------------------------------------------------------------------------------------

    def opened(self, now_ns: int) -> list[bytes]:
        """See `SessionProtocol`."""
        self._forget()
        self._board.opened(now_ns)
        self.rpc.opened(now_ns)
        self.login.opened(now_ns)
        return self.rpc.outgoing()

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """See `SessionProtocol`."""
        self.rpc.closed(now_ns)
        self.login.closed()
        self._forget()
        return [*self._board.closed(now_ns, reason)]

    def heartbeat(self, now_ns: int) -> bytes:
        """See `SessionProtocol`."""
        return self.rpc.heartbeat(now_ns)

    def pong_overdue(self, now_ns: int) -> bool:
        """See `SessionProtocol`: nothing at all came for two heartbeats."""
        return self.rpc.silent(now_ns)

    def outgoing(self) -> list[bytes]:
        """See `SessionProtocol`."""
        return self.rpc.outgoing()

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame."""
        return self.rpc.receive(data, now_ns)

    def tick(self, now_ns: int) -> Tick:
        """See `SessionProtocol`: what is due, verdicts, a new connection where this one tells nothing."""
        self.login.tick(now_ns)
        if self.login.ready:
            self.subscriptions.sync(now_ns)
            self._begin_if_due(now_ns)
        late, frames = self.rpc.tick(now_ns)
        events = [*late, *self._board.judge(now_ns)]
        # a refused key is not accepted sooner on another connection
        reconnect = None if self.login.refused else self._board.remedies(now_ns).reconnect
        return Tick(events, frames, self.rpc.limited or reconnect)

    def _forget(self) -> None:
        self.subscriptions.forget()
        self._missing.clear()
        self._failed, self._again, self._read_ns = False, False, None

    # -- reads ------------------------------------------------------------------------------------------------------------

    def _entered(self, now_ns: int) -> list[Event]:
        # Pushes of an earlier login may have ended with it.
        self.subscriptions.forget()
        self.subscriptions.sync(now_ns)
        self._missing.clear()
        self._read_ns = self._orders_ns = now_ns
        self._begin(now_ns)
        return []

    def _begin_if_due(self, now_ns: int) -> None:
        is_due = self._again or (self._read_ns is not None and now_ns >= self._read_ns)
        rested = self._began_ns is None or now_ns - self._began_ns >= LEAST_READ_GAP_S * NS
        if self.login.ready and is_due and rested and not self._missing:
            self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        self._again, self._failed, self._forbidden = False, False, False
        self._began_ns, self._read_ns = now_ns, now_ns + round(self._config.summary_s * NS)
        self._missing = {_SUMMARIES, _POSITIONS}
        self._ask(_SUMMARIES, {"extended": True}, now_ns)
        self._ask(_POSITIONS, {"currency": "any"}, now_ns)
        if now_ns >= self._orders_ns:
            self._orders_ns = now_ns + round(self._config.orders_s * NS)
            self._missing.add(_ORDERS)
            self._ask(_ORDERS, {}, now_ns)

    def _ask(self, method: str, params: Obj, now_ns: int) -> None:
        began_ns = self._began_ns

        def answered(reply: Reply, at_ns: int) -> list[Event]:
            # a read that a new login began meanwhile is another one
            if began_ns != self._began_ns or method not in self._missing:
                return []
            self._missing.discard(method)
            events = self._answer(method, reply, at_ns)
            return events if self._missing else [*events, *self._end(at_ns)]

        self.rpc.call(method, params, answered, now_ns)

    def _answer(self, method: str, reply: Reply, now_ns: int) -> list[Event]:
        if reply.time_ms:
            self._venue_time.heard(reply.time_ms, now_ns)
        if reply.error is not None:
            return self._not_read(method, reply.error, now_ns)
        try:
            return self._take(method, reply.result, now_ns)
        except WrongShape as wrong:
            self._failed = self._failed or method != _ORDERS
            return [ParseError(VENUE, method, wrong.kind, now_ns, wrong.detail)]

    def _take(self, method: str, result: object, now_ns: int) -> list[Event]:
        if method == _SUMMARIES:
            self._state.take_summaries(parse_summaries(result))
        elif method == _POSITIONS:
            self._state.take_positions(parse_positions(result))
        else:
            self._state.take_orders(parse_orders(result))
            return self._orders(now_ns)
        return []

    def _not_read(self, method: str, error: Exception, now_ns: int) -> list[Event]:
        self._failed = self._failed or method != _ORDERS
        if isinstance(error, Unauthorized):
            self._missing.clear()
            self.login.lapsed(now_ns)
        elif isinstance(error, Forbidden) and method != _ORDERS:
            why = f"account {self.alias} cannot be watched: {error}"
            self._forbidden, self._read_ns = True, now_ns + round(FORBIDDEN_READ_S * NS)
            return [AccountFailure(VENUE, self.alias, now_ns, FailureReason.KEY_REFUSED, why)]
        return [ParseError(VENUE, method, error.kind, now_ns, str(error))] if isinstance(error, RpcError) else []

    def _end(self, now_ns: int) -> list[Event]:
        if self._failed:
            if not self._forbidden:
                self._read_ns = now_ns + round(FAILED_READ_S * NS)
            return []
        self.reads += 1
        self.login.works()
        self._state.check()
        self._board.heard(ACCOUNT_FEED, self.alias, now_ns)
        return [*self._told(Source.POLL, now_ns), *self._board.judge(now_ns)]

    # -- pushes -----------------------------------------------------------------------------------------------------------

    def _pushed(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        if channel.startswith("user.portfolio."):
            self._state.take_summary(parse_summary(data, "user.portfolio"))
            # an answer on its way may be older than this
            self._again = self._again or _SUMMARIES in self._missing
            return self._told(Source.PUSH, now_ns)
        if channel.startswith("user.changes."):
            return self._changed(data, now_ns)
        return [ParseError(VENUE, channel[:40], "unknown_channel", now_ns)]

    def _changed(self, data: Any, now_ns: int) -> list[Event]:
        changes = parse_changes(data)
        self._state.take_changes(changes)
        # an answer on its way may be older than this
        self._again = self._again or (bool(self._missing) and bool(changes.positions))
        events: list[Event] = [Liquidation(VENUE, self.alias, now_ns, changes.time_ms, detail) for detail in changes.liquidations]
        if changes.positions:
            events += self._told(Source.PUSH, now_ns)
        return [*events, *self._orders(now_ns)] if changes.orders or changes.gone_orders else events

    def _told(self, source: Source, now_ns: int) -> list[Event]:
        state = self._state.snapshot(self._venue_time.now_ms(now_ns))
        return [] if state is None else [SummarySnapshot(VENUE, self.alias, now_ns, source, state)]

    def _orders(self, now_ns: int) -> list[Event]:
        orders = self._state.orders()
        return [] if orders is None else [OrdersSnapshot(VENUE, self.alias, now_ns, "", orders)]

    def _on_subscribed(self, granted: frozenset[str], refused: dict[str, str], now_ns: int) -> list[Event]:
        if self.login.ready and any("13009" in why for why in refused.values()):
            self.login.lapsed(now_ns)
        return [ParseError(VENUE, channel, "not_subscribed", now_ns, why) for channel, why in refused.items()]
