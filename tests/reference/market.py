"""What an instrument is worth at the snapshot's prices, or at prices moved from them; and what is missing to say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.reference.black76 import black76, digital, digital_greeks, implied, option_delta, option_gamma, option_vega
from tests.reference.snapshot import SECONDS_A_DAY, Book, Instrument

YEAR = 365 * SECONDS_A_DAY
USD = "USD"


@dataclass(frozen=True)
class Failure:
    """Why there is no number."""

    reason: str
    coin: str | None
    detail: str


@dataclass(frozen=True)
class Market:
    """A book whose coins are moved: `moves` maps a coin to the factor on its index, marks and forwards."""

    book: Book
    moves: dict[str, float] = field(default_factory=dict)

    def factor(self, coin: str) -> float:
        """The factor on every price of `coin`."""
        return self.moves.get(coin, 1.0)

    def index(self, coin: str) -> float | None:
        """USD index of `coin`; None while unknown."""
        value = self.book.index.get(coin)
        return value * self.factor(coin) if value is not None and value > 0.0 else None

    def stablecoin(self, asset: str) -> float | None:
        """USD per unit of a stablecoin (or of USD); None while unknown."""
        return 1.0 if asset == USD else self.book.fx.get(asset)

    def price(self, asset: str) -> float | None:
        """USD per unit of anything held or owed; None while unknown."""
        known = self.stablecoin(asset)
        return self.index(asset) if known is None else known

    def unpriced(self, asset: str) -> Failure:
        """The failure of an asset without a price: a settlement asset lacks its fx, anything else its index."""
        listed = self.book.instruments.values()
        settles = any(item.settle == asset for item in listed) and all(item.coin != asset for item in listed)
        return Failure("MISSING_FX" if settles else "MISSING_INDEX", asset, asset)


@dataclass(frozen=True)
class Quote:
    """An instrument with everything needed to value it; `seconds` to expiry, 0 for perpetuals."""

    instrument: Instrument
    index: float
    fx: float
    seconds: int
    mark: float = 0.0
    forward: float = 0.0
    sigma: float = 0.0
    base: float = 0.0

    @property
    def is_option(self) -> bool:
        """Whether it is an option, also one that pays 1 (an outcome)."""
        return has_strike(self.instrument)

    @property
    def is_outcome(self) -> bool:
        """Whether it is an option that pays 1."""
        return self.instrument.kind == "outcome"

    @property
    def years(self) -> float:
        """Time to expiry in years of 365 days."""
        return self.seconds / YEAR

    @property
    def days(self) -> float:
        """Time to expiry in days."""
        return self.seconds / SECONDS_A_DAY

    @property
    def coin_settled(self) -> bool:
        """Whether it settles in its coin or in USD: the USD group of the stablecoin spread."""
        return self.instrument.settle in (self.instrument.coin, USD)

    @property
    def basis(self) -> float:
        """USD mark (option: forward) over the index, less 1."""
        if self.is_option:
            return self.forward * self.fx / self.index - 1.0
        return (self.mark if self.instrument.inverse else self.mark * self.fx) / self.index - 1.0

    def coins(self, quantity: float) -> float:
        """Coin quantity of `quantity`: of an inverse contract USD notional / mark, of an outcome its coin delta."""
        if self.is_outcome:
            return self.delta(quantity)
        return quantity / self.mark if self.instrument.inverse else quantity

    def price(self, forward: float, sigma: float) -> float:
        """Price of one contract before fx at another forward and volatility: Black-76, of an outcome N(d2) or N(-d2)."""
        return contract_price(self.instrument, forward, sigma, self.years)

    @property
    def digital_greeks(self) -> tuple[float, float, float]:
        """Delta, gamma and vega of one contract of an outcome."""
        return digital_greeks(self.forward, self.instrument.strike, self.sigma, self.years, self.instrument.call)

    def delta(self, quantity: float) -> float:
        """Coin delta of `quantity`."""
        if self.is_outcome:
            return quantity * self.digital_greeks[0]
        if not self.is_option:
            return self.coins(quantity)
        return quantity * option_delta(self.forward, self.instrument.strike, self.sigma, self.years, self.instrument.call)

    def gamma(self, quantity: float) -> float:
        """Coin per USD of `quantity`; 0 unless an option."""
        if self.is_outcome:
            return quantity * self.digital_greeks[1]
        return quantity * option_gamma(self.forward, self.instrument.strike, self.sigma, self.years) if self.is_option else 0.0

    def vega(self, quantity: float) -> float:
        """Price change of `quantity` per 1.00 of volatility, in the forward's money; 0 unless an option."""
        if self.is_outcome:
            return quantity * self.digital_greeks[2]
        return quantity * option_vega(self.forward, self.instrument.strike, self.sigma, self.years) if self.is_option else 0.0

    def signed_notional(self, quantity: float) -> float:
        """USD notional with the sign of the coin delta."""
        if self.is_option:
            return self.delta(quantity) * self.forward * self.fx
        return quantity if self.instrument.inverse else quantity * self.mark * self.fx

    def limit_loss(self, quantity: float, limit: float) -> float:
        """Loss of a fill of `quantity` at `limit` against the mark, USD; below 0 a gain."""
        if self.is_option:
            in_coin = self.instrument.settle == self.instrument.coin
            return quantity * ((limit * self.forward if in_coin else limit) - self.base) * self.fx
        return quantity * (limit / self.mark - 1.0) if self.instrument.inverse else quantity * (limit - self.mark) * self.fx


