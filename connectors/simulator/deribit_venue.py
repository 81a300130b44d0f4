"""The simulated Deribit, sans I/O: time goes in by `advance` or `follow`, frames and answers come out."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.simulator.deribit_accounts import Account, AccountPlan, Order, Transfer
from connectors.simulator.deribit_api import DeribitApi
from connectors.simulator.deribit_auth import Authority
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_feeds import Feeds
from connectors.simulator.deribit_figures import Figures, figures
from connectors.simulator.deribit_liquidation import Liquidator
from connectors.simulator.deribit_listing import FAMILIES, Contract, DeribitListing, calendar
from connectors.simulator.deribit_prices import DeribitPrices
from connectors.simulator.deribit_private_wire import closed_row, order_row, position_row, trade_row
from connectors.simulator.deribit_session import DeribitClient, SessionHub
from connectors.simulator.market import Market

DEMO_EXPIRY = 0.6
"""Progress of the scenario at which an expiry falls unless told otherwise."""


class DeribitVenue:
    """A venue with its accounts on a market that it may share with other venues.

    Prices change, and are sent, every `interval` seconds and at no other time: `figures` are those of the prices sent last.
    `expiries_s` are expiries that many seconds after the start, beside those of the calendar; a chain has `strikes` strikes an
    expiry (`linear_strikes` where linear). A failing pool waits `liquidation_delay` seconds for its first slice and
    `slice_interval` for each next one. Tokens live `token_life_s`.
    """

    def __init__(
        self,
        market: Market,
        plans: Sequence[AccountPlan],
        *,
        seed: int = 0,
        interval: float = 1.0,
        expiries_s: Sequence[float] | None = None,
        strikes: int = 20,
        linear_strikes: int = 10,
        liquidation_delay: float = 0.0,
        slice_interval: float = 2.0,
        token_life_s: float = 900.0,
        testnet: bool = False,
        faults: DeribitFaults | None = None,
    ) -> None:
        self.market, self.faults = market, faults or DeribitFaults()
        self.listing = DeribitListing(strikes, linear_strikes)
        self.prices = DeribitPrices(market, self.listing, seed)
        soon = (DEMO_EXPIRY * market.duration,) if expiries_s is None else expiries_s
        stamps = [*(market.start_ms + round(seconds * 1000.0) for seconds in soon), *calendar(market.start_ms)]
        self.listing.open(self.prices.indices, stamps, market.now_ms)
        self.prices.reprice()
        self.accounts = {plan.alias: Account(plan, self.listing, self.prices, market.start_ms) for plan in plans}
        self.authority = Authority(plans, self.faults, self._seconds, life=token_life_s, seed=seed)
        self.api = DeribitApi(self.listing, self.prices, self.accounts, self.authority, self.faults, outage=self._outage, clock=self._clock)
        self.hub = SessionHub(self.faults, self._seconds, self.api, start_us=market.start_ms * 1000, testnet=testnet)
        self.liquidator = Liquidator(self._liquidate, delay=liquidation_delay, interval=slice_interval)
        self._feeds = Feeds(self.hub, self.api, self.listing, self.prices, self.faults, self._outage)
        self._interval, self._next, self._numbers = interval, market.time, 0
        self._transfers = self._schedule()

    @property
    def forbidden_requests(self) -> int:
        """Private requests that read nothing a monitor may read."""
        return self.api.forbidden

    def advance(self, dt: float) -> None:
        """Let `dt` seconds pass on the market and here."""
        self.market.advance(dt)
        self.follow()

    def follow(self) -> None:
        """Do what is due at the market's time, which somebody else moved: transfers, prices, expiries, liquidations, frames."""
        now = self.market.time
        while self._transfers and self._transfers[0][0] <= now:
            _, account, transfer = self._transfers.pop(0)
            account.move(transfer.currency, transfer.amount)
        if now + 1e-9 >= self._next:
            while self._next <= now + 1e-9:
                self._next += self._interval
            self._tick(now)
        self.hub.beat()

    def connect(self) -> DeribitClient:
        """Open a connection."""
        return self.hub.connect()

    def figures(self, alias: str) -> dict[str, Figures]:
        """The venue's own margin figures of an account now: pool "cross" in USD, or each currency's in itself."""
        return figures(self.accounts[alias])

    def trade(self, alias: str, instrument: str, amount: float, *, price: float | None = None) -> None:
        """Execute a trade (signed amount) for an account now; `price` None: the mark."""
        contract = self.listing.contracts[instrument]
        self._trade(self.accounts[alias], contract, amount, self.prices.mark(contract) if price is None else price, liquidation=False)

    def transfer(self, alias: str, currency: str, amount: float) -> None:
        """Move an amount into an account's wallet now (negative: out). Raises ValueError for a currency without a wallet."""
        self.accounts[alias].move(currency, amount)

    def place(self, alias: str, instrument: str, amount: float, price: float) -> Order:
        """Rest a limit order (signed amount)."""
        self._numbers += 1
        contract = self.listing.contracts[instrument]
        order = Order(f"{contract.family.settle}-{self._numbers}", contract, amount, price, self._clock())
        self.accounts[alias].orders[order.number] = order
        self._feeds.change(self.accounts[alias], contract, trades=[], positions=[], orders=[order_row(order, self._clock())])
        return order

    def cancel(self, alias: str, order: Order) -> None:
        """Cancel a resting order."""
        order.state = "cancelled"
        del self.accounts[alias].orders[order.number]
        self._feeds.change(self.accounts[alias], order.contract, trades=[], positions=[], orders=[order_row(order, self._clock())])

    def list_expiry(self, seconds: float, prefixes: Sequence[str] = ("BTC", "ETH")) -> list[Contract]:
        """List an expiry that many seconds from now, as the venue does at 08:00. Raises ValueError for a date that is listed."""
        stamp, found = self._clock() + round(seconds * 1000.0), []
        for prefix in prefixes:
            family = FAMILIES[prefix]
            found += self.listing.list_expiry(family, stamp, self.prices.indices[family.index], self._clock())
        self.prices.reprice()
        self._feeds.listed(found)
        return found

    def set_maintenance(self, on: bool) -> None:
        """Begin or end the platform's maintenance."""
        self._feeds.platform({"maintenance": on})

    def set_locked(self, index: str, on: bool) -> None:
        """Lock or unlock trading on one index."""
        (self.api.locked.add if on else self.api.locked.discard)(index)
        self._feeds.platform({"price_index": index, "locked": on})

    def _tick(self, now: float) -> None:
        self.prices.reprice()
        for contract in self.listing.remove_expired(self._clock()):
            self._expire(contract)
        for account in self.accounts.values():
            self.liquidator.run(account, now)
        self._feeds.tick(self.accounts.values())

    def _expire(self, contract: Contract) -> None:
        index = self.prices.indices[contract.family.index]
        self._feeds.delivered(contract)
        for account in self.accounts.values():
            for number in [key for key, order in account.orders.items() if order.contract is contract]:
                del account.orders[number]
            if account.deliver(contract, index) is not None:
                mark = self.prices.mark(contract)
                self._feeds.change(account, contract, trades=[], positions=[closed_row(contract, mark, index)], orders=[])

    def _liquidate(self, account: Account, contract: Contract, amount: float, price: float) -> None:
        self._trade(account, contract, amount, price, liquidation=True)

    def _trade(self, account: Account, contract: Contract, amount: float, price: float, *, liquidation: bool) -> None:
        account.trade(contract, amount, price)
        self._numbers += 1
        stamp, position = self._clock(), account.positions.get(contract.name)
        index = self.prices.indices[contract.family.index]
        row = closed_row(contract, self.prices.mark(contract), index) if position is None else position_row(account, position)
        trade = trade_row(account, contract, amount, price, number=self._numbers, stamp=stamp, liquidation=liquidation)
        self._feeds.change(account, contract, trades=[trade], positions=[row], orders=[])

    def _outage(self) -> bool:
        return self.market.iv_outage or self.faults.iv_outage

    def _seconds(self) -> float:
        return self.market.time

    def _clock(self) -> int:
        return self.market.now_ms + self.faults.clock_offset_ms

    def _schedule(self) -> list[tuple[float, Account, Transfer]]:
        rows = [(t.at * self.market.duration, account, t) for account in self.accounts.values() for t in account.plan.transfers]
        return sorted(rows, key=lambda row: row[0])
