"""Dirty pools -> kernels -> figures of every pool; full results only where somebody looks.

`evaluate` is what every tick costs: write the accounts that changed, one kernel call, and the list of pools that crossed a
level or a gap. Results (immutable) are made for those, for scrapes and for streams.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from connectors.events import FailureReason
from connectors.model import PositionSide
from kernels import distance, pool
from monitor.book import Book
from monitor.freshness import feeds_of
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Failure, Level, PoolResult
from monitor.pool_arrays import PoolArrays, Scope, copied
from monitor.reconcile import TOLERANCE, worst

SHOWN_NS, TOLD_NS = 3_000_000_000, 1_000_000_000
"""A liquidation price measured earlier is shown for the first; an alert trusts it for the second, while nothing was traded."""

_STATUS = {
    pool.MISSING_MARK: Failure(FailureReason.MISSING_MARK, "a held instrument has no mark yet"),
    pool.MISSING_PRICE: Failure(FailureReason.MISSING_PRICE, "a collateral asset has no price yet"),
    pool.UNKNOWN_TIER: Failure(FailureReason.UNKNOWN_TIER, "a held instrument has no margin table: waiting for a refetch"),
    pool.NOT_FINITE: Failure(FailureReason.NOT_READY, "cash or a quantity is not a number: waiting for the venue's next account state"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The mark of the worst position's coin at which its pool is liquidated; NaN for none.

    Found at `at_ns`, for the pool as of its write number `written`; `above` says on which side of the mark it was.
    """

    at_ns: int
    written: int
    instrument: str
    price: float
    above: bool

    @classmethod
    def of(cls, at_ns: int, written: int, instrument: str, mark: float, move: float) -> Measured:
        """From the mark then and the relative move to the price."""
        return cls(at_ns, written, instrument, mark * (1 + move), move > 0)

    def move_from(self, mark: float) -> float | None:
        """The relative move left from a later mark; None without one, or once the mark has passed the price (trading moved it)."""
        move = self.price / mark - 1
        return move if math.isfinite(move) and (move > 0) is self.above else None


@dataclass(slots=True)
class EngineStatistics:
    """Counts since start, and what evaluations cost in seconds: the last one, and all."""

    evaluations: int = 0
    pools_evaluated: int = 0
    last_seconds: float = 0.0
    total_seconds: float = 0.0


