"""Freshness of what is polled, and how often an account can be polled within the budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from connectors.events import FeedState, FeedStatus
from connectors.hyperliquid.accounts import AccountState
from connectors.hyperliquid.reference import VENUE
from connectors.hyperliquid.rest import weight_of
from connectors.hyperliquid.settings import HyperliquidConfig
from connectors.hyperliquid.subscriptions import STATE_FEEDS
from connectors.ratelimit import UNLIMITED, Budget
from connectors.staleness import FeedClock, StalenessBoard

POLLING_PART = 0.6
MISSED_POLLS = 3.5
REFERENCE_FEED = "reference"
STATUS_FEED = "exchangeStatus"
RESERVES_FEED = "allBorrowLendReserveStates"
WALLET_FEED = "spotClearinghouseState"
OUTCOMES_FEED = "outcomeMeta"

FeedKey = tuple[str, str | None]


class PolledFeeds:
    """Feeds that come over REST: those of the venue, the two state feeds of each polled account, and the wallet of each account
    on portfolio margin, which no push has whole. Nanoseconds are monotonic.
    """

    def __init__(self, config: HyperliquidConfig) -> None:
        self._config = config
        self._board = StalenessBoard(VENUE)
        self._clocks: dict[FeedKey, FeedClock] = {}
        self._period_s = config.poll_interval_s
        self._down: dict[FeedKey, str] = {}
        self._covered: dict[str, tuple[str, ...]] = {}
        self._told: dict[FeedKey, tuple[FeedStatus, float]] = {}

    def begin(self, accounts: Iterable[AccountState], now_ns: int) -> None:
        """Expect everything that is polled from the start."""
        self.expect(REFERENCE_FEED, self._config.reference_interval_s, now_ns)
        self.expect(STATUS_FEED, self._config.status_poll_s, now_ns)
        self.expect(OUTCOMES_FEED, self._config.outcomes_interval_s, now_ns)
        for account in accounts:
            self.add(account, now_ns)

    def expect(self, feed: str, period_s: float, now_ns: int) -> None:
        """Expect a feed of the venue every `period_s`; harmless if it is expected already."""
        self._register((feed, None), period_s, now_ns)

    def expects(self, feed: str) -> bool:
        """Whether a feed of the venue is expected."""
        return (feed, None) in self._clocks

    def forget(self, feed: str) -> None:
        """Expect a feed of the venue no longer."""
        self._unregister((feed, None))

    def add(self, account: AccountState, now_ns: int, covers: Iterable[str] = ()) -> None:
        """The account is polled from now on; `covers` are feeds it had, which share the fate of its polls."""
        for feed in STATE_FEEDS:
            self._register((feed, account.alias), self._period_s, now_ns)
        if covers:
            self._covered[account.alias] = tuple(feed for feed in covers if feed not in STATE_FEEDS)

    def remove(self, account: AccountState) -> None:
        """The account is polled no longer."""
        for feed in (*STATE_FEEDS, *self._covered.pop(account.alias, ())):
            self._unregister((feed, account.alias))

    def leave(self, account: AccountState) -> None:
        """The account is watched no longer."""
        self.remove(account)
        self._unregister((WALLET_FEED, account.alias))

    def retell(self, account: AccountState) -> None:
        """Tell the account's states again, changed or not: somebody else spoke about these feeds."""
        self._told = {key: said for key, said in self._told.items() if key[1] != account.alias}

    def heard(self, feed: str, account: str | None, now_ns: int) -> None:
        """A poll of the feed was answered."""
        self._down.pop((feed, account), None)
        self._board.heard(feed, account, now_ns)

    def heard_account(self, account: AccountState, now_ns: int) -> None:
        """The account was fetched."""
        for feed in STATE_FEEDS:
            self.heard(feed, account.alias, now_ns)

    def down(self, feed: str, why: str) -> None:
        """A poll of a feed of the venue failed: if it was never answered, or is stale, that is why."""
        self._down[feed, None] = why

    def period_s(self, accounts: Iterable[AccountState], budget: Budget) -> float:
        """How often each polled account is fetched: as configured, or as rarely as its part of the budget demands."""
        limit = budget.statistics().weight_limit
        weights = [
            weight_of("clearinghouseState") * (len(a.dexs_in_use) + 1) + weight_of("spotClearinghouseState")
            for a in accounts
            if a.is_polled
        ]
        affordable = 0.0 if limit >= UNLIMITED else 60.0 * sum(weights) / (limit * POLLING_PART)
        return max(self._config.poll_interval_s, affordable)

    def tick(self, accounts: Iterable[AccountState], period_s: float, now_ns: int) -> None:
        """Follow who is polled now, and how often."""
        self._period_s = period_s
        for account in accounts:
            if account.is_polled:
                self.add(account, now_ns)
            else:
                self.remove(account)
            if account.uses_portfolio_margin and account.pushed:
                self._register((WALLET_FEED, account.alias), self._config.pm_poll_s, now_ns)
            else:
                self._unregister((WALLET_FEED, account.alias))
        for (feed, _), clock in self._clocks.items():
            if feed in STATE_FEEDS:
                clock.limit_s = period_s * MISSED_POLLS

    def changes(self, now_ns: int) -> list[FeedState]:
        """The states that changed since last told, in status or in how long their silence may last."""
        changed = []
        for state in self.states(now_ns):
            said = (state.status, state.stale_after_s)
            if self._told.get((state.feed, state.account)) != said:
                self._told[state.feed, state.account] = said
                changed.append(state)
        return changed

    def states(self, now_ns: int) -> list[FeedState]:
        """Every polled feed as it is now."""
        found: list[FeedState] = []
        for state in map(self._explained, self._board.states(now_ns)):
            found.append(state)
            if state.account is not None and state.feed == STATE_FEEDS[0]:
                found += [replace(state, feed=feed) for feed in self._covered.get(state.account, ())]
        return found

    def _explained(self, state: FeedState) -> FeedState:
        why = self._down.get((state.feed, state.account))
        if why is not None and state.status in (FeedStatus.CONNECTING, FeedStatus.STALE):
            return replace(state, status=FeedStatus.DOWN, detail=why)
        if state.status is FeedStatus.POLLED:
            return replace(state, detail=f"polled every {state.stale_after_s / MISSED_POLLS:.0f} s")
        return state

    def _register(self, key: FeedKey, period_s: float, now_ns: int) -> None:
        if key not in self._clocks:
            self._clocks[key] = self._board.register(*key, period_s * MISSED_POLLS, now_ns, polled=True)

    def _unregister(self, key: FeedKey) -> None:
        if self._clocks.pop(key, None) is not None:
            self._board.unregister(*key)
        self._told.pop(key, None)
        self._down.pop(key, None)
