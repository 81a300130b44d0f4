"""Pools of cash and positions in a what-if (Hyperliquid, Aster, and others as they are described): what a trade or a transfer does."""

from __future__ import annotations

from monitor.margin import aster, saved_aster
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID
from monitor.margin.hyperliquid import AccountMode
from monitor.margin.modes import MAIN, USDC
from monitor.margin.saved_pools import ISOLATED, PORTFOLIO, coin_of, dex_of, mode_of, symbol_of
from monitor.snapshot import AccountRow, CollateralRow, InstrumentRow, PoolRow, PositionRow
from monitor.what_if.changes import ChangeError, PositionChange
from monitor.what_if.draft import Draft, is_nothing, with_cash, with_pool, with_wallet
from monitor.what_if.prices import Unit


def token_of(account: AccountRow, pool: PoolRow) -> str:
    """What a pool's money is: Aster counts multi-assets accounts in USD, in which its marks and indices in USDT are at par."""
    return "USDT" if _is_multi(account, pool) else pool.collateral_asset


def after_trade(draft: Draft, account: AccountRow, change: PositionChange, unit: Unit, price: float, gained: float) -> AccountRow:
    """The account, its positions already traded, with the pool that carries them and its balance. Raises ChangeError."""
    row = unit.row
    _refuse_kind(account, row)
    pool = _carrying(draft, account, row, change.side)
    if row.settle != pool.collateral_asset and not (_is_multi(account, pool) and saved_aster.is_at_par(row.settle)):
        message = (
            f"{row.id} settles in {row.settle}, and the positions of pool {pool.id} of account {account.id} in {pool.collateral_asset}: "
            "its venue has no rule for that; take an account or an instrument that settles alike"
        )
        raise ChangeError("instrument", message)
    held = any(_is_carried(position, row.id, pool) for position in account.positions)
    others = tuple(name for name in pool.positions if name != row.id)
    kept = pool.positions if row.id in pool.positions else (*pool.positions, row.id)
    cash = pool.cash - unit.paid(change.quantity, price)
    account = with_cash(account, token_of(account, pool), gained)
    if held or not pool.id.startswith(ISOLATED):
        update = {"cash": cash, "positions": kept if held else others}
        return with_pool(account, pool.model_copy(update=update), pool.id)
    home = _home(draft, account, row)
    draft.note(f"what was left of the margin of {pool.id} of account {account.id} went to its pool {home.id} when the position closed")
    account = with_pool(account, None, pool.id)
    return with_pool(account, home.model_copy(update={"cash": home.cash + cash}), home.id)


def after_transfer(
    draft: Draft, account: AccountRow, asset: str, amount: float, named: str | None, keys: tuple[str, str]
) -> tuple[AccountRow, float]:
    """The account with more (or less) of an asset, and USD that its equity gains; `keys` name the account and its pool."""
    pool = _receiving(draft, account, asset, amount, named, keys)
    rate = draft.prices.usd(token_of(account, pool))
    if pool.collateral_asset == asset and not _is_multi(account, pool):
        if any(row.asset == asset and row.amount for row in account.debts):
            draft.note(f"the {asset} debt of account {account.id} stays as it is: the venue may take a deposit to repay it")
        account = with_cash(account, asset, amount)
        return with_pool(account, pool.model_copy(update={"cash": pool.cash + amount}), pool.id), amount * rate
    rows = list(pool.collateral)
    place = _collateral(draft, account, pool, asset)
    before = _new_collateral(draft, account, asset, keys[0]) if place is None else rows[place]
    after, gained = _counted(draft, account, before, amount)
    rows[place if place is not None else len(rows) :] = [after, *rows[len(rows) if place is None else place + 1 :]]
    account = with_wallet(account, _coin(draft, account, after.asset), amount, before.ratio)
    return with_pool(account, pool.model_copy(update={"collateral": tuple(rows)}), pool.id), gained * rate


def stablecoins(draft: Draft, account: AccountRow, named: str | None) -> set[str]:
    """The stablecoins that the pools of an account take: of one that is `named`, else of all that are not isolated."""
    pools = [pool for pool in account.pools if (pool.id == named if named else not pool.id.startswith(ISOLATED))]
    tokens = {row.asset for pool in pools for row in pool.collateral} | {token_of(account, pool) for pool in pools}
    return {token for token in tokens if draft.prices.is_stable(token)}


