"""Black-76 as the simulated Deribit prices and publishes it: undiscounted, on the expiry's forward, a year of 365 days."""

from __future__ import annotations

import math
from dataclasses import dataclass

YEAR_MS = 365.0 * 86_400_000.0


@dataclass(frozen=True, slots=True)
class Greeks:
    """Greeks of one unit as tickers print them: `vega` per volatility point, `theta` per day (or what is left of one), `rho` per point.

    `delta` has no premium in it, `gamma` is per one unit of the quote currency.
    """

    delta: float
    gamma: float
    vega: float
    theta: float
    rho: float


FLAT = Greeks(0.0, 0.0, 0.0, 0.0, 0.0)


def price(forward: float, strike: float, years: float, volatility: float, *, call: bool) -> float:
    """Price in the unit of forward and strike; the intrinsic value when no time or volatility is left."""
    deviation = volatility * math.sqrt(max(years, 0.0))
    if deviation <= 0.0:
        return max(forward - strike if call else strike - forward, 0.0)
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    put = max(strike * _normal(deviation - d1) - forward * _normal(-d1), 0.0)
    # By parity, as a deep call is the difference of two large numbers.
    return put + (forward - strike) if call else put


def greeks(forward: float, strike: float, years: float, volatility: float, *, call: bool) -> Greeks:
    """Greeks of one unit; all zero at and after expiry, as the venue prints them."""
    deviation = volatility * math.sqrt(max(years, 0.0))
    if deviation <= 0.0:
        return FLAT
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    density = math.exp(-0.5 * d1 * d1) / math.sqrt(2.0 * math.pi)
    decay = -forward * density * volatility / (2.0 * math.sqrt(years)) * min(1.0 / 365.0, years)
    sign = 1.0 if call else -1.0
    return Greeks(
        sign * _normal(sign * d1),
        density / (forward * deviation),
        forward * density * math.sqrt(years) / 100.0,
        decay,
        sign * strike * years * _normal(sign * (d1 - deviation)) / 100.0,
    )


def payoff(settlement: float, strike: float, *, call: bool, inverse: bool) -> float:
    """What one unit delivers at a settlement price: in coin if `inverse`, else in the quote currency."""
    value = max(settlement - strike if call else strike - settlement, 0.0)
    return value / settlement if inverse else value


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
