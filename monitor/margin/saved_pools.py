"""Pools of a snapshot document, ready for the engine that evaluates live ones.

A document's pool is what its writer saw: cash that does not move with marks, collateral with price and ratio, and the positions
it carries. `pools_of` reads those; `engine_of` evaluates them, or any other pools made of the same document, exactly as live
ones are: the same arrays and kernels. Quantities and marks are per 1 coin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from connectors.events import FailureReason, Instruments, SpotPrices
from connectors.model import Instrument, InstrumentKind, MarginTier, PositionSide, PriceBasis, Token
from kernels import distance
from kernels.pool import Floats
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin import aster, deribit, saved_aster, saved_deribit
from monitor.margin.hyperliquid import MODE_WORDS, VENUE, AccountMode, HyperliquidRules
from monitor.margin.pools import CollateralLeg, Leg, PoolSpec
from monitor.margin.result import Failure, PoolKind
from monitor.margin.saved_reported import check_reported
from monitor.market import Market
from monitor.snapshot import AccountRow, InstrumentRow, PoolRow, PositionRow, Snapshot

LEVELS = (0.85, 0.90, 1.0)
"""Warning, critical, and where the venue acts."""

OWN_RULE = frozenset({VENUE, aster.VENUE, deribit.VENUE})
"""Venues whose accounts are liquidated by a rule of their own that this version knows."""

ISOLATED, PORTFOLIO = "iso:", "portfolio"
_HYSTERESIS = 0.02
_OUTSIDE = "in no pool"


@dataclass(frozen=True, slots=True)
class SavedPools:
    """Pools of one account, and what a unit of their collateral is worth in the pool's token, by (pool, asset)."""

    account: AccountRow
    specs: tuple[PoolSpec, ...]
    prices: Mapping[tuple[str, str], float] = field(default_factory=dict)


def mode_of(account: AccountRow) -> AccountMode | None:
    """The Hyperliquid mode of an account, also by the venue's own word; None where it is not told or not known."""
    if account.mode is None or account.mode in set(AccountMode):
        return None if account.mode is None else AccountMode(account.mode)
    return MODE_WORDS.get(account.mode)


def pools_of(snapshot: Snapshot, account: AccountRow, rules: HyperliquidRules | None = None) -> SavedPools:
    """The pools an account of a document carries, by the rule of its mode; what they lack stands in each pool's failures.

    Positions that no pool names make a pool of their own that says so; outcomes, paid in full, need none. On a venue without a
    rule (`OWN_RULE`) a pool is taken as it is described: cash, collateral, tiers, limit.
    """
    listed = {row.id: row for row in snapshot.instruments}
    told = [_spec(row, account, listed, rules or HyperliquidRules()) for row in account.pools]
    prices = {(row.id, asset): price for row in account.pools for asset, price in _prices(row).items()}
    return SavedPools(account, (*told, *_left_over(account, listed)), prices)


def leg_of(row: InstrumentRow, position: PositionRow) -> Leg:
    """A position as a pool's leg. A document does not tell the leverage the account has chosen: 0."""
    side = PositionSide.BOTH if position.side is None else PositionSide(position.side)
    return Leg(row.id, position.quantity, 0.0, tuple(MarginTier(*tier) for tier in row.tiers), side)


def leg_failures(row: InstrumentRow) -> Iterator[Failure]:
    """Why the rule of a pool (equity moves by quantity * mark, margin by tiers) cannot take a position in an instrument."""
    if row.kind in ("option", "outcome") or row.inverse:
        kind = "inverse contract" if row.inverse else row.kind
        yield Failure(FailureReason.UNSUPPORTED_MODE, f"{row.id} is an {kind}: the rule of a pool takes linear contracts only")
        return
    if row.mark is None:
        yield Failure(FailureReason.MISSING_MARK, f"no mark of {row.id}: add it")
    if not row.tiers:
        yield Failure(FailureReason.UNKNOWN_TIER, f"{row.id} has no tiers: add its maintenance margin table")


