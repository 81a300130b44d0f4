"""`marginwatch report` and `explain` on a desk that holds outcomes, and the rows of documents that are no perpetuals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.model import Instrument, InstrumentKind, OptionType
from monitor.cli import cli
from monitor.document_rows import instrument_row
from monitor.margin.saved_pools import pools_of
from monitor.snapshot import InstrumentRow, parse_snapshot
from tests.kernels.stress_books import BTC, DAY_S, NOON_S, account, document, held, outcome, perpetual
from tests.reference.black76 import digital

YES, NO_LOW, NO_HIGH = "hyperliquid:#10250", "hyperliquid:#10261:low", "hyperliquid:#10261:high"
FORWARD, STRIKE = 65_000.0, 64_306.0


def desk(**more: Any) -> dict[str, Any]:
    """Yes above 64,306, No of the bucket between 63,019 and 65,592, and a short perpetual against them."""
    terms: dict[str, Any] = {"forward": FORWARD, "iv": 0.35}
    rows = [
        perpetual("hyperliquid:BTC", FORWARD, tiers=[[0, 0.01, 0]]),
        outcome(YES, "call", STRIKE, **terms),
        outcome(NO_LOW, "put", 63_019.0, **terms),
        outcome(NO_HIGH, "call", 65_592.0, **terms),
    ]
    positions = [held("hyperliquid:BTC", -2.0, entry=FORWARD), held(YES, 10_000.0), held(NO_LOW, 5_000.0), held(NO_HIGH, 5_000.0)]
    usdc = [{"asset": "USDC", "total": 50_000.0}]
    pool = {"id": "main", "collateral_asset": "USDC", "cash": 180_000.0, "positions": ["hyperliquid:BTC"]}
    owner = account("cicada", positions, equity=None, balances=usdc, pools=[pool], mode="standard") | {"venue": "hyperliquid"}
    return document(rows, [owner], index={"BTC": FORWARD}) | more


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "desk.json"
    file.write_text(json.dumps(desk()))
    return str(file)


def test_the_report_values_and_stresses_them(path: str) -> None:
    found = CliRunner().invoke(cli, ["report", path, "--parameters", "house"])
    assert found.exit_code == 0, found.output
    (portfolio,) = json.loads(found.stdout)["portfolios"]
    worth = 10_000.0 * digital(FORWARD, STRIKE, 0.35, 0.5 / 365, True)
    worth += 5_000.0 * (digital(FORWARD, 63_019.0, 0.35, 0.5 / 365, False) + digital(FORWARD, 65_592.0, 0.35, 0.5 / 365, True))
    assert (portfolio["status"], portfolio["equity"]) == ("ok", pytest.approx(50_000.0 + worth, rel=1e-9))
    assert portfolio["cross"]["failures"] == []
    assert portfolio["cross"]["maintenance_margin"] == pytest.approx(0.01 * 2.0 * FORWARD)
    (unit,) = portfolio["units"]
    assert unit["contingency"]["short_option"] == 0.0
    assert {row["instrument"]: row["quantity"] for row in unit["positions"]}[YES] == 10_000.0
    assert any("the liquidity cap, no 24 h volume" in line and YES in line for line in portfolio["assumptions"])


def test_no_pool_of_the_venue_needs_them(path: str) -> None:
    (row,) = json.loads(CliRunner().invoke(cli, ["report", path]).stdout)["accounts"]
    assert (row["pool"], row["failures"]) == ("main", [])
    snapshot = parse_snapshot(desk(), "document")
    assert [spec.name for spec in pools_of(snapshot, snapshot.accounts[0]).specs] == ["main"]


def test_text_and_explanation_are_without_a_mismatch(path: str) -> None:
    assert CliRunner().invoke(cli, ["report", path, "--format", "text"]).exit_code == 0
    for name in ("uta", "house"):
        found = CliRunner().invoke(cli, ["explain", path, "--parameters", name])
        assert found.exit_code == 0, found.output
        assert "MISMATCH" not in found.output
        assert f"{YES}: outcome, 1 USDC above 64,306 on forward 65,000" in found.output
        assert f"{NO_LOW}: outcome, 1 USDC not above 63,019 on forward 65,000" in found.output
        assert "base 0.7945092522 (N(d2))" in found.output


def test_an_expired_one_is_named_among_the_assumptions(tmp_path: Path) -> None:
    file = tmp_path / "desk.json"
    file.write_text(json.dumps(desk(as_of=(NOON_S + DAY_S) * 1000)))
    (portfolio,) = json.loads(CliRunner().invoke(cli, ["report", str(file)]).stdout)["portfolios"]
    (line,) = [line for line in portfolio["assumptions"] if "expired" in line]
    assert line == f"what it pays at the forward, the outcome has expired: {', '.join(sorted([YES, NO_LOW, NO_HIGH], key=line.index))}"
    assert portfolio["equity"] == pytest.approx(50_000.0 + 10_000.0)


# -- rows of documents ------------------------------------------------------------------------------------------------------------

_MS = (NOON_S + DAY_S) * 1000
_OPTION = Instrument(
    "deribit:BTC-22NOV26-100000-P", "deribit", "BTC-22NOV26-100000-P", InstrumentKind.OPTION, "BTC", "BTC",
    expiry_ms=_MS, strike=100_000.0, option_type=OptionType.PUT, price_index="btc_usd",
)  # fmt: skip


def read(row: dict[str, Any]) -> InstrumentRow:
    return InstrumentRow.model_validate(row)


def test_a_row_of_an_option_has_its_terms() -> None:
    row = instrument_row(_OPTION, 0.0, (), forward=BTC, volatility=0.42)
    found = read(row)
    assert (found.strike, found.option_type, found.expiry_ms, found.forward, found.iv) == (100_000.0, "put", _MS, BTC, 0.42)
    assert (found.mark, found.settle, found.inverse) == (0.0, "BTC", False)


def test_what_is_unknown_of_an_option_is_null() -> None:
    row = instrument_row(_OPTION, math.nan, (), forward=math.nan)
    assert (row["mark"], row["forward"], row["iv"]) == (None, None, None)
    read(row)


def test_a_row_of_an_outcome_is_one() -> None:
    listed = replace(_OPTION, id=YES, kind=InstrumentKind.OUTCOME, settle="USDC", option_type=OptionType.CALL)
    found = read(instrument_row(listed, 0.79, (), forward=BTC, volatility=0.35))
    assert (found.kind, found.mark, found.option_type, found.forward, found.iv) == ("outcome", 0.79, "call", BTC, 0.35)


def test_rows_of_futures_and_inverse_contracts() -> None:
    future = Instrument("deribit:BTC-25DEC26", "deribit", "BTC-25DEC26", InstrumentKind.FUTURE, "BTC", "BTC", expiry_ms=_MS, inverse=True)
    found = read(instrument_row(future, 1.01 * BTC, ()))
    assert (found.inverse, found.expiry_ms, found.mark) == (True, _MS, 1.01 * BTC)
    plain = instrument_row(Instrument("v:kPEPE", "v", "kPEPE", InstrumentKind.PERPETUAL, "PEPE", "USDC", multiplier=1000.0), 0.012, ())
    assert plain["mark"] == pytest.approx(0.000012)
    assert not {"expiry", "inverse", "strike", "forward", "iv"} & plain.keys()
    assert read(instrument_row(future, 0.0, ())).mark is None
