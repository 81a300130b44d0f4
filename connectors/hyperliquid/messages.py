"""Wire shapes: parsed JSON to `connectors.model` values. Pure functions; they raise `WrongShape` naming the field.

Shapes and field algebra: the venue's info-endpoint and WebSocket pages, checked against recordings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connectors.events import BorrowReserve, MarkPrices
from connectors.fields import (
    Obj,
    WrongShape,
    decimal,
    flag,
    integer,
    mapping,
    number,
    optional_number,
    pairs,
    sequence,
    text,
    whole,
)
from connectors.hyperliquid.reference import VENUE, Reference, instrument_id, is_perpetual
from connectors.model import Balance, MarginMode, Order, Position, Section, Wallet

DEFAULT_MODE = "default"


def parse_section(dex: str, value: object) -> Section:
    """A dex's ledger from a `clearinghouseState` object.

    `cash` is `crossMarginSummary.totalRawUsd`: it is never derived, a summary without it is a wrong shape. In the shape of
    2023, which had neither a time nor a maintenance figure, `time_ms` is 0 and that figure None.
    """
    where = "clearinghouseState"
    state = mapping(value, where)
    summary = mapping(state.get("crossMarginSummary"), f"{where}.crossMarginSummary")
    rows = sequence(state.get("assetPositions"), f"{where}.assetPositions")
    positions = [_position(row) for row in rows]
    legacy = "time" not in state and "crossMaintenanceMarginUsed" not in state
    return Section(
        name=dex,
        time_ms=0 if legacy else integer(state, "time", where),
        cash=number(summary, "totalRawUsd", f"{where}.crossMarginSummary"),
        positions=tuple(position for position in positions if position is not None),
        reported_equity=number(summary, "accountValue", f"{where}.crossMarginSummary"),
        reported_maintenance_margin=optional_number(state, "crossMaintenanceMarginUsed", where),
        reported_withdrawable=optional_number(state, "withdrawable", where),
    )


def parse_sections(value: object) -> tuple[Section, ...]:
    """All ledgers from the list of [dex, state] pairs of an `allDexsClearinghouseState` frame."""
    found: list[Section] = []
    for name, state in pairs(value, "clearinghouseStates"):
        if not isinstance(name, str):
            raise WrongShape("clearinghouseStates.dex")
        found.append(parse_section(name, state))
    return tuple(found)


def _position(value: object) -> Position | None:
    where = "assetPositions.position"
    row = mapping(mapping(value, "assetPositions").get("position"), where)
    quantity = number(row, "szi", where)
    if quantity == 0.0:
        return None
    leverage = mapping(row.get("leverage"), f"{where}.leverage")
    mode = _margin_mode(leverage)
    return Position(
        instrument=instrument_id(text(row, "coin", where)),
        quantity=quantity,
        mark=number(row, "positionValue", where) / abs(quantity),
        margin_mode=mode,
        entry=optional_number(row, "entryPx", where),
        leverage=number(leverage, "value", f"{where}.leverage"),
        isolated_cash=number(leverage, "rawUsd", f"{where}.leverage") if mode is MarginMode.ISOLATED else None,
        max_leverage=optional_number(row, "maxLeverage", where) or 0.0,
        reported_liquidation_price=optional_number(row, "liquidationPx", where),
        reported_margin_used=optional_number(row, "marginUsed", where),
        reported_unrealized_pnl=optional_number(row, "unrealizedPnl", where),
    )


def _margin_mode(leverage: Obj) -> MarginMode:
    try:
        return MarginMode(leverage["type"])
    except (KeyError, ValueError, TypeError):
        raise WrongShape("assetPositions.position.leverage.type") from None


def parse_contexts(value: object, received_ns: int) -> MarkPrices:
    """Marks, oracle prices and hourly funding rates of a dex from a `metaAndAssetCtxs` answer: a meta and contexts in its order.

    Contexts that lack one of them are left out.
    """
    where = "metaAndAssetCtxs"
    parts = sequence(value, where)
    if len(parts) != 2:
        raise WrongShape(where)
    universe = sequence(mapping(parts[0], where).get("universe"), f"{where}.universe")
    contexts = sequence(parts[1], f"{where}.contexts")
    if len(universe) != len(contexts):
        raise WrongShape(f"{where}.contexts")
    told = MarkPrices(VENUE, where, received_ns, [], [], [], [])
    for listed, context in zip(universe, contexts, strict=True):
        name, row = text(mapping(listed, where), "name", f"{where}.universe"), mapping(context, f"{where}.contexts")
        figures = [optional_number(row, key, f"{where}.contexts") for key in ("markPx", "oraclePx", "funding")]
        known = [figure for figure in figures if figure is not None]
        if len(known) == len(figures):
            told.instruments.append(instrument_id(name))
            for column, figure in zip((told.marks, told.indices, told.funding), known, strict=True):
                column.append(figure)
    return told


def parse_candles(value: object, before_ms: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Closing times and prices of a `candleSnapshot` answer, oldest first, without the candle that still ran at `before_ms`.

    Times are the venue's ms, prices those of its own contract unit. Raises WrongShape unless times rise and prices are positive.
    """
    where = "candleSnapshot"
    rows = [mapping(row, where) for row in sequence(value, where)]
    closed = sorted((integer(row, "T", where), number(row, "c", where)) for row in rows)
    closed = [(time_ms, close) for time_ms, close in closed if time_ms < before_ms]
    times = tuple(time_ms for time_ms, _ in closed)
    if len(set(times)) != len(times):
        raise WrongShape(f"{where}.T")
    if any(close <= 0.0 for _, close in closed):
        raise WrongShape(f"{where}.c")
    return times, tuple(close for _, close in closed)


