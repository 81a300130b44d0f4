"""What the simulated Deribit sends to subscribers: chains first whole and then by changed rows, indices, tickers, accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from connectors.simulator.deribit_accounts import Account
from connectors.simulator.deribit_api import DeribitApi
from connectors.simulator.deribit_channels import change_channels
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_listing import Contract, DeribitListing
from connectors.simulator.deribit_prices import DeribitPrices, OptionQuote
from connectors.simulator.deribit_private_wire import summaries
from connectors.simulator.deribit_session import SessionHub
from connectors.simulator.deribit_wire import Json, chain_row, dumps, expired_ticker, instrument_row, notification, ticker

_EXPIRED_TICKS = 3


class Feeds:
    """Publishes one tick after another. A ticker's three intervals all send once a tick; a raw one too."""

    def __init__(
        self,
        hub: SessionHub,
        api: DeribitApi,
        listing: DeribitListing,
        prices: DeribitPrices,
        faults: DeribitFaults,
        outage: Callable[[], bool],
    ) -> None:
        self._hub, self._api, self._listing, self._prices, self._faults, self._outage = hub, api, listing, prices, faults, outage
        self._printed: dict[str, tuple[float | None, float]] = {}
        self._portfolio: dict[tuple[str, str], str] = {}
        self._expired: dict[str, tuple[Contract, OptionQuote, int]] = {}

    def tick(self, accounts: Iterable[Account]) -> None:
        """Send what the prices of this tick changed."""
        topics, stamp = self._hub.topics(), self._prices.now_ms
        for name, price in self._prices.indices.items():
            self._tell(topics, f"deribit_price_index.{name}", {"index_name": name, "price": price, "timestamp": stamp})
            estimate = {"seconds": 0, "price": price, "is_estimated": False}
            self._tell(topics, f"estimated_expiration_price.{name}", estimate)
        for name in ("btc_usd", "eth_usd"):
            channel = f"deribit_volatility_index.{name}"
            if channel in topics and not self._outage():
                volatility = self._prices.volatility_index(name)
                self._tell(topics, channel, {"timestamp": stamp, "volatility": volatility, "index_name": name})
        if not self._outage():
            for index in self._listing.chains:
                self._chain(index, stamp, wanted=f"markprice.options.{index}" in topics)
        self._tickers(topics, stamp)
        for account in accounts:
            self._account(account, topics)

    def listed(self, contracts: Iterable[Contract]) -> None:
        """Tell of new instruments."""
        for contract in contracts:
            self._instrument("creation", contract, instrument_row(contract))
            self._state(contract, "open")

    def delivered(self, contract: Contract) -> None:
        """Tell that an instrument has expired; its ticker goes on for a few ticks."""
        self._state(contract, "delivered")
        quote = self._prices.options.get(contract.name)
        if quote is not None:
            self._expired[contract.name] = (contract, quote, _EXPIRED_TICKS)

    def platform(self, data: Json) -> None:
        """Tell of the platform's state."""
        self._hub.publish("platform_state", notification("platform_state", data))

    def change(self, account: Account, contract: Contract, *, trades: list[Json], positions: list[Json], orders: list[Json]) -> None:
        """Tell an account of its trades, positions and orders of one instrument."""
        data = {"instrument_name": contract.name, "trades": trades, "positions": positions, "orders": orders}
        topics = self._hub.topics()
        for channel in change_channels(contract.name, contract.kind, contract.family.settle):
            if channel in topics:
                self._hub.publish_private(account.plan.alias, channel, notification(channel, data), self._api.authority.alive)

    def _tell(self, topics: set[str], channel: str, data: Any) -> None:
        if channel in topics:
            self._hub.publish(channel, notification(channel, data))

    def _chain(self, index: str, stamp: int, *, wanted: bool) -> None:
        """Rows that changed to who had the whole chain, the whole of it to others; nobody's frames cost nothing."""
        if not wanted:
            return
        channel, changed, rows = f"markprice.options.{index}", [], []
        for contract in self._listing.chains[index].values():
            row = chain_row(contract, self._api.published_iv(contract.name), self._prices.options[contract.name].mark, stamp)
            rows.append(row)
            printed = (row["iv"], row["mark_price"])
            if self._printed.get(contract.name) != printed:
                self._printed[contract.name] = printed
                changed.append(row)
        phantoms = [
            {"timestamp": stamp, "iv": iv, "instrument_name": name, "mark_price": 0.01} for name, iv in self._faults.phantoms.items()
        ]
        whole, part = (notification(channel, [*found, *phantoms]) for found in (rows, changed))
        for client in list(self._hub.clients):
            if channel in client.channels:
                client.deliver(channel, part if channel in client.seeded else whole)
                client.seeded.add(channel)

    def _tickers(self, topics: set[str], stamp: int) -> None:
        for channel in topics:
            if not channel.startswith("ticker."):
                continue
            name = channel.split(".", 1)[1].rpartition(".")[0]
            contract = self._listing.contracts.get(name)
            if contract is not None:
                iv = self._api.published_iv(name) if contract.is_option else None
                self._tell(topics, channel, ticker(contract, self._prices, stamp, iv))
            elif name in self._expired:
                gone, quote, _ = self._expired[name]
                self._tell(topics, channel, expired_ticker(gone, quote, self._prices.indices[gone.family.index], stamp))
        self._expired = {name: (gone, quote, left - 1) for name, (gone, quote, left) in self._expired.items() if left > 1}

    def _account(self, account: Account, topics: set[str]) -> None:
        if not any(topic.startswith("user.portfolio.") for topic in topics):
            return
        for row in summaries(account):
            key, text = (account.plan.alias, row["currency"]), dumps(row)
            if self._portfolio.get(key) == text:
                continue
            self._portfolio[key] = text
            for word in ("any", row["currency"], row["currency"].lower()):
                channel = f"user.portfolio.{word}"
                if channel in topics:
                    self._hub.publish_private(account.plan.alias, channel, notification(channel, row), self._api.authority.alive)

    def _state(self, contract: Contract, state: str) -> None:
        data = {"timestamp": self._prices.now_ms, "state": state, "instrument_name": contract.name}
        self._instrument("state", contract, data)

    def _instrument(self, word: str, contract: Contract, data: Json) -> None:
        topics, settle = self._hub.topics(), contract.family.settle
        for kind in ("any", contract.kind):
            for currency in ("any", settle, settle.lower()):
                self._tell(topics, f"instrument.{word}.{kind}.{currency}", data)
