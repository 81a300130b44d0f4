"""What is asked of the venue itself, beside its accounts: its clock, reference data, and marks once before the first frame."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Any

from connectors.aster.feeds import CLOCK_FEED, REFERENCE_FEED, VenueFeeds
from connectors.aster.market import SharedMarket
from connectors.aster.reference import build
from connectors.aster.rest import AccountRest, AsterRest
from connectors.aster.settings import VENUE, AsterConfig
from connectors.clock import Clock
from connectors.errors import ConnectorError
from connectors.events import Event, FeedState, VenueStatus
from connectors.jobs import Jobs

WAIT_FOR_KEYS_S = 1.0
REFERENCE_GAP_S, MOST_REFERENCE_GAP_S = 30.0, 300.0

_log = logging.getLogger("connectors.aster")


class VenueJob(Enum):
    """A job that belongs to no account. SEED: marks from REST, before the first frame."""

    CLOCK = "clock"
    REFERENCE = "reference"
    SEED = "seed"


class VenueTender:
    """Polls of one network that belong to no account. `signers` gives the accounts with whose keys margin tiers may be asked for, None
    as long as no account's key was checked. `loaded` is called after reference data were read, `failed` with what failed.
    """

    def __init__(
        self,
        config: AsterConfig,
        rest: AsterRest,
        shared: SharedMarket,
        *,
        clock: Clock,
        random: Random,
        emit: Callable[[list[Event]], None],
        signers: Callable[[], Sequence[AccountRest] | None],
        loaded: Callable[[], None],
        failed: Callable[[str, ConnectorError], None],
    ) -> None:
        self._config = config
        self._rest = rest
        self._shared = shared
        self._clock = clock
        self._emit = emit
        self._signers = signers
        self._loaded = loaded
        self._failed = failed
        self._feeds = VenueFeeds({REFERENCE_FEED: config.reference_s, CLOCK_FEED: config.clock_s}, clock.monotonic_ns())
        self._brackets: Any = None
        self._funding: Any = None
        self._notes: tuple[str, ...] = ()
        self._gap_s = REFERENCE_GAP_S
        self._tried_ns: int | None = None
        self._jobs: Jobs[VenueJob] = Jobs(
            VENUE,
            {VenueJob.CLOCK: self._measure_clock, VenueJob.REFERENCE: self._load, VenueJob.SEED: self._seed},
            clock=clock,
            random=random,
            failed=self._on_failed,
        )
        self._jobs.schedule(VenueJob.CLOCK)
        self._jobs.schedule(VenueJob.REFERENCE)

    async def run(self) -> None:
        """Poll, for ever."""
        await self._jobs.run()

    def tick(self, now_ns: int) -> list[Event]:
        """Look whether reference data are needed sooner than their turn; what changed meanwhile."""
        if self._shared.stale is not None and self._tried_ns is not None:
            self._jobs.schedule(VenueJob.REFERENCE, max(0.0, self._gap_s - (now_ns - self._tried_ns) / 1e9))
        return [*self._feeds.changes(now_ns)]

    def keys_checked(self) -> None:
        """An account's key was judged: margin tiers may be asked for with it."""
        if self._brackets is None:
            self._jobs.reschedule(VenueJob.REFERENCE, 0.0)

    def feed_states(self, now_ns: int) -> list[FeedState]:
        """Every polled feed of the venue as it is now."""
        return self._feeds.states(now_ns)

    async def _measure_clock(self) -> None:
        server_ms = await self._rest.server_time()
        self._jobs.schedule(VenueJob.CLOCK, self._config.clock_s)
        now_ns = self._clock.monotonic_ns()
        self._feeds.heard(CLOCK_FEED, now_ns)
        self._emit([VenueStatus(VENUE, now_ns, server_ms), *self._feeds.changes(now_ns)])

    async def _load(self) -> None:
        signers = self._signers()
        if signers is None:
            self._jobs.schedule(VenueJob.REFERENCE, WAIT_FOR_KEYS_S)
            return
        self._tried_ns = self._clock.monotonic_ns()
        info = await self._rest.exchange_info()
        failures = [await self._read_funding(), await self._read_brackets(signers)]
        reference, before = build(info, self._brackets, self._funding, self._config), self._shared.current
        first, changed = not self._shared.loaded, reference != before
        # Frames that keep contradicting the same answer are the venue's to settle: ask ever more rarely.
        self._gap_s = REFERENCE_GAP_S if changed else min(2.0 * self._gap_s, MOST_REFERENCE_GAP_S)
        now_ns = self._clock.monotonic_ns()
        self._shared.replace(reference)
        self._tell_notes(reference.notes)
        if first or changed:
            self._emit([reference.event(now_ns)])
        if first:
            self._jobs.schedule(VenueJob.SEED)
        self._loaded()
        for failure in failures:
            if failure is not None:
                raise failure
        self._feeds.heard(REFERENCE_FEED, now_ns)
        self._emit_changes(now_ns)
        self._jobs.schedule(VenueJob.REFERENCE, self._config.reference_s)

    async def _read_funding(self) -> ConnectorError | None:
        try:
            self._funding = await self._rest.funding_info()
        except ConnectorError as failure:
            return failure
        return None

    async def _read_brackets(self, signers: Sequence[AccountRest]) -> ConnectorError | None:
        failure: ConnectorError | None = None
        for signer in signers:
            try:
                self._brackets = await signer.brackets()
            except ConnectorError as problem:
                failure = problem
            else:
                return None
        return failure

    async def _seed(self) -> None:
        self._emit([await self._rest.premium_index()])

    def _tell_notes(self, notes: tuple[str, ...]) -> None:
        if notes != self._notes:
            for note in notes:
                _log.warning("%s", note)
        self._notes = notes

    def _on_failed(self, job: VenueJob, failure: ConnectorError) -> None:
        self._failed(job.value, failure)
        feed = {VenueJob.CLOCK: CLOCK_FEED, VenueJob.REFERENCE: REFERENCE_FEED}.get(job)
        if feed is not None:
            self._feeds.down(feed, str(failure))
            self._emit_changes(self._clock.monotonic_ns())

    def _emit_changes(self, now_ns: int) -> None:
        changes = self._feeds.changes(now_ns)
        if changes:
            self._emit([*changes])
