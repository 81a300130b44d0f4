"""Deribit's pools in a what-if: margin balance and its exposures to the indices, between two figures of the venue.

A trade leaves the margin balance where it is but for its price and, in standard margin, an option's value: that of a long option
counts nothing, that of a short one is maintenance margin. What else the venue's own model would ask for is not rebuilt.
"""

from __future__ import annotations

from monitor.margin.deribit import CROSS
from monitor.margin.deribit_rule import STABLE
from monitor.snapshot import AccountRow, ExposureRow, PoolRow
from monitor.what_if.changes import ChangeError
from monitor.what_if.draft import Draft, held_of, is_nothing, with_pool, with_wallet
from monitor.what_if.prices import Unit

_RATIO = 1.0


def after_trade(draft: Draft, account: AccountRow, unit: Unit, held: tuple[float, float], price: float, gained: float) -> AccountRow:
    """The account after a trade from one quantity `held` to another; `gained` is what its wallet of the settlement asset gets."""
    settle, quantity = unit.row.settle, held[1] - held[0]
    account = with_wallet(account, settle, gained, _RATIO)
    balance, slope, maintenance = unit.won(quantity, price), quantity * unit.delta, 0.0
    if unit.is_option:
        value = unit.price * unit.usd
        # a premium in coin is paid in what moves with the index
        paid = quantity * value / draft.prices.coin(unit.row.coin) if settle == unit.row.coin else 0.0
        if "sm" in (account.mode or "").split("_"):
            short = max(-held[1], 0.0) - max(-held[0], 0.0)
            balance, maintenance, slope = balance - quantity * value, short * value, -short * unit.delta
        slope -= paid
    if account.mode is None:
        draft.note(f"the margin model of {account.id} is not told: taken for portfolio margin, in which a long option counts")
    draft.note(
        f"the maintenance margin of {account.id} stays as Deribit told it last, but for the value of short options in standard margin: "
        "the venue's own model is not rebuilt, so its ratio says what equity and delta become and not what the trade will be asked for"
    )
    return _moved(draft, account, unit, balance, slope, maintenance)


def after_transfer(draft: Draft, account: AccountRow, asset: str, amount: float, named: str | None, keys: tuple[str, str]) -> AccountRow:
    """The account with more (or less) of an asset; `keys` are those that name the account and its pool. Raises ChangeError."""
    if amount < 0 and held_of(account, asset) < -amount * (1 - 1e-12):
        raise ChangeError("amount", f"account {account.id} has {held_of(account, asset):g} {asset}: send at most that")
    pool = _pool(account, asset)
    if pool is None and amount > 0 and asset in _currencies(draft, account):
        pool = PoolRow(id=asset, collateral_asset=asset, cash=0.0)
    if pool is None or asset not in _currencies(draft, account):
        known = ", ".join(sorted(_currencies(draft, account)))
        raise ChangeError("asset", f"account {account.id} has no wallet of {asset}; it can have {known}")
    if named not in (None, pool.id):
        raise ChangeError(keys[1], f"{asset} of account {account.id} counts in its pool {pool.id}; leave this out")
    account = with_wallet(account, asset, amount, _RATIO)
    if pool.collateral_asset == asset:
        return with_pool(account, pool.model_copy(update={"cash": pool.cash + amount}), pool.id)
    if draft.prices.is_stable(asset):
        return with_pool(account, pool.model_copy(update={"cash": pool.cash + amount * draft.prices.usd(asset)}), pool.id)
    draft.note(f"{asset} counts in full in the margin balance of {account.id}: Deribit's haircut on collateral is not known here")
    return with_pool(account, _exposed(pool, asset, amount, inverse=False), pool.id)


def _pool(account: AccountRow, settle: str) -> PoolRow | None:
    named = {row.id: row for row in account.pools}
    return named.get(CROSS) or named.get(settle)


def _currencies(draft: Draft, account: AccountRow) -> set[str]:
    held = {row.asset for row in account.balances} | {row.asset for row in account.debts} | {row.id for row in account.pools}
    listed = {row.settle for row in draft.instruments.values() if row.id.startswith(f"{account.venue}:")}
    stable = {asset for asset in STABLE if draft.prices.is_stable(asset)}
    return (held | listed | stable | set(draft.known.settles.get(account.venue, ()))) - {CROSS}


def _moved(draft: Draft, account: AccountRow, unit: Unit, balance: float, slope: float, maintenance: float) -> AccountRow:
    # `balance` and `maintenance` in USD now, `slope` what the first less the second moves with the index
    coin, settle = unit.row.coin, unit.row.settle
    index = draft.prices.coin(coin)
    pool = _pool(account, settle) or PoolRow(id=settle, collateral_asset=settle, cash=0.0)
    if pool.collateral_asset == coin:
        # divided by the index a line is a constant and an inverse exposure
        rest = balance - maintenance - slope * index
        update = {"cash": pool.cash + slope + maintenance / index}
        pool = _exposed(pool, coin, -rest, inverse=True)
    else:
        rate = draft.prices.usd(pool.collateral_asset)
        balance, slope, maintenance = balance / rate, slope / rate, maintenance / rate
        update = {"cash": pool.cash + balance - slope * index}
        pool, index = _exposed(pool, coin, slope, inverse=False), 1.0
    update["maintenance_margin"] = max(0.0, pool.maintenance_margin + maintenance / index)
    return with_pool(account, pool.model_copy(update=update), pool.id)


def _exposed(pool: PoolRow, coin: str, quantity: float, *, inverse: bool) -> PoolRow:
    rows = list(pool.exposures)
    place = next((n for n, row in enumerate(rows) if row.coin == coin and row.inverse == inverse), None)
    if place is None:
        rows.append(ExposureRow(coin=coin, quantity=quantity, inverse=inverse))
    else:
        total = rows[place].quantity + quantity
        left = 0.0 if is_nothing(total, rows[place].quantity, quantity) else total
        rows[place] = rows[place].model_copy(update={"quantity": left})
    return pool.model_copy(update={"exposures": tuple(row for row in rows if row.quantity != 0)})
