"""Saved accounts: what was seen live comes out of the document again, by the venue's own rule, or says what is missing."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.events import AccountSnapshot, Instruments, SpotPrices
from connectors.hyperliquid.messages import parse_section, parse_wallet
from connectors.model import Section, Wallet
from connectors.simulator.hyperliquid import ADDRESSES
from monitor.margin.hyperliquid import VENUE
from monitor.margin.result import Level, PoolKind, PoolResult
from monitor.margin.saved import account_row, saved_accounts, saved_distances
from monitor.saved_account import snapshot_document
from monitor.snapshot import parse_snapshot
from monitor.verify import SideBySide, side_by_side
from tests import parity
from tests.kernels.stress_books import number
from tests.monitor.loopback_venue import standing_venue
from tests.monitor.margin.documents import BTC, HYPE, INSTRUMENTS, account, collateral, document, held, listed, moved, parsed, pool, pools
from tests.monitor.own_desk import ACCOUNT, balance, position, reference, section, wallet
from tests.monitor.test_saved_account import taken
from tests.reference.books import Document

FIGURES = ("margin_ratio", "raw_ratio", "equity", "maintenance_margin", "excess", "cash_to_safety", "limit")


def reasons(result: PoolResult) -> list[str]:
    return sorted(str(failure.reason) for failure in result.failures)


def only(source: Document) -> PoolResult:
    (result,) = saved_accounts(parsed(source))
    return result


# -- what was saved ------------------------------------------------------------------------------------------------------------


def assert_same(saved: tuple[PoolResult, ...], seen: SideBySide) -> None:
    """Every figure of every pool as it was live, and the same word on whether the venue agrees."""
    assert {result.pool for result in saved} == {result.pool for result in seen.pools}
    live = {result.pool: result for result in seen.pools}
    for result in saved:
        theirs = live[result.pool]
        assert (result.kind, result.mode, result.asset, result.level) == (theirs.kind, theirs.mode, theirs.asset, theirs.level)
        assert (result.positions, result.reconciled) == (theirs.positions, theirs.reconciled), result.pool
        for figure in FIGURES:
            ours, then = getattr(result, figure), getattr(theirs, figure)
            assert ours == then or ours == pytest.approx(then, rel=1e-12, abs=1e-9), (result.pool, figure)
        assert (result.reduce is None) == (theirs.reduce is None)


def saved_of(source: Document) -> tuple[PoolResult, ...]:
    return saved_accounts(parse_snapshot(json.loads(orjson.dumps(source)), "saved.json"))


@pytest.mark.parametrize("name", list(ADDRESSES))
async def test_a_live_account_comes_out_as_it_was_saved(name: str) -> None:
    async with standing_venue() as server:
        source, seen = await taken(server, ADDRESSES[name])
    assert_same(saved_of(source), seen)


def test_recorded_accounts_come_out_as_they_were_saved(recordings: Path) -> None:
    held_back = parity._Recordings(recordings / "hyperliquid")
    agreed = []
    for recorded in parity.SETS:
        sections = tuple(parse_section(dex, held_back.load(name)) for dex, name in recorded.sections)
        told = parse_wallet(held_back.load(recorded.wallet), complete=True) if recorded.wallet else Wallet(())
        instruments = held_back._instruments(sections, told)
        snapshot = AccountSnapshot(VENUE, recorded.name, 0, sections, told)
        seen = side_by_side(instruments, snapshot)
        saved = saved_of(snapshot_document(instruments, snapshot, seen, 1_790_000_000_000))
        assert_same(saved, seen)
        agreed += [result.reconciled for result in saved]
    assert {True, False} <= set(agreed), "some recordings do not fit the rule, and say so live and saved"


SHORT = position("BTC", -1.0, BTC, leverage=20.0)


def seen_of(
    told: Wallet | None, *sections: Section, spot: dict[str, float] | None = None
) -> tuple[Instruments, AccountSnapshot, SideBySide]:
    instruments, snapshot = reference(), AccountSnapshot(VENUE, ACCOUNT, 1, sections, told)
    prices = None if spot is None else SpotPrices(VENUE, "rest", 0, spot)
    return instruments, snapshot, side_by_side(instruments, snapshot, spot=prices)


@pytest.mark.parametrize(
    ("told", "reported"),
    [
        (wallet(), {"equity": 9_000.0, "maintenance_margin": 1_250.0}),
        (wallet(), {"equity": 10_000.0, "maintenance_margin": 2_000.0}),
        (wallet(), {"equity": 11_000.0, "maintenance_margin": 900.0}),
        (wallet(balance("USDC", 10_000.0), available={0: 7_000.0}), {"maintenance_margin": 1_250.0}),
        (wallet(balance("USDC", 10_000.0), available={0: 8_000.0}), {"maintenance_margin": 1_900.0}),
    ],
)
def test_where_the_venue_differs_the_saved_ratio_is_the_worse_one_too(told: Wallet, reported: dict[str, float]) -> None:
    instruments, snapshot, seen = seen_of(told, section("", 1, 110_000.0, SHORT, **reported))
    saved = saved_of(snapshot_document(instruments, snapshot, seen, 1_790_000_000_000))
    assert_same(saved, seen)
    (result,) = saved
    plain = 1_250.0 / 10_000.0
    assert not result.reconciled
    if reported.get("equity") != 11_000.0:
        assert number(result.margin_ratio) > plain * 1.05


@pytest.mark.parametrize(("ratio", "is_worse"), [(0.068493150685, False), (0.2, True), (0.97, True)])
@pytest.mark.parametrize("supplied", [0.0, 100.0])
def test_where_the_venue_tells_a_worse_portfolio_ratio_so_does_the_document(ratio: float, supplied: float, *, is_worse: bool) -> None:
    counts = supplied * HYPE * 0.825
    rows = (balance("USDC", 10_000.0, ltv=0.0), balance("HYPE", supplied, supplied=supplied, ltv=0.65))
    available = {0: 10_000.0 + counts - 1_250.0}
    told = wallet(*rows, available=available, portfolio_margin_enabled=True, portfolio_margin_ratio=ratio)
    instruments, snapshot, seen = seen_of(told, section("", 1, 0.0, SHORT), spot={"HYPE": HYPE})
    saved = saved_of(snapshot_document(instruments, snapshot, seen, 1_790_000_000_000))
    assert_same(saved, seen)
    (result,) = saved
    expected = max(ratio if is_worse else 0.0, 1_250.0 / (10_000.0 + counts))
    assert result.margin_ratio == pytest.approx(expected / 0.95, rel=1e-9)
    assert result.comparisons[-1].figure == "portfolio_margin_ratio"


# -- the rule ------------------------------------------------------------------------------------------------------------------


def test_a_cross_pool_by_hand() -> None:
    source = document(
        account(
            pools=[pool("main", 300_000.0, "BTC", "ETH")],
            positions=[held("BTC", -2.0), held("ETH", 10.0)],
            reported={"maintenance_margin": 3_300.0, "main equity": 140_000.0, "elsewhere equity": 5.0},
        )
    )
    result = only(source)
    equity, maintenance = 300_000.0 - 2 * BTC + 40_000.0, 2 * BTC * 0.0125 + 40_000.0 * 0.02
    assert (result.venue, result.account, result.pool, result.kind) == ("hyperliquid", "maker", "main", PoolKind.HYPERLIQUID_CROSS)
    assert (result.equity, result.maintenance_margin) == (equity, maintenance)
    assert result.margin_ratio == pytest.approx(maintenance / equity)
    assert result.excess == pytest.approx(equity - maintenance)
    assert (result.raw_ratio, result.limit, result.level, result.positions) == (None, 1.0, Level.OK, 2)
    assert result.initial_margin is None, "a document does not tell the leverage that the account has chosen"
    assert [(c.figure, c.reported) for c in result.comparisons] == [("maintenance_margin", 3_300.0), ("equity", 140_000.0)]
    assert (result.reconciled, result.reported_difference) == (True, 0.0)
    # BTC falls or rises until 340,000 - 2 P = 0.025 P + 800
    assert result.worst_instrument == "hyperliquid:BTC"
    assert number(result.worst_liquidation_price) == pytest.approx((340_000.0 - 800.0) / 2.025, rel=1e-8)
    assert number(result.worst_distance) == pytest.approx((340_000.0 - 800.0) / 2.025 / BTC - 1, rel=1e-7)


def hedged_portfolio_margin(price: float = 83.8475, **more: Any) -> Document:
    # the venue's example 10.7: 3,000 HYPE short against 3,000 supplied, at its recorded prices
    mark = 83.856
    instruments = (listed("hyperliquid:HYPE", "HYPE", mark, 0.05, max_leverage=10),)
    lent = collateral("HYPE", 3_000.0308, price, 0.825)
    whole = pool("portfolio", -75_424.29992666 + 3_000.0 * mark, "HYPE", collateral=[lent], **more)
    return document(account(mode="portfolio_margin", pools=[whole], positions=[held("HYPE", -3_000.0)]), instruments=instruments)


def test_portfolio_margin_with_a_negative_net_as_recorded() -> None:
    result = only(hedged_portfolio_margin())
    assert result.kind is PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN
    assert result.limit == 0.95, "the venue's limit, unless the document has another"
    assert number(result.raw_ratio) == pytest.approx(0.4569824749, abs=1e-4)
    assert number(result.margin_ratio) == pytest.approx(number(result.raw_ratio) / 0.95)
    # with the 20 USDC that the venue may add, at one price for both: 806.2 P = 176,143.7 - 20
    same = only(hedged_portfolio_margin(83.856))
    assert number(same.worst_liquidation_price) == pytest.approx(176_123.7 / 806.2, abs=0.01)
    assert number(same.worst_distance) > 0
    assert only(hedged_portfolio_margin(limit=0.9)).limit == 0.9


def test_cash_or_a_reduction_each_alone_bring_a_pool_to_safety() -> None:
    source = document(account(pools=[pool("main", 106_263.0, "BTC", "ETH")], positions=[held("BTC", -1.0), held("ETH", -1.2)]))
    result = only(source)
    assert result.level is Level.CRITICAL
    richer, smaller = deepcopy(source), deepcopy(source)
    richer["accounts"][0]["pools"][0]["cash"] += number(result.cash_to_safety)
    assert only(richer).margin_ratio == pytest.approx(0.85)
    assert result.reduce is not None
    name, quantity = result.reduce
    assert name == "hyperliquid:BTC"
    row = account_row(result)
    assert (row["cash_to_safety"], row["reduce"]) == (result.cash_to_safety, {"instrument": name, "quantity": quantity})
    smaller["accounts"][0]["positions"][0]["quantity"] += quantity
    smaller["accounts"][0]["pools"][0]["cash"] -= quantity * BTC
    assert only(smaller).margin_ratio == pytest.approx(0.85)
    safe = only(document(account(pools=[pool("main", 300_000.0, "BTC")], positions=[held("BTC", -1.0)])))
    assert (safe.cash_to_safety, safe.reduce) == (None, None)


@pytest.mark.parametrize("cash", [-2e5, -1e5])
def test_a_pool_without_equity_is_liquidated(cash: float) -> None:
    result = only(document(account(pools=[pool("main", cash, "BTC")], positions=[held("BTC", 1.0)])))
    assert (result.margin_ratio, result.level, result.worst_distance) == (math.inf, Level.LIQUIDATION, 0.0)


def test_an_empty_pool() -> None:
    result = only(document(account(pools=[pool("main", 5.0)])))
    assert (result.margin_ratio, result.maintenance_margin, result.initial_margin, result.worst_distance) == (0.0, 0.0, 0.0, None)


def test_every_pool_of_every_account_by_itself() -> None:
    first = account(
        "one", pools=[pool("main", 150_000.0, "BTC"), pool("iso:ETH", -30_000.0, "ETH")], positions=[held("BTC", -1.0), held("ETH", 10.0)]
    )
    second = account("two", "unified", pools=[pool("USDC", 5_000.0)])
    results = saved_accounts(parsed(document(second, first)))
    assert [(result.account, result.pool) for result in results] == [("one", "iso:ETH"), ("one", "main"), ("two", "USDC")]
    assert [result.kind for result in results[:2]] == [PoolKind.HYPERLIQUID_ISOLATED, PoolKind.HYPERLIQUID_CROSS]
    assert [result.equity for result in results] == [10_000.0, 50_000.0, 5_000.0]


def test_both_sides_of_hedge_mode_need_margin_each() -> None:
    sides = [held("BTC", 2.0, side="long"), held("BTC", -3.0, side="short")]
    result = only(document(account(pools=[pool("main", 200_000.0, "BTC")], positions=sides)))
    assert (result.maintenance_margin, result.equity, result.positions) == (5 * BTC * 0.0125, 100_000.0, 2)


def test_accounts_saved_at_other_prices_keep_their_own() -> None:
    def saved(name: str, price: float) -> Document:
        return account(name, "portfolio_margin", pools=[pool("portfolio", 0.0, collateral=[collateral("HYPE", 10.0, price, 0.8)])])

    results = saved_accounts(parsed(document(saved("one", 80.0), saved("two", 70.0))))
    assert [result.equity for result in results] == pytest.approx([640.0, 560.0])


def test_one_asset_in_two_rows_of_a_pool() -> None:
    rows = [collateral("HYPE", 10.0, 80.0, 0.8), collateral("HYPE", 5.0, 70.0, 0.5)]
    result = only(document(account(mode="portfolio_margin", pools=[pool("portfolio", 0.0, collateral=rows)])))
    assert result.equity == pytest.approx(640.0 + 175.0)


@pytest.mark.parametrize("mode", ["unified", "unifiedAccount", "standard", "default", None])
def test_a_plain_pool_has_one_rule_in_every_mode_but_portfolio_margin(mode: str | None) -> None:
    result = only(document(account(mode=mode, pools=[pool("USDC", 150_000.0, "BTC")], positions=[held("BTC", -1.0)])))
    assert (result.margin_ratio, result.mode) == (1_250.0 / 50_000.0, mode or "unknown")


def test_an_instrument_may_have_any_id() -> None:
    row = account(pools=[pool("main", 150_000.0, positions=["own"])], positions=[{"instrument": "own", "quantity": -1.0}])
    result = only(document(row, instruments=(listed("own", "BTC", BTC),)))
    assert (result.margin_ratio, result.worst_instrument) == (1_250.0 / 50_000.0, "own")
    assert number(result.worst_liquidation_price) == pytest.approx(150_000.0 / 1.0125, rel=1e-7)


def test_an_account_without_pools_is_not_listed() -> None:
    assert saved_accounts(parsed(document(account(equity=1e6, positions=[held("BTC", 1.0)])))) == ()


# -- what is missing -----------------------------------------------------------------------------------------------------------


def test_another_venue_has_no_rule_in_this_version() -> None:
    source = document(account(venue="elsewhere", mode=None, pools=[pool("USDT", 2e5, asset="USDT")]))
    result = only(source)
    assert (reasons(result), result.margin_ratio) == (["UNSUPPORTED_MODE"], None)
    assert "elsewhere" in result.failures[0].detail


@pytest.mark.parametrize(
    ("mode", "more", "named"),
    [
        ("crossEverything", {}, "crossEverything"),
        (None, {"limit": 0.95}, "limit"),
        (None, {"collateral": [collateral("HYPE", 1.0, 80.0, 0.8)]}, "collateral"),
    ],
)
def test_a_mode_that_is_not_known(mode: str | None, more: Document, named: str) -> None:
    result = only(document(account(mode=mode, pools=[pool("USDC", 1e5, "BTC", **more)], positions=[held("BTC", -0.1)])))
    assert reasons(result) == ["UNSUPPORTED_MODE"]
    assert named in result.failures[0].detail
    assert "portfolio_margin" in result.failures[0].detail, "the remedy"


@pytest.mark.parametrize(
    ("instrument", "expected", "why"),
    [
        (listed("hyperliquid:BTC", "BTC", None), "MISSING_MARK", "no mark"),
        (listed("hyperliquid:BTC", "BTC", BTC, tiers=[]), "UNKNOWN_TIER", "no tiers"),
        (listed("hyperliquid:BTC", "BTC", BTC, inverse=True), "UNSUPPORTED_MODE", "an inverse contract"),
        (listed("hyperliquid:BTC", "BTC", BTC, settle="USDT"), "UNSUPPORTED_MODE", "settles in USDT"),
        (
            {"id": "hyperliquid:BTC", "kind": "option", "coin": "BTC", "settle": "USDC", "mark": 5_000.0, "strike": 1e5}
            | {"option_type": "call", "expiry": "2026-12-25T08:00:00Z"},
            "UNSUPPORTED_MODE",
            "an option",
        ),
    ],
)
def test_a_position_that_the_rule_cannot_take(instrument: Document, expected: str, why: str) -> None:
    whole = account(pools=[pool("main", 2e5, "BTC"), pool("xyz", 1e4)], positions=[held("BTC", -1.0)])
    found = pools(document(whole, instruments=(instrument, *INSTRUMENTS[1:])))
    assert reasons(found["main"]) == [expected]
    assert "hyperliquid:BTC" in found["main"].failures[0].detail
    assert why in found["main"].failures[0].detail
    assert (found["main"].margin_ratio, found["main"].equity, found["main"].worst_distance) == (None, None, None)
    assert found["xyz"].margin_ratio == 0.0, "the other pool is not touched"


@pytest.mark.parametrize("price", [None, 0.0])
def test_collateral_without_a_price(price: float | None) -> None:
    rows = [collateral("HYPE", 10.0, price, 0.8), collateral("DUST", 0.0, None, 0.5)]
    result = only(document(account(mode="portfolio_margin", pools=[pool("portfolio", 1e4, collateral=rows)])))
    assert reasons(result) == ["MISSING_PRICE"]
    assert "HYPE" in result.failures[0].detail


def test_a_pool_that_names_what_the_account_does_not_hold() -> None:
    result = only(document(account(pools=[pool("main", 1e5, "BTC")])))
    assert reasons(result) == ["UNKNOWN_INSTRUMENT"]
    closed = only(document(account(pools=[pool("main", 1e5, "BTC")], positions=[held("BTC", 0.0)])))
    assert (closed.margin_ratio, closed.positions) == (0.0, 0), "held and closed"


def test_a_position_in_two_pools() -> None:
    found = pools(document(account(pools=[pool("main", 1e5, "BTC"), pool("iso:BTC", 1e5, "BTC")], positions=[held("BTC", 1.0)])))
    assert {name: reasons(result) for name, result in found.items()} == {"main": ["UNSUPPORTED_MODE"], "iso:BTC": ["UNSUPPORTED_MODE"]}


def test_a_position_in_no_pool_is_not_passed_over() -> None:
    source = document(account(pools=[pool("main", 2e5, "BTC")], positions=[held("BTC", -1.0), held("ETH", 1.0), held("HYPE", 0.0)]))
    found = pools(source)
    assert found["main"].margin_ratio == 1_250.0 / 1e5
    (failed,) = [result for name, result in found.items() if name != "main"]
    assert failed.margin_ratio is None
    assert "hyperliquid:ETH" in failed.failures[0].detail
    assert "HYPE" not in failed.failures[0].detail


# -- rows and distances --------------------------------------------------------------------------------------------------------


def test_a_row_of_the_report() -> None:
    source = document(
        account(
            mode="portfolio_margin",
            pools=[pool("portfolio", 105_500.0, "BTC", limit=0.95)],
            positions=[held("BTC", -1.0)],
            reported={"portfolio maintenance_margin": 1_251.0},
        )
    )
    result = only(source)
    row = account_row(result, saved_distances(parsed(source))[result.scope])
    assert {key: row[key] for key in ("id", "venue", "pool", "method", "status", "mode", "asset", "level", "limit")} == {
        "id": "maker", "venue": "hyperliquid", "pool": "portfolio", "method": "hyperliquid", "status": "ok",
        "mode": "portfolio_margin", "asset": "USDC", "level": "ok", "limit": 0.95,
    }  # fmt: skip
    # the venue says one dollar more, and the worse of the two counts
    assert row["margin_ratio"] == pytest.approx(1_251.0 / 5_500.0 / 0.95)
    assert row["raw_ratio"] == pytest.approx(1_250.0 / 5_500.0)
    assert (row["equity"], row["maintenance_margin"], row["failures"]) == (5_500.0, 1_250.0, [])
    assert row["reported"] == {"maintenance_margin": 1_251.0}
    assert row["reported_difference"] == pytest.approx(1 / 1_251.0)
    assert row["liquidation"]["instrument"] == "hyperliquid:BTC"
    assert row["liquidation"]["move"] == pytest.approx(row["distance"]["BTC"]["1.0"]["up"])
    assert row["distance"]["all"]["0.85"]["down"] is None
    assert set(row["distance"]) == {"all", "BTC"}
    assert account_row(result)["distance"] == {}


def test_a_row_without_a_value() -> None:
    row = account_row(only(document(account(pools=[pool("main", 1e5, "BTC")]))))
    assert (row["status"], row["margin_ratio"], row["level"], row["liquidation"]) == ("failed", None, None, None)
    assert row["failures"][0]["reason"] == "UNKNOWN_INSTRUMENT"
    assert row["reported_difference"] is None


LENT = [collateral("UBTC", 0.5, BTC, 0.75), collateral("HYPE", 100.0, HYPE, 0.825)]
MIXED = document(
    account(
        mode="portfolio_margin",
        pools=[pool("portfolio", 110_000.0, "BTC", "ETH", collateral=LENT)],
        positions=[held("BTC", -2.0), held("ETH", 40.0)],
    ),
    beta={"ETH": 0.5, "HYPE": 0.8},
)


@pytest.mark.parametrize("coin", ["BTC", "ETH", "HYPE", "all"])
@pytest.mark.parametrize("target", [0.85, 0.90, 1.0])
def test_at_its_distance_a_pool_has_the_ratio(coin: str, target: float) -> None:
    (distances,) = saved_distances(parsed(MIXED)).values()
    betas = {"BTC": 1.0, "ETH": 0.5, "HYPE": 0.8}
    found = [move for move in distances[coin][target] if move is not None]
    assert found or coin == "HYPE", "a hundred HYPE cannot bring it there"
    for move in found:
        factors = {name: 1 + move * beta for name, beta in betas.items()} if coin == "all" else {coin: 1 + move}
        there = only(moved(MIXED, factors))
        assert number(there.margin_ratio) == pytest.approx(target, rel=1e-6)


def test_the_coins_of_a_pool_are_those_of_its_positions_and_collateral() -> None:
    (distances,) = saved_distances(parsed(MIXED)).values()
    assert set(distances) == {"all", "BTC", "ETH", "HYPE"}, "UBTC is BTC"
    failed = document(account(pools=[pool("main", 1e5, "BTC")]))
    assert list(saved_distances(parsed(failed)).values()) == [{}]
