"""*Desk*: what a risk desk watches all day."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as model

from grafana import desk_glance, desk_pools, desk_portfolios
from grafana.layout import ACCOUNT, PORTFOLIO, VENUE, assemble


def dashboard() -> model.Dashboard:
    """The dashboard."""
    told = "Every pool and portfolio of the desk: how much margin is used, what is left, what would hurt, and what is alerted."
    sections = (desk_glance.section(), *desk_pools.sections(), *desk_portfolios.sections(), desk_pools.venues())
    return assemble("marginwatch-desk", told, (VENUE, ACCOUNT, PORTFOLIO), sections)
