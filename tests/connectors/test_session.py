from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from connectors.backoff import Backoff
from connectors.clock import ManualClock, SystemClock, settle
from connectors.errors import ConnectFailed, HttpError, RateLimited
from connectors.events import Event, VenueStatus
from connectors.memory import MemoryConnection, MemoryWebSocketTransport
from connectors.ratelimit import Budget, BudgetLimits
from connectors.session import MOST_PENDING_FRAMES, ROTATION_OVERLAP_S, Session, Url
from connectors.session_protocol import Tick
from connectors.transport import WebSocketsTransport

SECRET = "0xfeedfacefeedfacefeedfacefeedfacefeedface"
URL = f"wss://stream.example.com/ws/{SECRET}"
ROOMY = BudgetLimits()


class Longest(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


def event(word: str, now_ns: int) -> VenueStatus:
    return VenueStatus("venue", now_ns, 0, (word,))


class RecordingProtocol:
    """Keeps what the session told it, answers what the test put in."""

    def __init__(self, heartbeat_interval_s: float = 20.0) -> None:
        self.heartbeat_interval_s = heartbeat_interval_s
        self.pong_timeout_s = 10.0
        self.desired = [b"subscribe marks"]
        self.changes: list[bytes] = []
        self.ticks: list[Tick] = []
        self.received: list[bytes] = []
        self.reasons: list[str] = []
        self.ticked_ns: list[int] = []
        self.calls: list[str] = []
        self.pong_due_ns: int | None = None
        self.defect_in: str | None = None

    def opened(self, now_ns: int) -> list[bytes]:
        self._called("opened")
        return list(self.desired)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        self._called("receive")
        self.received.append(data)
        if data == b"pong":
            self.pong_due_ns = None
            return []
        return [event(data.decode("latin-1"), now_ns)]

    def heartbeat(self, now_ns: int) -> bytes:
        self._called("heartbeat")
        self.pong_due_ns = self.pong_due_ns or now_ns
        return b"ping"

    def pong_overdue(self, now_ns: int) -> bool:
        return self.pong_due_ns is not None and now_ns - self.pong_due_ns > self.pong_timeout_s * 1e9

    def tick(self, now_ns: int) -> Tick:
        self._called("tick")
        self.ticked_ns.append(now_ns)
        return self.ticks.pop(0) if self.ticks else Tick()

    def closed(self, now_ns: int, reason: str) -> list[Event]:
        self._called("closed")
        self.pong_due_ns = None
        self.reasons.append(reason)
        return [event("down", now_ns)]

    def outgoing(self) -> list[bytes]:
        frames, self.changes = self.changes, []
        return frames

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.defect_in == name:
            self.defect_in = None
            raise KeyError(SECRET)


@dataclass
class Desk:
    """A running session and everything around it."""

    session: Session
    protocol: RecordingProtocol
    transport: MemoryWebSocketTransport
    clock: ManualClock
    budget: Budget
    events: list[Event] = field(default_factory=list)
    run: asyncio.Task[None] | None = None

    @property
    def words(self) -> list[str]:
        return [word for told in self.events if isinstance(told, VenueStatus) for word in told.statuses]

    @property
    def last(self) -> MemoryConnection:
        return self.transport.last


def build(
    *,
    limits: BudgetLimits = ROOMY,
    share: float = 1.0,
    resync: Callable[[], Awaitable[None]] | None = None,
    rotate_after_s: float | None = None,
    url: Url = URL,
    heartbeat_interval_s: float = 20.0,
    sink: Callable[[list[Event]], None] | None = None,
) -> Desk:
    clock, transport, protocol = ManualClock(), MemoryWebSocketTransport(), RecordingProtocol(heartbeat_interval_s)
    budget = Budget("venue", limits, share, clock)
    events: list[Event] = []
    session = Session(
        "venue market",
        url,
        protocol,
        transport,
        sink or events.extend,
        clock=clock,
        random=Longest(),
        budget=budget,
        backoff=Backoff(),
        resync=resync,
        rotate_after_s=None if rotate_after_s is None else lambda: rotate_after_s,
    )
    return Desk(session, protocol, transport, clock, budget, events)


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[Desk]:
    desk.run = asyncio.create_task(desk.session.run())
    await settle()
    try:
        yield desk
    finally:
        await desk.session.stop()
        await asyncio.gather(desk.run, return_exceptions=True)
        assert len(asyncio.all_tasks()) == 1, "a stopped session leaves no task behind"
        assert all(connection.closed for connection in desk.transport.connections)
        assert desk.budget.statistics().connections_used == 0


async def test_frames_go_straight_from_the_protocol_to_the_sink() -> None:
    async with running(build()) as desk:
        desk.last.deliver("one")
        desk.last.deliver("two")
        await settle()

        assert desk.words == ["one", "two"]
        statistics = desk.session.statistics
        assert (statistics.frames, statistics.bytes, statistics.last_frame_ns) == (2, 6, desk.clock.monotonic_ns())
        assert statistics.connected


async def test_garbage_reaches_the_protocol_untouched() -> None:
    garbage = [b"", b"\x00\xff\xfe", b"Websocket connection established.", b"{" * 100_000]
    async with running(build()) as desk:
        for frame in garbage:
            desk.last.deliver(frame)
        await settle()

        assert desk.protocol.received == garbage
        assert desk.transport.attempts == 1


@pytest.mark.parametrize("code", [1000, 1001, 1006, None])
async def test_every_close_is_followed_by_a_new_connection_with_the_subscriptions_replayed(code: int | None) -> None:
    async with running(build()) as desk:
        assert desk.last.sent == [b"subscribe marks"]
        desk.protocol.desired.append(b"subscribe fills")
        desk.last.lose(code)
        await settle()
        assert desk.words == ["down"]
        assert desk.protocol.reasons[0].startswith("the connection to stream.example.com ended with")
        assert not desk.session.statistics.connected
        await desk.clock.advance(1.0)

        assert len(desk.transport.connections) == 2
        assert desk.last.sent == [b"subscribe marks", b"subscribe fills"]
        statistics = desk.session.statistics
        assert (statistics.connects, statistics.reconnects, statistics.failures) == (2, 1, {"connection_lost": 1})
        desk.last.deliver("again")
        await settle()
        assert desk.words == ["down", "again"]


async def test_what_arrived_before_the_close_is_not_lost() -> None:
    async with running(build()) as desk:
        desk.last.deliver("last words")
        desk.last.lose(1000)
        await settle()

        assert desk.words == ["last words", "down"]


async def test_heartbeats_follow_their_interval_and_a_pong_keeps_the_connection() -> None:
    async with running(build()) as desk:
        for _ in range(5):
            await desk.clock.advance(20.0)
            assert desk.last.sent[-1] == b"ping"
            desk.last.deliver("pong")
            await settle()

        assert desk.last.sent.count(b"ping") == 5
        assert desk.transport.attempts == 1


async def test_a_missing_pong_ends_the_connection() -> None:
    async with running(build()) as desk:
        first = desk.last
        await desk.clock.advance(30.0)
        assert not first.closed
        await desk.clock.advance(1.0)

        assert first.closed
        assert desk.protocol.reasons == ["no pong within 10 s"]
        await desk.clock.advance(1.0)
        assert len(desk.transport.connections) == 2
        assert desk.last.sent == [b"subscribe marks"]


async def test_a_stream_without_heartbeats_sends_none() -> None:
    async with running(build(heartbeat_interval_s=math.inf)) as desk:
        await desk.clock.advance(3600.0)

        assert desk.last.sent == [b"subscribe marks"]
        assert desk.transport.attempts == 1


async def test_ticks_come_at_once_and_every_second_and_their_verdicts_are_told() -> None:
    desk = build()
    desk.protocol.ticks = [Tick([event("connecting", 0)]), Tick(), Tick([event("stale", 0)], [b"subscribe again"])]
    async with running(desk):
        assert desk.words == ["connecting"]
        await desk.clock.advance(2.0)

        assert desk.words == ["connecting", "stale"]
        assert desk.last.sent == [b"subscribe marks", b"subscribe again"]
        start = desk.protocol.ticked_ns[0]
        assert [at_ns - start for at_ns in desk.protocol.ticked_ns] == [0, 1_000_000_000, 2_000_000_000]


async def test_a_tick_can_order_a_new_connection_after_telling_its_verdicts() -> None:
    desk = build()
    desk.protocol.ticks = [Tick(), Tick([event("stale", 0)], [b"never sent"], "marks silent for 31 s")]
    async with running(desk):
        await desk.clock.advance(1.0)
        assert desk.words == ["stale", "down"]
        assert desk.protocol.reasons == ["marks silent for 31 s"]
        assert desk.transport.connections[0].sent == [b"subscribe marks"]
        await desk.clock.advance(1.0)

        assert len(desk.transport.connections) == 2


async def test_wake_sends_changed_subscriptions_at_once() -> None:
    async with running(build()) as desk:
        desk.protocol.changes = [b"unsubscribe fills", b"subscribe orders"]
        desk.session.wake()
        await settle()

        assert desk.last.sent == [b"subscribe marks", b"unsubscribe fills", b"subscribe orders"]


async def test_short_lived_connections_back_off_until_one_was_stable_for_a_minute() -> None:
    async with running(build(heartbeat_interval_s=math.inf)) as desk:
        delays = []
        for lived_s in (0.0, 10.0, 59.0, 60.0, 1.0):
            await desk.clock.advance(lived_s)
            begun_ns, attempts = desk.clock.monotonic_ns(), desk.transport.attempts
            desk.last.lose()
            while desk.transport.attempts == attempts:
                await desk.clock.advance(0.25)
            delays.append((desk.clock.monotonic_ns() - begun_ns) / 1e9)

        assert delays == [1.0, 2.0, 4.0, 1.0, 2.0]


async def test_failed_attempts_are_told_to_the_protocol_and_counted_by_kind() -> None:
    desk = build()
    desk.transport.refuse(ConnectFailed("stream.example.com", "refused"), HttpError("stream.example.com", 502))
    async with running(desk):
        await desk.clock.advance(0.5)
        assert desk.words == ["down"]
        await desk.clock.advance(0.5)
        assert desk.words == ["down", "down"]
        await desk.clock.advance(2.0)

        assert desk.session.statistics.connected
        assert desk.session.statistics.failures == {"connect_failed": 1, "http_502": 1}
        assert desk.session.statistics.reconnects == 0


async def test_an_attempt_that_never_answers_times_out() -> None:
    desk = build()
    desk.transport.hang()
    async with running(desk):
        await desk.clock.advance(15.0)
        assert desk.protocol.reasons == ["connecting venue market took longer than 15 s: check the network; it is tried again by itself"]
        await desk.clock.advance(1.0)

        assert desk.session.statistics.connected


async def test_a_refusal_for_too_many_requests_pauses_as_long_as_the_venue_says() -> None:
    desk = build()
    desk.transport.refuse(RateLimited("stream.example.com", 45.0))
    async with running(desk):
        await desk.clock.advance(44.0)
        assert desk.transport.attempts == 1
        assert desk.budget.try_spend(1) > 0.0, "the address is limited, so REST pauses too"
        await desk.clock.advance(1.5)

        assert desk.session.statistics.connected


async def test_new_connections_per_minute_stay_inside_the_budget() -> None:
    async with running(build(limits=BudgetLimits(connects_per_minute=12), share=0.25)) as desk:
        opened_ns: list[int] = []
        for _ in range(1200):
            if len(desk.transport.connections) > len(opened_ns):
                opened_ns.append(desk.clock.monotonic_ns())
                desk.last.lose()
            await desk.clock.advance(0.5)

    assert len(opened_ns) > 10
    for begin_ns in opened_ns:
        assert sum(begin_ns <= at_ns < begin_ns + 60e9 for at_ns in opened_ns) <= 3


async def test_a_replay_larger_than_the_message_budget_is_paced_and_heartbeats_go_first() -> None:
    desk = build(limits=BudgetLimits(messages_per_minute=20))
    desk.protocol.desired = [b"subscribe %d" % number for number in range(40)]
    desk.protocol.pong_timeout_s = math.inf
    async with running(desk):
        assert desk.last.sent == desk.protocol.desired[:18]
        assert desk.session.statistics.pending == 22
        await desk.clock.advance(59.0)
        assert desk.last.sent == [*desk.protocol.desired[:18], b"ping", b"ping"]
        await desk.clock.advance(121.0)

        assert [frame for frame in desk.last.sent if frame != b"ping"] == desk.protocol.desired
        assert desk.session.statistics.pending == 0
        assert desk.session.statistics.pending_peak == 40


async def test_frames_that_pile_up_without_end_cost_the_connection_not_the_memory() -> None:
    async with running(build()) as desk:
        desk.protocol.changes = [b"x"] * (MOST_PENDING_FRAMES + 1)
        desk.session.wake()
        await settle()

        assert desk.session.statistics.failures == {"send_queue_full": 1}
        await desk.clock.advance(1.0)
        assert desk.last.sent == [b"subscribe marks"]


async def test_a_peer_that_stopped_reading_is_noticed() -> None:
    async with running(build()) as desk:
        desk.last.stall()
        await desk.clock.advance(32.0)

        assert desk.protocol.reasons == ["no pong within 10 s"]
    async with running(build(heartbeat_interval_s=math.inf)) as desk:
        desk.last.stall()
        desk.protocol.changes = [b"subscribe fills"]
        desk.session.wake()
        await desk.clock.advance(11.0)

        assert desk.protocol.reasons == ["a frame could not be sent within 10 s"]


async def test_the_resync_runs_beside_the_frames_after_every_connect() -> None:
    begun: list[int] = []

    async def resync() -> None:
        begun.append(desk.clock.monotonic_ns())
        await desk.clock.sleep(5.0)

    desk = build(resync=resync)
    async with running(desk):
        desk.last.deliver("meanwhile")
        await settle()
        assert desk.words == ["meanwhile"]
        assert not desk.session.statistics.resynced
        await desk.clock.advance(5.0)
        assert desk.session.statistics.resynced
        desk.last.lose()
        await desk.clock.advance(1.0)
        assert not desk.session.statistics.resynced
        await desk.clock.advance(5.0)

        assert desk.session.statistics.resyncs == 2
        assert len(begun) == 2


async def test_a_failed_resync_is_tried_again_with_backoff_while_the_connection_lives() -> None:
    outcomes: list[Exception] = [HttpError("h", 502), HttpError("h", 502), RateLimited("h", 25.0), KeyError(SECRET)]
    at_s: list[float] = []

    async def resync() -> None:
        at_s.append((desk.clock.monotonic_ns() - begun_ns) / 1e9)
        if outcomes:
            raise outcomes.pop(0)

    desk = build(resync=resync, heartbeat_interval_s=math.inf)
    begun_ns = desk.clock.monotonic_ns()
    async with running(desk):
        await desk.clock.advance(100.0)

        assert at_s == [0.0, 1.0, 3.0, 28.0, 36.0]
        assert desk.session.statistics.failures == {"resync_http_502": 2, "resync_rate_limited": 1, "resync_internal": 1}
        assert desk.session.statistics.resynced
        assert desk.transport.attempts == 1


async def test_a_resync_of_a_dead_connection_is_given_up() -> None:
    cancelled: list[bool] = []

    async def resync() -> None:
        try:
            await desk.clock.sleep(1000.0)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    desk = build(resync=resync)
    async with running(desk):
        desk.last.lose()
        await settle()

        assert cancelled == [True]


@pytest.mark.parametrize("place", ["opened", "receive", "tick", "heartbeat", "closed"])
async def test_a_defect_of_ours_takes_the_feeds_down_and_starts_over(place: str, caplog: pytest.LogCaptureFixture) -> None:
    desk = build()
    desk.protocol.defect_in = place
    async with running(desk):
        desk.last.deliver("frame")
        desk.protocol.pong_timeout_s = math.inf
        if place == "closed":
            desk.last.lose()
        await desk.clock.advance(25.0)

        assert desk.session.statistics.failures["internal"] == 1
        assert desk.session.statistics.connects == 2
        assert desk.session.statistics.connected
        assert "closed" in desk.protocol.calls
    assert "internal error KeyError in _called" in caplog.text
    assert SECRET not in caplog.text


async def test_a_sink_that_fails_does_not_end_the_session() -> None:
    taken: list[Event] = []

    def sink(events: list[Event]) -> None:
        taken.extend(events)
        if len(taken) == 1:
            raise ZeroDivisionError

    async with running(build(sink=sink)) as desk:
        desk.last.deliver("poison")
        await desk.clock.advance(1.0)
        desk.last.deliver("fine")
        await settle()

    words = [told.statuses[0] for told in taken if isinstance(told, VenueStatus)]
    assert words == ["poison", "down", "fine", "down"]


async def test_an_url_that_changes_is_asked_for_at_every_connect() -> None:
    keys = ["first", "second"]

    async def url() -> str:
        return f"wss://stream.example.com/ws/{keys.pop(0)}"

    async with running(build(url=url)) as desk:
        desk.last.lose()
        await desk.clock.advance(1.0)

        assert [connection.url[-6:] for connection in desk.transport.connections] == ["/first", "second"]


async def test_logs_say_each_kind_once_and_never_an_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "connectors.session"):
        async with running(build()) as desk:
            for _ in range(5):
                desk.last.lose()
                await desk.clock.advance(31.0)

    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([text for text in warnings if "connection_lost" in text]) == 1
    assert all(text.startswith("venue market: ") for text in warnings)
    assert SECRET not in caplog.text


