"""One account as told, and what it holds: positions and orders by instrument, so that a change of one costs one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kernels import layout
from monitor.snapshot import AccountRow, OrderRow, PositionRow
from monitor.stress.legs import Holding
from monitor.stress.market import StressMarket
from monitor.stress.money import Money

HoldingKey = tuple[int, str]
"""(instrument, side); side is empty outside hedge mode."""

SIDES = ("", "long", "short")


@dataclass(slots=True)
class AccountState:
    """An account as last told: `told_row` without positions and orders, which stand by instrument.

    `money` is what its priced balances and debts count. A venue's equity of `told` USD is held against the prices of the next
    evaluation: `anchor` is the part of it that no price moves, None until then (0 where equity is computed). `unlisted` and
    `entryless` are the instruments that were never listed, or are held without an entry that a computed equity needs.
    """

    told_row: AccountRow
    positions: dict[tuple[str, str | None], PositionRow] = field(default_factory=dict)
    orders: dict[str, tuple[OrderRow, ...]] = field(default_factory=dict)
    sided: int = 0
    holdings: dict[HoldingKey, Holding] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    entryless: set[str] = field(default_factory=set)
    money: dict[str, Money] = field(default_factory=dict)
    told: float | None = None
    anchor: float | None = None
    refused: int = layout.OK
    refused_margin: int = layout.OK

    @property
    def row(self) -> AccountRow:
        """The account as a document has it."""
        orders = tuple(order for held in self.orders.values() for order in held)
        return self.told_row.model_copy(update={"positions": tuple(self.positions.values()), "orders": orders})

    def replace(self, row: AccountRow) -> set[str]:
        """Take everything anew; returns the instruments that differ from before (all, where hedge mode begins or ends)."""
        before, old_orders, was_hedged = self.positions, self.orders, self.sided > 0
        self.told_row = row.model_copy(update={"positions": (), "orders": ()})
        self.positions = {(position.instrument, position.side): position for position in row.positions if position.quantity != 0}
        self.sided = sum(position.side is not None for position in self.positions.values())
        orders: dict[str, list[OrderRow]] = {}
        for order in row.orders:
            orders.setdefault(order.instrument, []).append(order)
        self.orders = {name: tuple(held) for name, held in orders.items()}
        if was_hedged != (self.sided > 0):
            return self.instruments() | {name for name, _ in before} | set(old_orders)
        changed = {key[0] for key in {**before, **self.positions} if before.get(key) != self.positions.get(key)}
        return changed | {name for name in {**old_orders, **self.orders} if old_orders.get(name) != self.orders.get(name)}

    def put(self, position: PositionRow) -> set[str]:
        """Take one position (quantity 0: closed); returns the instruments that this touches."""
        key, was_hedged = (position.instrument, position.side), self.sided > 0
        known = self.positions.pop(key, None)
        self.sided -= known is not None and known.side is not None
        if position.quantity != 0:
            self.positions[key] = position
            self.sided += position.side is not None
        return {position.instrument} if was_hedged == (self.sided > 0) else self.instruments() | {position.instrument}

    def instruments(self) -> set[str]:
        """Every instrument with a position or an order."""
        return {name for name, _ in self.positions} | set(self.orders)

    def derive(self, names: Iterable[str], market: StressMarket) -> Iterator[tuple[HoldingKey, Holding | None, Holding]]:
        """Derive the holdings in some instruments anew; yields (key, before, now) of those that changed, an empty one for none."""
        kinds = market.tables.instruments.table["kind"]
        for name in names:
            number = market.instruments.get(name)
            positions = [held for side in (None, "long", "short") if (held := self.positions.get((name, side))) is not None]
            orders = [order for order in self.orders.get(name, ()) if not order.reduce_only and order.quantity != 0]
            self.unlisted.discard(name)
            self.entryless.discard(name)
            if number is None:
                if (positions or orders) and name not in market.ignored:
                    self.unlisted.add(name)
                continue
            if kinds[number] != layout.OPTION and any(position.entry is None for position in positions):
                self.entryless.add(name)
            yield from self._compare(number, positions, orders)

    def _compare(
        self, number: int, positions: list[PositionRow], orders: list[OrderRow]
    ) -> Iterator[tuple[HoldingKey, Holding | None, Holding]]:
        found: dict[str, Holding] = {}
        for position in positions:
            side = position.side or self._side(position.quantity)
            known = self.holdings.get((number, side))
            entry = position.entry
            if entry is None and known is not None and known.quantity == position.quantity:
                entry = known.entry  # one that was put in for it
            found[side] = Holding(position.quantity, entry)
        for order in orders:
            found.setdefault(self._side(order.quantity), Holding()).orders.append(order)
        for side in SIDES:
            key = (number, side)
            before, now = self.holdings.get(key), found.get(side)
            if before == now:
                continue
            if now is None:
                del self.holdings[key]
            else:
                self.holdings[key] = now
            yield key, before, now or Holding()

    def _side(self, quantity: float) -> str:
        if not self.sided:
            return ""
        return "long" if quantity >= 0 else "short"
