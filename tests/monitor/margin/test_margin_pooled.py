"""Unified and portfolio-margin accounts between wallets: equity is the wallet's, whatever instant it is from."""

from __future__ import annotations

import pytest

from connectors.events import FailureReason
from connectors.model import Section
from tests.monitor.own_desk import OwnDesk, balance, name, position, reference, section, wallet

TOTAL = 10_000.0


def one_btc(time_ms: int, quantity: float = 1.0, mark: float = 100_000.0, dex: str = "") -> Section:
    needed = abs(quantity) * mark / 80
    return section(dex, time_ms, 0.0, position("BTC", quantity, mark), maintenance_margin=needed)


def unified(quantity: float = 1.0) -> OwnDesk:
    """One BTC of cross position in a unified account of 10,000, read at 1,000 ms."""
    made = OwnDesk()
    made.marks(BTC=100_000.0, ETH=4_000.0)
    needed = abs(quantity) * 1250.0
    made.read(wallet(balance("USDC", TOTAL), available={0: TOTAL - needed}), one_btc(1000, quantity))
    made.refreshes()
    assert made.equity("USDC") == pytest.approx(TOTAL)
    return made


def test_equity_moves_with_marks() -> None:
    made = unified()
    made.marks(BTC=99_000.0)
    assert made.equity("USDC") == pytest.approx(9_000.0)
    assert made.pool("USDC").maintenance_margin == pytest.approx(99_000.0 / 80)


@pytest.mark.parametrize("time_ms", [1001, 1500])
def test_a_fill_keeps_equity_but_for_slippage_and_fee(time_ms: int) -> None:
    made = unified()
    made.fill("BTC", 2.0, 99_900.0, time_ms, fee=30.0)
    assert made.equity("USDC") == pytest.approx(TOTAL + 200.0 - 30.0)
    assert made.pool("USDC").maintenance_margin == pytest.approx(3 * 1250.0)


@pytest.mark.parametrize("quantity", [5.0, -5.0])
@pytest.mark.parametrize("time_ms", [1400, 1500])
def test_a_fill_that_comes_after_the_wallet_but_is_not_later_keeps_equity(quantity: float, time_ms: int) -> None:
    made = unified()
    made.fill("BTC", 0.1, 100_000.0, 1500)
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1.1 * 1250.0}))
    made.fill("BTC", quantity, 100_000.0, time_ms)
    assert made.equity("USDC") == pytest.approx(TOTAL)


def test_a_wallet_from_before_the_fill_is_anchored_on_the_frame() -> None:
    made = unified()
    made.fill("BTC", 2.0, 99_900.0, 1500)
    # the wallet's availability says one BTC: it was made before the fill, whose gain of 200 it lacks
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1250.0}))
    assert made.equity("USDC") == pytest.approx(TOTAL + 200.0)
    assert made.pool("USDC").reconciled is True


def test_a_wallet_from_after_the_fill_is_anchored_on_what_is_held() -> None:
    made = unified()
    made.fill("BTC", 2.0, 99_900.0, 1500)
    made.wallet(wallet(balance("USDC", TOTAL + 200.0), available={0: TOTAL + 200.0 - 3 * 1250.0}))
    assert made.equity("USDC") == pytest.approx(TOTAL + 200.0)


def test_a_wallet_at_the_marks_of_the_frame_is_anchored_there() -> None:
    made = unified()
    made.marks(BTC=101_000.0)
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1250.0}))
    assert made.equity("USDC") == pytest.approx(TOTAL + 1_000.0), "its total was computed at 100,000"
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1262.5}))
    assert made.equity("USDC") == pytest.approx(TOTAL), "this one at 101,000"


@pytest.mark.parametrize(("after_ms", "expected"), [(1500, TOTAL), (2500, TOTAL + 1_000.0)])
def test_a_frame_soon_after_the_wallet_explains_it_better(after_ms: int, expected: float) -> None:
    made = unified()
    # total and availability at 102,000, which neither the marks (101,000) nor the last frame (100,000) have
    made.marks(BTC=101_000.0)
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1275.0}))
    made.marks(BTC=102_000.0)
    made.now_ms += after_ms
    made.sections(one_btc(1000 + after_ms, 1.0, 102_000.0), complete=False)
    assert made.equity("USDC") == pytest.approx(expected)


@pytest.mark.parametrize("amount", [1_000_000.0, -8_000.0])
def test_a_transfer_is_counted_once_whichever_candidate_wins(amount: float) -> None:
    made = unified()
    made.flow(amount, 1200)
    assert made.equity("USDC") == pytest.approx(TOTAL + amount)
    # the wallet contains it; its availability is at the frame's mark, so the frame explains it best
    made.marks(BTC=100_500.0)
    made.wallet(wallet(balance("USDC", TOTAL + amount), available={0: TOTAL + amount - 1250.0}))
    assert made.equity("USDC") == pytest.approx(TOTAL + amount + 500.0)


