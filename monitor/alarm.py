"""From what was evaluated to what is told: readings, conditions and occurrences into the policy, its notifications out as alerts.

note(event)              before an event is applied: what needs the state before it
evaluated(...)           after every evaluation: pools and portfolios that crossed, what happened, pools that are gone
every_second(results)    all readings and all conditions
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence

from config.settings import Settings
from connectors.clock import Clock
from connectors.events import Event
from monitor.alerts.alert import Alert
from monitor.alerts.announce import Desk, make_alert_somehow
from monitor.alerts.build import build_dispatcher_config, build_policy_config
from monitor.alerts.dispatcher import Dispatcher, LineSettings
from monitor.alerts.heartbeat import Heartbeat
from monitor.alerts.incident import Condition, Notification, Occurrence, OpenIncident
from monitor.alerts.outbox import Outbox
from monitor.alerts.policy import CLOSED, AlertPolicy
from monitor.alerts.rules import Rule, is_usable
from monitor.alerts.scope import AlertScope, ScopeKind
from monitor.alerts.silences import Silences
from monitor.engine import Engine
from monitor.live.portfolios import LivePortfolios
from monitor.live.readings import portfolio_reading, portfolio_readings
from monitor.margin.pools import WHOLE_ACCOUNT
from monitor.margin.result import Level, PoolResult
from monitor.pool_arrays import Scope
from monitor.watch.watch import Watch
from monitor.workers import Workers

_log = logging.getLogger("marginwatch.alarm")

SECOND_NS = 1_000_000_000
HISTORY = 500
"""Alerts remembered for the terminal and for the API while the outbox cannot be read."""

START_S, START_EACH_S, LONGEST_START_S = 30.0, 5.0, 300.0
"""How long accounts may take to be read for the first time before that is an alert: with the shares of the budgets, about so long each."""

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
        self.dispatcher = Dispatcher(lines, outbox, config=build_dispatcher_config(settings), silences=self.silences)
        self.policy = AlertPolicy(build_policy_config(settings))
        self.watch = Watch(settings, engine.book, engine, portfolios)
        self.heartbeat: Heartbeat | None = None
        self.set_heartbeat(heartbeat)
        self.venues: Collection[str] = ()
        """What is watched beside the venues of accounts."""
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
        self._blind_ns: dict[str, int] = {}
        self._taken_over: set[tuple[str, str]] = set()
        self._defect: Exception | None = None
        self._started_ns = clock.monotonic_ns()
        self._renewed_ns: dict[tuple[str, str], int] = {}

    # -- life ----------------------------------------------------------------------------------------------------------------

    async def start(self, workers: Workers) -> None:
        """Take over what an earlier process left, then begin to send."""
        epoch_ms, now_ms = self._epoch_ms(), self._clock.time_ms()
        recovered = await workers.run("outbox", lambda: self.outbox.open(epoch_ms, now_ms))
        now_s = self._now_s()
        if recovered.open:
            _log.info("%d alerts of an earlier run still fire", len(recovered.open))
        # never a number again, also of incidents that an earlier process could not write down
        last_number = max(recovered.last_number, now_ms // 1000)
        self.policy = AlertPolicy(build_policy_config(self.settings), recovered.open, last_number, now_s)
        self.watch.told_until_ms = {
            one.scope.account: round(epoch_ms + 1000 * one.event_s) for one in recovered.open if one.rule is Rule.LIQUIDATION_SEEN
        }
        self.dispatcher.start(recovered)
        for incident in recovered.open:
            self._take_over(incident, now_s)

    def _take_over(self, incident: OpenIncident, now_s: float) -> None:
        scope = incident.scope
        self._taken_over.add((scope.venue, scope.account))
        if not self._is_configured(scope):
            self._tell(self.policy.gone(scope, now_s, GONE_FROM_CONFIGURATION))
        elif scope.kind is ScopeKind.POOL:
            # gone unless the account's first good data have it
            self._vanished[scope.venue, scope.account, scope.name] = None

    def _is_configured(self, scope: AlertScope) -> bool:
        accounts = self._engine.book.accounts
        if scope.kind is ScopeKind.PORTFOLIO:
            return scope.name in self._alarmed
        if scope.kind is ScopeKind.RECEIVER:
            return any(line.receiver.name == scope.name for line in self.dispatcher.lines())
        if scope.account:
            return (scope.venue, scope.account) in accounts
        return not scope.venue or scope.venue in self.venues or any(venue == scope.venue for venue, _ in accounts)

    # -- another configuration -------------------------------------------------------------------------------------------------

    def configure(self, settings: Settings, lines: Sequence[LineSettings], gone: Iterable[tuple[str, str]]) -> None:
        """Follow another configuration once the book has its accounts: what fires goes on, unless nothing is configured that it is of.

        `gone` are the accounts (venue, id) that are watched no more. What fires at CRITICAL or above is told again where somebody who
        is to get it never heard of it: a receiver that is new, or elsewhere, or has another route.
        """
        self.settings, self._alarmed = settings, settings.alarmed_portfolios
        unheard = self.dispatcher.configure(lines, build_dispatcher_config(settings))
        for account in gone:
            self._forget(account)
            self._vanished = {scope: None for scope in self._vanished if scope[:2] != account}
            self.watch.forget(account)
        self.watch.configure(settings)
        now_s = self._now_s()
        for scope in sorted(self.policy.scopes(), key=str):
            if not self._is_configured(scope):
                # still with the tags that it was told with: receivers know it by them
                self._tell(self.policy.gone(scope, now_s, GONE_FROM_CONFIGURATION))
        self._desk = Desk(settings)
        self.policy.config = build_policy_config(settings)
        urgent = [one.key for one in self.policy.open(unheard) if one.level >= Level.CRITICAL]
        self._tell(self.policy.remind(urgent, now_s))

    def renew(self, account: tuple[str, str]) -> None:
        """An account (venue, id) is new, is another one, or is read over another connection: it has as long as at a start."""
        firing = {(incident.scope.venue, incident.scope.account) for incident in self.policy.firing()}
        self._forget(account)
        self._renewed_ns[account] = self._clock.monotonic_ns()
        if account in firing:
            self._taken_over.add(account)
        self.watch.renew(account, self._clock.time_ms())

    def set_heartbeat(self, heartbeat: Heartbeat | None) -> None:
        """Beat by another one, which whoever runs the program has to run."""
        self.heartbeat = heartbeat
        if heartbeat is not None:
            heartbeat.healthy = self._unhealthy

    def _forget(self, account: tuple[str, str]) -> None:
        self._good_ns.pop(account, None)
        self._renewed_ns.pop(account, None)
        self._taken_over.discard(account)

    async def stop(self, timeout_s: float) -> None:
        """Deliver what waits, for so long; what is left stays in the outbox for the next process."""
        await self.dispatcher.close(timeout_s)
        self.outbox.close()

    # -- what the application tells --------------------------------------------------------------------------------------------

    def note(self, event: Event, now_ns: int) -> None:
        """An event that is about to be applied, which a defect of a rule does not hinder: that ends the program in `every_second`."""
        try:
            self.watch.note(event, now_ns)
        except Exception as defect:
            self.fail(defect)

    def fail(self, defect: Exception) -> None:
        """Something is wrong with the program: `every_second` raises it once the rest was told."""
        self._defect = self._defect or defect

    def pools_evaluated(self, crossed: Sequence[int], now_ns: int) -> None:
        """The pools were evaluated: `crossed` are the rows of those that crossed a level or a gap."""
        now_s = now_ns / SECOND_NS
        if crossed:
            self._tell(self.policy.observe([self._engine.result(index, now_ns, measure=True) for index in crossed], now_s))
        for occurrence in self._occurrences(now_ns):
            self._tell(self.policy.occurred(occurrence, now_s))
        if self._engine.book.vanished or self._vanished:
            self._end_vanished(now_s)

    def _occurrences(self, now_ns: int) -> list[Occurrence]:
        try:
            self.watch.after(now_ns)
            return self.watch.occurrences()
        except Exception as defect:
            self.fail(defect)
            return []

    def portfolios_evaluated(self, crossed: Iterable[str], now_ns: int) -> None:
        """The portfolios were evaluated: `crossed` are those that crossed a level or a gap."""
        for portfolio in crossed:
            if portfolio in self._alarmed:
                self._tell(self.policy.observe([portfolio_reading(self._portfolios, portfolio)], now_ns / SECOND_NS))

    def every_second(self, results: Sequence[PoolResult], now_ns: int) -> None:
        """All that stands now. Raises what failed in a rule, after the rest was told: a monitor that judges wrongly must not go on."""
        now_ms = self._clock.time_ms()
        self.policy.maintenance = self.watch.maintenance(now_ms)
        bad = {(result.venue, result.account) for result in results if not is_usable(result)}
        self._good_ns.update({key: now_ns for result in results if (key := (result.venue, result.account)) not in bad})
        # what is read for the first time, and what an alert of its own says that it cannot be watched
        self.watch.starting = waiting = self._starting(now_ns) | self._failed()
        scopes = [*(result.scope for result in results), *self._vanished]
        pools = frozenset(AlertScope.pool(*scope) for scope in scopes if scope[:2] in waiting)
        self.policy.told_elsewhere = pools | self._blind_portfolios({account for _, account in bad}, now_ns)
        self._judge(results, now_ns, now_ms)
        if self._defect is not None:
            raise self._defect

    def _judge(self, results: Sequence[PoolResult], now_ns: int, now_ms: int) -> None:
        now_s = now_ns / SECOND_NS
        portfolios = [reading for reading in portfolio_readings(self._portfolios) if reading.portfolio in self._alarmed]
        self._tell(self.policy.observe([*results, *portfolios], now_s))
        conditions = [*self.watch.conditions(results, now_ns, now_ms), *self.dispatcher.problems(), *self._untried()]
        told = self.policy.conditions(conditions, now_s)
        told += self.policy.sweep(now_s)
        told += self.policy.remind(self.silences.reminders(now_ms), now_s)
        self._tell(told)

    def _untried(self) -> list[Condition]:
        # of a receiver that nothing was sent to yet it is not known whether it takes alerts again
        return [Condition(AlertScope.receiver(name), Rule.RECEIVER, frozen=True) for name in self.dispatcher.untried()]

    def _starting(self, now_ns: int) -> frozenset[tuple[str, str]]:
        # accounts whose first read has not had its turn within the request budget; not those of which something fired before the start
        accounts = self._engine.book.accounts
        allowed_ns = min(LONGEST_START_S, START_S + START_EACH_S * len(accounts)) * SECOND_NS
        new = [key for key, entry in accounts.items() if key not in self._good_ns and entry.method.failure is None]
        since = ((key, self._renewed_ns.get(key, self._started_ns)) for key in new if key not in self._taken_over)
        return frozenset(key for key, began_ns in since if now_ns - began_ns <= allowed_ns)

    def _failed(self) -> frozenset[tuple[str, str]]:
        return frozenset(key for key, entry in self._engine.book.accounts.items() if entry.method.failure is not None)

    def _blind_portfolios(self, bad: set[str], now_ns: int) -> frozenset[AlertScope]:
        # those that lack nothing but accounts of which the pools' own alerts say that they are blind, and for a while those that compile
        live = self._portfolios
        if not live.ready:
            compiling = now_ns - self._started_ns < COMPILING_S * SECOND_NS
            return frozenset(AlertScope.portfolio(one.id) for one in self.settings.portfolios if compiling)
        if live.defect is not None:
            return frozenset()
        lacking = set(live.lacking)
        blind = {one.id for one in self.settings.portfolios if (missing := lacking.intersection(one.accounts)) and missing <= bad}
        self._blind_ns = {name: self._blind_ns.get(name, now_ns) for name in blind}
        # not for ever: the account's own alert may be silenced, held, or somebody else's
        held_ns = self.settings.alerts.data_critical_s * SECOND_NS
        return frozenset(AlertScope.portfolio(name) for name, since_ns in self._blind_ns.items() if now_ns - since_ns < held_ns)

    def _unhealthy(self) -> str:
        # what the heartbeat asks: "" while every account was evaluated on fresh data lately, and somebody could be told
        if any(problem.rule is Rule.RECEIVER and problem.level >= Level.CRITICAL for problem in self.dispatcher.problems()):
            return "no receiver takes alerts"
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
        alerts = [make_alert_somehow(notification, self._desk, epoch_ms) for notification in notifications]
        keys = list(dict.fromkeys(alert.key for alert in alerts))
        firing = self.policy.open(keys)
        still = {incident.key for incident in firing}
        self.dispatcher.submit(alerts, firing, [key for key in keys if key not in still], epoch_ms)
        self.recent.extend(alerts)
        for alert in alerts:
            for listener in self.listeners:
                try:
                    listener(alert)
                except Exception as defect:
                    self.fail(defect)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / SECOND_NS

    def _epoch_ms(self) -> float:
        return self._clock.time_ms() - self._clock.monotonic_ns() / 1e6
