"""Frames of a stream as a monitor sends them, small, and a monitor that sends them when told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

Frame = dict[str, Any]
Rows = dict[str, dict[str, dict[str, Any]]]

AS_OF_MS = 1_795_359_666_000
"""2026-11-22 15:01:06 UTC."""

CLOCK_S = 5_000.0
"""The monitor's monotonic clock at the first frame."""

LEVELS = {"warning": 0.85, "critical": 0.9, "liquidation": 1.0}
AS_OF = "2026-11-22T15:01:05Z"


def pool(account: str, ratio: float | None, **changed: Any) -> dict[str, Any]:
    """A row of `pools`; without a ratio it was 87.5 % last."""
    level = "ok" if ratio is None or ratio < 0.85 else "warning" if ratio < 0.9 else "critical" if ratio < 1 else "liquidation"
    failures = [] if ratio is not None else [{"reason": "STALE_MARK", "detail": "allMids is stale"}]
    row = {"venue": "hyperliquid", "account": account, "pool": "main", "level": level, "margin_ratio": ratio, "failures": failures}
    row |= {"last_margin_ratio": 0.875 if ratio is None else ratio, "equity": 1_234_567.0, "maintenance_margin": 1_000.0}
    row |= {"cash_to_safety": 7_360.0, "worst_instrument": "hyperliquid:BTC", "distance": -0.125, "reconciled": True}
    return row | {"data_at_s": CLOCK_S - 0.2, "levels": LEVELS, "next": "market orders"} | changed


def portfolio(name: str, ratio: float | None, **changed: Any) -> dict[str, Any]:
    """A row of `portfolios`."""
    failures = [] if ratio is not None else [{"reason": "MISSING_IV", "detail": "no volatility of X"}]
    row = {"id": name, "level": None if ratio is None else "ok", "margin_ratio": ratio, "failures": failures, "equity": 2_069_680.0}
    row |= {"maintenance_margin": 37_435.0, "cross_maintenance_margin": 77_011.0, "saving": 0.51, "provenance": "LIVE", "doubts": []}
    return row | {"not_to_be_relied_on": [], "levels": LEVELS} | changed


def position(account: str, instrument: str, contribution: float) -> dict[str, Any]:
    """A position of a unit of `reports`."""
    row = {"account": account, "instrument": instrument, "side": None, "quantity": 20.0, "notional": 1_716_491.5}
    return row | {"contribution": contribution, "standalone": abs(contribution), "leave_one_out": -contribution}


def report(name: str) -> dict[str, Any]:
    """A row of `reports`: one coin, two pools on their own."""
    target = {"down": -0.31, "up": None}
    positions = [position("iris", "hyperliquid:BTC", 50.0), position("umbra", "aster:BTCUSDT", -123_990.6)]
    unit = {"coin": "BTC", "status": "ok", "failures": [], "max_loss": 2_052.8, "binding_orders": "buy_orders"}
    unit |= {"maintenance_margin": 21_624.7, "worst": {"price": -0.06, "vol": 0.2}, "positions": positions}
    alone = {
        "failures": [],
        "venue": "aster",
        "account": "umbra",
        "pool": "USDT",
        "assumed": False,
        "ratio": 0.016,
        "down": None,
        "up": 0.43,
    }
    first = {"venue": "aster", "account": "umbra", "pool": "USDT", "move": 0.43}
    sent = {"venue": "hyperliquid", "account": "iris", "pool": "main", "usd": 1000.0, "amount": 1000.0, "asset": "USDC"}
    venues = {"failures": [], "pools": [alone], "first_down": None, "first_up": first, "transfers": [sent], "common_ratio": 0.046}
    row = {"id": name, "as_of": AS_OF, "method": "portfolio", "failures": [], "maintenance_margin": 37_435.19, "initial_margin": 44_922.2}
    row |= {"hedge_benefit": 524_157.87, "families": {"directional": 7_677.2, "volatility": 2_052.8, "correlation": 0.0, "liquidity": 0.0}}
    row |= {"units": [unit], "distance": {"all": {"0.85": target, "0.9": target, "1.0": target}}, "venues": venues}
    cross = {"maintenance_margin": 77_011.95, "initial_margin": 174_533.34, "saving": 0.513, "failures": []}
    return row | {"cross": cross, "eligibility": {"eligible": True, "reasons": []}}


