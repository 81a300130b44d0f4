"""The snapshot document (spec: report format): one account as read, so that a number can be sent to a colleague and recomputed.

Quantities, marks and entries are per 1 coin, whatever the venue's contract unit. Unknown values are left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.events import AccountSnapshot, Instruments
from connectors.model import Balance, Instrument, MarginTier, Position
from monitor.margin.pools import PoolSpec
from monitor.verify import SideBySide


def snapshot_document(instruments: Instruments, snapshot: AccountSnapshot, seen: SideBySide, time_ms: int) -> dict[str, Any]:
    """The document of one account; `time_ms` is the venue's time of reading."""
    listed = {instrument.id: instrument for instrument in instruments.instruments}
    positions = [position for section in snapshot.sections for position in section.positions]
    # those in force: an account may be margined by tables of its own
    tiers = {leg.instrument: leg.tiers for spec in seen.specs for leg in spec.legs}
    return {
        "version": 1,
        "as_of": datetime.fromtimestamp(time_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "parameters": "uta",
        "instruments": [
            _instrument(listed[position.instrument], position, tiers.get(position.instrument, ()))
            for position in positions
            if position.instrument in listed
        ],
        "accounts": [
            {
                "id": snapshot.account,
                "venue": snapshot.venue,
                "mode": seen.pools[0].mode,
                "pools": [_pool(spec, seen.prices) for spec in seen.specs],
                "reported": {f"{row.pool} {row.figure}": row.venue for row in seen.rows},
                "balances": [_balance(row) for row in snapshot.wallet.balances if row.total] if snapshot.wallet else [],
                "debts": [{"asset": row.asset, "amount": row.borrowed} for row in snapshot.wallet.balances if row.borrowed]
                if snapshot.wallet
                else [],
                "positions": [_position(listed[position.instrument], position) for position in positions if position.instrument in listed],
            }
        ],
    }


def _instrument(instrument: Instrument, position: Position, tiers: tuple[MarginTier, ...]) -> dict[str, Any]:
    return {
        "id": instrument.id,
        "kind": instrument.kind.value,
        "coin": instrument.coin,
        "settle": instrument.settle,
        "mark": position.mark / instrument.multiplier,
        "tiers": [[tier.lower_bound, tier.maintenance_rate, tier.deduction] for tier in tiers],
        "max_leverage": position.max_leverage or instrument.max_leverage,
    }


def _pool(spec: PoolSpec, prices: dict[str, float]) -> dict[str, Any]:
    return {
        "id": spec.name,
        "collateral_asset": spec.asset,
        "cash": spec.cash,
        "limit": spec.limit,
        "collateral": [
            {"asset": leg.asset, "amount": leg.amount, "price": prices.get(leg.asset), "ratio": leg.ratio} for leg in spec.collateral
        ],
        "positions": [leg.instrument for leg in spec.legs],
    }


def _balance(row: Balance) -> dict[str, Any]:
    return {"asset": row.asset, "total": row.total} | ({} if row.ltv is None else {"collateral_ratio": 0.5 + 0.5 * row.ltv})


def _position(instrument: Instrument, position: Position) -> dict[str, Any]:
    entry = {} if position.entry is None else {"entry": position.entry / instrument.multiplier}
    return {"instrument": instrument.id, "quantity": position.quantity * instrument.multiplier, **entry}
