"""How the simulated Deribit writes public data: instruments, tickers, chains. Tickers carry volatility in percent, chains as a decimal."""

from __future__ import annotations

import json
from typing import Any

from connectors.simulator.deribit_black import FLAT, Greeks
from connectors.simulator.deribit_listing import Contract
from connectors.simulator.deribit_prices import DeribitPrices, OptionQuote

Json = dict[str, Any]

_UUID = "5b71fc48-3dd3-540c-809b-{:012x}"
_NO_BID, _CAPPED_ASK = 0.0, 500.0
_EXPIRED_IV = 250.0


def dumps(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"))


def notification(channel: str, data: Any) -> str:
    """A frame of a subscribed channel."""
    return dumps({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}})


def instrument_row(contract: Contract) -> Json:
    """A row of get_instruments."""
    family = contract.family
    quote = family.settle if contract.is_option or not family.inverse else "USD"
    row: Json = {
        "state": "open",
        "price_index": family.index,
        "kind": contract.kind,
        "instrument_name": contract.name,
        "maker_commission": 0.0003 if contract.is_option else 0.0,
        "taker_commission": 0.0003 if contract.is_option else 0.0005,
        "instrument_type": "reversed" if family.inverse else "linear",
        "underlying_type": "crypto",
        "expiration_timestamp": 32_503_708_800_000 if contract.expiry_ms is None else contract.expiry_ms,
        "instrument_id": contract.number,
        "product_group": family.prefix,
        "creation_timestamp": contract.created_ms,
        "is_active": True,
        "contract_size": family.amount if contract.is_option else family.contract,
        "tick_size": family.tick if contract.is_option else 0.5 if family.inverse else 0.001,
        "counter_currency": "USD" if family.inverse else "USDC",
        "min_trade_amount": 0.1 * family.amount if contract.is_option else family.contract,
        "block_trade_commission": 0.0003,
        "block_trade_min_trade_amount": 25,
        "block_trade_tick_size": family.tick,
        "settlement_currency": family.settle,
        "settlement_period": contract.period,
        "base_currency": family.coin,
        "index_id": 1_000_033,
        "quote_currency": quote,
        "tick_size_steps": [{"tick_size": 5.0 * family.tick, "above_price": 50.0 * family.tick}],
        "lot_size": 1,
        "base_currency_uuid": _UUID.format(len(family.coin)),
        "quote_currency_uuid": _UUID.format(len(quote)),
    }
    if contract.is_option:
        row |= {"strike": contract.strike, "option_type": "call" if contract.call else "put"}
    else:
        row |= {"max_leverage": 50, "max_liquidation_commission": 0.0075}
        row |= {"future_type": row["instrument_type"]}
    return row


def chain_row(contract: Contract, iv: float | None, mark: float, stamp: int) -> Json:
    """A row of markprice.options: the mark has four decimals here."""
    return {"timestamp": stamp, "iv": iv, "instrument_name": contract.name, "mark_price": round(mark, 4)}


def ticker(contract: Contract, prices: DeribitPrices, stamp: int, iv: float | None) -> Json:
    """A ticker's data; `iv` is what the venue tells of an option's volatility, a decimal, None for nothing."""
    index = prices.indices[contract.family.index]
    if not contract.is_option:
        return _future_ticker(contract, prices.mark(contract), index, stamp)
    quote, unit = prices.options[contract.name], prices.greeks(contract)
    return _option_ticker(contract, quote, index, stamp) | {
        "mark_iv": None if iv is None else round(100.0 * iv, 2),
        "bid_iv": _NO_BID if quote.mark < contract.family.tick else round(100.0 * quote.iv - 1.0, 2),
        "ask_iv": min(round(100.0 * quote.iv + 1.0, 2), _CAPPED_ASK),
        "greeks": _greeks(unit),
        "underlying_index": contract.name.rsplit("-", 2)[0],
        "estimated_delivery_price": index,
    }


