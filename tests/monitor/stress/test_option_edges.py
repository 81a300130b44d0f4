"""Options near and past their expiry, with volatilities and strikes at their edges."""

from __future__ import annotations

import math

import pytest

from tests.kernels.stress_books import (
    BTC,
    DAY_S,
    NOON_S,
    account,
    document,
    future,
    held,
    number,
    option,
    perpetual,
    reasons,
    result,
    single,
    unit,
)
from tests.reference.black76 import black76, option_delta, option_vega

YEAR_S = 365 * DAY_S


# -- options near and past their expiry ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 900, 1799, 1800, 1801, DAY_S])
@pytest.mark.parametrize("kind", ["call", "put"])
def test_price_shocks_fade_before_expiry(seconds: int, kind: str) -> None:
    source = single(option("o", kind, 98e3, seconds), -2.0)
    found = unit(source)
    years, sigma, fade = seconds / YEAR_S, 0.5, min(1.0, seconds / 1800.0)
    call = kind == "call"
    base = black76(BTC, 98e3, sigma, years, call)
    assert found.price_nodes == pytest.approx([0.02 * step for step in range(-5, 6)], rel=1e-13, abs=1e-16)
    for node, shock in enumerate(found.price_nodes):
        for row, change in enumerate((0.24, 0.0, -0.20)):
            shocked = sigma * (1.0 + change * 30.0**0.3) if change else sigma
            wanted = -2.0 * (black76(BTC * (1.0 + shock * fade), 98e3, shocked, years, call) - base)
            assert found.option[row][node] == pytest.approx(wanted, rel=1e-10, abs=1e-7)


def test_a_preset_of_15_per_cent_is_seven_and_a_half_900_seconds_before_expiry() -> None:
    listed = future("f", 900, 200.0, coin="SOL") | {"settle": "USDC"}
    found = unit(single(listed, 10.0, index={"SOL": 200.0}), coin="SOL")
    assert found.linear[0] == pytest.approx(-10.0 * 200.0 * 0.075, rel=1e-13)
    assert found.max_loss == pytest.approx(150.0, rel=1e-13)


def test_perpetuals_beside_an_expiring_series_keep_their_shocks() -> None:
    rows = [perpetual("p"), future("f", 900), option("o", "call", BTC, 900)]
    found = unit(document(rows, [account("one", [held("p", 1.0), held("f", -1.0)])]))
    assert found.linear[0] == pytest.approx(-0.1 * BTC + 0.05 * BTC, rel=1e-13)


@pytest.mark.parametrize("seconds", [0, -1, -DAY_S])
@pytest.mark.parametrize("iv", [0.5, None, 0.0])
@pytest.mark.parametrize(
    ("kind", "strike", "delta", "value"),
    [("call", 90e3, 1.0, 10e3), ("call", 110e3, 0.0, 0.0), ("put", 110e3, -1.0, 10e3), ("put", 90e3, 0.0, 0.0), ("call", BTC, 0.0, 0.0)],
)
def test_an_expired_option_is_worth_what_it_pays(
    seconds: int, iv: float | None, kind: str, strike: float, delta: float, value: float
) -> None:
    source = single(option("o", kind, strike, seconds, iv=iv), 2.0, equity=None, balances=[{"asset": "USDC", "total": 1e3}])
    found = result(source)
    assert number(found.equity) == 1e3 + 2.0 * value
    (row,) = found.units
    assert (row.delta, row.gamma, row.vega, row.max_loss) == (2.0 * delta, 0.0, 0.0, 0.0)
    kept = result(source | {"overrides": {"BTC": {"near_expiry": 0.0}}})
    shocked = max(0.0, 0.9 * BTC - strike) if kind == "call" else max(0.0, strike - 1.1 * BTC)
    assert kept.units[0].max_loss == pytest.approx(2.0 * max(0.0, value - shocked), rel=1e-12)


def test_time_to_expiry_counts_whole_seconds() -> None:
    for as_of, expiry in ((0, 0), (999, 0), (0, 999), (999, 999)):
        source = single(option("o", "call", BTC, 60), 1.0)
        source["as_of"] += as_of
        source["instruments"][0]["expiry"] += expiry
        assert unit(source).vega == pytest.approx(option_vega(BTC, BTC, 0.5, 60 / YEAR_S), rel=1e-12)


