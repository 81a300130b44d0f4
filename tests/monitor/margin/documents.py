"""Snapshot documents of accounts with pools, written by hand, and the same documents after a move of prices."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from monitor.margin.result import PoolResult
from monitor.margin.saved import saved_accounts
from monitor.snapshot import Snapshot, parse_snapshot
from tests.reference.books import Document

BTC, ETH, HYPE = 100_000.0, 4_000.0, 80.0
BTC_TIERS = [[0, 0.0125, 0], [150e6, 0.025, 1_875_000]]


def listed(name: str, coin: str, mark: float | None, rate: float = 0.0125, **more: Any) -> Document:
    row = {"id": name, "kind": "perpetual", "coin": coin, "settle": "USDC", "mark": mark, "tiers": [[0, rate, 0]], "max_leverage": 40}
    return row | more


INSTRUMENTS = (
    listed("hyperliquid:BTC", "BTC", BTC, tiers=BTC_TIERS),
    listed("hyperliquid:ETH", "ETH", ETH, 0.02, max_leverage=25),
    listed("hyperliquid:HYPE", "HYPE", HYPE, 0.05, max_leverage=10),
    listed("hyperliquid:xyz:GOLD", "GOLD", 4_000.0, 0.025, max_leverage=20),
    listed("hyperliquid:hyna:SOL", "SOL", 150.0, 0.05, settle="USDE", max_leverage=10),
    listed("aster:BTCUSDT", "BTC", BTC, 0.004, settle="USDT", max_leverage=125),
    listed("aster:ETHUSDT", "ETH", ETH, 0.005, settle="USDT", max_leverage=100),
)


def held(symbol: str, quantity: float, **more: Any) -> Document:
    name = symbol if ":" in symbol and not symbol.startswith(("xyz", "hyna")) else f"hyperliquid:{symbol}"
    return {"instrument": name, "quantity": quantity} | more


def pool(name: str, cash: float, *symbols: str, asset: str = "USDC", **more: Any) -> Document:
    positions = [row["instrument"] for row in map(held, symbols, [0.0] * len(symbols))]
    return {"id": name, "collateral_asset": asset, "cash": cash, "positions": positions} | more


def collateral(asset: str, amount: float, price: float | None, ratio: float) -> Document:
    return {"asset": asset, "amount": amount, "price": price, "ratio": ratio}


def account(name: str = "maker", mode: str | None = "standard", venue: str = "hyperliquid", **more: Any) -> Document:
    return {"id": name, "venue": venue} | ({} if mode is None else {"mode": mode}) | more


def document(*accounts: Document, instruments: tuple[Document, ...] = INSTRUMENTS, **more: Any) -> Document:
    """One portfolio "p" of all accounts, every stablecoin at 1 unless told otherwise."""
    start: Document = {
        "version": 1,
        "as_of": "2026-11-21T12:00:00Z",
        "fx": {"USDC": 1.0, "USDT": 1.0, "USDE": 1.0},
        "index": {"BTC": BTC, "ETH": ETH, "HYPE": HYPE, "SOL": 150.0, "GOLD": 4_000.0},
        "instruments": list(instruments),
        "accounts": list(accounts),
        "portfolios": [{"id": "p", "accounts": [row["id"] for row in accounts]}],
    }
    return deepcopy(start | more)


def parsed(source: Document) -> Snapshot:
    return parse_snapshot(source, "document")


def pools(source: Document) -> dict[str, PoolResult]:
    """Results by pool, of a document with one account or with pools that have names of their own."""
    return {result.pool: result for result in saved_accounts(parsed(source))}


def moved(source: Document, factors: dict[str, float]) -> Document:
    """The document with every price of the coins times their factor; collateral by its coin's name, UBTC with BTC."""
    found = deepcopy(source)
    for row in found["instruments"]:
        if row["mark"] is not None:
            row["mark"] *= factors.get(row["coin"], 1.0)
    for coin in found["index"]:
        found["index"][coin] *= factors.get(coin, 1.0)
    for row in found["accounts"]:
        for one in row.get("pools", []):
            for leg in one.get("collateral", []):
                leg["price"] *= factors.get(leg["asset"].removeprefix("U"), 1.0)
    return found
