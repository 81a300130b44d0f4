"""Log-like feeds: fills, fundings and ledger updates to events, from the watched account's point of view.

Every event is exact or it is an `AccountChanged`, which makes the connector refetch. Where a fee may or may not be
inside the stated amount, the reading that credits less is taken: the next account frame corrects it within seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import copysign
from typing import Any

from connectors.events import AccountChanged, CashFlow, CashFlowKind, Event, Fill, Liquidation, LiquidationKind, ParseError
from connectors.fields import Obj, WrongShape, decimal, flag, integer, mapping, number, optional_number, sequence, text
from connectors.hyperliquid.memory import LogMemory
from connectors.hyperliquid.messages import side_sign
from connectors.hyperliquid.reference import MAIN_DEX, VENUE, Reference, dex_of, instrument_id, is_perpetual

_WALLET = "spot"
_STABLE = "USDC"
_NATIVE = "HYPE"
# The venue's text for a parent vault that takes over what its children did: quantity and price are not this account's.
_INEXACT_DIRECTIONS = ("Net Child Vaults",)
_ADL = "Auto-Deleveraging"
_BACKSTOP = "backstop"


@dataclass(frozen=True, slots=True)
class Watched:
    """An account as frames name it (`address`, lower case) and as we do (`alias`)."""

    alias: str
    address: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What the rows of one frame share."""

    account: Watched
    reference: Reference
    received_ns: int
    snapshot: bool = False

    def changed(self, why: str) -> AccountChanged:
        """The event that asks for a refetch."""
        return AccountChanged(VENUE, self.account.alias, self.received_ns, why)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a log-like feed: its identity, for de-duplication, and the events it means."""

    key: str
    events: tuple[Event, ...]


def read_rows(
    feed: str, rows: Iterable[Any], parse: Callable[[object, Context], Entry], context: Context, log: LogMemory
) -> Iterator[Event]:
    """The events of those rows of a log that were not seen before."""
    bad: WrongShape | None = None
    for row in rows:
        try:
            entry = parse(row, context)
        except WrongShape as problem:
            bad = problem
            continue
        if log.is_new(entry.key):
            yield from entry.events
    if bad is not None:
        # A row that makes no sense must not hide the others; what it did is found out by a refetch.
        yield ParseError(VENUE, feed, bad.kind, context.received_ns, bad.detail)
        yield context.changed("a row that makes no sense")


def parse_fill(value: object, context: Context) -> Entry:
    """A FILL row. A fill whose effect cannot be said exactly (outcome market, unknown pair) becomes `AccountChanged`."""
    where = "fill"
    row = mapping(value, where)
    coin, time_ms = text(row, "coin", where), integer(row, "time", where)
    key = _fill_key(row, coin, time_ms)
    base = quote = None
    if not is_perpetual(coin):
        pair = context.reference.pairs.get(coin)
        if pair is None:
            return Entry(key, (context.changed(f"a fill on {coin}, which is no known spot pair"),))
        base, quote = pair.base, pair.quote
    direction = row.get("dir")
    if direction in _INEXACT_DIRECTIONS:
        return Entry(key, (context.changed(f"a fill of kind {direction}"),))
    kind = _liquidation_kind(row, context.account.address)
    fill = Fill(
        venue=VENUE,
        account=context.account.alias,
        received_ns=context.received_ns,
        fill_id=key,
        time_ms=time_ms,
        quantity=side_sign(row, where) * number(row, "sz", where),
        price=number(row, "px", where),
        fee=optional_number(row, "fee", where) or 0.0,
        fee_asset=text(row, "feeToken", where) if "feeToken" in row else _STABLE,
        instrument=instrument_id(coin) if base is None else None,
        base=base,
        quote=quote,
        start_position=optional_number(row, "startPosition", where),
        liquidation=kind is not None,
        snapshot=context.snapshot,
        liquidation_kind=kind,
    )
    return Entry(key, (fill,))


def _fill_key(row: Obj, coin: str, time_ms: int) -> str:
    trade = row.get("tid")
    if isinstance(trade, int) and trade:
        return f"{trade}:{coin}:{time_ms}:{row.get('side')}"
    return f"0:{coin}:{time_ms}:{row.get('side')}:{row.get('hash')}:{row.get('oid')}:{row.get('sz')}:{row.get('startPosition')}"


def _liquidation_kind(row: Obj, address: str) -> LiquidationKind | None:
    if row.get("dir") == _ADL:
        # of the winning side too, which is not the one that the row calls liquidated
        return LiquidationKind.ADL
    if not _is_own_liquidation(row, address):
        return None
    is_backstop = mapping(row.get("liquidation"), "fill.liquidation").get("method") == _BACKSTOP
    return LiquidationKind.BACKSTOP if is_backstop else LiquidationKind.LIQUIDATION


def _is_own_liquidation(row: Obj, address: str) -> bool:
    liquidation = row.get("liquidation")
    if not isinstance(liquidation, dict):
        return False
    user = liquidation.get("liquidatedUser")
    if isinstance(user, str):
        return user.lower() == address
    # Both sides of such a trade carry the mark; without the name only the display text tells them apart.
    return "liquidat" in str(row.get("dir")).lower()


def parse_funding(value: object, context: Context) -> Entry:
    """A funding row: `usdc` is the signed cash flow to the account. The instrument is always named."""
    where = "funding"
    row = mapping(value, where)
    coin, time_ms = text(row, "coin", where), integer(row, "time", where)
    section = dex_of(coin)
    key = f"funding:{time_ms}:{coin}"
    flow = CashFlow(
        venue=VENUE,
        account=context.account.alias,
        received_ns=context.received_ns,
        flow_id=key,
        time_ms=time_ms,
        kind=CashFlowKind.FUNDING,
        asset=context.reference.settle(section),
        amount=number(row, "usdc", where),
        section=section,
        instrument=instrument_id(coin),
        snapshot=context.snapshot,
    )
    return Entry(key, (flow,))


def parse_ledger_update(value: object, context: Context) -> Entry:
    """A `nonFundingLedgerUpdates` row: transfers become cash flows, liquidations `Liquidation`, the rest `AccountChanged`."""
    row = mapping(value, "ledger")
    delta = mapping(row.get("delta"), "ledger.delta")
    kind, time_ms = text(delta, "type", "ledger.delta"), integer(row, "time", "ledger")
    key = f"{time_ms}:{text(row, 'hash', 'ledger')}:{kind}:{_fingerprint(delta)}"
    if kind == "liquidation":
        return Entry(key, (_liquidation(delta, time_ms, context), context.changed("a liquidation")))
    rule = _RULES.get(kind)
    legs = rule(delta, context.account.address) if rule else None
    if legs is None:
        return Entry(key, (context.changed(f"a ledger update of type {kind[:40]}"),))
    flows = [_flow(key, index, leg, time_ms, context) for index, leg in enumerate(legs) if leg.amount]
    return Entry(key, tuple(flows))


def _fingerprint(delta: Obj) -> str:
    names = ("usdc", "amount", "token", "toPerp", "sourceDex", "destinationDex")
    return ",".join(f"{name}={delta[name]}" for name in names if name in delta)


@dataclass(frozen=True, slots=True)
class _Leg:
    section: str | None
    asset: str | None
    amount: float


def _flow(key: str, index: int, leg: _Leg, time_ms: int, context: Context) -> CashFlow:
    asset = leg.asset or context.reference.settle(leg.section or MAIN_DEX)
    return CashFlow(
        venue=VENUE,
        account=context.account.alias,
        received_ns=context.received_ns,
        flow_id=f"{key}:{index}",
        time_ms=time_ms,
        kind=CashFlowKind.TRANSFER,
        asset=asset,
        amount=leg.amount,
        section=leg.section,
        snapshot=context.snapshot,
    )


def _liquidation(delta: Obj, time_ms: int, context: Context) -> Liquidation:
    where = "ledger.liquidation"
    notional = number(delta, "liquidatedNtlPos", where)
    rows = [mapping(row, where) for row in sequence(delta.get("liquidatedPositions", []), where)]
    closed = ", ".join(f"{decimal(row.get('szi'), where):g} {text(row, 'coin', where)}" for row in rows[:10])
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    detail = f"{delta.get('leverageType') or ''} liquidation of {notional:,.2f} notional: {closed or 'positions not named'}{more}".strip()
    return Liquidation(VENUE, context.account.alias, context.received_ns, time_ms, detail)


def parse_liquidation_event(value: object, watched: dict[str, Watched], received_ns: int, time_ms: int) -> Liquidation | None:
    """The `liquidation` of a `userEvents` frame, None where it is somebody else's. The frame has no time: `time_ms` is ours."""
    where = "user.liquidation"
    row = mapping(value, where)
    account = watched.get(text(row, "liquidated_user", where).lower())
    if account is None:
        return None
    notional, equity = number(row, "liquidated_ntl_pos", where), number(row, "liquidated_account_value", where)
    detail = f"liquidation of {notional:,.2f} notional at an account value of {equity:,.2f}"
    return Liquidation(VENUE, account.alias, received_ns, time_ms, detail)


