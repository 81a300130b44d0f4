"""From what was evaluated to what is told: readings, conditions and occurrences into the policy, its notifications out as alerts.

note(event)              before an event is applied: what needs the state before it
evaluated(...)           after every evaluation: pools and portfolios that crossed, what happened, pools that are gone
every_second(results)    all readings and all conditions
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from config.settings import Settings
from connectors.clock import Clock
from connectors.events import Event
from monitor.alerts.alert import Alert
from monitor.alerts.announce import Desk, make_alert
from monitor.alerts.build import build_policy_config
from monitor.alerts.dispatcher import Dispatcher, DispatcherConfig, LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.incident import Notification, OpenIncident
from monitor.alerts.outbox import Outbox
from monitor.alerts.policy import CLOSED, AlertPolicy
from monitor.alerts.rules import is_usable
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.silences import Silences
from monitor.engine import Engine
from monitor.live.portfolios import LivePortfolios
from monitor.live.readings import portfolio_reading, portfolio_readings
from monitor.margin.pools import WHOLE_ACCOUNT
from monitor.margin.result import PoolResult
from monitor.pool_arrays import Scope
from monitor.watch.watch import Watch
from monitor.workers import Workers

_log = logging.getLogger("marginwatch.alarm")

SECOND_NS = 1_000_000_000
HISTORY = 500
"""Alerts remembered for the terminal and for the API while the outbox cannot be read."""

COMPILING_S = 120.0
"""How long portfolios may be without a value after a start, while their kernels are compiled."""

GONE_FROM_CONFIGURATION = "it is configured no more"


class Alarm:
    """The alarm of one application. Everything on the event loop; `open` reads the outbox before anything is told."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        portfolios: LivePortfolios,
        lines: Sequence[LineSettings],
        outbox: Outbox,
        clock: Clock,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.settings = settings
        self.outbox = outbox
        self.silences = Silences()
        config = DispatcherConfig(deadline_s=settings.alerts.deadline_s, group_s=settings.alerts.group_s)
        self.dispatcher = Dispatcher(lines, outbox, config=config, silences=self.silences)
        self.policy = AlertPolicy(build_policy_config(settings))
        self.watch = Watch(settings, engine.book, engine, portfolios)
        self.heartbeat = heartbeat
        if heartbeat is not None:
            heartbeat.healthy = self._unhealthy
        self.recent: deque[Alert] = deque(maxlen=HISTORY)
        """The last alerts told, oldest first."""
        self.listeners: list[Callable[[Alert], None]] = []
        self._engine = engine
        self._portfolios = portfolios
        self._clock = clock
        self._desk = Desk(settings)
        self._alarmed = settings.alarmed_portfolios
        self._vanished: dict[Scope, None] = {}
        self._good_ns: dict[tuple[str, str], int] = {}
        self._started_ns = clock.monotonic_ns()

    # -- life ----------------------------------------------------------------------------------------------------------------

    async def start(self, workers: Workers) -> None:
        """Take over what an earlier process left, then begin to send."""
        epoch_ms, now_ms = self._epoch_ms(), self._clock.time_ms()
        recovered = await workers.run("outbox", lambda: self.outbox.open(epoch_ms, now_ms))
        now_s = self._now_s()
        if recovered.open:
            _log.info("%d alerts of an earlier run still fire", len(recovered.open))
        self.policy = AlertPolicy(build_policy_config(self.settings), recovered.open, recovered.last_number, now_s)
        self.dispatcher.start(recovered)
        for incident in recovered.open:
            self._take_over(incident, now_s)

    def _take_over(self, incident: OpenIncident, now_s: float) -> None:
        scope = incident.scope
        if not self._is_configured(incident):
            self._tell(self.policy.gone(scope, now_s, GONE_FROM_CONFIGURATION))
        elif scope.kind is ScopeKind.POOL:
            # gone unless the account's first good data have it
            self._vanished[scope.venue, scope.account, scope.name] = None

    def _is_configured(self, incident: OpenIncident) -> bool:
        scope, settings = incident.scope, self.settings
        if scope.kind is ScopeKind.PORTFOLIO:
            return scope.name in self._alarmed
        if scope.kind is ScopeKind.RECEIVER:
            return scope.name in settings.receivers
        return not scope.account or (scope.venue, scope.account) in self._engine.book.accounts

    async def stop(self, timeout_s: float) -> None:
        """Deliver what waits, for so long; what is left stays in the outbox for the next process."""
        await self.dispatcher.close(timeout_s)
        self.outbox.close()

    # -- what the application tells --------------------------------------------------------------------------------------------

    def note(self, event: Event, now_ns: int) -> None:
        """An event that is about to be applied."""
        self.watch.note(event, now_ns)

    def pools_evaluated(self, crossed: Sequence[int], now_ns: int) -> None:
        """The pools were evaluated: `crossed` are the rows of those that crossed a level or a gap."""
        now_s = now_ns / SECOND_NS
        if crossed:
            self._tell(self.policy.observe([self._engine.result(index, now_ns, measure=True) for index in crossed], now_s))
        self.watch.after(now_ns)
        for occurrence in self.watch.occurrences():
            self._tell(self.policy.occurred(occurrence, now_s))
        if self._engine.book.vanished or self._vanished:
            self._end_vanished(now_s)

    def portfolios_evaluated(self, crossed: Iterable[str], now_ns: int) -> None:
        """The portfolios were evaluated: `crossed` are those that crossed a level or a gap."""
        for portfolio in crossed:
            if portfolio in self._alarmed:
                self._tell(self.policy.observe([portfolio_reading(self._portfolios, portfolio)], now_ns / SECOND_NS))

    def every_second(self, results: Sequence[PoolResult], now_ns: int) -> None:
        """All that stands now."""
        now_s, now_ms = now_ns / SECOND_NS, self._clock.time_ms()
        self.policy.maintenance = self.watch.maintenance(now_ms)
        bad = {(result.venue, result.account) for result in results if not is_usable(result)}
        self._good_ns.update({key: now_ns for result in results if (key := (result.venue, result.account)) not in bad})
        self.policy.told_elsewhere = self._blind_portfolios({account for _, account in bad}, now_ns)
        conditions = [*self.watch.conditions(results, now_ns, now_ms), *self.dispatcher.problems()]
        portfolios = [reading for reading in portfolio_readings(self._portfolios) if reading.portfolio in self._alarmed]
        told = self.policy.observe([*results, *portfolios], now_s)
        told += self.policy.conditions(conditions, now_s)
        told += self.policy.sweep(now_s)
        told += self.policy.remind(self.silences.reminders(now_ms), now_s)
        self._tell(told)

    def _blind_portfolios(self, bad: set[str], now_ns: int) -> frozenset[AlertScope]:
        # those that lack nothing but accounts of which the pools' own alerts say that they are blind, and for a while those that compile
        live = self._portfolios
        if not live.ready:
            compiling = now_ns - self._started_ns < COMPILING_S * SECOND_NS
            return frozenset(AlertScope.portfolio(one.id) for one in self.settings.portfolios if compiling)
        if live.defect is not None:
            return frozenset()
        lacking = set(live.lacking)
        return frozenset(
            AlertScope.portfolio(one.id)
            for one in self.settings.portfolios
            if (blind := lacking.intersection(one.accounts)) and blind <= bad
        )

    def _unhealthy(self) -> str:
        # what the heartbeat asks: "" while every account was evaluated on fresh data lately
        limit_s, now_ns = self.settings.heartbeat.fresh_within_s if self.settings.heartbeat else 0.0, self._clock.monotonic_ns()
        for account in self.settings.accounts:
            good_ns = self._good_ns.get((account.venue, account.id))
            if good_ns is None:
                return f"{account.id} was not evaluated on fresh data yet"
            if now_ns - good_ns > limit_s * SECOND_NS:
                return f"{account.id} was not evaluated on fresh data for {(now_ns - good_ns) / SECOND_NS:.0f} s"
        return ""

    def _end_vanished(self, now_s: float) -> None:
        book = self._engine.book
        self._vanished.update(dict.fromkeys(book.vanished))
        book.vanished.clear()
        for scope in list(self._vanished):
            present = self._engine.arrays.scopes_of(scope[0], scope[1])
            # A pool is gone once its account's good data lack it: until then nothing says that its danger is over.
            if scope in present:
                del self._vanished[scope]
            elif (scope[0], scope[1], WHOLE_ACCOUNT) not in present and not book.freshness.failures(scope[0], scope[1]):
                del self._vanished[scope]
                why = "the account's state has arrived" if scope[2] == WHOLE_ACCOUNT else CLOSED
                self._tell(self.policy.gone(AlertScope.pool(*scope), now_s, why))

    def _tell(self, notifications: Sequence[Notification]) -> None:
        if not notifications:
            return
        epoch_ms = self._epoch_ms()
        alerts = [make_alert(notification, self._desk, epoch_ms) for notification in notifications]
        keys = list(dict.fromkeys(alert.key for alert in alerts))
        firing = self.policy.open(keys)
        still = {incident.key for incident in firing}
        self.dispatcher.submit(alerts, firing, [key for key in keys if key not in still], epoch_ms)
        self.recent.extend(alerts)
        for alert in alerts:
            for listener in self.listeners:
                listener(alert)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / SECOND_NS

    def _epoch_ms(self) -> float:
        return self._clock.time_ms() - self._clock.monotonic_ns() / 1e6
