"""A live portfolio looked at closely, about once a second in a worker thread: its full result, and which venue acts first.

From a snapshot document of the live book (`monitor/live/export.py`), by the way that any saved document takes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.portfolios import PortfolioSettings
from connectors.events import FailureReason
from monitor.live.inputs import Input, doubts, worst_of
from monitor.margin.cross import cross_result, saving
from monitor.margin.eligibility import ineligibility
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.result import Failure
from monitor.margin.venue_view import VenueView, venue_view
from monitor.report.document import CUTS
from monitor.resolvers.provenance import Provenance
from monitor.snapshot import SnapshotError, parse_snapshot
from monitor.stress.load import book_of


@dataclass(frozen=True, slots=True)
class PortfolioView:
    """One portfolio at one instant; money in USD. `result` and `venues` are None where `failures` says why.

    `cross_maintenance_margin` is the same book margined leg by leg, `saving` the share of it that the portfolio method saves;
    `reasons` why the figure may not be relied on (see `[portfolio.eligibility]`). `provenance` is the worst of the market figures it
    rests on (None without a value), `doubts` say which are not what a venue tells now. `seconds` is what it took to compute.
    """

    portfolio: str
    as_of_ms: int
    failures: tuple[Failure, ...] = ()
    result: PortfolioResult | None = None
    cross_maintenance_margin: float | None = None
    saving: float | None = None
    venues: VenueView | None = None
    reasons: tuple[str, ...] = ()
    provenance: Provenance | None = None
    doubts: tuple[str, ...] = ()
    seconds: float = 0.0


def portfolio_view(portfolio: PortfolioSettings, document: Mapping[str, Any], inputs: Mapping[str, list[Input]]) -> PortfolioView:
    """The view of one portfolio of a document, with what its figures rest on; may run in a thread."""
    began, as_of_ms = time.perf_counter(), int(document["as_of"])
    try:
        snapshot = parse_snapshot(document, "the live book")
    except SnapshotError as error:
        return PortfolioView(portfolio.id, as_of_ms, (Failure(FailureReason.NOT_READY, str(error)),))
    book = book_of(snapshot, portfolio.parameter_set, CUTS)
    levels = portfolio.levels.ratios
    result, comparator = portfolio_result(book, portfolio.id, levels), cross_result(book, portfolio.id, levels)
    reasons = ineligibility(portfolio.eligibility, result.equity, [unit.coin for unit in result.units])
    return PortfolioView(
        portfolio.id,
        snapshot.as_of_ms,
        result.failures,
        result,
        comparator.maintenance_margin,
        saving(result.maintenance_margin, comparator.maintenance_margin),
        venue_view(snapshot, portfolio.id),
        tuple(reasons),
        worst_of(one for group in inputs.values() for one in group),
        tuple(doubts(inputs)),
        time.perf_counter() - began,
    )
