"""Doubles for the dispatcher's tests: an outbox in memory, receivers that do as they are told, alerts of invented incidents."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.clock import ManualClock
from monitor.alerts.alert import Alert
from monitor.alerts.dispatcher import Dispatcher, DispatcherConfig, LineSettings, Seams
from monitor.alerts.incident import Change, OpenIncident, key_of
from monitor.alerts.message import Delivery, Message
from monitor.alerts.outbox import Batch, Outcome, PendingDelivery, Recovered
from monitor.alerts.routing import Route
from monitor.alerts.rules import Rule
from monitor.alerts.scope import AlertScope
from monitor.alerts.silences import Silence, Silences
from monitor.margin.result import Level


def alert(name: str = "USDC", sequence: int = 1, change: Change = Change.FIRED, level: Level = Level.CRITICAL, **fields: Any) -> Alert:
    scope = fields.pop("scope", AlertScope.pool("hyperliquid", "hl-main", name))
    values: dict[str, Any] = {
        "key": key_of(scope, Rule.LEVEL),
        "number": 1,
        "sequence": sequence,
        "rule": Rule.LEVEL,
        "change": change,
        "level": level,
        "previous": Level.OK,
        "scope": scope,
        "title": f"{level.label.upper()} 92% hl-main/{name}: step {sequence}",
        "details": (),
        "time_ms": 1_700_000_000_000,
        "opened_ms": 1_700_000_000_000,
    }
    return Alert(**{**values, **fields})


def end(name: str = "USDC", sequence: int = 2, previous: Level = Level.CRITICAL, **fields: Any) -> Alert:
    return alert(name, sequence, Change.RESOLVED, Level.OK, previous=previous, **fields)


def incident(told: Alert) -> OpenIncident:
    return OpenIncident(told.key, told.number, told.sequence, told.rule, told.scope, told.level, 0.0, 0.0)


@dataclass
class Kept:
    """One alert at one receiver, as the outbox holds it."""

    alert: Alert
    outcome: Outcome
    deadline_ms: int
    reason: str = ""
    attempts: int = 0


class MemoryOutbox:
    """Keeps everything at once. `mode`: ok, fails (keeps, but says False), hangs, raises."""

    def __init__(self, mode: str = "ok", *, is_durable: bool = True) -> None:
        self.mode = mode
        self.is_durable = is_durable
        self.problem = ""
        self.batches: list[Batch] = []
        self.deliveries: dict[tuple[str, str], Kept] = {}
        self.open: dict[str, Alert] = {}
        self.handles: dict[str, dict[str, str]] = {}
        self.silences: dict[str, Silence] = {}
        self.violations: list[str] = []

    async def write(self, batch: Batch) -> bool:
        if self.mode == "raises":
            raise OSError("/a/secret/path")
        self.batches.append(batch)
        for told in batch.alerts:
            for receiver, outcome in batch.receivers[told.id]:
                self.deliveries[told.id, receiver] = Kept(told, outcome, batch.deadline_ms)
        latest = {told.key: told for told in batch.alerts}
        self.open |= {now.key: latest[now.key] for now in batch.open}
        for key in batch.closed:
            self.open.pop(key, None)
        if self.mode == "hangs":
            await asyncio.get_running_loop().create_future()
        return self.mode == "ok"

    def settle(
        self, ids: Sequence[str], receiver: str, outcome: Outcome, now_ms: int, reason: str = "", handles: Mapping[str, str] | None = None
    ) -> None:
        for id in ids:
            if (kept := self.deliveries.get((id, receiver))) is not None:
                kept.outcome, kept.reason = outcome, reason
        self.handles.setdefault(receiver, {}).update(handles or {})

    def tried(self, ids: Sequence[str], receiver: str, reason: str) -> None:
        for id in ids:
            if (kept := self.deliveries.get((id, receiver))) is not None:
                kept.attempts += 1
                kept.reason = reason

    def reassign(self, alerts: Sequence[Alert], receiver: str, deadline_ms: int) -> None:
        for told in alerts:
            before = self.deliveries.get((told.id, receiver))
            if before is not None and before.outcome in (Outcome.PENDING, Outcome.DELIVERED):
                self.violations.append(f"{told.id} is {before.outcome.value} at {receiver} already")
            self.deliveries[told.id, receiver] = Kept(told, Outcome.PENDING, deadline_ms)

    def keep_silence(self, silence: Silence) -> None:
        self.silences[silence.id] = silence

    def outcomes(self) -> dict[tuple[str, str], Outcome]:
        return {place: kept.outcome for place, kept in self.deliveries.items()}

    def recovered(self) -> Recovered:
        pending = [(k.alert, receiver, k.deadline_ms) for (_, receiver), k in self.deliveries.items() if k.outcome is Outcome.PENDING]
        pending.sort(key=lambda row: (row[0].time_ms, row[0].number, row[0].sequence))
        told: dict[str, dict[str, int]] = {}
        alive = {latest.incident for latest in self.open.values()} | {row[0].incident for row in pending}
        for (_, receiver), kept in self.deliveries.items():
            if kept.outcome in (Outcome.PENDING, Outcome.DELIVERED) and kept.alert.incident in alive:
                sequences = told.setdefault(kept.alert.incident, {})
                sequence = kept.alert.sequence if kept.outcome is Outcome.DELIVERED else 0
                sequences[receiver] = max(sequences.get(receiver, 0), sequence)
        return Recovered(
            open=tuple(incident(latest) for latest in self.open.values()),
            pending=tuple(PendingDelivery(*row) for row in pending),
            handles={receiver: dict(handles) for receiver, handles in self.handles.items()},
            told=told,
            latest=tuple(self.open.values()),
            silences=tuple(self.silences.values()),
        )


Answer = Delivery | BaseException | str


class Pager:
    """A receiver that answers from a list, then with `always`. "hang": never answers."""

    def __init__(self, name: str = "ops", *answers: Answer, always: Answer | None = None) -> None:
        self.name = name
        self.answers = list(answers)
        self.always: Answer = always or Delivery(True)
        self.messages: list[Message] = []
        self.taken: list[Alert] = []

    async def send(self, message: Message) -> Delivery:
        self.messages.append(message)
        answer = self.answers.pop(0) if self.answers else self.always
        if isinstance(answer, str):
            await asyncio.get_running_loop().create_future()
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Delivery)
        self.taken += [told for told in message.alerts if answer.delivered or told.id in answer.taken]
        return answer

    @property
    def steps(self) -> list[list[str]]:
        """What was sent, tried or taken: `USDC 1.2` is notification 2 of incident 1."""
        return [[step(told) for told in message.alerts] for message in self.messages]


class Gateway(Pager):
    """A receiver that forgets what it is not told again."""

    keep_alive_s = 20.0

    def __init__(self, name: str = "gateway", *answers: Answer) -> None:
        super().__init__(name, *answers)
        self.kept: list[list[str]] = []
        self.keeps = Delivery(True)

    async def keep_alive(self, firing: Sequence[Alert], now_ms: int) -> Delivery:
        self.kept.append([step(told) for told in firing])
        return self.keeps


def step(told: Alert) -> str:
    return f"{told.scope.name} {told.number}.{told.sequence}"


FAILS = Delivery(False, "HTTP status 500")
FATAL = Delivery(False, "HTTP status 401: renew the key", fatal=True)


class Rig:
    """A dispatcher on a clock moved by hand. `tell` submits as the alarm does. All levels have `deadline_s` unless said otherwise."""

    def __init__(
        self, *receivers: Pager | LineSettings, outbox: MemoryOutbox | None = None, silences: Silences | None = None, **config: Any
    ) -> None:
        self.clock = ManualClock()
        self.outbox = outbox or MemoryOutbox()
        lines = [item if isinstance(item, LineSettings) else LineSettings(item) for item in receivers]
        seams = Seams(self.clock, lambda: 1.0)
        self.dispatcher = Dispatcher(
            lines, self.outbox, config=DispatcherConfig(**{"urgent_deadline_s": math.inf, **config}), seams=seams, silences=silences
        )

    async def start(self, recovered: Recovered | None = None) -> None:
        self.dispatcher.start(recovered)
        await self.clock.advance(0)

    async def tell(self, *alerts: Alert, advance_s: float = 0.0) -> None:
        submit(self.dispatcher, alerts)
        await self.clock.advance(advance_s)

    def row(self, name: str) -> Any:
        return next(row for row in self.dispatcher.statistics() if row.name == name)


def submit(dispatcher: Dispatcher, alerts: Sequence[Alert]) -> None:
    latest = {told.key: told for told in alerts}
    firing = [incident(told) for told in latest.values() if not told.is_resolved]
    closed = [told.key for told in latest.values() if told.is_resolved]
    dispatcher.submit(alerts, firing, closed, 0.0)


def line(receiver: Pager, min_level: Level = Level.WARNING, escalate_to: str | None = None, *, is_log: bool = False) -> LineSettings:
    return LineSettings(receiver, Route(min_level), escalate_to, is_log)
