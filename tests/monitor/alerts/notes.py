"""Notifications as the policy sends them, built by hand."""

from __future__ import annotations

from typing import Any

from monitor.alerts.incident import Change, Notification, Reading, key_of
from monitor.alerts.rules import Rule, Thresholds
from monitor.live.reading import PortfolioReading
from monitor.margin.result import Level
from monitor.margin.stages import NO_VENUE_ACTS


def note(
    result: Reading | None,
    level: Level = Level.CRITICAL,
    previous: Level = Level.OK,
    change: Change = Change.FIRED,
    *,
    rule: Rule = Rule.LEVEL,
    **fields: Any,
) -> Notification:
    """A notification of a result, told as it fires; `scope` is the result's unless given."""
    scope = fields.pop("scope", None) or (result.alert_scope if result is not None else None)
    assert scope is not None
    ratio = None if result is None else result.margin_ratio
    values: dict[str, Any] = {"now_s": 5.0, "opened_s": 5.0, "ratio": ratio, "ratio_at_crossing": ratio, **fields}
    own: dict[str, Any] = {"rule": rule, "change": change, "scope": scope, "level": level, "previous": previous, "result": result}
    return Notification(key_of(scope, rule), 1, 1, thresholds=Thresholds(), **own, **values)


def desk_reading(**fields: Any) -> PortfolioReading:
    """A portfolio in breach, looked at closely."""
    values: dict[str, Any] = {
        "accounts": ("hl-main", "aster-main"),
        "margin_ratio": 1.04,
        "equity": 1_000_000.0,
        "maintenance_margin": 1_040_000.0,
        "initial_margin": 1_300_000.0,
        "excess": -40_000.0,
        "cash_to_safety": 1_040_000.0 / 0.85 - 1_000_000.0,
        "worst": ("BTC", 420_000.0),
        "scenario": "-10% vol up",
        "scenario_loss": 310_000.0,
        "contributor": "aster-main aster:BTCUSDT short, 200,000 USD of the margin of BTC",
        "next_step": NO_VENUE_ACTS,
    }
    return PortfolioReading(**{"portfolio": "desk", "parameters": "uta", **values, **fields})
