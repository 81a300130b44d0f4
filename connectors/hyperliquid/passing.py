"""Events on their way to the monitor: what the connector itself learns from them, and which of them are not to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from connectors.clock import Clock
from connectors.events import (
    AccountChanged,
    CashFlow,
    Event,
    FeedState,
    Fill,
    ModeReport,
    SectionsSnapshot,
    VenueStatus,
    WalletSnapshot,
)
from connectors.hyperliquid.accounts import PORTFOLIO_MARGIN, AccountState
from connectors.hyperliquid.market import SharedReference
from connectors.hyperliquid.protocol import HyperliquidProtocol
from connectors.hyperliquid.push import PushSlots
from connectors.hyperliquid.reference import dex_of
from connectors.hyperliquid.resolving import Resolving
from connectors.session import Session


class PassingEvents:
    """Follows what accounts hold: instruments are wanted, orders watched, accounts read again. `accounts` are those watched, by alias;
    `refresh` is called with the alias of one to be read again.
    """

    def __init__(
        self,
        accounts: Mapping[str, AccountState],
        shared: SharedReference,
        resolving: Resolving,
        slots: PushSlots,
        pushed: HyperliquidProtocol,
        session: Session,
        *,
        clock: Clock,
        refresh: Callable[[str], None],
    ) -> None:
        self.asked: frozenset[str] = frozenset()
        """Instruments wanted beside those that accounts hold."""
        self._accounts = accounts
        self._shared = shared
        self._resolving = resolving
        self._slots = slots
        self._pushed = pushed
        self._session = session
        self._clock = clock
        self._refresh = refresh
        self._observers: dict[type, Callable[[Any], bool]] = {
            SectionsSnapshot: self._on_sections,
            WalletSnapshot: self._on_wallet,
            ModeReport: self._on_mode,
            Fill: self._on_fill,
            CashFlow: self._on_cash_flow,
            AccountChanged: self._on_change,
            FeedState: self._on_feed_state,
            VenueStatus: self._on_status,
        }

    def look(self, events: list[Event]) -> list[Event]:
        """Learn from the events; those to be told."""
        observers = self._observers
        return [event for event in events if type(event) not in observers or observers[type(event)](event)]

    def follow(self, account: AccountState) -> None:
        """The account may hold other positions than before."""
        if not account.instruments <= self._shared.wanted:
            self.want()
        if account.pushed:
            self._pushed.watch_orders(account.watched, account.dexs_in_use[1:], self._clock.monotonic_ns())
            self._session.wake()

    def want(self) -> None:
        """Want what is asked for and what the accounts hold."""
        accounts = self._accounts.values()
        held = set[str]().union(*(account.instruments for account in accounts))
        assets = set[str]().union(*(account.assets for account in accounts))
        self._shared.want(self.asked | held, assets)

    def _on_sections(self, event: SectionsSnapshot) -> bool:
        account = self._accounts[event.account]
        account.note_sections(event.sections, complete=event.complete)
        self.follow(account)
        return True

    def _on_wallet(self, event: WalletSnapshot) -> bool:
        account = self._accounts[event.account]
        before = account.assets
        account.note_wallet(event.wallet)
        if account.assets != before:
            self.want()
        return True

    def _on_status(self, event: VenueStatus) -> bool:
        self._resolving.venue_ahead_ms = event.time_ms - self._clock.time_ms()
        return True

    def _on_mode(self, event: ModeReport) -> bool:
        account = self._accounts[event.account]
        is_portfolio_margin = event.mode == PORTFOLIO_MARGIN
        if account.admitted and is_portfolio_margin != account.uses_portfolio_margin:
            # Only the wallet over REST says it for sure; what the venue says here is the moment to ask.
            self._refresh(event.account)
        return True

    def _on_fill(self, event: Fill) -> bool:
        if event.instrument is not None and not event.snapshot:
            self._touch(event.account, dex_of(event.instrument.partition(":")[2]))
        return True

    def _on_cash_flow(self, event: CashFlow) -> bool:
        if event.section is not None and not event.snapshot:
            self._touch(event.account, event.section)
        return True

    def _touch(self, alias: str, dex: str) -> None:
        if dex in self._shared.current.dexs:
            self._accounts[alias].touched.add(dex)

    def _on_change(self, event: AccountChanged) -> bool:
        self._refresh(event.account)
        return True

    def _on_feed_state(self, event: FeedState) -> bool:
        account = None if event.account is None else self._accounts.get(event.account)
        return account is None or self._slots.may_tell(account, event)