# -- implied volatility ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("iv", [None, 0.0, -0.3])
@pytest.mark.parametrize("settle", ["USDC", "BTC"])
@pytest.mark.parametrize("sigma", [0.05, 0.7, 5.0])
def test_a_mark_implies_the_volatility_that_is_missing(iv: float | None, settle: str, sigma: float) -> None:
    price = black76(101e3, 104e3, sigma, 30 / 365, True)
    mark = price / 101e3 if settle == "BTC" else price
    told = single(option("o", "call", 104e3, forward=101e3, iv=sigma, settle=settle), -1.0)
    implied = single(option("o", "call", 104e3, forward=101e3, iv=iv, mark=mark, settle=settle), -1.0)
    one, other = unit(told), unit(implied)
    assert other.vega == pytest.approx(one.vega, rel=1e-9)
    assert other.maintenance_margin == pytest.approx(one.maintenance_margin, rel=1e-9)
    for mine, theirs in zip(other.option, one.option, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("kind", ["call", "put"])
def test_a_mark_without_time_value_implies_nothing(kind: str) -> None:
    bounds = {"call": (10e3, BTC), "put": (0.0, 90e3)}[kind]
    for mark in (*bounds, bounds[0] * 0.5, bounds[1] * 2.0, None, 0.0):
        found = result(single(option("o", kind, 90e3, iv=None, mark=mark), -1.0))
        assert (reasons(found), found.maintenance_margin, found.margin_ratio) == (["MISSING_IV"], None, None)
    for mark in (bounds[0] + 1.0, bounds[1] - 1.0):
        assert reasons(result(single(option("o", kind, 90e3, iv=None, mark=mark), -1.0))) == []


def test_a_volatility_of_500_per_cent_is_capped_when_shocked() -> None:
    found = unit(single(option("o", "call", BTC, iv=5.0), -1.0))
    years = 30 / 365
    base = black76(BTC, BTC, 5.0, years, True)
    assert found.option[0][5] == 0.0, "up would be 620 %"
    assert found.option[1][5] == 0.0
    assert found.option[2][5] == pytest.approx(base - black76(BTC, BTC, 4.0, years, True), rel=1e-11)
    # unshocked it is not clipped
    wild = unit(single(option("o", "call", BTC, iv=8.0), -1.0))
    assert wild.vega == pytest.approx(-option_vega(BTC, BTC, 8.0, years), rel=1e-10)
    assert wild.option[0][5] == pytest.approx(black76(BTC, BTC, 8.0, years, True) - black76(BTC, BTC, 5.0, years, True), rel=1e-10)


def test_a_volatility_below_the_floor_is_raised_when_shocked() -> None:
    found = unit(single(option("o", "call", BTC, iv=0.005), -1.0))
    years = 30 / 365
    base = black76(BTC, BTC, 0.005, years, True)
    assert found.option[2][5] == pytest.approx(base - black76(BTC, BTC, 0.01, years, True), rel=1e-10)


@pytest.mark.parametrize("settle", ["USDC", "BTC"])
@pytest.mark.parametrize(("kind", "strike"), [("call", 1.0), ("put", 1e7), ("call", 1e9), ("put", 1e-3)])
def test_options_far_from_the_money_are_their_underlying_or_nothing(settle: str, kind: str, strike: float) -> None:
    found = unit(single(option("o", kind, strike, settle=settle, iv=0.4), -1.0))
    inside = strike < BTC if kind == "call" else strike > BTC
    slope = (-1.0 if kind == "call" else 1.0) if inside else 0.0
    assert found.delta == pytest.approx(slope, abs=1e-12)
    assert found.option[1] == pytest.approx([slope * BTC * node for node in found.price_nodes], rel=1e-9, abs=1e-3)
    assert all(math.isfinite(value) for line in found.option for value in line)


def test_delta_is_the_slope_of_the_value() -> None:
    # an option's delta by the pricer against the change of its value in the grid
    row = option("o", "call", 105e3, iv=0.6)
    found = unit(single(row, 1.0, overrides={"BTC": {"price_range": 1e-4, "price_nodes": 3}}))
    slope = (found.option[1][2] - found.option[1][0]) / (2e-4 * BTC)
    assert slope == pytest.approx(option_delta(BTC, 105e3, 0.6, 30 / 365, True), rel=1e-6)
    assert found.delta == pytest.approx(slope, rel=1e-6)


def test_noon_is_noon() -> None:
    assert NOON_S % DAY_S == DAY_S // 2
