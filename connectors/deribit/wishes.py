"""What the monitor and the accounts want of the public market."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.deribit.reference import CURRENCIES, ExpiryKey, Reference, expiry_key
from connectors.deribit.settings import VENUE

_PREFIX = f"{VENUE}:"
_STABLECOIN = "USDC"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Coins to watch whole, instruments by id (held or asked for), and expiries whose forward is wanted beside those of the instruments."""

    coins: frozenset[str] = frozenset()
    instruments: frozenset[str] = frozenset()
    expiries: frozenset[ExpiryKey] = frozenset()

    def names(self) -> frozenset[str]:
        """The venue's names of the instruments; ids of other venues are none of ours."""
        return frozenset(name.removeprefix(_PREFIX) for name in self.instruments if name.startswith(_PREFIX))

    def watched_coins(self, reference: Reference) -> frozenset[str]:
        """Every coin that something is wanted of."""
        return self.coins | reference.coins_of(self.names()) | {coin for coin, _, _ in self.expiries}

    def unlisted(self, reference: Reference) -> frozenset[str]:
        """Names that the reference data does not have, indices aside."""
        return frozenset(name for name in self.names() if name not in reference.by_name and not reference.is_index(name))

    def currencies(self, reference: Reference) -> tuple[str, ...]:
        """The currencies to list: those of the coins, all as long as the coin of some instrument is not known."""
        coins = self.watched_coins(reference)
        if self.unlisted(reference):
            return CURRENCIES
        return tuple(currency for currency in CURRENCIES if coins and (currency in coins or currency == _STABLECOIN))

    def all_expiries(self, reference: Reference, now_ms: int) -> list[ExpiryKey]:
        """The expiries whose forward is wanted and that are still to come, soonest first."""
        held = {expiry_key(one) for name in self.names() if (one := reference.by_name.get(name)) is not None}
        keys = {key for key in held | self.expiries if key is not None and key[2] > now_ms}
        return sorted(keys, key=lambda key: (key[2], key))
