"""Prices of the simulated Deribit on the shared market, rounded as the wire prints them and used so."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from connectors.simulator.deribit_black import FLAT, YEAR_MS, Greeks, greeks, price
from connectors.simulator.deribit_listing import FAMILIES, Contract, DeribitListing, Family
from connectors.simulator.market import Market

INDEX_DECIMALS = 4
DOLLAR_INDICES: dict[str, str] = {"btc_usd": "BTC", "eth_usd": "ETH"}
USDC_INDICES: dict[str, str] = {"btc_usdc": "BTC", "eth_usdc": "ETH", "sol_usdc": "SOL", "hype_usdc": "HYPE"}
STABLECOIN_INDICES: dict[str, str] = {"usdc_usd": "USDC", "usdt_usd": "USDT"}
VOLATILITY_INDICES: tuple[str, ...] = ("btc_usd", "eth_usd")

_BASIS, _DECAY = 0.0001, 0.95
_MONTH_YEARS = 30.0 / 365.0
_DAY_MS = 86_400_000
_SMILE_TURNS = 3


@dataclass(slots=True)
class OptionQuote:
    """An option now: `iv` per year (0.35 is 35 %), `forward` in quote currency, `mark` in coin if inverse, else in USDC."""

    iv: float
    forward: float
    years: float
    mark: float


class DeribitPrices:
    """Indices, forwards, volatilities and marks; they move only with `reprice`, a third of the smiles each time.

    `indices` by index name, `futures` (mark) and `options` by instrument name.
    """

    def __init__(self, market: Market, listing: DeribitListing, seed: int) -> None:
        self._market, self._listing = market, listing
        self._rng = random.Random(f"deribit prices {seed}")
        self._basis: dict[str, float] = dict.fromkeys(FAMILIES, 0.0)
        self.indices: dict[str, float] = {}
        self.futures: dict[str, float] = {}
        self.options: dict[str, OptionQuote] = {}
        self._smiles: dict[tuple[str, int, float], float] = {}
        self._turn = 0
        self.now_ms = market.now_ms
        self._print_indices()

    def reprice(self) -> None:
        """Read the market and print new prices for everything that is listed."""
        self.now_ms = self._market.now_ms
        self._print_indices()
        for prefix, basis in self._basis.items():
            self._basis[prefix] = basis * _DECAY + _BASIS * math.sqrt(1.0 - _DECAY * _DECAY) * self._rng.gauss(0.0, 1.0)
        self._turn += 1
        self._smiles = {key: iv for key, iv in self._smiles.items() if (key[1] // _DAY_MS + self._turn) % _SMILE_TURNS}
        self.futures, self.options = {}, {}
        forwards: dict[tuple[str, int], float] = {}
        for contract in self._listing.contracts.values():
            if contract.expiry_ms is None:
                index = self.indices[contract.family.index]
                self.futures[contract.name] = self.tidy(contract.family, index * (1.0 + self._basis[contract.family.prefix]))
                continue
            key = (contract.family.index, contract.expiry_ms)
            if key not in forwards:
                forwards[key] = self._forward(contract)
            if contract.is_option:
                self.options[contract.name] = self._quote(contract, forwards[key])
            else:
                self.futures[contract.name] = forwards[key]

    def mark(self, contract: Contract) -> float:
        """Mark price as printed: in coin for inverse options, else in the quote currency."""
        return self.options[contract.name].mark if contract.is_option else self.futures[contract.name]

    def greeks(self, contract: Contract) -> Greeks:
        """Greeks of one unit of an option at the prices printed."""
        quote = self.options.get(contract.name)
        return FLAT if quote is None else greeks(quote.forward, contract.strike, quote.years, quote.iv, call=contract.call)

    def usd(self, currency: str) -> float:
        """USD per unit of a wallet's currency: its index, 1 for USD. Raises KeyError for one without an index."""
        return 1.0 if currency == "USD" else self.indices[f"{currency.lower()}_usd"]

    def volatility_index(self, index: str) -> float:
        """The venue's 30-day volatility index in percent."""
        coin = DOLLAR_INDICES[index]
        forward = self._market.forward(coin, _MONTH_YEARS)
        return round(100.0 * self._market.implied_volatility(coin, forward, forward, _MONTH_YEARS), 2)

    def tidy(self, family: Family, value: float) -> float:
        """A future's price with the decimals the venue prints."""
        return round(value, 2 if family.inverse else INDEX_DECIMALS)

    def _print_indices(self) -> None:
        market = self._market
        self.indices |= {name: round(market.stablecoin(coin), 6) for name, coin in STABLECOIN_INDICES.items()}
        self.indices |= {name: round(market.index(coin), 2) for name, coin in DOLLAR_INDICES.items()}
        usdc = market.stablecoin("USDC")
        self.indices |= {name: round(market.index(coin) / usdc, INDEX_DECIMALS) for name, coin in USDC_INDICES.items()}

    def _forward(self, contract: Contract) -> float:
        family, years = contract.family, self._years(contract)
        growth = self._market.forward(family.coin, years) / self._market.index(family.coin)
        return self.tidy(family, self.indices[family.index] * growth)

    def _years(self, contract: Contract) -> float:
        return max((contract.expiry_ms or 0) - self.now_ms, 0) / YEAR_MS

    def _quote(self, contract: Contract, forward: float) -> OptionQuote:
        family, years = contract.family, self._years(contract)
        key = (family.index, contract.expiry_ms or 0, contract.strike)
        iv = self._smiles.get(key)
        if iv is None:
            iv = round(self._market.implied_volatility(family.coin, contract.strike, forward, years), 4)
            self._smiles[key] = iv
        value = price(forward, contract.strike, years, iv, call=contract.call)
        return OptionQuote(iv, forward, years, round(value / forward if family.inverse else value, family.decimals))
