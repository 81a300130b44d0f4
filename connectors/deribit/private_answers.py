"""What an account's answers and pushes say: summaries of wallets, positions, orders, trades. Shapes: venue notes 2.6 and the recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from connectors.deribit.reference import instrument_id
from connectors.fields import Obj, WrongShape, decimal, flag, mapping, number, optional_number, sequence, text
from connectors.model import CurrencySummary, ListedPosition, Order

SPOT = "spot"
_NO_RIGHTS = ("session", "name", "expires", "ip")
_SIDES = {"buy": 1.0, "sell": -1.0, "zero": 0.0}
_RESTING = ("open", "untriggered")


@dataclass(frozen=True, slots=True)
class Token:
    """A login's answer: how long it lives (seconds), what it may do ("account:read"), and what it is renewed with."""

    expires_s: float
    rights: tuple[str, ...]
    refresh_token: str

    def __repr__(self) -> str:
        return f"Token(expires_s={self.expires_s}, rights={self.rights})"


@dataclass(frozen=True, slots=True)
class Changes:
    """One `user.changes` push: positions and orders that changed (gone ones: quantity 0), and whether the account was liquidated."""

    positions: tuple[ListedPosition, ...]
    orders: tuple[Order, ...]
    gone_orders: tuple[str, ...]
    liquidations: tuple[str, ...]
    time_ms: int


def parse_token(result: object) -> Token:
    """The result of `public/auth`."""
    where = "auth"
    row = mapping(result, where)
    expires_s = number(row, "expires_in", where)
    if not expires_s > 0.0:
        raise WrongShape(f"{where}.expires_in")
    rights = tuple(word for word in text(row, "scope", where).split() if ":" in word and word.partition(":")[0] not in _NO_RIGHTS)
    return Token(expires_s, rights, text(row, "refresh_token", where))


def parse_summaries(result: object) -> list[CurrencySummary]:
    """The result of `private/get_account_summaries`: every wallet."""
    where = "get_account_summaries"
    return [parse_summary(row, where) for row in sequence(mapping(result, where).get("summaries"), f"{where}.summaries")]


def parse_summary(value: object, where: str) -> CurrencySummary:
    """One wallet, as summaries and `user.portfolio` state it alike."""
    row = mapping(value, where)
    parts = [optional_number(row, name, where) for name in ("futures_session_rpl", "futures_session_upl")]
    known = [part for part in parts if part is not None]
    return CurrencySummary(
        currency=text(row, "currency", where),
        margin_model=text(row, "margin_model", where),
        delta_by_index=_by_index(row, "delta_total_map", where),
        gamma_by_index=_by_index(row, "options_gamma_map", where),
        vega_by_index=_by_index(row, "options_vega_map", where),
        total_equity_usd=optional_number(row, "total_equity_usd", where),
        total_margin_balance_usd=optional_number(row, "total_margin_balance_usd", where),
        total_initial_margin_usd=optional_number(row, "total_initial_margin_usd", where),
        total_maintenance_margin_usd=optional_number(row, "total_maintenance_margin_usd", where),
        total_delta_usd=optional_number(row, "total_delta_total_usd", where),
        futures_profit=sum(known) if len(known) == len(parts) else None,
        **{name: number(row, name, where) for name in _FIGURES},
    )


_FIGURES = (
    "equity",
    "balance",
    "margin_balance",
    "initial_margin",
    "maintenance_margin",
    "available_funds",
    "options_value",
    "delta_total",
)


def with_totals(summary: CurrencySummary, newest: CurrencySummary) -> CurrencySummary:
    """A wallet of a cross model with the account's totals of the newest frame: they hold for all, and are never added up."""
    return replace(
        summary,
        total_equity_usd=newest.total_equity_usd,
        total_margin_balance_usd=newest.total_margin_balance_usd,
        total_initial_margin_usd=newest.total_initial_margin_usd,
        total_maintenance_margin_usd=newest.total_maintenance_margin_usd,
        total_delta_usd=newest.total_delta_usd,
    )


