"""What the connector is told: the endpoint, periods, limits, and the accounts to watch with the keys to read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from connectors.ratelimit import BudgetLimits

VENUE = "deribit"
MOST_CONNECTIONS = 32
"""Open sockets the venue allows an address (venue notes 2.8)."""


@dataclass(frozen=True, slots=True)
class DeribitAccountRef:
    """An account: `alias` is its name everywhere in the program; the key is read-only (scopes account:read, trade:read).

    `allow_unsafe_key`: accept a key that could trade or withdraw.
    """

    alias: str
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    allow_unsafe_key: bool = False


@dataclass(frozen=True, slots=True)
class DeribitConfig:
    """Settings of one Deribit network. Periods and limits in seconds.

    `coins` are watched even if nobody asks for them. The venue sends a heartbeat every `heartbeat_s` (10 at least); a connection on which
    nothing came for twice that is dead. `*_stale_s` is how long a channel may be silent: chains of coin-settled options, chains of
    stablecoin-settled ones (which trade less), tickers, price indices, volatility indices, an account. Book summaries are read every
    `reconcile_s` to check the chains, accounts every `summary_s` to check their pushes, orders every `orders_s`. The listing is read
    again at the daily roll, and otherwise at most once in `listing_gap_s`. `stablecoin_indices` are the price indices that value one.
    """

    ws_url: str
    coins: tuple[str, ...] = ()
    heartbeat_s: int = 15
    request_timeout_s: float = 10.0
    chain_stale_s: float = 10.0
    linear_chain_stale_s: float = 60.0
    ticker_stale_s: float = 30.0
    index_stale_s: float = 10.0
    volatility_index_stale_s: float = 60.0
    stablecoin_stale_s: float = 60.0
    account_stale_s: float = 45.0
    reconcile_s: float = 60.0
    summary_s: float = 15.0
    orders_s: float = 60.0
    listing_s: float = 3600.0
    listing_gap_s: float = 60.0
    refused_retry_s: float = 300.0
    stablecoin_indices: tuple[str, ...] = ("usdc_usd", "usdt_usd")

    @classmethod
    def mainnet(cls, **overrides: Any) -> DeribitConfig:
        """The production network; `overrides` are field values."""
        return cls(ws_url="wss://www.deribit.com/ws/api/v2", **overrides)

    def budget_limits(self) -> BudgetLimits:
        """The venue's limits per address: frames are paced by `rpc.Rpc`, by the venue's own credits."""
        return BudgetLimits(connections=MOST_CONNECTIONS)


def checked(accounts: Iterable[DeribitAccountRef]) -> list[DeribitAccountRef]:
    """The accounts as given. Raises ValueError for two of one alias or one key, and for a key that is empty."""
    found = list(accounts)
    for ref in found:
        if not ref.client_id or not ref.client_secret:
            raise ValueError(f"account {ref.alias} has no client_id or no client_secret: make a read-only API key and configure both")
        if [other.alias for other in found].count(ref.alias) > 1:
            raise ValueError(f"two Deribit accounts are called {ref.alias}: give each its own alias")
        twins = [other.alias for other in found if other.client_id == ref.client_id]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one key: keep one of them")
    return found
