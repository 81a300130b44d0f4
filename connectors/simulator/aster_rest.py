"""The REST side of the simulated Aster: the read endpoints of v3 and v1, their weights, limits and errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from connectors.simulator.aster_accounts import Account
from connectors.simulator.aster_auth import NO_PERMISSION, Gate, Refused
from connectors.simulator.aster_catalogue import brackets, exchange_info, funding_info, premium_index
from connectors.simulator.aster_exchange import Exchange
from connectors.simulator.aster_faults import AsterFaults
from connectors.simulator.aster_liquidation import adl_score
from connectors.simulator.aster_statistics import Statistics, kline_weight
from connectors.simulator.aster_streams import ListenKeys
from connectors.simulator.aster_wire import Json, account_body, balance_rows, open_order, risk_rows
from connectors.simulator.faults import Answer

Query = dict[str, str]
BAN_S = 120.0
BAN_AFTER = 5
_TOO_MANY = (
    "Too many requests; current limit is %d requests per minute. Please use the websocket for live updates to avoid polling the API."
)
_UNKNOWN_KEY = (-1125, "This listenKey does not exist.")


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """How a path is weighed (without and with a symbol, or by its query), secured and answered."""

    weight: int
    with_symbol: int
    answer: Callable[[Account | None, Query], Any]
    security: Literal["public", "signed", "key"] = "signed"
    weigh: Callable[[Query], int] | None = None

    def cost(self, query: str) -> int:
        if self.weigh is not None:
            return self.weigh(dict(parse_qsl(query)))
        return self.with_symbol if "symbol=" in query else self.weight


class RateLimit:
    """The weight budget of one client address: a counter that starts anew each minute.

    The requests after `BAN_AFTER` refused ones in a minute are answered 418 for `BAN_S` seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self._clock = limit, clock
        self._minute, self._used, self._refused, self._banned_until = -1, 0, 0, -1.0

    @property
    def used(self) -> int:
        """Weight used in this minute."""
        self._roll()
        return self._used

    def spend(self, weight: int) -> int:
        """Count a request: 200 where it may pass, else 429 or 418."""
        self._roll()
        if self._clock() < self._banned_until:
            return 418
        if self._used + weight <= self.limit:
            self._used += weight
            return 200
        self._refused += 1
        if self._refused > BAN_AFTER:
            self._banned_until = self._clock() + BAN_S
            return 418
        return 429

    def wait(self) -> float:
        """Seconds until requests pass again."""
        now = self._clock()
        return self._banned_until - now if now < self._banned_until else 60.0 - now % 60.0

    def _roll(self) -> None:
        minute = int(self._clock() // 60.0)
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, 0, 0


class AsterApi:
    """Answers REST requests.

    `requests` counts them by (method, path), `forbidden` those of no read endpoint (any TRADE endpoint is one), which get
    404. `read_only_listen_keys` off: agents without a trading right may not create a listen key. `retry_after`: whether 429
    and 418 carry that header. `omit_flat`: whether positionRisk leaves flat rows out.
    """

    def __init__(
        self,
        exchange: Exchange,
        keys: ListenKeys,
        gate: Gate,
        faults: AsterFaults,
        limit: RateLimit,
        statistics: Statistics,
        *,
        seconds: Callable[[], float],
        read_only_listen_keys: bool,
        retry_after: bool,
        omit_flat: bool,
    ) -> None:
        self._exchange, self._keys, self._gate, self._faults, self.limit = exchange, keys, gate, faults, limit
        self._statistics = statistics
        self._seconds, self._read_only_keys, self._retry_after, self._omit_flat = seconds, read_only_listen_keys, retry_after, omit_flat
        self.requests: Counter[tuple[str, str]] = Counter()
        self.forbidden = 0
        self._endpoints = {**self._public(), **self._signed(), **self._listen()}

    def answer(self, method: str, path: str, query: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """(status, headers, body) of one request; `query` is the raw text after the question mark."""
        self.requests[(method, path)] += 1
        failure = self._faults.rest(path, self._seconds())
        if failure is not None:
            return failure[0], failure[1] | self._usage(), failure[2]
        endpoint = self._endpoints.get((method, path))
        if endpoint is None:
            self.forbidden += 1
            return self._json(404, {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"})
        try:
            status = self.limit.spend(endpoint.cost(query))
            if status != 200:
                return self._refuse(status)
            result = self._run(endpoint, path, query, body.decode(errors="replace"), {k.lower(): v for k, v in headers.items()})
        except Refused as refusal:
            return self._json(refusal.status, {"code": refusal.code, "msg": refusal.message})
        return self._json(200, result)

    def _run(self, endpoint: _Endpoint, path: str, query: str, body: str, headers: Mapping[str, str]) -> Any:
        parameters: Query = dict(parse_qsl(query, keep_blank_values=True))
        account: Account | None = None
        if endpoint.security != "public" and path.startswith("/fapi/v3/"):
            account, agent, parameters = self._gate.v3(query, body)
            trading = agent.can_perp_trade or agent.can_spot_trade
            if endpoint.security == "key" and not trading and not self._read_only_keys:
                raise Refused(*NO_PERMISSION)
        elif endpoint.security == "signed":
            account, parameters = self._gate.v1(headers, query, body)
        elif endpoint.security == "key":
            account, parameters = self._gate.v1_key(headers), dict(parse_qsl(query or body, keep_blank_values=True))
        if parameters.get("symbol", "BTCUSDT") not in self._exchange.listing.symbols:
            raise Refused(-1121, "Invalid symbol.")
        return endpoint.answer(account, parameters)

    def _usage(self) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self.limit.used)}

    def _json(self, status: int, value: Any) -> Answer:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return status, {"Content-Type": "application/json"} | self._usage(), text.encode()

    def _refuse(self, status: int) -> Answer:
        wait = self.limit.wait()
        until = self._exchange.clock() + round(wait * 1000.0)
        text = f"Way too many requests; IP banned until {until}." if status == 418 else _TOO_MANY % self.limit.limit
        answer, headers, body = self._json(status, {"code": -1003, "msg": text})
        return answer, headers | ({"Retry-After": str(int(wait) + 1)} if self._retry_after else {}), body

    def _symbols(self, query: Query) -> list[str]:
        return [query["symbol"]] if "symbol" in query else list(self._exchange.listing.symbols)

    def _each(self, query: Query, row: Callable[[str], Json]) -> Json | list[Json]:
        return row(query["symbol"]) if "symbol" in query else [row(name) for name in self._symbols(query)]

    def _public(self) -> dict[tuple[str, str], _Endpoint]:
        exchange, symbols, statistics = self._exchange, self._exchange.listing.symbols, self._statistics
        rows: dict[str, tuple[int, Callable[[Account | None, Query], Any]]] = {
            "ping": (1, lambda a, q: {}),
            "time": (1, lambda a, q: {"serverTime": exchange.clock()}),
            "exchangeInfo": (1, lambda a, q: exchange_info(exchange.listing, exchange.clock(), self.limit.limit)),
            "premiumIndex": (10, lambda a, q: self._each(q, lambda name: premium_index(exchange, name))),
            "fundingInfo": (1, lambda a, q: [funding_info(symbols[name], exchange.clock()) for name in self._symbols(q)]),
            "ticker/24hr": (40, lambda a, q: self._each(q, statistics.ticker)),
            "klines": (1, lambda a, q: statistics.klines(q)),
        }
        return {
            ("GET", f"/fapi/{version}/{name}"): _Endpoint(weight, 1, answer, "public", kline_weight if name == "klines" else None)
            for name, (weight, answer) in rows.items()
            for version in ("v1", "v3")
        }

    def _signed(self) -> dict[tuple[str, str], _Endpoint]:
        symbols = self._exchange.listing.symbols
        rows: tuple[tuple[str, str, int, int, Callable[[Account, Query], Any]], ...] = (
            ("v3/accountWithJoinMargin", "v4/account", 5, 5, lambda a, q: account_body(a)),
            ("v3/balance", "v2/balance", 5, 5, lambda a, q: balance_rows(a, _short_name(a))),
            ("v3/positionRisk", "v2/positionRisk", 5, 5, lambda a, q: risk_rows(a, self._symbols(q), omit_flat=self._omit_flat)),
            ("v3/leverageBracket", "v1/leverageBracket", 1, 1, lambda a, q: self._each(q, lambda name: brackets(symbols[name]))),
            ("v3/multiAssetsMargin", "v1/multiAssetsMargin", 30, 30, lambda a, q: {"multiAssetsMargin": a.multi_assets}),
            ("v3/positionSide/dual", "v1/positionSide/dual", 30, 30, lambda a, q: {"dualSidePosition": a.hedge}),
            ("v3/openOrders", "v1/openOrders", 40, 1, self._open_orders),
            ("v3/adlQuantile", "v1/adlQuantile", 5, 5, self._quantiles),
            ("v3/agent", "", 1, 1, lambda a, q: _agents(a)),
            ("v3/getSubAccountList", "", 5, 5, lambda a, q: self._sub_accounts(a)),
        )
        found: dict[tuple[str, str], _Endpoint] = {}
        for new, old, weight, with_symbol, answer in rows:
            for path in filter(None, (new, old)):
                found[("GET", f"/fapi/{path}")] = _Endpoint(weight, with_symbol, _owned(answer))
        return found

    def _listen(self) -> dict[tuple[str, str], _Endpoint]:
        rows: dict[str, Callable[[Account, Query], Any]] = {
            "POST": lambda a, q: {"listenKey": self._keys.create(a.plan.alias)},
            "PUT": self._keep_alive,
            "DELETE": self._close,
        }
        return {
            (method, f"/fapi/{version}/listenKey"): _Endpoint(1, 1, _owned(answer), "key")
            for method, answer in rows.items()
            for version in ("v1", "v3")
        }

    def _keep_alive(self, account: Account, query: Query) -> Json:
        alias = account.plan.alias
        if query.get("listenKey", self._keys.active(alias)) != self._keys.active(alias) or not self._keys.extend(alias):
            raise Refused(*_UNKNOWN_KEY)
        return {}

    def _close(self, account: Account, query: Query) -> Json:
        if not self._keys.close(account.plan.alias):
            raise Refused(*_UNKNOWN_KEY)
        return {}

    def _open_orders(self, account: Account, query: Query) -> list[Json]:
        return [open_order(o) for o in account.orders.values() if query.get("symbol", o.symbol.name) == o.symbol.name]

    def _quantiles(self, account: Account, query: Query) -> list[Json]:
        rows: list[Json] = []
        for name in self._symbols(query):
            held = {p.side: p for p in account.open_positions() if p.symbol.name == name}
            if held:
                quantile: Json = {side: self._quantile(account, name, held[side]) if side in held else 0 for side in account.sides}
                for side in ("LONG", "SHORT", "HEDGE" if account.hedge else "BOTH"):
                    quantile.setdefault(side, 0)
                rows.append({"symbol": name, "adlQuantile": quantile})
        return rows

    def _quantile(self, account: Account, name: str, position: Any) -> int:
        mine = adl_score(account, position)
        others = [
            adl_score(other, p)
            for other in self._exchange.accounts.values()
            for p in other.open_positions()
            if p.symbol.name == name and (p.amount > 0.0) == (position.amount > 0.0)
        ]
        return min(4, 5 * sum(score < mine for score in others) // len(others)) if mine > 0.0 else 0

    def _sub_accounts(self, account: Account) -> list[Json]:
        master = account.plan.sub_account_of or account.plan.alias
        plans = [other.plan for other in self._exchange.accounts.values()]
        return [
            {"accountId": 100_000 + position, "subAccountName": p.alias if p.sub_account_of else "", "parentAccount": not p.sub_account_of}
            for position, p in enumerate(plans)
            if master in (p.alias, p.sub_account_of)
        ]


def _owned(answer: Callable[[Account, Query], Any]) -> Callable[[Account | None, Query], Any]:
    def run(account: Account | None, query: Query) -> Any:
        assert account is not None
        return answer(account, query)

    return run


def _short_name(account: Account) -> str:
    return (account.plan.alias + "FzXquXsRFzXqAufW")[:16]


def _agents(account: Account) -> list[Json]:
    return [
        {
            "agentAddress": agent.address,
            "agentName": agent.name,
            "ipWhitelist": agent.ip_whitelist,
            "expired": agent.expired_ms,
            "source": "builder",
            "canRead": agent.can_read,
            "canSpotTrade": agent.can_spot_trade,
            "canPerpTrade": agent.can_perp_trade,
            "canWithdraw": agent.can_withdraw,
        }
        for agent in account.plan.agents
    ]