@pytest.mark.parametrize("amount", [1_000_000.0, -8_000.0])
def test_a_transfer_after_the_wallet_survives_the_frame_that_explains_the_wallet(amount: float) -> None:
    made = unified()
    made.marks(BTC=101_000.0)
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1275.0}))
    made.flow(amount, 1200)
    before = made.equity("USDC")
    made.marks(BTC=102_000.0)
    made.now_ms += 500
    made.sections(one_btc(1500, 1.0, 102_000.0), complete=False)
    # the frame, at 102,000, explains the availability exactly: total at 102,000, and the transfer on top
    assert made.equity("USDC") == pytest.approx(TOTAL + amount)
    assert before == pytest.approx(TOTAL + amount)


def test_a_missed_fill_keeps_equity_and_asks_for_the_account() -> None:
    made = unified()
    made.now_ms += 5000
    made.sections(one_btc(6000, 3.0), complete=False)
    pool = made.pool("USDC")
    assert pool.equity == pytest.approx(TOTAL)
    assert pool.maintenance_margin == pytest.approx(3 * 1250.0)
    assert made.refreshes() == ["positions changed without an execution seen"]


@pytest.mark.parametrize("quantity", [1.0, -1.0])
def test_a_ledger_that_appears_or_vanishes_keeps_equity(quantity: float) -> None:
    made = unified(quantity)
    made.now_ms += 5000
    eth = section("xyz", 6000, 0.0, position("ETH", 100.0 * quantity, 4_000.0))
    made.sections(one_btc(6000, quantity), eth)
    assert made.equity("USDC") == pytest.approx(TOTAL)
    assert made.pool("USDC").positions == 2
    made.refreshes()
    eth = section("xyz", 7000, 0.0, position("ETH", 100.0 * quantity, 4_000.0))
    made.sections(eth)
    assert made.equity("USDC") == pytest.approx(TOTAL)
    assert made.pool("USDC").positions == 2, "a frame that leaves out a dex with positions does not make it flat"
    assert made.pool("USDC").reconciled is False
    assert made.refreshes() == ["a frame left out this dex, which held positions"]
    made.read(None, eth)
    assert made.equity("USDC") == pytest.approx(TOTAL)
    assert made.pool("USDC").positions == 1


@pytest.mark.parametrize("after_ms", [100, 5000])
@pytest.mark.parametrize("quantity", [1.0, -1.0])
def test_a_wallet_before_the_first_positions_does_not_make_them_equity(quantity: float, after_ms: int) -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    made.wallet(wallet(balance("USDC", TOTAL), available={0: TOTAL - 1250.0}), complete=True)
    assert made.pool("account").failures[0].reason is FailureReason.NOT_READY
    made.now_ms += after_ms
    made.sections(one_btc(1000, quantity))
    assert made.equity("USDC") == pytest.approx(TOTAL)


def test_isolated_margin_is_apart_from_the_pool() -> None:
    made = OwnDesk()
    eth = position("ETH", 10.0, 4_000.0, isolated=-36_000.0)
    made.read(
        wallet(balance("USDC", TOTAL), available={0: TOTAL - 1250.0 - 4_000.0}), section("", 1000, 0.0, position("BTC", 1.0, 1e5), eth)
    )
    assert made.equity("USDC") == pytest.approx(6_000.0)
    made.marks(ETH=3_900.0)
    assert made.equity("USDC") == pytest.approx(6_000.0)
    assert made.equity("iso:ETH") == pytest.approx(3_000.0)
    made.fill("ETH", -10.0, 3_900.0, 1001)
    assert made.equity("USDC") == pytest.approx(9_000.0)


def test_funding_of_an_isolated_position_leaves_the_pool() -> None:
    made = OwnDesk()
    eth = position("ETH", 10.0, 4_000.0, isolated=-36_000.0)
    made.read(wallet(balance("USDC", TOTAL), available={0: TOTAL - 5_250.0}), section("", 1000, 0.0, position("BTC", 1.0, 1e5), eth))
    made.flow(-100.0, 1001, symbol="ETH")
    assert made.equity("USDC") == pytest.approx(6_000.0)
    assert made.equity("iso:ETH") == pytest.approx(3_900.0)
    made.flow(-100.0, 1002, symbol="BTC")
    assert made.equity("USDC") == pytest.approx(5_900.0)


