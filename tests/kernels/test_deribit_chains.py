"""Whole recorded option chains: what the venue publishes, computed from its forward and volatility, and back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from kernels import black76
from kernels.layout import Flags, Floats

CHAINS = ("deribit_options_snapshot_20260115T092130Z.csv", "deribit_options_snapshot_20260822T153351Z.csv")
ROUNDING = 0.5e-4
"""The venue rounds a volatility to 0.01 %."""

PRICE_ROUNDING = 0.5e-6
"""And a price in ETH to six digits, in BTC to eight, in coin."""


@dataclass
class Chain:
    forward: Floats
    strike: Floats
    years: Floats
    volatility: Floats
    mark: Floats
    delta: Floats
    vega: Floats
    call: Flags

    def priced(self) -> Floats:
        out = np.empty(len(self.forward))
        black76.price(self.forward, self.strike, self.volatility, self.years, self.call, out)
        return out

    def greeks(self) -> tuple[Floats, Floats]:
        delta, gamma, vega = (np.empty(len(self.forward)) for _ in range(3))
        black76.greeks(self.forward, self.strike, self.volatility, self.years, self.call, delta, gamma, vega)
        return delta, vega

    def inner(self) -> Flags:
        delta = np.abs(self.greeks()[0])
        return (delta >= 0.02) & (delta <= 0.98)

    def tolerance(self) -> Floats:
        """What the rounding of the published volatility and mark leaves open, in USD."""
        return ROUNDING * self.greeks()[1] + PRICE_ROUNDING * self.forward


@pytest.fixture(scope="module", params=CHAINS)
def chain(request: pytest.FixtureRequest, recordings: Path) -> Chain:
    with (recordings / "deribit" / request.param).open(newline="") as source:
        rows = list(csv.DictReader(source))
    assert len(rows) >= 1400

    def column(read: Callable[[dict[str, str]], float]) -> Floats:
        return np.array([read(row) for row in rows])

    # the file's own time to maturity counts 365.25 days a year: the venue counts 365
    left = column(lambda row: (datetime.fromisoformat(row["expiry_datetime"]) - datetime.fromisoformat(row["timestamp"])).total_seconds())
    forward = column(lambda row: float(row["underlying"]))
    return Chain(
        forward,
        column(lambda row: float(row["strike"])),
        left / 86400 / 365,
        column(lambda row: float(row["implied_volatility"])),
        forward * column(lambda row: float(row["mark_price"])),
        column(lambda row: float(row["delta"])),
        column(lambda row: float(row["vega"])),
        np.array([row["option_type"] == "call" for row in rows]),
    )


def test_prices(chain: Chain) -> None:
    points = 1e4 * np.abs(chain.priced() - chain.mark) / chain.forward
    inner = points[chain.inner()]
    assert len(inner) > 0.6 * len(points)
    assert np.percentile(inner, 50) < 0.1
    # in January some options of the farthest expiry had marks older than its forward
    assert np.percentile(inner, 99) <= 1.0
    assert points.max() <= 2.5


def test_greeks(chain: Chain) -> None:
    # fetched up to two minutes after the marks
    delta, vega = chain.greeks()
    error = np.abs(delta - chain.delta)
    assert np.percentile(error, 50) < 1e-3
    assert np.percentile(error, 99) <= 0.01
    assert error.max() <= 0.03
    inner = chain.inner()
    vega_error = np.abs(vega[inner] / 100 / chain.vega[inner] - 1)
    assert np.percentile(vega_error, 50) < 2e-3
    assert np.percentile(vega_error, 95) <= 0.025


def test_a_year_has_365_days(chain: Chain) -> None:
    inner = chain.inner()
    inside = (np.abs(chain.priced() - chain.mark) <= chain.tolerance())[inner].mean()
    longer = Chain(**{**vars(chain), "years": chain.years * 365 / 365.25})
    inside_longer = (np.abs(longer.priced() - chain.mark) <= chain.tolerance())[inner].mean()
    assert inside > 0.4
    assert inside_longer < 0.3 * inside


def test_the_mark_implies_the_published_volatility(chain: Chain) -> None:
    found = np.empty(len(chain.mark))
    black76.implied_volatility(chain.mark, chain.forward, chain.strike, chain.years, chain.call, found)
    inner = chain.inner()
    error = np.abs(found - chain.volatility)[inner]
    assert (error <= (chain.tolerance() / chain.greeks()[1])[inner]).mean() > 0.4
    assert np.percentile(error, 50) < 1e-4
    assert np.percentile(error, 95) < 2e-3
    assert error.max() < 0.02
    # beyond, a mark rounded into the intrinsic value has none
    assert np.isnan(found).mean() < 0.05


def test_a_price_and_its_implied_volatility_go_together(chain: Chain) -> None:
    price, found = chain.priced(), np.empty(len(chain.mark))
    black76.implied_volatility(price, chain.forward, chain.strike, chain.years, chain.call, found)
    intrinsic = np.maximum(0.0, np.where(chain.call, 1.0, -1.0) * (chain.forward - chain.strike))
    _, vega = chain.greeks()
    known = price > intrinsic
    assert known.mean() > 0.9
    assert np.isnan(found[~known]).all()
    # one rounding of the price, in volatility
    noise = 4e-16 * price[known] / vega[known]
    assert (np.abs(found[known] - chain.volatility[known]) <= 1e-13 * chain.volatility[known] + 2 * noise).all()
