"""The simulated Aster, an independent witness: the venue, its loopback server, its faults and a ready-made desk."""

from __future__ import annotations

from connectors.simulator.aster_accounts import AccountPlan, Agent, MakerPlan, PositionPlan, Side, Transfer
from connectors.simulator.aster_auth import hmac_signature, sign
from connectors.simulator.aster_desk import ALIASES, Credentials, aster_demo, credentials, demo_plans
from connectors.simulator.aster_faults import AsterFaults
from connectors.simulator.aster_figures import Figures
from connectors.simulator.aster_server import AsterServer
from connectors.simulator.aster_streams import AsterClient
from connectors.simulator.aster_venue import AsterVenue
from connectors.simulator.market import Market

__all__ = [
    "ALIASES",
    "AccountPlan",
    "Agent",
    "AsterClient",
    "AsterFaults",
    "AsterServer",
    "AsterVenue",
    "Credentials",
    "Figures",
    "MakerPlan",
    "Market",
    "PositionPlan",
    "Side",
    "Transfer",
    "aster_demo",
    "credentials",
    "demo_plans",
    "hmac_signature",
    "sign",
]
