"""The venue as the monitor sees it: one connection for everything public, one more for each account.

Nothing here ends by itself: what fails is said through feed states and tried again. What accounts hold is wanted of the public market too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from connectors.backoff import Backoff
from connectors.clock import Clock, cancel_all
from connectors.deribit.private import PrivateProtocol
from connectors.deribit.protocol import MarketProtocol
from connectors.deribit.reference import ExpiryKey, Reference
from connectors.deribit.settings import VENUE, DeribitAccountRef, DeribitConfig
from connectors.deribit.venue_time import VenueTime
from connectors.deribit.wishes import Wishes
from connectors.events import Event, FeedState, SummarySnapshot
from connectors.ratelimit import Budget
from connectors.session import Session
from connectors.transport import WebSocketTransport

RECONNECT = Backoff(initial=1.0, maximum=60.0)
TICK_S = 0.5


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
        now_ns = clock.monotonic_ns()
        self._market = MarketProtocol(config, self.reference, self._venue_time, random, now_ns)
        self.market_session = self._session("deribit market", self._market)
        self._accounts = {
            ref.alias: PrivateProtocol(ref, config, self.reference, self._venue_time, random, now_ns) for ref in checked(accounts)
        }
        self.account_sessions = {alias: self._session(f"deribit {alias}", account) for alias, account in self._accounts.items()}

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
        account = self._accounts.get(alias)
        if account is not None:
            account.refresh(self._clock.monotonic_ns())

    def feed_states(self) -> list[FeedState]:
        """Every feed as it is now."""
        now_ns = self._clock.monotonic_ns()
        accounts = [state for account in self._accounts.values() for state in account.feed_states(now_ns)]
        return [*self._market.feed_states(now_ns), *accounts]

    def describe(self) -> dict[str, Any]:
        """Connections, chains, listing and subscriptions, for metrics and status pages."""
        market, sessions = self._market, (self.market_session, *self.account_sessions.values())
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

    def _session(self, name: str, protocol: MarketProtocol | PrivateProtocol) -> Session:
        session = Session(
            name,
            self.config.ws_url,
            protocol,
            self._websocket,
            self._emit,
            clock=self._clock,
            random=self._random,
            budget=self.budget,
            backoff=RECONNECT,
            tick_interval_s=TICK_S,
        )
        protocol.rpc.wake = session.wake
        return session

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.market_session.run())
            for session in self.account_sessions.values():
                group.create_task(session.run())

    def _emit(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, SummarySnapshot):
                self._follow(event)
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


def checked(accounts: Iterable[DeribitAccountRef]) -> list[DeribitAccountRef]:
    """The accounts as given. Raises ValueError for two of one alias or one key, and for a key that is empty."""
    found = list(accounts)
    for ref in found:
        if not ref.client_id or not ref.client_secret:
            raise ValueError(f"account {ref.alias} has no client_id or no client_secret: make a read-only API key and configure both")
        if [other.alias for other in found].count(ref.alias) > 1:
            raise ValueError(f"two Deribit accounts are called {ref.alias}: give each its own alias")
        twins = [other.alias for other in found if other.client_id == ref.client_id]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one key: keep one of them")
    return found
