"""The simulated venue on a loopback port for commands that read once, at the machine's time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from config import DEMO, load
from config.settings import Settings
from connectors.simulator.hyperliquid import AccountPlan, HyperliquidServer, HyperliquidVenue, Market
from connectors.simulator.hyperliquid_desk import demo_plans


@asynccontextmanager
async def standing_venue(plans: Sequence[AccountPlan] | None = None, *, start_ms: int | None = None) -> AsyncIterator[HyperliquidServer]:
    """A venue a second into a calm market, which stands still; `start_ms` None: it opened just now."""
    market = Market(7, "calm", 600.0, time.time_ns() // 1_000_000 if start_ms is None else start_ms)
    venue = HyperliquidVenue(market, demo_plans("calm") if plans is None else plans, weight_per_minute=100_000)
    for _ in range(20):
        venue.advance(0.05)
    server = HyperliquidServer(venue, autorun=False)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def settings_for(server: HyperliquidServer, accounts: Sequence[AccountPlan], **more: Any) -> Settings:
    """A configuration of those accounts at that venue; `more` are keys of every account."""
    listed = [{"id": plan.name, "venue": "hyperliquid", "address": plan.address, **more} for plan in accounts]
    return load(DEMO, overrides={"accounts": listed, "venues": {"hyperliquid": {"rest_url": server.rest_url, "ws_url": server.ws_url}}})
