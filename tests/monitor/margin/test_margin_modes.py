"""Which mode an account is in, and what happens when nobody can say."""

from __future__ import annotations

import pytest

from connectors.events import AccountFailure, FailureReason
from connectors.model import Wallet
from monitor.margin.hyperliquid import VENUE, AccountMode
from monitor.margin.result import PoolKind
from tests.monitor.own_desk import ACCOUNT, OwnDesk, balance, name, position, section, wallet

USDC = balance("USDC", 10_000.0)
AVAILABLE = {0: 8_750.0}
POSITIONS = section("", 1000, -90_000.0, position("BTC", 1.0, 100_000.0))


def read(told: Wallet) -> OwnDesk:
    desk = OwnDesk()
    desk.read(told, POSITIONS)
    return desk


@pytest.mark.parametrize(
    ("told", "mode"),
    [
        (wallet(USDC), AccountMode.STANDARD),
        (wallet(USDC, portfolio_margin_enabled=False), AccountMode.STANDARD),
        (wallet(USDC, available=AVAILABLE), AccountMode.UNIFIED),
        (wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=False), AccountMode.UNIFIED),
        (wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=True), AccountMode.PORTFOLIO_MARGIN),
        (wallet(USDC, portfolio_margin_enabled=True), AccountMode.PORTFOLIO_MARGIN),
        (wallet(balance("USDC", 10_000.0, ltv=0.0), available=AVAILABLE), AccountMode.PORTFOLIO_MARGIN),
    ],
)
def test_rest_tells_the_mode(told: Wallet, mode: AccountMode) -> None:
    desk = read(told)
    assert desk.account.mode is mode
    assert all(pool.mode == mode.value for pool in desk.pools().values())


def test_before_rest_there_is_no_number() -> None:
    desk = OwnDesk()
    assert desk.pool("account").failures[0].reason is FailureReason.NOT_READY
    desk.sections(POSITIONS)
    assert desk.pool("account").failures[0].reason is FailureReason.NOT_READY
    for told in (wallet(USDC, available=AVAILABLE), wallet(USDC)):
        desk.wallet(told)
        assert desk.account.mode is None, "a frame leaves out what tells portfolio margin from unified"
        assert desk.pool("account").margin_ratio is None
        assert desk.refreshes() == ["the wallet frame does not fit the account's mode"]
    desk.read(wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=True), POSITIONS)
    assert set(desk.pools()) == {"portfolio"}


def test_an_account_that_holds_nothing_is_one_empty_pool() -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, 0.0))
    assert desk.ratio("main") == 0.0


@pytest.mark.parametrize(("enabled", "mode"), [(True, AccountMode.PORTFOLIO_MARGIN), (None, AccountMode.UNIFIED)])
def test_a_frame_keeps_what_rest_said(enabled: bool | None, mode: AccountMode) -> None:
    desk = read(wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=enabled))
    desk.wallet(wallet(USDC, available=AVAILABLE))
    assert desk.account.mode is mode
    assert desk.refreshes() == []


def test_a_frame_without_availability_says_nothing_but_is_looked_into() -> None:
    desk = read(wallet(USDC, available=AVAILABLE))
    desk.wallet(wallet(USDC))
    assert desk.account.mode is AccountMode.UNIFIED
    assert desk.equity("USDC") == pytest.approx(10_000.0)
    assert desk.refreshes() == ["the wallet frame does not fit the account's mode"]
    desk.read(wallet(USDC), POSITIONS)
    assert set(desk.pools()) == {"main"}


def test_a_frame_with_availability_proves_the_account_pooled_by_now() -> None:
    desk = read(wallet(USDC))
    desk.wallet(wallet(USDC, available=AVAILABLE))
    assert desk.account.mode is AccountMode.UNIFIED
    assert desk.refreshes() == ["the wallet frame does not fit the account's mode"]
    desk = read(wallet(USDC))
    desk.wallet(wallet(balance("USDC", 10_000.0, ltv=0.0), available=AVAILABLE))
    assert desk.account.mode is AccountMode.PORTFOLIO_MARGIN


