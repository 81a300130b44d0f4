"""The connector against the simulated venue: in step with it under a clock moved by hand, and once over loopback sockets.

Whatever goes wrong on the way, what the connector shows must settle to what the venue holds, exactly; and never may it have
asked for anything that is not a read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from connectors.aster.connector import AsterConnector
from connectors.aster.settings import AgentKey, AsterAccountRef, AsterConfig, HmacKey
from connectors.clock import ManualClock, SystemClock, settle
from connectors.errors import ConnectFailed, ConnectionLost
from connectors.events import (
    AccountFailure,
    DailyCloses,
    Event,
    FailureReason,
    FeedState,
    FeedStatus,
    FuturesSnapshot,
    Instruments,
    KeyState,
    Liquidation,
    MarkPrices,
    OrdersSnapshot,
    ParseError,
    Volumes,
)
from connectors.model import FuturesAccount
from connectors.simulator.aster import AsterClient, AsterServer, AsterVenue, Market, credentials, demo_plans
from connectors.transport import AiohttpTransport, HttpResponse, HttpTransport, WebSocketsTransport

COLLATERAL = {"asBNB": "BNB"}


def reference_of(alias: str, **fields: Any) -> AsterAccountRef:
    own = credentials(alias)
    return AsterAccountRef(alias, own.user, AgentKey(own.private_key), **fields)


UMBRA, VELA, WREN = map(reference_of, ("umbra", "vela", "wren"))
GOOD = {FeedStatus.FRESH, FeedStatus.POLLED}


class SimulatedSocket:
    """A connection to the simulated venue without a socket; `pump` brings what the venue said since."""

    def __init__(self, client: AsterClient) -> None:
        self.client = client
        self.lost = False
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, frame: bytes | str) -> None:
        raise AssertionError("the connector has nothing to send")

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


class SimulatedTransport:
    def __init__(self, venue: AsterVenue) -> None:
        self.venue = venue
        self.sockets: list[SimulatedSocket] = []

    async def connect(self, url: str) -> SimulatedSocket:
        if self.venue.faults.refusing(self.venue.market.time):
            raise ConnectFailed("simulated", "refused")
        stream = url.rpartition("/ws/")[2]
        client = self.venue.connect_market([stream]) if "@" in stream else self.venue.connect_user(stream)
        self.sockets.append(SimulatedSocket(client))
        return self.sockets[-1]

    def users(self) -> list[SimulatedSocket]:
        return [socket for socket in self.sockets if socket.client.is_user]


class SimulatedHttp(HttpTransport):
    """Answers are as old as their requests, and arrive `latency_s` later; `meanwhile` is called with the path in between."""

    def __init__(self, venue: AsterVenue, clock: ManualClock) -> None:
        self.latency_s = 0.0
        self.meanwhile: Callable[[str], None] = lambda path: None
        self._venue = venue
        self._clock = clock

    async def request(self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
        path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
        status, told, content = self._venue.request(method, f"/{path}", query, body, headers)
        self.meanwhile(path.rpartition("/")[2])
        if self.latency_s:
            await self._clock.sleep(self.latency_s)
        return HttpResponse(status, {name.lower(): value for name, value in told.items()}, content)

    async def close(self) -> None:
        pass


class Simulation:
    """A connector watching the demo desk, both moved by `run`. `ahead_s`: how far the machine's clock is ahead of the venue's."""

    def __init__(
        self,
        *accounts: AsterAccountRef,
        scenario: str = "calm",
        duration: float = 600.0,
        ahead_s: float = 0.0,
        venue: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        market = Market(7, scenario, duration, 1_790_000_000_000)
        options: dict[str, Any] = {"fillers": 2, "seed": 7, "liquidation_delay": 1.5, "slice_interval": 3.0, **(venue or {})}
        self.venue = AsterVenue(market, demo_plans(scenario), **options)
        self.clock = ManualClock(time_ms=market.now_ms + round(ahead_s * 1000))
        self.sockets = SimulatedTransport(self.venue)
        self.http = SimulatedHttp(self.venue, self.clock)
        self.events: list[Event] = []
        self.accounts = accounts
        settings = {"ip_budget_share": 1.0, "collateral": COLLATERAL, **config}
        self.connector = AsterConnector(
            AsterConfig("https://simulated", "wss://simulated", **settings),
            accounts,
            http=self.http,
            websocket=self.sockets,
            clock=self.clock,
            random=Random(3),
            sink=self.events.extend,
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Simulation:
        self._task = asyncio.create_task(self.connector.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await self.connector.stop()
        await self._task
        assert self.venue.forbidden_requests == 0
        assert self.venue.listen_key_deletes == 0

    async def run(self, seconds: float, step: float = 0.5) -> None:
        for _ in range(round(seconds / step)):
            self.venue.advance(step)
            self.pump()
            await settle(10)
            await self.clock.advance(step)

    def pump(self) -> None:
        for socket in self.sockets.sockets:
            socket.pump()

    async def read(self, *aliases: str) -> None:
        """Have accounts read while the venue stands still."""
        for alias in aliases:
            self.connector.refresh(alias)
        await self.clock.advance(6.0)

    # -- the truth and what is shown --------------------------------------------------------------------------------------

    def account(self, alias: str) -> Any:
        return self.venue.exchange.account(alias)

    def truth(self, alias: str) -> dict[object, object]:
        account = self.account(alias)
        found: dict[object, object] = {"multi": account.multi_assets, "hedge": account.hedge}
        for asset, amount in account.wallet.items():
            if amount or account.cross_wallet(asset):
                found[asset] = (amount, account.cross_wallet(asset))
        for row in account.open_positions():
            isolated = row.isolated_wallet if account.isolated(row) else None
            found[f"aster:{row.symbol.name}", row.side.lower()] = (row.amount, pytest.approx(row.entry, rel=1e-9), approximately(isolated))
        return found

    def shown(self, alias: str) -> dict[object, object]:
        state = self.state(alias)
        found: dict[object, object] = {"multi": state.multi_assets, "hedge": state.hedge_mode}
        found.update({row.asset: (row.wallet, row.cross_wallet) for row in state.assets if row.wallet or row.cross_wallet})
        for row in state.positions:
            assert row.entry is not None
            isolated = None if row.isolated_cash is None else row.isolated_cash + row.quantity * row.entry
            found[row.instrument, str(row.side)] = (row.quantity, row.entry, isolated)
        return found

    def check(self, *aliases: str) -> None:
        """What is shown is what the venue holds."""
        for alias in aliases or [ref.alias for ref in self.accounts]:
            assert self.shown(alias) == self.truth(alias), alias
            assert self.state(alias).doubt == ""

    def state(self, alias: str) -> FuturesAccount:
        snapshot = [event for event in self.of(FuturesSnapshot) if event.account == alias][-1]
        assert isinstance(snapshot, FuturesSnapshot)
        return snapshot.state

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def problems(self) -> Counter[tuple[str, str]]:
        return Counter((event.feed, event.kind) for event in self.of(ParseError))

    def status(self, feed: str, account: str | None = None) -> FeedStatus:
        return self.feed(feed, account).status

    def feed(self, feed: str, account: str | None = None) -> FeedState:
        state = [state for state in self.of(FeedState) if (state.feed, state.account) == (feed, account)][-1]
        assert isinstance(state, FeedState)
        return state

    def told(self, feed: str, account: str, since: int = 0) -> set[FeedStatus]:
        states = [event for event in self.events[since:] if isinstance(event, FeedState)]
        return {state.status for state in states if (state.feed, state.account) == (feed, account)}


def approximately(value: float | None) -> object:
    return None if value is None else pytest.approx(value, rel=1e-9, abs=1e-6)


# -- without faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", ["crash", "squeeze"])
async def test_the_whole_story_is_shown_as_the_venue_has_it_at_every_moment(scenario: str) -> None:
    async with Simulation(UMBRA, VELA, WREN, scenario=scenario, duration=150.0) as simulation:
        await simulation.run(5.0)
        for _ in range(30):
            await simulation.run(5.0)
            simulation.check()
        assert simulation.problems() == Counter()
        assert {event.account for event in simulation.of(Liquidation)} == {"wren"}
        for alias in ("umbra", "vela", "wren"):
            assert simulation.status("account", alias) is FeedStatus.FRESH
            assert simulation.told("account", alias) == {FeedStatus.CONNECTING, FeedStatus.FRESH}
            assert simulation.connector.describe()["corrections"][alias] == 0
        orders = {event.account: event for event in simulation.of(OrdersSnapshot)}
        for alias, event in orders.items():
            resting = {(str(row.number), round(row.quantity - row.filled, 9)) for row in simulation.account(alias).orders.values()}
            assert {(row.order_id, abs(row.quantity)) for row in event.orders} == resting
        assert simulation.status("markPrice") is FeedStatus.FRESH
        held = {row.instrument for alias in orders for row in simulation.state(alias).positions}
        assert held <= set(simulation.of(MarkPrices)[-1].instruments)


async def test_figures_of_the_read_are_those_of_the_venue() -> None:
    async with Simulation(UMBRA, VELA) as simulation:
        await simulation.run(5.0)
        await simulation.read("umbra", "vela")
        umbra, vela = simulation.state("umbra").read, simulation.state("vela").read
        (reported,) = [row for row in umbra.reported if row.asset == "USDT"]
        figures = simulation.venue.figures("umbra")["USDT"]
        assert reported.maintenance_margin == pytest.approx(figures.maintenance_margin, abs=1e-6)
        assert reported.cross_equity == pytest.approx(figures.equity, abs=1e-6)
        figures = simulation.venue.figures("vela")["multi-assets"]
        assert (vela.total_maintenance_margin, vela.total_margin_balance) == pytest.approx(
            (figures.maintenance_margin, figures.equity), abs=1e-6
        )


@pytest.mark.parametrize("latency_s", [0.0, 0.2, 0.9, 1.7])
async def test_trades_while_the_account_is_read_are_neither_lost_nor_told_twice(latency_s: float) -> None:
    async with Simulation(UMBRA, WREN) as simulation:
        simulation.http.latency_s = latency_s
        trades = 0

        def trade(path: str) -> None:
            nonlocal trades
            if path in ("accountWithJoinMargin", "positionRisk", "multiAssetsMargin", "listenKey"):
                trades += 1
                simulation.venue.trade("umbra", "BTCUSDT", 0.5 if trades % 3 else -1.5)
                simulation.venue.trade("wren", "ETHUSDT", 1.0, side="LONG")
                simulation.pump()

        simulation.http.meanwhile = trade
        await simulation.run(25.0)
        simulation.check()
        simulation.http.meanwhile = lambda path: None
        await simulation.run(60.0)
        simulation.check()
        assert trades > 5
        assert simulation.connector.describe()["corrections"] == {"umbra": 0, "wren": 0}


async def test_a_busy_start_beside_a_stream_that_lags() -> None:
    async with Simulation(UMBRA) as simulation:
        simulation.venue.faults.delay_user_events(1.5)
        simulation.http.latency_s = 0.4
        for number in range(40):
            simulation.venue.trade("umbra", "BTCUSDT", 0.1 if number % 2 else -0.3)
            await simulation.run(0.5)
        simulation.venue.faults.delay_user_events(0.0)
        await simulation.run(5.0)
        simulation.check()


# -- the stream's faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "duplicate", "reorder"])
async def test_events_lost_doubled_or_swapped_are_made_good(fault: Any) -> None:
    async with Simulation(UMBRA, WREN) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.spoil_user_events(fault, 25)
        await simulation.run(20.0)
        if fault != "drop":
            await simulation.run(5.0)
            simulation.check()
        await simulation.run(60.0)
        simulation.check()
        assert {simulation.status("account", alias) for alias in ("umbra", "wren")} == {FeedStatus.FRESH}
        assert simulation.problems() == Counter()


async def test_a_lost_close_is_found_by_the_next_read() -> None:
    async with Simulation(WREN) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.spoil_user_events("drop", 1, event="ACCOUNT_UPDATE")
        simulation.venue.trade("wren", "BTCUSD1", -simulation.account("wren").position("BTCUSD1", "LONG").amount, side="LONG")
        await simulation.run(50.0)
        simulation.check()
        assert ("aster:BTCUSD1", "long") not in simulation.shown("wren")


async def test_delayed_events_end_in_the_true_state() -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.delay_user_events(12.0)
        await simulation.run(60.0)
        simulation.venue.faults.delay_user_events(0.0)
        await simulation.run(6.0)
        simulation.check()


async def test_a_stream_that_falls_silent_is_found_by_two_corrected_reads() -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        first = simulation.sockets.users()[-1]
        simulation.venue.faults.silence_users()
        await simulation.run(100.0)
        assert simulation.sockets.users()[-1] is not first
        assert simulation.connector.describe()["connections"]["aster umbra"].failures == {"protocol_asked": 1}
        assert simulation.connector.describe()["corrections"]["umbra"] >= 2
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        simulation.check()


async def test_killed_sockets_are_replaced_and_their_gap_is_read() -> None:
    async with Simulation(UMBRA, VELA, WREN) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.refuse_connects(simulation.venue.market.time + 30.0)
        simulation.venue.faults.kill_sockets()
        await simulation.run(20.0)
        for alias in ("umbra", "vela", "wren"):
            assert simulation.status("account", alias) is FeedStatus.POLLED
            assert simulation.status("userStream", alias) is FeedStatus.DOWN
        assert simulation.status("markPrice") is FeedStatus.DOWN
        await simulation.run(45.0)
        for alias in ("umbra", "vela", "wren"):
            assert simulation.status("account", alias) is FeedStatus.FRESH
        assert simulation.status("markPrice") is FeedStatus.FRESH
        simulation.check()


async def test_spoiled_frames_are_counted_and_what_they_said_is_read() -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        for kind in ("garbage", "truncated", "wrong_shape"):
            simulation.venue.faults.corrupt(kind, count=8)
        await simulation.run(20.0)
        assert sum(simulation.problems().values()) >= 20
        assert not [kind for _, kind in simulation.problems() if kind == "internal"]
        await simulation.run(40.0)
        simulation.check()
        assert simulation.status("account", "umbra") is FeedStatus.FRESH


async def test_a_listen_key_that_expires_mid_run_is_replaced() -> None:
    async with Simulation(UMBRA, venue={"listen_key_life_s": 40.0}) as simulation:
        await simulation.run(150.0)
        assert len(simulation.sockets.users()) >= 4
        reasons = simulation.connector.describe()["connections"]["aster umbra"].failures
        assert set(reasons) == {"protocol_asked"}
        await simulation.run(5.0)
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        simulation.check()


async def test_a_listen_key_is_kept_alive() -> None:
    async with Simulation(UMBRA, venue={"listen_key_life_s": 40.0}, listen_key_s=20.0) as simulation:
        await simulation.run(150.0)
        assert len(simulation.sockets.users()) == 1
        assert simulation.venue.rest.requests["PUT", "/fapi/v3/listenKey"] == 7
        simulation.check()


async def test_the_daily_cut_costs_a_moment() -> None:
    async with Simulation(UMBRA, venue={"socket_life_s": 60.0}, rotate_after_s=(10_000.0, 10_001.0)) as simulation:
        await simulation.run(10.0)
        seen = len(simulation.events)
        await simulation.run(175.0)
        assert FeedStatus.DOWN in simulation.told("userStream", "umbra", seen)
        assert FeedStatus.STALE not in simulation.told("account", "umbra", seen)
        simulation.check()
        assert simulation.connector.describe()["connections"]["aster umbra"].reconnects == 3


async def test_rotation_comes_before_the_daily_cut_and_is_not_noticed() -> None:
    async with Simulation(UMBRA, venue={"socket_life_s": 60.0}, rotate_after_s=(40.0, 50.0)) as simulation:
        await simulation.run(10.0)
        seen = len(simulation.events)
        for _ in range(17):
            await simulation.run(10.0)
            simulation.check()
        assert simulation.told("account", "umbra", seen) == simulation.told("userStream", "umbra", seen) == set()
        for session in simulation.connector.describe()["connections"].values():
            assert session.rotations >= 3
            assert (session.reconnects, session.failures) == (0, {})
        assert simulation.connector.describe()["corrections"] == {"umbra": 0}


# -- clocks and limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [30.0, -30.0])
@pytest.mark.parametrize("hmac", [False, True])
async def test_a_machine_whose_clock_is_off_asks_in_the_venues_time(ahead_s: float, hmac: bool) -> None:
    own = credentials("umbra")
    old = AsterAccountRef("umbra", None, HmacKey(own.api_key, own.api_secret), allow_unsafe_key=True)
    async with Simulation(old if hmac else UMBRA, ahead_s=ahead_s) as simulation:
        await simulation.run(60.0)
        simulation.check()
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        assert simulation.connector.describe()["clock_offset_ms"] == pytest.approx(-1000 * ahead_s, abs=600)
        assert simulation.connector.describe()["failures"] == {}


@pytest.mark.parametrize("step_ms", [30_000, -30_000])
async def test_a_venue_whose_clock_jumps_is_followed(step_ms: int) -> None:
    async with Simulation(UMBRA, order_refresh_s=1000.0) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.step_clock(step_ms)
        await simulation.run(120.0)
        assert simulation.connector.describe()["clock_offset_ms"] == pytest.approx(step_ms, abs=600)
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        simulation.check()


@pytest.mark.parametrize("status", [429, 418])
async def test_refused_for_too_many_requests(status: int) -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.fail_rest(status, simulation.venue.market.time + 8.0)
        simulation.venue.faults.kill_user_sockets()
        await simulation.run(20.0)
        assert simulation.connector.budget.statistics().penalties_total >= 1
        await simulation.run(150.0)
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        simulation.check()


async def test_what_resolvers_need_is_told_by_the_simulated_venue_too() -> None:
    async with Simulation(VELA) as simulation:
        simulation.connector.watch_coins(["BTC", "ETH", "NOCOIN"])
        await simulation.run(60.0, step=1.0)
        volumes = simulation.of(Volumes)[-1].volumes
        assert min(volumes[position.instrument] for position in simulation.state("vela").positions) > 0.0
        closes = {event.instrument: event.closes for event in simulation.of(DailyCloses)}
        assert set(closes) == {"aster:BTCUSDT", "aster:ETHUSDT"}
        assert {len(row) for row in closes.values()} == {30}
        assert simulation.problems() == {}


async def test_an_address_that_others_use_up_is_shared_politely() -> None:
    async with Simulation(UMBRA, VELA, WREN, ip_budget_share=0.25, venue={"read_only_listen_keys": False}) as simulation:
        await simulation.run(10.0)
        await simulation.run(50.0, step=1.0)
        for _ in range(6):
            simulation.venue.spend_weight(1900)
            await simulation.run(50.0, step=1.0)
            assert simulation.connector.budget.statistics().venue_usage_ratio > 0.6
            assert simulation.connector.describe()["poll_period_s"] > 15.0
            assert {simulation.status("account", alias) for alias in ("umbra", "vela", "wren")} == {FeedStatus.POLLED}
            await simulation.run(10.0, step=1.0)
        assert simulation.connector.budget.statistics().penalties_total == 0
        await simulation.run(70.0)
        await simulation.read("umbra", "vela", "wren")
        simulation.check()


# -- keys ---------------------------------------------------------------------------------------------------------------


def approve(simulation: Simulation, alias: str, **rights: Any) -> None:
    """Change what the account's agent may do."""
    account = simulation.account(alias)
    account.plan = replace(account.plan, agents=(replace(account.plan.agents[0], **rights),))


