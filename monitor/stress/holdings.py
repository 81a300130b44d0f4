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
    unlisted: dict[str, None] = field(default_factory=dict)
    entryless: dict[str, None] = field(default_factory=dict)
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

    def replace(self, row: AccountRow) -> list[str]:
        """Take everything anew; returns the instruments that differ from before (all, where hedge mode begins or ends).

        In the order of the account: rows follow it, so that the same input gives the same sums to the last bit.
        """
        before, old_orders, was_hedged = self.positions, self.orders, self.sided > 0
        self.told_row = row.model_copy(update={"positions": (), "orders": ()})
        self.positions = {(position.instrument, position.side): position for position in row.positions if position.quantity != 0}
        self.sided = sum(position.side is not None for position in self.positions.values())
        orders: dict[str, list[OrderRow]] = {}
        for order in row.orders:
            orders.setdefault(order.instrument, []).append(order)
        self.orders = {name: tuple(held) for name, held in orders.items()}
        if was_hedged != (self.sided > 0):
            return list(dict.fromkeys([*self.instruments(), *(name for name, _ in before), *old_orders]))
        changed = [key[0] for key in {**self.positions, **before} if before.get(key) != self.positions.get(key)]
        changed += [name for name in {**self.orders, **old_orders} if old_orders.get(name) != self.orders.get(name)]
        return list(dict.fromkeys(changed))

    def put(self, position: PositionRow) -> list[str]:
        """Take one position (quantity 0: closed); returns the instruments that this touches."""
        key, was_hedged = (position.instrument, position.side), self.sided > 0
        known = self.positions.pop(key, None)
        self.sided -= known is not None and known.side is not None
        if position.quantity != 0:
            self.positions[key] = position
            self.sided += position.side is not None
        if was_hedged == (self.sided > 0):
            return [position.instrument]
        return list(dict.fromkeys([*self.instruments(), position.instrument]))

    def instruments(self) -> list[str]:
        """Every instrument with a position or an order."""
        return list(dict.fromkeys([*(name for name, _ in self.positions), *self.orders]))

    def derive(self, names: Iterable[str], market: StressMarket) -> Iterator[tuple[HoldingKey, Holding | None, Holding]]:
        """Derive the holdings in some instruments anew; yields (key, before, now) of those that changed, an empty one for none."""
        kinds = market.tables.instruments.table["kind"]
        for name in names:
            number = market.instruments.get(name)
            positions = [held for side in (None, "long", "short") if (held := self.positions.get((name, side))) is not None]
            orders = [order for order in self.orders.get(name, ()) if not order.reduce_only and order.quantity != 0]
            self.unlisted.pop(name, None)
            self.entryless.pop(name, None)
            if number is None:
                if (positions or orders) and name not in market.ignored:
                    self.unlisted[name] = None
                continue
            if kinds[number] < layout.OPTION and any(position.entry is None for position in positions):
                self.entryless[name] = None
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
