"""Reference data joined: dexs, their instruments in wire order, margin tiers, tokens and spot pairs. Immutable once built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.events import Instruments
from connectors.fields import Obj, WrongShape, flag, integer, mapping, number, pairs, sequence, text, whole
from connectors.model import Instrument, InstrumentKind, MarginTier, Token

VENUE = "hyperliquid"
MAIN_DEX = ""
USDC = 0
FUNDING_INTERVAL_H = 1.0
"""Every perpetual pays on the hour (the venue's "funding" page)."""

_IMPLICIT_TABLES_BELOW = 50
_THOUSANDS_PREFIX = "k"
# Wrapped coins, whose name on the venue is not the coin's own. Any other token is its own coin.
_WRAPPED = {"UBTC": "BTC", "UETH": "ETH", "USOL": "SOL"}


@dataclass(frozen=True, slots=True)
class Dex:
    """One perpetual exchange: `universe` holds instrument ids in wire order, delisted ones keeping their slot."""

    name: str
    collateral: int
    universe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpotPair:
    """A spot market by its wire symbol (`@107`), with the asset names of its base and quote."""

    symbol: str
    base: str
    quote: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Everything static that frames are joined to. Build with `build`; an empty one knows nothing."""

    dexs: dict[str, Dex] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    tokens: dict[int, Token] = field(default_factory=dict)
    pairs: dict[str, SpotPair] = field(default_factory=dict)
    unlisted_tables: tuple[tuple[str, int], ...] = ()
    """(dex, margin table) that a listed instrument names and its meta does not carry: to be asked for one by one."""

    def asset(self, token: int) -> str:
        """Asset name of a token number; `token<N>` for one not known."""
        known = self.tokens.get(token)
        return known.asset if known else f"token{token}"

    def settle(self, dex: str) -> str:
        """Name of a dex's collateral token; the main stablecoin for a dex not known."""
        known = self.dexs.get(dex)
        return self.asset(known.collateral if known else USDC)

    def priced_pairs(self, assets: Iterable[str]) -> dict[str, str]:
        """{pair symbol: asset} of those assets that have a pair in the main stablecoin."""
        wanted = set(assets)
        return {t.spot_pair: t.asset for t in self.tokens.values() if t.spot_pair is not None and t.asset in wanted}

    def collateral_assets(self) -> set[str]:
        """Names of the tokens, other than the main stablecoin, that some dex settles in."""
        return {self.asset(dex.collateral) for dex in self.dexs.values() if dex.collateral != USDC}

    def perpetuals_of(self, assets: Iterable[str]) -> set[str]:
        """Instruments of the first dex on the coins of those assets: their marks and oracles make the price of collateral."""
        wanted = set(assets)
        coins = {token.coin for token in self.tokens.values() if token.asset in wanted}
        listed = self.dexs[MAIN_DEX].universe if MAIN_DEX in self.dexs else ()
        known = (self.instruments[name] for name in listed)
        return {i.id for i in known if i.coin in coins and i.multiplier == 1.0 and not i.delisted}

    def event(self, received_ns: int) -> Instruments:
        """The reference data as the event the monitor takes."""
        return Instruments(
            venue=VENUE,
            instruments=tuple(self.instruments.values()),
            sections={name: dex.collateral for name, dex in self.dexs.items()},
            tokens=tuple(self.tokens.values()),
            received_ns=received_ns,
        )


def instrument_id(coin: str) -> str:
    """Program-wide id of a perpetual by its wire name (`BTC`, `xyz:CL`)."""
    return f"{VENUE}:{coin}"


def dex_of(coin: str) -> str:
    """The dex a wire name belongs to: `xyz` of `xyz:CL`, "" for the first dex."""
    return coin.partition(":")[0] if ":" in coin else MAIN_DEX


def is_perpetual(coin: str) -> bool:
    """Whether a wire name is a perpetual's: not a spot pair (`@107`, `PURR/USDC`) and no outcome market (`#14880`)."""
    return not coin.startswith(("@", "#", "+")) and "/" not in coin


def coin_and_multiplier(symbol: str) -> tuple[str, float]:
    """The coin behind a wire name and how many of it one contract unit is: `kPEPE` is (`PEPE`, 1000) on the first dex only."""
    dex, _, name = symbol.rpartition(":")
    if not dex and name.startswith(_THOUSANDS_PREFIX) and name[1:2].isupper():
        return name[1:], 1000.0
    return name, 1.0


def maintenance_tiers(rows: Sequence[tuple[float, float]]) -> tuple[MarginTier, ...]:
    """Tiers from (lower bound, maximum leverage) rows.

    rate = 1 / (2 * leverage); deduction_n = deduction_{n-1} + bound_n * (rate_n - rate_{n-1}), so that the margin is
    continuous (the venue's "margin tiers" page). Raises WrongShape unless the bounds rise from 0 and leverages are positive.
    """
    tiers: list[MarginTier] = []
    for bound, leverage in rows:
        if leverage <= 0 or (tiers and bound <= tiers[-1].lower_bound) or (not tiers and bound != 0):
            raise WrongShape("marginTiers")
        rate = 1.0 / (2.0 * leverage)
        last = tiers[-1] if tiers else MarginTier(0.0, rate, 0.0)
        tiers.append(MarginTier(bound, rate, last.deduction + bound * (rate - last.maintenance_rate)))
    return tuple(tiers)


def margin_table(value: object) -> tuple[MarginTier, ...]:
    """Tiers of one `{description, marginTiers}` object."""
    where = "marginTable"
    rows = sequence(mapping(value, where).get("marginTiers"), f"{where}.marginTiers")
    read = [mapping(row, where) for row in rows]
    return maintenance_tiers([(number(row, "lowerBound", where), number(row, "maxLeverage", where)) for row in read])


def dex_names(value: object) -> tuple[str, ...]:
    """Names by dex index from a `perpDexs` answer, whose first entry is null (the first dex, "")."""
    rows = sequence(value, "perpDexs")
    if not rows or rows[0] is not None:
        raise WrongShape("perpDexs[0]")
    names = (MAIN_DEX, *(text(mapping(row, "perpDexs"), "name", "perpDexs") for row in rows[1:]))
    if len(set(names)) != len(names):
        raise WrongShape("perpDexs.name")
    return names


Tables = Mapping[tuple[str, int], tuple[MarginTier, ...]]
"""Margin tables by dex and number."""


def build(perp_dexs: object, all_perp_metas: object, spot_meta: object, tables: Tables | None = None) -> Reference:
    """Join the three answers, and `tables` asked for one by one.

    Raises WrongShape, also when dexs and metas do not fit together (a listing in between: refetch).
    """
    names = dex_names(perp_dexs)
    metas = sequence(all_perp_metas, "allPerpMetas")
    if len(metas) != len(names):
        raise WrongShape("allPerpMetas does not fit perpDexs")
    tokens, spot_pairs = _spot(spot_meta)
    settles = {token.token: token.asset for token in tokens.values()}
    dexs: dict[str, Dex] = {}
    instruments: dict[str, Instrument] = {}
    unlisted: list[tuple[str, int]] = []
    for name, meta in zip(names, metas, strict=True):
        asked = {table: tiers for (dex, table), tiers in (tables or {}).items() if dex == name}
        collateral, listed = parse_meta(name, meta, settles, asked)
        unlisted += [(name, table) for table in _unlisted(meta, asked)]
        ids = tuple(instrument.id for instrument in listed)
        if len(set(ids)) != len(ids):
            raise WrongShape("meta.universe.name")
        dexs[name] = Dex(name, collateral, ids)
        instruments.update(zip(ids, listed, strict=True))
    return Reference(dexs, instruments, tokens, spot_pairs, tuple(unlisted))


def _unlisted(value: object, asked: Mapping[int, tuple[MarginTier, ...]]) -> list[int]:
    meta = mapping(value, "meta")
    if "marginTables" not in meta:
        return []
    known = {key for key, _ in pairs(meta["marginTables"], "meta.marginTables")} | asked.keys()
    named = {row.get("marginTableId") for row in meta["universe"] if not row.get("isDelisted")}
    return sorted(table for table in named - known if isinstance(table, int) and table >= _IMPLICIT_TABLES_BELOW)


def parse_meta(
    dex: str, value: object, settles: dict[int, str], asked: Mapping[int, tuple[MarginTier, ...]] | None = None
) -> tuple[int, list[Instrument]]:
    """Collateral token and instruments, in wire order, of one dex's meta object.

    `settles` names tokens; `asked` are margin tables that the meta does not carry.
    """
    meta = mapping(value, "meta")
    listed = pairs(meta.get("marginTables", []), "meta.marginTables")
    tables = {**(asked or {}), **{whole(key, "meta.marginTables"): margin_table(table) for key, table in listed}}
    collateral = USDC if dex == MAIN_DEX and "collateralToken" not in meta else integer(meta, "collateralToken", "meta")
    settle = settles.get(collateral, f"token{collateral}")
    rows = [mapping(row, "meta.universe") for row in sequence(meta.get("universe"), "meta.universe")]
    legacy = "marginTables" not in meta
    return collateral, [_instrument(dex, settle, row, tables, legacy) for row in rows]


def _instrument(dex: str, settle: str, row: Obj, tables: dict[int, tuple[MarginTier, ...]], legacy: bool) -> Instrument:
    where = "meta.universe"
    symbol = text(row, "name", where)
    if dex_of(symbol) != dex:
        raise WrongShape(f"{where}.name of another dex")
    leverage = number(row, "maxLeverage", where)
    coin, multiplier = coin_and_multiplier(symbol)
    return Instrument(
        id=instrument_id(symbol),
        venue=VENUE,
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        coin=coin,
        settle=settle,
        section=dex,
        multiplier=multiplier,
        tiers=_tiers(row, tables, leverage, legacy),
        max_leverage=leverage,
        isolated_only=flag(row, "onlyIsolated", where) or row.get("marginMode") in ("strictIsolated", "noCross"),
        delisted=flag(row, "isDelisted", where),
        funding_interval_h=FUNDING_INTERVAL_H,
    )


def _tiers(row: Obj, tables: dict[int, tuple[MarginTier, ...]], leverage: float, legacy: bool) -> tuple[MarginTier, ...]:
    if "marginTableId" not in row:
        # Before 2024 there were no tables at all and the maximum leverage said everything; today a missing id is unknown.
        return maintenance_tiers([(0.0, leverage)]) if legacy else ()
    table = integer(row, "marginTableId", "meta.universe")
    if table in tables:
        return tables[table]
    return maintenance_tiers([(0.0, float(table))]) if 0 < table < _IMPLICIT_TABLES_BELOW else ()


def _spot(value: object) -> tuple[dict[int, Token], dict[str, SpotPair]]:
    where = "spotMeta"
    meta = mapping(value, where)
    rows = [mapping(row, f"{where}.tokens") for row in sequence(meta.get("tokens"), f"{where}.tokens")]
    names = {integer(row, "index", f"{where}.tokens"): text(row, "name", f"{where}.tokens") for row in rows}
    found: dict[str, SpotPair] = {}
    in_usdc: dict[int, str] = {}
    for item in sequence(meta.get("universe"), f"{where}.universe"):
        row = mapping(item, f"{where}.universe")
        symbol = text(row, "name", f"{where}.universe")
        base, quote = _base_and_quote(row)
        found[symbol] = SpotPair(symbol, names.get(base, f"token{base}"), names.get(quote, f"token{quote}"))
        if quote == USDC:
            in_usdc.setdefault(base, symbol)
    tokens = {
        index: Token(VENUE, index, name, _WRAPPED.get(name, name), spot_pair=in_usdc.get(index)) for index, name in sorted(names.items())
    }
    return tokens, found


def _base_and_quote(row: Obj) -> tuple[int, int]:
    tokens = sequence(row.get("tokens"), "spotMeta.universe.tokens")
    if len(tokens) != 2:
        raise WrongShape("spotMeta.universe.tokens")
    return whole(tokens[0], "spotMeta.universe.tokens"), whole(tokens[1], "spotMeta.universe.tokens")