def _usdc(delta: Obj) -> float:
    return number(delta, "usdc", "ledger.delta")


def _fee(delta: Obj) -> float:
    return abs(optional_number(delta, "fee", "ledger.delta") or 0.0)


def _is(delta: Obj, key: str, address: str) -> bool:
    value = delta.get(key)
    return isinstance(value, str) and value.lower() == address


def _deposit(delta: Obj, address: str) -> list[_Leg]:
    return [_Leg(MAIN_DEX, None, _usdc(delta))]


def _withdraw(delta: Obj, address: str) -> list[_Leg]:
    return [_Leg(MAIN_DEX, None, -abs(_usdc(delta)) - _fee(delta))]


def _class_transfer(delta: Obj, address: str) -> list[_Leg]:
    amount = copysign(_usdc(delta), 1.0 if flag(delta, "toPerp", "ledger.delta") else -1.0)
    return [_Leg(MAIN_DEX, None, amount), _Leg(None, _STABLE, -amount)]


def _perp_transfer(delta: Obj, address: str) -> list[_Leg] | None:
    amount, fee = _usdc(delta), _fee(delta)
    sent, received = _is(delta, "user", address), _is(delta, "destination", address)
    if sent == received:
        return None
    return [_Leg(MAIN_DEX, None, -amount - fee if sent else amount - fee)]


