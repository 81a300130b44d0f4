"""The connector against the simulated venue, which knows nothing of it: in step under a clock moved by hand, and once over a socket.

Whatever goes wrong on the way, what the connector told last of every option must be what the venue's model says.
"""

from __future__ import annotations

import asyncio
from math import isnan
from random import Random
from typing import Any

import pytest

from connectors.clock import ManualClock, SystemClock, settle
from connectors.deribit.connector import DeribitConnector
from connectors.deribit.settings import DeribitAccountRef, DeribitConfig
from connectors.errors import ConnectFailed, ConnectionLost
from connectors.events import Event, FeedStatus, Forwards, IndexPrices, Instruments, ParseError, SummarySnapshot, VenueStatus, Volatilities
from connectors.simulator.deribit import DeribitClient, DeribitServer, DeribitVenue, Market, credentials, deribit_demo
from connectors.transport import WebSocketsTransport

CHAIN = "markprice.options.btc_usd"
INDEX = "deribit_price_index.btc_usd"


class Socket:
    """A connection to the simulated venue without a socket; `pump` brings what the venue said since."""

    def __init__(self, client: DeribitClient) -> None:
        self.client = client
        self.lost = False
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, frame: bytes | str) -> None:
        if self.client.closed:
            raise ConnectionLost("simulated")
        self.client.receive(frame if isinstance(frame, str) else frame.decode())

    async def recv(self) -> bytes:
        frame = await self._inbox.get()
        if frame is None:
            raise ConnectionLost("simulated")
        return frame

    async def close(self) -> None:
        self.client.close()
        self._inbox.put_nowait(None)

    def pump(self) -> None:
        for text in self.client.drain():
            self._inbox.put_nowait(text.encode())
        if self.client.closed and not self.lost:
            self.lost = True
            self._inbox.put_nowait(None)


class Transport:
    def __init__(self, venue: DeribitVenue) -> None:
        self.venue = venue
        self.sockets: list[Socket] = []

    async def connect(self, url: str) -> Socket:
        if self.venue.faults.refusing(self.venue.market.time):
            raise ConnectFailed("simulated", "refused")
        self.sockets.append(Socket(self.venue.connect()))
        return self.sockets[-1]


