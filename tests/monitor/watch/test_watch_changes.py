"""Transfers and changed parameters, with the margin before and after; and what a venue did to an account."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from connectors.events import (
    AccountSnapshot,
    BorrowReserve,
    BorrowReserves,
    CashFlow,
    CashFlowKind,
    Fill,
    Liquidation,
    LiquidationKind,
    MarginCall,
    MarkPrices,
)
from connectors.model import MarginTier
from monitor.alerts.incident import Occurrence
from monitor.alerts.rules import Rule
from monitor.margin.result import Level
from tests.monitor import aster_desk, own_desk
from tests.monitor.watch.watch_desk import ASTER, HYPER, LONG, MARK, SHORT, WatchDesk, relisted

TRANSFER, FUNDING = CashFlowKind.TRANSFER, CashFlowKind.FUNDING


def flow(
    desk: WatchDesk, amount: float, section: str | None = "", asset: str = "USDC", *, kind: CashFlowKind = TRANSFER, snapshot: bool = False
) -> CashFlow:
    desk.pass_s(0.001)
    return CashFlow(HYPER, LONG, desk.now_ns, f"flow{desk.now_ns}", 10**13, kind, asset, amount, section, snapshot=snapshot)


def told(found: list[Occurrence]) -> list[tuple[str, Rule, Level, str]]:
    return [(one.scope.path, one.rule, one.level, one.detail) for one in found]


# -- transfers ---------------------------------------------------------------------------------------------------------------


def test_a_withdrawal_is_told_with_the_ratio_before_and_after(desk: WatchDesk) -> None:
    desk.tell(flow(desk, -100_000.0))
    (one,) = told(desk.evaluate())
    assert one[:3] == ("hyperliquid/long", Rule.TRANSFER, Level.WARNING)
    assert one[3] == "100,000 USDC went out on main by a transfer; main ratio 6.2% -> 12.5%"
    assert desk.evaluate() == []


def test_a_transfer_names_the_pools_of_its_ledger_only(desk: WatchDesk) -> None:
    position = own_desk.position("ETH", 10.0, 3_000.0, isolated=-27_000.0)
    row = own_desk.section("", 1, 200_000.0 - 10 * MARK, own_desk.position("BTC", 10.0, MARK), position)
    desk.tell(MarkPrices(HYPER, "allDexsAssetCtxs", desk.now_ns, ["hyperliquid:ETH"], [3_000.0], [3_000.0], [0.0]))
    desk.tell(AccountSnapshot(HYPER, LONG, desk.now_ns, (row,), own_desk.wallet()))
    desk.evaluate()
    assert "iso:ETH" in {result.pool for result in desk.engine.results(desk.now_ns)}
    desk.tell(flow(desk, -100_000.0))
    desk.tell(MarkPrices(HYPER, "allDexsAssetCtxs", desk.now_ns, ["hyperliquid:ETH"], [3_001.0], [3_001.0], [0.0]))
    (one,) = desk.evaluate()
    assert "main ratio" in one.detail
    assert "iso:ETH" not in one.detail


def test_a_transfer_that_a_frame_told_before_has_one_ratio(desk: WatchDesk) -> None:
    desk.tell(replace(flow(desk, -100_000.0), time_ms=0))
    assert desk.evaluate()[0].detail.endswith("; main ratio 6.2%")


def test_a_small_transfer_funding_and_history_are_none(desk: WatchDesk) -> None:
    desk.tell(flow(desk, -1_999.0), flow(desk, 50_000.0, kind=FUNDING), flow(desk, 50_000.0, snapshot=True))
    assert desk.evaluate() == []
    desk.tell(flow(desk, 5_000.0))
    assert "5,000 USDC came in" in desk.evaluate()[0].detail


def test_several_legs_of_one_ledger_are_summed(desk: WatchDesk) -> None:
    desk.tell(flow(desk, 50_000.0), flow(desk, -49_500.0))
    assert desk.evaluate() == []


def test_between_wallet_and_dex_only_a_split_account_moves(desk: WatchDesk) -> None:
    desk.tell(flow(desk, 50_000.0, ""), flow(desk, -50_000.0, None))
    assert "50,000 USDC came in on main" in desk.evaluate()[0].detail
    desk.unified(own_desk.balance("USDC", 200_000.0))
    desk.evaluate()
    desk.tell(flow(desk, 50_000.0, ""), flow(desk, -50_000.0, None))
    assert desk.evaluate() == [], "it is one pool"
    desk.tell(flow(desk, -50_000.0, None))
    (one,) = desk.evaluate()
    assert one.detail.startswith("50,000 USDC went out by a transfer; USDC ratio 7.7% -> 11.1%")


def test_a_transfer_is_told_though_no_venue_prices_its_stablecoin(tmp_path: Path) -> None:
    desk = WatchDesk(tmp_path, fx="").open()
    desk.tell(flow(desk, -100_000.0))
    assert "100,000 USDC went out" in desk.evaluate()[0].detail


def test_an_asset_without_a_price_is_not_told(desk: WatchDesk) -> None:
    desk.unified(own_desk.balance("USDC", 200_000.0))
    desk.evaluate()
    desk.tell(flow(desk, 1e9, None, "MEME"))
    assert desk.evaluate() == []


def test_dust_is_no_transfer_of_an_empty_account(desk: WatchDesk) -> None:
    desk.long(0.0, 0.0)
    desk.evaluate()
    desk.tell(flow(desk, 0.5))
    assert desk.evaluate() == []
    desk.tell(flow(desk, 500.0))
    assert len(desk.evaluate()) == 1


def test_a_transfer_on_aster_comes_with_the_balances(desk: WatchDesk) -> None:
    desk.tell(CashFlow(ASTER, SHORT, desk.now_ns, "f", 10**13, TRANSFER, "USDT", -50_000.0, "USDT"))
    desk.short(money=100_000.0)
    (one,) = told(desk.evaluate())
    assert one[0] == "aster/short"
    assert one[3] == "50,000 USDT went out by a transfer; USDT ratio 3.3% -> 5.0%"


def test_an_account_that_is_not_ours_is_nobodys(desk: WatchDesk) -> None:
    desk.tell(replace(flow(desk, -100_000.0), account="other"), replace(flow(desk, -100_000.0), venue="deribit"))
    assert desk.evaluate() == []


# -- parameters --------------------------------------------------------------------------------------------------------------


def test_another_margin_table_is_told_with_the_margin_before_and_after(desk: WatchDesk) -> None:
    desk.tell(relisted(own_desk.reference(), "BTC", tiers=own_desk.tiers((0.0, 20.0), (150e6, 10.0)), max_leverage=20.0))
    (one,) = told(desk.evaluate())
    assert one[:3] == ("hyperliquid/long", Rule.PARAMETERS, Level.WARNING)
    assert one[3] == (
        "the venue changed BTC maintenance above 0: 1.25% -> 2.5%; BTC max leverage 40 -> 20; "
        "main maintenance 12,500 USDC -> 25,000 USDC, ratio 6.2% -> 12.5%"
    )
    assert desk.evaluate() == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"funding_interval_h": 8.0}, {"funding_interval_h": 4.0}, "BTC funding every 8 h -> 4 h"),
        ({}, {"multiplier": 1000.0}, "BTC contract of 1 -> 1000 BTC"),
        ({}, {"settle": "USDE"}, "BTC settles in USDC -> USDE"),
        ({}, {"isolated_only": True}, "BTC isolated margin only"),
        ({}, {"tiers": (MarginTier(0.0, 0.0125, 0.0),)}, "BTC margin table of 2 -> 1 tiers, the first 1.25%"),
    ],
)
def test_what_else_may_change(desk: WatchDesk, before: dict[str, float], after: dict[str, object], words: str) -> None:
    desk.tell(relisted(own_desk.reference(), "BTC", **before))
    desk.evaluate()
    desk.tell(relisted(own_desk.reference(), "BTC", **after))
    (one,) = desk.evaluate()
    assert words in one.detail
    assert "main maintenance" in one.detail


@pytest.mark.parametrize(
    "changes", [{"funding_interval_h": 8.0}, {"max_leverage": 0.0}, {"tiers": ()}, {"price_index": ""}, {"delisted": True}]
)
def test_what_was_not_said_before_is_no_change(desk: WatchDesk, changes: dict[str, object]) -> None:
    desk.tell(relisted(own_desk.reference(), "BTC", **changes))
    assert desk.evaluate() == []


def test_only_what_is_held_counts(desk: WatchDesk) -> None:
    desk.tell(relisted(own_desk.reference(), "ETH", max_leverage=3.0), aster_desk.reference())
    assert desk.evaluate() == []


def test_an_instrument_that_is_gone_is_told_unless_it_expired(desk: WatchDesk) -> None:
    without = replace(own_desk.reference(), instruments=tuple(one for one in own_desk.reference().instruments if one.symbol != "BTC"))
    desk.second()
    desk.tell(relisted(own_desk.reference(), "BTC", expiry_ms=desk.now_ms - 1))
    desk.evaluate()
    desk.tell(without)
    assert desk.evaluate() == []
    desk.tell(own_desk.reference())
    desk.evaluate()
    desk.tell(without)
    assert "BTC is not listed any more; its margin is not known now" in desk.evaluate()[0].detail


def test_many_changes_are_counted(desk: WatchDesk) -> None:
    changes = {"tiers": own_desk.tiers((0.0, 20.0)), "max_leverage": 20.0, "multiplier": 10.0, "isolated_only": True, "settle": "X"}
    desk.tell(relisted(own_desk.reference(), "BTC", **changes))
    assert "(+2 more)" in desk.evaluate()[0].detail


def test_an_asset_that_is_no_margin_any_more(desk: WatchDesk) -> None:
    desk.tell(replace(aster_desk.reference(), sections={"USD1": 1}))
    assert "USDT is no margin asset any more" in desk.evaluate()[0].detail


def test_another_loan_to_value_of_held_collateral(desk: WatchDesk) -> None:
    desk.unified(own_desk.balance("USDC", 200_000.0, ltv=0.0), own_desk.balance("HYPE", 100.0, ltv=0.65, supplied=100.0))
    desk.tell(_reserves(desk, 0.65))
    desk.evaluate()
    desk.tell(_reserves(desk, 0.65))
    assert desk.evaluate() == []
    desk.tell(_reserves(desk, 0.5))
    (one,) = told(desk.evaluate())
    assert one[:2] == ("hyperliquid/long", Rule.PARAMETERS)
    assert "the venue changed LTV of HYPE 65.0% -> 50.0%; portfolio" in one[3]


def _reserves(desk: WatchDesk, ltv: float) -> BorrowReserves:
    return BorrowReserves(HYPER, desk.now_ns, (BorrowReserve("HYPE", 150, 40.0, ltv, 0.1), BorrowReserve("UBTC", 197, 1e5, ltv, 0.1)))


# -- seen --------------------------------------------------------------------------------------------------------------------


def pages(desk: WatchDesk) -> list[str]:
    """What is told by itself."""
    return [one.detail for one in desk.evaluate() if not one.quiet]


def fill(desk: WatchDesk, kind: LiquidationKind | None, *, time_ms: int = 10**13, snapshot: bool = False, coin: str = "BTC") -> Fill:
    desk.pass_s(0.001)
    name = f"fill{desk.now_ns}"
    return Fill(
        HYPER, LONG, desk.now_ns, name, time_ms, -0.5, 99_000.0, 0.0, "USDC", f"hyperliquid:{coin}",
        liquidation=kind is not None, snapshot=snapshot, liquidation_kind=kind,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "detail", "words"),
    [
        (LiquidationKind.LIQUIDATION, "liquidation of 0.5 BTCUSDT", "liquidation of 0.5 BTCUSDT"),
        (LiquidationKind.LIQUIDATION, "bought 0.5 X at 0.06", "liquidation: bought 0.5 X at 0.06"),
        (LiquidationKind.BACKSTOP, "liquidation of 2 BTC", "backstop: liquidation of 2 BTC"),
        (LiquidationKind.ADL, "ADL of 2 ETHUSDT", "ADL of 2 ETHUSDT"),
    ],
)
def test_what_a_venue_tells_of_itself_is_critical_at_once(desk: WatchDesk, kind: LiquidationKind, detail: str, words: str) -> None:
    desk.watch.note(Liquidation(ASTER, SHORT, desk.now_ns, 1, detail, kind), desk.now_ns)
    assert told(desk.watch.occurrences()) == [("aster/short", Rule.LIQUIDATION_SEEN, Level.LIQUIDATION, words)]
    assert desk.watch.occurrences() == []


def test_an_execution_of_the_venue_is_told_once(desk: WatchDesk) -> None:
    backstop = LiquidationKind.BACKSTOP
    desk.tell(fill(desk, None), fill(desk, LiquidationKind.LIQUIDATION), fill(desk, LiquidationKind.LIQUIDATION), fill(desk, backstop))
    assert pages(desk) == [
        "liquidation: the venue sold 0.5 BTC at 99000 for the account",
        "backstop: the venue sold 0.5 BTC at 99000 for the account",
    ]
    desk.pass_s(61)
    desk.tell(fill(desk, backstop))
    assert len(pages(desk)) == 1, "another one"


def test_every_instrument_of_an_episode_is_told_and_what_goes_on_prolongs_it(desk: WatchDesk) -> None:
    coins = ["BTC", "ETH", "SOL", "BTC", "ETH", "SOL", "BTC"]
    told = []
    for coin in coins:
        desk.tell(fill(desk, LiquidationKind.ADL, coin=coin))
        told += desk.evaluate()
        desk.pass_s(50)
    assert [one.quiet for one in told] == [False] * 3 + [True] * 4
    assert "SOL" in told[2].detail


@pytest.mark.parametrize(
    ("notice", "kind", "is_quiet"),
    [
        ("Isolated liquidation of 384,028.00 notional: -4 BTC", LiquidationKind.LIQUIDATION, True),
        ("Cross liquidation of 384,028.00 notional: -4 ETH, 2 BTC", LiquidationKind.LIQUIDATION, False),
        ("Cross liquidation of 384,028.00 notional: 4 1000PEPE", LiquidationKind.LIQUIDATION, False),
        ("liquidation of 50,000.00 notional at an account value of 1,000.00", LiquidationKind.LIQUIDATION, True),
        ("Isolated liquidation of 384,028.00 notional: -4 ETH", LiquidationKind.LIQUIDATION, False),
        ("ADL of 4 BTC", LiquidationKind.ADL, False),
    ],
)
def test_a_notice_of_what_executions_told_is_no_page_of_its_own(
    desk: WatchDesk, notice: str, kind: LiquidationKind, is_quiet: bool
) -> None:
    desk.tell(fill(desk, LiquidationKind.BACKSTOP))
    desk.pass_s(11)
    desk.tell(Liquidation(HYPER, LONG, desk.now_ns, 1, notice, kind))
    assert [one.quiet for one in desk.evaluate()] == [False, is_quiet]


def test_a_notice_stands_for_the_first_instrument_that_follows_only(desk: WatchDesk) -> None:
    desk.tell(Liquidation(HYPER, LONG, desk.now_ns, 1, "liquidation of 50,000.00 notional at an account value of 1.00"))
    for coin in ("BTC", "BTC", "ETH"):
        desk.tell(fill(desk, LiquidationKind.LIQUIDATION, coin=coin))
    assert [one.quiet for one in desk.evaluate()] == [False, True, True, False]


def test_an_execution_of_what_was_told_already_is_not_told_again(desk: WatchDesk) -> None:
    desk.tell(Liquidation(HYPER, LONG, desk.now_ns, 1, "liquidation of 50,000.00 notional"), fill(desk, LiquidationKind.LIQUIDATION))
    assert len(pages(desk)) == 1


def test_history_pages_nobody_but_what_was_missed_does(desk: WatchDesk) -> None:
    old, kind = desk.now_ms - 900_001, LiquidationKind.LIQUIDATION
    desk.tell(fill(desk, kind, time_ms=old, snapshot=True))
    desk.second()
    desk.tell(fill(desk, kind, time_ms=old, snapshot=True))
    assert desk.evaluate() == []
    desk.tell(fill(desk, kind, time_ms=desk.now_ms + 1, snapshot=True))
    (one,) = pages(desk)
    assert one.endswith("for the account"), "it happened while the connection was down"


def test_what_happened_while_the_monitor_was_down_is_told_unless_an_earlier_run_told_it(desk: WatchDesk) -> None:
    began_ms, kind = desk.now_ms, LiquidationKind.LIQUIDATION
    desk.watch.told_until_ms = {LONG: began_ms - 60_000}
    desk.tell(fill(desk, kind, time_ms=began_ms - 60_000, snapshot=True, coin="ETH"))
    desk.tell(fill(desk, kind, time_ms=began_ms - 59_999, snapshot=True))
    assert desk.evaluate() == [], "nothing says yet when we began"
    desk.second()
    assert pages(desk) == ["liquidation: the venue sold 0.5 BTC at 99000 for the account, while the monitor was not running"]
    notices = [Liquidation(HYPER, LONG, desk.now_ns, began_ms - age_ms, f"liquidation of {age_ms} SOL") for age_ms in (60_000, 30_000)]
    desk.tell(*notices)
    assert pages(desk) == ["liquidation of 30000 SOL, while the monitor was not running"]


def test_a_margin_call_warns(desk: WatchDesk) -> None:
    desk.tell(MarginCall(ASTER, SHORT, desk.now_ns, 1, "the venue warns of a high margin ratio"))
    assert told(desk.evaluate()) == [("aster/short", Rule.MARGIN_CALL, Level.WARNING, "the venue warns of a high margin ratio")]
