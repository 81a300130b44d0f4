"""Outcome positions as digital options: what a side of a price outcome pays, as legs that the portfolio method knows.

A side pays 1 of its quote or nothing, by where the price settles. Yes of "above K" is a digital call, No a digital put; a bucket
between two prices is a call at the lower less a call at the upper one, its No a put at the lower and a call at the upper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from connectors.model import Balance, Instrument, InstrumentKind, OptionType, OutcomeMarket

VENUE = "hyperliquid"
YES, NO = 0, 1


class OutcomeHolding(NamedTuple):
    """`size` contracts of one side of a market."""

    market: OutcomeMarket
    side: int
    size: float


class DigitalLeg(NamedTuple):
    """`quantity` of a digital option."""

    instrument: Instrument
    quantity: float


def holdings(balances: Mapping[str, Balance], markets: Mapping[int, OutcomeMarket]) -> Iterator[OutcomeHolding]:
    """The price outcomes among the rows of a wallet (asset "+N", N = 10 * outcome + side; venue notes); others are passed over."""
    for asset, row in balances.items():
        number = asset[1:]
        if asset.startswith("+") and number.isascii() and number.isdigit() and row.total != 0:
            market = markets.get(int(number) // 10)
            if market is not None and int(number) % 10 in (YES, NO):
                yield OutcomeHolding(market, int(number) % 10, row.total)


def digital_legs(holding: OutcomeHolding) -> list[DigitalLeg]:
    """What a holding pays, as digital options; a side that pays whatever happens, or never, has none."""
    market, size = holding.market, holding.size
    lower, upper = market.lower, market.upper
    if holding.side == YES:
        terms = [] if lower is None else [(lower, OptionType.CALL, size)]
        if upper is not None:
            terms.append((upper, OptionType.PUT, size) if lower is None else (upper, OptionType.CALL, -size))
    else:
        terms = [] if lower is None else [(lower, OptionType.PUT, size)]
        if upper is not None:
            terms.append((upper, OptionType.CALL, size))
    return [DigitalLeg(_digital(market, strike, kind), quantity) for strike, kind, quantity in terms]


def _digital(market: OutcomeMarket, strike: float, kind: OptionType) -> Instrument:
    when = datetime.fromtimestamp(market.expiry_ms / 1000, UTC).strftime("%Y%m%dT%H%M")
    symbol = f"outcome:{market.coin}_{market.quote}-{when}-{strike:.10g}-{'C' if kind is OptionType.CALL else 'P'}"
    return Instrument(
        id=f"{VENUE}:{symbol}",
        venue=VENUE,
        symbol=symbol,
        kind=InstrumentKind.OUTCOME,
        coin=market.coin,
        settle=market.quote,
        expiry_ms=market.expiry_ms,
        strike=strike,
        option_type=kind,
    )
