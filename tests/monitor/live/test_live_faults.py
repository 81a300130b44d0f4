"""What must not happen to live portfolios: a defect that leaves half a state behind, a figure of another moment, a report that fails."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from config import load
from connectors.events import (
    Event,
    Forwards,
    IndexPrices,
    Instruments,
    MarkPrices,
    OrdersSnapshot,
    OutcomeMarkets,
    OutcomePrices,
    Source,
    SummarySnapshot,
    Volatilities,
    WalletSnapshot,
)
from connectors.model import Balance, ListedPosition, MarginTier, Order, OutcomeMarket, SummaryAccount
from monitor.engine import Engine
from monitor.live.books import PortfolioFigures
from monitor.live.export import snapshot_document
from monitor.live.inputs import portfolio_inputs
from monitor.live.portfolios import LivePortfolios
from monitor.live.report import frozen
from monitor.margin.configured import build_book
from monitor.snapshot import parse_snapshot
from tests.monitor import own_desk
from tests.monitor.live.test_live_portfolios import MARK, NOW_MS, SECOND, SIZE, Pair
from tests.monitor.margin import test_deribit as deribit

HOUR_MS = 3_600_000
LONG = '[[portfolios]]\nid = "p"\naccounts = ["long"]\n'
VOLATILITY = "[market]\nimplied_volatility = { BTC = 0.5 }\n"


def settled(folder: Path, more: str = "") -> Pair:
    pair = Pair(folder, more)
    pair.marks()
    pair.long()
    pair.short()
    pair.evaluate()
    pair.book.touched.clear()
    return pair


def first(pair: Pair) -> PortfolioFigures:
    return pair.live.figures()[0]


def tick(pair: Pair) -> None:
    """What the application does after events, without the once-a-second work beside it."""
    pair.engine.evaluate()
    pair.live.touch(pair.book.touched)
    pair.book.touched.clear()
    pair.live.evaluate(pair.now_ns, NOW_MS)


# -- defects -------------------------------------------------------------------------------------------------------------------


def test_what_an_evaluation_that_failed_had_taken_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = settled(tmp_path)
    pair.long(quantity=2 * SIZE)
    with monkeypatch.context() as broken:
        broken.setattr(pair.live, "_tell", lambda account: math.log(-1.0))
        tick(pair)
    assert "a defect of this program (ValueError)" in first(pair).failures[0].detail
    tick(pair)
    assert first(pair).failures, "at most one attempt a second"
    pair.now_ns += SECOND
    pair.marks()
    tick(pair)
    healed = first(pair)
    assert healed.failures == ()
    fresh = Pair(tmp_path)
    fresh.marks()
    fresh.long(quantity=2 * SIZE)
    fresh.short()
    fresh.evaluate()
    assert healed.maintenance_margin == pytest.approx(first(fresh).maintenance_margin, rel=1e-12)
    assert healed.equity == pytest.approx(first(fresh).equity, rel=1e-12)


def test_a_margin_table_that_cannot_be_read_does_not_reach_the_connector(tmp_path: Path) -> None:
    pair = settled(tmp_path)
    listed = own_desk.reference()
    pair.tell(replace(listed, instruments=tuple(replace(one, tiers=(MarginTier(5.0, 0.01, 0.0),)) for one in listed.instruments)))
    tick(pair)
    assert "a defect of this program" in first(pair).failures[0].detail
    pair.tell(listed)
    pair.now_ns += SECOND
    pair.marks()
    tick(pair)
    assert first(pair).failures == ()


# -- equity --------------------------------------------------------------------------------------------------------------------


def test_an_equity_looked_at_between_a_tick_and_its_evaluation_is_not_of_the_tick_before(tmp_path: Path) -> None:
    pair = settled(tmp_path, LONG)
    assert first(pair).equity == pytest.approx(200_000.0)
    pair.marks(0.95 * MARK)
    pair.live.resync(pair.now_ns)
    tick(pair)
    assert first(pair).equity == pytest.approx(200_000.0 - 0.05 * MARK * SIZE, rel=1e-12)


def test_evaluations_find_stale_accounts_by_themselves(tmp_path: Path) -> None:
    pair = settled(tmp_path)
    pair.now_ns += 1000 * SECOND
    tick(pair)
    assert "account long has no value" in first(pair).failures[0].detail


# -- instruments ---------------------------------------------------------------------------------------------------------------


def outcome(pair: Pair, *held: Balance, price: float = 0.48) -> None:
    pair.tell(OutcomePrices("hyperliquid", "allMids", pair.now_ns, {(7, 0): price, (8, 0): 0.4}))
    pair.long(quantity=1.0)
    pair.tell(WalletSnapshot("hyperliquid", "long", pair.now_ns, Source.PUSH, own_desk.wallet(*held)))
    pair.evaluate()


def markets(*quotes: str, strikes: tuple[float, ...] = (MARK, MARK + 1000.0)) -> OutcomeMarkets:
    expiry_ms = NOW_MS + 12 * HOUR_MS
    rows = [OutcomeMarket(7 + n, "BTC", expiry_ms, strikes[n], None, quote) for n, quote in enumerate(quotes)]
    return OutcomeMarkets("hyperliquid", SECOND, tuple(rows))


def test_another_strike_of_an_expiry_that_is_held_has_its_forward_at_once(tmp_path: Path) -> None:
    pair = Pair(tmp_path, LONG + VOLATILITY)
    pair.tell(markets("USDC", "USDC"))
    pair.marks()
    outcome(pair, Balance("+70", None, 10_000.0))
    assert first(pair).failures == ()
    outcome(pair, Balance("+70", None, 10_000.0), Balance("+80", None, 5_000.0))
    assert first(pair).failures == ()
    assert first(pair).equity == pytest.approx(200_000.0 + 4_800.0 + 2_000.0)


def test_the_same_strike_in_two_quotes_is_two_instruments(tmp_path: Path) -> None:
    pair = Pair(tmp_path, LONG + VOLATILITY)
    pair.tell(markets("USDC", "USDT", strikes=(MARK, MARK)))
    pair.marks()
    outcome(pair, Balance("+70", None, 10_000.0), Balance("+80", None, 5_000.0))
    assert first(pair).failures == ()
    assert sorted(one.settle for name, one in pair.live.held.items() if ":outcome:" in name) == ["USDC", "USDT"]


def test_what_is_held_no_more_is_forgotten_and_comes_back_with_its_prices(tmp_path: Path) -> None:
    pair = Pair(tmp_path, LONG + VOLATILITY)
    pair.tell(markets("USDC", "USDC"))
    pair.marks()
    held = (Balance("+70", None, 10_000.0), Balance("+80", None, 5_000.0))
    outcome(pair, *held)
    before = first(pair)
    pair.document("p")
    outcome(pair, held[0])
    assert len([name for name in pair.live.held if ":outcome:" in name]) == 1
    assert len([name for name in pair.live.written if ":outcome:" in name]) == 1
    outcome(pair, *held)
    assert first(pair).failures == ()
    assert first(pair).maintenance_margin == pytest.approx(before.maintenance_margin, rel=1e-12)


def test_a_portfolio_without_a_volatility_is_a_failed_report_and_not_a_failing_one(tmp_path: Path) -> None:
    pair = Pair(tmp_path, LONG)
    pair.tell(markets("USDC", "USDC"))
    for _ in range(2):
        pair.marks()
        outcome(pair, Balance("+70", None, 10_000.0), price=0.0005)
    assert [failure.reason.value for failure in first(pair).failures] == ["MISSING_IV"]
    told = frozen(pair.live, pair.engine)
    assert [failure["reason"] for failure in told.report()["portfolios"][0]["failures"]] == ["MISSING_IV"]
    assert parse_snapshot(told.snapshot, "live").accounts[0].equity == pytest.approx(200_005.0)


def test_daily_volatility_and_volume_are_inputs_where_the_rules_use_them(tmp_path: Path) -> None:
    pair = settled(tmp_path, LONG + 'parameters = "house"\n[[portfolios]]\nid = "q"\naccounts = ["long"]\n')
    kinds = {name: {one.kind for group in portfolio_inputs(pair.live, name).values() for one in group} for name in ("p", "q")}
    assert kinds == {"p": {"index", "fx", "daily_volatility", "volume"}, "q": {"index", "fx"}}


# -- Deribit -------------------------------------------------------------------------------------------------------------------


class Options:
    """One Deribit account that holds a call."""

    def __init__(self, folder: Path) -> None:
        path = folder / "options.toml"
        path.write_text(
            '[[accounts]]\nid = "strix"\nvenue = "deribit"\nclient_id_env = "I"\nclient_secret_env = "S"\n'
            '[[portfolios]]\nid = "p"\naccounts = ["strix"]\n'
        )
        self.settings = load(path, environ={"I": "abcdefgh", "S": "s" * 43}, quiet=True)
        self.book = build_book(self.settings)
        self.engine = Engine(self.book)
        self.live = LivePortfolios(self.settings, self.engine)
        self.live.ready = True
        self.now_ns = deribit.START
        self.tell(Instruments("deribit", deribit.LISTED, {}, (), self.now_ns))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.book.apply(event)
            self.live.apply(event)

    def market(self, index: float = 80_000.0) -> None:
        feed = "deribit_price_index.btc_usd"
        names, expiry_ms = [deribit.CALL, deribit.PUT], deribit.DEC
        self.tell(
            MarkPrices("deribit", feed, self.now_ns, [deribit.BTC], [index], [index], [math.nan]),
            IndexPrices("deribit", feed, self.now_ns, {"BTC": index}),
            Forwards("deribit", "ticker", self.now_ns, ["BTC"], ["BTC"], [expiry_ms], [index]),
            Volatilities("deribit", "markprice.options.btc_usd", self.now_ns, names, [0.5, 0.5], full=True),
        )

    def account(self, quantity: float = 10.0, equity: float = 20.0) -> None:
        held = (ListedPosition(deribit.CALL, quantity, 0.05, 0.05, 80_000.0, delta=0.5 * quantity),) if quantity else ()
        row = deribit.wallet(equity=equity, maintenance=1.0)
        self.tell(SummarySnapshot("deribit", "strix", self.now_ns, Source.POLL, SummaryAccount((row,), held, 0, "")))

    def orders(self, *orders: Order) -> None:
        self.tell(OrdersSnapshot("deribit", "strix", self.now_ns, "", orders))

    def tick(self) -> PortfolioFigures:
        self.engine.evaluate()
        self.live.touch(self.book.touched)
        self.book.touched.clear()
        self.live.evaluate(self.now_ns, NOW_MS)
        (figures,) = self.live.figures()
        return figures


def test_orders_of_a_deribit_account_count_before_its_next_statement(tmp_path: Path) -> None:
    desk = Options(tmp_path)
    desk.market()
    desk.account()
    before = desk.tick()
    assert before.failures == ()
    desk.orders(Order(deribit.CALL, "1", -50.0, 0.05))
    ordered = desk.tick()
    assert (ordered.initial_margin or 0.0) > 2.0 * (before.initial_margin or 0.0)
    assert ordered.equity == pytest.approx(before.equity, rel=1e-12)
    desk.orders()
    assert desk.tick().initial_margin == pytest.approx(before.initial_margin, rel=1e-12)


def test_a_statement_holds_for_its_moment_and_our_prices_move_it_from_then_on(tmp_path: Path) -> None:
    desk = Options(tmp_path)
    desk.market()
    desk.account()
    assert desk.tick().equity == pytest.approx(20.0 * 80_000.0)
    desk.market(84_000.0)
    moved = desk.tick().equity or 0.0
    assert moved > 20.0 * 84_000.0, "the call gained against BTC too"
    desk.account(equity=20.3)
    assert desk.tick().equity == pytest.approx(20.3 * 84_000.0)


def test_a_volatility_that_no_document_takes_is_a_failed_report_and_not_a_failing_one(tmp_path: Path) -> None:
    desk = Options(tmp_path)
    desk.market()
    desk.account()
    desk.tell(Volatilities("deribit", "markprice.options.btc_usd", desk.now_ns, [deribit.CALL], [12.0]))
    assert desk.tick().failures == ()
    (row,) = frozen(desk.live, desk.engine).report()["portfolios"]
    assert row["status"] == "failed"
    assert "iv: expected a decimal" in row["failures"][0]["detail"]


def test_a_listing_without_what_is_held_takes_the_value_and_not_the_watch(tmp_path: Path) -> None:
    pair = settled(tmp_path)
    listed = own_desk.reference()
    pair.tell(replace(listed, instruments=tuple(one for one in listed.instruments if one.coin != "BTC")))
    assert snapshot_document(pair.live, pair.engine, "portfolio") is not None, "looked at before the next evaluation"
    tick(pair)
    assert first(pair).failures
