"""What the simulated Hyperliquid lists: dexs, perpetuals with their margin tables, spot tokens and pairs.

The numbers (table ids, tiers, token and pair indices, size decimals) are the mainnet's; prices are only where a run starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

USDC, PURR, HYPE, UBTC, UETH, USDE, USDT0, USDH = 0, 1, 150, 197, 221, 235, 268, 360

MARGIN_TABLES: dict[int, tuple[str, tuple[tuple[float, int], ...]]] = {
    50: ("", ((0.0, 50),)),
    51: ("tiered 10x", ((0.0, 10), (3_000_000.0, 5))),
    52: ("tiered 10x (2)", ((0.0, 10), (20_000_000.0, 5))),
    53: ("tiered 20x", ((0.0, 20), (40_000_000.0, 10))),
    54: ("tiered 20x (2)", ((0.0, 20), (70_000_000.0, 10))),
    55: ("tiered 25x", ((0.0, 25), (100_000_000.0, 15))),
    56: ("tiered 40x", ((0.0, 40), (150_000_000.0, 20))),
}
"""Table id -> (description, ((lower bound in collateral units, max leverage), ...)). Ids below 50 are one tier of that leverage."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A perpetual. `beta` scales the market move; assets with one `underlying` share its price; a `slow` one reprices rarely."""

    coin: str
    dex: str
    sz_decimals: int
    max_leverage: int
    table: int
    price: float
    beta: float
    underlying: str
    delisted: bool = False
    margin_mode: str | None = None
    slow: bool = False


@dataclass(slots=True)
class Dex:
    """A perpetual dex: "" is the first one. `collateral` is the spot token index of its margin currency."""

    name: str
    full_name: str
    collateral: int
    assets: list[Asset] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SpotToken:
    """A spot token; `ltv` is the portfolio-margin loan-to-value, None where the token takes no part in it."""

    name: str
    index: int
    sz_decimals: int
    wei_decimals: int
    ltv: float | None = None
    supply_cap: float = 0.0


@dataclass(frozen=True, slots=True)
class SpotPair:
    """A spot pair quoted in USDC; its price is the `underlying`'s (or `price`, for a stablecoin)."""

    name: str
    index: int
    base: int
    price: float
    underlying: str


TOKENS: tuple[SpotToken, ...] = (
    SpotToken("USDC", USDC, 8, 8, 0.0),
    SpotToken("PURR", PURR, 0, 5),
    SpotToken("HYPE", HYPE, 2, 8, 0.65, 1_000_000.0),
    SpotToken("UBTC", UBTC, 5, 10, 0.5, 200.0),
    SpotToken("UETH", UETH, 4, 9),
    SpotToken("USDE", USDE, 2, 8),
    SpotToken("USDT0", USDT0, 2, 8, 0.0),
    SpotToken("USDH", USDH, 2, 8, 0.0),
)

PAIRS: tuple[SpotPair, ...] = (
    SpotPair("PURR/USDC", 0, PURR, 0.15, "PURR"),
    SpotPair("@107", 107, HYPE, 60.0, "HYPE"),
    SpotPair("@142", 142, UBTC, 86_000.0, "BTC"),
    SpotPair("@150", 150, USDE, 0.9998, "USDE"),
    SpotPair("@151", 151, UETH, 2_700.0, "ETH"),
    SpotPair("@166", 166, USDT0, 1.0002, "USDT0"),
)


def _main(coin: str, sz: int, leverage: int, table: int, price: float, beta: float, delisted: bool = False) -> Asset:
    return Asset(coin, "", sz, leverage, table, price, beta, coin, delisted)


