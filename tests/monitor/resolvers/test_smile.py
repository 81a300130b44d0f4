"""Smiles: what lies between strikes and expiries, and how well that reproduces a recorded chain."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import OptionType
from monitor.resolvers.forwards import interpolated_basis
from monitor.resolvers.smile import between, smile_of

VOLATILITIES = st.floats(0.05, 4.0)
STRIKES = st.lists(st.floats(100.0, 1e6), min_size=1, max_size=20, unique=True)


@given(STRIKES, st.data())
def test_a_smile_lies_between_its_neighbours_and_is_flat_outside(strikes: list[float], data: st.DataObject) -> None:
    quotes = [(strike, OptionType.CALL, data.draw(VOLATILITIES)) for strike in sorted(strikes)]
    smile = smile_of(quotes, 1000.0)
    assert smile is not None
    log_strike = data.draw(st.floats(math.log(50.0), math.log(2e6)))
    lower = [volatility for strike, _, volatility in quotes if math.log(strike) <= log_strike][-1:]
    upper = [volatility for strike, _, volatility in quotes if math.log(strike) >= log_strike][:1]
    around = [*lower, *upper]
    volatility = math.sqrt(smile.square(log_strike))
    assert min(around) * (1 - 1e-12) <= volatility <= max(around) * (1 + 1e-12)


def test_variance_is_linear_between_strikes() -> None:
    smile = smile_of([(100.0, OptionType.CALL, 0.4), (400.0, OptionType.CALL, 0.6)], 100.0)
    assert smile is not None
    assert smile.square(math.log(200.0)) == pytest.approx((0.16 + 0.36) / 2)
    assert smile.square(math.log(100.0) + 0.25 * math.log(4.0)) == pytest.approx(0.75 * 0.16 + 0.25 * 0.36)


def test_the_side_out_of_the_money_is_taken() -> None:
    quotes = [(strike, side, 0.5 if side is OptionType.PUT else 0.7) for strike in (90.0, 110.0) for side in OptionType]
    smile = smile_of(quotes, 100.0)
    assert smile is not None
    assert smile.squares == pytest.approx((0.25, 0.49))
    only_calls = smile_of([(90.0, OptionType.CALL, 0.7), (110.0, OptionType.CALL, math.nan)], 100.0)
    assert only_calls is not None
    assert only_calls.squares == pytest.approx((0.49,))
    assert smile_of([(90.0, OptionType.CALL, math.nan)], 100.0) is None


@given(st.floats(0.001, 2.0), VOLATILITIES, st.floats(0.001, 2.0), VOLATILITIES, st.floats(0.0, 1.0))
def test_total_variance_never_falls_with_time(near_years: float, near: float, gap: float, far: float, share: float) -> None:
    far_years = near_years + gap
    years = near_years + share * gap
    volatility = between((near_years, near), (far_years, far), years)
    w, w_near, w_far = volatility**2 * years, near**2 * near_years, far**2 * far_years
    assert w >= w_near * (1 - 1e-9)
    assert w <= max(w_near, w_far) * (1 + 1e-9)
    assert volatility >= 0


def test_with_one_neighbour_the_volatility_is_its_own() -> None:
    assert between((0.1, 0.5), None, 0.3) == 0.5
    assert between(None, (0.1, 0.5), 0.01) == 0.5
    assert math.isnan(between(None, None, 0.3))


def test_the_basis_is_linear_in_time_from_nothing() -> None:
    nodes = [(10, 0.01), (30, 0.02)]
    assert [interpolated_basis(nodes, at) for at in (5, 10, 20, 30, 60)] == pytest.approx([0.005, 0.01, 0.015, 0.02, 0.04])
    assert math.isnan(interpolated_basis([], 10))


Rows = dict[str, dict[str, tuple[float, float, float]]]


@pytest.fixture(scope="session")
def recorded_chain(recordings: Path) -> Rows:
    """By expiry, by option: strike, volatility, forward; only what lies around the money and is not about to expire."""
    expiries: Rows = defaultdict(dict)
    with (recordings / "deribit" / "deribit_options_snapshot_20260822T153351Z.csv").open() as file:
        for row in csv.DictReader(file):
            if row["currency"] == "BTC" and 0.1 <= abs(float(row["delta"])) <= 0.9 and float(row["time_to_maturity"]) > 5 / 365:
                figures = float(row["strike"]), float(row["implied_volatility"]), float(row["futures_price"])
                expiries[row["time_to_maturity"]][row["instrument_name"]] = figures
    return expiries


def test_a_recorded_row_is_reproduced_by_the_rest_of_its_expiry(recorded_chain: Rows) -> None:
    errors = []
    for options in recorded_chain.values():
        strikes = sorted({strike for strike, _, _ in options.values()})
        for strike, volatility, forward in options.values():
            rest = [(other, None, told) for other, told, _ in options.values() if other != strike]
            smile = smile_of(rest, forward)
            if smile is not None and strikes[0] < strike < strikes[-1]:
                errors.append(abs(math.sqrt(smile.square(math.log(strike))) - volatility))
    assert len(errors) > 200
    assert median(errors) < 0.002
    assert sorted(errors)[int(0.95 * len(errors))] < 0.01


def test_a_recorded_expiry_is_reproduced_by_its_neighbours(recorded_chain: Rows) -> None:
    by_years = {float(years): options for years, options in recorded_chain.items()}
    errors = []
    for near, years, far in zip(sorted(by_years), sorted(by_years)[1:], sorted(by_years)[2:], strict=False):
        sides = []
        for side in (near, far):
            options = by_years[side].values()
            forward = next(iter(options))[2]
            sides.append((side, forward, smile_of([(strike, None, told) for strike, told, _ in options], forward)))
        for strike, volatility, forward in by_years[years].values():
            moneyness = math.log(strike / forward)
            points = [(at, math.sqrt(s.square(math.log(f) + moneyness))) for at, f, s in sides if s is not None]
            errors.append(abs(between(points[0], points[1], years) - volatility))
    assert len(errors) > 100
    assert median(errors) < 0.01