def parse_wallet(value: object, *, complete: bool) -> Wallet:
    """The spot wallet from a `spotClearinghouseState` object (`complete`) or the inside of a `spotState` frame (not).

    Outcome rows (`+92260`) carry no token number. The portfolio-margin fields are None where an incomplete source leaves
    them out; a complete one that leaves `portfolioMarginEnabled` out means False.
    """
    where = "spotState"
    state = mapping(value, where)
    available = pairs(state.get("tokenToAvailableAfterMaintenance", []), f"{where}.tokenToAvailableAfterMaintenance")
    enabled = flag(state, "portfolioMarginEnabled", where) if complete or "portfolioMarginEnabled" in state else None
    return Wallet(
        balances=tuple(_balance(row) for row in sequence(state.get("balances"), f"{where}.balances")),
        available_after_maintenance={whole(token, where): decimal(amount, f"{where}.tokenToAvailable") for token, amount in available},
        portfolio_margin_enabled=enabled,
        portfolio_margin_ratio=optional_number(state, "portfolioMarginRatio", where),
        complete=complete,
    )


def _balance(value: object) -> Balance:
    where = "balances"
    row = mapping(value, where)
    return Balance(
        asset=text(row, "coin", where),
        token=integer(row, "token", where) if row.get("token") is not None else None,
        total=number(row, "total", where),
        hold=optional_number(row, "hold", where) or 0.0,
        supplied=optional_number(row, "supplied", where),
        borrowed=optional_number(row, "borrowed", where),
        ltv=optional_number(row, "ltv", where),
    )


def parse_orders(value: object) -> tuple[Order, ...]:
    """Resting orders on perpetuals from `openOrders` rows; spot and outcome orders are left out, children of triggers too.

    Position-level take-profits and stops have quantity 0.
    """
    rows = [mapping(row, "orders") for row in sequence(value, "orders")]
    return tuple(_order(row) for row in rows if is_perpetual(text(row, "coin", "orders")))


