"""What a trade in an instrument is worth: money that changes hands, value won against the mark, and how both move with the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config.parameters import ParameterSet
from kernels.black76 import greeks_one, price_one
from monitor.snapshot import InstrumentRow

USD = "USD"
_YEAR_S = 365 * 86_400


class Lacking(Exception):
    """A price that nobody tells; `str()` says which, and the remedy."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one unit of an instrument is at its mark, money in the settlement asset.

    `price` as a trade writes it; `usd` per unit of what `value` is counted in. An inverse unit is USD 1 of notional.
    `delta` is its value's change in USD per USD of the index.
    """

    row: InstrumentRow
    price: float
    usd: float
    delta: float

    @property
    def is_option(self) -> bool:
        """Whether a premium is paid for it."""
        return self.row.kind == "option"

    def paid(self, quantity: float, price: float) -> float:
        """What a trade takes from the cash, so that cash and quantity * mark together stay; an inverse one only in coin."""
        return -quantity / price if self.row.inverse else quantity * price

    def won(self, quantity: float, price: float) -> float:
        """USD won (or lost) at once by a trade at a price other than the mark."""
        per_unit = 1.0 / price - 1.0 / self.price if self.row.inverse else self.price - price
        return quantity * per_unit * self.usd


class Prices:
    """The prices of a document being edited. `fx` and `index` are read as they stand when asked."""

    def __init__(self, fx: Mapping[str, float], index: Mapping[str, float], as_of_ms: int, parameters: ParameterSet) -> None:
        self._fx, self._index, self._as_of_ms, self._parameters = fx, index, as_of_ms, parameters

    def is_stable(self, asset: str) -> bool:
        """Whether an asset is priced by `fx`."""
        return asset == USD or asset in self._fx

    def usd(self, asset: str) -> float:
        """USD per unit of a stablecoin or coin. Raises Lacking."""
        price = 1.0 if asset == USD else self._fx.get(asset, self._index.get(asset))
        if price is None:
            raise Lacking(f"no USD price of {asset}: a coin's can be given under \"index\", a stablecoin's is [fx] of the configuration")
        return price

    def coin(self, coin: str) -> float:
        """USD per coin. Raises Lacking."""
        if coin not in self._index:
            raise Lacking(f'no USD index of {coin}: give it under "index"')
        return self._index[coin]

    def unit(self, row: InstrumentRow) -> Unit:
        """One unit of an instrument now. Raises Lacking."""
        if row.expiry_ms is not None and row.expiry_ms <= self._as_of_ms:
            raise Lacking(f"{row.id} has expired; trade what is still listed")
        index, in_coin = self.coin(row.coin), row.settle == row.coin
        if row.kind == "option":
            return self._option(row, in_coin)
        if row.mark is None:
            raise Lacking(f'no mark of {row.id}; give its row, with a mark, under "instruments" where the snapshot does not hold it')
        if row.inverse:
            return Unit(row, row.mark, index, 1.0 / row.mark)
        usd = 1.0 if in_coin else self.usd(row.settle)
        return Unit(row, row.mark, usd, usd)

    def _option(self, row: InstrumentRow, in_coin: bool) -> Unit:
        forward, fx = row.forward, 1.0 if in_coin else self.usd(row.settle)
        if forward is None or row.strike is None or row.expiry_ms is None:
            raise Lacking(f'no forward of {row.id}: give its row, with forward and iv, under "instruments"')
        scale = forward if in_coin else 1.0
        by_mark = row.mark is not None and (row.iv is None or self._parameters.unit(row.coin).option_base == "mark")
        if row.iv is None and not by_mark:
            raise Lacking(f'no volatility of {row.id}: give its row, with forward and iv, under "instruments"')
        years = max(0, row.expiry_ms // 1000 - self._as_of_ms // 1000) / _YEAR_S
        terms = (float(forward), float(row.strike), float(row.iv or 0.0), float(years), row.option_type == "call")
        value = row.mark * scale if by_mark and row.mark is not None else float(price_one(*terms))
        return Unit(row, value / scale, scale * fx, float(greeks_one(*terms)[0]) * fx)