def test_spot_executions_move_the_pools_cash_only_when_later_than_the_wallet() -> None:
    made = unified()
    made.spot_fill("HYPE", "USDC", 100.0, 40.0, 1500, fee=2.0)
    assert made.equity("USDC") == pytest.approx(TOTAL - 4_002.0)
    made.spot_fill("HYPE", "USDC", 100.0, 40.0, 900)
    assert made.equity("USDC") == pytest.approx(TOTAL - 4_002.0)
    made.flow(500.0, 1600, dex=None)
    assert made.equity("USDC") == pytest.approx(TOTAL - 3_502.0)
    made.spot_fill(None, None, 1.0, 1.0, 1700)
    assert made.refreshes() == ["a spot execution of an unknown pair"]


def test_a_position_without_marks_makes_a_failure_and_recovers() -> None:
    made = OwnDesk()
    made.read(wallet(balance("USDC", TOTAL), available={0: TOTAL}), one_btc(1000))
    made.fill("ETH", 1.0, 4_000.0, 1001)
    assert made.equity("USDC") == pytest.approx(TOTAL), "the execution's price stands in for the first mark"


def test_a_margin_table_that_comes_late() -> None:
    made = OwnDesk()
    told = wallet(balance("USDC", 1_000.0), available={0: 990.0})
    made.read(told, section("", 1000, 0.0, position("NEWT", 1.0, 100.0, max_leverage=3.0)))
    pool = made.pool("USDC")
    assert pool.margin_ratio is None, "the position's own limit is only the lowest tier of an unknown table"
    assert pool.failures[0].reason is FailureReason.UNKNOWN_TIER
    made.apply(reference({"NEWT": [(0.0, 3.0), (50.0, 2.0)]}))
    assert made.ratio("USDC") == pytest.approx((50.0 / 6 + 50.0 / 4) / 1_000.0)
    assert made.pool("USDC").reconciled is False, "the wallet was taken without knowing the margin"
    made.wallet(wallet(balance("USDC", 1_000.0), available={0: 1_000.0 - 50.0 / 6 - 50.0 / 4}))
    assert made.pool("USDC").reconciled is True


# -- other collateral tokens -----------------------------------------------------------------------------------------------------


def test_each_collateral_token_is_a_pool_of_its_own() -> None:
    made = OwnDesk()
    sol = section("hyna", 1000, 0.0, position("hyna:SOL", 10.0, 200.0), maintenance_margin=100.0)
    rows = (balance("USDC", TOTAL), balance("USDE", 500.0))
    made.read(wallet(*rows, available={0: TOTAL - 1250.0, 235: 400.0}), one_btc(1000), sol)
    pools = made.pools()
    assert set(pools) == {"USDC", "USDE"}
    assert pools["USDE"].asset == "USDE"
    assert pools["USDE"].equity == pytest.approx(500.0)
    assert pools["USDE"].margin_ratio == pytest.approx(0.2)
    assert pools["USDC"].equity == pytest.approx(TOTAL)
    made.marks(hyna__SOL=195.0)
    assert made.equity("USDE") == pytest.approx(450.0)
    assert made.equity("USDC") == pytest.approx(TOTAL)


def test_positions_in_a_token_the_wallet_has_not_explained_are_shown_as_unknown() -> None:
    made = unified()
    made.now_ms += 5000
    made.sections(one_btc(6000), section("hyna", 6000, 0.0, position("hyna:SOL", 10.0, 200.0)))
    pool = made.pool("USDE")
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.NOT_READY
    assert made.refreshes()
    made.wallet(wallet(balance("USDC", TOTAL), balance("USDE", 500.0), available={0: TOTAL - 1250.0, 235: 400.0}))
    assert made.ratio("USDE") == pytest.approx(0.2)


def test_a_standard_dex_that_settles_in_another_token() -> None:
    made = OwnDesk()
    made.read(wallet(), one_btc(1000), section("hyna", 1000, -1_500.0, position("hyna:SOL", 10.0, 200.0)))
    pools = made.pools()
    assert set(pools) == {"main", "hyna"}
    assert pools["hyna"].asset == "USDE"
    assert pools["hyna"].equity == pytest.approx(500.0)


# -- portfolio margin --------------------------------------------------------------------------------------------------------------


def portfolio(net: float = 50_000.0, short: float = 1000.0, supplied: float = 1000.0) -> OwnDesk:
    """Short HYPE at 100 against HYPE collateral at 100 that counts 82.5 %."""
    made = OwnDesk()
    made.marks(HYPE=100.0)
    made.spot(HYPE=100.0)
    needed = short * 100.0 / 20
    rows = (balance("USDC", net, ltv=0.0), balance("HYPE", supplied, supplied=supplied, ltv=0.65))
    told = wallet(*rows, available={0: net + 82.5 * supplied - needed}, portfolio_margin_enabled=True)
    held = section("", 1000, 0.0, position("HYPE", -short, 100.0), maintenance_margin=needed)
    made.read(told, held)
    made.refreshes()
    return made


