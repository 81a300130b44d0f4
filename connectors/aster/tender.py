"""Tends one account: is its key safe, its user stream, its reads. Two tasks an account, never ending.

Nothing is asked with a key before its rights were read. Then the stream is opened and the account read beside it: pushes that come
meanwhile wait in the merge (`state.py`), the first read after the opening makes it whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from random import Random

from connectors.aster.accounts import NS, AccountState, Job, Urgency
from connectors.aster.errors import KeyRefused, NeverDeposited, SignatureRefused, TornRead
from connectors.aster.guard import KeyGuard
from connectors.aster.listen_key import KeyUnusable, ListenKey, StreamRefused
from connectors.aster.market import SharedMarket
from connectors.aster.polling import POLLED_MODES_S, PRICES_S, Paces
from connectors.aster.protocol import UserProtocol
from connectors.aster.rest import AccountRest
from connectors.aster.settings import VENUE, AsterConfig
from connectors.aster.signing import AgentSigner, HmacSigner, VenueClock
from connectors.aster.state import Modes
from connectors.clock import Clock
from connectors.errors import ConnectorError
from connectors.events import AccountFailure, AdlQuantiles, Event, FailureReason, Source
from connectors.jobs import Jobs
from connectors.ratelimit import Budget
from connectors.session import Session
from connectors.transport import WebSocketTransport

FIRST_READ_S = 5.0
"""The stream's own first read is waited for so long, that an account is not read twice at the start."""

READ_GAP_S = 1.0
BUSY_RATIO, BUSY_FACTOR = 0.5, 5.0
SETTLE_AFTER_S, SETTLE_GAP_S = 2.5, 15.0
KEY_RECHECK_GAP_S = 60.0
SPARE_RATIO, PUT_OFF_S = 0.7, 5.0
"""What is only nice to know is put off while more than this part of the budget is used, or anybody waits for it."""

_KEY_TROUBLE = (KeyRefused, SignatureRefused, NeverDeposited)


