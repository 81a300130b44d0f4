"""The snapshot document as typed values: times in whole seconds, numbers as floats, positions and orders joined to legs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

SECONDS_A_DAY = 86400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Instrument:
    """One listed contract; numbers None while unknown, `expiry` in whole seconds since 1970."""

    id: str
    kind: str
    coin: str
    settle: str
    inverse: bool
    mark: float | None
    expiry: int | None
    call: bool
    strike: float
    forward: float | None
    iv: float | None


@dataclass(frozen=True)
class Order:
    """A resting order that may open or grow a position."""

    quantity: float
    limit_price: float


@dataclass(frozen=True)
class Leg:
    """One (account, instrument, and in hedge mode side): its position and its resting orders."""

    account: str
    instrument: Instrument
    side: str | None
    quantity: float = 0.0
    entry: float | None = None
    orders: tuple[Order, ...] = ()

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What tells the leg from all others."""
        return (self.account, self.instrument.id, self.side)


@dataclass(frozen=True)
class Balance:
    """A balance of one asset; `ratio` None while unknown."""

    asset: str
    total: float
    ratio: float | None
    eligible_hedge: bool


@dataclass(frozen=True)
class Debt:
    """Something borrowed; rates None take the parameter set's."""

    asset: str
    amount: float
    mm_rate: float | None
    im_rate: float | None


@dataclass(frozen=True)
class Account:
    """One account of one venue."""

    id: str
    venue: str
    equity: float | None = None
    spot_hedging: bool = False
    hedge_cap: dict[str, float] = field(default_factory=dict)
    balances: tuple[Balance, ...] = ()
    debts: tuple[Debt, ...] = ()
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True)
class Book:
    """A whole snapshot; `portfolios` maps each portfolio to its accounts."""

    as_of: int
    fx: dict[str, float]
    index: dict[str, float]
    beta: dict[str, float]
    volume: dict[str, float]
    daily_volatility: dict[str, float]
    instruments: dict[str, Instrument]
    accounts: dict[str, Account]
    portfolios: dict[str, tuple[Account, ...]]


def whole_seconds(time: int | str) -> int:
    """Milliseconds or ISO 8601 (UTC where it names no zone), floored to seconds since 1970."""
    if isinstance(time, int):
        return time // 1000
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)


def utc_date(seconds: int) -> str:
    """The UTC date of a time in seconds since 1970."""
    return (_EPOCH + timedelta(seconds=seconds)).date().isoformat()


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return None if value is None else float(value)


def _numbers(document: dict[str, Any], key: str) -> dict[str, float]:
    return {name: float(value) for name, value in document.get(key, {}).items() if value is not None}


def _instrument(row: dict[str, Any]) -> Instrument:
    expiry = row.get("expiry")
    return Instrument(
        id=row["id"],
        kind=row["kind"],
        coin=row["coin"],
        settle=row["settle"],
        inverse=row.get("inverse", False),
        mark=_number(row, "mark"),
        expiry=None if expiry is None else whole_seconds(expiry),
        call=row.get("option_type") == "call",
        strike=_number(row, "strike") or 0.0,
        forward=_number(row, "forward"),
        iv=_number(row, "iv"),
    )


def _side(row: dict[str, Any], quantity: float, hedge_mode: bool) -> str | None:
    return (row.get("side") or ("long" if quantity >= 0.0 else "short")) if hedge_mode else None


def _legs(account: dict[str, Any], instruments: dict[str, Instrument]) -> Iterator[Leg]:
    hedge_mode = any(row.get("side") for row in account.get("positions", []))
    legs: dict[tuple[str, str | None], Leg] = {}
    for row in account.get("positions", []):
        quantity = float(row["quantity"])
        leg = Leg(account["id"], instruments[row["instrument"]], _side(row, quantity, hedge_mode), quantity, _number(row, "entry"))
        if (leg.instrument.id, leg.side) in legs:
            raise ValueError(f"account {account['id']}: two positions of {leg.instrument.id} {leg.side or ''}")
        legs[leg.instrument.id, leg.side] = leg
    orders: dict[tuple[str, str | None], list[Order]] = {}
    for row in account.get("orders", []):
        if row.get("reduce_only", False):
            continue
        quantity = float(row["quantity"])
        key = (row["instrument"], _side({}, quantity, hedge_mode))
        legs.setdefault(key, Leg(account["id"], instruments[row["instrument"]], key[1]))
        orders.setdefault(key, []).append(Order(quantity, float(row["limit_price"])))
    for key, leg in legs.items():
        found = tuple(orders.get(key, ()))
        if leg.instrument.kind != "spot" and (leg.quantity != 0.0 or found):
            yield Leg(leg.account, leg.instrument, leg.side, leg.quantity, leg.entry, found)


def _account(row: dict[str, Any], instruments: dict[str, Instrument]) -> Account:
    return Account(
        id=row["id"],
        venue=row["venue"],
        equity=_number(row, "equity"),
        spot_hedging=row.get("spot_hedging", False),
        hedge_cap=_numbers(row, "hedge_cap"),
        balances=tuple(
            Balance(item["asset"], float(item["total"]), _number(item, "collateral_ratio"), item.get("eligible_hedge", False))
            for item in row.get("balances", [])
        ),
        debts=tuple(
            Debt(item["asset"], float(item["amount"]), _number(item, "mm_rate"), _number(item, "im_rate")) for item in row.get("debts", [])
        ),
        legs=tuple(_legs(row, instruments)),
    )


def parse(document: dict[str, Any]) -> Book:
    """The snapshot of spec report_format; raises KeyError or ValueError where it is not one."""
    instruments = {row["id"]: _instrument(row) for row in document.get("instruments", [])}
    accounts = {row["id"]: _account(row, instruments) for row in document.get("accounts", [])}
    return Book(
        as_of=whole_seconds(document["as_of"]),
        fx=_numbers(document, "fx"),
        index=_numbers(document, "index"),
        beta=_numbers(document, "beta"),
        volume=_numbers(document, "volume_24h_usd"),
        daily_volatility=_numbers(document, "daily_volatility"),
        instruments=instruments,
        accounts=accounts,
        portfolios={row["id"]: tuple(accounts[name] for name in row["accounts"]) for row in document.get("portfolios", [])},
    )
