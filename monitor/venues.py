"""From settings to running connectors, over real transports unless others are given."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from config.settings import Settings
from connectors.clock import Clock
from connectors.events import Event
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import AccountRef, FeedLimits, HyperliquidConfig
from connectors.ratelimit import Budget
from connectors.transport import AiohttpTransport, HttpTransport, WebSocketsTransport, WebSocketTransport
from monitor.app import Connector, ConnectorFactory
from monitor.margin.hyperliquid import VENUE


@dataclass(frozen=True, slots=True)
class Transports:
    """The two seams to the network. `close` after the connectors stopped."""

    http: HttpTransport
    websocket: WebSocketTransport

    @classmethod
    def real(cls) -> Transports:
        """Sockets of this machine."""
        return cls(AiohttpTransport(), WebSocketsTransport())

    async def close(self) -> None:
        """Release pooled HTTP connections."""
        await self.http.close()


def hyperliquid_config(settings: Settings) -> HyperliquidConfig:
    """The connector's own configuration of the Hyperliquid venue."""
    venue = settings.venues.hyperliquid
    stale = venue.stale_after_s
    limits = FeedLimits(
        asset_contexts=stale.contexts, fast_contexts=stale.contexts, clearinghouse=stale.clearinghouse, spot_state=stale.spot
    )
    return HyperliquidConfig(
        rest_url=f"{venue.rest_endpoint}/info",
        ws_url=venue.ws_endpoint,
        ip_budget_share=venue.ip_budget_share,
        poll_interval_s=venue.poll_interval_s,
        resync_interval_s=venue.resync_interval_s,
        use_fast_contexts=venue.fast_contexts,
        limits=limits,
    )


def hyperliquid_accounts(settings: Settings) -> list[AccountRef]:
    """The configured Hyperliquid accounts."""
    return [AccountRef(account.id, account.address, account.mode) for account in settings.accounts if account.venue == VENUE]


def hyperliquid_budget(settings: Settings, clock: Clock) -> Budget:
    """The configured share of this address's request budget."""
    config = hyperliquid_config(settings)
    return Budget(VENUE, config.budget_limits(), config.ip_budget_share, clock)


def hyperliquid_rest(settings: Settings, transports: Transports, budget: Budget, clock: Clock) -> HyperliquidRest:
    """A REST client for commands that read once."""
    return HyperliquidRest(transports.http, hyperliquid_config(settings).rest_url, budget, clock)


def connector_factory(settings: Settings, transports: Transports, clock: Clock) -> ConnectorFactory:
    """What `Application` builds its connectors with."""

    def build(sink: Callable[[list[Event]], None]) -> Sequence[Connector]:
        return [
            HyperliquidConnector(
                hyperliquid_config(settings),
                hyperliquid_accounts(settings),
                http=transports.http,
                websocket=transports.websocket,
                clock=clock,
                random=random.Random(),
                sink=sink,
            )
        ]

    return build
