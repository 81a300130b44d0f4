"""Mark price frames: an array of every symbol each second, of which only what somebody wants is converted.

Such a frame has some 600 rows (100 kB): parsing its JSON is what costs, so nothing else is done for symbols nobody wants. Whether
one frame always holds every symbol is not known: rows are merged by symbol, and what a frame leaves out is not confirmed by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

from connectors.aster.answers import MARK_FEED
from connectors.aster.reference import Reference
from connectors.aster.settings import VENUE
from connectors.events import MarkPrices
from connectors.fields import WrongShape, decimal, integer, mapping

MARK_EVENT = "markPriceUpdate"
LATEST_OVERTAKEN_MS = 10_000
"""A row older than its symbol's last by less than this (ms) was overtaken, by more the venue's clock was set back."""

MOST_PROBLEMS = 8
"""Rows of one frame that are told one by one when they make no sense."""

_PREFIX = f"{VENUE}:"


class SharedMarket:
    """Reference data and wishes that all parts of the connector share. `plan` maps wire symbols to the instruments to convert.

    `stale` says why the reference data no longer fits, None while it does: the connector reads it again and replaces it.
    """

    def __init__(self) -> None:
        self.current = Reference()
        self.loaded = False
        self.stale: str | None = None
        self.plan: dict[str, str] = {}
        self._wanted: frozenset[str] = frozenset()

    @property
    def wanted(self) -> frozenset[str]:
        """Instrument ids that somebody asked for or holds."""
        return self._wanted

    def replace(self, reference: Reference) -> None:
        """New reference data."""
        self.current, self.loaded, self.stale = reference, True, None
        self._replan()

    def want(self, instruments: Iterable[str]) -> None:
        """New wishes, beside the perpetuals that price collateral. Unchanged ones cost nothing."""
        wanted = frozenset(instruments)
        if wanted != self._wanted:
            self._wanted = wanted
            self._replan()

    def check(self, instruments: Iterable[str]) -> None:
        """Note an instrument that the reference data does not have."""
        if not self.loaded:
            return
        symbols = self.current.symbols
        for name in instruments:
            if name.removeprefix(_PREFIX) not in symbols:
                self.stale = f"{name} is not in the reference data"

    def _replan(self) -> None:
        names = self._wanted | self.current.collateral_perpetuals()
        self.plan = {name.removeprefix(_PREFIX): name for name in names if name.startswith(_PREFIX)}


@dataclass(slots=True)
class MarketReading:
    """What a frame says: the event (None: nothing wanted in it) and the rows that made no sense, as (kind, detail).

    `sound`: some row, wanted or not, made sense, so that the feed lives. `time_ms`: the venue's time of the newest wanted row, else
    of the last one; 0 where it says none.
    """

    marks: MarkPrices | None = None
    sound: bool = False
    time_ms: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


class MarkFrames:
    """Mark price frames of one connection, or of two while it is replaced: an older row never follows a newer one."""

    def __init__(self, shared: SharedMarket) -> None:
        self._shared = shared
        self._told_ms: dict[str, int] = {}

    def opened(self) -> None:
        """A new connection: what came before does not order what comes now."""
        self._told_ms.clear()

    def read(self, rows: list[Any], now_ns: int) -> MarketReading:
        """The wanted rows of a frame. Rows that make no sense are left out, the others stand."""
        reading = MarketReading()
        columns = _Columns()
        plan = self._shared.plan
        for row in rows:
            try:
                name = plan.get(row["s"])
                if name is not None:
                    self._row(name, row, columns, reading)
                reading.sound = True
            except (TypeError, KeyError):
                reading.problems.append(("wrong_shape", f"{MARK_EVENT}.s"))
        del reading.problems[MOST_PROBLEMS:]
        if columns.names:
            reading.marks = columns.event(now_ns)
        reading.time_ms = columns.time_ms or _event_time(rows)
        return reading

    def _row(self, name: str, row: dict[str, Any], columns: _Columns, reading: MarketReading) -> None:
        try:
            # Every held symbol of every frame: strings that make sense take the short way, everything else the strict readers.
            told = row["p"], row["i"], row["r"]
            mark, index, funding = map(float, told)
            at_ms, funding_ms = row["E"], row["T"]
            if not (
                told[0].__class__ is told[1].__class__ is told[2].__class__ is str
                and at_ms.__class__ is funding_ms.__class__ is int
                and 0 < mark < inf
                and 0 < index < inf
                and -1 < funding < 1
            ):
                raise ValueError
        except (TypeError, KeyError, ValueError):
            try:
                mark, index, funding, at_ms, funding_ms = _strictly(row)
            except WrongShape as problem:
                reading.problems.append((problem.kind, f"{row['s']}: {problem.detail}"))
                return
        overtaken_ms = self._told_ms.get(name, 0) - at_ms
        if 0 < overtaken_ms < LATEST_OVERTAKEN_MS:
            return
        self._told_ms[name] = at_ms
        columns.names.append(name)
        columns.marks.append(mark)
        columns.indices.append(index)
        columns.funding.append(funding)
        columns.funding_times.append(funding_ms)
        columns.time_ms = max(columns.time_ms, at_ms)


def _event_time(rows: list[Any]) -> int:
    last = rows[-1] if rows else None
    at_ms = last.get("E") if isinstance(last, dict) else None
    return at_ms if isinstance(at_ms, int) else 0


@dataclass(slots=True)
class _Columns:
    names: list[str] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)
    indices: list[float] = field(default_factory=list)
    funding: list[float] = field(default_factory=list)
    funding_times: list[int] = field(default_factory=list)
    time_ms: int = 0

    def event(self, now_ns: int) -> MarkPrices:
        return MarkPrices(
            VENUE,
            MARK_FEED,
            now_ns,
            self.names,
            self.marks,
            self.indices,
            self.funding,
            time_ms=self.time_ms,
            funding_times=self.funding_times,
        )


def _strictly(value: object) -> tuple[float, float, float, int, int]:
    row = mapping(value, MARK_EVENT)
    mark = decimal(row.get("p"), f"{MARK_EVENT}.p")
    if mark <= 0.0:
        raise WrongShape(f"{MARK_EVENT}.p")
    # A contract before its launch or after its settlement has a mark, but perhaps no index and no funding.
    index, funding = _or_nan(row.get("i"), f"{MARK_EVENT}.i"), _or_nan(row.get("r"), f"{MARK_EVENT}.r")
    funding_ms = integer(row, "T", MARK_EVENT) if row.get("T") is not None else 0
    return mark, index if index > 0.0 else nan, funding, integer(row, "E", MARK_EVENT), funding_ms


def _or_nan(value: object, where: str) -> float:
    return nan if value is None or value == "" else decimal(value, where)