def _main_assets() -> list[Asset]:
    return [
        _main("BTC", 5, 40, 56, 86_000.0, 1.0),
        _main("ETH", 4, 25, 55, 2_700.0, 1.2),
        _main("ATOM", 2, 5, 5, 4.1, 1.2),
        _main("MATIC", 1, 20, 20, 0.2, 0.0, delisted=True),
        _main("DYDX", 1, 5, 5, 0.62, 1.3),
        _main("SOL", 2, 20, 54, 140.0, 1.3),
        _main("AVAX", 2, 10, 52, 18.0, 1.3),
        _main("BNB", 3, 10, 51, 820.0, 0.9),
        _main("kPEPE", 0, 10, 52, 0.0095, 1.6),
        _main("XRP", 0, 20, 53, 1.4, 1.1),
        _main("DOGE", 0, 10, 52, 0.12, 1.4),
        _main("HYPE", 2, 10, 52, 60.0, 1.3),
        _main("PURR", 0, 3, 3, 0.15, 1.5),
        _main("MEGA", 0, 3, 3, 0.046, 1.5),
    ]


def _xyz_assets() -> list[Asset]:
    rows = (
        ("XYZ100", 4, 30, 30_000.0, 0.25),
        ("TSLA", 3, 20, 410.0, 0.4),
        ("NVDA", 3, 20, 185.0, 0.4),
        ("GOLD", 4, 25, 4_100.0, -0.1),
        ("CL", 3, 20, 66.0, 0.3),
    )
    assets = [Asset(f"xyz:{name}", "xyz", sz, lev, lev, price, beta, f"xyz:{name}") for name, sz, lev, price, beta in rows]
    hood = Asset("xyz:HOOD", "xyz", 3, 10, 10, 120.0, 0.6, "xyz:HOOD", margin_mode="noCross")
    return [*assets, hood]


def _hyna_assets() -> list[Asset]:
    return [
        Asset("hyna:BTC", "hyna", 5, 40, 40, 86_000.0, 1.0, "BTC"),
        Asset("hyna:ETH", "hyna", 4, 25, 25, 2_700.0, 1.2, "ETH"),
        Asset("hyna:HYPE", "hyna", 2, 10, 10, 60.0, 1.3, "HYPE"),
    ]


def _filler(number: int) -> Asset:
    leverage = (3, 5, 10)[number % 3]
    price = float(f"{10 ** ((number * 7 % 50) / 10 - 2.5):.4g}")
    coin = f"SIM{number}"
    return Asset(coin, "", number % 3, leverage, leverage, price, 0.8 + 0.1 * (number % 10), coin, number % 11 == 10, slow=True)


class Listing:
    """The venue's catalogue. `fillers` extra main-dex perpetuals make frames as long as wanted."""

    def __init__(self, fillers: int = 16) -> None:
        self.dexs: dict[str, Dex] = {
            "": Dex("", "", USDC, [*_main_assets(), *(_filler(i) for i in range(fillers))]),
            "xyz": Dex("xyz", "XYZ", USDC, _xyz_assets()),
            "hyna": Dex("hyna", "HyENA", USDE, _hyna_assets()),
        }
        self.assets: dict[str, Asset] = {asset.coin: asset for asset in self._all()}
        self.index: dict[str, int] = {a.coin: i for dex in self.dexs.values() for i, a in enumerate(dex.assets)}
        self.tokens: dict[int, SpotToken] = {token.index: token for token in TOKENS}
        self.pairs: dict[str, SpotPair] = {pair.name: pair for pair in PAIRS}
        self.pair_of: dict[int, SpotPair] = {pair.base: pair for pair in PAIRS}

    def add(self, asset: Asset) -> None:
        """List one more perpetual at the end of its dex."""
        self.index[asset.coin] = len(self.dexs[asset.dex].assets)
        self.dexs[asset.dex].assets.append(asset)
        self.assets[asset.coin] = asset

    def collateral(self, dex: str) -> int:
        """Spot token index of a dex's margin currency."""
        return self.dexs[dex].collateral

    def tiers(self, coin: str) -> tuple[tuple[float, int], ...]:
        """((lower bound, max leverage), ...) of a coin's margin table."""
        table = self.assets[coin].table
        return ((0.0, table),) if table < 50 else MARGIN_TABLES[table][1]

    def _all(self) -> Iterable[Asset]:
        for dex in self.dexs.values():
            yield from dex.assets
