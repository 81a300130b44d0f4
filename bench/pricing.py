"""Pricing an option in a scenario: the rows of the stress engine beside what else prices options, on the same inputs.

400 options of 8 expiries in 33 scenarios (11 prices, 3 volatilities); a price is one option in one scenario, ours with greeks and
records. Peers that are not installed are named. The yardstick is a loop `y += a * x` in the first-level cache, per eight numbers:
on a machine with other work, compare figures in that unit.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np

from kernels import black76
from kernels._jit import jit
from kernels.layout import EXPIRY, FACTOR, GROWTH, INSTRUMENT, OPTION, Floats, Ints, Table
from kernels.stress import PRICING, price_rows, set_clock

NOW_S = 1_790_000_000
DAY_S = 86400
OPTIONS, EXPIRIES, NODES = 400, 8, 11
SCENARIOS, WIDTH = 3 * NODES, 40
SECONDS = 6.0
PEER = Path(__file__).with_name("pricing_peer.cpp")
COMPILER_FLAGS = ("-O3", "-march=native", "-ffast-math", "-fno-math-errno", "-shared", "-fPIC", "-std=c++17")
MISSING = "not installed"


class Desk(NamedTuple):
    """The inputs of every contender."""

    wanted: Ints
    options: Table
    expiries: Table
    pricing: Table
    scenarios: Floats
    rows: Floats


class Contender(NamedTuple):
    """`run` prices `prices` prices, `values` are those of the first options afterwards (None: nothing to compare)."""

    name: str
    run: Callable[[], object] | None
    prices: int
    values: Callable[[], Floats] | None = None


def desk() -> Desk:
    """Options within 15 % (one standard deviation) of the forward, at volatilities of 30 to 90 %."""
    rng = np.random.default_rng(1)
    expiries, pricing, options = np.zeros(EXPIRIES, EXPIRY), np.zeros(1, PRICING), np.zeros(OPTIONS, INSTRUMENT)
    expiries["expiry_s"] = NOW_S + np.array([1, 2, 5, 9, 30, 60, 180, 360]) * DAY_S
    for name, value in (("vol_up", 0.24), ("vol_down", 0.2), ("vol_exponent", 0.3), ("vol_floor", 0.01), ("vol_cap", 5.0)):
        pricing[name] = value
    pricing["near_expiry"] = 1800.0
    options["kind"], options["mark"], options["row"] = OPTION, math.nan, np.arange(OPTIONS)
    options["expiry"], options["call"] = rng.integers(0, EXPIRIES, OPTIONS), rng.random(OPTIONS) < 0.5
    options["forward"] = 1e5 * (1 + 0.01 * options["expiry"])
    options["strike"] = np.round(1e5 * np.exp(rng.normal(0, 0.15, OPTIONS)), -2)
    options["volatility"] = rng.uniform(0.3, 0.9, OPTIONS)
    scenarios, nodes = np.zeros((EXPIRIES, 4, WIDTH)), np.linspace(-0.1, 0.1, NODES).round(2)[None]
    for row in range(EXPIRIES):
        set_clock(NOW_S, row, expiries, nodes, pricing, scenarios)
    return Desk(np.arange(OPTIONS, dtype=np.int32), options, expiries, pricing, scenarios, np.zeros((OPTIONS, WIDTH)))


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


class _Inputs(NamedTuple):
    # what the others get: plain arrays, the grid [option, scenario] spelled out
    forward: Floats
    strike: Floats
    volatility: Floats
    years: Floats
    sign: Floats
    grid_forward: Floats
    grid_volatility: Floats


def _inputs(market: Desk) -> _Inputs:
    options, expiry = market.options, market.options["expiry"]
    forward, volatility = options["forward"].copy(), options["volatility"].copy()
    tables = market.scenarios[expiry, :, :SCENARIOS]
    return _Inputs(
        forward, options["strike"].copy(), volatility, market.expiries["years"][expiry], np.where(options["call"], 1.0, -1.0),
        forward[:, None] * tables[:, GROWTH], volatility[:, None] * tables[:, FACTOR],
    )  # fmt: skip


def _ours(market: Desk) -> Contender:
    def run() -> None:
        price_rows(*market)

    return Contender("ours, with greeks", run, OPTIONS * SCENARIOS, lambda: market.rows[:, :SCENARIOS] + market.options["base"][:, None])


def _numpy(market: Desk, inputs: _Inputs) -> Contender:
    special = _optional("scipy.special")
    name = "numpy, scipy.special.ndtr, rows only"
    if special is None:
        return Contender(name, None, 0)
    strike, sign, expiry = inputs.strike[:, None], inputs.sign[:, None], market.options["expiry"]
    terms = market.pricing[0]
    out: list[Floats] = [np.zeros(0), np.zeros(0)]

    def price(forward: Floats, volatility: Floats) -> Floats:
        s = volatility * np.sqrt(inputs.years)[:, None]
        d1 = np.log(forward / strike) / s + 0.5 * s
        value: Floats = sign * (forward * special.ndtr(sign * d1) - strike * special.ndtr(sign * (d1 - s)))
        return value

    def run() -> None:
        tables = market.scenarios[expiry, :, :SCENARIOS]
        factor, volatility = tables[:, FACTOR], inputs.volatility[:, None]
        shocked = np.where(factor == 1.0, volatility, np.clip(volatility * factor, terms["vol_floor"], terms["vol_cap"]))
        forward = inputs.forward[:, None]
        out[1] = price(forward, volatility)
        out[0] = price(forward * tables[:, GROWTH], shocked) - out[1]

    return Contender(name, run, OPTIONS * SCENARIOS, lambda: out[0] + out[1])


@jit
def _scalar(forward: Floats, strike: Floats, volatility: Floats, years: Floats, sign: Floats, out: Floats) -> None:
    for i in range(len(strike)):
        root = math.sqrt(years[i])
        for j in range(out.shape[1]):
            s = volatility[i, j] * root
            d1 = math.log(forward[i, j] / strike[i]) / s + 0.5 * s
            near, far = math.erfc(-sign[i] * d1 * math.sqrt(0.5)), math.erfc(-sign[i] * (d1 - s) * math.sqrt(0.5))
            out[i, j] = 0.5 * sign[i] * (forward[i, j] * near - strike[i] * far)


def _numba_scalar(inputs: _Inputs) -> Contender:
    out = np.zeros((OPTIONS, SCENARIOS))
    arguments = (inputs.grid_forward, inputs.strike, inputs.grid_volatility, inputs.years, inputs.sign, out)
    return Contender("numba loop, math.log and math.erfc", lambda: _scalar(*arguments), OPTIONS * SCENARIOS, lambda: out)


def _one_by_one(name: str, price: Callable[[int, int], float] | None, count: int) -> Contender:
    if price is None:
        return Contender(name, None, 0)
    out = np.zeros((count, SCENARIOS))

    def run() -> None:
        for i in range(count):
            for j in range(SCENARIOS):
                out[i, j] = price(i, j)

    return Contender(name, run, count * SCENARIOS, lambda: out)


def _quantlib(inputs: _Inputs) -> Contender:
    library = _optional("QuantLib")
    if library is None:
        return _one_by_one("QuantLib BlackCalculator", None, 0)
    forward, volatility, root = inputs.grid_forward.tolist(), inputs.grid_volatility.tolist(), np.sqrt(inputs.years).tolist()
    payoffs = [
        library.PlainVanillaPayoff(library.Option.Call if sign > 0 else library.Option.Put, strike)
        for sign, strike in zip(inputs.sign.tolist(), inputs.strike.tolist(), strict=True)
    ]

    def price(i: int, j: int) -> float:
        return float(library.BlackCalculator(payoffs[i], forward[i][j], volatility[i][j] * root[i]).value())

    return _one_by_one("QuantLib BlackCalculator", price, 10)


def _vollib(inputs: _Inputs) -> Contender:
    library = _optional("vollib.black")
    if library is None:
        return _one_by_one("vollib undiscounted_black", None, 0)
    forward, volatility = inputs.grid_forward.tolist(), inputs.grid_volatility.tolist()
    strike, years, flag = inputs.strike.tolist(), inputs.years.tolist(), ["c" if sign > 0 else "p" for sign in inputs.sign]

    def price(i: int, j: int) -> float:
        return float(library.undiscounted_black(forward[i][j], strike[i], volatility[i][j], years[i], flag[i]))

    return _one_by_one("vollib undiscounted_black", price, 4)


def _cpp(market: Desk, inputs: _Inputs, directory: Path, vectors: Sequence[str]) -> Contender:
    name = " ".join(("C++ of the same loop, rows only", *vectors))
    compiler = shutil.which("g++")
    library = directory / f"peer{len(vectors)}.so"
    if compiler is None:
        return Contender(name, None, 0)
    built = subprocess.run([compiler, *COMPILER_FLAGS, *vectors, "-o", str(library), str(PEER)], capture_output=True, check=False)
    if built.returncode != 0:
        return Contender(f"{name} (not compiled: {built.stderr.decode().splitlines()[0]})", None, 0)
    rows, expiry = np.zeros((OPTIONS, WIDTH)), market.options["expiry"].astype(np.int64)
    arrays = (inputs.forward, inputs.strike, inputs.volatility, inputs.years, inputs.sign, expiry, market.scenarios, rows)
    call = ctypes.CDLL(str(library)).price_rows
    call.restype = None
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    counts = (ctypes.c_int64(OPTIONS), ctypes.c_int64(WIDTH))

    def run() -> None:
        call(*counts, *pointers)

    # the arrays live as long as the closure that compares them
    return Contender(name, run, OPTIONS * SCENARIOS, lambda: rows[:, :SCENARIOS] + market.options["base"][:, None] + 0.0 * arrays[0][0])


@jit
def _yardstick(x: Floats, y: Floats) -> None:
    for _ in range(64):
        for i in range(len(x)):
            y[i] = 0.25 * x[i] + y[i]


def _measure(contenders: Sequence[Contender]) -> tuple[list[float], float]:
    # best of many, interleaved, in ns: what the machine can do when it does nothing else
    best, unit, values = [math.inf] * len(contenders), math.inf, np.ones((2, 1024))
    for contender in contenders:
        if contender.run is not None:
            contender.run()
    _yardstick(values[0], values[1])
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for index, contender in enumerate(contenders):
            if contender.run is None:
                continue
            for _ in range(20 if contender.prices == OPTIONS * SCENARIOS else 1):
                begin = time.perf_counter_ns()
                contender.run()
                best[index] = min(best[index], (time.perf_counter_ns() - begin) / contender.prices)
            begin = time.perf_counter_ns()
            _yardstick(values[0], values[1])
            unit = min(unit, (time.perf_counter_ns() - begin) / 8192)
    return best, unit


def _report(contenders: Sequence[Contender], best: Sequence[float], reference: Floats, size: Floats) -> None:
    for contender, took in zip(contenders, best, strict=True):
        if contender.run is None:
            print(f"{contender.name:62s} {MISSING}")
            continue
        error = ""
        if contender.values is not None:
            values = contender.values()
            worst = float(np.max(np.abs(values - reference[: len(values)]) / size[: len(values)]))
            error = f"   differs by at most {worst:.1e} of the forward"
        print(f"{contender.name:62s} {took:9.2f} ns a price   {took / best[0]:8.2f} times ours{error}")


def _prices() -> None:
    market = desk()
    inputs = _inputs(market)
    with tempfile.TemporaryDirectory() as directory:
        contenders = [
            _ours(market),
            _cpp(market, inputs, Path(directory), ()),
            _cpp(market, inputs, Path(directory), ("-mprefer-vector-width=512",)),
            _numba_scalar(inputs),
            _numpy(market, inputs),
            _quantlib(inputs),
            _vollib(inputs),
        ]
        best, unit = _measure(contenders)
    exact = np.zeros((OPTIONS, SCENARIOS))
    for i in range(OPTIONS):
        for j in range(SCENARIOS):
            exact[i, j] = black76.price_one(
                inputs.grid_forward[i, j], inputs.strike[i], inputs.grid_volatility[i, j], inputs.years[i], inputs.sign[i] > 0
            )
    print(f"{OPTIONS} options, {SCENARIOS} scenarios; yardstick {unit:.3f} ns, ours {best[0] / unit:.1f} of it")
    _report(contenders, best, exact, np.maximum(inputs.forward, inputs.strike)[:, None])
    few = Desk(market.wanted[:1], *market[1:])
    took = min(_timed(lambda: price_rows(*few)) for _ in range(2000))
    print(f"one option alone, as after a mark: {took / 1000:.2f} us with the call from Python")


def _timed(run: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - begin


def _volatilities() -> None:
    inputs = _inputs(desk())
    call, prices, found = inputs.sign > 0, np.zeros(OPTIONS), np.zeros(OPTIONS)
    black76.price(inputs.forward, inputs.strike, inputs.volatility, inputs.years, call, prices)
    delta, gamma, vega = np.zeros(OPTIONS), np.zeros(OPTIONS), np.zeros(OPTIONS)
    black76.greeks(inputs.forward, inputs.strike, inputs.volatility, inputs.years, call, delta, gamma, vega)
    # where a rounding of the price moves the volatility by less than 1e-12 of itself
    told = prices * 2.2e-16 < 1e-12 * vega * inputs.volatility
    prices, forward, strike, years, call = prices[told], inputs.forward[told], inputs.strike[told], inputs.years[told], call[told]
    out, count = found[told], len(prices)

    def error(values: Floats) -> str:
        return f"worst relative error {np.max(np.abs(values / inputs.volatility[told] - 1)):.1e}"

    took = min(_timed(lambda: black76.implied_volatility(prices, forward, strike, years, call, out)) for _ in range(300)) / count
    print(f"implied volatility, {count} options: ours {took:.0f} ns each, {error(out)}")
    library = _optional("vollib.black.implied_volatility")
    if library is None:
        print(f"implied volatility, vollib (lets_be_rational): {MISSING}")
        return
    flags = ["c" if kind else "p" for kind in call]
    rows = list(zip(prices.tolist(), forward.tolist(), strike.tolist(), years.tolist(), flags, strict=True))
    peer = np.zeros(count)

    def run() -> None:
        for i, row in enumerate(rows):
            peer[i] = library.implied_volatility_of_undiscounted_option_price(*row)

    other = min(_timed(run) for _ in range(3)) / count
    print(f"implied volatility, vollib (lets_be_rational): {other:.0f} ns each, {other / took:.0f} times ours, {error(peer)}")


def main() -> None:
    """Measure and print."""
    print(f"numba {numba.__version__}")
    _prices()
    _volatilities()
