"""Market bodies and frames of the simulated Aster: exchangeInfo, tiers, marks, funding."""

from __future__ import annotations

from connectors.simulator.aster_exchange import Exchange
from connectors.simulator.aster_listing import AsterListing, MarginAsset, Symbol
from connectors.simulator.aster_prices import FUNDING_CAP, INTEREST, Price
from connectors.simulator.aster_wire import Json, money, number

_ONBOARD_MS = 1_627_628_400_000


def exchange_info(listing: AsterListing, now_ms: int, weight_per_minute: int) -> Json:
    """The exchangeInfo body."""
    limits = (("REQUEST_WEIGHT", "MINUTE", 1, weight_per_minute), ("ORDERS", "MINUTE", 1, 1200), ("ORDERS", "SECOND", 10, 300))
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [{"rateLimitType": a, "interval": b, "intervalNum": c, "limit": d} for a, b, c, d in limits],
        "exchangeFilters": [],
        "assets": [_asset(asset) for asset in listing.assets.values()],
        "symbols": [_symbol(symbol, number) for number, symbol in enumerate(listing.symbols.values(), start=1) if symbol.listed],
    }


def _asset(asset: MarginAsset) -> Json:
    return {"asset": asset.name, "marginAvailable": asset.margin_available, "autoAssetExchange": f"{asset.auto_exchange:.0f}"}


def _symbol(symbol: Symbol, position: int) -> Json:
    tick, step = (
        f"{10.0**-symbol.price_precision:.{symbol.price_precision}f}",
        f"{10.0**-symbol.quantity_precision:.{symbol.quantity_precision}f}",
    )
    size = {"stepSize": step, "minQty": step}
    return {
        "symbol": symbol.name,
        "pair": symbol.name,
        "contractType": "" if symbol.status == "PENDING_TRADING" else "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": _ONBOARD_MS,
        "status": symbol.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.base,
        "quoteAsset": symbol.margin_asset,
        "marginAsset": symbol.margin_asset,
        "pricePrecision": symbol.price_precision,
        "quantityPrecision": symbol.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [symbol.kind] if symbol.kind else [],
        "symbolType": 1 if symbol.kind else 0,
        "tradingMode": 0,
        "name": symbol.base,
        "channel": "forex" if symbol.kind else "",
        "sequenceNo": position,
        "twapMinNotional": "1000",
        "settlePlan": 0,
        "triggerProtect": "0.0200",
        "liquidationFee": f"{symbol.liquidation_fee:.6f}",
        "marketTakeBound": "0.02",
        "createTime": _ONBOARD_MS,
        "filters": [
            {"minPrice": tick, "maxPrice": "1000000", "filterType": "PRICE_FILTER", "tickSize": tick},
            size | {"filterType": "LOT_SIZE", "maxQty": "10000000"},
            size | {"filterType": "MARKET_LOT_SIZE", "maxQty": "1000000"},
            {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
            {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
            {"notional": "5", "filterType": "MIN_NOTIONAL"},
            {"filterType": "PERCENT_PRICE", "multiplierDown": "0.9800", "multiplierUp": "1.0200", "multiplierDecimal": "4"}
            | {"ltMultiplierDown": "0", "ltMultiplierUp": "0"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "RPI", "HIDDEN"],
    }


def brackets(symbol: Symbol) -> Json:
    """One symbol of leverageBracket."""
    rows = [
        {
            "bracket": position,
            "initialLeverage": tier.max_leverage,
            "notionalCap": number(tier.cap),
            "notionalFloor": number(tier.floor),
            "maintMarginRatio": tier.rate,
            "cum": number(tier.cum),
        }
        for position, tier in enumerate(symbol.tiers, start=1)
    ]
    return {"symbol": symbol.name, "brackets": rows}


def premium_index(exchange: Exchange, name: str) -> Json:
    """One symbol of premiumIndex."""
    row, symbol = exchange.prices.rows[name], exchange.listing.symbols[name]
    return {
        "symbol": name,
        "markPrice": money(row.mark),
        "indexPrice": money(row.index),
        "estimatedSettlePrice": money(row.settle),
        "lastFundingRate": money(row.rate),
        "nextFundingTime": exchange.next_funding_ms(symbol),
        "interestRate": money(INTEREST),
        "time": exchange.clock(),
    }


def funding_info(symbol: Symbol, now_ms: int) -> Json:
    """One symbol of fundingInfo."""
    return {
        "symbol": symbol.name,
        "interestRate": money(INTEREST),
        "time": now_ms,
        "fundingIntervalHours": symbol.hours,
        "fundingFeeCap": FUNDING_CAP,
        "fundingFeeFloor": -FUNDING_CAP,
    }


def mark_row(name: str, row: Price, event_ms: int, next_funding_ms: int) -> str:
    """One markPriceUpdate as text: written by hand, as it is most of what the venue says."""
    return (
        f'{{"e":"markPriceUpdate","E":{event_ms},"s":"{name}","p":"{row.mark:.8f}","P":"{row.settle:.8f}","i":"{row.index:.8f}",'
        f'"r":"{row.rate:.8f}","T":{next_funding_ms}}}'
    )


def force_order(body: Json) -> Json:
    """The public sample of a liquidation, from the `o` of its ORDER_TRADE_UPDATE."""
    keys = ("s", "S", "o", "f", "q", "p", "ap", "X", "l", "z", "T")
    return {"e": "forceOrder", "E": body["T"], "o": {key: body[key] for key in keys}}
