"""The venue's `info` requests, typed. Every request first spends its published weight from the budget of this address.

Raises `RateLimited` (after telling the budget), `HttpError`, `Timeout` and the other transport errors, and `WrongShape` for an
answer that makes no sense. No error text holds an address.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import orjson

from connectors.clock import Clock, within
from connectors.daily import DAY_MS
from connectors.errors import HttpError, ProtocolError, RateLimited
from connectors.events import BorrowReserve, MarkPrices
from connectors.fields import WrongShape, mapping, sequence, text
from connectors.hyperliquid.messages import (
    SubAccount,
    UserRole,
    Vault,
    parse_candles,
    parse_contexts,
    parse_mode,
    parse_orders,
    parse_reserves,
    parse_role,
    parse_section,
    parse_status,
    parse_sub_accounts,
    parse_vault,
    parse_wallet,
)
from connectors.hyperliquid.reference import MAIN_DEX, Reference, build, margin_table
from connectors.model import MarginTier, Order, Section, Wallet
from connectors.ratelimit import Budget
from connectors.transport import HttpTransport

DEFAULT_WEIGHT = 20
WEIGHTS = {"clearinghouseState": 2, "spotClearinghouseState": 2, "exchangeStatus": 2, "userRole": 60, "candleSnapshot": 21}
"""Weight per request type where it is not `DEFAULT_WEIGHT` (the venue's "rate limits" page).

Candles cost 20 and 1 for each 60 rows, of which we ask for fewer.
"""

_MOST_TABLES = 5
"""Margin tables asked for one by one at a time: each costs 20."""

_HEADERS = {"Content-Type": "application/json"}
# Requests to which `null` is an answer; of any other it means the venue refused us without saying so.
_MAY_BE_NULL = frozenset({"userAbstraction", "subAccounts2", "vaultDetails"})


@dataclass(frozen=True, slots=True)
class VenueClock:
    """An `exchangeStatus` answer: the venue's time (ms) and what it says is special."""

    time_ms: int
    statuses: tuple[str, ...]


class HyperliquidRest:
    """Typed requests to one network. `timeout_s` bounds each request, not the wait for budget."""

    def __init__(self, http: HttpTransport, url: str, budget: Budget, clock: Clock, *, timeout_s: float = 10.0) -> None:
        self._http = http
        self._url = url
        self._budget = budget
        self._clock = clock
        self._timeout_s = timeout_s

    async def info(self, kind: str, **parameters: Any) -> Any:
        """The parsed answer to a request of that type."""
        await self._budget.spend(weight_of(kind))
        body = orjson.dumps({"type": kind, **parameters})
        try:
            response = await within(self._clock, self._timeout_s, self._http.post(self._url, body, _HEADERS), kind)
            response.raise_for_status(self._url, kind)
        except RateLimited as refusal:
            self._budget.penalise(refusal.retry_after_s)
            raise
        try:
            answer = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            raise ProtocolError("not_json", f"the answer to {kind}") from None
        if answer is None and kind not in _MAY_BE_NULL:
            raise ProtocolError("null_answer", f"the answer to {kind}")
        return answer

    async def perp_dexs(self) -> Any:
        """The dexs, index 0 null (the first dex)."""
        return await self.info("perpDexs")

    async def all_perp_metas(self) -> Any:
        """Meta objects by dex index."""
        return await self.info("allPerpMetas")

    async def spot_meta(self) -> Any:
        """Tokens and spot pairs."""
        return await self.info("spotMeta")

    async def load_reference(self) -> Reference:
        """Dexs, metas, tokens and pairs joined, with margin tables that no meta carries asked for one by one.

        A listing between the requests is tried once more, then `WrongShape`. A table the venue does not give either leaves
        its instruments without one.
        """
        spot = await self.spot_meta()
        try:
            return await self._joined(spot)
        except WrongShape:
            return await self._joined(spot)

    async def _joined(self, spot: Any) -> Reference:
        dexs, metas = await self.perp_dexs(), await self.all_perp_metas()
        reference = build(dexs, metas, spot)
        tables: dict[tuple[str, int], tuple[MarginTier, ...]] = {}
        for dex, table in reference.unlisted_tables[:_MOST_TABLES]:
            with contextlib.suppress(HttpError, WrongShape):
                tables[dex, table] = await self.margin_table(table, dex)
        return build(dexs, metas, spot, tables) if tables else reference

    async def margin_table(self, table: int, dex: str = MAIN_DEX) -> tuple[MarginTier, ...]:
        """Maintenance tiers of one margin table."""
        return margin_table(await self.info("marginTable", id=table, dex=dex))

    async def asset_contexts(self, dex: str = MAIN_DEX) -> MarkPrices:
        """Marks, oracle prices and hourly funding rates of one dex's perpetuals."""
        return parse_contexts(await self.info("metaAndAssetCtxs", dex=dex), self._clock.monotonic_ns())

    async def clearinghouse_state(self, user: str, dex: str = MAIN_DEX) -> Section:
        """An account's ledger on one dex."""
        return parse_section(dex, await self.info("clearinghouseState", user=user.lower(), dex=dex))

    async def spot_clearinghouse_state(self, user: str) -> Wallet:
        """An account's wallet, with the portfolio-margin fields that frames lack."""
        return parse_wallet(await self.info("spotClearinghouseState", user=user.lower()), complete=True)

    async def user_abstraction(self, user: str) -> str | None:
        """An account's mode in the venue's words; None where it answers null."""
        return parse_mode(await self.info("userAbstraction", user=user.lower()))

    async def user_role(self, user: str) -> UserRole:
        """What an address is (weight 60)."""
        return parse_role(await self.info("userRole", user=user.lower()))

    async def sub_accounts2(self, user: str) -> tuple[SubAccount, ...]:
        """Sub-accounts of a master."""
        return parse_sub_accounts(await self.info("subAccounts2", user=user.lower()))

    async def vault_details(self, vault: str) -> Vault | None:
        """A vault; None where the address is none."""
        return parse_vault(await self.info("vaultDetails", vaultAddress=vault.lower()))

    async def user_vault_equities(self, user: str) -> tuple[str, ...]:
        """Addresses of the vaults an account has equity in."""
        where = "userVaultEquities"
        rows = sequence(await self.info(where, user=user.lower()), where)
        return tuple(text(mapping(row, where), "vaultAddress", where) for row in rows)

    async def all_borrow_lend_reserve_states(self, reference: Reference) -> tuple[BorrowReserve, ...]:
        """All lending pools: the only place where the borrow oracle prices are published."""
        return parse_reserves(await self.info("allBorrowLendReserveStates"), reference)

    async def outcome_meta(self) -> Any:
        """All outcomes and questions, for `outcomes.OutcomeBook`."""
        return await self.info("outcomeMeta")

    async def daily_closes(self, coin: str, days: int, now_ms: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Closing times (ms) and prices of a perpetual's last days before `now_ms`, without the running one; fewer than 60."""
        request = {"coin": coin, "interval": "1d", "startTime": now_ms - (days + 1) * DAY_MS, "endTime": now_ms}
        times, closes = parse_candles(await self.info("candleSnapshot", req=request), now_ms)
        return times[-days:], closes[-days:]

    async def exchange_status(self) -> VenueClock:
        """The venue's clock and special statuses."""
        return VenueClock(*parse_status(await self.info("exchangeStatus")))

    async def frontend_open_orders(self, user: str, dex: str = MAIN_DEX) -> tuple[Order, ...]:
        """Resting orders on one dex's perpetuals."""
        return parse_orders(await self.info("frontendOpenOrders", user=user.lower(), dex=dex))


def weight_of(kind: str) -> int:
    """Request weight of an info type."""
    return WEIGHTS.get(kind, DEFAULT_WEIGHT)
