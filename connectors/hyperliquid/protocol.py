"""The venue's WebSocket protocol without I/O: frames to events, desired subscriptions to frames.

One instance serves one connection through all its reconnects; `SharedReference` and `Memory` are shared by all connections.
A wrong message is a `ParseError` event, never an exception, and does not count as a sign of life of its feed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from connectors.events import (
    AccountChanged,
    Event,
    FeedState,
    Liquidation,
    ModeReport,
    OrdersSnapshot,
    OutcomePrices,
    ParseError,
    SectionsSnapshot,
    Source,
    Volumes,
    WalletSnapshot,
)
from connectors.fields import Obj, WrongShape, mapping, sequence, text
from connectors.hyperliquid.feeds import FeedSet, Subscription
from connectors.hyperliquid.ledger import (
    Context,
    Entry,
    Watched,
    parse_fill,
    parse_funding,
    parse_ledger_update,
    parse_liquidation_event,
    read_rows,
)
from connectors.hyperliquid.market import MarketFeeds, SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.messages import DEFAULT_MODE, parse_orders, parse_section, parse_sections, parse_wallet
from connectors.hyperliquid.outcomes import OutcomeBook, outcome_events
from connectors.hyperliquid.reference import VENUE
from connectors.hyperliquid.settings import FeedLimits
from connectors.hyperliquid.subscriptions import (
    ALL_MIDS,
    ASSET_CONTEXTS,
    CLEARINGHOUSE,
    FAST_CONTEXTS,
    OUTCOME_UPDATES,
    SPOT_STATE,
    WEB_DATA,
    account_subscriptions,
    market_subscriptions,
    mids_subscriptions,
    orders_feed,
    orders_subscriptions,
    spot_feed,
    spot_state_subscription,
    spot_subscriptions,
)
from connectors.session_protocol import Tick

PING = b'{"method":"ping"}'

_PERIODIC_AFTER = 12
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")

_Handler = Callable[[Any, int], list[Event]]
_RowParser = Callable[[object, Context], Entry]


class HyperliquidProtocol:
    """Frames of one connection. Implements `connectors.session.SessionProtocol`.

    `outcomes` are the price outcomes that frames change and whose mids they tell. `on_full` is called with an alias when the venue
    refuses to track one more account; its feeds are down until the caller unwatches it.
    """

    def __init__(
        self,
        shared: SharedReference,
        memory: Memory,
        limits: FeedLimits,
        *,
        heartbeat_interval_s: float = 20.0,
        pong_timeout_s: float = 10.0,
        outcomes: OutcomeBook | None = None,
        on_full: Callable[[str], None] | None = None,
    ) -> None:
        self.heartbeat_interval_s = heartbeat_interval_s
        self.pong_timeout_s = pong_timeout_s
        self._shared = shared
        self._memory = memory
        self._limits = limits
        self._on_full = on_full
        self._feeds = FeedSet(limits.acknowledgement)
        self._market = MarketFeeds(shared)
        self._outcomes = outcomes or OutcomeBook()
        self._accounts: dict[str, Watched] = {}
        self._modes: dict[str, str] = {}
        self._periodic: dict[str, int] = {}
        self._ping_ns: int | None = None
        self._venue_ms = 0
        self._handlers: dict[str, _Handler] = {
            "subscriptionResponse": self._acknowledged,
            "error": self._refused,
            "pong": self._ponged,
            ASSET_CONTEXTS: self._asset_contexts,
            FAST_CONTEXTS: self._fast_contexts,
            "activeSpotAssetCtx": self._spot_context,
            ALL_MIDS: self._mids,
            OUTCOME_UPDATES: self._outcome_updates,
            CLEARINGHOUSE: self._all_sections,
            "clearinghouseState": self._one_section,
            SPOT_STATE: self._wallet,
            WEB_DATA: self._mode,
            "openOrders": self._orders,
            "userFills": self._fills,
            "userFundings": self._fundings,
            "userNonFundingLedgerUpdates": self._ledger_updates,
            "user": self._user_events,
        }

    # -- what is desired ------------------------------------------------------------------------------------------------

    def watch_market(self, now_ns: int, *, fast: bool) -> None:
        """Desire the whole-market feeds; `watch_spot` adds those of spot pairs."""
        for subscription in market_subscriptions(self._limits, fast=fast):
            self._feeds.add(subscription, now_ns)

    def watch_spot(self, symbols: Iterable[str], now_ns: int) -> None:
        """Desire the context feeds of exactly these spot pairs."""
        self._desire(None, spot_feed(""), spot_subscriptions(symbols, self._limits), now_ns)

    def watch_mids(self, now_ns: int, *, wanted: bool) -> None:
        """Desire the mids of outcome sides, or desire them no longer."""
        self._desire(None, ALL_MIDS, mids_subscriptions(self._limits) if wanted else [], now_ns)

    def watch(self, account: Watched, dexs: Iterable[str], now_ns: int) -> None:
        """Desire the feeds of an account, with the orders of the first dex and of `dexs`."""
        self._accounts[account.address] = account
        for subscription in account_subscriptions(account, self._limits):
            self._feeds.add(subscription, now_ns)
        self.watch_orders(account, dexs, now_ns)

    def watch_orders(self, account: Watched, dexs: Iterable[str], now_ns: int) -> None:
        """Desire the account's orders on the first dex and on exactly these others."""
        self._desire(account.alias, orders_feed(""), orders_subscriptions(account, dexs), now_ns)

    def _desire(self, account: str | None, prefix: str, wanted: list[Subscription], now_ns: int) -> None:
        keys = {subscription.key for subscription in wanted}
        for known in self._feeds.desired:
            if known.account == account and known.feed.startswith(prefix) and known.key not in keys:
                self._feeds.remove(known.key)
        for subscription in wanted:
            self._feeds.add(subscription, now_ns)

    def unwatch(self, alias: str) -> list[str]:
        """Desire nothing of the account any more; the feeds it had."""
        self._accounts = {address: account for address, account in self._accounts.items() if account.alias != alias}
        for memory in (self._modes, self._periodic):
            memory.pop(alias, None)
        self._feeds.resynced(alias)
        gone = [subscription for subscription in self._feeds.desired if subscription.account == alias]
        for subscription in gone:
            self._feeds.remove(subscription.key)
        return [subscription.feed for subscription in gone]

    @property
    def accounts(self) -> tuple[str, ...]:
        """Aliases of the watched accounts."""
        return tuple(account.alias for account in self._accounts.values())

    @property
    def awaiting_resync(self) -> tuple[str, ...]:
        """Aliases whose state was not yet refetched since the connection opened, in order of watching."""
        awaiting = self._feeds.awaiting_resync
        return tuple(alias for alias in self.accounts if alias in awaiting)

    def resynced(self, alias: str, now_ns: int) -> list[FeedState]:
        """The account was refetched after the connection opened: its feeds may be fresh now."""
        self._feeds.resynced(alias)
        return self._feeds.changes(now_ns)

    def retell(self, alias: str) -> None:
        """Tell the states of the account's feeds again at the next chance."""
        self._feeds.retell(alias)

    def feed_states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is now."""
        return self._feeds.states(now_ns)

    # -- SessionProtocol ------------------------------------------------------------------------------------------------

    def opened(self, now_ns: int) -> list[bytes]:
        """See `SessionProtocol`."""
        self._ping_ns = None
        self._modes.clear()
        self._market.opened()
        self._outcomes.missed = True
        return self._feeds.opened(now_ns)

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """See `SessionProtocol`."""
        self._ping_ns = None
        return list(self._feeds.closed(now_ns, reason))

    def heartbeat(self, now_ns: int) -> bytes:
        """See `SessionProtocol`."""
        if self._ping_ns is None:
            self._ping_ns = now_ns
        return PING

    def pong_overdue(self, now_ns: int) -> bool:
        """See `SessionProtocol`."""
        return self._ping_ns is not None and now_ns - self._ping_ns > self.pong_timeout_s * 1e9

    def outgoing(self) -> list[bytes]:
        """See `SessionProtocol`."""
        return self._feeds.outgoing()

    def tick(self, now_ns: int) -> Tick:
        """See `SessionProtocol`."""
        reconnect = self._feeds.tick(now_ns)
        return Tick(list(self._feeds.changes(now_ns)), self._feeds.outgoing(), reconnect)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame. Anything not understood is a `ParseError`."""
        channel = "?"
        try:
            frame = orjson.loads(data)
            if not isinstance(frame, dict) or not isinstance(frame.get("channel"), str):
                return [ParseError(VENUE, "?", "no_channel", now_ns)]
            handler = self._handlers.get(frame["channel"])
            if handler is None:
                return [ParseError(VENUE, "?", "unknown_channel", now_ns, frame["channel"][:40])]
            channel = frame["channel"]
            return handler(frame.get("data"), now_ns)
        except orjson.JSONDecodeError:
            return [ParseError(VENUE, "?", "not_json", now_ns)]
        except WrongShape as problem:
            return [ParseError(VENUE, channel, problem.kind, now_ns, problem.detail)]
        except Exception as defect:  # A defect of ours must cost one frame, not the connection with all its feeds.
            return [ParseError(VENUE, channel, "internal", now_ns, type(defect).__name__)]

    # -- answers of the venue -------------------------------------------------------------------------------------------

    def _acknowledged(self, data: Any, now_ns: int) -> list[Event]:
        answer = mapping(data, "data")
        echo = mapping(answer.get("subscription"), "data.subscription")
        subscription = self._feeds.find(echo)
        if subscription is None or answer.get("method") != "subscribe":
            return []
        self._feeds.acknowledged(subscription, now_ns)
        return list(self._feeds.changes(now_ns))

    def _refused(self, data: Any, now_ns: int) -> list[Event]:
        if not isinstance(data, str):
            raise WrongShape("data")
        if data.startswith("Cannot track more than"):
            return self._no_more_users(data, now_ns)
        subscription = self._quoted(data)
        if subscription is None or data.startswith("Already unsubscribed"):
            known = data.startswith(("Already unsubscribed", "Already subscribed"))
            return [] if known else [ParseError(VENUE, "error", "venue_error", now_ns, _without_addresses(data))]
        if data.startswith("Already subscribed"):
            self._feeds.acknowledged(subscription, now_ns)
        else:
            self._feeds.refused(subscription, _without_addresses(data))
        return list(self._feeds.changes(now_ns))

    def _quoted(self, message: str) -> Subscription | None:
        start = message.find("{")
        try:
            quoted = orjson.loads(message[start:]) if start >= 0 else None
        except orjson.JSONDecodeError:
            return None
        if isinstance(quoted, dict) and isinstance(quoted.get("subscription"), dict):
            quoted = quoted["subscription"]
        return self._feeds.find(quoted) if isinstance(quoted, dict) else None

    def _no_more_users(self, message: str, now_ns: int) -> list[Event]:
        alias = self._feeds.refuse_account(message[:80])
        changes = list(self._feeds.changes(now_ns))
        if alias is not None and self._on_full is not None:
            self._on_full(alias)
        return [*changes]

    def _ponged(self, data: Any, now_ns: int) -> list[Event]:
        self._ping_ns = None
        return []

    # -- market ---------------------------------------------------------------------------------------------------------

    def _asset_contexts(self, data: Any, now_ns: int) -> list[Event]:
        reading = self._market.asset_contexts(data, now_ns)
        events: list[Event] = [] if reading.marks is None else [reading.marks]
        if reading.volumes:
            events.append(Volumes(VENUE, ASSET_CONTEXTS, now_ns, reading.volumes))
        events += [ParseError(VENUE, ASSET_CONTEXTS, kind, now_ns, detail) for kind, detail in reading.problems]
        return self._heard(ASSET_CONTEXTS, None, now_ns, events)

    def _fast_contexts(self, data: Any, now_ns: int) -> list[Event]:
        try:
            found = self._market.fast_contexts(data, now_ns)
        except WrongShape:
            self._feeds.resubscribe((FAST_CONTEXTS, None), now_ns)
            raise
        return self._heard(FAST_CONTEXTS, None, now_ns, [event for event in found if event is not None])

    def _spot_context(self, data: Any, now_ns: int) -> list[Event]:
        pair, prices = self._market.spot_context(data, now_ns)
        return self._heard(spot_feed(pair), None, now_ns, [] if prices is None else [prices])

    def _mids(self, data: Any, now_ns: int) -> list[Event]:
        prices, problems = self._outcomes.mids(data)
        events: list[Event] = [OutcomePrices(VENUE, ALL_MIDS, now_ns, prices)] if prices else []
        events += [ParseError(VENUE, ALL_MIDS, "wrong_shape", now_ns, problem) for problem in problems]
        return self._heard(ALL_MIDS, None, now_ns, events)

    def _outcome_updates(self, data: Any, now_ns: int) -> list[Event]:
        events = outcome_events(self._outcomes, self._outcomes.change(data), OUTCOME_UPDATES, now_ns)
        return self._heard(OUTCOME_UPDATES, None, now_ns, events)

    # -- account state --------------------------------------------------------------------------------------------------

    def _all_sections(self, data: Any, now_ns: int) -> list[Event]:
        frame, account = self._of_account(data)
        if account is None:
            return []
        sections = parse_sections(frame.get("clearinghouseStates"))
        self._shared.check(position.instrument for section in sections for position in section.positions)
        self._venue_ms = max([self._venue_ms, *(section.time_ms for section in sections)])
        event = SectionsSnapshot(VENUE, account.alias, now_ns, Source.PUSH, sections, complete=True)
        return self._heard(CLEARINGHOUSE, account.alias, now_ns, [event])

    def _one_section(self, data: Any, now_ns: int) -> list[Event]:
        frame, account = self._of_account(data)
        if account is None:
            return []
        section = parse_section(text(frame, "dex", "data"), frame.get("clearinghouseState"))
        self._shared.check(position.instrument for position in section.positions)
        return [SectionsSnapshot(VENUE, account.alias, now_ns, Source.PUSH, (section,), complete=False)]

    def _wallet(self, data: Any, now_ns: int) -> list[Event]:
        frame, account = self._of_account(data)
        if account is None:
            return []
        wallet = parse_wallet(frame.get("spotState"), complete=False)
        self._learn_cadence(account, now_ns)
        return self._heard(SPOT_STATE, account.alias, now_ns, [WalletSnapshot(VENUE, account.alias, now_ns, Source.PUSH, wallet)])

    def _learn_cadence(self, account: Watched, now_ns: int) -> None:
        silence_s = self._feeds.silence_s((SPOT_STATE, account.alias), now_ns)
        if silence_s is None:
            return
        before = self._periodic.get(account.alias, 0)
        now = min(before + 1, _PERIODIC_AFTER) if silence_s <= self._limits.spot_state_periodic / 2 else 0
        self._periodic[account.alias] = now
        if (now == _PERIODIC_AFTER) != (before == _PERIODIC_AFTER):
            probe_after_s = self._limits.spot_state_periodic if now else self._limits.spot_state
            self._feeds.replace(spot_state_subscription(account, probe_after_s, self._limits))

    def _mode(self, data: Any, now_ns: int) -> list[Event]:
        state = mapping(data, "data").get("userState")
        if state is None:
            return []
        _, account = self._of_account(state)
        if account is None:
            return []
        mode = state.get("abstraction")
        if mode is not None and not isinstance(mode, str):
            raise WrongShape("data.userState.abstraction")
        said = mode or DEFAULT_MODE
        changed = self._modes.get(account.alias) != said
        self._modes[account.alias] = said
        return self._heard(WEB_DATA, account.alias, now_ns, [ModeReport(VENUE, account.alias, now_ns, said)] if changed else [])

    def _orders(self, data: Any, now_ns: int) -> list[Event]:
        frame, account = self._of_account(data)
        if account is None:
            return []
        dex = text(frame, "dex", "data")
        event = OrdersSnapshot(VENUE, account.alias, now_ns, dex, parse_orders(frame.get("orders")))
        return self._heard(orders_feed(dex), account.alias, now_ns, [event])

    # -- logs -----------------------------------------------------------------------------------------------------------

    def _fills(self, data: Any, now_ns: int) -> list[Event]:
        return self._log("userFills", "fills", parse_fill, data, now_ns)

    def _fundings(self, data: Any, now_ns: int) -> list[Event]:
        return self._log("userFundings", "fundings", parse_funding, data, now_ns)

    def _ledger_updates(self, data: Any, now_ns: int) -> list[Event]:
        return self._log("userNonFundingLedgerUpdates", "nonFundingLedgerUpdates", parse_ledger_update, data, now_ns)

    def _log(self, feed: str, key: str, parse: _RowParser, data: Any, now_ns: int) -> list[Event]:
        frame, account = self._of_account(data)
        if account is None:
            return []
        snapshot = frame.get("isSnapshot") is True
        context = Context(account, self._shared.current, now_ns, snapshot)
        log = self._memory.log(account.alias, feed)
        rows = sequence(frame.get(key), f"data.{key}")
        # What happened before we ever looked is part of the state we fetch; it neither pages nor asks for a refetch.
        history = snapshot and not log.primed
        events: list[Event] = []
        for event in read_rows(feed, rows, parse, context, log):
            if not (history and isinstance(event, (AccountChanged, Liquidation))):
                events.append(event)
        log.primed = log.primed or snapshot
        return self._heard(feed, account.alias, now_ns, events)

    def _user_events(self, data: Any, now_ns: int) -> list[Event]:
        frame = mapping(data, "data")
        if "liquidation" not in frame:
            return []
        event = parse_liquidation_event(frame["liquidation"], self._accounts, now_ns, self._venue_ms)
        return [] if event is None else [event, AccountChanged(VENUE, event.account, now_ns, "a liquidation")]

    # -- shared ---------------------------------------------------------------------------------------------------------

    def _of_account(self, data: Any) -> tuple[Obj, Watched | None]:
        frame = mapping(data, "data")
        return frame, self._accounts.get(text(frame, "user", "data").lower())

    def _heard(self, feed: str, account: str | None, now_ns: int, events: list[Event]) -> list[Event]:
        if self._feeds.heard((feed, account), now_ns):
            return [*events, *self._feeds.changes(now_ns)]
        return events


def _without_addresses(message: str) -> str:
    return _ADDRESS.sub("0x…", message)[:160]
