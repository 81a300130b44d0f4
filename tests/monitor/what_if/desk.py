"""A desk on three venues as the live monitor exports it: no entries, a pool's cash as a balance of its token, Deribit by exposure."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from config.parameters import ParameterSet, load_parameters
from monitor.report.document import margin_report
from monitor.snapshot import InstrumentRow, parse_snapshot
from monitor.what_if.changes import ChangeError, read_request
from monitor.what_if.edit import Edited, edited
from monitor.what_if.known import Known

Document = dict[str, Any]

BTC, ETH, WIDE = "hyperliquid:BTC", "hyperliquid:ETH", "hyperliquid:xyz:GOLD"
ASTER, PERPETUAL, CALL, PUT = "aster:BTCUSDT", "deribit:BTC-PERPETUAL", "deribit:BTC-25DEC26-110000-C", "deribit:BTC-25DEC26-80000-P"
MARKS = {BTC: 100_010.0, ETH: 3_500.0, ASTER: 100_040.0, PERPETUAL: 100_020.0}
INDEX = {"BTC": 100_000.0, "ETH": 3_500.0}
FX = {"USDC": 1.0, "USDT": 0.999}
TIERS = [[0, 0.0125, 0], [1_000_000, 0.025, 12_500]]


def perpetual(name: str, coin: str, settle: str, **other: Any) -> Document:
    return {"id": name, "kind": "perpetual", "coin": coin, "settle": settle, "mark": MARKS.get(name), "tiers": TIERS} | other


def option(name: str, strike: float, option_type: str) -> Document:
    terms = {"strike": strike, "option_type": option_type, "expiry": "2026-12-25T08:00:00Z", "forward": 101_000.0, "iv": 0.42}
    return {"id": name, "kind": "option", "coin": "BTC", "settle": "BTC", **terms}


_DESK: Document = {
    "version": 1,
    "as_of": "2026-11-21T12:00:00Z",
    "parameters": "uta",
    "fx": FX,
    "index": INDEX,
    "beta": {"BTC": 1.0, "ETH": 1.2},
    "volume_24h_usd": {BTC: 2.5e9, ASTER: 1e9},
    "daily_volatility": {"BTC": 0.025},
    "instruments": [
        perpetual(BTC, "BTC", "USDC", max_leverage=40),
        perpetual(ETH, "ETH", "USDC", max_leverage=25),
        perpetual(ASTER, "BTC", "USDT"),
        perpetual(PERPETUAL, "BTC", "BTC", inverse=True, tiers=[[0, 0.01, 0]]),
        option(CALL, 110_000, "call"),
        option(PUT, 80_000, "put"),
    ],
    "accounts": [
        {
            "id": "iris",
            "venue": "hyperliquid",
            "mode": "standard",
            "equity": 5 * 100_010.0 - 400_000.0,
            "positions": [{"instrument": BTC, "quantity": 5.0}],
            "balances": [{"asset": "USDC", "total": -400_000.0}],
            "spot": [],
            "pools": [{"id": "main", "collateral_asset": "USDC", "cash": -400_000.0, "positions": [BTC]}],
        },
        {
            "id": "umbra",
            "venue": "aster",
            "mode": "single_asset",
            "equity": 0.999 * (700_000.0 - 5 * 100_040.0),
            "positions": [{"instrument": ASTER, "quantity": -5.0}],
            "balances": [{"asset": "USDT", "total": 700_000.0}],
            "pools": [{"id": "USDT", "collateral_asset": "USDT", "cash": 700_000.0, "positions": [ASTER]}],
        },
        {
            "id": "noctua",
            "venue": "deribit",
            "mode": "cross_sm",
            "equity": 200_000.0,
            "positions": [
                {"instrument": PERPETUAL, "quantity": 50_000.0, "entry": 99_000.0},
                {"instrument": CALL, "quantity": -1.0, "entry": 0.02},
                {"instrument": PUT, "quantity": 2.0, "entry": 0.003},
            ],
            "balances": [
                {"asset": "BTC", "total": 1.0, "collateral_ratio": 1.0},
                {"asset": "USDC", "total": 100_000.0, "collateral_ratio": 1.0},
            ],
            "pools": [
                {
                    "id": "cross",
                    "collateral_asset": "USD",
                    "cash": 90_000.0,
                    "exposures": [{"coin": "BTC", "quantity": 1.1}],
                    "maintenance_margin": 20_000.0,
                }
            ],
        },
    ],
    "portfolios": [{"id": "desk", "accounts": ["iris", "umbra", "noctua"]}],
}


def desk() -> Document:
    """A fresh copy."""
    return deepcopy(_DESK)


def account(document: Document, name: str) -> Document:
    found: Document = next(row for row in document["accounts"] if row["id"] == name)
    return found


def pool(document: Document, name: str, of: str) -> Document:
    found: Document = next(row for row in account(document, name)["pools"] if row["id"] == of)
    return found


def quantities(document: Document, name: str) -> dict[str, float]:
    return {row["instrument"]: row["quantity"] for row in account(document, name).get("positions", [])}


def balances(document: Document, name: str) -> dict[str, float]:
    return {row["asset"]: row["total"] for row in account(document, name).get("balances", [])}


def uta() -> ParameterSet:
    return load_parameters("uta")


def edit(document: Document, *changes: Document, known: Known | None = None, **beside: Any) -> Edited:
    """The document after changes, which has to leave the given one as it is."""
    before = json.dumps(document, sort_keys=True)
    found = edited(document, read_request({"changes": list(changes), **beside}), uta(), known)
    assert json.dumps(document, sort_keys=True) == before
    return found


def refused(document: Document, *changes: Document, known: Known | None = None, **beside: Any) -> ChangeError:
    """Why changes cannot be made."""
    try:
        edit(document, *changes, known=known, **beside)
    except ChangeError as error:
        return error
    raise AssertionError("the changes were made")


def trade(name: str, instrument: str, quantity: float, **other: Any) -> Document:
    return {"kind": "position", "account": name, "instrument": instrument, "quantity": quantity, **other}


def transfer(source: str | None, target: str | None, asset: str, amount: float, **other: Any) -> Document:
    return {"kind": "transfer", "from": source, "to": target, "asset": asset, "amount": amount, **other}


def report(document: Document) -> Document:
    return margin_report(parse_snapshot(document, "the test"), uta())


def rule(document: Document, name: str, of: str) -> Document:
    """A pool by its venue's own rule."""
    found: Document = next(row for row in report(document)["accounts"] if (row["id"], row["pool"]) == (name, of))
    return found


def listed(name: str, coin: str, settle: str, **other: Any) -> InstrumentRow:
    return InstrumentRow.model_validate(perpetual(name, coin, settle, **other))


def maintenance(notional: float) -> float:
    """By hand, by the tiers of every linear contract here."""
    return 0.0125 * notional if notional <= 1_000_000 else 0.025 * notional - 12_500
