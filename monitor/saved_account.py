"""One account as read, written as a snapshot document (spec: report format), so that a number can be sent and recomputed.

Quantities, marks and entries are per 1 coin, whatever the venue's contract unit, and balances are named by their coin. Unknown
values are null or left out. The venue does not say what its stablecoins are worth in USD, nor the index of a coin that it does
not lend: before the portfolio method can use the document, somebody has to complete `fx`, `index` and the account's `equity`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from connectors.events import AccountSnapshot, BorrowReserves, Instruments
from connectors.model import Balance, Instrument, MarginTier, Position
from monitor.margin.pools import PoolSpec
from monitor.verify import SideBySide


def snapshot_document(
    instruments: Instruments, snapshot: AccountSnapshot, seen: SideBySide, time_ms: int, reserves: BorrowReserves | None = None
) -> dict[str, Any]:
    """The document of one account; `time_ms` is the venue's time of reading, `reserves` give the index of the coins it lends."""
    listed = {instrument.id: instrument for instrument in instruments.instruments}
    coins = {token.asset: token.coin for token in instruments.tokens}
    positions = [position for section in snapshot.sections for position in section.positions if position.instrument in listed]
    # those in force: an account may be margined by tables of its own
    tiers = {leg.instrument: leg.tiers for spec in seen.specs for leg in spec.legs}
    balances = snapshot.wallet.balances if snapshot.wallet else ()
    rows = [_instrument(listed[position.instrument], position, tiers.get(position.instrument, ())) for position in positions]
    wanted = {row["coin"] for row in rows} | {coins.get(row.asset, row.asset) for row in balances if row.total or row.borrowed}
    return {
        "version": 1,
        "as_of": datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "parameters": "uta",
        "index": _index(reserves, coins, wanted - {instrument.settle for instrument in instruments.instruments}),
        "instruments": rows,
        "accounts": [
            {
                "id": snapshot.account,
                "venue": snapshot.venue,
                "mode": seen.pools[0].mode,
                "pools": [_pool(spec, seen.prices, listed) for spec in seen.specs],
                "reported": {f"{row.pool} {row.figure}": _finite(row.venue) for row in seen.rows},
                "balances": [_balance(row, coins) for row in balances if row.total],
                "debts": [{"asset": coins.get(row.asset, row.asset), "amount": row.borrowed} for row in balances if row.borrowed],
                "positions": [_position(listed[position.instrument], position) for position in positions],
            }
        ],
    }


def missing_for_portfolio(document: dict[str, Any]) -> tuple[str, ...]:
    """What somebody has to add to a saved document before the portfolio method can use it: keys as the file writes them."""
    coins = {row["coin"] for row in document["instruments"]}
    borrowed = {row["asset"] for account in document["accounts"] for row in account["debts"]}
    stablecoins = {row["settle"] for row in document["instruments"]} | borrowed - coins - document["index"].keys()
    equity = [f"accounts[{number}].equity" for number, account in enumerate(document["accounts"]) if "equity" not in account]
    return (
        *(f"fx.{name}" for name in sorted(stablecoins)),
        *(f"index.{name}" for name in sorted(coins - document["index"].keys())),
        *equity,
    )


def _index(reserves: BorrowReserves | None, coins: dict[str, str], wanted: Iterable[str]) -> dict[str, float]:
    prices = {coins.get(row.asset, row.asset): row.oracle_price for row in reserves.reserves} if reserves else {}
    return {coin: prices[coin] for coin in sorted(wanted) if 0 < prices.get(coin, 0.0) < math.inf}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _instrument(instrument: Instrument, position: Position, tiers: tuple[MarginTier, ...]) -> dict[str, Any]:
    return {
        "id": instrument.id,
        "kind": instrument.kind.value,
        "coin": instrument.coin,
        "settle": instrument.settle,
        "mark": position.mark / instrument.multiplier if 0 < position.mark < math.inf else None,
        "tiers": [[tier.lower_bound, tier.maintenance_rate, tier.deduction] for tier in tiers],
        "max_leverage": position.max_leverage or instrument.max_leverage,
    }


def _pool(spec: PoolSpec, prices: dict[str, float], listed: dict[str, Instrument]) -> dict[str, Any]:
    return {
        "id": spec.name,
        "collateral_asset": spec.asset,
        "cash": spec.cash,
        "limit": spec.limit,
        "collateral": [
            {"asset": leg.asset, "amount": leg.amount, "price": _finite(prices.get(leg.asset)), "ratio": leg.ratio}
            for leg in spec.collateral
        ],
        "positions": [leg.instrument for leg in spec.legs if leg.instrument in listed],
    }


def _balance(row: Balance, coins: dict[str, str]) -> dict[str, Any]:
    ratio = {} if row.ltv is None else {"collateral_ratio": 0.5 + 0.5 * row.ltv}
    return {"asset": coins.get(row.asset, row.asset), "total": row.total} | ratio


def _position(instrument: Instrument, position: Position) -> dict[str, Any]:
    entry = {} if position.entry is None else {"entry": position.entry / instrument.multiplier}
    return {"instrument": instrument.id, "quantity": position.quantity * instrument.multiplier, **entry}
