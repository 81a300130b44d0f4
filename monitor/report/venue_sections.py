"""The parts of a report that look at each venue on its own: who dies first, one venue gone, concentration, Hyperliquid's modes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from config.parameters import ParameterSet
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID
from monitor.margin.modes import hyperliquid_modes
from monitor.margin.portfolio import PortfolioResult
from monitor.margin.result import Failure, Level
from monitor.margin.saved import account_row
from monitor.margin.venue_view import PoolCurve, VenueView, concentration, move_grid, venue_out, venue_view
from monitor.snapshot import Snapshot

_OUT = ("equity", "maintenance_margin", "initial_margin", "margin_ratio", "excess")


def venue_sections(snapshot: Snapshot, parameters: ParameterSet, result: PortfolioResult) -> dict[str, Any]:
    """`concentration`, `venues` and `venue_out` of one portfolio, as the document writes them."""
    members = next(row.accounts for row in snapshot.portfolios if row.id == result.portfolio)
    venues = sorted({account.venue for account in snapshot.accounts if account.id in members})
    return {
        "concentration": asdict(concentration(result, snapshot)),
        "venues": view_document(venue_view(snapshot, result.portfolio, move_grid(result))),
        "venue_out": {venue: _without(venue_out(snapshot, parameters, result.portfolio, venue)) for venue in venues},
    }


def modes_of(snapshot: Snapshot) -> dict[str, Any]:
    """Hyperliquid accounts that carry pools under each of its modes: id to mode to {failures, pools}."""
    accounts = [account.id for account in snapshot.accounts if account.venue == HYPERLIQUID and account.pools]
    return {account: {mode: _mode(found) for mode, found in hyperliquid_modes(snapshot, account).items()} for account in accounts}


def level_label(level: Level) -> str:
    """A level as documents name it: a breach is `liquidation`."""
    return Level.LIQUIDATION.label if level is Level.BREACH else level.label


def _failure(failure: Failure) -> dict[str, str]:
    return {"reason": failure.reason.value, "detail": failure.detail}


def _mode(found: tuple[Any, ...] | Failure) -> dict[str, Any]:
    if isinstance(found, Failure):
        return {"failures": [_failure(found)], "pools": []}
    return {"failures": [], "pools": [account_row(pool) for pool in found]}


def view_document(view: VenueView) -> dict[str, Any]:
    """The `venues` part of a portfolio, before `plain`."""
    return {
        "complete": not any(curve.failures for curve in view.pools),
        "failures": [_failure(failure) for failure in view.failures],
        "moves": view.moves,
        "pools": [_curve(curve) for curve in view.pools],
        "first_down": _first(view, view.first_down),
        "first_up": _first(view, view.first_up),
        "transfers": [asdict(transfer) for transfer in view.transfers],
        "common_ratio": view.common_ratio,
    }


def _curve(curve: PoolCurve) -> dict[str, Any]:
    keys = ("venue", "account", "pool", "asset", "assumed", "ratio", "ratios", "down", "up")
    return {"failures": [_failure(failure) for failure in curve.failures], **{key: getattr(curve, key) for key in keys}}


def _first(view: VenueView, first: tuple[int, float] | None) -> dict[str, Any] | None:
    if first is None:
        return None
    pool = view.pools[first[0]]
    return {"venue": pool.venue, "account": pool.account, "pool": pool.pool, "move": first[1]}


def _without(result: PortfolioResult | Failure) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"status": "failed", "failures": [_failure(result)], **dict.fromkeys((*_OUT, "level"))}
    figures = {key: getattr(result, key) for key in _OUT}
    known = result.margin_ratio is not None
    return {
        "status": "ok" if not result.failures else "failed",
        "failures": [_failure(failure) for failure in result.failures],
        **figures,
        "level": level_label(result.level) if known else None,
    }