async def test_an_agent_that_expires_is_told_and_its_successor_used() -> None:
    async with Simulation(UMBRA, key_check_s=100.0) as simulation:
        approve(simulation, "umbra", expired_ms=simulation.venue.market.now_ms + 60_000)
        await simulation.run(10.0)
        assert "expires in 0.0 days" in simulation.of(KeyState)[-1].warning
        await simulation.run(110.0)
        assert simulation.of(AccountFailure)[-1].reason is FailureReason.KEY_REFUSED
        assert simulation.status("account", "umbra") is FeedStatus.DOWN
        approve(simulation, "umbra", expired_ms=simulation.venue.market.now_ms + 10**12)
        await simulation.run(110.0)
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        simulation.check()


async def test_an_unsafe_agent_is_not_used_and_the_others_are_watched() -> None:
    simulation = Simulation(UMBRA, VELA)
    approve(simulation, "umbra", can_perp_trade=True)
    async with simulation:
        await simulation.run(20.0)
        assert [(event.account, event.reason) for event in simulation.of(AccountFailure)][:1] == [("umbra", FailureReason.UNSAFE_KEY)]
        assert "umbra" not in {event.account for event in simulation.of(FuturesSnapshot)}
        assert simulation.status("account", "vela") is FeedStatus.FRESH
        simulation.check("vela")
        assert any(one.tiers for one in simulation.of(Instruments)[-1].instruments)


