"""Which accounts belong to the account of an agent key: for a command that writes the first configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.aster.rest import AccountRest


@dataclass(frozen=True, slots=True)
class DiscoveredAccount:
    """One account. `kind` is `main` or `sub_account`; `account_id` the venue's number of it."""

    kind: str
    name: str
    account_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DiscoveredAccounts:
    """What was found; `notes` say what cannot be found and what to do."""

    accounts: tuple[DiscoveredAccount, ...]
    notes: tuple[str, ...]


_BLIND_SPOTS = (
    "The venue tells names of sub-accounts but not their addresses: each is a wallet of its own. To watch one, take its address "
    "from the web site and approve a read-only agent while signed in to it.",
)


async def discover(rest: AccountRest) -> DiscoveredAccounts:
    """The main account and its sub-accounts (weight 5). Raises CredentialError for an HMAC key."""
    rows = await rest.sub_accounts()
    found = tuple(DiscoveredAccount("main" if row.parent else "sub_account", row.name or "main", row.account_id) for row in rows)
    return DiscoveredAccounts(found, _BLIND_SPOTS)
