"""Reference data joined: symbols, their margin tiers and funding intervals, and the assets. Immutable once built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from connectors.aster.settings import VENUE, AsterConfig
from connectors.events import Instruments
from connectors.fields import Obj, WrongShape, mapping, number, optional_number, sequence, text
from connectors.model import Instrument, InstrumentKind, MarginTier, PriceBasis, Token

T = TypeVar("T")

TRADING = "TRADING"
STABLECOIN = "USDT"
CUM_TOLERANCE = 1e-4
"""A bracket's `cum` may differ from the recomputed one by this part of the margin at its floor (the venue rounds)."""

_MULTIPLIER = re.compile(r"(10{3,})(\D.*)")


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything static that answers and frames are joined to. Build with `build`; an empty one knows nothing.

    `symbols` maps a wire symbol to its instrument, `instruments` an id, `tokens` an asset's name to its token. `notes` are sentences
    on what was not understood or does not fit together. `weight_limit`: the venue's request weight per minute and address, 0 where
    it does not say.
    """

    symbols: dict[str, Instrument] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    weight_limit: int = 0
    instruments: dict[str, Instrument] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instruments", {one.id: one for one in self.symbols.values()})

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of the assets, in the venue's order."""
        return tuple(self.tokens)

    def instrument(self, symbol: str) -> Instrument | None:
        """The instrument of a wire symbol, None for one not listed."""
        return self.symbols.get(symbol)

    def id_of(self, symbol: str) -> str:
        """Program-wide id of a wire symbol, listed or not."""
        known = self.symbols.get(symbol)
        return instrument_id(symbol) if known is None else known.id

    def collateral_perpetuals(self, assets: Iterable[str] | None = None) -> set[str]:
        """Ids of the perpetuals whose index prices those assets (None: every asset)."""
        named = self.tokens if assets is None else assets
        priced = (self.tokens[asset].perpetual for asset in named if asset in self.tokens)
        return {perpetual for perpetual in priced if perpetual is not None}

    def event(self, received_ns: int) -> Instruments:
        """The reference data as the event the monitor takes."""
        return Instruments(
            venue=VENUE,
            instruments=tuple(self.symbols.values()),
            sections={one.section: self.tokens[one.section].token for one in self.symbols.values()},
            tokens=tuple(self.tokens.values()),
            received_ns=received_ns,
        )


def instrument_id(symbol: str) -> str:
    """Program-wide id of a wire symbol: `aster:BTCUSDT`."""
    return f"{VENUE}:{symbol}"


def coin_and_multiplier(base: str) -> tuple[str, float]:
    """The coin behind a base asset and how many of it one contract unit is: `1000PEPE` is (`PEPE`, 1000)."""
    prefixed = _MULTIPLIER.fullmatch(base)
    return (prefixed[2], float(prefixed[1])) if prefixed else (base, 1.0)


def build(exchange_info: object, brackets: object, funding_info: object, config: AsterConfig) -> Reference:
    """Join `exchangeInfo`, `leverageBracket` (None: not read, so no instrument has tiers) and `fundingInfo` (None likewise).

    Brackets and intervals of symbols that are not listed are ignored; a row that is not understood is left out and noted. Raises
    WrongShape where no symbol at all is understood.
    """
    where = "exchangeInfo.symbols"
    info = mapping(exchange_info, "exchangeInfo")
    notes: list[str] = []
    tables = {} if brackets is None else parse_brackets(brackets, notes)
    intervals = {} if funding_info is None else dict(_understood(funding_info, "fundingInfo", _interval, notes))
    listed = _understood(info.get("symbols"), where, lambda row: _instrument(row, tables, intervals), notes)
    if not listed:
        raise WrongShape(where)
    symbols = {one.symbol: one for one in listed}
    weight_limit = _weight_limit(info)
    if 0 < weight_limit < config.weight_limit:
        notes.append(f"the venue allows {weight_limit} of request weight a minute, not {config.weight_limit}: lower weight_limit")
    return Reference(symbols, _tokens(info, symbols, config), tuple(dict.fromkeys(notes)), weight_limit)


def _understood(rows: object, where: str, read: Callable[[Obj], T], notes: list[str]) -> list[T]:
    found = []
    for row in sequence(rows, where):
        try:
            found.append(read(mapping(row, where)))
        except WrongShape as problem:
            notes.append(f"a row of {where} is not understood ({problem.detail}): it is left out, update marginwatch or report it")
    return found


@dataclass(frozen=True, slots=True)
class Brackets:
    """Margin tiers of one symbol, and the largest leverage any of them grants."""

    tiers: tuple[MarginTier, ...]
    max_leverage: float


