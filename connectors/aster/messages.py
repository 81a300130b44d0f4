"""What the user stream pushes: parsed JSON to `connectors.model` values. Pure functions; they raise `WrongShape` naming the field.

Shapes: venue notes 3.2 to 3.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from connectors.aster.reference import Reference, instrument_id
from connectors.aster.words import is_trigger, limit_price, margin_mode, position_side, remaining, side_sign
from connectors.events import LiquidationKind
from connectors.fields import Obj, WrongShape, flag, integer, mapping, number, optional_number, sequence, text
from connectors.model import FuturesAsset, MarginMode, Order, Position, PositionSide

ACCOUNT_UPDATE = "ACCOUNT_UPDATE"
ORDER_TRADE_UPDATE = "ORDER_TRADE_UPDATE"
MARGIN_CALL = "MARGIN_CALL"
ACCOUNT_CONFIG_UPDATE = "ACCOUNT_CONFIG_UPDATE"
LISTEN_KEY_EXPIRED = "listenKeyExpired"
IGNORED_EVENTS = frozenset({"announcement"})
"""Events of the user stream that say nothing about the account."""

TRANSFERS = frozenset({"DEPOSIT", "WITHDRAW", "WITHDRAW_REJECT", "ADMIN_DEPOSIT", "ADMIN_WITHDRAW", "ASSET_TRANSFER"})
"""Reasons of an ACCOUNT_UPDATE for money that comes from outside the futures account, or leaves it."""

_RESTING = frozenset({"NEW", "PARTIALLY_FILLED"})


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """An `ACCOUNT_UPDATE`: the rows it touched, absolute. `time_ms` is the matching time, `event_ms` that of the event.

    `positions` has flat rows too (quantity and mark 0, no entry); a leverage of 0 is not said. `reason` is the venue's word.
    `transfers` is (asset, amount in it) where that word is of money that came in or went out.
    """

    time_ms: int
    event_ms: int
    reason: str
    assets: tuple[FuturesAsset, ...]
    positions: tuple[Position, ...]
    transfers: tuple[tuple[str, float], ...] = ()


def parse_account_update(frame: object, reference: Reference) -> AccountUpdate:
    """An `ACCOUNT_UPDATE` frame."""
    where = ACCOUNT_UPDATE
    top = mapping(frame, where)
    time_ms = integer(top, "T", where)
    body = mapping(top.get("a"), f"{where}.a")
    assets = [mapping(row, f"{where}.B") for row in sequence(body.get("B", []), f"{where}.B")]
    rows = [mapping(row, f"{where}.P") for row in sequence(body.get("P", []), f"{where}.P")]
    reason = text(body, "m", where) if "m" in body else ""
    moved = [(text(row, "a", where), optional_number(row, "bc", f"{where}.B") or 0.0) for row in assets if reason in TRANSFERS]
    return AccountUpdate(
        time_ms=time_ms,
        event_ms=integer(top, "E", where),
        reason=reason,
        assets=tuple(
            FuturesAsset(text(row, "a", where), number(row, "wb", f"{where}.B"), number(row, "cw", f"{where}.B"), time_ms) for row in assets
        ),
        positions=tuple(_pushed(row, time_ms, reference) for row in rows),
        transfers=tuple((asset, amount) for asset, amount in moved if amount != 0.0),
    )


def _pushed(row: Obj, time_ms: int, reference: Reference) -> Position:
    where = f"{ACCOUNT_UPDATE}.P"
    quantity, entry, pnl = number(row, "pa", where), number(row, "ep", where), number(row, "up", where)
    if quantity != 0.0 and entry <= 0.0:
        raise WrongShape(f"{where}.ep")
    mode = margin_mode(row, "mt", where)
    isolated_cash = number(row, "iw", where) - quantity * entry if mode is MarginMode.ISOLATED else None
    return Position(
        instrument=reference.id_of(text(row, "s", where)),
        quantity=quantity,
        mark=entry + pnl / quantity if quantity else 0.0,
        margin_mode=mode,
        entry=entry if quantity else None,
        isolated_cash=isolated_cash,
        reported_unrealized_pnl=pnl,
        side=position_side(row, "ps", where),
        time_ms=time_ms,
    )


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An `ORDER_TRADE_UPDATE`: the order as it is now; `done`: it rests no longer.

    `liquidation` is a sentence ("liquidation of 0.5 BTCUSDT", "ADL of 2 ETHUSDT") where the venue acts for the account, else "";
    `kind` says how it does.
    """

    time_ms: int
    order: Order
    done: bool
    liquidation: str = ""
    kind: LiquidationKind | None = None


