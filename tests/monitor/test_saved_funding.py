"""What perpetuals pay next, written into a saved document and read back by the report."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from connectors.events import MarkPrices
from connectors.hyperliquid.messages import parse_contexts
from connectors.model import Instrument, InstrumentKind
from connectors.simulator.hyperliquid import AccountPlan, PositionPlan
from monitor.inspection.commands import Asked, verify_account
from monitor.report.document import margin_report
from monitor.saved_account import funding_row, funding_rows
from monitor.snapshot import InstrumentRow
from tests.connectors.hyperliquid import hyperliquid_wire as wire
from tests.monitor import saved_book
from tests.monitor.loopback_venue import standing_venue

NOON = 1_795_262_400_000
"""2026-11-21 12:00 UTC."""


def perpetual(venue: str = "hyperliquid", interval_h: float = 1.0, multiplier: float = 1.0) -> Instrument:
    name, kind = f"{venue}:X", InstrumentKind.PERPETUAL
    return Instrument(name, venue, "X", kind, "X", "USDC", multiplier=multiplier, funding_interval_h=interval_h)


@pytest.mark.parametrize(
    ("instrument", "told_ms", "expected"),
    [
        (perpetual(), 0, {"rate": 1e-5, "interval_h": 1.0, "next_time": "2026-11-21T13:00:00Z", "price": 3.0}),
        (perpetual(multiplier=1000.0), 0, {"rate": 1e-5, "interval_h": 1.0, "next_time": "2026-11-21T13:00:00Z", "price": 0.003}),
        (perpetual("aster", 4.0), NOON + 250, {"rate": 1e-5, "interval_h": 4.0, "next_time": "2026-11-21T12:00:00.250Z"}),
        (perpetual("aster", 0.0), 0, {"rate": 1e-5}),
    ],
)
def test_what_is_known_is_written_per_coin(instrument: Instrument, told_ms: int, expected: dict[str, Any]) -> None:
    row = funding_row(instrument, 1e-5, 3.0, told_ms, NOON)
    assert row == expected
    InstrumentRow.model_validate({"id": "x", "kind": "perpetual", "coin": "X", "settle": "USDC", "funding": row})


def test_an_unknown_rate_or_instrument_is_left_out() -> None:
    names = ["hyperliquid:X", "hyperliquid:Y", "hyperliquid:GONE"]
    marks = MarkPrices("hyperliquid", "rest", 0, names, [1.0] * 3, [math.nan] * 3, [0.0, math.nan, 0.1])
    listed = {name: perpetual() for name in names[:2]}
    assert funding_rows(listed, marks, NOON) == {
        "hyperliquid:X": {"funding": {"rate": 0.0, "interval_h": 1.0, "next_time": "2026-11-21T13:00:00Z"}}
    }


def test_contexts_follow_the_order_of_their_meta() -> None:
    lost = {**wire.context("1.0"), "oraclePx": None}
    meta = {"universe": [{"name": name} for name in ("xyz:A", "xyz:B", "xyz:C")]}
    told = parse_contexts([meta, [wire.context("2.5", "2.4", "-0.0002"), lost, wire.context("7.0", "7.1")]], 5)
    assert told.instruments == ["hyperliquid:xyz:A", "hyperliquid:xyz:C"]
    assert (told.marks, told.indices, told.funding) == ([2.5, 7.0], [2.4, 7.1], [-0.0002, 0.0000125])


async def test_a_saved_account_tells_its_next_funding_as_the_venue_would_pay_it(tmp_path: Path) -> None:
    held = (PositionPlan("BTC", -2.0, 10), PositionPlan("kPEPE", 5_000_000.0, 5), PositionPlan("xyz:CL", 30.0, 5))
    plan = AccountPlan(f"0x{1:040x}", "one", cash={"": 500_000.0, "xyz": 50_000.0}, positions=held)
    path = tmp_path / "saved.json"
    async with standing_venue([plan]) as server:
        await asyncio.to_thread(verify_account, Asked(plan.address, rest_url=server.rest_url), path)
        quotes = {position.coin: server.venue.market.quotes[position.coin] for position in held}
    document = json.loads(path.read_bytes())
    accounts = margin_report(*saved_book.resolved(document, "uta"))["accounts"]
    rows = {row["instrument"]: row for account in accounts for row in account["next_funding"]["positions"]}
    for position in held:
        quote = quotes[position.coin]
        expected = -position.size * quote.oracle * quote.funding
        assert rows[f"hyperliquid:{position.coin}"]["amount"] == pytest.approx(expected, rel=1e-4)
    assert all(account["next_funding"]["ratio_after"] is not None for account in accounts)
