"""Prices of the simulated market: a scenario path plus seeded noise, printed and used exactly as the wire rounds them.

A scenario is a function of progress u = time / duration, so the same story fits 30 seconds or an hour; past the duration the
market stays where the scenario ended. Every coin moves by its beta times the path, with a small mean-reverting noise of its own.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from statistics import median

from connectors.simulator.hyperliquid_listing import Asset, Listing
from connectors.simulator.volatility import VolatilityStory, interpolate

_FALL = ((0.0, 0.0), (0.20, 0.004), (0.34, 0.16), (0.64, 0.25), (0.67, 0.25), (0.90, 0.13), (1.0, 0.13))

SCENARIOS: dict[str, tuple[tuple[float, float], ...]] = {
    "calm": ((0.0, 0.0), (0.2, 0.004), (0.45, -0.003), (0.75, 0.005), (1.0, 0.0)),
    "crash": tuple((u, -x) for u, x in _FALL),
    "squeeze": _FALL,
    "vol_spike": ((0.0, 0.0), (0.2, 0.0), (0.4, -0.03), (0.6, -0.025), (1.0, -0.015)),
    "depeg": ((0.0, 0.0), (0.2, 0.0), (0.45, -0.03), (0.7, -0.02), (1.0, -0.01)),
    "iv_outage": tuple((u, -0.4 * x) for u, x in _FALL),
}
"""Scenario -> knots (progress, log move of BTC); linear between knots. What else happens stands in `volatility`."""

MINIMUM_DURATION_S = 10.0
_COMMON_NOISE = 0.0010
_OWN_NOISE = 0.0004
_BASIS_NOISE = 0.00008
_SLOW_STRIDE = 8


def scenario_move(scenario: str, progress: float) -> float:
    """Log price move of BTC at `progress` (clamped to 0..1) of a scenario."""
    return interpolate(SCENARIOS[scenario], progress)


def round_price(price: float, sz_decimals: int, *, spot: bool = False) -> float:
    """Round to five significant figures and 6 (spot 8) minus `sz_decimals` decimals; integers always stand."""
    if price <= 0.0:
        raise ValueError(f"price must be positive, not {price}")
    significant = 4 - math.floor(math.log10(price))
    return round(price, max(0, min((8 if spot else 6) - sz_decimals, significant)))


@dataclass(slots=True)
class Quote:
    """What a perpetual's context prints. Prices in USD, `funding` the hourly rate, volumes of the day; `version` counts changes."""

    mark: float
    oracle: float
    mid: float | None
    impact: tuple[float, float] | None
    premium: float | None
    funding: float
    open_interest: float
    previous_day: float
    day_notional: float
    day_base: float
    version: int = 0


class _Noise:
    """Mean-reverting (Ornstein-Uhlenbeck) noise of a fixed stationary deviation."""

    __slots__ = ("sigma", "value")

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma
        self.value = 0.0

    def step(self, decay: float, spread: float, rng: random.Random) -> float:
        self.value = self.value * decay + self.sigma * spread * rng.gauss(0.0, 1.0)
        return self.value


