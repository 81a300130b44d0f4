"""Aster in multi-assets mode: example D, the anchor on the venue's total and what moves it, ratios that are not known, the model error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.events import FailureReason, Source
from connectors.model import FuturesRead, Position
from monitor.margin.aster import AsterRules
from monitor.margin.result import PoolKind
from tests.monitor.aster_desk import (
    INDEX,
    LONG,
    RATIOS,
    SHORT,
    AsterDesk,
    maintenance,
    name,
    position,
    profit,
    read,
    reference,
    worth,
)

POOL = "multi-assets"
BTC_LONG = position("BTCUSDT", 10.0, 60_500.0, 60_000.0)
HELD = {"BTC": 0.5, "ASBNB": 10.0, "USDT": -2_000.0}


def told(
    balances: Mapping[str, float], *held: Position, ratios: Mapping[str, float] = RATIOS, index: Mapping[str, float] = INDEX, **more: float
) -> FuturesRead:
    """A read of an account whose collateral the venue values by `ratios`; `began_ms` and `extra` (USD in the total) by name."""
    total = worth({a: x for a, x in balances.items() if a in index}, ratios, index) + sum(map(profit, held)) + more.get("extra", 0.0)
    return read(balances, held, total=total, began_ms=int(more.get("began_ms", 1)))


def example_d() -> AsterDesk:
    desk = AsterDesk()
    desk.take(told(HELD, BTC_LONG), multi=True)
    return desk


def test_example_d() -> None:
    desk = example_d()
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.kind, pool.mode, pool.asset, pool.positions) == (POOL, PoolKind.ASTER_MULTI_ASSETS, "multi_assets", "USD", 1)
    assert pool.equity == pytest.approx(28_500.0 + 6_650.0 - 2_000.0 - 5_000.0)
    # the margin of the notes, 9,000, of a position whose table gives it
    nine = replace(pool, maintenance_margin=9_000.0)
    assert (nine.maintenance_margin or 0.0) / (pool.equity or 1.0) == pytest.approx(0.3197, abs=5e-5)
    assert pool.maintenance_margin == pytest.approx(600_000.0 * 0.005 - 50.0)
    assert pool.margin_ratio == pytest.approx(2_950.0 / 28_150.0)
    assert pool.reconciled is True
    assert pool.model_error == pytest.approx(0.0, abs=1e-12)
    legs = {leg.asset: (leg.amount, leg.ratio) for leg in desk.specs()[POOL].collateral}
    assert legs == {"BTC": (0.5, 0.95), "ASBNB": (10.0, 0.95), "USDT": (-2_000.0, 1.0)}


def test_equity_falls_with_the_index_of_the_collateral() -> None:
    desk = example_d()
    desk.index(BTC=54_000.0)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 - 0.5 * 0.95 * 6_000.0 - 10.0 * 6_000.0)
    desk.index(BTC=60_000.0, BNB=630.0)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 - 10.0 * 0.95 * 70.0), "asBNB goes with BNB"
    desk.marks(BNBUSDT=500.0)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 - 10.0 * 0.95 * 70.0), "by the index, not by the mark"


def test_distance_moves_the_collateral_with_its_coin() -> None:
    desk = example_d()
    desk.engine.evaluate()
    ours = desk.engine.result(desk.book.arrays.row(("aster", "maker", POOL)), desk.now_ns, measure=True)
    assert ours.worst_instrument == name("BTCUSDT")
    price = ours.worst_liquidation_price
    assert price is not None
    # 28,150 less what collateral and position lose is what the position needs
    lost = (60_000.0 - price) * (10.0 + 0.5 * 0.95)
    assert 28_150.0 - lost == pytest.approx(maintenance(BTC_LONG, price), rel=1e-6)


def test_a_stablecoin_at_par_does_not_move_with_a_contract_on_it() -> None:
    desk = AsterDesk()
    tether = replace(reference().instruments[0], id=name("USDTUSD1"), symbol="USDTUSD1", coin="USDT", settle="USD1", section="USD1")
    desk.book.apply(replace(reference(), instruments=(*reference().instruments, tether)))
    held = Position(name("USDTUSD1"), 1_000.0, 1.0, entry=1.0, leverage=10.0)
    balances = {"USDT": 100.0}
    desk.take(read(balances, [], total=100.0), multi=True)
    desk.push(positions=[held])
    desk.engine.evaluate()
    index = desk.book.arrays.row(("aster", "maker", POOL))
    down, _ = desk.engine.moves(index, 1.0, "USDT")
    # only the contract loses: 99.99 + residual is 100 at the read
    assert 100.0 + 1_000.0 * down == pytest.approx(4.0 * (1 + down), abs=1e-5)


# -- the anchor ----------------------------------------------------------------------------------------------------------------


def test_the_level_is_the_venues_also_where_our_ratios_are_wrong() -> None:
    desk = AsterDesk()
    desk.take(told(HELD, BTC_LONG, ratios={**RATIOS, "BTC": 0.5}), multi=True)
    pool = desk.pool(POOL)
    assert pool.equity == pytest.approx(28_150.0 - 0.45 * 30_000.0)
    assert pool.model_error == pytest.approx(13_500.0 / 14_650.0)
    assert pool.reconciled is False
    desk.index(BTC=54_000.0)
    assert desk.pool(POOL).equity == pytest.approx(14_650.0 - 0.5 * 0.95 * 6_000.0 - 60_000.0), "moved by the configured ratio"


MOVES = st.floats(0.5, 1.5)
AMOUNTS = st.floats(-5.0, 5.0)


@given(
    st.fixed_dictionaries({asset: MOVES for asset in ("BTC", "ETH", "BNB")}),
    st.fixed_dictionaries({asset: AMOUNTS for asset in ("BTC", "ETH", "ASBNB")}),
    st.floats(-1e5, 1e5),
    st.floats(-20.0, 20.0),
    st.floats(0.5, 1.5),
    st.floats(-1e4, 1e4),
    st.floats(1.0, 1.2),
)
def test_between_reads_equity_is_the_venues_total_and_what_moved_since(
    moves: dict[str, float], amounts: dict[str, float], cash: float, size: float, mark_move: float, extra: float, ask: float
) -> None:
    desk = AsterDesk(AsterRules(RATIOS, ask_factor=ask))
    before = {"BTC": 0.5, "ASBNB": 10.0, "USDT": 20_000.0}
    read_then = told(before, BTC_LONG, extra=extra)
    desk.take(read_then, multi=True)
    after = {**before, **amounts, "USDT": cash}
    held = replace(BTC_LONG, quantity=size, entry=61_000.0) if size else None
    now = {**INDEX, **{coin: INDEX[coin] * move for coin, move in moves.items()}, "ASBNB": INDEX["BNB"] * moves["BNB"]}
    desk.push(after, [held] if held else [])
    desk.index(**{coin: now[coin] for coin in moves})
    desk.marks(BTCUSDT=60_000.0 * mark_move)
    pool = desk.pool(POOL)
    expected = read_then.total_margin_balance + worth(after, RATIOS, now, ask) - worth(before, RATIOS)
    expected += (profit(held, 60_000.0 * mark_move) if held else 0.0) - profit(BTC_LONG)
    assert pool.equity == pytest.approx(expected, rel=1e-9, abs=1e-5)


def test_a_push_that_was_in_no_read_yet_counts_on_top_of_it() -> None:
    desk = AsterDesk()
    first = told(HELD, BTC_LONG)
    desk.take(first, multi=True)
    desk.push({"USDT": 3_000.0})
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 + 2_000.0 + 3_000.0 * 0.9999)
    # a read that began before it: the merged state keeps the push
    desk.push(read=told(HELD, BTC_LONG, began_ms=2), source=Source.POLL)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 + 2_000.0 + 3_000.0 * 0.9999)


def test_a_negative_balance_counts_by_the_ask_factor() -> None:
    desk = AsterDesk(AsterRules(RATIOS, ask_factor=1.02))
    desk.take(told(HELD, BTC_LONG), multi=True)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0), "anchored"
    assert desk.pool(POOL).model_error == pytest.approx(40.0 / 28_150.0)
    desk.push({"USDT": -3_000.0})
    assert desk.pool(POOL).equity == pytest.approx(28_150.0 - 1_020.0)


def test_hedge_legs_in_multi_assets_mode() -> None:
    desk = AsterDesk()
    legs = [position("BTCUSDT", 2.0, 60_000.0, 60_000.0, side=LONG), position("BTCUSDT", -1.0, 60_000.0, 60_000.0, side=SHORT)]
    desk.take(told({"BTC": 0.5}, *legs), multi=True, hedge=True)
    pool = desk.pool(POOL)
    assert pool.maintenance_margin == pytest.approx(120_000.0 * 0.005 - 50.0 + 60_000.0 * 0.005 - 50.0)
    price = desk.liquidation(POOL, "BTCUSDT", LONG)
    assert price == desk.liquidation(POOL, "BTCUSDT", SHORT)
    assert 28_500.0 + (price - 60_000.0) == pytest.approx(sum(maintenance(leg, price) for leg in legs))


def test_usd1_profit_counts_at_par() -> None:
    desk = AsterDesk()
    desk.take(told({"USDT": 5_000.0}, position("XAUUSD1", 2.0, 4_000.0, 4_000.0)), multi=True)
    desk.marks(XAUUSD1=4_100.0)
    assert desk.pool(POOL).equity == pytest.approx(5_000.0 * 0.9999 + 200.0)


def test_an_empty_account() -> None:
    desk = AsterDesk()
    desk.take(told({"USDT": 0.0}), multi=True)
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.equity, pool.margin_ratio, pool.model_error) == (POOL, 0.0, 0.0, 0.0)


def test_an_isolated_position_would_stand_alone_here_too() -> None:
    desk = AsterDesk()
    apart = position("ETHUSDT", 1.0, 3_000.0, 3_000.0, isolated=300.0)
    desk.take(told({"USDT": 1_000.0}), multi=True)
    desk.push(positions=[apart])
    assert set(desk.pools()) == {POOL, "iso:ETHUSDT"}


# -- ratios that nobody configured ---------------------------------------------------------------------------------------------


def test_one_unknown_ratio_is_implied_by_the_read() -> None:
    desk = AsterDesk()
    desk.take(told({"SOL": 100.0, "USDT": 1_000.0}, ratios={**RATIOS, "SOL": 0.7}), multi=True)
    pool = desk.pool(POOL)
    assert pool.equity == pytest.approx(100.0 * 150.0 * 0.7 + 999.9)
    assert (pool.model_error, pool.reconciled) == (None, True), "nothing to compare with before a ratio was known; margins agree"
    desk.index(SOL=120.0)
    assert desk.pool(POOL).equity == pytest.approx(100.0 * 120.0 * 0.7 + 999.9)
    # the next read is compared with what the last implied
    now = {**INDEX, "SOL": 120.0}
    desk.take(told({"SOL": 100.0, "USDT": 1_000.0}, ratios={**RATIOS, "SOL": 0.6}, index=now, began_ms=2), multi=True)
    pool = desk.pool(POOL)
    assert pool.model_error == pytest.approx(1_200.0 / (100.0 * 120.0 * 0.6 + 999.9))
    assert pool.reconciled is False
    assert "0.6 for SOL" in pool.remedy
    desk.take(told({"SOL": 100.0, "USDT": 1_000.0}, ratios={**RATIOS, "SOL": 0.6}, index=now, began_ms=3), multi=True)
    assert (desk.pool(POOL).reconciled, desk.pool(POOL).remedy) == (True, "")


def test_several_unknown_ratios_share_one() -> None:
    desk = AsterDesk(AsterRules({"USDT": 1.0}))
    desk.take(told({"BTC": 0.1, "ETH": 2.0}, ratios={"BTC": 0.9, "ETH": 0.6}), multi=True)
    legs = {leg.asset: leg.ratio for leg in desk.specs()[POOL].collateral}
    assert legs == pytest.approx({"BTC": 0.75, "ETH": 0.75})
    assert desk.pool(POOL).equity == pytest.approx(5_400.0 + 3_600.0)


@pytest.mark.parametrize(("extra", "implied"), [(-20_000.0, 0.0), (20_000.0, 1.0)])
def test_an_implied_ratio_is_a_share(extra: float, implied: float) -> None:
    desk = AsterDesk()
    first = told({"SOL": 100.0, "USDT": 1_000.0}, ratios={**RATIOS, "SOL": 0.5}, extra=extra)
    desk.take(first, multi=True)
    assert {leg.asset: leg.ratio for leg in desk.specs()[POOL].collateral}["SOL"] == implied
    assert desk.pool(POOL).equity == pytest.approx(first.total_margin_balance), "the rest is the residual"
    desk.take(replace(first, began_ms=2), multi=True)
    assert desk.pool(POOL).reconciled is False, "which no ratio explains"


def test_a_ratio_of_zero_counts_nothing_and_is_not_implied() -> None:
    desk = AsterDesk(AsterRules({**RATIOS, "SOL": 0.0}))
    desk.take(told({"SOL": 100.0, "USDT": 1_000.0}, ratios={**RATIOS, "SOL": 0.0}), multi=True)
    desk.index(SOL=10.0)
    assert desk.pool(POOL).equity == pytest.approx(999.9)
    assert desk.pool(POOL).model_error == pytest.approx(0.0, abs=1e-12)


def test_an_asset_that_nothing_prices_stays_at_its_implied_worth() -> None:
    desk = AsterDesk()
    first = told({"LISUSD": 500.0, "USDT": 1_000.0}, extra=450.0)
    desk.take(first, multi=True)
    pool = desk.pool(POOL)
    assert pool.equity == pytest.approx(1_449.9)
    assert (pool.model_error, pool.reconciled, pool.failures) == (None, True, ())
    desk.take(replace(first, began_ms=2), multi=True)
    assert desk.pool(POOL).model_error == pytest.approx(0.0, abs=1e-12), "what it was worth then is part of the valuation"
    desk.take(told({"LISUSD": 500.0, "USDT": 1_000.0}, extra=300.0, began_ms=3), multi=True)
    assert desk.pool(POOL).model_error == pytest.approx(150.0 / 1_299.9)


def test_a_changed_balance_that_nothing_prices_is_doubted_until_the_next_read() -> None:
    desk = AsterDesk()
    desk.take(told({"LISUSD": 500.0, "USDT": 1_000.0}, extra=450.0), multi=True)
    assert desk.refreshes() == []
    desk.push({"LISUSD": 100.0})
    pool = desk.pool(POOL)
    assert pool.reconciled is False
    assert pool.equity == pytest.approx(1_449.9)
    assert "LISUSD" in desk.specs()[POOL].doubt
    assert len(desk.refreshes()) == 1
    desk.push({"USDT": 900.0})
    assert desk.refreshes() == [], "asked already"
    desk.take(told({"LISUSD": 100.0, "USDT": 900.0}, extra=90.0, began_ms=2), multi=True)
    pool = desk.pool(POOL)
    assert pool.reconciled is True
    assert pool.equity == pytest.approx(90.0 + 899.91)


@pytest.mark.parametrize("asset", ["SOL", "LISUSD"])
def test_an_asset_that_came_in_without_ratio_or_price_counts_nothing_yet(asset: str) -> None:
    desk = AsterDesk()
    desk.take(told({"USDT": 1_000.0}), multi=True)
    desk.push({asset: 100.0})
    pool = desk.pool(POOL)
    assert (pool.reconciled, pool.failures) == (False, ())
    assert pool.equity == pytest.approx(999.9)
    assert asset in desk.specs()[POOL].doubt
    assert desk.refreshes()


# -- the model error -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "agrees"), [(0.954, True), (0.946, True), (0.96, False), (0.94, False)])
def test_the_model_error_has_a_tolerance_of_its_own(ratio: float, agrees: bool) -> None:
    desk = AsterDesk()
    desk.take(told({"BTC": 1.0}, ratios={**RATIOS, "BTC": ratio}), multi=True)
    pool = desk.pool(POOL)
    assert pool.model_error == pytest.approx(abs(ratio - 0.95) / ratio)
    assert pool.reconciled is agrees
    assert bool(pool.remedy) is not agrees
    strict = AsterDesk(AsterRules(RATIOS, model_tolerance=0.001))
    strict.take(told({"BTC": 1.0}, ratios={**RATIOS, "BTC": ratio}), multi=True)
    assert strict.pool(POOL).reconciled is False


def test_single_asset_pools_keep_the_engines_tolerance() -> None:
    desk = AsterDesk()
    plain = read({"USDT": 10_000.0}, [position("ETHUSDT", 1.0, 3_000.0, 3_000.0)])
    desk.take(replace(plain, reported=(replace(plain.reported[0], cross_equity=10_020.0),)))
    assert (desk.pool("USDT").reconciled, desk.pool("USDT").model_error, desk.pool("USDT").remedy) == (False, None, "")


@pytest.mark.parametrize(
    ("balances", "venues", "words"),
    [
        ({"BTC": 1.0, "USDT": 100.0}, {"BTC": 0.9}, ["0.9 for BTC", "not 0.95", "collateral_ratios", "with the date"]),
        ({"BTC": 1.0, "ETH": 10.0}, {"BTC": 0.9}, ["0.9 for BTC", "another ratio would explain it for ETH"]),
        ({"BTC": 1.0, "USDT": 200_000.0}, {"BTC": 0.9}, ["0.9 for BTC", "USDT"]),
    ],
)
def test_the_remedy_names_the_ratio(balances: dict[str, float], venues: dict[str, float], words: list[str]) -> None:
    desk = AsterDesk()
    desk.take(told(balances, ratios={**RATIOS, **venues}), multi=True)
    assert all(word in desk.pool(POOL).remedy for word in words), desk.pool(POOL).remedy


def test_where_no_ratio_explains_it_the_remedy_says_so() -> None:
    desk = AsterDesk()
    desk.take(told({"BTC": 1.0}, extra=10_000.0), multi=True)
    assert desk.pool(POOL).remedy.startswith("no single collateral ratio explains")


def test_maintenance_is_compared_and_the_worse_one_counts() -> None:
    desk = AsterDesk()
    desk.take(replace(told(HELD, BTC_LONG), total_maintenance_margin=3_500.0), multi=True)
    pool = desk.pool(POOL)
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(3_500.0 / 28_150.0)


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.002, True), (1.3, False)])
def test_liquidation_prices_are_compared(factor: float, agrees: bool) -> None:
    first = example_d()
    price = first.liquidation(POOL, "BTCUSDT")
    plain = told(HELD, BTC_LONG)
    rows = (replace(plain.positions[0], reported_liquidation_price=factor * price),)
    desk = AsterDesk()
    desk.take(replace(plain, positions=rows), multi=True)
    assert desk.pool(POOL).reconciled is agrees
    # collateral does not move in it: W is a number (venue notes 5.6)
    assert 28_150.0 + 10.0 * (price - 60_000.0) == pytest.approx(maintenance(BTC_LONG, price))


# -- what is not known ---------------------------------------------------------------------------------------------------------


def test_without_an_index_there_is_no_number_and_it_is_read_again_once_it_came() -> None:
    desk = AsterDesk(marks=False)
    desk.marks(BTCUSDT=60_000.0)
    desk.take(told(HELD, BTC_LONG), multi=True)
    pool = desk.pool(POOL)
    assert pool.failures[0].reason is FailureReason.MISSING_INDEX
    assert "BTC, ASBNB" in pool.failures[0].detail
    assert len(desk.refreshes()) == 1
    desk.take(told(HELD, BTC_LONG, began_ms=2), multi=True)
    assert desk.refreshes() == [], "not again at once"
    desk.now_ms += 6_000
    desk.take(told(HELD, BTC_LONG, began_ms=3), multi=True)
    assert len(desk.refreshes()) == 1
    desk.index(BTC=60_000.0, BNB=700.0)
    desk.push()
    assert desk.pool(POOL).equity == pytest.approx(28_150.0), "the last read is enough"


def test_reference_data_that_come_later_do_not_count_an_asset_twice() -> None:
    desk = AsterDesk(reference_data=False)
    desk.take(told({"BTC": 1.0}), multi=True)
    assert desk.pool(POOL).equity == pytest.approx(57_000.0)
    desk.book.apply(reference())
    pool = desk.pool(POOL)
    assert pool.equity == pytest.approx(57_000.0)
    desk.index(BTC=30_000.0)
    assert desk.pool(POOL).equity == pytest.approx(28_500.0)


def test_an_asset_whose_perpetual_is_delisted_keeps_its_last_price_until_the_next_read() -> None:
    desk = example_d()
    tokens = tuple(replace(token, perpetual=None) if token.asset == "ASBNB" else token for token in reference().tokens)
    desk.book.apply(replace(reference(), tokens=tokens))
    assert desk.pool(POOL).equity == pytest.approx(28_150.0)
    desk.take(told(HELD, BTC_LONG, began_ms=2), multi=True)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0)
    assert {leg.asset for leg in desk.specs()[POOL].collateral} == {"BTC", "USDT"}


def test_a_settlement_asset_that_is_not_at_par_has_no_rule() -> None:
    desk = AsterDesk()
    held = position("BTCU", 1.0, 60_000.0, 60_000.0)
    plain = read({"USDT": 1_000.0}, [], total=999.9)
    desk.take(plain, multi=True)
    desk.push(positions=[held])
    failure = desk.pool(POOL).failures[0]
    assert failure.reason is FailureReason.MISSING_FX
    assert "settles in U" in failure.detail


def test_an_unknown_instrument_or_table() -> None:
    desk = AsterDesk()
    desk.take(told({"USDT": 1_000.0}), multi=True)
    desk.push(positions=[position("NEWTUSDT", 1.0, 10.0, 10.0)])
    assert desk.pool(POOL).failures[0].reason is FailureReason.UNKNOWN_TIER
    desk.push(positions=[Position(name("GHOST"), 1.0, 10.0, entry=10.0)])
    assert desk.pool(POOL).failures[0].reason is FailureReason.UNKNOWN_INSTRUMENT


def test_a_silent_index_makes_the_pool_stale() -> None:
    desk = example_d()
    desk.now_ms += 60_000
    desk.marks(BTCUSDT=60_000.0)
    failure = desk.pool(POOL).failures[0]
    assert failure.reason is FailureReason.STALE_MARK
    assert name("BNBUSDT") in failure.detail, "which prices asBNB"


@pytest.mark.parametrize("move", [0.9, 1.1])
def test_a_read_beside_an_old_index_does_not_count_the_move_of_the_collateral_twice(move: float) -> None:
    desk = example_d()
    desk.now_ms += 30_000
    now = {**INDEX, "BTC": 60_000.0 * move}
    # the marks are silent, the venue's total has moved already
    second = told(HELD, replace(BTC_LONG, mark=60_000.0 * move), index=now, began_ms=2)
    desk.take(second, multi=True)
    assert desk.pool(POOL).failures[0].reason is FailureReason.STALE_MARK
    assert desk.pool(POOL).reconciled is True, "our valuation is not compared by an index of before"
    desk.index(BTC=60_000.0 * move, BNB=700.0)
    assert desk.pool(POOL).equity == pytest.approx(second.total_margin_balance)
    desk.take(replace(second, began_ms=3), multi=True)
    assert desk.pool(POOL).equity == pytest.approx(second.total_margin_balance)


def test_a_first_read_beside_an_old_index_makes_no_number() -> None:
    desk = AsterDesk()
    desk.now_ms += 30_000
    desk.take(told(HELD, BTC_LONG), multi=True)
    failure = desk.pool(POOL).failures[0]
    assert failure.reason is FailureReason.MISSING_INDEX
    assert "BTC, ASBNB" in failure.detail
    assert desk.refreshes()
    desk.index(BTC=60_000.0, BNB=700.0)
    desk.take(told(HELD, BTC_LONG, began_ms=2), multi=True)
    assert desk.pool(POOL).equity == pytest.approx(28_150.0)


def test_the_totals_of_the_other_mode_imply_no_ratio() -> None:
    desk = AsterDesk()
    balances = {"SOL": 100.0, "USDT": 1_000.0}
    desk.take(read(balances, []))
    desk.take(told(balances, ratios={**RATIOS, "SOL": 0.7}, began_ms=2), multi=True)
    assert (desk.pool(POOL).model_error, desk.pool(POOL).reconciled) == (None, True)


def test_a_change_of_mode_makes_other_pools() -> None:
    desk = example_d()
    desk.push(doubt="the account's mode changed: waiting for a read")
    assert desk.pool(POOL).reconciled is False
    desk.take(read({"USDT": 1_000.0}, [], began_ms=2))
    assert set(desk.pools()) == {"USDT"}
    assert [scope[2] for scope in desk.book.vanished] == [POOL]
