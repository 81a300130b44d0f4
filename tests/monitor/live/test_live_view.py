"""What the close look at a portfolio adds to its result: distances to its own levels, and the state of the market by kind and coin."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.live.inputs import Input
from monitor.live.view import market_of, portfolio_view
from monitor.report.document import margin_report
from monitor.resolvers.provenance import Provenance, Resolved, missing
from monitor.snapshot import parse_snapshot
from tests.monitor.live.test_live_portfolios import MARK, Pair

ALONE = '[[portfolios]]\nid = "one"\naccounts = ["long"]\n'


@pytest.fixture
def alone(tmp_path: Path) -> Pair:
    made = Pair(tmp_path, ALONE)
    made.marks()
    made.long()
    made.short()
    return made


def test_distances_are_those_of_the_report(alone: Pair) -> None:
    view, document = alone.view(), alone.document("one")
    report = margin_report(parse_snapshot(document, "saved"), alone.settings.portfolios[0].parameter_set)
    told = next(row for row in report["portfolios"] if row["id"] == "one")["distance"]
    names = {"0.85": "warning", "0.9": "critical", "1.0": "breach"}
    expected = {
        ("ALL" if coin == "all" else coin, names[target], direction): pytest.approx(move)
        for coin, targets in told.items()
        for target, moves in targets.items()
        for direction, move in moves.items()
        if move is not None
    }
    assert dict(view.distances) == expected
    assert view.distances["BTC", "breach", "down"] < view.distances["BTC", "warning", "down"] < 0


def test_distances_are_to_the_levels_of_the_portfolio(tmp_path: Path, alone: Pair) -> None:
    other = Pair(tmp_path, ALONE + "levels = { warning = 0.9, critical = 0.95 }\n")
    other.marks()
    other.long()
    other.short()
    assert other.view().distances["BTC", "warning", "down"] == pytest.approx(alone.view().distances["BTC", "critical", "down"])
    assert other.view().distances["BTC", "breach", "down"] == pytest.approx(alone.view().distances["BTC", "breach", "down"])


def test_the_market_is_told_with_a_view_and_with_one_that_failed(alone: Pair) -> None:
    view = alone.view()
    assert view.market["index", "BTC"] is alone.live.price("BTC").provenance
    assert {coin for kind, coin in view.market if kind == "fx"} == {"USDC"}
    document = alone.document("one") | {"portfolios": []}
    failed = portfolio_view(alone.settings.portfolios[0], document, {"": [Input("fx", "USDC", missing("nobody"))]})
    assert failed.failures != ()
    assert failed.market == {("fx", "USDC"): Provenance.MISSING}
    assert failed.distances == {}


def test_the_worst_of_a_kind_and_coin_counts() -> None:
    def told(kind: str, name: str, provenance: Provenance) -> Input:
        return Input(kind, name, Resolved(1.0, provenance, "the test"))

    inputs = {
        "BTC": [
            told("index", "BTC", Provenance.LIVE),
            told("implied_volatility", "deribit:BTC-1", Provenance.AGING),
            told("implied_volatility", "deribit:BTC-2", Provenance.PROXY),
            told("fx", "USDC", Provenance.STALE),
        ],
        "": [told("fx", "USDC", Provenance.LIVE), told("index", "ETH", Provenance.MISSING)],
    }
    assert market_of(inputs) == {
        ("index", "BTC"): Provenance.LIVE,
        ("implied_volatility", "BTC"): Provenance.PROXY,
        ("fx", "USDC"): Provenance.STALE,
        ("index", "ETH"): Provenance.MISSING,
    }


def test_a_mark_far_below_has_fewer_moves_left(alone: Pair) -> None:
    before = alone.view().distances["BTC", "breach", "down"]
    alone.marks(0.95 * MARK)
    assert before < alone.view().distances["BTC", "breach", "down"] < 0
