"""The simulated Deribit, an independent witness: the venue, its loopback server, its faults and a ready-made desk."""

from __future__ import annotations

from connectors.simulator.deribit_accounts import AccountPlan, PositionPlan, Transfer
from connectors.simulator.deribit_desk import ALIASES, Credentials, credentials, demo_plans, deribit_demo
from connectors.simulator.deribit_faults import DeribitFaults
from connectors.simulator.deribit_figures import Figures
from connectors.simulator.deribit_server import DeribitServer
from connectors.simulator.deribit_session import DeribitClient
from connectors.simulator.deribit_venue import DeribitVenue
from connectors.simulator.market import Market

__all__ = [
    "ALIASES",
    "AccountPlan",
    "Credentials",
    "DeribitClient",
    "DeribitFaults",
    "DeribitServer",
    "DeribitVenue",
    "Figures",
    "Market",
    "PositionPlan",
    "Transfer",
    "credentials",
    "demo_plans",
    "deribit_demo",
]
