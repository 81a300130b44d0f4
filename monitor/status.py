"""The status documents: what the API serves, the terminal draws and a colleague can save. No secrets.

Addresses of accounts only where `[monitor] show_addresses` says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from config.accounts import AccountSettings, Levels
from config.errors import masked
from connectors.events import FeedState, KeyState
from connectors.model import ListedPosition, OutcomeMarket, PositionSide
from monitor.alerts.documents import firing_document
from monitor.alerts.figures import pool_figures
from monitor.alerts.incident import OpenIncident
from monitor.alerts.scope import AlertScope
from monitor.app import SECOND_NS, Application
from monitor.funding import FundingRow, PoolFunding, next_funding
from monitor.live.books import PortfolioFigures
from monitor.live.outcomes import YES, OutcomeHolding, digital_legs
from monitor.live.view import PortfolioView
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.deribit import DeribitAccount
from monitor.margin.result import Failure, PoolResult
from monitor.pool_arrays import Scope
from monitor.report.plain import plain
from monitor.report.venue_sections import level_label, view_document
from monitor.resolvers.resolvers import Resolvers

VERSION = 1


def status(app: Application) -> dict[str, Any]:
    """The whole program at one instant: readiness, accounts in short, feeds, firing alerts, connectors, timings."""
    now_ns = app.clock.monotonic_ns()
    results = app.results()
    funding = funding_of(app, results)
    unready = app.unready()
    return {
        "version": VERSION,
        "as_of_ms": app.clock.time_ms(),
        "ready": not unready,
        "unready": unready,
        "started_ms": app.started_ms,
        "pools": [pool_document(result, funding.get(result.scope)) for result in results],
        "portfolios": portfolios(app),
        "market": _market(app),
        "alerts": [incident_document(app, incident) for incident in app.alarm.policy.firing()],
        "feeds": [feed_document(state, now_ns) for state in app.book.freshness.feeds.values()],
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
        "receivers": app.alarm.dispatcher.statistics(),
        "outbox": app.alarm.outbox.statistics(),
        "heartbeat": None if app.alarm.heartbeat is None else app.alarm.heartbeat.statistics(),
        "recording": None if app.recording is None else app.recording.document(),
        "evaluations": app.engine.statistics.evaluations,
        "kernel_warm_up_s": app.warm_up_s,
    }


def clock_offset_s(app: Application, venue: str) -> float:
    """The venue's clock less ours, when it last told its time, in seconds (our wall clock, which may itself have been set since)."""
    said = app.book.venue_status[venue]
    heard_s = (app.clock.monotonic_ns() - said.received_ns) / SECOND_NS
    return said.time_ms / 1000 - (app.clock.time_ms() / 1000 - heard_s)


def venue_time_ms(app: Application, venue: str) -> int:
    """The time on the venue's clock now, ms; on ours while the venue has not told its own."""
    offset_s = clock_offset_s(app, venue) if venue in app.book.venue_status else 0.0
    return app.clock.time_ms() + round(1000 * offset_s)


def funding_of(app: Application, results: Sequence[PoolResult]) -> dict[Scope, PoolFunding]:
    """The next funding of every pool that holds perpetuals; `results` are the application's own of this instant."""
    return next_funding(app.engine, results, lambda venue: venue_time_ms(app, venue))


def accounts(app: Application) -> dict[str, Any]:
    """Every account with its pools and positions, its levels and its tags."""
    results = app.results()
    funding = funding_of(app, results)
    held = _positions(app, funding)
    pools: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        pools.setdefault(result.account, []).append(pool_document(result, funding.get(result.scope)))
    return {
        "version": VERSION,
        "as_of_ms": app.clock.time_ms(),
        "accounts": [
            {
                **configured_account(app, account),
                "status": _together(pools.get(account.id, [])),
                "margin_ratio": _worst(pools.get(account.id, [])),
                "pools": pools.get(account.id, []),
                "positions": held.get((account.venue, account.id), []),
                "collateral": _collateral(app, account.venue, account.id),
                "key": _key(app.book.keys.get((account.venue, account.id))),
                "resting_orders": sum(len(told.orders) for told in app.book.orders.get((account.venue, account.id), {}).values()),
            }
            for account in app.settings.accounts
        ],
    }


