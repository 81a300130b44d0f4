"""The public connection without I/O: which channels are wanted, what their frames say, and what is asked beside them.

Everything public comes over one WebSocket. A wrong frame is a `ParseError` event, never an exception, and no sign of life of its feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import nan
from random import Random
from typing import Any

from connectors.deribit.chains import CHAIN_PREFIX, Chain
from connectors.deribit.feeds import MarketFeeds
from connectors.deribit.listing import AFTER_EXPIRY_S, Listing
from connectors.deribit.messages import PlatformState, Summary, parse_instrument_state, parse_price_index, parse_volatility_index
from connectors.deribit.reference import OPEN, Reference, instrument_id
from connectors.deribit.rpc import Rpc
from connectors.deribit.settings import VENUE, DeribitConfig
from connectors.deribit.subscriptions import Subscriptions
from connectors.deribit.summaries import Summaries, check_chains, other_forwards, turnovers
from connectors.deribit.tickers import TICKER_PREFIX, Tickers
from connectors.deribit.venue_time import VenueTime
from connectors.deribit.wishes import Wishes
from connectors.events import (
    Event,
    FeedState,
    IndexPrices,
    MarkPrices,
    ParseError,
    StablecoinPrices,
    VenueStatus,
    VolatilityIndices,
)
from connectors.fields import sequence
from connectors.model import Instrument
from connectors.session_protocol import Tick

INDEX_PREFIX = "deribit_price_index."
VOLATILITY_INDEX_PREFIX = "deribit_volatility_index."
PLATFORM_STATE = "platform_state"
INSTRUMENT_STATE = "instrument.state.any.any"
INSTRUMENT_STATE_PREFIX = "instrument.state."


class MarketProtocol:
    """The public connection. Implements `connectors.session.SessionProtocol`. Set `rpc.wake` to `Session.wake`."""

    def __init__(self, config: DeribitConfig, reference: Reference, venue_time: VenueTime, random: Random, now_ns: int) -> None:
        self.heartbeat_interval_s = float(config.heartbeat_s)
        self.pong_timeout_s = 2.0 * config.heartbeat_s
        self.chains: dict[str, Chain] = {}
        self.rpc = Rpc(self._pushed, heartbeat_s=config.heartbeat_s, timeout_s=config.request_timeout_s, random=random)
        self.feeds = MarketFeeds()
        self._config = config
        self._reference = reference
        self._venue_time = venue_time
        self._wishes = Wishes(coins=frozenset(config.coins))
        self._unlisted: frozenset[str] = frozenset()
        self._currencies: tuple[str, ...] = ()
        self._coins: frozenset[str] = frozenset()
        self._indices: dict[str, Instrument] = {}
        self._stablecoins = {index: index.partition("_")[0].upper() for index in config.stablecoin_indices}
        self._platform = PlatformState()
        self._next_expiry_ms = 0
        self._replan_due = False
        self._news_due = False
        self.tickers = Tickers(reference)
        self.listing = Listing(self.rpc, reference, self.feeds, venue_time, config, self._on_listed)
        self.summaries = Summaries(self.rpc, self.feeds, venue_time, config, self._on_summary)
        self.subscriptions = Subscriptions(self.rpc, "public", retry_s=config.refused_retry_s, told=self._on_subscribed)
        self._handlers: tuple[tuple[str, Callable[[str, Any, int], list[Event]]], ...] = (
            (CHAIN_PREFIX, self._chain),
            (TICKER_PREFIX, self._ticker),
            (INDEX_PREFIX, self._price_index),
            (VOLATILITY_INDEX_PREFIX, self._volatility_index),
            (PLATFORM_STATE, self._platform_state),
            (INSTRUMENT_STATE_PREFIX, self._instrument_state),
        )
        self._plan(now_ns)

    # -- for the connector ----------------------------------------------------------------------------------------------

    def wish(self, wishes: Wishes, now_ns: int) -> None:
        """What is wanted from now on; unchanged wishes cost nothing."""
        wishes = Wishes(wishes.coins | frozenset(self._config.coins), wishes.instruments, wishes.expiries)
        if wishes != self._wishes:
            self._wishes = wishes
            self._plan(now_ns)

    @property
    def coins(self) -> frozenset[str]:
        """Every coin that is watched."""
        return self._coins

    # -- the session ----------------------------------------------------------------------------------------------------

    def opened(self, now_ns: int) -> list[bytes]:
        """See `SessionProtocol`."""
        self.rpc.opened(now_ns)
        self.feeds.opened(now_ns)
        self.subscriptions.forget()
        # The end of a maintenance is not told to a connection that it cut.
        self._platform.maintenance = False
        for chain in self.chains.values():
            self._restart(chain)
        self._plan(now_ns)
        self.listing.opened(now_ns)
        self.listing.tick(now_ns)
        self.summaries.restart(now_ns)
        return self.rpc.outgoing()

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        """See `SessionProtocol`."""
        self.rpc.closed(now_ns)
        self.subscriptions.forget()
        self.listing.closed()
        self.feeds.closed(now_ns, reason)
        return [*self.feeds.changes(now_ns)]

    def heartbeat(self, now_ns: int) -> bytes:
        """See `SessionProtocol`."""
        return self.rpc.heartbeat(now_ns)

    def pong_overdue(self, now_ns: int) -> bool:
        """See `SessionProtocol`: nothing at all came for two heartbeats."""
        return self.rpc.silent(now_ns)

    def outgoing(self) -> list[bytes]:
        """See `SessionProtocol`."""
        return self.rpc.outgoing()

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """The events of one frame."""
        events = self.rpc.receive(data, now_ns)
        return [*self._news(now_ns), *events] if self._news_due else events

    def tick(self, now_ns: int) -> Tick:
        """See `SessionProtocol`: verdicts, what is due, remedies for silent feeds."""
        now_ms = self._venue_time.now_ms(now_ns)
        if self._next_expiry_ms and now_ms >= self._next_expiry_ms:
            self.listing.refresh("expiry", now_ns, AFTER_EXPIRY_S)
            self._replan_due = True
        if self._replan_due or self.tickers.unsettled:
            self._plan(now_ns)
        events = self._news(now_ns)
        for chain in self.chains.values():
            events += chain.tick(now_ns, now_ms)
        self.listing.tick(now_ns)
        if self._reference.loaded:
            self.summaries.tick(now_ns, self._currencies)
        remedies = self.feeds.remedies(now_ns)
        self._renew({feed for feed, _ in remedies.resubscribe}, now_ns)
        self.subscriptions.sync(now_ns)
        late, frames = self.rpc.tick(now_ns)
        return Tick([*events, *late, *self.feeds.dropped(), *self.feeds.changes(now_ns)], frames, self.rpc.limited or remedies.reconnect)

    # -- what is wanted -------------------------------------------------------------------------------------------------

    def _plan(self, now_ns: int) -> None:
        self._replan_due = False
        now_ms, config = self._venue_time.now_ms(now_ns), self._config
        names, unlisted = self._wishes.names(), self._wishes.unlisted(self._reference)
        if unlisted - self._unlisted and self._reference.loaded:
            self.listing.refresh("unknown instrument wanted", now_ns)
        self._unlisted = unlisted
        self._currencies = self._wishes.currencies(self._reference)
        self.listing.want(self._currencies, now_ns)
        coins, self._coins = self._coins, self._wishes.watched_coins(self._reference)
        self._news_due = self._news_due or (self._reference.loaded and coins != self._coins)
        self._indices = self._reference.indices(self._coins)
        self._hold_chains(now_ms)
        expiries = self._wishes.all_expiries(self._reference, now_ms)
        self.tickers.plan(expiries, names, self.summaries.interests, now_ns)
        self._next_expiry_ms = min((one.expiry_ms for one in self._reference.listed(self._coins) if one.expiry_ms > now_ms), default=0)
        self._watch(now_ns, config)
        self.subscriptions.want(self._channels())
        self.subscriptions.sync(now_ns)

    def _hold_chains(self, now_ms: int) -> None:
        listed = self._reference.chains(self._coins)
        self.chains = {index: self.chains.get(index) or Chain(index) for index in listed}
        for index, chain in self.chains.items():
            chain.hold(listed[index], now_ms)

    def _watch(self, now_ns: int, config: DeribitConfig) -> None:
        feeds, wanted = self.feeds, {PLATFORM_STATE: None, **self._limits(config)}
        for gone in feeds.watched() - wanted.keys():
            feeds.drop(gone)
        minor = (PLATFORM_STATE, VOLATILITY_INDEX_PREFIX, *(f"{INDEX_PREFIX}{index}" for index in self._stablecoins))
        for feed, limit_s in wanted.items():
            feeds.watch(feed, limit_s, now_ns, essential=not feed.startswith(minor))
        if self._reference.loaded:
            for feed in self.tickers.unserved:
                feeds.refused(feed, "the venue lists no option of this expiry that trades: nothing tells its forward")

    def _limits(self, config: DeribitConfig) -> dict[str, float | None]:
        limits: dict[str, float | None] = {}
        for index, instrument in self._indices.items():
            is_inverse = instrument.settle == "USD"
            limits[f"{INDEX_PREFIX}{index}"] = config.index_stale_s
            if index in self.chains:
                limits[f"{CHAIN_PREFIX}{index}"] = config.chain_stale_s if is_inverse else config.linear_chain_stale_s
                if is_inverse:
                    limits[f"{VOLATILITY_INDEX_PREFIX}{index}"] = config.volatility_index_stale_s
        limits |= dict.fromkeys((*self.tickers.channels.values(), *self.tickers.unserved), config.ticker_stale_s)
        return limits | {f"{INDEX_PREFIX}{index}": config.stablecoin_stale_s for index in self._stablecoins}

    def _channels(self) -> Iterable[str]:
        plain = [feed for feed in self._limits(self._config) if not feed.startswith(TICKER_PREFIX)]
        return [*plain, *self.tickers.channels, PLATFORM_STATE, INSTRUMENT_STATE]

    def _feed_of(self, channel: str) -> str:
        return self.tickers.channels.get(channel, channel)

    def _renew(self, feeds: set[str], now_ns: int) -> None:
        if not feeds:
            return
        channels = [channel for channel in self.subscriptions.granted if self._feed_of(channel) in feeds]
        for channel in channels:
            if channel.startswith(CHAIN_PREFIX):
                self._restart(self.chains[channel.removeprefix(CHAIN_PREFIX)])
            # Another option of the expiry may speak where this one does not.
            self.tickers.avoid(channel, now_ns)
        self.subscriptions.renew(channels, now_ns)

    def _restart(self, chain: Chain) -> None:
        if chain.seeded:
            self.feeds.unsure(chain.feed, "waiting for the whole chain")
        chain.restart()

    def _news(self, now_ns: int) -> list[Event]:
        due, self._news_due = self._news_due, False
        return [self._reference.event(self._coins, now_ns)] if due else []

    # -- answers --------------------------------------------------------------------------------------------------------

    def _on_listed(self, now_ns: int) -> list[Event]:
        self._news_due = True
        self.summaries.keep(self._reference.by_name)
        self._plan(now_ns)
        self.summaries.restart(now_ns)
        return [*self.feeds.changes(now_ns)]

    def _on_summary(self, summary: Summary, now_ns: int) -> list[Event]:
        now_ms = self._venue_time.now_ms(now_ns)
        events, differing = check_chains(self.chains.values(), summary, now_ns)
        for chain in differing:
            if not chain.seeded:
                self.feeds.unsure(chain.feed, "the venue's summary disagrees: waiting for the whole chain")
        # The venue's whole chain rather than its summary, which is seconds older than what was pushed since.
        self.subscriptions.renew([chain.feed for chain in differing], now_ns)
        events += other_forwards(summary, self._reference, self.tickers.served, now_ms, now_ns)
        return [*events, *turnovers(summary, self._wishes.names(), now_ns), self.status(now_ns)]

    def _on_subscribed(self, granted: frozenset[str], refused: dict[str, str], now_ns: int) -> list[Event]:
        for channel in granted:
            self.feeds.granted(self._feed_of(channel), now_ns)
        for channel, why in refused.items():
            self.feeds.refused(self._feed_of(channel), why)
            if channel in self.tickers.channels:
                self.tickers.avoid(channel, now_ns)
        return [*self.feeds.changes(now_ns)]

    # -- frames ---------------------------------------------------------------------------------------------------------

    def _pushed(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        for prefix, handler in self._handlers:
            if channel.startswith(prefix):
                return handler(channel, data, now_ns)
        return [ParseError(VENUE, channel[:40], "unknown_channel", now_ns)]

    def _alive(self, feed: str, now_ns: int) -> list[Event]:
        return [*self.feeds.changes(now_ns)] if self.feeds.heard(feed, now_ns) else []

    def _chain(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        chain = self.chains.get(channel.removeprefix(CHAIN_PREFIX))
        if chain is None:
            return []
        reading = chain.frame(sequence(data, channel), now_ns, self._venue_time.now_ms(now_ns))
        if reading.strangers:
            self.listing.refresh("unknown instrument in a chain", now_ns)
        events: list[Event] = [] if reading.event is None else [reading.event]
        events += [ParseError(VENUE, channel, kind, now_ns, detail) for kind, detail in reading.problems.items()]
        if reading.sound and chain.seeded:
            self.feeds.unsure(channel, "")
            events += self._alive(channel, now_ns)
        return events

    def _ticker(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        events, is_sound = self.tickers.frame(channel, data, now_ns)
        return [*events, *self._alive(self._feed_of(channel), now_ns)] if is_sound else events

    def _price_index(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        index, price, time_ms = parse_price_index(data)
        self._venue_time.heard(time_ms, now_ns)
        events: list[Event] = []
        if index in self._stablecoins:
            events.append(StablecoinPrices(VENUE, channel, now_ns, {self._stablecoins[index]: price}))
        instrument = self._indices.get(index)
        if instrument is not None:
            events.append(IndexPrices(VENUE, channel, now_ns, {instrument.coin: price}, instrument.settle))
            events.append(MarkPrices(VENUE, channel, now_ns, [instrument_id(index)], [price], [price], [nan], time_ms))
        return [*events, *self._alive(channel, now_ns)]

    def _volatility_index(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        index, volatility, _ = parse_volatility_index(data)
        instrument = self._indices.get(index)
        if instrument is None:
            return []
        return [VolatilityIndices(VENUE, channel, now_ns, {instrument.coin: volatility}), *self._alive(channel, now_ns)]

    def _platform_state(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        self._platform.apply(data)
        return [self.status(now_ns)]

    def _instrument_state(self, channel: str, data: Any, now_ns: int) -> list[Event]:
        name, state = parse_instrument_state(data)
        if self._reference.set_state(name, state):
            self._replan_due = True
        elif state == OPEN and name not in self._reference.by_name:
            self.listing.refresh("new instrument", now_ns)
        return []

    def status(self, now_ns: int) -> VenueStatus:
        """The venue's clock and what it says of itself."""
        return VenueStatus(VENUE, now_ns, self._venue_time.now_ms(now_ns), self._platform.statuses(self._indices))

    def feed_states(self, now_ns: int) -> list[FeedState]:
        """Every feed as it is now."""
        return self.feeds.states(now_ns)
