"""Next funding in a report: of every pool of a document in its token, and of every portfolio in USD.

A position's payment follows from its instrument's `funding` {rate, interval_h, next_time, price}; `monitor.funding` has the formula.
A document that tells it of none of the positions has no next funding; where it tells it of some, the others are unknown. A row is

    time, amount, ratio_after    the nearest funding time, what all positions that pay then receive (> 0), the margin ratio with it
    failures                     why the amount is unknown; then it is null
    positions                    of every perpetual, whenever it pays: {account, pool, instrument, side, quantity, rate, time, amount,
                                 as_last_told, failure}; `as_last_told`: the rate was told for a time that has passed
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from connectors.events import FailureReason
from connectors.model import PositionSide
from kernels.pool import pool_ratio
from monitor.engine import Engine
from monitor.funding import (
    PAYS_ALWAYS,
    PAYS_ON_ORACLE,
    FundingRow,
    FundingTerms,
    PoolFunding,
    due,
    funding_by,
    next_time,
    no_price,
    payment,
    terms,
)
from monitor.margin.result import Failure, PoolResult
from monitor.pool_arrays import Scope
from monitor.report.plain import utc
from monitor.snapshot import AccountRow, InstrumentRow, Snapshot


def pools_funding(engine: Engine, results: Iterable[PoolResult], snapshot: Snapshot) -> dict[Scope, dict[str, Any]]:
    """By pool of a document's engine: its next funding, in its token; without the pools whose funding it does not tell."""
    listed = {row.id: row for row in snapshot.instruments}

    def terms_of(venue: str, name: str) -> FundingTerms | None:
        # an index, which a pool may move with, pays nothing
        return saved_terms(listed[name], venue, snapshot.as_of_ms) if name in listed else None

    found = funding_by(engine, results, terms_of)
    told = {scope: one for scope, one in found.items() if any(listed[row.instrument].funding is not None for row in one.rows)}
    return {scope: _document(one) for scope, one in told.items()}


def portfolio_funding(snapshot: Snapshot, name: str, equity: float | None, margin: float | None) -> dict[str, Any] | None:
    """The next funding of a portfolio in USD; None where the document tells it of none of its positions.

    `ratio_after` is `margin` / (`equity` + amount): a payment moves equity and nothing else of the portfolio method.
    """
    members = next(row.accounts for row in snapshot.portfolios if row.id == name)
    listed = {row.id: row for row in snapshot.instruments}
    rows = [row for account in snapshot.accounts if account.id in members for row in _payments(snapshot, account, listed)]
    if not any(listed[row.instrument].funding is not None for row in rows):
        return None
    time_ms, amount, failures = due(rows)
    after = None if amount is None or equity is None or margin is None else float(pool_ratio(margin, equity + amount, 1.0))
    return _document(PoolFunding(time_ms, amount, after, tuple(rows), failures))


def saved_terms(row: InstrumentRow, venue: str, as_of_ms: int) -> FundingTerms | None:
    """The terms of an instrument of a document; None for what is no perpetual, and for one that pays all the time (Deribit)."""
    if row.kind != "perpetual" or (row.funding is None and venue in PAYS_ALWAYS):
        return None
    if row.funding is None:
        return FundingTerms(
            None, None, None, failure=Failure(FailureReason.MISSING_FUNDING, f'no funding of {row.id} was told: add "funding"')
        )
    told, on_oracle = row.funding, venue in PAYS_ON_ORACLE
    price = told.price or (None if on_oracle else row.mark)
    told_ms = told.next_time_ms or 0
    return terms(
        row.id,
        math.nan if told.rate is None else told.rate,
        math.nan if price is None else price,
        no_price(row.id, on_oracle=on_oracle),
        next_time(told_ms, told.interval_h or 0.0, as_of_ms),
        0 < told_ms <= as_of_ms,
    )


def _payments(snapshot: Snapshot, account: AccountRow, listed: dict[str, InstrumentRow]) -> Iterator[FundingRow]:
    for held in account.positions:
        row = listed[held.instrument]
        agreed = saved_terms(row, account.venue, snapshot.as_of_ms)
        if agreed is None or held.quantity == 0:
            continue
        side = PositionSide.BOTH if held.side is None else PositionSide(held.side)
        yield _in_usd(payment(account.id, "", row.id, side, held.quantity, agreed), row, snapshot)


def _in_usd(paid: FundingRow, row: InstrumentRow, snapshot: Snapshot) -> FundingRow:
    if row.inverse:
        detail = f"{row.id} is an inverse contract, whose funding has no rule here"
        return paid._replace(amount=None, failure=Failure(FailureReason.UNSUPPORTED_MODE, detail))
    if paid.amount is None:
        return paid
    rate = 1.0 if row.settle == "USD" else snapshot.fx.get(row.settle) or snapshot.index.get(row.settle)
    if rate is None:
        failure = Failure(FailureReason.MISSING_FX, f"{row.settle} has no rate to USD, in which {row.id} pays funding")
        return paid._replace(amount=None, failure=failure)
    return paid._replace(amount=paid.amount * rate)


def _document(funding: PoolFunding) -> dict[str, Any]:
    return {
        "time": _time(funding.time_ms),
        "amount": funding.amount,
        "ratio_after": funding.ratio_after,
        "failures": [_failure(failure) for failure in funding.failures],
        "positions": [_position(row) for row in funding.rows],
    }


def _position(row: FundingRow) -> dict[str, Any]:
    return {
        "account": row.account,
        "pool": row.pool or None,
        "instrument": row.instrument,
        "side": None if row.side is PositionSide.BOTH else row.side.value,
        "quantity": row.quantity,
        "rate": row.rate,
        "time": _time(row.time_ms),
        "amount": row.amount,
        "as_last_told": row.as_last_told,
        "failure": None if row.failure is None else _failure(row.failure),
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {"reason": failure.reason.value, "detail": failure.detail}


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else utc(time_ms)
