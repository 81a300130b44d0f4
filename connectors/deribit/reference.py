"""What the venue lists: rows of `public/get_instruments` as instruments, joined by name. Nothing is read out of a name.

Units (venue notes 2.7): options and linear contracts count coins, inverse futures and perpetuals USD. An index is listed as an
instrument of its own, `deribit:btc_usd`, so that its price is a mark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from connectors.deribit.settings import VENUE
from connectors.events import Instruments
from connectors.fields import Obj, WrongShape, integer, mapping, number, optional_number, sequence, text
from connectors.model import Instrument, InstrumentKind, OptionType

CURRENCIES = ("BTC", "ETH", "USDC")
"""Settlement currencies that have options; all stablecoin-settled coins are listed under USDC."""

KINDS = ("option", "future")
FUNDING_H = 8.0
MOST_PROBLEMS = 8
"""Rows of one listing that are told one by one when they make no sense."""

OPEN = "open"
_LAST_MS = 253_402_300_799_999
_ENDED = frozenset({"delivered", "inactive", "archivized"})
_PERPETUAL = "perpetual"
_OPTION_TYPES = {"call": OptionType.CALL, "put": OptionType.PUT}

PartKey = tuple[str, str]
ExpiryKey = tuple[str, str, int]
"""Coin, settlement and expiry (ms): options that have these in common are priced on one forward."""


def instrument_id(name: str) -> str:
    """The program-wide id of an instrument or index name."""
    return f"{VENUE}:{name}"


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one listing request by the venue's name: instruments, their states, and coins (or USD) per contract."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    contract_sizes: dict[str, float] = field(default_factory=dict)
    problems: tuple[tuple[str, str], ...] = ()


def parse_listing(result: object) -> Part:
    """A `get_instruments` result. Rows that make no sense are left out and told as (kind, detail); combinations and spot are skipped."""
    where = "get_instruments"
    part = Part()
    problems = []
    for value in sequence(result, where):
        try:
            row = mapping(value, where)
            if row.get("kind") not in KINDS:
                continue
            instrument = parse_instrument(row)
            part.contract_sizes[instrument.symbol] = number(row, "contract_size", where)
        except WrongShape as wrong:
            problems.append((wrong.kind, wrong.detail))
            continue
        part.instruments[instrument.symbol] = instrument
        part.states[instrument.symbol] = instrument_state(row)
    return replace(part, problems=tuple(problems[:MOST_PROBLEMS]))


def instrument_state(row: Obj) -> str:
    """The venue's word for the state of a row's instrument; where it has none, `open` if it is active."""
    state = row.get("state")
    return state if isinstance(state, str) else OPEN if row.get("is_active") is True else "inactive"


def parse_instrument(row: Obj) -> Instrument:
    """One row of `get_instruments`. Raises WrongShape naming the field."""
    where = "get_instruments"
    name, inverse = text(row, "instrument_name", where), _is_inverse(row)
    is_option = row["kind"] == "option"
    is_perpetual = not is_option and row.get("settlement_period") == _PERPETUAL
    kind = InstrumentKind.OPTION if is_option else InstrumentKind.PERPETUAL if is_perpetual else InstrumentKind.FUTURE
    option_type = _OPTION_TYPES.get(text(row, "option_type", where)) if is_option else None
    strike = number(row, "strike", where) if is_option else 0.0
    if is_option and (option_type is None or strike <= 0.0):
        raise WrongShape(f"{where}.{'strike' if option_type else 'option_type'}")
    expiry_ms = 0 if is_perpetual else integer(row, "expiration_timestamp", where)
    if not 0 <= expiry_ms <= _LAST_MS:
        raise WrongShape(f"{where}.expiration_timestamp")
    return Instrument(
        id=instrument_id(name),
        venue=VENUE,
        symbol=name,
        kind=kind,
        coin=text(row, "base_currency", where),
        settle=text(row, "settlement_currency", where),
        max_leverage=optional_number(row, "max_leverage", where) or 0.0,
        funding_interval_h=FUNDING_H if is_perpetual else 0.0,
        expiry_ms=expiry_ms,
        strike=strike,
        option_type=option_type,
        inverse=inverse,
        price_index=text(row, "price_index", where),
    )


def _is_inverse(row: Obj) -> bool:
    kind = row.get("instrument_type")
    if kind not in ("reversed", "linear"):
        raise WrongShape("get_instruments.instrument_type")
    return bool(kind == "reversed")


class Reference:
    """All that the venue lists under the currencies asked for. `by_name` has every instrument by the venue's name."""

    def __init__(self) -> None:
        self.by_name: dict[str, Instrument] = {}
        self.contract_sizes: dict[str, float] = {}
        """Coins (inverse futures: USD) in one contract, by the venue's name."""
        self.loaded = False
        self._parts: dict[PartKey, Part] = {}
        self._states: dict[str, str] = {}
        self._options: dict[ExpiryKey, list[Instrument]] = {}
        self._of_coin: dict[str, list[Instrument]] = {}
        self._indices: dict[str, Instrument] = {}

    def replace(self, parts: dict[PartKey, Part]) -> bool:
        """Take new listings in place of those of the same requests; whether anything changed."""
        before = self.by_name, self._states
        self._parts |= parts
        self._rebuild()
        changed = not self.loaded or before != (self.by_name, self._states)
        self.loaded = True
        return changed

    def lists(self, part: PartKey) -> bool:
        """Whether a request's listing is known and has something."""
        known = self._parts.get(part)
        return known is not None and bool(known.instruments)

    def has(self, parts: Iterable[PartKey]) -> bool:
        """Whether the listings of all these requests are known."""
        return self._parts.keys() >= set(parts)

    def keep(self, parts: Collection[PartKey]) -> None:
        """Forget the listings of requests that are made no longer."""
        if self._parts.keys() - set(parts):
            self._parts = {key: part for key, part in self._parts.items() if key in parts}
            self._rebuild()

    def set_state(self, name: str, state: str) -> bool:
        """The venue tells the state of a listed instrument; whether that is news."""
        if name not in self.by_name or self._states.get(name) == state:
            return False
        self._states[name] = state
        return True

    def is_open(self, name: str) -> bool:
        """Whether the instrument is listed and trades."""
        return self._states.get(name) == OPEN

    def is_live(self, name: str) -> bool:
        """Whether the instrument is listed and not at its end: it may be halted, locked or settling meanwhile."""
        return self._states.get(name, "inactive") not in _ENDED

    def _rebuild(self) -> None:
        parts = self._parts.values()
        self.by_name = {name: one for part in parts for name, one in part.instruments.items()}
        self.contract_sizes = {name: size for part in parts for name, size in part.contract_sizes.items()}
        self._states = {name: state for part in parts for name, state in part.states.items()}
        self._options, self._of_coin, self._indices = {}, {}, {}
        for one in self.by_name.values():
            self._of_coin.setdefault(one.coin, []).append(one)
            if one.price_index and one.price_index not in self._indices:
                self._indices[one.price_index] = _index(one)
            key = expiry_key(one)
            if key is not None:
                self._options.setdefault(key, []).append(one)

    def coins_of(self, names: Iterable[str]) -> frozenset[str]:
        """The coins of those of the venue's instrument and index names that are listed."""
        known = (self.by_name.get(name) or self._indices.get(name) for name in names)
        return frozenset(one.coin for one in known if one is not None)

    def listed(self, coins: Collection[str]) -> list[Instrument]:
        """The instruments of some coins, without indices."""
        return [one for coin in sorted(coins) for one in self._of_coin.get(coin, ())]

    def chains(self, coins: Collection[str]) -> dict[str, list[Instrument]]:
        """Live options of some coins by their price index."""
        found: dict[str, list[Instrument]] = {}
        for one in self.listed(coins):
            if one.kind is InstrumentKind.OPTION and self.is_live(one.symbol):
                found.setdefault(one.price_index, []).append(one)
        return found

    def indices(self, coins: Collection[str]) -> dict[str, Instrument]:
        """The price indices that instruments of some coins settle to, as instruments, by the venue's name."""
        return {name: one for name, one in self._indices.items() if one.coin in coins}

    def is_index(self, name: str) -> bool:
        """Whether some listed instrument settles to the price index."""
        return name in self._indices

    def options(self, key: ExpiryKey) -> list[Instrument]:
        """The options of a coin, settlement and expiry that trade."""
        return [one for one in self._options.get(key, ()) if self.is_open(one.symbol)]

    def event(self, coins: Collection[str], now_ns: int) -> Instruments:
        """Everything listed of some coins, with their indices."""
        instruments = (*self.indices(coins).values(), *self.listed(coins))
        return Instruments(VENUE, instruments, {}, (), now_ns)


def expiry_key(instrument: Instrument) -> ExpiryKey | None:
    """What an option shares its forward by; None for anything else."""
    is_option = instrument.kind is InstrumentKind.OPTION
    return (instrument.coin, instrument.settle, instrument.expiry_ms) if is_option else None


def _index(of: Instrument) -> Instrument:
    quote = "USD" if of.inverse else of.settle
    name = of.price_index
    return Instrument(instrument_id(name), VENUE, name, InstrumentKind.INDEX, of.coin, quote, price_index=name)
