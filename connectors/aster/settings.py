"""What the connector is told: endpoints, limits, periods, and the accounts to watch with the keys to read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.ratelimit import BudgetLimits

VENUE = "aster"
MAINNET_CHAIN, TESTNET_CHAIN = 1666, 714
"""EIP-712 chain ids that v3 requests are signed for (venue notes 1.4)."""


_ADDRESS = re.compile(r"0[xX][0-9a-fA-F]{40}")


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A v3 credential: the private key of an agent (API wallet) that the account approved. It never leaves the signer.

    With an `address` nothing is signed: requests carry that agent's address and no signature, for a replay, which sends none.
    """

    private_key: str = field(repr=False)
    address: str | None = None


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A v1 credential of before March 2026: key and secret."""

    key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AsterAccountRef:
    """An account: `alias` is its name everywhere in the program, `user` the account's own address (None: only with an HmacKey).

    `allow_unsafe_key`: accept a key that could trade or withdraw, or whose rights cannot be read.
    """

    alias: str
    user: str | None = field(repr=False)
    credential: AgentKey | HmacKey = field(repr=False)
    allow_unsafe_key: bool = False


@dataclass(frozen=True, slots=True)
class AsterConfig:
    """Settings of one Aster network. Periods and limits in seconds; `weight_limit` is the venue's own, per address and minute.

    `rest_url` and `ws_url` are bases without a path (https://fapi.asterdex.com, wss://fstream.asterdex.com). At most
    `ip_budget_share` of every limit is used: trading bots share the address. `collateral` maps an asset that counts as collateral
    in multi-assets mode to the coin whose USDT perpetual's index prices it (asBNB to BNB); `par` are the assets valued at 1.

    With its user stream alive an account is read again every `reconcile_s`, while one of its levels is active every
    `fast_reconcile_s`, without the stream every `poll_s`: all of it slower where the budget demands.
    """

    rest_url: str
    ws_url: str
    chain_id: int = MAINNET_CHAIN
    ip_budget_share: float = 0.25
    reconcile_s: float = 45.0
    fast_reconcile_s: float = 4.0
    poll_s: float = 4.0
    orders_s: float = 120.0
    order_refresh_s: float = 5.0
    adl_s: float = 60.0
    modes_s: float = 3600.0
    key_check_s: float = 3600.0
    reference_s: float = 3600.0
    turnover_s: float = 300.0
    clock_s: float = 240.0
    listen_key_s: float = 1800.0
    rotate_after_s: tuple[float, float] = (82_800.0, 86_040.0)
    marks_stale_s: float = 10.0
    request_timeout_s: float = 10.0
    collateral: Mapping[str, str] = field(default_factory=dict)
    par: tuple[str, ...] = ("USDT", "USDC", "USD1", "USDF", "BUSD")
    weight_limit: int = 2400
    messages_limit: int = 600

    @classmethod
    def mainnet(cls, **overrides: Any) -> AsterConfig:
        """The production network; `overrides` are field values."""
        return cls(rest_url="https://fapi.asterdex.com", ws_url="wss://fstream.asterdex.com", **overrides)

    def budget_limits(self) -> BudgetLimits:
        """The venue's limits per address, before our share."""
        return BudgetLimits(weight_per_minute=self.weight_limit, messages_per_minute=self.messages_limit)


def checked(accounts: Iterable[AsterAccountRef]) -> list[AsterAccountRef]:
    """The accounts as given. Raises ValueError for a malformed address, and for two accounts of one alias or one address."""
    found = list(accounts)
    aliases = [ref.alias for ref in found]
    for ref in found:
        if aliases.count(ref.alias) > 1:
            raise ValueError(f"two Aster accounts are called {ref.alias}: give each its own alias")
        if ref.user is None:
            if isinstance(ref.credential, AgentKey):
                raise ValueError(f"account {ref.alias} has no address: an agent's key needs that of the account it reads")
            continue
        if not _ADDRESS.fullmatch(ref.user):
            raise ValueError(f"the address of account {ref.alias} is none: use 0x and 40 hexadecimal digits")
        twins = [other.alias for other in found if other.user is not None and other.user.lower() == ref.user.lower()]
        if len(twins) > 1:
            raise ValueError(f"the accounts {' and '.join(twins)} have one address: keep one of them")
    return found
