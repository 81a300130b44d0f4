"""The venue's words for sides and modes, as ours. They raise `WrongShape` naming the field for any other word."""

from __future__ import annotations

from connectors.fields import Obj, WrongShape, number, optional_number, text
from connectors.model import MarginMode, PositionSide

SIDES = {"BOTH": PositionSide.BOTH, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}

_MODES = {"cross": MarginMode.CROSS, "crossed": MarginMode.CROSS, "isolated": MarginMode.ISOLATED}
# Any other order waits for a price before it enters the book.
_PLAIN_ORDERS = frozenset({"LIMIT", "MARKET", "LIQUIDATION"})


def position_side(row: Obj, key: str, where: str) -> PositionSide:
    """BOTH, LONG or SHORT."""
    side = SIDES.get(text(row, key, where))
    if side is None:
        raise WrongShape(f"{where}.{key}")
    return side


def margin_mode(row: Obj, key: str, where: str) -> MarginMode:
    """`cross` or `isolated`; MARGIN_CALL says `CROSSED`."""
    mode = _MODES.get(text(row, key, where).lower())
    if mode is None:
        raise WrongShape(f"{where}.{key}")
    return mode


def side_sign(row: Obj, key: str, where: str) -> float:
    """+1 for BUY, -1 for SELL."""
    side = row.get(key)
    if side not in ("BUY", "SELL"):
        raise WrongShape(f"{where}.{key}")
    return 1.0 if side == "BUY" else -1.0


def remaining(row: Obj, size: str, done: str, where: str) -> float:
    """What is left of an order's size; 0 for one that closes a whole position."""
    # Rounded: 0.3 - 0.1 is not 0.2 in binary.
    return round(number(row, size, where) - number(row, done, where), 12)


def limit_price(row: Obj, price: str, stop: str, where: str) -> float:
    """An order's price; the trigger price of one that becomes a market order, which has none of its own."""
    return number(row, price, where) or optional_number(row, stop, where) or 0.0


def is_trigger(kind: str) -> bool:
    """Whether an order of that type waits for a price before it rests."""
    return kind not in _PLAIN_ORDERS
