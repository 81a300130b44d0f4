"""Carries alerts to receivers: takes them in, writes them down, routes them, and passes on what a receiver does not take.

    submit      -> waits for the one intake task, which takes all that waits as one Batch:
                   who gets it (routes, silences), durable in the outbox or 250 ms, then into the lines
    Line        -> a receiver's queue and task (line.py)
    _pass_on    <- an alert that a receiver did not take in time, or cannot take

One intake and one task a receiver: order is kept per incident and receiver, and a dead receiver delays nobody else. The end of an
incident goes to every receiver that was told of it, through whatever route, silence or escalation it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from connectors.clock import within
from connectors.errors import Timeout
from monitor.alerts.alert import Alert
from monitor.alerts.incident import Condition, OpenIncident
from monitor.alerts.line import Line
from monitor.alerts.message import Receiver
from monitor.alerts.outbox import Batch, Outcome, Recovered
from monitor.alerts.parcel import Incident, Item, Shares, Stamp, Timing
from monitor.alerts.post import DispatcherConfig, Ledger, LineSettings, ReceiverStatistics, Seams, guarded
from monitor.alerts.resumption import Resumption
from monitor.alerts.routing import inheritor, next_receiver, not_for
from monitor.alerts.rules import Rule
from monitor.alerts.scope import MONITOR, AlertScope
from monitor.alerts.silences import Silence, Silences
from monitor.margin.result import Level

__all__ = ["Dispatcher", "DispatcherConfig", "LineSettings", "ReceiverStatistics", "Seams"]

_log = logging.getLogger("marginwatch.dispatcher")


_INTAKE = ""  # no receiver has this name


@dataclass(frozen=True, slots=True)
class _Submission:
    alerts: tuple[Alert, ...]
    open: tuple[OpenIncident, ...]
    closed: tuple[str, ...]
    epoch_ms: float
    submitted_s: float


@dataclass(frozen=True, slots=True)
class _Decision:
    alert: Alert
    incident: Incident
    receivers: tuple[str, ...]
    outcome: Outcome
    submitted_s: float


class Dispatcher:
    """`start` inside a running loop, `submit` from it (never blocks, never raises), `close` at the end."""

    def __init__(
        self,
        lines: Sequence[LineSettings],
        outbox: Ledger,
        *,
        config: DispatcherConfig | None = None,
        seams: Seams | None = None,
        silences: Silences | None = None,
    ) -> None:
        self.silences = silences or Silences()
        self._outbox = outbox
        self._config = config or DispatcherConfig()
        self._seams = seams or Seams()
        self._lines: dict[str, Line] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._take_on(lines)
        self._waiting: list[_Submission] = []
        self._open: dict[str, Incident] = {}
        self._wake = asyncio.Event()
        self._is_closing = self._is_closed = False
        self._timing = Timing(0, Shares(), Shares(), 0)
        self._hung = ""

    # -- what the application calls ----------------------------------------------------------------------------------------------

    def start(self, recovered: Recovered | None = None) -> None:
        """Take over what an earlier process left and begin to send; what was submitted before is sent now."""
        if recovered is not None:
            self._resume(recovered)
        self._tasks = {name: _running(line) for name, line in self._lines.items()}
        self._tasks[_INTAKE] = asyncio.create_task(self._take_in(), name="alerts")

    def submit(self, alerts: Iterable[Alert], open: Iterable[OpenIncident], closed: Iterable[str], epoch_ms: float) -> None:
        """Queue alerts in order, with the incidents among them that fire now and the keys of those that ended (see `Batch`)."""
        submission = _Submission(tuple(alerts), tuple(open), tuple(closed), epoch_ms, self._seams.now_s)
        if self._is_closed:
            self._hand_over(self._decide([submission]), self._seams.now_s)
            return
        self._waiting.append(submission)
        self._wake.set()

    def configure(self, lines: Sequence[LineSettings], config: DispatcherConfig) -> list[str]:
        """Other receivers, routes and times from now on. Returns keys of what fires that somebody who is to get it now never heard of.

        Of a name that stays its line goes on, with what waits there. What a receiver that is gone has not taken goes to another one;
        the end of an incident to all that were told and are still there, or to whoever is there now.
        """
        before, self._config = self._lines, config
        firing = [alert for line in before.values() for alert in line.firing().values()]
        self._take_on(lines)
        gone = [line for name, line in before.items() if name not in self._lines]
        for line in gone:
            if (task := self._tasks.pop(line.name, None)) is not None:
                task.cancel()
            self._inherit(line.name, line.withdraw())
        waiting = (item.incident for line in self._lines.values() for item in line.waiting())
        for incident in {id(one): one for one in (*self._open.values(), *waiting)}.values():
            incident.keep(self._lines)
        if self._tasks:
            self._tasks |= {name: _running(line) for name, line in self._lines.items() if name not in self._tasks}
        return list(dict.fromkeys(alert.key for alert in firing if self._is_news(alert)))

    def _is_news(self, alert: Alert) -> bool:
        return any(not self._lines[name].has_heard(alert.key) for name in self._routed(alert, any_level=False) if name in self._order)

    def lines(self) -> tuple[LineSettings, ...]:
        """The receivers and what each is for, in configured order."""
        return tuple(self._settings.values())

    def untried(self) -> list[str]:
        """Receivers to which nothing was sent since the start, or since they were changed."""
        return [name for name, line in self._lines.items() if line.is_untried]

    def silence(self, pattern: str, until_ms: int, reason: str, up_to: Level = Level.CRITICAL) -> Silence:
        """Add a silence from now on and keep it. Raises SilenceError."""
        silence = self.silences.add(pattern, until_ms, reason, self._seams.clock.time_ms(), up_to)
        guarded(self._outbox.keep_silence, silence)
        return silence

    def end_silence(self, id: str) -> Silence:
        """End a silence now and keep that. Raises SilenceError."""
        silence = self.silences.end(id, self._seams.clock.time_ms())
        guarded(self._outbox.keep_silence, silence)
        return silence

    def statistics(self) -> tuple[ReceiverStatistics, ...]:
        """One row a receiver, in configured order."""
        return tuple(line.statistics() for line in self._lines.values())

    def timing(self) -> Timing:
        """How long alerts take from `submit` to a receiver's `send`."""
        return self._timing

    def problems(self) -> list[Condition]:
        """What the alarm is to tell of itself: receivers that take nothing (CRITICAL when none does), an outbox that cannot be written."""
        found = {name: problem for name, line in self._lines.items() if (problem := line.problem())}
        nobody = bool(found) and all(name in found for name in self._order or self._lines)
        level = Level.CRITICAL if nobody else Level.WARNING
        problems = [Condition(AlertScope.receiver(name), Rule.RECEIVER, level, detail=problem) for name, problem in found.items()]
        if unwritten := self._outbox.problem or self._hung:
            problems.append(Condition(MONITOR, Rule.OUTBOX, Level.WARNING, detail=unwritten))
        return problems

    async def close(self, timeout_s: float = 5.0) -> None:
        """Try once what waits, for at most `timeout_s`. What is left stays in the outbox for the next process, and is logged.

        Without a file to stay in it counts as failed. Later submissions fail at once.
        """
        self._is_closing = True
        self._wake.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=timeout_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks = {}
        for line in self._lines.values():
            line.abandon()
        self._is_closed = True
        left, self._waiting = self._waiting, []
        self._hand_over(self._decide(left), self._seams.now_s)

    # -- intake ------------------------------------------------------------------------------------------------------------------

    async def _take_in(self) -> None:
        while self._waiting or not self._is_closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            taken, self._waiting = self._waiting, []
            try:
                await self._process(taken)
            except Exception as error:  # A bug of ours costs these alerts, not those that follow.
                titles = "; ".join(alert.title for submission in taken for alert in submission.alerts)
                _log.error("alerts: taking in went wrong inside (%s); not sent: %s", type(error).__name__, titles)
        for line in self._lines.values():
            line.stop()

    async def _process(self, taken: Sequence[_Submission]) -> None:
        taken_s = self._seams.now_s
        decisions = self._decide(taken)
        batch = self._batch(taken, decisions)
        try:
            if not await self._write(batch):
                self._timing = replace(self._timing, from_memory=self._timing.from_memory + 1)
        finally:
            self._hand_over(decisions, taken_s)
            self._close_incidents(batch.closed)

    def _decide(self, taken: Sequence[_Submission]) -> list[_Decision]:
        now_ms = self._seams.clock.time_ms()
        return [self._decision(alert, submission.submitted_s, now_ms) for submission in taken for alert in submission.alerts]

    def _decision(self, alert: Alert, submitted_s: float, now_ms: int) -> _Decision:
        incident = self._incident(alert)
        receivers = self._routed(alert, any_level=False)
        outcome = Outcome.PENDING
        if not alert.is_resolved:
            if self.silences.match(alert, now_ms) is not None:
                outcome = Outcome.SILENCED
            else:
                receivers = incident.with_heirs(receivers)
                incident.told |= set(receivers)
        elif not incident.is_known:
            receivers = list(dict.fromkeys([*self._routed(alert, any_level=True), *incident.told]))
        elif incident.told:
            receivers = [name for name in self._lines if name in incident.told]
        else:
            outcome = Outcome.SILENCED
        self.silences.note(alert, is_silenced=outcome is Outcome.SILENCED)
        return _Decision(alert, incident, tuple(receivers), outcome, submitted_s)

    def _incident(self, alert: Alert) -> Incident:
        incident = self._open.get(alert.key)
        if incident is None or incident.number != alert.number:
            # The end of something whose beginning was never seen goes to whoever may have been told.
            incident = self._open[alert.key] = Incident(alert.number, is_known=alert.sequence == 1)
        return incident

    def _routed(self, alert: Alert, *, any_level: bool) -> list[str]:
        routes = {name: settings.route for name, settings in self._settings.items() if name != not_for(alert)}
        return [name for name, route in routes.items() if (route.concerns(alert) if any_level else route.takes(alert))]

    def _batch(self, taken: Sequence[_Submission], decisions: Sequence[_Decision]) -> Batch:
        open: dict[str, OpenIncident] = {}
        closed: dict[str, None] = {}
        for submission in taken:
            for incident in submission.open:
                open[incident.key] = incident
                closed.pop(incident.key, None)
            for key in submission.closed:
                closed[key] = None
                open.pop(key, None)
        return Batch(
            alerts=tuple(decision.alert for decision in decisions),
            open=tuple(open.values()),
            closed=tuple(closed),
            epoch_ms=taken[-1].epoch_ms,
            receivers={decision.alert.id: tuple((name, decision.outcome) for name in decision.receivers) for decision in decisions},
            deadline_ms=self._deadline_ms(),
        )

    async def _write(self, batch: Batch) -> bool:
        try:
            is_written = await within(self._seams.clock, self._config.write_limit_s, self._outbox.write(batch), "outbox")
        except Timeout:
            self._hung = "the outbox does not answer; alerts go out from memory"
            return False
        except Exception as error:  # The pager is never silenced by the disk.
            self._hung = f"the outbox failed inside ({type(error).__name__}); alerts go out from memory"
            return False
        self._hung = ""
        return is_written

    def _hand_over(self, decisions: Iterable[_Decision], taken_s: float) -> None:
        now_s = self._seams.now_s
        of_line: dict[str, list[Item]] = {}
        for decision in decisions:
            if decision.outcome is Outcome.SILENCED:
                for name in decision.receivers:
                    if name in self._lines:
                        self._lines[name].silenced(1)
                continue
            had = {not_for(decision.alert), *decision.receivers}
            stamp = Stamp(decision.submitted_s, taken_s, now_s)
            deadline_s = decision.submitted_s + self._config.deadline_of(decision.alert)
            for name in decision.receivers:
                of_line.setdefault(name, []).append(Item(decision.alert, decision.incident, had, deadline_s, stamp))
        for name, items in of_line.items():
            if name in self._lines:
                self._lines[name].put(items)
            else:
                self._inherit(name, items)

    def _close_incidents(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        for key in keys:
            self._open.pop(key, None)
        needed = {item.alert.key for line in self._lines.values() for item in line.waiting()} | set(self._open)
        for line in self._lines.values():
            line.forget(self._open, needed)

    def _timed(self, shares: Shares) -> None:
        peak = max(self._timing.peak, shares, key=lambda some: some.own_s)
        self._timing = replace(self._timing, messages=self._timing.messages + 1, last=shares, peak=peak)

    def _deadline_ms(self) -> int:
        return self._seams.clock.time_ms() + round(self._config.deadline_s * 1000)

    def _take_on(self, lines: Sequence[LineSettings]) -> None:
        self._settings = {settings.receiver.name: settings for settings in lines}
        self._order = [name for name, settings in self._settings.items() if not settings.is_log]
        self._lines = {name: self._line(settings.receiver) for name, settings in self._settings.items()}

    def _line(self, receiver: Receiver) -> Line:
        known = self._lines.get(receiver.name)
        if known is None:
            return Line(receiver, self._outbox, self._config, self._seams, self._pass_on, self._timed)
        if known.configure(receiver, self._config) and (task := self._tasks.pop(receiver.name, None)) is not None:
            task.cancel()
        return known

    # -- escalation --------------------------------------------------------------------------------------------------------------

    def _pass_on(self, of: str, items: Sequence[Item], reason: str) -> bool:
        first = items[0]
        heirs = first.incident.heirs
        heir = heirs.get(of) or self._next(of, first.had)
        if heir is None:
            return False
        heirs[of] = heir
        first.incident.told.add(heir)
        # All that waits of the incident goes along, so that its end is not told only where its beginning was not.
        passed = [item for item in items if heir not in item.had]
        for item in passed:
            _log.warning("alerts: receiver %s does not take it (%s); to %s instead: %s", of, reason, heir, item.alert.title)
        if passed:
            self._give(heir, [replace(item.alert, escalated_from=of) for item in passed], passed)
        return True

    def _next(self, of: str, had: set[str]) -> str | None:
        settings = self._settings.get(of)
        if settings is not None and settings.is_log:
            return None
        wish = settings.escalate_to if settings else None
        # whom no route and no wish of the user names is woken only where nobody who works has it
        return None if wish is None and self._has_it(had - {of}) else next_receiver(of, wish, self._order, had)

    def _has_it(self, names: set[str]) -> bool:
        # whether somebody among these who works is no log
        return any(name in self._order and not self._lines[name].problem() for name in names)

    def _give(self, heir: str, alerts: Sequence[Alert], items: Sequence[Item]) -> None:
        now_s, given = self._seams.now_s, []
        for alert, item in zip(alerts, items, strict=True):
            item.had.add(heir)
            given.append(Item(alert, item.incident, item.had, now_s + self._config.deadline_of(alert)))
        guarded(self._outbox.reassign, alerts, heir, self._deadline_ms())
        self._lines[heir].put(given)

    def _inherit(self, former: str, items: Iterable[Item]) -> None:
        now_ms = self._seams.clock.time_ms()
        for item in [item for item in items if not item.is_passed_on]:
            heir, alert = None if self._has_it(item.had) else inheritor(former, item.had, self._order, self._lines), item.alert
            item.incident.told.discard(former)
            if heir is not None:
                _log.warning("alerts: receiver %s is configured no more; to %s instead: %s", former, heir, alert.title)
                item.incident.told.add(heir)
                self._give(heir, [replace(alert, escalated_from=former)], [item])
            is_lost = item.had.isdisjoint(self._lines)
            if is_lost:
                _log.error("alerts: receiver %s is configured no more, and nobody is left for: %s", former, alert.title)
            outcome = Outcome.FAILED if is_lost else Outcome.ESCALATED
            guarded(self._outbox.settle, [alert.id], former, outcome, now_ms, "it is configured no more")

    def _resume(self, recovered: Recovered) -> None:
        now_ms = self._seams.clock.time_ms()
        self.silences.restore(recovered.silences, recovered.latest, now_ms)
        resumption = Resumption(recovered, self._settings, self._outbox, self._config, self._seams)
        self._open |= resumption.open
        for name, line in self._lines.items():
            line.resume(recovered.handles.get(name, {}), resumption.firing(name), resumption.told(name))
        for name, items in resumption.waiting().items():
            self._lines[name].put(items)


def _running(line: Line) -> asyncio.Task[None]:
    return asyncio.create_task(line.run(), name=f"alerts-{line.name}")