class Engine:
    """Evaluates a book. `tolerance` is the relative difference from the venue above which a pool is UNRECONCILED."""

    def __init__(self, book: Book, tolerance: float = TOLERANCE) -> None:
        self.book = book
        self.arrays: PoolArrays = book.arrays
        self.tolerance = tolerance
        self.statistics = EngineStatistics()
        self._measured: dict[Scope, Measured] = {}

    def evaluate(self) -> list[int]:
        """Bring every figure up to date; returns the pools whose band changed (also: to or from having no value)."""
        started = time.perf_counter()
        self.book.flush()
        arrays, market = self.arrays, self.book.market
        margins = arrays.margins
        count = pool.evaluate_pools(arrays.positions, arrays.collateral, market.tiers.arrays, market.prices, arrays.pools, margins)
        crossed: list[int] = []
        if margins.crossed.any():
            crossed = [int(index) for index in np.flatnonzero(margins.crossed) if int(index) in arrays.specs]
            margins.crossed[:] = False
        statistics = self.statistics
        statistics.evaluations += 1
        statistics.pools_evaluated += count
        statistics.last_seconds = time.perf_counter() - started
        statistics.total_seconds += statistics.last_seconds
        return crossed

    def failures(self, index: int, now_ns: int) -> tuple[Failure, ...]:
        """Why one pool has no value, or a stale one: those of its `result`, for less."""
        failures, stale = self._failures(index, now_ns)
        return (*failures, *stale)

    def _failures(self, index: int, now_ns: int) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
        spec, (venue, account, _) = self.arrays.specs[index], self.arrays.scopes[index]
        failures = spec.failures
        if not failures and self.arrays.margins.status[index] != pool.OK:
            failures = (_STATUS[int(self.arrays.margins.status[index])],)
        return failures, self._stale(spec, venue, account, now_ns) if not failures else ()

    def result(self, index: int, now_ns: int, *, measure: bool = False) -> PoolResult:
        """The full result of one pool; with `measure` its distance is measured anew unless that was just done."""
        book, arrays = self.book, self.arrays
        spec, (venue, account, _) = arrays.specs[index], arrays.scopes[index]
        failures, stale = self._failures(index, now_ns)
        heard = book.freshness.frame_ns.get((venue, account))
        difference = worst(spec.comparisons)
        common: dict[str, Any] = {
            "data_age_s": None if heard is None else (now_ns - heard) / 1e9,
            "reported_difference": difference,
            "reconciled": self._is_reconciled(spec, difference),
            "stale": bool(stale),
            "failures": (*failures, *stale),
            "positions": len(spec.legs) if spec.held is None else spec.held,
            "model_error": spec.model_error,
            "remedy": spec.remedy,
        }
        if failures:
            return self._without_value(spec, venue, account, common)
        return self._with_value(index, spec, venue, account, common, bool(stale), now_ns, measure)

    def _is_reconciled(self, spec: PoolSpec, difference: float | None) -> bool | None:
        if difference is None and not spec.doubt:
            return None
        tolerance = self.tolerance if spec.tolerance is None else spec.tolerance
        return not spec.doubt and (difference or 0.0) <= tolerance

    def _stale(self, spec: PoolSpec, venue: str, account: str, now_ns: int) -> tuple[Failure, ...]:
        freshness = self.book.freshness
        found = (*spec.stale, *freshness.failures(venue, account, [leg.instrument for leg in spec.legs]))
        alive, limit_s = freshness.is_alive(venue, feeds_of(venue).delta), freshness.mark_limit_s(venue)
        market = self.book.market
        priced = [name for held in spec.collateral if (name := market.perpetual_of(venue, held.asset)) is not None]
        needed = [*(leg.instrument for leg in spec.legs), *priced]
        silent = market.silent(needed, now_ns, limit_s, delta_alive=alive)
        if silent is None or any(failure.reason is FailureReason.STALE_MARK for failure in found):
            return found
        detail = f"no mark of {silent} for more than {limit_s:g} s though its feed speaks"
        return (*found, Failure(FailureReason.STALE_MARK, detail))

    def results(self, now_ns: int) -> list[PoolResult]:
        """Results of all pools, in the order of account and pool."""
        return [self.result(index, now_ns) for index in sorted(self.arrays.specs, key=lambda i: self.arrays.scopes[i])]

    def distance_job(self, now_ns: int) -> Callable[[], dict[Scope, Measured]]:
        """Work for a thread: measure every pool's distance to liquidation on copies of the arrays, without the GIL.

        What it returns is for `take_distances`, on the loop.
        """
        arrays, market = self.arrays, self.book.market
        held, prices, pools = (copied(arrays.positions), copied(arrays.collateral)), copied(market.prices), copied(arrays.pools)
        tiers = market.tiers.arrays
        wanted = []
        for index, scope in arrays.scopes.items():
            instrument = self._worst_instrument(index)
            if arrays.margins.status[index] == pool.OK and instrument is not None:
                written, mark = arrays.written[index], market.mark(instrument)
                wanted.append((index, scope, written, instrument, mark, *self._weights(index, self._coin(instrument))))

        def measure() -> dict[Scope, Measured]:
            found = {}
            for index, scope, written, instrument, mark, marks, assets in wanted:
                moves = distance.distance_to_ratio(index, 1.0, distance.SCAN, marks, assets, *held, tiers, prices, pools)
                found[scope] = Measured.of(now_ns, written, instrument, mark, _nearest(moves))
            return found

        return measure

    def take_distances(self, measured: Mapping[Scope, Measured]) -> None:
        """Show what a `distance_job` found."""
        # a pool may be gone since
        self._measured.update({scope: found for scope, found in measured.items() if self.arrays.has(scope)})

    def distance(self, index: int, target: float, coin: str | None = None) -> tuple[str | None, float]:
        """(instrument, nearest move) at which the pool's ratio reaches `target` when one coin moves alone.

        The coin is that of the position with the largest maintenance margin unless given; the move is NaN when no move in
        the scan reaches the target.
        """
        instrument = self._worst_instrument(index)
        if instrument is None:
            return None, math.nan
        return instrument, _nearest(self.moves(index, target, coin or self._coin(instrument)))

    def moves(self, index: int, target: float, coin: str) -> tuple[float, float]:
        """(nearest move down, nearest move up) of one coin, its collateral with it, at which the ratio crosses `target`; NaN for none."""
        market, arrays = self.book.market, self.arrays
        marks, assets = self._weights(index, coin)
        return distance.distance_to_ratio(
            index,
            target,
            distance.SCAN,
            marks,
            assets,
            arrays.positions,
            arrays.collateral,
            market.tiers.arrays,
            market.prices,
            arrays.pools,
        )

    def _weights(self, index: int, coin: str) -> tuple[pool.Floats, pool.Floats]:
        market, spec, venue = self.book.market, self.arrays.specs[index], self.arrays.scopes[index][0]
        marks, assets = np.zeros(market.prices.mark.shape[0]), np.zeros(market.prices.asset.shape[0])
        for leg in spec.legs:
            if self._coin(leg.instrument) == coin:
                marks[market.row(leg.instrument)] = 1.0
        for held in spec.collateral:
            if market.asset_coin(venue, held.asset) == coin and not market.is_at_par(venue, held.asset):
                assets[market.asset_row(venue, held.asset)] = 1.0
        return marks, assets

    def liquidation_prices(self) -> dict[tuple[Scope, str, PositionSide], float]:
        """The venue's liquidation price of every position, other marks frozen; NaN where there is none."""
        book, arrays = self.book, self.arrays
        prices = np.full(arrays.positions.pool.shape[0], math.nan)
        pool.liquidation_prices(arrays.positions, book.market.tiers.arrays, book.market.prices, arrays.pools, arrays.margins, prices)
        return {
            (arrays.scopes[index], leg.instrument, leg.side): float(prices[slot])
            for index, spec in arrays.specs.items()
            for leg, slot in zip(spec.legs, arrays.position_slots(index), strict=True)
        }

    def _without_value(self, spec: PoolSpec, venue: str, account: str, common: dict[str, Any]) -> PoolResult:
        return PoolResult(
            venue=venue, account=account, pool=spec.name, kind=spec.kind, mode=spec.mode, asset=spec.asset, level=Level.OK,
            margin_ratio=None, raw_ratio=None, limit=spec.limit, equity=None, maintenance_margin=None, excess=None, **common,
        )  # fmt: skip

    def _with_value(
        self, index: int, spec: PoolSpec, venue: str, account: str, common: dict[str, Any], stale: bool, now_ns: int, measure: bool
    ) -> PoolResult:
        margins = self.arrays.margins
        levels = self.book.accounts[(venue, account)].levels
        ratio = float(margins.ratio[index])
        equity, requirement = float(margins.capacity[index]), float(margins.requirement[index])
        cash, trade = self._to_safety(index, spec, levels[0]) if ratio > levels[0] else (None, None)
        instrument, move = self._nearest(index, now_ns, measure)
        return PoolResult(
            venue=venue,
            account=account,
            pool=spec.name,
            kind=spec.kind,
            mode=spec.mode,
            asset=spec.asset,
            level=Level(sum(ratio >= level for level in levels)),
            margin_ratio=None if stale else ratio,
            last_margin_ratio=ratio,
            raw_ratio=float(margins.raw_ratio[index]) if spec.limit != 1.0 else None,
            limit=spec.limit,
            equity=equity,
            maintenance_margin=requirement,
            initial_margin=float(margins.initial[index]),
            excess=spec.limit * equity - requirement,
            cash_to_safety=cash,
            reduce=trade,
            reduce_side=PositionSide.BOTH if trade is None else self._worst_side(index),
            worst_instrument=instrument,
            worst_liquidation_price=None if move is None or instrument is None else self.book.market.mark(instrument) * (1 + move),
            worst_distance=move,
            **common,
        )

    def _to_safety(self, index: int, spec: PoolSpec, target: float) -> tuple[float | None, tuple[str, float] | None]:
        market, arrays, margins = self.book.market, self.arrays, self.arrays.margins
        equity, maintenance = float(margins.equity[index]), float(margins.maintenance[index])
        shortfall = max(0.0, float(margins.maintenance[index] - margins.equity[index])) if spec.borrows else 0.0
        collateral = float(margins.capacity[index] - margins.equity[index]) - shortfall
        # the ratio is the worse of ours and the venue's own moved by marks: the cash has to mend both
        cash = max(
            pool.cash_to_ratio(target, e, m, collateral, spec.limit, spec.borrows, spec.borrow_offset)
            for e, m in (
                (equity, maintenance),
                (
                    equity + float(arrays.pools.adjust_equity[index]),
                    max(0.0, maintenance + float(arrays.pools.adjust_maintenance[index])),
                ),
            )
        )
        slot = int(margins.worst_position[index])
        if slot < 0:
            return cash, None
        quantity = pool.reduction_to_ratio(target, slot, arrays.positions, market.tiers.arrays, market.prices, arrays.pools, margins)
        instrument = self._worst_instrument(index)
        return cash, None if instrument is None or not math.isfinite(quantity) else (instrument, quantity)

    def _worst_side(self, index: int) -> PositionSide:
        slots, slot = self.arrays.position_slots(index), int(self.arrays.margins.worst_position[index])
        return self.arrays.specs[index].legs[slots.index(slot)].side if slot in slots else PositionSide.BOTH

    def _nearest(self, index: int, now_ns: int, measure: bool) -> tuple[str | None, float | None]:
        if self.arrays.margins.ratio[index] >= 1.0:
            return self._worst_instrument(index), 0.0
        scope = self.arrays.scopes[index]
        known = self._measured.get(scope)
        written = self.arrays.written[index]
        if known is None or now_ns - known.at_ns > (TOLD_NS if measure else SHOWN_NS) or (measure and known.written != written):
            instrument, move = self.distance(index, 1.0) if measure else (self._worst_instrument(index), math.nan)
            if instrument is None:
                return None, None
            known = Measured.of(now_ns, written, instrument, self.book.market.mark(instrument), move)
            if measure:
                self._measured[scope] = known
        # the price stays where it is while the mark moves towards it
        return known.instrument, known.move_from(self.book.market.mark(known.instrument))

    def _worst_instrument(self, index: int) -> str | None:
        slot = int(self.arrays.margins.worst_position[index])
        spec, market = self.arrays.specs[index], self.book.market
        if slot >= 0 and spec.legs:
            row = int(self.arrays.positions.instrument[slot])
            return next((leg.instrument for leg in spec.legs if market.row(leg.instrument) == row), None)
        # debt against collateral alone: what moves it is the collateral's price
        venue = self.arrays.scopes[index][0]
        worth = {held.asset: held.amount * held.ratio * market.asset_price(venue, held.asset) for held in spec.collateral}
        return market.perpetual_of(venue, max(worth, key=worth.__getitem__)) if worth else None

    def _coin(self, instrument: str) -> str:
        known = self.book.market.instruments.get(instrument)
        return known.coin if known else instrument


def _nearest(moves: tuple[float, float]) -> float:
    return min((move for move in moves if move == move), key=abs, default=math.nan)
