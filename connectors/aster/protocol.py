"""The venue's two kinds of connection without I/O: frames to events. Their urls carry the subscriptions, so nothing is ever sent.

Frames come bare or wrapped as {"stream", "data"}. A wrong one is a `ParseError` event, never an exception, and no sign of life of
its feed. The WebSocket layer pings by itself: neither stream has a heartbeat of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import orjson

from connectors.aster.accounts import AccountState, Urgency
from connectors.aster.answers import MARK_FEED
from connectors.aster.feeds import USER_STREAM
from connectors.aster.market import MARK_EVENT, MarkFrames, SharedMarket
from connectors.aster.messages import (
    ACCOUNT_CONFIG_UPDATE,
    ACCOUNT_UPDATE,
    IGNORED_EVENTS,
    LISTEN_KEY_EXPIRED,
    MARGIN_CALL,
    ORDER_TRADE_UPDATE,
    AccountUpdate,
    parse_account_update,
    parse_config_update,
    parse_margin_call,
    parse_order_update,
)
from connectors.aster.settings import VENUE
from connectors.aster.signing import VenueClock
from connectors.events import CashFlow, CashFlowKind, Event, FeedState, Liquidation, MarginCall, ParseError, Source
from connectors.fields import WrongShape
from connectors.session_protocol import Tick
from connectors.staleness import StalenessBoard

MARK_STREAM = "!markPrice@arr@1s"
READ_AFTER = frozenset({"AUTO_EXCHANGE", "MARGIN_TYPE_CHANGE", "INSURANCE_CLEAR", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ADJUSTMENT"})
"""Reasons of an ACCOUNT_UPDATE after which the account is read again: more may have changed than it says (venue notes 3.7)."""

MOST_TOLD = 200

_Handler = Callable[[dict[str, Any], int], list[Event]]


class _Silent:
    """The part of `SessionProtocol` that a connection without frames of its own shares."""

    heartbeat_interval_s = inf
    pong_timeout_s = inf

    def heartbeat(self, now_ns: int) -> bytes:
        """Never asked for."""
        return b""

    def pong_overdue(self, now_ns: int) -> bool:
        """Never: the WebSocket layer notices a missing pong."""
        return False

    def outgoing(self) -> list[bytes]:
        """Nothing."""
        return []


class MarketProtocol(_Silent):
    """The mark price stream. Implements `connectors.session.SessionProtocol`.

    Marks that are `stale_after_s` old when they come are passed on, but are no sign of life of the feed.
    """

    def __init__(self, shared: SharedMarket, venue_clock: VenueClock, stale_after_s: float, now_ns: int) -> None:
        self._frames = MarkFrames(shared)
        self._venue_clock = venue_clock
        self._stale_after_s = stale_after_s
        self._board = StalenessBoard(VENUE)
        self._board.register(MARK_FEED, None, stale_after_s, now_ns)

    def feed_states(self, now_ns: int) -> list[FeedState]:
        """The feed as it is now."""
        return self._board.states(now_ns)

    def opened(self, now_ns: int) -> list[bytes]:
        """See `SessionProtocol`."""
        self._frames.opened()
        self._board.opened(now_ns)
        return []

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """See `SessionProtocol`."""
        return [*self._board.closed(now_ns, reason)]

    def tick(self, now_ns: int) -> Tick:
        """See `SessionProtocol`: stale after its limit, replaced after twice that."""
        changes = self._board.judge(now_ns)
        return Tick([*changes], reconnect=self._board.remedies(now_ns).reconnect)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame."""
        try:
            rows = _unwrapped(orjson.loads(data))
            if isinstance(rows, dict):
                if rows.get("e") != MARK_EVENT:
                    return _answer(MARK_FEED, rows, now_ns)
                rows = [rows]
            if not isinstance(rows, list):
                return [ParseError(VENUE, MARK_FEED, "unknown_frame", now_ns)]
            reading = self._frames.read(rows, now_ns)
        except orjson.JSONDecodeError:
            return [ParseError(VENUE, MARK_FEED, "not_json", now_ns)]
        except Exception as defect:  # A defect of ours must cost one frame, not the connection.
            return [ParseError(VENUE, MARK_FEED, "internal", now_ns, type(defect).__name__)]
        events: list[Event] = [] if reading.marks is None else [reading.marks]
        events += [ParseError(VENUE, MARK_FEED, kind, now_ns, detail) for kind, detail in reading.problems]
        late_s = self._late_s(reading.time_ms)
        if late_s > self._stale_after_s:
            events.append(ParseError(VENUE, MARK_FEED, "late", now_ns, f"{late_s:.0f} s old"))
        elif reading.sound:
            self._board.heard(MARK_FEED, None, now_ns)
        return [*events, *self._board.judge(now_ns)]

    def _late_s(self, time_ms: int) -> float:
        # Until the venue's clock was measured there is only this machine's, which may be wrong.
        known = time_ms and self._venue_clock.age_s() < inf
        return (self._venue_clock.now_ms() - time_ms) / 1000 if known else 0.0