AGE_S = 300.0


def rotating(**options: Any) -> Desk:
    return build(rotate_after_s=AGE_S, heartbeat_interval_s=math.inf, **options)


async def test_a_connection_is_replaced_at_its_age_without_the_protocol_noticing() -> None:
    async with running(rotating()) as desk:
        first = desk.last
        await desk.clock.advance(AGE_S - 1.0)
        assert desk.transport.attempts == 1
        await desk.clock.advance(1.0)
        second = desk.last
        assert second is not first
        assert desk.budget.statistics().connections_used == 2
        second.deliver("by the second")
        first.deliver("by the first")
        await settle()
        assert sorted(desk.words) == ["by the first", "by the second"]
        assert not first.closed
        await desk.clock.advance(ROTATION_OVERLAP_S)
        assert first.closed
        second.deliver("later")
        await settle()

        assert desk.words[-1] == "later"
        assert desk.protocol.calls.count("opened") == 1
        assert "closed" not in desk.protocol.calls
        statistics = desk.session.statistics
        assert (statistics.rotations, statistics.reconnects, statistics.failures) == (1, 0, {})
        assert desk.budget.statistics().connections_used == 1
        assert second.sent == []


async def test_a_frame_that_waits_while_the_connections_are_swapped_is_read_once() -> None:
    async with running(rotating()) as desk:
        first = desk.last
        await desk.clock.advance(AGE_S - 0.5)
        for number in range(200):
            first.deliver(str(number))
        await desk.clock.advance(1.0)

        assert desk.words == [str(number) for number in range(200)]


