"""Asks what an account's key may do, before anything else is asked with it and every hour after, and tells the monitor."""

from __future__ import annotations

import logging
from collections.abc import Callable

from connectors.aster.accounts import AccountState
from connectors.aster.errors import ClockRefused, VenueError, VenueUnavailable
from connectors.aster.keys import KeyVerdict, judge_agents, judge_hmac, judge_refusal
from connectors.aster.rest import AccountRest
from connectors.aster.settings import VENUE
from connectors.aster.signing import AgentSigner, HmacSigner, VenueClock
from connectors.clock import Clock
from connectors.events import AccountFailure, Event, KeyState

FIRST_RECHECK_S = 15.0
LAST_RECHECK_S = 300.0

_log = logging.getLogger("connectors.aster")


class KeyGuard:
    """The key of one account. `admitted` and the account's `refused` feeds follow each verdict; `stream_refused` says why there is no
    user stream, "" if there may be one.
    """

    def __init__(
        self,
        account: AccountState,
        rest: AccountRest,
        signer: AgentSigner | HmacSigner,
        venue_clock: VenueClock,
        *,
        clock: Clock,
        emit: Callable[[list[Event]], None],
        period_s: float,
        stream_refused: Callable[[], str],
    ) -> None:
        self._account = account
        self._rest = rest
        self._signer = signer
        self._venue_clock = venue_clock
        self._clock = clock
        self._emit = emit
        self._period_s = period_s
        self._stream_refused = stream_refused
        self._refusals = 0
        self._said = ""

    async def check(self) -> float:
        """Ask and judge; seconds until the next check. Raises what stood in the way of an answer: the last verdict stands then."""
        verdict = await self._verdict()
        account, now_ns = self._account, self._clock.monotonic_ns()
        account.checked, account.admitted = True, verdict.reason is None
        account.feeds.refused = verdict.detail
        if verdict.reason is not None:
            account.reconnect = "its key may not be used"
            self._say(verdict.detail, logging.ERROR)
            self._emit([AccountFailure(VENUE, account.alias, now_ns, verdict.reason, verdict.detail), *account.feeds.changes(now_ns)])
            self._refusals += 1
            return min(LAST_RECHECK_S, FIRST_RECHECK_S * 2.0 ** min(self._refusals - 1, 16), self._period_s)
        self._refusals = 0
        self._emit([self._key_state(verdict, now_ns), *account.feeds.changes(now_ns)])
        return self._period_s

    async def _verdict(self) -> KeyVerdict:
        ref, signer = self._account.ref, self._signer
        if isinstance(signer, HmacSigner):
            return judge_hmac(ref.alias, allow_unsafe=ref.allow_unsafe_key)
        try:
            agents = await self._rest.agents()
        except (VenueUnavailable, ClockRefused):
            raise
        except VenueError as refusal:
            return judge_refusal(ref.alias, refusal, allow_unsafe=ref.allow_unsafe_key)
        return judge_agents(ref.alias, signer.signer, agents, self._venue_clock.now_ms(), allow_unsafe=ref.allow_unsafe_key)

    def _key_state(self, verdict: KeyVerdict, now_ns: int) -> KeyState:
        refused = self._stream_refused()
        warning = "; ".join([*verdict.warnings, *([refused] if refused else [])])
        self._say(f"account {self._account.alias}: {warning}" if warning else "", logging.WARNING)
        return KeyState(VENUE, self._account.alias, now_ns, verdict.expires_ms, verdict.rights, warning)

    def _say(self, text: str, level: int) -> None:
        if text and text != self._said:
            _log.log(level, "%s", text)
        self._said = text
