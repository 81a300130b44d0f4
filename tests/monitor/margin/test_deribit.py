"""A Deribit account as pools: what the venue reported, moved by indices and volatilities until it reports again."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from connectors.events import (
    AccountFailure,
    Event,
    FailureReason,
    FeedState,
    FeedStatus,
    Instruments,
    MarkPrices,
    Source,
    SummarySnapshot,
    Volatilities,
)
from connectors.model import CurrencySummary, Instrument, InstrumentKind, ListedPosition, OptionType, SummaryAccount
from monitor.alerts.policy import AlertPolicy, PolicyConfig
from monitor.alerts.rules import Rule
from monitor.alerts.text import NEXT_STEP
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.deribit import VENUE, DeribitAccount
from monitor.margin.result import Level, PoolKind, PoolResult

NS = 1_000_000_000
START = 1_000 * NS
DEC = 1_798_185_600_000
CALL, PUT, SOL_CALL = "deribit:BTC-C", "deribit:BTC-P", "deribit:SOL-C"
PERPETUAL, SOL_PERPETUAL, ETH_FUTURE = "deribit:BTC-PERPETUAL", "deribit:SOL-PERPETUAL", "deribit:ETH-F"
BTC, ETH, SOL = "deribit:btc_usd", "deribit:eth_usd", "deribit:sol_usdc"


def option(name: str, coin: str, settle: str, index: str, option_type: OptionType) -> Instrument:
    symbol = name.partition(":")[2]
    return Instrument(
        name, VENUE, symbol, InstrumentKind.OPTION, coin, settle, expiry_ms=DEC, strike=80_000.0, option_type=option_type, price_index=index
    )


def future(name: str, coin: str, settle: str, index: str) -> Instrument:
    symbol, inverse = name.partition(":")[2], coin == settle
    return Instrument(name, VENUE, symbol, InstrumentKind.PERPETUAL, coin, settle, inverse=inverse, price_index=index)


def index(name: str, coin: str, quote: str = "USD") -> Instrument:
    symbol = name.partition(":")[2]
    return Instrument(name, VENUE, symbol, InstrumentKind.INDEX, coin, quote, price_index=symbol)


LISTED = (
    option(CALL, "BTC", "BTC", "btc_usd", OptionType.CALL),
    option(PUT, "BTC", "BTC", "btc_usd", OptionType.PUT),
    option(SOL_CALL, "SOL", "USDC", "sol_usdc", OptionType.CALL),
    future(PERPETUAL, "BTC", "BTC", "btc_usd"),
    future(SOL_PERPETUAL, "SOL", "USDC", "sol_usdc"),
    future(ETH_FUTURE, "ETH", "ETH", "eth_usd"),
    index(BTC, "BTC"),
    index(ETH, "ETH"),
    index(SOL, "SOL", "USDC"),
)


def wallet(currency: str = "BTC", model: str = "segregated_pm", *, equity: float, maintenance: float, **more: Any) -> CurrencySummary:
    """A wallet; its margin balance is its equity unless told."""
    figures = {"balance": equity, "margin_balance": equity, "initial_margin": 1.25 * maintenance, "options_value": 0.0, "delta_total": 0.0}
    return CurrencySummary(
        currency=currency, margin_model=model, equity=equity, maintenance_margin=maintenance, available_funds=0.0, **{**figures, **more}
    )


def cross(row: CurrencySummary, balance: float, maintenance: float, price: float, model: str = "cross_pm") -> CurrencySummary:
    """The wallet in a cross model, with the account's totals (USD) and, by its price, in its own currency."""
    return replace(
        row,
        margin_model=model,
        margin_balance=balance / price,
        maintenance_margin=maintenance / price,
        total_equity_usd=balance,
        total_margin_balance_usd=balance,
        total_initial_margin_usd=1.25 * maintenance,
        total_maintenance_margin_usd=maintenance,
    )