async def test_every_replacement_ages_anew_and_asks_for_its_url() -> None:
    keys = [f"key{number}" for number in range(10)]

    async def url() -> str:
        return f"wss://stream.example.com/ws/{keys.pop(0)}"

    async with running(rotating(url=url)) as desk:
        await desk.clock.advance(3.5 * AGE_S)

        assert [connection.url[-4:] for connection in desk.transport.connections] == ["key0", "key1", "key2", "key3"]
        assert [connection.closed for connection in desk.transport.connections] == [True, True, True, False]


async def test_the_resync_runs_again_after_a_replacement() -> None:
    runs: list[int] = []

    async def resync() -> None:
        runs.append(desk.clock.monotonic_ns())

    desk = rotating(resync=resync)
    async with running(desk):
        await desk.clock.advance(AGE_S + ROTATION_OVERLAP_S + 1.0)

        assert [(at_ns - runs[0]) / 1e9 for at_ns in runs] == [0.0, AGE_S + ROTATION_OVERLAP_S]
        assert desk.session.statistics.resynced


async def test_a_successor_that_cannot_be_opened_leaves_the_first_serving() -> None:
    async with running(rotating()) as desk:
        first = desk.last
        desk.transport.refuse(ConnectFailed("stream.example.com", "refused"), HttpError("stream.example.com", 502))
        desk.transport.hang()
        await desk.clock.advance(AGE_S + 2.0)
        first.deliver("still here")
        await settle()
        assert desk.words == ["still here"]
        assert desk.transport.attempts == 3
        await desk.clock.advance(30.0)

        assert len(desk.transport.connections) == 2
        assert first.closed
        assert desk.session.statistics.failures == {
            "rotation_connect_failed": 1,
            "rotation_http_502": 1,
            "rotation_timeout": 1,
        }
        assert "closed" not in desk.protocol.calls


