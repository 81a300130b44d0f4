"""What resolvers need beside marks: turnover of all symbols, and closing prices of the watched coins. No figure waits for either."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from random import Random

from connectors.aster.market import SharedMarket
from connectors.aster.reference import STABLECOIN
from connectors.aster.rest import PUBLIC, AsterRest
from connectors.aster.settings import VENUE, AsterConfig
from connectors.aster.signing import VenueClock
from connectors.background import Background
from connectors.clock import Clock
from connectors.daily import CLOSES_DAYS, NOT_LISTED_S, until_tomorrow_s
from connectors.errors import ConnectorError
from connectors.events import DailyCloses, Event, ParseError, Volumes
from connectors.model import Instrument, InstrumentKind
from connectors.ratelimit import Budget

TURNOVER_FEED = "ticker/24hr"
CLOSES = "klines"
FIRST_S = 10.0
"""Seconds from the first reference data until the first load: accounts are read before."""


class Resolving:
    """Loads in the background, from `begin` on. `emit` takes events, `failed` is told what failed."""

    def __init__(
        self,
        config: AsterConfig,
        rest: AsterRest,
        shared: SharedMarket,
        budget: Budget,
        venue_clock: VenueClock,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        failed: Callable[[str, ConnectorError], None],
    ) -> None:
        self._config = config
        self._rest = rest
        self._shared = shared
        self._venue_clock = venue_clock
        self._clock = clock
        self._random = random
        self._emit = emit
        self._coins: frozenset[str] = frozenset()
        self._begun = False
        self._background = Background(VENUE, budget, clock=clock, random=random, failed=failed)

    def begin(self) -> None:
        """The reference data are there. Harmless when repeated."""
        if not self._begun:
            self._begun = True
            self._background.add(TURNOVER_FEED, self._load_turnover, in_s=FIRST_S)
            self._add_closes(self._coins)

    def watch_coins(self, coins: Iterable[str]) -> None:
        """Coins whose closes are loaded daily."""
        before, self._coins = self._coins, frozenset(coins)
        for coin in sorted(before - self._coins):
            self._background.remove(f"{CLOSES} {coin}")
        if self._begun:
            self._add_closes(self._coins - before)

    async def run(self) -> None:
        """Load, for ever."""
        await self._background.run()

    def _add_closes(self, coins: Iterable[str]) -> None:
        for coin in sorted(coins):
            self._background.add(f"{CLOSES} {coin}", partial(self._load_closes, coin), in_s=FIRST_S)

    async def _load_turnover(self) -> float:
        await self._background.room_for(PUBLIC["/fapi/v3/ticker/24hr"])
        volumes, problems = await self._rest.turnover(self._shared.current)
        now_ns = self._clock.monotonic_ns()
        events: list[Event] = [Volumes(VENUE, TURNOVER_FEED, now_ns, volumes)] if volumes else []
        if problems:
            events.append(ParseError(VENUE, TURNOVER_FEED, "wrong_shape", now_ns, problems[0]))
        if events:
            self._emit(events)
        return self._config.turnover_s

    async def _load_closes(self, coin: str) -> float:
        perpetual = self._main_perpetual(coin)
        if perpetual is None:
            return NOT_LISTED_S
        await self._background.room_for(PUBLIC["/fapi/v3/klines"])
        now_ms = self._venue_clock.now_ms()
        times, closes = await self._rest.daily_closes(perpetual.symbol, CLOSES_DAYS, now_ms)
        self._emit([DailyCloses(VENUE, self._clock.monotonic_ns(), perpetual.id, times, closes)])
        return until_tomorrow_s(now_ms, self._random)

    def _main_perpetual(self, coin: str) -> Instrument | None:
        listed = [one for one in self._shared.current.symbols.values() if one.coin == coin and not one.delisted]
        return next((one for one in listed if one.kind is InstrumentKind.PERPETUAL and one.settle == STABLECOIN), None)