class Desk:
    """A book with one account, on a clock of its own."""

    def __init__(self, *, listed: tuple[Instrument, ...] = LISTED) -> None:
        self.now_ns = START
        self.method = DeribitAccount("strix")
        self.book = Book([AccountEntry(VENUE, "strix", self.method, (0.85, 0.90, 1.0), 0.02)])
        self.engine = Engine(self.book)
        if listed:
            self.tell(Instruments(VENUE, listed, {}, (), self.now_ns))

    def tell(self, *events: Event) -> None:
        for event in events:
            self.book.apply(event)
        self.engine.evaluate()

    def prices(self, **told: float) -> None:
        names = [f"deribit:{name}" for name in told]
        marks = list(told.values())
        for name, mark in zip(names, marks, strict=True):
            feed = f"deribit_price_index.{name.partition(':')[2]}"
            self.tell(MarkPrices(VENUE, feed, self.now_ns, [name], [mark], [mark], [math.nan]))

    def volatilities(self, told: dict[str, float], *, full: bool = False) -> None:
        self.tell(Volatilities(VENUE, "markprice.options.btc_usd", self.now_ns, list(told), list(told.values()), full))

    def account(
        self, *rows: CurrencySummary, positions: tuple[ListedPosition, ...] = (), source: Source = Source.POLL, doubt: str = ""
    ) -> None:
        state = SummaryAccount(rows, positions, 0, doubt)
        self.tell(SummarySnapshot(VENUE, "strix", self.now_ns, source, state))

    def pools(self) -> dict[str, PoolResult]:
        return {result.pool: result for result in self.engine.results(self.now_ns)}

    def pool(self, name: str) -> PoolResult:
        return self.engine.result(self.engine.arrays.row((VENUE, "strix", name)), self.now_ns, measure=True)


def failed(result: PoolResult) -> FailureReason:
    assert result.margin_ratio is None
    return result.failures[0].reason


# -- a segregated wallet -------------------------------------------------------------------------------------------------------------


