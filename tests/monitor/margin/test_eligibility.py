from __future__ import annotations

from typing import Any

import pytest

from config.portfolios import Eligibility
from monitor.margin.eligibility import ineligibility

ALL_SAID: dict[str, Any] = {"acknowledged": True, "minimum_equity": 1000.0, "coins": ["BTC", "ETH"]}


@pytest.mark.parametrize(
    ("changed", "equity", "coins", "expected"),
    [
        ({}, 1000.0, ["BTC"], []),
        ({}, 5000.0, [], []),
        ({"coins": None}, 1000.0, ["PEPE"], []),
        ({"minimum_equity": 0.0}, None, ["BTC"], []),
        ({}, 999.5, ["BTC"], ["the equity is 999.50 USD and has to be at least 1,000.00 USD"]),
        ({}, None, ["BTC"], ["the equity is unknown and has to be at least"]),
        ({}, float("nan"), ["BTC"], ["the equity is nan"]),
        ({}, 1000.0, ["SOL", "BTC", "ADA"], ["it holds coins that are not listed: ADA, SOL"]),
        ({"coins": []}, 1000.0, ["BTC"], ["it holds coins that are not listed: BTC"]),
        ({"acknowledged": False}, 1000.0, ["BTC"], ["nobody acknowledged that no venue acts on this number"]),
        ({"enabled": False, "acknowledged": False}, None, ["SOL"], ["the portfolio method is switched off"]),
        ({"acknowledged": False}, 0.0, ["SOL"], ["nobody acknowledged", "the equity is 0.00 USD", "it holds coins"]),
    ],
)
def test_every_reason_is_said(changed: dict[str, Any], equity: float | None, coins: list[str], expected: list[str]) -> None:
    found = ineligibility(Eligibility.model_validate(ALL_SAID | changed), equity, coins)
    assert len(found) == len(expected)
    assert all(reason.startswith(start) for reason, start in zip(found, expected, strict=True))


def test_by_default_only_the_acknowledgement_is_missing() -> None:
    (reason,) = ineligibility(Eligibility(), None, ["PEPE"])
    assert "equity cannot be moved between venues at once" in reason
