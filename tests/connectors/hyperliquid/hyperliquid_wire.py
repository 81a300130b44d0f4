"""Payloads in the venue's shapes, written by us: a small exchange with two dexs and two accounts."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import orjson

from connectors.hyperliquid.reference import Reference, build

MAKER = "0x" + "a1" * 20
HEDGER = "0x" + "B2" * 20
STRANGER = "0x" + "c3" * 20
DAY_MS = 86_400_000


def table(leverage: int, *tiers: tuple[str, int]) -> dict[str, Any]:
    rows = [("0.0", leverage), *tiers]
    return {"description": "", "marginTiers": [{"lowerBound": bound, "maxLeverage": most} for bound, most in rows]}


PERP_DEXS: list[Any] = [None, {"name": "xyz", "fullName": "XYZ"}, {"name": "flx", "fullName": "Felix"}]

MAIN_META: dict[str, Any] = {
    "universe": [
        {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56},
        {"szDecimals": 1, "name": "MATIC", "maxLeverage": 20, "marginTableId": 20, "isDelisted": True},
        {"szDecimals": 0, "name": "kPEPE", "maxLeverage": 10, "marginTableId": 52},
        {"szDecimals": 2, "name": "ATOM", "maxLeverage": 5, "marginTableId": 5},
        {"szDecimals": 2, "name": "NEWT", "maxLeverage": 3, "marginTableId": 77},
    ],
    "marginTables": [[56, table(40, ("150000000.0", 20))], [52, table(10, ("20000000.0", 5))]],
    "collateralToken": 0,
}
XYZ_META: dict[str, Any] = {
    "universe": [
        {"szDecimals": 4, "name": "xyz:XYZ100", "maxLeverage": 30, "marginTableId": 30},
        {"szDecimals": 3, "name": "xyz:CL", "maxLeverage": 20, "marginTableId": 20, "onlyIsolated": True, "marginMode": "strictIsolated"},
    ],
    "marginTables": [],
    "collateralToken": 0,
}
FLX_META: dict[str, Any] = {
    "universe": [{"szDecimals": 3, "name": "flx:kGOLD", "maxLeverage": 10, "marginTableId": 10, "marginMode": "noCross"}],
    "marginTables": [],
    "collateralToken": 360,
}
SPOT_META: dict[str, Any] = {
    "universe": [
        {"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True},
        {"tokens": [150, 0], "name": "@107", "index": 107, "isCanonical": False},
        {"tokens": [197, 0], "name": "@142", "index": 142, "isCanonical": False},
        {"tokens": [150, 360], "name": "@207", "index": 207, "isCanonical": False},
        {"tokens": [360, 0], "name": "@230", "index": 230, "isCanonical": False},
    ],
    "tokens": [
        {"name": name, "szDecimals": 2, "weiDecimals": 8, "index": index, "tokenId": "0x", "isCanonical": False}
        for name, index in (("USDC", 0), ("PURR", 1), ("HYPE", 150), ("UBTC", 197), ("USDH", 360))
    ],
}


def reference() -> Reference:
    return build(PERP_DEXS, [MAIN_META, XYZ_META, FLX_META], SPOT_META)


def context(mark: str, oracle: str = "100.0", funding: str = "0.0000125") -> dict[str, Any]:
    return {
        "funding": funding,
        "openInterest": "1.0",
        "prevDayPx": "1.0",
        "dayNtlVlm": "1.0",
        "premium": None,
        "oraclePx": oracle,
        "markPx": mark,
        "midPx": None,
        "impactPxs": None,
        "dayBaseVlm": "1.0",
    }


def contexts(btc: str = "100000.0", cl: str = "60.0") -> list[Any]:
    return [
        ["xyz", [context("30000.0"), context(cl, "60.5", "0.00000625")]],
        ["", [context(btc, "100010.0"), context("0.3"), context("0.01"), context("5.0"), context("1.0")]],
        ["flx", [context("2.0")]],
    ]


def asset_contexts_frame(**changes: str) -> bytes:
    return frame("allDexsAssetCtxs", {"ctxs": contexts(**changes)})


def packed(values: Any) -> str:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return base64.b64encode(squeezer.compress(orjson.dumps(values)) + squeezer.flush()).decode()


def position(coin: str, szi: str, mark: float, *, raw_usd: str | None = None, max_leverage: int = 40) -> dict[str, Any]:
    leverage = {"type": "cross", "value": 20} if raw_usd is None else {"type": "isolated", "value": 10, "rawUsd": raw_usd}
    return {
        "type": "oneWay",
        "position": {
            "coin": coin,
            "szi": szi,
            "leverage": leverage,
            "entryPx": "90000.0",
            "positionValue": repr(abs(float(szi)) * mark),
            "unrealizedPnl": "12.5",
            "returnOnEquity": "0.1",
            "liquidationPx": None,
            "marginUsed": "500.0",
            "maxLeverage": max_leverage,
            "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
        },
    }


def state(*positions: Any, cash: str = "10000.0", maintenance: str = "0.0", time: int = 1_790_000_000_000) -> dict[str, Any]:
    summary = {"accountValue": "10000.0", "totalNtlPos": "0.0", "totalRawUsd": cash, "totalMarginUsed": "0.0"}
    return {
        "marginSummary": summary,
        "crossMarginSummary": dict(summary),
        "crossMaintenanceMarginUsed": maintenance,
        "withdrawable": "1.0",
        "assetPositions": list(positions),
        "time": time,
    }


def spot_state(usdc: str = "100.0", **more: Any) -> dict[str, Any]:
    return {"balances": [{"coin": "USDC", "token": 0, "total": usdc, "hold": "0.0", "entryNtl": "0.0"}], **more}


def portfolio_margin_state(usdc: str = "100.0") -> dict[str, Any]:
    return spot_state(usdc, portfolioMarginEnabled=True, portfolioMarginRatio="0.25", tokenToAvailableAfterMaintenance=[[0, "75.0"]])


def fill(coin: str = "BTC", *, tid: int = 7, time: int = 1_790_000_000_500, side: str = "B", **more: Any) -> dict[str, Any]:
    row = {
        "coin": coin,
        "px": "100.0",
        "sz": "2.0",
        "side": side,
        "time": time,
        "startPosition": "1.0",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "hash": "0x" + "0" * 64,
        "oid": 11,
        "crossed": True,
        "fee": "0.05",
        "tid": tid,
        "feeToken": "USDC",
        "twapId": None,
    }
    return {**row, **more}


def order(coin: str = "BTC", side: str = "B", sz: str = "0.5", **more: Any) -> dict[str, Any]:
    row = {
        "coin": coin,
        "side": side,
        "limitPx": "99000.0",
        "sz": sz,
        "oid": 1,
        "timestamp": 1,
        "triggerCondition": "N/A",
        "isTrigger": False,
        "triggerPx": "0.0",
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": False,
        "orderType": "Limit",
        "origSz": sz,
        "tif": "Alo",
        "cloid": None,
    }
    return {**row, **more}


def outcome(number: int, description: str, name: str = "Recurring", sides: tuple[str, str] = ("Yes", "No"), **more: Any) -> dict[str, Any]:
    specs = [{"name": side} for side in sides]
    return {"outcome": number, "name": name, "description": description, "sideSpecs": specs, "quoteToken": "USDC", **more}


def binary(number: int, coin: str = "BTC", target: str = "64306", expiry: str = "20260808-0600", **more: Any) -> dict[str, Any]:
    return outcome(number, f"class:priceBinary|underlying:{coin}|expiry:{expiry}|targetPrice:{target}|period:1d", **more)


def buckets(number: int, named: list[int], thresholds: str = "63019,65592", coin: str = "BTC", **more: Any) -> dict[str, Any]:
    description = f"class:priceBucket|underlying:{coin}|expiry:20260808-0600|priceThresholds:{thresholds}|period:1d"
    question = {"question": number, "name": "Recurring", "description": description, "fallbackOutcome": 1, "namedOutcomes": named}
    return {**question, "settledNamedOutcomes": [], **more}


def updates_frame(*changes: dict[str, Any]) -> bytes:
    return frame("outcomeMetaUpdates", list(changes))


def mids_frame(**mids: str) -> bytes:
    """Mids of coins, and of outcome sides as `o10250`."""
    return frame("allMids", {"mids": {name.replace("o", "#", 1) if name[0] == "o" else name: mid for name, mid in mids.items()}})


def candles(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Daily candles of the asked range, the one that runs at its end too; they close at 100, 101, ..."""
    first, last = request["startTime"] // DAY_MS, request["endTime"] // DAY_MS
    prices = {"o": "1.0", "h": "2.0", "l": "0.5", "v": "7.0", "n": 3}
    return [
        {"t": day * DAY_MS, "T": (day + 1) * DAY_MS - 1, "s": request["coin"], "i": "1d", "c": f"{100 + n}.0", **prices}
        for n, day in enumerate(range(first, last + 1))
    ]


def frame(channel: str, data: Any) -> bytes:
    return orjson.dumps({"channel": channel, "data": data})


def all_states_frame(user: str, *states: tuple[str, Any]) -> bytes:
    return frame("allDexsClearinghouseState", {"user": user.lower(), "clearinghouseStates": [list(pair) for pair in states]})


def spot_state_frame(user: str, usdc: str = "100.0") -> bytes:
    return frame("spotState", {"user": user.lower(), "spotState": spot_state(usdc)})


def acknowledgement(request: dict[str, Any], **defaults: Any) -> bytes:
    return frame("subscriptionResponse", {"method": "subscribe", "subscription": {**defaults, **request}})


def refusal(text: str) -> bytes:
    return frame("error", text)


def requests(frames: list[bytes], method: str = "subscribe") -> list[dict[str, Any]]:
    """The subscription objects of those frames."""
    parsed = [orjson.loads(one) for one in frames]
    return [one["subscription"] for one in parsed if one["method"] == method]
