"""One receiver's line: its queue, its task, and what it takes to get an alert there.

What waits together goes out together: the first alert of a burst leaves at once with all that came with it, what follows within
`group_s` leaves as the next message. What is not delivered waits with what arrived meanwhile and is tried again, with growing
pauses or after the receiver's own `Retry-After`. At its deadline an alert is passed on to the next receiver (the dispatcher
knows which); where this one cannot take it in time anyway (wrong key, dead for long) it is passed on at once and tried here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from connectors.clock import wait_for
from monitor.alerts.alert import Alert
from monitor.alerts.message import Delivery, KeptAlive, Message, Receiver
from monitor.alerts.outbox import Outcome
from monitor.alerts.parcel import Item, Shares, in_order, order_of, to_drop
from monitor.alerts.post import DispatcherConfig, Ledger, PassOn, ReceiverStatistics, Seams, answered, guarded, text_of

_log = logging.getLogger("marginwatch.dispatcher")

_TOLERANCE_S = 1e-6


class Line:
    """`run` is its task; everything else returns at once. Nothing that a receiver or the outbox does ends it."""

    def __init__(
        self,
        receiver: Receiver,
        ledger: Ledger,
        config: DispatcherConfig,
        seams: Seams,
        pass_on: PassOn,
        timed: Callable[[Shares], None],
    ) -> None:
        self.name = receiver.name
        self.is_untried = True  # whether it takes alerts is not known before one was sent
        self._receiver = receiver
        self._ledger = ledger
        self._config = config
        self._seams = seams
        self._pass_on = pass_on
        self._timed = timed
        self._queue: list[Item] = []
        self._sending: list[Item] = []
        self._roof = config.queue_size
        self._handles: dict[str, str] = {}
        self._last_told: dict[str, tuple[int, int]] = {}
        self._firing: dict[str, Alert] = {}
        self._unheard: set[str] = set()
        self._wake = asyncio.Event()
        self._is_stopping = self._is_closed = self._is_fatal = False
        self._until_s = self._free_s = self._alive_s = 0.0
        self._failing_since_s: float | None = None
        self._peak = self._delivered = self._messages = self._dropped = self._failed = 0
        self._attempts_failed = self._failing = self._escalated = self._silenced = 0
        self._last_error = ""

    # -- what the dispatcher tells it ------------------------------------------------------------------------------------------

    def put(self, items: Sequence[Item]) -> None:
        """Queue alerts, in order."""
        if self._is_closed:
            self._give_up(items, "the dispatcher is closed")
            return
        for item in items:
            self._follow(item.alert)
        self._queue.extend(items)
        self._trim()
        self._peak = max(self._peak, len(self._queue) + len(self._sending))
        self._pass_on_early()
        if self._queue:
            self._wake.set()

    def resume(self, handles: Mapping[str, str], firing: Iterable[Alert], told: Mapping[str, tuple[int, int]]) -> None:
        """Take over what an earlier process knew: handles, the alerts to be kept alive, and by key the latest that was delivered."""
        self._handles |= handles
        self._firing |= {alert.key: alert for alert in firing}
        self._alive_s = self._seams.now_s
        self._last_told |= told

    def configure(self, receiver: Receiver, config: DispatcherConfig) -> bool:
        """Go on with other times, and with another receiver of the name, which gets at once what waits. True: then begin `run` anew."""
        self._config = config
        if receiver is self._receiver:
            return False
        # what the one before is asked now counts for nothing: it may never answer
        self._requeue(self._sending)
        self._sending, self._handles = [], {}
        self._unheard = set(self._firing) - {item.alert.key for item in self._queue}
        self._receiver, self.is_untried = receiver, True
        self._is_fatal, self._failing, self._failing_since_s = False, 0, None
        self._until_s = self._alive_s = self._seams.now_s
        return True

    def firing(self) -> dict[str, Alert]:
        """By key, the last alert of what fires that came here."""
        return dict(self._firing)

    def has_heard(self, key: str) -> bool:
        """Whether something of what fires came here since the receiver is the one that it is."""
        return key in self._firing and key not in self._unheard

    def withdraw(self) -> list[Item]:
        """The receiver is configured no more: what it has not taken, in order, for somebody else. The task is the caller's to cancel."""
        self._is_closed = True
        left = self.waiting()
        self._sending, self._queue = [], []
        return left

    def silenced(self, count: int) -> None:
        """Count alerts that a silence holds back from here."""
        self._silenced += count

    def waiting(self) -> list[Item]:
        """What has not been delivered, what is being sent included."""
        return [*self._sending, *self._queue]

    def forget(self, open_keys: Collection[str], needed: Collection[str]) -> None:
        """Keep in memory only what is about these keys: those that fire, and those of which something waits anywhere."""
        self._firing = {key: alert for key, alert in self._firing.items() if key in open_keys}
        self._last_told = {key: order for key, order in self._last_told.items() if key in needed}
        self._handles = {incident: handle for incident, handle in self._handles.items() if incident.rpartition("#")[0] in needed}

    def stop(self) -> None:
        """Try once what waits, then end."""
        self._is_stopping = True
        self._wake.set()

    def abandon(self) -> None:
        """After the end: what is left stays in the outbox for the next process, or failed where there is none."""
        self._is_closed = True
        left = self.waiting()
        self._sending, self._queue = [], []
        if not self._ledger.is_durable:
            self._give_up([item for item in left if not item.is_passed_on], "the program ended first")
        elif left and self._ledger.problem:
            # Not settled: it may be in the file all the same.
            self._failed += len(left)
            titles = "; ".join(item.alert.title for item in left)
            _log.error("alerts: receiver %s did not get, and the outbox may not keep (%s): %s", self.name, self._ledger.problem, titles)
        elif left:
            _log.warning("alerts: %d for receiver %s wait in the outbox for the next start", len(left), self.name)

    def statistics(self) -> ReceiverStatistics:
        """The counters now."""
        return ReceiverStatistics(
            name=self.name,
            waiting=len(self._queue) + len(self._sending),
            peak=self._peak,
            delivered=self._delivered,
            messages=self._messages,
            dropped=self._dropped,
            failed=self._failed,
            attempts_failed=self._attempts_failed,
            failing=self._failing,
            last_error=self._last_error,
            escalated=self._escalated,
            silenced=self._silenced,
        )

    def problem(self) -> str:
        """Why the receiver is to be looked at; empty: it works, or has not failed for long."""
        if self._failing_since_s is None:
            return ""
        failing_s = self._seams.now_s - self._failing_since_s
        if self._is_fatal:
            return f"takes no alerts: {self._last_error}"
        return f"takes no alerts since {failing_s:.0f} s: {self._last_error}" if failing_s >= self._config.problem_after_s else ""

    # -- its task ----------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what comes until stopped."""
        while True:
            try:
                if not await self._turn():
                    return
            except Exception as error:  # A bug of ours costs a pause, not the pager.
                _log.error("alerts: sending to receiver %s went wrong inside (%s); trying again", self.name, type(error).__name__)
                self._requeue(self._sending)
                self._sending = []
                self._until_s = self._seams.now_s + self._config.longest_retry_s
                await self._hold()

    async def _turn(self) -> bool:
        if self._is_stopping:
            if self._queue:
                await self._send_waiting()
            return False
        if self._is_keep_alive_due():
            await self._keep_alive()
        elif self._queue:
            await self._send_waiting()
            await self._hold()
        else:
            await self._idle()
        return True

    async def _idle(self) -> None:
        self._wake.clear()
        limit_s = self._alive_s - self._seams.now_s if self._firing and isinstance(self._receiver, KeptAlive) else None
        await wait_for(self._seams.clock, self._wake, limit_s)

    async def _hold(self) -> None:
        while not self._is_stopping and (left_s := self._until_s - self._seams.now_s) > _TOLERANCE_S:
            left_s = min([left_s, *(item.deadline_s - self._seams.now_s for item in self._queue if self._may_expire(item))])
            self._wake.clear()
            await wait_for(self._seams.clock, self._wake, max(left_s, _TOLERANCE_S))
            self._expire()
        self._free_s = self._seams.now_s

    async def _send_waiting(self) -> None:
        self._sending = self._take()
        if not self._sending:
            return
        delivery = await answered(self._seams.clock, self._config.send_limit_s, self._send(self._message()))
        sent = self._sending
        taken = [item for item in sent if delivery.delivered or item.alert.id in delivery.taken]
        self._settle_taken(taken, sent, delivery)
        self._sending = []
        if delivery.delivered:
            self._messages += 1
            self.is_untried = False
            self._until_s = self._seams.now_s + self._config.group_s
        else:
            left = self._without_overtaken([item for item in sent if item not in taken])
            self._retry(left, delivery, is_progress=bool(taken))

    async def _send(self, message: Message) -> Delivery:
        now_s = self._seams.now_s
        fresh = [item.stamp for item in self._sending if item.attempts == 0 and item.stamp is not None]
        if fresh:
            self._timed(min(fresh, key=lambda stamp: stamp.submitted_s).shares(self._free_s, now_s))
        for item in self._sending:
            item.attempts += 1
        return await self._receiver.send(message)

    def _message(self) -> Message:
        alerts = tuple(item.alert for item in self._sending)
        handles = {alert.incident: self._handles[alert.incident] for alert in alerts if alert.incident in self._handles}
        return Message(text_of(alerts), alerts, self._seams.clock.time_ms(), handles)

    def _take(self) -> list[Item]:
        waiting, self._queue = in_order(self._queue), []
        self._roof = self._config.queue_size
        return self._without_overtaken(waiting)

    def _without_overtaken(self, items: Sequence[Item]) -> list[Item]:
        overtaken = [item for item in items if order_of(item.alert) <= self._last_told.get(item.alert.key, (0, 0))]
        if overtaken:
            # The older state after the newer would be wrong, and could end an incident that fires again.
            self._drop(overtaken, "a later alert of it was delivered before")
        return [item for item in items if item not in overtaken]

    # -- what became of it -------------------------------------------------------------------------------------------------------

    def _settle_taken(self, taken: Sequence[Item], sent: Sequence[Item], delivery: Delivery) -> None:
        incidents = {item.alert.incident for item in sent}
        self._handles |= {incident: handle for incident, handle in delivery.handles.items() if incident in incidents}
        if not taken and not delivery.delivered:
            return
        self._works()
        self._delivered += len(taken)
        handles = {incident: handle for incident, handle in self._handles.items() if incident in incidents}
        self._settle(taken, Outcome.DELIVERED, "", handles)
        for item in taken:
            key = item.alert.key
            self._last_told[key] = max(order_of(item.alert), self._last_told.get(key, (0, 0)))

    def _works(self) -> None:
        if self._failing:
            _log.warning("alerts: receiver %s takes messages again after %d failures", self.name, self._failing)
        self._failing = 0
        self._failing_since_s = None
        self._is_fatal = False

    def _retry(self, items: Sequence[Item], delivery: Delivery, *, is_progress: bool) -> None:
        if delivery.fatal or not is_progress:
            self._fails(delivery)
        guarded(self._ledger.tried, [item.alert.id for item in items], self.name, delivery.reason)
        self._requeue(items)
        self._until_s = self._seams.now_s + self._config.pause_after(delivery, self._failing, self._seams.chance())
        self._expire()
        self._pass_on_early()

    def _fails(self, delivery: Delivery) -> None:
        self._attempts_failed += 1
        self.is_untried = False
        self._failing += 1
        if delivery.fatal and not self._is_fatal:
            _log.error("alerts: receiver %s cannot take alerts (%s); the next one gets them", self.name, delivery.reason)
        elif self._failing == 1:
            _log.warning("alerts: receiver %s failed (%s); trying again", self.name, delivery.reason)
        self._is_fatal = delivery.fatal
        self._last_error = delivery.reason
        if self._failing_since_s is None:
            self._failing_since_s = self._seams.now_s

    def _pass_on_early(self) -> None:
        if self._failing_since_s is None or self._is_stopping:
            return
        failing_s = self._seams.now_s - self._failing_since_s
        for item in list(self._queue):
            is_dead = self._is_fatal or failing_s >= self._config.deadline_of(item.alert)
            # It is tried here as well until its deadline: the receiver may come back, and was perhaps told the beginning.
            if (is_dead or item.deadline_s <= self._until_s) and not item.was_offered:
                item.was_offered = True
                item.is_passed_on = self._escalate(item)

    def _expire(self) -> None:
        if self._is_stopping:
            return
        now_s = self._seams.now_s + _TOLERANCE_S
        late: dict[str, tuple[int, int]] = {}
        for item in self._queue:
            if item.deadline_s <= now_s and self._may_expire(item):
                late[item.alert.key] = max(order_of(item.alert), late.get(item.alert.key, (0, 0)))
        # What came before goes too, though it may have more time: told alone it would never end here.
        expired = [item for item in self._queue if order_of(item.alert) <= late.get(item.alert.key, (0, 0))]
        lost = [item for item in expired if not item.is_passed_on and not self._escalate(item)]
        gone = set(expired)
        self._queue = [item for item in self._queue if item not in gone]
        self._give_up(lost, self._last_error)

    def _may_expire(self, item: Item) -> bool:
        # What waits only for its turn is tried once, however late it is.
        return item.attempts > 0 or self._failing > 0

    def _escalate(self, item: Item) -> bool:
        of_incident = [other for other in self._queue if other.incident is item.incident and other is not item]
        if not self._pass_on(self.name, [item, *in_order(of_incident)], self._last_error):
            return False
        self._escalated += 1
        self._settle([item], Outcome.ESCALATED, self._last_error)
        return True

    def _requeue(self, items: Sequence[Item]) -> None:
        self._queue[:0] = items
        self._trim()

    def _trim(self) -> None:
        if len(self._queue) <= self._roof:
            return
        if dropped := to_drop(self._queue, len(self._queue) - self._config.queue_size):
            gone = set(dropped)
            self._queue = [item for item in self._queue if item not in gone]
            self._drop(dropped, "its queue is full")
        # What cannot be dropped is not ranked anew for every alert that comes.
        self._roof = max(self._config.queue_size, len(self._queue) * 5 // 4)

    def _drop(self, items: Sequence[Item], reason: str) -> None:
        self._dropped += len(items)
        self._settle(items, Outcome.DROPPED, reason)
        first = items[0].alert.title
        _log.warning("alerts: receiver %s: %s; dropped %d (%d in all): %s", self.name, reason, len(items), self._dropped, first)

    def _give_up(self, items: Sequence[Item], reason: str) -> None:
        self._failed += len(items)
        self._settle(items, Outcome.FAILED, reason)
        for item in items:
            _log.error("alerts: receiver %s did not get (%s): %s", self.name, reason, item.alert.title)

    def _settle(self, items: Sequence[Item], outcome: Outcome, reason: str, handles: Mapping[str, str] | None = None) -> None:
        if items:
            ids, now_ms = [item.alert.id for item in items], self._seams.clock.time_ms()
            guarded(self._ledger.settle, ids, self.name, outcome, now_ms, reason, handles or None)

    # -- keeping alive -----------------------------------------------------------------------------------------------------------

    def _follow(self, alert: Alert) -> None:
        self._unheard.discard(alert.key)
        if alert.is_resolved:
            self._firing.pop(alert.key, None)
            return
        if not self._firing and isinstance(self._receiver, KeptAlive):
            self._alive_s = self._seams.now_s + self._receiver.keep_alive_s
        self._firing[alert.key] = alert

    def _is_keep_alive_due(self) -> bool:
        return bool(self._firing) and isinstance(self._receiver, KeptAlive) and self._seams.now_s + _TOLERANCE_S >= self._alive_s

    async def _keep_alive(self) -> None:
        assert isinstance(self._receiver, KeptAlive)
        self._alive_s = self._seams.now_s + self._receiver.keep_alive_s
        work = self._receiver.keep_alive(tuple(self._firing.values()), self._seams.clock.time_ms())
        delivery = await answered(self._seams.clock, self._config.send_limit_s, work)
        if delivery.delivered:
            self._works()
        else:
            self._fails(delivery)
