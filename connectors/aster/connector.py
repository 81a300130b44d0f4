"""The venue as the monitor sees it: reference data, marks, accounts with their user streams, and the venue's own health.

One connection carries all marks, one more each account's pushes; REST reads confirm them, all of it within one budget of this address.
Nothing here ends by itself: what fails is said through feed states and tried again. `websocket` has to ping by itself, as neither
stream has a heartbeat of its own.
"""

from __future__ import annotations

import asyncio
import logging
import re
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
from connectors.aster.settings import VENUE, AgentKey, AsterAccountRef, AsterConfig
from connectors.aster.signing import Nonces, VenueClock, signer_of
from connectors.aster.tender import AccountTender
from connectors.aster.venue import VenueTender
from connectors.clock import Clock, cancel_all
from connectors.errors import ConnectorError
from connectors.events import Event, FeedState, FuturesSnapshot
from connectors.ratelimit import Budget
from connectors.session import Session
from connectors.transport import HttpTransport, WebSocketTransport

TICK_S = 1.0
MOST_WHOLE_READS = 3
"""Accounts whose modes are read at the same time."""

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")
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
        self._shared = SharedMarket()
        self._asked: frozenset[str] = frozenset()
        self._held: dict[str, set[str]] = {}
        self._ratios: Mapping[str, float] = {}
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._market = MarketProtocol(self._shared, self.venue_clock, config.marks_stale_s, clock.monotonic_ns())
        self.market_session = self._market_session(websocket)
        self._venue = self._venue_tender()
        self._resolving = self._resolving_loads()
        nonces = Nonces(self.venue_clock)
        self._turns = asyncio.Semaphore(MOST_WHOLE_READS)
        self._tenders = {ref.alias: self._tender(ref, nonces, websocket) for ref in checked(accounts)}
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
        tender = self._tenders.get(alias)
        if tender is not None:
            tender.ask(Urgency.NOW)

    def feed_states(self) -> list[FeedState]:
        """Every feed as it is now."""
        now_ns = self._clock.monotonic_ns()
        accounts = [state for account in self._accounts for state in account.feeds.states(now_ns)]
        return [*self._market.feed_states(now_ns), *self._venue.feed_states(now_ns), *accounts]

    def describe(self) -> dict[str, Any]:
        """Connections, accounts, budget, clock and failures, for metrics and status pages."""
        accounts, tenders = self._accounts, self._tenders.values()
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
        return [tender.account for tender in self._tenders.values()]

    def _market_session(self, websocket: WebSocketTransport) -> Session:
        return Session(
            "aster market",
            f"{self.config.ws_url}/ws/{MARK_STREAM}",
            self._market,
            websocket,
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

    def _tender(self, ref: AsterAccountRef, nonces: Nonces, websocket: WebSocketTransport) -> AccountTender:
        config = self.config
        try:
            signer = signer_of(ref, config, nonces, self.venue_clock)
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
            websocket=websocket,
            budget=self.budget,
            clock=self._clock,
            random=self._random,
            emit=self._emit,
            turns=self._turns,
            judged=self._venue.keys_checked,
            failed=self._on_failed,
        )

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ticker())
            group.create_task(self._venue.run())
            group.create_task(self.market_session.run())
            group.create_task(self._resolving.run())
            for tender in self._tenders.values():
                group.create_task(tender.run())

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
        for tender in self._tenders.values():
            events += tender.tick(self._paces, now_ns)
        if events:
            self._sink(events)

    def _current_paces(self, now_ns: int) -> Paces:
        needs = [account.need(self._ratios.get(account.alias, 0.0), now_ns) for account in self._accounts if account.admitted]
        return paces(needs, self.budget.statistics().weight_limit, self.config)

    # -- what goes by on its way to the monitor -------------------------------------------------------------------------

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, FuturesSnapshot):
                self._follow(event)
        self._sink(events)

    def _follow(self, event: FuturesSnapshot) -> None:
        held = {position.instrument for position in event.state.positions}
        if held != self._held.get(event.account):
            self._held[event.account] = held
            self._want()

    def _want(self) -> None:
        self._shared.want(self._asked.union(*self._held.values()))

    def _signers(self) -> Sequence[AccountRest] | None:
        admitted = [tender.rest for tender in self._tenders.values() if tender.account.admitted]
        return admitted if admitted or all(account.checked for account in self._accounts) else None

    def _on_loaded(self) -> None:
        self._resolving.begin()
        for tender in self._tenders.values():
            tender.begin()

    def _on_failed(self, what: str, failure: ConnectorError) -> None:
        key = f"{what}:{failure.kind}"
        self.failures[key] = self.failures.get(key, 0) + 1
        level = logging.WARNING if self.failures[key] == 1 else logging.DEBUG
        _log.log(level, "%s failed, trying again: %s (%s)", what, failure, failure.kind)


def checked(accounts: Iterable[AsterAccountRef]) -> list[AsterAccountRef]:
    """The accounts as given. Raises ValueError for a malformed address, and for two accounts of one alias or one address."""
    found = list(accounts)
    aliases = [ref.alias for ref in found]
    for ref in found:
        if aliases.count(ref.alias) > 1:
            raise ValueError(f"two Aster accounts are called {ref.alias}: give each its own alias")
        if ref.user is None:
            if isinstance(ref.credential, AgentKey):
                raise ValueError(f"account {ref.alias} has no address: an agent's key needs that of the account it reads")
            continue
        if not _ADDRESS.fullmatch(ref.user):
            raise ValueError(f"the address of account {ref.alias} is none: use 0x and 40 hexadecimal digits")
        twins = [other.alias for other in found if other.user is not None and other.user.lower() == ref.user.lower()]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one address: keep one of them")
    return found