class Simulation:
    """A connector watching the demo venue, both moved by `run`."""

    def __init__(
        self, *aliases: str, scenario: str = "calm", duration: float = 900.0, coins: tuple[str, ...] = ("BTC",), **config: Any
    ) -> None:
        self.venue = deribit_demo(duration, market=Market(7, scenario, duration, 1_790_000_000_000), interval=1.0, strikes=6)
        self.faults = self.venue.faults
        # The machine's clock is wrong: only the venue's counts.
        self.clock = ManualClock(time_ms=self.venue.market.now_ms + 7_200_000)
        self.sockets = Transport(self.venue)
        self.events: list[Event] = []
        refs = [DeribitAccountRef(alias, credentials(alias).client_id, credentials(alias).client_secret) for alias in aliases]
        self.connector = DeribitConnector(
            DeribitConfig(ws_url="wss://simulated/ws", coins=coins, **config),
            refs,
            websocket=self.sockets,
            clock=self.clock,
            random=Random(11),
            sink=self.take,
        )
        self.volatilities: dict[str, float] = {}
        self.forwards: dict[tuple[str, str, int], float] = {}
        self.index: dict[tuple[str, str], float] = {}
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Simulation:
        self.task = asyncio.create_task(self.connector.run())
        await self.run(4.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        await self.connector.stop()
        await self.task

    def take(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, Volatilities):
                self.volatilities.update(zip(event.instruments, event.volatilities, strict=True))
            elif isinstance(event, Forwards) and event.feed.startswith("ticker."):
                self.forwards.update(zip(zip(event.coins, event.settles, event.expiries_ms, strict=True), event.forwards, strict=True))
            elif isinstance(event, IndexPrices):
                self.index.update({(coin, event.quote): price for coin, price in event.prices.items()})

    async def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.venue.advance(0.5)
            await self.clock.advance(0.5)
            for _ in range(8):
                for socket in self.sockets.sockets:
                    socket.pump()
                await settle(10)

    def status(self, feed: str, account: str | None = None) -> FeedStatus:
        states = self.connector.feed_states()
        return next(state.status for state in states if (state.feed, state.account) == (feed, account))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def differing(self, coin: str = "BTC") -> list[str]:
        """Live options whose volatility is not the venue's."""
        quotes = {f"deribit:{name}": quote.iv for name, quote in self.venue.prices.options.items() if name.startswith(f"{coin}-")}
        assert quotes
        return [name for name, iv in quotes.items() if not abs(self.volatilities.get(name, 9.0) - iv) < 6e-5]


async def test_chains_forwards_and_indices_are_the_venues() -> None:
    async with Simulation("noctua", coins=("BTC", "HYPE"), scenario="crash") as simulation:
        for _ in range(5):
            await simulation.run(20.0)
            assert simulation.differing() == []
            prices = simulation.venue.prices
            assert simulation.index["BTC", "USD"] == prices.indices["btc_usd"]
            assert simulation.index["HYPE", "USDC"] == prices.indices["hype_usdc"]
            held = [contract for contract in simulation.venue.accounts["noctua"].positions if contract in prices.options]
            contracts = [simulation.venue.listing.contracts[name] for name in held]
            assert contracts
            for contract in contracts:
                assert contract.expiry_ms is not None
                key = contract.family.prefix, contract.family.settle, contract.expiry_ms
                assert simulation.forwards[key] == pytest.approx(prices.options[contract.name].forward, abs=0.006)
        assert simulation.of(ParseError) == []
        assert simulation.of(SummarySnapshot)
        assert len(simulation.sockets.sockets) == 2
        assert simulation.venue.forbidden_requests == 0


async def test_the_venues_clock_counts_not_the_machines() -> None:
    async with Simulation("noctua", duration=60.0) as simulation:
        expiring = [
            name for name, one in simulation.venue.listing.contracts.items() if one.expiry_ms == 1_790_000_036_000 and one.is_option
        ]
        assert {f"deribit:{name}" for name in expiring if name.startswith("BTC-")} <= simulation.volatilities.keys()
        assert simulation.of(VenueStatus)[-1].time_ms == pytest.approx(simulation.venue.market.now_ms, abs=4_000)
        feeds = {state.feed for state in simulation.connector.feed_states()}
        await simulation.run(40.0)
        gone = feeds - {state.feed for state in simulation.connector.feed_states()}
        assert len(gone) == 1
        assert next(iter(gone)).startswith("ticker.BTC-21SEP26")
        assert simulation.differing() == []


async def test_a_chain_that_is_lost_silently_is_stale_and_comes_back_whole() -> None:
    async with Simulation() as simulation:
        simulation.faults.freeze(CHAIN)
        await simulation.run(9.0)
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        await simulation.run(3.0)
        assert simulation.status(CHAIN) is FeedStatus.STALE
        assert simulation.status(INDEX) is FeedStatus.FRESH
        simulation.faults.thaw(CHAIN)
        await simulation.run(40.0)
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        assert simulation.differing() == []


async def test_nulls_and_nonsense_are_refused_and_healed() -> None:
    async with Simulation() as simulation:
        name = next(name for name in simulation.venue.prices.options if name.startswith("BTC-"))
        before = simulation.volatilities[f"deribit:{name}"]
        for iv in (None, 7.5, 0.0001):
            simulation.faults.tell_volatility(name, iv)
            await simulation.run(4.0)
            assert abs(simulation.volatilities[f"deribit:{name}"] - before) < 0.2
        kinds = {error.kind for error in simulation.of(ParseError)}
        assert kinds == {"iv_missing", "iv_out_of_range"}
        await simulation.run(62.0)
        assert isnan(simulation.volatilities[f"deribit:{name}"])
        simulation.faults.heal_volatilities()
        await simulation.run(5.0)
        assert simulation.differing() == []


async def test_an_outage_of_all_volatilities_makes_the_chain_stale_not_wrong() -> None:
    async with Simulation() as simulation:
        before = dict(simulation.volatilities)
        simulation.faults.iv_outage = True
        await simulation.run(12.0)
        assert simulation.status(CHAIN) is FeedStatus.STALE
        assert simulation.volatilities.keys() == before.keys()
        simulation.faults.iv_outage = False
        await simulation.run(40.0)
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        assert simulation.differing() == []


async def test_a_phantom_in_the_chain_asks_for_the_listing_but_not_all_the_time() -> None:
    async with Simulation() as simulation:
        simulation.faults.add_phantom("BTC-1JAN30-1-C")
        await simulation.run(60.0)
        assert "deribit:BTC-1JAN30-1-C" not in simulation.volatilities
        assert simulation.connector.describe()["listing_reasons"]["unknown instrument in a chain"] > 20
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        assert simulation.differing() == []


async def test_a_new_expiry_is_listed_within_a_minute() -> None:
    async with Simulation() as simulation:
        contracts = simulation.venue.list_expiry(200 * 86_400.0, ["BTC"])
        await simulation.run(70.0)
        names = {f"deribit:{one.name}" for one in contracts if one.is_option}
        assert names <= {one.id for one in simulation.of(Instruments)[-1].instruments}
        assert names <= simulation.volatilities.keys()
        assert simulation.differing() == []


async def test_lost_sockets_and_refused_requests_heal() -> None:
    async with Simulation() as simulation:
        simulation.faults.kill_sockets()
        await simulation.run(1.0)
        assert simulation.status(CHAIN) in (FeedStatus.DOWN, FeedStatus.STALE)
        await simulation.run(8.0)
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        simulation.faults.too_many_requests(2)
        await simulation.run(90.0)
        assert simulation.status(CHAIN) is FeedStatus.FRESH
        assert simulation.differing() == []
        assert simulation.connector.market_session.statistics.reconnects >= 2


async def test_a_venue_that_goes_silent_is_left_and_found_again() -> None:
    async with Simulation() as simulation:
        simulation.faults.stop_heartbeats()
        simulation.faults.stop_pongs()
        for feed in (CHAIN, INDEX, "deribit_price_index.usdc_usd", "deribit_price_index.usdt_usd", "deribit_volatility_index.btc_usd"):
            simulation.faults.freeze(feed)
        await simulation.run(45.0)
        assert simulation.connector.market_session.statistics.reconnects >= 1
        assert simulation.status(CHAIN) is not FeedStatus.FRESH


async def test_maintenance_is_told() -> None:
    async with Simulation() as simulation:
        simulation.venue.set_maintenance(True)
        simulation.venue.set_locked("btc_usd", True)
        await simulation.run(1.0)
        assert simulation.of(VenueStatus)[-1].statuses == ("maintenance", "locked btc_usd")


async def test_over_a_socket() -> None:
    server = DeribitServer(deribit_demo(60.0, interval=0.1, strikes=6), autorun=True, tick=0.05)
    await server.start()
    events: list[Event] = []
    whole = asyncio.Event()

    def sink(told: list[Event]) -> None:
        events.extend(told)
        if any(isinstance(event, Volatilities) and event.full for event in told):
            whole.set()

    config = DeribitConfig(ws_url=server.ws_url, coins=("BTC",))
    connector = DeribitConnector(config, [], websocket=WebSocketsTransport(), clock=SystemClock(), random=Random(3), sink=sink)
    running = asyncio.create_task(connector.run())
    try:
        await asyncio.wait_for(whole.wait(), 10.0)
        assert [event for event in events if isinstance(event, ParseError)] == []
    finally:
        await connector.stop()
        await running
        await server.stop()
