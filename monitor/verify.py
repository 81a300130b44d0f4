"""Our figure beside every figure of the venue, for one account read at one instant.

The same path as live: a REST snapshot goes through the book and the engine. `marginwatch verify` shows it for a live
account, `make parity` for every recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from connectors.events import AccountSnapshot, BorrowReserves, Event, FuturesSnapshot, Instruments, MarkPrices, SpotPrices
from connectors.model import Order, Position, PositionSide, Section
from monitor.book import AccountEntry, AccountMethod, Book
from monitor.engine import Engine
from monitor.margin import aster
from monitor.margin.hyperliquid import VENUE, HyperliquidAccount, HyperliquidRules
from monitor.margin.pools import PoolSpec
from monitor.margin.result import PoolKind, PoolResult
from monitor.reconcile import TOLERANCE

ANCHORS = {
    "maintenance_margin": "positions, margin tables",
    "initial_margin": "positions, leverage",
    "equity": "cash, positions",
    "available": "wallet total, positions",
    "portfolio_margin_ratio": "positions, available",
    "collateral": "live price (venue's from available)",
    "withdrawable": "cash, positions, orders",
}
"""What each computed figure rests on; never the figure it is compared with."""

VALUATION = "wallets, indexes, collateral ratios"
"""The same for the equity of Aster's multi-assets mode."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of one pool: ours and the venue's, in the venue's unit.

    `positions` is how many positions the pool has, `size` the absolute quantity a liquidation price belongs to
    and `move` its distance from the mark (both 0 for other figures).
    """

    pool: str
    figure: str
    ours: float
    venue: float
    anchored_on: str
    positions: int
    size: float = 0.0
    move: float = 0.0
    tolerance: float = TOLERANCE
    """Relative difference up to which both are taken to say the same."""
    least: float = 1.0
    """The difference is relative to the venue's figure, but to no less than this: dust does not count."""

    @property
    def difference(self) -> float:
        """ours - venue."""
        return self.ours - self.venue


@dataclass(frozen=True, slots=True)
class SideBySide:
    """An account's pools as we see them, and every figure the venue gives that we compute too."""

    pools: tuple[PoolResult, ...]
    rows: tuple[Row, ...]
    specs: tuple[PoolSpec, ...]
    prices: dict[str, float]
    """Collateral prices used, by asset."""


def side_by_side(
    instruments: Instruments,
    snapshot: AccountSnapshot,
    *,
    rules: HyperliquidRules | None = None,
    reserves: BorrowReserves | None = None,
    spot: SpotPrices | None = None,
    orders: tuple[Order, ...] | None = None,
) -> SideBySide:
    """Evaluate a snapshot at the marks it was itself computed with, and pair what both sides state.

    `orders` None means not read: figures that depend on resting orders are then left out.
    """
    account = HyperliquidAccount(snapshot.account, rules)
    positions = [position for section in snapshot.sections for position in section.positions]
    before = [instruments, *(event for event in (reserves, spot) if event is not None)]
    engine = _evaluated(VENUE, account, snapshot, before, positions)
    rows = _compared(engine.book) + _liquidations(engine, positions)
    if orders is not None and account.mode is not None and account.mode.value == "standard":
        rows += [_withdrawable(section, orders) for section in snapshot.sections if section.reported_withdrawable is not None]
    return _seen(VENUE, engine, rows, snapshot.received_ns)


def side_by_side_futures(
    instruments: Instruments, snapshot: FuturesSnapshot, *, rules: aster.AsterRules | None = None, marks: MarkPrices | None = None
) -> SideBySide:
    """The same for a read of an Aster account, at the marks it was itself computed with.

    `marks` give the indexes of the collateral in multi-assets mode; without them such an account has no value.
    """
    account = aster.AsterAccount(snapshot.account, rules)
    read = snapshot.state.read
    engine = _evaluated(aster.VENUE, account, snapshot, [instruments, *([] if marks is None else [marks])], read.positions)
    rows = _compared(engine.book) + _liquidations(engine, read.positions)
    return _seen(aster.VENUE, engine, rows, snapshot.received_ns)