def parse_order_update(frame: object) -> OrderUpdate:
    """An `ORDER_TRADE_UPDATE` frame."""
    where = ORDER_TRADE_UPDATE
    top = mapping(frame, where)
    row = mapping(top.get("o"), f"{where}.o")
    status = text(row, "X", where)
    left, closes_all = remaining(row, "q", "z", where), flag(row, "cp", where)
    order = Order(
        instrument=instrument_id(text(row, "s", where)),
        order_id=str(integer(row, "i", where)),
        quantity=side_sign(row, "S", where) * left,
        limit_price=limit_price(row, "p", "sp", where),
        reduce_only=flag(row, "R", where) or closes_all,
        is_trigger=is_trigger(text(row, "o", where)),
    )
    done = status not in _RESTING or (left <= 0.0 and not closes_all)
    kind = _liquidation_kind(row, where)
    size = f"{_plain(number(row, 'q', where))} {text(row, 's', where)}"
    sentence = "" if kind is None else f"{'ADL' if kind is LiquidationKind.ADL else 'liquidation'} of {size}"
    return OrderUpdate(integer(top, "T", where), order, done, sentence, kind)


def _liquidation_kind(row: Obj, where: str) -> LiquidationKind | None:
    client, status = text(row, "c", where), text(row, "X", where)
    if client == "adl_autoclose" or status == "NEW_ADL":
        return LiquidationKind.ADL
    if status == "NEW_INSURANCE":
        return LiquidationKind.BACKSTOP
    forced = client.startswith("autoclose-") or text(row, "o", where) == "LIQUIDATION" or row.get("x") == "CALCULATED"
    return LiquidationKind.LIQUIDATION if forced else None


def parse_margin_call(frame: object, reference: Reference) -> tuple[int, str]:
    """Venue time (ms) and a sentence of a `MARGIN_CALL` frame: which positions, and the margin they need."""
    where = MARGIN_CALL
    top = mapping(frame, where)
    rows = [mapping(row, f"{where}.p") for row in sequence(top.get("p"), f"{where}.p")]
    positions = ", ".join(_called(row, reference) for row in rows)
    wallet = optional_number(top, "cw", where)
    cross = "" if wallet is None else f" (cross wallet {_plain(wallet)})"
    return integer(top, "E", where), f"the venue warns of a high margin ratio: {positions or 'no position named'}{cross}"


def _called(row: Obj, reference: Reference) -> str:
    where = f"{MARGIN_CALL}.p"
    symbol = reference.id_of(text(row, "s", where)).partition(":")[2]
    side = position_side(row, "ps", where)
    leg = symbol if side is PositionSide.BOTH else f"{symbol} {side}"
    amount, profit, margin = (_plain(number(row, key, where)) for key in ("pa", "up", "mm"))
    return f"{amount} {leg} {margin_mode(row, 'mt', where)}, unrealised {profit}, needs {margin}"


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """An `ACCOUNT_CONFIG_UPDATE`: a leverage of one instrument, or the modes of the account; None is not said."""

    time_ms: int
    instrument: str | None = None
    leverage: float | None = None
    multi_assets: bool | None = None
    hedge_mode: bool | None = None


def parse_config_update(frame: object) -> ConfigUpdate:
    """An `ACCOUNT_CONFIG_UPDATE` frame."""
    where = ACCOUNT_CONFIG_UPDATE
    top = mapping(frame, where)
    time_ms = integer(top, "T", where)
    if top.get("ac") is None and top.get("ai") is None:
        raise WrongShape(f"{where}.ac")
    instrument = leverage = multi_assets = hedge_mode = None
    if top.get("ac") is not None:
        row = mapping(top["ac"], f"{where}.ac")
        instrument, leverage = instrument_id(text(row, "s", f"{where}.ac")), number(row, "l", f"{where}.ac")
    if top.get("ai") is not None:
        row = mapping(top["ai"], f"{where}.ai")
        multi_assets, hedge_mode = _optional_flag(row, "j", f"{where}.ai"), _optional_flag(row, "d", f"{where}.ai")
    return ConfigUpdate(time_ms, instrument, leverage, multi_assets, hedge_mode)


def _optional_flag(row: Obj, key: str, where: str) -> bool | None:
    return flag(row, key, where) if row.get(key) is not None else None


def _plain(value: float) -> str:
    # As many digits as the venue wrote: 12345678 is no 1.23457e+07.
    return f"{value:.15g}"