def engine_of(snapshot: Snapshot, saved: Iterable[SavedPools], levels: tuple[float, float, float] = LEVELS) -> Engine:
    """An engine over some accounts' pools at the document's marks, evaluated. Its clock stands at 0."""
    accounts = list(saved)
    entries = [AccountEntry(one.account.venue, one.account.id, _SavedMethod(one), levels, _HYSTERESIS) for one in accounts]
    engine = Engine(Book(entries))
    book = engine.book
    for venue in dict.fromkeys(one.account.venue for one in accounts):
        of_venue = [one for one in accounts if one.account.venue == venue]
        book.apply(_reference(snapshot, venue, of_venue))
        prices = {asset: price for one in of_venue for (_, asset), price in one.prices.items()}
        book.apply(SpotPrices(venue, "snapshot", 0, prices))
    for row in snapshot.instruments:
        if row.mark is not None:
            book.market.seed_mark(row.id, row.mark, 0)
    for coin, price in snapshot.index.items():
        book.market.seed_mark(saved_deribit.index_id(coin), price, 0)
    book.touch_all()
    engine.evaluate()
    return engine


def weights(engine: Engine, index: int, weight_of: Callable[[str], float]) -> tuple[Floats, Floats]:
    """How far the marks [instrument] and the collateral prices [asset] of a pool go with a move, by the weight of their coin."""
    market, spec, venue = engine.book.market, engine.arrays.specs[index], engine.arrays.scopes[index][0]
    marks, assets = np.zeros(market.prices.mark.shape[0]), np.zeros(market.prices.asset.shape[0])
    for leg in spec.legs:
        marks[market.row(leg.instrument)] = weight_of(market.instruments[leg.instrument].coin)
    for held in spec.collateral:
        if not market.is_at_par(venue, held.asset):
            assets[market.asset_row(venue, held.asset)] = weight_of(market.asset_coin(venue, held.asset))
    return marks, assets


def joint(beta: Mapping[str, float]) -> Callable[[str], float]:
    """The weights of a move of all coins together, each scaled by its beta (1 where it has none)."""
    return lambda coin: beta.get(coin, 1.0)


def alone(name: str) -> Callable[[str], float]:
    """The weights of a move of one coin."""
    return lambda coin: float(coin == name)


def moves_to(engine: Engine, index: int, target: float, weight_of: Callable[[str], float]) -> tuple[float | None, float | None]:
    """(nearest move down, nearest move up) at which a pool's ratio crosses `target`; None where it does not in the scan."""
    arrays, market = engine.arrays, engine.book.market
    held, moving = (arrays.positions, arrays.collateral), weights(engine, index, weight_of)
    prices = market.tiers.arrays, market.prices
    down, up = distance.distance_to_ratio(index, target, distance.SCAN, *moving, *held, *prices, arrays.pools)
    return None if down != down else down, None if up != up else up


def ratios_at(engine: Engine, index: int, moves: Sequence[float], weight_of: Callable[[str], float]) -> tuple[float, ...]:
    """A pool's ratio after each move of prices by `move * weight` of their coin."""
    arrays, market = engine.arrays, engine.book.market
    held, moving = (arrays.positions, arrays.collateral), weights(engine, index, weight_of)
    prices = market.tiers.arrays, market.prices
    return tuple(float(distance.ratio_at_move(index, move, *moving, *held, *prices, arrays.pools)) for move in moves)


class _SavedMethod:
    followed: frozenset[str] = frozenset()

    def __init__(self, saved: SavedPools) -> None:
        self.refresh = ""
        self.failure: Failure | None = None
        self._saved = saved

    def pools(self, market: Market) -> list[PoolSpec]:
        venue, prices = self._saved.account.venue, self._saved.prices
        found = []
        for spec in self._saved.specs:
            # another pool may have been saved at another price: the ratio carries the difference
            shares = {leg.asset: prices[spec.name, leg.asset] / market.asset_price(venue, leg.asset) for leg in spec.collateral}
            made = replace(spec, collateral=[replace(leg, ratio=leg.ratio * shares[leg.asset]) for leg in spec.collateral])
            residual = None
            if spec.kind is PoolKind.ASTER_MULTI_ASSETS:
                residual = saved_aster.residual_of(spec, self._saved.account.positions)
            is_only = len(self._saved.specs) == 1
            check_reported(made, venue, self._saved.account.reported, is_only=is_only, market=market, residual=residual)
            found.append(made)
        return found

    def instruments(self) -> set[str]:
        return {leg.instrument for spec in self._saved.specs for leg in spec.legs}

    def apply(self, *_: object) -> None:
        # nothing happens to a document
        raise RuntimeError(f"an event for the saved account {self._saved.account.id}")


