"""The market as arrays: instruments, marks, tier tables and what collateral is worth.

Rows only ever get appended, so a row number stays valid for the life of the process. Arrays double when full; the kernels
accept any length.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from connectors.events import BorrowReserve, BorrowReserves, Instruments, MarkPrices, SpotPrices, Volatilities
from connectors.model import Instrument, MarginTier, PriceBasis, Token
from kernels.pool import Prices, Tiers

T = TypeVar("T", bound=np.generic)


def grown(array: NDArray[T], size: int, fill: float) -> NDArray[T]:
    """`array` itself if it holds `size` rows, else a copy at least twice as long whose new rows are `fill`."""
    if size <= array.shape[0]:
        return array
    bigger = np.full((max(size, 2 * array.shape[0]), *array.shape[1:]), fill, dtype=array.dtype)
    bigger[: array.shape[0]] = array
    return bigger


class TierTables:
    """Tier tables as the kernels read them; equal tables share one number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[MarginTier, ...], int] = {}
        self.arrays = Tiers(np.zeros(1, np.int32), np.zeros(0), np.zeros(0), np.zeros(0))

    def number(self, tiers: tuple[MarginTier, ...]) -> int:
        """The table's number; -1 for an empty (unknown) table."""
        if not tiers:
            return -1
        known = self._numbers.get(tiers)
        if known is not None:
            return known
        old = self.arrays
        self.arrays = Tiers(
            np.append(old.start, np.int32(old.start[-1] + len(tiers))).astype(np.int32),
            np.append(old.bound, [tier.lower_bound for tier in tiers]),
            np.append(old.rate, [tier.maintenance_rate for tier in tiers]),
            np.append(old.deduction, [tier.deduction for tier in tiers]),
        )
        self._numbers[tiers] = len(self._numbers)
        return self._numbers[tiers]


