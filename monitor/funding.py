"""What positions pay or receive at the next funding time, and what that does to their pool.

    amount = -quantity * price * rate        received > 0, in the token that the position settles in; longs pay a positive rate

`price` is the oracle price on Hyperliquid, whose oracle serves funding and nothing else (venue notes 4.1, 4.7: payment =
szi * oraclePx * rate of the hour), and the mark on Aster (venue notes 5.9: amt * mark * rate). Every leg of a hedge pays for itself,
and an isolated position into and out of its own pool. Nothing here is on the way of a tick: it is computed when somebody looks.

    next_funding(engine, results, now_ms)    all pools of an engine, live or made of a document
    next_time(told_ms, interval_h, now_ms)   when the next payment is made
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from connectors.events import FailureReason
from connectors.model import InstrumentKind, PositionSide
from kernels import pool
from monitor.engine import Engine
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID
from monitor.margin.pools import PoolSpec
from monitor.margin.result import Failure, PoolKind, PoolResult
from monitor.market import Market
from monitor.pool_arrays import Scope

PAYS_ON_ORACLE = frozenset({HYPERLIQUID})
"""Venues whose payment is computed on the oracle (index) price; all others compute it on the mark."""

PAYS_ALWAYS = frozenset({DERIBIT})
"""Venues whose funding accrues without a time of payment: there is no next one to tell."""

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """What one unit of an instrument pays next: a figure is None where `failure` says why.

    `rate` is a fraction per funding time, `price` what the venue multiplies it with, `time_ms` the venue's. `as_last_told`: the
    time for which the rate was told has passed, and no newer one was told.
    """

    rate: float | None
    price: float | None
    time_ms: int | None
    as_last_told: bool = False
    failure: Failure | None = None


class FundingRow(NamedTuple):
    """The next payment of one position: `amount` in its pool's token, received > 0; None where `failure` says why."""

    account: str
    pool: str
    instrument: str
    side: PositionSide
    quantity: float
    rate: float | None
    time_ms: int | None
    amount: float | None
    as_last_told: bool
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class PoolFunding:
    """The nearest funding time of a pool, what all positions that pay then amount to, and the pool's ratio with that booked.

    `amount` is None where that of one of them is unknown, or whether it pays then: `failures` say why. `ratio_after` is None also
    where the pool has no ratio now.
    """

    time_ms: int | None
    amount: float | None
    ratio_after: float | None
    rows: tuple[FundingRow, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def as_last_told(self) -> bool:
        """Whether a rate that the amount rests on was told for a time that has passed."""
        return any(row.as_last_told for row in self.rows if row.time_ms == self.time_ms)


TermsOf = Callable[[str, str], FundingTerms | None]
"""From venue and instrument to its terms; None for what pays no funding."""


def next_time(told_ms: int, interval_h: float, now_ms: int) -> int | None:
    """The first funding time after `now_ms`, venue's ms; None where neither a time to come nor an interval is known.

    `told_ms` is the venue's word, 0 unknown: once it has passed it is moved on by whole intervals. Without one it is the next whole
    multiple of the interval, which is where venues put their funding times.
    """
    if told_ms > now_ms:
        return told_ms
    interval_ms = round(interval_h * HOUR_MS)
    if interval_ms <= 0:
        return None
    return told_ms + ((now_ms - told_ms) // interval_ms + 1) * interval_ms


def terms(instrument: str, rate: float, price: float, price_failure: Failure, time_ms: int | None, as_last_told: bool) -> FundingTerms:
    """Terms from figures of which some may be NaN, 0 or None: unknown."""
    known_rate = rate if math.isfinite(rate) else None
    known_price = price if 0.0 < price < math.inf else None
    failure = None
    if time_ms is None:
        failure = Failure(FailureReason.MISSING_FUNDING, f"when {instrument} pays funding next is not known: its interval was not told")
    if known_price is None:
        failure = price_failure
    if known_rate is None:
        failure = Failure(FailureReason.MISSING_FUNDING, f"no funding rate of {instrument} was told")
    return FundingTerms(known_rate, known_price, time_ms, as_last_told, failure)


def live_terms(market: Market, venue: str, instrument: str, now_ms: int) -> FundingTerms | None:
    """The terms of an instrument as the market knows them, at a time of the venue's clock."""
    listed, row = market.instruments.get(instrument), market.known_row(instrument)
    if listed is not None and listed.kind is not InstrumentKind.PERPETUAL:
        return None
    rate, price, told_ms, on_oracle = math.nan, math.nan, 0, venue in PAYS_ON_ORACLE
    if row is not None:
        rate, told_ms = float(market.funding[row]), int(market.funding_time[row])
        price = float(market.index[row]) if on_oracle else market.mark(instrument)
    time_ms = next_time(told_ms, listed.funding_interval_h if listed is not None else 0.0, now_ms)
    return terms(instrument, rate, price, no_price(instrument, on_oracle=on_oracle), time_ms, 0 < told_ms <= now_ms)


def no_price(instrument: str, *, on_oracle: bool) -> Failure:
    """Why a payment cannot be computed without the price it is computed on."""
    if on_oracle:
        return Failure(FailureReason.MISSING_INDEX, f"no oracle price of {instrument}, on which its venue computes funding")
    return Failure(FailureReason.MISSING_MARK, f"no mark of {instrument}, on which its venue computes funding")


def next_funding(engine: Engine, results: Sequence[PoolResult], now_ms: Callable[[str], int]) -> dict[Scope, PoolFunding]:
    """The next funding of every pool that holds perpetuals; `results` are the engine's own of this instant.

    `now_ms` gives the time on a venue's clock.
    """
    market, times = engine.book.market, {result.venue: now_ms(result.venue) for result in results}
    return funding_by(engine, results, lambda venue, instrument: live_terms(market, venue, instrument, times[venue]))


def funding_by(engine: Engine, results: Iterable[PoolResult], terms_of: TermsOf) -> dict[Scope, PoolFunding]:
    """As `next_funding`, with the terms of each instrument given."""
    known: dict[tuple[str, str], FundingTerms | None] = {}

    def agreed(venue: str, instrument: str) -> FundingTerms | None:
        key = (venue, instrument)
        if key not in known:
            known[key] = terms_of(venue, instrument)
        return known[key]

    found = {result.scope: _pool_funding(engine, result, agreed) for result in results}
    return {scope: one for scope, one in found.items() if one.rows}


def _pool_funding(engine: Engine, result: PoolResult, terms_of: TermsOf) -> PoolFunding:
    index = engine.arrays.row(result.scope)
    spec = engine.arrays.specs[index]
    rows: list[FundingRow] = []
    shares: list[float] = []
    for leg in spec.legs:
        agreed = terms_of(result.venue, leg.instrument)
        if agreed is None:
            continue
        worth, share = _settlement(engine.book.market, spec, leg.instrument) if spec.kind is PoolKind.ASTER_MULTI_ASSETS else (1.0, 1.0)
        rows.append(payment(result.account, result.pool, leg.instrument, leg.side, leg.quantity, agreed, worth))
        shares.append(share)
    time_ms, amount, failures = due(rows)
    if amount is None or not result.valid:
        return PoolFunding(time_ms, amount, None, tuple(rows), failures)
    gained = math.fsum((row.amount or 0.0) * share for row, share in zip(rows, shares, strict=True) if row.time_ms == time_ms)
    return PoolFunding(time_ms, amount, ratio_after(engine, index, gained), tuple(rows))


def _settlement(market: Market, spec: PoolSpec, instrument: str) -> tuple[float, float]:
    # In multi-assets mode the pool counts USD and the payment goes into the wallet of what the position settles in, which is
    # collateral like any other (Aster notes 5.4): worth of a unit in USD, and the share of it that equity gains.
    listed = market.instruments.get(instrument)
    if listed is None:
        return math.nan, math.nan
    share = next((held.ratio for held in spec.collateral if held.asset == listed.settle), 1.0)
    return market.asset_price(listed.venue, listed.settle), share


def payment(
    account: str, pool_name: str, instrument: str, side: PositionSide, quantity: float, agreed: FundingTerms, worth: float = 1.0
) -> FundingRow:
    """The row of one position under its instrument's terms; `worth` is what a unit of its settlement asset is in the row's money."""
    rate, price, failure = agreed.rate, agreed.price, agreed.failure
    # 0.0 -: a payment of nothing has no sign
    amount = None if rate is None or price is None else 0.0 - quantity * price * rate * worth
    if amount is not None and not math.isfinite(amount):
        amount, failure = None, _no_amount(instrument, quantity)
    return FundingRow(account, pool_name, instrument, side, quantity, rate, agreed.time_ms, amount, agreed.as_last_told, failure)


def _no_amount(instrument: str, quantity: float) -> Failure:
    if math.isfinite(quantity):
        return Failure(FailureReason.MISSING_PRICE, f"no price of what {instrument} settles in")
    return Failure(FailureReason.NOT_READY, f"the size of {instrument} is not a number: waiting for the venue's next account state")


def due(rows: Iterable[FundingRow]) -> tuple[int | None, float | None, tuple[Failure, ...]]:
    """(nearest funding time, what the rows that pay then amount to, why that is unknown).

    A row whose time is unknown may be one of them.
    """
    listed = list(rows)
    time_ms = min((row.time_ms for row in listed if row.time_ms is not None), default=None)
    paying = [row for row in listed if row.time_ms is None or row.time_ms == time_ms]
    failures = tuple(dict.fromkeys(row.failure for row in paying if row.failure is not None))
    amounts = [row.amount for row in paying if row.amount is not None]
    return time_ms, None if failures else math.fsum(amounts), failures


def ratio_after(engine: Engine, index: int, amount: float) -> float:
    """A pool's ratio with `amount`, in its token, added to its cash: the same rule and the same worse of two that the engine takes."""
    arrays, spec = engine.arrays, engine.arrays.specs[index]
    equity, maintenance = float(arrays.margins.equity[index]), float(arrays.margins.maintenance[index])
    shortfall = max(0.0, maintenance - equity) if spec.borrows else 0.0
    collateral = float(arrays.margins.capacity[index]) - equity - shortfall if spec.collateral else 0.0
    return float(pool.worse_ratio(index, equity + amount, maintenance, collateral, arrays.pools))
