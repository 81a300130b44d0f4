"""The simulated Hyperliquid, an independent witness: the venue, its loopback server, its faults and a ready-made desk."""

from __future__ import annotations

from connectors.simulator.faults import Faults
from connectors.simulator.hyperliquid_accounts import AccountPlan, MakerPlan, Mode, OutcomePlan, PositionPlan, Transfer
from connectors.simulator.hyperliquid_desk import ADDRESSES, demo_desk
from connectors.simulator.hyperliquid_exchange import Fees
from connectors.simulator.hyperliquid_feeds import HyperliquidClient
from connectors.simulator.hyperliquid_figures import Figures
from connectors.simulator.hyperliquid_server import HyperliquidServer
from connectors.simulator.hyperliquid_venue import HyperliquidVenue
from connectors.simulator.market import Market

__all__ = [
    "ADDRESSES",
    "AccountPlan",
    "Faults",
    "Fees",
    "Figures",
    "HyperliquidClient",
    "HyperliquidServer",
    "HyperliquidVenue",
    "MakerPlan",
    "Market",
    "Mode",
    "OutcomePlan",
    "PositionPlan",
    "Transfer",
    "demo_desk",
]
