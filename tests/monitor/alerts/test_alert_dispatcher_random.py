"""Any incidents, any failures, restarts at any point: nothing is lost, order holds, whoever was told the beginning is told the end."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.clock import ManualClock, cancel_all
from monitor.alerts.alert import Alert
from monitor.alerts.dispatcher import Dispatcher, DispatcherConfig, LineSettings, Seams
from monitor.alerts.incident import Change
from monitor.alerts.message import Delivery, Message
from monitor.alerts.outbox import Outcome
from monitor.alerts.parcel import order_of
from monitor.alerts.routing import Route
from monitor.alerts.scope import AlertScope
from monitor.margin.result import Level
from tests.monitor.alerts.dispatch_doubles import FAILS, FATAL, MemoryOutbox, alert, end, submit

MOODS = ("works", "works", "works", "fails", "fatal", "hangs", "some", "slow", "busy", "bug", "unheard")
DEADLINE_S = 100.0
LEVELS = (Level.WARNING, Level.CRITICAL, Level.LIQUIDATION)


class Moody:
    """A receiver in a mood. `taken` is what it said it took; it outlives the processes."""

    def __init__(self, name: str, clock: ManualClock, chance: random.Random) -> None:
        self.name = name
        self.mood = "works"
        self.taken: list[Alert] = []
        self.unheard = 0
        self._clock = clock
        self._chance = chance

    async def send(self, message: Message) -> Delivery:
        match self.mood:
            case "fails":
                return FAILS
            case "fatal":
                return FATAL
            case "busy":
                return Delivery(False, "HTTP status 429", retry_after_s=self._chance.choice((0.0, 5.0, 200.0)))
            case "bug":
                raise KeyError("https://secret")
            case "hangs" | "unheard":
                await asyncio.get_running_loop().create_future()
            case "slow":
                await self._clock.sleep(7.0)
            case "some":
                some = [told for told in message.alerts if self._chance.random() < 0.5]
                self.taken += some
                return Delivery(False, "the rest follows", taken=frozenset(told.id for told in some))
        self.taken += message.alerts
        return Delivery(True)


@dataclass
class World:
    """Receivers, an outbox, the alarm's incidents, and one process after the other."""

    chance: random.Random
    clock: ManualClock = field(default_factory=ManualClock)
    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    open: dict[str, Alert] = field(default_factory=dict)
    told: list[Alert] = field(default_factory=list)
    number: int = 0
    failed: int = 0
    delivered: int = 0

    def __post_init__(self) -> None:
        self.receivers = [Moody(name, self.clock, self.chance) for name in ("log", "ops", "pager", "last")]
        self.receivers[0].mood = "works"

    def start(self) -> None:
        levels = (Level.WARNING, Level.WARNING, Level.CRITICAL, Level.BREACH)
        lines = [
            LineSettings(receiver, Route(level), is_log=receiver.name == "log")
            for receiver, level in zip(self.receivers, levels, strict=True)
        ]
        seams = Seams(self.clock, self.chance.random)
        self.dispatcher = Dispatcher(lines, self.outbox, config=DispatcherConfig(deadline_s=DEADLINE_S), seams=seams)
        self.dispatcher.start(self.outbox.recovered())

    async def kill(self) -> None:
        """As kill -9: what is in the outbox is all that is left."""
        for row in self.dispatcher.statistics():
            self.failed += row.failed
            self.delivered += row.delivered
        await cancel_all(*self.dispatcher._tasks.values())

    def next_alert(self, name: str) -> Alert:
        now = self.open.get(name)
        scope = AlertScope.pool("hyperliquid", "hl-main", name)
        time_ms = self.clock.time_ms()
        if now is None:
            self.number += 1
            told = alert(name, 1, level=self.chance.choice(LEVELS), number=self.number, scope=scope, time_ms=time_ms)
        elif self.chance.random() < 0.4:
            told = end(name, now.sequence + 1, now.level, number=now.number, scope=scope, time_ms=time_ms)
        else:
            level = self.chance.choice(LEVELS)
            change = Change.ESCALATED if level > now.level else Change.DEESCALATED if level < now.level else Change.REPEATED
            told = alert(name, now.sequence + 1, change, level, previous=now.level, number=now.number, scope=scope, time_ms=time_ms)
        if told.is_resolved:
            del self.open[name]
        else:
            self.open[name] = told
        self.told.append(told)
        return told

    async def act(self, action: str) -> None:
        match action:
            case "tell":
                submit(self.dispatcher, [self.next_alert(name) for name in self.chance.sample("abc", self.chance.randint(1, 3))])
                await self.clock.advance(0)
            case "mood":
                self.chance.choice(self.receivers[1:]).mood = self.chance.choice(MOODS)
            case "disk":
                self.outbox.mode = self.chance.choice(("ok", "ok", "fails", "hangs"))
            case "kill":
                # An alert counts from when it is handed over: `hangs` holds it for a second.
                await self.clock.advance(1.1)
                await self.kill()
                self.start()
            case "wait":
                await self.clock.advance(self.chance.choice((0.3, 2.0, 20.0, 120.0)))


