"""Our figure beside every figure of the venue, for one account read at one instant.

The same path as live: a REST snapshot goes through the book and the engine. `marginwatch verify` shows it for a live
account, `make parity` for every recorded one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from connectors.events import AccountSnapshot, BorrowReserves, Instruments, MarkPrices, SpotPrices
from connectors.model import Order, Position, Section
from monitor.book import AccountEntry, Book
from monitor.engine import Engine
from monitor.margin.hyperliquid import VENUE, HyperliquidAccount, HyperliquidRules
from monitor.margin.pools import PoolSpec
from monitor.margin.result import PoolResult

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
    book = Book([AccountEntry(VENUE, snapshot.account, account, (0.85, 0.90, 1.0), 0.02)])
    engine = Engine(book)
    book.apply(instruments)
    for event in (reserves, spot):
        if event is not None:
            book.apply(event)
    positions = {position.instrument: position for section in snapshot.sections for position in section.positions}
    unknown = [math.nan] * len(positions)
    book.apply(MarkPrices(VENUE, "rest", snapshot.received_ns, list(positions), [p.mark for p in positions.values()], unknown, unknown))
    book.apply(snapshot)
    engine.evaluate()
    rows = _compared(book) + _liquidations(engine, positions)
    if orders is not None and account.mode is not None and account.mode.value == "standard":
        rows += [_withdrawable(section, orders) for section in snapshot.sections if section.reported_withdrawable is not None]
    specs = tuple(sorted(book.arrays.specs.values(), key=lambda spec: spec.name))
    prices = {leg.asset: book.market.asset_price(VENUE, leg.asset) for spec in specs for leg in spec.collateral}
    return SideBySide(tuple(engine.results(snapshot.received_ns)), tuple(rows), specs, prices)


def _compared(book: Book) -> list[Row]:
    return [
        Row(spec.name, c.figure, c.computed, c.reported, ANCHORS[c.figure], max(1, len(spec.legs)))
        for spec in sorted(book.arrays.specs.values(), key=lambda spec: spec.name)
        for c in spec.comparisons
        if c.figure in ANCHORS
    ]


def _liquidations(engine: Engine, positions: dict[str, Position]) -> list[Row]:
    rows = []
    for ((_, _, pool), instrument), price in sorted(engine.liquidation_prices().items()):
        told = positions[instrument].reported_liquidation_price
        if told is not None:
            symbol = instrument.partition(":")[2]
            count = next(len(spec.legs) for spec in engine.arrays.specs.values() if spec.name == pool)
            anchor = "equity, margin of its pool"
            held = positions[instrument]
            rows.append(Row(pool, f"liquidation_price {symbol}", price, told, anchor, count, abs(held.quantity), abs(told - held.mark)))
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
    return Row(
        section.name or "main", "withdrawable", ours, section.reported_withdrawable or 0.0, ANCHORS["withdrawable"], max(1, len(cross))
    )
