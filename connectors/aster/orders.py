"""Resting orders of one account: read now and then, kept current by what the stream tells of each order. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from connectors.aster.messages import OrderUpdate
from connectors.aster.state import WINDOW_MS
from connectors.model import Order

MOST_ENDED = 20_000
"""Ended orders that are remembered until a read confirms them, so that an older update does not bring them back."""

_Key = tuple[str, str]


class OpenOrders:
    """Orders by (instrument, order id). `changed`: they differ from what `take` gave last; `complete`: there was a read."""

    def __init__(self) -> None:
        self.changed = False
        self.complete = False
        self._resting: dict[_Key, tuple[int, Order]] = {}
        self._ended: dict[_Key, int] = {}

    def update(self, update: OrderUpdate) -> bool:
        """Take an order's state; whether anything is different now. A state older than the known one is ignored, an end never."""
        key = (update.order.instrument, update.order.order_id)
        known = self._resting.get(key)
        if key in self._ended:
            return False
        if update.done:
            # Final, however late it is told.
            self._resting.pop(key, None)
            self._ended[key] = update.time_ms
            if len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]
            different = known is not None
        elif known is not None and update.time_ms < known[0]:
            return False
        else:
            self._resting[key] = update.time_ms, update.order
            different = known is None or known[1] != update.order
        self.changed |= different
        return different

    def read(self, began_ms: int, orders: Iterable[Order]) -> None:
        """Take a read asked for at `began_ms` (venue time): it holds whatever was told more than `WINDOW_MS` before."""
        settled_ms = began_ms - WINDOW_MS
        self._ended = {key: time_ms for key, time_ms in self._ended.items() if time_ms >= settled_ms}
        resting = {key: (settled_ms, order) for order in orders if (key := (order.instrument, order.order_id)) not in self._ended}
        resting.update({key: row for key, row in self._resting.items() if row[0] > settled_ms})
        before = {key: order for key, (_, order) in self._resting.items()}
        self.changed |= not self.complete or before != {key: order for key, (_, order) in resting.items()}
        self._resting, self.complete = resting, True

    def take(self) -> tuple[Order, ...]:
        """The resting orders now; they count as told."""
        self.changed = False
        return tuple(order for _, order in self._resting.values())