ACTIONS = st.lists(st.sampled_from(("tell", "tell", "tell", "mood", "mood", "disk", "kill", "wait", "wait")), min_size=1, max_size=40)


async def lived(actions: list[str], seed: int, *, heals: bool) -> World:
    world = World(random.Random(seed))
    world.start()
    for action in actions:
        await world.act(action)
    if heals:
        for receiver in world.receivers:
            receiver.mood = "works"
    world.outbox.mode = "ok"
    await world.clock.advance(5 * DEADLINE_S + 300)
    await world.kill()
    return world


def check_nothing_is_lost(world: World) -> None:
    outcomes = world.outbox.outcomes()
    taken = {receiver.name: {told.id for told in receiver.taken} for receiver in world.receivers}
    routed = {id for id, _ in outcomes}
    assert routed == {told.id for told in world.told}, "the log takes all"
    assert Outcome.PENDING not in outcomes.values()
    for (id, name), outcome in outcomes.items():
        elsewhere = [other for (same, other), _ in outcomes.items() if same == id and other not in (name, "log")]
        if outcome is Outcome.DELIVERED:
            assert id in taken[name]
        elif outcome is Outcome.ESCALATED:
            assert elsewhere, (id, name)
        elif outcome is Outcome.DROPPED:
            of = world.outbox.deliveries[id, name].alert
            assert any(got.key == of.key and order_of(got) > order_of(of) for got in _receiver(world, name).taken)
    for told in world.told:
        ended = {outcome for (id, name), outcome in outcomes.items() if id == told.id and name != "log"}
        assert not ended or ended & {Outcome.DELIVERED, Outcome.FAILED, Outcome.DROPPED}, "passed on in a circle"
    assert world.outbox.violations == []
    assert world.failed == sum(outcome is Outcome.FAILED for outcome in outcomes.values())
    assert world.delivered == sum(len(receiver.taken) for receiver in world.receivers)


def check_order(world: World) -> None:
    for receiver in world.receivers:
        for key in {told.key for told in receiver.taken}:
            orders = [order_of(told) for told in receiver.taken if told.key == key]
            assert orders == sorted(set(orders)), (receiver.name, key)


def check_ends(world: World) -> None:
    """Whoever took a beginning has the end on its list: taken, or passed on or failed because it did not take it in time."""
    ends = {told.incident: told for told in world.told if told.is_resolved}
    outcomes = world.outbox.outcomes()
    for receiver in world.receivers:
        for incident in {told.incident for told in receiver.taken if told.incident in ends}:
            outcome = outcomes.get((ends[incident].id, receiver.name))
            assert outcome is not None, (incident, receiver.name)
            if outcome is Outcome.DELIVERED:
                assert ends[incident].id in {told.id for told in receiver.taken}


def _receiver(world: World, name: str) -> Moody:
    return next(receiver for receiver in world.receivers if receiver.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("heals", [True, False])
def test_nothing_is_lost_whatever_happens(heals: bool) -> None:
    @settings(max_examples=60)
    @given(actions=ACTIONS, seed=st.integers(0, 2**32))
    def lives(actions: list[str], seed: int) -> None:
        world = asyncio.run(lived(actions, seed, heals=heals))
        check_nothing_is_lost(world)
        check_order(world)
        check_ends(world)

    lives()


def test_a_receiver_that_works_again_at_once_misses_nothing() -> None:
    """Failures shorter than the deadline, restarts included: every receiver gets all that it is for, without an escalation."""

    @settings(max_examples=30)
    @given(seed=st.integers(0, 2**32))
    def lives(seed: int) -> None:
        world = asyncio.run(_short_failures(seed))
        check_order(world)
        assert set(world.outbox.outcomes().values()) == {Outcome.DELIVERED}
        assert {told.id for told in _receiver(world, "ops").taken} == {told.id for told in world.told}

    lives()


async def _short_failures(seed: int) -> World:
    world = World(random.Random(seed))
    world.start()
    for _ in range(8):
        for receiver in world.receivers[1:]:
            receiver.mood = world.chance.choice(("works", "fails", "hangs", "slow", "bug"))
        await world.act("tell")
        await world.act(world.chance.choice(("tell", "kill")))
        await world.clock.advance(world.chance.choice((0.5, 4.0)))
        for receiver in world.receivers:
            receiver.mood = "works"
        await world.clock.advance(60)
    await world.kill()
    return world