class Market:
    """Everything known of prices and instruments, on all venues."""

    def __init__(self) -> None:
        self.instruments: dict[str, Instrument] = {}
        self.tokens: dict[tuple[str, int], Token] = {}
        self.sections: dict[str, dict[str, int]] = {}
        """Per venue: ledger name -> settlement token number."""
        self.reserves: dict[tuple[str, str], BorrowReserve] = {}
        self.tiers = TierTables()
        self.revision = 0
        """How often reference data were loaded: what was derived from them holds while this stays."""
        self._rows: dict[str, int] = {}
        self._mark = np.full(64, math.nan)
        self._moved = np.zeros(64, np.bool_)
        self._told_ns = np.zeros(64, np.int64)
        self._by_delta: set[int] = set()
        self.index = np.full(64, math.nan)
        self.funding = np.full(64, math.nan)
        self.funding_time = np.zeros(64, np.int64)
        """The next funding time as last told, the venue's ms; 0 unknown."""
        self._asset_rows: dict[tuple[str, str], int] = {}
        self._asset_price = np.full(8, math.nan)
        self._asset_moved = np.zeros(8, np.bool_)
        self._spot: dict[tuple[str, str], float] = {}
        self._perpetual_of: dict[tuple[str, str], str] = {}
        self._basis: dict[tuple[str, str], PriceBasis] = {}
        self._volatility: dict[str, float] = {}

    @property
    def prices(self) -> Prices:
        """The arrays the kernels read."""
        return Prices(self._mark, self._moved, self._asset_price, self._asset_moved)

    def row(self, instrument: str) -> int:
        """Row of an instrument, made on first use; its mark is NaN until a venue tells it."""
        row = self._rows.get(instrument)
        if row is None:
            row = self._rows[instrument] = len(self._rows)
            self._told_ns = grown(self._told_ns, row + 1, 0)
            self._mark = grown(self._mark, row + 1, math.nan)
            self._moved = grown(self._moved, row + 1, False)
            self.index = grown(self.index, row + 1, math.nan)
            self.funding = grown(self.funding, row + 1, math.nan)
            self.funding_time = grown(self.funding_time, row + 1, 0)
        return row

    def known_row(self, instrument: str) -> int | None:
        """Row of an instrument; None while no venue has told anything of it."""
        return self._rows.get(instrument)

    def mark(self, instrument: str) -> float:
        """Last mark, NaN while unknown."""
        row = self._rows.get(instrument)
        return math.nan if row is None else float(self._mark[row])

    def volatility(self, instrument: str) -> float | None:
        """Implied volatility that the venue told last of an option, a decimal, however long ago; None where it never told one."""
        return self._volatility.get(instrument)

    def asset_row(self, venue: str, asset: str) -> int:
        """Row of a collateral asset, made on first use."""
        key = (venue, asset)
        row = self._asset_rows.get(key)
        if row is None:
            row = self._asset_rows[key] = len(self._asset_rows)
            self._asset_price = grown(self._asset_price, row + 1, math.nan)
            self._asset_moved = grown(self._asset_moved, row + 1, False)
            self._link(key)
            self._estimate(key)
        return row

    def asset_price(self, venue: str, asset: str) -> float:
        """What a venue values a unit of a collateral asset at, by the token's `basis`; NaN while unknown."""
        row = self.asset_row(venue, asset)  # which may replace the array
        return float(self._asset_price[row])

    def asset_name(self, venue: str, token: int) -> str | None:
        """Name of a venue's token number."""
        known = self.tokens.get((venue, token))
        return known.asset if known else None

    def token_of(self, venue: str, asset: str) -> int | None:
        """A venue's number of an asset; None where its tokens do not say."""
        return next((token.token for token in self.tokens.values() if token.venue == venue and token.asset == asset), None)

    def asset_coin(self, venue: str, asset: str) -> str:
        """The coin an asset is (UBTC is BTC); its own name where the venue's tokens do not say."""
        return next((token.coin for token in self.tokens.values() if token.venue == venue and token.asset == asset), asset)

    def perpetual_of(self, venue: str, asset: str) -> str | None:
        """The perpetual that helps to price a collateral asset: its token's own, else the main one of its coin; None without one."""
        self.asset_row(venue, asset)
        return self._perpetual_of.get((venue, asset))

    def is_at_par(self, venue: str, asset: str) -> bool:
        """Whether a venue values a collateral asset at 1 and moves it with no price."""
        self.asset_row(venue, asset)
        return self._basis[venue, asset] is PriceBasis.PAR

    def load(self, event: Instruments) -> None:
        """Replace a venue's reference data; marks stay."""
        before = [name for name, known in self.instruments.items() if known.venue == event.venue]
        for name in before:
            del self.instruments[name]
        self.instruments.update({instrument.id: instrument for instrument in event.instruments})
        for gone in [name for name in before if name not in self.instruments]:
            self._volatility.pop(gone, None)
        self.tokens.update({(token.venue, token.token): token for token in event.tokens})
        self.sections[event.venue] = dict(event.sections)
        self.revision += 1
        for key in self._asset_rows:
            self._link(key)
            self._estimate(key)

    def apply_marks(self, event: MarkPrices) -> None:
        """Write marks, index prices, funding rates and times; flags the rows whose mark moved.

        NaN leaves an index or a rate as it is, 0 a funding time.
        """
        times = event.funding_times
        lengths = {len(column) for column in (event.instruments, event.marks, event.indices, event.funding, times) if column is not None}
        if len(lengths) > 1:
            raise ValueError(f"marks of {event.venue} with columns of different length: a connector's defect")
        if len(event.instruments) == 1:
            self._apply_mark(event)
        else:
            self._apply_columns(event)
        if event.delta:
            self._by_delta.update(map(self._rows.__getitem__, event.instruments))
        self._estimate_followers(set(event.instruments))

    def _apply_mark(self, event: MarkPrices) -> None:
        # most events tell one instrument: without arrays that takes a fifth of the time
        row, mark, index, funding = self.row(event.instruments[0]), event.marks[0], event.indices[0], event.funding[0]
        if mark != self._mark[row]:
            self._moved[row] = True
        self._mark[row], self._told_ns[row] = mark, event.received_ns
        if not math.isnan(index):
            self.index[row] = index
        if not math.isnan(funding):
            self.funding[row] = funding
        if event.funding_times is not None and event.funding_times[0]:
            self.funding_time[row] = event.funding_times[0]

    def _apply_columns(self, event: MarkPrices) -> None:
        for name in event.instruments:
            if name not in self._rows:
                self.row(name)
        rows = np.fromiter(map(self._rows.__getitem__, event.instruments), np.int64, len(event.instruments))
        marks = np.array(event.marks, np.float64)
        # no mark is NaN, so that the first one differs from the NaN of an unknown row
        self._moved[rows] |= marks != self._mark[rows]
        self._mark[rows] = marks
        self._told_ns[rows] = event.received_ns
        for column, told in ((self.index, event.indices), (self.funding, event.funding)):
            values = np.array(told, np.float64)
            column[rows] = np.where(np.isnan(values), column[rows], values)
        if event.funding_times is not None:
            told_ms = np.array(event.funding_times, np.int64)
            self.funding_time[rows] = np.where(told_ms == 0, self.funding_time[rows], told_ms)

    def apply_volatilities(self, event: Volatilities) -> None:
        """Remember implied volatilities. NaN, or none any more, leaves the last one as it is."""
        told = zip(event.instruments, event.volatilities, strict=True)
        self._volatility.update({name: volatility for name, volatility in told if volatility == volatility})

    def silent(self, instruments: Iterable[str], now_ns: int, limit_s: float, *, delta_alive: bool) -> str | None:
        """An instrument whose mark nobody confirmed for `limit_s`, if any.

        A feed that tells changes only confirms by its silence what it has told before, as long as it is alive
        (`delta_alive`).
        """
        rows, told_ns, limit_ns = self._rows, self._told_ns, limit_s * 1e9
        for name in instruments:
            row = rows.get(name)
            if row is None or now_ns - told_ns.item(row) <= limit_ns:
                continue
            if not (delta_alive and row in self._by_delta):
                return name
        return None

    def forget_deltas(self) -> None:
        """The feed of changes was interrupted: what it told before is not confirmed by it any more."""
        self._by_delta.clear()

    def seed_mark(self, instrument: str, mark: float, received_ns: int) -> None:
        """Take a price as the mark of an instrument that has none yet (a position's own frame or execution comes first)."""
        row = self.row(instrument)
        if self._mark[row] != self._mark[row] and mark > 0:
            self._mark[row] = mark
            self._moved[row] = True
            self._told_ns[row] = received_ns
            self._estimate_followers((instrument,))

    def apply_spot(self, event: SpotPrices) -> None:
        """Write spot marks and re-estimate the collateral assets among them."""
        for asset, price in event.prices.items():
            self._spot[(event.venue, asset)] = price
            if (event.venue, asset) in self._asset_rows:
                self._estimate((event.venue, asset))

    def spot(self, venue: str, asset: str) -> float | None:
        """Last spot mark of an asset in the venue's main stablecoin."""
        return self._spot.get((venue, asset))

    def apply_reserves(self, event: BorrowReserves) -> None:
        """Remember the lending pools' own prices and loan-to-values."""
        self.reserves.update({(event.venue, reserve.asset): reserve for reserve in event.reserves})
        for key in [(event.venue, reserve.asset) for reserve in event.reserves if (event.venue, reserve.asset) in self._asset_rows]:
            self._estimate(key)

    def _link(self, key: tuple[str, str]) -> None:
        venue, asset = key
        token = next((token for token in self.tokens.values() if token.venue == venue and token.asset == asset), None)
        self._basis[key] = PriceBasis.MEDIAN if token is None else token.basis
        if token is not None and token.basis is not PriceBasis.MEDIAN:
            self._perpetual_of.pop(key, None)
            if token.basis is PriceBasis.INDEX and token.perpetual is not None:
                self._perpetual_of[key] = token.perpetual
            return
        coin = self.asset_coin(venue, asset)
        perpetual = next((i.id for i in self._main_perpetuals(venue) if i.coin == coin and i.multiplier == 1.0), None)
        if perpetual is None:
            return
        self._perpetual_of[key] = perpetual

    def _main_perpetuals(self, venue: str) -> Iterable[Instrument]:
        return (i for i in self.instruments.values() if i.venue == venue and i.section == "" and not i.delisted)

    def _estimate(self, key: tuple[str, str]) -> None:
        perpetual = self._perpetual_of.get(key)
        if self._basis[key] is PriceBasis.MEDIAN:
            price = self._median(key, perpetual)
        else:
            price = 1.0 if self._basis[key] is PriceBasis.PAR else math.nan if perpetual is None else float(self.index[self.row(perpetual)])
        row = self._asset_rows[key]
        if not math.isnan(price) and price != self._asset_price[row]:
            self._asset_price[row] = price
            self._asset_moved[row] = True

    def _estimate_followers(self, instruments: Collection[str]) -> None:
        for key, perpetual in self._perpetual_of.items():
            if perpetual in instruments:
                self._estimate(key)

    def _median(self, key: tuple[str, str], perpetual: str | None) -> float:
        # Hyperliquid's borrow price is the median of its spot price, perpetual mark and oracle; what is missing is left out,
        # and the published oracle price of the lending pool stands in when nothing is live.
        sources = [self._spot.get(key, math.nan)]
        if perpetual is not None:
            row = self.row(perpetual)
            sources += [float(self._mark[row]), float(self.index[row])]
        live = [price for price in sources if price > 0]
        if live:
            return median(live)
        return self.reserves[key].oracle_price if key in self.reserves else math.nan
