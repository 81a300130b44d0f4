"""What a fill, a funding payment and a transfer do to an account's cash and positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from connectors.simulator.hyperliquid_accounts import Account, Position, TransferKind
from connectors.simulator.hyperliquid_listing import USDC, SpotPair

WITHDRAWAL_FEE = 1.0


@dataclass(frozen=True, slots=True)
class FillEffect:
    """What the venue prints of a fill: size before it, profit realised, and its direction in words."""

    start: float
    closed_pnl: float
    direction: str


def apply_fill(account: Account, coin: str, size: float, price: float, fee: float, *, liquidated: bool = False) -> FillEffect:
    """Trade `size` (signed) of a perpetual at `price`, paying `fee`; a flip closes, then opens the rest.

    Opening isolated moves notional / leverage from the dex's cash into the position; closing gives the closed share back,
    except in a liquidation, whose proceeds and fee stay with the position until it is gone.
    """
    position = account.positions.get(coin)
    start = 0.0 if position is None else position.size
    closed = -math.copysign(min(abs(start), abs(size)), start) if start * size < 0.0 else 0.0
    opened = round(size - closed, 8)
    isolated = position is not None and position.isolated
    if isolated and liquidated and position is not None:
        position.raw_usd = round(position.raw_usd - fee, 6)
    else:
        account.credit(account.market.listing.assets[coin].dex, -fee)
    pnl = 0.0
    if closed and position is not None:
        pnl = round(-closed * (price - position.entry), 6)
        _close(account, position, closed, price, liquidated)
    if opened:
        _open(account, coin, opened, price)
    return FillEffect(start, pnl, _direction(start, size, isolated, liquidated))


def _close(account: Account, position: Position, closed: float, price: float, liquidated: bool) -> None:
    fraction = abs(closed / position.size)
    if not position.isolated:
        account.credit(position.dex, -closed * price)
    else:
        equity = position.raw_usd + position.size * price
        position.raw_usd = round(position.raw_usd - closed * price, 6)
        if fraction == 1.0 or not liquidated:
            released = round(fraction * equity, 6)
            position.raw_usd = round(position.raw_usd - released, 6)
            account.credit(position.dex, released)
    position.size = round(position.size + closed, account.market.listing.assets[position.coin].sz_decimals)
    position.funding_since_change = 0.0
    if position.size == 0.0:
        del account.positions[position.coin]


def _open(account: Account, coin: str, opened: float, price: float) -> None:
    asset = account.market.listing.assets[coin]
    position = account.positions.get(coin)
    if position is None:
        position = Position(coin, asset.dex, 0.0, price, account.leverage(coin), account.trades_isolated(coin))
        account.positions[coin] = position
    size = round(position.size + opened, asset.sz_decimals)
    position.entry = (position.size * position.entry + opened * price) / size
    position.size = size
    position.funding_since_change = 0.0
    cost = opened * price
    if position.isolated:
        margin = round(abs(cost) / position.leverage, 6)
        position.raw_usd = round(position.raw_usd + margin - cost, 6)
        cost = margin
    account.credit(asset.dex, -cost)


def _direction(start: float, size: float, isolated: bool, liquidated: bool) -> str:
    side = "Long" if start > 0.0 else "Short"
    if liquidated:
        return f"Liquidated {'Isolated' if isolated else 'Cross'} {side}"
    if start * size >= 0.0:
        return "Open Long" if size > 0.0 else "Open Short"
    if abs(size) <= abs(start):
        return f"Close {side}"
    return "Long > Short" if start > 0.0 else "Short > Long"


def apply_spot_fill(account: Account, pair: SpotPair, size: float, price: float, fee: float) -> float:
    """Trade `size` (signed) of a pair's base; a buy pays `fee` in the base, a sale in USDC. Returns the profit realised."""
    held = account.wallet.get(pair.base, 0.0)
    basis = account.cost_basis.get(pair.base, 0.0)
    pnl = 0.0
    if size < 0.0 and held > 0.0:
        share = min(1.0, -size / held)
        pnl = round(-size * price - basis * share, 8)
        account.cost_basis[pair.base] = basis * (1.0 - share)
    elif size > 0.0:
        account.cost_basis[pair.base] = basis + size * price
    account.credit_wallet(pair.base, size - (fee if size > 0.0 else 0.0))
    account.credit_wallet(USDC, -size * price - (0.0 if size > 0.0 else fee))
    return pnl


def apply_funding(account: Account, position: Position, rate: float) -> float:
    """Pay one funding interval: size * oracle * rate. Returns the signed cash flow to the user."""
    paid = round(position.size * account.market.oracle(position.coin) * rate, 6)
    if position.isolated:
        position.raw_usd = round(position.raw_usd - paid, 6)
    else:
        account.credit(position.dex, -paid)
    position.funding_all_time = round(position.funding_all_time + paid, 6)
    position.funding_since_open = round(position.funding_since_open + paid, 6)
    position.funding_since_change = round(position.funding_since_change + paid, 6)
    return -paid


def apply_transfer(account: Account, kind: TransferKind, amount: float, dex: str) -> dict[str, object]:
    """Move money and return the ledger delta the venue prints for it."""
    if kind in ("deposit", "withdraw"):
        fee = WITHDRAWAL_FEE if kind == "withdraw" else 0.0
        account.credit("", amount if kind == "deposit" else -amount - fee)
        account.ledger_total += amount if kind == "deposit" else -amount
        money: dict[str, object] = {"type": kind, "usdc": _money(amount)}
        return money if kind == "deposit" else money | {"nonce": account.market.now_ms, "fee": _money(fee)}
    if kind in ("spotToPerp", "perpToSpot"):
        signed = amount if kind == "spotToPerp" else -amount
        if not account.pooled:
            account.credit("", signed)
            account.credit_wallet(USDC, -signed)
        return {"type": "accountClassTransfer", "usdc": _money(amount), "toPerp": kind == "spotToPerp"}
    token = account.market.listing.tokens[account.collateral(dex)]
    if not account.pooled:
        account.credit(dex, amount)
        account.credit_wallet(token.index, -amount)
    ends = ("spot", dex) if amount >= 0.0 else (dex, "spot")
    return {
        "type": "send",
        "user": account.address,
        "destination": account.address,
        "sourceDex": ends[0],
        "destinationDex": ends[1],
        "token": token.name,
        "amount": _money(abs(amount)),
        "usdcValue": _money(abs(amount) * account.market.token_price(token.index)),
        "fee": "0.0",
        "nativeTokenFee": "0.0",
        "nonce": account.market.now_ms,
        "feeToken": "",
    }


def _money(amount: float) -> str:
    text = f"{amount:.8f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
