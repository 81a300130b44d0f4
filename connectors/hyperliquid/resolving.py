"""What resolvers need beside marks: the list of outcome markets, and closing prices of the watched coins. No figure waits for either."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from connectors.background import Background
from connectors.clock import Clock
from connectors.daily import CLOSES_DAYS, NOT_LISTED_S, until_tomorrow_s
from connectors.errors import ConnectorError
from connectors.events import DailyCloses, Event
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.outcomes import OutcomeBook, outcome_events, outcome_of_asset
from connectors.hyperliquid.polling import OUTCOMES_FEED, PolledFeeds
from connectors.hyperliquid.reference import MAIN_DEX, VENUE
from connectors.hyperliquid.rest import HyperliquidRest, weight_of
from connectors.hyperliquid.settings import HyperliquidConfig
from connectors.ratelimit import Budget

CANDLES = "candleSnapshot"
FIRST_S = 10.0
"""Seconds from the start until the first load: accounts are read before."""


class Resolving:
    """Loads in the background. `emit` takes events; `tell_polled` is called when the freshness of the list may have changed, `failed`
    with what failed.
    """

    def __init__(
        self,
        config: HyperliquidConfig,
        rest: HyperliquidRest,
        shared: SharedReference,
        polled: PolledFeeds,
        budget: Budget,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        tell_polled: Callable[[], None],
        failed: Callable[[str, ConnectorError], None],
    ) -> None:
        self.outcomes = OutcomeBook()
        self.venue_ahead_ms = 0
        """Venue's clock less ours, as its last status had it."""
        self._config = config
        self._rest = rest
        self._shared = shared
        self._polled = polled
        self._clock = clock
        self._random = random
        self._emit = emit
        self._tell_polled = tell_polled
        self._failed = failed
        self._coins: frozenset[str] = frozenset()
        self._background = Background(VENUE, budget, clock=clock, random=random, failed=self._on_failed)
        self.watch_coins(config.watched_coins)

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose closes are loaded daily, and whose outcomes are priced."""
        before, self._coins = self._coins, frozenset(coins)
        for coin in sorted(before - self._coins):
            self._background.remove(f"{CANDLES} {coin}")
        for coin in sorted(self._coins - before):
            self._background.add(f"{CANDLES} {coin}", partial(self._load_closes, coin), in_s=FIRST_S)

    def wants_mids(self, assets: Iterable[str]) -> bool:
        """Whether an open outcome is of a watched coin, or one of these assets of a wallet is a side of it."""
        held = {outcome_of_asset(asset) for asset in assets}
        return any(market.coin in self._coins or market.outcome in held for market in self.outcomes.markets)

    def tick(self) -> None:
        """Look whether the list of outcomes is needed sooner than its turn."""
        if self.outcomes.missed:
            self._background.hasten(OUTCOMES_FEED)

    async def run(self) -> None:
        """Load, for ever; the reference data must be there."""
        self._background.add(OUTCOMES_FEED, self._load_outcomes, in_s=FIRST_S)
        await self._background.run()

    async def _load_outcomes(self) -> float:
        await self._background.room_for(weight_of(OUTCOMES_FEED))
        self.outcomes.begin()
        reading = self.outcomes.load(await self._rest.outcome_meta())
        now_ns = self._clock.monotonic_ns()
        self._polled.heard(OUTCOMES_FEED, None, now_ns)
        self._tell_polled()
        events = outcome_events(self.outcomes, reading, OUTCOMES_FEED, now_ns)
        if events:
            self._emit(events)
        return self._config.outcomes_interval_s

    async def _load_closes(self, coin: str) -> float:
        symbol = self._main_perpetual(coin)
        if symbol is None:
            return NOT_LISTED_S
        await self._background.room_for(weight_of(CANDLES))
        now_ms = self._clock.time_ms() + self.venue_ahead_ms
        times, closes = await self._rest.daily_closes(self._shared.current.instruments[symbol].symbol, CLOSES_DAYS, now_ms)
        self._emit([DailyCloses(VENUE, self._clock.monotonic_ns(), symbol, times, closes)])
        return until_tomorrow_s(now_ms, self._random)

    def _main_perpetual(self, coin: str) -> str | None:
        reference = self._shared.current
        listed = reference.dexs[MAIN_DEX].universe if MAIN_DEX in reference.dexs else ()
        known = (reference.instruments[name] for name in listed)
        return next((one.id for one in known if one.coin == coin and not one.delisted), None)

    def _on_failed(self, what: str, failure: ConnectorError) -> None:
        self._failed(what, failure)
        if what == OUTCOMES_FEED:
            self._polled.down(OUTCOMES_FEED, str(failure))
            self._tell_polled()