def test_the_old_modes_pools_are_gone_after_a_change() -> None:
    desk = read(wallet(USDC))
    assert set(desk.pools()) == {"main"}
    desk.book.vanished.clear()
    desk.read(wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=True), POSITIONS)
    pools = desk.pools()
    assert {scope: pool.kind for scope, pool in pools.items()} == {"portfolio": PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN}
    assert desk.book.vanished == [(VENUE, ACCOUNT, "main")]


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (wallet(USDC), "default"),
        (wallet(USDC), "disabled"),
        (wallet(USDC), "dexAbstraction"),
        (wallet(USDC, available=AVAILABLE), "unifiedAccount"),
        (wallet(USDC, available=AVAILABLE, portfolio_margin_enabled=True), "portfolioMargin"),
        (wallet(USDC, available=AVAILABLE), None),
    ],
)
def test_the_venues_word_agrees(told: Wallet, word: str | None) -> None:
    desk = read(told)
    desk.mode(word)
    assert desk.refreshes() == []
    assert desk.account.failure is None


@pytest.mark.parametrize("word", ["default", "portfolioMargin"])
def test_another_word_of_the_venue_asks_for_the_account(word: str) -> None:
    desk = read(wallet(USDC, available=AVAILABLE))
    desk.mode(word)
    assert desk.refreshes() == ["account mode changed"]
    assert desk.account.mode is AccountMode.UNIFIED, "only the wallet decides"


def test_a_mode_we_cannot_margin_is_a_failure_until_it_ends() -> None:
    desk = read(wallet(USDC, available=AVAILABLE))
    assert desk.pool("USDC").valid
    desk.mode("crossEverything")
    pool = desk.pool("account")
    assert set(desk.pools()) == {"account"}
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.UNSUPPORTED_MODE
    assert "crossEverything" in pool.failures[0].detail
    desk.read(wallet(USDC, available=AVAILABLE), POSITIONS)
    assert desk.pool("account").failures[0].reason is FailureReason.UNSUPPORTED_MODE
    desk.mode("unifiedAccount")
    assert desk.pool("USDC").valid


def failure(desk: OwnDesk, reason: FailureReason) -> None:
    desk.apply(AccountFailure(VENUE, ACCOUNT, desk.now_ns, reason, "account maker cannot be watched"))


def test_an_agent_address_is_a_failure_whatever_else_arrives() -> None:
    desk = OwnDesk()
    failure(desk, FailureReason.AGENT_ADDRESS)
    desk.sections(section("", 1000, 0.0))
    desk.mode("default")
    pools = desk.pools()
    assert set(pools) == {"account"}
    assert pools["account"].failures[0].reason is FailureReason.AGENT_ADDRESS
    assert pools["account"].margin_ratio is None


def test_an_account_that_was_missing_is_watched_once_it_is_read() -> None:
    desk = OwnDesk()
    failure(desk, FailureReason.MISSING_ACCOUNT)
    assert desk.pool("account").failures[0].reason is FailureReason.MISSING_ACCOUNT
    desk.read(wallet(USDC), POSITIONS)
    assert desk.pool("main").valid


# -- margin tables -------------------------------------------------------------------------------------------------------------------


def maintenance(desk: OwnDesk, pool: str = "main") -> float:
    needed = desk.pool(pool).maintenance_margin
    assert needed is not None
    return needed


def held(quantity: float, max_leverage: float) -> OwnDesk:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, 0.0, position("BTC", quantity, 100_000.0, max_leverage=max_leverage)))
    return desk


def test_a_vaults_own_leverage_limit_replaces_the_table() -> None:
    assert maintenance(held(3000.0, 50.0)) == pytest.approx(300e6 / 100)


@pytest.mark.parametrize("max_leverage", [0.0, 40.0, 20.0])
def test_a_limit_that_is_one_of_the_tables_keeps_it(max_leverage: float) -> None:
    assert maintenance(held(3000.0, max_leverage)) == pytest.approx(5_625_000.0)


def test_an_instrument_not_listed_is_a_failure() -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, 5_000.0, position("NEWCOIN", 1.0, 100.0, max_leverage=3.0)))
    pool = desk.pool("main")
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.UNKNOWN_INSTRUMENT
    assert name("NEWCOIN") in pool.failures[0].detail


@pytest.mark.parametrize("isolated", [None, -50.0])
def test_a_table_not_listed_is_a_failure_whatever_the_position_says(isolated: float | None) -> None:
    desk = OwnDesk()
    desk.read(wallet(), section("", 1000, 5_000.0, position("NEWT", 1.0, 100.0, max_leverage=3.0, isolated=isolated)))
    pool = desk.pool("main" if isolated is None else "iso:NEWT")
    assert pool.margin_ratio is None
    assert pool.failures[0].reason is FailureReason.UNKNOWN_TIER
