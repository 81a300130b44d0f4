"""A Deribit network read once: the real connector runs until all that is asked for was told, at most for a while, and is stopped.

The venue answers over WebSocket alone, and its figures make sense only beside its indices: so the way is that of the running monitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random

import orjson

from config.portfolios import WHOLE_BOOK
from config.settings import Settings
from connectors.clock import Clock, wait_for, within
from connectors.deribit.chains import CHAIN_PREFIX
from connectors.deribit.connector import DeribitConnector
from connectors.deribit.protocol import INDEX_PREFIX
from connectors.deribit.settings import VENUE, DeribitConfig
from connectors.errors import ConnectorError
from connectors.events import Event, FeedState, Forwards, Source, SummarySnapshot
from connectors.fields import WrongShape, integer, mapping
from connectors.model import InstrumentKind, ListedPosition, SummaryAccount
from kernels.warmup import warm_up, warm_up_portfolio
from monitor.engine import Engine
from monitor.freshness import GOOD
from monitor.live.portfolios import LivePortfolios
from monitor.margin.configured import build_book
from monitor.margin.deribit import DeribitAccount
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Failure, PoolResult
from monitor.venues import Transports, deribit_accounts, deribit_config

PATIENCE_S = 40.0
ANSWER_S = 10.0
LOOK_S = 0.5
"""Data go stale by time alone: looked at so often although nothing came."""

_BENCHMARK = "BTC"
_GET_TIME = b'{"jsonrpc":"2.0","id":1,"method":"public/get_time","params":{}}'
_SECOND_NS = 1_000_000_000


async def ask_time(config: DeribitConfig, transports: Transports, clock: Clock) -> tuple[float, float]:
    """Round trip (ms) and how far the venue's clock is from ours (s), over a connection of its own. Raises ConnectorError."""
    connection = await transports.websocket.connect(config.ws_url)
    try:
        before = clock.time_ms()
        await connection.send(_GET_TIME)
        told = await within(clock, ANSWER_S, connection.recv(), "deribit public/get_time")
        after = clock.time_ms()
    finally:
        await connection.close()
    try:
        time_ms = integer(mapping(orjson.loads(told), "get_time"), "result", "get_time")
    except (orjson.JSONDecodeError, WrongShape):
        raise ConnectorError("deribit answers, but not with its time: check venues.deribit.ws_url") from None
    return after - before, (time_ms - (before + after) / 2) / 1000


