from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.hyperliquid import AccountPlan, Market, PositionPlan
from connectors.simulator.hyperliquid_accounts import Account
from connectors.simulator.hyperliquid_ledger import apply_fill
from connectors.simulator.hyperliquid_listing import MARGIN_TABLES
from connectors.simulator.hyperliquid_margin import build_tiers, liquidation_price, maintenance_margin

BTC = build_tiers(MARGIN_TABLES[56][1])
ADDRESS = "0x" + "a" * 40


def test_documented_example_of_the_second_tier() -> None:
    assert BTC[1].deduction == pytest.approx(1_875_000.0)
    assert maintenance_margin(300_000_000.0, BTC) == pytest.approx(5_625_000.0)


@pytest.mark.parametrize(
    ("size", "mark", "equity", "tiers", "expected"),
    [
        (-559.6130497703, 78_287.0, 9_696_485.6648, BTC, 94_433.7044),
        (-15.0, 95.063, 106.720442, build_tiers(((0.0, 10),)), 97.3120915556),
    ],
)
def test_recorded_liquidation_prices(size: float, mark: float, equity: float, tiers: tuple, expected: float) -> None:  # type: ignore[type-arg]
    available = equity - maintenance_margin(abs(size) * mark, tiers)
    assert liquidation_price(size, mark, available, tiers) == pytest.approx(expected, rel=1e-8)


@given(
    st.sampled_from(sorted(MARGIN_TABLES)),
    st.floats(1.0, 1e5),
    st.floats(0.01, 1e5),
    st.floats(-2.0, 2.0),
    st.booleans(),
)
def test_equity_meets_maintenance_at_the_liquidation_price(table: int, quantity: float, mark: float, slack: float, long: bool) -> None:
    tiers = build_tiers(MARGIN_TABLES[table][1])
    size, notional = (quantity if long else -quantity), quantity * mark
    own = maintenance_margin(notional, tiers)
    equity = own * (1.0 + slack) + notional * slack / 10.0
    price = liquidation_price(size, mark, equity - own, tiers)
    if price is None:
        assert long
        assert equity >= notional  # only a fully funded long can never fail
    else:
        there = equity + size * (price - mark)
        assert there == pytest.approx(maintenance_margin(quantity * price, tiers), rel=1e-6, abs=1e-6 * notional)


def account(*positions: PositionPlan, cash: float = 1e7, **plan: object) -> Account:
    market = Market(1, "calm", 30.0, 0)
    return Account(AccountPlan(ADDRESS, "x", cash={"": cash}, positions=positions, **plan), market)  # type: ignore[arg-type]


trades = st.lists(
    st.tuples(st.sampled_from(["BTC", "ETH", "MEGA"]), st.integers(-500, 500).filter(bool), st.floats(0.8, 1.2)),
    min_size=1,
    max_size=20,
)


@given(trades, st.booleans(), st.sampled_from(["standard", "unified"]))
def test_trading_conserves_money(rows: list[tuple[str, int, float]], isolated: bool, mode: str) -> None:
    held = account(PositionPlan("ETH", 10.0, 5, isolated=isolated), mode=mode)
    spent = 0.0
    for coin, lots, factor in rows:
        price = round(held.market.mark(coin) * factor, 4)
        size = lots / 10.0 if coin != "MEGA" else float(lots)
        effect = apply_fill(held, coin, size, price, 1.0)
        spent += size * (held.market.mark(coin) - price) - 1.0
        assert held.positions.get(coin) is None or held.positions[coin].size == pytest.approx(effect.start + size)
    equity = held.cash("") + held.cross_value("") + held.isolated_total(0)
    assert equity == pytest.approx(1e7 + spent, abs=0.01)


def test_opening_isolated_moves_the_initial_margin_out_of_cross() -> None:
    held = account(PositionPlan("ETH", 10.0, 5, isolated=True), cash=10_000.0)
    assert held.cash("") == pytest.approx(10_000.0 - 27_000.0 / 5)
    assert held.isolated_equity(held.positions["ETH"]) == pytest.approx(27_000.0 / 5)
    apply_fill(held, "ETH", -5.0, 2_700.0, 0.0)
    assert held.isolated_equity(held.positions["ETH"]) == pytest.approx(13_500.0 / 5)
    apply_fill(held, "ETH", -5.0, 2_700.0, 0.0)
    assert held.cash("") == pytest.approx(10_000.0)
    assert not held.positions


@pytest.mark.parametrize(
    ("start", "size", "words", "pnl"),
    [
        (0.0, 2.0, "Open Long", 0.0),
        (1.0, -3.0, "Long > Short", 100.0),
        (-2.0, 1.0, "Close Short", -100.0),
        (2.0, 1.0, "Open Long", 0.0),
        (2.0, -2.0, "Close Long", 200.0),
    ],
)
def test_fill_is_told_in_the_venues_words(start: float, size: float, words: str, pnl: float) -> None:
    held = account(*([PositionPlan("BTC", start, 10)] if start else []))
    effect = apply_fill(held, "BTC", size, 86_100.0, 0.0)
    assert (effect.start, effect.direction) == (start, words)
    assert effect.closed_pnl == pytest.approx(pnl)
    if start and abs(start + size) > 0 and (start > 0) == (start + size > 0) and start * size > 0:
        assert held.positions["BTC"].entry == pytest.approx((start * 86_000.0 + size * 86_100.0) / (start + size))


def test_protocol_vaults_are_maintained_at_one_percent() -> None:
    vault = account(PositionPlan("MEGA", 1000.0, 3), protocol_vault=True)
    assert vault.max_leverage("MEGA") == 50
    assert vault.maintenance(vault.positions["MEGA"]) == pytest.approx(0.01 * 46.0)
