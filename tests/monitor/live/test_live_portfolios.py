"""Portfolios over the live book: a long on one venue, a short on the other."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config import load
from config.settings import Settings
from connectors.events import (
    AccountSnapshot,
    Event,
    FailureReason,
    FuturesSnapshot,
    Instruments,
    MarkPrices,
    ModeReport,
    OutcomeMarkets,
    OutcomePrices,
    Source,
    WalletSnapshot,
)
from connectors.model import Balance, FuturesAccount, OutcomeMarket
from monitor.book import Book
from monitor.engine import Engine
from monitor.live.export import snapshot_document
from monitor.live.inputs import portfolio_inputs
from monitor.live.portfolios import LivePortfolios, build_books
from monitor.live.table import portfolio_line, portfolio_panel
from monitor.live.view import PortfolioView, portfolio_view
from monitor.margin.configured import build_book
from monitor.margin.portfolio import portfolio_result
from monitor.report.document import margin_report
from monitor.snapshot import parse_snapshot
from tests.monitor import aster_desk, own_desk

KEY = "0x" + "01" * 32
MARK, SIZE = 100_000.0, 10.0
SECOND = 1_000_000_000
NOW_MS = 1_790_000_000_000


class Pair:
    """Two accounts, one on each venue, and a desk over them."""

    def __init__(self, folder: Path, more: str = "", *, fx: str = "USDC = 1.0\nUSDT = 0.999\n") -> None:
        path = folder / "pair.toml"
        path.write_text(
            f'[[accounts]]\nid = "long"\nvenue = "hyperliquid"\naddress = "0x{1:040x}"\n'
            f'[[accounts]]\nid = "short"\nvenue = "aster"\naddress = "0x{2:040x}"\nagent_key_env = "K"\n[fx]\n{fx}{more}'
        )
        self.settings: Settings = load(path, environ={"K": KEY}, quiet=True)
        self.book: Book = build_book(self.settings)
        self.engine = Engine(self.book)
        self.live = LivePortfolios(self.settings, self.engine)
        self.live.ready = True
        self.now_ns = SECOND
        self.tell(own_desk.reference())
        self.tell(aster_desk.reference())

    def tell(self, event: Event) -> None:
        self.book.apply(event)
        self.live.apply(event)

    def long(self, quantity: float = SIZE, cash: float = 200_000.0) -> None:
        held = own_desk.position("BTC", quantity, MARK)
        row = own_desk.section("", 1, cash - quantity * MARK, held)
        self.tell(ModeReport("hyperliquid", "long", self.now_ns, "default"))
        self.tell(AccountSnapshot("hyperliquid", "long", self.now_ns, (row,), own_desk.wallet()))

    def short(self, quantity: float = -SIZE, money: float = 150_000.0, *, multi: bool = False, **assets: float) -> None:
        balances = {"USDT": money, **assets}
        read = aster_desk.read(balances, [aster_desk.position("BTCUSDT", quantity, MARK, MARK)])
        state = FuturesAccount(multi, False, 1, read.assets, read.positions, read)
        self.tell(FuturesSnapshot("aster", "short", self.now_ns, Source.POLL, state))

    def marks(self, level: float = MARK) -> None:
        for venue, name in (("hyperliquid", "hyperliquid:BTC"), ("aster", "aster:BTCUSDT")):
            self.tell(MarkPrices(venue, "feed", self.now_ns, [name], [level], [level], [0.0001]))

    def evaluate(self) -> None:
        self.engine.evaluate()
        self.live.touch(self.book.touched)
        self.live.resync(self.now_ns)
        self.live.evaluate(self.now_ns, NOW_MS)

    def document(self, name: str = "portfolio") -> dict[str, Any]:
        self.evaluate()
        document = snapshot_document(self.live, self.engine, name)
        assert document is not None
        return document

    def views(self) -> tuple[PortfolioView, ...]:
        self.evaluate()
        found = []
        for portfolio in self.settings.portfolios:
            failures = self.live.failures_of(portfolio.accounts)
            view = PortfolioView(portfolio.id, NOW_MS, failures)
            found.append(
                view if failures else portfolio_view(portfolio, self.document(portfolio.id), portfolio_inputs(self.live, portfolio.id))
            )
        return tuple(found)

    def view(self) -> PortfolioView:
        (found,) = self.views()
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path)
    made.marks()
    made.long()
    made.short()
    return made


def shown(*views: PortfolioView) -> str:
    console = Console(file=io.StringIO(), width=150, color_system=None)
    console.print(portfolio_panel(views))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_was_never_computed_is_no_figure(pair: Pair) -> None:
    (before,) = pair.live.figures()
    assert [failure.reason for failure in before.failures] == [FailureReason.NOT_READY]
    assert before.margin_ratio is None
    assert snapshot_document(pair.live, pair.engine, "portfolio") is None
    pair.evaluate()
    (after,) = pair.live.figures()
    assert (after.failures, after.margin_ratio is None) == ((), False)


def test_new_books_have_no_figures_before_their_first_evaluation(pair: Pair) -> None:
    pair.evaluate()
    pair.live.configure(pair.settings, build_books(pair.settings))
    (found,) = pair.live.figures()
    assert [failure.reason for failure in found.failures] == [FailureReason.NOT_READY]


def test_each_side_dies_first_on_its_own_venue_and_the_pair_is_calm(pair: Pair) -> None:
    pair.marks(0.9 * MARK)
    view = pair.view()
    assert view.failures == ()
    assert view.result is not None
    assert view.result.margin_ratio is not None
    assert view.venues is not None
    worth = 0.999 * (150_000.0 + 0.1 * SIZE * MARK) + 200_000.0 - 0.1 * SIZE * MARK
    assert view.result.equity == pytest.approx(worth, rel=1e-12)
    pools = {curve.account: curve for curve in view.venues.pools}
    assert view.venues.first_down is not None
    assert view.venues.first_up is not None
    assert view.venues.pools[view.venues.first_down[0]].account == "long"
    assert view.venues.pools[view.venues.first_up[0]].account == "short"
    assert pools["long"].up is pools["short"].down is None
    assert not any(curve.assumed for curve in view.venues.pools)
    now = {result.account: result.margin_ratio for result in pair.engine.results(pair.now_ns)}
    assert pools["long"].ratio == pytest.approx(now["long"], rel=1e-12)
    assert pools["short"].ratio == pytest.approx(now["short"], rel=1e-12)
    assert view.result.margin_ratio < 0.5 * (pools["long"].ratio or 0.0)


def test_what_is_sent_brings_both_pools_to_one_ratio(pair: Pair) -> None:
    pair.marks(0.85 * MARK)
    view = pair.view()
    assert view.venues is not None
    sent = {transfer.account: transfer for transfer in view.venues.transfers}
    assert sent["long"].usd == pytest.approx(-sent["short"].usd)
    assert sent["long"].usd > 0
    assert sent["short"].amount == pytest.approx(sent["short"].usd / 0.999)
    ratio = {result.account: result for result in pair.engine.results(pair.now_ns)}
    after = {
        name: (ratio[name].maintenance_margin or 0.0) / ((ratio[name].equity or 0.0) + sent[name].amount) for name in ("long", "short")
    }
    assert after["long"] == pytest.approx(after["short"], rel=1e-9)
    assert after["long"] == pytest.approx(view.venues.common_ratio, rel=1e-9)


def test_a_portfolio_in_one_line(pair: Pair) -> None:
    pair.marks(0.85 * MARK)
    line = portfolio_line(pair.view())
    assert line.startswith("portfolio portfolio ")
    assert "; down: long/main (" in line
    assert "; up: short/USDT (" in line
    assert " USDC to long -> " in line
    pair.now_ns = 1000 * SECOND
    assert portfolio_line(pair.view()).startswith("portfolio portfolio: no value; account long has no value: no mark")


def test_the_document_is_one_that_report_reads_to_the_same_numbers(pair: Pair) -> None:
    document, view = pair.document(), pair.view()
    snapshot = parse_snapshot(document, "the live book")
    report = margin_report(snapshot, pair.settings.portfolios[0].parameter_set)
    assert view.result is not None
    assert report["portfolios"][0]["margin_ratio"] == pytest.approx(view.result.margin_ratio, rel=1e-12)
    assert report["portfolios"][0]["equity"] == pytest.approx(view.result.equity, rel=1e-12)
    assert {row["id"]: row["margin_ratio"] for row in report["accounts"]} == {
        result.account: pytest.approx(result.margin_ratio, rel=1e-12) for result in pair.engine.results(pair.now_ns)
    }


def test_collateral_counts_with_its_haircut_and_is_a_balance(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.marks()
    pair.tell(MarkPrices("aster", "feed", 1, ["aster:BNBUSDT"], [600.0], [600.0], [math.nan]))
    pair.long()
    pair.short(multi=True, money=-20_000.0, BNB=400.0)
    document = pair.document()
    short = next(account for account in document["accounts"] if account["id"] == "short")
    assert list(short["balances"][1:]) == [{"asset": "BNB", "total": 400.0, "collateral_ratio": pytest.approx(0.95)}]
    assert short["balances"][0]["asset"] == "USDT"
    assert list(short["debts"]) == [{"asset": "USDT", "amount": 20_000.0}]
    result = next(result for result in pair.engine.results(pair.now_ns) if result.account == "short")
    assert short["equity"] == pytest.approx(0.999 * (result.equity or 0.0))


def test_collateral_of_coins_without_positions_and_at_par_is_stressed_as_far_as_it_moves(tmp_path: Path) -> None:
    pair = Pair(tmp_path, '[[portfolios]]\nid = "p"\naccounts = ["short"]\nparameters = "house"\n')
    pair.marks()
    pair.tell(MarkPrices("aster", "feed", 1, ["aster:BNBUSDT"], [610.0], [600.0], [math.nan]))
    pair.short(multi=True, money=0.0, ASBNB=400.0, USD1=1_000.0)
    pair.evaluate()  # from now on the index of what is held is followed
    pair.tell(MarkPrices("aster", "feed", 1, ["aster:BNBUSDT"], [610.0], [600.0], [math.nan]))
    (view,) = pair.views()
    assert view.failures == ()
    alone = pair.document("p")
    assert alone["index"]["BNB"] == pytest.approx(600.0 * 0.999)
    assert [row for row in alone["accounts"][0]["balances"] if row["asset"] == "BNB"] == [
        {"asset": "BNB", "total": 400.0, "collateral_ratio": pytest.approx(0.95)}
    ]
    assert view.result is not None
    assert {unit.coin for unit in view.result.units} == {"BTC", "BNB"}
    assert (view.saving or 0.0) < 0.0
    assert "offsets save" not in shown(view), "the stress asks for more than leg by leg"


def test_an_account_without_a_value_is_said_and_not_left_out(pair: Pair) -> None:
    pair.now_ns = 1000 * SECOND
    pair.short()
    pair.tell(MarkPrices("aster", "feed", pair.now_ns, ["aster:BTCUSDT"], [MARK], [MARK], [0.0]))
    view = pair.view()
    assert view.result is None
    assert view.venues is None
    assert [failure.reason for failure in view.failures] == [FailureReason.STALE_MARK]
    assert "account long has no value: no mark of hyperliquid:BTC" in view.failures[0].detail
    assert "portfolio portfolio: no value: STALE_MARK: account long has no value" in shown(view)


def test_before_the_first_state_there_is_no_value(tmp_path: Path) -> None:
    view = Pair(tmp_path).view()
    assert {failure.reason for failure in view.failures} == {FailureReason.NOT_READY}


def test_a_stablecoin_without_a_price_is_a_failure_and_never_a_dollar(tmp_path: Path) -> None:
    pair = Pair(tmp_path, fx="USDC = 1.0\n")
    pair.marks()
    pair.long()
    pair.short()
    view = pair.view()
    assert [failure.reason for failure in view.failures] == [FailureReason.MISSING_FX]
    assert "no USD price of USDT, which a pool is margined in: no venue tells it now; set it under [fx]" in view.failures[0].detail


def test_dust_in_a_stablecoin_without_a_price_does_not_take_the_value_away(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.marks()
    pair.long()
    pair.short()
    without = pair.view().result
    pair.short(USD1=0.01)
    view = pair.view()
    assert view.failures == ()
    assert view.result is not None
    assert without is not None
    assert view.result.equity == pytest.approx(without.equity)
    pair.short(USD1=-5.0)
    assert [failure.reason for failure in pair.view().failures] == [FailureReason.MISSING_FX]


def test_each_portfolio_has_its_own_accounts_parameters_and_rules(tmp_path: Path) -> None:
    more = (
        '[[portfolios]]\nid = "both"\naccounts = ["long", "short"]\n'
        '[[portfolios]]\nid = "one"\naccounts = ["long"]\nparameters = "house"\n'
        "eligibility = { acknowledged = true, minimum_equity = 1e9 }\n"
    )
    pair = Pair(tmp_path, more)
    pair.marks()
    pair.long()
    pair.short()
    views: dict[str, Any] = {view.portfolio: view for view in pair.views()}
    assert views["one"].result.margin_ratio > views["both"].result.margin_ratio
    assert len(views["one"].venues.pools) == 1
    assert "no venue acts" in " ".join(views["both"].reasons) or "acknowledged" in " ".join(views["both"].reasons)
    assert any("equity" in reason for reason in views["one"].reasons)
    text = shown(*views.values())
    assert "first to be liquidated down: long on hyperliquid (main)" in text
    assert "not to be relied on" in text
    assert "made of " in text
    assert "stablecoin spread 7.4" in text, "0.0075 of ten bitcoins at 99,900"


# -- units, outcomes, debts ---------------------------------------------------------------------------------------------------


def kilo(reference: Instruments, venue: str, symbol: str, settle: str, section: str) -> Instruments:
    listed = reference.instruments[0]
    made = replace(listed, id=f"{venue}:{symbol}", symbol=symbol, coin="PEPE", settle=settle, section=section, multiplier=1000.0)
    return replace(reference, instruments=(*reference.instruments, made))


def test_thousands_of_a_coin_on_two_venues_meet_in_one_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(tmp_path)
    monkeypatch.setitem(aster_desk.TABLES, "1000PEPEUSDT", ("1000PEPE", "USDT", "PEPE", aster_desk.PLAIN))
    pair.tell(kilo(own_desk.reference(), "hyperliquid", "kPEPE", "USDC", ""))
    pair.tell(kilo(aster_desk.reference(), "aster", "1000PEPEUSDT", "USDT", "USDT"))
    for _ in range(2):  # what is held is followed from the first evaluation on
        for venue, name in (("hyperliquid", "hyperliquid:kPEPE"), ("aster", "aster:1000PEPEUSDT")):
            pair.tell(MarkPrices(venue, "feed", pair.now_ns, [name], [0.01], [0.01], [0.0]))
        held = own_desk.position("kPEPE", 5_000_000.0, 0.01)
        row = own_desk.section("", 1, 10_000.0 - 50_000.0, held)
        pair.tell(ModeReport("hyperliquid", "long", pair.now_ns, "default"))
        pair.tell(AccountSnapshot("hyperliquid", "long", pair.now_ns, (row,), own_desk.wallet()))
        read = aster_desk.read({"USDT": 10_000.0}, [aster_desk.position("1000PEPEUSDT", -5_000_000.0, 0.01, 0.01)])
        state = FuturesAccount(False, False, 1, read.assets, read.positions, read)
        pair.tell(FuturesSnapshot("aster", "short", pair.now_ns, Source.POLL, state))
        pair.evaluate()
    view = pair.view()
    assert view.failures == ()
    assert view.result is not None
    (unit,) = view.result.units
    assert unit.coin == "PEPE"
    assert unit.delta == pytest.approx(0.0)
    assert [leg.quantity for leg in unit.positions] == [5e9, -5e9]
    assert unit.max_loss == pytest.approx(0.001 * 50_000.0 * 0.3, rel=1e-6), "only the 0.1 % between the stablecoins"


def test_an_outcome_side_is_worth_its_mid_and_stressed_as_a_digital(tmp_path: Path) -> None:
    pair = Pair(tmp_path, '[[portfolios]]\nid = "p"\naccounts = ["long"]\n[market]\nimplied_volatility = { BTC = 0.5 }\n')
    market = OutcomeMarket(7, "BTC", NOW_MS + 12 * 3_600_000, MARK, None, "USDC")
    pair.tell(OutcomeMarkets("hyperliquid", pair.now_ns, (market,)))
    for _ in range(2):
        pair.marks()
        pair.tell(OutcomePrices("hyperliquid", "allMids", pair.now_ns, {(7, 0): 0.48}))
        pair.long(quantity=1.0)
        balance = Balance("+70", None, 10_000.0)
        pair.tell(WalletSnapshot("hyperliquid", "long", pair.now_ns, Source.PUSH, own_desk.wallet(balance)))
        pair.evaluate()
    figures = next(one for one in pair.live.figures() if one.portfolio == "p")
    assert figures.failures == ()
    assert figures.equity == pytest.approx(200_000.0 + 4_800.0, rel=1e-9)
    result = portfolio_result(pair.live.book_of("p"), "p")
    (unit,) = result.units
    outcome = next(leg for leg in unit.positions if ":outcome:" in leg.instrument)
    assert outcome.quantity == 10_000.0
    alone = unit.linear[0] - MARK * unit.price_nodes[0]
    assert alone == pytest.approx(0.0, abs=1e-6), "linear is the perpetual alone"
    assert unit.option[1][0] == pytest.approx(-0.494 * 10_000.0, rel=0.05), "ten percent down the outcome is lost"
    document = pair.document("p")
    listed = next(row for row in document["instruments"] if row["kind"] == "outcome")
    assert (listed["strike"], listed["option_type"], listed["iv"]) == (MARK, "call", 0.5)
    assert margin_report(parse_snapshot(document, "live"), pair.settings.portfolios[0].parameter_set)["portfolios"][0]["status"] == "ok"


def test_what_is_borrowed_is_a_debt(tmp_path: Path) -> None:
    pair = Pair(tmp_path, '[[portfolios]]\nid = "p"\naccounts = ["short"]\n')
    for _ in range(2):
        pair.marks()
        pair.tell(MarkPrices("aster", "feed", pair.now_ns, ["aster:BNBUSDT"], [600.0], [600.0], [math.nan]))
        pair.short(multi=True, money=-20_000.0, BNB=400.0)
        pair.evaluate()
    view = pair.view()
    assert view.failures == ()
    assert view.result is not None
    assert view.result.borrow == pytest.approx(0.02 * 20_000.0 * 0.999)
