"""Which accounts belong to a master address: for a command that writes the first configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.hyperliquid.messages import Vault
from connectors.hyperliquid.rest import HyperliquidRest


@dataclass(frozen=True, slots=True)
class DiscoveredAccount:
    """One account. `kind` is `master`, `sub_account`, `vault` or `vault_child`; `mode` the venue's word, None if it says none."""

    kind: str
    name: str
    address: str = field(repr=False)
    mode: str | None


@dataclass(frozen=True, slots=True)
class DiscoveredAccounts:
    """What was found. `role` is the venue's word for the given address, `notes` say what cannot be found and what to do."""

    role: str
    accounts: tuple[DiscoveredAccount, ...]
    notes: tuple[str, ...]


_BLIND_SPOTS = (
    "Vaults are found through the master's own equity in them: a vault it leads without a deposit, or one led by a sub-account, "
    "has to be added by hand.",
    "API wallets (agents) are not accounts: configure the account they trade for.",
)


async def discover(rest: HyperliquidRest, master: str) -> DiscoveredAccounts:
    """The master, its sub-accounts and the open vaults it leads, with modes. Costs 60 + 20 for each list and each account."""
    role = await rest.user_role(master)
    if role.role in ("agent", "missing"):
        return DiscoveredAccounts(role.role, (), (_not_an_account(role.role),))
    found = [DiscoveredAccount("vault" if role.role == "vault" else "master", "master", master, await rest.user_abstraction(master))]
    for sub in await rest.sub_accounts2(master):
        mode = sub.mode or await rest.user_abstraction(sub.address)
        found.append(DiscoveredAccount("sub_account", sub.name, sub.address, mode))
    for address in await rest.user_vault_equities(master):
        vault = await rest.vault_details(address)
        if vault is not None and not vault.closed and vault.leader.lower() == master.lower():
            found += await _vault_accounts(rest, vault)
    return DiscoveredAccounts(role.role, tuple(found), _BLIND_SPOTS)


async def _vault_accounts(rest: HyperliquidRest, vault: Vault) -> list[DiscoveredAccount]:
    found = [DiscoveredAccount("vault", vault.name, vault.address, await rest.user_abstraction(vault.address))]
    for number, child in enumerate(vault.children, 1):
        found.append(DiscoveredAccount("vault_child", f"{vault.name} {number}", child, await rest.user_abstraction(child)))
    return found


def _not_an_account(role: str) -> str:
    if role == "agent":
        return "This is an API wallet, which holds nothing: give the address of the account it trades for."
    return "The venue does not know this address: check it, and that it is of the chosen network."
