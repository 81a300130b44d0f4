"""Undiscounted Black-76 in plain Python: price, greeks and implied volatility of one option; price and greeks of a digital one."""

from __future__ import annotations

import math


def _cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _pdf(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _d1_d2(forward: float, strike: float, sigma: float, years: float) -> tuple[float, float]:
    deviation = sigma * math.sqrt(years)
    d1 = math.log(forward / strike) / deviation + 0.5 * deviation
    return d1, d1 - deviation


def intrinsic(forward: float, strike: float, call: bool) -> float:
    """What the option pays at once, per coin."""
    return max(0.0, forward - strike) if call else max(0.0, strike - forward)


def time_value(forward: float, strike: float, sigma: float, years: float) -> float:
    """Price of the out-of-the-money option of the strike, which is the time value of both."""
    if years <= 0.0 or sigma <= 0.0:
        return 0.0
    d1, d2 = _d1_d2(forward, strike, sigma, years)
    if forward >= strike:
        return max(0.0, strike * _cdf(-d2) - forward * _cdf(-d1))
    return max(0.0, forward * _cdf(d1) - strike * _cdf(d2))


def black76(forward: float, strike: float, sigma: float, years: float, call: bool) -> float:
    """Price per coin in the forward's money; `years` = 0 gives the intrinsic value."""
    return intrinsic(forward, strike, call) + time_value(forward, strike, sigma, years)


def option_delta(forward: float, strike: float, sigma: float, years: float, call: bool) -> float:
    """N(d1), less 1 for a put; at expiry a step that is 0 at the strike."""
    if years <= 0.0:
        return float(forward > strike) if call else -float(forward < strike)
    d1, _ = _d1_d2(forward, strike, sigma, years)
    return _cdf(d1) if call else -_cdf(-d1)


def option_gamma(forward: float, strike: float, sigma: float, years: float) -> float:
    """Second derivative of the price by the forward, coin per USD; 0 at expiry."""
    if years <= 0.0:
        return 0.0
    d1, _ = _d1_d2(forward, strike, sigma, years)
    return _pdf(d1) / (forward * sigma * math.sqrt(years))


def option_vega(forward: float, strike: float, sigma: float, years: float) -> float:
    """Derivative of the price by the volatility, per 1.00 of it; 0 at expiry."""
    if years <= 0.0:
        return 0.0
    d1, _ = _d1_d2(forward, strike, sigma, years)
    return forward * _pdf(d1) * math.sqrt(years)


def digital(forward: float, strike: float, sigma: float, years: float, call: bool) -> float:
    """Price of what pays 1 above the strike (call), or at and below it (put): N(d2) or N(-d2)."""
    if years <= 0.0:
        return float(forward > strike) if call else float(forward <= strike)
    _, d2 = _d1_d2(forward, strike, sigma, years)
    return _cdf(d2) if call else _cdf(-d2)


def digital_greeks(forward: float, strike: float, sigma: float, years: float, call: bool) -> tuple[float, float, float]:
    """Derivatives of `digital`: first and second by the forward, first by the volatility; 0 at expiry."""
    if years <= 0.0:
        return 0.0, 0.0, 0.0
    d1, d2 = _d1_d2(forward, strike, sigma, years)
    deviation, sign = sigma * math.sqrt(years), 1.0 if call else -1.0
    # d2 rises by 1 / (F deviation) with the forward, and by -d1 / sigma with the volatility
    delta = sign * _pdf(d2) / (forward * deviation)
    gamma = -delta * (d2 / (forward * deviation) + 1.0 / forward)
    return delta, gamma, -sign * _pdf(d2) * d1 / sigma


def implied(price: float, forward: float, strike: float, years: float, call: bool) -> float | None:
    """The volatility at which `black76` gives `price`, bisected to neighbouring floats; None outside the open no-arbitrage interval."""
    wanted = price - intrinsic(forward, strike, call)
    if years <= 0.0 or not 0.0 < wanted < min(forward, strike):
        return None
    low, high = 0.0, 1.0
    while time_value(forward, strike, high, years) < wanted:
        low, high = high, 2.0 * high
        if high * math.sqrt(years) > 1e3:
            return None
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return high
        if time_value(forward, strike, middle, years) < wanted:
            low = middle
        else:
            high = middle
