"""The worked examples of the venue notes, 10.2 to 10.7, through account, book and engine."""

from __future__ import annotations

import math

import pytest

from connectors.model import PositionSide
from monitor.margin.hyperliquid import VENUE, HyperliquidRules
from monitor.margin.result import Level, PoolKind
from tests.monitor.own_desk import ACCOUNT, OwnDesk, balance, name, position, section, wallet


def liquidation(desk: OwnDesk, pool: str, symbol: str) -> float:
    desk.engine.evaluate()
    return desk.engine.liquidation_prices()[(VENUE, ACCOUNT, pool), name(symbol), PositionSide.BOTH]


def test_10_2_standard_cross() -> None:
    desk, size, value, equity = OwnDesk(), 559.6130497703, 43_810_426.8274, 9_696_485.6648
    short = position("BTC", -size, value / size, leverage=13.0, reported_liquidation_price=94_433.7044093285)
    desk.read(wallet(), section("", 1, equity + value, short, equity=equity, maintenance_margin=547_630.3353))
    main = desk.pool("main")
    assert main.kind is PoolKind.HYPERLIQUID_CROSS
    assert main.mode == "standard"
    assert main.equity == pytest.approx(equity)
    assert main.maintenance_margin == pytest.approx(547_630.3353, abs=1e-4)
    assert main.initial_margin == pytest.approx(3_370_032.8329, abs=1e-3)
    assert main.margin_ratio == pytest.approx(0.05648, abs=5e-6)
    assert main.excess == pytest.approx(equity - 547_630.3353, abs=1e-3)
    assert main.raw_ratio is None
    assert main.reconciled is True
    assert liquidation(desk, "main", "BTC") == pytest.approx(94_433.7044, abs=1e-4)


def test_10_3_isolated() -> None:
    desk = OwnDesk()
    short = position("HYPE", -15.0, 95.063, isolated=1532.665442, reported_margin_used=106.720442, reported_liquidation_price=97.3120915556)
    desk.read(wallet(balance("USDC", 289.0), available={0: 289.0 - 106.720442}), section("", 1, 0.0, short))
    pool = desk.pool("iso:HYPE")
    assert pool.kind is PoolKind.HYPERLIQUID_ISOLATED
    assert (pool.mode, pool.asset, pool.positions) == ("unified", "USDC", 1)
    assert pool.equity == pytest.approx(106.720442)
    assert pool.maintenance_margin == pytest.approx(71.29725)
    assert pool.margin_ratio == pytest.approx(71.29725 / 106.720442)
    assert pool.reconciled is True
    assert liquidation(desk, "iso:HYPE", "HYPE") == pytest.approx(97.3120915556, abs=1e-10)


def test_10_4_unified_is_the_wallet_and_nothing_beside_it() -> None:
    desk = OwnDesk()
    parked = position("MEGA", -50_000.0, 0.0424, isolated=2123.360586 + 2120.0, leverage=3.0)
    told = wallet(balance("USDC", 2296.35783828, hold=2193.808086), available={0: 172.99725228})
    desk.read(told, section("", 1, 2193.808086, parked, equity=2193.808086, maintenance_margin=0.0))
    pools = desk.pools()
    assert set(pools) == {"iso:MEGA", "USDC"}
    assert pools["USDC"].margin_ratio == 0.0
    assert pools["USDC"].equity == pytest.approx(172.99725228, abs=1e-8)
    assert pools["USDC"].reconciled is True
    assert pools["iso:MEGA"].equity == pytest.approx(2123.360586)


def test_10_4_unified_cross_beside_an_isolated_position_of_another_dex() -> None:
    desk, needed = OwnDesk(), 25.2336342206
    long = position("BTC", 0.03, needed * 80 / 0.03, leverage=20.0)
    apart = position("io:ANTH", -1.0, 100.0, isolated=109.1423090134)
    told = wallet(balance("USDC", 252.9509201567), available={0: 218.5749769227})
    desk.read(told, section("", 1, -1900.0, long, maintenance_margin=needed), section("io", 1, 0.0, apart, maintenance_margin=0.0))
    pools = desk.pools()
    assert pools["USDC"].equity == pytest.approx(252.9509201567 - 9.1423090134)
    assert pools["USDC"].excess == pytest.approx(218.5749769227, abs=1e-9)
    assert pools["USDC"].margin_ratio == pytest.approx(0.1035, abs=5e-5)
    assert pools["USDC"].reconciled is True
    assert pools["iso:io:ANTH"].equity == pytest.approx(9.1423090134)


def test_10_4_unified_isolated_on_two_dexs() -> None:
    desk = OwnDesk()
    one = position("BTC", -0.05, 78_000.0, isolated=398.7421642585 + 3900.0)
    two = position("xyz:CL", 2358.01188657, 80.0, isolated=44_152.5331578673 - 2358.01188657 * 80.0)
    told = wallet(balance("USDC", 45_087.5968612158), available={0: 536.32153909})
    desk.read(told, section("", 1, 0.0, one), section("xyz", 1, 0.0, two))
    pools = desk.pools()
    assert set(pools) == {"USDC", "iso:BTC", "iso:xyz:CL"}
    assert pools["USDC"].equity == pytest.approx(536.32153909, abs=1e-8)