async def test_an_agent_that_becomes_unsafe_is_let_go() -> None:
    async with Simulation(UMBRA, key_check_s=30.0) as simulation:
        await simulation.run(10.0)
        assert simulation.status("account", "umbra") is FeedStatus.FRESH
        approve(simulation, "umbra", can_withdraw=True)
        while simulation.status("account", "umbra") is not FeedStatus.DOWN:
            await simulation.run(0.5)
        before = simulation.venue.rest.requests.copy()
        await simulation.run(130.0)
        assert {path for _, path in simulation.venue.rest.requests - before} == {"/fapi/v3/agent"}
        assert all(socket.client.closed for socket in simulation.sockets.users())


async def test_a_read_only_agent_without_a_stream_is_polled_and_says_so() -> None:
    async with Simulation(UMBRA, WREN, venue={"read_only_listen_keys": False}) as simulation:
        await simulation.run(30.0)
        for alias in ("umbra", "wren"):
            assert simulation.status("account", alias) is FeedStatus.POLLED
            assert simulation.status("userStream", alias) is FeedStatus.DOWN
        assert {event.account for event in simulation.of(KeyState) if "so it is polled" in event.warning} == {"umbra", "wren"}
        assert simulation.of(AccountFailure) == []
        assert simulation.sockets.users() == []
        await simulation.read("umbra", "wren")
        simulation.check()