def has_strike(instrument: Instrument) -> bool:
    """Whether it is priced on a forward with a volatility."""
    return instrument.kind in ("option", "outcome")


def contract_price(instrument: Instrument, forward: float, sigma: float, years: float) -> float:
    """Price of one contract of an option or outcome, in the forward's money."""
    formula = digital if instrument.kind == "outcome" else black76
    return formula(forward, instrument.strike, sigma, years, instrument.call)


def _fx(instrument: Instrument, market: Market) -> float | None:
    return 1.0 if instrument.settle == instrument.coin else market.stablecoin(instrument.settle)


def seconds_to_expiry(instrument: Instrument, market: Market) -> int:
    """Whole seconds to expiry, 0 for perpetuals and after it."""
    if instrument.kind == "perpetual":
        return 0
    if instrument.expiry is None:
        raise ValueError(f"{instrument.id}: a {instrument.kind} has an expiry")
    return max(0, instrument.expiry - market.book.as_of)


def _sigma(instrument: Instrument, market: Market) -> float | None:
    if instrument.iv is not None and instrument.iv > 0.0:
        return instrument.iv
    if instrument.kind == "outcome" or instrument.mark is None or instrument.forward is None:
        return None
    price = _published_mark(instrument)
    assert price is not None
    return implied(price, instrument.forward, instrument.strike, seconds_to_expiry(instrument, market) / YEAR, instrument.call)


def _published_mark(instrument: Instrument) -> float | None:
    if instrument.mark is None or instrument.forward is None:
        return None
    return instrument.mark * instrument.forward if instrument.settle == instrument.coin else instrument.mark


def lacking(instrument: Instrument, market: Market) -> Iterator[Failure]:
    """What is missing to value `instrument`, nothing if it can be valued."""
    if market.index(instrument.coin) is None:
        yield Failure("MISSING_INDEX", instrument.coin, instrument.coin)
    if _fx(instrument, market) is None:
        yield Failure("MISSING_FX", instrument.coin, instrument.settle)
    if not has_strike(instrument):
        if instrument.mark is None or instrument.mark <= 0.0:
            yield Failure("MISSING_MARK", instrument.coin, instrument.id)
    elif instrument.forward is None or instrument.forward <= 0.0:
        yield Failure("MISSING_FORWARD", instrument.coin, instrument.id)
    elif seconds_to_expiry(instrument, market) > 0 and _sigma(instrument, market) is None:
        yield Failure("MISSING_IV", instrument.coin, instrument.id)


def quote(instrument: Instrument, market: Market, option_base: str) -> Quote:
    """The value of an instrument that lacks nothing, at the market's moved prices.

    Volatilities stay where the snapshot has them, and a published option mark moves by the change of the model price.
    """
    index, fx = market.index(instrument.coin), _fx(instrument, market)
    assert index is not None
    assert fx is not None
    seconds = seconds_to_expiry(instrument, market)
    factor = market.factor(instrument.coin)
    if not has_strike(instrument):
        assert instrument.mark is not None
        return Quote(instrument, index, fx, seconds, mark=instrument.mark * factor)
    assert instrument.forward is not None
    sigma = (_sigma(instrument, market) or 0.0) if seconds > 0 else 0.0
    years = seconds / YEAR
    then = contract_price(instrument, instrument.forward, sigma, years)
    now = contract_price(instrument, instrument.forward * factor, sigma, years)
    published = _published_mark(instrument) if option_base == "mark" else None
    base = now if published is None else published + (now - then)
    return Quote(instrument, index, fx, seconds, forward=instrument.forward * factor, sigma=sigma, base=base)
