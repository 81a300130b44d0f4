"""A hand-made snapshot for the tests of report and explanation: two perpetuals on two venues, an option, an order, a debt."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from config.parameters import ParameterSet, load_parameters
from monitor.snapshot import Snapshot, parse_snapshot

Document = dict[str, Any]

CALL = "deribit:BTC-25DEC26-110000-C"

_BOOK: Document = {
    "version": 1,
    "as_of": "2026-11-21T12:00:00Z",
    "parameters": "uta",
    "fx": {"USDT": 0.9997, "USDC": 1.0},
    "index": {"BTC": 100_000.0, "ETH": 3_500.0},
    "beta": {"BTC": 1.0, "ETH": 1.2},
    "volume_24h_usd": {"hyperliquid:BTC": 2.5e9, "aster:BTCUSDT": 1e9},
    "daily_volatility": {"BTC": 0.025},
    "instruments": [
        {
            "id": "hyperliquid:BTC",
            "kind": "perpetual",
            "coin": "BTC",
            "settle": "USDC",
            "mark": 100_010.5,
            "tiers": [[0, 0.0125, 0], [150_000_000, 0.025, 1_875_000]],
            "max_leverage": 40,
        },
        {
            "id": "aster:BTCUSDT",
            "kind": "perpetual",
            "coin": "BTC",
            "settle": "USDT",
            "mark": 100_040.0,
            "tiers": [[0, 0.01, 0]],
            "max_leverage": 50,
        },
        {"id": "hyperliquid:ETH", "kind": "perpetual", "coin": "ETH", "settle": "USDC", "mark": 3_500.5, "tiers": [[0, 0.02, 0]]},
        {
            "id": CALL,
            "kind": "option",
            "coin": "BTC",
            "settle": "BTC",
            "option_type": "call",
            "strike": 110_000,
            "expiry": "2026-12-25T08:00:00Z",
            "forward": 101_000.0,
            "iv": 0.42,
        },
    ],
    "accounts": [
        {
            "id": "hl-main",
            "venue": "hyperliquid",
            "equity": 60_000.0,
            "positions": [
                {"instrument": "hyperliquid:BTC", "quantity": -2.0, "entry": 99_000.0},
                {"instrument": "hyperliquid:ETH", "quantity": 40.0, "entry": 3_450.0},
            ],
            "orders": [{"instrument": "hyperliquid:BTC", "quantity": -0.5, "limit_price": 100_500.0}],
        },
        {
            "id": "aster-1",
            "venue": "aster",
            "equity": 20_000.0,
            "positions": [{"instrument": "aster:BTCUSDT", "quantity": 1.0, "entry": 99_500.0}],
        },
        {
            "id": "options",
            "venue": "deribit",
            "equity": 10_000.0,
            "debts": [{"asset": "USDC", "amount": 1_000.0}],
            "positions": [{"instrument": CALL, "quantity": 1.0}],
        },
    ],
    "portfolios": [{"id": "desk", "accounts": ["hl-main", "aster-1", "options"]}],
}


def book(**changes: Any) -> Document:
    """The document, with top-level keys replaced."""
    return deepcopy(_BOOK) | changes


def with_equity(equity: float) -> Document:
    """The book with all its equity in the first account."""
    document = book()
    for number, account in enumerate(document["accounts"]):
        account["equity"] = equity if number == 0 else 0.0
    return document


def without_price_of_the_call() -> Document:
    """The book with an option that has neither volatility nor mark."""
    document = book()
    document["instruments"][3]["iv"] = None
    return document


def with_pools() -> Document:
    """The book whose first account carries what its venue's own rule needs."""
    document = book()
    pool = {"id": "USDC", "collateral_asset": "USDC", "cash": 258_000.0, "positions": ["hyperliquid:BTC", "hyperliquid:ETH"]}
    document["accounts"][0] |= {"mode": "unified", "pools": [pool]}
    return document


def with_funding(document: Document | None = None) -> Document:
    """The book with pools whose perpetuals pay: Hyperliquid's on the hour on the oracle price, Aster's at 16:00 on the mark."""
    told = with_pools() if document is None else document
    btc, aster, eth = told["instruments"][:3]
    btc["funding"] = {"rate": 0.0000125, "interval_h": 1, "price": 100_000.0}
    eth["funding"] = {"rate": "-0.00002", "interval_h": 1.0, "next_time": "2026-11-21T13:00:00Z", "price": 3_500.0}
    aster["funding"] = {"rate": 0.0001, "interval_h": 8, "next_time": "2026-11-21T16:00:00Z"}
    return told


def two_hedged_perpetuals(quantity: float = 10.0) -> Document:
    """Long and short one perpetual in two accounts, 100,000 USD each: nothing but the charge on gross perpetuals is left."""
    mark = {"kind": "perpetual", "coin": "BTC", "settle": "USDC", "mark": 100_000.0, "tiers": [[0, 0.01, 0]]}
    accounts = [
        {"id": name, "venue": name, "equity": 1e5, "positions": [{"instrument": f"{name}:BTC", "quantity": sign * quantity}]}
        for name, sign in (("hyperliquid", 1.0), ("aster", -1.0))
    ]
    return {
        "version": 1,
        "as_of": "2026-11-21T12:00:00Z",
        "fx": {"USDC": 1.0},
        "index": {"BTC": 100_000.0},
        "instruments": [{"id": "hyperliquid:BTC", **mark}, {"id": "aster:BTC", **mark}],
        "accounts": accounts,
    }


def resolved(document: Document, name: str) -> tuple[Snapshot, ParameterSet]:
    """The document as read, and a shipped parameter set with its overrides."""
    snapshot = parse_snapshot(document, "book.json")
    coins = {row.coin for row in snapshot.instruments}
    return snapshot, load_parameters(name).with_overrides(snapshot.overrides, "book.json", in_use=coins)


def written(document: Document, directory: Path) -> str:
    """The document in a file."""
    path = directory / "book.json"
    path.write_text(json.dumps(document))
    return str(path)
