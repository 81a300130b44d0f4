"""Payloads in the venue's shapes, written by us, and a venue on a memory transport that answers from a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from connectors.aster.reference import Reference, build
from connectors.aster.rest import AccountRest, AsterRest
from connectors.aster.settings import AgentKey, AsterAccountRef, AsterConfig, HmacKey
from connectors.aster.signing import Nonces, Signer, VenueClock, signer_of
from connectors.clock import ManualClock
from connectors.memory import HttpRequest, MemoryHttpTransport
from connectors.ratelimit import Budget
from connectors.transport import HttpResponse, HttpTransport

PRIVATE_KEY = "0x" + "0123456789abcdef" * 4
SIGNER = "0xFCAd0B19bB29D4674531d6f115237E16AfCE377c"
USER = "0x" + "a1" * 20
HMAC_KEY = "k" * 40 + "0123"
HMAC_SECRET = "s" * 40 + "4567"
LISTEN_KEY = "l1s7en" * 10
SECRETS = (PRIVATE_KEY, SIGNER, USER, HMAC_KEY, HMAC_SECRET, LISTEN_KEY)
"""What no text of ours may hold."""

DESK = AsterAccountRef("desk", USER, AgentKey(PRIVATE_KEY))
OLD = AsterAccountRef("old", None, HmacKey(HMAC_KEY, HMAC_SECRET), allow_unsafe_key=True)
CJK = "币安人生USDT"
NOW_MS = 1_700_000_000_000


def symbol(name: str, base: str, *, quote: str = "USDT", status: str = "TRADING", **fields: Any) -> dict[str, Any]:
    return {
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "status": status,
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "liquidationFee": "0.025000",
        "filters": [],
        **fields,
    }


def exchange_info(*symbols: dict[str, Any], assets: tuple[str, ...] = ("USDT", "BTC", "BNB", "ASBNB", "USD1")) -> dict[str, Any]:
    listed = symbols or (
        symbol("BTCUSDT", "BTC"),
        symbol("ETHUSDT", "ETH"),
        symbol("BNBUSDT", "BNB"),
        symbol("1000PEPEUSDT", "1000PEPE"),
        symbol(CJK, "币安人生"),
        symbol("SANDUSDT", "SAND", status="SETTLING"),
        symbol("XAUUSD1", "XAU", quote="USD1"),
    )
    return {
        "timezone": "UTC",
        "serverTime": 1,
        "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets],
        "symbols": list(listed),
    }


def brackets(name: str, *rows: tuple[float, float, float, float, float]) -> dict[str, Any]:
    """Rows of (leverage, floor, cap, ratio, cum)."""
    keys = ("initialLeverage", "notionalFloor", "notionalCap", "maintMarginRatio", "cum")
    return {"symbol": name, "brackets": [{"bracket": n, **dict(zip(keys, row, strict=True))} for n, row in enumerate(rows, 1)]}


BRACKETS = [
    brackets("BTCUSDT", (125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 50), (50, 500_000, 1_000_000, 0.01, 2_550)),
    brackets("ETHUSDT", (75, 0, 10_000, 0.0065, 0)),
    brackets("GONEUSDT", (5, 0, 1_000, 0.1, 0)),
]
FUNDING = [{"symbol": "BTCUSDT", "interestRate": "0.0001", "time": 1, "fundingIntervalHours": 8, "fundingFeeCap": 0.03}]


def reference(**overrides: Any) -> Reference:
    return build(exchange_info(), BRACKETS, FUNDING, config(**overrides))


def config(**overrides: Any) -> AsterConfig:
    return replace(AsterConfig.mainnet(ip_budget_share=1.0, collateral={"asBNB": "BNB"}), **overrides)


def asset(name: str, wallet: str = "0", *, cross: str | None = None, pnl: str = "0", cross_pnl: str | None = None, **fields: Any) -> Any:
    return {
        "asset": name,
        "walletBalance": wallet,
        "unrealizedProfit": pnl,
        "marginBalance": str(float(wallet) + float(pnl)),
        "maintMargin": "0",
        "initialMargin": "0",
        "positionInitialMargin": "0",
        "openOrderInitialMargin": "0",
        "maxWithdrawAmount": "0",
        "crossWalletBalance": wallet if cross is None else cross,
        "crossUnPnl": pnl if cross_pnl is None else cross_pnl,
        "availableBalance": "0",
        "marginAvailable": True,
        "updateTime": 0,
        **fields,
    }


def position(name: str, amount: str = "0", entry: str = "0.0", *, mark: str | None = None, side: str = "BOTH", **fields: Any) -> Any:
    at = float(entry if mark is None else mark)
    return {
        "symbol": name,
        "initialMargin": "0",
        "maintMargin": "0",
        "unrealizedProfit": f"{float(amount) * (at - float(entry)):.8f}",
        "positionInitialMargin": "0",
        "openOrderInitialMargin": "0",
        "leverage": "20",
        "isolated": False,
        "entryPrice": entry,
        "maxNotional": "250000",
        "positionSide": side,
        "positionAmt": amount,
        "notional": f"{float(amount) * at:.8f}",
        "isolatedWallet": "0",
        "updateTime": 0,
        **fields,
    }


def account(assets: list[Any], positions: list[Any], **fields: Any) -> dict[str, Any]:
    return {
        "feeTier": 0,
        "canTrade": True,
        "updateTime": 0,
        "totalInitialMargin": "1.5",
        "totalMaintMargin": "2.5",
        "totalWalletBalance": "3.5",
        "totalUnrealizedProfit": "4.5",
        "totalMarginBalance": "5.5",
        "availableBalance": "6.5",
        "assets": assets,
        "positions": positions,
        **fields,
    }


def risk(name: str, amount: str = "0.0", *, side: str = "BOTH", price: str = "0", mark: str = "0.00000000") -> dict[str, Any]:
    return {
        "symbol": name,
        "positionAmt": amount,
        "entryPrice": "0.0",
        "markPrice": mark,
        "unRealizedProfit": "0.00000000",
        "liquidationPrice": price,
        "leverage": "20",
        "marginType": "cross",
        "isolatedMargin": "0.00000000",
        "isAutoAddMargin": "false",
        "positionSide": side,
        "notional": "0",
        "isolatedWallet": "0",
        "updateTime": 0,
    }


def agent(address: str = SIGNER, *, expires_ms: int | None = NOW_MS + 10**10, **rights: bool) -> dict[str, Any]:
    flags = {"canRead": True, "canSpotTrade": False, "canPerpTrade": False, "canWithdraw": False, **rights}
    return {"agentAddress": address, "agentName": "monitor", "ipWhitelist": "", "expired": expires_ms, "source": "api", **flags}


def order_update(**fields: Any) -> dict[str, Any]:
    order: dict[str, Any] = {
        "s": "BTCUSDT",
        "c": "mine",
        "S": "SELL",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.3",
        "p": "50000",
        "ap": "0",
        "sp": "0",
    }
    order |= {"x": "NEW", "X": "NEW", "i": 77, "l": "0", "z": "0", "L": "0", "T": NOW_MS, "t": 0, "m": False, "R": False, "ps": "BOTH"}
    return {"e": "ORDER_TRADE_UPDATE", "E": NOW_MS + 1, "T": NOW_MS, "o": {**order, "cp": False, "rp": "0", **fields}}


def error(code: int, message: str = "") -> dict[str, Any]:
    return {"code": code, "msg": message or f"{USER} {SIGNER} {PRIVATE_KEY}"}


Answer = Any | HttpResponse | Exception | Callable[[HttpRequest], Any]


class Venue:
    """Answers by `METHOD /path` from `table` (a payload, a response, an exception, or a function of the request); else from `script`.

    `requests` keeps what came; a request nothing answers is an assertion. The venue's clock is `ahead_ms` of the machine's.
    """

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.ahead_ms = 0
        self.table: dict[str, Answer] = {"GET /fapi/v3/time": lambda request: {"serverTime": clock.time_ms() + self.ahead_ms}}
        self.script: dict[str, list[Answer]] = {}
        self.http = MemoryHttpTransport(self._answer)

    @property
    def requests(self) -> list[HttpRequest]:
        return self.http.requests

    def asked(self, path: str) -> list[HttpRequest]:
        return [request for request in self.requests if urlsplit(request.url).path == path]

    def next(self, name: str, *answers: Answer) -> None:
        """Answer the next requests of that name so, then from the table again."""
        self.script.setdefault(name, []).extend(answers)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        name = f"{request.method} {urlsplit(request.url).path}"
        answer = self.script[name].pop(0) if self.script.get(name) else self.table.get(name)
        assert answer is not None, f"nothing answers {name}"
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, HttpResponse) else HttpResponse(200, body=orjson.dumps(answer))


class Desk:
    """A venue, and the requests of one account to it, under a clock moved by hand."""

    def __init__(
        self,
        ref: AsterAccountRef = DESK,
        *,
        signer: Signer | None = None,
        http: HttpTransport | None = None,
        measured: bool = True,
        **overrides: Any,
    ) -> None:
        self.clock = ManualClock(time_ms=NOW_MS)
        self.venue = Venue(self.clock)
        self.config = config(**overrides)
        self.budget = Budget("aster", self.config.budget_limits(), self.config.ip_budget_share, self.clock)
        self.venue_clock = VenueClock(self.clock)
        if measured:
            self.venue_clock.measured(self.clock.monotonic_ns(), NOW_MS, self.clock.monotonic_ns())
        self.rest = AsterRest(http or self.venue.http, self.config, self.budget, self.venue_clock, self.clock)
        self.nonces = Nonces(self.venue_clock)
        self.account = AccountRest(self.rest, signer or signer_of(ref, self.config, self.nonces, self.venue_clock), ref.alias)

    @property
    def spent(self) -> int:
        return self.budget.statistics().weight_used


def sent_pairs(request: HttpRequest) -> list[tuple[str, str]]:
    """The parameters of a request, wherever they were sent."""
    return parse_qsl(request.body.decode() or urlsplit(request.url).query, keep_blank_values=True)
