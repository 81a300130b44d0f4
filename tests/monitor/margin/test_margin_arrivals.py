"""Wallets carry no time, and feeds do not wait for each other: nothing is counted twice, nothing is lost."""

from __future__ import annotations

import pytest

from connectors.events import CashFlow, CashFlowKind
from connectors.model import Section, Wallet
from monitor.margin.hyperliquid import VENUE
from tests.monitor.own_desk import ACCOUNT, OwnDesk, balance, position, section, wallet

NEEDED = 1250.0
TOTAL, HELD = 10_000.0, 100.0


def one_btc(time_ms: int) -> Section:
    return section("", time_ms, 0.0, position("BTC", 1.0, 100_000.0), maintenance_margin=NEEDED)


def purse(usdc: float, hype: float) -> Wallet:
    return wallet(balance("USDC", usdc), balance("HYPE", hype), available={0: usdc - NEEDED})


def unified() -> OwnDesk:
    """One BTC, 10,000 USDC and 100 HYPE, read at 1,000 ms."""
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    made.read(purse(TOTAL, HELD), one_btc(1000))
    made.now_ms = 2000
    made.refreshes()
    return made


def transfer(made: OwnDesk, time_ms: int, *legs: tuple[str | None, float]) -> None:
    for index, (dex, amount) in enumerate(legs):
        made.apply(CashFlow(VENUE, ACCOUNT, made.now_ns, f"{time_ms}:row:{index}", time_ms, CashFlowKind.TRANSFER, "USDC", amount, dex))


def test_a_spot_execution_after_the_wallet_that_contains_it_counts_once() -> None:
    made = unified()
    made.wallet(purse(TOTAL - 600.0, HELD + 10.0))
    made.now_ms = 2500
    made.spot_fill("HYPE", "USDC", 10.0, 60.0, 1900)
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)


def test_a_spot_execution_after_two_wallets_that_contain_it_counts_once() -> None:
    made = unified()
    made.wallet(purse(TOTAL - 600.0, HELD + 10.0))
    made.now_ms = 2500
    made.wallet(purse(TOTAL - 600.0, HELD + 10.0))
    made.spot_fill("HYPE", "USDC", 10.0, 60.0, 1900)
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)


def test_a_spot_execution_that_the_next_wallet_lacks_is_kept() -> None:
    made = unified()
    made.spot_fill("HYPE", "USDC", 10.0, 60.0, 1900)
    made.wallet(purse(TOTAL, HELD))
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)
    made.wallet(purse(TOTAL - 600.0, HELD + 10.0))
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)


def test_of_two_spot_executions_the_one_the_wallet_lacks_is_kept() -> None:
    made = unified()
    made.spot_fill("HYPE", "USDC", 10.0, 60.0, 1800)
    made.spot_fill("HYPE", "USDC", 20.0, 61.0, 1900)
    made.wallet(purse(TOTAL - 600.0, HELD + 10.0))
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0 - 1220.0)


def test_opposite_spot_executions_the_wallet_contains_count_once() -> None:
    made = unified()
    made.fill("BTC", 0.0001, 100_000.0, 1950)
    made.wallet(wallet(balance("USDC", TOTAL - 600.0), balance("HYPE", HELD + 10.0), available={0: TOTAL - 600.0 - 1250.125}))
    made.spot_fill("HYPE", "USDC", -15.0, 60.0, 1800)
    made.spot_fill("HYPE", "USDC", 25.0, 60.0, 1900)
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)


def test_an_unexpected_balance_does_not_swallow_a_later_execution() -> None:
    made = unified()
    made.wallet(purse(TOTAL, HELD + 5.0))
    made.now_ms = 60_000
    made.spot_fill("HYPE", "USDC", 5.0, 60.0, 59_900)
    assert made.equity("USDC") == pytest.approx(TOTAL - 300.0)


def test_a_rest_wallet_older_than_a_spot_execution_does_not_undo_it() -> None:
    made = unified()
    made.spot_fill("HYPE", "USDC", 10.0, 60.0, 1900)
    made.read(purse(TOTAL, HELD), one_btc(1800))
    assert made.equity("USDC") == pytest.approx(TOTAL - 600.0)


def test_a_rest_answer_overtaken_by_a_wallet_frame_is_ignored() -> None:
    made = unified()
    made.sections(one_btc(1900))
    made.wallet(purse(TOTAL + 700.0, HELD))
    made.read(purse(TOTAL, HELD), one_btc(1500))
    assert made.equity("USDC") == pytest.approx(TOTAL + 700.0)


@pytest.mark.parametrize("amount", [3000.0, -3000.0])
def test_a_transfer_after_the_wallet_that_contains_it_counts_once(amount: float) -> None:
    made = unified()
    made.wallet(purse(TOTAL + amount, HELD))
    made.now_ms = 2400
    transfer(made, 1900, ("", amount))
    assert made.equity("USDC") == pytest.approx(TOTAL + amount)