def _token_transfer(delta: Obj, source: str, destination: str, address: str) -> list[_Leg] | None:
    sent, received = _is(delta, "user", address), _is(delta, "destination", address)
    if not sent and not received:
        return None
    token, amount = text(delta, "token", "ledger.delta"), number(delta, "amount", "ledger.delta")
    legs: list[_Leg] = []
    if sent:
        section = _ledger(source)
        legs += [_Leg(section, token, -amount), _Leg(section, _fee_token(delta), -_fee(delta))]
        legs.append(_Leg(None, _NATIVE, -abs(optional_number(delta, "nativeTokenFee", "ledger.delta") or 0.0)))
    if received:
        legs.append(_Leg(_ledger(destination), token, amount))
    return legs


def _fee_token(delta: Obj) -> str:
    token = delta.get("feeToken")
    return token if isinstance(token, str) and token else _STABLE


def _ledger(dex: str) -> str | None:
    return None if dex == _WALLET else dex


def _spot_transfer(delta: Obj, address: str) -> list[_Leg] | None:
    return _token_transfer(delta, _WALLET, _WALLET, address)


def _send(delta: Obj, address: str) -> list[_Leg] | None:
    source, destination = text(delta, "sourceDex", "ledger.delta"), text(delta, "destinationDex", "ledger.delta")
    return _token_transfer(delta, source, destination, address)


def _vault_payment(delta: Obj, address: str) -> list[_Leg] | None:
    return None if _is(delta, "vault", address) else [_Leg(MAIN_DEX, None, -abs(_usdc(delta)) - _fee(delta))]


def _vault_distribution(delta: Obj, address: str) -> list[_Leg] | None:
    return None if _is(delta, "vault", address) else [_Leg(MAIN_DEX, None, _usdc(delta))]


def _vault_withdrawal(delta: Obj, address: str) -> list[_Leg] | None:
    if not _is(delta, "user", address):
        return None
    return [_Leg(MAIN_DEX, None, number(delta, "netWithdrawnUsd", "ledger.delta"))]


def _leader_commission(delta: Obj, address: str) -> list[_Leg] | None:
    return [_Leg(MAIN_DEX, None, _usdc(delta))] if _is(delta, "user", address) else None


def _wallet_credit(delta: Obj, address: str) -> list[_Leg] | None:
    if not isinstance(delta.get("token"), str):
        return None
    return [_Leg(None, text(delta, "token", "ledger.delta"), number(delta, "amount", "ledger.delta"))]


def _wallet_debit(delta: Obj, address: str) -> list[_Leg]:
    return [_Leg(None, text(delta, "token", "ledger.delta"), -abs(number(delta, "amount", "ledger.delta")))]


def _staking(delta: Obj, address: str) -> list[_Leg] | None:
    # What leaves staking waits in a queue for days, so only the way in has an immediate effect.
    return _wallet_debit(delta, address) if flag(delta, "isDeposit", "ledger.delta") else None


_RULES: dict[str, Callable[[Obj, str], list[_Leg] | None]] = {
    "deposit": _deposit,
    "withdraw": _withdraw,
    "accountClassTransfer": _class_transfer,
    "internalTransfer": _perp_transfer,
    "subAccountTransfer": _perp_transfer,
    "spotTransfer": _spot_transfer,
    "send": _send,
    "vaultCreate": _vault_payment,
    "vaultDeposit": _vault_payment,
    "vaultDistribution": _vault_distribution,
    "vaultWithdraw": _vault_withdrawal,
    "vaultLeaderCommission": _leader_commission,
    "rewardsClaim": _wallet_credit,
    "spotGenesis": _wallet_credit,
    "deployGasAuction": _wallet_debit,
    "cStakingTransfer": _staking,
}