async def test_a_refused_successor_pauses_as_long_as_the_venue_says() -> None:
    async with running(rotating()) as desk:
        desk.transport.refuse(RateLimited("stream.example.com", 45.0))
        await desk.clock.advance(AGE_S + 44.0)
        assert desk.transport.attempts == 2
        await desk.clock.advance(2.0)

        assert desk.transport.attempts == 3
        assert desk.session.statistics.rotations == 1


async def test_the_first_ending_before_its_successor_is_there_is_an_ordinary_end() -> None:
    async with running(rotating()) as desk:
        desk.transport.hang()
        await desk.clock.advance(AGE_S)
        desk.last.lose(1001)
        await settle()
        assert desk.words == ["down"]
        await desk.clock.advance(1.0)

        assert desk.protocol.calls.count("opened") == 2
        assert desk.session.statistics.rotations == 0


@pytest.mark.parametrize("after_s", [0.0, 1.0])
async def test_the_first_ending_after_its_successor_took_over_is_no_end(after_s: float) -> None:
    async with running(rotating()) as desk:
        first = desk.last
        await desk.clock.advance(AGE_S)
        await desk.clock.advance(after_s)
        first.lose(1001)
        await settle()
        desk.last.deliver("on")
        await settle()

        assert desk.words == ["on"]
        assert first.closed
        assert desk.transport.attempts == 2
        assert "closed" not in desk.protocol.calls


