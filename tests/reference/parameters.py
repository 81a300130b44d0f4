"""The parameter sets of the model's section 10, written out in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

Values = dict[str, Any]
"""Parameter name of section 10 to its value: a float, except `price_nodes`, `option_base` and `spot_in_stablecoin_spread`."""

EVERY_COIN = "*"


@dataclass(frozen=True)
class ParameterSet:
    """Unit parameters by coin, those of any other coin, and the portfolio's."""

    name: str
    dated: str
    coins: dict[str, Values]
    other: Values
    portfolio: Values

    def unit(self, coin: str) -> Values:
        """The unit parameters of `coin`."""
        return self.coins.get(coin, self.other)

    def with_overrides(self, overrides: Mapping[str, Mapping[str, Any]]) -> ParameterSet:
        """The same set with a snapshot's `overrides`: coin to unit parameters, "*" to portfolio parameters."""
        coins = dict(self.coins)
        portfolio = dict(self.portfolio)
        for coin, changes in overrides.items():
            if coin == EVERY_COIN:
                portfolio |= _checked(changes, self.portfolio)
            else:
                coins[coin] = self.unit(coin) | _checked(changes, self.other)
        return replace(self, coins=coins, portfolio=portfolio)


def _checked(changes: Mapping[str, Any], known: Values) -> Values:
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise ValueError(f"unknown parameters: {', '.join(unknown)}")
    return {name: _value(name, value) for name, value in changes.items()}


def _value(name: str, value: Any) -> Any:
    if name in ("option_base", "spot_in_stablecoin_spread", "spot_hedge"):
        return value
    return int(value) if name == "price_nodes" else float(value)


MAJORS = ("SOL", "ADA", "AVAX", "DOT")
HEDGE_COINS = ("BTC", "ETH", *MAJORS)

_EVERY_UNIT: Values = {
    "price_nodes": 11,
    "vol_up": 0.24,
    "vol_down": 0.20,
    "vol_exponent": 0.3,
    "vol_floor": 0.01,
    "vol_cap": 5.0,
    "near_expiry": 1800.0,
    "option_base": "model",
    "extreme_multiple": 0.0,
    "extreme_weight": 0.0,
    "collateral_stress": 0.0,
    "spot_in_stablecoin_spread": False,
    "f_B": 0.0003,
    "f_C": 0.0075,
    "TH": 0.05,
    "regime_power": 0.0,
    "regime_cap": 2.0,
}

_BTC: Values = _EVERY_UNIT | {
    "price_range": 0.10,
    "im_factor": 1.2,
    "f_E": 0.0003,
    "f_D": 0.0003,
    "f_A": 0.015,
    "BF": 0.45,
    "sigma_ref": 0.025,
}
_ETH: Values = _BTC | {"sigma_ref": 0.035}
_MAJOR: Values = _EVERY_UNIT | {
    "price_range": 0.15,
    "im_factor": 1.3,
    "f_E": 0.0005,
    "f_D": 0.0005,
    "f_A": 0.02,
    "BF": 0.60,
    "sigma_ref": 0.05,
}
# The table gives other coins no BF: they are never in `spot_hedge`, so the majors' value stands in unused.
_OTHER: Values = _EVERY_UNIT | {
    "price_range": 0.30,
    "im_factor": 1.5,
    "f_E": 0.001,
    "f_D": 0.0005,
    "f_A": 0.03,
    "BF": 0.60,
    "sigma_ref": 0.06,
}

UTA = ParameterSet(
    name="uta",
    dated="2026-11-21",
    coins={"BTC": _BTC, "ETH": _ETH} | dict.fromkeys(MAJORS, _MAJOR),
    other=_OTHER,
    portfolio={
        "correlation_shift": 1.0,
        "eta": 0.0,
        "liquidity_cap": 0.10,
        "adv_stress": 1.0,
        "safety_buffer": 0.0,
        "spot_hedge": HEDGE_COINS,
        "borrow_mm_rate": 0.02,
        "borrow_im_rate": 0.10,
    },
)

_HOUSE_UNIT: Values = {
    "price_nodes": 31,
    "vol_up": 0.40,
    "vol_down": 0.25,
    "near_expiry": 0.0,
    "extreme_multiple": 2.0,
    "extreme_weight": 0.35,
    "collateral_stress": 1.0,
    "spot_in_stablecoin_spread": True,
    "regime_power": 0.5,
    "regime_cap": 2.0,
}

HOUSE = ParameterSet(
    name="house",
    dated="2026-11-21",
    coins={coin: UTA.unit(coin) | _HOUSE_UNIT | {"price_range": 0.15} for coin in ("BTC", "ETH")}
    | {coin: UTA.unit(coin) | _HOUSE_UNIT | {"price_range": 0.20} for coin in MAJORS},
    other=UTA.other | _HOUSE_UNIT | {"price_range": 0.30},
    portfolio=UTA.portfolio | {"correlation_shift": 0.5, "eta": 1.0, "liquidity_cap": 0.10, "adv_stress": 0.5, "safety_buffer": 0.10},
)
