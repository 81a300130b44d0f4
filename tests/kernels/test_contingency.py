"""The six contingencies and the hedging spot: cases computed by hand, and what holds for any quantities."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitor.margin.portfolio import CHARGE_NAMES, UnitResult
from tests.kernels.stress_books import BTC, DAY_S, account, document, future, held, margin, option, perpetual, unit
from tests.kernels.test_checked_modes import CHECKED
from tests.reference.black76 import option_vega
from tests.reference.books import Document

EXAMPLES = 4 if CHECKED else 60
SHORT_OPTION, VEGA_SPREAD, STABLECOIN_SPREAD, DELTA_SPREAD, SPOT_BASIS, PERPETUAL_FUTURE = CHARGE_NAMES


def charges(instruments: list[Document], quantities: list[float], name: str = "uta", **more: Any) -> UnitResult:
    """The BTC unit of one account that holds `quantities` of the instruments; account keys may be among `more`."""
    own = {key: more.pop(key) for key in ("balances", "spot_hedging", "hedge_cap", "orders") if key in more}
    rows = [held(row["id"], quantity) for row, quantity in zip(instruments, quantities, strict=True) if quantity]
    return unit(document(instruments, [account("one", rows, **own)], **more), name)


# -- A: short options ------------------------------------------------------------------------------------------------------------


def test_short_options_net_across_strikes_and_not_between_calls_and_puts() -> None:
    rows = [option("a", "call", 110e3), option("b", "call", 120e3), option("c", "put", 90e3), option("d", "put", 85e3)]
    # 3 - 1 calls are short, and no puts: 2 * 100,000 * f_A
    assert charges(rows, [-3.0, 1.0, -2.0, 2.0]).contingency[SHORT_OPTION] == pytest.approx(2 * BTC * 0.015, rel=1e-14)
    assert charges(rows, [-3.0, 1.0, -2.5, 2.0]).contingency[SHORT_OPTION] == pytest.approx(2.5 * BTC * 0.015, rel=1e-14)
    assert charges(rows, [3.0, -1.0, 2.0, -2.0]).contingency[SHORT_OPTION] == 0.0


def test_short_options_net_within_a_date_of_utc_only() -> None:
    # from noon: 11:59 h and 12:01 h are two dates, 20 h and 28 h one
    dates = [(11 * 3600 + 3540, 12 * 3600 + 60, 1.0), (20 * 3600, 28 * 3600, 0.0)]
    for first, second, short in dates:
        rows = [option("a", "call", 110e3, first), option("b", "call", 110e3, second)]
        assert charges(rows, [-1.0, 1.0]).contingency[SHORT_OPTION] == pytest.approx(short * BTC * 0.015, rel=1e-14)


def test_short_options_are_charged_until_they_expire_and_with_the_date_after() -> None:
    for seconds in (1, 0, -DAY_S):
        rows = [option("a", "call", 110e3, seconds), option("b", "call", 120e3, seconds)]
        assert charges(rows, [-3.0, 1.0]).contingency[SHORT_OPTION] == pytest.approx(2 * BTC * 0.015, rel=1e-14)


def test_accounts_and_settlements_net_in_short_options() -> None:
    rows = [option("a", "call", 110e3), option("b", "call", 110e3, settle="USDT"), option("c", "call", 105e3, settle="BTC")]
    accounts = [account("one", [held("a", -3.0)]), account("two", [held("b", 1.0)]), account("three", [held("c", 1.5)])]
    assert unit(document(rows, accounts)).contingency[SHORT_OPTION] == pytest.approx(0.5 * BTC * 0.015, rel=1e-13)


# -- B: vega spread --------------------------------------------------------------------------------------------------------------


def with_vega(name: str, vega: float, days: float, **more: Any) -> tuple[Document, float]:
    """An option at the money and the quantity of it that has `vega` USD per 1.00."""
    return option(name, "call", BTC, int(days * DAY_S), **more), vega / option_vega(BTC, BTC, 0.5, days / 365.0)


def test_vega_spread_compares_the_mean_days_of_both_sides() -> None:
    rows = [with_vega("a", -30e3, 10), with_vega("b", 20e3, 40), with_vega("c", 20e3, 70)]
    found = charges([row for row, _ in rows], [quantity for _, quantity in rows])
    # longs at 55 days on average, shorts at 10, and 30,000 of vega is hedged
    assert found.contingency[VEGA_SPREAD] == pytest.approx(45 * 30e3 * 0.0003, rel=1e-11)
    assert found.vega == pytest.approx(10e3, rel=1e-11)


def test_vega_spread_has_no_price_of_its_stablecoin() -> None:
    rows = [with_vega("a", -30e3, 10, settle="USDT"), with_vega("b", 40e3, 40, settle="USDT")]
    found = charges([row for row, _ in rows], [quantity for _, quantity in rows], fx={"USDT": 0.9})
    assert found.contingency[VEGA_SPREAD] == pytest.approx(30 * 30e3 * 0.0003, rel=1e-11)
    assert found.vega == pytest.approx(0.9 * 10e3, rel=1e-11)


def test_vega_of_one_expiry_nets_first_whatever_time_of_which_venue() -> None:
    rows = [with_vega("a", -30e3, 40), with_vega("b", 50e3, 40)]
    assert charges([row for row, _ in rows], [quantity for _, quantity in rows]).contingency[VEGA_SPREAD] == 0.0


# -- C: stablecoin spread --------------------------------------------------------------------------------------------------------


def test_stablecoin_spread_is_half_of_gross_less_net() -> None:
    rows = [perpetual("t", settle="USDT"), perpetual("c"), perpetual("i", settle="BTC", inverse=True)]
    # 3, -1 and -0.5 coins: 1.5 are hedged across settlements
    assert charges(rows, [3.0, -1.0, -50e3]).contingency[STABLECOIN_SPREAD] == pytest.approx(1.5 * BTC * 0.0075, rel=1e-13)
    assert charges(rows, [3.0, 1.0, 50e3]).contingency[STABLECOIN_SPREAD] == 0.0


def test_coin_and_usd_settled_are_one_group_and_every_stablecoin_one_of_its_own() -> None:
    names = ["BTC", "USD", "USDC", "USDT", "FDUSD", "USDE"]
    rows = [perpetual(name, settle=name) for name in names]
    fx = {"USDC": 1.0, "USDT": 1.0, "FDUSD": 1.0, "USDE": 1.0}
    for one in range(len(names)):
        for other in range(one):
            quantities = [2.0 * (number == one) - 2.0 * (number == other) for number in range(len(names))]
            spread = 0.0 if (one, other) == (1, 0) else 2.0 * BTC * 0.0075
            assert charges(rows, quantities, fx=fx).contingency[STABLECOIN_SPREAD] == pytest.approx(spread, rel=1e-13)


def test_hedging_spot_joins_the_usd_group_where_the_set_says_so() -> None:
    spot: Document = {"balances": [{"asset": "BTC", "total": -2.0, "eligible_hedge": True}], "spot_hedging": True}
    for joins, spread in ((False, 0.0), (True, 2.0 * BTC * 0.0075)):
        overrides = {"BTC": {"spot_in_stablecoin_spread": joins}}
        found = charges([perpetual()], [3.0], overrides=overrides, **spot)
        assert found.hedging_spot == -2.0
        assert found.contingency[STABLECOIN_SPREAD] == pytest.approx(spread, rel=1e-13)


def test_a_stablecoin_off_its_peg_raises_the_factor_to_its_gap() -> None:
    rows = [perpetual("t", settle="USDT"), perpetual("c")]
    for fx, factor in ((0.999, 0.0075), (1.0075, 0.0075), (0.95, 0.05), (1.02, 0.02)):
        for quantities in ([10.0, -10.0], [-10.0, 10.0]):
            found = charges(rows, quantities, fx={"USDT": fx, "USDC": 1.0})
            assert found.contingency[STABLECOIN_SPREAD] == pytest.approx(factor * 10 * BTC, rel=1e-12)
    both = charges(rows, [10.0, -10.0], fx={"USDT": 0.95, "USDC": 0.9})
    assert both.contingency[STABLECOIN_SPREAD] == pytest.approx(0.1 * 10 * BTC, rel=1e-12), "the widest gap counts"


def test_a_book_in_one_stablecoin_pays_nothing_whatever_its_price() -> None:
    rows = [perpetual("t", settle="USDT"), perpetual("u", settle="USDT"), perpetual("c")]
    assert charges(rows, [10.0, -4.0, 0.0], fx={"USDT": 0.5, "USDC": 1.0}).contingency[STABLECOIN_SPREAD] == 0.0


def test_a_group_without_delta_is_off_its_peg_for_nobody() -> None:
    rows = [
        perpetual("t", settle="USDT"),
        perpetual("u", settle="USDT"),
        perpetual("v", settle="USDT"),
        perpetual("c"),
        perpetual("d", settle="USD"),
    ]
    fx = {"USDT": 0.9, "USDC": 1.0}
    for quantities in ([2.0, -2.0, 0.0, 5.0, -5.0], [0.1, 0.2, -0.3, 5.0, -5.0]):
        found = charges(rows, quantities, fx=fx)
        assert found.contingency[STABLECOIN_SPREAD] == pytest.approx(0.0075 * 5 * BTC, rel=1e-9)
    assert charges(rows, [0.1, 0.2, -0.2, 5.0, -5.1], fx=fx).contingency[STABLECOIN_SPREAD] == pytest.approx(0.1 * 5.1 * BTC, rel=1e-9)


def test_coin_and_usd_settled_contracts_have_no_gap_of_their_own_and_bear_the_other_s() -> None:
    rows = [perpetual("i", settle="BTC", inverse=True), perpetual("t", settle="USDT"), perpetual("d", settle="USD")]
    fx = {"USDT": 0.95, "USDC": 0.5}
    assert charges(rows, [200e3, -2.0, 0.0], fx=fx).contingency[STABLECOIN_SPREAD] == pytest.approx(0.05 * 2 * BTC, rel=1e-12)
    assert charges(rows, [200e3, 0.0, -2.0], fx=fx).contingency[STABLECOIN_SPREAD] == 0.0


def test_orders_bring_the_gap_of_the_stablecoin_they_settle_in() -> None:
    rows = [perpetual("d", settle="USD"), perpetual("c"), perpetual("t", settle="USDT")]
    order = {"instrument": "t", "quantity": -3.0, "limit_price": BTC}
    found = charges(rows, [5.0, -2.0, 0.0], fx={"USDT": 0.95, "USDC": 1.0}, orders=[order], overrides={"BTC": {"price_range": 1e-9}})
    assert found.binding_orders == "sell_orders"
    assert found.contingency[STABLECOIN_SPREAD] == pytest.approx(0.05 * 5 * BTC, rel=1e-12)


# -- D1: delta spread ------------------------------------------------------------------------------------------------------------


def test_delta_spread_compares_the_mean_days_of_both_sides() -> None:
    rows = [perpetual("p"), future("near", 30 * DAY_S), future("far", 90 * DAY_S)]
    # shorts at (2 * 30 + 4 * 90) / 6 = 70 days, longs at 0, and 5 coins are hedged
    assert charges(rows, [5.0, -2.0, -4.0]).contingency[DELTA_SPREAD] == pytest.approx(70 * 5 * BTC * 0.0003, rel=1e-13)
    assert charges(rows, [-5.0, 2.0, 4.0]).contingency[DELTA_SPREAD] == pytest.approx(70 * 5 * BTC * 0.0003, rel=1e-13)
    assert charges(rows, [5.0, 2.0, 4.0]).contingency[DELTA_SPREAD] == 0.0


def test_options_enter_the_delta_spread_by_their_delta() -> None:
    # a put deep in the money a day before it expires: delta -1
    rows = [future("f", 31 * DAY_S), option("o", "put", 400e3, DAY_S)]
    assert charges(rows, [2.0, 3.0]).contingency[DELTA_SPREAD] == pytest.approx(30 * 2 * BTC * 0.0003, rel=1e-12)


def test_what_has_expired_is_one_group_with_perpetuals() -> None:
    rows = [perpetual("p"), future("gone", -DAY_S), future("now", 0), future("far", 30 * DAY_S)]
    found = charges(rows, [5.0, -3.0, -2.0, 1.0])
    assert found.contingency[DELTA_SPREAD] == 0.0, "net 0 at no time left, so nothing stands against the far leg"
    assert charges(rows, [5.0, -3.0, 0.0, -1.0]).contingency[DELTA_SPREAD] == pytest.approx(30 * BTC * 0.0003, rel=1e-12)


# -- D2: spot basis --------------------------------------------------------------------------------------------------------------


def on_spot(total: float, *, ratio: float | None = 0.98, eligible: bool = True, hedging: bool = True, **more: Any) -> Document:
    row: Document = {"asset": "BTC", "total": total, "eligible_hedge": eligible}
    if ratio is not None:
        row["collateral_ratio"] = ratio
    return {"balances": [row], "spot_hedging": hedging} | more


def test_spot_basis_weighs_the_bases_by_coin_quantity() -> None:
    # 1 % on 1 coin, 3 % on 2 contracts, 4 % on 100,000 USD of an inverse one at 104,000
    rows = [
        perpetual("p", 101e3),
        option("o", "put", 500e3, forward=103e3),
        perpetual("i", 104e3, settle="BTC", inverse=True),
    ]
    coins = 100e3 / 104e3
    basis = (1 * 0.01 + 2 * 0.03 + coins * 0.04) / (3 + coins)
    found = charges(rows, [-1.0, 2.0, -100e3], **on_spot(0.5))
    assert found.hedging_spot == 0.5
    assert found.contingency[SPOT_BASIS] == pytest.approx(0.5 * BTC * (0.45 * basis + 0.03), rel=1e-12)


def test_spot_basis_takes_the_price_of_the_stablecoin() -> None:
    found = charges([perpetual("p", 100e3, settle="USDT")], [-1.0], fx={"USDT": 1.02}, **on_spot(0.5))
    assert found.contingency[SPOT_BASIS] == pytest.approx(0.5 * BTC * (0.45 * 0.02 + 0.03), rel=1e-12)


@pytest.mark.parametrize(("ratio", "added"), [(1.0, 0.05), (0.98, 0.03), (0.95, 0.0), (0.9, 0.0), (0.0, 0.0), (None, 0.05)])
def test_spot_basis_adds_what_the_haircut_falls_short_of_the_threshold(ratio: float | None, added: float) -> None:
    found = charges([perpetual()], [-1.0], **on_spot(0.5, ratio=ratio))
    assert found.contingency[SPOT_BASIS] == pytest.approx(0.5 * BTC * added, rel=1e-12, abs=1e-9)


def test_spot_basis_is_never_below_zero() -> None:
    assert charges([perpetual("p", 80e3)], [-1.0], **on_spot(0.5)).contingency[SPOT_BASIS] == 0.0
    assert charges([perpetual("p", 96e3)], [-1.0], **on_spot(0.5)).contingency[SPOT_BASIS] == pytest.approx(0.5 * BTC * 0.012)


def test_spot_basis_takes_the_highest_ratio_of_the_rows_that_hedge() -> None:
    rows = [(1.0, 0.9, True), (0.4, 0.97, True), (-0.2, 1.0, True), (3.0, 0.99, False), (0.0, 0.99, True)]
    balances = [{"asset": "BTC", "total": total, "collateral_ratio": ratio, "eligible_hedge": hedges} for total, ratio, hedges in rows]
    found = charges([perpetual()], [-9.0], balances=balances, spot_hedging=True)
    assert found.hedging_spot == pytest.approx(1.2, rel=1e-15)
    assert found.contingency[SPOT_BASIS] == pytest.approx(1.2 * BTC * 0.02, rel=1e-12)


# -- E: perpetuals and futures ---------------------------------------------------------------------------------------------------


def test_perpetuals_and_futures_are_charged_gross_on_the_index() -> None:
    rows = [perpetual("p", 120e3), future("f", DAY_S, 90e3), perpetual("i", 80e3, settle="BTC", inverse=True), option("o", "call", 100e3)]
    found = charges(rows, [2.0, -3.0, -40e3, 50.0])
    assert found.contingency[PERPETUAL_FUTURE] == pytest.approx((2 + 3 + 40e3 / 80e3) * BTC * 0.0003, rel=1e-13)


def test_neither_accounts_nor_sides_of_hedge_mode_net() -> None:
    two = [account("one", [held("v:perp", 10.0)]), account("two", [held("v:perp", -10.0)])]
    hedged = [account("one", [held("v:perp", 10.0, side="long"), held("v:perp", -10.0, side="short")])]
    for accounts in (two, hedged):
        found = unit(document([perpetual()], accounts))
        assert found.max_loss == 0.0
        assert found.contingency[PERPETUAL_FUTURE] == found.maintenance_margin == pytest.approx(600.0, rel=1e-13)


# -- h: the spot that hedges -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spot", "delta", "cap", "hedge"),
    [
        (2.0, -3.0, None, 2.0),
        (3.0, -2.0, None, 2.0),
        (2.0, -2.0, None, 2.0),
        (-2.0, 3.0, None, -2.0),
        (-3.0, 2.0, None, -2.0),
        (3.0, -2.0, 0.5, 0.5),
        (-3.0, 2.0, 0.5, -0.5),
        (3.0, -2.0, 0.0, 0.0),
        (3.0, -2.0, 9.0, 2.0),
        (2.0, 3.0, None, 0.0),
        (-2.0, -3.0, None, 0.0),
        (0.0, -3.0, None, 0.0),
    ],
)
def test_hedging_spot_offsets_no_more_than_there_is(spot: float, delta: float, cap: float | None, hedge: float) -> None:
    caps: Document = {} if cap is None else {"hedge_cap": {"BTC": cap}}
    found = charges([perpetual()], [delta], **on_spot(spot, **caps))
    assert found.hedging_spot == hedge
    assert found.delta == delta, "reported without the spot"
    # only what it wins counts: spot that hedges halves or ends the loss
    shock = 0.1 * BTC
    assert found.max_loss == pytest.approx(shock * (abs(delta) - abs(hedge)), rel=1e-12, abs=1e-9)


def test_only_eligible_spot_of_hedging_accounts_in_listed_coins_hedges() -> None:
    for more in (on_spot(2.0, eligible=False), on_spot(2.0, hedging=False)):
        assert charges([perpetual()], [-3.0], **more).hedging_spot == 0.0
    other: Document = document(
        [perpetual("x", 10.0, coin="XRP")],
        [account("one", [held("x", -3.0)], spot_hedging=True, balances=[{"asset": "XRP", "total": 2.0, "eligible_hedge": True}])],
        index={"XRP": 10.0},
    )
    assert unit(other, coin="XRP").hedging_spot == 0.0
    assert unit(other | {"overrides": {"*": {"spot_hedge": ["XRP"]}}}, coin="XRP").hedging_spot == 2.0


def test_caps_add_up_over_the_accounts_that_give_one() -> None:
    accounts = [
        account("one", [held("v:perp", -9.0)], **on_spot(5.0)),
        account("two", [], **on_spot(1.0, hedge_cap={"BTC": 0.5})),
        account("three", [], spot_hedging=True, hedge_cap={"BTC": 0.25, "ETH": 7.0}),
        account("four", [], hedge_cap={"BTC": 100.0}),
    ]
    assert unit(document([perpetual()], accounts)).hedging_spot == 0.75


def test_each_order_group_has_a_hedge_of_its_own() -> None:
    spot = on_spot(2.0, ratio=0.95)
    orders = [{"instrument": "v:perp", "quantity": -4.0, "limit_price": BTC}]
    found = charges([perpetual()], [-1.0], orders=orders, **spot)
    assert (found.binding_orders, found.hedging_spot, found.delta) == ("sell_orders", 2.0, -5.0)
    assert found.max_loss == pytest.approx(0.1 * BTC * 3.0, rel=1e-12)
    assert charges([perpetual()], [-1.0], **spot).hedging_spot == 1.0


# -- what holds for any quantities -----------------------------------------------------------------------------------------------

LISTED = [
    perpetual("usdc"),
    perpetual("usdt", 99e3, settle="USDT"),
    perpetual("inverse", 101e3, settle="BTC", inverse=True),
    future("f30", 30 * DAY_S, 101e3),
    future("f90", 90 * DAY_S, 103e3, settle="USDT"),
    option("c30", "call", 105e3, 30 * DAY_S),
    option("p30", "put", 95e3, 30 * DAY_S + 3600, settle="USDT"),
    option("c90", "call", 90e3, 90 * DAY_S, settle="BTC"),
    option("p0", "put", 110e3, 0),
]
UNITS = [1.0, 1.0, BTC, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
QUANTITIES = st.lists(st.floats(-10.0, 10.0).map(lambda value: round(value, 3)), min_size=len(LISTED), max_size=len(LISTED))


def book(quantities: list[float], spot: float = 0.0, *, cap: float | None = None, order: list[int] | None = None) -> Document:
    """One account an instrument, in the order asked for; the first also has the spot."""
    names = order or list(range(len(LISTED)))
    accounts = [account(f"a{number}", [held(LISTED[number]["id"], quantities[number] * UNITS[number])]) for number in names]
    caps: Document = {} if cap is None else {"hedge_cap": {"BTC": cap}}
    accounts[0] |= on_spot(spot, **caps)
    return document([LISTED[number] for number in names], accounts)


@settings(max_examples=EXAMPLES)
@given(QUANTITIES, st.floats(-20.0, 20.0), st.sampled_from(["uta", "house"]))
def test_every_charge_is_at_least_zero_and_they_sum_to_the_margin(quantities: list[float], spot: float, name: str) -> None:
    assume(any(quantities))
    found = unit(book(quantities, spot), name)
    assert list(found.contingency) == list(CHARGE_NAMES)
    assert min(found.contingency.values()) >= 0.0
    total = found.max_loss + math.fsum(found.contingency.values()) + found.order_loss
    assert found.maintenance_margin == pytest.approx(total, rel=1e-13)


@settings(max_examples=EXAMPLES)
@given(QUANTITIES, st.floats(-20.0, 20.0), st.floats(0.0, 10.0), st.sampled_from([0.25, 3.0, 128.0]))
def test_every_charge_grows_with_the_book(quantities: list[float], spot: float, cap: float, factor: float) -> None:
    assume(any(quantities))
    small = unit(book(quantities, spot, cap=cap))
    large = unit(book([factor * quantity for quantity in quantities], factor * spot, cap=factor * cap))
    assert large.hedging_spot == pytest.approx(factor * small.hedging_spot, rel=1e-12, abs=1e-12)
    for charge, value in small.contingency.items():
        assert large.contingency[charge] == pytest.approx(factor * value, rel=1e-9, abs=1e-9 * factor * small.maintenance_margin)


@settings(max_examples=EXAMPLES)
@given(QUANTITIES, st.floats(-20.0, 20.0), st.permutations(list(range(len(LISTED)))))
def test_the_order_of_accounts_and_instruments_does_not_matter(quantities: list[float], spot: float, order: list[int]) -> None:
    assume(any(quantities))
    one, other = unit(book(quantities, spot), "house"), unit(book(quantities, spot, order=order), "house")
    for charge, value in one.contingency.items():
        assert other.contingency[charge] == pytest.approx(value, rel=1e-9, abs=1e-9 * one.maintenance_margin)
    assert other.maintenance_margin == pytest.approx(one.maintenance_margin, rel=1e-12)


@settings(max_examples=EXAMPLES)
@given(QUANTITIES, st.floats(-5.0, 5.0))
def test_a_pair_of_one_expiry_adds_no_spread(quantities: list[float], size: float) -> None:
    assume(any(quantities))
    pair = [option("x", "call", 98e3, 30 * DAY_S), option("y", "call", 98e3, 30 * DAY_S)]
    plain = book(quantities)
    paired = plain | {
        "instruments": [*plain["instruments"], *pair],
        "accounts": [*plain["accounts"], account("pair", [held("x", size), held("y", -size)])],
        "portfolios": [{"id": "p", "accounts": [*plain["portfolios"][0]["accounts"], "pair"]}],
    }
    before, after = unit(plain), unit(paired)
    for charge in (SHORT_OPTION, VEGA_SPREAD, DELTA_SPREAD, STABLECOIN_SPREAD):
        assert after.contingency[charge] == pytest.approx(before.contingency[charge], rel=1e-9, abs=1e-9 * (1 + before.maintenance_margin))


def test_the_margin_of_the_whole_is_that_of_its_unit() -> None:
    source = book([1.0, -2.0, 0.5, -1.0, 3.0, -1.0, 2.0, -0.5, 1.0], -2.0)
    assert margin(source) == pytest.approx(unit(source).maintenance_margin, rel=1e-15)