@pytest.mark.parametrize("amount", [3000.0, -3000.0])
def test_a_transfer_that_the_next_wallet_lacks_is_kept(amount: float) -> None:
    made = unified()
    transfer(made, 1900, ("", amount))
    made.wallet(purse(TOTAL, HELD))
    assert made.equity("USDC") == pytest.approx(TOTAL + amount)


@pytest.mark.parametrize("frame_ms", [1700, 1950])
def test_a_transfer_is_counted_though_the_account_frame_is_newer(frame_ms: int) -> None:
    made = unified()
    made.sections(one_btc(frame_ms))
    transfer(made, 1900, ("", 3000.0))
    assert made.equity("USDC") == pytest.approx(TOTAL + 3000.0)


@pytest.mark.parametrize("frame_ms", [1700, 1950])
def test_a_transfer_within_the_pool_changes_nothing(frame_ms: int) -> None:
    made = unified()
    made.sections(one_btc(frame_ms))
    transfer(made, 1900, ("", 3000.0), (None, -3000.0))
    assert made.equity("USDC") == pytest.approx(TOTAL)


def test_a_position_of_a_kind_never_seen_awaits_its_frame() -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0, ETH=4_000.0)
    made.read(wallet(balance("USDC", 0.0)), section("", 1000, 10_000.0, maintenance_margin=0.0))
    made.refreshes()
    made.fill("ETH", 1.0, 4_000.0, 1500)
    assert made.pool("main").reconciled is False
    assert made.refreshes() == ["new position awaits the venue's frame"]
    made.sections(section("", 1600, 6_000.0, position("ETH", 1.0, 4_000.0), maintenance_margin=80.0, equity=10_000.0))
    assert made.pool("main").reconciled is True


def test_a_position_opened_again_is_isolated_as_it_was() -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0, ETH=4_000.0)
    held = section("", 1000, 10_000.0, position("ETH", 1.0, 4_000.0, isolated=-3_600.0))
    made.read(wallet(balance("USDC", 0.0)), held)
    made.fill("ETH", -1.0, 4_000.0, 1500)
    made.sections(section("", 1600, 10_400.0))
    made.fill("ETH", 2.0, 4_000.0, 1700)
    assert made.equity("iso:ETH") == pytest.approx(800.0)
    assert made.equity("main") == pytest.approx(9_600.0)


@pytest.mark.parametrize(("word", "agrees"), [("unifiedAccount", True), ("default", False)])
def test_a_mode_the_venue_contradicts_is_not_shown_as_certain(word: str, agrees: bool) -> None:
    made = unified()
    made.mode(word)
    assert made.pool("USDC").reconciled is agrees
    assert made.refreshes() == ([] if agrees else ["account mode changed"])


def test_a_wallet_frame_against_the_mode_leaves_doubt_until_rest_has_spoken() -> None:
    made = unified()
    made.wallet(wallet(balance("USDC", TOTAL)))
    made.wallet(purse(TOTAL, HELD))
    assert made.pool("USDC").reconciled is False
    made.now_ms = 3000
    made.read(purse(TOTAL, HELD), one_btc(2500))
    assert made.pool("USDC").reconciled is True


@pytest.mark.parametrize(("ratio", "agrees"), [(0.125, True), (0.2, False)])
def test_what_the_venues_ratio_says_holds_until_the_next_one(ratio: float, agrees: bool) -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0)
    row = balance("USDC", TOTAL, ltv=0.0)
    available = {0: TOTAL - NEEDED}
    made.read(wallet(row, available=available, portfolio_margin_enabled=True, portfolio_margin_ratio=ratio), one_btc(1000))
    shown = made.ratio("portfolio")
    made.now_ms = 6000
    made.sections(one_btc(6000))
    made.wallet(wallet(row, available=available))
    assert made.ratio("portfolio") == pytest.approx(shown) == pytest.approx(ratio / 0.95)
    assert made.pool("portfolio").reconciled is agrees


def test_collateral_bought_for_the_first_time_counts_at_once() -> None:
    made = OwnDesk()
    made.marks(BTC=100_000.0, HYPE=60.0)
    made.spot(HYPE=60.0)
    rows = (balance("USDC", TOTAL, ltv=0.0), balance("HYPE", 0.0, ltv=0.65))
    available = {0: TOTAL - NEEDED}
    made.read(wallet(*rows, available=available, portfolio_margin_enabled=True), one_btc(1000))
    made.spot_fill("HYPE", "USDC", 50.0, 60.0, 1500)
    assert made.equity("portfolio") == pytest.approx(TOTAL - 50.0 * 60.0 * (1 - 0.825))
