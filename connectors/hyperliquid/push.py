"""Moves accounts between push and poll. A pushed account whose pushes are not fresh is bridged: polled until they are."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.events import FeedState, FeedStatus
from connectors.hyperliquid.accounts import AccountState, Job
from connectors.hyperliquid.polling import PolledFeeds
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.settings import HyperliquidConfig
from connectors.hyperliquid.slots import NS, SlotPolicy
from connectors.hyperliquid.subscriptions import STATE_FEEDS
from connectors.ratelimit import Budget
from connectors.session import Session

BRIDGE_AFTER_S = 10.0
TRY_AGAIN_S = 600.0
TRY_AGAIN_MOST_S = 4 * 3600.0


class PushSlots:
    """Which accounts are pushed over the account connection. `ratios` are the margin ratios to rank by."""

    def __init__(
        self, config: HyperliquidConfig, budget: Budget, protocol: HyperliquidProtocol, session: Session, polled: PolledFeeds
    ) -> None:
        self.ratios: Mapping[str, float] = {}
        self.policy = SlotPolicy(budget.users_limit, config.swap_margin, config.swap_interval_s)
        self._all_slots = budget.users_limit
        self._budget = budget
        self._protocol = protocol
        self._session = session
        self._polled = polled
        self._full_until_ns: int | None = None
        self._try_again_s = TRY_AGAIN_S
        self._has_ended = False

    def tick(self, accounts: Mapping[str, AccountState], now_ns: int) -> None:
        """Make the changes that are due."""
        if self._has_ended:
            return
        if self._full_until_ns is not None and now_ns >= self._full_until_ns:
            self._full_until_ns, self.policy.slots = None, self._all_slots
        self._fill(accounts, now_ns)
        self._bridge(accounts, now_ns)

    def _fill(self, accounts: Mapping[str, AccountState], now_ns: int) -> None:
        for _ in range(len(accounts)):
            pushed = [alias for alias, account in accounts.items() if account.pushed]
            polled = [alias for alias, account in accounts.items() if account.admitted and not account.pushed]
            swap = self.policy.next(pushed, polled, self.ratios, now_ns)
            if swap is None:
                return
            if swap.demote is not None:
                self._demote(accounts[swap.demote], now_ns)
            self._promote(accounts[swap.promote], now_ns)

    def _promote(self, account: AccountState, now_ns: int) -> None:
        if not self._budget.try_take_user(account.alias):
            self._use_fewer(self.policy.slots - 1, now_ns)
            return
        account.pushed, account.bridged, account.unfresh_ns = True, True, None
        self._protocol.watch(account.watched, account.dexs_in_use[1:], now_ns)
        self._session.wake()

    def _demote(self, account: AccountState, now_ns: int) -> None:
        feeds = self._protocol.unwatch(account.alias)
        self._budget.release_user(account.alias)
        was_fresh = not account.bridged
        account.pushed, account.bridged = False, False
        self._polled.add(account, now_ns, feeds)
        if was_fresh:
            # Its last push is a few seconds old: as good as a poll, and the next poll is due now.
            self._polled.heard_account(account, now_ns)
        account.schedule(Job.POLL, now_ns)
        self._session.wake()

    def leave(self, account: AccountState) -> None:
        """The account is watched no longer: its slot is free."""
        self.ratios = {alias: ratio for alias, ratio in self.ratios.items() if alias != account.alias}
        if account.pushed:
            self._protocol.unwatch(account.alias)
            self._budget.release_user(account.alias)
            self._session.wake()

    def end(self, accounts: Mapping[str, AccountState]) -> None:
        """Nothing is pushed any more: all slots are free for who takes over."""
        self._has_ended = True
        for account in accounts.values():
            if account.pushed:
                self._budget.release_user(account.alias)

    def refused(self, account: AccountState, now_ns: int) -> None:
        """The venue tracks no more users for this address: the account is polled, and one slot less is used for a while."""
        if self._has_ended:
            return
        self._demote(account, now_ns)
        self._polled.retell(account)
        self._use_fewer(len(self._protocol.accounts), now_ns)

    def _use_fewer(self, slots: int, now_ns: int) -> None:
        self.policy.slots = max(0, slots)
        self._full_until_ns = now_ns + round(self._try_again_s * NS)
        self._try_again_s = min(2.0 * self._try_again_s, TRY_AGAIN_MOST_S)

    def _bridge(self, accounts: Mapping[str, AccountState], now_ns: int) -> None:
        states = self._protocol.feed_states(now_ns)
        fresh = {(state.feed, state.account) for state in states if state.status is FeedStatus.FRESH}
        for account in accounts.values():
            if not account.pushed:
                continue
            if all((feed, account.alias) in fresh for feed in STATE_FEEDS):
                self._end_bridge(account)
                continue
            if account.unfresh_ns is None:
                account.unfresh_ns = now_ns
            if not account.bridged and now_ns - account.unfresh_ns >= BRIDGE_AFTER_S * NS:
                account.bridged = True
                self._polled.add(account, now_ns, [state.feed for state in states if state.account == account.alias])
                account.schedule(Job.POLL, now_ns)

    def _end_bridge(self, account: AccountState) -> None:
        account.unfresh_ns = None
        if account.bridged:
            account.bridged = False
            self._polled.remove(account)
            self._protocol.retell(account.alias)

    def may_tell(self, account: AccountState, state: FeedState) -> bool:
        """Whether a state of the account connection is the one to show: not while the account is bridged by polling."""
        return not account.bridged and (account.pushed or state.status is FeedStatus.DOWN)
