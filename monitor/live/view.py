"""A live portfolio looked at closely, about once a second in a worker thread: its full result, distances, and which venue acts first.

From a snapshot document of the live book (`monitor/live/export.py`), by the way that any saved document takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from config.portfolios import PortfolioSettings
from connectors.events import FailureReason
from monitor.live.inputs import Input, doubts, worst_of
from monitor.margin.cross import cross_result, saving
from monitor.margin.eligibility import ineligibility
from monitor.margin.portfolio import PortfolioResult, portfolio_result
from monitor.margin.portfolio_measures import ALL, portfolio_distances
from monitor.margin.result import Failure, Level
from monitor.margin.venue_view import VenueView, venue_view
from monitor.report.document import CUTS, moving_coins
from monitor.resolvers.provenance import Provenance, worst
from monitor.snapshot import Snapshot, SnapshotError, parse_snapshot
from monitor.stress.book import StressBook
from monitor.stress.load import book_of

EVERY_COIN = "ALL"
"""What stands for a coin where all of them move."""

LEVEL_NAMES = (Level.WARNING.label, Level.CRITICAL.label, Level.BREACH.label)
"""Levels of a portfolio, in the order of its ratios."""


@dataclass(frozen=True, slots=True)
class PortfolioView:
    """One portfolio at one instant; money in USD. `result` and `venues` are None where `failures` says why.

    `cross_maintenance_margin` is the same book margined leg by leg, `saving` the share of it that the portfolio method saves;
    `reasons` why the figure may not be relied on (see `[portfolio.eligibility]`). `provenance` is the worst of the market figures it
    rests on (None without a value), `doubts` say which are not what a venue tells now, and `market` is the worst by kind and coin, where
    the coin of `fx` is the stablecoin. `distances` are the nearest moves (-0.2: 20 % down) by coin or EVERY_COIN, level and direction
    (`down`, `up`), without those that no move reaches. `seconds` is what it took to compute.
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
    market: Mapping[tuple[str, str], Provenance] = field(default_factory=dict)
    distances: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    seconds: float = 0.0


def portfolio_view(portfolio: PortfolioSettings, document: Mapping[str, Any], inputs: Mapping[str, list[Input]]) -> PortfolioView:
    """The view of one portfolio of a document, with what its figures rest on; may run in a thread."""
    began, as_of_ms = time.perf_counter(), int(document["as_of"])
    try:
        snapshot = parse_snapshot(document, "the live book")
    except SnapshotError as error:
        return PortfolioView(portfolio.id, as_of_ms, (Failure(FailureReason.NOT_READY, str(error)),), market=market_of(inputs))
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
        market_of(inputs),
        {} if result.margin_ratio is None else dict(_distances(book, portfolio, snapshot)),
        time.perf_counter() - began,
    )


def market_of(inputs: Mapping[str, list[Input]]) -> dict[tuple[str, str], Provenance]:
    """The worst provenance by kind and coin of what `portfolio_inputs` told."""
    found: dict[tuple[str, str], list[Provenance]] = {}
    for coin, group in inputs.items():
        for one in group:
            # stablecoins stand with the coins that settle in them, and balances with none
            of = one.name if one.kind == "fx" or not coin else coin
            found.setdefault((one.kind, of), []).append(one.resolved.provenance)
    return {key: worst(group) for key, group in found.items()}


def _distances(book: StressBook, portfolio: PortfolioSettings, snapshot: Snapshot) -> Iterator[tuple[tuple[str, str, str], float]]:
    for coin in (ALL, *moving_coins(book, portfolio.id)):
        name = EVERY_COIN if coin == ALL else coin
        moves = portfolio_distances(book, portfolio.id, coin, portfolio.levels.ratios, snapshot.beta)
        for level, both in zip(LEVEL_NAMES, moves, strict=True):
            yield from (((name, level, direction), move) for direction, move in zip(("down", "up"), both, strict=True) if move is not None)
