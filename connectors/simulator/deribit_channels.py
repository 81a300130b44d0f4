"""Which channels the simulated Deribit knows: others are dropped from the echo without a word."""

from __future__ import annotations

from connectors.simulator.deribit_listing import DeribitListing
from connectors.simulator.deribit_prices import VOLATILITY_INDICES

_INTERVALS = ("100ms", "agg2", "raw")
_CURRENCIES = ("any", "btc", "eth", "usdc", "usdt")
_KINDS = ("any", "option", "future")


def is_public(channel: str, listing: DeribitListing, indices: dict[str, float], *, logged_in: bool) -> bool:
    """Whether a public channel exists; raw ones exist for those who have logged in."""
    if channel in ("platform_state", "platform_state.public_methods_state"):
        return True
    head, _, rest = channel.partition(".")
    if head == "markprice":
        return rest.removeprefix("options.") in listing.chains
    if head in ("deribit_price_index", "estimated_expiration_price"):
        return rest in indices
    if head == "deribit_volatility_index":
        return rest in VOLATILITY_INDICES
    if head == "ticker":
        name, _, interval = rest.rpartition(".")
        return name in listing.contracts and interval in _INTERVALS and (logged_in or interval != "raw")
    words = rest.split(".")
    return head == "instrument" and len(words) == 3 and words[0] in ("state", "creation") and words[1] in _KINDS and _currency(words[2])


def is_private(channel: str, listing: DeribitListing) -> bool:
    """Whether a channel of accounts exists."""
    words = channel.split(".")
    if words[:2] == ["user", "portfolio"]:
        return len(words) == 3 and _currency(words[2])
    if words[:2] == ["user", "lock"]:
        return len(words) == 2
    if words[:2] != ["user", "changes"] or words[-1] not in _INTERVALS:
        return False
    return (len(words) == 5 and words[2] in _KINDS and _currency(words[3])) or (len(words) == 4 and words[2] in listing.contracts)


def scope_of(channel: str) -> str:
    """The kind of scope a private channel needs."""
    return "trade" if channel.startswith("user.changes") else "account"


def change_channels(name: str, kind: str, currency: str) -> list[str]:
    """The user.changes channels a change of an instrument goes to."""
    books = [f"{k}.{c}" for k in ("any", kind) for c in ("any", currency, currency.lower())]
    return [f"user.changes.{book}.{interval}" for book in (*books, name) for interval in _INTERVALS]


def _currency(word: str) -> bool:
    return word.lower() in _CURRENCIES