def short_perpetual() -> Desk:
    """2 BTC, short 40,000 USD of the perpetual at 80,000, margin 0.5 BTC."""
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    row = wallet(equity=2.0, maintenance=0.5, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
    desk.account(row, positions=(ListedPosition(PERPETUAL, -40_000.0, 80_000.0, 80_000.0, 80_000.0, -0.5),))
    return desk


def test_at_the_frame_the_figures_are_the_venues() -> None:
    result = short_perpetual().pool("BTC")
    assert (result.kind, result.mode, result.asset) == (PoolKind.DERIBIT_SEGREGATED, "segregated_pm", "BTC")
    assert result.equity == pytest.approx(2.0)
    assert result.maintenance_margin == pytest.approx(0.5)
    assert result.initial_margin == pytest.approx(0.625)
    assert result.margin_ratio == pytest.approx(0.25)
    assert result.positions == 1


def test_between_frames_an_inverse_future_moves_it_exactly() -> None:
    desk = short_perpetual()
    desk.prices(btc_usd=160_000.0)
    # profit of a short inverse future: 40,000 (1 / 160,000 - 1 / 80,000) BTC
    assert desk.pool("BTC").equity == pytest.approx(2.0 - 0.25)
    desk.prices(btc_usd=20_000.0)
    assert desk.pool("BTC").equity == pytest.approx(2.0 + 1.5)


def test_the_distance_of_an_inverse_future_is_exact_too() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    # long 80,000 USD: 1.2 + 1 - 80,000 / P = 0.2 at P = 40,000
    row = wallet(equity=1.2, maintenance=0.2, delta_total=1.0, delta_by_index={"btc_usd": 1.0})
    desk.account(row, positions=(ListedPosition(PERPETUAL, 80_000.0, 80_000.0, 80_000.0, 80_000.0, 1.0),))
    result = desk.pool("BTC")
    assert result.worst_instrument == BTC
    assert result.worst_distance == pytest.approx(-0.5, rel=1e-6)
    desk.prices(btc_usd=40_000.0)
    assert desk.pool("BTC").margin_ratio == pytest.approx(1.0)


def test_only_cash_is_a_way_to_safety() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    desk.account(wallet(equity=1.0, maintenance=0.95, delta_total=0.5, delta_by_index={"btc_usd": 0.5}))
    result = desk.pool("BTC")
    assert result.margin_ratio == pytest.approx(0.95)
    assert result.cash_to_safety == pytest.approx(0.95 / 0.85 - 1.0)
    assert result.reduce is None
    assert result.kind in NEXT_STEP


def test_a_coin_without_positions_moves_with_nothing_and_needs_no_index() -> None:
    desk = Desk()
    desk.account(wallet(equity=2.0, maintenance=0.0))
    result = desk.pool("BTC")
    assert (result.margin_ratio, result.equity, result.failures) == (0.0, 2.0, ())
    assert desk.method.followed == frozenset()


def test_a_stablecoin_wallet_moves_with_each_of_its_indices() -> None:
    desk = Desk()
    desk.prices(sol_usdc=200.0)
    row = wallet("USDC", equity=10_000.0, maintenance=1_000.0, delta_total=-6_000.0, delta_by_index={"sol_usdc": -30.0})
    desk.account(row, positions=(ListedPosition(SOL_PERPETUAL, -30.0, 200.0, 200.0, 200.0, -30.0),))
    desk.prices(sol_usdc=250.0)
    result = desk.pool("USDC")
    assert result.asset == "USDC"
    assert result.equity == pytest.approx(10_000.0 - 30.0 * 50.0)
    # 8,500 - 30 x = 1,000
    assert result.worst_distance == pytest.approx(1.0, rel=1e-6)


def test_each_segregated_wallet_is_a_pool_and_an_idle_one_is_none() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0, eth_usd=2_500.0)
    btc = wallet("BTC", equity=2.0, maintenance=0.5, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
    eth = wallet("ETH", equity=10.0, maintenance=9.0, delta_total=4.0, delta_by_index={"eth_usd": 4.0})
    desk.account(btc, eth, wallet("BNB", equity=0.0, maintenance=0.0))
    assert {name: result.margin_ratio for name, result in desk.pools().items()} == {"BTC": pytest.approx(0.25), "ETH": pytest.approx(0.9)}
    assert desk.method.mode == "segregated_pm"


def test_an_account_without_anything_is_one_empty_pool() -> None:
    desk = Desk()
    desk.account(wallet(equity=0.0, maintenance=0.0))
    assert {name: result.margin_ratio for name, result in desk.pools().items()} == {"account": 0.0}


# -- options -------------------------------------------------------------------------------------------------------------------------


def short_call(model: str) -> Desk:
    """10 BTC, 4 calls sold at a mark of 0.05: delta -2, gamma -1e-4 in all, vega -400 USD a point."""
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    desk.volatilities({CALL: 0.5})
    row = wallet("BTC", model, equity=10.0, maintenance=2.0, options_value=-0.2)
    row = replace(row, delta_total=-1.8, delta_by_index={"btc_usd": -2.0}, gamma_by_index={"btc_usd": -1e-4})
    if model == "segregated_sm":
        row = replace(row, margin_balance=10.2)
    desk.account(row, positions=(ListedPosition(CALL, -4.0, 0.04, 0.05, 80_000.0, -2.0, -1e-4, -400.0),))
    return desk


def test_in_portfolio_margin_options_move_the_margin_balance() -> None:
    desk = short_call("segregated_pm")
    desk.prices(btc_usd=82_000.0)
    desk.volatilities({CALL: 0.52})
    result = desk.pool("BTC")
    # in USD: 800,000 + (10 - 1.8) 2,000 - 1e-4 2,000^2 / 2 - 400 * 2
    assert result.equity == pytest.approx((800_000.0 + 16_400.0 - 200.0 - 800.0) / 82_000.0)
    assert result.maintenance_margin == pytest.approx(2.0)


def test_in_standard_margin_a_short_option_moves_the_maintenance_margin_alone() -> None:
    desk = short_call("segregated_sm")
    desk.prices(btc_usd=82_000.0)
    desk.volatilities({CALL: 0.52})
    result = desk.pool("BTC")
    assert result.equity == pytest.approx(10.2), "a margin balance without options"
    # the option's value: 0.2 BTC were 16,000 USD, and are 2 * 2,000 + 1e-4 2,000^2 / 2 + 400 * 2 more
    value = (16_000.0 + 4_000.0 + 200.0 + 800.0) / 82_000.0
    assert result.maintenance_margin == pytest.approx(2.0 - 0.2 + value)


def test_in_standard_margin_a_long_option_is_worth_nothing_and_needs_nothing() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    row = wallet("BTC", "segregated_sm", equity=10.0, maintenance=2.0, options_value=0.2, margin_balance=9.8, delta_total=1.8)
    desk.account(row, positions=(ListedPosition(CALL, 4.0, 0.04, 0.05, 80_000.0, 2.0, 1e-4, 400.0),))
    desk.prices(btc_usd=120_000.0)
    result = desk.pool("BTC")
    assert result.equity == pytest.approx(9.8)
    assert result.maintenance_margin == pytest.approx(2.0)


def test_a_volatility_that_is_told_no_longer_stays_as_it_was() -> None:
    desk = short_call("segregated_pm")
    desk.volatilities({CALL: 0.6})
    for silence in ({CALL: math.nan}, {PUT: 0.7}):
        desk.volatilities(silence, full=True)
        assert desk.pool("BTC").equity == pytest.approx(10.0 - 4_000.0 / 80_000.0), "what was lost by then stays lost"


def test_gamma_brings_no_more_delta_than_the_options_have_and_a_short_one_is_not_spared() -> None:
    def equity(sign: float) -> float:
        desk = Desk()
        desk.prices(btc_usd=80_000.0)
        row = wallet("BTC", equity=10.0, maintenance=2.0, gamma_by_index={"btc_usd": sign * 3e-3})
        desk.account(row, positions=(ListedPosition(CALL, sign * 1.0, 0.04, 0.05, 80_000.0, gamma=sign * 3e-3),))
        desk.prices(btc_usd=84_000.0)
        return 84_000.0 * (desk.pool("BTC").equity or math.nan) - 840_000.0

    assert equity(1.0) == pytest.approx(0.5 * 4_000.0), "one coin of delta at most, half of it on the way"
    assert equity(-1.0) == pytest.approx(-0.5 * 3e-3 * 4_000.0**2)


def test_a_new_frame_replaces_what_was_estimated() -> None:
    desk = short_call("segregated_pm")
    desk.prices(btc_usd=82_000.0)
    desk.volatilities({CALL: 0.52})
    row = wallet("BTC", equity=9.9, maintenance=2.1, delta_total=-1.9, delta_by_index={"btc_usd": -2.1})
    desk.account(row, source=Source.PUSH)
    result = desk.pool("BTC")
    assert result.equity == pytest.approx(9.9)
    assert result.maintenance_margin == pytest.approx(2.1)


def test_a_push_of_something_else_does_not_move_the_starting_point() -> None:
    desk = short_perpetual()
    row = desk.method.state
    assert row is not None
    desk.prices(btc_usd=160_000.0)
    before = desk.pool("BTC").equity
    desk.account(*row.summaries, wallet("ETH", equity=1.0, maintenance=0.0), positions=row.positions, source=Source.PUSH)
    assert desk.pool("BTC").equity == pytest.approx(before)


# -- a cross model -----------------------------------------------------------------------------------------------------------------


def crossed(model: str = "cross_pm") -> Desk:
    """1 BTC, 20 ETH with a short ETH future, and USDC with a long SOL position: 150,000 USD at BTC 80,000, ETH 2,500, SOL 200."""
    desk = Desk()
    desk.prices(btc_usd=80_000.0, eth_usd=2_500.0, sol_usdc=200.0)
    btc = wallet("BTC", equity=1.0, maintenance=0.0)
    eth = wallet("ETH", equity=20.0, maintenance=0.0, delta_total=-8.0, delta_by_index={"eth_usd": -8.0})
    usdc = wallet("USDC", equity=20_000.0, maintenance=0.0, delta_total=2_000.0, delta_by_index={"sol_usdc": 10.0})
    rows = [cross(row, 150_000.0, 30_000.0, price, model) for row, price in ((btc, 80_000.0), (eth, 2_500.0), (usdc, 1.0))]
    positions = (
        ListedPosition(ETH_FUTURE, -20_000.0, 2_500.0, 2_500.0, 2_500.0, -8.0),
        ListedPosition(SOL_PERPETUAL, 10.0, 200.0, 200.0, 200.0, 10.0),
    )
    desk.account(*rows, wallet("BNB", equity=0.0, maintenance=0.0), positions=positions)
    return desk


@pytest.mark.parametrize("model", ["cross_pm", "cross_sm"])
def test_a_cross_account_is_one_pool_with_the_venues_own_totals(model: str) -> None:
    desk = crossed(model)
    (result,) = desk.pools().values()
    assert (result.pool, result.kind, result.asset, result.mode) == ("cross", PoolKind.DERIBIT_CROSS, "USD", model)
    assert result.equity == pytest.approx(150_000.0)
    assert result.maintenance_margin == pytest.approx(30_000.0)
    assert result.initial_margin == pytest.approx(37_500.0)
    assert result.positions == 2
    assert result.reconciled is None


@pytest.mark.parametrize("model", ["cross_pm", "cross_sm"])
def test_a_cross_pool_moves_with_collateral_and_positions_of_every_coin(model: str) -> None:
    desk = crossed(model)
    desk.prices(btc_usd=84_000.0, eth_usd=2_400.0, sol_usdc=220.0)
    assert desk.pool("cross").equity == pytest.approx(150_000.0 + 1.0 * 4_000.0 - (20.0 - 8.0) * 100.0 + 10.0 * 20.0)
    assert desk.method.followed == {BTC, ETH, SOL}
    assert desk.method.instruments() == {ETH_FUTURE, SOL_PERPETUAL, BTC, ETH, SOL}


def test_collateral_that_no_index_prices_is_a_doubt_and_dust_is_none() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    btc = cross(wallet("BTC", equity=1.0, maintenance=0.0), 90_000.0, 10_000.0, 80_000.0)
    doge = cross(wallet("DOGE", equity=50_000.0, maintenance=0.0), 90_000.0, 10_000.0, 0.2)
    desk.account(btc, doge)
    assert desk.pool("cross").reconciled is False
    assert "DOGE" in desk.engine.arrays.specs[desk.engine.arrays.row((VENUE, "strix", "cross"))].doubt
    desk.account(btc, replace(doge, equity=100.0))
    assert desk.pool("cross").reconciled is not False


def test_a_cross_account_may_have_a_segregated_wallet_beside() -> None:
    desk = crossed()
    state = desk.method.state
    assert state is not None
    desk.account(*state.summaries, wallet("XRP", "segregated_pm", equity=100.0, maintenance=0.0), positions=state.positions)
    assert set(desk.pools()) == {"cross", "XRP"}
    assert desk.method.mode == "cross_pm+segregated_pm"


# -- when there is no figure -------------------------------------------------------------------------------------------------------


def test_before_the_first_frame_and_before_the_listing_there_is_no_figure() -> None:
    desk = Desk(listed=())
    desk.tell()
    assert failed(desk.pool("account")) is FailureReason.NOT_READY
    desk.account(wallet(equity=2.0, maintenance=0.5))
    assert failed(desk.pool("BTC")) is FailureReason.NOT_READY
    assert "instruments" in desk.pool("BTC").failures[0].detail
    assert desk.pool("BTC").last_margin_ratio == pytest.approx(0.25)
    desk.tell(Instruments(VENUE, LISTED, {}, (), desk.now_ns))
    assert desk.pool("BTC").margin_ratio == pytest.approx(0.25)


def test_an_index_that_was_unknown_at_the_frame_is_no_starting_point_and_a_read_is_asked_for() -> None:
    desk = Desk()
    row = wallet(equity=2.0, maintenance=0.5, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
    desk.account(row)
    assert failed(desk.pool("BTC")) is FailureReason.MISSING_INDEX
    assert desk.book.take_refreshes() == []
    desk.prices(btc_usd=80_000.0)
    assert failed(desk.pool("BTC")) is FailureReason.MISSING_INDEX
    assert [why for *_, why in desk.book.take_refreshes()] == ["index btc_usd was not known at the venue's last account state"]
    desk.account(row)
    assert desk.pool("BTC").margin_ratio == pytest.approx(0.25)


@pytest.mark.parametrize("listed", [LISTED, ()])
def test_what_the_venue_tells_raises_the_level_though_the_market_is_not_known(listed: tuple[Instrument, ...]) -> None:
    desk = Desk(listed=listed)
    for source in (Source.POLL, Source.PUSH):
        row = wallet(equity=1.0, maintenance=1.2, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
        desk.account(row, cross(wallet("ETH", equity=1.0, maintenance=0.0, delta_total=0.3), 1_000.0, 950.0, 2_000.0), source=source)
        wallet_pool, cross_pool = desk.pool("BTC"), desk.pool("cross")
        assert [(one.margin_ratio, one.stale) for one in (wallet_pool, cross_pool)] == [(None, True)] * 2
        assert wallet_pool.last_margin_ratio == pytest.approx(1.2)
        assert cross_pool.last_margin_ratio == pytest.approx(0.95)
    told = AlertPolicy(PolicyConfig()).observe(desk.engine.results(desk.now_ns), 0.0)
    assert [(one.rule, one.level) for one in told] == [(Rule.LEVEL, Level.LIQUIDATION), (Rule.LEVEL, Level.CRITICAL)]


def test_a_wallet_hedged_to_dollars_is_worth_the_same_dollars_and_its_vega_is_counted_in_dollars_too() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    desk.volatilities({CALL: 0.5})
    row = wallet(equity=0.5, maintenance=0.1, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
    desk.account(row, positions=(ListedPosition(CALL, -0.1, 0.05, 0.05, 80_000.0, -0.01, 0.0, -10.0),))
    desk.prices(btc_usd=100_000.0)
    assert desk.pool("BTC").equity == pytest.approx(0.4)
    desk.volatilities({CALL: 0.52})
    assert desk.pool("BTC").equity == pytest.approx((40_000.0 - 20.0) / 100_000.0)


def test_pushes_do_not_end_the_failure_of_an_account_that_may_not_be_read() -> None:
    desk = short_perpetual()
    state = desk.method.state
    assert state is not None
    desk.tell(AccountFailure(VENUE, "strix", desk.now_ns, FailureReason.KEY_REFUSED, "no right to read"))
    desk.account(*state.summaries, positions=state.positions, source=Source.PUSH)
    assert desk.method.failure is not None
    desk.account(*state.summaries, positions=state.positions)
    assert desk.method.failure is None


def test_an_index_that_was_old_at_the_frame_is_no_starting_point() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    desk.now_ns += 11 * NS
    desk.account(wallet(equity=2.0, maintenance=0.5, delta_total=-0.5, delta_by_index={"btc_usd": -0.5}))
    desk.prices(btc_usd=70_000.0)
    assert failed(desk.pool("BTC")) is FailureReason.MISSING_INDEX


def test_a_refused_key_takes_the_figures_away_until_the_account_is_read() -> None:
    desk = short_perpetual()
    state = desk.method.state
    assert state is not None
    desk.tell(AccountFailure(VENUE, "strix", desk.now_ns, FailureReason.KEY_REFUSED, "the key is gone"))
    (result,) = desk.pools().values()
    assert failed(result) is FailureReason.KEY_REFUSED
    desk.account(*state.summaries, positions=state.positions)
    assert desk.pool("BTC").margin_ratio == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("feed", "account", "reason"),
    [("account", "strix", FailureReason.STALE_ACCOUNT), ("deribit_price_index.btc_usd", None, FailureReason.STALE_MARK)],
)
@pytest.mark.parametrize("status", [FeedStatus.STALE, FeedStatus.DOWN])
def test_a_feed_it_needs_that_is_stale_says_so_at_once(feed: str, account: str | None, reason: FailureReason, status: FeedStatus) -> None:
    desk = short_perpetual()
    desk.tell(FeedState(VENUE, feed, account, status, desk.now_ns))
    assert failed(desk.pool("BTC")) is reason
    desk.tell(FeedState(VENUE, feed, account, FeedStatus.FRESH, desk.now_ns))
    assert desk.pool("BTC").margin_ratio is not None


def test_a_feed_it_does_not_need_does_not_matter() -> None:
    desk = short_perpetual()
    desk.tell(FeedState(VENUE, "deribit_price_index.eth_usd", None, FeedStatus.DOWN, desk.now_ns))
    desk.tell(FeedState(VENUE, "account", "another", FeedStatus.DOWN, desk.now_ns))
    assert desk.pool("BTC").margin_ratio == pytest.approx(0.25)


def test_an_index_that_is_not_told_any_more_says_so_though_its_feed_lives() -> None:
    desk = short_perpetual()
    desk.now_ns += 16 * NS
    assert failed(desk.pool("BTC")) is FailureReason.STALE_MARK


def test_a_position_that_is_not_listed_is_a_doubt() -> None:
    desk = short_perpetual()
    state = desk.method.state
    assert state is not None
    desk.account(*state.summaries, positions=(*state.positions, ListedPosition("deribit:BTC-X", 1.0, None, 0.1, 80_000.0)))
    assert desk.pool("BTC").reconciled is False
    assert desk.pool("BTC").margin_ratio == pytest.approx(0.25)


def test_a_doubt_of_the_account_is_one_of_every_pool() -> None:
    desk = Desk()
    desk.account(wallet(equity=2.0, maintenance=0.0), doubt="it does not add up")
    assert desk.pool("BTC").reconciled is False


@pytest.mark.parametrize("model", ["segregated_xm", "cross_xm"])
def test_an_unknown_model_has_no_figure(model: str) -> None:
    desk = Desk()
    desk.account(wallet("BTC", model, equity=2.0, maintenance=0.5))
    (result,) = desk.pools().values()
    assert failed(result) is FailureReason.UNSUPPORTED_MODE


def test_a_cross_model_without_totals_has_no_figure() -> None:
    desk = Desk()
    desk.account(wallet("BTC", "cross_sm", equity=2.0, maintenance=0.5))
    assert failed(desk.pool("cross")) is FailureReason.UNSUPPORTED_MODE


# -- reported against computed -------------------------------------------------------------------------------------------------------


def test_the_equity_of_a_wallet_is_rebuilt_at_every_read() -> None:
    desk = Desk()
    desk.prices(btc_usd=80_000.0)
    row = wallet("BTC", equity=1.9, maintenance=0.5, balance=2.0, futures_profit=0.1, options_value=-0.2)
    short = ListedPosition(CALL, -4.0, 0.04, 0.05, 80_000.0)
    desk.account(row, positions=(short,))
    assert desk.pool("BTC").reported_difference == pytest.approx(0.0, abs=1e-12)
    assert desk.pool("BTC").reconciled is True
    desk.account(row, positions=(replace(short, mark=0.051),))
    assert desk.pool("BTC").reported_difference == pytest.approx(0.004 / 1.9)
    assert desk.pool("BTC").reconciled is False


def test_the_equity_of_a_cross_account_is_rebuilt_in_usd() -> None:
    desk = crossed()
    state = desk.method.state
    assert state is not None
    rows = [replace(row, futures_profit=0.0) for row in state.summaries]
    desk.account(*rows, positions=state.positions)
    assert desk.pool("cross").reported_difference == pytest.approx(0.0, abs=1e-12)
    desk.account(*(replace(row, balance=row.balance + 1.0) if row.currency == "ETH" else row for row in rows), positions=state.positions)
    assert desk.pool("cross").reported_difference == pytest.approx(2_500.0 / 150_000.0)


def test_a_coin_with_positions_but_without_an_index_has_no_figure() -> None:
    desk = Desk()
    desk.account(wallet("XRP", equity=100.0, maintenance=5.0, delta_total=40.0, delta_by_index={"xrp_usd": 40.0}))
    assert failed(desk.pool("XRP")) is FailureReason.MISSING_INDEX


def test_a_later_read_does_not_ask_again_and_again() -> None:
    desk = Desk()
    row = wallet(equity=2.0, maintenance=0.5, delta_total=-0.5, delta_by_index={"btc_usd": -0.5})
    desk.account(row)
    desk.prices(btc_usd=80_000.0)
    assert len(desk.book.take_refreshes()) == 1
    desk.prices(btc_usd=80_001.0)
    desk.prices(btc_usd=80_002.0)
    assert desk.book.take_refreshes() == []
