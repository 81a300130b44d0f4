from __future__ import annotations

from typing import Any

import pytest

from connectors.events import FailureReason
from monitor.margin.result import Failure, Level, PoolKind, PoolResult


class Pools:
    """Builds results: `pools(0.92)` a good one, `pools.failed()`, and any field by name."""

    def __call__(self, ratio: float | None, **fields: Any) -> PoolResult:
        values: dict[str, Any] = {
            "venue": "hyperliquid",
            "account": "hl-main",
            "pool": "USDC",
            "kind": PoolKind.HYPERLIQUID_CROSS,
            "mode": "unified",
            "asset": "USDC",
            "level": Level.OK,
            "margin_ratio": ratio,
            "raw_ratio": None,
            "limit": 1.0,
            "equity": 2_000_000.0,
            "maintenance_margin": 1_840_000.0,
            "excess": 160_000.0,
            "data_age_s": 0.4,
        }
        return PoolResult(**{**values, **fields})

    def failed(self, **fields: Any) -> PoolResult:
        failure = Failure(FailureReason.STALE_ACCOUNT, "no account frame for 25 s")
        return self(None, **{"equity": None, "maintenance_margin": None, "excess": None, "failures": (failure,), **fields})


@pytest.fixture
def pools() -> Pools:
    return Pools()
