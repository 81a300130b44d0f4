"""*Monitor health*: is what the other two say worth anything."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import health_decisions, health_feeds, health_process
from grafana.layout import VENUE, assemble


def dashboard() -> model.Dashboard:
    """The dashboard."""
    told = "The monitor itself: what it hears, how fast it decides, whether its alerts leave, and what it runs on."
    sections = (*health_feeds.sections(), *health_decisions.sections(), *health_process.sections())
    return assemble("marginwatch-health", told, (VENUE,), sections)
