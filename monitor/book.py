"""Live state: every event lands here, marks what it touched, and nothing is computed yet.

Accounts are kept by their venue's margin method, which turns each into pools; `pool_arrays` writes those for the kernels.
Market events touch prices only; an account event rewrites that account's pools, once per evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from connectors.events import (
    AccountEvent,
    AccountFailure,
    AccountSnapshot,
    AdlQuantiles,
    BorrowReserves,
    CashFlow,
    Event,
    FeedDropped,
    FeedState,
    Fill,
    FuturesSnapshot,
    Instruments,
    KeyState,
    MarkPrices,
    ModeReport,
    OrdersSnapshot,
    ParseError,
    SectionsSnapshot,
    SpotPrices,
    SummarySnapshot,
    VenueStatus,
    Volatilities,
    WalletSnapshot,
)
from monitor.freshness import Freshness, feeds_of
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Failure
from monitor.market import Market
from monitor.pool_arrays import PoolArrays, Scope


class AccountMethod(Protocol):
    """What a venue's margin module offers the book; see `monitor.margin.hyperliquid`, `aster` and `deribit`."""

    refresh: str
    """Why the account should be read again by REST; empty when it need not."""
    failure: Failure | None
    followed: frozenset[str]
    """Instruments whose mark or implied volatility, when it moves, makes other pools and not only other figures of the same."""

    def apply(self, event: AccountEvent, market: Market) -> None:
        """Take what a venue told of this account; kinds that its venue does not send are ignored."""
        ...

    def pools(self, market: Market) -> list[PoolSpec]:
        """The account's pools now; never empty."""
        ...

    def instruments(self) -> set[str]:
        """Instruments with a position."""
        ...


@dataclass(slots=True)
class AccountEntry:
    """One configured account: its method, its level thresholds and hysteresis."""

    venue: str
    account: str
    method: AccountMethod
    levels: tuple[float, float, float]
    hysteresis: float

    @property
    def cuts(self) -> list[float]:
        """The ascending ratios at which the alert policy must look."""
        return sorted([*self.levels, *(level - self.hysteresis for level in self.levels)])


