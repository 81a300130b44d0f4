"""USD per unit of a stablecoin: what a venue's index tells, else the configuration. Never 1 because nothing is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.events import StablecoinPrices
from monitor.resolvers.feeds import FeedHealth, seconds
from monitor.resolvers.provenance import Provenance, Resolved, missing

USD = "USD"


@dataclass(frozen=True, slots=True)
class _Told:
    price: float
    venue: str
    feed: str
    told_ns: int


class Stablecoins:
    """Prices of stablecoins. What a venue told, however old, counts before the configuration: it has seen a market."""

    def __init__(self, configured: Mapping[str, float], feeds: FeedHealth) -> None:
        self._feeds = feeds
        self._configured = configured
        self._told: dict[str, _Told] = {}
        self.revision = 0
        """Grows when some price changed."""

    def configure(self, configured: Mapping[str, float]) -> None:
        """Other figures for what no venue prices."""
        self._configured = configured
        self.revision += 1

    def apply(self, event: StablecoinPrices) -> None:
        """Take a venue's prices; what is not a positive number tells nothing."""
        for asset, price in event.prices.items():
            if asset != USD and 0 < price < math.inf:
                self.revision += self.rate(asset) != price
                self._told[asset] = _Told(price, event.venue, event.feed, event.received_ns)

    def rate(self, asset: str) -> float:
        """USD per unit, NaN unknown."""
        if asset == USD:
            return 1.0
        told = self._told.get(asset)
        return self._configured.get(asset, math.nan) if told is None else told.price

    def resolve(self, asset: str, now_ns: int) -> Resolved:
        """USD per unit with its provenance."""
        if asset == USD:
            return Resolved(1.0, Provenance.LIVE, "by definition", 0.0)
        told = self._told.get(asset)
        if told is not None:
            provenance = self._feeds.provenance(told.venue, told.feed, told.told_ns, now_ns)
            return Resolved(told.price, provenance, f"{told.venue} {told.feed}", seconds(told.told_ns, now_ns))
        if asset in self._configured:
            return Resolved(self._configured[asset], Provenance.CONFIGURED, f"[fx] {asset}")
        return missing(f"no venue prices {asset} and [fx] does not say")