class Market:
    """The simulated market. `time` in seconds since the start; `start_ms` the venue's clock there.

    Raises ValueError for an unknown scenario or a duration under ten seconds.
    """

    def __init__(self, seed: int, scenario: str, duration: float, start_ms: int, *, fillers: int = 16) -> None:
        if scenario not in SCENARIOS:
            raise ValueError(f"unknown scenario {scenario!r}: use one of {', '.join(SCENARIOS)}")
        if duration < MINIMUM_DURATION_S:
            raise ValueError(f"duration {duration} s is too short for a scenario: use at least {MINIMUM_DURATION_S:.0f} s")
        self.seed, self.scenario, self.duration, self.start_ms = seed, scenario, duration, start_ms
        self.time = 0.0
        self.listing = Listing(fillers)
        self._rng = random.Random(f"market {seed}")
        self._tau = max(duration / 15.0, 2.0)
        self._story = VolatilityStory(seed, scenario, self._tau)
        self._common = _Noise(_COMMON_NOISE)
        self._underlyings: dict[str, tuple[float, float]] = {}
        self._own: dict[str, _Noise] = {}
        self._basis: dict[str, _Noise] = {}
        self._age: dict[str, float] = {}
        self._index: dict[str, float] = {}
        self._turn = 0
        self.quotes: dict[str, Quote] = {}
        self.spots: dict[str, float] = {}
        for asset in self.listing.assets.values():
            self._open(asset)
        for pair in self.listing.pairs.values():
            self._underlying(pair.underlying, pair.price, 0.0)
        self._reprice_spot()

    @property
    def now_ms(self) -> int:
        """The venue's clock, milliseconds."""
        return self.start_ms + round(self.time * 1000.0)

    @property
    def progress(self) -> float:
        """time / duration; above 1 the scenario is over."""
        return self.time / self.duration

    def mark(self, coin: str) -> float:
        """Mark price as the wire prints it."""
        return self.quotes[coin].mark

    def oracle(self, coin: str) -> float:
        """Oracle price as the wire prints it."""
        return self.quotes[coin].oracle

    def mid(self, coin: str) -> float:
        """Book mid, the mark where the book is empty; also of a spot pair (there its price)."""
        if coin in self.spots:
            return self.spots[coin]
        quote = self.quotes[coin]
        return quote.mark if quote.mid is None else quote.mid

    def index(self, underlying: str) -> float:
        """Index of an underlying in USD, not rounded: what a second venue on the same market prints as its own."""
        return self._index[underlying]

    def forward(self, underlying: str, years: float) -> float:
        """Forward price of an underlying in USD, not rounded: its index times a small basis. Raises KeyError where there is no index."""
        carry = self._story.carry(underlying, scenario_move(self.scenario, self.progress))
        return self._index[underlying] * math.exp(carry * years)

    def implied_volatility(self, underlying: str, strike: float, forward: float, years: float) -> float:
        """Implied volatility per year (0.35 is 35 %), not rounded, of an option with `years` to go; strike and forward in one unit."""
        return self._story.volatility(underlying, strike, forward, years)

    @property
    def iv_outage(self) -> bool:
        """Whether options venues publish no volatilities now."""
        return self._story.outage

    def stablecoin(self, asset: str) -> float:
        """USD per unit of a stablecoin, not rounded. Raises KeyError for an asset that is none."""
        return self._story.stablecoin(asset)

    def peg(self, asset: str) -> float:
        """`stablecoin` without its noise: exactly 1 unless the scenario depegs it. Raises KeyError for an asset that is none."""
        return self._story.peg(asset)

    def token_price(self, token: int) -> float:
        """Spot price of a token in USDC, 1 for a token without a pair."""
        pair = self.listing.pair_of.get(token)
        return 1.0 if pair is None else self.spots[pair.name]

    def borrow_price(self, token: int) -> float:
        """The borrow oracle: the median of spot price, perpetual mark and perpetual oracle, rounded as the wire prints it."""
        pair = self.listing.pair_of.get(token)
        if pair is None or pair.underlying not in self.quotes:
            return round_price(self.token_price(token), self.listing.tokens[token].sz_decimals, spot=True)
        quote = self.quotes[pair.underlying]
        value = median((self.spots[pair.name], quote.mark, quote.oracle))
        return round_price(value, self.listing.tokens[token].sz_decimals, spot=True)

    def advance(self, dt: float) -> None:
        """Move time and prices by `dt` seconds."""
        if dt <= 0.0:
            raise ValueError(f"dt must be positive, not {dt}")
        self.time += dt
        decay = math.exp(-dt / self._tau)
        self._common.step(decay, math.sqrt(1.0 - decay * decay), self._rng)
        self._turn += 1
        for position, asset in enumerate(self.listing.assets.values()):
            self._age[asset.coin] += dt
            if not asset.delisted and (not asset.slow or (position + self._turn) % _SLOW_STRIDE == 0):
                self._reprice(asset)
        self._reprice_spot()
        self._story.advance(dt, self.progress)

    def touch(self) -> None:
        """Let one millisecond pass without a price move, so that what happens next has a stamp of its own."""
        self.time += 0.001

    def list_asset(self, dex: str, coin: str, price: float, *, max_leverage: int = 5, sz_decimals: int = 2) -> None:
        """List a new perpetual at the end of a dex's universe, as the venue does without notice."""
        if coin in self.listing.assets:
            raise ValueError(f"{coin} is listed already: pick another name")
        asset = Asset(coin, dex, sz_decimals, max_leverage, max_leverage, price, 1.0, coin)
        self.listing.add(asset)
        self._open(asset)

    def _underlying(self, name: str, price: float, beta: float) -> None:
        if name not in self._underlyings:
            self._underlyings[name] = (price, beta)
            self._own[name] = _Noise(_OWN_NOISE)
            self._index[name] = price

    def _open(self, asset: Asset) -> None:
        self._underlying(asset.underlying, asset.price, asset.beta)
        self._basis[asset.coin] = _Noise(_BASIS_NOISE)
        self._age[asset.coin] = 0.0
        price = round_price(self._level(asset.underlying), asset.sz_decimals)
        interest = 0.0 if asset.delisted else float(f"{2.5e9 * self._rng.random() / price:.8g}")
        volume = 0.0 if asset.delisted else float(f"{2e9 * self._rng.random():.12g}")
        quote = Quote(price, price, None, None, None, 0.0, interest, price, volume, round(volume / price, asset.sz_decimals))
        self.quotes[asset.coin] = quote
        if not asset.delisted:
            self._print(asset, quote, price, 0.0)

    def _level(self, underlying: str) -> float:
        price, beta = self._underlyings[underlying]
        move = scenario_move(self.scenario, self.progress) + self._common.value
        return price * math.exp(beta * move + self._own[underlying].value)

    def _reprice(self, asset: Asset) -> None:
        decay = math.exp(-self._age[asset.coin] / self._tau)
        spread = math.sqrt(1.0 - decay * decay)
        self._age[asset.coin] = 0.0
        if asset.underlying == asset.coin:
            self._own[asset.underlying].step(decay, spread, self._rng)
        self._index[asset.underlying] = self._level(asset.underlying)
        basis = self._basis[asset.coin].step(decay, spread, self._rng)
        quote = self.quotes[asset.coin]
        traded = round(quote.day_base * 2e-6 + 10.0**-asset.sz_decimals, asset.sz_decimals)
        quote.day_base += traded
        quote.day_notional += traded * quote.mark
        self._print(asset, quote, self._index[asset.underlying], basis)

    def _print(self, asset: Asset, quote: Quote, index: float, basis: float) -> None:
        quote.oracle = round_price(index, asset.sz_decimals)
        quote.mark = round_price(index * (1.0 + basis), asset.sz_decimals)
        low = round_price(quote.mark * 0.99995, asset.sz_decimals)
        high = round_price(quote.mark * 1.00005, asset.sz_decimals)
        quote.impact = (low, high)
        quote.mid = round((low + high) / 2.0, 10)
        quote.premium = round(quote.mid / quote.oracle - 1.0, 10)
        eight_hours = quote.premium + min(max(0.0001 - quote.premium, -0.0005), 0.0005)
        quote.funding = round(min(max(eight_hours / 8.0, -0.04), 0.04), 10)
        quote.version += 1

    def _reprice_spot(self) -> None:
        for pair in self.listing.pairs.values():
            if pair.underlying not in self.quotes:
                decay = math.exp(-0.1 / self._tau)
                self._own[pair.underlying].step(decay, math.sqrt(1.0 - decay * decay), self._rng)
                price = pair.price * (1.0 + 0.1 * self._own[pair.underlying].value)
            else:
                price = self._index[pair.underlying]
            self.spots[pair.name] = round_price(price, self.listing.tokens[pair.base].sz_decimals, spot=True)