def _spec(row: PoolRow, account: AccountRow, listed: Mapping[str, InstrumentRow], rules: HyperliquidRules) -> PoolSpec:
    spec = PoolSpec(row.id, _kind(row, account), account.mode or "unknown", row.collateral_asset, row.cash, limit=row.limit)
    if spec.kind is PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN:
        spec.borrows, spec.borrow_offset = True, rules.min_borrow_offset
        if "limit" not in row.model_fields_set:
            spec.limit = rules.portfolio_margin_limit
    if spec.kind is PoolKind.ASTER_MULTI_ASSETS:
        spec.tolerance = saved_aster.TOLERANCE
    spec.maintenance, spec.legs = row.maintenance_margin, saved_deribit.legs_of(row)
    failures = list(_mode_failures(row, account))
    shared = Counter(number for pool in account.pools for number in _carried(pool, account))
    carried = _carried(row, account)
    for name in dict.fromkeys(row.positions):
        held = [number for number in carried if account.positions[number].instrument == name]
        spec.legs += [leg_of(listed[name], position) for number in held if (position := account.positions[number]).quantity != 0]
        failures += leg_failures(listed[name])
        if not held:
            detail = f'pool {row.id} names {name}, in which the account has no position: add it to "positions" or take it out of the pool'
            failures.append(Failure(FailureReason.UNKNOWN_INSTRUMENT, detail))
        if (most := max((shared[number] for number in held), default=0)) > 1:
            detail = f"{name} stands in {most} pools of the account: leave it in the one that carries it"
            failures.append(Failure(FailureReason.UNSUPPORTED_MODE, detail))
        if account.venue == aster.VENUE:
            failures += saved_aster.settle_failures(row, spec.kind, listed[name])
        if account.venue == VENUE and listed[name].settle != row.collateral_asset:
            detail = f"{name} settles in {listed[name].settle} and stands in a pool of {row.collateral_asset}, for which there is no rule"
            failures.append(Failure(FailureReason.UNSUPPORTED_MODE, detail))
    prices = _prices(row)
    for leg in row.collateral:
        if leg.price:
            spec.collateral.append(CollateralLeg(leg.asset, leg.amount, leg.ratio * leg.price / prices[leg.asset]))
        elif leg.amount != 0:
            detail = f"no price of the collateral {leg.asset} of pool {row.id}: add it"
            failures.append(Failure(FailureReason.MISSING_PRICE, detail))
    spec.failures = tuple(dict.fromkeys(failures))
    return spec


def _carried(row: PoolRow, account: AccountRow) -> list[int]:
    # the account's positions, by number, that a pool names: on Aster an isolated pool of hedge mode has one side
    side = saved_aster.side_of(row.id) if account.venue == aster.VENUE else None
    return [
        number
        for number, position in enumerate(account.positions)
        if position.instrument in row.positions and side in (None, position.side)
    ]


def _prices(row: PoolRow) -> dict[str, float]:
    # one a pool and asset; what another row of it was saved at is in that row's ratio
    prices: dict[str, float] = {}
    for leg in row.collateral:
        if leg.price:
            prices.setdefault(leg.asset, leg.price)
    return prices


