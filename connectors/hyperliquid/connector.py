"""The venue as the monitor sees it: reference data, market feeds, accounts pushed or polled, and the venue's own health.

Two connections: one for the market, one for the accounts that hold a push slot; everything else is REST, all of it within one
budget of this address. Nothing here ends by itself: what fails is said through feed states and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Any

from connectors.clock import Clock, cancel_all
from connectors.errors import ConnectorError
from connectors.events import (
    AccountChanged,
    CashFlow,
    Event,
    FeedState,
    Fill,
    ModeReport,
    SectionsSnapshot,
    VenueStatus,
    WalletSnapshot,
)
from connectors.hyperliquid.accounts import PORTFOLIO_MARGIN, AccountState
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.polling import WALLET_FEED, PolledFeeds
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.push import PushSlots
from connectors.hyperliquid.reference import VENUE, Reference, dex_of
from connectors.hyperliquid.resolving import Resolving
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig
from connectors.hyperliquid.tender import AccountTender
from connectors.hyperliquid.venue import VenueTender
from connectors.ratelimit import Budget
from connectors.session import Session
from connectors.transport import HttpTransport, WebSocketTransport

TICK_S = 1.0

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
_log = logging.getLogger("connectors.hyperliquid")


class HyperliquidConnector:
    """Everything about one Hyperliquid network. `sink` gets events in order, never an empty list.

    `run` never returns before `stop`. `budget` may be given to share one address between several connectors. Raises ValueError
    for accounts that `checked` refuses.
    """

    venue = VENUE

    def __init__(
        self,
        config: HyperliquidConfig,
        accounts: Iterable[AccountRef],
        *,
        http: HttpTransport,
        websocket: WebSocketTransport,
        clock: Clock,
        random: Random,
        sink: Callable[[list[Event]], None],
        budget: Budget | None = None,
    ) -> None:
        self.config = config
        self.budget = budget or Budget(VENUE, config.budget_limits(), config.ip_budget_share, clock)
        self.rest = HyperliquidRest(http, config.rest_url, self.budget, clock, timeout_s=config.request_timeout_s)
        self.failures: dict[str, int] = {}
        self._sink = sink
        self._clock = clock
        self._random = random
        self._shared = SharedReference(config.spot_assets)
        self._accounts = {ref.alias: AccountState(ref) for ref in checked(accounts)}
        self._asked: frozenset[str] = frozenset()
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._polled = PolledFeeds(config)
        self._resolving = self._resolving_loads()
        memory = Memory()
        self._market = self._protocol(memory)
        self._pushed = self._protocol(memory, on_full=self._venue_is_full)
        self.market_session = self._session("hyperliquid market", self._market, websocket)
        self.account_session = self._session("hyperliquid accounts", self._pushed, websocket, self._resync_pushed)
        self._slots = PushSlots(config, self.budget, self._pushed, self.account_session, self._polled)
        self._venue = self._venue_tender()
        self._tenders = {account.alias: self._tender(account) for account in self._accounts.values()}
        self._observers: dict[type, Callable[[Any], bool]] = {
            SectionsSnapshot: self._on_sections,
            WalletSnapshot: self._on_wallet,
            ModeReport: self._on_mode,
            Fill: self._on_fill,
            CashFlow: self._on_cash_flow,
            AccountChanged: self._on_change,
            FeedState: self._on_feed_state,
            VenueStatus: self._on_status,
        }

    # -- for the monitor ------------------------------------------------------------------------------------------------

    @property
    def reference(self) -> Reference:
        """Reference data as last loaded; empty before."""
        return self._shared.current

    async def run(self) -> None:
        """Watch until `stop`. Raises RuntimeError if it already runs."""
        if self._stopping:
            return
        if self._worker is not None:
            raise RuntimeError("the Hyperliquid connector already runs: make one connector for each network")
        self._worker = asyncio.create_task(self._work())
        try:
            await asyncio.wait({self._worker})
        finally:
            await cancel_all(self._worker)
        if not self._stopping:
            self._worker.result()

    async def stop(self) -> None:
        """Close the connections and end `run`; harmless when repeated."""
        self._stopping = True
        if self._worker is not None:
            await cancel_all(self._worker)

    def set_wanted(self, instruments: Iterable[str]) -> None:
        """Instruments whose marks the monitor wants, beside those that accounts hold."""
        self._asked = frozenset(instruments)
        self._want()

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose daily closes, and whose outcome markets' mids, the monitor wants."""
        self._resolving.watch_coins(coins)

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        """Margin ratio by account alias: the highest ones are pushed, the others polled."""
        self._slots.ratios = dict(ratios)

    def refresh(self, alias: str) -> None:
        """Refetch the account over REST as soon as debounce and budget allow; harmless for an unknown alias."""
        tender = self._tenders.get(alias)
        if tender is not None:
            tender.ask_refresh()

    def feed_states(self) -> list[FeedState]:
        """Every feed as it is now."""
        now_ns = self._clock.monotonic_ns()
        pushed = [state for state in self._pushed.feed_states(now_ns) if not self._is_bridged(state.account)]
        return [*self._market.feed_states(now_ns), *pushed, *self._polled.states(now_ns)]

    def describe(self) -> dict[str, Any]:
        """Connections, slots, budget and failures, for metrics and status pages."""
        accounts = self._accounts.values()
        return {
            "connections": {session.name: session.statistics for session in (self.market_session, self.account_session)},
            "push_slots": self._slots.policy.slots,
            "push_accounts": [account.alias for account in accounts if account.pushed],
            "polled_accounts": [account.alias for account in accounts if account.is_polled],
            "waiting_accounts": [account.alias for account in accounts if not account.admitted],
            "poll_period_s": self._poll_period_s(),
            "budget": self.budget.statistics(),
            "failures": dict(self.failures),
            "reference_stale": self._shared.stale,
            "instruments": len(self.reference.instruments),
            "wanted": len(self._shared.wanted),
            "outcomes": len(self._resolving.outcomes.markets),
        }

    # -- composition ----------------------------------------------------------------------------------------------------

    def _protocol(self, memory: Memory, on_full: Callable[[str], None] | None = None) -> HyperliquidProtocol:
        return HyperliquidProtocol(
            self._shared,
            memory,
            self.config.limits,
            heartbeat_interval_s=self.config.ping_interval_s,
            pong_timeout_s=self.config.pong_timeout_s,
            outcomes=self._resolving.outcomes if on_full is None else None,
            on_full=on_full,
        )

    def _session(
        self,
        name: str,
        protocol: HyperliquidProtocol,
        websocket: WebSocketTransport,
        resync: Callable[[], Awaitable[None]] | None = None,
    ) -> Session:
        return Session(
            name,
            self.config.ws_url,
            protocol,
            websocket,
            self._emit,
            clock=self._clock,
            random=self._random,
            budget=self.budget,
            resync=resync,
            tick_interval_s=TICK_S,
        )

    def _tender(self, account: AccountState) -> AccountTender:
        return AccountTender(
            account,
            self.config,
            self.rest,
            self._shared,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            poll_period_s=self._poll_period_s,
            busy=self.budget.used_ratio,
            fetched=self._on_fetched,
            wallet_read=self._on_wallet_read,
            failed=self._on_failed,
        )

    def _venue_tender(self) -> VenueTender:
        return VenueTender(
            self.config,
            self.rest,
            self._shared,
            self._polled,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            tell_polled=self._tell_polled,
            loaded=self._on_loaded,
            failed=self._on_failed,
            has_portfolio_margin=self._has_portfolio_margin,
        )

    def _resolving_loads(self) -> Resolving:
        return Resolving(
            self.config,
            self.rest,
            self._shared,
            self._polled,
            self.budget,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            tell_polled=self._tell_polled,
            failed=self._on_failed,
        )

    def _poll_period_s(self) -> float:
        return self._polled.period_s(self._accounts.values(), self.budget)

    async def _work(self) -> None:
        self._polled.begin(self._accounts.values(), self._clock.monotonic_ns())
        ticker = asyncio.create_task(self._ticker())
        try:
            await self._venue.until_loaded()
            self._market.watch_market(self._clock.monotonic_ns(), fast=self.config.use_fast_contexts)
            await self._all_tasks()
        finally:
            await cancel_all(ticker)

    async def _all_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.market_session.run())
            group.create_task(self._resolving.run())
            if self._accounts:
                group.create_task(self.account_session.run())
            for tender in self._tenders.values():
                group.create_task(tender.run())
            for loop in self._venue.loops():
                group.create_task(loop)

    # -- market, slots and polled feeds ---------------------------------------------------------------------------------

    def _has_portfolio_margin(self) -> bool:
        return any(account.uses_portfolio_margin for account in self._accounts.values())

    def _on_loaded(self) -> None:
        self._watch_spot(self._clock.monotonic_ns())

    def _watch_spot(self, now_ns: int) -> None:
        assets = {*self.config.spot_assets, *self.reference.collateral_assets()}
        self._market.watch_spot(sorted(self.reference.priced_pairs(assets)), now_ns)
        self.market_session.wake()

    async def _ticker(self) -> None:
        while True:
            now_ns = self._clock.monotonic_ns()
            self._slots.tick(self._accounts, now_ns)
            self._polled.tick(self._accounts.values(), self._poll_period_s(), now_ns)
            self._tell_polled()
            self._venue.notice()
            self._resolving.tick()
            self._watch_mids(now_ns)
            await self._clock.sleep(TICK_S)

    def _watch_mids(self, now_ns: int) -> None:
        held = set[str]().union(*(account.assets for account in self._accounts.values()))
        self._market.watch_mids(now_ns, wanted=self._resolving.wants_mids(held))

    def _tell_polled(self) -> None:
        changes = self._polled.changes(self._clock.monotonic_ns())
        if changes:
            self._sink([*changes])

    async def _resync_pushed(self) -> None:
        for alias in self._pushed.awaiting_resync:
            await self._tenders[alias].refetch()
            changes = self._pushed.resynced(alias, self._clock.monotonic_ns())
            self._emit([*changes])

    def _venue_is_full(self, alias: str) -> None:
        now_ns = self._clock.monotonic_ns()
        self._slots.refused(self._accounts[alias], now_ns)

    def _is_bridged(self, alias: str | None) -> bool:
        account = None if alias is None else self._accounts.get(alias)
        return account is not None and account.bridged

    # -- what goes by on its way to the monitor -------------------------------------------------------------------------

    def _emit(self, events: list[Event]) -> None:
        observers = self._observers
        told = [event for event in events if type(event) not in observers or observers[type(event)](event)]
        if told:
            self._sink(told)

    def _on_sections(self, event: SectionsSnapshot) -> bool:
        account = self._accounts[event.account]
        account.note_sections(event.sections, complete=event.complete)
        self._follow(account)
        return True

    def _on_wallet(self, event: WalletSnapshot) -> bool:
        account = self._accounts[event.account]
        before = account.assets
        account.note_wallet(event.wallet)
        if account.assets != before:
            self._want()
        return True

    def _on_status(self, event: VenueStatus) -> bool:
        self._resolving.venue_ahead_ms = event.time_ms - self._clock.time_ms()
        return True

    def _on_mode(self, event: ModeReport) -> bool:
        account = self._accounts[event.account]
        is_portfolio_margin = event.mode == PORTFOLIO_MARGIN
        if account.admitted and is_portfolio_margin != account.uses_portfolio_margin:
            # Only the wallet over REST says it for sure; what the venue says here is the moment to ask.
            self.refresh(event.account)
        return True

    def _on_fill(self, event: Fill) -> bool:
        if event.instrument is not None and not event.snapshot:
            self._touch(event.account, dex_of(event.instrument.partition(":")[2]))
        return True

    def _on_cash_flow(self, event: CashFlow) -> bool:
        if event.section is not None and not event.snapshot:
            self._touch(event.account, event.section)
        return True

    def _touch(self, alias: str, dex: str) -> None:
        if dex in self.reference.dexs:
            self._accounts[alias].touched.add(dex)

    def _on_change(self, event: AccountChanged) -> bool:
        self.refresh(event.account)
        return True

    def _on_feed_state(self, event: FeedState) -> bool:
        account = None if event.account is None else self._accounts.get(event.account)
        return account is None or self._slots.may_tell(account, event)

    def _on_fetched(self, account: AccountState) -> None:
        now_ns = self._clock.monotonic_ns()
        self._polled.heard_account(account, now_ns)
        self._tell_polled()
        self._follow(account)

    def _on_wallet_read(self, account: AccountState) -> None:
        self._polled.heard(WALLET_FEED, account.alias, self._clock.monotonic_ns())
        self._tell_polled()

    def _on_failed(self, what: str, failure: ConnectorError) -> None:
        key = f"{what}:{failure.kind}"
        self.failures[key] = self.failures.get(key, 0) + 1
        level = logging.WARNING if self.failures[key] == 1 else logging.DEBUG
        _log.log(level, "%s failed, trying again: %s (%s)", what, failure, failure.kind)

    def _follow(self, account: AccountState) -> None:
        if not account.instruments <= self._shared.wanted:
            self._want()
        if account.pushed:
            self._pushed.watch_orders(account.watched, account.dexs_in_use[1:], self._clock.monotonic_ns())
            self.account_session.wake()

    def _want(self) -> None:
        accounts = self._accounts.values()
        held = set[str]().union(*(account.instruments for account in accounts))
        assets = set[str]().union(*(account.assets for account in accounts))
        self._shared.want(self._asked | held, assets)


def checked(accounts: Iterable[AccountRef]) -> list[AccountRef]:
    """The accounts as given. Raises ValueError for a malformed address, and for two accounts of one alias or one address."""
    found = list(accounts)
    aliases = [ref.alias for ref in found]
    for ref in found:
        if not _ADDRESS.fullmatch(ref.address):
            raise ValueError(f"the address of account {ref.alias} is none: use 0x and 40 hexadecimal digits")
        if aliases.count(ref.alias) > 1:
            raise ValueError(f"two Hyperliquid accounts are called {ref.alias}: give each its own alias")
        twins = [other.alias for other in found if other.address.lower() == ref.address.lower()]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one address: keep one of them")
    return found