async def test_a_replacement_over_real_sockets() -> None:
    """The library refuses two readers of one connection, so one has to let go before the other begins."""
    served = 0

    async def talk(connection: ServerConnection) -> None:
        nonlocal served
        served += 1
        while True:
            await connection.send(str(served))
            await asyncio.sleep(0.01)

    clock, words, resyncs = SystemClock(), RecordingProtocol(math.inf), 0

    async def resync() -> None:
        nonlocal resyncs
        resyncs += 1

    async with serve(talk, "127.0.0.1", 0) as server:
        session = Session(
            "venue market",
            f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/{SECRET}",
            words,
            WebSocketsTransport(),
            lambda events: None,
            clock=clock,
            random=Random(1),
            budget=Budget("venue", ROOMY, 1.0, clock),
            resync=resync,
            rotate_after_s=lambda: 0.2 if served < 2 else 1000.0,
        )
        running = asyncio.create_task(session.run())
        async with asyncio.timeout(ROTATION_OVERLAP_S + 20.0):
            while resyncs < 2:
                await asyncio.sleep(0.02)
        assert (session.statistics.rotations, session.statistics.failures, served) == (1, {}, 2)
        assert "closed" not in words.calls
        await session.stop()
        await running


async def test_both_ending_while_they_overlap_is_followed_by_a_new_connection() -> None:
    async with running(rotating()) as desk:
        await desk.clock.advance(AGE_S)
        for connection in desk.transport.connections:
            connection.lose()
        await settle()
        assert desk.words == ["down"]
        await desk.clock.advance(1.0)

        assert desk.protocol.calls.count("opened") == 2
        assert desk.budget.statistics().connections_used == 1


