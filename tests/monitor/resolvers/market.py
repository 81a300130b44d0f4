"""A small market for the resolvers' tests: instruments and events in few words. Time starts at `NOW_NS` / `NOW_MS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan

from connectors import events as told
from connectors.events import FeedStatus
from connectors.model import Instrument, InstrumentKind, OptionType
from monitor.resolvers.changes import Changes
from monitor.resolvers.resolvers import Resolvers
from monitor.resolvers.rules import Rules

NOW_NS, NOW_MS = 10**15, 1_800_000_000_000
DAY_MS, HOUR_MS, YEAR_MS = 86_400_000, 3_600_000, 365 * 86_400_000
CHAIN, BTC_INDEX = "markprice.options.btc_usd", "deribit_price_index.btc_usd"
CONTEXTS, FAST = "allDexsAssetCtxs", "fastAssetCtxs"


def perpetual(venue: str, coin: str, settle: str, *, symbol: str = "", multiplier: float = 1.0, inverse: bool = False) -> Instrument:
    name = symbol or coin
    return Instrument(f"{venue}:{name}", venue, name, InstrumentKind.PERPETUAL, coin, settle, multiplier=multiplier, inverse=inverse)


def index(coin: str, quote: str = "USD") -> Instrument:
    name = f"{coin}_{quote}".lower()
    return Instrument(f"deribit:{name}", "deribit", name, InstrumentKind.INDEX, coin, quote)


def option(
    coin: str, days: float, strike: float, side: OptionType = OptionType.CALL, *, settle: str = "", venue: str = "deribit"
) -> Instrument:
    kind = InstrumentKind.OPTION if venue == "deribit" else InstrumentKind.OUTCOME
    settle = settle or coin
    name = f"{coin}_{settle}-{days:g}-{strike:g}-{side.value}"
    expiry_ms = NOW_MS + round(days * DAY_MS)
    return Instrument(f"{venue}:{name}", venue, name, kind, coin, settle, expiry_ms=expiry_ms, strike=strike, option_type=side)


@dataclass(slots=True)
class Desk:
    """Resolvers with a clock of their own; every method that tells something tells it now."""

    rules: Rules = field(default_factory=Rules)
    now_ns: int = NOW_NS
    resolvers: Resolvers = field(init=False)

    def __post_init__(self) -> None:
        self.resolvers = Resolvers(self.rules)

    @property
    def now_ms(self) -> int:
        return NOW_MS + (self.now_ns - NOW_NS) // 1_000_000

    def after(self, seconds: float) -> Desk:
        self.now_ns += round(seconds * 1e9)
        return self

    def update(self) -> Changes:
        return self.resolvers.update(self.now_ns, self.now_ms)

    def list(self, venue: str, *instruments: Instrument) -> None:
        self.resolvers.apply(told.Instruments(venue, instruments, {}, (), self.now_ns))

    def track(self, coins: Iterable[str] = (), assets: Iterable[str] = (), options: Iterable[Instrument] = ()) -> None:
        self.resolvers.track(coins, assets, {one.id: one for one in options})

    def mark(self, name: str, mark: float, index: float = nan, *, feed: str = CONTEXTS, delta: bool = False) -> None:
        venue = name.partition(":")[0]
        self.resolvers.apply(told.MarkPrices(venue, feed, self.now_ns, [name], [mark], [index], [nan], delta=delta))

    def index(self, coin: str, price: float, quote: str = "USD") -> None:
        feed = f"deribit_price_index.{coin}_{quote}".lower()
        self.resolvers.apply(told.IndexPrices("deribit", feed, self.now_ns, {coin: price}, quote))

    def stablecoin(self, asset: str, price: float) -> None:
        feed = f"deribit_price_index.{asset.lower()}_usd"
        self.resolvers.apply(told.StablecoinPrices("deribit", feed, self.now_ns, {asset: price}))

    def forward(self, like: Instrument, price: float) -> None:
        event = told.Forwards("deribit", "ticker", self.now_ns, [like.coin], [like.settle], [like.expiry_ms], [price])
        self.resolvers.apply(event)

    def chain(self, volatilities: Mapping[str, float], *, full: bool = False, feed: str = CHAIN) -> None:
        event = told.Volatilities("deribit", feed, self.now_ns, [*volatilities], [*volatilities.values()], full)
        self.resolvers.apply(event)

    def feed(self, venue: str, feed: str, status: FeedStatus) -> None:
        self.resolvers.apply(told.FeedState(venue, feed, None, status, self.now_ns))

    def closes(self, name: str, closes: Iterable[float], last_ms: int = NOW_MS) -> None:
        prices = tuple(closes)
        times = tuple(last_ms - DAY_MS * back for back in reversed(range(len(prices))))
        self.resolvers.apply(told.DailyCloses(name.partition(":")[0], self.now_ns, name, times, prices))


def forward_of(desk: Desk, like: Instrument) -> float:
    return desk.resolvers.forward(like.venue, like.coin, like.settle, like.expiry_ms).value