def _kind(row: PoolRow, account: AccountRow) -> PoolKind:
    if account.venue == aster.VENUE:
        return saved_aster.kind_of(row, account)
    if account.venue == deribit.VENUE:
        return saved_deribit.kind_of(row)
    if row.id.startswith(ISOLATED):
        return PoolKind.HYPERLIQUID_ISOLATED
    is_portfolio = account.venue == VENUE and mode_of(account) is AccountMode.PORTFOLIO_MARGIN
    return PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN if is_portfolio else PoolKind.HYPERLIQUID_CROSS


def _mode_failures(row: PoolRow, account: AccountRow) -> Iterator[Failure]:
    if account.venue == aster.VENUE:
        yield from saved_aster.mode_failures(account)
    if account.venue != VENUE or mode_of(account) is not None:
        return
    known = ", ".join(AccountMode)
    if account.mode is not None:
        yield Failure(FailureReason.UNSUPPORTED_MODE, f'mode "{account.mode}" has no rule here: known are {known}')
    elif row.collateral or row.limit != 1.0:
        detail = f"pool {row.id} has collateral or a limit of its own, and the account no mode: add one of {known}"
        yield Failure(FailureReason.UNSUPPORTED_MODE, detail)


def _left_over(account: AccountRow, listed: Mapping[str, InstrumentRow]) -> Iterator[PoolSpec]:
    pooled = {number for row in account.pools for number in _carried(row, account)}
    outside = dict.fromkeys(
        row.instrument
        for number, row in enumerate(account.positions)
        if row.quantity != 0 and listed[row.instrument].kind not in ("spot", "outcome") and number not in pooled
    )
    if not outside or not account.pools or account.venue == deribit.VENUE:
        return
    spec = PoolSpec(_OUTSIDE, PoolKind.HYPERLIQUID_CROSS, account.mode or "unknown", account.pools[0].collateral_asset, 0.0)
    detail = f'{", ".join(outside)}: a position that no pool carries; name it in the "positions" of its pool'
    spec.failures = (Failure(FailureReason.UNSUPPORTED_MODE, detail),)
    yield spec


def _reference(snapshot: Snapshot, venue: str, saved: Sequence[SavedPools]) -> Instruments:
    held = {leg.instrument for one in saved for spec in one.specs for leg in spec.legs}
    instruments = tuple(
        Instrument(
            row.id, venue, symbol_of(row.id), InstrumentKind(row.kind), row.coin, row.settle, dex_of(row.id),
            tiers=tuple(MarginTier(*tier) for tier in row.tiers),
        )
        for row in snapshot.instruments
        if row.kind != "spot" and (row.id in held or row.id.startswith(f"{venue}:"))
    )  # fmt: skip
    coins = {*snapshot.index, *(row.coin for row in snapshot.instruments)}
    exposed = dict.fromkeys(one.coin for account in saved for pool in account.account.pools for one in pool.exposures)
    instruments += tuple(saved_deribit.indices(exposed))
    assets = dict.fromkeys(leg.asset for one in saved for spec in one.specs for leg in spec.collateral)
    tokens = tuple(
        Token(venue, number, asset, coin_of(venue, asset, coins), basis=_basis(venue, asset)) for number, asset in enumerate(assets)
    )
    return Instruments(venue, instruments, {}, tokens, 0)


def _basis(venue: str, asset: str) -> PriceBasis:
    return PriceBasis.PAR if venue == aster.VENUE and saved_aster.is_at_par(asset) else PriceBasis.MEDIAN


def coin_of(venue: str, asset: str, coins: Iterable[str]) -> str:
    """The coin an asset is, which a document does not say: Hyperliquid wraps coins (UBTC is BTC, its notes 7.2), Aster stakes them."""
    known = set(coins)
    if venue == aster.VENUE:
        return saved_aster.coin_of(asset, known)
    is_wrapped = venue == VENUE and asset not in known and asset[:1] == "U" and asset[1:] in known
    return asset[1:] if is_wrapped else asset


def symbol_of(instrument: str) -> str:
    """The venue's name of an instrument, from its id."""
    return instrument.partition(":")[2] or instrument


def dex_of(instrument: str) -> str:
    """The ledger of an instrument, from its id: a Hyperliquid dex, "" the first."""
    return symbol_of(instrument).rpartition(":")[0]
