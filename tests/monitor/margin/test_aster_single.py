"""Aster in single-asset mode and isolated: the worked examples of the venue notes (5.3 to 5.6), hedge mode, the docs' own prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.events import FailureReason
from connectors.model import FuturesRead, Position, PositionSide, ReportedAsset
from monitor.margin.result import Level, PoolKind
from tests.monitor.aster_desk import BOTH, LONG, SHORT, AsterDesk, maintenance, name, position, read, reference

X_LONG = position("TRUTHUSDT", 20_000.0, 0.40, 0.38)
ETH_SHORT = position("ETHUSDT", -1.5, 3_000.0, 3_100.0)


def example_b() -> AsterDesk:
    desk = AsterDesk(marks=False)
    desk.take(read({"USDT": 1_000.0}, [X_LONG, ETH_SHORT]))
    return desk


def test_example_a_tiers_are_charged_slice_by_slice() -> None:
    desk = AsterDesk(marks=False)
    desk.take(read({"USDT": 1_000.0}, [position("TRUTHUSDT", 20_000.0, 0.40, 0.40)]))
    assert desk.pool("USDT").maintenance_margin == pytest.approx(125.0, abs=1e-9)


def test_example_b() -> None:
    desk = example_b()
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.kind, pool.mode, pool.asset, pool.positions) == ("USDT", PoolKind.ASTER_CROSS, "single_asset", "USDT", 2)
    assert pool.equity == pytest.approx(450.0)
    assert pool.maintenance_margin == pytest.approx(145.225)
    assert pool.margin_ratio == pytest.approx(0.3227222, abs=5e-8)
    assert pool.initial_margin == pytest.approx((7_600.0 + 4_650.0) / 10.0)
    assert (pool.raw_ratio, pool.limit, pool.level, pool.model_error) == (None, 1.0, Level.OK, None)
    assert pool.reconciled is True
    assert desk.liquidation("USDT", "TRUTHUSDT") == pytest.approx(0.36437, abs=5e-6)
    assert desk.liquidation("USDT", "ETHUSDT") == pytest.approx(3_301.87, abs=5e-3)


def test_example_c_the_documented_margin_call() -> None:
    # 1.327 ETH at 187.17127, unrealised -1.166074, cross wallet 3.16812045, maintenance 1.614445
    mark = 187.17127
    desk = AsterDesk(marks=False)
    desk.take(read({"USDT": 3.16812045}, [position("ETHUSDT", 1.327, mark + 1.166074 / 1.327, mark, side=LONG)]), hedge=True)
    pool = desk.pool("USDT")
    assert pool.maintenance_margin == pytest.approx(1.614445, abs=1e-6), "printed with six digits, cut"
    assert pool.margin_ratio == pytest.approx(0.8064, abs=5e-5)


def test_the_documented_liquidation_prices_of_a_hedged_symbol() -> None:
    desk = AsterDesk(marks=False)
    tiers = reference().instruments[0].tiers
    assert tiers[1].deduction == 50.0
    long = position("BTCUSDT", 20.0, 6_563.665, 6_679.50671178, isolated=13_200.70726908, side=LONG, reported_liquidation_price=5_930.78)
    short = position("BTCUSDT", -10.0, 6_563.86, 6_679.50671178, isolated=6_570.42511771, side=SHORT, reported_liquidation_price=7_189.95)
    desk.take(read({"USDT": 100.12345678}, [long, short]), hedge=True)
    pools = desk.pools()
    assert set(pools) == {"iso:BTCUSDT:LONG", "iso:BTCUSDT:SHORT", "USDT"}
    assert pools["iso:BTCUSDT:LONG"].kind is PoolKind.ASTER_ISOLATED
    # isolatedMargin of the docs: isolated wallet + unrealised profit
    assert pools["iso:BTCUSDT:LONG"].equity == pytest.approx(15_517.54150468, abs=5e-8)
    assert pools["iso:BTCUSDT:SHORT"].equity == pytest.approx(5_413.95799991, abs=5e-8)
    assert desk.liquidation("iso:BTCUSDT:LONG", "BTCUSDT", LONG) == pytest.approx(5_930.7836, abs=5e-5)
    assert desk.liquidation("iso:BTCUSDT:SHORT", "BTCUSDT", SHORT) == pytest.approx(7_189.9527, abs=5e-5)
    assert all(pool.reconciled for pool in pools.values())
    figures = {comparison.figure for comparison in desk.specs()["iso:BTCUSDT:LONG"].comparisons}
    assert figures == {"maintenance_margin", "initial_margin", "equity", "liquidation_price BTCUSDT:LONG"}
    assert pools["USDT"].equity == pytest.approx(100.12345678), "isolated margin is no part of the cross wallet"
    assert pools["USDT"].margin_ratio == 0.0


def test_hedge_legs_are_tiered_separately_and_share_one_price() -> None:
    desk = AsterDesk(marks=False)
    long = position("TRUTHUSDT", 10_000.0, 0.40, 0.40, side=LONG)
    short = position("TRUTHUSDT", -9_000.0, 0.42, 0.40, side=SHORT)
    desk.take(read({"USDT": 150.0}, [long, short]), hedge=True)
    pool = desk.pool("USDT")
    # 4,000 and 3,600 lie in the first tier each; 7,600 together would not
    assert pool.maintenance_margin == pytest.approx(76.0)
    assert pool.equity == pytest.approx(330.0)
    assert [leg.side for leg in desk.specs()["USDT"].legs] == [LONG, SHORT]
    both = [desk.liquidation("USDT", "TRUTHUSDT", side) for side in (LONG, SHORT)]
    assert both[0] == both[1]
    price = both[0]
    left = 150.0 + 10_000.0 * (price - 0.40) - 9_000.0 * (price - 0.42)
    left -= maintenance(long, price) + maintenance(short, price)
    assert left == pytest.approx(0.0, abs=1e-9)


def test_the_leg_to_close_is_the_one_that_needs_most() -> None:
    desk = AsterDesk(marks=False)
    long = position("TRUTHUSDT", 10_000.0, 0.40, 0.40, side=LONG)
    short = position("TRUTHUSDT", -12_000.0, 0.40, 0.40, side=SHORT)
    desk.take(read({"USDT": 90.0}, [long, short]), hedge=True)
    pool = desk.pool("USDT")
    assert pool.reduce is not None
    assert (pool.reduce[0], pool.reduce_side) == (name("TRUTHUSDT"), SHORT)
    assert pool.reduce[1] > 0


def test_usd1_contracts_are_a_pool_of_their_own() -> None:
    desk = AsterDesk()
    held = [position("ETHUSDT", 1.0, 3_000.0, 3_000.0), position("XAUUSD1", 0.5, 4_000.0, 3_900.0)]
    desk.take(read({"USDT": 500.0, "USD1": 80.0, "BTC": 0.1, "BNB": 0.0}, held))
    pools = desk.pools()
    assert set(pools) == {"USDT", "USD1"}, "in this mode an asset that settles nothing is no margin"
    assert pools["USD1"].asset == "USD1"
    assert pools["USD1"].equity == pytest.approx(30.0)
    assert pools["USD1"].margin_ratio == pytest.approx(0.0065 * 1_950.0 / 30.0)
    assert pools["USDT"].equity == pytest.approx(500.0)
    assert pools["USD1"].reconciled is True


def test_losses_beyond_the_wallet_are_a_liquidation() -> None:
    desk = AsterDesk(marks=False)
    desk.take(read({"USDT": 100.0}, [position("ETHUSDT", 1.0, 3_000.0, 2_800.0)]))
    pool = desk.pool("USDT")
    assert (pool.margin_ratio, pool.level) == (float("inf"), Level.LIQUIDATION)


def test_isolated_position_in_one_way_mode() -> None:
    desk = AsterDesk(marks=False)
    desk.take(read({"USDT": 1_000.0}, [position("ETHUSDT", -2.0, 3_000.0, 3_100.0, isolated=600.0)]))
    pool = desk.pool("iso:ETHUSDT")
    assert pool.equity == pytest.approx(400.0)
    assert pool.margin_ratio == pytest.approx(6_200.0 * 0.0065 / 400.0)
    assert desk.liquidation("iso:ETHUSDT", "ETHUSDT") == pytest.approx((2 * 3_000.0 + 600.0) / (2 * 1.0065))
    assert desk.pool("USDT").equity == pytest.approx(1_000.0)


def test_marks_move_the_pools_between_reads() -> None:
    desk = example_b()
    desk.marks(TRUTHUSDT=0.37, ETHUSDT=3_150.0)
    pool = desk.pool("USDT")
    assert pool.equity == pytest.approx(1_000.0 - 20_000.0 * 0.03 - 1.5 * 150.0)
    assert pool.maintenance_margin == pytest.approx(7_400.0 * 0.025 - 75.0 + 1.5 * 3_150.0 * 0.0065)


def test_pushes_move_wallet_and_positions_at_once() -> None:
    desk = example_b()
    more = replace(ETH_SHORT, quantity=-2.0, entry=3_050.0, leverage=0.0)
    desk.push({"USDT": 900.0}, [X_LONG, more])
    pool = desk.pool("USDT")
    assert pool.equity == pytest.approx(900.0 - 400.0 - 2.0 * 50.0)
    assert desk.account.instruments() == {name("TRUTHUSDT"), name("ETHUSDT")}
    desk.push({}, [X_LONG])
    assert desk.account.instruments() == {name("TRUTHUSDT")}
    assert desk.pool("USDT").positions == 1


def test_a_flat_account_is_an_empty_pool() -> None:
    desk = AsterDesk()
    desk.take(read({"USDT": 0.0, "BTC": 0.0}, []))
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.margin_ratio, pool.equity, pool.positions) == ("USDT", 0.0, 0.0, 0)
    desk.take(read({"USDT": 25.0}, [], began_ms=2))
    assert desk.pool("USDT").equity == 25.0


# -- against the venue's figures -----------------------------------------------------------------------------------------------


def altered(told: FuturesRead, **changed: Any) -> FuturesRead:
    """The read with other figures of the venue on its first asset."""
    return replace(told, reported=(replace(told.reported[0], **changed), *told.reported[1:]))


@pytest.mark.parametrize(("figure", "factor"), [("cross_equity", 0.8), ("maintenance_margin", 1.25)])
def test_where_the_venue_sees_less_the_level_is_the_worse_one(figure: str, factor: float) -> None:
    told = read({"USDT": 1_000.0}, [X_LONG, ETH_SHORT])
    desk = AsterDesk(marks=False)
    desk.take(altered(told, **{figure: factor * getattr(told.reported[0], figure)}))
    pool = desk.pool("USDT")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(0.3227222 * 1.25, rel=1e-6)
    # the difference stays while marks move
    desk.marks(TRUTHUSDT=0.37)
    ours = 145.225 - 115.0 + 7_400.0 * 0.025 - 75.0
    equity = 250.0
    worse = {"cross_equity": ours / (equity - 90.0), "maintenance_margin": (ours + 0.25 * 145.225) / equity}[figure]
    assert desk.pool("USDT").margin_ratio == pytest.approx(worse)
    desk.take(replace(told, began_ms=2))
    assert desk.pool("USDT").reconciled is True


@pytest.mark.parametrize(("figure", "factor"), [("cross_equity", 1.2), ("maintenance_margin", 0.8)])
def test_where_the_venue_sees_more_ours_stays(figure: str, factor: float) -> None:
    told = read({"USDT": 1_000.0}, [X_LONG, ETH_SHORT])
    desk = AsterDesk(marks=False)
    desk.take(altered(told, **{figure: factor * getattr(told.reported[0], figure)}))
    pool = desk.pool("USDT")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(0.3227222, rel=1e-6)


def test_isolated_margin_is_taken_out_of_the_assets_figure() -> None:
    apart = position("BTCUSDT", 1.0, 60_000.0, 60_000.0, isolated=6_000.0)
    told = read({"USDT": 1_000.0}, [X_LONG, ETH_SHORT, apart])
    assert told.reported[0].maintenance_margin == pytest.approx(145.225 + 250.0)
    desk = AsterDesk(marks=False)
    desk.take(told)
    assert desk.pool("USDT").reconciled is True
    assert desk.pool("USDT").maintenance_margin == pytest.approx(145.225)


def told_of(told: FuturesRead, number: int, **changed: Any) -> FuturesRead:
    rows = list(told.positions)
    rows[number] = replace(rows[number], **changed)
    return replace(told, positions=tuple(rows))


@pytest.mark.parametrize(
    ("changed", "is_apart"),
    [
        ({"reported_liquidation_price": 0.36437}, False),
        ({"reported_liquidation_price": 0.38}, True),
        ({"reported_liquidation_price": 0.3644}, False),
        ({"reported_margin_used": 761.0}, False),
        ({"reported_margin_used": 800.0}, True),
        ({"reported_margin_used": 760.0}, False),
    ],
)
def test_liquidation_prices_and_initial_margin_are_compared(changed: dict[str, float], is_apart: bool) -> None:
    desk = AsterDesk(marks=False)
    desk.take(told_of(read({"USDT": 1_000.0}, [X_LONG, ETH_SHORT]), 0, **changed))
    assert desk.pool("USDT").reconciled is not is_apart


def test_a_small_positions_price_is_not_held_against_what_the_others_moved_meanwhile() -> None:
    # the price of 0.01 ETH beside 100 BTC: a BTC that moved by 0.001 % between the answers moves it by 2,000 USD
    big, small = position("BTCUSDT", 100.0, 60_000.0, 60_000.0), position("ETHUSDT", -0.01, 3_000.0, 3_000.0)
    told = read({"USDT": 100_000.0}, [big, small])
    exact = AsterDesk(marks=False)
    exact.take(told)
    price = exact.liquidation("USDT", "ETHUSDT")
    desk = AsterDesk(marks=False)
    desk.take(told_of(told, 1, reported_liquidation_price=price + 6_000_000.0 * 1e-5 / 0.01))
    assert desk.pool("USDT").reconciled is True
    desk.take(told_of(replace(told, began_ms=2), 1, reported_liquidation_price=price + 6_000_000.0 * 2e-3 / 0.01))
    assert desk.pool("USDT").reconciled is False


@pytest.mark.parametrize(("figure", "value"), [("reported_unrealized_pnl", -260.0), ("reported_maintenance_margin", 60.0)])
def test_isolated_positions_are_compared_too(figure: str, value: float) -> None:
    desk = AsterDesk(marks=False)
    told = read({"USDT": 1_000.0}, [position("ETHUSDT", -2.0, 3_000.0, 3_100.0, isolated=600.0)])
    desk.take(told_of(told, 0, **{figure: value}))
    pool = desk.pool("iso:ETHUSDT")
    assert pool.reconciled is False
    worse = {"reported_unrealized_pnl": 40.3 / 340.0, "reported_maintenance_margin": 60.0 / 400.0}[figure]
    assert pool.margin_ratio == pytest.approx(worse)


def test_an_asset_without_figures_of_the_venue_is_not_compared() -> None:
    desk = AsterDesk(marks=False)
    desk.take(replace(read({"USDT": 1_000.0}, [X_LONG]), reported=()))
    assert desk.pool("USDT").reconciled is None


# -- what is not known ---------------------------------------------------------------------------------------------------------


def test_before_the_first_state_nothing_is_known() -> None:
    desk = AsterDesk()
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.margin_ratio, pool.failures[0].reason) == ("account", None, FailureReason.NOT_READY)
    assert desk.account.instruments() == set()


def test_an_account_that_cannot_be_served_says_why_until_it_is_read() -> None:
    desk = example_b()
    desk.fail(FailureReason.KEY_REFUSED, "the venue refuses the key of maker: renew it")
    (pool,) = desk.pools().values()
    assert (pool.pool, pool.failures[0].reason) == ("account", FailureReason.KEY_REFUSED)
    assert "renew" in pool.failures[0].detail
    desk.push({"USDT": 900.0})
    assert set(desk.pools()) == {"account"}, "a push is no answer to the key"
    desk.take(read({"USDT": 1_000.0}, [X_LONG], began_ms=2))
    assert desk.pool("USDT").failures == ()


def test_a_doubtful_state_is_shown_and_not_reconciled() -> None:
    desk = example_b()
    desk.push(doubt="the account's mode changed: waiting for a read")
    pool = desk.pool("USDT")
    assert pool.reconciled is False
    assert pool.margin_ratio == pytest.approx(0.3227222, abs=5e-8)


def test_an_unknown_instrument_makes_every_cross_pool_a_failure() -> None:
    desk = AsterDesk()
    stray = Position(name("GHOSTUSD1"), 1.0, 10.0, entry=10.0, side=BOTH)
    told = read({"USDT": 1_000.0, "USD1": 50.0}, [X_LONG])
    desk.take(replace(told, positions=(*told.positions, stray)))
    pools = desk.pools()
    assert set(pools) == {"USDT", "USD1"}
    assert all(pool.failures[0].reason is FailureReason.UNKNOWN_INSTRUMENT for pool in pools.values())
    alone = AsterDesk()
    alone.take(replace(read({}, []), positions=(stray,)))
    assert alone.pool("USDT").failures[0].reason is FailureReason.UNKNOWN_INSTRUMENT


def test_an_unknown_table_or_mark_or_entry_is_a_failure() -> None:
    desk = AsterDesk(marks=False)
    desk.take(replace(read({"USDT": 1_000.0}, []), positions=(position("NEWTUSDT", 1.0, 10.0, 10.0),)))
    assert desk.pool("USDT").failures[0].reason is FailureReason.UNKNOWN_TIER
    desk.take(replace(read({"USDT": 1_000.0}, []), positions=(replace(X_LONG, entry=None),)))
    assert desk.pool("USDT").failures[0].reason is FailureReason.MISSING_ENTRY
    desk.take(replace(read({"USDT": 1_000.0}, []), positions=(position("SOLUSDT", 1.0, 150.0, 0.0),)))
    assert desk.pool("USDT").failures[0].reason is FailureReason.MISSING_MARK


def test_an_isolated_position_whose_margin_was_not_told() -> None:
    desk = AsterDesk(marks=False)
    held = replace(position("ETHUSDT", 1.0, 3_000.0, 3_000.0, isolated=1.0), isolated_cash=None)
    desk.take(replace(read({"USDT": 1_000.0}, []), positions=(held,)))
    assert desk.pool("iso:ETHUSDT").failures[0].reason is FailureReason.NOT_READY
    stray = replace(position("ETHUSDT", 1.0, 3_000.0, 3_000.0, isolated=300.0), instrument=name("GHOST"))
    desk.take(replace(read({"USDT": 1_000.0}, []), positions=(stray,)))
    assert desk.pool("iso:GHOST").failures[0].reason is FailureReason.UNKNOWN_INSTRUMENT
    assert desk.pool("USDT").failures == ()


def test_what_a_report_of_another_asset_says_is_not_taken() -> None:
    desk = AsterDesk(marks=False)
    told = read({"USDT": 1_000.0, "USD1": 10.0}, [X_LONG])
    other = ReportedAsset("USD1", 10.0, 10.0, 5_000.0, 0.0, 10.0)
    desk.take(replace(told, reported=(told.reported[0], other)))
    pools = desk.pools()
    assert pools["USDT"].reconciled is True
    assert pools["USD1"].reconciled is False


@pytest.mark.parametrize("side", list(PositionSide))
def test_sides_have_names(side: PositionSide) -> None:
    desk = AsterDesk(marks=False)
    quantity = -1.0 if side is SHORT else 1.0
    desk.take(read({"USDT": 1_000.0}, [position("ETHUSDT", quantity, 3_000.0, 3_000.0, isolated=300.0, side=side)]), hedge=side is not BOTH)
    expected = "iso:ETHUSDT" if side is BOTH else f"iso:ETHUSDT:{side.name}"
    assert expected in desk.pools()


def test_a_table_that_the_venue_changed_is_compared_anew() -> None:
    desk = example_b()
    assert desk.pool("USDT").reconciled is True
    desk.book.apply(reference(TRUTHUSDT=(replace(reference().instruments[4].tiers[0], maintenance_rate=0.02),)))
    pool = desk.pool("USDT")
    assert pool.maintenance_margin == pytest.approx(7_600.0 * 0.02 + 30.225)
    assert pool.reconciled is False, "the venue's figure was of the old one"
    desk.book.apply(reference())
    assert desk.pool("USDT").reconciled is True
