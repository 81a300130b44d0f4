"""Our figure beside every figure of the venue, for one account at one instant."""

from __future__ import annotations

import math

import pytest

from connectors.events import AccountSnapshot, BorrowReserve, BorrowReserves, SpotPrices
from connectors.model import Order, Section, Wallet
from monitor.margin.hyperliquid import VENUE, HyperliquidRules
from monitor.verify import ANCHORS, Row, SideBySide, side_by_side
from tests.monitor.own_desk import ACCOUNT, balance, name, position, reference, section, wallet


def seen(told: Wallet, *sections: Section, orders: tuple[Order, ...] | None = None) -> SideBySide:
    return side_by_side(reference(), AccountSnapshot(VENUE, ACCOUNT, 1, sections, told), orders=orders)


def row(found: SideBySide, figure: str, pool: str = "main") -> Row:
    (only,) = [line for line in found.rows if (line.pool, line.figure) == (pool, figure)]
    return only


BTC = position("BTC", 1.0, 100_000.0, leverage=20.0, reported_liquidation_price=91_139.0)
STANDARD = section("", 1, -90_000.0, BTC, equity=10_001.0, maintenance_margin=1_249.0, withdrawable=0.0)


def test_a_standard_account() -> None:
    found = seen(wallet(), STANDARD)
    assert {line.figure for line in found.rows} == {"maintenance_margin", "equity", "liquidation_price BTC"}
    assert row(found, "equity").difference == pytest.approx(-1.0)
    assert row(found, "maintenance_margin").difference == pytest.approx(1.0)
    price = row(found, "liquidation_price BTC")
    assert price.ours == pytest.approx(90_000.0 / 0.9875)
    assert (price.venue, price.size, price.move) == (91_139.0, 1.0, 8_861.0)
    assert {line.anchored_on for line in found.rows} <= {*ANCHORS.values(), "equity, margin of its pool"}
    assert found.pools[0].margin_ratio == pytest.approx(1_250.0 / 10_000.0)


def order(quantity: float, price: float, symbol: str = "BTC", **more: bool) -> Order:
    return Order(name(symbol), "1", quantity, price, **more)


@pytest.mark.parametrize(
    ("cash", "orders", "expected"),
    [
        # equity 20,000; the larger of 100,000 / 20 and 10 % of 100,000
        (-80_000.0, (), 10_000.0),
        (-80_000.0, (order(0.5, 90_000.0),), 10_000.0 - 2_250.0),
        (-80_000.0, (order(-0.5, 110_000.0),), 10_000.0),
        (-80_000.0, (order(0.5, 90_000.0, reduce_only=True), order(0.5, 90_000.0, is_trigger=True)), 10_000.0),
        (-80_000.0, (order(0.5, 90_000.0, symbol="ETH"),), 10_000.0),
        (-95_000.0, (), 0.0),
    ],
)
def test_withdrawable(cash: float, orders: tuple[Order, ...], expected: float) -> None:
    found = seen(wallet(), section("", 1, cash, BTC, withdrawable=expected), orders=orders)
    assert row(found, "withdrawable").ours == pytest.approx(expected)


def test_withdrawable_below_ten_times_leverage_is_the_initial_margin() -> None:
    held = position("BTC", 1.0, 100_000.0, leverage=5.0)
    found = seen(wallet(), section("", 1, -70_000.0, held, withdrawable=10_000.0), orders=())
    assert row(found, "withdrawable").ours == pytest.approx(10_000.0)


def test_withdrawable_is_left_out_where_it_means_nothing() -> None:
    assert all(line.figure != "withdrawable" for line in seen(wallet(), STANDARD).rows), "orders were not read"
    pooled = seen(wallet(balance("USDC", 10_000.0), available={0: 8_750.0}), STANDARD, orders=())
    assert all(line.figure != "withdrawable" for line in pooled.rows)


def test_a_unified_account() -> None:
    found = seen(wallet(balance("USDC", 10_000.0), available={0: 8_749.0}), STANDARD)
    available = row(found, "available", "USDC")
    assert available.ours == pytest.approx(8_750.0)
    assert available.venue == 8_749.0
    assert all(line.figure != "equity" for line in found.rows), "what is parked on a dex is no equity"


def test_a_portfolio_margin_account() -> None:
    rows = (balance("USDC", 10_000.0, ltv=0.0), balance("HYPE", 100.0, supplied=100.0, ltv=0.65))
    told = wallet(*rows, available={0: 10_000.0 + 8_250.0 - 1_250.0}, portfolio_margin_enabled=True, portfolio_margin_ratio=0.068)
    snapshot = AccountSnapshot(VENUE, ACCOUNT, 1, (section("", 1, 0.0, BTC),), told)
    found = side_by_side(reference(), snapshot, spot=SpotPrices(VENUE, "rest", 0, {"HYPE": 100.0}))
    ratio = row(found, "portfolio_margin_ratio", "portfolio")
    assert ratio.ours == pytest.approx(1_250.0 / 18_250.0)
    collateral = row(found, "collateral", "portfolio")
    assert collateral.ours == pytest.approx(collateral.venue)
    reserves = BorrowReserves(VENUE, 0, (BorrowReserve("HYPE", 150, 90.0, 0.65, 0.1),))
    dearer = side_by_side(reference(), snapshot, reserves=reserves, rules=HyperliquidRules(0.9, 0.0))
    assert row(dearer, "collateral", "portfolio").ours == pytest.approx(7_425.0)
    assert dearer.pools[0].limit == 0.9


def test_a_liquidation_price_we_do_not_find_is_shown_as_none() -> None:
    held = position("BTC", 1.0, 100_000.0, reported_liquidation_price=10.0)
    price = row(seen(wallet(), section("", 1, 5.0, held)), "liquidation_price BTC")
    assert math.isnan(price.ours)
    assert price.venue == 10.0


def test_an_unknown_instrument_does_not_stop_the_rest() -> None:
    found = seen(wallet(), section("", 1, 5.0, position("NEWCOIN", 1.0, 10.0)), section("xyz", 1, 7.0, equity=7.0))
    assert row(found, "equity", "xyz").ours == 7.0
    assert {pool.pool: pool.valid for pool in found.pools} == {"main": False, "xyz": True}
