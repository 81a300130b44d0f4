"""From settings to running connectors, over real transports unless others are given."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config.accounts import AccountSettings
from config.portfolios import WHOLE_BOOK
from config.settings import Settings
from connectors.aster.connector import AsterConnector
from connectors.aster.settings import AgentKey, AsterAccountRef, AsterConfig, HmacKey
from connectors.clock import Clock
from connectors.deribit.connector import DeribitConnector
from connectors.deribit.settings import DeribitAccountRef, DeribitConfig
from connectors.events import Event
from connectors.hyperliquid.connector import HyperliquidConnector
from connectors.hyperliquid.rest import HyperliquidRest
from connectors.hyperliquid.settings import AccountRef, FeedLimits, HyperliquidConfig
from connectors.ratelimit import Budget, Budgets
from connectors.transport import AiohttpTransport, HttpTransport, WebSocketsTransport, WebSocketTransport
from monitor.app import Connector, ConnectorFactory
from monitor.margin.aster import VENUE as ASTER
from monitor.margin.configured import aster_collateral, aster_rules, hyperliquid_rules
from monitor.margin.deribit import VENUE as DERIBIT
from monitor.margin.hyperliquid import VENUE as HYPERLIQUID

PING_S = 20.0


@dataclass(frozen=True, slots=True)
class Transports:
    """The seams to the network; `pinging` is for streams without a heartbeat of their own. `close` after the connectors stopped.

    `budgets` are what may be asked over them: a connector that takes over from another goes on with what that one spent.
    """

    http: HttpTransport
    websocket: WebSocketTransport
    pinging: WebSocketTransport
    budgets: Budgets = field(default_factory=Budgets)

    @classmethod
    def real(cls) -> Transports:
        """Sockets of this machine."""
        return cls(AiohttpTransport(), WebSocketsTransport(), WebSocketsTransport(ping_interval_s=PING_S))

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
    return [AccountRef(account.id, account.address, account.mode) for account in settings.accounts if account.venue == HYPERLIQUID]


def hyperliquid_budget(settings: Settings, clock: Clock) -> Budget:
    """The configured share of this address's request budget."""
    config = hyperliquid_config(settings)
    return Budget(HYPERLIQUID, config.budget_limits(), config.ip_budget_share, clock)


def hyperliquid_rest(settings: Settings, transports: Transports, budget: Budget, clock: Clock) -> HyperliquidRest:
    """A REST client for commands that read once."""
    return HyperliquidRest(transports.http, hyperliquid_config(settings).rest_url, budget, clock)


def aster_config(settings: Settings) -> AsterConfig:
    """The connector's own configuration of the Aster venue. Raises ConfigError for collateral ratios that make no sense."""
    venue, table = settings.venues.aster, aster_collateral(settings)
    return AsterConfig(
        rest_url=venue.rest_endpoint,
        ws_url=venue.ws_endpoint,
        chain_id=venue.chain_id,
        ip_budget_share=venue.ip_budget_share,
        reconcile_s=venue.reconcile_interval_s,
        fast_reconcile_s=venue.fast_reconcile_interval_s,
        poll_s=venue.poll_interval_s,
        marks_stale_s=venue.marks_stale_after_s,
        collateral=table.coins,
        par=table.par,
    )


def aster_accounts(settings: Settings, agents: Mapping[str, str] | None = None) -> list[AsterAccountRef]:
    """The configured Aster accounts, with the keys to read them. `agents` by account are addresses of agents that sign nothing."""
    return [aster_account(account, (agents or {}).get(account.id)) for account in settings.accounts if account.venue == ASTER]


def aster_account(account: AccountSettings, agent: str | None = None) -> AsterAccountRef:
    """One configured Aster account; with the address of an `agent` nothing is signed."""
    return AsterAccountRef(account.id, account.address or None, _credential(account, agent), account.allow_unsafe_key)


def _credential(account: AccountSettings, agent: str | None) -> AgentKey | HmacKey:
    if account.agent_key is not None:
        return AgentKey(account.agent_key.reveal(), agent)
    if account.api_key is None or account.api_secret is None:
        raise RuntimeError(f"account {account.id} was never validated: it has no key")
    return HmacKey(account.api_key.reveal(), account.api_secret.reveal())


