"""Reported against computed: what makes a pool unreconciled, and that its level is taken on the worse figure."""

from __future__ import annotations

import math

import pytest

from monitor.margin.result import Level
from monitor.reconcile import TOLERANCE, Comparison, compare, worst
from tests.monitor.own_desk import OwnDesk, balance, position, section, wallet


def standard(equity: float = 10_000.0, needed: float = 1_250.0, **more: float) -> OwnDesk:
    """Long 1 BTC at 100,000 with an equity of 10,000 by our figures."""
    desk = OwnDesk()
    long = position("BTC", 1.0, 100_000.0, reported_liquidation_price=more.pop("price", None))
    desk.read(wallet(), section("", 1000, -90_000.0, long, equity=equity, maintenance_margin=needed, **more))
    return desk


def test_equal_figures_reconcile() -> None:
    pool = standard(price=90_000.0 / 0.9875).pool("main")
    assert pool.reconciled is True
    assert pool.reported_difference == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("equity", "reconciled"), [(10_009.0, True), (9_991.0, True), (10_011.0, False), (9_989.0, False)])
def test_a_tenth_of_a_percent(equity: float, reconciled: bool) -> None:
    pool = standard(equity).pool("main")
    assert pool.reconciled is reconciled
    assert pool.reported_difference == pytest.approx(abs(equity / 10_000.0 - 1), rel=2e-3)


def test_the_level_is_taken_on_the_worse_equity_moved_by_marks() -> None:
    desk = standard(equity=1_400.0)
    pool = desk.pool("main")
    assert pool.margin_ratio == pytest.approx(1_250.0 / 1_400.0)
    assert pool.level is Level.WARNING
    assert pool.reconciled is False
    assert pool.equity == pytest.approx(10_000.0), "the components shown stay ours"
    desk.marks(BTC=99_950.0)
    assert desk.ratio("main") == pytest.approx(99_950.0 / 80 / 1_350.0)
    assert desk.pool("main").level is Level.CRITICAL
    desk.marks(BTC=99_800.0)
    assert desk.pool("main").level is Level.LIQUIDATION


def test_the_level_is_taken_on_the_worse_maintenance() -> None:
    desk = standard(needed=8_600.0)
    assert desk.ratio("main") == pytest.approx(0.86)
    assert desk.pool("main").reconciled is False
    desk.marks(BTC=101_000.0)
    assert desk.ratio("main") == pytest.approx((101_000.0 / 80 + 7_350.0) / 11_000.0)


@pytest.mark.parametrize("figures", [{"equity": 100_000.0}, {"needed": 10.0}])
def test_a_rosier_figure_of_the_venue_does_not_help(figures: dict[str, float]) -> None:
    pool = standard(**figures).pool("main")
    assert pool.margin_ratio == pytest.approx(0.125)
    assert pool.reconciled is False


def test_cash_and_trade_mend_the_worse_figure() -> None:
    worse = standard(equity=1_300.0).pool("main")
    assert worse.cash_to_safety == pytest.approx(1_250.0 / 0.85 - 1_300.0)
    assert worse.reduce is not None
    assert worse.reduce[1] == pytest.approx(-(1 - 1_300.0 * 0.85 / 1_250.0), rel=1e-9)
    # ours at risk, the venue's rosy
    ours = OwnDesk()
    long = position("BTC", 1.0, 100_000.0)
    ours.read(wallet(), section("", 1000, -98_700.0, long, equity=5_000.0, maintenance_margin=1_250.0))
    pool = ours.pool("main")
    assert pool.margin_ratio == pytest.approx(1_250.0 / 1_300.0)
    assert pool.cash_to_safety == pytest.approx(1_250.0 / 0.85 - 1_300.0)


def test_distance_is_of_the_worse_figure() -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0), equity=20_000.0, maintenance_margin=1_250.0))
    _, move = desk.engine.distance(_index(desk), 1.0)
    assert 1 + move == pytest.approx(0.9 / 0.9875, rel=1e-6)


def _index(desk: OwnDesk) -> int:
    desk.engine.evaluate()
    (index,) = desk.engine.arrays.specs
    return index


def test_a_liquidation_price_of_another_pooling_is_unreconciled() -> None:
    # the account is pooled with money elsewhere: only the venue's price shows it
    pool = standard(price=80_000.0).pool("main")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(0.125)


def test_a_liquidation_price_we_do_not_have_is_unreconciled() -> None:
    desk = OwnDesk()
    held = position("BTC", 1.0, 100_000.0, reported_liquidation_price=50.0)
    desk.read(wallet(), section("", 1000, 0.0, held))
    assert desk.pool("main").reported_difference == math.inf
    assert desk.pool("main").reconciled is False


@pytest.mark.parametrize("price", [0.0, None])
def test_no_liquidation_price_is_nothing_to_compare_with(price: float | None) -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0, reported_liquidation_price=price)))
    assert desk.pool("main").reconciled is None


def test_nothing_reported_is_neither() -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0)))
    pool = desk.pool("main")
    assert pool.reconciled is None
    assert pool.reported_difference is None