def modes() -> dict[str, Any]:
    """A row of `modes`."""
    row = {"pool": "portfolio", "equity": -5.0, "maintenance_margin": 10.0, "margin_ratio": "Infinity", "level": "liquidation"}
    failure = {"reason": "UNSUPPORTED_MODE", "detail": "no borrow table"}
    return {"as_of": AS_OF, "portfolio_margin": {"failures": [], "pools": [row]}, "unified": {"failures": [failure], "pools": []}}


def firing(account: str, level: str = "critical") -> dict[str, Any]:
    """A row of `alerts`."""
    row = {"since_ms": AS_OF_MS - 90_000, "key": f"hyperliquid/{account}/main", "kind": "pool", "venue": "hyperliquid"}
    return row | {"account": account, "name": "main", "level": level, "ratio": 0.91999, "subject": "main", "detail": "over 90%"}


def told(account: str, change: str, text: str, ago_s: int) -> dict[str, Any]:
    """A row of `recent`."""
    row = {"id": f"{account}.{ago_s}", "time_ms": AS_OF_MS - 1000 * ago_s, "key": f"hyperliquid/{account}/main", "change": change}
    return row | {"account": account, "level": "critical", "text": text}


def feed(name: str, status: str, account: str | None = None, detail: str = "") -> dict[str, Any]:
    """A row of `feeds`."""
    row = {"venue": "hyperliquid", "feed": name, "account": account, "status": status, "detail": detail}
    return row | {"since_at_s": CLOCK_S - 240.0}


def desk() -> Rows:
    """The rows of a monitor with three accounts, two of them in a portfolio."""
    accounts = {"desk": ["iris", "umbra"], "pair": ["iris"]}
    portfolios = [{"id": name, "accounts": among, "alarm": True} for name, among in accounts.items()]
    connection = {"venue": "hyperliquid", "name": "hyperliquid market", "connected": True, "frames": 7_024, "reconnects": 3, "resyncs": 1}
    venue = {"clock_offset_s": -0.69, "statuses": ["maintenance at 16:00"], "waiting_accounts": ["atlas"]}
    return {
        "monitor": {"monitor": {"ready": True, "unready": [], "portfolios": portfolios}},
        "pools": {f"hyperliquid/{row['account']}/main": row for row in (pool("iris", 0.061), pool("umbra", 0.016), pool("atlas", 0.509))},
        "portfolios": {name: portfolio(name, 0.018) for name in accounts},
        "reports": {name: report(name) for name in accounts},
        "modes": {"iris": modes(), "atlas": modes()},
        "alerts": {},
        "recent": {},
        "feeds": {"1": feed("allMids", "fresh"), "2": feed("webData3", "stale", "iris", "no frame for 12 s")},
        "connections": {"1": connection | {"last_frame_at_s": CLOCK_S - 0.5}},
        "venues": {"hyperliquid": venue},
    }


def snapshot(rows: Rows | None = None, sequence: int = 1, **head: Any) -> Frame:
    """The first frame of a line."""
    frame: Frame = {"version": 1, "type": "snapshot", "sequence": sequence, "since": 0, "as_of_ms": AS_OF_MS, "clock_s": CLOCK_S}
    return frame | {"rows": desk() if rows is None else rows, "gone": {}} | head


def changes(rows: Rows, since: int = 1, *, after_s: float = 0.0, gone: Mapping[str, list[str]] | None = None, **head: Any) -> Frame:
    """What changed since a version, so many seconds after the first frame."""
    frame: Frame = {"version": 1, "type": "changes", "sequence": since + 1, "since": since, "rows": rows, "gone": dict(gone or {})}
    return frame | {"as_of_ms": AS_OF_MS + round(1000 * after_s), "clock_s": CLOCK_S + after_s} | head


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class FakeStream:
    """Follows what the test tells."""

    def __init__(self) -> None:
        self.told: Callable[[Mapping[str, Any]], None] | None = None
        self.lost: Callable[[str], None] | None = None

    async def follow(self, told: Callable[[Mapping[str, Any]], None], lost: Callable[[str], None]) -> NoReturn:
        """See `Followed`."""
        self.told, self.lost = told, lost
        await asyncio.Event().wait()
        raise AssertionError
