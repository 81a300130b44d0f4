"""An account's ledgers between frames: the venue's last word plus the fills and cash flows after it.

A frame is absolute and carries its venue time, so an execution counts on top of it exactly when it happened later. Every
execution and flow is remembered for a while, applied at once, and re-applied to a frame that does not contain it yet.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from dataclasses import dataclass, field

from connectors.events import CashFlow, Fill
from connectors.model import MarginMode, Position, Section

REMEMBERED = 4096
"""Fills and flows kept per account, at least, for de-duplication and re-application."""


@dataclass(slots=True)
class LivePosition:
    """A position now: the frame's, moved by the fills after it."""

    instrument: str
    quantity: float
    margin_mode: MarginMode
    leverage: float
    max_leverage: float
    isolated_cash: float = 0.0
    reported: Position | None = None

    @property
    def isolated(self) -> bool:
        """Whether it holds margin of its own."""
        return self.margin_mode is MarginMode.ISOLATED


@dataclass(slots=True)
class Ledger:
    """One section now. `cash` is the cross part's; `doubt` says which part is a guess until the next frame."""

    name: str
    time_ms: int
    cash: float
    positions: dict[str, LivePosition] = field(default_factory=dict)
    frame: Section | None = None
    doubt: str = ""

    @classmethod
    def of(cls, section: Section) -> Ledger:
        """The ledger exactly as a frame states it."""
        positions = {
            p.instrument: LivePosition(p.instrument, p.quantity, p.margin_mode, p.leverage, p.max_leverage, p.isolated_cash or 0.0, p)
            for p in section.positions
            if p.quantity != 0.0
        }
        return cls(section.name, section.time_ms, section.cash, positions, section)

    def fill(self, fill: Fill, isolated_only: bool, before: Position | None = None) -> float:
        """Apply an execution; returns what it did to the cross cash (in the ledger's token).

        `before` is the last position a frame told of this instrument: one opened anew has its margin mode and leverage.
        """
        assert fill.instrument is not None
        position = self.positions.get(fill.instrument)
        if position is None:
            position = self._opened(fill.instrument, isolated_only, before)
        if fill.start_position is not None and abs(fill.start_position - position.quantity) > 1e-9 * max(1.0, abs(position.quantity)):
            self.doubt = "an execution before this one has not been seen"
        paid = -fill.quantity * fill.price - fill.fee
        if not position.isolated:
            self._trade(position, fill.quantity)
            self.cash += paid
            return paid
        moved = self._isolated_transfer(position, fill)
        position.isolated_cash += paid + moved
        self.doubt = "margin moved with an isolated execution awaits the venue's frame"
        self._trade(position, fill.quantity)
        if fill.instrument not in self.positions:
            moved -= position.isolated_cash
        self.cash -= moved
        return -moved

    def _opened(self, instrument: str, isolated_only: bool, before: Position | None) -> LivePosition:
        # Margin mode and leverage of a new position are not in the execution.
        mode = MarginMode.ISOLATED if isolated_only else MarginMode.CROSS if before is None else before.margin_mode
        leverage, most = (0.0, 0.0) if before is None else (before.leverage, before.max_leverage)
        if before is None:
            self.doubt = "new position awaits the venue's frame"
        position = self.positions[instrument] = LivePosition(instrument, 0.0, mode, leverage, most)
        return position

    def flow(self, flow: CashFlow) -> float:
        """Apply a cash flow; returns what it did to the cross cash."""
        if flow.instrument is not None and self.is_isolated(flow.instrument):
            self.positions[flow.instrument].isolated_cash += flow.amount
            return 0.0
        self.cash += flow.amount
        return flow.amount

    def is_isolated(self, instrument: str | None) -> bool:
        """Whether it holds an isolated position in the instrument."""
        position = self.positions.get(instrument) if instrument else None
        return position is not None and position.isolated

    def _trade(self, position: LivePosition, quantity: float) -> None:
        after = position.quantity + quantity
        if abs(after) <= 1e-12 * max(1.0, abs(position.quantity)):
            del self.positions[position.instrument]
            after = 0.0
        position.quantity = after

    @staticmethod
    def _isolated_transfer(position: LivePosition, fill: Fill) -> float:
        opens = abs(position.quantity + fill.quantity) - abs(position.quantity)
        return opens * fill.price / position.leverage if opens > 0 and position.leverage > 0 else 0.0


class Recent:
    """The executions and flows of an account seen lately, once each, in the order of the venue's time."""

    def __init__(self) -> None:
        self._items: list[Fill | CashFlow] = []
        self._ids: set[str] = set()

    def add(self, item: Fill | CashFlow) -> bool:
        """Remember it; False if it was known already."""
        key = _key(item)
        if key in self._ids:
            return False
        insort(self._items, item, key=_time)
        self._ids.add(key)
        if len(self._items) > 2 * REMEMBERED:
            self._ids.difference_update(_key(old) for old in self._items[:REMEMBERED])
            del self._items[:REMEMBERED]
        return True

    def after(self, time_ms: int) -> list[Fill | CashFlow]:
        """Those later than a venue time, oldest first."""
        return self._items[bisect_right(self._items, time_ms, key=_time) :]


def _key(item: Fill | CashFlow) -> str:
    return item.fill_id if isinstance(item, Fill) else item.flow_id


def _time(item: Fill | CashFlow) -> int:
    return item.time_ms
