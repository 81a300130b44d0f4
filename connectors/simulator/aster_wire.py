"""Account bodies and user events of the simulated Aster, in the venue's shapes: decimals as strings, times as integer ms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from connectors.simulator.aster_accounts import Account, Order, Position, Side, entry_decimals
from connectors.simulator.aster_figures import liquidation_prices
from connectors.simulator.aster_listing import Symbol

Json = dict[str, Any]
BOTH: tuple[Side, ...] = ("BOTH",)


def dumps(value: Any) -> str:
    """Compact JSON; symbols may hold characters of any script."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def money(value: float) -> str:
    """Eight decimals."""
    return f"{round(value, 8) + 0.0:.8f}"


def short(value: float) -> str:
    """Eight decimals, or "0"."""
    return money(value) if value else "0"


def quantity(value: float, symbol: Symbol) -> str:
    """An amount with the symbol's decimals."""
    return f"{value + 0.0:.{symbol.quantity_precision}f}"


def number(value: float) -> int | float:
    """A JSON number, whole where it can be."""
    return int(value) if value == int(value) else value


def account_body(account: Account) -> Json:
    """accountWithJoinMargin. Totals are the USDT pool's in single-asset mode, USD over all assets in multi-assets mode."""
    names = [name for name, row in account.listing.assets.items() if row.margin_available]
    wallets = {name: account.wallet[name] for name in names}
    multi = account.multi_assets
    held = [p for p in account.open_positions() if multi or p.symbol.margin_asset == "USDT"]
    wallet = sum(account.value(a, b) for a, b in wallets.items()) if multi else account.wallet["USDT"]
    cross_wallet = account.total_value() if multi else account.cross_wallet("USDT")
    profit = sum(account.unrealized(p) for p in held)
    initial = sum(account.initial(p) for p in held)
    orders = sum(account.asset_order_margin(a) for a in account.listing.settlement) if multi else account.asset_order_margin("USDT")
    available = account.available(None if multi else "USDT")
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "totalInitialMargin": money(initial + orders),
        "totalMaintMargin": money(sum(account.maintenance(p) for p in held)),
        "totalWalletBalance": short(wallet),
        "totalUnrealizedProfit": money(profit),
        "totalMarginBalance": short(wallet + profit),
        "totalPositionInitialMargin": money(initial),
        "totalOpenOrderInitialMargin": money(orders),
        "totalCrossWalletBalance": short(cross_wallet),
        "totalCrossUnPnl": money(sum(account.unrealized(p) for p in held if not account.isolated(p))),
        "availableBalance": money(available),
        "maxWithdrawAmount": short(max(0.0, min(available, cross_wallet))),
        "assets": [_asset_row(account, name) for name in account.listing.assets],
        "positions": [_account_position(account, name, side) for name in account.listing.symbols for side in account.sides],
    }


def _asset_available(account: Account, asset: str) -> float:
    """Single-asset mode: of that asset. Multi-assets mode: the whole account's, converted to the asset."""
    if not account.multi_assets:
        return account.available(asset)
    rate = account.value(asset, 1.0)
    return account.available(None) / rate if rate else 0.0


def _asset_row(account: Account, asset: str) -> Json:
    held = [p for p in account.open_positions() if p.symbol.margin_asset == asset]
    wallet, cross_wallet = account.wallet[asset], account.cross_wallet(asset)
    profit = sum(account.unrealized(p) for p in held)
    initial, orders = sum(account.initial(p) for p in held), account.asset_order_margin(asset)
    available = _asset_available(account, asset)
    return {
        "asset": asset,
        "walletBalance": money(wallet),
        "unrealizedProfit": money(profit),
        "marginBalance": money(wallet + profit),
        "maintMargin": money(sum(account.maintenance(p) for p in held)),
        "initialMargin": money(initial + orders),
        "positionInitialMargin": money(initial),
        "openOrderInitialMargin": money(orders),
        "maxWithdrawAmount": money(max(0.0, min(available, cross_wallet))),
        "crossWalletBalance": money(cross_wallet),
        "crossUnPnl": money(sum(account.unrealized(p) for p in held if not account.isolated(p))),
        "availableBalance": money(available),
        "marginAvailable": account.listing.assets[asset].margin_available,
        "updateTime": account.wallet_updated.get(asset, 0),
    }


