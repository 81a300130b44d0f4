"""What REST answers: parsed JSON to `connectors.model` values. Pure functions; they raise `WrongShape` naming the field.

Shapes: venue notes 4. Numbers are decimal strings with any number of decimals, times whole milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from math import nan

from connectors.aster.errors import TornRead
from connectors.aster.reference import Reference, instrument_id
from connectors.aster.settings import VENUE
from connectors.aster.words import SIDES, is_trigger, limit_price, position_side, remaining, side_sign
from connectors.events import MarkPrices
from connectors.fields import Obj, WrongShape, decimal, flag, integer, mapping, number, optional_number, sequence, text, whole
from connectors.model import FuturesAsset, FuturesRead, MarginMode, Order, Position, PositionSide, ReportedAsset

MARK_FEED = "markPrice"

_RIGHT = re.compile(r"can([A-Z]\w*)")
_READ = "Read"


def parse_account(answer: object, began_ms: int, reference: Reference) -> FuturesRead:
    """A read from an `accountWithJoinMargin` (v1: `account`) answer; `began_ms` is the venue's time when it was asked for.

    Flat positions are left out. The mark of a position is the one the venue's own figures of it were computed with:
    |notional / amount|, where the venue states no notional entry + unrealised PnL / amount.
    """
    where = "account"
    account = mapping(answer, where)
    assets = [mapping(row, f"{where}.assets") for row in sequence(account.get("assets"), f"{where}.assets")]
    rows = [mapping(row, f"{where}.positions") for row in sequence(account.get("positions"), f"{where}.positions")]
    return FuturesRead(
        began_ms=began_ms,
        assets=tuple(_asset(row) for row in assets),
        positions=tuple(_position(row, reference) for row in rows if number(row, "positionAmt", f"{where}.positions") != 0.0),
        reported=tuple(_reported(row) for row in assets),
        total_wallet_balance=number(account, "totalWalletBalance", where),
        total_margin_balance=number(account, "totalMarginBalance", where),
        total_maintenance_margin=number(account, "totalMaintMargin", where),
        total_initial_margin=number(account, "totalInitialMargin", where),
        available=number(account, "availableBalance", where),
    )


def _asset(row: Obj) -> FuturesAsset:
    where = "account.assets"
    return FuturesAsset(
        asset=text(row, "asset", where),
        wallet=number(row, "walletBalance", where),
        cross_wallet=number(row, "crossWalletBalance", where),
        time_ms=_update_time(row, where),
    )


def _reported(row: Obj) -> ReportedAsset:
    where = "account.assets"
    return ReportedAsset(
        asset=text(row, "asset", where),
        margin_balance=number(row, "marginBalance", where),
        cross_equity=number(row, "crossWalletBalance", where) + number(row, "crossUnPnl", where),
        maintenance_margin=number(row, "maintMargin", where),
        initial_margin=number(row, "initialMargin", where),
        available=number(row, "availableBalance", where),
    )


def _position(row: Obj, reference: Reference) -> Position:
    where = "account.positions"
    quantity, pnl = number(row, "positionAmt", where), number(row, "unrealizedProfit", where)
    mark, entry = _mark_and_entry(row, quantity, pnl)
    isolated = parse_flag(row, "isolated")
    return Position(
        instrument=reference.id_of(text(row, "symbol", where)),
        quantity=quantity,
        mark=mark,
        margin_mode=MarginMode.ISOLATED if isolated else MarginMode.CROSS,
        entry=entry,
        leverage=number(row, "leverage", where),
        isolated_cash=number(row, "isolatedWallet", where) - quantity * entry if isolated else None,
        reported_margin_used=number(row, "positionInitialMargin", where),
        reported_unrealized_pnl=pnl,
        reported_maintenance_margin=number(row, "maintMargin", where),
        side=position_side(row, "positionSide", where),
        time_ms=_update_time(row, where),
    )


def _mark_and_entry(row: Obj, quantity: float, pnl: float) -> tuple[float, float]:
    where = "account.positions"
    entry, notional = number(row, "entryPrice", where), optional_number(row, "notional", where)
    if notional:
        mark = abs(notional / quantity)
        # The venue's documents show an open position with an entry of 0: its profit then says what it is.
        return mark, entry or mark - pnl / quantity
    mark = entry + pnl / quantity
    if entry <= 0.0 or mark <= 0.0:
        raise WrongShape(f"{where}.entryPrice")
    return mark, entry


def with_position_risk(read: FuturesRead, answer: object) -> FuturesRead:
    """The read with the liquidation prices of a `positionRisk` answer ("0" is none).

    Marks stay those of the account's answer, which its figures were computed with. Raises TornRead unless both answers hold the
    same positions (symbol, side, amount).
    """
    where = "positionRisk"
    prices: dict[tuple[str, PositionSide], tuple[float, float]] = {}
    for value in sequence(answer, where):
        row = mapping(value, where)
        quantity = number(row, "positionAmt", where)
        if quantity != 0.0:
            key = instrument_id(text(row, "symbol", where)), position_side(row, "positionSide", where)
            prices[key] = quantity, number(row, "liquidationPrice", where)
    joined = []
    for position in read.positions:
        quantity, price = prices.pop((position.instrument, position.side), (0.0, 0.0))
        if quantity != position.quantity:
            raise TornRead(position.instrument)
        joined.append(replace(position, reported_liquidation_price=price if price > 0.0 else None))
    for (instrument, _), _ in prices.items():
        raise TornRead(instrument)
    return replace(read, positions=tuple(joined))


def parse_orders(answer: object) -> tuple[Order, ...]:
    """Resting orders of an `openOrders` answer. Orders that close a whole position have quantity 0."""
    where = "openOrders"
    return tuple(_order(mapping(row, where)) for row in sequence(answer, where))


def _order(row: Obj) -> Order:
    where = "openOrders"
    return Order(
        instrument=instrument_id(text(row, "symbol", where)),
        order_id=str(integer(row, "orderId", where)),
        quantity=side_sign(row, "side", where) * remaining(row, "origQty", "executedQty", where),
        limit_price=limit_price(row, "price", "stopPrice", where),
        reduce_only=flag(row, "reduceOnly", where) or flag(row, "closePosition", where),
        is_trigger=is_trigger(text(row, "type", where)),
    )


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent (API wallet) of an account. `rights` is what it may do besides reading, () for a read-only one.

    `expires_ms` None: the venue does not say.
    """

    address: str = field(repr=False)
    name: str
    expires_ms: int | None
    rights: tuple[str, ...]
    can_read: bool


