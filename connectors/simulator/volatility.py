"""What the simulated market tells beside prices: implied volatilities, forwards, stablecoins and when volatilities go missing.

Like a price path, each story is a function of progress u = time / duration. The little noise comes from a generator of its own,
so that prices are the same whether anybody asks for a volatility or not.
"""

from __future__ import annotations

import math
import random
from itertools import pairwise

Knots = tuple[tuple[float, float], ...]
"""(progress, value), linear between knots, flat past the last."""

_STILL: Knots = ((0.0, 1.0), (1.0, 1.0))

LEVELS: dict[str, Knots] = {
    "calm": ((0.0, 1.0), (0.3, 0.98), (0.6, 1.03), (1.0, 1.0)),
    "crash": ((0.0, 1.0), (0.2, 1.02), (0.34, 1.7), (0.64, 2.1), (0.67, 2.1), (0.9, 1.5), (1.0, 1.45)),
    "squeeze": ((0.0, 1.0), (0.2, 1.0), (0.34, 1.25), (0.64, 1.45), (0.67, 1.45), (0.9, 1.2), (1.0, 1.15)),
    "vol_spike": ((0.0, 1.0), (0.2, 1.0), (0.38, 2.0), (0.55, 2.0), (0.85, 1.1), (1.0, 1.05)),
    "depeg": ((0.0, 1.0), (0.2, 1.0), (0.5, 1.25), (0.85, 1.1), (1.0, 1.1)),
    "iv_outage": ((0.0, 1.0), (0.2, 1.02), (0.34, 1.3), (0.64, 1.5), (0.9, 1.2), (1.0, 1.15)),
}
"""Scenario -> factor on the volatility of an option at the forward with 30 days to go."""

PEGS: dict[str, dict[str, Knots]] = {"depeg": {"USDT": ((0.0, 1.0), (0.2, 1.0), (0.45, 0.95), (0.6, 0.95), (0.85, 0.985), (1.0, 0.985))}}
"""Scenario -> stablecoin -> its USD price but for noise; where nothing stands it is worth a dollar."""

OUTAGES: dict[str, tuple[float, float]] = {"iv_outage": (0.35, 0.60)}
"""Scenario -> the stretch of progress without volatilities."""

STABLECOINS: tuple[str, ...] = ("USDC", "USDT", "USDE", "USDH", "USD1")

_LEVEL = {"BTC": 0.35, "ETH": 0.46, "SOL": 0.54, "HYPE": 0.58, "XRP": 0.55}
_OTHER_LEVEL = 0.70
_CARRY = {"BTC": 0.050, "ETH": 0.045}
_OTHER_CARRY = 0.03
_CARRY_BY_MOVE = 0.10
_WINGS, _TILT, _WIDTH = 0.12, -0.30, 1.0
_LOWEST, _HIGHEST = 0.05, 5.0
_DAY_YEARS, _MONTH_YEARS = 1.0 / 365.0, 30.0 / 365.0
_LEVEL_NOISE, _PEG_NOISE = 0.006, 0.00008


def interpolate(knots: Knots, progress: float) -> float:
    """Value at `progress` (clamped to 0..1)."""
    u = min(max(progress, 0.0), 1.0)
    for (u0, x0), (u1, x1) in pairwise(knots):
        if u <= u1:
            return x0 + (x1 - x0) * (u - u0) / (u1 - u0)
    return knots[-1][1]


def smile(underlying: str, factor: float, strike: float, forward: float, years: float) -> float:
    """Implied volatility per year (0.35 is 35 %) of a strike, `factor` times the quiet level at the forward with 30 days to go.

    The level moves short expiries more than long ones; across strikes it is a hyperbola in standardised moneyness, the shape of
    raw SVI (Gatheral and Jacquier 2014) in volatility instead of variance. Within 5 % and 500 %.
    """
    quiet = _LEVEL.get(underlying, _OTHER_LEVEL)
    life = max(years, _DAY_YEARS)
    at_forward = quiet * (1.0 + (factor - 1.0) * min(math.pow(_MONTH_YEARS / life, 0.2), 1.3))
    z = math.log(strike / forward) / (quiet * math.sqrt(life))
    wings = 1.0 + _WINGS * (_TILT * z + math.sqrt(z * z + _WIDTH * _WIDTH) - _WIDTH)
    return min(max(at_forward * wings, _LOWEST), _HIGHEST)


class VolatilityStory:
    """The scenario's volatilities, carry and stablecoins as progress goes by."""

    def __init__(self, seed: int, scenario: str, reversion: float) -> None:
        self._scenario, self._reversion = scenario, reversion
        self._rng = random.Random(f"volatility {seed}")
        self._level_noise = 0.0
        self._peg_noise = dict.fromkeys(STABLECOINS, 0.0)
        self.progress = 0.0

    def advance(self, dt: float, progress: float) -> None:
        """Let the noise move by `dt` seconds, up to `progress`."""
        self.progress = progress
        decay = math.exp(-dt / self._reversion)
        spread = math.sqrt(1.0 - decay * decay)
        self._level_noise = self._level_noise * decay + _LEVEL_NOISE * spread * self._rng.gauss(0.0, 1.0)
        for asset, value in self._peg_noise.items():
            self._peg_noise[asset] = value * decay + _PEG_NOISE * spread * self._rng.gauss(0.0, 1.0)

    @property
    def outage(self) -> bool:
        """Whether nobody publishes volatilities now."""
        start, end = OUTAGES.get(self._scenario, (1.0, 0.0))
        return start <= self.progress < end

    def volatility(self, underlying: str, strike: float, forward: float, years: float) -> float:
        """Implied volatility per year of a strike now."""
        factor = interpolate(LEVELS[self._scenario], self.progress) * (1.0 + self._level_noise)
        return smile(underlying, factor, strike, forward, years)

    def carry(self, underlying: str, move: float) -> float:
        """Log of forward / index per year, given the scenario's log price move: a fall makes forwards cheaper."""
        return _CARRY.get(underlying, _OTHER_CARRY) + _CARRY_BY_MOVE * move

    def peg(self, asset: str) -> float:
        """USD per unit of a stablecoin as the scenario has it, without noise: exactly 1 unless it is depegged.

        Raises KeyError for an asset that is no stablecoin here.
        """
        if asset not in self._peg_noise:
            raise KeyError(f"{asset} is no stablecoin of the simulated market: it has {', '.join(STABLECOINS)}")
        return interpolate(PEGS.get(self._scenario, {}).get(asset, _STILL), self.progress)

    def stablecoin(self, asset: str) -> float:
        """USD per unit of a stablecoin, with noise. Raises KeyError for an asset that is none."""
        return self.peg(asset) * (1.0 + self._peg_noise[asset])