def parse_positions(result: object) -> list[ListedPosition]:
    """The result of `private/get_positions`: what is held, without flat rows."""
    rows = (parse_position(row, "get_positions") for row in sequence(result, "get_positions"))
    return [row for row in rows if row is not None and row.quantity != 0.0]


def parse_position(value: object, where: str) -> ListedPosition | None:
    """One position; its sign is that of `direction`. None for spot, which a wallet's balance already tells."""
    row = mapping(value, where)
    if row.get("kind") == SPOT:
        return None
    side = _SIDES.get(text(row, "direction", where))
    if side is None:
        raise WrongShape(f"{where}.direction")
    return ListedPosition(
        instrument=instrument_id(text(row, "instrument_name", where)),
        quantity=side * abs(number(row, "size", where)),
        average_price=optional_number(row, "average_price", where),
        mark=number(row, "mark_price", where),
        index=number(row, "index_price", where),
        delta=optional_number(row, "delta", where) or 0.0,
        gamma=optional_number(row, "gamma", where) or 0.0,
        vega=optional_number(row, "vega", where) or 0.0,
    )


def parse_orders(result: object) -> list[Order]:
    """The result of `private/get_open_orders`."""
    found = (parse_order(row, "get_open_orders") for row in sequence(result, "get_open_orders"))
    return [order for order in found if order.quantity != 0.0]


def parse_order(value: object, where: str) -> Order:
    """One order; its quantity is what is left of it, 0 where it rests no longer."""
    row = mapping(value, where)
    side = _SIDES.get(text(row, "direction", where))
    if not side:
        raise WrongShape(f"{where}.direction")
    state = text(row, "order_state", where)
    left = number(row, "amount", where) - (optional_number(row, "filled_amount", where) or 0.0)
    price = row.get("price")
    if isinstance(price, str):
        # "market_price": a trigger order that becomes a market order
        price = row.get("trigger_price", 0.0)
    return Order(
        instrument=instrument_id(text(row, "instrument_name", where)),
        order_id=text(row, "order_id", where),
        quantity=side * left if state in _RESTING else 0.0,
        limit_price=decimal(price, f"{where}.price"),
        reduce_only=flag(row, "reduce_only", where),
        is_trigger=state == "untriggered",
    )


def parse_changes(value: object) -> Changes:
    """The data of a `user.changes` push."""
    where = "user.changes"
    row = mapping(value, where)
    positions = [parse_position(one, where) for one in _rows(row, "positions", where)]
    orders = [parse_order(one, where) for one in _rows(row, "orders", where)]
    trades = [mapping(one, where) for one in _rows(row, "trades", where)]
    times = [int(optional_number(one, "timestamp", where) or 0) for one in trades]
    return Changes(
        positions=tuple(one for one in positions if one is not None),
        orders=tuple(one for one in orders if one.quantity != 0.0),
        gone_orders=tuple(one.order_id for one in orders if one.quantity == 0.0),
        liquidations=tuple(_liquidation(one, where) for one in trades if _is_liquidated(one)),
        time_ms=max(times, default=0),
    )


def _is_liquidated(trade: Obj) -> bool:
    # M, T or MT: which sides of the trade were under liquidation; ours is `liquidity`, where it is told
    sides, own = trade.get("liquidation"), trade.get("liquidity")
    return isinstance(sides, str) and sides not in ("", "none") and (not isinstance(own, str) or own in sides)


def _liquidation(trade: Obj, where: str) -> str:
    side = "sold" if text(trade, "direction", where) == "sell" else "bought"
    return f"{side} {number(trade, 'amount', where):g} {text(trade, 'instrument_name', where)} at {number(trade, 'price', where):g}"


def _rows(row: Obj, key: str, where: str) -> list[Any]:
    value = row.get(key)
    return [] if value is None else sequence(value, f"{where}.{key}")


def _by_index(row: Obj, key: str, where: str) -> Mapping[str, float]:
    value = row.get(key)
    if value is None:
        return {}
    return {name: decimal(told, f"{where}.{key}") for name, told in mapping(value, f"{where}.{key}").items()}
