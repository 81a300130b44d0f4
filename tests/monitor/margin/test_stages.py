"""The stages of a unified account under the `uta` model, and where a report shows them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from rich.console import Console

from monitor.margin.stages import STAGE_TEXT, Stage, uta_stage
from monitor.report.document import margin_report
from monitor.report.text import print_report
from monitor.snapshot import parse_snapshot
from tests.kernels.stress_books import account, document, held, option, parameters_of, perpetual
from tests.monitor import saved_book

Document = dict[str, Any]

DEBTS: Document = {"debts": [{"asset": "USDC", "amount": 500.0}]}


@pytest.mark.parametrize(
    ("ratio", "has_debt", "stage"),
    [
        (0.0, True, Stage.NORMAL),
        (math.nextafter(0.85, 0.0), True, Stage.NORMAL),
        (0.85, True, Stage.AUTO_REPAY),
        (0.85, False, Stage.NORMAL),
        (math.nextafter(1.0, 0.0), True, Stage.AUTO_REPAY),
        (math.nextafter(1.0, 0.0), False, Stage.NORMAL),
        (1.0, True, Stage.LIQUIDATION),
        (1.0, False, Stage.LIQUIDATION),
        (math.inf, False, Stage.LIQUIDATION),
    ],
)
def test_stage_of_a_ratio(ratio: float, has_debt: bool, stage: Stage) -> None:
    assert uta_stage(ratio, has_debt) is stage


def test_every_stage_has_its_text() -> None:
    assert set(STAGE_TEXT) == set(Stage)


def report(source: Document) -> Document:
    snapshot = parse_snapshot(source, "document")
    return margin_report(snapshot, parameters_of(snapshot, "uta"))


def stage(source: Document) -> object:
    (portfolio,) = report(source)["portfolios"]
    return portfolio["stage"]


def one(equity: float, **more: Any) -> Document:
    # one coin: a margin of 10,030, and 10 of a debt of 500
    return document([perpetual()], [account("one", [held("v:perp", 1.0)], equity=equity, **more)])


def text(source: Document) -> str:
    console = Console(width=100, highlight=False)
    with console.capture() as capture:
        print_report(console, [report(source)])
    return " ".join(capture.get().split())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (one(1e5), "normal"),
        (one(11_500.0), "normal"),
        (one(11_500.0, **DEBTS), "auto_repay"),
        (one(10_030.0), "cancel_orders_then_partial_liquidation_to_90"),
        (one(-5.0, **DEBTS), "cancel_orders_then_partial_liquidation_to_90"),
    ],
)
def test_a_portfolio_within_one_account_has_a_stage(source: Document, expected: str) -> None:
    assert stage(source) == expected
    assert f"what happens now: {STAGE_TEXT[Stage(expected)]}" in text(source)


def test_no_stage_across_accounts_without_a_ratio_or_with_a_rule_of_its_own() -> None:
    across = saved_book.book()
    unknown = document([option("o", "call", 1e5, iv=None)], [account("one", [held("o", 1.0)])])
    of_a_venue = saved_book.with_pools() | {"portfolios": [{"id": "desk", "accounts": ["hl-main"]}]}
    for source in (across, unknown, of_a_venue):
        assert stage(source) is None
        assert "what happens now" not in text(source)
