"""The simulated Deribit's own figures by hand, and the identities that recorded summaries keep."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from connectors.simulator.deribit import AccountPlan, DeribitVenue, Market, PositionPlan, Transfer
from connectors.simulator.deribit_figures import wallet
from connectors.simulator.deribit_private_wire import position_row, summaries

START = 1_790_000_000_000
DAY_S = 86_400.0
MONTH = 30.0 * DAY_S


def venue(*positions: PositionPlan, model: str = "segregated_sm", scenario: str = "calm", **wallets: float) -> DeribitVenue:
    plan = AccountPlan("owl", "id", "secret", margin_model=model, wallet=wallets or {"BTC": 10.0}, positions=positions)  # type: ignore[arg-type]
    return DeribitVenue(Market(1, scenario, 60.0, START), [plan], expiries_s=(30.0,))


def put(size: float, strike: float = 80_000.0) -> PositionPlan:
    return PositionPlan(size, option=("BTC", MONTH, strike, False))


def test_short_put_by_the_standard_rule() -> None:
    found = venue(put(-2.0))
    position = next(iter(found.accounts["owl"].positions.values()))
    mark, index = found.prices.mark(position.contract), found.prices.indices["btc_usd"]
    figures = found.figures("owl")["BTC"]
    away = (index - position.contract.strike) / index
    assert figures.maintenance_margin == pytest.approx(2.0 * (0.075 + mark))
    assert figures.initial_margin == pytest.approx(2.0 * max(max(0.15 - away, 0.10) + mark, 0.075 + mark))
    assert figures.equity == pytest.approx(10.0 - 2.0 * mark)
    assert figures.margin_balance == 10.0
    assert figures.ratio == pytest.approx(2.0 * (0.075 + mark) / 10.0)


def test_long_options_need_nothing_and_back_nothing() -> None:
    figures = venue(put(5.0)).figures("owl")["BTC"]
    assert (figures.maintenance_margin, figures.initial_margin, figures.ratio) == (0.0, 0.0, 0.0)
    assert figures.margin_balance == pytest.approx(figures.equity - figures.options_value)
    assert figures.options_value > 0.0


def test_an_inverse_perpetual() -> None:
    found = venue(PositionPlan(172_000.0, name="BTC-PERPETUAL", entry=80_000.0))
    mark = found.prices.futures["BTC-PERPETUAL"]
    figures = found.figures("owl")["BTC"]
    assert figures.equity == pytest.approx(10.0 + 172_000.0 * (1.0 / 80_000.0 - 1.0 / mark))
    assert figures.maintenance_margin == pytest.approx(0.01 * 172_000.0 / mark)
    assert figures.delta_total == pytest.approx(172_000.0 / mark)


def test_a_linear_option_is_sized_in_coins() -> None:
    plan = PositionPlan(-100.0, option=("HYPE_USDC", MONTH, 60.0, True))
    found = venue(plan, USDC=5_000.0)
    position = next(iter(found.accounts["owl"].positions.values()))
    mark, index = found.prices.mark(position.contract), found.prices.indices["hype_usdc"]
    figures = found.figures("owl")["USDC"]
    assert figures.options_value == pytest.approx(-100.0 * mark)
    assert figures.maintenance_margin == pytest.approx(100.0 * (0.075 * index + mark))


def test_the_ratio_of_a_lost_pool_is_infinite() -> None:
    assert venue(put(-2.0), BTC=-1.0).figures("owl")["BTC"].ratio == math.inf


def test_recorded_identities_hold_here_too(recordings: Path) -> None:
    recorded = json.loads((recordings / "deribit" / "ws_user_portfolio_btc_docs.json").read_text())["params"]["data"]
    own = summaries(venue(put(-2.0), PositionPlan(430_000.0, name="BTC-PERPETUAL")).accounts["owl"])[0]
    for row in (recorded, own):
        assert row["margin_balance"] == pytest.approx(row["equity"] - row["options_value"], abs=2e-8)
        assert row["available_funds"] == pytest.approx(row["margin_balance"] - row["initial_margin"], abs=2e-8)
        # The map holds plain deltas; only the total is less the premium.
        assert row["delta_total"] == pytest.approx(row["delta_total_map"]["btc_usd"] - row["options_value"], abs=1e-6)
        assert row["projected_delta_total"] == pytest.approx(row["delta_total"] - row["options_delta"] + row["options_value"], abs=2e-5)


def test_cross_wallets_repeat_the_total() -> None:
    found = venue(put(-2.0), PositionPlan(-20.0, option=("ETH", MONTH, 2_700.0, True)), model="cross_sm", BTC=3.0, USDC=50_000.0)
    figures = found.figures("owl")["cross"]
    rows = {row["currency"]: row for row in summaries(found.accounts["owl"])}
    for currency in ("BTC", "ETH", "USDC", "USDT"):
        usd = found.prices.usd(currency)
        row = rows[currency]
        assert row["maintenance_margin"] * usd == pytest.approx(figures.maintenance_margin, rel=1e-4)
        assert row["margin_balance"] * usd == pytest.approx(figures.margin_balance, rel=1e-4)
        assert row["total_maintenance_margin_usd"] == pytest.approx(figures.maintenance_margin)
    assert "total_equity_usd" not in rows["BNB"]
    assert rows["BNB"]["margin_model"] == "segregated_sm"
    own = sum(rows[c]["equity"] * found.prices.usd(c) for c in ("BTC", "ETH", "USDC", "USDT"))
    assert figures.equity == pytest.approx(own, rel=1e-6)


def test_portfolio_margin_sees_the_hedge() -> None:
    hedged = (put(-5.0), PositionPlan(-100_000.0, name="BTC-PERPETUAL"))
    naked, covered = (venue(*p, model="cross_pm").figures("owl")["cross"] for p in (hedged[:1], hedged))
    assert 0.0 < covered.initial_margin < naked.initial_margin
    assert covered.maintenance_margin == pytest.approx(0.8 * covered.initial_margin)
    assert covered.margin_balance == covered.equity


def test_trades_average_and_realise() -> None:
    found = venue()
    account = found.accounts["owl"]
    found.trade("owl", "BTC-PERPETUAL", 100_000.0, price=80_000.0)
    found.trade("owl", "BTC-PERPETUAL", 100_000.0, price=100_000.0)
    assert account.positions["BTC-PERPETUAL"].entry == pytest.approx(2.0 / (1.0 / 80_000.0 + 1.0 / 100_000.0))
    found.trade("owl", "BTC-PERPETUAL", -200_000.0, price=100_000.0)
    assert account.wallet["BTC"] == pytest.approx(10.0 + 100_000.0 * (1.0 / 80_000.0 - 1.0 / 100_000.0))
    assert not account.positions
    name = found.listing.nearest("BTC", START + round(MONTH * 1000), 80_000.0, call=False).name
    before = account.wallet["BTC"]
    found.trade("owl", name, -3.0, price=0.02)
    found.trade("owl", name, 5.0, price=0.01)
    assert account.wallet["BTC"] == pytest.approx(before + 0.06 - 0.05)
    assert (account.positions[name].size, account.positions[name].entry) == (2.0, 0.01)


def test_an_expiry_pays_the_index_and_equity_does_not_jump() -> None:
    found = venue(PositionPlan(-5.0, option=("BTC", 30.0, 80_000.0, True)), PositionPlan(-10.0, option=("BTC", 30.0, 95_000.0, True)))
    account, before = found.accounts["owl"], 0.0
    while len(account.positions) == 2:
        before = found.figures("owl")["BTC"].equity
        found.advance(0.5)
    index = found.prices.indices["btc_usd"]
    assert account.positions == {}
    assert account.wallet["BTC"] == pytest.approx(10.0 - 5.0 * (index - 80_000.0) / index)
    assert found.figures("owl")["BTC"].equity == pytest.approx(before, abs=0.01)
    assert not [c for c in found.listing.contracts.values() if c.expiry_ms == START + 30_000]


def test_position_rows_add_up_to_the_summary() -> None:
    found = venue(put(-2.0), PositionPlan(3.0, option=("BTC", MONTH, 92_500.0, True)))
    account = found.accounts["owl"]
    rows = [position_row(account, p) for p in account.positions.values()]
    own = wallet(account, "BTC")
    assert sum(row["size"] * row["mark_price"] for row in rows) == pytest.approx(own.options_value)
    assert sum(row["delta"] for row in rows) == pytest.approx(own.options_delta, abs=1e-8)
    assert sum(row["vega"] for row in rows) == pytest.approx(own.vegas["btc_usd"], abs=1e-4)
    assert {row["direction"] for row in rows} == {"buy", "sell"}


def test_a_failing_pool_is_reduced_until_it_holds() -> None:
    found = venue(put(-40.0, 85_000.0), scenario="crash", BTC=10.0)
    while found.market.progress < 1.0:
        found.advance(0.5)
    assert found.liquidator.slices["owl"] >= 1
    assert found.figures("owl")["BTC"].ratio < 1.0
    assert -40.0 < sum(p.size for p in found.accounts["owl"].positions.values()) <= 0.0


def test_transfers_come_in_time_and_bad_plans_are_refused() -> None:
    plan = AccountPlan("owl", "id", "secret", wallet={"BTC": 1.0}, transfers=(Transfer(0.5, "USDC", 7.0),))
    found = DeribitVenue(Market(1, "calm", 60.0, START), [plan])
    found.advance(29.0)
    assert found.accounts["owl"].wallet["USDC"] == 0.0
    found.advance(2.0)
    assert found.accounts["owl"].wallet["USDC"] == 7.0
    with pytest.raises(ValueError, match="no wallet in EUR: use BTC, ETH, USDC, USDT"):
        found.transfer("owl", "EUR", 1.0)
    with pytest.raises(ValueError, match="owl: no wallet in SOL"):
        venue(SOL=1.0)
    with pytest.raises(ValueError, match="no instrument 'BTC-1JAN20' is listed"):
        venue(PositionPlan(1.0, name="BTC-1JAN20"))
    assert "secret" not in repr(plan)