def configured_account(app: Application, account: AccountSettings) -> dict[str, Any]:
    """What the configuration says of an account; its address only where `[monitor] show_addresses` says so."""
    return {
        "id": account.id,
        "venue": account.venue,
        **({"address": account.address or None} if app.settings.monitor.show_addresses else {}),
        "tags": list(account.tags),
        "levels": levels_document(account.levels),
    }


def levels_document(levels: Levels) -> dict[str, float]:
    """The ratios at which levels begin."""
    return {"warning": levels.warning, "critical": levels.critical, "liquidation": levels.liquidation}


def _positions(app: Application, funding: Mapping[Scope, PoolFunding]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    # quantities and prices in the venue's own contract unit, as its own pages show them
    engine, market = app.engine, app.book.market
    liquidation = engine.liquidation_prices()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for index, spec in engine.arrays.specs.items():
        scope = engine.arrays.scopes[index]
        if scope[0] == DERIBIT:
            continue
        paid = {(row.instrument, row.side): row for row in funding[scope].rows} if scope in funding else {}
        told = app.book.adl.get(scope[:2])
        for leg in spec.legs:
            mark = market.mark(leg.instrument)
            row = {
                "pool": spec.name,
                "instrument": leg.instrument,
                "side": leg.side.value,
                "quantity": leg.quantity,
                "mark": _number(mark),
                "notional": _number(abs(leg.quantity) * mark),
                "leverage": leg.leverage or None,
                "delisted": leg.instrument in market.instruments and market.instruments[leg.instrument].delisted,
                "liquidation_price": _number(liquidation.get((scope, leg.instrument, leg.side))),
                "adl_quantile": None if told is None else told.quantiles.get((leg.instrument, leg.side)),
                "funding": _payment(paid.get((leg.instrument, leg.side))),
            }
            found.setdefault(scope[:2], []).append(row)
    for key, entry in app.book.accounts.items():
        if isinstance(entry.method, DeribitAccount) and entry.method.state is not None:
            found[key] = [_listed_position(held) for held in entry.method.state.positions]
    return found


def _listed_position(held: ListedPosition) -> dict[str, Any]:
    # its pools move with indices, and carry no positions of their own; the venue's greeks are of its last frame
    return {
        "pool": None,
        "instrument": held.instrument,
        "side": PositionSide.BOTH.value,
        "quantity": held.quantity,
        "mark": _number(held.mark),
        "average_price": _number(held.average_price),
        "delta": _number(held.delta),
        "gamma": _number(held.gamma),
        "vega": _number(held.vega),
    }


def _collateral(app: Application, venue: str, account: str) -> list[dict[str, Any]]:
    arrays, market = app.engine.arrays, app.book.market
    return [
        {
            "pool": spec.name,
            "asset": leg.asset,
            "amount": leg.amount,
            "price": _number(market.asset_price(venue, leg.asset)),
            "ratio": leg.ratio,
        }
        for index, spec in arrays.specs.items()
        if arrays.scopes[index][:2] == (venue, account)
        for leg in spec.collateral
    ]


def _key(state: KeyState | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {"expires_ms": state.expires_ms, "rights": list(state.rights), "warning": masked(state.warning)}


def _payment(row: FundingRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "rate": row.rate,
        "time_ms": row.time_ms,
        "amount": row.amount,
        "as_last_told": row.as_last_told,
        "failure": None if row.failure is None else _failure(row.failure),
    }


def _next_funding(funding: PoolFunding | None) -> dict[str, Any] | None:
    if funding is None:
        return None
    return {
        "time_ms": funding.time_ms,
        "amount": funding.amount,
        "ratio_after": _number(funding.ratio_after),
        "as_last_told": funding.as_last_told,
        "failures": [_failure(failure) for failure in funding.failures],
    }


def _failure(failure: Failure) -> dict[str, str]:
    return {"reason": failure.reason.value, "detail": masked(failure.detail)}


def pool_document(result: PoolResult, funding: PoolFunding | None = None) -> dict[str, Any]:
    """One pool; infinity is the string "Infinity", null means unknown (spec: report format).

    `next_funding` is null for a pool without perpetuals; its `amount`, received > 0, is in the pool's `asset`.
    """
    return {**pool_figures(result), "next_funding": _next_funding(funding)}


def _scope(scope: AlertScope) -> dict[str, str]:
    return {"kind": scope.kind.value, "venue": scope.venue, "account": scope.account, "name": scope.name}


def portfolios(app: Application) -> list[dict[str, Any]]:
    """Every portfolio: figures of the last tick, and what the last close look at it added."""
    views = {view.portfolio: view for view in app.portfolio_views}
    return [_portfolio(figures, views.get(figures.portfolio), app.portfolios.as_of_ms) for figures in app.portfolios.figures()]


def _portfolio(figures: PortfolioFigures, view: PortfolioView | None, as_of_ms: int) -> dict[str, Any]:
    # the figures are of the last tick, what the view adds is up to a second older
    result = None if view is None else view.result
    found: dict[str, Any] = plain(
        {
            "id": figures.portfolio,
            "as_of_ms": as_of_ms,
            "parameters": figures.parameters,
            "status": "failed" if figures.failures else "ok",
            "failures": [_failure(failure) for failure in figures.failures],
            "level": None if figures.margin_ratio is None else level_label(figures.level),
            "equity": figures.equity,
            "maintenance_margin": figures.maintenance_margin,
            "initial_margin": figures.initial_margin,
            "margin_ratio": figures.margin_ratio,
            "excess": None if figures.equity is None or figures.maintenance_margin is None else figures.equity - figures.maintenance_margin,
            "cross_maintenance_margin": figures.cross_maintenance_margin,
            "saving": figures.saving,
            "families": None if result is None else result.families,
            "provenance": None if view is None or view.provenance is None else view.provenance.value,
            "doubts": [] if view is None else list(view.doubts),
            "venues": None if view is None or view.venues is None else view_document(view.venues),
            "not_to_be_relied_on": [] if view is None else list(view.reasons),
        }
    )
    return found


def _market(app: Application) -> dict[str, Any]:
    # Hyperliquid's outcomes as an indicator, beside what Deribit tells of the same coin
    resolvers = app.portfolios.resolvers
    rows = [
        {
            "coin": one.market.coin,
            "expiry_ms": one.market.expiry_ms,
            "lower": one.market.lower,
            "upper": one.market.upper,
            "probability": one.probability,
            "volatility": one.volatility.value,
            "error": one.error,
            "age_s": one.volatility.age_s,
            "options": _of_options(resolvers, one.market),
        }
        for one in resolvers.outcome_volatilities()
    ]
    found: dict[str, Any] = plain({"outcome_volatilities": rows})
    return found


def _of_options(resolvers: Resolvers, market: OutcomeMarket) -> dict[str, Any] | None:
    # what options of the same coin say at the first bound of the outcome
    (leg, *_) = digital_legs(OutcomeHolding(market, YES, 1.0))
    found = resolvers.smile(leg.instrument)
    return None if found is None else {"volatility": found.value, "provenance": found.provenance.value, "source": found.source}


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


def incident_document(app: Application, incident: OpenIncident) -> dict[str, Any]:
    """One firing alert."""
    return firing_document(incident, _time_ms(app, incident.opened_s), _time_ms(app, incident.notified_s))


def feed_document(state: FeedState, now_ns: int) -> dict[str, Any]:
    """One feed; `since_s` is for how long it has been in its state."""
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