def _evaluated(
    venue: str,
    method: AccountMethod,
    snapshot: AccountSnapshot | FuturesSnapshot,
    before: Iterable[Event],
    positions: Iterable[Position],
) -> Engine:
    book = Book([AccountEntry(venue, snapshot.account, method, (0.85, 0.90, 1.0), 0.02)])
    engine = Engine(book)
    for event in before:
        book.apply(event)
    marks = {position.instrument: position.mark for position in positions}
    unknown = [math.nan] * len(marks)
    book.apply(MarkPrices(venue, "rest", snapshot.received_ns, list(marks), list(marks.values()), unknown, unknown))
    book.apply(snapshot)
    engine.evaluate()
    return engine


def _seen(venue: str, engine: Engine, rows: list[Row], now_ns: int) -> SideBySide:
    specs = tuple(sorted(engine.arrays.specs.values(), key=lambda spec: spec.name))
    prices = {leg.asset: engine.book.market.asset_price(venue, leg.asset) for spec in specs for leg in spec.collateral}
    return SideBySide(tuple(engine.results(now_ns)), tuple(rows), specs, prices)


def _compared(book: Book) -> list[Row]:
    return [
        Row(
            spec.name,
            c.figure,
            c.computed,
            c.reported,
            _anchor(spec, c.figure),
            max(1, len(spec.legs)),
            tolerance=spec.tolerance or TOLERANCE,
        )
        for spec in sorted(book.arrays.specs.values(), key=lambda spec: spec.name)
        for c in spec.comparisons
        if c.figure in ANCHORS
    ]


def _anchor(spec: PoolSpec, figure: str) -> str:
    return VALUATION if spec.kind is PoolKind.ASTER_MULTI_ASSETS and figure == "equity" else ANCHORS[figure]


def _liquidations(engine: Engine, positions: Iterable[Position]) -> list[Row]:
    by_leg = {(position.instrument, position.side): position for position in positions}
    rows = []
    for ((_, _, pool), instrument, side), price in sorted(engine.liquidation_prices().items()):
        held = by_leg.get((instrument, side))
        if held is not None and (told := held.reported_liquidation_price) is not None:
            symbol = instrument.partition(":")[2]
            figure = f"liquidation_price {symbol if side is PositionSide.BOTH else f'{symbol}:{side.name}'}"
            count = next(len(spec.legs) for spec in engine.arrays.specs.values() if spec.name == pool)
            anchor = "equity, margin of its pool"
            rows.append(Row(pool, figure, price, told, anchor, count, abs(held.quantity), abs(told - held.mark)))
    return rows


def _withdrawable(section: Section, orders: tuple[Order, ...]) -> Row:
    # Hyperliquid notes 4.4: equity - max(initial margin, 10 % of notional) - margin of orders that would increase a position
    cross = [position for position in section.positions if position.isolated_cash is None]
    held = {position.instrument: position for position in cross}
    value = sum(position.quantity * position.mark for position in cross)
    notional = sum(abs(position.quantity * position.mark) for position in cross)
    initial = sum(abs(position.quantity * position.mark) / position.leverage for position in cross if position.leverage > 0)
    reserved = 0.0
    for order in orders:
        position = held.get(order.instrument)
        if position is not None and not order.reduce_only and not order.is_trigger and order.quantity * position.quantity > 0:
            reserved += abs(order.quantity) * order.limit_price / position.leverage
    ours = max(0.0, section.cash + value - max(initial, 0.1 * notional) - reserved)
    told = section.reported_withdrawable or 0.0
    # the factor of the margin of resting orders is unconfirmed
    return Row(section.name or "main", "withdrawable", ours, told, ANCHORS["withdrawable"], max(1, len(cross)), tolerance=0.02)
