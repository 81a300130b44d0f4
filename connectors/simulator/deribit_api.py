"""The methods of the simulated Deribit a reader may call; every other private one counts as forbidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from connectors.simulator.deribit_accounts import Account
from connectors.simulator.deribit_auth import Authority
from connectors.simulator.deribit_channels import is_private, is_public, scope_of
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_listing import DeribitListing
from connectors.simulator.deribit_prices import DeribitPrices
from connectors.simulator.deribit_private_wire import extended, order_row, position_row, summaries
from connectors.simulator.deribit_session import DeribitClient, RpcError
from connectors.simulator.deribit_wire import Json, book_summary_row, instrument_row, ticker

MOST_CHANNELS = 500
LEAST_HEARTBEAT_S = 10
_CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR", "any")

Handler = Callable[[DeribitClient, dict[str, Any]], Any]
PrivateHandler = Callable[[Account, dict[str, Any]], Any]


class DeribitApi:
    """Answers requests from the venue's state. `requests` counts methods, `forbidden` those that are no reading."""

    def __init__(
        self,
        listing: DeribitListing,
        prices: DeribitPrices,
        accounts: dict[str, Account],
        authority: Authority,
        faults: DeribitFaults,
        *,
        outage: Callable[[], bool],
        clock: Callable[[], int],
    ) -> None:
        self._listing, self._prices, self._accounts = listing, prices, accounts
        self.authority, self._faults, self._outage, self._clock = authority, faults, outage, clock
        self.requests: Counter[str] = Counter()
        self.forbidden = 0
        self.locked: set[str] = set()
        self._public: dict[str, Handler] = {
            "public/test": self._test,
            "public/hello": lambda client, _: {"version": "1.2.26"},
            "public/get_time": lambda client, _: self._clock(),
            "public/status": lambda client, _: {"locked": "partial" if self.locked else "false", "locked_indices": sorted(self.locked)},
            "public/auth": self._auth,
            "public/set_heartbeat": self._set_heartbeat,
            "public/disable_heartbeat": self._disable_heartbeat,
            "public/subscribe": self._subscribe,
            "public/unsubscribe": self._unsubscribe,
            "public/unsubscribe_all": self._unsubscribe_all,
            "public/get_instruments": self._instruments,
            "public/get_book_summary_by_currency": self._book_summary,
            "public/get_index_price": self._index_price,
            "public/ticker": self._ticker,
        }
        self._sessions: dict[str, Handler] = {"private/subscribe": self._subscribe_private, "private/unsubscribe": self._unsubscribe}
        self._private: dict[str, tuple[str, PrivateHandler]] = {
            "private/get_account_summaries": ("account", self._account_summaries),
            "private/get_account_summary": ("account", self._account_summary),
            "private/get_positions": ("trade", self._positions),
            "private/get_open_orders": ("trade", self._orders),
            "private/get_open_orders_by_currency": ("trade", self._orders),
        }

    def answer(self, client: DeribitClient, method: str, parameters: dict[str, Any]) -> Any:
        """The result of a method. Raises RpcError."""
        self.requests[method] += 1
        if method in self._public:
            return self._public[method](client, parameters)
        if method in self._sessions:
            return self._sessions[method](client, parameters)
        if method in self._private:
            scope, handler = self._private[method]
            return handler(self._authorised(client, parameters, scope), parameters)
        if not method.startswith("private/"):
            raise RpcError(-32601, "Method not found")
        self.forbidden += 1
        raise RpcError(13021, "forbidden", {"reason": "scope"})

    def published_iv(self, name: str) -> float | None:
        """What the venue tells of an option's volatility now; None while it tells none."""
        return None if self._outage() else self._faults.told_volatility(name, self._prices.options[name].iv)

    def _authorised(self, client: DeribitClient, parameters: dict[str, Any], scope: str) -> Account:
        token = parameters.get("access_token")
        login = client.login if token is None else self.authority.holder(str(token))
        if login is None or not self.authority.alive(login):
            raise RpcError(13009, "unauthorized", {"reason": "invalid_token"})
        if scope not in login.scopes:
            raise RpcError(13021, "forbidden", {"reason": "scope"})
        return self._accounts[login.alias]

    def _test(self, client: DeribitClient, parameters: dict[str, Any]) -> Json:
        client.tested()
        return {"version": "1.2.26"}

    def _auth(self, client: DeribitClient, parameters: dict[str, Any]) -> Json:
        body, login = self.authority.grant(parameters)
        client.login = login
        return body

    def _set_heartbeat(self, client: DeribitClient, parameters: dict[str, Any]) -> str:
        interval = parameters.get("interval")
        if not isinstance(interval, int | float) or interval < LEAST_HEARTBEAT_S:
            raise RpcError(-32602, "Invalid params", {"reason": f"value must be >= {LEAST_HEARTBEAT_S}", "param": "interval"})
        client.set_heartbeat(float(interval))
        return "ok"

    def _disable_heartbeat(self, client: DeribitClient, parameters: dict[str, Any]) -> str:
        client.set_heartbeat(None)
        return "ok"

    def _subscribe(self, client: DeribitClient, parameters: dict[str, Any]) -> list[str]:
        logged_in = self.authority.alive(client.login)
        channels = _channels(parameters)
        found = [c for c in channels if is_public(c, self._listing, self._prices.indices, logged_in=logged_in)]
        client.channels |= dict.fromkeys(found)
        return found

    def _subscribe_private(self, client: DeribitClient, parameters: dict[str, Any]) -> list[str]:
        channels = [c for c in _channels(parameters) if is_private(c, self._listing)]
        for scope in {scope_of(channel) for channel in channels} or {"account"}:
            self._authorised(client, parameters, scope)
        client.channels |= dict.fromkeys(channels)
        return [*channels, *(c for c in self._subscribe(client, parameters) if c not in channels)]

    def _unsubscribe(self, client: DeribitClient, parameters: dict[str, Any]) -> list[str]:
        found = [channel for channel in _channels(parameters) if channel in client.channels]
        for channel in found:
            del client.channels[channel]
            client.seeded.discard(channel)
        return found

    def _unsubscribe_all(self, client: DeribitClient, parameters: dict[str, Any]) -> str:
        client.channels.clear()
        client.seeded.clear()
        return "ok"

    def _instruments(self, client: DeribitClient, parameters: dict[str, Any]) -> list[Json]:
        currency = _currency(parameters)
        if parameters.get("expired") is True:
            return []
        return [instrument_row(contract) for contract in self._listing.find(currency, str(parameters.get("kind", "")))]

    def _book_summary(self, client: DeribitClient, parameters: dict[str, Any]) -> list[Json]:
        currency, stamp = _currency(parameters), self._prices.now_ms
        rows = []
        for contract in self._listing.find(currency, str(parameters.get("kind", ""))):
            iv = self.published_iv(contract.name) if contract.is_option else None
            rows.append(book_summary_row(contract, self._prices, stamp, iv))
        return rows

    def _index_price(self, client: DeribitClient, parameters: dict[str, Any]) -> Json:
        name = parameters.get("index_name")
        if name not in self._prices.indices:
            raise RpcError(-32602, "Invalid params", {"reason": "unknown index", "param": "index_name"})
        return {"index_price": self._prices.indices[name], "estimated_delivery_price": self._prices.indices[name]}

    def _ticker(self, client: DeribitClient, parameters: dict[str, Any]) -> Json:
        contract = self._listing.contracts.get(str(parameters.get("instrument_name")))
        if contract is None:
            raise RpcError(-32602, "Invalid params", {"reason": "instrument not found", "param": "instrument_name"})
        return ticker(contract, self._prices, self._prices.now_ms, self.published_iv(contract.name) if contract.is_option else None)

    def _account_summaries(self, account: Account, parameters: dict[str, Any]) -> Json:
        return extended(account) if parameters.get("extended") is True else {"summaries": summaries(account)}

    def _account_summary(self, account: Account, parameters: dict[str, Any]) -> Json:
        currency = _currency(parameters)
        return next(row for row in summaries(account) if row["currency"] == currency)

    def _positions(self, account: Account, parameters: dict[str, Any]) -> list[Json]:
        currency, kind = str(parameters.get("currency", "any")), str(parameters.get("kind", "any"))
        rows = [p for p in account.positions.values() if kind in ("any", p.contract.kind)]
        return [position_row(account, p) for p in rows if currency in ("any", p.contract.family.settle)]

    def _orders(self, account: Account, parameters: dict[str, Any]) -> list[Json]:
        currency, kind = str(parameters.get("currency", "any")), str(parameters.get("kind", "any"))
        rows = [o for o in account.orders.values() if kind in ("any", o.contract.kind)]
        return [order_row(o, o.created_ms) for o in rows if currency in ("any", o.contract.family.settle)]


def _channels(parameters: dict[str, Any]) -> list[str]:
    channels = parameters.get("channels")
    if not isinstance(channels, list) or not all(isinstance(channel, str) for channel in channels):
        raise RpcError(-32602, "Invalid params", {"reason": "must be a list of texts", "param": "channels"})
    if len(channels) > MOST_CHANNELS:
        raise RpcError(-32602, "Invalid params", {"reason": f"at most {MOST_CHANNELS} channels", "param": "channels"})
    return list(dict.fromkeys(channels))


def _currency(parameters: dict[str, Any]) -> str:
    currency = parameters.get("currency")
    if currency not in _CURRENCIES:
        raise RpcError(-32602, "Invalid params", {"reason": "wrong currency", "param": "currency"})
    return str(currency)