def test_collateral_moves_with_its_price() -> None:
    made = portfolio()
    assert made.equity("portfolio") == pytest.approx(50_000.0 + 82_500.0)
    made.marks(HYPE=120.0)
    made.spot(HYPE=120.0)
    pool = made.pool("portfolio")
    assert pool.equity == pytest.approx(50_000.0 - 20_000.0 + 99_000.0)
    assert pool.raw_ratio == pytest.approx(6_000.0 / 129_000.0)
    assert pool.margin_ratio == pytest.approx(6_000.0 / 129_000.0 / 0.95)


def test_negative_net_borrows_and_pays_the_offset() -> None:
    made = portfolio(net=-30_000.0)
    # margin 5,000, short by 35,000
    pool = made.pool("portfolio")
    assert pool.maintenance_margin == pytest.approx(40_020.0)
    assert pool.equity == pytest.approx(5_000.0 + 82_500.0)
    assert pool.raw_ratio == pytest.approx(40_020.0 / 87_500.0)
    made.marks(HYPE=200.0)
    made.spot(HYPE=200.0)
    # net -130,000, margin 10,000
    assert made.pool("portfolio").raw_ratio == pytest.approx(150_020.0 / 175_000.0)


def test_a_spot_sale_moves_collateral_and_net() -> None:
    made = portfolio()
    made.spot_fill("HYPE", "USDC", -500.0, 100.0, 1500)
    assert made.equity("portfolio") == pytest.approx(50_000.0 + 50_000.0 + 41_250.0)
    made.flow(-10_000.0, 1600, dex=None)
    assert made.equity("portfolio") == pytest.approx(50_000.0 + 40_000.0 + 41_250.0)


def test_a_frame_without_portfolio_fields_keeps_what_rest_said() -> None:
    made = portfolio()
    # as the WebSocket sends it: no mode, no ratio, no loan-to-value, no supplied amount
    made.wallet(wallet(balance("USDC", 50_000.0), balance("HYPE", 1_100.0), available={0: 50_000.0 + 90_750.0 - 5_000.0}))
    pool = made.pool("portfolio")
    assert pool.mode == "portfolio_margin"
    assert pool.equity == pytest.approx(50_000.0 + 90_750.0)
    assert pool.reconciled is True


def test_the_venues_availability_values_the_collateral() -> None:
    made = portfolio()
    told = wallet(balance("USDC", 50_000.0), balance("HYPE", 1_000.0), available={0: 50_000.0 + 80_000.0 - 5_000.0})
    made.wallet(told)
    pool = made.pool("portfolio")
    assert pool.equity == pytest.approx(130_000.0)
    assert pool.reconciled is False
    made.spot(HYPE=110.0)
    made.marks(HYPE=110.0)
    assert made.equity("portfolio") == pytest.approx(40_000.0 + 88_000.0)


def test_collateral_without_a_price_is_a_failure() -> None:
    made = OwnDesk()
    rows = (balance("USDC", 50_000.0, ltv=0.0), balance("UBTC", 1.0, supplied=1.0, ltv=0.5))
    made.read(wallet(*rows, available={0: 100_000.0}, portfolio_margin_enabled=True), section("", 1000, 0.0))
    pool = made.pool("portfolio")
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.MISSING_PRICE


def test_positions_that_settle_in_another_token_have_no_published_rule() -> None:
    made = portfolio()
    made.sections(section("hyna", 1001, 0.0, position("hyna:SOL", 1.0, 200.0)), complete=False)
    pool = made.pool("portfolio")
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.UNSUPPORTED_MODE


def test_debt_against_collateral_alone_has_a_distance_and_needs_a_living_price() -> None:
    made = portfolio(net=-50_000.0, short=0.0)
    pool = made.pool("portfolio")
    assert pool.positions == 0
    made.engine.take_distances(made.engine.distance_job(made.now_ns)())
    pool = made.pool("portfolio")
    # requirement 50,000 + 20; liquidated where it is 95 % of what 1,000 HYPE count for (82.5 %)
    assert pool.worst_instrument == name("HYPE")
    assert pool.worst_liquidation_price == pytest.approx(50_020.0 / 0.95 / 825.0)
    made.now_ms += 16_000
    stale = made.pool("portfolio")
    assert stale.margin_ratio is None
    assert stale.failures[0].reason is FailureReason.STALE_MARK