class UserProtocol(_Silent):
    """The user stream of one account. Implements `connectors.session.SessionProtocol`.

    `ask` is called when the account has to be read again; `expired` when the venue says that the listen key is worth nothing any more.
    Frames may come twice or out of order, as they do while a connection is replaced.
    """

    def __init__(
        self,
        account: AccountState,
        shared: SharedMarket,
        venue_clock: VenueClock,
        *,
        ask: Callable[[Urgency], None],
        expired: Callable[[str], None],
    ) -> None:
        self._account = account
        self._shared = shared
        self._venue_clock = venue_clock
        self._ask = ask
        self._expired = expired
        self._told: dict[tuple[object, ...], None] = {}
        self._handlers: dict[str, _Handler] = {
            ACCOUNT_UPDATE: self._account_update,
            ORDER_TRADE_UPDATE: self._order_update,
            MARGIN_CALL: self._margin_call,
            ACCOUNT_CONFIG_UPDATE: self._config_update,
            LISTEN_KEY_EXPIRED: self._listen_key_expired,
        }

    def opened(self, now_ns: int) -> list[bytes]:
        """See `SessionProtocol`."""
        account = self._account
        account.reconnect = ""
        account.listening_since_ms = self._venue_clock.now_ms()
        account.feeds.opened(now_ns)
        return []

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """See `SessionProtocol`: until a read says otherwise, anything may have happened since."""
        account = self._account
        was_listening = account.feeds.listening
        account.listening_since_ms = None
        account.feeds.closed(now_ns, reason)
        if was_listening or not account.merge.complete:
            self._ask(Urgency.NOW)
        return [*account.feeds.changes(now_ns)]

    def tick(self, now_ns: int) -> Tick:
        """See `SessionProtocol`."""
        return Tick([*self._account.feeds.changes(now_ns)], reconnect=self._account.reconnect or None)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame. After one that makes no sense the account is read again: what it said may matter."""
        kind = "?"
        try:
            frame = _unwrapped(orjson.loads(data))
            if not isinstance(frame, dict):
                return [ParseError(VENUE, USER_STREAM, "unknown_frame", now_ns)]
            event = frame.get("e")
            if not isinstance(event, str):
                return _answer(USER_STREAM, frame, now_ns)
            handler = self._handlers.get(event)
            if handler is not None:
                kind = event
                self._account.stream.pushed()
                return handler(frame, now_ns)
            return [] if event in IGNORED_EVENTS else [ParseError(VENUE, USER_STREAM, "unknown_event", now_ns, event[:40])]
        except orjson.JSONDecodeError:
            problem = ParseError(VENUE, USER_STREAM, "not_json", now_ns)
        except WrongShape as wrong:
            problem = ParseError(VENUE, kind, wrong.kind, now_ns, wrong.detail)
        except Exception as defect:  # A defect of ours must cost one frame, not the connection.
            problem = ParseError(VENUE, kind, "internal", now_ns, type(defect).__name__)
        self._ask(Urgency.SETTLE)
        return [problem]

    # -- events of the venue --------------------------------------------------------------------------------------------

    def _account_update(self, frame: dict[str, Any], now_ns: int) -> list[Event]:
        update = parse_account_update(frame, self._shared.current)
        account = self._account
        changed = account.merge.update(update)
        self._shared.check(position.instrument for position in update.positions if position.quantity)
        if update.reason in READ_AFTER:
            self._ask(Urgency.NOW)
        elif account.merge.wants_read:
            self._ask(Urgency.SETTLE)
        transfers = self._transfers(update, now_ns)
        return [*transfers, *self._snapshot(now_ns)] if changed else transfers

    def _transfers(self, update: AccountUpdate, now_ns: int) -> list[Event]:
        # the balances are in the snapshot: these only say why they changed
        kind, alias = CashFlowKind.TRANSFER, self._account.alias
        return [
            CashFlow(VENUE, alias, now_ns, f"{update.time_ms}:{update.reason}:{asset}", update.time_ms, kind, asset, amount, asset)
            for asset, amount in update.transfers
            if self._is_new((ACCOUNT_UPDATE, update.time_ms, update.reason, asset, amount))
        ]

    def _order_update(self, frame: dict[str, Any], now_ns: int) -> list[Event]:
        update = parse_order_update(frame)
        if self._account.orders.update(update):
            self._ask(Urgency.ORDERS)
        # The order tells itself again with every execution.
        if update.kind is None or not self._is_new((ORDER_TRADE_UPDATE, update.order.order_id, update.liquidation, update.kind)):
            return []
        self._ask(Urgency.NOW)
        return [Liquidation(VENUE, self._account.alias, now_ns, update.time_ms, update.liquidation, update.kind)]

    def _margin_call(self, frame: dict[str, Any], now_ns: int) -> list[Event]:
        time_ms, detail = parse_margin_call(frame, self._shared.current)
        if not self._is_new((MARGIN_CALL, time_ms, detail)):
            return []
        self._ask(Urgency.NOW)
        return [MarginCall(VENUE, self._account.alias, now_ns, time_ms, detail)]

    def _config_update(self, frame: dict[str, Any], now_ns: int) -> list[Event]:
        update = parse_config_update(frame)
        account = self._account
        if update.instrument is not None and update.leverage is not None and account.merge.leverage(update.instrument, update.leverage):
            return self._snapshot(now_ns)
        if update.multi_assets is None and update.hedge_mode is None:
            return []
        modes = account.modes
        if modes is not None and (update.multi_assets, update.hedge_mode) == (modes.multi_assets, modes.hedge_mode):
            return []
        account.merge.doubts("the account's mode was changed: to be read again", self._venue_clock.now_ms())
        self._ask(Urgency.NOW)
        return self._snapshot(now_ns)

    def _listen_key_expired(self, frame: dict[str, Any], now_ns: int) -> list[Event]:
        self._expired("the venue says that the listen key has expired")
        return []

    def _snapshot(self, now_ns: int) -> list[Event]:
        snapshot = self._account.snapshot(Source.PUSH, now_ns)
        return [] if snapshot is None else [snapshot]

    def _is_new(self, key: tuple[object, ...]) -> bool:
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > MOST_TOLD:
            del self._told[next(iter(self._told))]
        return True


def _unwrapped(frame: Any) -> Any:
    return frame["data"] if isinstance(frame, dict) and "stream" in frame and "data" in frame else frame


def _answer(feed: str, frame: dict[str, Any], now_ns: int) -> list[Event]:
    if "result" in frame and "id" in frame:
        return []
    # The venue's own words are left out: they may quote a stream's name, which is a listen key.
    code = frame.get("code")
    if isinstance(code, int):
        return [ParseError(VENUE, feed, "venue_error", now_ns, f"code {code}")]
    return [ParseError(VENUE, feed, "unknown_frame", now_ns)]