def _is_multi(account: AccountRow, pool: PoolRow) -> bool:
    is_isolated = pool.id.startswith(ISOLATED)
    return account.venue == aster.VENUE and not is_isolated and (account.mode == "multi_assets" or pool.id == aster.MULTI_ASSETS)


def _refuse_kind(account: AccountRow, row: InstrumentRow) -> None:
    if row.kind == "option" or row.inverse:
        kind = "an inverse contract" if row.inverse else f"an {row.kind}"
        raise ChangeError("instrument", f"{row.id} is {kind}: the pools of account {account.id} take linear contracts only")
    if row.settle == row.coin:
        raise ChangeError("instrument", f"{row.id} is linear and settles in its own coin, for which there is no rule; correct its row")
    if not row.tiers:
        message = f'no maintenance margin table of {row.id}: give its row, with tiers, under "instruments" where the snapshot lacks it'
        raise ChangeError("instrument", message)


def _is_carried(position: PositionRow, name: str, pool: PoolRow) -> bool:
    return position.instrument == name and position.quantity != 0 and saved_aster.side_of(pool.id) in (None, position.side)


def _carrying(draft: Draft, account: AccountRow, row: InstrumentRow, side: str | None) -> PoolRow:
    for pool in account.pools:
        is_of_side = account.venue != aster.VENUE or saved_aster.side_of(pool.id) in (None, side)
        if pool.id.startswith(ISOLATED) and row.id in pool.positions and is_of_side:
            draft.note(
                f"account {account.id} holds {row.id} isolated: the trade is in its pool {pool.id}, to which no margin is added and "
                "from which none is taken out unless a transfer does, until the position is closed"
            )
            return pool
    # the other side of hedge mode may be isolated, which is said of the symbol
    is_isolated = any(pool.id.startswith(ISOLATED) and row.id in pool.positions for pool in account.pools)
    if not is_isolated and row.id not in draft.known.isolated_only:
        return _home(draft, account, row)
    name = f"{ISOLATED}{symbol_of(row.id)}"
    if account.venue == aster.VENUE and side is not None:
        name += f":{side.upper()}"
    draft.note(
        f"{row.id} is held isolated: pool {name} of account {account.id} begins without margin; a transfer to it, after the trade, "
        f'brings some ("to_pool": "{name}")'
    )
    return _home(draft, account, row).model_copy(update={"id": name, "cash": 0.0, "positions": (), "collateral": ()})


def _home(draft: Draft, account: AccountRow, row: InstrumentRow) -> PoolRow:
    # the pool of its account in which a cross position in this instrument stands
    cross = {pool.id: pool for pool in account.pools if not pool.id.startswith(ISOLATED)}
    name = _home_name(account, row)
    if name in cross:
        return cross[name]
    settling = [pool for pool in cross.values() if pool.collateral_asset == row.settle]
    if name is None and len(settling) == 1:
        return settling[0]
    if name is None or name == PORTFOLIO or account.venue not in (HYPERLIQUID, aster.VENUE):
        message = f'which pool of account {account.id} takes {row.id} is not known: its mode is "{account.mode}"; take another account'
        raise ChangeError("instrument", message)
    draft.note(f"account {account.id} has no pool {name} yet: it begins empty, so that its margin has to be transferred to it")
    return PoolRow(id=name, collateral_asset=row.settle, cash=0.0)


def _home_name(account: AccountRow, row: InstrumentRow) -> str | None:
    if account.venue == aster.VENUE:
        is_multi = account.mode == "multi_assets" or any(pool.id == aster.MULTI_ASSETS for pool in account.pools)
        return aster.MULTI_ASSETS if is_multi else row.settle
    if account.venue != HYPERLIQUID:
        return None
    match mode_of(account):
        case AccountMode.STANDARD:
            return dex_of(row.id) or MAIN
        case AccountMode.UNIFIED:
            return row.settle
        case AccountMode.PORTFOLIO_MARGIN:
            return PORTFOLIO
    return None


