"""Rows of a snapshot document (spec: report format) from what the program knows: per 1 coin, whatever the venue's contract unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.model import Balance, Instrument, InstrumentKind, MarginTier, PositionSide
from monitor.margin.pools import PoolSpec

OPTIONS = frozenset({InstrumentKind.OPTION, InstrumentKind.OUTCOME})
"""Kinds with a strike, priced on a forward with a volatility."""


def finite(value: float | None) -> float | None:
    """The number, or None for one that is unknown."""
    return value if value is not None and math.isfinite(value) else None


def instrument_row(
    instrument: Instrument,
    mark: float,
    tiers: Sequence[MarginTier],
    max_leverage: float = 0.0,
    *,
    forward: float | None = None,
    volatility: float | None = None,
) -> dict[str, Any]:
    """An instrument with the tiers in force; `mark` per contract unit, `max_leverage` the position's own (0: the instrument's).

    `forward`, in the quote currency per coin, and `volatility` (0.42 is 42 %) are those of an option or outcome; NaN or None: unknown.
    """
    is_option = instrument.kind in OPTIONS
    row: dict[str, Any] = {
        "id": instrument.id,
        "kind": instrument.kind.value,
        "coin": instrument.coin,
        "settle": instrument.settle,
        # an option may be worth nothing, anything else without a price is one nobody told
        "mark": mark / instrument.multiplier if 0 < mark < math.inf or (mark == 0 and is_option) else None,
        "tiers": [[tier.lower_bound, tier.maintenance_rate, tier.deduction] for tier in tiers],
        "max_leverage": max_leverage or instrument.max_leverage,
    }
    if instrument.inverse and not is_option:
        row["inverse"] = True
    if instrument.expiry_ms:
        row["expiry"] = instrument.expiry_ms
    if is_option and instrument.option_type is not None:
        row |= {"strike": instrument.strike / instrument.multiplier, "option_type": instrument.option_type.value}
        row |= {"forward": finite(forward), "iv": finite(volatility)}
    return row


def position_row(instrument: Instrument, quantity: float, side: PositionSide, entry: float | None = None) -> dict[str, Any]:
    """A position; `quantity` and `entry` per contract unit. Only a leg of an account in hedge mode names its side."""
    row: dict[str, Any] = {"instrument": instrument.id, "quantity": quantity * instrument.multiplier}
    if entry is not None:
        row["entry"] = entry / instrument.multiplier
    if side is not PositionSide.BOTH:
        row["side"] = side.value
    return row


def balance_row(row: Balance, coin: str) -> dict[str, Any]:
    """A row of a Hyperliquid wallet, named by its coin; its `collateral_ratio` is the liquidation threshold of portfolio margin."""
    ratio = {} if row.ltv is None else {"collateral_ratio": 0.5 + 0.5 * row.ltv}
    return {"asset": coin, "total": row.total} | ratio


def pool_row(spec: PoolSpec, prices: Mapping[str, float], listed: Mapping[str, Instrument]) -> dict[str, Any]:
    """A pool as its venue's rule needs it; `prices` of collateral by asset, `listed` the instruments of the document."""
    return {
        "id": spec.name,
        "collateral_asset": spec.asset,
        "cash": spec.cash,
        "limit": spec.limit,
        "collateral": [
            {"asset": leg.asset, "amount": leg.amount, "price": finite(prices.get(leg.asset)), "ratio": leg.ratio}
            for leg in spec.collateral
        ],
        "positions": list(dict.fromkeys(leg.instrument for leg in spec.legs if leg.instrument in listed)),
    }
