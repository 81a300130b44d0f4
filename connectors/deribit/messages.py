"""What public channels push and book summaries answer: parsed JSON to plain values. They raise `WrongShape` naming the field.

Tickers, summaries and volatility indices state volatilities in percent, chains in decimals (venue notes 2.3 to 2.5): decimals here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import nan

from connectors.fields import Obj, WrongShape, integer, mapping, number, optional_number, sequence, text

PERCENT = 100.0
EXPIRED = "expired"
MOST_PROBLEMS = 8

_NO_BID, _NO_ASK = 0.0, 500.0
"""The venue's words (percent) for no bid or none that has a volatility, and no ask."""


@dataclass(frozen=True, slots=True)
class TickerFrame:
    """One `ticker` frame. `mark` is in the instrument's quote; volatilities are decimals, None where there is none.

    `forward` is the forward of an option's expiry, None for anything else. `is_open` is False where the instrument trades no longer, or
    the venue calls it expired. `funding` is the perpetual's current rate, NaN none; `time_ms` 0 where it is not said.
    """

    name: str
    is_open: bool
    mark: float
    index: float
    forward: float | None
    mark_iv: float | None
    bid_iv: float | None
    ask_iv: float | None
    funding: float
    time_ms: int


def parse_ticker(data: object) -> TickerFrame:
    """The data of a `ticker.{instrument}.{interval}` frame."""
    where = "ticker"
    row = mapping(data, where)
    is_open = row.get("state", "open") == "open" and row.get("estimated_delivery_price") != EXPIRED
    forward = optional_number(row, "underlying_price", where)
    mark, index = number(row, "mark_price", where), optional_number(row, "index_price", where)
    if (forward is not None and forward <= 0.0) or mark < 0.0:
        raise WrongShape(f"{where}.{'mark_price' if mark < 0.0 else 'underlying_price'}")
    funding = optional_number(row, "current_funding", where)
    return TickerFrame(
        name=text(row, "instrument_name", where),
        is_open=is_open,
        mark=mark,
        index=nan if index is None else index,
        forward=forward,
        mark_iv=_percent(row, "mark_iv"),
        bid_iv=_percent(row, "bid_iv", _NO_BID),
        ask_iv=_percent(row, "ask_iv", _NO_ASK),
        funding=nan if funding is None else funding,
        time_ms=integer(row, "timestamp", where) if row.get("timestamp") is not None else 0,
    )


def _percent(row: Obj, key: str, none: float = 0.0) -> float | None:
    value = optional_number(row, key, "ticker")
    return None if value is None or value == none else value / PERCENT


def parse_price_index(data: object) -> tuple[str, float, int]:
    """Index name, price and venue time (ms) of a `deribit_price_index` frame."""
    where = "deribit_price_index"
    row = mapping(data, where)
    price = number(row, "price", where)
    if price <= 0.0:
        raise WrongShape(f"{where}.price")
    return text(row, "index_name", where), price, integer(row, "timestamp", where)


def parse_volatility_index(data: object) -> tuple[str, float, int]:
    """Index name, volatility (decimal) and venue time (ms) of a `deribit_volatility_index` frame."""
    where = "deribit_volatility_index"
    row = mapping(data, where)
    volatility = number(row, "volatility", where) / PERCENT
    if not 0.0 < volatility < 10.0:
        raise WrongShape(f"{where}.volatility")
    return text(row, "index_name", where), volatility, integer(row, "timestamp", where)


def parse_instrument_state(data: object) -> tuple[str, str]:
    """Instrument name and state of an `instrument.state` frame."""
    where = "instrument.state"
    row = mapping(data, where)
    return text(row, "instrument_name", where), text(row, "state", where)


class PlatformState:
    """What the venue says of itself: maintenance, and price indices whose instruments are locked."""

    def __init__(self) -> None:
        self.maintenance = False
        self.locked: set[str] = set()

    def apply(self, data: object) -> None:
        """A `platform_state` frame: one fact each."""
        row = mapping(data, "platform_state")
        maintenance, locked = row.get("maintenance"), row.get("locked")
        if isinstance(maintenance, bool):
            self.maintenance = maintenance
        if isinstance(locked, bool):
            index = text(row, "price_index", "platform_state")
            (self.locked.add if locked else self.locked.discard)(index)

    def statuses(self, indices: Iterable[str]) -> tuple[str, ...]:
        """What is wrong now, as words; of the locked indices those asked about."""
        locked = tuple(f"locked {index}" for index in indices if index in self.locked)
        return ("maintenance", *locked) if self.maintenance else locked


@dataclass(slots=True)
class Summary:
    """Book summaries by instrument name: volatilities (decimals), forwards, 24 h turnover (USD, linear ones their stablecoin), and open
    interest (in the venue's unit). What the venue does not say is left out. `problems` as in a listing."""

    volatilities: dict[str, float] = field(default_factory=dict)
    forwards: dict[str, float] = field(default_factory=dict)
    turnovers: dict[str, float] = field(default_factory=dict)
    interests: dict[str, float] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


def parse_summary(result: object) -> Summary:
    """A `get_book_summary_by_currency` result."""
    where = "get_book_summary"
    summary = Summary()
    for value in sequence(result, where):
        try:
            _add(mapping(value, where), summary)
        except WrongShape as wrong:
            summary.problems.append((wrong.kind, wrong.detail))
    del summary.problems[MOST_PROBLEMS:]
    return summary


def _add(row: Obj, summary: Summary) -> None:
    where = "get_book_summary"
    name = text(row, "instrument_name", where)
    iv, forward = optional_number(row, "mark_iv", where), optional_number(row, "underlying_price", where)
    turnover, interest = optional_number(row, "volume_usd", where), optional_number(row, "open_interest", where)
    volume = optional_number(row, "volume", where)
    if turnover is None and volume is not None and forward is not None:
        # An option of a venue answer without a turnover: coins, at the forward.
        turnover = volume * forward
    for found, values in (
        (None if iv is None else iv / PERCENT, summary.volatilities),
        (forward if forward is not None and forward > 0.0 else None, summary.forwards),
        (turnover, summary.turnovers),
        (interest, summary.interests),
    ):
        if found is not None:
            values[name] = found