@pytest.mark.parametrize("moment", ["opening", "overlapping", "resyncing"])
async def test_stop_while_replacing(moment: str) -> None:
    async def resync() -> None:
        if desk.session.statistics.rotations:
            await desk.clock.sleep(1000.0)

    desk = rotating(resync=resync)
    async with running(desk):
        if moment == "opening":
            desk.transport.hang()
        await desk.clock.advance(AGE_S + (ROTATION_OVERLAP_S + 1.0 if moment == "resyncing" else 1.0))
        assert desk.transport.attempts == 2


async def test_a_replacement_waits_for_its_part_of_the_budget() -> None:
    async with running(rotating(limits=BudgetLimits(connections=2))) as desk:
        async with desk.budget.connection():
            await desk.clock.advance(AGE_S + 60.0)
            assert desk.transport.attempts == 1
            desk.last.deliver("served meanwhile")
            await settle()
            assert desk.words == ["served meanwhile"]
        await settle()

        assert desk.transport.attempts == 2


async def test_stop_before_run() -> None:
    desk = build()
    await desk.session.stop()
    await desk.session.run()

    assert desk.transport.attempts == 0
    assert desk.protocol.calls == []


async def test_stop_while_connecting() -> None:
    desk = build()
    desk.transport.hang()
    async with running(desk):
        await desk.session.stop()

    assert desk.protocol.reasons == ["stopped"]


