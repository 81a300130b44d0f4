"""The venue as the monitor sees it: reference data, market feeds, accounts pushed or polled, and the venue's own health.

Two connections: one for the market, one for the accounts that hold a push slot; everything else is REST, all of it within one
budget of this address. Nothing here ends by itself: what fails is said through feed states and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import Any

from connectors.clock import Clock, cancel_all
from connectors.errors import ConnectorError
from connectors.events import Event, FeedState
from connectors.hyperliquid.accounts import AccountState
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.memory import Memory
from connectors.hyperliquid.passing import PassingEvents
from connectors.hyperliquid.polling import WALLET_FEED, PolledFeeds
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.push import PushSlots
from connectors.hyperliquid.reference import VENUE, Reference
from connectors.hyperliquid.resolving import Resolving
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig, checked
from connectors.hyperliquid.tender import AccountTender
from connectors.hyperliquid.venue import VenueTender
from connectors.ratelimit import Budget
from connectors.roster import Roster
from connectors.session import Session, Sink
from connectors.tasks import Tasks
from connectors.transport import HttpTransport, WebSocketTransport

TICK_S = 1.0

ACCOUNTS_TASK = "accounts"

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
        self._accounts: dict[str, AccountState] = {}
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._polled = PolledFeeds(config)
        self._resolving = self._resolving_loads()
        self._memory = Memory()
        self._market = self._protocol()
        self._pushed = self._protocol(on_full=self._venue_is_full)
        self.market_session = self._session("hyperliquid market", self._market, websocket)
        self.account_session = self._session("hyperliquid accounts", self._pushed, websocket, self._resync_pushed)
        self._slots = PushSlots(config, self.budget, self._pushed, self.account_session, self._polled)
        self._venue = self._venue_tender()
        self._passing = self._passing_events()
        self._tasks = Tasks(VENUE)
        self._roster: Roster[AccountRef, AccountTender] = Roster(VENUE, self._tasks, self._emit, join=self._tender, leave=self._leave)
        self.set_accounts(accounts)

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
        if not self._stopping:
            self._slots.end(self._accounts)
        self._stopping = True
        if self._worker is not None:
            await cancel_all(self._worker)

    def set_accounts(self, accounts: Iterable[AccountRef]) -> None:
        """Watch these accounts from now on: new ones are read and pushed, missing ones left, the others untouched.

        One whose content differs is left and begins anew. Of those left every feed told is told as dropped, and nothing after this.
        Their push slots are free at once; the connection for accounts stays. Raises ValueError for accounts that `checked` refuses,
        with nothing changed.
        """
        dropped = self._roster.set(checked(accounts))
        # The same dictionary: all parts of the connector look at it.
        self._accounts.clear()
        self._accounts.update({alias: tender.account for alias, tender in self._roster.members.items()})
        self._passing.want()
        if self._worker is not None:
            self._polled.tick(self._accounts.values(), self._poll_period_s(), self._clock.monotonic_ns())
        if self._roster.begun:
            self._begin_pushing()
        if dropped:
            self._sink([*dropped])

    def set_wanted(self, instruments: Iterable[str]) -> None:
        """Instruments whose marks the monitor wants, beside those that accounts hold."""
        self._passing.asked = frozenset(instruments)
        self._passing.want()

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose daily closes, and whose outcome markets' mids, the monitor wants."""
        self._resolving.watch_coins(coins)

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        """Margin ratio by account alias: the highest ones are pushed, the others polled."""
        self._slots.ratios = dict(ratios)

    def refresh(self, alias: str) -> None:
        """Refetch the account over REST as soon as debounce and budget allow; harmless for an unknown alias."""
        tender = self._roster.members.get(alias)
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

    def _protocol(self, on_full: Callable[[str], None] | None = None) -> HyperliquidProtocol:
        return HyperliquidProtocol(
            self._shared,
            self._memory,
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

    def _passing_events(self) -> PassingEvents:
        return PassingEvents(
            self._accounts,
            self._shared,
            self._resolving,
            self._slots,
            self._pushed,
            self.account_session,
            clock=self._clock,
            refresh=self.refresh,
        )

    def _tender(self, ref: AccountRef, emit: Sink) -> AccountTender:
        return AccountTender(
            AccountState(ref),
            self.config,
            self.rest,
            self._shared,
            clock=self._clock,
            random=self._random,
            emit=emit,
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
        self._tasks.add("market", self.market_session.run)
        self._tasks.add("resolving", self._resolving.run)
        self._begin_pushing()
        self._roster.begin()
        for name, loop in self._venue.loops().items():
            self._tasks.add(name, loop)
        await self._tasks.run()

    def _begin_pushing(self) -> None:
        if self._accounts and ACCOUNTS_TASK not in self._tasks:
            self._tasks.add(ACCOUNTS_TASK, self.account_session.run)

    def _leave(self, tender: AccountTender) -> None:
        self._slots.leave(tender.account)
        self._polled.leave(tender.account)
        self._memory.forget(tender.account.alias)

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
            self._roster.note(changes)
            self._sink([*changes])

    async def _resync_pushed(self) -> None:
        for alias in self._pushed.awaiting_resync:
            tender = self._roster.members.get(alias)
            # It may have gone while others were fetched.
            if tender is not None:
                await tender.refetch()
                self._emit([*self._pushed.resynced(alias, self._clock.monotonic_ns())])

    def _venue_is_full(self, alias: str) -> None:
        now_ns = self._clock.monotonic_ns()
        self._slots.refused(self._accounts[alias], now_ns)

    def _is_bridged(self, alias: str | None) -> bool:
        account = None if alias is None else self._accounts.get(alias)
        return account is not None and account.bridged

    # -- events and what becomes of them --------------------------------------------------------------------------------

    def _emit(self, events: list[Event]) -> None:
        told = self._passing.look(events)
        if told:
            self._roster.note(told)
            self._sink(told)

    def _is_watched(self, account: AccountState) -> bool:
        return self._accounts.get(account.alias) is account

    def _on_fetched(self, account: AccountState) -> None:
        if self._is_watched(account):
            self._polled.heard_account(account, self._clock.monotonic_ns())
            self._tell_polled()
            self._passing.follow(account)

    def _on_wallet_read(self, account: AccountState) -> None:
        if self._is_watched(account):
            self._polled.heard(WALLET_FEED, account.alias, self._clock.monotonic_ns())
            self._tell_polled()

    def _on_failed(self, what: str, failure: ConnectorError) -> None:
        key = f"{what}:{failure.kind}"
        self.failures[key] = self.failures.get(key, 0) + 1
        level = logging.WARNING if self.failures[key] == 1 else logging.DEBUG
        _log.log(level, "%s failed, trying again: %s (%s)", what, failure, failure.kind)
