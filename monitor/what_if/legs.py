"""A trade in an account's list of positions: quantity, side of hedge mode, average entry."""

from __future__ import annotations

from typing import Any, Literal

from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID
from monitor.snapshot import AccountRow, PositionRow
from monitor.what_if.changes import ChangeError, PositionChange
from monitor.what_if.draft import is_nothing
from monitor.what_if.prices import Unit


def traded(account: AccountRow, change: PositionChange, unit: Unit, price: float) -> tuple[AccountRow, float]:
    """The account after a trade, and what its plain balance of the settlement asset gains (in that asset).

    The gain is what is realised where entries are told; without them a position is worth quantity * mark, so that all of its
    price goes through the balance. Raises ChangeError.
    """
    side = _side(account, change)
    rows = list(account.positions)
    place = next((n for n, row in enumerate(rows) if row.instrument == change.instrument and row.side == side), None)
    before = rows[place] if place is not None else None
    quantity = (before.quantity if before else 0.0) + change.quantity
    if before is not None and is_nothing(quantity, before.quantity, change.quantity):
        quantity = 0.0
    _keep_sign(side, quantity, before)
    entry = _entry(account, before, change.quantity, quantity, price, inverse=unit.row.inverse)
    told: dict[str, Any] = {"quantity": quantity} | ({} if entry is None else {"entry": entry})
    if before is None:
        named: dict[str, Any] = {} if side is None else {"side": side}
        after = PositionRow(instrument=change.instrument, **told, **named)
    else:
        after = before.model_copy(update=told)
    if place is None:
        rows.append(after)
    else:
        rows[place] = after
    kept = tuple(row for row in rows if row is not after or quantity != 0)
    gained = _gained(before, after, change.quantity, price, unit)
    return account.model_copy(update={"positions": kept}), gained


def _side(account: AccountRow, change: PositionChange) -> Literal["long", "short"] | None:
    if change.side is not None and account.venue in (DERIBIT, HYPERLIQUID):
        raise ChangeError("side", f"{account.venue} has no hedge mode: leave the side out")
    if not account.positions or account.hedge_mode == (change.side is not None):
        return change.side
    if change.side is None:
        raise ChangeError("side", f'account {account.id} is in hedge mode: name the side that the trade is of, "long" or "short"')
    raise ChangeError("side", f"account {account.id} holds one net position of an instrument: leave the side out")


def _keep_sign(side: str | None, quantity: float, before: PositionRow | None) -> None:
    if side is not None and quantity * (1 if side == "long" else -1) < 0:
        held = abs(before.quantity) if before else 0.0
        other = "short" if side == "long" else "long"
        message = f'the {side} side holds {held:g}, and this would leave it at {quantity:g}: trade at most that, or name the side "{other}"'
        raise ChangeError("quantity", message)


def _entry(account: AccountRow, before: PositionRow | None, traded: float, after: float, price: float, *, inverse: bool) -> float | None:
    if before is None:
        # as the account's others have it: live accounts in pools tell no entries, and their cash stands for them
        untold = any(row.entry is None for row in account.positions) or (not account.positions and bool(account.pools))
        return None if untold and account.equity is not None else price
    if before.entry is None or before.quantity == 0:
        return before.entry
    if before.quantity * traded > 0:
        if inverse:
            return after / (before.quantity / before.entry + traded / price)
        return (before.quantity * before.entry + traded * price) / after
    return before.entry if before.quantity * after >= 0 else price


def _gained(before: PositionRow | None, after: PositionRow, traded: float, price: float, unit: Unit) -> float:
    if unit.is_option:
        return -unit.paid(traded, price)
    held = 0.0 if before is None else before.quantity
    if unit.row.inverse:
        # one without an entry stands as if entered at the mark
        then = unit.price if before is None or not before.entry else before.entry
        now = after.entry or unit.price
        return held / then + traded / price - after.quantity / now
    then = 0.0 if before is None else before.entry or 0.0
    return after.quantity * (after.entry or 0.0) - held * then - unit.paid(traded, price)
