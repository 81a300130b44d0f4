"""The simulated Aster's own arithmetic against the venue's worked examples, and its ledger against hand-made ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.simulator.aster import AccountPlan, AsterVenue, Market, PositionPlan, Side
from connectors.simulator.aster_listing import BTC_TIERS, SMALL_TIERS, MarginAsset, build_tiers
from connectors.simulator.aster_margin import collateral_value, liquidation_price, maintenance_margin, margin_ratio
from connectors.simulator.aster_wire import risk_rows

ETH = build_tiers(((1e4, 75, 0.0065),))


def venue_of(*positions: PositionPlan, wallet: dict[str, float], multi_assets: bool = False, hedge: bool = False) -> AsterVenue:
    plan = AccountPlan("a", "0x1", wallet=wallet, multi_assets=multi_assets, hedge=hedge, positions=positions)
    return AsterVenue(Market(1, "calm", 60.0, 0), [plan])


def set_mark(venue: AsterVenue, symbol: str, mark: float) -> None:
    venue.prices.rows[symbol].mark = venue.prices.rows[symbol].index = mark


def test_tiers_are_the_recorded_ones(recordings: Path) -> None:
    rows = json.loads((recordings / "aster" / "rest_leverage_bracket_recorded_truthusdt_first2.json").read_text())[0]["brackets"]
    for tier, row in zip(SMALL_TIERS, rows, strict=False):
        assert (tier.floor, tier.cap, tier.rate) == tuple(float(row[k]) for k in ("notionalFloor", "notionalCap", "maintMarginRatio"))
        assert tier.cum == float(row["cum"])
        assert tier.max_leverage == int(row["initialLeverage"])


def test_example_a() -> None:
    assert maintenance_margin(8000.0, SMALL_TIERS) == pytest.approx(125.0)


def test_example_b() -> None:
    mm_x, mm_e = maintenance_margin(7600.0, SMALL_TIERS), maintenance_margin(4650.0, ETH)
    assert [mm_x, mm_e] == pytest.approx([115.0, 30.225])
    assert margin_ratio(mm_x + mm_e, 1000.0 - 400.0 - 150.0) == pytest.approx(0.3227, abs=5e-5)
    assert liquidation_price(1000.0 - 150.0 - mm_e, [(20_000.0, 0.40, SMALL_TIERS)], 0.38) == pytest.approx(0.36437, abs=5e-6)
    assert liquidation_price(1000.0 - 400.0 - mm_x, [(-1.5, 3000.0, ETH)], 3100.0) == pytest.approx(3301.87, abs=5e-3)


def test_example_c() -> None:
    maintenance = maintenance_margin(1.327 * 187.17127, ETH)
    assert maintenance == pytest.approx(1.614445, abs=1e-6)
    assert margin_ratio(maintenance, 3.16812045 - 1.166074) == pytest.approx(0.806, abs=5e-4)


def test_example_d() -> None:
    rows = ((0.5, 60_000.0, 0.95), (10.0, 700.0, 0.95), (-2_000.0, 1.0, 0.9999))
    equity = sum(collateral_value(balance, index, MarginAsset("x", ratio)) for balance, index, ratio in rows) - 5_000.0
    assert equity == pytest.approx(28_150.0)
    assert margin_ratio(9_000.0, equity) == pytest.approx(0.3197, abs=5e-5)
    assert collateral_value(-10.0, 2.0, MarginAsset("x", 0.9, ask_factor=1.05)) == pytest.approx(-21.0)


@pytest.mark.parametrize(
    ("amount", "entry", "wallet", "price"),
    [(20.0, 6563.665, 13_200.70726908, 5930.78), (-10.0, 6563.86, 6_570.42511771, 7189.95)],
)
def test_the_documented_liquidation_prices(amount: float, entry: float, wallet: float, price: float) -> None:
    assert liquidation_price(wallet, [(amount, entry, BTC_TIERS)], 6679.50671178) == pytest.approx(price, abs=5e-3)


def test_a_pool_at_its_liquidation_price_has_a_ratio_of_one() -> None:
    legs: list[tuple[Side, float]] = [("LONG", 300.0), ("SHORT", -100.0)]
    positions = [PositionPlan("ETHUSDT", amount, side) for side, amount in legs]
    venue = venue_of(*positions, PositionPlan("BTCUSDT", 1.0, "LONG"), wallet={"USDT": 80_000.0}, hedge=True)
    prices = venue.figures("a")["USDT"].liquidation_prices
    assert prices[("ETHUSDT", "LONG")] == prices[("ETHUSDT", "SHORT")]
    for (symbol, _), price in prices.items():
        before = venue.prices.mark(symbol)
        assert price is not None
        set_mark(venue, symbol, price)
        assert venue.figures("a")["USDT"].ratio == pytest.approx(1.0, rel=1e-9)
        set_mark(venue, symbol, before)


def test_pools_by_mode_and_ratio_without_equity() -> None:
    positions = (PositionPlan("ETHUSDT", 10.0, isolated=True, margin=2_000.0), PositionPlan("BTCUSD1", 0.1), PositionPlan("SOLUSDT", 5.0))
    venue = venue_of(*positions, wallet={"USDT": 3_000.0, "USD1": 900.0, "BTC": 1.0})
    figures = venue.figures("a")
    assert figures.keys() == {"USDT", "USD1", "iso:ETHUSDT"}
    assert (figures["USDT"].equity, figures["USD1"].equity, figures["iso:ETHUSDT"].equity) == (1_000.0, 900.0, 2_000.0)
    set_mark(venue, "ETHUSDT", 2_000.0)
    assert venue.figures("a")["iso:ETHUSDT"].ratio == float("inf")
    assert venue.figures("a")["USDT"].equity == 1_000.0
    with pytest.raises(ValueError, match="isolated"):
        venue.set_multi_assets("a", True)
    with pytest.raises(KeyError, match="no simulated account is called 'b'"):
        venue.figures("b")


def test_multi_assets_counts_haircuts_and_the_unknown_asset() -> None:
    venue = venue_of(PositionPlan("BTCUSD1", 0.1), wallet={"BTC": 1.0, "USDT": -500.0, "JLP": 100.0, "APX": 7.0}, multi_assets=True)
    index = venue.prices.collateral
    expected = 0.95 * index["BTC"] - 500.0 + 0.85 * 100.0 * index["JLP"]
    assert venue.figures("a")["multi-assets"].equity == pytest.approx(expected, rel=1e-12)
    venue.set_multi_assets("a", False)
    assert venue.figures("a").keys() == {"USDT", "USD1"}


def test_trades_book_profit_fee_and_average_entry() -> None:
    venue = venue_of(wallet={"USDT": 10_000.0})
    account = venue.exchange.account("a")
    position = account.position("BTCUSDT", "BOTH")
    for quantity, price in ((0.1, 80_000.0), (0.3, 84_000.0)):
        venue.trade("a", "BTCUSDT", quantity, price=price)
    assert (position.amount, position.entry) == (0.4, 83_000.0)
    venue.trade("a", "BTCUSDT", -0.6, price=85_000.0)
    fees = 0.0004 * (8_000.0 + 25_200.0 + 51_000.0)
    assert (position.amount, position.entry, position.realized) == (-0.2, 85_000.0, 800.0)
    assert account.wallet["USDT"] == pytest.approx(10_800.0 - fees, abs=1e-8)
    venue.trade("a", "BTCUSDT", 0.2, price=85_000.0)
    assert (position.amount, position.entry) == (0.0, 0.0)


def test_what_is_kept_is_what_is_printed() -> None:
    venue = venue_of(PositionPlan("1000PEPEUSDT", 7.0), PositionPlan("DOGEUSDT", 5.0, entry=1.0 / 9.0), wallet={"USDT": 10_000.0 / 7.0})
    venue.trade("a", "1000PEPEUSDT", 3_000.0, price=0.0095123)
    venue.trade("a", "BTCUSDT", 0.003, price=86_000.1)
    venue.trade("a", "BTCUSDT", 0.004, price=86_011.7)
    account = venue.exchange.account("a")
    printed = {row["symbol"]: row for row in risk_rows(account, ("1000PEPEUSDT", "DOGEUSDT", "BTCUSDT"), omit_flat=True)}
    for symbol, row in printed.items():
        assert float(row["entryPrice"]) == account.position(symbol, "BOTH").entry
        assert float(row["markPrice"]) == venue.prices.mark(symbol)
    assert len(printed["1000PEPEUSDT"]["entryPrice"]) >= 11
    assert float(f"{account.wallet['USDT']:.8f}") == account.wallet["USDT"]


def test_a_reduced_isolated_position_frees_its_share() -> None:
    venue = venue_of(PositionPlan("ETHUSDT", 10.0, isolated=True, entry=2_700.0, margin=3_000.0), wallet={"USDT": 5_000.0})
    account = venue.exchange.account("a")
    venue.trade("a", "ETHUSDT", -4.0, price=2_600.0)
    assert account.position("ETHUSDT", "BOTH").isolated_wallet == pytest.approx(1_800.0)
    assert account.wallet["USDT"] == pytest.approx(5_000.0 - 400.0 - 0.0004 * 10_400.0)
    venue.trade("a", "ETHUSDT", -6.0)
    assert account.cross_wallet("USDT") == account.wallet["USDT"]


def test_hedge_mode_has_its_rules() -> None:
    venue = venue_of(wallet={"USDT": 10_000.0}, hedge=True)
    with pytest.raises(ValueError, match="LONG or SHORT"):
        venue.trade("a", "BTCUSDT", 0.1)
    with pytest.raises(ValueError, match="cannot pass through zero"):
        venue.trade("a", "BTCUSDT", -0.1, side="LONG")
    venue.trade("a", "BTCUSDT", -0.1, side="SHORT")
    with pytest.raises(ValueError, match="only be changed when flat"):
        venue.set_hedge("a", False)
    venue.trade("a", "BTCUSDT", 0.1, side="SHORT")
    venue.set_hedge("a", False)
    assert not venue.exchange.account("a").hedge


def test_plans_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="not listed"):
        venue_of(PositionPlan("NOSUCH", 1.0), wallet={})
    with pytest.raises(ValueError, match="do not fit its position mode"):
        venue_of(PositionPlan("BTCUSDT", -1.0, "LONG"), wallet={}, hedge=True)
    with pytest.raises(ValueError, match="cannot be isolated"):
        venue_of(PositionPlan("BTCUSDT", 1.0, isolated=True), wallet={}, multi_assets=True)


def test_a_bankrupt_pool_ends_at_zero_and_winners_are_deleveraged() -> None:
    loser = AccountPlan("loser", "0x1", wallet={"USDT": 20_000.0}, positions=(PositionPlan("BTCUSDT", 2.0, leverage=20),))
    winner = AccountPlan("winner", "0x2", wallet={"USDT": 90_000.0}, positions=(PositionPlan("BTCUSDT", -3.0, leverage=20),))
    venue = AsterVenue(Market(1, "calm", 60.0, 0), [loser, winner], insurance_fund=100.0)
    key = venue.keys.create("winner")
    client = venue.connect_user(key)
    set_mark(venue, "BTCUSDT", venue.prices.mark("BTCUSDT") - 12_000.0)
    venue.liquidator.run(0.0)
    assert venue.exchange.account("loser").position("BTCUSDT", "BOTH").amount == 0.0
    assert venue.exchange.account("loser").wallet["USDT"] == pytest.approx(0.0, abs=1e-7)
    assert venue.exchange.account("winner").position("BTCUSDT", "BOTH").amount == -1.0
    assert any('"c":"adl_autoclose"' in text for text in client.drain())


def test_debts_beyond_the_limit_are_exchanged_at_the_haircut() -> None:
    venue = venue_of(wallet={"BTC": 1.0, "USDT": -9_999.0}, multi_assets=True)
    venue.liquidator.run(0.0)
    assert venue.exchange.account("a").wallet["BTC"] == 1.0
    venue.transfer("a", "USDT", -2.0)
    before = venue.figures("a")["multi-assets"].equity
    venue.liquidator.run(0.0)
    wallet = venue.exchange.account("a").wallet
    assert wallet["USDT"] == pytest.approx(0.0)
    assert wallet["BTC"] == pytest.approx(1.0 - 10_001.0 / (0.95 * venue.prices.collateral["BTC"]), abs=1e-8)
    assert venue.figures("a")["multi-assets"].equity == pytest.approx(before, rel=1e-7)


def test_funding_pays_at_each_interval() -> None:
    own = PositionPlan("ETHUSDT", 1.0, isolated=True, margin=500.0)
    positions = (PositionPlan("BTCUSDT", 1.0), PositionPlan("HYPEUSDT", -10.0), PositionPlan("ASTERUSDT", 100.0), own)
    plan = AccountPlan("a", "0x1", wallet={"USDT": 50_000.0}, positions=positions)
    venue = AsterVenue(Market(1, "calm", 60.0, 0), [plan], funding_interval_s=1.0)
    client, account = venue.connect_user(venue.keys.create("a")), venue.exchange.account("a")
    seen: list[tuple[int, str, str]] = []
    for _ in range(85):
        venue.advance(0.1)
        for event in map(json.loads, client.drain()):
            assert event["a"]["m"] == "FUNDING_FEE"
            seen.append((event["T"] // 1000, event["a"]["B"][0]["bc"], "".join(row["s"] for row in event["a"]["P"])))
    assert [row[0] for row in seen] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 8, 8]
    assert sum(row[2] == "ETHUSDT" for row in seen) == 1
    assert account.position("ETHUSDT", "BOTH").isolated_wallet != 500.0
    btc, rate = venue.prices.mark("BTCUSDT"), venue.prices.rows["BTCUSDT"].rate
    assert min(float(row[1]) for row in seen) == pytest.approx(-btc * rate, rel=0.5)
    assert any(float(row[1]) > 0.0 for row in seen)
