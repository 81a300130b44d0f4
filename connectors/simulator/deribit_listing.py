"""What the simulated Deribit lists: inverse options of BTC and ETH, linear ones of SOL and HYPE, a future an expiry, perpetuals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["option", "future"]

_DAY_MS = 86_400_000
_DELIVERY_MS = 8 * 3_600_000
_DAILIES = (1, 2, 3)
_FRIDAYS = (1, 2, 4, 8, 13, 26)
_LEAST_LIFE_MS = 12 * 3_600_000
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LEAST_WIDTH, _MOST_WIDTH = 0.25, 0.45


@dataclass(frozen=True, slots=True)
class Family:
    """Contracts on one price index. `amount` is the contract size of options, `contract` of futures (USD if `inverse`)."""

    prefix: str
    coin: str
    settle: str
    index: str
    inverse: bool
    amount: float
    contract: float
    tick: float
    decimals: int
    volatility: float


FAMILIES: dict[str, Family] = {
    family.prefix: family
    for family in (
        Family("BTC", "BTC", "BTC", "btc_usd", True, 1.0, 10.0, 0.0001, 8, 0.35),
        Family("ETH", "ETH", "ETH", "eth_usd", True, 1.0, 1.0, 0.0001, 6, 0.46),
        Family("SOL_USDC", "SOL", "USDC", "sol_usdc", False, 10.0, 0.1, 0.01, 4, 0.54),
        Family("HYPE_USDC", "HYPE", "USDC", "hype_usdc", False, 10.0, 0.1, 0.01, 4, 0.58),
    )
}
"""Prefix of the names -> family. Sizes of linear options are in coins, whatever `amount` says."""


@dataclass(frozen=True, slots=True)
class Contract:
    """An instrument; `expiry_ms` None is a perpetual, `strike` and `call` are those of options."""

    name: str
    kind: Kind
    family: Family
    number: int
    created_ms: int
    expiry_ms: int | None = None
    strike: float = 0.0
    call: bool = False
    period: str = "perpetual"

    @property
    def is_option(self) -> bool:
        """Whether it is an option."""
        return self.kind == "option"


def date_name(expiry_ms: int) -> str:
    """The date in an instrument's name: 25DEC26."""
    day = datetime.fromtimestamp(expiry_ms / 1000.0, UTC)
    return f"{day.day}{_MONTHS[day.month - 1]}{day.year % 100:02d}"


def calendar(start_ms: int) -> list[int]:
    """Expiries at 08:00 UTC that a venue lists at `start_ms`, at least twelve hours away: three dailies, then Fridays."""
    today = datetime.fromtimestamp(start_ms / 1000.0, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    to_friday = (4 - today.weekday()) % 7
    days = {*_DAILIES, *(to_friday + 7 * (week - 1) for week in _FRIDAYS)}
    stamps = (round((today + timedelta(days=day)).timestamp() * 1000.0) + _DELIVERY_MS for day in sorted(days))
    return [stamp for stamp in stamps if stamp - start_ms >= _LEAST_LIFE_MS]


def strike_ladder(price: float, years: float, volatility: float, count: int) -> list[float]:
    """`count` strikes around a price in even round steps, wider for longer lives."""
    width = min(max(_LEAST_WIDTH, 2.5 * volatility * math.sqrt(max(years, 0.0))), _MOST_WIDTH) * 2.0 * price
    raw = width / count
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * scale for factor in _STEPS if factor * scale >= raw * 0.999)
    middle = max(round(price / step), count // 2 + 1 - count % 2)
    low = max(middle - count // 2, 1)
    return [round((low + i) * step, 6) for i in range(count)]


@dataclass(slots=True)
class DeribitListing:
    """The instruments by name and the options by price index, as they come and go.

    `expiries_ms` are listed for inverse families, every second one for linear ones.
    """

    strikes: int = 20
    linear_strikes: int = 10
    contracts: dict[str, Contract] = field(default_factory=dict)
    chains: dict[str, dict[str, Contract]] = field(default_factory=dict)
    _numbers: int = 500_000

    def open(self, prices: dict[str, float], expiries_ms: Sequence[int], start_ms: int) -> None:
        """List perpetuals and every expiry whose date no earlier one has; `prices` by price index."""
        seen: dict[str, int] = {}
        for stamp in expiries_ms:
            seen.setdefault(date_name(stamp), stamp)
        for family in FAMILIES.values():
            self.chains[family.index] = {}
            self._add(Contract(f"{family.prefix}-PERPETUAL", "future", family, self._next(), start_ms - 900 * _DAY_MS))
            chosen = sorted(seen.values())
            for stamp in chosen if family.inverse else chosen[1::2]:
                self.list_expiry(family, stamp, prices[family.index], start_ms)

    def list_expiry(self, family: Family, expiry_ms: int, price: float, now_ms: int) -> list[Contract]:
        """List a future and a chain of options around a price. Raises ValueError for a date that is listed."""
        date = date_name(expiry_ms)
        if f"{family.prefix}-{date}" in self.contracts:
            raise ValueError(f"{family.prefix}-{date} is listed already: choose another day")
        period = "day" if expiry_ms - now_ms < 4 * _DAY_MS else "week" if expiry_ms - now_ms < 25 * _DAY_MS else "month"
        created = min(now_ms, expiry_ms - _DAY_MS)
        years = (expiry_ms - now_ms) / (365.0 * _DAY_MS)
        count = self.strikes if family.inverse else self.linear_strikes
        found = [Contract(f"{family.prefix}-{date}", "future", family, self._next(), created, expiry_ms, period=period)]
        for strike in strike_ladder(price, years, family.volatility, count):
            for call in (True, False):
                name = f"{family.prefix}-{date}-{_strike_name(strike)}-{'C' if call else 'P'}"
                found.append(Contract(name, "option", family, self._next(), created, expiry_ms, strike, call, period))
        for contract in found:
            self._add(contract)
        return found

    def remove_expired(self, now_ms: int) -> list[Contract]:
        """Take what has expired off the lists."""
        gone = [contract for contract in self.contracts.values() if contract.expiry_ms is not None and contract.expiry_ms <= now_ms]
        for contract in gone:
            del self.contracts[contract.name]
            self.chains[contract.family.index].pop(contract.name, None)
        return gone

    def find(self, currency: str, kind: str) -> Iterable[Contract]:
        """Instruments of a currency ("any" for all, USDC for every linear one) and a kind ("any" or "" for both)."""
        for contract in self.contracts.values():
            if kind in ("", "any", contract.kind) and currency in ("any", contract.family.settle):
                yield contract

    def nearest(self, prefix: str, expiry_ms: int, strike: float, *, call: bool) -> Contract:
        """The option of a family whose expiry, then whose strike, is nearest. Raises ValueError without any."""
        options = [c for c in self.contracts.values() if c.family.prefix == prefix and c.is_option and c.call is call]
        if not options:
            raise ValueError(f"no options of {prefix} are listed: use one of {', '.join(FAMILIES)}")
        return min(options, key=lambda c: (abs((c.expiry_ms or 0) - expiry_ms), abs(c.strike - strike)))

    def _add(self, contract: Contract) -> None:
        self.contracts[contract.name] = contract
        if contract.is_option:
            self.chains[contract.family.index][contract.name] = contract

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers


def _strike_name(strike: float) -> str:
    return f"{strike:.6f}".rstrip("0").rstrip(".").replace(".", "d")
