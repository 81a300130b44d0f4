"""What the configuration says about market figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Rules:
    """Figures that stand in where no venue tells them, and the limits of the resolution order.

    `fx` is USD per unit of a stablecoin; `beta`, `daily_volatility` and `implied_volatility` are by coin, as decimals.
    `volatility_weight` and `volatility_premium` blend a proxy as `config.settings.MarketSettings` says. After `stale_limit_s` a
    volatility that was told before yields to any live substitute. An outcome's volatility counts only if a forward wrong by 0.1 %
    moves it by less than `outcome_error`, and for options of at most `outcome_days`.
    """

    fx: Mapping[str, float] = field(default_factory=dict)
    beta: Mapping[str, float] = field(default_factory=dict)
    daily_volatility: Mapping[str, float] = field(default_factory=dict)
    implied_volatility: Mapping[str, float] = field(default_factory=dict)
    volatility_weight: float = 0.7
    volatility_premium: float = 1.1
    stale_limit_s: float = 3600.0
    outcome_error: float = 0.05
    outcome_days: float = 2.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """The rules of `[fx]` and `[market]`."""
        market = settings.market
        return cls(
            fx=settings.fx,
            beta=market.beta,
            daily_volatility=market.daily_volatility,
            implied_volatility=market.implied_volatility,
            volatility_weight=market.volatility_weight,
            volatility_premium=market.volatility_premium,
        )
