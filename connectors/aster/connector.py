"""The venue as the monitor sees it: reference data, marks, accounts with their user streams, and the venue's own health.

One connection carries all marks, one more each account's pushes; REST reads confirm them, all of it within one budget of this address.
Nothing here ends by itself: what fails is said through feed states and tried again. `websocket` has to ping by itself, as neither
stream has a heartbeat of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from random import Random
from typing import Any

from connectors.aster.accounts import AccountState, Urgency
from connectors.aster.errors import CredentialError
from connectors.aster.feeds import AccountFeeds
from connectors.aster.market import SharedMarket
from connectors.aster.polling import Paces, paces
from connectors.aster.protocol import MARK_STREAM, MarketProtocol
from connectors.aster.reference import Reference
from connectors.aster.resolving import Resolving
from connectors.aster.rest import AccountRest, AsterRest
from connectors.aster.settings import VENUE, AsterAccountRef, AsterConfig, checked
from connectors.aster.signing import Nonces, VenueClock, signer_of
from connectors.aster.tender import AccountTender
from connectors.aster.venue import VenueTender
from connectors.clock import Clock, cancel_all
from connectors.errors import ConnectorError
from connectors.events import Event, FeedState, FuturesSnapshot
from connectors.ratelimit import Budget
from connectors.roster import Roster
from connectors.session import Session, Sink
from connectors.tasks import Tasks
from connectors.transport import HttpTransport, WebSocketTransport

TICK_S = 1.0
MOST_WHOLE_READS = 3
"""Accounts whose modes are read at the same time."""

_log = logging.getLogger("connectors.aster")


class AsterConnector:
    """Everything about one Aster network. `sink` gets events in order, never an empty list.

    `run` never returns before `stop`. `budget` may be given to share one address between several connectors. Raises ValueError
    for accounts that `checked` refuses, and for keys that are malformed.
    """

    venue = VENUE

    def __init__(
        self,
        config: AsterConfig,
        accounts: Iterable[AsterAccountRef],
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
        self.venue_clock = VenueClock(clock)
        self.rest = AsterRest(http, config, self.budget, self.venue_clock, clock)
        self.failures: dict[str, int] = {}
        self._sink = sink
        self._clock = clock
        self._random = random
        self._websocket = websocket
        self._shared = SharedMarket()
        self._asked: frozenset[str] = frozenset()
        self._held: dict[str, set[str]] = {}
        self._ratios: Mapping[str, float] = {}
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._market = MarketProtocol(self._shared, self.venue_clock, config.marks_stale_s, clock.monotonic_ns())
        self.market_session = self._market_session()
        self._venue = self._venue_tender()
        self._resolving = self._resolving_loads()
        self._nonces = Nonces(self.venue_clock)
        self._turns = asyncio.Semaphore(MOST_WHOLE_READS)
        self._tasks = Tasks(VENUE)
        self._roster: Roster[AsterAccountRef, AccountTender] = Roster(VENUE, self._tasks, self._emit, join=self._tender, leave=self._leave)
        self._roster.set(checked(accounts))
        self._paces = self._current_paces(clock.monotonic_ns())

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
            raise RuntimeError("the Aster connector already runs: make one connector for each network")
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

    def set_accounts(self, accounts: Iterable[AsterAccountRef]) -> None:
        """Watch these accounts from now on: new ones are read and pushed, missing ones left, the others untouched.

        One whose content differs is left and begins anew. Of those left every feed told is told as dropped, and nothing after this.
        Raises ValueError for accounts that `checked` refuses, and for keys that are malformed, with nothing changed.
        """
        dropped = self._roster.set(checked(accounts))
        self._want()
        self._paces = self._current_paces(self._clock.monotonic_ns())
        if dropped:
            self._sink([*dropped])

    def set_wanted(self, instruments: Iterable[str]) -> None:
        """Instruments whose marks the monitor wants, beside those that accounts hold and those that price collateral."""
        self._asked = frozenset(instruments)
        self._want()

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose daily closes the monitor wants."""
        self._resolving.watch_coins(coins)

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        """Margin ratio by account alias: those near their limit are read more often."""
        self._ratios = dict(ratios)

    def refresh(self, alias: str) -> None:
        """Read the account again as soon as debounce and budget allow; harmless for an unknown alias."""
        tender = self._roster.members.get(alias)
        if tender is not None:
            tender.ask(Urgency.NOW)

    def feed_states(self) -> list[FeedState]:
        """Every feed as it is now."""
        now_ns = self._clock.monotonic_ns()
        accounts = [state for account in self._accounts for state in account.feeds.states(now_ns)]
        return [*self._market.feed_states(now_ns), *self._venue.feed_states(now_ns), *accounts]

    def describe(self) -> dict[str, Any]:
        """Connections, accounts, budget, clock and failures, for metrics and status pages."""
        accounts, tenders = self._accounts, self._roster.members.values()
        return {
            "connections": {session.name: session.statistics for session in (self.market_session, *(one.session for one in tenders))},
            "push_accounts": [account.alias for account in accounts if account.feeds.listening],
            "polled_accounts": [account.alias for account in accounts if not account.feeds.listening and account.merge.complete],
            "waiting_accounts": [account.alias for account in accounts if not account.merge.complete],
            "poll_period_s": self._paces.poll_s,
            "read_periods_s": dict(self._paces.reads),
            "budget": self.budget.statistics(),
            "failures": dict(self.failures),
            "reference_stale": self._shared.stale,
            "instruments": len(self.reference.symbols),
            "wanted": len(self._shared.wanted),
            "clock_offset_ms": self.venue_clock.offset_ms,
            "clock_age_s": self.venue_clock.age_s() if self.venue_clock.age_s() < inf else None,
            "corrections": {account.alias: account.merge.corrections for account in accounts},
        }

    # -- composition ----------------------------------------------------------------------------------------------------

    @property
    def _accounts(self) -> list[AccountState]:
        return [tender.account for tender in self._roster.members.values()]

    def _market_session(self) -> Session:
        return Session(
            "aster market",
            f"{self.config.ws_url}/ws/{MARK_STREAM}",
            self._market,
            self._websocket,
            self._emit,
            clock=self._clock,
            random=self._random,
            budget=self.budget,
            rotate_after_s=lambda: self._random.uniform(*self.config.rotate_after_s),
        )

    def _venue_tender(self) -> VenueTender:
        return VenueTender(
            self.config,
            self.rest,
            self._shared,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            signers=self._signers,
            loaded=self._on_loaded,
            failed=self._on_failed,
        )

    def _resolving_loads(self) -> Resolving:
        return Resolving(
            self.config,
            self.rest,
            self._shared,
            self.budget,
            self.venue_clock,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            failed=self._on_failed,
        )

    def _tender(self, ref: AsterAccountRef, emit: Sink) -> AccountTender:
        config = self.config
        try:
            signer = signer_of(ref, config, self._nonces, self.venue_clock)
        except CredentialError as problem:
            raise ValueError(str(problem)) from None
        feeds = AccountFeeds(ref.alias, poll_s=config.poll_s, reconcile_s=config.reconcile_s, now_ns=self._clock.monotonic_ns())
        return AccountTender(
            AccountState(ref, feeds),
            config,
            AccountRest(self.rest, signer, ref.alias),
            signer,
            self._shared,
            self.venue_clock,
            websocket=self._websocket,
            budget=self.budget,
            clock=self._clock,
            random=self._random,
            emit=emit,
            turns=self._turns,
            judged=self._venue.keys_checked,
            failed=self._on_failed,
        )

    def _leave(self, tender: AccountTender) -> None:
        alias = tender.account.alias
        self._held.pop(alias, None)
        self._ratios = {other: ratio for other, ratio in self._ratios.items() if other != alias}

    async def _work(self) -> None:
        self._tasks.add("ticker", self._ticker)
        self._tasks.add("venue", self._venue.run)
        self._tasks.add("market", self.market_session.run)
        self._tasks.add("resolving", self._resolving.run)
        self._roster.begin()
        await self._tasks.run()

    async def _ticker(self) -> None:
        while True:
            try:
                self._tick(self._clock.monotonic_ns())
            except Exception as defect:
                # A defect must not end the watch; its type is told, its text may quote a payload.
                _log.error("a tick of aster failed: internal error %s", type(defect).__name__)
            await self._clock.sleep(TICK_S)

    def _tick(self, now_ns: int) -> None:
        self._paces = self._current_paces(now_ns)
        events = self._venue.tick(now_ns)
        for tender in self._roster.members.values():
            events += tender.tick(self._paces, now_ns)
        if events:
            self._roster.note(events)
            self._sink(events)

    def _current_paces(self, now_ns: int) -> Paces:
        needs = [account.need(self._ratios.get(account.alias, 0.0), now_ns) for account in self._accounts if account.admitted]
        return paces(needs, self.budget.statistics().weight_limit, self.config)

    # -- what goes by on its way to the monitor -------------------------------------------------------------------------

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, FuturesSnapshot):
                self._follow(event)
        self._roster.note(events)
        self._sink(events)

    def _follow(self, event: FuturesSnapshot) -> None:
        held = {position.instrument for position in event.state.positions}
        if held != self._held.get(event.account):
            self._held[event.account] = held
            self._want()

    def _want(self) -> None:
        self._shared.want(self._asked.union(*self._held.values()))

    def _signers(self) -> Sequence[AccountRest] | None:
        admitted = [tender.rest for tender in self._roster.members.values() if tender.account.admitted]
        return admitted if admitted or all(account.checked for account in self._accounts) else None

    def _on_loaded(self) -> None:
        self._resolving.begin()
        for tender in self._roster.members.values():
            tender.begin()

    def _on_failed(self, what: str, failure: ConnectorError) -> None:
        key = f"{what}:{failure.kind}"
        self.failures[key] = self.failures.get(key, 0) + 1
        level = logging.WARNING if self.failures[key] == 1 else logging.DEBUG
        _log.log(level, "%s failed, trying again: %s (%s)", what, failure, failure.kind)
