"""What an alert is about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ScopeKind(StrEnum):
    """Kinds of things that alerts are about."""

    POOL = "pool"
    ACCOUNT = "account"
    PORTFOLIO = "portfolio"
    FEED = "feed"
    RECEIVER = "receiver"
    VENUE = "venue"
    MONITOR = "monitor"


@dataclass(frozen=True, slots=True, order=True)
class AlertScope:
    """A thing by its names. `name` is the pool's, portfolio's, feed's or receiver's; `account` also that of a feed of one account."""

    kind: ScopeKind
    venue: str = ""
    account: str = ""
    name: str = ""

    @classmethod
    def pool(cls, venue: str, account: str, pool: str) -> AlertScope:
        """What a venue liquidates as one."""
        return cls(ScopeKind.POOL, venue, account, pool)

    @classmethod
    def of_account(cls, venue: str, account: str) -> AlertScope:
        """All of an account."""
        return cls(ScopeKind.ACCOUNT, venue, account)

    @classmethod
    def portfolio(cls, portfolio: str) -> AlertScope:
        """A portfolio, over any accounts and venues."""
        return cls(ScopeKind.PORTFOLIO, name=portfolio)

    @classmethod
    def feed(cls, venue: str, feed: str, account: str | None = None) -> AlertScope:
        """A subscription; `account` None: a market feed."""
        return cls(ScopeKind.FEED, venue, account or "", feed)

    @classmethod
    def receiver(cls, receiver: str) -> AlertScope:
        """Somewhere alerts go."""
        return cls(ScopeKind.RECEIVER, name=receiver)

    @classmethod
    def of_venue(cls, venue: str) -> AlertScope:
        """All of a venue."""
        return cls(ScopeKind.VENUE, venue)

    @property
    def path(self) -> str:
        """The scope in a key: `hyperliquid/hl-main/USDC`, `hyperliquid/hl-main`, `portfolio/desk`, `receiver/ops`, `monitor`.

        No process or host is in it; it is the same after a restart.
        """
        match self.kind:
            case ScopeKind.POOL:
                return f"{self.venue}/{self.account}/{self.name}"
            case ScopeKind.ACCOUNT:
                return f"{self.venue}/{self.account}"
            case ScopeKind.FEED:
                return "/".join(part for part in ("feed", self.venue, self.account, self.name) if part)
            case ScopeKind.VENUE:
                return f"venue/{self.venue}"
            case ScopeKind.MONITOR:
                return "monitor"
            case _:
                return f"{self.kind.value}/{self.name}"

    @property
    def place(self) -> str:
        """For people: `hl-main/USDC`, `hl-main`, `desk`, `hyperliquid asset_contexts`, `ops`, `aster`, `monitor`."""
        match self.kind:
            case ScopeKind.POOL:
                return f"{self.account}/{self.name}" if self.name else self.account
            case ScopeKind.ACCOUNT:
                return self.account
            case ScopeKind.FEED:
                return " ".join(part for part in (self.venue, self.account, self.name) if part)
            case ScopeKind.VENUE:
                return self.venue
            case ScopeKind.MONITOR:
                return "monitor"
            case _:
                return self.name


MONITOR = AlertScope(ScopeKind.MONITOR)
"""The monitor itself."""
