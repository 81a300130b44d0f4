"""Black-76: against forty-digit references, exact relations, and the way back from price to volatility."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kernels import black76
from kernels.black76 import SCALE, greeks_one, implied_volatility_one, log_ratio, price_one, two_values, unshocked_greeks

YEAR_S = 365 * 86400
SECOND = 1 / YEAR_S
KINDS = pytest.mark.parametrize("call", [True, False])

forwards = st.floats(1e-3, 1e6)
moneyness = st.floats(-1.5, 1.5)
volatilities = st.floats(0.05, 5.0)
times = st.floats(1.0, 3.0 * YEAR_S).map(lambda seconds: seconds / YEAR_S)


def textbook(forward: float, strike: float, volatility: float, years: float, call: bool) -> float:
    s = volatility * math.sqrt(years)
    d1 = math.log(forward / strike) / s + s / 2
    sign = 1 if call else -1

    def normal(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    return sign * (forward * normal(sign * d1) - strike * normal(sign * (d1 - s)))


def branch_free(forward: float, strike: float, volatility: float, years: float, call: bool) -> float:
    sign, s = (1.0 if call else -1.0), volatility * math.sqrt(years)
    option = (log_ratio(forward, strike), SCALE / s, 0.5 * SCALE * s, forward, strike, sign * forward, sign * strike, 0.0)
    return two_values(1.0, 0.0, 1.0, 1.0, *option, 1.0, 0.0, 1.0, 1.0, *option)[0]


@pytest.fixture(scope="module")
def references(recordings: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((recordings / "deribit" / "black76_golden_cross_venue.json").read_text())["rows"]
    assert len(rows) >= 100
    return rows


def test_forty_digit_references(references: list[dict[str, Any]]) -> None:
    for row in references:
        years = (row["expiry_ms"] - row["ts_ms"]) / 1000 / YEAR_S
        arguments = (float(row["forward"]), float(row["strike"]), float(row["iv"]), years, row["call_put"] == "C")
        exact = row["reference_black76_undiscounted"]
        delta, gamma, vega = greeks_one(*arguments)
        assert price_one(*arguments) == pytest.approx(exact["price"], rel=1e-12)
        assert delta == pytest.approx(exact["delta"], rel=1e-12)
        assert gamma == pytest.approx(exact["gamma"], rel=1e-12)
        assert vega / 100 == pytest.approx(exact["vega_per_1pct"], rel=1e-12)
        assert branch_free(*arguments) == pytest.approx(exact["price"], rel=1e-13, abs=1e-15 * row["forward"])
        # the way back loses what the price says little about
        noise = 4e-16 * max(exact["price"], abs(arguments[0] - arguments[1])) / (100 * exact["vega_per_1pct"])
        assert implied_volatility_one(exact["price"], arguments[0], arguments[1], years, arguments[4]) == pytest.approx(
            row["iv"], rel=1e-12, abs=noise
        )


# computed with mpmath in sixty digits: forward, strike, volatility, seconds, call, price, delta
EXTREMES = [
    (100.0, 100.0, 0.5, 1, True, 0.0035520311567108653, 0.50001776015578355),
    (100.0, 100.1, 0.5, 1, True, 1.1905312456749478e-32, 1.5243239546167407e-29),
    (100.0, 99.9, 0.5, 1, False, 1.0463423850017622e-32, -1.3409983205469893e-29),
    (100.0, 250.0, 0.6, 2_592_000, True, 2.3888383937810109e-7, 7.9936395011574995e-8),
    (100.0, 30.0, 0.6, 2_592_000, False, 1.6616997419102586e-12, -6.9395301635906247e-13),
    (100.0, 1000.0, 5.0, 94_608_000, True, 99.99543729042148, 0.99997590615284312),
    (100.0, 10.0, 5.0, 94_608_000, False, 9.999543729042148, -2.1533248628316334e-6),
    (65000.0, 64000.0, 0.45, 900, False, 1.2917065317545456e-9, -5.5707695794967177e-11),
    (0.3, 0.45, 1.6, 86400, True, 3.8000502328275922e-9, 7.9481063258591109e-7),
]


@pytest.mark.parametrize(("forward", "strike", "volatility", "seconds", "call", "price", "delta"), EXTREMES)
def test_extremes_are_accurate_relative_to_themselves(
    forward: float, strike: float, volatility: float, seconds: int, call: bool, price: float, delta: float
) -> None:
    years = seconds / YEAR_S
    # d^2 roundings come with the exponential
    deviation = volatility * math.sqrt(years)
    distance = (abs(math.log(forward / strike)) / deviation + deviation / 2) ** 2
    assert price_one(forward, strike, volatility, years, call) == pytest.approx(price, rel=4e-15 + 4e-16 * distance, abs=0)
    assert greeks_one(forward, strike, volatility, years, call)[0] == pytest.approx(delta, rel=4e-15 + 4e-16 * distance, abs=0)


@KINDS
@given(forwards, moneyness, volatilities, times)
def test_agrees_with_the_textbook_formula(call: bool, forward: float, x: float, volatility: float, years: float) -> None:
    strike = forward * math.exp(x)
    expected = textbook(forward, strike, volatility, years, call)
    size = max(forward, strike)
    assert price_one(forward, strike, volatility, years, call) == pytest.approx(expected, rel=1e-13, abs=1e-15 * size)
    if volatility * math.sqrt(years) < black76.MAX_DEVIATION:
        assert branch_free(forward, strike, volatility, years, call) == pytest.approx(expected, rel=1e-13, abs=2e-15 * size)


@given(forwards, moneyness, volatilities, times)
def test_put_call_parity(forward: float, x: float, volatility: float, years: float) -> None:
    strike = forward * math.exp(x)
    call, put = (price_one(forward, strike, volatility, years, kind) for kind in (True, False))
    assert call - put == pytest.approx(forward - strike, abs=4e-16 * (call + put))
    deltas = [greeks_one(forward, strike, volatility, years, kind)[0] for kind in (True, False)]
    assert deltas[0] - deltas[1] == pytest.approx(1.0, abs=4e-16)


@KINDS
@given(forwards, moneyness, volatilities, times)
def test_price_rises_with_volatility_and_time_and_stays_inside_its_bounds(
    call: bool, forward: float, x: float, volatility: float, years: float
) -> None:
    strike = forward * math.exp(x)
    price = price_one(forward, strike, volatility, years, call)
    assert max(0.0, forward - strike if call else strike - forward) <= price <= (forward if call else strike)
    slack = 1 - 1e-12
    assert price_one(forward, strike, volatility * 1.01, years, call) >= price * slack
    assert price_one(forward, strike, volatility, years * 1.01, call) >= price * slack


@KINDS
@pytest.mark.parametrize("forward", [90.0, 100.0, 110.0])
@pytest.mark.parametrize(("volatility", "years"), [(0.5, 0.0), (0.0, 0.5), (0.0, 0.0)])
def test_without_time_or_volatility_an_option_is_worth_its_intrinsic_value(
    call: bool, forward: float, volatility: float, years: float
) -> None:
    assert price_one(forward, 100.0, volatility, years, call) == max(0.0, forward - 100 if call else 100 - forward)
    step = float(np.sign(forward - 100))
    assert greeks_one(forward, 100.0, volatility, years, call) == ((max(step, 0.0) if call else min(step, 0.0)), 0.0, 0.0)


@KINDS
def test_one_second_before_expiry(call: bool) -> None:
    s = 0.5 * math.sqrt(SECOND)
    # at the money: m * (2 N(s / 2) - 1)
    assert price_one(1e5, 1e5, 0.5, SECOND, call) == pytest.approx(1e5 * math.erf(s / math.sqrt(8)), rel=1e-14)
    assert greeks_one(1e5, 1e5, 0.5, SECOND, call)[0] == pytest.approx(math.erf(s / math.sqrt(8)) / 2 + (0.5 if call else -0.5), abs=1e-15)
    # five standard deviations out: R(a) - R(b) = s * (1 - c * R(c)) to second order in s, by its continued fraction
    strike = 1e5 * math.exp(5 * s if call else -5 * s)
    centre = abs(math.log(strike / 1e5)) / s
    mills = 0.0
    for k in range(200, 0, -1):
        mills = k / (centre + mills)
    mills = 1 / (centre + mills)
    near = min(1e5, strike) * math.exp(-((centre - s / 2) ** 2) / 2) / math.sqrt(2 * math.pi)
    assert price_one(1e5, strike, 0.5, SECOND, call) == pytest.approx(near * s * (1 - centre * mills), rel=1e-9)


@pytest.mark.parametrize("volatility", [0.5, 5.0])
@pytest.mark.parametrize("years", [SECOND, 900 / YEAR_S, 0.1, 3.0])
def test_deep_in_the_money_is_intrinsic_plus_what_the_other_side_costs(volatility: float, years: float) -> None:
    for forward, strike in ((100.0, 5.0), (5.0, 100.0)):
        for call in (True, False):
            intrinsic = max(0.0, forward - strike if call else strike - forward)
            other = price_one(forward, strike, volatility, years, not call)
            if intrinsic > 0.0:
                assert price_one(forward, strike, volatility, years, call) == intrinsic + other


@KINDS
@pytest.mark.parametrize("volatility", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("strike", [60.0, 95.0, 100.0, 130.0])
def test_greeks_are_the_derivatives_of_the_price(call: bool, volatility: float, strike: float) -> None:
    forward, years = 100.0, 0.25

    def price(f: float, v: float) -> float:
        return price_one(f, strike, v, years, call)

    h, v = 1e-3, 1e-4
    delta, gamma, vega = greeks_one(forward, strike, volatility, years, call)
    assert delta == pytest.approx((price(forward + h, volatility) - price(forward - h, volatility)) / (2 * h), abs=1e-8)
    curvature = (price(forward + 0.1, volatility) - 2 * price(forward, volatility) + price(forward - 0.1, volatility)) / 0.01
    assert gamma == pytest.approx(curvature, rel=1e-4, abs=1e-9)
    assert vega == pytest.approx((price(forward, volatility + v) - price(forward, volatility - v)) / (2 * v), rel=1e-5, abs=1e-8)


@KINDS
@given(forwards, moneyness, volatilities, times)
def test_branch_free_greeks_are_the_accurate_ones(call: bool, forward: float, x: float, volatility: float, years: float) -> None:
    root = math.sqrt(years)
    s = volatility * root
    assume(s < black76.MAX_DEVIATION)
    strike = forward * math.exp(x)
    delta, gamma, vega = greeks_one(forward, strike, volatility, years, call)
    option = (log_ratio(forward, strike), SCALE / s, 0.5 * SCALE * s, forward, strike, float(call), root)
    found = unshocked_greeks(*option)
    # phi(d1) loses d1^2 roundings, and the logarithm of a quotient near 1 is small beside its rounding
    loss = 1e-14 + 4e-16 * max(1.0, 1 / s) * (1 + (abs(x) / s + s) ** 2)
    assert found[0] == pytest.approx(delta, abs=1e-15 + loss * abs(delta), rel=0)
    assert found[1] == pytest.approx(gamma, rel=loss, abs=1e-180)
    assert found[2] == pytest.approx(vega, rel=loss, abs=1e-180)


@given(st.floats(1e-60, 1e60), st.floats(-0.9, 100.0))
@example(1.0, 0.0)
@example(3.0, 1e-12)
@example(3.0, -1e-12)
def test_logarithm_of_a_quotient(lower: float, excess: float) -> None:
    upper = lower * (1 + excess)
    expected = math.log1p((upper - lower) / lower)
    assert log_ratio(upper, lower) == pytest.approx(expected, rel=1e-15, abs=0)


@KINDS
@given(forwards, moneyness, volatilities, times)
@example(1e5, 0.0, 0.5, SECOND)
@example(1e5, 0.3, 5.0, 2.0)
def test_implied_volatility_is_the_way_back(call: bool, forward: float, x: float, volatility: float, years: float) -> None:
    strike = forward * math.exp(x)
    price = price_one(forward, strike, volatility, years, call)
    vega = greeks_one(forward, strike, volatility, years, call)[2]
    intrinsic = max(0.0, forward - strike if call else strike - forward)
    # what one rounding of the price moves
    noise = 4e-16 * price / vega if vega > 0.0 else math.inf
    assume(noise < 1e-6 * volatility and price - intrinsic > 1e-290)
    found = implied_volatility_one(price, forward, strike, years, call)
    assert found == pytest.approx(volatility, rel=1e-13, abs=2 * noise)


@pytest.mark.parametrize("x", [0.0, 1e-9, 1e-3, 0.1, 1.0])
@pytest.mark.parametrize("depth", [1e-280, 1e-100, 1e-20, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.999999])
def test_any_time_value_has_its_volatility(x: float, depth: float) -> None:
    strike = math.exp(x)
    found = implied_volatility_one(depth, 1.0, strike, 1.0, True)
    assert found > 0.0
    # d1^2 roundings
    assert price_one(1.0, strike, found, 1.0, True) == pytest.approx(depth, rel=2e-15 * (1 + (x / found) ** 2) + 4e-16 / (1 - depth))


@KINDS
@pytest.mark.parametrize("price", [-1.0, 0.0, 10.0, 100.0, 110.0, 200.0, math.nan, math.inf, -math.inf])
def test_no_volatility_outside_the_arbitrage_bounds(call: bool, price: float) -> None:
    forward, strike = (110.0, 100.0) if call else (100.0, 110.0)
    inside = 10.0 < price < 110.0
    assert math.isnan(implied_volatility_one(price, forward, strike, 0.5, call)) != inside


@pytest.mark.parametrize("which", range(1, 4))
@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -1.0])
def test_no_volatility_from_other_arguments_without_sense(which: int, value: float) -> None:
    arguments = [5.0, 100.0, 100.0, 0.5]
    arguments[which] = value
    price, forward, strike, years = arguments
    assert math.isnan(implied_volatility_one(price, forward, strike, years, True))
    assert math.isnan(implied_volatility_one(price, forward, strike, years, False))


def test_arrays_are_the_single_options() -> None:
    rng = np.random.default_rng(5)
    n = 40
    forward, volatility, years = rng.uniform(50, 150, n), rng.uniform(0.1, 2.0, n), rng.uniform(0.001, 1.0, n)
    strike, call = forward * np.exp(rng.normal(0, 0.2, n)), rng.random(n) < 0.5
    prices, back, delta, gamma, vega = (np.empty(n) for _ in range(5))
    black76.price(forward, strike, volatility, years, call, prices)
    black76.greeks(forward, strike, volatility, years, call, delta, gamma, vega)
    black76.implied_volatility(prices, forward, strike, years, call, back)
    for i in range(n):
        option = (float(forward[i]), float(strike[i]), float(volatility[i]), float(years[i]), bool(call[i]))
        assert prices[i] == price_one(*option)
        assert (delta[i], gamma[i], vega[i]) == greeks_one(*option)
        assert back[i] == implied_volatility_one(float(prices[i]), option[0], option[1], *option[3:])
