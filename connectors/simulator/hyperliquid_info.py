"""The REST side of the simulated venue: POST /info answers, their rate-limit weights and failures."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from connectors.simulator.daily_history import DailyHistory
from connectors.simulator.faults import Answer, Faults
from connectors.simulator.hyperliquid_accounts import Account
from connectors.simulator.hyperliquid_candles import candles
from connectors.simulator.hyperliquid_exchange import ZERO_HASH, Exchange
from connectors.simulator.hyperliquid_outcomes import OutcomeBoard
from connectors.simulator.hyperliquid_wire import (
    ABSTRACTIONS,
    Json,
    borrow_lend_state,
    clearinghouse_state,
    context,
    margin_table,
    meta,
    mids,
    order_long,
    order_short,
    perp_dexs,
    reserve_states,
    spot_context,
    spot_meta,
    spot_state,
    sub_account,
    vault_details,
)

_LIGHT = frozenset({"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"})
_ROWS_PER_WEIGHT = {"userFills": 20, "userFillsByTime": 20, "userFunding": 20, "candleSnapshot": 60}
_MAX_ROWS = 500
_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_UNPROCESSABLE: Answer = (422, _TEXT, b"Failed to deserialize the JSON body into the target type")
_TOO_MANY: Answer = (429, _JSON, b"null")


def request_weight(request: str) -> int:
    """Rate-limit weight of an info request before the surcharge for its rows."""
    return 2 if request in _LIGHT else 60 if request == "userRole" else 20


class InfoApi:
    """Answers info requests. `weight_per_minute` is the budget of the (single) client address."""

    def __init__(self, exchange: Exchange, board: OutcomeBoard, history: DailyHistory, faults: Faults, *, weight_per_minute: int) -> None:
        self._exchange, self._market, self._faults = exchange, exchange.market, faults
        self._board, self._history = board, history
        self._limit = weight_per_minute
        self._spent: deque[tuple[float, int]] = deque()
        self.requests: dict[str, int] = {}
        self._handlers: dict[str, Callable[[Json], Any]] = {**self._market_handlers(), **self._account_handlers()}

    def answer(self, body: bytes) -> Answer:
        """(status, headers, body) of one POST /info."""
        try:
            query = json.loads(body)
            request = query["type"]
            handler = self._handlers[request]
        except (ValueError, KeyError, TypeError):
            return _UNPROCESSABLE
        self.requests[request] = self.requests.get(request, 0) + 1
        failure = self._faults.rest(request, self._market.time)
        if failure is not None:
            return failure
        if self.spent_weight() + request_weight(request) > self._limit:
            return _TOO_MANY
        try:
            result = handler(query)
        except (KeyError, ValueError, TypeError):
            return _UNPROCESSABLE
        rows = len(result) // _ROWS_PER_WEIGHT[request] if request in _ROWS_PER_WEIGHT else 0
        self._spent.append((self._market.time, request_weight(request) + rows))
        return 200, dict(_JSON), json.dumps(result, separators=(",", ":")).encode()

    def post(self, request: Json) -> Json:
        """The response object of a WebSocket post; it draws on the same budget."""
        payload = request.get("payload")
        if request.get("type") != "info" or not isinstance(payload, dict):
            return {"type": "error", "payload": "422 Unprocessable Entity"}
        status, _, body = self.answer(json.dumps(payload).encode())
        if status != 200:
            names = {422: "Unprocessable Entity", 429: "Too Many Requests", 502: "Bad Gateway"}
            return {"type": "error", "payload": f"{status} {names.get(status, 'Internal Server Error')}"}
        return {"type": "info", "payload": {"type": payload["type"], "data": json.loads(body)}}

    def spent_weight(self) -> int:
        """Weight spent in the last minute of the venue's time."""
        while self._spent and self._spent[0][0] <= self._market.time - 60.0:
            self._spent.popleft()
        return sum(weight for _, weight in self._spent)

    def _market_handlers(self) -> dict[str, Callable[[Json], Any]]:
        return {
            "perpDexs": lambda q: perp_dexs(self._market.listing),
            "allPerpMetas": lambda q: [self._meta(dex) for dex in self._market.listing.dexs],
            "meta": lambda q: self._meta(_dex(q)),
            "metaAndAssetCtxs": self._meta_and_contexts,
            "marginTable": lambda q: margin_table(int(q["id"])),
            "spotMeta": lambda q: spot_meta(self._market.listing),
            "spotMetaAndAssetCtxs": self._spot_meta_and_contexts,
            "allMids": lambda q: mids(self._market, self._board, _dex(q)),
            "candleSnapshot": lambda q: candles(self._market, self._history, q["req"]),
            "outcomeMeta": lambda q: self._board.meta(),
            "settledOutcome": lambda q: self._board.settled.get(int(q["outcome"])),
            "allBorrowLendReserveStates": lambda q: reserve_states(self._market),
            "exchangeStatus": lambda q: {"time": self._market.now_ms + self._faults.clock_offset_ms, "specialStatuses": None},
        }

    def _account_handlers(self) -> dict[str, Callable[[Json], Any]]:
        return {
            "clearinghouseState": lambda q: clearinghouse_state(self._user(q), self._known(_dex(q))),
            "spotClearinghouseState": lambda q: spot_state(self._user(q), complete=True),
            "userAbstraction": lambda q: ABSTRACTIONS[self._user(q).mode],
            "userRole": self._role,
            "subAccounts": lambda q: self._sub_accounts(q, all_dexs=False),
            "subAccounts2": lambda q: self._sub_accounts(q, all_dexs=True),
            "vaultDetails": self._vault,
            "userVaultEquities": self._vault_equities,
            "borrowLendUserState": lambda q: borrow_lend_state(self._user(q)),
            "frontendOpenOrders": lambda q: [order_long(o) for o in self._user(q).orders_on(self._known(_dex(q)))],
            "openOrders": lambda q: [order_short(o) for o in self._user(q).orders_on(self._known(_dex(q)))],
            "userFills": lambda q: list(self._exchange.history[self._user(q).address].fills),
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._funding,
            "userNonFundingLedgerUpdates": lambda q: _between(list(self._exchange.history[self._user(q).address].ledger), q),
        }

    def _user(self, query: Json) -> Account:
        user = query["user"]
        if not isinstance(user, str) or not user.startswith("0x") or len(user) != 42:
            raise ValueError("user")
        return self._exchange.account(user)

    def _known(self, dex: str) -> str:
        return self._market.listing.dexs[dex].name

    def _meta(self, dex: str) -> Json:
        found = meta(self._market.listing, dex)
        change = self._faults.universe_change.get(dex, 0)
        if change < 0:
            found["universe"] = found["universe"][:change]
        for number in range(change):
            phantom = {"szDecimals": 0, "name": f"PHANTOM{number}", "maxLeverage": 3, "marginTableId": 3}
            found["universe"] = [*found["universe"], phantom]
        return found

    def _meta_and_contexts(self, query: Json) -> list[Any]:
        dex = _dex(query)
        return [self._meta(dex), [context(self._market.quotes[a.coin]) for a in self._market.listing.dexs[dex].assets]]

    def _spot_meta_and_contexts(self, query: Json) -> list[Any]:
        pairs = sorted(self._market.listing.pairs.values(), key=lambda pair: pair.name)
        return [spot_meta(self._market.listing), [spot_context(pair, self._market) for pair in pairs]]

    def _role(self, query: Json) -> Json:
        plan = self._user(query).plan
        if plan.role == "agent":
            return {"role": "agent", "data": {"user": (plan.master or "").lower()}}
        if plan.role == "subAccount":
            return {"role": "subAccount", "data": {"master": (plan.master or "").lower()}}
        return {"role": plan.role}

    def _sub_accounts(self, query: Json, *, all_dexs: bool) -> list[Json] | None:
        master = self._user(query).address
        subs = [a for a in self._exchange.accounts.values() if a.plan.role == "subAccount" and (a.plan.master or "").lower() == master]
        return [sub_account(a, all_dexs=all_dexs) for a in subs] or None

    def _vault(self, query: Json) -> Json | None:
        account = self._exchange.account(str(query["vaultAddress"]))
        return vault_details(account) if account.plan.role == "vault" else None

    def _vault_equities(self, query: Json) -> list[Json]:
        leader = self._user(query).address
        led = [(account, vault_details(account)) for account in self._exchange.accounts.values() if account.plan.role == "vault"]
        return [
            {"vaultAddress": account.address, "equity": str(account.cross_equity("") * details["leaderFraction"])}
            for account, details in led
            if details["leader"].lower() == leader
        ]

    def _fills_by_time(self, query: Json) -> list[Json]:
        rows = list(self._exchange.history[self._user(query).address].fills)
        return _between(rows[::-1], query, limit=2000)

    def _funding(self, query: Json) -> list[Json]:
        rows = _between(list(self._exchange.history[self._user(query).address].fundings), query)
        return [
            {"time": row["time"], "hash": ZERO_HASH, "delta": {"type": "funding"} | {k: v for k, v in row.items() if k != "time"}}
            for row in rows
        ]


def _dex(query: Json) -> str:
    dex = query.get("dex") or ""
    if not isinstance(dex, str):
        raise ValueError("dex")
    return dex


def _between(rows: list[Json], query: Json, limit: int = _MAX_ROWS) -> list[Json]:
    start, end = int(query["startTime"]), query.get("endTime")
    return [row for row in rows if start <= row["time"] and (end is None or row["time"] <= int(end))][:limit]