def _order(row: Obj) -> Order:
    where = "orders"
    return Order(
        instrument=instrument_id(text(row, "coin", where)),
        order_id=str(integer(row, "oid", where)),
        quantity=side_sign(row, where) * number(row, "sz", where),
        limit_price=number(row, "limitPx", where),
        reduce_only=flag(row, "reduceOnly", where),
        is_trigger=flag(row, "isTrigger", where),
    )


def side_sign(row: Obj, where: str) -> float:
    """+1 for `B` (bid), -1 for `A` (ask)."""
    side = row.get("side")
    if side == "B":
        return 1.0
    if side == "A":
        return -1.0
    raise WrongShape(f"{where}.side")


def parse_mode(value: object) -> str | None:
    """The account mode of a `userAbstraction` answer: a bare string, or None for null."""
    if value is None or isinstance(value, str):
        return value
    raise WrongShape("userAbstraction")


def parse_reserves(value: object, reference: Reference) -> tuple[BorrowReserve, ...]:
    """Lending pools from an `allBorrowLendReserveStates` answer, a list of [token, state] pairs."""
    where = "reserve"
    found: list[BorrowReserve] = []
    for key, state in pairs(value, where):
        token, row = whole(key, where), mapping(state, where)
        price, ltv = number(row, "oraclePx", where), number(row, "ltv", where)
        found.append(BorrowReserve(reference.asset(token), token, price, ltv, number(row, "utilization", where)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class UserRole:
    """What an address is (`user`, `vault`, `agent`, `subAccount`, `missing`) and, for an agent or sub-account, of whom."""

    role: str
    of: str | None = field(default=None, repr=False)


def parse_role(value: object) -> UserRole:
    """A `userRole` answer."""
    row = mapping(value, "userRole")
    data = row.get("data")
    owner: Any = data.get("user") or data.get("master") if isinstance(data, dict) else None
    return UserRole(text(row, "role", "userRole"), owner if isinstance(owner, str) else None)


@dataclass(frozen=True, slots=True)
class SubAccount:
    """A sub-account as its master's `subAccounts2` names it; `mode` None where the answer does not say."""

    name: str
    address: str = field(repr=False)
    mode: str | None


def parse_sub_accounts(value: object) -> tuple[SubAccount, ...]:
    """Sub-accounts of a `subAccounts2` (or `subAccounts`) answer; null means none."""
    where = "subAccounts"
    rows = [mapping(row, where) for row in sequence([] if value is None else value, where)]
    found = []
    for row in rows:
        mode = row.get("abstraction")
        found.append(SubAccount(text(row, "name", where), text(row, "subAccountUser", where), mode if isinstance(mode, str) else None))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault: its name, address, leader and the children it trades through."""

    name: str
    address: str = field(repr=False)
    leader: str = field(repr=False)
    children: tuple[str, ...] = field(default=(), repr=False)
    closed: bool = False


def parse_vault(value: object) -> Vault | None:
    """A `vaultDetails` answer; None where the address is no vault."""
    if value is None:
        return None
    where = "vaultDetails"
    row = mapping(value, where)
    relationship = row.get("relationship")
    data = relationship.get("data") if isinstance(relationship, dict) else None
    children = data.get("childAddresses", []) if isinstance(data, dict) else []
    return Vault(
        name=text(row, "name", where),
        address=text(row, "vaultAddress", where),
        leader=text(row, "leader", where),
        children=tuple(child for child in children if isinstance(child, str)) if isinstance(children, list) else (),
        closed=flag(row, "isClosed", where),
    )


def parse_status(value: object) -> tuple[int, tuple[str, ...]]:
    """Venue time (ms) and special statuses of an `exchangeStatus` answer."""
    row = mapping(value, "exchangeStatus")
    special = row.get("specialStatuses")
    if special is None:
        return integer(row, "time", "exchangeStatus"), ()
    return integer(row, "time", "exchangeStatus"), tuple(str(item) for item in (special if isinstance(special, list) else [special]))
