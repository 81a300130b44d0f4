"""Scenario tables and rows of scenario values, against a plain formula with math.erfc."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.layout import (
    EXPIRY,
    FACTOR,
    GROWTH,
    INSTRUMENT,
    INVERSE_FACTOR,
    LANES,
    LOG_GROWTH,
    MISSING_FORWARD,
    MISSING_IV,
    NOT_FINITE,
    OK,
    OPTION,
    Table,
)
from kernels.stress import PRICING, price_rows, set_clock

NOW = 1_790_000_000
DAY = 86400
YEAR = 365 * DAY
NODES = (-0.1, -0.05, 0.0, 0.05, 0.1)
CALLS = pytest.mark.parametrize("call", [True, False])


def black76(forward: float, strike: float, volatility: float, years: float, call: bool) -> float:
    sign, s = (1 if call else -1), volatility * math.sqrt(years)
    if s == 0.0:
        return max(0.0, sign * (forward - strike))
    d1 = math.log(forward / strike) / s + s / 2

    def normal(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    return sign * (forward * normal(sign * d1) - strike * normal(sign * (d1 - s)))


class Chain:
    """One coin with one expiry `left` seconds away, and its options."""

    def __init__(self, left: int, *, nodes: tuple[float, ...] = NODES, **pricing: float) -> None:
        self.nodes = np.array([nodes])
        self.pricing: Table = np.zeros(1, PRICING)
        terms: dict[str, float] = {"vol_up": 0.24, "vol_down": 0.2, "vol_exponent": 0.3, "vol_floor": 0.01, "vol_cap": 5.0}
        for name, value in (terms | {"near_expiry": 1800.0} | pricing).items():
            self.pricing[name] = value
        self.width = -(-3 * len(nodes) // LANES) * LANES
        self.expiries: Table = np.zeros(1, EXPIRY)
        self.expiries["expiry_s"] = NOW + left
        self.scenarios = np.zeros((1, 4, self.width))
        self.options: Table = np.zeros(0, INSTRUMENT)
        self.clock()

    def clock(self, now: int = NOW) -> None:
        set_clock(now, 0, self.expiries, self.nodes, self.pricing, self.scenarios)

    def add(self, *, forward: float = 100.0, strike: float = 100.0, volatility: float = 0.5, call: bool = True, **fields: Any) -> int:
        number = len(self.options)
        self.options = np.concatenate([self.options, np.zeros(1, INSTRUMENT)])
        told = {"kind": OPTION, "row": number, "forward": forward, "strike": strike, "volatility": volatility, "call": call}
        for name, value in ({"mark": math.nan, "status": -1} | told | fields).items():
            self.options[name][number] = value
        return number

    def price(self) -> Chain:
        self.rows = np.full((len(self.options), self.width), math.nan)
        price_rows(np.arange(len(self.options), dtype=np.int32), self.options, self.expiries, self.pricing, self.scenarios, self.rows)
        return self

    def option(self, number: int = 0) -> dict[str, Any]:
        return {name: self.options[name][number].item() for name in INSTRUMENT.names or ()}

    def expected(self, number: int = 0, volatility: float | None = None) -> list[float]:
        option, terms = self.option(number), self.pricing[0]
        left = max(0, int(self.expiries["expiry_s"][0]) - NOW)
        years, days = left / YEAR, left / DAY
        sigma = option["volatility"] if volatility is None else volatility
        horizon = (30 / max(1, math.ceil(days))) ** float(terms["vol_exponent"])
        decay = min(1.0, left / terms["near_expiry"]) if terms["near_expiry"] > 0 else 1.0
        values = []
        for shock in (float(terms["vol_up"]), 0.0, -float(terms["vol_down"])):
            shocked = sigma
            if shock != 0.0:
                shocked = min(max(sigma * (1 + shock * horizon), float(terms["vol_floor"])), float(terms["vol_cap"]))
            values += [
                black76(option["forward"] * (1 + k * decay), option["strike"], shocked, years, option["call"]) for k in self.nodes[0]
            ]
        values += [black76(option["forward"], option["strike"], sigma, years, option["call"])] * (self.width - len(values))
        return [value - option["base"] for value in values]

    def check(self, number: int = 0, volatility: float | None = None) -> None:
        option = self.option(number)
        assert option["status"] == OK
        size = 3e-15 * max(option["forward"], option["strike"])
        np.testing.assert_allclose(self.rows[number], self.expected(number, volatility), rtol=1e-13, atol=size)


# -- the scenario tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "near", "decay"),
    [
        (900, 1800.0, 0.5),
        (1800, 1800.0, 1.0),
        (1801, 1800.0, 1.0),
        (1, 1800.0, 1 / 1800),
        (0, 1800.0, 0.0),
        (-5, 1800.0, 0.0),
        (1, 0.0, 1.0),
    ],
)
def test_price_shocks_decay_towards_expiry(left: int, near: float, decay: float) -> None:
    chain = Chain(left, near_expiry=near)
    expiry = chain.expiries[0]
    assert (expiry["seconds"], expiry["decay"]) == (max(0, left), decay)
    assert (expiry["years"], expiry["days"]) == (max(0, left) / YEAR, max(0, left) / DAY)
    assert chain.scenarios[0, GROWTH, :5].tolist() == pytest.approx([1 + k * decay for k in NODES], rel=1e-15)
    np.testing.assert_allclose(chain.scenarios[0, LOG_GROWTH], np.log(chain.scenarios[0, GROWTH]), rtol=1e-15)


@pytest.mark.parametrize(("left", "days"), [(1, 1), (DAY, 1), (DAY + 1, 2), (30 * DAY, 30), (90 * DAY, 90), (0, 1)])
def test_volatility_shocks_scale_with_whole_days(left: int, days: int) -> None:
    chain = Chain(left)
    horizon = (30 / days) ** 0.3
    assert chain.expiries["horizon"][0] == pytest.approx(horizon, rel=1e-15)
    factors = chain.scenarios[0, FACTOR, :15].reshape(3, 5)
    assert factors[0].tolist() == pytest.approx([1 + 0.24 * horizon] * 5, rel=1e-15)
    assert factors[1].tolist() == [1.0] * 5
    assert factors[2].tolist() == pytest.approx([1 - 0.2 * horizon] * 5, rel=1e-15)
    np.testing.assert_allclose(chain.scenarios[0, FACTOR] * chain.scenarios[0, INVERSE_FACTOR], 1.0, rtol=1e-15)


def test_columns_beyond_the_nodes_shock_nothing() -> None:
    chain = Chain(9 * DAY)
    assert (chain.width, chain.expiries["columns"][0], chain.expiries["unshocked"][0]) == (16, 15, 7)
    assert chain.scenarios[0, :, 15].tolist() == [1.0, 0.0, 1.0, 1.0]


def test_perpetuals_have_no_time() -> None:
    chain = Chain(0)
    chain.expiries["perpetual"] = True
    chain.clock()
    assert [chain.expiries[name][0] for name in ("seconds", "years", "days", "decay")] == [0.0, 0.0, 0.0, 1.0]
    assert chain.scenarios[0, GROWTH, 0] == 0.9


def test_the_clock_follows_time_and_nodes_and_keeps_what_did_not_change() -> None:
    chain = Chain(10 * DAY)
    before = chain.scenarios.copy()
    chain.scenarios[0, LOG_GROWTH, 0] = 7.0
    chain.clock(NOW + 5)
    assert chain.expiries["seconds"][0] == 10 * DAY - 5
    assert chain.scenarios[0, LOG_GROWTH, 0] == 7.0
    chain.nodes[0] *= 1.5
    chain.clock(NOW + 5)
    assert chain.scenarios[0, GROWTH, 0] == pytest.approx(0.85)
    assert chain.scenarios[0, LOG_GROWTH, 0] == pytest.approx(math.log(0.85))
    chain.nodes[0] /= 1.5
    chain.clock(NOW)
    np.testing.assert_allclose(chain.scenarios, before, rtol=1e-14)


# -- the rows ----------------------------------------------------------------------------------------------------------------


@CALLS
@pytest.mark.parametrize("left", [1, 900, 1800, DAY, 30 * DAY, YEAR])
@pytest.mark.parametrize("volatility", [0.05, 0.5, 5.0])
def test_rows_are_the_formula(call: bool, left: int, volatility: float) -> None:
    chain = Chain(left)
    for strike in (40.0, 95.0, 99.999, 100.0, 105.0, 110.0, 250.0):
        chain.add(strike=strike, volatility=volatility, call=call)
    chain.price()
    for number in range(len(chain.options)):
        chain.check(number)
        option = chain.option(number)
        assert option["used_volatility"] == volatility
        assert option["base"] == option["price"]
        assert option["price"] == pytest.approx(
            black76(100.0, option["strike"], volatility, left / YEAR, call), rel=1e-13, abs=3e-15 * max(100.0, option["strike"])
        )


@given(st.floats(1e-4, 1e6), st.floats(-0.7, 0.7), st.floats(0.02, 6.0), st.integers(1, 2 * YEAR), st.booleans(), st.floats(1e-6, 3.0))
def test_any_option(forward: float, x: float, volatility: float, left: int, call: bool, shock: float) -> None:
    chain = Chain(left, vol_up=shock, vol_down=min(shock, 0.5))
    chain.add(forward=forward, strike=forward * math.exp(x), volatility=volatility, call=call)
    chain.add(forward=2 * forward, strike=forward, volatility=0.3, call=not call)
    chain.price()
    chain.check(0)
    chain.check(1)


@pytest.mark.parametrize("count", [2, 3, 5, 11, 13, 31, 33])
def test_any_number_of_nodes(count: int) -> None:
    # 3 K is one, two, ... more than whole vectors, or none
    chain = Chain(20 * DAY, nodes=tuple(np.linspace(-0.3, 0.3, count).tolist()))
    for strike in (80.0, 100.0, 120.0):
        chain.add(strike=strike)
    chain.price()
    for number in range(3):
        chain.check(number)


def test_nothing_moves_to_the_last_digit_where_nothing_is_shocked() -> None:
    chain = Chain(20 * DAY, nodes=tuple(np.linspace(-0.1, 0.1, 11).round(2).tolist()))
    for strike in np.linspace(60.0, 150.0, 37):
        chain.add(strike=float(strike), volatility=0.61)
    chain.price()
    assert not chain.rows[:, 11 + 5].any()
    assert not chain.rows[:, 33:].any()


def test_many_options_are_priced_as_if_alone() -> None:
    rng = np.random.default_rng(3)
    together = Chain(9 * DAY)
    for _ in range(131):
        together.add(strike=float(rng.uniform(60, 160)), volatility=float(rng.uniform(0.2, 1.5)), call=bool(rng.random() < 0.5))
    # some that fail or take another way, in between
    for number in range(0, 131, 17):
        together.options["forward"][number] = math.nan
        together.options["volatility"][min(130, number + 1)] = 40.0
    together.price()
    rows, options = together.rows, together.options.copy()
    for number in range(131):
        together.rows = np.full_like(rows, math.nan)
        wanted = np.array([number], np.int32)
        price_rows(wanted, together.options, together.expiries, together.pricing, together.scenarios, together.rows)
        np.testing.assert_allclose(together.rows[number], rows[number], rtol=1e-13, atol=1e-12)
        assert together.options[number]["status"] == options[number]["status"]
    assert np.isnan(together.rows[:130]).all()


@CALLS
def test_expired_options_are_worth_their_intrinsic_value_in_every_scenario(call: bool) -> None:
    chain = Chain(-60, near_expiry=0.0)
    for strike, volatility in ((90.0, 0.5), (100.0, math.nan), (110.0, 0.0)):
        chain.add(strike=strike, volatility=volatility, call=call)
    chain.price()
    for number, volatility in enumerate((0.5, 0.0, 0.0)):
        chain.check(number, volatility)
        option = chain.option(number)
        sign = float(np.sign(100.0 - option["strike"]))
        assert (option["delta"], option["gamma"], option["vega"]) == ((max(sign, 0.0) if call else min(sign, 0.0)), 0.0, 0.0)
        assert option["used_volatility"] == volatility


def test_near_expiry_decay_stops_the_price_shock_at_expiry() -> None:
    chain = Chain(0)
    chain.add(strike=95.0)
    assert not chain.price().rows.any()


@pytest.mark.parametrize("volatility", [0.012, 0.3, 4.5, 6.0])
@CALLS
def test_a_shocked_volatility_is_clipped_and_an_unshocked_one_is_not(volatility: float, call: bool) -> None:
    chain = Chain(2 * DAY, vol_floor=0.25, vol_cap=0.45)
    chain.add(strike=104.0, volatility=volatility, call=call)
    chain.add(strike=97.0, volatility=0.35, call=call)
    chain.price()
    chain.check(0)
    chain.check(1)
    # up, unchanged, down at the middle node
    if volatility == 6.0:
        assert chain.rows[0, 2] == chain.rows[0, 12] < chain.rows[0, 7] == 0.0


def test_a_volatility_shocked_to_nothing_leaves_the_intrinsic_value() -> None:
    chain = Chain(2 * DAY, vol_floor=0.0, vol_down=0.9)
    chain.add(strike=98.0)
    chain.price().check()
    assert chain.rows[0, 10] == pytest.approx(0.0 - chain.option()["base"])


def test_without_volatility_shocks_only_prices_move() -> None:
    chain = Chain(20 * DAY, vol_up=0.0, vol_down=0.0, vol_floor=0.6, vol_cap=0.7)
    chain.add(strike=103.0)
    chain.price().check()
    np.testing.assert_allclose(chain.rows[0, :5], chain.rows[0, 5:10], atol=1e-13)


def test_greeks_are_the_derivatives_of_the_price() -> None:
    chain = Chain(30 * DAY)
    step, wider = 1e-3, 1e-4
    for strike, call in ((90.0, True), (90.0, False), (100.0, True), (118.0, True), (118.0, False)):
        for moved, volatility in ((0.0, 0.6), (step, 0.6), (-step, 0.6), (0.0, 0.6 + wider), (0.0, 0.6 - wider)):
            chain.add(forward=100.0 + moved, strike=strike, call=call, volatility=volatility)
    price = chain.price().options["price"].reshape(-1, 5)
    for number, (_, up, down, higher, lower) in enumerate(price):
        option = chain.option(5 * number)
        assert option["delta"] == pytest.approx((up - down) / (2 * step), rel=1e-7)
        assert option["vega"] == pytest.approx((higher - lower) / (2 * wider), rel=1e-6)
        deltas = chain.options["delta"][5 * number + 1 : 5 * number + 3]
        assert option["gamma"] == pytest.approx((deltas[0] - deltas[1]) / (2 * step), rel=1e-7)


@CALLS
@pytest.mark.parametrize("told", [0.0, -0.3, math.nan])
def test_a_missing_volatility_is_implied_by_the_mark(told: float, call: bool) -> None:
    chain = Chain(30 * DAY)
    mark = black76(100.0, 104.0, 0.62, 30 / 365, call)
    chain.add(strike=104.0, volatility=told, call=call, mark=mark)
    chain.add(strike=104.0, volatility=told, call=call, mark=mark / 100.0, coin_settled=True)
    chain.price()
    for number in range(2):
        assert chain.option(number)["used_volatility"] == pytest.approx(0.62, rel=1e-12)
        chain.check(number, chain.option(number)["used_volatility"])
        assert chain.option(number)["base"] == pytest.approx(mark, rel=1e-12)


@pytest.mark.parametrize("mark", [math.nan, 0.0, 5.0, 4.0, 100.0, 120.0, -1.0, math.inf])
def test_a_mark_without_a_volatility_is_a_missing_one(mark: float) -> None:
    chain = Chain(30 * DAY)
    chain.add(strike=95.0, volatility=math.nan, mark=mark)
    chain.price()
    assert chain.option()["status"] == MISSING_IV


def test_a_told_volatility_needs_no_mark_and_ignores_it() -> None:
    chain = Chain(30 * DAY)
    chain.add(strike=95.0, mark=77.0)
    chain.price().check()
    assert chain.option()["base"] == chain.option()["price"]


@pytest.mark.parametrize("left", [30 * DAY, 0])
def test_the_mark_is_the_base_where_the_set_says_so(left: int) -> None:
    chain = Chain(left, base_is_mark=True, near_expiry=0.0)
    chain.add(strike=95.0, mark=8.5)
    chain.add(strike=95.0, mark=0.085, coin_settled=True)
    chain.add(strike=95.0)
    chain.price()
    assert chain.options["base"].tolist() == pytest.approx([8.5, 8.5, chain.option(2)["price"]], rel=1e-15)
    for number in range(3):
        chain.check(number)
    # the columns that shock nothing are the model's price less the mark
    assert chain.rows[0, 7] == chain.option(0)["price"] - 8.5
    assert chain.rows[0, 15] == pytest.approx(chain.rows[0, 7], abs=1e-13)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"forward": math.nan}, MISSING_FORWARD),
        ({"forward": 0.0}, MISSING_FORWARD),
        ({"forward": -5.0}, MISSING_FORWARD),
        ({"forward": math.nan, "volatility": math.nan}, MISSING_FORWARD),
        ({"forward": math.inf}, NOT_FINITE),
        ({"strike": math.nan}, NOT_FINITE),
        ({"strike": 0.0}, NOT_FINITE),
        ({"strike": 1e300}, NOT_FINITE),
        ({"volatility": math.inf}, NOT_FINITE),
        ({"mark": math.inf}, NOT_FINITE),
        ({"volatility": math.nan}, MISSING_IV),
        ({"volatility": 0.0}, MISSING_IV),
    ],
)
def test_an_option_without_a_value_says_why_and_holds_zeros(fields: dict[str, Any], status: int) -> None:
    chain = Chain(30 * DAY, base_is_mark=True)
    chain.add(strike=103.0)
    chain.add(**fields)
    chain.add(strike=97.0, call=False)
    chain.price()
    assert chain.option(1)["status"] == status
    assert not chain.rows[1].any()
    assert [chain.option(1)[name] for name in ("used_volatility", "price", "base", "delta", "gamma", "vega")] == [0.0] * 6
    chain.check(0)
    chain.check(2)


@pytest.mark.parametrize("left", [30 * DAY, 0])
def test_an_option_that_got_its_forward_is_well_again(left: int) -> None:
    chain = Chain(left)
    number = chain.add(forward=math.nan)
    assert chain.price().option(number)["status"] == MISSING_FORWARD
    chain.options["forward"] = 100.0
    chain.price().check()


def test_vast_volatilities_are_priced_too() -> None:
    chain = Chain(3 * YEAR, vol_cap=50.0)
    for volatility in (2.0, 5.0, 30.0, 200.0):
        chain.add(volatility=volatility, strike=130.0)
    chain.price()
    for number in range(4):
        chain.check(number)


def test_no_options_are_nothing_to_do() -> None:
    chain = Chain(DAY)
    chain.rows = np.zeros((0, chain.width))
    price_rows(np.zeros(0, np.int32), chain.options, chain.expiries, chain.pricing, chain.scenarios, chain.rows)
