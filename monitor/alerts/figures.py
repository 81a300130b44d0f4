"""The figures that an alert carries for programs: the document of its pool or portfolio.

Infinity is the string "Infinity", null means unknown (spec: report format). No addresses, no secrets.
"""

from __future__ import annotations

from typing import Any

from config.errors import masked
from monitor.alerts.incident import Reading
from monitor.live.reading import PortfolioReading
from monitor.margin.result import Failure, PoolResult
from monitor.report.plain import plain


def figures_of(reading: Reading | None) -> dict[str, Any]:
    """The document of a reading; empty where there is none."""
    if isinstance(reading, PoolResult):
        return pool_figures(reading)
    return portfolio_figures(reading) if isinstance(reading, PortfolioReading) else {}


def pool_figures(result: PoolResult) -> dict[str, Any]:
    """One pool; money in its `asset`."""
    found: dict[str, Any] = {
        "venue": result.venue,
        "account": result.account,
        "pool": result.pool,
        "kind": result.kind.value,
        "mode": result.mode,
        "asset": result.asset,
        "status": "ok" if not result.failures else "failed",
        "failures": [_failure(failure) for failure in result.failures],
        "level": result.level.label if result.margin_ratio is not None else None,
        "margin_ratio": result.margin_ratio,
        "last_margin_ratio": result.last_margin_ratio,
        "raw_ratio": result.raw_ratio,
        "limit": result.limit,
        "equity": result.equity,
        "maintenance_margin": result.maintenance_margin,
        "initial_margin": result.initial_margin,
        "excess": result.excess,
        "cash_to_safety": result.cash_to_safety,
        "reduce": None if result.reduce is None else {"instrument": result.reduce[0], "quantity": result.reduce[1]},
        "worst_instrument": result.worst_instrument,
        "distance": result.worst_distance,
        "liquidation_price": result.worst_liquidation_price,
        "positions": result.positions,
        "data_age_s": result.data_age_s,
        "stale": result.stale,
        "reconciled": result.reconciled,
        "reported_difference": result.reported_difference,
        "model_error": result.model_error,
    }
    return _plain(found)


def portfolio_figures(reading: PortfolioReading) -> dict[str, Any]:
    """One portfolio; money in USD. `worst` is the coin that its margin is most of."""
    worst = None if reading.worst is None else {"coin": reading.worst[0], "maintenance_margin": reading.worst[1]}
    found: dict[str, Any] = {
        "portfolio": reading.portfolio,
        "accounts": list(reading.accounts),
        "parameters": reading.parameters,
        "status": "ok" if not reading.failures else "failed",
        "failures": [_failure(failure) for failure in reading.failures],
        "margin_ratio": reading.margin_ratio,
        "last_margin_ratio": reading.last_margin_ratio,
        "equity": reading.equity,
        "maintenance_margin": reading.maintenance_margin,
        "initial_margin": reading.initial_margin,
        "excess": reading.excess,
        "cash_to_safety": reading.cash_to_safety,
        "worst": worst,
        "scenario": reading.scenario or None,
        "scenario_loss": reading.scenario_loss,
        "contributor": reading.contributor or None,
        "next": reading.next_step or None,
    }
    return _plain(found)


def _failure(failure: Failure) -> dict[str, str]:
    return {"reason": failure.reason.value, "detail": masked(failure.detail)}


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = plain(found)
    return told