def _receiving(draft: Draft, account: AccountRow, asset: str, amount: float, named: str | None, keys: tuple[str, str]) -> PoolRow:
    pools = {pool.id: pool for pool in account.pools}
    if named is not None:
        if named not in pools:
            raise ChangeError(keys[1], f'account {account.id} has no pool "{named}"; it has {", ".join(pools)}')
        if not _takes(draft, account, pools[named], asset):
            raise ChangeError(keys[1], f"pool {named} of account {account.id} is in {pools[named].collateral_asset}, not in {asset}")
        return pools[named]
    taking = [pool for pool in account.pools if not pool.id.startswith(ISOLATED) and _takes(draft, account, pool, asset)]
    first = [pool for pool in taking if pool.id == MAIN] or taking
    if len(first) == 1:
        return first[0]
    if first:
        choice = ", ".join(pool.id for pool in first)
        raise ChangeError(keys[1], f"account {account.id} has several pools of {asset}: name one of {choice}")
    name = _new_name(draft, account, asset)
    if name is None or amount < 0:
        takes = ", ".join(sorted({pool.collateral_asset for pool in account.pools}))
        counted = sorted({row.asset for pool in account.pools for row in pool.collateral})
        also = f", and collateral in {', '.join(counted)}" if counted else ""
        raise ChangeError("asset", f"{asset} is in no pool of account {account.id} ({account.mode}): they are in {takes}{also}")
    draft.note(f"account {account.id} gets a pool {name} for its {asset}")
    return PoolRow(id=name, collateral_asset=asset, cash=0.0)


def _takes(draft: Draft, account: AccountRow, pool: PoolRow, asset: str) -> bool:
    if _is_multi(account, pool):
        return True
    return pool.collateral_asset == asset or _collateral(draft, account, pool, asset) is not None


def _new_name(draft: Draft, account: AccountRow, asset: str) -> str | None:
    rows = (row for row in draft.instruments.values() if row.id.startswith(f"{account.venue}:") and row.kind != "spot")
    margin = {*draft.known.settles.get(account.venue, ()), *(row.settle for row in rows)}
    mode = mode_of(account) if account.venue == HYPERLIQUID else None
    if mode is AccountMode.STANDARD:
        return MAIN if asset == USDC else None
    is_single = account.venue == aster.VENUE and account.mode != "multi_assets"
    return asset if asset in margin and (mode is AccountMode.UNIFIED or is_single) else None


def _collateral(draft: Draft, account: AccountRow, pool: PoolRow, asset: str) -> int | None:
    names = [row.asset for row in pool.collateral]
    if asset in names:
        return names.index(asset)
    return next((place for place, name in enumerate(names) if _coin(draft, account, name) == asset), None)


def _coin(draft: Draft, account: AccountRow, asset: str) -> str:
    return asset if draft.prices.is_stable(asset) else coin_of(account.venue, asset, draft.index)


def _new_collateral(draft: Draft, account: AccountRow, asset: str, key: str) -> CollateralRow:
    ratio = draft.known.ratios.get(asset)
    if ratio is None:
        message = (
            f"what share of {asset} counts as collateral on {account.venue} is not known: set it in collateral_ratios of [venues.aster]"
        )
        raise ChangeError("asset", message)
    price = 1.0 if saved_aster.is_at_par(asset) else draft.prices.usd(_coin(draft, account, asset))
    draft.note(f"{asset} counts {ratio:.1%} of its price as collateral of account {account.id}, by the table of ratios")
    return CollateralRow(asset=asset, amount=0.0, price=price, ratio=ratio)


def _counted(draft: Draft, account: AccountRow, row: CollateralRow, amount: float) -> tuple[CollateralRow, float]:
    # the row after a transfer, and what it counts more than before, in the pool's token
    if row.price is None:
        raise ChangeError("asset", f"no price of the collateral {row.asset} of account {account.id} now; ask again once there is one")
    total = row.amount + amount
    if is_nothing(total, row.amount, amount):
        total = 0.0
    if amount < 0 and total < 0:
        raise ChangeError("amount", f"account {account.id} has {row.amount:g} {row.asset}: send at most that")
    ratio = row.ratio
    if row.amount < 0 < total:
        # a debt may count with more than its price
        ratio = min(1.0, draft.known.ratios.get(row.asset, row.ratio))
    if row.ratio != 1.0:
        draft.note(f"{row.asset} counts {row.ratio:.1%} of its price in the equity of account {account.id}")
    after = row.model_copy(update={"amount": total, "ratio": ratio})
    return after, row.price * (total * ratio - row.amount * row.ratio)