async def test_stop_while_connected_tells_the_feeds_down_and_twice_is_harmless() -> None:
    async with running(build()) as desk:
        await asyncio.gather(desk.session.stop(), desk.session.stop())
        await desk.session.stop()

    assert desk.run is not None
    assert desk.run.exception() is None
    assert desk.protocol.reasons == ["stopped"]
    assert desk.words == ["down"]
    assert desk.last.closed


async def test_stopping_twice_does_not_cut_the_goodbye_short() -> None:
    async with running(build()) as desk:
        desk.last.closing.clear()
        stops = [asyncio.create_task(desk.session.stop())]
        await settle()
        stops.append(asyncio.create_task(desk.session.stop()))
        await settle()
        assert not any(stop.done() for stop in stops)
        desk.last.closing.set()
        await asyncio.gather(*stops)

        assert desk.last.closed


async def test_stop_while_backing_off() -> None:
    desk = build()
    desk.transport.refuse(ConnectFailed("stream.example.com", "refused"))
    async with running(desk):
        await desk.session.stop()

    assert desk.transport.attempts == 1
    assert desk.transport.connections == []


async def test_stop_while_waiting_for_a_connection_slot() -> None:
    desk = build(limits=BudgetLimits(connections=2))
    async with desk.budget.connection(), desk.budget.connection():
        run = asyncio.create_task(desk.session.run())
        await settle()
        assert desk.transport.attempts == 0
        await desk.session.stop()
        await run

    assert desk.protocol.calls == []
    assert desk.budget.statistics().waiting == 0


async def test_stop_while_resyncing_and_sending() -> None:
    async def resync() -> None:
        await desk.clock.sleep(1000.0)

    desk = build(resync=resync)
    async with running(desk):
        desk.last.stall()
        desk.protocol.changes = [b"x"]
        desk.session.wake()
        await settle()
        await desk.session.stop()

    assert desk.last.closed


async def test_cancelling_run_is_a_clean_stop() -> None:
    async with running(build()) as desk:
        assert desk.run is not None
        desk.run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await desk.run

    assert desk.last.closed
    assert desk.words == ["down"]


async def test_a_session_runs_once() -> None:
    async with running(build()) as desk:
        with pytest.raises(RuntimeError, match="session venue market already runs"):
            await desk.session.run()


async def test_a_session_that_is_cancelled_from_inside_does_not_end_in_silence() -> None:
    async def url() -> str:
        raise asyncio.CancelledError

    desk = build(url=url)
    with pytest.raises(RuntimeError, match="session venue market ended by itself"):
        await desk.session.run()
    assert desk.words == ["down"]
