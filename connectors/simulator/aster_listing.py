"""What the simulated Aster lists: perpetuals with their tiers and funding intervals, and margin assets with their ratios.

Names, precisions and statuses are the mainnet's; the tier tables are shaped like the mainnet's. A symbol's price is
`factor` times an underlying of the simulated market.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.simulator.market import Market


@dataclass(frozen=True, slots=True)
class Tier:
    """One bracket, notional in the margin asset: above `floor` the maintenance margin is notional * rate - cum."""

    floor: float
    cap: float
    max_leverage: int
    rate: float
    cum: float


@dataclass(frozen=True, slots=True)
class Symbol:
    """A perpetual. `hours` is its funding interval; `frozen` prices never move; `listed` ones are in exchangeInfo."""

    name: str
    base: str
    margin_asset: str
    price_precision: int
    quantity_precision: int
    tiers: tuple[Tier, ...]
    underlying: str
    factor: float = 1.0
    hours: int = 8
    status: str = "TRADING"
    kind: str = ""
    liquidation_fee: float = 0.025
    listed: bool = True

    @property
    def frozen(self) -> bool:
        """Whether the symbol is past or before trading."""
        return self.status != "TRADING"

    def max_notional(self, leverage: int) -> float:
        """Largest notional a leverage allows."""
        return max((tier.cap for tier in self.tiers if tier.max_leverage >= leverage), default=self.tiers[-1].cap)


@dataclass(frozen=True, slots=True)
class MarginAsset:
    """Collateral: what a positive balance counts for (`ratio`, the bid rate) and a negative one (`ask_factor`, the ask rate).

    Its index is `factor` times an underlying, or 1 without one.
    """

    name: str
    ratio: float
    underlying: str = ""
    factor: float = 1.0
    ask_factor: float = 1.0
    margin_available: bool = True
    auto_exchange: float = 0.0


def build_tiers(rows: Sequence[tuple[float, int, float]]) -> tuple[Tier, ...]:
    """Tiers of ((cap, max leverage, maintenance rate), ...), continuous by cum[k] = cum[k-1] + floor[k] (rate[k] - rate[k-1])."""
    tiers: list[Tier] = []
    for cap, leverage, rate in rows:
        floor, cum = (tiers[-1].cap, round(tiers[-1].cum + tiers[-1].cap * (rate - tiers[-1].rate), 8)) if tiers else (0.0, 0.0)
        tiers.append(Tier(floor, cap, leverage, rate, cum))
    return tuple(tiers)


BTC_TIERS = build_tiers(((5e4, 125, 0.004), (6e5, 100, 0.005), (3e6, 75, 0.0065), (1.2e7, 40, 0.0125), (7e7, 20, 0.025), (1e8, 10, 0.05),
                         (2.3e8, 5, 0.1), (4.8e8, 2, 0.25)))  # fmt: skip
ETH_TIERS = build_tiers(((1e4, 100, 0.005), (1e5, 75, 0.0065), (5e5, 50, 0.01), (2e6, 40, 0.0125), (6.5e7, 20, 0.025), (1e8, 10, 0.05),
                         (3e8, 2, 0.25)))  # fmt: skip
ALT_TIERS = build_tiers(((5e3, 75, 0.0065), (2.5e4, 50, 0.01), (1e5, 25, 0.02), (5e5, 20, 0.025), (2e6, 10, 0.05), (5e6, 5, 0.1),
                         (1e7, 4, 0.125), (2e7, 2, 0.25)))  # fmt: skip
SMALL_TIERS = build_tiers(((5e3, 50, 0.01), (1e4, 20, 0.025), (5e4, 10, 0.05), (1e5, 5, 0.1), (1e6, 2, 0.25)))

ASSETS: tuple[MarginAsset, ...] = (
    MarginAsset("USDT", 0.9999, auto_exchange=-10_000.0),
    MarginAsset("BTC", 0.95, "BTC"),
    MarginAsset("BNB", 0.95, "BNB"),
    MarginAsset("ETH", 0.95, "ETH"),
    MarginAsset("USDC", 0.9999),
    MarginAsset("USD1", 0.99),
    MarginAsset("ASTER", 0.80, "HYPE", 0.02),
    MarginAsset("JLP", 0.85, "SOL", 0.035),
    MarginAsset("APX", 0.0, "DOGE", 0.5, margin_available=False),
)
"""JLP's ratio is in no public table: a monitor has to find it out."""


def _symbols() -> list[Symbol]:
    return [
        Symbol("BTCUSDT", "BTC", "USDT", 1, 3, BTC_TIERS, "BTC"),
        Symbol("ETHUSDT", "ETH", "USDT", 2, 3, ETH_TIERS, "ETH"),
        Symbol("BNBUSDT", "BNB", "USDT", 3, 2, ALT_TIERS, "BNB"),
        Symbol("SOLUSDT", "SOL", "USDT", 4, 2, ALT_TIERS, "SOL"),
        Symbol("HYPEUSDT", "HYPE", "USDT", 4, 2, ALT_TIERS, "HYPE", hours=4),
        Symbol("DOGEUSDT", "DOGE", "USDT", 6, 0, ALT_TIERS, "DOGE", hours=4),
        Symbol("ASTERUSDT", "ASTER", "USDT", 5, 2, ALT_TIERS, "HYPE", 0.02, hours=1),
        Symbol("1000PEPEUSDT", "1000PEPE", "USDT", 7, 0, ALT_TIERS, "kPEPE", hours=1),
        Symbol("币安人生USDT", "币安人生", "USDT", 7, 0, SMALL_TIERS, "DOGE", 1.2, hours=1),
        Symbol("XAUUSD1", "XAU", "USD1", 4, 3, ETH_TIERS, "xyz:GOLD", hours=4, kind="RWA"),
        Symbol("BTCUSD1", "BTC", "USD1", 1, 3, BTC_TIERS, "BTC"),
        Symbol("MATICUSDT", "MATIC", "USDT", 5, 0, SMALL_TIERS, "MATIC", status="SETTLING", liquidation_fee=0.015),
        Symbol("MEGAUSDT", "MEGA", "USDT", 7, 0, SMALL_TIERS, "MEGA", status="PENDING_TRADING", liquidation_fee=0.015),
        Symbol("ALPACAUSDT", "ALPACA", "USDT", 5, 0, SMALL_TIERS, "DYDX", 0.4, status="CLOSE", listed=False),
    ]


class AsterListing:
    """The venue's catalogue on a market. `fillers` extra symbols follow the market's coins in turn and make frames as long as wanted."""

    def __init__(self, market: Market, fillers: int = 24) -> None:
        self.symbols: dict[str, Symbol] = {symbol.name: symbol for symbol in _symbols()}
        coins = [asset.coin for asset in market.listing.assets.values() if asset.underlying == asset.coin]
        for number in range(fillers):
            tiers, hours = (SMALL_TIERS, ALT_TIERS)[number % 2], (1, 8, 4)[number % 3]
            name, factor = f"SIM{number}", 0.5 + 0.25 * (number % 7)
            self.symbols[f"{name}USDT"] = Symbol(
                f"{name}USDT", name, "USDT", 6, number % 3, tiers, coins[number % len(coins)], factor, hours
            )
        self.assets: dict[str, MarginAsset] = {asset.name: asset for asset in ASSETS}
        self.settlement: tuple[str, ...] = tuple(dict.fromkeys(symbol.margin_asset for symbol in self.symbols.values()))
