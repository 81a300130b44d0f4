"""Tends one account over REST: first look, polls, resyncs, and what frames do not carry. One task an account, never ending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TypeVar

from connectors.backoff import Backoff, BackoffState
from connectors.clock import Clock, wait_for
from connectors.errors import ConnectorError
from connectors.events import AccountFailure, AccountSnapshot, Event, FailureReason, ModeReport, Source, WalletSnapshot
from connectors.hyperliquid.accounts import PORTFOLIO_MARGIN, AccountState, Job, holds_nothing
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.reference import VENUE
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import HyperliquidConfig

T = TypeVar("T")

NS = 1_000_000_000
ROLE_AFTER_S = (60.0, 600.0)
BUSY_RATIO = 0.5
BUSY_FACTOR = 5.0
RETRY = Backoff(initial=1.0, maximum=30.0)

_log = logging.getLogger("connectors.hyperliquid")
_NOT_MONITORABLE = {
    "agent": (FailureReason.AGENT_ADDRESS, "its address is an API wallet, which holds nothing: configure the account it trades for"),
    "missing": (FailureReason.MISSING_ACCOUNT, "the venue does not know its address: check the address and the network"),
}


class AccountTender:
    """REST jobs of one account. `emit` takes events, `poll_period_s` says how often a polled account is fetched now.

    `fetched` is called after every fetch that was told, `wallet_read` after every reading of the wallet, `failed` with the
    error of a job that failed.
    """

    def __init__(
        self,
        account: AccountState,
        config: HyperliquidConfig,
        rest: HyperliquidRest,
        shared: SharedReference,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        poll_period_s: Callable[[], float],
        busy: Callable[[], float],
        fetched: Callable[[AccountState], None],
        wallet_read: Callable[[AccountState], None],
        failed: Callable[[str, ConnectorError], None],
    ) -> None:
        self.account = account
        self._config = config
        self._rest = rest
        self._shared = shared
        self._clock = clock
        self._random = random
        self._emit = emit
        self._poll_period_s = poll_period_s
        self._busy = busy
        self._fetched = fetched
        self._wallet_read = wallet_read
        self._failed = failed
        self._retries: dict[Job, BackoffState] = {}
        self._jobs: dict[Job, Callable[[], Awaitable[None]]] = {
            Job.ADMIT: self._admit,
            Job.REFRESH: self.refetch,
            Job.POLL: self.refetch,
            Job.FULL: self._full,
            Job.WALLET: self._wallet,
            Job.MODE: self._mode,
            Job.ROLE: self._role,
        }
        account.schedule(Job.ADMIT, clock.monotonic_ns())

    async def run(self) -> None:
        """Do what is due, for ever."""
        account = self.account
        while True:
            self._plan()
            job, due_ns = account.next_job() or (None, None)
            wait_s = None if due_ns is None else (due_ns - self._clock.monotonic_ns()) / NS
            if job is None or (wait_s is not None and wait_s > 0.0):
                account.wake.clear()
                await wait_for(self._clock, account.wake, wait_s)
                continue
            await self._do(job)

    def ask_refresh(self) -> None:
        """Refetch soon: at once, unless that was done within the debounce, which is longer while the budget is half used."""
        if not self.account.admitted:
            return
        now_ns, last_ns = self._clock.monotonic_ns(), self.account.last_fetch_ns
        gap_s = self._config.refresh_debounce_s * (BUSY_FACTOR if self._busy() > BUSY_RATIO else 1.0)
        self.account.schedule(Job.REFRESH, now_ns if last_ns is None else max(now_ns, last_ns + round(gap_s * NS)))

    async def refetch(self) -> None:
        """Fetch the dexs in use, one other in turn, and the wallet right after; tell the whole account."""
        await self._fetch(self.account.dexs_to_poll(self._shared.current.dexs))

    async def _do(self, job: Job) -> None:
        del self.account.due[job]
        try:
            await self._jobs[job]()
        except ConnectorError as failure:
            self._failed(job.value, failure)
            self._again(job)
        except Exception as defect:
            # A defect must not end the watch over an account; its type is told, its text may quote a payload.
            _log.error("%s of account %s failed: internal error %s", job.value, self.account.alias, type(defect).__name__)
            self._again(job)
        else:
            self._retries.pop(job, None)

    def _again(self, job: Job) -> None:
        retry = self._retries.setdefault(job, BackoffState(RETRY, self._random))
        self.account.schedule(job, self._in(max(0.5, retry.next_delay())))

    def _in(self, seconds: float) -> int:
        return self._clock.monotonic_ns() + round(seconds * NS)

    def _plan(self) -> None:
        account = self.account
        if not account.admitted:
            return
        if not account.is_polled:
            account.due.pop(Job.POLL, None)
        elif Job.POLL not in account.due:
            account.schedule(Job.POLL, self._after_last_fetch(self._poll_period_s()))
        polled_as_often = account.is_polled and self._poll_period_s() <= self._config.pm_poll_s
        if polled_as_often or not account.uses_portfolio_margin:
            account.due.pop(Job.WALLET, None)
        elif Job.WALLET not in account.due:
            account.schedule(Job.WALLET, self._in(self._config.pm_poll_s))

    def _after_last_fetch(self, seconds: float) -> int:
        last_ns = self.account.last_fetch_ns
        return self._clock.monotonic_ns() if last_ns is None else last_ns + round(seconds * NS)

    async def _admit(self) -> None:
        account = self.account
        async with account.lock:
            snapshot = await self._snapshot(tuple(self._shared.current.dexs))
            assert snapshot.wallet is not None
            if holds_nothing(snapshot.sections, snapshot.wallet) and not account.role_known and not await self._has_role():
                account.schedule(Job.ADMIT, self._in(self._config.resync_interval_s))
                return
            account.admitted = True
            self._tell(snapshot)
        account.schedule(Job.MODE, self._clock.monotonic_ns())
        # The accounts' heavy requests are spread out, so that they do not crowd the polls out of the budget together.
        account.schedule(Job.FULL, self._in(self._config.resync_interval_s * self._random.uniform(0.5, 1.0)))
        if not account.role_known:
            account.schedule(Job.ROLE, self._in(self._random.uniform(*ROLE_AFTER_S)))

    async def _full(self) -> None:
        await self._fetch(tuple(self._shared.current.dexs))
        self.account.schedule(Job.FULL, self._in(self._config.resync_interval_s))
        if self.account.is_polled:
            self.account.schedule(Job.MODE, self._clock.monotonic_ns())

    async def _fetch(self, dexs: tuple[str, ...]) -> None:
        async with self.account.lock:
            self._tell(await self._snapshot(dexs))

    async def _snapshot(self, dexs: tuple[str, ...]) -> AccountSnapshot:
        address, touched = self.account.ref.address, set(self.account.touched)
        sections = await gathered(self._rest.clearinghouse_state(address, dex) for dex in dexs)
        wallet = await self._rest.spot_clearinghouse_state(address)
        now_ns = self._clock.monotonic_ns()
        self._shared.check(position.instrument for section in sections for position in section.positions)
        self.account.note_sections(sections, complete=False)
        self.account.note_wallet(wallet)
        self.account.touched -= touched & set(dexs)
        self.account.last_fetch_ns = now_ns
        return AccountSnapshot(VENUE, self.account.alias, now_ns, tuple(self.account.sections.values()), wallet)

    def _tell(self, snapshot: AccountSnapshot) -> None:
        self._emit([snapshot])
        self._fetched(self.account)
        self._wallet_read(self.account)

    async def _wallet(self) -> None:
        wallet = await self._rest.spot_clearinghouse_state(self.account.ref.address)
        self.account.note_wallet(wallet)
        self._emit([WalletSnapshot(VENUE, self.account.alias, self._clock.monotonic_ns(), Source.POLL, wallet)])
        self._wallet_read(self.account)

    async def _mode(self) -> None:
        mode = await self._rest.user_abstraction(self.account.ref.address)
        if mode == PORTFOLIO_MARGIN and self.account.portfolio_margin is None:
            self.account.portfolio_margin = True
        self._emit([ModeReport(VENUE, self.account.alias, self._clock.monotonic_ns(), mode)])

    async def _role(self) -> None:
        if not await self._has_role():
            self.account.schedule(Job.ROLE, self._in(self._config.resync_interval_s))

    async def _has_role(self) -> bool:
        role = await self._rest.user_role(self.account.ref.address)
        problem = _NOT_MONITORABLE.get(role.role)
        if problem is None:
            self.account.role_known = True
            return True
        reason, text = problem
        detail = f"account {self.account.alias} cannot be watched: {text}"
        self._emit([AccountFailure(VENUE, self.account.alias, self._clock.monotonic_ns(), reason, detail)])
        return False


async def gathered(work: Iterable[Awaitable[T]]) -> list[T]:
    """The results of all, in order; the first failure is raised after the others were cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