class AccountTender:
    """One account over REST and its stream. `turns` lets few accounts at a time read their modes, which are so heavy that all at once
    would hold up every other read for minutes. `emit` takes events, `judged` is called after a verdict on its key that differs from
    the last, `failed` with the error of a job that failed.
    """

    def __init__(
        self,
        account: AccountState,
        config: AsterConfig,
        rest: AccountRest,
        signer: AgentSigner | HmacSigner,
        shared: SharedMarket,
        venue_clock: VenueClock,
        *,
        websocket: WebSocketTransport,
        budget: Budget,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        turns: asyncio.Semaphore,
        judged: Callable[[], None],
        failed: Callable[[str, ConnectorError], None],
    ) -> None:
        self.account = account
        self.rest = rest
        self._config = config
        self._shared = shared
        self._venue_clock = venue_clock
        self._budget = budget
        self._clock = clock
        self._emit = emit
        self._turns = turns
        self._on_judged = judged
        self._failed = failed
        self._is_hmac = signer.hmac
        self._orders_s, self._adl_s, self._polled_modes_s = config.orders_s, config.adl_s, POLLED_MODES_S
        self._tried_ns: int | None = None
        self._priced_ns: int | None = None
        self._settle_ns: int | None = None
        self._key_checked_ns: int | None = None
        self._settling = False
        self._ready = asyncio.Event()
        self._key = ListenKey(rest, config.ws_url, clock, retry_refused_s=config.key_check_s)
        self._guard = self._key_guard(signer)
        self._jobs = self._job_list(random)
        self.session = self._stream_session(websocket, random)
        self._jobs.schedule(Job.KEY)

    def _key_guard(self, signer: AgentSigner | HmacSigner) -> KeyGuard:
        alias, key = self.account.alias, self._key
        return KeyGuard(
            self.account,
            self.rest,
            signer,
            self._venue_clock,
            clock=self._clock,
            emit=self._emit,
            period_s=self._config.key_check_s,
            stream_refused=lambda: key.refused and str(StreamRefused(alias, key.refused)),
        )

    def _job_list(self, random: Random) -> Jobs[Job]:
        return Jobs(
            f"account {self.account.alias}",
            {Job.KEY: self._check_key, Job.READ: self._read, Job.ORDERS: self._orders, Job.ADL: self._adl, Job.KEEP: self._keep},
            clock=self._clock,
            random=random,
            failed=self._on_failed,
        )

    def _stream_session(self, websocket: WebSocketTransport, random: Random) -> Session:
        return Session(
            f"aster {self.account.alias}",
            self._url,
            UserProtocol(self.account, self._shared, self._venue_clock, ask=self.ask, expired=self._lapsed),
            websocket,
            self._emit,
            clock=self._clock,
            random=random,
            budget=self._budget,
            resync=self._resync,
            rotate_after_s=lambda: random.uniform(*self._config.rotate_after_s),
        )

    async def run(self) -> None:
        """Tend the account, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._jobs.run())
            group.create_task(self._stream())

    def begin(self) -> None:
        """Open the stream and read the account, if its key was admitted and the reference data are there."""
        if self._ready.is_set() or not (self.account.admitted and self._shared.loaded):
            return
        self._ready.set()
        self._jobs.schedule(Job.READ, FIRST_READ_S)
        self._jobs.schedule(Job.ORDERS, FIRST_READ_S)
        self._jobs.schedule(Job.ADL, FIRST_READ_S)

    def ask(self, urgency: Urgency) -> None:
        """Read the account soon; harmless before it may be read."""
        if not self._may_read:
            return
        now_ns = self._clock.monotonic_ns()
        if urgency is Urgency.ORDERS:
            self.account.trading = True
        elif urgency is Urgency.NOW:
            gap_s = READ_GAP_S * (BUSY_FACTOR if self._budget.used_ratio() > BUSY_RATIO else 1.0)
            self._jobs.schedule(Job.READ, _remaining_s(self._tried_ns, gap_s, now_ns))
        else:
            self._settle(now_ns)

    def tick(self, paces: Paces, now_ns: int) -> list[Event]:
        """Follow the paces; what changed meanwhile."""
        account = self.account
        self._orders_s, self._adl_s, self._polled_modes_s = paces.orders_s, paces.adl_s, paces.polled_modes_s
        account.feeds.pace(poll_s=paces.poll_s, reconcile_s=paces.reconcile_s)
        if self._may_read and self._tried_ns is not None:
            self._jobs.schedule(Job.READ, _remaining_s(self._tried_ns, paces.reads[account.alias], now_ns))
        self._key.check()
        if self._key.lapsed:
            self._lapsed(self._key.lapsed)
        orders = account.changed_orders(now_ns)
        return [*account.feeds.changes(now_ns), *([] if orders is None else [orders])]

    @property
    def _may_read(self) -> bool:
        return self._ready.is_set() and self.account.admitted

    # -- the key --------------------------------------------------------------------------------------------------------

    async def _check_key(self) -> None:
        was_checked, was_admitted = self.account.checked, self.account.admitted
        self._key_checked_ns = self._clock.monotonic_ns()
        self._jobs.schedule(Job.KEY, await self._guard.check())
        if not self.account.admitted:
            self._jobs.cancel(Job.READ, Job.ORDERS, Job.ADL, Job.KEEP)
        elif not was_admitted:
            # Where this is the beginning, the stream's own first read is waited for.
            self.ask(Urgency.NOW)
            self.begin()
            self._jobs.schedule(Job.ORDERS, FIRST_READ_S)
            self._jobs.schedule(Job.ADL, FIRST_READ_S)
        if not was_checked or self.account.admitted is not was_admitted:
            self._on_judged()

    def _on_failed(self, job: Job, failure: ConnectorError) -> None:
        self._failed(job.value, failure)
        if job is Job.READ or (job is Job.KEY and not self.account.admitted):
            self._note_failure(failure)
        if job is not Job.KEY:
            self._doubt_key(failure)

    def _note_failure(self, failure: ConnectorError) -> None:
        self.account.feeds.failure = str(failure)
        self._emit_all(*self.account.feeds.changes(self._clock.monotonic_ns()))

    def _doubt_key(self, failure: ConnectorError) -> None:
        if not isinstance(failure, _KEY_TROUBLE):
            return
        now_ns = self._clock.monotonic_ns()
        if self._is_hmac:
            # Nobody lists HMAC keys: what a request is told is all there is to know.
            reason = FailureReason.MISSING_ACCOUNT if isinstance(failure, NeverDeposited) else FailureReason.KEY_REFUSED
            detail = f"account {self.account.alias} cannot be watched: {failure}"
            self._emit_all(AccountFailure(VENUE, self.account.alias, now_ns, reason, detail))
        else:
            self._jobs.schedule(Job.KEY, _remaining_s(self._key_checked_ns, KEY_RECHECK_GAP_S, now_ns))

    # -- the stream -----------------------------------------------------------------------------------------------------

    async def _stream(self) -> None:
        await self._ready.wait()
        await self.session.run()

    async def _url(self) -> str:
        if not self.account.admitted:
            raise KeyUnusable(self.account.alias)
        refused = self._key.refused
        try:
            url = await self._key.url()
        finally:
            if self._key.refused != refused:
                # The key's state is told anew, with or without the warning.
                self._jobs.schedule(Job.KEY)
        self._jobs.reschedule(Job.KEEP, self._config.listen_key_s)
        return url

    async def _keep(self) -> None:
        await self._key.keep()
        self._jobs.schedule(Job.KEEP, self._config.listen_key_s)

    def _lapsed(self, why: str) -> None:
        self._key.expire(why)
        if self.account.feeds.connected:
            self.account.reconnect = why

    async def _resync(self) -> None:
        account = self.account
        # The ticks make the next one due again, a period after this one was tried.
        self._jobs.cancel(Job.READ)
        try:
            async with self._turns, account.lock:
                await self._read_account(resync=True)
        except ConnectorError as failure:
            self._note_failure(failure)
            self._doubt_key(failure)
            raise
        self._jobs.schedule(Job.ORDERS)

    # -- reads ----------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        asked_ns = self._clock.monotonic_ns()
        async with self._turns if self._known_modes() is None else nullcontext(), self.account.lock:
            # A read that somebody else began meanwhile is as good.
            if self._tried_ns is None or self._tried_ns <= asked_ns or self.account.feeds.failure:
                await self._read_account()

    async def _read_account(self, *, resync: bool = False) -> None:
        account = self.account
        self._tried_ns = self._clock.monotonic_ns()
        settling = self._take_settling(self._tried_ns)
        account.trading = False
        with_prices = resync or _remaining_s(self._priced_ns, PRICES_S, self._tried_ns) <= 0.0
        modes = (None if resync else self._known_modes()) or await self._modes()
        try:
            read = await (self.rest.account if with_prices else self.rest.account_only)(self._shared.current)
        except TornRead:
            # It trades all the time: one answer fits together whatever happens.
            with_prices = False
            read = await self.rest.account_only(self._shared.current)
        now_ns = self._clock.monotonic_ns()
        account.merge.read(read, modes, listening_since_ms=account.listening_since_ms)
        if with_prices:
            self._priced_ns = self._tried_ns
        (account.feeds.resynced if resync else account.feeds.heard)(now_ns)
        self._shared.check(account.merge.instruments())
        if account.feeds.listening and account.stream.read(account.merge, now_ns):
            account.reconnect = "reads corrected what the user stream did not tell: it is opened anew"
        if account.merge.wants_read and not settling:
            self._settle(now_ns)
        snapshot = account.snapshot(Source.POLL, now_ns)
        assert snapshot is not None
        self._emit_all(snapshot, *account.feeds.changes(now_ns))

    def _known_modes(self) -> Modes | None:
        modes, merge = self.account.modes, self.account.merge
        if modes is None or merge.doubt:
            return None
        period_s = self._config.modes_s if self.account.feeds.listening else self._polled_modes_s
        return modes if self._venue_clock.now_ms() - modes.asked_ms < period_s * 1000 else None

    async def _modes(self) -> Modes:
        asked_ms = self._venue_clock.now_ms()
        multi_assets, hedge_mode = await self.rest.modes()
        self.account.modes = Modes(multi_assets, hedge_mode, asked_ms)
        return self.account.modes

    def _settle(self, now_ns: int) -> None:
        if self._settling:
            return
        in_s = max(SETTLE_AFTER_S, _remaining_s(self._settle_ns, SETTLE_GAP_S, now_ns))
        self._settling, self._settle_ns = True, now_ns + round(in_s * NS)
        self._jobs.schedule(Job.READ, in_s)

    def _take_settling(self, now_ns: int) -> bool:
        # A read that happens to come before its time has passed settles nothing.
        if not self._settling or self._settle_ns is None:
            return False
        if now_ns < self._settle_ns:
            self._jobs.schedule(Job.READ, (self._settle_ns - now_ns) / NS)
            return False
        self._settling = False
        return True

    def _puts_off(self, job: Job) -> bool:
        budget = self._budget.statistics()
        is_busy = budget.waiting > 0 or budget.weight_used > SPARE_RATIO * budget.weight_limit
        if is_busy:
            self._jobs.schedule(job, PUT_OFF_S)
        return is_busy

    async def _orders(self) -> None:
        if self._puts_off(Job.ORDERS):
            return
        account = self.account
        began_ms = self._venue_clock.now_ms()
        account.orders.read(began_ms, await self.rest.orders())
        self._jobs.schedule(Job.ORDERS, self._orders_s)
        orders = account.changed_orders(self._clock.monotonic_ns())
        if orders is not None:
            self._emit_all(orders)

    async def _adl(self) -> None:
        if self._puts_off(Job.ADL):
            return
        if self.account.merge.instruments():
            quantiles = await self.rest.adl()
            self._emit_all(AdlQuantiles(VENUE, self.account.alias, self._clock.monotonic_ns(), quantiles))
        self._jobs.schedule(Job.ADL, self._adl_s)

    def _emit_all(self, *events: Event) -> None:
        if events:
            self._emit(list(events))


def _remaining_s(since_ns: int | None, seconds: float, now_ns: int) -> float:
    return 0.0 if since_ns is None else max(0.0, seconds - (now_ns - since_ns) / NS)
