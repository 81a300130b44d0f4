"""Sections 2 and 3: the nodes of the stress grid and the P&L of one unit of an instrument, of spot and of collateral at a node."""

from __future__ import annotations

import math

from tests.reference.market import Quote
from tests.reference.parameters import Values
from tests.reference.snapshot import SECONDS_A_DAY

LOWEST_NODE = -0.999999


def regime(daily_volatility: float | None, sigma_ref: float, power: float, cap: float) -> float:
    """Factor on price_range, f_E and (im_factor - 1): at least 1, 1 while the volatility is unknown."""
    if daily_volatility is None:
        return 1.0
    return min(max(float((daily_volatility / sigma_ref) ** power), 1.0), cap)


def with_regime(values: Values, daily_volatility: float | None) -> Values:
    """The unit parameters under the day's volatility."""
    factor = regime(daily_volatility, values["sigma_ref"], values["regime_power"], values["regime_cap"])
    return values | {
        "price_range": values["price_range"] * factor,
        "f_E": values["f_E"] * factor,
        "im_factor": 1.0 + (values["im_factor"] - 1.0) * factor,
    }


def price_nodes(values: Values) -> list[float]:
    """The ordinary nodes, ascending."""
    half = (values["price_nodes"] - 1) // 2
    return [max(LOWEST_NODE, values["price_range"] * j / half) if half else 0.0 for j in range(-half, half + 1)]


def extreme_nodes(values: Values) -> list[float]:
    """The two extreme nodes, none where the multiple is 0."""
    reach = values["extreme_multiple"] * values["price_range"]
    return [max(LOWEST_NODE, -reach), reach] if reach > 0.0 else []


def vol_nodes(values: Values) -> list[float]:
    """The nominal volatility shocks: up, none, down."""
    return [values["vol_up"], 0.0, -values["vol_down"]]


def days_to_expiry(seconds: int) -> int:
    """DTE of the volatility shock: whole days, rounded up, at least 1."""
    return max(1, math.ceil(seconds / SECONDS_A_DAY))


def shocked_volatility(sigma: float, shock: float, seconds: int, values: Values) -> float:
    """The volatility under a nominal shock that fades with the time to expiry; unshocked it is not clipped."""
    if shock == 0.0:
        return sigma
    scaled = sigma * (1.0 + shock * (30.0 / days_to_expiry(seconds)) ** values["vol_exponent"])
    return float(min(max(scaled, values["vol_floor"]), values["vol_cap"]))


def effective_shock(shock: float, seconds: int, near_expiry: float) -> float:
    """The price shock of an expiring series, which fades over its last `near_expiry` seconds."""
    return shock * min(1.0, seconds / near_expiry) if near_expiry > 0.0 else shock


def instrument_pnl(quote: Quote, price_shock: float, vol_shock: float, values: Values) -> float:
    """P&L in USD of one unit of quantity (a coin; of an inverse contract a USD of notional) in one scenario."""
    instrument = quote.instrument
    k = price_shock if instrument.kind == "perpetual" else effective_shock(price_shock, quote.seconds, values["near_expiry"])
    if not quote.is_option:
        return k if instrument.inverse else quote.mark * quote.fx * k
    forward = quote.forward * (1.0 + k)
    return quote.fx * (quote.price(forward, shocked_volatility(quote.sigma, vol_shock, quote.seconds, values)) - quote.base)


def spot_pnl(hedge: float, index: float, price_shock: float) -> float:
    """P&L of hedging spot: only the offsetting side counts."""
    return max(0.0, hedge * index * price_shock)


def collateral_pnl(amount: float, ratio: float, index: float, price_shock: float, stress: float) -> float:
    """P&L of coin collateral: only its losses count."""
    return stress * min(0.0, amount * ratio * index * price_shock)
