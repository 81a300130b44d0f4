"""A snapshot document after hypothetical changes: what its report reads follows, and what that takes for granted is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.errors import did_you_mean, masked
from config.parameters import ParameterSet
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID
from monitor.margin.hyperliquid import AccountMode
from monitor.margin.saved_pools import mode_of
from monitor.snapshot import AccountRow, InstrumentRow, OrderRow, Snapshot, SnapshotError, parse_snapshot
from monitor.stress.money import counted
from monitor.what_if import exposed, pooled
from monitor.what_if.changes import ChangeError, OrderChange, PositionChange, Request, TransferChange
from monitor.what_if.draft import Draft, held_of, with_cash
from monitor.what_if.known import Known
from monitor.what_if.legs import traded
from monitor.what_if.prices import Lacking, Prices

_BY_COIN = ("beta", "daily_volatility")


@dataclass(frozen=True, slots=True)
class Edited:
    """The document after the changes, ready for JSON, and sentences on what they assume."""

    document: dict[str, Any]
    assumptions: tuple[str, ...]


def edited(document: Mapping[str, Any], request: Request, parameters: ParameterSet, known: Known | None = None) -> Edited:
    """The document with the changes made one after the other; the one given stays as it is.

    `parameters` decide what an option is worth. Raises ChangeError for a change that cannot be made, with its key and a remedy, and
    SnapshotError for a document that is none.
    """
    snapshot = parse_snapshot(document, "the snapshot")
    draft = _draft(snapshot, request, parameters, known or Known())
    for number, change in enumerate(request.changes):
        try:
            _apply(draft, change)
        except ChangeError as error:
            raise ChangeError(f"changes[{number}].{error.field}", error.message) from None
        except Lacking as lacking:
            key = "asset" if isinstance(change, TransferChange) else "instrument"
            raise ChangeError(f"changes[{number}].{key}", str(lacking)) from None
    after = _written(snapshot, draft)
    try:
        parse_snapshot(after, "the edited snapshot")
    except SnapshotError as error:
        problem = error.problems[0]
        raise ChangeError("changes", f"the book after them is none: {problem.path}: {problem.message}") from None
    return Edited(after, tuple(draft.notes))


def _apart(row: AccountRow) -> AccountRow:
    # a saved standard account's balances are its spot wallet, which cash that moves in its pools must not change
    is_saved = row.venue == HYPERLIQUID and bool(row.pools) and row.spot is None and mode_of(row) is AccountMode.STANDARD
    return row.model_copy(update={"spot": row.balances}) if is_saved else row


def _draft(snapshot: Snapshot, request: Request, parameters: ParameterSet, known: Known) -> Draft:
    instruments = {row.id: row for row in snapshot.instruments}
    fx, index = {**known.fx, **snapshot.fx}, dict(snapshot.index)
    for coin, price in (request.index or {}).items():
        if coin in index:
            raise ChangeError(f"index.{masked(coin)}", f"the snapshot has an index of it, {index[coin]:g}; leave it out")
        index[coin] = price
    draft = Draft(
        accounts={row.id: _apart(row) for row in snapshot.accounts},
        instruments=instruments,
        fx=fx,
        index=index,
        prices=Prices(fx, index, snapshot.as_of_ms, parameters),
        known=known,
    )
    named = {change.instrument for change in request.changes if not isinstance(change, TransferChange)}
    for number, row in enumerate(request.instruments):
        if row.id in instruments:
            raise ChangeError(f"instruments[{number}].id", f'"{masked(row.id)}" is in the snapshot, or given twice; leave the row out')
        if row.id not in named:
            raise ChangeError(f"instruments[{number}].id", f'no change names "{masked(row.id)}"; leave the row out')
        instruments[row.id] = row
        draft.note(f"{row.id}: terms and price as given in the request")
    for row in request.instruments:
        _price(draft, row)
    _note_always(draft, request)
    return draft


def _note_always(draft: Draft, request: Request) -> None:
    kinds = {type(change) for change in request.changes}
    if PositionChange in kinds:
        draft.note("fees, slippage and funding are not counted: a trade is at the mark, or at its price where it has one")
    if OrderChange in kinds:
        draft.note("a resting order changes the margin of the portfolio method only: no venue's maintenance margin is counted with it")
    if TransferChange in kinds:
        draft.note("a transfer arrives at once and whole; whether a venue would let that much out is not looked at")


def _price(draft: Draft, row: InstrumentRow) -> None:
    # the index of an instrument's coin and the price of what it settles in, where only the monitor knows them
    known = draft.known
    if row.coin not in draft.index and row.coin in known.index:
        draft.index[row.coin] = known.index[row.coin]


def _apply(draft: Draft, change: PositionChange | OrderChange | TransferChange) -> None:
    match change:
        case PositionChange():
            _trade(draft, change)
        case OrderChange():
            _order(draft, change)
        case TransferChange():
            _transfer(draft, change)


# -- trades and orders ---------------------------------------------------------------------------------------------------------


def _instrument(draft: Draft, account: AccountRow, change: PositionChange | OrderChange) -> InstrumentRow:
    name, known = change.instrument, draft.known
    if name in known.refused and name not in draft.instruments:
        raise ChangeError("instrument", known.refused[name])
    row = draft.instruments.get(name, known.rows.get(name))
    if row is None:
        names = [one for one in {*draft.instruments, *known.listed} if one.startswith(f"{account.venue}:")]
        near = did_you_mean(name, names)
        hint = near if near.startswith("; did") else '; give its row under "instruments", as a snapshot has it'
        raise ChangeError("instrument", f'"{masked(name)}" is neither in the snapshot nor listed by a venue{hint}')
    if not name.startswith(f"{account.venue}:"):
        message = f"{masked(name)} is not an instrument of {account.venue}, where account {account.id} is; name one that is"
        raise ChangeError("instrument", message)
    if row.kind == "outcome":
        message = f"{masked(name)} is an outcome, which the monitor makes of its venue's markets: change it in a saved snapshot instead"
        raise ChangeError("instrument", message)
    if name not in draft.instruments:
        _price(draft, row)
        row = _marked(draft, row, change)
        draft.instruments[name] = row
        for sentence in known.notes.get(name, ()):
            draft.note(sentence)
        if name not in known.volume_24h_usd:
            draft.note(f"24 h volume of {name} is not known: the parameter set's own cap stands for it where it charges for liquidity")
    return row


def _marked(draft: Draft, row: InstrumentRow, change: PositionChange | OrderChange) -> InstrumentRow:
    if row.mark is not None or row.kind == "option":
        return row
    price = change.price if isinstance(change, PositionChange) else None
    if price is not None:
        draft.note(f"no mark of {row.id} is known: the price of the first trade in it, {price:g}, stands for it")
        return row.model_copy(update={"mark": price})
    if row.kind != "perpetual":
        return row
    mark = draft.prices.coin(row.coin) / (1.0 if row.inverse else draft.prices.usd(row.settle))
    draft.note(f"no mark of {row.id} is known: the index of {row.coin}, {mark:g}, stands for it")
    return row.model_copy(update={"mark": mark})


def _trade(draft: Draft, change: PositionChange) -> None:
    account = draft.account(change.account, "account")
    row = _instrument(draft, account, change)
    if row.kind == "spot":
        _spot(draft, account, change, row)
        return
    unit = draft.prices.unit(row)
    price = unit.price if change.price is None else change.price
    before = _held(account, change)
    after, gained = traded(account, change, unit, price)
    if not account.pools:
        after = with_cash(after, row.settle, gained)
    elif account.venue == DERIBIT:
        after = exposed.after_trade(draft, after, unit, (before, before + change.quantity), price, gained)
    else:
        after = pooled.after_trade(draft, after, change, unit, price, gained)
    draft.put(after, unit.won(change.quantity, price))


def _held(account: AccountRow, change: PositionChange) -> float:
    return sum(row.quantity for row in account.positions if row.instrument == change.instrument and row.side == change.side)


def _spot(draft: Draft, account: AccountRow, change: PositionChange, row: InstrumentRow) -> None:
    if change.side is not None:
        raise ChangeError("side", "a trade in spot has none; leave it out")
    price = change.price if row.mark is None else row.mark if change.price is None else change.price
    if price is None:
        raise ChangeError("price", f"no mark of {row.id} is known: give the price of the trade")
    _move(draft, account.id, row.settle, -change.quantity * price, None, ("account", "instrument"))
    _move(draft, account.id, row.coin, change.quantity, None, ("account", "instrument"))


def _order(draft: Draft, change: OrderChange) -> None:
    account = draft.account(change.account, "account")
    row = _instrument(draft, account, change)
    if row.kind == "spot":
        raise ChangeError("instrument", f"{row.id} is spot: a resting order in it changes no margin; make it a position change instead")
    draft.prices.unit(row)
    order = OrderRow(instrument=row.id, quantity=change.quantity, limit_price=change.limit_price, reduce_only=change.reduce_only)
    draft.put(account.model_copy(update={"orders": (*account.orders, order)}), 0.0)


# -- transfers -----------------------------------------------------------------------------------------------------------------


def _transfer(draft: Draft, change: TransferChange) -> None:
    if change.source is not None:
        draft.account(change.source, "from")
    if change.target is not None:
        draft.account(change.target, "to")
    if change.source is not None:
        _send(draft, change.source, change.asset, -change.amount, change.from_pool, ("from", "from_pool"))
    if change.target is not None:
        _send(draft, change.target, change.asset, change.amount, change.to_pool, ("to", "to_pool"))


def _send(draft: Draft, name: str, asset: str, amount: float, pool: str | None, keys: tuple[str, str]) -> None:
    own = _exchanged(draft, draft.accounts[name], asset, pool)
    if own == asset:
        _move(draft, name, asset, amount, pool, keys)
        return
    exchanged = amount * draft.prices.usd(asset) / draft.prices.usd(own)
    draft.note(f"{abs(amount):g} {asset} are {abs(exchanged):.8g} {own} in account {name}, exchanged at their USD prices and without cost")
    _move(draft, name, own, exchanged, pool, keys)


def _exchanged(draft: Draft, account: AccountRow, asset: str, pool: str | None) -> str:
    # the stablecoin of the account's pools, where they do not take this one
    if not draft.prices.is_stable(asset) or not account.pools or account.venue == DERIBIT:
        return asset
    own = pooled.stablecoins(draft, account, pool)
    return asset if asset in own or len(own) != 1 else own.pop()


def _move(draft: Draft, name: str, asset: str, amount: float, pool: str | None, keys: tuple[str, str]) -> None:
    if asset not in draft.index and asset in draft.known.index:
        draft.index[asset] = draft.known.index[asset]
    account, price = draft.accounts[name], draft.prices.usd(asset)
    if not account.pools:
        draft.put(*_unpooled(draft, account, asset, amount, price, pool, keys))
    elif account.venue == DERIBIT:
        draft.put(exposed.after_transfer(draft, account, asset, amount, pool, keys), amount * price)
    else:
        draft.put(*pooled.after_transfer(draft, account, asset, amount, pool, keys))


def _unpooled(
    draft: Draft, account: AccountRow, asset: str, amount: float, price: float, pool: str | None, keys: tuple[str, str]
) -> tuple[AccountRow, float]:
    if pool is not None:
        raise ChangeError(keys[1], f"the snapshot has no pools of account {account.id}; leave this out")
    is_stable = draft.prices.is_stable(asset)
    if not is_stable and not any(row.asset == asset and row.collateral_ratio is not None for row in account.balances):
        message = f"what share of {asset} counts in account {account.id} is not known: it has no balance of it with a collateral_ratio"
        raise ChangeError("asset", message)
    if not is_stable and held_of(account, asset) + amount < 0:
        raise ChangeError("amount", f"account {account.id} has {held_of(account, asset):g} {asset}: send at most that")
    after = with_cash(account, asset, amount)
    earned = sum(counted(row, is_stable) for row in after.balances if row.asset == asset)
    earned -= sum(counted(row, is_stable) for row in account.balances if row.asset == asset)
    return after, earned * price


# -- the document --------------------------------------------------------------------------------------------------------------


def _written(snapshot: Snapshot, draft: Draft) -> dict[str, Any]:
    known, added = draft.known, [name for name in draft.instruments if name not in {row.id for row in snapshot.instruments}]
    coins = {row.coin for row in draft.instruments.values()}
    stable = {row.settle for row in draft.instruments.values()} | {row.asset for one in draft.accounts.values() for row in one.balances}
    volumes = {name: known.volume_24h_usd[name] for name in added if name in known.volume_24h_usd}
    update: dict[str, Any] = {
        "instruments": tuple(draft.instruments.values()),
        "accounts": tuple(draft.accounts[row.id] for row in snapshot.accounts),
        "index": draft.index,
        "fx": {asset: price for asset, price in draft.fx.items() if asset in snapshot.fx or asset in stable},
        "volume_24h_usd": {**volumes, **snapshot.volume_24h_usd},
    }
    for key in _BY_COIN:
        told = {coin: one for coin, one in getattr(known, key).items() if coin in coins}
        update[key] = {**told, **getattr(snapshot, key)}
    document: dict[str, Any] = snapshot.model_copy(update=update).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return document
