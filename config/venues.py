"""The venues' own settings: networks, endpoints, budgets, periods, and constants of their margin rules that are configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.collateral import load_collateral
from config.errors import ConfigError, Problem
from config.fields import Fraction, Seconds, Share, endpoint
from config.tables import Alias, Table, problems_error

Https = Annotated[str, endpoint("https", "http")]
Wss = Annotated[str, endpoint("wss", "ws")]

_HYPERLIQUID = {
    "mainnet": ("https://api.hyperliquid.xyz", "wss://api.hyperliquid.xyz/ws"),
    "testnet": ("https://api.hyperliquid-testnet.xyz", "wss://api.hyperliquid-testnet.xyz/ws"),
}
_ASTER = {
    "mainnet": ("https://fapi.asterdex.com", "wss://fstream.asterdex.com", 1666),
    "testnet": ("https://fapi.asterdex-testnet.com", "wss://fstream.asterdex-testnet.com", 714),
}
"""REST, WebSocket, and the chain id that requests are signed for."""
_DERIBIT = {"mainnet": "wss://www.deribit.com/ws/api/v2", "testnet": "wss://test.deribit.com/ws/api/v2"}


class StaleSettings(Table):
    """Seconds of silence after which a feed counts as stale."""

    contexts: Seconds = 15.0
    clearinghouse: Seconds = 20.0
    spot: Seconds = 60.0


class HyperliquidSettings(Table):
    """Hyperliquid. `rest_url` and `ws_url` replace the network's own endpoints (a proxy, a simulator)."""

    network: Literal["mainnet", "testnet"] = "mainnet"
    rest_url: Https | None = None
    ws_url: Wss | None = None
    ip_budget_share: Share = 0.25
    poll_interval_s: Seconds = 10.0
    resync_interval_s: Seconds = 300.0
    stale_after_s: StaleSettings = StaleSettings()
    portfolio_margin_limit: Share = 0.95
    min_borrow_offset: Annotated[float, Field(ge=0)] = 20.0
    fast_contexts: bool = True

    @property
    def rest_endpoint(self) -> str:
        """Base of the REST API in use, without `/info` and without a slash at the end."""
        return self.rest_url or _HYPERLIQUID[self.network][0]

    @property
    def ws_endpoint(self) -> str:
        """The WebSocket URL in use."""
        return self.ws_url or _HYPERLIQUID[self.network][1]


class AsterSettings(Table):
    """Aster. `collateral_ratios` are laid over the shipped, dated table (`aster_collateral.toml`); 0 counts an asset as nothing.

    `model_tolerance`: an account in multi-assets mode whose collateral, by these ratios, differs from the venue's total by more is
    unreconciled. `negative_balance_factor`: what a negative balance is multiplied with there (at least 1; unconfirmed).
    """

    network: Literal["mainnet", "testnet"] = "mainnet"
    rest_url: Https | None = None
    ws_url: Wss | None = None
    ip_budget_share: Share = 0.25
    reconcile_interval_s: Annotated[float, Field(ge=5, le=60)] = 45.0
    fast_reconcile_interval_s: Annotated[float, Field(ge=1, le=60)] = 4.0
    poll_interval_s: Annotated[float, Field(ge=1, le=60)] = 4.0
    marks_stale_after_s: Seconds = 10.0
    collateral_ratios: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    model_tolerance: Fraction = 0.005
    negative_balance_factor: Annotated[float, Field(ge=1, lt=2)] = 1.0

    @model_validator(mode="after")
    def _known_assets(self) -> Self:
        try:
            load_collateral(ratios=self.collateral_ratios)
        except ConfigError as error:
            raise problems_error([Problem(problem.path, problem.message) for problem in error.problems]) from None
        return self

    @property
    def rest_endpoint(self) -> str:
        """Base of the REST API in use, without a path."""
        return self.rest_url or _ASTER[self.network][0]

    @property
    def ws_endpoint(self) -> str:
        """Base of the WebSocket URLs in use, without a path."""
        return self.ws_url or _ASTER[self.network][1]

    @property
    def chain_id(self) -> int:
        """EIP-712 chain id that requests are signed for."""
        return _ASTER[self.network][2]


class DeribitSettings(Table):
    """Deribit: implied volatilities and forwards for every option, indices, and accounts that hold options there.

    `enabled` None: where an account or a portfolio needs it. `coins` are watched even if nothing held needs them; `summary_interval_s`
    is how often an account is read beside its pushes. `future_maintenance_rate` is what the leg-by-leg comparison asks for futures and
    perpetuals, whose margin tables the venue does not list (unconfirmed).
    """

    enabled: bool | None = None
    network: Literal["mainnet", "testnet"] = "mainnet"
    ws_url: Wss | None = None
    coins: Annotated[tuple[Alias, ...], Field(strict=False)] = ()
    chain_stale_after_s: Seconds = 10.0
    linear_chain_stale_after_s: Seconds = 60.0
    index_stale_after_s: Seconds = 10.0
    summary_interval_s: Annotated[float, Field(ge=5, le=120)] = 15.0
    heartbeat_s: Annotated[int, Field(ge=10, le=60)] = 15
    future_maintenance_rate: Fraction = 0.01

    @property
    def ws_endpoint(self) -> str:
        """The WebSocket URL in use."""
        return self.ws_url or _DERIBIT[self.network]


class VenueSettings(Table):
    """The venues; one not named has its defaults."""

    hyperliquid: HyperliquidSettings = HyperliquidSettings()
    aster: AsterSettings = AsterSettings()
    deribit: DeribitSettings = DeribitSettings()
