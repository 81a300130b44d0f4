"""What a pass of the resolvers changed, and the key of a forward."""

from __future__ import annotations

from dataclasses import dataclass, field

ForwardKey = tuple[str, str, str, int]
"""(venue, coin, settlement asset, expiry in ms)."""


@dataclass(slots=True)
class Changes:
    """Figures that differ from the last pass, and those newly tracked; NaN: it is missing now.

    `fx` USD per unit by stablecoin, `index` USD by coin, `forwards` in their quote, `volatilities` a year as decimals by instrument,
    `daily_volatility` a day as decimals by coin, `volumes_usd` of 24 hours by instrument. `provenance`: some tracked figure's
    provenance changed, with or without its value.
    """

    fx: dict[str, float] = field(default_factory=dict)
    index: dict[str, float] = field(default_factory=dict)
    forwards: dict[ForwardKey, float] = field(default_factory=dict)
    volatilities: dict[str, float] = field(default_factory=dict)
    daily_volatility: dict[str, float] = field(default_factory=dict)
    volumes_usd: dict[str, float] = field(default_factory=dict)
    provenance: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.fx or self.index or self.forwards or self.volatilities or self.daily_volatility or self.volumes_usd or self.provenance
        )