def parse_agents(answer: object) -> tuple[Agent, ...]:
    """Agents of an `agent` answer: a list, bare or under `agents` or `data`.

    Any flag `can...` that is set is a right, also one we do not know; a known flag that is missing is a WrongShape.
    """
    where = "agent"
    envelope = answer.get("agents", answer.get("data")) if isinstance(answer, dict) else answer
    return tuple(_agent(mapping(row, where)) for row in sequence(envelope, where))


def _agent(row: Obj) -> Agent:
    where = "agent"
    for known in ("canRead", "canSpotTrade", "canPerpTrade", "canWithdraw"):
        parse_flag(row, known)
    flags = {right[1]: parse_flag(row, key) for key in row if (right := _RIGHT.fullmatch(key))}
    expires_ms = row.get("expired")
    return Agent(
        address=text(row, "agentAddress", where),
        name=text(row, "agentName", where) if row.get("agentName") is not None else "",
        expires_ms=whole(expires_ms, f"{where}.expired") or None if expires_ms is not None else None,
        rights=tuple(_words(name) for name, granted in flags.items() if granted and name != _READ),
        can_read=flags[_READ],
    )


@dataclass(frozen=True, slots=True)
class SubAccount:
    """A row of `getSubAccountList`; the venue tells neither addresses nor balances. `parent`: the main account itself."""

    account_id: str = field(repr=False)
    name: str
    parent: bool


def parse_sub_accounts(answer: object) -> tuple[SubAccount, ...]:
    """Rows of a `getSubAccountList` answer, the parent among them."""
    where = "getSubAccountList"
    rows = [mapping(row, where) for row in sequence(answer, where)]
    return tuple(
        SubAccount(str(integer(row, "accountId", where)), text(row, "subAccountName", where), flag(row, "parentAccount", where))
        for row in rows
    )


def parse_flag(answer: object, key: str) -> bool:
    """A required boolean of an object: the mode answers."""
    value = mapping(answer, key).get(key)
    if not isinstance(value, bool):
        raise WrongShape(key)
    return value