@pytest.mark.parametrize(
    ("total", "available", "needed", "ratio"),
    [(7_678_466.9041772699, 6_656_218.5307, 1_022_248.3735, 0.1331318), (894.08996004, 870.98516804, 23.104792, 0.025841686)],
)
def test_10_5_portfolio_margin_without_debt(total: float, available: float, needed: float, ratio: float) -> None:
    desk = OwnDesk()
    long = position("ETH", 10.0, needed * 50 / 10.0)
    told = wallet(balance("USDC", total, ltv=0.0), available={0: available}, portfolio_margin_enabled=True, portfolio_margin_ratio=ratio)
    desk.read(told, section("", 1, 0.0, long, maintenance_margin=needed))
    pool = desk.pool("portfolio")
    assert pool.kind is PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN
    assert pool.raw_ratio == pytest.approx(ratio, abs=5e-8)
    assert pool.margin_ratio == pytest.approx(ratio / 0.95, abs=5e-8)
    assert pool.limit == 0.95
    assert pool.reconciled is True


def test_10_6_portfolio_margin_with_bitcoin_and_a_loan() -> None:
    desk, needed, mark = OwnDesk(), 24_956.3558, 80.0
    short = position("HYPE", -needed * 20 / mark, mark)
    rows = (balance("USDC", 119_584.2220, borrowed=4466.5175, ltv=0.0), balance("UBTC", 10.3764959147, supplied=10.3764959147, ltv=0.5))
    told = wallet(*rows, available={0: 704_117.0719}, portfolio_margin_enabled=True, portfolio_margin_ratio=0.0342302364)
    desk.spot(UBTC=78_316.638)
    desk.read(told, section("", 1, 0.0, short, maintenance_margin=needed))
    pool = desk.pool("portfolio")
    assert pool.raw_ratio == pytest.approx(0.0342302364, abs=5e-11)
    assert pool.equity == pytest.approx(119_584.2220 + 609_489.2057, abs=0.01)
    assert pool.reconciled is True


def test_10_6_portfolio_margin_hedged_short() -> None:
    desk, needed = OwnDesk(), 37_316.2648
    short = position("HYPE", -9234.6, needed * 20 / 9234.6)
    rows = (balance("USDC", 342_974.0292, ltv=0.0), balance("HYPE", 9240.169, supplied=9240.169, ltv=0.65))
    told = wallet(
        *rows,
        available={0: 342_974.0292 + 616_127.556 - needed},
        portfolio_margin_enabled=True,
        portfolio_margin_ratio=0.0389075208,
    )
    desk.spot(HYPE=80.8233)
    desk.read(told, section("", 1, 0.0, short, maintenance_margin=needed))
    assert desk.pool("portfolio").raw_ratio == pytest.approx(0.0389075208, abs=1e-10)
    assert liquidation(desk, "portfolio", "HYPE") == pytest.approx(175.88, abs=0.01)


def negative_net(offset: float, spot: float) -> OwnDesk:
    desk = OwnDesk(HyperliquidRules(0.95, offset))
    rows = (balance("USDC", -75_424.29992666, ltv=0.0), balance("HYPE", 3000.03081983, supplied=3000.03081983, ltv=0.65))
    told = wallet(*rows, portfolio_margin_enabled=True, portfolio_margin_ratio=0.4569824749)
    desk.spot(HYPE=spot)
    desk.read(told, section("", 1, 0.0, position("HYPE", -3000.0, 83.856), maintenance_margin=12_578.4))
    return desk


def test_10_7_portfolio_margin_with_negative_net() -> None:
    # spot 83.8390 and mark 83.856 have the median 83.8475 of the notes
    pool = negative_net(0.0, 83.8390).pool("portfolio")
    assert pool.maintenance_margin == pytest.approx(100_581.10, abs=0.01)
    assert pool.equity == pytest.approx(220_103.1, abs=0.1)
    assert pool.raw_ratio == pytest.approx(0.456973, abs=5e-7)
    conservative = negative_net(20.0, 83.8390).pool("portfolio")
    assert conservative.raw_ratio == pytest.approx(0.457064, abs=5e-7)
    assert conservative.level is Level.OK


def test_10_7_distance_moves_collateral_too() -> None:
    desk = negative_net(0.0, 83.856)
    desk.marks(HYPE=83.856)
    desk.engine.evaluate()
    index = desk.engine.arrays.row((VENUE, ACCOUNT, "portfolio"))
    instrument, move = desk.engine.distance(index, 1.0)
    assert instrument == name("HYPE")
    assert round(83.856 * (1 + move), 2) == 218.48
    down, up = desk.engine.moves(index, 1.0, "HYPE")
    assert math.isnan(down)
    assert up == move
    measured = desk.engine.result(index, desk.now_ns, measure=True)
    assert measured.worst_instrument == name("HYPE")
    assert measured.worst_liquidation_price == pytest.approx(218.48, abs=0.005)
