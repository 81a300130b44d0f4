"""What is asked of the venue itself, beside its accounts: reference data, its health and clock, the lending pools."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from connectors.backoff import Backoff, BackoffState
from connectors.clock import Clock, wait_for
from connectors.errors import ConnectorError
from connectors.events import BorrowReserves, Event, VenueStatus
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.polling import REFERENCE_FEED, RESERVES_FEED, STATUS_FEED, PolledFeeds
from connectors.hyperliquid.reference import VENUE
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import HyperliquidConfig

LEAST_RETRY_S = 0.5
REFERENCE_GAP_S = 30.0
MOST_REFERENCE_GAP_S = 300.0


class VenueTender:
    """Polls of one network that belong to no account. `tell_polled` is called when the freshness of a feed may have changed,
    `loaded` after new reference data, `failed` with the feed and error of a poll that failed.
    """

    def __init__(
        self,
        config: HyperliquidConfig,
        rest: HyperliquidRest,
        shared: SharedReference,
        polled: PolledFeeds,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        tell_polled: Callable[[], None],
        loaded: Callable[[], None],
        failed: Callable[[str, ConnectorError], None],
        has_portfolio_margin: Callable[[], bool],
    ) -> None:
        self._config = config
        self._rest = rest
        self._shared = shared
        self._polled = polled
        self._clock = clock
        self._random = random
        self._emit = emit
        self._tell_polled = tell_polled
        self._loaded = loaded
        self._failed = failed
        self._has_portfolio_margin = has_portfolio_margin
        self._reference_wake = asyncio.Event()
        self._reserves_wake = asyncio.Event()

    async def until_loaded(self) -> None:
        """Load the reference data, trying until it succeeds."""
        retry = BackoffState(Backoff(), self._random)
        while not await self._attempt(REFERENCE_FEED, self._load_reference):
            await self._clock.sleep(max(LEAST_RETRY_S, retry.next_delay()))

    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """The never-ending polls by feed, to be run as tasks."""
        config = self._config
        return {
            REFERENCE_FEED: self._reference_loop,
            STATUS_FEED: partial(self._every, STATUS_FEED, config.status_poll_s, self._ask_status, asyncio.Event()),
            RESERVES_FEED: partial(self._every, RESERVES_FEED, config.reserve_poll_s, self._ask_reserves, self._reserves_wake),
        }

    def notice(self) -> None:
        """Look whether reference data or lending pools are needed sooner than their turn."""
        if self._shared.stale is not None:
            self._reference_wake.set()
        if self._has_portfolio_margin() and not self._polled.expects(RESERVES_FEED):
            self._reserves_wake.set()

    async def _reference_loop(self) -> None:
        gap_s = REFERENCE_GAP_S
        while True:
            await self._clock.sleep(gap_s)
            await wait_for(self._clock, self._reference_wake, max(0.0, self._config.reference_interval_s - gap_s))
            self._reference_wake.clear()
            before = self._shared.current
            await self._attempt(REFERENCE_FEED, self._load_reference)
            # Frames that keep contradicting the same answer are the venue's to settle: ask ever more rarely.
            gap_s = REFERENCE_GAP_S if self._shared.current is not before else min(2.0 * gap_s, MOST_REFERENCE_GAP_S)

    async def _load_reference(self) -> None:
        reference = await self._rest.load_reference()
        if reference == self._shared.current:
            self._shared.stale = None
            return
        self._shared.replace(reference)
        self._emit([reference.event(self._clock.monotonic_ns())])
        self._loaded()

    async def _ask_status(self) -> None:
        answer = await self._rest.exchange_status()
        self._emit([VenueStatus(VENUE, self._clock.monotonic_ns(), answer.time_ms, answer.statuses)])

    async def _ask_reserves(self) -> None:
        if not self._has_portfolio_margin():
            self._polled.forget(RESERVES_FEED)
            return
        self._polled.expect(RESERVES_FEED, self._config.reserve_poll_s, self._clock.monotonic_ns())
        reserves = await self._rest.all_borrow_lend_reserve_states(self._shared.current)
        self._emit([BorrowReserves(VENUE, self._clock.monotonic_ns(), reserves)])

    async def _every(self, feed: str, period_s: float, job: Callable[[], Awaitable[None]], wake: asyncio.Event) -> None:
        retry = BackoffState(Backoff(), self._random)
        while True:
            wake.clear()
            if await self._attempt(feed, job):
                retry = BackoffState(Backoff(), self._random)
                await wait_for(self._clock, wake, period_s)
            else:
                await self._clock.sleep(max(LEAST_RETRY_S, retry.next_delay()))

    async def _attempt(self, feed: str, job: Callable[[], Awaitable[None]]) -> bool:
        try:
            await job()
        except ConnectorError as failure:
            self._failed(feed, failure)
            self._polled.down(feed, str(failure))
            self._tell_polled()
            return False
        self._polled.heard(feed, None, self._clock.monotonic_ns())
        self._tell_polled()
        return True