def expired_ticker(contract: Contract, last: OptionQuote, index: float, stamp: int) -> Json:
    """What a ticker says for a while after its option has expired: no greeks, an arbitrary volatility, words for numbers."""
    return _option_ticker(contract, last, index, stamp) | {
        "mark_iv": _EXPIRED_IV,
        "bid_iv": _NO_BID,
        "ask_iv": _CAPPED_ASK,
        "greeks": _greeks(FLAT),
        "underlying_index": contract.name.rsplit("-", 2)[0],
        "estimated_delivery_price": "expired",
    }


def book_summary_row(contract: Contract, prices: DeribitPrices, stamp: int, iv: float | None) -> Json:
    """A row of get_book_summary_by_currency: marks in full precision, volatility in percent."""
    family, mark = contract.family, prices.mark(contract)
    tick = family.tick if contract.is_option else 0.5
    volume = round(10.0 + contract.number % 97, 1)
    index = prices.indices[family.index]
    row: Json = {
        "volume": volume,
        "volume_usd": round(volume * (mark * index if family.inverse and contract.is_option else mark), 2),
        "quote_currency": "USD" if family.inverse else "USDC",
        "price_change": -1.5,
        "open_interest": round(100.0 + contract.number % 53, 1),
        "mid_price": mark,
        "mark_price": mark,
        "low": mark,
        "last": mark,
        "high": mark,
        "instrument_name": contract.name,
        "creation_timestamp": stamp,
        "bid_price": mark - tick if mark > tick else None,
        "base_currency": family.coin,
        "ask_price": mark + tick,
    }
    if not contract.is_option:
        return row | {"estimated_delivery_price": index}
    forward = prices.options[contract.name].forward
    told = {"underlying_price": forward, "underlying_index": contract.name.rsplit("-", 2)[0], "interest_rate": 0.0}
    return row | told | {"mark_iv": None if iv is None else round(100.0 * iv, 2)}


def _option_ticker(contract: Contract, quote: OptionQuote, index: float, stamp: int) -> Json:
    tick, mark = contract.family.tick, round(quote.mark, 4)
    return {
        "timestamp": stamp,
        "state": "open",
        "stats": {"high": None, "low": None, "price_change": None, "volume": 0.0, "volume_usd": 0.0},
        "index_price": index,
        "instrument_name": contract.name,
        "last_price": mark,
        "settlement_price": quote.mark,
        "min_price": tick,
        "max_price": round(mark + 400.0 * tick, 4),
        "open_interest": round(100.0 + contract.number % 53, 1),
        "mark_price": mark,
        "interest_rate": 0.0,
        "best_ask_price": round(mark + tick, 4),
        "best_bid_price": round(max(mark - tick, 0.0), 4),
        "underlying_price": quote.forward,
        "best_ask_amount": 10.0,
        "best_bid_amount": 10.0,
    }


def _greeks(unit: Greeks) -> Json:
    return {
        "delta": round(unit.delta, 5),
        "gamma": round(unit.gamma, 5),
        "vega": round(unit.vega, 5),
        "theta": round(unit.theta, 5),
        "rho": round(unit.rho, 5),
    }


def _future_ticker(contract: Contract, mark: float, index: float, stamp: int) -> Json:
    row: Json = {
        "timestamp": stamp,
        "state": "open",
        "stats": {"high": mark, "low": mark, "price_change": 0.1, "volume": 1_000.0, "volume_usd": 1_000.0, "volume_notional": 1_000.0},
        "index_price": index,
        "instrument_name": contract.name,
        "last_price": mark,
        "settlement_price": mark,
        "min_price": round(0.985 * mark, 4),
        "max_price": round(1.015 * mark, 4),
        "open_interest": 1_000_000.0,
        "mark_price": mark,
        "estimated_delivery_price": index,
        "best_ask_price": mark,
        "best_bid_price": mark,
        "best_ask_amount": 10_000.0,
        "best_bid_amount": 10_000.0,
    }
    if contract.expiry_ms is None:
        row |= {"current_funding": 0.0, "funding_8h": 0.00001, "interest_value": 0.01}
    return row