class Book:
    """The program's live state. Single-threaded: only the event loop touches it."""

    def __init__(self, accounts: Iterable[AccountEntry]) -> None:
        self.market = Market()
        self.arrays = PoolArrays(self.market)
        self.accounts = {(entry.venue, entry.account): entry for entry in accounts}
        self.freshness = Freshness()
        self.vanished: list[Scope] = []
        """Scopes whose pool is gone since the alert policy last looked."""
        self.touched: set[tuple[str, str]] = set()
        """Accounts (venue, id) of which a venue told something since the portfolios last looked."""
        self.parse_errors: dict[tuple[str, str, str], int] = {}
        self.orders: dict[tuple[str, str], dict[str, OrdersSnapshot]] = {}
        self.venue_status: dict[str, VenueStatus] = {}
        self.keys: dict[tuple[str, str], KeyState] = {}
        """What venues say of the keys that accounts are read with."""
        self.adl: dict[tuple[str, str], AdlQuantiles] = {}
        # in the order of touch, not of hashes: a replay writes the same rows
        self._dirty: dict[tuple[str, str], None] = dict.fromkeys(self.accounts)
        self._appliers: dict[type, Callable[[Any], None]] = {
            Instruments: self._on_instruments,
            MarkPrices: self._on_marks,
            SpotPrices: self.market.apply_spot,
            BorrowReserves: self.market.apply_reserves,
            SectionsSnapshot: self._on_frame,
            AccountSnapshot: self._on_frame,
            FuturesSnapshot: self._on_frame,
            SummarySnapshot: self._on_frame,
            Volatilities: self._on_volatilities,
            WalletSnapshot: self._on_account,
            ModeReport: self._on_account,
            AccountFailure: self._on_account,
            Fill: self._on_account,
            CashFlow: self._on_account,
            OrdersSnapshot: self._on_orders,
            FeedState: self._on_feed,
            FeedDropped: self.freshness.on_dropped,
            ParseError: self._on_parse_error,
            VenueStatus: self._on_venue_status,
            KeyState: self._on_key,
            AdlQuantiles: self._on_adl,
        }

    def apply(self, event: Event) -> None:
        """Take one event. Never raises for what a venue sends; kinds without a consumer here are ignored."""
        applier = self._appliers.get(type(event))
        if applier is not None:
            applier(event)

    def flush(self) -> None:
        """Write the pools of every account that an event touched."""
        while self._dirty:
            key = next(iter(self._dirty))
            del self._dirty[key]
            self._write_account(self.accounts[key])

    def touch_all(self) -> None:
        """Have every account's pools written again (reference data changed)."""
        self._dirty.update(dict.fromkeys(self.accounts))
        self.touched.update(self.accounts)

    def add(self, entry: AccountEntry) -> None:
        """Watch one more account, or one anew: what is known of an earlier one of its key is forgotten.

        Its pools stay until the new method has others, so that no alert of them ends before good data say so.
        """
        key = (entry.venue, entry.account)
        self._forget(key)
        self.accounts[key] = entry
        self._dirty[key] = None
        self.touched.add(key)

    def remove(self, key: tuple[str, str]) -> None:
        """Watch an account (venue, id) no more: nothing of it is left. KeyError for an unknown one."""
        del self.accounts[key]
        self._forget(key)
        self._dirty.pop(key, None)
        self.touched.discard(key)
        self.freshness.drop_account(*key)
        for scope in sorted(self.arrays.scopes_of(*key)):
            self.arrays.release(scope)
        self.vanished = [scope for scope in self.vanished if scope[:2] != key]

    def drop_venue(self, venue: str) -> list[FeedDropped]:
        """The connection to a venue is no more. Returns what is to be told of its feeds, also to this book."""
        self.venue_status.pop(venue, None)
        self.market.forget_deltas()
        return [FeedDropped(*key) for key in self.freshness.feeds if key[0] == venue]

    def set_levels(self, key: tuple[str, str], levels: tuple[float, float, float], hysteresis: float) -> None:
        """Other levels of an account; the next evaluation says of each of its pools that it crossed."""
        entry = self.accounts[key]
        if (entry.levels, entry.hysteresis) == (levels, hysteresis):
            return
        entry.levels, entry.hysteresis = levels, hysteresis
        for scope in sorted(self.arrays.scopes_of(*key)):
            self.arrays.recut(scope, entry.cuts)

    def _forget(self, key: tuple[str, str]) -> None:
        known: tuple[dict[tuple[str, str], Any], ...] = (self.orders, self.keys, self.adl, self.freshness.frame_ns)
        for by_account in known:
            by_account.pop(key, None)

    def take_refreshes(self) -> list[tuple[str, str, str]]:
        """(venue, account, why) of the accounts that should be read again by REST; each is returned once."""
        wanted = []
        for entry in self.accounts.values():
            if entry.method.refresh:
                wanted.append((entry.venue, entry.account, entry.method.refresh))
                entry.method.refresh = ""
        return wanted

    def held(self, venue: str) -> set[str]:
        """Instruments in which any account of the venue has a position."""
        return {name for entry in self.accounts.values() if entry.venue == venue for name in entry.method.instruments()}

    # -- events --------------------------------------------------------------------------------------------------------

    def _on_account(self, event: AccountEvent) -> None:
        key = (event.venue, event.account)
        entry = self.accounts.get(key)
        if entry is None:
            return
        entry.method.apply(event, self.market)
        self._dirty[key] = None
        self.touched.add(key)
        feed = feeds_of(event.venue).told_by.get(type(event))
        if feed is not None:
            self.freshness.on_heard(event.venue, feed, event.account, event.received_ns)

    def _on_frame(self, event: SectionsSnapshot | AccountSnapshot | FuturesSnapshot | SummarySnapshot) -> None:
        self._on_account(event)
        if (event.venue, event.account) in self.accounts:
            self.freshness.on_frame(event.venue, event.account, event.received_ns)

    def _on_marks(self, event: MarkPrices) -> None:
        self.market.apply_marks(event)
        self._touch_followers(event.venue, event.instruments)
        self.freshness.on_heard(event.venue, event.feed, None, event.received_ns)

    def _on_volatilities(self, event: Volatilities) -> None:
        self.market.apply_volatilities(event)
        self._touch_followers(event.venue, event.instruments)

    def _touch_followers(self, venue: str, instruments: Iterable[str]) -> None:
        for key, entry in self.accounts.items():
            if entry.venue == venue and entry.method.followed and not entry.method.followed.isdisjoint(instruments):
                self._dirty[key] = None

    def _on_feed(self, event: FeedState) -> None:
        self.freshness.on_feed(event)
        if event.feed == feeds_of(event.venue).delta and not self.freshness.is_alive(event.venue, event.feed):
            self.market.forget_deltas()

    def _on_instruments(self, event: Instruments) -> None:
        self.market.load(event)
        self.touch_all()

    def _on_orders(self, event: OrdersSnapshot) -> None:
        key = (event.venue, event.account)
        if key in self.accounts:
            self.orders.setdefault(key, {})[event.section] = event
            self.touched.add(key)

    def _on_parse_error(self, event: ParseError) -> None:
        key = (event.venue, event.feed, event.kind)
        self.parse_errors[key] = self.parse_errors.get(key, 0) + 1

    def _on_venue_status(self, event: VenueStatus) -> None:
        self.venue_status[event.venue] = event

    def _on_key(self, event: KeyState) -> None:
        if (event.venue, event.account) in self.accounts:
            self.keys[event.venue, event.account] = event

    def _on_adl(self, event: AdlQuantiles) -> None:
        if (event.venue, event.account) in self.accounts:
            self.adl[event.venue, event.account] = event

    def _write_account(self, entry: AccountEntry) -> None:
        gone = self.arrays.scopes_of(entry.venue, entry.account)
        for spec in entry.method.pools(self.market):
            scope = (entry.venue, entry.account, spec.name)
            gone.discard(scope)
            self.arrays.write(scope, spec, entry.cuts)
        for scope in sorted(gone):
            self.arrays.release(scope)
            self.vanished.append(scope)
