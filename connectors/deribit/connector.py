"""The venue as the monitor sees it: one connection for everything public, one more for each account.

Nothing here ends by itself: what fails is said through feed states and tried again. What accounts hold is wanted of the public market too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from connectors.backoff import Backoff
from connectors.clock import Clock, cancel_all
from connectors.deribit.private import PrivateProtocol
from connectors.deribit.protocol import MarketProtocol
from connectors.deribit.reference import ExpiryKey, Reference
from connectors.deribit.settings import VENUE, DeribitAccountRef, DeribitConfig, checked
from connectors.deribit.venue_time import VenueTime
from connectors.deribit.wishes import Wishes
from connectors.events import Event, FeedState, SummarySnapshot
from connectors.ratelimit import Budget
from connectors.roster import Roster
from connectors.session import Session, Sink
from connectors.tasks import Tasks
from connectors.transport import WebSocketTransport

RECONNECT = Backoff(initial=1.0, maximum=60.0)
TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class AccountConnection:
    """The connection of one account, and what is said on it."""

    protocol: PrivateProtocol
    session: Session

    async def run(self) -> None:
        """Stay connected, for ever."""
        await self.session.run()


class DeribitConnector:
    """Everything about one Deribit network. `sink` gets events in order, never an empty list.

    `run` never returns before `stop`. `budget` may be given to share one address between several connectors. Raises ValueError for
    accounts that `checked` refuses.
    """

    venue = VENUE

    def __init__(
        self,
        config: DeribitConfig,
        accounts: Iterable[DeribitAccountRef],
        *,
        websocket: WebSocketTransport,
        clock: Clock,
        random: Random,
        sink: Callable[[list[Event]], None],
        budget: Budget | None = None,
    ) -> None:
        self.config = config
        self.budget = budget or Budget(VENUE, config.budget_limits(), 1.0, clock)
        self.reference = Reference()
        self._sink = sink
        self._clock = clock
        self._random = random
        self._websocket = websocket
        self._venue_time = VenueTime(clock)
        self._coins: frozenset[str] = frozenset()
        self._asked: frozenset[str] = frozenset()
        self._expiries: frozenset[ExpiryKey] = frozenset()
        self._held: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        """By account: instruments with a position, and currencies that are collateral of a cross model."""
        self._worker: asyncio.Task[None] | None = None
        self._stopping = False
        self._market = MarketProtocol(config, self.reference, self._venue_time, random, clock.monotonic_ns())
        self.market_session = self._session("deribit market", self._market, self._emit)
        self._tasks = Tasks(VENUE)
        self._roster: Roster[DeribitAccountRef, AccountConnection] = Roster(
            VENUE, self._tasks, self._emit, join=self._join, leave=self._leave
        )
        self._roster.set(checked(accounts))

    # -- for the monitor ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch until `stop`. Raises RuntimeError if it already runs."""
        if self._stopping:
            return
        if self._worker is not None:
            raise RuntimeError("the Deribit connector already runs: make one connector for each network")
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

    def set_accounts(self, accounts: Iterable[DeribitAccountRef]) -> None:
        """Watch these accounts from now on: new ones are read and pushed, missing ones left, the others untouched.

        One whose content differs is left and begins anew. Of those left every feed told is told as dropped, and nothing after this.
        Raises ValueError for accounts that `checked` refuses, with nothing changed.
        """
        dropped = self._roster.set(checked(accounts))
        self._wish()
        if dropped:
            self._sink([*dropped])

    def set_wanted(self, instruments: Iterable[str]) -> None:
        """Instruments the monitor wants volatilities, forwards or marks of, beside those that accounts hold."""
        self._asked = frozenset(instruments)
        self._wish()

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose chains and indices the monitor wants, whatever is held; those of the settings stay."""
        self._coins = frozenset(coins)
        self._wish()

    def watch_expiries(self, expiries: Iterable[ExpiryKey]) -> None:
        """Expiries (coin, settlement, ms) whose forward the monitor wants, beside those of held options."""
        self._expiries = frozenset(expiries)
        self._wish()

    def set_priorities(self, ratios: Mapping[str, float]) -> None:
        """Nothing depends on it: accounts are pushed, and read at one period."""

    def refresh(self, alias: str) -> None:
        """Read the account again now; harmless for an unknown alias."""
        account = self._roster.members.get(alias)
        if account is not None:
            account.protocol.refresh(self._clock.monotonic_ns())

    def feed_states(self) -> list[FeedState]:
        """Every feed as it is now."""
        now_ns = self._clock.monotonic_ns()
        accounts = [state for account in self._roster.members.values() for state in account.protocol.feed_states(now_ns)]
        return [*self._market.feed_states(now_ns), *accounts]

    def describe(self) -> dict[str, Any]:
        """Connections, chains, listing and subscriptions, for metrics and status pages."""
        market, sessions = self._market, (self.market_session, *(one.session for one in self._roster.members.values()))
        return {
            "connections": {session.name: session.statistics for session in sessions},
            "budget": self.budget.statistics(),
            "coins": sorted(market.coins),
            "instruments": len(self.reference.by_name),
            "channels": len(market.subscriptions.granted),
            "refused_channels": dict(market.subscriptions.refused),
            "chains": {
                index: {"options": len(chain), "refused": dict(chain.refused), "jumps": chain.jumps, "expired": chain.expired}
                for index, chain in market.chains.items()
            },
            "listing_reasons": dict(market.listing.reasons),
            "clock_known": self._venue_time.known,
        }

    # -- composition ----------------------------------------------------------------------------------------------------

    def _join(self, ref: DeribitAccountRef, emit: Sink) -> AccountConnection:
        protocol = PrivateProtocol(ref, self.config, self.reference, self._venue_time, self._random, self._clock.monotonic_ns())
        return AccountConnection(protocol, self._session(f"deribit {ref.alias}", protocol, emit))

    def _leave(self, account: AccountConnection) -> None:
        self._held.pop(account.protocol.alias, None)

    def _session(self, name: str, protocol: MarketProtocol | PrivateProtocol, emit: Sink) -> Session:
        session = Session(
            name,
            self.config.ws_url,
            protocol,
            self._websocket,
            emit,
            clock=self._clock,
            random=self._random,
            budget=self.budget,
            backoff=RECONNECT,
            tick_interval_s=TICK_S,
        )
        protocol.rpc.wake = session.wake
        return session

    async def _work(self) -> None:
        self._tasks.add("market", self.market_session.run)
        self._roster.begin()
        await self._tasks.run()

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SummarySnapshot):
                self._follow(event)
        self._roster.note(events)
        self._sink(events)

    def _follow(self, event: SummarySnapshot) -> None:
        instruments = frozenset(position.instrument for position in event.state.positions)
        held = instruments, frozenset(row.currency for row in event.state.summaries if row.is_cross and row.equity != 0.0)
        if held != self._held.get(event.account):
            self._held[event.account] = held
            self._wish()

    def _wish(self) -> None:
        instruments = self._asked.union(*(held for held, _ in self._held.values()))
        coins = self._coins.union(*(collateral for _, collateral in self._held.values()))
        self._market.wish(Wishes(coins, instruments, self._expiries), self._clock.monotonic_ns())