async def test_a_key_of_somebody_else_is_refused() -> None:
    stranger = replace(UMBRA, credential=AgentKey(credentials("vela").private_key))
    async with Simulation(stranger) as simulation:
        await simulation.run(20.0)
        assert simulation.of(AccountFailure)[-1].reason is FailureReason.KEY_REFUSED
        assert simulation.of(FuturesSnapshot) == []
        assert simulation.status("account", "umbra") is FeedStatus.DOWN


# -- reads that fail ----------------------------------------------------------------------------------------------------

ACCOUNT_PATH = "/fapi/v3/accountWithJoinMargin"


@pytest.mark.parametrize(
    ("status", "code", "words"), [(200, None, "web page"), (502, None, "502"), (200, -1000, "-1000"), (403, None, "403")]
)
async def test_a_read_that_is_answered_with_a_page_or_an_error_goes_down_with_it_and_recovers(
    status: int, code: int | None, words: str
) -> None:
    async with Simulation(UMBRA, VELA, venue={"read_only_listen_keys": False}) as simulation:
        await simulation.run(10.0)
        until = simulation.venue.market.time + 30.0
        simulation.venue.faults.fail_rest(status, until, request=ACCOUNT_PATH, code=code)
        await simulation.run(28.0)
        for alias in ("umbra", "vela"):
            assert simulation.status("account", alias) is FeedStatus.DOWN
            assert words in simulation.feed("account", alias).detail
            assert f"account {alias}" in simulation.feed("account", alias).detail
        await simulation.run(20.0)
        for alias in ("umbra", "vela"):
            assert simulation.status("account", alias) is FeedStatus.POLLED
        await simulation.read("umbra", "vela")
        simulation.check()