def _row(account: Account, symbol: str, side: Side) -> Position:
    return account.positions.get((symbol, side)) or Position(account.listing.symbols[symbol], side)


def _entry(entry: float) -> str:
    return f"{entry:.{entry_decimals(entry)}f}" if entry else "0.0"


def _account_position(account: Account, symbol: str, side: Side) -> Json:
    p = _row(account, symbol, side)
    leverage = account.leverage_of(symbol)
    initial, orders = account.initial(p), account.order_margin(symbol, side)
    return {
        "symbol": symbol,
        "initialMargin": short(initial + orders),
        "maintMargin": short(account.maintenance(p)),
        "unrealizedProfit": money(account.unrealized(p)),
        "positionInitialMargin": short(initial),
        "openOrderInitialMargin": short(orders),
        "leverage": str(leverage),
        "isolated": account.isolated(p),
        "entryPrice": _entry(p.entry),
        "maxNotional": f"{p.symbol.max_notional(leverage):.0f}",
        "positionSide": side,
        "positionAmt": quantity(p.amount, p.symbol),
        "notional": short(account.notional(p)),
        "isolatedWallet": short(p.isolated_wallet),
        "updateTime": p.updated_ms,
    }


def balance_rows(account: Account, name: str) -> list[Json]:
    """The balance endpoint; `name` is the account's `accountAlias`."""
    rows: list[Json] = []
    for asset, row in account.listing.assets.items():
        full = _asset_row(account, asset)
        rows.append(
            {
                "accountAlias": name,
                "asset": asset,
                "balance": full["walletBalance"],
                "crossWalletBalance": full["crossWalletBalance"],
                "crossUnPnl": full["crossUnPnl"],
                "availableBalance": full["availableBalance"],
                "maxWithdrawAmount": full["maxWithdrawAmount"],
                "marginAvailable": row.margin_available,
                "updateTime": full["updateTime"],
            }
        )
    return rows


def risk_rows(account: Account, symbols: Iterable[str], *, omit_flat: bool) -> list[Json]:
    """positionRisk. Flat rows print a zero mark, as recorded."""
    prices = liquidation_prices(account)
    found = [(_row(account, name, side), prices.get((name, side))) for name in symbols for side in account.sides]
    return [_risk_row(account, p, price) for p, price in found if p.amount or not omit_flat]


def _risk_row(account: Account, p: Position, liquidation: float | None) -> Json:
    name, leverage = p.symbol.name, account.leverage_of(p.symbol.name)
    isolated = account.isolated(p)
    return {
        "symbol": name,
        "positionAmt": quantity(p.amount, p.symbol),
        "entryPrice": _entry(p.entry),
        "markPrice": money(account.mark(p) if p.amount else 0.0),
        "unRealizedProfit": money(account.unrealized(p)),
        "liquidationPrice": short(liquidation or 0.0),
        "leverage": str(leverage),
        "maxNotionalValue": f"{p.symbol.max_notional(leverage):.0f}",
        "marginType": "isolated" if isolated else "cross",
        "isolatedMargin": money(p.isolated_wallet + account.unrealized(p) if isolated else 0.0),
        "isAutoAddMargin": "false",
        "positionSide": p.side,
        "notional": short(account.notional(p)),
        "isolatedWallet": short(p.isolated_wallet),
        "updateTime": p.updated_ms,
    }


def open_order(order: Order) -> Json:
    """One row of openOrders."""
    average = order.quote / order.filled if order.filled else 0.0
    return {
        "avgPrice": f"{average:.{order.symbol.price_precision}f}",
        "clientOrderId": order.client_id,
        "cumQuote": short(order.quote),
        "executedQty": quantity(order.filled, order.symbol),
        "orderId": order.number,
        "origQty": quantity(order.quantity, order.symbol),
        "origType": order.kind,
        "price": f"{order.price:.{order.symbol.price_precision}f}",
        "reduceOnly": False,
        "side": "BUY" if order.buy else "SELL",
        "positionSide": order.side,
        "status": "PARTIALLY_FILLED" if order.filled else "NEW",
        "stopPrice": "0",
        "closePosition": False,
        "symbol": order.symbol.name,
        "time": order.time_ms,
        "timeInForce": order.time_in_force,
        "type": order.kind,
        "updateTime": order.time_ms,
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
    }


