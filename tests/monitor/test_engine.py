"""The engine: incremental equals full, rows are reused, crossings are seen, and nothing stale passes for a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.events import FailureReason, FeedState, FeedStatus
from connectors.model import Position, Wallet
from kernels import pool as kernel
from monitor import engine as engine_module
from monitor.margin.hyperliquid import VENUE
from monitor.margin.pools import Leg, PoolSpec
from monitor.margin.result import Level, PoolKind
from monitor.market import Market
from monitor.pool_arrays import PoolArrays
from tests.monitor.own_desk import ACCOUNT, OwnDesk, balance, name, position, section, tiers, wallet

SYMBOLS = ("BTC", "ETH", "HYPE", "hyna:SOL", "io:ANTH")
CUTS = (0.83, 0.85, 0.88, 0.90, 0.98, 1.0)


# -- incremental against full ------------------------------------------------------------------------------------------------------


def assert_equals_full(desk: OwnDesk) -> None:
    """Every row equals that of new arrays, written and evaluated from nothing."""
    desk.engine.evaluate()
    arrays, market = desk.engine.arrays, desk.book.market
    fresh = PoolArrays(market)
    for index, spec in arrays.specs.items():
        fresh.write(arrays.scopes[index], spec, CUTS)
    prices = kernel.Prices._make(array.copy() for array in market.prices)
    kernel.evaluate_pools(fresh.positions, fresh.collateral, market.tiers.arrays, prices, fresh.pools, fresh.margins)
    for index, scope in arrays.scopes.items():
        other = fresh.row(scope)
        status = int(arrays.margins.status[index])
        assert status == int(fresh.margins.status[other])
        assert arrays.margins.band[index] == fresh.margins.band[other]
        if status == kernel.OK:
            for field in ("equity", "maintenance", "initial", "requirement", "capacity", "raw_ratio", "ratio"):
                ours, theirs = getattr(arrays.margins, field)[index], getattr(fresh.margins, field)[other]
                assert ours == theirs, (scope, field)
                assert not math.isnan(ours)


def held(draw: st.DrawFn, dex: str) -> list[Position]:
    symbols = [symbol for symbol in SYMBOLS if symbol.rpartition(":")[0] == dex]
    rows: list[Position] = []
    for symbol in draw(st.sets(st.sampled_from(symbols))) if symbols else ():
        isolated = draw(st.sampled_from([None, None, 500.0]))
        rows.append(position(symbol, draw(st.floats(-50, 50).filter(bool)), draw(st.floats(1.0, 1e5)), isolated=isolated))
    return rows


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, Any]]:
    made: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["mark", "mark", "spot", "frame", "fill", "flow", "wallet", "read"]))
        if kind == "mark":
            values: Any = (draw(st.sampled_from(SYMBOLS)), draw(st.floats(1.0, 1e5)))
        elif kind == "spot":
            values = draw(st.floats(1.0, 100.0))
        elif kind in ("frame", "read"):
            dexs = draw(st.sets(st.sampled_from(["", "io", "hyna"]), min_size=1))
            values = [(dex, draw(st.floats(-1e5, 1e6)), held(draw, dex)) for dex in sorted(dexs)], draw(st.booleans())
        elif kind == "fill":
            values = (draw(st.sampled_from(SYMBOLS)), draw(st.floats(-20, 20).filter(bool)), draw(st.floats(1.0, 1e5)))
        elif kind == "flow":
            values = (draw(st.floats(-1e4, 1e4)), draw(st.sampled_from(["", "io", "hyna", None])))
        else:
            values = (draw(st.floats(-1e4, 1e6)), draw(st.sampled_from([None, 0.5])), draw(st.booleans()))
        made.append((kind, values))
    return made


def play(desk: OwnDesk, kind: str, values: Any, pm: bool) -> None:
    desk.now_ms += 700
    if kind == "mark":
        symbol, mark = values
        desk.marks(**{symbol.replace(":", "__"): mark})
    elif kind == "spot":
        desk.spot(HYPE=values)
    elif kind in ("frame", "read"):
        told, complete = values
        sections = [section(dex, desk.now_ms, cash, *rows) for dex, cash, rows in told]
        if kind == "frame":
            desk.sections(*sections, complete=complete)
        else:
            desk.read(told_wallet(1e5, 0.5, complete, pm), *sections)
    elif kind == "fill":
        symbol, quantity, price = values
        desk.fill(symbol, quantity, price, desk.now_ms)
    elif kind == "flow":
        amount, dex = values
        desk.flow(amount, desk.now_ms, dex=dex)
    else:
        total, share, complete = values
        desk.wallet(told_wallet(total, share, complete, pm), complete=complete)


def told_wallet(total: float, share: float | None, complete: bool, pm: bool) -> Wallet:
    rows = [balance("USDC", total, ltv=0.0 if pm else None), balance("USDE", 1e4)]
    if pm:
        rows.append(balance("HYPE", 1e3, supplied=1e3, ltv=0.65))
    available = {} if share is None else {0: total * share}
    return wallet(*rows, available=available, portfolio_margin_enabled=True if pm and complete else None)


@settings(max_examples=60)
@given(steps(), st.booleans())
def test_any_sequence_of_events_equals_a_full_evaluation(sequence: list[tuple[str, Any]], pm: bool) -> None:
    desk = OwnDesk()
    desk.marks(BTC=1e5, ETH=4e3)
    for kind, values in sequence:
        play(desk, kind, values, pm)
        if len(desk.pools()) > 1:
            assert_equals_full(desk)
    assert_equals_full(desk)
    for result in desk.pools().values():
        for number in (
            result.margin_ratio,
            result.equity,
            result.maintenance_margin,
            result.excess,
            result.raw_ratio,
            result.worst_distance,
        ):
            assert number is None or not math.isnan(number)
        assert (result.margin_ratio is None) == bool(result.failures)


# -- rows --------------------------------------------------------------------------------------------------------------------------


def spec(pool: str, *legs: Leg, cash: float = 0.0) -> PoolSpec:
    return PoolSpec(pool, PoolKind.HYPERLIQUID_CROSS, "standard", "USDC", cash, list(legs))


def test_rows_and_slots_are_reused_and_start_clean() -> None:
    market = Market()
    arrays = PoolArrays(market)
    market.seed_mark("a", 100.0, 1)
    table = tiers((0.0, 5.0))
    for turn in range(200):
        scope = ("v", "a", f"pool{turn}")
        arrays.write(scope, spec(scope[2], *(Leg("a", 1.0, 5.0, table) for _ in range(3)), cash=-290.0), CUTS)
        kernel.evaluate_pools(arrays.positions, arrays.collateral, market.tiers.arrays, market.prices, arrays.pools, arrays.margins)
        row = arrays.row(scope)
        assert row == 0
        assert arrays.margins.crossed[row], "a new pool in an old row is looked at"
        assert arrays.margins.equity[row] == pytest.approx(10.0)
        arrays.release(scope)
        assert not arrays.specs
        assert np.all(arrays.positions.pool == -1)
    assert len(arrays.positions.pool) == 64
    assert len(arrays.pools.cash) == 16
    with pytest.raises(KeyError):
        arrays.row(("v", "a", "pool1"))


def test_rewriting_a_pool_replaces_its_legs() -> None:
    market = Market()
    arrays = PoolArrays(market)
    table = tiers((0.0, 5.0))
    for mark, instrument in enumerate("abc", start=1):
        market.seed_mark(instrument, 100.0 * mark, 1)
    scope = ("v", "a", "p")
    for legs in (["a", "b", "c"], ["c"], ["a", "b"], [], ["b"]):
        arrays.write(scope, spec("p", *(Leg(leg, 1.0, 5.0, table) for leg in legs)), CUTS)
        kernel.evaluate_pools(arrays.positions, arrays.collateral, market.tiers.arrays, market.prices, arrays.pools, arrays.margins)
        assert arrays.margins.equity[0] == sum(100.0 * ("abc".index(leg) + 1) for leg in legs)
        assert int(np.sum(arrays.positions.pool >= 0)) == len(legs)


def test_growth_beyond_the_first_capacity() -> None:
    desk = OwnDesk(changed={f"C{index}": [(0.0, 5.0)] for index in range(150)})
    rows = [position(f"C{index}", 1.0, 100.0, isolated=-90.0 + index / 100) for index in range(150)]
    desk.read(wallet(), section("", 1000, 7.0, *rows))
    pools = desk.pools()
    assert len(pools) == 151
    assert all(pools[f"iso:C{index}"].equity == pytest.approx(10.0 + index / 100) for index in range(150))
    desk.marks(**{f"C{index}": 101.0 for index in range(150)})
    pools = desk.pools()
    assert all(pools[f"iso:C{index}"].equity == pytest.approx(11.0 + index / 100) for index in range(150))
    assert_equals_full(desk)
    desk.sections(section("", 2000, 7.0, *rows[:2]))
    assert set(desk.pools()) == {"iso:C0", "iso:C1", "main"}
    assert_equals_full(desk)


def test_marks_survive_growth_in_the_middle_of_a_frame() -> None:
    desk = OwnDesk()
    desk.marks(**{f"X{index}": 1.0 + index for index in range(300)})
    assert [desk.book.market.mark(name(f"X{index}")) for index in (0, 63, 64, 127, 128, 299)] == [1.0, 64.0, 65.0, 128.0, 129.0, 300.0]


# -- crossings ---------------------------------------------------------------------------------------------------------------------


def isolated() -> OwnDesk:
    """An isolated long of 1 ETH at 4,000 with margin 80 (25x)."""
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, 0.0, position("ETH", 1.0, 4_000.0, isolated=-3_800.0)))
    desk.pools()
    return desk


def test_an_evaluation_tells_the_pools_that_crossed_a_cut() -> None:
    desk = isolated()
    index = desk.engine.arrays.row((VENUE, ACCOUNT, "iso:ETH"))
    told = []
    for mark in (3_950.0, 3_894.0, 3_893.0, 3_892.0, 3_890.0, 3_887.0, 3_880.0, 3_878.5, 3_870.0, 3_000.0, 4_000.0):
        desk.marks(ETH=mark)
        told.append((mark, desk.engine.evaluate() == [index], desk.engine.result(index, desk.now_ns).level))
    ratios = [mark / 50 / (mark - 3_800.0) if mark > 3_800.0 else math.inf for mark, _, _ in told]
    bands = [sum(ratio >= cut for cut in CUTS) for ratio in ratios]
    assert [crossed for _, crossed, _ in told] == [band != before for band, before in zip(bands, [0, *bands], strict=False)]
    assert [level for *_, level in told] == [Level(sum(r >= level for level in (0.85, 0.9, 1.0))) for r in ratios]
    assert told[-2][2] is Level.LIQUIDATION
    assert set(bands) == set(range(7))


def test_to_and_from_a_failure_is_a_crossing() -> None:
    desk = isolated()
    desk.marks(ETH=math.nan)
    (index,) = desk.engine.evaluate()
    lost = desk.engine.result(index, desk.now_ns)
    assert lost.margin_ratio is None
    assert lost.failures[0].reason is FailureReason.MISSING_MARK
    assert desk.engine.evaluate() == []
    desk.marks(ETH=4_000.0)
    assert desk.engine.evaluate() == [index]
    assert desk.engine.result(index, desk.now_ns).valid


def test_an_accounts_failure_is_a_crossing() -> None:
    desk = OwnDesk()
    assert len(desk.engine.evaluate()) == 1, "not ready yet"
    desk.read(wallet(), section("", 1000, 100.0))
    assert len(desk.engine.evaluate()) == 1
    desk.mode("newMode")
    assert len(desk.engine.evaluate()) == 1
    desk.mode("default")
    assert len(desk.engine.evaluate()) == 1
    assert desk.engine.evaluate() == []


def test_every_status_of_a_row_has_its_failure() -> None:
    statuses = {kernel.MISSING_MARK, kernel.MISSING_PRICE, kernel.UNKNOWN_TIER, kernel.NOT_FINITE}
    assert set(engine_module._STATUS) == statuses


# -- results -----------------------------------------------------------------------------------------------------------------------


def feed(desk: OwnDesk, status: FeedStatus, which: str = "allDexsClearinghouseState", account: str | None = ACCOUNT) -> None:
    desk.apply(FeedState(VENUE, which, account, status, desk.now_ns, "why", 20.0))


def test_a_stale_feed_takes_the_ratio_and_keeps_the_last() -> None:
    desk = isolated()
    for which, account, reason in (
        ("allDexsClearinghouseState", ACCOUNT, FailureReason.STALE_ACCOUNT),
        ("allDexsAssetCtxs", None, FailureReason.STALE_MARK),
    ):
        feed(desk, FeedStatus.FRESH, which, account)
        fresh = desk.pool("iso:ETH")
        assert fresh.valid
        feed(desk, FeedStatus.STALE, which, account)
        stale = desk.pool("iso:ETH")
        assert stale.margin_ratio is None
        assert stale.stale
        assert stale.failures[0].reason is reason
        assert stale.last_margin_ratio == fresh.margin_ratio
        feed(desk, FeedStatus.FRESH, which, account)
        assert desk.pool("iso:ETH") == fresh


def test_infinite_ratio_is_liquidation() -> None:
    desk = isolated()
    desk.marks(ETH=3_700.0)
    pool = desk.pool("iso:ETH")
    assert pool.margin_ratio == math.inf
    assert pool.level is Level.LIQUIDATION
    assert pool.worst_distance == 0.0
    assert pool.cash_to_safety == pytest.approx(74.0 / 0.85 + 100.0)
    assert pool.reduce is None


def test_remedies_only_above_the_warning_level() -> None:
    desk = isolated()
    assert (desk.pool("iso:ETH").cash_to_safety, desk.pool("iso:ETH").reduce) == (None, None)
    desk.marks(ETH=3_885.0)
    pool = desk.pool("iso:ETH")
    assert pool.cash_to_safety == pytest.approx(3_885.0 / 50 / 0.85 - 85.0)
    assert pool.reduce is not None
    assert pool.reduce[0] == name("ETH")
    assert pool.reduce[1] == pytest.approx(-(1 - 85.0 * 0.85 / (3_885.0 / 50)))


def test_age_of_the_data() -> None:
    desk = isolated()
    desk.now_ms += 2_500
    assert desk.pool("iso:ETH").data_age_s == pytest.approx(2.5)


def test_distances_come_from_the_background_and_expire() -> None:
    desk = isolated()
    assert desk.pool("iso:ETH").worst_distance is None
    desk.engine.take_distances(desk.engine.distance_job(desk.now_ns)())
    measured = desk.pool("iso:ETH")
    assert measured.worst_distance == pytest.approx(3_800.0 / 0.98 / 4_000.0 - 1)
    assert measured.worst_instrument == name("ETH")
    assert measured.worst_liquidation_price == pytest.approx(3_800.0 / 0.98)
    desk.now_ms += engine_module.SHOWN_NS // 1_000_000
    assert desk.pool("iso:ETH").worst_distance is not None
    desk.now_ms += 1
    assert desk.pool("iso:ETH").worst_distance is None


def test_between_measurements_the_mark_moves_towards_a_price_that_stays() -> None:
    desk = isolated()
    desk.engine.take_distances(desk.engine.distance_job(desk.now_ns)())
    desk.marks(ETH=3_950.0)
    moved = desk.pool("iso:ETH")
    assert moved.worst_liquidation_price == pytest.approx(3_800.0 / 0.98)
    assert moved.worst_distance == pytest.approx(3_800.0 / 0.98 / 3_950.0 - 1)


def test_an_alerts_distance_is_measured_unless_that_was_just_done_and_nothing_was_traded() -> None:
    desk = isolated()
    row = desk.engine.arrays.row((VENUE, ACCOUNT, "iso:ETH"))
    assert desk.engine.result(row, desk.now_ns, measure=True).worst_distance == pytest.approx(3_800.0 / 0.98 / 4_000.0 - 1)
    assert desk.engine.result(row, desk.now_ns + engine_module.SHOWN_NS).worst_distance is not None, "and is shown afterwards"
    desk.fill("ETH", -0.5, 4_000.0, 2000)
    desk.pools()
    traded = desk.engine.result(row, desk.now_ns, measure=True).worst_distance
    assert traded is not None
    assert traded < -0.04, "half the position is twice as far from its end"


def test_a_measured_distance_keeps_the_instrument_it_is_of() -> None:
    desk = OwnDesk()
    rows = (position("BTC", 1.0, 100_000.0), position("ETH", 10.0, 4_000.0))
    desk.read(wallet(), section("", 1000, -110_000.0, *rows))
    desk.pools()
    desk.engine.take_distances(desk.engine.distance_job(desk.now_ns)())
    before = desk.pool("main")
    assert before.worst_instrument == name("BTC")
    desk.fill("ETH", 100.0, 4_000.0, 1001)
    after = desk.pool("main")
    assert after.worst_instrument == name("BTC")
    assert after.worst_liquidation_price == before.worst_liquidation_price


def test_results_are_in_the_order_of_their_scopes() -> None:
    desk = OwnDesk()
    rows = [position(symbol, 1.0, 100.0, isolated=0.0) for symbol in ("HYPE", "BTC", "ETH")]
    desk.read(wallet(), section("", 1000, 5.0, *rows))
    assert list(desk.pools()) == ["iso:BTC", "iso:ETH", "iso:HYPE", "main"]


def test_a_price_the_mark_has_passed_is_not_shown() -> None:
    measured = engine_module.Measured.of(0, 1, name("ETH"), 4_000.0, -0.02)
    assert measured.move_from(3_960.0) == pytest.approx(3_920.0 / 3_960.0 - 1)
    assert measured.move_from(3_900.0) is None
    assert engine_module.Measured.of(0, 1, name("ETH"), 4_000.0, math.nan).move_from(4_000.0) is None
