"""Sides of outcome markets in a wallet: fully paid, so worth nothing to the margin of any mode, and no reason for a failure."""

from __future__ import annotations

import pytest

from connectors.model import Balance
from tests.monitor.own_desk import OwnDesk, balance, position, section, wallet

SIDES = [Balance("+10250", None, 500.0), Balance("+10250", 100_010_250, 500.0, hold=20.0), Balance("o498", None, 7.0)]
ids = ["without a token", "with a token", "settled"]


@pytest.mark.parametrize("side", SIDES, ids=ids)
def test_unified_margin_is_as_without_it(side: Balance) -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    held = section("", 1000, 0.0, position("BTC", 1.0, 100_000.0), maintenance_margin=1250.0)
    made.read(wallet(balance("USDC", 10_000.0), side, available={0: 8_750.0}), held)
    made.marks(BTC=99_000.0)
    assert made.equity("USDC") == pytest.approx(9_000.0)
    assert made.account.failure is None
    assert [spec.name for spec in made.account.pools(made.book.market)] == ["USDC"]


@pytest.mark.parametrize("side", SIDES, ids=ids)
def test_portfolio_margin_takes_it_for_no_collateral(side: Balance) -> None:
    made = OwnDesk()
    made.marks(HYPE=100.0)
    made.spot(HYPE=100.0)
    rows = (balance("USDC", 50_000.0, ltv=0.0), balance("HYPE", 1000.0, supplied=1000.0, ltv=0.65), side)
    told = wallet(*rows, available={0: 50_000.0 + 82_500.0 - 5_000.0}, portfolio_margin_enabled=True)
    made.read(told, section("", 1000, 0.0, position("HYPE", -1000.0, 100.0), maintenance_margin=5_000.0))
    assert made.equity("portfolio") == pytest.approx(132_500.0)
    (pool,) = made.account.pools(made.book.market)
    assert [leg.asset for leg in pool.collateral] == ["HYPE"]
    assert pool.failures == ()


@pytest.mark.parametrize("side", SIDES, ids=ids)
def test_buying_and_settling_it_moves_the_cash_alone(side: Balance) -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    held = section("", 1000, 0.0, position("BTC", 1.0, 100_000.0), maintenance_margin=1250.0)
    made.read(wallet(balance("USDC", 10_000.0), available={0: 8_750.0}), held)
    made.wallet(wallet(balance("USDC", 9_600.0), side, available={0: 8_350.0}))
    assert made.equity("USDC") == pytest.approx(9_600.0)
    made.marks(BTC=99_000.0)
    assert made.equity("USDC") == pytest.approx(8_600.0)
    made.marks(BTC=100_000.0)
    made.wallet(wallet(balance("USDC", 10_100.0), available={0: 8_850.0}))
    assert made.equity("USDC") == pytest.approx(10_100.0)
