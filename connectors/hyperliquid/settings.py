"""What the connector is told: endpoints, limits, periods, and the accounts to watch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from connectors.ratelimit import BudgetLimits

_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account: `alias` is its name everywhere in the program, `address` (0x and 40 hex digits) leaves only towards the venue."""

    alias: str
    address: str = field(repr=False)
    mode_hint: str | None = None


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Longest normal silence of each push feed, seconds.

    `spot_state` counts until the feed has proved periodic, `spot_state_periodic` from then on: the venue does not document
    its cadence. A feed that may be quiet by nature is first probed by subscribing again, `answer` seconds before it is stale.
    """

    asset_contexts: float = 15.0
    fast_contexts: float = 15.0
    spot_contexts: float = 150.0
    mids: float = 60.0
    clearinghouse: float = 20.0
    spot_state: float = 60.0
    spot_state_periodic: float = 20.0
    acknowledgement: float = 10.0
    answer: float = 15.0


@dataclass(frozen=True, slots=True)
class HyperliquidConfig:
    """Settings of one Hyperliquid network. Periods and limits in seconds; `*_limit` are the venue's own, per address.

    `ip_budget_share` of every limit is used at most: trading bots share the address. `spot_assets` are priced even when no
    wallet holds them. `watched_coins` count until `watch_coins` says others.
    """

    rest_url: str
    ws_url: str
    ip_budget_share: float = 0.25
    poll_interval_s: float = 10.0
    resync_interval_s: float = 300.0
    reserve_poll_s: float = 30.0
    pm_poll_s: float = 10.0
    status_poll_s: float = 60.0
    reference_interval_s: float = 600.0
    outcomes_interval_s: float = 600.0
    refresh_debounce_s: float = 1.0
    request_timeout_s: float = 10.0
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 10.0
    swap_margin: float = 0.05
    swap_interval_s: float = 30.0
    use_fast_contexts: bool = True
    spot_assets: tuple[str, ...] = ("HYPE", "UBTC", "UETH", "USOL")
    watched_coins: tuple[str, ...] = ("BTC", "ETH", "SOL", "HYPE")
    limits: FeedLimits = FeedLimits()
    weight_limit: int = 1200
    users_limit: int = 10
    connections_limit: int = 10
    connects_limit: int = 30
    messages_limit: int = 2000

    @classmethod
    def mainnet(cls, **overrides: Any) -> HyperliquidConfig:
        """The production network; `overrides` are field values."""
        return cls(rest_url="https://api.hyperliquid.xyz/info", ws_url="wss://api.hyperliquid.xyz/ws", **overrides)

    @classmethod
    def testnet(cls, **overrides: Any) -> HyperliquidConfig:
        """The test network; `overrides` are field values."""
        return cls(rest_url="https://api.hyperliquid-testnet.xyz/info", ws_url="wss://api.hyperliquid-testnet.xyz/ws", **overrides)

    def budget_limits(self) -> BudgetLimits:
        """The venue's limits per address, before our share."""
        return BudgetLimits(
            weight_per_minute=self.weight_limit,
            connects_per_minute=self.connects_limit,
            connections=self.connections_limit,
            users=self.users_limit,
            messages_per_minute=self.messages_limit,
        )


def checked(accounts: Iterable[AccountRef]) -> list[AccountRef]:
    """The accounts as given. Raises ValueError for a malformed address, and for two accounts of one alias or one address."""
    found = list(accounts)
    aliases = [ref.alias for ref in found]
    for ref in found:
        if not _ADDRESS.fullmatch(ref.address):
            raise ValueError(f"the address of account {ref.alias} is none: use 0x and 40 hexadecimal digits")
        if aliases.count(ref.alias) > 1:
            raise ValueError(f"two Hyperliquid accounts are called {ref.alias}: give each its own alias")
        twins = [other.alias for other in found if other.address.lower() == ref.address.lower()]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one address: keep one of them")
    return found