@pytest.mark.parametrize(("used", "reconciled"), [(10_000.0, True), (10_011.0, False)])
def test_initial_margin_of_cross_positions(used: float, reconciled: bool) -> None:
    desk = OwnDesk()
    held = position("BTC", 1.0, 100_000.0, leverage=10.0, reported_margin_used=used)
    desk.read(wallet(), section("", 1000, -90_000.0, held, maintenance_margin=1_250.0))
    assert desk.pool("main").reconciled is reconciled


def test_isolated_equity() -> None:
    desk = OwnDesk()
    held = position("BTC", 1.0, 100_000.0, isolated=-90_000.0, reported_margin_used=1_300.0)
    desk.read(wallet(), section("", 1000, 0.0, held))
    pool = desk.pool("iso:BTC")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(1_250.0 / 1_300.0)


def unified(available: float, needed: float = 1_250.0) -> OwnDesk:
    desk = OwnDesk()
    held = section("", 1000, 0.0, position("BTC", 1.0, 100_000.0), maintenance_margin=needed)
    desk.read(wallet(balance("USDC", 10_000.0), available={0: available}), held)
    return desk


def test_unified_availability() -> None:
    assert unified(8_750.0).pool("USDC").reconciled is True
    desk = unified(100.0)
    pool = desk.pool("USDC")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(1_250.0 / 1_350.0)
    assert pool.level is Level.CRITICAL
    desk.marks(BTC=99_800.0)
    assert desk.pool("USDC").level is Level.LIQUIDATION
    assert unified(9_900.0).ratio("USDC") == pytest.approx(0.125)


def test_unified_availability_explained_by_maintenance_is_counted_once() -> None:
    pool = unified(4_000.0, needed=6_000.0).pool("USDC")
    assert pool.margin_ratio == pytest.approx(0.6)
    assert pool.reconciled is False


def portfolio(net: float, available: float, ratio: float | None, supplied: float = 0.0) -> OwnDesk:
    """Portfolio margin of 1 BTC at 100,000 (margin 1,250), with HYPE at 100 as collateral."""
    desk = OwnDesk()
    desk.spot(HYPE=100.0)
    rows = [balance("USDC", net, ltv=0.0)]
    if supplied:
        rows.append(balance("HYPE", supplied, supplied=supplied, ltv=0.65))
    told = wallet(*rows, available={0: available}, portfolio_margin_enabled=True, portfolio_margin_ratio=ratio)
    desk.read(told, section("", 1000, 0.0, position("BTC", 1.0, 100_000.0), maintenance_margin=1_250.0))
    return desk


def test_portfolio_margin_availability() -> None:
    desk = portfolio(10_000.0, 100.0, None)
    pool = desk.pool("portfolio")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(1_250.0 / 1_350.0 / 0.95)
    desk.marks(BTC=99_900.0)
    assert desk.pool("portfolio").level is Level.LIQUIDATION


@pytest.mark.parametrize("supplied", [0.0, 50.0])
@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.2])
@pytest.mark.parametrize("net", [10_000.0, 1_300.0, 500.0, -1_000.0])
def test_a_worse_ratio_of_the_venue_is_the_one_the_level_is_taken_on(net: float, ratio: float, supplied: float) -> None:
    available = net + 82.5 * supplied - 1_250.0
    desk = portfolio(net, available, ratio, supplied)
    pool = desk.pool("portfolio")
    assert pool.raw_ratio is not None
    assert pool.margin_ratio is not None
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(max(ratio, pool.raw_ratio) / 0.95, rel=1e-9)
    desk.marks(BTC=99_000.0)
    assert desk.ratio("portfolio") > pool.margin_ratio


def test_a_lower_ratio_of_the_venue_is_unreconciled_and_does_not_help() -> None:
    pool = portfolio(10_000.0, 8_750.0, 0.05).pool("portfolio")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(0.125 / 0.95)


def test_collateral_that_the_venue_values_otherwise() -> None:
    pool = portfolio(10_000.0, 8_750.0 + 50 * 82.0, None, 50.0).pool("portfolio")
    assert pool.reconciled is False
    assert portfolio(10_000.0, 8_750.0 + 50 * 82.5, None, 50.0).pool("portfolio").reconciled is True


# -- comparisons -----------------------------------------------------------------------------------------------------------------


def test_a_difference_is_relative_and_dust_does_not_count() -> None:
    assert compare("equity", 99.0, 100.0).difference == pytest.approx(0.01)
    assert compare("equity", 99.0, 100.0, 1000.0).difference == pytest.approx(0.001)
    assert compare("equity", 0.0005, 0.0).difference < TOLERANCE
    assert compare("equity", math.nan, 100.0).difference == math.inf
    assert compare("equity", math.inf, 100.0).difference == math.inf


def test_the_shortfall_ignores_rounding() -> None:
    assert compare("equity", 100.0, 90.0).shortfall == pytest.approx(-10.0)
    assert compare("equity", 100.0 + 1e-9, 100.0).shortfall == 0.0


def test_the_worst_difference() -> None:
    assert worst([]) is None
    assert worst([Comparison("a", 1.0, 1.0, 1.0), Comparison("b", 1.0, 2.0, 2.0)]) == 0.5