def account_update(account: Account, stamp: int, reason: str, balances: Mapping[str, float], positions: Iterable[Position]) -> Json:
    """ACCOUNT_UPDATE: the touched balances (asset -> change but for profit and commission) and position rows only."""
    return {
        "e": "ACCOUNT_UPDATE",
        "T": stamp,
        "E": stamp,
        "a": {
            "B": [
                {"a": a, "wb": money(account.wallet[a]), "cw": money(account.cross_wallet(a)), "bc": short(change)}
                for a, change in balances.items()
            ],
            "P": [_update_row(account, p) for p in positions],
            "m": reason,
        },
    }


def _update_row(account: Account, p: Position) -> Json:
    return {
        "s": p.symbol.name,
        "pa": quantity(p.amount, p.symbol) if p.amount else "0",
        "ep": f"{p.entry:.{entry_decimals(p.entry)}f}",
        "cr": short(p.realized),
        "up": short(account.unrealized(p)),
        "mt": "isolated" if account.isolated(p) else "cross",
        "iw": short(p.isolated_wallet),
        "ps": p.side,
        "ma": p.symbol.margin_asset,
    }


def touched(account: Account, p: Position) -> list[Position]:
    """Rows an event on a position sends: hedge accounts send the flat BOTH row and both legs of the symbol."""
    sides: tuple[Side, ...] = ("BOTH", "LONG", "SHORT") if account.hedge else BOTH
    return [_row(account, p.symbol.name, side) for side in sides]


def order_update(order: Order, stamp: int, execution: str, status: str, fill: Json | None = None) -> Json:
    """ORDER_TRADE_UPDATE; `fill` brings the fields of an execution: l, L, N, n, t, m, rp."""
    body: Json = {
        "s": order.symbol.name,
        "c": order.client_id,
        "S": "BUY" if order.buy else "SELL",
        "o": order.kind,
        "f": order.time_in_force,
        "q": quantity(order.quantity, order.symbol),
        "p": f"{order.price:.{order.symbol.price_precision}f}",
        "ap": short(order.quote / order.filled if order.filled else 0.0),
        "sp": "0",
        "x": execution,
        "X": status,
        "i": order.number,
        "l": "0",
        "z": quantity(order.filled, order.symbol),
        "L": "0",
        "T": stamp,
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": order.kind,
        "ps": order.side,
        "cp": False,
        "rp": "0",
    }
    body["b" if order.buy else "a"] = short(order.price * (order.quantity - order.filled))
    return {"e": "ORDER_TRADE_UPDATE", "E": stamp, "T": stamp, "o": body | (fill or {})}


def margin_call(account: Account, stamp: int, positions: Iterable[Position], cross_wallet: float | None) -> Json:
    """MARGIN_CALL of a pool; `cross_wallet` only for a cross one."""
    rows = [
        {
            "s": p.symbol.name,
            "ps": p.side,
            "pa": quantity(p.amount, p.symbol),
            "mt": "ISOLATED" if account.isolated(p) else "CROSSED",
            "iw": short(p.isolated_wallet),
            "mp": money(account.mark(p)),
            "up": money(account.unrealized(p)),
            "mm": money(account.maintenance(p)),
        }
        for p in positions
    ]
    head: Json = {"e": "MARGIN_CALL", "E": stamp}
    return head | ({} if cross_wallet is None else {"cw": money(cross_wallet)}) | {"p": rows}


def config_update(stamp: int, change: Json) -> Json:
    """ACCOUNT_CONFIG_UPDATE; `change` is its "ac" or "ai" part."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": stamp, "T": stamp} | change


def announcement(stamp: int, number: int) -> Json:
    """A public announcement, as user streams carry it too."""
    text = {"i": number, "t": "Simulated listing", "s": "of nothing", "c": "NEW_LISTING", "d": stamp, "S": False}
    text |= {"j": "https://asterdex.com", "C": "<p>simulated</p>"}
    return {"e": "announcement", "en": text, "zh": text | {"t": "模拟公告"}}
