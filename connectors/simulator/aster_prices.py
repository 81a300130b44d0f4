"""Prices of the simulated Aster: the shared market's indices, marks with a basis of their own, funding rates.

Prices are rounded to the eight decimals the wire prints and used so: who reads a frame holds the venue's number.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from connectors.simulator.aster_listing import AsterListing, Symbol
from connectors.simulator.market import Market

_BASIS = 0.00015
_DECAY = 0.95
INTEREST = 0.0001
FUNDING_CAP = 0.03


@dataclass(slots=True)
class Price:
    """One symbol's prices in its quote asset; `rate` is the funding rate of one interval, `basis` mark / index - 1 before rounding."""

    index: float
    mark: float
    settle: float
    rate: float
    basis: float = 0.0


class AsterPrices:
    """Index, mark and funding rate by symbol; they move only with `reprice`, from a random sequence of their own.

    `rows` maps a symbol to its prices, `collateral` an asset to its index. Both are in the quote asset; where the scenario depegs
    USDT, what is quoted in it costs the USD index divided by its price, and the venue goes on counting in USDT.
    """

    def __init__(self, market: Market, listing: AsterListing, seed: int) -> None:
        self._market, self._listing = market, listing
        self._rng = random.Random(f"aster prices {seed}")
        self.rows: dict[str, Price] = {name: Price(0.0, 0.0, 0.0, 0.0) for name in listing.symbols}
        self.collateral: dict[str, float] = {}
        for symbol in listing.symbols.values():
            self._print(symbol, self.rows[symbol.name])
        self._print_collateral()

    def mark(self, symbol: str) -> float:
        """Mark price as printed."""
        return self.rows[symbol].mark

    def reprice(self) -> None:
        """Read the market and print new prices; symbols that do not trade keep theirs."""
        for symbol in self._listing.symbols.values():
            if not symbol.frozen:
                row = self.rows[symbol.name]
                row.basis = row.basis * _DECAY + _BASIS * math.sqrt(1.0 - _DECAY * _DECAY) * self._rng.gauss(0.0, 1.0)
                self._print(symbol, row)
        self._print_collateral()

    def _print(self, symbol: Symbol, row: Price) -> None:
        index = symbol.factor * self._index(symbol.underlying, symbol.margin_asset)
        row.index = round(index, 8)
        row.mark = round(index * (1.0 + row.basis), 8)
        row.settle = round(index * (1.0 + 0.5 * row.basis), 8)
        eight_hours = row.basis + min(max(INTEREST - row.basis, -0.0005), 0.0005)
        row.rate = 0.0 if symbol.frozen else round(min(max(eight_hours * symbol.hours / 8.0, -FUNDING_CAP), FUNDING_CAP), 8)

    def _print_collateral(self) -> None:
        for asset in self._listing.assets.values():
            index = self._index(asset.underlying, "USDT") if asset.underlying else 1.0
            self.collateral[asset.name] = round(asset.factor * index, 8)

    def _index(self, underlying: str, quote: str) -> float:
        depegged = self._market.scenario == "depeg" and quote == "USDT"
        return self._market.index(underlying) / (self._market.stablecoin(quote) if depegged else 1.0)