async def test_failing_rest_leaves_a_listening_account_alone() -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        simulation.venue.faults.fail_rest(502, simulation.venue.market.time + 90.0)
        for _ in range(8):
            await simulation.run(10.0)
            simulation.check()
        assert simulation.told("account", "umbra") == {FeedStatus.CONNECTING, FeedStatus.FRESH}
        assert simulation.connector.describe()["failures"]["read:http_502"] >= 1


# -- modes --------------------------------------------------------------------------------------------------------------


async def test_a_change_of_mode_is_doubted_then_read() -> None:
    async with Simulation(UMBRA) as simulation:
        await simulation.run(10.0)
        simulation.http.latency_s = 1.0
        simulation.venue.set_multi_assets("umbra", True)
        simulation.pump()
        await settle()
        assert simulation.state("umbra").doubt
        await simulation.run(10.0)
        assert simulation.state("umbra").multi_assets
        simulation.check()


async def test_a_change_of_mode_that_no_stream_tells_is_found() -> None:
    async with Simulation(UMBRA, venue={"read_only_listen_keys": False}) as simulation:
        await simulation.run(10.0)
        simulation.venue.set_multi_assets("umbra", True)
        await simulation.run(320.0, step=1.0)
        assert simulation.state("umbra").multi_assets


# -- over sockets -------------------------------------------------------------------------------------------------------


