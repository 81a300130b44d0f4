"""The connector against the simulated venue: in step with it under a clock moved by hand, and once over loopback sockets."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from connectors.clock import ManualClock, SystemClock, settle
from connectors.errors import ConnectFailed, ConnectionLost
from connectors.events import (
    AccountSnapshot,
    CashFlow,
    DailyCloses,
    Event,
    FeedState,
    FeedStatus,
    Fill,
    Instruments,
    Liquidation,
    MarkPrices,
    OutcomeMarkets,
    OutcomePrices,
    ParseError,
    SectionsSnapshot,
    Volumes,
    WalletSnapshot,
)
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.settings import AccountRef, HyperliquidConfig
from connectors.memory import HttpRequest, MemoryHttpTransport
from connectors.model import MarginMode
from connectors.simulator.hyperliquid import ADDRESSES, HyperliquidClient, HyperliquidServer, HyperliquidVenue, demo_desk
from connectors.transport import AiohttpTransport, HttpResponse, WebSocketsTransport

ALL = [AccountRef(alias, address) for alias, address in ADDRESSES.items()]
SETTLED = {FeedStatus.FRESH, FeedStatus.POLLED}


class SimulatedSocket:
    """A connection to the simulated venue without a socket; `pump` brings what the venue said since."""

    def __init__(self, client: HyperliquidClient) -> None:
        self.client = client
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, frame: bytes | str) -> None:
        if self.client.closed:
            raise ConnectionLost("simulated")
        self.client.receive(frame.decode() if isinstance(frame, bytes) else frame)
        self.pump()

    async def recv(self) -> bytes:
        frame = await self._inbox.get()
        if frame is None:
            raise ConnectionLost("simulated")
        return frame

    async def close(self) -> None:
        self.kill()

    def pump(self) -> None:
        for text in self.client.drain():
            self._inbox.put_nowait(text.encode())

    def kill(self) -> None:
        self.client.close()
        self._inbox.put_nowait(None)


class SimulatedTransport:
    def __init__(self, venue: HyperliquidVenue) -> None:
        self.venue = venue
        self.sockets: list[SimulatedSocket] = []

    async def connect(self, url: str) -> SimulatedSocket:
        if self.venue.faults.refusing(self.venue.market.time):
            raise ConnectFailed("simulated", "refused")
        self.sockets.append(SimulatedSocket(self.venue.connect()))
        return self.sockets[-1]


class Simulation:
    """A connector watching the demo desk, both moved by `run`."""

    def __init__(self, accounts: list[AccountRef], *, duration: float = 600.0, **config: Any) -> None:
        self.clock = ManualClock()
        _, self.venue = demo_desk(duration, fillers=0)
        self.sockets = SimulatedTransport(self.venue)
        self.events: list[Event] = []
        overrides = {"ip_budget_share": 1.0, **config}
        self.connector = HyperliquidConnector(
            HyperliquidConfig.testnet(**overrides),
            accounts,
            http=MemoryHttpTransport(self._answer),
            websocket=self.sockets,
            clock=self.clock,
            random=Random(3),
            sink=self.events.extend,
        )
        self._task: asyncio.Task[None] | None = None
        self._kills = 0

    def _answer(self, request: HttpRequest) -> HttpResponse:
        status, headers, body = self.venue.info(request.body)
        return HttpResponse(status, headers, body)

    async def __aenter__(self) -> Simulation:
        self._task = asyncio.create_task(self.connector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await self.connector.stop()
        await self._task

    async def run(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.venue.advance(step)
            if self.venue.faults.kills != self._kills:
                self._kills = self.venue.faults.kills
                for socket in self.sockets.sockets:
                    socket.kill()
            for socket in self.sockets.sockets:
                socket.pump()
            await settle(10)
            await self.clock.advance(step)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def problems(self) -> Counter[tuple[str, str]]:
        return Counter((event.feed, event.kind) for event in self.of(ParseError))

    def statuses(self, account: str | None) -> dict[str, FeedStatus]:
        return {state.feed: state.status for state in self.of(FeedState) if state.account == account}


async def test_whole_story_is_understood_and_its_ledgers_add_up() -> None:
    async with Simulation(ALL, duration=240.0) as simulation:
        await simulation.run(60.0)
        assert set(simulation.statuses(None).values()) <= SETTLED
        for account in ALL:
            statuses = simulation.statuses(account.alias)
            assert statuses.pop("spotClearinghouseState", FeedStatus.POLLED) is FeedStatus.POLLED
            assert set(statuses.values()) == {FeedStatus.FRESH}
        await simulation.run(190.0)
        assert simulation.problems() == Counter()
        snapshots = [*simulation.of(SectionsSnapshot), *simulation.of(AccountSnapshot)]
        standard = {"atlas", "boreas"}
        for snapshot in snapshots:
            for section in snapshot.sections:
                cross = sum(p.quantity * p.mark for p in section.positions if p.margin_mode is MarginMode.CROSS)
                if snapshot.account in standard:
                    assert section.cash + cross == pytest.approx(section.reported_equity, rel=1e-9, abs=1e-3)
        assert simulation.of(Liquidation)
        assert len(simulation.of(Instruments)) == 1
        held = {p.instrument for snapshot in snapshots for section in snapshot.sections for p in section.positions}
        assert held <= {name for event in simulation.of(MarkPrices) for name in event.instruments}
        fills = Counter((event.account, event.fill_id) for event in simulation.of(Fill))
        assert fills.most_common(1)[0][1] == 1


async def test_accounts_beyond_the_share_are_polled_and_the_nearest_to_its_limit_is_pushed() -> None:
    async with Simulation(ALL, ip_budget_share=0.25) as simulation:
        await simulation.run(180.0, step=1.0)
        described = simulation.connector.describe()
        assert (len(described["push_accounts"]), len(described["polled_accounts"])) == (2, 6)
        assert described["waiting_accounts"] == []
        simulation.connector.set_priorities({"helios": 0.97, "gemini": 0.5})
        await simulation.run(90.0, step=1.0)
        assert set(simulation.connector.describe()["push_accounts"]) == {"helios", "gemini"}
        await simulation.run(450.0, step=1.0)
        for account in ALL:
            assert set(simulation.statuses(account.alias).values()) <= SETTLED, account
        # The first minute is that of admission; after it nobody may be crowded out of the budget.
        later = simulation.clock.monotonic_ns() - 660 * 10**9
        stale = [state for state in simulation.of(FeedState) if state.at_ns > later and state.status not in SETTLED and state.account]
        assert stale == []
        assert simulation.connector.describe()["budget"].penalties_total == 0


async def test_killed_sockets_come_back_with_a_refetch_and_without_repeated_fills() -> None:
    async with Simulation(ALL[:3]) as simulation:
        await simulation.run(30.0)
        before = len(simulation.of(AccountSnapshot))
        simulation.venue.faults.kill_sockets()
        await simulation.run(1.0)
        assert FeedStatus.DOWN in {state.status for state in simulation.of(FeedState)}
        await simulation.run(40.0)
        for account in ALL[:3]:
            assert set(simulation.statuses(account.alias).values()) == {FeedStatus.FRESH}
        assert len(simulation.of(AccountSnapshot)) >= before + 3
        fills = Counter((event.account, event.fill_id) for event in simulation.of(Fill))
        assert max(fills.values()) == 1


async def test_frozen_account_feed_is_noticed_and_replaced_by_polling_until_it_thaws() -> None:
    async with Simulation(ALL[:1]) as simulation:
        await simulation.run(30.0)
        simulation.venue.faults.freeze("allDexsClearinghouseState")
        await simulation.run(23.0)
        assert simulation.statuses("atlas")["allDexsClearinghouseState"] is FeedStatus.STALE
        assert simulation.statuses("atlas")["spotState"] is FeedStatus.FRESH
        await simulation.run(30.0)
        assert set(simulation.statuses("atlas").values()) == {FeedStatus.POLLED}
        simulation.venue.faults.thaw("allDexsClearinghouseState")
        await simulation.run(60.0)
        assert set(simulation.statuses("atlas").values()) == {FeedStatus.FRESH}


async def test_frozen_market_feed_is_stale_while_pongs_go_on() -> None:
    async with Simulation(ALL[:1]) as simulation:
        await simulation.run(20.0)
        simulation.venue.faults.freeze("allDexsAssetCtxs")
        await simulation.run(18.0)
        assert simulation.statuses(None)["allDexsAssetCtxs"] is FeedStatus.STALE
        simulation.venue.faults.thaw("allDexsAssetCtxs")
        await simulation.run(10.0)
        assert simulation.statuses(None)["allDexsAssetCtxs"] is FeedStatus.FRESH


async def test_missing_pongs_replace_the_connection() -> None:
    async with Simulation(ALL[:1]) as simulation:
        await simulation.run(5.0)
        simulation.venue.faults.stop_pongs()
        await simulation.run(40.0)
        simulation.venue.faults.resume_pongs()
        assert simulation.connector.market_session.statistics.failures == {"no_pong": 1}
        await simulation.run(60.0)
        assert set(simulation.statuses(None).values()) <= SETTLED


@pytest.mark.parametrize("kind", ["garbage", "truncated", "wrong_shape"])
async def test_spoiled_frames_are_counted_and_survived(kind: Any) -> None:
    async with Simulation(ALL[:2]) as simulation:
        await simulation.run(20.0)
        simulation.venue.faults.corrupt(kind, count=10)
        await simulation.run(40.0)
        assert sum(simulation.problems().values()) >= 5
        assert "internal" not in {error for _, error in simulation.problems()}
        for account in ALL[:2]:
            assert set(simulation.statuses(account.alias).values()) <= SETTLED


async def test_failing_rest_leaves_the_pushed_account_alone() -> None:
    async with Simulation(ALL[:1], resync_interval_s=30.0) as simulation:
        await simulation.run(20.0)
        simulation.venue.faults.fail_rest(502, simulation.venue.market.time + 60.0)
        await simulation.run(50.0)
        assert set(simulation.statuses("atlas").values()) == {FeedStatus.FRESH}
        assert simulation.connector.describe()["failures"]["full:http_502"] >= 1
        simulation.venue.faults.fail_rest(429, simulation.venue.market.time + 20.0)
        await simulation.run(120.0)
        assert simulation.connector.budget.statistics().penalties_total >= 1
        assert simulation.statuses(None)["exchangeStatus"] is FeedStatus.POLLED


async def test_listing_is_followed() -> None:
    async with Simulation(ALL[:1]) as simulation:
        simulation.venue.faults.change_universe("", -1)
        await simulation.run(5.0)
        assert simulation.connector.describe()["reference_stale"] is not None
        simulation.venue.faults.change_universe("", 0)
        await simulation.run(45.0)
        assert simulation.connector.describe()["reference_stale"] is None
        assert len(simulation.of(Instruments)) == 2


async def test_mode_change_trade_and_transfer_are_told() -> None:
    async with Simulation(ALL[:2]) as simulation:
        await simulation.run(20.0)
        seen = len(simulation.events)
        simulation.venue.trade(ADDRESSES["boreas"], "BTC", 0.5)
        simulation.venue.transfer(ADDRESSES["boreas"], "deposit", 1234.5)
        await simulation.run(2.0)
        after = simulation.events[seen:]
        fill = next(
            e for e in after if isinstance(e, Fill) and e.account == "boreas" and e.instrument == "hyperliquid:BTC" and e.quantity == 0.5
        )
        assert fill.time_ms > 0
        assert any(isinstance(e, CashFlow) and e.account == "boreas" and e.amount == 1234.5 for e in after)


async def test_stale_frame_sent_again_is_an_older_state_not_an_error() -> None:
    async with Simulation(ALL[:1]) as simulation:
        await simulation.run(30.0)
        simulation.venue.faults.replay_stale("allDexsClearinghouseState")
        simulation.venue.faults.replay_stale("userFills")
        await simulation.run(10.0)
        fills = Counter((event.account, event.fill_id) for event in simulation.of(Fill))
        assert not fills or max(fills.values()) == 1
        times = [snapshot.sections[0].time_ms for snapshot in simulation.of(SectionsSnapshot)]
        assert times != sorted(times)
        assert simulation.problems() == Counter()


async def test_what_resolvers_need_is_told_by_the_simulated_venue_too() -> None:
    async with Simulation(ALL[:1]) as simulation:
        await simulation.run(60.0, step=1.0)
        markets = simulation.of(OutcomeMarkets)[-1].markets
        assert {market.coin for market in markets} >= {"BTC", "ETH"}
        assert any(market.lower is None for market in markets), "a lowest bucket"
        prices = simulation.of(OutcomePrices)[-1].prices
        assert {outcome for outcome, _ in prices} == {market.outcome for market in markets}
        for outcome in {outcome for outcome, _ in prices}:
            assert prices[outcome, 0] + prices[outcome, 1] == pytest.approx(1.0, abs=1e-6)
        closes = {event.instrument: event.closes for event in simulation.of(DailyCloses)}
        assert set(closes) == {f"hyperliquid:{coin}" for coin in ("BTC", "ETH", "SOL", "HYPE")}
        assert {len(row) for row in closes.values()} == {30}
        held = {position.instrument for event in simulation.of(AccountSnapshot) for one in event.sections for position in one.positions}
        assert simulation.of(Volumes)
        assert held <= {name for event in simulation.of(Volumes) for name in event.volumes}
        assert simulation.problems() == {}


async def test_over_loopback_sockets() -> None:
    _, venue = demo_desk(60.0, fillers=0)
    server = HyperliquidServer(venue, tick=0.02, speed=10.0)
    await server.start()
    events: list[Event] = []
    http = AiohttpTransport()
    connector = HyperliquidConnector(
        HyperliquidConfig(f"{server.rest_url}/info", server.ws_url, ip_budget_share=1.0),
        ALL[:3],
        http=http,
        websocket=WebSocketsTransport(),
        clock=SystemClock(),
        random=Random(1),
        sink=events.extend,
    )
    running = asyncio.create_task(connector.run())
    try:
        async with asyncio.timeout(20.0):
            while not _complete(events, connector):
                await asyncio.sleep(0.02)
    finally:
        await connector.stop()
        await running
        await http.close()
        await server.stop()
    assert not [event for event in events if isinstance(event, ParseError)]


def _complete(events: list[Event], connector: HyperliquidConnector) -> bool:
    pushed = {event.account for event in events if isinstance(event, SectionsSnapshot)}
    wallets = {event.account for event in events if isinstance(event, WalletSnapshot)}
    marks = any(isinstance(event, MarkPrices) for event in events)
    fresh = {state.account for state in connector.feed_states() if state.status is FeedStatus.FRESH}
    return marks and {"atlas", "boreas", "cygnus"} <= pushed & wallets & fresh
