"""The Black-76 kernel against prices and greeks of forty digits, and against two whole recorded option chains, as summary lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from kernels import black76
from kernels.layout import Flags, Floats

REFERENCES = "black76_golden_cross_venue.json"
CHAINS = ("deribit_options_snapshot_20260115T092130Z.csv", "deribit_options_snapshot_20260822T153351Z.csv")

EXACT = 1e-12
"""Relative; allowed against forty digits."""

_YEAR_S = 365 * 86_400
_ROUNDED = "the volatility is printed to 0.01 %; a few marks are older than their forward"
_LATER = "the venue's were fetched up to two minutes after the marks"


@dataclass(frozen=True, slots=True)
class Summary:
    """How far one figure of a source is off: the largest difference, or the one that `share` of the `rows` stay below."""

    source: str
    figure: str
    rows: int
    share: float
    difference: float
    allowed: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is allowed."""
        return self.difference <= self.allowed


@dataclass(frozen=True, slots=True)
class _Options:
    forward: Floats
    strike: Floats
    volatility: Floats
    years: Floats
    call: Flags

    def price(self) -> Floats:
        out = np.empty(len(self.forward))
        black76.price(self.forward, self.strike, self.volatility, self.years, self.call, out)
        return out

    def greeks(self) -> tuple[Floats, Floats, Floats]:
        delta, gamma, vega = (np.empty(len(self.forward)) for _ in range(3))
        black76.greeks(self.forward, self.strike, self.volatility, self.years, self.call, delta, gamma, vega)
        return delta, gamma, vega

    def implied(self, price: Floats) -> Floats:
        out = np.empty(len(self.forward))
        black76.implied_volatility(price, self.forward, self.strike, self.years, self.call, out)
        return out


def summaries(folder: Path) -> list[Summary]:
    """Every line; `folder` holds the recordings of Deribit. Raises FileNotFoundError naming a missing one."""
    return [*forty_digits(folder / REFERENCES), *(line for name in CHAINS for line in chain(folder / name))]


def forty_digits(path: Path) -> list[Summary]:
    """Price, greeks and implied volatility of the options of many venues; the volatility's error is taken at its vega."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]

    terms = np.array([[row[key] for key in ("forward", "strike", "iv", "expiry_ms", "ts_ms")] for row in rows], np.float64).T
    forward, strike, volatility, expiry_ms, as_of_ms = terms
    is_call = np.array([row["call_put"] == "C" for row in rows])
    options = _Options(forward, strike, volatility, (expiry_ms - as_of_ms) / 1000 / _YEAR_S, is_call)
    keys = ("price", "delta", "gamma", "vega_per_1pct")
    exact = {key: np.array([float(row["reference_black76_undiscounted"][key]) for row in rows]) for key in keys}
    delta, gamma, vega = options.greeks()
    ours = dict(zip(keys, (options.price(), delta, gamma, vega / 100), strict=True))
    found = [_summary(path, key, ours[key] / exact[key] - 1.0, EXACT, 1.0, "relative") for key in keys]
    error = (options.implied(exact["price"]) - options.volatility) * 100 * exact["vega_per_1pct"] / exact["price"]
    return [*found, _summary(path, "implied volatility", error, EXACT, 1.0, "what it changes the price by, relative")]


def chain(path: Path) -> list[Summary]:
    """One recorded chain: marks (of the forward), delta, vega (relative) and implied volatility."""
    with path.open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))

    def column(name: str) -> Floats:
        return np.array([float(row[name]) for row in rows])

    ends = [[datetime.fromisoformat(row[name]) for row in rows] for name in ("timestamp", "expiry_datetime")]
    left = np.array([(end - start).total_seconds() for start, end in zip(*ends, strict=True)])
    is_call = np.array([row["option_type"] == "call" for row in rows])
    options = _Options(column("underlying"), column("strike"), column("implied_volatility"), left / _YEAR_S, is_call)
    mark = column("mark_price")
    delta, _, vega = options.greeks()
    inner = (np.abs(delta) >= 0.02) & (np.abs(delta) <= 0.98)
    off = options.price() / options.forward - mark
    volatility = (options.implied(mark * options.forward) - options.volatility)[inner]
    vega_off = vega[inner] / 100 / column("vega")[inner] - 1.0
    where = ", delta 0.02 to 0.98"
    return [
        _summary(path, "mark, in coin", off, 2.5e-4, 1.0, _ROUNDED),
        _summary(path, f"mark, in coin{where}", off[inner], 1e-4, 0.99, _ROUNDED),
        _summary(path, "delta", delta - column("delta"), 0.03, 1.0, _LATER),
        _summary(path, "delta", delta - column("delta"), 0.01, 0.99, _LATER),
        _summary(path, f"vega{where}, relative", vega_off, 0.025, 0.95, _LATER),
        _summary(path, f"implied volatility{where}", volatility, 0.02, 1.0, _ROUNDED),
        _summary(path, f"implied volatility{where}", volatility, 2e-3, 0.95, _ROUNDED),
    ]


def _summary(path: Path, figure: str, error: Floats, allowed: float, share: float, note: str) -> Summary:
    return Summary(path.stem, figure, len(error), share, float(np.quantile(np.abs(error), share)), allowed, note)


def table(found: Sequence[Summary]) -> Table:
    """The lines for a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("source", "figure", "rows", "of them", "difference", "allowed", "", "note"):
        shown.add_column(heading, no_wrap=True, justify="right" if heading in ("rows", "of them", "difference", "allowed") else "left")
    for line in found:
        share = "all" if line.share == 1.0 else f"{line.share:.0%}"
        sizes = (f"{line.difference:.1e}", f"{line.allowed:.1e}", "within" if line.passed else "DIFFERS")
        shown.add_row(line.source, line.figure, str(line.rows), share, *sizes, line.note)
    return shown
