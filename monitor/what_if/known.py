"""What is known beyond a snapshot: instruments that venues list, and the prices, rates and ratios that come with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from monitor.snapshot import InstrumentRow


@dataclass(frozen=True, slots=True)
class Known:
    """All by the names that a snapshot uses; what is absent is not known.

    `rows` are listed instruments by id as a snapshot has them, `notes` what to say of each, `refused` why one cannot be traded,
    `isolated_only` those that share no margin, `listed` the ids of every instrument. `index` and `fx` are USD, `settles` the assets
    that instruments of a venue settle in, and `ratios` what share of an asset counts in Aster's multi-assets mode.
    """

    rows: Mapping[str, InstrumentRow] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    isolated_only: Collection[str] = frozenset()
    listed: Collection[str] = ()
    index: Mapping[str, float] = field(default_factory=dict)
    fx: Mapping[str, float] = field(default_factory=dict)
    beta: Mapping[str, float] = field(default_factory=dict)
    daily_volatility: Mapping[str, float] = field(default_factory=dict)
    volume_24h_usd: Mapping[str, float] = field(default_factory=dict)
    settles: Mapping[str, Collection[str]] = field(default_factory=dict)
    ratios: Mapping[str, float] = field(default_factory=dict)


def alone(document: Mapping[str, Any], portfolio: str) -> dict[str, Any]:
    """The document of one of a snapshot's portfolios: its accounts, and what they hold. KeyError for an unknown portfolio."""
    members = {row["id"]: row["accounts"] for row in document["portfolios"]}[portfolio]
    accounts = [row for row in document["accounts"] if row["id"] in members]
    held = {one["instrument"] for row in accounts for key in ("positions", "orders") for one in row.get(key, ())}
    held |= {name for row in accounts for pool in row.get("pools", ()) for name in pool.get("positions", ())}
    instruments = [row for row in document["instruments"] if row["id"] in held]
    coins = {row["coin"] for row in instruments} | {asset for row in accounts for asset in _assets(row)}
    by_coin = {key: {coin: one for coin, one in document.get(key, {}).items() if coin in coins} for key in _BY_COIN}
    volumes = {name: volume for name, volume in document.get("volume_24h_usd", {}).items() if name in held}
    rest = {"instruments": instruments, "accounts": accounts, "portfolios": [{"id": portfolio, "accounts": list(members)}]}
    return {**document, **by_coin, "volume_24h_usd": volumes, **rest}


_BY_COIN = ("index", "beta", "daily_volatility")


def _assets(account: Mapping[str, Any]) -> set[str]:
    money = {row["asset"] for key in ("balances", "debts") for row in account.get(key, ())}
    pools = account.get("pools", ())
    exposed = {one["coin"] for pool in pools for one in pool.get("exposures", ())}
    # a wrapped coin is recognised by the coin's own index
    return money | exposed | {name for pool in pools for one in pool.get("collateral", ()) for name in (one["asset"], one["asset"][1:])}