def deribit_config(settings: Settings) -> DeribitConfig:
    """The connector's own configuration of the Deribit venue."""
    venue = settings.venues.deribit
    return DeribitConfig(
        ws_url=venue.ws_endpoint,
        coins=venue.coins,
        heartbeat_s=venue.heartbeat_s,
        chain_stale_s=venue.chain_stale_after_s,
        linear_chain_stale_s=venue.linear_chain_stale_after_s,
        index_stale_s=venue.index_stale_after_s,
        summary_s=venue.summary_interval_s,
        account_stale_s=3.0 * venue.summary_interval_s,
    )


def deribit_accounts(settings: Settings) -> list[DeribitAccountRef]:
    """The configured Deribit accounts, with the keys to read them."""
    found = []
    for account in settings.accounts:
        if account.venue == DERIBIT:
            if account.client_id is None or account.client_secret is None:
                raise RuntimeError(f"account {account.id} was never validated: it has no client")
            client = account.client_id.reveal(), account.client_secret.reveal()
            found.append(DeribitAccountRef(account.id, *client, account.allow_unsafe_key))
    return found


def needs_deribit(settings: Settings) -> bool:
    """Whether Deribit is watched: as configured, else where an account is there, coins are named, or portfolios are listed."""
    venue = settings.venues.deribit
    if venue.enabled is not None:
        return venue.enabled
    is_listed = [portfolio.id for portfolio in settings.portfolios] != [WHOLE_BOOK]
    return bool(venue.coins) or is_listed or any(account.venue == DERIBIT for account in settings.accounts)


def watched_venues(settings: Settings) -> tuple[str, ...]:
    """The venues that need a connector, in the order of their connectors."""
    needed = {account.venue for account in settings.accounts} | ({DERIBIT} if needs_deribit(settings) else set())
    return tuple(venue for venue in (HYPERLIQUID, ASTER, DERIBIT) if venue in needed)


def account_refs(settings: Settings) -> dict[str, list[Any]]:
    """By venue with a connector: its accounts as the connector is told of them, each by its `alias`."""
    made: dict[str, Callable[[Settings], list[Any]]] = {
        HYPERLIQUID: hyperliquid_accounts,
        ASTER: aster_accounts,
        DERIBIT: deribit_accounts,
    }
    return {venue: made[venue](settings) for venue in watched_venues(settings)}


def basis_of(venue: str, settings: Settings) -> object:
    """All that a venue's connector and the margin methods of its accounts are made of, apart from the accounts: to be compared."""
    if venue == HYPERLIQUID:
        return hyperliquid_config(settings), hyperliquid_rules(settings)
    return (aster_config(settings), aster_rules(settings)) if venue == ASTER else deribit_config(settings)


def connector_factory(
    settings: Settings,
    transports: Transports,
    clock: Clock,
    seed: int | None = None,
    agents: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> ConnectorFactory:
    """What `Application` builds its connectors with: one for each venue that has an account, or for those among `only`.

    `seed` is that of what they draw (None: any); see `aster_accounts` for `agents`.
    """

    def budget(venue: str, config: HyperliquidConfig | AsterConfig | DeribitConfig, share: float = 1.0) -> Budget:
        return transports.budgets.of(venue, config.budget_limits(), share, clock)

    def build(sink: Callable[[list[Event]], None]) -> Sequence[Connector]:
        common: dict[str, Any] = {"http": transports.http, "clock": clock, "random": random.Random(seed), "sink": sink}
        found: list[Connector] = []
        venues = [venue for venue in watched_venues(settings) if only is None or venue in only]
        if HYPERLIQUID in venues:
            config, listed = hyperliquid_config(settings), hyperliquid_accounts(settings)
            ours = budget(HYPERLIQUID, config, config.ip_budget_share)
            found.append(HyperliquidConnector(config, listed, websocket=transports.websocket, budget=ours, **common))
        if ASTER in venues:
            of_aster, read = aster_config(settings), aster_accounts(settings, agents)
            ours = budget(ASTER, of_aster, of_aster.ip_budget_share)
            found.append(AsterConnector(of_aster, read, websocket=transports.pinging, budget=ours, **common))
        if DERIBIT in venues:
            of_deribit, ours = deribit_config(settings), budget(DERIBIT, deribit_config(settings))
            streams = {name: value for name, value in common.items() if name != "http"}
            accounts = deribit_accounts(settings)
            found.append(DeribitConnector(of_deribit, accounts, websocket=transports.websocket, budget=ours, **streams))
        return found

    return build
