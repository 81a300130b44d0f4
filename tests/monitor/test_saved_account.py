"""The snapshot document: in coins, in the documented shape, and enough to compute the same figures again."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import orjson
import pytest

from connectors.clock import SystemClock
from connectors.events import AccountSnapshot, BorrowReserves, SpotPrices
from connectors.simulator.hyperliquid import ADDRESSES, AccountPlan, HyperliquidServer, PositionPlan
from monitor.inspection.commands import Asked, settings_of
from monitor.margin.hyperliquid import VENUE
from monitor.saved_account import missing_for_portfolio, snapshot_document
from monitor.snapshot import parse_snapshot
from monitor.venues import Transports, hyperliquid_budget, hyperliquid_rest
from monitor.verify import Row, SideBySide, side_by_side
from tests.monitor.loopback_venue import standing_venue

KEYS = {
    "": {"version", "as_of", "parameters", "index", "instruments", "accounts"},
    "instruments": {"id", "kind", "coin", "settle", "mark", "tiers", "max_leverage"},
    "accounts": {"id", "venue", "mode", "pools", "reported", "balances", "debts", "positions"},
    "pools": {"id", "collateral_asset", "cash", "limit", "collateral", "positions"},
    "collateral": {"asset", "amount", "price", "ratio"},
    "balances": {"asset", "total", "collateral_ratio"},
    "debts": {"asset", "amount"},
    "positions": {"instrument", "quantity", "entry"},
}
"""Keys of the documented shape that this document may use; "" is the document itself."""


async def taken(server: HyperliquidServer, address: str) -> tuple[dict[str, Any], SideBySide]:
    """The document of an account as read now, through JSON, and what it was made from."""
    settings = settings_of(Asked(address, rest_url=server.rest_url))
    transports, clock = Transports.real(), SystemClock()
    try:
        rest = hyperliquid_rest(settings, transports, hyperliquid_budget(settings, clock), clock)
        reference = await rest.load_reference()
        reserves = await rest.all_borrow_lend_reserve_states(reference)
        sections = tuple([await rest.clearinghouse_state(address, dex) for dex in reference.dexs])
        snapshot = AccountSnapshot(VENUE, "account", 0, sections, await rest.spot_clearinghouse_state(address))
    finally:
        await transports.close()
    prices = SpotPrices(VENUE, "rest", 0, {reserve.asset: reserve.oracle_price for reserve in reserves})
    instruments = reference.event(0)
    seen = side_by_side(instruments, snapshot, reserves=BorrowReserves(VENUE, 0, reserves), spot=prices)
    lending = BorrowReserves(VENUE, 0, reserves)
    return json.loads(orjson.dumps(snapshot_document(instruments, snapshot, seen, 1_790_000_000_000, lending))), seen


def assert_shape(value: Any, kind: str = "") -> None:
    assert value.keys() <= KEYS[kind], kind
    for key, below in value.items():
        if isinstance(below, list) and below and isinstance(below[0], dict):
            for one in below:
                assert_shape(one, key)


def recomputed(document: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """(equity, maintenance margin) of every pool, from the document alone."""
    instruments = {one["id"]: one for one in document["instruments"]}
    (account,) = document["accounts"]
    quantities = {one["instrument"]: one["quantity"] for one in account["positions"]}
    figures = {}
    for pool in account["pools"]:
        equity, maintenance = pool["cash"], 0.0
        for name in pool["positions"]:
            notional = quantities[name] * instruments[name]["mark"]
            equity += notional
            rows = [row for row in instruments[name]["tiers"] if row[0] <= abs(notional)]
            maintenance += abs(notional) * rows[-1][1] - rows[-1][2]
        figures[pool["id"]] = (equity, maintenance)
    return figures


@pytest.mark.parametrize("name", list(ADDRESSES))
async def test_the_document_has_the_documented_shape_and_gives_the_same_figures(name: str) -> None:
    async with standing_venue() as server:
        document, seen = await taken(server, ADDRESSES[name])
        theirs = server.venue.figures(ADDRESSES[name])
    assert_shape(document)
    assert document["as_of"] == "2026-09-21T14:13:20Z"
    computed = recomputed(document)
    assert computed.keys() == theirs.keys()
    for result in seen.pools:
        equity, maintenance = computed[result.pool]
        if result.mode != "portfolio_margin":
            assert maintenance == pytest.approx(result.maintenance_margin, rel=1e-9)
        if not next(pool for pool in document["accounts"][0]["pools"] if pool["id"] == result.pool)["collateral"]:
            assert equity == pytest.approx(result.equity, rel=1e-9)
            assert equity == pytest.approx(theirs[result.pool].equity, rel=1e-6)


async def test_a_contract_of_a_thousand_coins_is_written_in_coins() -> None:
    plan = AccountPlan(f"0x{1:040x}", "pepe", cash={"": 1_000_000.0}, positions=(PositionPlan("kPEPE", -5_000_000.0, 10, entry=0.0101),))
    async with standing_venue([plan]) as server:
        document, _ = await taken(server, plan.address)
        mark = server.venue.market.mark("kPEPE")
    (instrument,) = document["instruments"]
    (position,) = document["accounts"][0]["positions"]
    assert (instrument["id"], instrument["coin"], instrument["settle"]) == ("hyperliquid:kPEPE", "PEPE", "USDC")
    assert instrument["mark"] == pytest.approx(mark / 1000)
    assert position["quantity"] == pytest.approx(-5e9)
    assert position["entry"] == pytest.approx(0.0101 / 1000)
    assert position["quantity"] * instrument["mark"] == pytest.approx(-5e6 * mark)


async def test_the_margin_tables_are_those_in_force_for_the_account() -> None:
    more: dict[str, Any] = {"cash": {"": 1_000_000.0}, "positions": (PositionPlan("DOGE", 100_000.0, 10),)}
    plain, vault = AccountPlan(f"0x{1:040x}", "plain", **more), AccountPlan(f"0x{2:040x}", "vault", protocol_vault=True, **more)
    async with standing_venue([plain, vault]) as server:
        tables = [(await taken(server, plan.address))[0]["instruments"][0] for plan in (plain, vault)]
    assert [table["tiers"] for table in tables] == [[[0, 0.05, 0], [20e6, 0.1, 1e6]], [[0, 0.01, 0]]]
    assert [table["max_leverage"] for table in tables] == [10, 50]


async def test_what_the_venue_reported_stands_beside_it() -> None:
    async with standing_venue() as server:
        document, seen = await taken(server, ADDRESSES["atlas"])
        theirs = server.venue.figures(ADDRESSES["atlas"])["main"]
    reported = document["accounts"][0]["reported"]
    assert reported["main maintenance_margin"] == pytest.approx(theirs.maintenance, rel=1e-6)
    assert reported["main equity"] == pytest.approx(theirs.equity, rel=1e-6)
    assert len(reported) == len(seen.rows)


async def test_a_pooled_account_has_its_balances_and_debts() -> None:
    async with standing_venue() as server:
        document, _ = await taken(server, ADDRESSES["delphi"])
    (account,) = document["accounts"]
    assert account["mode"] == "portfolio_margin"
    assert {row["asset"] for row in account["balances"]} == {"HYPE", "BTC", "USDC"}, "by coin, not by the venue's name"
    assert [row["asset"] for row in account["debts"]] == ["USDC"]
    assert account["debts"][0]["amount"] > 1e6
    (pool,) = account["pools"]
    assert pool["limit"] == 0.95
    assert {row["asset"] for row in pool["collateral"]} == {"HYPE", "UBTC"}, "as the venue's own rule names it"
    assert all(row["price"] > 0 and 0 < row["ratio"] < 1 for row in pool["collateral"])


@pytest.mark.parametrize("name", list(ADDRESSES))
async def test_the_document_is_read_back_as_it_was_written(name: str) -> None:
    async with standing_venue() as server:
        document, _ = await taken(server, ADDRESSES[name])
    snapshot = parse_snapshot(document, "saved.json")
    (written,), (account,) = document["accounts"], snapshot.accounts
    assert snapshot.as_of_ms == 1_790_000_000_000
    assert [(row.id, row.mark, row.coin) for row in snapshot.instruments] == [
        (r["id"], r["mark"], r["coin"]) for r in document["instruments"]
    ]
    assert [[list(tier) for tier in row.tiers] for row in snapshot.instruments] == [row["tiers"] for row in document["instruments"]]
    assert [(row.instrument, row.quantity) for row in account.positions] == [(r["instrument"], r["quantity"]) for r in written["positions"]]
    assert [(row.id, row.cash, list(row.positions)) for row in account.pools] == [
        (r["id"], r["cash"], r["positions"]) for r in written["pools"]
    ]
    assert account.reported == written["reported"]
    assert [(row.asset, row.total) for row in account.balances] == [(row["asset"], row["total"]) for row in written["balances"]]


async def test_the_index_is_what_the_venue_lends_at_and_nothing_is_invented() -> None:
    async with standing_venue() as server:
        document, _ = await taken(server, ADDRESSES["delphi"])
    assert "fx" not in document
    held = {row["coin"] for row in document["instruments"]}
    assert document["index"].keys() >= {"HYPE", "BTC"}
    assert "USDC" not in document["index"]
    collateral = {row["asset"]: row["price"] for row in document["accounts"][0]["pools"][0]["collateral"]}
    assert document["index"]["HYPE"] == pytest.approx(collateral["HYPE"], rel=0.01)
    assert document["index"]["BTC"] == pytest.approx(collateral["UBTC"], rel=0.01)
    others = [f"index.{coin}" for coin in sorted(held - document["index"].keys())]
    assert missing_for_portfolio(document) == ("fx.USDC", *others, "accounts[0].equity")


async def test_figures_that_are_no_numbers_are_written_as_unknown() -> None:
    plan = AccountPlan(f"0x{1:040x}", "one", cash={"": 1e6}, positions=(PositionPlan("DOGE", 100.0, 10),))
    async with standing_venue([plan]) as server:
        settings = settings_of(Asked(plan.address, rest_url=server.rest_url))
        transports, clock = Transports.real(), SystemClock()
        try:
            rest = hyperliquid_rest(settings, transports, hyperliquid_budget(settings, clock), clock)
            reference = await rest.load_reference()
            section = await rest.clearinghouse_state(plan.address)
        finally:
            await transports.close()
    instruments = reference.event(0)
    (held,) = section.positions
    unknown = replace(section, positions=(replace(held, mark=0.0), replace(held, instrument="hyperliquid:GONE")))
    seen = side_by_side(instruments, AccountSnapshot(VENUE, "account", 0, (section,), None))
    told = replace(seen, rows=(Row("main", "equity", 1e6, math.nan, "cash, positions", 1),))
    document = snapshot_document(instruments, AccountSnapshot(VENUE, "account", 0, (unknown,), None), told, 1_790_000_000_000)
    snapshot = parse_snapshot(document, "saved.json")
    assert [row.mark for row in snapshot.instruments] == [None]
    assert [row.instrument for row in snapshot.accounts[0].positions] == ["hyperliquid:DOGE"]
    assert snapshot.accounts[0].reported == {"main equity": None}
    assert (document["index"], snapshot.accounts[0].balances) == ({}, ())
