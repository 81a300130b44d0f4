"""Digital options: against the formula with math.erfc, their own slopes, and spreads of vanilla options."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernels.black76 import digital_greeks_one, digital_one, price_one

YEAR_S = 365 * 86400
KINDS = pytest.mark.parametrize("call", [True, False])

forwards = st.floats(1e-3, 1e6)
moneyness = st.floats(-1.5, 1.5)
volatilities = st.floats(0.05, 5.0)
times = st.floats(1.0, 3.0 * YEAR_S).map(lambda seconds: seconds / YEAR_S)


def test_the_worked_example_of_the_notes() -> None:
    # implied_volatility.md 1.2: F 65,000, K 64,306, 12 h, 35 %
    forward, strike, years = 65_000.0, 64_306.0, 0.5 / 365
    delta, _, vega = digital_greeks_one(forward, strike, 0.35, years, True)
    assert digital_one(forward, strike, 0.35, years, True) == pytest.approx(0.7945, abs=5e-5)
    assert vega / 100 == pytest.approx(-0.0068, abs=5e-5)
    assert delta * forward / 1000 == pytest.approx(0.022, abs=5e-4)


@KINDS
@given(forwards, moneyness, volatilities, times)
def test_agrees_with_the_textbook_formula(call: bool, forward: float, x: float, volatility: float, years: float) -> None:
    strike = forward * math.exp(x)
    deviation = volatility * math.sqrt(years)
    d2 = math.log(forward / strike) / deviation - deviation / 2
    expected = 0.5 * math.erfc(-(d2 if call else -d2) / math.sqrt(2))
    # the logarithm is rounded, and what is far out feels it squared
    noise = 4e-16 * (1.0 + abs(d2)) * (1.0 + 1.0 / deviation)
    assert digital_one(forward, strike, volatility, years, call) == pytest.approx(expected, rel=1e-13 + noise, abs=noise)


@given(forwards, moneyness, volatilities, st.one_of(st.just(0.0), times))
def test_above_and_not_above_pay_one_together(forward: float, x: float, volatility: float, years: float) -> None:
    strike = forward * math.exp(x)
    call, put = (digital_one(forward, strike, volatility, years, kind) for kind in (True, False))
    assert call + put == pytest.approx(1.0, abs=3e-16)
    assert 0.0 <= call <= 1.0
    greeks = [digital_greeks_one(forward, strike, volatility, years, kind) for kind in (True, False)]
    assert greeks[0] == tuple(-one for one in greeks[1])


@KINDS
@given(st.floats(1.0, 1e5), st.floats(-2.0, 2.0), st.floats(0.1, 2.0), st.floats(0.001, 2.0))
def test_greeks_are_the_slopes_of_the_price(call: bool, forward: float, depth: float, volatility: float, years: float) -> None:
    deviation = volatility * math.sqrt(years)
    assume(0.01 < deviation < 2.0)
    strike = forward * math.exp(depth * deviation)
    delta, gamma, vega = digital_greeks_one(forward, strike, volatility, years, call)

    def price(move: float, more: float = 0.0) -> float:
        return digital_one(forward * (1.0 + move), strike, volatility + more, years, call)

    step = 1e-4 * deviation
    assert delta * forward * deviation == pytest.approx((price(step) - price(-step)) / 2e-4, abs=1e-6)
    curve = (price(step) - 2.0 * price(0.0) + price(-step)) / 1e-8
    assert gamma * (forward * deviation) ** 2 == pytest.approx(curve, abs=1e-6)
    tick = 1e-4 * volatility
    assert vega * volatility == pytest.approx((price(0.0, tick) - price(0.0, -tick)) / 2e-4, abs=1e-6)


@KINDS
def test_is_what_a_narrow_spread_of_vanilla_options_pays(call: bool) -> None:
    forward, strike, years, width = 65_000.0, 64_306.0, 1.0 / 365, 0.5
    low, high = (price_one(forward, strike + side * width, 0.35, years, call) for side in (-1.0, 1.0))
    spread = (low - high) / (2 * width) if call else (high - low) / (2 * width)
    assert digital_one(forward, strike, 0.35, years, call) == pytest.approx(spread, rel=1e-6)


@pytest.mark.parametrize(("forward", "above"), [(99.0, 0.0), (100.0, 0.0), (101.0, 1.0)])
@pytest.mark.parametrize(("volatility", "years"), [(0.5, 0.0), (0.0, 0.5)])
def test_without_time_or_volatility_it_is_a_step(forward: float, above: float, volatility: float, years: float) -> None:
    assert digital_one(forward, 100.0, volatility, years, True) == above
    assert digital_one(forward, 100.0, volatility, years, False) == 1.0 - above
    assert digital_greeks_one(forward, 100.0, volatility, years, True) == (0.0, 0.0, 0.0)


@KINDS
@pytest.mark.parametrize("forward", [1e-60, 99.0, 100.0, 1e60])
@pytest.mark.parametrize("volatility", [1e-150, 1e-9, 1e150])
def test_no_extreme_is_without_a_number(call: bool, forward: float, volatility: float) -> None:
    assert 0.0 <= digital_one(forward, 100.0, volatility, 1.0, call) <= 1.0
    assert all(math.isfinite(greek) for greek in digital_greeks_one(forward, 100.0, volatility, 1.0, call))