def parse_adl(answer: object) -> dict[tuple[str, PositionSide], int]:
    """Places in the auto-deleveraging queue by instrument and side, from an `adlQuantile` answer; its `HEDGE` means nothing."""
    where = "adlQuantile"
    found: dict[tuple[str, PositionSide], int] = {}
    for value in sequence(answer, where):
        row = mapping(value, where)
        instrument = instrument_id(text(row, "symbol", where))
        places = mapping(row.get("adlQuantile"), f"{where}.adlQuantile")
        found.update({(instrument, SIDES[side]): whole(place, f"{where}.{side}") for side, place in places.items() if side in SIDES})
    return found


def parse_premium_index(answer: object, received_ns: int) -> MarkPrices:
    """Marks, indices and funding of a `premiumIndex` answer: all symbols, or one.

    Symbols without a positive mark (settled ones) are left out; an index or rate that is empty is NaN.
    """
    where = "premiumIndex"
    rows = [mapping(row, where) for row in (answer if isinstance(answer, list) else [answer])]
    rows = [row for row in rows if _positive(row, "markPrice", where) > 0.0]
    return MarkPrices(
        venue=VENUE,
        feed=MARK_FEED,
        received_ns=received_ns,
        instruments=[instrument_id(text(row, "symbol", where)) for row in rows],
        marks=[number(row, "markPrice", where) for row in rows],
        indices=[_positive(row, "indexPrice", where) for row in rows],
        funding=[_or_nan(row, "lastFundingRate", where) for row in rows],
        time_ms=max((integer(row, "time", where) for row in rows), default=None),
        funding_times=[whole(row.get("nextFundingTime") or 0, f"{where}.nextFundingTime") for row in rows],
    )


def parse_turnover(answer: object, reference: Reference) -> tuple[dict[str, float], list[str]]:
    """Turnover of the last 24 hours in the quote asset, by instrument, of a `ticker/24hr` answer for all symbols; and the places of the
    rows that made no sense. Symbols that are not listed are left out.
    """
    where = "ticker/24hr"
    volumes: dict[str, float] = {}
    problems: list[str] = []
    for value in sequence(answer, where):
        try:
            row = mapping(value, where)
            listed = reference.instrument(text(row, "symbol", where))
            if listed is not None:
                volumes[listed.id] = number(row, "quoteVolume", where)
        except WrongShape as problem:
            problems.append(problem.detail)
    return volumes, problems


def parse_closes(answer: object, before_ms: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Closing times (ms) and prices of a `klines` answer, oldest first, without the candle that still ran at `before_ms`.

    Raises WrongShape unless times rise and prices are positive.
    """
    where = "klines"
    closed: list[tuple[int, float]] = []
    for value in sequence(answer, where):
        row = sequence(value, where)
        if len(row) < 7:
            raise WrongShape(where)
        time_ms, close = whole(row[6], f"{where}.closeTime"), decimal(row[4], f"{where}.close")
        if close <= 0.0 or (closed and time_ms <= closed[-1][0]):
            raise WrongShape(f"{where}.close")
        closed.append((time_ms, close))
    known = [pair for pair in closed if pair[0] < before_ms]
    return tuple(time_ms for time_ms, _ in known), tuple(close for _, close in known)


def parse_server_time(answer: object) -> int:
    """The venue's time (ms) of a `time` answer."""
    return integer(mapping(answer, "time"), "serverTime", "time")


def parse_listen_key(answer: object) -> str:
    """The key of a `listenKey` answer: a secret, whoever holds it reads the account's stream."""
    key = text(mapping(answer, "listenKey"), "listenKey", "listenKey")
    if not key:
        raise WrongShape("listenKey")
    return key


def _update_time(row: Obj, where: str) -> int:
    value = row.get("updateTime")
    return 0 if value is None else whole(value, f"{where}.updateTime")


def _or_nan(row: Obj, key: str, where: str) -> float:
    value = row.get(key)
    return nan if value is None or value == "" else decimal(value, f"{where}.{key}")


def _positive(row: Obj, key: str, where: str) -> float:
    read = _or_nan(row, key, where)
    return read if read > 0.0 else nan


def _words(name: str) -> str:
    return " ".join(word.lower() for word in re.findall(r"[A-Z][a-z0-9]*|[a-z0-9_]+", name))