async def test_over_loopback_sockets() -> None:
    venue = AsterVenue(Market(7, "calm", 60.0, 1_790_000_000_000), demo_plans("calm"), fillers=2, mark_interval=0.2)
    server = AsterServer(venue, autorun=True, tick=0.02)
    await server.start()
    events: list[Event] = []
    http = AiohttpTransport()
    connector = AsterConnector(
        AsterConfig(server.rest_url, server.ws_url, ip_budget_share=1.0, collateral=COLLATERAL, rotate_after_s=(1.0, 1.2)),
        [UMBRA, VELA, WREN],
        http=http,
        websocket=WebSocketsTransport(ping_interval_s=20.0),
        clock=SystemClock(),
        random=Random(1),
        sink=events.extend,
    )
    running = asyncio.create_task(connector.run())
    try:
        async with asyncio.timeout(30.0):
            while not _complete(events, connector):
                await asyncio.sleep(0.02)
    finally:
        await connector.stop()
        await running
        await http.close()
        await server.stop()
    assert not [event for event in events if isinstance(event, ParseError)]
    assert venue.forbidden_requests == venue.listen_key_deletes == 0
    assert [session.failures for session in connector.describe()["connections"].values()] == [{}] * 4


def _complete(events: list[Event], connector: AsterConnector) -> bool:
    sources = {(event.account, event.source.value) for event in events if isinstance(event, FuturesSnapshot)}
    fresh = {state.account for state in connector.feed_states() if state.feed == "account" and state.status is FeedStatus.FRESH}
    marks = any(isinstance(event, MarkPrices) and event.time_ms for event in events)
    rotated = all(session.rotations for session in connector.describe()["connections"].values())
    return marks and rotated and {"umbra", "vela", "wren"} <= fresh and {("umbra", "push"), ("umbra", "poll")} <= sources
