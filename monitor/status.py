"""The status documents: what the API serves, the terminal draws and a colleague can save. No addresses, no secrets."""

from __future__ import annotations

import math
from typing import Any

from config.errors import masked
from connectors.events import FeedState
from monitor.alerts.policy import AlertState, Notification
from monitor.alerts.text import render
from monitor.app import SECOND_NS, Application
from monitor.margin.result import PoolResult

VERSION = 1


def status(app: Application) -> dict[str, Any]:
    """The whole program at one instant: readiness, accounts in short, feeds, firing alerts, connectors, timings."""
    now_ns = app.clock.monotonic_ns()
    results = app.results()
    unready = app.unready()
    return {
        "version": VERSION,
        "as_of_ms": app.clock.time_ms(),
        "ready": not unready,
        "unready": unready,
        "started_ms": app.started_ms,
        "pools": [pool_document(result) for result in results],
        "alerts": [_alert(app, state) for state in app.policy.firing()],
        "feeds": [_feed(state, now_ns) for state in app.book.freshness.feeds.values()],
        "connectors": [{"venue": connector.venue, **connector.describe()} for connector in app.connectors],
        "venues": {
            venue: {
                "time_ms": said.time_ms,
                "clock_offset_s": clock_offset_s(app, venue),
                "statuses": list(said.statuses),
                "heard_s": (now_ns - said.received_ns) / SECOND_NS,
            }
            for venue, said in app.book.venue_status.items()
        },
        "parse_errors": [
            {"venue": venue, "feed": feed, "kind": kind, "count": count} for (venue, feed, kind), count in app.book.parse_errors.items()
        ],
        "receivers": app.dispatcher.statistics(),
        "evaluations": app.engine.statistics.evaluations,
        "kernel_warm_up_s": app.warm_up_s,
    }


def clock_offset_s(app: Application, venue: str) -> float:
    """The venue's clock less ours, when it last told its time, in seconds (our wall clock, which may itself have been set since)."""
    said = app.book.venue_status[venue]
    heard_s = (app.clock.monotonic_ns() - said.received_ns) / SECOND_NS
    return said.time_ms / 1000 - (app.clock.time_ms() / 1000 - heard_s)


def accounts(app: Application) -> dict[str, Any]:
    """Every account with its pools and positions, its levels and its tags."""
    held = _positions(app)
    pools: dict[str, list[dict[str, Any]]] = {}
    for result in app.results():
        pools.setdefault(result.account, []).append(pool_document(result))
    return {
        "version": VERSION,
        "as_of_ms": app.clock.time_ms(),
        "accounts": [
            {
                "id": account.id,
                "venue": account.venue,
                "tags": list(account.tags),
                "levels": {"warning": account.levels.warning, "critical": account.levels.critical, "liquidation": 1.0},
                "status": _together(pools.get(account.id, [])),
                "margin_ratio": _worst(pools.get(account.id, [])),
                "pools": pools.get(account.id, []),
                "positions": held.get((account.venue, account.id), []),
                "resting_orders": sum(len(told.orders) for told in app.book.orders.get((account.venue, account.id), {}).values()),
            }
            for account in app.settings.accounts
        ],
    }


def _positions(app: Application) -> dict[tuple[str, str], list[dict[str, Any]]]:
    # quantities and prices in the venue's own contract unit, as its own pages show them
    engine, market = app.engine, app.book.market
    liquidation = engine.liquidation_prices()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for index, spec in engine.arrays.specs.items():
        scope = engine.arrays.scopes[index]
        for leg in spec.legs:
            mark = market.mark(leg.instrument)
            row = {
                "pool": spec.name,
                "instrument": leg.instrument,
                "quantity": leg.quantity,
                "mark": _number(mark),
                "notional": _number(abs(leg.quantity) * mark),
                "leverage": leg.leverage or None,
                "liquidation_price": _number(liquidation.get((scope, leg.instrument))),
            }
            found.setdefault(scope[:2], []).append(row)
    return found


def pool_document(result: PoolResult) -> dict[str, Any]:
    """One pool; infinity is the string "Infinity", null means unknown (spec: report format)."""
    return {
        "venue": result.venue,
        "account": result.account,
        "pool": result.pool,
        "kind": result.kind.value,
        "mode": result.mode,
        "asset": result.asset,
        "status": "ok" if not result.failures else "failed",
        "failures": [{"reason": failure.reason.value, "detail": masked(failure.detail)} for failure in result.failures],
        "level": result.level.label if result.margin_ratio is not None else None,
        "margin_ratio": _number(result.margin_ratio),
        "last_margin_ratio": _number(result.last_margin_ratio),
        "raw_ratio": _number(result.raw_ratio),
        "limit": result.limit,
        "equity": _number(result.equity),
        "maintenance_margin": _number(result.maintenance_margin),
        "initial_margin": _number(result.initial_margin),
        "excess": _number(result.excess),
        "cash_to_safety": _number(result.cash_to_safety),
        "reduce": None if result.reduce is None else {"instrument": result.reduce[0], "quantity": result.reduce[1]},
        "worst_instrument": result.worst_instrument,
        "distance": _number(result.worst_distance),
        "liquidation_price": _number(result.worst_liquidation_price),
        "positions": result.positions,
        "data_age_s": _number(result.data_age_s),
        "stale": result.stale,
        "reconciled": result.reconciled,
        "reported_difference": _number(result.reported_difference),
    }


def notification_document(app: Application, notification: Notification) -> dict[str, Any]:
    """One alert as the history shows it."""
    venue, account, pool = notification.scope
    return {
        "time_ms": _time_ms(app, notification.now_s),
        "key": notification.key,
        "rule": notification.rule.value,
        "change": notification.change.value,
        "venue": venue,
        "account": account,
        "pool": pool,
        "level": notification.level.label,
        "ratio": _number(notification.ratio),
        "text": render(notification).title,
    }


def _together(pools: list[dict[str, Any]]) -> str:
    return "ok" if pools and all(pool["status"] == "ok" for pool in pools) else "failed"


def _worst(pools: list[dict[str, Any]]) -> float | str | None:
    ratios = [pool["margin_ratio"] for pool in pools]
    if not ratios or any(ratio is None for ratio in ratios):
        return None
    numbers = [math.inf if ratio == "Infinity" else float(ratio) for ratio in ratios]
    return _number(max(numbers))


def _time_ms(app: Application, monotonic_s: float) -> int:
    return app.clock.time_ms() - round(app.clock.monotonic_ns() / 1e6 - monotonic_s * 1e3)


def _alert(app: Application, state: AlertState) -> dict[str, Any]:
    venue, account, pool = state.scope
    return {
        "since_ms": _time_ms(app, state.opened_s),
        "notified_ms": _time_ms(app, state.notified_s),
        "key": state.key,
        "rule": state.rule.value,
        "venue": venue,
        "account": account,
        "pool": pool,
        "level": state.level.label,
        "ratio": _number(state.ratio),
        "ratio_at_crossing": _number(state.ratio_at_crossing),
        "frozen": state.frozen,
        "detail": masked(state.detail),
    }


def _feed(state: FeedState, now_ns: int) -> dict[str, Any]:
    return {
        "venue": state.venue,
        "feed": state.feed,
        "account": state.account,
        "status": state.status.value,
        "since_s": (now_ns - state.at_ns) / SECOND_NS,
        "stale_after_s": state.stale_after_s,
        "detail": masked(state.detail),
    }


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