def parse_brackets(answer: object, notes: list[str]) -> dict[str, Brackets]:
    """Tables by wire symbol from a `leverageBracket` answer: a list of them, or one.

    maintenance margin = notional * maintMarginRatio - cum, with cum_n = cum_{n-1} + floor_n * (ratio_n - ratio_{n-1}). A `cum`
    that does not fit is replaced and noted; a table with a gap, or not from 0 on, is left out and noted. Raises WrongShape.
    """
    tables = answer if isinstance(answer, list) else [answer]
    read = _understood(tables, "leverageBracket", lambda table: _table(table, notes), notes)
    return {symbol: brackets for symbol, brackets in read if brackets is not None}


def _table(table: Obj, notes: list[str]) -> tuple[str, Brackets | None]:
    where = "leverageBracket"
    symbol = text(table, "symbol", where)
    rows = [mapping(row, where) for row in sequence(table.get("brackets"), f"{where}.brackets")]
    return symbol, _brackets(symbol, sorted(rows, key=lambda row: number(row, "notionalFloor", where)), notes)


def _brackets(symbol: str, rows: list[Obj], notes: list[str]) -> Brackets | None:
    where = "leverageBracket"
    tiers: list[MarginTier] = []
    cap = leverage = 0.0
    for row in rows:
        floor, rate, cum = (number(row, key, where) for key in ("notionalFloor", "maintMarginRatio", "cum"))
        if floor != cap or rate <= 0.0:
            notes.append(f"the margin tiers of {symbol} have a gap or overlap at {floor:g}: they are not used")
            return None
        last = tiers[-1] if tiers else MarginTier(0.0, rate, 0.0)
        expected = last.deduction + floor * (rate - last.maintenance_rate)
        if abs(cum - expected) > max(0.01, CUM_TOLERANCE * floor * rate):
            notes.append(f"the margin tiers of {symbol} jump at {floor:g}: its deduction there is taken as {expected:g}, not {cum:g}")
            cum = expected
        tiers.append(MarginTier(floor, rate, cum))
        cap, leverage = number(row, "notionalCap", where), max(leverage, number(row, "initialLeverage", where))
    return Brackets(tuple(tiers), leverage) if tiers else None


def _interval(row: Obj) -> tuple[str, float]:
    where = "fundingInfo"
    return text(row, "symbol", where), optional_number(row, "fundingIntervalHours", where) or 0.0


def _instrument(row: Obj, tables: Mapping[str, Brackets], intervals: Mapping[str, float]) -> Instrument:
    where = "exchangeInfo.symbols"
    symbol, settle = text(row, "symbol", where), text(row, "marginAsset", where)
    coin, multiplier = coin_and_multiplier(text(row, "baseAsset", where))
    table = tables.get(symbol)
    return Instrument(
        id=instrument_id(symbol),
        venue=VENUE,
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL if row.get("contractType") in ("PERPETUAL", "", None) else InstrumentKind.FUTURE,
        coin=coin,
        settle=settle,
        section=settle,
        multiplier=multiplier,
        tiers=table.tiers if table else (),
        max_leverage=table.max_leverage if table else 0.0,
        delisted=text(row, "status", where) != TRADING,
        funding_interval_h=intervals.get(symbol, 0.0),
    )


def _tokens(info: Obj, symbols: Mapping[str, Instrument], config: AsterConfig) -> dict[str, Token]:
    where = "exchangeInfo.assets"
    named = [text(mapping(row, where), "asset", where) for row in sequence(info.get("assets"), where)]
    # A contract may settle in an asset that the list leaves out.
    ordered = dict.fromkeys([*named, *(one.settle for one in symbols.values())])
    coins = {asset.upper(): coin for asset, coin in config.collateral.items()}
    par = {asset.upper() for asset in config.par}
    tokens = {}
    for token, asset in enumerate(ordered):
        at_par = asset.upper() in par
        coin = coins.get(asset.upper(), asset)
        perpetual = None if at_par else _perpetual(coin, symbols)
        basis = PriceBasis.PAR if at_par else PriceBasis.INDEX
        tokens[asset] = Token(VENUE, token, asset, coin, basis=basis, perpetual=perpetual)
    return tokens


def _perpetual(coin: str, symbols: Mapping[str, Instrument]) -> str | None:
    # By its symbol and not by its coin: an index of 1000 units is not the coin's.
    listed = symbols.get(f"{coin}{STABLECOIN}")
    if listed is None or listed.delisted or (listed.coin, listed.multiplier, listed.settle) != (coin, 1.0, STABLECOIN):
        return None
    return listed.id


def _weight_limit(info: Obj) -> int:
    limits = info.get("rateLimits")
    for row in limits if isinstance(limits, list) else []:
        if isinstance(row, dict) and (row.get("rateLimitType"), row.get("interval"), row.get("intervalNum")) == (
            "REQUEST_WEIGHT",
            "MINUTE",
            1,
        ):
            limit = row.get("limit")
            if isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0:
                raise WrongShape("exchangeInfo.rateLimits.limit")
            return limit
    return 0