class Reading:
    """The Deribit accounts of the settings, and the market they need, in a book of their own.

    `live`: also the first account as a portfolio, so that it can be saved. After `run` nothing changes any more.
    """

    def __init__(self, settings: Settings, transports: Transports, clock: Clock, *, live: bool = False) -> None:
        accounts = tuple(account for account in settings.accounts if account.venue == VENUE)
        settings = settings.model_copy(update={"accounts": accounts})
        self.names = [account.id for account in accounts]
        self.book = build_book(settings)
        self.engine = Engine(self.book, settings.defaults.reconcile_tolerance)
        self.live = LivePortfolios(_alone(settings), self.engine) if live else None
        self.connector = DeribitConnector(
            deribit_config(settings),
            deribit_accounts(settings),
            websocket=transports.websocket,
            clock=clock,
            random=Random(),
            sink=self._take,
        )
        self.feeds: tuple[FeedState, ...] = ()
        """Every feed as last looked at."""
        self.now_ns = 0
        """When everything was last looked at."""
        self.forwards: dict[tuple[str, str, int], float] = {}
        self._clock = clock
        self._news = asyncio.Event()
        self._refused: dict[str, str] = {}
        self._reads_ns: dict[str, int] = {}
        self._asked_ns: int | None = None
        self._is_over = False

    async def run(self, lacking: Callable[[], Iterable[str]]) -> list[str]:
        """Watch until nothing is lacking, or until `PATIENCE_S` are over: then what is lacking still."""
        await asyncio.to_thread(self._compile)
        # as the monitor does: all coins are measured by it
        self.connector.watch_coins((_BENCHMARK,))
        end_ns = self._clock.monotonic_ns() + round(PATIENCE_S * _SECOND_NS)
        running = asyncio.create_task(self.connector.run())
        try:
            while True:
                self._news.clear()
                self._look()
                left_s = (end_ns - self.now_ns) / _SECOND_NS
                missing = list(lacking())
                if not missing or left_s <= 0:
                    return missing
                await wait_for(self._clock, self._news, min(left_s, LOOK_S))
        finally:
            # the end of the connections would take every figure away
            self._is_over = True
            await self.connector.stop()
            await running

    # -- what is lacking -----------------------------------------------------------------------------------------------------

    def lacking_accounts(self) -> list[str]:
        """What has to come before every account has its figures; nothing more comes of one that cannot be watched."""
        return [f"{name}: {why}" for name in self.names if self.failure(name) is None for why in self._lacking_of(name)]

    def lacking_channels(self) -> list[str]:
        """Indices and option chains that were neither heard nor refused."""
        if VENUE not in self.book.market.sections:
            return ["the venue's instruments"]
        refused = self.refused()
        return [f"{state.feed}: {_words(state)}" for state in self.market() if state.status not in GOOD and state.feed not in refused]

    def lacking_reread(self) -> list[str]:
        """Whether the accounts were read again since all they need was known: only then are all figures of one instant."""
        if self._asked_ns is None:
            self._asked_ns = self.now_ns
            for name in self.names:
                self.connector.refresh(name)
        late = [name for name in self.names if self._reads_ns.get(name, 0) <= self._asked_ns and self.failure(name) is None]
        return [f"{name}: a second read of the account" for name in late]

    def lacking_quotes(self) -> list[str]:
        """Options that are held and have no volatility or no forward yet."""
        return [why for name in self.names for position in self.options(name) if (why := self.unquoted(position)) is not None]

    def lacking_portfolio(self) -> list[str]:
        """What the portfolio method waits for, where it is asked for."""
        if self.live is None:
            return []
        return [f"{failure.reason.value}: {failure.detail}" for figures in self.live.figures() for failure in figures.failures]

    def unquoted(self, position: ListedPosition) -> str | None:
        """Why an option cannot be repriced; None if it can."""
        lacks = [] if self.book.market.volatility(position.instrument) is not None else ["implied volatility"]
        lacks += [] if self.forward(position) is not None else ["forward"]
        return f"{position.instrument}: no {' and no '.join(lacks)}" if lacks else None

    # -- what is known -------------------------------------------------------------------------------------------------------

    def method(self, account: str) -> DeribitAccount:
        """The margin method of an account."""
        method = self.book.accounts[VENUE, account].method
        assert isinstance(method, DeribitAccount)
        return method

    def failure(self, account: str) -> Failure | None:
        """Why an account cannot be watched."""
        return self.method(account).failure

    def state(self, account: str) -> SummaryAccount | None:
        """What the venue told last of an account."""
        return self.method(account).state

    def pools(self, account: str) -> list[tuple[PoolSpec, PoolResult]]:
        """The pools of an account with their figures when last looked at, by name."""
        arrays = self.engine.arrays
        rows = sorted((scope[2], arrays.row(scope)) for scope in arrays.scopes_of(VENUE, account))
        return [(arrays.specs[row], self.engine.result(row, self.now_ns)) for _, row in rows]

    def options(self, account: str) -> list[ListedPosition]:
        """The options of an account that are listed."""
        state, listed = self.state(account), self.book.market.instruments
        held = () if state is None else state.positions
        return [one for one in held if one.instrument in listed and listed[one.instrument].kind is InstrumentKind.OPTION]

    def forward(self, position: ListedPosition) -> float | None:
        """The forward that an option is priced on."""
        one = self.book.market.instruments[position.instrument]
        return self.forwards.get((one.coin, one.settle, one.expiry_ms))

    def market(self) -> list[FeedState]:
        """The feeds of indices and option chains."""
        return [state for state in self.feeds if state.account is None and state.feed.startswith((INDEX_PREFIX, CHAIN_PREFIX))]

    def refused(self) -> dict[str, str]:
        """Channels of indices and option chains that the venue does not give, by why."""
        known = {state.feed for state in self.market()}
        return {channel: why for channel, why in self._refused.items() if channel in known}

    # -- the run -------------------------------------------------------------------------------------------------------------

    def _compile(self) -> None:
        # before anything arrives: meanwhile the connections would be given up
        warm_up(forbid=False)
        if self.live is not None:
            warm_up_portfolio()
            self.live.ready = True

    def _take(self, events: list[Event]) -> None:
        if self._is_over:
            return
        for event in events:
            self.book.apply(event)
            if self.live is not None:
                self.live.apply(event)
            if isinstance(event, Forwards):
                keys = zip(event.coins, event.settles, event.expiries_ms, strict=True)
                self.forwards.update(zip(keys, event.forwards, strict=True))
            elif isinstance(event, SummarySnapshot) and event.source is Source.POLL:
                self._reads_ns[event.account] = event.received_ns
        self._news.set()

    def _look(self) -> None:
        self.engine.evaluate()
        self.now_ns = self._clock.monotonic_ns()
        for _, account, _ in self.book.take_refreshes():
            self.connector.refresh(account)
        if self.live is not None:
            self.live.touch(self.book.touched)
            self.book.touched.clear()
            self.live.resync(self.now_ns)
            self.live.evaluate(self.now_ns, self._clock.time_ms())
            self._wish(self.live)
        self.feeds = tuple(self.connector.feed_states())
        self._refused = self.connector.describe()["refused_channels"]

    def _wish(self, live: LivePortfolios) -> None:
        self.connector.set_wanted(live.wishes.instruments.get(VENUE, ()))
        self.connector.watch_coins(live.wishes.coins)
        self.connector.watch_expiries(live.wishes.expiries)

    def _lacking_of(self, account: str) -> list[str]:
        if (VENUE, account) not in self.book.keys:
            return ["an answer to the login"]
        if self.state(account) is None:
            return ["the first account state"]
        why = [(spec.name, (*(failure.detail for failure in result.failures), spec.doubt)) for spec, result in self.pools(account)]
        return [f"pool {name}: {one}" for name, reasons in why for one in reasons if one]


def _words(state: FeedState) -> str:
    return state.status.value + (f": {state.detail}" if state.detail else "")


def _alone(settings: Settings) -> Settings:
    # one portfolio of the one account, by the parameters that it has where it is configured
    name = settings.accounts[0].id
    portfolio = next((one for one in settings.portfolios if name in one.accounts), settings.portfolios[0])
    return settings.model_copy(update={"portfolios": (portfolio.model_copy(update={"id": WHOLE_BOOK, "accounts": (name,)}),)})
