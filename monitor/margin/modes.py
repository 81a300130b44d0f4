"""One Hyperliquid account under standard, unified and portfolio margin, side by side (venue notes, 4 and 5).

The document's pools say what the account is in its own mode; the other two are made of the same cash, positions and spot:

* from standard, a token's cash is that of its dexs and of the spot wallet together. The wallet is the account's `spot` where the
  document tells it (a live book, whose balances are the pools' own cash), else its balances (a saved account). To standard, all of
  a token's cash lies on the one dex with positions in it; were there several, the split would be the account's own choice, so that
  is a failure.
* collateral of portfolio margin is every coin of the wallet with a `collateral_ratio` above one half (the venue's liquidation
  threshold, 0.5 + 0.5 * loan-to-value), at the coin's index. A coin without a ratio is a failure, not a zero; a stablecoin and an
  outcome are no collateral.
* isolated positions stand alone in every mode.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from connectors.events import FailureReason
from monitor.margin.hyperliquid import VENUE, AccountMode, HyperliquidRules
from monitor.margin.pooled import COUNTED_AT_ZERO_LTV
from monitor.margin.pools import CollateralLeg, Leg, PoolSpec
from monitor.margin.result import Failure, PoolKind, PoolResult
from monitor.margin.saved import results_of
from monitor.margin.saved_pools import PORTFOLIO, SavedPools, dex_of, engine_of, mode_of, pools_of
from monitor.snapshot import BalanceRow, InstrumentRow, Snapshot

MAIN, USDC = "main", "USDC"
"""Pool of the first dex, and the token that it settles in."""

_OUTCOME = "+"


class _CannotTell(Exception):
    def __init__(self, reason: FailureReason, detail: str) -> None:
        self.failure = Failure(reason, detail)


@dataclass(slots=True)
class _Account:
    # what every mode is made of: cash and cross positions by token, the isolated pools, and spot by asset
    listed: Mapping[str, InstrumentRow]
    prices: Mapping[str, float]
    rules: HyperliquidRules
    cash: dict[str, float] = field(default_factory=dict)
    legs: dict[str, list[Leg]] = field(default_factory=dict)
    isolated: list[PoolSpec] = field(default_factory=list)
    spot: list[BalanceRow] = field(default_factory=list)


def hyperliquid_modes(
    snapshot: Snapshot, account_id: str, rules: HyperliquidRules | None = None
) -> dict[str, tuple[PoolResult, ...] | Failure]:
    """By mode ("standard", "unified", "portfolio_margin"): the account's pools in it, or why it cannot be told, with the remedy.

    A pool is liquidated at ratio 1.0 in every mode. KeyError for an unknown account, ValueError for one of another venue.
    """
    account = {row.id: row for row in snapshot.accounts}[account_id]
    if account.venue != VENUE:
        raise ValueError(f"account {account_id} is on {account.venue}; only a {VENUE} account has these modes")
    chosen = rules or HyperliquidRules()
    saved = pools_of(snapshot, account, chosen)
    found: dict[str, tuple[PoolResult, ...] | Failure] = {}
    for mode in AccountMode:
        try:
            found[mode.value] = results_of(engine_of(snapshot, [_in_mode(mode, snapshot, saved, chosen)]))
        except _CannotTell as missing:
            found[mode.value] = missing.failure
    return found


def _in_mode(mode: AccountMode, snapshot: Snapshot, saved: SavedPools, rules: HyperliquidRules) -> SavedPools:
    account, own = saved.account, mode_of(saved.account)
    if not account.pools:
        detail = f"account {account.id} has no pools: save it with `marginwatch verify --save`, which writes them"
        raise _CannotTell(FailureReason.NOT_READY, detail)
    if own is None:
        detail = f'account {account.id} has no known mode: add "mode", one of {", ".join(AccountMode)}'
        raise _CannotTell(FailureReason.UNSUPPORTED_MODE, detail)
    if mode is own:
        return saved
    failure = next((failure for spec in saved.specs for failure in spec.failures), None)
    if failure is not None:
        raise _CannotTell(failure.reason, failure.detail)
    parts = _parts(snapshot, saved, rules)
    prices: dict[tuple[str, str], float] = {}
    if mode is AccountMode.STANDARD:
        specs = _standard(parts)
    elif mode is AccountMode.UNIFIED:
        specs = _unified(parts)
    else:
        specs, prices = _portfolio(parts)
    # what the venue reported belongs to the mode that the account is in
    row = saved.account.model_copy(update={"mode": mode.value, "reported": {}})
    made = [*specs, *(replace(spec, mode=mode.value) for spec in parts.isolated)]
    return SavedPools(row, tuple(made), prices)


def _parts(snapshot: Snapshot, saved: SavedPools, rules: HyperliquidRules) -> _Account:
    prices = {**snapshot.index, **{asset: price for (_, asset), price in saved.prices.items()}}
    parts = _Account({row.id: row for row in snapshot.instruments}, prices, rules)
    for spec in saved.specs:
        if spec.kind is PoolKind.HYPERLIQUID_ISOLATED:
            parts.isolated.append(spec)
            continue
        parts.cash[spec.asset] = parts.cash.get(spec.asset, 0.0) + spec.cash
        for leg in spec.legs:
            parts.legs.setdefault(parts.listed[leg.instrument].settle, []).append(leg)
    margin = {USDC, *parts.cash, *(row.settle for row in snapshot.instruments if row.id.startswith(f"{VENUE}:"))}
    account = saved.account
    for balance in account.balances if account.spot is None else account.spot:
        if balance.asset not in margin and balance.asset not in snapshot.fx and not balance.asset.startswith(_OUTCOME):
            parts.spot.append(balance)
        elif balance.asset in margin and mode_of(account) is AccountMode.STANDARD:
            # a pooled wallet's total is in the cash of its pools already
            parts.cash[balance.asset] = parts.cash.get(balance.asset, 0.0) + balance.total
    return parts


def _cross(mode: AccountMode, name: str, token: str, cash: float, legs: Sequence[Leg]) -> PoolSpec:
    return PoolSpec(name, PoolKind.HYPERLIQUID_CROSS, mode.value, token, cash, list(legs))


def _standard(parts: _Account) -> list[PoolSpec]:
    found = []
    for token in dict.fromkeys([*parts.cash, *parts.legs]):
        legs, cash = parts.legs.get(token, []), parts.cash.get(token, 0.0)
        dexs = list(dict.fromkeys(dex_of(leg.instrument) or MAIN for leg in legs))
        if len(dexs) > 1:
            where = ", ".join(dexs)
            detail = f"standard margin splits the {token} cash over {where}, and how is the account's own choice: save it in standard mode"
            raise _CannotTell(FailureReason.UNSUPPORTED_MODE, detail)
        if legs or (token == USDC and cash != 0.0):
            found.append(_cross(AccountMode.STANDARD, dexs[0] if dexs else MAIN, token, cash, legs))
    return found


def _unified(parts: _Account) -> list[PoolSpec]:
    tokens = dict.fromkeys([*parts.cash, *parts.legs])
    return [
        _cross(AccountMode.UNIFIED, token, token, parts.cash.get(token, 0.0), parts.legs.get(token, []))
        for token in tokens
        if parts.legs.get(token) or parts.cash.get(token, 0.0) != 0.0
    ]


def _portfolio(parts: _Account) -> tuple[list[PoolSpec], dict[tuple[str, str], float]]:
    foreign = next((token for token in parts.legs if token != USDC), None)
    if foreign is not None:
        detail = f"portfolio margin with positions that settle in {foreign} has no published rule"
        raise _CannotTell(FailureReason.UNSUPPORTED_MODE, detail)
    spec = _cross(AccountMode.PORTFOLIO_MARGIN, PORTFOLIO, USDC, parts.cash.get(USDC, 0.0), parts.legs.get(USDC, []))
    spec.kind = PoolKind.HYPERLIQUID_PORTFOLIO_MARGIN
    spec.limit, spec.borrows, spec.borrow_offset = parts.rules.portfolio_margin_limit, True, parts.rules.min_borrow_offset
    prices: dict[tuple[str, str], float] = {}
    for row in parts.spot:
        asset, ratio = row.asset, row.collateral_ratio
        if row.total <= 0:
            continue
        if ratio is None:
            detail = f"no collateral_ratio of {asset}: add it to the balance (0 where the venue lends nothing on it)"
            raise _CannotTell(FailureReason.MISSING_PRICE, detail)
        if ratio <= COUNTED_AT_ZERO_LTV:
            continue
        price = parts.prices.get(asset, math.nan)
        if not price > 0:
            raise _CannotTell(FailureReason.MISSING_PRICE, f"no price of the collateral {asset}: add its index")
        spec.collateral.append(CollateralLeg(asset, row.total, ratio))
        prices[PORTFOLIO, asset] = price
    return [spec], prices
